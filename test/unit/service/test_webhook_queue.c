/* SPDX-License-Identifier: Apache-2.0 */
/* Order, waiting, giving up and bounds of a webhook's deliveries, with a clock of the test's own. */
#include "../unit.h"

#include "base/mem.h"
#include "base/random.h"
#include "service/webhook/webhook_queue.h"

#include <stdio.h>
#include <string.h>

#define S NS_PER_S

static uint64_t highest(uint64_t n)
{
    return n - 1;
}

static uint64_t lowest(uint64_t n)
{
    return 0;
}

static const struct webhook_retry retry = {
    .first_ns = 1 * S, .max_ns = 60 * S, .give_up_ns = 600 * S, .random_below = highest};

static struct webhook_delivery *delivery(const char *id, const char *resource, int64_t now)
{
    struct webhook_delivery *d = mem_new(struct webhook_delivery);
    *d = (struct webhook_delivery){
        .id = mem_strdup(id),
        .webhook = mem_strdup("w"),
        .event = mem_strdup("stream.ready"),
        .resource = mem_strdup(resource),
        .body = mem_strdup("{}"),
        .created_at = now,
        .queued_at = now,
        .stored = true,
    };
    return d;
}

static struct webhook_delivery *add(struct webhook_queue *q, const char *id, const char *resource,
                                    int64_t now)
{
    struct webhook_delivery *d = delivery(id, resource, now);
    webhook_queue_add(q, d, now);
    return d;
}

static void accept(struct webhook_queue *q, struct webhook_delivery *d, int64_t now)
{
    webhook_queue_remove(q, d, now);
    webhook_delivery_free(d);
}

#define expect_next(q, now, expected)                                                              \
    ({                                                                                             \
        struct webhook_delivery *_d = webhook_queue_next((q), (now));                              \
        assert_string_equal(_d ? _d->id : "none", (expected));                                     \
        _d;                                                                                        \
    })

static void test_order_per_resource_and_no_waiting_between_them(void **state)
{
    struct webhook_queue q;
    webhook_queue_init(&q);
    add(&q, "a1", "a", 0);
    add(&q, "a2", "a", 0);
    add(&q, "b1", "b", 0);
    struct webhook_delivery *a1 = expect_next(&q, 0, "a1");
    struct webhook_delivery *b1 = expect_next(&q, 0, "b1");
    expect_next(&q, 0, "none");
    assert_int_equal(q.n_sending, 2);
    accept(&q, b1, 0);
    expect_next(&q, 0, "none");
    /* a1 fails: a2 waits for it, however late. */
    assert_false(webhook_queue_failed(&q, a1, &retry, 0, 0));
    expect_next(&q, 0, "none");
    assert_int_equal(webhook_queue_due(&q, 0), 1 * S);
    expect_next(&q, 1 * S - 1, "none");
    a1 = expect_next(&q, 1 * S, "a1");
    accept(&q, a1, 1 * S);
    struct webhook_delivery *a2 = expect_next(&q, 1 * S, "a2");
    accept(&q, a2, 1 * S);
    assert_int_equal(q.n_pending, 0);
    assert_int_equal(q.bytes, 0);
    assert_int_equal(q.lanes.len, 0);
    webhook_queue_done(&q);
}

static void test_waits_double_up_to_the_most(void **state)
{
    static const struct {
        uint64_t (*random)(uint64_t n);
        int64_t waits[9];
    } cases[] = {
        {highest, {1 * S, 2 * S, 4 * S, 8 * S, 16 * S, 32 * S, 60 * S, 60 * S, 60 * S}},
        {lowest, {S / 2, 1 * S, 2 * S, 4 * S, 8 * S, 16 * S, 30 * S, 30 * S, 30 * S}},
    };
    for (unsigned c = 0; c < ARRAY_LEN(cases); c++) {
        struct webhook_queue q;
        struct webhook_retry r = retry;
        int64_t now = 1000 * S;
        r.random_below = cases[c].random;
        webhook_queue_init(&q);
        struct webhook_delivery *d = add(&q, "a", "a", now);
        for (unsigned i = 0; i < ARRAY_LEN(cases[c].waits); i++) {
            expect_next(&q, now, "a");
            assert_false(webhook_queue_failed(&q, d, &r, 0, now));
            assert_int_equal(d->attempts, i + 1);
            assert_int_equal(webhook_queue_due(&q, now), now + cases[c].waits[i]);
            now += cases[c].waits[i];
        }
        webhook_queue_done(&q);
    }
}

