/* SPDX-License-Identifier: Apache-2.0 */
/* All broadcasts: their list, what the store has of them, how long ended ones stay, how the service goes. */
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "service/broadcast/broadcast_private.h"

#include <errno.h>
#include <string.h>

LOG_TOPIC(topic, "broadcast");

#define MAX_DEFAULT     10000u
#define KEEP_DEFAULT    1000u
#define KEEP_NS_DEFAULT (7 * 24 * 3600 * NS_PER_S)
#define TIDY_MS_DEFAULT 60000
#define ID_CHARS        12

/* ---- retention ---- */

static void drop(struct broadcast *b)
{
    struct broadcasts *s = b->service;
    map_remove(&s->by_id, broadcast_id(b));
    broadcast_erase(b);
    broadcast_free(b);
}

/* Ended ones that are old, or too many: the oldest go first. Who has debts stays, also while they are being paid. */
static void tidy(struct broadcasts *s)
{
    unsigned keep = s->config.keep ? s->config.keep : KEEP_DEFAULT;
    int64_t oldest = clock_wall_ns() - (s->config.keep_ns ? s->config.keep_ns : KEEP_NS_DEFAULT);
    unsigned ended = 0;
    LIST_FOREACH (it, &s->all) {
        ended += !broadcast_is_live(LIST_ENTRY(it, struct broadcast, node));
    }
    LIST_FOREACH_SAFE (it, &s->all) {
        struct broadcast *b = LIST_ENTRY(it, struct broadcast, node);
        bool over = ended > keep || b->record.result.ended_at < oldest;
        bool done = b->runner.ended && broadcast_debts(b) == 0;
        if (over && !broadcast_is_live(b) && done && !b->op) {
            ended--;
            drop(b);
        }
    }
}

static void on_tidy(void *user)
{
    struct broadcasts *s = user;
    tidy(s);
    loop_timer_start(s->tidy, s->config.tidy_ms);
}

/* ---- leaving ---- */

static bool all_down(const struct broadcasts *s)
{
    LIST_FOREACH (it, &s->all) {
        const struct broadcast *b = LIST_ENTRY(it, struct broadcast, node);
        if (b->op || loop_task_pending(&b->save) ||
            (s->how != BROADCASTS_HAND_ON && !b->runner.ended)) {
            return false;
        }
    }
    return true;
}

static void left(struct broadcasts *s)
{
    void (*fn)(void *) = s->left;
    if (fn) {
        s->left = NULL;
        fn(s->left_user);
    }
}

static void look_left(struct loop_task *t)
{
    struct broadcasts *s = CONTAINER_OF(t, struct broadcasts, look);
    if (s->leaving && all_down(s)) {
        left(s);
    }
}

void broadcasts_changed(struct broadcasts *s)
{
    if (s->leaving) {
        loop_defer(s->config.control, LOOP_STAGE_NOTIFY, &s->look);
    }
}

static void on_deadline(void *user)
{
    struct broadcasts *s = user;
    log_warn("not everything could be undone in time; the next start goes on with it");
    left(s);
}

/* What was told to end before stays ended; the others know from now on that they come back, if they do. */
static void take_down(struct broadcast *b, bool suspend)
{
    bool runs = b->runner.up || (b->restart && broadcast_is_live(b));
    b->restart = false; /* by the next process, if at all */
    if (runs) {
        b->record.suspended = suspend;
        runner_down(&b->runner);
        broadcast_look(b);
    }
}

void broadcasts_leave(struct broadcasts *s, enum broadcasts_leave how, unsigned deadline_ms,
                      void (*done)(void *user), void *user)
{
    s->leaving = true;
    s->how = how;
    s->left = done;
    s->left_user = user;
    s->tidy = loop_timer_free(s->tidy);
    s->deadline = loop_timer_free(s->deadline); /* it was to be handed on, and ends after all */
    s->deadline = loop_timer_new(s->config.control, on_deadline, s);
    loop_timer_start(s->deadline, deadline_ms);
    LIST_FOREACH (it, &s->all) {
        struct broadcast *b = LIST_ENTRY(it, struct broadcast, node);
        if (how == BROADCASTS_HAND_ON) {
            broadcast_save(b);
        } else {
            take_down(b, how == BROADCASTS_SUSPEND);
        }
    }
    loop_defer(s->config.control, LOOP_STAGE_NOTIFY, &s->look);
}

