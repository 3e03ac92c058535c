/* SPDX-License-Identifier: Apache-2.0 */
/* The connection to one OBS and the requests over it: see the table of states in obs.h. */
#include "peer/obs/obs.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "peer/obs/obs_private.h"
#include "peer/obs/obs_wire.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

LOG_TOPIC(topic, "obs");

#define PROTOCOL             "obswebsocket.json"
#define BACKOFF_MS           250u
#define BACKOFF_MAX_MS       10000u
#define STEADY_NS            (INT64_C(10) * 1000000000) /* UP for so long was no failure */
#define CLOSE_GOING_AWAY     1001
#define CLOSE_WRONG_PASSWORD 4009
#define CLOSE_RPC_VERSION    4010

struct obs_call {
    struct obs *obs;
    uint64_t id; /* 0: never left */
    obs_done_fn done;
    void *user;
    void *own; /* freed with it */
    struct loop_timer *deadline;
    struct loop_task end; /* LOOP_STAGE_NOTIFY */
    int r;
    const char *text;
};

const char *obs_state_to_str(enum obs_state s)
{
    static const char *const names[] = {"connecting", "up", "waiting", "refused"};
    return names[s];
}

const char *obs_output_to_str(enum obs_output o)
{
    static const char *const names[] = {"unknown", "stopped",      "starting",
                                        "started", "reconnecting", "stopping"};
    return names[o];
}

/* ---- requests ---- */

static void call_free(struct obs_call *c)
{
    map_remove_u64(&c->obs->calls, c->id);
    loop_timer_free(c->deadline);
    loop_task_cancel(&c->end);
    free(c->own);
    free(c);
}

/* The owner may free the whole OBS in its callback: nothing of it is touched after. */
static void answer(struct obs_call *c, const struct obs_result *res)
{
    obs_done_fn done = c->done;
    void *user = c->user;
    void *own = TAKE_PTR(c->own);
    call_free(c);
    done(user, res);
    free(own);
}

static void on_call_end(struct loop_task *t)
{
    struct obs_call *c = CONTAINER_OF(t, struct obs_call, end);
    answer(c, &(struct obs_result){.r = c->r, .text = c->text});
}

static void end_later(struct obs_call *c, int r, const char *text)
{
    c->r = r;
    c->text = text;
    loop_timer_stop(c->deadline);
    loop_defer(c->obs->loop, LOOP_STAGE_NOTIFY, &c->end);
}

static void on_call_deadline(void *user)
{
    answer(user, &(struct obs_result){.r = -ETIMEDOUT, .text = "OBS did not answer in time"});
}

static bool send_request(struct obs *o, const char *type, uint64_t id, struct bytes data)
{
    if (o->state != OBS_UP) {
        return false;
    }
    _cleanup_(out_done) struct out text = {0};
    obs_put_request(&text, type, id, data);
    ws_send_text(o->ws, out_view(&text));
    return true;
}

/* What is no JSON would break the message around it, for which OBS hangs up. */
static bool is_object(struct bytes data)
{
    json_t *o = json_loadb((const char *)data.data, data.len, 0, NULL);
    bool is = json_is_object(o);
    json_decref(o);
    return is;
}

static struct obs_call *ask(struct obs *o, const char *request_type, struct bytes data,
                            obs_done_fn done, void *user, void *own)
{
    struct obs_call *c = mem_new(struct obs_call);
    c->obs = o;
    c->id = ++o->next_id;
    c->done = done;
    c->user = user;
    c->own = own;
    c->deadline = loop_timer_new(o->loop, on_call_deadline, c);
    loop_task_init(&c->end, on_call_end);
    bool room = o->calls.len < OBS_CALLS_MAX;
    map_set_u64(&o->calls, c->id, c);
    if (!room) {
        end_later(c, -EAGAIN, "too many requests are under way at this OBS");
    } else if (data.len > 0 && !is_object(data)) {
        end_later(c, -EINVAL, "requestData: must be a JSON object");
    } else if (!send_request(o, request_type, c->id, data)) {
        end_later(c, -EAGAIN, "there is no connection to OBS");
    } else {
        loop_timer_start(c->deadline, o->timeout_ms);
    }
    return c;
}

struct obs_call *obs_call_new(struct obs *o, const char *request_type, struct bytes data,
                              obs_done_fn done, void *user)
{
    return ask(o, request_type, data, done, user, NULL);
}

struct obs_call *obs_call_cancel(struct obs_call *c)
{
    if (c) {
        call_free(c);
    }
    return NULL;
}

void obs_ask(struct obs *o, const char *request_type, struct bytes data, obs_done_fn done,
             void *user)
{
    ask(o, request_type, data, done, user, NULL);
}

static void lose_calls(struct obs *o)
{
    MAP_FOREACH (slot, &o->calls) {
        struct obs_call *c = slot->value;
        if (!loop_task_pending(&c->end)) {
            end_later(c, -ENOTCONN, "the connection to OBS was lost");
        }
    }
}

