/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What av.c (pool and jobs) and av_worker.c (one worker process) share. A job has two sides: the owner's, on the loop it
 * was opened on, and the pool's, on the control loop. They talk by messages only; whatever comes back is counted, so that
 * neither loop can be flooded. The job's memory belongs to the owner's side until av_job_close(), then to the message that
 * goes to the pool's side and back, so that it is behind everything that is under way.
 */
#include "base/list.h"
#include "base/map.h"
#include "io/supervisor.h"
#include "media/av_wire.h"
#include "peer/av/av.h"

#include <limits.h>
#include <stdatomic.h>

#define AV_QUEUE_MAX 64 /* frames of a job that wait for the worker */

struct av_worker;

enum av_job_state {
    AV_JOB_WAITING, /* for the worker to start */
    AV_JOB_OPEN,    /* the worker knows it */
    AV_JOB_FAILED,  /* told so, waits for its owner to close it */
    AV_JOB_STATE_N,
};

struct av_queued {
    struct buf *data;
    int64_t pts_ns;
};

struct av_job {
    struct av_pool *pool;
    struct loop *loop;
    uint32_t id; /* given on the control loop */
    struct track_params *from;
    enum codec to;
    uint32_t rate;
    uint8_t channels;
    uint16_t kbps;
    struct loop_msg opening;
    struct loop_msg closing; /* to the pool's side and back */
    atomic_bool flooded;     /* a frame was dropped before it could be posted */
    atomic_uint going;       /* frames posted to the pool's side, not there yet */
    atomic_uint waiting;     /* frames posted, or queued there */
    atomic_uint coming;      /* events posted to the owner's side, not there yet */
    /* The owner's side. */
    const struct av_job_ops *ops; /* NULL: closed */
    void *user;
    struct track_params *params; /* last told */
    /* The pool's side. */
    enum av_job_state state;
    struct av_worker *worker; /* NULL: failed */
    struct list of_worker;
    struct list ready; /* frames wait and the window is open */
    struct av_queued queue[AV_QUEUE_MAX];
    unsigned head;
    unsigned n_queued;
    unsigned in_worker; /* sent, not reported done */
    bool lossy;         /* frames were dropped, and that was told */
    bool described;     /* PARAMS came from this worker */
    int64_t last_pts_ns;
    unsigned strikes; /* workers that died over its data */
    int64_t struck_ns;
};

struct av_pool {
    struct loop *control;
    atomic_uint refs; /* the owner's, and one for each job until it is gone */
    bool closed;
    unsigned n_workers;
    unsigned jobs_max;
    struct av_worker **workers;
    struct map jobs; /* id -> job, those that have not failed */
    uint32_t last_id;
    char program[PATH_MAX]; /* empty: to be looked up */
    struct av_gauges gauges;
};

/* ---- av.c, for the worker ---- */

void av_job_tell_params(struct av_job *j, struct track_params *params);
void av_job_tell_frame(struct av_job *j, struct bytes data, int64_t pts_ns, int64_t duration_ns);
void av_job_tell_gap(struct av_job *j);
/* The oldest that waits was sent, or is given up. */
void av_job_drop_first(struct av_job *j);
/* Takes it from its worker; nothing but av_job_close() follows. */
void av_job_fail(struct av_job *j, int code, const char *why);

/* ---- av_worker.c; all on the control loop ---- */

struct av_worker *av_worker_new(struct av_pool *p, unsigned number);
struct av_worker *av_worker_free(struct av_worker *w); /* its jobs are gone; returns NULL */
unsigned av_worker_jobs(const struct av_worker *w);
bool av_worker_runs(const struct av_worker *w);
pid_t av_worker_pid(const struct av_worker *w); /* 0 = none */
/* Takes the job on, starting the process when there is none. */
void av_worker_add(struct av_worker *w, struct av_job *j);
void av_worker_remove(struct av_worker *w, struct av_job *j);
/* A frame was put into the job's queue. */
void av_worker_ready(struct av_worker *w, struct av_job *j);
