/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/av/av_private.h"

#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

LOG_TOPIC(topic, "av");

#define JOBS_DEFAULT 256
#define RATE_DEFAULT 48000
#define EVENTS_MAX   256 /* on their way to a loop that does not come to them */
#define WORKERS_MAX  16
#define AAC_KBPS     64
#define OPUS_KBPS    48
#define CHANNELS_MAX 2u

/* ---- from the pool's side to the owner's ---- */

enum event_kind {
    EVENT_PARAMS,
    EVENT_FRAME,
    EVENT_GAP,
    EVENT_FAILED,
};

struct event {
    struct loop_msg msg;
    struct av_job *job;
    enum event_kind kind;
    struct av_frame frame;
    struct track_params *params;
    struct error err;
};

/* The owner may close the job inside; its memory stays, as the last message is behind this one. */
static void call_owner(struct av_job *j, struct event *e)
{
    switch (e->kind) {
    case EVENT_PARAMS:
        if (!track_params_equal(j->params, e->params)) {
            track_params_unref(&j->params);
            j->params = track_params_ref(e->params);
            j->ops->on_params(j->user, e->params);
        }
        return;
    case EVENT_FRAME:
        j->ops->on_frame(j->user, &e->frame);
        e->frame.data = NULL;
        return;
    case EVENT_GAP:
        if (j->ops->on_gap) {
            j->ops->on_gap(j->user);
        }
        return;
    case EVENT_FAILED:
        j->ops->on_failed(j->user, &e->err);
        return;
    }
}

static void deliver_event(struct loop *l, struct loop_msg *m)
{
    struct event *e = CONTAINER_OF(m, struct event, msg);
    struct av_job *j = e->job;
    atomic_fetch_sub(&j->coming, 1);
    if (j->ops) {
        call_owner(j, e);
    }
    buf_unref(&e->frame.data);
    track_params_unref(&e->params);
    free(e);
}

static struct event *event_new(struct av_job *j, enum event_kind kind)
{
    struct event *e = mem_new(struct event);
    e->msg.deliver = deliver_event;
    e->job = j;
    e->kind = kind;
    return e;
}

static void post_event(struct event *e)
{
    atomic_fetch_add(&e->job->coming, 1);
    loop_post(e->job->loop, &e->msg);
}

void av_job_tell_params(struct av_job *j, struct track_params *params)
{
    struct event *e = event_new(j, EVENT_PARAMS);
    e->params = track_params_ref(params);
    post_event(e);
}

void av_job_tell_gap(struct av_job *j)
{
    post_event(event_new(j, EVENT_GAP));
}

/* Frames are missing from here; said once until one is not. */
static void lose(struct av_job *j)
{
    if (!j->lossy) {
        j->lossy = true;
        av_job_tell_gap(j);
    }
}

void av_job_tell_frame(struct av_job *j, struct bytes data, int64_t pts_ns, int64_t duration_ns)
{
    struct buf *b = atomic_load(&j->coming) < EVENTS_MAX ? buf_try_new(data.len) : NULL;
    if (!b) {
        lose(j);
        return;
    }
    put_bytes(b->data, data);
    struct event *e = event_new(j, EVENT_FRAME);
    e->frame = (struct av_frame){.data = b, .pts_ns = pts_ns, .duration_ns = duration_ns};
    j->pool->gauges.frames_out_total++;
    post_event(e);
}

void av_job_drop_first(struct av_job *j)
{
    buf_unref(&j->queue[j->head].data);
    j->head = (j->head + 1) % AV_QUEUE_MAX;
    j->n_queued--;
    atomic_fetch_sub(&j->waiting, 1);
}

static void drop_queue(struct av_job *j)
{
    while (j->n_queued > 0) {
        av_job_drop_first(j);
    }
}

/* Out of the pool's hands, failed or closed. */
static void leave(struct av_job *j)
{
    struct av_pool *p = j->pool;
    if (j->state == AV_JOB_FAILED) {
        return;
    }
    if (j->worker) {
        av_worker_remove(j->worker, j);
    }
    (void)map_remove_u64(&p->jobs, j->id);
    p->gauges.jobs--;
    j->state = AV_JOB_FAILED;
    drop_queue(j);
}

