/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: each test that does not say otherwise runs over plain TCP and over TLS. One thread runs everything. */
#include "../unit.h"

#include "rig.h"

#include "io/conn_private.h"
#include "io/net_guard.h"

#include <limits.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

/* *state of each test; both NULL for plain TCP. */
struct flavour {
    struct tls_context *server;
    struct tls_context *client;
};

static struct flavour plain;
static struct flavour tls;
static char state_dir[] = "/tmp/mast-test-conn-XXXXXX";

static int make_contexts(void **state)
{
    char ca[PATH_MAX];
    struct error err = {0};
    assert_non_null(mkdtemp(state_dir));
    tls.server = tls_context_self_signed(state_dir, NULL, &err);
    assert_non_null(tls.server);
    snprintf(ca, sizeof(ca), "%s/tls-self-signed.pem", state_dir);
    tls.client = tls_context_new_client(ca, NULL, true, &err);
    assert_non_null(tls.client);
    unlink(ca);
    rmdir(state_dir);
    return 0;
}

static int free_contexts(void **state)
{
    tls_context_free(tls.server);
    tls_context_free(tls.client);
    return 0;
}

/* Two ends joined over loopback, both open. */
struct pair {
    struct loop *l;
    struct listener *li;
    struct end server;
    struct end client;
};

static void pair_start(struct pair *p, void **state)
{
    const struct flavour *f = *state;
    p->l = loop_new("t", 0);
    p->li = rig_listen(p->l, f->server, &p->server);
    rig_connect(p->l, listener_port(p->li), f->client, &p->client);
}

static void pair_open(struct pair *p, void **state)
{
    const struct flavour *f = *state;
    pair_start(p, state);
    RUN_UNTIL(p->l, p->client.opens == 1 && p->server.c && (!f->server || p->server.opens == 1));
}

static void pair_done(struct pair *p)
{
    end_done(&p->server);
    end_done(&p->client);
    assert_int_equal(listener_live(p->li), 0);
    listener_close(p->li);
    loop_free(p->l);
}

/* Small buffers, so that little data fills a socket. The receiver's holds more than a segment of loopback. */
static void shrink(struct conn *c)
{
    int n = 65536;
    assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &n, sizeof(n)), 0);
    n = 131072;
    assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof(n)), 0);
}

/* ---- the plain course of things ---- */

static void test_echo(void **state)
{
    struct pair p = {.server.echo = true};
    pair_start(&p, state);
    /* Sent before the connection is there. */
    conn_send_bytes(p.client.c, BYTES_STR("hello "));
    assert_int_equal(conn_queued(p.client.c), 6);
    RUN_UNTIL(p.l, p.client.opens == 1);
    conn_send_bytes(p.client.c, BYTES_STR("wor"));
    conn_send_bytes(p.client.c, BYTES_STR(""));
    conn_send_bytes(p.client.c, BYTES_STR("ld"));
    RUN_UNTIL(p.l, p.client.in.len == 11);
    assert_true(bytes_equal_str(out_view(&p.client.in), "hello world"));
    assert_int_equal(conn_queued(p.client.c), 0);
    assert_int_equal(conn_bytes_out(p.client.c), 11);
    assert_int_equal(conn_bytes_in(p.server.c), 11);
    assert_string_equal(conn_peer(p.server.c)->text, conn_local(p.client.c)->text);
    assert_string_equal(conn_peer(p.client.c)->text, conn_local(p.server.c)->text);
    assert_int_equal(conn_is_tls(p.server.c), *state == &tls);
    assert_int_equal(p.server.opens, *state == &tls);
    assert_ptr_equal(conn_loop(p.server.c), p.l);
    assert_int_equal(listener_live(p.li), 1);
    assert_int_equal(listener_accepted(p.li), 1);
    conn_close(TAKE_PTR(p.client.c));
    RUN_UNTIL(p.l, p.server.closes == 1);
    assert_int_equal(p.server.close_code, 0);
    pair_done(&p);
}

static void test_a_paused_connection_reads_nothing_until_resumed(void **state)
{
    struct pair p = {0};
    pair_open(&p, state);
    conn_read_pause(p.server.c);
    conn_send_bytes(p.client.c, BYTES_STR("later"));
    RUN_UNTIL(p.l, conn_queued(p.client.c) == 0);
    for (int i = 0; i < 5; i++) {
        loop_run_once(p.l, 2);
    }
    assert_int_equal(p.server.n_in, 0);
    conn_read_resume(p.server.c);
    RUN_UNTIL(p.l, p.server.n_in == 5);
    pair_done(&p);
}

