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
    /* Whole messages, at most max_message; text is checked UTF-8. Valid during the call. NULL = dropped. */
    void (*on_text)(void *user, struct bytes text);
    void (*on_binary)(void *user, struct bytes data);
    void (*on_writable)(void *user); /* after ws_writev() took less than all */
    /*
     * code: the peer's close code (1005: it gave none), 1006 when the transport broke or the peer fell silent, or the code
     * with which it was sent away for breaking the rules. Dead from here on: the owner calls ws_close().
     */
    void (*on_close)(void *user, int code, const char *reason);
    void (*on_open)(void *user); /* clients */
};

/*
 * Media route, at once or later: validates the handshake; answers 400/426 itself and returns NULL when it is not one, or
 * when the client has left meanwhile. Consumes the reply either way. protocol may be NULL; when the client offers it, it is
 * agreed on. Messages come from the next pass of the loop on, never from inside this call.
 */
struct ws *ws_accept(struct http_request *req, struct http_reply *reply, const char *protocol,
                     const struct ws_ops *ops, void *user);
void ws_set_max_message(struct ws *w, size_t bytes); /* default 64 KiB */
/* A peer that is silent for silent_ms is pinged and dropped after answer_ms more; default 60 s and 20 s. */
void ws_set_keepalive(struct ws *w, unsigned silent_ms, unsigned answer_ms);
/*
 * Queued, at most 1 MiB: a peer that lets more pile up is dropped. While a frame of ws_writev() is half written, they wait
 * for its end.
 */
void ws_send_text(struct ws *w, struct bytes text);
void ws_send_binary(struct ws *w, struct bytes data);

#define WS_HEADER_MAX 10
/* Server-to-client header of one whole binary message of len bytes; returns its size. */
unsigned ws_frame_header(uint8_t header[WS_HEADER_MAX], uint64_t len);
/*
 * Like conn_writev(): raw frames of a server, no copy. The stream's frames are followed, so the vectors may start and end
 * anywhere in a frame, as long as no byte is missing. Returns -EAGAIN when queued text must go first (on_writable follows).
 */
ssize_t ws_writev(struct ws *w, const struct iovec *iov, int n);
struct conn *ws_conn(struct ws *w);
/*
 * Sends a close frame with code and reason (at most 123 bytes; NULL is fine), waits up to 2 s for the echo, frees. A code
 * that may not be sent (1005, 1006) sends none. No callback comes any more. After on_close: just frees.
 */
void ws_close(struct ws *w, int code, const char *reason);
/* Live WebSockets of the process, those that wait for the echo of their close among them; any thread. */
uint64_t ws_live(void);

/*
 * Client: url is ws:// or wss://; protocol may be NULL ("janus-protocol"). Masking is done on a copy. on_open or on_close
 * follows, at the latest after timeout_ms (0 = 10 s). NULL and err for a URL that cannot be used.
 */
struct ws_connect {
    const char *url;
    const char *protocol;
    struct tls_context *tls; /* for wss:// */
    unsigned timeout_ms;
};
struct ws *ws_connect(struct loop *l, const struct ws_connect *how, const struct ws_ops *ops,
                      void *user, struct error *err);
