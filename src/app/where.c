/* SPDX-License-Identifier: Apache-2.0 */
#include "app/where.h"

#include "base/mem.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

static char *copy_env(const char *name)
{
    const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe): read before threads start */
    return value && *value ? mem_strdup(value) : NULL;
}

/* The folder of the running program, without a slash at the end. */
static char *program_dir(void)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (n <= 0) {
        return NULL;
    }
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash) {
        return NULL;
    }
    *slash = '\0';
    return mem_strdup(path);
}

char *where_web_dir(void)
{
    /* PREFIX/bin/mast, and build/src/app/mast in the tree. */
    static const char *const below[] = {"../share/mast/web", "../../../web/dist"};
    char *given = copy_env("MAST_WEB_DIR");
    if (given) {
        return given;
    }
    _cleanup_free_ char *dir = program_dir();
    for (unsigned i = 0; dir && i < ARRAY_LEN(below); i++) {
        _cleanup_free_ char *index = mem_printf("%s/%s/index.html", dir, below[i]);
        if (access(index, R_OK) == 0) {
            return mem_printf("%s/%s", dir, below[i]);
        }
    }
    return NULL;
}

char *where_state_dir(void)
{
    static const char *const given[] = {"MAST_STATE_DIR", "STATE_DIRECTORY"};
    for (unsigned i = 0; i < ARRAY_LEN(given); i++) {
        char *dir = copy_env(given[i]);
        if (dir) {
            return dir;
        }
    }
    if (geteuid() == 0) {
        return mem_strdup("/var/lib/mast");
    }
    _cleanup_free_ char *home = copy_env("HOME");
    return home ? mem_printf("%s/.local/state/mast", home) : mem_strdup("mast-state");
}

char *where_config_file(void)
{
    static const char *const usual[] = {"mast.yml", "/etc/mast/mast.yml"};
    char *given = copy_env("MAST_CONFIG");
    if (given) {
        return given;
    }
    for (unsigned i = 0; i < ARRAY_LEN(usual); i++) {
        if (access(usual[i], R_OK) == 0) {
            return mem_strdup(usual[i]);
        }
    }
    return NULL;
}
