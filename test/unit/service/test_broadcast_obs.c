/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broadcasts from OBS: what is done with its stream settings, whatever happens meanwhile. Janus is real; OBS is one that does what
 * a test tells it to, as recorded from the real one (specs/janus-obs-reference.md 4.2), which the long end-to-end test has.
 */
#include "../unit.h"

#include "../await.h"
#include "../peer/real_janus.h"
#include "../peer/ws_peer.h"
#include "broadcast_rig.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELLO      "{\"d\":{\"obsWebSocketVersion\":\"5.1.0\",\"rpcVersion\":1},\"op\":0}"
#define IDENTIFIED "{\"d\":{\"negotiatedRpcVersion\":1},\"op\":2}"
#define THEIRS                                                                                     \
    "{\"streamServiceSettings\":{\"key\":\"theirs\"},\"streamServiceType\":\"rtmp_common\"}"
#define WRONG        4009
#define GOING_AWAY   1001
#define REFUSED_BUSY 500

struct fake {
    struct ws_peer peer; /* first */
    int refuses;         /* who comes, with this close code */
    char *service;       /* as GetStreamServiceSettings tells it */
    bool active, reconnecting;
    bool nothing_takes;  /* its stream */
    const char *dies_of; /* this request; nobody may come then */
    unsigned starts, stops;
};

struct world {
    struct loop *l;
    struct real_janus *real;
    struct fake obs;
    struct broadcast_rig rig;
    bool rtmp; /* there is an RTMP server here, which wants grants */
    unsigned granted, ended;
    struct out events;
};

/* ---- OBS ---- */

static void say_output(struct fake *f, const char *state)
{
    ws_peer_say(&f->peer,
                "{\"d\":{\"eventData\":{\"outputActive\":%s,\"outputState\":"
                "\"OBS_WEBSOCKET_OUTPUT_%s\"},\"eventIntent\":64,"
                "\"eventType\":\"StreamStateChanged\"},\"op\":5}",
                f->active ? "true" : "false", state);
}

static void respond(struct fake *f, const char *id, int code, const char *data)
{
    ws_peer_say(&f->peer,
                "{\"d\":{\"requestId\":\"%s\",\"requestStatus\":{\"code\":%d,\"result\":%s},"
                "\"requestType\":\"x\"%s%s},\"op\":7}",
                id, code, code == 100 ? "true" : "false", data ? ",\"responseData\":" : "",
                data ? data : "");
}

static void stop_stream(struct fake *f)
{
    f->active = false;
    f->reconnecting = false;
    say_output(f, "STOPPED");
}

static void set_service(struct fake *f, const char *id, const json_t *d)
{
    if (f->active) {
        respond(f, id, REFUSED_BUSY, NULL);
        return;
    }
    char *text = json_dumps(json_object_get(d, "requestData"), JSON_COMPACT);
    free(f->service);
    f->service = mem_strdup(text);
    free(text);
    respond(f, id, 100, NULL);
}

static void take_request(struct fake *f, const char *type, const char *id, const json_t *d)
{
    char status[96];
    if (f->dies_of && strcmp(type, f->dies_of) == 0) {
        f->dies_of = NULL;
        f->active = false;
        f->refuses = GOING_AWAY;
        ws_peer_hang_up(&f->peer, GOING_AWAY);
    } else if (strcmp(type, "GetStreamServiceSettings") == 0) {
        respond(f, id, 100, f->service);
    } else if (strcmp(type, "SetStreamServiceSettings") == 0) {
        set_service(f, id, d);
    } else if (strcmp(type, "GetStreamStatus") == 0) {
        snprintf(status, sizeof(status), "{\"outputActive\":%s,\"outputReconnecting\":%s}",
                 f->active ? "true" : "false", f->reconnecting ? "true" : "false");
        respond(f, id, 100, status);
    } else if (strcmp(type, "StartStream") == 0) {
        f->starts++;
        respond(f, id, 100, NULL);
        say_output(f, "STARTING");
        f->active = !f->nothing_takes;
        say_output(f, f->active ? "STARTED" : "STOPPED");
    } else if (strcmp(type, "StopStream") == 0) {
        f->stops++;
        respond(f, id, f->active ? 100 : 501, NULL);
        if (f->active) {
            stop_stream(f);
        }
    }
}

