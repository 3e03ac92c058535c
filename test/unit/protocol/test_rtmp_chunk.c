/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/mem.h"
#include "protocol/rtmp/rtmp_chunk_wire.h"

#include <errno.h>
#include <stdio.h>

/* Writes what comes out of a reader as text, so that two ways of feeding can be compared. */
static int describe(struct bytes in, size_t step, uint32_t message_max, struct out *text,
                    struct error *err)
{
    struct rtmp_chunk_reader r;
    rtmp_chunk_reader_init(&r, message_max);
    int k = 0;
    for (size_t at = 0; at < in.len && k >= 0;) {
        const size_t n = MIN(step, in.len - at);
        _cleanup_free_ void *copy = mem_memdup(in.data + at, n);
        struct rd rd = rd_init(BYTES(copy, n));
        struct rtmp_message m;
        while ((k = rtmp_chunk_read(&r, &rd, &m, err)) > 0) {
            uint32_t sum = 0;
            for (size_t i = 0; i < m.body.len; i++) {
                sum = sum * 31 + m.body.data[i];
            }
            out_printf(text, "%u/%u/%u@%u:%zu:%x ", m.csid, m.type, m.stream_id, m.timestamp,
                       m.body.len, sum);
        }
        at += n;
    }
    assert_true(r.held <= 2 * (size_t)message_max);
    rtmp_chunk_reader_done(&r);
    return k;
}

static void expect(struct bytes in, int result, const char *want)
{
    static const size_t steps[] = {1, 2, 3, 127, 1 << 20};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        _cleanup_(out_done) struct out text = {0};
        struct error err = {0};
        const int r = describe(in, steps[i], RTMP_MESSAGE_MAX_EARLY, &text, &err);
        if (r != result) {
            fail_msg("step %zu: %d (%s) instead of %d", steps[i], r, err.text, result);
        }
        assert_string_equal(out_str(&text), want);
    }
}

static void test_header_types(void **state)
{
    static const uint8_t in[] = {
        /* type 0, csid 3: ts 1000, 3 bytes, audio, stream 1 */
        0x03,
        0x00,
        0x03,
        0xe8,
        0x00,
        0x00,
        0x03,
        0x08,
        0x01,
        0x00,
        0x00,
        0x00,
        'a',
        'b',
        'c',
        /* type 1: delta 20, 2 bytes, video */
        0x43,
        0x00,
        0x00,
        0x14,
        0x00,
        0x00,
        0x02,
        0x09,
        'd',
        'e',
        /* type 2: delta 30 */
        0x83,
        0x00,
        0x00,
        0x1e,
        'f',
        'g',
        /* type 3: again 30 */
        0xc3,
        'h',
        'i',
        /* csid 64 + 5 in two bytes, and 64 + 1 + 256 in three; the second one's ts goes back */
        0x00,
        0x05,
        0x00,
        0x00,
        0x07,
        0x00,
        0x00,
        0x01,
        0x08,
        0x01,
        0x00,
        0x00,
        0x00,
        'j',
        0x01,
        0x01,
        0x01,
        0x00,
        0x00,
        0x06,
        0x00,
        0x00,
        0x00,
        0x12,
        0x02,
        0x01,
        0x00,
        0x00,
        /* type 3 after type 0: the stamp counts as delta (5.3.1.2.4) */
        0xc0,
        0x05,
        'k',
    };
    expect(BYTES(in, sizeof(in)), 0,
           "3/8/1@1000:3:17862 3/9/1@1020:2:c81 3/9/1@1050:2:cc1 3/9/1@1080:2:d01 "
           "69/8/1@7:1:6a 321/18/258@6:0:0 69/8/1@14:1:6b ");
}

static void test_interleaved_and_abort(void **state)
{
    _cleanup_(out_done) struct out o = {0};
    uint8_t big[300];
    memset(big, 7, sizeof(big));
    const struct rtmp_message video = {9, 6, 1, 40, BYTES(big, sizeof(big))};
    _cleanup_(out_done) struct out v = {0};
    rtmp_chunk_write(&v, &video, 128);
    const struct rtmp_message audio = {8, 4, 1, 41, BYTES(big, 5)};
    /* Audio between the first and second chunk of video. */
    out_mem(&o, v.data, 12 + 128);
    rtmp_chunk_write(&o, &audio, 128);
    out_mem(&o, v.data + 140, v.len - 140);
    expect(out_view(&o), 0, "4/8/1@41:5:65ee47 6/9/1@40:300:2af47b40 ");

    /* The same with an abort of video in place of audio: what follows begins anew. */
    o.len = 0;
    out_mem(&o, v.data, 12 + 128);
    rtmp_write_control(&o, RTMP_ABORT, 6);
    rtmp_chunk_write(&o, &audio, 128);
    out_mem(&o, v.data, v.len);
    expect(out_view(&o), 0, "4/8/1@41:5:65ee47 6/9/1@40:300:2af47b40 ");

    /* A full header in the middle of a message gives it up. */
    o.len = 0;
    out_mem(&o, v.data, 12 + 128);
    out_mem(&o, v.data, v.len);
    expect(out_view(&o), 0, "6/9/1@40:300:2af47b40 ");
}

