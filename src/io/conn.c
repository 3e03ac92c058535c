/* SPDX-License-Identifier: Apache-2.0 */
#include "io/conn_private.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/un.h>
#include <unistd.h>

#define QUEUE_MAX_DEFAULT (1024 * 1024)
#define QUEUE_MAX_ENTRIES                                                                          \
    16384 /* a bound for many tiny messages, whose overhead the byte bound does not see */
#define QUEUE_VECTORS        256
#define HANDSHAKE_TIMEOUT_MS 10000
#define TLS_HANDSHAKE        0x16 /* ContentType, RFC 8446 5.1; no text protocol begins with it */

static void on_poll(uv_poll_t *poll, int status, int events);
static void run_work(struct loop_task *t);
static void run_at_free(struct loop_task *t);

/* ---- addresses ---- */

static void format_v4(struct conn_addr *a, const struct in_addr *ip, uint16_t port_be)
{
    char text[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, ip, text, sizeof(text));
    snprintf(a->text, sizeof(a->text), "%s:%u", text, ntohs(port_be));
}

static void format_v6(struct conn_addr *a, const struct sockaddr_in6 *in6)
{
    char text[INET6_ADDRSTRLEN];
    inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
    snprintf(a->text, sizeof(a->text), "[%s]:%u", text, ntohs(in6->sin6_port));
}

/* An IPv4 peer of a dual-stack socket is shown, and limited, as what it is. */
static void unmap_v4(struct conn_addr *a)
{
    struct sockaddr_in6 in6;
    struct sockaddr_in in = {.sin_family = AF_INET};
    memcpy(&in6, &a->sa, sizeof(in6));
    if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
        in.sin_port = in6.sin6_port;
        memcpy(&in.sin_addr, &in6.sin6_addr.s6_addr[12], 4);
        memset(&a->sa, 0, sizeof(a->sa));
        memcpy(&a->sa, &in, sizeof(in));
    }
}

void conn_addr_set(struct conn_addr *a, const struct sockaddr *sa, socklen_t len)
{
    memset(a, 0, sizeof(*a));
    memcpy(&a->sa, sa, MIN((size_t)len, sizeof(a->sa)));
    if (a->sa.ss_family == AF_INET6) {
        unmap_v4(a);
    }
    if (a->sa.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&a->sa;
        format_v4(a, &in->sin_addr, in->sin_port);
    } else if (a->sa.ss_family == AF_INET6) {
        format_v6(a, (const struct sockaddr_in6 *)&a->sa);
    } else {
        snprintf(a->text, sizeof(a->text), "local");
    }
}

/* ---- life ---- */

struct conn *conn_new(struct loop *l)
{
    struct conn *c = mem_new(struct conn);
    c->loop = l;
    c->fd = -1;
    c->state = CONN_CONNECTING;
    c->queue_max = QUEUE_MAX_DEFAULT;
    loop_task_init(&c->work, run_work);
    loop_task_init(&c->at_free, run_at_free);
    return c;
}

static void on_deadline(void *user)
{
    struct conn *c = user;
    struct error err;
    switch (c->state) {
    case CONN_CONNECTING:
        conn_connecting_expired(c);
        break;
    case CONN_HANDSHAKE:
        error_set(&err, -ETIMEDOUT, c->peer.text, "the TLS handshake took too long");
        conn_report_end(c, -ETIMEDOUT, &err);
        break;
    case CONN_FLUSHING:
    case CONN_LINGERING: {
        /* The peer does not take what was sent: a reset frees the kernel's buffers too. */
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        conn_close(c);
        break;
    }
    case CONN_SNIFFING:
    case CONN_OPEN:
    case CONN_ENDED:
    case CONN_CLOSED:
    case CONN_STATE_N:
        break;
    }
}

void conn_set_deadline(struct conn *c, unsigned ms)
{
    if (!c->deadline) {
        c->deadline = loop_timer_new(c->loop, on_deadline, c);
    }
    loop_timer_start(c->deadline, ms);
}

void conn_clear_deadline(struct conn *c)
{
    c->deadline = loop_timer_free(c->deadline);
}

