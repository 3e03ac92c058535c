/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The builtin relay through the C API: an RTMP feed of a real ffmpeg, pulled, and the stream that it becomes here, each at a
 * mountpoint of a real Janus, the AAC as Opus by the real mast-av, without a relay_kind being said.
 */
#include "../unit.h"

#include "../await.h"
#include "../peer/real_janus.h"
#include "../peer/relay_rig.h"
#include "base/mem.h"
#include "heard.h"

#include <errno.h>
#include <jansson.h>
#include <mast/mast.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world {
    struct loop *l; /* that Janus and ffmpeg are children of; the test's own thread */
    struct real_janus *real;
    struct rig_server source;
    char url[64];
    struct mast *mast;
    struct mast_orchestrator *orchestrator;
    struct mast_janus_handle *streaming;
    struct heard heard;
};

/* mast-spawn and mast-av lie in two folders of a build, in one of an installation. */
static char libexec[] = "/tmp/mast-libexec-XXXXXX";

static int make_libexec(void **state)
{
    char command[1100];
    const char *build = getenv("MAST_LIBEXEC_DIR");
    assert_non_null(build);
    assert_non_null(mkdtemp(libexec));
    snprintf(command, sizeof(command), "ln -s %s/mast-spawn %s/../av/mast-av %s", build, build,
             libexec);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a test, fixed commands */
    return setenv("MAST_LIBEXEC_DIR", libexec, 1);
}

static int remove_libexec(void **state)
{
    char command[64];
    snprintf(command, sizeof(command), "rm -r %s", libexec);
    return system(command); /* NOLINT(cert-env33-c): a test, fixed commands */
}

static void look_into_janus(struct world *w)
{
    struct mast_janus *j = NULL;
    struct mast_error err = {0};
    const struct mast_janus_config config = {.url = real_janus_url(w->real),
                                             .api_secret = "apis3cret"};
    if (mast_janus_new(w->mast, &config, &j, &err) < 0 ||
        mast_janus_attach(j, "janus.plugin.streaming", NULL, NULL, &w->streaming, &err) < 0 ||
        mast_janus_handle_ready_wait(w->streaming, &err) < 0) {
        fail_msg("%s", err.text);
    }
}

