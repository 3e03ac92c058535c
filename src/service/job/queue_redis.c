/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each question is a script (queue_redis_scripts.c). Claims that find nothing wait here: a second connection blocks on the
 * streams (XREAD, for all of them) and says when to ask again; timers do for what becomes due.
 */
#include "service/job/queue_redis.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/url.h"
#include "service/job/queue_redis_scripts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

LOG_TOPIC(topic, "queue.redis");

#define MAX_JOBS   INT64_C(10000000)
#define KEEP       INT64_C(1000)
#define KEEP_DEAD  INT64_C(100000)
#define ANSWER_MAX "8388608" /* bytes of bodies in one answer, but one body always */
#define CONSUMER_MS                                                                                \
    INT64_C(3600000) /* one that was not seen for so long, and has nothing, is not told */
#define BLOCK_MS   "5000"
#define BLOCK_MS_N 5000u
#define TROUBLE_MS 1000u /* after an error of a blocking read, before the next */
#define LOOK_MS    10u
#define ARGS_MAX   112
#define REAP_IDS   100
#define STREAM_MAX 128
#define TIME_MAX   INT64_C(10000000000000) /* ms; what is further away is as far */

struct ask;

struct redis_queue {
    struct queue_redis_config config;
    char *stream;
    char *wake; /* the key that is written when something else than the stream changes */
    char *group;
    struct redis *redis;
    struct redis *blocking;
    struct list asks;    /* at Redis */
    struct list waiting; /* claims that found nothing */
    bool listening;
    char last[2][48]; /* entry ids: what the newest claim saw of stream and wake */
    struct loop_timer *trouble;
};

/* One question. */
struct ask {
    struct list node;
    struct redis_queue *q;
    struct queue_call *call;
    struct redis_call *at_redis;
    int (*take)(struct ask *a, const struct redis_reply *reply, struct error *err);
    /* The arguments; kept for claims, which ask more than once. */
    struct redis_script *script;
    char *args[ARGS_MAX];
    struct out body;
    unsigned n_args;
    unsigned body_at; /* its place in args; 0 = none */
    /* Of a claim. */
    bool claims, hurried;
    struct loop_timer *timer;
    int64_t give_up_ns;
    /* Of a retry: the first half. */
    char *id;
    /* The answer. */
    MODEL_ARRAY(struct queue_delivery) deliveries;
    MODEL_ARRAY(struct queue_entry) entries;
    bool more, owned;
    struct queue_owner found;
    char *about; /* whose owner is asked for */
    struct queue_stats stats;
    unsigned n;
    int64_t due_ms;
};

static void ask_done(struct ask *a)
{
    for (size_t i = 0; i < a->deliveries.len; i++) {
        model_done(&job_model, &a->deliveries.items[i].job);
        free(a->deliveries.items[i].receipt);
    }
    for (size_t i = 0; i < a->entries.len; i++) {
        model_done(&job_model, &a->entries.items[i].job);
        free(a->entries.items[i].consumer);
        free(a->entries.items[i].cursor);
    }
    free(TAKE_PTR(a->deliveries.items));
    free(TAKE_PTR(a->entries.items));
    a->deliveries.len = a->entries.len = 0;
}

static void ask_free(struct ask *a)
{
    ask_done(a);
    list_remove(&a->node);
    redis_forget(a->at_redis);
    loop_timer_free(a->timer);
    for (unsigned i = 0; i < a->n_args; i++) {
        free(a->args[i]);
    }
    out_done(&a->body);
    free(a->found.worker);
    free(a->found.payload);
    free(a->about);
    free(a->id);
    model_done(&queue_stats_model, &a->stats);
    free(a);
}

static void answer(struct ask *a, int r, const struct error *err)
{
    a->found.broadcast_id = a->about;
    struct queue_result result = {
        .deliveries = a->deliveries.items,
        .n_deliveries = (unsigned)a->deliveries.len,
        .entries = a->entries.items,
        .n_entries = (unsigned)a->entries.len,
        .more = a->more,
        .stats = &a->stats,
        .owner = a->owned ? &a->found : NULL,
        .n = a->n,
    };
    if (r < 0 && err) {
        result.err = *err;
    }
    list_remove(&a->node); /* the asker may free the queue */
    queue_answer(a->call, r, &result);
    ask_free(a);
}

/* ---- asking ---- */

static void add_text(struct ask *a, const char *text)
{
    a->args[a->n_args++] = mem_strdup(text ? text : "");
}

