/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Pulls a stream of another server into one of ours: an RTMP client that plays, and a publisher. One media loop, where all calls
 * and callbacks are made. It tries once: when it ends, it says why in a way that a supervisor can act on, and whether and when to
 * try again is that one's. The URL, which may hold secrets, is neither kept longer than the connection needs it nor logged.
 */
#include "engine/stream.h"
#include "protocol/rtmp/rtmp_client.h"

struct rtmp_pull;

enum rtmp_pull_end {
    RTMP_PULL_UNREACHABLE, /* no connection, no TLS, no answer in time */
    RTMP_PULL_REFUSED, /* the server refused connect or play: credentials, an application it does not have */
    RTMP_PULL_NOT_FOUND, /* it says that there is no such stream */
    RTMP_PULL_SILENT, /* it granted play, and then nothing came for silent_ms: nobody publishes there */
    RTMP_PULL_BROKEN, /* it breaks the protocol, or sends what cannot be read */
    RTMP_PULL_OVER,   /* it ended the stream, or closed the connection */
    RTMP_PULL_UNWANTED, /* our engine does not take it: the path is taken, a kick, another codec, the end */
    RTMP_PULL_END_N,
};
const char *rtmp_pull_end_to_str(enum rtmp_pull_end end); /* "unreachable", ... */

/* rtmp_pull_close() may be called in both. */
struct rtmp_pull_ops {
    void (*on_open)(void *user); /* on air soon: the path is ours and media came. May be NULL */
    /* Dead from here on: the owner calls rtmp_pull_close(). */
    void (*on_end)(void *user, enum rtmp_pull_end end, const char *why);
};

/* Copied. */
struct rtmp_pull_config {
    const char *url;               /* rtmp[s]://host[:port]/app/name[?query] */
    const char *path;              /* of our stream */
    struct tls_context *tls;       /* for rtmps: required */
    const struct net_guard *guard; /* which addresses it may reach; NULL = any */
    unsigned timeout_ms;           /* until play is granted; 0 = 10000 */
    unsigned silent_ms;            /* without media; 0 = 10000 */
};

/* NULL with err for a bad URL; everything else shows in on_end. */
struct rtmp_pull *rtmp_pull_open(struct engine *e, struct loop *l,
                                 const struct rtmp_pull_config *config,
                                 const struct rtmp_pull_ops *ops, void *user, struct error *err);
/* No callback comes after it. NULL is fine; returns NULL. */
struct rtmp_pull *rtmp_pull_close(struct rtmp_pull *p);
