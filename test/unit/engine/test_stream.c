/* SPDX-License-Identifier: Apache-2.0 */
/* Streams and their publishers, on one loop. */
#include "rig.h"

static void test_a_reader_gets_every_sample_from_the_key_frame(void **state)
{
    struct rig *f = rig_new(NULL);
    source_open(&f->src, f->e, f->l, "live/a");
    settle(f->l);
    assert_int_equal(f->src.opens, 1);
    source_frames(&f->src, f->l, 15);
    viewer_open(&f->v[0], f->e, f->l, "live/a", REPLAY_EXACT);
    settle(f->l);
    /* The group of frame 10: five pictures and their audio. */
    assert_string_equal(f->v[0].states, "l");
    assert_int_equal(f->v[0].n, 10);
    assert_true(f->v[0].seen[0].flags & SAMPLE_KEY);
    source_frames(&f->src, f->l, 20);
    assert_int_equal(f->v[0].n, 50);
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(f->v[0].seen[i].seq, f->v[0].seen[0].seq + i);
        assert_int_equal(f->v[0].seen[i].track, i % 2);
    }
    assert_int_equal(f->v[0].seen[20].group, f->v[0].seen[0].group + 1);
    rig_free(f);
}

static void test_drop_and_return_keeps_readers(void **state)
{
    struct rig *f = rig_new(NULL);
    struct viewer *v = &f->v[0];
    viewer_open(v, f->e, f->l, "live/a", REPLAY_EXACT);
    settle(f->l);
    assert_string_equal(v->states, "w");
    assert_string_equal(v->reason, "nobody publishes this stream");
    source_open(&f->src, f->e, f->l, "live/a");
    source_frames(&f->src, f->l, 12);
    assert_string_equal(v->states, "wl");
    assert_int_equal(v->n, 24);
    assert_int_equal(v->seen[0].epoch, 1);

    f->src.p = publisher_close(f->src.p);
    settle(f->l);
    assert_string_equal(v->states, "wlw");
    assert_string_equal(v->reason, "the publisher left");

    /* The new one begins in the middle of a group, and with its sound first: nothing is shown before its key frame. */
    source_open(&f->other, f->e, f->l, "live/a");
    f->other.frame = 7;
    f->other.base_ns = 50 * NS_PER_S;
    source_frames(&f->other, f->l, 3);
    assert_int_equal(v->n, 24);
    source_frames(&f->other, f->l, 5);
    assert_string_equal(v->states, "wlwl");
    assert_int_equal(v->n, 34);
    const struct seen *last = &v->seen[23];
    const struct seen *next = &v->seen[24];
    assert_true(next->flags & SAMPLE_KEY);
    assert_true(next->flags & SAMPLE_DISCONTINUITY);
    assert_true(v->seen[25].flags & SAMPLE_DISCONTINUITY);
    assert_false(v->seen[26].flags & SAMPLE_DISCONTINUITY);
    assert_int_equal(next->epoch, 2);
    assert_int_equal(next->group, last->group + 1);
    assert_true(next->dts > last->dts);
    assert_true(next->dts - last->dts < 40 * NS_PER_S);
    assert_string_equal(f->events, "jPRLPR");
    rig_free(f);
}

static void test_after_the_window_the_stream_ends_and_may_begin_anew(void **state)
{
    struct rig *f = rig_new(&(struct engine_config){.continuity_ms = 20, .history_slack_ms = 20});
    struct viewer *v = &f->v[0];
    source_open(&f->src, f->e, f->l, "live/a");
    viewer_open(v, f->e, f->l, "live/a", REPLAY_EXACT);
    settle(f->l);
    source_frames(&f->src, f->l, 3);
    f->src.p = publisher_close(f->src.p);
    RUN_UNTIL(f->l, v->state == READER_ENDED);
    assert_string_equal(v->states, "wlwe");
    assert_int_equal(v->closes, 0);
    /* History goes soon after. */
    RUN_UNTIL(f->l, sample_live_count() == 0);
    /* The contract went with it: now it is HEVC. */
    source_done(&f->other);
    source_init(&f->other, CODEC_HEVC, false);
    source_open(&f->other, f->e, f->l, "live/a");
    settle(f->l);
    source_frames(&f->other, f->l, 3);
    assert_string_equal(v->states, "wlwewl");
    assert_int_equal(v->n, 9);
    const struct track_params *tracks[TRACKS_MAX];
    assert_int_equal(reader_tracks(v->r, tracks), 1);
    assert_ptr_equal(tracks[0], f->other.params[0]);
    assert_string_equal(f->events, "jPRLEPR");
    rig_free(f);
}