static void add_int(struct ask *a, int64_t v)
{
    a->args[a->n_args++] = mem_printf("%lld", (long long)v);
}

/* Times in a script are by Redis' clock: what is sent is how long from now. */
static int64_t ms_from_now(int64_t wall_ns)
{
    int64_t now = clock_wall_ns();
    return wall_ns <= now ? 0 : MIN((wall_ns - now) / NS_PER_MS + 1, TIME_MAX);
}

static void add_body(struct ask *a)
{
    a->body_at = a->n_args;
    add_text(a, "");
}

static struct ask *
ask_new(struct redis_queue *q, struct queue_call *call, struct redis_script *script,
        int (*take)(struct ask *a, const struct redis_reply *reply, struct error *err))
{
    struct ask *a = mem_new(struct ask);
    a->q = q;
    a->call = call;
    a->script = script;
    a->take = take;
    queue_call_set(call, a);
    list_append(&q->asks, &a->node);
    add_text(a, q->stream);
    add_text(a, q->group);
    return a;
}

/* What a script answers when it does not do it. */
static int refusal(const char *word, struct error *err)
{
    static const struct {
        const char *word;
        int r;
        const char *text;
    } known[] = {
        {"stale", -ESTALE, "the lease has ended"},
        {"busy", -EBUSY, "a worker has it"},
        {"exists", -EEXIST, "a job with this id is there already"},
        {"full", -ENOSPC, "the queue is full"},
        {"missing", -ENOENT, "there is no such job"},
        {"ended", -EALREADY, "the job has ended"},
    };
    for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(word, known[i].word) == 0) {
            return error_set(err, known[i].r, "", "%s", known[i].text);
        }
    }
    return error_set(err, -EREMOTEIO, "", "Redis gave an answer that is none");
}

static int take_nothing(struct ask *a, const struct redis_reply *reply, struct error *err)
{
    return 0;
}

/* word, worker, ms, payload */
static void take_found(struct ask *a, const struct redis_reply *reply)
{
    const char *payload = redis_item(reply, 3)->text;
    a->owned = true;
    a->found.worker = mem_strdup(redis_item(reply, 1)->text);
    a->found.expires_at = clock_wall_ns() + redis_int(redis_item(reply, 2), 0) * NS_PER_MS;
    a->found.payload = *payload ? mem_strdup(payload) : NULL;
}

static void on_answer(void *user, int r, const struct redis_reply *reply, const struct error *err)
{
    struct ask *a = user;
    struct error mine = *err;
    a->at_redis = NULL;
    if (r >= 0) {
        const char *word = redis_item(reply, 0)->text;
        if (strcmp(word, "ok") == 0) {
            r = a->take(a, reply, &mine);
        } else {
            r = refusal(word, &mine);
            if (r == -EBUSY && reply->n == 4) {
                take_found(a, reply); /* with who has it */
            }
        }
    }
    if (r != -EINPROGRESS) {
        answer(a, r, &mine);
    }
}

static void submit(struct ask *a)
{
    struct bytes args[ARGS_MAX];
    for (unsigned i = 0; i < a->n_args; i++) {
        args[i] = a->body_at && i == a->body_at ? out_view(&a->body) : BYTES_STR(a->args[i]);
    }
    a->at_redis = redis_eval(a->q->redis, a->script, 1, args, a->n_args, on_answer, a);
}

static int read_job(const struct redis_reply *body, struct job *ret)
{
    return job_read(ret, BYTES(body->text, body->len), NULL);
}

/* ---- in ---- */

static void on_too_large(void *user)
{
    struct error err = {0};
    answer(user, error_set(&err, -EFBIG, "", "an envelope has at most %d bytes", JOB_BODY_MAX),
           &err);
}

static void ask_enqueue(void *user, struct queue_call *call, const struct job *job)
{
    struct redis_queue *q = user;
    struct ask *a = ask_new(q, call, &queue_redis_enqueue, take_nothing);
    job_write(job, &a->body);
    if (a->body.len > JOB_BODY_MAX) {
        a->timer = loop_timer_new(q->config.control, on_too_large, a);
        loop_timer_start(a->timer, 0);
        return;
    }
    add_text(a, job->id);
    add_text(a, job->target);
    add_int(a, ms_from_now(job->not_before));
    add_int(a, q->config.max);
    add_body(a);
    submit(a);
}

/* ---- out ---- */

static void listen_on(struct redis_queue *q);

