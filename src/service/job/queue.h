/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A queue of jobs, whoever keeps it: SQLite in our own store, Redis Streams, Kafka, or an embedder. At least once: a job is
 * handed out again when its lease ends before it is settled, so what it does must bear to be done twice.
 *
 * Beside jobs a queue keeps who owns a broadcast, so that all who share the queue agree: an owner renews its record, and one
 * that ends unrenewed makes a job "adopt_broadcast".
 *
 * Control loop throughout. Each question is answered once, later, never inside the call; who goes away before that calls
 * queue_forget(). Copies what it is given.
 */
#include "base/error.h"
#include "io/loop.h"
#include "service/job/job.h"

#define QUEUE_CLAIM_MAX 256 /* jobs in one answer */
#define QUEUE_LIST_MAX  500

struct queue;
struct queue_call; /* a question that waits for its answer */

/* One job in a worker's hands. */
struct queue_delivery {
    struct job job;
    char *receipt; /* names this handing out: of another one, the same job has another receipt */
    unsigned deliveries; /* how often it was handed out since it was queued, this one counted */
};

struct queue_owner {
    char *broadcast_id;
    char *worker;
    int64_t expires_at;
    char *
        payload; /* JSON, of the job that adopts it; as in job.h. NULL when it is renewed: stays as it is */
};

struct queue_consumer {
    char *name;
    unsigned claimed;
    int64_t seen_at;
};

/* What cannot be known is -1, never 0: who scales by it holds. */
struct queue_stats {
    int64_t ready;     /* may be claimed now */
    int64_t scheduled; /* wait for their time */
    int64_t claimed;
    int64_t dead;
    int64_t lag;       /* not handed out yet, and handed out to who does not live any more */
    int64_t oldest_at; /* when the oldest that is ready was due; 0 = none */
    MODEL_ARRAY(struct queue_consumer) consumers;
};
extern const struct model queue_stats_model;

/* A job as it stands in the queue. */
struct queue_entry {
    struct job job;
    int state; /* enum job_state */
    char *consumer;
    int64_t ended_at;
    char *cursor; /* to go on after it */
};

/* Valid during the callback. Which members are filled is said at each question. */
struct queue_result {
    struct error err; /* when r < 0 */
    struct queue_delivery *deliveries;
    unsigned n_deliveries;
    struct queue_entry *entries;
    unsigned n_entries;
    bool more;
    const struct queue_stats *stats;
    const struct queue_owner *owner; /* NULL: nobody */
    unsigned n;                      /* how many were touched */
};
/* r: 0; -EAGAIN: the queue cannot be reached now; -ESTALE: the receipt is of a lease that ended; others at each question. */
typedef void (*queue_fn)(void *user, int r, const struct queue_result *result);

enum queue_outcome {
    QUEUE_DONE,
    QUEUE_RETRY,   /* back in the queue as `job` says: attempts, not_before, target, last_error */
    QUEUE_DEAD,    /* for people to look at, as `job` says */
    QUEUE_RELEASE, /* as if it had never been claimed */
};

struct queue_settle {
    enum queue_outcome outcome;
    const struct job *job;           /* RETRY, DEAD */
    const struct queue_owner *owner; /* DONE: made in the same act; NULL = none */
};

/* ---- for those who use one ---- */

/* "sqlite", "redis", "kafka". */
const char *queue_kind(const struct queue *q);
/* Forgets all questions (no callback comes) and ends. NULL is fine; returns NULL. */
struct queue *queue_free(struct queue *q);
/* No callback for it. Jobs that a claim would still have brought go back. */
void queue_forget(struct queue_call *call);

/* An id that is there already (queued, claimed, ended and still kept): -EEXIST. -EFBIG, -ENOSPC: too large, full. */
struct queue_call *queue_enqueue(struct queue *q, const struct job *job, queue_fn fn, void *user);
/*
 * Up to max jobs for this worker, waiting block_ms for the first: deliveries, maybe none. Each is leased for lease_ms.
 */
