/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Broadcasts with relays: real sources, a real ffmpeg or gst-launch, a real Janus, which tells how old its media is. That viewers
 * decode it is for the end-to-end tests.
 */
#include "../unit.h"

#include "../peer/relay_rig.h"

#include "../peer/real_janus.h"
#include "service/broadcast/broadcast.h"

#include <errno.h>
#include <stdlib.h>

#define SECRET "cam-s3cret"
#define FRESH  1000 /* ms: media this old has just come */
#define STALE  2500

struct world {
    struct loop *l;
    struct real_janus *real;
    struct janus_servers *janus;
    struct broadcasts *service;
    struct out events;
    bool left;
};

static void on_event(void *user, const char *type, const char *id, const char *data)
{
    out_printf(&((struct world *)user)->events, "%s %s\n", type, data);
}

static struct world *world_with(const struct net_guard *guard, const char *janus_url)
{
    struct world *w = mem_new(struct world);
    w->l = loop_new("control", LOOP_CONTROL);
    w->real = janus_url ? NULL : real_janus_start(w->l);
    struct janus_server_config jc = {.name = (char *)"main",
                                     .url =
                                         (char *)(janus_url ? janus_url : real_janus_url(w->real)),
                                     .api_secret = (char *)"apis3cret",
                                     .admin_key = (char *)"stream-admin"};
    w->janus = janus_servers_new(w->l, &jc, 1);
    const struct broadcasts_config config = {
        .control = w->l,
        .janus = w->janus,
        .guard = guard,
        .observer = {.on_event = on_event, .user = w},
        .pace = {.first_ms = 20, .max_ms = 200, .check_ms = 250, .stop_ms = 8000},
        .stall_ms = 2000,
        .stale_ms = STALE,
    };
    w->service = broadcasts_new(&config);
    return w;
}

static struct world *world_new(void)
{
    return world_with(NULL, NULL);
}

static void on_left(void *user)
{
    ((struct world *)user)->left = true;
}

static void world_free(struct world *w)
{
    broadcasts_leave(w->service, BROADCASTS_STOP, 30000, on_left, w);
    RUN_UNTIL(w->l, w->left);
    w->service = broadcasts_free(w->service);
    w->janus = janus_servers_free(w->janus);
    if (w->real) {
        real_janus_stop(w->real);
    }
    loop_free(w->l);
    out_done(&w->events);
    free(w);
}

/* ---- requests ---- */

#define MOUNTPOINT                                                                                 \
    "\"mountpoint_spec\":{\"id\":9001,\"media\":["                                                 \
    "{\"type\":\"video\",\"mid\":\"v\",\"port\":0,\"pt\":96,\"codec\":\"h264\"},"                  \
    "{\"type\":\"audio\",\"mid\":\"a\",\"port\":0,\"pt\":111,\"codec\":\"opus\"}]}"

static int start(struct world *w, const char *json, struct broadcast **ret, struct error *err)
{
    struct broadcast_request q;
    int r = broadcast_request_parse(&q, BYTES_STR(json), 0, err);
    return r < 0 ? r : broadcasts_start(w->service, &q, ret, err);
}

