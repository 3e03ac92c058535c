/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"
#include "fixture.h"

#include "media/hevc.h"

#include <errno.h>

struct sps_case {
    const char *what;
    const char *sps;
    const char *vps;
    uint16_t width, height;
    uint32_t fps_num, fps_den;
    uint8_t reorder, chroma, depth;
    const char *rfc6381;
};

/* From x265 3.5; sizes, rates and reorder depths as ffprobe tells them. */
static const struct sps_case sps_cases[] = {
    {"4:4:4",
     "4201010408000003009e0800000300001e90069034e79f2cacd24995e02d010000030001000003001808",
     "40010c01ffff0408000003009e0800000300001e959809", 98, 98, 24, 1, 2, 3, 8,
     "hvc1.4.10.L30.9E.8"},
    {"gray", "4201010408000003009fc800000300001ec0d2069cf3e5959a4932bc05b02000000300200000030301",
     "40010c01ffff0408000003009fc800000300001e959809", 98, 98, 24, 1, 2, 0, 8,
     "hvc1.4.10.L30.9F.C8"},
    {"HRD, video signal, no B",
     "42010101600000030090000003000003003ca00a480b9c95964a924caf046a020203482000000300200000064c01930dc003d08000f42440",
     "40010c01ffff01600000030090000003000003003c928090", 322, 182, 50, 1, 0, 1, 8,
     "hvc1.1.6.L60.90"},
    {"scaling lists, two sub-layers",
     "42010101600000030090000003000003003ca00d080f165959649395e02d010000030001000003001908",
     "40010c01ffff01600000030090000003000003003c959409", 416, 240, 25, 1, 2, 1, 8,
     "hvc1.1.6.L60.90"},
    {"10 bit", "42010102200000030090000003000003003fa005020169365959a4932bc05a02000007d20000ea6010",
     "40010c01ffff02200000030090000003000003003f959809", 640, 360, 30000, 1001, 2, 1, 10,
     "hvc1.2.4.L63.90"},
    {"lossless",
     "4201010160000003009000000300000300ffa00d080f165998a924caf0168080000003008000000c84",
     "40010c01ffff0160000003009000000300000300ff998a0240", 416, 240, 25, 1, 2, 1, 8,
     "hvc1.1.6.L255.90"},
};

static void test_sps_of_real_encoders(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(sps_cases); i++) {
        const struct sps_case *c = &sps_cases[i];
        uint8_t raw[128];
        struct hevc_sps s;
        struct bytes nal = fixture_hex(c->sps, raw);
        assert_int_equal(hevc_sps_parse(nal, &s, NULL), 0);
        if (s.width != c->width || s.height != c->height || s.reorder_depth != c->reorder ||
            (uint64_t)s.fps_num * c->fps_den != (uint64_t)s.fps_den * c->fps_num ||
            s.fps_den == 0 || s.chroma_format_idc != c->chroma || s.bit_depth_luma != c->depth) {
            fail_msg("%s: %ux%u, %u/%u fps, reorder %u, chroma %u, depth %u", c->what, s.width,
                     s.height, s.fps_num, s.fps_den, s.reorder_depth, s.chroma_format_idc,
                     s.bit_depth_luma);
        }
        for (size_t n = 0; n < nal.len; n++) {
            uint8_t *cut = mem_memdup(raw, n);
            if (hevc_sps_parse(BYTES(cut, n), &s, NULL) == 0) {
                assert_int_equal(s.width, c->width);
                assert_int_equal(s.reorder_depth, c->reorder);
            }
            free(cut);
        }
    }
}

