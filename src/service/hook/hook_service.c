/* SPDX-License-Identifier: Apache-2.0 */
#include "service/hook/hook_service.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "service/hook/hook_internal.h"
#include "service/stream/stream_events.h"

#include <string.h>
#include <unistd.h>

LOG_TOPIC(topic, "hook");

char hook_published;
char hook_ready;

void hook_pump_soon(struct hook_service *s)
{
    loop_defer(s->control, LOOP_STAGE_NOTIFY, &s->pump);
}

void hook_failed(struct hook_state *h, const char *what, const char *path, const char *reason,
                 int code)
{
    _cleanup_free_ char *resource = mem_printf("hooks/%s", h->c.name);
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    h->failed++;
    log_warn("hook %s: %s%s%s: %s", h->c.name, what ? what : "", what && path ? " of " : "",
             path ? path : "", reason);
    json_object_begin(&j);
    json_put_str(&j, "hook", h->c.name);
    if (what) {
        json_put_str(&j, "event", what);
    }
    if (path) {
        json_put_str(&j, "path", path);
    }
    json_put_str(&j, "reason", reason);
    if (code >= 0) {
        json_put_int(&j, "code", code);
    }
    json_object_end(&j);
    events_emit(h->s->events, clock_wall_ns(), "hook.failed", resource, out_str(&o));
}

/* ---- hooks come and go ---- */

static struct hook_state *find(const struct list *l, const char *name)
{
    LIST_FOREACH (it, l) {
        struct hook_state *h = LIST_ENTRY(it, struct hook_state, node);
        if (strcmp(h->c.name, name) == 0) {
            return h;
        }
    }
    return NULL;
}

static void state_free(struct hook_state *h)
{
    hook_run_kill(h);
    hook_lasting_kill(h);
    list_remove(&h->node);
    map_done(&h->lasting);
    model_done(&hook_model, &h->c);
    free(h);
}

static bool is_idle(const struct hook_state *h)
{
    return h->n_runs == 0 && h->lasting.len == 0;
}

static void retire(struct hook_state *h)
{
    h->retired = true;
    list_remove(&h->node);
    list_append(&h->s->retired, &h->node);
    hook_run_stop(h);
    hook_lasting_stop(h, NULL);
}

/* Its predecessor of that name is still ending. */
static bool must_wait(const struct hook_state *h)
{
    return find(&h->s->retired, h->c.name) != NULL;
}

/* ---- programs that last ---- */

bool hook_wants_path(const struct hook *h, const char *path)
{
    static char any[] = "*";
    static char *const anything[] = {any};
    _cleanup_free_ char *resource = mem_printf("streams/%s", path);
    const struct event e = {.type = "", .resource = resource};
    return stream_event_matches(&e, anything, 1, h->paths.items, h->paths.len);
}

static bool lasts_now(const struct hook_state *h, const void *state)
{
    return h->c.lasts && (state == &hook_ready || strcmp(h->c.lasts, "stream.published") == 0);
}

/* For what is live already: at a reload, and when the predecessor is gone. */
static void begin_lasting(struct hook_state *h)
{
    if (!h->c.lasts || must_wait(h)) {
        return;
    }
    MAP_FOREACH (slot, &h->s->live) {
        if (lasts_now(h, slot->value) && hook_wants_path(&h->c, slot->key)) {
            hook_lasting_start(h, slot->key);
        }
    }
}

static void on_live(struct hook_service *s, const char *path, void *state)
{
    (void)map_set(&s->live, path, state);
    LIST_FOREACH (it, &s->hooks) {
        struct hook_state *h = LIST_ENTRY(it, struct hook_state, node);
        if (lasts_now(h, state) && !must_wait(h) && hook_wants_path(&h->c, path)) {
            hook_lasting_start(h, path);
        }
    }
}

static void on_ended(struct hook_service *s, const char *path)
{
    (void)map_remove(&s->live, path);
    LIST_FOREACH (it, &s->hooks) {
        struct hook_state *h = LIST_ENTRY(it, struct hook_state, node);
        if (h->c.lasts) {
            hook_lasting_stop(h, path);
        }
    }
}

static void follow(struct hook_service *s, const struct event *e)
{
    const char *path = stream_event_path(e->resource);
    if (!path) {
        return;
    }
    if (strcmp(e->type, "stream.published") == 0) {
        void *before = map_get(&s->live, path); /* the publisher came back */
        on_live(s, path, before ? before : &hook_published);
    } else if (strcmp(e->type, "stream.ready") == 0) {
        on_live(s, path, &hook_ready);
    } else if (strcmp(e->type, "stream.ended") == 0) {
        on_ended(s, path);
    }
}

/* ---- events ---- */

static void on_event(void *user, const struct event *e)
{
    struct hook_service *s = user;
    follow(s, e);
    /* What hooks do sets off no hook: it would not end. */
    if (strncmp(e->resource, "hooks/", 6) == 0) {
        return;
    }
    LIST_FOREACH (it, &s->hooks) {
        struct hook_state *h = LIST_ENTRY(it, struct hook_state, node);
        const struct hook *c = &h->c;
        if (stream_event_matches(e, c->on.items, c->on.len, c->paths.items, c->paths.len)) {
            hook_run_take(h, e);
            hook_pump_soon(s);
        }
    }
}

