/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One model of each seed as tables, for the tests of the binder and its fuzzers. Field names, defaults and bounds are
 * those of the seeds; the services' own tables come with the services.
 */
#include "base/model.h"

#include <errno.h>
#include <stdio.h>

/* ---- seed 002: Transmission and its outputs (extra fields kept) ---- */

enum placeholder {
    PLACEHOLDER_GRAY,
    PLACEHOLDER_BLACK,
};
enum arbitration {
    ARBITRATION_LATEST,
    ARBITRATION_PRIORITY_LATEST,
};
enum output_protocol {
    OUTPUT_HLS,
    OUTPUT_RTSP,
    OUTPUT_WEBRTC,
};
enum latency_profile {
    LATENCY_NORMAL,
    LATENCY_LOW,
    LATENCY_ULTRA_LOW,
};
enum role {
    ROLE_CUSTOM,
    ROLE_MAIN,
    ROLE_SUB,
    ROLE_ZOOM,
};

struct resolution {
    int width;
    int height;
};
struct output_auth {
    bool enabled;
    char *username;
    char *password;
};
struct output {
    char *id;
    enum output_protocol protocol;
    bool enabled;
    struct resolution *resolution;
    int fps_limit;
    int bitrate_kbps;
    enum latency_profile latency_profile;
    char *quality_profile_id;
    struct output_auth *authentication;
    char *extra;
    struct model_present present;
};
struct camera_controls {
    bool enabled;
    char *camera_id;
    char *camera_source_id;
};
struct transmission {
    char *id;
    char *name;
    bool enabled;
    char *host_server_id;
    char *path;
    enum placeholder placeholder;
    enum arbitration arbitration;
    enum role role;
    double stale_after_seconds;
    struct camera_controls camera_controls;
    MODEL_ARRAY(struct output) outputs;
    MODEL_ARRAY(char *) allowed_cidrs;
    int64_t created_at;
    int64_t updated_at;
    char *extra;
};

static const struct model_enum placeholder_names[] = {
    {"gray", PLACEHOLDER_GRAY}, {"grey", PLACEHOLDER_GRAY}, {"black", PLACEHOLDER_BLACK}, {0}};
static const struct model_enum arbitration_names[] = {
    {"latest", ARBITRATION_LATEST}, {"priority_latest", ARBITRATION_PRIORITY_LATEST}, {0}};
static const struct model_enum output_protocol_names[] = {
    {"hls", OUTPUT_HLS}, {"rtsp", OUTPUT_RTSP}, {"webrtc", OUTPUT_WEBRTC}, {0}};
static const struct model_enum latency_names[] = {
    {"normal", LATENCY_NORMAL}, {"low", LATENCY_LOW}, {"ultra_low", LATENCY_ULTRA_LOW}, {0}};
/* The value map of publications: what thumbnails and full screens ask for. */
static const struct model_enum role_names[] = {{"custom", ROLE_CUSTOM}, {"main", ROLE_MAIN},
                                               {"sub", ROLE_SUB},       {"zoom", ROLE_ZOOM},
                                               {"thumbnail", ROLE_SUB}, {"pip", ROLE_SUB},
                                               {"large", ROLE_MAIN},    {"fullscreen", ROLE_MAIN},
                                               {"ptz", ROLE_MAIN},      {0}};

static const struct model_field resolution_fields[] = {
    MODEL_INT(struct resolution, width, .required = true, .min = 1, .max = 7680),
    MODEL_INT(struct resolution, height, .required = true, .min = 1, .max = 4320),
};
static const struct model resolution_model =
    MODEL("Resolution", struct resolution, resolution_fields);

static const struct model_field output_auth_fields[] = {
    MODEL_BOOL(struct output_auth, enabled, .def = "false"),
    MODEL_STRING(struct output_auth, username, .nullable = true, .trim = true, .empty_null = true),
    MODEL_STRING(struct output_auth, password, .nullable = true, .secret = MODEL_SECRET_SEALED),
};
static const struct model output_auth_model =
    MODEL("OutputAuthentication", struct output_auth, output_auth_fields);

