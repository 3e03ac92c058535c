/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Audio work that needs a codec library, done by the worker program `mast-av` (which links libav) so that a crash of a codec
 * costs a few frames and never the server. One worker carries many jobs over one socketpair; when it dies, it is started
 * again, the jobs it had go on in the new one with their next frame, and one that kills it twice in a row is refused (poison).
 * A job takes compressed frames of one codec and gives frames of another, on the same timeline. Control loop owns the pool;
 * a job's calls and callbacks are on the loop it was opened on.
 */
#include "base/buf.h"
#include "base/error.h"
#include "io/loop.h"
#include "media/track.h"

struct av_pool;
struct av_job;

struct av_pool_config {
    unsigned workers;  /* 0 = 1 */
    unsigned jobs_max; /* of a worker; 0 = 256 */
};
struct av_pool *av_pool_new(struct loop *control, const struct av_pool_config *config);
struct av_pool *av_pool_free(struct av_pool *p); /* jobs are closed before; returns NULL */

enum av_job_kind {
    AV_TRANSCODE_AUDIO,
    /* further kinds come with their issues: mixing (7), stills and odd inputs (6) */
};

struct av_job_spec {
    enum av_job_kind kind;
    struct track_params *from; /* what goes in; a reference is taken */
    enum codec to;             /* AAC or OPUS */
    unsigned rate;             /* 0 = what `to` wants: 48000 */
    unsigned channels;         /* 0 = as the source, at most 2 */
    unsigned kbps;             /* 0 = 64 a channel for AAC, 48 for OPUS */
};
struct av_frame {
    struct buf *data; /* own reference */
    int64_t pts_ns;
    int64_t duration_ns;
};
struct av_job_ops {
    /* Parameters of what comes out, before the first frame and after each restart when they differ. */
    void (*on_params)(void *user, struct track_params *params);
    /* A frame came out; its reference goes to the callee. Stamps rise, and are those of the samples that went in. */
    void (*on_frame)(void *user, struct av_frame *frame);
    /* The worker died and the job goes on: frames are missing from here. */
    void (*on_gap)(void *user);
    /* It will not go on: the codec refuses the data, or the worker is missing. */
    void (*on_failed)(void *user, const struct error *err);
};
struct av_job *av_job_open(struct av_pool *p, struct loop *l, const struct av_job_spec *spec,
                           const struct av_job_ops *ops, void *user);
/* Takes a reference of its own. At most 64 frames wait in the job: then the oldest are dropped, and on_gap says so. */
void av_job_push(struct av_job *j, struct buf *frame, int64_t pts_ns);
struct av_job *av_job_close(struct av_job *j); /* no callback comes any more; returns NULL */

struct av_gauges {
    uint64_t workers, jobs, restarts_total, frames_in_total, frames_out_total;
};
void av_pool_gauges(const struct av_pool *p, struct av_gauges *ret);
