/* SPDX-License-Identifier: Apache-2.0 */
#include "media/b_filter.h"

#include "media/h264.h"

/* Any slice of type B makes a B picture; cut short or foreign slices count as what they are not. */
static bool h264_is_b(const struct sample *s)
{
    struct nal_iter it = nal_iter_init(buf_view(s->payload), 4);
    struct bytes nal;
    while (nal_next(&it, &nal) > 0) {
        if (h264_slice_type(nal) == H264_SLICE_B) {
            return true;
        }
    }
    return false;
}

enum b_filter_verdict b_filter_look(struct b_filter *f, const struct sample *s)
{
    const enum codec codec = s->params ? s->params->codec : CODEC_N;
    if (codec != CODEC_H264 && codec != CODEC_HEVC) {
        return B_FILTER_PASS;
    }
    const bool known = f->started && f->epoch == s->epoch;
    const bool backwards = known && s->pts_ns <= f->last_pts_ns;
    const bool unused = s->flags & SAMPLE_DROPPABLE;
    /* x265 codes what others call P as B with one direction: there only the order tells. */
    const bool is_b = codec == CODEC_H264 ? h264_is_b(s) : backwards;
    if (is_b || backwards) {
        return is_b && unused ? B_FILTER_DROP : B_FILTER_NEEDS_TRANSCODE;
    }
    f->started = true;
    f->epoch = s->epoch;
    f->last_pts_ns = s->pts_ns;
    return B_FILTER_PASS;
}
