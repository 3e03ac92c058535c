/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * AV1 (bitstream specification 1.0.0 with errata 1): OBUs, the sequence header, the av1C record of AV1-ISOBMFF 2.3.3, and
 * temporal units into canonical bytes: every OBU with its size, no temporal delimiters, no padding. Any thread, no state.
 */
#include "media/canon.h"
#include "media/track.h"

struct av1_sequence {
    uint8_t profile;
    uint8_t level_idx; /* of operating point 0 */
    uint8_t tier;
    bool high_bitdepth;
    bool twelve_bit;
    bool monochrome;
    bool subsampling_x;
    bool subsampling_y;
    uint8_t chroma_sample_position;
    bool reduced_still_picture_header;
    uint16_t width; /* max_frame_width_minus_1 + 1 */
    uint16_t height;
    uint32_t fps_num; /* 0/0 without equal_picture_interval */
    uint32_t fps_den;
};

/* payload: of the OBU, behind its header and size. -EINVAL with err. */
int av1_sequence_parse(struct bytes payload, struct av1_sequence *ret, struct error *err);

enum av1_obu_type {
    AV1_OBU_SEQUENCE_HEADER = 1,
    AV1_OBU_TEMPORAL_DELIMITER = 2,
    AV1_OBU_FRAME_HEADER = 3,
    AV1_OBU_FRAME = 6,
    AV1_OBU_PADDING = 15,
};

struct av1_obu {
    uint8_t type;
    uint8_t header; /* first byte as sent */
    bool has_extension;
    uint8_t extension;
    struct bytes payload;
};

/* 1 and the next OBU, 0 at the end, -EINVAL. An OBU without a size takes the rest. */
int av1_obu_next(struct rd *r, struct av1_obu *ret);

/* The codec's part of track_params_new() and of canon_feed(). */
int av1_params_fill(struct track_params *p, struct bytes config, struct error *err);
int av1_canonicalise(struct canon *c, const struct canon_unit *in, struct canon_result *ret,
                     struct error *err);
