/* SPDX-License-Identifier: Apache-2.0 */
/* A handle on an embedder's own session: what is asked, what is told to be forgotten, what recorded answers become. */
#include "../unit.h"

#include "../await.h"
#include "base/mem.h"
#include "peer/janus/janus_room.h"
#include "peer/janus/janus_streaming.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOT_TEXT "caf\xe9"

struct world {
    struct loop *l;
    struct janus_handle *h;
    bool refuses;
    unsigned asked, forgotten, detached;
    struct janus_call *call; /* asked last */
    char body[1024];
    unsigned forgotten_at_detach;
    unsigned answers, events;
    int r, code;
    char text[200];
};

static int ask(void *user, struct janus_call *call, const struct janus_ask *a)
{
    struct world *w = user;
    if (w->refuses) {
        return -EBUSY;
    }
    w->asked++;
    w->call = call;
    snprintf(w->body, sizeof(w->body), "%.*s", (int)a->body.len, (const char *)a->body.data);
    return 0;
}

static void forget(void *user, struct janus_call *call)
{
    struct world *w = user;
    assert_non_null(call);
    w->forgotten++;
}

static void detach(void *user)
{
    struct world *w = user;
    w->detached++;
    w->forgotten_at_detach = w->forgotten;
}

static void on_event(void *user, struct bytes data)
{
    struct world *w = user;
    assert_true(bytes_equal_str(data, "{\"videoroom\":\"event\"}"));
    w->events++;
}

static void setup(struct world *w)
{
    static const struct janus_backend backend = {.ask = ask, .forget = forget, .detach = detach};
    static const struct janus_handle_ops ops = {.on_event = on_event};
    *w = (struct world){.l = loop_new("test", LOOP_CONTROL)};
    w->h = janus_handle_from(w->l, "theirs", &backend, w, &ops, w);
    assert_true(janus_handle_is_attached(w->h));
}

static void teardown(struct world *w)
{
    w->h = janus_handle_free(w->h);
    assert_int_equal(w->detached, 1);
    loop_run_once(w->l, 0);
    loop_free(w->l);
}

static void on_done(void *user, const struct janus_result *res)
{
    struct world *w = user;
    w->answers++;
    w->r = res->r;
    w->code = res->code;
    snprintf(w->text, sizeof(w->text), "%s", res->text);
}

static struct janus_call *put(struct world *w, unsigned timeout_ms)
{
    const struct janus_ask a = {.body = BYTES_STR("{\"request\":\"list\"}"),
                                .timeout_ms = timeout_ms};
    return janus_ask(w->h, &a, on_done, w);
}

static void say(struct world *w, const char *message)
{
    janus_handle_answer(w->call, BYTES_STR(message));
}

#define SUCCESS(data)                                                                              \
    "{\"janus\":\"success\",\"session_id\":1,\"transaction\":\"x\",\"sender\":2,\"plugindata\":{"  \
    "\"plugin\":\"p\",\"data\":" data "}}"

static void test_answers_and_events(void **state)
{
    struct world w;
    setup(&w);
    put(&w, 0);
    assert_int_equal(w.asked, 1);
    say(&w, "{\"janus\":\"ack\",\"session_id\":1,\"transaction\":\"x\"}");
    assert_int_equal(w.answers, 0);
    say(&w, SUCCESS("{\"streaming\":\"ok\"}"));
    assert_int_equal(w.answers, 1);
    assert_int_equal(w.r, 0);
    put(&w, 0);
    say(&w, "{\"janus\":\"success\",\"session_id\":1}");
    assert_int_equal(w.r, -EPROTO);
    put(&w, 0);
    say(&w, "what is this");
    assert_int_equal(w.answers, 2);
    RUN_UNTIL(w.l, w.answers == 3);
    assert_int_equal(w.r, -EPROTO);
    janus_handle_deliver(w.h, BYTES_STR("{\"janus\":\"event\",\"sender\":2,\"plugindata\":{"
                                        "\"plugin\":\"p\",\"data\":{\"videoroom\":\"event\"}}}"));
    assert_int_equal(w.events, 1);
    janus_handle_deliver(w.h, BYTES_STR("{\"janus\":\"detached\",\"sender\":2}"));
    janus_handle_deliver(w.h, BYTES_STR("junk"));
    assert_int_equal(w.forgotten, 0);
    teardown(&w);
}