static void test_readers_that_do_not_wait_are_sent_away(void **state)
{
    struct rig *f = rig_new(&(struct engine_config){.continuity_none = true});
    const struct reader_info info = {.path = "live/a"};
    f->v[0].r = reader_open(f->e, f->l, &info, &viewer_ops, &f->v[0]);
    assert_int_equal(f->v[0].closes, 0); /* never from inside */
    settle(f->l);
    assert_int_equal(f->v[0].close_code, -ENOENT);
    assert_string_equal(f->v[0].states, "");

    /* Someone waits there, so the path exists; it is still nobody's. */
    viewer_open(&f->v[1], f->e, f->l, "live/a", REPLAY_EXACT);
    f->v[2].r = reader_open(f->e, f->l, &info, &viewer_ops, &f->v[2]);
    settle(f->l);
    assert_int_equal(f->v[2].close_code, -ENOENT);
    assert_string_equal(f->v[2].states, "");

    source_open(&f->src, f->e, f->l, "live/a");
    settle(f->l);
    f->v[3].r = reader_open(f->e, f->l, &info, &viewer_ops, &f->v[3]);
    settle(f->l);
    assert_string_equal(f->v[3].states, "w");
    source_frames(&f->src, f->l, 1);
    /* The tail is read before the end is told. */
    source_frame(&f->src);
    f->src.p = publisher_close(f->src.p);
    settle(f->l);
    assert_string_equal(f->v[3].states, "wle");
    assert_int_equal(f->v[3].n, 4);
    assert_int_equal(f->v[3].closes, 1);
    assert_int_equal(f->v[1].n, 4);
    assert_int_equal(f->v[1].closes, 0);
    rig_free(f);
}

static void test_a_second_publisher_is_refused(void **state)
{
    struct rig *f = rig_new(NULL);
    source_open(&f->src, f->e, f->l, "live/a");
    source_open(&f->other, f->e, f->l, "live/a");
    source_frame(&f->other);
    assert_int_equal(f->other.closes, 0);
    settle(f->l);
    assert_int_equal(f->src.opens, 1);
    assert_int_equal(f->other.opens, 0);
    assert_int_equal(f->other.close_code, -EBUSY);
    struct engine_gauges g;
    engine_gauges(f->e, &g);
    assert_int_equal(g.refused_total, 1);
    assert_int_equal(g.publishes_total, 1);
    rig_free(f);
}

static void test_takeover_happens_at_the_key_frame(void **state)
{
    struct rig *f = rig_new(&(struct engine_config){.publish_policy = PUBLISH_TAKEOVER});
    struct viewer *v = &f->v[0];
    source_open(&f->src, f->e, f->l, "live/a");
    viewer_open(v, f->e, f->l, "live/a", REPLAY_EXACT);
    settle(f->l);
    source_frames(&f->src, f->l, 5);
    source_open(&f->other, f->e, f->l, "live/a");
    f->other.frame = 8;
    for (int i = 0; i < 2; i++) {
        source_frames(&f->other, f->l, 1);
        source_frames(&f->src, f->l, 1);
    }
    assert_int_equal(f->other.opens, 1);
    assert_true(f->other.keys_wanted > 0);
    assert_int_equal(f->src.closes, 0);
    assert_int_equal(v->n, 14);
    source_frames(&f->other, f->l, 4);
    settle(f->l);
    assert_int_equal(f->src.closes, 1);
    assert_int_equal(f->src.close_code, -ECONNABORTED);
    /* Nobody was told to wait, nothing is missing, and the timeline goes on. */
    assert_string_equal(v->states, "wl");
    assert_int_equal(v->n, 22);
    assert_true(v->seen[14].flags & SAMPLE_KEY);
    assert_int_equal(v->seen[14].epoch, 2);
    for (unsigned i = 1; i < v->n; i++) {
        assert_int_equal(v->seen[i].seq, v->seen[i - 1].seq + 1);
        assert_true(i < 2 || v->seen[i].dts > v->seen[i - 2].dts);
    }
    rig_free(f);
}

