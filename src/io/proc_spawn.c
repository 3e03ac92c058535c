/* SPDX-License-Identifier: Apache-2.0 */
#include "io/proc_spawn.h"

#include "base/mem.h"
#include "io/dirs.h"
#include "io/spawn_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The descriptors of one start; all but our ends are closed when it is over. */
struct plumbing {
    struct proc_pipes pipes;
    int theirs[PROC_PIPE_N];
    int inherited[PROC_FDS_MAX];
};

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

void proc_pipes_done(struct proc_pipes *pipes)
{
    for (int i = 0; i < PROC_PIPE_N; i++) {
        close_fd(&pipes->ours[i]);
    }
}

static void plumbing_done(struct plumbing *b)
{
    proc_pipes_done(&b->pipes);
    for (int i = 0; i < PROC_PIPE_N; i++) {
        close_fd(&b->theirs[i]);
    }
    for (int i = 0; i < PROC_FDS_MAX; i++) {
        close_fd(&b->inherited[i]);
    }
}

/* Every descriptor is first duplicated above the child's numbers, so that no dup2() in the child overwrites a later one. */
static int move_up(int fd)
{
    int up = fcntl(fd, F_DUPFD_CLOEXEC, SPAWN_STATUS_FD + 1);
    return up < 0 ? -errno : up;
}

static int open_pipe(struct plumbing *b, int which, bool child_writes)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return -errno;
    }
    b->pipes.ours[which] = ends[child_writes ? 0 : 1];
    int low = ends[child_writes ? 1 : 0];
    int r = move_up(low);
    close(low);
    if (r < 0) {
        return r;
    }
    b->theirs[which] = r;
    return 0;
}

static int open_null(struct plumbing *b, int which)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int r = move_up(fd);
    close(fd);
    if (r < 0) {
        return r;
    }
    b->theirs[which] = r;
    return 0;
}

static int plumbing_init(struct plumbing *b, const struct proc_spec *spec, bool wants_output)
{
    memset(b, 0xff, sizeof(*b)); /* all -1 */
    int r = open_pipe(b, PROC_PIPE_STATUS, true);
    if (r >= 0) {
        r = spec->stdin_pipe ? open_pipe(b, PROC_PIPE_STDIN, false) : open_null(b, PROC_PIPE_STDIN);
    }
    if (r >= 0) {
        r = wants_output ? open_pipe(b, PROC_PIPE_STDOUT, true) : open_null(b, PROC_PIPE_STDOUT);
    }
    if (r >= 0) {
        r = open_pipe(b, PROC_PIPE_STDERR, true);
    }
    for (unsigned i = 0; r >= 0 && i < spec->n_fds; i++) {
        r = move_up(spec->fds[i].ours);
        if (r >= 0) {
            b->inherited[i] = r;
        }
    }
    return MIN(r, 0);
}

