/* SPDX-License-Identifier: Apache-2.0 */
/* What all steps at a Janus server have in common: waiting for the server, and what its answers mean for a step. */
#include "base/mem.h"
#include "service/broadcast/broadcast_private.h"

#include <errno.h>
#include <stdio.h>

/* Unauthorized, malformed, exists already: asking again brings the same answer. */
static bool is_permanent(const struct janus_result *res)
{
    return res->r == -EREMOTEIO || res->r == -EINVAL || res->r == -EPROTO;
}

static void on_ready(struct janus_server_user *u, bool lost)
{
    struct janus_step *js = CONTAINER_OF(u, struct janus_step, use);
    void (*next)(struct step *) = js->when_ready;
    if (next) {
        js->when_ready = NULL;
        janus_server_leave(u);
        next(&js->step);
    }
}

/* Still waiting; why, is known better with each try. */
static void on_down(struct janus_server_user *u)
{
    struct janus_step *js = CONTAINER_OF(u, struct janus_step, use);
    struct step *s = &js->step;
    free(s->reason);
    s->reason = mem_strdup(janus_server_reason(js->server));
    broadcast_look(broadcast_of(s));
}

/* Whatever is under way, it cannot be done. */
static void give_up(struct step *s, const struct error *err, bool permanent)
{
    if (s->state == STEP_ADOPTING) {
        step_adopted(s, err->code, STEP_ABSENT, err);
    } else if (s->state == STEP_STOPPING) {
        step_stopped(s, err->code, err);
    } else {
        step_failed(s, err, permanent);
    }
}

void janus_step_ready(struct step *s, void (*next)(struct step *s))
{
    struct janus_step *js = JANUS_STEP(s);
    struct error err = {0};
    janus_step_drop(s); /* a check may be under way, of which nobody shall hear any more */
    if (!js->server && janus_servers_get(broadcast_of(s)->service->config.janus,
                                         request_of(s)->janus, &js->server, &err) < 0) {
        give_up(s, &err, true);
        return;
    }
    if (janus_server_ready(js->server)) {
        next(s);
        return;
    }
    free(s->reason);
    s->reason = mem_strdup(janus_server_reason(js->server));
    if (!s->runner->up && janus_state(janus_server_client(js->server)) == JANUS_WAITING) {
        /* A debt, paid when the server is back: an end does not wait for it. */
        error_set(&err, -ENOTCONN, s->kind->name, "%s", s->reason);
        give_up(s, &err, false);
        return;
    }
    if (!js->use.node.next) {
        list_init(&js->use.node);
        js->use.on_ready = on_ready;
        js->use.on_down = on_down;
    }
    js->when_ready = next;
    janus_server_use(js->server, &js->use);
}

void janus_step_drop(struct step *s)
{
    struct janus_step *js = JANUS_STEP(s);
    js->call = janus_call_cancel(js->call);
    js->when_ready = NULL;
    janus_server_leave(&js->use);
}

bool janus_says_gone(const struct janus_result *res)
{
    return res->r == -EREMOTEIO &&
           (res->code == JANUS_STREAMING_NO_SUCH || res->code == JANUS_ROOM_NO_SUCH ||
            res->code == JANUS_ROOM_NO_FEED);
}

static void explain(const struct step *s, const struct janus_result *res, const char *what,
                    struct error *err)
{
    const char *server =
        JANUS_STEP(s)->server ? janus_server_config(JANUS_STEP(s)->server)->name : "?";
    if (res->code) {
        error_set(err, res->r, s->kind->name, "janus %s refused to %s: %s (%d)", server, what,
                  res->text, res->code);
    } else {
        error_set(err, res->r, s->kind->name, "janus %s did not %s: %s", server, what, res->text);
    }
}

void janus_step_fail(struct step *s, const struct janus_result *res, const char *what)
{
    struct error err = {0};
    explain(s, res, what, &err);
    bool unknown = res->r == -ETIMEDOUT || res->r == -ENOTCONN || res->r == -EPROTO;
    if (unknown && s->acted) {
        step_unsure(s, &err);
    } else {
        step_failed(s, &err, is_permanent(res));
    }
}

void janus_step_miss(struct step *s, const struct janus_result *res, const char *what)
{
    struct error err = {0};
    explain(s, res, what, &err);
    step_failed(s, &err, false);
}

void janus_step_on_destroyed(void *user, const struct janus_result *res)
{
    struct step *s = user;
    JANUS_STEP(s)->call = NULL;
    janus_step_undone(s, res);
}

void janus_step_stop(struct step *s, void (*destroy)(struct step *s))
{
    janus_step_drop(s);
    s->kept = !s->ours || !request_of(s)->owned_by_app;
    if (s->kept) {
        step_stopped(s, 0, NULL);
    } else {
        janus_step_ready(s, destroy);
    }
}

void janus_step_undone(struct step *s, const struct janus_result *res)
{
    if (res->r == 0 || janus_says_gone(res)) {
        step_stopped(s, 0, NULL);
        return;
    }
    struct error err = {0};
    explain(s, res, "undo it", &err);
    step_stopped(s, res->r, &err);
}