struct queue_call *queue_claim(struct queue *q, const char *consumer, unsigned max,
                               unsigned block_ms, unsigned lease_ms, queue_fn fn, void *user);
/* The lease goes on for lease_ms from now. */
struct queue_call *queue_extend(struct queue *q, const char *consumer, const char *receipt,
                                unsigned lease_ms, queue_fn fn, void *user);
/* With an owner that another worker is already: -EBUSY, and the job stays claimed. */
struct queue_call *queue_settle(struct queue *q, const char *receipt,
                                const struct queue_settle *how, queue_fn fn, void *user);
/* stats. */
struct queue_call *queue_stats(struct queue *q, queue_fn fn, void *user);
/* entries, oldest first, those after the cursor ("" = all); state -1 = any. */
struct queue_call *queue_list(struct queue *q, int state, const char *after, unsigned limit,
                              queue_fn fn, void *user);
/* One entry; -ENOENT. */
struct queue_call *queue_get(struct queue *q, const char *id, queue_fn fn, void *user);
/* -EBUSY: it is claimed; -EALREADY: it has ended. */
struct queue_call *queue_cancel(struct queue *q, const char *id, queue_fn fn, void *user);
/* A dead or cancelled one is queued again, as a new one; -EBUSY: it has not ended. */
struct queue_call *queue_retry(struct queue *q, const char *id, queue_fn fn, void *user);

/* Makes or renews. -EBUSY: another worker owns it, and is told as owner. */
struct queue_call *queue_own(struct queue *q, const struct queue_owner *owner, queue_fn fn,
                             void *user);
/* No effect when it is not this worker's. */
struct queue_call *queue_disown(struct queue *q, const char *broadcast_id, const char *worker,
                                queue_fn fn, void *user);
/* owner. */
struct queue_call *queue_owner_of(struct queue *q, const char *broadcast_id, queue_fn fn,
                                  void *user);
/* Each owner whose time ended becomes a job "adopt_broadcast" with its payload, once, whoever asks; n: how many. */
struct queue_call *queue_reap(struct queue *q, queue_fn fn, void *user);

/* ---- for those who make one ---- */

/* The same questions; each is answered by queue_answer(), later, never inside. user is the backend. */
struct queue_ops {
    const char *kind;
    void (*enqueue)(void *user, struct queue_call *call, const struct job *job);
    void (*claim)(void *user, struct queue_call *call, const char *consumer, unsigned max,
                  unsigned block_ms, unsigned lease_ms);
    void (*extend)(void *user, struct queue_call *call, const char *consumer, const char *receipt,
                   unsigned lease_ms);
    void (*settle)(void *user, struct queue_call *call, const char *receipt,
                   const struct queue_settle *how);
    void (*stats)(void *user, struct queue_call *call);
    void (*list)(void *user, struct queue_call *call, int state, const char *after, unsigned limit);
    void (*get)(void *user, struct queue_call *call, const char *id);
    void (*cancel)(void *user, struct queue_call *call, const char *id);
    void (*retry)(void *user, struct queue_call *call, const char *id);
    void (*own)(void *user, struct queue_call *call, const struct queue_owner *owner);
    void (*disown)(void *user, struct queue_call *call, const char *broadcast_id,
                   const char *worker);
    void (*owner)(void *user, struct queue_call *call, const char *broadcast_id);
    void (*reap)(void *user, struct queue_call *call);
    /* A claim that blocks is not wanted any more: to be answered soon, with what it has. May be NULL. */
    void (*hurry)(void *user, struct queue_call *call);
    /* Nothing is asked any more, and nothing must be answered after this. */
    void (*free)(void *user);
};
/* ops is borrowed. Never NULL. */
struct queue *queue_new(struct loop *control, const struct queue_ops *ops, void *user);
/* result may be NULL; what it owns stays the backend's. */
void queue_answer(struct queue_call *call, int r, const struct queue_result *result);
/* The backend's own, for a call that waits. */
void queue_call_set(struct queue_call *call, void *own);
void *queue_call_own(const struct queue_call *call);