static void test_writable_comes_once_for_each_request(void **state)
{
    struct pair p = {0};
    pair_open(&p, state);
    conn_want_writable(p.client.c);
    assert_int_equal(p.client.writables, 0);
    RUN_UNTIL(p.l, p.client.writables == 1);
    for (int i = 0; i < 5; i++) {
        loop_run_once(p.l, 1);
    }
    assert_int_equal(p.client.writables, 1);
    /* All taken: nothing was asked for. */
    assert_int_equal(conn_writev(p.client.c, &(struct iovec){"x", 1}, 1), 1);
    RUN_UNTIL(p.l, p.server.n_in == 1);
    assert_int_equal(p.client.writables, 1);
    pair_done(&p);
}

static void test_writev_before_the_connection_is_open_waits(void **state)
{
    struct pair p = {0};
    pair_start(&p, state);
    assert_int_equal(conn_writev(p.client.c, &(struct iovec){"x", 1}, 1), 0);
    RUN_UNTIL(p.l, p.client.writables == 1);
    assert_int_equal(p.client.opens, 1);
    assert_int_equal(conn_writev(p.client.c, &(struct iovec){"x", 1}, 1), 1);
    RUN_UNTIL(p.l, p.server.n_in == 1);
    pair_done(&p);
}

/* ---- a slow reader gets every byte, in order ---- */

#define PUMP_BYTES (6u << 20)

struct pump {
    struct end *to;
    const uint8_t *data;
    size_t done;
    unsigned partial;
    uint32_t dice;
};

static unsigned roll(struct pump *p, unsigned n)
{
    p->dice = p->dice * 1664525u + 1013904223u;
    return (p->dice >> 8) % n;
}

/*
 * Offers the next bytes in vectors of odd sizes and in memory that is gone after the call, as a media session may that
 * holds a cursor and jumps.
 */
static void pump_more(struct pump *p)
{
    for (;;) {
        struct iovec iov[40];
        uint8_t *copies[40];
        size_t offered = 0;
        int n = 0;
        while (n < 40 && p->done + offered < PUMP_BYTES) {
            size_t len =
                MIN((size_t)roll(p, n % 7 == 0 ? 40000 : 900), PUMP_BYTES - p->done - offered);
            copies[n] = mem_memdup(p->data + p->done + offered, len ? len : 1);
            iov[n] = (struct iovec){copies[n], len};
            offered += len;
            n++;
        }
        ssize_t taken = n == 0 ? 0 : conn_writev(p->to->c, iov, n);
        for (int i = 0; i < n; i++) {
            memset(copies[i], 0xee, iov[i].iov_len);
            free(copies[i]);
        }
        assert_true(taken >= 0 && (size_t)taken <= offered);
        p->done += (size_t)taken;
        if (n == 0 || (size_t)taken < offered) {
            p->partial += (size_t)taken < offered;
            return;
        }
    }
}

static void test_a_slow_reader_gets_what_writev_took(void **state)
{
    struct pair p = {.client.keep_nothing = true};
    uint8_t *data = rig_pattern(PUMP_BYTES);
    struct pump pump = {.to = &p.server, .data = data, .dice = 7};
    int seen = 0;
    pair_open(&p, state);
    shrink(p.server.c);
    shrink(p.client.c);
    pump_more(&pump);
    for (int pass = 0; p.client.n_in < PUMP_BYTES; pass++) {
        assert_true(pass < 100000);
        if (pass % 3 == 0) {
            conn_read_pause(p.client.c);
        } else {
            conn_read_resume(p.client.c);
        }
        loop_run_once(p.l, 1);
        if (p.server.writables != seen) {
            seen = p.server.writables;
            pump_more(&pump);
        }
    }
    assert_true(pump.partial > 10);
    assert_int_equal(pump.done, PUMP_BYTES);
    assert_int_equal(conn_bytes_out(p.server.c), PUMP_BYTES);
    assert_true(p.client.hash == hash_bytes(HASH_START, data, PUMP_BYTES));
    assert_int_equal(p.client.n_in, PUMP_BYTES);
    free(data);
    pair_done(&p);
}

