/* SPDX-License-Identifier: Apache-2.0 */
/* The client against a Janus that loses things, answers late, wrongly or not at all: it heals, and never hurries. */
#include "../unit.h"

#include "../await.h"
#include "base/mem.h"
#include "fake_janus.h"
#include "peer/janus/janus_room.h"
#include "peer/janus/janus_streaming.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world {
    struct loop *l;
    struct fake_janus fake;
    struct janus *j;
    struct janus_handle *h;
    unsigned ups, resumes, downs;
    unsigned attached, again, failed, handle_resumes, events, news;
    unsigned answers;
    int r, code;
    char text[200];
};

static void on_up(void *user, bool resumed)
{
    struct world *w = user;
    w->ups++;
    w->resumes += resumed;
}

static void on_down(void *user, const struct error *err)
{
    ((struct world *)user)->downs++;
}

static void on_attached(void *user, bool again)
{
    struct world *w = user;
    w->attached++;
    w->again += again;
}

static void on_failed(void *user, const struct error *err)
{
    ((struct world *)user)->failed++;
}

static void on_resumed(void *user)
{
    ((struct world *)user)->handle_resumes++;
}

static void on_event(void *user, struct bytes data)
{
    ((struct world *)user)->events++;
}

static void on_news(void *user, const char *event, const char *reason)
{
    ((struct world *)user)->news++;
}

static const struct janus_handle_ops handle_ops = {
    .on_attached = on_attached,
    .on_failed = on_failed,
    .on_resumed = on_resumed,
    .on_event = on_event,
    .on_janus = on_news,
};

static void on_done(void *user, const struct janus_result *res)
{
    struct world *w = user;
    w->answers++;
    w->r = res->r;
    w->code = res->code;
    snprintf(w->text, sizeof(w->text), "%s", res->text);
}

static void connect_with(struct world *w, unsigned request_ms, unsigned backoff_ms)
{
    static const struct janus_ops ops = {.on_up = on_up, .on_down = on_down};
    const struct janus_config config = {
        .name = "fake",
        .url = w->fake.peer.url,
        .request_ms = request_ms,
        .backoff_ms = backoff_ms,
    };
    struct error err = {0};
    w->j = janus_new(w->l, &config, &ops, w, &err);
    assert_non_null(w->j);
}

static void begin(struct world *w)
{
    *w = (struct world){.l = loop_new("test", LOOP_CONTROL)};
    fake_janus_start(&w->fake, w->l);
}

/* Connected, with one handle. */
static void setup(struct world *w, unsigned request_ms)
{
    begin(w);
    connect_with(w, request_ms, 10);
    w->h = janus_handle_new(w->j, JANUS_STREAMING, &handle_ops, w);
    RUN_UNTIL(w->l, w->attached == 1);
}

static void teardown(struct world *w)
{
    w->h = janus_handle_free(w->h);
    w->j = janus_free(w->j);
    fake_janus_stop(&w->fake);
    loop_free(w->l);
}

static void ask(struct world *w)
{
    const struct janus_ask a = {.body = BYTES_STR("{\"request\":\"list\"}")};
    unsigned before = w->answers;
    assert_non_null(janus_ask(w->h, &a, on_done, w));
    assert_int_equal(w->answers, before);
    RUN_UNTIL(w->l, w->answers == before + 1);
}

/* ---- claims ---- */

static void test_a_session_is_claimed(void **state)
{
    struct world w;
    setup(&w, 60000);
    ws_peer_hang_up(&w.fake.peer, 1001);
    RUN_UNTIL(w.l, w.ups == 2 && w.handle_resumes == 1);
    assert_int_equal(w.resumes, 1);
    assert_int_equal(w.fake.asked[FAKE_CREATE], 1);
    assert_int_equal(w.fake.asked[FAKE_ATTACH], 1);
    ask(&w);
    assert_int_equal(w.r, 0);
    /* One that Janus has forgotten is made anew. */
    w.fake.manner[FAKE_CLAIM] = FAKE_NO_SESSION;
    ws_peer_hang_up(&w.fake.peer, 1001);
    RUN_UNTIL(w.l, w.ups == 3 && w.again == 1);
    assert_int_equal(w.resumes, 1);
    assert_int_equal(w.fake.asked[FAKE_CREATE], 2);
    teardown(&w);
}

