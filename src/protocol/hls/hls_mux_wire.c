/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/hls/hls_mux_wire.h"

#include "base/mem.h"
#include "media/fmp4.h"

#include <assert.h>

/* Enough for a first segment: a playlist needs one, and less than this would only make players stall. */
#define FIRST_NS (500 * HLS_MS)
/* Segments are not made longer than this for the sake of a group. */
#define GROUP_MAX_NS (12 * HLS_S)
/*
 * A segment's duration, rounded, may not be above the target (RFC 8216bis 4.4.3.1), so half a second is free. Pictures are
 * cut in the middle of a group when they take this much of it, and what is left is for sound that lags behind them.
 */
#define OVER_TARGET_NS (300 * HLS_MS)
#define ROUNDING_NS    (480 * HLS_MS)
/* The same in chunks of all tracks: one answer is one list of them. */
#define SEGMENT_CHUNKS_MAX 8192u
/* Stamps of 1 ms make steps uneven by as much; a part must not come out longer than was announced. */
#define STEP_SLACK_NS (2 * HLS_MS)

/* ---- end of things ---- */

static void part_done(struct hls_part *p)
{
    for (unsigned i = 0; i < p->n; i++) {
        buf_unref(&p->chunks[i]);
    }
    free(p->chunks);
    *p = (struct hls_part){0};
}

static void segment_free(struct hls_segment *s)
{
    for (unsigned t = 0; t < TRACKS_MAX; t++) {
        struct hls_piece *piece = &s->pieces[t];
        for (unsigned i = 0; i < piece->n_parts; i++) {
            part_done(&piece->parts[i]);
        }
        free(piece->parts);
        buf_unref(&piece->init);
        buf_unref(&piece->whole);
    }
    free(s);
}

static void drop_oldest(struct hls_mux *m)
{
    struct hls_segment *s = m->segments[0];
    m->bytes -= s->bytes;
    m->n_segments--;
    memmove(m->segments, m->segments + 1, m->n_segments * sizeof(struct hls_segment *));
    segment_free(s);
}

static void drop_media(struct hls_mux *m)
{
    for (unsigned t = 0; t < TRACKS_MAX; t++) {
        part_done(&m->tracks[t].open);
        if (m->tracks[t].params) {
            track_params_unref(&m->tracks[t].params);
        }
        buf_unref(&m->tracks[t].init);
        m->tracks[t] = (struct hls_track){0};
    }
    while (m->n_segments > 0) {
        drop_oldest(m);
    }
    m->current = NULL;
    m->ended = false;
    m->split = false;
    m->epoch_has_video = false;
    m->version++;
}

void hls_mux_reset(struct hls_mux *m)
{
    drop_media(m);
    m->target_is_told = false;
}

void hls_mux_init(struct hls_mux *m, const struct hls_limits *limits)
{
    *m = (struct hls_mux){.limits = *limits};
    m->target_s = (unsigned)((limits->segment_ns + HLS_S / 2) / HLS_S);
    m->target_s = MAX(m->target_s, 1u);
}

void hls_mux_done(struct hls_mux *m)
{
    hls_mux_reset(m);
    free(m->segments);
    *m = (struct hls_mux){0};
}

/* ---- parts ---- */

/*
 * Parts may be neither longer than PART-TARGET nor, but for the last of a segment, shorter than 85 % of it (RFC 8216bis
 * 4.4.4.9). Frames that are short against it fit by themselves; else it is made a multiple of theirs, each of which may turn
 * out a millisecond longer than the one that was measured.
 */
static int64_t choose_part_target(int64_t wanted_ns, int64_t frame_ns)
{
    int64_t step = MAX(frame_ns, HLS_MS);
    if (step + STEP_SLACK_NS <= wanted_ns * 15 / 100) {
        return wanted_ns;
    }
    return MAX(wanted_ns / step, (int64_t)1) * (step + HLS_MS) + STEP_SLACK_NS + HLS_MS;
}

/* Whether the open part is complete without s: it would be too long once s is in it. */
static bool part_is_full(const struct hls_track *t, const struct sample *s)
{
    int64_t next = MAX(t->steps_ns[0], t->steps_ns[1]) + STEP_SLACK_NS;
    return s->dts_ns - t->open.start_ns + next > t->part_target_ns;
}

