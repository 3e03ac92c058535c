/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/clock.h"
#include "service/access/throttle.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#define START_NS (1000 * NS_PER_S)
#define MS(n)    ((n)*NS_PER_MS)

union peer {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

static union peer peer(const char *text)
{
    union peer p = {0};
    if (inet_pton(AF_INET, text, &p.in.sin_addr) == 1) {
        p.sa.sa_family = AF_INET;
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &p.in6.sin6_addr), 1);
        p.sa.sa_family = AF_INET6;
    }
    return p;
}

static void fail_once(struct throttle *t, const union peer *p, unsigned guess, int64_t now_ns)
{
    char text[16];
    snprintf(text, sizeof(text), "guess%u", guess);
    const char *texts[] = {text};
    throttle_failed(t, &p->sa, throttle_digest(t, &p->sa, texts, 1), now_ns);
}

static void test_waits_grow_and_are_bounded(void **state)
{
    static const int64_t waits[] = {0, 0, 0, 250, 500, 1000, 2000, 4000, 5000, 5000};
    struct throttle *t = throttle_new();
    union peer p = peer("192.0.2.7");
    int64_t now_ns = START_NS;
    for (unsigned i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        fail_once(t, &p, i, now_ns);
        assert_int_equal(throttle_wait_ms(t, &p.sa, now_ns), waits[i]);
        now_ns += MS(waits[i]);
        assert_int_equal(throttle_wait_ms(t, &p.sa, now_ns), 0);
    }
    throttle_free(t);
}

static void test_running_ahead_adds_up(void **state)
{
    struct throttle *t = throttle_new();
    union peer p = peer("192.0.2.7");
    for (unsigned i = 0; i < 9; i++) {
        fail_once(t, &p, i, START_NS);
    }
    /* 250 + 500 + 1000 + 2000 + 4000 + 5000: who does not wait is refused unheard. */
    assert_int_equal(throttle_wait_ms(t, &p.sa, START_NS), 12750);
    assert_true(throttle_wait_ms(t, &p.sa, START_NS) > THROTTLE_WAIT_MAX_MS);
    throttle_free(t);
}

static void test_addresses_are_apart(void **state)
{
    struct throttle *t = throttle_new();
    union peer bad = peer("192.0.2.7");
    union peer good = peer("192.0.2.8");
    union peer mapped = peer("::ffff:192.0.2.7");
    union peer v6 = peer("2001:db8:1:2::1");
    union peer same_net = peer("2001:db8:1:2:ffff::9");
    union peer other_net = peer("2001:db8:1:3::1");
    for (unsigned i = 0; i < 5; i++) {
        fail_once(t, &bad, i, START_NS);
        fail_once(t, &v6, i, START_NS);
    }
    assert_true(throttle_wait_ms(t, &bad.sa, START_NS) > 0);
    assert_true(throttle_wait_ms(t, &mapped.sa, START_NS) > 0);
    assert_int_equal(throttle_wait_ms(t, &good.sa, START_NS), 0);
    assert_true(throttle_wait_ms(t, &same_net.sa, START_NS) > 0);
    assert_int_equal(throttle_wait_ms(t, &other_net.sa, START_NS), 0);
    throttle_free(t);
}

static void test_the_same_mistake_counts_once(void **state)
{
    struct throttle *t = throttle_new();
    union peer p = peer("192.0.2.7");
    const char *texts[] = {"cam", "old password"};
    const uint64_t digest = throttle_digest(t, &p.sa, texts, 2);
    for (unsigned i = 0; i < 100; i++) {
        throttle_failed(t, &p.sa, digest, START_NS + MS(i));
    }
    assert_int_equal(throttle_wait_ms(t, &p.sa, START_NS + MS(100)), 0);
    assert_true(throttle_is_known(t, digest, START_NS + MS(THROTTLE_REMEMBERED_MS - 1)));
    assert_false(throttle_is_known(t, digest, START_NS + MS(THROTTLE_REMEMBERED_MS)));
    const char *shifted[] = {"camo", "ld password"};
    assert_false(throttle_is_known(t, throttle_digest(t, &p.sa, shifted, 2), START_NS));
    throttle_forget(t);
    assert_false(throttle_is_known(t, digest, START_NS + 1));
    throttle_free(t);
}

static void test_quiet_forgives(void **state)
{
    struct throttle *t = throttle_new();
    union peer p = peer("192.0.2.7");
    for (unsigned i = 0; i < 6; i++) {
        fail_once(t, &p, i, START_NS);
    }
    int64_t later_ns = START_NS + MS(THROTTLE_QUIET_MS + 1);
    fail_once(t, &p, 7, later_ns);
    assert_int_equal(throttle_wait_ms(t, &p.sa, later_ns), 0);
    throttle_free(t);
}

/* However many addresses fail, memory stays; the newest are known. */
static void test_a_flood_of_addresses(void **state)
{
    struct throttle *t = throttle_new();
    union peer p = {.in = {.sin_family = AF_INET}};
    for (unsigned i = 0; i < 100000; i++) {
        p.in.sin_addr.s_addr = htonl(0x0a000000 + i);
        fail_once(t, &p, i, START_NS + i);
    }
    union peer last = peer("192.0.2.7");
    for (unsigned i = 0; i < 5; i++) {
        fail_once(t, &last, i, START_NS + 100001);
    }
    assert_true(throttle_wait_ms(t, &last.sa, START_NS + 100001) > 0);
    throttle_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_grow_and_are_bounded),
        cmocka_unit_test(test_running_ahead_adds_up),
        cmocka_unit_test(test_addresses_are_apart),
        cmocka_unit_test(test_the_same_mistake_counts_once),
        cmocka_unit_test(test_quiet_forgives),
        cmocka_unit_test(test_a_flood_of_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
