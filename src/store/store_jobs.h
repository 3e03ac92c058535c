/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The tables of job queues in the state file, for tasks (store_op_task()): any number of queues by name, jobs in the states of
 * enum job_state, consumers, owners. Knows what a job waits for, not what it is: the body is bytes. Writer thread only. Times
 * are wall clock, ns, and given.
 */
#include "store/store_db.h"

struct store_job {
    int64_t seq; /* rises in the order of enqueueing */
    const char *id;
    int state;
    int64_t due_ns; /* queued: not before; claimed: end of its lease */
    const char *consumer;
    unsigned deliveries;
    int64_t lease; /* of this handing out */
    int64_t ended_ns;
    struct bytes body;
};
/* j is valid during the call. Negative ends the reading with it. */
typedef int (*store_job_fn)(void *user, const struct store_job *j);

/* -EEXIST: the id is there; -ENOSPC: max jobs wait already. */
int store_job_put(struct store_db *db, const char *queue, const char *id, const char *target,
                  int64_t due_ns, struct bytes body, int64_t max, struct error *err);
/* Those of ended leases are queued again first. A consumer gets what is for it, then what is for all. */
int store_jobs_claim(struct store_db *db, const char *queue, const char *consumer, unsigned max,
                     int64_t now, int64_t until, store_job_fn each, void *user, struct error *err);
/* When the next may be claimed by this consumer: 0 = nothing is there. */
int store_jobs_next(struct store_db *db, const char *queue, const char *consumer, int64_t *ret,
                    struct error *err);
/* -ESTALE: the lease ended and the job went on, here and below. */
int store_job_extend(struct store_db *db, const char *queue, const char *consumer, int64_t seq,
                     int64_t lease, int64_t now, int64_t until, struct error *err);
/* Into a state that it stays in. body NULL data: unchanged. */
int store_job_end(struct store_db *db, const char *queue, int64_t seq, int64_t lease, int state,
                  struct bytes body, int64_t now, struct error *err);
/* Queued again: as another attempt (body, target, due), or, body NULL data, as if it had not been claimed. */
int store_job_requeue(struct store_db *db, const char *queue, int64_t seq, int64_t lease,
                      const char *target, int64_t due_ns, struct bytes body, struct error *err);
/* One that is not claimed, by id: state is changed to `to` from one of the bits in `from`. -ENOENT; -EBUSY: claimed; -EALREADY. */
int store_job_move(struct store_db *db, const char *queue, const char *id, unsigned from, int to,
                   struct bytes body, int64_t now, struct error *err);
int store_job_get(struct store_db *db, const char *queue, const char *id, store_job_fn each,
                  void *user, struct error *err);
/* In order of seq, after `after`; state -1 = any. */
int store_jobs_list(struct store_db *db, const char *queue, int state, int64_t after,
                    unsigned limit, store_job_fn each, void *user, struct error *err);
/* Deletes done and cancelled ones: those that ended before, and the oldest beyond keep; at most 1000. How many. */
int store_jobs_prune(struct store_db *db, const char *queue, int64_t before, int64_t keep,
                     struct error *err);

struct store_job_counts {
    int64_t n[8]; /* by state; queued: all */
    int64_t scheduled;
    int64_t lapsed; /* claimed, and the lease has ended */
    int64_t oldest_ns;
};
int store_jobs_count(struct store_db *db, const char *queue, int64_t now,
                     struct store_job_counts *ret, struct error *err);
typedef int (*store_consumer_fn)(void *user, const char *name, int64_t claimed, int64_t seen_ns);
/* Those seen after `since`; the others are forgotten. */
int store_jobs_consumers(struct store_db *db, const char *queue, int64_t since,
                         store_consumer_fn each, void *user, struct error *err);

/* ---- who owns a broadcast ---- */

struct store_owner {
    const char *broadcast_id;
    const char *worker;
    int64_t expires_ns;
    const char *payload; /* "" = none; NULL in a renewal: as it is */
};
typedef int (*store_owner_fn)(void *user, const struct store_owner *o);
/* Makes or renews; -EBUSY: another's, which has not expired. */
int store_owner_put(struct store_db *db, const char *queue, const struct store_owner *o,
                    int64_t now, struct error *err);
int store_owner_drop(struct store_db *db, const char *queue, const char *broadcast_id,
                     const char *worker, struct error *err);
/* each is not called when there is none, or it has expired. */
int store_owner_get(struct store_db *db, const char *queue, const char *broadcast_id, int64_t now,
                    store_owner_fn each, void *user, struct error *err);
/* Takes up to 100 expired ones away, telling each; what was for their workers alone is for all from then on. */
int store_owners_reap(struct store_db *db, const char *queue, int64_t now, store_owner_fn each,
                      void *user, struct error *err);
