/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Samples to RTP payloads: H.264 (RFC 6184, packetization-mode 1), HEVC (RFC 7798), VP9 (RFC 9628), AV1 (AOM's RTP payload
 * format), Opus (RFC 7587), AAC (RFC 3640, AAC-hbr), MP3 (RFC 2250).
 *
 * FORM_RTP is all payloads of one sample, without RTP headers: those differ from receiver to receiver, these bytes do not. So a
 * stream is cut into packets once, however many it is sent to, and a sender puts its 12 bytes in front of views into
 * the form. The parameter sets are part of every key frame's form, in front of it, as one aggregation packet when they fit.
 *
 * Pure; makers run on any loop.
 */
#include "media/sample.h"

/*
 * Bytes of a payload. A datagram of 1280 bytes, which every IPv6 path carries, has 1232 of UDP payload; 12 for the RTP
 * header, up to 32 for extensions and 16 for an SRTP tag remain free. Opus packets may be longer: they cannot be cut.
 */
#define RTP_PAYLOAD_MAX 1172

struct rtp_payload {
    struct bytes data;
    bool marker; /* the last of a picture */
};

struct rtp_payload_iter {
    struct rd r; /* private */
};
/* Over a form made by rtp_payloads_make(); the views live as long as the form. */
struct rtp_payload_iter rtp_payload_iter_init(const struct buf *form);
bool rtp_payload_next(struct rtp_payload_iter *it, struct rtp_payload *ret);

/* The maker of FORM_RTP. NULL when memory runs out or the sample's bytes are not canonical. */
struct buf *rtp_payloads_make(const struct sample *s);

/* ---- for the codecs' files ---- */

/* What makers write into: a buffer that is large enough before they begin. */
struct rtp_payload_out {
    uint8_t *p;
    uint8_t *end;
    uint8_t *open; /* the record being written */
};
/* Begins a payload; what follows is appended at o->p, at most n bytes. */
void rtp_payload_begin(struct rtp_payload_out *o, size_t n);
void rtp_payload_end(struct rtp_payload_out *o, bool marker);
void rtp_payload_put(struct rtp_payload_out *o, struct bytes head, struct bytes body, bool marker);

/* Bytes that the payloads of s can need at most, records included. */
size_t rtp_nal_bound(const struct sample *s);
/* 0, or -EINVAL for bytes that are not canonical. */
int rtp_nal_put(struct rtp_payload_out *o, const struct sample *s);
size_t rtp_av1_bound(const struct sample *s);
int rtp_av1_put(struct rtp_payload_out *o, const struct sample *s);
