/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/mem.h"
#include "base/textmsg.h"

#include <errno.h>

static const struct textmsg_limits limits = {.line_bytes = 64, .fields_bytes = 128, .fields = 5};

/* The outcome of a parse, in a form that can be compared: the result and everything that was found. */
static void describe(const struct textmsg *m, ssize_t r, struct out *o)
{
    out_printf(o, "%zd", r);
    if (r <= 0) {
        return;
    }
    struct bytes a = textmsg_bytes(m, m->kind == TEXTMSG_REQUEST ? m->method : m->reason);
    out_printf(o, "|%u.%u|", m->major, m->minor);
    out_bytes(o, a);
    if (m->kind == TEXTMSG_REQUEST) {
        out_puts(o, "|");
        out_bytes(o, textmsg_bytes(m, m->target));
    } else {
        out_printf(o, "|%u", m->status);
    }
    for (unsigned i = 0; i < m->n_fields; i++) {
        out_puts(o, "|");
        out_bytes(o, textmsg_bytes(m, m->fields[i].name));
        out_puts(o, "=");
        out_bytes(o, textmsg_bytes(m, m->fields[i].value));
    }
}

/* Parses at once and byte by byte, in memory of exactly that size; both must say the same. */
static void check(enum textmsg_kind kind, struct bytes text, const char *expected)
{
    struct textmsg m;
    struct error err;
    _cleanup_(out_done) struct out whole = {0};
    _cleanup_(out_done) struct out slow = {0};
    textmsg_init(&m, kind, "HTTP", &limits);
    ssize_t r = textmsg_parse(&m, text, &err);
    describe(&m, r, &whole);
    assert_string_equal(out_str(&whole), expected);

    textmsg_init(&m, kind, "HTTP", &limits);
    r = 0;
    uint8_t *copy = NULL;
    for (size_t n = 1; n <= text.len && r == 0; n++) {
        free(copy);
        copy = mem_memdup(text.data, n); /* another place each time */
        r = textmsg_parse(&m, BYTES(copy, n), &err);
    }
    describe(&m, r, &slow);
    free(copy);
    assert_string_equal(out_str(&slow), expected);
}

static void request(const char *text, const char *expected)
{
    check(TEXTMSG_REQUEST, BYTES_STR(text), expected);
}

static void response(const char *text, const char *expected)
{
    check(TEXTMSG_RESPONSE, BYTES_STR(text), expected);
}

#define BAD      "-74" /* -EBADMSG */
#define TOO_LONG "-36" /* -ENAMETOOLONG */
#define TOO_MUCH "-7"  /* -E2BIG */

static void test_requests(void **state)
{
    request("GET / HTTP/1.1\r\n\r\n", "18|1.1|GET|/");
    request("GET /a?b=c HTTP/1.0\r\nHost: x\r\nA:\r\nB: \t y z \t\r\n\r\nrest",
            "48|1.0|GET|/a?b=c|Host=x|A=|B=y z");
    request("\r\nGET / HTTP/1.1\r\n\r\n", "20|1.1|GET|/");
    request("M-SEARCH * HTTP/9.7\r\n\r\n", "23|9.7|M-SEARCH|*");
    request("GET / HTTP/1.1\r\nA: caf\xc3\xa9\r\n\r\n", "28|1.1|GET|/|A=caf\xc3\xa9");
    request("GET / HTTP/1.1\r\nHost: x\r\n", "0");
    request("", "0");
    request("GET / HTTP/1.1\r\n\r", "0");
}

