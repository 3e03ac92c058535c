/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "protocol/rtmp/rtmp_name.h"

#include <errno.h>

static void equal(const char *what, const char *got, const char *want)
{
    if (!got != !want || (got && strcmp(got, want) != 0)) {
        fail_msg("%s: \"%s\" instead of \"%s\"", what, got ? got : "(none)",
                 want ? want : "(none)");
    }
}

static void test_names(void **state)
{
    static const struct {
        const char *app, *tc_url, *name, *path, *query, *user, *password;
    } t[] = {
        {"live", "rtmp://h/live", "cam", "live/cam", NULL, NULL, NULL},
        {"live", "rtmp://h/live", "cam?token=x", "live/cam", "token=x", NULL, NULL},
        {"a/b", "rtmp://h/a/b", "c/d", "a/b/c/d", NULL, NULL, NULL},
        {"cam", "rtmp://h/cam", "", "cam", NULL, NULL, NULL},
        {"", "rtmp://h", "cam", "cam", NULL, NULL, NULL},
        {"", "", "", "", NULL, NULL, NULL},
        {"/live/", "", "/cam/", "live/cam", NULL, NULL, NULL},
        {"live/_definst_", "", "cam", "live/cam", NULL, NULL, NULL},
        {"live", "", "mp4:cam.mp4", "live/cam.mp4", NULL, NULL, NULL},
        {"live?a=1", "", "cam?b=2", "live/cam", "a=1&b=2", NULL, NULL},
        {"live?a=1", "", "cam", "live/cam", "a=1", NULL, NULL},
        {"live?", "", "cam?", "live/cam", NULL, NULL, NULL},
        {"live", "rtmp://u:p%40ss@h/live", "cam", "live/cam", NULL, "u", "p@ss"},
        {"live", "rtmp://u@h:1935/live", "cam", "live/cam", NULL, "u", NULL},
        {"live", "rtmp://h/live@x:y", "cam", "live/cam", NULL, NULL, NULL},
        {"live", "rtmp://h/live", "cam?user=u&pass=p%2", "live/cam", "user=u&pass=p%2", "u", "p%2"},
        {"live?user=a&pass=b", "rtmp://x:y@h", "cam?user=u&password=p", "live/cam",
         "user=a&pass=b&user=u&password=p", "u", "p"},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct rtmp_name n;
        assert_int_equal(rtmp_name_parse(BYTES_STR(t[i].app), BYTES_STR(t[i].tc_url),
                                         BYTES_STR(t[i].name), &n, NULL),
                         0);
        equal("path", n.path, t[i].path);
        equal("query", n.query, t[i].query);
        equal("user", n.user, t[i].user);
        equal("password", n.password, t[i].password);
        rtmp_name_done(&n);
    }
}

static void test_refused(void **state)
{
    struct rtmp_name n;
    struct error err = {0};
    static char long_name[RTMP_NAME_MAX + 1];
    memset(long_name, 'a', sizeof(long_name));
    assert_int_equal(rtmp_name_parse(BYTES_STR("live"), BYTES_STR(""),
                                     BYTES(long_name, sizeof(long_name)), &n, &err),
                     -EINVAL);
    assert_string_equal(err.where, "stream name");
    assert_int_equal(rtmp_name_parse(BYTES("li\0ve", 5), BYTES_STR(""), BYTES_STR("x"), &n, &err),
                     -EINVAL);
    assert_string_equal(err.where, "app");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
