/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/mem.h"
#include "service/broadcast/broadcast_models.h"
#include "store/seal.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
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

static void test_flat_fields_of_every_kind(void **state)
{
    struct broadcast_request r =
        parse("{\"source_kind\":\"videoroom\",\"room_id\":\"lobby\",\"publisher_id\":\"cam\","
              "\"video_port\":5004,\"video_port2\":5014,\"video_port3\":5024,\"simulcast\":true,"
              "\"video_codec\":\"VP8\",\"video_pt\":100,\"video_fmtp\":\"x=1\",\"data_port\":5008,"
              "\"audio_port\":null,\"audio_pt\":111,\"mountpoint_id\":null}");
    const struct janus_mountpoint *m = r.mountpoint_spec;
    assert_int_equal(m->media.len, 2);
    const struct janus_track *v = &m->media.items[0];
    assert_int_equal(v->type, JANUS_VIDEO);
    assert_string_equal(v->codec, "vp8");
    assert_string_equal(v->fmtp, "x=1");
    assert_string_equal(v->mid, "v");
    assert_true(v->simulcast);
    assert_int_equal(v->pt, 100);
    assert_int_equal(v->port2, 5014);
    assert_int_equal(v->port3, 5024);
    assert_int_equal(m->media.items[1].type, JANUS_DATA);
    assert_int_equal(m->media.items[1].port, 5008);
    assert_int_equal(m->id.kind, MODEL_ID_NONE);
    assert_string_equal(r.room_id.str, "lobby");
    /* A second check finds nothing left to map. */
    struct broadcast_request again;
    model_copy(MODEL_OF_REQUEST, &again, &r);
    again.warnings = 0;
    assert_int_equal(broadcast_request_check(&again, NULL), 0);
    assert_true(model_equal(MODEL_OF_REQUEST, &again, &r));
    assert_int_equal(again.warnings, 0);
    drop(&again);
    drop(&r);

    /* The details that 1.0.0 always writes, beside the media that count; and a port that says the same. */
    r = parse("{\"source_kind\":\"videoroom\",\"room_id\":1,\"publisher_id\":2,\"video_port\":5004,"
              "\"video_pt\":96,\"video_codec\":\"h264\",\"mountpoint_spec\":{" MEDIA "}}");
    assert_int_equal(r.warnings, 1u << BROADCAST_WARN_FLAT | 1u << BROADCAST_WARN_FLAT_IGNORED);
    assert_int_equal(r.mountpoint_spec->media.len, 2);
    assert_null(r.video_codec);
    drop(&r);
    /* An existing mountpoint, by its number alone. */
    r = parse("{\"source_kind\":\"videoroom\",\"room_id\":1,\"publisher_id\":2,"
              "\"mountpoint_id\":9001,\"create_mountpoint\":false}");
    assert_int_equal(r.mountpoint_spec->id.num, 9001);
    assert_int_equal(r.mountpoint_spec->media.len, 0);
    drop(&r);
}

/* ---- what is refused ---- */

#define MP          "\"mountpoint_spec\":{" MEDIA "}"
#define SRS         "\"srs\":{\"rtmp_url\":\"rtmp://h\",\"stream_key\":\"k\"}"
#define VR          "\"source_kind\":\"videoroom\",\"room_id\":1,\"publisher_id\":2"
#define CAM         "\"rtsp_camera\":{\"url\":\"rtsp://h/1\"}"
#define SPEC(inner) "\"mountpoint_spec\":{" inner "}"
#define V(inner)    "\"media\":[{\"type\":\"video\",\"codec\":\"h264\"" inner "}]"

