/* SPDX-License-Identifier: Apache-2.0 */
/* One broadcast: its life from a request or a record to its end, the state that its steps add up to, what is told of it. */
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "service/broadcast/broadcast_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

LOG_TOPIC(topic, "broadcast");

static struct broadcast_result *result_of(struct broadcast *b)
{
    return &b->record.result;
}

const char *broadcast_id(const struct broadcast *b)
{
    return b->record.result.broadcast_id;
}

enum broadcast_state broadcast_state(const struct broadcast *b)
{
    return b->record.result.state;
}

bool broadcast_is_live(const struct broadcast *b)
{
    return broadcast_state(b) != BROADCAST_STOPPED && broadcast_state(b) != BROADCAST_FAILED;
}

unsigned broadcast_debts(const struct broadcast *b)
{
    return runner_debts(&b->runner);
}

char *broadcast_marker(const struct broadcast *b)
{
    struct out o = {0};
    struct json j = json_init(&o);
    json_object_begin(&j);
    json_put_str(&j, "mast", broadcast_id(b));
    json_object_end(&j);
    return out_take_str(&o);
}

void broadcast_set_feed(struct broadcast *b, const struct janus_feed *feed)
{
    if (b->feed) {
        model_id_done(&b->feed->id);
        free((char *)b->feed->display);
        free(b->feed);
        b->feed = NULL;
    }
    if (feed) {
        /* Few streams are there, of the many that there may be: the others would be most of a broadcast. */
        size_t size =
            offsetof(struct janus_feed, streams) + feed->n_streams * sizeof(feed->streams[0]);
        b->feed = mem_memdup(feed, size);
        model_id_copy(&b->feed->id, &feed->id);
        b->feed->display = mem_strdup(feed->display ? feed->display : "");
    }
}

/* ---- what is told ---- */

const char *const broadcast_event_names[BROADCAST_EVENT_N] = {
    [BROADCAST_STARTING] = "broadcast_starting",
    [BROADCAST_RUNNING] = "broadcast_running",
    [BROADCAST_DEGRADED] = "broadcast_degraded",
    [BROADCAST_RESTARTING] = "broadcast_restarting",
    [BROADCAST_STOPPING] = "broadcast_stopping",
    [BROADCAST_STOPPED] = "broadcast_stopped",
    [BROADCAST_FAILED] = "broadcast_failed",
    [BROADCAST_EVENT_ERROR] = "broadcast_error",
    [BROADCAST_EVENT_RELAY_CHANGED] = "broadcast_relay_changed",
    [BROADCAST_EVENT_JANUS_CLOSED] = "janus_resource_closed",
    [BROADCAST_EVENT_CLOSED] = "resource_closed",
};

/* As the runner has them, and the seed's name for what goes wrong while cleaning up at Janus. */
const char *const broadcast_phase_names[BROADCAST_PHASE_N] = {
    [BROADCAST_PHASE_START] = "start", [BROADCAST_PHASE_ADOPT] = "adopt",
    [BROADCAST_PHASE_LOST] = "lost",   [BROADCAST_PHASE_RELAY] = "relay",
    [BROADCAST_PHASE_STOP] = "stop",   [BROADCAST_PHASE_JANUS_CLEANUP] = "janus_cleanup",
};

void broadcast_emit(struct broadcast *b, enum broadcast_event event, const char *more)
{
    const struct broadcasts_config *c = &b->service->config;
    const char *type = broadcast_event_names[event];
    const struct broadcast_result *res = result_of(b);
    _cleanup_(out_done) struct out o = {0};
    _cleanup_free_ char *resource = mem_printf("broadcasts/%s", broadcast_id(b));
    struct json j = json_init(&o);
    json_object_begin(&j);
    json_put_str(&j, "broadcast_id", broadcast_id(b));
    json_put_str(&j, "state", model_enum_name(broadcast_state_names, (int)res->state));
    json_put_str(&j, "source_kind",
                 model_enum_name(broadcast_source_names, (int)res->request.source_kind));
    if (res->reason) {
        json_put_str(&j, "reason", res->reason);
    }
    if (more) {
        out_printf(&o, ",%s", more);
    }
    json_object_end(&j);
    b->service->events[event]++;
    log_debug("broadcast %s: event %s", broadcast_id(b), type);
    if (c->events) {
        events_emit(c->events, clock_wall_ns(), type, resource, out_str(&o));
    }
    if (c->observer.on_event) {
        c->observer.on_event(c->observer.user, type, broadcast_id(b), out_str(&o));
    }
}

static void tell_watches(struct broadcast *b)
{
    LIST_FOREACH_SAFE (it, &b->watches) {
        struct broadcast_watch *w = LIST_ENTRY(it, struct broadcast_watch, node);
        w->on_change(w, b);
    }
}

/* ---- states ---- */

