/* SPDX-License-Identifier: Apache-2.0 */
#include "service/job/worker.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <string.h>

LOG_TOPIC(topic, "worker");

#define BLOCK_MS     5000
#define LEASE_MS     30000
#define RETRY_MS     200
#define RETRY_MAX_MS 10000

struct worker {
    struct worker_config config;
    char *name;
    struct list runs;
    unsigned n_runs;
    struct queue_call *claim;
    struct loop_timer *retry; /* after the queue was away */
    unsigned retry_ms;
    bool started;
    bool connected;
    bool told_away; /* once for each time it is away */
    struct loop_task look;
    void (*stopped)(void *user);
    void *stopped_user;
};

/*
 *   WORKING ─done, failed─► SETTLING ─the queue knows─► gone
 *      │                       └ the queue is away: said again after a wait, until the lease has ended
 *      └lease lost─► gone, by lost()
 */
struct worker_run {
    struct list node;
    struct worker *w;
    struct job job;
    char *receipt;
    void *own;
    const struct worker_handler *handler;
    bool settling;
    struct queue_call *call;  /* an extension, or the settlement */
    struct loop_timer *timer; /* to the next of them */
    int64_t lease_until_ns;   /* monotonic, as far as we know */
    unsigned retry_ms;
    /* How it ended. */
    enum queue_outcome outcome;
    struct queue_owner owner;
    bool owns;
};

static unsigned lease_ms(const struct worker *w)
{
    return w->config.lease_ms ? w->config.lease_ms : LEASE_MS;
}

static unsigned first_retry_ms(const struct worker *w)
{
    return w->config.retry_ms ? w->config.retry_ms : RETRY_MS;
}

/* ---- its runs ---- */

static void run_free(struct worker_run *run)
{
    struct worker *w = run->w;
    list_remove(&run->node);
    w->n_runs--;
    if (run->call) {
        queue_forget(run->call);
    }
    loop_timer_free(run->timer);
    model_done(&job_model, &run->job);
    free(run->owner.broadcast_id);
    free(run->owner.worker);
    free(run->owner.payload);
    free(run->receipt);
    free(run);
    worker_look(w);
}

static void lose(struct worker_run *run, const char *why)
{
    log_warn("%s: job %s (%s): %s", run->w->name, run->job.id, run->job.kind, why);
    if (!run->settling && run->handler->lost) {
        run->handler->lost(run->w->config.user, run);
    }
    run_free(run);
}

static void wait_again(struct worker_run *run)
{
    loop_timer_start(run->timer, run->retry_ms);
    run->retry_ms = MIN(2 * run->retry_ms, (unsigned)RETRY_MAX_MS);
}

static void note_reached(struct worker *w)
{
    w->connected = true;
    w->told_away = false;
    w->retry_ms = first_retry_ms(w);
}

static void note_away(struct worker *w, const struct error *err)
{
    w->connected = false;
    if (!w->told_away) {
        w->told_away = true;
        log_warn("%s: the queue cannot be reached: %s", w->name, err->text);
        if (w->config.ops.failed) {
            w->config.ops.failed(w->config.user, NULL, err, false);
        }
    }
}

static void on_extended(void *user, int r, const struct queue_result *result)
{
    struct worker_run *run = user;
    run->call = NULL;
    if (r == -ESTALE || (r < 0 && clock_mono_ns() > run->lease_until_ns)) {
        lose(run, "its lease has ended");
    } else if (r < 0) {
        note_away(run->w, &result->err);
        wait_again(run);
    } else {
        note_reached(run->w);
        run->retry_ms = first_retry_ms(run->w);
        run->lease_until_ns = clock_mono_ns() + (int64_t)lease_ms(run->w) * NS_PER_MS;
        loop_timer_start(run->timer, lease_ms(run->w) / 3);
    }
}

static void on_settled(void *user, int r, const struct queue_result *result)
{
    struct worker_run *run = user;
    run->call = NULL;
    if (r == 0) {
        note_reached(run->w);
        run_free(run);
    } else if (r == -EBUSY) {
        lose(run, "another worker has its broadcast");
    } else if (r == -EAGAIN && clock_mono_ns() < run->lease_until_ns) {
        note_away(run->w, &result->err);
        wait_again(run);
    } else {
        /* Somebody else gets it, who finds it done. */
        lose(run, result->err.text);
    }
}

static void on_timer(void *user)
{
    struct worker_run *run = user;
    struct worker *w = run->w;
    if (!run->settling) {
        run->call =
            queue_extend(w->config.queue, w->name, run->receipt, lease_ms(w), on_extended, run);
        return;
    }
    const struct queue_settle how = {
        .outcome = run->outcome, .job = &run->job, .owner = run->owns ? &run->owner : NULL};
    run->call = queue_settle(w->config.queue, run->receipt, &how, on_settled, run);
}

static void settle(struct worker_run *run, enum queue_outcome outcome)
{
    run->settling = true;
    run->outcome = outcome;
    run->retry_ms = first_retry_ms(run->w);
    if (run->call) {
        queue_forget(TAKE_PTR(run->call));
    }
    loop_timer_stop(run->timer);
    on_timer(run);
}

void worker_run_set(struct worker_run *run, void *own)
{
    run->own = own;
}

void *worker_run_own(const struct worker_run *run)
{
    return run->own;
}

void worker_run_done(struct worker_run *run, const struct queue_owner *owner)
{
    if (owner) {
        run->owns = true;
        run->owner =
            (struct queue_owner){.broadcast_id = mem_strdup(owner->broadcast_id),
                                 .worker = mem_strdup(owner->worker),
                                 .expires_at = owner->expires_at,
                                 .payload = owner->payload ? mem_strdup(owner->payload) : NULL};
    }
    settle(run, QUEUE_DONE);
}