static const struct model_field output_fields[] = {
    MODEL_STRING(struct output, id, .max = 64, .format = "uuid"),
    MODEL_ENUM(struct output, protocol, output_protocol_names, .required = true),
    MODEL_BOOL(struct output, enabled, .def = "true"),
    MODEL_OPT(struct output, resolution, &resolution_model, .nullable = true),
    MODEL_INT(struct output, fps_limit, .nullable = true, .min = 1, .max = 120),
    MODEL_INT(struct output, bitrate_kbps, .nullable = true, .min = 64, .max = 250000),
    MODEL_ENUM(struct output, latency_profile, latency_names, .def = "normal"),
    MODEL_STRING(struct output, quality_profile_id, .nullable = true),
    MODEL_OPT(struct output, authentication, &output_auth_model, .nullable = true),
};
static const struct model output_model =
    MODEL("TransmissionOutput", struct output, output_fields, .unknown = MODEL_KEEP,
          .extra_at = MODEL_EXTRA(struct output, extra),
          .present_at = MODEL_PRESENT(struct output, present));

static int check_controls(void *obj, struct error *err)
{
    const struct camera_controls *c = obj;
    return c->enabled && !c->camera_id
               ? error_set(err, -EINVAL, "camera_id", "is required when controls are enabled")
               : 0;
}

static const struct model_field camera_controls_fields[] = {
    MODEL_BOOL(struct camera_controls, enabled, .def = "false"),
    MODEL_STRING(struct camera_controls, camera_id, .nullable = true, .trim = true,
                 .empty_null = true),
    MODEL_STRING(struct camera_controls, camera_source_id, .nullable = true),
};
static const struct model camera_controls_model = MODEL(
    "CameraControls", struct camera_controls, camera_controls_fields, .check = check_controls);

static int check_output_ids(void *obj, struct error *err)
{
    const struct transmission *t = obj;
    for (size_t i = 0; i < t->outputs.len; i++) {
        for (size_t k = i + 1; k < t->outputs.len; k++) {
            const char *a = t->outputs.items[i].id;
            const char *b = t->outputs.items[k].id;
            if (a && b && strcmp(a, b) == 0) {
                return error_set(err, -EINVAL, "outputs", "has two outputs with the id %s", a);
            }
        }
    }
    return 0;
}

static const struct model_field transmission_fields[] = {
    MODEL_STRING(struct transmission, id, .max = 64, .read_only = true,
                 .doc = "Given by the server"),
    MODEL_STRING(struct transmission, name, .def = "", .trim = true, .max = 200,
                 .doc = "What people call it"),
    MODEL_BOOL(struct transmission, enabled, .def = "true"),
    MODEL_STRING(struct transmission, host_server_id, .def = "local", .trim = true, .lower = true,
                 .max = 64),
    MODEL_STRING(struct transmission, path, .max = 200),
    MODEL_ENUM(struct transmission, placeholder, placeholder_names, .def = "gray"),
    MODEL_ENUM(struct transmission, arbitration, arbitration_names, .def = "priority_latest"),
    MODEL_ENUM(struct transmission, role, role_names, .def = "custom", .lenient = true),
    MODEL_DOUBLE(struct transmission, stale_after_seconds, .def = "3", .fmin = 0.1, .fmax = 300),
    MODEL_STRUCT(struct transmission, camera_controls, &camera_controls_model),
    MODEL_LIST_STRUCT(struct transmission, outputs, &output_model, .max = 64),
    MODEL_LIST_STRING(struct transmission, allowed_cidrs, .comma = true, .trim = true,
                      .unique = true, .max = 256),
    MODEL_TIME(struct transmission, created_at, .read_only = true),
    MODEL_TIME(struct transmission, updated_at, .read_only = true),
};
static const struct model transmission_model =
    MODEL("Transmission", struct transmission, transmission_fields, .unknown = MODEL_KEEP,
          .extra_at = MODEL_EXTRA(struct transmission, extra), .check = check_output_ids,
          .doc = "What one camera or pipeline publishes");

/* ---- seeds 000 and 001: MountPoint with tracks as a tagged union, BroadcastRequest ---- */

enum track_type {
    TRACK_VIDEO,
    TRACK_AUDIO,
    TRACK_DATA,
};
struct rtp_track {
    int pt;
    char *codec;
    char *fmtp;
};
struct data_track {
    char *datatype;
    bool databuffermsg;
};
struct track {
    enum track_type type;
    char *mid;
    uint16_t port;
    union {
        struct rtp_track rtp; /* video and audio */
        struct data_track data;
    };
};

