/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"
#include "fixture.h"

#include "media/h264.h"

#include <errno.h>

struct sps_case {
    const char *what;
    const char *sps;
    uint16_t width, height;
    uint32_t fps_num, fps_den; /* reduced by hand: compared as a ratio */
    uint8_t reorder, chroma, depth;
};

/* From x264 r3106; sizes, rates and reorder depths as ffprobe tells them. */
static const struct sps_case sps_cases[] = {
    {"baseline", "6742c00cd90141fb0110000003001000000301e0f142a480", 320, 240, 15, 1, 0, 1, 8},
    {"full-range gray", "6764000af3651cfe3e3f016c80000003008000000a078912cb", 98, 98, 10, 1, 2, 0,
     8},
    {"4:2:2, 10 bit", "677a0015b6cd941519e222f011000003000100000300640f162d96", 322, 182, 50, 1, 2,
     2, 10},
    {"4:4:4", "67f4000c919b282833f1b808800000030080000018078a14cb", 320, 180, 24, 1, 2, 3, 8},
    {"HRD", "6764001eacb201405ff2e022000007d20001d4c0c04003d08000f425261803c58b92", 640, 360, 30000,
     1001, 0, 1, 8},
    {"intra profile", "676e100da6cb8283f6022000000300200000064080", 320, 240, 25, 1, 0, 1, 10},
    {"interlaced", "6764001eacd940b424d8088000000300800000190f8a14cb", 720, 576, 25, 1, 2, 1, 8},
    {"2160p60", "6742c034da00f0010fb011000003000100000300780f1832a0", 3840, 2160, 60, 1, 0, 1, 8},
};

static void test_sps_of_real_encoders(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(sps_cases); i++) {
        const struct sps_case *c = &sps_cases[i];
        uint8_t raw[128];
        struct h264_sps s;
        struct bytes nal = fixture_hex(c->sps, raw);
        assert_int_equal(h264_sps_parse(nal, &s, NULL), 0);
        if (s.width != c->width || s.height != c->height || s.reorder_depth != c->reorder ||
            (uint64_t)s.fps_num * c->fps_den != (uint64_t)s.fps_den * c->fps_num ||
            s.chroma_format_idc != c->chroma || s.bit_depth_luma != c->depth) {
            fail_msg("%s: %ux%u, %u/%u fps, reorder %u, chroma %u, depth %u", c->what, s.width,
                     s.height, s.fps_num, s.fps_den, s.reorder_depth, s.chroma_format_idc,
                     s.bit_depth_luma);
        }
        /* Every cut ends in an error or in the same size. */
        for (size_t n = 0; n < nal.len; n++) {
            uint8_t *cut = mem_memdup(raw, n);
            if (h264_sps_parse(BYTES(cut, n), &s, NULL) == 0) {
                assert_int_equal(s.width, c->width);
            }
            free(cut);
        }
    }
}

struct synthetic {
    uint8_t profile, constraints, level;
    unsigned poc_type;
    uint32_t mbs_x, mbs_y;
    bool scaling_lists;
    uint32_t crop;
    bool short_vui;
};

