/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C API's Janus client at a real Janus; and a session of the embedder's own, which is that client again: what an orchestrator
 * wants of it is asked through its handles.
 */
#include "../unit.h"

#include "../await.h"
#include "../peer/real_janus.h"
#include "base/mem.h"

#include <errno.h>
#include <mast/mast.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct world {
    struct loop *l; /* that Janus is a child of */
    struct real_janus *real;
    struct mast *mast;
    struct mast_janus *janus;
    atomic_int events, attached, again, detached, asked;
};

static void on_state(void *user, const char *resource, const char *state, const char *reason)
{
    struct world *w = user;
    if (strcmp(state, "attached_again") == 0) {
        atomic_fetch_add(&w->again, 1);
    }
}

static struct world *world_new(void)
{
    struct world *w = mem_new(struct world);
    w->l = loop_new("test", LOOP_CONTROL);
    w->real = real_janus_start(w->l);
    w->mast = mast_new(NULL);
    const struct mast_janus_config config = {.name = "mine",
                                             .url = real_janus_url(w->real),
                                             .api_secret = "apis3cret",
                                             .observer = {.user = w, .on_state_change = on_state}};
    struct mast_error err = {0};
    if (mast_janus_new(w->mast, &config, &w->janus, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    return w;
}

static void world_free(struct world *w)
{
    assert_int_equal(mast_free(w->mast), 0);
    real_janus_stop(w->real);
    loop_free(w->l);
    free(w);
}

static void on_event(void *user, const char *data)
{
    struct world *w = user;
    if (strstr(data, "destroyed")) {
        atomic_fetch_add(&w->events, 1);
    }
}

static struct mast_janus_handle *attach(struct world *w, const char *plugin)
{
    struct mast_janus_handle *h = NULL;
    struct mast_error err = {0};
    if (mast_janus_attach(w->janus, plugin, on_event, w, &h, &err) < 0 ||
        mast_janus_handle_ready_wait(h, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    return h;
}

/* ---- the client ---- */

static void test_asks_and_hears(void **state)
{
    struct world *w = world_new();
    struct mast_error err = {0};
    char *text = NULL;
    struct mast_janus *bad = NULL;
    assert_int_equal(mast_janus_new(w->mast, &(struct mast_janus_config){0}, &bad, &err), -EINVAL);
    assert_null(bad);
    struct mast_janus_handle *h = attach(w, "janus.plugin.videoroom");
    assert_int_equal(mast_janus_status_wait(w->janus, &text, NULL), 0);
    assert_non_null(strstr(text, "\"state\":\"up\""));
    free(text);
    assert_int_equal(mast_janus_ask_wait(h, "no json", &text, &err), -EINVAL);
    assert_int_equal(
        mast_janus_ask_wait(h, "{\"request\":\"listparticipants\",\"room\":1}", &text, &err),
        -EREMOTEIO);
    assert_string_equal(err.where, "426");
    assert_non_null(strstr(err.text, "No such room"));
    free(text);
    assert_int_equal(
        mast_janus_ask_wait(h, "{\"request\":\"create\",\"room\":1,\"admin_key\":\"room-admin\"}",
                            &text, &err),
        0);
    assert_non_null(strstr(text, "\"created\""));
    free(text);
    /* Somebody in the room hears that it is destroyed. */
    assert_int_equal(
        mast_janus_ask_wait(h, "{\"request\":\"join\",\"ptype\":\"publisher\",\"room\":1}", NULL,
                            &err),
        0);
    struct mast_janus_handle *other = attach(w, "janus.plugin.videoroom");
    assert_int_equal(mast_janus_ask_wait(other, "{\"request\":\"destroy\",\"room\":1}", NULL, NULL),
                     0);
    WAIT_UNTIL(atomic_load(&w->events) == 1);
    assert_int_equal(mast_janus_handle_free_wait(other), 0);
    struct mast_janus_handle *none = NULL;
    assert_int_equal(mast_janus_attach(w->janus, "janus.plugin.none", NULL, NULL, &none, NULL), 0);
    assert_int_equal(mast_janus_handle_ready_wait(none, &err), -ENODEV);
    world_free(w);
}

static void test_comes_back(void **state)
{
    struct world *w = world_new();
    struct mast_janus_handle *h = attach(w, "janus.plugin.streaming");
    real_janus_kill(w->real);
    WAIT_UNTIL(mast_janus_ask_wait(h, "{\"request\":\"list\"}", NULL, NULL) == -EAGAIN);
    real_janus_again(w->real);
    WAIT_UNTIL(atomic_load(&w->again) == 1);
    assert_int_equal(mast_janus_ask_wait(h, "{\"request\":\"list\"}", NULL, NULL), 0);
    world_free(w);
}

/* ---- a session of one's own ---- */

struct seat {
    struct world *w;
    struct mast_janus_seat *seat;
    struct mast_janus_handle *handle;
};

struct question {
    struct mast_janus_call *call;
};

static void on_seat_event(void *user, const char *data)
{
    const struct seat *s = user;
    _cleanup_free_ char *message =
        mem_printf("{\"janus\":\"event\",\"plugindata\":{\"plugin\":\"p\",\"data\":%s}}", data);
    mast_janus_event(s->seat, message);
}

static void on_seat_ready(void *user, const struct mast_reply *reply)
{
    const struct seat *s = user;
    if (reply->r == 0) {
        mast_janus_attached(s->seat);
    }
}

static void seat_attach(void *user, struct mast_janus_seat *seat, const char *plugin)
{
    struct world *w = user;
    struct seat *s = mem_new(struct seat);
    *s = (struct seat){.w = w, .seat = seat};
    mast_janus_seat_set(seat, s);
    atomic_fetch_add(&w->attached, 1);
    mast_janus_attach(w->janus, plugin, on_seat_event, s, &s->handle, NULL);
    mast_janus_handle_ready(s->handle, on_seat_ready, s);
}

static void on_seat_answer(void *user, const struct mast_reply *reply)
{
    struct question *q = user;
    /* Refusals of the plugin are in its data. One that the handle's end answered has no call any more. */
    if (reply->data) {
        _cleanup_free_ char *message = mem_printf(
            "{\"janus\":\"success\",\"plugindata\":{\"plugin\":\"p\",\"data\":%s}}", reply->data);
        mast_janus_answer(q->call, message);
    }
    free(q);
}

static void seat_ask(void *user, struct mast_janus_seat *seat, struct mast_janus_call *call,
                     const char *body)
{
    struct world *w = user;
    const struct seat *s = mast_janus_seat_own(seat);
    struct question *q = mem_new(struct question);
    q->call = call;
    atomic_fetch_add(&w->asked, 1);
    mast_janus_ask(s->handle, body, on_seat_answer, q);
}

static void on_seat_freed(void *user, const struct mast_reply *reply)
{
    free(user);
}

static void seat_detach(void *user, struct mast_janus_seat *seat)
{
    struct world *w = user;
    struct seat *s = mast_janus_seat_own(seat);
    atomic_fetch_add(&w->detached, 1);
    mast_janus_handle_free(s->handle, on_seat_freed, s);
}

static const struct mast_janus_backend backend = {
    .attach = seat_attach, .ask = seat_ask, .detach = seat_detach};

static struct mast_orchestrator *orchestrate(struct world *w)
{
    const struct mast_janus_server server = {.admin_key = "stream-admin",
                                             .room_admin_key = "room-admin",
                                             .backend = &backend,
                                             .backend_user = w};
    const struct mast_orchestrator_config config = {.janus = &server, .n_janus = 1};
    struct mast_orchestrator *o = NULL;
    struct mast_error err = {0};
    if (mast_orchestrator_new(w->mast, &config, &o, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    return o;
}

static const char frontend[] =
    "{\"id\":\"one\",\"source_kind\":\"frontend_owned\",\"room_id\":4321,\"mountpoint_spec\":{"
    "\"id\":9001,\"media\":[{\"type\":\"video\",\"mid\":\"v\",\"port\":0,\"pt\":96,"
    "\"codec\":\"h264\"}]}}";

static void test_a_session_of_the_embedders_own(void **state)
{
    struct world *w = world_new();
    struct mast_orchestrator *o = orchestrate(w);
    struct mast_error err = {0};
    char *text = NULL;
    struct mast_janus_handle *h = attach(w, "janus.plugin.streaming");
    if (mast_broadcast_start_wait(o, frontend, &text, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    free(text);
    assert_int_equal(atomic_load(&w->attached), 2);
    assert_int_equal(mast_janus_ask_wait(h, "{\"request\":\"info\",\"id\":9001}", NULL, NULL), 0);
    assert_int_equal(mast_broadcast_stop_wait(o, "one", NULL, NULL), 0);
    assert_int_equal(mast_janus_ask_wait(h, "{\"request\":\"info\",\"id\":9001}", NULL, NULL),
                     -EREMOTEIO);
    assert_int_equal(mast_orchestrator_free_wait(o, 0, NULL), 0);
    assert_int_equal(atomic_load(&w->detached), 2);
    assert_true(atomic_load(&w->asked) >= 4);
    world_free(w);
}

/* An embedder whose handles are refused, lost while they are asked, and answered too late. */
struct bad {
    atomic_int attached, asked, detached;
    bool refuse;
};

static void bad_attach(void *user, struct mast_janus_seat *seat, const char *plugin)
{
    struct bad *b = user;
    int n = atomic_load(&b->attached);
    if (b->refuse && n < 2) {
        mast_janus_detached(seat, "not now");
    } else {
        mast_janus_attached(seat);
        mast_janus_attached(seat); /* twice is once */
    }
    atomic_fetch_add(&b->attached, 1);
}

static void bad_ask(void *user, struct mast_janus_seat *seat, struct mast_janus_call *call,
                    const char *body)
{
    struct bad *b = user;
    switch (atomic_fetch_add(&b->asked, 1)) {
    case 0:
        mast_janus_answer(call, "no JSON");
        break;
    case 1:
        mast_janus_detached(seat, "the session was lost");
        mast_janus_event(seat, "{}"); /* behind it: nobody's */
        break;
    default:
        mast_janus_answer(call, "{\"janus\":\"success\",\"plugindata\":{\"plugin\":\"p\",\"data\":{"
                                "\"error_code\":499,\"error\":\"no\"}}}");
        break;
    }
}

static void bad_detach(void *user, struct mast_janus_seat *seat)
{
    atomic_fetch_add(&((struct bad *)user)->detached, 1);
}

static void meet_a_bad_session(int first)
{
    static const struct mast_janus_backend bad_backend = {
        .attach = bad_attach, .ask = bad_ask, .detach = bad_detach};
    struct bad b = {.refuse = true};
    struct mast *m = mast_new(NULL);
    const struct mast_janus_server server = {.backend = &bad_backend, .backend_user = &b};
    const struct mast_orchestrator_config config = {.janus = &server, .n_janus = 1};
    struct mast_orchestrator *o = NULL;
    atomic_store(&b.asked, first);
    assert_int_equal(mast_orchestrator_new(m, &config, &o, NULL), 0);
    assert_true(mast_broadcast_start_wait(o, frontend, NULL, NULL) < 0);
    assert_true(atomic_load(&b.attached) >= 4);
    assert_true(atomic_load(&b.asked) > first);
    (void)mast_free(m);
    /* Those that it had ended itself are not ended again. */
    assert_true(atomic_load(&b.detached) <= 2);
}

static void test_bad_sessions(void **state)
{
    meet_a_bad_session(0);
    meet_a_bad_session(1);
    meet_a_bad_session(2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_asks_and_hears),
        cmocka_unit_test(test_comes_back),
        cmocka_unit_test(test_a_session_of_the_embedders_own),
        cmocka_unit_test(test_bad_sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
