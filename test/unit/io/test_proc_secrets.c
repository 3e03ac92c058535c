/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/mem.h"
#include "io/proc.h"
#include "io/proc_secrets.h"

#include <string.h>

static void expect(const struct proc_secrets *s, const char *line, const char *redacted)
{
    _cleanup_free_ char *text = mem_strdup(line);
    proc_secrets_redact(s, text);
    assert_string_equal(text, redacted);
}

static void test_parts_of_urls(void **state)
{
    struct proc_secrets s = {0};
    proc_secrets_add_url(&s, "rtsp://cam:p%40ssword@10.0.0.1/video?token=abcd");
    proc_secrets_add_url(&s, "rtmp://host/live/s3cret%2Dkey");
    expect(&s, "cannot open 'rtsp://cam:p%40ssword@10.0.0.1/video?token=abcd': 401",
           "cannot open '***': 401");
    expect(&s, "cam:p%40ssword@10.0.0.1", "***@10.0.0.1");
    expect(&s, "with p@ssword and p%40ssword", "with *** and ***");
    expect(&s, "GET /video?token=abcd", "GET ***");
    expect(&s, "no such stream: s3cret-key (s3cret%2Dkey)", "no such stream: *** (***)");
    expect(&s, "10.0.0.1/video is there, at host/live", "10.0.0.1/video is there, at host/live");
    proc_secrets_done(&s);
    assert_int_equal(s.n, 0);
}

static void test_what_is_no_url(void **state)
{
    struct proc_secrets s = {0};
    proc_secrets_add_url(&s, NULL);
    proc_secrets_add_url(&s, "not//a url:with@stuff");
    proc_secrets_add(&s, NULL);
    proc_secrets_add(&s, "abc"); /* would blot out half of every line */
    proc_secrets_add(&s, "abcd");
    proc_secrets_add(&s, "abcd");
    expect(&s, "abc abcd not//a url:with@stuff", "abc *** ***");
    proc_secrets_done(&s);
}

/* Lines are cut; what is left of a secret at the end of one must not be read, either. */
static void test_cut_lines(void **state)
{
    struct proc_secrets s = {0};
    char line[PROC_LINE_MAX + 1];
    proc_secrets_add(&s, "the-long-secret");
    memset(line, '.', PROC_LINE_MAX);
    memcpy(line + PROC_LINE_MAX - 8, "the-long", 9);
    proc_secrets_redact(&s, line);
    assert_null(strstr(line, "the-"));
    assert_string_equal(line + strlen(line) - 4, ".***");
    expect(&s, "a short line with the-long in it", "a short line with the-long in it");
    proc_secrets_done(&s);
}

static void test_bounds(void **state)
{
    struct proc_secrets s = {0};
    char text[16] = "secret-a";
    for (unsigned i = 0; i < PROC_SECRETS_MAX + 4; i++) {
        text[7] = (char)('a' + i);
        proc_secrets_add(&s, text);
    }
    assert_int_equal(s.n, PROC_SECRETS_MAX);
    proc_secrets_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_of_urls),
        cmocka_unit_test(test_what_is_no_url),
        cmocka_unit_test(test_cut_lines),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
