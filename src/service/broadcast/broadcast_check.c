/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request must hold before anything is done for it. Two tables say it: which relays serve which source, and what each
 * source and relay needs. In front of them the request is brought into one form; after them comes what Janus must not be
 * sent (specs/janus-obs-reference.md 0 and 1.7), which peer/janus knows.
 */
#include "service/broadcast/broadcast_check.h"

#include "base/mem.h"
#include "peer/ffmpeg/ffmpeg.h"
#include "peer/gstreamer/gstreamer.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define R_MODEL (&broadcast_request_model)
#define T_MODEL (&janus_track_model)
#define BIT(x)  (1u << (x))
#define ALL     (~0u)

/* ---- the tables ---- */

#define CHILDREN (BIT(BROADCAST_RELAY_FFMPEG) | BIT(BROADCAST_RELAY_GSTREAMER))
#define ANY_LINE (CHILDREN | BIT(BROADCAST_RELAY_BUILTIN))
#define NO_RELAY BIT(BROADCAST_RELAY_NONE)

static const struct source_row {
    unsigned relays;
    enum broadcast_relay relay; /* when none is named */
    const char *why;            /* another one cannot be */
} sources[BROADCAST_SOURCE_N] = {
    [BROADCAST_VIDEOROOM] = {NO_RELAY, BROADCAST_RELAY_NONE,
                             "must be none: Janus forwards by itself"},
    [BROADCAST_OBS] = {ANY_LINE, BROADCAST_RELAY_BUILTIN, "must be builtin, ffmpeg or gstreamer"},
    [BROADCAST_RTMP_EXTERNAL] = {ANY_LINE, BROADCAST_RELAY_BUILTIN,
                                 "must be builtin, ffmpeg or gstreamer"},
    [BROADCAST_RTSP_CAMERA] = {CHILDREN, BROADCAST_RELAY_FFMPEG, "must be ffmpeg or gstreamer"},
    [BROADCAST_FRONTEND_OWNED] = {NO_RELAY, BROADCAST_RELAY_NONE,
                                  "must be none: the front end brings the media"},
    [BROADCAST_BROWSER_WEBRTC] = {NO_RELAY, BROADCAST_RELAY_NONE,
                                  "must be none: Janus forwards by itself"},
    [BROADCAST_STREAM] = {ANY_LINE, BROADCAST_RELAY_BUILTIN,
                          "must be builtin, ffmpeg or gstreamer"},
};

#define ROOMS   (BIT(BROADCAST_VIDEOROOM) | BIT(BROADCAST_BROWSER_WEBRTC))
#define INGESTS (BIT(BROADCAST_OBS) | BIT(BROADCAST_RTMP_EXTERNAL))

static bool has_room(const struct broadcast_request *r)
{
    return r->room_id.kind != MODEL_ID_NONE || r->room_spec;
}

static bool has_room_id(const struct broadcast_request *r)
{
    return r->room_id.kind != MODEL_ID_NONE;
}

static bool has_publisher(const struct broadcast_request *r)
{
    return r->publisher_id.kind != MODEL_ID_NONE || r->publisher_display;
}

static bool has_target(const struct broadcast_request *r)
{
    return r->srs || r->stream;
}

static bool has_input(const struct broadcast_request *r)
{
    return has_target(r) || r->input_url;
}

static bool has_camera(const struct broadcast_request *r)
{
    return r->rtsp_camera || r->input_url;
}

static bool has_stream(const struct broadcast_request *r)
{
    return r->stream != NULL;
}

static bool has_mountpoint(const struct broadcast_request *r)
{
    return r->mountpoint_spec != NULL;
}

static bool has_any_place(const struct broadcast_request *r)
{
    return has_room(r) || has_target(r) || r->mountpoint_spec;
}