static void close_part(struct hls_mux *m, struct hls_track *t, int64_t end_ns)
{
    assert(t->segment); /* where parts are, there is a segment they belong to */
    struct hls_piece *piece = &t->segment->pieces[t - m->tracks];
    t->open.duration_ns = end_ns - t->open.start_ns;
    piece->duration_ns = end_ns - piece->start_ns;
    if (piece->n_parts == piece->cap_parts) {
        piece->cap_parts = MAX(2 * piece->cap_parts, 8u);
        piece->parts = mem_realloc(piece->parts, piece->cap_parts * sizeof(struct hls_part));
    }
    piece->parts[piece->n_parts++] = t->open;
    t->open = (struct hls_part){0};
    m->version++;
}

static void close_piece(struct hls_mux *m, struct hls_piece *piece)
{
    piece->closed = true;
    m->version++;
}

/* What the track has open ends here, with its piece. */
static void close_track(struct hls_mux *m, struct hls_track *t, int64_t end_ns)
{
    if (t->open.n > 0) {
        close_part(m, t, end_ns);
    }
    if (t->segment) {
        close_piece(m, &t->segment->pieces[t - m->tracks]);
        t->segment = NULL;
    }
}

/* Where tracks end that have no next sample in this stretch. */
static void close_all(struct hls_mux *m)
{
    for (unsigned i = 0; i < TRACKS_MAX; i++) {
        struct hls_track *t = &m->tracks[i];
        close_track(m, t, t->dts_ns + t->duration_ns);
        if (m->current && !m->current->pieces[i].closed) {
            close_piece(m, &m->current->pieces[i]);
        }
    }
}

/* ---- segments ---- */

/*
 * Files stay for one playlist's length after they left it (RFC 8216bis 6.2.2), as far as the bound on bytes allows. The ones
 * that have just been cut stay in any case.
 */
static void trim(struct hls_mux *m)
{
    unsigned keep = 2 * m->limits.segments + 2;
    while (m->n_segments > keep || (m->n_segments > 4 && m->bytes > m->limits.bytes_max)) {
        drop_oldest(m);
    }
}

/* A track that is silent must not hold the others up: what it has not closed two segments ago is closed, or a gap. */
static void close_laggards(struct hls_mux *m)
{
    struct hls_segment *old = m->segments[m->n_segments - 2];
    for (unsigned i = 0; i < TRACKS_MAX; i++) {
        struct hls_track *t = &m->tracks[i];
        if (t->segment == old) {
            close_track(m, t, t->dts_ns + t->duration_ns);
        } else if (!old->pieces[i].closed) {
            close_piece(m, &old->pieces[i]);
        }
    }
}

/*
 * With the first complete segment the target duration is told, and from then on it is not changed (RFC 8216bis 4.4.3.1 and
 * 6.2.1). It is what was configured, or what the groups of this stream have been seen to need.
 */
static void tell_target(struct hls_mux *m, const struct sample *s)
{
    int64_t longest = m->group_longest_ns;
    assert(m->current); /* the one that is complete now */
    for (unsigned i = 0; i < TRACKS_MAX; i++) {
        const struct hls_piece *p = &m->current->pieces[i];
        longest = MAX(longest, p->begun ? s->dts_ns - p->start_ns : 0);
    }
    m->target_s = MAX(m->target_s, (unsigned)((longest + OVER_TARGET_NS / 2 + HLS_S / 2) / HLS_S));
    m->target_is_told = true;
}

static void begin_segment(struct hls_mux *m, const struct sample *s, bool discontinuity,
                          bool independent)
{
    if (m->n_segments >= 2) {
        close_laggards(m);
    }
    if (m->n_segments == 1 && !m->target_is_told) {
        tell_target(m, s);
    }
    if (m->n_segments == m->cap_segments) {
        m->cap_segments = MAX(2 * m->cap_segments, 16u);
        m->segments = mem_realloc(m->segments, m->cap_segments * sizeof(struct hls_segment *));
    }
    struct hls_segment *g = mem_new(struct hls_segment);
    m->dsn += discontinuity;
    g->msn = m->n_segments > 0 ? m->next_msn : MAX(m->next_msn, s->group);
    g->dsn = m->dsn;
    g->discontinuity = discontinuity;
    g->independent = independent;
    g->start_ns = s->dts_ns;
    m->next_msn = g->msn + 1;
    m->segments[m->n_segments++] = g;
    m->current = g;
    m->split = false;
    trim(m);
}

