/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"
#include "fixture.h"

#include "media/flv.h"
#include "media/timeline.h"

#include <errno.h>

static int one(enum track_kind kind, const void *body, size_t len, struct flv_packet *ret)
{
    struct flv_iter it;
    uint8_t *exact = mem_memdup(body, len); /* its own allocation: ASan sees a read past the end */
    flv_iter_init(&it, kind, BYTES(exact, len));
    int r = flv_next(&it, ret, NULL);
    if (r > 0) {
        struct flv_packet more;
        /* data is compared by content below, so it may point into the original */
        ret->data = ret->data.len > 0
                        ? BYTES((const uint8_t *)body + (ret->data.data - exact), ret->data.len)
                        : BYTES(NULL, 0);
        assert_int_equal(flv_next(&it, &more, NULL), 0);
    }
    free(exact);
    return r;
}

struct body_case {
    enum track_kind kind;
    const char *body;
    size_t len;
    int r;
    enum flv_packet_type type;
    enum codec codec;
    bool key;
    int32_t cts_ms;
    uint32_t nano;
    uint8_t track_id;
    const char *data;
};

#define V       TRACK_VIDEO
#define A       TRACK_AUDIO
#define BODY(s) s, sizeof(s) - 1

static const struct body_case bodies[] = {
    {V, BODY("\x17\x00\0\0\0cfg"), 1, FLV_SEQUENCE_START, CODEC_H264, true, 0, 0, 0, "cfg"},
    {V, BODY("\x27\x01\x00\x00\x50nal"), 1, FLV_CODED_FRAMES, CODEC_H264, false, 80, 0, 0, "nal"},
    {V, BODY("\x27\x01\xff\xff\xd8nal"), 1, FLV_CODED_FRAMES, CODEC_H264, false, -40, 0, 0, "nal"},
    {V, BODY("\x17\x02\0\0\0"), 1, FLV_SEQUENCE_END, CODEC_H264, true, 0, 0, 0, ""},
    {V, BODY("\x1c\x01\0\0\x01nal"), 1, FLV_CODED_FRAMES, CODEC_HEVC, true, 1, 0, 0, "nal"},
    {V, BODY("\x57\x00"), 1, FLV_IGNORED, 0, false, 0, 0, 0, ""},
    {V, BODY("\x22xyz"), -ENOTSUP, 0, 0, 0, 0, 0, 0, ""},
    {V, BODY("\x17\x01\0\0"), -EINVAL, 0, 0, 0, 0, 0, 0, ""},
    {V, BODY("\x17\x03\0\0\0"), -EINVAL, 0, 0, 0, 0, 0, 0, ""},
    {A, BODY("\xaf\x00\x11\x90"), 1, FLV_SEQUENCE_START, CODEC_AAC, false, 0, 0, 0, "\x11\x90"},
    {A, BODY("\xaf\x01raw"), 1, FLV_CODED_FRAMES, CODEC_AAC, false, 0, 0, 0, "raw"},
    {A, BODY("\xaf"), -EINVAL, 0, 0, 0, 0, 0, 0, ""},
    {A, BODY("\x2f\xff\xfb"), 1, FLV_CODED_FRAMES, CODEC_MP3, false, 0, 0, 0, "\xff\xfb"},
    {A, BODY("\xb2speex"), -ENOTSUP, 0, 0, 0, 0, 0, 0, ""},
    /* Enhanced video */
    {V, BODY("\x90hvc1cfg"), 1, FLV_SEQUENCE_START, CODEC_HEVC, true, 0, 0, 0, "cfg"},
    {V, BODY("\xa1hvc1\x00\x00\x28nal"), 1, FLV_CODED_FRAMES, CODEC_HEVC, false, 40, 0, 0, "nal"},
    {V, BODY("\xa3hvc1nal"), 1, FLV_CODED_FRAMES, CODEC_HEVC, false, 0, 0, 0, "nal"},
    {V,
     BODY("\x91"
          "avc1\xff\xff\xffnal"),
     1, FLV_CODED_FRAMES, CODEC_H264, true, -1, 0, 0, "nal"},
    {V,
     BODY("\x91"
          "av01obu"),
     1, FLV_CODED_FRAMES, CODEC_AV1, true, 0, 0, 0, "obu"},
    {V, BODY("\xa1vp09frame"), 1, FLV_CODED_FRAMES, CODEC_VP9, false, 0, 0, 0, "frame"},
    {V, BODY("\x92vp09"), 1, FLV_SEQUENCE_END, CODEC_VP9, true, 0, 0, 0, ""},
    {V, BODY("\x94hvc1amf"), 1, FLV_IGNORED, CODEC_HEVC, true, 0, 0, 0, "amf"},
    {V, BODY("\xd1\x00"), 1, FLV_IGNORED, 0, false, 0, 0, 0, ""},
    {V, BODY("\x91vvc1x"), -ENOTSUP, 0, 0, 0, 0, 0, 0, ""},
    {V, BODY("\x91Opusx"), -ENOTSUP, 0, 0, 0, 0, 0, 0, ""},
    {V, BODY("\x91hvc1\0\0"), -EINVAL, 0, 0, 0, 0, 0, 0, ""},
    {V, BODY("\x91hvc"), -EINVAL, 0, 0, 0, 0, 0, 0, ""},
    /* ModEx: 3 bytes of nanoseconds, then coded frames; an unknown one of 300 bytes is stepped over below */
    {V,
     BODY("\x97\x02\x00\x30\x39\x01"
          "av01obu"),
     1, FLV_CODED_FRAMES, CODEC_AV1, true, 0, 12345, 0, "obu"},
    {V,
     BODY("\x97\x02\xff\xff\xff\x01"
          "av01obu"),
     1, FLV_CODED_FRAMES, CODEC_AV1, true, 0, 999999, 0, "obu"},
    {V, BODY("\x97\x02\x00\x30"), -EINVAL, 0, 0, 0, 0, 0, 0, ""},
    /* multitrack, one track */
    {V, BODY("\x96\x01hvc1\x05\x00\x00\x02nal"), 1, FLV_CODED_FRAMES, CODEC_HEVC, true, 2, 0, 5,
     "nal"},
    {V, BODY("\x96\x06hvc1\x05nal"), -EINVAL, 0, 0, 0, 0, 0, 0, ""},
    {V, BODY("\x96\x07hvc1\x05nal"), -EINVAL, 0, 0, 0, 0, 0, 0, ""},
    {V, BODY("\x96\x31hvc1\x05nal"), -EINVAL, 0, 0, 0, 0, 0, 0, ""},
    {V, BODY("\x96\x01hvc1"), -EINVAL, 0, 0, 0, 0, 0, 0, ""},
    {V, BODY("\x96\x01vvc1\x05nal"), -ENOTSUP, 0, 0, 0, 0, 0, 0, ""},
    /* Enhanced audio */
    {A, BODY("\x90OpusOpusHead"), 1, FLV_SEQUENCE_START, CODEC_OPUS, false, 0, 0, 0, "OpusHead"},
    {A, BODY("\x91mp4araw"), 1, FLV_CODED_FRAMES, CODEC_AAC, false, 0, 0, 0, "raw"},
    {A, BODY("\x91.mp3raw"), 1, FLV_CODED_FRAMES, CODEC_MP3, false, 0, 0, 0, "raw"},
    {A, BODY("\x94Opus\x00\x02"), 1, FLV_IGNORED, CODEC_OPUS, false, 0, 0, 0, "\x00\x02"},
    {A, BODY("\x92Opus"), 1, FLV_SEQUENCE_END, CODEC_OPUS, false, 0, 0, 0, ""},
    {A, BODY("\x93Opusx"), -EINVAL, 0, 0, 0, 0, 0, 0, ""},
    {A, BODY("\x95\x01Opus\x01raw"), 1, FLV_CODED_FRAMES, CODEC_OPUS, false, 0, 0, 1, "raw"},
    {A, BODY("\x97\x02\x00\x00\x09\x01Opusraw"), 1, FLV_CODED_FRAMES, CODEC_OPUS, false, 0, 9, 0,
     "raw"},
    {A,
     BODY("\x91"
          "fLaCx"),
     -ENOTSUP, 0, 0, 0, 0, 0, 0, ""},
    {A,
     BODY("\x91"
          "av01x"),
     -ENOTSUP, 0, 0, 0, 0, 0, 0, ""},
    {A, BODY(""), 0, 0, 0, 0, 0, 0, 0, ""},
};

