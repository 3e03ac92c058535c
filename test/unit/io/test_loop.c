/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "rig.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

/* ---- messages ---- */

#define SENDERS  4
#define MESSAGES 2000

struct mail {
    struct loop_msg msg;
    int sender;
    int number;
};

/* Belongs to the receiving loop's thread until it has ended. */
static int next_number[SENDERS];
static int out_of_order;
static atomic_int received;

static void deliver_mail(struct loop *l, struct loop_msg *m)
{
    struct mail *mail = CONTAINER_OF(m, struct mail, msg);
    if (!loop_is_current(l) || mail->number != next_number[mail->sender]) {
        out_of_order++;
    }
    next_number[mail->sender] = mail->number + 1;
    free(mail);
    atomic_fetch_add(&received, 1);
}

static void post_mail(struct loop *l, int sender, int number)
{
    struct mail *mail = mem_new(struct mail);
    *mail = (struct mail){.msg.deliver = deliver_mail, .sender = sender, .number = number};
    loop_post(l, &mail->msg);
}

struct sender {
    pthread_t thread;
    struct loop *to;
    int id;
};

static void *send_mail(void *arg)
{
    struct sender *s = arg;
    for (int i = 0; i < MESSAGES; i++) {
        post_mail(s->to, s->id, i);
    }
    return NULL;
}

static int reset_mail(void **state)
{
    memset(next_number, 0, sizeof(next_number));
    out_of_order = 0;
    atomic_store(&received, 0);
    return 0;
}

static void test_messages_of_one_sender_keep_their_order(void **state)
{
    struct loop *l = loop_new("t", 3);
    struct sender senders[SENDERS];
    assert_int_equal(loop_start(l), 0);
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.to = l, .id = i};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_mail, &senders[i]), 0);
    }
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(senders[i].thread, NULL);
    }
    WAIT_UNTIL(atomic_load(&received) == SENDERS * MESSAGES);
    loop_stop(l);
    loop_free(l);
    assert_int_equal(out_of_order, 0);
}

static void test_stop_delivers_what_was_posted_before(void **state)
{
    struct loop *l = loop_new("t", 0);
    assert_int_equal(loop_start(l), 0);
    for (int i = 0; i < 100; i++) {
        post_mail(l, 0, i);
    }
    loop_stop(l);
    loop_free(l);
    assert_int_equal(atomic_load(&received), 100);
    assert_int_equal(out_of_order, 0);
}

static void test_free_delivers_to_a_loop_that_never_ran(void **state)
{
    struct loop *l = loop_new("t", 0);
    post_mail(l, 0, 0);
    post_mail(l, 0, 1);
    loop_free(l);
    assert_int_equal(atomic_load(&received), 2);
    assert_int_equal(out_of_order, 0);
}

static void deliver_and_post_again(struct loop *l, struct loop_msg *m)
{
    struct mail *mail = CONTAINER_OF(m, struct mail, msg);
    if (mail->number > 0) {
        mail->number--;
        loop_post(l, &mail->msg);
        return;
    }
    free(mail);
    atomic_fetch_add(&received, 1);
}

static void test_free_delivers_what_messages_post(void **state)
{
    struct loop *l = loop_new("t", 0);
    struct mail *mail = mem_new(struct mail);
    *mail = (struct mail){.msg.deliver = deliver_and_post_again, .number = 5};
    loop_post(l, &mail->msg);
    loop_free(l);
    assert_int_equal(atomic_load(&received), 1);
}

/* ---- calls ---- */

struct answer {
    struct loop *ran_on;
    int calls;
};

static void note_call(struct loop *l, void *arg)
{
    struct answer *a = arg;
    a->ran_on = loop_current();
    a->calls++;
}

static void test_call_wait_returns_after_the_call(void **state)
{
    struct loop *l = loop_new("t", 0);
    struct answer a = {0};
    assert_int_equal(loop_start(l), 0);
    for (int i = 1; i <= 200; i++) {
        loop_call_wait(l, note_call, &a);
        assert_int_equal(a.calls, i);
        assert_ptr_equal(a.ran_on, l);
    }
    assert_null(loop_current());
    loop_stop(l);
    loop_free(l);
}

static void call_itself(struct loop *l, void *arg)
{
    loop_call_wait(l, note_call, arg);
}

static void test_call_wait_on_its_own_thread_runs_directly(void **state)
{
    struct loop *l = loop_new("t", 0);
    struct answer a = {0};
    assert_int_equal(loop_start(l), 0);
    loop_call_wait(l, call_itself, &a);
    assert_int_equal(a.calls, 1);
    loop_stop(l);
    loop_free(l);
}

