/* SPDX-License-Identifier: Apache-2.0 */
#include "io/conn_private.h"

#include "base/log.h"
#include "base/mem.h"
#include "io/inherit.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

LOG_TOPIC(topic, "io.listener");

#define MAX_CONNS_DEFAULT 100000
#define BACKLOG           1024
#define ACCEPT_BATCH      64 /* accepted in one wake-up; then sessions get their turn */
#define ACCEPT_RETRY_MS   250
#define ADDRESS_BUCKETS   1024

/* Connections of one address; an IPv6 host owns a /64, so that is what counts. */
struct address_count {
    struct address_count *next;
    uint8_t key[16];
    unsigned n;
};

struct listener_socket {
    uv_poll_t poll;
    struct listener *listener;
    struct loop *loop;
    struct loop_timer *retry; /* runs while out of descriptors */
    int fd;
    bool polled; /* poll is an open handle and holds a reference to the listener */
};

/* Referenced by its owner, by each open poll handle and by each connection it counts. */
struct listener {
    atomic_uint refs;
    atomic_ullong live;
    atomic_ullong accepted;
    atomic_ullong refused;
    unsigned max_conns;
    unsigned max_conns_per_address;
    char name[32];
    char text[64]; /* the address, for logs */
    uint16_t port;
    struct tls_context *tls;
    bool plain_too;
    listener_accept_fn accept;
    void *user;
    pthread_mutex_t lock; /* of by_address; taken only when there is a limit per address */
    struct address_count **by_address;
    unsigned n_sockets;
    struct listener_socket sockets[];
};

static void listener_unref(struct listener *l)
{
    if (atomic_fetch_sub(&l->refs, 1) != 1) {
        return;
    }
    pthread_mutex_destroy(&l->lock);
    free(l->by_address);
    free(l);
}

/* ---- limits ---- */

static void address_key(const struct conn_addr *a, uint8_t key[16])
{
    memset(key, 0, 16);
    if (a->sa.ss_family == AF_INET6) {
        memcpy(key, &((const struct sockaddr_in6 *)&a->sa)->sin6_addr, 8);
    } else {
        key[10] = key[11] = 0xff;
        memcpy(key + 12, &((const struct sockaddr_in *)&a->sa)->sin_addr, 4);
    }
}

static struct address_count **address_find(struct listener *l, const uint8_t key[16])
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (int i = 0; i < 16; i++) {
        h = (h ^ key[i]) * 16777619u;
    }
    struct address_count **p = &l->by_address[(h ^ h >> 16) % ADDRESS_BUCKETS];
    while (*p && memcmp((*p)->key, key, 16) != 0) {
        p = &(*p)->next;
    }
    return p;
}

static bool address_enter(struct listener *l, const struct conn_addr *a)
{
    uint8_t key[16];
    bool ok = true;
    address_key(a, key);
    pthread_mutex_lock(&l->lock);
    struct address_count **p = address_find(l, key);
    if (!*p) {
        *p = mem_new(struct address_count);
        memcpy((*p)->key, key, sizeof(key));
    }
    if ((*p)->n < l->max_conns_per_address) {
        (*p)->n++;
    } else {
        ok = false;
    }
    pthread_mutex_unlock(&l->lock);
    return ok;
}

static void address_leave(struct listener *l, const struct conn_addr *a)
{
    uint8_t key[16];
    address_key(a, key);
    pthread_mutex_lock(&l->lock);
    struct address_count **p = address_find(l, key);
    assert(*p && (*p)->n > 0);
    if (--(*p)->n == 0) {
        struct address_count *gone = *p;
        *p = gone->next;
        free(gone);
    }
    pthread_mutex_unlock(&l->lock);
}

/* Counts a new connection in, or says that it is over a limit. Before anything is allocated for it. */
static bool admit(struct listener *l, const struct conn_addr *peer)
{
    if (atomic_fetch_add(&l->live, 1) >= l->max_conns) {
        atomic_fetch_sub(&l->live, 1);
        return false;
    }
    if (l->max_conns_per_address > 0 && !address_enter(l, peer)) {
        atomic_fetch_sub(&l->live, 1);
        return false;
    }
    atomic_fetch_add(&l->refs, 1);
    return true;
}

void listener_forget(struct listener *l, const struct conn_addr *peer)
{
    if (l->max_conns_per_address > 0) {
        address_leave(l, peer);
    }
    atomic_fetch_sub(&l->live, 1);
    listener_unref(l);
}

/* ---- accepting, on the loops ---- */

static void on_acceptable(uv_poll_t *poll, int status, int events);

static void on_retry(void *user)
{
    struct listener_socket *s = user;
    uv_poll_start(&s->poll, UV_READABLE, on_acceptable);
}

