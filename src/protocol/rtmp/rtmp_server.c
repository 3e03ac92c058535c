/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/rtmp/rtmp_server.h"

#include "protocol/rtmp/rtmp_session.h"

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

struct rtmp_server *rtmp_server_open(const struct rtmp_server_config *config, struct engine *e,
                                     struct loop *const *loops, unsigned n_loops, struct error *err)
{
    struct rtmp_server *s = mem_new(struct rtmp_server);
    s->config = *config;
    s->config.handshake_ms = or_default(config->handshake_ms, 10000);
    s->config.silent_ms = or_default(config->silent_ms, 30000);
    s->config.stalled_ms = or_default(config->stalled_ms, 30000);
    s->config.wait_ms = or_default(config->wait_ms, 10000);
    s->engine = e;
    s->n_shards = n_loops;
    s->shards = mem_new_array(struct rtmp_shard, n_loops);
    for (unsigned i = 0; i < n_loops; i++) {
        s->shards[i] = (struct rtmp_shard){.server = s, .loop = loops[i]};
        list_init(&s->shards[i].sessions);
    }
    const struct listener_config listen = {
        .address = config->address ? config->address : "127.0.0.1",
        .port = config->port,
        .tls = config->tls,
        .max_conns = config->max_conns,
        .max_conns_per_address = config->max_conns_per_address,
        .name = config->tls ? "rtmps" : "rtmp",
    };
    s->config.address = NULL;
    s->listener = listener_open(&listen, loops, n_loops, on_accept, s, err);
    if (!s->listener) {
        free(s->shards);
        free(s);
        return NULL;
    }
    return s;
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