/* ---- life ---- */

struct broadcasts *broadcasts_new(const struct broadcasts_config *config)
{
    struct broadcasts *s = mem_new(struct broadcasts);
    s->config = *config;
    s->config.tidy_ms = config->tidy_ms ? config->tidy_ms : TIDY_MS_DEFAULT;
    list_init(&s->all);
    loop_task_init(&s->look, look_left);
    s->tidy = loop_timer_new(config->control, on_tidy, s);
    loop_timer_start(s->tidy, s->config.tidy_ms);
    return s;
}

static void add(struct broadcasts *s, struct broadcast *b)
{
    list_append(&s->all, &b->node);
    map_set(&s->by_id, broadcast_id(b), b);
}

/* By when they were made, as a list shows them; documents come in the order of their ids. */
static void insert_by_age(struct broadcasts *s, struct broadcast *b)
{
    struct list *at = s->all.prev;
    while (at != &s->all && LIST_ENTRY(at, struct broadcast, node)->record.result.created_at >
                                b->record.result.created_at) {
        at = at->prev;
    }
    list_insert_after(at, &b->node);
    map_set(&s->by_id, broadcast_id(b), b);
}

static void load_one(void *user, const struct store_doc *doc)
{
    struct broadcasts *s = user;
    struct broadcast_record record;
    struct error err = {0};
    unsigned missing = 0;
    int r = broadcast_unseal(&broadcast_record_model, &record, doc->body, s->config.ring, doc->id,
                             &missing, &err);
    if (r < 0) {
        log_error("broadcast %s: %s %s; ignoring it", doc->id, err.where, err.text);
        return;
    }
    if (!record.result.broadcast_id || strcmp(record.result.broadcast_id, doc->id) != 0) {
        log_error("broadcast %s: is not what this program writes; ignoring it", doc->id);
        model_done(&broadcast_record_model, &record);
        return;
    }
    struct broadcast *b = broadcast_from_record(s, &record, missing > 0, &err);
    if (!b) {
        log_error("broadcast %s: %s: %s; ignoring it", doc->id, err.where, err.text);
        return;
    }
    if (missing) {
        log_error("broadcast %s: %u of its secrets were sealed with another key", doc->id, missing);
    }
    insert_by_age(s, b);
}

int broadcasts_load(struct broadcasts *s, struct error *err)
{
    const struct broadcasts_config *c = &s->config;
    return c->store ? store_read_all(c->store, c->control, BROADCAST_KIND, load_one, s, err) : 0;
}

/* ---- loading while the loop runs ---- */

struct loading {
    struct broadcasts *service;
    void (*done)(void *user, int r, const struct error *err);
    void *user;
};

static void load_page(struct loading *l, const char *after);

static void loaded(struct loading *l, int r, const struct error *err)
{
    l->done(l->user, r, err);
    free(l);
}

static void on_page(void *user, int r, const struct store_result *result)
{
    struct loading *l = user;
    if (r < 0) {
        loaded(l, r, &result->err);
        return;
    }
    for (unsigned i = 0; i < result->n; i++) {
        load_one(l->service, &result->docs[i]);
    }
    if (result->more && result->n > 0) {
        load_page(l, result->docs[result->n - 1].id);
    } else {
        loaded(l, 0, NULL);
    }
}

static void load_page(struct loading *l, const char *after)
{
    const struct broadcasts_config *c = &l->service->config;
    struct error err;
    struct store_op *op = store_op_list(BROADCAST_KIND, after, STORE_LIST_MAX);
    int r = store_submit(c->store, c->control, op, on_page, l);
    if (r < 0) {
        error_set(&err, r, "", "the store cannot be read: %s", error_name(r));
        loaded(l, r, &err);
    }
}