static void test_a_slow_reader_gets_what_was_queued(void **state)
{
    struct pair p = {.client.keep_nothing = true};
    uint8_t *data = rig_pattern(PUMP_BYTES);
    size_t queued = 0;
    pair_open(&p, state);
    shrink(p.server.c);
    conn_set_queue_max(p.server.c, PUMP_BYTES);
    for (unsigned i = 0; queued < PUMP_BYTES; i++) {
        size_t len = MIN((size_t)(i * 37 % 5000 + 1), PUMP_BYTES - queued);
        conn_send_bytes(p.server.c, BYTES(data + queued, len));
        queued += len;
    }
    assert_int_equal(conn_queued(p.server.c), PUMP_BYTES);
    conn_notify_drained(p.server.c, 1000);
    loop_run_once(p.l, 1);
    assert_int_equal(p.server.writables, 0);
    RUN_UNTIL(p.l, p.client.n_in == PUMP_BYTES);
    assert_true(p.client.hash == hash_bytes(HASH_START, data, PUMP_BYTES));
    assert_int_equal(p.server.writables, 1);
    assert_int_equal(conn_queued(p.server.c), 0);
    free(data);
    pair_done(&p);
}

/* Buffers in memory files go by their pages, among others that are copied; the queue drops them while the kernel still sends. */
static void test_a_slow_reader_gets_what_was_queued_by_pages(void **state)
{
    struct pair p = {.client.keep_nothing = true};
    uint8_t *data = rig_pattern(PUMP_BYTES);
    size_t queued = 0;
    pair_open(&p, state);
    shrink(p.server.c);
    conn_set_queue_max(p.server.c, PUMP_BYTES);
    for (unsigned i = 0; queued < PUMP_BYTES; i++) {
        size_t len = MIN((size_t)(i % 3 == 0 ? 300 : i * 7919 % 200000 + 1), PUMP_BYTES - queued);
        struct buf *b = i % 3 == 0 ? buf_new(len) : buf_try_new_file(len);
        assert_non_null(b);
        memcpy(b->data, data + queued, len);
        conn_send(p.server.c, &b);
        queued += len;
    }
    RUN_UNTIL(p.l, p.client.n_in == PUMP_BYTES);
    assert_true(p.client.hash == hash_bytes(HASH_START, data, PUMP_BYTES));
    assert_int_equal(conn_bytes_out(p.server.c), PUMP_BYTES);
    free(data);
    pair_done(&p);
}

static void test_many_vectors_are_taken(void **state)
{
    struct pair p = {0};
    struct iovec iov[IOV_MAX + 100];
    pair_open(&p, state);
    for (int i = 0; i < IOV_MAX + 100; i++) {
        iov[i] = (struct iovec){"ab", i % 2 ? 2 : 1};
    }
    ssize_t n = conn_writev(p.server.c, iov, IOV_MAX + 100);
    assert_int_equal(n, IOV_MAX * 3 / 2);
    /* Less than offered: told when there is room. */
    RUN_UNTIL(p.l, p.server.writables == 1);
    n += conn_writev(p.server.c, iov + IOV_MAX, 100);
    RUN_UNTIL(p.l, p.client.n_in == (uint64_t)n);
    assert_true(bytes_equal_str(BYTES(p.client.in.data, 6), "aabaab"));
    pair_done(&p);
}

/* ---- bounds ---- */

static void test_a_queue_over_its_bound_ends_the_connection_later(void **state)
{
    struct pair p = {0};
    uint8_t chunk[1000] = {0};
    pair_open(&p, state);
    conn_set_queue_max(p.server.c, 5000);
    for (int i = 0; i < 5; i++) {
        conn_send_bytes(p.server.c, BYTES(chunk, sizeof(chunk)));
    }
    assert_int_equal(conn_queued(p.server.c), 5000);
    conn_send_bytes(p.server.c, BYTES(chunk, 1));
    conn_send_bytes(p.server.c, BYTES(chunk, 1));
    /* Not from inside conn_send(). */
    assert_int_equal(p.server.closes, 0);
    RUN_UNTIL(p.l, p.server.closes == 1);
    assert_int_equal(p.server.close_code, -ENOBUFS);
    assert_int_equal(conn_writev(p.server.c, &(struct iovec){"x", 1}, 1), -ENOBUFS);
    for (int i = 0; i < 3; i++) {
        loop_run_once(p.l, 1);
    }
    assert_int_equal(p.server.closes, 1);
    assert_int_equal(buf_live_count(), 0);
    pair_done(&p);
}

