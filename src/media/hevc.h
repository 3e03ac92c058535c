/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * HEVC (ITU-T H.265, section numbers of the 2021 edition): video and sequence parameter sets, the hvcC record of ISO/IEC
 * 14496-15 8.3.3.1, and access units into canonical bytes. Only the base layer is looked into. Any thread, no state.
 */
#include "media/canon.h"
#include "media/nal.h"
#include "media/track.h"

struct hevc_sps {
    uint8_t profile[12]; /* general profile_space to level_idc, as hvcC repeats them */
    uint8_t sub_layers;  /* 1 to 7 */
    bool temporal_id_nesting;
    uint8_t id;
    uint8_t chroma_format_idc;
    uint8_t bit_depth_luma;
    uint8_t bit_depth_chroma;
    uint16_t width; /* inside the conformance window */
    uint16_t height;
    uint32_t fps_num; /* 0/0 when VUI timing is absent */
    uint32_t fps_den;
    uint8_t reorder_depth; /* sps_max_num_reorder_pics of the highest sub-layer */
};

/* nal includes its two header bytes. -EINVAL with err. A VUI that is cut short is ignored from there on. */
int hevc_sps_parse(struct bytes nal, struct hevc_sps *ret, struct error *err);
/* Timing of a VPS; false when it has none or is malformed. */
bool hevc_vps_timing(struct bytes nal, uint32_t *ret_num, uint32_t *ret_den);

struct hevc_config {
    struct nal_sets vps;
    struct nal_sets sps;
    struct nal_sets pps;
    uint8_t nal_length_size;
};

/* hvcC to its parts; views into hvcc. Arrays of other NAL types are passed over. */
int hevc_config_parse(struct bytes hvcc, struct hevc_config *ret, struct error *err);
/* hvcC from parameter sets, with 4-byte lengths. At least one SPS that parses, else -EINVAL. */
int hevc_config_build(const struct hevc_config *c, struct buf **ret, struct error *err);

/* The codec's part of track_params_new() and of canon_feed(). */
int hevc_params_fill(struct track_params *p, struct bytes config, struct error *err);
int hevc_canonicalise(struct canon *c, const struct canon_unit *in, struct canon_result *ret,
                      struct error *err);
