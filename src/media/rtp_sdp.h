/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the payload formats say in a session description: a=rtpmap and a=fmtp, out of a track's parameters and back (RFC 6184 8.1,
 * RFC 7798 7.1, RFC 3640 4.1, RFC 7587 6.1, RFC 9628 7.1). Any thread, no state.
 */
#include "media/rtp_depay.h"
#include "media/sdp.h"

/* The two lines for payload type pt. -ENOTSUP for what RTP has no format for (Opus of more than two channels). */
int rtp_sdp_write(struct out *out, const struct track_params *p, uint8_t pt);

/* What a format of a media section is. */
struct rtp_sdp_format {
    struct rtp_depay_config depay;
    uint32_t clock_rate;
    struct buf *config; /* for canon_config(); NULL where it comes in band. The caller's. */
};
/*
 * -ENOTSUP for another codec or a mode that rtp_depay.h does not read; -EINVAL with err. Parameter sets that make no sense are
 * as good as none.
 */
int rtp_sdp_read(const struct sdp_media *m, uint8_t pt, struct rtp_sdp_format *ret,
                 struct error *err);
