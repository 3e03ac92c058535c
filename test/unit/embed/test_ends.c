/* SPDX-License-Identifier: Apache-2.0 */
/* How objects of the C API end: in their own callbacks, in any order, before those that know them, with answers that are late. */
#include "../unit.h"

#include "../await.h"
#include "base/mem.h"

#include <errno.h>
#include <mast/mast.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* An object that is freed in the first callback that comes, whatever it says. */
struct doomed {
    struct mast *mast;
    struct mast_orchestrator *orchestrator;
    struct mast_process *process;
    struct mast_relay *relay;
    struct mast_janus *janus;
    struct mast_obs *obs;
    struct mast_lifecycle *lifecycle;
    bool wait; /* by the form that waits */
    bool began;
    atomic_int heard, freed;
    int r, instance_r;
};

static void on_freed(void *user, const struct mast_reply *reply)
{
    struct doomed *d = user;
    d->r = reply->r;
    atomic_fetch_add(&d->freed, 1);
}

static int free_now(struct doomed *d)
{
    if (d->orchestrator) {
        return mast_orchestrator_free_wait(d->orchestrator, 0, NULL);
    }
    if (d->process) {
        return mast_process_free_wait(d->process, 0, NULL);
    }
    if (d->relay) {
        return mast_relay_free_wait(d->relay, 0, NULL);
    }
    if (d->janus) {
        return mast_janus_free_wait(d->janus);
    }
    return d->obs ? mast_obs_free_wait(d->obs, 0, NULL)
                  : mast_lifecycle_free_wait(d->lifecycle, 0, NULL);
}

static void free_later(struct doomed *d)
{
    if (d->orchestrator) {
        mast_orchestrator_free(d->orchestrator, 0, on_freed, d);
    } else if (d->process) {
        mast_process_free(d->process, 0, on_freed, d);
    } else if (d->relay) {
        mast_relay_free(d->relay, 0, on_freed, d);
    } else if (d->janus) {
        mast_janus_free(d->janus, on_freed, d);
    } else if (d->obs) {
        mast_obs_free(d->obs, 0, on_freed, d);
    } else {
        mast_lifecycle_free(d->lifecycle, 0, on_freed, d);
    }
}

static void doom(void *user)
{
    struct doomed *d = user;
    atomic_fetch_add(&d->heard, 1);
    if (d->began) {
        return;
    }
    d->began = true;
    d->instance_r = mast_free(d->mast);
    if (d->wait) {
        d->r = free_now(d);
        atomic_fetch_add(&d->freed, 1);
    } else {
        free_later(d);
    }
}

static void on_text(void *user, const char *a, const char *b, const char *c)
{
    doom(user);
}

static void on_metric(void *user, const struct mast_metric *m)
{
    doom(user);
}

static void on_reply(void *user, const struct mast_reply *reply)
{
    doom(user);
}

static struct mast_observer observer(struct doomed *d)
{
    return (struct mast_observer){.user = d, .on_state_change = on_text, .on_error = on_text};
}

static void make_orchestrator(struct doomed *d)
{
    const struct mast_janus_server janus = {.url = "ws://127.0.0.1:9"};
    const struct mast_orchestrator_config config = {
        .janus = &janus,
        .n_janus = 1,
        .observer = {.user = d, .on_event = on_text, .on_metric = on_metric}};
    assert_int_equal(mast_orchestrator_new(d->mast, &config, &d->orchestrator, NULL), 0);
    mast_broadcast_start(d->orchestrator,
                         "{\"source_kind\":\"frontend_owned\",\"room_id\":4321,\"mountpoint_spec\":"
                         "{\"id\":9001,\"media\":[{\"type\":\"video\",\"mid\":\"v\",\"port\":0,"
                         "\"pt\":96,\"codec\":\"h264\"}]}}",
                         NULL, NULL);
}

static void make_process(struct doomed *d)
{
    const char *const argv[] = {"sleep", "1000", NULL};
    const struct mast_process_config config = {.argv = argv, .observer = observer(d)};
    assert_int_equal(mast_process_new(d->mast, &config, &d->process, NULL), 0);
    mast_process_start(d->process, NULL, NULL);
}