/* Waiting connections stay in the kernel's backlog; polling on would spin. */
static void pause_accepting(struct listener_socket *s, int code)
{
    struct listener *l = s->listener;
    uv_poll_stop(&s->poll);
    if (!s->retry) {
        log_error("%s: cannot accept connections: %s; trying again every %u ms", l->name,
                  error_name(code), ACCEPT_RETRY_MS);
        s->retry = loop_timer_new(s->loop, on_retry, s);
    }
    loop_timer_start(s->retry, ACCEPT_RETRY_MS);
}

static void take_connection(struct listener_socket *s, int fd, const struct conn_addr *peer)
{
    struct listener *l = s->listener;
    if (!admit(l, peer)) {
        atomic_fetch_add(&l->refused, 1);
        close(fd);
        log_debug("%s: %s is over a limit, closed", l->name, peer->text);
        return;
    }
    atomic_fetch_add(&l->accepted, 1);
    struct conn *c = conn_new(s->loop);
    c->peer = *peer;
    c->listener = l;
    int r = l->tls && l->plain_too ? conn_attach_either(c, fd, l->tls)
                                   : conn_attach(c, fd, l->tls, true, NULL);
    if (r < 0) {
        conn_close(c);
        return;
    }
    l->accept(l->user, c);
    assert(c->ops || c->state >= CONN_FLUSHING);
}

/* Failures of the connection that was to be accepted (accept(2) passes them on), not of accepting. */
static bool is_peers_failure(int e)
{
    switch (e) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case EPERM:
        return true;
    default:
        return false;
    }
}

static void accept_batch(struct listener_socket *s)
{
    for (int i = 0; i < ACCEPT_BATCH && s->fd >= 0; i++) {
        struct sockaddr_storage sa;
        socklen_t len = sizeof(sa);
        int fd = accept4(s->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && errno == EAGAIN) {
            return;
        }
        if (fd < 0 && is_peers_failure(errno)) {
            continue;
        }
        if (fd < 0) {
            pause_accepting(s, -errno);
            return;
        }
        if (s->retry) {
            log_info("%s: accepts connections again", s->listener->name);
            s->retry = loop_timer_free(s->retry);
        }
        struct conn_addr peer;
        conn_addr_set(&peer, (struct sockaddr *)&sa, len);
        take_connection(s, fd, &peer);
    }
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
    struct listener_socket *s = poll->data;
    if (status < 0) {
        pause_accepting(s, status);
        return;
    }
    accept_batch(s);
}

static void start_socket(struct loop *loop, void *arg)
{
    struct listener_socket *s = arg;
    if (uv_poll_init(loop_uv(loop), &s->poll, s->fd) < 0) {
        log_error("%s: cannot poll its socket on loop %s; nothing is accepted there",
                  s->listener->name, loop_name(loop));
        return;
    }
    s->poll.data = s;
    s->polled = true;
    atomic_fetch_add(&s->listener->refs, 1);
    uv_poll_start(&s->poll, UV_READABLE, on_acceptable);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct listener_socket *s = handle->data;
    listener_unref(s->listener);
}

static void stop_socket(struct loop *loop, void *arg)
{
    struct listener_socket *s = arg;
    s->retry = loop_timer_free(s->retry);
    if (s->polled) {
        uv_close((uv_handle_t *)&s->poll, on_poll_closed);
    }
    close(s->fd);
    s->fd = -1;
}

/* ---- opening, on the control thread ---- */

static int parse_address(const struct listener_config *config, struct sockaddr_storage *ret,
                         socklen_t *ret_len)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(config->port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(config->port)};
    memset(ret, 0, sizeof(*ret));
    if (inet_pton(AF_INET, config->address, &in.sin_addr) == 1) {
        memcpy(ret, &in, sizeof(in));
        *ret_len = sizeof(in);
        return 0;
    }
    if (inet_pton(AF_INET6, config->address, &in6.sin6_addr) == 1) {
        memcpy(ret, &in6, sizeof(in6));
        *ret_len = sizeof(in6);
        return 0;
    }
    return -EINVAL;
}

static void set_option(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof(value));
}

/* Inherited by accepted sockets: no Nagle delay, and keep-alive probes, which find a peer that vanished in silence. */
static void set_options(int fd)
{
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 6);
}

/*
 * Bound, not yet listening. SO_REUSEPORT is set after the bind of the first socket, so that a port which another server
 * already shares out is refused instead of shared with it.
 */
