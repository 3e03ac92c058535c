/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/hls/hls_playlist_wire.h"

#include "base/mem.h"

#include <inttypes.h>
#include <time.h>

/* Delta updates leave out what is further back than this many target durations: the least that is allowed (4.4.3.8). */
#define SKIP_TARGETS 6
/* Parts are listed this many target durations back from the end (4.4.4.9). */
#define PARTS_TARGETS 3
/* So far from the end players start: three parts, the recommendation of 4.4.3.8. */
#define HOLD_BACK_PARTS 3

#define SECONDS(ns) ((double)(ns) / HLS_S)

/* ---- where a track is ---- */

struct hls_position hls_next(const struct hls_mux *m, unsigned track)
{
    for (unsigned i = 0; i < m->n_segments; i++) {
        const struct hls_piece *p = &m->segments[i]->pieces[track];
        if (!p->closed) {
            return (struct hls_position){m->segments[i]->msn, p->n_parts};
        }
    }
    return (struct hls_position){m->next_msn, 0};
}

/* The segments that a playlist of the track lists as complete: [first, end). Gaps before its first media are left out. */
struct window {
    unsigned first;
    unsigned end;
};

static struct window find_window(const struct hls_mux *m, unsigned track)
{
    struct window w = {0};
    while (w.end < m->n_segments && m->segments[w.end]->pieces[track].closed) {
        w.end++;
    }
    w.first = w.end > m->limits.segments ? w.end - m->limits.segments : 0;
    while (w.first < w.end && !m->segments[w.first]->pieces[track].begun) {
        w.first++;
    }
    return w;
}

bool hls_track_is_listed(const struct hls_mux *m, unsigned track)
{
    struct window w = find_window(m, track);
    return w.first < w.end;
}

bool hls_is_ready(const struct hls_mux *m, uint32_t tracks)
{
    bool any = false;
    bool all = true;
    for (unsigned t = 0; t < TRACKS_MAX; t++) {
        bool listed = hls_track_is_listed(m, t);
        any |= listed;
        all &= listed || !(tracks & 1u << t);
    }
    /* A track that has been silent for a segment is not waited for. */
    return any && (all || m->n_segments > 2);
}

static struct hls_segment *find_segment(const struct hls_mux *m, uint64_t msn)
{
    uint64_t oldest = m->n_segments > 0 ? m->segments[0]->msn : 0;
    return msn >= oldest && msn - oldest < m->n_segments ? m->segments[msn - oldest] : NULL;
}

enum hls_verdict hls_check_reload(const struct hls_mux *m, unsigned track,
                                  const struct hls_directives *d)
{
    if (!hls_track_is_listed(m, track)) {
        return HLS_WAIT;
    }
    if (!d->has_msn || m->ended) {
        return HLS_NOW;
    }
    struct hls_position next = hls_next(m, track);
    struct hls_position wanted = {d->msn, d->part};
    int64_t part_ns = MAX(m->tracks[track].part_target_ns, HLS_MS);
    int64_t ahead = part_ns < HLS_S ? (3 * HLS_S + part_ns - 1) / part_ns : 3;
    const struct hls_segment *g = find_segment(m, wanted.msn);
    if (!d->has_part) {
        return wanted.msn < next.msn ? HLS_NOW : wanted.msn > next.msn + 1 ? HLS_TOO_FAR : HLS_WAIT;
    }
    /* Behind the last part of a complete segment is the first one of the next. */
    if (g && wanted.msn + 1 == next.msn && wanted.part >= g->pieces[track].n_parts) {
        wanted = (struct hls_position){next.msn, 0};
    }
    if (wanted.msn < next.msn || (wanted.msn == next.msn && wanted.part < next.part)) {
        return HLS_NOW;
    }
    bool too_far = wanted.msn > next.msn + 1 ||
                   (wanted.msn == next.msn && wanted.part >= next.part + (uint64_t)ahead);
    return too_far ? HLS_TOO_FAR : HLS_WAIT;
}