static void make_relay(struct doomed *d)
{
    const struct mast_relay_output output = {.codec = "h264", .port = 5004, .pt = 96};
    const struct mast_relay_config config = {
        .spec = {.input = MAST_RELAY_TEST, .outputs = &output, .n_outputs = 1},
        .observer = observer(d)};
    assert_int_equal(mast_relay_new(d->mast, &config, &d->relay, NULL), 0);
    mast_relay_start(d->relay, NULL, NULL);
}

/* Nothing listens at either: they say so. */
static void make_janus(struct doomed *d)
{
    const struct mast_janus_config config = {.url = "ws://127.0.0.1:9", .observer = observer(d)};
    assert_int_equal(mast_janus_new(d->mast, &config, &d->janus, NULL), 0);
}

static void make_obs(struct doomed *d)
{
    const struct mast_obs_config config = {.port = 9, .observer = observer(d)};
    assert_int_equal(mast_obs_new(d->mast, &config, &d->obs, NULL), 0);
}

static void close_now(void *user, struct mast_closing *closing)
{
    mast_closed(closing, -EIO, NULL);
}

static void make_lifecycle(struct doomed *d)
{
    const struct mast_observer o = observer(d);
    assert_int_equal(mast_lifecycle_new(d->mast, &o, &d->lifecycle, NULL), 0);
    mast_lifecycle_add(d->lifecycle, "first", close_now, NULL);
    mast_lifecycle_add(d->lifecycle, "second", close_now, NULL);
    mast_lifecycle_close(d->lifecycle, NULL, NULL);
}

static void (*const makers[])(struct doomed *d) = {make_orchestrator, make_process, make_relay,
                                                   make_janus,        make_obs,     make_lifecycle};

static void wait_for(struct doomed *d, bool queue)
{
    struct pollfd p = {.fd = mast_fd(d->mast), .events = POLLIN};
    while (queue && atomic_load(&d->freed) == 0) {
        assert_int_equal(poll(&p, 1, AWAIT_MAX_MS), 1);
        mast_dispatch(d->mast);
    }
    WAIT_UNTIL(atomic_load(&d->freed) == 1);
}

/* Nothing of it is heard after its free was answered. */
static void end_in_its_callback(unsigned maker, bool queue, bool wait)
{
    struct doomed d = {
        .mast = mast_new(&(struct mast_config){.queue = queue, .log_level = MAST_LOG_ERROR}),
        .wait = wait};
    assert_non_null(d.mast);
    makers[maker](&d);
    wait_for(&d, queue);
    int heard = atomic_load(&d.heard);
    assert_true(d.r == 0 || d.r == -EREMOTEIO);
    assert_int_equal(d.instance_r, -EDEADLK); /* it would have freed what runs it */
    assert_int_equal(mast_free(d.mast), 0);   /* that was told already */
    assert_int_equal(atomic_load(&d.heard), heard);
}

static void test_freed_in_its_own_callback(void **state)
{
    for (unsigned i = 0; i < ARRAY_LEN(makers); i++) {
        end_in_its_callback(i, false, false);
        end_in_its_callback(i, true, false);
        end_in_its_callback(i, true, true);
    }
}

/* On the control thread the form that waits does nothing; the object is whole. */
static void test_waiting_in_a_callback_does_nothing(void **state)
{
    struct doomed d = {.mast = mast_new(NULL), .wait = true};
    make_process(&d);
    WAIT_UNTIL(atomic_load(&d.freed) == 1);
    assert_int_equal(d.r, -EDEADLK);
    assert_int_equal(mast_process_stop_wait(d.process, NULL), 0);
    assert_int_equal(mast_free(d.mast), 0);
}