static void test_bodies(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        const struct body_case *c = &bodies[i];
        struct flv_packet p = {0};
        int r = one(c->kind, c->body, c->len, &p);
        if (r != c->r) {
            fail_msg("body %zu: %d, expected %d", i, r, c->r);
        }
        if (r <= 0) {
            continue;
        }
        bool same = p.type == c->type && p.key == c->key && p.cts_ms == c->cts_ms &&
                    p.nano == c->nano && p.track_id == c->track_id && p.kind == c->kind;
        bool ignored = p.type == FLV_IGNORED;
        if (!same || (!ignored && (p.codec != c->codec || !bytes_equal_str(p.data, c->data)))) {
            fail_msg("body %zu: type %d codec %d key %d cts %d nano %u track %u, %zu bytes", i,
                     p.type, p.codec, p.key, p.cts_ms, p.nano, p.track_id, p.data.len);
        }
    }
}

static void test_long_mod_ex_is_stepped_over(void **state)
{
    _cleanup_(out_done) struct out o = {0};
    out_u8(&o, 0x97);
    out_u8(&o, 0xff); /* 256: the size follows */
    out_u16be(&o, 300 - 1);
    memset(out_extend(&o, 300), 7, 300);
    out_u8(&o, 0x51); /* an unknown ModEx type, then coded frames */
    out_puts(&o, "av01obu");
    struct flv_packet p;
    assert_int_equal(one(TRACK_VIDEO, o.data, o.len, &p), 1);
    assert_true(bytes_equal_str(p.data, "obu"));
    assert_int_equal(p.nano, 0);
}

