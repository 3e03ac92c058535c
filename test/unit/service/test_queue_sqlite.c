/* SPDX-License-Identifier: Apache-2.0 */
/* The queue in our own store: the common suite, and what is its own. */
#include "queue_suite.h"

#include "../store/folder.h"

#include "service/job/queue_sqlite.h"

struct rig {
    struct suite suite;
    char *dir;
    struct store *store;
};

static struct store *open_store(const char *dir)
{
    struct store *s;
    struct error err = {0};
    assert_int_equal(store_open(&(struct store_config){.dir = dir}, &s, &err), 0);
    return s;
}

static struct queue *open_queue(struct rig *g, const char *name, int64_t max)
{
    return queue_sqlite_new(&(struct queue_sqlite_config){
        .control = g->suite.l, .store = g->store, .name = name, .max = max, .keep = 5});
}

static int setup(void **state)
{
    struct rig *g = mem_new(struct rig);
    g->dir = folder_new();
    g->suite.l = loop_new("control", LOOP_CONTROL);
    g->store = open_store(g->dir);
    g->suite.q = open_queue(g, NULL, 0);
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    struct rig *g = *state;
    suite_forget(&g->suite);
    queue_free(g->suite.q);
    store_close(g->store);
    loop_free(g->suite.l);
    folder_free(g->dir);
    free(g);
    return 0;
}

#define X(name)                                                                                    \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        name(&((struct rig *)*state)->suite);                                                      \
    }
SUITE_TESTS(X)
#undef X

static void test_it_is_there_after_a_restart(void **state)
{
    struct rig *g = *state;
    struct suite *s = &g->suite;
    assert_int_equal(suite_put(s, "a"), 0);
    assert_int_equal(suite_put(s, "b"), 0);
    assert_int_equal(suite_claim(s, "w1", 1, 0, 200), 1);
    s->q = queue_free(s->q);
    g->store = store_close(g->store);
    g->store = open_store(g->dir);
    s->q = open_queue(g, NULL, 0);
    assert_int_equal(suite_claim(s, "w1", 1, 600000, LEASE), 1);
    assert_string_equal(s->jobs[0].id, "b");
    assert_int_equal(suite_claim(s, "w1", 1, 600000, LEASE), 1);
    assert_string_equal(s->jobs[0].id, "a");
    assert_int_equal(s->deliveries[0], 2);
}

static void test_queues_of_a_store_are_apart(void **state)
{
    struct rig *g = *state;
    struct suite *s = &g->suite;
    struct queue *first = s->q;
    assert_int_equal(suite_put(s, "a"), 0);
    s->q = open_queue(g, "other", 1);
    assert_int_equal(suite_claim(s, "w1", 1, 0, LEASE), 0);
    assert_int_equal(suite_put(s, "a"), 0);
    assert_int_equal(suite_put(s, "b"), -ENOSPC);
    ASK(s, stats);
    assert_int_equal(s->ready, 1);
    queue_free(s->q);
    s->q = first;
}

static void test_what_ended_goes_in_time(void **state)
{
    struct suite *s = &((struct rig *)*state)->suite;
    const struct queue_settle done = {.outcome = QUEUE_DONE};
    char id[16];
    for (int i = 0; i < 300; i++) {
        snprintf(id, sizeof(id), "j%d", i);
        assert_int_equal(suite_put(s, id), 0);
        assert_int_equal(suite_claim(s, "w1", 1, 0, LEASE), 1);
        char receipt[96];
        snprintf(receipt, sizeof(receipt), "%s", s->receipts[0]);
        assert_int_equal(ASK(s, settle, receipt, &done), 0);
    }
    assert_int_equal(ASK(s, list, JOB_DONE, "", 50), 0);
    assert_int_equal(s->n_jobs, 5 + 300 - 256);
    assert_string_equal(s->jobs[0].id, "j251");
}

/* What is asked and not answered when the queue ends, on its way or waiting, is nobody's any more. */
static void test_freed_with_open_questions(void **state)
{
    struct suite *s = &((struct rig *)*state)->suite;
    struct job j = suite_job("a", "work");
    queue_claim(s->q, "w1", 1, 600000, LEASE, suite_on_answer, s);
    for (int i = 0; i < 5; i++) {
        loop_run_once(s->l, 5);
    }
    queue_enqueue(s->q, &j, suite_on_answer, s);
    queue_stats(s->q, suite_on_answer, s);
    model_done(&job_model, &j);
    s->q = queue_free(s->q);
    for (int i = 0; i < 5; i++) {
        loop_run_once(s->l, 5);
    }
    assert_int_equal(s->answers, 0);
}

static void test_bad_receipts(void **state)
{
    struct suite *s = &((struct rig *)*state)->suite;
    const struct queue_settle done = {.outcome = QUEUE_DONE};
    static const char *const bad[] = {"",     "x",   "1",     "1-",
                                      "1-2x", "1-2", "-1--1", "99999999999999999999-1"};
    assert_int_equal(suite_put(s, "a"), 0);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(ASK(s, settle, bad[i], &done), -ESTALE);
    }
    ASK(s, stats);
    assert_int_equal(s->ready, 1);
}

static void test_waits_double(void **state)
{
    for (int i = 1; i < 40; i++) {
        int64_t most = i < 10 ? MIN(NS_PER_S << (i - 1), 300 * NS_PER_S) : 300 * NS_PER_S;
        for (int k = 0; k < 20; k++) {
            int64_t w = job_wait_ns(i);
            assert_true(w >= most / 2 && w <= most);
        }
    }
}

int main(void)
{
#define X(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown),
    const struct CMUnitTest tests[] = {SUITE_TESTS(X) X(it_is_there_after_a_restart)
                                           X(queues_of_a_store_are_apart) X(what_ended_goes_in_time)
                                               X(freed_with_open_questions) X(bad_receipts)
                                                   X(waits_double)};
#undef X
    return cmocka_run_group_tests(tests, NULL, NULL);
}