static void test_a_handle_is_lost_while_its_session_is_claimed(void **state)
{
    struct world w;
    setup(&w, 60000);
    w.fake.manner[FAKE_CLAIM] = FAKE_SILENT;
    ws_peer_hang_up(&w.fake.peer, 1001);
    RUN_UNTIL(w.l, w.fake.asked[FAKE_CLAIM] == 1);
    ws_peer_say(&w.fake.peer,
                "{\"janus\":\"detached\",\"session_id\":%" PRId64 ",\"sender\":%" PRId64 "}",
                w.fake.session, w.fake.handle);
    RUN_UNTIL(w.l, !janus_handle_is_attached(w.h));
    assert_int_equal(w.fake.asked[FAKE_ATTACH],
                     1); /* nothing is asked before the claim is answered */
    ws_peer_say(&w.fake.peer,
                "{\"janus\":\"success\",\"session_id\":%" PRId64 ",\"transaction\":\"%s\"}",
                w.fake.session, w.fake.transaction[FAKE_CLAIM]);
    RUN_UNTIL(w.l, w.again == 1);
    ask(&w);
    assert_int_equal(w.r, 0);
    assert_int_equal(w.fake.asked[FAKE_ATTACH], 2);
    assert_int_equal(w.handle_resumes, 0);
    teardown(&w);
}

static void test_what_is_freed_while_it_is_down_is_detached_after(void **state)
{
    struct world w;
    setup(&w, 60000);
    ws_peer_hang_up(&w.fake.peer, 1001);
    RUN_UNTIL(w.l, w.downs == 1);
    w.h = janus_handle_free(w.h);
    RUN_UNTIL(w.l, w.fake.asked[FAKE_DETACH] == 1);
    assert_int_equal(w.fake.detached, w.fake.handle);
    teardown(&w);
}

/* ---- attaching ---- */

static void test_an_attach_that_is_not_answered_is_tried_again(void **state)
{
    struct world w;
    char first[32];
    begin(&w);
    w.fake.manner[FAKE_ATTACH] = FAKE_SILENT;
    connect_with(&w, 200, 10);
    w.h = janus_handle_new(w.j, JANUS_STREAMING, &handle_ops, &w);
    RUN_UNTIL(w.l, w.fake.asked[FAKE_ATTACH] == 1);
    snprintf(first, sizeof(first), "%s", w.fake.transaction[FAKE_ATTACH]);
    RUN_UNTIL(w.l, w.fake.asked[FAKE_ATTACH] == 3);
    assert_int_equal(w.failed, 0);
    /* The first answer comes after all: that handle is nobody's. */
    w.fake.manner[FAKE_ATTACH] = FAKE_WELL;
    ws_peer_say(&w.fake.peer,
                "{\"janus\":\"success\",\"session_id\":%" PRId64
                ",\"transaction\":\"%s\",\"data\":{\"id\":777}}",
                w.fake.session, first);
    RUN_UNTIL(w.l, w.fake.asked[FAKE_DETACH] == 1);
    assert_int_equal(w.fake.detached, 777);
    RUN_UNTIL(w.l, w.attached == 1);
    assert_int_equal(w.fake.peer.connects, 1);
    teardown(&w);
}

static void test_an_attach_without_sense_is_tried_again(void **state)
{
    static const enum fake_manner manners[] = {FAKE_NO_ID, FAKE_MISFIT};
    for (unsigned i = 0; i < ARRAY_LEN(manners); i++) {
        struct world w;
        begin(&w);
        w.fake.manner[FAKE_ATTACH] = manners[i];
        connect_with(&w, 60000, 10);
        w.h = janus_handle_new(w.j, JANUS_STREAMING, &handle_ops, &w);
        RUN_UNTIL(w.l, w.fake.asked[FAKE_ATTACH] == 3);
        w.fake.manner[FAKE_ATTACH] = FAKE_WELL;
        RUN_UNTIL(w.l, w.attached == 1);
        assert_int_equal(w.failed, 0);
        assert_int_equal(w.fake.peer.connects, 1);
        teardown(&w);
    }
}

static void test_a_plugin_that_is_missing_is_told_once_a_session(void **state)
{
    struct world w;
    begin(&w);
    w.fake.manner[FAKE_ATTACH] = FAKE_NO_PLUGIN;
    w.fake.manner[FAKE_CLAIM] = FAKE_NO_SESSION;
    connect_with(&w, 60000, 10);
    w.h = janus_handle_new(w.j, JANUS_STREAMING, &handle_ops, &w);
    RUN_UNTIL(w.l, w.failed == 1);
    RUN_FOR(w.l, 200);
    assert_int_equal(w.fake.asked[FAKE_ATTACH], 1);
    w.fake.manner[FAKE_ATTACH] = FAKE_WELL;
    ws_peer_hang_up(&w.fake.peer, 1001);
    RUN_UNTIL(w.l, w.attached == 1);
    teardown(&w);
}

static void test_an_attach_finds_that_the_session_is_gone(void **state)
{
    struct world w;
    begin(&w);
    w.fake.manner[FAKE_ATTACH] = FAKE_NO_SESSION;
    connect_with(&w, 60000, 10);
    w.h = janus_handle_new(w.j, JANUS_STREAMING, &handle_ops, &w);
    RUN_UNTIL(w.l, w.fake.asked[FAKE_CREATE] == 2);
    w.fake.manner[FAKE_ATTACH] = FAKE_WELL;
    RUN_UNTIL(w.l, w.attached == 1);
    assert_int_equal(w.failed, 0);
    assert_int_equal(w.fake.asked[FAKE_CLAIM], 0);
    teardown(&w);
}

