/* SPDX-License-Identifier: Apache-2.0 */
#include "service/stream/derived.h"

#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>

LOG_TOPIC(topic, "stream.derived");

/* History comes at once: so many frames may wait in a job, then the reader waits too, and looks again. */
#define JOB_FRAMES_MAX 48
#define LOOK_AGAIN_MS  5
/* The parent is live no more: sound that is in the worker is still to come, or another publisher takes over. */
#define LEAVE_MS 250

/* One track of the parent, which is the same number in the derived stream. */
struct track {
    struct derived *derived;
    enum codec codec; /* of what is published */
    struct track_params *from;
    struct track_params *to;
    struct av_job *job; /* NULL: passes as it is */
};

struct derived {
    struct engine *engine;
    struct loop *loop;
    struct av_pool *pool;
    char path[STREAM_PATH_MAX + 1];
    enum codec codec;
    const struct derived_ops *ops;
    void *user;
    struct reader *reader;       /* until derived_stop(), a dead one too: jobs go on until then */
    struct publisher *publisher; /* NULL: the parent is not live */
    bool expected;               /* as last told */
    struct loop_timer *again;
    struct loop_timer *leave;
    struct loop_task ending; /* callbacks of jobs end it after they have returned */
    struct error why;
    uint32_t epoch; /* of the parent's last sample */
    unsigned n_tracks;
    struct track tracks[TRACKS_MAX];
};

int derived_parse(const char *path, char *parent, enum codec *ret)
{
    const char *word = stream_path_derived(path, parent);
    int codec = word ? codec_from_str(word) : -EINVAL;
    if (codec != CODEC_AAC && codec != CODEC_OPUS) {
        return -EINVAL;
    }
    *ret = (enum codec)codec;
    return 0;
}

static void run_ending(struct loop_task *t)
{
    struct derived *d = CONTAINER_OF(t, struct derived, ending);
    d->ops->on_end(d->user, d->why.code, d->why.text);
}

static void end(struct derived *d, int r, const char *why)
{
    error_set(&d->why, r, d->path, "%s", why);
    loop_timer_stop(d->again);
    loop_timer_stop(d->leave);
    loop_defer(d->loop, LOOP_STAGE_NOTIFY, &d->ending);
}

/* Nothing is published before all parameters are known, so that its readers begin with all of it. */
static bool is_complete(const struct derived *d)
{
    for (unsigned i = 0; i < d->n_tracks; i++) {
        if (!d->tracks[i].to) {
            return false;
        }
    }
    return true;
}

static void announce(struct derived *d)
{
    struct publisher_track tracks[TRACKS_MAX];
    if (!is_complete(d) || !d->publisher) {
        return;
    }
    for (unsigned i = 0; i < d->n_tracks; i++) {
        tracks[i] = (struct publisher_track){d->tracks[i].codec, d->tracks[i].to};
    }
    publisher_tracks(d->publisher, tracks, d->n_tracks);
}

/* What comes after the end is nobody's. */
static void write_out(struct derived *d, struct sample **s)
{
    if (d->publisher) {
        publisher_write(d->publisher, s);
    } else {
        sample_unref(s);
    }
}

/* ---- the jobs ---- */

static void on_params(void *user, struct track_params *params)
{
    struct track *t = user;
    track_params_unref(&t->to);
    t->to = track_params_ref(params);
    announce(t->derived);
    reader_resume(t->derived->reader);
}

static void on_frame(void *user, struct av_frame *f)
{
    struct track *t = user;
    struct derived *d = t->derived;
    struct sample *s =
        sample_new((unsigned)(t - d->tracks), t->to, &f->data, f->pts_ns, f->pts_ns, SAMPLE_KEY, 0);
    write_out(d, &s);
}

static void on_failed(void *user, const struct error *err)
{
    struct track *t = user;
    end(t->derived, err->code, err->text);
}

static const struct av_job_ops job_ops = {
    .on_params = on_params,
    .on_frame = on_frame,
    .on_failed = on_failed,
};

/* ---- the tracks ---- */

static void track_done(struct track *t)
{
    t->job = av_job_close(t->job);
    track_params_unref(&t->from);
    track_params_unref(&t->to);
}

/* The parent's parameters of this track: the first, or new ones. Returns whether what is announced changes at once. */
static bool track_set(struct derived *d, struct track *t, struct track_params *from)
{
    if (from == t->from) {
        return false;
    }
    track_done(t);
    t->derived = d;
    t->from = track_params_ref(from);
    if (from->kind == TRACK_AUDIO && from->codec != d->codec) {
        struct av_job_spec spec = {.kind = AV_TRANSCODE_AUDIO, .from = from, .to = d->codec};
        t->codec = d->codec;
        t->job = av_job_open(d->pool, d->loop, &spec, &job_ops, t);
        return false;
    }
    t->codec = from->codec;
    t->to = track_params_ref(from);
    return true;
}

