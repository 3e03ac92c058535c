/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What streaming_utils 1.0.0 wrote flat in the request (video_port, audio_pt, mountpoint_id...) becomes mountpoint_spec. Media
 * that are listed count; 1.0.0 writes its defaults beside them.
 */
#include "service/broadcast/broadcast_check.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define R_MODEL (&broadcast_request_model)
#define T_MODEL (&janus_track_model)
#define BIT(x)  (1u << (x))

/* ---- ids that stand in two places ---- */

static void copy_id(struct model_id *to, const struct model_id *from)
{
    model_id_done(to);
    model_id_copy(to, from);
}

int broadcast_unite_ids(struct model_id *a, struct model_id *b, const char *where,
                        const char *other, struct error *err)
{
    if (a->kind == MODEL_ID_NONE) {
        copy_id(a, b);
    } else if (b->kind == MODEL_ID_NONE) {
        copy_id(b, a);
    }
    return model_id_equal(a, b) ? 0 : error_set(err, -EINVAL, where, "is not the one of %s", other);
}

/* ---- the flat fields of 1.0.0 ---- */

struct flat {
    enum janus_media type;
    const char *port_name;
    size_t port_at; /* in the request: its presence is asked for by it */
    int64_t port;
    bool has_pt;
    int32_t pt;
    const char *codec_default;
    char **codec, **fmtp;
};

#define FLAT_PORT(r, member)                                                                       \
    .port_name = #member, .port_at = offsetof(struct broadcast_request, member), .port = (r)->member

static const struct janus_track *track_at_port(const struct janus_mountpoint *m,
                                               enum janus_media type, int64_t port)
{
    for (size_t i = 0; i < m->media.len; i++) {
        if (m->media.items[i].type == type && m->media.items[i].port == port) {
            return &m->media.items[i];
        }
    }
    return NULL;
}

static struct janus_track *add_track(struct janus_mountpoint *m, enum janus_media type)
{
    m->media.items = mem_realloc(m->media.items, (m->media.len + 1) * sizeof(*m->media.items));
    struct janus_track *t = &m->media.items[m->media.len++];
    model_init(T_MODEL, t);
    t->type = type;
    return t;
}

static void flat_simulcast(struct broadcast_request *r, struct janus_track *t)
{
    if (MODEL_HAS(R_MODEL, r, simulcast)) {
        MODEL_SET(T_MODEL, t, simulcast, r->simulcast);
    }
    if (MODEL_HAS(R_MODEL, r, video_port2)) {
        MODEL_SET(T_MODEL, t, port2, r->video_port2);
    }
    if (MODEL_HAS(R_MODEL, r, video_port3)) {
        MODEL_SET(T_MODEL, t, port3, r->video_port3);
    }
}

static int map_track(struct broadcast_request *r, const struct flat *f, bool media_given,
                     struct error *err)
{
    struct janus_mountpoint *m = r->mountpoint_spec;
    if (!model_has(R_MODEL, r, f->port_at)) {
        return 0;
    }
    if (media_given) {
        return track_at_port(m, f->type, f->port)
                   ? 0
                   : error_set(err, -EINVAL, f->port_name,
                               "is no port of mountpoint_spec.media, which is the one that counts");
    }
    struct janus_track *t = add_track(m, f->type);
    MODEL_SET(T_MODEL, t, port, f->port);
    if (f->type == JANUS_DATA) {
        return 0;
    }
    if (f->has_pt) {
        MODEL_SET(T_MODEL, t, pt, f->pt);
    }
    t->codec = *f->codec ? TAKE_PTR(*f->codec) : mem_strdup(f->codec_default);
    t->fmtp = TAKE_PTR(*f->fmtp);
    if (f->type == JANUS_VIDEO) {
        flat_simulcast(r, t);
    }
    return 0;
}

static const size_t flat_members[] = {
#define AT(m) offsetof(struct broadcast_request, m)
    AT(video_port),  AT(audio_port), AT(data_port), AT(video_port2),
    AT(video_port3), AT(video_pt),   AT(audio_pt),  AT(simulcast),
#undef AT
};

static void clear_flat(struct broadcast_request *r)
{
    char **texts[] = {&r->video_codec, &r->audio_codec, &r->video_fmtp, &r->audio_fmtp,
                      &r->mountpoint_id.str};
    for (size_t i = 0; i < ARRAY_LEN(flat_members); i++) {
        model_mark(R_MODEL, r, flat_members[i], false);
    }
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        free(TAKE_PTR(*texts[i]));
    }
    r->mountpoint_id = (struct model_id){0};
    r->video_port = r->audio_port = r->data_port = r->video_port2 = r->video_port3 = 0;
    r->video_pt = r->audio_pt = 0;
    r->simulcast = false;
}

static bool has_ports(const struct broadcast_request *r)
{
    return MODEL_HAS(R_MODEL, r, video_port) || MODEL_HAS(R_MODEL, r, audio_port) ||
           MODEL_HAS(R_MODEL, r, data_port);
}

static bool has_details(const struct broadcast_request *r)
{
    return r->video_codec || r->audio_codec || r->video_fmtp || r->audio_fmtp ||
           MODEL_HAS(R_MODEL, r, video_pt) || MODEL_HAS(R_MODEL, r, audio_pt) ||
           MODEL_HAS(R_MODEL, r, video_port2) || MODEL_HAS(R_MODEL, r, video_port3) ||
           MODEL_HAS(R_MODEL, r, simulcast);
}

int broadcast_flat_map(struct broadcast_request *r, struct error *err)
{
    bool ports = has_ports(r);
    bool id = r->mountpoint_id.kind != MODEL_ID_NONE;
    bool media_given = r->mountpoint_spec && r->mountpoint_spec->media.len > 0;
    const struct flat flats[] = {
        {.type = JANUS_VIDEO,
         FLAT_PORT(r, video_port),
         .has_pt = MODEL_HAS(R_MODEL, r, video_pt),
         .pt = r->video_pt,
         .codec_default = "h264",
         .codec = &r->video_codec,
         .fmtp = &r->video_fmtp},
        {.type = JANUS_AUDIO,
         FLAT_PORT(r, audio_port),
         .has_pt = MODEL_HAS(R_MODEL, r, audio_pt),
         .pt = r->audio_pt,
         .codec_default = "opus",
         .codec = &r->audio_codec,
         .fmtp = &r->audio_fmtp},
        {.type = JANUS_DATA, FLAT_PORT(r, data_port)},
    };
    int bad = 0;
    r->warnings |= has_details(r) && (media_given || !ports) ? BIT(BROADCAST_WARN_FLAT_IGNORED) : 0;
    r->warnings |= ports || id ? BIT(BROADCAST_WARN_FLAT) : 0;
    if ((ports || id) && !r->mountpoint_spec) {
        r->mountpoint_spec = mem_new(struct janus_mountpoint);
        model_init(&janus_mountpoint_model, r->mountpoint_spec);
    }
    if (id) {
        bad = broadcast_unite_ids(&r->mountpoint_id, &r->mountpoint_spec->id, "mountpoint_id",
                                  "mountpoint_spec.id", err);
    }
    for (size_t i = 0; bad == 0 && i < ARRAY_LEN(flats); i++) {
        bad = map_track(r, &flats[i], media_given, err);
    }
    if (bad == 0) {
        clear_flat(r);
    }
    return bad;
}
