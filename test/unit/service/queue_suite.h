/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What every queue of jobs must do, whoever keeps it. A test program makes a queue, hands it to these, and adds what is its
 * backend's own. Each test finds an empty queue.
 */
#include "../unit.h"

#include "../await.h"
#include "base/clock.h"
#include "base/mem.h"
#include "service/job/queue.h"

#include <errno.h>
#include <string.h>

struct suite {
    struct loop *l;
    struct queue *q;
    /* Of the last answer; copies. */
    int answers;
    int r;
    char text[512];
    char receipts[64][96];
    struct job jobs[64];
    unsigned deliveries[64];
    unsigned n_jobs;
    int states[64];
    char cursors[64][64];
    bool more;
    bool owned;
    char owner[64];
    int64_t ready, scheduled, claimed, dead, lag;
    unsigned consumers;
    unsigned n;
};

static inline void suite_forget(struct suite *s)
{
    for (unsigned i = 0; i < s->n_jobs; i++) {
        model_done(&job_model, &s->jobs[i]);
    }
    s->n_jobs = 0;
}

static inline void suite_on_answer(void *user, int r, const struct queue_result *res)
{
    struct suite *s = user;
    suite_forget(s);
    s->answers++;
    s->r = r;
    snprintf(s->text, sizeof(s->text), "%s", r < 0 ? res->err.text : "");
    for (unsigned i = 0; r >= 0 && i < res->n_deliveries; i++) {
        const struct queue_delivery *d = &res->deliveries[i];
        model_copy(&job_model, &s->jobs[s->n_jobs], &d->job);
        s->deliveries[s->n_jobs] = d->deliveries;
        snprintf(s->receipts[s->n_jobs++], sizeof(s->receipts[0]), "%s", d->receipt);
    }
    for (unsigned i = 0; r >= 0 && i < res->n_entries; i++) {
        const struct queue_entry *e = &res->entries[i];
        model_copy(&job_model, &s->jobs[s->n_jobs], &e->job);
        s->states[s->n_jobs] = e->state;
        snprintf(s->cursors[s->n_jobs++], sizeof(s->cursors[0]), "%s", e->cursor);
    }
    s->more = res->more;
    s->n = res->n;
    s->owned = res->owner != NULL;
    snprintf(s->owner, sizeof(s->owner), "%s", s->owned ? res->owner->worker : "");
    if (r >= 0 && res->stats) {
        const struct queue_stats *st = res->stats;
        s->ready = st->ready;
        s->scheduled = st->scheduled;
        s->claimed = st->claimed;
        s->dead = st->dead;
        s->lag = st->lag;
        s->consumers = (unsigned)st->consumers.len;
    }
}

/* Asks, and waits for the answer, which never comes inside the question. */
#define ASK(s, question, ...)                                                                      \
    ({                                                                                             \
        const int before_ = (s)->answers;                                                          \
        queue_##question((s)->q, __VA_ARGS__ __VA_OPT__(, ) suite_on_answer, (s));                 \
        assert_int_equal((s)->answers, before_);                                                   \
        RUN_UNTIL((s)->l, (s)->answers > before_);                                                 \
        (s)->r;                                                                                    \
    })

static inline struct job suite_job(const char *id, const char *kind)
{
    struct job j;
    model_init(&job_model, &j);
    j.id = mem_strdup(id);
    j.kind = mem_strdup(kind);
    j.payload = mem_strdup("{\"a\":[1,\"\xc3\xa9\"]}");
    j.created_at = clock_wall_ns();
    return j;
}

static inline int suite_put(struct suite *s, const char *id)
{
    struct job j = suite_job(id, "work");
    int r = ASK(s, enqueue, &j);
    model_done(&job_model, &j);
    return r;
}

static inline unsigned suite_claim(struct suite *s, const char *who, unsigned max,
                                   unsigned block_ms, unsigned lease_ms)
{
    assert_int_equal(ASK(s, claim, who, max, block_ms, lease_ms), 0);
    return s->n_jobs;
}

