/* SPDX-License-Identifier: Apache-2.0 */
#include "media/vp9.h"

#include "base/mem.h"
#include "media/bits.h"
#include "media/sample.h"

#include <errno.h>
#include <stdio.h>

enum {
    COLOR_SPACE_RGB = 7
};

/* color_config( ), 6.2.2 */
static void parse_color(struct bits *b, struct vp9_header *h)
{
    h->bit_depth = h->profile < 2 ? 8 : bits_flag(b) ? 12 : 10;
    h->color_space = (uint8_t)bits_u(b, 3);
    bool odd = h->profile & 1;
    if (h->color_space == COLOR_SPACE_RGB) {
        h->full_range = true;
        h->subsampling = 3;
        bits_skip(b, odd ? 1 : 0);
        return;
    }
    h->full_range = bits_flag(b);
    h->subsampling = 1;
    if (odd) {
        bool x = bits_flag(b);
        bool y = bits_flag(b);
        h->subsampling = x ? (y ? 1 : 2) : (y ? 1 : 3);
        bits_skip(b, 1);
    }
}

int vp9_header_parse(struct bytes frame, struct vp9_header *ret)
{
    struct bits b = bits_init(frame);
    struct vp9_header h = {0};
    if (bits_u(&b, 2) != 2) {
        return -EINVAL;
    }
    unsigned low = bits_u(&b, 1);
    h.profile = (uint8_t)(bits_u(&b, 1) << 1 | low);
    bits_skip(&b, h.profile == 3 ? 1 : 0);
    bool show_existing = bits_flag(&b);
    if (!show_existing) {
        h.key = !bits_flag(&b);
        bits_skip(&b, 2); /* show_frame, error_resilient_mode */
    }
    if (h.key) {
        if (bits_u(&b, 24) != 0x498342) {
            return -EINVAL;
        }
        parse_color(&b, &h);
        uint32_t width = bits_u(&b, 16) + 1;
        uint32_t height = bits_u(&b, 16) + 1;
        if (width > UINT16_MAX || height > UINT16_MAX) {
            return -EINVAL;
        }
        h.width = (uint16_t)width;
        h.height = (uint16_t)height;
    }
    if (bits_failed(&b)) {
        return -EINVAL;
    }
    *ret = h;
    return 0;
}

/* The lowest level whose picture size fits (Annex A); the rate is not known here. */
static uint8_t level_of(const struct vp9_header *h)
{
    static const struct {
        uint32_t pixels;
        uint8_t level;
    } table[] = {
        {36864, 10},  {73728, 11},   {122880, 20},  {245760, 21},   {552960, 30},
        {983040, 31}, {2228224, 40}, {8912896, 50}, {35651584, 60}, {UINT32_MAX, 62},
    };
    uint32_t pixels = (uint32_t)h->width * h->height;
    unsigned i = 0;
    while (pixels > table[i].pixels) {
        i++;
    }
    return table[i].level;
}

void vp9_config_build(const struct vp9_header *h, uint8_t ret[VP9_CONFIG_SIZE])
{
    /* color_space to primaries, transfer and matrix of ISO/IEC 23001-8: unknown, 601, 709, 170M, 240M, 2020, -, sRGB */
    static const uint8_t color[8][3] = {{2, 2, 2}, {6, 6, 6}, {1, 1, 1}, {6, 6, 6},
                                        {7, 7, 7}, {9, 1, 9}, {2, 2, 2}, {1, 13, 0}};
    uint8_t *p = put_u8(ret, h->profile);
    p = put_u8(p, level_of(h));
    p = put_u8(p, (uint8_t)(h->bit_depth << 4 | h->subsampling << 1 | h->full_range));
    p = put_bytes(p, BYTES(color[h->color_space], 3));
    put_u16be(p, 0); /* no codec initialisation data */
}

int vp9_params_fill(struct track_params *p, struct bytes config, struct error *err)
{
    struct rd r = rd_init(config);
    uint8_t profile = rd_u8(&r);
    uint8_t level = rd_u8(&r);
    uint8_t depth = rd_u8(&r) >> 4;
    rd_skip(&r, 5);
    if (rd_failed(&r) || profile > 3 || (depth != 8 && depth != 10 && depth != 12)) {
        return error_set(err, -EINVAL, "vpcC", "not a VP9 codec configuration record");
    }
    snprintf(p->rfc6381, sizeof(p->rfc6381), "vp09.%02u.%02u.%02u", profile, level ? level : 10,
             depth);
    return 0;
}

/* Does a record from the publisher describe this key frame? Then its level and colours are better than our guess. */
static bool describes(const struct buf *config, const struct vp9_header *h)
{
    return config && config->data[0] == h->profile && config->data[1] != 0 &&
           config->data[2] >> 4 == h->bit_depth;
}

static int update_params(struct canon *c, const struct vp9_header *h, struct error *err)
{
    uint8_t built[VP9_CONFIG_SIZE];
    struct track_params *fresh;
    vp9_config_build(h, built);
    struct bytes config = describes(c->hint, h) ? buf_view(c->hint) : BYTES(built, sizeof(built));
    int r = track_params_new(CODEC_VP9, config, &fresh, err);
    if (r < 0) {
        return r;
    }
    fresh->width = h->width;
    fresh->height = h->height;
    canon_adopt(c, fresh);
    return 0;
}

int vp9_canonicalise(struct canon *c, const struct canon_unit *in, struct canon_result *ret,
                     struct error *err)
{
    struct vp9_header h;
    int r = vp9_header_parse(in->data, &h);
    if (r < 0) {
        return error_set(err, r, "vp9", "not a VP9 frame");
    }
    if (h.key) {
        r = update_params(c, &h, err);
        if (r < 0) {
            return r;
        }
    }
    r = canon_copy(c, in, ret, err);
    ret->flags = h.key ? SAMPLE_KEY : 0;
    return r;
}