/* Nobody can read it: it is dead as it stands. */
static void bury(struct redis_queue *q, const char *id, const char *entry)
{
    char keep_dead[24];
    snprintf(keep_dead, sizeof(keep_dead), "%lld", (long long)q->config.keep_dead);
    const struct bytes args[] = {
        BYTES_STR(q->stream), BYTES_STR(q->group),  BYTES_STR(id), BYTES_STR(entry),
        BYTES_STR("dead"),    BYTES_STR("0"),       BYTES_STR(""), BYTES_STR(""),
        BYTES_STR("0"),       BYTES_STR(keep_dead), BYTES_STR(""), BYTES_STR(""),
        BYTES_STR("0"),
    };
    log_warn("job %.*s cannot be read: dead", JOB_ID_MAX, id);
    redis_eval(q->redis, &queue_redis_settle, 1, args, sizeof(args) / sizeof(args[0]), NULL, NULL);
}

static void take_delivery(struct ask *a, const struct redis_reply *from)
{
    struct queue_delivery d = {.deliveries = (unsigned)redis_int(redis_item(from, 2), 1)};
    const char *id = redis_item(from, 0)->text;
    const char *entry = redis_item(from, 1)->text;
    if (read_job(redis_item(from, 3), &d.job) < 0) {
        bury(a->q, id, entry);
        return;
    }
    d.receipt = mem_printf("%s:%s", entry, id);
    a->deliveries.items =
        mem_realloc(a->deliveries.items, (a->deliveries.len + 1) * sizeof(*a->deliveries.items));
    a->deliveries.items[a->deliveries.len++] = d;
}

static void claim_now(struct ask *a)
{
    list_remove(&a->node);
    list_append(&a->q->asks, &a->node);
    loop_timer_stop(a->timer);
    submit(a);
}

static void on_look(void *user)
{
    struct ask *a = user;
    if (a->hurried || clock_mono_ns() >= a->give_up_ns) {
        answer(a, 0, NULL);
    } else {
        claim_now(a);
    }
}

static int take_claim(struct ask *a, const struct redis_reply *reply, struct error *err)
{
    struct redis_queue *q = a->q;
    const struct redis_reply *jobs = redis_item(reply, 1);
    for (unsigned i = 0; i < jobs->n; i++) {
        take_delivery(a, redis_item(jobs, i));
    }
    int64_t left = a->give_up_ns - clock_mono_ns();
    if (a->deliveries.len > 0 || a->hurried || left <= 0) {
        return 0;
    }
    int64_t due = redis_int(redis_item(reply, 2), -1);
    int64_t wait = due >= 0 ? MIN(due * NS_PER_MS, left) : left;
    for (unsigned i = 0; i < 2; i++) {
        snprintf(q->last[i], sizeof(q->last[i]), "%s", redis_item(reply, 3 + i)->text);
    }
    list_remove(&a->node);
    list_append(&q->waiting, &a->node);
    loop_timer_start(a->timer, (uint64_t)(wait / NS_PER_MS) + LOOK_MS);
    listen_on(q);
    return -EINPROGRESS;
}

static void ask_claim(void *user, struct queue_call *call, const char *consumer, unsigned max,
                      unsigned block_ms, unsigned lease_ms)
{
    struct redis_queue *q = user;
    struct ask *a = ask_new(q, call, &queue_redis_claim, take_claim);
    a->claims = true;
    a->timer = loop_timer_new(q->config.control, on_look, a);
    a->give_up_ns = clock_mono_ns() + (int64_t)block_ms * NS_PER_MS;
    add_text(a, consumer);
    add_int(a, max);
    add_int(a, lease_ms);
    add_text(a, ANSWER_MAX);
    add_int(a, q->config.keep_dead);
    submit(a);
}

static void hurry(void *user, struct queue_call *call)
{
    struct ask *a = queue_call_own(call);
    a->hurried = true;
    if (!a->at_redis) {
        loop_timer_start(a->timer, 0);
    }
}

/* ---- waiting ---- */

/* Those who wait ask again. */
static void wake_all(struct redis_queue *q)
{
    LIST_FOREACH_SAFE (it, &q->waiting) {
        claim_now(LIST_ENTRY(it, struct ask, node));
    }
}

static void on_listened(void *user, int r, const struct redis_reply *reply, const struct error *err)
{
    struct redis_queue *q = user;
    q->listening = false;
    if (r < 0) {
        loop_timer_start(q->trouble, TROUBLE_MS);
    } else {
        wake_all(q); /* in any case: a stream that was made anew may have smaller ids */
    }
}