static void plan_descriptors(posix_spawn_file_actions_t *fa, const struct plumbing *b,
                             const struct proc_spec *spec)
{
    unsigned used = 0;
    posix_spawn_file_actions_adddup2(fa, b->theirs[PROC_PIPE_STDIN], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(fa, b->theirs[PROC_PIPE_STDOUT], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(fa, b->theirs[PROC_PIPE_STDERR], STDERR_FILENO);
    posix_spawn_file_actions_adddup2(fa, b->theirs[PROC_PIPE_STATUS], SPAWN_STATUS_FD);
    for (unsigned i = 0; i < spec->n_fds; i++) {
        posix_spawn_file_actions_adddup2(fa, b->inherited[i], spec->fds[i].child);
        used |= 1u << spec->fds[i].child;
    }
    for (int fd = STDERR_FILENO + 1; fd < SPAWN_STATUS_FD; fd++) {
        if (!(used & 1u << fd)) {
            posix_spawn_file_actions_addclose(fa, fd);
        }
    }
    posix_spawn_file_actions_addclosefrom_np(fa, SPAWN_STATUS_FD + 1);
}

static bool env_has(const char *const *env, const char *name)
{
    size_t n = strlen(name);
    for (; env && *env; env++) {
        if (strncmp(*env, name, n) == 0 && (*env)[n] == '=') {
            return true;
        }
    }
    return false;
}

/* Strings that we make are freed by env_free(): the first `own` of them. */
static char **env_make(const char *const *given, unsigned *own)
{
    static const char *const allowed[] = {"PATH", "LANG", "TZ", "HOME"};
    size_t n = 0;
    size_t n_given = 0;
    while (given && given[n_given]) {
        n_given++;
    }
    char **env = mem_new_array(char *, n_given + ARRAY_LEN(allowed) + 1);
    for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
        const char *value =
            getenv(allowed[i]); // NOLINT(concurrency-mt-unsafe): nobody changes our environment
        if (value && !env_has(given, allowed[i])) {
            env[n++] = mem_printf("%s=%s", allowed[i], value);
        }
    }
    *own = (unsigned)n;
    for (size_t i = 0; i < n_given; i++) {
        env[n++] = (char *)given[i];
    }
    return env;
}

static void env_free(char **env, unsigned own)
{
    for (unsigned i = 0; i < own; i++) {
        free(env[i]);
    }
    free(env);
}

static char **argv_make(const struct proc_spec *spec, char *helper, char *parent, char *niceness)
{
    size_t n = 0;
    while (spec->argv[n]) {
        n++;
    }
    char **argv = mem_new_array(char *, n + 5);
    argv[0] = helper;
    argv[1] = parent;
    argv[2] = niceness;
    argv[3] = (char *)(spec->dir ? spec->dir : "");
    memcpy(argv + 4, spec->argv, n * sizeof(char *));
    return argv;
}

static int spawn(const struct proc_spec *spec, const struct plumbing *b, char *helper, pid_t *pid)
{
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    sigset_t all;
    sigset_t none;
    char parent[24];
    char niceness[16];
    unsigned own;
    snprintf(parent, sizeof(parent), "%d", (int)getpid());
    snprintf(niceness, sizeof(niceness), "%d", spec->niceness);
    char **argv = argv_make(spec, helper, parent, niceness);
    char **env = env_make(spec->env, &own);
    posix_spawn_file_actions_init(&fa);
    plan_descriptors(&fa, b, spec);
    posix_spawnattr_init(&attr);
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    int r = posix_spawn(pid, helper, &fa, &attr, argv, env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&fa);
    env_free(env, own);
    free(argv);
    return -r;
}

static int check_spec(const struct proc_spec *spec, struct error *err)
{
    if (!spec->argv || !spec->argv[0] || !spec->argv[0][0]) {
        return error_set(err, -EINVAL, spec->name, "no program to start");
    }
    if (spec->n_fds > PROC_FDS_MAX) {
        return error_set(err, -EINVAL, spec->name, "more than %d inherited descriptors",
                         PROC_FDS_MAX);
    }
    unsigned used = 0;
    for (unsigned i = 0; i < spec->n_fds; i++) {
        int child = spec->fds[i].child;
        if (child <= STDERR_FILENO || child >= SPAWN_STATUS_FD || used & 1u << child) {
            return error_set(err, -EINVAL, spec->name, "bad number %d for an inherited descriptor",
                             child);
        }
        used |= 1u << child;
    }
    return 0;
}

int proc_spawn(const struct proc_spec *spec, bool wants_output, struct proc_pipes *ret,
               pid_t *ret_pid, struct error *err)
{
    char helper[PATH_MAX];
    struct plumbing b;
    int r = check_spec(spec, err);
    if (r < 0) {
        return r;
    }
    r = proc_find_program("mast-spawn", helper, sizeof(helper), err);
    if (r < 0) {
        return r;
    }
    r = plumbing_init(&b, spec, wants_output);
    if (r >= 0) {
        r = spawn(spec, &b, helper, ret_pid);
    }
    if (r < 0) {
        error_set(err, r, spec->name, "cannot start a child process: %s", error_name(r));
    } else {
        *ret = b.pipes;
        memset(&b.pipes, 0xff, sizeof(b.pipes)); /* handed over */
    }
    plumbing_done(&b);
    return r;
}

/* ---- helpers of proc.h ---- */

void proc_redact(char *line, const char *secret)
{
    size_t n = strlen(secret);
    if (n < 4) {
        return;
    }
    for (char *at = line; (at = strstr(at, secret)) != NULL; at += 3) {
        memset(at, '*', 3);
        memmove(at + 3, at + n, strlen(at + n) + 1);
    }
}

/* The folder of our own executable; false when /proc does not tell. */
static bool own_folder(char *buf, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", buf, size - 1);
    if (n <= 0) {
        return false;
    }
    buf[n] = '\0';
    char *slash = strrchr(buf, '/');
    if (!slash) {
        return false;
    }
    *slash = '\0';
    return true;
}

static bool is_program(char *path, size_t size, const char *folder, const char *sub,
                       const char *name)
{
    int n = snprintf(path, size, "%s%s/%s", folder, sub, name);
    return n > 0 && (size_t)n < size && access(path, X_OK) == 0;
}

int proc_find_program(const char *name, char *path, size_t size, struct error *err)
{
    char own[PATH_MAX];
    const char *set =
        getenv("MAST_LIBEXEC_DIR"); // NOLINT(concurrency-mt-unsafe): nobody changes our environment
    if (set && *set) {
        if (is_program(path, size, set, "", name)) {
            return 0;
        }
        return error_set(err, -ENOENT, name, "not found in %s, which MAST_LIBEXEC_DIR names", set);
    }
    /* Build folders: src/app/mast beside src/io/mast-spawn and src/av/mast-av. */
    if (own_folder(own, sizeof(own)) &&
        (is_program(path, size, own, "", name) || is_program(path, size, own, "/../io", name) ||
         is_program(path, size, own, "/../av", name))) {
        return 0;
    }
    if (is_program(path, size, MAST_LIBEXECDIR, "", name)) {
        return 0;
    }
    return error_set(
        err, -ENOENT, name,
        "not found beside the program or in %s; install Mast whole, or set MAST_LIBEXEC_DIR",
        MAST_LIBEXECDIR);
}