/* The first step that keeps it from being well, and what that makes of the whole. */
static enum broadcast_state look_at_steps(const struct broadcast *b, const struct step **ret)
{
    const struct runner *r = &b->runner;
    const struct step *waits = NULL;
    const struct step *sick = NULL;
    const struct step *redone = NULL;
    *ret = NULL;
    for (unsigned i = 0; i < r->n; i++) {
        const struct step *s = r->steps[i];
        switch (s->state) {
        case STEP_UP:
            /* That no media arrives is what comes of it; why, another one knows. */
            sick = s->sick && (!sick || sick->kind == &step_mountpoint) ? s : sick;
            break;
        case STEP_WAITING:
            waits = waits ? waits : s;
            break;
        default:
            /* One that cannot begin because another waits is no trouble of its own. */
            redone = redone || waits ? redone : s;
            break;
        }
    }
    if (!r->was_up) {
        *ret = redone ? redone : waits;
        return BROADCAST_STARTING;
    }
    *ret = redone ? redone : waits ? waits : sick;
    return redone ? BROADCAST_RESTARTING : *ret ? BROADCAST_DEGRADED : BROADCAST_RUNNING;
}

static void set_reason(struct broadcast *b, const char *where, const char *text)
{
    struct broadcast_result *res = result_of(b);
    free(res->reason);
    res->reason =
        text ? (where && where[0] ? mem_printf("%s: %s", where, text) : mem_strdup(text)) : NULL;
}

/* The one place where a state changes. */
static void set_state(struct broadcast *b, enum broadcast_state state)
{
    struct broadcast_result *res = result_of(b);
    enum broadcast_state old = res->state;
    int64_t now = clock_wall_ns();
    res->state = state;
    res->changed_at = now;
    if (state == BROADCAST_RUNNING && !res->started_at) {
        res->started_at = now;
    }
    res->restarts += state == BROADCAST_RESTARTING;
    b->service->healed += old == BROADCAST_RESTARTING && state == BROADCAST_RUNNING;
    if (state == BROADCAST_STOPPED || state == BROADCAST_FAILED) {
        res->ended_at = now;
        b->service->failed += state == BROADCAST_FAILED;
    }
    if (state == BROADCAST_FAILED) {
        log_error("broadcast %s: failed: %s", broadcast_id(b), res->reason ? res->reason : "");
    } else {
        log_info("broadcast %s: %s%s%s", broadcast_id(b),
                 model_enum_name(broadcast_state_names, (int)state), res->reason ? ": " : "",
                 res->reason ? res->reason : "");
    }
    broadcast_refresh(b);
    broadcast_emit(b, (enum broadcast_event)state, NULL);
    broadcast_save(b);
    broadcasts_changed(b->service);
}

/* Why it ended by itself; NULL: it did not, it was asked to. */
static const char *failure_of(const struct broadcast *b)
{
    return b->runner.failed ? b->failure.text : NULL;
}

void broadcast_look(struct broadcast *b)
{
    struct broadcast_result *res = result_of(b);
    const struct step *why = NULL;
    enum broadcast_state state;
    if (!broadcast_is_live(b)) {
        return;
    }
    if (b->runner.up) {
        state = look_at_steps(b, &why);
        set_reason(b, why ? why->kind->name : NULL, why ? why->reason : NULL);
    } else {
        state = BROADCAST_STOPPING;
        set_reason(b, b->failure.where, failure_of(b));
    }
    if (state != res->state) {
        set_state(b, state);
    }
    tell_watches(b);
}

/* ---- what the runner says ---- */

static void on_commit(void *user)
{
    struct broadcast *b = user;
    b->runner_waits = true;
    broadcast_save(b);
}

static void on_changed(void *user)
{
    broadcast_look(user);
}

static enum broadcast_phase phase_of(const struct step *s, const char *phase)
{
    enum broadcast_phase p = BROADCAST_PHASE_START;
    while (p < BROADCAST_PHASE_STOP && strcmp(broadcast_phase_names[p], phase) != 0) {
        p++;
    }
    return p == BROADCAST_PHASE_STOP && strcmp(s->kind->peer, "janus") == 0
               ? BROADCAST_PHASE_JANUS_CLEANUP
               : p;
}

static void on_failed(void *user, const struct step *s, const char *phase, const struct error *err)
{
    struct broadcast *b = user;
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    enum broadcast_phase p = phase_of(s, phase);
    b->service->errors[p]++;
    json_put_str(&j, "phase", broadcast_phase_names[p]);
    json_put_str(&j, "step", s->kind->name);
    json_put_str(&j, "error", err->text);
    log_warn("broadcast %s: %s of %s: %s", broadcast_id(b), phase, s->kind->name, err->text);
    broadcast_emit(b, BROADCAST_EVENT_ERROR, out_str(&o));
    if (b->runner.failed == NULL && strcmp(phase, "start") == 0) {
        b->failure = *err; /* counts if the runner says that one ended the run */
        snprintf(b->failure.where, sizeof(b->failure.where), "%s", s->kind->name);
    }
}

