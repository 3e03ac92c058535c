/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relay builtin, whole: a publisher on a media loop of its own thread, our engine, a real Janus whose mountpoint tells how old its
 * media is. Pulling is from our own RTMP server.
 */
#include "../unit.h"

#include "../await.h"
#include "../media/fixture.h"
#include "../peer/real_janus.h"
#include "base/log.h"
#include "base/mem.h"
#include "media/canon.h"
#include "media/fmp4.h"
#include "protocol/rtmp/rtmp_form.h"
#include "protocol/rtmp/rtmp_server.h"
#include "service/broadcast/broadcast.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a publisher ---- */

#define FRAMES_MAX 512
#define FRAME_MS   40 /* as the fixture's */

/* Pictures that were read once, over and over at their pace, on a media loop. */
struct feeder {
    struct loop *l;
    struct engine *e;
    char path[64];
    struct track_params *params;
    struct frame {
        struct buf *payload;
        unsigned flags;
        int64_t pts_ns; /* of shown order, from 0 */
    } frames[FRAMES_MAX];
    unsigned n, next;
    /* media loop */
    struct publisher *publisher;
    struct loop_timer *timer;
};

static void feeder_on_open(void *user)
{
}

static void feeder_on_close(void *user, int r, const char *why)
{
    struct feeder *f = user;
    f->publisher = publisher_close(f->publisher);
    loop_timer_stop(f->timer);
}

static void feeder_tick(void *user)
{
    struct feeder *f = user;
    const struct frame *k = &f->frames[f->next % f->n];
    const int64_t round = (int64_t)(f->next / f->n) * f->n * FRAME_MS * NS_PER_MS;
    struct buf *payload = buf_ref(k->payload);
    struct sample *s = sample_new(0, f->params, &payload, (int64_t)f->next * FRAME_MS * NS_PER_MS,
                                  round + k->pts_ns, k->flags, clock_mono_ns());
    publisher_write(f->publisher, &s);
    f->next++;
    loop_timer_start(f->timer, FRAME_MS);
}

static void feeder_open(struct loop *l, void *arg)
{
    static const struct publisher_ops ops = {.on_open = feeder_on_open,
                                             .on_close = feeder_on_close};
    struct feeder *f = arg;
    const struct publisher_info info = {.path = f->path, .protocol = "test"};
    const struct publisher_track track = {CODEC_H264, f->params};
    f->next = 0;
    f->timer = loop_timer_new(l, feeder_tick, f);
    f->publisher = publisher_open(f->e, l, &info, &ops, f);
    publisher_tracks(f->publisher, &track, 1);
    loop_timer_start(f->timer, 1);
}

static void feeder_close(struct loop *l, void *arg)
{
    struct feeder *f = arg;
    f->publisher = publisher_close(f->publisher);
    f->timer = loop_timer_free(f->timer);
}

static void feeder_start(struct feeder *f, const char *path)
{
    snprintf(f->path, sizeof(f->path), "%s", path);
    loop_call_wait(f->l, feeder_open, f);
}

static void feeder_stop(struct feeder *f)
{
    loop_call_wait(f->l, feeder_close, f);
}

/* only_keys: the fixture has B pictures that others refer to; its key frames alone are an encoder without any. */
static struct feeder *feeder_new(struct engine *e, struct loop *l, bool only_keys)
{
    struct feeder *f = mem_new(struct feeder);
    struct fixture *file = fixture_open("h264_aac.mp4");
    const struct fixture_track *t = &file->tracks[0];
    struct canon canon;
    f->e = e;
    f->l = l;
    canon_init(&canon, t->codec);
    assert_true(canon_config(&canon, t->config, NULL) >= 0);
    for (unsigned i = 0; i < t->n && f->n < FRAMES_MAX; i++) {
        const struct canon_unit unit = {t->samples[i].data, 0, t->samples[i].key};
        struct canon_result res;
        assert_int_equal(canon_feed(&canon, &unit, &res, NULL), 0);
        if (only_keys && !t->samples[i].key) {
            buf_unref(&res.payload);
            continue;
        }
        f->frames[f->n] = (struct frame){
            .payload = res.payload,
            .flags = res.flags,
            .pts_ns = only_keys ? (int64_t)f->n * FRAME_MS * NS_PER_MS
                                : (int64_t)(t->samples[i].pts - t->samples[0].dts) * NS_PER_S /
                                      t->timescale,
        };
        f->n++;
    }
    assert_true(f->n > 0);
    f->params = track_params_ref(canon.params);
    canon_done(&canon);
    fixture_close(file);
    return f;
}