static void test_a_handle_that_is_freed_while_attaching_is_detached(void **state)
{
    struct world w;
    begin(&w);
    w.fake.manner[FAKE_ATTACH] = FAKE_SILENT;
    connect_with(&w, 60000, 10);
    w.h = janus_handle_new(w.j, JANUS_STREAMING, &handle_ops, &w);
    RUN_UNTIL(w.l, w.fake.asked[FAKE_ATTACH] == 1);
    w.h = janus_handle_free(w.h);
    ws_peer_say(&w.fake.peer,
                "{\"janus\":\"success\",\"session_id\":%" PRId64
                ",\"transaction\":\"%s\",\"data\":{\"id\":778}}",
                w.fake.session, w.fake.transaction[FAKE_ATTACH]);
    RUN_UNTIL(w.l, w.fake.asked[FAKE_DETACH] == 1);
    assert_int_equal(w.fake.detached, 778);
    teardown(&w);
}

/* ---- haste ---- */

static void say_timeout(struct fake_janus *f, enum fake_word word)
{
    if (word == FAKE_CREATE) {
        ws_peer_say(&f->peer, "{\"janus\":\"timeout\",\"session_id\":%" PRId64 "}", f->session);
    }
}

static void say_detached(struct fake_janus *f, enum fake_word word)
{
    if (word == FAKE_ATTACH) {
        ws_peer_say(&f->peer,
                    "{\"janus\":\"detached\",\"session_id\":%" PRId64 ",\"sender\":%" PRId64 "}",
                    f->session, f->handle);
    }
}

static void hang_up(struct fake_janus *f, enum fake_word word)
{
    if (word == FAKE_CREATE || word == FAKE_CLAIM) {
        ws_peer_hang_up(&f->peer, 1001);
    }
}

/* Waits of at least 50, 100, 200, 400, 800 ms: five tries in a second, and not one more on any machine. */
static void test_what_fails_at_once_is_not_hurried(void **state)
{
    static const struct {
        enum fake_word word;
        enum fake_manner manner;
        void (*after)(struct fake_janus *f, enum fake_word word);
    } cases[] = {
        {FAKE_CREATE, FAKE_WELL, say_timeout},  {FAKE_CREATE, FAKE_WELL, hang_up},
        {FAKE_CREATE, FAKE_MISFIT, NULL},       {FAKE_CREATE, FAKE_NO_ID, NULL},
        {FAKE_CREATE, FAKE_NO_SESSION, NULL},   {FAKE_INFO, FAKE_NO_ID, NULL},
        {FAKE_INFO, FAKE_NO_PLUGIN, NULL},      {FAKE_ATTACH, FAKE_NO_SESSION, NULL},
        {FAKE_ATTACH, FAKE_WELL, say_detached}, {FAKE_ATTACH, FAKE_NO_ID, NULL},
    };
    struct world w[ARRAY_LEN(cases)];
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        begin(&w[i]);
        w[i].fake.manner[cases[i].word] = cases[i].manner;
        w[i].fake.after = cases[i].after;
        connect_with(&w[i], 60000, 100);
        w[i].h = janus_handle_new(w[i].j, JANUS_STREAMING, &handle_ops, &w[i]);
    }
    int64_t end = clock_mono_ns() + NS_PER_S;
    while (clock_mono_ns() < end) {
        for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
            loop_run_once(w[i].l, 1);
        }
    }
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        const unsigned *asked = w[i].fake.asked;
        assert_in_range(w[i].fake.peer.connects, 1, 5);
        assert_in_range(asked[FAKE_CREATE] + asked[FAKE_CLAIM], 0, 5);
        assert_true(asked[FAKE_ATTACH] <= 6);
        teardown(&w[i]);
    }
}

static void test_a_session_that_proved_itself_is_replaced_at_once(void **state)
{
    struct world w;
    setup(&w, 60000);
    RUN_UNTIL(w.l, w.fake.asked[FAKE_KEEPALIVE] == 2); /* the first is answered, then */
    ws_peer_say(&w.fake.peer, "{\"janus\":\"timeout\",\"session_id\":%" PRId64 "}", w.fake.session);
    RUN_UNTIL(w.l, w.again == 1);
    assert_int_equal(w.fake.peer.connects, 1);
    assert_int_equal(w.fake.asked[FAKE_CREATE], 2);
    assert_int_equal(w.downs, 1);
    teardown(&w);
}

static void test_keepalives_without_answer_end_the_connection(void **state)
{
    struct world w;
    setup(&w, 200);
    w.fake.manner[FAKE_KEEPALIVE] = FAKE_SILENT;
    RUN_UNTIL(w.l, w.downs == 1);
    RUN_UNTIL(w.l, w.resumes == 1);
    w.fake.manner[FAKE_KEEPALIVE] = FAKE_WELL;
    ask(&w);
    assert_int_equal(w.r, 0);
    teardown(&w);
}