static const struct need_row {
    unsigned sources, relays;
    const char *path;
    bool (*has)(const struct broadcast_request *r);
    const char *why;
} needs[] = {
    {BIT(BROADCAST_VIDEOROOM), ALL, "room_id", has_room_id, "is needed"},
    {BIT(BROADCAST_VIDEOROOM), ALL, "publisher_id", has_publisher,
     "is needed, or publisher_display"},
    {BIT(BROADCAST_BROWSER_WEBRTC), ALL, "room_id", has_room, "is needed, or room_spec"},
    {BIT(BROADCAST_OBS), CHILDREN, "srs", has_target,
     "is needed, or stream, as what OBS publishes to: this relay has no ingest"},
    {BIT(BROADCAST_RTMP_EXTERNAL), CHILDREN, "srs", has_input,
     "is needed, or stream or input_url: this relay has no ingest"},
    {BIT(BROADCAST_RTSP_CAMERA), ALL, "rtsp_camera", has_camera, "is needed, or input_url"},
    {BIT(BROADCAST_STREAM), ALL, "stream", has_stream, "is needed"},
    {BIT(BROADCAST_FRONTEND_OWNED), ALL, "room_id", has_any_place,
     "is needed, or room_spec, srs, stream or mountpoint_spec: there is nowhere to publish to"},
    {ALL & ~BIT(BROADCAST_FRONTEND_OWNED), ALL, "mountpoint_spec", has_mountpoint, "is needed"},
};

/* ---- the relay ---- */

bool broadcast_request_relay_given(const struct broadcast_request *r)
{
    return MODEL_HAS(R_MODEL, r, relay_kind);
}

/* Our own player knows RTMP; everything else is ffmpeg's. */
static bool builtin_reads(const struct broadcast_request *r)
{
    return !r->input_url || strncasecmp(r->input_url, "rtmp://", 7) == 0 ||
           strncasecmp(r->input_url, "rtmps://", 8) == 0;
}

enum broadcast_relay broadcast_request_relay(const struct broadcast_request *r)
{
    if (broadcast_request_relay_given(r)) {
        return r->relay_kind;
    }
    const struct source_row *row = &sources[r->source_kind];
    if (r->gstreamer_pipeline && (row->relays & BIT(BROADCAST_RELAY_GSTREAMER))) {
        return BROADCAST_RELAY_GSTREAMER;
    }
    return row->relay == BROADCAST_RELAY_BUILTIN && !builtin_reads(r) ? BROADCAST_RELAY_FFMPEG
                                                                      : row->relay;
}

/*
 * All that gst-launch reads by a URL, which is among its arguments: RTMP has the key in it, a stream here a grant. Only a camera may
 * need no secret.
 */
static bool shows_secret(const struct broadcast_request *r)
{
    const struct rtsp_camera *c = r->rtsp_camera;
    bool camera = r->source_kind == BROADCAST_RTSP_CAMERA && !r->gstreamer_pipeline &&
                  !r->input_url && c && c->url;
    return !camera || c->username || c->password || strpbrk(c->url, "@?");
}

static int check_relay(struct broadcast_request *r, struct error *err)
{
    enum broadcast_relay relay = broadcast_request_relay(r);
    const struct source_row *row = &sources[r->source_kind];
    if (!(row->relays & BIT(relay))) {
        return error_set(err, -EINVAL, "relay_kind", "%s", row->why);
    }
    if (relay == BROADCAST_RELAY_BUILTIN && !builtin_reads(r)) {
        return error_set(err, -EINVAL, "relay_kind",
                         "must be ffmpeg or gstreamer for this input_url: builtin reads RTMP");
    }
    if (r->source_kind != BROADCAST_STREAM && r->stream && strchr(r->stream, '~')) {
        return error_set(err, -EINVAL, "stream",
                         "is a derived one: nothing can be published there");
    }
    if (relay == BROADCAST_RELAY_NONE && r->input_url) {
        return error_set(err, -EINVAL, "input_url", "is read by no relay of this source");
    }
    if (relay != BROADCAST_RELAY_GSTREAMER && r->gstreamer_pipeline) {
        return error_set(err, -EINVAL, "gstreamer_pipeline", "needs relay_kind gstreamer");
    }
    if (r->copy_video && (!(CHILDREN & BIT(relay)) || r->gstreamer_pipeline)) {
        return error_set(err, -EINVAL, "copy_video",
                         "is for what relays ffmpeg and gstreamer encode otherwise");
    }
    if (relay == BROADCAST_RELAY_GSTREAMER && shows_secret(r)) {
        r->warnings |= BIT(BROADCAST_WARN_SECRET_VISIBLE);
    }
    return 0;
}

