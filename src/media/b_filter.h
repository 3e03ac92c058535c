/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Leaves B pictures out of a compressed stream, for receivers that decode pictures in the order they are shown (WebRTC). That is
 * possible without decoding anything as long as nothing refers to them: H.264 pictures with a B slice and nal_ref_idc 0, HEVC
 * pictures that nothing refers to and that are shown before one that came earlier. What is left comes in the order it is
 * shown, so its dts are its pts.
 *
 * Where B pictures are references (x264's b-pyramid) or others come out of order, the stream must be encoded anew: the first such
 * picture says so, and it is in the first group. One a reader and track; no clock, no allocation.
 */
#include "media/sample.h"

enum b_filter_verdict {
    B_FILTER_PASS,
    B_FILTER_DROP,
    B_FILTER_NEEDS_TRANSCODE,
};

/* Zeroed is initialised; again where the reader begins anew. */
struct b_filter {
    bool started; /* private */
    uint32_t epoch;
    int64_t last_pts_ns;
};

/* What to do with s; samples in decoding order. Audio, AV1 and VP9 always pass. */
enum b_filter_verdict b_filter_look(struct b_filter *f, const struct sample *s);
