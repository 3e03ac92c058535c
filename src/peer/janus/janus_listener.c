/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A participant that never publishes, because only who joined a room hears who publishes and who leaves it. When the handle is
 * attached anew, or the room comes back, it joins again; a plugin's refusal is asked about again with growing waits. Who was
 * inside once gets in again only with another handle, whether it was kicked or the room was destroyed.
 */
#include "peer/janus/janus_room.h"

#include "base/log.h"
#include "base/mem.h"
#include "peer/janus/janus_private.h"
#include "peer/janus/janus_room_wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

LOG_TOPIC(topic, "janus.room");

#define RETRY_FIRST_MS 500
#define RETRY_MAX_MS   15000u
#define MISSING_PIN    429
#define STEADY_NS      (INT64_C(10) * 1000000000) /* who was inside so long did not fail */

struct janus_listener {
    struct loop *loop;
    struct janus_handle *handle;
    struct janus_listener_ops ops;
    void *user;
    struct model_id room;
    char *display, *pin, *token;
    struct janus_call *joining;
    struct loop_timer *retry;
    unsigned retry_ms;
    bool inside;
    int64_t inside_ns;
    bool telling;    /* callbacks run whose end is waited for: its memory stays until then */
    bool freed;      /* by its owner, in one of them */
    char *last_gone; /* unpublished is said twice, and leaving after it: told once */
};

static void retry_later(struct janus_listener *l)
{
    loop_timer_start(l->retry, l->retry_ms);
    l->retry_ms = MIN(2 * l->retry_ms, RETRY_MAX_MS);
}

static void on_retry(void *user)
{
    struct janus_listener *l = user;
    if (janus_handle_is_attached(l->handle) && !l->inside && !l->joining) {
        janus_handle_renew(l->handle);
    }
}

/* Out of the room; the owner is told last, because it may free the listener. */
static void leave_with(struct janus_listener *l, int r, int code, const char *text, bool permanent)
{
    struct error err;
    char buf[MODEL_ID_TEXT_MAX];
    error_set(&err, r, model_id_text(&l->room, buf), "%s", text);
    if (l->inside && loop_now_ns(l->loop) - l->inside_ns > STEADY_NS) {
        l->retry_ms = RETRY_FIRST_MS;
    }
    l->inside = false;
    if (!permanent) {
        retry_later(l);
    }
    l->ops.on_out(l->user, &err, code, permanent);
}

static void forget_gone(struct janus_listener *l)
{
    free(l->last_gone);
    l->last_gone = NULL;
}

/* Its owner may free it in any of these callbacks. */
static void tell_feeds(struct janus_listener *l, const struct janus_room_said *said, bool joined)
{
    l->telling = true;
    if (joined) {
        l->ops.on_joined(l->user);
    }
    for (unsigned i = 0; i < said->n_feeds && !l->freed; i++) {
        l->ops.on_feed(l->user, &said->feeds[i]);
    }
    l->telling = false;
    if (l->freed) {
        free(l);
    }
}

static void on_joined(void *user, const struct janus_result *res)
{
    struct janus_listener *l = user;
    struct janus_room_said said;
    l->joining = NULL;
    if (res->r == -EREMOTEIO) {
        bool permanent = res->code == JANUS_ROOM_UNAUTHORIZED || res->code == MISSING_PIN;
        leave_with(l, res->r, res->code, res->text, permanent);
        return;
    }
    if (res->r < 0 || janus_room_parse(res->data, &said, NULL) < 0) {
        /* The connection's end is told by others; the handle will be attached again. */
        retry_later(l);
        return;
    }
    l->inside = true;
    l->inside_ns = loop_now_ns(l->loop);
    forget_gone(l);
    tell_feeds(l, &said, true);
    janus_room_said_done(&said);
}