static struct broadcast *begin(struct world *w, const char *json)
{
    struct broadcast *b = NULL;
    struct error err = {0};
    if (start(w, json, &b, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    return b;
}

#define AWAIT_STATE(w, b, s) RUN_UNTIL((w)->l, broadcast_state(b) == (s))

/* All tracks as young, or as old, as that. */
static bool ages_are(struct broadcast *b, size_t tracks, bool fresh)
{
    const struct broadcast_health *h = broadcast_result(b)->health;
    if (!h || h->media.len != tracks) {
        return false;
    }
    for (size_t i = 0; i < tracks; i++) {
        if ((h->media.items[i].age_ms < FRESH) != fresh) {
            return false;
        }
    }
    return true;
}

/* A mountpoint counts from its creation as if media had come: only later its age tells something. */
static void await_media(struct world *w, struct broadcast *b, size_t tracks)
{
    int64_t begun = clock_mono_ns();
    RUN_UNTIL(w->l, clock_mono_ns() - begun > 2 * FRESH * NS_PER_MS && ages_are(b, tracks, true) &&
                        broadcast_state(b) == BROADCAST_RUNNING);
}

static pid_t relay_pid(struct broadcast *b)
{
    const struct broadcast_relay_info *info = broadcast_result(b)->relay_info;
    return info ? (pid_t)info->pid : 0;
}

static void stop_and_wait(struct world *w, struct broadcast *b)
{
    pid_t pid = relay_pid(b);
    broadcast_stop(b);
    AWAIT_STATE(w, b, BROADCAST_STOPPED);
    assert_true(pid == 0 || (kill(pid, 0) < 0 && errno == ESRCH));
    assert_int_equal(relay_pid(b), 0);
    assert_string_equal(broadcast_result(b)->relay_info->state, "stopped");
}

/* ---- RTMP ---- */

static void test_waits_for_rtmp_and_for_its_return(void **state)
{
    struct world *w = world_new();
    struct rig_server source;
    uint16_t port = port_get(SOCK_STREAM);
    _cleanup_free_ char *url = mem_printf("rtmp://127.0.0.1:%u/live/%s", port, SECRET);
    _cleanup_free_ char *json = mem_printf(
        "{\"source_kind\":\"rtmp_external\",\"relay_kind\":\"ffmpeg\","
        "\"srs\":{\"rtmp_url\":\"rtmp://127.0.0.1:%u\",\"stream_key\":\"%s\"}," MOUNTPOINT "}",
        port, SECRET);
    struct broadcast *b = begin(w, json);
    AWAIT_STATE(w, b, BROADCAST_DEGRADED); /* before that, Janus may be what refuses */
    RUN_UNTIL(w->l, strstr(broadcast_result(b)->reason, "Connection refused") != NULL);
    assert_non_null(strstr(broadcast_result(b)->reason, "relay: no media from rtmp://127.0.0.1"));
    assert_null(strstr(broadcast_result(b)->reason, SECRET));
    assert_non_null(strstr(broadcast_result(b)->srs_info->publish_url, "/live/***"));
    RUN_UNTIL(w->l, ages_are(b, 2, false));
    rig_rtmp_start(w->l, &source, url, "600");
    await_media(w, b, 2);
    assert_true(broadcast_result(b)->health->relay_speed > 0);
    rig_server_stop(w->l, &source);
    AWAIT_STATE(w, b, BROADCAST_DEGRADED);
    RUN_UNTIL(w->l, strstr(broadcast_result(b)->reason, "Connection refused") != NULL);
    assert_non_null(strstr(out_str(&w->events), "\"phase\":\"relay\""));
    rig_rtmp_start(w->l, &source, url, "600");
    await_media(w, b, 2);
    assert_null(strstr(out_str(&w->events), SECRET));
    stop_and_wait(w, b);
    rig_server_stop(w->l, &source);
    world_free(w);
}

/* ---- a camera ---- */

static char *camera_json(uint16_t port, const char *relay, const char *more)
{
    return mem_printf("{\"source_kind\":\"rtsp_camera\",\"relay_kind\":\"%s\",%s\"rtsp_camera\":{"
                      "\"url\":\"rtsp://127.0.0.1:%u/cam\",\"username\":\"cam\","
                      "\"password\":\"" SECRET "\",\"timeout\":\"5s\"}," MOUNTPOINT "}",
                      relay, more, port);
}

static void await_other(struct world *w, struct broadcast *b, pid_t pid)
{
    RUN_UNTIL(w->l, relay_pid(b) != 0 && relay_pid(b) != pid);
    await_media(w, b, 2);
    assert_true(kill(pid, 0) < 0 && errno == ESRCH);
}

static void test_camera_by_ffmpeg(void **state)
{
    struct world *w = world_new();
    struct rig_server source;
    uint16_t port = port_get(SOCK_STREAM);
    rig_rtsp_start(w->l, &source, port, SECRET);
    _cleanup_free_ char *json = camera_json(port, "ffmpeg", "");
    struct broadcast *b = begin(w, json);
    await_media(w, b, 2);
    const struct broadcast_relay_info *info = broadcast_result(b)->relay_info;
    assert_false(info->secret_visible);
    assert_int_equal(info->endpoints.len, 2);
    assert_string_equal(info->endpoints.items[0].host, "127.0.0.1");
    pid_t pid = relay_pid(b);
    assert_true(rig_proc_has(pid, "cmdline", "ffmpeg"));
    assert_false(rig_proc_has(pid, "cmdline", SECRET));
    assert_false(rig_proc_has(pid, "environ", SECRET));
    int64_t restarts = info->restarts;
    assert_int_equal(kill(pid, SIGKILL), 0);
    await_other(w, b, pid);
    assert_true(broadcast_result(b)->relay_info->restarts > restarts);
    pid = relay_pid(b);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    await_other(w, b, pid);
    stop_and_wait(w, b);
    rig_server_stop(w->l, &source);
    world_free(w);
}

static void test_camera_by_gstreamer(void **state)
{
    struct world *w = world_new();
    struct rig_server source;
    uint16_t port = port_get(SOCK_STREAM);
    rig_rtsp_start(w->l, &source, port, SECRET);
    _cleanup_free_ char *json = camera_json(port, "gstreamer", "\"copy_video\":true,");
    struct broadcast *b = begin(w, json);
    await_media(w, b, 2);
    assert_true(broadcast_result(b)->relay_info->secret_visible);
    pid_t pid = relay_pid(b);
    assert_int_equal(kill(pid, SIGKILL), 0);
    await_other(w, b, pid);
    stop_and_wait(w, b);
    rig_server_stop(w->l, &source);
    world_free(w);
}

static void test_wrong_password_waits_with_the_words(void **state)
{
    struct world *w = world_new();
    struct rig_server source;
    uint16_t port = port_get(SOCK_STREAM);
    rig_rtsp_start(w->l, &source, port, "another");
    _cleanup_free_ char *json = camera_json(port, "ffmpeg", "");
    struct broadcast *b = begin(w, json);
    RUN_UNTIL(w->l, broadcast_result(b)->reason &&
                        strstr(broadcast_result(b)->reason, "401 Unauthorized") != NULL);
    assert_null(strstr(broadcast_result(b)->reason, SECRET));
    stop_and_wait(w, b);
    rig_server_stop(w->l, &source);
    world_free(w);
}

/* ---- the caller's own pipeline ---- */

static void test_own_pipeline(void **state)
{
    struct world *w = world_new();
    uint16_t port = port_get(SOCK_DGRAM);
    _cleanup_free_ char *json = mem_printf(
        "{\"source_kind\":\"rtmp_external\",\"relay_kind\":\"gstreamer\",\"stream\":\"live/x\","
        "\"gstreamer_pipeline\":\"videotestsrc is-live=true ! video/x-raw,width=160,height=120 ! "
        "x264enc tune=zerolatency ! rtph264pay pt=96 ! udpsink host=127.0.0.1 port=%u\","
        "\"mountpoint_spec\":{\"id\":9001,\"media\":[{\"type\":\"video\",\"mid\":\"v\","
        "\"port\":%u,\"pt\":96,\"codec\":\"h264\"}]}}",
        port, port);
    struct broadcast *b = begin(w, json);
    await_media(w, b, 1);
    stop_and_wait(w, b);
    world_free(w);
}

/* Its sound ends after half a second, its picture goes on: as when a branch was not linked, which none but Janus sees. */
static void test_a_child_that_sends_half_is_replaced(void **state)
{
    struct world *w = world_new();
    const uint16_t video = port_get(SOCK_DGRAM);
    const uint16_t audio = port_get(SOCK_DGRAM);
    _cleanup_free_ char *json = mem_printf(
        "{\"source_kind\":\"rtmp_external\",\"relay_kind\":\"gstreamer\",\"stream\":\"live/x\","
        "\"gstreamer_pipeline\":\"videotestsrc is-live=true ! video/x-raw,width=160,height=120 ! "
        "x264enc tune=zerolatency ! rtph264pay pt=96 ! udpsink host=127.0.0.1 port=%u "
        "audiotestsrc is-live=true num-buffers=25 ! opusenc ! rtpopuspay pt=111 ! "
        "udpsink host=127.0.0.1 port=%u\","
        "\"mountpoint_spec\":{\"id\":9001,\"media\":["
        "{\"type\":\"video\",\"mid\":\"v\",\"port\":%u,\"pt\":96,\"codec\":\"h264\"},"
        "{\"type\":\"audio\",\"mid\":\"a\",\"port\":%u,\"pt\":111,\"codec\":\"opus\"}]}}",
        video, audio, video, audio);
    struct broadcast *b = begin(w, json);
    RUN_UNTIL(w->l, relay_pid(b) != 0);
    const pid_t first = relay_pid(b);
    RUN_UNTIL(w->l, relay_pid(b) != 0 && relay_pid(b) != first);
    assert_true(broadcast_result(b)->relay_info->restarts >= 1);
    stop_and_wait(w, b);
    world_free(w);
}

/* ---- what is refused ---- */

static void expect_refusal(struct world *w, const char *json, int code, const char *where)
{
    struct broadcast *b = NULL;
    struct error err = {0};
    assert_int_equal(start(w, json, &b, &err), code);
    assert_string_equal(err.where, where);
}

#define INPUT "\"input_url\":\"rtmp://127.0.0.1:9/live/x\","
#define EXTERNAL(relay, more)                                                                      \
    "{\"source_kind\":\"rtmp_external\",\"relay_kind\":\"" relay "\"," more MOUNTPOINT "}"

static void test_what_is_refused(void **state)
{
    struct world *w = world_with(NULL, "ws://janus.example:8188");
    expect_refusal(w, EXTERNAL("ffmpeg", INPUT), -EINVAL, "host");
    expect_refusal(w, EXTERNAL("ffmpeg", INPUT "\"host\":\"janus.example\","), -EINVAL, "host");
    expect_refusal(w, EXTERNAL("builtin", INPUT "\"copy_video\":true,"), -EINVAL, "copy_video");
    expect_refusal(w, EXTERNAL("ffmpeg", "\"host\":\"192.0.2.1\",\"stream\":\"live/x\","), -ENOTSUP,
                   "stream");
    world_free(w);
}

static void test_guard(void **state)
{
    const struct net_guard guard = {0};
    struct world *w = world_with(&guard, NULL);
    expect_refusal(w, EXTERNAL("ffmpeg", INPUT "\"host\":\"10.0.0.1\","), -EACCES, "host");
    struct broadcast *b = begin(w, EXTERNAL("ffmpeg", INPUT));
    AWAIT_STATE(w, b, BROADCAST_FAILED);
    assert_memory_equal(broadcast_result(b)->reason, "relay: ", 7);
    struct broadcast *named =
        begin(w, EXTERNAL("ffmpeg", "\"input_url\":\"rtmp://localhost:9/live/x\","));
    AWAIT_STATE(w, named, BROADCAST_FAILED);
    assert_memory_equal(broadcast_result(named)->reason, "relay: ", 7);
    assert_null(broadcast_result(named)->relay_info);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_for_rtmp_and_for_its_return),
        cmocka_unit_test(test_camera_by_ffmpeg),
        cmocka_unit_test(test_camera_by_gstreamer),
        cmocka_unit_test(test_wrong_password_waits_with_the_words),
        cmocka_unit_test(test_own_pipeline),
        cmocka_unit_test(test_a_child_that_sends_half_is_replaced),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_guard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
