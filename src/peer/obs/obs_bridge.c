/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting and stopping the stream of an OBS that has settings of its own:
 *
 *   start   ASK_SERVICE ─► ASK_STATUS ─► SET_TARGET ─► START ─► WAIT_STARTED ─► answer
 *   stop    STOP ─► WAIT_STOPPED ─► PUT_BACK ─► answer
 *
 * One of them at a time. Every step has the one deadline of the whole.
 */
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "peer/obs/obs_private.h"
#include "peer/obs/obs_wire.h"

#include <errno.h>
#include <stdlib.h>

LOG_TOPIC(topic, "obs.bridge");

#define CODE_RUNNING     500 /* OutputRunning */
#define CODE_NOT_RUNNING 501
#define AGAIN_MS         200

/* An answer that comes later is nobody's: another start or stop may be at the same step by then. */
static void forget(struct obs_bridge *b)
{
    b->step = BRIDGE_IDLE;
    b->call = obs_call_cancel(b->call);
    loop_task_cancel(&b->refuse);
    loop_timer_stop(b->deadline);
    loop_timer_stop(b->again);
    free(b->server);
    free(b->key);
    b->server = b->key = NULL;
}

/* The end of either; the owner may do anything in its callback. */
static void finish(struct obs *o, const struct obs_result *res)
{
    struct obs_bridge *b = &o->bridge;
    obs_started_fn started = b->started;
    obs_done_fn stopped = b->stopped;
    void *user = b->user;
    struct obs_service previous = b->previous;
    bool changed = b->changed;
    forget(b);
    b->previous = (struct obs_service){0};
    b->changed = false;
    if (started) {
        started(user, res, changed ? &previous : NULL);
    } else {
        stopped(user, res);
    }
    model_done(&obs_service_model, &previous);
}

static void fail(struct obs *o, int r, const char *text)
{
    finish(o, &(struct obs_result){.r = r, .text = text});
}

static void on_deadline(void *user)
{
    struct obs *o = user;
    bool starting = o->bridge.started != NULL;
    fail(o, -ETIMEDOUT,
         starting ? "OBS did not start its stream in time" : "OBS did not stop its stream in time");
}

static void ask(struct obs *o, enum bridge_step step, const char *type, struct bytes data,
                obs_done_fn done)
{
    o->bridge.step = step;
    o->bridge.call = obs_call_new(o, type, data, done, o);
}

/* ---- start ---- */

static void on_start(void *user, const struct obs_result *res)
{
    struct obs *o = user;
    o->bridge.call = NULL;
    if (res->r < 0) {
        finish(o, res);
        return;
    }
    /* An OK is not a start. The events may have come before it. */
    o->bridge.step = BRIDGE_WAIT_STARTED;
    if (o->output == OBS_OUTPUT_STARTED) {
        finish(o, res);
    }
}

static void on_target(void *user, const struct obs_result *res)
{
    struct obs *o = user;
    o->bridge.call = NULL;
    if (res->r < 0) {
        /* Only a refusal, and what was never sent, left OBS as it was; a lost answer tells nothing. */
        o->bridge.changed = res->r != -EREMOTEIO && res->r != -EAGAIN;
        finish(o, res);
        return;
    }
    ask(o, BRIDGE_START, "StartStream", BYTES(NULL, 0), on_start);
}

static void set_target(struct obs *o)
{
    struct obs_bridge *b = &o->bridge;
    _cleanup_(out_done) struct out body = {0};
    obs_put_target(&body, &(struct obs_stream_target){b->server, b->key});
    b->changed = true;
    ask(o, BRIDGE_SET_TARGET, "SetStreamServiceSettings", out_view(&body), on_target);
}

static void on_status(void *user, const struct obs_result *res)
{
    struct obs *o = user;
    struct obs_bridge *b = &o->bridge;
    const struct obs_stream_target target = {b->server, b->key};
    struct obs_status s;
    b->call = NULL;
    if (res->r < 0) {
        finish(o, res);
    } else if (obs_status_parse(res->data, &s, NULL) < 0) {
        fail(o, -EPROTO, "OBS does not say whether it streams");
    } else if (!s.active) {
        set_target(o);
    } else if (obs_service_is(&b->previous, &target)) {
        log_info("%s: it streams to us already", o->name);
        finish(o, res);
    } else {
        fail(o, -EBUSY, "OBS streams to elsewhere already");
    }
}

static void on_service(void *user, const struct obs_result *res)
{
    struct obs *o = user;
    struct obs_bridge *b = &o->bridge;
    struct error err = {0};
    b->call = NULL;
    if (res->r < 0) {
        finish(o, res);
        return;
    }
    if (obs_service_parse(res->data, &b->previous, &err) < 0) {
        fail(o, -EPROTO, "OBS does not tell its stream settings");
        return;
    }
    ask(o, BRIDGE_ASK_STATUS, "GetStreamStatus", BYTES(NULL, 0), on_status);
}

/* ---- stop ---- */