static void feeder_free(struct feeder *f)
{
    for (unsigned i = 0; i < f->n; i++) {
        buf_unref(&f->frames[i].payload);
    }
    track_params_unref(&f->params);
    free(f);
}

/* ---- the world ---- */

struct world {
    struct loop *control;
    struct loop *media;
    struct engine *engine;
    struct rtmp_server *rtmp;
    struct feeder *steady;  /* no B pictures */
    struct feeder *pyramid; /* B pictures that others refer to */
    struct real_janus *real;
    struct janus_servers *janus;
    struct broadcasts *service;
    struct net_guard guard; /* lets nobody in */
    char rtmp_url[64];
    unsigned granted, ended; /* credentials for ffmpeg to read the stream here */
    bool left;
};

static char *grant(void *user, const char *path, bool publish)
{
    assert_false(publish);
    return mem_printf("token=%u", ++((struct world *)user)->granted);
}

static void ungrant(void *user, const char *query)
{
    ((struct world *)user)->ended++;
}

static void on_left(void *user)
{
    ((struct world *)user)->left = true;
}

enum world_with {
    WORLD_GUARDED = 1 << 0,
    WORLD_NO_INGEST = 1 << 1,
};

static struct world *world_new(unsigned with)
{
    struct world *w = mem_new(struct world);
    struct error err = {0};
    log_configure("error", false);
    media_register_forms();
    rtmp_register_forms();
    w->control = loop_new("control", LOOP_CONTROL);
    w->media = loop_new("media", 0);
    const struct engine_config ec = {.fanout_wait_none = true, .continuity_ms = 500};
    w->engine = engine_new(&ec, w->control, &w->media, 1);
    assert_int_equal(loop_start(w->media), 0);
    const struct rtmp_server_config rc = {.address = "127.0.0.1", .wait_ms = 100};
    w->rtmp = rtmp_server_open(&rc, w->engine, &w->media, 1, &err);
    assert_non_null(w->rtmp);
    snprintf(w->rtmp_url, sizeof(w->rtmp_url), "rtmp://127.0.0.1:%u", rtmp_server_port(w->rtmp));
    w->steady = feeder_new(w->engine, w->media, true);
    w->pyramid = feeder_new(w->engine, w->media, false);
    w->real = real_janus_start(w->control);
    struct janus_server_config jc = {.name = (char *)"main",
                                     .url = (char *)real_janus_url(w->real),
                                     .api_secret = (char *)"apis3cret",
                                     .admin_key = (char *)"stream-admin",
                                     .room_admin_key = (char *)"room-admin"};
    w->janus = janus_servers_new(w->control, &jc, 1);
    const struct broadcasts_config config = {
        .control = w->control,
        .engine = w->engine,
        .loops = &w->media,
        .n_loops = 1,
        .janus = w->janus,
        .guard = with & WORLD_GUARDED ? &w->guard : NULL,
        .ingest = {.rtmp = with & WORLD_NO_INGEST ? NULL : w->rtmp_url,
                   .grant = grant,
                   .ungrant = ungrant,
                   .user = w},
        .pace = {.first_ms = 20, .max_ms = 200, .check_ms = 100, .stop_ms = 5000},
        .stale_ms = 2000,
    };
    w->service = broadcasts_new(&config);
    return w;
}