static int take_fd(struct conn *c, int fd)
{
    int r = uv_poll_init(loop_uv(c->loop), &c->poll, fd);
    if (r < 0) {
        close(fd);
        return r;
    }
    c->fd = fd;
    c->poll.data = c;
    c->poll_ready = true;
    return 0;
}

static int start_tls(struct conn *c, struct tls_context *tls, bool server, const char *server_name)
{
    int r = conn_tls_open(c, tls, server, server_name);
    if (r < 0) {
        return r;
    }
    c->state = CONN_HANDSHAKE;
    if (!c->deadline) {
        conn_set_deadline(c, HANDSHAKE_TIMEOUT_MS);
    }
    return 0;
}

int conn_attach(struct conn *c, int fd, struct tls_context *tls, bool server,
                const char *server_name)
{
    int r = take_fd(c, fd);
    if (r < 0) {
        return r;
    }
    if (tls) {
        r = start_tls(c, tls, server, server_name);
        if (r < 0) {
            return r;
        }
    } else {
        c->state = CONN_OPEN;
    }
    conn_update_poll(c);
    return 0;
}

int conn_attach_either(struct conn *c, int fd, struct tls_context *tls)
{
    int r = take_fd(c, fd);
    if (r < 0) {
        return r;
    }
    c->sniffed = tls;
    c->state = CONN_SNIFFING;
    conn_update_poll(c);
    return 0;
}

struct conn *conn_from_fd(struct loop *l, int fd, struct tls_context *tls, bool server)
{
    struct conn *c = conn_new(l);
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    if (getpeername(fd, (struct sockaddr *)&sa, &len) < 0) {
        len = 0;
    }
    conn_addr_set(&c->peer, (struct sockaddr *)&sa, len);
    if (conn_attach(c, fd, tls, server, NULL) < 0) {
        conn_close(c);
        return NULL;
    }
    return c;
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    free(c);
}

/*
 * The fd is closed at once (uv_close() has taken it out of the poll by then), the memory later: callers up the stack may
 * still look at the state.
 */
void conn_close(struct conn *c)
{
    assert(c->state != CONN_CLOSED);
    bool told = c->state == CONN_OPEN;
    c->state = CONN_CLOSED;
    c->ops = NULL;
    loop_task_cancel(&c->work);
    loop_task_cancel(&c->at_free);
    conn_clear_deadline(c);
    conn_connecting_free(c);
    buf_queue_clear(&c->queue);
    if (c->tls) {
        if (told) {
            (void)conn_tls_shutdown(c);
        }
        conn_tls_free(c);
    }
    free(c->local);
    c->local = NULL;
    if (c->listener) {
        listener_forget(c->listener, &c->peer);
        c->listener = NULL;
    }
    if (c->poll_ready) {
        uv_close((uv_handle_t *)&c->poll, on_poll_closed);
        close(c->fd);
    } else {
        c->free_now = true;
        loop_defer(c->loop, LOOP_STAGE_WRITE, &c->work);
    }
}

static void run_at_free(struct loop_task *t)
{
    conn_close(CONTAINER_OF(t, struct conn, at_free));
}

static void linger(struct conn *c)
{
    if (c->eof) {
        conn_close(c);
        return;
    }
    (void)shutdown(c->fd, SHUT_WR);
    c->state = CONN_LINGERING;
    conn_update_poll(c);
}

static int flush_queue(struct conn *c);

/* One step towards the end of a graceful close; called whenever the socket may take more. */
static void flush_and_end(struct conn *c)
{
    int r = c->tls ? conn_tls_flush(c) : 1;
    if (r > 0) {
        r = flush_queue(c);
    }
    if (r >= 0 && c->queue.n == 0 && c->tls) {
        r = conn_tls_shutdown(c);
    } else if (r >= 0) {
        r = c->queue.n == 0;
    }
    if (r < 0) {
        conn_close(c);
    } else if (r > 0) {
        linger(c);
    } else {
        conn_update_poll(c);
    }
}

void conn_close_gracefully(struct conn *c, unsigned timeout_ms)
{
    assert(c->state != CONN_CLOSED && c->state != CONN_FLUSHING && c->state != CONN_LINGERING);
    bool writable =
        c->state == CONN_OPEN || (c->state == CONN_ENDED && c->eof && c->fail_code == 0);
    if (!writable) {
        conn_close(c);
        return;
    }
    c->ops = NULL;
    c->paused = c->want_writable = c->want_drained = false;
    c->state = CONN_FLUSHING;
    conn_set_deadline(c, timeout_ms);
    loop_at_free(c->loop, &c->at_free);
    /* Not here: the caller may be one of our own callbacks. */
    loop_defer(c->loop, LOOP_STAGE_WRITE, &c->work);
}

