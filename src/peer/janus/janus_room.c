/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/janus/janus_room.h"

#include "base/mem.h"
#include "peer/janus/janus_body.h"
#include "peer/janus/janus_private.h"
#include "peer/janus/janus_room_wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- checks ---- */

/* "h264,vp8": each of them known. */
static int check_codecs(const char *list, const char *known, const char *where, struct error *err)
{
    const char *at = list ? list : "";
    while (*at) {
        size_t n = strcspn(at, ",");
        char word[32];
        snprintf(word, sizeof(word), ",%.*s,", (int)MIN(n, sizeof(word) - 3), at);
        if (n == 0 || n > sizeof(word) - 3 || !strstr(known, word)) {
            return error_set(err, -EINVAL, where, "can be or list %.*s only",
                             (int)strlen(known) - 2, known + 1);
        }
        at += n + (at[n] == ',');
    }
    return 0;
}

int janus_room_check(struct janus_room *r, struct error *err)
{
    int bad = body_check_extra(r->extra, "extra", err);
    if (bad == 0 && r->permanent && r->room.kind == MODEL_ID_STR) {
        /* "room-" and the id */
        _cleanup_free_ char *name = mem_printf("room-%s", r->room.str);
        bad = body_check_filed(name, "room", err);
    }
    bad = bad < 0 ? bad : check_codecs(r->videocodec, ",vp8,vp9,av1,h264,h265,", "videocodec", err);
    return bad < 0 ? bad
                   : check_codecs(r->audiocodec,
                                  ",opus,multiopus,g722,pcmu,pcma,isac32,isac16,l16,l16-48,",
                                  "audiocodec", err);
}

/* Janus counts what it made, not what was asked: a wrong stream is left out in silence, so everything is looked at here. */
int janus_forward_check(struct janus_forward *f, struct error *err)
{
    char where[40];
    if (f->room.kind == MODEL_ID_NONE || f->publisher_id.kind == MODEL_ID_NONE) {
        return error_set(err, -EINVAL, f->room.kind == MODEL_ID_NONE ? "room" : "publisher_id",
                         "is needed");
    }
    if (!f->host) {
        return error_set(err, -EINVAL, "host", "is needed, also when each stream has its own");
    }
    if (f->streams.len == 0 || f->streams.len > JANUS_TRACKS_MAX) {
        return error_set(err, -EINVAL, "streams", "must be 1 to %u", JANUS_TRACKS_MAX);
    }
    for (size_t i = 0; i < f->streams.len; i++) {
        const struct janus_forward_stream *s = &f->streams.items[i];
        if (!s->mid || s->port < 1 || s->port > 65535) {
            snprintf(where, sizeof(where), "streams[%zu].%s", i, s->mid ? "port" : "mid");
            return error_set(err, -EINVAL, where, "is needed");
        }
    }
    return body_check_extra(f->extra, "extra", err);
}

/* ---- questions ---- */

enum question_kind {
    ASK_DONE,
    ASK_EXISTS,
    ASK_ROOM,
    ASK_ROOMS,
    ASK_PARTICIPANTS,
    ASK_FORWARD,
    ASK_FORWARDERS,
};

struct question {
    enum question_kind kind;
    union {
        janus_done_fn done;
        janus_exists_fn exists;
        janus_room_fn room;
        janus_rooms_fn rooms;
        janus_participants_fn participants;
        janus_forwarders_fn forwarders;
    };
    void *user;
};

static void tell(const struct question *q, const struct janus_result *res,
                 const struct janus_room_said *s)
{
    switch (q->kind) {
    case ASK_DONE:
        q->done(q->user, res);
        break;
    case ASK_EXISTS:
        q->exists(q->user, res, s->exists);
        break;
    case ASK_ROOM:
        q->room(q->user, res, &s->room);
        break;
    case ASK_ROOMS:
        q->rooms(q->user, res, s->rooms, s->n_rooms);
        break;
    case ASK_PARTICIPANTS:
        q->participants(q->user, res, s->participants, s->n_participants);
        break;
    case ASK_FORWARD:
    case ASK_FORWARDERS:
        q->forwarders(q->user, res, s->forwarders, s->n_forwarders);
        break;
    }
}

static void on_answer(void *user, const struct janus_result *res)
{
    const struct question *q = user;
    struct janus_result result = *res;
    struct janus_room_said said = {0};
    struct error err = {0};
    if (res->r == 0 && janus_room_parse(res->data, &said, &err) < 0) {
        result.r = -EPROTO;
        result.text = err.text;
    } else if (res->r == 0 && q->kind == ASK_FORWARD && said.n_forwarders == 0) {
        result.r = -ENODATA;
        result.text = "Janus made no forwarder: the publisher sends no such stream";
    }
    tell(q, &result, &said);
    janus_room_said_done(&said);
}