static const struct model_enum track_type_names[] = {
    {"video", TRACK_VIDEO}, {"audio", TRACK_AUDIO}, {"data", TRACK_DATA}, {0}};
static const struct model_field rtp_track_fields[] = {
    MODEL_INT(struct rtp_track, pt, .required = true, .min = 0, .max = 127),
    MODEL_STRING(struct rtp_track, codec, .required = true, .max = 16),
    MODEL_STRING(struct rtp_track, fmtp, .max = 512),
};
static const struct model rtp_track_model = MODEL("RtpTrack", struct rtp_track, rtp_track_fields);
static const struct model_field data_track_fields[] = {
    MODEL_STRING(struct data_track, datatype, .def = "text", .aliases = "data_type"),
    MODEL_BOOL(struct data_track, databuffermsg, .def = "false",
               .aliases = "buffer_latest_message"),
};
static const struct model data_track_model =
    MODEL("DataTrack", struct data_track, data_track_fields);
static const struct model_field track_fields[] = {
    MODEL_ENUM(struct track, type, track_type_names, .required = true),
    MODEL_STRING(struct track, mid, .max = 32),
    MODEL_INT(struct track, port, .required = true, .min = 1),
};
static const struct model_variant track_variants[] = {
    MODEL_VARIANT(TRACK_VIDEO, struct track, rtp, &rtp_track_model),
    MODEL_VARIANT(TRACK_AUDIO, struct track, rtp, &rtp_track_model),
    MODEL_VARIANT(TRACK_DATA, struct track, data, &data_track_model),
    MODEL_VARIANTS_END,
};
static const struct model track_model =
    MODEL("Track", struct track, track_fields, .tag = "type", .variants = track_variants);

enum mountpoint_type {
    MOUNTPOINT_RTP,
    MOUNTPOINT_LIVE,
    MOUNTPOINT_ONDEMAND,
    MOUNTPOINT_RTSP,
};
struct mountpoint {
    struct model_id id;
    enum mountpoint_type type;
    char *description;
    bool enabled;
    bool is_private;
    char *secret;
    char *pin;
    char *url;
    char *rtsp_pwd;
    MODEL_ARRAY(struct track) media;
    char *extra;
};
static const struct model_enum mountpoint_type_names[] = {{"rtp", MOUNTPOINT_RTP},
                                                          {"live", MOUNTPOINT_LIVE},
                                                          {"ondemand", MOUNTPOINT_ONDEMAND},
                                                          {"rtsp", MOUNTPOINT_RTSP},
                                                          {0}};
static const struct model_field mountpoint_fields[] = {
    MODEL_ID(struct mountpoint, id, .max = 64,
             .doc = "A number, or a text when Janus uses string ids"),
    MODEL_ENUM(struct mountpoint, type, mountpoint_type_names, .def = "rtp"),
    MODEL_STRING(struct mountpoint, description),
    MODEL_BOOL(struct mountpoint, enabled, .def = "true"),
    MODEL_BOOL(struct mountpoint, is_private, .def = "false"),
    MODEL_STRING(struct mountpoint, secret, .secret = MODEL_SECRET_SEALED),
    MODEL_STRING(struct mountpoint, pin, .secret = MODEL_SECRET_SEALED),
    MODEL_STRING(struct mountpoint, url, .mask = MODEL_MASK_URL),
    MODEL_STRING(struct mountpoint, rtsp_pwd, .secret = MODEL_SECRET_SEALED),
    MODEL_LIST_STRUCT(struct mountpoint, media, &track_model, .max = 32),
    MODEL_RAW(struct mountpoint, extra, .max = 4096, .doc = "Sent to Janus as it is"),
};
static const struct model mountpoint_model =
    MODEL("MountPoint", struct mountpoint, mountpoint_fields);

