/* SPDX-License-Identifier: Apache-2.0 */
#include "app/upgrade.h"

#include "app/command.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/http_doc.h"
#include "io/loop.h"
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
#define CHECK_MS 30000

struct upgrade {
    char program[PATH_MAX];
    const char **env; /* the strings are the process's own and stay */
    unsigned n_env;
    struct proc *check;
    struct loop_timer *deadline; /* of the check */
    const char *argv[4];
    struct upgrade_target target;
    struct http_reply *reply;  /* who asked by the API and waits; NULL = nobody */
    char said[ERROR_TEXT_MAX]; /* the last that the check said */
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
    struct upgrade *u = user;
    snprintf(u->said, sizeof(u->said), "%s", line);
    log_error("the program that is to take over says: %s", line);
}

/* To who asked by the API. */
static void answer(struct upgrade *u, int status, const char *code, const char *text)
{
    struct http_reply *reply = TAKE_PTR(u->reply);
    struct error err = {0};
    if (!reply) {
        return;
    }
    if (!code) {
        struct buf *body = buf_from_str("{}");
        http_reply_send(reply, status, "application/json", &body);
        return;
    }
    error_set(&err, -EINVAL, "", "%s", text);
    http_reply_problem(reply, status, code, &err);
}

static void answer_ending(struct upgrade *u)
{
    answer(u, 503, "ending", "the server is ending");
}

static void refused(struct upgrade *u, const char *why)
{
    log_error("%s does not take over: %s; this one goes on", u->program, why);
    answer(u, 422, "refused", u->said[0] ? u->said : why);
}

static void on_exit_of_check(void *user, const struct proc_exit *e)
{
    struct upgrade *u = user;
    bool ok = e->err.code == 0;
    if (!ok) {
        refused(u, e->err.text);
    }
    u->deadline = loop_timer_free(u->deadline);
    u->check = proc_free(u->check);
    if (ok) {
        answer(u, 202, NULL, NULL);
        u->target.accepted(u->target.user);
    }
}

static const struct proc_ops check_ops = {.on_line = on_line, .on_exit = on_exit_of_check};

/* It may hang where its configuration lies; who asked must not wait for ever, and may ask again. */
static void on_deadline(void *user)
{
    struct upgrade *u = user;
    u->deadline = loop_timer_free(u->deadline);
    u->check = proc_free(u->check);
    refused(u, "it does not come to an end with the configuration");
}

void upgrade_bind(struct upgrade *u, const struct upgrade_target *target)
{
    u->target = *target;
}

void upgrade_ask(struct upgrade *u)
{
    struct error err = {0};
    if (u->check || !u->target.control) {
        return;
    }
    u->said[0] = '\0';
    u->argv[0] = u->program;
    u->argv[1] = "check";
    u->argv[2] = u->target.file;
    const struct proc_spec spec = {.name = "mast check", .argv = u->argv, .env = u->env};
    if (proc_start(u->target.control, &spec, &check_ops, u, &u->check, &err) < 0) {
        refused(u, err.text);
        return;
    }
    u->deadline = loop_timer_new(u->target.control, on_deadline, u);
    loop_timer_start(u->deadline, CHECK_MS);
}

void upgrade_cancel(struct upgrade *u)
{
    u->target = (struct upgrade_target){0};
    u->deadline = loop_timer_free(u->deadline);
    u->check = proc_free(u->check);
    answer_ending(u);
}

/* ---- the API ---- */

static void handle_upgrade(void *user, struct http_request *req, struct http_reply *reply)
{
    struct upgrade *u = user;
    if (u->check) {
        struct error err = {0};
        error_set(&err, -EBUSY, "", "it is being asked already");
        http_reply_problem(reply, 409, "under-way", &err);
        return;
    }
    if (!u->target.control) {
        u->reply = reply;
        answer_ending(u);
        return;
    }
    log_info("asked by the API to make way for another program");
    u->reply = reply;
    upgrade_ask(u);
}

static const struct http_doc_problem problems[] = {
    {409, "under-way", "somebody else asked a moment ago"},
    {422, "refused", "the program at the server's path does not take the configuration"},
    {503, "ending", "the server is ending"},
    {.status = 0},
};
static const struct http_route_doc upgrade_doc = {
    .text =
        "The program that now lies at the server's path checks the configuration. When it accepts, this one ends its "
        "sessions and becomes it; listening sockets stay open. `started` of `/api/v1/version` tells when it has.",
    .status = 202,
    .reply_type = "application/json",
    .reply_text = "The other program takes over",
    .problems = problems,
};

const struct http_route upgrade_routes[] = {
    {
        .method = HTTP_POST,
        .kind = HTTP_ROUTE_CONTROL,
        .pattern = "/api/v1/upgrade",
        .handle = handle_upgrade,
        .max_body_bytes = 4096,
        .summary = "Becomes the program that was installed over this one",
        .doc = &upgrade_doc,
        .scope = "admin",
    },
};
const unsigned upgrade_routes_n = ARRAY_LEN(upgrade_routes);

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
