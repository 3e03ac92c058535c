/* SPDX-License-Identifier: Apache-2.0 */
/* How steps are run, with steps that do what a test says. */
#include "../unit.h"

#include "../await.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "service/broadcast/runner.h"

#include <errno.h>
#include <string.h>

/* What was called, in order: "start:a commit act:a ..." */
static struct out calls;

enum answer {
    ANSWER_OK,
    ANSWER_NONE, /* a test answers */
    ANSWER_WAITS,
    ANSWER_FAILS,
    ANSWER_REFUSED, /* permanently */
    ANSWER_UNSURE,
};

struct scripted {
    struct step step;
    enum answer start, adopt, stop;
    bool intent; /* commits before it acts */
    unsigned changed;
};

static struct scripted *of(struct step *s)
{
    return CONTAINER_OF(s, struct scripted, step);
}

static void note(const char *what, const struct step *s)
{
    out_printf(&calls, "%s:%s ", what, s->kind->name);
}

static void answer(struct step *s)
{
    struct error err = {0};
    error_set(&err, -EIO, s->kind->name, "no luck");
    switch (of(s)->start) {
    case ANSWER_OK:
        step_started(s, of(s)->changed);
        break;
    case ANSWER_WAITS:
        step_waits(s, "waiting for rain");
        break;
    case ANSWER_FAILS:
    case ANSWER_REFUSED:
        step_failed(s, &err, of(s)->start == ANSWER_REFUSED);
        break;
    case ANSWER_UNSURE:
        step_unsure(s, &err);
        break;
    case ANSWER_NONE:
        break;
    }
}

static void act(struct step *s)
{
    note("act", s);
    s->ours = true;
    answer(s);
}

static void start(struct step *s)
{
    note("start", s);
    if (of(s)->intent) {
        step_commit(s, act);
    } else {
        answer(s);
    }
}

static void adopt(struct step *s)
{
    struct error err = {0};
    note("adopt", s);
    if (of(s)->adopt == ANSWER_FAILS) {
        error_set(&err, -ENOTCONN, s->kind->name, "away");
        step_adopted(s, -ENOTCONN, STEP_ABSENT, &err);
    } else {
        step_adopted(s, 0, of(s)->adopt == ANSWER_OK ? STEP_FOUND : STEP_ABSENT, NULL);
    }
}

static void stop(struct step *s)
{
    struct error err = {0};
    note("stop", s);
    if (of(s)->stop == ANSWER_FAILS) {
        error_set(&err, -ENOTCONN, s->kind->name, "away");
        step_stopped(s, -ENOTCONN, &err);
    } else {
        step_stopped(s, 0, NULL);
    }
}

static void drop(struct step *s)
{
    note("drop", s);
}

#define KIND(n, r, w)                                                                              \
    {                                                                                              \
        .name = (n), .peer = "test", .size = sizeof(struct scripted), .reads = (r), .writes = (w), \
        .start = start, .adopt = adopt, .stop = stop, .drop = drop                                 \
    }
static const struct step_kind kind_a = KIND("a", 0, 1);
static const struct step_kind kind_b = KIND("b", 1, 2);
static const struct step_kind kind_c = KIND("c", 0, 4);

struct rig {
    struct loop *l;
    struct runner r;
    struct scripted *a, *b, *c;
    unsigned ended, undone;
    bool hold_commits;
};

static void on_commit(void *user)
{
    struct rig *g = user;
    out_puts(&calls, "commit ");
    if (!g->hold_commits) {
        runner_committed(&g->r);
    }
}

static void on_changed(void *user)
{
}

static void on_failed(void *user, const struct step *s, const char *phase, const struct error *err)
{
}

static void on_undone(void *user, const struct step *s)
{
    ((struct rig *)user)->undone++;
}

static void on_ended(void *user)
{
    ((struct rig *)user)->ended++;
}

static struct rig *rig_new(void)
{
    static const struct runner_ops ops = {.commit = on_commit,
                                          .changed = on_changed,
                                          .failed = on_failed,
                                          .undone = on_undone,
                                          .ended = on_ended};
    static const struct runner_pace pace = {
        .first_ms = 1, .max_ms = 2, .check_ms = 10000, .stop_ms = 50};
    struct rig *g = mem_new(struct rig);
    g->l = loop_new("test", LOOP_CONTROL);
    runner_init(&g->r, g->l, &ops, g, &pace);
    g->a = of(runner_add(&g->r, &kind_a));
    g->b = of(runner_add(&g->r, &kind_b));
    g->c = of(runner_add(&g->r, &kind_c));
    out_done(&calls);
    return g;
}

static void rig_free(struct rig *g)
{
    runner_done(&g->r);
    loop_free(g->l);
    free(g);
    out_done(&calls);
}

static void up(struct rig *g)
{
    runner_up(&g->r);
    RUN_UNTIL(g->l, g->r.was_up && !g->r.dirty);
}