static const struct refusal {
    const char *body, *where, *text;
} refusals[] = {
    /* each source without what it needs */
    {"", "source_kind", "is required"},
    {"\"source_kind\":\"tape\"", "source_kind", "must be one of"},
    {"\"source_kind\":\"videoroom\",\"publisher_id\":2," MP, "room_id", "is needed"},
    {"\"source_kind\":\"videoroom\",\"room_id\":1," MP, "publisher_id", "publisher_display"},
    {VR, "mountpoint_spec", "is needed"},
    {VR ",\"create_mountpoint\":false", "mountpoint_spec", "is needed"},
    {"\"source_kind\":\"browser_webrtc\"," MP, "room_id", "room_spec"},
    {"\"source_kind\":\"browser_webrtc\",\"room_id\":1", "mountpoint_spec", "is needed"},
    {"\"source_kind\":\"frontend_owned\"", "room_id", "nowhere to publish to"},
    {"\"source_kind\":\"obs\",\"relay_kind\":\"ffmpeg\"," MP, "srs", "has no ingest"},
    {"\"source_kind\":\"obs\",\"relay_kind\":\"gstreamer\"," MP, "srs", "has no ingest"},
    {"\"source_kind\":\"obs\",\"relay_kind\":\"ffmpeg\",\"input_url\":\"rtmp://h/a\"," MP, "srs",
     "OBS publishes"},
    {"\"source_kind\":\"obs\"", "mountpoint_spec", "is needed"},
    {"\"source_kind\":\"obs\"," SRS, "mountpoint_spec", "is needed"},
    {"\"source_kind\":\"rtmp_external\",\"relay_kind\":\"ffmpeg\"," MP, "srs", "input_url"},
    {"\"source_kind\":\"rtmp_external\",\"relay_kind\":\"gstreamer\"," MP, "srs", "input_url"},
    {"\"source_kind\":\"external\",\"relay_kind\":\"ffmpeg\"," MP, "srs", "input_url"},
    {"\"source_kind\":\"rtmp_external\"", "mountpoint_spec", "is needed"},
    {"\"source_kind\":\"rtsp_camera\"," MP, "rtsp_camera", "input_url"},
    {"\"source_kind\":\"rtsp_camera\"," CAM, "mountpoint_spec", "is needed"},
    {"\"source_kind\":\"stream\"," MP, "stream", "is needed"},
    {"\"source_kind\":\"stream\",\"stream\":\"live/x\"", "mountpoint_spec", "is needed"},
    /* relays that cannot serve */
    {VR ",\"relay_kind\":\"ffmpeg\"," MP, "relay_kind", "must be none"},
    {VR ",\"relay_kind\":\"gstreamer\"," MP, "relay_kind", "must be none"},
    {VR ",\"relay_kind\":\"builtin\"," MP, "relay_kind", "must be none"},
    {"\"source_kind\":\"browser_webrtc\",\"room_id\":1,\"relay_kind\":\"ffmpeg\"," MP, "relay_kind",
     "must be none"},
    {"\"source_kind\":\"frontend_owned\",\"room_id\":1,\"relay_kind\":\"builtin\"", "relay_kind",
     "must be none"},
    {"\"source_kind\":\"obs\",\"relay_kind\":\"none\"," SRS "," MP, "relay_kind",
     "must be builtin"},
    {"\"source_kind\":\"rtmp_external\",\"relay_kind\":\"none\"," SRS "," MP, "relay_kind",
     "must be builtin"},
    {"\"source_kind\":\"rtsp_camera\",\"relay_kind\":\"none\"," CAM "," MP, "relay_kind",
     "must be ffmpeg"},
    {"\"source_kind\":\"rtsp_camera\",\"relay_kind\":\"builtin\"," CAM "," MP, "relay_kind",
     "must be ffmpeg"},
    {"\"source_kind\":\"stream\",\"stream\":\"x\",\"relay_kind\":\"none\"," MP, "relay_kind",
     "must be builtin"},
    {"\"source_kind\":\"rtmp_external\",\"relay_kind\":\"builtin\","
     "\"input_url\":\"srt://h:1\"," MP,
     "relay_kind", "builtin reads RTMP"},
    {VR ",\"input_url\":\"rtmp://h/a\"," MP, "input_url", "no relay"},
    {"\"source_kind\":\"rtmp_external\",\"relay_kind\":\"ffmpeg\"," SRS
     ",\"gstreamer_pipeline\":\"fakesrc ! fakesink\"," MP,
     "gstreamer_pipeline", "gstreamer"},
    {"\"source_kind\":\"rtsp_camera\",\"relay_kind\":\"gstreamer\"," CAM
     "," SPEC("\"media\":[{\"type\":\"audio\",\"codec\":\"opus\",\"mindex\":1}]"),
     "mountpoint_spec.media[0].mindex", "relay ffmpeg can"},
    {"\"source_kind\":\"rtmp_external\",\"relay_kind\":\"gstreamer\",\"input_url\":\"rtsp://h/\"," SPEC(
         "\"media\":[{\"type\":\"audio\",\"codec\":\"opus\",\"mindex\":1}]"),
     "mountpoint_spec.media[0].mindex", "relay ffmpeg can"},
    /* mountpoints */
    {VR "," SPEC("\"type\":\"live\",\"filename\":\"/x\""), "mountpoint_spec.type", "must be rtp"},
    {"\"source_kind\":\"frontend_owned\"," SPEC("\"type\":\"live\""), "mountpoint_spec.filename",
     "is needed"},
    {VR ",\"create_mountpoint\":false," SPEC(""), "mountpoint_spec.id",
     "is needed when create_mountpoint is false"},
    {VR ",\"create_mountpoint\":false," SPEC("\"media\":[{\"type\":\"video\",\"port\":5004},"
                                             "{\"type\":\"audio\"}]"),
     "mountpoint_spec.media[1].port", "is needed when create_mountpoint is false"},
    {VR ",\"create_mountpoint\":false," SPEC("\"media\":[{\"type\":\"video\",\"port\":0}]"),
     "mountpoint_spec.media[0].port", "is needed when create_mountpoint is false"},
    {VR ",\"create_mountpoint\":false," SPEC(V(",\"port\":5004,\"simulcast\":true,\"port2\":1")),
     "mountpoint_spec.media[0].port3", "is needed when create_mountpoint is false"},
    {VR "," SPEC(V(",\"port\":70000")), "mountpoint_spec.media[0].port", "between"},
    {VR "," SPEC(V(",\"port\":65536")), "mountpoint_spec.media[0].port", "between"},
    {VR "," SPEC(V(",\"port\":-1")), "mountpoint_spec.media[0].port", "between"},
    {VR "," SPEC(V(",\"pt\":200")), "mountpoint_spec.media[0].pt", "between"},
    {VR "," SPEC(V(",\"mcast\":\"10.0.0.1\"")), "mountpoint_spec.media[0].mcast", "no multicast"},
    {VR "," SPEC("\"media\":[{\"type\":\"video\"}]"), "mountpoint_spec.media[0].codec",
     "is needed"},
    {VR "," SPEC("\"media\":[{\"type\":\"video\",\"codec\":\"foo\"}]"),
     "mountpoint_spec.media[0].codec", "none that Janus carries"},
    {VR "," SPEC("\"media\":[{\"type\":\"smell\"}]"), "mountpoint_spec.media[0].type",
     "must be one of"},
    {VR "," SPEC("\"media\":[{\"type\":\"video\",\"codec\":\"vp8\",\"mid\":\"x\"},"
                 "{\"type\":\"audio\",\"codec\":\"opus\",\"mid\":\"x\"}]"),
     "mountpoint_spec.media[0].mid", "twice"},
    {VR "," SPEC("\"media\":[{\"type\":\"video\",\"codec\":\"vp8\",\"port\":5004},"
                 "{\"type\":\"audio\",\"codec\":\"opus\",\"port\":5004}]"),
     "mountpoint_spec.media", "twice"},
    {VR "," SPEC("\"type\":\"bogus\"," V("")), "mountpoint_spec.type", "must be one of"},
    {"\"source_kind\":\"rtmp_external\"," SPEC("\"media\":[{\"type\":\"data\"}]"),
     "mountpoint_spec.media[0].type", "has no data"},
    {"\"source_kind\":\"rtmp_external\"," SPEC(V(",\"simulcast\":true")),
     "mountpoint_spec.media[0].simulcast", "one layer"},
    {"\"source_kind\":\"rtmp_external\",\"relay_kind\":\"ffmpeg\"," SRS
     "," SPEC("\"media\":[{\"type\":\"video\",\"codec\":\"av1\"}]"),
     "mountpoint_spec.media[0].codec", "relay ffmpeg makes: av1"},
    {"\"source_kind\":\"rtmp_external\",\"relay_kind\":\"gstreamer\"," SRS
     "," SPEC("\"media\":[{\"type\":\"audio\",\"codec\":\"isac16\"}]"),
     "mountpoint_spec.media[0].codec", "relay gstreamer makes: isac16"},
    {"\"source_kind\":\"rtmp_external\"," SPEC("\"srtpcrypto\":\"SEKRET\"," V("")),
     "mountpoint_spec.srtpcrypto", "plain RTP"},
    /* extra adds, it does not change what was checked, and hides no secrets */
    {VR "," SPEC("\"extra\":{\"type\":\"bogus\"}," V("")), "mountpoint_spec.extra.type", "field"},
    {VR "," SPEC("\"extra\":{\"secret\":\"SEKRET\"}," V("")), "mountpoint_spec.extra.secret",
     "field"},
    {VR "," SPEC("\"extra\":{\"new_secret\":\"SEKRET\"}," V("")),
     "mountpoint_spec.extra.new_secret", "field"},
    {VR "," SPEC("\"extra\":{\"request\":\"destroy\"}," V("")), "mountpoint_spec.extra.request",
     "field"},
    {VR "," SPEC(V(",\"extra\":{\"port\":70000}")), "mountpoint_spec.media[0].extra.port", "field"},
    {VR "," SPEC(V(",\"extra\":{\"buffermsg\":true}")), "mountpoint_spec.media[0].extra.buffermsg",
     "field"},
    {VR "," MP ",\"room_spec\":{\"extra\":{\"pin\":\"SEKRET\"}}", "room_spec.extra.pin", "field"},
    {VR "," SPEC("\"extra\":7," V("")), "mountpoint_spec.extra", "must be an object"},
    /* rooms, ids that differ */
    {VR "," MP ",\"room_spec\":{\"room\":3}", "room_spec.room", "room_id"},
    {VR "," MP ",\"room_spec\":{\"videocodec\":\"theora\"}", "room_spec.videocodec", "list"},
    {VR ",\"mountpoint_id\":7," SPEC("\"id\":8," V("")), "mountpoint_id", "mountpoint_spec.id"},
    {VR ",\"video_port\":6000," MP, "video_port", "mountpoint_spec.media"},
    {VR ",\"data_port\":6000," MP, "data_port", "mountpoint_spec.media"},
    /* single fields */
    {VR "," MP ",\"broadcast_id\":\"../etc\"", "broadcast_id", "letters"},
    {VR "," MP ",\"broadcast_id\":\"\"", "broadcast_id", "at least 1"},
    {VR "," MP ",\"host\":\"a b\"", "host", "white space"},
    {"\"source_kind\":\"obs\"," MP ",\"obs_port\":0", "obs_port", "between"},
    {"\"source_kind\":\"obs\"," MP ",\"obs_port\":70000", "obs_port", "between"},
    {"\"source_kind\":\"obs\"," MP ",\"srs\":{\"rtmp_url\":\"http://h\",\"stream_key\":\"k\"}",
     "srs.rtmp_url", "must be a URL of one of"},
    {"\"source_kind\":\"obs\"," MP ",\"srs\":{\"rtmp_url\":\"rtmp://h\"}", "srs.stream_key",
     "is required"},
    {"\"source_kind\":\"obs\"," MP
     ",\"srs\":{\"rtmp_url\":\"rtmp://h\",\"stream_key\":\"SEKRET x\"}",
     "srs.stream_key", "white space"},
    {"\"source_kind\":\"rtsp_camera\"," MP ",\"rtsp_camera\":{\"url\":\"file:///etc/passwd\"}",
     "rtsp_camera.url", "must be a URL of one of"},
    {"\"source_kind\":\"rtsp_camera\"," MP ",\"rtsp_camera\":{\"url\":\"rtsp://u:SEKRET@\"}",
     "rtsp_camera.url", ""},
    {"\"source_kind\":\"rtsp_camera\"," MP ",\"rtsp_camera\":{\"username\":\"u\"}",
     "rtsp_camera.url", "is required"},
    {"\"source_kind\":\"rtsp_camera\"," MP
     ",\"rtsp_camera\":{\"url\":\"rtsp://h\",\"transport\":\"pigeon\"}",
     "rtsp_camera.transport", "must be one of"},
    {"\"source_kind\":\"rtmp_external\"," MP ",\"input_url\":\"file:///etc/SEKRET\"", "input_url",
     "must be a URL of one of"},
    {"\"source_kind\":\"rtmp_external\"," MP ",\"input_url\":\"concat:SEKRET\"", "input_url", ""},
    {"\"source_kind\":\"stream\"," MP ",\"stream\":\"../x\"", "stream", ""},
    {"\"source_kind\":\"rtmp_external\"," MP ",\"stream\":\"x~opus\"", "stream", "derived"},
    /* what nobody knows */
    {VR "," MP ",\"mountpiont\":1", "mountpiont", "is not a known field"},
    {VR "," SPEC("\"medai\":[]," V("")), "mountpoint_spec.medai", "is not a known field"},
    {VR "," SPEC(V(",\"prot\":1")), "mountpoint_spec.media[0].prot", "is not a known field"},
    {VR "," MP ",\"room_spec\":{\"secert\":\"SEKRET\"}", "room_spec.secert",
     "is not a known field"},
    {"\"source_kind\":\"obs\"," MP
     ",\"srs\":{\"rtmp_url\":\"rtmp://h\",\"stream_key\":\"k\",\"x\":\"SEKRET\"}",
     "srs.x", "is not a known field"},
};