static void put_back(struct obs *o);

static void on_put_back(void *user, const struct obs_result *res)
{
    struct obs *o = user;
    o->bridge.call = NULL;
    if (res->code == CODE_RUNNING) {
        /* It said STOPPED and is still at it. */
        loop_timer_start(o->bridge.again, AGAIN_MS);
        return;
    }
    finish(o, res);
}

static void put_back(struct obs *o)
{
    struct obs_bridge *b = &o->bridge;
    _cleanup_(out_done) struct out body = {0};
    if (!b->previous.type || !b->previous.settings) {
        finish(o, &(struct obs_result){.text = ""});
        return;
    }
    obs_put_service(&body, &b->previous);
    ask(o, BRIDGE_PUT_BACK, "SetStreamServiceSettings", out_view(&body), on_put_back);
}

static void on_again(void *user)
{
    put_back(user);
}

static void on_stop(void *user, const struct obs_result *res)
{
    struct obs *o = user;
    o->bridge.call = NULL;
    if (res->r < 0 && res->code != CODE_NOT_RUNNING) {
        finish(o, res);
        return;
    }
    o->bridge.step = BRIDGE_WAIT_STOPPED;
    if (res->code == CODE_NOT_RUNNING || o->output == OBS_OUTPUT_STOPPED) {
        put_back(o);
    }
}

/* ---- what happens meanwhile ---- */

void obs_bridge_output(struct obs *o)
{
    if (o->bridge.step == BRIDGE_WAIT_STARTED && o->output == OBS_OUTPUT_STARTED) {
        finish(o, &(struct obs_result){.text = ""});
    } else if (o->bridge.step == BRIDGE_WAIT_STARTED && o->output == OBS_OUTPUT_STOPPED) {
        fail(o, -ECONNREFUSED, "OBS stopped instead of starting: nothing took its stream");
    } else if (o->bridge.step == BRIDGE_WAIT_STOPPED && o->output == OBS_OUTPUT_STOPPED) {
        put_back(o);
    }
}

/* The answer comes at the end of the pass, as those of requests do. */
static void on_refuse(struct loop_task *t)
{
    struct obs *o = CONTAINER_OF(t, struct obs, bridge.refuse);
    fail(o, o->bridge.refuse_r, o->bridge.refuse_text);
}

static void refuse(struct obs *o, int r, const char *text)
{
    o->bridge.refuse_r = r;
    o->bridge.refuse_text = text;
    loop_defer(o->loop, LOOP_STAGE_NOTIFY, &o->bridge.refuse);
}

void obs_bridge_lost(struct obs *o)
{
    if (o->bridge.step != BRIDGE_IDLE) {
        refuse(o, -ENOTCONN, "the connection to OBS was lost");
    }
}

void obs_bridge_init(struct obs *o)
{
    o->bridge.deadline = loop_timer_new(o->loop, on_deadline, o);
    o->bridge.again = loop_timer_new(o->loop, on_again, o);
    loop_task_init(&o->bridge.refuse, on_refuse);
}

void obs_bridge_done(struct obs *o)
{
    forget(&o->bridge);
    model_done(&obs_service_model, &o->bridge.previous);
    loop_timer_free(o->bridge.deadline);
    loop_timer_free(o->bridge.again);
}

static void begin(struct obs *o, unsigned timeout_ms, void *user)
{
    struct obs_bridge *b = &o->bridge;
    b->user = user;
    b->started = NULL;
    b->stopped = NULL;
    loop_timer_start(b->deadline, timeout_ms ? timeout_ms : OBS_STREAM_TIMEOUT_MS);
}

bool obs_stream_start(struct obs *o, const struct obs_stream_target *target, unsigned timeout_ms,
                      obs_started_fn done, void *user)
{
    struct obs_bridge *b = &o->bridge;
    if (b->step != BRIDGE_IDLE) {
        return false;
    }
    begin(o, timeout_ms, user);
    b->started = done;
    b->server = mem_strdup(target->server);
    b->key = mem_strdup(target->key);
    b->step = BRIDGE_ASK_SERVICE;
    if (!utf8_valid(BYTES_STR(b->server)) || !utf8_valid(BYTES_STR(b->key))) {
        refuse(o, -EINVAL, "target: is no valid UTF-8");
    } else {
        ask(o, BRIDGE_ASK_SERVICE, "GetStreamServiceSettings", BYTES(NULL, 0), on_service);
    }
    return true;
}

bool obs_stream_stop(struct obs *o, const struct obs_service *previous, unsigned timeout_ms,
                     obs_done_fn done, void *user)
{
    struct obs_bridge *b = &o->bridge;
    if (b->step != BRIDGE_IDLE) {
        return false;
    }
    begin(o, timeout_ms, user);
    b->stopped = done;
    if (previous) {
        model_copy(&obs_service_model, &b->previous, previous);
    }
    ask(o, BRIDGE_STOP, "StopStream", BYTES(NULL, 0), on_stop);
    return true;
}