static void on_text(struct ws_peer *p, struct bytes text)
{
    json_t *o = json_loadb((const char *)text.data, text.len, 0, NULL);
    const json_t *d = json_object_get(o, "d");
    if (json_integer_value(json_object_get(o, "op")) == 1) {
        ws_peer_say(p, IDENTIFIED);
    } else {
        take_request((struct fake *)p, json_string_value(json_object_get(d, "requestType")),
                     json_string_value(json_object_get(d, "requestId")), d);
    }
    json_decref(o);
}

static void on_open(struct ws_peer *p)
{
    struct fake *f = (struct fake *)p;
    if (f->refuses) {
        ws_peer_hang_up(p, f->refuses);
    } else {
        ws_peer_say(p, HELLO);
    }
}

static bool has_service(const struct fake *f, const char *server, const char *key)
{
    json_t *o = json_loads(f->service, 0, NULL);
    const json_t *s = json_object_get(o, "streamServiceSettings");
    const char *at = json_string_value(json_object_get(s, "server"));
    const char *k = json_string_value(json_object_get(s, "key"));
    bool has =
        k && strncmp(k, key, strlen(key)) == 0 && (!server || (at && strcmp(at, server) == 0));
    json_decref(o);
    return has;
}

/* ---- the world ---- */

static void on_event(void *user, const char *type, const char *id, const char *data)
{
    out_printf(&((struct world *)user)->events, "%s %s\n", type, data);
}

static char *grant(void *user, const char *path, bool publish)
{
    struct world *w = user;
    return mem_printf("token=%u", ++w->granted);
}

static void ungrant(void *user, const char *query)
{
    ((struct world *)user)->ended++;
}

static void open_service(struct world *w)
{
    const struct janus_server_config jc = {.name = (char *)"main",
                                           .url = (char *)real_janus_url(w->real),
                                           .api_secret = (char *)"apis3cret",
                                           .admin_key = (char *)"stream-admin"};
    const struct broadcasts_config config = {
        .ingest = {.rtmp = w->rtmp ? "rtmp://127.0.0.1:9" : NULL,
                   .grant = grant,
                   .ungrant = ungrant,
                   .user = w},
        .observer = {.on_event = on_event, .user = w},
        .pace = {.first_ms = 20, .max_ms = 200, .check_ms = 50, .stop_ms = 5000},
        .debt_ms = 100,
    };
    broadcast_rig_open(&w->rig, &jc, &config);
}

static void drop_service(struct world *w)
{
    broadcast_rig_drop(&w->rig);
}

static struct world *world_with(bool rtmp)
{
    struct world *w = mem_new(struct world);
    w->l = loop_new("control", LOOP_CONTROL);
    w->real = real_janus_start(w->l);
    w->rtmp = rtmp;
    w->obs = (struct fake){.peer = {.l = w->l,
                                    .protocol = "obswebsocket.json",
                                    .on_open = on_open,
                                    .on_text = on_text},
                           .service = mem_strdup(THEIRS)};
    ws_peer_start(&w->obs.peer);
    broadcast_rig_init(&w->rig, w->l);
    open_service(w);
    return w;
}

static struct world *world_new(void)
{
    return world_with(false);
}

static void world_free(struct world *w)
{
    broadcast_rig_done(&w->rig);
    assert_int_equal(w->granted, w->ended);
    real_janus_stop(w->real);
    ws_peer_stop(&w->obs.peer);
    loop_free(w->l);
    free(w->obs.service);
    out_done(&w->events);
    free(w);
}

