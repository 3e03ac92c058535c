/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http_private.h"

#include "base/clock.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>

#define HEADER_TIMEOUT_MS 10000
#define BODY_TIMEOUT_MS   30000
#define IDLE_TIMEOUT_MS   60000
#define MAX_BODY_BYTES    (1024 * 1024)

/* ---- connections of one loop ---- */

static void grow(struct http_worker *w)
{
    uint32_t n = w->n_slots ? w->n_slots * 2 : 16;
    w->slots = mem_realloc(w->slots, n * sizeof(*w->slots));
    for (uint32_t i = w->n_slots; i < n; i++) {
        w->slots[i] = (struct http_slot){.next_free = i + 1 < n ? i + 1 : UINT32_MAX};
    }
    w->first_free = w->n_slots;
    w->n_slots = n;
}

void http_worker_add(struct http_worker *w, struct http_link *l)
{
    if (w->first_free == UINT32_MAX) {
        grow(w);
    }
    uint32_t at = w->first_free;
    struct http_slot *slot = &w->slots[at];
    w->first_free = slot->next_free;
    slot->link = l;
    slot->generation++;
    l->id = (struct http_link_id){.worker = w->index, .slot = at, .generation = slot->generation};
    atomic_fetch_add_explicit(&w->server->live, 1, memory_order_relaxed);
}

void http_worker_remove(struct http_worker *w, struct http_link *l)
{
    struct http_slot *slot = &w->slots[l->id.slot];
    assert(slot->link == l);
    slot->link = NULL;
    slot->next_free = w->first_free;
    w->first_free = l->id.slot;
    atomic_fetch_sub_explicit(&w->server->live, 1, memory_order_relaxed);
}

struct http_carrier *http_carrier_find(struct http_server *s, const struct http_link_id *id,
                                       uint32_t number)
{
    const struct http_worker *w = s->workers[id->worker];
    const struct http_slot *slot = &w->slots[id->slot];
    assert(loop_is_current(w->loop));
    if (!slot->link || slot->generation != id->generation) {
        return NULL;
    }
    return slot->link->ops->find(slot->link, number);
}

/* Formatted once a second and loop. */
const char *http_worker_date(struct http_worker *w)
{
    int64_t now_s = clock_wall_ns() / NS_PER_S;
    if (w->date_s != now_s) {
        http_date_format(now_s, w->date);
        w->date_s = now_s;
    }
    return w->date;
}

static void close_connections(struct loop *l, void *arg)
{
    struct http_worker *w = arg;
    for (uint32_t i = 0; i < w->n_slots; i++) {
        struct http_link *link = w->slots[i].link;
        if (link) {
            link->ops->close(link);
        }
    }
}

/* ---- the server ---- */

struct http_server *http_server_ref(struct http_server *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void http_server_unref(struct http_server *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (unsigned i = 0; i < s->n_workers; i++) {
        free(s->workers[i]->slots);
        free(s->workers[i]);
    }
    http_router_free(s->router);
    free(s->server_name);
    free(s);
}

static void set_default(unsigned *value, unsigned by_default)
{
    *value = *value ? *value : by_default;
}

struct http_server *http_server_new(const struct http_server_config *config, struct loop *control)
{
    struct http_server *s = mem_new(struct http_server);
    atomic_init(&s->refs, 1);
    s->config = *config;
    s->server_name = config->server_name ? mem_strdup(config->server_name) : NULL;
    s->config.server_name = s->server_name;
    set_default(&s->config.header_timeout_ms, HEADER_TIMEOUT_MS);
    set_default(&s->config.body_timeout_ms, BODY_TIMEOUT_MS);
    set_default(&s->config.idle_timeout_ms, IDLE_TIMEOUT_MS);
    s->config.max_body_bytes = config->max_body_bytes ? config->max_body_bytes : MAX_BODY_BYTES;
    s->control = control;
    s->router = http_router_new();
    list_init(&s->control_replies);
    return s;
}

void http_server_mount(struct http_server *s, const struct http_route *routes, unsigned n,
                       void *user)
{
    assert(s->n_listeners == 0); /* loops read the table without a lock */
    http_router_add(s->router, routes, n, user);
}

void http_server_each_route(struct http_server *s,
                            void (*each)(void *arg, const struct http_route *r), void *arg)
{
    http_router_each(s->router, each, arg);
}

static struct http_worker *find_worker(struct http_server *s, const struct loop *l)
{
    for (unsigned i = 0; i < s->n_workers; i++) {
        if (s->workers[i]->loop == l) {
            return s->workers[i];
        }
    }
    return NULL;
}

static void ensure_worker(struct http_server *s, struct loop *l)
{
    if (find_worker(s, l)) {
        return;
    }
    assert(s->n_workers < ARRAY_LEN(s->workers));
    struct http_worker *w = mem_new(struct http_worker);
    w->server = s;
    w->loop = l;
    w->index = s->n_workers;
    w->first_free = UINT32_MAX;
    s->workers[s->n_workers++] = w;
}

static void on_accept(void *user, struct conn *c)
{
    struct http_server *s = user;
    http_conn_accept(find_worker(s, conn_loop(c)), c);
}

int http_server_listen(struct http_server *s, const struct listener_config *config,
                       struct loop *const *loops, unsigned n_loops, struct error *err)
{
    if (s->n_listeners == HTTP_LISTENERS_MAX) {
        return error_set(err, -ENOSPC, config->address,
                         "an HTTP server listens on at most %d addresses", HTTP_LISTENERS_MAX);
    }
    /* The second listener must not bring new loops: the first one's read the list of workers already. */
    assert(s->n_listeners == 0 || s->n_workers == n_loops);
    for (unsigned i = 0; i < n_loops; i++) {
        ensure_worker(s, loops[i]);
    }
    struct listener *l = listener_open(config, loops, n_loops, on_accept, s, err);
    if (!l) {
        return err && err->code < 0 ? err->code : -EADDRNOTAVAIL;
    }
    s->listeners[s->n_listeners++] = l;
    return 0;
}

void http_server_unlisten(struct http_server *s, unsigned i)
{
    assert(i < s->n_listeners);
    listener_close(s->listeners[i]);
    s->n_listeners--;
    memmove(&s->listeners[i], &s->listeners[i + 1],
            (s->n_listeners - i) *
                sizeof(struct listener *)); /* NOLINT(bugprone-sizeof-expression) */
}

struct listener *http_server_listener(struct http_server *s, unsigned i)
{
    return i < s->n_listeners ? s->listeners[i] : NULL;
}

uint64_t http_server_live(const struct http_server *s)
{
    return atomic_load_explicit(&s->live, memory_order_relaxed);
}

uint64_t http_server_live_http2(const struct http_server *s)
{
    return atomic_load_explicit(&s->live_http2, memory_order_relaxed);
}

struct http_server *http_server_free(struct http_server *s)
{
    if (!s) {
        return NULL;
    }
    s->closed = true;
    for (unsigned i = 0; i < s->n_listeners; i++) {
        listener_close(s->listeners[i]);
    }
    for (unsigned i = 0; i < s->n_workers; i++) {
        loop_call_wait(s->workers[i]->loop, close_connections, s->workers[i]);
    }
    while (!list_empty(&s->control_replies)) {
        struct http_reply *p = LIST_ENTRY(s->control_replies.next, struct http_reply, node);
        list_remove(&p->node);
        http_reply_control_gone(p);
    }
    http_server_unref(s);
    return NULL;
}
