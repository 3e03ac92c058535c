/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OBS publishes: its stream settings are noted, ours set, its stream started; a stop puts its own back. What was noted is written
 * down before OBS is touched, so that it can be put back after a restart of ours, too. While up it is OBS' own events that
 * tell: a stream that stopped is begun again by the runner; a connection that is lost is no stream that is lost.
 *
 *   start   connect ─► its settings ─► its status ─► write down ─► [stop] ─► start ─► UP
 *   adopt   connect ─► its settings: ours, or not any more
 *   stop    connect ─► its settings: if they are ours: stop, put back
 */
#include "base/mem.h"
#include "peer/obs/obs_wire.h"
#include "service/broadcast/broadcast_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define STOP_MS 10000 /* less than an undo may take: then it is known what is missing */

struct obs_step {
    struct step step;
    struct obs *obs;
    struct broadcast_target target;
    void (*when_up)(struct step *s); /* what waits for the connection */
    bool asking;                     /* its status, by check */
    bool is_target;                  /* its settings are those we want */
    bool old_key;                    /* it streams here with credentials of a former run */
    bool found;                      /* it streamed to our target before us: it goes on after us */
    struct error why;                /* the start failed, and is being undone */
};
#define OBS_STEP(s) CONTAINER_OF((s), struct obs_step, step)

static struct obs_service *previous_of(const struct step *s)
{
    return &broadcast_of(s)->record.obs_previous;
}

static void forget_previous(struct step *s)
{
    model_done(&obs_service_model, previous_of(s));
    *previous_of(s) = (struct obs_service){0};
}

static void describe(const struct step *s, struct out *o)
{
    const struct broadcast_request *q = request_of(s);
    _cleanup_free_ char *path = broadcast_stream_path(broadcast_of(s));
    _cleanup_free_ char *to = q->srs ? srs_ingest_publish_url(q->srs, true) : NULL;
    out_printf(o, "let OBS publish to %s%s, put its own settings back at the end",
               to ? "" : "stream ", to ? to : path);
}

static void note(struct step *s)
{
    struct broadcast *b = broadcast_of(s);
    const struct obs_step *os = OBS_STEP(s);
    const char *text = !os->obs                       ? "not connected"
                       : obs_state(os->obs) == OBS_UP ? obs_output_to_str(obs_output(os->obs))
                                                      : obs_state_to_str(obs_state(os->obs));
    struct broadcast_health *h = broadcast_health(b);
    free(h->obs);
    h->obs = mem_strdup(text);
    if (b->record.result.srs_info) {
        free(b->record.result.srs_info->obs_output);
        b->record.result.srs_info->obs_output = mem_strdup(text);
    }
}

/* ---- the connection ---- */

static void drop(struct step *s)
{
    struct obs_step *os = OBS_STEP(s);
    os->obs = obs_free(os->obs);
    broadcast_target_done(broadcast_of(s), &os->target);
    os->when_up = NULL;
    os->asking = false;
}

static void fail(struct step *s, const struct error *why, bool permanent)
{
    struct error err = *why;
    drop(s);
    note(s);
    step_failed(s, &err, permanent);
}

/* The end of whatever is under way: the connection is not there. */
static void on_away(struct step *s, const struct error *why, bool permanent)
{
    struct error err = {0};
    error_set(&err, why->code, s->kind->name, "%s", why->text);
    switch (s->state) {
    case STEP_STARTING:
        fail(s, &err, permanent);
        break;
    case STEP_ADOPTING:
        drop(s);
        step_adopted(s, err.code, STEP_ABSENT, &err);
        break;
    case STEP_STOPPING:
        drop(s);
        step_stopped(s, err.code, &err);
        break;
    default:
        step_sick(s, "no connection to OBS: %s", why->text);
        break;
    }
}

static void on_up(void *user)
{
    struct step *s = user;
    struct obs_step *os = OBS_STEP(s);
    void (*next)(struct step *) = os->when_up;
    os->when_up = NULL;
    note(s);
    if (next) {
        next(s);
    }
}

static void on_down(void *user, const struct error *err, bool permanent)
{
    struct step *s = user;
    struct obs_step *os = OBS_STEP(s);
    note(s);
    if (os->when_up || s->state == STEP_UP) {
        struct error away = {0};
        error_set(&away, err->code, s->kind->name, "%s: %s", err->where, err->text);
        os->when_up = NULL;
        on_away(s, &away, permanent);
    }
}

static void on_output(void *user, enum obs_output output)
{
    struct step *s = user;
    note(s);
    if (output == OBS_OUTPUT_STOPPED) {
        step_lost(s, "OBS has stopped its stream");
    } else if (output == OBS_OUTPUT_RECONNECTING) {
        step_sick(s, "OBS has lost its server and reconnects");
    }
}