static void test_what_is_forgotten(void **state)
{
    struct world w;
    setup(&w);
    /* Overdue. */
    put(&w, 1);
    RUN_UNTIL(w.l, w.answers == 1);
    assert_int_equal(w.r, -ETIMEDOUT);
    assert_int_equal(w.forgotten, 1);
    /* Cancelled. */
    janus_call_cancel(put(&w, 0));
    assert_int_equal(w.forgotten, 2);
    /* Never asked: nothing to forget, cancelled or not. */
    w.refuses = true;
    put(&w, 0);
    janus_call_cancel(put(&w, 0));
    RUN_UNTIL(w.l, w.answers == 2);
    assert_int_equal(w.r, -EAGAIN);
    assert_int_equal(w.forgotten, 2);
    /* Answered with nonsense, and cancelled before that is told. */
    w.refuses = false;
    struct janus_call *c = put(&w, 0);
    say(&w, "[]");
    janus_call_cancel(c);
    assert_int_equal(w.forgotten, 2);
    assert_int_equal(w.detached, 0);
    teardown(&w);
}

static void test_a_handle_that_is_freed_forgets_first(void **state)
{
    struct world w;
    setup(&w);
    put(&w, 0);
    put(&w, 0);
    w.refuses = true;
    put(&w, 0);
    w.h = janus_handle_free(w.h);
    assert_int_equal(w.forgotten, 2);
    assert_int_equal(w.detached, 1);
    assert_int_equal(w.forgotten_at_detach, 2);
    RUN_UNTIL(w.l, w.answers == 3);
    assert_int_equal(w.r, -ECANCELED);
    teardown(&w);
}

/* ---- what cannot be sent is not ---- */

static void on_mountpoint(void *user, const struct janus_result *res,
                          const struct janus_mountpoint_info *info)
{
    on_done(user, res);
    assert_null(info);
}

static void on_mountpoints(void *user, const struct janus_result *res,
                           const struct janus_mountpoint_info *infos, unsigned n)
{
    on_done(user, res);
}

static void on_rooms(void *user, const struct janus_result *res,
                     const struct janus_room_info *rooms, unsigned n)
{
    on_done(user, res);
}

static void on_room(void *user, const struct janus_result *res, const struct model_id *id)
{
    on_done(user, res);
}

static void on_forwarders(void *user, const struct janus_result *res,
                          const struct janus_forwarder *f, unsigned n)
{
    on_done(user, res);
}

static void refused(struct world *w, const char *text)
{
    unsigned before = w->answers;
    RUN_UNTIL(w->l, w->answers == before + 1);
    assert_int_equal(w->r, -EINVAL);
    assert_string_equal(w->text, text);
    assert_int_equal(w->asked, 0);
}

