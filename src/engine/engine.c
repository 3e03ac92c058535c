/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/log.h"
#include "engine/internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

LOG_TOPIC(topic, "engine");

#define MEMORY_SHARE 4 /* of RAM */

static uint64_t default_memory_max(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size / MEMORY_SHARE : 1ULL << 30;
}

static void set_default(uint32_t *value, uint32_t standard)
{
    if (*value == 0) {
        *value = standard;
    }
}

static void fill_config(struct engine_config *to, const struct engine_config *from)
{
    *to = from ? *from : (struct engine_config){0};
    set_default(&to->continuity_ms, 10000);
    if (to->continuity_none) {
        to->continuity_ms = 0;
    }
    set_default(&to->history_max_bytes, 16U << 20);
    set_default(&to->history_max_ms, 15000);
    set_default(&to->history_slack_ms, 4000);
    set_default(&to->ready_after_ms, 500);
    set_default(&to->streams_max, 10000);
    set_default(&to->access_timeout_ms, 10000);
    set_default(&to->linger_ms, 5000);
    if (to->linger_none) {
        to->linger_ms = 0;
    }
    set_default(&to->fanout_wait_ms, 40);
    if (to->fanout_wait_none) {
        to->fanout_wait_ms = 0;
    }
    if (to->memory_max_bytes == 0) {
        to->memory_max_bytes = default_memory_max();
    }
}

static struct engine_loop *loop_part_new(struct engine *e, struct loop *l, unsigned index)
{
    struct engine_loop *el = mem_new(struct engine_loop);
    el->e = e;
    el->loop = l;
    el->index = index;
    list_init(&el->streams);
    list_init(&el->replicas);
    return el;
}

struct engine *engine_new(const struct engine_config *config, struct loop *control,
                          struct loop *const *loops, unsigned n_loops)
{
    assert(n_loops > 0 && n_loops <= LOOPS_MAX);
    struct engine *e = mem_new(struct engine);
    e->control = control;
    e->n_loops = n_loops;
    for (unsigned i = 0; i < n_loops; i++) {
        e->loops[i] = loop_part_new(e, loops[i], i);
    }
    e->start_ns = clock_mono_ns();
    atomic_init(&e->refs, 1);
    pthread_mutex_init(&e->lock, NULL);
    fill_config(&e->config, config);
    atomic_init(&e->memory_max_bytes, e->config.memory_max_bytes);
    atomic_init(&e->access_timeout_ms, e->config.access_timeout_ms);
    atomic_init(&e->history_cap, UINT64_MAX);
    for (unsigned i = 0; i < BUCKETS; i++) {
        list_init(&e->buckets[i]);
    }
    return e;
}

void engine_reconfigure(struct engine *e, const struct engine_config *config)
{
    pthread_mutex_lock(&e->lock);
    struct engine_config next;
    fill_config(&next, config);
    /* Loops read these without the lock: who answers, and who makes, is for life. */
    next.access = e->config.access;
    next.maker = e->config.maker;
    e->config = next;
    atomic_store(&e->memory_max_bytes, e->config.memory_max_bytes);
    atomic_store(&e->access_timeout_ms, e->config.access_timeout_ms);
    pthread_mutex_unlock(&e->lock);
}

struct engine *engine_ref(struct engine *e)
{
    atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
    return e;
}

