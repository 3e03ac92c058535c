/* SPDX-License-Identifier: Apache-2.0 */
#include "io/secret_ref.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *after(const char *text, const char *scheme)
{
    size_t n = strlen(scheme);
    return strncmp(text, scheme, n) == 0 ? text + n : NULL;
}

bool secret_is_ref(const char *text)
{
    return after(text, "file:") || after(text, "env:") || after(text, "credential:");
}

static int take(const char *what, char *text, size_t n, char **ret, struct error *err)
{
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r')) {
        n--;
    }
    if (n == 0 || n > SECRET_REF_MAX || memchr(text, '\0', n)) {
        return error_set(err, -EINVAL, "", "%s is empty, too long, or no text", what);
    }
    *ret = mem_strndup(text, n);
    return 0;
}

static int read_file(const char *path, char **ret, struct error *err)
{
    char text[SECRET_REF_MAX + 2];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return error_set(err, -errno, "", "%s cannot be opened: %s", path, error_name(-errno));
    }
    ssize_t n = read(fd, text, sizeof(text));
    int r = n < 0 ? error_set(err, -errno, "", "%s cannot be read: %s", path, error_name(-errno))
                  : take(path, text, (size_t)n, ret, err);
    close(fd);
    explicit_bzero(text, sizeof(text));
    return r;
}

int secret_resolve(const char *text, char **ret, struct error *err)
{
    const char *name = after(text, "file:");
    if (name) {
        return read_file(name, ret, err);
    }
    name = after(text, "credential:");
    if (name) {
        const char *dir = secure_getenv("CREDENTIALS_DIRECTORY");
        if (!dir || !*name || strchr(name, '/') || *name == '.') {
            return error_set(err, -ENOENT, "", "there is no credential '%s'", name);
        }
        _cleanup_free_ char *path = mem_printf("%s/%s", dir, name);
        return read_file(path, ret, err);
    }
    name = after(text, "env:");
    if (name) {
        char *value = secure_getenv(name);
        return value ? take(name, value, strlen(value), ret, err)
                     : error_set(err, -ENOENT, "", "there is no variable %s in the environment",
                                 name);
    }
    *ret = mem_strdup(text);
    return 0;
}
