/* SPDX-License-Identifier: Apache-2.0 */
/* Just enough RTMP to play: the chunk stream is parsed in place and nothing but the head of a message is kept. */
#include "load.h"

#include <stdio.h>
#include <string.h>

#define HANDSHAKE 1536

static uint8_t *put32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
    return p + 4;
}

static uint32_t get24(const uint8_t *p)
{
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | get24(p + 1);
}

size_t amf_string(uint8_t *out, const char *s)
{
    size_t n = strlen(s);
    out[0] = 2;
    out[1] = (uint8_t)(n >> 8);
    out[2] = (uint8_t)n;
    memcpy(out + 3, s, n);
    return n + 3;
}

size_t amf_number(uint8_t *out, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, 8);
    out[0] = 0;
    put32(put32(out + 1, (uint32_t)(bits >> 32)), (uint32_t)bits);
    return 9;
}

static size_t amf_key(uint8_t *out, const char *key)
{
    return amf_string(out - 1, key) -
           1; /* a key is a string without its type byte; the caller's byte before is restored */
}

static size_t amf_pair(uint8_t *out, const char *key, const char *value)
{
    uint8_t before = out[-1];
    size_t n = amf_key(out, key);
    out[-1] = before;
    return n + amf_string(out + n, value);
}

size_t rtmp_connect_body(uint8_t *out, const struct target *t)
{
    char url[300];
    size_t n = amf_string(out, "connect");
    snprintf(url, sizeof(url), "rtmp://%s:%u/%s", t->host, t->port, t->app);
    n += amf_number(out + n, 1);
    out[n++] = 3;
    n += amf_pair(out + n, "app", t->app);
    n += amf_pair(out + n, "flashVer", "mast-load");
    n += amf_pair(out + n, "tcUrl", url);
    memcpy(out + n, "\0\0\x09", 3);
    return n + 3;
}

size_t rtmp_command(uint8_t *out, unsigned csid, unsigned stream, const uint8_t *body, size_t n,
                    uint8_t type)
{
    uint8_t *p = out;
    *p++ = (uint8_t)csid;
    memset(p, 0, 3);
    p += 3;
    *p++ = (uint8_t)(n >> 16);
    *p++ = (uint8_t)(n >> 8);
    *p++ = (uint8_t)n;
    *p++ = type;
    *p++ = (uint8_t)stream; /* little-endian */
    memset(p, 0, 3);
    p += 3;
    /* The default chunk size is 128 bytes until somebody says otherwise. */
    for (size_t done = 0; done < n;) {
        size_t part = n - done < 128 ? n - done : 128;
        if (done > 0) {
            *p++ = (uint8_t)(0xc0 | csid);
        }
        memcpy(p, body + done, part);
        p += part;
        done += part;
    }
    return (size_t)(p - out);
}

size_t rtmp_hello(const struct target *t, uint8_t *out, size_t cap)
{
    if (cap < HANDSHAKE + 1) {
        return 0;
    }
    out[0] = 3;
    memset(out + 1, 0, 8); /* simple handshake: time and zero */
    memset(out + 9, 0x5a, HANDSHAKE - 8);
    return HANDSHAKE + 1;
}

/* C2, then connect, createStream and play at once: servers answer in order. */
static size_t commands(const struct target *t, uint8_t *out)
{
    uint8_t body[1024];
    size_t at = HANDSHAKE;
    memset(out, 0x5a, HANDSHAKE);
    size_t n = rtmp_connect_body(body, t);
    at += rtmp_command(out + at, 3, 0, body, n, 20);
    n = amf_string(body, "createStream");
    n += amf_number(body + n, 2);
    body[n++] = 5;
    at += rtmp_command(out + at, 3, 0, body, n, 20);
    n = amf_string(body, "play");
    n += amf_number(body + n, 3);
    body[n++] = 5;
    n += amf_string(body + n, t->name);
    at += rtmp_command(out + at, 8, 1, body, n, 20);
    return at;
}

