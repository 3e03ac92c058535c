/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "media/timeline.h"

static void test_ticks_round_half_away_from_zero(void **state)
{
    assert_int_equal(ticks_from_ns(1000000000, 90000), 90000);
    assert_int_equal(ticks_from_ns(500000000, 1), 1);
    assert_int_equal(ticks_from_ns(499999999, 1), 0);
    assert_int_equal(ticks_from_ns(-500000000, 1), -1);
    assert_int_equal(ticks_from_ns(-499999999, 1), 0);
    assert_int_equal(ns_from_ticks(1, 90000), 11111);
    assert_int_equal(ns_from_ticks(3, 90000), 33333);
    assert_int_equal(ns_from_ticks(-2, 3), -666666667);
}

static void test_ticks_survive_large_times(void **state)
{
    /* ns x 48000 is over 64 bits: 200 years */
    assert_int_equal(ticks_from_ns(6311520000LL * 1000000000LL, 48000), 6311520000LL * 48000);
    assert_int_equal(ns_from_ticks(6311520000LL * 90000, 90000), 6311520000LL * 1000000000LL);
    assert_true(ns_from_ticks(INT64_MAX, 1) == INT64_MAX);
    assert_true(ns_from_ticks(INT64_MIN, 1) == INT64_MIN);
    assert_true(ticks_from_ns(INT64_MIN, UINT32_MAX) == INT64_MIN);
}

static void test_durations_add_up_to_the_times(void **state)
{
    int64_t sum = 0;
    for (int i = 0; i < 30000; i++) {
        int64_t from = ns_from_ticks(i * 1001, 30000);
        int64_t to = ns_from_ticks((i + 1) * 1001, 30000);
        sum += ticks_between(from, to, 90000);
    }
    assert_int_equal(sum, 30000LL * 3003);
}

static void test_unwrapping(void **state)
{
    struct unwrap32 u = {0};
    assert_int_equal(unwrap32_next(&u, 0xfffffff0u), 0xfffffff0u);
    assert_int_equal(unwrap32_next(&u, 0x10), 0x100000010);
    assert_int_equal(unwrap32_next(&u, 0x0c), 0x10000000c);        /* a small step back */
    assert_int_equal(unwrap32_next(&u, 0xfffffff8u), 0xfffffff8u); /* back over the wrap */
    assert_int_equal(unwrap32_next(&u, 0x20), 0x100000020);
    assert_int_equal(unwrap32_next(&u, 0x20 + 3600000), 0x100000020 + 3600000);
    struct unwrap32 restart = {0};
    unwrap32_next(&restart, 5000);
    assert_int_equal(unwrap32_next(&restart, 0), 0);
    struct unwrap32 below = {0};
    unwrap32_next(&below, 4);
    assert_int_equal(unwrap32_next(&below, 0xfffffffeu), -2);
}

static void test_unwrapping_never_leaves_what_ns_can_hold(void **state)
{
    struct unwrap32 u = {0};
    uint32_t v = 0;
    for (int i = 0; i < 10000; i++) {
        v += INT32_MAX;
        int64_t t = unwrap32_next(&u, v);
        assert_true(t <= UNWRAP32_MAX && t >= -UNWRAP32_MAX);
        assert_true(ns_from_ticks(t, 1000) < INT64_MAX / 2 + INT64_MAX / 4);
    }
}

static void test_audio_lands_on_its_grid(void **state)
{
    struct audio_grid g = {0};
    for (int i = 0; i < 1000; i++) {
        int64_t exact = 7000000 + ns_from_ticks(i * 1024, 44100);
        int64_t stamp = exact / 1000000 * 1000000; /* RTMP cuts to ms */
        assert_int_equal(audio_grid_next(&g, stamp, 44100, 1024), exact);
    }
}

static void test_a_gap_starts_a_new_grid(void **state)
{
    struct audio_grid g = {0};
    assert_int_equal(audio_grid_next(&g, 0, 48000, 480), 0);
    assert_int_equal(audio_grid_next(&g, 20000000, 48000, 480),
                     10000000); /* 10 ms late: still the grid */
    assert_int_equal(audio_grid_next(&g, 30000001, 48000, 480), 30000001); /* over 10 ms */
    assert_int_equal(audio_grid_next(&g, 41000000, 48000, 480), 40000001);
    assert_int_equal(audio_grid_next(&g, 0, 48000, 480), 0);             /* back */
    assert_int_equal(audio_grid_next(&g, 9000000, 44100, 441), 9000000); /* another rate */
    assert_int_equal(audio_grid_next(&g, 12345, 0, 0), 12345);
    assert_int_equal(audio_grid_next(&g, INT64_MIN, 48000, 480), INT64_MIN);
    assert_int_equal(audio_grid_next(&g, INT64_MAX, 48000, 480), INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ticks_round_half_away_from_zero),
        cmocka_unit_test(test_ticks_survive_large_times),
        cmocka_unit_test(test_durations_add_up_to_the_times),
        cmocka_unit_test(test_unwrapping),
        cmocka_unit_test(test_unwrapping_never_leaves_what_ns_can_hold),
        cmocka_unit_test(test_audio_lands_on_its_grid),
        cmocka_unit_test(test_a_gap_starts_a_new_grid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