void broadcasts_load_begin(struct broadcasts *s,
                           void (*done)(void *user, int r, const struct error *err), void *user)
{
    struct loading *l = mem_new(struct loading);
    *l = (struct loading){.service = s, .done = done, .user = user};
    load_page(l, "");
}

struct broadcasts *broadcasts_free(struct broadcasts *s)
{
    if (!s) {
        return NULL;
    }
    LIST_FOREACH_SAFE (it, &s->all) {
        broadcast_free(LIST_ENTRY(it, struct broadcast, node));
    }
    loop_task_cancel(&s->look);
    s->tidy = loop_timer_free(s->tidy);
    s->deadline = loop_timer_free(s->deadline);
    map_done(&s->by_id);
    free(s);
    return NULL;
}

/* ---- what can be asked ---- */

static unsigned count_live(const struct broadcasts *s)
{
    unsigned n = 0;
    LIST_FOREACH (it, &s->all) {
        n += broadcast_is_live(LIST_ENTRY(it, struct broadcast, node));
    }
    return n;
}

static int may_start(const struct broadcasts *s, const char *id, struct error *err)
{
    unsigned max = s->config.max ? s->config.max : MAX_DEFAULT;
    if (s->leaving) {
        return error_set(err, -ESHUTDOWN, "", "the server is ending");
    }
    if (id && map_get(&s->by_id, id)) {
        return error_set(err, -EEXIST, "id", "there is a broadcast with this id");
    }
    if (s->by_id.len >= max && count_live(s) >= max) {
        return error_set(err, -ENOSPC, "", "%u broadcasts run, which is the limit", max);
    }
    return 0;
}

/* What cannot be kept safe is refused before anything is done with it. */
static int may_be_kept(const struct broadcasts *s, struct broadcast *b, struct error *err)
{
    _cleanup_free_ char *text = NULL;
    if (!s->config.store) {
        return 0;
    }
    return broadcast_seal(&broadcast_record_model, &b->record, s->config.ring, broadcast_id(b),
                          &text, err);
}

int broadcasts_start(struct broadcasts *s, struct broadcast_request *request,
                     struct broadcast **ret, struct error *err)
{
    char made[ID_CHARS + 4] = "br_";
    struct error failed = {0};
    const char *id = request->id;
    int r = may_start(s, id, &failed);
    struct broadcast *b = NULL;
    if (r == 0) {
        random_id(made + 3, ID_CHARS);
        _cleanup_free_ char *name = mem_strdup(id ? id : made);
        b = broadcast_new(s, request, name, &failed);
        r = b ? may_be_kept(s, b, &failed) : failed.code;
    }
    model_done(&broadcast_request_model, request);
    if (!b || r < 0) {
        if (b) {
            broadcast_free(b);
        }
        if (err) {
            *err = failed;
        }
        return r < 0 ? r : -EINVAL;
    }
    add(s, b);
    s->started++;
    broadcast_refresh(b);
    broadcast_emit(b, (enum broadcast_event)BROADCAST_STARTING, NULL);
    runner_up(&b->runner);
    b->runner.dirty = true; /* the request is written down before the first step */
    *ret = b;
    return 0;
}

int broadcasts_plan(struct broadcasts *s, const struct broadcast_request *request, struct json *j,
                    struct error *err)
{
    struct broadcast_request copy;
    model_copy(&broadcast_request_model, &copy, request);
    copy.warnings = request->warnings;
    struct broadcast *b = broadcast_new(s, &copy, request->id ? request->id : "plan", err);
    model_done(&broadcast_request_model, &copy);
    if (!b) {
        return err && err->code < 0 ? err->code : -EINVAL;
    }
    const struct broadcast_result *res = broadcast_result(b);
    enum broadcast_relay relay = broadcast_request_relay(&res->request);
    json_object_begin(j);
    json_put_str(j, "source_kind",
                 model_enum_name(broadcast_source_names, (int)res->request.source_kind));
    json_put_str(j, "relay_kind", model_enum_name(broadcast_relay_names, (int)relay));
    json_key(j, "steps");
    json_array_begin(j);
    for (size_t i = 0; i < res->steps.len; i++) {
        json_object_begin(j);
        json_put_str(j, "name", res->steps.items[i].name);
        json_put_str(j, "peer", res->steps.items[i].peer);
        json_put_str(j, "describe", res->steps.items[i].describe);
        json_object_end(j);
    }
    json_array_end(j);
    json_key(j, "warnings");
    json_array_begin(j);
    for (size_t i = 0; i < res->warnings.len; i++) {
        json_str(j, res->warnings.items[i]);
    }
    json_array_end(j);
    json_object_end(j);
    broadcast_free(b);
    return 0;
}

