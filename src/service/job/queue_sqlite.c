/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each question is a task of the store: `run` happens on its writer thread, in one transaction with whatever else waits there; the
 * answer is given back here. A claim that finds nothing waits here, until something is put or its time comes.
 */
#include "service/job/queue_sqlite.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "store/store_jobs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MAX_JOBS         10000000
#define KEEP             1000
#define KEEP_NS          (24 * 3600 * NS_PER_S)
#define CONSUMER_NS      (3600 * NS_PER_S) /* one that was not seen for so long is forgotten */
#define PRUNE_EACH       256               /* ended jobs between two looks at what may go */
#define ANSWER_MAX       ((size_t)16 << 20)
#define LOOK_AT_LEAST_MS 10

struct task;

struct sqlite_queue {
    struct queue_sqlite_config config;
    char *name;
    struct list tasks;   /* asked, not answered */
    struct list waiting; /* claims that found nothing */
    unsigned ended;      /* jobs, since the last prune */
};

/* One question, and what the writer thread answered. */
struct task {
    struct list node;
    struct sqlite_queue *s; /* NULL: the queue was freed meanwhile */
    struct queue_call *call;
    struct store_op *op;
    /* What is asked; copies. */
    int (*run)(struct task *t, struct store_db *db, struct error *err);
    char *queue;
    char *id; /* of a job, or a broadcast */
    char *consumer;
    char *target;
    struct out body;
    int64_t seq, lease, due, until, now, max;
    int state;
    unsigned limit;
    enum queue_outcome outcome;
    struct queue_owner owner;
    bool owns;
    /* Of a claim that waits. */
    struct loop_timer *timer;
    int64_t give_up_ns; /* monotonic */
    unsigned lease_ms;
    bool hurried;
    /* The answer. */
    MODEL_ARRAY(struct queue_delivery) deliveries;
    MODEL_ARRAY(struct queue_entry) entries;
    size_t bytes;
    bool more;
    bool owned;
    struct queue_owner found;
    struct queue_stats stats;
    int64_t next;
    unsigned n;
};

static void owner_done(struct queue_owner *o)
{
    free(TAKE_PTR(o->broadcast_id));
    free(TAKE_PTR(o->worker));
    free(TAKE_PTR(o->payload));
}

static void forget_answer(struct task *t)
{
    for (size_t i = 0; i < t->deliveries.len; i++) {
        model_done(&job_model, &t->deliveries.items[i].job);
        free(t->deliveries.items[i].receipt);
    }
    for (size_t i = 0; i < t->entries.len; i++) {
        model_done(&job_model, &t->entries.items[i].job);
        free(t->entries.items[i].consumer);
        free(t->entries.items[i].cursor);
    }
    free(TAKE_PTR(t->deliveries.items));
    free(TAKE_PTR(t->entries.items));
    t->deliveries.len = t->entries.len = 0;
    t->bytes = 0;
    owner_done(&t->found);
    model_done(&queue_stats_model, &t->stats);
}

static void task_free(struct task *t)
{
    forget_answer(t);
    list_remove(&t->node);
    loop_timer_free(t->timer);
    owner_done(&t->owner);
    out_done(&t->body);
    free(t->queue);
    free(t->id);
    free(t->consumer);
    free(t->target);
    free(t);
}

static int run_task(struct store_db *db, void *arg, struct error *err)
{
    struct task *t = arg;
    return t->run(t, db, err);
}

static void answer(struct task *t, int r, const struct error *err)
{
    struct queue_result result = {
        .deliveries = t->deliveries.items,
        .n_deliveries = (unsigned)t->deliveries.len,
        .entries = t->entries.items,
        .n_entries = (unsigned)t->entries.len,
        .more = t->more,
        .stats = &t->stats,
        .owner = t->owned ? &t->found : NULL,
        .n = t->n,
    };
    if (r < 0 && err) {
        result.err = *err;
    }
    /* Full, closing, or a disk in trouble: all of them pass, and nothing was done. */
    if (r == -ENOBUFS || r == -ESHUTDOWN || r == -EIO) {
        r = -EAGAIN;
        result.err.code = r;
    }
    queue_answer(t->call, r, &result);
    task_free(t);
}

