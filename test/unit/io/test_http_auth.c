/* SPDX-License-Identifier: Apache-2.0 */
/* Cookies in a Cookie header. */
#include "../unit.h"

#include "io/http_auth.h"

static const char *find(const char *header, const char *name)
{
    static char buf[9];
    return http_cookie_find(header, name, buf, sizeof(buf)) ? buf : NULL;
}

static void test_cookies_are_found(void **state)
{
    assert_string_equal(find("a=1", "a"), "1");
    assert_string_equal(find("b=2; a=1", "a"), "1");
    assert_string_equal(find("b=2;a=1;c", "a"), "1");
    assert_string_equal(find("; ;  a=1 \t; b=2", "a"), "1");
    assert_string_equal(find("a=", "a"), "");
    assert_string_equal(find("a=x=y", "a"), "x=y");
    assert_string_equal(find("a=first; a=second", "a"), "first");
    assert_string_equal(find("a=12345678", "a"), "12345678");
}

static void test_what_is_no_such_cookie(void **state)
{
    assert_null(find("", "a"));
    assert_null(find("a", "a"));
    assert_null(find("A=1", "a"));
    assert_null(find("xa=1", "a"));
    assert_null(find("ab=1", "a"));
    assert_null(find("b=a=1", "a"));
    assert_null(find("a=123456789", "a")); /* longer than what any of ours is */
    assert_null(find("a =1", "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cookies_are_found),
        cmocka_unit_test(test_what_is_no_such_cookie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
