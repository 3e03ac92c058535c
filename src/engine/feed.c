/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A publisher as its stream's home loop sees it: admission, the contract, going on air, and the path of each sample from the
 * publisher's batch to the stamped samples that are distributed.
 *
 * A publisher is admitted (on_open) at once but goes on air with its first key frame: until then readers keep what they have,
 * and nobody is ever shown half a picture. That is how a takeover, a return and a first publish are one case.
 */
#include "base/clock.h"
#include "base/log.h"
#include "engine/internal.h"

#include <errno.h>
#include <stdio.h>

LOG_TOPIC(topic, "engine.feed");

/* A publisher that announces video and sends none goes on air with its sound after this long. */
#define KEY_WAIT_NS (5 * NS_PER_S)
#define RUN_MAX     64

/* Stamped samples that are not distributed yet. */
struct run {
    unsigned n;
    struct sample *samples[RUN_MAX];
};

static void run_flush(struct stream *s, struct run *run)
{
    if (run->n > 0) {
        stream_distribute(s, run->samples, run->n);
        run->n = 0;
    }
}

static void drop_sample(struct feed *f, struct sample **sample)
{
    f->dropped++;
    HOT_ADD(f->stream->home, samples_dropped, 1);
    sample_unref(sample);
}

static void feed_close(struct feed *f, int r, const char *why)
{
    struct stream *s = f->stream;
    enum feed_state was = f->state;
    f->state = FEED_DEAD;
    if (s->next == f) {
        s->next = NULL;
    }
    if (was == FEED_NEW || was == FEED_PENDING) {
        COUNT_ADD(s->e, refused, 1);
    }
    log_info("%s: publisher %s is closed: %s", s->path, f->session, why);
    publisher_post_news(s->e, f->publisher, PUBLISHER_CLOSED, r, why);
    if (s->air == f) {
        stream_air_lost(s, why);
    }
}

void feed_want_key(struct feed *f)
{
    if (f->wants_keys) {
        publisher_post_news(f->stream->e, f->publisher, PUBLISHER_KEY_WANTED, 0, NULL);
    }
}

static void handle_open(struct feed *f)
{
    struct stream *s = f->stream;
    if ((s->air || s->next) && s->policy == PUBLISH_REFUSE) {
        feed_close(f, -EBUSY, "another publisher is on air");
        return;
    }
    if (s->next) {
        feed_close(s->next, -ECONNABORTED, "another publisher took over");
    }
    s->next = f;
    f->state = FEED_PENDING;
    COUNT_ADD(s->e, publishes, 1);
    publisher_post_news(s->e, f->publisher, PUBLISHER_OPENED, 0, NULL);
    stream_update_view(s);
}

/* ---- the contract ---- */

/* The stream's track that is the n-th of this kind; s->n_tracks when there is none. */
static unsigned find_track(const struct stream *s, enum track_kind kind, unsigned n)
{
    unsigned i = 0;
    for (; i < s->n_tracks; i++) {
        if (s->tracks[i].kind == kind && n-- == 0) {
            break;
        }
    }
    return i;
}

static unsigned rank_of(const struct feed *f, unsigned track)
{
    unsigned n = 0;
    for (unsigned i = 0; i < track; i++) {
        n += codec_kind(f->tracks[i].codec) == codec_kind(f->tracks[track].codec);
    }
    return n;
}

/* Tracks meet by kind and rank, so that a publisher may announce sound first or leave a track out. */
static int check_contract(const struct feed *f, struct error *err)
{
    const struct stream *s = f->stream;
    for (unsigned i = 0; i < f->n_tracks; i++) {
        unsigned to = find_track(s, codec_kind(f->tracks[i].codec), rank_of(f, i));
        if (to < s->n_tracks && s->tracks[to].codec != f->tracks[i].codec) {
            return error_set(err, -ENOTSUP, s->path, "the stream is %s, the publisher sends %s",
                             codec_to_str(s->tracks[to].codec), codec_to_str(f->tracks[i].codec));
        }
    }
    return 0;
}

/* An ended stream's contract is gone; one that merely waits keeps it for its readers, if there are any. */
static bool contract_stands(const struct stream *s)
{
    return s->air || (s->state == STREAM_LOST && stream_readers(s) > 0);
}

static void set_params(struct stream *s, unsigned to, struct track_params *params)
{
    struct stream_track *t = &s->tracks[to];
    if (params && params != t->params) {
        track_params_unref(&t->params);
        t->params = track_params_ref(params);
    }
}

