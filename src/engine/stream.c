/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream on its home loop: its state, the windows it waits for, and what readers see of it. Samples take the way through
 * feed.c and distribute.c; the path table is in engine.c.
 */
#include "base/clock.h"
#include "base/log.h"
#include "engine/internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

LOG_TOPIC(topic, "engine.stream");

#define KEY_ASK_NS (500 * NS_PER_MS)

static const char *const state_names[STREAM_STATE_N] = {"idle", "preparing", "live", "lost"};

static const unsigned legal_next[] = {
    [STREAM_IDLE] = 1U << STREAM_PREPARING,
    [STREAM_PREPARING] = 1U << STREAM_PREPARING | 1U << STREAM_LIVE | 1U << STREAM_LOST,
    [STREAM_LIVE] = 1U << STREAM_PREPARING | 1U << STREAM_LOST,
    [STREAM_LOST] = 1U << STREAM_PREPARING | 1U << STREAM_IDLE,
};
_Static_assert(ARRAY_LEN(legal_next) == STREAM_STATE_N, "a row for each state");

static void set_state(struct stream *s, enum stream_state state, const char *reason)
{
    assert(legal_next[s->state] & (1U << state));
    log_debug("%s: %s -> %s (%s)", s->path, state_names[s->state], state_names[state], reason);
    s->state = state;
    snprintf(s->reason, sizeof(s->reason), "%s", reason);
    if (state != STREAM_PREPARING && s->ready_wait) {
        loop_timer_stop(s->ready_wait);
    }
    if ((state == STREAM_PREPARING || state == STREAM_LIVE) && s->window) {
        loop_timer_stop(s->window);
    }
}

/* ---- the view ---- */

void view_copy(struct view *to, const struct view *from)
{
    *to = *from;
    for (unsigned i = 0; i < to->n_tracks; i++) {
        if (to->params[i]) {
            track_params_ref(to->params[i]);
        }
    }
}

void view_done(struct view *v)
{
    for (unsigned i = 0; i < v->n_tracks; i++) {
        track_params_unref(&v->params[i]);
    }
    v->n_tracks = 0;
}

static void fill_state(const struct stream *s, struct view *v)
{
    const char *reason = s->reason;
    switch (s->state) {
    case STREAM_IDLE:
        v->absent = !s->next && !demand_expects(s);
        v->state = s->published && v->absent ? READER_ENDED : READER_WAITING;
        reason = s->next             ? "the publisher has sent no key frame yet"
                 : demand_expects(s) ? "it is being made"
                                     : reason;
        break;
    case STREAM_PREPARING:
    case STREAM_LOST:
        v->state = READER_WAITING;
        break;
    case STREAM_LIVE:
        v->state = READER_LIVE;
        break;
    case STREAM_STATE_N:
        break;
    }
    v->refused = s->on_demand.refused;
    snprintf(v->reason, sizeof(v->reason), "%s", v->refused ? s->on_demand.why : reason);
}

void stream_update_view(struct stream *s)
{
    const struct view *old = &s->replica.view;
    struct view v = {.n_tracks = s->n_tracks, .version = old->version + 1};
    fill_state(s, &v);
    for (unsigned i = 0; i < s->n_tracks; i++) {
        v.params[i] = s->tracks[i].params;
        v.video_mask |= s->tracks[i].kind == TRACK_VIDEO ? 1U << i : 0;
    }
    bool same_tracks = v.n_tracks == old->n_tracks && v.video_mask == old->video_mask;
    v.tracks_version = old->tracks_version + !same_tracks;
    if (same_tracks && v.state == old->state && v.absent == old->absent &&
        v.refused == old->refused && strcmp(v.reason, old->reason) == 0 &&
        memcmp(v.params, old->params, sizeof(v.params)) == 0) {
        return;
    }
    stream_show_view(s, &v);
}

/* ---- transitions ---- */

static void reset_contract(struct stream *s)
{
    for (unsigned i = 0; i < TRACKS_MAX; i++) {
        track_params_unref(&s->tracks[i].params);
        s->tracks[i] = (struct stream_track){0};
    }
    s->n_tracks = 0;
    stamp_forget_tracks(&s->stamp);
}

static bool tracks_known(const struct stream *s, bool all)
{
    unsigned known = 0;
    for (unsigned i = 0; i < s->n_tracks; i++) {
        known += s->tracks[i].params != NULL;
    }
    return all ? known == s->n_tracks : known > 0;
}

static void become_live(struct stream *s)
{
    set_state(s, STREAM_LIVE, "live");
    stream_update_view(s);
    engine_emit(s->e, STREAM_EVENT_READY, s->path, s->air->session, NULL);
}

static void on_ready_wait(void *user)
{
    struct stream *s = user;
    if (tracks_known(s, false)) {
        become_live(s);
    } else {
        loop_timer_start(s->ready_wait, s->ready_after_ms);
    }
}

