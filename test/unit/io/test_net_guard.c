/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses users may make us connect to: every form of a private one, and that public ones pass. */
#include "../unit.h"

#include "base/mem.h"
#include "io/net_guard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

static int check(const struct net_guard *g, const char *text, struct error *err)
{
    struct in_addr in;
    struct in6_addr in6;
    assert_true(inet_pton(AF_INET, text, &in) == 1 || inet_pton(AF_INET6, text, &in6) == 1);
    return net_guard_check_host(g, text, err);
}

static void test_what_is_not_public_is_refused(void **state)
{
    static const char *const refused[] = {
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.1.1",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.7",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2002:a00:1::5",
        "2002:c0a8:101::1",
        "2001::1",
        "2001:10::1",
        "2001:db8::1",
        "3fff::1",
        "2606:4700::5efe:10.0.0.1",
        "2606:4700::200:5efe:127.0.0.1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "100::1",
        "5f00::1",
        "4000::1",
    };
    const struct net_guard g = {0};
    for (unsigned i = 0; i < ARRAY_LEN(refused); i++) {
        struct error err = {0};
        if (check(&g, refused[i], &err) != -EACCES || err.text[0] == '\0') {
            fail_msg("%s was not refused", refused[i]);
        }
    }
}

static void test_public_addresses_pass(void **state)
{
    static const char *const fine[] = {
        "1.1.1.1",        "8.8.8.8",          "9.255.255.255",   "11.0.0.1",
        "100.63.255.255", "100.128.0.1",      "126.0.0.1",       "128.0.0.1",
        "169.253.0.1",    "169.255.0.1",      "172.15.255.255",  "172.32.0.1",
        "192.167.0.1",    "192.169.0.1",      "198.17.0.1",      "198.20.0.1",
        "223.0.0.1",      "168.63.129.17",    "2606:4700::1111", "2001:4860::8888",
        "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1", "2001:200::1",
    };
    const struct net_guard g = {0};
    for (unsigned i = 0; i < ARRAY_LEN(fine); i++) {
        struct error err = {0};
        if (check(&g, fine[i], &err) != 0) {
            fail_msg("%s was refused: %s", fine[i], err.text);
        }
    }
}

static void test_other_families_are_refused(void **state)
{
    const struct net_guard g = {0};
    const struct sockaddr_un un = {.sun_family = AF_UNIX};
    assert_int_equal(net_guard_check(&g, (const struct sockaddr *)&un, NULL), -EACCES);
}

static void test_what_is_listed_is_allowed(void **state)
{
    static char *const allow[] = {"127.0.0.0/8", "10.1.2.3", "fd00::/8"};
    struct net_guard g = {0};
    assert_int_equal(net_guard_init(&g, allow, ARRAY_LEN(allow), NULL), 0);
    assert_int_equal(check(&g, "127.0.0.1", NULL), 0);
    assert_int_equal(check(&g, "::ffff:127.9.9.9", NULL), 0);
    assert_int_equal(check(&g, "10.1.2.3", NULL), 0);
    assert_int_equal(check(&g, "fd12::1", NULL), 0);
    assert_int_equal(check(&g, "10.1.2.4", NULL), -EACCES);
    assert_int_equal(check(&g, "::1", NULL), -EACCES);
    /* A hidden form is only allowed by its own name. */
    assert_int_equal(check(&g, "2002:7f00:1::", NULL), -EACCES);
    static char *const everything[] = {"0.0.0.0/0", "::/0"};
    assert_int_equal(net_guard_init(&g, everything, 2, NULL), 0);
    assert_int_equal(check(&g, "192.168.7.7", NULL), 0);
    assert_int_equal(check(&g, "fe80::1", NULL), 0);
}

static void test_bad_ranges(void **state)
{
    static const char *const bad[] = {
        "",           "localhost",  "10.0.0.0/33", "10.0.0.1/8",
        "10.0.0.0/",  "10.0.0/8",   "::/129",      "fd00::1/8",
        "1.2.3.4/-1", "1.2.3.4/ 8", "1.2.3.4/8x",  "::ffff:1.2.3.4/0000000000000001",
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct net_range r;
        struct error err = {0};
        if (net_range_parse(bad[i], &r, &err) != -EINVAL || err.text[0] == '\0') {
            fail_msg("'%s' was taken", bad[i]);
        }
    }
    char *many[NET_GUARD_ALLOW_MAX + 1];
    struct net_guard g = {.n_allow = 7};
    for (unsigned i = 0; i < ARRAY_LEN(many); i++) {
        many[i] = "10.0.0.0/8";
    }
    assert_int_equal(net_guard_init(&g, many, ARRAY_LEN(many), NULL), -EINVAL);
    assert_int_equal(g.n_allow, 7);
}

/* They may be anything when they are resolved, and are judged then. */
static void test_names_are_not_judged(void **state)
{
    struct net_guard none = {0};
    struct error err = {0};
    assert_int_equal(net_guard_check_host(&none, "localhost", &err), 0);
    assert_int_equal(net_guard_check_host(&none, "10.0.0.1.example", &err), 0);
    assert_int_equal(net_guard_check_host(&none, "", &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_not_public_is_refused),
        cmocka_unit_test(test_public_addresses_pass),
        cmocka_unit_test(test_other_families_are_refused),
        cmocka_unit_test(test_what_is_listed_is_allowed),
        cmocka_unit_test(test_bad_ranges),
        cmocka_unit_test(test_names_are_not_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