static void test_call_wait_on_a_loop_that_does_not_run(void **state)
{
    struct loop *l = loop_new("t", 0);
    struct answer a = {0};
    post_mail(l, 0, 0);
    loop_call_wait(l, note_call, &a);
    assert_int_equal(a.calls, 1);
    assert_ptr_equal(a.ran_on, l);
    /* What was posted before came before. */
    assert_int_equal(atomic_load(&received), 1);
    assert_null(loop_current());
    assert_int_equal(loop_start(l), 0);
    loop_call_wait(l, note_call, &a);
    loop_stop(l);
    loop_call_wait(l, note_call, &a);
    assert_int_equal(a.calls, 3);
    loop_free(l);
}

/* ---- tasks ---- */

struct step {
    struct loop_task task;
    struct loop *loop;
    enum loop_stage stage;
    char name;
    int again; /* defers itself that many times more */
};

static char run_order[64];

static void run_step(struct loop_task *t)
{
    struct step *s = CONTAINER_OF(t, struct step, task);
    size_t n = strlen(run_order);
    run_order[n] = s->name;
    run_order[n + 1] = '\0';
    if (s->again > 0) {
        s->again--;
        loop_defer(s->loop, s->stage, t);
    }
}

static void step_init(struct step *s, struct loop *l, enum loop_stage stage, char name)
{
    *s = (struct step){.loop = l, .stage = stage, .name = name};
    loop_task_init(&s->task, run_step);
    loop_defer(l, stage, &s->task);
}

static void test_tasks_run_once_in_stage_order(void **state)
{
    struct loop *l = loop_new("t", 0);
    struct step s[5];
    run_order[0] = '\0';
    step_init(&s[0], l, LOOP_STAGE_NOTIFY, 'n');
    step_init(&s[1], l, LOOP_STAGE_WRITE, 'w');
    step_init(&s[2], l, LOOP_STAGE_MEDIA, 'm');
    step_init(&s[3], l, LOOP_STAGE_FANOUT, 'f');
    step_init(&s[4], l, LOOP_STAGE_MEDIA, 'x');
    loop_defer(l, LOOP_STAGE_MEDIA, &s[2].task);
    loop_defer(l, LOOP_STAGE_NOTIFY, &s[2].task);
    loop_task_cancel(&s[4].task);
    assert_false(loop_task_pending(&s[4].task));
    assert_true(loop_task_pending(&s[2].task));
    loop_run_once(l, 0);
    assert_string_equal(run_order, "mfwn");
    loop_run_once(l, 0);
    assert_string_equal(run_order, "mfwn");
    loop_free(l);
}

/* The poll comes between, and does not sleep: a task that goes on for ever starves nobody, and waits for nobody. */
static void test_a_task_deferred_in_its_stage_waits_for_the_next_pass(void **state)
{
    struct loop *l = loop_new("t", 0);
    struct step s[2];
    run_order[0] = '\0';
    step_init(&s[0], l, LOOP_STAGE_FANOUT, 'f');
    step_init(&s[1], l, LOOP_STAGE_NOTIFY, 'n');
    s[0].again = 3;
    int64_t start = clock_mono_ns();
    for (int i = 0; i < 3; i++) {
        loop_run_once(l, AWAIT_MAX_MS);
    }
    loop_run_once(l, 0);
    assert_true(clock_mono_ns() - start < AWAIT_MAX_MS * NS_PER_MS);
    assert_string_equal(run_order, "fnfff");
    loop_run_once(l, 0);
    assert_string_equal(run_order, "fnfff");
    loop_free(l);
}

static struct step *victim;

static void run_killer(struct loop_task *t)
{
    run_step(t);
    loop_task_cancel(&victim->task);
}

static void test_a_task_may_cancel_the_next_one_of_its_stage(void **state)
{
    struct loop *l = loop_new("t", 0);
    struct step s[3];
    run_order[0] = '\0';
    step_init(&s[0], l, LOOP_STAGE_WRITE, 'a');
    step_init(&s[1], l, LOOP_STAGE_WRITE, 'b');
    step_init(&s[2], l, LOOP_STAGE_WRITE, 'c');
    s[0].task.run = run_killer;
    victim = &s[1];
    loop_run_once(l, 0);
    assert_string_equal(run_order, "ac");
    loop_free(l);
}

static void test_tasks_left_over_run_in_free(void **state)
{
    struct loop *l = loop_new("t", 0);
    struct step s;
    run_order[0] = '\0';
    step_init(&s, l, LOOP_STAGE_NOTIFY, 'n');
    loop_free(l);
    assert_string_equal(run_order, "n");
}

/* ---- timers ---- */

struct alarm {
    struct loop *loop;
    struct loop_timer *timer;
    int fired;
    int again;
    bool free_itself;
    struct step step;
};

