/* SPDX-License-Identifier: Apache-2.0 */
#include "service/webhook/webhook_service.h"

#include "base/clock.h"
#include "base/log.h"
#include "service/webhook/webhook_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

LOG_TOPIC(topic, "webhook");

#define OUTBOX_MAX       10000
#define OUTBOX_BYTES_MAX (32u << 20)
#define SENDING_MAX      64 /* requests under way */
#define SENDING_EACH_MAX 8  /* of one webhook */
#define DEAD_EACH_MAX    200
#define RETRY_FIRST_NS   (1 * NS_PER_S)
#define RETRY_MAX_NS     (600 * NS_PER_S)
#define ASK_AGAIN_MS     60000 /* the wall clock may have stepped */
#define TOLD_AGAIN_NS    (60 * NS_PER_S)

/* ---- finding and showing ---- */

struct sub *webhook_find(const struct webhook_service *s, const char *id)
{
    LIST_FOREACH (it, &s->subs) {
        struct sub *sub = LIST_ENTRY(it, struct sub, node);
        if (strcmp(sub->w.id, id) == 0) {
            return sub;
        }
    }
    return NULL;
}

static bool lacks_secret(const struct webhook *w)
{
    bool lacks = w->secret && seal_is_text(w->secret);
    for (size_t i = 0; i < w->headers.len; i++) {
        lacks = lacks || seal_is_text(w->headers.items[i].value);
    }
    return lacks;
}

static bool is_active(const struct sub *sub)
{
    return sub->w.enabled && !sub->gone && !sub->needs_secret;
}

static const char *status_of(const struct sub *sub)
{
    if (sub->gone) {
        return "gone";
    }
    if (!sub->w.enabled) {
        return "disabled";
    }
    if (sub->needs_secret) {
        return "needs-secret";
    }
    return sub->last_error ? "failing" : "ok";
}

struct webhook_view sub_view(const struct sub *sub)
{
    const struct webhook *w = &sub->w;
    struct webhook_view v = {
        .id = w->id,
        .name = w->name,
        .url = w->url,
        .enabled = w->enabled,
        .timeout = w->timeout,
        .give_up = w->give_up,
        .created_at = w->created_at,
        .managed_by = sub->from_file ? "file" : "api",
        .status = (char *)status_of(sub),
        .pending = sub->q.n_pending,
        .dead = sub->q.n_dead,
        .accepted = sub->accepted,
        .failed = sub->failed,
        .last_at = sub->last_at,
        .last_status = sub->last_status,
        .last_error = sub->last_error,
    };
    v.events.items = w->events.items;
    v.events.len = w->events.len;
    v.paths.items = w->paths.items;
    v.paths.len = w->paths.len;
    return v;
}

/* Takes w over. */
struct sub *sub_new(struct webhook_service *s, struct webhook *w, bool from_file)
{
    struct sub *sub = mem_new(struct sub);
    sub->s = s;
    sub->w = *w;
    *w = (struct webhook){0};
    sub->from_file = from_file;
    sub->needs_secret = lacks_secret(&sub->w);
    webhook_queue_init(&sub->q);
    list_append(&s->subs, &sub->node);
    if (sub->needs_secret) {
        log_error("webhook %s: its secrets were sealed with another key, it waits for new ones",
                  sub->w.id);
    }
    return sub;
}

void sub_free(struct sub *sub)
{
    list_remove(&sub->node);
    webhook_queue_done(&sub->q);
    webhook_done(&sub->w);
    free(sub->last_error);
    free(sub);
}

static void tell(struct sub *sub, const char *type, const char *key, const char *value, unsigned n)
{
    _cleanup_free_ char *resource = mem_printf("webhooks/%s", sub->w.id);
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    json_object_begin(&j);
    json_put_str(&j, "id", sub->w.id);
    if (value) {
        json_put_str(&j, key, value);
    } else {
        json_put_uint(&j, key, n);
    }
    json_object_end(&j);
    events_emit(sub->s->config.events, clock_wall_ns(), type, resource, out_str(&o));
}

/* ---- sending ---- */

void webhook_pump_soon(struct webhook_service *s)
{
    if (!s->stopping) {
        loop_defer(s->config.control, LOOP_STAGE_NOTIFY, &s->pump);
    }
}

