/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/janus/janus_streaming_wire.h"

#include "base/mem.h"
#include "peer/janus/janus_body.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX   10000
#define VALUES_MAX 1000000

/* ---- requests ---- */

static void put_track(struct body o, const struct janus_track *t)
{
    const struct model *m = &janus_track_model;
    body_text(o, "type", model_enum_name(janus_media_names, t->type));
    BODY_TEXT(o, t, mid);
    BODY_TEXT(o, t, label);
    BODY_TEXT(o, t, msid);
    BODY_TEXT(o, t, mcast);
    BODY_TEXT(o, t, iface);
    body_int(o, "port", t->port); /* absent is 0: Janus chooses */
    BODY_INT(o, m, t, rtcpport);
    if (t->type == JANUS_DATA) {
        body_overlay(o, t->extra);
        return;
    }
    BODY_INT(o, m, t, pt);
    BODY_TEXT(o, t, codec);
    BODY_TEXT(o, t, fmtp);
    BODY_BOOL(o, m, t, skew);
    BODY_BOOL(o, m, t, bufferkf);
    BODY_BOOL(o, m, t, svc);
    if (t->simulcast) {
        body_bool(o, "simulcast", true);
        body_int(o, "port2", t->port2);
        body_int(o, "port3", t->port3);
    }
    body_overlay(o, t->extra);
}

/* Janus 1.1.2 reads what concerns data from the top of the request, and only from there. */
static void put_data(struct body o, const struct janus_track *t)
{
    body_text(o, "datatype", t->data_type ? t->data_type : "text");
    if (MODEL_HAS(&janus_track_model, t, buffer_latest_message)) {
        body_bool(o, "buffermsg", t->buffer_latest_message);
    }
}

static void put_media(struct body o, const struct janus_mountpoint *m)
{
    for (size_t i = 0; i < m->media.len; i++) {
        const struct janus_track *t = &m->media.items[i];
        struct body track = body_part(o);
        put_track(track, t);
        body_add_part(o, "media", track);
        if (t->type == JANUS_DATA) {
            put_data(o, t);
        }
    }
}

static const struct janus_track *first_track(const struct janus_mountpoint *m,
                                             enum janus_media type)
{
    for (size_t i = 0; i < m->media.len; i++) {
        if (m->media.items[i].type == type) {
            return &m->media.items[i];
        }
    }
    return NULL;
}

/* What Janus fetches itself still has the keys of before there were several tracks. No media: all that there is. */
static void put_fetched(struct body o, const struct janus_mountpoint *m)
{
    const struct janus_track *audio = first_track(m, JANUS_AUDIO);
    const struct janus_track *video = first_track(m, JANUS_VIDEO);
    body_bool(o, "audio", audio || m->media.len == 0);
    body_bool(o, "video", video || m->media.len == 0);
    if (audio) {
        body_text(o, "audiocodec", audio->codec);
        body_text(o, "audiofmtp", audio->fmtp);
        if (MODEL_HAS(&janus_track_model, audio, pt)) {
            body_int(o, "audiopt", audio->pt);
        }
        body_text(o, "rtspiface", audio->iface);
        body_overlay(o, audio->extra);
    }
    if (video) {
        body_text(o, "videocodec", video->codec);
        body_text(o, "videofmtp", video->fmtp);
        if (MODEL_HAS(&janus_track_model, video, pt)) {
            body_int(o, "videopt", video->pt);
        }
        body_text(o, "rtspiface", video->iface);
        body_bool(o, "videobufferkf", video->bufferkf);
        body_overlay(o, video->extra);
    }
}

static void put_rtsp(struct body o, const struct janus_mountpoint *m)
{
    const struct model *model = &janus_mountpoint_model;
    BODY_TEXT(o, m, url);
    BODY_TEXT(o, m, rtsp_user);
    BODY_TEXT(o, m, rtsp_pwd);
    BODY_INT(o, model, m, rtsp_timeout);
    BODY_INT(o, model, m, rtsp_conn_timeout);
    BODY_INT(o, model, m, rtsp_reconnect_delay);
    BODY_INT(o, model, m, rtsp_session_timeout);
    BODY_BOOL(o, model, m, rtsp_failcheck);
    BODY_BOOL(o, model, m, rtsp_quirk);
}

static const char *type_name(enum janus_mountpoint_type type)
{
    static const char *const names[] = {"rtp", "live", "ondemand", "rtsp"};
    return names[type];
}