/* Calls next with a connection, or ends what is under way. */
static void connect_then(struct step *s, void (*next)(struct step *s))
{
    static const struct obs_ops ops = {.on_up = on_up, .on_down = on_down, .on_output = on_output};
    struct obs_step *os = OBS_STEP(s);
    struct error err = {0};
    if (!os->target.server && broadcast_target(broadcast_of(s), &os->target, &err) < 0) {
        on_away(s, &err, true);
        return;
    }
    if (!os->obs) {
        const struct obs_connection how = broadcast_request_obs(request_of(s));
        os->obs = obs_new(s->runner->loop, &how, broadcast_of(s)->service->config.client_tls, &ops,
                          s, &err);
    }
    if (!os->obs) {
        on_away(s, &err, true);
    } else if (obs_state(os->obs) == OBS_UP) {
        next(s);
    } else {
        os->when_up = next;
        obs_retry(os->obs);
    }
}

/* ---- what OBS says of itself ---- */

static void say(const struct step *s, const struct obs_result *res, const char *what,
                struct error *err)
{
    if (res->code) {
        error_set(err, res->r, s->kind->name, "OBS does not %s: %s (%d)", what, res->text,
                  res->code);
    } else {
        error_set(err, res->r, s->kind->name, "OBS does not %s: %s", what, res->text);
    }
}

/* Its settings; false: the end of what is under way. */
static bool take_service(struct step *s, const struct obs_result *res, struct obs_service *ret,
                         bool *ret_ours)
{
    struct obs_step *os = OBS_STEP(s);
    const struct obs_stream_target target = {os->target.server, os->target.key};
    struct error err = {0};
    if (res->r < 0) {
        say(s, res, "tell its settings", &err);
    } else if (obs_service_parse(res->data, ret, &err) == 0) {
        *ret_ours = obs_service_is(ret, &target);
        return true;
    }
    on_away(s, &err, false);
    return false;
}

static void ask_service(struct step *s, obs_done_fn done)
{
    obs_ask(OBS_STEP(s)->obs, "GetStreamServiceSettings", BYTES(NULL, 0), done, s);
}

/* ---- start ---- */

/* What was begun is undone: the failure of the start is told now. */
static void on_given_back(void *user, const struct obs_result *res)
{
    struct step *s = user;
    struct error why = OBS_STEP(s)->why;
    if (res->r < 0) {
        step_unsure(s, &why);
        return;
    }
    forget_previous(s);
    fail(s, &why, false);
}

static void on_started(void *user, const struct obs_result *res, const struct obs_service *previous)
{
    struct step *s = user;
    struct obs_step *os = OBS_STEP(s);
    note(s);
    if (res->r == 0) {
        s->ours = true;
        step_started(s, 0);
        return;
    }
    say(s, res, "stream", &os->why);
    if (!previous) {
        forget_previous(s);
        fail(s, &os->why, res->r == -EBUSY);
    } else if (!obs_stream_stop(os->obs, previous_of(s), STOP_MS, on_given_back, s)) {
        step_unsure(s, &os->why);
    }
}

static void begin_stream(struct step *s)
{
    struct obs_step *os = OBS_STEP(s);
    const struct obs_stream_target target = {os->target.server, os->target.key};
    struct error err = {0};
    if (!os->obs || !obs_stream_start(os->obs, &target, 0, on_started, s)) {
        error_set(&err, -EBUSY, s->kind->name, "OBS is asked for something else");
        fail(s, &err, false);
    }
}

static void on_old_stopped(void *user, const struct obs_result *res)
{
    begin_stream(user);
}

/* Written down: now OBS is touched. */
static void act(struct step *s)
{
    struct obs_step *os = OBS_STEP(s);
    if (!os->old_key || !os->obs || !obs_stream_stop(os->obs, NULL, STOP_MS, on_old_stopped, s)) {
        begin_stream(s);
    }
}

static void on_status(void *user, const struct obs_result *res, const struct obs_status *st)
{
    struct step *s = user;
    struct obs_step *os = OBS_STEP(s);
    struct error err = {0};
    if (res->r < 0) {
        say(s, res, "tell whether it streams", &err);
        fail(s, &err, false);
    } else if (!st->active) {
        step_commit(s, act);
    } else if (!os->is_target) {
        error_set(&err, -EBUSY, s->kind->name, "OBS streams to elsewhere already");
        forget_previous(s);
        fail(s, &err, true);
    } else if (os->target.grant && s->ours) {
        os->old_key = true; /* it has been given others since, which ended */
        step_commit(s, act);
    } else {
        os->found = !s->ours;
        step_started(s, 0);
    }
}

