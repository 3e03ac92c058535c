/* SPDX-License-Identifier: Apache-2.0 */
/* Networks, and who is behind proxies: the rightmost address that is not a trusted proxy. */
#include "../unit.h"

#include "base/mem.h"
#include "io/http_forwarded.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

static struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage ss = {0};
    if (inet_pton(AF_INET, text, &((struct sockaddr_in *)&ss)->sin_addr) == 1) {
        ss.ss_family = AF_INET;
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)&ss)->sin6_addr), 1);
        ss.ss_family = AF_INET6;
    }
    return ss;
}

static bool is_in(const char *net, const char *text)
{
    struct net_range c;
    struct error err = {0};
    struct sockaddr_storage ss = address(text);
    assert_int_equal(net_range_parse(net, &c, &err), 0);
    return net_range_contains(&c, (struct sockaddr *)&ss);
}

static void test_networks(void **state)
{
    assert_true(is_in("10.0.0.0/8", "10.255.1.2"));
    assert_false(is_in("10.0.0.0/8", "11.0.0.0"));
    assert_true(is_in("10.0.0.0/8", "::ffff:10.1.1.1"));
    assert_true(is_in("::ffff:10.1.1.1", "10.1.1.1"));
    assert_true(is_in("192.0.2.128/25", "192.0.2.129"));
    assert_false(is_in("192.0.2.128/25", "192.0.2.127"));
    assert_true(is_in("192.0.2.7", "192.0.2.7"));
    assert_false(is_in("192.0.2.7", "192.0.2.6"));
    assert_true(is_in("0.0.0.0/0", "203.0.113.1"));
    assert_false(is_in("0.0.0.0/0", "2001:db8::1"));
    assert_true(is_in("::/0", "203.0.113.1"));
    assert_true(is_in("fd00::/8", "fdff::1"));
    assert_false(is_in("fd00::/8", "fe00::1"));
    assert_false(is_in("::1", "127.0.0.1"));
    const struct sockaddr local = {.sa_family = AF_UNIX};
    struct net_range all;
    assert_int_equal(net_range_parse("::/0", &all, NULL), 0);
    assert_false(net_range_contains(&all, &local));
}

static void test_what_is_no_network(void **state)
{
    static const char *const bad[] = {
        "",
        "localhost",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.1/8",
        "10.0.0.0/-1",
        "::1/129",
        "10.0.0.0/8/8",
        "10.0.0.0/ 8",
        "10.0.0/8",
        "fd00::1/8",
        "10.0.0.0/0x8",
        "10.0.0.0/8 ",
        "1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.9.0/8",
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct net_range c;
        struct error err = {0};
        if (net_range_parse(bad[i], &c, &err) != -EINVAL) {
            fail_msg("'%s' was taken", bad[i]);
        }
    }
}

struct rig {
    struct net_range nets[2];
    struct trusted_proxies proxies;
    char text[INET6_ADDRSTRLEN];
};

/* The client by X-Forwarded-For, "" = nobody is named. The proxies: 127.0.0.1 and 10/8. */
static const char *shown(struct rig *g, bool found, const struct sockaddr_storage *ss)
{
    const void *raw = ss->ss_family == AF_INET
                          ? (const void *)&((const struct sockaddr_in *)ss)->sin_addr
                          : (const void *)&((const struct sockaddr_in6 *)ss)->sin6_addr;
    g->text[0] = '\0';
    if (found) {
        assert_non_null(inet_ntop(ss->ss_family, raw, g->text, sizeof(g->text)));
    }
    return g->text;
}

static void init(struct rig *g)
{
    assert_int_equal(net_range_parse("127.0.0.1", &g->nets[0], NULL), 0);
    assert_int_equal(net_range_parse("10.0.0.0/8", &g->nets[1], NULL), 0);
    g->proxies = (struct trusted_proxies){2, g->nets};
}

static const char *by_list(struct rig *g, const char *header, const char *peer)
{
    struct sockaddr_storage from = address(peer);
    struct sockaddr_storage client = {0};
    bool found = forwarded_walk_list(header, (struct sockaddr *)&from, &g->proxies, &client);
    return shown(g, found, &client);
}

static const char *by_standard(struct rig *g, const char *header, const char *peer, bool *tls)
{
    struct sockaddr_storage from = address(peer);
    struct forwarded f = {0};
    bool found = forwarded_walk(header, (struct sockaddr *)&from, &g->proxies, &f);
    *tls = f.tls;
    return shown(g, found, &f.client);
}