static void test_malformed_requests(void **state)
{
    static const char *const table[] = {
        "\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        " GET / HTTP/1.1\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "GET /  HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1 \r\n\r\n",
        "GET /\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/1.10\r\n\r\n",
        "GET / HTTP/11\r\n\r\n",
        "GET / HTTP/1,1\r\n\r\n",
        "GET / HTTP/a.1\r\n\r\n",
        "GET / http/1.1\r\n\r\n",
        "GET / RTSP/1.0\r\n\r\n",
        "G(T / HTTP/1.1\r\n\r\n",
        "GET /\x7f HTTP/1.1\r\n\r\n",
        "GET /\xc3\xa9 HTTP/1.1\r\n\r\n",
        "GET\t/ HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\n\r\n",
        "GET / HTTP/1.1\r\nA: b\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n\n",
        "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
        "GET / HTTP/1.1\r\rA: b\r\n\r\n",
        "GET / HTTP/1.1\r\nA : b\r\n\r\n",
        "GET / HTTP/1.1\r\nA\r\n\r\n",
        "GET / HTTP/1.1\r\n: b\r\n\r\n",
        "GET / HTTP/1.1\r\n A: b\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n\tc\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\x01\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\x7f\r\n\r\n",
        "GET / HTTP/1.1\r\nA\x80: b\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n\r\r\n",
        "\x16\x03\x01",
        "\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        request(table[i], BAD);
    }
    /* NUL in each place. */
    const char nul_target[] = "GET /\0 HTTP/1.1\r\n\r\n";
    const char nul_name[] = "GET / HTTP/1.1\r\nA\0: b\r\n\r\n";
    const char nul_value[] = "GET / HTTP/1.1\r\nA: \0b\r\n\r\n";
    check(TEXTMSG_REQUEST, BYTES(nul_target, sizeof(nul_target) - 1), BAD);
    check(TEXTMSG_REQUEST, BYTES(nul_name, sizeof(nul_name) - 1), BAD);
    check(TEXTMSG_REQUEST, BYTES(nul_value, sizeof(nul_value) - 1), BAD);
    check(TEXTMSG_REQUEST, BYTES("\0", 1), BAD);
}

static void test_responses(void **state)
{
    response("HTTP/1.1 200 OK\r\nA: b\r\n\r\n", "25|1.1|OK|200|A=b");
    response("HTTP/1.1 404 Not Found\r\n\r\n", "26|1.1|Not Found|404");
    response("HTTP/1.1 101 \r\n\r\n", "17|1.1||101");
    response("HTTP/1.1 101\r\n\r\n", "16|1.1||101");
    response("HTTP/1.1 20\r\n\r\n", BAD);
    response("HTTP/1.1 2000\r\n\r\n", BAD);
    response("HTTP/1.1 020 x\r\n\r\n", BAD);
    response("HTTP/1.1  200 x\r\n\r\n", BAD);
    response("HTTP/1.1 200 a\x01\r\n\r\n", BAD);
    response("HTTP/1.1\r\n\r\n", BAD);
    response("GET / HTTP/1.1\r\n\r\n", BAD);
}

static void fill(struct out *o, size_t n, char c)
{
    memset(out_extend(o, n), c, n);
}

/* Each limit lets its own size through, and refuses one more: also when the line never ends. */
static void test_limits(void **state)
{
    for (int over = 0; over <= 1; over++) {
        _cleanup_(out_done) struct out line = {0};
        _cleanup_(out_done) struct out endless = {0};
        _cleanup_(out_done) struct out fields = {0};
        _cleanup_(out_done) struct out many = {0};
        out_puts(&line, "GET /");
        fill(&line, 64 - 16 + (size_t)over, 'a');
        out_puts(&line, " HTTP/1.1\r\n");
        out_puts(&line, "\r\n");
        request(out_str(&line),
                over ? TOO_LONG : "66|1.1|GET|/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");

        out_puts(&endless, "G");
        fill(&endless, 63 + (size_t)over, 'G');
        request(out_str(&endless), over ? TOO_LONG : "0");

        out_puts(&fields, "GET / HTTP/1.1\r\nA:");
        fill(&fields, 128 - 8 + (size_t)over, 'b');
        out_puts(&fields, "\r\nC:\r\n\r\n");
        struct textmsg m;
        struct error err;
        textmsg_init(&m, TEXTMSG_REQUEST, "HTTP", &limits);
        ssize_t r = textmsg_parse(&m, out_view(&fields), &err);
        assert_int_equal(r, over ? -E2BIG : (ssize_t)fields.len);

        out_puts(&many, "GET / HTTP/1.1\r\n");
        for (int i = 0; i < 5 + over; i++) {
            out_puts(&many, "A:\r\n");
        }
        out_puts(&many, "\r\n");
        request(out_str(&many), over ? TOO_MUCH : "38|1.1|GET|/|A=|A=|A=|A=|A=");
    }
    _cleanup_(out_done) struct out o = {0};
    out_puts(&o, "GET / HTTP/1.1\r\nA: ");
    fill(&o, 200, 'x');
    request(out_str(&o), TOO_MUCH);
}