void conn_report_end(struct conn *c, int r, const struct error *err)
{
    struct error own = {0};
    const struct conn_ops *ops = c->ops;
    c->state = CONN_ENDED;
    c->fail_code = r;
    c->fail_pending = false;
    conn_clear_deadline(c);
    conn_update_poll(c);
    if (!err || err->code == 0) {
        err = &own;
    }
    if (r < 0 && err == &own) {
        error_set(&own, r, c->peer.text, "%s", error_name(r));
    }
    if (ops && ops->on_close) {
        ops->on_close(c->user, r, err);
    }
}

void conn_fail_later(struct conn *c, int r, const char *text)
{
    c->state = CONN_ENDED;
    c->fail_code = r;
    c->fail_text = text;
    c->fail_pending = true;
    buf_queue_clear(&c->queue);
    conn_connecting_free(c);
    conn_clear_deadline(c);
    conn_update_poll(c);
    loop_defer(c->loop, LOOP_STAGE_WRITE, &c->work);
}

/* ---- polling ---- */

static int wanted_events(const struct conn *c)
{
    int tls = c->tls ? conn_tls_events(c) : 0;
    switch (c->state) {
    case CONN_SNIFFING:
        return UV_READABLE;
    case CONN_HANDSHAKE:
        return tls;
    case CONN_OPEN:
        return (c->paused ? 0 : UV_READABLE) | tls |
               (c->want_writable || c->queue_blocked ? UV_WRITABLE : 0);
    case CONN_FLUSHING:
        /* The peer's bytes are looked at when ours are out; until then only room to write matters. */
        return tls | UV_WRITABLE;
    case CONN_LINGERING:
        return UV_READABLE;
    case CONN_CONNECTING:
    case CONN_ENDED:
    case CONN_CLOSED:
    case CONN_STATE_N:
        break;
    }
    return 0;
}

/* libuv takes the fd out of the poll and back for each change (two system calls), so only changes are told. */
void conn_update_poll(struct conn *c)
{
    int events = c->poll_ready ? wanted_events(c) : 0;
    if (!c->poll_ready || c->state == CONN_CLOSED || events == c->armed) {
        return;
    }
    c->armed = events;
    if (events == 0) {
        uv_poll_stop(&c->poll);
    } else {
        uv_poll_start(&c->poll, events, on_poll);
    }
}

/* ---- reading ---- */

