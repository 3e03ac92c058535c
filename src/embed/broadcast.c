/* SPDX-License-Identifier: Apache-2.0 */
/* What an orchestrator can be asked: start, stop, results. */
#include "embed/orchestrator.h"

#include "base/json.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct mast_orchestrator *orchestrator_of(const struct embed_call *c)
{
    return CONTAINER_OF(c->part, struct mast_orchestrator, part);
}

/* The broadcast that the call names; NULL: it is answered. */
static struct broadcast *find(struct embed_call *c)
{
    struct broadcast *b = c->arg ? broadcasts_find(orchestrator_of(c)->broadcasts, c->arg) : NULL;
    if (!b) {
        struct error err;
        error_set(&err, -ENOENT, "id", "there is no broadcast with this id");
        embed_answer(c, -ENOENT, &err, NULL);
    }
    return b;
}

/* ---- what is told ---- */

static char *result_json(struct broadcast *b)
{
    return model_to_json(&broadcast_result_model, broadcast_result(b), MODEL_SECRETS_REDACTED);
}

/* As streaming_utils' service answers a start. */
static char *request_json(struct broadcast *b)
{
    const struct broadcast_result *res = broadcast_result(b);
    struct out o = {0};
    struct json j = json_init(&o);
    _cleanup_free_ char *request =
        model_to_json(&broadcast_request_model, &res->request, MODEL_SECRETS_REDACTED);
    json_object_begin(&j);
    json_put_str(&j, "broadcast_id", broadcast_id(b));
    json_put_str(&j, "state", model_enum_name(broadcast_state_names, (int)res->state));
    json_key(&j, "warnings");
    json_array_begin(&j);
    for (size_t i = 0; i < res->warnings.len; i++) {
        json_str(&j, res->warnings.items[i]);
    }
    json_array_end(&j);
    /* The members of the request, without its braces. */
    size_t n = strlen(request);
    if (n > 2) {
        out_printf(&o, ",%.*s", (int)(n - 2), request + 1);
    }
    json_object_end(&j);
    return out_take_str(&o);
}

static void put_summary(struct json *j, struct broadcast *b, bool health)
{
    const struct broadcast_result *res = broadcast_result(b);
    json_object_begin(j);
    json_put_str(j, "broadcast_id", broadcast_id(b));
    json_put_str(j, "state", model_enum_name(broadcast_state_names, (int)res->state));
    json_put_str(j, "source_kind",
                 model_enum_name(broadcast_source_names, (int)res->request.source_kind));
    json_put_str(j, "reason", res->reason);
    if (health) {
        json_key(j, "health");
        if (res->health) {
            model_write(&broadcast_health_model, res->health, NULL, j);
        } else {
            json_none(j);
        }
    }
    json_object_end(j);
}

struct listing {
    struct json j;
    bool health;
};

static void list_one(void *user, struct broadcast *b)
{
    struct listing *l = user;
    put_summary(&l->j, b, l->health);
}

static char *list_json(struct broadcasts *s, bool health)
{
    struct out o = {0};
    struct listing l = {.j = json_init(&o), .health = health};
    json_object_begin(&l.j);
    json_key(&l.j, "broadcasts");
    json_array_begin(&l.j);
    broadcasts_each(s, list_one, &l);
    json_array_end(&l.j);
    json_object_end(&l.j);
    return out_take_str(&o);
}

/* ---- calls that wait for a broadcast ---- */

struct wait_call {
    struct embed_call call;
    struct broadcast_watch watch;
    char *(*view)(struct broadcast *b); /* what is answered when it started */
};

static struct wait_call *wait_of(struct broadcast_watch *w)
{
    return CONTAINER_OF(w, struct wait_call, watch);
}

static void forget_wait(struct embed_call *c)
{
    broadcast_unwatch(&CONTAINER_OF(c, struct wait_call, call)->watch);
}

static void on_gone(struct broadcast_watch *w)
{
    const struct error err = {.code = -ECANCELED, .text = "the broadcast was taken off the list"};
    embed_answer(&wait_of(w)->call, -ECANCELED, &err, NULL);
}

