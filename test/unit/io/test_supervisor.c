/* SPDX-License-Identifier: Apache-2.0 */
#include "../await.h"

#include "io/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct fixture {
    struct loop *loop;
    struct supervisor *s;
    struct out states; /* "starting running ..." */
    const char *script;
    const char *argv[4];
    int make_result;
    unsigned made;
    unsigned released;
    unsigned done;
    unsigned outputs;
    unsigned draws;
    uint64_t caps[8]; /* of the waits, as asked for */
    bool longest;     /* take the longest wait, else none */
    const char *stall;
    enum supervisor_verdict verdict;
    enum supervisor_state stop_in;
    enum supervisor_state free_in;
    int64_t made_at_ns[16];
};

static int make(void *user, struct proc_spec *spec, struct error *err)
{
    struct fixture *f = user;
    f->made_at_ns[f->made++ % 16] = clock_mono_ns();
    if (f->make_result < 0) {
        return error_set(err, f->make_result, "", "no port is free");
    }
    f->argv[0] = "/bin/sh";
    f->argv[1] = "-c";
    f->argv[2] = f->script;
    f->argv[3] = NULL;
    spec->argv = f->argv;
    return 0;
}

static void release(void *user)
{
    ((struct fixture *)user)->released++;
}

static void on_output(void *user, struct bytes chunk)
{
    ((struct fixture *)user)->outputs++;
}

static const char *check(void *user)
{
    return ((struct fixture *)user)->stall;
}

static enum supervisor_verdict on_exit_verdict(void *user, const struct proc_exit *e)
{
    return ((struct fixture *)user)->verdict;
}

static void count_done(void *user)
{
    ((struct fixture *)user)->done++;
}

static void on_state(void *user, enum supervisor_state old, enum supervisor_state state,
                     const char *reason)
{
    struct fixture *f = user;
    out_printf(&f->states, "%s ", supervisor_state_to_str(state));
    if (f->stop_in == state) {
        f->stop_in = SUPERVISOR_STATE_N;
        assert_int_equal(supervisor_stop(f->s, count_done, f), 0);
    }
    if (f->free_in == state) {
        f->free_in = SUPERVISOR_STATE_N;
        f->s = supervisor_free(f->s);
    }
}

static uint64_t draw(void *user, uint64_t n)
{
    struct fixture *f = user;
    f->caps[f->draws++ % 8] = n - 1;
    return f->longest ? n - 1 : 0;
}

static const struct supervisor_ops ops = {
    .make = make,
    .release = release,
    .on_output = on_output,
    .check = check,
    .on_exit = on_exit_verdict,
    .on_state = on_state,
};

static int setup(void **state)
{
    struct fixture *f = mem_new(struct fixture);
    f->loop = loop_new("control", LOOP_CONTROL);
    f->stop_in = SUPERVISOR_STATE_N;
    f->free_in = SUPERVISOR_STATE_N;
    f->script = "echo up; sleep 1000";
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    supervisor_free(f->s);
    loop_free(f->loop);
    assert_int_equal(proc_live(), 0);
    out_done(&f->states);
    free(f);
    return 0;
}

static void new_supervisor(struct fixture *f, struct supervisor_config config)
{
    config.name = "child";
    config.random_below = draw;
    config.check_ms = 5;
    f->s = supervisor_new(f->loop, &config, &ops, f);
}

#define STATE_IS(f, which) (supervisor_state((f)->s) == SUPERVISOR_##which)

static void test_starts_and_stops(void **state)
{
    struct fixture *f = *state;
    new_supervisor(f, (struct supervisor_config){0});
    assert_int_equal(supervisor_start(f->s), 0);
    assert_int_equal(supervisor_start(f->s), 0);
    RUN_UNTIL(f->loop, f->outputs == 1);
    assert_true(STATE_IS(f, RUNNING));
    assert_non_null(supervisor_proc(f->s));
    assert_int_equal(supervisor_stop(f->s, count_done, f), 0);
    assert_int_equal(supervisor_stop(f->s, count_done, f), -EALREADY);
    assert_int_equal(supervisor_stop(f->s, NULL, NULL), 0);
    assert_int_equal(supervisor_start(f->s), -EBUSY);
    assert_int_equal(f->done, 0);
    RUN_UNTIL(f->loop, f->done == 1);
    assert_int_equal(proc_live(), 0);
    assert_string_equal(out_str(&f->states), "starting running stopping stopped ");
    assert_int_equal(f->made, 1);
    assert_int_equal(f->released, 1);
    supervisor_stop(f->s, count_done, f);
    assert_int_equal(f->done, 2);
}