static void on_undone(void *user, const struct step *s)
{
    struct broadcast *b = user;
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    json_put_str(&j, "step", s->kind->name);
    bool janus = strcmp(s->kind->peer, "janus") == 0;
    broadcast_emit(b, janus ? BROADCAST_EVENT_JANUS_CLOSED : BROADCAST_EVENT_CLOSED, out_str(&o));
}

static void note_kept(struct broadcast *b)
{
    struct broadcast_result *res = result_of(b);
    for (unsigned i = 0; i < b->runner.n; i++) {
        const struct step *s = b->runner.steps[i];
        bool room = s->kind == &step_room;
        if (s->state != STEP_KEPT || (!room && s->kind != &step_mountpoint)) {
            continue;
        }
        bool there = room ? res->room_response && res->room_response->exists
                          : res->mountpoint_response && res->mountpoint_response->exists;
        if (!s->ours && !there) {
            continue; /* it was made, and is gone */
        }
        const struct model_id *id =
            room ? &res->room_response->room : &res->mountpoint_response->id;
        broadcast_result_keep(res, s->kind->name, id, res->request.janus,
                              s->ours ? "owned_by_app is false" : "it was there before");
    }
}

static void on_debts(void *user)
{
    struct broadcast *b = user;
    b->debt_tries++;
    broadcast_settle(b);
}

static void schedule_debts(struct broadcast *b)
{
    unsigned ms = b->service->config.debt_ms ? b->service->config.debt_ms : 30000;
    if (broadcast_debts(b) == 0) {
        b->debts = loop_timer_free(b->debts);
        b->debt_tries = 0;
        return;
    }
    if (!b->debts) {
        b->debts = loop_timer_new(b->service->config.control, on_debts, b);
    }
    unsigned tries = MIN(b->debt_tries, 20u);
    loop_timer_start(b->debts, (uint64_t)ms * (tries + 1));
}

/* It ended, and is shown as one that has just begun. */
static void revive(struct broadcast *b)
{
    result_of(b)->ended_at = 0;
    set_reason(b, NULL, NULL);
    set_state(b, BROADCAST_STARTING);
}

/* A restart that had to wait for a debt brings back what is shown as ended meanwhile. */
static void begin_anew(struct broadcast *b)
{
    b->restart = false;
    b->runner.was_up = false;
    if (!broadcast_is_live(b)) {
        revive(b);
    }
    runner_up(&b->runner);
    struct step *relay = runner_find(&b->runner, step_relay.name);
    if (relay) {
        (void)broadcast_fall_forward(relay);
    }
    broadcast_look(b);
}

static void on_ended(void *user)
{
    struct broadcast *b = user;
    bool live = broadcast_is_live(b);
    schedule_debts(b);
    if (b->restart && broadcast_debts(b) == 0) {
        begin_anew(b);
        return;
    }
    if (live && !b->record.suspended) {
        note_kept(b);
        set_reason(b, b->failure.where, failure_of(b));
        set_state(b, b->runner.failed ? BROADCAST_FAILED : BROADCAST_STOPPED);
    } else {
        broadcast_save(b); /* it is suspended; or its debts were paid, or tried again */
    }
    tell_watches(b);
    broadcasts_changed(b->service);
}

static const struct runner_ops runner_ops = {
    .commit = on_commit,
    .changed = on_changed,
    .failed = on_failed,
    .undone = on_undone,
    .ended = on_ended,
};

/* ---- life ---- */

static struct broadcast *alloc(struct broadcasts *s)
{
    struct broadcast *b = mem_new(struct broadcast);
    b->service = s;
    list_init(&b->node);
    list_init(&b->watches);
    loop_task_init(&b->save, broadcast_save_now);
    runner_init(&b->runner, s->config.control, &runner_ops, b, &s->config.pace);
    return b;
}

struct broadcast *broadcast_new(struct broadcasts *s, struct broadcast_request *request,
                                const char *id, struct error *err)
{
    struct broadcast *b = alloc(s);
    model_init(&broadcast_record_model, &b->record);
    struct broadcast_result *res = result_of(b);
    model_done(&broadcast_request_model, &res->request);
    res->request = *request;
    *request = (struct broadcast_request){0};
    free(res->broadcast_id);
    res->broadcast_id = mem_strdup(id);
    res->state = BROADCAST_STARTING;
    res->created_at = res->changed_at = clock_wall_ns();
    broadcast_result_warn(res);
    if (broadcast_plan_check(b, err) < 0 || broadcast_plan(b, err) < 0) {
        broadcast_free(b);
        return NULL;
    }
    return b;
}