static void world_free(struct world *w)
{
    broadcasts_leave(w->service, BROADCASTS_STOP, 30000, on_left, w);
    RUN_UNTIL(w->control, w->left);
    w->service = broadcasts_free(w->service);
    w->janus = janus_servers_free(w->janus);
    w->rtmp = rtmp_server_close(w->rtmp);
    w->engine = engine_free(w->engine);
    loop_stop(w->media);
    loop_free(w->media);
    real_janus_stop(w->real);
    loop_free(w->control);
    feeder_free(w->steady);
    feeder_free(w->pyramid);
    free(w);
    assert_int_equal(sample_live_count(), 0);
    assert_int_equal(buf_live_count(), 0);
}

#define MOUNTPOINT                                                                                 \
    "\"mountpoint_spec\":{\"id\":9001,\"media\":["                                                 \
    "{\"type\":\"video\",\"mid\":\"v\",\"port\":0,\"pt\":96,\"codec\":\"h264\"}]}"

static struct broadcast *begin(struct world *w, const char *json)
{
    struct broadcast_request q;
    struct broadcast *b = NULL;
    struct error err = {0};
    if (broadcast_request_parse(&q, BYTES_STR(json), 0, &err) < 0 ||
        broadcasts_start(w->service, &q, &b, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    return b;
}

static const char stream_request[] =
    "{\"id\":\"one\",\"source_kind\":\"stream\",\"stream\":\"live/a\"," MOUNTPOINT "}";

#define AWAIT_STATE(w, b, s) RUN_UNTIL((w)->control, broadcast_state(b) == (s))

static bool reason_is(struct broadcast *b, const char *want)
{
    const char *reason = broadcast_result(b)->reason;
    return reason && strcmp(reason, want) == 0;
}

/* Janus says that what it last got is younger than a second. */
static bool media_is_fresh(struct broadcast *b)
{
    const struct broadcast_health *h = broadcast_result(b)->health;
    return h && h->media.len == 1 && h->media.items[0].age_ms < 1000;
}

static void await_media(struct world *w, struct broadcast *b)
{
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    RUN_UNTIL(w->control, media_is_fresh(b));
}

static bool relay_is(struct broadcast *b, enum broadcast_relay kind)
{
    const struct broadcast_relay_info *info = broadcast_result(b)->relay_info;
    return info && info->kind == kind;
}

static void stop_and_wait(struct world *w, struct broadcast *b)
{
    broadcast_stop(b);
    AWAIT_STATE(w, b, BROADCAST_STOPPED);
}

/* ---- tests ---- */

static void test_a_stream_reaches_janus(void **state)
{
    struct world *w = world_new(0);
    struct broadcast *b = begin(w, stream_request);
    AWAIT_STATE(w, b, BROADCAST_DEGRADED);
    RUN_UNTIL(w->control, reason_is(b, "sender: nobody publishes live/a yet"));
    assert_false(broadcast_result(b)->health->stream);
    feeder_start(w->steady, "live/a");
    await_media(w, b);
    const struct broadcast_result *res = broadcast_result(b);
    assert_int_equal(res->relay_info->kind, BROADCAST_RELAY_BUILTIN);
    assert_string_equal(res->relay_info->state, "running");
    assert_true(res->relay_info->packets > 0);
    assert_int_equal(res->relay_info->endpoints.len, 1);
    assert_true(res->health->stream);
    assert_int_equal(res->steps.len, 2);
    assert_string_equal(res->steps.items[1].describe,
                        "send stream live/a to the mountpoint by RTP, without another program");
    stop_and_wait(w, b);
    assert_string_equal(broadcast_result(b)->relay_info->state, "stopped");
    feeder_stop(w->steady);
    world_free(w);
}

static void test_a_publisher_that_goes_and_returns(void **state)
{
    struct world *w = world_new(0);
    struct broadcast *b = begin(w, stream_request);
    feeder_start(w->steady, "live/a");
    await_media(w, b);
    feeder_stop(w->steady);
    AWAIT_STATE(w, b, BROADCAST_DEGRADED);
    RUN_UNTIL(w->control, reason_is(b, "sender: nobody publishes live/a"));
    RUN_UNTIL(w->control, !broadcast_result(b)->health->stream);
    feeder_start(w->steady, "live/a");
    await_media(w, b);
    assert_int_equal(broadcast_result(b)->restarts, 0); /* the same sender went on */
    stop_and_wait(w, b);
    feeder_stop(w->steady);
    world_free(w);
}

/* Nothing is made: only the stream itself tells whether the front end does its part. */
static void test_a_stream_of_the_front_end(void **state)
{
    struct world *w = world_new(0);
    struct broadcast *b = begin(w, "{\"source_kind\":\"frontend_owned\",\"stream\":\"live/a\"}");
    const struct broadcast_result *res = broadcast_result(b);
    assert_int_equal(res->steps.len, 1);
    assert_string_equal(res->steps.items[0].describe, "watch for a publisher of stream live/a");
    AWAIT_STATE(w, b, BROADCAST_DEGRADED);
    RUN_UNTIL(w->control, reason_is(b, "ingest: nobody publishes live/a yet"));
    for (unsigned round = 0; round < 2; round++) {
        feeder_start(w->steady, "live/a");
        AWAIT_STATE(w, b, BROADCAST_RUNNING);
        assert_true(res->health->stream);
        feeder_stop(w->steady);
        AWAIT_STATE(w, b, BROADCAST_DEGRADED);
        RUN_UNTIL(w->control, reason_is(b, "ingest: nobody publishes live/a"));
        assert_false(res->health->stream);
    }
    stop_and_wait(w, b);
    (void)begin(w, "{\"source_kind\":\"frontend_owned\",\"stream\":\"live/b\"}");
    world_free(w); /* while it asks */
}

static void test_heals_after_a_crash_of_janus(void **state)
{
    struct world *w = world_new(0);
    struct broadcast *b = begin(w, stream_request);
    feeder_start(w->steady, "live/a");
    await_media(w, b);
    real_janus_kill(w->real);
    AWAIT_STATE(w, b, BROADCAST_DEGRADED);
    real_janus_again(w->real);
    AWAIT_STATE(w, b, BROADCAST_RESTARTING);
    await_media(w, b);
    const struct broadcast_result *res = broadcast_result(b);
    assert_int_equal(res->relay_info->endpoints.items[0].port,
                     res->mountpoint_response->ports.items[0].port);
    stop_and_wait(w, b);
    feeder_stop(w->steady);
    world_free(w);
}

static void test_a_publisher_publishes_to_us(void **state)
{
    struct world *w = world_new(0);
    char want[128];
    struct broadcast *b =
        begin(w, "{\"id\":\"two\",\"source_kind\":\"rtmp_external\"," MOUNTPOINT "}");
    const struct broadcast_srs_info *info = broadcast_result(b)->srs_info;
    assert_non_null(info); /* at once: the caller must know where to */
    assert_true(info->builtin);
    assert_string_equal(info->path, "broadcast/two");
    snprintf(want, sizeof(want), "%s/broadcast/two", w->rtmp_url);
    assert_string_equal(info->publish_url, want);
    feeder_start(w->steady, "broadcast/two");
    await_media(w, b);
    stop_and_wait(w, b);
    feeder_stop(w->steady);
    world_free(w);
}

static void test_a_stream_is_pulled(void **state)
{
    struct world *w = world_new(0);
    _cleanup_free_ char *json =
        mem_printf("{\"id\":\"three\",\"source_kind\":\"rtmp_external\","
                   "\"srs\":{\"rtmp_url\":\"%s\",\"app\":\"live\",\"stream_key\":\"topsecret\"},"
                   "%s}",
                   w->rtmp_url, MOUNTPOINT);
    struct broadcast *b = begin(w, json);
    assert_false(broadcast_result(b)->srs_info->builtin);
    assert_null(strstr(broadcast_result(b)->srs_info->publish_url, "topsecret"));
    AWAIT_STATE(w, b, BROADCAST_DEGRADED);
    RUN_UNTIL(w->control, broadcast_result(b)->reason &&
                              strncmp(broadcast_result(b)->reason, "pull: not-found: ", 17) == 0);
    assert_null(strstr(broadcast_result(b)->reason, "topsecret"));
    feeder_start(w->steady, "live/topsecret");
    await_media(w, b);
    assert_int_equal(broadcast_result(b)->steps.len, 3);
    assert_null(strstr(broadcast_result(b)->steps.items[1].describe, "topsecret"));
    /* It ends there, and is pulled again once it is back. */
    feeder_stop(w->steady);
    AWAIT_STATE(w, b, BROADCAST_DEGRADED);
    RUN_UNTIL(w->control,
              broadcast_result(b)->reason &&
                  strncmp(broadcast_result(b)->reason, "pull: the source is away: ", 26) == 0);
    feeder_start(w->steady, "live/topsecret");
    await_media(w, b);
    assert_int_equal(broadcast_result(b)->restarts, 0);
    stop_and_wait(w, b);
    feeder_stop(w->steady);
    world_free(w);
}

static void test_a_pull_reaches_only_what_it_may(void **state)
{
    struct world *w = world_new(WORLD_GUARDED);
    struct broadcast *b = begin(w, "{\"id\":\"four\",\"source_kind\":\"rtmp_external\","
                                   "\"input_url\":\"rtmp://10.1.2.3/live/a\"," MOUNTPOINT "}");
    AWAIT_STATE(w, b, BROADCAST_FAILED);
    assert_int_equal(strncmp(broadcast_result(b)->reason, "pull: ", 6), 0);
    assert_non_null(strstr(broadcast_result(b)->reason, "10.1.2.3"));
    /* What is allowed later, by a reload, counts from then on. */
    char *const allow[] = {(char *)"127.0.0.0/8"};
    _cleanup_free_ char *json =
        mem_printf("{\"id\":\"here\",\"source_kind\":\"rtmp_external\",\"input_url\":"
                   "\"%s/live/a\",%s}",
                   w->rtmp_url, MOUNTPOINT);
    struct broadcast *no = begin(w, json);
    AWAIT_STATE(w, no, BROADCAST_FAILED);
    assert_int_equal(net_guard_init(&w->guard, allow, 1, NULL), 0);
    assert_int_equal(broadcast_restart(no, NULL), 0);
    feeder_start(w->steady, "live/a");
    await_media(w, no);
    feeder_stop(w->steady);
    world_free(w);
}

/* Let go of in each turn: messages of both loops are under way then. */
static void test_is_dropped_at_any_time(void **state)
{
    struct world *w = world_new(0);
    feeder_start(w->steady, "live/a");
    for (int turn = 0; turn < 12; turn++) {
        struct broadcast *b = begin(w, stream_request);
        for (int i = 0; i < turn * 3; i++) {
            loop_run_once(w->control, 5);
        }
        stop_and_wait(w, b);
        assert_int_equal(broadcast_forget(b), 0);
    }
    /* And with the service itself, in the middle of it. */
    struct broadcast *b = begin(w, stream_request);
    await_media(w, b);
    w->service = broadcasts_free(w->service);
    const struct broadcasts_config config = {.control = w->control, .janus = w->janus};
    w->service = broadcasts_new(&config);
    feeder_stop(w->steady);
    world_free(w);
}

/* A real ffmpeg, which reads the stream from our own RTMP server. */
static void test_what_must_be_encoded_anew(void **state)
{
    struct world *w = world_new(0);
    struct broadcast *b = begin(w, stream_request);
    AWAIT_STATE(w, b, BROADCAST_DEGRADED);
    feeder_start(w->pyramid, "live/a");
    /* What comes before the first such picture was sent. */
    RUN_UNTIL(w->control, relay_is(b, BROADCAST_RELAY_FFMPEG));
    await_media(w, b);
    const struct broadcast_result *res = broadcast_result(b);
    assert_int_equal(res->relay_info->kind, BROADCAST_RELAY_FFMPEG);
    assert_non_null(strstr(res->relay_info->why, "others need them"));
    assert_int_equal(res->warnings.len, 1);
    assert_int_equal(res->steps.len, 2);
    assert_string_equal(res->steps.items[1].name, "relay");
    /* It goes, and who comes next needs nothing of the kind. */
    feeder_stop(w->pyramid);
    assert_int_equal(w->granted - w->ended, 1);
    RUN_UNTIL(w->control, relay_is(b, BROADCAST_RELAY_BUILTIN));
    assert_int_equal(w->granted, w->ended);
    res = broadcast_result(b);
    assert_null(res->relay_info->why);
    assert_int_equal(res->warnings.len, 0);
    assert_string_equal(res->steps.items[1].name, "sender");
    feeder_start(w->steady, "live/a");
    await_media(w, b);
    assert_true(relay_is(b, BROADCAST_RELAY_BUILTIN));
    /* And the other way round again. */
    feeder_stop(w->steady);
    AWAIT_STATE(w, b, BROADCAST_DEGRADED);
    feeder_start(w->pyramid, "live/a");
    RUN_UNTIL(w->control, relay_is(b, BROADCAST_RELAY_FFMPEG));
    await_media(w, b);
    assert_int_equal(broadcast_result(b)->warnings.len, 1);
    stop_and_wait(w, b);
    assert_int_equal(w->granted, 2);
    assert_int_equal(w->ended, 2);
    feeder_stop(w->pyramid);
    world_free(w);
}

static void test_codecs_that_we_have_not_are_encoded(void **state)
{
    struct world *w = world_new(0);
    struct broadcast *b =
        begin(w, "{\"id\":\"five\",\"source_kind\":\"stream\",\"stream\":\"live/a\","
                 "\"mountpoint_spec\":{\"id\":9001,\"media\":["
                 "{\"type\":\"video\",\"mid\":\"v\",\"port\":0,\"pt\":96,\"codec\":\"vp8\"}]}}");
    RUN_UNTIL(w->control, relay_is(b, BROADCAST_RELAY_FFMPEG));
    assert_string_equal(broadcast_result(b)->relay_info->why, "builtin sends no vp8");
    /* A restart decides anew, here to the same end. */
    assert_int_equal(broadcast_restart(b, NULL), 0);
    RUN_UNTIL(w->control, relay_is(b, BROADCAST_RELAY_BUILTIN));
    RUN_UNTIL(w->control, relay_is(b, BROADCAST_RELAY_FFMPEG));
    assert_string_equal(broadcast_result(b)->relay_info->why, "builtin sends no vp8");
    stop_and_wait(w, b);
    world_free(w);
}

/* Nobody here can: it says so, and goes on when another publisher comes. */
static void test_without_an_ingest_it_waits_for_another_publisher(void **state)
{
    struct world *w = world_new(WORLD_NO_INGEST);
    struct broadcast *b = begin(w, stream_request);
    feeder_start(w->pyramid, "live/a");
    RUN_UNTIL(w->control, broadcast_result(b)->reason &&
                              strstr(broadcast_result(b)->reason, "another relay is needed"));
    feeder_stop(w->pyramid);
    feeder_start(w->steady, "live/a");
    await_media(w, b);
    assert_int_equal(broadcast_result(b)->relay_info->kind, BROADCAST_RELAY_BUILTIN);
    stop_and_wait(w, b);
    feeder_stop(w->steady);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stream_reaches_janus),
        cmocka_unit_test(test_a_publisher_that_goes_and_returns),
        cmocka_unit_test(test_a_stream_of_the_front_end),
        cmocka_unit_test(test_heals_after_a_crash_of_janus),
        cmocka_unit_test(test_a_publisher_publishes_to_us),
        cmocka_unit_test(test_a_stream_is_pulled),
        cmocka_unit_test(test_a_pull_reaches_only_what_it_may),
        cmocka_unit_test(test_is_dropped_at_any_time),
        cmocka_unit_test(test_what_must_be_encoded_anew),
        cmocka_unit_test(test_codecs_that_we_have_not_are_encoded),
        cmocka_unit_test(test_without_an_ingest_it_waits_for_another_publisher),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
