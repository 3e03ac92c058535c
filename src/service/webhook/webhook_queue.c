/* SPDX-License-Identifier: Apache-2.0 */
#include "service/webhook/webhook_queue.h"

#include "base/random.h"

#include <string.h>

#define BODY_MAX (256 * 1024)

/* In a list of the queue, or linked to itself while IDLE. */
struct webhook_lane {
    struct list node;
    struct list deliveries;
    char *resource;
};

static const struct model_enum states[] = {
    {"pending", WEBHOOK_PENDING},
    {"dead", WEBHOOK_DEAD},
    {NULL, 0},
};

#define FIELDS_SHOWN                                                                               \
    MODEL_STRING(struct webhook_delivery, id, .required = true,                                    \
                 .doc = "The same in all attempts, as Mast-Delivery says it."),                    \
        MODEL_STRING(struct webhook_delivery, event, .required = true),                            \
        MODEL_STRING(struct webhook_delivery, resource, .required = true),                         \
        MODEL_ENUM(struct webhook_delivery, state, states,                                         \
                   .doc = "pending, or dead: given up, until it is replayed."),                    \
        MODEL_TIME(struct webhook_delivery, created_at),                                           \
        MODEL_TIME(struct webhook_delivery, next_at, .doc = "Not tried before."),                  \
        MODEL_TIME(struct webhook_delivery, last_at, .doc = "Of the last attempt."),               \
        MODEL_INT(struct webhook_delivery, attempts),                                              \
        MODEL_INT(struct webhook_delivery, last_status, .doc = "0: no reply."),                    \
        MODEL_STRING(struct webhook_delivery, last_error),                                         \
        MODEL_RAW(struct webhook_delivery, body, .required = true, .max = BODY_MAX,                \
                  .doc = "The event.")

static const struct model_field stored_fields[] = {
    FIELDS_SHOWN,
    MODEL_STRING(struct webhook_delivery, webhook, .required = true),
    MODEL_TIME(struct webhook_delivery, queued_at),
};
const struct model webhook_delivery_model =
    MODEL("StoredDelivery", struct webhook_delivery, stored_fields, .unknown = MODEL_IGNORE);

static const struct model_field shown_fields[] = {FIELDS_SHOWN};
const struct model webhook_delivery_view_model =
    MODEL("WebhookDelivery", struct webhook_delivery, shown_fields, .unknown = MODEL_IGNORE);

static const struct model_field list_fields[] = {
    MODEL_LIST_STRUCT(struct webhook_delivery_list, items, &webhook_delivery_view_model,
                      .max = 65536),
};
const struct model webhook_delivery_list_model = MODEL(
    "WebhookDeliveryList", struct webhook_delivery_list, list_fields, .unknown = MODEL_IGNORE);

struct webhook_delivery *webhook_delivery_free(struct webhook_delivery *d)
{
    if (d) {
        model_done(&webhook_delivery_model, d);
        free(d);
    }
    return NULL;
}

size_t webhook_delivery_bytes(const struct webhook_delivery *d)
{
    /* last_error changes meanwhile: its most. */
    return sizeof(*d) + strlen(d->body) + strlen(d->resource) + ERROR_TEXT_MAX;
}

/* ---- lanes ---- */

static struct webhook_delivery *first_of(const struct webhook_lane *lane)
{
    return LIST_ENTRY(lane->deliveries.next, struct webhook_delivery, in_lane);
}

/* Where a lane stands follows from its first delivery: called after each change of that. Frees an empty one. */
static void place(struct webhook_queue *q, struct webhook_lane *lane, int64_t now)
{
    list_remove(&lane->node);
    if (list_empty(&lane->deliveries)) {
        map_remove(&q->lanes, lane->resource);
        free(lane->resource);
        free(lane);
        return;
    }
    struct webhook_delivery *d = first_of(lane);
    d->next_at = MIN(d->next_at, now + WEBHOOK_WAIT_MAX_NS);
    if (!d->stored || d->sending) {
        return;
    }
    if (d->next_at <= now) {
        list_append(&q->ready, &lane->node);
    } else {
        list_append(&q->waiting, &lane->node);
        q->due = MIN(q->due, d->next_at);
    }
}

static void enter(struct webhook_queue *q, struct webhook_delivery *d, int64_t now)
{
    struct webhook_lane *lane = map_get(&q->lanes, d->resource);
    if (!lane) {
        lane = mem_new(struct webhook_lane);
        list_init(&lane->node);
        list_init(&lane->deliveries);
        lane->resource = mem_strdup(d->resource);
        map_set(&q->lanes, lane->resource, lane);
    }
    d->lane = lane;
    list_append(&lane->deliveries, &d->in_lane);
    list_append(&q->all, &d->in_all);
    q->n_pending++;
    if (first_of(lane) == d) {
        place(q, lane, now);
    }
}

/* Out of its lane, and so what comes after it moves up. */
static void leave(struct webhook_queue *q, struct webhook_delivery *d, int64_t now)
{
    struct webhook_lane *lane = d->lane;
    list_remove(&d->in_all);
    if (!lane) {
        q->n_dead--;
        return;
    }
    q->n_pending--;
    q->n_sending -= d->sending;
    d->sending = false;
    bool was_first = first_of(lane) == d;
    list_remove(&d->in_lane);
    d->lane = NULL;
    if (was_first) {
        place(q, lane, now);
    }
}

/* ---- the queue ---- */

void webhook_queue_init(struct webhook_queue *q)
{
    *q = (struct webhook_queue){.due = INT64_MAX};
    list_init(&q->ready);
    list_init(&q->waiting);
    list_init(&q->all);
    list_init(&q->dead);
}

