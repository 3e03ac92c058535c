/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/janus/janus_room_wire.h"

#include "base/mem.h"
#include "peer/janus/janus_body.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX   10000
#define VALUES_MAX 1000000
#define TEXT_MAX   65536

/* ---- requests ---- */

static void put_room(struct body o, const struct janus_room *r)
{
    const struct model *m = &janus_room_model;
    BODY_BOOL(o, m, r, require_pvtid);
    BODY_BOOL(o, m, r, notify_joining);
    BODY_BOOL(o, m, r, require_e2ee);
    BODY_INT(o, m, r, publishers);
    BODY_INT(o, m, r, fir_freq);
    BODY_INT(o, m, r, bitrate);
    BODY_BOOL(o, m, r, bitrate_cap);
    BODY_TEXT(o, r, audiocodec);
    BODY_TEXT(o, r, videocodec);
    BODY_TEXT(o, r, h264_profile);
    BODY_TEXT(o, r, vp9_profile);
    BODY_BOOL(o, m, r, opus_fec);
    BODY_BOOL(o, m, r, opus_dtx);
    BODY_BOOL(o, m, r, record);
    BODY_TEXT(o, r, rec_dir);
}

char *janus_room_put_create(const struct janus_room *r, struct error *err)
{
    const struct model *m = &janus_room_model;
    struct body o = body_new("create", err);
    body_id(o, "room", &r->room);
    BODY_TEXT(o, r, admin_key);
    BODY_TEXT(o, r, description);
    BODY_TEXT(o, r, secret);
    BODY_TEXT(o, r, pin);
    BODY_BOOL(o, m, r, is_private);
    BODY_BOOL(o, m, r, permanent);
    put_room(o, r);
    body_texts(o, "allowed", r->allowed.items, r->allowed.len);
    body_overlay(o, r->extra);
    return body_take_text(o);
}

/* VideoRoom's edit knows these and no more. */
char *janus_room_put_edit(const struct janus_room *r, const char *secret, struct error *err)
{
    const struct model *m = &janus_room_model;
    struct body o = body_new("edit", err);
    body_id(o, "room", &r->room);
    body_text(o, "secret", secret);
    body_text(o, "new_description", r->description);
    body_text(o, "new_secret", r->secret);
    body_text(o, "new_pin", r->pin);
    if (MODEL_HAS(m, r, is_private)) {
        body_bool(o, "new_is_private", r->is_private);
    }
    if (MODEL_HAS(m, r, require_pvtid)) {
        body_bool(o, "new_require_pvtid", r->require_pvtid);
    }
    if (MODEL_HAS(m, r, bitrate)) {
        body_int(o, "new_bitrate", r->bitrate);
    }
    if (MODEL_HAS(m, r, fir_freq)) {
        body_int(o, "new_fir_freq", r->fir_freq);
    }
    if (MODEL_HAS(m, r, publishers)) {
        body_int(o, "new_publishers", r->publishers);
    }
    BODY_BOOL(o, m, r, permanent);
    body_overlay(o, r->extra);
    return body_take_text(o);
}

char *janus_room_put_simple(const char *request, const struct model_id *room, const char *secret,
                            int permanent, struct error *err)
{
    struct body o = body_new(request, err);
    body_id(o, "room", room);
    body_text(o, "secret", secret);
    if (permanent >= 0) {
        body_bool(o, "permanent", permanent > 0);
    }
    return body_take_text(o);
}

char *janus_room_put_list(const char *admin_key, struct error *err)
{
    struct body o = body_new("list", err);
    body_text(o, "admin_key", admin_key);
    return body_take_text(o);
}

static void put_stream(struct body o, const struct janus_forward_stream *s)
{
    const struct model *m = &janus_forward_stream_model;
    BODY_TEXT(o, s, mid);
    BODY_TEXT(o, s, host);
    BODY_TEXT(o, s, host_family);
    BODY_INT(o, m, s, port);
    BODY_INT(o, m, s, rtcp_port);
    BODY_INT(o, m, s, pt);
    BODY_INT(o, m, s, ssrc);
    BODY_BOOL(o, m, s, simulcast);
    BODY_INT(o, m, s, port_2);
    BODY_INT(o, m, s, pt_2);
    BODY_INT(o, m, s, ssrc_2);
    BODY_INT(o, m, s, port_3);
    BODY_INT(o, m, s, pt_3);
    BODY_INT(o, m, s, ssrc_3);
    BODY_INT(o, m, s, srtp_suite);
    BODY_TEXT(o, s, srtp_crypto);
}