static void test_records_are_built_and_read_back(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(sps_cases); i++) {
        uint8_t raw[128];
        uint8_t vps[128];
        struct hevc_config c = {.nal_length_size = 4};
        struct hevc_config again = {.nal_length_size = 0};
        struct buf *b = NULL;
        struct track_params *p;
        nal_sets_add(&c.sps, fixture_hex(sps_cases[i].sps, raw));
        nal_sets_add(&c.vps, fixture_hex(sps_cases[i].vps, vps));
        nal_sets_add(&c.pps, BYTES("\x44\x01\xc1\x73\xc0\x89", 6));
        assert_int_equal(hevc_config_build(&c, &b, NULL), 0);
        assert_int_equal(hevc_config_parse(buf_view(b), &again, NULL), 0);
        assert_true(nal_sets_equal(&c.vps, &again.vps) && nal_sets_equal(&c.sps, &again.sps) &&
                    nal_sets_equal(&c.pps, &again.pps));
        assert_int_equal(again.nal_length_size, 4);
        assert_int_equal(track_params_new(CODEC_HEVC, buf_view(b), &p, NULL), 0);
        assert_string_equal(p->rfc6381, sps_cases[i].rfc6381);
        track_params_unref(&p);
        for (size_t n = 0; n < b->len; n++) {
            assert_int_equal(track_params_new(CODEC_HEVC, BYTES(b->data, n), &p, NULL), -EINVAL);
        }
        buf_unref(&b);
    }
    assert_int_equal(track_params_live_count(), 0);
}

static void test_record_of_ffmpeg_is_ours(void **state)
{
    struct fixture *f = fixture_open("hevc_aac.mp4");
    struct bytes theirs = f->tracks[0].config;
    struct hevc_config c;
    struct buf *ours = NULL;
    struct track_params *p;
    assert_int_equal(hevc_config_parse(theirs, &c, NULL), 0);
    assert_int_equal(hevc_config_build(&c, &ours, NULL), 0);
    assert_memory_equal(ours->data, theirs.data, 13); /* profile, tier and level */
    assert_memory_equal(ours->data + 16, theirs.data + 16, 3);
    assert_int_equal(track_params_new(CODEC_HEVC, theirs, &p, NULL), 0);
    assert_string_equal(p->rfc6381, "hvc1.1.6.L30.90");
    assert_int_equal(p->width, 192);
    assert_int_equal(p->height, 108);
    assert_int_equal(p->fps_num, 25 * p->fps_den);
    track_params_unref(&p);
    buf_unref(&ours);
    fixture_close(f);
}

/* No encoder at hand leaves the timing to the VPS. */
static void test_timing_of_the_vps(void **state)
{
    struct fixture_bits b = {0};
    uint32_t num = 0;
    uint32_t den = 0;
    fixture_u(&b, 16, 0x4001);
    fixture_u(&b, 12, 0x0c0); /* id 0, base layer, one layer */
    fixture_u(&b, 4, 1);      /* one sub-layer, nesting */
    fixture_u(&b, 16, 0xffff);
    for (int i = 0; i < 12; i++) {
        fixture_u(&b, 8, 0x11 * (unsigned)i);
    }
    fixture_u(&b, 1, 1);
    fixture_ue(&b, 4);
    fixture_ue(&b, 2);
    fixture_ue(&b, 0);
    fixture_u(&b, 6, 0);
    fixture_ue(&b, 1);
    fixture_u(&b, 1, 1); /* layer_id_included_flag */
    fixture_u(&b, 1, 1);
    fixture_u(&b, 32, 0x01010101);
    fixture_u(&b, 32, 0x3c3c3c3c);
    struct bytes vps = fixture_rbsp(&b);
    assert_true(hevc_vps_timing(vps, &num, &den));
    assert_int_equal(num, 0x3c3c3c3c);
    assert_int_equal(den, 0x01010101);
    assert_false(hevc_vps_timing(BYTES(vps.data, vps.len - 3), &num, &den));
}

static int feed(struct canon *c, struct bytes data, struct canon_result *res)
{
    struct canon_unit unit = {data, 0, false};
    return canon_feed(c, &unit, res, NULL);
}

