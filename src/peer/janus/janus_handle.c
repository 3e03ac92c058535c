/* SPDX-License-Identifier: Apache-2.0 */
/* Handles: attached when there is a session, attached again when there is another one. */
#include "peer/janus/janus_private.h"

#include "base/log.h"
#include "base/mem.h"

#include <errno.h>

LOG_TOPIC(topic, "janus");

#define STEADY_NS (INT64_C(10) * 1000000000) /* a handle that lived so long was no failure */

static void on_again(void *user);
static void on_resumed(struct loop_task *t);

static struct janus_handle *handle_new(struct loop *l, const char *name,
                                       const struct janus_handle_ops *ops, void *user)
{
    struct janus_handle *h = mem_new(struct janus_handle);
    h->loop = l;
    h->name = mem_strdup(name);
    h->ops = *ops;
    h->user = user;
    list_init(&h->node);
    list_init(&h->calls);
    loop_task_init(&h->resumed, on_resumed);
    h->again = loop_timer_new(l, on_again, h);
    return h;
}

struct janus_handle *janus_handle_new(struct janus *j, const char *plugin,
                                      const struct janus_handle_ops *ops, void *user)
{
    struct janus_handle *h = handle_new(j->loop, j->name, ops, user);
    h->janus = j;
    h->plugin = mem_strdup(plugin);
    list_append(&j->handles, &h->node);
    if (j->state == JANUS_UP) {
        janus_handle_attach(h);
    }
    return h;
}

struct janus_handle *janus_handle_from(struct loop *l, const char *name,
                                       const struct janus_backend *backend, void *backend_user,
                                       const struct janus_handle_ops *ops, void *user)
{
    struct janus_handle *h = handle_new(l, name, ops, user);
    h->backend = backend;
    h->backend_user = backend_user;
    h->state = HANDLE_ATTACHED;
    return h;
}

static void fail(struct janus_handle *h, const struct janus_result *res)
{
    struct error err;
    error_set(&err, res->r, h->name, "%s: %s", h->plugin, res->text);
    log_warn("%s: no handle of %s: %s", h->name, h->plugin, res->text);
    h->state = HANDLE_DETACHED;
    if (h->ops.on_failed) {
        h->ops.on_failed(h->user, &err);
    }
}

static void attach_later(struct janus_handle *h)
{
    h->state = HANDLE_DETACHED;
    loop_timer_start(h->again, janus_backoff_ms(h->janus, h->losses));
    h->losses++;
}

static void on_again(void *user)
{
    struct janus_handle *h = user;
    if (h->janus && h->janus->state == JANUS_UP && h->state == HANDLE_DETACHED) {
        janus_handle_attach(h);
    }
}

static void on_resumed(struct loop_task *t)
{
    struct janus_handle *h = CONTAINER_OF(t, struct janus_handle, resumed);
    if (h->state == HANDLE_ATTACHED && h->ops.on_resumed) {
        h->ops.on_resumed(h->user);
    }
}

static void on_attached(void *user, const struct janus_result *res)
{
    struct janus_handle *h = user;
    const struct janus_message *m = TAKE_PTR(h->attaching)->message;
    if (res->r == -EREMOTEIO) {
        fail(h, res);
        return;
    }
    if (res->r < 0 || m->id == 0) {
        /* No answer, no room for the request, or no sense in it; the session may be well for all that. */
        log_warn("%s: no handle of %s: %s; trying again", h->name, h->plugin,
                 res->r < 0 ? res->text : "Janus does not say which");
        attach_later(h);
        return;
    }
    bool again = h->attached_before;
    h->state = HANDLE_ATTACHED;
    h->id = m->id;
    h->attached_before = true;
    h->attached_ns = loop_now_ns(h->loop);
    if (h->ops.on_attached) {
        h->ops.on_attached(h->user, again);
    }
}

/* What an embedder has of it is not wanted any more. */
static void leave_seat(struct janus_handle *h)
{
    void *seat = TAKE_PTR(h->backend_user);
    if (seat && h->backend->detach) {
        h->backend->detach(seat);
    }
}

static void take_seat(struct janus_handle *h)
{
    const struct janus_source *s = h->janus->source;
    leave_seat(h);
    h->state = HANDLE_ATTACHING;
    loop_timer_stop(h->again);
    h->backend = &s->backend;
    h->backend_user = s->attach(h->janus->source_user, h, h->plugin);
}

void janus_handle_attached(struct janus_handle *h, const void *seat)
{
    if (h->backend_user != seat || h->state != HANDLE_ATTACHING) {
        return;
    }
    bool again = h->attached_before;
    h->state = HANDLE_ATTACHED;
    h->attached_before = true;
    h->attached_ns = loop_now_ns(h->loop);
    if (h->seat_lost && h->janus->ops.on_up) {
        h->janus->ops.on_up(h->janus->user, false); /* it may be another session */
    }
    h->seat_lost = false;
    if (h->ops.on_attached) {
        h->ops.on_attached(h->user, again);
    }
}

