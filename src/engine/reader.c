/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader is a cursor into its loop's replica. This file is the hot path: per sample and reader it does a few comparisons
 * on the sample's header, allocates nothing and copies nothing.
 */
#include "engine/reader.h"

#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

/* REPLAY_LIVE: history of 15 s is squeezed into 117 ms, a frame of 40 ms into 312 us (28 ticks of 90 kHz). */
#define SQUEEZE 128

/* ---- where to begin ---- */

static void begin_at_next_group(struct reader *r)
{
    const struct ring *ring = &r->replica->ring;
    r->at.seq = ring->next;
    r->at.skip_group = ring->group;
}

static void position(struct reader *r)
{
    const struct ring *ring = &r->replica->ring;
    r->positioned = true;
    r->over = false;
    r->at = (struct cursor){.need_key = r->replica->view.video_mask};
    if (r->replay == REPLAY_NEXT_KEY) {
        begin_at_next_group(r);
    } else if (ring->has_start) {
        r->at.seq = r->replay == REPLAY_LONG ? ring_oldest_start(ring) : ring->start;
        r->history_end = ring->next;
        r->edge_ns = ring->newest_ns;
    } else {
        begin_at_next_group(r);
        replica_want_key(r->replica);
    }
    r->peeked = 0;
}

void reader_follow(struct reader *r)
{
    enum reader_state state = r->replica->view.state;
    r->over |= state == READER_ENDED;
    if (state == READER_LIVE && (!r->positioned || r->over)) {
        position(r);
    }
}

/*
 * The cursor fell out of the ring. What it got of its group is a prefix; the rest of that group, and all that lies between, is
 * void for it. It goes on with the newest group, if history still has its key frame, else with the next one.
 */
static void fall_forward(struct reader *r)
{
    const struct ring *ring = &r->replica->ring;
    uint64_t from = ring->has_start && !r->audio_resumes ? ring->start : ring->first;
    r->dropped += from - r->at.seq;
    r->jumps++;
    HOT_ADD(r->s.el, samples_dropped, from - r->at.seq);
    r->at = (struct cursor){
        .seq = from,
        .skip_group = ring->has_start ? ring->group - 1 : ring->group,
        .need_key = r->replica->view.video_mask,
        .resumed = r->audio_resumes,
    };
    r->history_end = ring->next;
    r->edge_ns = ring->newest_ns;
    if (!ring->has_start) {
        replica_want_key(r->replica);
    }
}

/* ---- the rules ---- */

/* Whether this reader gets s; moves the cursor's rules on. */
static bool is_wanted(const struct reader *r, struct cursor *c, const struct sample *s)
{
    uint32_t bit = 1U << s->track;
    bool is_video = (r->replica->view.video_mask & bit) != 0;
    if (!(r->track_mask & bit)) {
        return false;
    }
    if (s->group <= c->skip_group && (is_video || !c->resumed)) {
        return false;
    }
    if (!is_video) {
        return r->replay != REPLAY_LIVE || s->seq >= r->history_end;
    }
    if (c->need_key & bit) {
        if (!(s->flags & SAMPLE_KEY)) {
            return false;
        }
        c->need_key &= ~bit;
        c->lead_group = s->group;
    }
    return !((s->flags & SAMPLE_LEADING) && s->group == c->lead_group);
}

static struct sample *next_wanted(struct reader *r)
{
    const struct replica *rep = r->replica;
    struct cursor *c = &r->scan;
    while (c->seq < rep->visible) {
        struct sample *s = ring_at(&rep->ring, c->seq);
        if (!s) {
            return NULL; /* history was dropped under an unread end */
        }
        c->seq++;
        if (is_wanted(r, c, s)) {
            r->peeked++;
            return s;
        }
        if (r->peeked == 0) {
            r->at = *c; /* what is skipped before the first is not looked at again */
        }
    }
    return NULL;
}

static void restart_scan(struct reader *r)
{
    if (r->at.seq < r->replica->ring.first) {
        fall_forward(r);
    }
    r->scan = r->at;
    r->peeked = 0;
}