static void test_a_message_larger_than_the_bound_is_not_copied(void **state)
{
    struct pair p = {0};
    uint8_t chunk[1000] = {0};
    pair_open(&p, state);
    conn_set_queue_max(p.client.c, 999);
    conn_send_bytes(p.client.c, BYTES(chunk, sizeof(chunk)));
    assert_int_equal(buf_live_count(), 0);
    RUN_UNTIL(p.l, p.client.closes == 1);
    assert_int_equal(p.client.close_code, -ENOBUFS);
    pair_done(&p);
}

/* ---- how the other side ends ---- */

static void test_a_reset_is_told(void **state)
{
    struct linger now = {.l_onoff = 1};
    for (int paused = 0; paused < 2; paused++) {
        struct pair p = {0};
        pair_open(&p, state);
        if (paused) {
            conn_read_pause(p.server.c);
            conn_want_writable(p.server.c);
            RUN_UNTIL(p.l, p.server.writables == 1);
        }
        setsockopt(p.client.c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        p.client.c->tls ? (void)(p.client.c->state = CONN_ENDED) : (void)0; /* no close_notify */
        conn_close(TAKE_PTR(p.client.c));
        if (paused) {
            /* Nothing is polled for while paused: the next write finds out. */
            loop_run_once(p.l, 1);
            conn_send_bytes(p.server.c, BYTES_STR("x"));
        }
        RUN_UNTIL(p.l, p.server.closes == 1);
        assert_true(p.server.close_code == -ECONNRESET ||
                    (paused && p.server.close_code == -EPIPE));
        assert_string_equal(p.server.close_err.where, conn_peer(p.server.c)->text);
        assert_true(conn_writev(p.server.c, &(struct iovec){"x", 1}, 1) < 0);
        pair_done(&p);
    }
}

static void test_writev_says_that_the_peer_is_gone(void **state)
{
    struct pair p = {0};
    ssize_t n = 0;
    pair_open(&p, state);
    conn_read_pause(p.server.c);
    conn_close(TAKE_PTR(p.client.c));
    for (int i = 0; i < 1000 && n >= 0; i++) {
        n = conn_writev(p.server.c, &(struct iovec){"x", 1}, 1);
        loop_run_once(p.l, 1);
    }
    assert_true(n == -EPIPE || n == -ECONNRESET);
    loop_run_once(p.l, 1);
    assert_int_equal(p.server.closes, 0);
    pair_done(&p);
}

/* Answers the request, and ends when it is told of the end of input: as a server of HTTP/1.0 would. */
static void answer_on_read(void *user, struct bytes data)
{
    struct end *e = user;
    end_on_read(user, data);
    conn_send_bytes(e->c, BYTES_STR("the answer"));
}

static void flush_on_close(void *user, int r, const struct error *err)
{
    struct end *e = user;
    end_on_close(user, r, err);
    conn_close_gracefully(TAKE_PTR(e->c), 5000);
}

static const struct conn_ops answering_ops = {.on_read = answer_on_read,
                                              .on_close = flush_on_close};

static void answering_accept(void *user, struct conn *c)
{
    struct end *e = user;
    e->c = c;
    conn_set_ops(c, &answering_ops, e);
}

/* Plain only: a raw socket is the peer. */
static void test_a_half_closed_peer_gets_its_answer(void **state)
{
    struct loop *l = loop_new("t", 0);
    struct end server = {0};
    struct listener_config config = {.address = "127.0.0.1"};
    struct listener *li = listener_open(&config, &l, 1, answering_accept, &server, NULL);
    int fd = rig_raw_connect(listener_port(li));
    char got[64] = {0};
    assert_int_equal(write(fd, "ask", 3), 3);
    shutdown(fd, SHUT_WR);
    RUN_UNTIL(l, listener_accepted(li) == 1 && listener_live(li) == 0);
    assert_int_equal(server.closes, 1);
    assert_int_equal(server.close_code, 0);
    assert_int_equal(server.n_in, 3);
    assert_int_equal(read(fd, got, sizeof(got)), 10);
    assert_string_equal(got, "the answer");
    assert_int_equal(read(fd, got, sizeof(got)), 0);
    close(fd);
    end_done(&server);
    listener_close(li);
    loop_free(l);
}

/* ---- closing gracefully ---- */

static void test_a_graceful_close_sends_everything_first(void **state)
{
    struct pair p = {.client = {.keep_nothing = true, .close_on_end = true}};
    size_t size = 900000;
    uint8_t *data = rig_pattern(size);
    pair_open(&p, state);
    shrink(p.server.c);
    /* Unread input must not turn the end into a reset. */
    conn_read_pause(p.server.c);
    conn_send_bytes(p.client.c, BYTES_STR("nobody reads this"));
    RUN_UNTIL(p.l, conn_queued(p.client.c) == 0);
    conn_send_bytes(p.server.c, BYTES(data, size));
    conn_close_gracefully(TAKE_PTR(p.server.c), 15000);
    assert_int_equal(listener_live(p.li), 1);
    RUN_UNTIL(p.l, p.client.closes == 1);
    assert_int_equal(p.client.close_code, 0);
    assert_int_equal(p.client.n_in, size);
    assert_true(p.client.hash == hash_bytes(HASH_START, data, size));
    RUN_UNTIL(p.l, listener_live(p.li) == 0);
    assert_int_equal(buf_live_count(), 0);
    free(data);
    pair_done(&p);
}

static void test_a_graceful_close_ends_at_its_deadline(void **state)
{
    struct pair p = {0};
    uint8_t *data = rig_pattern(1000000);
    pair_open(&p, state);
    shrink(p.server.c);
    shrink(p.client.c);
    conn_read_pause(p.client.c); /* its window closes */
    conn_send_bytes(p.server.c, BYTES(data, 1000000));
    conn_close_gracefully(TAKE_PTR(p.server.c), 50);
    RUN_UNTIL(p.l, listener_live(p.li) == 0);
    assert_int_equal(p.server.closes, 0);
    assert_int_equal(buf_live_count(), 0);
    conn_read_resume(p.client.c);
    RUN_UNTIL(p.l, p.client.closes == 1);
    assert_int_equal(p.client.close_code, -ECONNRESET);
    free(data);
    pair_done(&p);
}

/* A peer that got everything and never ends its own side does not hold the connection past the deadline. */
static void test_lingering_ends_at_its_deadline(void **state)
{
    struct pair p = {0};
    pair_open(&p, state);
    conn_send_bytes(p.server.c, BYTES_STR("bye"));
    conn_close_gracefully(TAKE_PTR(p.server.c), 50);
    RUN_UNTIL(p.l, p.client.closes == 1);
    assert_int_equal(p.client.close_code, 0);
    assert_int_equal(p.client.n_in, 3);
    RUN_UNTIL(p.l, listener_live(p.li) == 0);
    pair_done(&p);
}

static void test_a_loop_that_is_freed_does_not_wait_for_lingering_peers(void **state)
{
    struct pair p = {0};
    unsigned fds_before = rig_count_fds();
    pair_open(&p, state);
    conn_send_bytes(p.server.c, BYTES_STR("bye"));
    conn_close_gracefully(TAKE_PTR(p.server.c), 60000);
    RUN_UNTIL(p.l, p.client.n_in == 3);
    assert_int_equal(listener_live(p.li), 1);
    end_done(&p.client);
    listener_close(p.li);
    loop_free(p.l);
    assert_int_equal(rig_count_fds(), fds_before);
}

static void test_a_graceful_close_before_open_just_closes(void **state)
{
    struct pair p = {0};
    pair_start(&p, state);
    conn_send_bytes(p.client.c, BYTES_STR("x"));
    conn_close_gracefully(TAKE_PTR(p.client.c), 50);
    assert_int_equal(buf_live_count(), 0);
    for (int i = 0; i < 5; i++) {
        loop_run_once(p.l, 1);
    }
    assert_int_equal(p.client.opens, 0);
    pair_done(&p);
}

/* ---- closing at every event ---- */

static int events_left;
static bool gracefully;

/* Closes e's connection at the chosen event; true when it did. */
static bool fell(struct end *e)
{
    assert_non_null(e->c);
    if (events_left-- != 0) {
        return false;
    }
    if (gracefully) {
        conn_close_gracefully(TAKE_PTR(e->c), 20);
    } else {
        conn_close(TAKE_PTR(e->c));
    }
    return true;
}

static void falling_read(void *user, struct bytes data)
{
    struct end *e = user;
    e->n_in += data.len;
    if (e->echo) {
        conn_send_bytes(e->c, data);
        conn_notify_drained(e->c, 10);
        conn_read_pause(e->c);
        conn_read_resume(e->c);
    }
    if (fell(e)) {
        return;
    }
    if (!e->echo && e->n_in >= 4000) {
        conn_close_gracefully(TAKE_PTR(e->c), 1000);
    }
}

static void falling_writable(void *user)
{
    struct end *e = user;
    e->writables++;
    if (!fell(e) && !e->echo && e->writables == 1) {
        uint8_t more[3000] = {0};
        conn_send_bytes(e->c, BYTES(more, sizeof(more)));
    }
}

static void falling_open(void *user)
{
    struct end *e = user;
    uint8_t some[1000] = {0};
    e->opens++;
    if (!e->echo) {
        conn_send_bytes(e->c, BYTES(some, sizeof(some)));
        conn_notify_drained(e->c, 1);
    }
    fell(e);
}

static void falling_close(void *user, int r, const struct error *err)
{
    struct end *e = user;
    e->closes++;
    if (!fell(e)) {
        conn_close(TAKE_PTR(e->c));
    }
}

static const struct conn_ops falling_ops = {
    .on_read = falling_read,
    .on_writable = falling_writable,
    .on_close = falling_close,
    .on_open = falling_open,
};

static void falling_accept(void *user, struct conn *c)
{
    struct end *e = user;
    e->c = c;
    conn_set_ops(c, &falling_ops, e);
    fell(e);
}

/* Returns how many events came. */
static int run_falling(const struct flavour *f, int n)
{
    struct loop *l = loop_new("t", 0);
    struct end server = {.echo = true};
    struct end client = {0};
    struct listener_config config = {.address = "127.0.0.1", .tls = f->server};
    struct listener *li = listener_open(&config, &l, 1, falling_accept, &server, NULL);
    struct conn_connect how = {.host = "127.0.0.1", .port = listener_port(li), .tls = f->client};
    events_left = n;
    client.c = conn_connect(l, &how, &falling_ops, &client);
    RUN_UNTIL(l, !client.c && !server.c && listener_accepted(li) == 1 && listener_live(li) == 0);
    listener_close(li);
    loop_free(l);
    assert_int_equal(buf_live_count(), 0);
    return n - events_left;
}

static void test_closing_at_every_event(void **state)
{
    for (int g = 0; g < 2; g++) {
        gracefully = g;
        int all = run_falling(*state, 1000);
        assert_true(all >= 7);
        for (int n = 0; n < all; n++) {
            run_falling(*state, n);
        }
    }
}

/* ---- connecting ---- */

static void test_a_refused_connect_says_so(void **state)
{
    struct loop *l = loop_new("t", 0);
    struct end client = {0};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* bound, and does not listen */
    assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    rig_connect(l, ntohs(in.sin_port), NULL, &client);
    assert_int_equal(client.closes, 0);
    RUN_UNTIL(l, client.closes == 1);
    close(fd);
    assert_int_equal(client.close_code, -ECONNREFUSED);
    assert_int_equal(client.opens, 0);
    assert_non_null(strstr(client.close_err.text, "cannot connect"));
    assert_non_null(strstr(client.close_err.where, "127.0.0.1:"));
    end_done(&client);
    loop_free(l);
}

/* A listener with a full backlog drops what more comes: the way to a connect that hangs, on loopback. */
static void test_a_connect_that_hangs_times_out(void **state)
{
    struct loop *l = loop_new("t", 0);
    struct end client = {0};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    int full = socket(AF_INET, SOCK_STREAM, 0);
    int fillers[4];
    assert_int_equal(bind(full, (struct sockaddr *)&in, len), 0);
    assert_int_equal(listen(full, 0), 0);
    getsockname(full, (struct sockaddr *)&in, &len);
    for (int i = 0; i < 4; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&in, len);
    }
    struct conn_connect how = {.host = "127.0.0.1", .port = ntohs(in.sin_port), .timeout_ms = 80};
    int64_t start = clock_mono_ns();
    client.c = conn_connect(l, &how, &end_ops, &client);
    RUN_UNTIL(l, client.closes == 1);
    assert_int_equal(client.close_code, -ETIMEDOUT);
    assert_true(clock_mono_ns() - start >= 75 * NS_PER_MS);
    end_done(&client);
    /* And closing in the middle of it. */
    client = (struct end){0};
    client.c = conn_connect(l, &how, &end_ops, &client);
    loop_run_once(l, 1);
    end_done(&client);
    loop_free(l);
    for (int i = 0; i < 4; i++) {
        close(fillers[i]);
    }
    close(full);
}

