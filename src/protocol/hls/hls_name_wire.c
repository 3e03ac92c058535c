/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/hls/hls_name_wire.h"

#include "base/mem.h"
#include "base/url.h"

#include <errno.h>
#include <inttypes.h>

static const char *const media_names[] = {[TRACK_VIDEO] = "video", [TRACK_AUDIO] = "audio"};
_Static_assert(ARRAY_LEN(media_names) == TRACK_KIND_N, "a word for each kind");

#define NAME_MAX_LEN 64

/* ---- names ---- */

void hls_name_put(struct out *o, const struct hls_name *n)
{
    out_printf(o, "%s%u", media_names[n->media], n->track + 1);
    switch (n->kind) {
    case HLS_MASTER:
    case HLS_PLAYLIST:
        out_puts(o, ".m3u8");
        break;
    case HLS_INIT:
        out_printf(o, "-%016" PRIx64 ".mp4", n->id);
        break;
    case HLS_SEGMENT:
        out_printf(o, "-%" PRIu64 ".m4s", n->id);
        break;
    case HLS_PART:
        out_printf(o, "-%" PRIu64 ".%" PRIu32 ".m4s", n->id, n->part);
        break;
    }
}

/* Digits at *p, which moves behind them. Overlong numbers wrap; that they do not come out as written is seen in the end. */
static uint64_t number(const char **p, unsigned base)
{
    uint64_t v = 0;
    for (;; (*p)++) {
        char c = **p;
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 16;
        if (digit >= base) {
            return v;
        }
        v = v * base + digit;
    }
}

static bool skip_word(const char **p, const char *word)
{
    size_t n = strlen(word);
    if (strncmp(*p, word, n) != 0) {
        return false;
    }
    *p += n;
    return true;
}

/* Reads loosely: only what is written back the same way counts (hls_name_parse). */
static void read_name(const char *p, struct hls_name *n)
{
    n->media = skip_word(&p, media_names[TRACK_AUDIO]) ? TRACK_AUDIO : TRACK_VIDEO;
    skip_word(&p, media_names[TRACK_VIDEO]);
    n->track = (unsigned)number(&p, 10) - 1;
    if (!skip_word(&p, "-")) {
        n->kind = HLS_PLAYLIST;
        return;
    }
    const char *dot = strchr(p, '.');
    if (dot && strcmp(dot, ".mp4") == 0) {
        n->kind = HLS_INIT;
        n->id = number(&p, 16);
        return;
    }
    n->kind = HLS_SEGMENT;
    n->id = number(&p, 10);
    if (skip_word(&p, ".") && *p >= '0' && *p <= '9') {
        n->kind = HLS_PART;
        n->part = (uint32_t)number(&p, 10);
    }
}

int hls_name_parse(const char *file, struct hls_name *ret)
{
    struct hls_name n = {0};
    if (strnlen(file, NAME_MAX_LEN) == NAME_MAX_LEN) {
        return -EINVAL;
    }
    read_name(file, &n);
    _cleanup_(out_done) struct out o = {0};
    hls_name_put(&o, &n);
    if (n.track >= TRACKS_MAX || strcmp(out_str(&o), file) != 0) {
        return -EINVAL;
    }
    *ret = n;
    return 0;
}

/* ---- queries ---- */

/* The next "name=value" of a raw query; false at its end. */
static bool next_pair(const char **query, struct bytes *name, struct bytes *value)
{
    const char *p = *query + strspn(*query, "&");
    if (*p == '\0') {
        return false;
    }
    size_t len = strcspn(p, "&");
    const char *eq = memchr(p, '=', len);
    *name = BYTES(p, eq ? (size_t)(eq - p) : len);
    *value = eq ? BYTES(eq + 1, len - name->len - 1) : BYTES(p + len, 0);
    *query = p + len;
    return true;
}

static bool is_directive(struct bytes name)
{
    return name.len >= 5 && memcmp(name.data, "_HLS_", 5) == 0;
}

static int read_number(struct bytes text, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;
    if (text.len == 0 || text.len > 19) {
        return -EINVAL;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return -EINVAL;
        }
        v = v * 10 + (uint64_t)(text.data[i] - '0');
    }
    *ret = v;
    return v <= max ? 0 : -EINVAL;
}

int hls_directives_parse(const char *query, struct hls_directives *ret, struct error *err)
{
    struct hls_directives d = {0};
    struct bytes name;
    struct bytes value;
    uint64_t n;
    while (next_pair(&query, &name, &value)) {
        if (bytes_equal_str(name, "_HLS_msn")) {
            if (read_number(value, INT64_MAX, &d.msn) < 0) {
                return error_set(err, -EINVAL, "_HLS_msn", "is not a media sequence number");
            }
            d.has_msn = true;
        } else if (bytes_equal_str(name, "_HLS_part")) {
            if (read_number(value, UINT32_MAX, &n) < 0) {
                return error_set(err, -EINVAL, "_HLS_part", "is not the number of a part");
            }
            d.part = (uint32_t)n;
            d.has_part = true;
        } else if (bytes_equal_str(name, "_HLS_skip")) {
            d.skip = bytes_equal_str(value, "YES") || bytes_equal_str(value, "v2");
        } else if (bytes_equal_str(name, "plain")) {
            d.plain = true;
        }
    }
    if (d.has_part && !d.has_msn) {
        return error_set(err, -EINVAL, "_HLS_part", "needs _HLS_msn beside it");
    }
    *ret = d;
    return 0;
}

int hls_query_carry(struct out *o, const char *query)
{
    /* RFC 3986 query characters, and percent signs as they came; no quotes, which would end the attribute. */
    static const char keep[] = "%=!$'()*+,;:@/?-._~";
    struct bytes name;
    struct bytes value;
    size_t before = o->len;
    const char *mark = "?";
    if (strnlen(query, HLS_QUERY_MAX + 1) > HLS_QUERY_MAX) {
        return -E2BIG;
    }
    while (next_pair(&query, &name, &value)) {
        if (!is_directive(name)) {
            const char *end = (const char *)value.data + value.len;
            out_puts(o, mark);
            url_encode(o, BYTES(name.data, (size_t)(end - (const char *)name.data)), keep);
            mark = "&";
        }
    }
    if (o->len - before > HLS_QUERY_MAX) {
        o->len = before;
        return -E2BIG;
    }
    return 0;
}
