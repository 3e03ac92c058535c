/* SPDX-License-Identifier: Apache-2.0 */
/* Workers over the queue in our own store, and over one of an embedder's that goes away. */
#include "../unit.h"

#include "../await.h"
#include "../store/folder.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/random.h"
#include "service/job/queue_sqlite.h"
#include "service/job/worker.h"

#include <errno.h>

#define WORKERS 4

struct rig;

/* One worker, and what its handler was asked. */
struct hand {
    struct rig *g;
    struct worker *w;
    char name[32];
    struct worker_run *held[64]; /* begun by "hold", and not ended */
    unsigned n_held;
    unsigned begun, lost, failed, dead, away;
    unsigned room;
    char error[256];
};

struct rig {
    char *dir;
    struct loop *l;
    struct store *store;
    struct queue *q;
    struct hand hands[WORKERS];
    struct map done; /* ids of jobs of kind "count", with how often */
    unsigned n_done;
    int answers;
    int64_t ready, claimed, dead;
    bool stopped;
};

/* ---- handlers ---- */

static void begin_count(void *user, struct worker_run *run, const struct job *job)
{
    struct hand *h = user;
    h->begun++;
    uintptr_t times = (uintptr_t)map_get(&h->g->done, job->id);
    map_set(&h->g->done, job->id, (void *)(times + 1));
    h->g->n_done += times == 0;
    worker_run_done(run, NULL);
}

static void begin_hold(void *user, struct worker_run *run, const struct job *job)
{
    struct hand *h = user;
    h->begun++;
    h->held[h->n_held++] = run;
}

static void lost_hold(void *user, struct worker_run *run)
{
    struct hand *h = user;
    h->lost++;
    for (unsigned i = 0; i < h->n_held; i++) {
        if (h->held[i] == run) {
            h->held[i] = h->held[--h->n_held];
            return;
        }
    }
    fail_msg("a run that was not held is lost");
}

static void begin_fail(void *user, struct worker_run *run, const struct job *job)
{
    struct hand *h = user;
    struct error err = {0};
    h->begun++;
    error_set(&err, -ENOENT, "room_id", "no such room");
    worker_run_failed(run, &err, strcmp(job->id, "final") == 0);
}

static void begin_forward(void *user, struct worker_run *run, const struct job *job)
{
    struct hand *h = user;
    h->begun++;
    if (strcmp(h->name, "w1") == 0) {
        worker_run_done(run, NULL);
    } else {
        worker_run_forward(run, "w1");
    }
}

static const struct worker_handler handlers[] = {
    {.kind = "count", .begin = begin_count},
    {.kind = "hold", .begin = begin_hold, .lost = lost_hold},
    {.kind = "fail", .begin = begin_fail},
    {.kind = "forward", .begin = begin_forward},
    {.kind = NULL},
};

static void on_failed(void *user, const struct job *job, const struct error *err, bool dead)
{
    struct hand *h = user;
    h->failed += job != NULL;
    h->away += job == NULL;
    h->dead += dead;
    snprintf(h->error, sizeof(h->error), "%s", err->text);
}

static unsigned room(void *user)
{
    return ((struct hand *)user)->room;
}

/* ---- the rig ---- */

static struct hand *hire(struct rig *g, unsigned i, unsigned concurrency, unsigned lease_ms)
{
    struct hand *h = &g->hands[i];
    h->g = g;
    h->room = 100;
    h->n_held = 0;
    snprintf(h->name, sizeof(h->name), "w%u", i);
    const struct worker_config config = {
        .control = g->l,
        .queue = g->q,
        .name = h->name,
        .concurrency = concurrency,
        .lease_ms = lease_ms,
        .retry_ms = 5,
        .handlers = handlers,
        .ops = {.failed = on_failed, .room = room},
        .user = h,
    };
    h->w = worker_new(&config);
    worker_start(h->w);
    return h;
}

static int setup(void **state)
{
    struct rig *g = mem_new(struct rig);
    struct error err = {0};
    g->dir = folder_new();
    g->l = loop_new("control", LOOP_CONTROL);
    assert_int_equal(store_open(&(struct store_config){.dir = g->dir}, &g->store, &err), 0);
    g->q = queue_sqlite_new(&(struct queue_sqlite_config){.control = g->l, .store = g->store});
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    struct rig *g = *state;
    for (unsigned i = 0; i < WORKERS; i++) {
        worker_free(g->hands[i].w);
    }
    queue_free(g->q);
    store_close(g->store);
    loop_free(g->l);
    folder_free(g->dir);
    map_done(&g->done);
    free(g);
    return 0;
}

static void put(struct rig *g, const char *id, const char *kind, int max_attempts)
{
    struct job j;
    model_init(&job_model, &j);
    j.id = mem_strdup(id);
    j.kind = mem_strdup(kind);
    j.created_at = clock_wall_ns();
    j.max_attempts = max_attempts;
    queue_enqueue(g->q, &j, NULL, NULL);
    model_done(&job_model, &j);
}