static void on_trouble(void *user)
{
    wake_all(user);
}

static void listen_on(struct redis_queue *q)
{
    if (q->listening || list_empty(&q->waiting) || loop_timer_active(q->trouble)) {
        return;
    }
    const struct bytes args[] = {
        BYTES_STR("XREAD"),    BYTES_STR("COUNT"),    BYTES_STR("1"),       BYTES_STR("BLOCK"),
        BYTES_STR(BLOCK_MS),   BYTES_STR("STREAMS"),  BYTES_STR(q->stream), BYTES_STR(q->wake),
        BYTES_STR(q->last[0]), BYTES_STR(q->last[1]),
    };
    q->listening = true;
    redis_command(q->blocking, args, sizeof(args) / sizeof(args[0]), BLOCK_MS_N, on_listened, q);
}

/* Without Redis nobody waits for what it has. */
static void on_state(void *user, enum redis_state state, const struct error *err)
{
    struct redis_queue *q = user;
    if (state != REDIS_WAITING) {
        return;
    }
    LIST_FOREACH (it, &q->waiting) {
        struct ask *a = LIST_ENTRY(it, struct ask, node);
        loop_timer_start(a->timer, 0); /* it asks, and is told */
    }
}

/* ---- in a worker's hands ---- */

/* "entry:id" */
static void add_receipt(struct ask *a, const char *receipt)
{
    const char *colon = strchr(receipt, ':');
    size_t n = colon ? (size_t)(colon - receipt) : 0;
    add_text(a, colon ? colon + 1 : "");
    a->args[a->n_args++] = mem_strndup(n > 0 ? receipt : "-", n > 0 ? n : 1);
}

static void ask_extend(void *user, struct queue_call *call, const char *consumer,
                       const char *receipt, unsigned lease_ms)
{
    struct ask *a = ask_new(user, call, &queue_redis_extend, take_nothing);
    add_text(a, consumer);
    add_receipt(a, receipt);
    add_int(a, lease_ms);
    submit(a);
}

static void add_owner(struct ask *a, const struct queue_owner *owner)
{
    add_text(a, owner ? owner->broadcast_id : "");
    add_text(a, owner ? owner->worker : "");
    add_int(a, owner ? ms_from_now(owner->expires_at) : 0);
    add_text(a, owner ? owner->payload : "");
    a->about = owner ? mem_strdup(owner->broadcast_id) : NULL;
}

static void ask_settle(void *user, struct queue_call *call, const char *receipt,
                       const struct queue_settle *how)
{
    static const char *const names[] = {[QUEUE_DONE] = "done",
                                        [QUEUE_RETRY] = "retry",
                                        [QUEUE_DEAD] = "dead",
                                        [QUEUE_RELEASE] = "release"};
    struct redis_queue *q = user;
    struct ask *a = ask_new(q, call, &queue_redis_settle, take_nothing);
    bool again = how->outcome == QUEUE_RETRY;
    add_receipt(a, receipt);
    add_text(a, names[how->outcome]);
    add_int(a, again ? ms_from_now(how->job->not_before) : 0);
    add_text(a, again ? how->job->target : "");
    add_body(a);
    if (again || how->outcome == QUEUE_DEAD) {
        job_write(how->job, &a->body);
    }
    add_int(a, q->config.keep);
    add_int(a, q->config.keep_dead);
    add_owner(a, how->outcome == QUEUE_DONE ? how->owner : NULL);
    submit(a);
}

/* ---- looking ---- */

static int take_stats(struct ask *a, const struct redis_reply *reply, struct error *err)
{
    struct queue_stats *s = &a->stats;
    int64_t n[8];
    for (unsigned i = 1; i < 8; i++) {
        n[i] = redis_int(redis_item(reply, i), -1);
    }
    /* waiting in the streams, due, delayed, claimed, of ended leases, dead, oldest */
    s->ready = n[1] < 0 ? -1 : n[1] + n[2];
    s->scheduled = n[3] - n[2];
    s->claimed = n[4];
    s->dead = n[6];
    s->lag = n[1] < 0 ? -1 : s->ready + n[5];
    s->oldest_at = MAX(n[7], INT64_C(0)) * NS_PER_MS;
    const struct redis_reply *consumers = redis_item(reply, 8);
    s->consumers.items = mem_new_array(struct queue_consumer, consumers->n + 1);
    int64_t now = clock_wall_ns();
    for (unsigned i = 0; i < consumers->n; i++) {
        const struct redis_reply *c = redis_item(consumers, i);
        int64_t claimed = redis_int(redis_item(c, 1), 0);
        int64_t seen = redis_int(redis_item(c, 2), 0) * NS_PER_MS;
        if (claimed == 0 && seen < now - CONSUMER_MS * NS_PER_MS) {
            continue;
        }
        s->consumers.items[s->consumers.len++] =
            (struct queue_consumer){.name = mem_strdup(redis_item(c, 0)->text),
                                    .claimed = (unsigned)claimed,
                                    .seen_at = seen};
    }
    return 0;
}