static void test_many_tracks(void **state)
{
    static const char many[] = "\x96\x11hvc1\x00\x00\x00\x05\x00\x00\x01"
                               "ab\x01\x00\x00\x04\xff\xff\xff"
                               "c";
    static const char codecs[] = "\x96\x20"
                                 "av01\x00\x00\x00\x01"
                                 "avvc1\x01\x00\x00\x02xxvp09\x02\x00\x00\x01"
                                 "b";
    struct flv_iter it;
    struct flv_packet p;
    flv_iter_init(&it, TRACK_VIDEO, BYTES(many, sizeof(many) - 1));
    assert_int_equal(flv_next(&it, &p, NULL), 1);
    assert_true(p.track_id == 0 && p.cts_ms == 1 && bytes_equal_str(p.data, "ab"));
    assert_int_equal(flv_next(&it, &p, NULL), 1);
    assert_true(p.track_id == 1 && p.cts_ms == -1 && bytes_equal_str(p.data, "c"));
    assert_int_equal(flv_next(&it, &p, NULL), 0);

    flv_iter_init(&it, TRACK_VIDEO, BYTES(codecs, sizeof(codecs) - 1));
    assert_int_equal(flv_next(&it, &p, NULL), 1);
    assert_true(p.codec == CODEC_AV1 && p.type == FLV_SEQUENCE_START &&
                bytes_equal_str(p.data, "a"));
    assert_int_equal(flv_next(&it, &p, NULL), 1);
    assert_true(p.type == FLV_IGNORED && p.track_id == 1);
    assert_int_equal(flv_next(&it, &p, NULL), 1);
    assert_true(p.codec == CODEC_VP9 && p.track_id == 2 && bytes_equal_str(p.data, "b"));
    assert_int_equal(flv_next(&it, &p, NULL), 0);

    flv_iter_init(&it, TRACK_VIDEO,
                  BYTES(many, sizeof(many) - 2)); /* the second track's size is over the end */
    assert_int_equal(flv_next(&it, &p, NULL), 1);
    assert_int_equal(flv_next(&it, &p, NULL), -EINVAL);
    assert_int_equal(flv_next(&it, &p, NULL), 0);
}

/* ---- what we write is what we read ---- */