static void down(struct rig *g)
{
    unsigned before = g->ended;
    runner_down(&g->r);
    RUN_UNTIL(g->l, g->ended > before);
}

static void test_order(void **state)
{
    struct rig *g = rig_new();
    g->a->intent = g->c->intent = true;
    up(g);
    assert_string_equal(out_str(&calls),
                        "start:a commit act:a commit start:b commit start:c commit "
                        "act:c commit commit ");
    out_done(&calls);
    down(g);
    assert_string_equal(out_str(&calls), "stop:c commit stop:b commit stop:a commit ");
    assert_int_equal(g->undone, 2);
    rig_free(g);
}

static void test_who_waits_holds_up_only_who_reads_it(void **state)
{
    struct rig *g = rig_new();
    g->a->start = ANSWER_WAITS;
    up(g);
    assert_int_equal(g->a->step.state, STEP_WAITING);
    assert_int_equal(g->b->step.state, STEP_IDLE);
    assert_int_equal(g->c->step.state, STEP_UP);
    step_started(&g->a->step, 1);
    RUN_UNTIL(g->l, g->b->step.state == STEP_UP);
    assert_int_equal(g->r.failures, 0);
    down(g);
    rig_free(g);
}

static void test_what_reads_a_changed_fact_is_made_anew(void **state)
{
    struct rig *g = rig_new();
    g->a->changed = 1;
    up(g);
    out_done(&calls);
    step_lost(&g->a->step, "gone");
    RUN_UNTIL(g->l, g->b->step.state == STEP_UP && g->a->step.state == STEP_UP && !g->r.dirty &&
                        strstr(out_str(&calls), "start:b") != NULL);
    assert_string_equal(out_str(&calls), "start:a commit stop:b commit start:b commit ");
    assert_int_equal(g->a->step.restarts, 1);
    rig_free(g);
}

static void test_a_first_failure_undoes(void **state)
{
    struct rig *g = rig_new();
    g->b->start = ANSWER_FAILS;
    runner_up(&g->r);
    RUN_UNTIL(g->l, g->ended);
    assert_ptr_equal(g->r.failed, &g->b->step);
    assert_string_equal(out_str(&calls), "start:a commit start:b drop:b stop:a commit ");
    assert_string_equal(g->b->step.reason, "no luck");
    rig_free(g);
}

static void test_a_later_failure_heals(void **state)
{
    struct rig *g = rig_new();
    up(g);
    g->b->start = ANSWER_FAILS;
    step_lost(&g->b->step, "gone");
    RUN_UNTIL(g->l, g->r.failures >= 3);
    assert_true(g->r.up);
    g->b->start = ANSWER_OK;
    RUN_UNTIL(g->l, g->b->step.state == STEP_UP);
    assert_int_equal(g->r.failures, 0);
    rig_free(g);
}

static void test_refusals_end_it(void **state)
{
    struct rig *g = rig_new();
    up(g);
    g->b->start = ANSWER_REFUSED;
    step_lost(&g->b->step, "gone");
    RUN_UNTIL(g->l, g->ended);
    assert_int_equal(g->r.refusals, 3);
    assert_ptr_equal(g->r.failed, &g->b->step);
    rig_free(g);
}

static void test_a_lost_answer_is_looked_after(void **state)
{
    struct rig *g = rig_new();
    up(g);
    g->c->intent = true;
    g->c->start = ANSWER_UNSURE;
    g->c->adopt = ANSWER_FAILS;
    step_lost(&g->c->step, "gone");
    RUN_UNTIL(g->l, g->r.failures >= 3);
    g->c->adopt = ANSWER_OK; /* found */
    out_done(&calls);
    RUN_UNTIL(g->l, g->c->step.state == STEP_UP);
    assert_null(strstr(out_str(&calls), "start:c"));
    rig_free(g);
}

/* Made anew, and the answer lost: it is there, but who stayed up while it was gone knows only what was there before. */
static void test_what_is_found_again_is_told(void **state)
{
    struct rig *g = rig_new();
    up(g);
    g->a->intent = true;
    g->a->start = ANSWER_UNSURE;
    g->a->adopt = ANSWER_OK;
    step_lost(&g->a->step, "gone");
    out_done(&calls);
    RUN_UNTIL(g->l, strstr(out_str(&calls), "adopt:a") && g->b->step.state == STEP_UP &&
                        g->a->step.state == STEP_UP && !g->r.dirty);
    assert_non_null(strstr(out_str(&calls), "stop:b"));
    assert_non_null(strstr(out_str(&calls), "start:b"));
    assert_null(strstr(out_str(&calls), "stop:c"));
    rig_free(g);
}

