/* SPDX-License-Identifier: Apache-2.0 */
/* The client and the bridge against an OBS that does what a test tells it to, also what the real one never does. */
#include "../unit.h"

#include "../await.h"
#include "base/mem.h"
#include "peer/obs/obs.h"
#include "ws_peer.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELLO "{\"d\":{\"obsWebSocketVersion\":\"5.1.0\",\"rpcVersion\":1},\"op\":0}"
#define HELLO_SECRET                                                                               \
    "{\"d\":{\"authentication\":{\"challenge\":\"pcm+iow5A5p+tLNuy1n5o/"                           \
    "1Jupn01lhkhkhF37qEO6c=\",\"salt\":\"e33uKMqdduNbLAzWbBJMk+4eZBByXTkgy6c7IACLDuM=\"},"         \
    "\"obsWebSocketVersion\":\"5.1.0\",\"rpcVersion\":1},\"op\":0}"
#define PROOF      "FSya8kqzv0prOct+dvW7e1EBV+wBydYwTDLBbWpdEoU="
#define IDENTIFIED "{\"d\":{\"negotiatedRpcVersion\":1},\"op\":2}"
#define EVENT(state)                                                                               \
    "{\"d\":{\"eventData\":{\"outputActive\":false,\"outputState\":\"OBS_WEBSOCKET_OUTPUT_" state  \
    "\"},\"eventIntent\":64,\"eventType\":\"StreamStateChanged\"},\"op\":5}"

enum request {
    GET_SERVICE,
    SET_SERVICE,
    GET_STATUS,
    START,
    STOP,
    OTHER,
    REQUEST_N,
};
static const char *const request_names[] = {"GetStreamServiceSettings", "SetStreamServiceSettings",
                                            "GetStreamStatus", "StartStream", "StopStream"};

struct fake {
    struct ws_peer peer; /* first */
    bool rude;           /* says nothing by itself, not even Hello */
    const char *hello;
    int refuses; /* Identify, with this close code */
    unsigned identifies;
    bool silent[REQUEST_N];
    unsigned asked[REQUEST_N];
    char id[REQUEST_N][32]; /* of the last */
    char proof[64];
    char service[256]; /* responseData */
    bool active;
    const char *starts_with; /* the events after StartStream; NULL = STARTED */
};

struct world {
    struct loop *l;
    struct fake fake;
    struct obs *o;
    unsigned ups, downs, permanents, outputs;
    unsigned answers, starts, stops;
    int r, code;
    bool has_previous;
    char text[200], previous[256];
};

static void respond(struct fake *f, enum request q, int code, const char *data)
{
    ws_peer_say(&f->peer,
                "{\"d\":{\"requestId\":\"%s\",\"requestStatus\":{\"code\":%d,\"result\":%s},"
                "\"requestType\":\"x\"%s%s},\"op\":7}",
                f->id[q], code, code == 100 ? "true" : "false", data ? ",\"responseData\":" : "",
                data ? data : "");
}

static void take_service(struct fake *f, const json_t *d)
{
    char *text = json_dumps(json_object_get(d, "requestData"), JSON_COMPACT);
    snprintf(f->service, sizeof(f->service), "%s", text ? text : "");
    free(text);
}

static void answer(struct fake *f, enum request q, const json_t *d)
{
    switch (q) {
    case GET_SERVICE:
        respond(f, q, 100, f->service);
        break;
    case SET_SERVICE:
        take_service(f, d);
        respond(f, q, 100, NULL);
        break;
    case GET_STATUS:
        respond(f, q, 100, f->active ? "{\"outputActive\":true}" : "{\"outputActive\":false}");
        break;
    case START:
        respond(f, q, 100, NULL);
        ws_peer_say(&f->peer, EVENT("STARTING"));
        ws_peer_say(&f->peer, "%s", f->starts_with ? f->starts_with : EVENT("STARTED"));
        break;
    case STOP:
        respond(f, q, 100, NULL);
        ws_peer_say(&f->peer, EVENT("STOPPING"));
        ws_peer_say(&f->peer, EVENT("STOPPED"));
        break;
    case OTHER:
        respond(f, q, 204, NULL);
        break;
    case REQUEST_N:
        break;
    }
}

