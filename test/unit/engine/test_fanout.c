/* SPDX-License-Identifier: Apache-2.0 */
/* The hot path allocates nothing per reader and sample: counted by interposing the allocator in this program. */
#include "../allocations.h"
#include "rig.h"

static unsigned long count_with(unsigned n_readers, unsigned *ret_delivered)
{
    struct rig *f = rig_new(NULL);
    struct viewer *v = mem_new_array(struct viewer, n_readers);
    source_open(&f->src, f->e, f->l, "live/a");
    for (unsigned i = 0; i < n_readers; i++) {
        viewer_open(&v[i], f->e, f->l, "live/a", i % 2 ? REPLAY_LIVE : REPLAY_EXACT);
    }
    source_frames(&f->src, f->l, 200); /* until the ring has its size */
    unsigned before_n = v[0].n;
    unsigned long before = atomic_load(&allocations);
    for (int i = 0; i < 200; i++) {
        source_frames(&f->src, f->l, 1);
        reader_pause(v[0].r);
        reader_resume(v[0].r);
    }
    unsigned long after = atomic_load(&allocations);
    *ret_delivered = (v[0].n - before_n) * n_readers;
    for (unsigned i = 0; i < n_readers; i++) {
        assert_in_range(v[i].n, v[0].n - 1, v[0].n); /* REPLAY_LIVE skips history's first sound */
        v[i].r = reader_close(v[i].r);
    }
    free(v);
    rig_free(f);
    return after - before;
}

static void test_no_allocation_per_reader_and_sample(void **state)
{
    unsigned delivered_one;
    unsigned delivered_many;
    unsigned long one = count_with(1, &delivered_one);
    unsigned long many = count_with(100, &delivered_many);
    assert_true(one > 0); /* the samples themselves: the counter works */
    assert_int_equal(delivered_many, 100 * delivered_one);
    assert_int_equal(many, one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_allocation_per_reader_and_sample)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