static void test_the_end_does_not_wait_for_what_has_not_acted(void **state)
{
    struct rig *g = rig_new();
    g->a->start = ANSWER_NONE;
    runner_up(&g->r);
    RUN_UNTIL(g->l, g->a->step.state == STEP_STARTING);
    down(g);
    assert_string_equal(out_str(&calls), "start:a drop:a ");
    rig_free(g);
}

static void test_the_end_waits_for_what_has(void **state)
{
    struct rig *g = rig_new();
    g->a->start = ANSWER_NONE;
    g->a->intent = true;
    runner_up(&g->r);
    RUN_UNTIL(g->l, g->a->step.acted);
    runner_down(&g->r);
    loop_run_once(g->l, 1);
    loop_run_once(g->l, 1);
    assert_int_equal(g->ended, 0);
    step_started(&g->a->step, 0);
    RUN_UNTIL(g->l, g->ended);
    assert_string_equal(out_str(&calls), "start:a commit act:a commit stop:a commit ");
    rig_free(g);
}

static void test_an_end_during_a_commit_does_nothing(void **state)
{
    struct rig *g = rig_new();
    g->a->intent = true;
    g->hold_commits = true;
    runner_up(&g->r);
    RUN_UNTIL(g->l, g->r.committing);
    runner_down(&g->r);
    loop_run_once(g->l, 1);
    g->hold_commits = false;
    runner_committed(&g->r);
    RUN_UNTIL(g->l, g->ended);
    assert_null(strstr(out_str(&calls), "act:a"));
    rig_free(g);
}

static void test_overdue_answers(void **state)
{
    static const struct step_kind slow = {.name = "slow",
                                          .peer = "test",
                                          .size = sizeof(struct scripted),
                                          .start_ms = 5,
                                          .start = start,
                                          .adopt = adopt,
                                          .stop = stop,
                                          .drop = drop};
    struct rig *g = rig_new();
    struct scripted *s = of(runner_add(&g->r, &slow));
    s->intent = true;
    s->start = ANSWER_NONE;
    s->adopt = ANSWER_OK;
    runner_up(&g->r);
    RUN_UNTIL(g->l, g->ended);
    /* It acted, so that it was looked for, found, and undone. */
    assert_non_null(strstr(out_str(&calls), "act:slow drop:slow adopt:slow commit stop:slow "));
    assert_int_equal(s->step.state, STEP_IDLE);
    rig_free(g);
}

static void test_debts(void **state)
{
    struct rig *g = rig_new();
    g->a->intent = true;
    up(g);
    g->a->stop = ANSWER_FAILS;
    down(g);
    assert_int_equal(runner_debts(&g->r), 1);
    assert_string_equal(g->a->step.reason, "away");
    g->a->stop = ANSWER_OK;
    g->a->adopt = ANSWER_OK;
    out_done(&calls);
    down(g);
    assert_string_equal(out_str(&calls), "adopt:a commit stop:a commit ");
    assert_int_equal(runner_debts(&g->r), 0);
    rig_free(g);
}

static void test_sickness_needs_two(void **state)
{
    struct rig *g = rig_new();
    up(g);
    struct step *s = &g->a->step;
    step_sick(s, "cough");
    assert_false(s->sick);
    step_well(s);
    step_sick(s, "cough");
    step_sick(s, "cough");
    assert_true(s->sick);
    step_well(s);
    assert_true(s->sick);
    step_well(s);
    assert_false(s->sick);
    assert_null(s->reason);
    rig_free(g);
}

/* What it made before it failed is undone, and its words stay. */
static void test_a_first_failure_half_way_undoes(void **state)
{
    struct rig *g = rig_new();
    g->b->intent = true;
    g->b->start = ANSWER_FAILS;
    runner_up(&g->r);
    RUN_UNTIL(g->l, g->ended);
    assert_string_equal(out_str(&calls),
                        "start:a commit start:b commit act:b stop:b commit stop:a commit ");
    assert_string_equal(g->b->step.reason, "no luck");
    assert_int_equal(g->b->step.state, STEP_IDLE);
    rig_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_who_waits_holds_up_only_who_reads_it),
        cmocka_unit_test(test_what_reads_a_changed_fact_is_made_anew),
        cmocka_unit_test(test_a_first_failure_undoes),
        cmocka_unit_test(test_a_later_failure_heals),
        cmocka_unit_test(test_refusals_end_it),
        cmocka_unit_test(test_a_lost_answer_is_looked_after),
        cmocka_unit_test(test_what_is_found_again_is_told),
        cmocka_unit_test(test_the_end_does_not_wait_for_what_has_not_acted),
        cmocka_unit_test(test_the_end_waits_for_what_has),
        cmocka_unit_test(test_an_end_during_a_commit_does_nothing),
        cmocka_unit_test(test_overdue_answers),
        cmocka_unit_test(test_debts),
        cmocka_unit_test(test_sickness_needs_two),
        cmocka_unit_test(test_a_first_failure_half_way_undoes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
