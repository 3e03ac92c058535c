/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * RTP packets (RFC 3550 5.1) with header extensions (RFC 8285), and what all payload formats share: clock rates, sequence
 * numbers without their wraps. Views only, no allocation, no clock. Any thread. Payloads are in rtp_payload.h (out) and
 * rtp_depay.h (in), sender and receiver reports in rtcp.h.
 */
#include "base/bytes.h"
#include "media/track.h"

#define RTP_HEADER_SIZE 12
#define RTP_EXTENSION_MAX                                                                          \
    64 /* bytes of the extension that we write; what is read is bounded by its datagram */
#define RTP_ONE_BYTE                                                                               \
    0xbede /* extension_profile of one-byte elements; 0x1000..0x100f: two-byte ones */

struct rtp_packet {
    uint8_t payload_type; /* 0..127 */
    bool marker;
    uint16_t seq;
    uint32_t timestamp;
    uint32_t ssrc;
    uint16_t extension_profile;
    struct bytes extension; /* without its 4-byte header; NULL = none */
    struct bytes payload;   /* without padding */
};

/* Views into datagram; contributing sources are stepped over. -EINVAL when it is not RTP version 2 or is cut short. */
int rtp_parse(struct bytes datagram, struct rtp_packet *ret);
/*
 * Writes the header, with the extension when there is one (at most RTP_EXTENSION_MAX bytes, filled up with zeros to a multiple of
 * four). The caller has room for RTP_HEADER_SIZE + 4 + RTP_EXTENSION_MAX. Returns the end.
 */
uint8_t *rtp_put_header(uint8_t *p, const struct rtp_packet *h);

/* Whether a datagram on a port with both is RTCP (RFC 5761 4). */
bool rtp_is_rtcp(struct bytes datagram);

/* The elements of an extension, one-byte or two-byte form. */
struct rtp_extension_iter {
    struct rd r; /* private */
    bool two_byte;
};
struct rtp_extension_iter rtp_extension_iter_init(const struct rtp_packet *p);
/* 1 and an element, 0 at the end or where the bytes make no sense. */
int rtp_extension_next(struct rtp_extension_iter *it, uint8_t *ret_id, struct bytes *ret_data);

/* Ticks a second: 90000 for video and MP3, 48000 for Opus, the sample rate for AAC. 0 for what RTP does not carry. */
uint32_t rtp_clock_rate(const struct track_params *p);

/* 16-bit sequence numbers; each is taken as the one nearest to the highest so far. */
struct rtp_seq {
    int64_t highest; /* read only */
    bool started;
};
/* The number without its wraps; the first one is itself. Only what is higher moves `highest`. */
int64_t rtp_seq_unwrap(struct rtp_seq *s, uint16_t seq);