static enum request request_of(const char *type)
{
    for (unsigned i = 0; i < OTHER; i++) {
        if (strcmp(type, request_names[i]) == 0) {
            return (enum request)i;
        }
    }
    return OTHER;
}

static void take_identify(struct fake *f, const json_t *d)
{
    const char *proof = json_string_value(json_object_get(d, "authentication"));
    f->identifies++;
    snprintf(f->proof, sizeof(f->proof), "%s", proof ? proof : "");
    if (f->refuses) {
        ws_peer_hang_up(&f->peer, f->refuses);
    } else if (!f->rude) {
        ws_peer_say(&f->peer, IDENTIFIED);
    }
}

static void on_text(struct ws_peer *p, struct bytes text)
{
    struct fake *f = (struct fake *)p;
    json_t *o = json_loadb((const char *)text.data, text.len, 0, NULL);
    const json_t *d = json_object_get(o, "d");
    assert_non_null(d);
    if (json_integer_value(json_object_get(o, "op")) == 1) {
        take_identify(f, d);
    } else {
        enum request q = request_of(json_string_value(json_object_get(d, "requestType")));
        f->asked[q]++;
        snprintf(f->id[q], sizeof(f->id[q]), "%s",
                 json_string_value(json_object_get(d, "requestId")));
        if (!f->silent[q]) {
            answer(f, q, d);
        }
    }
    json_decref(o);
}

static void on_open(struct ws_peer *p)
{
    struct fake *f = (struct fake *)p;
    if (f->hello) {
        ws_peer_say(p, "%s", f->hello);
    }
}

static void on_up(void *user)
{
    ((struct world *)user)->ups++;
}

static void on_down(void *user, const struct error *err, bool permanent)
{
    struct world *w = user;
    w->downs++;
    w->permanents += permanent;
}

static void on_output(void *user, enum obs_output output)
{
    ((struct world *)user)->outputs++;
}

static void begin(struct world *w)
{
    *w = (struct world){.l = loop_new("test", LOOP_CONTROL)};
    w->fake = (struct fake){
        .peer = {.l = w->l,
                 .protocol = "obswebsocket.json",
                 .on_open = on_open,
                 .on_text = on_text},
        .hello = HELLO,
        .service = "{\"streamServiceSettings\":{\"key\":\"theirs\"},\"streamServiceType\":"
                   "\"rtmp_common\"}",
    };
    ws_peer_start(&w->fake.peer);
}

static void connect_with(struct world *w, char *password, int64_t timeout_ms)
{
    static const struct obs_ops ops = {.on_up = on_up, .on_down = on_down, .on_output = on_output};
    const struct obs_connection c = {
        .port = atoi(strrchr(w->fake.peer.url, ':') + 1),
        .password = password,
        .timeout_ns = timeout_ms * NS_PER_MS,
    };
    struct error err = {0};
    w->o = obs_new(w->l, &c, NULL, &ops, w, &err);
    assert_non_null(w->o);
}

static void setup(struct world *w, int64_t timeout_ms)
{
    begin(w);
    connect_with(w, NULL, timeout_ms);
    RUN_UNTIL(w->l, w->ups == 1 && obs_output(w->o) == OBS_OUTPUT_STOPPED);
}

static void teardown(struct world *w)
{
    w->o = obs_free(w->o);
    ws_peer_stop(&w->fake.peer);
    loop_free(w->l);
}

static void keep(struct world *w, const struct obs_result *res)
{
    w->r = res->r;
    w->code = res->code;
    snprintf(w->text, sizeof(w->text), "%s", res->text);
}

static void on_done(void *user, const struct obs_result *res)
{
    struct world *w = user;
    w->answers++;
    keep(w, res);
}

static void on_started(void *user, const struct obs_result *res, const struct obs_service *previous)
{
    struct world *w = user;
    w->starts++;
    w->has_previous = previous != NULL;
    snprintf(w->previous, sizeof(w->previous), "%s", previous ? previous->settings : "");
    keep(w, res);
}

