/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the C API alone: a process, relays, closers. Children are real. */
#include "../unit.h"

#include "../await.h"
#include "base/mem.h"
#include "heard.h"

#include <errno.h>
#include <jansson.h>
#include <mast/mast.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct world {
    struct mast *mast;
    struct heard heard;
    atomic_int sick;
};

static struct world *world_new(void)
{
    struct world *w = mem_new(struct world);
    heard_init(&w->heard);
    w->mast = mast_new(NULL);
    assert_non_null(w->mast);
    return w;
}

static void world_free(struct world *w)
{
    assert_int_equal(mast_free(w->mast), 0);
    heard_done(&w->heard);
    free(w);
}

/* ---- a process ---- */

static void on_line(void *user, const char *line)
{
    hear(&((struct world *)user)->heard, "line", line);
}

static const char *check(void *user)
{
    struct world *w = user;
    return atomic_exchange(&w->sick, 0) ? "it looks pale" : NULL;
}

static struct mast_process *process(struct world *w, const char *script, unsigned max_restarts)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    const char *const env[] = {"GREETING=hello", NULL};
    struct mast_process *p = NULL;
    struct mast_error err = {0};
    const struct mast_process_config config = {.name = "it",
                                               .argv = argv,
                                               .env = env,
                                               .backoff_ms = 10,
                                               .backoff_max_ms = 20,
                                               .max_restarts = max_restarts,
                                               .grace_ms = 500,
                                               .check_ms = 20,
                                               .user = w,
                                               .check = check,
                                               .on_line = on_line,
                                               .observer = heard_observer(&w->heard)};
    if (mast_process_new(w->mast, &config, &p, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    return p;
}

static int pid_of(struct mast_process *p)
{
    char *text = NULL;
    assert_int_equal(mast_process_status_wait(p, &text, NULL), 0);
    json_t *v = json_loads(text, 0, NULL);
    int pid = (int)json_integer_value(json_object_get(v, "pid"));
    json_decref(v);
    free(text);
    return pid;
}

static bool is_another(struct mast_process *p, int old)
{
    int pid = pid_of(p);
    return pid > 0 && pid != old;
}

static bool is_gone(int pid)
{
    return kill(pid, 0) < 0 && errno == ESRCH;
}

static void test_a_process_is_kept_running(void **state)
{
    struct world *w = world_new();
    struct mast_error err = {0};
    struct mast_process *p = process(w, "echo $GREETING >&2; sleep 1000", 0);
    assert_int_equal(pid_of(p), 0);
    assert_int_equal(mast_process_start_wait(p, &err), 0);
    assert_int_equal(mast_process_start_wait(p, &err), 0); /* it runs */
    WAIT_UNTIL(has_heard(&w->heard, "line:hello "));
    int first = pid_of(p);
    assert_true(first > 0);
    assert_int_equal(kill(first, SIGKILL), 0);
    WAIT_UNTIL(is_another(p, first));
    assert_true(has_heard(&w->heard, "error:process:killed by SIGKILL"));
    assert_true(has_heard(&w->heard, "it:backoff "));
    /* The health check. */
    int second = pid_of(p);
    atomic_store(&w->sick, 1);
    WAIT_UNTIL(is_another(p, second));
    assert_true(has_heard(&w->heard, "it looks pale"));
    int third = pid_of(p);
    /* The same as numbers. */
    WAIT_UNTIL(heard_metric(&w->heard, "it mast_state_changes_total running") == 3);
    assert_true(heard_metric(&w->heard, "it mast_state_changes_total backoff") == 2);
    assert_true(heard_metric(&w->heard, "it mast_errors_total process") == 2);
    assert_true(heard_metric(&w->heard, "it mast_errors_total relay") == -1);
    assert_int_equal(mast_process_restart_wait(p, &err), 0);
    assert_int_not_equal(pid_of(p), third);
    int last = pid_of(p);
    assert_int_equal(mast_process_stop_wait(p, NULL), 0);
    WAIT_UNTIL(is_gone(last));
    assert_int_equal(mast_process_stop_wait(p, NULL), 0); /* again: nothing runs */
    assert_int_equal(mast_process_start_wait(p, NULL), 0);
    last = pid_of(p);
    assert_int_equal(mast_process_free_wait(p, 0, NULL), 0);
    WAIT_UNTIL(is_gone(last));
    world_free(w);
}

static void test_a_process_that_fails(void **state)
{
    struct world *w = world_new();
    struct mast_error err = {0};
    struct mast_process *none = NULL;
    const char *const missing[] = {"/no/such/program", NULL};
    const struct mast_process_config config = {.argv = missing,
                                               .observer = heard_observer(&w->heard)};
    assert_int_equal(mast_process_new(w->mast, &(struct mast_process_config){0}, &none, &err),
                     -EINVAL);
    assert_string_equal(err.where, "argv");
    assert_int_equal(mast_process_new(w->mast, &config, &none, NULL), 0);
    assert_int_equal(mast_process_start_wait(none, &err), -EAGAIN);
    assert_non_null(strstr(err.text, "/no/such/program: not found"));
    struct mast_process *p = process(w, "exit 3", 2);
    (void)mast_process_start_wait(p, NULL);
    WAIT_UNTIL(has_heard(&w->heard, "it:failed "));
    assert_true(has_heard(&w->heard, "ended with code 3"));
    world_free(w); /* frees both */
}

static void test_the_end_of_the_instance_ends_its_children(void **state)
{
    struct world *w = world_new();
    /* The child of the child is in its group, and deaf to SIGTERM. */
    struct mast_process *p = process(w, "trap '' TERM; sleep 1000 & echo $! >&2; wait; wait", 0);
    assert_int_equal(mast_process_start_wait(p, NULL), 0);
    WAIT_UNTIL(has_heard(&w->heard, "line:"));
    int pid = pid_of(p);
    world_free(w);
    WAIT_UNTIL(is_gone(pid));
}

/* ---- a queue that nobody empties ---- */

struct lost {
    unsigned lines, others, told;
};

static void on_lost_line(void *user, const char *line)
{
    ((struct lost *)user)->lines++;
}

static void on_lost_event(void *user, const char *type, const char *resource, const char *data)
{
    struct lost *l = user;
    assert_string_equal(type, "events_lost");
    assert_int_equal(sscanf(data, "{\"count\":%u}", &l->told), 1);
}

static void on_lost_state(void *user, const char *resource, const char *state, const char *reason)
{
    ((struct lost *)user)->others++;
}

static bool has_failed(struct mast_process *p)
{
    char *text = NULL;
    assert_int_equal(mast_process_status_wait(p, &text, NULL), 0);
    bool failed = strstr(text, "\"failed\"") != NULL;
    free(text);
    return failed;
}

static void test_a_full_queue_says_what_it_lost(void **state)
{
    struct mast *m = mast_new(&(struct mast_config){.queue = true, .log_level = MAST_LOG_ERROR});
    struct lost l = {0};
    const char *const argv[] = {"sh", "-c", "seq 12000 >&2; exit 1", NULL};
    const struct mast_process_config config = {
        .argv = argv,
        .max_restarts = 1,
        .backoff_ms = 10,
        .on_line = on_lost_line,
        .user = &l,
        .observer = {.user = &l, .on_event = on_lost_event, .on_state_change = on_lost_state}};
    struct mast_process *p = NULL;
    assert_int_equal(mast_process_new(m, &config, &p, NULL), 0);
    (void)mast_process_start_wait(p, NULL);
    WAIT_UNTIL(has_failed(p));
    assert_int_equal(mast_dispatch(m), 10000);
    assert_int_equal(l.told, 0);
    unsigned waited = l.lines + l.others;
    assert_int_equal(waited, 10000);
    /* The next event has the count before it. */
    (void)mast_process_start_wait(p, NULL);
    (void)mast_dispatch(m);
    assert_true(l.told > 2000);
    assert_int_equal(mast_free(m), 0);
}

/* ---- relays ---- */

static const struct mast_relay_output outputs[] = {
    {.codec = "h264", .port = 5004, .pt = 96},
    {.audio = true, .codec = "opus", .port = 5006, .pt = 111},
};

static void test_a_relays_command(void **state)
{
    struct mast_relay_spec spec = {.input = MAST_RELAY_RTMP,
                                   .url = "rtmp://127.0.0.1/live/hush-hush",
                                   .outputs = outputs,
                                   .n_outputs = 2};
    char *argv = NULL;
    struct mast_error err = {0};
    if (mast_relay_command(MAST_RELAY_FFMPEG, &spec, &argv, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    assert_non_null(strstr(argv, "\"ffmpeg\""));
    assert_non_null(strstr(argv, "5006"));
    assert_null(strstr(argv, "hush-hush"));
    free(argv);
    assert_int_equal(mast_relay_command(MAST_RELAY_GSTREAMER, &spec, &argv, &err), 0);
    assert_non_null(strstr(argv, "\"gst-launch-1.0\""));
    free(argv);
    spec.pipeline = "videotestsrc ! fakesink";
    assert_int_equal(mast_relay_command(MAST_RELAY_FFMPEG, &spec, &argv, &err), -EINVAL);
    assert_string_equal(err.where, "pipeline");
    spec.pipeline = NULL;
    spec.n_outputs = 17;
    assert_int_equal(mast_relay_command(MAST_RELAY_FFMPEG, &spec, &argv, &err), -EINVAL);
    assert_null(argv);
    spec.n_outputs = 2;
    spec.input = (enum mast_relay_input)100;
    assert_int_equal(mast_relay_command(MAST_RELAY_FFMPEG, &spec, &argv, &err), -EINVAL);
    assert_string_equal(err.where, "input");
    spec.input = (enum mast_relay_input) - 1;
    assert_int_equal(mast_relay_command(MAST_RELAY_GSTREAMER, &spec, &argv, &err), -EINVAL);
    spec.input = MAST_RELAY_RTMP;
    const struct mast_relay_output far_away = {
        .codec = "h264",
        .host = "127.0.0.1                                                            000",
        .port = 5004};
    spec.outputs = &far_away;
    spec.n_outputs = 1;
    assert_int_equal(mast_relay_command(MAST_RELAY_FFMPEG, &spec, &argv, &err), -EINVAL);
    assert_string_equal(err.where, "outputs");
    assert_null(argv);
}

static void test_a_relay_runs(void **state)
{
    struct world *w = world_new();
    const struct mast_relay_config config = {.name = "test",
                                             .spec = {.input = MAST_RELAY_TEST,
                                                      .width = 160,
                                                      .height = 90,
                                                      .fps = 10,
                                                      .outputs = outputs,
                                                      .n_outputs = 2},
                                             .observer = heard_observer(&w->heard)};
    struct mast_relay *r = NULL;
    struct mast_error err = {0};
    char *text = NULL;
    if (mast_relay_new(w->mast, &config, &r, &err) < 0 || mast_relay_start_wait(r, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    WAIT_UNTIL(({
        free(text);
        text = NULL;
        assert_int_equal(mast_relay_status_wait(r, &text, NULL), 0);
        strstr(text, "\"progress\"") != NULL;
    }));
    free(text);
    WAIT_UNTIL(heard_metric(&w->heard, "test mast_relay_fps ") > 0);
    assert_true(heard_metric(&w->heard, "test mast_relay_speed ") > 0);
    assert_int_equal(mast_relay_stop_wait(r, &err), 0);
    assert_true(heard_metric(&w->heard, "test mast_state_changes_total stopped") == 1);
    assert_true(has_heard(&w->heard, "test:running "));
    assert_true(has_heard(&w->heard, "test:stopped "));
    assert_int_equal(mast_relay_free_wait(r, 0, NULL), 0);
    world_free(w);
}

/* ---- closers ---- */

struct thing {
    struct world *w;
    const char *name;
    int r;
    pthread_t thread;
    struct mast_closing *closing;
};

static void close_now(void *user, struct mast_closing *closing)
{
    struct thing *t = user;
    hear(&t->w->heard, "closing", t->name);
    mast_closed(closing, t->r, t->r < 0 ? "it does not want to" : NULL);
}

static void *answer_elsewhere(void *arg)
{
    struct thing *t = arg;
    mast_closed(t->closing, 0, NULL);
    return NULL;
}

static void close_elsewhere(void *user, struct mast_closing *closing)
{
    struct thing *t = user;
    hear(&t->w->heard, "closing", t->name);
    t->closing = closing;
    pthread_create(&t->thread, NULL, answer_elsewhere, t);
}

static void close_never(void *user, struct mast_closing *closing)
{
    ((struct thing *)user)->closing = closing;
}

static void test_closers_run_in_reverse(void **state)
{
    struct world *w = world_new();
    struct thing room = {.w = w, .name = "room"};
    struct thing mountpoint = {.w = w, .name = "mountpoint", .r = -EIO};
    struct thing forward = {.w = w, .name = "forward"};
    struct mast_lifecycle *l = NULL;
    const struct mast_observer o = heard_observer(&w->heard);
    struct mast_error err = {0};
    char *text = NULL;
    assert_int_equal(mast_lifecycle_new(w->mast, &o, &l, NULL), 0);
    mast_lifecycle_add(l, "room", close_now, &room);
    mast_lifecycle_add(l, "mountpoint", close_now, &mountpoint);
    mast_lifecycle_add(l, "forward", close_elsewhere, &forward);
    assert_int_equal(mast_lifecycle_close_wait(l, &text, &err), -EREMOTEIO);
    assert_string_equal(text, "{\"closed\":[\"forward\",\"room\"],\"failed\":[{\"resource\":"
                              "\"mountpoint\",\"error\":\"it does not want to\"}]}");
    free(text);
    assert_true(has_heard(&w->heard,
                          "closing:forward event:janus_resource_closed:forward closing:mountpoint "
                          "error:janus_cleanup:it does not want to closing:room "
                          "event:janus_resource_closed:room "));
    pthread_join(forward.thread, NULL);
    assert_true(heard_metric(&w->heard, " mast_events_total janus_resource_closed") == 2);
    assert_true(heard_metric(&w->heard, " mast_errors_total janus_cleanup") == 1);
    /* There is nothing left to be closed. */
    assert_int_equal(mast_lifecycle_close_wait(l, &text, &err), 0);
    assert_string_equal(text, "{\"closed\":[],\"failed\":[]}");
    free(text);
    /* Freeing closes. */
    heard_forget(&w->heard);
    mast_lifecycle_add(l, "room", close_now, &room);
    assert_int_equal(mast_lifecycle_free_wait(l, 0, NULL), 0);
    assert_true(has_heard(&w->heard, "closing:room "));
    world_free(w);
}

static void test_a_closer_that_does_not_answer(void **state)
{
    struct world *w = world_new();
    struct thing room = {.w = w, .name = "room"};
    struct mast_lifecycle *l = NULL;
    struct mast_error err = {0};
    assert_int_equal(mast_lifecycle_new(w->mast, NULL, &l, NULL), 0);
    mast_lifecycle_add(l, "room", close_never, &room);
    assert_int_equal(mast_lifecycle_free_wait(l, 50, &err), -ETIMEDOUT);
    mast_closed(room.closing, 0, NULL); /* late, and harmless */
    assert_int_equal(mast_free(w->mast), 0); /* that was told */
    w->mast = mast_new(NULL);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_process_is_kept_running),
        cmocka_unit_test(test_a_process_that_fails),
        cmocka_unit_test(test_the_end_of_the_instance_ends_its_children),
        cmocka_unit_test(test_a_full_queue_says_what_it_lost),
        cmocka_unit_test(test_a_relays_command),
        cmocka_unit_test(test_a_relay_runs),
        cmocka_unit_test(test_closers_run_in_reverse),
        cmocka_unit_test(test_a_closer_that_does_not_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