static int bind_socket(struct sockaddr_storage *sa, socklen_t len, bool shares_port)
{
    int fd = socket(sa->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (shares_port) {
        set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    }
    if (sa->ss_family == AF_INET6) {
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    }
    if (bind(fd, (struct sockaddr *)sa, len) < 0 ||
        getsockname(fd, (struct sockaddr *)sa, &len) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    return fd;
}

static void close_sockets(struct listener *l)
{
    for (unsigned i = 0; i < l->n_sockets; i++) {
        close(l->sockets[i].fd);
    }
}

/*
 * Sockets that were handed over: each is polled, as the kernel deals connections out to all of them; when they are fewer
 * than the loops, further loops poll a duplicate. They are listening already.
 */
static int adopt_sockets(struct listener *l, const int *fds, unsigned n_fds,
                         struct loop *const *loops, unsigned n_loops)
{
    for (unsigned i = 0; i < MAX(n_fds, n_loops); i++) {
        int fd = i < n_fds ? fds[i] : fcntl(fds[i % n_fds], F_DUPFD_CLOEXEC, 0);
        if (fd < 0) {
            return -errno;
        }
        set_options(fd);
        l->sockets[i] =
            (struct listener_socket){.listener = l, .loop = loops[i % n_loops], .fd = fd};
        l->n_sockets++;
    }
    return 0;
}

/* Port 0 becomes a real one with the first socket; the others bind to the same. */
static int open_sockets(struct listener *l, struct sockaddr_storage *sa, socklen_t len,
                        bool shares_port, struct loop *const *loops, unsigned n_loops)
{
    for (unsigned i = 0; i < n_loops; i++) {
        int fd = bind_socket(sa, len, shares_port || i > 0);
        if (fd < 0) {
            return fd;
        }
        set_options(fd);
        l->sockets[i] = (struct listener_socket){.listener = l, .loop = loops[i], .fd = fd};
        l->n_sockets++;
    }
    for (unsigned i = 0; i < n_loops; i++) {
        if (listen(l->sockets[i].fd, BACKLOG) < 0) {
            return -errno;
        }
    }
    return 0;
}

struct listener *listener_open(const struct listener_config *config, struct loop *const *loops,
                               unsigned n_loops, listener_accept_fn accept, void *user,
                               struct error *err)
{
    struct sockaddr_storage sa;
    socklen_t len;
    assert(n_loops > 0 && n_loops <= LOOPS_MAX);
    if (parse_address(config, &sa, &len) < 0) {
        error_set(err, -EINVAL, "address", "'%s' is not a numeric IP address", config->address);
        return NULL;
    }
    int given[INHERIT_MAX];
    unsigned n_given = config->port ? inherit_take((struct sockaddr *)&sa, given, INHERIT_MAX) : 0;
    struct listener *l = mem_zalloc(sizeof(struct listener) +
                                    MAX(n_given, n_loops) * sizeof(struct listener_socket));
    atomic_init(&l->refs, 1);
    l->max_conns = config->max_conns ? config->max_conns : MAX_CONNS_DEFAULT;
    l->max_conns_per_address = config->max_conns_per_address;
    snprintf(l->name, sizeof(l->name), "%s", config->name ? config->name : "listener");
    l->tls = config->tls;
    l->plain_too = config->plain_too;
    l->accept = accept;
    l->user = user;
    pthread_mutex_init(&l->lock, NULL);
    if (l->max_conns_per_address > 0) {
        l->by_address = mem_new_array(struct address_count *, ADDRESS_BUCKETS);
    }
    int r = n_given > 0 ? adopt_sockets(l, given, n_given, loops, n_loops)
                        : open_sockets(l, &sa, len, config->shares_port, loops, n_loops);
    struct conn_addr addr;
    conn_addr_set(&addr, (struct sockaddr *)&sa, len);
    memcpy(l->text, addr.text, sizeof(l->text));
    if (r < 0) {
        error_set(err, r, "", "cannot listen at %s: %s", l->text, error_name(r));
        close_sockets(l);
        listener_unref(l);
        return NULL;
    }
    l->port = ntohs(sa.ss_family == AF_INET ? ((struct sockaddr_in *)&sa)->sin_port
                                            : ((struct sockaddr_in6 *)&sa)->sin6_port);
    for (unsigned i = 0; i < l->n_sockets; i++) {
        loop_call(l->sockets[i].loop, start_socket, &l->sockets[i]);
    }
    log_debug("%s: listens on %s with %u sockets%s", l->name, l->text, l->n_sockets,
              n_given > 0 ? " that were handed over" : "");
    return l;
}

unsigned listener_fds(const struct listener *l, int *ret_fds, unsigned max)
{
    unsigned n = MIN(l->n_sockets, max);
    for (unsigned i = 0; i < n; i++) {
        ret_fds[i] = l->sockets[i].fd;
    }
    return n;
}

const char *listener_name(const struct listener *l)
{
    return l->name;
}

const char *listener_text(const struct listener *l)
{
    return l->text;
}

bool listener_is_tls(const struct listener *l)
{
    return l->tls != NULL;
}

uint16_t listener_port(const struct listener *l)
{
    return l->port;
}

uint64_t listener_live(const struct listener *l)
{
    return atomic_load(&l->live);
}

uint64_t listener_accepted(const struct listener *l)
{
    return atomic_load(&l->accepted);
}

uint64_t listener_refused(const struct listener *l)
{
    return atomic_load(&l->refused);
}

struct listener *listener_close(struct listener *l)
{
    if (!l) {
        return NULL;
    }
    for (unsigned i = 0; i < l->n_sockets; i++) {
        loop_call_wait(l->sockets[i].loop, stop_socket, &l->sockets[i]);
    }
    listener_unref(l);
    return NULL;
}
