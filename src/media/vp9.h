/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * VP9 (bitstream specification 0.6): the uncompressed header of a key frame, and the vpcC record of VP9-ISOBMFF, which does
 * not hold the picture size: parameters are complete only with a key frame. Any thread, no state.
 */
#include "media/canon.h"
#include "media/track.h"

struct vp9_header {
    bool key;        /* false: nothing below is set */
    uint8_t profile; /* 0 to 3 */
    uint8_t bit_depth;
    uint8_t subsampling; /* as vpcC has it: 1 = 4:2:0, 2 = 4:2:2, 3 = 4:4:4; 4:4:0 is 1 as well */
    bool full_range;
    uint8_t color_space; /* 7.2.2 */
    uint16_t width;
    uint16_t height;
};

/* -EINVAL when it is no VP9 frame. */
int vp9_header_parse(struct bytes frame, struct vp9_header *ret);

#define VP9_CONFIG_SIZE 8
void vp9_config_build(const struct vp9_header *h, uint8_t ret[VP9_CONFIG_SIZE]);

/* The codec's part of track_params_new() and of canon_feed(). Width and height stay 0. */
int vp9_params_fill(struct track_params *p, struct bytes config, struct error *err);
int vp9_canonicalise(struct canon *c, const struct canon_unit *in, struct canon_result *ret,
                     struct error *err);
