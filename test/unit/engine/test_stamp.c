/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of source times in, stream times out. Milliseconds everywhere. */
#include "../unit.h"

#include "base/clock.h"
#include "base/mem.h"
#include "engine/stamp.h"

#define MS   NS_PER_MS
#define DROP INT64_MIN

enum op {
    END,
    V,     /* video sample */
    K,     /* video key frame */
    A,     /* audio sample */
    BREAK, /* stamp_break() */
};

struct row {
    enum op op;
    int64_t source; /* ms */
    int64_t now;    /* ms */
    int64_t dts;    /* expected, ms; DROP = straggler */
    uint32_t epoch; /* expected, counted from 1 */
    int group;      /* expected, counted from 1 */
    bool discontinuity;
};

static struct track_params video = {.kind = TRACK_VIDEO, .fps_num = 25, .fps_den = 1};
static struct track_params audio = {
    .kind = TRACK_AUDIO, .sample_rate = 48000, .frame_samples = 960};

static void run(const char *name, const struct row *rows)
{
    struct stamp st;
    stamp_init(&st, 1000);
    uint64_t seq = 0;
    for (unsigned i = 0; rows[i].op != END; i++) {
        const struct row *r = &rows[i];
        if (r->op == BREAK) {
            stamp_break(&st);
            continue;
        }
        struct sample s = {
            .track = r->op == A, .dts_ns = r->source * MS, .pts_ns = (r->source + 7) * MS};
        s.flags = r->op == K ? SAMPLE_KEY : 0;
        s.params = r->op == A ? &audio : &video;
        s.arrival_ns = r->now * MS;
        bool kept = stamp_sample(&st, &s, STAMP_GROUP_KEYS, 0, r->now * MS);
        if (r->dts == DROP) {
            if (kept) {
                fail_msg("%s, row %u: kept", name, i);
            }
            continue;
        }
        if (!kept || s.dts_ns / MS != r->dts || s.epoch != r->epoch ||
            (int)(s.group - 999) != r->group ||
            !(s.flags & SAMPLE_DISCONTINUITY) == r->discontinuity) {
            fail_msg("%s, row %u: kept %d dts %.3f epoch %u group %d discontinuity %d", name, i,
                     kept, (double)s.dts_ns / MS, s.epoch, (int)(s.group - 999),
                     !!(s.flags & SAMPLE_DISCONTINUITY));
        }
        assert_int_equal(s.seq, seq++);
        assert_true(s.pts_ns >= s.dts_ns);
    }
}

