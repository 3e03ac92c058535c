/* SPDX-License-Identifier: Apache-2.0 */
/* Broadcasts at a Janus that answers when, and as, a test wants: what happens between a question and its answer. */
#include "../unit.h"

#include "broadcast_rig.h"

#include "../await.h"
#include "../peer/fake_plugins.h"
#include "base/mem.h"
#include "service/broadcast/broadcast_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world {
    struct loop *l;
    struct fake_plugins fake;
    struct broadcast_rig rig;
    struct out events;
    unsigned debt_ms;
    const char *janus_name;
    int64_t keep_ns;
    bool left;
};

static void on_event(void *user, const char *type, const char *id, const char *data)
{
    out_printf(&((struct world *)user)->events, "%s ", type);
}

static void open_service(struct world *w)
{
    const struct janus_server_config jc = {.name = (char *)w->janus_name,
                                           .url = w->fake.janus.peer.url};
    const struct broadcasts_config config = {
        .observer = {.on_event = on_event, .user = w},
        .pace = {.first_ms = 20, .max_ms = 50, .check_ms = 50},
        .debt_ms = w->debt_ms,
        .keep_ns = w->keep_ns,
        .tidy_ms = 10,
    };
    broadcast_rig_open(&w->rig, &jc, &config);
}

static void drop_service(struct world *w)
{
    broadcast_rig_drop(&w->rig);
}

static struct world *world_new(void)
{
    struct world *w = mem_new(struct world);
    w->l = loop_new("control", LOOP_CONTROL);
    w->debt_ms = 100;
    w->janus_name = "main";
    fake_plugins_start(&w->fake, w->l);
    broadcast_rig_init(&w->rig, w->l);
    open_service(w);
    return w;
}

static void on_left(void *user)
{
    ((struct world *)user)->left = true;
}

static void leave(struct world *w, enum broadcasts_leave how)
{
    w->left = false;
    broadcasts_leave(w->rig.service, how, 60000, on_left, w);
}

static void world_free(struct world *w)
{
    broadcast_rig_remove(&w->rig);
    fake_plugins_stop(&w->fake);
    loop_free(w->l);
    out_done(&w->events);
    free(w);
}

/* ---- requests ---- */

#define MEDIA                                                                                      \
    "\"media\":[{\"type\":\"video\",\"mid\":\"v\",\"port\":0,\"pt\":96,\"codec\":\"h264\"}]"

static struct broadcast *begin(struct world *w, const char *json)
{
    return broadcast_rig_begin(&w->rig, json);
}

static const char frontend[] = "{\"id\":\"one\",\"source_kind\":\"frontend_owned\",\"room_id\":5,"
                               "\"mountpoint_spec\":{\"id\":9001," MEDIA "}}";
static const char named[] = "{\"id\":\"one\",\"source_kind\":\"frontend_owned\",\"room_id\":5,"
                            "\"janus\":\"main\",\"mountpoint_spec\":{\"id\":9001," MEDIA "}}";
/* Its publisher is waited for. */
static const char browser[] =
    "{\"id\":\"one\",\"source_kind\":\"browser_webrtc\",\"room_id\":5,"
    "\"publisher_display\":\"cam\",\"mountpoint_spec\":{\"id\":9001," MEDIA "}}";

static const char videoroom[] = "{\"id\":\"one\",\"source_kind\":\"videoroom\",\"room_id\":5,"
                                "\"publisher_id\":7,\"mountpoint_spec\":{\"id\":9001," MEDIA "}}";

#define AWAIT_STATE(w, b, s) RUN_UNTIL((w)->l, broadcast_state(b) == (s))

static void hold(struct world *w, const char *request)
{
    w->fake.hold = request;
}

static void await_held(struct world *w)
{
    RUN_UNTIL(w->l, w->fake.held[0]);
}

/* The next answers to a request, until NULL. */
static void refuse(struct world *w, const char *request)
{
    w->fake.instead = request;
    w->fake.instead_data = "{\"streaming\":\"event\",\"error_code\":499,\"error\":\"no luck\"}";
    w->fake.instead_acts = false;
}