static void test_the_latest_candidate_wins_and_one_that_leaves_changes_nothing(void **state)
{
    struct rig *f = rig_new(&(struct engine_config){.publish_policy = PUBLISH_TAKEOVER});
    struct source third;
    source_init(&third, CODEC_H264, false);
    source_open(&f->src, f->e, f->l, "live/a");
    source_frames(&f->src, f->l, 2);
    source_open(&f->other, f->e, f->l, "live/a");
    settle(f->l);
    source_open(&third, f->e, f->l, "live/a");
    settle(f->l);
    assert_int_equal(f->other.close_code, -ECONNABORTED);
    third.p = publisher_close(third.p);
    source_frames(&f->src, f->l, 2);
    assert_int_equal(f->src.closes, 0);
    source_done(&third);
    rig_free(f);
}

static void test_another_codec_is_refused_while_readers_hold_the_contract(void **state)
{
    struct rig *f = rig_new(NULL);
    source_done(&f->other);
    source_init(&f->other, CODEC_HEVC, true);
    source_open(&f->src, f->e, f->l, "live/a");
    viewer_open(&f->v[0], f->e, f->l, "live/a", REPLAY_EXACT);
    settle(f->l);
    source_frames(&f->src, f->l, 2);
    f->src.p = publisher_close(f->src.p);
    settle(f->l);
    source_open(&f->other, f->e, f->l, "live/a");
    settle(f->l);
    assert_int_equal(f->other.close_code, -ENOTSUP);
    assert_non_null(strstr(f->other.why, "h264"));
    assert_non_null(strstr(f->other.why, "hevc"));
    /* Without readers nobody is hurt. */
    f->v[0].r = reader_close(f->v[0].r);
    settle(f->l);
    source_open(&f->other, f->e, f->l, "live/a");
    source_frames(&f->other, f->l, 2);
    assert_int_equal(f->other.closes, 1);
    viewer_open(&f->v[1], f->e, f->l, "live/a", REPLAY_EXACT);
    settle(f->l);
    assert_string_equal(f->v[1].states, "l");
    assert_int_equal(f->v[1].n, 4);
    rig_free(f);
}

static void test_a_codec_that_changes_on_air_ends_the_publisher(void **state)
{
    struct rig *f = rig_new(NULL);
    source_open(&f->src, f->e, f->l, "live/a");
    viewer_open(&f->v[0], f->e, f->l, "live/a", REPLAY_EXACT);
    settle(f->l);
    source_frames(&f->src, f->l, 2);
    struct track_params *h264 = f->src.params[0];
    f->src.params[0] = make_params(CODEC_AV1);
    source_frame(&f->src);
    settle(f->l);
    assert_int_equal(f->src.close_code, -ENOTSUP);
    assert_string_equal(f->v[0].states, "wlw");
    assert_int_equal(f->v[0].n, 4);
    track_params_unref(&h264);
    rig_free(f);
}

static void test_tracks_meet_by_kind_and_new_parameters_go_in_band(void **state)
{
    struct rig *f = rig_new(NULL);
    struct viewer *v = &f->v[0];
    const struct track_params *tracks[TRACKS_MAX];
    source_open(&f->src, f->e, f->l, "live/a");
    viewer_open(v, f->e, f->l, "live/a", REPLAY_EXACT);
    settle(f->l);
    source_frames(&f->src, f->l, 2);
    struct track_params *old = f->src.params[0];
    f->src.params[0] = make_params(CODEC_H264);
    source_frame(&f->src);
    settle(f->l);
    assert_int_equal(reader_tracks(v->r, tracks), 2);
    assert_ptr_equal(tracks[0], f->src.params[0]);
    assert_string_equal(v->states, "wl"); /* in band: nobody is told */
    track_params_unref(&old);

    /* A publisher that announces sound first keeps the stream's numbers. */
    f->src.p = publisher_close(f->src.p);
    struct track_params *video = f->other.params[0];
    f->other.params[0] = f->other.params[1];
    f->other.params[1] = video;
    source_open(&f->other, f->e, f->l, "live/a");
    source_send(&f->other, 1, 0, SAMPLE_KEY);
    source_send(&f->other, 0, NS_PER_MS, SAMPLE_KEY);
    settle(f->l);
    assert_string_equal(v->states, "wl"); /* back within one pass: nobody noticed */
    assert_int_equal(v->n, 8);
    assert_int_equal(v->seen[6].track, 0);
    assert_int_equal(v->seen[7].track, 1);
    rig_free(f);
}