static void on_done(void *user, int r, const struct store_result *result)
{
    struct task *t = user;
    t->op = NULL;
    if (t->s) {
        answer(t, r, &result->err);
    } else {
        task_free(t);
    }
}

static void submit(struct task *t, store_fn fn)
{
    t->op = store_op_task(run_task, t, NULL);
    int r = store_submit(t->s->config.store, t->s->config.control, t->op, fn, t);
    if (r < 0) {
        /* Never inside the question: by the loop's end. */
        t->op = NULL;
        t->n = 0;
        t->state = r;
        loop_timer_start(t->timer, 0);
    }
}

/* What could not even be asked. */
static void on_refused(void *user)
{
    struct task *t = user;
    struct error err = {0};
    answer(
        t,
        error_set(&err, t->state, "", "the state file takes nothing now: %s", error_name(t->state)),
        &err);
}

static struct task *task_new(struct sqlite_queue *s, struct queue_call *call,
                             int (*run)(struct task *t, struct store_db *db, struct error *err))
{
    struct task *t = mem_new(struct task);
    t->s = s;
    t->call = call;
    t->run = run;
    t->queue = mem_strdup(s->name);
    t->now = clock_wall_ns();
    t->timer = loop_timer_new(s->config.control, on_refused, t);
    queue_call_set(call, t);
    list_append(&s->tasks, &t->node);
    return t;
}

/* ---- in ---- */

static void wake(struct sqlite_queue *s);

static int run_put(struct task *t, struct store_db *db, struct error *err)
{
    return store_job_put(db, t->queue, t->id, t->target, t->due, out_view(&t->body), t->max, err);
}

static void on_put(void *user, int r, const struct store_result *result)
{
    struct task *t = user;
    struct sqlite_queue *s = t->s;
    on_done(user, r, result);
    if (r >= 0 && s) {
        wake(s);
    }
}

static void ask_enqueue(void *user, struct queue_call *call, const struct job *job)
{
    struct sqlite_queue *s = user;
    struct task *t = task_new(s, call, run_put);
    t->id = mem_strdup(job->id);
    t->target = job->target ? mem_strdup(job->target) : NULL;
    t->due = MAX(job->not_before, t->now);
    t->max = s->config.max;
    job_write(job, &t->body);
    if (t->body.len > JOB_BODY_MAX) {
        t->state = -EFBIG;
        loop_timer_start(t->timer, 0);
        return;
    }
    submit(t, on_put);
}

/* ---- out ---- */

static int take_delivery(void *user, const struct store_job *from)
{
    struct task *t = user;
    struct queue_delivery d = {.deliveries = from->deliveries};
    struct error err = {0};
    if (job_read(&d.job, from->body, &err) < 0) {
        /* Nobody can read it; its lease ends, and people find it by its age. Written by us, so it is a damaged file. */
        return 0;
    }
    d.receipt = mem_printf("%lld-%lld", (long long)from->seq, (long long)from->lease);
    t->deliveries.items =
        mem_realloc(t->deliveries.items, (t->deliveries.len + 1) * sizeof(*t->deliveries.items));
    t->deliveries.items[t->deliveries.len++] = d;
    return 0;
}

static int run_claim(struct task *t, struct store_db *db, struct error *err)
{
    int r = store_jobs_claim(db, t->queue, t->consumer, t->limit, t->now, t->until, take_delivery,
                             t, err);
    if (r >= 0 && t->deliveries.len == 0) {
        r = store_jobs_next(db, t->queue, t->consumer, &t->next, err);
    }
    return r;
}

static void claim_now(struct task *t);

static void on_look(void *user)
{
    struct task *t = user;
    if (t->hurried || clock_mono_ns() >= t->give_up_ns) {
        answer(t, 0, NULL);
    } else {
        claim_now(t);
    }
}