/* The relay waits all the time: nothing is at its port. */
static struct broadcast *begin(struct world *w)
{
    _cleanup_free_ char *json = mem_printf(
        "{\"id\":\"one\",\"source_kind\":\"obs\",\"relay_kind\":\"ffmpeg\",\"obs_port\":%s,%s,"
        "\"obs_password\":\"pw\",\"mountpoint_spec\":{\"id\":9001,\"media\":[{\"type\":\"video\","
        "\"mid\":\"v\",\"port\":0,\"pt\":96,\"codec\":\"h264\"}]}}",
        strrchr(w->obs.peer.url, ':') + 1,
        w->rtmp ? "\"stream\":\"live/obs\""
                : "\"srs\":{\"rtmp_url\":\"rtmp://127.0.0.1:9\",\"stream_key\":\"s3cret\"}");
    return broadcast_rig_begin(&w->rig, json);
}

#define AWAIT_STATE(w, b, s) RUN_UNTIL((w)->l, broadcast_state(b) == (s))

static enum broadcast_step_state obs_step(struct broadcast *b)
{
    const struct broadcast_result *res = broadcast_result(b);
    return res->steps.items[res->steps.len - 1].state;
}

static const char *obs_words(struct broadcast *b)
{
    const struct broadcast_result *res = broadcast_result(b);
    const char *text = res->steps.items[res->steps.len - 1].error;
    return text ? text : "";
}

static void await_stream(struct world *w, struct broadcast *b)
{
    RUN_UNTIL(w->l, obs_step(b) == BROADCAST_STEP_DONE && w->obs.active);
}

static void stop_and_wait(struct world *w, struct broadcast *b)
{
    broadcast_stop(b);
    AWAIT_STATE(w, b, BROADCAST_STOPPED);
}

static void expect_theirs(struct world *w)
{
    assert_true(has_service(&w->obs, NULL, "theirs"));
    assert_false(w->obs.active);
}

/* ---- tests ---- */

static void test_publishes_and_gets_its_settings_back(void **state)
{
    struct world *w = world_new();
    struct broadcast *b = begin(w);
    await_stream(w, b);
    assert_true(has_service(&w->obs, "rtmp://127.0.0.1:9/live", "s3cret"));
    RUN_UNTIL(w->l, strcmp(broadcast_result(b)->health->obs, "started") == 0);
    assert_null(strstr(out_str(&w->events), "s3cret"));
    stop_and_wait(w, b);
    expect_theirs(w);
    assert_int_equal(w->obs.starts, 1);
    world_free(w);
}

static void test_a_wrong_password_is_the_end(void **state)
{
    struct world *w = world_new();
    w->obs.refuses = WRONG;
    struct broadcast *b = begin(w);
    AWAIT_STATE(w, b, BROADCAST_FAILED);
    assert_non_null(strstr(broadcast_result(b)->reason, "OBS refuses the password"));
    assert_int_equal(w->obs.peer.connects, 1);
    world_free(w);
}

static void test_nothing_takes_its_stream(void **state)
{
    struct world *w = world_new();
    w->obs.nothing_takes = true;
    struct broadcast *b = begin(w);
    AWAIT_STATE(w, b, BROADCAST_FAILED);
    assert_non_null(strstr(broadcast_result(b)->reason, "nothing took its stream"));
    expect_theirs(w);
    world_free(w);
}

static void test_what_streams_elsewhere_is_left_alone(void **state)
{
    struct world *w = world_new();
    w->obs.active = true;
    struct broadcast *b = begin(w);
    AWAIT_STATE(w, b, BROADCAST_FAILED);
    assert_non_null(strstr(broadcast_result(b)->reason, "streams to elsewhere already"));
    assert_true(w->obs.active);
    assert_true(has_service(&w->obs, NULL, "theirs"));
    assert_int_equal(w->obs.stops, 0);
    world_free(w);
}

static void test_what_stops_is_begun_again(void **state)
{
    struct world *w = world_new();
    struct broadcast *b = begin(w);
    await_stream(w, b);
    stop_stream(&w->obs);
    RUN_UNTIL(w->l, w->obs.starts == 2);
    await_stream(w, b);
    assert_non_null(strstr(out_str(&w->events), "OBS has stopped its stream"));
    w->obs.reconnecting = true;
    say_output(&w->obs, "RECONNECTING");
    RUN_UNTIL(w->l, strcmp(obs_words(b), "OBS has lost its server and reconnects") == 0);
    w->obs.reconnecting = false;
    RUN_UNTIL(w->l, obs_words(b)[0] == '\0');
    /* Killed: with our settings, and nothing streams when it returns. */
    w->obs.refuses = GOING_AWAY;
    w->obs.active = false;
    ws_peer_hang_up(&w->obs.peer, GOING_AWAY);
    RUN_UNTIL(w->l, strstr(obs_words(b), "no connection to OBS") != NULL);
    w->obs.refuses = 0;
    RUN_UNTIL(w->l, w->obs.starts == 3);
    await_stream(w, b);
    stop_and_wait(w, b);
    expect_theirs(w);
    world_free(w);
}