/* ---- files ---- */

static void each_chunk(const struct hls_part *p, void (*each)(void *user, struct buf *chunk),
                       void *user)
{
    for (unsigned i = 0; i < p->n; i++) {
        each(user, p->chunks[i]);
    }
}

static enum hls_found find_init(const struct hls_mux *m, const struct hls_name *name,
                                void (*each)(void *user, struct buf *chunk), void *user)
{
    for (unsigned i = m->n_segments; i-- > 0;) {
        const struct hls_piece *p = &m->segments[i]->pieces[name->track];
        if (p->begun && p->init_id == name->id) {
            each(user, p->init);
            return HLS_FOUND;
        }
    }
    return HLS_ABSENT;
}

enum hls_found hls_find(struct hls_mux *m, const struct hls_name *name,
                        void (*each)(void *user, struct buf *chunk), void *user)
{
    const struct track_params *params = m->tracks[name->track].params;
    if (!params || params->kind != name->media) {
        return HLS_ABSENT;
    }
    if (name->kind == HLS_INIT) {
        return find_init(m, name, each, user);
    }
    struct hls_position next = hls_next(m, name->track);
    bool is_part = name->kind == HLS_PART;
    if (is_part && name->id == next.msn && name->part == next.part && !m->ended) {
        return HLS_COMING;
    }
    struct hls_segment *g = find_segment(m, name->id);
    const struct hls_piece *p = g ? &g->pieces[name->track] : NULL;
    if (!p || !p->begun || (is_part ? name->part >= p->n_parts : !p->closed)) {
        return HLS_ABSENT;
    }
    struct buf *whole = is_part ? NULL : hls_mux_whole(m, g, name->track);
    if (whole) {
        each(user, whole);
        return HLS_FOUND;
    }
    for (unsigned i = 0; i < p->n_parts; i++) {
        if (!is_part || i == name->part) {
            each_chunk(&p->parts[i], each, user);
        }
    }
    return HLS_FOUND;
}

/* ---- media playlists ---- */

struct writer {
    struct out *o;
    const struct hls_mux *m;
    unsigned track;
    bool plain;
    const char *query;
    uint64_t init_id; /* of the last EXT-X-MAP; 0 = none */
};

static void put_uri(const struct writer *w, enum hls_kind kind, uint64_t id, uint32_t part)
{
    struct hls_name name = {
        .kind = kind,
        .media = w->m->tracks[w->track].params->kind,
        .track = w->track,
        .id = id,
        .part = part,
    };
    hls_name_put(w->o, &name);
    out_puts(w->o, w->query);
}

static void put_date(struct out *o, int64_t wall_ns)
{
    time_t seconds = (time_t)(wall_ns / HLS_S);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    out_printf(o, "#EXT-X-PROGRAM-DATE-TIME:%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\n",
               tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
               (int)(wall_ns % HLS_S / HLS_MS));
}

/* Times in PROGRAM-DATE-TIME and durations are differences of the same stamps, so they agree to the rounding. */
static void put_segment_head(struct writer *w, const struct hls_segment *g)
{
    const struct hls_piece *p = &g->pieces[w->track];
    if (g->discontinuity) {
        out_puts(w->o, "#EXT-X-DISCONTINUITY\n");
    }
    if (!p->begun) {
        out_puts(w->o, "#EXT-X-GAP\n");
        return;
    }
    if (w->init_id != p->init_id) {
        w->init_id = p->init_id;
        out_puts(w->o, "#EXT-X-MAP:URI=\"");
        put_uri(w, HLS_INIT, p->init_id, 0);
        out_puts(w->o, "\"\n");
    }
    put_date(w->o, p->wall_ns);
}

