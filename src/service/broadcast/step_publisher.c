/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The publisher of a room, by id or display, heard through an ear in the room; where the front end owns the room and names none,
 * anybody. One that is not there fails a start, unless the request waits for publishers (browser_webrtc, frontend_owned); one
 * that left is waited for when the request says resume.
 */
#include "base/mem.h"
#include "service/broadcast/broadcast_private.h"

#include <errno.h>
#include <string.h>

struct publisher_step {
    struct janus_step js;
    struct room_ear *ear;
};
#define PUBLISHER(s) CONTAINER_OF((s), struct publisher_step, js.step)

static bool may_wait(const struct step *s)
{
    const struct broadcast_request *q = request_of(s);
    return q->source_kind == BROADCAST_BROWSER_WEBRTC ||
           q->source_kind == BROADCAST_FRONTEND_OWNED || (s->runner->was_up && q->resume);
}

static bool is_anybody(const struct step *s)
{
    const struct broadcast_request *q = request_of(s);
    return q->publisher_id.kind == MODEL_ID_NONE && !q->publisher_display;
}

/* "publisher 5678", "publisher \"studio\"" */
static void put_who(const struct step *s, struct out *o)
{
    const struct broadcast_request *q = request_of(s);
    char id[MODEL_ID_TEXT_MAX];
    if (q->publisher_id.kind != MODEL_ID_NONE) {
        out_printf(o, "publisher %s", model_id_text(&q->publisher_id, id));
    } else if (q->publisher_display) {
        out_printf(o, "publisher \"%s\"", q->publisher_display);
    } else {
        out_puts(o, "the publisher");
    }
}

static void describe(const struct step *s, struct out *o)
{
    char id[MODEL_ID_TEXT_MAX];
    out_puts(o, "listen for ");
    if (is_anybody(s)) {
        out_puts(o, "any publisher");
    } else {
        put_who(s, o);
    }
    out_printf(o, " in room %s", model_id_text(&request_of(s)->room_id, id));
}

/* What it calls itself: said by the request, or known since it was forwarded. */
static const char *display_of(const struct step *s)
{
    const struct broadcast_forward_response *before =
        broadcast_of(s)->record.result.forward_response;
    const char *said = request_of(s)->publisher_display;
    const char *known = before && before->publisher_display ? before->publisher_display : "";
    return said ? said : known[0] ? known : NULL;
}

/*
 * The one that is meant: by id; by display when that id is not there, which is the case after it came back with another one.
 */
static const struct janus_feed *find(const struct step *s)
{
    const struct broadcast_request *q = request_of(s);
    const struct room_ear *e = PUBLISHER(s)->ear;
    const struct janus_feed *f = NULL;
    if (q->publisher_id.kind != MODEL_ID_NONE) {
        f = room_ear_find(e, &q->publisher_id, NULL);
    }
    const char *display = display_of(s);
    return f || !(display || is_anybody(s)) ? f : room_ear_find(e, NULL, display);
}

static bool same_feed(const struct janus_feed *a, const struct janus_feed *b)
{
    return model_id_equal(&a->id, &b->id) && a->n_streams == b->n_streams &&
           memcmp(a->streams, b->streams, a->n_streams * sizeof(a->streams[0])) == 0;
}

static void take(struct step *s, const struct janus_feed *f)
{
    struct broadcast *b = broadcast_of(s);
    bool same = b->feed && same_feed(b->feed, f);
    broadcast_set_feed(b, f);
    if (s->state == STEP_UP) {
        if (!same) {
            step_changed(s, FACT_PUBLISHER);
        }
    } else {
        step_started(s, FACT_PUBLISHER);
    }
}

static void look(struct step *s)
{
    const struct janus_feed *f = find(s);
    if (f && f->n_streams > 0) {
        take(s, f);
        return;
    }
    _cleanup_(out_done) struct out who = {0};
    char id[MODEL_ID_TEXT_MAX];
    put_who(s, &who);
    broadcast_set_feed(broadcast_of(s), NULL);
    if (s->state == STEP_UP) {
        step_lost(s, "%s left", out_str(&who));
    } else if (is_anybody(s)) {
        step_waits(s, "nobody publishes in room %s yet",
                   model_id_text(&request_of(s)->room_id, id));
    } else if (may_wait(s)) {
        step_waits(s, "%s does not publish in room %s yet", out_str(&who),
                   model_id_text(&request_of(s)->room_id, id));
    } else {
        struct error err = {0};
        error_set(&err, -ENOENT, "publisher_id", "%s does not publish in room %s", out_str(&who),
                  model_id_text(&request_of(s)->room_id, id));
        step_failed(s, &err, true);
    }
}

static void on_in(void *user)
{
    look(user);
}

static void on_feed(void *user, const struct janus_feed *feed)
{
    struct step *s = user;
    if (find(s) == feed) {
        look(s);
    }
}

static void on_feed_gone(void *user, const struct model_id *id, const char *why)
{
    struct step *s = user;
    struct broadcast *b = broadcast_of(s);
    if (b->feed && model_id_equal(&b->feed->id, id)) {
        _cleanup_(out_done) struct out who = {0};
        put_who(s, &who);
        broadcast_set_feed(b, NULL);
        step_lost(s, "%s is gone: %s", out_str(&who), why);
    }
}

static void fail_out(struct step *s, const struct error *why, int code, bool permanent)
{
    struct error err = {0};
    error_set(&err, why->code, s->kind->name, "cannot listen in the room: %s (%d)", why->text,
              code);
    if (s->state == STEP_UP) {
        step_lost(s, "%s", err.text);
    } else if (permanent || !s->runner->was_up) {
        step_failed(s, &err, permanent);
    } else {
        step_waits(s, "%s", err.text);
    }
}

static void on_out(void *user, const struct error *err, int code, bool permanent)
{
    struct step *s = user;
    struct step *room = runner_find(s->runner, "room");
    if (code == JANUS_ROOM_NO_SUCH && room) {
        room->ours = false;
        step_lost(room, "the room is gone");
    }
    fail_out(s, err, code, permanent);
}

static void hear(struct step *s)
{
    static const struct room_ear_ops ops = {
        .on_in = on_in, .on_feed = on_feed, .on_feed_gone = on_feed_gone, .on_out = on_out};
    struct publisher_step *p = PUBLISHER(s);
    const struct broadcast_request *q = request_of(s);
    if (!p->ear) {
        const struct room_ear_config config = {.room = q->room_id,
                                               .display = q->listener_display,
                                               .pin = q->room_spec ? q->room_spec->pin : NULL};
        p->ear = room_ear_new(p->js.server, &config, &ops, s);
    }
    int code;
    bool permanent;
    const struct error *out = room_ear_out(p->ear, &code, &permanent);
    if (room_ear_is_in(p->ear)) {
        look(s);
    } else if (out) {
        fail_out(s, out, code, permanent);
    }
}

static void start(struct step *s)
{
    janus_step_ready(s, hear);
}

static void drop(struct step *s)
{
    PUBLISHER(s)->ear = room_ear_free(PUBLISHER(s)->ear);
    janus_step_drop(s);
}

static void stop(struct step *s)
{
    drop(s);
    broadcast_set_feed(broadcast_of(s), NULL);
    step_stopped(s, 0, NULL);
}

const struct step_kind step_publisher = {
    .name = "publisher",
    .peer = "janus",
    .size = sizeof(struct publisher_step),
    .reads = FACT_ROOM,
    .writes = FACT_PUBLISHER,
    .describe = describe,
    .start = start,
    .stop = stop,
    .drop = drop,
};