void av_job_fail(struct av_job *j, int code, const char *why)
{
    struct event *e = event_new(j, EVENT_FAILED);
    error_set(&e->err, code, "mast-av", "%s", why);
    leave(j);
    log_info("job %u: %s to %s: failed: %s", j->id, codec_to_str(j->from->codec),
             codec_to_str(j->to), why);
    post_event(e);
}

/* ---- opening and closing, on the control loop ---- */

static void pool_unref(struct av_pool *p)
{
    if (atomic_fetch_sub(&p->refs, 1) > 1) {
        return;
    }
    map_done(&p->jobs);
    free(p->workers);
    free(p);
}

static const char *refusal(const struct av_job *j)
{
    if (j->from->kind != TRACK_AUDIO) {
        return "only sound can be converted";
    }
    if (j->to != CODEC_AAC && j->to != CODEC_OPUS) {
        return "sound is converted to AAC and Opus only";
    }
    if (buf_view(j->from->config).len > AV_WIRE_CONFIG_MAX) {
        return "the track's configuration is too long";
    }
    return NULL;
}

/* The one with the fewest jobs; NULL when all are full. */
static struct av_worker *choose_worker(struct av_pool *p)
{
    struct av_worker *best = p->workers[0];
    for (unsigned i = 1; i < p->n_workers; i++) {
        if (av_worker_jobs(p->workers[i]) < av_worker_jobs(best)) {
            best = p->workers[i];
        }
    }
    return av_worker_jobs(best) < p->jobs_max ? best : NULL;
}

static bool find_program(struct av_pool *p, struct error *err)
{
    return p->program[0] || proc_find_program("mast-av", p->program, sizeof(p->program), err) >= 0;
}

static uint32_t next_id(struct av_pool *p)
{
    do {
        p->last_id++;
    } while (p->last_id == 0 || map_get_u64(&p->jobs, p->last_id));
    return p->last_id;
}

static void deliver_open(struct loop *l, struct loop_msg *m)
{
    struct av_job *j = CONTAINER_OF(m, struct av_job, opening);
    struct av_pool *p = j->pool;
    struct error err = {0};
    const char *why = refusal(j);
    j->id = next_id(p);
    (void)map_set_u64(&p->jobs, j->id, j);
    p->gauges.jobs++;
    if (why) {
        av_job_fail(j, -ENOTSUP, why);
    } else if (p->closed) {
        av_job_fail(j, -ESHUTDOWN, "the server is ending");
    } else if (!find_program(p, &err)) {
        p->program[0] = '\0'; /* it may be installed later */
        av_job_fail(j, -ENOENT, err.text);
    } else if (!choose_worker(p)) {
        av_job_fail(j, -EAGAIN, "all workers have as many jobs as they may");
    } else {
        av_worker_add(choose_worker(p), j);
    }
}

static void deliver_gone(struct loop *l, struct loop_msg *m)
{
    struct av_job *j = CONTAINER_OF(m, struct av_job, closing);
    track_params_unref(&j->params);
    track_params_unref(&j->from);
    free(j);
}

static void deliver_close(struct loop *l, struct loop_msg *m)
{
    struct av_job *j = CONTAINER_OF(m, struct av_job, closing);
    leave(j);
    pool_unref(j->pool);
    j->closing.deliver = deliver_gone;
    loop_post(j->loop, &j->closing);
}

/* ---- frames, from the owner's side to the pool's ---- */

struct push {
    struct loop_msg msg;
    struct av_job *job;
    struct av_queued frame;
};

static void deliver_push(struct loop *l, struct loop_msg *m)
{
    struct push *p = CONTAINER_OF(m, struct push, msg);
    struct av_job *j = p->job;
    atomic_fetch_sub(&j->going, 1);
    if (j->state == AV_JOB_FAILED || p->frame.data->len > AV_WIRE_DATA_MAX) {
        buf_unref(&p->frame.data);
        atomic_fetch_sub(&j->waiting, 1);
        free(p);
        return;
    }
    bool flooded = atomic_exchange(&j->flooded, false);
    if (j->n_queued == AV_QUEUE_MAX) {
        av_job_drop_first(j);
        flooded = true;
    }
    j->lossy = j->lossy && flooded;
    if (flooded) {
        lose(j);
    }
    j->queue[(j->head + j->n_queued++) % AV_QUEUE_MAX] = p->frame;
    free(p);
    av_worker_ready(j->worker, j);
}

