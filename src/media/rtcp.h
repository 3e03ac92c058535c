/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * RTCP (RFC 3550 6) and its feedback messages (RFC 4585, RFC 5104): compound packets read one by one, and the few written that a
 * sender or receiver needs. Views only; when something is due is the session's business. Any thread.
 */
#include "base/bytes.h"

#define RTCP_REPORTS_MAX 31

enum rtcp_type {
    RTCP_SR = 200,
    RTCP_RR = 201,
    RTCP_SDES = 202,
    RTCP_BYE = 203,
    RTCP_APP = 204,
    RTCP_RTPFB = 205,
    RTCP_PSFB = 206,
};

/* What `count` is in feedback packets. */
enum rtcp_feedback {
    RTCP_RTPFB_NACK = 1,
    RTCP_RTPFB_TRANSPORT_CC = 15,
    RTCP_PSFB_PLI = 1,
    RTCP_PSFB_FIR = 4,
    RTCP_PSFB_APP = 15, /* REMB and others */
};

struct rtcp_sender_info {
    uint64_t ntp; /* when the report was made, as rtcp_ntp_from_wall_ns() */
    uint32_t rtp; /* the same moment on the RTP clock */
    uint32_t packets;
    uint32_t bytes; /* of payload */
};

/* RFC 3550 6.4.1 */
struct rtcp_report {
    uint32_t ssrc;         /* of whom it is about */
    uint8_t fraction_lost; /* since the last report, of 256 */
    int32_t lost;          /* in total, 24 bits */
    uint32_t highest_seq;  /* with the count of wraps above */
    uint32_t jitter;       /* ticks */
    uint32_t last_sr;      /* middle 32 bits of the NTP time of the last sender report; 0 = none */
    uint32_t delay;        /* since then, 1/65536 s */
};

struct rtcp_packet {
    uint8_t type;                   /* enum rtcp_type, or another */
    uint8_t count;                  /* reports, sources, or the feedback's kind */
    uint32_t ssrc;                  /* of the sender of this packet; 0 when it has none */
    struct rtcp_sender_info sender; /* SR */
    unsigned n_reports;             /* SR, RR */
    struct rtcp_report reports[RTCP_REPORTS_MAX];
    uint32_t media_ssrc; /* feedback: whose media it is about; 0 in FIR, which names them in body */
    struct bytes
        body; /* what follows what is read above: feedback control information, chunks, reason */
};

struct rtcp_iter {
    struct rd r; /* private */
};
struct rtcp_iter rtcp_iter_init(struct bytes datagram);
/* 1 and the next packet of the compound; 0 at the end; -EINVAL where it breaks the format. */
int rtcp_next(struct rtcp_iter *it, struct rtcp_packet *ret);
/* The CNAME in a SDES packet's first chunk; empty when there is none. */
struct bytes rtcp_sdes_cname(const struct rtcp_packet *p);
/* Whether p asks for a key frame of ssrc: a PLI, or a FIR that names it. */
bool rtcp_wants_key(const struct rtcp_packet *p, uint32_t ssrc);

/* 64-bit NTP time stamp (RFC 5905 6) from ns since 1970. */
uint64_t rtcp_ntp_from_wall_ns(int64_t wall_ns);
int64_t rtcp_wall_ns_from_ntp(uint64_t ntp);

/* Appended to out. A compound begins with SR or RR and has SDES with CNAME (RFC 3550 6.1). */
void rtcp_write_sr(struct out *out, uint32_t ssrc, const struct rtcp_sender_info *info,
                   const struct rtcp_report *reports, unsigned n);
void rtcp_write_rr(struct out *out, uint32_t ssrc, const struct rtcp_report *reports, unsigned n);
void rtcp_write_cname(struct out *out, uint32_t ssrc, const char *cname); /* at most 255 bytes */
void rtcp_write_bye(struct out *out, uint32_t ssrc);
void rtcp_write_pli(struct out *out, uint32_t ssrc, uint32_t media_ssrc);
/* seq: one more with every new request (RFC 5104 4.3.1.1). */
void rtcp_write_fir(struct out *out, uint32_t ssrc, uint32_t media_ssrc, uint8_t seq);