struct sample *reader_peek(struct reader *r, unsigned k)
{
    if (!r->replica || !r->positioned) {
        return NULL;
    }
    if (k == 0 || k != r->peeked) {
        restart_scan(r);
    }
    struct sample *s = next_wanted(r);
    while (s && r->peeked <= k) {
        s = next_wanted(r);
    }
    return s;
}

void reader_advance(struct reader *r, unsigned n)
{
    if (!r->replica || !r->positioned || n == 0) {
        return;
    }
    if (n != r->peeked) {
        r->scan = r->at; /* no falling forward here: what was peeked is what is dropped */
        r->peeked = 0;
        while (r->peeked < n && next_wanted(r)) {
            /* again up to there */
        }
    }
    r->samples += n;
    r->at = r->scan;
    r->peeked = 0;
}

/*
 * One rising function of time for dts and pts of all tracks: the edge and later stay, what is before is drawn up to it. So order,
 * and dts that rise, survive; and it is continuous at the edge.
 */
static int64_t squeeze(int64_t t, int64_t edge)
{
    return t >= edge ? t : edge - (edge - t) / SQUEEZE;
}

void reader_stamps(struct reader *r, const struct sample *s, int64_t *ret_dts_ns,
                   int64_t *ret_pts_ns)
{
    bool live = r->replay == REPLAY_LIVE;
    *ret_dts_ns = live ? squeeze(s->dts_ns, r->edge_ns) : s->dts_ns;
    *ret_pts_ns = live ? squeeze(s->pts_ns, r->edge_ns) : s->pts_ns;
}

unsigned reader_tracks(const struct reader *r, const struct track_params *ret[TRACKS_MAX])
{
    const struct view *v = r->replica ? &r->replica->view : NULL;
    for (unsigned i = 0; i < TRACKS_MAX; i++) {
        ret[i] = v && i < v->n_tracks ? v->params[i] : NULL;
    }
    return v ? v->n_tracks : 0;
}

bool reader_absent(const struct reader *r)
{
    return r->replica && r->replica->view.absent;
}

int64_t reader_behind_ns(const struct reader *r)
{
    const struct ring *ring = &r->replica->ring;
    const struct sample *s = ring_at(ring, MAX(r->at.seq, ring->first));
    return s && r->positioned ? MAX(ring->newest_ns - s->dts_ns, (int64_t)0) : 0;
}

/* ---- callbacks ---- */

/* Returns false when the reader is closed or dead after it. */
static bool tell(struct reader *r)
{
    struct engine_loop *el = r->replica->el;
    const struct view *v = &r->replica->view;
    bool first = r->told == 0;
    bool changed = first || v->state != r->state || v->tracks_version != r->tracks_told;
    const bool absent = v->absent && !r->wait;
    const int leave = v->refused ? v->refused : absent ? -ENOENT : 0;
    r->told = v->version;
    r->tracks_told = v->tracks_version;
    r->state = v->state;
    reader_follow(r); /* one that came after the last change */
    if (changed && !(first && leave)) {
        r->ops.on_state(r->user, v->state, v->reason);
    }
    if (el->running == r && leave < 0) {
        reader_kill(&r->s, leave, r->replica->view.reason);
        return false;
    }
    return el->running == r;
}

static bool has_news(const struct reader *r)
{
    return r->replica->state == REPLICA_OPEN && r->told != r->replica->view.version;
}

static void run(struct reader *r)
{
    struct engine_loop *el = r->replica->el;
    /* Good news come before the samples they are about, bad news after the rest of what was good. */
    if (has_news(r) && r->replica->view.state == READER_LIVE && !tell(r)) {
        return;
    }
    if (r->index < r->replica->n_active && reader_peek(r, 0)) {
        r->ops.on_samples(r->user);
        if (el->running != r) {
            return;
        }
    }
    if (has_news(r)) {
        tell(r);
    }
}

void reader_run(struct reader *r)
{
    struct engine_loop *el = r->replica->el;
    el->running = r;
    run(r);
    el->running = NULL;
}

static void on_wake(struct loop_task *t)
{
    struct reader *r = CONTAINER_OF(t, struct reader, wake);
    if (r->replica) {
        reader_run(r);
    } else {
        r->ops.on_close(r->user, r->refusal.code, r->refusal.text);
    }
}