static inline int suite_settle(struct suite *s, unsigned i, enum queue_outcome outcome)
{
    const struct queue_settle how = {.outcome = outcome, .job = &s->jobs[i]};
    char receipt[96];
    snprintf(receipt, sizeof(receipt), "%s", s->receipts[i]);
    struct job copy;
    model_copy(&job_model, &copy, &s->jobs[i]);
    struct queue_settle mine = how;
    mine.job = &copy;
    int r = ASK(s, settle, receipt, &mine);
    model_done(&job_model, &copy);
    return r;
}

#define LEASE 60000

/* ---- the life of a job ---- */

static void suite_a_job_goes_through(struct suite *s)
{
    assert_int_equal(suite_put(s, "a"), 0);
    assert_int_equal(suite_put(s, "a"), -EEXIST);
    ASK(s, stats);
    assert_int_equal(s->ready, 1);
    assert_int_equal(s->lag, 1);
    assert_int_equal(suite_claim(s, "w1", 8, 0, LEASE), 1);
    assert_string_equal(s->jobs[0].id, "a");
    assert_string_equal(s->jobs[0].kind, "work");
    assert_string_equal(s->jobs[0].payload, "{\"a\":[1,\"\xc3\xa9\"]}");
    assert_int_equal(s->jobs[0].attempts, 0);
    assert_int_equal(s->jobs[0].max_attempts, JOB_ATTEMPTS);
    assert_int_equal(s->deliveries[0], 1);
    struct queue_settle done = {.outcome = QUEUE_DONE};
    char receipt[96];
    snprintf(receipt, sizeof(receipt), "%s", s->receipts[0]);
    ASK(s, stats);
    assert_int_equal(s->ready, 0);
    assert_int_equal(s->claimed, 1);
    assert_int_equal(s->lag, 0);
    assert_int_equal(s->consumers, 1);
    assert_int_equal(suite_claim(s, "w2", 8, 0, LEASE), 0);
    assert_int_equal(ASK(s, settle, receipt, &done), 0);
    assert_int_equal(ASK(s, settle, receipt, &done), -ESTALE);
    ASK(s, stats);
    assert_int_equal(s->claimed, 0);
    assert_int_equal(ASK(s, get, "a"), 0);
    assert_int_equal(s->states[0], JOB_DONE);
    assert_int_equal(ASK(s, get, "b"), -ENOENT);
}

static void suite_in_order_and_in_parts(struct suite *s)
{
    char id[16];
    for (int i = 0; i < 10; i++) {
        snprintf(id, sizeof(id), "j%d", i);
        assert_int_equal(suite_put(s, id), 0);
    }
    assert_int_equal(suite_claim(s, "w1", 4, 0, LEASE), 4);
    assert_string_equal(s->jobs[0].id, "j0");
    assert_string_equal(s->jobs[3].id, "j3");
    assert_int_equal(suite_claim(s, "w2", 32, 0, LEASE), 6);
    assert_string_equal(s->jobs[0].id, "j4");
    assert_string_equal(s->jobs[5].id, "j9");
}

static void suite_a_claim_waits(struct suite *s)
{
    int64_t begun = clock_mono_ns();
    assert_int_equal(suite_claim(s, "w1", 1, 150, LEASE), 0);
    assert_true(clock_mono_ns() - begun >= 150 * NS_PER_MS);
    const int before = s->answers;
    queue_claim(s->q, "w1", 1, 600000, LEASE, suite_on_answer, s);
    for (int i = 0; i < 5; i++) {
        loop_run_once(s->l, 5);
    }
    assert_int_equal(s->answers, before);
    struct job j = suite_job("late", "work");
    queue_enqueue(s->q, &j, NULL, NULL);
    model_done(&job_model, &j);
    RUN_UNTIL(s->l, s->answers > before);
    assert_int_equal(s->n_jobs, 1);
    assert_string_equal(s->jobs[0].id, "late");
}

/* ---- when workers fail ---- */

static void suite_a_lease_ends(struct suite *s)
{
    const struct queue_settle done = {.outcome = QUEUE_DONE};
    char old[96];
    assert_int_equal(suite_put(s, "a"), 0);
    assert_int_equal(suite_claim(s, "w1", 1, 0, 50), 1);
    snprintf(old, sizeof(old), "%s", s->receipts[0]);
    assert_int_equal(suite_claim(s, "w2", 1, 600000, LEASE), 1);
    assert_string_equal(s->jobs[0].id, "a");
    assert_int_equal(s->deliveries[0], 2);
    assert_string_not_equal(s->receipts[0], old);
    assert_int_equal(ASK(s, extend, "w1", old, LEASE), -ESTALE);
    assert_int_equal(ASK(s, settle, old, &done), -ESTALE);
    ASK(s, stats);
    assert_int_equal(s->claimed, 1);
}