static unsigned chunks_of(const struct hls_segment *g)
{
    unsigned n = 0;
    for (unsigned i = 0; i < TRACKS_MAX; i++) {
        n += g->pieces[i].samples;
    }
    return n;
}

/* Whether s, in the middle of a group, makes what is open longer than the target duration allows. */
static bool exceeds_target(const struct hls_mux *m, const struct sample *s)
{
    const struct hls_piece *p = &m->current->pieces[s->track];
    bool leads = s->params->kind == TRACK_VIDEO || !m->epoch_has_video;
    int64_t target_ns = m->target_s * HLS_S;
    if (!m->target_is_told) {
        return false; /* it will be what this segment needs */
    }
    return (leads &&
            s->dts_ns + s->duration_ns - m->current->start_ns > target_ns + OVER_TARGET_NS) ||
           (p->begun && s->dts_ns + s->duration_ns - p->start_ns > target_ns + ROUNDING_NS);
}

/* Whether a segment begins with s, which continues what is there. */
static bool wants_cut(const struct hls_mux *m, const struct sample *s)
{
    const struct hls_segment *g = m->current;
    int64_t length = s->dts_ns - g->start_ns;
    if (chunks_of(g) >= SEGMENT_CHUNKS_MAX || g->bytes >= m->limits.bytes_max / 4) {
        return true; /* also where each picture is a group of its own */
    }
    if (s->group != m->group) {
        int64_t next = s->dts_ns - m->group_ns; /* the coming group will be about as long */
        return !g->independent || length >= m->limits.segment_ns * 9 / 10 ||
               length + next > m->target_s * HLS_S + OVER_TARGET_NS;
    }
    if (length >= GROUP_MAX_NS + HLS_S || exceeds_target(m, s)) {
        return true;
    }
    bool leads = s->params->kind == TRACK_VIDEO || !m->epoch_has_video;
    return leads && (m->split || length >= GROUP_MAX_NS);
}

/* Whether s does not continue what is there: another epoch, a hole, or parameters that need another init segment. */
static bool is_border(const struct hls_mux *m, const struct sample *s)
{
    const struct hls_track *t = &m->tracks[s->track];
    const struct hls_segment *g = m->current;
    if (s->epoch != m->epoch || (s->seq != m->next_seq && s->group != m->group) || m->ended) {
        return true;
    }
    bool other = t->params && !track_params_equal(t->params, s->params);
    return other && (g->pieces[s->track].begun || !g->discontinuity);
}

/* ---- samples ---- */

/* FNV-1a: names an init segment by its bytes. */
static uint64_t hash(struct bytes b)
{
    uint64_t h = 0xcbf29ce484222325;
    for (size_t i = 0; i < b.len; i++) {
        h = (h ^ b.data[i]) * 0x100000001b3;
    }
    return h;
}

static void follow_params(struct hls_track *t, const struct sample *s)
{
    if (t->params == s->params) {
        return;
    }
    if (!t->params || !track_params_equal(t->params, s->params)) {
        const struct track_params *list[TRACKS_MAX] = {0};
        list[s->track] = s->params;
        buf_unref(&t->init);
        t->init = fmp4_init_make(list, s->track + 1u);
        t->init_id = hash(buf_view(t->init));
    }
    if (t->params) {
        track_params_unref(&t->params);
    }
    t->params = track_params_ref(s->params);
}

static void begin_piece(struct hls_mux *m, struct hls_track *t, const struct sample *s)
{
    struct hls_piece *piece = &m->current->pieces[s->track];
    t->segment = m->current;
    piece->begun = true;
    piece->independent = s->params->kind == TRACK_AUDIO || (s->flags & SAMPLE_KEY);
    piece->init = buf_ref(t->init);
    piece->init_id = t->init_id;
    piece->start_ns = s->dts_ns;
    piece->wall_ns = s->dts_ns + t->composition_ns + m->epoch_wall_ns;
}

static void measure(struct hls_mux *m, struct hls_track *t, const struct sample *s)
{
    if (t->epoch != s->epoch) {
        t->composition_ns = s->pts_ns - s->dts_ns;
        t->steps_ns[0] = t->steps_ns[1] = 0;
    } else {
        t->steps_ns[1] = t->steps_ns[0];
        t->steps_ns[0] = s->dts_ns - t->dts_ns;
        if (t->part_target_ns == 0) {
            t->part_target_ns = choose_part_target(m->limits.part_ns, t->steps_ns[0]);
        }
    }
}