char *janus_room_put_forward(const struct janus_forward *f, struct error *err)
{
    struct body o = body_new("rtp_forward", err);
    body_id(o, "room", &f->room);
    body_id(o, "publisher_id", &f->publisher_id);
    BODY_TEXT(o, f, secret);
    BODY_TEXT(o, f, admin_key);
    BODY_TEXT(o, f, host);
    BODY_TEXT(o, f, host_family);
    for (size_t i = 0; i < f->streams.len; i++) {
        struct body stream = body_part(o);
        put_stream(stream, &f->streams.items[i]);
        body_add_part(o, "streams", stream);
    }
    body_overlay(o, f->extra);
    return body_take_text(o);
}

char *janus_room_put_stop_forward(const struct model_id *room, const struct model_id *publisher,
                                  int64_t stream_id, const char *secret, const char *admin_key,
                                  struct error *err)
{
    struct body o = body_new("stop_rtp_forward", err);
    body_id(o, "room", room);
    body_id(o, "publisher_id", publisher);
    body_int(o, "stream_id", stream_id);
    body_text(o, "secret", secret);
    body_text(o, "admin_key", admin_key);
    return body_take_text(o);
}

char *janus_room_put_join(const struct model_id *room, const char *display, const char *pin,
                          const char *token, struct error *err)
{
    struct body o = body_new("join", err);
    body_text(o, "ptype", "publisher");
    body_id(o, "room", room);
    body_text(o, "display", display);
    body_text(o, "pin", pin);
    body_text(o, "token", token);
    return body_take_text(o);
}

/* ---- answers and events ---- */

struct room_part {
    struct model_id room;
    char *description, *audiocodec, *videocodec;
    bool pin_required, is_private, record;
    int64_t num_participants, max_publishers, bitrate, fir_freq;
};
static const struct model_field room_part_fields[] = {
    MODEL_ID(struct room_part, room, .required = true, .max = 255),
    MODEL_STRING(struct room_part, description, .max = TEXT_MAX),
    MODEL_STRING(struct room_part, audiocodec, .max = 255),
    MODEL_STRING(struct room_part, videocodec, .max = 255),
    MODEL_BOOL(struct room_part, pin_required),
    MODEL_BOOL(struct room_part, is_private),
    MODEL_BOOL(struct room_part, record),
    MODEL_INT(struct room_part, bitrate),
    MODEL_INT(struct room_part, fir_freq),
    MODEL_INT(struct room_part, num_participants),
    MODEL_INT(struct room_part, max_publishers),
};
static const struct model room_part_model =
    MODEL("JanusRoom", struct room_part, room_part_fields, .unknown = MODEL_IGNORE);

struct participant_part {
    struct model_id id;
    char *display;
    bool publisher, talking;
};
static const struct model_field participant_part_fields[] = {
    MODEL_ID(struct participant_part, id, .required = true, .max = 255),
    MODEL_STRING(struct participant_part, display, .max = TEXT_MAX),
    MODEL_BOOL(struct participant_part, publisher),
    MODEL_BOOL(struct participant_part, talking),
};
static const struct model participant_part_model = MODEL(
    "JanusParticipant", struct participant_part, participant_part_fields, .unknown = MODEL_IGNORE);

struct forwarder_part {
    int64_t stream_id;
    enum janus_media type;
    char *host;
    int64_t port, remote_rtcp_port, ssrc;
    int32_t pt, substream;
    bool srtp;
    struct model_present present;
};
static const struct model_field forwarder_part_fields[] = {
    MODEL_INT(struct forwarder_part, stream_id, .required = true),
    MODEL_ENUM(struct forwarder_part, type, janus_media_names, .lenient = true, .def = "data"),
    MODEL_STRING(struct forwarder_part, host, .max = 63),
    MODEL_INT(struct forwarder_part, port, .max = 65535),
    MODEL_INT(struct forwarder_part, remote_rtcp_port, .max = 65535),
    MODEL_INT(struct forwarder_part, ssrc),
    MODEL_BOOL(struct forwarder_part, srtp),
    MODEL_INT(struct forwarder_part, pt),
    MODEL_INT(struct forwarder_part, substream),
};
static const struct model forwarder_part_model =
    MODEL("JanusForwarder", struct forwarder_part, forwarder_part_fields, .unknown = MODEL_IGNORE,
          .present_at = MODEL_PRESENT(struct forwarder_part, present));