static void test_refusals_name_their_path(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        const struct refusal *f = &refusals[i];
        struct broadcast_request r;
        struct broadcast_request zero = {0};
        struct error err = {0};
        _cleanup_free_ char *json = mem_printf("{%s}", f->body);
        int bad = broadcast_request_parse(&r, BYTES_STR(json), 0, &err);
        if (bad != -EINVAL || strcmp(err.where, f->where) != 0 || !strstr(err.text, f->text) ||
            strstr(err.text, "SEKRET")) {
            fail_msg("%s\n%d %s: %s\nwanted %s: ...%s", json, bad, err.where, err.text, f->where,
                     f->text);
        }
        assert_memory_equal(&r, &zero, sizeof(r));
    }
}

/* ---- what serves when none is named ---- */

static const struct served {
    const char *body;
    enum broadcast_relay relay;
} served[] = {
    {VR "," MP, BROADCAST_RELAY_NONE},
    {"\"source_kind\":\"browser_webrtc\",\"room_spec\":{}," MP, BROADCAST_RELAY_NONE},
    {"\"source_kind\":\"frontend_owned\",\"stream\":\"live/x\"", BROADCAST_RELAY_NONE},
    {"\"source_kind\":\"frontend_owned\"," SPEC("\"type\":\"rtsp\",\"url\":\"rtsp://h\""),
     BROADCAST_RELAY_NONE},
    {"\"source_kind\":\"obs\"," MP, BROADCAST_RELAY_BUILTIN},
    {"\"source_kind\":\"rtmp_external\"," MP, BROADCAST_RELAY_BUILTIN},
    {"\"source_kind\":\"rtmp_external\",\"input_url\":\"RTMP://h/a/b\"," MP,
     BROADCAST_RELAY_BUILTIN},
    {"\"source_kind\":\"rtmp_external\",\"input_url\":\"srt://h:9\"," MP, BROADCAST_RELAY_FFMPEG},
    {"\"source_kind\":\"stream\",\"stream\":\"live/x~opus\"," MP, BROADCAST_RELAY_BUILTIN},
    {"\"source_kind\":\"rtsp_camera\"," CAM "," MP, BROADCAST_RELAY_FFMPEG},
    {"\"source_kind\":\"rtsp_camera\",\"input_url\":\"rtsp://h/x\"," MP, BROADCAST_RELAY_FFMPEG},
    {"\"source_kind\":\"rtsp_camera\"," CAM ",\"gstreamer_pipeline\":\"fakesrc ! fakesink\"," MP,
     BROADCAST_RELAY_GSTREAMER},
    {"\"source_kind\":\"rtsp_camera\",\"relay_kind\":\"gstreamer\"," CAM "," MP,
     BROADCAST_RELAY_GSTREAMER},
    /* the caller's own pipeline may send what ours cannot */
    {"\"source_kind\":\"rtsp_camera\",\"gstreamer_pipeline\":\"fakesrc\"," CAM
     "," SPEC("\"media\":[{\"type\":\"data\"}]"),
     BROADCAST_RELAY_GSTREAMER},
    /* an existing mountpoint tells codecs and ports itself, or ports are all that is needed */
    {VR ",\"create_mountpoint\":false," SPEC("\"id\":\"x\",\"media\":[{\"type\":\"video\"}]"),
     BROADCAST_RELAY_NONE},
    {VR ",\"create_mountpoint\":false," SPEC("\"media\":[{\"type\":\"video\",\"port\":5004}]"),
     BROADCAST_RELAY_NONE},
};