static void test_names_are_resolved(void **state)
{
    const struct flavour *f = *state;
    struct loop *l = loop_new("t", 0);
    struct end server = {.echo = true};
    struct end client = {0};
    struct listener *li = rig_listen(l, f->server, &server);
    struct conn_connect how = {.host = "localhost", .port = listener_port(li), .tls = f->client};
    client.c = conn_connect(l, &how, &end_ops, &client);
    conn_send_bytes(client.c, BYTES_STR("ping"));
    RUN_UNTIL(l, client.n_in == 4);
    end_done(&client);
    end_done(&server);
    listener_close(li);
    loop_free(l);
}

static void test_a_name_that_does_not_exist_is_told(void **state)
{
    struct loop *l = loop_new("t", 0);
    struct end client = {0};
    /* A label of more than 63 bytes fails without asking a server. */
    struct conn_connect how = {
        .host = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid",
        .port = 1};
    client.c = conn_connect(l, &how, &end_ops, &client);
    RUN_UNTIL(l, client.closes == 1);
    assert_int_equal(client.close_code, -EHOSTUNREACH);
    assert_non_null(strstr(client.close_err.text, "cannot be resolved"));
    end_done(&client);
    loop_free(l);
}

static void test_the_guard_is_asked_after_resolving(void **state)
{
    struct loop *l = loop_new("t", 0);
    struct end server = {.echo = true};
    struct end client = {0};
    struct net_guard guard = {0};
    static char *const loopback[] = {"127.0.0.0/8", "::1"};
    struct listener *li = rig_listen(l, NULL, &server);
    struct conn_connect how = {.host = "localhost", .port = listener_port(li), .guard = &guard};
    client.c = conn_connect(l, &how, &end_ops, &client);
    RUN_UNTIL(l, client.closes == 1);
    assert_int_equal(client.close_code, -EACCES);
    end_done(&client);
    assert_int_equal(net_guard_init(&guard, loopback, 2, NULL), 0);
    client = (struct end){0};
    client.c = conn_connect(l, &how, &end_ops, &client);
    conn_send_bytes(client.c, BYTES_STR("ping"));
    RUN_UNTIL(l, client.n_in == 4);
    end_done(&client);
    end_done(&server);
    listener_close(li);
    loop_free(l);
}

