/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/mem.h"
#include "io/ws_handshake.h"
#include "io/ws_wire.h"

/* All events of a stream as text: "T:Hello", "P:..", "C1000:bye"; a refusal as "!1002". */
static void describe(enum ws_role role, struct bytes stream, size_t piece, size_t max,
                     struct out *o)
{
    struct ws_parser p;
    struct ws_event e;
    int r = 0;
    ws_parser_init(&p, role, max);
    for (size_t at = 0; at < stream.len && r >= 0; at += piece) {
        /* Memory of exactly that size, so that a byte too many is seen. */
        size_t n = MIN(piece, stream.len - at);
        _cleanup_free_ uint8_t *copy = mem_memdup(stream.data + at, n);
        struct bytes in = BYTES(copy, n);
        while ((r = ws_parser_next(&p, &in, &e)) > 0) {
            static const char letters[16] = {
                [1] = 'T', [2] = 'B', [8] = 'C', [9] = 'P', [10] = 'O'};
            out_printf(o, "%s%c", o->len ? " " : "", letters[e.opcode]);
            if (e.opcode == WS_OP_CLOSE) {
                out_printf(o, "%d", e.code);
            }
            out_puts(o, ":");
            out_bytes(o, e.data);
        }
        assert_true(r < 0 || in.len == 0);
    }
    if (r < 0) {
        out_printf(o, "%s!%d", o->len ? " " : "", p.error_code);
        assert_non_null(p.error);
    }
    ws_parser_done(&p);
}

static void check(enum ws_role role, struct bytes stream, const char *expected)
{
    for (size_t piece = 1; piece <= 1000; piece = piece < 9 ? piece + 1 : piece + 991) {
        _cleanup_(out_done) struct out o = {0};
        describe(role, stream, piece, 300, &o);
        assert_string_equal(out_str(&o), expected);
    }
}

#define CLIENT(hex_literal, expected)                                                              \
    check(WS_ROLE_CLIENT, BYTES(hex_literal, sizeof(hex_literal) - 1), expected)
#define SERVER(hex_literal, expected)                                                              \
    check(WS_ROLE_SERVER, BYTES(hex_literal, sizeof(hex_literal) - 1), expected)