static void test_a_receiver_may_ask_for_more_time(void **state)
{
    struct webhook_queue q;
    struct webhook_retry r = retry;
    r.give_up_ns = 100 * WEBHOOK_WAIT_MAX_NS;
    webhook_queue_init(&q);
    struct webhook_delivery *d = add(&q, "a", "a", 0);
    expect_next(&q, 0, "a");
    assert_false(webhook_queue_failed(&q, d, &r, 30 * S, 0));
    assert_int_equal(webhook_queue_due(&q, 0), 30 * S);
    expect_next(&q, 30 * S, "a");
    /* Less than ours is ours; and nobody makes us wait for days. */
    assert_false(webhook_queue_failed(&q, d, &r, 1, 30 * S));
    assert_int_equal(webhook_queue_due(&q, 30 * S), 32 * S);
    expect_next(&q, 32 * S, "a");
    assert_false(webhook_queue_failed(&q, d, &r, INT64_MAX / 4, 32 * S));
    assert_int_equal(webhook_queue_due(&q, 32 * S), 32 * S + WEBHOOK_WAIT_MAX_NS);
    webhook_queue_done(&q);
}

static void test_giving_up_lets_the_next_go_and_replay_puts_it_behind(void **state)
{
    struct webhook_queue q;
    struct webhook_retry r = retry;
    r.give_up_ns = 2 * S;
    webhook_queue_init(&q);
    struct webhook_delivery *a1 = add(&q, "a1", "a", 0);
    struct webhook_delivery *a2 = add(&q, "a2", "a", 0);
    expect_next(&q, 0, "a1");
    assert_false(webhook_queue_failed(&q, a1, &r, 0, 0));
    expect_next(&q, 1 * S, "a1");
    /* The next wait would end at 3 s. */
    assert_true(webhook_queue_failed(&q, a1, &r, 0, 1 * S));
    assert_int_equal(a1->state, WEBHOOK_DEAD);
    assert_int_equal(q.n_dead, 1);
    assert_int_equal(q.n_pending, 1);
    assert_int_equal(q.n_sending, 0);
    assert_ptr_equal(webhook_queue_find(&q, "a1"), a1);
    expect_next(&q, 1 * S, "a2");
    webhook_queue_replay(&q, a1, 100 * S);
    assert_int_equal(a1->attempts, 0);
    expect_next(&q, 100 * S, "none");
    accept(&q, a2, 100 * S);
    expect_next(&q, 100 * S, "a1");
    /* Giving up counts from the replay. */
    assert_false(webhook_queue_failed(&q, a1, &r, 0, 100 * S));
    webhook_queue_done(&q);
}

static void test_what_is_not_stored_is_not_sent(void **state)
{
    struct webhook_queue q;
    webhook_queue_init(&q);
    struct webhook_delivery *a1 = delivery("a1", "a", 0);
    struct webhook_delivery *a2 = delivery("a2", "a", 0);
    a1->stored = a2->stored = false;
    webhook_queue_add(&q, a1, 0);
    webhook_queue_add(&q, a2, 0);
    webhook_queue_stored(&q, a2, 0);
    expect_next(&q, 0, "none");
    webhook_queue_stored(&q, a1, 0);
    expect_next(&q, 0, "a1");
    accept(&q, a1, 0);
    expect_next(&q, 0, "a2");
    webhook_queue_done(&q);
}

static void test_what_goes_first_when_there_is_no_room(void **state)
{
    struct webhook_queue q;
    webhook_queue_init(&q);
    struct webhook_delivery *a1 = add(&q, "a1", "a", 0);
    add(&q, "a2", "a", 0);
    add(&q, "b1", "b", 0);
    expect_next(&q, 0, "a1");
    assert_string_equal(webhook_queue_oldest(&q)->id, "a2"); /* a1 is on its way */
    webhook_queue_kill(&q, a1, 0);
    assert_string_equal(webhook_queue_oldest(&q)->id, "a1"); /* dead ones first */
    accept(&q, a1, 0);
    struct webhook_delivery *a2 = webhook_queue_oldest(&q);
    assert_string_equal(a2->id, "a2");
    accept(&q, a2, 0);
    expect_next(&q, 0, "b1");
    assert_null(webhook_queue_oldest(&q));
    webhook_queue_done(&q);
}

