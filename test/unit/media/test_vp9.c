/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"
#include "fixture.h"

#include "media/vp9.h"

#include <errno.h>

/* From libvpx 1.12; sizes and formats as ffprobe tells them. */
static const struct {
    const char *frame;
    uint16_t width, height;
    uint8_t profile, depth, subsampling, color_space;
    bool full_range;
} frames[] = {
    {"a24983420400c200c2c0c70483830940", 98, 98, 1, 8, 1, 0, false}, /* 4:4:0 */
    {"a24983420000c200c2c0c70483830940", 98, 98, 1, 8, 3, 0, false}, /* 4:4:4 */
    {"92498342000a0805ab031c120e0c2c00", 322, 182, 2, 10, 1, 0, false},
    {"a2498342e0061006160638241c184a00", 98, 98, 1, 8, 3, 7, true}, /* RGB */
};

static void test_key_frame_headers(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
        uint8_t raw[32];
        struct vp9_header h;
        struct bytes frame = fixture_hex(frames[i].frame, raw);
        assert_int_equal(vp9_header_parse(frame, &h), 0);
        assert_true(h.key);
        assert_int_equal(h.width, frames[i].width);
        assert_int_equal(h.height, frames[i].height);
        assert_int_equal(h.profile, frames[i].profile);
        assert_int_equal(h.bit_depth, frames[i].depth);
        assert_int_equal(h.subsampling, frames[i].subsampling);
        assert_int_equal(h.color_space, frames[i].color_space);
        assert_int_equal(h.full_range, frames[i].full_range);
        for (size_t n = 0; n < 8; n++) {
            uint8_t *cut = mem_memdup(raw, n);
            assert_int_equal(vp9_header_parse(BYTES(cut, n), &h), -EINVAL);
            free(cut);
        }
    }
    struct vp9_header h;
    assert_int_equal(vp9_header_parse(BYTES("\x86\x00\x00", 3), &h), 0); /* inter */
    assert_false(h.key);
    assert_int_equal(vp9_header_parse(BYTES("\x88", 1), &h), 0); /* an existing frame shown again */
    assert_false(h.key);
    assert_int_equal(vp9_header_parse(BYTES("\x46\x00\x00", 3), &h), -EINVAL); /* frame marker */
    assert_int_equal(vp9_header_parse(BYTES("\x82\x49\x83\x43\0\0\0\0\0\0", 10), &h),
                     -EINVAL); /* sync code */
}

static void test_levels_follow_the_picture_size(void **state)
{
    static const struct {
        uint16_t width, height;
        uint8_t level;
    } cases[] = {{192, 108, 10},   {640, 360, 21},   {1280, 720, 31},
                 {1920, 1080, 40}, {3840, 2160, 50}, {65535, 65535, 62}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct vp9_header h = {
            .bit_depth = 8, .subsampling = 1, .width = cases[i].width, .height = cases[i].height};
        uint8_t config[VP9_CONFIG_SIZE];
        vp9_config_build(&h, config);
        assert_int_equal(config[1], cases[i].level);
        assert_int_equal(config[2], 0x82);
    }
}

static int feed(struct canon *c, struct bytes data, struct canon_result *res)
{
    struct canon_unit unit = {data, 0, false};
    return canon_feed(c, &unit, res, NULL);
}

static void test_parameters_come_with_the_key_frame(void **state)
{
    struct fixture *f = fixture_open("vp9_mp3.mp4");
    const struct fixture_track *t = &f->tracks[0];
    struct canon c;
    struct canon_result res;
    uint8_t raw[32];
    canon_init(&c, CODEC_VP9);
    assert_int_equal(feed(&c, t->samples[1].data, &res), -ENODATA);
    assert_null(res.payload);
    for (unsigned k = 0; k < t->n; k++) {
        assert_int_equal(feed(&c, t->samples[k].data, &res), 0);
        assert_true(bytes_equal(buf_view(res.payload), t->samples[k].data));
        assert_int_equal(res.flags, t->samples[k].key ? SAMPLE_KEY : 0);
        buf_unref(&res.payload);
    }
    assert_int_equal(c.params->width, 192);
    assert_int_equal(c.params->height, 108);
    assert_string_equal(c.params->rfc6381, "vp09.00.10.08");
    struct track_params *before = c.params;
    /* What the publisher announces says more about colours than the frame: used from the next key frame on. */
    assert_int_equal(canon_config(&c, t->config, NULL), 0);
    assert_ptr_equal(c.params, before);
    assert_int_equal(feed(&c, t->samples[0].data, &res), 0);
    buf_unref(&res.payload);
    assert_true(bytes_equal(buf_view(c.params->config), t->config));
    before = c.params;
    assert_int_equal(feed(&c, t->samples[0].data, &res), 0);
    buf_unref(&res.payload);
    assert_ptr_equal(c.params, before);
    /* Another profile: the announced record no longer describes it. */
    assert_int_equal(feed(&c, fixture_hex(frames[2].frame, raw), &res), 0);
    buf_unref(&res.payload);
    assert_string_equal(c.params->rfc6381, "vp09.02.11.10");
    assert_int_equal(c.params->width, 322);
    assert_int_equal(canon_config(&c, BYTES("\x00\x0a\x70\x01\x01\x01\0\0", 8), NULL),
                     -EINVAL); /* 7 bit */
    assert_int_equal(canon_config(&c, BYTES("\x00\x0a\x82\x01\x01\x01\0", 7), NULL), -EINVAL);
    canon_done(&c);
    fixture_close(f);
    assert_int_equal(track_params_live_count(), 0);
    assert_int_equal(buf_live_count(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_frame_headers),
        cmocka_unit_test(test_levels_follow_the_picture_size),
        cmocka_unit_test(test_parameters_come_with_the_key_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