static void test_chunk_sizes(void **state)
{
    uint8_t body[1000];
    for (size_t i = 0; i < sizeof(body); i++) {
        body[i] = (uint8_t)(i * 7);
    }
    static const uint32_t sizes[] = {1, 2, 128, 999, 1000, 1001, 65536, 0xffffff};
    static const uint32_t times[] = {0, 0xfffffe, 0xffffff, 0x1000000, 0xffffffff};
    static const uint32_t csids[] = {3, 63, 64, 319, 320, 65599};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        for (size_t j = 0; j < ARRAY_LEN(times); j++) {
            _cleanup_(out_done) struct out o = {0};
            _cleanup_(out_done) struct out want = {0};
            rtmp_write_control(&o, RTMP_SET_CHUNK_SIZE, sizes[i]);
            const uint32_t csid = csids[(i + j) % ARRAY_LEN(csids)];
            const struct rtmp_message m = {9, csid, 1, times[j], BYTES(body, 300)};
            const size_t len = rtmp_chunk_wire_len(1000, csid, times[j], sizes[i]);
            uint8_t *p = out_extend(&o, len);
            assert_ptr_equal(rtmp_chunk_put(p, &m, BYTES(body + 300, 700), sizes[i]), p + len);
            out_printf(&want, "%u/9/1@%u:1000:", csid, times[j]);
            _cleanup_(out_done) struct out got = {0};
            assert_int_equal(describe(out_view(&o), 1 << 20, RTMP_MESSAGE_MAX_EARLY, &got, NULL),
                             0);
            /* The checksum is that of the first round, whatever it is. */
            static char sum[16];
            const char *colon = strrchr(out_str(&got), ':');
            if (!sum[0]) {
                snprintf(sum, sizeof(sum), "%s", colon);
            }
            assert_string_equal(colon, sum);
            assert_memory_equal(got.data, want.data, want.len);
            expect(out_view(&o), 0, out_str(&got));
        }
    }
}

/* A peer that leaves the extended timestamp out of type 3 chunks, whatever the size of the last one. */
static void test_bare_type3(void **state)
{
    uint8_t body[300];
    memset(body, 9, sizeof(body));
    for (size_t len = 257; len <= 264; len++) {
        _cleanup_(out_done) struct out with = {0};
        _cleanup_(out_done) struct out bare = {0};
        const struct rtmp_message m = {9, 6, 1, 0x1234567, BYTES(body, len)};
        rtmp_chunk_write(&with, &m, 128);
        rtmp_chunk_write(&with, &m, 128);
        for (int twice = 0; twice < 2; twice++) {
            for (size_t at = 0, chunk = 0; at < with.len / 2; chunk++) {
                const size_t head = chunk == 0 ? 16 : 5;
                const size_t n = MIN((size_t)128, with.len / 2 - at - head);
                out_mem(&bare, with.data + at, chunk == 0 ? 16 : 1);
                out_mem(&bare, with.data + at + head, n);
                at += head + n;
            }
        }
        _cleanup_(out_done) struct out want = {0};
        assert_int_equal(describe(out_view(&with), 1 << 20, 65536, &want, NULL), 0);
        expect(out_view(&with), 0, out_str(&want));
        expect(out_view(&bare), 0, out_str(&want));
    }
}

static void test_hostile(void **state)
{
    static const uint8_t too_long[] = {0x03, 0, 0, 0, 0x01, 0x00, 0x01, 8, 1, 0, 0, 0, 'x'};
    expect(BYTES(too_long, sizeof(too_long)), -EMSGSIZE, "");
    static const uint8_t no_header[] = {0xc3, 'x'};
    expect(BYTES(no_header, sizeof(no_header)), -EPROTO, "");
    static const uint8_t no_length[] = {0x83, 0, 0, 1};
    expect(BYTES(no_length, sizeof(no_length)), -EPROTO, "");
    static const uint8_t cut_control[] = {0x02, 0, 0, 0, 0, 0, 3, 1, 0, 0, 0, 0, 0, 0, 1};
    expect(BYTES(cut_control, sizeof(cut_control)), -EPROTO, "");
    _cleanup_(out_done) struct out zero = {0};
    rtmp_write_control(&zero, RTMP_SET_CHUNK_SIZE, 0);
    expect(out_view(&zero), -EPROTO, "");
    rtmp_write_control(&zero, RTMP_SET_CHUNK_SIZE, 0x80000000);
    expect(out_view(&zero), -EPROTO, "");

    /* librtmp opens with type 1. */
    static const uint8_t type1[] = {0x42, 0, 0, 1, 0, 0, 1, 8, 'x'};
    expect(BYTES(type1, sizeof(type1)), 0, "2/8/0@1:1:78 ");

    _cleanup_(out_done) struct out many = {0};
    for (uint32_t i = 0; i <= RTMP_CHUNK_STREAMS_MAX; i++) {
        const struct rtmp_message m = {8, 3 + i, 1, 0, BYTES("", 0)};
        rtmp_chunk_write(&many, &m, 128);
    }
    _cleanup_(out_done) struct out text = {0};
    struct error err = {0};
    assert_int_equal(describe(out_view(&many), 1 << 20, 65536, &text, &err), -EPROTO);
    assert_non_null(strstr(err.text, "chunk streams"));
}