static void announce(struct source *s, enum codec a, struct track_params *pa, enum codec b,
                     struct track_params *pb)
{
    const struct publisher_track tracks[2] = {{a, pa}, {b, pb}};
    publisher_tracks(s->p, tracks, 2);
}

static void test_ready_waits_for_parameters_but_not_for_ever(void **state)
{
    struct rig *f = rig_new(&(struct engine_config){.ready_after_ms = 50});
    struct viewer *v = &f->v[0];
    const struct track_params *tracks[TRACKS_MAX];
    source_open(&f->src, f->e, f->l, "live/a");
    viewer_open(v, f->e, f->l, "live/a", REPLAY_EXACT);
    settle(f->l);
    announce(&f->src, CODEC_H264, NULL, CODEC_AAC, NULL);
    f->src.n_tracks = 1; /* its audio never comes */
    int64_t begun = clock_mono_ns();
    source_frames(&f->src, f->l, 3);
    /* source_open() announced the audio's parameters, and NULL does not take them back: ready at once. */
    assert_string_equal(v->states, "wl");
    f->src.p = publisher_close(f->src.p);

    viewer_open(&f->v[1], f->e, f->l, "live/b", REPLAY_EXACT);
    const struct publisher_info info = {.path = "live/b"};
    f->src.p = publisher_open(f->e, f->l, &info, &source_ops, &f->src);
    announce(&f->src, CODEC_H264, NULL, CODEC_AAC, NULL);
    f->src.frame = 0;
    begun = clock_mono_ns();
    source_frames(&f->src, f->l, 3);
    bool was_waiting = f->v[1].n == 0;
    RUN_UNTIL(f->l, f->v[1].state == READER_LIVE);
    assert_true(!was_waiting || clock_mono_ns() - begun >= 40 * NS_PER_MS);
    settle(f->l);
    /* It begins with the key frame although it was told later. */
    assert_int_equal(f->v[1].n, 3);
    assert_true(f->v[1].seen[0].flags & SAMPLE_KEY);
    assert_int_equal(reader_tracks(f->v[1].r, tracks), 2);
    assert_non_null(tracks[0]);
    assert_null(tracks[1]);
    f->src.n_tracks = 2;
    rig_free(f);
}

static void test_sound_alone_is_a_stream_of_seconds(void **state)
{
    struct rig *f = rig_new(NULL);
    struct viewer *v = &f->v[0];
    source_done(&f->src);
    source_init(&f->src, CODEC_AAC, false);
    source_open(&f->src, f->e, f->l, "live/a");
    for (int i = 0; i < 60; i++) {
        source_send(&f->src, 0, i * 50 * NS_PER_MS, SAMPLE_KEY);
        settle(f->l);
    }
    viewer_open(v, f->e, f->l, "live/a", REPLAY_EXACT);
    settle(f->l);
    assert_int_equal(v->n, 20); /* from the newest second on */
    assert_int_equal(v->seen[0].group, v->seen[19].group);
    source_send(&f->src, 0, 3 * NS_PER_S, SAMPLE_KEY);
    settle(f->l);
    assert_int_equal(v->seen[20].group, v->seen[19].group + 1);
    rig_free(f);
}

static void test_a_jump_and_an_announced_jump_begin_epochs(void **state)
{
    struct rig *f = rig_new(NULL);
    struct viewer *v = &f->v[0];
    source_open(&f->src, f->e, f->l, "live/a");
    viewer_open(v, f->e, f->l, "live/a", REPLAY_EXACT);
    settle(f->l);
    source_frames(&f->src, f->l, 10);
    f->src.base_ns = 100 * NS_PER_S;
    source_frames(&f->src, f->l, 10);
    publisher_discontinuity(f->src.p);
    source_frames(&f->src, f->l, 10);
    assert_int_equal(v->n, 60);
    assert_int_equal(v->seen[19].epoch, 1);
    assert_int_equal(v->seen[20].epoch, 2);
    assert_true(v->seen[20].dts - v->seen[18].dts < 90 * NS_PER_S);
    assert_int_equal(v->seen[39].epoch, 2);
    assert_int_equal(v->seen[40].epoch, 3);
    for (unsigned i = 0; i < v->n; i++) {
        bool first = i == 0 || i == 1 || i == 20 || i == 21 || i == 40 || i == 41;
        assert_int_equal(!!(v->seen[i].flags & SAMPLE_DISCONTINUITY), first);
    }
    assert_string_equal(v->states, "wl");
    rig_free(f);
}

