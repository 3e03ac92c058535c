/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * RTP packets of one source to access units, as media/canon.h takes them: H.264 and HEVC with 4-byte lengths (RFC 6184
 * non-interleaved, RFC 7798 without decoding order numbers), Opus, AAC (RFC 3640), one unit at a time. Packets are given in
 * the order they were received or a jitter buffer let them out; one that comes too late is dropped.
 *
 *   rtp_depay_push(&d, &packet); while (rtp_depay_next(&d, &unit) > 0) ...
 *
 * A unit of which a packet is missing is never handed out: decoders take broken pictures badly. The next whole one says
 * after_loss, and who can asks for a key frame. One a track, on the loop of its session; no clock, no I/O. What a peer makes us
 * keep is bounded by unit_max.
 */
#include "media/rtp.h"

#define RTP_UNIT_MAX      (16u << 20)
#define RTP_AAC_UNITS_MAX 64 /* access units of one packet */

struct rtp_depay_config {
    enum codec codec;
    uint32_t unit_max; /* bytes; 0 = RTP_UNIT_MAX */
    /* RFC 3640 4.1, AAC only; all 0 = 13, 3, 3 (AAC-hbr). */
    uint8_t size_bits;
    uint8_t index_bits;
    uint8_t index_delta_bits;
    uint16_t frame_samples; /* AAC: ticks of an access unit; 0 = 1024 */
};

struct rtp_unit {
    struct bytes data; /* until the next call */
    uint32_t timestamp;
    bool after_loss; /* something before it is missing */
};

struct rtp_depay {
    struct rtp_depay_config config;
    /* Read only: */
    uint64_t packets;
    uint64_t lost;    /* packets missing in the sequence */
    uint64_t late;    /* packets dropped as late or doubled */
    uint64_t dropped; /* units not handed out */
    /* Private: */
    struct rtp_seq seq;
    struct rtp_packet packet;
    bool has_packet;
    bool gap;  /* before packet */
    bool loss; /* not told yet */
    uint8_t *data;
    size_t len;
    size_t cap;
    bool open;
    bool broken;
    bool unsure; /* packets before the unit's first are missing: were they its own? */
    uint32_t timestamp;
    size_t fragment; /* where the length of the unit being put together is; SIZE_MAX = none */
    size_t au_size[RTP_AAC_UNITS_MAX];
    unsigned n_au;
    unsigned next_au;
};

/* -ENOTSUP for codecs that are not read. */
int rtp_depay_init(struct rtp_depay *d, const struct rtp_depay_config *config);
void rtp_depay_done(struct rtp_depay *d);
/* p's views stay valid until rtp_depay_next() has returned 0. */
void rtp_depay_push(struct rtp_depay *d, const struct rtp_packet *p);
/* 1 and a unit; 0: give it the next packet. */
int rtp_depay_next(struct rtp_depay *d, struct rtp_unit *ret);

/* ---- for the codecs' files ---- */

void rtp_depay_begin(struct rtp_depay *d, uint32_t timestamp);
/* Appends to the open unit; breaks it when it grows over unit_max or memory runs out. */
void rtp_depay_add(struct rtp_depay *d, struct bytes b);
void rtp_depay_break(struct rtp_depay *d);
/* The open unit is over: 1 and *ret when it is whole, else 0. */
int rtp_depay_finish(struct rtp_depay *d, struct rtp_unit *ret);
/* One packet of H.264 or HEVC into the open unit. */
void rtp_nal_take(struct rtp_depay *d, struct bytes payload);
