/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of the request. Those of the result are in broadcast_result.c. */
#include "service/broadcast/broadcast_models.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/url.h"
#include "engine/stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_LEN 64
#define TEXT_MAX     512
#define HOST_MAX     255
#define KEY_MAX      1024
#define PIPELINE_MAX 16384
/* Flat fields: for old clients only, and nothing writes them any more. */
#define FLAT     .hidden = true
#define ANY_PORT .max = 65535

const struct model_enum broadcast_source_names[] = {{"videoroom", BROADCAST_VIDEOROOM},
                                                    {"obs", BROADCAST_OBS},
                                                    {"rtmp_external", BROADCAST_RTMP_EXTERNAL},
                                                    {"rtsp_camera", BROADCAST_RTSP_CAMERA},
                                                    {"frontend_owned", BROADCAST_FRONTEND_OWNED},
                                                    {"browser_webrtc", BROADCAST_BROWSER_WEBRTC},
                                                    {"stream", BROADCAST_STREAM},
                                                    {"external", BROADCAST_EXTERNAL},
                                                    {0}};
const struct model_enum broadcast_relay_names[] = {{"none", BROADCAST_RELAY_NONE},
                                                   {"ffmpeg", BROADCAST_RELAY_FFMPEG},
                                                   {"gstreamer", BROADCAST_RELAY_GSTREAMER},
                                                   {"builtin", BROADCAST_RELAY_BUILTIN},
                                                   {0}};
static const struct model_enum recover_names[] = {
    {"resume", BROADCAST_RECOVER_RESUME}, {"undo", BROADCAST_RECOVER_UNDO}, {0}};
const struct model_enum broadcast_queue_names[] = {{"embedded", BROADCAST_QUEUE_EMBEDDED},
                                                   {"sqlite", BROADCAST_QUEUE_EMBEDDED},
                                                   {"redis", BROADCAST_QUEUE_REDIS},
                                                   {"kafka", BROADCAST_QUEUE_KAFKA},
                                                   {0}};

/* ---- checks of single fields ---- */

/* schemes: "rtmp rtmps ". The URL itself never enters the error: there may be a password in it. */
static int check_url(const char *text, const char *schemes, struct error *err)
{
    struct url u;
    char word[16];
    int r = url_parse(text, &u, err);
    if (r < 0) {
        return r;
    }
    snprintf(word, sizeof(word), "%.13s ", u.scheme);
    const char *at = strstr(schemes, word);
    bool known = at && (at == schemes || at[-1] == ' ');
    url_done(&u);
    return known ? 0 : error_set(err, -EINVAL, "", "must be a URL of one of: %s", schemes);
}

static int check_rtmp_url(const void *member, struct error *err)
{
    return check_url(*(char *const *)member, "rtmp rtmps ", err);
}

static int check_rtsp_url(const void *member, struct error *err)
{
    return check_url(*(char *const *)member, "rtsp rtsps ", err);
}

static int check_input_url(const void *member, struct error *err)
{
    return check_url(*(char *const *)member,
                     "rtmp rtmps rtsp rtsps http https srt udp rtp tcp tls ", err);
}

/* Parts of a URL that is put together from them. */
static int check_no_space(const void *member, struct error *err)
{
    const char *s = *(char *const *)member;
    for (const char *c = s; *c; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f) {
            return error_set(err, -EINVAL, "", "must not hold white space");
        }
    }
    return 0;
}

static int check_id(const void *member, struct error *err)
{
    const char *s = *(char *const *)member;
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    return s[0] != '.' && strspn(s, allowed) == strlen(s)
               ? 0
               : error_set(err, -EINVAL, "",
                           "must be of letters, digits, '-', '_' and '.', and not begin with '.'");
}

static int check_path(const void *member, struct error *err)
{
    const char *s = *(char *const *)member;
    char parent[STREAM_PATH_MAX + 1];
    return stream_path_check(stream_path_derived(s, parent) ? parent : s, err);
}

/* ---- tables ---- */

static const struct model_field srs_ingest_fields[] = {
    MODEL_STRING(struct srs_ingest, rtmp_url, .required = true, .check = check_rtmp_url,
                 .secret = MODEL_SECRET_SEALED, .mask = MODEL_MASK_URL, .doc = "rtmp://host:port",
                 .example = "rtmp://127.0.0.1"),
    MODEL_STRING(struct srs_ingest, app, .def = "live", .min = 1, .max = TEXT_MAX,
                 .check = check_no_space),
    MODEL_STRING(struct srs_ingest, stream_key, .required = true, .min = 1, .max = KEY_MAX,
                 .check = check_no_space, .secret = MODEL_SECRET_SEALED),
};
const struct model srs_ingest_model =
    MODEL("SRSIngestSpec", struct srs_ingest, srs_ingest_fields,
          .doc = "An RTMP server that the source publishes to and the relay reads from.");