static void on_alarm(void *user)
{
    struct alarm *a = user;
    a->fired++;
    if (a->again > 0) {
        a->again--;
        loop_timer_start(a->timer, 1);
    } else if (a->free_itself) {
        a->timer = loop_timer_free(a->timer);
    }
}

static void test_timers_start_again_stop_and_free_themselves(void **state)
{
    struct loop *l = loop_new("t", 0);
    struct alarm a = {.again = 2};
    struct alarm b = {.free_itself = true};
    struct alarm c = {0};
    a.timer = loop_timer_new(l, on_alarm, &a);
    b.timer = loop_timer_new(l, on_alarm, &b);
    c.timer = loop_timer_new(l, on_alarm, &c);
    loop_timer_start(a.timer, 1);
    loop_timer_start(b.timer, 2);
    loop_timer_start(c.timer, 1);
    assert_true(loop_timer_active(c.timer));
    loop_timer_stop(c.timer);
    assert_false(loop_timer_active(c.timer));
    RUN_UNTIL(l, a.fired == 3 && b.fired == 1);
    assert_null(b.timer);
    assert_int_equal(c.fired, 0);
    loop_timer_free(a.timer);
    loop_timer_free(c.timer);
    loop_free(l);
}

static void run_stop(struct loop_task *t)
{
    loop_stop(CONTAINER_OF(t, struct step, task)->loop);
}

static void on_alarm_defer(void *user)
{
    struct alarm *a = user;
    a->fired++;
    step_init(&a->step, a->loop, LOOP_STAGE_WRITE, 't');
    a->step.task.run = run_stop;
}

/* libuv runs timers before it polls; what they defer must not wait for the poll, which here would never end. */
static void test_what_a_timer_defers_runs_before_the_loop_sleeps(void **state)
{
    struct loop *l = loop_new("t", 0);
    struct alarm a = {.loop = l};
    a.timer = loop_timer_new(l, on_alarm_defer, &a);
    loop_timer_start(a.timer, 0);
    loop_run(l);
    assert_int_equal(a.fired, 1);
    loop_timer_free(a.timer);
    loop_free(l);
}

/* ---- the rest ---- */

static void test_now_is_read_once_a_pass(void **state)
{
    struct loop *l = loop_new("a-name-longer-than-16", 5);
    int64_t first = loop_now_ns(l);
    int64_t before = clock_mono_ns();
    while (clock_mono_ns() == before) {
    }
    assert_true(loop_now_ns(l) == first);
    loop_run_once(l, 0);
    assert_true(loop_now_ns(l) > first);
    assert_int_equal(loop_index(l), 5);
    assert_string_equal(loop_name(l), "a-name-longer-t");
    assert_true(loop_busy_permille(l) <= 1000);
    assert_ptr_not_equal(loop_read_scratch(l), loop_write_scratch(l));
    memset(loop_read_scratch(l), 1, LOOP_SCRATCH_BYTES);
    memset(loop_write_scratch(l), 2, LOOP_SCRATCH_BYTES);
    assert_int_equal(loop_read_scratch(l)[LOOP_SCRATCH_BYTES - 1], 1);
    loop_free(l);
    loop_free(NULL);
}

static void stop_it(struct loop *l, void *arg)
{
    loop_stop(l);
}

static void test_run_returns_after_stop(void **state)
{
    struct loop *l = loop_new("t", LOOP_CONTROL);
    loop_call(l, stop_it, NULL);
    loop_run(l);
    assert_int_equal(loop_index(l), LOOP_CONTROL);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_messages_of_one_sender_keep_their_order, reset_mail),
        cmocka_unit_test_setup(test_stop_delivers_what_was_posted_before, reset_mail),
        cmocka_unit_test_setup(test_free_delivers_to_a_loop_that_never_ran, reset_mail),
        cmocka_unit_test_setup(test_free_delivers_what_messages_post, reset_mail),
        cmocka_unit_test(test_call_wait_returns_after_the_call),
        cmocka_unit_test(test_call_wait_on_its_own_thread_runs_directly),
        cmocka_unit_test_setup(test_call_wait_on_a_loop_that_does_not_run, reset_mail),
        cmocka_unit_test(test_tasks_run_once_in_stage_order),
        cmocka_unit_test(test_a_task_deferred_in_its_stage_waits_for_the_next_pass),
        cmocka_unit_test(test_a_task_may_cancel_the_next_one_of_its_stage),
        cmocka_unit_test(test_tasks_left_over_run_in_free),
        cmocka_unit_test(test_timers_start_again_stop_and_free_themselves),
        cmocka_unit_test(test_what_a_timer_defers_runs_before_the_loop_sleeps),
        cmocka_unit_test(test_now_is_read_once_a_pass),
        cmocka_unit_test(test_run_returns_after_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