char *janus_streaming_put_create(const struct janus_mountpoint *m, struct error *err)
{
    const struct model *model = &janus_mountpoint_model;
    struct body o = body_new("create", err);
    BODY_TEXT(o, m, admin_key);
    body_text(o, "type", type_name(m->type));
    body_id(o, "id", &m->id);
    BODY_TEXT(o, m, name);
    BODY_TEXT(o, m, description);
    BODY_TEXT(o, m, metadata);
    BODY_TEXT(o, m, secret);
    BODY_TEXT(o, m, pin);
    BODY_BOOL(o, model, m, is_private);
    BODY_BOOL(o, model, m, permanent);
    BODY_INT(o, model, m, collision);
    BODY_INT(o, model, m, threads);
    BODY_INT(o, model, m, srtpsuite);
    BODY_TEXT(o, m, srtpcrypto);
    BODY_BOOL(o, model, m, e2ee);
    BODY_BOOL(o, model, m, playoutdelay_ext);
    BODY_TEXT(o, m, filename);
    if (m->type == JANUS_MOUNTPOINT_RTP) {
        put_media(o, m);
    } else {
        put_fetched(o, m);
    }
    if (m->type == JANUS_MOUNTPOINT_RTSP) {
        put_rtsp(o, m);
    }
    body_overlay(o, m->extra);
    return body_take_text(o);
}

char *janus_streaming_put_simple(const char *request, const struct model_id *id, const char *secret,
                                 int permanent, struct error *err)
{
    struct body o = body_new(request, err);
    body_id(o, "id", id);
    body_text(o, "secret", secret);
    if (permanent >= 0) {
        body_bool(o, "permanent", permanent > 0);
    }
    if (strcmp(request, "disable") == 0) {
        /* Without it Janus 1.1.2 follows a null pointer, and the whole server is gone. */
        body_bool(o, "stop_recording", false);
    }
    return body_take_text(o);
}

char *janus_streaming_put_list(const char *admin_key, struct error *err)
{
    struct body o = body_new("list", err);
    body_text(o, "admin_key", admin_key);
    return body_take_text(o);
}

char *janus_streaming_put_edit(const struct model_id *id, const char *secret,
                               const struct janus_streaming_edit *e, struct error *err)
{
    struct body o = body_new("edit", err);
    body_id(o, "id", id);
    body_text(o, "secret", secret);
    BODY_TEXT(o, e, new_description);
    BODY_TEXT(o, e, new_metadata);
    BODY_TEXT(o, e, new_secret);
    BODY_TEXT(o, e, new_pin);
    if (e->new_is_private >= 0) {
        body_bool(o, "new_is_private", e->new_is_private > 0);
    }
    body_bool(o, "permanent", e->permanent);
    return body_take_text(o);
}

/* ---- answers ---- */

struct media_part {
    enum janus_media type;
    char *mid, *label, *codec, *host;
    int32_t mindex, pt;
    int64_t port, rtcp_port, port_2, port_3, age_ms;
    struct model_present present;
};
static const struct model_field media_part_fields[] = {
    MODEL_ENUM(struct media_part, type, janus_media_names, .required = true),
    MODEL_STRING(struct media_part, mid, .max = 63),
    MODEL_STRING(struct media_part, label, .max = 65536),
    MODEL_STRING(struct media_part, codec, .max = 31),
    MODEL_STRING(struct media_part, host, .max = 63),
    MODEL_INT(struct media_part, mindex),
    MODEL_INT(struct media_part, pt),
    MODEL_INT(struct media_part, port, .max = 65535),
    MODEL_INT(struct media_part, rtcp_port, .aliases = "rtcpport", .max = 65535),
    MODEL_INT(struct media_part, port_2, .aliases = "port2", .max = 65535),
    MODEL_INT(struct media_part, port_3, .aliases = "port3", .max = 65535),
    MODEL_INT(struct media_part, age_ms),
};
static const struct model media_part_model =
    MODEL("JanusMedia", struct media_part, media_part_fields, .unknown = MODEL_IGNORE,
          .present_at = MODEL_PRESENT(struct media_part, present));

struct mountpoint_part {
    struct model_id id;
    char *name, *type, *description, *metadata;
    bool enabled, is_private;
    int64_t viewers;
    MODEL_ARRAY(struct media_part) media; /* info, list */
    MODEL_ARRAY(struct media_part) ports; /* create */
    struct model_present present;
};
static const struct model_field mountpoint_part_fields[] = {
    MODEL_ID(struct mountpoint_part, id, .required = true, .max = 255),
    MODEL_STRING(struct mountpoint_part, name, .max = 65536),
    MODEL_STRING(struct mountpoint_part, type, .max = 63),
    MODEL_STRING(struct mountpoint_part, description, .max = 65536),
    MODEL_STRING(struct mountpoint_part, metadata, .max = 65536),
    MODEL_BOOL(struct mountpoint_part, enabled, .def = "true"),
    MODEL_BOOL(struct mountpoint_part, is_private),
    MODEL_INT(struct mountpoint_part, viewers),
    MODEL_LIST_STRUCT(struct mountpoint_part, media, &media_part_model, .max = JANUS_TRACKS_MAX),
    MODEL_LIST_STRUCT(struct mountpoint_part, ports, &media_part_model, .max = JANUS_TRACKS_MAX),
};
static const struct model mountpoint_part_model =
    MODEL("JanusMountpoint", struct mountpoint_part, mountpoint_part_fields,
          .unknown = MODEL_IGNORE, .present_at = MODEL_PRESENT(struct mountpoint_part, present));

