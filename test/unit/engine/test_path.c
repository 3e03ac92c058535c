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

static void test_what_may_be_read(void **state)
{
    static const struct {
        const char *path;
        int r;
        const char *parent; /* NULL = not derived */
    } rows[] = {
        {"live/x", 0, NULL},
        {"live/x~opus", 0, "live/x"},
        {"a~aac", 0, "a"},
        {"live/x~mp3", -ENOENT, NULL},
        {"live/x~", -ENOENT, NULL},
        {"live/x~OPUS", -ENOENT, NULL},
        {"live/x~opus/", -ENOENT, NULL},
        {"live~opus/x", -ENOENT, NULL},
        {"live/x~aac~opus", -ENOENT, NULL},
        {"~opus", -EINVAL, NULL},
        {"live/~opus", -EINVAL, NULL},
        {"api/x~opus", -EINVAL, NULL},
        {"live//x~opus", -EINVAL, NULL},
        {"live/mse~opus", -EINVAL, NULL},
    };
    char parent[STREAM_PATH_MAX + 1];
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct error err = {0};
        int r = stream_path_check_read(rows[i].path, &err);
        if (r != rows[i].r) {
            fail_msg("\"%s\": %d %s", rows[i].path, r, err.text);
        }
        const char *word = stream_path_derived(rows[i].path, parent);
        assert_int_equal(word != NULL, rows[i].parent != NULL);
        if (word) {
            assert_string_equal(parent, rows[i].parent);
            assert_int_equal(stream_path_check(rows[i].path, NULL),
                             -EINVAL); /* nobody publishes it */
        }
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
    memcpy(path + STREAM_PATH_MAX - 5, "~opus", 6);
    assert_int_equal(stream_path_check_read(path, NULL), 0);
    memcpy(path + STREAM_PATH_MAX - 4, "~opus", 6);
    path[STREAM_PATH_MAX - 5] = 'a';
    assert_int_equal(stream_path_check_read(path, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_what_may_be_read),
        cmocka_unit_test(test_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
