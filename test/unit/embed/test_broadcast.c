/* SPDX-License-Identifier: Apache-2.0 */
/* Broadcasts through the C API at a real Janus, from several threads. */
#include "../unit.h"

#include "../await.h"
#include "../peer/real_janus.h"
#include "base/mem.h"
#include "heard.h"

#include <errno.h>
#include <jansson.h>
#include <mast/mast.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world {
    struct loop *l; /* that Janus is a child of; the test's own thread */
    struct real_janus *real;
    struct mast *mast;
    struct mast_orchestrator *orchestrator;
    struct heard heard;
};

static void open_orchestrator(struct world *w, const char *state_dir, bool suspend)
{
    const struct mast_janus_server janus = {.url = real_janus_url(w->real),
                                            .api_secret = "apis3cret",
                                            .admin_key = "stream-admin",
                                            .room_admin_key = "room-admin"};
    const struct mast_orchestrator_config config = {
        .janus = &janus,
        .n_janus = 1,
        .state_dir = state_dir,
        .suspend = suspend,
        .observer = heard_observer(&w->heard),
    };
    struct mast_error err = {0};
    if (mast_orchestrator_new(w->mast, &config, &w->orchestrator, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
}

static struct world *world_new(bool queue)
{
    struct world *w = mem_new(struct world);
    heard_init(&w->heard);
    w->l = loop_new("test", LOOP_CONTROL);
    w->real = real_janus_start(w->l);
    w->mast = mast_new(&(struct mast_config){.queue = queue});
    assert_non_null(w->mast);
    return w;
}

static void world_free(struct world *w)
{
    assert_int_equal(mast_free(w->mast), 0);
    real_janus_stop(w->real);
    loop_free(w->l);
    heard_done(&w->heard);
    free(w);
}

static char *request(const char *id, int mountpoint)
{
    return mem_printf(
        "{\"id\":\"%s\",\"source_kind\":\"frontend_owned\",\"room_id\":%d,"
        "\"mountpoint_spec\":{\"id\":%d,\"secret\":\"hush-hush\",\"media\":[{"
        "\"type\":\"video\",\"mid\":\"v\",\"port\":0,\"pt\":96,\"codec\":\"h264\"}]}}",
        id, mountpoint + 1000, mountpoint);
}

static char *text_at(const char *json, const char *key)
{
    json_t *v = json_loads(json, 0, NULL);
    assert_non_null(v);
    const char *s = json_string_value(json_object_get(v, key));
    char *copy = s ? mem_strdup(s) : NULL;
    json_decref(v);
    return copy;
}

static void assert_member(const char *json, const char *key, const char *value)
{
    _cleanup_free_ char *s = text_at(json, key);
    assert_non_null(s);
    assert_string_equal(s, value);
}

static void start(struct world *w, const char *id, int mountpoint)
{
    struct mast_error err = {0};
    _cleanup_free_ char *json = request(id, mountpoint);
    char *result = NULL;
    if (mast_broadcast_start_wait(w->orchestrator, json, &result, &err) < 0) {
        fail_msg("%s: %s: %s", id, err.where, err.text);
    }
    assert_member(result, "broadcast_id", id);
    assert_null(strstr(result, "hush-hush"));
    free(result);
}

static void test_start_look_and_stop(void **state)
{
    struct world *w = world_new(false);
    open_orchestrator(w, NULL, false);
    start(w, "one", 9001);
    char *text = NULL;
    struct mast_error err = {0};
    _cleanup_free_ char *again = request("one", 9001);
    assert_int_equal(mast_broadcast_start_wait(w->orchestrator, again, NULL, &err), -EEXIST);
    assert_int_equal(mast_broadcast_forget_wait(w->orchestrator, "one", NULL), -EBUSY);
    assert_int_equal(mast_broadcast_health_wait(w->orchestrator, "one", &text, NULL), 0);
    assert_non_null(strstr(text, "\"health\":{"));
    free(text);
    assert_int_equal(mast_broadcast_list_wait(w->orchestrator, &text, NULL), 0);
    assert_non_null(strstr(text, "\"broadcast_id\":\"one\""));
    free(text);
    assert_int_equal(mast_broadcast_restart_wait(w->orchestrator, "one", &text, &err), 0);
    free(text);
    assert_int_equal(mast_broadcast_stop_wait(w->orchestrator, "one", &text, &err), 0);
    assert_member(text, "state", "stopped");
    free(text);
    assert_true(has_heard(&w->heard, "one:starting "));
    assert_true(has_heard(&w->heard, "one:running "));
    assert_true(has_heard(&w->heard, "event:broadcast_running:one "));
    assert_true(has_heard(&w->heard, "event:janus_resource_closed:one "));
    assert_true(has_heard(&w->heard, "one:stopped"));
    /* Every event was counted by its name; the gauges are those of the /metrics page. */
    assert_true(heard_metric(&w->heard, " mast_events_total broadcast_running") == 2);
    assert_true(heard_metric(&w->heard, " mast_state_changes_total running") == 2);
    assert_true(heard_metric(&w->heard, " mast_events_total janus_resource_closed") >= 2);
    assert_true(heard_metric(&w->heard, " mast_broadcast_start_seconds ") > 0);
    WAIT_UNTIL(heard_metric(&w->heard, " mast_broadcasts stopped") == 1);
    assert_true(heard_metric(&w->heard, " mast_broadcasts running") == 0);
    assert_true(heard_metric(&w->heard, " mast_broadcasts_started_total ") == 1);
    assert_true(heard_metric(&w->heard, " mast_broadcast_debts ") == 0);
    assert_int_equal(mast_broadcast_forget_wait(w->orchestrator, "one", NULL), 0);
    assert_int_equal(mast_broadcast_result_wait(w->orchestrator, "one", NULL, NULL), -ENOENT);
    world_free(w);
}

/* A mountpoint of the same id: Janus says so, the room that was made for it is undone. */
static void test_a_failed_start_says_whose_words(void **state)
{
    struct world *w = world_new(false);
    open_orchestrator(w, NULL, false);
    start(w, "one", 9001);
    struct mast_error err = {0};
    char *result = NULL;
    _cleanup_free_ char *second = request("two", 9001);
    assert_int_equal(mast_broadcast_start_wait(w->orchestrator, second, &result, &err), -EREMOTEIO);
    assert_non_null(strstr(err.text, "mountpoint"));
    assert_member(result, "state", "failed");
    free(result);
    assert_true(has_heard(&w->heard, "error:start:mountpoint: "));
    assert_true(heard_metric(&w->heard, " mast_errors_total start") == 1);
    assert_true(heard_metric(&w->heard, " mast_events_total broadcast_error") == 1);
    WAIT_UNTIL(heard_metric(&w->heard, " mast_broadcasts_failed_total ") == 1);
    world_free(w);
}

struct worker {
    struct world *w;
    unsigned number;
    pthread_t thread;
    int started, stopped;
};

static void *work(void *arg)
{
    struct worker *k = arg;
    char id[16];
    snprintf(id, sizeof(id), "thread-%u", k->number);
    for (unsigned round = 0; round < 3; round++) {
        char *result = NULL;
        _cleanup_free_ char *json = request(id, 9100 + (int)k->number);
        k->started += mast_broadcast_start_wait(k->w->orchestrator, json, &result, NULL) == 0;
        free(result);
        mast_broadcast_list(k->w->orchestrator, NULL, NULL);
        k->stopped += mast_broadcast_stop_wait(k->w->orchestrator, id, NULL, NULL) == 0;
        mast_broadcast_forget_wait(k->w->orchestrator, id, NULL);
    }
    return NULL;
}

static void test_many_threads(void **state)
{
    struct world *w = world_new(false);
    struct worker workers[4];
    open_orchestrator(w, NULL, false);
    for (unsigned i = 0; i < ARRAY_LEN(workers); i++) {
        workers[i] = (struct worker){.w = w, .number = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < ARRAY_LEN(workers); i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].started, 3);
        assert_int_equal(workers[i].stopped, 3);
    }
    world_free(w);
}

/* Another orchestrator can make the same mountpoints: they were gone. */
static void test_free_stops_what_runs(void **state)
{
    struct world *w = world_new(false);
    struct mast_error err = {0};
    open_orchestrator(w, NULL, false);
    start(w, "one", 9001);
    start(w, "two", 9002);
    if (mast_orchestrator_free_wait(w->orchestrator, 0, &err) < 0) {
        fail_msg("%s", err.text);
    }
    assert_true(has_heard(&w->heard, "one:stopped"));
    assert_true(has_heard(&w->heard, "two:stopped"));
    open_orchestrator(w, NULL, false);
    start(w, "three", 9001);
    start(w, "four", 9002);
    /* The same by the end of the instance. */
    assert_int_equal(mast_free(w->mast), 0);
    w->mast = mast_new(NULL);
    open_orchestrator(w, NULL, false);
    start(w, "five", 9001);
    world_free(w);
}

static void test_free_tells_what_it_could_not_undo(void **state)
{
    struct world *w = world_new(false);
    struct mast_error err = {0};
    open_orchestrator(w, NULL, false);
    start(w, "one", 9001);
    real_janus_kill(w->real);
    int r = mast_orchestrator_free_wait(w->orchestrator, 1500, &err);
    assert_true(r == -ETIMEDOUT || r == -EREMOTEIO);
    assert_true(err.text[0] != '\0');
    assert_true(has_heard(&w->heard, "error:janus_cleanup") || r == -ETIMEDOUT);
    real_janus_again(w->real);
    assert_int_equal(mast_free(w->mast), 0); /* that was told */
    w->mast = mast_new(NULL);
    world_free(w);
}

static void test_stop_all_and_the_service(void **state)
{
    struct world *w = world_new(false);
    open_orchestrator(w, NULL, false);
    struct mast_service *s = mast_service_new(w->orchestrator);
    char *text = NULL;
    struct mast_error err = {0};
    _cleanup_free_ char *json = request("one", 9001);
    if (mast_service_start_wait(s, json, &text, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    assert_member(text, "broadcast_id", "one");
    assert_member(text, "source_kind", "frontend_owned");
    assert_null(strstr(text, "hush-hush"));
    free(text);
    start(w, "two", 9002);
    assert_int_equal(mast_service_health_wait(s, &text, NULL), 0);
    assert_non_null(strstr(text, "\"two\""));
    free(text);
    assert_int_equal(mast_service_stop_one_wait(s, "one", &text, NULL), 0);
    assert_member(text, "state", "stopped");
    free(text);
    assert_int_equal(mast_service_stop_wait(s, &text, NULL), 0);
    assert_non_null(strstr(text, "\"two\""));
    assert_null(strstr(text, "\"one\""));
    free(text);
    mast_service_free(s);
    world_free(w);
}

static void test_ports_that_are_none(void **state)
{
    struct world *w = world_new(false);
    const struct mast_janus_server janus = {.url = real_janus_url(w->real), .rtp_ports = "20000"};
    const struct mast_orchestrator_config config = {.janus = &janus, .n_janus = 1};
    struct mast_error err = {0};
    assert_int_equal(mast_orchestrator_new(w->mast, &config, &w->orchestrator, &err), -EINVAL);
    assert_string_equal(err.where, "rtp_ports");
    assert_null(w->orchestrator);
    world_free(w);
}

static void test_a_folder_brings_it_back(void **state)
{
    struct world *w = world_new(false);
    char dir[] = "/tmp/mast-embed-XXXXXX";
    char command[64];
    struct mast_error err = {0};
    struct mast_orchestrator *second = NULL;
    assert_non_null(mkdtemp(dir));
    open_orchestrator(w, dir, true);
    start(w, "one", 9001);
    const struct mast_orchestrator_config same = {.state_dir = dir};
    assert_int_equal(mast_orchestrator_new(w->mast, &same, &second, &err), -EBUSY);
    assert_null(second);
    assert_int_equal(mast_orchestrator_free_wait(w->orchestrator, 0, NULL), 0);
    heard_forget(&w->heard);
    open_orchestrator(w, dir, false);
    WAIT_UNTIL(has_heard(&w->heard, "one:running"));
    assert_int_equal(mast_broadcast_stop_wait(w->orchestrator, "one", NULL, NULL), 0);
    world_free(w);
    snprintf(command, sizeof(command), "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

struct queued {
    int answers;
    int r;
    pthread_t thread;
};

static void on_answer(void *user, const struct mast_reply *reply)
{
    struct queued *q = user;
    q->answers++;
    q->r = reply->r;
    q->thread = pthread_self();
}

static void test_an_application_with_a_loop_of_its_own(void **state)
{
    struct world *w = world_new(true);
    struct queued q = {0};
    struct pollfd p = {.fd = mast_fd(w->mast), .events = POLLIN};
    open_orchestrator(w, NULL, false);
    _cleanup_free_ char *json = request("one", 9001);
    mast_broadcast_start(w->orchestrator, json, on_answer, &q);
    while (q.answers == 0) {
        assert_int_equal(poll(&p, 1, AWAIT_MAX_MS), 1);
        mast_dispatch(w->mast);
    }
    assert_int_equal(q.r, 0);
    assert_true(pthread_equal(q.thread, pthread_self()));
    assert_true(has_heard(&w->heard, "one:running"));
    mast_orchestrator_free(w->orchestrator, 0, on_answer, &q);
    while (q.answers == 1) {
        assert_int_equal(poll(&p, 1, AWAIT_MAX_MS), 1);
        mast_dispatch(w->mast);
    }
    assert_int_equal(q.r, 0);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start_look_and_stop),
        cmocka_unit_test(test_a_failed_start_says_whose_words),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_free_stops_what_runs),
        cmocka_unit_test(test_free_tells_what_it_could_not_undo),
        cmocka_unit_test(test_stop_all_and_the_service),
        cmocka_unit_test(test_ports_that_are_none),
        cmocka_unit_test(test_a_folder_brings_it_back),
        cmocka_unit_test(test_an_application_with_a_loop_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