static void test_freed_in_an_answer(void **state)
{
    struct doomed d = {.mast = mast_new(NULL)};
    const char *const argv[] = {"sleep", "1000", NULL};
    const struct mast_process_config config = {.argv = argv};
    assert_int_equal(mast_process_new(d.mast, &config, &d.process, NULL), 0);
    mast_process_start(d.process, on_reply, &d);
    mast_process_status(d.process, on_reply, &d);
    mast_process_stop(d.process, on_reply, &d);
    WAIT_UNTIL(atomic_load(&d.freed) == 1);
    assert_int_equal(atomic_load(&d.heard), 3); /* each was answered, before or by the free */
    assert_int_equal(mast_free(d.mast), 0);
}

static void test_nothing_is_freed_without_harm(void **state)
{
    struct doomed d = {0};
    assert_int_equal(mast_free(NULL), 0);
    assert_int_equal(free_now(&d), 0);
    free_later(&d);
    assert_int_equal(mast_orchestrator_free_wait(NULL, 0, NULL), 0);
    assert_int_equal(mast_orchestrator_free(NULL, 0, on_freed, &d), 0);
    assert_int_equal(mast_process_free_wait(NULL, 0, NULL), 0);
    assert_int_equal(mast_process_free(NULL, 0, on_freed, &d), 0);
    assert_int_equal(mast_relay_free_wait(NULL, 0, NULL), 0);
    assert_int_equal(mast_relay_free(NULL, 0, on_freed, &d), 0);
    assert_int_equal(mast_janus_free_wait(NULL), 0);
    assert_int_equal(mast_janus_free(NULL, on_freed, &d), 0);
    assert_int_equal(mast_janus_handle_free_wait(NULL), 0);
    assert_int_equal(mast_janus_handle_free(NULL, on_freed, &d), 0);
    assert_int_equal(mast_obs_free_wait(NULL, 0, NULL), 0);
    assert_int_equal(mast_obs_free(NULL, 0, on_freed, &d), 0);
    mast_service_free(NULL);
    assert_int_equal(atomic_load(&d.freed), 0);
}

/* ---- in another order ---- */

static void test_a_client_goes_before_its_handles(void **state)
{
    struct mast *m = mast_new(&(struct mast_config){.log_level = MAST_LOG_ERROR});
    struct doomed d = {.mast = m};
    struct mast_janus *j = NULL;
    struct mast_janus_handle *h = NULL;
    struct mast_error err = {0};
    const struct mast_janus_config config = {.url = "ws://127.0.0.1:9"};
    assert_int_equal(mast_janus_new(m, &config, &j, NULL), 0);
    assert_int_equal(mast_janus_attach(j, NULL, NULL, NULL, &h, &err), -EINVAL);
    assert_string_equal(err.where, "plugin");
    assert_int_equal(mast_janus_attach(j, "janus.plugin.streaming", NULL, NULL, &h, NULL), 0);
    mast_janus_handle_ready(h, on_freed, &d);
    assert_int_equal(mast_janus_free_wait(j), 0);
    WAIT_UNTIL(atomic_load(&d.freed) == 1);
    assert_int_equal(d.r, -EAGAIN);
    assert_int_equal(mast_janus_handle_ready_wait(h, &err), -EAGAIN);
    assert_string_equal(err.text, "its client was freed");
    assert_int_equal(mast_janus_ask_wait(h, "{\"request\":\"list\"}", NULL, NULL), -EAGAIN);
    assert_int_equal(mast_janus_handle_free_wait(h), 0);
    assert_int_equal(mast_free(m), 0);
}

/* ---- closers that are late ---- */

struct late {
    _Atomic(struct mast_closing *) closing;
    pthread_t thread;
    atomic_bool go;
};

static void close_later(void *user, struct mast_closing *closing)
{
    atomic_store(&((struct late *)user)->closing, closing);
}

static void *answer_when_told(void *arg)
{
    struct late *l = arg;
    while (!atomic_load(&l->go)) {
        sched_yield();
    }
    mast_closed(atomic_load(&l->closing), -EIO, "too late");
    return NULL;
}

