/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions: each call is answered once, by the server, by its deadline, or by the end of what it was asked of. */
#include "peer/janus/janus_private.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <errno.h>
#include <jansson.h>

/* Out of the table and off its timers; only the answer is left to give. */
static void settle(struct janus_call *c)
{
    if (c->transaction != 0) {
        map_remove_u64(&c->janus->calls, c->transaction);
        c->transaction = 0;
    }
    c->deadline = loop_timer_free(c->deadline);
    loop_task_cancel(&c->end);
}

static void call_free(struct janus_call *c)
{
    settle(c);
    list_remove(&c->node);
    free(c->own);
    free(c->own_text);
    free(c);
}

void janus_call_forget(struct janus_call *c)
{
    bool asked = c->asked;
    c->asked = false;
    if (asked && c->handle->backend->forget) {
        c->handle->backend->forget(c->handle->backend_user, c);
    }
}

static void answer(struct janus_call *c, const struct janus_result *res)
{
    c->asked = false;
    settle(c);
    list_remove(&c->node);
    /* c lives on during done, which may look at its message and must not cancel it. */
    c->done(c->user, res);
    call_free(c);
}

static void on_end(struct loop_task *t)
{
    struct janus_call *c = CONTAINER_OF(t, struct janus_call, end);
    answer(c, &(struct janus_result){.r = c->r, .text = c->text});
}

static void on_deadline(void *user)
{
    struct janus_call *c = user;
    janus_call_forget(c);
    answer(c, &(struct janus_result){.r = -ETIMEDOUT, .text = "Janus did not answer in time"});
}

struct janus_call *janus_call_new(struct loop *l, struct janus *j, struct janus_handle *h,
                                  janus_done_fn done, void *user)
{
    struct janus_call *c = mem_new(struct janus_call);
    c->loop = l;
    c->janus = j;
    c->handle = h;
    c->done = done;
    c->user = user;
    c->fits = JANUS_FITS_PLUGIN;
    list_init(&c->node);
    loop_task_init(&c->end, on_end);
    if (h) {
        list_append(&h->calls, &c->node);
    }
    return c;
}

void janus_call_end_later(struct janus_call *c, int r, const char *text)
{
    settle(c);
    c->r = r;
    c->text = text;
    loop_defer(c->loop, LOOP_STAGE_NOTIFY, &c->end);
}

static void start_deadline(struct janus_call *c, unsigned timeout_ms)
{
    c->deadline = loop_timer_new(c->loop, on_deadline, c);
    loop_timer_start(c->deadline, timeout_ms);
}

void janus_call_send(struct janus_call *c, struct janus_request *r, unsigned timeout_ms)
{
    struct janus *j = c->janus;
    if (j->calls.len >= JANUS_CALLS_MAX) {
        janus_call_end_later(c, -EAGAIN, "too many requests are under way at this Janus");
        return;
    }
    r->transaction = ++j->next_transaction;
    if (!janus_send(j, r)) {
        janus_call_end_later(c, -EAGAIN, "there is no connection to Janus");
        return;
    }
    c->transaction = r->transaction;
    map_set_u64(&j->calls, c->transaction, c);
    start_deadline(c, timeout_ms ? timeout_ms : j->request_ms);
}

struct janus_call *janus_call_of(struct janus *j, const struct janus_message *m)
{
    uint64_t transaction = janus_transaction_parse(m->transaction);
    struct janus_call *c = transaction ? map_get_u64(&j->calls, transaction) : NULL;
    if (!c || (m->kind == JANUS_ACK && !(c->fits & JANUS_FITS(JANUS_ACK)))) {
        return NULL;
    }
    return c;
}

static bool is_answer(const struct janus_call *c, const struct janus_message *m)
{
    bool told = c->fits != JANUS_FITS_PLUGIN || (m->plugindata && m->plugindata->data);
    return told && (c->fits & JANUS_FITS(m->kind)) != 0;
}

/* The verdict is in three places: Janus' own error, the plugin's inside a success, and whether it was an answer at all. */
static struct janus_result result_of(const struct janus_call *c, const struct janus_message *m,
                                     struct bytes reply)
{
    struct janus_result res = {.reply = reply, .text = ""};
    if (m->plugindata && m->plugindata->data) {
        res.data = BYTES_STR(m->plugindata->data);
    }
    if (m->jsep) {
        res.sdp_type = m->jsep->type;
        res.sdp = m->jsep->sdp;
    }
    if (m->kind == JANUS_ERROR) {
        res.r = -EREMOTEIO;
        res.code = m->error ? m->error->code : 0;
        res.text = m->error && m->error->reason ? m->error->reason : "Janus says error";
    } else if (m->plugin_code != 0) {
        res.r = -EREMOTEIO;
        res.code = m->plugin_code;
        res.text = m->plugin_error ? m->plugin_error : "the plugin refuses";
    } else if (!is_answer(c, m)) {
        res.r = -EPROTO;
        res.text = "Janus answers with what is no answer to this";
    }
    return res;
}

