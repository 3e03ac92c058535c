/* SPDX-License-Identifier: Apache-2.0 */
#include "media/sdp.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

/* ---- words ---- */

/* Up to the next of sep, which is skipped; runs of it count once. False at the end. */
static bool next_word(struct bytes *in, char sep, struct bytes *ret)
{
    while (in->len > 0 && *in->data == (uint8_t)sep) {
        *in = BYTES(in->data + 1, in->len - 1);
    }
    if (in->len == 0) {
        return false;
    }
    const uint8_t *hit = memchr(in->data, sep, in->len);
    const size_t n = hit ? (size_t)(hit - in->data) : in->len;
    *ret = BYTES(in->data, n);
    *in = BYTES(in->data + n, in->len - n);
    return true;
}

static struct bytes trim(struct bytes b)
{
    while (b.len > 0 && (*b.data == ' ' || *b.data == '\t')) {
        b = BYTES(b.data + 1, b.len - 1);
    }
    while (b.len > 0 && (b.data[b.len - 1] == ' ' || b.data[b.len - 1] == '\t')) {
        b.len--;
    }
    return b;
}

int64_t sdp_number(struct bytes b, uint32_t max)
{
    uint64_t v = 0;
    if (b.len == 0) {
        return -EINVAL;
    }
    for (size_t i = 0; i < b.len; i++) {
        if (b.data[i] < '0' || b.data[i] > '9') {
            return -EINVAL;
        }
        v = v * 10 + (b.data[i] - '0');
        if (v > max) {
            return -EINVAL;
        }
    }
    return (int64_t)v;
}

/* ---- lines ---- */

struct line {
    char type;
    struct bytes value;
    const uint8_t *begin;
};

/* 1, 0 at the end, -EINVAL. Empty lines, which some cameras send at the end, are stepped over. */
static int next_line(struct rd *r, struct line *ret)
{
    while (rd_left(r) > 0) {
        const uint8_t *begin = r->p;
        const uint8_t *lf = memchr(r->p, '\n', rd_left(r));
        struct bytes b = rd_bytes(r, lf ? (size_t)(lf - r->p) : rd_left(r));
        rd_skip(r, lf ? 1 : 0);
        while (b.len > 0 && b.data[b.len - 1] == '\r') {
            b.len--;
        }
        if (b.len == 0) {
            continue;
        }
        if (b.len < 2 || b.data[1] != '=') {
            return -EINVAL;
        }
        *ret = (struct line){(char)b.data[0], BYTES(b.data + 2, b.len - 2), begin};
        return 1;
    }
    return 0;
}

/* c=IN IP4 224.2.1.1/127 */
static int read_connection(struct bytes value, struct bytes *ret)
{
    struct bytes net;
    struct bytes type;
    struct bytes address;
    if (!next_word(&value, ' ', &net) || !next_word(&value, ' ', &type) ||
        !next_word(&value, ' ', &address)) {
        return -EINVAL;
    }
    return next_word(&address, '/', ret) ? 0 : -EINVAL;
}

/* m=<media> <port>[/<number>] <proto> <fmt> ... (5.14) */
static int read_media(struct bytes value, struct sdp_media *m)
{
    struct bytes ports;
    struct bytes port;
    struct bytes format;
    if (!next_word(&value, ' ', &m->kind) || !next_word(&value, ' ', &ports) ||
        !next_word(&ports, '/', &port) || !next_word(&value, ' ', &m->proto)) {
        return -EINVAL;
    }
    const int64_t n = sdp_number(port, UINT16_MAX);
    if (n < 0) {
        return -EINVAL;
    }
    m->port = (uint16_t)n;
    while (next_word(&value, ' ', &format)) {
        if (m->n_formats == SDP_FORMATS_MAX) {
            return -E2BIG;
        }
        m->formats[m->n_formats++] = format;
    }
    return m->n_formats > 0 ? 0 : -EINVAL;
}

static int read_line(struct sdp *s, const struct line *l)
{
    if (l->type == 'm') {
        if (s->n_media == SDP_MEDIA_MAX) {
            return -E2BIG;
        }
        struct sdp_media *m = &s->media[s->n_media++];
        *m = (struct sdp_media){.section.text = {.data = l->begin}};
        return read_media(l->value, m);
    }
    struct sdp_section *now = s->n_media > 0 ? &s->media[s->n_media - 1].section : &s->session;
    if (l->type == 'c') {
        return now->connection.data ? 0 : read_connection(l->value, &now->connection);
    }
    if (l->type == 's' && s->n_media == 0) {
        s->name = l->value;
    }
    return 0;
}

int sdp_parse(struct bytes text, struct sdp *ret, struct error *err)
{
    if (text.len > SDP_TEXT_MAX) {
        return error_set(err, -E2BIG, "", "description of %zu bytes, at most %u", text.len,
                         SDP_TEXT_MAX);
    }
    struct rd r = rd_init(text);
    struct line l;
    char where[24];
    unsigned n = 0;
    int x;
    *ret = (struct sdp){.session.text = {.data = text.data}};
    while ((x = next_line(&r, &l)) > 0) {
        n++;
        const bool version = l.type == 'v' && bytes_equal_str(l.value, "0");
        x = n == 1 && !version ? -EINVAL : read_line(ret, &l);
        if (x < 0) {
            break;
        }
        struct sdp_section *now =
            ret->n_media > 0 ? &ret->media[ret->n_media - 1].section : &ret->session;
        now->text.len = (size_t)(r.p - now->text.data);
    }
    if (x < 0 || n == 0) {
        snprintf(where, sizeof(where), "line %u", x < 0 && n > 0 ? n : n + 1);
        return error_set(err, x == -E2BIG ? x : -EINVAL, where,
                         x == -E2BIG ? "too many media or formats" : "not a session description");
    }
    return 0;
}

