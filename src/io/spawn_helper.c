/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mast-spawn: stands between the server and every child for a millisecond. posix_spawn() cannot ask for a death signal,
 * limits or a niceness, and fork() would copy the page tables of a large server, so this tiny program does it after the
 * exec, where it is cheap, and becomes the child. It links only libc and allocates nothing.
 */
#include "io/spawn_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Programs that still use select() break above this; who needs more raises it himself, the hard limit stays. */
#define SOFT_FILES 1024

static void fail(enum spawn_step step)
{
    struct spawn_failure f = {.step = (int32_t)step, .err = errno};
    ssize_t n = write(SPAWN_STATUS_FD, &f, sizeof(f));
    (void)n; /* the exit status tells the rest */
    _exit(SPAWN_EXIT_FAILED);
}

/* The death signal is armed first; a parent that died before that has already given us to another one. */
static void die_with_parent(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        errno = ESRCH;
        fail(SPAWN_STEP_PARENT_GONE);
    }
}

static void set_limits(void)
{
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur > SOFT_FILES) {
        files.rlim_cur = SOFT_FILES;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

/*
 * execvp() answers EACCES when it met a folder of PATH that this user may not search, even if the program is nowhere: then
 * "not found" is what helps.
 */
static bool is_in_path(const char *name)
{
    char full[PATH_MAX];
    const char *path = getenv("PATH"); /* NOLINT(concurrency-mt-unsafe): one thread */
    if (strchr(name, '/') || !path) {
        return true;
    }
    for (;;) {
        size_t n = strcspn(path, ":");
        snprintf(full, sizeof(full), "%.*s/%s", (int)n, path, name);
        if (access(full, F_OK) == 0) {
            return true;
        }
        if (path[n] == '\0') {
            return false;
        }
        path += n + 1;
    }
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "mast-spawn is started by mast only\n");
        return SPAWN_EXIT_FAILED;
    }
    fcntl(SPAWN_STATUS_FD, F_SETFD, FD_CLOEXEC);
    die_with_parent((pid_t)strtol(argv[1], NULL, 10));
    set_limits();
    int niceness = (int)strtol(argv[2], NULL, 10);
    if (niceness != 0) {
        /* May be refused for negative values; the child then runs at ours, which is no reason not to run. */
        setpriority(PRIO_PROCESS, 0, niceness);
    }
    if (argv[3][0] != '\0' && chdir(argv[3]) < 0) {
        fail(SPAWN_STEP_CHDIR);
    }
    execvp(argv[4], argv + 4);
    if (errno == EACCES && !is_in_path(argv[4])) {
        errno = ENOENT;
    }
    fail(SPAWN_STEP_EXEC);
}