/* A head in single bytes looks at each byte once: the work does not grow with the square of the size. */
static void test_no_rescanning(void **state)
{
    const struct textmsg_limits wide = {.line_bytes = 30000, .fields_bytes = 30000, .fields = 5};
    struct textmsg m;
    struct error err;
    _cleanup_(out_done) struct out o = {0};
    fill(&o, 20000, 'G');
    textmsg_init(&m, TEXTMSG_REQUEST, "HTTP", &wide);
    for (size_t n = 1; n <= o.len; n++) {
        assert_int_equal(textmsg_parse(&m, BYTES(o.data, n), &err), 0);
        assert_int_equal(m.scanned, n);
    }
}

static void test_fields(void **state)
{
    struct textmsg m;
    struct error err;
    struct bytes value;
    unsigned at = 0;
    textmsg_init(&m, TEXTMSG_REQUEST, "HTTP", &limits);
    const char *text =
        "GET / HTTP/1.1\r\nConnection: a, ,Upgrade ,\r\nX: 1\r\nCONNECTION:close\r\n\r\n";
    assert_true(textmsg_parse(&m, BYTES_STR(text), &err) > 0);
    assert_true(textmsg_has_token(&m, "connection", "upgrade"));
    assert_true(textmsg_has_token(&m, "connection", "close"));
    assert_false(textmsg_has_token(&m, "connection", "clos"));
    assert_false(textmsg_has_token(&m, "connection", ""));
    assert_int_equal(textmsg_field_count(&m, "connection"), 2);
    assert_true(textmsg_field(&m, "connection", &at, &value));
    assert_true(textmsg_field(&m, "connection", &at, &value));
    assert_true(bytes_equal_str(value, "close"));
    assert_false(textmsg_field(&m, "connection", &at, &value));
    assert_false(textmsg_field(&m, "connectio", NULL, &value));
}

struct framing_case {
    const char *fields;
    int r;
    enum textmsg_body body;
    uint64_t length;
};

static void framing(enum textmsg_kind kind, const char *start, bool no_body,
                    const struct framing_case *c)
{
    const struct textmsg_limits wide = {.line_bytes = 100, .fields_bytes = 1000, .fields = 10};
    struct textmsg m;
    struct error err;
    struct textmsg_framing f;
    _cleanup_(out_done) struct out o = {0};
    out_printf(&o, "%s\r\n%s\r\n", start, c->fields);
    textmsg_init(&m, kind, "HTTP", &wide);
    assert_true(textmsg_parse(&m, out_view(&o), &err) > 0);
    int r = textmsg_framing(&m, no_body, &f, &err);
    if (r != c->r) {
        fail_msg("%s: %d instead of %d", c->fields, r, c->r);
    }
    if (r == 0) {
        assert_int_equal(f.body, c->body);
        assert_int_equal(f.length, c->length);
    }
}