static void test_the_budget_refuses_publishers_and_cuts_histories(void **state)
{
    struct rig *f = rig_new(&(struct engine_config){.memory_max_bytes = 4 << 20});
    source_open(&f->src, f->e, f->l, "live/a");
    f->src.payload = 100000;
    uint64_t most = 0;
    /* One group that never ends: 4 MB are 42 pictures. */
    source_frames(&f->src, f->l, 1);
    for (int i = 0; i < 300; i++) {
        source_send(&f->src, 0, (i + 1) * FRAME_NS, 0);
        settle(f->l);
        most = MAX(most, buf_live_bytes());
    }
    assert_true(most > 2 << 20);
    assert_true(most <= 4 << 20);

    struct buf *ballast = buf_new(8 << 20);
    source_open(&f->other, f->e, f->l, "live/b");
    settle(f->l);
    assert_int_equal(f->other.close_code, -ENOBUFS);
    buf_unref(&ballast);
    source_open(&f->other, f->e, f->l, "live/b");
    settle(f->l);
    assert_int_equal(f->other.opens, 1);
    rig_free(f);
}

static void test_streams_are_limited(void **state)
{
    struct rig *f = rig_new(&(struct engine_config){.streams_max = 1});
    source_open(&f->src, f->e, f->l, "live/a");
    source_open(&f->other, f->e, f->l, "live/b");
    settle(f->l);
    assert_int_equal(f->other.close_code, -ENFILE);
    f->src.p = publisher_close(f->src.p);
    settle(f->l);
    source_open(&f->other, f->e, f->l, "../etc");
    settle(f->l);
    assert_int_equal(f->other.close_code, -EINVAL);
    rig_free(f);
}

static void test_unused_streams_are_freed(void **state)
{
    struct rig *f = rig_new(&(struct engine_config){.continuity_ms = 10});
    uint64_t rss = 0;
    for (int i = 0; i < 1000; i++) {
        char path[32];
        snprintf(path, sizeof(path), "live/%d", i);
        source_open(&f->src, f->e, f->l, path);
        viewer_open(&f->v[0], f->e, f->l, path, REPLAY_EXACT);
        source_frames(&f->src, f->l, 2);
        f->src.p = publisher_close(f->src.p);
        f->v[0].r = reader_close(f->v[0].r);
        viewer_open(&f->v[1], f->e, f->l, "other/path", REPLAY_EXACT);
        f->v[1].r = reader_close(f->v[1].r);
        rss = i == 500 ? rss_bytes() : rss;
    }
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(rss_bytes() < rss + (1 << 20));
#endif
    (void)rss;
    struct engine_gauges g;
    RUN_UNTIL(f->l, (engine_gauges(f->e, &g), g.streams == 0));
    assert_engine_empty(f->e);
    rig_free(f);
}

/* A publisher whose n-th callback closes it. Returns how many it got. */
struct leaver {
    struct publisher *p;
    int callbacks;
    int close_at;
};

static void leave(struct leaver *v)
{
    if (++v->callbacks == v->close_at) {
        v->p = publisher_close(v->p);
    }
}

static void leaver_on_open(void *user)
{
    leave(user);
}

static void leaver_on_close(void *user, int r, const char *why)
{
    struct leaver *v = user;
    leave(v);
    v->p = publisher_close(v->p);
}

static const struct publisher_ops leaver_ops = {leaver_on_open, leaver_on_close, leaver_on_open};