enum source_kind {
    SOURCE_VIDEOROOM,
    SOURCE_OBS,
    SOURCE_RTMP_EXTERNAL,
    SOURCE_RTSP_CAMERA,
    SOURCE_FRONTEND_OWNED,
    SOURCE_BROWSER_WEBRTC,
};
enum relay_kind {
    RELAY_NONE,
    RELAY_FFMPEG,
    RELAY_GSTREAMER,
};
struct srs_ingest {
    char *rtmp_url;
    char *app;
    char *stream_key;
};
struct broadcast_request {
    enum source_kind source_kind;
    enum relay_kind relay_kind;
    struct model_id room_id;
    struct model_id publisher_id;
    struct model_id mountpoint_id;
    bool create_mountpoint;
    bool owned_by_app;
    char *host;
    uint16_t video_port;
    uint16_t audio_port;
    int video_pt;
    int audio_pt;
    char *video_codec;
    char *audio_codec;
    char *obs_host;
    uint16_t obs_port;
    char *obs_password;
    bool obs_secure;
    struct srs_ingest *srs;
    struct mountpoint *mountpoint_spec;
    MODEL_DICT(char *) labels;
    struct model_present present;
};
static const struct model_enum source_kind_names[] = {
    {"videoroom", SOURCE_VIDEOROOM},           {"obs", SOURCE_OBS},
    {"rtmp_external", SOURCE_RTMP_EXTERNAL},   {"external", SOURCE_RTMP_EXTERNAL},
    {"rtsp_camera", SOURCE_RTSP_CAMERA},       {"frontend_owned", SOURCE_FRONTEND_OWNED},
    {"browser_webrtc", SOURCE_BROWSER_WEBRTC}, {0}};
static const struct model_enum relay_kind_names[] = {
    {"none", RELAY_NONE}, {"ffmpeg", RELAY_FFMPEG}, {"gstreamer", RELAY_GSTREAMER}, {0}};
static const struct model_field srs_ingest_fields[] = {
    MODEL_STRING(struct srs_ingest, rtmp_url, .required = true, .mask = MODEL_MASK_URL),
    MODEL_STRING(struct srs_ingest, app, .def = "live"),
    MODEL_STRING(struct srs_ingest, stream_key, .required = true, .secret = MODEL_SECRET_SEALED),
};
static const struct model srs_ingest_model =
    MODEL("SRSIngestSpec", struct srs_ingest, srs_ingest_fields);
static const struct model_field broadcast_request_fields[] = {
    MODEL_ENUM(struct broadcast_request, source_kind, source_kind_names, .required = true),
    MODEL_ENUM(struct broadcast_request, relay_kind, relay_kind_names, .def = "none"),
    MODEL_ID(struct broadcast_request, room_id, .nullable = true),
    MODEL_ID(struct broadcast_request, publisher_id, .nullable = true),
    MODEL_ID(struct broadcast_request, mountpoint_id, .nullable = true),
    MODEL_BOOL(struct broadcast_request, create_mountpoint, .def = "false"),
    MODEL_BOOL(struct broadcast_request, owned_by_app, .def = "true"),
    MODEL_STRING(struct broadcast_request, host, .def = "127.0.0.1"),
    MODEL_INT(struct broadcast_request, video_port, .nullable = true, .min = 1),
    MODEL_INT(struct broadcast_request, audio_port, .nullable = true, .min = 1),
    MODEL_INT(struct broadcast_request, video_pt, .def = "96", .min = 0, .max = 127),
    MODEL_INT(struct broadcast_request, audio_pt, .def = "111", .min = 0, .max = 127),
    MODEL_STRING(struct broadcast_request, video_codec, .def = "H264"),
    MODEL_STRING(struct broadcast_request, audio_codec, .def = "opus"),
    MODEL_STRING(struct broadcast_request, obs_host, .nullable = true),
    MODEL_INT(struct broadcast_request, obs_port, .def = "4455", .min = 1),
    MODEL_STRING(struct broadcast_request, obs_password, .nullable = true,
                 .secret = MODEL_SECRET_SEALED),
    MODEL_BOOL(struct broadcast_request, obs_secure, .def = "false"),
    MODEL_OPT(struct broadcast_request, srs, &srs_ingest_model, .nullable = true),
    MODEL_OPT(struct broadcast_request, mountpoint_spec, &mountpoint_model, .nullable = true),
    MODEL_MAP(struct broadcast_request, labels, MODEL_ITEM_STRING(.max = 64), .max = 16),
};
static const struct model broadcast_request_model =
    MODEL("BroadcastRequest", struct broadcast_request, broadcast_request_fields,
          .present_at = MODEL_PRESENT(struct broadcast_request, present));

/* ---- seed 003: start of a room stream ---- */

