/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the tests of connections share: an endpoint that records what happens to it. */
#include "../await.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "io/conn.h"

#include <arpa/inet.h>
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* One end of a connection and everything that was reported to it. */
struct end {
    struct conn *c;
    struct out in; /* bytes, unless keep_nothing */
    bool keep_nothing;
    bool echo;         /* sends back what comes */
    bool close_on_end; /* closes when told of the end */
    uint64_t n_in;
    uint64_t hash; /* FNV-1a of all bytes in */
    int opens;
    int writables;
    int closes;
    int close_code;
    struct error close_err;
};

#define HASH_START 1469598103934665603ull

static inline uint64_t hash_bytes(uint64_t h, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        h = (h ^ p[i]) * 1099511628211ull;
    }
    return h;
}

static inline void end_on_read(void *user, struct bytes data)
{
    struct end *e = user;
    assert_true(data.len > 0);
    assert_non_null(e->c);
    e->n_in += data.len;
    e->hash = hash_bytes(e->hash ? e->hash : HASH_START, data.data, data.len);
    if (!e->keep_nothing) {
        out_bytes(&e->in, data);
    }
    if (e->echo) {
        conn_send_bytes(e->c, data);
    }
}

static inline void end_on_writable(void *user)
{
    struct end *e = user;
    assert_non_null(e->c);
    e->writables++;
}

static inline void end_on_close(void *user, int r, const struct error *err)
{
    struct end *e = user;
    assert_non_null(e->c);
    e->closes++;
    e->close_code = r;
    e->close_err = *err;
    if (e->close_on_end) {
        conn_close(TAKE_PTR(e->c));
    }
}

static inline void end_on_open(void *user)
{
    struct end *e = user;
    assert_non_null(e->c);
    e->opens++;
}

static const struct conn_ops end_ops = {
    .on_read = end_on_read,
    .on_writable = end_on_writable,
    .on_close = end_on_close,
    .on_open = end_on_open,
};

static inline void end_done(struct end *e)
{
    if (e->c) {
        conn_close(TAKE_PTR(e->c));
    }
    out_done(&e->in);
}

/* For listeners that expect one connection: user is the struct end it goes to. */
static inline void end_accept(void *user, struct conn *c)
{
    struct end *e = user;
    assert_null(e->c);
    e->c = c;
    conn_set_ops(c, &end_ops, e);
}

static inline struct listener *rig_listen(struct loop *l, struct tls_context *tls, struct end *e)
{
    struct listener_config config = {.address = "127.0.0.1", .tls = tls, .name = "test"};
    struct error err = {0};
    struct listener *li = listener_open(&config, &l, 1, end_accept, e, &err);
    if (!li) {
        fail_msg("%s: %s", err.where, err.text);
    }
    return li;
}

static inline void rig_connect(struct loop *l, uint16_t port, struct tls_context *tls,
                               struct end *e)
{
    struct conn_connect how = {
        .host = "127.0.0.1", .port = port, .tls = tls, .timeout_ms = AWAIT_MAX_MS};
    e->c = conn_connect(l, &how, &end_ops, e);
}

/* A blocking socket of plain libc, connected to the port. */
static inline int rig_raw_connect(uint16_t port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    return fd;
}

static inline unsigned rig_count_fds(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d)) {
        n++;
    }
    closedir(d);
    return n;
}

/* Bytes that are all different enough for a hash to notice any loss, repeat or swap. */
static inline uint8_t *rig_pattern(size_t n)
{
    uint8_t *p = mem_alloc(n);
    uint64_t x = 88172645463325252ull;
    for (size_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        p[i] = (uint8_t)x;
    }
    return p;
}