static void test_restarts_with_growing_waits(void **state)
{
    struct fixture *f = *state;
    f->script = "echo no >&2; exit 1";
    f->longest = true;
    new_supervisor(f, (struct supervisor_config){.backoff_initial_ms = 8, .backoff_max_ms = 20});
    supervisor_start(f->s);
    RUN_UNTIL(f->loop, f->made >= 5);
    const uint64_t waits_ms[] = {8, 16, 20, 20};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(f->caps[i], waits_ms[i]);
        /* libuv counts whole milliseconds from the start of the iteration. */
        assert_true(f->made_at_ns[i + 1] - f->made_at_ns[i] >=
                    ((int64_t)waits_ms[i] - 2) * NS_PER_MS);
    }
    assert_int_equal(supervisor_restarts(f->s), f->made - 1);
    supervisor_stop(f->s, count_done, f);
    RUN_UNTIL(f->loop, f->done == 1);
    assert_memory_equal(out_str(&f->states), "starting running backoff starting running backoff ",
                        50);
}

static void test_a_healthy_run_resets_the_wait(void **state)
{
    struct fixture *f = *state;
    f->script = "sleep 0.05; exit 1";
    new_supervisor(f, (struct supervisor_config){
                          .backoff_initial_ms = 1, .backoff_max_ms = 65536, .healthy_ms = 20});
    supervisor_start(f->s);
    RUN_UNTIL(f->loop, f->made >= 5);
    for (unsigned i = 0; i < f->draws; i++) {
        assert_int_equal(f->caps[i], 1);
    }
}

static void test_the_budget_ends_in_failed(void **state)
{
    struct fixture *f = *state;
    f->script = "echo Connection refused >&2; exit 1";
    new_supervisor(f, (struct supervisor_config){.max_restarts = 3, .window_ms = 60000});
    supervisor_start(f->s);
    RUN_UNTIL(f->loop, STATE_IS(f, FAILED));
    assert_int_equal(f->made, 4);
    assert_string_equal(supervisor_reason(f->s),
                        "gave up after 3 restarts in 60 s: ended with code 1: Connection refused");
    assert_null(supervisor_proc(f->s));
    /* Starting anew has a full budget. */
    supervisor_start(f->s);
    RUN_UNTIL(f->loop, STATE_IS(f, FAILED));
    assert_int_equal(f->made, 8);
    supervisor_stop(f->s, count_done, f);
    assert_int_equal(f->done, 1);
    assert_true(STATE_IS(f, STOPPED));
}

static void test_the_budget_forgets_old_restarts(void **state)
{
    struct fixture *f = *state;
    f->script = "sleep 0.03; exit 1";
    new_supervisor(f, (struct supervisor_config){.max_restarts = 2, .window_ms = 50});
    supervisor_start(f->s);
    RUN_UNTIL(f->loop, f->made >= 8);
    assert_false(STATE_IS(f, FAILED));
}

static void test_a_failing_make_is_a_fault(void **state)
{
    struct fixture *f = *state;
    f->make_result = -EADDRINUSE;
    new_supervisor(f, (struct supervisor_config){.max_restarts = 2, .window_ms = 1000});
    supervisor_start(f->s);
    RUN_UNTIL(f->loop, STATE_IS(f, FAILED));
    assert_int_equal(f->made, 3);
    assert_int_equal(f->released, 0);
    assert_string_equal(supervisor_reason(f->s),
                        "gave up after 2 restarts in 1 s: no port is free");
    assert_string_equal(out_str(&f->states), "starting backoff starting backoff starting failed ");
}

