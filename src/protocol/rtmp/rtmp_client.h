/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * An RTMP client: publishes one stream to, or plays one from, another server, over TCP or TLS. It lives on one loop, where all
 * calls and callbacks are made. What it sends is queued by the connection; the owner looks at rtmp_client_queued() and
 * decides what to leave out. It does not reconnect, and knows nothing of the engine.
 */
#include "io/conn.h"
#include "protocol/rtmp/rtmp_client_wire.h"

struct rtmp_client;

/* Views live during the call. Any may be NULL but on_close. rtmp_client_close() may be called in all of them. */
struct rtmp_client_ops {
    void (*on_started)(void *user); /* publish or play was granted */
    void (*on_media)(void *user, const struct rtmp_message *m);
    void (*on_metadata)(void *user, const struct amf_value *metadata);
    /* Another onStatus ("NetStream.Play.UnpublishNotify"), or "dry": the stream waits for its publisher. */
    void (*on_status)(void *user, struct bytes code);
    /* Refused, broken, timed out, or ended by the server (r = 0). The owner calls rtmp_client_close(). */
    void (*on_close)(void *user, int r, const char *why);
};

/* Copied. */
struct rtmp_client_config {
    bool publish;
    const char *url;               /* rtmp[s]://host[:port]/app[/...]/name[?query] */
    struct tls_context *tls;       /* for rtmps: required */
    const struct net_guard *guard; /* which addresses it may reach; NULL = any */
    const char *agent;             /* NULL = ours */
    unsigned timeout_ms;           /* from connecting to on_started; 0 = 10000 */
};

/* Where a URL leads. app is everything before the last segment, as in OBS; name keeps the query. */
struct rtmp_client_url {
    char *host;
    uint16_t port;
    bool tls;
    char *app;
    char *tc_url; /* without user and password */
    char *name;
};
/* -EINVAL with err, which does not show the URL. */
int rtmp_client_url_parse(const char *url, struct rtmp_client_url *ret, struct error *err);
void rtmp_client_url_done(struct rtmp_client_url *u);

/* NULL and err for a bad URL; everything else shows in on_close. */
struct rtmp_client *rtmp_client_open(struct loop *l, const struct rtmp_client_config *config,
                                     const struct rtmp_client_ops *ops, void *user,
                                     struct error *err);
/* Started publishers only. */
void rtmp_client_send(struct rtmp_client *c, enum rtmp_type type, uint32_t timestamp,
                      struct bytes body);
void rtmp_client_send_metadata(struct rtmp_client *c, struct bytes metadata);
size_t rtmp_client_queued(const struct rtmp_client *c);
/* Takes leave of the server when started; no callback comes after it. NULL is fine; returns NULL. */
struct rtmp_client *rtmp_client_close(struct rtmp_client *c);