static void ask_stats(void *user, struct queue_call *call)
{
    struct ask *a = ask_new(user, call, &queue_redis_stats, take_stats);
    struct queue_stats *s = &a->stats;
    s->ready = s->scheduled = s->claimed = s->dead = s->lag = -1;
    submit(a);
}

static int take_entries(struct ask *a, const struct redis_reply *reply, struct error *err)
{
    const struct redis_reply *entries = redis_item(reply, 1);
    a->entries.items = mem_new_array(struct queue_entry, entries->n + 1);
    for (unsigned i = 0; i < entries->n; i++) {
        const struct redis_reply *from = redis_item(entries, i);
        struct queue_entry e = {0};
        int r = model_enum_value(job_state_names, redis_item(from, 1)->text, &e.state);
        if (r < 0 || read_job(redis_item(from, 0), &e.job) < 0) {
            continue; /* of a newer mast, or written by others */
        }
        const char *consumer = redis_item(from, 2)->text;
        e.consumer = *consumer ? mem_strdup(consumer) : NULL;
        e.ended_at = redis_int(redis_item(from, 3), 0) * NS_PER_MS;
        e.cursor = mem_strdup(redis_item(from, 4)->text);
        a->entries.items[a->entries.len++] = e;
    }
    a->more = redis_int(redis_item(reply, 2), 0) != 0;
    return 0;
}

static void ask_list(void *user, struct queue_call *call, int state, const char *after,
                     unsigned limit)
{
    struct ask *a = ask_new(user, call, &queue_redis_list, take_entries);
    add_text(a, state < 0 ? "*" : model_enum_name(job_state_names, state));
    add_int(a, strtoll(after, NULL, 10));
    add_int(a, limit);
    add_text(a, ANSWER_MAX);
    submit(a);
}

static void ask_get(void *user, struct queue_call *call, const char *id)
{
    struct ask *a = ask_new(user, call, &queue_redis_get, take_entries);
    add_text(a, id);
    submit(a);
}

static void ask_cancel(void *user, struct queue_call *call, const char *id)
{
    struct redis_queue *q = user;
    struct ask *a = ask_new(q, call, &queue_redis_cancel, take_nothing);
    add_text(a, id);
    add_int(a, q->config.keep);
    submit(a);
}

/* The second half of a retry: as a new one, if it is still the one that was read. */
static int take_to_retry(struct ask *a, const struct redis_reply *reply, struct error *err)
{
    const struct redis_reply *from = redis_item(redis_item(reply, 1), 0);
    struct job job;
    if (read_job(redis_item(from, 0), &job) < 0) {
        return error_set(err, -EBADMSG, a->id, "this job cannot be read");
    }
    job.attempts = 0;
    job.not_before = 0;
    job_write(&job, &a->body);
    model_done(&job_model, &job);
    a->script = &queue_redis_requeue;
    a->take = take_nothing;
    add_text(a, redis_item(from, 5)->text);
    add_body(a);
    submit(a);
    return -EINPROGRESS;
}

static void ask_retry(void *user, struct queue_call *call, const char *id)
{
    struct ask *a = ask_new(user, call, &queue_redis_get, take_to_retry);
    a->id = mem_strdup(id);
    add_text(a, id);
    submit(a);
}

/* ---- who owns a broadcast ---- */

static void ask_own(void *user, struct queue_call *call, const struct queue_owner *owner)
{
    struct ask *a = ask_new(user, call, &queue_redis_own, take_nothing);
    add_owner(a, owner);
    submit(a);
}

static void ask_disown(void *user, struct queue_call *call, const char *broadcast_id,
                       const char *worker)
{
    struct ask *a = ask_new(user, call, &queue_redis_disown, take_nothing);
    add_text(a, broadcast_id);
    add_text(a, worker);
    submit(a);
}

