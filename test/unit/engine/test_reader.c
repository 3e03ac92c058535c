/* SPDX-License-Identifier: Apache-2.0 */
/* Readers: where they begin, what they get when they are slow, and leaving at any moment. One loop. */
#include "rig.h"

static void test_replay_live_squeezes_history(void **state)
{
    struct rig *f = rig_new(NULL);
    struct viewer *v = &f->v[0];
    source_open(&f->src, f->e, f->l, "live/a");
    source_frames(&f->src, f->l, 18);
    viewer_open(v, f->e, f->l, "live/a", REPLAY_LIVE);
    viewer_open(&f->v[1], f->e, f->l, "live/a", REPLAY_EXACT);
    settle(f->l);
    /* Pictures 10..17 without their sound, drawn up to the edge. */
    assert_int_equal(v->n, 8);
    const struct viewer *x = &f->v[1];
    assert_int_equal(x->n, 16);
    int64_t edge = x->seen[15].dts;
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(v->seen[i].track, 0);
        assert_int_equal(v->seen[i].seq, x->seen[2 * i].seq);
        assert_true(v->seen[i].dts <= edge && v->seen[i].dts > edge - 5 * NS_PER_MS);
        assert_true(i == 0 || v->seen[i].dts > v->seen[i - 1].dts);
        assert_true(v->seen[i].pts >= v->seen[i].dts);
    }
    source_frames(&f->src, f->l, 2);
    assert_int_equal(v->n, 12);
    for (unsigned i = 8; i < 12; i++) {
        assert_int_equal(v->seen[i].dts, x->seen[8 + i].dts); /* live: true stamps, sound too */
        assert_true(v->seen[i].dts > v->seen[i - 1].dts);
    }
    rig_free(f);
}

static void test_replay_next_key_waits(void **state)
{
    struct rig *f = rig_new(NULL);
    struct viewer *v = &f->v[0];
    source_open(&f->src, f->e, f->l, "live/a");
    source_frames(&f->src, f->l, 15);
    viewer_open(v, f->e, f->l, "live/a", REPLAY_NEXT_KEY);
    source_frames(&f->src, f->l, 5);
    assert_string_equal(v->states, "l");
    assert_int_equal(v->n, 0);
    source_frames(&f->src, f->l, 1);
    assert_int_equal(v->n, 2);
    assert_true(v->seen[0].flags & SAMPLE_KEY);
    assert_int_equal(v->seen[0].track, 0);
    rig_free(f);
}

static void test_replay_long_begins_with_an_older_group(void **state)
{
    struct rig *f = rig_new(&(struct engine_config){.history_slack_ms = 900});
    source_open(&f->src, f->e, f->l, "live/a");
    source_frames(&f->src, f->l, 45); /* the newest key is 40; what is older than 21 is gone */
    viewer_open(&f->v[0], f->e, f->l, "live/a", REPLAY_LONG);
    viewer_open(&f->v[1], f->e, f->l, "live/a", REPLAY_EXACT);
    settle(f->l);
    const struct viewer *v = &f->v[0];
    assert_int_equal(v->n, 30);
    assert_true(v->seen[0].flags & SAMPLE_KEY);
    assert_int_equal(f->v[1].n, 10);
    assert_int_equal(f->v[1].seen[0].dts - v->seen[0].dts, 10 * FRAME_NS); /* true stamps */
    source_frames(&f->src, f->l, 1);
    assert_int_equal(v->n, 32);
    rig_free(f);
}

static void test_without_a_key_in_history_one_is_asked_for(void **state)
{
    struct rig *f =
        rig_new(&(struct engine_config){.history_max_ms = 200, .history_slack_ms = 100});
    struct viewer *v = &f->v[0];
    source_open(&f->src, f->e, f->l, "live/a");
    settle(f->l);
    source_frames(&f->src, f->l, 9); /* 320 ms since the key */
    viewer_open(v, f->e, f->l, "live/a", REPLAY_EXACT);
    viewer_open(&f->v[1], f->e, f->l, "live/a", REPLAY_EXACT);
    settle(f->l);
    assert_int_equal(v->n, 0);
    assert_int_equal(f->src.keys_wanted, 1);
    source_frames(&f->src, f->l, 2);
    assert_int_equal(v->n, 2);
    assert_true(v->seen[0].flags & SAMPLE_KEY);
    rig_free(f);
}

static void send_flags(struct rig *f, const unsigned *flags, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        source_send(&f->src, 0, f->src.frame++ * FRAME_NS, flags[i]);
        settle(f->l);
    }
}