static struct world *world_new(unsigned media_loops)
{
    struct world *w = mem_new(struct world);
    struct mast_error err = {0};
    heard_init(&w->heard);
    w->l = loop_new("test", LOOP_CONTROL);
    w->real = real_janus_start(w->l);
    snprintf(w->url, sizeof(w->url), "rtmp://127.0.0.1:%u", port_get(SOCK_STREAM));
    _cleanup_free_ char *address = mem_printf("%s/live/cam", w->url);
    rig_rtmp_start(w->l, &w->source, address, "600");
    w->mast =
        mast_new(&(struct mast_config){.media_loops = media_loops, .log_level = MAST_LOG_ERROR});
    const struct mast_janus_server janus = {
        .url = real_janus_url(w->real), .api_secret = "apis3cret", .admin_key = "stream-admin"};
    const struct mast_orchestrator_config config = {
        .janus = &janus, .n_janus = 1, .observer = heard_observer(&w->heard)};
    if (mast_orchestrator_new(w->mast, &config, &w->orchestrator, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    look_into_janus(w);
    return w;
}

static void world_free(struct world *w)
{
    assert_int_equal(mast_free(w->mast), 0);
    rig_server_stop(w->l, &w->source);
    real_janus_stop(w->real);
    loop_free(w->l);
    heard_done(&w->heard);
    free(w);
}

static char *request(const struct world *w, const char *id, const char *source_kind, int mountpoint)
{
    struct mast_broadcast_request r;
    char spec[256];
    snprintf(spec, sizeof(spec),
             "{\"id\":%d,\"media\":[{\"type\":\"video\",\"mid\":\"v\",\"port\":0,\"pt\":96,"
             "\"codec\":\"h264\"},{\"type\":\"audio\",\"mid\":\"a\",\"port\":0,\"pt\":111,"
             "\"codec\":\"opus\"}]}",
             mountpoint);
    mast_broadcast_request_init(&r);
    r.id = id;
    r.source_kind = source_kind;
    r.mountpoint_spec = spec;
    if (strcmp(source_kind, "stream") == 0) {
        r.stream = "broadcast/pulled";
    } else {
        r.srs_rtmp_url = w->url;
        r.srs_app = "live";
        r.srs_stream_key = "cam";
    }
    return mast_broadcast_request_json(&r);
}

static void start(struct world *w, const char *id, const char *source_kind, int mountpoint)
{
    _cleanup_free_ char *json = request(w, id, source_kind, mountpoint);
    struct mast_error err = {0};
    if (mast_broadcast_start_wait(w->orchestrator, json, NULL, &err) < 0) {
        fail_msg("%s: %s: %s", id, err.where, err.text);
    }
}

/* Both tracks have had something within the last second. */
static bool arrives(struct world *w, int mountpoint)
{
    char *text = NULL;
    _cleanup_free_ char *body = mem_printf("{\"request\":\"info\",\"id\":%d}", mountpoint);
    assert_int_equal(mast_janus_ask_wait(w->streaming, body, &text, NULL), 0);
    json_t *v = json_loads(text, 0, NULL);
    const json_t *media = json_object_get(json_object_get(v, "info"), "media");
    bool all = json_array_size(media) == 2;
    for (size_t i = 0; i < json_array_size(media); i++) {
        const json_t *age = json_object_get(json_array_get(media, i), "age_ms");
        all = all && json_is_integer(age) && json_integer_value(age) < 1000;
    }
    json_decref(v);
    free(text);
    return all;
}

static bool result_has(struct world *w, const char *id, const char *what)
{
    char *text = NULL;
    assert_int_equal(mast_broadcast_result_wait(w->orchestrator, id, &text, NULL), 0);
    bool found = strstr(text, what) != NULL;
    free(text);
    return found;
}

static void test_a_feed_and_the_stream_it_becomes(void **state)
{
    struct world *w = world_new(1);
    start(w, "pulled", "rtmp_external", 9001);
    start(w, "again", "stream", 9002);
    WAIT_UNTIL(has_heard(&w->heard, "pulled:running "));
    WAIT_UNTIL(has_heard(&w->heard, "again:running "));
    WAIT_UNTIL(arrives(w, 9001));
    WAIT_UNTIL(arrives(w, 9002));
    assert_true(result_has(w, "pulled", "\"kind\":\"builtin\""));
    assert_true(result_has(w, "again", "\"kind\":\"builtin\""));
    /* The feed ends: both say so, and both end well. */
    heard_forget(&w->heard);
    rig_server_stop(w->l, &w->source);
    WAIT_UNTIL(has_heard(&w->heard, "pulled:degraded ") && has_heard(&w->heard, "again:degraded "));
    assert_int_equal(mast_broadcast_stop_wait(w->orchestrator, "again", NULL, NULL), 0);
    _cleanup_free_ char *address = mem_printf("%s/live/cam", w->url);
    rig_rtmp_start(w->l, &w->source, address, "600");
    heard_forget(&w->heard);
    WAIT_UNTIL(has_heard(&w->heard, "pulled:running "));
    WAIT_UNTIL(arrives(w, 9001));
    world_free(w); /* with the conversion of its sound under way */
}

/* No relay was asked for, and the one that is taken else cannot be had. */
static void test_without_media_threads(void **state)
{
    struct world *w = world_new(0);
    struct mast_error err = {0};
    start(w, "pulled", "rtmp_external", 9001);
    WAIT_UNTIL(has_heard(&w->heard, "pulled:running "));
    WAIT_UNTIL(arrives(w, 9001));
    assert_true(result_has(w, "pulled", "\"kind\":\"ffmpeg\""));
    assert_true(result_has(w, "pulled", "there is no engine here"));
    _cleanup_free_ char *json = request(w, "again", "stream", 9002);
    assert_int_equal(mast_broadcast_start_wait(w->orchestrator, json, NULL, &err), -ENOTSUP);
    assert_string_equal(err.where, "relay_kind");
    world_free(w);
}

/* Nothing here takes RTMP in: what would wait for it for ever is refused. */
static void test_nobody_could_publish(void **state)
{
    struct world *w = world_new(1);
    struct mast_error err = {0};
    static const char json[] =
        "{\"source_kind\":\"rtmp_external\",\"mountpoint_spec\":{\"id\":9001,\"media\":[{"
        "\"type\":\"video\",\"mid\":\"v\",\"port\":0,\"pt\":96,\"codec\":\"h264\"}]}}";
    assert_int_equal(mast_broadcast_start_wait(w->orchestrator, json, NULL, &err), -ENOTSUP);
    assert_string_equal(err.where, "srs");
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_feed_and_the_stream_it_becomes),
        cmocka_unit_test(test_without_media_threads),
        cmocka_unit_test(test_nobody_could_publish),
    };
    return cmocka_run_group_tests(tests, make_libexec, remove_libexec);
}