/* ---- the owner's calls ---- */

struct av_job *av_job_open(struct av_pool *p, struct loop *l, const struct av_job_spec *spec,
                           const struct av_job_ops *ops, void *user)
{
    unsigned channels = spec->channels ? spec->channels : spec->from->channels;
    struct av_job *j = mem_new(struct av_job);
    j->pool = p;
    j->loop = l;
    j->from = track_params_ref(spec->from);
    j->to = spec->to;
    j->rate = spec->rate ? spec->rate : RATE_DEFAULT;
    j->channels = (uint8_t)MAX(MIN(channels, CHANNELS_MAX), 1u);
    unsigned kbps =
        spec->kbps ? spec->kbps : (spec->to == CODEC_AAC ? AAC_KBPS : OPUS_KBPS) * j->channels;
    j->kbps = (uint16_t)MAX(MIN(kbps, 512u), 6u);
    j->ops = ops;
    j->user = user;
    j->last_pts_ns = INT64_MIN;
    list_init(&j->of_worker);
    list_init(&j->ready);
    atomic_fetch_add(&p->refs, 1);
    j->opening.deliver = deliver_open;
    loop_post(p->control, &j->opening);
    return j;
}

void av_job_push(struct av_job *j, struct buf *frame, int64_t pts_ns)
{
    if (frame->len == 0) {
        return;
    }
    /* The control loop does not come to it: as if the queue there were full. */
    if (atomic_load(&j->going) >= AV_QUEUE_MAX) {
        atomic_store(&j->flooded, true);
        return;
    }
    struct push *p = mem_new(struct push);
    p->msg.deliver = deliver_push;
    p->job = j;
    p->frame = (struct av_queued){.data = buf_ref(frame), .pts_ns = pts_ns};
    atomic_fetch_add(&j->going, 1);
    atomic_fetch_add(&j->waiting, 1);
    loop_post(j->pool->control, &p->msg);
}

unsigned av_job_waiting(const struct av_job *j)
{
    return atomic_load(&j->waiting);
}

struct av_job *av_job_close(struct av_job *j)
{
    if (!j) {
        return NULL;
    }
    j->ops = NULL;
    j->closing.deliver = deliver_close;
    loop_post(j->pool->control, &j->closing);
    return NULL;
}

/* ---- the pool ---- */

struct av_pool *av_pool_new(struct loop *control, const struct av_pool_config *config)
{
    struct av_pool *p = mem_new(struct av_pool);
    p->control = control;
    atomic_init(&p->refs, 1);
    p->n_workers = MAX(MIN(config->workers, (unsigned)WORKERS_MAX), 1u);
    p->jobs_max = config->jobs_max ? MIN(config->jobs_max, (unsigned)AV_JOBS_MAX) : JOBS_DEFAULT;
    snprintf(p->program, sizeof(p->program), "%s", config->program ? config->program : "");
    p->workers = mem_new_array(struct av_worker *, p->n_workers);
    for (unsigned i = 0; i < p->n_workers; i++) {
        p->workers[i] = av_worker_new(p, i);
    }
    return p;
}

struct av_pool *av_pool_free(struct av_pool *p)
{
    if (!p) {
        return NULL;
    }
    p->closed = true;
    /* Jobs whose closing is under way find nothing to leave. */
    MAP_FOREACH (slot, &p->jobs) {
        struct av_job *j = slot->value;
        av_worker_remove(j->worker, j);
        j->state = AV_JOB_FAILED;
        drop_queue(j);
    }
    for (unsigned i = 0; i < p->n_workers; i++) {
        p->workers[i] = av_worker_free(p->workers[i]);
    }
    pool_unref(p);
    return NULL;
}

void av_pool_gauges(const struct av_pool *p, struct av_gauges *ret)
{
    *ret = p->gauges;
    for (unsigned i = 0; i < p->n_workers; i++) {
        ret->workers += av_worker_runs(p->workers[i]);
    }
}

pid_t av_pool_worker_pid(const struct av_pool *p, unsigned worker)
{
    return worker < p->n_workers ? av_worker_pid(p->workers[worker]) : 0;
}