/* Bytes of the header so far needed: basic header, message header by fmt, extended timestamp. */
static unsigned header_need(struct rtmp_player *p)
{
    static const uint8_t by_fmt[4] = {11, 7, 3, 0};
    const uint8_t *h = p->header;
    if (p->header_len == 0) {
        return 1;
    }
    unsigned fmt = h[0] >> 6;
    unsigned basic = (h[0] & 63) == 0 ? 2 : (h[0] & 63) == 1 ? 3 : 1;
    unsigned need = basic + by_fmt[fmt];
    if (p->header_len < need) {
        return need;
    }
    unsigned csid = h[0] & 63;
    struct chunk_stream *cs = &p->streams[csid < CSIDS ? csid : CSIDS - 1];
    bool extended = fmt < 3 ? get24(h + basic) == 0xffffff : cs->extended;
    return need + (extended ? 4 : 0);
}

static void header_done(struct rtmp_player *p)
{
    const uint8_t *h = p->header;
    unsigned fmt = h[0] >> 6;
    unsigned csid = h[0] & 63;
    unsigned basic = csid == 0 ? 2 : csid == 1 ? 3 : 1;
    p->cs = (uint8_t)(csid < CSIDS ? csid : CSIDS - 1);
    struct chunk_stream *cs = &p->streams[p->cs];
    if (fmt < 3) {
        cs->extended = get24(h + basic) == 0xffffff;
    }
    if (fmt < 2) {
        cs->length = get24(h + basic + 3);
        cs->type = h[basic + 6];
    }
    if (cs->left == 0) {
        cs->left = cs->length;
        cs->head_len = 0;
    }
    p->chunk_left = cs->left < p->chunk_size ? cs->left : p->chunk_size;
    p->header_len = 0;
}

static void message_done(struct rtmp_player *p, struct frames *f, struct tally *t,
                         const struct chunk_stream *cs, int64_t now)
{
    if (t->measuring) {
        t->messages++;
    }
    if (cs->type == 9) {
        tally_frame(t, f, p->head, cs->head_len, now);
    } else if (cs->type == 1 && cs->head_len >= 4) {
        p->chunk_size = get32(p->head) & 0x7fffffff;
    } else if (cs->type == 5 && cs->head_len >= 4) {
        p->window = get32(p->head);
    }
}

static size_t take_payload(struct rtmp_player *p, struct frames *f, struct tally *t,
                           const uint8_t *data, size_t n, int64_t now)
{
    struct chunk_stream *cs = &p->streams[p->cs];
    size_t part = n < p->chunk_left ? n : p->chunk_left;
    bool keep = cs->type == 9 || cs->type == 1 || cs->type == 5;
    if (keep && cs->head_len < sizeof(p->head)) {
        size_t room = sizeof(p->head) - cs->head_len;
        size_t copy = part < room ? part : room;
        memcpy(p->head + cs->head_len, data, copy);
        cs->head_len = (uint16_t)(cs->head_len + copy);
    }
    p->chunk_left -= (uint32_t)part;
    cs->left -= (uint32_t)part;
    if (cs->left == 0) {
        message_done(p, f, t, cs, now);
    }
    return part;
}

int rtmp_feed(struct rtmp_player *p, struct frames *f, struct tally *t, const struct target *target,
              const uint8_t *data, size_t n, uint8_t *out, size_t cap, size_t *ret_out)
{
    const uint8_t *end = data + n;
    int64_t now = now_ns();
    *ret_out = 0;
    p->received += (uint32_t)n;
    if (!p->ready) {
        size_t part = n < p->skip ? n : p->skip;
        p->skip -= (uint32_t)part;
        data += part;
        if (p->skip > 0) {
            return 0;
        }
        p->ready = true;
        *ret_out = commands(target, out);
    }
    while (data < end) {
        if (p->chunk_left > 0) {
            data += take_payload(p, f, t, data, (size_t)(end - data), now);
            continue;
        }
        unsigned need = header_need(p);
        while (p->header_len < need && data < end) {
            p->header[p->header_len++] = *data++;
            need = header_need(p);
        }
        if (p->header_len == need) {
            header_done(p);
        }
    }
    if (p->window && p->received - p->acked_at >= p->window / 2 && *ret_out + 16 <= cap) {
        uint8_t body[4];
        put32(body, p->received);
        p->acked_at = p->received;
        *ret_out += rtmp_command(out + *ret_out, 2, 0, body, 4, 3);
    }
    return 0;
}