/* What a state of before means now: children are gone, and of what is outside nobody knows. */
static enum step_state state_again(const struct step *s, const struct step_record *rec)
{
    int state = step_state_parse(rec->state);
    switch (state) {
    case STEP_IDLE:
    case STEP_KEPT:
        return (enum step_state)state;
    case STEP_DEBT:
        return STEP_DEBT;
    default:
        return s->kind->adopt ? STEP_UNSURE : STEP_IDLE;
    }
}

static void place_steps(struct broadcast *b)
{
    for (size_t i = 0; i < b->record.steps.len; i++) {
        const struct step_record *rec = &b->record.steps.items[i];
        struct step *s = runner_find(&b->runner, rec->name);
        if (s) {
            s->state = state_again(s, rec);
            s->acted = rec->acted;
            s->ours = rec->ours;
            s->kept = rec->kept;
            s->reason = rec->reason ? mem_strdup(rec->reason) : NULL;
        }
    }
}

/* It is not taken up again: what of it may be outside is owed. */
static void fail_at_once(struct broadcast *b, const char *where, const char *why)
{
    for (unsigned i = 0; i < b->runner.n; i++) {
        struct step *s = b->runner.steps[i];
        if (s->state == STEP_UNSURE) {
            s->state = STEP_DEBT;
        }
    }
    set_reason(b, where, why);
    set_state(b, BROADCAST_FAILED);
}

struct broadcast *broadcast_from_record(struct broadcasts *s, struct broadcast_record *record,
                                        bool needs_secret, struct error *err)
{
    struct broadcast *b = alloc(s);
    b->record = *record;
    *record = (struct broadcast_record){0};
    struct broadcast_result *res = result_of(b);
    struct error why = {0};
    bool may_run = broadcast_plan_check(b, &why) == 0;
    if (broadcast_plan(b, err) < 0) {
        broadcast_free(b);
        return NULL;
    }
    place_steps(b);
    bool suspended = b->record.suspended;
    b->record.suspended = false;
    b->runner.was_up = b->record.was_up && !suspended;
    bool undo = res->request.recover == BROADCAST_RECOVER_UNDO;
    bool live = broadcast_is_live(b);
    if (needs_secret) {
        if (live) {
            fail_at_once(b, NULL, "its secrets were sealed with another key: needs-secret");
        }
    } else if (!live || !may_run) {
        if (live) {
            fail_at_once(b, why.where, why.text);
        }
        broadcast_settle(b);
    } else if ((b->record.ending && !suspended) || undo) {
        if (undo && !b->record.ending) {
            set_reason(b, NULL, "undone after a restart, as the request wants it");
        }
        runner_down(&b->runner);
    } else {
        runner_up(&b->runner);
    }
    return b;
}

void broadcast_free(struct broadcast *b)
{
    LIST_FOREACH_SAFE (it, &b->watches) {
        struct broadcast_watch *w = LIST_ENTRY(it, struct broadcast_watch, node);
        list_remove(&w->node);
        w->on_gone(w);
    }
    if (b->op) {
        store_op_forget(b->op);
    }
    loop_task_cancel(&b->save);
    b->debts = loop_timer_free(b->debts);
    runner_done(&b->runner);
    broadcast_set_feed(b, NULL);
    model_done(&broadcast_record_model, &b->record);
    list_remove(&b->node);
    free(b);
}

/* ---- what can be asked ---- */

const struct broadcast_result *broadcast_result(struct broadcast *b)
{
    broadcast_refresh(b);
    return result_of(b);
}

void broadcast_stop(struct broadcast *b)
{
    b->restart = false;
    b->record.suspended = false;
    if (broadcast_is_live(b) && b->runner.up) {
        runner_down(&b->runner);
        broadcast_look(b);
    }
}

int broadcast_restart(struct broadcast *b, struct error *err)
{
    if (b->service->leaving) {
        return error_set(err, -ESHUTDOWN, "", "the server is ending");
    }
    if (broadcast_debts(b) > 0) {
        return error_set(err, -EBUSY, "id", "something of it could not be undone yet");
    }
    if (!broadcast_is_live(b)) {
        int r = broadcast_plan_check(b, err);
        if (r < 0) {
            return r;
        }
        revive(b);
    }
    b->restart = true;
    runner_down(&b->runner);
    return 0;
}

void broadcast_settle(struct broadcast *b)
{
    if (!b->runner.up && b->runner.ended && broadcast_debts(b) > 0) {
        runner_down(&b->runner);
    }
}

void broadcast_watch(struct broadcast *b, struct broadcast_watch *w)
{
    list_append(&b->watches, &w->node);
}

void broadcast_unwatch(struct broadcast_watch *w)
{
    if (w->node.next) {
        list_remove(&w->node);
    }
}
