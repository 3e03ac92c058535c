/* SPDX-License-Identifier: Apache-2.0 */
#include "app/broadcasting.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/tls.h"
#include "service/broadcast/broadcast.h"

#include <errno.h>

LOG_TOPIC(topic, "broadcast");

#define LEAVE_MS 10000

struct broadcasting {
    struct access_service *access;
    enum broadcasts_leave on_exit;
    struct net_guard guard;
    struct tls_context *tls; /* of what we connect to: wss, rtmps */
    struct janus_servers *janus;
    struct broadcasts *service;
    char *rtmp; /* where our own RTMP is, for programs on this machine */
    bool leaving;
    bool handed_on;
};

static char *grant(void *user, const char *path, bool publish)
{
    struct broadcasting *b = user;
    return access_grant_make(b->access, publish ? ACCESS_PUBLISH : ACCESS_READ, path);
}

static void ungrant(void *user, const char *query)
{
    struct broadcasting *b = user;
    access_grant_end(b->access, query);
}

/* Those that the file names are connected to now, so that a wrong one is heard of before it is needed. */
static int connect_servers(struct broadcasting *b, const struct config *config, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r >= 0 && i < config->janus.len; i++) {
        struct janus_server *ignored;
        r = janus_servers_get(b->janus, config->janus.items[i].name, &ignored, err);
    }
    return r;
}

/* Looked at on the control loop only; what connects on a media loop gets a copy. Each range was checked when it was read. */
void broadcasting_configure(struct broadcasting *b, const struct config *config)
{
    (void)net_guard_init(&b->guard, config->outgoing.allow.items, config->outgoing.allow.len, NULL);
}

int broadcasting_start(const struct config *config, const struct broadcasting_target *target,
                       struct broadcasting **ret, struct error *err)
{
    const struct config_broadcasts *c = &config->broadcasts;
    struct broadcasting *b = mem_new(struct broadcasting);
    *ret = b;
    b->access = target->access;
    b->on_exit = (enum broadcasts_leave)c->on_exit;
    broadcasting_configure(b, config);
    b->rtmp = target->rtmp_port ? mem_printf("rtmp://127.0.0.1:%u", target->rtmp_port) : NULL;
    b->janus = janus_servers_new(target->control, config->janus.items, config->janus.len);
    b->tls = tls_context_new_client(NULL, NULL, true, err);
    if (!b->tls) {
        return -EINVAL;
    }
    janus_servers_secure(b->janus, b->tls);
    const struct broadcasts_config bc = {
        .control = target->control,
        .store = target->store,
        .ring = target->ring,
        .events = target->events,
        .engine = target->engine,
        .loops = target->loops,
        .n_loops = target->n_loops,
        .janus = b->janus,
        .guard = &b->guard,
        .client_tls = b->tls,
        .ingest = {.rtmp = b->rtmp, .grant = grant, .ungrant = ungrant, .user = b},
        .pace = {.check_ms = (unsigned)(c->check / NS_PER_MS)},
        .max = c->max,
        .keep = c->keep,
        .keep_ns = c->keep_for,
        .debt_ms = (unsigned)(c->debt_retry / NS_PER_MS),
        .stale_ms = (unsigned)(c->stale / NS_PER_MS),
    };
    b->service = broadcasts_new(&bc);
    int r = connect_servers(b, config, err);
    return r < 0 ? r : broadcasts_load(b->service, err);
}

void broadcasting_mount(struct broadcasting *b, struct http_server *http, struct metrics *metrics)
{
    http_server_mount(http, broadcast_routes, broadcast_routes_n, b->service);
    http_server_mount(http, janus_routes, janus_routes_n, b->service);
    metrics_add(metrics, broadcasts_metrics, b->service);
}

void broadcasting_leave(struct broadcasting *b, bool handed_on, void (*done)(void *user),
                        void *user)
{
    /* A signal counts more than an upgrade: what was left for another program is undone after all. */
    if (!b->leaving || (b->handed_on && !handed_on)) {
        b->leaving = true;
        b->handed_on = handed_on;
        broadcasts_leave(b->service, handed_on ? BROADCASTS_HAND_ON : b->on_exit, LEAVE_MS, done,
                         user);
    }
}

struct broadcasting *broadcasting_free(struct broadcasting *b)
{
    if (b) {
        broadcasts_free(b->service);
        janus_servers_free(b->janus);
        tls_context_free(b->tls);
        free(b->rtmp);
        free(b);
    }
    return NULL;
}
