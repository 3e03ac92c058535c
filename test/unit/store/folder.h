/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A state folder of its own for each test, removed with all that is in it. */
#include "../unit.h"

#include "base/mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static inline char *folder_new(void)
{
    char *dir = mem_strdup("/tmp/mast-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    return dir;
}

static inline char *folder_path(const char *dir, const char *name)
{
    return mem_printf("%s/%s", dir, name);
}

static inline void folder_free(char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    while (d && (e = readdir(d)) != NULL) {
        unlinkat(dirfd(d), e->d_name, 0);
    }
    closedir(d);
    assert_int_equal(rmdir(dir), 0);
    free(dir);
}

static inline void folder_write(const char *dir, const char *name, const char *text)
{
    _cleanup_free_ char *path = folder_path(dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}
