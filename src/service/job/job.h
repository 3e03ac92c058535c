/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A job: a request that somebody else executes, as it stands in a queue. The same envelope, as JSON, in every queue
 * (queue.h). No I/O and no clock.
 *
 * Its life, whoever keeps it:
 *
 *   queued ─claimed by a worker─► claimed ─► done
 *     ▲                             │  └───► dead: failed max_attempts times, or can never succeed; may be retried by people
 *     ├── failed: attempts + 1, not before a wait that doubles
 *     └── its lease ended: the worker died, or lost the queue
 *   queued ─► cancelled
 */
#include "base/model.h"

#define JOB_ID_MAX       64                            /* bytes, with NUL */
#define JOB_PAYLOAD_MAX  (1024 * 1024)                 /* bytes of JSON */
#define JOB_BODY_MAX     (JOB_PAYLOAD_MAX + 64 * 1024) /* of a whole envelope */
#define JOB_ATTEMPTS     5                             /* unless the job says otherwise */
#define JOB_ATTEMPTS_MAX 100

enum job_state {
    JOB_QUEUED, /* also one that waits for its time: not_before is ahead then */
    JOB_CLAIMED,
    JOB_DONE,
    JOB_DEAD,
    JOB_CANCELLED,
    JOB_STATES,
};
extern const struct model_enum job_state_names[];

/* Times are wall clock, ns: jobs outlive processes and change machines. */
struct job {
    char *id;
    char *kind;       /* "start_broadcast", "stop_broadcast", "adopt_broadcast", or an embedder's */
    char *payload;    /* JSON; NULL = none. Secrets in it are sealed or references, never clear */
    char *queue_kind; /* the kind of queue that it is for; NULL = any */
    char *broadcast_id; /* that a start will have, that a stop or an adoption is about; NULL */
    char *target;       /* the only worker that may take it; NULL = any */
    char *trace_id;     /* the sender's, handed on; NULL */
    int attempts;       /* that failed */
    int max_attempts;
    int64_t not_before; /* 0 = at once */
    int64_t created_at;
    char *last_error; /* of the newest failed attempt */
};
extern const struct model job_model;

/* As it stands in a queue; others may have written it. -EBADMSG, -EINVAL, -E2BIG with the field at fault. */
int job_read(struct job *ret, struct bytes json, struct error *err);
void job_write(const struct job *j, struct out *o);

/* "job_" and random characters; buf has JOB_ID_MAX. */
char *job_new_id(char buf[JOB_ID_MAX]);
/*
 * An attempt failed: counts it and sets when the next may be. False: that was the last one, or `final` says that no other can
 * succeed: it is dead. why is kept as last_error.
 */
bool job_failed(struct job *j, const char *why, bool final, int64_t now);
/* Between attempt n (1 = the first that failed) and the next: doubles from a second to five minutes, with up to half of it by chance. */
int64_t job_wait_ns(int attempts);