static ssize_t read_some(struct conn *c, uint8_t *p, size_t size, struct error *err)
{
    ssize_t n;
    if (c->tls) {
        return conn_tls_read(c, p, size, err);
    }
    do {
        n = recv(c->fd, p, size, 0);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* One read of up to 64 KiB a wake-up: the poll tells again when there is more, and others get their turn. */
static void handle_readable(struct conn *c)
{
    struct error err = {0};
    uint8_t *scratch = loop_read_scratch(c->loop);
    ssize_t n = read_some(c, scratch, LOOP_SCRATCH_BYTES, &err);
    if (n == -EAGAIN) {
        return;
    }
    if (n <= 0) {
        c->eof = n == 0;
        conn_report_end(c, (int)n, &err);
        return;
    }
    c->bytes_in += (uint64_t)n;
    if (c->read_again) {
        loop_defer(c->loop, LOOP_STAGE_WRITE, &c->work);
    }
    c->ops->on_read(c->user, BYTES(scratch, (size_t)n));
}

static void handle_lingering(struct conn *c)
{
    ssize_t n = recv(c->fd, loop_read_scratch(c->loop), LOOP_SCRATCH_BYTES, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        conn_close(c);
    }
}

void conn_read_pause(struct conn *c)
{
    c->paused = true;
    conn_update_poll(c);
}

void conn_read_resume(struct conn *c)
{
    c->paused = false;
    conn_update_poll(c);
    if (c->read_again) {
        loop_defer(c->loop, LOOP_STAGE_WRITE, &c->work);
    }
}

/* ---- writing ---- */

/* Bytes taken, -EAGAIN, or the failure. MSG_NOSIGNAL: an embedder's process must not die of a peer that left. */
static ssize_t count_out(struct conn *c, ssize_t sent)
{
    if (sent > 0) {
        c->bytes_out += (uint64_t)sent;
    }
    return sent;
}

static ssize_t write_some(struct conn *c, const struct iovec *iov, int n, int flags)
{
    ssize_t sent;
    if (c->tls) {
        sent = conn_tls_writev(c, iov, n);
    } else {
        struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
        do {
            sent = sendmsg(c->fd, &msg, MSG_NOSIGNAL | flags);
        } while (sent < 0 && errno == EINTR);
        sent = sent < 0 ? -errno : sent;
    }
    return count_out(c, sent);
}

static ssize_t write_pages(struct conn *c, const struct buf *b, size_t skip)
{
    off_t at = (off_t)(BUF_FILE_OFFSET + skip);
    ssize_t sent;
    do {
        sent = sendfile(c->fd, b->fd, &at, b->len - skip);
    } while (sent < 0 && errno == EINTR);
    return count_out(c, sent < 0 ? -errno : sent);
}

ssize_t conn_writev(struct conn *c, const struct iovec *iov, int n)
{
    size_t offered = 0;
    if (c->state < CONN_OPEN) {
        c->want_writable = true;
        return 0;
    }
    if (c->state != CONN_OPEN) {
        c->fail_pending = false; /* the owner knows now */
        return c->fail_code < 0 ? c->fail_code : -EPIPE;
    }
    assert(c->queue.n == 0);
    int tried = MIN(n, IOV_MAX);
    for (int i = 0; i < tried; i++) {
        offered += iov[i].iov_len;
    }
    ssize_t sent = offered == 0 ? 0 : write_some(c, iov, tried, 0);
    if (sent < 0 && sent != -EAGAIN) {
        c->state = CONN_ENDED;
        c->fail_code = (int)sent;
        loop_task_cancel(&c->work);
        conn_update_poll(c);
        return sent;
    }
    sent = MAX(sent, (ssize_t)0);
    if ((size_t)sent < offered || tried < n) {
        c->want_writable = true;
    }
    conn_update_poll(c);
    return sent;
}

void conn_want_writable(struct conn *c)
{
    c->want_writable = true;
    conn_update_poll(c);
}

/* Less is cheaper to copy than to hand over by pages. */
#define SENDFILE_LEAST ((size_t)32 * 1024)

static bool goes_by_pages(const struct conn *c, unsigned i)
{
    const struct buf *b = buf_queue_at(&c->queue, i);
    size_t skip = i == 0 ? c->queue.head_done : 0;
    return !c->tls && b->fd >= 0 && b->len - skip >= SENDFILE_LEAST;
}

/* One system call's worth. */
static ssize_t flush_some(struct conn *c, size_t *ret_offered)
{
    struct iovec iov[QUEUE_VECTORS];
    if (goes_by_pages(c, 0)) {
        const struct buf *first = buf_queue_at(&c->queue, 0);
        *ret_offered = first->len - c->queue.head_done;
        return write_pages(c, first, c->queue.head_done);
    }
    int n = buf_queue_vectors(&c->queue, iov, QUEUE_VECTORS);
    int copied = 1;
    *ret_offered = iov[0].iov_len;
    while (copied < n && !goes_by_pages(c, (unsigned)copied)) {
        *ret_offered += iov[copied++].iov_len;
    }
    /* The head of an answer and the first of its pages share a packet. */
    return write_some(c, iov, copied, copied < n ? MSG_MORE : 0);
}

/* 0 or positive: written as far as the socket took it; the caller looks at queue.n. */
static int flush_queue(struct conn *c)
{
    c->queue_blocked = false;
    while (c->queue.n > 0) {
        size_t offered;
        ssize_t sent = flush_some(c, &offered);
        if (sent < 0 && sent != -EAGAIN) {
            return (int)sent;
        }
        buf_queue_consume(&c->queue, (size_t)MAX(sent, (ssize_t)0));
        if (sent < 0 || (size_t)sent < offered) {
            c->queue_blocked = true;
            return 0;
        }
    }
    return 0;
}

void conn_send(struct conn *c, struct buf **pb)
{
    struct buf *b = TAKE_PTR(*pb);
    bool taken = c->state <= CONN_OPEN;
    if (!taken || b->len == 0) {
        buf_unref(&b);
        return;
    }
    if (b->len > c->queue_max - MIN(c->queue.bytes, c->queue_max) ||
        c->queue.n == QUEUE_MAX_ENTRIES) {
        buf_unref(&b);
        conn_fail_later(c, -ENOBUFS, "the peer does not read what is sent to it");
        return;
    }
    buf_queue_push(&c->queue, b);
    if (c->state == CONN_OPEN && !c->queue_blocked) {
        loop_defer(c->loop, LOOP_STAGE_WRITE, &c->work);
    }
}

void conn_send_bytes(struct conn *c, struct bytes b)
{
    if (b.len > c->queue_max) {
        /* Refused before it is copied; conn_send() says the same of what fits alone but not with the rest. */
        if (c->state < CONN_ENDED) {
            conn_fail_later(c, -ENOBUFS, "a message is larger than the queue's bound");
        }
        return;
    }
    struct buf *copy = buf_copy(b);
    conn_send(c, &copy);
}

size_t conn_queued(const struct conn *c)
{
    return c->queue.bytes;
}

void conn_set_queue_max(struct conn *c, size_t max)
{
    c->queue_max = max;
}

void conn_notify_drained(struct conn *c, size_t low)
{
    c->want_drained = true;
    c->drained_low = low;
    loop_defer(c->loop, LOOP_STAGE_WRITE, &c->work);
}

/* Tells the owner what it asked for; true when it must be called. */
static bool take_writable(struct conn *c, bool room)
{
    bool drained = c->want_drained && (c->queue.bytes < c->drained_low || c->queue.bytes == 0);
    bool writable = room && c->want_writable && c->queue.n == 0;
    if (drained) {
        c->want_drained = false;
    }
    if (writable) {
        c->want_writable = false;
    }
    return drained || writable;
}

/* room: the poll said that the socket takes more. */
static void write_out(struct conn *c, bool room)
{
    int r = c->tls ? conn_tls_flush(c) : 1;
    if (r > 0) {
        r = flush_queue(c);
    } else if (r == 0) {
        room = false;
    }
    if (r < 0) {
        conn_report_end(c, r, NULL);
        return;
    }
    if (take_writable(c, room) && c->ops->on_writable) {
        c->ops->on_writable(c->user);
    }
}

/* ---- what the loop calls ---- */

static void handle_handshake(struct conn *c)
{
    struct error err = {0};
    int r = conn_tls_handshake(c, &err);
    if (r < 0) {
        conn_report_end(c, r, &err);
        return;
    }
    if (r == 0) {
        conn_update_poll(c);
        return;
    }
    conn_clear_deadline(c);
    c->state = CONN_OPEN;
    /* The first bytes may have come with the last of the handshake. */
    c->read_again = true;
    loop_defer(c->loop, LOOP_STAGE_WRITE, &c->work);
    if (c->ops->on_open) {
        c->ops->on_open(c->user);
    }
    conn_update_poll(c);
}

static void handle_open(struct conn *c, int events)
{
    if (c->tls && conn_tls_crossed(c)) {
        events = UV_READABLE | UV_WRITABLE;
    }
    if (events & UV_WRITABLE) {
        write_out(c, true);
    }
    if (c->state == CONN_OPEN && (events & UV_READABLE) && !c->paused) {
        handle_readable(c);
    }
    conn_update_poll(c);
}

/* The byte stays in the kernel: whoever reads next reads all of it. */
static void handle_sniffing(struct conn *c)
{
    uint8_t first;
    ssize_t n = recv(c->fd, &first, 1, MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        c->eof = n == 0;
        conn_report_end(c, n < 0 ? -errno : 0, NULL);
        return;
    }
    if (first != TLS_HANDSHAKE) {
        c->state = CONN_OPEN;
        handle_open(c, UV_READABLE | UV_WRITABLE);
        return;
    }
    int r = start_tls(c, c->sniffed, true, NULL);
    if (r < 0) {
        conn_report_end(c, r, NULL);
        return;
    }
    handle_handshake(c);
}

static void handle_events(struct conn *c, int events)
{
    switch (c->state) {
    case CONN_SNIFFING:
        handle_sniffing(c);
        break;
    case CONN_HANDSHAKE:
        handle_handshake(c);
        break;
    case CONN_OPEN:
        handle_open(c, events);
        break;
    case CONN_FLUSHING:
        flush_and_end(c);
        break;
    case CONN_LINGERING:
        handle_lingering(c);
        break;
    case CONN_CONNECTING:
    case CONN_ENDED:
    case CONN_CLOSED:
    case CONN_STATE_N:
        break;
    }
}

/*
 * libuv reports an error on the socket (a reset) as a status and stops polling. Bytes that came before it are read first;
 * when the owner reads nothing, the error itself is asked for.
 */
static void handle_socket_error(struct conn *c)
{
    int code = 0;
    socklen_t len = sizeof(code);
    c->armed = 0;
    if (c->state == CONN_OPEN && c->paused) {
        (void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &code, &len);
        conn_report_end(c, code ? -code : -ECONNRESET, NULL);
        return;
    }
    handle_events(c, c->state == CONN_OPEN ? UV_READABLE : UV_READABLE | UV_WRITABLE);
    conn_update_poll(c);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct conn *c = poll->data;
    if (status < 0) {
        handle_socket_error(c);
    } else {
        handle_events(c, events);
    }
}

static void work_open(struct conn *c)
{
    if (c->queue.n > 0 && !c->queue_blocked) {
        write_out(c, false);
    } else if (take_writable(c, false) && c->ops->on_writable) {
        c->ops->on_writable(c->user);
    }
    if (c->state == CONN_OPEN && c->read_again && !c->paused) {
        c->read_again = false;
        handle_readable(c);
    }
    conn_update_poll(c);
}

static void run_work(struct loop_task *t)
{
    struct conn *c = CONTAINER_OF(t, struct conn, work);
    struct error err = {0};
    switch (c->state) {
    case CONN_OPEN:
        work_open(c);
        break;
    case CONN_ENDED:
        if (c->fail_pending) {
            error_set(&err, c->fail_code, c->peer.text, "%s",
                      c->fail_text ? c->fail_text : error_name(c->fail_code));
            conn_report_end(c, c->fail_code, &err);
        }
        break;
    case CONN_FLUSHING:
        flush_and_end(c);
        break;
    case CONN_CLOSED:
        assert(c->free_now);
        free(c);
        break;
    case CONN_CONNECTING:
        conn_connecting_start(c);
        break;
    case CONN_SNIFFING:
    case CONN_HANDSHAKE:
    case CONN_LINGERING:
    case CONN_STATE_N:
        break;
    }
}

/* ---- what the owner asks and sets ---- */

void conn_set_ops(struct conn *c, const struct conn_ops *ops, void *user)
{
    c->ops = ops;
    c->user = user;
}

struct loop *conn_loop(struct conn *c)
{
    return c->loop;
}

const struct conn_addr *conn_peer(const struct conn *c)
{
    return &c->peer;
}

/* Asked for rarely: made on the first call, so that idle connections do not carry it. */
const struct conn_addr *conn_local(const struct conn *c)
{
    struct conn *self = (struct conn *)c;
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    if (!self->local) {
        if (c->fd < 0 || getsockname(c->fd, (struct sockaddr *)&sa, &len) < 0) {
            len = 0;
        }
        self->local = mem_new(struct conn_addr);
        conn_addr_set(self->local, (struct sockaddr *)&sa, len);
    }
    return self->local;
}

bool conn_is_tls(const struct conn *c)
{
    return c->tls != NULL;
}

const char *conn_alpn(const struct conn *c)
{
    return c->tls ? conn_tls_alpn(c) : "";
}

void conn_set_notsent_lowat(struct conn *c, unsigned bytes)
{
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof(bytes));
}

void conn_set_nodelay(struct conn *c, bool on)
{
    int value = on;
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof(value));
}

uint64_t conn_bytes_in(const struct conn *c)
{
    return c->bytes_in;
}

uint64_t conn_bytes_out(const struct conn *c)
{
    return c->bytes_out;
}