static void test_relays_that_serve(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(served); i++) {
        _cleanup_free_ char *json = mem_printf("{%s}", served[i].body);
        struct broadcast_request r = parse(json);
        if (broadcast_request_relay(&r) != served[i].relay) {
            fail_msg("%s: %d", json, broadcast_request_relay(&r));
        }
        bool given = strstr(json, "relay_kind") != NULL;
        assert_int_equal(broadcast_request_relay_given(&r), given);
        drop(&r);
    }
}

static void test_late_viewers_are_helped(void **state)
{
    struct broadcast_request r = parse(videoroom);
    const struct janus_track *v = &r.mountpoint_spec->media.items[0];
    assert_true(MODEL_HAS(&janus_track_model, v, rtcpport));
    assert_int_equal(v->rtcpport, 0);
    assert_false(MODEL_HAS(&janus_track_model, v, bufferkf));
    assert_false(MODEL_HAS(&janus_track_model, v + 1, rtcpport));
    drop(&r);
    r = parse(obs);
    assert_true(r.mountpoint_spec->media.items[0].bufferkf);
    drop(&r);
    r = parse("{\"source_kind\":\"rtmp_external\"," SPEC(V(",\"bufferkf\":false")) "}");
    assert_false(r.mountpoint_spec->media.items[0].bufferkf);
    drop(&r);
}

/* Where no tracks are named: what sources give. The flat details of 1.0.0 without ports make none. */
static void test_media_by_default(void **state)
{
    static const char *const bodies[] = {
        VR "," SPEC("\"id\":1"),
        VR "," SPEC("\"media\":[]"),
        VR ",\"mountpoint_id\":1",
        VR ",\"mountpoint_id\":1,\"video_codec\":\"vp8\"",
        "\"source_kind\":\"stream\",\"stream\":\"live/a\"," SPEC(""),
        "\"source_kind\":\"rtsp_camera\"," CAM "," SPEC(""),
        "\"source_kind\":\"frontend_owned\"," SPEC("\"id\":1"),
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        _cleanup_free_ char *json = mem_printf("{%s}", bodies[i]);
        struct broadcast_request r = parse(json);
        const struct janus_mountpoint *m = r.mountpoint_spec;
        assert_int_equal(m->media.len, 2);
        assert_int_equal(m->media.items[0].type, JANUS_VIDEO);
        assert_string_equal(m->media.items[0].mid, "v");
        assert_string_equal(m->media.items[0].codec, "h264");
        assert_int_equal(m->media.items[0].pt, 96);
        assert_int_equal(m->media.items[0].port, 0);
        assert_non_null(strstr(m->media.items[0].fmtp, "packetization-mode=1"));
        assert_int_equal(m->media.items[1].type, JANUS_AUDIO);
        assert_string_equal(m->media.items[1].codec, "opus");
        assert_int_equal(m->media.items[1].pt, 111);
        assert_non_null(strstr(m->media.items[1].fmtp, "stereo=1"));
        /* Once is enough. */
        assert_int_equal(broadcast_request_check(&r, NULL), 0);
        assert_int_equal(m->media.len, 2);
        drop(&r);
    }
    /* A mountpoint that plays a file has one of sound, whose name tells its codec. */
    struct broadcast_request r = parse("{\"source_kind\":\"frontend_owned\"," SPEC(
        "\"type\":\"live\",\"filename\":\"/x.alaw\"") "}");
    assert_int_equal(r.mountpoint_spec->media.len, 1);
    assert_int_equal(r.mountpoint_spec->media.items[0].type, JANUS_AUDIO);
    assert_string_equal(r.mountpoint_spec->media.items[0].codec, "pcma");
    assert_int_equal(r.mountpoint_spec->media.items[0].pt, 8);
    drop(&r);
}

static void test_external_leaves_a_warning(void **state)
{
    struct broadcast_request r = parse("{\"source_kind\":\"external\"," SRS "," MP "}");
    assert_int_equal(r.source_kind, BROADCAST_RTMP_EXTERNAL);
    struct broadcast_result result = {0};
    model_init(&broadcast_result_model, &result);
    model_done(MODEL_OF_REQUEST, &result.request);
    result.request = r;
    broadcast_result_warn(&result);
    broadcast_result_warn(&result);
    assert_int_equal(result.warnings.len, 1);
    assert_non_null(strstr(result.warnings.items[0], "deprecated"));
    model_done(&broadcast_result_model, &result);
}