static void test_a_stalled_child_is_replaced(void **state)
{
    struct fixture *f = *state;
    new_supervisor(f, (struct supervisor_config){.grace_ms = 20});
    f->script = "trap '' TERM; echo up; while :; do sleep 1; done";
    supervisor_start(f->s);
    RUN_UNTIL(f->loop, f->outputs == 1);
    f->stall = "no frame for 10 s";
    RUN_UNTIL(f->loop, STATE_IS(f, BACKOFF));
    assert_string_equal(supervisor_reason(f->s), "no frame for 10 s");
    f->stall = NULL;
    /* The wait is none (random 0), but the next one starts only when the former is gone. */
    assert_int_equal(proc_live(), 1);
    RUN_UNTIL(f->loop, f->outputs == 2);
    assert_int_equal(proc_live(), 1);
    assert_int_equal(f->made, 2);
    assert_true(STATE_IS(f, RUNNING));
}

static void test_verdicts_of_the_owner(void **state)
{
    struct fixture *f = *state;
    f->script = "exit 0";
    f->verdict = SUPERVISOR_DONE;
    new_supervisor(f, (struct supervisor_config){0});
    supervisor_start(f->s);
    RUN_UNTIL(f->loop, STATE_IS(f, STOPPED));
    f->verdict = SUPERVISOR_GIVE_UP;
    f->script = "echo bad option >&2; exit 2";
    supervisor_start(f->s);
    RUN_UNTIL(f->loop, STATE_IS(f, FAILED));
    assert_string_equal(supervisor_reason(f->s), "ended with code 2: bad option");
    assert_string_equal(out_str(&f->states), "starting running stopped starting running failed ");
}

static void test_restart_on_request_costs_no_budget(void **state)
{
    struct fixture *f = *state;
    new_supervisor(f, (struct supervisor_config){.max_restarts = 1});
    supervisor_start(f->s);
    for (unsigned i = 1; i <= 4; i++) {
        RUN_UNTIL(f->loop, f->outputs == i);
        supervisor_restart(f->s, "new port");
        assert_true(STATE_IS(f, BACKOFF));
    }
    RUN_UNTIL(f->loop, f->outputs == 5);
    assert_int_equal(f->draws, 0);
    assert_true(STATE_IS(f, RUNNING));
}

/* Stopping, and freeing, from inside the event of every state that a life passes. */
static void run_reentrant(struct fixture *f, bool stop, enum supervisor_state in)
{
    f->script = "exit 1";
    f->done = 0;
    f->stop_in = stop ? in : SUPERVISOR_STATE_N;
    f->free_in = stop ? SUPERVISOR_STATE_N : in;
    new_supervisor(f, (struct supervisor_config){.max_restarts = 1, .grace_ms = 1000});
    supervisor_start(f->s);
    if (stop) {
        RUN_UNTIL(f->loop, f->done == 1);
        assert_true(STATE_IS(f, STOPPED));
        f->s = supervisor_free(f->s);
    } else {
        RUN_UNTIL(f->loop, f->s == NULL);
    }
    RUN_UNTIL(f->loop, proc_live() == 0);
}

static void test_stop_and_free_inside_each_event(void **state)
{
    struct fixture *f = *state;
    static const enum supervisor_state states[] = {SUPERVISOR_STARTING, SUPERVISOR_RUNNING,
                                                   SUPERVISOR_BACKOFF, SUPERVISOR_FAILED};
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        run_reentrant(f, true, states[i]);
        run_reentrant(f, false, states[i]);
    }
}

static void test_free_kills_the_child(void **state)
{
    struct fixture *f = *state;
    new_supervisor(f, (struct supervisor_config){0});
    supervisor_start(f->s);
    RUN_UNTIL(f->loop, f->outputs == 1);
    f->s = supervisor_free(f->s);
    RUN_UNTIL(f->loop, proc_live() == 0);
    assert_string_equal(out_str(&f->states), "starting running ");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_starts_and_stops),
        T(test_restarts_with_growing_waits),
        T(test_a_healthy_run_resets_the_wait),
        T(test_the_budget_ends_in_failed),
        T(test_the_budget_forgets_old_restarts),
        T(test_a_failing_make_is_a_fault),
        T(test_a_stalled_child_is_replaced),
        T(test_verdicts_of_the_owner),
        T(test_restart_on_request_costs_no_budget),
        T(test_stop_and_free_inside_each_event),
        T(test_free_kills_the_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