static void open_late(struct late *l, struct mast *m, bool free_it)
{
    struct mast_lifecycle *lifecycle = NULL;
    assert_int_equal(mast_lifecycle_new(m, NULL, &lifecycle, NULL), 0);
    assert_int_equal(mast_lifecycle_add(lifecycle, "it", NULL, NULL), -EINVAL);
    assert_int_equal(mast_lifecycle_add(lifecycle, "it", close_later, l), 0);
    if (free_it) {
        assert_int_equal(mast_lifecycle_free_wait(lifecycle, 10, NULL), -ETIMEDOUT);
    } else {
        mast_lifecycle_close(lifecycle, NULL, NULL);
    }
    WAIT_UNTIL(atomic_load(&l->closing) != NULL);
}

static void test_closers_answer_after_everything(void **state)
{
    struct late late[2] = {0};
    struct mast *m = mast_new(&(struct mast_config){.stop_ms = 10});
    open_late(&late[0], m, true);
    open_late(&late[1], m, false);
    assert_int_equal(mast_free(m), -ETIMEDOUT);
    mast_closed(late[0].closing, 0, NULL);
    mast_closed(late[1].closing, -EIO, "it was not there");
}

static void test_closers_answer_while_the_instance_goes(void **state)
{
    for (unsigned round = 0; round < 20; round++) {
        struct late late[2] = {0};
        struct mast *m = mast_new(&(struct mast_config){.stop_ms = 1, .log_level = MAST_LOG_ERROR});
        open_late(&late[0], m, true);
        open_late(&late[1], m, false);
        for (unsigned i = 0; i < ARRAY_LEN(late); i++) {
            assert_int_equal(pthread_create(&late[i].thread, NULL, answer_when_told, &late[i]), 0);
            atomic_store(&late[i].go, true);
        }
        int r = mast_free(m);
        /* 0: the second answered before the end began. */
        assert_true(r == 0 || r == -ETIMEDOUT || r == -EREMOTEIO);
        for (unsigned i = 0; i < ARRAY_LEN(late); i++) {
            pthread_join(late[i].thread, NULL);
        }
    }
}

/* ---- everything at once: mast_free() ---- */

struct undo {
    struct mast_janus_handle *handle;
    atomic_int closed, answers[2];
};

struct undo_one {
    struct undo *all;
    struct mast_closing *closing;
};

static void on_undone(void *user, const struct mast_reply *reply)
{
    struct undo_one *u = user;
    atomic_store(&u->all->answers[atomic_fetch_add(&u->all->closed, 1)], reply->r);
    mast_closed(u->closing, 0, NULL);
    free(u);
}

/* As an application does: what it made is undone by a client that is older than the lifecycle. */
static void undo_by_janus(void *user, struct mast_closing *closing)
{
    struct undo_one *u = mem_new(struct undo_one);
    *u = (struct undo_one){user, closing};
    mast_janus_ask(u->all->handle, "{\"request\":\"destroy\",\"id\":1}", on_undone, u);
}

/* Closers still ask what was made before their lifecycle; nobody answers there, but the client does. */
static void test_the_newest_ends_first(void **state)
{
    struct mast *m = mast_new(&(struct mast_config){.log_level = MAST_LOG_ERROR});
    struct mast_janus *j = NULL;
    struct undo u = {0};
    struct mast_lifecycle *l = NULL;
    const struct mast_janus_config config = {.url = "ws://127.0.0.1:9"};
    assert_int_equal(mast_janus_new(m, &config, &j, NULL), 0);
    assert_int_equal(mast_janus_attach(j, "janus.plugin.streaming", NULL, NULL, &u.handle, NULL),
                     0);
    assert_int_equal(mast_lifecycle_new(m, NULL, &l, NULL), 0);
    mast_lifecycle_add(l, "first", undo_by_janus, &u);
    mast_lifecycle_add(l, "second", undo_by_janus, &u);
    assert_int_equal(mast_free(m), 0);
    assert_int_equal(atomic_load(&u.closed), 2);
    assert_int_equal(atomic_load(&u.answers[0]), -EAGAIN); /* not attached: it was not freed */
    assert_int_equal(atomic_load(&u.answers[1]), -EAGAIN);
}

static void count_close(void *user, struct mast_closing *closing)
{
    atomic_fetch_add((atomic_int *)user, 1);
    mast_closed(closing, 0, NULL);
}