static void test_tables(void **state)
{
    static const struct row plain[] = {
        {K, 5000, 100, 100, 1, 1, true},  {A, 4990, 100, 90, 1, 1, true},
        {V, 5040, 140, 140, 1, 1, false}, {A, 5010, 140, 110, 1, 1, false},
        {K, 5080, 180, 180, 1, 2, false}, {0},
    };
    run("one offset for all tracks", plain);

    static const struct row late_return[] = {
        {K, 0, 100, 100, 1, 1, true},   {V, 40, 140, 140, 1, 1, false}, {.op = BREAK},
        {K, 0, 5000, 5000, 2, 2, true}, {A, 5, 5005, 5005, 2, 2, true}, {0},
    };
    run("a return after a gap lands at now", late_return);

    static const struct row fast_return[] = {
        /* Published faster than real time: the end is ahead of now, so the next epoch begins one frame after it. */
        {K, 0, 100, 100, 1, 1, true},
        {V, 1000, 101, 1100, 1, 1, false},
        {V, 1040, 102, 1140, 1, 1, false},
        {.op = BREAK},
        {K, 0, 103, 1187, 2, 2, true},
        {V, 40, 104, 1227, 2, 2, false},
        {0},
    };
    run("a return while ahead of now lands one frame after the last end", fast_return);

    static const struct row jump_forward[] = {
        {K, 0, 0, 0, 1, 1, true},
        {V, 40, 40, 40, 1, 1, false},
        {A, 45, 45, 45, 1, 1, true},
        {K, 100080, 90, 90, 2, 2, true},
        {A, 100085, 91, 95, 2, 2, true},
        {V, 100120, 130, 130, 2, 2, false},
        {0},
    };
    run("a jump ahead begins an epoch", jump_forward);

    static const struct row jump_back[] = {
        {K, 100000, 0, 0, 1, 1, true},
        {V, 100040, 40, 40, 1, 1, false},
        {V, 98000, 90, 90, 2, 1, true},
        {V, 98040, 130, 130, 2, 1, false},
        {0},
    };
    run("a jump back too, and the group goes on until the next key", jump_back);

    static const struct row wrap[] = {
        {K, 4294967200, 0, 0, 1, 1, true},
        {V, 4294967240, 40, 40, 1, 1, false},
        {V, 4, 94, 94, 2, 1, true},
        {0},
    };
    run("a wrap that nobody unwrapped is a jump back", wrap);

    static const struct row straggler[] = {
        {K, 0, 0, 0, 1, 1, true},        {A, 5, 5, 5, 1, 1, true},
        {V, 90000, 40, 40, 2, 1, true},  {A, 25, 41, DROP, 0, 0, false},
        {A, 45, 60, DROP, 0, 0, false},  {A, 90020, 61, 60, 2, 1, true},
        {V, 90040, 80, 80, 2, 1, false}, {0},
    };
    run("what is left of the old time line is dropped", straggler);

    static const struct row skewed[] = {
        {K, 0, 0, 0, 1, 1, true},     {A, 3600000, 3, 3, 1, 1, true},
        {V, 40, 40, 40, 1, 1, false}, {A, 3600020, 23, 23, 1, 1, false},
        {V, 80, 80, 80, 1, 1, false}, {0},
    };
    run("a track with times of its own is put at now, without epochs", skewed);

    static const struct row gap[] = {
        {K, 0, 0, 0, 1, 1, true},
        {V, 40, 40, 40, 1, 1, false},
        {V, 5040, 5041, 5040, 1, 1, false},
        {0},
    };
    run("a gap in which that much time passed is no jump", gap);

    static const struct row stall[] = {
        {K, 0, 0, 0, 1, 1, true},
        {V, 40, 40, 40, 1, 1, false},
        {V, 80, 5000, 80, 1, 1, false},
        {V, 120, 5000, 120, 1, 1, false},
        {0},
    };
    run("a stalled network moves nothing", stall);

    static const struct row slow_video[] = {
        {K, 0, 0, 0, 1, 1, true},        {V, 900, 1, 900, 1, 1, false},
        {V, 2500, 2, 2500, 1, 1, false}, {V, 4600, 3, 4600, 1, 1, false},
        {V, 9000, 4, 6707, 2, 1, true},  {0},
    };
    run("steps of a slow track are no jumps", slow_video);
}

static void test_drift_is_not_corrected(void **state)
{
    struct stamp st;
    stamp_init(&st, 1);
    /* A source whose clock is a thousandth fast, over an hour: 3.6 s ahead at the end, and still one epoch. */
    int64_t last = 0;
    for (int64_t i = 0; i < 3600 * 25; i++) {
        struct sample s = {.dts_ns = i * 40 * MS, .pts_ns = i * 40 * MS, .params = &video};
        s.flags = i % 50 == 0 ? SAMPLE_KEY : 0;
        s.arrival_ns = i * 40 * MS * 999 / 1000;
        assert_true(stamp_sample(&st, &s, STAMP_GROUP_KEYS, 0, s.arrival_ns));
        assert_true(i == 0 || s.dts_ns - last == 40 * MS);
        assert_int_equal(s.epoch, 1);
        last = s.dts_ns;
    }
}