static void test_a_debt_is_paid_when_it_returns(void **state)
{
    struct world *w = world_new();
    struct broadcast *b = begin(w);
    await_stream(w, b);
    w->obs.refuses = GOING_AWAY;
    ws_peer_hang_up(&w->obs.peer, GOING_AWAY);
    stop_and_wait(w, b);
    assert_int_equal(broadcast_debts(b), 1);
    assert_true(has_service(&w->obs, NULL, "s3cret"));
    /* Also after a restart. */
    drop_service(w);
    open_service(w);
    b = broadcasts_find(w->rig.service, "one");
    RUN_UNTIL(w->l, broadcast_debts(b) == 1);
    w->obs.refuses = 0;
    RUN_UNTIL(w->l, broadcast_debts(b) == 0 && !w->obs.active &&
                        obs_step(b) != BROADCAST_STEP_DEBT && has_service(&w->obs, NULL, "theirs"));
    expect_theirs(w);
    world_free(w);
}

static void test_is_taken_up_again(void **state)
{
    struct world *w = world_new();
    await_stream(w, begin(w));
    drop_service(w);
    open_service(w);
    struct broadcast *b = broadcasts_find(w->rig.service, "one");
    await_stream(w, b);
    assert_int_equal(w->obs.starts, 1);
    stop_and_wait(w, b);
    expect_theirs(w);
    world_free(w);
}

static void test_publishes_here_with_credentials_of_the_run(void **state)
{
    struct world *w = world_with(true);
    await_stream(w, begin(w));
    assert_true(has_service(&w->obs, "rtmp://127.0.0.1:9/live", "obs?token="));
    _cleanup_free_ char *before = mem_strdup(w->obs.service);
    drop_service(w);
    open_service(w);
    /* Those of the former run have ended: the stream is begun with others. */
    RUN_UNTIL(w->l, w->obs.starts == 2);
    struct broadcast *b = broadcasts_find(w->rig.service, "one");
    await_stream(w, b);
    assert_string_not_equal(before, w->obs.service);
    stop_and_wait(w, b);
    expect_theirs(w);
    world_free(w);
}

static void test_what_streamed_to_the_target_before_goes_on(void **state)
{
    struct world *w = world_new();
    free(w->obs.service);
    w->obs.service = mem_strdup("{\"streamServiceSettings\":{\"key\":\"s3cret\",\"server\":"
                                "\"rtmp://127.0.0.1:9/live\",\"use_auth\":false},"
                                "\"streamServiceType\":\"rtmp_custom\"}");
    w->obs.active = true;
    struct broadcast *b = begin(w);
    await_stream(w, b);
    assert_int_equal(w->obs.starts, 0);
    stop_and_wait(w, b);
    assert_true(w->obs.active);
    assert_int_equal(w->obs.stops, 0);
    world_free(w);
}

/* A debt is none while it is being paid: until its step is at rest. Each try begins with other credentials. */
static void pay(struct world *w, struct broadcast *b)
{
    unsigned before = w->granted;
    if (broadcast_debts(b) > 0) {
        RUN_UNTIL(w->l, w->granted > before && has_service(&w->obs, NULL, "theirs") &&
                            broadcast_debts(b) == 0 &&
                            (obs_step(b) == BROADCAST_STEP_UNDONE ||
                             obs_step(b) == BROADCAST_STEP_FAILED));
    }
}