static void on_claimed(void *user, int r, const struct store_result *result)
{
    struct task *t = user;
    t->op = NULL;
    if (!t->s) {
        task_free(t); /* what it got comes back when the lease ends */
        return;
    }
    int64_t left = t->give_up_ns - clock_mono_ns();
    if (r < 0 || t->deliveries.len > 0 || t->hurried || left <= 0) {
        answer(t, r, &result->err);
        return;
    }
    int64_t next = t->next ? MAX(t->next - clock_wall_ns(), INT64_C(0)) : left;
    t->timer = loop_timer_free(t->timer);
    t->timer = loop_timer_new(t->s->config.control, on_look, t);
    loop_timer_start(t->timer, (uint64_t)(MIN(next, left) / NS_PER_MS) + LOOK_AT_LEAST_MS);
    list_remove(&t->node);
    list_append(&t->s->waiting, &t->node);
}

static void claim_now(struct task *t)
{
    list_remove(&t->node);
    list_append(&t->s->tasks, &t->node);
    t->timer = loop_timer_free(t->timer);
    t->timer = loop_timer_new(t->s->config.control, on_refused, t);
    t->now = clock_wall_ns();
    t->until = t->now + (int64_t)t->lease_ms * NS_PER_MS;
    submit(t, on_claimed);
}

/* Something was put: who waits looks again. */
static void wake(struct sqlite_queue *s)
{
    LIST_FOREACH_SAFE (it, &s->waiting) {
        claim_now(LIST_ENTRY(it, struct task, node));
    }
}

static void ask_claim(void *user, struct queue_call *call, const char *consumer, unsigned max,
                      unsigned block_ms, unsigned lease_ms)
{
    struct sqlite_queue *s = user;
    struct task *t = task_new(s, call, run_claim);
    t->consumer = mem_strdup(consumer);
    t->limit = max;
    t->lease_ms = lease_ms;
    t->give_up_ns = clock_mono_ns() + (int64_t)block_ms * NS_PER_MS;
    claim_now(t);
}

static void hurry(void *user, struct queue_call *call)
{
    struct task *t = queue_call_own(call);
    t->hurried = true;
    if (!t->op && loop_timer_active(t->timer)) {
        loop_timer_start(t->timer, 0);
    }
}

/* ---- in a worker's hands ---- */

static int parse_receipt(struct task *t, const char *receipt, struct error *err)
{
    long long seq;
    long long lease;
    int end = 0;
    if (sscanf(receipt, "%lld-%lld%n", &seq, &lease, &end) != 2 || receipt[end]) {
        return error_set(err, -ESTALE, "receipt", "this is no receipt of this queue");
    }
    t->seq = seq;
    t->lease = lease;
    return 0;
}

static int run_extend(struct task *t, struct store_db *db, struct error *err)
{
    int r = parse_receipt(t, t->id, err);
    return r < 0 ? r
                 : store_job_extend(db, t->queue, t->consumer, t->seq, t->lease, t->now, t->until,
                                    err);
}

static void ask_extend(void *user, struct queue_call *call, const char *consumer,
                       const char *receipt, unsigned lease_ms)
{
    struct task *t = task_new(user, call, run_extend);
    t->consumer = mem_strdup(consumer);
    t->id = mem_strdup(receipt);
    t->until = t->now + (int64_t)lease_ms * NS_PER_MS;
    submit(t, on_done);
}

static int take_owner(void *user, const struct store_owner *o)
{
    struct task *t = user;
    owner_done(&t->found);
    t->found = (struct queue_owner){.broadcast_id = mem_strdup(o->broadcast_id),
                                    .worker = mem_strdup(o->worker),
                                    .expires_at = o->expires_ns,
                                    .payload = *o->payload ? mem_strdup(o->payload) : NULL};
    t->owned = true;
    return 0;
}