static void test_a_clock_that_steps_back(void **state)
{
    struct webhook_queue q;
    const int64_t then = 100 * WEBHOOK_WAIT_MAX_NS;
    webhook_queue_init(&q);
    struct webhook_delivery *d = add(&q, "a", "a", then);
    expect_next(&q, then, "a");
    assert_false(webhook_queue_failed(&q, d, &retry, 0, then));
    /* It is long before: not tried at once, and not only when that time comes round again. */
    expect_next(&q, 5 * S, "none");
    assert_true(webhook_queue_due(&q, 5 * S) <= 5 * S + WEBHOOK_WAIT_MAX_NS);
    expect_next(&q, 5 * S + WEBHOOK_WAIT_MAX_NS, "a");
    webhook_queue_done(&q);
}

static void test_hurry(void **state)
{
    struct webhook_queue q;
    webhook_queue_init(&q);
    struct webhook_delivery *d = add(&q, "a", "a", 0);
    expect_next(&q, 0, "a");
    assert_false(webhook_queue_failed(&q, d, &retry, 50 * S, 0));
    expect_next(&q, 1 * S, "none");
    webhook_queue_hurry(&q, 1 * S);
    expect_next(&q, 1 * S, "a");
    webhook_queue_done(&q);
}

/* A thousand random steps: each resource's deliveries end in their order, nothing is lost, all is counted. */
static void test_order_holds_under_random_failures(void **state)
{
    struct webhook_queue q;
    struct webhook_delivery *sending[16];
    unsigned n_sending = 0;
    unsigned made[4] = {0};
    unsigned ended[4] = {0};
    int64_t now = 0;
    struct webhook_retry r = retry;
    r.give_up_ns = INT64_MAX / 2;
    r.random_below = NULL;
    webhook_queue_init(&q);
    for (unsigned step = 0; step < 4000; step++) {
        unsigned lane = (unsigned)random_below(4);
        if (step < 2000 && random_below(3) == 0) {
            char id[16];
            char resource[2] = {(char)('a' + lane), '\0'};
            snprintf(id, sizeof(id), "%u", made[lane]++);
            add(&q, id, resource, now);
        }
        struct webhook_delivery *d = n_sending < 16 ? webhook_queue_next(&q, now) : NULL;
        if (d) {
            sending[n_sending++] = d;
        } else if (n_sending > 0) {
            unsigned i = (unsigned)random_below(n_sending);
            d = sending[i];
            sending[i] = sending[--n_sending];
            if (random_below(2) == 0) {
                assert_false(webhook_queue_failed(&q, d, &r, 0, now));
            } else {
                unsigned from = (unsigned)(d->resource[0] - 'a');
                assert_int_equal(strtoul(d->id, NULL, 10), ended[from]++);
                accept(&q, d, now);
            }
        }
        assert_int_equal(q.n_sending, n_sending);
        now += (int64_t)random_below((uint64_t)(2 * S));
    }
    while (q.n_pending > 0) {
        struct webhook_delivery *d = n_sending ? sending[--n_sending] : webhook_queue_next(&q, now);
        if (d) {
            assert_int_equal(strtoul(d->id, NULL, 10), ended[d->resource[0] - 'a']++);
            accept(&q, d, now);
        } else {
            int64_t due = webhook_queue_due(&q, now);
            assert_true(due > now && due < INT64_MAX);
            now = due;
        }
    }
    assert_memory_equal(made, ended, sizeof(made));
    assert_int_equal(q.bytes, 0);
    webhook_queue_done(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_per_resource_and_no_waiting_between_them),
        cmocka_unit_test(test_waits_double_up_to_the_most),
        cmocka_unit_test(test_a_receiver_may_ask_for_more_time),
        cmocka_unit_test(test_giving_up_lets_the_next_go_and_replay_puts_it_behind),
        cmocka_unit_test(test_what_is_not_stored_is_not_sent),
        cmocka_unit_test(test_what_goes_first_when_there_is_no_room),
        cmocka_unit_test(test_a_clock_that_steps_back),
        cmocka_unit_test(test_hurry),
        cmocka_unit_test(test_order_holds_under_random_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
