/* SPDX-License-Identifier: Apache-2.0 */
/* The scaler as a table: what it is told at which second, and what it answers. */
#include "../unit.h"

#include "base/clock.h"
#include "service/job/scaler.h"

#include <errno.h>

struct row {
    int at_s;
    int64_t lag;
    int workers, busy;
    int desired;
};

static const struct scale_policy policy = {
    .min_workers = 1,
    .max_workers = 5,
    .target_lag_per_worker = 2,
    .up_cooldown_ns = 5 * NS_PER_S,
    .down_cooldown_ns = 60 * NS_PER_S,
    .max_step_up = 0,
    .max_step_down = 1,
};

static void check(const struct scale_policy *p, const struct row *rows, unsigned n)
{
    struct scale_state state = {0};
    for (unsigned i = 0; i < n; i++) {
        const struct row *r = &rows[i];
        const struct scale_input in = {.lag = r->lag,
                                       .workers = r->workers,
                                       .busy = r->busy,
                                       .now = (1000 + r->at_s) * NS_PER_S};
        const struct scale_decision d = scale_decide(p, &state, &in);
        if (d.desired != r->desired) {
            fail_msg("row %u: %d instead of %d (%s)", i, d.desired, r->desired, d.reason);
        }
        assert_non_null(d.reason);
    }
}
#define CHECK(p, rows) check((p), (rows), sizeof(rows) / sizeof((rows)[0]))

static void test_grows_by_the_lag(void **state)
{
    static const struct row rows[] = {
        {0, 0, 1, 0, 1},   {1, 2, 1, 1, 1},
        {2, 3, 1, 1, 2},   {3, 100, 2, 2, 2}, /* has just been changed */
        {7, 100, 2, 2, 5}, {20, 1000000000000, 5, 5, 5},
    };
    CHECK(&policy, rows);
}

static void test_the_floor_is_kept_at_once(void **state)
{
    static const struct row rows[] = {{0, 0, 0, 0, 1}, {1, 0, 0, 0, 1}, {2, 0, 1, 0, 1}};
    CHECK(&policy, rows);
}

static void test_shrinks_slowly(void **state)
{
    static const struct row rows[] = {
        {0, 10, 1, 1, 5},  {10, 0, 5, 5, 5},                     /* all are busy */
        {30, 0, 5, 2, 5},                                        /* not for long enough */
        {61, 0, 5, 2, 4},  {62, 0, 4, 2, 4},  {121, 0, 4, 2, 3}, /* one at a time */
        {150, 6, 3, 3, 3},                                       /* wanted again: it begins anew */
        {190, 0, 3, 0, 3}, {211, 0, 3, 0, 2}, {272, 0, 2, 0, 1}, {400, 0, 1, 0, 1},
    };
    CHECK(&policy, rows);
}

/* Who carries something is never ended for want of jobs. */
static void test_the_busy_stay(void **state)
{
    static const struct row rows[] = {{0, 0, 4, 4, 4},
                                      {100, 0, 4, 3, 3},
                                      {200, 0, 3, 3, 3},
                                      {300, 0, 8, 7, 7},
                                      {301, 0, 8, 2, 5}};
    CHECK(&policy, rows);
}

static void test_what_is_not_known_changes_nothing(void **state)
{
    static const struct row rows[] = {
        {0, -1, 3, 0, 3},   {100, -1, 3, 0, 3},
        {200, -1, 0, 0, 0}, {201, 0, 3, 0, 3}, /* it could not be seen until now */
        {261, 0, 3, 0, 2},
    };
    CHECK(&policy, rows);
}

static void test_steps_are_bounded(void **state)
{
    struct scale_policy p = policy;
    p.max_workers = 100;
    p.max_step_up = 3;
    p.max_step_down = 0;
    static const struct row rows[] = {
        {0, 1000, 1, 1, 4}, {5, 1000, 4, 4, 7}, {10, 0, 7, 0, 7}, {71, 0, 7, 0, 1}};
    CHECK(&p, rows);
}

static void test_to_nothing(void **state)
{
    struct scale_policy p = policy;
    p.min_workers = 0;
    static const struct row rows[] = {{0, 0, 1, 0, 1}, {61, 0, 1, 0, 0}, {70, 1, 0, 0, 1}};
    CHECK(&p, rows);
}

static void test_policies(void **state)
{
    struct scale_policy p;
    struct error err = {0};
    assert_int_equal(
        model_parse_json(
            &scale_policy_model, &p,
            BYTES_STR("{\"min_workers\":1,\"max_workers\":5,\"target_lag_per_worker\":2}"), NULL,
            &err),
        0);
    assert_int_equal(p.max_workers, 5);
    assert_true(p.down_cooldown_ns == 60 * NS_PER_S);
    assert_int_equal(model_parse_json(&scale_policy_model, &p,
                                      BYTES_STR("{\"min_workers\":6,\"max_workers\":5}"), NULL,
                                      &err),
                     -EINVAL);
    assert_string_equal(err.where, "max_workers");
    assert_int_equal(model_parse_json(&scale_policy_model, &p,
                                      BYTES_STR("{\"target_lag_per_worker\":0}"), NULL, &err),
                     -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows_by_the_lag),
        cmocka_unit_test(test_the_floor_is_kept_at_once),
        cmocka_unit_test(test_shrinks_slowly),
        cmocka_unit_test(test_the_busy_stay),
        cmocka_unit_test(test_what_is_not_known_changes_nothing),
        cmocka_unit_test(test_steps_are_bounded),
        cmocka_unit_test(test_to_nothing),
        cmocka_unit_test(test_policies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
