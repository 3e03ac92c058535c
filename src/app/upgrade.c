/* SPDX-License-Identifier: Apache-2.0 */
#include "app/upgrade.h"

#include "app/command.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

LOG_TOPIC(topic, "upgrade");

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */
#define ARGS_MAX 16

struct upgrade {
    char program[PATH_MAX];
    const char **env; /* the strings are the process's own and stay */
    unsigned n_env;
    struct proc *check;
    const char *argv[4];
    void (*done)(void *user);
    void *user;
};

static bool is_handed_over(const char *variable)
{
    return strncmp(variable, "LISTEN_", 7) == 0;
}

struct upgrade *upgrade_new(void)
{
    struct upgrade *u = mem_new(struct upgrade);
    unsigned n = 0;
    ssize_t len = readlink("/proc/self/exe", u->program, sizeof(u->program) - 1);
    u->program[MAX(len, (ssize_t)0)] = '\0';
    while (environ[n]) {
        n++;
    }
    /* Two more for the sockets, and the end. */
    u->env = mem_new_array(const char *, n + 3);
    for (char **e = environ; *e; e++) {
        if (!is_handed_over(*e)) {
            u->env[u->n_env++] = *e;
        }
    }
    return u;
}

struct upgrade *upgrade_free(struct upgrade *u)
{
    if (u) {
        upgrade_cancel(u);
        free(u->env);
        free(u);
    }
    return NULL;
}

static void on_line(void *user, const char *line)
{
    log_error("the program that is to take over says: %s", line);
}

static void on_exit_of_check(void *user, const struct proc_exit *e)
{
    struct upgrade *u = user;
    bool ok = e->err.code == 0;
    if (!ok) {
        log_error("%s does not take over: %s; this one goes on", u->program, e->err.text);
    }
    u->check = proc_free(u->check);
    if (ok) {
        u->done(u->user);
    }
}

static const struct proc_ops check_ops = {.on_line = on_line, .on_exit = on_exit_of_check};

void upgrade_check(struct upgrade *u, struct loop *control, const char *file,
                   void (*done)(void *user), void *user)
{
    struct error err = {0};
    if (u->check) {
        return;
    }
    u->done = done;
    u->user = user;
    u->argv[0] = u->program;
    u->argv[1] = "check";
    u->argv[2] = file;
    const struct proc_spec spec = {.name = "mast check", .argv = u->argv, .env = u->env};
    if (proc_start(control, &spec, &check_ops, u, &u->check, &err) < 0) {
        log_error("%s cannot be asked: %s; this one goes on", u->program, err.text);
    }
}

void upgrade_cancel(struct upgrade *u)
{
    u->check = proc_free(u->check);
}

int upgrade_exec(struct upgrade *u, const char *const *args, const int *fds, unsigned n_fds)
{
    const char *argv[ARGS_MAX] = {u->program};
    char count[32];
    char pid[32];
    for (unsigned i = 0; args[i] && i + 2 < ARGS_MAX; i++) {
        argv[i + 1] = args[i];
    }
    /* The sockets lie above where they go, so none is overwritten before it was moved; dup2() clears close-on-exec. */
    for (unsigned i = 0; i < n_fds; i++) {
        if (dup2(fds[i], FIRST_FD + (int)i) < 0) {
            return -errno;
        }
    }
    snprintf(count, sizeof(count), "LISTEN_FDS=%u", n_fds);
    snprintf(pid, sizeof(pid), "LISTEN_PID=%d", (int)getpid());
    u->env[u->n_env] = count;
    u->env[u->n_env + 1] = pid;
    u->env[u->n_env + 2] = NULL;
    /* Until the new program listens to these, they must not end it. */
    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    execve(u->program, (char *const *)argv, (char *const *)u->env);
    return -errno;
}
