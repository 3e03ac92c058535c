/* SPDX-License-Identifier: Apache-2.0 */
/* What all queues have in common: questions, who is gone meanwhile, jobs whose workers die of them. */
#include "service/job/queue.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"

#include <errno.h>
#include <string.h>

struct queue {
    struct loop *control;
    const struct queue_ops *ops;
    void *user;
    struct list calls;
};

struct queue_call {
    struct list node;
    struct queue *q;
    queue_fn fn; /* NULL: nobody asks any more */
    void *user;
    void *own;
    bool claims;
};

static const struct model_field consumer_fields[] = {
    MODEL_STRING(struct queue_consumer, name),
    MODEL_INT(struct queue_consumer, claimed, .doc = "Jobs in its hands."),
    MODEL_TIME(struct queue_consumer, seen_at, .doc = "When it was last heard of."),
};
static const struct model consumer_model =
    MODEL("QueueConsumer", struct queue_consumer, consumer_fields);

static const struct model_field stats_fields[] = {
    MODEL_INT(struct queue_stats, ready, .min = -1, .max = INT64_MAX,
              .doc = "Jobs that may be claimed now; -1 here and below: not known."),
    MODEL_INT(struct queue_stats, scheduled, .min = -1, .max = INT64_MAX,
              .doc = "Jobs that wait for their time."),
    MODEL_INT(struct queue_stats, claimed, .min = -1, .max = INT64_MAX,
              .doc = "Jobs that workers have."),
    MODEL_INT(struct queue_stats, dead, .min = -1, .max = INT64_MAX,
              .doc = "Jobs that were given up, for people to look at."),
    MODEL_INT(struct queue_stats, lag, .min = -1, .max = INT64_MAX,
              .doc =
                  "Jobs that were not handed out yet, or to a worker that does not live any more."),
    MODEL_TIME(struct queue_stats, oldest_at, .doc = "Since when the oldest ready one waits."),
    MODEL_LIST_STRUCT(struct queue_stats, consumers, &consumer_model),
};
const struct model queue_stats_model = MODEL("QueueStats", struct queue_stats, stats_fields);

struct queue *queue_new(struct loop *control, const struct queue_ops *ops, void *user)
{
    struct queue *q = mem_new(struct queue);
    *q = (struct queue){.control = control, .ops = ops, .user = user};
    list_init(&q->calls);
    return q;
}

const char *queue_kind(const struct queue *q)
{
    return q->ops->kind;
}

struct queue *queue_free(struct queue *q)
{
    if (!q) {
        return NULL;
    }
    q->ops->free(q->user);
    while (!list_empty(&q->calls)) {
        struct queue_call *call = LIST_ENTRY(q->calls.next, struct queue_call, node);
        list_remove(&call->node);
        free(call);
    }
    free(q);
    return NULL;
}

static struct queue_call *call_new(struct queue *q, queue_fn fn, void *user)
{
    struct queue_call *call = mem_new(struct queue_call);
    *call = (struct queue_call){.q = q, .fn = fn, .user = user};
    list_append(&q->calls, &call->node);
    return call;
}

void queue_call_set(struct queue_call *call, void *own)
{
    call->own = own;
}

void *queue_call_own(const struct queue_call *call)
{
    return call->own;
}

void queue_forget(struct queue_call *call)
{
    call->fn = NULL;
    if (call->claims && call->q->ops->hurry) {
        call->q->ops->hurry(call->q->user, call);
    }
}

/* ---- answers ---- */

static void give_back(struct queue *q, const struct queue_delivery *d)
{
    static const struct queue_settle release = {.outcome = QUEUE_RELEASE};
    (void)queue_settle(q, d->receipt, &release, NULL, NULL);
}

/* Its workers have died of it, or of what stood beside it, as often as it may be tried. */
static void bury(struct queue *q, struct queue_delivery *d)
{
    struct job dead;
    char why[96];
    model_copy(&job_model, &dead, &d->job);
    snprintf(why, sizeof(why), "%u workers had it and were not heard of again", d->deliveries - 1);
    (void)job_failed(&dead, why, true, clock_wall_ns());
    const struct queue_settle how = {.outcome = QUEUE_DEAD, .job = &dead};
    (void)queue_settle(q, d->receipt, &how, NULL, NULL);
    model_done(&job_model, &dead);
}