static void bury_retired(struct hook_service *s)
{
    LIST_FOREACH_SAFE (it, &s->retired) {
        struct hook_state *h = LIST_ENTRY(it, struct hook_state, node);
        hook_lasting_bury(h);
        if (!is_idle(h)) {
            continue;
        }
        struct hook_state *next = find(&s->hooks, h->c.name);
        state_free(h);
        if (next) {
            begin_lasting(next);
        }
    }
}

static void pump(struct loop_task *t)
{
    struct hook_service *s = CONTAINER_OF(t, struct hook_service, pump);
    bury_retired(s);
    LIST_FOREACH (it, &s->hooks) {
        struct hook_state *h = LIST_ENTRY(it, struct hook_state, node);
        hook_lasting_bury(h);
        if (!must_wait(h)) {
            hook_run_pump(h);
        }
    }
    if (s->stopping && list_empty(&s->retired) && s->done) {
        void (*done)(void *) = s->done;
        s->done = NULL;
        done(s->done_user);
    }
}

/* ---- life ---- */

struct hook_service *hook_service_new(struct loop *control, struct events *events)
{
    struct hook_service *s = mem_new(struct hook_service);
    s->control = control;
    s->events = events;
    loop_task_init(&s->pump, pump);
    list_init(&s->hooks);
    list_init(&s->retired);
    s->listener = (struct events_listener){.on_event = on_event, .user = s};
    events_listen(events, &s->listener);
    return s;
}

static void configure_one(struct hook_service *s, const struct hook *item)
{
    struct hook_state *h = find(&s->hooks, item->name);
    if (h && model_equal(&hook_model, &h->c, item)) {
        h->seen = true;
        return;
    }
    if (h) {
        retire(h);
    }
    h = mem_new(struct hook_state);
    h->s = s;
    h->seen = true;
    model_copy(&hook_model, &h->c, item);
    list_init(&h->waiting);
    list_init(&h->runs);
    list_append(&s->hooks, &h->node);
    if (access(h->c.run.items[0], X_OK) < 0) {
        log_warn("hook %s: %s cannot be run (yet)", h->c.name, h->c.run.items[0]);
    }
    begin_lasting(h);
}

void hook_service_configure(struct hook_service *s, const struct hook *items, size_t n)
{
    if (s->stopping) {
        return;
    }
    LIST_FOREACH (it, &s->hooks) {
        LIST_ENTRY(it, struct hook_state, node)->seen = false;
    }
    for (size_t i = 0; i < n; i++) {
        configure_one(s, &items[i]);
    }
    LIST_FOREACH_SAFE (it, &s->hooks) {
        struct hook_state *h = LIST_ENTRY(it, struct hook_state, node);
        if (!h->seen) {
            retire(h);
        }
    }
    hook_pump_soon(s);
}

void hook_service_stop(struct hook_service *s, void (*done)(void *user), void *user)
{
    s->done = done;
    s->done_user = user;
    if (!s->stopping) {
        s->stopping = true;
        events_unlisten(&s->listener);
        while (!list_empty(&s->hooks)) {
            retire(LIST_ENTRY(s->hooks.next, struct hook_state, node));
        }
    }
    hook_pump_soon(s);
}

struct hook_service *hook_service_free(struct hook_service *s)
{
    if (!s) {
        return NULL;
    }
    events_unlisten(&s->listener);
    while (!list_empty(&s->hooks)) {
        state_free(LIST_ENTRY(s->hooks.next, struct hook_state, node));
    }
    while (!list_empty(&s->retired)) {
        state_free(LIST_ENTRY(s->retired.next, struct hook_state, node));
    }
    map_done(&s->live);
    loop_task_cancel(&s->pump);
    free(s);
    return NULL;
}

/* ---- metrics ---- */

static void write_runs(const struct hook_service *s, struct metrics_page *page)
{
    LIST_FOREACH (it, &s->hooks) {
        const struct hook_state *h = LIST_ENTRY(it, struct hook_state, node);
        const char *const names[] = {"succeeded", "failed", "dropped"};
        const uint64_t counts[] = {h->succeeded, h->failed, h->dropped};
        for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
            metrics_value(page, (const char *const[]){"hook", h->c.name, "result", names[i], NULL},
                          (double)counts[i]);
        }
    }
}

void hook_metrics(void *user, struct metrics_page *page)
{
    const struct hook_service *s = user;
    metrics_family(page, "mast_hook_runs_total", METRIC_COUNTER,
                   "Programs that hooks ran, by how they ended; dropped: too many waited.");
    write_runs(s, page);
    metrics_single(page, "mast_hook_running", METRIC_GAUGE, "Programs of hooks that run.",
                   s->n_running);
    metrics_source_done(page);
}
