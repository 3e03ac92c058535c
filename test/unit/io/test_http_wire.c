/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/mem.h"
#include "io/http_wire.h"

#include <errno.h>
#include <time.h>

static void path(const char *raw, const char *expected)
{
    /* In place, as the server does it, in memory of exactly that size. */
    _cleanup_free_ char *text = mem_strdup(raw);
    int r = http_path_decode(BYTES(text, strlen(raw)), text);
    if (!expected) {
        if (r >= 0) {
            fail_msg("%s was taken for %s", raw, text);
        }
        return;
    }
    assert_int_equal(r, strlen(expected));
    assert_string_equal(text, expected);
}

static void test_paths(void **state)
{
    path("/", "/");
    path("/a/b", "/a/b");
    path("/a%20b/%c3%a9", "/a b/\xc3\xa9");
    path("/a/./b", "/a/b");
    path("/a/../b", "/b");
    path("/a/b/..", "/a/");
    path("/a/b/.", "/a/b/");
    path("/.", "/");
    path("/a/..", "/");
    path("/a//b", "/a//b");
    path("/a/b/../../c", "/c");
    path("/%61/%2e/b", "/a/b");
    path("/a/%2e%2E/b", "/b");
    path("/...", "/...");
    path("/.a", "/.a");
    path("/a..", "/a..");
    path("/a%25b", "/a%b");
    path("/..", NULL);
    path("/../a", NULL);
    path("/a/../../b", NULL);
    path("/%2e%2e/a", NULL);
    path("/a%2fb", NULL);
    path("/a%5Cb", NULL);
    path("/a\\b", NULL);
    path("/a%00", NULL);
    path("/a%0a", NULL);
    path("/a%7f", NULL);
    path("/a%", NULL);
    path("/a%4", NULL);
    path("/a%4g", NULL);
    path("/%ff", NULL);
    path("/%c3", NULL);
    path("a", NULL);
    path("", NULL);
}

static void target(const char *text, const char *expected)
{
    struct http_target t;
    _cleanup_(out_done) struct out o = {0};
    if (http_target_parse(BYTES_STR(text), &t) < 0) {
        out_puts(&o, "bad");
    } else {
        out_bytes(&o, t.authority);
        out_puts(&o, " ");
        out_bytes(&o, t.path);
        out_puts(&o, " ");
        out_bytes(&o, t.query);
        out_puts(&o, t.asterisk ? " *" : "");
    }
    assert_string_equal(out_str(&o), expected);
}

static void test_targets(void **state)
{
    target("/", " / ");
    target("/a?b=c?d", " /a b=c?d");
    target("/?", " / ");
    target("//a/b", " //a/b ");
    target("*", "   *");
    target("http://h:80/a?b", "h:80 /a b");
    target("HTTPS://[::1]:8443", "[::1]:8443  ");
    target("http://h?q", "h  q");
    target("http:///a", "bad");
    target("http://u@h/a", "bad");
    target("ftp://h/a", "bad");
    target("h:443", "bad");
    target("a", "bad");
    target("", "bad");
    target("**", "bad");
    target("/a#b", "bad");
    target("/a?b#c", "bad");
}

static void query(const char *q, const char *key, const char *expected)
{
    char buf[8];
    bool found = http_query_get(q, key, buf, sizeof(buf));
    assert_int_equal(found, expected != NULL);
    if (expected) {
        assert_string_equal(buf, expected);
    }
}

static void test_queries(void **state)
{
    query("a=1&b=2", "a", "1");
    query("a=1&b=2", "b", "2");
    query("a=1&a=2", "a", "1");
    query("a&b=", "a", "");
    query("a&b=", "b", "");
    query("a=b=c", "a", "b=c");
    query("%61=x%20y+z", "a", "x y z");
    query("&&a=1&", "a", "1");
    query("a=1234567", "a", "1234567");
    query("a=12345678", "a", NULL);
    query("a=%0", "a", NULL);
    query("a=%00", "a", NULL);
    query("", "a", NULL);
    query("ab=1", "a", NULL);
}

static void test_dates(void **state)
{
    char buf[HTTP_DATE_MAX];
    int64_t t;
    http_date_format(784111777, buf);
    assert_string_equal(buf, "Sun, 06 Nov 1994 08:49:37 GMT");
    /* Every day of four centuries and a bit, against the C library. */
    for (int64_t day = 0; day < 170000; day++) {
        struct tm tm;
        char want[HTTP_DATE_MAX];
        time_t at = day * 86400 + 86399;
        assert_non_null(gmtime_r(&at, &tm));
        assert_int_equal(strftime(want, sizeof(want), "%a, %d %b %Y %H:%M:%S GMT", &tm), 29);
        http_date_format(at, buf);
        if (strcmp(buf, want) != 0 || !http_date_parse(buf, &t) || t != at) {
            fail_msg("%s instead of %s", buf, want);
        }
    }
    static const char *const same[] = {
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    };
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        assert_true(http_date_parse(same[i], &t));
        assert_int_equal(t, 784111777);
    }
    static const char *const bad[] = {
        "",
        "yesterday",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 GMT+1",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 36 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 28:49:37 GMT",
        "Sun, 06 Nov 1894 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:-9:37 GMT",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(http_date_parse(bad[i], &t));
    }
}

static void range(const char *value, uint64_t size, enum http_verdict verdict, uint64_t first,
                  uint64_t last)
{
    uint64_t a = 0;
    uint64_t b = 0;
    const struct http_conditions c = {.range = value};
    assert_int_equal(http_judge(&c, "\"e\"", 0, size, &a, &b), verdict);
    assert_int_equal(a, first);
    assert_int_equal(b, last);
}