static void drop_calls(struct obs *o)
{
    struct map_slot *slot;
    while ((slot = map_next(&o->calls, NULL))) {
        call_free(slot->value);
    }
}

struct status_question {
    obs_status_fn done;
    void *user;
};

static void on_status(void *user, const struct obs_result *res)
{
    const struct status_question *q = user;
    struct obs_status status = {0};
    struct obs_result result = *res;
    struct error err = {0};
    if (res->r == 0 && obs_status_parse(res->data, &status, &err) < 0) {
        result.r = -EPROTO;
        result.text = err.text;
    }
    q->done(q->user, &result, result.r == 0 ? &status : NULL);
}

void obs_ask_status(struct obs *o, obs_status_fn done, void *user)
{
    struct status_question *q = mem_new(struct status_question);
    *q = (struct status_question){done, user};
    ask(o, "GetStreamStatus", BYTES(NULL, 0), on_status, q, q);
}

/* ---- connection ---- */

static void on_down(struct loop_task *t)
{
    struct obs *o = CONTAINER_OF(t, struct obs, down);
    if (o->ops.on_down) {
        o->ops.on_down(o->user, &o->why, o->permanent);
    }
}

static void close_socket(struct obs *o)
{
    if (o->ws) {
        ws_close(TAKE_PTR(o->ws), CLOSE_GOING_AWAY, NULL);
    }
}

static uint64_t wait_ms(const struct obs *o)
{
    unsigned doublings = MIN(o->failures, 10u);
    uint64_t most = MIN(BACKOFF_MS << doublings, BACKOFF_MAX_MS);
    return most - random_below(most / 2 + 1);
}

static void lose(struct obs *o, int r, bool permanent, const char *text)
{
    if (o->state == OBS_UP && loop_now_ns(o->loop) - o->up_ns > STEADY_NS) {
        o->failures = 0;
    }
    error_set(&o->why, r, o->name, "%s", text);
    log_warn("%s: %s%s", o->name, text, permanent ? "" : "; trying again");
    close_socket(o);
    loop_timer_stop(o->identify);
    o->permanent = permanent;
    o->output = OBS_OUTPUT_UNKNOWN;
    o->state = permanent ? OBS_REFUSED : OBS_WAITING;
    lose_calls(o);
    obs_bridge_lost(o);
    if (!permanent) {
        loop_timer_start(o->wait, wait_ms(o));
        o->failures++;
    }
    loop_defer(o->loop, LOOP_STAGE_NOTIFY, &o->down);
}

static void identify(struct obs *o, const struct obs_message *m)
{
    _cleanup_(out_done) struct out text = {0};
    _cleanup_free_ char *proof = NULL;
    o->greeted = true;
    if (m->challenge && !o->password) {
        lose(o, -EACCES, true, "OBS wants a password");
        return;
    }
    if (m->challenge) {
        proof = obs_authentication(o->password, m->salt, m->challenge);
    }
    obs_put_identify(&text, proof);
    ws_send_text(o->ws, out_view(&text));
}

/* What it does now: events tell only changes. */
static void on_first_status(void *user, const struct obs_result *res, const struct obs_status *s)
{
    struct obs *o = user;
    if (res->r == -ETIMEDOUT) {
        lose(o, res->r, false, "OBS does not say whether it streams");
        return;
    }
    if (res->r < 0 || o->output != OBS_OUTPUT_UNKNOWN) {
        return;
    }
    o->output = s->reconnecting ? OBS_OUTPUT_RECONNECTING
                : s->active     ? OBS_OUTPUT_STARTED
                                : OBS_OUTPUT_STOPPED;
    loop_defer(o->loop, LOOP_STAGE_NOTIFY, &o->tell_output);
}

static void on_tell_output(struct loop_task *t)
{
    struct obs *o = CONTAINER_OF(t, struct obs, tell_output);
    if (o->ops.on_output) {
        o->ops.on_output(o->user, o->output);
    }
}

static void come_up(struct obs *o)
{
    if (o->state != OBS_CONNECTING || !o->greeted) {
        return;
    }
    log_info("%s: connected", o->name);
    loop_timer_stop(o->identify);
    loop_task_cancel(&o->down);
    o->state = OBS_UP;
    o->up_ns = loop_now_ns(o->loop);
    o->why = (struct error){0};
    obs_ask_status(o, on_first_status, o);
    if (o->ops.on_up) {
        o->ops.on_up(o->user);
    }
}

static void take_response(struct obs *o, const struct obs_message *m)
{
    struct obs_call *c = m->id ? map_get_u64(&o->calls, m->id) : NULL;
    struct obs_result res = {.code = m->code, .text = ""};
    if (!c) {
        return;
    }
    if (m->data) {
        res.data = BYTES_STR(m->data);
    }
    if (!m->result) {
        res.r = -EREMOTEIO;
        res.text = m->comment ? m->comment : "OBS refuses and does not say why";
    }
    answer(c, &res);
}

