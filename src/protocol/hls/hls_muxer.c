/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The muxer of one stream. It is alive in three ways: read (there is a lease, or requests wait), idle (it only remembers
 * its numbers, so that a stream that is watched again goes on with higher ones), and gone.
 */
#include "base/clock.h"
#include "base/gzip.h"
#include "base/log.h"
#include "protocol/hls/hls_private.h"

#include <errno.h>
#include <stdio.h>

LOG_TOPIC(topic, "hls");

#define TICK_MS        1000
#define LEASE_TARGETS  3
#define WAIT_TARGETS   3 /* RFC 8216bis 6.2.5.2: 503 after three target durations */
#define WAIT_LEAST_NS  (6 * NS_PER_S)
#define REMEMBER_NS    (600 * NS_PER_S)
#define PUSH_BATCH     64
#define FILE_MAX_AGE_S 86400
#define PACK_LEAST     600 /* bytes; what is shorter is one packet in any case */
#define REPLY_MAX_AGE_S                                                                            \
    6 /* of a playlist that was asked for by its number: the same for everybody */

static int64_t targets_ns(const struct hls_muxer *m, unsigned n)
{
    return MAX(n * (int64_t)m->mux.target_s * NS_PER_S, WAIT_LEAST_NS);
}

/* ---- answers ---- */

static bool answer_error(struct hls_request *q, int status, const char *text)
{
    q->status = status;
    error_set(&q->err, -ENOENT, "", "%s", text);
    return true;
}

static bool answer_text(struct hls_request *q, struct buf *text, unsigned max_age_s)
{
    q->status = 200;
    q->max_age_s = max_age_s;
    hls_request_add_piece(q, text);
    return true;
}

static bool answer_master(struct hls_muxer *m, struct hls_request *q)
{
    if (!hls_is_ready(&m->mux, m->announced)) {
        return m->absent && answer_error(q, 404, "nobody publishes here");
    }
    _cleanup_(out_done) struct out o = {0};
    hls_put_master(&o, &m->mux, q->query);
    _cleanup_buf_ struct buf *text = buf_copy(out_view(&o));
    return answer_text(q, text, 0);
}

static void drop_entry(struct hls_cached *c)
{
    buf_unref(&c->text);
    buf_unref(&c->packed);
    c->version = 0;
}

/*
 * Playlists without a query in their URIs are the same for all: thousands wait for one part, so they are written and packed
 * once. The others hold credentials, and are not packed for that reason as well (base/gzip.h).
 */
static struct buf *playlist_text(struct hls_muxer *m, struct hls_request *q)
{
    const struct hls_directives *d = &q->directives;
    enum hls_view view = d->plain ? HLS_VIEW_PLAIN : d->skip ? HLS_VIEW_DELTA : HLS_VIEW_FULL;
    struct hls_cached *c = &m->cache[q->name.track][view];
    bool shared = q->query[0] == '\0';
    if (!shared || c->version != m->mux.version + 1) {
        _cleanup_(out_done) struct out o = {0};
        hls_put_playlist(&o, &m->mux, q->name.track, d, q->query);
        struct buf *text = buf_copy(out_view(&o));
        if (!shared) {
            return text;
        }
        drop_entry(c);
        c->text = text;
        c->version = m->mux.version + 1;
    }
    if (q->takes_gzip && c->text->len >= PACK_LEAST && !c->packed) {
        c->packed = gzip_make(buf_view(c->text));
    }
    q->packed = q->takes_gzip && c->packed;
    return buf_ref(q->packed ? c->packed : c->text);
}

static bool answer_playlist(struct hls_muxer *m, struct hls_request *q)
{
    const struct track_params *p = m->mux.tracks[q->name.track].params;
    if (m->absent || (p && p->kind != q->name.media)) {
        return answer_error(q, 404, m->absent ? "nobody publishes here" : "no such track");
    }
    switch (hls_check_reload(&m->mux, q->name.track, &q->directives)) {
    case HLS_WAIT:
        return !p && hls_is_ready(&m->mux, m->announced) && answer_error(q, 404, "no such track");
    case HLS_TOO_FAR:
        return answer_error(q, 400, "_HLS_msn and _HLS_part are too far ahead of the stream");
    case HLS_NOW:
        break;
    }
    _cleanup_buf_ struct buf *text = playlist_text(m, q);
    return answer_text(q, text, q->directives.has_msn ? REPLY_MAX_AGE_S : 0);
}

static void add_chunk(void *user, struct buf *chunk)
{
    hls_request_add_piece(user, chunk);
}