static struct sample *feed(struct flv_input *in, struct bytes body, int64_t dts_ns)
{
    struct flv_iter it;
    struct flv_packet p;
    struct sample *s = NULL;
    struct error err = {0};
    flv_iter_init(&it, codec_kind(in->canon.codec), body);
    int r = flv_next(&it, &p, &err);
    if (r > 0) {
        r = flv_input_feed(in, &p, dts_ns, 77, &s, &err);
    }
    if (r < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    assert_int_equal(flv_next(&it, &p, NULL), 0);
    return s;
}

static void check_round_trip(const struct fixture_track *t)
{
    struct canon canon;
    struct flv_input in;
    canon_init(&canon, t->codec);
    flv_input_init(&in, 3, t->codec);
    assert_true(canon_config(&canon, t->config, NULL) >= 0);
    for (unsigned k = 0; k < t->n; k++) {
        const struct fixture_sample *f = &t->samples[k];
        int64_t dts_ns = ns_from_ticks(f->dts, t->timescale);
        struct canon_unit unit = {f->data, ns_from_ticks(f->pts, t->timescale), f->key};
        struct canon_result res;
        assert_int_equal(canon_feed(&canon, &unit, &res, NULL), 0);
        struct sample *sent =
            sample_new(0, canon.params, &res.payload, dts_ns, unit.pts_ns, res.flags, 0);
        if (k == 0) {
            struct buf *start = flv_sequence_start(sent->params);
            assert_int_equal(start == NULL, t->codec == CODEC_MP3);
            if (start) {
                assert_null(feed(&in, buf_view(start), 0));
            }
            buf_unref(&start);
        }
        _cleanup_(out_done) struct out body = {0};
        uint8_t header[FLV_HEADER_MAX];
        out_mem(&body, header, flv_put_header(header, sent));
        out_bytes(&body, buf_view(sent->payload));
        int64_t wire_ns = (int64_t)flv_timestamp_ms(dts_ns) * 1000000;
        struct sample *got = feed(&in, out_view(&body), wire_ns);
        assert_non_null(got);
        assert_true(bytes_equal(buf_view(got->payload), buf_view(sent->payload)));
        assert_int_equal(got->flags, sent->flags);
        assert_int_equal(got->track, 3);
        assert_int_equal(got->arrival_ns, 77);
        assert_true(track_params_equal(got->params, sent->params));
        if (codec_kind(t->codec) == TRACK_AUDIO) {
            assert_int_equal(got->dts_ns,
                             dts_ns); /* back on the sample grid, though the wire has ms */
        } else {
            assert_int_equal(got->dts_ns, wire_ns);
            assert_int_equal(got->pts_ns, (int64_t)flv_timestamp_ms(unit.pts_ns) * 1000000);
        }
        sample_unref(&got);
        sample_unref(&sent);
    }
    struct buf *end = flv_sequence_end(in.canon.params);
    if (end) {
        assert_null(feed(&in, buf_view(end), 0));
    }
    buf_unref(&end);
    canon_done(&canon);
    flv_input_done(&in);
}

static void check_file(const char *name)
{
    struct fixture *f = fixture_open(name);
    check_round_trip(&f->tracks[0]);
    check_round_trip(&f->tracks[1]);
    fixture_close(f);
    assert_int_equal(sample_live_count(), 0);
    assert_int_equal(buf_live_count(), 0);
    assert_int_equal(track_params_live_count(), 0);
}

static void test_round_trip_of_h264_and_aac(void **state)
{
    check_file("h264_aac.mp4");
}

static void test_round_trip_of_hevc(void **state)
{
    check_file("hevc_aac.mp4");
}

static void test_round_trip_of_av1_and_opus(void **state)
{
    check_file("av1_opus.mp4");
}

static void test_round_trip_of_vp9_and_mp3(void **state)
{
    check_file("vp9_mp3.mp4");
}

static void test_frames_before_their_configuration_are_dropped(void **state)
{
    struct flv_input in;
    flv_input_init(&in, 0, CODEC_AAC);
    assert_null(feed(&in, BYTES("\xaf\x01raw", 5), 0));
    assert_null(feed(&in, BYTES("\xaf\x00", 2), 0)); /* an empty sequence header is not an error */
    assert_null(feed(&in, BYTES("\xaf\x00\x11\x90", 4), 0));
    struct track_params *before = in.canon.params;
    assert_null(feed(&in, BYTES("\xaf\x00\x11\x90", 4), 0));
    assert_ptr_equal(in.canon.params, before); /* repeated unchanged: the same object */
    assert_null(feed(&in, BYTES("\xaf\x00\x12\x10", 4), 0));
    assert_ptr_not_equal(in.canon.params, before);
    struct sample *s = feed(&in, BYTES("\xaf\x01raw", 5), 0);
    assert_int_equal(s->params->sample_rate, 44100);
    sample_unref(&s);
    flv_input_done(&in);
}

/* Every allocation that a remote size decides fails once: an error, nothing leaked, and the next feed works. */
static void check_allocation_failures(const struct fixture_track *t)
{
    struct flv_packet config = {.type = FLV_SEQUENCE_START,
                                .kind = codec_kind(t->codec),
                                .codec = t->codec,
                                .data = t->config};
    struct flv_packet frame = {.type = FLV_CODED_FRAMES,
                               .kind = config.kind,
                               .codec = t->codec,
                               .key = true,
                               .data = t->samples[0].data};
    for (long n = 0;; n++) {
        struct flv_input in;
        struct sample *s = NULL;
        flv_input_init(&in, 0, t->codec);
        mem_fail_after(n);
        int r = flv_input_feed(&in, &config, 0, 0, &s, NULL);
        r = r < 0 ? r : flv_input_feed(&in, &frame, 0, 0, &s, NULL);
        mem_fail_after(-1);
        assert_true(r == 1 || r == -ENOMEM);
        assert_int_equal(s != NULL, r == 1);
        sample_unref(&s);
        assert_true(flv_input_feed(&in, &config, 0, 0, &s, NULL) >= 0);
        assert_int_equal(flv_input_feed(&in, &frame, 0, 0, &s, NULL), 1);
        sample_unref(&s);
        flv_input_done(&in);
        assert_int_equal(buf_live_count(), 0);
        assert_int_equal(track_params_live_count(), 0);
        if (r == 1) {
            assert_true(n >= 1);
            return;
        }
    }
}

static void test_allocation_failures(void **state)
{
    static const char *const names[] = {"h264_aac.mp4", "hevc_aac.mp4", "av1_opus.mp4",
                                        "vp9_mp3.mp4"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct fixture *f = fixture_open(names[i]);
        check_allocation_failures(&f->tracks[0]);
        check_allocation_failures(&f->tracks[1]);
        fixture_close(f);
    }
}

static void test_another_codec_on_the_track_is_refused(void **state)
{
    struct flv_input in;
    struct sample *s = NULL;
    struct flv_packet p = {.type = FLV_CODED_FRAMES, .kind = TRACK_VIDEO, .codec = CODEC_AV1};
    flv_input_init(&in, 0, CODEC_H264);
    assert_int_equal(flv_input_feed(&in, &p, 0, 0, &s, NULL), -EINVAL);
    assert_null(s);
    flv_input_done(&in);
}

static void test_timestamps_and_metadata(void **state)
{
    assert_int_equal(flv_timestamp_ms(1499999), 1);
    assert_int_equal(flv_timestamp_ms(1500000), 2);
    assert_int_equal(flv_timestamp_ms(4294967296LL * 1000000), 0);
    assert_int_equal(flv_metadata_codec_id(CODEC_H264), 7);
    assert_int_equal(flv_metadata_codec_id(CODEC_AAC), 10);
    assert_int_equal(flv_metadata_codec_id(CODEC_MP3), 2);
    assert_int_equal(flv_metadata_codec_id(CODEC_HEVC), 0x68766331);
    assert_int_equal(flv_metadata_codec_id(CODEC_OPUS), 0x4f707573);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_long_mod_ex_is_stepped_over),
        cmocka_unit_test(test_many_tracks),
        cmocka_unit_test(test_round_trip_of_h264_and_aac),
        cmocka_unit_test(test_round_trip_of_hevc),
        cmocka_unit_test(test_round_trip_of_av1_and_opus),
        cmocka_unit_test(test_round_trip_of_vp9_and_mp3),
        cmocka_unit_test(test_frames_before_their_configuration_are_dropped),
        cmocka_unit_test(test_allocation_failures),
        cmocka_unit_test(test_another_codec_on_the_track_is_refused),
        cmocka_unit_test(test_timestamps_and_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
