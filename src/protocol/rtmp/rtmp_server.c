/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/rtmp/rtmp_server.h"

#include "base/random.h"
#include "protocol/rtmp/rtmp_session.h"

#include <assert.h>
#include <errno.h>

#define TICK_MS 250

/* The tick runs while a loop has sessions. */
static void on_tick(void *user)
{
    struct rtmp_shard *shard = user;
    const int64_t now = loop_now_ns(shard->loop);
    LIST_FOREACH_SAFE (it, &shard->sessions) {
        rtmp_session_tick(LIST_ENTRY(it, struct rtmp_session, node), now);
    }
    if (!list_empty(&shard->sessions)) {
        loop_timer_start(shard->tick, TICK_MS);
    }
}

static void on_accept(void *user, struct conn *c)
{
    struct rtmp_server *s = user;
    for (unsigned i = 0; i < s->n_shards; i++) {
        struct rtmp_shard *shard = &s->shards[i];
        if (shard->loop == conn_loop(c)) {
            if (!shard->tick) {
                shard->tick = loop_timer_new(shard->loop, on_tick, shard);
            }
            if (list_empty(&shard->sessions)) {
                loop_timer_start(shard->tick, TICK_MS);
            }
            rtmp_session_start(shard, c);
            return;
        }
    }
}

static unsigned or_default(unsigned value, unsigned otherwise)
{
    return value ? value : otherwise;
}

static struct listener *open_listener(struct rtmp_server *s, const char *address, uint16_t port,
                                      bool shares_port, struct loop *const *loops,
                                      struct error *err)
{
    const struct listener_config listen = {
        .address = address ? address : "127.0.0.1",
        .port = port,
        .shares_port = shares_port,
        .tls = s->config.tls,
        .max_conns = s->config.max_conns,
        .max_conns_per_address = s->config.max_conns_per_address,
        .name = s->config.tls ? "rtmps" : "rtmp",
    };
    return listener_open(&listen, loops, s->n_shards, on_accept, s, err);
}

int rtmp_server_listen_next(struct rtmp_server *s, const char *address, uint16_t port,
                            struct error *err)
{
    struct loop *loops[LOOPS_MAX];
    assert(!s->previous);
    for (unsigned i = 0; i < s->n_shards; i++) {
        loops[i] = s->shards[i].loop;
    }
    struct listener *next = open_listener(s, address, port, true, loops, err);
    if (!next) {
        return -EADDRNOTAVAIL;
    }
    s->previous = s->listener;
    s->listener = next;
    return 0;
}

void rtmp_server_keep(struct rtmp_server *s, bool next)
{
    struct listener *kept = next ? s->listener : s->previous;
    assert(s->previous);
    listener_close(next ? s->previous : s->listener);
    s->listener = kept;
    s->previous = NULL;
}

struct rtmp_server *rtmp_server_open(const struct rtmp_server_config *config, struct engine *e,
                                     struct loop *const *loops, unsigned n_loops, struct error *err)
{
    struct rtmp_server *s = mem_new(struct rtmp_server);
    s->config = *config;
    s->config.handshake_ms = or_default(config->handshake_ms, 10000);
    s->config.silent_ms = or_default(config->silent_ms, 30000);
    s->config.stalled_ms = or_default(config->stalled_ms, 30000);
    rtmp_server_set_wait(s, config->wait_ms);
    uint8_t key[RTMP_AUTH_KEY_LEN];
    random_bytes(key, sizeof(key));
    rtmp_auth_init(&s->auth, key);
    s->engine = e;
    s->n_shards = n_loops;
    s->shards = mem_new_array(struct rtmp_shard, n_loops);
    for (unsigned i = 0; i < n_loops; i++) {
        s->shards[i] = (struct rtmp_shard){.server = s, .loop = loops[i]};
        list_init(&s->shards[i].sessions);
    }
    s->config.address = NULL;
    s->listener = open_listener(s, config->address, config->port, false, loops, err);
    if (!s->listener) {
        free(s->shards);
        free(s);
        return NULL;
    }
    return s;
}

void rtmp_server_set_wait(struct rtmp_server *s, unsigned ms)
{
    atomic_store_explicit(&s->wait_ms, or_default(ms, 10000), memory_order_relaxed);
}

struct listener *rtmp_server_listener(const struct rtmp_server *s)
{
    return s->listener;
}

uint16_t rtmp_server_port(const struct rtmp_server *s)
{
    return listener_port(s->listener);
}

static void end_shard(struct loop *l, void *arg)
{
    struct rtmp_shard *shard = arg;
    LIST_FOREACH_SAFE (it, &shard->sessions) {
        rtmp_session_end(LIST_ENTRY(it, struct rtmp_session, node), RTMP_END_OURS,
                         "the server stops");
    }
    if (shard->tick) {
        shard->tick = loop_timer_free(shard->tick);
    }
}

struct rtmp_server *rtmp_server_close(struct rtmp_server *s)
{
    if (!s) {
        return NULL;
    }
    listener_close(s->listener);
    for (unsigned i = 0; i < s->n_shards; i++) {
        loop_call_wait(s->shards[i].loop, end_shard, &s->shards[i]);
    }
    free(s->shards);
    free(s);
    return NULL;
}

static uint64_t get(const atomic_uint_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void rtmp_server_gauges(const struct rtmp_server *s, struct rtmp_server_gauges *ret)
{
    const struct rtmp_counters *c = &s->counters;
    for (unsigned i = 0; i < RTMP_SERVER_STATE_N; i++) {
        ret->sessions[i] = get(&c->sessions[i]);
    }
    ret->sessions_total = get(&c->sessions_total);
    ret->dropped_total = get(&c->dropped_total);
    ret->bytes_in_total = get(&c->bytes_in_total);
    ret->bytes_out_total = get(&c->bytes_out_total);
}