static const struct model_enum transport_names[] = {
    {"tcp", RTSP_CAMERA_TCP}, {"udp", RTSP_CAMERA_UDP}, {0}};
static const struct model_field rtsp_camera_fields[] = {
    MODEL_STRING(struct rtsp_camera, url, .required = true, .check = check_rtsp_url,
                 .secret = MODEL_SECRET_SEALED, .mask = MODEL_MASK_URL),
    MODEL_STRING(struct rtsp_camera, username, .aliases = "user", .max = HOST_MAX,
                 .secret = MODEL_SECRET_SEALED),
    MODEL_STRING(struct rtsp_camera, password, .max = KEY_MAX, .secret = MODEL_SECRET_SEALED),
    MODEL_ENUM(struct rtsp_camera, transport, transport_names, .def = "tcp"),
    MODEL_DURATION(struct rtsp_camera, timeout_ns, .key = "timeout", .def = "10s",
                   .min = NS_PER_S / 10, .max = 300 * NS_PER_S,
                   .doc = "Without an answer or media for so long the camera counts as gone."),
};
const struct model rtsp_camera_model =
    MODEL("RTSPCameraConfig", struct rtsp_camera, rtsp_camera_fields);

#define R struct broadcast_request
static const struct model_field request_fields[] = {
    MODEL_STRING(R, id, .key = "broadcast_id", .aliases = "id", .min = 1, .max = NAME_MAX_LEN,
                 .check = check_id, .doc = "Absent: one is made."),
    MODEL_STRING(R, name, .max = TEXT_MAX),
    MODEL_STRING(R, description, .max = TEXT_MAX),
    MODEL_ENUM(R, source_kind, broadcast_source_names, .required = true),
    MODEL_ENUM(R, relay_kind, broadcast_relay_names,
               .doc = "Absent: builtin where it can serve, none where Janus sends by itself."),
    MODEL_STRING(R, janus, .max = NAME_MAX_LEN,
                 .doc = "Name of the Janus server; absent: the first that is configured."),
    MODEL_STRING(R, host, .min = 1, .max = HOST_MAX, .check = check_no_space,
                 .doc = "Where the server takes the RTP of its mountpoint. Absent: 127.0.0.1 from "
                        "one plugin to the other, else the address of the server."),
    MODEL_BOOL(R, create_mountpoint, .def = "true",
               .doc = "false: one that exists is used, and never destroyed."),
    MODEL_BOOL(R, owned_by_app, .def = "true",
               .doc =
                   "true: a stop destroys what this broadcast made, and only that. false: a room "
                   "or mountpoint that it made stays."),
    MODEL_OPT(R, mountpoint_spec, &janus_mountpoint_model),
    MODEL_ID(R, room_id, .max = HOST_MAX),
    MODEL_OPT(R, room_spec, &janus_room_model),
    MODEL_ID(R, publisher_id, .max = HOST_MAX),
    MODEL_STRING(R, publisher_display, .max = TEXT_MAX,
                 .doc = "The publisher by its display name, whatever its id is."),
    MODEL_STRING(R, listener_display, .max = TEXT_MAX,
                 .doc = "Name of our own participant in the room."),
    MODEL_BOOL(R, resume,
               .doc = "A publisher that left and comes back, by id or display name, is forwarded "
                      "again."),
    MODEL_ENUM(R, recover, recover_names, .def = "resume",
               .doc = "After a restart of this server: go on, or undo."),
    MODEL_OPT(R, srs, &srs_ingest_model),
    MODEL_STRING(R, stream, .max = STREAM_PATH_MAX, .check = check_path,
                 .doc =
                     "Path of a stream here: the source of source_kind stream, the ingest of the "
                     "others when there is no srs."),
    MODEL_STRING(R, input_url, .check = check_input_url, .secret = MODEL_SECRET_SEALED,
                 .mask = MODEL_MASK_URL_KEY, .doc = "What the relay reads instead."),
    MODEL_OPT(R, rtsp_camera, &rtsp_camera_model),
    MODEL_BOOL(R, copy_video, .def = "false",
               .doc = "Relays ffmpeg and gstreamer: H.264 goes on as it is, for next to nothing, "
                      "instead of being encoded anew. The source must have no B pictures."),
    MODEL_STRING(
        R, gstreamer_pipeline, .min = 1, .max = PIPELINE_MAX, .secret = MODEL_SECRET_SEALED,
        .doc = "For gst-launch, instead of the generated one. Who may see the process sees "
               "what is in it."),
    MODEL_STRING(R, obs_host, .def = "127.0.0.1", .min = 1, .max = HOST_MAX,
                 .check = check_no_space),
    MODEL_INT(R, obs_port, .def = "4455", .min = 1, .max = 65535),
    MODEL_STRING(R, obs_password, .max = KEY_MAX, .secret = MODEL_SECRET_SEALED),
    MODEL_BOOL(R, obs_secure, .def = "false"),
    MODEL_ENUM(R, queue_kind, broadcast_queue_names),

    MODEL_ID(R, mountpoint_id, .max = HOST_MAX, FLAT),
    MODEL_INT(R, video_port, ANY_PORT, FLAT),
    MODEL_INT(R, audio_port, ANY_PORT, FLAT),
    MODEL_INT(R, data_port, ANY_PORT, FLAT),
    MODEL_INT(R, video_port2, ANY_PORT, FLAT),
    MODEL_INT(R, video_port3, ANY_PORT, FLAT),
    MODEL_INT(R, video_pt, .max = 127, FLAT),
    MODEL_INT(R, audio_pt, .max = 127, FLAT),
    MODEL_STRING(R, video_codec, .max = 31, .lower = true, .trim = true, FLAT),
    MODEL_STRING(R, audio_codec, .max = 31, .lower = true, .trim = true, FLAT),
    MODEL_STRING(R, video_fmtp, .max = 1024, FLAT),
    MODEL_STRING(R, audio_fmtp, .max = 1024, FLAT),
    MODEL_BOOL(R, simulcast, FLAT),
};
#undef R
const struct model broadcast_request_model =
    MODEL("BroadcastRequest", struct broadcast_request, request_fields,
          .present_at = MODEL_PRESENT(struct broadcast_request, present),
          .doc = "A source that becomes a Janus Streaming mountpoint.");

