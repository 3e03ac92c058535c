/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the tests of the engine share: made-up tracks and samples, a source that publishes and a viewer that records. */
#include "../await.h"

#include "base/log.h"
#include "base/mem.h"
#include "engine/stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* As many iterations as any chain of messages and tasks inside one loop needs. */
static inline void settle(struct loop *l)
{
    for (int i = 0; i < 12; i++) {
        loop_run_once(l, 0);
    }
}

/* The engine looks at codec, kind and the pointer only. */
static inline struct track_params *make_params(enum codec codec)
{
    struct track_params *p = mem_new(struct track_params);
    atomic_init(&p->refs, 1);
    p->codec = codec;
    p->kind = codec_kind(codec);
    p->sample_rate = 48000;
    p->frame_samples = 1024;
    return p;
}

#define GOP_FRAMES 10
#define FRAME_NS   (40 * NS_PER_MS)

/* A publisher of 25 pictures a second in groups of ten, and with audio one audio frame after each picture. */
struct source {
    struct publisher *p;
    struct track_params *params[2]; /* video, audio (NULL = none) */
    unsigned n_tracks;
    int frame;
    int64_t base_ns;
    int64_t arrival_ns; /* 0: now */
    size_t payload;
    int opens, closes, keys_wanted;
    int close_code;
    char why[160];
    bool keep; /* does not close when told to */
};

static inline void source_on_open(void *user)
{
    struct source *src = user;
    src->opens++;
}

static inline void source_on_close(void *user, int r, const char *why)
{
    struct source *src = user;
    src->closes++;
    src->close_code = r;
    snprintf(src->why, sizeof(src->why), "%s", why);
    if (!src->keep) {
        src->p = publisher_close(src->p);
    }
}

static inline void source_on_key_wanted(void *user)
{
    struct source *src = user;
    src->keys_wanted++;
}

static const struct publisher_ops source_ops = {source_on_open, source_on_close,
                                                source_on_key_wanted};

static inline void source_announce(struct source *src)
{
    struct publisher_track tracks[2] = {{0}};
    for (unsigned i = 0; i < src->n_tracks; i++) {
        tracks[i] = (struct publisher_track){src->params[i]->codec, src->params[i]};
    }
    publisher_tracks(src->p, tracks, src->n_tracks);
}

static inline void source_init(struct source *src, enum codec video, bool audio)
{
    *src = (struct source){.payload = 100};
    src->params[src->n_tracks++] = make_params(video);
    if (audio) {
        src->params[src->n_tracks++] = make_params(CODEC_AAC);
    }
}

static inline void source_open(struct source *src, struct engine *e, struct loop *l,
                               const char *path)
{
    const struct publisher_info info = {.path = path, .protocol = "test", .remote = "127.0.0.1:1"};
    src->p = publisher_open(e, l, &info, &source_ops, src);
    source_announce(src);
}

static inline void source_send(struct source *src, unsigned track, int64_t dts, unsigned flags)
{
    struct buf *payload = buf_new(src->payload);
    memset(payload->data, 'x', src->payload);
    struct sample *s =
        sample_new(track, src->params[track], &payload, dts, dts, flags, src->arrival_ns);
    publisher_write(src->p, &s);
}

static inline void source_frame(struct source *src)
{
    int64_t dts = src->base_ns + src->frame * FRAME_NS;
    source_send(src, 0, dts, src->frame % GOP_FRAMES == 0 ? SAMPLE_KEY : 0);
    if (src->n_tracks > 1) {
        source_send(src, 1, dts + 5 * NS_PER_MS, SAMPLE_KEY);
    }
    src->frame++;
}

static inline void source_frames(struct source *src, struct loop *l, int n)
{
    for (int i = 0; i < n; i++) {
        source_frame(src);
        loop_run_once(l, 0);
        loop_run_once(l, 0);
    }
}

static inline void source_done(struct source *src)
{
    src->p = publisher_close(src->p);
    for (unsigned i = 0; i < src->n_tracks; i++) {
        track_params_unref(&src->params[i]);
    }
}

/* ---- */

#define SEEN_MAX 4096

struct seen {
    uint64_t seq, group;
    int64_t dts, pts; /* as reader_stamps() says */
    uint32_t epoch;
    uint16_t track, flags;
};

struct viewer {
    struct reader *r;
    unsigned n;
    struct seen seen[SEEN_MAX];
    enum reader_state state;
    char states[64]; /* one letter a change: w l e */
    char reason[120];
    int closes;
    int close_code;
    int wakes;
    int budget; /* samples it takes a wake; 0 = all */
    bool pause_when_cut;
    int close_after; /* callbacks; 0 = never */
    int callbacks;
    bool keep;
};

/* Returns true when the viewer has closed itself, as the test of closing anywhere wants. */
static inline bool viewer_tick(struct viewer *v)
{
    v->callbacks++;
    if (v->close_after && v->callbacks == v->close_after) {
        v->r = reader_close(v->r);
        return true;
    }
    return false;
}