static void test_ranges(void **state)
{
    range("bytes=0-0", 100, HTTP_PARTIAL, 0, 0);
    range("bytes=0-", 100, HTTP_PARTIAL, 0, 99);
    range("BYTES=10-19", 100, HTTP_PARTIAL, 10, 19);
    range("bytes=10-1000", 100, HTTP_PARTIAL, 10, 99);
    range("bytes=99-", 100, HTTP_PARTIAL, 99, 99);
    range("bytes=-1", 100, HTTP_PARTIAL, 99, 99);
    range("bytes=-500", 100, HTTP_PARTIAL, 0, 99);
    range("bytes=100-", 100, HTTP_UNSATISFIABLE, 0, 0);
    range("bytes=-0", 100, HTTP_UNSATISFIABLE, 0, 0);
    range("bytes=-1", 0, HTTP_UNSATISFIABLE, 0, 0);
    range("bytes=0-", 0, HTTP_UNSATISFIABLE, 0, 0);
    range("bytes=5-4", 100, HTTP_PROCEED, 0, 0);
    range("bytes=0-1,3-4", 100, HTTP_PROCEED, 0, 0);
    range("bytes=", 100, HTTP_PROCEED, 0, 0);
    range("bytes=-", 100, HTTP_PROCEED, 0, 0);
    range("bytes=a-b", 100, HTTP_PROCEED, 0, 0);
    range("bytes=1", 100, HTTP_PROCEED, 0, 0);
    range("bytes=99999999999999999999-", 100, HTTP_PROCEED, 0, 0);
    range("lines=0-1", 100, HTTP_PROCEED, 0, 0);
}

#define OLD "Sun, 06 Nov 1994 08:49:37 GMT"
#define NEW "Sun, 06 Nov 1994 08:49:38 GMT"

static void test_conditions(void **state)
{
    static const struct {
        struct http_conditions c;
        enum http_verdict verdict;
    } table[] = {
        {{0}, HTTP_PROCEED},
        {{.if_none_match = "\"e\""}, HTTP_NOT_MODIFIED},
        {{.if_none_match = "W/\"e\""}, HTTP_NOT_MODIFIED},
        {{.if_none_match = "\"x\", \"e\""}, HTTP_NOT_MODIFIED},
        {{.if_none_match = "*"}, HTTP_NOT_MODIFIED},
        {{.if_none_match = "\"x\""}, HTTP_PROCEED},
        {{.if_none_match = "e"}, HTTP_PROCEED},
        {{.if_none_match = "\"e"}, HTTP_PROCEED},
        {{.if_none_match = "\"x\"", .if_modified_since = NEW}, HTTP_PROCEED},
        {{.if_modified_since = OLD}, HTTP_NOT_MODIFIED},
        {{.if_modified_since = "Sun, 06 Nov 1994 08:49:36 GMT"}, HTTP_PROCEED},
        {{.if_modified_since = "x"}, HTTP_PROCEED},
        {{.if_match = "\"e\""}, HTTP_PROCEED},
        {{.if_match = "W/\"e\""}, HTTP_FAILED},
        {{.if_match = "\"x\""}, HTTP_FAILED},
        {{.if_match = "*"}, HTTP_PROCEED},
        {{.if_unmodified_since = OLD}, HTTP_PROCEED},
        {{.if_unmodified_since = "Sun, 06 Nov 1994 08:49:36 GMT"}, HTTP_FAILED},
        {{.range = "bytes=0-1", .if_range = "\"e\""}, HTTP_PARTIAL},
        {{.range = "bytes=0-1", .if_range = "\"x\""}, HTTP_PROCEED},
        {{.range = "bytes=0-1", .if_range = "W/\"e\""}, HTTP_PROCEED},
        {{.range = "bytes=0-1", .if_range = OLD}, HTTP_PARTIAL},
        {{.range = "bytes=0-1", .if_range = NEW}, HTTP_PROCEED},
        {{.range = "bytes=0-1", .if_none_match = "\"e\""}, HTTP_NOT_MODIFIED},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        uint64_t a;
        uint64_t b;
        enum http_verdict v = http_judge(&table[i].c, "\"e\"", 784111777, 100, &a, &b);
        if (v != table[i].verdict) {
            fail_msg("case %zu: %d instead of %d", i, v, table[i].verdict);
        }
    }
}

static void test_content_coding(void **state)
{
    static const char *const yes[] = {"gzip",         "deflate, GZip, br", "gzip;q=0.5",
                                      "gzip ; q=1.0", "br,gzip;q=0.001",   "gzip;x=0"};
    static const char *const no[] = {"",  "identity",        "gzip;q=0", "gzip; Q=0.000, br",
                                     "*", "gzipped, x-gzip", "br;gzip",  ",;,"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        assert_true(http_accepts_gzip(yes[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(no); i++) {
        assert_false(http_accepts_gzip(no[i]));
    }
    assert_false(http_accepts_gzip(NULL));
}

static void test_problem(void **state)
{
    struct error err;
    _cleanup_(out_done) struct out o = {0};
    error_set(&err, -EINVAL, "tracks[0].codec", "is \"x\"");
    http_problem_json(&o, 422, "bad-field", &err);
    assert_string_equal(
        out_str(&o), "{\"type\":\"about:blank\",\"title\":\"Unprocessable Content\",\"status\":422,"
                     "\"code\":\"bad-field\",\"detail\":\"is \\\"x\\\"\","
                     "\"field\":\"tracks[0].codec\"}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),   cmocka_unit_test(test_targets),
        cmocka_unit_test(test_queries), cmocka_unit_test(test_dates),
        cmocka_unit_test(test_ranges),  cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_problem), cmocka_unit_test(test_content_coding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