static void suite_a_lease_goes_on(struct suite *s)
{
    char receipt[96];
    assert_int_equal(suite_put(s, "a"), 0);
    assert_int_equal(suite_claim(s, "w1", 1, 0, 3000), 1);
    snprintf(receipt, sizeof(receipt), "%s", s->receipts[0]);
    assert_int_equal(ASK(s, extend, "w1", receipt, LEASE), 0);
    assert_int_equal(suite_claim(s, "w2", 1, 3200, LEASE), 0);
    const struct queue_settle done = {.outcome = QUEUE_DONE};
    assert_int_equal(ASK(s, settle, receipt, &done), 0);
}

static void suite_failed_and_tried_again(struct suite *s)
{
    assert_int_equal(suite_put(s, "a"), 0);
    assert_int_equal(suite_claim(s, "w1", 1, 0, LEASE), 1);
    assert_true(job_failed(&s->jobs[0], "no such room", false, clock_wall_ns()));
    s->jobs[0].not_before = clock_wall_ns() + 300 * NS_PER_MS;
    assert_int_equal(suite_settle(s, 0, QUEUE_RETRY), 0);
    ASK(s, stats);
    assert_int_equal(s->scheduled, 1);
    assert_int_equal(s->ready, 0);
    assert_int_equal(suite_claim(s, "w1", 1, 0, LEASE), 0);
    assert_int_equal(suite_claim(s, "w1", 1, 600000, LEASE), 1);
    assert_int_equal(s->jobs[0].attempts, 1);
    assert_string_equal(s->jobs[0].last_error, "no such room");
    assert_int_equal(s->deliveries[0], 1);
}

static void suite_dead_and_retried(struct suite *s)
{
    assert_int_equal(suite_put(s, "a"), 0);
    assert_int_equal(suite_put(s, "b"), 0);
    assert_int_equal(suite_claim(s, "w1", 1, 0, LEASE), 1);
    assert_false(job_failed(&s->jobs[0], "not a request", true, clock_wall_ns()));
    assert_int_equal(suite_settle(s, 0, QUEUE_DEAD), 0);
    ASK(s, stats);
    assert_int_equal(s->dead, 1);
    assert_int_equal(ASK(s, list, JOB_DEAD, "", 10), 0);
    assert_int_equal(s->n_jobs, 1);
    assert_string_equal(s->jobs[0].last_error, "not a request");
    assert_int_equal(ASK(s, retry, "b"), -EBUSY);
    assert_int_equal(ASK(s, retry, "a"), 0);
    assert_int_equal(suite_claim(s, "w1", 10, 0, LEASE), 2);
    assert_int_equal(s->jobs[0].attempts + s->jobs[1].attempts, 0);
}

/* Its workers die of it: after as many as it has attempts nobody gets it any more. */
static void suite_poison(struct suite *s)
{
    struct job j = suite_job("bad", "work");
    j.max_attempts = 2;
    assert_int_equal(ASK(s, enqueue, &j), 0);
    model_done(&job_model, &j);
    assert_int_equal(suite_claim(s, "w1", 1, 0, 30), 1);
    assert_int_equal(suite_claim(s, "w2", 1, 600000, 30), 1);
    const int before = s->answers;
    while (s->dead == 0) {
        assert_int_equal(suite_claim(s, "w3", 1, 40, LEASE), 0);
        ASK(s, stats);
        assert_true(s->answers < before + 2000);
    }
    assert_int_equal(ASK(s, get, "bad"), 0);
    assert_int_equal(s->states[0], JOB_DEAD);
    assert_non_null(strstr(s->jobs[0].last_error, "2 workers"));
}

static void suite_released(struct suite *s)
{
    assert_int_equal(suite_put(s, "a"), 0);
    assert_int_equal(suite_claim(s, "w1", 1, 0, LEASE), 1);
    assert_int_equal(suite_settle(s, 0, QUEUE_RELEASE), 0);
    assert_int_equal(suite_claim(s, "w2", 1, 600000, LEASE), 1);
    assert_int_equal(s->deliveries[0], 1);
    assert_int_equal(s->jobs[0].attempts, 0);
}

