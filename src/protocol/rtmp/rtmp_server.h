/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The RTMP server: listens, plain or with TLS (RTMPS), and joins each connection to the engine as a publisher or a reader.
 * A session lives on the loop that accepted it. Opened, closed and asked for gauges by the control thread (gauges: any).
 *
 * rtmp_register_forms() (rtmp_form.h) comes first.
 */
#include "engine/stream.h"
#include "io/conn.h"
#include "protocol/rtmp/rtmp_server_wire.h"

/* Zero means the default given. Strings are only used during rtmp_server_open(). */
struct rtmp_server_config {
    const char *address;     /* numeric; "127.0.0.1" */
    uint16_t port;           /* 0 = any free one, see rtmp_server_port() */
    struct tls_context *tls; /* RTMPS; outlives the server; NULL = plain */
    bool
        challenge; /* publishers that bring no credentials with connect are asked for them (rtmp_auth_wire.h) */
    unsigned max_conns;
    unsigned max_conns_per_address;
    unsigned
        handshake_ms; /* until the handshake is done, then until connect and publish or play; 10000 */
    unsigned
        silent_ms; /* a publisher that sends nothing is pinged at half of it and dropped then; 30000 */
    unsigned stalled_ms; /* a reader that takes nothing of what waits for it is dropped; 30000 */
    unsigned
        wait_ms; /* a reader waits so long for a publisher to come or to return once ended; 10000 */
};

struct rtmp_server;
/* loops: the media loops. Returns NULL and fills err when the address cannot be bound. */
struct rtmp_server *rtmp_server_open(const struct rtmp_server_config *config, struct engine *e,
                                     struct loop *const *loops, unsigned n_loops,
                                     struct error *err);
/*
 * Listens on another address, first as well (the new one is rtmp_server_port() from then on), then instead:
 * rtmp_server_keep() closes the old one, or the new one when `next` is false. Sessions go on. Control thread.
 */
int rtmp_server_listen_next(struct rtmp_server *s, const char *address, uint16_t port,
                            struct error *err);
void rtmp_server_keep(struct rtmp_server *s, bool next);
/* Another wait_ms, for readers that come or whose publisher goes from now on. Any thread. */
void rtmp_server_set_wait(struct rtmp_server *s, unsigned ms);
struct listener *rtmp_server_listener(const struct rtmp_server *s);
uint16_t rtmp_server_port(const struct rtmp_server *s);
/* Ends every session and waits for the loops, which must run (or be the caller's own). NULL is fine; returns NULL. */
struct rtmp_server *rtmp_server_close(struct rtmp_server *s);

struct rtmp_server_gauges {
    uint64_t sessions[RTMP_SERVER_STATE_N]; /* live, by state */
    uint64_t sessions_total;
    uint64_t dropped_total; /* ended by us: protocol errors, deadlines, refusals */
    uint64_t bytes_in_total;
    uint64_t bytes_out_total;
};
void rtmp_server_gauges(const struct rtmp_server *s, struct rtmp_server_gauges *ret);