/* ---- attributes ---- */

struct sdp_attr_iter sdp_attr_iter_init(const struct sdp_section *s)
{
    return (struct sdp_attr_iter){rd_init(s->text)};
}

int sdp_attr_next(struct sdp_attr_iter *it, struct bytes *ret_name, struct bytes *ret_value)
{
    struct line l;
    while (next_line(&it->r, &l) > 0) {
        if (l.type != 'a') {
            continue;
        }
        const uint8_t *colon = l.value.len > 0 ? memchr(l.value.data, ':', l.value.len) : NULL;
        const size_t n = colon ? (size_t)(colon - l.value.data) : l.value.len;
        *ret_name = BYTES(l.value.data, n);
        *ret_value = colon ? BYTES(colon + 1, l.value.len - n - 1) : BYTES(NULL, 0);
        return 1;
    }
    return 0;
}

bool sdp_attr(const struct sdp_section *s, const char *name, struct bytes *ret)
{
    struct sdp_attr_iter it = sdp_attr_iter_init(s);
    struct bytes found;
    struct bytes value;
    while (sdp_attr_next(&it, &found, &value) > 0) {
        if (bytes_equal_str(found, name)) {
            if (ret) {
                *ret = value;
            }
            return true;
        }
    }
    return false;
}

bool sdp_format_attr(const struct sdp_media *m, const char *name, uint8_t pt, struct bytes *ret)
{
    struct sdp_attr_iter it = sdp_attr_iter_init(&m->section);
    struct bytes found;
    struct bytes value;
    struct bytes type;
    while (sdp_attr_next(&it, &found, &value) > 0) {
        if (bytes_equal_str(found, name) && next_word(&value, ' ', &type) &&
            sdp_number(type, 127) == pt) {
            *ret = trim(value);
            return true;
        }
    }
    return false;
}

/* RFC 3551 table 4, as far as we know the codecs. */
static int static_rtpmap(uint8_t pt, struct sdp_rtpmap *ret)
{
    static const struct {
        uint8_t pt;
        const char *encoding;
        uint32_t clock_rate;
    } known[] = {{0, "PCMU", 8000}, {8, "PCMA", 8000}, {14, "MPA", 90000}};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (known[i].pt == pt) {
            *ret = (struct sdp_rtpmap){BYTES_STR(known[i].encoding), known[i].clock_rate, 1};
            return 0;
        }
    }
    return -ENOENT;
}

int sdp_rtpmap(const struct sdp_media *m, uint8_t pt, struct sdp_rtpmap *ret)
{
    struct bytes value;
    struct bytes word;
    struct sdp_rtpmap map = {.channels = 1};
    if (!sdp_format_attr(m, "rtpmap", pt, &value)) {
        return static_rtpmap(pt, ret);
    }
    if (!next_word(&value, '/', &map.encoding) || !next_word(&value, '/', &word)) {
        return -EINVAL;
    }
    const int64_t rate = sdp_number(trim(word), INT32_MAX);
    if (rate <= 0) {
        return -EINVAL;
    }
    map.clock_rate = (uint32_t)rate;
    if (next_word(&value, '/', &word)) {
        const int64_t channels = sdp_number(trim(word), 255);
        if (channels <= 0) {
            return -EINVAL;
        }
        map.channels = (uint32_t)channels;
    }
    *ret = map;
    return 0;
}

bool sdp_fmtp_param(struct bytes fmtp, const char *name, struct bytes *ret)
{
    struct bytes param;
    while (next_word(&fmtp, ';', &param)) {
        param = trim(param);
        const uint8_t *eq = param.len > 0 ? memchr(param.data, '=', param.len) : NULL;
        const size_t n = eq ? (size_t)(eq - param.data) : param.len;
        if (n == strlen(name) && strncasecmp((const char *)param.data, name, n) == 0) {
            *ret = eq ? trim(BYTES(eq + 1, param.len - n - 1)) : BYTES(NULL, 0);
            return true;
        }
    }
    return false;
}

int sdp_payload_type(const struct sdp_media *m, unsigned i)
{
    return i < m->n_formats ? (int)sdp_number(m->formats[i], 127) : -EINVAL;
}

/* ---- writing ---- */

static void write_connection(struct out *out, const char *address)
{
    out_printf(out, "c=IN IP%c %s\r\n", strchr(address, ':') ? '6' : '4', address);
}

void sdp_write_session(struct out *out, uint64_t id, uint64_t version, const char *address,
                       const char *name)
{
    out_printf(out, "v=0\r\no=- %llu %llu IN IP%c %s\r\ns=%s\r\n", (unsigned long long)id,
               (unsigned long long)version, strchr(address, ':') ? '6' : '4', address,
               name && *name ? name : "-");
    write_connection(out, address);
    out_puts(out, "t=0 0\r\n");
}

void sdp_write_media(struct out *out, const char *kind, uint16_t port, const char *proto,
                     uint8_t pt, const char *address)
{
    out_printf(out, "m=%s %u %s %u\r\n", kind, port, proto, pt);
    if (address) {
        write_connection(out, address);
    }
}