static bool answer_file(struct hls_muxer *m, struct hls_request *q)
{
    switch (hls_find(&m->mux, &q->name, add_chunk, q)) {
    case HLS_COMING:
        return !m->reader && answer_error(q, 404, "the stream is not being read");
    case HLS_ABSENT:
        return answer_error(q, 404, "no longer kept, or not there yet");
    case HLS_FOUND:
        break;
    }
    q->status = 200;
    q->max_age_s = FILE_MAX_AGE_S;
    return true;
}

/* True when q has its answer. A playlist of an ended stream waits until it is known whether the publisher is back. */
static bool try_answer(struct hls_muxer *m, struct hls_request *q)
{
    bool is_playlist = q->name.kind == HLS_MASTER || q->name.kind == HLS_PLAYLIST;
    if (m->opening && is_playlist) {
        return false;
    }
    switch (q->name.kind) {
    case HLS_MASTER:
        return answer_master(m, q);
    case HLS_PLAYLIST:
        return answer_playlist(m, q);
    case HLS_INIT:
    case HLS_SEGMENT:
    case HLS_PART:
        break;
    }
    return answer_file(m, q);
}

static void finish(struct hls_muxer *m, struct hls_request *q)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < q->n_pieces; i++) {
        bytes += q->pieces[i]->len;
    }
    if (m->reader && bytes > 0) {
        reader_count_sent(m->reader, bytes);
    }
    hls_request_return(q);
}

static void finish_waiting(struct hls_muxer *m, struct hls_request *q)
{
    list_remove(&q->node);
    m->n_waiting--;
    atomic_fetch_sub_explicit(&m->server->waiting, 1, memory_order_relaxed);
    finish(m, q);
}

static void try_waiting(struct hls_muxer *m)
{
    LIST_FOREACH_SAFE (it, &m->waiting) {
        struct hls_request *q = LIST_ENTRY(it, struct hls_request, node);
        if (try_answer(m, q)) {
            finish_waiting(m, q);
        }
    }
    m->seen_version = m->mux.version;
}

static void give_up_waiting(struct hls_muxer *m, int64_t before_ns, const char *text)
{
    LIST_FOREACH_SAFE (it, &m->waiting) {
        struct hls_request *q = LIST_ENTRY(it, struct hls_request, node);
        if (q->deadline_ns <= before_ns) {
            answer_error(q, 503, text);
            finish_waiting(m, q);
        }
    }
}

/* ---- the reader ---- */

static void close_reader(struct hls_muxer *m)
{
    if (m->reader) {
        m->reader = reader_close(m->reader);
        atomic_fetch_sub_explicit(&m->server->streams, 1, memory_order_relaxed);
    }
}

static void on_state(void *user, enum reader_state state, const char *reason)
{
    struct hls_muxer *m = user;
    const struct track_params *tracks[TRACKS_MAX];
    unsigned n = reader_tracks(m->reader, tracks);
    m->opening &= state == READER_LIVE; /* then samples follow */
    switch (state) {
    case READER_WAITING:
        try_waiting(m);
        break;
    case READER_LIVE:
        m->announced = 0;
        for (unsigned i = 0; i < n; i++) {
            m->announced |= tracks[i] ? 1u << i : 0;
        }
        break;
    case READER_ENDED:
        hls_mux_end(&m->mux);
        try_waiting(m);
        break;
    case READER_STATE_N:
        break;
    }
}

static void on_samples(void *user)
{
    struct hls_muxer *m = user;
    int64_t wall_minus_mono = clock_wall_ns() - clock_mono_ns();
    unsigned n;
    bool opened = m->opening;
    m->opening = false;
    do {
        struct sample *s;
        for (n = 0; n < PUSH_BATCH && (s = reader_peek(m->reader, n)); n++) {
            hls_mux_push(&m->mux, s, sample_form(s, FORM_CMAF), wall_minus_mono);
        }
        reader_advance(m->reader, n);
    } while (n > 0);
    hls_mux_settle(&m->mux, m->announced);
    if (opened || m->mux.version != m->seen_version) {
        try_waiting(m);
    }
}

static void on_close(void *user, int r, const char *why)
{
    struct hls_muxer *m = user;
    log_debug("%s: no longer read: %s", m->path, why);
    close_reader(m);
    m->opening = false;
    if (r == -ENOENT) {
        m->absent = m->mux.n_segments == 0;
        hls_mux_end(&m->mux);
        try_waiting(m);
    }
    give_up_waiting(m, INT64_MAX, r == -ENOENT ? "the stream is no longer read" : why);
}

static const struct reader_ops reader_ops = {
    .on_state = on_state,
    .on_samples = on_samples,
    .on_close = on_close,
};