int broadcast_request_parse(struct broadcast_request *ret, struct bytes json, size_t max_bytes,
                            struct error *err)
{
    const struct model_parse_opts opts = {
        .max_bytes = max_bytes ? max_bytes : 256 * 1024, .client = true, .null_absent = true};
    int r = model_parse_json(&broadcast_request_model, ret, json, &opts, err);
    if (r == 0) {
        r = broadcast_request_check(ret, err);
        if (r < 0) {
            model_done(&broadcast_request_model, ret);
        }
    }
    return r;
}

/* ---- what follows from the values ---- */

static char *join_url(const struct srs_ingest *s, const char *base, const char *key)
{
    size_t len = strlen(base);
    const char *app = s->app;
    while (len > 0 && base[len - 1] == '/') {
        len--;
    }
    while (*app == '/') {
        app++;
    }
    size_t app_len = strlen(app);
    while (app_len > 0 && app[app_len - 1] == '/') {
        app_len--;
    }
    return mem_printf("%.*s/%.*s%s%s", (int)len, base, (int)app_len, app, key ? "/" : "",
                      key ? key : "");
}

char *srs_ingest_publish_url(const struct srs_ingest *s, bool redacted)
{
    _cleanup_free_ char *base = redacted ? url_redact(s->rtmp_url, URL_MASK_KEYS) : NULL;
    return join_url(s, base ? base : s->rtmp_url, redacted ? "***" : s->stream_key);
}

char *srs_ingest_server(const struct srs_ingest *s)
{
    return join_url(s, s->rtmp_url, NULL);
}

struct obs_connection broadcast_request_obs(const struct broadcast_request *r)
{
    return (struct obs_connection){
        .host = r->obs_host,
        .port = r->obs_port,
        .password = r->obs_password,
        .secure = r->obs_secure,
        .timeout_ns = 10 * NS_PER_S,
    };
}

const char *broadcast_warning_text(enum broadcast_warning w)
{
    static const char *const texts[] = {
        [BROADCAST_WARN_EXTERNAL] =
            "source_kind external is deprecated: it is called rtmp_external",
        [BROADCAST_WARN_FLAT] = "the flat fields (video_port, audio_port, mountpoint_id...) are "
                                "deprecated: they have become mountpoint_spec",
        [BROADCAST_WARN_FLAT_IGNORED] = "video_* and audio_* were not looked at: "
                                        "mountpoint_spec.media says it, or there is no port",
        [BROADCAST_WARN_SECRET_VISIBLE] = "gst-launch takes its pipeline as arguments: who may see "
                                          "the process sees the secrets in it",
    };
    return texts[w];
}