/* Takes effect, but is answered so. */
static void garble(struct world *w, const char *request, const char *data)
{
    w->fake.instead = request;
    w->fake.instead_data = data;
    w->fake.instead_acts = true;
}

/* The process ends, whatever it was doing, and the next one takes up what was written down. */
static struct broadcast *begin_again(struct world *w)
{
    drop_service(w);
    w->fake.hold = NULL;
    open_service(w);
    return broadcasts_find(w->rig.service, "one");
}

static void nothing_is_left(struct world *w)
{
    assert_false(w->fake.room);
    assert_false(w->fake.mountpoint);
    assert_int_equal(w->fake.n_forwarders, 0);
}

static void stop_and_wait(struct world *w, struct broadcast *b)
{
    broadcast_stop(b);
    AWAIT_STATE(w, b, BROADCAST_STOPPED);
    assert_int_equal(broadcast_debts(b), 0);
    nothing_is_left(w);
}

/* ---- publishers that come and go ---- */

static void test_a_publisher_leaves_while_it_is_forwarded(void **state)
{
    struct world *w = world_new();
    w->fake.publisher = 7;
    hold(w, "listforwarders");
    struct broadcast *b = begin(w, browser);
    await_held(w);
    fake_plugins_unpublish(&w->fake);
    RUN_UNTIL(w->l, broadcast_result(b)->steps.items[2].state != BROADCAST_STEP_DONE);
    fake_plugins_release(&w->fake);
    AWAIT_STATE(w, b, BROADCAST_DEGRADED);
    assert_string_equal(broadcast_result(b)->reason,
                        "publisher: publisher \"cam\" does not publish in room 5 yet");
    fake_plugins_publish(&w->fake, 8);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    assert_int_equal(w->fake.n_forwarders, 1);
    assert_int_equal(w->fake.forwarders[0].publisher, 8);
    stop_and_wait(w, b);
    world_free(w);
}

static void test_a_publisher_returns_while_it_is_forwarded(void **state)
{
    struct world *w = world_new();
    w->fake.publisher = 7;
    hold(w, "listforwarders");
    struct broadcast *b = begin(w, browser);
    await_held(w);
    fake_plugins_unpublish(&w->fake);
    fake_plugins_publish(&w->fake, 8);
    RUN_UNTIL(w->l, b->feed && b->feed->id.num == 8);
    fake_plugins_release(&w->fake);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    assert_int_equal(w->fake.forwarders[0].publisher, 8);
    assert_int_equal(broadcast_result(b)->forward_response->publisher_id.num, 8);
    assert_int_equal(w->fake.strays, 0); /* whatever was made is known by the id it was made of */
    stop_and_wait(w, b);
    world_free(w);
}

/* ---- ends ---- */

static void test_a_failure_that_healed_does_not_count(void **state)
{
    struct world *w = world_new();
    struct broadcast *b = begin(w, frontend);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    refuse(w, "create_mountpoint");
    w->fake.mountpoint = false;
    RUN_UNTIL(w->l, b->runner.failures == 1);
    refuse(w, NULL);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    leave(w, BROADCASTS_SUSPEND);
    RUN_UNTIL(w->l, w->left);
    nothing_is_left(w);
    b = begin_again(w);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    stop_and_wait(w, b);
    world_free(w);
}

static void test_a_refusal_after_the_end_is_no_failure(void **state)
{
    struct world *w = world_new();
    refuse(w, "create_room");
    hold(w, "create_room");
    struct broadcast *b = begin(w, frontend);
    await_held(w);
    broadcast_stop(b);
    fake_plugins_release(&w->fake);
    RUN_UNTIL(w->l, !broadcast_is_live(b));
    assert_int_equal(broadcast_state(b), BROADCAST_STOPPED);
    assert_null(broadcast_result(b)->reason);
    world_free(w);
}

static void test_a_restart_waits_for_a_debt(void **state)
{
    struct world *w = world_new();
    struct broadcast *b = begin(w, frontend);
    struct error err = {0};
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    refuse(w, "destroy_mountpoint");
    assert_int_equal(broadcast_restart(b, &err), 0);
    AWAIT_STATE(w, b, BROADCAST_STOPPED);
    assert_int_equal(broadcast_debts(b), 1);
    refuse(w, NULL);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    assert_int_equal(broadcast_result(b)->ended_at, 0);
    stop_and_wait(w, b);
    world_free(w);
}

