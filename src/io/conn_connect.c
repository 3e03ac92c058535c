/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting: the name is resolved on libuv's threads, then its addresses are tried in order, the next after a failure or
 * after its share of the time that is left. What this needs exists only until the connection is open.
 */
#include "io/conn_private.h"

#include "base/clock.h"
#include "base/mem.h"
#include "io/net_guard.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TIMEOUT_MS_DEFAULT 10000
#define TARGETS_MAX        8

/* Of its own, because a request that runs cannot be taken back: it may outlive its connection. */
struct resolving {
    uv_getaddrinfo_t req;
    struct conn *conn; /* NULL: nobody waits any more */
};

/* One try; its poll handle closes later than the try ends. */
struct attempt {
    uv_poll_t poll;
    struct conn *conn;
    int fd;
};

struct conn_connecting {
    struct resolving *resolving;
    struct attempt *attempt;
    struct target {
        struct sockaddr_storage sa;
        socklen_t len;
    } targets[TARGETS_MAX];
    unsigned n_targets;
    unsigned next; /* to be tried */
    struct tls_context *tls;
    int64_t deadline_ns;
    uint16_t port;
    struct net_guard *guard; /* NULL = any address */
    int last_failure;
    char *host;
    char *server_name;
};

static void try_next(struct conn *c);

/* ---- one attempt ---- */

static void on_attempt_closed(uv_handle_t *handle)
{
    free(CONTAINER_OF((uv_poll_t *)handle, struct attempt, poll));
}

/* Ends the attempt and returns its fd, which libuv has let go of. */
static int attempt_end(struct conn_connecting *k)
{
    struct attempt *a = TAKE_PTR(k->attempt);
    int fd = a->fd;
    uv_close((uv_handle_t *)&a->poll, on_attempt_closed);
    return fd;
}

static void attempt_failed(struct conn *c, int code)
{
    struct conn_connecting *k = c->connecting;
    k->last_failure = code;
    if (k->attempt) {
        close(attempt_end(k));
    }
    try_next(c);
}

static void attempt_succeeded(struct conn *c)
{
    struct error err = {0};
    struct conn_connecting *k = c->connecting;
    int fd = attempt_end(k);
    int64_t left_ms = (k->deadline_ns - clock_mono_ns()) / NS_PER_MS;
    conn_set_deadline(c, (unsigned)MAX(left_ms, (int64_t)1)); /* all of it is the handshake's now */
    int r = conn_attach(c, fd, k->tls, false, k->server_name);
    if (r < 0) {
        error_set(&err, r, c->peer.text, "cannot use the connection: %s", error_name(r));
        conn_report_end(c, r, &err);
        return;
    }
    conn_connecting_free(c);
    if (c->state == CONN_HANDSHAKE) {
        return;
    }
    conn_clear_deadline(c);
    if (c->queue.n > 0) {
        loop_defer(c->loop, LOOP_STAGE_WRITE, &c->work);
    }
    if (c->ops->on_open) {
        c->ops->on_open(c->user);
    }
}

static void on_attempt(uv_poll_t *poll, int status, int events)
{
    struct attempt *a = CONTAINER_OF(poll, struct attempt, poll);
    struct conn *c = a->conn;
    int code = 0;
    socklen_t len = sizeof(code);
    if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0) {
        code = errno;
    }
    if (code == 0 && status < 0) {
        code = ECONNABORTED;
    }
    if (code != 0) {
        attempt_failed(c, -code);
    } else {
        attempt_succeeded(c);
    }
}

