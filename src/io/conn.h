/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Byte streams over TCP, with or without TLS, for servers and clients. A connection lives on one loop for its whole life;
 * all calls are made there. The fd is non-blocking and our own (libuv only polls it), so that a write is one writev() of
 * what the caller already holds, with no queue of its own: what the kernel does not take, the caller keeps.
 *
 *   reading   on_read gets a view that is valid during the call; conn_read_pause() stops it (back-pressure).
 *   writing   media sessions use conn_writev() + on_writable: they hold a cursor, not a queue. Control protocols use
 *             conn_send(), which keeps a bounded queue of references and closes the connection when the bound is passed.
 *             The two must not be mixed while the queue is not empty (conn_queued() == 0 is asserted by conn_writev()).
 *   closing   conn_close() may be called at any time, also inside callbacks; no callback comes after it. on_close comes
 *             at most once, and only when the far side or the transport ended it; the owner then calls conn_close().
 */
#include "base/buf.h"
#include "base/bytes.h"
#include "base/error.h"
#include "io/loop.h"

#include <sys/socket.h>
#include <sys/uio.h>

struct conn;
struct net_guard;   /* io/net_guard.h */
struct tls_context; /* io/tls.h */

struct conn_ops {
    /* data is never empty. Return value: none; to refuse, call conn_close(). */
    void (*on_read)(void *user, struct bytes data);
    /* Asked for by a conn_writev() that took less than all, or by conn_want_writable(); once per request. */
    void (*on_writable)(void *user);
    /* r: 0 = the far side closed in an orderly way, else negative errno; err says more. */
    void (*on_close)(void *user, int r, const struct error *err);
    /* Client connections and TLS servers: the transport is ready (TCP connected, TLS handshake done). May be NULL. */
    void (*on_open)(void *user);
};

/* Peer address in text and raw form. */
struct conn_addr {
    struct sockaddr_storage sa;
    char text[64]; /* "192.0.2.1:5000", "[2001:db8::1]:5000" */
};

/* Owner's data and table; set once before returning to the loop. */
void conn_set_ops(struct conn *c, const struct conn_ops *ops, void *user);
struct loop *conn_loop(struct conn *c);
const struct conn_addr *conn_peer(const struct conn *c);
const struct conn_addr *conn_local(const struct conn *c);
/* On a port that takes both it is known once something was read. */
bool conn_is_tls(const struct conn *c);
/* ALPN protocol agreed, "" when none. */
const char *conn_alpn(const struct conn *c);

void conn_read_pause(struct conn *c);
void conn_read_resume(struct conn *c);

/*
 * Offers n vectors (any n; at most IOV_MAX are tried). Returns the bytes taken (0 when the socket is full), or negative
 * errno when the connection is broken (on_close does not follow then: the caller closes). When less than everything was
 * taken, on_writable comes when there is room again. TLS: what was taken may still be inside one pending record.
 */
ssize_t conn_writev(struct conn *c, const struct iovec *iov, int n);
void conn_want_writable(struct conn *c);

/* Queues a reference to b (its own is taken from *pb, which is nulled); written in order at LOOP_STAGE_WRITE, one writev. */
void conn_send(struct conn *c, struct buf **pb);
/* The same for bytes that are copied first. */
void conn_send_bytes(struct conn *c, struct bytes b);
size_t conn_queued(const struct conn *c); /* bytes in the queue */
/* Bytes that conn_send() may queue (and at most 16384 buffers) before the connection is closed with -ENOBUFS; default 1 MiB. */
void conn_set_queue_max(struct conn *c, size_t max);
/* on_writable once when the queue has drained below low. */
void conn_notify_drained(struct conn *c, size_t low);

/* For readers of media: lateness shows in our ring, not in the kernel (design 3). Of an open connection. */
void conn_set_notsent_lowat(struct conn *c, unsigned bytes);
/* On from the start: what is written is whole messages. */
void conn_set_nodelay(struct conn *c, bool on);
uint64_t conn_bytes_in(const struct conn *c);
uint64_t conn_bytes_out(const struct conn *c);

/* Closes and frees. Queued bytes are dropped. */
void conn_close(struct conn *c);
/*
 * Sends what is queued, then shuts down, waits for the far side's end and closes; at most timeout_ms, then resets. The
 * owner is detached: no callback comes. Also right after on_close(0), for a peer that only shut its sending side. A
 * connection that is not open yet, or broken, is closed at once.
 */
void conn_close_gracefully(struct conn *c, unsigned timeout_ms);

/*
 * Takes a connected socket from elsewhere (socketpair); tls may be NULL. on_open comes with TLS only. The fd is ours in
 * every case; NULL when it cannot be polled.
 */
struct conn *conn_from_fd(struct loop *l, int fd, struct tls_context *tls, bool server);

/*
 * Connects. host may be a name: it is resolved off the loop. on_open or on_close follows on the loop. server_name is the
 * TLS SNI and what the certificate is checked against; NULL = host. timeout_ms covers everything until on_open.
 */
struct conn_connect {
    const char *host;
    uint16_t port;
    struct tls_context *tls; /* NULL = plain */
    const char *server_name;
    unsigned timeout_ms; /* 0 = 10 s */
    /* Asked for each address before it is tried, for hosts that users name (io/net_guard.h); copied. NULL = any will do. */
    const struct net_guard *guard;
};
struct conn *conn_connect(struct loop *l, const struct conn_connect *how,
                          const struct conn_ops *ops, void *user);

/*
 * Listening. One listener object spans several loops: each loop accepts on its own socket (SO_REUSEPORT), so a connection
 * is born where it lives. Limits are per listener and per address; what is over a limit is closed at once and counted.
 */
struct listener;
struct listener_config {
    const char *address; /* "127.0.0.1", "::", "0.0.0.0"; numeric */
    uint16_t port;       /* 0 = any free one, see listener_port() */
    bool shares_port;    /* other listeners of this user may have it too (one replaces another) */
    struct tls_context *tls;
    bool plain_too;                 /* with tls: what does not begin with a TLS record is plain */
    unsigned max_conns;             /* 0 = 100000 */
    unsigned max_conns_per_address; /* 0 = no limit; an IPv6 /64 counts as one address */
    const char *name;               /* for logs and gauges: "rtmp" */
};
/* Called on the loop that accepted; the callee owns c and sets its ops before it returns (TLS: on_open follows). */
typedef void (*listener_accept_fn)(void *user, struct conn *c);
/* Control thread. Returns NULL and fills err when the address cannot be bound. Accepting starts at once. */
struct listener *listener_open(const struct listener_config *config, struct loop *const *loops,
                               unsigned n_loops, listener_accept_fn accept, void *user,
                               struct error *err);
/* Its sockets, which stay its own: to hand them on, duplicate them. Returns how many; at most max. */
unsigned listener_fds(const struct listener *l, int *ret_fds, unsigned max);
uint16_t listener_port(const struct listener *l);
const char *listener_name(const struct listener *l); /* of its configuration */
const char *listener_text(const struct listener *l); /* "127.0.0.1:8888" */
bool listener_is_tls(const struct listener *l);
uint64_t listener_live(const struct listener *l);     /* connections now */
uint64_t listener_accepted(const struct listener *l); /* total */
uint64_t listener_refused(const struct listener *l);  /* over a limit, total */
/* Stops accepting on all loops and frees (waits for the loops). Connections go on. NULL is fine; returns NULL. */
struct listener *listener_close(struct listener *l);