static void join(struct janus_listener *l)
{
    struct error err = {0};
    _cleanup_free_ char *body = janus_room_put_join(&l->room, l->display, l->pin, l->token, &err);
    if (!body) {
        l->ops.on_out(l->user, &err, 0, true);
        return;
    }
    const struct janus_ask ask = {.body = BYTES_STR(body)};
    l->joining = janus_ask(l->handle, &ask, on_joined, l);
}

static bool is_news(struct janus_listener *l, const struct janus_room_said *said)
{
    char buf[MODEL_ID_TEXT_MAX];
    const char *id = model_id_text(&said->gone, buf);
    if (l->last_gone && strcmp(l->last_gone, id) == 0) {
        return false;
    }
    forget_gone(l);
    l->last_gone = mem_strdup(id);
    return true;
}

static void take(struct janus_listener *l, const struct janus_room_said *said)
{
    if (strcmp(said->videoroom, "destroyed") == 0) {
        leave_with(l, -ENOENT, JANUS_ROOM_NO_SUCH, "the room was destroyed", false);
    } else if (said->self_gone) {
        leave_with(l, -EPERM, 0,
                   strcmp(said->self_why, "kicked") == 0 ? "we were kicked out of the room"
                                                         : "we are out of the room",
                   false);
    } else if (said->gone_why) {
        if (is_news(l, said)) {
            l->ops.on_feed_gone(l->user, &said->gone, said->gone_why);
        }
    } else if (said->n_feeds > 0) {
        forget_gone(l);
        tell_feeds(l, said, false);
    }
}

static void on_event(void *user, struct bytes data)
{
    struct janus_listener *l = user;
    struct janus_room_said said;
    struct error err = {0};
    if (janus_room_parse(data, &said, &err) < 0) {
        log_debug("dropping an event of a room: %s: %s", err.where, err.text);
        return;
    }
    take(l, &said);
    janus_room_said_done(&said);
}

static void on_attached(void *user, bool again)
{
    struct janus_listener *l = user;
    l->inside = false;
    l->joining = janus_call_cancel(l->joining);
    join(l);
}

/* Who came and left while there was no connection was told to nobody: joining anew tells who is there. */
static void on_resumed(void *user)
{
    struct janus_listener *l = user;
    l->inside = false;
    l->joining = janus_call_cancel(l->joining);
    janus_handle_renew(l->handle);
}

static void on_failed(void *user, const struct error *err)
{
    struct janus_listener *l = user;
    l->inside = false;
    l->ops.on_out(l->user, err, 0, true);
}

static char *copy_text(const char *s)
{
    return s ? mem_strdup(s) : NULL;
}

struct janus_listener *janus_listener_new(struct janus *j,
                                          const struct janus_listener_config *config,
                                          const struct janus_listener_ops *ops, void *user)
{
    static const struct janus_handle_ops handle_ops = {.on_attached = on_attached,
                                                       .on_event = on_event,
                                                       .on_failed = on_failed,
                                                       .on_resumed = on_resumed};
    struct janus_listener *l = mem_new(struct janus_listener);
    l->loop = j->loop;
    l->ops = *ops;
    l->user = user;
    l->room = *config->room;
    l->room.str = copy_text(config->room->str);
    l->display = mem_strdup(config->display ? config->display : "mast");
    l->pin = copy_text(config->pin);
    l->token = copy_text(config->token);
    l->retry_ms = RETRY_FIRST_MS;
    l->retry = loop_timer_new(j->loop, on_retry, l);
    l->handle = janus_handle_new(j, JANUS_VIDEOROOM, &handle_ops, l);
    return l;
}

struct janus_listener *janus_listener_free(struct janus_listener *l)
{
    if (!l) {
        return NULL;
    }
    l->joining = janus_call_cancel(l->joining);
    l->retry = loop_timer_free(l->retry);
    l->handle = janus_handle_free(l->handle); /* detaching leaves the room */
    forget_gone(l);
    free(l->room.str);
    free(l->display);
    free(l->pin);
    free(l->token);
    if (l->telling) {
        l->freed = true;
    } else {
        free(l);
    }
    return NULL;
}