static struct question *question_new(enum question_kind kind, void *user)
{
    struct question *q = mem_new(struct question);
    q->kind = kind;
    q->user = user;
    return q;
}

struct janus_call *janus_room_exists(struct janus_handle *h, const struct model_id *room,
                                     janus_exists_fn done, void *user)
{
    struct error err = {0};
    struct question *q = question_new(ASK_EXISTS, user);
    q->exists = done;
    char *body = janus_room_put_simple("exists", room, NULL, -1, &err);
    return janus_ask_own(h, body, &err, on_answer, q);
}

struct janus_call *janus_room_create(struct janus_handle *h, const struct janus_room *room,
                                     janus_room_fn done, void *user)
{
    struct janus_room checked;
    struct error err = {0};
    struct question *q = question_new(ASK_ROOM, user);
    q->room = done;
    model_copy(&janus_room_model, &checked, room);
    char *body =
        janus_room_check(&checked, &err) < 0 ? NULL : janus_room_put_create(&checked, &err);
    struct janus_call *c = janus_ask_own(h, body, &err, on_answer, q);
    model_done(&janus_room_model, &checked);
    return c;
}

struct janus_call *janus_room_edit(struct janus_handle *h, const struct janus_room *room,
                                   const char *secret, janus_done_fn done, void *user)
{
    struct error err = {0};
    struct question *q = question_new(ASK_DONE, user);
    q->done = done;
    char *body = janus_room_put_edit(room, secret, &err);
    return janus_ask_own(h, body, &err, on_answer, q);
}

struct janus_call *janus_room_destroy(struct janus_handle *h, const struct model_id *room,
                                      const char *secret, bool permanent, janus_done_fn done,
                                      void *user)
{
    struct error err = {0};
    struct question *q = question_new(ASK_DONE, user);
    q->done = done;
    char *body = janus_room_put_simple("destroy", room, secret, permanent, &err);
    return janus_ask_own(h, body, &err, on_answer, q);
}

struct janus_call *janus_room_list(struct janus_handle *h, const char *admin_key,
                                   janus_rooms_fn done, void *user)
{
    struct error err = {0};
    struct question *q = question_new(ASK_ROOMS, user);
    q->rooms = done;
    char *body = janus_room_put_list(admin_key, &err);
    return janus_ask_own(h, body, &err, on_answer, q);
}

struct janus_call *janus_room_participants(struct janus_handle *h, const struct model_id *room,
                                           janus_participants_fn done, void *user)
{
    struct error err = {0};
    struct question *q = question_new(ASK_PARTICIPANTS, user);
    q->participants = done;
    char *body = janus_room_put_simple("listparticipants", room, NULL, -1, &err);
    return janus_ask_own(h, body, &err, on_answer, q);
}

struct janus_call *janus_room_forward(struct janus_handle *h, const struct janus_forward *forward,
                                      janus_forwarders_fn done, void *user)
{
    struct janus_forward checked;
    struct error err = {0};
    struct question *q = question_new(ASK_FORWARD, user);
    q->forwarders = done;
    model_copy(&janus_forward_model, &checked, forward);
    char *body =
        janus_forward_check(&checked, &err) < 0 ? NULL : janus_room_put_forward(&checked, &err);
    struct janus_call *c = janus_ask_own(h, body, &err, on_answer, q);
    model_done(&janus_forward_model, &checked);
    return c;
}

struct janus_call *janus_room_forwarders(struct janus_handle *h, const struct model_id *room,
                                         const char *secret, janus_forwarders_fn done, void *user)
{
    struct error err = {0};
    struct question *q = question_new(ASK_FORWARDERS, user);
    q->forwarders = done;
    char *body = janus_room_put_simple("listforwarders", room, secret, -1, &err);
    return janus_ask_own(h, body, &err, on_answer, q);
}

struct janus_call *janus_room_stop_forward(struct janus_handle *h, const struct model_id *room,
                                           const struct model_id *publisher, int64_t stream_id,
                                           const char *secret, const char *admin_key,
                                           janus_done_fn done, void *user)
{
    struct error err = {0};
    struct question *q = question_new(ASK_DONE, user);
    q->done = done;
    char *body = janus_room_put_stop_forward(room, publisher, stream_id, secret, admin_key, &err);
    return janus_ask_own(h, body, &err, on_answer, q);
}
