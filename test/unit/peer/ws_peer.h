/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A WebSocket server on the loop of the test, which says what the test tells it to: the other side of a client that must
 * bear anything. It counts who comes; what is said goes to who came last.
 */
#include "io/ws.h"

struct ws_peer_session;

struct ws_peer {
    struct loop *l;
    const char *protocol;
    void (*on_open)(struct ws_peer *p); /* may be NULL */
    void (*on_text)(struct ws_peer *p, struct bytes text);
    struct http_server *server;
    struct ws_peer_session *now; /* NULL: nobody is there */
    unsigned connects;
    char url[64];
};

/* l, protocol and the callbacks are set. */
void ws_peer_start(struct ws_peer *p);
void ws_peer_say(struct ws_peer *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ws_peer_say_bytes(struct ws_peer *p, struct bytes text);
void ws_peer_hang_up(struct ws_peer *p, int code);
void ws_peer_stop(struct ws_peer *p);
