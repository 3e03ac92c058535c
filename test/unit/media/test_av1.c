/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"
#include "fixture.h"

#include "media/av1.h"

#include <errno.h>

struct unit_case {
    const char *what;
    const char *unit; /* temporal delimiter, sequence header, beginning of a frame */
    uint16_t width, height;
    const char *rfc6381;
    uint8_t third; /* byte 2 of av1C */
};

/* From libaom 3.6. */
static const struct unit_case units[] = {
    {"4:2:0, 10 bit", "12000a0b000000043d06d4daf9404032021b14", 322, 182, "av01.0.00M.10", 0x4c},
    {"4:2:2, 12 bit", "12000a0a40000003361c26d7cb11320b1814", 98, 98, "av01.2.00M.12", 0x68},
    {"4:4:4", "12000a0a20000003361c26d7c810320b1d14", 98, 98, "av01.1.00M.08", 0x00},
    {"gray", "12000a0a00000003361c26d7c9503202ec06", 98, 98, "av01.0.00M.08", 0x1c},
};

static int feed(struct canon *c, struct bytes data, struct canon_result *res)
{
    struct canon_unit unit = {data, 0, false};
    uint8_t *exact = mem_memdup(data.data, data.len);
    unit.data.data = exact;
    int r = canon_feed(c, &unit, res, NULL);
    free(exact);
    return r;
}

static void test_sequence_headers_of_real_encoders(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        uint8_t raw[64];
        struct canon c;
        struct canon_result res;
        struct bytes unit = fixture_hex(units[i].unit, raw);
        struct rd r = rd_init(unit);
        struct av1_obu o;
        assert_int_equal(av1_obu_next(&r, &o), 1);
        assert_int_equal(o.type, AV1_OBU_TEMPORAL_DELIMITER);
        assert_int_equal(av1_obu_next(&r, &o), 1);
        assert_int_equal(o.type, AV1_OBU_SEQUENCE_HEADER);
        canon_init(&c, CODEC_AV1);
        /* Only delimiter and header: parameters, and no sample. */
        assert_int_equal(feed(&c, BYTES(raw, o.payload.data + o.payload.len - raw), &res), 0);
        assert_null(res.payload);
        assert_string_equal(c.params->rfc6381, units[i].rfc6381);
        assert_int_equal(c.params->width, units[i].width);
        assert_int_equal(c.params->height, units[i].height);
        assert_int_equal(c.params->config->data[2], units[i].third);
        struct av1_sequence s;
        assert_int_equal(av1_sequence_parse(o.payload, &s, NULL), 0);
        for (size_t n = 0; n < 8; n++) {
            uint8_t *cut = mem_memdup(o.payload.data, n);
            assert_int_equal(av1_sequence_parse(BYTES(cut, n), &s, NULL), -EINVAL);
            free(cut);
        }
        canon_done(&c);
    }
    assert_int_equal(track_params_live_count(), 0);
    assert_int_equal(buf_live_count(), 0);
}

/* 5.5.1 with all that encoders at hand leave out: timing, decoder model, operating points, display delays. */
static void test_a_sequence_header_with_everything(void **state)
{
    struct fixture_bits b = {0};
    fixture_u(&b, 5, 0);
    fixture_u(&b, 1, 1); /* timing */
    fixture_u(&b, 32, 1001);
    fixture_u(&b, 32, 60000);
    fixture_u(&b, 1, 1);
    fixture_ue(&b, 1);   /* two ticks a picture */
    fixture_u(&b, 1, 1); /* decoder model */
    fixture_u(&b, 5, 9);
    fixture_u(&b, 32, 1);
    fixture_u(&b, 10, 0);
    fixture_u(&b, 1, 1); /* display delay */
    fixture_u(&b, 5, 1); /* two operating points */
    for (unsigned i = 0; i < 2; i++) {
        fixture_u(&b, 12, 0x103);
        fixture_u(&b, 5, 13 - i * 8);
        if (i == 0) {
            fixture_u(&b, 1, 1); /* high tier */
        }
        fixture_u(&b, 1, 1);
        fixture_u(&b, 21, 0x155555);
        fixture_u(&b, 1, 1);
        fixture_u(&b, 4, 9);
    }
    fixture_u(&b, 4, 10);
    fixture_u(&b, 4, 10);
    fixture_u(&b, 11, 1919);
    fixture_u(&b, 11, 1079);
    fixture_u(&b, 1, 1); /* frame ids */
    fixture_u(&b, 7, 0);
    fixture_u(&b, 3, 0);
    fixture_u(&b, 4, 0);
    fixture_u(&b, 1, 1); /* order hint */
    fixture_u(&b, 2, 0);
    fixture_u(&b, 2, 1); /* screen content tools: not chosen per frame, on */
    fixture_u(&b, 2, 0); /* integer mv: not chosen, off */
    fixture_u(&b, 3, 6);
    fixture_u(&b, 3, 0);
    fixture_u(&b, 2, 2); /* 10 bit, not monochrome */
    fixture_u(&b, 1, 1);
    fixture_u(&b, 24, 0x09100a);
    fixture_u(&b, 1, 0);
    fixture_u(&b, 2, 2);
    struct av1_sequence s;
    struct bytes payload = fixture_rbsp(&b);
    assert_int_equal(av1_sequence_parse(payload, &s, NULL), 0);
    assert_int_equal(s.width, 1920);
    assert_int_equal(s.height, 1080);
    assert_int_equal(s.fps_num, 60000);
    assert_int_equal(s.fps_den, 2002);
    assert_int_equal(s.level_idx, 13);
    assert_int_equal(s.tier, 1);
    assert_true(s.high_bitdepth && !s.monochrome && s.subsampling_x && s.subsampling_y);
    assert_int_equal(s.chroma_sample_position, 2);
}

