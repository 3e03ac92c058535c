/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Opus identification: the OpusHead of RFC 7845 5.1 (what Ogg and Enhanced RTMP carry) and the dOps box of
 * Opus-in-ISOBMFF 4.3.2 (what track_params hold): the same fields, but for magic and byte order. Any thread, no state.
 */
#include "media/track.h"

/* dOps from either form; b is a new buffer. -EINVAL, -ENOMEM. */
int opus_config_from_head(struct bytes head, struct buf **ret, struct error *err);
/* OpusHead from dOps; NULL when memory runs out. */
struct buf *opus_head_build(struct bytes dops);
/* Samples at 48 kHz in a packet by its TOC byte (RFC 6716 3.1, 3.2); 0 when it is malformed. */
unsigned opus_packet_samples(struct bytes packet);
int opus_params_fill(struct track_params *p, struct bytes dops, struct error *err);