static void test_leading_pictures_are_skipped_by_who_begins_there(void **state)
{
    static const unsigned flags[] = {SAMPLE_KEY,     SAMPLE_LEADING, 0, SAMPLE_KEY,
                                     SAMPLE_LEADING, SAMPLE_LEADING, 0};
    struct rig *f = rig_new(NULL);
    source_open(&f->src, f->e, f->l, "live/a");
    viewer_open(&f->v[0], f->e, f->l, "live/a", REPLAY_EXACT);
    settle(f->l);
    send_flags(f, flags, 7);
    viewer_open(&f->v[1], f->e, f->l, "live/a", REPLAY_EXACT);
    settle(f->l);
    /* Those after the publisher's first key frame are nobody's. */
    assert_int_equal(f->v[0].n, 6);
    assert_int_equal(f->v[1].n, 2);
    assert_int_equal(f->v[1].seen[0].seq, f->v[0].seen[2].seq);
    assert_int_equal(f->v[1].seen[1].flags & SAMPLE_LEADING, 0);
    send_flags(f, flags + 3, 4);
    assert_int_equal(f->v[1].n, 6); /* the next group's are decodable */
    rig_free(f);
}

static void test_masks_and_peeking_out_of_order(void **state)
{
    struct rig *f = rig_new(NULL);
    struct viewer *v = &f->v[0];
    source_open(&f->src, f->e, f->l, "live/a");
    const struct reader_info info = {.path = "live/a", .track_mask = 1U << 1, .wait = true};
    v->r = reader_open(f->e, f->l, &info, &viewer_ops, v);
    settle(f->l);
    source_frames(&f->src, f->l, 3);
    assert_int_equal(v->n, 3);
    assert_int_equal(v->seen[0].track, 1);

    reader_pause(v->r);
    source_frames(&f->src, f->l, 6);
    assert_int_equal(v->n, 3);
    struct sample *s[6];
    for (unsigned k = 0; k < 6; k++) {
        s[k] = reader_peek(v->r, k);
        assert_non_null(s[k]);
    }
    assert_null(reader_peek(v->r, 6));
    assert_ptr_equal(reader_peek(v->r, 3), s[3]);
    assert_ptr_equal(reader_peek(v->r, 1), s[1]);
    reader_advance(v->r, 4);
    assert_ptr_equal(reader_peek(v->r, 0), s[4]);
    assert_ptr_equal(reader_peek(v->r, 1), s[5]);
    reader_advance(v->r, 1);
    assert_ptr_equal(reader_peek(v->r, 0), s[5]);
    reader_resume(v->r);
    settle(f->l);
    assert_int_equal(v->n, 4);
    rig_free(f);
}

static void test_a_late_reader_inside_the_slack_loses_nothing(void **state)
{
    struct rig *f = rig_new(&(struct engine_config){.history_slack_ms = 2000});
    struct viewer *v = &f->v[0];
    source_open(&f->src, f->e, f->l, "live/a");
    viewer_open(v, f->e, f->l, "live/a", REPLAY_EXACT);
    settle(f->l);
    source_frames(&f->src, f->l, 5);
    reader_pause(v->r);
    source_frames(&f->src, f->l, 45); /* 1.8 s and four key frames later */
    reader_resume(v->r);
    settle(f->l);
    assert_int_equal(v->n, 100);
    for (unsigned i = 1; i < v->n; i++) {
        assert_int_equal(v->seen[i].seq, v->seen[i - 1].seq + 1);
    }
    rig_free(f);
}

static void test_one_that_falls_out_goes_on_at_the_newest_key(void **state)
{
    struct rig *f = rig_new(&(struct engine_config){.history_slack_ms = 400});
    struct viewer *v = &f->v[0];
    struct viewer *w = &f->v[1];
    source_open(&f->src, f->e, f->l, "live/a");
    viewer_open(v, f->e, f->l, "live/a", REPLAY_EXACT);
    const struct reader_info info = {.path = "live/a", .audio_resumes = true, .wait = true};
    w->r = reader_open(f->e, f->l, &info, &viewer_ops, w);
    settle(f->l);
    source_frames(&f->src, f->l, 5);
    reader_pause(v->r);
    reader_pause(w->r);
    source_frames(&f->src, f->l,
                  49); /* up to frame 53; the newest key is 50, the slack begins at 44 */
    reader_resume(v->r);
    reader_resume(w->r);
    settle(f->l);
    assert_int_equal(v->n, 10 + 8);
    assert_int_equal(v->seen[10].seq, 100);
    assert_true(v->seen[10].flags & SAMPLE_KEY);
    /* Its sound went on from the slack, its pictures from the key. */
    assert_int_equal(w->seen[10].track, 1);
    assert_true(w->seen[10].seq < 100 && w->seen[10].seq > 80);
    unsigned videos = 0;
    for (unsigned i = 10; i < w->n; i++) {
        videos += w->seen[i].track == 0;
        assert_true(w->seen[i].track == 1 || w->seen[i].seq >= 100);
    }
    assert_int_equal(videos, 4);
    struct engine_gauges g;
    engine_gauges(f->e, &g);
    assert_true(g.samples_dropped_total >= 90 + 70);
    rig_free(f);
}