static int check_needs(const struct broadcast_request *r, struct error *err)
{
    enum broadcast_relay relay = broadcast_request_relay(r);
    for (size_t i = 0; i < ARRAY_LEN(needs); i++) {
        const struct need_row *n = &needs[i];
        if ((n->sources & BIT(r->source_kind)) && (n->relays & BIT(relay)) && !n->has(r)) {
            return error_set(err, -EINVAL, n->path, "%s", n->why);
        }
    }
    return 0;
}

/* ---- the mountpoint and the room ---- */

/* extra is laid over what was checked: it adds what we do not know, it does not change what we do. */
static bool is_listed(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = list; at && *at; at += *at == ',') {
        size_t n = strcspn(at, ",");
        if (n == len && strncmp(at, word, n) == 0) {
            return true;
        }
        at += n;
    }
    return false;
}

static bool model_knows(const struct model *m, const char *key)
{
    for (size_t i = 0; i < m->n_fields; i++) {
        if (strcmp(model_key(&m->fields[i]), key) == 0 || is_listed(m->fields[i].aliases, key)) {
            return true;
        }
    }
    return strcmp(key, "request") == 0;
}

static int check_extra(const struct model *m, const char *extra, const char *where,
                       struct error *err)
{
    json_t *o = extra ? json_loads(extra, JSON_REJECT_DUPLICATES, NULL) : NULL;
    int bad = 0;
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(o, key, value)
    {
        if (bad == 0 && (model_knows(m, key) || broadcast_is_secret_key(key))) {
            char path[96];
            snprintf(path, sizeof(path), "%.50sextra.%.32s", where, key);
            bad = error_set(err, -EINVAL, path, "must not be here: what has a field is checked");
        }
    }
    json_decref(o);
    return bad;
}

static int check_extras(const struct broadcast_request *r, struct error *err)
{
    const struct janus_mountpoint *m = r->mountpoint_spec;
    int bad = m ? check_extra(&janus_mountpoint_model, m->extra, "mountpoint_spec.", err) : 0;
    for (size_t i = 0; bad == 0 && m && i < m->media.len; i++) {
        char where[48];
        snprintf(where, sizeof(where), "mountpoint_spec.media[%zu].", i);
        bad = check_extra(T_MODEL, m->media.items[i].extra, where, err);
    }
    return bad == 0 && r->room_spec
               ? check_extra(&janus_room_model, r->room_spec->extra, "room_spec.", err)
               : bad;
}

/* Nobody tells us the ports of a mountpoint that has no id. */
static int check_existing(const struct janus_mountpoint *m, struct error *err)
{
    static const char why[] = "is needed when create_mountpoint is false";
    if (m->id.kind != MODEL_ID_NONE) {
        return 0;
    }
    if (m->media.len == 0) {
        return error_set(err, -EINVAL, "id", "%s, or media with ports", why);
    }
    for (size_t i = 0; i < m->media.len; i++) {
        const struct janus_track *t = &m->media.items[i];
        const char *lacks = t->port == 0                    ? "port"
                            : t->simulcast && t->port2 == 0 ? "port2"
                            : t->simulcast && t->port3 == 0 ? "port3"
                                                            : NULL;
        if (lacks) {
            char where[48];
            snprintf(where, sizeof(where), "media[%zu].%s", i, lacks);
            return error_set(err, -EINVAL, where, "%s and mountpoint_spec.id absent", why);
        }
    }
    return 0;
}