static void bury_oldest(struct sub *sub, int64_t now)
{
    while (sub->q.n_dead > DEAD_EACH_MAX) {
        outbox_remove(sub, webhook_queue_oldest(&sub->q), now);
    }
}

static void on_dead(struct sub *sub, struct webhook_delivery *d, int64_t now)
{
    sub->s->died++;
    log_warn("webhook %s: %s (%s) is given up after %u attempts: %s", sub->w.id, d->id, d->event,
             d->attempts, d->last_error);
    outbox_update(sub->s, d);
    tell(sub, "webhook.dead", "delivery", d->id, 0);
    bury_oldest(sub, now);
}

/*
 * Others are under way when the first 410 comes, and what has been changed since, a new address perhaps, is not what they were
 * sent by: those have only failed.
 */
static bool is_gone(const struct sub *sub, const struct webhook_delivery *d,
                    const struct webhook_result *result)
{
    return result->verdict == WEBHOOK_GONE && is_active(sub) && d->settings == sub->settings;
}

static void on_gone(struct sub *sub, struct webhook_delivery *d, int64_t now)
{
    sub->gone = true;
    d->attempts++;
    d->last_at = now;
    webhook_queue_kill(&sub->q, d, now);
    log_warn("webhook %s: the receiver wants nothing any more (410), it is disabled", sub->w.id);
    tell(sub, "webhook.disabled", "reason", "gone", 0);
    on_dead(sub, d, now);
    if (!sub->from_file) {
        sub->w.enabled = false;
        sub_store(sub);
    }
}

static void on_failed(struct sub *sub, struct webhook_delivery *d,
                      const struct webhook_result *result, int64_t now)
{
    struct webhook_retry retry = sub->s->config.retry;
    retry.give_up_ns = sub->w.give_up;
    sub->failed++;
    sub->s->failed++;
    d->last_status = result->status;
    free(d->last_error);
    d->last_error = mem_strndup(result->error, ERROR_TEXT_MAX - 1);
    if (!sub->last_error) {
        log_warn("webhook %s: %s", sub->w.id, d->last_error);
    }
    free(sub->last_error);
    sub->last_error = mem_strdup(d->last_error);
    if (is_gone(sub, d, result)) {
        on_gone(sub, d, now);
    } else if (webhook_queue_failed(&sub->q, d, &retry, result->wait_ns, now)) {
        on_dead(sub, d, now);
    } else {
        outbox_update(sub->s, d);
    }
}

static void on_result(void *user, const struct webhook_result *result)
{
    struct webhook_delivery *d = user;
    struct sub *sub = d->owner;
    struct webhook_service *s = sub->s;
    int64_t now = clock_wall_ns();
    d->attempt = NULL;
    s->n_sending--;
    sub->last_at = now;
    sub->last_status = result->status;
    log_debug("webhook %s: %s (%s): %s", sub->w.id, d->id, d->event,
              result->error ? result->error : "accepted");
    if (result->verdict == WEBHOOK_ACCEPTED) {
        sub->accepted++;
        s->accepted++;
        if (sub->last_error) {
            log_info("webhook %s: works again", sub->w.id);
            free(TAKE_PTR(sub->last_error));
        }
        outbox_remove(sub, d, now);
    } else {
        on_failed(sub, d, result, now);
    }
    webhook_pump_soon(s);
}

const struct net_guard *sub_guard(const struct sub *sub)
{
    return sub->from_file ? NULL : &sub->s->guard;
}

static void send_one(struct sub *sub, struct webhook_delivery *d, int64_t now)
{
    struct webhook_service *s = sub->s;
    struct error err = {0};
    const struct webhook_message m = {
        .webhook = &sub->w,
        .guard = sub_guard(sub),
        .event = d->event,
        .id = d->id,
        .body = d->body,
        .now_ns = now,
    };
    s->n_sending++;
    d->settings = sub->settings;
    if (webhook_send(s->http, &m, on_result, d, &d->attempt, &err) < 0) {
        on_result(d, &(struct webhook_result){.verdict = WEBHOOK_FAILED, .error = err.text});
    }
}

/* Returns when this webhook needs another look; INT64_MAX: after a change. */
static int64_t pump_sub(struct sub *sub, int64_t now)
{
    struct webhook_delivery *d;
    if (!is_active(sub)) {
        return INT64_MAX;
    }
    while (sub->q.n_sending < SENDING_EACH_MAX && sub->s->n_sending < SENDING_MAX) {
        d = webhook_queue_next(&sub->q, now);
        if (!d) {
            return webhook_queue_due(&sub->q, now);
        }
        send_one(sub, d, now);
    }
    return INT64_MAX; /* the end of a request is a change */
}

