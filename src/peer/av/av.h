/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Audio work that needs a codec library, done by the worker program `mast-av` (which links libav) so that a crash of a codec
 * costs a few frames and never the server. One worker carries many jobs over one socketpair; when it dies, it is started
 * again, the jobs it had go on in the new one with their next frame, and one that kills it twice in a row is refused (poison).
 * A job takes compressed frames of one codec and gives frames of another, on the same timeline. Control loop owns the pool;
 * a job's calls and callbacks are on the loop it was opened on. Workers start with their first job and end a while after
 * their last one. How time is kept is docs/internals/av.md.
 */
#include "base/buf.h"
#include "base/error.h"
#include "io/loop.h"
#include "media/track.h"

#include <sys/types.h>

struct av_pool;
struct av_job;

struct av_pool_config {
    unsigned workers;    /* 0 = 1; at most 16 */
    unsigned jobs_max;   /* of a worker; 0 = 256; at most AV_JOBS_MAX */
    const char *program; /* copied; NULL = mast-av as io/proc.h finds it. Tests: another worker */
};
#define AV_JOBS_MAX 1024
struct av_pool *av_pool_new(struct loop *control, const struct av_pool_config *config);
/* Jobs are closed before, or fail to work: they are told nothing more. Kills the workers. Returns NULL. */
struct av_pool *av_pool_free(struct av_pool *p);

enum av_job_kind {
    AV_TRANSCODE_AUDIO,
    /* further kinds come with their issues: mixing (7), stills and odd inputs (6) */
};

struct av_job_spec {
    enum av_job_kind kind;
    struct track_params *from; /* AAC, Opus or MP3, what goes in; a reference is taken */
    enum codec to;             /* AAC or OPUS */
    unsigned rate;             /* 0 = what `to` wants: 48000 */
    unsigned channels;         /* 0 = as the source, at most 2 */
    unsigned kbps;             /* 0 = 64 a channel for AAC, 48 for OPUS; 6 to 512 */
};
struct av_frame {
    struct buf *data; /* own reference */
    int64_t pts_ns;
    int64_t duration_ns;
};
struct av_job_ops {
    /* Parameters of what comes out, before the first frame and after each restart when they differ. */
    void (*on_params)(void *user, struct track_params *params);
    /*
     * A frame came out; its reference goes to the callee. Stamps rise, and are those of the sound that went in: what a
     * decoder makes of a frame stamped t came in at t. So the first frames lie before the first that went in, by the
     * encoder's priming (AAC 1024 samples, Opus 6.5 ms).
     */
    void (*on_frame)(void *user, struct av_frame *frame);
    /* The worker died, or frames were dropped, and the job goes on: frames are missing from here. May be NULL. */
    void (*on_gap)(void *user);
    /* Once, the last: it will not go on. The codec refuses the data, or the worker is missing. It is still to be closed. */
    void (*on_failed)(void *user, const struct error *err);
};
struct av_job *av_job_open(struct av_pool *p, struct loop *l, const struct av_job_spec *spec,
                           const struct av_job_ops *ops, void *user);
/*
 * Takes a reference of its own. At most 64 frames wait in the job: then the oldest are dropped, and on_gap says so. Stamps
 * rise; what lies before the end of what went in already is cut off. Empty frames are passed over.
 */
void av_job_push(struct av_job *j, struct buf *frame, int64_t pts_ns);
/* Frames that were pushed and are not in the worker yet; the job's loop. For those who have more at once than 64. */
unsigned av_job_waiting(const struct av_job *j);
struct av_job *av_job_close(struct av_job *j); /* no callback comes any more; returns NULL */

struct av_gauges {
    uint64_t workers, jobs, restarts_total, frames_in_total, frames_out_total;
};
void av_pool_gauges(const struct av_pool *p, struct av_gauges *ret);
/* The process of a worker, by number from 0; 0 when it does not run. */
pid_t av_pool_worker_pid(const struct av_pool *p, unsigned worker);