static void test_the_rightmost_untrusted_is_the_client(void **state)
{
    struct rig g;
    init(&g);
    assert_string_equal(by_list(&g, "203.0.113.9", "127.0.0.1"), "203.0.113.9");
    /* What the client invented stands to the left of what the proxy added. */
    assert_string_equal(by_list(&g, "127.0.0.1, 203.0.113.9", "127.0.0.1"), "203.0.113.9");
    assert_string_equal(by_list(&g, "8.8.8.8,203.0.113.9 , 10.1.2.3", "127.0.0.1"), "203.0.113.9");
    assert_string_equal(by_list(&g, "203.0.113.9:4711", "::ffff:127.0.0.1"), "203.0.113.9");
    assert_string_equal(by_list(&g, "[2001:db8::7]:80", "127.0.0.1"), "2001:db8::7");
    assert_string_equal(by_list(&g, "2001:db8::7", "10.0.0.1"), "2001:db8::7");
    /* All of them are proxies: the farthest one that is known. */
    assert_string_equal(by_list(&g, "10.0.0.7, 10.0.0.8", "127.0.0.1"), "10.0.0.7");
    /* Nobody trusted says anything. */
    assert_string_equal(by_list(&g, "203.0.113.9", "198.51.100.1"), "");
    assert_string_equal(by_list(&g, "", "127.0.0.1"), "");
    assert_string_equal(by_list(&g, " , ,", "127.0.0.1"), "");
    assert_string_equal(by_list(&g, "unknown", "127.0.0.1"), "");
    assert_string_equal(by_list(&g, "[::1", "127.0.0.1"), "");
    assert_string_equal(by_list(&g, "[::1]x", "127.0.0.1"), "");
    /* What cannot be read ends the walk: nothing before it counts. */
    assert_string_equal(by_list(&g, "203.0.113.9, unknown, 10.0.0.8", "127.0.0.1"), "10.0.0.8");
}

static void test_only_the_last_hops_are_looked_at(void **state)
{
    struct rig g;
    char header[FORWARDED_HOPS_MAX * 16 + 64] = "203.0.113.9";
    init(&g);
    for (unsigned i = 0; i < FORWARDED_HOPS_MAX; i++) {
        strcat(header, ",10.0.0.1");
    }
    assert_string_equal(by_list(&g, header, "127.0.0.1"), "10.0.0.1");
}

static void test_the_standard_header(void **state)
{
    struct rig g;
    bool tls;
    init(&g);
    assert_string_equal(by_standard(&g, "for=203.0.113.9;proto=https", "127.0.0.1", &tls),
                        "203.0.113.9");
    assert_true(tls);
    assert_string_equal(by_standard(&g, "For=\"[2001:db8::7]:4711\" ; Proto=\"http\";by=10.0.0.1",
                                    "127.0.0.1", &tls),
                        "2001:db8::7");
    assert_false(tls);
    /* The protocol is that of the client's own hop. */
    assert_string_equal(
        by_standard(&g,
                    "for=1.1.1.1;proto=http, for=203.0.113.9;proto=https, for=10.0.0.2;proto=http",
                    "127.0.0.1", &tls),
        "203.0.113.9");
    assert_true(tls);
    /* A comma inside quotes parts nothing: this is one hop, which names nobody. */
    assert_string_equal(by_standard(&g, "for=\"_x, for=203.0.113.9\"", "127.0.0.1", &tls), "");
    assert_string_equal(by_standard(&g, "for=\"203.0.113\\.9\"", "127.0.0.1", &tls), "203.0.113.9");
    assert_string_equal(by_standard(&g, "by=203.0.113.9;proto=https", "127.0.0.1", &tls), "");
    assert_false(tls);
    assert_string_equal(by_standard(&g, "for=_hidden", "127.0.0.1", &tls), "");
    assert_string_equal(by_standard(&g, "for=203.0.113.9", "192.0.2.1", &tls), "");
}

/* The client writes the front of the header: what it opens there must not hide what the proxy wrote behind it. */
static void test_quotes_that_are_left_open(void **state)
{
    static const char *const fronts[] = {
        "for=192.0.2.66;x=\"",
        "for=192.0.2.66;x=\"a",
        "for=192.0.2.66;x=\"\\",
        "for=192.0.2.66;x=\"\"\"",
        "for=192.0.2.66;x=a\"b",
        "for=192.0.2.66;\"",
        "for=\"192.0.2.66",
        "\"",
        "=\"",
    };
    static const char *const backs[] = {
        "for=203.0.113.9",
        "for=\"203.0.113.9:80\"",
        "for=203.0.113.9;by=\"_a\";proto=https",
        "for=\"203.0.113.9:80\";by=\"_a,b\"",
    };
    struct rig g;
    bool tls;
    init(&g);
    for (unsigned i = 0; i < ARRAY_LEN(fronts); i++) {
        for (unsigned k = 0; k < ARRAY_LEN(backs); k++) {
            for (unsigned blank = 0; blank < 2; blank++) {
                _cleanup_free_ char *header =
                    mem_printf("%s,%s%s", fronts[i], blank ? " " : "", backs[k]);
                const char *client = by_standard(&g, header, "127.0.0.1", &tls);
                if (strcmp(client, "203.0.113.9") != 0) {
                    fail_msg("%s: '%s'", header, client);
                }
            }
        }
        _cleanup_free_ char *list = mem_printf("%s, 203.0.113.9", fronts[i]);
        assert_string_equal(by_list(&g, list, "127.0.0.1"), "203.0.113.9");
    }
    /* Quotes that are quotes still keep commas and semicolons. */
    assert_string_equal(
        by_standard(&g, "for=192.0.2.1;x=\"a, \\\"b;\";proto=https", "127.0.0.1", &tls),
        "192.0.2.1");
    assert_true(tls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_networks),
        cmocka_unit_test(test_what_is_no_network),
        cmocka_unit_test(test_the_rightmost_untrusted_is_the_client),
        cmocka_unit_test(test_only_the_last_hops_are_looked_at),
        cmocka_unit_test(test_the_standard_header),
        cmocka_unit_test(test_quotes_that_are_left_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