/* Who is stopped meanwhile stays so. */
static void test_a_restart_is_called_off(void **state)
{
    struct world *w = world_new();
    struct broadcast *b = begin(w, frontend);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    refuse(w, "destroy_mountpoint");
    assert_int_equal(broadcast_restart(b, NULL), 0);
    AWAIT_STATE(w, b, BROADCAST_STOPPED);
    broadcast_stop(b);
    refuse(w, NULL);
    RUN_UNTIL(w->l, broadcast_debts(b) == 0 && b->runner.ended);
    assert_int_equal(broadcast_state(b), BROADCAST_STOPPED);
    nothing_is_left(w);
    world_free(w);
}

static void test_what_was_stopped_is_not_suspended(void **state)
{
    struct world *w = world_new();
    struct broadcast *b = begin(w, frontend);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    hold(w, "destroy_mountpoint");
    broadcast_stop(b);
    await_held(w);
    leave(w, BROADCASTS_SUSPEND);
    fake_plugins_release(&w->fake);
    RUN_UNTIL(w->l, w->left);
    assert_int_equal(broadcast_state(b), BROADCAST_STOPPED);
    b = begin_again(w);
    assert_int_equal(broadcast_state(b), BROADCAST_STOPPED);
    nothing_is_left(w);
    world_free(w);
}

/* The time for leaving was over, or the process was killed: it comes back all the same. */
static void test_a_suspend_that_is_cut_short(void **state)
{
    struct world *w = world_new();
    struct broadcast *b = begin(w, frontend);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    hold(w, "destroy_mountpoint");
    leave(w, BROADCASTS_SUSPEND);
    await_held(w);
    RUN_UNTIL(w->l, !b->op && !loop_task_pending(&b->save));
    b = begin_again(w);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    assert_true(w->fake.mountpoint);
    stop_and_wait(w, b);
    world_free(w);
}

static void test_what_shall_not_be_recovered_is_not(void **state)
{
    struct world *w = world_new();
    struct broadcast *b =
        begin(w, "{\"id\":\"one\",\"source_kind\":\"frontend_owned\",\"room_id\":5,"
                 "\"recover\":\"undo\",\"mountpoint_spec\":{\"id\":9001," MEDIA "}}");
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    leave(w, BROADCASTS_SUSPEND);
    RUN_UNTIL(w->l, w->left);
    b = begin_again(w);
    AWAIT_STATE(w, b, BROADCAST_STOPPED);
    nothing_is_left(w);
    world_free(w);
}

static void test_a_restart_during_an_end(void **state)
{
    struct world *w = world_new();
    struct broadcast *b = begin(w, frontend);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    hold(w, "destroy_mountpoint");
    assert_int_equal(broadcast_restart(b, NULL), 0);
    await_held(w);
    leave(w, BROADCASTS_SUSPEND);
    assert_int_equal(broadcast_restart(b, NULL), -ESHUTDOWN);
    fake_plugins_release(&w->fake);
    RUN_UNTIL(w->l, w->left);
    assert_false(b->runner.up);
    nothing_is_left(w);
    b = begin_again(w);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    stop_and_wait(w, b);
    world_free(w);
}

static void test_a_restart_that_is_cut_short(void **state)
{
    struct world *w = world_new();
    struct broadcast *b = begin(w, frontend);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    hold(w, "destroy_mountpoint");
    assert_int_equal(broadcast_restart(b, NULL), 0);
    await_held(w);
    RUN_UNTIL(w->l, !b->op && !loop_task_pending(&b->save));
    b = begin_again(w);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    assert_true(w->fake.mountpoint);
    stop_and_wait(w, b);
    world_free(w);
}

