/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/clock.h"
#include "base/mem.h"
#include "engine/ring.h"

static const struct ring_limits wide = {1 << 30, 15 * NS_PER_S, 3 * NS_PER_S};

/* 25 samples a second, the first of each gop starts a group. */
static void push(struct ring *r, const struct ring_limits *limits, unsigned gop, unsigned n,
                 size_t size)
{
    struct track_params p = {.refs = 1000000};
    for (unsigned i = 0; i < n; i++) {
        struct buf *payload = buf_new(size);
        struct sample *s = sample_new(0, &p, &payload, 0, 0, 0, 0);
        s->seq = r->next;
        s->group = 1 + s->seq / gop;
        s->dts_ns = (int64_t)s->seq * 40 * NS_PER_MS;
        s->params = NULL;
        ring_push(r, &s, limits);
        assert_null(s);
        ring_trim(r, limits);
    }
}

static void test_keeps_the_newest_group_and_the_slack(void **state)
{
    struct ring r = {0};
    push(&r, &wide, 50, 1010, 10);
    /* Newest key at 1000; three seconds are 75 samples. */
    assert_true(r.has_start);
    assert_int_equal(r.start, 1000);
    assert_int_equal(r.first, 1010 - 76);
    ring_done(&r);
    /* A group that is longer than the slack. */
    push(&r, &wide, 1000, 1110, 10);
    assert_int_equal(r.start, 1000);
    assert_int_equal(r.first, 1000);
    assert_int_equal(ring_at(&r, 1000)->seq, 1000);
    assert_int_equal(ring_at(&r, 1109)->seq, 1109);
    assert_null(ring_at(&r, 999));
    assert_null(ring_at(&r, 1110));
    ring_done(&r);
    assert_int_equal(sample_live_count(), 0);
}

static void test_a_group_over_the_span_is_dropped_whole(void **state)
{
    struct ring r = {0};
    push(&r, &wide, 100000, 376, 10); /* 15 s exactly */
    assert_true(r.has_start);
    push(&r, &wide, 100000, 1, 10);
    assert_false(r.has_start);
    /* What stays is the slack, for those who follow. */
    assert_int_equal(r.next - r.first, 76);
    push(&r, &wide, 100000, 500, 10);
    assert_false(r.has_start);
    assert_int_equal(r.next - r.first, 76);
    ring_done(&r);
}

static void test_bytes_are_bounded_always(void **state)
{
    const struct ring_limits tight = {100000, 15 * NS_PER_S, 3 * NS_PER_S};
    struct ring r = {0};
    for (int i = 0; i < 300; i++) {
        push(&r, &tight, 20, 1, 10000);
        assert_true(r.bytes <= tight.bytes);
    }
    assert_false(r.has_start);
    /* A sample that is larger than the bound is not kept at all. */
    push(&r, &tight, 20, 1, 200000);
    assert_int_equal(r.first, r.next);
    ring_done(&r);
    assert_int_equal(buf_live_bytes(), 0);
}

static void test_the_oldest_whole_group(void **state)
{
    struct ring r = {0};
    push(&r, &wide, 20, 50, 10);
    assert_int_equal(ring_oldest_start(&r), 0); /* nothing was dropped yet */
    push(&r, &wide, 20, 50, 10);
    assert_int_equal(r.first, 24);
    assert_int_equal(ring_oldest_start(&r), 40); /* the one of 20 lost its head */
    push(&r, &wide, 20, 16, 10);
    assert_int_equal(r.first, 40);
    assert_int_equal(ring_oldest_start(&r), 40);
    ring_at(&r, 59)->epoch = 7; /* what was before belongs to a publisher that left */
    assert_int_equal(ring_oldest_start(&r), 60);
    ring_at(&r, 99)->epoch = 7;
    assert_int_equal(ring_oldest_start(&r), 100);
    ring_done(&r);
    /* One that goes on inside of a group. */
    ring_reset(&r, 25, 2);
    push(&r, &wide, 20, 30, 10);
    assert_int_equal(ring_oldest_start(&r), 40);
    ring_done(&r);
}

static void test_a_reset_ring_waits_for_a_group(void **state)
{
    struct ring r = {0};
    ring_reset(&r, 25, 2);
    push(&r, &wide, 20, 10, 10); /* inside group 2 */
    assert_false(r.has_start);
    push(&r, &wide, 20, 10, 10);
    assert_true(r.has_start);
    assert_int_equal(r.start, 40);
    ring_reset(&r, r.next, r.group);
    assert_int_equal(r.bytes, 0);
    assert_int_equal(r.next, 45);
    assert_false(r.has_start);
    ring_done(&r);
    assert_int_equal(sample_live_count(), 0);
}

static void test_the_number_of_samples_is_bounded(void **state)
{
    struct ring r = {0};
    const struct ring_limits none = {1ULL << 40, INT64_MAX, INT64_MAX};
    push(&r, &none, 1U << 30, RING_SAMPLES_MAX, 1);
    assert_int_equal(r.next - r.first, RING_SAMPLES_MAX / 2);
    ring_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keeps_the_newest_group_and_the_slack),
        cmocka_unit_test(test_a_group_over_the_span_is_dropped_whole),
        cmocka_unit_test(test_bytes_are_bounded_always),
        cmocka_unit_test(test_the_oldest_whole_group),
        cmocka_unit_test(test_a_reset_ring_waits_for_a_group),
        cmocka_unit_test(test_the_number_of_samples_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