/* On air: the stream takes over what the feed announces; new tracks are appended. */
static void apply_tracks(struct feed *f)
{
    struct stream *s = f->stream;
    for (unsigned i = 0; i < f->n_tracks; i++) {
        enum track_kind kind = codec_kind(f->tracks[i].codec);
        unsigned to = find_track(s, kind, rank_of(f, i));
        f->tracks[i].to = (uint8_t)to;
        if (to == TRACKS_MAX) {
            continue;
        }
        if (to == s->n_tracks) {
            s->tracks[to] = (struct stream_track){.codec = f->tracks[i].codec, .kind = kind};
            s->n_tracks++;
        }
        set_params(s, to, f->tracks[i].params);
    }
    stream_update_view(s);
}

static void handle_tracks(struct feed *f, struct feed_tracks *ft)
{
    struct error err = {0};
    if (f->state != FEED_PENDING && f->state != FEED_ON_AIR) {
        return;
    }
    for (unsigned i = 0; i < MAX(ft->n, f->n_tracks); i++) {
        struct track_params *params = i < ft->n ? TAKE_PTR(ft->tracks[i].params) : NULL;
        bool keep =
            i < ft->n && i < f->n_tracks && f->tracks[i].codec == ft->tracks[i].codec && !params;
        if (!keep) {
            track_params_unref(&f->tracks[i].params);
            f->tracks[i].params = params;
        }
        f->tracks[i].codec = i < ft->n ? ft->tracks[i].codec : f->tracks[i].codec;
    }
    f->n_tracks = ft->n;
    int r = contract_stands(f->stream) ? check_contract(f, &err) : 0;
    if (r < 0) {
        feed_close(f, r, err.text);
    } else if (f->state == FEED_ON_AIR) {
        apply_tracks(f);
    }
}

static void tracks_free(struct feed_tracks *ft)
{
    for (unsigned i = 0; i < ft->n; i++) {
        track_params_unref(&ft->tracks[i].params);
    }
    free(ft);
}

/* ---- going on air ---- */

static bool has_video(const struct feed *f)
{
    for (unsigned i = 0; i < f->n_tracks; i++) {
        if (codec_kind(f->tracks[i].codec) == TRACK_VIDEO) {
            return true;
        }
    }
    return false;
}

static bool may_start(struct feed *f, const struct sample *sample, int64_t now)
{
    if (sample->track >= f->n_tracks) {
        return false;
    }
    if (!has_video(f)) {
        return true;
    }
    bool is_video = codec_kind(f->tracks[sample->track].codec) == TRACK_VIDEO;
    if (is_video && (sample->flags & SAMPLE_KEY)) {
        return true;
    }
    if (f->first_ns == 0) {
        f->first_ns = MAX(now, (int64_t)1);
        if (is_video) {
            feed_want_key(f);
        }
    }
    return !is_video && now - f->first_ns > KEY_WAIT_NS;
}

static int go_on_air(struct feed *f, struct run *run)
{
    struct stream *s = f->stream;
    struct error err = {0};
    int r = contract_stands(s) ? check_contract(f, &err) : 0;
    if (r < 0) {
        feed_close(f, r, err.text);
        return r;
    }
    run_flush(s, run);
    struct feed *old = s->air;
    s->next = NULL;
    s->air = f;
    f->state = FEED_ON_AIR;
    if (old) {
        feed_close(old, -ECONNABORTED, "another publisher took over");
    }
    stream_on_air(s, check_contract(f, NULL) < 0);
    s->stamp.keep = f->derived;
    apply_tracks(f);
    return 0;
}

/* ---- samples ---- */

/* New parameters travel with the samples that need them. Returns -ENOTSUP when they are of another codec. */
static int follow_params(struct feed *f, struct sample *sample, struct run *run)
{
    unsigned i = sample->track;
    if (!sample->params) {
        sample->params = f->tracks[i].params ? track_params_ref(f->tracks[i].params) : NULL;
        return 0;
    }
    if (sample->params == f->tracks[i].params) {
        return 0;
    }
    run_flush(f->stream, run);
    if (sample->params->codec != f->tracks[i].codec) {
        feed_close(f, -ENOTSUP, "the codec changed");
        return -ENOTSUP;
    }
    track_params_unref(&f->tracks[i].params);
    f->tracks[i].params = track_params_ref(sample->params);
    set_params(f->stream, f->tracks[i].to, sample->params);
    stream_update_view(f->stream);
    return 0;
}

/*
 * A video track begins with a key frame, also one that comes on air after the others. The leading pictures of that key frame
 * need what the publisher sent before, which nobody has.
 */
static bool video_may_pass(struct stream *s, const struct sample *sample)
{
    uint32_t bit = 1U << sample->track;
    if (s->tracks[sample->track].kind != TRACK_VIDEO) {
        return true;
    }
    if (sample->flags & SAMPLE_KEY) {
        s->lead_video = s->seen_video & bit ? s->lead_video & ~bit : s->lead_video | bit;
        s->seen_video |= bit;
        return true;
    }
    return (s->seen_video & bit) && !((sample->flags & SAMPLE_LEADING) && (s->lead_video & bit));
}