static void test_steps_of_another_kind_are_refused(void **state)
{
    static const enum fake_word steps[] = {FAKE_INFO, FAKE_CREATE};
    for (unsigned i = 0; i < ARRAY_LEN(steps); i++) {
        struct world w;
        begin(&w);
        w.fake.manner[steps[i]] = FAKE_MISFIT;
        connect_with(&w, 60000, 10);
        RUN_UNTIL(w.l, strstr(janus_reason(w.j), "no answer"));
        assert_int_equal(w.ups, 0);
        w.fake.manner[steps[i]] = FAKE_WELL;
        RUN_UNTIL(w.l, w.ups == 1);
        teardown(&w);
    }
}

/* ---- calls ---- */

static void test_what_answers_a_call(void **state)
{
    static const struct {
        const char *answer;
        int r, code;
    } cases[] = {
        {"{\"janus\":\"success\",\"transaction\":\"%s\"}", -EPROTO, 0},
        {"{\"janus\":\"success\",\"transaction\":\"%s\",\"plugindata\":{\"plugin\":\"p\"}}",
         -EPROTO, 0},
        {"{\"janus\":\"webrtcup\",\"transaction\":\"%s\",\"sender\":7}", -EPROTO, 0},
        {"{\"janus\":\"server_info\",\"transaction\":\"%s\",\"version\":7}", -EPROTO, 0},
        {"{\"janus\":\"detached\",\"transaction\":\"%s\",\"sender\":7}", -EPROTO, 0},
        {"{\"janus\":\"frob\",\"transaction\":\"%s\"}", -EPROTO, 0},
        {"{\"janus\":\"event\",\"transaction\":\"%s\",\"plugindata\":{\"plugin\":\"p\",\"data\":"
         "{\"x\":1}}}",
         0, 0},
        {"{\"janus\":\"error\",\"transaction\":\"%s\"}", -EREMOTEIO, 0},
        {"{\"janus\":\"error\",\"transaction\":\"%s\",\"error\":{\"code\":467,\"reason\":\"no\"}}",
         -EREMOTEIO, 467},
        {"{\"janus\":\"success\",\"transaction\":\"%s\",\"plugindata\":{\"plugin\":\"p\",\"data\":"
         "{\"streaming\":\"event\",\"error_code\":455,\"error\":\"No such\\n\"}}}",
         -EREMOTEIO, 455},
    };
    struct world w;
    setup(&w, 60000);
    w.fake.manner[FAKE_MESSAGE] = FAKE_RAW;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        w.fake.raw = cases[i].answer;
        ask(&w);
        assert_int_equal(w.r, cases[i].r);
        assert_int_equal(w.code, cases[i].code);
    }
    assert_string_equal(w.text, "No such");
    teardown(&w);
}

static void test_a_call_finds_that_its_handle_is_gone(void **state)
{
    struct world w;
    setup(&w, 60000);
    w.fake.manner[FAKE_MESSAGE] = FAKE_NO_HANDLE;
    ask(&w);
    assert_int_equal(w.r, -ENOTCONN);
    w.fake.manner[FAKE_MESSAGE] = FAKE_WELL;
    RUN_UNTIL(w.l, w.again == 1);
    ask(&w);
    assert_int_equal(w.r, 0);
    /* The whole session. */
    w.fake.manner[FAKE_MESSAGE] = FAKE_NO_SESSION;
    ask(&w);
    assert_int_equal(w.r, -ENOTCONN);
    w.fake.manner[FAKE_MESSAGE] = FAKE_WELL;
    RUN_UNTIL(w.l, w.again == 2);
    ask(&w);
    assert_int_equal(w.r, 0);
    teardown(&w);
}

static void test_an_answer_that_is_late_answers_nothing(void **state)
{
    struct world w;
    setup(&w, 200);
    w.fake.manner[FAKE_MESSAGE] = FAKE_SILENT;
    ask(&w);
    assert_int_equal(w.r, -ETIMEDOUT);
    ws_peer_say(&w.fake.peer,
                "{\"janus\":\"success\",\"session_id\":%" PRId64
                ",\"transaction\":\"%s\",\"sender\":%" PRId64
                ",\"plugindata\":{\"plugin\":\"p\",\"data\":{}}}",
                w.fake.session, w.fake.transaction[FAKE_MESSAGE], w.fake.handle);
    w.fake.manner[FAKE_MESSAGE] = FAKE_WELL;
    ask(&w);
    assert_int_equal(w.r, 0);
    assert_int_equal(w.answers, 2);
    assert_int_equal(w.fake.asked[FAKE_DETACH], 0);
    teardown(&w);
}