static void on_stats(void *user, int r, const struct queue_result *result)
{
    struct rig *g = user;
    assert_int_equal(r, 0);
    g->answers++;
    g->ready = result->stats->ready + result->stats->scheduled;
    g->claimed = result->stats->claimed;
    g->dead = result->stats->dead;
}

static void look(struct rig *g)
{
    int before = g->answers;
    queue_stats(g->q, on_stats, g);
    RUN_UNTIL(g->l, g->answers > before);
}

/* ---- the tests ---- */

static void test_all_are_done(void **state)
{
    struct rig *g = *state;
    char id[16];
    for (unsigned i = 0; i < WORKERS; i++) {
        hire(g, i, 3, 60000);
    }
    for (int i = 0; i < 200; i++) {
        snprintf(id, sizeof(id), "j%d", i);
        put(g, id, "count", 5);
    }
    RUN_UNTIL(g->l, g->n_done == 200);
    do {
        look(g);
    } while (g->claimed > 0);
    assert_int_equal(g->ready, 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_true(worker_connected(g->hands[i].w));
        assert_int_equal(worker_running(g->hands[i].w), 0);
    }
}

static void test_takes_what_it_can_carry(void **state)
{
    struct rig *g = *state;
    char id[16];
    struct hand *h = hire(g, 0, 3, 60000);
    for (int i = 0; i < 6; i++) {
        snprintf(id, sizeof(id), "j%d", i);
        put(g, id, "hold", 5);
    }
    RUN_UNTIL(g->l, h->n_held == 3);
    look(g);
    assert_int_equal(g->claimed, 3);
    assert_int_equal(g->ready, 3);
    h->room = 0;
    worker_run_done(h->held[--h->n_held], NULL);
    RUN_UNTIL(g->l, worker_running(h->w) == 2);
    look(g);
    look(g);
    assert_int_equal(g->ready, 3);
    h->room = 1;
    worker_look(h->w);
    RUN_UNTIL(g->l, h->n_held == 3);
}

static void test_failures(void **state)
{
    struct rig *g = *state;
    struct hand *h = hire(g, 0, 3, 60000);
    put(g, "final", "fail", 5);
    put(g, "once", "fail", 1);
    put(g, "other", "nothing-we-know", 5);
    RUN_UNTIL(g->l, h->dead == 3);
    assert_int_equal(h->begun, 2);
    put(g, "again", "fail", 2);
    RUN_UNTIL(g->l, h->failed == 4);
    assert_int_equal(h->dead, 3);
    RUN_UNTIL(g->l, h->dead == 4);
    assert_int_equal(h->failed, 5);
    do {
        look(g);
    } while (g->dead < 4);
    assert_int_equal(g->claimed, 0);
}

/* A job longer than its lease stays whose it is. */
static void test_a_long_job_keeps_its_lease(void **state)
{
    struct rig *g = *state;
    struct hand *h = hire(g, 0, 1, 600);
    put(g, "long", "hold", 5);
    RUN_UNTIL(g->l, h->n_held == 1);
    struct hand *other = hire(g, 1, 1, 600);
    int64_t begun = clock_mono_ns();
    RUN_UNTIL(g->l, clock_mono_ns() - begun > 1500 * NS_PER_MS);
    if (h->lost ==
        0) { /* else this process got no time for so long, and the other rightly has it */
        assert_int_equal(other->begun, 0);
        worker_run_done(h->held[--h->n_held], NULL);
        do {
            look(g);
        } while (g->claimed > 0);
        assert_int_equal(g->ready, 0);
    }
}

/* It goes without a word, as one that is killed: another does the work. */
static void test_a_worker_dies(void **state)
{
    struct rig *g = *state;
    struct hand *h = hire(g, 0, 2, 200);
    put(g, "a", "hold", 5);
    put(g, "b", "hold", 5);
    RUN_UNTIL(g->l, h->n_held == 2);
    h->w = worker_free(h->w);
    assert_int_equal(h->lost, 2);
    struct hand *other = hire(g, 1, 2, 60000);
    RUN_UNTIL(g->l, other->n_held == 2);
}

static void on_stopped(void *user)
{
    ((struct rig *)user)->stopped = true;
}

static void test_stops_when_all_is_said(void **state)
{
    struct rig *g = *state;
    struct hand *h = hire(g, 0, 2, 60000);
    put(g, "a", "hold", 5);
    RUN_UNTIL(g->l, h->n_held == 1);
    worker_stop(h->w, on_stopped, g);
    put(g, "b", "hold", 5);
    look(g);
    assert_false(g->stopped);
    assert_int_equal(h->n_held, 1);
    worker_run_done(h->held[--h->n_held], NULL);
    RUN_UNTIL(g->l, g->stopped);
    do {
        look(g); /* what a claim under way had brought is given back */
    } while (g->claimed > 0);
    assert_int_equal(g->ready, 1);
}

