/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The inside of a connection, shared by conn.c (reading, writing, closing), conn_tls.c, conn_connect.c and listener.c;
 * nobody else includes it. One loop. An idle connection is this struct and nothing more: the queue, the TLS session, the
 * deadline and the local address are made when first used, and received bytes land in the loop's scratch.
 */
#include "base/buf_queue.h"
#include "io/conn.h"
#include "io/tls.h"

#include <uv.h>

enum conn_state {
    CONN_CONNECTING, /* resolving, then TCP; conn_connect.c has it */
    CONN_SNIFFING,   /* a server's port takes TLS and plain: the first byte will tell */
    CONN_HANDSHAKE,  /* TLS */
    CONN_OPEN,
    CONN_ENDED, /* broken or over: the owner knows, or will hear of it from the work task; it has to close */
    CONN_FLUSHING,  /* conn_close_gracefully(): what is queued goes out */
    CONN_LINGERING, /* our side is shut; input is thrown away until the peer's end, so that no reset eats our last bytes */
    CONN_CLOSED,    /* waits for its memory to be freed */
    CONN_STATE_N,
};

struct conn_tls;
struct conn_connecting;

struct conn {
    uv_poll_t poll;
    struct loop *loop;
    const struct conn_ops *ops; /* NULL: detached */
    void *user;
    int fd;
    int armed; /* events that libuv polls for now */
    enum conn_state state;
    int fail_code;         /* a failure that the work task still has to report; 0 = none */
    const char *fail_text; /* static; NULL = the name of the code */
    bool fail_pending;     /* the work task reports it */
    bool poll_ready;       /* poll is an open libuv handle */
    bool paused;
    bool want_writable;
    bool queue_blocked; /* the socket was full when the queue was flushed last */
    bool want_drained;
    bool read_again; /* TLS holds bytes that the poll does not see */
    bool eof;        /* the peer sent its end */
    bool free_now;   /* state CLOSED without a libuv handle: the work task frees */
    size_t drained_low;
    size_t queue_max;
    struct loop_task work; /* LOOP_STAGE_WRITE */
    struct loop_task
        at_free; /* waits while detached: a loop that is freed does not wait for lingering peers */
    struct buf_queue queue;
    struct conn_tls *tls;
    struct tls_context *sniffed; /* SNIFFING: what is used when the first byte is TLS */
    struct conn_connecting *connecting;
    struct loop_timer *deadline; /* of connecting, handshake or graceful close */
    struct listener *listener;   /* counts this connection; NULL for others */
    uint64_t bytes_in;
    uint64_t bytes_out;
    struct conn_addr *local; /* made when asked for */
    struct conn_addr peer;
};

/* A connection without a descriptor in state CONNECTING. */
struct conn *conn_new(struct loop *l);
/* Gives c its connected, non-blocking fd and polls it; on failure the fd is closed. State becomes OPEN or, with tls, HANDSHAKE. */
int conn_attach(struct conn *c, int fd, struct tls_context *tls, bool server,
                const char *server_name);
/*
 * A server's connection that becomes TLS when its first byte is that of a handshake record, else plain. State becomes
 * SNIFFING; how long the peer may stay silent is the owner's affair.
 */
int conn_attach_either(struct conn *c, int fd, struct tls_context *tls);
/* on_close to the owner, now; state ENDED. err may be NULL. */
void conn_report_end(struct conn *c, int r, const struct error *err);
/* The same from the work task: for places where no callback may run. text is static or NULL. */
void conn_fail_later(struct conn *c, int r, const char *text);
/* Sets what libuv polls for to what the state needs. */
void conn_update_poll(struct conn *c);
void conn_set_deadline(struct conn *c, unsigned ms);
void conn_clear_deadline(struct conn *c);
void conn_addr_set(struct conn_addr *a, const struct sockaddr *sa, socklen_t len);

/* ---- conn_tls.c: one TLS session on the connection's fd ---- */
int conn_tls_open(struct conn *c, struct tls_context *context, bool server,
                  const char *server_name);
void conn_tls_free(struct conn *c);
/* 1 done, 0 waits for the socket, negative: failed, err filled. */
int conn_tls_handshake(struct conn *c, struct error *err);
/* Bytes read, 0 at the peer's end, -EAGAIN, other negative: failed, err filled. Sets read_again. */
ssize_t conn_tls_read(struct conn *c, uint8_t *p, size_t size, struct error *err);
/* Like sendmsg(): bytes taken or -EAGAIN or failure. What was taken may wait in one pending record. */
ssize_t conn_tls_writev(struct conn *c, const struct iovec *iov, int n);
/* Writes the pending record: 1 nothing is pending (any more), 0 waits, negative: failed. */
int conn_tls_flush(struct conn *c);
/* Sends close_notify: 1 sent (or pointless), 0 waits, negative: failed. */
int conn_tls_shutdown(struct conn *c);
/* Poll events the session needs beyond those the connection wants. */
int conn_tls_events(const struct conn *c);
/* A write waits for input or a read for output (key updates): any event may help both. */
bool conn_tls_crossed(const struct conn *c);
const char *conn_tls_alpn(const struct conn *c);

/* ---- conn_connect.c ---- */
void conn_connecting_start(
    struct conn *c); /* tries the next address unless something is under way */
void conn_connecting_free(struct conn *c);
void conn_connecting_expired(struct conn *c);

/* ---- listener.c ---- */
void listener_forget(struct listener *l, const struct conn_addr *peer);
