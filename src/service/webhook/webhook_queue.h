/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The deliveries of one webhook: which may be sent now, when the next may, and which were given up. Deliveries about one
 * resource stand in a lane, in order: only its first is sent, and the next when that was accepted, given up or dropped;
 * lanes do not wait for each other.
 *
 *   lane   IDLE  its first delivery is being stored or sent
 *          READY its first delivery may be sent
 *          WAITS its first delivery failed and waits for its time
 *
 * No I/O and no clock: `now` is wall time in ns (deliveries outlive the process, whose monotonic clock does not); a clock
 * that steps back makes nothing wait longer than the longest wait. One thread. Owns its deliveries.
 */
#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "base/model.h"

struct webhook_lane;

enum webhook_delivery_state {
    WEBHOOK_PENDING,
    WEBHOOK_DEAD,
};

struct webhook_delivery {
    /* What is stored. */
    char *id; /* rises with time */
    char *webhook;
    char *event;
    char *resource;
    char *body; /* the event's JSON */
    int state;
    int64_t created_at;
    int64_t queued_at; /* creation, or the last replay: what giving up counts from */
    int64_t next_at;   /* not before */
    int64_t last_at;
    uint32_t attempts;
    int32_t last_status;
    char *last_error;
    /* The queue's. */
    struct list in_lane;
    struct list in_all;
    struct webhook_lane *lane;
    bool stored;
    bool sending;
    /* The owner's: operation and request under way. */
    void *owner;
    struct store_op *op;
    struct webhook_attempt *attempt;
    uint64_t settings; /* the webhook's that it was last sent by */
};
extern const struct model webhook_delivery_model;      /* stored */
extern const struct model webhook_delivery_view_model; /* shown */
struct webhook_delivery_list {
    MODEL_ARRAY(struct webhook_delivery) items;
};
extern const struct model webhook_delivery_list_model; /* shown */

/* Nothing waits longer: a receiver that asks for more, a clock that stepped back. */
#define WEBHOOK_WAIT_MAX_NS (3600 * NS_PER_S)

/* What a failed attempt leads to. */
struct webhook_retry {
    int64_t first_ns; /* the first wait is between half of this and this, and doubles */
    int64_t max_ns;
    int64_t give_up_ns;
    uint64_t (*random_below)(uint64_t n); /* NULL = random_below() */
};

struct webhook_queue {
    struct map lanes; /* by resource */
    struct list ready;
    struct list waiting;
    struct list all; /* pending, oldest first */
    struct list dead;
    int64_t due; /* the earliest of those that wait; INT64_MAX = none */
    unsigned n_pending;
    unsigned n_dead;
    unsigned n_sending;
    size_t bytes;
};

void webhook_queue_init(struct webhook_queue *q);
/* Frees what is left in it. */
void webhook_queue_done(struct webhook_queue *q);
/* Takes d over, at the end of its lane, or as a dead one; the stored flag says whether it may be sent. */
void webhook_queue_add(struct webhook_queue *q, struct webhook_delivery *d, int64_t now);
/* It is in the store. */
void webhook_queue_stored(struct webhook_queue *q, struct webhook_delivery *d, int64_t now);
/* One that may be sent now, which is being sent from then on; NULL. */
struct webhook_delivery *webhook_queue_next(struct webhook_queue *q, int64_t now);
/* When to ask again, besides after a change. INT64_MAX: no need. */
int64_t webhook_queue_due(const struct webhook_queue *q, int64_t now);
/* The attempt failed; not before wait_ns is tried again (0: ours to say). True: it is dead now. */
bool webhook_queue_failed(struct webhook_queue *q, struct webhook_delivery *d,
                          const struct webhook_retry *retry, int64_t wait_ns, int64_t now);
/* Gives it up at once. */
void webhook_queue_kill(struct webhook_queue *q, struct webhook_delivery *d, int64_t now);
/* A dead one is pending again, at the end of its lane. */
void webhook_queue_replay(struct webhook_queue *q, struct webhook_delivery *d, int64_t now);
/* Nothing waits for its time any more: what failed was changed. */
void webhook_queue_hurry(struct webhook_queue *q, int64_t now);
/* Takes it out (accepted, dropped) and hands it to the caller. */
void webhook_queue_remove(struct webhook_queue *q, struct webhook_delivery *d, int64_t now);
/* What goes first when there is no room: the oldest dead one, else the oldest that is not being sent; NULL. */
struct webhook_delivery *webhook_queue_oldest(const struct webhook_queue *q);
struct webhook_delivery *webhook_queue_find(const struct webhook_queue *q, const char *id);

struct webhook_delivery *webhook_delivery_free(struct webhook_delivery *d);
/* Its weight, for bounds. */
size_t webhook_delivery_bytes(const struct webhook_delivery *d);
