/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A publisher of a file in test/data/media, over and over, that remembers what it sent. */
#include "../await.h"
#include "../media/fixture.h"

#include "base/mem.h"
#include "engine/stream.h"
#include "media/canon.h"
#include "media/timeline.h"

#include <errno.h>

#define SOURCE_SENT_MAX 4096

struct source {
    struct publisher *p;
    struct fixture *f;
    struct canon canon[2];
    struct buf *sent[SOURCE_SENT_MAX]; /* payloads of track 0, in order */
    unsigned n_sent;
    unsigned next[2];
    int64_t base_ns;
    int keys_wanted;
};

static inline void source_on_open(void *user)
{
}

static inline void source_on_close(void *user, int r, const char *why)
{
    fail_msg("the publisher was closed: %s", why);
}

static inline void source_on_key(void *user)
{
    struct source *s = user;
    s->keys_wanted++;
}

static inline void source_open_at(struct source *s, struct engine *e, struct loop *l,
                                  struct fixture *f, const char *path)
{
    static const struct publisher_ops ops = {
        .on_open = source_on_open, .on_close = source_on_close, .on_key_wanted = source_on_key};
    const struct publisher_info info = {.path = path, .protocol = "test", .remote = "127.0.0.1:1"};
    struct publisher_track tracks[2];
    *s = (struct source){.f = f};
    for (unsigned i = 0; i < 2; i++) {
        canon_init(&s->canon[i], f->tracks[i].codec);
        assert_true(canon_config(&s->canon[i], f->tracks[i].config, NULL) >= 0);
        tracks[i] = (struct publisher_track){f->tracks[i].codec, s->canon[i].params};
    }
    s->p = publisher_open(e, l, &info, &ops, s);
    publisher_tracks(s->p, tracks, 2);
}

static inline void source_open(struct source *s, struct engine *e, struct loop *l,
                               struct fixture *f)
{
    source_open_at(s, e, l, f, "live/a");
}

static inline int64_t fixture_dts(const struct fixture_track *t, unsigned k)
{
    return ns_from_ticks(t->samples[k % t->n].dts, t->timescale);
}

static inline void source_sample(struct source *s, unsigned track)
{
    const struct fixture_track *t = &s->f->tracks[track];
    const struct fixture_sample *in = &t->samples[s->next[track]++];
    struct canon_result res;
    const int64_t dts = s->base_ns + ns_from_ticks(in->dts, t->timescale);
    const int64_t pts = s->base_ns + ns_from_ticks(in->pts, t->timescale);
    const struct canon_unit unit = {in->data, pts, in->key};
    assert_int_equal(canon_feed(&s->canon[track], &unit, &res, NULL), 0);
    if (track == 0 && s->n_sent < SOURCE_SENT_MAX) {
        s->sent[s->n_sent++] = buf_ref(res.payload);
    }
    struct sample *x = sample_new(track, s->canon[track].params, &res.payload, dts, pts, res.flags,
                                  clock_mono_ns());
    publisher_write(s->p, &x);
}

/* The whole file once, both tracks in the order of their times. */
static inline void source_file(struct source *s, struct loop *l)
{
    const struct fixture_track *v = &s->f->tracks[0];
    const struct fixture_track *a = &s->f->tracks[1];
    while (s->next[0] < v->n || s->next[1] < a->n) {
        const bool audio =
            s->next[0] == v->n ||
            (s->next[1] < a->n && fixture_dts(a, s->next[1]) < fixture_dts(v, s->next[0]));
        source_sample(s, audio);
        loop_run_once(l, 0);
    }
    s->base_ns += ns_from_ticks(v->samples[v->n - 1].dts + v->samples[0].duration, v->timescale);
    s->next[0] = s->next[1] = 0;
}

static inline void source_done(struct source *s)
{
    s->p = publisher_close(s->p);
    for (unsigned i = 0; i < s->n_sent; i++) {
        buf_unref(&s->sent[i]);
    }
    for (unsigned i = 0; i < 2; i++) {
        canon_done(&s->canon[i]);
    }
}