static void test_closing_while_resolving(void **state)
{
    struct loop *l = loop_new("t", 0);
    struct end client = {0};
    struct conn_connect how = {.host = "localhost", .port = 1};
    for (int i = 0; i < 20; i++) {
        client.c = conn_connect(l, &how, &end_ops, &client);
        if (i % 2) {
            loop_run_once(l, 0);
        }
        if (client.c) {
            conn_close(TAKE_PTR(client.c));
        }
    }
    loop_free(l);
}

/* ---- sockets from elsewhere, and options ---- */

static void test_a_socketpair_serves(void **state)
{
    const struct flavour *f = *state;
    struct loop *l = loop_new("t", 0);
    struct end a = {.echo = true};
    struct end b = {0};
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    a.c = conn_from_fd(l, fds[0], f->server, true);
    b.c = conn_from_fd(l, fds[1], f->client, false);
    assert_non_null(a.c);
    assert_non_null(b.c);
    conn_set_ops(a.c, &end_ops, &a);
    conn_set_ops(b.c, &end_ops, &b);
    conn_send_bytes(b.c, BYTES_STR("over"));
    RUN_UNTIL(l, b.n_in == 4);
    end_done(&a);
    RUN_UNTIL(l, b.closes == 1);
    assert_int_equal(b.close_code, 0);
    end_done(&b);
    loop_free(l);
}