static void on_stopped(void *user, const struct obs_result *res)
{
    struct world *w = user;
    w->stops++;
    keep(w, res);
}

static void ask(struct world *w, const char *type, const char *data)
{
    unsigned before = w->answers;
    obs_ask(w->o, type, BYTES_STR(data), on_done, w);
    assert_int_equal(w->answers, before);
    RUN_UNTIL(w->l, w->answers == before + 1);
}

static const struct obs_stream_target target = {"rtmp://127.0.0.1/live", "ours"};

static void test_it_streams_to_us_and_back(void **state)
{
    struct world w;
    setup(&w, 60000);
    assert_true(obs_stream_start(w.o, &target, 60000, on_started, &w));
    assert_false(obs_stream_start(w.o, &target, 60000, on_started, &w));
    RUN_UNTIL(w.l, w.starts == 1);
    assert_int_equal(w.r, 0);
    assert_string_equal(w.previous, "{\"key\":\"theirs\"}");
    assert_non_null(strstr(w.fake.service, "ours"));
    char type[] = "rtmp_common";
    char settings[] = "{\"key\":\"theirs\"}";
    const struct obs_service previous = {type, settings};
    assert_true(obs_stream_stop(w.o, &previous, 60000, on_stopped, &w));
    RUN_UNTIL(w.l, w.stops == 1);
    assert_int_equal(w.r, 0);
    assert_non_null(strstr(w.fake.service, "theirs"));
    /* An OK, and nothing that takes the stream. */
    w.fake.starts_with = EVENT("STOPPED");
    assert_true(obs_stream_start(w.o, &target, 60000, on_started, &w));
    RUN_UNTIL(w.l, w.starts == 2);
    assert_int_equal(w.r, -ECONNREFUSED);
    assert_true(w.has_previous);
    /* It streams to elsewhere. */
    w.fake.active = true;
    snprintf(w.fake.service, sizeof(w.fake.service),
             "{\"streamServiceSettings\":{},\"streamServiceType\":\"rtmp_common\"}");
    assert_true(obs_stream_start(w.o, &target, 60000, on_started, &w));
    RUN_UNTIL(w.l, w.starts == 3);
    assert_int_equal(w.r, -EBUSY);
    assert_false(w.has_previous);
    teardown(&w);
}

static void test_refusals_of_ours_are_permanent(void **state)
{
    static const int codes[] = {4009, 4010};
    for (unsigned i = 0; i < ARRAY_LEN(codes); i++) {
        struct world w;
        char password[] = "obs-secret-pw";
        begin(&w);
        w.fake.hello = HELLO_SECRET;
        w.fake.refuses = codes[i];
        connect_with(&w, password, 60000);
        RUN_UNTIL(w.l, w.permanents == 1);
        assert_string_equal(w.fake.proof, PROOF);
        assert_int_equal(obs_state(w.o), OBS_REFUSED);
        RUN_FOR(w.l, 400);
        assert_int_equal(w.fake.peer.connects, 1);
        ask(&w, "GetVersion", "");
        assert_int_equal(w.r, -EAGAIN);
        w.fake.refuses = 0;
        obs_retry(w.o);
        RUN_UNTIL(w.l, w.ups == 1);
        teardown(&w);
    }
    struct world w;
    begin(&w);
    w.fake.hello = HELLO_SECRET;
    connect_with(&w, NULL, 60000);
    RUN_UNTIL(w.l, w.permanents == 1);
    assert_int_equal(w.fake.identifies, 0);
    teardown(&w);
}