static int put_owner(struct task *t, struct store_db *db, struct error *err)
{
    const struct store_owner o = {.broadcast_id = t->owner.broadcast_id,
                                  .worker = t->owner.worker,
                                  .expires_ns = t->owner.expires_at,
                                  .payload = t->owner.payload};
    int r = store_owner_put(db, t->queue, &o, t->now, err);
    if (r == -EBUSY) {
        (void)store_owner_get(db, t->queue, o.broadcast_id, t->now, take_owner, t, NULL);
    }
    return r;
}

static int run_settle(struct task *t, struct store_db *db, struct error *err)
{
    int r = parse_receipt(t, t->id, err);
    if (r >= 0 && t->owns) {
        r = put_owner(t, db, err);
    }
    if (r < 0) {
        return r;
    }
    switch (t->outcome) {
    case QUEUE_DONE:
        return store_job_end(db, t->queue, t->seq, t->lease, JOB_DONE, BYTES(NULL, 0), t->now, err);
    case QUEUE_DEAD:
        return store_job_end(db, t->queue, t->seq, t->lease, JOB_DEAD, out_view(&t->body), t->now,
                             err);
    case QUEUE_RETRY:
        return store_job_requeue(db, t->queue, t->seq, t->lease, t->target, t->due,
                                 out_view(&t->body), err);
    default:
        return store_job_requeue(db, t->queue, t->seq, t->lease, NULL, t->now, BYTES(NULL, 0), err);
    }
}

static int run_prune(struct task *t, struct store_db *db, struct error *err)
{
    int r = store_jobs_prune(db, t->queue, t->due, t->max, err);
    return MIN(r, 0);
}

static void on_pruned(void *user, int r, const struct store_result *result)
{
    struct task *t = user;
    t->op = NULL;
    task_free(t);
}

static void prune(struct sqlite_queue *s)
{
    struct task *t = mem_new(struct task);
    t->s = s;
    t->run = run_prune;
    t->queue = mem_strdup(s->name);
    t->due = clock_wall_ns() - s->config.keep_ns;
    t->max = s->config.keep;
    list_append(&s->tasks, &t->node);
    t->op = store_op_task(run_task, t, NULL);
    if (store_submit(s->config.store, s->config.control, t->op, on_pruned, t) < 0) {
        task_free(t);
    }
}

static void on_settled(void *user, int r, const struct store_result *result)
{
    struct task *t = user;
    struct sqlite_queue *s = t->s;
    bool back = t->outcome == QUEUE_RETRY || t->outcome == QUEUE_RELEASE;
    on_done(user, r, result);
    if (r < 0 || !s) {
        return;
    }
    if (back) {
        wake(s);
    } else if (++s->ended >= PRUNE_EACH) {
        s->ended = 0;
        prune(s);
    }
}

static void copy_owner(struct queue_owner *ret, const struct queue_owner *o)
{
    *ret = (struct queue_owner){.broadcast_id = mem_strdup(o->broadcast_id),
                                .worker = mem_strdup(o->worker),
                                .expires_at = o->expires_at,
                                .payload = o->payload ? mem_strdup(o->payload) : NULL};
}

static void ask_settle(void *user, struct queue_call *call, const char *receipt,
                       const struct queue_settle *how)
{
    struct task *t = task_new(user, call, run_settle);
    t->id = mem_strdup(receipt);
    t->outcome = how->outcome;
    t->owns = how->outcome == QUEUE_DONE && how->owner;
    if (t->owns) {
        copy_owner(&t->owner, how->owner);
    }
    if (how->outcome == QUEUE_RETRY || how->outcome == QUEUE_DEAD) {
        job_write(how->job, &t->body);
        t->target = how->job->target ? mem_strdup(how->job->target) : NULL;
        t->due = MAX(how->job->not_before, t->now);
    }
    submit(t, on_settled);
}

/* ---- by people ---- */

static int take_consumer(void *user, const char *name, int64_t claimed, int64_t seen_ns)
{
    struct task *t = user;
    struct queue_stats *st = &t->stats;
    st->consumers.items =
        mem_realloc(st->consumers.items, (st->consumers.len + 1) * sizeof(*st->consumers.items));
    st->consumers.items[st->consumers.len++] = (struct queue_consumer){
        .name = mem_strdup(name), .claimed = (unsigned)claimed, .seen_at = seen_ns};
    return 0;
}

