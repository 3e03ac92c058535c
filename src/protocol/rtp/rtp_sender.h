/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Sends one stream by RTP over UDP to given addresses: some of its tracks, each to one address, with sender reports to another
 * where there is one. It reads as any reader does (FORM_RTP, made once per stream), on one media loop, where all calls and
 * callbacks are made.
 *
 * Each start has SSRCs of its own: receivers that saw the old one (Janus' viewers) freeze on its sequence numbers otherwise.
 * Over publishers that go and return it is one RTP timeline. Key frame requests (PLI, FIR) are heard on the sending socket
 * and handed to the publisher. Packets leave at most RTP_SENDER_BURST at once and RTP_SENDER_PER_MS a millisecond: a key frame
 * in one go overflows receivers' sockets. It does not reconnect, there being no connection: what nobody receives is lost.
 */
#include "engine/stream.h"
#include "media/rtcp.h"
#include "media/rtp.h"

#include <netinet/in.h>

#define RTP_SENDER_TRACKS_MAX 8
#define RTP_SENDER_BURST      32
#define RTP_SENDER_PER_MS     16 /* 150 Mbit/s of whole packets */

struct rtp_sender;

/* Copied. */
struct rtp_sender_track {
    enum track_kind kind;
    unsigned index;       /* the nth of its kind in the stream, from 0 */
    enum codec codec;     /* what the receiver expects; CODEC_N: anything */
    uint8_t payload_type; /* 0..127 */
    struct sockaddr_storage to;
    struct sockaddr_storage rtcp_to; /* family AF_UNSPEC: no reports */
};

/* Strings are copied. */
struct rtp_sender_config {
    const char *path;
    const char *remote; /* what lists of readers show; NULL = the first address */
    const struct rtp_sender_track *tracks;
    unsigned n_tracks;
    const struct sockaddr *bind; /* NULL: any address of the family of each `to`, any port */
    bool one_socket;   /* for all tracks; else one each. All addresses are of one family then */
    const char *cname; /* NULL: random */
    enum replay_policy replay;
    bool drop_b; /* leave B pictures out (media/b_filter.h) */
};

enum rtp_sender_end {
    RTP_SENDER_CLOSED, /* the stream is no more, kicked, revoked, engine ends */
    RTP_SENDER_CODEC, /* a track is in another codec than the receiver expects, or in none RTP has; sound cannot be converted */
    RTP_SENDER_NEEDS_TRANSCODE, /* drop_b: pictures must be encoded anew */
};

/* rtp_sender_close() may be called in all of them. */
struct rtp_sender_ops {
    void (*on_state)(void *user, enum reader_state state, const char *reason); /* may be NULL */
    /* Dead from here on: the owner calls rtp_sender_close(). */
    void (*on_end)(void *user, enum rtp_sender_end end, const char *why);
};

struct rtp_sender_track_stats {
    uint32_t ssrc;
    uint64_t packets;
    uint64_t bytes;            /* of payload */
    struct rtcp_report report; /* the last one heard */
    bool reported;
};

struct rtp_sender_stats {
    struct rtp_sender_track_stats tracks[RTP_SENDER_TRACKS_MAX];
    uint64_t samples;
    uint64_t b_dropped;
    uint64_t key_requests; /* heard */
    uint64_t send_errors;
    uint64_t socket_full;
    uint64_t paced; /* how often packets waited for their turn */
};

/* NULL with err when a socket cannot be had; a stream that nobody publishes is waited for. */
struct rtp_sender *rtp_sender_open(struct engine *e, struct loop *l,
                                   const struct rtp_sender_config *config,
                                   const struct rtp_sender_ops *ops, void *user, struct error *err);
/* Says BYE where reports go. No callback comes after it. NULL is fine; returns NULL. */
struct rtp_sender *rtp_sender_close(struct rtp_sender *s);
void rtp_sender_stats(const struct rtp_sender *s, struct rtp_sender_stats *ret);
/* What a receiver needs to know (SDP), when tracks are known; -EAGAIN before. */
int rtp_sender_describe(const struct rtp_sender *s, struct out *out);
/* The local address of a track's socket. */
void rtp_sender_local(const struct rtp_sender *s, unsigned track, struct sockaddr_storage *ret);