static void test_request_framing(void **state)
{
    static const struct framing_case table[] = {
        {"", 0, TEXTMSG_BODY_NONE, 0},
        {"Content-Length: 0\r\n", 0, TEXTMSG_BODY_NONE, 0},
        {"Content-Length: 17\r\n", 0, TEXTMSG_BODY_LENGTH, 17},
        {"content-length: 0017\r\n", 0, TEXTMSG_BODY_LENGTH, 17},
        {"Content-Length:\r\n", -EBADMSG, 0, 0},
        {"Content-Length: +1\r\n", -EBADMSG, 0, 0},
        {"Content-Length: -1\r\n", -EBADMSG, 0, 0},
        {"Content-Length: 0x1\r\n", -EBADMSG, 0, 0},
        {"Content-Length: 1 1\r\n", -EBADMSG, 0, 0},
        {"Content-Length: 1, 1\r\n", -EBADMSG, 0, 0},
        {"Content-Length: 1\r\nContent-Length: 1\r\n", -EBADMSG, 0, 0},
        {"Content-Length: 1\r\nContent-Length: 2\r\n", -EBADMSG, 0, 0},
        {"Content-Length: 99999999999999999999\r\n", -EBADMSG, 0, 0},
        {"Content-Length: 18446744073709551616\r\n", -EBADMSG, 0, 0},
        {"Transfer-Encoding: chunked\r\n", 0, TEXTMSG_BODY_CHUNKED, 0},
        {"Transfer-Encoding: Chunked\r\n", 0, TEXTMSG_BODY_CHUNKED, 0},
        {"Transfer-Encoding: , chunked ,\r\n", 0, TEXTMSG_BODY_CHUNKED, 0},
        {"Transfer-Encoding:\r\n", -EBADMSG, 0, 0},
        {"Transfer-Encoding: gzip, chunked\r\n", -ENOTSUP, 0, 0},
        {"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", -ENOTSUP, 0, 0},
        {"Transfer-Encoding: chunked, gzip\r\n", -EBADMSG, 0, 0},
        {"Transfer-Encoding: identity\r\n", -EBADMSG, 0, 0},
        {"Transfer-Encoding: xchunked\r\n", -EBADMSG, 0, 0},
        {"Transfer-Encoding: \"chunked\"\r\n", -EBADMSG, 0, 0},
        {"Transfer-Encoding: chunked, chunked\r\n", -EBADMSG, 0, 0},
        {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", -EBADMSG, 0, 0},
        {"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", -EBADMSG, 0, 0},
        {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", -EBADMSG, 0, 0},
        {"Content-Length: 5\r\nTransfer-Encoding: identity\r\n", -EBADMSG, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        framing(TEXTMSG_REQUEST, "POST / HTTP/1.1", false, &table[i]);
    }
    const struct framing_case old = {"Transfer-Encoding: chunked\r\n", -EBADMSG, 0, 0};
    framing(TEXTMSG_REQUEST, "POST / HTTP/1.0", false, &old);
}

static void test_response_framing(void **state)
{
    const struct framing_case nothing = {"", 0, TEXTMSG_BODY_UNTIL_CLOSE, 0};
    const struct framing_case length = {"Content-Length: 9\r\n", 0, TEXTMSG_BODY_LENGTH, 9};
    const struct framing_case none = {"Content-Length: 9\r\n", 0, TEXTMSG_BODY_NONE, 0};
    const struct framing_case chunked = {"Transfer-Encoding: chunked\r\n", 0, TEXTMSG_BODY_CHUNKED,
                                         0};
    framing(TEXTMSG_RESPONSE, "HTTP/1.1 200 OK", false, &nothing);
    framing(TEXTMSG_RESPONSE, "HTTP/1.1 200 OK", false, &length);
    framing(TEXTMSG_RESPONSE, "HTTP/1.1 200 OK", false, &chunked);
    framing(TEXTMSG_RESPONSE, "HTTP/1.1 200 OK", true, &none);
    framing(TEXTMSG_RESPONSE, "HTTP/1.1 101 x", false, &none);
    framing(TEXTMSG_RESPONSE, "HTTP/1.1 204 x", false, &none);
    framing(TEXTMSG_RESPONSE, "HTTP/1.1 304 x", false, &none);
}

/* The decoded body, a "|", the result and what was left over. */
static void decode(struct bytes text, size_t piece, uint64_t max, struct out *o)
{
    struct textmsg_chunked c;
    int r = 0;
    size_t at = 0;
    textmsg_chunked_init(&c, max);
    while (at < text.len && r >= 0 && !textmsg_chunked_done(&c)) {
        struct bytes in = BYTES(text.data + at, MIN(piece, text.len - at));
        struct bytes data;
        while ((r = textmsg_chunked_next(&c, &in, &data)) > 0) {
            assert_true(data.len > 0);
            out_bytes(o, data);
        }
        at = (size_t)(in.data - text.data);
    }
    out_printf(o, "|%d", r);
    if (textmsg_chunked_done(&c)) {
        out_puts(o, "|");
        out_bytes(o, BYTES(text.data + at, text.len - at));
    }
}

static void chunked(const char *text, const char *expected)
{
    for (size_t piece = 1; piece <= 1000; piece += piece == 1 ? 1 : 998) {
        _cleanup_(out_done) struct out o = {0};
        decode(BYTES_STR(text), piece, 20, &o);
        assert_string_equal(out_str(&o), expected);
    }
}

static void test_chunked(void **state)
{
    chunked("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nnext", "hello world|0|next");
    chunked("0\r\n\r\n", "|0|");
    chunked("00005;a=\"b\"\r\nhello\r\n0 ; x\r\nA: b\r\nC-D:\r\n\r\n", "hello|0|");
    chunked("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789|0|");
    chunked("5\r\nhel", "hel|0");
    chunked("5\r\nhello\r\n", "hello|0");
    /* Over the limit: refused at the size line. */
    chunked("15\r\n", "|-27");
    chunked("a\r\n0123456789\r\nb\r\n", "0123456789|-27");
    chunked("ffffffffffffffff\r\n", "|-27");
    chunked("fffffffffffffffff\r\n", "|-27");
    chunked("00000000000000001\r\n", "|" BAD);
    chunked("\r\n", "|" BAD);
    chunked(";a\r\n", "|" BAD);
    chunked("-5\r\n", "|" BAD);
    chunked("0x5\r\n", "|" BAD);
    chunked(" 5\r\n", "|" BAD);
    chunked("5\nhello", "|" BAD);
    chunked("5\r\r\n", "|" BAD);
    chunked("5;a\nb\r\n", "|" BAD);
    chunked("5\r\nhello5\r\n", "hello|" BAD);
    chunked("5\r\nhello\n0\r\n", "hello|" BAD);
    chunked("0\r\n A: b\r\n\r\n", "|" BAD);
    chunked("0\r\nA b\r\n\r\n", "|" BAD);
    chunked("0\r\nA\r\n\r\n", "|" BAD);
    chunked("0\r\nA: \x01\r\n\r\n", "|" BAD);
    chunked("0\r\n\n", "|" BAD);
}

static void test_chunked_limits(void **state)
{
    _cleanup_(out_done) struct out ext = {0};
    _cleanup_(out_done) struct out trailer = {0};
    _cleanup_(out_done) struct out result = {0};
    out_puts(&ext, "1;");
    fill(&ext, TEXTMSG_CHUNK_EXT_MAX + 1, 'x');
    decode(out_view(&ext), 7, 20, &result);
    assert_string_equal(out_str(&result), "|-7");
    result.len = 0;
    out_puts(&trailer, "0\r\nA:");
    fill(&trailer, TEXTMSG_TRAILER_MAX, 'x');
    decode(out_view(&trailer), 7, 20, &result);
    assert_string_equal(out_str(&result), "|-7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),        cmocka_unit_test(test_malformed_requests),
        cmocka_unit_test(test_responses),       cmocka_unit_test(test_limits),
        cmocka_unit_test(test_no_rescanning),   cmocka_unit_test(test_fields),
        cmocka_unit_test(test_request_framing), cmocka_unit_test(test_response_framing),
        cmocka_unit_test(test_chunked),         cmocka_unit_test(test_chunked_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