enum audio_codec {
    AUDIO_AAC,
    AUDIO_MP3,
    AUDIO_OPUS,
};
struct room_stream_start {
    char *room_id;
    char *rtmp_output_url;
    char *background_video_url;
    char *fallback_image_url;
    enum audio_codec audio_codec;
    char *audio_bitrate;
};
static const struct model_enum audio_codec_names[] = {
    {"aac", AUDIO_AAC}, {"mp3", AUDIO_MP3}, {"opus", AUDIO_OPUS}, {0}};

static int check_not_blank(const void *member, struct error *err)
{
    const char *s = *(char *const *)member;
    return s && !*s ? error_set(err, -EINVAL, NULL, "must not be blank") : 0;
}

static const struct model_field room_stream_start_fields[] = {
    MODEL_STRING(struct room_stream_start, room_id, .key = "roomId", .required = true, .min = 36,
                 .max = 36, .format = "uuid"),
    MODEL_STRING(struct room_stream_start, rtmp_output_url, .key = "rtmpOutputUrl",
                 .aliases = "rtmpUrl", .required = true, .max = 2048, .mask = MODEL_MASK_URL_KEY,
                 .secret = MODEL_SECRET_SEALED, .check = check_not_blank),
    MODEL_STRING(struct room_stream_start, background_video_url, .key = "backgroundVideoUrl",
                 .max = 2048, .mask = MODEL_MASK_URL),
    MODEL_STRING(struct room_stream_start, fallback_image_url, .key = "fallbackImageUrl",
                 .aliases = "backgroundImageUrl", .max = 2048, .mask = MODEL_MASK_URL),
    MODEL_ENUM(struct room_stream_start, audio_codec, audio_codec_names, .key = "audioCodec",
               .def = "aac"),
    MODEL_STRING(struct room_stream_start, audio_bitrate, .key = "audioBitrate", .def = "128k"),
};
static const struct model room_stream_start_model =
    MODEL("StartRoomStreamRequest", struct room_stream_start, room_stream_start_fields);

/* ---- seed 004: a live input, as its clients read it ---- */

enum input_status {
    INPUT_IDLE,
    INPUT_LIVE,
    INPUT_ERRORED,
};
enum ingest_kind {
    INGEST_FMP4,
    INGEST_WHIP,
    INGEST_RTMP,
    INGEST_SRT,
};
struct live_input {
    char *id;
    char *external_input_id;
    char *name;
    enum input_status status;
    enum ingest_kind ingest;
    int64_t created_at;
    int64_t expires_at; /* Unix seconds, exact */
    char *stream_key;
};
static const struct model_enum input_status_names[] = {
    {"idle", INPUT_IDLE}, {"live", INPUT_LIVE}, {"errored", INPUT_ERRORED}, {0}};
static const struct model_enum ingest_kind_names[] = {
    {"fmp4", INGEST_FMP4}, {"whip", INGEST_WHIP}, {"rtmp", INGEST_RTMP}, {"srt", INGEST_SRT}, {0}};
static const struct model_field live_input_fields[] = {
    MODEL_STRING(struct live_input, id, .required = true),
    MODEL_STRING(struct live_input, external_input_id, .required = true),
    MODEL_STRING(struct live_input, name, .required = true),
    MODEL_ENUM(struct live_input, status, input_status_names, .required = true),
    MODEL_ENUM(struct live_input, ingest, ingest_kind_names, .def = "fmp4"),
    MODEL_TIME(struct live_input, created_at, .key = "createdAt"),
    MODEL_INT(struct live_input, expires_at),
    MODEL_STRING(struct live_input, stream_key, .key = "stream_key_cleartext",
                 .secret = MODEL_SECRET_HASHED),
};
static const struct model live_input_model =
    MODEL("LiveInput", struct live_input, live_input_fields, .unknown = MODEL_IGNORE);

/* ---- a configuration with a tagged source union, as mast.yml has them ---- */