struct stream_part {
    enum janus_media type;
    char *mid, *codec;
    int32_t mindex;
    bool simulcast, disabled;
};
static const struct model_field stream_part_fields[] = {
    MODEL_ENUM(struct stream_part, type, janus_media_names, .required = true),
    MODEL_STRING(struct stream_part, mid, .max = 63),
    MODEL_STRING(struct stream_part, codec, .max = 31),
    MODEL_INT(struct stream_part, mindex),
    MODEL_BOOL(struct stream_part, simulcast),
    MODEL_BOOL(struct stream_part, disabled),
};
static const struct model stream_part_model =
    MODEL("JanusStream", struct stream_part, stream_part_fields, .unknown = MODEL_IGNORE);

/* `publishers` of joined and events (id), and of listforwarders (publisher_id). */
struct publisher_part {
    struct model_id id;
    char *display;
    MODEL_ARRAY(struct stream_part) streams;
    MODEL_ARRAY(struct forwarder_part) forwarders;
};
static const struct model_field publisher_part_fields[] = {
    MODEL_ID(struct publisher_part, id, .aliases = "publisher_id", .required = true, .max = 255),
    MODEL_STRING(struct publisher_part, display, .max = TEXT_MAX),
    MODEL_LIST_STRUCT(struct publisher_part, streams, &stream_part_model, .max = JANUS_TRACKS_MAX),
    MODEL_LIST_STRUCT(struct publisher_part, forwarders, &forwarder_part_model,
                      .max = JANUS_FORWARDERS_MAX),
};
static const struct model publisher_part_model =
    MODEL("JanusPublisher", struct publisher_part, publisher_part_fields, .unknown = MODEL_IGNORE);

struct document {
    char *videoroom, *reason;
    struct model_id room, publisher_id, unpublished, leaving, kicked;
    bool exists;
    int32_t error_code;
    MODEL_ARRAY(struct room_part) list;
    MODEL_ARRAY(struct participant_part) participants;
    MODEL_ARRAY(struct forwarder_part) forwarders;
    MODEL_ARRAY(struct publisher_part) publishers;
};
static const struct model_field document_fields[] = {
    MODEL_STRING(struct document, videoroom, .required = true, .max = 63),
    MODEL_STRING(struct document, reason, .max = TEXT_MAX),
    MODEL_ID(struct document, room, .max = 255),
    MODEL_ID(struct document, publisher_id, .max = 255),
    MODEL_ID(struct document, unpublished, .max = 255),
    MODEL_ID(struct document, leaving, .max = 255),
    MODEL_ID(struct document, kicked, .max = 255),
    MODEL_BOOL(struct document, exists),
    MODEL_INT(struct document, error_code),
    MODEL_LIST_STRUCT(struct document, list, &room_part_model, .max = LIST_MAX),
    MODEL_LIST_STRUCT(struct document, participants, &participant_part_model, .max = LIST_MAX),
    MODEL_LIST_STRUCT(struct document, forwarders, &forwarder_part_model,
                      .max = JANUS_FORWARDERS_MAX),
    MODEL_LIST_STRUCT(struct document, publishers, &publisher_part_model, .max = 1000),
};
static const struct model document_model =
    MODEL("JanusVideoRoom", struct document, document_fields, .unknown = MODEL_IGNORE);

static void read_rooms(const struct document *d, struct janus_room_said *s)
{
    s->n_rooms = (unsigned)d->list.len;
    s->rooms = mem_new_array(struct janus_room_info, MAX(d->list.len, (size_t)1));
    for (unsigned i = 0; i < s->n_rooms; i++) {
        const struct room_part *p = &d->list.items[i];
        s->rooms[i] = (struct janus_room_info){
            .room = p->room,
            .description = p->description,
            .pin_required = p->pin_required,
            .is_private = p->is_private,
            .record = p->record,
            .bitrate = p->bitrate,
            .fir_freq = p->fir_freq,
            .participants = p->num_participants,
            .publishers_max = p->max_publishers,
            .audiocodec = p->audiocodec,
            .videocodec = p->videocodec,
        };
    }
}

static void read_participants(const struct document *d, struct janus_room_said *s)
{
    s->n_participants = (unsigned)d->participants.len;
    s->participants = mem_new_array(struct janus_participant, MAX(d->participants.len, (size_t)1));
    for (unsigned i = 0; i < s->n_participants; i++) {
        const struct participant_part *p = &d->participants.items[i];
        s->participants[i] = (struct janus_participant){p->id, p->display ? p->display : "",
                                                        p->publisher, p->talking};
    }
}