static void test_dts_rises_by_the_least_tick(void **state)
{
    static const int64_t sources[] = {0, 40, 40, 39, 80};
    static const int64_t expected[] = {0, 40000, 41000, 42000, 80000}; /* us */
    struct stamp st;
    stamp_init(&st, 1);
    for (unsigned i = 0; i < ARRAY_LEN(sources); i++) {
        struct sample s = {.dts_ns = sources[i] * MS, .pts_ns = sources[i] * MS, .params = &video};
        assert_true(stamp_sample(&st, &s, STAMP_GROUP_KEYS, 0, sources[i] * MS));
        assert_int_equal(s.dts_ns, expected[i] * NS_PER_US);
        assert_true(s.pts_ns >= s.dts_ns);
    }
}

static void test_durations_are_those_of_the_previous_sample(void **state)
{
    struct stamp st;
    stamp_init(&st, 1);
    struct sample s = {.params = &audio};
    assert_true(stamp_sample(&st, &s, STAMP_GROUP_KEYS, 0, 0));
    assert_int_equal(s.duration_ns, 20 * MS); /* 960 at 48 kHz */
    s.dts_ns = 23 * MS;
    assert_true(stamp_sample(&st, &s, STAMP_GROUP_KEYS, 0, 0));
    assert_int_equal(s.duration_ns, 23 * MS);
    s = (struct sample){.track = 1, .params = &video};
    assert_true(stamp_sample(&st, &s, STAMP_GROUP_KEYS, 0, 0));
    assert_int_equal(s.duration_ns, 40 * MS); /* 25 pictures a second */
}

static void test_without_video_a_group_is_a_second(void **state)
{
    struct stamp st;
    stamp_init(&st, 1);
    for (int i = 0; i < 200; i++) {
        struct sample s = {.dts_ns = i * 20 * MS, .params = &audio, .flags = SAMPLE_KEY};
        assert_true(stamp_sample(&st, &s, STAMP_GROUP_SECONDS, 0, 0));
        assert_int_equal(s.group, 1 + i / 50);
    }
}

/* Whatever a source does, what comes out keeps the promises. */
static void test_random_sources_keep_the_promises(void **state)
{
    srand(1);
    for (int round = 0; round < 200; round++) {
        struct stamp st;
        stamp_init(&st, 7);
        int64_t clock[2] = {rand() % 1000, rand() % 1000};
        int64_t last_dts[2] = {INT64_MIN, INT64_MIN};
        uint32_t last_epoch = 0;
        uint64_t last_group = 0;
        uint64_t seq = 0;
        for (int64_t now = 0; now < 4000; now += 10) {
            unsigned track = (unsigned)rand() % 2;
            int what = rand() % 100;
            clock[track] += what < 90   ? 10
                            : what < 94 ? rand() % 20000 - 10000
                            : what < 97 ? -15
                                        : 0;
            if (what == 99) {
                stamp_break(&st);
            }
            struct sample s = {.track = (uint16_t)track,
                               .dts_ns = clock[track] * MS,
                               .params = track ? &audio : &video};
            s.flags = !track && rand() % 10 == 0 ? SAMPLE_KEY : 0;
            s.pts_ns = s.dts_ns + rand() % 80 * MS;
            s.arrival_ns = now * MS;
            if (!stamp_sample(&st, &s, STAMP_GROUP_KEYS, 0, now * MS)) {
                continue;
            }
            assert_true(s.dts_ns > last_dts[track]);
            assert_true(s.epoch >= last_epoch && s.group >= last_group);
            assert_int_equal(s.seq, seq++);
            assert_true(s.duration_ns > 0);
            last_dts[track] = s.dts_ns;
            last_epoch = s.epoch;
            last_group = s.group;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_drift_is_not_corrected),
        cmocka_unit_test(test_dts_rises_by_the_least_tick),
        cmocka_unit_test(test_durations_are_those_of_the_previous_sample),
        cmocka_unit_test(test_without_video_a_group_is_a_second),
        cmocka_unit_test(test_random_sources_keep_the_promises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