/* The video track whose key frames begin groups; TRACKS_MAX without video. */
static unsigned leading_track(const struct stream *s)
{
    return s->seen_video ? (unsigned)__builtin_ctz(s->seen_video) : TRACKS_MAX;
}

static void count_sample(struct stream *s, const struct sample *sample, int64_t now)
{
    struct stream_track *t = &s->tracks[sample->track];
    uint32_t len = sample->payload ? sample->payload->len : 0;
    t->samples++;
    t->bytes += len;
    t->window_bytes += len;
    s->bytes_in += len;
    pulse_bytes(&s->pulse, now, len);
    if (t->kind == TRACK_VIDEO && sample->track == leading_track(s)) {
        pulse_picture(&s->pulse, sample);
    }
    if (now - t->window_ns >= 2 * NS_PER_S) {
        int64_t ms = (now - t->window_ns) / NS_PER_MS;
        t->bitrate_bps = (uint32_t)MIN(t->window_bytes * 8000 / (uint64_t)ms, (uint64_t)UINT32_MAX);
        t->window_bytes = 0;
        t->window_ns = now;
    }
    HOT_ADD(s->home, samples_in, 1);
    HOT_ADD(s->home, bytes_in, len);
}

static bool stamp(struct stream *s, struct sample *sample, int64_t now)
{
    unsigned leader = leading_track(s);
    enum stamp_grouping grouping = leader < TRACKS_MAX ? STAMP_GROUP_KEYS : STAMP_GROUP_SECONDS;
    if (sample->arrival_ns == 0) {
        sample->arrival_ns = now + s->e->start_ns;
    }
    return stamp_sample(&s->stamp, sample, grouping, leader, sample->arrival_ns - s->e->start_ns);
}

static void make_forms(struct stream *s, struct sample *sample)
{
    for (enum form f = 0; s->demand >> f; f++) {
        if (s->demand & FORM_BIT(f)) {
            sample_form(sample, f);
        }
    }
}

static void handle_sample(struct feed *f, struct sample **ps, struct run *run)
{
    struct stream *s = f->stream;
    struct sample *sample = *ps;
    int64_t now = engine_now_ns(s->home);
    if (f->state == FEED_PENDING && may_start(f, sample, now)) {
        go_on_air(f, run);
    }
    if (f->state != FEED_ON_AIR || sample->track >= f->n_tracks ||
        f->tracks[sample->track].to >= TRACKS_MAX || follow_params(f, sample, run) < 0 ||
        !sample->params) {
        drop_sample(f, ps);
        return;
    }
    sample->track = f->tracks[sample->track].to;
    if (!video_may_pass(s, sample) || !stamp(s, sample, now)) {
        drop_sample(f, ps);
        return;
    }
    make_forms(s, sample);
    count_sample(s, sample, now);
    f->samples++;
    f->bytes += sample->payload ? sample->payload->len : 0;
    run->samples[run->n++] = TAKE_PTR(*ps);
    if (run->n == RUN_MAX) {
        run_flush(s, run);
    }
}

/* The publisher is gone; nothing of it comes after this. */
static void handle_close(struct feed *f)
{
    struct stream *s = f->stream;
    if (s->next == f) {
        s->next = NULL;
        stream_update_view(s);
    }
    if (s->air == f) {
        stream_air_lost(s, "the publisher left");
    }
    for (unsigned i = 0; i < TRACKS_MAX; i++) {
        track_params_unref(&f->tracks[i].params);
    }
    free(f);
    stream_put(s);
}

void feed_handle(struct feed_msg *m)
{
    struct feed *f = m->feed;
    struct stream *s = f->stream;
    struct run run = {.n = 0};
    for (unsigned i = 0; i < m->n; i++) {
        struct feed_item *item = &m->items[i];
        switch (item->kind) {
        case FEED_ITEM_OPEN:
            handle_open(f);
            break;
        case FEED_ITEM_TRACKS:
            run_flush(s, &run);
            handle_tracks(f, item->tracks);
            tracks_free(item->tracks);
            break;
        case FEED_ITEM_SAMPLE:
            handle_sample(f, &item->sample, &run);
            break;
        case FEED_ITEM_BREAK:
            if (s->air == f) {
                stamp_break(&s->stamp);
            }
            break;
        case FEED_ITEM_CLOSE:
            run_flush(s, &run);
            handle_close(f); /* s lives on: freeing it takes a message */
            break;
        }
    }
    m->n = 0;
    run_flush(s, &run);
    /* After the samples, so that those who learn that the stream is live find its key frame. */
    stream_check_ready(s);
    engine_adapt_history(s->e, engine_now_ns(s->home));
}

void feed_deliver(struct loop *l, struct loop_msg *msg)
{
    struct feed_msg *m = CONTAINER_OF(msg, struct feed_msg, msg);
    feed_handle(m);
    free(m->items);
    free(m);
}
