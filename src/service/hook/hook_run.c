/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that run on an event: a bounded queue of events, a bounded number of children with a time limit each. */
#include "base/clock.h"
#include "base/log.h"
#include "io/proc.h"
#include "service/hook/hook_internal.h"
#include "service/stream/stream_events.h"

#include <stdio.h>
#include <string.h>

LOG_TOPIC(topic, "hook");

#define RUNS_MAX 64 /* of all hooks together */

/* An event that waits, then the run it becomes. */
struct run {
    struct list node; /* of waiting, or of runs */
    struct hook_state *h;
    char *id;
    char *type;
    char *resource;
    char *json;
    int64_t wall_ns;
    struct proc *proc;
    struct loop_timer *timer;
    bool late; /* its time was over */
    struct hook_output output;
};

static void run_free(struct run *r)
{
    list_remove(&r->node);
    if (r->timer) {
        r->timer = loop_timer_free(r->timer);
        proc_free(r->proc);
        hook_output_done(&r->output);
        r->h->n_runs--;
        r->h->s->n_runs--;
        r->h->s->n_running--;
    } else {
        r->h->n_waiting--;
    }
    free(r->id);
    free(r->type);
    free(r->resource);
    free(r->json);
    free(r);
}

void hook_run_take(struct hook_state *h, const struct event *e)
{
    struct run *r = mem_new(struct run);
    *r = (struct run){
        .h = h,
        .id = mem_strdup(e->id),
        .type = mem_strdup(e->type),
        .resource = mem_strdup(e->resource),
        .json = mem_strndup((const char *)e->json.data, e->json.len),
        .wall_ns = e->wall_ns,
    };
    list_append(&h->waiting, &r->node);
    h->n_waiting++;
    while (h->n_waiting > MAX(h->c.queue, 1u)) {
        run_free(LIST_ENTRY(h->waiting.next, struct run, node));
        if (h->dropped++ == 0) {
            log_warn("hook %s: more than %u events wait, dropping the oldest from now on",
                     h->c.name, h->c.queue);
        }
    }
}

/* ---- a run ---- */

static void on_output(void *user, struct bytes chunk)
{
    struct run *r = user;
    hook_output_chunk(&r->output, chunk);
}

static void on_line(void *user, const char *line)
{
    struct run *r = user;
    hook_output_line(&r->output, line);
}

static void on_exit_of_run(void *user, const struct proc_exit *e)
{
    struct run *r = user;
    struct hook_state *h = r->h;
    const char *path = stream_event_path(r->resource);
    if (r->late) {
        char reason[80];
        snprintf(reason, sizeof(reason), "was not done after %lld ms",
                 (long long)(h->c.timeout / NS_PER_MS));
        hook_failed(h, r->type, path, reason, e->code);
    } else if (e->asked) {
        log_info("hook %s: ended for %s", h->c.name, h->retired ? "a reload" : "the end");
    } else if (e->err.code < 0) {
        hook_failed(h, r->type, path, e->err.text, e->code);
    } else {
        h->succeeded++;
        log_debug("hook %s: done with %s after %lld ms", h->c.name, r->type,
                  (long long)(e->run_ns / NS_PER_MS));
    }
    run_free(r);
    hook_pump_soon(h->s);
}

static const struct proc_ops run_ops = {
    .on_output = on_output, .on_line = on_line, .on_exit = on_exit_of_run};

static void on_late(void *user)
{
    struct run *r = user;
    r->late = true;
    proc_stop(r->proc, HOOK_GRACE_MS);
}

static int spawn(struct run *r, struct error *err)
{
    char when[CLOCK_RFC3339_MAX];
    struct hook_child child;
    const struct hook *c = &r->h->c;
    hook_child_init(&child, c, r->resource);
    hook_child_put(&child, "MAST_EVENT", BYTES_STR(r->type));
    hook_child_put(&child, "MAST_EVENT_ID", BYTES_STR(r->id));
    hook_child_put(&child, "MAST_EVENT_TIME", BYTES_STR(clock_format_rfc3339(r->wall_ns, when)));
    hook_child_put(&child, "MAST_EVENT_JSON", BYTES_STR(r->json));
    const struct proc_spec spec = {
        .name = c->name,
        .argv = child.argv,
        .env = (const char *const *)child.env,
        .dir = "/",
        .stdin_pipe = true,
    };
    int result = proc_start(r->h->s->control, &spec, &run_ops, r, &r->proc, err);
    hook_child_done(&child);
    if (result >= 0) {
        /* A program that does not read it has closed it: its own affair. */
        (void)proc_write(r->proc, BYTES_STR(r->json));
        (void)proc_write(r->proc, BYTES_STR("\n"));
        proc_write_end(r->proc);
    }
    return result;
}

static void start(struct run *r)
{
    struct hook_state *h = r->h;
    struct error err = {0};
    list_remove(&r->node);
    list_append(&h->runs, &r->node);
    h->n_waiting--;
    h->n_runs++;
    h->s->n_runs++;
    h->s->n_running++;
    hook_output_init(&r->output, h->c.name);
    r->timer = loop_timer_new(h->s->control, on_late, r);
    if (spawn(r, &err) < 0) {
        hook_failed(h, r->type, stream_event_path(r->resource), err.text, -1);
        run_free(r);
        hook_pump_soon(h->s);
        return;
    }
    loop_timer_start(r->timer, (uint64_t)(h->c.timeout / NS_PER_MS));
}

void hook_run_pump(struct hook_state *h)
{
    while (!list_empty(&h->waiting) && h->n_runs < h->c.concurrency && h->s->n_runs < RUNS_MAX) {
        start(LIST_ENTRY(h->waiting.next, struct run, node));
    }
}

void hook_run_stop(struct hook_state *h)
{
    while (!list_empty(&h->waiting)) {
        run_free(LIST_ENTRY(h->waiting.next, struct run, node));
    }
    LIST_FOREACH (it, &h->runs) {
        proc_stop(LIST_ENTRY(it, struct run, node)->proc, HOOK_GRACE_MS);
    }
}

void hook_run_kill(struct hook_state *h)
{
    while (!list_empty(&h->waiting)) {
        run_free(LIST_ENTRY(h->waiting.next, struct run, node));
    }
    while (!list_empty(&h->runs)) {
        run_free(LIST_ENTRY(h->runs.next, struct run, node));
    }
}
