/* SPDX-License-Identifier: Apache-2.0 */
/* The binder over JSON: bodies as the seeds' clients send them, what is refused and where, what goes out again. */
#include "../unit.h"

#include "base/clock.h"
#include "base/mem.h"
#include "seed_models.h"

#include <jansson.h>

static const char transmission_body[] =
    "{\"id\":\"tx-camera-garden-main-main\",\"name\":\" Garden \",\"enabled\":true,"
    "\"host_server_id\":\" LOCAL \",\"path\":\"tx-camera-garden-main-main\",\"placeholder\":\"grey\","
    "\"role\":\"fullscreen\",\"camera_controls\":{\"enabled\":true,\"camera_id\":\"garden\"},"
    "\"outputs\":[{\"id\":\"hls_quad_grid\",\"protocol\":\"hls\",\"resolution\":{\"width\":640,\"height\":360},"
    "\"fps_limit\":10,\"bitrate_kbps\":500,\"latency_profile\":\"low\",\"resize_mode\":\"contain\"},"
    "{\"id\":\"webrtc_low_latency\",\"protocol\":\"webrtc\",\"fps_limit\":null,"
    "\"latency_profile\":\"ultra_low\",\"authentication\":{\"enabled\":true,\"username\":\"u\","
    "\"password\":\"hunter2\"}}],"
    "\"allowed_cidrs\":\"10.0.0.0/8, 192.168.1.0/24\\n10.0.0.0/8,,\","
    "\"created_at\":\"2026-01-02T03:04:05.678Z\",\"generated_by\":\"stream_publication\",\"weights\":[1,2.0,1e30]}";

static void test_a_transmission_is_read_whole(void **state)
{
    struct transmission t;
    struct error err = {0};
    assert_int_equal(
        model_parse_json(&transmission_model, &t, BYTES_STR(transmission_body), NULL, &err), 0);
    assert_string_equal(t.name, "Garden");
    assert_string_equal(t.host_server_id, "local");
    assert_int_equal(t.placeholder, PLACEHOLDER_GRAY);
    assert_int_equal(t.arbitration, ARBITRATION_PRIORITY_LATEST);
    assert_int_equal(t.role, ROLE_MAIN);
    assert_true(t.stale_after_seconds == 3.0);
    assert_string_equal(t.camera_controls.camera_id, "garden");
    assert_int_equal(t.outputs.len, 2);
    assert_int_equal(t.outputs.items[0].resolution->height, 360);
    assert_true(MODEL_HAS(&output_model, &t.outputs.items[0], fps_limit));
    assert_int_equal(t.outputs.items[0].fps_limit, 10);
    assert_string_equal(t.outputs.items[0].extra, "{\"resize_mode\":\"contain\"}");
    assert_false(MODEL_HAS(&output_model, &t.outputs.items[1], fps_limit));
    assert_null(t.outputs.items[1].resolution);
    assert_true(t.outputs.items[1].enabled);
    assert_string_equal(t.outputs.items[1].authentication->password, "hunter2");
    assert_int_equal(t.allowed_cidrs.len, 2);
    assert_string_equal(t.allowed_cidrs.items[1], "192.168.1.0/24");
    assert_int_equal(t.created_at, 1767323045678LL * NS_PER_MS);
    assert_string_equal(t.extra,
                        "{\"generated_by\":\"stream_publication\",\"weights\":[1,2.0,1e+30]}");
    model_done(&transmission_model, &t);
    assert_null(t.outputs.items);
}

static void test_what_is_written_reads_back_the_same(void **state)
{
    struct transmission t;
    struct transmission again;
    struct transmission copy;
    assert_int_equal(
        model_parse_json(&transmission_model, &t, BYTES_STR(transmission_body), NULL, NULL), 0);
    _cleanup_free_ char *clear = model_to_json(&transmission_model, &t, MODEL_SECRETS_CLEAR);
    assert_int_equal(model_parse_json(&transmission_model, &again, BYTES_STR(clear), NULL, NULL),
                     0);
    assert_true(model_equal(&transmission_model, &t, &again));
    model_copy(&transmission_model, &copy, &t);
    assert_true(model_equal(&transmission_model, &t, &copy));
    assert_ptr_not_equal(copy.outputs.items, t.outputs.items);
    MODEL_SET(&output_model, &copy.outputs.items[1], fps_limit, 5);
    assert_false(model_equal(&transmission_model, &t, &copy));
    _cleanup_free_ char *twice = model_to_json(&transmission_model, &again, MODEL_SECRETS_CLEAR);
    assert_string_equal(clear, twice);
    model_done(&transmission_model, &t);
    model_done(&transmission_model, &again);
    model_done(&transmission_model, &copy);
}

