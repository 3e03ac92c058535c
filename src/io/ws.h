/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * WebSocket (RFC 6455), server and client, one framing for both. No extensions are offered. A session that sends media
 * writes shared frames itself: ws_frame_header() in front of a shared payload, by ws_writev(); text and small messages go
 * through ws_send_text(). Ping is answered here, a peer that stays silent for 60 s is pinged and dropped after 20 s more.
 * One loop; same close rules as io/conn.h.
 */
#include "io/http.h"

struct ws;

struct ws_ops {
    void (*on_text)(void *user, struct bytes text);     /* checked UTF-8, whole message, at most max_message */
    void (*on_binary)(void *user, struct bytes data);
    void (*on_writable)(void *user); /* after ws_writev() took less than all */
    /* code: the peer's close code, or 1006 when the transport broke. Dead from here on: the owner calls ws_close(). */
    void (*on_close)(void *user, int code, const char *reason);
    void (*on_open)(void *user); /* clients */
};

/* Media route: validates the handshake; answers 400/426 itself and returns NULL when it is not one. protocol may be NULL. */
struct ws *ws_accept(struct http_request *req, struct http_reply *reply, const char *protocol,
                     const struct ws_ops *ops, void *user);
void ws_set_max_message(struct ws *w, size_t bytes); /* default 64 KiB */
void ws_send_text(struct ws *w, struct bytes text);
void ws_send_binary(struct ws *w, struct bytes data);

#define WS_HEADER_MAX 10
/* Server-to-client header of one whole binary message of len bytes; returns its size. */
unsigned ws_frame_header(uint8_t header[WS_HEADER_MAX], uint64_t len);
/* Like conn_writev(): raw frames, no copy. Returns -EAGAIN when queued text must go first (on_writable follows). */
ssize_t ws_writev(struct ws *w, const struct iovec *iov, int n);
struct conn *ws_conn(struct ws *w);
/* Sends a close frame with code and reason (at most 123 bytes), waits up to 2 s for the echo, frees. */
void ws_close(struct ws *w, int code, const char *reason);

/* Client: url is ws:// or wss://; protocol may be NULL ("janus-protocol"). Masking is done on a copy. */
struct ws_connect {
    const char *url;
    const char *protocol;
    struct tls_context *tls;
    unsigned timeout_ms;
};
struct ws *ws_connect(struct loop *l, const struct ws_connect *how, const struct ws_ops *ops, void *user,
                      struct error *err);