/* Viewers of random speed, groups of random length: what each gets of a group is a prefix. */
static void test_slow_readers_get_prefixes(void **state)
{
    for (unsigned seed = 1; seed <= 20; seed++) {
        struct rig *f = rig_new(&(struct engine_config){.history_slack_ms = 200 + seed % 4 * 300,
                                                        .history_max_ms = 1500});
        uint64_t starts[1000];
        unsigned n_groups = 0;
        uint64_t first_group = 0;
        uint64_t seq = 0;
        srand(seed);
        source_open(&f->src, f->e, f->l, "live/a");
        for (unsigned i = 0; i < ARRAY_LEN(f->v); i++) {
            viewer_open(&f->v[i], f->e, f->l, "live/a", i == 3 ? REPLAY_NEXT_KEY : REPLAY_EXACT);
            f->v[i].budget = i == 0 ? 0 : 3;
        }
        settle(f->l);
        for (unsigned i = 0; i < 600; i++) {
            bool key = i == 0 || rand() % (seed % 2 ? 12 : 40) == 0;
            if (key) {
                starts[n_groups++] = seq;
            }
            source_send(&f->src, 0, i * FRAME_NS, key ? SAMPLE_KEY : 0);
            source_send(&f->src, 1, i * FRAME_NS + 1, SAMPLE_KEY);
            seq += 2;
            for (unsigned k = 1; k < ARRAY_LEN(f->v); k++) {
                if (rand() % 100 < 3) {
                    reader_pause(f->v[k].r);
                } else if (rand() % 100 < 4) {
                    reader_resume(f->v[k].r);
                }
            }
            loop_run_once(f->l, 0);
            loop_run_once(f->l, 0);
        }
        first_group = f->v[0].seen[0].group;
        assert_int_equal(f->v[0].n, 1200);
        unsigned lost = 0;
        for (unsigned k = 0; k < ARRAY_LEN(f->v); k++) {
            assert_prefixes(&f->v[k], starts, n_groups, first_group);
            assert_true(f->v[k].n > 50);
            lost += 1200 - f->v[k].n;
        }
        assert_true(lost > 100); /* else the test shows nothing */
        rig_free(f);
    }
}

static void test_on_samples_comes_once_a_pass(void **state)
{
    struct rig *f = rig_new(NULL);
    struct viewer *v = &f->v[0];
    source_open(&f->src, f->e, f->l, "live/a");
    viewer_open(v, f->e, f->l, "live/a", REPLAY_EXACT);
    settle(f->l);
    source_frame(&f->src);
    settle(f->l);
    int before = v->wakes;
    for (int i = 0; i < 9; i++) {
        source_frame(&f->src);
    }
    settle(f->l);
    assert_int_equal(v->wakes, before + 1);
    assert_int_equal(v->n, 20);
    /* Nothing new, nothing called. */
    settle(f->l);
    assert_int_equal(v->wakes, before + 1);
    rig_free(f);
}

/* One session's life, in which the viewer leaves at its n-th callback. Returns how many callbacks there were. */
static int run_life(int close_after)
{
    struct rig *f = rig_new(&(struct engine_config){.continuity_ms = 10});
    viewer_open(&f->v[0], f->e, f->l, "live/a", REPLAY_EXACT);
    viewer_open(&f->v[1], f->e, f->l, "live/a", REPLAY_EXACT);
    viewer_open(&f->v[2], f->e, f->l, "live/a", REPLAY_EXACT);
    f->v[0].close_after = f->v[2].close_after = close_after;
    settle(f->l);
    source_open(&f->src, f->e, f->l, "live/a");
    settle(f->l);
    source_frames(&f->src, f->l, 4);
    if (f->v[0].r) {
        reader_pause(f->v[0].r);
    }
    f->src.p = publisher_close(f->src.p);
    settle(f->l);
    source_open(&f->other, f->e, f->l, "live/a");
    source_frames(&f->other, f->l, 2);
    if (f->v[0].r) {
        reader_resume(f->v[0].r);
    }
    settle(f->l);
    f->other.p = publisher_close(f->other.p);
    RUN_UNTIL(f->l, f->v[1].state == READER_ENDED);
    int callbacks = f->v[0].callbacks;
    assert_true(!close_after || callbacks <= close_after);
    assert_int_equal(f->v[1].n, 12);
    rig_free(f);
    return callbacks;
}