static void test_the_written_form_is_the_expected_one(void **state)
{
    struct output o;
    struct error err = {0};
    const char *body = "{\"protocol\":\"rtsp\",\"x\":{\"a\":[true,null]},\"bitrate_kbps\":64}";
    assert_int_equal(model_parse_json(&output_model, &o, BYTES_STR(body), NULL, &err), 0);
    _cleanup_free_ char *text = model_to_json(&output_model, &o, MODEL_SECRETS_REDACTED);
    assert_string_equal(
        text, "{\"protocol\":\"rtsp\",\"enabled\":true,\"resolution\":null,\"fps_limit\":null,"
              "\"bitrate_kbps\":64,\"latency_profile\":\"normal\",\"quality_profile_id\":null,"
              "\"authentication\":null,\"x\":{\"a\":[true,null]}}");
    struct out out = {0};
    struct json j = json_init(&out);
    struct model_write_opts opts = {.omit_defaults = true};
    assert_int_equal(model_write(&output_model, &o, &opts, &j), 0);
    assert_string_equal(out_str(&out),
                        "{\"protocol\":\"rtsp\",\"bitrate_kbps\":64,\"x\":{\"a\":[true,null]}}");
    out_done(&out);
    model_done(&output_model, &o);
}

static void test_tracks_are_a_tagged_union(void **state)
{
    /* The body that Janus itself accepts, and a data track under the seed's own names. */
    const char *body =
        "{\"id\":9001,\"description\":\"camera feed\",\"secret\":\"s3cret\",\"url\":\"rtsp://u:p@cam/s\",\"media\":["
        "{\"port\":21004,\"codec\":\"h264\",\"mid\":\"v\",\"type\":\"video\",\"pt\":96,"
        "\"fmtp\":\"packetization-mode=1;profile-level-id=42e01f\"},"
        "{\"type\":\"data\",\"port\":21008,\"data_type\":\"binary\",\"buffer_latest_message\":true}],"
        "\"extra\":{\"collision\":2000,\"deep\":[{\"x\":0.5}]}}";
    struct mountpoint m;
    struct error err = {0};
    assert_int_equal(model_parse_json(&mountpoint_model, &m, BYTES_STR(body), NULL, &err), 0);
    assert_int_equal(m.id.kind, MODEL_ID_INT);
    assert_int_equal(m.id.num, 9001);
    assert_int_equal(m.media.len, 2);
    assert_int_equal(m.media.items[0].rtp.pt, 96);
    assert_string_equal(m.media.items[0].rtp.codec, "h264");
    assert_int_equal(m.media.items[1].type, TRACK_DATA);
    assert_string_equal(m.media.items[1].data.datatype, "binary");
    assert_true(m.media.items[1].data.databuffermsg);
    assert_string_equal(m.extra, "{\"collision\":2000,\"deep\":[{\"x\":0.5}]}");
    _cleanup_free_ char *text = model_to_json(&mountpoint_model, &m, MODEL_SECRETS_REDACTED);
    assert_null(strstr(text, "s3cret"));
    assert_non_null(strstr(text, "\"url\":\"rtsp://***@cam/s\""));
    assert_non_null(strstr(
        text, "{\"type\":\"data\",\"port\":21008,\"datatype\":\"binary\",\"databuffermsg\":true}"));
    model_done(&mountpoint_model, &m);
}

static void test_a_broadcast_request_of_the_seed(void **state)
{
    const char *body =
        "{\"source_kind\":\"external\",\"relay_kind\":\"ffmpeg\",\"room_id\":\"room-a\",\"publisher_id\":9007199254740993,"
        "\"create_mountpoint\":true,\"video_port\":5004,\"mountpoint_spec\":{\"id\":\"x\",\"media\":[]},"
        "\"srs\":{\"rtmp_url\":\"rtmp://127.0.0.1\",\"stream_key\":\"obs-9100\"},\"obs_password\":\"secret\","
        "\"labels\":{\"site\":\"north\",\"shift\":\"2\"}}";
    struct broadcast_request r;
    struct error err = {0};
    assert_int_equal(model_parse_json(&broadcast_request_model, &r, BYTES_STR(body), NULL, &err),
                     0);
    assert_int_equal(r.source_kind, SOURCE_RTMP_EXTERNAL);
    assert_int_equal(r.room_id.kind, MODEL_ID_STR);
    assert_string_equal(r.room_id.str, "room-a");
    assert_true(r.publisher_id.num == 9007199254740993LL); /* 2^53 + 1 */
    assert_int_equal(r.mountpoint_id.kind, MODEL_ID_NONE);
    assert_true(r.owned_by_app);
    assert_int_equal(r.video_port, 5004);
    assert_true(MODEL_HAS(&broadcast_request_model, &r, video_port));
    assert_false(MODEL_HAS(&broadcast_request_model, &r, audio_port));
    assert_string_equal(r.srs->app, "live");
    assert_int_equal(r.labels.len, 2);
    assert_string_equal(r.labels.items[1].key, "shift");
    assert_string_equal(r.labels.items[1].value, "2");
    _cleanup_free_ char *text = model_to_json(&broadcast_request_model, &r, MODEL_SECRETS_REDACTED);
    assert_null(strstr(text, "obs-9100"));
    assert_null(strstr(text, "\"secret\":"));
    assert_non_null(strstr(text, "\"obs_password\":\"***\""));
    assert_non_null(strstr(text, "\"source_kind\":\"rtmp_external\""));
    assert_non_null(strstr(text, "\"publisher_id\":9007199254740993"));
    assert_non_null(strstr(text, "\"labels\":{\"site\":\"north\",\"shift\":\"2\"}"));
    model_done(&broadcast_request_model, &r);
}