static void tell_dropped(struct sub *sub, int64_t now)
{
    if (sub->dropped_untold == 0 || now - sub->dropped_told_at < TOLD_AGAIN_NS) {
        return;
    }
    log_warn("webhook %s: the outbox is full, %u deliveries were dropped", sub->w.id,
             sub->dropped_untold);
    tell(sub, "webhook.dropped", "deliveries", NULL, sub->dropped_untold);
    sub->dropped_untold = 0;
    sub->dropped_told_at = now;
}

static void pump(struct webhook_service *s)
{
    int64_t now = clock_wall_ns();
    int64_t due = INT64_MAX;
    LIST_FOREACH_SAFE (it, &s->subs) {
        struct sub *sub = LIST_ENTRY(it, struct sub, node);
        tell_dropped(sub, now);
        int64_t when = pump_sub(sub, now);
        due = MIN(due, when);
    }
    /* Another begins next time, so that none can keep all the requests to itself. */
    if (!list_empty(&s->subs)) {
        struct list *first = s->subs.next;
        list_remove(first);
        list_append(&s->subs, first);
    }
    if (due != INT64_MAX) {
        int64_t ms = MAX((due - now) / NS_PER_MS + 1, (int64_t)1);
        loop_timer_start(s->timer, (uint64_t)MIN(ms, (int64_t)ASK_AGAIN_MS));
    }
}

static void on_pump(struct loop_task *t)
{
    pump(CONTAINER_OF(t, struct webhook_service, pump));
}

static void on_timer(void *user)
{
    pump(user);
}

static void on_event(void *user, const struct event *e)
{
    struct webhook_service *s = user;
    int64_t now = clock_wall_ns();
    LIST_FOREACH (it, &s->subs) {
        struct sub *sub = LIST_ENTRY(it, struct sub, node);
        if (!sub->gone && webhook_wants(&sub->w, e)) {
            outbox_take(sub, e, now);
        }
    }
}

/* ---- life ---- */

struct webhook_service *webhook_service_new(const struct webhook_service_config *config)
{
    struct webhook_service *s = mem_new(struct webhook_service);
    s->config = *config;
    s->config.outbox_max = config->outbox_max ? config->outbox_max : OUTBOX_MAX;
    s->config.outbox_bytes_max =
        config->outbox_bytes_max ? config->outbox_bytes_max : OUTBOX_BYTES_MAX;
    s->config.retry.first_ns = config->retry.first_ns ? config->retry.first_ns : RETRY_FIRST_NS;
    s->config.retry.max_ns = config->retry.max_ns ? config->retry.max_ns : RETRY_MAX_NS;
    s->http = http_client_new(config->control, &(struct http_client_config){0});
    s->timer = loop_timer_new(config->control, on_timer, s);
    loop_task_init(&s->pump, on_pump);
    list_init(&s->subs);
    list_init(&s->pings);
    s->listener = (struct events_listener){.on_event = on_event, .user = s};
    events_listen(config->events, &s->listener);
    return s;
}

void webhook_service_stop(struct webhook_service *s)
{
    struct error err = {0};
    if (!s || s->stopping) {
        return;
    }
    s->stopping = true;
    events_unlisten(&s->listener);
    loop_task_cancel(&s->pump);
    s->timer = loop_timer_free(s->timer);
    error_set(&err, -ESHUTDOWN, "", "the server is ending");
    while (!list_empty(&s->pings)) {
        struct ping *p = LIST_ENTRY(s->pings.next, struct ping, node);
        list_remove(&p->node);
        webhook_attempt_cancel(p->attempt);
        p->fn(p->user, -ESHUTDOWN, NULL, &err);
        free(p);
    }
    LIST_FOREACH (it, &s->subs) {
        outbox_forget_all(LIST_ENTRY(it, struct sub, node));
    }
    s->http = http_client_free(s->http);
}

struct webhook_service *webhook_service_free(struct webhook_service *s)
{
    if (s) {
        while (!list_empty(&s->subs)) {
            sub_free(LIST_ENTRY(s->subs.next, struct sub, node));
        }
        free(s);
    }
    return NULL;
}