static void test_delimiters_and_padding_go_and_sizes_come(void **state)
{
    struct fixture *f = fixture_open("av1_opus.mp4");
    const struct fixture_track *t = &f->tracks[0];
    struct canon c;
    struct canon_result res;
    unsigned keys = 0;
    canon_init(&c, CODEC_AV1);
    assert_int_equal(feed(&c, t->samples[1].data, &res), -ENODATA);
    assert_int_equal(canon_config(&c, BYTES(t->config.data, 4), NULL),
                     0); /* without its sequence header */
    assert_null(c.params);
    for (unsigned k = 0; k < t->n; k++) {
        _cleanup_(out_done) struct out o = {0};
        out_mem(&o, "\x12\x00\x7a\x02\0\x80", 6); /* delimiter, padding */
        struct rd r = rd_init(t->samples[k].data);
        struct av1_obu obu;
        while (av1_obu_next(&r, &obu) > 0) {
            bool last = rd_left(&r) == 0;
            out_u8(&o, last ? obu.header & 0xfd : obu.header);
            if (!last) { /* a size of more bytes than it needs */
                out_u8(&o, 0x80 | (obu.payload.len & 0x7f));
                out_u8(&o, (uint8_t)(0x80 | obu.payload.len >> 7));
                out_u8(&o, 0);
            }
            out_bytes(&o, obu.payload);
        }
        assert_int_equal(feed(&c, out_view(&o), &res), 0);
        assert_true(bytes_equal(buf_view(res.payload), t->samples[k].data));
        assert_int_equal(res.flags, t->samples[k].key ? SAMPLE_KEY : 0);
        keys += res.flags == SAMPLE_KEY;
        buf_unref(&res.payload);
    }
    assert_int_equal(keys, 2);
    /* The header in the stream counts: SVT-AV1 announces another one than it sends. */
    assert_int_equal(c.params->config->len, 4 + 12);
    assert_memory_equal(c.params->config->data, t->config.data, 4);
    assert_memory_equal(c.params->config->data + 4, t->samples[0].data.data, 12);
    struct track_params *before = c.params;
    uint8_t raw[64];
    struct bytes other = fixture_hex(units[0].unit, raw);
    assert_int_equal(feed(&c, BYTES(other.data, 15), &res), 0);
    assert_ptr_not_equal(c.params, before);
    assert_int_equal(c.params->width, 322);
    assert_int_equal(feed(&c, BYTES("\x32\x05\x10", 3), &res), -EINVAL);
    assert_int_equal(feed(&c, BYTES("\x32\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10), &res),
                     -EINVAL);
    assert_int_equal(feed(&c, BYTES("\xb2\x01\x10", 3), &res), -EINVAL); /* forbidden bit */
    assert_null(res.payload);
    canon_done(&c);
    fixture_close(f);
    assert_int_equal(buf_live_count(), 0);
}

static void test_only_shown_key_frames_are_keys(void **state)
{
    static const struct {
        uint8_t first;
        unsigned flags;
    } cases[] = {
        {0x10, SAMPLE_KEY}, /* key frame, shown */
        {0x00, 0},          /* key frame, not shown: an entry point only when shown later */
        {0x30, 0},          /* inter */
        {0x50, 0},          /* intra only */
        {0x90, 0},          /* an existing frame shown again */
    };
    struct fixture *f = fixture_open("av1_opus.mp4");
    struct canon c;
    canon_init(&c, CODEC_AV1);
    assert_int_equal(canon_config(&c, f->tracks[0].config, NULL), 1);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t unit[] = {0x32, 2, cases[i].first, 0};
        struct canon_result res;
        assert_int_equal(feed(&c, BYTES(unit, sizeof(unit)), &res), 0);
        assert_int_equal(res.flags, cases[i].flags);
        buf_unref(&res.payload);
    }
    canon_done(&c);
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sequence_headers_of_real_encoders),
        cmocka_unit_test(test_a_sequence_header_with_everything),
        cmocka_unit_test(test_delimiters_and_padding_go_and_sizes_come),
        cmocka_unit_test(test_only_shown_key_frames_are_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