static void read_forwarder(struct janus_room_said *s, const struct model_id *publisher,
                           const struct forwarder_part *p)
{
    struct janus_forwarder *f = &s->forwarders[s->n_forwarders++];
    *f = (struct janus_forwarder){
        .publisher_id = *publisher,
        .stream_id = p->stream_id,
        .type = p->type,
        .port = (uint16_t)p->port,
        .pt = MODEL_HAS(&forwarder_part_model, p, pt) ? p->pt : -1,
        .substream = MODEL_HAS(&forwarder_part_model, p, substream) ? p->substream : -1,
        .ssrc = p->ssrc,
        .rtcp_port = (uint16_t)p->remote_rtcp_port,
        .srtp = p->srtp,
    };
    snprintf(f->host, sizeof(f->host), "%s", p->host ? p->host : "");
}

static void read_forwarders(const struct document *d, struct janus_room_said *s)
{
    size_t n = d->forwarders.len;
    for (size_t i = 0; i < d->publishers.len; i++) {
        n += d->publishers.items[i].forwarders.len;
    }
    n = MIN(n, (size_t)JANUS_FORWARDERS_MAX);
    s->forwarders = mem_new_array(struct janus_forwarder, MAX(n, (size_t)1));
    for (size_t i = 0; i < d->forwarders.len; i++) {
        read_forwarder(s, &d->publisher_id, &d->forwarders.items[i]);
    }
    for (size_t i = 0; i < d->publishers.len; i++) {
        const struct publisher_part *p = &d->publishers.items[i];
        for (size_t k = 0; k < p->forwarders.len && s->n_forwarders < n; k++) {
            read_forwarder(s, &p->id, &p->forwarders.items[k]);
        }
    }
}

static void read_feed(const struct publisher_part *p, struct janus_feed *f)
{
    *f = (struct janus_feed){.id = p->id, .display = p->display ? p->display : ""};
    for (size_t i = 0; i < p->streams.len; i++) {
        const struct stream_part *s = &p->streams.items[i];
        struct janus_feed_stream *to = &f->streams[f->n_streams];
        if (s->disabled) {
            continue;
        }
        *to = (struct janus_feed_stream){
            .type = s->type, .mindex = s->mindex, .simulcast = s->simulcast};
        snprintf(to->mid, sizeof(to->mid), "%s", s->mid ? s->mid : "");
        snprintf(to->codec, sizeof(to->codec), "%s", s->codec ? s->codec : "");
        f->n_streams++;
    }
}

static void read_feeds(const struct document *d, struct janus_room_said *s)
{
    s->n_feeds = (unsigned)d->publishers.len;
    s->feeds = mem_new_array(struct janus_feed, MAX(d->publishers.len, (size_t)1));
    for (unsigned i = 0; i < s->n_feeds; i++) {
        read_feed(&d->publishers.items[i], &s->feeds[i]);
    }
}

static void read_gone(const struct document *d, struct janus_room_said *s)
{
    /* "ok" stands for ourselves. */
    const struct {
        const struct model_id *id;
        const char *why;
    } ways[] = {{&d->kicked, "kicked"}, {&d->leaving, "left"}, {&d->unpublished, "unpublished"}};
    for (unsigned i = 0; i < ARRAY_LEN(ways); i++) {
        const struct model_id *id = ways[i].id;
        bool own = id->kind == MODEL_ID_STR && strcmp(id->str, "ok") == 0;
        if (own && id == &d->leaving) {
            s->self_gone = true;
            s->self_why = d->reason ? d->reason : "";
        } else if (id->kind != MODEL_ID_NONE && !own) {
            s->gone = *id;
            s->gone_why = ways[i].why;
            return;
        }
    }
}

int janus_room_parse(struct bytes data, struct janus_room_said *ret, struct error *err)
{
    static const struct model_parse_opts opts = {.max_bytes = JANUS_MESSAGE_MAX,
                                                 .max_values = VALUES_MAX};
    *ret = (struct janus_room_said){0};
    struct document *d = mem_new(struct document);
    if (model_parse_json(&document_model, d, data, &opts, err) < 0) {
        free(d);
        return -EPROTO;
    }
    ret->document = d;
    ret->videoroom = d->videoroom;
    ret->room = d->room;
    ret->exists = d->exists;
    ret->error_code = d->error_code;
    read_rooms(d, ret);
    read_participants(d, ret);
    read_forwarders(d, ret);
    read_feeds(d, ret);
    read_gone(d, ret);
    return 0;
}

void janus_room_said_done(struct janus_room_said *s)
{
    if (s->document) {
        model_done(&document_model, s->document);
        free(s->document);
    }
    free(s->rooms);
    free(s->participants);
    free(s->forwarders);
    free(s->feeds);
    *s = (struct janus_room_said){0};
}