void stream_check_ready(struct stream *s)
{
    if (s->state == STREAM_PREPARING && s->n_tracks > 0 && tracks_known(s, true)) {
        become_live(s);
    }
}

void stream_on_air(struct stream *s, bool reset)
{
    if (s->state == STREAM_IDLE || reset) {
        reset_contract(s);
        stream_clear_history(s);
    }
    s->published = true;
    s->seen_video = 0;
    s->lead_video = 0;
    s->since_wall_ns = clock_wall_ns();
    stamp_break(&s->stamp);
    set_state(s, STREAM_PREPARING, "waiting for the parameters of all tracks");
    if (!s->ready_wait) {
        s->ready_wait = loop_timer_new(s->home->loop, on_ready_wait, s);
    }
    loop_timer_start(s->ready_wait, s->ready_after_ms);
    log_info("%s: %s is on air", s->path, s->air->session);
    engine_emit(s->e, STREAM_EVENT_PUBLISHED, s->path, s->air->session, NULL);
}

/* LOST: the continuity window is over. IDLE: late readers have had time to read the end. */
static void on_window(void *user)
{
    struct stream *s = user;
    if (s->state == STREAM_LOST) {
        stream_ended(s, s->reason);
    } else {
        stream_clear_history(s);
    }
    stream_settle(s);
}

static void start_window(struct stream *s, uint64_t ms)
{
    if (!s->window) {
        s->window = loop_timer_new(s->home->loop, on_window, s);
    }
    loop_timer_start(s->window, ms);
}

void stream_air_lost(struct stream *s, const char *why)
{
    char session[32];
    snprintf(session, sizeof(session), "%s", s->air->session);
    s->air = NULL;
    set_state(s, STREAM_LOST, why);
    engine_emit(s->e, STREAM_EVENT_LOST, s->path, session, why);
    if (s->continuity_ms == 0 || demand_is_over(s)) {
        stream_ended(s, why);
        return;
    }
    stream_update_view(s);
    start_window(s, s->continuity_ms);
}

void stream_ended(struct stream *s, const char *why)
{
    char reason[sizeof(s->reason)];
    snprintf(reason, sizeof(reason), "%s", why); /* may be s->reason itself */
    set_state(s, STREAM_IDLE, reason);
    log_info("%s: ended (%s)", s->path, reason);
    engine_emit(s->e, STREAM_EVENT_ENDED, s->path, NULL, reason);
    stream_update_view(s);
    reset_contract(s);
    start_window(s, (uint64_t)(s->limits.slack_ns / NS_PER_MS));
}

/* ---- demand ---- */

uint32_t stream_readers(const struct stream *s)
{
    uint32_t n = s->replica.n_readers;
    for (unsigned i = 0; i < s->e->n_loops; i++) {
        n += s->subs[i].on ? s->subs[i].readers : 0;
    }
    return n;
}

static form_mask wanted_forms(const struct stream *s)
{
    form_mask forms = 0;
    for (unsigned f = 0; f < FORM_N; f++) {
        forms |= s->replica.form_readers[f] > 0 ? FORM_BIT(f) : 0;
    }
    for (unsigned i = 0; i < s->e->n_loops; i++) {
        forms |= s->subs[i].on ? s->subs[i].forms : 0;
    }
    return forms;
}

void stream_demand_changed(struct stream *s, bool key_wanted)
{
    int64_t now = engine_now_ns(s->home);
    s->demand = wanted_forms(s);
    if (key_wanted && s->air && (s->key_asked_ns == 0 || now - s->key_asked_ns > KEY_ASK_NS)) {
        s->key_asked_ns = now;
        feed_want_key(s->air);
    }
    demand_changed(s);
}

/* ---- birth and death ---- */

void stream_home_init(struct stream *s)
{
    list_init(&s->bucket);
    list_append(&s->home->streams, &s->node);
    replica_init(&s->replica, s, s->home, REPLICA_OPEN);
    s->replicas[s->home->index] = &s->replica;
    stamp_init(&s->stamp, (uint64_t)(clock_wall_ns() / NS_PER_MS));
    /* No group is "the newest" before the first: the first one starts history. */
    ring_reset(&s->replica.ring, 0, s->stamp.group);
    snprintf(s->reason, sizeof(s->reason), "nobody publishes this stream");
    demand_init(s);
    s->replica.view =
        (struct view){.state = READER_WAITING, .absent = !demand_expects(s), .version = 1};
    snprintf(s->replica.view.reason, sizeof(s->replica.view.reason), "%s", s->reason);
}

void stream_home_done(struct stream *s)
{
    assert(!s->air && !s->next);
    demand_done(s);
    s->window = loop_timer_free(s->window);
    s->ready_wait = loop_timer_free(s->ready_wait);
    list_remove(&s->node);
    for (unsigned i = 0; i < TRACKS_MAX; i++) {
        track_params_unref(&s->tracks[i].params);
    }
    replica_done(&s->replica);
}