/* What the peer does not take stays with the caller: at most about the mark is unsent in the kernel. */
static void test_notsent_lowat_keeps_unsent_bytes_out_of_the_kernel(void **state)
{
    int unsent[2] = {0};
    for (int i = 0; i < 2; i++) {
        struct pair p = {0};
        uint8_t chunk[8192] = {0};
        int sndbuf = 4 << 20;
        pair_open(&p, state);
        conn_read_pause(p.client.c);
        setsockopt(p.server.c->fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf));
        if (i == 1) {
            conn_set_notsent_lowat(p.server.c, 16384);
        }
        while (conn_writev(p.server.c, &(struct iovec){chunk, sizeof(chunk)}, 1) > 0) {
        }
        assert_int_equal(ioctl(p.server.c->fd, SIOCOUTQNSD, &unsent[i]), 0);
        /* There is room again when the peer reads, and it is told. */
        int writables = p.server.writables;
        conn_read_resume(p.client.c);
        RUN_UNTIL(p.l, p.server.writables > writables);
        pair_done(&p);
    }
    assert_true(unsent[0] > 100000);
    assert_true(unsent[1] <= 16384 + 65536);
}

static void test_addresses_as_text(void **state)
{
    struct conn_addr a;
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(5000)};
    inet_pton(AF_INET6, "2001:db8::1", &in6.sin6_addr);
    conn_addr_set(&a, (struct sockaddr *)&in6, sizeof(in6));
    assert_string_equal(a.text, "[2001:db8::1]:5000");
    inet_pton(AF_INET6, "::ffff:192.0.2.1", &in6.sin6_addr);
    conn_addr_set(&a, (struct sockaddr *)&in6, sizeof(in6));
    assert_string_equal(a.text, "192.0.2.1:5000");
    assert_int_equal(a.sa.ss_family, AF_INET);
    conn_addr_set(&a, (struct sockaddr *)&in6, 0);
    assert_string_equal(a.text, "local");
}

