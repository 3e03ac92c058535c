/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/mem.h"
#include "service/broadcast/broadcast_models.h"
#include "store/seal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MODEL_OF_REQUEST (&broadcast_request_model)

static struct broadcast_request parse(const char *json)
{
    struct broadcast_request r;
    struct error err = {0};
    int bad = broadcast_request_parse(&r, BYTES_STR(json), 0, &err);
    if (bad < 0) {
        print_message("%s: %s\n", err.where, err.text);
    }
    assert_int_equal(bad, 0);
    return r;
}

static void drop(struct broadcast_request *r)
{
    model_done(MODEL_OF_REQUEST, r);
}

static void test_tables_are_sound(void **state)
{
    const struct model *models[] = {&broadcast_request_model, &srs_ingest_model,
                                    &rtsp_camera_model,       &endpoint_model,
                                    &endpoint_list_model,     &broadcast_result_list_model};
    const struct model *all[64];
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(models); i++) {
        int r = model_collect(models[i], all, n, ARRAY_LEN(all));
        assert_true(r > 0);
        n = (size_t)r;
    }
    for (size_t i = 0; i < n; i++) {
        struct error err = {0};
        if (model_check(all[i], &err) < 0) {
            fail_msg("%s: %s: %s", all[i]->name, err.where, err.text);
        }
    }
}

/* ---- the seeds' own examples ---- */

#define MEDIA                                                                                      \
    "\"media\":[{\"mid\":\"v\",\"type\":\"video\",\"port\":5004,\"pt\":96,\"codec\":\"H264\"},"    \
    "{\"mid\":\"a\",\"type\":\"audio\",\"port\":5006,\"pt\":111,\"codec\":\"opus\"}]"

static const char videoroom[] =
    "{\"source_kind\":\"videoroom\",\"relay_kind\":\"none\",\"room_id\":1234,\"publisher_id\":5678,"
    "\"create_mountpoint\":true,\"owned_by_app\":false,\"host\":\"127.0.0.1\","
    "\"mountpoint_spec\":{\"id\":9001," MEDIA "}}";
static const char obs[] =
    "{\"source_kind\":\"obs\",\"relay_kind\":\"ffmpeg\",\"create_mountpoint\":true,"
    "\"owned_by_app\":true,\"host\":\"127.0.0.1\",\"mountpoint_spec\":{\"id\":9100," MEDIA "},"
    "\"srs\":{\"rtmp_url\":\"rtmp://127.0.0.1\",\"app\":\"live\",\"stream_key\":\"obs-9100\"},"
    "\"obs_host\":\"127.0.0.1\",\"obs_port\":4455,\"obs_password\":\"secret\","
    "\"obs_secure\":false}";
static const char flat_videoroom[] =
    "{\"source_kind\":\"videoroom\",\"relay_kind\":\"none\",\"room_id\":1234,\"publisher_id\":5678,"
    "\"mountpoint_id\":9001,\"create_mountpoint\":true,\"owned_by_app\":false,"
    "\"host\":\"127.0.0.1\",\"video_port\":5004,\"audio_port\":5006,\"video_pt\":96,"
    "\"audio_pt\":111,\"video_codec\":\"H264\",\"audio_codec\":\"opus\"}";
static const char flat_obs[] =
    "{\"source_kind\":\"obs\",\"relay_kind\":\"ffmpeg\",\"create_mountpoint\":true,"
    "\"mountpoint_id\":9100,\"owned_by_app\":true,\"host\":\"127.0.0.1\",\"video_port\":6004,"
    "\"audio_port\":6006,\"srs\":{\"rtmp_url\":\"rtmp://127.0.0.1\",\"app\":\"live\","
    "\"stream_key\":\"obs-9100\"},\"obs_host\":\"127.0.0.1\",\"obs_port\":4455,"
    "\"obs_password\":\"secret\",\"obs_secure\":false}";

static void test_examples_of_the_seeds(void **state)
{
    struct broadcast_request r = parse(videoroom);
    assert_int_equal(r.source_kind, BROADCAST_VIDEOROOM);
    assert_int_equal(broadcast_request_relay(&r), BROADCAST_RELAY_NONE);
    assert_false(r.owned_by_app);
    assert_int_equal(r.room_id.num, 1234);
    assert_int_equal(r.publisher_id.num, 5678);
    assert_int_equal(r.mountpoint_spec->id.num, 9001);
    assert_string_equal(r.mountpoint_spec->media.items[0].codec, "h264");
    assert_int_equal(r.mountpoint_spec->media.items[1].port, 5006);
    assert_int_equal(r.warnings, 0);
    drop(&r);

    r = parse(obs);
    assert_int_equal(broadcast_request_relay(&r), BROADCAST_RELAY_FFMPEG);
    _cleanup_free_ char *url = srs_ingest_publish_url(r.srs, false);
    _cleanup_free_ char *shown = srs_ingest_publish_url(r.srs, true);
    _cleanup_free_ char *server = srs_ingest_server(r.srs);
    assert_string_equal(url, "rtmp://127.0.0.1/live/obs-9100");
    assert_string_equal(shown, "rtmp://127.0.0.1/live/***");
    assert_string_equal(server, "rtmp://127.0.0.1/live");
    struct obs_connection c = broadcast_request_obs(&r);
    assert_string_equal(c.password, "secret");
    assert_int_equal(c.port, 4455);
    drop(&r);
}

static void test_flat_fields_become_the_mountpoint(void **state)
{
    struct broadcast_request flat = parse(flat_videoroom);
    assert_int_equal(flat.warnings, 1u << BROADCAST_WARN_FLAT);
    assert_int_equal(flat.mountpoint_id.kind, MODEL_ID_NONE);
    struct broadcast_request now = parse(videoroom);
    assert_true(model_equal(MODEL_OF_REQUEST, &flat, &now));
    drop(&flat);
    drop(&now);

    flat = parse(flat_obs);
    assert_int_equal(flat.mountpoint_spec->media.len, 2);
    assert_int_equal(flat.mountpoint_spec->media.items[0].pt, 96);
    assert_string_equal(flat.mountpoint_spec->media.items[0].codec, "h264");
    assert_int_equal(flat.mountpoint_spec->media.items[1].pt, 111);
    assert_string_equal(flat.mountpoint_spec->media.items[1].codec, "opus");
    drop(&flat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_are_sound),
        cmocka_unit_test(test_examples_of_the_seeds),
        cmocka_unit_test(test_flat_fields_become_the_mountpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
