/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * H.264 (ITU-T H.264, section numbers of the 2021 edition): sequence parameter sets, the avcC record of ISO/IEC 14496-15
 * 5.3.3.1, and access units into canonical bytes. Any thread, no state.
 */
#include "media/canon.h"
#include "media/nal.h"
#include "media/track.h"

struct h264_sps {
    uint8_t profile_idc;
    uint8_t constraints; /* the byte after profile_idc */
    uint8_t level_idc;
    uint8_t id;
    uint8_t chroma_format_idc;
    uint8_t bit_depth_luma;
    uint8_t bit_depth_chroma;
    uint16_t width; /* after cropping */
    uint16_t height;
    uint32_t fps_num; /* 0/0 when VUI timing is absent */
    uint32_t fps_den;
    uint8_t reorder_depth; /* max_num_reorder_frames, or what E.2.1 infers */
};

/* nal includes its header byte. -EINVAL with err. A VUI that is cut short is ignored from there on. */
int h264_sps_parse(struct bytes nal, struct h264_sps *ret, struct error *err);

struct h264_config {
    struct nal_sets sps;
    struct nal_sets pps;
    uint8_t nal_length_size;
};

/* avcC to its parts; views into avcc. */
int h264_config_parse(struct bytes avcc, struct h264_config *ret, struct error *err);
/* avcC from parameter sets, with 4-byte lengths. At least one SPS that parses, else -EINVAL. */
int h264_config_build(const struct h264_config *c, struct buf **ret, struct error *err);

/* slice_type of table 7-6, without the half that says the same of the whole picture. */
enum h264_slice_type {
    H264_SLICE_P,
    H264_SLICE_B,
    H264_SLICE_I,
    H264_SLICE_SP,
    H264_SLICE_SI,
};
/* -EINVAL for a NAL unit that is no slice, or is cut short. */
int h264_slice_type(struct bytes nal);

/* The codec's part of track_params_new() and of canon_feed(). */
int h264_params_fill(struct track_params *p, struct bytes config, struct error *err);
int h264_canonicalise(struct canon *c, const struct canon_unit *in, struct canon_result *ret,
                      struct error *err);
