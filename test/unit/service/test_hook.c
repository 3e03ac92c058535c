/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks over real programs: failures, stops, streams that come and go. The rest is test/e2e/hook.test.mjs. */
#include "../await.h"

#include "base/mem.h"
#include "io/proc.h"
#include "service/hook/hook_service.h"

#include <string.h>

struct rig {
    struct loop *control;
    struct events *events;
    struct events_listener listener;
    struct hook_service *hooks;
    unsigned failed;
    bool stopped;
};

static void on_event(void *user, const struct event *e)
{
    struct rig *g = user;
    g->failed += strcmp(e->type, "hook.failed") == 0;
}

static void on_stopped(void *user)
{
    struct rig *g = user;
    g->stopped = true;
}

static void start(struct rig *g, const char *json)
{
    struct hook h;
    struct error err = {0};
    *g = (struct rig){.control = loop_new("control", LOOP_CONTROL)};
    g->events = events_new(g->control, &(struct events_config){0});
    g->listener = (struct events_listener){.on_event = on_event, .user = g};
    events_listen(g->events, &g->listener);
    g->hooks = hook_service_new(g->control, g->events);
    if (model_parse_json(&hook_model, &h, BYTES_STR(json), NULL, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    hook_service_configure(g->hooks, &h, 1);
    model_done(&hook_model, &h);
}

static void end(struct rig *g)
{
    hook_service_free(g->hooks);
    events_unlisten(&g->listener);
    events_free(g->events);
    RUN_UNTIL(g->control, proc_live() == 0);
    loop_free(g->control);
}

static void emit(struct rig *g, const char *type, const char *resource)
{
    events_emit(g->events, 0, type, resource, NULL);
}

static void test_the_table_is_sound(void **state)
{
    struct error err = {0};
    if (model_check(&hook_model, &err) < 0) {
        fail_msg("%s %s", err.where, err.text);
    }
}

static void test_failures_are_told_and_set_off_nothing(void **state)
{
    struct rig g;
    start(&g, "{\"name\":\"h\",\"on\":\"*\",\"run\":[\"/bin/false\"]}");
    emit(&g, "config.reloaded", "config");
    emit(&g, "stream.ready", "streams/a");
    RUN_UNTIL(g.control, g.failed == 2);
    RUN_UNTIL(g.control, proc_live() == 0);
    loop_run_once(g.control, 0);
    assert_int_equal(g.failed, 2);
    end(&g);
}

static void test_a_stop_ends_all_and_is_told_once(void **state)
{
    struct rig g;
    start(&g, "{\"name\":\"h\",\"on\":\"*\",\"run\":[\"/bin/sleep\",\"999\"],\"concurrency\":3}");
    for (int i = 0; i < 5; i++) {
        emit(&g, "config.reloaded", "config");
    }
    RUN_UNTIL(g.control, proc_live() == 3);
    hook_service_stop(g.hooks, on_stopped, &g);
    assert_false(g.stopped);
    RUN_UNTIL(g.control, g.stopped);
    assert_int_equal(proc_live(), 0);
    emit(&g, "config.reloaded", "config");
    loop_run_once(g.control, 0);
    assert_int_equal(proc_live(), 0);
    assert_int_equal(g.failed, 0);
    end(&g);
}

static void test_a_free_kills(void **state)
{
    struct rig g;
    start(&g, "{\"name\":\"h\",\"while\":\"stream.published\",\"run\":[\"/bin/sleep\",\"999\"]}");
    emit(&g, "stream.published", "streams/a");
    emit(&g, "stream.published", "streams/b");
    RUN_UNTIL(g.control, proc_live() == 2);
    end(&g);
}

static void test_a_lasting_program_follows_its_stream(void **state)
{
    struct rig g;
    start(
        &g,
        "{\"name\":\"h\",\"while\":\"stream.ready\",\"paths\":\"live/*\",\"run\":[\"/bin/sleep\",\"999\"]}");
    emit(&g, "stream.published", "streams/live/a");
    emit(&g, "stream.ready", "streams/other/b");
    loop_run_once(g.control, 0);
    assert_int_equal(proc_live(), 0);
    emit(&g, "stream.ready", "streams/live/a");
    RUN_UNTIL(g.control, proc_live() == 1);
    emit(&g, "stream.lost", "streams/live/a");
    emit(&g, "stream.published", "streams/live/a");
    emit(&g, "stream.ready", "streams/live/a");
    loop_run_once(g.control, 0);
    assert_int_equal(proc_live(), 1);
    /* Ended and back before the program is gone: one again, never two. */
    emit(&g, "stream.ended", "streams/live/a");
    emit(&g, "stream.published", "streams/live/a");
    emit(&g, "stream.ready", "streams/live/a");
    for (int i = 0; i < 20; i++) {
        loop_run_once(g.control, 5);
        assert_true(proc_live() <= 1);
    }
    RUN_UNTIL(g.control, proc_live() == 1);
    emit(&g, "stream.ended", "streams/live/a");
    RUN_UNTIL(g.control, proc_live() == 0);
    assert_int_equal(g.failed, 0);
    end(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_table_is_sound),
        cmocka_unit_test(test_failures_are_told_and_set_off_nothing),
        cmocka_unit_test(test_a_stop_ends_all_and_is_told_once),
        cmocka_unit_test(test_a_free_kills),
        cmocka_unit_test(test_a_lasting_program_follows_its_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