void janus_call_finish(struct janus_call *c, const struct janus_message *message,
                       struct bytes reply)
{
    struct janus_result res = result_of(c, message, reply);
    c->message = message;
    answer(c, &res);
}

void janus_calls_lose(struct janus *j, int r, const char *text)
{
    struct map_slot *slot;
    while ((slot = map_next(&j->calls, NULL))) {
        janus_call_end_later(slot->value, r, text);
    }
}

struct janus_call *janus_call_cancel(struct janus_call *c)
{
    if (c) {
        janus_call_forget(c);
        call_free(c);
    }
    return NULL;
}

/* ---- what plugins are asked ---- */

static void ask_ours(struct janus_call *c, const struct janus_ask *ask)
{
    struct janus_handle *h = c->handle;
    struct janus_request r = {
        .janus = "message",
        .handle_id = h->id,
        .body = ask->body,
        .sdp_type = ask->sdp_type,
        .sdp = ask->sdp,
    };
    if (!h->janus || h->janus->state != JANUS_UP) {
        janus_call_end_later(c, -EAGAIN, "there is no connection to Janus");
        return;
    }
    if (h->state != HANDLE_ATTACHED) {
        janus_call_end_later(c, -EAGAIN, "the plugin is not attached");
        return;
    }
    janus_call_send(c, &r, ask->timeout_ms);
}

static void ask_backend(struct janus_call *c, const struct janus_ask *ask)
{
    const struct janus_handle *h = c->handle;
    if (h->state != HANDLE_ATTACHED) {
        janus_call_end_later(c, -EAGAIN, "the plugin is not attached");
        return;
    }
    int r = h->backend->ask(h->backend_user, c, ask);
    if (r < 0) {
        janus_call_end_later(c, -EAGAIN, "the session's owner cannot ask now");
        return;
    }
    c->asked = true;
    start_deadline(c, ask->timeout_ms ? ask->timeout_ms : 10000);
}

static struct janus_call *ask_checked(struct janus_handle *h, const struct janus_ask *ask,
                                      janus_done_fn done, void *user)
{
    struct janus_call *c = janus_call_new(h->loop, h->janus, h, done, user);
    if (h->backend || (h->janus && h->janus->source)) {
        ask_backend(c, ask);
    } else {
        ask_ours(c, ask);
    }
    return c;
}

/* A question that is not asked: what is wrong with it comes as the answer. */
static struct janus_call *refuse(struct janus_handle *h, const struct error *err,
                                 janus_done_fn done, void *user)
{
    struct janus_call *c = janus_call_new(h->loop, NULL, h, done, user);
    c->own_text = mem_printf("%s%s%s", err->where, err->where[0] ? ": " : "", err->text);
    janus_call_end_later(c, -EINVAL, c->own_text);
    return c;
}

/* What is no JSON would break the message around it, and what is no text the whole connection. */
static int check(const struct janus_ask *ask, struct error *err)
{
    json_t *body = json_loadb((const char *)ask->body.data, ask->body.len, 0, NULL);
    bool fits = json_is_object(body);
    json_decref(body);
    if (!fits) {
        return error_set(err, -EINVAL, "body", "must be a JSON object");
    }
    if (ask->sdp && (!utf8_valid(BYTES_STR(ask->sdp)) || !ask->sdp_type)) {
        return error_set(err, -EINVAL, "sdp", "must be text, and of a type");
    }
    return 0;
}

struct janus_call *janus_ask(struct janus_handle *h, const struct janus_ask *ask,
                             janus_done_fn done, void *user)
{
    struct error err = {0};
    return check(ask, &err) < 0 ? refuse(h, &err, done, user) : ask_checked(h, ask, done, user);
}

struct janus_call *janus_ask_own(struct janus_handle *h, char *body, const struct error *err,
                                 janus_done_fn done, void *own)
{
    const struct janus_ask ask = {.body = BYTES_STR(body ? body : "")};
    struct janus_call *c = body ? ask_checked(h, &ask, done, own) : refuse(h, err, done, own);
    c->own = own;
    free(body);
    return c;
}

void janus_handle_answer(struct janus_call *call, struct bytes message)
{
    struct janus_message m;
    struct error err;
    if (janus_message_parse(&m, message, &err) < 0) {
        call->asked = false;
        janus_call_end_later(call, -EPROTO, "the answer is no message of Janus");
        return;
    }
    if (m.kind != JANUS_ACK) {
        janus_call_finish(call, &m, message);
    }
    janus_message_done(&m);
}