static void free_all(struct webhook_queue *q, struct list *l)
{
    while (!list_empty(l)) {
        struct webhook_delivery *d = LIST_ENTRY(l->next, struct webhook_delivery, in_all);
        webhook_queue_remove(q, d, 0);
        webhook_delivery_free(d);
    }
}

void webhook_queue_done(struct webhook_queue *q)
{
    free_all(q, &q->all);
    free_all(q, &q->dead);
    map_done(&q->lanes);
}

void webhook_queue_add(struct webhook_queue *q, struct webhook_delivery *d, int64_t now)
{
    list_init(&d->in_lane);
    list_init(&d->in_all);
    q->bytes += webhook_delivery_bytes(d);
    if (d->state == WEBHOOK_DEAD) {
        list_append(&q->dead, &d->in_all);
        q->n_dead++;
    } else {
        enter(q, d, now);
    }
}

void webhook_queue_stored(struct webhook_queue *q, struct webhook_delivery *d, int64_t now)
{
    d->stored = true;
    if (d->lane && first_of(d->lane) == d) {
        place(q, d->lane, now);
    }
}

/* Those whose time has come become ready. */
static void wake(struct webhook_queue *q, int64_t now)
{
    struct list woken;
    list_init(&woken);
    while (!list_empty(&q->waiting)) {
        struct list *it = q->waiting.next;
        list_remove(it);
        list_append(&woken, it);
    }
    q->due = INT64_MAX;
    while (!list_empty(&woken)) {
        place(q, LIST_ENTRY(woken.next, struct webhook_lane, node), now);
    }
}

void webhook_queue_hurry(struct webhook_queue *q, int64_t now)
{
    LIST_FOREACH (it, &q->all) {
        LIST_ENTRY(it, struct webhook_delivery, in_all)->next_at = 0;
    }
    wake(q, now);
}

struct webhook_delivery *webhook_queue_next(struct webhook_queue *q, int64_t now)
{
    bool stepped_back = q->due != INT64_MAX && q->due - now > WEBHOOK_WAIT_MAX_NS;
    if (now >= q->due || stepped_back) {
        wake(q, now);
    }
    if (list_empty(&q->ready)) {
        return NULL;
    }
    struct webhook_lane *lane = LIST_ENTRY(q->ready.next, struct webhook_lane, node);
    struct webhook_delivery *d = first_of(lane);
    d->sending = true;
    q->n_sending++;
    place(q, lane, now);
    return d;
}

int64_t webhook_queue_due(const struct webhook_queue *q, int64_t now)
{
    return list_empty(&q->ready) ? q->due : now;
}

static int64_t wait_for(const struct webhook_retry *retry, unsigned attempts)
{
    int64_t most = retry->first_ns;
    for (unsigned i = 1; i < attempts && most < retry->max_ns; i++) {
        most *= 2;
    }
    most = MIN(most, retry->max_ns);
    uint64_t half = (uint64_t)most / 2;
    return (int64_t)(half + (retry->random_below ? retry->random_below : random_below)(half + 1));
}

void webhook_queue_kill(struct webhook_queue *q, struct webhook_delivery *d, int64_t now)
{
    leave(q, d, now);
    d->state = WEBHOOK_DEAD;
    d->next_at = 0;
    list_append(&q->dead, &d->in_all);
    q->n_dead++;
}

bool webhook_queue_failed(struct webhook_queue *q, struct webhook_delivery *d,
                          const struct webhook_retry *retry, int64_t wait_ns, int64_t now)
{
    d->attempts++;
    d->last_at = now;
    int64_t wait = MAX(wait_for(retry, d->attempts), MIN(wait_ns, WEBHOOK_WAIT_MAX_NS));
    if (now - d->queued_at + wait > retry->give_up_ns) {
        webhook_queue_kill(q, d, now);
        return true;
    }
    d->next_at = now + wait;
    d->sending = false;
    q->n_sending--;
    place(q, d->lane, now);
    return false;
}

void webhook_queue_replay(struct webhook_queue *q, struct webhook_delivery *d, int64_t now)
{
    leave(q, d, now);
    d->state = WEBHOOK_PENDING;
    d->attempts = 0;
    d->queued_at = now;
    d->next_at = 0;
    enter(q, d, now);
}

void webhook_queue_remove(struct webhook_queue *q, struct webhook_delivery *d, int64_t now)
{
    leave(q, d, now);
    q->bytes -= webhook_delivery_bytes(d);
}

struct webhook_delivery *webhook_queue_oldest(const struct webhook_queue *q)
{
    if (!list_empty(&q->dead)) {
        return LIST_ENTRY(q->dead.next, struct webhook_delivery, in_all);
    }
    LIST_FOREACH (it, &q->all) {
        struct webhook_delivery *d = LIST_ENTRY(it, struct webhook_delivery, in_all);
        if (!d->sending) {
            return d;
        }
    }
    return NULL;
}

static struct webhook_delivery *find_in(const struct list *l, const char *id)
{
    LIST_FOREACH (it, l) {
        struct webhook_delivery *d = LIST_ENTRY(it, struct webhook_delivery, in_all);
        if (strcmp(d->id, id) == 0) {
            return d;
        }
    }
    return NULL;
}

struct webhook_delivery *webhook_queue_find(const struct webhook_queue *q, const char *id)
{
    struct webhook_delivery *d = find_in(&q->dead, id);
    return d ? d : find_in(&q->all, id);
}