static void set_tracks(struct derived *d)
{
    const struct track_params *params[TRACKS_MAX];
    unsigned n = reader_tracks(d->reader, params);
    for (unsigned i = n; i < d->n_tracks; i++) {
        track_done(&d->tracks[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        /* One whose parameters did not come yet keeps its place; its codec is not known either. */
        if (params[i]) {
            (void)track_set(d, &d->tracks[i], (struct track_params *)params[i]);
        } else {
            n = i;
        }
    }
    d->n_tracks = n;
    announce(d);
    reader_resume(d->reader); /* it may wait for a job that is no more */
}

/* ---- the parent ---- */

static void pass(struct derived *d, const struct sample *s)
{
    struct track *t = &d->tracks[s->track];
    if (t->job) {
        av_job_push(t->job, s->payload, s->pts_ns);
        return;
    }
    struct buf *payload = buf_ref(s->payload);
    unsigned flags = s->flags & ~(unsigned)SAMPLE_DISCONTINUITY;
    struct sample *copy =
        sample_new(s->track, t->to, &payload, s->dts_ns, s->pts_ns, flags, s->arrival_ns);
    write_out(d, &copy);
}

static bool has_room(const struct derived *d, const struct sample *s)
{
    const struct track *t = &d->tracks[s->track];
    return !t->job || av_job_waiting(t->job) < JOB_FRAMES_MAX;
}

static void on_samples(void *user)
{
    struct derived *d = user;
    struct sample *s;
    if (!is_complete(d)) {
        reader_pause(d->reader);
        return;
    }
    while ((s = reader_peek(d->reader, 0)) != NULL) {
        if (s->track < d->n_tracks) {
            if (track_set(d, &d->tracks[s->track], s->params)) {
                announce(d);
            }
            if (!is_complete(d)) {
                reader_pause(d->reader);
                return;
            }
            if (!has_room(d, s)) {
                reader_pause(d->reader);
                loop_timer_start(d->again, LOOK_AGAIN_MS);
                return;
            }
            if (d->publisher && d->epoch != 0 && s->epoch != d->epoch) {
                publisher_discontinuity(d->publisher);
            }
            d->epoch = s->epoch;
            pass(d, s);
        }
        reader_advance(d->reader, 1);
    }
}

static void on_again(void *user)
{
    struct derived *d = user;
    reader_resume(d->reader);
}

static void expect(struct derived *d, bool expected)
{
    if (d->ops->on_expected && expected != d->expected) {
        d->ops->on_expected(d->user, expected);
    }
    d->expected = expected;
}

static void on_publisher_open(void *user)
{
}

static void on_publisher_close(void *user, int r, const char *why)
{
    struct derived *d = user;
    end(d, r, why);
}

static const struct publisher_ops publisher_ops = {.on_open = on_publisher_open,
                                                   .on_close = on_publisher_close};

static void become_live(struct derived *d)
{
    const struct publisher_info out = {.path = d->path, .protocol = "derived", .derived = true};
    loop_timer_stop(d->leave);
    if (!d->publisher) {
        d->publisher = publisher_open(d->engine, d->loop, &out, &publisher_ops, d);
        d->epoch = 0;
    }
    set_tracks(d);
    expect(d, true);
}

static void on_leave(void *user)
{
    struct derived *d = user;
    d->publisher = publisher_close(d->publisher);
    expect(d, !reader_absent(d->reader));
}

static void on_state(void *user, enum reader_state state, const char *reason)
{
    struct derived *d = user;
    switch (state) {
    case READER_LIVE:
        become_live(d);
        return;
    case READER_WAITING:
    case READER_ENDED:
        if (!d->publisher) {
            expect(d, !reader_absent(d->reader));
        } else if (!loop_timer_active(d->leave)) {
            loop_timer_start(d->leave, LEAVE_MS);
        }
        return;
    case READER_STATE_N:
        return;
    }
}

static void on_reader_close(void *user, int r, const char *why)
{
    struct derived *d = user;
    end(d, r, why);
}

static const struct reader_ops reader_ops = {
    .on_state = on_state, .on_samples = on_samples, .on_close = on_reader_close};

/* ---- its life ---- */

struct derived *derived_start(struct engine *e, struct loop *l, struct av_pool *pool,
                              const char *path, const struct derived_ops *ops, void *user)
{
    char parent[STREAM_PATH_MAX + 1];
    struct derived *d = mem_new(struct derived);
    d->engine = e;
    d->loop = l;
    d->pool = pool;
    d->expected = true;
    d->ops = ops;
    d->user = user;
    snprintf(d->path, sizeof(d->path), "%s", path);
    loop_task_init(&d->ending, run_ending);
    d->again = loop_timer_new(l, on_again, d);
    d->leave = loop_timer_new(l, on_leave, d);
    if (derived_parse(path, parent, &d->codec) < 0) {
        end(d, -EINVAL, "not the path of a derived stream");
        return d;
    }
    const struct reader_info in = {
        .path = parent, .protocol = "derived", .replay = REPLAY_EXACT, .wait = true};
    d->reader = reader_open(e, l, &in, &reader_ops, d);
    return d;
}

struct derived *derived_stop(struct derived *d)
{
    if (!d) {
        return NULL;
    }
    loop_task_cancel(&d->ending);
    loop_timer_free(d->again);
    loop_timer_free(d->leave);
    reader_close(d->reader);
    for (unsigned i = 0; i < TRACKS_MAX; i++) {
        track_done(&d->tracks[i]);
    }
    publisher_close(d->publisher);
    free(d);
    return NULL;
}