/* ---- round trips ---- */

/* Every field there is; every secret has SEKRET in it. */
static const char everything[] =
    "{\"broadcast_id\":\"b-1\",\"name\":\"n\",\"description\":\"d\",\"source_kind\":\"obs\","
    "\"relay_kind\":\"gstreamer\",\"janus\":\"main\",\"host\":\"10.0.0.2\","
    "\"create_mountpoint\":true,\"owned_by_app\":false,\"mountpoint_spec\":{\"type\":\"rtp\","
    "\"id\":\"9001\",\"name\":\"m\",\"description\":\"d\",\"metadata\":\"{}\","
    "\"secret\":\"SEKRET1\",\"pin\":\"SEKRET2\",\"admin_key\":\"SEKRET3\",\"enabled\":false,"
    "\"is_private\":true,\"permanent\":true,\"collision\":5,\"threads\":1,\"e2ee\":false,"
    "\"playoutdelay_ext\":true,\"url\":\"rtsp://u:SEKRET4@h/x\",\"rtsp_user\":\"u\","
    "\"rtsp_pwd\":\"SEKRET5\",\"extra\":{\"later\":[1,null]},\"media\":[{\"type\":\"video\","
    "\"mid\":\"v\",\"label\":\"l\",\"msid\":\"s\",\"mindex\":1,\"port\":0,\"rtp_port\":5005,"
    "\"pt\":100,\"codec\":\"VP8\",\"fmtp\":\"a=b\",\"rtpmap\":\"VP8/90000\","
    "\"multicast\":\"239.0.0.1\",\"bind_interface\":\"127.0.0.1\",\"skew\":true,\"bufferkf\":false,"
    "\"h264_sps\":\"x\",\"extra\":{\"y\":1.5}},{\"type\":\"audio\",\"codec\":\"opus\","
    "\"port\":5006}]},\"room_id\":9007199254740993,\"room_spec\":{\"description\":\"r\","
    "\"secret\":\"SEKRET6\",\"pin\":\"SEKRET7\",\"admin_key\":\"SEKRET8\",\"is_private\":true,"
    "\"publishers\":3,\"fir_freq\":10,\"bitrate\":500000,\"videocodec\":\"vp8,h264\","
    "\"allowed\":[\"SEKRETa\"],\"extra\":{}},\"publisher_id\":\"77\","
    "\"publisher_display\":\"cam\",\"listener_display\":\"ear\",\"resume\":true,"
    "\"recover\":\"undo\",\"srs\":{\"rtmp_url\":\"rtmp://u:SEKRETb@h:1936/\",\"app\":\"/in/\","
    "\"stream_key\":\"SEKRETc?t=1\"},\"stream\":\"live/x\","
    "\"input_url\":\"rtmp://h/live/SEKRETd\",\"rtsp_camera\":{\"url\":\"rtsp://u:SEKRETe@cam/1\","
    "\"username\":\"SEKRETf\",\"password\":\"SEKRETg\",\"transport\":\"udp\",\"timeout\":2.5},"
    "\"gstreamer_pipeline\":\"rtmpsrc location=SEKRETh ! fakesink\",\"obs_host\":\"::1\","
    "\"obs_port\":4456,\"obs_password\":\"SEKRETi\",\"obs_secure\":true,\"queue_kind\":\"redis\"}";

static struct seal_ring *ring(char digit)
{
    char text[65];
    struct seal_ring *ret = NULL;
    memset(text, digit, 64);
    text[64] = '\0';
    assert_int_equal(seal_ring_parse(BYTES_STR(text), &ret, NULL), 0);
    return ret;
}

static void assert_no_secret(const char *text)
{
    const char *at = strstr(text, "SEKRET");
    if (at) {
        fail_msg("a secret is in the open: ...%.40s in %s", at, text);
    }
}

/* obj is written and read, in clear and sealed, and is the same; nothing redacted or sealed shows a secret. */
static void round_trip(const struct model *m, const void *obj, void *again)
{
    struct error err = {0};
    struct seal_ring *keys = ring('a');
    _cleanup_free_ char *clear = model_to_json(m, obj, MODEL_SECRETS_CLEAR);
    _cleanup_free_ char *shown = model_to_json(m, obj, MODEL_SECRETS_REDACTED);
    _cleanup_free_ char *sealed = NULL;
    assert_no_secret(shown);
    assert_int_equal(model_parse_json(m, again, BYTES_STR(clear), NULL, &err), 0);
    assert_true(model_equal(m, obj, again));
    model_done(m, again);
    assert_int_equal(broadcast_seal(m, obj, keys, "b-1", &sealed, &err), 0);
    assert_no_secret(sealed);
    unsigned missing = 9;
    if (broadcast_unseal(m, again, BYTES_STR(sealed), keys, "b-1", &missing, &err) < 0) {
        fail_msg("%s: %s in %s", err.where, err.text, sealed);
    }
    assert_int_equal(missing, 0);
    assert_true(model_equal(m, obj, again));
    _cleanup_free_ char *last = model_to_json(m, again, MODEL_SECRETS_CLEAR);
    assert_string_equal(clear, last);
    model_done(m, again);
    seal_ring_free(keys);
}

static void test_requests_round_trip(void **state)
{
    const char *const bodies[] = {videoroom, obs, flat_videoroom, flat_obs, everything};
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct broadcast_request r = parse(bodies[i]);
        struct broadcast_request again;
        round_trip(MODEL_OF_REQUEST, &r, &again);
        drop(&r);
        /* As it came, before the check, too. */
        assert_int_equal(model_parse_json(MODEL_OF_REQUEST, &r, BYTES_STR(bodies[i]), NULL, NULL),
                         0);
        round_trip(MODEL_OF_REQUEST, &r, &again);
        drop(&r);
    }
    for (size_t i = 0; i < ARRAY_LEN(served); i++) {
        _cleanup_free_ char *json = mem_printf("{%s}", served[i].body);
        struct broadcast_request r = parse(json);
        struct broadcast_request again;
        round_trip(MODEL_OF_REQUEST, &r, &again);
        drop(&r);
    }
}