static void test_text_that_is_no_text(void **state)
{
    struct world w;
    char bad[] = NOT_TEXT;
    char mid[] = "0";
    char host[] = "127.0.0.1";
    char *allowed[] = {bad};
    const struct model_id one = {.kind = MODEL_ID_INT, .num = 1};
    const struct model_id id = {.kind = MODEL_ID_STR, .str = bad};
    setup(&w);
    struct janus_track track = {.type = JANUS_DATA, .label = bad};
    const struct janus_mountpoint m = {.media = {&track, 1}};
    janus_streaming_create(w.h, &m, on_mountpoint, &w);
    refused(&w, "label: is no valid UTF-8");
    track.label = NULL;
    track.extra = bad;
    janus_streaming_create(w.h, &m, on_mountpoint, &w);
    refused(&w, "media[0].extra: must be an object");
    janus_streaming_info(w.h, &id, NULL, on_mountpoint, &w);
    refused(&w, "id: is no valid UTF-8");
    janus_streaming_info(w.h, &one, bad, on_mountpoint, &w);
    refused(&w, "secret: is no valid UTF-8");
    janus_streaming_list(w.h, bad, on_mountpoints, &w);
    refused(&w, "admin_key: is no valid UTF-8");
    const struct janus_streaming_edit edit = {.new_metadata = bad, .new_is_private = -1};
    janus_streaming_edit(w.h, &one, NULL, &edit, on_done, &w);
    refused(&w, "new_metadata: is no valid UTF-8");
    janus_streaming_destroy(w.h, &one, bad, false, on_done, &w);
    refused(&w, "secret: is no valid UTF-8");
    struct janus_room room = {.allowed = {allowed, 1}};
    janus_room_create(w.h, &room, on_room, &w);
    refused(&w, "allowed: is no valid UTF-8");
    room = (struct janus_room){.pin = bad};
    janus_room_edit(w.h, &room, NULL, on_done, &w);
    refused(&w, "new_pin: is no valid UTF-8");
    room = (struct janus_room){.extra = bad};
    janus_room_edit(w.h, &room, NULL, on_done, &w);
    refused(&w, "extra: must be an object");
    janus_room_list(w.h, bad, on_rooms, &w);
    refused(&w, "admin_key: is no valid UTF-8");
    struct janus_forward_stream stream = {.mid = mid, .port = 5004, .srtp_crypto = bad};
    const struct janus_forward f = {
        .room = one, .publisher_id = one, .host = host, .streams = {&stream, 1}};
    janus_room_forward(w.h, &f, on_forwarders, &w);
    refused(&w, "srtp_crypto: is no valid UTF-8");
    janus_room_stop_forward(w.h, &one, &id, 5, NULL, NULL, on_done, &w);
    refused(&w, "publisher_id: is no valid UTF-8");
    teardown(&w);
}

static void test_bodies_that_are_none(void **state)
{
    static const char *const bad[] = {
        "", "null", "[]", "\"x\"", "{\"a\":\"" NOT_TEXT "\"}", "{\"a\"", "{}{\"b\":1}", "{}}"};
    struct world w;
    setup(&w);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        const struct janus_ask a = {.body = BYTES_STR(bad[i])};
        janus_ask(w.h, &a, on_done, &w);
        refused(&w, "body: must be a JSON object");
    }
    const struct janus_ask a = {
        .body = BYTES_STR("{}"), .sdp_type = "offer", .sdp = "v=0 " NOT_TEXT};
    janus_ask(w.h, &a, on_done, &w);
    refused(&w, "sdp: must be text, and of a type");
    teardown(&w);
}

static void test_servers_that_make_no_sense(void **state)
{
    static const struct janus_ops ops = {0};
    static const struct {
        struct janus_config config;
        const char *where;
    } cases[] = {
        {{.url = "http://127.0.0.1"}, "url"},
        {{.url = "ws://127.0.0.1", .api_secret = NOT_TEXT}, "api_secret"},
        {{.url = "ws://127.0.0.1", .token = NOT_TEXT}, "token"},
    };
    struct loop *l = loop_new("test", LOOP_CONTROL);
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct error err = {0};
        assert_null(janus_new(l, &cases[i].config, &ops, NULL, &err));
        assert_int_equal(err.code, -EINVAL);
        assert_string_equal(err.where, cases[i].where);
    }
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_and_events),
        cmocka_unit_test(test_what_is_forgotten),
        cmocka_unit_test(test_a_handle_that_is_freed_forgets_first),
        cmocka_unit_test(test_text_that_is_no_text),
        cmocka_unit_test(test_bodies_that_are_none),
        cmocka_unit_test(test_servers_that_make_no_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