static void answer_failed(struct wait_call *w, struct broadcast *b, int r, const char *otherwise)
{
    struct error err;
    const char *reason = broadcast_result(b)->reason;
    error_set(&err, r, "", "%s", reason ? reason : otherwise);
    embed_answer(&w->call, r, &err, result_json(b));
}

static void on_starting(struct broadcast_watch *watch, struct broadcast *b)
{
    struct wait_call *w = wait_of(watch);
    switch (broadcast_state(b)) {
    case BROADCAST_RUNNING:
    case BROADCAST_DEGRADED:
        broadcast_unwatch(watch);
        embed_answer(&w->call, 0, NULL, w->view(b));
        break;
    case BROADCAST_FAILED:
        broadcast_unwatch(watch);
        answer_failed(w, b, -EREMOTEIO, "it failed");
        break;
    case BROADCAST_STOPPED:
        broadcast_unwatch(watch);
        answer_failed(w, b, -EINTR, "it was stopped before it ran");
        break;
    case BROADCAST_STARTING:
    case BROADCAST_RESTARTING:
    case BROADCAST_STOPPING:
    case BROADCAST_STATE_N:
        break;
    }
}

static bool has_ended(const struct broadcast *b)
{
    return broadcast_state(b) == BROADCAST_STOPPED || broadcast_state(b) == BROADCAST_FAILED;
}

static void on_stopping(struct broadcast_watch *watch, struct broadcast *b)
{
    struct wait_call *w = wait_of(watch);
    struct error err;
    if (!has_ended(b)) {
        return;
    }
    broadcast_unwatch(watch);
    unsigned debts = broadcast_debts(b);
    error_set(&err, -EREMOTEIO, "", "%u steps could not be undone yet and are tried again", debts);
    embed_answer(&w->call, debts ? -EREMOTEIO : 0, debts ? &err : NULL, result_json(b));
}

static void wait_for(struct wait_call *w, struct broadcast *b,
                     void (*on_change)(struct broadcast_watch *watch, struct broadcast *b))
{
    list_init(&w->watch.node);
    w->watch.on_change = on_change;
    w->watch.on_gone = on_gone;
    w->call.forget = forget_wait;
    broadcast_watch(b, &w->watch);
}

static struct wait_call *new_wait(struct mast_orchestrator *o, void (*run)(struct embed_call *c),
                                  const char *arg)
{
    struct wait_call *w = embed_call_new(&o->part, sizeof(*w), run, arg);
    w->view = result_json;
    return w;
}

static void run_start(struct embed_call *c)
{
    struct wait_call *w = CONTAINER_OF(c, struct wait_call, call);
    struct broadcast_request q;
    struct broadcast *b = NULL;
    struct error err = {0};
    int r = broadcast_request_parse(&q, BYTES_STR(c->arg ? c->arg : ""), 0, &err);
    if (r == 0) {
        r = broadcasts_start(orchestrator_of(c)->broadcasts, &q, &b, &err);
    }
    if (r < 0) {
        embed_answer(c, r, &err, NULL);
        return;
    }
    wait_for(w, b, on_starting);
}

static void run_restart(struct embed_call *c)
{
    struct broadcast *b = find(c);
    struct error err = {0};
    if (!b) {
        return;
    }
    int r = broadcast_restart(b, &err);
    if (r < 0) {
        embed_answer(c, r, &err, NULL);
        return;
    }
    wait_for(CONTAINER_OF(c, struct wait_call, call), b, on_starting);
}

static void run_stop(struct embed_call *c)
{
    struct wait_call *w = CONTAINER_OF(c, struct wait_call, call);
    struct broadcast *b = find(c);
    if (b) {
        broadcast_stop(b);
        wait_for(w, b, on_stopping);
        on_stopping(&w->watch, b);
    }
}

/* ---- all of them ---- */

struct all_call {
    struct embed_call call;
    struct list waits;
    struct out results;
    struct json j;
    unsigned debts;
};

struct all_wait {
    struct list node;
    struct all_call *all;
    struct broadcast_watch watch;
};

static void all_wait_free(struct all_wait *w)
{
    broadcast_unwatch(&w->watch);
    list_remove(&w->node);
    free(w);
}