/* Closes what is complete now that s is there. */
static void complete(struct hls_mux *m, struct hls_track *t, const struct sample *s)
{
    if (t->segment && t->segment != m->current) {
        close_track(m, t, s->dts_ns);
    } else if (t->open.n > 0 && t->part_target_ns > 0 && part_is_full(t, s)) {
        close_part(m, t, s->dts_ns);
    }
}

static void append(struct hls_mux *m, struct hls_track *t, struct buf *chunk)
{
    struct hls_part *p = &t->open;
    if (p->n == p->cap) {
        p->cap = MAX(2 * p->cap, 8u);
        p->chunks = mem_realloc(p->chunks, p->cap * sizeof(struct buf *));
    }
    p->chunks[p->n++] = buf_ref(chunk);
    t->segment->pieces[t - m->tracks].bytes += chunk->len;
    t->segment->pieces[t - m->tracks].samples++;
    t->segment->bytes += chunk->len;
    m->bytes += chunk->len;
}

static void add(struct hls_mux *m, const struct sample *s, struct buf *chunk)
{
    struct hls_track *t = &m->tracks[s->track];
    measure(m, t, s);
    complete(m, t, s);
    follow_params(t, s);
    if (!t->segment) {
        begin_piece(m, t, s);
    }
    if (t->open.n == 0) {
        t->open.start_ns = s->dts_ns;
    }
    t->open.independent |= s->params->kind == TRACK_AUDIO || (s->flags & SAMPLE_KEY);
    append(m, t, chunk);
    t->epoch = s->epoch;
    t->dts_ns = s->dts_ns;
    t->duration_ns = s->duration_ns;
}

/* The numbers of a stretch that begins with s: what is before it is closed. */
static void begin_stretch(struct hls_mux *m, const struct sample *s, int64_t wall_minus_mono_ns)
{
    if (s->epoch != m->epoch || m->n_segments == 0) {
        m->epoch_wall_ns = wall_minus_mono_ns + s->arrival_ns - s->dts_ns;
        m->epoch_has_video = false;
    }
    /* What changed while nobody watched counts as well, though no playlist shows it. */
    if (m->n_segments == 0) {
        m->dsn = m->dsn == 0 ? s->epoch : m->dsn + (s->epoch != m->epoch);
    }
}

void hls_mux_push(struct hls_mux *m, const struct sample *s, struct buf *chunk,
                  int64_t wall_minus_mono_ns)
{
    if (s->track >= TRACKS_MAX || !chunk || !s->params) {
        return;
    }
    const struct hls_track *t = &m->tracks[s->track];
    if (t->params && t->params->kind != s->params->kind) {
        drop_media(m); /* another publisher with other tracks: nothing of before fits */
    }
    bool first = !m->current;
    bool border = !first && is_border(m, s);
    if (border) {
        close_all(m);
    }
    if (!first && !border && s->group != m->group) {
        m->group_longest_ns = MAX(m->group_longest_ns, MIN(s->dts_ns - m->group_ns, GROUP_MAX_NS));
    }
    if (first || border) {
        begin_stretch(m, s, wall_minus_mono_ns);
        begin_segment(m, s, border, true);
    } else if (wants_cut(m, s)) {
        begin_segment(m, s, false, s->group != m->group);
    }
    m->ended = false;
    m->group_ns = first || s->group != m->group ? s->dts_ns : m->group_ns;
    m->epoch_has_video |= s->params->kind == TRACK_VIDEO;
    m->epoch = s->epoch;
    m->group = s->group;
    m->next_seq = s->seq + 1;
    add(m, s, chunk);
}

void hls_mux_settle(struct hls_mux *m, uint32_t announced)
{
    if (m->n_segments != 1) {
        return;
    }
    const struct hls_segment *g = m->current;
    bool enough = false;
    for (unsigned i = 0; i < TRACKS_MAX; i++) {
        const struct hls_track *t = &m->tracks[i];
        bool leads = t->params && (t->params->kind == TRACK_VIDEO || !m->epoch_has_video);
        if ((announced & 1u << i) && !g->pieces[i].begun) {
            return;
        }
        enough |= leads && t->dts_ns - g->start_ns >= FIRST_NS;
    }
    m->split |= enough;
}

void hls_mux_end(struct hls_mux *m)
{
    if (m->current && !m->ended) {
        close_all(m);
        m->ended = true;
        m->version++;
    }
}