struct broadcast *broadcasts_find(const struct broadcasts *s, const char *id)
{
    return map_get(&s->by_id, id);
}

void broadcasts_each(struct broadcasts *s, void (*each)(void *user, struct broadcast *b),
                     void *user)
{
    LIST_FOREACH_SAFE (it, &s->all) {
        each(user, LIST_ENTRY(it, struct broadcast, node));
    }
}

unsigned broadcasts_len(const struct broadcasts *s)
{
    return (unsigned)s->by_id.len;
}

const struct broadcasts_config *broadcasts_config(const struct broadcasts *s)
{
    return &s->config;
}

int broadcast_forget(struct broadcast *b)
{
    if (broadcast_is_live(b) || !b->runner.ended) {
        return -EBUSY;
    }
    drop(b);
    return 0;
}

/* ---- metrics ---- */

void broadcasts_count(const struct broadcasts *s, struct broadcasts_counts *ret)
{
    *ret =
        (struct broadcasts_counts){.started = s->started, .failed = s->failed, .healed = s->healed};
    LIST_FOREACH (it, &s->all) {
        const struct broadcast *b = LIST_ENTRY(it, struct broadcast, node);
        ret->states[broadcast_state(b)]++;
        ret->debts += broadcast_debts(b);
    }
}

/* A family of one label. */
static void put_each(struct metrics_page *page, const char *label, const char *const *names,
                     const uint64_t *counts, int n)
{
    for (int i = 0; i < n; i++) {
        metrics_value(page, (const char *const[]){label, names[i], NULL}, (double)counts[i]);
    }
}

void broadcasts_metrics(void *user, struct metrics_page *page)
{
    const struct broadcasts *s = user;
    struct broadcasts_counts c;
    broadcasts_count(s, &c);
    metrics_family(page, "mast_broadcasts", METRIC_GAUGE, "Broadcasts by state.");
    for (int i = 0; i < BROADCAST_STATE_N; i++) {
        metrics_value(
            page, (const char *const[]){"state", model_enum_name(broadcast_state_names, i), NULL},
            c.states[i]);
    }
    metrics_single(page, "mast_broadcast_debts", METRIC_GAUGE,
                   "Undos of broadcasts that could not run yet.", c.debts);
    metrics_single(page, "mast_broadcasts_started_total", METRIC_COUNTER, "Broadcasts begun.",
                   (double)c.started);
    metrics_single(page, "mast_broadcasts_failed_total", METRIC_COUNTER,
                   "Broadcasts that ended by a failure.", (double)c.failed);
    metrics_single(page, "mast_broadcasts_healed_total", METRIC_COUNTER,
                   "How often a broadcast ran again after something of it was lost.",
                   (double)c.healed);
    metrics_family(page, "mast_broadcast_events_total", METRIC_COUNTER,
                   "Events of broadcasts, by the type that the event feed gives them.");
    put_each(page, "type", broadcast_event_names, s->events, BROADCAST_EVENT_N);
    metrics_family(page, "mast_broadcast_errors_total", METRIC_COUNTER,
                   "Errors of broadcasts, by what a step was at.");
    put_each(page, "phase", broadcast_phase_names, s->errors, BROADCAST_PHASE_N);
    metrics_source_done(page);
}