static void test_closing_at_every_callback(void **state)
{
    int n = run_life(0);
    assert_true(n >= 8);
    for (int i = 1; i <= n; i++) {
        run_life(i);
    }
}

/* A callback that closes, pauses and opens others of the same stream. */
struct chaos {
    struct rig *f;
    struct viewer *v;
    unsigned n;
};

static struct chaos *chaos;

static void chaos_on_samples(void *user)
{
    struct viewer *v = user;
    viewer_take(v);
    for (int i = 0; i < 2; i++) {
        struct viewer *other = &chaos->v[(unsigned)rand() % chaos->n];
        switch (rand() % 12) {
        case 0:
            other->r = reader_close(other->r);
            break;
        case 1:
            if (other->r) {
                reader_pause(other->r);
            }
            break;
        default:
            if (other->r) {
                reader_resume(other->r);
            }
            break;
        }
    }
}

static void test_callbacks_may_close_and_pause_each_other(void **state)
{
    static const struct reader_ops chaos_ops = {viewer_on_state, chaos_on_samples, viewer_on_close};
    struct rig *f = rig_new(&(struct engine_config){.continuity_ms = 60000});
    struct chaos c = {f, mem_new_array(struct viewer, 40), 40};
    chaos = &c;
    srand(3);
    source_open(&f->src, f->e, f->l, "live/a");
    viewer_open(&f->v[0], f->e, f->l, "live/a", REPLAY_EXACT);
    for (unsigned i = 0; i < 300; i++) {
        for (unsigned k = 0; k < c.n; k++) {
            if (!c.v[k].r && rand() % 3 == 0) {
                const struct reader_info info = {.path = "live/a", .wait = true};
                c.v[k].r = reader_open(f->e, f->l, &info, &chaos_ops, &c.v[k]);
                c.v[k].n = 0;
            }
        }
        if (i % 50 == 25) {
            f->src.p = publisher_close(f->src.p);
            settle(f->l);
            source_open(&f->src, f->e, f->l, "live/a");
        }
        source_frames(&f->src, f->l, 1);
    }
    settle(f->l);
    for (unsigned i = 1; i < f->v[0].n; i++) {
        assert_int_equal(f->v[0].seen[i].seq, f->v[0].seen[i - 1].seq + 1);
    }
    for (unsigned k = 0; k < c.n; k++) {
        c.v[k].r = reader_close(c.v[k].r);
        assert_true(c.v[k].n > 0);
    }
    free(c.v);
    rig_free(f);
}

static void test_ten_thousand_readers_come_and_go(void **state)
{
    struct rig *f = rig_new(NULL);
    source_open(&f->src, f->e, f->l, "live/a");
    uint64_t rss = 0;
    for (int i = 0; i < 10000; i++) {
        viewer_open(&f->v[i % 3], f->e, f->l, "live/a", REPLAY_EXACT);
        if (i % 10 == 0) {
            source_frames(&f->src, f->l, 1);
        }
        f->v[(i + 1) % 3].r = reader_close(f->v[(i + 1) % 3].r);
        f->v[i % 3].n = 0;
        f->v[i % 3].states[0] = '\0';
        if (i == 2000) {
            rss = rss_bytes();
        }
    }
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)rss; /* their own memory grows */
#else
    assert_true(rss_bytes() < rss + (1 << 20));
#endif
    f->src.p = publisher_close(f->src.p);
    for (int i = 0; i < 3; i++) {
        f->v[i].r = reader_close(f->v[i].r);
    }
    settle(f->l);
    struct engine_gauges g;
    engine_gauges(f->e, &g);
    assert_int_equal(g.readers, 0);
    assert_int_equal(g.publishers, 0);
    assert_int_equal(g.reads_total, 10000);
    rig_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay_live_squeezes_history),
        cmocka_unit_test(test_replay_next_key_waits),
        cmocka_unit_test(test_replay_long_begins_with_an_older_group),
        cmocka_unit_test(test_without_a_key_in_history_one_is_asked_for),
        cmocka_unit_test(test_leading_pictures_are_skipped_by_who_begins_there),
        cmocka_unit_test(test_masks_and_peeking_out_of_order),
        cmocka_unit_test(test_a_late_reader_inside_the_slack_loses_nothing),
        cmocka_unit_test(test_one_that_falls_out_goes_on_at_the_newest_key),
        cmocka_unit_test(test_slow_readers_get_prefixes),
        cmocka_unit_test(test_on_samples_comes_once_a_pass),
        cmocka_unit_test(test_closing_at_every_callback),
        cmocka_unit_test(test_callbacks_may_close_and_pause_each_other),
        cmocka_unit_test(test_ten_thousand_readers_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
