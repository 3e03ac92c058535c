/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * From what publishers send to the canonical bytes of sample.h, one access unit at a time, whatever the codec: other length
 * sizes, Annex B, in-band parameter sets, delimiters. Says what a sample is (key, leading, droppable) and makes new track
 * parameters when those in band differ from the current ones. One per track, owned by the publisher's session, on its
 * loop. One copy per access unit; no clock, no I/O.
 *
 * Key is: an H.264 IDR; an H.264 I picture (or one with a recovery point SEI) only where the container flags it as key,
 * since encoders also put recovery points inside GDR streams that cannot be entered there; HEVC IDR, BLA, CRA; an AV1
 * shown key frame; a VP9 key frame; every audio frame.
 * Leading is: HEVC RASL; in H.264 what is shown before the non-IDR key picture it follows.
 * Droppable is: nal_ref_idc 0; an HEVC sub-layer non-reference picture of the highest sub-layer; never AV1 and VP9, where
 * a frame that refreshes no reference may still carry probabilities forward.
 */
#include "media/track.h"

#define CANON_UNIT_MAX                                                                             \
    (64u << 20) /* bytes of one access unit; larger ones are refused with -E2BIG */

struct canon {
    enum codec codec;
    struct track_params *params; /* owned; NULL until known; another pointer after a change */
    struct buf *hint; /* private: a VP9 record, which lacks the size, until a key frame brings it */
    bool open_gop;    /* private: the last key was an H.264 non-IDR picture */
    int64_t key_pts_ns; /* private */
};

struct canon_unit {
    struct bytes data;
    int64_t pts_ns;
    bool container_key; /* the container calls it a key frame */
};

struct canon_result {
    struct buf *payload; /* NULL when nothing but parameter sets was inside */
    unsigned flags;      /* enum sample_flag */
};

void canon_init(struct canon *c, enum codec codec);
void canon_done(struct canon *c);
/*
 * Parameters from a sequence header. 1 when they are other ones than before; 0 when they are the same, or do not say enough
 * and are completed by the next key frame (VP9; AV1 without a sequence header OBU); or as track_params_new().
 */
int canon_config(struct canon *c, struct bytes config, struct error *err);
/* For the codecs' files: takes fresh over as the current parameters, unless they say the same. 1 or 0. */
int canon_adopt(struct canon *c, struct track_params *fresh);
/* For the codecs' files: parameters found in band. 0 (also when they are the same), or as track_params_new(). */
int canon_replace(struct canon *c, struct bytes config, unsigned nal_length_size,
                  struct error *err);
/* For the codecs' files: the unit as it is, as a key sample. -ENODATA while c->params is NULL, -ENOMEM. */
int canon_copy(struct canon *c, const struct canon_unit *in, struct canon_result *ret,
               struct error *err);
/*
 * 0 and *ret (the payload is the caller's), with c->params replaced when needed; -EINVAL for bytes that are not the codec's,
 * -E2BIG, -ENOMEM; -ENODATA while the parameters are unknown and the unit does not bring them.
 */
int canon_feed(struct canon *c, const struct canon_unit *in, struct canon_result *ret,
               struct error *err);