void janus_handle_detached(struct janus_handle *h, const void *seat, const char *why)
{
    if (h->backend_user != seat || !h->janus) {
        return;
    }
    log_warn("%s: no handle of %s: %s; trying again", h->name, h->plugin, why);
    if (h->state == HANDLE_ATTACHED && loop_now_ns(h->loop) - h->attached_ns > STEADY_NS) {
        h->losses = 0;
    }
    janus_handle_lose(h);
    h->backend_user = NULL;
    h->seat_lost = true;
    attach_later(h);
    if (h->janus->ops.on_down) {
        struct error err;
        error_set(&err, -ENOTCONN, h->name, "%s", why);
        h->janus->ops.on_down(h->janus->user, &err);
    }
}

void janus_handle_attach(struct janus_handle *h)
{
    if (h->janus->source) {
        take_seat(h);
        return;
    }
    struct janus_request r = {.janus = "attach", .plugin = h->plugin, .opaque_id = "mast"};
    h->state = HANDLE_ATTACHING;
    loop_timer_stop(h->again);
    janus_call_cancel(h->attaching);
    h->attaching = janus_call_new(h->loop, h->janus, NULL, on_attached, h);
    h->attaching->fits = JANUS_FITS(JANUS_SUCCESS);
    janus_call_send(h->attaching, &r, 0);
}

void janus_handle_lose(struct janus_handle *h)
{
    h->state = HANDLE_DETACHED;
    h->id = 0;
    h->attaching = janus_call_cancel(h->attaching);
    loop_timer_stop(h->again);
    loop_task_cancel(&h->resumed);
    LIST_FOREACH_SAFE (it, &h->calls) {
        struct janus_call *c = LIST_ENTRY(it, struct janus_call, node);
        if (!loop_task_pending(&c->end)) {
            janus_call_forget(c);
            janus_call_end_later(c, -ENOTCONN, "the session at Janus was lost");
        }
    }
}

void janus_handle_leave(struct janus_handle *h)
{
    h->attaching = janus_call_cancel(h->attaching);
    loop_timer_stop(h->again);
    h->state = HANDLE_DETACHED;
    h->janus = NULL;
    list_remove(&h->node);
}

void janus_handle_gone(struct janus_handle *h)
{
    log_warn("%s: a handle of %s was detached by others; attaching another", h->name, h->plugin);
    if (loop_now_ns(h->loop) - h->attached_ns > STEADY_NS) {
        h->losses = 0;
    }
    janus_handle_lose(h);
    if (h->janus->state == JANUS_UP) {
        attach_later(h);
    }
}

void janus_handle_renew(struct janus_handle *h)
{
    if (h->state == HANDLE_ATTACHED && !h->janus->source) {
        janus_detach(h->janus, h->id);
    }
    janus_handle_lose(h);
    if (h->janus->state == JANUS_UP) {
        janus_handle_attach(h);
    }
}

void janus_handle_take(struct janus_handle *h, const struct janus_message *m)
{
    switch (m->kind) {
    case JANUS_DETACHED:
        if (h->janus) {
            janus_handle_gone(h);
        }
        break;
    case JANUS_EVENT:
        if (h->ops.on_event && m->plugindata && m->plugindata->data) {
            h->ops.on_event(h->user, BYTES_STR(m->plugindata->data));
        }
        break;
    case JANUS_NEWS:
        if (h->ops.on_janus) {
            h->ops.on_janus(h->user, m->janus, m->reason ? m->reason : "");
        }
        break;
    case JANUS_SUCCESS:
    case JANUS_ACK:
    case JANUS_ERROR:
    case JANUS_TIMEOUT:
    case JANUS_SERVER_INFO:
    case JANUS_OTHER:
        break;
    }
}

void janus_handle_deliver(struct janus_handle *h, struct bytes message)
{
    struct janus_message m;
    if (janus_message_parse(&m, message, NULL) == 0) {
        janus_handle_take(h, &m);
        janus_message_done(&m);
    }
}

struct janus_handle *janus_handle_by_id(struct janus *j, int64_t id)
{
    LIST_FOREACH (it, &j->handles) {
        struct janus_handle *h = LIST_ENTRY(it, struct janus_handle, node);
        if (h->id == id && id != 0) {
            return h;
        }
    }
    return NULL;
}

static void detach(struct janus_handle *h)
{
    if (h->backend && h->plugin) {
        leave_seat(h);
    } else if (h->backend) {
        if (h->backend->detach) {
            h->backend->detach(h->backend_user);
        }
    } else if (h->state == HANDLE_ATTACHED) {
        janus_detach(h->janus, h->id);
    }
    h->attaching = janus_call_cancel(h->attaching); /* whose answer is seen to be late */
}

struct janus_handle *janus_handle_free(struct janus_handle *h)
{
    if (!h) {
        return NULL;
    }
    /* Their owners still get their one answer. */
    LIST_FOREACH_SAFE (it, &h->calls) {
        struct janus_call *c = LIST_ENTRY(it, struct janus_call, node);
        janus_call_forget(c);
        list_remove(&c->node);
        c->handle = NULL;
        janus_call_end_later(c, -ECANCELED, "the handle is gone");
    }
    detach(h);
    list_remove(&h->node);
    h->again = loop_timer_free(h->again);
    loop_task_cancel(&h->resumed);
    free(h->name);
    free(h->plugin);
    free(h);
    return NULL;
}

bool janus_handle_is_attached(const struct janus_handle *h)
{
    return h->state == HANDLE_ATTACHED;
}

const char *janus_handle_server(const struct janus_handle *h)
{
    return h->name;
}