static void open_reader(struct hls_muxer *m)
{
    m->absent = false;
    m->opening = true;
    m->reader = reader_open(m->server->engine, m->loop,
                            &(struct reader_info){
                                .path = m->path,
                                .protocol = "hls",
                                .replay = REPLAY_LONG,
                                .forms = FORM_BIT(FORM_CMAF),
                            },
                            &reader_ops, m);
    atomic_fetch_add_explicit(&m->server->streams, 1, memory_order_relaxed);
}

/* ---- leases ---- */

/* Who asked within the lease. Nobody says good-bye in HLS, and one address may be many, so this is an estimate. */
static void count_peers(struct hls_muxer *m, int64_t now)
{
    int64_t since_ms = (now - targets_ns(m, LEASE_TARGETS)) / NS_PER_MS;
    uint64_t gone[256];
    unsigned n = 0;
    MAP_FOREACH (slot, &m->peers) {
        if ((intptr_t)slot->value < since_ms && n < ARRAY_LEN(gone)) {
            gone[n++] = slot->num;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        map_remove_u64(&m->peers, gone[i]);
    }
    /* Unsigned wrap-around adds the difference also when it is negative. */
    atomic_fetch_add_explicit(&m->server->readers, m->peers.len - m->counted, memory_order_relaxed);
    m->counted = m->peers.len;
}

static void drop_cache(struct hls_muxer *m)
{
    for (unsigned t = 0; t < TRACKS_MAX; t++) {
        for (unsigned v = 0; v < HLS_VIEW_N; v++) {
            drop_entry(&m->cache[t][v]);
        }
    }
}

static void go_idle(struct hls_muxer *m)
{
    if (m->reader || m->mux.n_segments > 0) {
        log_debug("%s: nobody asks any more", m->path);
    }
    close_reader(m);
    hls_mux_reset(&m->mux);
    drop_cache(m);
}

static void free_muxer(struct hls_muxer *m)
{
    hls_muxer_close(m);
    free(m);
}

static void on_tick(void *user)
{
    struct hls_muxer *m = user;
    int64_t now = loop_now_ns(m->loop);
    int64_t unused = now - m->used_ns;
    give_up_waiting(m, now, "nothing new came in time");
    count_peers(m, now);
    if (m->n_waiting == 0 && unused > targets_ns(m, LEASE_TARGETS)) {
        go_idle(m);
        bool forgettable = m->mux.next_msn == 0 || unused > REMEMBER_NS;
        if (forgettable && m->peers.len == 0 && hls_server_forget(m->server, m)) {
            free_muxer(m);
            return;
        }
    }
    loop_timer_start(m->tick, TICK_MS);
}

/* ---- requests ---- */

void hls_muxer_take(struct hls_muxer *m, struct hls_request *q)
{
    bool is_file = q->name.kind != HLS_MASTER && q->name.kind != HLS_PLAYLIST;
    int64_t now = loop_now_ns(m->loop);
    m->used_ns = now;
    if (m->peers.len < HLS_PEERS_MAX) {
        map_set_u64(&m->peers, q->agent, (void *)(intptr_t)(now / NS_PER_MS));
    }
    if (!m->reader && !is_file) {
        open_reader(m);
    }
    q->deadline_ns = now + targets_ns(m, WAIT_TARGETS);
    if (try_answer(m, q)) {
        finish(m, q);
    } else if (m->n_waiting == HLS_WAITING_MAX) {
        answer_error(q, 503, "too many requests wait for this stream");
        finish(m, q);
    } else {
        list_append(&m->waiting, &q->node);
        m->n_waiting++;
        atomic_fetch_add_explicit(&m->server->waiting, 1, memory_order_relaxed);
    }
}

struct hls_muxer *hls_muxer_new(struct hls_server *s, struct loop *l, const char *path)
{
    struct hls_muxer *m = mem_new(struct hls_muxer);
    m->server = s;
    m->loop = l;
    m->used_ns = loop_now_ns(l);
    snprintf(m->path, sizeof(m->path), "%s", path);
    hls_mux_init(&m->mux, &s->limits);
    list_init(&m->waiting);
    m->tick = loop_timer_new(l, on_tick, m);
    loop_timer_start(m->tick, TICK_MS);
    return m;
}

void hls_muxer_close(struct hls_muxer *m)
{
    give_up_waiting(m, INT64_MAX, "the server ends");
    close_reader(m);
    hls_mux_done(&m->mux);
    drop_cache(m);
    map_done(&m->peers);
    atomic_fetch_sub_explicit(&m->server->readers, m->counted, memory_order_relaxed);
    m->tick = loop_timer_free(m->tick);
}