static void forget_all(struct embed_call *c)
{
    struct all_call *all = CONTAINER_OF(c, struct all_call, call);
    LIST_FOREACH_SAFE (it, &all->waits) {
        all_wait_free(LIST_ENTRY(it, struct all_wait, node));
    }
    out_done(&all->results);
}

static void answer_all(struct all_call *all)
{
    struct error err;
    unsigned debts = all->debts;
    if (!list_empty(&all->waits)) {
        return;
    }
    json_array_end(&all->j);
    json_object_end(&all->j);
    error_set(&err, -EREMOTEIO, "", "%u steps could not be undone yet and are tried again", debts);
    embed_answer(&all->call, debts ? -EREMOTEIO : 0, debts ? &err : NULL,
                 out_take_str(&all->results));
}

static void on_one_stopped(struct broadcast_watch *watch, struct broadcast *b)
{
    struct all_wait *w = CONTAINER_OF(watch, struct all_wait, watch);
    struct all_call *all = w->all;
    if (has_ended(b)) {
        _cleanup_free_ char *text = result_json(b);
        json_raw(&all->j, text);
        all->debts += broadcast_debts(b);
        all_wait_free(w);
        answer_all(all);
    }
}

static void on_one_gone(struct broadcast_watch *watch)
{
    struct all_wait *w = CONTAINER_OF(watch, struct all_wait, watch);
    struct all_call *all = w->all;
    all_wait_free(w);
    answer_all(all);
}

static void stop_one(void *user, struct broadcast *b)
{
    struct all_call *all = user;
    if (has_ended(b)) {
        return;
    }
    struct all_wait *w = mem_new(struct all_wait);
    w->all = all;
    w->watch.on_change = on_one_stopped;
    w->watch.on_gone = on_one_gone;
    list_init(&w->watch.node);
    list_append(&all->waits, &w->node);
    broadcast_stop(b);
    broadcast_watch(b, &w->watch);
}

static void run_stop_all(struct embed_call *c)
{
    struct all_call *all = CONTAINER_OF(c, struct all_call, call);
    list_init(&all->waits);
    all->j = json_init(&all->results);
    json_object_begin(&all->j);
    json_key(&all->j, "broadcasts");
    json_array_begin(&all->j);
    c->forget = forget_all;
    broadcasts_each(orchestrator_of(c)->broadcasts, stop_one, all);
    answer_all(all);
}

/* ---- questions ---- */

static void run_result(struct embed_call *c)
{
    struct broadcast *b = find(c);
    if (b) {
        embed_answer(c, 0, NULL, result_json(b));
    }
}

static void run_health(struct embed_call *c)
{
    if (!c->arg) {
        embed_answer(c, 0, NULL, list_json(orchestrator_of(c)->broadcasts, true));
        return;
    }
    struct broadcast *b = find(c);
    if (b) {
        struct out o = {0};
        struct json j = json_init(&o);
        put_summary(&j, b, true);
        embed_answer(c, 0, NULL, out_take_str(&o));
    }
}

static void run_list(struct embed_call *c)
{
    embed_answer(c, 0, NULL, list_json(orchestrator_of(c)->broadcasts, false));
}

static void run_plan(struct embed_call *c)
{
    struct broadcast_request q;
    struct error err = {0};
    struct out o = {0};
    struct json j = json_init(&o);
    int r = broadcast_request_parse(&q, BYTES_STR(c->arg ? c->arg : ""), 0, &err);
    if (r == 0) {
        r = broadcasts_plan(orchestrator_of(c)->broadcasts, &q, &j, &err);
        model_done(&broadcast_request_model, &q);
    }
    char *plan = r == 0 ? out_take_str(&o) : NULL;
    out_done(&o);
    embed_answer(c, r, r < 0 ? &err : NULL, plan);
}

static void run_forget(struct embed_call *c)
{
    struct error err;
    struct broadcast *b = find(c);
    if (b) {
        int r = broadcast_forget(b);
        error_set(&err, r, "id", "it has not ended");
        embed_answer(c, r, r < 0 ? &err : NULL, NULL);
    }
}

/* ---- the API ---- */