static void on_service(void *user, const struct obs_result *res)
{
    struct step *s = user;
    struct obs_step *os = OBS_STEP(s);
    struct obs_service now;
    if (!take_service(s, res, &now, &os->is_target)) {
        return;
    }
    /* Ours already: what was there before them was noted when they were set. */
    if (os->is_target) {
        model_done(&obs_service_model, &now);
    } else {
        forget_previous(s);
        *previous_of(s) = now;
    }
    obs_ask_status(os->obs, on_status, s);
}

static void look(struct step *s)
{
    ask_service(s, on_service);
}

static void start(struct step *s)
{
    /* Credentials are made anew, so that those in use end with what used them. */
    struct obs_step *os = OBS_STEP(s);
    broadcast_target_done(broadcast_of(s), &os->target);
    os->old_key = false;
    os->found = false;
    connect_then(s, look);
}

/* ---- after a lost answer or a restart ---- */

static void on_adopt(void *user, const struct obs_result *res)
{
    struct step *s = user;
    struct obs_service now;
    bool ours;
    if (!take_service(s, res, &now, &ours)) {
        return;
    }
    model_done(&obs_service_model, &now);
    s->ours = ours && s->acted;
    OBS_STEP(s)->old_key = OBS_STEP(s)->target.grant != NULL;
    if (!ours) {
        forget_previous(s); /* somebody else has changed them since */
        drop(s);            /* nothing is left to stop: the grant and the connection end here */
    }
    step_adopted(s, 0, ours ? STEP_FOUND : STEP_ABSENT, NULL);
}

static void adopt_look(struct step *s)
{
    ask_service(s, on_adopt);
}

static void adopt(struct step *s)
{
    connect_then(s, adopt_look);
}

/* ---- its health ---- */

static void on_checked(void *user, const struct obs_result *res, const struct obs_status *st)
{
    struct step *s = user;
    OBS_STEP(s)->asking = false;
    note(s);
    if (res->r < 0) {
        step_sick(s, "OBS: %s", res->text);
    } else if (!st->active) {
        step_lost(s, "OBS has stopped its stream");
    } else if (st->reconnecting) {
        step_sick(s, "OBS has lost its server and reconnects");
    } else {
        step_well(s);
    }
}

static void check(struct step *s)
{
    struct obs_step *os = OBS_STEP(s);
    note(s);
    if (os->old_key) {
        step_lost(s, "OBS has credentials that ended with a former run");
    } else if (!os->obs || obs_state(os->obs) != OBS_UP) {
        step_sick(s, "no connection to OBS: %s", os->obs ? obs_reason(os->obs) : "");
    } else if (!os->asking) {
        os->asking = true;
        obs_ask_status(os->obs, on_checked, s);
    }
}

/* ---- its end ---- */

static void is_stopped(struct step *s)
{
    forget_previous(s);
    drop(s);
    note(s);
    step_stopped(s, 0, NULL);
}

static void on_stopped(void *user, const struct obs_result *res)
{
    struct step *s = user;
    struct error err = {0};
    if (res->r < 0) {
        say(s, res, "end its stream", &err);
        on_away(s, &err, false);
    } else {
        is_stopped(s);
    }
}

static void on_stop_service(void *user, const struct obs_result *res)
{
    struct step *s = user;
    struct obs_service now;
    bool ours;
    if (!take_service(s, res, &now, &ours)) {
        return;
    }
    model_done(&obs_service_model, &now);
    if (!ours) {
        is_stopped(s); /* somebody else has taken it over */
    } else if (!obs_stream_stop(OBS_STEP(s)->obs, previous_of(s), STOP_MS, on_stopped, s)) {
        struct error err = {0};
        error_set(&err, -EBUSY, s->kind->name, "OBS is asked for something else");
        on_away(s, &err, false);
    }
}

static void stop_look(struct step *s)
{
    ask_service(s, on_stop_service);
}

static void stop(struct step *s)
{
    s->kept = OBS_STEP(s)->found;
    if (s->kept || (!s->ours && !previous_of(s)->type)) {
        drop(s);
        step_stopped(s, 0, NULL);
    } else {
        connect_then(s, stop_look);
    }
}

const struct step_kind step_obs = {
    .name = "obs",
    .peer = "obs",
    .size = sizeof(struct obs_step),
    .start_ms =
        60000, /* connecting, its questions, the start itself, and the undo of one that fails */
    .describe = describe,
    .start = start,
    .adopt = adopt,
    .check = check,
    .stop = stop,
    .drop = drop,
};
