/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/mem.h"
#include "base/url.h"

#include <errno.h>

static void test_parts_are_found(void **state)
{
    static const struct {
        const char *text;
        const char *scheme, *user, *password, *host;
        int port;
        const char *path, *query;
    } cases[] = {
        {"rtmp://live.twitch.tv/app/live_1?x=1", "rtmp", NULL, NULL, "live.twitch.tv", 1935,
         "/app/live_1", "x=1"},
        {"RTSP://Admin:p%40ss%2Fword@CAM.local:8554/s", "rtsp", "Admin", "p@ss/word", "cam.local",
         8554, "/s", NULL},
        {"rtsp://admin:p@ss@10.0.0.5/s", "rtsp", "admin", "p@ss", "10.0.0.5", 554, "/s", NULL},
        {"https://[2001:DB8::1]:8443?q", "https", NULL, NULL, "2001:db8::1", 8443, "", "q"},
        {"ws://[::1]/x", "ws", NULL, NULL, "::1", 80, "/x", NULL},
        {"srt://:9000?streamid=publish:x", "srt", NULL, NULL, "", 9000, "", "streamid=publish:x"},
        {"file:///etc/x", "file", NULL, NULL, "", 0, "/etc/x", NULL},
        {"http://user@h", "http", "user", NULL, "h", 80, "", NULL},
        {"http://:@h:/", "http", "", "", "h", 80, "/", NULL},
        {"custom+x.1://h", "custom+x.1", NULL, NULL, "h", 0, "", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct url u;
        struct error err = {0};
        if (url_parse(cases[i].text, &u, &err) < 0) {
            fail_msg("%s: %s", cases[i].text, err.text);
        }
        assert_string_equal(u.scheme, cases[i].scheme);
        assert_string_equal(u.host, cases[i].host);
        assert_string_equal(u.path, cases[i].path);
        assert_int_equal(u.port, cases[i].port);
        assert_string_equal(u.user ? u.user : "-", cases[i].user ? cases[i].user : "-");
        assert_string_equal(u.password ? u.password : "-",
                            cases[i].password ? cases[i].password : "-");
        assert_string_equal(u.query ? u.query : "-", cases[i].query ? cases[i].query : "-");
        assert_int_equal(u.ipv6, strchr(cases[i].host, ':') != NULL);
        /* What is written reads back as the same parts. */
        struct out o = {0};
        struct url again;
        url_format(&u, &o);
        assert_int_equal(url_parse(out_str(&o), &again, &err), 0);
        assert_string_equal(again.password ? again.password : "-", u.password ? u.password : "-");
        assert_string_equal(again.host, u.host);
        assert_int_equal(again.port, u.port);
        out_done(&o);
        url_done(&again);
        url_done(&u);
    }
}

static void test_a_url_is_written_as_it_was(void **state)
{
    const char *text = "rtsps://u:p%40x@[::1]:322/a%20b?c=d#e";
    struct url u;
    struct out o = {0};
    assert_int_equal(url_parse(text, &u, NULL), 0);
    assert_string_equal(u.fragment, "e");
    url_format(&u, &o);
    assert_string_equal(out_str(&o), text);
    out_done(&o);
    url_done(&u);
}

static void test_bad_ones_are_refused_without_quoting_them(void **state)
{
    static const char *const cases[] = {
        "",
        "x",
        "://h",
        "1http://h",
        "ht tp://h",
        "http://",
        "http:///x",
        "rtmp://u:pass1@",
        "http://h:0",
        "http://h:65536",
        "http://h:8x",
        "http://h:000080",
        "http://[::1",
        "http://[::g]",
        "http://[::1]x",
        "http://a b",
        "http://h\n",
        "http://a:pass1%zz@h",
        "http://pass1%00@h",
        "http://h_\xc3\xa4",
        "http://h<",
        "h_t://x",
        "mailto:pass1@h",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct url u;
        struct error err = {0};
        assert_int_equal(url_parse(cases[i], &u, &err), -EINVAL);
        assert_null(u.scheme);
        assert_null(u.host);
        assert_null(strstr(err.text, "pass1"));
        assert_true(strlen(err.text) > 20);
    }
    _cleanup_free_ char *longer = mem_zalloc(URL_MAX + 2);
    memset(longer, 'a', URL_MAX + 1);
    memcpy(longer, "http://", 7);
    struct url u;
    assert_int_equal(url_parse(longer, &u, NULL), -EINVAL);
    longer[260] = '\0'; /* 253 characters of host */
    assert_int_equal(url_parse(longer, &u, NULL), 0);
    url_done(&u);
    strcpy(longer + 260, "a");
    assert_int_equal(url_parse(longer, &u, NULL), -EINVAL);
}

static void test_query_values_are_decoded(void **state)
{
    const char *query = "a=1&token=a%2Bb+c&empty=&flag&bad=%zz&a=2&k%65y=v";
    static const char *const cases[][2] = {{"a", "1"},     {"token", "a+b c"}, {"empty", ""},
                                           {"flag", ""},   {"bad", NULL},      {"key", "v"},
                                           {"none", NULL}, {"A", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_free_ char *v = url_query_get(query, cases[i][0]);
        assert_string_equal(v ? v : "(null)", cases[i][1] ? cases[i][1] : "(null)");
    }
    assert_null(url_query_get(NULL, "a"));
    assert_null(url_query_get("", "a"));
}

static void test_percent_encoding(void **state)
{
    struct out o = {0};
    url_encode(&o, BYTES("a/b c\0\xc3\xa4~", 9), "/");
    assert_string_equal(out_str(&o), "a/b%20c%00%C3%A4~");
    out_done(&o);
    _cleanup_free_ char *plain = url_decode(BYTES_STR("a+b%20c"), false);
    assert_string_equal(plain, "a+b c");
    assert_null(url_decode(BYTES_STR("%4"), false));
    assert_null(url_decode(BYTES_STR("%"), false));
    mem_fail_after(0);
    assert_null(url_decode(BYTES_STR("a"), false));
    mem_fail_after(-1);
}

static void test_credentials_are_hidden(void **state)
{
    static const struct {
        const char *text;
        const char *keys; /* after URL_MASK_KEYS */
        const char *tail; /* after URL_MASK_TAIL */
    } cases[] = {
        {"rtmp://h/app/key1", "rtmp://h/app/key1", "rtmp://h/app/***"},
        {"rtmp://u:p@h:1935/app/key1?x=1", "rtmp://***@h:1935/app/key1?x=1",
         "rtmp://***@h:1935/app/***"},
        {"https://h/x?token=abc&n=5&api_key=z#f", "https://h/x?token=***&n=5&api_key=***#f",
         "https://h/***"},
        {"srt://h:1?streamid=#!::u=x&latency=20", "srt://h:1?streamid=***#!::u=x&latency=20",
         "srt://h:1"},
        {"rtsp://admin:pa/ss@h/x", "rtsp://***@h/x", "rtsp://***@h/***"},
        {"rtsp://admin:p?ss@h/x", "rtsp://***@h/x", "rtsp://***@h/***"},
        {"rtsp://a:b@c@h/x", "rtsp://***@h/x", "rtsp://***@h/***"},
        {"http://[::1]:80/a@b", "http://[::1]:80/a@b", "http://[::1]:80/***"},
        {"http://h:80/a@b", "http://h:80/a@b", "http://h:80/***"},
        {"/live/cam?sk=abc&tok=d", "/live/cam?sk=***&tok=***", "/live/***"},
        {"http://h/?%74oken=abc", "http://h/?%74oken=***", "http://h/***"},
        {"plain", "plain", "***"},
        {"", "", "***"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_free_ char *keys = url_redact(cases[i].text, URL_MASK_KEYS);
        _cleanup_free_ char *tail = url_redact(cases[i].text, URL_MASK_TAIL);
        assert_string_equal(keys, cases[i].keys);
        assert_string_equal(tail, cases[i].tail);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_are_found),
        cmocka_unit_test(test_a_url_is_written_as_it_was),
        cmocka_unit_test(test_bad_ones_are_refused_without_quoting_them),
        cmocka_unit_test(test_query_values_are_decoded),
        cmocka_unit_test(test_percent_encoding),
        cmocka_unit_test(test_credentials_are_hidden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