/* Who does not end leaves time for those before it, and may still answer. */
static void test_one_that_hangs_is_not_all(void **state)
{
    struct late late = {0};
    atomic_int closed = 0;
    struct mast *m = mast_new(&(struct mast_config){.stop_ms = 400, .log_level = MAST_LOG_ERROR});
    struct mast_lifecycle *older = NULL;
    struct mast_lifecycle *newer = NULL;
    assert_int_equal(mast_lifecycle_new(m, NULL, &older, NULL), 0);
    mast_lifecycle_add(older, "it", count_close, &closed);
    assert_int_equal(mast_lifecycle_new(m, NULL, &newer, NULL), 0);
    mast_lifecycle_add(newer, "it", close_later, &late);
    /* Freed already, with more time than the instance has. */
    mast_lifecycle_free(newer, 3600000, NULL, NULL);
    assert_int_equal(mast_free(m), -ETIMEDOUT);
    assert_int_equal(atomic_load(&closed), 1);
    mast_closed(late.closing, 0, NULL);
}

struct maker {
    struct mast *mast;
    struct mast_janus *janus;
    int lifecycle, handle;
    atomic_int answer;
};

static void on_late_answer(void *user, const struct mast_reply *reply)
{
    atomic_store(&((struct maker *)user)->answer, reply->r);
}

/* What stays for ever is refused; a handle is what a closer may need. */
static void close_and_make(void *user, struct mast_closing *closing)
{
    struct maker *k = user;
    struct mast_lifecycle *l = NULL;
    struct mast_janus_handle *h = NULL;
    struct mast_error err = {0};
    k->lifecycle = mast_lifecycle_new(k->mast, NULL, &l, &err);
    assert_null(l);
    assert_int_equal(err.code, k->lifecycle);
    k->handle = mast_janus_attach(k->janus, "janus.plugin.streaming", NULL, NULL, &h, NULL);
    mast_janus_ask(h, "{\"request\":\"list\"}", on_late_answer, k);
    mast_closed(closing, 0, NULL);
}

static void test_what_is_made_while_the_instance_goes(void **state)
{
    struct maker k = {.mast = mast_new(&(struct mast_config){.log_level = MAST_LOG_ERROR})};
    struct mast_lifecycle *l = NULL;
    const struct mast_janus_config config = {.url = "ws://127.0.0.1:9"};
    assert_int_equal(mast_janus_new(k.mast, &config, &k.janus, NULL), 0);
    assert_int_equal(mast_lifecycle_new(k.mast, NULL, &l, NULL), 0);
    mast_lifecycle_add(l, "it", close_and_make, &k);
    assert_int_equal(mast_free(k.mast), 0);
    assert_int_equal(k.lifecycle, -ESHUTDOWN);
    assert_int_equal(k.handle, 0);
    assert_int_equal(atomic_load(&k.answer), -EAGAIN);
}

static void fail_oddly(void *user, struct mast_closing *closing)
{
    mast_closed(closing, -ENOTCONN, NULL);
}

/* Of what it ended itself, and by a number that core.h names. */
static void test_the_result_is_of_the_end(void **state)
{
    struct mast *m = mast_new(&(struct mast_config){.log_level = MAST_LOG_ERROR});
    struct mast_lifecycle *l = NULL;
    assert_int_equal(mast_lifecycle_new(m, NULL, &l, NULL), 0);
    mast_lifecycle_add(l, "it", fail_oddly, NULL);
    assert_int_equal(mast_lifecycle_free_wait(l, 0, NULL), -EREMOTEIO);
    assert_int_equal(mast_free(m), 0);
    m = mast_new(&(struct mast_config){.log_level = MAST_LOG_ERROR});
    assert_int_equal(mast_lifecycle_new(m, NULL, &l, NULL), 0);
    mast_lifecycle_add(l, "it", fail_oddly, NULL);
    assert_int_equal(mast_free(m), -EREMOTEIO);
}

struct adding {
    struct mast_lifecycle *lifecycle;
    atomic_int closed;
    atomic_bool told;
};