static int parse_synthetic(const struct synthetic *c, struct h264_sps *s)
{
    struct fixture_bits b = {0};
    fixture_u(&b, 8, 0x67);
    fixture_u(&b, 8, c->profile);
    fixture_u(&b, 8, c->constraints);
    fixture_u(&b, 8, c->level);
    fixture_ue(&b, 0);
    if (c->profile == 100) {
        fixture_ue(&b, 1);
        fixture_ue(&b, 0);
        fixture_ue(&b, 0);
        fixture_u(&b, 1, 0);
        fixture_u(&b, 1, c->scaling_lists);
        for (int i = 0; c->scaling_lists && i < 8; i++) {
            fixture_u(&b, 1, i % 2);
            for (int k = 0; i % 2 && k < (i < 6 ? 16 : 64); k++) {
                fixture_ue(&b, k % 2 ? 3 : 4); /* +2, -2 */
            }
        }
    }
    fixture_ue(&b, 4);
    fixture_ue(&b, c->poc_type);
    if (c->poc_type == 0) {
        fixture_ue(&b, 4);
    } else if (c->poc_type == 1) {
        fixture_u(&b, 1, 0);
        fixture_ue(&b, 1);
        fixture_ue(&b, 1);
        fixture_ue(&b, 2);
        fixture_ue(&b, 7);
        fixture_ue(&b, 7);
    }
    fixture_ue(&b, 1);
    fixture_u(&b, 1, 0);
    fixture_ue(&b, c->mbs_x - 1);
    fixture_ue(&b, c->mbs_y - 1);
    fixture_u(&b, 2, 3); /* frames only, direct 8x8 */
    fixture_u(&b, 1, c->crop > 0);
    for (int i = 0; c->crop > 0 && i < 4; i++) {
        fixture_ue(&b, i == 1 ? c->crop : 0);
    }
    fixture_u(&b, 1, c->short_vui);
    if (c->short_vui) {
        fixture_u(&b, 4, 0);
        fixture_u(&b, 1, 1);
        fixture_u(&b, 32, 0x01010101);
        fixture_u(&b, 32, 0x32323232);
    }
    struct bytes nal = fixture_rbsp(&b);
    uint8_t *copy = mem_memdup(nal.data, nal.len);
    int r = h264_sps_parse(BYTES(copy, nal.len), s, NULL);
    free(copy);
    return r;
}

static void test_reorder_depth_is_inferred(void **state)
{
    static const struct {
        struct synthetic sps;
        uint8_t reorder;
    } cases[] = {
        {{100, 0, 40, 0, 120, 68, .scaling_lists = true}, 4}, /* 32768 / 8160 */
        {{100, 0, 10, 0, 11, 9, .crop = 0}, 4},               /* 396 / 99 */
        {{77, 0x10, 11, 1, 11, 9, .crop = 0}, 4}, /* level 1b has the buffer of level 1 */
        {{77, 0, 11, 1, 11, 9, .crop = 0}, 9},    /* 900 / 99 */
        {{100, 0, 51, 0, 11, 9, .crop = 0}, 16},  /* never over 16 */
        {{100, 0, 62, 0, 120, 68, .crop = 0}, 16},
        {{100, 0x10, 40, 0, 120, 68, .crop = 0}, 0}, /* an intra profile */
        {{77, 0, 40, 2, 120, 68, .crop = 0}, 0},     /* output order is decoding order */
        {{66, 0, 40, 0, 120, 68, .crop = 0}, 0},     /* no B slices */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct h264_sps s;
        assert_int_equal(parse_synthetic(&cases[i].sps, &s), 0);
        assert_int_equal(s.reorder_depth, cases[i].reorder);
        assert_int_equal(s.width, cases[i].sps.mbs_x * 16);
        assert_int_equal(s.fps_den, 0);
    }
}

static void test_hostile_sizes(void **state)
{
    struct h264_sps s;
    struct synthetic c = {100, 0, 40, 0, 120, 68, .crop = 4};
    assert_int_equal(parse_synthetic(&c, &s), 0);
    assert_int_equal(s.width, 1912);
    c.crop = 960; /* nothing left */
    assert_int_equal(parse_synthetic(&c, &s), -EINVAL);
    c.crop = UINT32_MAX - 1;
    assert_int_equal(parse_synthetic(&c, &s), -EINVAL);
    c.crop = 0;
    c.mbs_x = 4097;
    assert_int_equal(parse_synthetic(&c, &s), -EINVAL);
    c.mbs_x = 4096; /* 65536 wide */
    assert_int_equal(parse_synthetic(&c, &s), -EINVAL);
    c.mbs_x = 120;
    c.poc_type = 3;
    assert_int_equal(parse_synthetic(&c, &s), -EINVAL);
}

static void test_a_vui_cut_short_keeps_what_was_read(void **state)
{
    struct h264_sps s;
    struct synthetic c = {77, 0, 40, 0, 120, 68, .short_vui = true};
    assert_int_equal(parse_synthetic(&c, &s), 0);
    assert_int_equal(s.fps_num, 0x32323232);
    assert_int_equal(s.fps_den, 0x02020202);
    assert_int_equal(s.reorder_depth, 4);
}