/* Which codecs a relay makes is for its folder to say. */
static bool relay_makes(enum broadcast_relay relay, const struct janus_track *t)
{
    enum track_kind kind = t->type == JANUS_VIDEO ? TRACK_VIDEO : TRACK_AUDIO;
    struct ffmpeg_spec f = {.input = FFMPEG_TEST, .n_outputs = 1};
    struct gstreamer_spec g = {.input = GSTREAMER_TEST, .n_outputs = 1};
    struct gstreamer_command command = {0};
    f.outputs[0] = (struct ffmpeg_output){.kind = kind, .host = "127.0.0.1", .port = 5004};
    g.outputs[0] = (struct gstreamer_output){.kind = kind, .host = "127.0.0.1", .port = 5004};
    snprintf(f.outputs[0].codec, sizeof(f.outputs[0].codec), "%s", t->codec);
    snprintf(g.outputs[0].codec, sizeof(g.outputs[0].codec), "%s", t->codec);
    if (relay == BROADCAST_RELAY_FFMPEG) {
        return ffmpeg_spec_check(&f, NULL) == 0;
    }
    if (relay == BROADCAST_RELAY_GSTREAMER) {
        bool made = gstreamer_command_make(&g, &command, NULL) == 0;
        gstreamer_command_done(&command);
        return made;
    }
    return true; /* builtin: the stream will say what it carries */
}

static bool reads_rtsp(const struct broadcast_request *r)
{
    return r->input_url ? strncasecmp(r->input_url, "rtsp", 4) == 0
                        : r->source_kind == BROADCAST_RTSP_CAMERA;
}

static int check_line(const struct broadcast_request *r, const struct janus_track *t,
                      struct error *err)
{
    enum broadcast_relay relay = broadcast_request_relay(r);
    const char *name = model_enum_name(broadcast_relay_names, relay);
    if (relay == BROADCAST_RELAY_GSTREAMER && t->mindex > 0 && reads_rtsp(r)) {
        return error_set(err, -EINVAL, "mindex",
                         "must be 0: gstreamer cannot count a camera's tracks, relay ffmpeg can");
    }
    if (t->type == JANUS_DATA) {
        return error_set(err, -EINVAL, "type", "must be audio or video: relay %s has no data",
                         name);
    }
    if (t->simulcast) {
        return error_set(err, -EINVAL, "simulcast", "must be false: relay %s sends one layer",
                         name);
    }
    return !t->codec || relay_makes(relay, t)
               ? 0
               : error_set(err, -EINVAL, "codec", "is none that relay %s makes: %s", name,
                           t->codec);
}

/* What a relay can send into a mountpoint. The caller's own pipeline is the caller's affair. */
static int check_lines(const struct broadcast_request *r, struct error *err)
{
    enum broadcast_relay relay = broadcast_request_relay(r);
    const struct janus_mountpoint *m = r->mountpoint_spec;
    if (relay == BROADCAST_RELAY_NONE || r->gstreamer_pipeline) {
        return 0;
    }
    if (m->srtpcrypto) {
        return error_set(err, -EINVAL, "srtpcrypto", "must not be here: relays send plain RTP");
    }
    if (m->media.len > FFMPEG_OUTPUTS_MAX) {
        return error_set(err, -EINVAL, "media", "must have at most %u tracks for a relay",
                         FFMPEG_OUTPUTS_MAX);
    }
    for (size_t i = 0; i < m->media.len; i++) {
        int bad = check_line(r, &m->media.items[i], err);
        if (bad < 0) {
            char where[48];
            snprintf(where, sizeof(where), "media[%zu]", i);
            error_prefix(err, where);
            return bad;
        }
    }
    return 0;
}

/*
 * Without either a viewer that comes between two key frames waits for the next one (reference 0.8 and 1.6): a publisher in
 * Janus is asked through the track's RTCP port, for the others Janus keeps the last key frame. The builtin relay sends its
 * reports to that port. What the caller says stays.
 */