#define PLAIN(f)                                                                                   \
    {                                                                                              \
#f " (plain)", f, NULL, NULL, &plain                                                       \
    }
#define TLS(f)                                                                                     \
    {                                                                                              \
#f " (TLS)", f, NULL, NULL, &tls                                                           \
    }
#define BOTH(f) PLAIN(f), TLS(f)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_echo),
        BOTH(test_a_paused_connection_reads_nothing_until_resumed),
        BOTH(test_writable_comes_once_for_each_request),
        BOTH(test_writev_before_the_connection_is_open_waits),
        BOTH(test_a_slow_reader_gets_what_writev_took),
        BOTH(test_a_slow_reader_gets_what_was_queued),
        BOTH(test_a_slow_reader_gets_what_was_queued_by_pages),
        PLAIN(test_many_vectors_are_taken),
        TLS(test_many_vectors_are_taken),
        BOTH(test_a_queue_over_its_bound_ends_the_connection_later),
        BOTH(test_a_message_larger_than_the_bound_is_not_copied),
        BOTH(test_a_reset_is_told),
        BOTH(test_writev_says_that_the_peer_is_gone),
        PLAIN(test_a_half_closed_peer_gets_its_answer),
        BOTH(test_a_graceful_close_sends_everything_first),
        BOTH(test_a_graceful_close_ends_at_its_deadline),
        BOTH(test_lingering_ends_at_its_deadline),
        BOTH(test_a_loop_that_is_freed_does_not_wait_for_lingering_peers),
        BOTH(test_a_graceful_close_before_open_just_closes),
        BOTH(test_closing_at_every_event),
        PLAIN(test_a_refused_connect_says_so),
        PLAIN(test_a_connect_that_hangs_times_out),
        BOTH(test_names_are_resolved),
        PLAIN(test_a_name_that_does_not_exist_is_told),
        PLAIN(test_the_guard_is_asked_after_resolving),
        PLAIN(test_closing_while_resolving),
        BOTH(test_a_socketpair_serves),
        PLAIN(test_notsent_lowat_keeps_unsent_bytes_out_of_the_kernel),
        PLAIN(test_addresses_as_text),
    };
    return cmocka_run_group_tests(tests, make_contexts, free_contexts);
}