static void test_junk_is_dropped(void **state)
{
    static const char *const junk[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"janus\":5}",
        "{\"janus\":\"success\",\"transaction\":7}",
        "{\"janus\":\"success\",\"transaction\":\"m99999999999999999999999\"}",
        "{\"janus\":\"success\",\"transaction\":\"m-1\"}",
        "{\"janus\":\"success\",\"transaction\":\"m424242\",\"data\":{\"id\":\"x\"}}",
        "{\"janus\":\"success\",\"transaction\":\"theirs\",\"data\":{\"id\":5}}",
        "{\"janus\":\"success\",\"data\":{\"id\":5}}",
        "{\"janus\":\"event\",\"sender\":1e300}",
        "{\"janus\":\"event\",\"sender\":9223372036854775808}",
        "{\"janus\":\"event\",\"sender\":42,\"plugindata\":{\"data\":[]}}",
        "{\"janus\":\"error\",\"error\":{\"code\":458}}",
        "{\"janus\":\"timeout\",\"session_id\":42}",
        "{\"janus\":\"detached\",\"sender\":42}",
        "{\"janus\":\"detached\",\"sender\":0}",
        "{\"janus\":\"server_info\",\"session-timeout\":-5}",
        "{\"janus\":\"event\",\"janus\":\"event\"}",
        "{\"janus\":\"success\\u0000\"}",
    };
    struct world w;
    setup(&w, 60000);
    for (unsigned i = 0; i < ARRAY_LEN(junk); i++) {
        ws_peer_say_bytes(&w.fake.peer, BYTES_STR(junk[i]));
    }
    /* Deep, and long. */
    _cleanup_free_ char *deep = mem_alloc(200000);
    memset(deep, '[', 200000);
    ws_peer_say_bytes(&w.fake.peer, BYTES(deep, 200000));
    memcpy(deep, "{\"janus\":\"", 10);
    ws_peer_say_bytes(&w.fake.peer, BYTES(deep, 200000));
    memset(deep + 10, 'x', 200000 - 12);
    memcpy(deep + 200000 - 2, "\"}", 2);
    ws_peer_say_bytes(&w.fake.peer, BYTES(deep, 200000));
    ask(&w);
    assert_int_equal(w.r, 0);
    assert_int_equal(w.fake.peer.connects, 1);
    assert_int_equal(w.downs + w.events + w.news, 0);
    assert_int_equal(w.fake.asked[FAKE_DETACH], 0);
    teardown(&w);
}

/* ---- a listener ---- */

#define JOINED                                                                                     \
    "{\"videoroom\":\"joined\",\"room\":5,\"id\":1,\"private_id\":2,\"publishers\":[{\"id\":9,"    \
    "\"display\":\"cam\",\"streams\":[{\"type\":\"video\",\"mindex\":0,\"mid\":\"0\",\"codec\":"   \
    "\"vp8\"}]}]}"

struct ears {
    struct world w;
    struct janus_listener *listener;
    unsigned joined, feeds, gone, outs, permanent;
    char text[200], why[32];
    bool ends; /* when it hears that it is out */
};

static void on_joined(void *user)
{
    ((struct ears *)user)->joined++;
}

static void on_feed(void *user, const struct janus_feed *feed)
{
    ((struct ears *)user)->feeds++;
}

static void on_feed_gone(void *user, const struct model_id *id, const char *why)
{
    struct ears *e = user;
    e->gone++;
    snprintf(e->why, sizeof(e->why), "%s", why);
}

static void on_out(void *user, const struct error *err, int code, bool permanent)
{
    struct ears *e = user;
    e->outs++;
    e->permanent += permanent;
    snprintf(e->text, sizeof(e->text), "%s%s%s", err->where, err->where[0] ? ": " : "", err->text);
    if (e->ends) {
        e->listener = janus_listener_free(e->listener);
    }
}

static const struct janus_listener_ops listener_ops = {
    .on_joined = on_joined, .on_feed = on_feed, .on_feed_gone = on_feed_gone, .on_out = on_out};

static void listen_with(struct ears *e, const char *display)
{
    static const struct model_id room = {.kind = MODEL_ID_INT, .num = 5};
    const struct janus_listener_config config = {.room = &room, .display = display};
    *e = (struct ears){0};
    begin(&e->w);
    e->w.fake.data = JOINED;
    connect_with(&e->w, 60000, 10);
    e->listener = janus_listener_new(e->w.j, &config, &listener_ops, e);
}

static void deafen(struct ears *e)
{
    e->listener = janus_listener_free(e->listener);
    teardown(&e->w);
}

