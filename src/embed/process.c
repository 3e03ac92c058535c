/* SPDX-License-Identifier: Apache-2.0 */
/* mast/process.h: one program under io/supervisor.h. */
#include "embed/child.h"

#include "base/mem.h"

#include <errno.h>
#include <mast/process.h>
#include <string.h>

struct mast_process {
    struct embed_child child;
    struct supervisor *supervisor;
    char **argv, **env;
    char *dir;
    const char *(*check)(void *user);
};

static struct mast_process *process_of(const struct embed_child *c)
{
    return (struct mast_process *)CONTAINER_OF(c, struct mast_process, child);
}

/* ---- under the supervisor ---- */

static int on_make(void *user, struct proc_spec *spec, struct error *err)
{
    const struct mast_process *p = user;
    spec->name = p->child.name;
    spec->argv = (const char *const *)p->argv;
    spec->env = (const char *const *)p->env;
    spec->dir = p->dir;
    return 0;
}

static void on_line(void *user, const char *line)
{
    embed_child_line(&((struct mast_process *)user)->child, line);
}

static const char *on_check(void *user)
{
    const struct mast_process *p = user;
    return p->check ? p->check(p->child.user) : NULL;
}

static void on_state(void *user, enum supervisor_state old, enum supervisor_state state,
                     const char *reason)
{
    embed_child_state(&((struct mast_process *)user)->child, state, reason);
}

static const struct supervisor_ops ops = {
    .make = on_make, .on_line = on_line, .check = on_check, .on_state = on_state};

/* ---- as a child ---- */

static int start(struct embed_child *c)
{
    return supervisor_start(process_of(c)->supervisor);
}

static int stop(struct embed_child *c, void (*done)(void *user), void *user)
{
    return supervisor_stop(process_of(c)->supervisor, done, user);
}

static void restart(struct embed_child *c)
{
    supervisor_restart(process_of(c)->supervisor, "a restart was asked for");
}

static const struct supervisor *supervisor(const struct embed_child *c)
{
    return process_of(c)->supervisor;
}

static char **copy_list(const char *const *list)
{
    size_t n = 0;
    while (list && list[n]) {
        n++;
    }
    char **copy = mem_new_array(char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        copy[i] = mem_strdup(list[i]);
    }
    return copy;
}

static void free_list(char **list)
{
    for (size_t i = 0; list[i]; i++) {
        free(list[i]);
    }
    free(list);
}

static void drop(struct embed_child *c)
{
    struct mast_process *p = process_of(c);
    if (p->supervisor) {
        supervisor_free(p->supervisor);
    }
    free_list(p->argv);
    free_list(p->env);
    free(p->dir);
    free(p);
}

static const struct embed_child_kind kind = {.phase = "process",
                                             .start = start,
                                             .stop = stop,
                                             .restart = restart,
                                             .supervisor = supervisor,
                                             .drop = drop};

/* ---- the API ---- */

static int make(struct embed_part *part, struct loop *l, const void *config, struct error *err)
{
    struct mast_process *p = CONTAINER_OF(part, struct mast_process, child.part);
    const struct mast_process_config *c = config;
    const struct supervisor_config sc = {
        .name = p->child.name,
        .backoff_initial_ms = c->backoff_ms,
        .backoff_max_ms = c->backoff_max_ms,
        .healthy_ms = c->healthy_ms,
        .max_restarts = c->max_restarts,
        .window_ms = c->window_ms,
        .grace_ms = c->grace_ms,
        .check_ms = c->check_ms ? c->check_ms : 5000,
    };
    p->supervisor = supervisor_new(l, &sc, &ops, p);
    return 0;
}

static int check_config(const struct mast_process_config *c, struct mast_error *err)
{
    struct error why = {0};
    if (!c->argv || !c->argv[0] || !c->argv[0][0]) {
        error_set(&why, -EINVAL, "argv", "names no program");
    } else if (c->max_restarts > SUPERVISOR_BUDGET_MAX) {
        error_set(&why, -EINVAL, "max_restarts", "is at most %d", SUPERVISOR_BUDGET_MAX);
    }
    if (why.code < 0) {
        embed_error_out(err, &why);
    }
    return why.code;
}

int mast_process_new(struct mast *m, const struct mast_process_config *config,
                     struct mast_process **ret, struct mast_error *err)
{
    *ret = NULL;
    int r = check_config(config, err);
    if (r < 0) {
        return r;
    }
    struct mast_process *p = mem_new(struct mast_process);
    const char *name = config->name ? config->name : config->argv[0];
    embed_child_init(&p->child, m, &kind, name, &config->observer);
    p->child.on_line = config->on_line;
    p->child.user = config->user;
    p->check = config->check;
    p->argv = copy_list(config->argv);
    p->env = copy_list(config->env);
    p->dir = config->dir ? mem_strdup(config->dir) : NULL;
    *ret = p;
    r = embed_part_begin(&p->child.part, make, config, err);
    if (r < 0) {
        *ret = NULL;
    }
    return r;
}

int mast_process_free(struct mast_process *p, unsigned deadline_ms, mast_done_fn done, void *user)
{
    return p ? embed_part_free(&p->child.part, deadline_ms, done, user) : 0;
}

int mast_process_free_wait(struct mast_process *p, unsigned deadline_ms, struct mast_error *err)
{
    return p ? embed_part_free_wait(&p->child.part, deadline_ms, err) : 0;
}

int mast_process_start(struct mast_process *p, mast_done_fn done, void *user)
{
    return embed_call_post(embed_child_start(&p->child), done, user);
}

int mast_process_start_wait(struct mast_process *p, struct mast_error *err)
{
    return embed_call_wait(embed_child_start(&p->child), NULL, err);
}

int mast_process_stop(struct mast_process *p, mast_done_fn done, void *user)
{
    return embed_call_post(embed_child_stop(&p->child), done, user);
}

int mast_process_stop_wait(struct mast_process *p, struct mast_error *err)
{
    return embed_call_wait(embed_child_stop(&p->child), NULL, err);
}

int mast_process_restart(struct mast_process *p, mast_done_fn done, void *user)
{
    return embed_call_post(embed_child_restart(&p->child), done, user);
}

int mast_process_restart_wait(struct mast_process *p, struct mast_error *err)
{
    return embed_call_wait(embed_child_restart(&p->child), NULL, err);
}

int mast_process_status(struct mast_process *p, mast_done_fn done, void *user)
{
    return embed_call_post(embed_child_status(&p->child), done, user);
}

int mast_process_status_wait(struct mast_process *p, char **ret, struct mast_error *err)
{
    return embed_call_wait(embed_child_status(&p->child), ret, err);
}