static int run_stats(struct task *t, struct store_db *db, struct error *err)
{
    struct store_job_counts c;
    int r = store_jobs_count(db, t->queue, t->now, &c, err);
    if (r < 0) {
        return r;
    }
    t->stats.scheduled = c.scheduled;
    t->stats.ready = c.n[JOB_QUEUED] - c.scheduled;
    t->stats.claimed = c.n[JOB_CLAIMED];
    t->stats.dead = c.n[JOB_DEAD];
    t->stats.lag = t->stats.ready + c.lapsed;
    t->stats.oldest_at = c.oldest_ns;
    return store_jobs_consumers(db, t->queue, t->now - CONSUMER_NS, take_consumer, t, err);
}

static void ask_stats(void *user, struct queue_call *call)
{
    submit(task_new(user, call, run_stats), on_done);
}

static int take_entry(void *user, const struct store_job *from)
{
    struct task *t = user;
    struct queue_entry e = {.state = from->state, .ended_at = from->ended_ns};
    if (t->entries.len == t->limit || (t->bytes > 0 && t->bytes + from->body.len > ANSWER_MAX)) {
        t->more = true;
        return -ENODATA;
    }
    if (job_read(&e.job, from->body, NULL) < 0) {
        return 0;
    }
    t->bytes += from->body.len;
    e.consumer = from->consumer && *from->consumer ? mem_strdup(from->consumer) : NULL;
    e.cursor = mem_printf("%lld", (long long)from->seq);
    t->entries.items =
        mem_realloc(t->entries.items, (t->entries.len + 1) * sizeof(*t->entries.items));
    t->entries.items[t->entries.len++] = e;
    return 0;
}

static int run_list(struct task *t, struct store_db *db, struct error *err)
{
    int r = store_jobs_list(db, t->queue, t->state, t->seq, t->limit + 1, take_entry, t, err);
    return r == -ENODATA ? 0 : r;
}

static void ask_list(void *user, struct queue_call *call, int state, const char *after,
                     unsigned limit)
{
    struct task *t = task_new(user, call, run_list);
    t->state = state;
    t->seq = strtoll(after, NULL, 10);
    t->limit = limit;
    submit(t, on_done);
}

static int run_get(struct task *t, struct store_db *db, struct error *err)
{
    t->limit = 1;
    return store_job_get(db, t->queue, t->id, take_entry, t, err);
}

static void ask_get(void *user, struct queue_call *call, const char *id)
{
    struct task *t = task_new(user, call, run_get);
    t->id = mem_strdup(id);
    submit(t, on_done);
}

static int run_cancel(struct task *t, struct store_db *db, struct error *err)
{
    return store_job_move(db, t->queue, t->id, 1u << JOB_QUEUED, JOB_CANCELLED, BYTES(NULL, 0),
                          t->now, err);
}

static void ask_cancel(void *user, struct queue_call *call, const char *id)
{
    struct task *t = task_new(user, call, run_cancel);
    t->id = mem_strdup(id);
    submit(t, on_done);
}

/* As a new one: its attempts count from the beginning. */
static int run_retry(struct task *t, struct store_db *db, struct error *err)
{
    int r = run_get(t, db, err);
    if (r < 0 || t->entries.len == 0) {
        return r < 0 ? r : error_set(err, -EBADMSG, t->id, "this job cannot be read");
    }
    struct job *job = &t->entries.items[0].job;
    job->attempts = 0;
    job->not_before = 0;
    job_write(job, &t->body);
    return store_job_move(db, t->queue, t->id, 1u << JOB_DEAD | 1u << JOB_CANCELLED, JOB_QUEUED,
                          out_view(&t->body), t->now, err);
}

static void ask_retry(void *user, struct queue_call *call, const char *id)
{
    struct task *t = task_new(user, call, run_retry);
    t->id = mem_strdup(id);
    submit(t, on_put);
}

/* ---- who owns a broadcast ---- */

