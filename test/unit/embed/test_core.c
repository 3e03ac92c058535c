/* SPDX-License-Identifier: Apache-2.0 */
/* The instance of the C API: threads, log, queue, end. No Janus is there. */
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

static struct mast *make(const struct mast_config *config)
{
    struct mast *m = mast_new(config);
    assert_non_null(m);
    return m;
}

static struct mast_orchestrator *orchestrate(struct mast *m)
{
    /* Nothing listens there: port 9 of loopback. */
    const struct mast_janus_server janus = {.url = "ws://127.0.0.1:9"};
    const struct mast_orchestrator_config config = {.janus = &janus, .n_janus = 1};
    struct mast_orchestrator *o = NULL;
    struct mast_error err = {0};
    if (mast_orchestrator_new(m, &config, &o, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    return o;
}

static const char frontend[] =
    "{\"id\":\"one\",\"source_kind\":\"frontend_owned\",\"room_id\":4321,\"mountpoint_spec\":{"
    "\"id\":9001,\"media\":[{\"type\":\"video\",\"mid\":\"v\",\"port\":0,\"pt\":96,"
    "\"codec\":\"h264\"}]}}";

/* ---- life ---- */

static void test_comes_and_goes(void **state)
{
    assert_int_equal(mast_free(NULL), 0);
    struct mast *a = make(NULL);
    struct mast *b = make(&(struct mast_config){.media_loops = 2});
    assert_int_equal(mast_fd(a), -1);
    assert_int_equal(mast_dispatch(a), 0);
    assert_int_equal(mast_free(a), 0);
    assert_int_equal(mast_free(b), 0);
    errno = 0;
    assert_null(mast_new(&(struct mast_config){.media_loops = 1000}));
    assert_int_equal(errno, EINVAL);
}

static void test_servers_are_checked(void **state)
{
    struct mast *m = make(NULL);
    struct mast_orchestrator *o = (void *)1;
    struct mast_error err = {0};
    struct mast_janus_server two[2] = {{.url = "ws://127.0.0.1:9"}, {.url = "ws://127.0.0.1:9"}};
    const struct mast_orchestrator_config twice = {.janus = two, .n_janus = 2};
    assert_int_equal(mast_orchestrator_new(m, &twice, &o, &err), -EINVAL);
    assert_null(o);
    assert_string_equal(err.where, "janus");
    two[1] = (struct mast_janus_server){.name = "other"};
    assert_int_equal(mast_orchestrator_new(m, &twice, &o, &err), -EINVAL);
    assert_int_equal(mast_orchestrator_new(m, NULL, &o, NULL), 0);
    assert_int_equal(mast_orchestrator_free_wait(o, 0, NULL), 0);
    assert_int_equal(mast_orchestrator_free_wait(NULL, 0, NULL), 0);
    assert_int_equal(mast_free(m), 0);
}

/* ---- answers ---- */

struct answer {
    atomic_int count;
    int r;
    char where[120];
    char *data;
    pthread_t thread;
    struct mast *mast;
    struct mast_orchestrator *orchestrator;
    int waited, freed, made;
};

static void on_answer(void *user, const struct mast_reply *reply)
{
    struct answer *a = user;
    a->r = reply->r;
    snprintf(a->where, sizeof(a->where), "%s", reply->where);
    a->data = reply->data ? mem_strdup(reply->data) : NULL;
    a->thread = pthread_self();
    atomic_fetch_add(&a->count, 1);
}

static void test_answers_come_on_a_thread_of_its_own(void **state)
{
    struct mast *m = make(NULL);
    struct mast_orchestrator *o = orchestrate(m);
    struct answer a = {0};
    assert_int_equal(mast_broadcast_list(o, on_answer, &a), 0);
    WAIT_UNTIL(atomic_load(&a.count) == 1);
    assert_int_equal(a.r, 0);
    assert_string_equal(a.data, "{\"broadcasts\":[]}");
    assert_false(pthread_equal(a.thread, pthread_self()));
    free(a.data);
    a.data = NULL;
    mast_broadcast_start(o, "{\"source_kind\":\"frontend_owned\",\"room_id\":[]}", on_answer, &a);
    WAIT_UNTIL(atomic_load(&a.count) == 2);
    assert_int_equal(a.r, -EINVAL);
    assert_string_equal(a.where, "room_id");
    assert_null(a.data);
    /* Nobody needs to want the answer. */
    assert_int_equal(mast_broadcast_list(o, NULL, NULL), 0);
    assert_int_equal(mast_free(m), 0);
}

static void on_control(void *user, const struct mast_reply *reply)
{
    struct answer *a = user;
    struct mast_orchestrator *other = NULL;
    char *text = (char *)a;
    a->waited = mast_broadcast_list_wait(a->orchestrator, &text, NULL);
    assert_null(text);
    a->freed = mast_free(a->mast);
    /* What needs no waiting works there. */
    a->made = mast_orchestrator_new(a->mast, NULL, &other, NULL);
    mast_orchestrator_free(other, 0, NULL, NULL);
    atomic_fetch_add(&a->count, 1);
}

static void test_waiting_on_a_thread_of_ours_is_refused(void **state)
{
    struct mast *m = make(NULL);
    struct answer a = {.mast = m, .orchestrator = orchestrate(m)};
    mast_broadcast_list(a.orchestrator, on_control, &a);
    WAIT_UNTIL(atomic_load(&a.count) == 1);
    assert_int_equal(a.waited, -EDEADLK);
    assert_int_equal(a.freed, -EDEADLK);
    assert_int_equal(a.made, 0);
    assert_int_equal(mast_free(m), 0);
}

static void test_unknown_broadcasts(void **state)
{
    struct mast *m = make(NULL);
    struct mast_orchestrator *o = orchestrate(m);
    struct mast_error err = {0};
    char *text = NULL;
    assert_int_equal(mast_broadcast_stop_wait(o, "none", &text, &err), -ENOENT);
    assert_string_equal(err.where, "id");
    assert_int_equal(mast_broadcast_result_wait(o, "none", &text, NULL), -ENOENT);
    assert_int_equal(mast_broadcast_health_wait(o, "none", &text, NULL), -ENOENT);
    assert_int_equal(mast_broadcast_restart_wait(o, "none", &text, NULL), -ENOENT);
    assert_int_equal(mast_broadcast_forget_wait(o, "none", NULL), -ENOENT);
    assert_int_equal(mast_broadcast_stop_wait(o, NULL, NULL, NULL), -ENOENT);
    assert_int_equal(mast_broadcast_start_wait(o, NULL, NULL, NULL), -EBADMSG);
    assert_null(text);
    assert_int_equal(mast_broadcast_stop_all_wait(o, &text, NULL), 0);
    assert_string_equal(text, "{\"broadcasts\":[]}");
    free(text);
    assert_int_equal(mast_free(m), 0);
}

/* ---- requests from a struct ---- */

static void test_a_struct_becomes_a_document(void **state)
{
    struct mast *m = make(NULL);
    struct mast_orchestrator *o = orchestrate(m);
    struct mast_broadcast_request r;
    struct mast_error err = {0};
    char *plan = NULL;
    mast_broadcast_request_init(&r);
    r.source_kind = "videoroom";
    r.relay_kind = "none";
    r.room_id = 4321;
    r.publisher_id = 777;
    r.mountpoint_id = 9901;
    r.owned_by_app = false;
    r.host = "127.0.0.1";
    r.video_port = 5004;
    r.audio_port = 5006;
    r.video_pt = 96;
    r.audio_pt = 111;
    r.video_codec = "H264";
    r.audio_codec = "opus";
    char *json = mast_broadcast_request_json(&r);
    assert_non_null(strstr(json, "\"owned_by_app\":false"));
    if (mast_broadcast_plan_wait(o, json, &plan, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    assert_non_null(strstr(plan, "\"name\":\"forward\""));
    free(plan);
    free(json);
    r.mountpoint_spec = "[1]";
    assert_null(mast_broadcast_request_json(&r));
    r.mountpoint_spec = "{\"id\":9901}";
    json = mast_broadcast_request_json(&r);
    assert_non_null(strstr(json, "\"mountpoint_spec\":{\"id\":9901}"));
    free(json);
    assert_int_equal(mast_free(m), 0);
}

/* ---- the queue ---- */

static void wait_readable(struct mast *m)
{
    struct pollfd p = {.fd = mast_fd(m), .events = POLLIN};
    assert_int_equal(poll(&p, 1, AWAIT_MAX_MS), 1);
}

static bool is_readable(struct mast *m)
{
    struct pollfd p = {.fd = mast_fd(m), .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static void test_the_queue_waits_for_dispatch(void **state)
{
    struct mast *m = make(&(struct mast_config){.queue = true});
    struct mast_orchestrator *o = orchestrate(m);
    struct answer a = {0};
    char *text = NULL;
    assert_true(mast_fd(m) >= 0);
    mast_broadcast_list(o, on_answer, &a);
    wait_readable(m);
    /* This one comes behind it, and does not go through the queue: the first has been told long ago. */
    assert_int_equal(mast_broadcast_list_wait(o, &text, NULL), 0);
    free(text);
    assert_int_equal(atomic_load(&a.count), 0);
    assert_int_equal(mast_dispatch(m), 1);
    assert_int_equal(atomic_load(&a.count), 1);
    assert_true(pthread_equal(a.thread, pthread_self()));
    assert_false(is_readable(m));
    assert_int_equal(mast_dispatch(m), 0);
    free(a.data);
    /* What is still owed at the end comes from inside mast_free(), here. */
    mast_broadcast_list(o, on_answer, &a);
    assert_int_equal(mast_free(m), 0);
    assert_int_equal(atomic_load(&a.count), 2);
    free(a.data);
}

/* ---- the end, with things under way ---- */

static void test_free_answers_what_is_under_way(void **state)
{
    struct mast *m = make(&(struct mast_config){.stop_ms = 5000});
    struct mast_orchestrator *o = orchestrate(m);
    struct answer start = {0}, stop = {0};
    mast_broadcast_start(o, frontend, on_answer, &start);
    assert_int_equal(mast_orchestrator_free(o, 0, on_answer, &stop), 0);
    WAIT_UNTIL(atomic_load(&stop.count) == 1);
    assert_int_equal(atomic_load(&start.count), 1);
    assert_true(start.r == -EINTR || start.r == -ECANCELED);
    assert_int_equal(mast_free(m), 0);
    free(start.data);
}

/* ---- the log ---- */

struct lines {
    atomic_int n;
    atomic_bool dirty;
};

static void on_line(void *user, enum mast_log_level level, const char *line_topic, const char *text)
{
    struct lines *l = user;
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < 0x20) {
            atomic_store(&l->dirty, true);
        }
    }
    atomic_fetch_add(&l->n, 1);
}

static void test_each_instance_has_its_log(void **state)
{
    struct lines loud = {0}, quiet = {0}, other = {0};
    struct mast *a =
        make(&(struct mast_config){.log = on_line, .log_user = &loud, .log_level = MAST_LOG_DEBUG});
    struct mast *b = make(
        &(struct mast_config){.log = on_line, .log_user = &quiet, .log_level = MAST_LOG_ERROR});
    struct mast *c =
        make(&(struct mast_config){.log = on_line, .log_user = &other, .log_level = MAST_LOG_INFO});
    mast_broadcast_start(orchestrate(a), frontend, NULL, NULL);
    mast_broadcast_start(orchestrate(b), frontend, NULL, NULL);
    WAIT_UNTIL(atomic_load(&loud.n) > 0);
    mast_free(a);
    mast_free(b);
    mast_free(c);
    assert_int_equal(atomic_load(&quiet.n), 0);
    assert_int_equal(atomic_load(&other.n), 0);
    assert_false(atomic_load(&loud.dirty));
}

/* ---- an OBS that is not there ---- */

static void test_obs_is_not_there(void **state)
{
    struct mast *m = make(NULL);
    struct mast_obs *obs = NULL;
    struct mast_error err = {0};
    struct answer ready = {0};
    const struct mast_obs_config config = {.port = 9};
    assert_int_equal(mast_obs_new(m, &(struct mast_obs_config){.port = -1}, &obs, &err), -EINVAL);
    assert_int_equal(mast_obs_new(m, &config, &obs, &err), 0);
    mast_obs_ready(obs, on_answer, &ready);
    assert_int_equal(mast_obs_ask_wait(obs, "GetStreamStatus", "{}", NULL, &err), -EAGAIN);
    assert_int_equal(mast_obs_ask_wait(obs, NULL, NULL, NULL, &err), -EAGAIN);
    assert_int_equal(mast_obs_start_stream_wait(obs, NULL, "k", &err), -EINVAL);
    assert_string_equal(err.where, "server");
    assert_int_equal(mast_obs_stop_stream_wait(obs, &err), -EAGAIN);
    assert_int_equal(mast_obs_start_stream_wait(obs, "rtmp://127.0.0.1/live", "k", &err), -EAGAIN);
    assert_int_equal(mast_obs_free_wait(obs, 0, NULL), 0);
    assert_int_equal(atomic_load(&ready.count), 1);
    assert_int_equal(ready.r, -ECANCELED);
    assert_int_equal(mast_free(m), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comes_and_goes),
        cmocka_unit_test(test_servers_are_checked),
        cmocka_unit_test(test_answers_come_on_a_thread_of_its_own),
        cmocka_unit_test(test_waiting_on_a_thread_of_ours_is_refused),
        cmocka_unit_test(test_unknown_broadcasts),
        cmocka_unit_test(test_a_struct_becomes_a_document),
        cmocka_unit_test(test_the_queue_waits_for_dispatch),
        cmocka_unit_test(test_free_answers_what_is_under_way),
        cmocka_unit_test(test_each_instance_has_its_log),
        cmocka_unit_test(test_obs_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
