/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text messages: requests, responses, the chunked coding, and what is made of a request's parts. The first byte chooses;
 * every message is parsed at once and in pieces, which must come to the same.
 */
#include "base/mem.h"
#include "base/textmsg.h"
#include "io/http_wire.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

static const struct textmsg_limits limits = {.line_bytes = 200, .fields_bytes = 1000, .fields = 20};

static bool same_slice(struct textmsg_slice a, struct textmsg_slice b)
{
    return a.at == b.at && a.len == b.len;
}

static void judge(const struct textmsg *m)
{
    static const char *const names[] = {"If-Match",          "If-None-Match",
                                        "If-Modified-Since", "If-Unmodified-Since",
                                        "If-Range",          "Range"};
    char *values[6] = {0};
    uint64_t first = 0;
    uint64_t last = 0;
    for (int i = 0; i < 6; i++) {
        struct bytes v;
        if (textmsg_field(m, names[i], NULL, &v)) {
            values[i] = mem_strndup((const char *)v.data, v.len);
        }
    }
    const struct http_conditions c = {values[0], values[1], values[2],
                                      values[3], values[4], values[5]};
    if (http_judge(&c, "\"e\"", 784111777, 1000, &first, &last) == HTTP_PARTIAL) {
        assert(first <= last && last < 1000);
    }
    for (int i = 0; i < 6; i++) {
        free(values[i]);
    }
}

static void target(struct bytes raw)
{
    struct http_target t;
    if (http_target_parse(raw, &t) < 0) {
        return;
    }
    char *path = mem_alloc(t.path.len + 1);
    int n = http_path_decode(t.path, path);
    if (n >= 0) {
        assert(path[0] == '/' && n <= (int)t.path.len && strlen(path) == (size_t)n);
        assert(!strstr(path, "/../") && !strstr(path, "/./"));
    }
    free(path);
    char *query = mem_strndup(t.query.data ? (const char *)t.query.data : "", t.query.len);
    char value[16];
    (void)http_query_get(query, "a", value, sizeof(value));
    free(query);
}

static void head(enum textmsg_kind kind, struct bytes in, size_t piece)
{
    struct textmsg whole;
    struct textmsg slow;
    struct textmsg_framing framing;
    struct error err;
    textmsg_init(&whole, kind, "HTTP", &limits);
    textmsg_init(&slow, kind, "HTTP", &limits);
    ssize_t r = textmsg_parse(&whole, in, &err);
    ssize_t s = 0;
    for (size_t n = MIN(piece, in.len); s == 0; n = MIN(n + piece, in.len)) {
        uint8_t *copy = mem_memdup(in.data, n);
        s = textmsg_parse(&slow, BYTES(copy, n), &err);
        free(copy);
        if (n == in.len) {
            break;
        }
    }
    assert(r == s);
    if (r <= 0) {
        return;
    }
    assert(whole.n_fields == slow.n_fields && same_slice(whole.target, slow.target) &&
           whole.status == slow.status);
    for (unsigned i = 0; i < whole.n_fields; i++) {
        assert(same_slice(whole.fields[i].name, slow.fields[i].name));
        assert(same_slice(whole.fields[i].value, slow.fields[i].value));
    }
    (void)textmsg_framing(&whole, false, &framing, &err);
    (void)textmsg_has_token(&whole, "Connection", "close");
    judge(&whole);
    if (kind == TEXTMSG_REQUEST) {
        target(textmsg_bytes(&whole, whole.target));
    }
}

static int decode(struct bytes in, size_t piece, struct out *o, size_t *ret_used)
{
    struct textmsg_chunked c;
    int r = 0;
    size_t at = 0;
    textmsg_chunked_init(&c, 500);
    while (at < in.len && r >= 0 && !textmsg_chunked_done(&c)) {
        struct bytes part = BYTES(in.data + at, MIN(piece, in.len - at));
        struct bytes data;
        while ((r = textmsg_chunked_next(&c, &part, &data)) > 0) {
            out_bytes(o, data);
        }
        at = (size_t)(part.data - in.data);
    }
    *ret_used = at;
    assert(o->len <= 500);
    return textmsg_chunked_done(&c) ? 1 : r;
}

static void chunked(struct bytes in, size_t piece)
{
    struct out a = {0};
    struct out b = {0};
    size_t used_a;
    size_t used_b;
    int r = decode(in, SIZE_MAX, &a, &used_a);
    int s = decode(in, piece, &b, &used_b);
    assert(r == s && used_a == used_b && bytes_equal(out_view(&a), out_view(&b)));
    out_done(&a);
    out_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    struct bytes in = BYTES(data + 1, size - 1);
    size_t piece = 1 + data[0] / 3 % 8;
    switch (data[0] % 3) {
    case 0:
        head(TEXTMSG_REQUEST, in, piece);
        break;
    case 1:
        head(TEXTMSG_RESPONSE, in, piece);
        break;
    default:
        chunked(in, piece);
    }
    return 0;
}