static void test_a_room_stream_start_reads_both_generations(void **state)
{
    const char *body = "{\"roomId\":\"550e8400-e29b-41d4-a716-446655440000\","
                       "\"rtmpUrl\":\"rtmp://live.twitch.tv/app/live_123_abc?bandwidthtest=true\","
                       "\"backgroundImageUrl\":\"https://cdn.example/bg.png?token=t0p\"}";
    struct room_stream_start s;
    struct error err = {0};
    assert_int_equal(model_parse_json(&room_stream_start_model, &s, BYTES_STR(body), NULL, &err),
                     0);
    assert_string_equal(s.rtmp_output_url,
                        "rtmp://live.twitch.tv/app/live_123_abc?bandwidthtest=true");
    assert_string_equal(s.audio_bitrate, "128k");
    _cleanup_free_ char *text = model_to_json(&room_stream_start_model, &s, MODEL_SECRETS_REDACTED);
    assert_string_equal(text, "{\"roomId\":\"550e8400-e29b-41d4-a716-446655440000\","
                              "\"rtmpOutputUrl\":\"rtmp://live.twitch.tv/app/***\","
                              "\"fallbackImageUrl\":\"https://cdn.example/bg.png?token=***\","
                              "\"audioCodec\":\"aac\",\"audioBitrate\":\"128k\"}");
    model_done(&room_stream_start_model, &s);
}

static void test_a_peers_reply_may_have_more_and_null(void **state)
{
    const char *body =
        "{\"id\":\"li_1\",\"external_input_id\":\"lv_1\",\"name\":\"n\",\"status\":\"live\","
        "\"ingest\":null,\"expires_at\":9223372036854775807,\"createdAt\":\"2026-03-01T00:00:00+01:00\","
        "\"region\":{\"a\":1}}";
    struct live_input in;
    struct error err = {0};
    assert_int_equal(model_parse_json(&live_input_model, &in, BYTES_STR(body), NULL, &err), 0);
    assert_int_equal(in.ingest, INGEST_FMP4);
    assert_true(in.expires_at == INT64_MAX);
    assert_int_equal(in.created_at / NS_PER_S, 1772319600);
    _cleanup_free_ char *text = model_to_json(&live_input_model, &in, MODEL_SECRETS_CLEAR);
    assert_non_null(strstr(text, "\"expires_at\":9223372036854775807"));
    assert_non_null(strstr(text, "\"createdAt\":\"2026-02-28T23:00:00.000Z\""));
    assert_null(strstr(text, "region"));
    model_done(&live_input_model, &in);
}

/* Items of the sorts that the seeds do not need, and a struct that holds its own kind. */
struct tree {
    char *name;
    MODEL_ARRAY(enum ingest_kind) kinds;
    MODEL_ARRAY(char *) raws;
    MODEL_ARRAY(double) doubles;
    MODEL_ARRAY(int64_t) waits;
    MODEL_DICT(int8_t) counts;
    MODEL_ARRAY(struct model_id) ids;
    MODEL_ARRAY(struct tree) children;
    struct tree *left;
    uint64_t big;
};
static const struct model tree_model;
static const struct model_field tree_fields[] = {
    MODEL_STRING(struct tree, name),
    MODEL_LIST(struct tree, kinds, MODEL_ITEM_ENUM(ingest_kind_names), .def = "srt, rtmp"),
    MODEL_LIST(struct tree, raws, MODEL_ITEM_RAW()),
    MODEL_LIST(struct tree, doubles, MODEL_ITEM(double, MODEL_T_DOUBLE, .fmin = -1, .fmax = 1)),
    MODEL_LIST(struct tree, waits, MODEL_ITEM(int64_t, MODEL_T_DURATION)),
    MODEL_MAP(struct tree, counts, MODEL_ITEM_INT(int8_t), .min = 1),
    MODEL_LIST(struct tree, ids, MODEL_ITEM(struct model_id, MODEL_T_ID)),
    MODEL_LIST_STRUCT(struct tree, children, &tree_model),
    MODEL_OPT(struct tree, left, &tree_model),
    MODEL_INT(struct tree, big),
};
static const struct model tree_model = MODEL("Tree", struct tree, tree_fields);

