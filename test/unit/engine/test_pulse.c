/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/clock.h"
#include "base/mem.h"
#include "engine/pulse.h"

#define S(n)  ((n)*NS_PER_S)
#define MS(n) ((n)*NS_PER_MS)

static void test_seconds_are_whole_and_in_order(void **state)
{
    _cleanup_free_ struct pulse *p = mem_new(struct pulse);
    struct stream_pulse shown;
    pulse_show(p, S(7), &shown);
    assert_int_equal(shown.n_seconds, 0);
    pulse_bytes(p, S(7) + 1, 100);
    pulse_bytes(p, S(7) + MS(900), 20);
    pulse_show(p, S(7) + MS(950), &shown);
    assert_int_equal(shown.n_seconds, 0); /* the second is not over */
    pulse_bytes(p, S(8), 5);
    pulse_bytes(p, S(10), 7); /* nothing in 9 */
    pulse_show(p, S(11), &shown);
    static const uint32_t want[] = {120, 5, 0, 7};
    assert_int_equal(shown.n_seconds, 4);
    assert_memory_equal(shown.bytes, want, sizeof(want));
    pulse_show(p, S(13), &shown); /* silence counts on */
    assert_int_equal(shown.n_seconds, 6);
    assert_int_equal(shown.bytes[3], 7);
    assert_int_equal(shown.bytes[4] + shown.bytes[5], 0);
}

static void test_old_seconds_go(void **state)
{
    _cleanup_free_ struct pulse *p = mem_new(struct pulse);
    struct stream_pulse shown;
    int n = 3 * STREAM_PULSE_SECONDS;
    for (int i = 1; i <= n; i++) {
        pulse_bytes(p, S(i), (uint32_t)i);
    }
    pulse_show(p, S(n) + MS(1), &shown);
    assert_int_equal(shown.n_seconds, STREAM_PULSE_SECONDS);
    for (int i = 0; i < STREAM_PULSE_SECONDS; i++) {
        assert_int_equal(shown.bytes[i], n - STREAM_PULSE_SECONDS + i);
    }
    pulse_bytes(p, S(n + 100000), 9); /* a day later */
    pulse_show(p, S(n + 100001), &shown);
    assert_int_equal(shown.n_seconds, STREAM_PULSE_SECONDS);
    for (int i = 0; i < STREAM_PULSE_SECONDS; i++) {
        assert_int_equal(shown.bytes[i], i == STREAM_PULSE_SECONDS - 1 ? 9 : 0);
    }
    pulse_show(p, S(n + 200000), &shown); /* and nothing for another day */
    assert_int_equal(shown.n_seconds, STREAM_PULSE_SECONDS);
    assert_int_equal(shown.bytes[STREAM_PULSE_SECONDS - 1], 0);
}

static void picture(struct pulse *p, uint64_t group, uint32_t epoch, int64_t dts_ns)
{
    struct buf *payload = buf_new(10);
    struct sample s = {.group = group,
                       .epoch = epoch,
                       .dts_ns = dts_ns,
                       .duration_ns = MS(40),
                       .payload = payload};
    pulse_picture(p, &s);
    buf_unref(&payload);
}

static void test_groups_end_with_the_next_key(void **state)
{
    _cleanup_free_ struct pulse *p = mem_new(struct pulse);
    struct stream_pulse shown;
    for (int i = 0; i < 25; i++) {
        picture(p, 1, 1, S(1) + i * MS(40));
    }
    pulse_show(p, S(2), &shown);
    assert_int_equal(shown.n_groups, 0);
    picture(p, 2, 1, S(2));
    picture(p, 2, 1, S(2) + MS(40));
    picture(p, 3, 2, S(60)); /* the publisher was away */
    pulse_show(p, S(60), &shown);
    assert_int_equal(shown.n_groups, 2);
    assert_int_equal(shown.groups[0].duration_ns, S(1));
    assert_int_equal(shown.groups[0].pictures, 25);
    assert_int_equal(shown.groups[0].bytes, 250);
    assert_int_equal(shown.groups[1].duration_ns, MS(80));
    assert_int_equal(shown.groups[1].pictures, 2);
    assert_int_equal(shown.groups[1].epoch, 1);
}

static void test_old_groups_go(void **state)
{
    _cleanup_free_ struct pulse *p = mem_new(struct pulse);
    struct stream_pulse shown;
    for (int i = 0; i <= 2 * STREAM_PULSE_GROUPS; i++) {
        for (int k = 0; k <= i; k++) {
            picture(p, (uint64_t)i, 1, S(i));
        }
    }
    pulse_show(p, S(1000), &shown);
    assert_int_equal(shown.n_groups, STREAM_PULSE_GROUPS);
    assert_int_equal(shown.groups[0].pictures, STREAM_PULSE_GROUPS + 1);
    assert_int_equal(shown.groups[STREAM_PULSE_GROUPS - 1].pictures, 2 * STREAM_PULSE_GROUPS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seconds_are_whole_and_in_order),
        cmocka_unit_test(test_old_seconds_go),
        cmocka_unit_test(test_groups_end_with_the_next_key),
        cmocka_unit_test(test_old_groups_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