static int run_own(struct task *t, struct store_db *db, struct error *err)
{
    return put_owner(t, db, err);
}

static void ask_own(void *user, struct queue_call *call, const struct queue_owner *owner)
{
    struct task *t = task_new(user, call, run_own);
    copy_owner(&t->owner, owner);
    submit(t, on_done);
}

static int run_disown(struct task *t, struct store_db *db, struct error *err)
{
    return MIN(store_owner_drop(db, t->queue, t->id, t->consumer, err), 0);
}

static void ask_disown(void *user, struct queue_call *call, const char *broadcast_id,
                       const char *worker)
{
    struct task *t = task_new(user, call, run_disown);
    t->id = mem_strdup(broadcast_id);
    t->consumer = mem_strdup(worker);
    submit(t, on_done);
}

static int run_owner(struct task *t, struct store_db *db, struct error *err)
{
    return store_owner_get(db, t->queue, t->id, t->now, take_owner, t, err);
}

static void ask_owner(void *user, struct queue_call *call, const char *broadcast_id)
{
    struct task *t = task_new(user, call, run_owner);
    t->id = mem_strdup(broadcast_id);
    submit(t, on_done);
}

/* The job that has another worker take the broadcast over. */
struct reaping {
    struct task *t;
    struct store_db *db;
    struct error *err;
};

static int adopt(void *user, const struct store_owner *o)
{
    struct reaping *g = user;
    struct task *t = g->t;
    char id[JOB_ID_MAX];
    _cleanup_(out_done) struct out body = {0};
    struct job job;
    model_init(&job_model, &job);
    job.id = mem_strdup(job_new_id(id));
    job.kind = mem_strdup("adopt_broadcast");
    job.broadcast_id = mem_strdup(o->broadcast_id);
    job.payload = *o->payload ? mem_strdup(o->payload) : NULL;
    job.created_at = t->now;
    job_write(&job, &body);
    int r = store_job_put(g->db, t->queue, id, NULL, t->now, out_view(&body), INT64_MAX, g->err);
    model_done(&job_model, &job);
    t->n += r >= 0;
    return r;
}

static int run_reap(struct task *t, struct store_db *db, struct error *err)
{
    struct reaping g = {t, db, err};
    return store_owners_reap(db, t->queue, t->now, adopt, &g, err);
}

static void ask_reap(void *user, struct queue_call *call)
{
    submit(task_new(user, call, run_reap), on_put);
}

/* ---- the queue ---- */

static void let_go(struct list *l)
{
    while (!list_empty(l)) {
        struct task *t = LIST_ENTRY(l->next, struct task, node);
        list_remove(&t->node);
        t->s = NULL;
        if (!t->op) {
            task_free(t); /* else when the store is through with it */
        }
    }
}

static void sqlite_free(void *user)
{
    struct sqlite_queue *s = user;
    let_go(&s->tasks);
    let_go(&s->waiting);
    free(s->name);
    free(s);
}

static const struct queue_ops ops = {
    .kind = "sqlite",
    .enqueue = ask_enqueue,
    .claim = ask_claim,
    .extend = ask_extend,
    .settle = ask_settle,
    .stats = ask_stats,
    .list = ask_list,
    .get = ask_get,
    .cancel = ask_cancel,
    .retry = ask_retry,
    .own = ask_own,
    .disown = ask_disown,
    .owner = ask_owner,
    .reap = ask_reap,
    .hurry = hurry,
    .free = sqlite_free,
};

struct queue *queue_sqlite_new(const struct queue_sqlite_config *config)
{
    struct sqlite_queue *s = mem_new(struct sqlite_queue);
    s->config = *config;
    s->config.max = config->max ? config->max : MAX_JOBS;
    s->config.keep = config->keep ? config->keep : KEEP;
    s->config.keep_ns = config->keep_ns ? config->keep_ns : KEEP_NS;
    s->name = mem_strdup(config->name ? config->name : "default");
    list_init(&s->tasks);
    list_init(&s->waiting);
    return queue_new(config->control, &ops, s);
}