/* Waits of at least 125, 250, 500 ms: three tries in 800 ms, and not one more on any machine. */
static void test_what_fails_at_once_is_not_hurried(void **state)
{
    for (unsigned i = 0; i < 3; i++) {
        struct world w;
        begin(&w);
        w.fake.refuses = i == 0 ? 4011 : 0; /* "session invalidated": no reason to give up */
        w.fake.hello = i == 1 ? "{\"op\":0,\"d\":{}}" : HELLO;
        connect_with(&w, NULL, 60000);
        int64_t end = clock_mono_ns() + 800 * NS_PER_MS;
        while (clock_mono_ns() < end) {
            loop_run_once(w.l, 10);
            if (i > 0 && w.ups > 0 && w.fake.peer.now && obs_state(w.o) == OBS_UP) {
                ws_peer_hang_up(&w.fake.peer, 1001);
            }
        }
        assert_in_range(w.fake.peer.connects, 1, 3);
        assert_int_equal(w.permanents, 0);
        teardown(&w);
    }
}

static void test_it_is_greeted_once(void **state)
{
    struct world w;
    begin(&w);
    w.fake.hello = IDENTIFIED; /* before anybody asked */
    w.fake.rude = true;
    connect_with(&w, NULL, 60000);
    RUN_UNTIL(w.l, w.fake.peer.connects == 1);
    ws_peer_say(&w.fake.peer, HELLO);
    ws_peer_say(&w.fake.peer, HELLO);
    ws_peer_say(&w.fake.peer, HELLO);
    RUN_UNTIL(w.l, w.fake.identifies >= 1);
    RUN_FOR(w.l, 50);
    assert_int_equal(w.fake.identifies, 1);
    assert_int_equal(w.ups, 0);
    ws_peer_say(&w.fake.peer, IDENTIFIED);
    RUN_UNTIL(w.l, w.ups == 1);
    ws_peer_say(&w.fake.peer, IDENTIFIED);
    ws_peer_say(&w.fake.peer, HELLO);
    ask(&w, "GetStreamStatus", "{}");
    assert_int_equal(w.ups, 1);
    assert_int_equal(w.fake.identifies, 1);
    teardown(&w);
}

static void test_silence_has_an_end(void **state)
{
    struct world w;
    begin(&w);
    w.fake.hello = NULL;
    connect_with(&w, NULL, 300);
    RUN_UNTIL(w.l, w.downs >= 1); /* never said Hello */
    w.fake.hello = HELLO;
    w.fake.silent[GET_STATUS] = true;
    RUN_UNTIL(w.l, w.ups >= 1 && w.downs >= 2); /* is UP, and says nothing */
    w.fake.silent[GET_STATUS] = false;
    RUN_UNTIL(w.l, w.ups >= 2 && obs_output(w.o) == OBS_OUTPUT_STOPPED);
    w.fake.silent[OTHER] = true;
    ask(&w, "GetVersion", "{}");
    assert_int_equal(w.r, -ETIMEDOUT);
    /* The answer comes after all, and again. */
    respond(&w.fake, OTHER, 100, NULL);
    respond(&w.fake, OTHER, 100, NULL);
    w.fake.silent[OTHER] = false;
    ask(&w, "GetVersion", "{}");
    assert_int_equal(w.r, -EREMOTEIO);
    assert_int_equal(w.code, 204);
    assert_int_equal(w.answers, 2);
    teardown(&w);
}

static void test_a_late_answer_is_not_the_next_ones(void **state)
{
    char late[32];
    struct world w;
    setup(&w, 60000);
    w.fake.silent[START] = true;
    assert_true(obs_stream_start(w.o, &target, 200, on_started, &w));
    RUN_UNTIL(w.l, w.starts == 1);
    assert_int_equal(w.r, -ETIMEDOUT);
    assert_true(w.has_previous);
    snprintf(late, sizeof(late), "%s", w.fake.id[START]);
    assert_true(obs_stream_start(w.o, &target, 60000, on_started, &w));
    RUN_UNTIL(w.l, w.fake.asked[START] == 2);
    ws_peer_say(&w.fake.peer,
                "{\"d\":{\"requestId\":\"%s\",\"requestStatus\":{\"code\":500,\"result\":false}},"
                "\"op\":7}",
                late);
    ask(&w, "GetStreamStatus", "{}"); /* that was heard by now */
    assert_int_equal(w.starts, 1);
    respond(&w.fake, START, 100, NULL);
    ws_peer_say(&w.fake.peer, EVENT("STARTED"));
    RUN_UNTIL(w.l, w.starts == 2);
    assert_int_equal(w.r, 0);
    teardown(&w);
}