/* ---- access units ---- */

struct setup {
    struct fixture *f;
    const struct fixture_track *t;
    struct canon c;
    struct bytes sps, pps;
};

static void open_setup(struct setup *s, bool configured)
{
    struct h264_config config;
    s->f = fixture_open("h264_aac.mp4");
    s->t = &s->f->tracks[0];
    canon_init(&s->c, CODEC_H264);
    if (configured) {
        assert_int_equal(canon_config(&s->c, s->t->config, NULL), 1);
    }
    assert_int_equal(h264_config_parse(s->t->config, &config, NULL), 0);
    s->sps = config.sps.item[0];
    s->pps = config.pps.item[0];
}

static void close_setup(struct setup *s)
{
    canon_done(&s->c);
    fixture_close(s->f);
    assert_int_equal(track_params_live_count(), 0);
    assert_int_equal(buf_live_count(), 0);
}

static int feed(struct canon *c, struct bytes data, int64_t pts_ns, bool key,
                struct canon_result *res)
{
    struct canon_unit unit = {data, pts_ns, key};
    uint8_t *exact = mem_memdup(data.data, data.len);
    unit.data.data = exact;
    int r = canon_feed(c, &unit, res, NULL);
    free(exact);
    return r;
}

static void test_canonical_units_stay_as_they_are(void **state)
{
    struct setup s;
    unsigned droppable = 0;
    open_setup(&s, true);
    struct track_params *before = s.c.params;
    for (unsigned k = 0; k < s.t->n; k++) {
        struct canon_result res;
        const struct fixture_sample *in = &s.t->samples[k];
        assert_int_equal(feed(&s.c, in->data, in->pts, in->key, &res), 0);
        assert_true(bytes_equal(buf_view(res.payload), in->data));
        assert_int_equal(res.flags & SAMPLE_KEY, in->key ? SAMPLE_KEY : 0);
        assert_int_equal(res.flags & SAMPLE_LEADING, 0);
        droppable += (res.flags & SAMPLE_DROPPABLE) != 0;
        buf_unref(&res.payload);
    }
    assert_ptr_equal(s.c.params, before);
    assert_in_range(droppable, 5, 20); /* x264's unreferenced B pictures */
    close_setup(&s);
}

static void test_annexb_with_sets_and_delimiter_becomes_canonical(void **state)
{
    struct setup s;
    struct canon_result res;
    _cleanup_(out_done) struct out o = {0};
    open_setup(&s, false);
    out_mem(&o, "\0\0\1\x09\xf0\0\0\0\1", 9);
    out_bytes(&o, s.sps);
    out_mem(&o, "\0\0\1", 3);
    out_bytes(&o, s.pps);
    fixture_repack(s.t->samples[0].data, 0, &o);
    out_mem(&o, "\0\0\0", 3); /* trailing zeros belong to nothing */
    assert_int_equal(feed(&s.c, out_view(&o), 0, false, &res), 0);
    assert_true(bytes_equal(buf_view(res.payload), s.t->samples[0].data));
    assert_int_equal(res.flags, SAMPLE_KEY);
    assert_non_null(s.c.params);
    assert_true(bytes_equal(buf_view(s.c.params->config), s.t->config));
    buf_unref(&res.payload);
    close_setup(&s);
}

static void test_other_length_sizes(void **state)
{
    struct setup s;
    uint8_t config[256];
    open_setup(&s, false);
    memcpy(config, s.t->config.data, s.t->config.len);
    config[4] = 0xfd; /* 2 bytes */
    assert_int_equal(canon_config(&s.c, BYTES(config, s.t->config.len), NULL), 1);
    for (unsigned k = 0; k < s.t->n; k++) {
        _cleanup_(out_done) struct out o = {0};
        struct canon_result res;
        fixture_repack(s.t->samples[k].data, 2, &o);
        assert_int_equal(feed(&s.c, out_view(&o), 0, false, &res), 0);
        assert_true(bytes_equal(buf_view(res.payload), s.t->samples[k].data));
        buf_unref(&res.payload);
    }
    /* In-band sets keep the length size that the publisher announced. */
    _cleanup_(out_done) struct out o = {0};
    struct canon_result res;
    uint8_t other[64];
    memcpy(other, s.pps.data, s.pps.len);
    other[s.pps.len - 1] ^= 4;
    out_u16be(&o, (uint16_t)s.pps.len);
    out_mem(&o, other, s.pps.len);
    assert_int_equal(feed(&s.c, out_view(&o), 0, false, &res), 0);
    assert_null(res.payload);
    assert_int_equal(s.c.params->nal_length_size, 2);
    close_setup(&s);
}