struct answer {
    struct mountpoint_part *stream; /* create */
    struct mountpoint_part *info;
    MODEL_ARRAY(struct mountpoint_part) list;
    char *streaming;
};
static const struct model_field answer_fields[] = {
    MODEL_OPT(struct answer, stream, &mountpoint_part_model),
    MODEL_OPT(struct answer, info, &mountpoint_part_model),
    MODEL_LIST_STRUCT(struct answer, list, &mountpoint_part_model, .max = LIST_MAX),
    MODEL_STRING(struct answer, streaming, .required = true, .max = 63),
};
static const struct model answer_model =
    MODEL("JanusStreamingAnswer", struct answer, answer_fields, .unknown = MODEL_IGNORE);

static void read_track(const struct media_part *p, struct janus_track_info *t)
{
    *t = (struct janus_track_info){
        .type = p->type,
        .mindex = p->mindex,
        .pt = p->pt,
        .port = (uint16_t)p->port,
        .rtcp_port = (uint16_t)p->rtcp_port,
        .port_2 = (uint16_t)p->port_2,
        .port_3 = (uint16_t)p->port_3,
        .age_ms = MODEL_HAS(&media_part_model, p, age_ms) ? p->age_ms : -1,
    };
    snprintf(t->mid, sizeof(t->mid), "%s", p->mid ? p->mid : "");
    snprintf(t->label, sizeof(t->label), "%s", p->label ? p->label : "");
    snprintf(t->codec, sizeof(t->codec), "%s", p->codec ? p->codec : "");
}

static unsigned count_tracks(const struct mountpoint_part *p)
{
    return (unsigned)(p->ports.len > 0 ? p->ports.len : p->media.len);
}

static void read_mountpoint(const struct mountpoint_part *p, struct janus_mountpoint_info *info,
                            struct janus_track_info *tracks)
{
    bool created = p->ports.len > 0;
    const struct media_part *media = created ? p->ports.items : p->media.items;
    *info = (struct janus_mountpoint_info){
        .id = p->id,
        .name = p->name,
        .type = p->type,
        .is_private = p->is_private,
        .description = p->description,
        .metadata = p->metadata,
        .enabled = p->enabled,
        .complete = created || MODEL_HAS(&mountpoint_part_model, p, viewers),
        .viewers = p->viewers,
        .n_tracks = count_tracks(p),
        .tracks = tracks,
    };
    for (unsigned i = 0; i < info->n_tracks; i++) {
        read_track(&media[i], &tracks[i]);
        if (media[i].host) {
            snprintf(info->host, sizeof(info->host), "%s", media[i].host);
        }
    }
}

static void read_all(const struct mountpoint_part *parts, unsigned n, struct janus_mountpoints *ret)
{
    size_t tracks = 0;
    for (unsigned i = 0; i < n; i++) {
        tracks += count_tracks(&parts[i]);
    }
    ret->n = n;
    ret->infos = mem_new_array(struct janus_mountpoint_info, MAX(n, 1u));
    ret->tracks = mem_new_array(struct janus_track_info, MAX(tracks, (size_t)1));
    tracks = 0;
    for (unsigned i = 0; i < n; i++) {
        read_mountpoint(&parts[i], &ret->infos[i], ret->tracks + tracks);
        tracks += ret->infos[i].n_tracks;
    }
}

int janus_streaming_parse(struct bytes data, struct janus_mountpoints *ret, struct error *err)
{
    static const struct model_parse_opts opts = {.max_bytes = JANUS_MESSAGE_MAX,
                                                 .max_values = VALUES_MAX};
    *ret = (struct janus_mountpoints){0};
    struct answer *a = mem_new(struct answer);
    if (model_parse_json(&answer_model, a, data, &opts, err) < 0) {
        free(a);
        return -EPROTO;
    }
    const struct mountpoint_part *one = a->stream ? a->stream : a->info;
    const struct mountpoint_part *parts = one ? one : a->list.items;
    unsigned n = one ? 1 : (unsigned)a->list.len;
    if (!one && strcmp(a->streaming, "list") != 0) {
        model_done(&answer_model, a);
        free(a);
        return error_set(err, -EPROTO, "", "Janus does not say which mountpoint it means");
    }
    ret->document = a;
    read_all(parts, n, ret);
    return 0;
}

void janus_mountpoints_done(struct janus_mountpoints *m)
{
    if (m->document) {
        model_done(&answer_model, m->document);
        free(m->document);
    }
    free(m->infos);
    free(m->tracks);
    *m = (struct janus_mountpoints){0};
}