static void test_the_bridge_ends_with_the_connection(void **state)
{
    for (enum request q = GET_SERVICE; q <= STOP; q++) {
        struct world w;
        setup(&w, 60000);
        w.fake.silent[q] = true;
        if (q == STOP) {
            assert_true(obs_stream_stop(w.o, NULL, 60000, on_stopped, &w));
        } else {
            assert_true(obs_stream_start(w.o, &target, 60000, on_started, &w));
        }
        unsigned before = q == GET_STATUS; /* asked at coming up */
        RUN_UNTIL(w.l, w.fake.asked[q] == before + 1);
        ws_peer_hang_up(&w.fake.peer, 1001);
        RUN_UNTIL(w.l, w.starts + w.stops == 1);
        assert_int_equal(w.r, -ENOTCONN);
        assert_int_equal(w.has_previous, q == SET_SERVICE || q == START);
        RUN_UNTIL(w.l, w.downs == 1);
        teardown(&w);
    }
}

static void test_what_makes_no_sense_is_not_sent(void **state)
{
    static const char *const bad[] = {"null", "[]", "{", "{\"a\":\"caf\xe9\"}", "{}}"};
    static const struct obs_stream_target odd = {"rtmp://127.0.0.1/live", "caf\xe9"};
    struct world w;
    setup(&w, 60000);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        ask(&w, "GetVersion", bad[i]);
        assert_int_equal(w.r, -EINVAL);
    }
    assert_int_equal(w.fake.asked[OTHER], 0);
    assert_true(obs_stream_start(w.o, &odd, 60000, on_started, &w));
    assert_int_equal(w.starts, 0);
    RUN_UNTIL(w.l, w.starts == 1);
    assert_int_equal(w.r, -EINVAL);
    assert_string_equal(w.text, "target: is no valid UTF-8");
    assert_int_equal(w.fake.asked[GET_SERVICE], 0);
    teardown(&w);
}

static void test_junk_is_dropped(void **state)
{
    static const char *const junk[] = {
        "",
        "[]",
        "{\"op\":7}",
        "{\"op\":7,\"d\":{\"requestId\":\"m999999\",\"requestStatus\":{\"result\":true}}}",
        "{\"op\":7,\"d\":{\"requestId\":\"m0\",\"requestStatus\":{\"result\":true}}}",
        "{\"op\":7,\"d\":{\"requestId\":\"m99999999999999999999999\",\"requestStatus\":{\"result\":"
        "true}}}",
        "{\"op\":5,\"d\":{\"eventType\":\"StreamStateChanged\"}}",
        "{\"op\":5,\"d\":{\"eventType\":\"StreamStateChanged\",\"eventData\":{\"outputState\":"
        "\"OBS_WEBSOCKET_OUTPUT_FROB\"}}}",
        "{\"op\":9,\"d\":{\"results\":[]}}",
        "{\"op\":-1,\"d\":{}}",
        "{\"op\":1e99,\"d\":{}}",
    };
    struct world w;
    setup(&w, 60000);
    unsigned outputs = w.outputs;
    for (unsigned i = 0; i < ARRAY_LEN(junk); i++) {
        ws_peer_say_bytes(&w.fake.peer, BYTES_STR(junk[i]));
    }
    _cleanup_free_ char *deep = mem_alloc(200000);
    memset(deep, '[', 200000);
    ws_peer_say_bytes(&w.fake.peer, BYTES(deep, 200000));
    memcpy(deep, "{\"op\":7,\"d\":", 12);
    ws_peer_say_bytes(&w.fake.peer, BYTES(deep, 200000));
    ask(&w, "GetVersion", "{}");
    assert_int_equal(w.code, 204);
    assert_int_equal(w.downs, 0);
    assert_int_equal(w.outputs, outputs);
    teardown(&w);
}

/* ---- freed in every callback ---- */