void worker_run_failed(struct worker_run *run, const struct error *err, bool final)
{
    struct worker *w = run->w;
    char why[sizeof(err->where) + sizeof(err->text) + 2];
    snprintf(why, sizeof(why), "%s%s%s", err->where, err->where[0] ? ": " : "", err->text);
    const bool again = job_failed(&run->job, why, final, clock_wall_ns());
    log_warn("%s: job %s (%s) failed, attempt %d of %d: %s", w->name, run->job.id, run->job.kind,
             run->job.attempts, run->job.max_attempts, why);
    if (w->config.ops.failed) {
        w->config.ops.failed(w->config.user, &run->job, err, !again);
    }
    settle(run, again ? QUEUE_RETRY : QUEUE_DEAD);
}

void worker_run_forward(struct worker_run *run, const char *worker)
{
    free(run->job.target);
    run->job.target = mem_strdup(worker);
    settle(run, QUEUE_RETRY);
}

/* ---- claiming ---- */

static const struct worker_handler *handler_of(const struct worker *w, const char *kind)
{
    for (const struct worker_handler *h = w->config.handlers; h->kind; h++) {
        if (strcmp(h->kind, kind) == 0) {
            return h;
        }
    }
    return NULL;
}

static void begin(struct worker *w, const struct queue_delivery *d)
{
    struct worker_run *run = mem_new(struct worker_run);
    run->w = w;
    model_copy(&job_model, &run->job, &d->job);
    run->receipt = mem_strdup(d->receipt);
    run->timer = loop_timer_new(w->config.control, on_timer, run);
    run->retry_ms = first_retry_ms(w);
    run->lease_until_ns = clock_mono_ns() + (int64_t)lease_ms(w) * NS_PER_MS;
    list_append(&w->runs, &run->node);
    w->n_runs++;
    run->handler = handler_of(w, run->job.kind);
    if (!run->handler) {
        struct error err = {0};
        error_set(&err, -EINVAL, "kind", "no worker here knows '%s'", run->job.kind);
        worker_run_failed(run, &err, true);
        return;
    }
    loop_timer_start(run->timer, lease_ms(w) / 3);
    run->handler->begin(w->config.user, run, &run->job);
}

static void on_claimed(void *user, int r, const struct queue_result *result)
{
    struct worker *w = user;
    w->claim = NULL;
    if (r < 0) {
        note_away(w, &result->err);
        loop_timer_start(w->retry, w->retry_ms);
        w->retry_ms = MIN(2 * w->retry_ms, (unsigned)RETRY_MAX_MS);
        return;
    }
    note_reached(w);
    for (unsigned i = 0; i < result->n_deliveries; i++) {
        begin(w, &result->deliveries[i]);
    }
    worker_look(w);
}

static unsigned room(const struct worker *w)
{
    unsigned free = w->n_runs < w->config.concurrency ? w->config.concurrency - w->n_runs : 0;
    return w->config.ops.room ? MIN(free, w->config.ops.room(w->config.user)) : free;
}

static void on_look(struct loop_task *t)
{
    struct worker *w = CONTAINER_OF(t, struct worker, look);
    if (w->started && !w->claim && !loop_timer_active(w->retry) && room(w) > 0) {
        w->claim = queue_claim(w->config.queue, w->name, room(w),
                               w->config.block_ms ? w->config.block_ms : BLOCK_MS, lease_ms(w),
                               on_claimed, w);
    }
    if (w->stopped && w->n_runs == 0) {
        void (*fn)(void *) = w->stopped;
        w->stopped = NULL;
        fn(w->stopped_user);
    }
}

void worker_look(struct worker *w)
{
    loop_defer(w->config.control, LOOP_STAGE_NOTIFY, &w->look);
}

static void on_retry(void *user)
{
    worker_look(user);
}

/* ---- the worker ---- */

struct worker *worker_new(const struct worker_config *config)
{
    struct worker *w = mem_new(struct worker);
    w->config = *config;
    w->name = mem_strdup(config->name);
    w->retry_ms = first_retry_ms(w);
    w->retry = loop_timer_new(config->control, on_retry, w);
    list_init(&w->runs);
    loop_task_init(&w->look, on_look);
    return w;
}

void worker_start(struct worker *w)
{
    w->started = true;
    worker_look(w);
}

void worker_stop(struct worker *w, void (*done)(void *user), void *user)
{
    w->started = false;
    w->stopped = done;
    w->stopped_user = user;
    if (w->claim) {
        queue_forget(TAKE_PTR(w->claim));
    }
    worker_look(w);
}

struct worker *worker_free(struct worker *w)
{
    if (!w) {
        return NULL;
    }
    if (w->claim) {
        queue_forget(TAKE_PTR(w->claim));
    }
    while (!list_empty(&w->runs)) {
        struct worker_run *run = LIST_ENTRY(w->runs.next, struct worker_run, node);
        if (!run->settling && run->handler && run->handler->lost) {
            run->handler->lost(w->config.user, run);
        }
        run_free(run);
    }
    loop_task_cancel(&w->look);
    loop_timer_free(w->retry);
    free(w->name);
    free(w);
    return NULL;
}

const char *worker_name(const struct worker *w)
{
    return w->name;
}

unsigned worker_running(const struct worker *w)
{
    return w->n_runs;
}

bool worker_connected(const struct worker *w)
{
    return w->connected;
}