/* ---- mast.yml ---- */

void sub_take_settings(struct sub *sub, struct webhook *w)
{
    webhook_done(&sub->w);
    sub->w = *w;
    *w = (struct webhook){0};
    sub->settings++;
    sub->gone = false;
    webhook_queue_hurry(&sub->q, clock_wall_ns());
    sub->needs_secret = lacks_secret(&sub->w);
}

static void configure_one(struct webhook_service *s, const struct webhook *item)
{
    struct sub *sub = webhook_find(s, item->id);
    if (sub && model_equal(&webhook_stored_model, &sub->w, item)) {
        sub->seen = true;
        return;
    }
    struct webhook copy;
    model_copy(&webhook_stored_model, &copy, item);
    if (sub) {
        sub_take_settings(sub, &copy);
    } else {
        sub = sub_new(s, &copy, true);
    }
    sub->seen = true;
}

void webhook_service_configure(struct webhook_service *s, const struct webhook *items, size_t n,
                               const struct net_guard *guard)
{
    s->guard = *guard;
    LIST_FOREACH (it, &s->subs) {
        LIST_ENTRY(it, struct sub, node)->seen = false;
    }
    for (size_t i = 0; i < n; i++) {
        configure_one(s, &items[i]);
    }
    LIST_FOREACH_SAFE (it, &s->subs) {
        struct sub *sub = LIST_ENTRY(it, struct sub, node);
        if (sub->from_file && !sub->seen) {
            outbox_remove_all(sub);
            sub_free(sub);
        }
    }
    webhook_pump_soon(s);
}

/* ---- loading ---- */

static void load_doc(void *user, const struct store_doc *doc)
{
    struct webhook_service *s = user;
    struct webhook w;
    struct error err = {0};
    struct seal_document sealed = {.ring = s->config.ring, .kind = WEBHOOK_KIND, .id = doc->id};
    const struct model_parse_opts opts = {.unseal = seal_open_model_field, .user = &sealed};
    int r = model_parse_json(&webhook_stored_model, &w, doc->body, &opts, &err);
    if (r == 0 && (strcmp(w.id, doc->id) != 0 || webhook_find(s, w.id))) {
        webhook_done(&w);
        r = error_set(&err, -EINVAL, "", "is not what this program writes");
    }
    if (r < 0) {
        log_error("webhook %s: %s %s, ignoring it", doc->id, err.where, err.text);
        return;
    }
    struct sub *sub = sub_new(s, &w, false);
    sub->version = doc->version;
    s->n_api++;
}

int webhook_service_load(struct webhook_service *s, struct error *err)
{
    int r = store_read_all(s->config.store, s->config.control, WEBHOOK_KIND, load_doc, s, err);
    r = r < 0 ? r : outbox_load(s, err);
    if (r == 0) {
        webhook_pump_soon(s);
    }
    return r;
}

/* ---- metrics ---- */

void webhook_metrics(void *user, struct metrics_page *page)
{
    const struct webhook_service *s = user;
    unsigned pending = 0;
    unsigned dead = 0;
    LIST_FOREACH (it, &s->subs) {
        const struct sub *sub = LIST_ENTRY(it, struct sub, node);
        pending += sub->q.n_pending;
        dead += sub->q.n_dead;
    }
    metrics_family(page, "mast_webhook_attempts_total", METRIC_COUNTER, "Requests to webhooks.");
    metrics_value(page, (const char *const[]){"result", "accepted", NULL}, (double)s->accepted);
    metrics_value(page, (const char *const[]){"result", "failed", NULL}, (double)s->failed);
    metrics_family(page, "mast_webhook_lost_total", METRIC_COUNTER,
                   "Deliveries that were given up, and dropped because the outbox was full.");
    metrics_value(page, (const char *const[]){"reason", "dead", NULL}, (double)s->died);
    metrics_value(page, (const char *const[]){"reason", "dropped", NULL}, (double)s->dropped);
    metrics_family(page, "mast_webhook_deliveries", METRIC_GAUGE, "Deliveries in the outbox.");
    metrics_value(page, (const char *const[]){"state", "pending", NULL}, pending);
    metrics_value(page, (const char *const[]){"state", "dead", NULL}, dead);
    metrics_single(page, "mast_webhook_outbox_bytes", METRIC_GAUGE, "And their bytes.",
                   (double)s->bytes);
    metrics_source_done(page);
}