enum moment {
    AT_UP,
    AT_DOWN,
    AT_OUTPUT,
    AT_ANSWER,
    AT_DEADLINE,
    AT_START,
    AT_START_LATE,
    AT_START_LOST,
    AT_STOP,
    MOMENT_N,
};

struct ender {
    struct world w;
    enum moment moment;
    bool ended;
};

static void end_at(struct ender *e, bool here)
{
    if (here) {
        assert_false(e->ended);
        e->ended = true;
        e->w.o = obs_free(e->w.o);
    }
}

static void end_at_up(void *user)
{
    struct ender *e = user;
    e->w.ups++;
    end_at(e, e->moment == AT_UP);
}

static void end_at_down(void *user, const struct error *err, bool permanent)
{
    struct ender *e = user;
    end_at(e, e->moment == AT_DOWN);
}

static void end_at_output(void *user, enum obs_output output)
{
    struct ender *e = user;
    e->w.outputs++;
    end_at(e, e->moment == AT_OUTPUT);
}

static void end_at_answer(void *user, const struct obs_result *res)
{
    end_at(user, true);
}

static void end_at_start(void *user, const struct obs_result *res,
                         const struct obs_service *previous)
{
    end_at(user, true);
}

static void provoke(struct ender *e)
{
    struct world *w = &e->w;
    switch (e->moment) {
    case AT_UP:
    case AT_OUTPUT:
    case MOMENT_N:
        break;
    case AT_DOWN:
        ws_peer_hang_up(&w->fake.peer, 1001);
        break;
    case AT_DEADLINE:
        w->fake.silent[OTHER] = true;
        __attribute__((fallthrough));
    case AT_ANSWER:
        obs_ask(w->o, "GetVersion", BYTES(NULL, 0), end_at_answer, e);
        obs_ask(w->o, "GetVersion", BYTES(NULL, 0), end_at_answer, e);
        break;
    case AT_START_LATE:
    case AT_START_LOST:
        w->fake.silent[SET_SERVICE] = true;
        __attribute__((fallthrough));
    case AT_START:
        assert_true(obs_stream_start(w->o, &target, e->moment == AT_START_LATE ? 50 : 60000,
                                     end_at_start, e));
        RUN_UNTIL(w->l, e->ended || w->fake.asked[SET_SERVICE] == 1);
        if (e->moment == AT_START_LOST) {
            ws_peer_hang_up(&w->fake.peer, 1001);
        }
        break;
    case AT_STOP:
        assert_true(obs_stream_stop(w->o, NULL, 60000, end_at_answer, e));
        break;
    }
}

static void test_it_may_be_freed_in_every_callback(void **state)
{
    static const struct obs_ops ops = {
        .on_up = end_at_up, .on_down = end_at_down, .on_output = end_at_output};
    for (enum moment m = 0; m < MOMENT_N; m++) {
        struct ender e = {.moment = m};
        begin(&e.w);
        const struct obs_connection c = {
            .port = atoi(strrchr(e.w.fake.peer.url, ':') + 1),
            .timeout_ns = (m == AT_DEADLINE ? 300 : 60000) * NS_PER_MS,
        };
        e.w.o = obs_new(e.w.l, &c, NULL, &ops, &e, NULL);
        assert_non_null(e.w.o);
        RUN_UNTIL(e.w.l, e.ended || (e.w.ups == 1 && e.w.outputs == 1));
        provoke(&e);
        RUN_UNTIL(e.w.l, e.ended);
        RUN_FOR(e.w.l, 20);
        teardown(&e.w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_streams_to_us_and_back),
        cmocka_unit_test(test_refusals_of_ours_are_permanent),
        cmocka_unit_test(test_what_fails_at_once_is_not_hurried),
        cmocka_unit_test(test_it_is_greeted_once),
        cmocka_unit_test(test_silence_has_an_end),
        cmocka_unit_test(test_a_late_answer_is_not_the_next_ones),
        cmocka_unit_test(test_the_bridge_ends_with_the_connection),
        cmocka_unit_test(test_what_makes_no_sense_is_not_sent),
        cmocka_unit_test(test_junk_is_dropped),
        cmocka_unit_test(test_it_may_be_freed_in_every_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
