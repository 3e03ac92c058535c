/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/clock.h"
#include "engine/pacing.h"

/* A replica whose turns have long taken cost_ns, the last of which ended at 1 s. */
static struct pacing settled(int64_t cost_ns)
{
    struct pacing p = {.max_ns = 40 * NS_PER_MS};
    for (int i = 0; i < 200; i++) {
        pacing_took(&p, cost_ns, NS_PER_S);
    }
    return p;
}

static void assert_waits(const struct pacing *p, bool video, int64_t ns)
{
    assert_in_range(pacing_due_ns(p, video) - NS_PER_S, ns - ns / 50, ns + ns / 50);
}

static void test_few_readers_never_wait(void **state)
{
    /* Fifty readers: 0.2 ms a turn. Audio that comes every 20 ms finds its turn due. */
    struct pacing p = settled(200 * NS_PER_US);
    assert_waits(&p, true, 400 * NS_PER_US);
    assert_waits(&p, false, 12800 * NS_PER_US);
}

static void test_many_readers_wait_within_the_bound(void **state)
{
    struct pacing p = settled(4 * NS_PER_MS);
    assert_waits(&p, true, 8 * NS_PER_MS);
    assert_waits(&p, false, 40 * NS_PER_MS);
    p = settled(50 * NS_PER_MS);
    assert_waits(&p, true, 40 * NS_PER_MS);
}

static void test_one_slow_turn_counts_little(void **state)
{
    struct pacing p = settled(NS_PER_MS);
    pacing_took(&p, 9 * NS_PER_MS, NS_PER_S);
    assert_in_range(p.cost_ns, 1900 * NS_PER_US, 2050 * NS_PER_US);
}

static void test_without_a_bound_nothing_waits(void **state)
{
    struct pacing p = settled(10 * NS_PER_MS);
    p.max_ns = 0;
    assert_int_equal(pacing_due_ns(&p, false), NS_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_few_readers_never_wait),
        cmocka_unit_test(test_many_readers_wait_within_the_bound),
        cmocka_unit_test(test_one_slow_turn_counts_little),
        cmocka_unit_test(test_without_a_bound_nothing_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