static inline void viewer_on_state(void *user, enum reader_state state, const char *reason)
{
    struct viewer *v = user;
    v->state = state;
    size_t len = strlen(v->states);
    if (len + 1 < sizeof(v->states)) {
        v->states[len] = "wle"[state];
    }
    snprintf(v->reason, sizeof(v->reason), "%s", reason);
    viewer_tick(v);
}

static inline void viewer_take(struct viewer *v)
{
    unsigned k = 0;
    struct sample *s;
    while ((!v->budget || (int)k < v->budget) && (s = reader_peek(v->r, k))) {
        struct seen *seen = &v->seen[v->n % SEEN_MAX];
        *seen = (struct seen){.seq = s->seq,
                              .group = s->group,
                              .epoch = s->epoch,
                              .track = s->track,
                              .flags = s->flags};
        reader_stamps(v->r, s, &seen->dts, &seen->pts);
        v->n++;
        k++;
    }
    reader_advance(v->r, k);
}

static inline void viewer_on_samples(void *user)
{
    struct viewer *v = user;
    v->wakes++;
    if (viewer_tick(v)) {
        return;
    }
    viewer_take(v);
}

static inline void viewer_on_close(void *user, int r, const char *why)
{
    struct viewer *v = user;
    v->closes++;
    v->close_code = r;
    snprintf(v->reason, sizeof(v->reason), "%s", why);
    if (!v->keep) {
        v->r = reader_close(v->r);
    }
}

static const struct reader_ops viewer_ops = {viewer_on_state, viewer_on_samples, viewer_on_close};

static inline void viewer_open(struct viewer *v, struct engine *e, struct loop *l, const char *path,
                               enum replay_policy replay)
{
    const struct reader_info info = {
        .path = path, .protocol = "test", .replay = replay, .wait = true};
    v->r = reader_open(e, l, &info, &viewer_ops, v);
}

static inline uint64_t rss_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*u %lu", &pages), 1);
    fclose(file);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* One loop that is control and media loop, driven by the test. */
struct rig {
    struct loop *l;
    struct engine *e;
    struct source src;
    struct source other;
    struct viewer v[4];
    char events[64]; /* one letter an event */
};

static inline void rig_on_event(void *user, enum stream_event event, const char *path,
                                const char *session_id, const char *reason)
{
    struct rig *r = user;
    size_t len = strlen(r->events);
    if (len + 1 < sizeof(r->events)) {
        r->events[len] = "PRLEjl"[event];
    }
}

static inline struct rig *rig_new(const struct engine_config *config)
{
    struct rig *r = mem_new(struct rig);
    log_configure("error", false);
    r->l = loop_new("test", 0);
    r->e = engine_new(config, r->l, &r->l, 1);
    engine_set_event_fn(r->e, rig_on_event, r);
    source_init(&r->src, CODEC_H264, true);
    source_init(&r->other, CODEC_H264, true);
    return r;
}

static inline void assert_no_media_lives(void)
{
    assert_int_equal(sample_live_count(), 0);
    assert_int_equal(buf_live_count(), 0);
    assert_int_equal(buf_live_bytes(), 0);
}

static inline void assert_engine_empty(const struct engine *e)
{
    struct engine_gauges g;
    engine_gauges(e, &g);
    assert_int_equal(g.streams, 0);
    assert_int_equal(g.publishers, 0);
    assert_int_equal(g.readers, 0);
    assert_int_equal(g.replicas, 0);
    assert_int_equal(g.samples, 0);
    assert_int_equal(g.bytes, 0);
}

/* Sessions leave, their streams follow, nothing is left. */
static inline void rig_free(struct rig *r)
{
    source_done(&r->src);
    source_done(&r->other);
    for (unsigned i = 0; i < ARRAY_LEN(r->v); i++) {
        r->v[i].r = reader_close(r->v[i].r);
    }
    r->e = engine_free(r->e);
    loop_free(r->l);
    free(r);
    assert_no_media_lives();
}

/* What a reader got of each group of a stream whose samples have the seqs 0, 1, 2, ...: a prefix, beginning with a key. */
static inline void assert_prefixes(const struct viewer *v, const uint64_t *group_starts,
                                   unsigned n_groups, uint64_t first_group)
{
    assert_true(v->n <= SEEN_MAX);
    for (unsigned i = 0; i < v->n; i++) {
        const struct seen *s = &v->seen[i];
        const struct seen *before = i > 0 ? &v->seen[i - 1] : NULL;
        if (before && before->group == s->group) {
            assert_int_equal(s->seq, before->seq + 1);
        } else {
            assert_true(!before || s->group > before->group);
            assert_true(s->group - first_group < n_groups);
            assert_int_equal(s->seq, group_starts[s->group - first_group]);
            assert_true(s->flags & SAMPLE_KEY);
        }
    }
}