static void suite_a_forgotten_claim_keeps_nothing(struct suite *s)
{
    struct queue_call *call = queue_claim(s->q, "w1", 4, 600000, LEASE, suite_on_answer, s);
    const int before = s->answers;
    assert_int_equal(suite_put(s, "a"), 0);
    if (s->answers == before + 1) {
        queue_forget(call);
    }
    assert_int_equal(suite_claim(s, "w2", 1, 600000, LEASE), 1);
    assert_string_equal(s->jobs[0].id, "a");
}

/* ---- for one worker, by people ---- */

static void suite_for_one_worker(struct suite *s)
{
    struct job j = suite_job("mine", "work");
    j.target = mem_strdup("w2");
    assert_int_equal(ASK(s, enqueue, &j), 0);
    model_done(&job_model, &j);
    assert_int_equal(suite_claim(s, "w1", 4, 0, LEASE), 0);
    assert_int_equal(suite_claim(s, "w2", 4, 600000, LEASE), 1);
    assert_string_equal(s->jobs[0].id, "mine");
}

static void suite_cancelled(struct suite *s)
{
    assert_int_equal(suite_put(s, "a"), 0);
    assert_int_equal(suite_put(s, "b"), 0);
    assert_int_equal(ASK(s, cancel, "b"), 0);
    assert_int_equal(ASK(s, cancel, "b"), -EALREADY);
    assert_int_equal(ASK(s, cancel, "c"), -ENOENT);
    assert_int_equal(suite_claim(s, "w1", 4, 0, LEASE), 1);
    assert_string_equal(s->jobs[0].id, "a");
    assert_int_equal(ASK(s, cancel, "a"), -EBUSY);
    assert_int_equal(ASK(s, retry, "b"), 0);
    assert_int_equal(suite_claim(s, "w1", 4, 600000, LEASE), 1);
    assert_string_equal(s->jobs[0].id, "b");
}

static void suite_listed_in_pages(struct suite *s)
{
    char id[16];
    char after[64] = "";
    unsigned seen = 0;
    for (int i = 0; i < 7; i++) {
        snprintf(id, sizeof(id), "j%d", i);
        assert_int_equal(suite_put(s, id), 0);
    }
    do {
        assert_int_equal(ASK(s, list, -1, after, 3), 0);
        for (unsigned i = 0; i < s->n_jobs; i++, seen++) {
            snprintf(id, sizeof(id), "j%u", seen);
            assert_string_equal(s->jobs[i].id, id);
            assert_int_equal(s->states[i], JOB_QUEUED);
            snprintf(after, sizeof(after), "%s", s->cursors[i]);
        }
    } while (s->more);
    assert_int_equal(seen, 7);
}

/* ---- who owns a broadcast ---- */

static inline int suite_own(struct suite *s, const char *id, const char *worker, int ms)
{
    const struct queue_owner o = {.broadcast_id = (char *)id,
                                  .worker = (char *)worker,
                                  .expires_at = clock_wall_ns() + ms * NS_PER_MS,
                                  .payload = (char *)"{\"room_id\":7}"};
    return ASK(s, own, &o);
}

/* Renewed: what was written with it stays. */
static inline int suite_renew(struct suite *s, const char *id, const char *worker, int ms)
{
    const struct queue_owner o = {.broadcast_id = (char *)id,
                                  .worker = (char *)worker,
                                  .expires_at = clock_wall_ns() + ms * NS_PER_MS};
    return ASK(s, own, &o);
}

static void suite_owners(struct suite *s)
{
    assert_int_equal(suite_own(s, "br_1", "w1", LEASE), 0);
    assert_int_equal(suite_renew(s, "br_1", "w1", LEASE), 0);
    assert_int_equal(suite_own(s, "br_1", "w2", LEASE), -EBUSY);
    assert_string_equal(s->owner, "w1");
    assert_int_equal(ASK(s, owner_of, "br_1"), 0);
    assert_string_equal(s->owner, "w1");
    assert_int_equal(ASK(s, owner_of, "br_2"), 0);
    assert_false(s->owned);
    assert_int_equal(ASK(s, disown, "br_1", "w2"), 0);
    ASK(s, owner_of, "br_1");
    assert_true(s->owned);
    assert_int_equal(ASK(s, disown, "br_1", "w1"), 0);
    ASK(s, owner_of, "br_1");
    assert_false(s->owned);
}