static void test_everything_arrives(void **state)
{
    struct broadcast_request r = parse(everything);
    assert_string_equal(r.mountpoint_spec->id.str, "9001");
    assert_int_equal(r.room_id.num, 9007199254740993);
    assert_int_equal(r.room_spec->room.num, 9007199254740993);
    assert_string_equal(r.publisher_id.str, "77");
    assert_int_equal(r.rtsp_camera->timeout_ns, 2500000000);
    assert_int_equal(r.rtsp_camera->transport, RTSP_CAMERA_UDP);
    assert_int_equal(r.mountpoint_spec->media.items[0].rtcpport, 5005);
    assert_string_equal(r.mountpoint_spec->media.items[0].mcast, "239.0.0.1");
    assert_int_equal(r.mountpoint_spec->media.items[0].mindex, 1);
    assert_int_equal(r.recover, BROADCAST_RECOVER_UNDO);
    assert_int_equal(r.queue_kind, BROADCAST_QUEUE_REDIS);
    assert_int_equal(r.warnings, 1u << BROADCAST_WARN_SECRET_VISIBLE);
    _cleanup_free_ char *url = srs_ingest_publish_url(r.srs, false);
    _cleanup_free_ char *shown = srs_ingest_publish_url(r.srs, true);
    assert_string_equal(url, "rtmp://u:SEKRETb@h:1936/in/SEKRETc?t=1");
    assert_no_secret(shown);
    assert_non_null(strstr(shown, "@h:1936/in/***"));
    drop(&r);
}

static void test_yaml_is_the_same(void **state)
{
    static const char yaml[] = "source_kind: rtsp_camera\n"
                               "rtsp_camera:\n"
                               "  url: rtsp://cam/1\n"
                               "  timeout: 3s\n"
                               "host:\n"
                               "mountpoint_spec:\n"
                               "  id: 7\n"
                               "  media:\n"
                               "    - {type: video, codec: H264}\n";
    struct broadcast_request r;
    struct error err = {0};
    assert_int_equal(model_parse_yaml(MODEL_OF_REQUEST, &r, BYTES_STR(yaml), NULL, &err), 0);
    assert_int_equal(broadcast_request_check(&r, &err), 0);
    assert_int_equal(r.rtsp_camera->timeout_ns, 3000000000);
    assert_null(r.host);
    drop(&r);
}

static void test_a_lost_key_loses_no_request(void **state)
{
    struct broadcast_request r = parse(everything);
    struct broadcast_request lost;
    struct broadcast_request found;
    struct seal_ring *keys = ring('a');
    struct seal_ring *other = ring('b');
    struct error err = {0};
    _cleanup_free_ char *sealed = NULL;
    _cleanup_free_ char *again = NULL;
    unsigned missing = 0;
    assert_int_equal(broadcast_seal(MODEL_OF_REQUEST, &r, NULL, "b-1", &again, &err), -ENOKEY);
    assert_int_equal(broadcast_seal(MODEL_OF_REQUEST, &r, keys, "b-1", &sealed, &err), 0);
    /* Another document's secrets do not open here. */
    assert_int_equal(
        broadcast_unseal(MODEL_OF_REQUEST, &found, BYTES_STR(sealed), keys, "b-2", &missing, &err),
        -EBADMSG);
    assert_int_equal(
        broadcast_unseal(MODEL_OF_REQUEST, &lost, BYTES_STR(sealed), other, "b-1", &missing, &err),
        0);
    assert_int_equal(missing, 17);
    assert_true(seal_is_text(lost.obs_password));
    assert_int_equal(broadcast_seal(MODEL_OF_REQUEST, &lost, other, "b-1", &again, &err), 0);
    assert_int_equal(
        broadcast_unseal(MODEL_OF_REQUEST, &found, BYTES_STR(again), keys, "b-1", &missing, &err),
        0);
    assert_int_equal(missing, 0);
    assert_true(model_equal(MODEL_OF_REQUEST, &found, &r));
    drop(&lost);
    drop(&found);
    drop(&r);
    seal_ring_free(keys);
    seal_ring_free(other);
}

static const char result_body[] =
    "{\"broadcast_id\":\"b-1\",\"state\":\"degraded\",\"reason\":\"forward: no such feed\","
    "\"request\":%s,\"room_response\":{\"exists\":true,\"room\":1234,\"raw\":{\"videoroom\":"
    "\"success\",\"exists\":true}},\"mountpoint_response\":{\"exists\":false,\"id\":9001,"
    "\"name\":\"m\",\"description\":\"d\",\"enabled\":true,\"permanent\":false,\"ports\":["
    "{\"kind\":\"video\",\"host\":\"127.0.0.1\",\"port\":5004,\"rtcp_port\":5005,\"port_2\":1,"
    "\"port_3\":2,\"codec\":\"h264\",\"pt\":96,\"ssrc\":4294967295,\"mindex\":1,\"mid\":\"v\"}],"
    "\"raw\":{\"streaming\":\"created\"}},\"forward_response\":{\"room\":1234,"
    "\"publisher_id\":\"p\",\"publisher_display\":\"cam\",\"forwarders\":[{\"stream_id\":5,"
    "\"type\":\"video\",\"host\":\"127.0.0.1\",\"port\":5004,\"pt\":96,\"substream\":1}],"
    "\"raw\":[1]},\"relay_info\":{\"kind\":\"ffmpeg\",\"why\":\"needs-transcode\","
    "\"state\":\"running\",\"pid\":7,\"restarts\":1,\"secret_visible\":true,\"last_error\":\"e\","
    "\"endpoints\":[]},\"srs_info\":{\"rtmp_url\":\"rtmp://u:SEKRETx@h\",\"app\":\"live\","
    "\"publish_url\":\"rtmp://h/live/***\",\"path\":\"live/x\",\"obs_output\":\"started\","
    "\"builtin\":true},\"queue_info\":{\"queue_kind\":\"kafka\",\"queue\":\"q\",\"job_id\":\"j\","
    "\"consumer\":\"c\",\"attempt\":2},\"health\":{\"healthy\":false,\"reason\":\"r\","
    "\"checked_at\":\"2026-11-20T15:00:00Z\",\"session\":true,\"viewers\":3,\"forwarders\":1,"
    "\"forwarders_expected\":2,\"media\":[{\"mid\":\"v\",\"type\":\"video\",\"age_ms\":12}],"
    "\"publisher\":false,\"relay\":\"running\",\"relay_speed\":1.01,\"obs\":\"started\","
    "\"stream\":true},\"join\":{\"janus\":\"main\",\"janus_url\":\"ws://h:8188\",\"room\":1234,"
    "\"publisher_id\":5,\"display\":\"cam\",\"pin_required\":true,"
    "\"publish_url\":\"rtmp://h/live/x\",\"mountpoint\":9001,\"mountpoint_pin_required\":false},"
    "\"note\":\"n\",\"warnings\":[\"w\"],\"steps\":[{\"name\":\"mountpoint\",\"describe\":\"d\","
    "\"peer\":\"janus:main\",\"state\":\"debt\",\"error\":\"e\","
    "\"started_at\":\"2026-11-20T15:00:00Z\",\"ended_at\":\"2026-11-20T15:00:01Z\"}],"
    "\"kept\":[{\"kind\":\"room\",\"id\":1234,\"peer\":\"janus:main\",\"why\":\"owned_by_app\"}],"
    "\"created_at\":\"2026-11-20T15:00:00Z\",\"started_at\":\"2026-11-20T15:00:00Z\","
    "\"changed_at\":\"2026-11-20T15:00:00Z\",\"ended_at\":\"2026-11-20T15:00:00Z\",\"restarts\":4}";

