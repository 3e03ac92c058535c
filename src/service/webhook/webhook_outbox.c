/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "service/webhook/webhook_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

LOG_TOPIC(topic, "webhook");

#define KIND     "webhook-delivery"
#define BODY_MAX (256 * 1024)

void outbox_new_id(struct webhook_service *s, char ret[WEBHOOK_NEW_ID_MAX])
{
    char unique[5];
    s->last_id = MAX(s->last_id + 1, clock_wall_ns() / NS_PER_US);
    /* The letters are for a clock that went back: a receiver must never take one delivery for another. */
    snprintf(ret, WEBHOOK_NEW_ID_MAX, "%014" PRIx64 "-%s", (uint64_t)s->last_id,
             random_id(unique, sizeof(unique) - 1));
}

/* ---- the store ---- */

static void on_written(void *user, int r, const struct store_result *result)
{
    if (r < 0 && r != -ENOENT) {
        log_error("the outbox cannot be written: %s; a restart may deliver again or lose",
                  result->err.text);
    }
}

static struct store_op *put_op(const struct webhook_delivery *d)
{
    _cleanup_free_ char *json = model_to_json(&webhook_delivery_model, d, MODEL_SECRETS_CLEAR);
    struct store_op *op = store_op_write();
    store_op_put(op, KIND, d->id, STORE_ANY, BYTES_STR(json));
    return op;
}

static void submit(struct webhook_service *s, struct store_op *op)
{
    int r = store_submit(s->config.store, s->config.control, op, on_written, NULL);
    if (r < 0) {
        log_error("the outbox cannot be written: %s; a restart may deliver again or lose",
                  error_name(r));
    }
}

void outbox_update(struct webhook_service *s, struct webhook_delivery *d)
{
    submit(s, put_op(d));
}

static void delete_stored(struct webhook_service *s, const char *id)
{
    struct store_op *op = store_op_write();
    store_op_delete(op, KIND, id, STORE_ANY);
    submit(s, op);
}

/* In the store, or in vain: it is better sent without than lost. */
static void on_stored(void *user, int r, const struct store_result *result)
{
    struct webhook_delivery *d = user;
    struct sub *sub = d->owner;
    d->op = NULL;
    on_written(NULL, r, result);
    webhook_queue_stored(&sub->q, d, clock_wall_ns());
    webhook_pump_soon(sub->s);
}

static void store_new(struct sub *sub, struct webhook_delivery *d, int64_t now)
{
    struct webhook_service *s = sub->s;
    struct store_op *op = put_op(d);
    int r = store_submit(s->config.store, s->config.control, op, on_stored, d);
    if (r < 0) {
        log_error("the outbox cannot be written: %s; a restart would lose %s", error_name(r),
                  d->id);
        webhook_queue_stored(&sub->q, d, now);
        webhook_pump_soon(s);
        return;
    }
    d->op = op;
}

/* ---- in and out ---- */

static void enter(struct sub *sub, struct webhook_delivery *d, int64_t now)
{
    d->owner = sub;
    webhook_queue_add(&sub->q, d, now);
    sub->s->n_deliveries++;
    sub->s->bytes += webhook_delivery_bytes(d);
}

/* Out of the queue and memory. */
static void leave(struct sub *sub, struct webhook_delivery *d, int64_t now)
{
    struct webhook_service *s = sub->s;
    if (d->op) {
        store_op_forget(d->op);
    }
    if (d->attempt) {
        d->attempt = webhook_attempt_cancel(d->attempt);
        s->n_sending--;
    }
    s->n_deliveries--;
    s->bytes -= webhook_delivery_bytes(d);
    webhook_queue_remove(&sub->q, d, now);
    webhook_delivery_free(d);
}

void outbox_remove(struct sub *sub, struct webhook_delivery *d, int64_t now)
{
    delete_stored(sub->s, d->id);
    leave(sub, d, now);
}

static struct webhook_delivery *any_of(struct sub *sub)
{
    struct list *l = list_empty(&sub->q.all) ? &sub->q.dead : &sub->q.all;
    return list_empty(l) ? NULL : LIST_ENTRY(l->next, struct webhook_delivery, in_all);
}

void outbox_remove_all(struct sub *sub)
{
    struct webhook_delivery *d;
    while ((d = any_of(sub)) != NULL) {
        outbox_remove(sub, d, 0);
    }
}

void outbox_forget_all(struct sub *sub)
{
    struct webhook_delivery *d;
    while ((d = any_of(sub)) != NULL) {
        leave(sub, d, 0);
    }
}

/* ---- bounds ---- */

/* Of those that have something that is not being sent. */
static struct sub *largest(const struct webhook_service *s)
{
    struct sub *most = NULL;
    LIST_FOREACH (it, &s->subs) {
        struct sub *sub = LIST_ENTRY(it, struct sub, node);
        if (webhook_queue_oldest(&sub->q) && (!most || sub->q.bytes > most->q.bytes)) {
            most = sub;
        }
    }
    return most;
}

static void make_room(struct webhook_service *s, int64_t now)
{
    while (s->n_deliveries > s->config.outbox_max || s->bytes > s->config.outbox_bytes_max) {
        struct sub *sub = largest(s);
        struct webhook_delivery *d = sub ? webhook_queue_oldest(&sub->q) : NULL;
        if (!d) {
            return; /* all of them are being sent: a bounded number */
        }
        outbox_remove(sub, d, now);
        s->dropped++;
        sub->dropped_untold++;
    }
}

void outbox_take(struct sub *sub, const struct event *e, int64_t now)
{
    struct webhook_service *s = sub->s;
    char id[WEBHOOK_NEW_ID_MAX];
    if (e->json.len > BODY_MAX) {
        log_warn("webhook %s: an event %s of %zu bytes is too large, leaving it out", sub->w.id,
                 e->type, e->json.len);
        return;
    }
    outbox_new_id(s, id);
    struct webhook_delivery *d = mem_new(struct webhook_delivery);
    *d = (struct webhook_delivery){
        .id = mem_strdup(id),
        .webhook = mem_strdup(sub->w.id),
        .event = mem_strdup(e->type),
        .resource = mem_strdup(e->resource),
        .body = mem_strndup((const char *)e->json.data, e->json.len),
        .created_at = now,
        .queued_at = now,
    };
    enter(sub, d, now);
    store_new(sub, d, now);
    make_room(s, now);
}

/* ---- the start ---- */

static void note_id(struct webhook_service *s, const char *id)
{
    int64_t number = (int64_t)strtoull(id, NULL, 16);
    s->last_id = MAX(s->last_id, number);
}

static void load_doc(void *user, const struct store_doc *doc)
{
    struct webhook_service *s = user;
    struct webhook_delivery *d = mem_new(struct webhook_delivery);
    struct error err = {0};
    note_id(s, doc->id);
    if (model_parse_json(&webhook_delivery_model, d, doc->body, NULL, &err) < 0) {
        log_error("delivery %s: %s %s, ignoring it", doc->id, err.where, err.text);
        free(d);
        return;
    }
    struct sub *sub = webhook_find(s, d->webhook);
    if (!sub) {
        log_info("delivery %s: its webhook %s is gone, deleting it", d->id, d->webhook);
        delete_stored(s, d->id);
        webhook_delivery_free(d);
        return;
    }
    d->stored = true;
    enter(sub, d, clock_wall_ns());
}

int outbox_load(struct webhook_service *s, struct error *err)
{
    int r = store_read_all(s->config.store, s->config.control, KIND, load_doc, s, err);
    if (r == 0) {
        make_room(s, clock_wall_ns());
    }
    return r;
}
