/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Takes jobs from a queue and has them done: claims as many as it has room for, hands each to the handler of its kind, keeps the
 * leases alive meanwhile, and says the end to the queue. A queue that cannot be reached is waited for, longer each time; ends that
 * could not be said are said when it is back.
 *
 * Control loop. The queue and the handlers are borrowed and outlive it.
 */
#include "service/job/queue.h"

struct worker;
struct worker_run; /* one job in a handler's hands */

struct worker_handler {
    const char *kind; /* NULL ends a table */
    /* Begins; worker_run_done() follows once, maybe inside. job is valid until then. */
    void (*begin)(void *user, struct worker_run *run, const struct job *job);
    /*
     * Somebody else has the job now (our lease ended), or the worker is being freed: no end is to be said, and the run is gone when
     * this returns. What was begun stays begun: the same job elsewhere finds it.
     */
    void (*lost)(void *user, struct worker_run *run);
};

/* What is told of it, beside the log. All may be NULL. */
struct worker_ops {
    /* phase "worker_job": an attempt failed; job NULL: claiming did. dead: it was the last. */
    void (*failed)(void *user, const struct job *job, const struct error *err, bool dead);
    /* How many more jobs there is room for, beside the concurrency: admission by cost. */
    unsigned (*room)(void *user);
};

struct worker_config {
    struct loop *control;
    struct queue *queue;
    const char *name; /* unique among the workers of the queue */
    unsigned concurrency;
    unsigned block_ms; /* 0 = 5000 */
    unsigned lease_ms; /* 0 = 30000; renewed at a third of it */
    unsigned retry_ms; /* first wait for a queue that is away; 0 = 200, doubling to 10 s */
    const struct worker_handler *handlers;
    struct worker_ops ops;
    void *user; /* of handlers and ops */
};

struct worker *worker_new(const struct worker_config *config);
void worker_start(struct worker *w);
/* Claims no more. done (may be NULL) comes once, later, when nothing is in its hands and the queue knows all ends. */
void worker_stop(struct worker *w, void (*done)(void *user), void *user);
/* Lets go of what is left, by lost(). NULL is fine; returns NULL. */
struct worker *worker_free(struct worker *w);
/* There is room again, or a handler has been slow to find out: claims if it may. */
void worker_look(struct worker *w);

const char *worker_name(const struct worker *w);
unsigned worker_running(const struct worker *w);
/* The queue answered the last question. */
bool worker_connected(const struct worker *w);

/* ---- for handlers ---- */

void worker_run_set(struct worker_run *run, void *own);
void *worker_run_own(const struct worker_run *run);
/*
 * The end of the job. err NULL: it is done; owner (may be NULL) is made with it. Else the attempt failed: final says that no other
 * can succeed. run is gone after this.
 */
void worker_run_done(struct worker_run *run, const struct queue_owner *owner);
void worker_run_failed(struct worker_run *run, const struct error *err, bool final);
/* It is for another worker: goes back into the queue for that one alone, without counting as an attempt. */
void worker_run_forward(struct worker_run *run, const char *worker);