static void test_results_round_trip(void **state)
{
    struct broadcast_result r;
    struct broadcast_result again;
    struct error err = {0};
    _cleanup_free_ char *json = mem_printf(result_body, everything);
    if (model_parse_json(&broadcast_result_model, &r, BYTES_STR(json), NULL, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    assert_int_equal(r.state, BROADCAST_DEGRADED);
    assert_int_equal(r.mountpoint_response->ports.items[0].ssrc, 4294967295);
    assert_int_equal(r.steps.items[0].state, BROADCAST_STEP_DEBT);
    assert_true(r.health->relay_speed > 1.0);
    round_trip(&broadcast_result_model, &r, &again);
    _cleanup_free_ char *shown = model_to_json(&broadcast_result_model, &r, MODEL_SECRETS_REDACTED);
    /* What is no secret stays readable. */
    assert_non_null(strstr(shown, "\"publish_url\":\"rtmp://h/live/***\""));
    assert_non_null(strstr(shown, "\"room_id\":9007199254740993"));
    assert_non_null(strstr(shown, "\"raw\":{\"streaming\":\"created\"}"));
    model_done(&broadcast_result_model, &r);

    /* The least there can be. */
    static const char least[] = "{\"broadcast_id\":\"b\",\"state\":\"starting\",\"newer\":null}";
    assert_int_equal(model_parse_json(&broadcast_result_model, &r, BYTES_STR(least), NULL, &err),
                     0);
    assert_null(r.health);
    model_done(&broadcast_result_model, &r);
}

static void test_the_end_of_memory_is_an_error(void **state)
{
    struct broadcast_result r;
    _cleanup_free_ char *json = mem_printf(result_body, everything);
    long n = 0;
    json_set_alloc_funcs(mem_try_alloc, free);
    for (int bad = -ENOMEM; bad != 0; n++) {
        struct error err = {0};
        assert_true(n < 5000);
        mem_fail_after(n);
        bad = model_parse_json(&broadcast_result_model, &r, BYTES_STR(json), NULL, &err);
        mem_fail_after(-1);
        /* jansson tells some of its failed allocations as syntax errors, url_parse() as a bad escape. */
        bool url = bad == -EINVAL && strstr(err.text, "percent-encoded");
        if (bad != 0 && bad != -ENOMEM && bad != -EBADMSG && !url) {
            fail_msg("%ld: %d %s: %s", n, bad, err.where, err.text);
        }
        assert_int_equal(err.code, bad);
    }
    json_set_alloc_funcs(malloc, free);
    assert_true(n > 200);
    model_done(&broadcast_result_model, &r);
}

/* ---- endpoints ---- */

static void test_endpoints_have_the_ports_that_janus_told(void **state)
{
    struct broadcast_request r =
        parse("{" VR ",\"mountpoint_spec\":{\"media\":["
              "{\"type\":\"audio\",\"codec\":\"opus\",\"mid\":\"de\",\"mindex\":1},"
              "{\"type\":\"video\",\"codec\":\"h264\",\"rtcpport\":0},"
              "{\"type\":\"audio\",\"codec\":\"opus\",\"mid\":\"en\",\"mindex\":0}]}}");
    const struct janus_track_info tracks[] = {
        {.type = JANUS_VIDEO, .mid = "other", .pt = 96, .port = 1000, .rtcp_port = 1001},
        {.type = JANUS_AUDIO, .mid = "en", .pt = 111, .port = 1002},
        {.type = JANUS_AUDIO, .mid = "de", .pt = 111, .port = 1004},
    };
    struct janus_mountpoint_info info = {.n_tracks = 3, .tracks = tracks};
    struct endpoint_list list;
    struct error err = {0};
    assert_int_equal(broadcast_endpoints(&r, "10.0.0.1", &info, &list, &err), 0);
    assert_int_equal(list.items.len, 3);
    const struct endpoint *e = list.items.items;
    assert_int_equal(e[0].port, 1004); /* by mid */
    assert_int_equal(e[0].mindex, 1);
    assert_int_equal(e[1].port, 1000); /* by its place: Janus has another mid */
    assert_int_equal(e[1].rtcp_port, 1001);
    assert_int_equal(e[1].pt, 96);
    assert_string_equal(e[1].host, "10.0.0.1");
    assert_int_equal(e[2].port, 1002);
    assert_string_equal(e[2].codec, "opus");

    struct janus_feed feed = {.n_streams = 3,
                              .streams = {{.type = JANUS_AUDIO, .mid = "0"},
                                          {.type = JANUS_VIDEO, .mid = "1"},
                                          {.type = JANUS_AUDIO, .mid = "2"}}};
    assert_int_equal(endpoint_pick(&e[0], &feed, &err), 2);
    assert_int_equal(endpoint_pick(&e[1], &feed, &err), 1);
    assert_int_equal(endpoint_pick(&e[2], &feed, &err), 0);
    feed.n_streams = 2;
    assert_int_equal(endpoint_pick(&e[0], &feed, &err), -ENOENT);
    assert_string_equal(err.where, "mindex");
    assert_string_equal(err.text, "1: the source has 1 audio streams");
    model_done(&endpoint_list_model, &list);

    /* Ports nobody told. */
    assert_int_equal(broadcast_endpoints(&r, "10.0.0.1", NULL, &list, &err), -ENODATA);
    assert_string_equal(err.where, "mountpoint_spec.media[0].port");
    assert_int_equal(list.items.len, 0);
    drop(&r);
}

static void test_endpoints_of_a_mountpoint_that_says_it_all(void **state)
{
    struct broadcast_request r =
        parse("{" VR ",\"create_mountpoint\":false,\"mountpoint_spec\":{\"id\":7}}");
    const struct janus_track_info tracks[] = {
        {.type = JANUS_AUDIO, .mid = "a1", .codec = "opus", .pt = 111, .port = 1002},
        {.type = JANUS_AUDIO, .mid = "a2", .codec = "opus", .pt = -1, .port = 1004},
    };
    struct janus_mountpoint_info info = {.n_tracks = 2, .tracks = tracks};
    struct endpoint_list list;
    assert_int_equal(broadcast_endpoints(&r, "::1", &info, &list, NULL), 0);
    assert_int_equal(list.items.len, 2);
    assert_int_equal(list.items.items[1].mindex, 1);
    assert_string_equal(list.items.items[1].mid, "a2");
    assert_string_equal(list.items.items[1].codec, "opus");
    assert_int_equal(list.items.items[0].pt, 111);
    assert_false(MODEL_HAS(&endpoint_model, &list.items.items[1], pt));
    model_done(&endpoint_list_model, &list);
    drop(&r);
}

/* ---- replies ---- */

static void test_replies_are_kept_without_secrets(void **state)
{
    static const char info[] =
        "{\"streaming\":\"info\",\"info\":{\"id\":9001,\"secret\":\"SEKRET1\",\"pin\":\"SEKRET2\","
        "\"rtsp_pwd\":\"SEKRET3\",\"url\":\"rtsp://u:SEKRET4@h/x\",\"pin_required\":true,"
        "\"media\":[{\"mid\":\"v\",\"srtpcrypto\":\"SEKRET5\",\"age_ms\":16}]},"
        "\"session_id\":1234567,\"tokens\":[\"SEKRET6\"],\"secret\":{\"a\":\"b\"}}";
    _cleanup_free_ char *kept = broadcast_reply_keep(BYTES_STR(info));
    assert_no_secret(kept);
    assert_null(strstr(kept, "1234567"));
    assert_non_null(strstr(kept, "\"pin\":\"***\""));
    assert_non_null(strstr(kept, "\"pin_required\":true"));
    assert_non_null(strstr(kept, "\"age_ms\":16"));
    assert_non_null(strstr(kept, "@h/x"));
    _cleanup_free_ char *list = broadcast_reply_keep(BYTES_STR("[{\"pin\":7},\"x\"]"));
    assert_string_equal(list, "[{\"pin\":\"***\"},\"x\"]");
    assert_null(broadcast_reply_keep(BYTES_STR("no JSON")));
    assert_null(broadcast_reply_keep(BYTES_STR("")));
    _cleanup_free_ char *long_one = mem_alloc(BROADCAST_REPLY_MAX + 2);
    memset(long_one, ' ', BROADCAST_REPLY_MAX + 1);
    memcpy(long_one, "[]", 2);
    assert_null(broadcast_reply_keep(BYTES(long_one, BROADCAST_REPLY_MAX + 1)));
    _cleanup_free_ char *fits = broadcast_reply_keep(BYTES(long_one, BROADCAST_REPLY_MAX));
    assert_string_equal(fits, "[]");
}

/* What gst-launch gets by its arguments, others on the machine see. */
static void test_visible_secrets_are_warned_of(void **state)
{
    static const struct {
        const char *request;
        bool warned;
    } cases[] = {
        {"\"source_kind\":\"rtsp_camera\"," CAM ",\"relay_kind\":\"gstreamer\"," MP, false},
        {"\"source_kind\":\"rtsp_camera\",\"rtsp_camera\":{\"url\":\"rtsp://h/1\",\"username\":"
         "\"u\",\"password\":\"p\"},\"relay_kind\":\"gstreamer\"," MP,
         true},
        {"\"source_kind\":\"rtsp_camera\",\"rtsp_camera\":{\"url\":\"rtsp://u:p@h/1\"},"
         "\"relay_kind\":\"gstreamer\"," MP,
         true},
        {"\"source_kind\":\"rtsp_camera\",\"rtsp_camera\":{\"url\":\"rtsp://h/1?token=x\"},"
         "\"relay_kind\":\"gstreamer\"," MP,
         true},
        {"\"source_kind\":\"rtsp_camera\",\"rtsp_camera\":{\"url\":\"rtsp://u:p@h/1\"}," MP, false},
        {"\"source_kind\":\"stream\",\"stream\":\"live/x\",\"relay_kind\":\"gstreamer\"," MP, true},
        {"\"source_kind\":\"stream\",\"stream\":\"live/x\",\"relay_kind\":\"ffmpeg\"," MP, false},
        {"\"source_kind\":\"rtmp_external\",\"relay_kind\":\"gstreamer\"," SRS "," MP, true},
        {"\"source_kind\":\"rtsp_camera\"," CAM
         ",\"gstreamer_pipeline\":\"fakesrc ! fakesink\"," MP,
         true},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_free_ char *json = mem_printf("{%s}", cases[i].request);
        struct broadcast_request r = parse(json);
        bool warned = r.warnings & (1u << BROADCAST_WARN_SECRET_VISIBLE);
        assert_int_equal(warned, cases[i].warned);
        drop(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_are_sound),
        cmocka_unit_test(test_examples_of_the_seeds),
        cmocka_unit_test(test_flat_fields_become_the_mountpoint),
        cmocka_unit_test(test_flat_fields_of_every_kind),
        cmocka_unit_test(test_refusals_name_their_path),
        cmocka_unit_test(test_relays_that_serve),
        cmocka_unit_test(test_late_viewers_are_helped),
        cmocka_unit_test(test_media_by_default),
        cmocka_unit_test(test_external_leaves_a_warning),
        cmocka_unit_test(test_requests_round_trip),
        cmocka_unit_test(test_everything_arrives),
        cmocka_unit_test(test_yaml_is_the_same),
        cmocka_unit_test(test_a_lost_key_loses_no_request),
        cmocka_unit_test(test_results_round_trip),
        cmocka_unit_test(test_the_end_of_memory_is_an_error),
        cmocka_unit_test(test_endpoints_have_the_ports_that_janus_told),
        cmocka_unit_test(test_endpoints_of_a_mountpoint_that_says_it_all),
        cmocka_unit_test(test_replies_are_kept_without_secrets),
        cmocka_unit_test(test_visible_secrets_are_warned_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