static void add_feedback(const struct broadcast_request *r, struct janus_mountpoint *m)
{
    bool room = ROOMS & BIT(r->source_kind);
    bool builtin = broadcast_request_relay(r) == BROADCAST_RELAY_BUILTIN;
    for (size_t i = 0; i < m->media.len; i++) {
        struct janus_track *t = &m->media.items[i];
        bool video = t->type == JANUS_VIDEO;
        bool asks = builtin ? t->type != JANUS_DATA : room && video;
        if (asks && !MODEL_HAS(T_MODEL, t, rtcpport)) {
            MODEL_SET(T_MODEL, t, rtcpport, 0);
        }
        if (video && !room && !t->simulcast && !MODEL_HAS(T_MODEL, t, bufferkf)) {
            MODEL_SET(T_MODEL, t, bufferkf, true);
        }
    }
}

const char *broadcast_codec_fmtp(const char *codec)
{
    return strcmp(codec, "h264") == 0
               ? "packetization-mode=1;profile-level-id=42e01f;level-asymmetry-allowed=1"
           : strcmp(codec, "opus") == 0 ? "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1"
                                        : NULL;
}

static void default_track(struct janus_track *t, enum janus_media type, const char *codec)
{
    model_init(T_MODEL, t);
    t->type = type;
    t->codec = mem_strdup(codec);
    t->fmtp = mem_strdup(broadcast_codec_fmtp(codec));
}

/* Who names no tracks gets what most sources give and all browsers take. The ports are Janus' choice, or ours. */
static void default_media(struct janus_mountpoint *m)
{
    free(m->media.items);
    m->media.items = mem_new_array(struct janus_track, 2);
    m->media.len = 2;
    default_track(&m->media.items[0], JANUS_VIDEO, "h264");
    default_track(&m->media.items[1], JANUS_AUDIO, "opus");
}

static int check_mountpoint(struct broadcast_request *r, struct error *err)
{
    struct janus_mountpoint *m = r->mountpoint_spec;
    if (r->create_mountpoint && m->type == JANUS_MOUNTPOINT_RTP && m->media.len == 0) {
        default_media(m);
    }
    if (m->type != JANUS_MOUNTPOINT_RTP && r->source_kind != BROADCAST_FRONTEND_OWNED) {
        return error_set(err, -EINVAL, "type", "must be rtp: this source is sent to it");
    }
    int bad = r->create_mountpoint ? 0 : check_existing(m, err);
    if (bad == 0 && (r->create_mountpoint || m->media.len > 0)) {
        bad = janus_mountpoint_check(m, r->create_mountpoint, err);
    }
    bad = bad < 0 ? bad : check_lines(r, err);
    if (bad == 0 && r->create_mountpoint) {
        add_feedback(r, m);
    }
    return bad;
}

static int check_room(struct broadcast_request *r, struct error *err)
{
    int bad = 0;
    if (r->room_spec) {
        bad =
            broadcast_unite_ids(&r->room_spec->room, &r->room_id, "room_spec.room", "room_id", err);
        if (bad == 0) {
            bad = janus_room_check(r->room_spec, err);
            if (bad < 0) {
                error_prefix(err, "room_spec");
            }
        }
    }
    return bad;
}

int broadcast_request_check(struct broadcast_request *r, struct error *err)
{
    if (r->source_kind == BROADCAST_EXTERNAL) {
        r->source_kind = BROADCAST_RTMP_EXTERNAL;
        r->warnings |= BIT(BROADCAST_WARN_EXTERNAL);
    }
    int bad = broadcast_flat_map(r, err);
    bad = bad < 0 ? bad : check_relay(r, err);
    bad = bad < 0 ? bad : check_room(r, err);
    bad = bad < 0 ? bad : check_needs(r, err);
    bad = bad < 0 ? bad : check_extras(r, err);
    if (bad == 0 && r->mountpoint_spec) {
        bad = check_mountpoint(r, err);
        if (bad < 0) {
            error_prefix(err, "mountpoint_spec");
        }
    }
    return bad;
}
