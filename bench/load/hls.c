/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Just enough HLS (RFC 8216, and 8216bis for the parts) to play one rendition: master playlist, media playlist, init
 * segment, then media as it comes. Written for the playlists of any server that gives Content-Length and relative URIs.
 */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BODY_MAX (8u << 20)
#define SECOND   1000000000ll

void hls_init(struct hls_player *p, bool low_latency)
{
    *p = (struct hls_player){.low_latency = low_latency};
}

void hls_done(struct hls_player *p)
{
    free(p->body);
    p->body = NULL;
}

/* Starts over with the master playlist, as a player does that lost the thread; numbers go on being watched. */
static void start_over(struct hls_player *p, int64_t when)
{
    p->list[0] = '\0';
    p->has_map = false;
    p->queued = p->taken = 0;
    p->next_msn = p->next_part = 0;
    p->not_before_ns = when;
}

size_t hls_ask(struct hls_player *p, const char *host, const char *base, int64_t now, char *out,
               size_t cap)
{
    char path[2 * HLS_URI + 64];
    if (p->asked || now < p->not_before_ns) {
        return 0;
    }
    if (p->list[0] == '\0') {
        p->what = HLS_MASTER;
        snprintf(path, sizeof(path), "%s/index.m3u8%s", base, p->low_latency ? "" : "?plain");
    } else if (!p->has_map && p->map[0]) {
        p->what = HLS_MAP;
        snprintf(path, sizeof(path), "%s/~hls/%s", base, p->map);
    } else if (p->taken < p->queued) {
        p->what = HLS_MEDIA;
        snprintf(path, sizeof(path), "%s/~hls/%s", base, p->queue[p->taken]);
    } else {
        p->what = HLS_LIST;
        int n = snprintf(path, sizeof(path), "%s/%s", base, p->list);
        if (p->low_latency && p->next_msn) {
            snprintf(path + n, sizeof(path) - (size_t)n, "%s_HLS_msn=%llu&_HLS_part=%llu",
                     strchr(p->list, '?') ? "&" : "?", (unsigned long long)p->next_msn,
                     (unsigned long long)p->next_part);
        }
    }
    int n = snprintf(out, cap, "GET /%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: mast-crowd\r\n\r\n",
                     path, host);
    if (n <= 0 || (size_t)n >= cap) {
        return 0;
    }
    p->asked = true;
    p->len = p->head_len = p->total = 0;
    return (size_t)n;
}

/* The value of an attribute: ,NAME="..." or ,NAME=... */
static bool attribute(const char *line, const char *name, char *out, size_t cap)
{
    size_t n = strlen(name);
    for (const char *at = strstr(line, name); at; at = strstr(at + 1, name)) {
        if ((at[-1] == ',' || at[-1] == ':') && at[n] == '=') {
            const char *v = at + n + 1;
            bool quoted = *v == '"';
            v += quoted;
            snprintf(out, cap, "%.*s", (int)strcspn(v, quoted ? "\"" : ","), v);
            return true;
        }
    }
    return false;
}

/* What finds no place is taken from the next playlist: nothing behind it may be taken before it. */
static bool enqueue(struct hls_player *p, const char *uri)
{
    if (p->queued == HLS_QUEUE) {
        return false;
    }
    snprintf(p->queue[p->queued++], HLS_URI, "%s", uri);
    return true;
}

struct reading {
    uint64_t msn, part;
    double target;
    bool ended, news;
};

/* A first playlist is entered near its end: three segments before it, or at the newest part. */
static void enter(struct hls_player *p, const char *text)
{
    uint64_t segments = 0;
    uint64_t parts = 0;
    for (const char *at = text; (at = strstr(at, "#EXTINF")); at++) {
        segments++;
    }
    const char *last = NULL;
    for (const char *at = text; (at = strstr(at, "#EXTINF")); at++) {
        last = at;
    }
    for (const char *at = last ? last : text; (at = strstr(at, "#EXT-X-PART:")); at++) {
        parts++;
    }
    p->next_msn = p->list_msn + (p->low_latency ? segments : segments > 3 ? segments - 3 : 0);
    p->next_part = p->low_latency && parts ? parts - 1 : 0;
}

static void read_line(struct hls_player *p, struct reading *r, const char *line)
{
    char uri[HLS_URI];
    if (strncmp(line, "#EXT-X-TARGETDURATION:", 22) == 0) {
        r->target = atof(line + 22);
    } else if (strncmp(line, "#EXT-X-MAP:", 11) == 0) {
        if (attribute(line, "URI", uri, sizeof(uri)) && strcmp(uri, p->map) != 0) {
            snprintf(p->map, sizeof(p->map), "%s", uri);
            p->has_map = false;
        }
    } else if (strncmp(line, "#EXT-X-ENDLIST", 14) == 0) {
        r->ended = true;
    } else if (strncmp(line, "#EXT-X-PART:", 12) == 0 && p->low_latency) {
        bool fresh = r->msn > p->next_msn || (r->msn == p->next_msn && r->part >= p->next_part);
        if (fresh && attribute(line, "URI", uri, sizeof(uri)) && enqueue(p, uri)) {
            p->next_msn = r->msn;
            p->next_part = r->part + 1;
            r->news = true;
        }
        r->part++;
    } else if (line[0] != '#' && line[0]) {
        /* Who is so late that the parts are not listed any more takes the segment whole. */
        if (r->msn >= p->next_msn && (!p->low_latency || r->part == 0) && enqueue(p, line)) {
            p->next_msn = r->msn + 1;
            p->next_part = 0;
            r->news = true;
        }
        r->msn++;
        r->part = 0;
        /* What follows the last part of a segment is the first of the next. */
        if (p->low_latency && p->next_msn < r->msn && p->queued < HLS_QUEUE) {
            p->next_msn = r->msn;
            p->next_part = 0;
        }
    }
}