static void on_too_late(void *user, const char *phase, const char *resource, const char *text)
{
    struct adding *a = user;
    if (strcmp(phase, "janus_cleanup") == 0 && strcmp(resource, "late") == 0) {
        atomic_store(&a->told, strstr(text, "freed") != NULL);
    }
}

static void close_and_add(void *user, struct mast_closing *closing)
{
    struct adding *a = user;
    if (atomic_fetch_add(&a->closed, 1) == 0) {
        assert_int_equal(mast_lifecycle_add(a->lifecycle, "late", close_and_add, a), 0);
    }
    mast_closed(closing, 0, NULL);
}

/* While it closes, more may be added; while it is freed, the observer hears of it. */
static void test_a_closer_that_is_added_too_late(void **state)
{
    struct mast *m = mast_new(&(struct mast_config){.log_level = MAST_LOG_ERROR});
    struct adding a = {0};
    const struct mast_observer o = {.user = &a, .on_error = on_too_late};
    assert_int_equal(mast_lifecycle_new(m, &o, &a.lifecycle, NULL), 0);
    mast_lifecycle_add(a.lifecycle, "it", close_and_add, &a);
    assert_int_equal(mast_lifecycle_close_wait(a.lifecycle, NULL, NULL), 0);
    assert_int_equal(atomic_load(&a.closed), 2);
    assert_false(atomic_load(&a.told));
    atomic_store(&a.closed, 0);
    mast_lifecycle_add(a.lifecycle, "it", close_and_add, &a);
    assert_int_equal(mast_free(m), 0);
    assert_int_equal(atomic_load(&a.closed), 1);
    assert_true(atomic_load(&a.told));
}

/* ---- freed by one thread, told by another ---- */

struct told {
    struct mast *mast;
    atomic_bool inside, returned, both, end;
};

static void dwell(void *user, const char *resource, const char *state, const char *reason)
{
    struct told *t = user;
    if (atomic_exchange(&t->inside, true)) {
        return;
    }
    /* As long as it takes the other thread to come back too early. */
    for (unsigned i = 0; i < 300 && !atomic_load(&t->returned); i++) {
        usleep(1000);
    }
    atomic_store(&t->both, atomic_load(&t->returned));
}

static void *dispatch_until_told(void *arg)
{
    struct told *t = arg;
    while (!atomic_load(&t->end)) {
        mast_dispatch(t->mast);
        usleep(1000);
    }
    return NULL;
}

static void test_no_event_outlives_its_free(void **state)
{
    struct told t = {.mast = mast_new(&(struct mast_config){.queue = true})};
    const struct mast_janus_config config = {.url = "ws://127.0.0.1:9",
                                             .observer = {.user = &t, .on_state_change = dwell}};
    struct mast_janus *j = NULL;
    pthread_t thread;
    assert_int_equal(mast_janus_new(t.mast, &config, &j, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, dispatch_until_told, &t), 0);
    WAIT_UNTIL(atomic_load(&t.inside));
    assert_int_equal(mast_janus_free_wait(j), 0);
    atomic_store(&t.returned, true);
    atomic_store(&t.end, true);
    pthread_join(thread, NULL);
    assert_false(atomic_load(&t.both));
    assert_int_equal(mast_free(t.mast), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_freed_in_its_own_callback),
        cmocka_unit_test(test_waiting_in_a_callback_does_nothing),
        cmocka_unit_test(test_freed_in_an_answer),
        cmocka_unit_test(test_nothing_is_freed_without_harm),
        cmocka_unit_test(test_a_client_goes_before_its_handles),
        cmocka_unit_test(test_closers_answer_after_everything),
        cmocka_unit_test(test_closers_answer_while_the_instance_goes),
        cmocka_unit_test(test_the_newest_ends_first),
        cmocka_unit_test(test_one_that_hangs_is_not_all),
        cmocka_unit_test(test_what_is_made_while_the_instance_goes),
        cmocka_unit_test(test_the_result_is_of_the_end),
        cmocka_unit_test(test_a_closer_that_is_added_too_late),
        cmocka_unit_test(test_no_event_outlives_its_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