/* RFC 6455 5.7. */
static void test_examples(void **state)
{
    CLIENT("\x81\x05Hello", "T:Hello");
    SERVER("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "T:Hello");
    CLIENT("\x01\x03Hel\x80\x02lo", "T:Hello");
    CLIENT("\x89\x05Hello", "P:Hello");
    SERVER("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "O:Hello");
    char accept[WS_ACCEPT_MAX];
    ws_accept_value("dGhlIHNhbXBsZSBub25jZQ==", accept);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void test_messages(void **state)
{
    CLIENT("\x81\x00", "T:");
    CLIENT("\x82\x03\x61\x62\x63", "B:abc");
    CLIENT("\x01\x00\x00\x00\x80\x00\x82\x01x", "T: B:x");
    /* Control frames come between fragments. */
    CLIENT("\x01\x02"
           "ab\x89\x01p\x00\x01"
           "c\x8a\x00\x80\x01"
           "d\x81\x01z",
           "P:p O: T:abcd T:z");
    /* A character cut by a frame. */
    CLIENT("\x01\x01\xc3\x80\x01\xa9", "T:\xc3\xa9");
    /* Unchecked in binary. */
    CLIENT("\x82\x01\xff", "B:\xff");
    CLIENT("\x88\x00\x81\x01x", "C1005:");
    CLIENT("\x88\x05\x03\xe8"
           "bye",
           "C1000:bye");
    CLIENT("\x88\x02\x13\x87", "C4999:");
    CLIENT(
        "\x81\x7e\x00\x7e"
        "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345",
        "T:012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345");
}

static void test_refusals(void **state)
{
    CLIENT("\xc1\x00", "!1002"); /* RSV1 */
    CLIENT("\xa1\x00", "!1002");
    CLIENT("\x91\x00", "!1002");
    CLIENT("\x83\x00", "!1002"); /* reserved opcodes */
    CLIENT("\x8b\x00", "!1002");
    CLIENT("\x8f\x00", "!1002");
    CLIENT("\x80\x00", "!1002");         /* continuation of nothing */
    CLIENT("\x01\x00\x81\x00", "!1002"); /* message in a message */
    CLIENT("\x09\x00", "!1002");         /* fragmented control */
    CLIENT("\x89\x7e\x00\x7e", "!1002"); /* long control */
    CLIENT("\x81\x80", "!1002");         /* masked by a server */
    SERVER("\x81\x00", "!1002");         /* not masked by a client */
    CLIENT("\x81\x7e\x00\x7d", "!1002"); /* lengths not minimal */
    CLIENT("\x81\x7f\x00\x00\x00\x00\x00\x00\xff\xff", "!1002");
    CLIENT("\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x00", "!1002");
    CLIENT("\x88\x01\x03", "!1002"); /* close codes */
    CLIENT("\x88\x02\x03\xe7", "!1002");
    CLIENT("\x88\x02\x03\xec", "!1002");
    CLIENT("\x88\x02\x03\xed", "!1002");
    CLIENT("\x88\x02\x03\xee", "!1002");
    CLIENT("\x88\x02\x03\xf7", "!1002");
    CLIENT("\x88\x02\x0b\xb7", "!1002");
    CLIENT("\x88\x02\x13\x88", "!1002");
    CLIENT("\x88\x03\x03\xe8\xff", "!1007"); /* reason */
    CLIENT("\x88\x03\x03\xe8\xc3", "!1007");
    CLIENT("\x81\x01\xff", "!1007"); /* text */
    CLIENT("\x81\x01\xc3", "!1007");
    CLIENT("\x01\x01\xc3\x80\x01\x28", "!1007");
    CLIENT("\x81\x03\xed\xa0\x80", "!1007");
    CLIENT("\x81\x7e\x01\x2d", "!1009"); /* 301 bytes of 300, at the header */
    CLIENT("\x81\x7f\x00\x00\x00\x01\x00\x00\x00\x00", "!1009");
    CLIENT("\x01\x01x\x00\x7e\x01\x2c", "!1009");
    CLIENT("\x81\x01x\x81\x7e\x01\x2c", "T:x");
}

static void test_masking(void **state)
{
    const uint8_t key[4] = {1, 2, 4, 8};
    uint8_t src[40];
    uint8_t dst[40];
    for (size_t i = 0; i < sizeof(src); i++) {
        src[i] = (uint8_t)(i * 37);
    }
    for (size_t n = 0; n <= sizeof(src); n++) {
        for (uint64_t at = 0; at < 5; at++) {
            ws_mask(dst, src, n, key, at);
            for (size_t i = 0; i < n; i++) {
                assert_int_equal(dst[i], src[i] ^ key[(at + i) % 4]);
            }
        }
    }
}

/* Every size class, through our own writer and back, masked and not. */
static void test_round_trip(void **state)
{
    static const size_t sizes[] = {0, 1, 125, 126, 127, 65535, 65536, 200000};
    const uint8_t key[4] = {0xde, 0xad, 0xbe, 0xef};
    for (size_t i = 0; i < ARRAY_LEN(sizes) * 2; i++) {
        size_t n = sizes[i / 2];
        bool masked = i % 2;
        uint8_t header[WS_FRAME_HEADER_MAX];
        _cleanup_free_ uint8_t *data = mem_alloc(n);
        _cleanup_(out_done) struct out o = {0};
        memset(data, 'd', n);
        out_mem(&o, header, ws_header_put(header, WS_OP_BINARY, n, masked ? key : NULL));
        assert_int_equal(o.len, 2 + (n > 65535 ? 8 : n > 125 ? 2 : 0) + (masked ? 4 : 0));
        if (masked) {
            ws_mask(out_extend(&o, n), data, n, key, 0);
        } else {
            out_mem(&o, data, n);
        }
        struct ws_parser p;
        struct ws_event e;
        struct bytes in = out_view(&o);
        ws_parser_init(&p, masked ? WS_ROLE_SERVER : WS_ROLE_CLIENT, 200000);
        assert_int_equal(ws_parser_next(&p, &in, &e), 1);
        assert_true(bytes_equal(e.data, BYTES(data, n)));
        assert_int_equal(ws_parser_next(&p, &in, &e), 0);
        assert_null(p.data); /* idle: no memory is kept */
        ws_parser_done(&p);
    }
}

static void test_out_of_memory(void **state)
{
    struct ws_parser p;
    struct ws_event e;
    struct bytes in = BYTES("\x81\x05Hello", 7);
    ws_parser_init(&p, WS_ROLE_CLIENT, 100);
    mem_fail_after(0);
    int r = ws_parser_next(&p, &in, &e);
    mem_fail_after(-1);
    assert_true(r < 0);
    assert_int_equal(p.error_code, WS_CLOSE_INTERNAL);
    ws_parser_done(&p);
}

static void test_tracker(void **state)
{
    _cleanup_(out_done) struct out o = {0};
    static const size_t sizes[] = {0, 5, 126, 70000, 0, 1};
    size_t ends[ARRAY_LEN(sizes)];
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        uint8_t header[WS_FRAME_HEADER_MAX];
        out_mem(&o, header, ws_header_put(header, WS_OP_BINARY, sizes[i], NULL));
        memset(out_extend(&o, sizes[i]), 0xff, sizes[i]);
        ends[i] = o.len;
    }
    for (size_t piece = 1; piece < 5000; piece = piece * 3 + 1) {
        struct ws_tracker t = {0};
        size_t at = 0;
        size_t frame = 0;
        while (at < o.len) {
            size_t used = ws_tracker_take(&t, BYTES(o.data + at, MIN(piece, o.len - at)));
            assert_true(used > 0);
            at += used;
            assert_true(at <= ends[frame]);
            assert_int_equal(ws_tracker_between(&t), at == ends[frame]);
            frame += at == ends[frame];
        }
        assert_int_equal(frame, ARRAY_LEN(sizes));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),   cmocka_unit_test(test_messages),
        cmocka_unit_test(test_refusals),   cmocka_unit_test(test_masking),
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_tracker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
