/* SPDX-License-Identifier: Apache-2.0 */
/* Files that change in every way that files are changed. */
#include "../await.h"

#include "base/mem.h"
#include "io/watch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct fixture {
    struct loop *l;
    struct watch *w;
    char dir[32];
    char path[64];
    int calls;
};

static void on_change(void *user)
{
    struct fixture *f = user;
    f->calls++;
}

static char *in_dir(struct fixture *f, const char *name)
{
    return mem_printf("%s/%s", f->dir, name);
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void start(struct fixture *f)
{
    *f = (struct fixture){.dir = "/tmp/mast-watch-XXXXXX"};
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/file", f->dir);
    f->l = loop_new("t", 0);
    f->w = watch_new(f->l, 20, on_change, f);
}

static void stop(struct fixture *f)
{
    _cleanup_free_ char *command = mem_printf("rm -r %s", f->dir);
    watch_free(f->w);
    loop_free(f->l);
    assert_int_equal(system(command), 0);
}

static void watch_it(struct fixture *f)
{
    const char *const files[] = {f->path};
    watch_set(f->w, files, 1);
}

/* A change that must be told, after which nothing may be left to tell. */
#define CHANGES(f, what)                                                                           \
    do {                                                                                           \
        int _before = (f)->calls;                                                                  \
        what;                                                                                      \
        RUN_UNTIL((f)->l, (f)->calls > _before);                                                   \
    } while (0)

static void test_every_way_of_changing(void **state)
{
    struct fixture f;
    start(&f);
    _cleanup_free_ char *beside = in_dir(&f, "beside");
    watch_it(&f);
    CHANGES(&f, write_file(f.path, "made"));
    CHANGES(&f, write_file(f.path, "edited in place"));
    write_file(beside, "edited in place"); /* the same size */
    CHANGES(&f, assert_int_equal(rename(beside, f.path), 0));
    CHANGES(&f, assert_int_equal(unlink(f.path), 0));
    CHANGES(&f, write_file(f.path, "again"));
    stop(&f);
}

static void test_a_link_to_elsewhere(void **state)
{
    struct fixture f;
    start(&f);
    _cleanup_free_ char *one = in_dir(&f, "one");
    _cleanup_free_ char *two = in_dir(&f, "two");
    _cleanup_free_ char *first = in_dir(&f, "one/file");
    _cleanup_free_ char *second = in_dir(&f, "two/file");
    _cleanup_free_ char *data = in_dir(&f, "data");
    _cleanup_free_ char *next = in_dir(&f, "next");
    _cleanup_free_ char *through = in_dir(&f, "data/file");
    assert_int_equal(mkdir(one, 0700), 0);
    assert_int_equal(mkdir(two, 0700), 0);
    write_file(first, "first");
    write_file(second, "second");
    assert_int_equal(symlink("one", data), 0);
    assert_int_equal(symlink(through, f.path), 0);
    watch_it(&f);
    CHANGES(&f, write_file(first, "edited behind the link"));
    /* The link itself is swapped, as certbot does. */
    assert_int_equal(symlink(second, next), 0);
    CHANGES(&f, assert_int_equal(rename(next, f.path), 0));
    stop(&f);
}

static void test_other_files_are_nothing(void **state)
{
    struct fixture f;
    start(&f);
    _cleanup_free_ char *other = in_dir(&f, "other");
    write_file(f.path, "mine");
    watch_it(&f);
    write_file(other, "x");
    CHANGES(&f, write_file(f.path, "mine again"));
    int calls = f.calls;
    /* What stirred beside it, and a file that is not watched any more. */
    const char *const files[] = {other};
    watch_set(f.w, files, 1);
    write_file(f.path, "nobody listens");
    CHANGES(&f, write_file(other, "but here"));
    assert_int_equal(f.calls, calls + 1);
    stop(&f);
}

static void test_a_folder_that_is_not_there(void **state)
{
    struct fixture f;
    start(&f);
    const char *const files[] = {"/nonexistent/mast/file", f.path};
    watch_set(f.w, files, 2);
    CHANGES(&f, write_file(f.path, "the other is still watched"));
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_way_of_changing),
        cmocka_unit_test(test_a_link_to_elsewhere),
        cmocka_unit_test(test_other_files_are_nothing),
        cmocka_unit_test(test_a_folder_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