enum cfg_source_kind {
    CFG_SOURCE_NONE,
    CFG_SOURCE_RTSP,
    CFG_SOURCE_FILE,
};
struct cfg_rtsp {
    char *url;
    int64_t timeout_ns;
    bool tcp;
};
struct cfg_file {
    char *path;
    bool loop;
};
struct cfg_source {
    enum cfg_source_kind kind;
    union {
        struct cfg_rtsp rtsp;
        struct cfg_file file;
    };
};
struct cfg_stream {
    struct cfg_source source;
    uint64_t history_bytes;
};
struct cfg_rtmp {
    bool enabled;
    char *address;
    uint16_t port;
    int64_t linger_ns;
};
struct cfg {
    struct cfg_rtmp rtmp;
    MODEL_ARRAY(char *) allowed_origins;
    MODEL_ARRAY(uint16_t) ports;
    MODEL_DICT(struct cfg_stream) streams;
    struct cfg_source test_source;
    int64_t big;
    char *note;
};
static const struct model_enum cfg_source_kind_names[] = {
    {"none", CFG_SOURCE_NONE}, {"rtsp", CFG_SOURCE_RTSP}, {"file", CFG_SOURCE_FILE}, {0}};
static const struct model_field cfg_rtsp_fields[] = {
    MODEL_STRING(struct cfg_rtsp, url, .required = true, .mask = MODEL_MASK_URL),
    MODEL_DURATION(struct cfg_rtsp, timeout_ns, .key = "timeout", .def = "10s", .min = 100000000,
                   .max = 600000000000),
    MODEL_BOOL(struct cfg_rtsp, tcp, .def = "true"),
};
static const struct model cfg_rtsp_model = MODEL("RtspSource", struct cfg_rtsp, cfg_rtsp_fields);
static const struct model_field cfg_file_fields[] = {
    MODEL_STRING(struct cfg_file, path, .required = true),
    MODEL_BOOL(struct cfg_file, loop, .def = "false"),
};
static const struct model cfg_file_model = MODEL("FileSource", struct cfg_file, cfg_file_fields);
static const struct model_field cfg_source_fields[] = {
    MODEL_ENUM(struct cfg_source, kind, cfg_source_kind_names, .def = "none"),
};
static const struct model_variant cfg_source_variants[] = {
    MODEL_VARIANT(CFG_SOURCE_RTSP, struct cfg_source, rtsp, &cfg_rtsp_model),
    MODEL_VARIANT(CFG_SOURCE_FILE, struct cfg_source, file, &cfg_file_model),
    MODEL_VARIANTS_END,
};
static const struct model cfg_source_model = MODEL("Source", struct cfg_source, cfg_source_fields,
                                                   .tag = "kind", .variants = cfg_source_variants);
static const struct model_field cfg_stream_fields[] = {
    MODEL_STRUCT(struct cfg_stream, source, &cfg_source_model),
    MODEL_SIZE(struct cfg_stream, history_bytes, .key = "history", .def = "16MiB", .min = 65536,
               .max = 1 << 30),
};
static const struct model cfg_stream_model = MODEL("Stream", struct cfg_stream, cfg_stream_fields);
static const struct model_field cfg_rtmp_fields[] = {
    MODEL_BOOL(struct cfg_rtmp, enabled, .def = "true", .doc = "Whether RTMP is spoken at all"),
    MODEL_STRING(struct cfg_rtmp, address, .def = "127.0.0.1", .doc = "Where to listen"),
    MODEL_INT(struct cfg_rtmp, port, .def = "1935", .min = 1, .doc = "The port for RTMP"),
    MODEL_DURATION(struct cfg_rtmp, linger_ns, .key = "linger", .def = "10s"),
};
static const struct model cfg_rtmp_model = MODEL("RtmpConfig", struct cfg_rtmp, cfg_rtmp_fields);
static const struct model_field cfg_fields[] = {
    MODEL_STRUCT(struct cfg, rtmp, &cfg_rtmp_model, .restart = true),
    MODEL_LIST_STRING(struct cfg, allowed_origins, .comma = true, .trim = true, .max = 8),
    MODEL_LIST(struct cfg, ports, MODEL_ITEM_INT(uint16_t, .min = 1), .def = "8554,8555", .max = 4),
    MODEL_MAP(struct cfg, streams, MODEL_ITEM_STRUCT(struct cfg_stream, &cfg_stream_model),
              .max = 100),
    MODEL_STRUCT(struct cfg, test_source, &cfg_source_model),
    MODEL_INT(struct cfg, big),
    MODEL_STRING(struct cfg, note, .nullable = true),
};
static const struct model cfg_model = MODEL("Config", struct cfg, cfg_fields);