static void test_a_listener_that_is_kicked_returns_with_another_handle(void **state)
{
    struct ears e;
    listen_with(&e, NULL);
    RUN_UNTIL(e.w.l, e.joined == 1 && e.feeds == 1);
    /* Others first: they are no business of the handle. */
    fake_janus_event(&e.w.fake, "{\"videoroom\":\"event\",\"room\":5,\"kicked\":9}");
    fake_janus_event(&e.w.fake, "{\"videoroom\":\"event\",\"room\":5,\"leaving\":9}");
    RUN_UNTIL(e.w.l, e.gone == 1);
    assert_string_equal(e.why, "kicked");
    assert_int_equal(e.outs, 0);
    int64_t former = e.w.fake.handle;
    fake_janus_event(&e.w.fake, "{\"videoroom\":\"event\",\"room\":5,\"leaving\":\"ok\","
                                "\"reason\":\"kicked\"}");
    RUN_UNTIL(e.w.l, e.outs == 1);
    assert_string_equal(e.text, "5: we were kicked out of the room");
    assert_int_equal(e.permanent, 0);
    RUN_UNTIL(e.w.l, e.joined == 2);
    assert_int_equal(e.w.fake.detached, former);
    assert_int_equal(e.w.fake.asked[FAKE_ATTACH], 2);
    assert_int_equal(e.feeds, 2);
    assert_int_equal(e.gone, 1);
    deafen(&e);
}

static void test_a_listener_looks_again_after_a_claim(void **state)
{
    struct ears e;
    listen_with(&e, NULL);
    RUN_UNTIL(e.w.l, e.joined == 1);
    ws_peer_hang_up(&e.w.fake.peer, 1001);
    RUN_UNTIL(e.w.l, e.joined == 2 && e.feeds == 2);
    assert_int_equal(e.w.resumes, 1);
    assert_int_equal(e.w.fake.asked[FAKE_DETACH], 1); /* not in the room twice */
    deafen(&e);
}

static void test_a_listener_that_is_refused_does_not_hurry(void **state)
{
    struct ears e;
    listen_with(&e, NULL);
    e.w.fake.data = "{\"videoroom\":\"event\",\"error_code\":426,\"error\":\"No such room\"}";
    RUN_FOR(e.w.l, 2000); /* after 0, 500, 1500 ms */
    assert_in_range(e.w.fake.asked[FAKE_MESSAGE], 1, 3);
    assert_true(e.outs <= 3);
    deafen(&e);
}

static void test_a_listener_without_a_name_is_told(void **state)
{
    struct ears e;
    listen_with(&e, "caf\xe9");
    RUN_UNTIL(e.w.l, e.outs == 1);
    assert_int_equal(e.permanent, 1);
    assert_string_equal(e.text, "display: is no valid UTF-8");
    assert_int_equal(e.w.fake.asked[FAKE_MESSAGE], 0);
    deafen(&e);
}

static void test_a_listener_is_freed_when_it_is_out(void **state)
{
    static const char *const ends[] = {
        "{\"videoroom\":\"destroyed\",\"room\":5}",
        "{\"videoroom\":\"event\",\"room\":5,\"leaving\":\"ok\",\"reason\":\"kicked\"}",
    };
    for (unsigned i = 0; i < ARRAY_LEN(ends); i++) {
        struct ears e;
        listen_with(&e, NULL);
        e.ends = true;
        RUN_UNTIL(e.w.l, e.joined == 1);
        fake_janus_event(&e.w.fake, ends[i]);
        RUN_UNTIL(e.w.l, e.outs == 1);
        RUN_UNTIL(e.w.l, e.w.fake.asked[FAKE_DETACH] == 1);
        deafen(&e);
    }
}

/* ---- frees inside callbacks ---- */

enum moment {
    AT_UP,
    AT_DOWN,
    AT_ATTACHED,
    AT_FAILED,
    AT_EVENT,
    AT_NEWS,
    AT_RESUMED,
    AT_ANSWER,
    AT_DEADLINE,
    AT_LOSS,
    MOMENT_N,
};

struct ender {
    struct world w;
    enum moment moment;
    bool all; /* the server and the handle, not the handle alone */
    bool ended;
};

static void end_at(struct ender *e, enum moment moment)
{
    if (e->moment != moment || e->ended) {
        return;
    }
    e->ended = true;
    e->w.h = janus_handle_free(e->w.h);
    if (e->all) {
        e->w.j = janus_free(e->w.j);
    }
}

static void end_at_up(void *user, bool resumed)
{
    struct ender *e = user;
    e->w.ups++;
    end_at(e, AT_UP);
}

static void end_at_down(void *user, const struct error *err)
{
    end_at(user, AT_DOWN);
}

static void end_at_attached(void *user, bool again)
{
    struct ender *e = user;
    e->w.attached++;
    end_at(e, AT_ATTACHED);
}

static void end_at_failed(void *user, const struct error *err)
{
    end_at(user, AT_FAILED);
}

static void end_at_event(void *user, struct bytes data)
{
    end_at(user, AT_EVENT);
}

static void end_at_news(void *user, const char *event, const char *reason)
{
    end_at(user, AT_NEWS);
}