static void test_forwarded_to_its_worker(void **state)
{
    struct rig *g = *state;
    struct hand *h = hire(g, 0, 2, 60000);
    put(g, "a", "forward", 1);
    RUN_UNTIL(g->l, h->begun == 1);
    struct hand *right = hire(g, 1, 2, 60000);
    RUN_UNTIL(g->l, right->begun == 1);
    assert_int_equal(h->begun, 1);
    assert_int_equal(right->failed + h->failed, 0);
}

/* Workers end at random all the while: nothing is lost, and nothing is claimed at the end. */
static void test_none_is_lost(void **state)
{
    struct rig *g = *state;
    char id[16];
    for (unsigned i = 0; i < WORKERS; i++) {
        hire(g, i, 4, 100);
    }
    for (int i = 0; i < 400; i++) {
        snprintf(id, sizeof(id), "j%d", i);
        put(g, id, "count", JOB_ATTEMPTS_MAX);
    }
    while (g->n_done < 400) {
        loop_run_once(g->l, 2);
        if (random_below(4) == 0) {
            unsigned i = (unsigned)random_below(WORKERS);
            g->hands[i].w = worker_free(g->hands[i].w);
            hire(g, i, 4, 100);
        }
    }
    do {
        look(g);
    } while (g->claimed + g->ready > 0);
    assert_int_equal(g->dead, 0);
}

/* ---- a queue that goes away: an embedder's own, with one job ---- */

struct flaky {
    struct loop *l;
    bool away;
    bool taken, done;
    unsigned claims, settles;
    struct queue_call *waiting; /* one question at a time is enough here */
    int verb;
    struct loop_timer *timer;
};

static void flaky_answer(void *user)
{
    struct flaky *f = user;
    struct queue_call *call = TAKE_PTR(f->waiting);
    struct queue_result res = {0};
    struct queue_delivery d = {.receipt = (char *)"1", .deliveries = 1};
    int r = 0;
    if (f->away) {
        r = error_set(&res.err, -EAGAIN, "", "connection refused");
    } else if (f->verb == 0 && !f->taken) {
        f->taken = true;
        model_init(&job_model, &d.job);
        d.job.id = mem_strdup("x");
        d.job.kind = mem_strdup("hold");
        res.deliveries = &d;
        res.n_deliveries = 1;
    } else if (f->verb == 1) {
        f->done = true;
    }
    queue_answer(call, r, &res);
    model_done(&job_model, &d.job);
}

static void flaky_ask(struct flaky *f, struct queue_call *call, int verb)
{
    assert_null(f->waiting);
    f->waiting = call;
    f->verb = verb;
    loop_timer_start(f->timer, verb == 0 && f->taken && !f->away ? 3600000 : 1);
}

static void flaky_claim(void *user, struct queue_call *call, const char *consumer, unsigned max,
                        unsigned block_ms, unsigned lease_ms)
{
    ((struct flaky *)user)->claims++;
    flaky_ask(user, call, 0);
}

static void flaky_settle(void *user, struct queue_call *call, const char *receipt,
                         const struct queue_settle *how)
{
    ((struct flaky *)user)->settles++;
    flaky_ask(user, call, 1);
}

static void flaky_free(void *user)
{
    struct flaky *f = user;
    f->timer = loop_timer_free(f->timer);
}

static const struct queue_ops flaky_ops = {
    .kind = "mine", .claim = flaky_claim, .settle = flaky_settle, .free = flaky_free};

static void test_the_queue_goes_away(void **state)
{
    struct rig *g = *state;
    struct flaky f = {.l = g->l, .away = true};
    struct queue *ours = g->q;
    f.timer = loop_timer_new(g->l, flaky_answer, &f);
    g->q = queue_new(g->l, &flaky_ops, &f);
    struct hand *h = hire(g, 0, 1, 60000);
    RUN_UNTIL(g->l, f.claims > 3);
    assert_false(worker_connected(h->w));
    assert_int_equal(h->away, 1); /* told once */
    assert_string_equal(h->error, "connection refused");
    f.away = false;
    RUN_UNTIL(g->l, h->n_held == 1);
    assert_true(worker_connected(h->w));
    f.away = true;
    worker_run_done(h->held[--h->n_held], NULL);
    RUN_UNTIL(g->l, f.settles > 3);
    assert_int_equal(h->away, 2);
    f.away = false;
    RUN_UNTIL(g->l, f.done);
    RUN_UNTIL(g->l, worker_running(h->w) == 0);
    h->w = worker_free(h->w);
    queue_free(g->q);
    g->q = ours;
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_all_are_done),
        T(test_takes_what_it_can_carry),
        T(test_failures),
        T(test_a_long_job_keeps_its_lease),
        T(test_a_worker_dies),
        T(test_stops_when_all_is_said),
        T(test_forwarded_to_its_worker),
        T(test_none_is_lost),
        T(test_the_queue_goes_away),
    };
#undef T
    return cmocka_run_group_tests(tests, NULL, NULL);
}