/* However it ends, so do the credentials that were made for it, and not only when it is forgotten. */
static void test_credentials_end_with_the_broadcast(void **state)
{
    static const struct {
        const char *dies_of;
        bool nothing_takes;
        int refuses;
        bool changed; /* by somebody else, before it is back */
    } failures[] = {
        {.refuses = WRONG},
        {.nothing_takes = true},
        {.dies_of = "GetStreamServiceSettings"},
        {.dies_of = "GetStreamStatus"},
        {.dies_of = "SetStreamServiceSettings"},
        {.dies_of = "StartStream"},
        {.dies_of = "StartStream", .changed = true},
    };
    struct world *w = world_with(true);
    for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
        w->obs.dies_of = failures[i].dies_of;
        w->obs.nothing_takes = failures[i].nothing_takes;
        w->obs.refuses = failures[i].refuses;
        struct broadcast *b = begin(w);
        AWAIT_STATE(w, b, BROADCAST_FAILED);
        assert_true(w->granted >= 2); /* the relay's, too */
        /* It may owe OBS its settings: paid when it is back. */
        w->obs.dies_of = NULL;
        w->obs.nothing_takes = false;
        if (failures[i].changed) {
            free(w->obs.service);
            w->obs.service = mem_strdup(THEIRS);
        }
        w->obs.refuses = 0;
        pay(w, b);
        if (w->granted != w->ended) {
            fail_msg("failure %zu: %u of %u have not ended", i, w->granted - w->ended, w->granted);
        }
        RUN_UNTIL(w->l, broadcast_forget(b) == 0);
        expect_theirs(w);
    }
    /* Stopped, in each turn of its start and when it is up. */
    for (unsigned turns = 0; turns < 80; turns += 4) {
        struct broadcast *b = begin(w);
        for (unsigned i = 0; i < turns; i++) {
            loop_run_once(w->l, 1);
        }
        stop_and_wait(w, b);
        assert_int_equal(w->granted, w->ended);
        RUN_UNTIL(w->l, broadcast_forget(b) == 0);
    }
    /* Begun anew by the runner, then with OBS away at the end. */
    struct broadcast *b = begin(w);
    await_stream(w, b);
    stop_stream(&w->obs);
    RUN_UNTIL(w->l, strstr(obs_words(b), "stopped its stream") != NULL);
    await_stream(w, b);
    assert_int_equal(w->granted - w->ended, 2); /* OBS' and the relay's */
    w->obs.refuses = GOING_AWAY;
    ws_peer_hang_up(&w->obs.peer, GOING_AWAY);
    stop_and_wait(w, b);
    assert_int_equal(broadcast_debts(b), 1);
    assert_int_equal(w->granted, w->ended);
    w->obs.refuses = 0;
    pay(w, b);
    assert_int_equal(w->granted, w->ended);
    RUN_UNTIL(w->l, broadcast_forget(b) == 0);
    /* Suspended. */
    await_stream(w, begin(w));
    broadcast_rig_leave(&w->rig, BROADCASTS_SUSPEND);
    assert_int_equal(w->granted, w->ended);
    drop_service(w);
    open_service(w);
    await_stream(w, broadcasts_find(w->rig.service, "one"));
    /* Killed: those of the process are gone with it, and the next one's end as ever. */
    drop_service(w);
    assert_int_equal(w->granted, w->ended);
    open_service(w);
    b = broadcasts_find(w->rig.service, "one");
    RUN_UNTIL(w->l, w->granted - w->ended == 2);
    await_stream(w, b);
    stop_and_wait(w, b);
    assert_int_equal(w->granted, w->ended);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_publishes_and_gets_its_settings_back),
        cmocka_unit_test(test_a_wrong_password_is_the_end),
        cmocka_unit_test(test_nothing_takes_its_stream),
        cmocka_unit_test(test_what_streams_elsewhere_is_left_alone),
        cmocka_unit_test(test_what_stops_is_begun_again),
        cmocka_unit_test(test_a_debt_is_paid_when_it_returns),
        cmocka_unit_test(test_is_taken_up_again),
        cmocka_unit_test(test_publishes_here_with_credentials_of_the_run),
        cmocka_unit_test(test_what_streamed_to_the_target_before_goes_on),
        cmocka_unit_test(test_credentials_end_with_the_broadcast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