struct embed_call *embed_service_start(struct mast_orchestrator *o, const char *json)
{
    struct wait_call *w = new_wait(o, run_start, json);
    w->view = request_json;
    return &w->call;
}

int mast_broadcast_start(struct mast_orchestrator *o, const char *json, mast_done_fn done,
                         void *user)
{
    return embed_call_post(new_wait(o, run_start, json), done, user);
}

int mast_broadcast_start_wait(struct mast_orchestrator *o, const char *json, char **ret,
                              struct mast_error *err)
{
    return embed_call_wait(new_wait(o, run_start, json), ret, err);
}

int mast_broadcast_stop(struct mast_orchestrator *o, const char *id, mast_done_fn done, void *user)
{
    return embed_call_post(new_wait(o, run_stop, id), done, user);
}

int mast_broadcast_stop_wait(struct mast_orchestrator *o, const char *id, char **ret,
                             struct mast_error *err)
{
    return embed_call_wait(new_wait(o, run_stop, id), ret, err);
}

int mast_broadcast_restart(struct mast_orchestrator *o, const char *id, mast_done_fn done,
                           void *user)
{
    return embed_call_post(new_wait(o, run_restart, id), done, user);
}

int mast_broadcast_restart_wait(struct mast_orchestrator *o, const char *id, char **ret,
                                struct mast_error *err)
{
    return embed_call_wait(new_wait(o, run_restart, id), ret, err);
}

static void *new_all(struct mast_orchestrator *o)
{
    return embed_call_new(&o->part, sizeof(struct all_call), run_stop_all, NULL);
}

int mast_broadcast_stop_all(struct mast_orchestrator *o, mast_done_fn done, void *user)
{
    return embed_call_post(new_all(o), done, user);
}

int mast_broadcast_stop_all_wait(struct mast_orchestrator *o, char **ret, struct mast_error *err)
{
    return embed_call_wait(new_all(o), ret, err);
}

/* Calls that need nothing beside their argument. */
static void *new_call(struct mast_orchestrator *o, void (*run)(struct embed_call *c),
                      const char *arg)
{
    return embed_call_new(&o->part, sizeof(struct embed_call), run, arg);
}

int mast_broadcast_forget(struct mast_orchestrator *o, const char *id, mast_done_fn done,
                          void *user)
{
    return embed_call_post(new_call(o, run_forget, id), done, user);
}

int mast_broadcast_forget_wait(struct mast_orchestrator *o, const char *id, struct mast_error *err)
{
    return embed_call_wait(new_call(o, run_forget, id), NULL, err);
}

int mast_broadcast_result(struct mast_orchestrator *o, const char *id, mast_done_fn done,
                          void *user)
{
    return embed_call_post(new_call(o, run_result, id), done, user);
}

int mast_broadcast_result_wait(struct mast_orchestrator *o, const char *id, char **ret,
                               struct mast_error *err)
{
    return embed_call_wait(new_call(o, run_result, id), ret, err);
}

int mast_broadcast_health(struct mast_orchestrator *o, const char *id, mast_done_fn done,
                          void *user)
{
    return embed_call_post(new_call(o, run_health, id), done, user);
}

int mast_broadcast_health_wait(struct mast_orchestrator *o, const char *id, char **ret,
                               struct mast_error *err)
{
    return embed_call_wait(new_call(o, run_health, id), ret, err);
}

int mast_broadcast_list(struct mast_orchestrator *o, mast_done_fn done, void *user)
{
    return embed_call_post(new_call(o, run_list, NULL), done, user);
}

int mast_broadcast_list_wait(struct mast_orchestrator *o, char **ret, struct mast_error *err)
{
    return embed_call_wait(new_call(o, run_list, NULL), ret, err);
}

int mast_broadcast_plan(struct mast_orchestrator *o, const char *json, mast_done_fn done,
                        void *user)
{
    return embed_call_post(new_call(o, run_plan, json), done, user);
}

int mast_broadcast_plan_wait(struct mast_orchestrator *o, const char *json, char **ret,
                             struct mast_error *err)
{
    return embed_call_wait(new_call(o, run_plan, json), ret, err);
}