static void test_other_sets_in_band_make_new_parameters(void **state)
{
    struct setup s;
    struct canon_result res;
    _cleanup_(out_done) struct out same = {0};
    _cleanup_(out_done) struct out other = {0};
    uint8_t raw[128];
    open_setup(&s, true);
    fixture_unit(&same, s.sps);
    fixture_unit(&same, s.pps);
    out_bytes(&same, s.t->samples[0].data);
    struct track_params *before = s.c.params;
    assert_int_equal(feed(&s.c, out_view(&same), 0, true, &res), 0);
    assert_ptr_equal(s.c.params, before);
    assert_true(bytes_equal(buf_view(res.payload), s.t->samples[0].data));
    buf_unref(&res.payload);

    fixture_unit(&other, fixture_hex(sps_cases[0].sps, raw)); /* the same id: replaces */
    out_bytes(&other, s.t->samples[0].data);
    assert_int_equal(feed(&s.c, out_view(&other), 0, true, &res), 0);
    assert_ptr_not_equal(s.c.params, before);
    assert_string_equal(s.c.params->rfc6381, "avc1.42c00c");
    assert_int_equal(s.c.params->width, 320);
    assert_true(bytes_equal(buf_view(res.payload), s.t->samples[0].data));
    buf_unref(&res.payload);
    before = s.c.params;
    assert_int_equal(feed(&s.c, out_view(&other), 0, true, &res), 0);
    assert_ptr_equal(s.c.params, before);
    buf_unref(&res.payload);
    struct h264_config config;
    assert_int_equal(h264_config_parse(buf_view(before->config), &config, NULL), 0);
    assert_int_equal(config.sps.n, 1);
    assert_int_equal(config.pps.n, 1); /* the old PPS is kept: none came */
    close_setup(&s);
}

static void test_an_sps_with_a_new_id_starts_over(void **state)
{
    struct setup s;
    struct canon_result res;
    struct fixture_bits b = {0};
    _cleanup_(out_done) struct out o = {0};
    open_setup(&s, true);
    fixture_u(&b, 32, 0x674d0028); /* Main, level 4 */
    fixture_ue(&b, 1);             /* id */
    fixture_ue(&b, 4);
    fixture_ue(&b, 2);
    fixture_ue(&b, 1);
    fixture_u(&b, 1, 0);
    fixture_ue(&b, 39);
    fixture_ue(&b, 29);
    fixture_u(&b, 4, 0xc); /* frames only, direct 8x8; no cropping, no VUI */
    fixture_unit(&o, fixture_rbsp(&b));
    fixture_unit(&o, BYTES("\x68\x4c\x80", 3)); /* PPS 0 of SPS 1, roughly */
    assert_int_equal(feed(&s.c, out_view(&o), 0, true, &res), 0);
    assert_null(res.payload);
    assert_int_equal(s.c.params->width, 640);
    assert_int_equal(s.c.params->height, 480);
    struct h264_config config;
    assert_int_equal(h264_config_parse(buf_view(s.c.params->config), &config, NULL), 0);
    assert_int_equal(config.sps.n, 1);
    close_setup(&s);
}