static void test_open_gops_have_keys_and_leading_pictures(void **state)
{
    struct fixture *f = fixture_open("hevc_aac.mp4");
    const struct fixture_track *t = &f->tracks[0];
    struct canon c;
    unsigned keys = 0;
    unsigned leading = 0;
    unsigned droppable = 0;
    int64_t key_pts = 0;
    canon_init(&c, CODEC_HEVC);
    assert_int_equal(canon_config(&c, t->config, NULL), 1);
    for (unsigned k = 0; k < t->n; k++) {
        struct canon_result res;
        assert_int_equal(feed(&c, t->samples[k].data, &res), 0);
        assert_true(bytes_equal(buf_view(res.payload), t->samples[k].data));
        assert_int_equal(res.flags & SAMPLE_KEY, t->samples[k].key ? SAMPLE_KEY : 0);
        keys += res.flags & SAMPLE_KEY;
        key_pts = res.flags & SAMPLE_KEY ? t->samples[k].pts : key_pts;
        /* Of a CRA every picture shown before it is a RASL one. */
        assert_int_equal((res.flags & SAMPLE_LEADING) != 0, t->samples[k].pts < key_pts);
        leading += (res.flags & SAMPLE_LEADING) != 0;
        droppable += (res.flags & SAMPLE_DROPPABLE) != 0;
        buf_unref(&res.payload);
    }
    assert_int_equal(keys, 3);
    assert_true(leading >= 2);
    assert_true(droppable >= 5);
    canon_done(&c);
    fixture_close(f);
    assert_int_equal(track_params_live_count(), 0);
}

static void test_in_band_sets(void **state)
{
    struct fixture *f = fixture_open("hevc_aac.mp4");
    const struct fixture_track *t = &f->tracks[0];
    struct hevc_config config;
    struct canon c;
    struct canon_result res;
    uint8_t raw[128];
    _cleanup_(out_done) struct out units = {0};
    _cleanup_(out_done) struct out annexb = {0};
    _cleanup_(out_done) struct out other = {0};
    canon_init(&c, CODEC_HEVC);
    assert_int_equal(hevc_config_parse(t->config, &config, NULL), 0);
    assert_int_equal(feed(&c, t->samples[0].data, &res), -ENODATA);

    fixture_unit(&units, BYTES("\x46\x01\x50", 3)); /* delimiter */
    fixture_unit(&units, config.vps.item[0]);
    fixture_unit(&units, config.sps.item[0]);
    fixture_unit(&units, config.pps.item[0]);
    out_bytes(&units, t->samples[0].data);
    fixture_repack(out_view(&units), 0, &annexb);
    assert_int_equal(feed(&c, out_view(&annexb), &res), 0);
    assert_true(bytes_equal(buf_view(res.payload), t->samples[0].data));
    assert_int_equal(c.params->width, 192);
    buf_unref(&res.payload);
    struct track_params *before = c.params;
    assert_int_equal(feed(&c, out_view(&units), &res), 0);
    assert_ptr_equal(c.params, before);
    buf_unref(&res.payload);

    fixture_unit(&other, fixture_hex(sps_cases[4].sps, raw));
    assert_int_equal(feed(&c, out_view(&other), &res), 0);
    assert_null(res.payload);
    assert_string_equal(c.params->rfc6381, "hvc1.2.4.L63.90");
    assert_int_equal(c.params->width, 640);
    assert_int_equal(hevc_config_parse(buf_view(c.params->config), &config, NULL), 0);
    assert_int_equal(config.sps.n, 1);
    assert_int_equal(config.vps.n, 1);
    assert_int_equal(feed(&c, BYTES(t->samples[0].data.data, t->samples[0].data.len - 1), &res),
                     -EINVAL);
    assert_null(res.payload);
    canon_done(&c);
    fixture_close(f);
    assert_int_equal(track_params_live_count(), 0);
    assert_int_equal(buf_live_count(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sps_of_real_encoders),
        cmocka_unit_test(test_records_are_built_and_read_back),
        cmocka_unit_test(test_record_of_ffmpeg_is_ours),
        cmocka_unit_test(test_timing_of_the_vps),
        cmocka_unit_test(test_open_gops_have_keys_and_leading_pictures),
        cmocka_unit_test(test_in_band_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
