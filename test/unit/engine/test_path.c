/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/mem.h"
#include "engine/stream.h"

#include <errno.h>
#include <string.h>

static void test_table(void **state)
{
    static const struct {
        const char *path;
        bool ok;
    } rows[] = {
        {"live", true},
        {"live/cam-1", true},
        {"a/b/c/d/e/f/g/h", true},
        {"A_b.c-9/x", true},
        {"live/api", true},
        {"mse/live", true},
        {"live/index.m3u8x", true},
        {"", false},
        {"/live", false},
        {"live/", false},
        {"live//a", false},
        {"a/b/c/d/e/f/g/h/i", false},
        {".live", false},
        {"live/.hidden", false},
        {"live/..", false},
        {"live~opus", false},
        {"live/caf\xc3\xa9", false},
        {"live a", false},
        {"live?x", false},
        {"api/x", false},
        {"metrics", false},
        {".well-known/x", false},
        {"live/mse", false},
        {"live/index.m3u8", false},
        {"publish", false},
        {"live/still.jpg", false},
        {"live/keyframe.mp4", false},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct error err = {0};
        int r = stream_path_check(rows[i].path, &err);
        if ((r == 0) != rows[i].ok) {
            fail_msg("\"%s\": %d %s", rows[i].path, r, err.text);
        }
        assert_true(r == 0 || (r == -EINVAL && err.text[0] != '\0'));
    }
}

static void test_length(void **state)
{
    char path[STREAM_PATH_MAX + 2];
    memset(path, 'a', sizeof(path));
    path[STREAM_PATH_MAX] = '\0';
    assert_int_equal(stream_path_check(path, NULL), 0);
    path[STREAM_PATH_MAX] = 'a';
    path[STREAM_PATH_MAX + 1] = '\0';
    assert_int_equal(stream_path_check(path, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_length)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