/* Those that are for the asker come first afterwards; how many. */
static unsigned sift(struct queue *q, const struct queue_result *from, bool wanted,
                     struct queue_delivery *to)
{
    unsigned n = 0;
    for (unsigned i = 0; i < from->n_deliveries; i++) {
        struct queue_delivery *d = &from->deliveries[i];
        if (!wanted) {
            give_back(q, d);
        } else if ((int64_t)d->job.attempts + d->deliveries > (int64_t)d->job.max_attempts) {
            bury(q, d);
        } else {
            to[n++] = *d;
        }
    }
    return n;
}

void queue_answer(struct queue_call *call, int r, const struct queue_result *result)
{
    struct queue *q = call->q;
    struct queue_result mine = result ? *result : (struct queue_result){0};
    struct queue_delivery *kept = NULL;
    list_remove(&call->node);
    if (call->claims && r >= 0 && mine.n_deliveries > 0) {
        kept = mem_new_array(struct queue_delivery, mine.n_deliveries);
        mine.n_deliveries = sift(q, result, call->fn != NULL, kept);
        mine.deliveries = kept;
    }
    if (call->fn) {
        call->fn(call->user, r, &mine);
    }
    free(kept);
    free(call);
}

/* ---- questions ---- */

struct queue_call *queue_enqueue(struct queue *q, const struct job *job, queue_fn fn, void *user)
{
    struct queue_call *call = call_new(q, fn, user);
    q->ops->enqueue(q->user, call, job);
    return call;
}

struct queue_call *queue_claim(struct queue *q, const char *consumer, unsigned max,
                               unsigned block_ms, unsigned lease_ms, queue_fn fn, void *user)
{
    struct queue_call *call = call_new(q, fn, user);
    call->claims = true;
    q->ops->claim(q->user, call, consumer, MIN(max, (unsigned)QUEUE_CLAIM_MAX), block_ms, lease_ms);
    return call;
}

struct queue_call *queue_extend(struct queue *q, const char *consumer, const char *receipt,
                                unsigned lease_ms, queue_fn fn, void *user)
{
    struct queue_call *call = call_new(q, fn, user);
    q->ops->extend(q->user, call, consumer, receipt, lease_ms);
    return call;
}

struct queue_call *queue_settle(struct queue *q, const char *receipt,
                                const struct queue_settle *how, queue_fn fn, void *user)
{
    struct queue_call *call = call_new(q, fn, user);
    q->ops->settle(q->user, call, receipt, how);
    return call;
}

struct queue_call *queue_stats(struct queue *q, queue_fn fn, void *user)
{
    struct queue_call *call = call_new(q, fn, user);
    q->ops->stats(q->user, call);
    return call;
}

struct queue_call *queue_list(struct queue *q, int state, const char *after, unsigned limit,
                              queue_fn fn, void *user)
{
    struct queue_call *call = call_new(q, fn, user);
    q->ops->list(q->user, call, state, after, MIN(limit, (unsigned)QUEUE_LIST_MAX));
    return call;
}

struct queue_call *queue_get(struct queue *q, const char *id, queue_fn fn, void *user)
{
    struct queue_call *call = call_new(q, fn, user);
    q->ops->get(q->user, call, id);
    return call;
}

struct queue_call *queue_cancel(struct queue *q, const char *id, queue_fn fn, void *user)
{
    struct queue_call *call = call_new(q, fn, user);
    q->ops->cancel(q->user, call, id);
    return call;
}

struct queue_call *queue_retry(struct queue *q, const char *id, queue_fn fn, void *user)
{
    struct queue_call *call = call_new(q, fn, user);
    q->ops->retry(q->user, call, id);
    return call;
}

struct queue_call *queue_own(struct queue *q, const struct queue_owner *owner, queue_fn fn,
                             void *user)
{
    struct queue_call *call = call_new(q, fn, user);
    q->ops->own(q->user, call, owner);
    return call;
}

struct queue_call *queue_disown(struct queue *q, const char *broadcast_id, const char *worker,
                                queue_fn fn, void *user)
{
    struct queue_call *call = call_new(q, fn, user);
    q->ops->disown(q->user, call, broadcast_id, worker);
    return call;
}

struct queue_call *queue_owner_of(struct queue *q, const char *broadcast_id, queue_fn fn,
                                  void *user)
{
    struct queue_call *call = call_new(q, fn, user);
    q->ops->owner(q->user, call, broadcast_id);
    return call;
}

struct queue_call *queue_reap(struct queue *q, queue_fn fn, void *user)
{
    struct queue_call *call = call_new(q, fn, user);
    q->ops->reap(q->user, call);
    return call;
}