/* ---- coming and going ---- */

static int attach(struct reader *r, const char *path, struct error *err)
{
    struct engine_loop *el = r->s.el;
    int x = stream_path_check_read(path, err);
    x = x < 0 ? x : session_check(&r->s, err);
    if (x == 0) {
        x = stream_get(r->s.e, el, path, r->wait, &r->s.stream, err);
    }
    if (x < 0) {
        return x;
    }
    session_attach(&r->s);
    r->replica = replica_of(r->s.stream, el);
    replica_add_reader(r->replica, r);
    COUNT_ADD(r->s.e, readers, 1);
    COUNT_ADD(r->s.e, reads, 1);
    return 0;
}

static void emit(const struct reader *r, enum stream_event event, const char *why)
{
    char id[32];
    session_id_format(&r->s, id);
    engine_emit(r->s.e, event, r->s.stream->path, id, why);
}

struct reader *reader_open(struct engine *e, struct loop *l, const struct reader_info *info,
                           const struct reader_ops *ops, void *user)
{
    struct reader *r = mem_new(struct reader);
    r->s.kind = SESSION_READER;
    r->s.e = engine_ref(e);
    r->s.el = engine_loop_of(e, l);
    assert(r->s.el);
    r->s.serial = info->access_serial;
    r->s.expires_ns = info->access_expires_mono_ns;
    snprintf(r->s.protocol, sizeof(r->s.protocol), "%s", info->protocol ? info->protocol : "");
    snprintf(r->s.remote, sizeof(r->s.remote), "%s", info->remote ? info->remote : "");
    snprintf(r->s.agent, sizeof(r->s.agent), "%s", info->agent ? info->agent : "");
    r->ops = *ops;
    r->user = user;
    r->replay = info->replay;
    r->forms = info->forms;
    r->track_mask = info->track_mask ? info->track_mask : UINT32_MAX;
    r->audio_resumes = info->audio_resumes;
    r->wait = info->wait;
    loop_task_init(&r->wake, on_wake);
    if (attach(r, info->path, &r->refusal) == 0) {
        emit(r, STREAM_EVENT_READER_JOINED, NULL);
    } else {
        COUNT_ADD(e, refused, 1);
    }
    loop_defer(l, LOOP_STAGE_FANOUT, &r->wake);
    return r;
}

static void detach(struct reader *r, const char *why)
{
    struct engine_loop *el = r->s.el;
    loop_task_cancel(&r->wake);
    if (!r->replica) {
        return;
    }
    if (el->running == r) {
        el->running = NULL;
    }
    emit(r, STREAM_EVENT_READER_LEFT, why);
    replica_remove_reader(r->replica, r);
    r->replica = NULL;
    session_detach(&r->s);
    COUNT_SUB(r->s.e, readers, 1);
    stream_put(TAKE_PTR(r->s.stream));
}

struct reader *reader_close(struct reader *r)
{
    if (!r) {
        return NULL;
    }
    detach(r, NULL);
    engine_unref(r->s.e);
    free(r);
    return NULL;
}

void reader_kill(struct session *s, int r, const char *why)
{
    struct reader *rd = CONTAINER_OF(s, struct reader, s);
    char reason[160];
    snprintf(reason, sizeof(reason), "%s", why); /* may be the replica's, which may go */
    detach(rd, reason);
    rd->ops.on_close(rd->user, r, reason);
}

void reader_pause(struct reader *r)
{
    if (r->replica) {
        replica_set_active(r->replica, r, false);
    }
}

void reader_resume(struct reader *r)
{
    if (r->replica && r->index >= r->replica->n_active) {
        replica_set_active(r->replica, r, true);
        loop_defer(r->s.el->loop, LOOP_STAGE_FANOUT, &r->wake);
    }
}

void reader_want_key(struct reader *r)
{
    if (r->replica) {
        replica_want_key(r->replica);
    }
}

void reader_count_sent(struct reader *r, uint64_t bytes)
{
    r->bytes += bytes;
    HOT_ADD(r->s.el, bytes_out, bytes);
}