static int take_owner(struct ask *a, const struct redis_reply *reply, struct error *err)
{
    if (reply->n == 4) {
        take_found(a, reply);
    }
    return 0;
}

static void ask_owner(void *user, struct queue_call *call, const char *broadcast_id)
{
    struct ask *a = ask_new(user, call, &queue_redis_owner, take_owner);
    add_text(a, broadcast_id);
    a->about = mem_strdup(broadcast_id);
    submit(a);
}

static int take_reaped(struct ask *a, const struct redis_reply *reply, struct error *err)
{
    a->n = (unsigned)redis_int(redis_item(reply, 1), 0);
    return 0;
}

static void ask_reap(void *user, struct queue_call *call)
{
    struct ask *a = ask_new(user, call, &queue_redis_reap, take_reaped);
    struct job job;
    char id[JOB_ID_MAX];
    model_init(&job_model, &job);
    job.id = mem_strdup("@id@");
    job.kind = mem_strdup("adopt_broadcast");
    job.broadcast_id = mem_strdup("@broadcast@");
    job.payload = mem_strdup("@payload@"); /* what takes its place is JSON */
    job.created_at = clock_wall_ns();
    job_write(&job, &a->body);
    model_done(&job_model, &job);
    add_body(a);
    for (unsigned i = 0; i < REAP_IDS; i++) {
        add_text(a, job_new_id(id));
    }
    submit(a);
}

/* ---- the queue ---- */

static void redis_queue_free(void *user)
{
    struct redis_queue *q = user;
    struct list *all[] = {&q->asks, &q->waiting};
    for (unsigned i = 0; i < 2; i++) {
        while (!list_empty(all[i])) {
            ask_free(LIST_ENTRY(all[i]->next, struct ask, node));
        }
    }
    redis_free(q->redis);
    redis_free(q->blocking);
    loop_timer_free(q->trouble);
    free(q->stream);
    free(q->wake);
    free(q->group);
    free(q);
}

static const struct queue_ops ops = {
    .kind = "redis",
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
    .free = redis_queue_free,
};

/* A parameter of the URL; -EINVAL when it could not stand in a key. */
static int take_name(const struct url *u, const char *name, const char *otherwise, char **ret,
                     struct error *err)
{
    *ret = u->query ? url_query_get(u->query, name) : NULL;
    if (!*ret) {
        *ret = mem_strdup(otherwise);
    }
    size_t n = strlen(*ret);
    if (n == 0 || n > STREAM_MAX || strcspn(*ret, "{} ") != n) {
        return error_set(err, -EINVAL, name, "must have 1 to %d characters, no blanks, no braces",
                         STREAM_MAX);
    }
    return 0;
}

static int read_url(struct redis_queue *q, const char *text, struct error *err)
{
    _cleanup_(url_done) struct url u = {0};
    int r = url_parse(text, &u, err);
    if (r >= 0) {
        r = take_name(&u, "stream", "jobs", &q->stream, err);
    }
    return r < 0 ? r : take_name(&u, "group", "mast", &q->group, err);
}

static int connect_both(struct redis_queue *q, const char *url, struct error *err)
{
    struct redis_config how = {.loop = q->config.control,
                               .url = url,
                               .tls = q->config.tls,
                               .timeout_ms = q->config.timeout_ms,
                               .on_state = on_state,
                               .user = q};
    q->redis = redis_new(&how, err);
    if (!q->redis) {
        return err ? err->code : -EINVAL;
    }
    how.on_state = NULL;
    q->blocking = redis_new(&how, err);
    return 0;
}

struct queue *queue_redis_new(const struct queue_redis_config *config, struct error *err)
{
    struct redis_queue *q = mem_new(struct redis_queue);
    q->config = *config;
    q->config.url = NULL;
    q->config.max = config->max ? config->max : MAX_JOBS;
    q->config.keep = config->keep ? config->keep : KEEP;
    q->config.keep_dead = config->keep_dead ? config->keep_dead : KEEP_DEAD;
    list_init(&q->asks);
    list_init(&q->waiting);
    q->trouble = loop_timer_new(config->control, on_trouble, q);
    if (read_url(q, config->url, err) < 0 || connect_both(q, config->url, err) < 0) {
        redis_queue_free(q);
        return NULL;
    }
    q->wake = mem_printf("{%s}:wake", q->stream);
    return queue_new(config->control, &ops, q);
}