static void take_event(struct obs *o, const struct obs_message *m)
{
    if (m->output == OBS_OUTPUT_UNKNOWN || m->output == o->output) {
        return;
    }
    o->output = m->output;
    log_info("%s: the stream output is %s", o->name, obs_output_to_str(m->output));
    loop_defer(o->loop, LOOP_STAGE_NOTIFY, &o->tell_output);
    obs_bridge_output(o); /* which may end in the owner's hands: the last */
}

static void on_text(void *user, struct bytes text)
{
    struct obs *o = user;
    struct obs_message m;
    struct error err = {0};
    if (obs_message_parse(text, &m, &err) < 0) {
        log_debug("%s: dropping a message that is none of OBS: %s", o->name, err.text);
        return;
    }
    switch (m.op) {
    case OBS_OP_HELLO:
        if (o->state == OBS_CONNECTING && !o->greeted) {
            identify(o, &m);
        }
        break;
    case OBS_OP_IDENTIFIED:
        come_up(o);
        break;
    case OBS_OP_RESPONSE:
        take_response(o, &m);
        break;
    case OBS_OP_EVENT:
        take_event(o, &m);
        break;
    default:
        break;
    }
    obs_message_done(&m);
}

static void on_close(void *user, int code, const char *reason)
{
    struct obs *o = user;
    char text[160];
    if (code == CLOSE_WRONG_PASSWORD) {
        lose(o, -EACCES, true, "OBS refuses the password");
    } else if (code == CLOSE_RPC_VERSION) {
        lose(o, -EPROTONOSUPPORT, true, "OBS speaks another version of its protocol");
    } else {
        snprintf(text, sizeof(text), "the connection ended (%d)%s%s", code,
                 reason && reason[0] ? ": " : "", reason ? reason : "");
        lose(o, -ENOTCONN, false, text);
    }
}

static void on_identify_late(void *user)
{
    lose(user, -ETIMEDOUT, false, "OBS did not say that it knows us in time");
}

static void open_socket(struct obs *o)
{
    static const struct ws_ops ops = {.on_text = on_text, .on_close = on_close};
    struct error err = {0};
    const struct ws_connect how = {
        .url = o->url, .protocol = PROTOCOL, .tls = o->tls, .timeout_ms = o->timeout_ms};
    o->state = OBS_CONNECTING;
    o->greeted = false;
    o->ws = ws_connect(o->loop, &how, &ops, o, &err);
    if (!o->ws) {
        lose(o, err.code, false, err.text);
        return;
    }
    ws_set_max_message(o->ws, OBS_MESSAGE_MAX);
    loop_timer_start(o->identify, 2 * (uint64_t)o->timeout_ms);
}

static void on_wait(void *user)
{
    open_socket(user);
}

/* ---- life ---- */

struct obs *obs_new(struct loop *l, const struct obs_connection *connection,
                    struct tls_context *tls, const struct obs_ops *ops, void *user,
                    struct error *err)
{
    const char *host = connection->host ? connection->host : "127.0.0.1";
    int32_t port = connection->port ? connection->port : 4455;
    bool v6 = strchr(host, ':') != NULL;
    if (connection->secure && !tls) {
        error_set(err, -EINVAL, "secure", "needs certificates to trust");
        return NULL;
    }
    struct obs *o = mem_new(struct obs);
    o->loop = l;
    o->ops = *ops;
    o->user = user;
    o->name = mem_printf(v6 ? "[%s]:%d" : "%s:%d", host, port);
    o->url = mem_printf("%s://%s", connection->secure ? "wss" : "ws", o->name);
    o->password =
        connection->password && connection->password[0] ? mem_strdup(connection->password) : NULL;
    o->tls = tls;
    o->timeout_ms =
        connection->timeout_ns > 0 ? (unsigned)(connection->timeout_ns / 1000000) : 10000;
    o->wait = loop_timer_new(l, on_wait, o);
    o->identify = loop_timer_new(l, on_identify_late, o);
    loop_task_init(&o->down, on_down);
    loop_task_init(&o->tell_output, on_tell_output);
    obs_bridge_init(o);
    error_set(&o->why, -ENOTCONN, o->name, "not connected yet");
    o->state = OBS_WAITING;
    loop_timer_start(o->wait, 0);
    return o;
}

struct obs *obs_free(struct obs *o)
{
    if (!o) {
        return NULL;
    }
    close_socket(o);
    obs_bridge_done(o);
    drop_calls(o);
    map_done(&o->calls);
    loop_task_cancel(&o->down);
    loop_task_cancel(&o->tell_output);
    loop_timer_free(o->wait);
    loop_timer_free(o->identify);
    free(o->name);
    free(o->url);
    free(o->password);
    free(o);
    return NULL;
}

enum obs_state obs_state(const struct obs *o)
{
    return o->state;
}

enum obs_output obs_output(const struct obs *o)
{
    return o->output;
}

const char *obs_reason(const struct obs *o)
{
    return o->why.text;
}

void obs_retry(struct obs *o)
{
    if (o->state == OBS_WAITING || o->state == OBS_REFUSED) {
        loop_timer_start(o->wait, 0);
    }
}