static int run_leaver(int close_at)
{
    struct rig *f = rig_new(&(struct engine_config){
        .publish_policy = PUBLISH_TAKEOVER, .history_max_ms = 100, .history_slack_ms = 40});
    struct leaver v = {.close_at = close_at};
    const struct publisher_info info = {.path = "live/a"};
    v.p = publisher_open(f->e, f->l, &info, &leaver_ops, &v);
    f->src.p = v.p;
    source_announce(&f->src);
    for (int i = 0; i < 8; i++) {
        f->src.p = v.p;
        if (v.p) {
            source_frame(&f->src);
        }
        settle(f->l);
    }
    viewer_open(&f->v[0], f->e, f->l, "live/a", REPLAY_EXACT); /* which asks for a key frame */
    settle(f->l);
    source_open(&f->other, f->e, f->l, "live/a");
    source_frames(&f->other, f->l, 2);
    settle(f->l);
    assert_int_equal(f->v[0].n, 4);
    assert_null(v.p);
    f->src.p = NULL;
    rig_free(f);
    return v.callbacks;
}

static void test_a_publisher_may_close_in_every_callback(void **state)
{
    int n = run_leaver(0);
    assert_int_equal(n, 3); /* opened, asked for a key frame, taken over */
    for (int i = 1; i <= n; i++) {
        assert_int_equal(run_leaver(i), i);
    }
}

static void test_a_new_configuration_is_for_new_streams(void **state)
{
    struct rig *f = rig_new(NULL);
    source_open(&f->src, f->e, f->l, "live/a");
    settle(f->l);
    engine_reconfigure(
        f->e, &(struct engine_config){.publish_policy = PUBLISH_TAKEOVER, .continuity_none = true});
    source_open(&f->other, f->e, f->l, "live/a");
    settle(f->l);
    assert_int_equal(f->other.close_code, -EBUSY);
    f->src.p = publisher_close(f->src.p);
    settle(f->l);
    source_open(&f->src, f->e, f->l, "live/a");
    settle(f->l);
    source_open(&f->other, f->e, f->l, "live/a");
    settle(f->l);
    assert_int_equal(f->other.opens, 1);
    rig_free(f);
}

/* The engine goes first; its sessions are told and close later. */
static void test_the_engine_may_go_before_its_sessions(void **state)
{
    struct rig *f = rig_new(NULL);
    f->src.keep = true;
    f->v[0].keep = true;
    source_open(&f->src, f->e, f->l, "live/a");
    viewer_open(&f->v[0], f->e, f->l, "live/a", REPLAY_EXACT);
    viewer_open(&f->v[1], f->e, f->l, "live/none", REPLAY_EXACT);
    settle(f->l);
    source_frames(&f->src, f->l, 5);
    f->e = engine_free(f->e);
    assert_int_equal(f->src.close_code, -ESHUTDOWN);
    assert_int_equal(f->v[0].close_code, -ESHUTDOWN);
    assert_int_equal(f->v[1].close_code, -ESHUTDOWN);
    assert_null(reader_peek(f->v[0].r, 0));
    source_frame(&f->src);
    assert_no_media_lives();
    rig_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_reader_gets_every_sample_from_the_key_frame),
        cmocka_unit_test(test_drop_and_return_keeps_readers),
        cmocka_unit_test(test_after_the_window_the_stream_ends_and_may_begin_anew),
        cmocka_unit_test(test_readers_that_do_not_wait_are_sent_away),
        cmocka_unit_test(test_a_second_publisher_is_refused),
        cmocka_unit_test(test_takeover_happens_at_the_key_frame),
        cmocka_unit_test(test_the_latest_candidate_wins_and_one_that_leaves_changes_nothing),
        cmocka_unit_test(test_another_codec_is_refused_while_readers_hold_the_contract),
        cmocka_unit_test(test_a_codec_that_changes_on_air_ends_the_publisher),
        cmocka_unit_test(test_tracks_meet_by_kind_and_new_parameters_go_in_band),
        cmocka_unit_test(test_ready_waits_for_parameters_but_not_for_ever),
        cmocka_unit_test(test_sound_alone_is_a_stream_of_seconds),
        cmocka_unit_test(test_a_jump_and_an_announced_jump_begin_epochs),
        cmocka_unit_test(test_the_budget_refuses_publishers_and_cuts_histories),
        cmocka_unit_test(test_streams_are_limited),
        cmocka_unit_test(test_unused_streams_are_freed),
        cmocka_unit_test(test_a_publisher_may_close_in_every_callback),
        cmocka_unit_test(test_a_new_configuration_is_for_new_streams),
        cmocka_unit_test(test_the_engine_may_go_before_its_sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