/* Declared lengths cost nothing; what is received is bounded over all chunk streams. */
static void test_memory(void **state)
{
    struct rtmp_chunk_reader r;
    rtmp_chunk_reader_init(&r, RTMP_MESSAGE_MAX);
    _cleanup_(out_done) struct out o = {0};
    rtmp_write_control(&o, RTMP_SET_CHUNK_SIZE, 0x7fffffff);
    for (uint32_t i = 0; i < RTMP_CHUNK_STREAMS_MAX - 1; i++) {
        uint8_t body[100];
        memset(body, 0, sizeof(body));
        const struct rtmp_message m = {9, 3 + i, 1, 0, BYTES(body, sizeof(body))};
        const size_t at = o.len;
        rtmp_chunk_write(&o, &m, 0xffffff);
        put_u24be(o.data + at + 4, RTMP_MESSAGE_MAX - 1);
        struct rd rd = rd_init(out_view(&o));
        struct rtmp_message ret;
        assert_int_equal(rtmp_chunk_read(&r, &rd, &ret, NULL), 0);
        assert_int_equal(rd_left(&rd), 0);
        /* The chunk size is 16 MiB, so the next stream's header would be read as body: start over. */
        assert_true(r.held <= 256 + 4);
        rtmp_chunk_reader_done(&r);
        rtmp_chunk_reader_init(&r, RTMP_MESSAGE_MAX);
        o.len = 0;
        rtmp_write_control(&o, RTMP_SET_CHUNK_SIZE, 0x7fffffff);
    }
    rtmp_chunk_reader_done(&r);

    /* 20 messages, each of which is under the limit of 64 KiB, all unfinished. */
    rtmp_chunk_reader_init(&r, RTMP_MESSAGE_MAX_EARLY);
    o.len = 0;
    rtmp_write_control(&o, RTMP_SET_CHUNK_SIZE, 60000);
    uint8_t *body = mem_zalloc(64000);
    for (uint32_t i = 0; i < 20; i++) {
        const struct rtmp_message m = {9, 3 + i, 1, 0, BYTES(body, 64000)};
        _cleanup_(out_done) struct out one = {0};
        rtmp_chunk_write(&one, &m, 60000);
        out_mem(&o, one.data, 12 + 60000);
    }
    free(body);
    struct rd rd = rd_init(out_view(&o));
    struct rtmp_message ret;
    struct error err = {0};
    assert_int_equal(rtmp_chunk_read(&r, &rd, &ret, &err), -EMSGSIZE);
    assert_true(r.held <= 2 * RTMP_MESSAGE_MAX_EARLY);
    rtmp_chunk_reader_done(&r);
}

static void test_allocation_failures(void **state)
{
    uint8_t body[3000];
    memset(body, 1, sizeof(body));
    _cleanup_(out_done) struct out o = {0};
    for (uint32_t i = 0; i < 6; i++) {
        const struct rtmp_message m = {9, 3 + i, 1, 0, BYTES(body, sizeof(body))};
        rtmp_chunk_write(&o, &m, 128);
    }
    long n = 0;
    for (;; n++) {
        struct rtmp_chunk_reader r;
        rtmp_chunk_reader_init(&r, RTMP_MESSAGE_MAX);
        struct rd rd = rd_init(out_view(&o));
        struct rtmp_message m;
        int k;
        mem_fail_after(n);
        while ((k = rtmp_chunk_read(&r, &rd, &m, NULL)) > 0) {
        }
        mem_fail_after(-1);
        rtmp_chunk_reader_done(&r);
        if (k == 0) {
            break;
        }
        assert_int_equal(k, -ENOMEM);
    }
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_types),
        cmocka_unit_test(test_interleaved_and_abort),
        cmocka_unit_test(test_chunk_sizes),
        cmocka_unit_test(test_bare_type3),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