static void put_parts(const struct writer *w, const struct hls_segment *g)
{
    const struct hls_piece *p = &g->pieces[w->track];
    for (unsigned i = 0; i < p->n_parts; i++) {
        out_printf(w->o, "#EXT-X-PART:DURATION=%.5f,URI=\"", SECONDS(p->parts[i].duration_ns));
        put_uri(w, HLS_PART, g->msn, i);
        out_puts(w->o, p->parts[i].independent ? "\",INDEPENDENT=YES\n" : "\"\n");
    }
}

/* A gap is as long as what the others have there. */
static int64_t duration_of(const struct hls_segment *g, unsigned track)
{
    int64_t longest = g->pieces[track].duration_ns;
    for (unsigned i = 0; i < TRACKS_MAX && !g->pieces[track].begun; i++) {
        longest = MAX(longest, g->pieces[i].duration_ns);
    }
    return longest;
}

static void put_segment(struct writer *w, const struct hls_segment *g, bool with_parts)
{
    put_segment_head(w, g);
    if (with_parts) {
        put_parts(w, g);
    }
    out_printf(w->o, "#EXTINF:%.5f,\n", SECONDS(duration_of(g, w->track)));
    put_uri(w, HLS_SEGMENT, g->msn, 0);
    out_u8(w->o, '\n');
}

/* The segment that is being made, and what comes next. */
static void put_open(struct writer *w)
{
    const struct hls_mux *m = w->m;
    struct hls_position next = hls_next(m, w->track);
    const struct hls_segment *g = find_segment(m, next.msn);
    if (g && g->pieces[w->track].n_parts > 0) {
        put_segment_head(w, g);
        put_parts(w, g);
    }
    if (!m->ended) {
        out_puts(w->o, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"");
        put_uri(w, HLS_PART, next.msn, next.part);
        out_puts(w->o, "\"\n");
    }
}

static void put_reports(const struct writer *w)
{
    const struct hls_mux *m = w->m;
    for (unsigned t = 0; t < TRACKS_MAX; t++) {
        if (t == w->track || !hls_track_is_listed(m, t)) {
            continue;
        }
        struct writer other = {.o = w->o, .m = m, .track = t, .query = w->query};
        struct hls_position last = hls_next(m, t);
        if (last.part > 0) {
            last.part--;
        } else {
            const struct hls_segment *g = find_segment(m, --last.msn);
            unsigned n = g ? g->pieces[t].n_parts : 0;
            last.part = n > 0 ? n - 1 : 0;
        }
        out_puts(w->o, "#EXT-X-RENDITION-REPORT:URI=\"");
        put_uri(&other, HLS_PLAYLIST, 0, 0);
        out_printf(w->o, "\",LAST-MSN=%" PRIu64 ",LAST-PART=%" PRIu32 "\n", last.msn, last.part);
    }
}

static int64_t part_target(const struct hls_mux *m, unsigned track)
{
    int64_t t = m->tracks[track].part_target_ns;
    return t > 0 ? t : m->limits.part_ns;
}

/* True of a playlist, not of the stream: the cuts in the middle of a group slide out of it. */
static bool all_independent(const struct writer *w, struct window win)
{
    bool all = true;
    for (unsigned i = win.first; i < w->m->n_segments; i++) {
        const struct hls_piece *p = &w->m->segments[i]->pieces[w->track];
        all &= p->independent || !p->begun;
    }
    return all;
}