static int attempt_start(struct conn *c, const struct target *to)
{
    int one = 1;
    int fd = socket(to->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    if (connect(fd, (const struct sockaddr *)&to->sa, to->len) < 0 && errno != EINPROGRESS) {
        int r = -errno;
        close(fd);
        return r;
    }
    struct attempt *a = mem_new(struct attempt);
    int r = uv_poll_init(loop_uv(c->loop), &a->poll, fd);
    if (r < 0) {
        free(a);
        close(fd);
        return r;
    }
    a->conn = c;
    a->fd = fd;
    c->connecting->attempt = a;
    uv_poll_start(&a->poll, UV_WRITABLE, on_attempt);
    return 0;
}

/* ---- the run over the addresses ---- */

void conn_connecting_start(struct conn *c)
{
    struct conn_connecting *k = c->connecting;
    if (k && !k->resolving && !k->attempt) {
        try_next(c);
    }
}

static void all_failed(struct conn *c)
{
    struct conn_connecting *k = c->connecting;
    struct error err;
    int r = k->last_failure ? k->last_failure : -EADDRNOTAVAIL;
    char where[120];
    snprintf(where, sizeof(where), "%s:%u", k->host, k->port);
    error_set(&err, r, where, "cannot connect: %s", error_name(r));
    conn_connecting_free(c);
    conn_report_end(c, r, &err);
}

static void try_next(struct conn *c)
{
    struct conn_connecting *k = c->connecting;
    while (k->next < k->n_targets) {
        int64_t left_ms = (k->deadline_ns - clock_mono_ns()) / NS_PER_MS;
        unsigned share = k->n_targets - k->next;
        const struct target *to = &k->targets[k->next++];
        conn_addr_set(&c->peer, (const struct sockaddr *)&to->sa, to->len);
        int r = k->guard ? net_guard_check(k->guard, (const struct sockaddr *)&to->sa, NULL) : 0;
        r = r < 0 ? r : attempt_start(c, to);
        if (r == 0) {
            conn_set_deadline(c, (unsigned)(MAX(left_ms, (int64_t)1) / share));
            return;
        }
        k->last_failure = r;
    }
    all_failed(c);
}

void conn_connecting_expired(struct conn *c)
{
    struct conn_connecting *k = c->connecting;
    struct error err;
    if (k->attempt) {
        attempt_failed(c, -ETIMEDOUT);
        return;
    }
    error_set(&err, -ETIMEDOUT, k->host, "the name could not be resolved in time");
    conn_connecting_free(c);
    conn_report_end(c, -ETIMEDOUT, &err);
}

void conn_connecting_free(struct conn *c)
{
    struct conn_connecting *k = TAKE_PTR(c->connecting);
    if (!k) {
        return;
    }
    if (k->resolving) {
        k->resolving->conn = NULL;
        (void)uv_cancel((uv_req_t *)&k->resolving->req);
    }
    if (k->attempt) {
        close(attempt_end(k));
    }
    free(k->host);
    free(k->server_name);
    free(k->guard);
    free(k);
}

/* ---- resolving ---- */

static void add_target(struct conn_connecting *k, const struct sockaddr *sa, socklen_t len)
{
    if (k->n_targets == TARGETS_MAX || len > sizeof(k->targets[0].sa)) {
        return;
    }
    struct target *t = &k->targets[k->n_targets++];
    memcpy(&t->sa, sa, len);
    t->len = len;
    if (sa->sa_family == AF_INET6) {
        ((struct sockaddr_in6 *)&t->sa)->sin6_port = htons(k->port);
    } else {
        ((struct sockaddr_in *)&t->sa)->sin_port = htons(k->port);
    }
}

/* True when host is an address: then nothing waits for the resolver's threads. */
static bool add_numeric(struct conn_connecting *k)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, k->host, &in.sin_addr) == 1) {
        add_target(k, (struct sockaddr *)&in, sizeof(in));
    } else if (inet_pton(AF_INET6, k->host, &in6.sin6_addr) == 1) {
        add_target(k, (struct sockaddr *)&in6, sizeof(in6));
    }
    return k->n_targets > 0;
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *addresses)
{
    struct resolving *r = CONTAINER_OF(req, struct resolving, req);
    struct conn *c = r->conn;
    struct error err;
    free(r);
    if (!c) {
        uv_freeaddrinfo(addresses);
        return;
    }
    struct conn_connecting *k = c->connecting;
    k->resolving = NULL;
    if (status < 0 || !addresses) {
        error_set(&err, -EHOSTUNREACH, k->host, "the name cannot be resolved: %s",
                  uv_strerror(status));
        uv_freeaddrinfo(addresses);
        conn_connecting_free(c);
        conn_report_end(c, -EHOSTUNREACH, &err);
        return;
    }
    for (struct addrinfo *a = addresses; a; a = a->ai_next) {
        add_target(k, a->ai_addr, a->ai_addrlen);
    }
    uv_freeaddrinfo(addresses);
    try_next(c);
}

static int resolve(struct conn *c)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV};
    struct resolving *r = mem_new(struct resolving);
    int code =
        uv_getaddrinfo(loop_uv(c->loop), &r->req, on_resolved, c->connecting->host, NULL, &hints);
    if (code < 0) {
        free(r);
        return code;
    }
    r->conn = c;
    c->connecting->resolving = r;
    return 0;
}

struct conn *conn_connect(struct loop *l, const struct conn_connect *how,
                          const struct conn_ops *ops, void *user)
{
    unsigned timeout_ms = how->timeout_ms ? how->timeout_ms : TIMEOUT_MS_DEFAULT;
    struct conn *c = conn_new(l);
    struct conn_connecting *k = mem_new(struct conn_connecting);
    conn_set_ops(c, ops, user);
    k->tls = how->tls;
    k->port = how->port;
    k->host = mem_strdup(how->host);
    k->server_name = mem_strdup(how->server_name ? how->server_name : how->host);
    k->guard = how->guard ? mem_memdup(how->guard, sizeof(*how->guard)) : NULL;
    k->deadline_ns = clock_mono_ns() + timeout_ms * NS_PER_MS;
    c->connecting = k;
    conn_set_deadline(c, timeout_ms);
    if (add_numeric(k)) {
        /* Not from here: a failure at once must not call back before the caller has the connection. */
        loop_defer(l, LOOP_STAGE_WRITE, &c->work);
    } else if (resolve(c) < 0) {
        conn_connecting_free(c);
        conn_fail_later(c, -EINVAL, "the host name is not one");
    }
    return c;
}
