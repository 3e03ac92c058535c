/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/mem.h"
#include "media/av_wire.h"

#include <errno.h>

static void same(const struct av_msg *a, const struct av_msg *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->job, b->job);
    assert_int_equal(a->number, b->number);
    assert_int_equal(a->codec, b->codec);
    assert_int_equal(a->to, b->to);
    assert_int_equal(a->rate, b->rate);
    assert_int_equal(a->channels, b->channels);
    assert_int_equal(a->kbps, b->kbps);
    assert_int_equal(a->pts_ns, b->pts_ns);
    assert_int_equal(a->duration_ns, b->duration_ns);
    assert_true(bytes_equal(a->config, b->config));
    assert_true(bytes_equal(a->data, b->data));
}

static const struct av_msg messages[] = {
    {.kind = AV_HELLO, .number = AV_WIRE_VERSION},
    {.kind = AV_OPEN,
     .job = 7,
     .codec = CODEC_AAC,
     .to = CODEC_OPUS,
     .rate = 48000,
     .channels = 2,
     .kbps = 96,
     .config = {(const uint8_t *)"\x11\x90", 2}},
    {.kind = AV_OPEN,
     .job = UINT32_MAX,
     .codec = CODEC_MP3,
     .to = CODEC_AAC,
     .rate = 44100,
     .channels = 1,
     .kbps = 64},
    {.kind = AV_FRAME, .job = 7, .pts_ns = -5, .data = {(const uint8_t *)"sound", 5}},
    {.kind = AV_CLOSE, .job = 7},
    {.kind = AV_PING, .number = 3},
    {.kind = AV_PARAMS,
     .job = 7,
     .codec = CODEC_OPUS,
     .config = {(const uint8_t *)"\0\2\1\x38", 4}},
    {.kind = AV_OUT,
     .job = 7,
     .pts_ns = INT64_MAX,
     .duration_ns = 20000000,
     .data = {(const uint8_t *)"out", 3}},
    {.kind = AV_DONE, .job = 7, .number = 2},
    {.kind = AV_ERROR, .job = 7, .data = {(const uint8_t *)"no", 2}},
    {.kind = AV_PONG, .number = 3},
};

static void messages_come_out_as_they_went_in(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
        _cleanup_(out_done) struct out o = {0};
        struct av_msg got;
        av_wire_put(&o, &messages[i]);
        for (size_t cut = 0; cut < o.len; cut++) {
            assert_int_equal(av_wire_parse(BYTES(o.data, cut), &got), 0);
        }
        size_t len = o.len;
        out_puts(&o, "the next one");
        assert_int_equal(av_wire_parse(out_view(&o), &got), len);
        same(&got, &messages[i]);
    }
}

static void a_largest_frame_passes_and_nothing_larger(void **state)
{
    _cleanup_free_ uint8_t *data = mem_zalloc(AV_WIRE_DATA_MAX);
    _cleanup_(out_done) struct out o = {0};
    struct av_msg m = {.kind = AV_OUT, .job = 1, .data = BYTES(data, AV_WIRE_DATA_MAX)};
    struct av_msg got;
    av_wire_put(&o, &m);
    assert_true(o.len <= AV_WIRE_MESSAGE_MAX);
    assert_int_equal(av_wire_parse(out_view(&o), &got), o.len);
    out_u8(&o, 0);
    put_u32be(o.data, (uint32_t)(o.len - 4));
    assert_int_equal(av_wire_parse(out_view(&o), &got), -EPROTO);
    /* Known before the rest is waited for. */
    put_u32be(o.data, AV_WIRE_MESSAGE_MAX);
    assert_int_equal(av_wire_parse(BYTES(o.data, 4), &got), -EPROTO);
}

static void broken_messages_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } broken[] = {
        {"\0\0\0\4\0\0\0\0", 8},                    /* no room for a header */
        {"\0\0\0\x09\0\0\0\0\1\0\0\0\1", 13},       /* HELLO of a job */
        {"\0\0\0\5\3\0\0\0\0", 9},                  /* CLOSE of none */
        {"\0\0\0\6\3\0\0\0\1x", 10},                /* CLOSE with more behind it */
        {"\0\0\0\5\x0a\0\0\0\1", 9},                /* no such kind */
        {"\0\0\0\7\2\0\0\0\1xx", 11},               /* FRAME without its stamp */
        {"\0\0\0\x0b\5\0\0\0\1\3xyz\0\0", 15},      /* PARAMS of no codec */
        {"\0\0\0\x0c\5\0\0\0\1\4opus\xff\xff", 16}, /* configuration that is not there */
    };
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        struct av_msg got;
        assert_int_equal(av_wire_parse(BYTES(broken[i].bytes, broken[i].len), &got), -EPROTO);
    }
}

static void senseless_orders_are_refused(void **state)
{
    static const struct av_msg orders[] = {
        {.codec = CODEC_H264, .to = CODEC_OPUS, .rate = 48000, .channels = 2, .kbps = 96},
        {.codec = CODEC_AAC, .to = CODEC_AV1, .rate = 48000, .channels = 2, .kbps = 96},
        {.codec = CODEC_AAC, .to = CODEC_OPUS, .rate = 1, .channels = 2, .kbps = 96},
        {.codec = CODEC_AAC, .to = CODEC_OPUS, .rate = 48000, .channels = 0, .kbps = 96},
        {.codec = CODEC_AAC, .to = CODEC_OPUS, .rate = 48000, .channels = 3, .kbps = 96},
        {.codec = CODEC_AAC, .to = CODEC_OPUS, .rate = 48000, .channels = 2, .kbps = 5},
    };
    for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
        _cleanup_(out_done) struct out o = {0};
        struct av_msg got;
        struct av_msg m = orders[i];
        m.kind = AV_OPEN;
        m.job = 1;
        av_wire_put(&o, &m);
        assert_int_equal(av_wire_parse(out_view(&o), &got), -EPROTO);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_out_as_they_went_in),
        cmocka_unit_test(a_largest_frame_passes_and_nothing_larger),
        cmocka_unit_test(broken_messages_are_refused),
        cmocka_unit_test(senseless_orders_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