static void test_who_pays_a_debt_is_kept(void **state)
{
    struct world *w = world_new();
    struct broadcast *b = begin(w, frontend);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    refuse(w, "destroy_mountpoint");
    broadcast_stop(b);
    AWAIT_STATE(w, b, BROADCAST_STOPPED);
    assert_int_equal(broadcast_debts(b), 1);
    refuse(w, NULL);
    drop_service(w);
    w->keep_ns = 1; /* too old, all of them */
    hold(w, "destroy_mountpoint");
    open_service(w);
    await_held(w);
    int64_t end = clock_mono_ns() + 50 * NS_PER_MS; /* it is looked for old ones some times */
    while (clock_mono_ns() < end) {
        loop_run_once(w->l, 5);
    }
    assert_non_null(broadcasts_find(w->rig.service, "one"));
    fake_plugins_release(&w->fake);
    RUN_UNTIL(w->l, !broadcasts_find(w->rig.service, "one"));
    nothing_is_left(w);
    world_free(w);
}

/* ---- starts that fail half way ---- */

/* What it made is there to be undone. */
static void test_half_a_start_is_undone(void **state)
{
    static const struct {
        const char *request, *data;
    } cases[] = {
        {"create_mountpoint", "{\"streaming\":\"created\",\"stream\":{\"id\":9001,\"type\":"
                              "\"live\",\"ports\":[]}}"},
        {"create_mountpoint", "{\"nonsense\":true}"},
        {"create_room", "{\"nonsense\":true}"},
        {"rtp_forward", "{\"nonsense\":true}"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct world *w = world_new();
        w->fake.publisher = 7;
        garble(w, cases[i].request, cases[i].data);
        struct broadcast *b = begin(w, videoroom);
        AWAIT_STATE(w, b, BROADCAST_FAILED);
        assert_true(fake_plugins_was_asked(&w->fake, cases[i].request));
        assert_int_equal(broadcast_debts(b), 0);
        assert_int_equal(broadcast_result(b)->kept.len, 0);
        nothing_is_left(w);
        world_free(w);
    }
}

static void test_too_few_forwarders_are_undone(void **state)
{
    struct world *w = world_new();
    w->fake.publisher = 7;
    w->fake.simulcast = true;
    hold(w, "rtp_forward");
    refuse(w, "rtp_forward");
    w->fake.instead_data = "{\"videoroom\":\"rtp_forward\",\"publisher_id\":7,\"forwarders\":["
                           "{\"stream_id\":77,\"type\":\"video\",\"port\":5010}]}";
    struct broadcast *b = begin(w, videoroom);
    await_held(w);
    w->fake.forwarders[w->fake.n_forwarders++] = (struct fake_forwarder){77, 7, 5010};
    fake_plugins_release(&w->fake);
    AWAIT_STATE(w, b, BROADCAST_FAILED);
    assert_string_equal(broadcast_result(b)->reason, "forward: janus made 1 of 3 forwarders");
    const struct broadcast_step_view *v = &broadcast_result(b)->steps.items[3];
    assert_int_equal(v->state, BROADCAST_STEP_FAILED);
    assert_string_equal(v->error, "janus made 1 of 3 forwarders");
    nothing_is_left(w);
    world_free(w);
}

static void test_a_mountpoint_that_is_not_disabled_is_undone(void **state)
{
    struct world *w = world_new();
    refuse(w, "disable");
    struct broadcast *b =
        begin(w, "{\"source_kind\":\"frontend_owned\",\"room_id\":5,"
                 "\"mountpoint_spec\":{\"id\":9001,\"enabled\":false," MEDIA "}}");
    AWAIT_STATE(w, b, BROADCAST_FAILED);
    assert_true(fake_plugins_was_asked(&w->fake, "disable"));
    nothing_is_left(w);
    world_free(w);
}

/* Who listens in the room for nothing leaves it. */
static void test_a_failed_start_leaves_the_room(void **state)
{
    struct world *w = world_new();
    w->fake.room = true;
    struct broadcast *b = begin(w, videoroom);
    AWAIT_STATE(w, b, BROADCAST_FAILED);
    assert_int_equal(w->fake.joined, 1);
    RUN_UNTIL(w->l, w->fake.janus.asked[FAKE_DETACH] == 1);
    assert_int_equal(w->fake.janus.detached, w->fake.janus.handle);
    assert_true(w->fake.room);
    assert_int_equal(broadcast_result(b)->kept.len, 1);
    world_free(w);
}

/* It is stopped, and not taken for a thing that was there before. */
static void test_what_is_gone_is_not_kept(void **state)
{
    struct world *w = world_new();
    struct broadcast *b = begin(w, frontend);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    w->fake.mountpoint = w->fake.room = false;
    refuse(w, "create_room");
    RUN_UNTIL(w->l, b->runner.failures > 0);
    broadcast_stop(b);
    AWAIT_STATE(w, b, BROADCAST_STOPPED);
    assert_int_equal(broadcast_result(b)->kept.len, 0);
    world_free(w);
}

/* ---- checks ---- */

static void answer_last(struct world *w, const char *data)
{
    ws_peer_say(&w->fake.janus.peer,
                "{\"janus\":\"success\",\"transaction\":\"%s\",\"plugindata\":{\"plugin\":\"p\","
                "\"data\":%s}}",
                w->fake.janus.transaction[FAKE_MESSAGE], data);
}

/* A check is under way while the step begins anew, which is called off: the answers are nobody's. */
static void test_a_step_begins_anew_during_its_check(void **state)
{
    struct world *w = world_new();
    const unsigned *asked = &w->fake.janus.asked[FAKE_MESSAGE];
    void (*answers)(struct fake_janus *, enum fake_word) = w->fake.janus.after;
    w->fake.room = true;
    struct broadcast *b = begin(w, frontend);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    hold(w, "exists");
    await_held(w);
    w->fake.janus.after = NULL; /* it answers nothing any more */
    unsigned before = *asked;
    RUN_UNTIL(w->l, *asked == before + 1); /* the other step's check */
    step_lost(b->runner.steps[0], "somebody says so");
    RUN_UNTIL(w->l, *asked == before + 2);
    assert_int_equal(b->runner.steps[0]->state, STEP_STARTING);
    fake_plugins_release(&w->fake); /* of the check */
    for (unsigned i = 0; i < 20; i++) {
        loop_run_once(w->l, 1);
    }
    assert_int_equal(*asked, before + 2);
    answer_last(w, "{\"videoroom\":\"success\",\"exists\":false}");
    broadcast_stop(b);
    w->fake.janus.after = answers;
    AWAIT_STATE(w, b, BROADCAST_STOPPED);
    assert_false(w->fake.mountpoint);
    assert_true(w->fake.room);
    world_free(w);
}

/* ---- forwarders ---- */

static void test_one_layer_of_a_track_is_lost(void **state)
{
    struct world *w = world_new();
    w->fake.publisher = 7;
    w->fake.simulcast = true;
    struct broadcast *b = begin(w, videoroom);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    assert_int_equal(w->fake.n_forwarders, 3);
    w->fake.n_forwarders = 2;
    AWAIT_STATE(w, b, BROADCAST_RESTARTING);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    assert_int_equal(w->fake.n_forwarders, 3);
    assert_int_equal(w->fake.strays, 0);
    stop_and_wait(w, b);
    world_free(w);
}

/* The mountpoint has other ports now, and what goes to the former ones could not be stopped at once. */
static void test_forwarders_to_former_ports_are_stopped(void **state)
{
    struct world *w = world_new();
    w->fake.publisher = 7;
    struct broadcast *b = begin(w, videoroom);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    assert_int_equal(w->fake.forwarders[0].port, 5010);
    refuse(w, "stop_rtp_forward");
    w->fake.mountpoint = false;
    struct step *forward = runner_find(&b->runner, "forward");
    RUN_UNTIL(w->l, forward->state == STEP_DEBT);
    refuse(w, NULL);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    assert_int_equal(w->fake.n_forwarders, 1);
    assert_int_equal(w->fake.forwarders[0].port, 5020);
    stop_and_wait(w, b);
    world_free(w);
}

/* ---- another configuration ---- */

/* The next process knows the server by another name, or by that of before. */
static struct broadcast *begin_again_with(struct world *w, const char *janus)
{
    const struct broadcast *b = broadcasts_find(w->rig.service, "one");
    RUN_UNTIL(w->l, !b->op && !loop_task_pending(&b->save));
    w->janus_name = janus;
    return begin_again(w);
}

static void test_a_server_that_is_renamed(void **state)
{
    struct world *w = world_new();
    struct broadcast *b = begin(w, named);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    refuse(w, "destroy_mountpoint");
    broadcast_stop(b);
    AWAIT_STATE(w, b, BROADCAST_STOPPED);
    refuse(w, NULL);
    /* It is there, with what it owes and why. */
    b = begin_again_with(w, "other");
    assert_non_null(b);
    RUN_UNTIL(w->l, b->debt_tries > 0 && b->runner.ended);
    assert_int_equal(broadcast_debts(b), 1);
    assert_string_equal(b->runner.steps[1]->reason, "no Janus server is called \"main\"");
    struct error err = {0};
    assert_int_equal(broadcast_restart(b, &err), -EBUSY);
    b = begin_again_with(w, "main");
    RUN_UNTIL(w->l, broadcast_debts(b) == 0 && b->runner.ended);
    nothing_is_left(w);
    /* Ended for good, it is still no broadcast to be begun again elsewhere. */
    b = begin_again_with(w, "other");
    assert_int_equal(broadcast_restart(b, &err), -ENOENT);
    assert_string_equal(err.where, "janus");
    assert_int_equal(broadcast_state(b), BROADCAST_STOPPED);
    assert_int_equal(broadcast_forget(b), 0);
    world_free(w);
}

static void test_a_server_is_renamed_under_a_broadcast(void **state)
{
    struct world *w = world_new();
    struct broadcast *b = begin(w, named);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    b = begin_again_with(w, "other");
    assert_non_null(b);
    assert_int_equal(broadcast_state(b), BROADCAST_FAILED);
    assert_string_equal(broadcast_result(b)->reason, "janus: no Janus server is called \"main\"");
    RUN_UNTIL(w->l, b->debt_tries > 0 && b->runner.ended);
    assert_int_equal(broadcast_debts(b), 2);
    b = begin_again_with(w, "main");
    RUN_UNTIL(w->l, broadcast_debts(b) == 0 && b->runner.ended);
    assert_int_equal(broadcast_state(b), BROADCAST_FAILED);
    nothing_is_left(w);
    world_free(w);
}

static void test_health_tells_of_the_session(void **state)
{
    struct world *w = world_new();
    struct broadcast *b = begin(w, frontend);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    assert_true(broadcast_result(b)->health->session);
    w->fake.janus.manner[FAKE_INFO] = FAKE_SILENT;
    ws_peer_hang_up(&w->fake.janus.peer, 1001);
    AWAIT_STATE(w, b, BROADCAST_DEGRADED);
    assert_false(broadcast_result(b)->health->session);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_publisher_leaves_while_it_is_forwarded),
        cmocka_unit_test(test_a_publisher_returns_while_it_is_forwarded),
        cmocka_unit_test(test_a_failure_that_healed_does_not_count),
        cmocka_unit_test(test_a_refusal_after_the_end_is_no_failure),
        cmocka_unit_test(test_a_restart_waits_for_a_debt),
        cmocka_unit_test(test_a_restart_is_called_off),
        cmocka_unit_test(test_what_was_stopped_is_not_suspended),
        cmocka_unit_test(test_a_suspend_that_is_cut_short),
        cmocka_unit_test(test_what_shall_not_be_recovered_is_not),
        cmocka_unit_test(test_a_restart_during_an_end),
        cmocka_unit_test(test_a_restart_that_is_cut_short),
        cmocka_unit_test(test_who_pays_a_debt_is_kept),
        cmocka_unit_test(test_half_a_start_is_undone),
        cmocka_unit_test(test_too_few_forwarders_are_undone),
        cmocka_unit_test(test_a_mountpoint_that_is_not_disabled_is_undone),
        cmocka_unit_test(test_a_failed_start_leaves_the_room),
        cmocka_unit_test(test_what_is_gone_is_not_kept),
        cmocka_unit_test(test_a_step_begins_anew_during_its_check),
        cmocka_unit_test(test_one_layer_of_a_track_is_lost),
        cmocka_unit_test(test_forwarders_to_former_ports_are_stopped),
        cmocka_unit_test(test_a_server_that_is_renamed),
        cmocka_unit_test(test_a_server_is_renamed_under_a_broadcast),
        cmocka_unit_test(test_health_tells_of_the_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