static void test_items_of_every_sort(void **state)
{
    const char *body =
        "{\"name\":\"r\",\"kinds\":[\"whip\",\"fmp4\"],\"raws\":[null,{\"a\":[]},\"x\"],\"doubles\":[0.5,-1],"
        "\"waits\":[\"1s\",2],\"counts\":{\"a\":-128,\"b\":127},\"ids\":[5,\"5\"],"
        "\"children\":[{\"kinds\":[],\"children\":[{\"name\":\"leaf\"}]}],\"left\":{\"left\":{}},"
        "\"big\":9223372036854775807}";
    struct tree t;
    struct error err = {0};
    assert_int_equal(model_check(&tree_model, &err), 0);
    assert_int_equal(model_parse_json(&tree_model, &t, BYTES_STR(body), NULL, &err), 0);
    assert_int_equal(t.kinds.items[0], INGEST_WHIP);
    assert_string_equal(t.raws.items[0], "null");
    assert_string_equal(t.raws.items[1], "{\"a\":[]}");
    assert_true(t.doubles.items[1] == -1.0);
    assert_true(t.waits.items[1] == 2 * NS_PER_S);
    assert_int_equal(t.counts.items[0].value, -128);
    assert_int_equal(t.ids.items[1].kind, MODEL_ID_STR);
    assert_string_equal(t.children.items[0].children.items[0].name, "leaf");
    assert_int_equal(t.left->left->kinds.items[1], INGEST_RTMP);
    assert_true(t.big == INT64_MAX);
    struct tree copy;
    model_copy(&tree_model, &copy, &t);
    assert_true(model_equal(&tree_model, &t, &copy));
    copy.children.items[0].children.items[0].name[0] = 'L';
    assert_false(model_equal(&tree_model, &t, &copy));
    _cleanup_free_ char *text = model_to_json(&tree_model, &t, MODEL_SECRETS_CLEAR);
    assert_non_null(strstr(
        text, "\"raws\":[null,{\"a\":[]},\"x\"],\"doubles\":[0.5,-1],\"waits\":[\"1s\",\"2s\"],"
              "\"counts\":{\"a\":-128,\"b\":127},\"ids\":[5,\"5\"]"));
    model_done(&tree_model, &t);
    model_done(&tree_model, &copy);
    static const char *const bad[][2] = {
        {"{\"kinds\":[\"x\"]}", "kinds[0]"},
        {"{\"doubles\":[1.5]}", "doubles[0]"},
        {"{\"counts\":{\"a\":128}}", "counts.a"},
        {"{\"counts\":{}}", "counts"},
        {"{\"left\":{\"left\":{\"name\":1}}}", "left.left.name"},
        {"{\"big\":-1}", "big"},
        {"{\"ids\":[{}]}", "ids[0]"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(model_parse_json(&tree_model, &t, BYTES_STR(bad[i][0]), NULL, &err),
                         -EINVAL);
        assert_string_equal(err.where, bad[i][1]);
    }
}

static void test_what_is_wrong_is_named(void **state)
{
    static const struct {
        const struct model *m;
        const char *body;
        int code;
        const char *where;
        const char *text; /* part of it */
    } cases[] = {
        {&transmission_model, "", -EBADMSG, "", "ends too early"},
        {&transmission_model, "{\"name\":}", -EBADMSG, "", "line 1, column 9"},
        {&transmission_model, "{} {}", -EBADMSG, "", "follows its end"},
        {&transmission_model, "{\"name\":\"a\",\"name\":\"b\"}", -EBADMSG, "", "twice"},
        {&transmission_model, "{\"name\":\"a\\u0000b\"}", -EBADMSG, "", "NUL"},
        {&transmission_model, "{\"name\":\"\xff\"}", -EBADMSG, "", "UTF-8"},
        {&cfg_model, "{\"big\":9223372036854775808}", -EBADMSG, "", "too large"},
        {&transmission_model, "[]", -EINVAL, "", "must be an object, not a list"},
        {&transmission_model, "{\"outputs\":{}}", -EINVAL, "outputs", "must be a list"},
        {&transmission_model, "{\"outputs\":[{\"id\":\"a\"}]}", -EINVAL, "outputs[0].protocol",
         "is required"},
        {&transmission_model, "{\"outputs\":[{\"protocol\":\"hls\"},{\"protocol\":\"mse\"}]}",
         -EINVAL, "outputs[1].protocol", "must be one of hls, rtsp, webrtc"},
        {&transmission_model,
         "{\"outputs\":[{\"protocol\":\"hls\",\"resolution\":{\"width\":0,\"height\":1}}]}",
         -EINVAL, "outputs[0].resolution.width", "must be between 1 and 7680"},
        {&transmission_model, "{\"outputs\":[{\"protocol\":\"hls\",\"fps_limit\":2.5}]}", -EINVAL,
         "outputs[0].fps_limit", "whole number"},
        {&transmission_model, "{\"outputs\":[null]}", -EINVAL, "outputs[0]", "null"},
        {&transmission_model,
         "{\"outputs\":[{\"protocol\":\"hls\",\"id\":\"a\"},{\"protocol\":\"hls\",\"id\":\"a\"}]}",
         -EINVAL, "outputs", "two outputs with the id a"},
        {&transmission_model, "{\"camera_controls\":{\"enabled\":true}}", -EINVAL,
         "camera_controls.camera_id", "is required when"},
        {&transmission_model, "{\"enabled\":\"true\"}", -EINVAL, "enabled",
         "must be true or false, not a text"},
        {&transmission_model, "{\"enabled\":null}", -EINVAL, "enabled", "must not be null"},
        {&transmission_model, "{\"name\":5}", -EINVAL, "name", "must be a text, not a number"},
        {&transmission_model, "{\"stale_after_seconds\":0.01}", -EINVAL, "stale_after_seconds",
         "between 0.1 and 300"},
        {&transmission_model, "{\"stale_after_seconds\":\"3\"}", -EINVAL, "stale_after_seconds",
         "must be a number"},
        {&transmission_model, "{\"created_at\":\"yesterday\"}", -EINVAL, "created_at",
         "must be a time"},
        {&transmission_model, "{\"allowed_cidrs\":5}", -EINVAL, "allowed_cidrs",
         "a list, or a text"},
        {&transmission_model, "{\"allowed_cidrs\":[\"a\",{}]}", -EINVAL, "allowed_cidrs[1]",
         "must be a text"},
        {&mountpoint_model, "{\"name\":\"x\"}", -EINVAL, "name", "is not a known field"},
        {&mountpoint_model, "{\"id\":true}", -EINVAL, "id", "a number or a text"},
        {&mountpoint_model, "{\"media\":[{\"port\":1}]}", -EINVAL, "media[0].type", "is required"},
        {&mountpoint_model, "{\"media\":[{\"type\":\"x\",\"port\":1}]}", -EINVAL, "media[0].type",
         "video, audio, data"},
        {&mountpoint_model, "{\"media\":[{\"type\":\"data\",\"port\":1,\"pt\":96}]}", -EINVAL,
         "media[0].pt", "is not a known field"},
        {&mountpoint_model, "{\"media\":[{\"type\":\"audio\",\"port\":1,\"pt\":96}]}", -EINVAL,
         "media[0].codec", "is required"},
        {&mountpoint_model, "{\"media\":[{\"type\":\"data\",\"port\":70000}]}", -EINVAL,
         "media[0].port", "between 1 and 65535"},
        {&mountpoint_model,
         "{\"media\":[{\"type\":\"data\",\"port\":1,\"datatype\":\"a\",\"data_type\":\"b\"}]}",
         -EINVAL, "media[0].datatype", "given twice"},
        {&broadcast_request_model, "{}", -EINVAL, "source_kind", "is required"},
        {&broadcast_request_model, "{\"source_kind\":\"obs\",\"srs\":5}", -EINVAL, "srs",
         "must be an object"},
        {&broadcast_request_model, "{\"source_kind\":\"obs\",\"srs\":{\"rtmp_url\":\"x\"}}",
         -EINVAL, "srs.stream_key", "is required"},
        {&broadcast_request_model, "{\"source_kind\":\"obs\",\"labels\":{\"a\":1}}", -EINVAL,
         "labels.a", "text"},
        {&broadcast_request_model, "{\"source_kind\":\"obs\",\"labels\":[]}", -EINVAL, "labels",
         "an object"},
        {&room_stream_start_model, "{\"roomId\":\"1\",\"rtmpUrl\":\"x\"}", -EINVAL, "roomId",
         "at least 36"},
        {&room_stream_start_model,
         "{\"roomId\":\"550e8400-e29b-41d4-a716-446655440000\",\"rtmpUrl\":\"\"}", -EINVAL,
         "rtmpOutputUrl", "must not be blank"},
        {&cfg_model, "{\"rtmp\":{\"linger\":\"soon\"}}", -EINVAL, "rtmp.linger",
         "a duration such as"},
        {&cfg_model,
         "{\"streams\":{\"a\":{\"source\":{\"kind\":\"rtsp\",\"url\":\"u\",\"timeout\":0.05}}}}",
         -EINVAL, "streams.a.source.timeout", "between 100ms and 10m"},
        {&cfg_model, "{\"streams\":{\"a\":{\"history\":\"1KiB\"}}}", -EINVAL, "streams.a.history",
         "between 65536"},
        {&cfg_model, "{\"streams\":{\"a\":{\"history\":\"many\"}}}", -EINVAL, "streams.a.history",
         "a size in bytes"},
        {&cfg_model, "{\"ports\":[1,2,3,4,5]}", -EINVAL, "ports", "at most 4"},
        {&cfg_model, "{\"ports\":[1,0]}", -EINVAL, "ports[1]", "between 1 and 65535"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error err = {0};
        char obj[1024];
        memset(obj, 0x55, sizeof(obj));
        int r = model_parse_json(cases[i].m, obj, BYTES_STR(cases[i].body), NULL, &err);
        if (r != cases[i].code || strcmp(err.where, cases[i].where) != 0 ||
            !strstr(err.text, cases[i].text)) {
            print_error("%s\n -> %d at '%s': %s\n", cases[i].body, r, err.where, err.text);
        }
        assert_int_equal(r, cases[i].code);
        assert_int_equal(err.code, cases[i].code);
        assert_string_equal(err.where, cases[i].where);
        assert_non_null(strstr(err.text, cases[i].text));
        for (size_t k = 0; k < cases[i].m->size; k++) {
            assert_int_equal(obj[k], 0);
        }
    }
}

static void test_documents_are_bounded(void **state)
{
    struct transmission t;
    struct error err = {0};
    struct model_parse_opts opts = {.max_bytes = 20, .max_depth = 3, .max_values = 6};
    const char *long_body = "{\"name\":\"abcdefghijklmnop\"}";
    assert_int_equal(model_parse_json(&transmission_model, &t, BYTES_STR(long_body), &opts, &err),
                     -E2BIG);
    assert_non_null(strstr(err.text, "20 bytes"));
    opts.max_bytes = 1000;
    assert_int_equal(model_parse_json(&transmission_model, &t, BYTES_STR(long_body), &opts, &err),
                     0);
    model_done(&transmission_model, &t);
    assert_int_equal(
        model_parse_json(&transmission_model, &t, BYTES_STR("{\"x\":[[1]]}"), &opts, &err), 0);
    model_done(&transmission_model, &t);
    assert_int_equal(
        model_parse_json(&transmission_model, &t, BYTES_STR("{\"x\":[[[1]]]}"), &opts, &err),
        -E2BIG);
    assert_non_null(strstr(err.text, "3 levels"));
    assert_int_equal(model_parse_json(&transmission_model, &t,
                                      BYTES_STR("{\"x\":\"[[[[[{{{\\\"[[\"}"), &opts, &err),
                     0);
    model_done(&transmission_model, &t);
    assert_int_equal(
        model_parse_json(&transmission_model, &t, BYTES_STR("{\"x\":[1,2,3,4,5,6]}"), &opts, &err),
        -E2BIG);
    assert_non_null(strstr(err.text, "6 values"));
    /* A text of the default bound passes, one byte more does not. */
    _cleanup_(out_done) struct out o = {0};
    out_puts(&o, "{\"path\":\"");
    memset(out_extend(&o, 200), 'a', 200);
    out_puts(&o, "\"}");
    assert_int_equal(model_parse_json(&transmission_model, &t, out_view(&o), NULL, &err), 0);
    model_done(&transmission_model, &t);
    o.len -= 2;
    out_puts(&o, "a\"}");
    assert_int_equal(model_parse_json(&transmission_model, &t, out_view(&o), NULL, &err), -EINVAL);
    assert_string_equal(err.where, "path");
}

static void test_a_client_cannot_set_what_is_ours(void **state)
{
    struct transmission t;
    struct model_parse_opts opts = {.client = true};
    assert_int_equal(
        model_parse_json(&transmission_model, &t,
                         BYTES_STR("{\"id\":\"mine\",\"created_at\":5,\"name\":\"n\"}"), &opts,
                         NULL),
        0);
    assert_null(t.id);
    assert_int_equal(t.created_at, 0);
    assert_string_equal(t.name, "n");
    model_done(&transmission_model, &t);
}

static int seal_backwards(void *user, const struct model_field *f, const char *clear, char **ret)
{
    size_t n = strlen(clear);
    *ret = mem_zalloc(n + 3);
    strcpy(*ret, "S:");
    for (size_t i = 0; i < n; i++) {
        (*ret)[2 + i] = clear[n - 1 - i];
    }
    return 0;
}

static int unseal_backwards(void *user, const struct model_field *f, const char *sealed, char **ret,
                            struct error *err)
{
    if (strncmp(sealed, "S:", 2) != 0) {
        return error_set(err, -EKEYREJECTED, NULL, "was sealed with another key");
    }
    return seal_backwards(user, f, sealed + 2, ret) < 0
               ? -EINVAL
               : (memmove(*ret, *ret + 2, strlen(*ret + 2) + 1), 0);
}

static void test_secrets_are_sealed_for_the_store(void **state)
{
    struct mountpoint m;
    struct mountpoint again;
    struct error err = {0};
    const char *body = "{\"id\":1,\"secret\":\"abc\",\"description\":\"plain\"}";
    assert_int_equal(model_parse_json(&mountpoint_model, &m, BYTES_STR(body), NULL, NULL), 0);
    struct out o = {0};
    struct json j = json_init(&o);
    struct model_write_opts w = {.secrets = MODEL_SECRETS_SEALED, .seal = seal_backwards};
    assert_int_equal(model_write(&mountpoint_model, &m, &w, &j), 0);
    assert_non_null(strstr(out_str(&o), "\"secret\":\"S:cba\""));
    assert_non_null(strstr(out_str(&o), "\"description\":\"plain\""));
    struct model_parse_opts p = {.unseal = unseal_backwards};
    assert_int_equal(model_parse_json(&mountpoint_model, &again, out_view(&o), &p, &err), 0);
    assert_string_equal(again.secret, "abc");
    model_done(&mountpoint_model, &again);
    assert_int_equal(model_parse_json(&mountpoint_model, &again, BYTES_STR(body), &p, &err),
                     -EKEYREJECTED);
    assert_string_equal(err.where, "secret");
    /* Without a hook nothing is stored in clear by accident. */
    w.seal = NULL;
    o.len = 0;
    j = json_init(&o);
    assert_int_equal(model_write(&mountpoint_model, &m, &w, &j), -EINVAL);
    assert_null(strstr(out_str(&o), "abc"));
    out_done(&o);
    model_done(&mountpoint_model, &m);
}

struct vault {
    char *note;
    char *any;
    int32_t number;
};
static int check_vault_note(const void *member, struct error *err)
{
    const char *s = *(char *const *)member;
    return s[0] == 'n' ? 0 : error_set(err, -EINVAL, "", "must begin with n");
}
static const struct model_field vault_fields[] = {
    MODEL_STRING(struct vault, note, .secret = MODEL_SECRET_SEALED, .check = check_vault_note),
    MODEL_RAW(struct vault, any, .secret = MODEL_SECRET_SEALED),
    MODEL_INT(struct vault, number, .def = "7", .min = 1),
};
static const struct model vault_model = MODEL("Vault", struct vault, vault_fields);

static void test_raw_json_is_sealed_as_text(void **state)
{
    struct vault v;
    struct vault again;
    struct out o = {0};
    struct json j = json_init(&o);
    const struct model_write_opts w = {.secrets = MODEL_SECRETS_SEALED, .seal = seal_backwards};
    const struct model_parse_opts p = {.unseal = unseal_backwards};
    const char *body = "{\"note\":\"n\",\"any\":{\"key\":[1,\"x\"]}}";
    assert_int_equal(model_parse_json(&vault_model, &v, BYTES_STR(body), NULL, NULL), 0);
    assert_int_equal(model_write(&vault_model, &v, &w, &j), 0);
    assert_string_equal(
        out_str(&o), "{\"note\":\"S:n\",\"any\":\"S:}]\\\"x\\\",1[:\\\"yek\\\"{\",\"number\":7}");
    assert_int_equal(model_parse_json(&vault_model, &again, out_view(&o), &p, NULL), 0);
    assert_string_equal(again.any, "{\"key\":[1,\"x\"]}");
    assert_true(model_equal(&vault_model, &v, &again));
    model_done(&vault_model, &again);
    _cleanup_free_ char *shown = model_to_json(&vault_model, &v, MODEL_SECRETS_REDACTED);
    assert_non_null(strstr(shown, "\"any\":\"***\""));
    out_done(&o);
    model_done(&vault_model, &v);
}

/* A hook may leave a text sealed whose key is lost: no check is for it, and it stays valid JSON wherever it is written. */
static void test_what_stays_sealed_is_not_checked(void **state)
{
    struct vault v;
    const struct model_parse_opts p = {.unseal = unseal_backwards};
    const char *body = "{\"note\":\"S:xyz\",\"any\":\"S:xyz\"}";
    assert_int_equal(model_parse_json(&vault_model, &v, BYTES_STR(body), &p, NULL), 0);
    _cleanup_free_ char *clear = model_to_json(&vault_model, &v, MODEL_SECRETS_CLEAR);
    assert_string_equal(clear, "{\"note\":\"zyx\",\"any\":\"zyx\",\"number\":7}");
    model_done(&vault_model, &v);
    assert_int_equal(
        model_parse_json(&vault_model, &v, BYTES_STR("{\"note\":\"zyx\"}"), NULL, NULL), -EINVAL);
}

static void test_null_can_be_absent(void **state)
{
    struct vault v;
    struct error err = {0};
    const struct model_parse_opts p = {.null_absent = true};
    const char *body = "{\"note\":null,\"any\":null,\"number\":null}";
    assert_int_equal(model_parse_json(&vault_model, &v, BYTES_STR(body), NULL, &err), -EINVAL);
    assert_string_equal(err.where, "note");
    assert_int_equal(model_parse_json(&vault_model, &v, BYTES_STR(body), &p, &err), 0);
    assert_null(v.note);
    assert_null(v.any);
    assert_int_equal(v.number, 7);
    model_done(&vault_model, &v);
    /* What must be there must be something. */
    struct resolution r;
    assert_int_equal(model_parse_json(&resolution_model, &r,
                                      BYTES_STR("{\"width\":null,\"height\":1}"), &p, &err),
                     -EINVAL);
    assert_string_equal(err.where, "width");
}

/* Every allocation of a parse fails once, ours and jansson's: an error each time, nothing leaks (ASan), the last works. */
static void run_out_of_memory(const struct model *m, const char *body)
{
    char obj[1024];
    long n = 0;
    for (int r = -ENOMEM; r != 0; n++) {
        struct error err = {0};
        assert_true(n < 2000);
        mem_fail_after(n);
        r = model_parse_json(m, obj, BYTES_STR(body), NULL, &err);
        mem_fail_after(-1);
        /* jansson reports some of its failed allocations as syntax errors. */
        assert_true(r == 0 || r == -ENOMEM || r == -EBADMSG);
        assert_int_equal(err.code, r);
    }
    assert_true(n > 20);
    model_done(m, obj);
}

static void test_the_end_of_memory_is_an_error(void **state)
{
    json_set_alloc_funcs(mem_try_alloc, free);
    run_out_of_memory(&transmission_model, transmission_body);
    run_out_of_memory(
        &cfg_model,
        "{\"allowed_origins\":\"a,b\",\"streams\":{\"a\":{\"source\":{\"kind\":\"rtsp\","
        "\"url\":\"u\"}}},\"ports\":[5,6],\"note\":\"x\"}");
    run_out_of_memory(&broadcast_request_model,
                      "{\"source_kind\":\"obs\",\"room_id\":\"r\",\"srs\":{\"rtmp_url\":\"x\","
                      "\"stream_key\":\"k\"},\"mountpoint_spec\":{\"id\":\"q\",\"extra\":[1],"
                      "\"media\":[{\"type\":\"data\",\"port\":1}]},\"labels\":{\"a\":\"b\"}}");
    json_set_alloc_funcs(malloc, free);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_transmission_is_read_whole),
        cmocka_unit_test(test_what_is_written_reads_back_the_same),
        cmocka_unit_test(test_the_written_form_is_the_expected_one),
        cmocka_unit_test(test_tracks_are_a_tagged_union),
        cmocka_unit_test(test_a_broadcast_request_of_the_seed),
        cmocka_unit_test(test_a_room_stream_start_reads_both_generations),
        cmocka_unit_test(test_a_peers_reply_may_have_more_and_null),
        cmocka_unit_test(test_items_of_every_sort),
        cmocka_unit_test(test_what_is_wrong_is_named),
        cmocka_unit_test(test_documents_are_bounded),
        cmocka_unit_test(test_a_client_cannot_set_what_is_ours),
        cmocka_unit_test(test_secrets_are_sealed_for_the_store),
        cmocka_unit_test(test_raw_json_is_sealed_as_text),
        cmocka_unit_test(test_what_stays_sealed_is_not_checked),
        cmocka_unit_test(test_null_can_be_absent),
        cmocka_unit_test(test_the_end_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