/* An owner who is not heard of any more: its broadcast becomes a job, once, and so does what waited for it alone. */
static void suite_an_owner_ends(struct suite *s)
{
    struct job stop = suite_job("stop", "stop_broadcast");
    stop.target = mem_strdup("w1");
    assert_int_equal(suite_own(s, "br_1", "w1", LEASE), 0);
    assert_int_equal(suite_renew(s, "br_1", "w1", 40), 0);
    assert_int_equal(suite_own(s, "br_2", "w2", LEASE), 0);
    assert_int_equal(ASK(s, enqueue, &stop), 0);
    model_done(&job_model, &stop);
    unsigned reaped = 0;
    while (reaped == 0) {
        assert_int_equal(ASK(s, reap), 0);
        reaped = s->n;
        loop_run_once(s->l, 10);
    }
    assert_int_equal(reaped, 1);
    assert_int_equal(ASK(s, reap), 0);
    assert_int_equal(s->n, 0);
    assert_int_equal(suite_claim(s, "w3", 8, 600000, LEASE), 2);
    unsigned adopt = strcmp(s->jobs[0].kind, "adopt_broadcast") == 0 ? 0 : 1;
    assert_string_equal(s->jobs[adopt].kind, "adopt_broadcast");
    assert_string_equal(s->jobs[adopt].broadcast_id, "br_1");
    assert_string_equal(s->jobs[adopt].payload, "{\"room_id\":7}");
    assert_string_equal(s->jobs[1 - adopt].id, "stop");
}

/* The end of a start and the owner's record are one act: both or none. */
static void suite_done_and_owned(struct suite *s)
{
    struct queue_owner o = {.broadcast_id = (char *)"br_1",
                            .worker = (char *)"w1",
                            .expires_at = clock_wall_ns() + LEASE * NS_PER_MS};
    const struct queue_settle how = {.outcome = QUEUE_DONE, .owner = &o};
    char receipt[2][96];
    assert_int_equal(suite_put(s, "a"), 0);
    assert_int_equal(suite_put(s, "b"), 0);
    assert_int_equal(suite_claim(s, "w1", 2, 0, LEASE), 2);
    snprintf(receipt[0], sizeof(receipt[0]), "%s", s->receipts[0]);
    snprintf(receipt[1], sizeof(receipt[1]), "%s", s->receipts[1]);
    assert_int_equal(ASK(s, settle, receipt[0], &how), 0);
    ASK(s, owner_of, "br_1");
    assert_string_equal(s->owner, "w1");
    o.worker = (char *)"w2";
    assert_int_equal(ASK(s, settle, receipt[1], &how), -EBUSY);
    assert_string_equal(s->owner, "w1");
    ASK(s, stats);
    assert_int_equal(s->claimed, 1);
    /* And a lease that ended makes no owner. */
    o.broadcast_id = (char *)"br_2";
    assert_int_equal(ASK(s, settle, receipt[0], &how), -ESTALE);
    ASK(s, owner_of, "br_2");
    assert_false(s->owned);
}

/* ---- all of them ---- */

#define SUITE_TESTS(X)                                                                             \
    X(suite_a_job_goes_through)                                                                    \
    X(suite_in_order_and_in_parts)                                                                 \
    X(suite_a_claim_waits)                                                                         \
    X(suite_a_lease_ends)                                                                          \
    X(suite_a_lease_goes_on)                                                                       \
    X(suite_failed_and_tried_again)                                                                \
    X(suite_dead_and_retried)                                                                      \
    X(suite_poison)                                                                                \
    X(suite_released)                                                                              \
    X(suite_a_forgotten_claim_keeps_nothing)                                                       \
    X(suite_for_one_worker)                                                                        \
    X(suite_cancelled)                                                                             \
    X(suite_listed_in_pages)                                                                       \
    X(suite_owners)                                                                                \
    X(suite_an_owner_ends)                                                                         \
    X(suite_done_and_owned)