static void take_list(struct hls_player *p, char *text, int64_t now)
{
    const char *first = strstr(text, "#EXT-X-MEDIA-SEQUENCE:");
    uint64_t msn = first ? strtoull(first + 22, NULL, 10) : 0;
    struct reading r = {.msn = msn, .target = 1};
    if (strncmp(text, "#EXTM3U", 7) != 0 || !first) {
        p->bad++;
        start_over(p, now + SECOND);
        return;
    }
    p->backwards += msn < p->list_msn;
    p->list_msn = msn;
    p->queued = p->taken = 0;
    if (p->next_msn == 0) {
        enter(p, text);
    } else if (msn > p->next_msn) {
        p->skipped += msn - p->next_msn;
    }
    char *save;
    for (char *line = strtok_r(text, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save)) {
        read_line(p, &r, line);
    }
    if (r.ended && !r.news) {
        p->unavailable++;
        start_over(p, now + SECOND);
    } else if (!p->low_latency) {
        p->not_before_ns = r.news ? now : now + (int64_t)(r.target * 1e9 / 2);
    }
}

static void take_master(struct hls_player *p, char *text, int64_t now)
{
    char *save;
    for (char *line = strtok_r(text, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save)) {
        if (line[0] != '#') {
            snprintf(p->list, sizeof(p->list), "%s", line);
            return;
        }
    }
    p->bad++;
    start_over(p, now + SECOND);
}

/* Marks of frames are looked for in all of a segment. */
static void take_media(struct hls_player *p, struct frames *f, struct tally *t, int64_t now)
{
    const uint8_t *at = p->body + p->head_len;
    const uint8_t *end = p->body + p->total;
    while ((at = memmem(at, (size_t)(end - at), mark_id, MARK_ID_LEN))) {
        tally_frame(t, f, at, (size_t)(end - at), now);
        at += MARK_ID_LEN;
    }
    p->taken++;
    if (!p->low_latency && p->taken == p->queued) {
        /* One segment was new: the next is due when this one has played. */
        p->not_before_ns = now + SECOND / 2;
    }
}

static void take_answer(struct hls_player *p, struct frames *f, struct tally *t, int64_t now)
{
    p->asked = false;
    t->messages += t->measuring;
    if (p->status != 200) {
        /* Nothing there, nothing yet: a publisher is gone for the moment. */
        bool later = p->status == 503 || p->status == 404;
        p->unavailable += later;
        p->bad += !later;
        start_over(p, now + SECOND);
        return;
    }
    char *text = (char *)p->body + p->head_len;
    p->body[p->total] = '\0';
    switch (p->what) {
    case HLS_MASTER:
        take_master(p, text, now);
        break;
    case HLS_LIST:
        take_list(p, text, now);
        break;
    case HLS_MAP:
        p->has_map = true;
        break;
    case HLS_MEDIA:
        take_media(p, f, t, now);
        break;
    }
}

/* Returns 0 while the head is not whole. */
static int read_head(struct hls_player *p)
{
    uint8_t *end = memmem(p->body, p->len, "\r\n\r\n", 4);
    if (!end) {
        return p->len > 16384 ? -1 : 0;
    }
    *end = '\0';
    const char *length = strcasestr((char *)p->body, "\r\ncontent-length:");
    p->head_len = (size_t)(end - p->body) + 4;
    if (sscanf((char *)p->body, "HTTP/1.1 %d", &p->status) != 1 || !length) {
        return -1;
    }
    p->total = p->head_len + strtoul(length + 17, NULL, 10);
    return p->total <= BODY_MAX ? 1 : -1;
}

int hls_feed(struct hls_player *p, struct frames *f, struct tally *t, const uint8_t *data, size_t n)
{
    if (!p->asked) {
        return -1; /* nobody asked */
    }
    if (p->len + n + 1 > p->cap) {
        p->cap = (p->len + n + 1) * 2;
        p->body = realloc(p->body, p->cap);
        if (!p->body) {
            return -1;
        }
    }
    memcpy(p->body + p->len, data, n);
    p->len += n;
    if (p->head_len == 0 && read_head(p) < 0) {
        p->bad++;
        return -1;
    }
    if (p->head_len == 0 || p->len < p->total) {
        return 0;
    }
    if (p->len > p->total) {
        return -1; /* answers come one at a time */
    }
    take_answer(p, f, t, now_ns());
    return 0;
}