void engine_unref(struct engine *e)
{
    if (atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    for (unsigned i = 0; i < e->n_loops; i++) {
        free(e->loops[i]->slots);
        free(e->loops[i]);
    }
    pthread_mutex_destroy(&e->lock);
    free(e);
}

struct engine_loop *engine_loop_of(struct engine *e, const struct loop *l)
{
    for (unsigned i = 0; i < e->n_loops; i++) {
        if (e->loops[i]->loop == l) {
            return e->loops[i];
        }
    }
    return NULL;
}

/* ---- the end ---- */

struct run_on {
    struct engine_loop *el;
    void (*fn)(struct engine_loop *el);
};

static void run_it(struct loop *l, void *arg)
{
    struct run_on *run = arg;
    run->fn(run->el);
}

/* Runs fn on el's loop and waits; directly when nobody else runs that loop. */
static void run_on(struct engine_loop *el, void (*fn)(struct engine_loop *el))
{
    struct run_on run = {el, fn};
    if (loop_has_thread(el->loop)) {
        loop_call_wait(el->loop, run_it, &run);
        return;
    }
    /* This thread drives the loop itself: what is posted must be delivered here too, unless we are inside it. */
    if (!loop_current()) {
        loop_run_once(el->loop, 0);
    }
    fn(el);
}

static void close_sessions(struct engine_loop *el)
{
    session_kill_if(el, NULL, NULL, -ESHUTDOWN, "the server ends");
}

static void settle_streams(struct engine_loop *el)
{
    LIST_FOREACH_SAFE (it, &el->streams) {
        stream_settle(LIST_ENTRY(it, struct stream, node));
    }
}

struct engine *engine_free(struct engine *e)
{
    if (!e) {
        return NULL;
    }
    pthread_mutex_lock(&e->lock);
    e->closing = true;
    pthread_mutex_unlock(&e->lock);
    for (unsigned i = 0; i < e->n_loops; i++) {
        run_on(e->loops[i], close_sessions);
    }
    /* Goodbyes between loops take a few rounds; what a caller inside a loop leaves is freed when that loop goes on. */
    for (unsigned round = 0; round < 1000 && COUNT_GET(e, streams) > 0; round++) {
        for (unsigned i = 0; i < e->n_loops; i++) {
            run_on(e->loops[i], settle_streams);
        }
    }
    if (COUNT_GET(e, streams) > 0) {
        log_debug("%u streams are freed later", (unsigned)COUNT_GET(e, streams));
    }
    for (unsigned i = 0; i < e->n_loops; i++) {
        run_on(e->loops[i], session_loop_done);
    }
    atomic_store(&e->event_wanted, false);
    engine_unref(e);
    return NULL;
}

/* ---- the path table ---- */

static struct list *bucket_of(struct engine *e, const char *path)
{
    uint64_t hash = 14695981039346656037ULL; /* FNV-1a */
    for (const char *p = path; *p; p++) {
        hash = (hash ^ (uint8_t)*p) * 1099511628211ULL;
    }
    return &e->buckets[hash % BUCKETS];
}

static struct stream *find_stream(struct list *bucket, const char *path)
{
    LIST_FOREACH (it, bucket) {
        struct stream *s = LIST_ENTRY(it, struct stream, bucket);
        if (strcmp(s->path, path) == 0) {
            return s;
        }
    }
    return NULL;
}

static void on_reap(struct loop *l, struct loop_msg *m)
{
    struct stream *s = CONTAINER_OF(m, struct stream, reap);
    pthread_mutex_lock(&s->e->lock);
    s->reap_posted = false;
    pthread_mutex_unlock(&s->e->lock);
    stream_settle(s);
}

static struct stream *stream_new(struct engine *e, struct engine_loop *home, const char *path)
{
    struct stream *s = mem_new(struct stream);
    const struct engine_config *c = &e->config;
    s->e = engine_ref(e);
    s->home = home;
    snprintf(s->path, sizeof(s->path), "%s", path);
    s->reap.deliver = on_reap;
    s->replicas = mem_new_array(struct replica *, e->n_loops);
    s->subs = mem_new_array(struct sub, e->n_loops);
    s->limits = (struct ring_limits){c->history_max_bytes, c->history_max_ms * NS_PER_MS,
                                     c->history_slack_ms * NS_PER_MS};
    s->continuity_ms = c->continuity_ms;
    s->fanout_wait_ns = c->fanout_wait_ms * NS_PER_MS;
    s->ready_after_ms = c->ready_after_ms;
    s->policy = c->publish_policy;
    stream_home_init(s);
    list_append(bucket_of(e, path), &s->bucket);
    e->n_streams++;
    COUNT_ADD(e, streams, 1);
    return s;
}

/* Whether somebody who does not wait may find it: its parent is known, so its maker will see what of it is there. */
static bool can_be_made(struct engine *e, const char *path)
{
    char parent[STREAM_PATH_MAX + 1];
    return e->config.maker.start && stream_path_derived(path, parent) &&
           find_stream(bucket_of(e, parent), parent);
}

static int get_locked(struct engine *e, struct engine_loop *el, const char *path, bool create,
                      struct stream **ret, struct error *err)
{
    if (e->closing) {
        return error_set(err, -ESHUTDOWN, path, "the server ends");
    }
    struct stream *s = find_stream(bucket_of(e, path), path);
    if (!s && !create && !can_be_made(e, path)) {
        return error_set(err, -ENOENT, path, "nobody publishes this stream");
    }
    if (!s && e->n_streams >= e->config.streams_max) {
        return error_set(err, -ENFILE, path, "there are too many streams");
    }
    if (!s) {
        s = stream_new(e, el, path);
    }
    s->users++;
    *ret = s;
    return 0;
}

int stream_get(struct engine *e, struct engine_loop *el, const char *path, bool create,
               struct stream **ret, struct error *err)
{
    pthread_mutex_lock(&e->lock);
    int r = get_locked(e, el, path, create, ret, err);
    pthread_mutex_unlock(&e->lock);
    return r;
}

void stream_hold(struct stream *s)
{
    pthread_mutex_lock(&s->e->lock);
    assert(s->users > 0);
    s->users++;
    pthread_mutex_unlock(&s->e->lock);
}

/* At most one reap is on its way, and s lives until it is delivered; then all messages that its users posted are too. */
void stream_put(struct stream *s)
{
    struct engine *e = s->e;
    pthread_mutex_lock(&e->lock);
    assert(s->users > 0);
    bool post = --s->users == 0 && !s->reap_posted;
    if (post) {
        s->reap_posted = true;
        loop_post(s->home->loop, &s->reap);
    }
    pthread_mutex_unlock(&e->lock);
}

static void stream_free(struct stream *s)
{
    struct engine *e = s->e;
    stream_home_done(s);
    free(s->replicas);
    free(s->subs);
    free(s);
    COUNT_SUB(e, streams, 1);
    engine_unref(e);
}

void stream_settle(struct stream *s)
{
    struct engine *e = s->e;
    pthread_mutex_lock(&e->lock);
    bool closing = e->closing;
    pthread_mutex_unlock(&e->lock);
    if (closing && s->on_demand.made) {
        demand_stop(s);
    }
    if (closing && s->state == STREAM_LOST) {
        stream_ended(s, "the server ends");
    }
    if (s->air || s->next || s->state == STREAM_LOST || s->on_demand.made) {
        return;
    }
    pthread_mutex_lock(&e->lock);
    bool unused = s->users == 0 && !s->reap_posted;
    if (unused) {
        list_remove(&s->bucket);
        e->n_streams--;
    }
    pthread_mutex_unlock(&e->lock);
    if (unused) {
        stream_free(s);
    }
}

/* ---- events ---- */

struct event_msg {
    struct loop_msg msg;
    struct engine *e;
    enum stream_event event;
    char path[STREAM_PATH_MAX + 1];
    char session_id[32];
    char reason[120];
};

static void deliver_event(struct loop *l, struct loop_msg *m)
{
    struct event_msg *ev = CONTAINER_OF(m, struct event_msg, msg);
    if (atomic_load(&ev->e->event_wanted)) {
        ev->e->event_fn(ev->e->event_user, ev->event, ev->path, ev->session_id, ev->reason);
    }
    engine_unref(ev->e);
    free(ev);
}

void engine_emit(struct engine *e, enum stream_event event, const char *path, const char *id,
                 const char *reason)
{
    if (!atomic_load_explicit(&e->event_wanted, memory_order_relaxed)) {
        return;
    }
    struct event_msg *ev = mem_new(struct event_msg);
    ev->msg.deliver = deliver_event;
    ev->e = engine_ref(e);
    ev->event = event;
    snprintf(ev->path, sizeof(ev->path), "%s", path);
    snprintf(ev->session_id, sizeof(ev->session_id), "%s", id ? id : "");
    snprintf(ev->reason, sizeof(ev->reason), "%s", reason ? reason : "");
    loop_post(e->control, &ev->msg);
}

void engine_set_event_fn(struct engine *e, engine_event_fn fn, void *user)
{
    atomic_store(&e->event_wanted, false);
    e->event_fn = fn;
    e->event_user = user;
    atomic_store(&e->event_wanted, fn != NULL);
}