static void end_at_resumed(void *user)
{
    end_at(user, AT_RESUMED);
}

static void end_at_answer(void *user, const struct janus_result *res)
{
    struct ender *e = user;
    e->w.answers++;
    if (e->ended) {
        assert_int_equal(res->r, -ECANCELED);
    }
    end_at(e, e->moment);
}

static void provoke(struct ender *e)
{
    struct world *w = &e->w;
    const struct janus_ask a = {.body = BYTES_STR("{}")};
    bool asks = e->moment >= AT_ANSWER;
    w->fake.manner[FAKE_MESSAGE] = e->moment == AT_ANSWER ? FAKE_WELL : FAKE_SILENT;
    if (e->ended) {
        return;
    }
    for (unsigned i = 0; i < (asks ? 3 : 0); i++) {
        assert_non_null(janus_ask(w->h, &a, end_at_answer, e));
    }
    if (e->moment == AT_EVENT) {
        fake_janus_event(&w->fake, "{}");
    } else if (e->moment == AT_NEWS) {
        ws_peer_say(&w->fake.peer, "{\"janus\":\"hangup\",\"sender\":%" PRId64 "}", w->fake.handle);
    } else if (e->moment != AT_ANSWER && e->moment != AT_DEADLINE) {
        ws_peer_hang_up(&w->fake.peer, 1001);
    }
}

static void end_in_callback(enum moment moment, bool all)
{
    static const struct janus_ops ops = {.on_up = end_at_up, .on_down = end_at_down};
    static const struct janus_handle_ops h_ops = {
        .on_attached = end_at_attached,
        .on_event = end_at_event,
        .on_janus = end_at_news,
        .on_failed = end_at_failed,
        .on_resumed = end_at_resumed,
    };
    struct ender e = {.moment = moment, .all = all};
    struct world *w = &e.w;
    begin(w);
    w->fake.manner[FAKE_ATTACH] = moment == AT_FAILED ? FAKE_NO_PLUGIN : FAKE_WELL;
    const struct janus_config config = {
        .name = "fake", .url = w->fake.peer.url, .request_ms = 300, .backoff_ms = 10};
    w->j = janus_new(w->l, &config, &ops, &e, NULL);
    assert_non_null(w->j);
    w->h = janus_handle_new(w->j, JANUS_STREAMING, &h_ops, &e);
    RUN_UNTIL(w->l, e.ended || w->attached == 1);
    provoke(&e);
    RUN_UNTIL(w->l, e.ended);
    RUN_UNTIL(w->l, moment < AT_ANSWER || w->answers == 3);
    RUN_FOR(w->l, 20);
    teardown(w);
}

static void test_everything_may_be_freed_in_every_callback(void **state)
{
    for (enum moment m = 0; m < MOMENT_N; m++) {
        end_in_callback(m, false);
        end_in_callback(m, true);
    }
}

/* ---- at every message ---- */

#define MESSAGES 12 /* what coming up, two handles, a join and a call take, and some more */

/* Whatever the message at which the connection ends, and whether it was answered: all is well in the end. */
static void test_the_connection_ends_at_every_message(void **state)
{
    for (unsigned i = 0; i < 4 * MESSAGES; i++) {
        struct ears e;
        struct world *w = &e.w;
        listen_with(&e, NULL);
        w->fake.cut_at = 1 + i / 4;
        w->fake.cut_answers = i & 1;
        w->fake.manner[FAKE_CLAIM] = i & 2 ? FAKE_NO_SESSION : FAKE_WELL;
        w->h = janus_handle_new(w->j, JANUS_STREAMING, &handle_ops, w);
        do {
            RUN_UNTIL(w->l, e.joined > 0 && janus_handle_is_attached(w->h) &&
                                janus_state(w->j) == JANUS_UP);
            ask(w);
        } while (w->r < 0 || w->fake.requests < w->fake.cut_at);
        assert_int_equal(w->failed, 0);
        deafen(&e);
    }
}

static void test_all_is_freed_at_every_message(void **state)
{
    for (unsigned at = 1; at <= MESSAGES; at++) {
        struct ears e;
        struct world *w = &e.w;
        listen_with(&e, NULL);
        w->h = janus_handle_new(w->j, JANUS_STREAMING, &handle_ops, w);
        if (at > 1) {
            const struct janus_ask a = {.body = BYTES_STR("{}")};
            janus_ask(w->h, &a, on_done, w); /* too early: it is told so */
        }
        RUN_UNTIL(w->l, w->fake.requests >= at || (e.joined > 0 && w->attached > 0));
        if (at % 2) {
            w->j = janus_free(w->j); /* before what hangs on it */
        }
        deafen(&e);
    }
}

/* ---- mountpoints ---- */

struct told {
    struct world w;
    bool info;
};

static void on_info(void *user, const struct janus_result *res,
                    const struct janus_mountpoint_info *info)
{
    struct told *t = user;
    t->info = info != NULL;
    on_done(&t->w, res);
}

