/* SPDX-License-Identifier: Apache-2.0 */
#include "service/stream/derived_maker.h"

#include "base/mem.h"
#include "service/stream/derived.h"

#include <errno.h>

/* One that somebody reads. Belongs to the stream's home loop. */
struct made {
    struct derived_maker *maker;
    struct stream *stream;
    struct derived *derived;
};

static void count(atomic_uint_fast64_t *counter, int64_t n)
{
    atomic_fetch_add_explicit(counter, (uint64_t)n, memory_order_relaxed);
}

static void on_expected(void *user, bool expected)
{
    struct made *made = user;
    stream_expect(made->stream, expected);
}

static void on_end(void *user, int r, const char *why)
{
    struct made *made = user;
    count(&made->maker->failed_total, 1);
    if (r == -ENOENT) {
        /* To readers that would be a stream that nobody publishes. Where it was looked for is for the log only. */
        r = -ENOTSUP;
        why = "its sound cannot be converted: mast-av is not installed on this server";
    }
    stream_refuse(made->stream, r < 0 ? r : -EIO, why);
}

static const struct derived_ops ops = {.on_expected = on_expected, .on_end = on_end};

static void *start(void *user, struct engine *e, struct loop *home, struct stream *s,
                   const char *path)
{
    struct derived_maker *m = user;
    struct made *made = mem_new(struct made);
    made->maker = m;
    made->stream = s;
    made->derived = derived_start(e, home, m->pool, path, &ops, made);
    count(&m->live, 1);
    count(&m->started_total, 1);
    return made;
}

static void stop(void *user, void *p)
{
    struct derived_maker *m = user;
    struct made *made = p;
    derived_stop(made->derived);
    free(made);
    count(&m->live, -1);
}

void derived_maker_init(struct derived_maker *m, struct av_pool *pool)
{
    m->pool = pool;
    atomic_init(&m->live, 0);
    atomic_init(&m->started_total, 0);
    atomic_init(&m->failed_total, 0);
}

struct stream_maker derived_maker_for_engine(struct derived_maker *m)
{
    return (struct stream_maker){.start = start, .stop = stop, .user = m};
}

void derived_metrics(void *user, struct metrics_page *page)
{
    struct derived_maker *m = user;
    struct av_gauges g;
    av_pool_gauges(m->pool, &g);
    const struct {
        const char *name;
        enum metric_type type;
        const char *help;
        uint64_t value;
    } rows[] = {
        {"mast_derived_streams", METRIC_GAUGE, "Derived streams that are made now.",
         atomic_load_explicit(&m->live, memory_order_relaxed)},
        {"mast_derived_started_total", METRIC_COUNTER, "Derived streams that were started.",
         atomic_load_explicit(&m->started_total, memory_order_relaxed)},
        {"mast_derived_failed_total", METRIC_COUNTER, "Derived streams that could not go on.",
         atomic_load_explicit(&m->failed_total, memory_order_relaxed)},
        {"mast_av_workers", METRIC_GAUGE, "Worker processes mast-av.", g.workers},
        {"mast_av_jobs", METRIC_GAUGE, "Tracks of sound that are converted.", g.jobs},
        {"mast_av_restarts_total", METRIC_COUNTER,
         "Workers that were started again after they had died.", g.restarts_total},
        {"mast_av_frames_in_total", METRIC_COUNTER, "Frames of sound given to workers.",
         g.frames_in_total},
        {"mast_av_frames_out_total", METRIC_COUNTER, "Frames of sound that came back.",
         g.frames_out_total},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        metrics_single(page, rows[i].name, rows[i].type, rows[i].help, (double)rows[i].value);
    }
    metrics_source_done(page);
}