static void put_head(const struct writer *w, struct window win)
{
    const struct hls_mux *m = w->m;
    const struct hls_segment *first = m->segments[win.first];
    double part = SECONDS(part_target(m, w->track));
    out_printf(w->o, "#EXTM3U\n#EXT-X-VERSION:%d\n#EXT-X-TARGETDURATION:%u\n", w->plain ? 8 : 9,
               m->target_s);
    if (all_independent(w, win)) {
        out_puts(w->o, "#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
    if (!w->plain) {
        out_printf(w->o,
                   "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=%.5f,"
                   "CAN-SKIP-UNTIL=%u.0\n#EXT-X-PART-INF:PART-TARGET=%.5f\n",
                   HOLD_BACK_PARTS * part, SKIP_TARGETS * m->target_s, part);
    }
    out_printf(w->o,
               "#EXT-X-MEDIA-SEQUENCE:%" PRIu64 "\n#EXT-X-DISCONTINUITY-SEQUENCE:%" PRIu64 "\n",
               first->msn, first->dsn - first->discontinuity);
}

/* What lies behind the end of segment i in the playlist, up to its end. */
static int64_t behind(const struct writer *w, unsigned i, unsigned end)
{
    int64_t sum = 0;
    for (unsigned k = i + 1; k < end; k++) {
        sum += duration_of(w->m->segments[k], w->track);
    }
    struct hls_position next = hls_next(w->m, w->track);
    const struct hls_segment *open = find_segment(w->m, next.msn);
    return sum + (open ? open->pieces[w->track].duration_ns : 0);
}

void hls_put_playlist(struct out *o, const struct hls_mux *m, unsigned track,
                      const struct hls_directives *d, const char *query)
{
    struct writer w = {.o = o, .m = m, .track = track, .plain = d->plain, .query = query};
    struct window win = find_window(m, track);
    int64_t target_ns = m->target_s * HLS_S;
    unsigned skipped = 0;
    put_head(&w, win);
    while (d->skip && !d->plain && win.first + skipped < win.end &&
           behind(&w, win.first + skipped, win.end) > SKIP_TARGETS * target_ns) {
        skipped++;
    }
    if (skipped > 0) {
        out_printf(o, "#EXT-X-SKIP:SKIPPED-SEGMENTS=%u\n", skipped);
    }
    for (unsigned i = win.first + skipped; i < win.end; i++) {
        bool with_parts = !d->plain && behind(&w, i, win.end) <= PARTS_TARGETS * target_ns;
        put_segment(&w, m->segments[i], with_parts);
    }
    if (!d->plain) {
        put_open(&w);
        put_reports(&w);
    }
    if (m->ended) {
        out_puts(o, "#EXT-X-ENDLIST\n");
    }
}

/* ---- multivariant playlist ---- */

struct rate {
    uint64_t peak;
    uint64_t average;
};

static uint64_t bits_per_second(uint64_t bytes, int64_t ns)
{
    return ns > 0 ? (uint64_t)((double)bytes * 8 * HLS_S / (double)ns) : 0;
}

/* Measured over what is kept. Pieces of less than half a second say little of a rate, unless there is nothing else. */
static struct rate measure(const struct hls_mux *m, unsigned track)
{
    struct rate r = {0};
    uint64_t bytes = 0;
    int64_t ns = 0;
    for (unsigned i = 0; i < m->n_segments; i++) {
        const struct hls_piece *p = &m->segments[i]->pieces[track];
        if (p->closed && p->begun) {
            bytes += p->bytes;
            ns += p->duration_ns;
            if (p->duration_ns >= HLS_S / 2) {
                r.peak = MAX(r.peak, bits_per_second(p->bytes, p->duration_ns));
            }
        }
    }
    r.average = MAX(bits_per_second(bytes, ns), (uint64_t)1);
    r.peak = MAX(r.peak, r.average);
    return r;
}

static double frame_rate(const struct hls_mux *m, unsigned track)
{
    const struct track_params *p = m->tracks[track].params;
    if (p->fps_num > 0 && p->fps_den > 0) {
        return (double)p->fps_num / p->fps_den;
    }
    for (unsigned i = m->n_segments; i-- > 0;) {
        const struct hls_piece *piece = &m->segments[i]->pieces[track];
        if (piece->closed && piece->duration_ns > 0) {
            return piece->samples / SECONDS(piece->duration_ns);
        }
    }
    return 0;
}

static bool is_audio(const struct hls_mux *m, unsigned t)
{
    return m->tracks[t].params && m->tracks[t].params->kind == TRACK_AUDIO &&
           hls_track_is_listed(m, t);
}

static bool is_video(const struct hls_mux *m, unsigned t)
{
    return m->tracks[t].params && m->tracks[t].params->kind == TRACK_VIDEO &&
           hls_track_is_listed(m, t);
}

/*
 * Renditions of one codec are one group, named after the first of them: a variant names the codecs of its group, so that a
 * player which lacks one of them takes the variant with the other (RFC 8216bis 4.4.6.2).
 */
static unsigned group_of(const struct hls_mux *m, unsigned track)
{
    unsigned t = 0;
    while (!is_audio(m, t) ||
           strcmp(m->tracks[t].params->rfc6381, m->tracks[track].params->rfc6381) != 0) {
        t++;
    }
    return t;
}

static void put_audio_groups(struct writer *w)
{
    unsigned n = 0;
    for (w->track = 0; w->track < TRACKS_MAX; w->track++) {
        if (!is_audio(w->m, w->track)) {
            continue;
        }
        unsigned group = group_of(w->m, w->track);
        out_printf(w->o,
                   "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio%u\",NAME=\"Audio %u\",DEFAULT=%s,"
                   "AUTOSELECT=YES,CHANNELS=\"%u\",URI=\"~hls/",
                   group + 1, ++n, group == w->track ? "YES" : "NO",
                   w->m->tracks[w->track].params->channels);
        put_uri(w, HLS_PLAYLIST, 0, 0);
        out_puts(w->o, "\"\n");
    }
}

/* One variant: its own track, and with video a group of sound, of which a player takes one. group: TRACKS_MAX = none. */
static void put_variant(struct writer *w, unsigned group)
{
    const struct track_params *p = w->m->tracks[w->track].params;
    struct rate sum = measure(w->m, w->track);
    struct rate sound = {0};
    bool with_audio = group < TRACKS_MAX;
    for (unsigned t = 0; t < TRACKS_MAX && with_audio; t++) {
        if (is_audio(w->m, t) && group_of(w->m, t) == group) {
            struct rate r = measure(w->m, t);
            sound.peak = MAX(sound.peak, r.peak);
            sound.average = MAX(sound.average, r.average);
        }
    }
    out_printf(w->o,
               "#EXT-X-STREAM-INF:BANDWIDTH=%" PRIu64 ",AVERAGE-BANDWIDTH=%" PRIu64
               ",CODECS=\"%s%s%s\"",
               sum.peak + sound.peak, sum.average + sound.average, p->rfc6381,
               with_audio ? "," : "", with_audio ? w->m->tracks[group].params->rfc6381 : "");
    if (p->kind == TRACK_VIDEO) {
        out_printf(w->o, ",RESOLUTION=%ux%u,FRAME-RATE=%.3f", p->width, p->height,
                   frame_rate(w->m, w->track));
    }
    if (with_audio) {
        out_printf(w->o, ",AUDIO=\"audio%u\"", group + 1);
    }
    out_puts(w->o, "\n~hls/");
    put_uri(w, HLS_PLAYLIST, 0, 0);
    out_u8(w->o, '\n');
}

static void put_variants(struct writer *w)
{
    for (unsigned t = 0; t < TRACKS_MAX; t++) {
        if (is_audio(w->m, t) && group_of(w->m, t) == t) {
            put_variant(w, t);
        }
    }
}

void hls_put_master(struct out *o, const struct hls_mux *m, const char *query)
{
    struct writer w = {.o = o, .m = m, .query = query};
    bool audio = false;
    bool video = false;
    for (unsigned t = 0; t < TRACKS_MAX; t++) {
        audio |= is_audio(m, t);
        video |= is_video(m, t);
    }
    out_puts(o, "#EXTM3U\n#EXT-X-VERSION:8\n");
    if (audio && video) {
        put_audio_groups(&w);
    }
    for (w.track = 0; w.track < TRACKS_MAX; w.track++) {
        if (is_video(m, w.track) && audio) {
            put_variants(&w);
        } else if (is_video(m, w.track) || (!video && is_audio(m, w.track))) {
            put_variant(&w, TRACKS_MAX);
        }
    }
}