/* What is no mountpoint, or another one, is no answer. */
static void test_a_mountpoint_that_was_not_asked_for(void **state)
{
    static const struct {
        const char *data;
        int r;
    } cases[] = {
        {"{\"streaming\":\"list\",\"list\":[]}", -EPROTO},
        {"{\"streaming\":\"list\",\"list\":[{\"id\":9},{\"id\":10}]}", -EPROTO},
        {"{\"streaming\":\"info\",\"info\":{\"id\":10}}", -EPROTO},
        {"{\"streaming\":\"info\",\"info\":{\"id\":\"9\"}}", -EPROTO},
        {"{\"streaming\":\"info\"}", -EPROTO},
        {"{\"streaming\":\"created\",\"stream\":{\"id\":9}}", 0},
        {"{\"streaming\":\"info\",\"info\":{\"id\":9}}", 0},
    };
    const struct model_id id = {.kind = MODEL_ID_INT, .num = 9};
    struct told t = {0};
    struct world *w = &t.w;
    setup(w, 60000);
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        w->fake.data = cases[i].data;
        w->answers = 0;
        janus_streaming_info(w->h, &id, NULL, on_info, &t);
        RUN_UNTIL(w->l, w->answers == 1);
        assert_int_equal(w->r, cases[i].r);
        assert_int_equal(t.info, cases[i].r == 0);
    }
    teardown(w);
}

static void test_a_mountpoint_is_made_as_another_one(void **state)
{
    static const struct {
        const char *data;
        int r;
    } cases[] = {
        {"{\"streaming\":\"list\",\"list\":[]}", -EPROTO},
        {"{\"streaming\":\"created\",\"stream\":{\"id\":\"frob\"}}", -EPROTO},
        {"{\"streaming\":\"created\",\"stream\":{\"id\":\"mast-1\"}}", 0},
    };
    struct told t = {0};
    struct world *w = &t.w;
    struct janus_mountpoint m;
    setup(w, 60000);
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        model_init(&janus_mountpoint_model, &m);
        m.id = (struct model_id){.kind = MODEL_ID_STR, .str = mem_strdup("mast-1")};
        m.media.items = mem_new_array(struct janus_track, 1);
        m.media.len = 1;
        model_init(&janus_track_model, &m.media.items[0]);
        m.media.items[0].type = JANUS_VIDEO;
        m.media.items[0].codec = mem_strdup("h264");
        w->fake.data = cases[i].data;
        w->answers = 0;
        janus_streaming_create(w->h, &m, on_info, &t);
        model_done(&janus_mountpoint_model, &m); /* it keeps what it needs */
        RUN_UNTIL(w->l, w->answers == 1);
        assert_int_equal(w->r, cases[i].r);
        assert_int_equal(t.info, cases[i].r == 0);
    }
    teardown(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_session_is_claimed),
        cmocka_unit_test(test_a_handle_is_lost_while_its_session_is_claimed),
        cmocka_unit_test(test_what_is_freed_while_it_is_down_is_detached_after),
        cmocka_unit_test(test_an_attach_that_is_not_answered_is_tried_again),
        cmocka_unit_test(test_an_attach_without_sense_is_tried_again),
        cmocka_unit_test(test_a_plugin_that_is_missing_is_told_once_a_session),
        cmocka_unit_test(test_an_attach_finds_that_the_session_is_gone),
        cmocka_unit_test(test_a_handle_that_is_freed_while_attaching_is_detached),
        cmocka_unit_test(test_what_fails_at_once_is_not_hurried),
        cmocka_unit_test(test_a_session_that_proved_itself_is_replaced_at_once),
        cmocka_unit_test(test_keepalives_without_answer_end_the_connection),
        cmocka_unit_test(test_steps_of_another_kind_are_refused),
        cmocka_unit_test(test_what_answers_a_call),
        cmocka_unit_test(test_a_call_finds_that_its_handle_is_gone),
        cmocka_unit_test(test_an_answer_that_is_late_answers_nothing),
        cmocka_unit_test(test_junk_is_dropped),
        cmocka_unit_test(test_a_listener_that_is_kicked_returns_with_another_handle),
        cmocka_unit_test(test_a_listener_looks_again_after_a_claim),
        cmocka_unit_test(test_a_listener_that_is_refused_does_not_hurry),
        cmocka_unit_test(test_a_listener_without_a_name_is_told),
        cmocka_unit_test(test_a_listener_is_freed_when_it_is_out),
        cmocka_unit_test(test_the_connection_ends_at_every_message),
        cmocka_unit_test(test_all_is_freed_at_every_message),
        cmocka_unit_test(test_everything_may_be_freed_in_every_callback),
        cmocka_unit_test(test_a_mountpoint_that_was_not_asked_for),
        cmocka_unit_test(test_a_mountpoint_is_made_as_another_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