static void test_units_without_parameters_or_cut_short(void **state)
{
    struct setup s;
    struct canon_result res;
    open_setup(&s, false);
    assert_int_equal(feed(&s.c, s.t->samples[0].data, 0, true, &res), -ENODATA);
    assert_null(res.payload);
    assert_int_equal(canon_config(&s.c, s.t->config, NULL), 1);
    assert_int_equal(canon_config(&s.c, s.t->config, NULL), 0);
    struct bytes whole = s.t->samples[0].data;
    for (size_t n = 1; n < 60; n++) {
        assert_int_equal(feed(&s.c, BYTES(whole.data, whole.len - n), 0, true, &res), -EINVAL);
        assert_null(res.payload);
    }
    assert_int_equal(feed(&s.c, BYTES("\0\0\0\0\0\0\0\2\x09\xf0", 10), 0, true, &res), 0);
    assert_null(res.payload); /* an empty unit and a delimiter */
    mem_fail_after(0);
    int r = feed(&s.c, whole, 0, true, &res);
    mem_fail_after(-1);
    assert_int_equal(r, -ENOMEM);
    assert_null(res.payload);
    close_setup(&s);
}

static void test_open_gop_keys_are_the_containers_choice(void **state)
{
    struct setup s;
    struct canon_result res;
    open_setup(&s, true);
    /* The IDR picture relabelled as an ordinary I picture: last unit of the sample, header byte 0x65 to 0x61. */
    uint8_t *i_picture = mem_memdup(s.t->samples[0].data.data, s.t->samples[0].data.len);
    size_t at = 0;
    while ((i_picture[at + 4] & 0x1f) != 5) {
        at += 4 + ((size_t)i_picture[at + 2] << 8 | i_picture[at + 3]);
    }
    i_picture[at + 4] = 0x61;
    struct bytes open = BYTES(i_picture, s.t->samples[0].data.len);
    struct bytes other = s.t->samples[1].data;
    assert_false(s.t->samples[1].key);

    assert_int_equal(feed(&s.c, open, 100, false, &res), 0);
    assert_int_equal(res.flags, 0); /* not flagged: no entry point */
    buf_unref(&res.payload);
    assert_int_equal(feed(&s.c, open, 100, true, &res), 0);
    assert_int_equal(res.flags, SAMPLE_KEY);
    buf_unref(&res.payload);
    assert_int_equal(feed(&s.c, other, 60, false, &res), 0);
    assert_int_equal(res.flags & SAMPLE_LEADING, SAMPLE_LEADING);
    buf_unref(&res.payload);
    assert_int_equal(feed(&s.c, other, 140, false, &res), 0);
    assert_int_equal(res.flags & SAMPLE_LEADING, 0);
    buf_unref(&res.payload);
    assert_int_equal(feed(&s.c, other, 90, false, &res), 0);
    assert_int_equal(res.flags & SAMPLE_LEADING, 0); /* nothing leads after a trailing picture */
    buf_unref(&res.payload);
    assert_int_equal(feed(&s.c, other, 90, true, &res), 0);
    assert_int_equal(res.flags & SAMPLE_KEY, 0); /* flagged, but its slices are not intra */
    buf_unref(&res.payload);

    _cleanup_(out_done) struct out gdr = {0};
    fixture_unit(&gdr, BYTES("\x06\x06\x01\xc4\x80", 5)); /* recovery point SEI */
    out_bytes(&gdr, other);
    assert_int_equal(feed(&s.c, out_view(&gdr), 200, false, &res), 0);
    assert_int_equal(res.flags & SAMPLE_KEY, 0);
    buf_unref(&res.payload);
    assert_int_equal(feed(&s.c, out_view(&gdr), 200, true, &res), 0);
    assert_int_equal(res.flags & SAMPLE_KEY, SAMPLE_KEY);
    buf_unref(&res.payload);
    free(i_picture);
    close_setup(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sps_of_real_encoders),
        cmocka_unit_test(test_reorder_depth_is_inferred),
        cmocka_unit_test(test_hostile_sizes),
        cmocka_unit_test(test_a_vui_cut_short_keeps_what_was_read),
        cmocka_unit_test(test_canonical_units_stay_as_they_are),
        cmocka_unit_test(test_annexb_with_sets_and_delimiter_becomes_canonical),
        cmocka_unit_test(test_other_length_sizes),
        cmocka_unit_test(test_other_sets_in_band_make_new_parameters),
        cmocka_unit_test(test_an_sps_with_a_new_id_starts_over),
        cmocka_unit_test(test_units_without_parameters_or_cut_short),
        cmocka_unit_test(test_open_gop_keys_are_the_containers_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
