/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VideoRoom: ensured, made when it is not there, destroyed only if this broadcast made it. A room can carry no marker
 * but its description, which is the caller's: after a lost answer a room that was not there before counts as ours.
 */
#include "base/mem.h"
#include "service/broadcast/broadcast_private.h"

#include <errno.h>

static struct broadcast_room_response *response_of(struct step *s)
{
    struct broadcast_result *res = &broadcast_of(s)->record.result;
    if (!res->room_response) {
        res->room_response = mem_new(struct broadcast_room_response);
    }
    return res->room_response;
}

static const struct model_id *room_of(const struct step *s)
{
    return &request_of(s)->room_id;
}

static const char *secret_of(const struct step *s)
{
    return request_of(s)->room_spec ? request_of(s)->room_spec->secret : NULL;
}

static void describe(const struct step *s, struct out *o)
{
    char id[MODEL_ID_TEXT_MAX];
    out_printf(o, "use room %s, make it when it is not there", model_id_text(room_of(s), id));
}

static struct janus_handle *handle_of(const struct step *s)
{
    return janus_server_rooms(JANUS_STEP(s)->server);
}

static void keep_raw(struct step *s, const struct janus_result *res)
{
    struct broadcast_room_response *r = response_of(s);
    free(r->raw);
    r->raw = broadcast_reply_keep(res->data);
}

static void is_there(struct step *s, bool ours)
{
    struct broadcast_room_response *r = response_of(s);
    bool before = r->room.kind != MODEL_ID_NONE && r->exists == !ours;
    s->ours = ours;
    MODEL_SET(&broadcast_room_response_model, r, exists, !ours);
    model_id_done(&r->room);
    model_id_copy(&r->room, room_of(s));
    step_started(s, before ? 0 : FACT_ROOM);
}

static void on_created(void *user, const struct janus_result *res, const struct model_id *id)
{
    struct step *s = user;
    JANUS_STEP(s)->call = NULL;
    if (res->r == 0) {
        keep_raw(s, res);
        is_there(s, true);
    } else if (res->code == JANUS_ROOM_EXISTS) {
        is_there(s, s->ours); /* somebody was faster */
    } else {
        janus_step_fail(s, res, "make the room");
    }
}

static void create(struct step *s)
{
    const struct broadcast_request *q = request_of(s);
    const char *admin_key = janus_server_config(JANUS_STEP(s)->server)->room_admin_key;
    struct janus_room room;
    if (q->room_spec) {
        model_copy(&janus_room_model, &room, q->room_spec);
    } else {
        model_init(&janus_room_model, &room);
    }
    model_id_done(&room.room);
    model_id_copy(&room.room, room_of(s));
    if (!room.admin_key && admin_key) {
        room.admin_key = mem_strdup(admin_key);
    }
    if (!room.description) {
        room.description = mem_printf("mast %s", broadcast_id(broadcast_of(s)));
    }
    JANUS_STEP(s)->call = janus_room_create(handle_of(s), &room, on_created, s);
    model_done(&janus_room_model, &room);
}

static void on_exists(void *user, const struct janus_result *res, bool exists)
{
    struct step *s = user;
    JANUS_STEP(s)->call = NULL;
    if (res->r < 0) {
        janus_step_fail(s, res, "look for the room");
    } else if (exists) {
        is_there(s, s->ours);
    } else {
        step_commit(s, create);
    }
}

static void look(struct step *s)
{
    JANUS_STEP(s)->call = janus_room_exists(handle_of(s), room_of(s), on_exists, s);
}

static void start(struct step *s)
{
    janus_step_ready(s, look);
}

static void on_adopt(void *user, const struct janus_result *res, bool exists)
{
    struct step *s = user;
    struct error err = {0};
    JANUS_STEP(s)->call = NULL;
    if (res->r < 0) {
        error_set(&err, res->r, s->kind->name, "%s", res->text);
        step_adopted(s, res->r, STEP_ABSENT, &err);
        return;
    }
    /* An intent stands only where the room was not there: what is there now came from it. */
    s->ours = exists && (s->ours || s->acted);
    if (exists) {
        struct broadcast_room_response *r = response_of(s);
        MODEL_SET(&broadcast_room_response_model, r, exists, !s->ours);
        model_id_done(&r->room);
        model_id_copy(&r->room, room_of(s));
    }
    step_adopted(s, 0, exists ? STEP_FOUND : STEP_ABSENT, NULL);
}

static void adopt_look(struct step *s)
{
    JANUS_STEP(s)->call = janus_room_exists(handle_of(s), room_of(s), on_adopt, s);
}

static void adopt(struct step *s)
{
    janus_step_ready(s, adopt_look);
}

static void on_checked(void *user, const struct janus_result *res, bool exists)
{
    struct step *s = user;
    JANUS_STEP(s)->call = NULL;
    if (res->r == 0 && !exists) {
        s->ours = false;
        step_lost(s, "the room is gone");
    }
}

static void check(struct step *s)
{
    struct janus_step *js = JANUS_STEP(s);
    if (!js->call && janus_server_ready(js->server)) {
        js->call = janus_room_exists(handle_of(s), room_of(s), on_checked, s);
    }
}

static void destroy(struct step *s)
{
    const struct janus_room *spec = request_of(s)->room_spec;
    JANUS_STEP(s)->call = janus_room_destroy(handle_of(s), room_of(s), secret_of(s),
                                             spec && spec->permanent, janus_step_on_destroyed, s);
}

static void stop(struct step *s)
{
    janus_step_stop(s, destroy);
}

const struct step_kind step_room = {
    .name = "room",
    .peer = "janus",
    .size = sizeof(struct janus_step),
    .writes = FACT_ROOM,
    .describe = describe,
    .start = start,
    .adopt = adopt,
    .check = check,
    .stop = stop,
    .drop = janus_step_drop,
};
