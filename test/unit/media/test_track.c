/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/mem.h"
#include "media/aac.h"
#include "media/h264.h"
#include "media/mp3.h"
#include "media/opus.h"

#include <errno.h>

/* x264, 192x108 at 25 fps, High, level 1.1, two B pictures, from an MP4 that ffmpeg wrote. */
static const uint8_t avcc[] = {
    0x01, 0x64, 0x00, 0x0b, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x64, 0x00, 0x0b, 0xac, 0xd9, 0x43,
    0x0f, 0xfb, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xc8, 0x3c,
    0x50, 0xa6, 0x58, 0x01, 0x00, 0x05, 0x68, 0xeb, 0xec, 0xb2, 0x2c, 0xfd, 0xf8, 0xf8, 0x00,
};

static struct track_params *params(enum codec codec, const void *config, size_t len)
{
    struct track_params *p = NULL;
    struct error err = {0};
    if (track_params_new(codec, BYTES(config, len), &p, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    return p;
}

static void test_avcc_of_x264(void **state)
{
    struct track_params *p = params(CODEC_H264, avcc, sizeof(avcc));
    assert_string_equal(p->rfc6381, "avc1.64000b");
    assert_int_equal(p->kind, TRACK_VIDEO);
    assert_int_equal(p->width, 192);
    assert_int_equal(p->height, 108);
    assert_int_equal(p->fps_num, p->fps_den * 25);
    assert_int_equal(p->reorder_depth, 2);
    assert_int_equal(p->nal_length_size, 4);
    track_params_unref(&p);
    assert_int_equal(track_params_live_count(), 0);
}

static void test_avcc_is_kept_with_four_byte_lengths(void **state)
{
    uint8_t two[sizeof(avcc)];
    memcpy(two, avcc, sizeof(avcc));
    two[4] = 0xfd;
    struct track_params *p = params(CODEC_H264, two, sizeof(two));
    assert_int_equal(p->nal_length_size, 2);
    assert_memory_equal(p->config->data, avcc, sizeof(avcc));
    track_params_unref(&p);
}

static void test_every_cut_of_an_avcc_is_refused_or_safe(void **state)
{
    for (size_t n = 0; n < 40; n++) {
        uint8_t *cut = mem_memdup(avcc, n); /* its own allocation: ASan sees a read past the end */
        struct track_params *p = NULL;
        assert_int_equal(track_params_new(CODEC_H264, BYTES(cut, n), &p, NULL), -EINVAL);
        assert_null(p);
        free(cut);
    }
    assert_int_equal(track_params_live_count(), 0);
}

static void test_out_of_memory_is_an_error(void **state)
{
    for (long n = 0; n < 2; n++) {
        struct track_params *p = NULL;
        mem_fail_after(n);
        int r = track_params_new(CODEC_H264, BYTES(avcc, sizeof(avcc)), &p, NULL);
        mem_fail_after(-1);
        assert_int_equal(r, -ENOMEM);
    }
    assert_int_equal(track_params_live_count(), 0);
    assert_int_equal(buf_live_count(), 0);
}

struct aac_case {
    const char *config;
    size_t len;
    const char *rfc6381;
    uint32_t rate;
    uint8_t channels;
    uint16_t frame;
};

static void test_audio_specific_configs(void **state)
{
    static const struct aac_case cases[] = {
        {"\x11\x90", 2, "mp4a.40.2", 48000, 2, 1024},
        {"\x12\x10", 2, "mp4a.40.2", 44100, 2, 1024},
        {"\x15\x88", 2, "mp4a.40.2", 8000, 1, 1024},
        {"\x11\xb8", 2, "mp4a.40.2", 48000, 8, 1024}, /* 7.1 */
        {"\x11\x94", 2, "mp4a.40.2", 48000, 2, 960},  /* frameLengthFlag */
        {"\x17\x80\x5d\xc0\x10", 5, "mp4a.40.2", 48000, 2,
         1024},                                               /* escaped rate: 4 bits 15, 24 bits */
        {"\x2b\x11\x88\x00", 4, "mp4a.40.5", 48000, 2, 2048}, /* SBR first, 24 to 48 kHz */
        {"\xeb\x09\x88\x00", 4, "mp4a.40.29", 48000, 2, 2048},             /* PS first, mono core */
        {"\x13\x10\x56\xe5\x98", 5, "mp4a.40.5", 48000, 2, 2048},          /* SBR behind the core */
        {"\x13\x08\x56\xe5\x9d\x48\x80", 7, "mp4a.40.29", 48000, 2, 2048}, /* and PS behind it */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct track_params *p = params(CODEC_AAC, cases[i].config, cases[i].len);
        assert_string_equal(p->rfc6381, cases[i].rfc6381);
        assert_int_equal(p->sample_rate, cases[i].rate);
        assert_int_equal(p->channels, cases[i].channels);
        assert_int_equal(p->frame_samples, cases[i].frame);
        track_params_unref(&p);
    }
}

static void test_bad_audio_specific_configs(void **state)
{
    static const struct bytes cases[] = {
        {(const uint8_t *)"", 0},
        {(const uint8_t *)"\x11", 1},
        {(const uint8_t *)"\x16\x90", 2},     /* rate index 13 */
        {(const uint8_t *)"\x11\xc8", 2},     /* channel configuration 9 */
        {(const uint8_t *)"\x81\x90", 2},     /* object type 16 */
        {(const uint8_t *)"\x17\x80\x5d", 3}, /* escaped rate cut short */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct aac_config c;
        assert_int_equal(aac_config_parse(cases[i], &c, NULL), -EINVAL);
    }
}

static void test_opus_head_becomes_dops_and_back(void **state)
{
    static const uint8_t head[] = {'O',  'p', 'u',  's',  'H', 'e', 'a', 'd', 1, 2,
                                   0x38, 1,   0x80, 0xbb, 0,   0,   0,   0,   0};
    static const uint8_t dops[] = {0, 2, 1, 0x38, 0, 0, 0xbb, 0x80, 0, 0, 0};
    struct buf *b = NULL;
    assert_int_equal(opus_config_from_head(BYTES(head, sizeof(head)), &b, NULL), 0);
    assert_true(bytes_equal(buf_view(b), BYTES(dops, sizeof(dops))));
    struct buf *back = opus_head_build(buf_view(b));
    assert_true(bytes_equal(buf_view(back), BYTES(head, sizeof(head))));
    struct track_params *p = params(CODEC_OPUS, b->data, b->len);
    assert_string_equal(p->rfc6381, "opus");
    assert_int_equal(p->sample_rate, 48000);
    assert_int_equal(p->channels, 2);
    assert_int_equal(p->preroll_samples, 312);
    track_params_unref(&p);
    buf_unref(&b);
    buf_unref(&back);
    for (size_t n = 0; n < sizeof(head); n++) {
        assert_int_equal(opus_config_from_head(BYTES(head, n), &b, NULL), -EINVAL);
    }
    assert_int_equal(buf_live_count(), 0);
}

static void test_opus_packet_durations(void **state)
{
    static const struct {
        const char *packet;
        size_t len;
        unsigned samples;
    } cases[] = {
        {"\xfc", 1, 960},      /* CELT 20 ms, one frame */
        {"\xe0", 1, 120},      /* CELT 2.5 ms */
        {"\x09", 1, 1920},     /* SILK 20 ms, two frames */
        {"\x60", 1, 480},      /* hybrid 10 ms */
        {"\xff\x03", 2, 2880}, /* CELT 20 ms, three frames */
        {"\x1b\x3f", 2, 0},    /* 63 of 60 ms: over 120 ms */
        {"\xff", 1, 0},        /* count byte missing */
        {"", 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(opus_packet_samples(BYTES(cases[i].packet, cases[i].len)),
                         cases[i].samples);
    }
}

static void test_mp3_headers(void **state)
{
    struct mp3_header h;
    assert_int_equal(mp3_header_parse(BYTES("\xff\xfb\x90\x64", 4), &h), 0);
    assert_int_equal(h.layer, 3);
    assert_int_equal(h.sample_rate, 44100);
    assert_int_equal(h.bitrate_bps, 128000);
    assert_int_equal(h.frame_samples, 1152);
    assert_int_equal(h.frame_bytes, 417);
    assert_int_equal(h.channels, 2);
    assert_int_equal(mp3_header_parse(BYTES("\xff\xf3\x80\xc4", 4), &h), 0);
    assert_int_equal(h.sample_rate, 22050);
    assert_int_equal(h.frame_samples, 576);
    assert_int_equal(h.frame_bytes, 208);
    assert_int_equal(h.channels, 1);
    assert_int_equal(mp3_header_parse(BYTES("\xff\xfb\x00\x64", 4), &h), -EINVAL);
    assert_int_equal(mp3_header_parse(BYTES("\xff\xfb\x90", 3), &h), -EINVAL);
    assert_int_equal(mp3_header_parse(BYTES("ID3\x04", 4), &h), -EINVAL);
    struct track_params *p = params(CODEC_MP3, "\xff\xfb\x90\x64", 4);
    assert_string_equal(p->rfc6381, "mp4a.6B");
    assert_null(p->config);
    track_params_unref(&p);
}

static void test_equality(void **state)
{
    struct track_params *a = params(CODEC_H264, avcc, sizeof(avcc));
    struct track_params *b = params(CODEC_H264, avcc, sizeof(avcc));
    struct track_params *c = params(CODEC_AAC, "\x11\x90", 2);
    struct track_params *d = params(CODEC_AAC, "\x12\x10", 2);
    assert_true(track_params_equal(a, b));
    assert_false(track_params_equal(a, c));
    assert_false(track_params_equal(c, d));
    assert_false(track_params_equal(c, NULL));
    track_params_unref(&a);
    track_params_unref(&b);
    track_params_unref(&c);
    track_params_unref(&d);
}

static void test_codec_names(void **state)
{
    for (int i = 0; i < CODEC_N; i++) {
        assert_int_equal(codec_from_str(codec_to_str(i)), i);
    }
    assert_int_equal(codec_from_str("theora"), -EINVAL);
    assert_int_equal(codec_kind(CODEC_OPUS), TRACK_AUDIO);
    assert_int_equal(codec_kind(CODEC_AV1), TRACK_VIDEO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_avcc_of_x264),
        cmocka_unit_test(test_avcc_is_kept_with_four_byte_lengths),
        cmocka_unit_test(test_every_cut_of_an_avcc_is_refused_or_safe),
        cmocka_unit_test(test_out_of_memory_is_an_error),
        cmocka_unit_test(test_audio_specific_configs),
        cmocka_unit_test(test_bad_audio_specific_configs),
        cmocka_unit_test(test_opus_head_becomes_dops_and_back),
        cmocka_unit_test(test_opus_packet_durations),
        cmocka_unit_test(test_mp3_headers),
        cmocka_unit_test(test_equality),
        cmocka_unit_test(test_codec_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
