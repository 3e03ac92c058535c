/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets by reference: files, credentials, the environment. */
#include "../unit.h"

#include "base/mem.h"
#include "io/secret_ref.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[] = "/tmp/mast-test-secret.XXXXXX";

static void write_file(const char *name, const char *text, size_t n)
{
    _cleanup_free_ char *path = mem_printf("%s/%s", dir, name);
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), n);
    close(fd);
}

static char *resolved(const char *ref, int expect)
{
    char *text = NULL;
    struct error err = {0};
    assert_int_equal(secret_resolve(ref, &text, &err), expect);
    assert_true(expect < 0 ? err.text[0] != '\0' : text != NULL);
    return text;
}

static void test_references(void **state)
{
    write_file("jwt", "a secret\n", 9);
    _cleanup_free_ char *file = mem_printf("file:%s/jwt", dir);
    _cleanup_free_ char *by_file = resolved(file, 0);
    assert_string_equal(by_file, "a secret");
    setenv("CREDENTIALS_DIRECTORY", dir, 1);
    _cleanup_free_ char *by_credential = resolved("credential:jwt", 0);
    assert_string_equal(by_credential, "a secret");
    setenv("MAST_TEST_SECRET", "of the environment", 1);
    _cleanup_free_ char *by_env = resolved("env:MAST_TEST_SECRET", 0);
    assert_string_equal(by_env, "of the environment");
    _cleanup_free_ char *itself = resolved("files: no", 0);
    assert_string_equal(itself, "files: no");
    assert_false(secret_is_ref("files: no"));
    assert_true(secret_is_ref(file));
}

static void test_what_cannot_be_had(void **state)
{
    char big[SECRET_REF_MAX + 1];
    memset(big, 'x', sizeof(big));
    write_file("empty", "\n", 1);
    write_file("zero", "a\0b", 3);
    write_file("big", big, sizeof(big));
    setenv("CREDENTIALS_DIRECTORY", dir, 1);
    assert_null(resolved("credential:empty", -EINVAL));
    assert_null(resolved("credential:zero", -EINVAL));
    assert_null(resolved("credential:big", -EINVAL));
    assert_null(resolved("credential:nothing", -ENOENT));
    assert_null(resolved("credential:../jwt", -ENOENT));
    assert_null(resolved("credential:", -ENOENT));
    assert_null(resolved("env:MAST_TEST_NOTHING", -ENOENT));
    assert_null(resolved("file:/nowhere/at/all", -ENOENT));
    unsetenv("CREDENTIALS_DIRECTORY");
    assert_null(resolved("credential:jwt", -ENOENT));
}

static int make_folder(void **state)
{
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"jwt", "empty", "zero", "big"};
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        _cleanup_free_ char *path = mem_printf("%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_what_cannot_be_had),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
