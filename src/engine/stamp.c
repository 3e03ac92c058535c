/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/stamp.h"

#include "base/clock.h"
#include "base/mem.h"

#include <assert.h>

#define JUMP_NS NS_PER_S
/* How far a track's first sample may be from the others': interleaving, or audio that the encoder starts late. */
#define TRACK_SKEW_NS (3 * NS_PER_S)
#define STRAGGLER_NS  (500 * NS_PER_MS)

void stamp_init(struct stamp *st, uint64_t first_group)
{
    *st = (struct stamp){.broken = true, .group = first_group - 1};
}

void stamp_break(struct stamp *st)
{
    st->broken = true;
}

void stamp_forget_tracks(struct stamp *st)
{
    for (unsigned i = 0; i < TRACKS_MAX; i++) {
        st->tracks[i] = (struct stamp_track){0};
    }
    st->broken = true;
}

static int64_t distance(int64_t a, int64_t b)
{
    return a > b ? a - b : b - a;
}

/* Before a second sample is seen: what the parameters say, else what is usual. */
static int64_t guess_duration(const struct stamp_track *t, const struct track_params *p)
{
    if (t->duration_ns > 0) {
        return t->duration_ns;
    }
    if (p && p->kind == TRACK_AUDIO) {
        return p->frame_samples && p->sample_rate ? p->frame_samples * NS_PER_S / p->sample_rate
                                                  : 20 * NS_PER_MS;
    }
    if (p && p->fps_num && p->fps_den) {
        return MIN(NS_PER_S * (int64_t)p->fps_den / (int64_t)p->fps_num, NS_PER_S);
    }
    return 33333333;
}

/*
 * A gap in which as much time passed outside as in the source is no jump: the source was silent and says so. Nor is the next
 * step of a track whose steps are long.
 */
static bool is_jump(const struct stamp_track *t, const struct sample *s)
{
    int64_t delta = s->dts_ns - t->source_ns;
    int64_t waited = s->arrival_ns - t->arrival_ns;
    if (delta < -JUMP_NS) {
        return true;
    }
    return delta > JUMP_NS + t->delta_ns && delta - waited > JUMP_NS;
}

static void begin_epoch(struct stamp *st, const struct sample *s, int64_t now_ns)
{
    int64_t landing = st->epoch > 0 ? MAX(now_ns, st->end_ns + st->frame_ns) : now_ns;
    st->epoch++;
    st->offset_ns = st->keep ? 0 : landing - s->dts_ns;
    st->source_ns = s->dts_ns;
    st->begun_ns = now_ns;
    st->broken = false;
}

/* The first sample of a track in an epoch that another track began. Returns false for a straggler. */
static bool join_epoch(struct stamp *st, struct stamp_track *t, const struct sample *s,
                       int64_t now_ns)
{
    t->skew_ns = 0;
    if (distance(s->dts_ns, st->source_ns) <= TRACK_SKEW_NS) {
        return true;
    }
    bool goes_on =
        t->epoch > 0 && t->epoch + 1 == st->epoch && distance(s->dts_ns, t->source_ns) <= JUMP_NS;
    if (goes_on && now_ns - st->begun_ns < STRAGGLER_NS) {
        return false;
    }
    t->skew_ns = st->keep ? 0 : now_ns - (s->dts_ns + st->offset_ns);
    return true;
}

static void number_group(struct stamp *st, struct sample *s, enum stamp_grouping grouping,
                         unsigned leader, bool new_epoch)
{
    bool starts = false;
    switch (grouping) {
    case STAMP_GROUP_KEYS:
        starts = s->track == leader && (s->flags & SAMPLE_KEY);
        break;
    case STAMP_GROUP_SECONDS:
        starts = new_epoch || s->dts_ns - st->group_ns >= NS_PER_S;
        break;
    }
    if (starts) {
        st->group++;
        st->group_ns = s->dts_ns;
    }
    s->group = st->group;
}

bool stamp_sample(struct stamp *st, struct sample *s, enum stamp_grouping grouping, unsigned leader,
                  int64_t now_ns)
{
    assert(s->track < TRACKS_MAX);
    struct stamp_track *t = &st->tracks[s->track];
    int64_t source = s->dts_ns;
    bool new_epoch = st->broken || (t->epoch == st->epoch && is_jump(t, s));
    if (new_epoch) {
        begin_epoch(st, s, now_ns);
        t->skew_ns = 0;
    } else if (t->epoch != st->epoch && !join_epoch(st, t, s, now_ns)) {
        return false;
    }
    bool first = t->epoch != st->epoch;
    bool composed = s->pts_ns >= s->dts_ns;
    int64_t shift = st->offset_ns + t->skew_ns;
    s->dts_ns += shift;
    s->pts_ns += shift;
    if (t->epoch > 0 && s->dts_ns < t->dts_ns + STAMP_TICK_NS) {
        s->dts_ns = t->dts_ns + STAMP_TICK_NS;
        s->pts_ns = composed ? MAX(s->pts_ns, s->dts_ns) : s->pts_ns;
    }
    s->duration_ns = first ? guess_duration(t, s->params) : s->dts_ns - t->dts_ns;
    s->flags =
        (uint16_t)(first ? s->flags | SAMPLE_DISCONTINUITY : s->flags & ~SAMPLE_DISCONTINUITY);
    s->epoch = st->epoch;
    s->seq = st->seq++;
    number_group(st, s, grouping, leader, new_epoch);

    t->delta_ns = first ? 0 : MAX(source - t->source_ns, (int64_t)0);
    t->epoch = st->epoch;
    t->source_ns = source;
    t->arrival_ns = s->arrival_ns;
    t->dts_ns = s->dts_ns;
    t->duration_ns = s->duration_ns;
    st->source_ns = MAX(st->source_ns, source + t->skew_ns);
    if (MAX(s->dts_ns, s->pts_ns) > st->end_ns) {
        st->end_ns = MAX(s->dts_ns, s->pts_ns);
        st->frame_ns = s->duration_ns;
    }
    return true;
}
