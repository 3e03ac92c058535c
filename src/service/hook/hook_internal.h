/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Shared by the files of service/hook. Control loop. */
#include "base/map.h"
#include "io/proc_lines.h"
#include "service/hook/hook_service.h"

#define HOOK_GRACE_MS 5000 /* from SIGTERM to SIGKILL */

/* ---- hook_output.c: what a program writes, to the log ---- */

struct hook_output {
    const char *hook;
    struct proc_lines out; /* stdout; stderr comes in lines */
    unsigned n;            /* lines since */
    int64_t since_ns;
};
void hook_output_init(struct hook_output *o, const char *hook);
void hook_output_done(struct hook_output *o);
void hook_output_chunk(struct hook_output *o, struct bytes chunk);
void hook_output_line(struct hook_output *o, const char *line);

/* Environment and argv of a child: texts of its own. */
struct hook_child {
    const char **argv; /* views of the hook */
    char **env;
    unsigned n_env;
};
void hook_child_init(struct hook_child *c, const struct hook *h, const char *resource);
void hook_child_put(struct hook_child *c, const char *name, struct bytes value);
void hook_child_done(struct hook_child *c);

/* ---- a hook in service ---- */

struct hook_state {
    struct list node;
    struct hook_service *s;
    struct hook c;
    bool seen;    /* configure: still in the file */
    bool retired; /* starts nothing more, and goes when its programs are gone */
    /* With `on` (hook_run.c). */
    struct list waiting;
    unsigned n_waiting;
    struct list runs;
    unsigned n_runs;
    /* With `while` (hook_lasting.c), by path. */
    struct map lasting;
    uint64_t succeeded;
    uint64_t failed;
    uint64_t dropped;
};

struct hook_service {
    struct loop *control;
    struct events *events;
    struct events_listener listener;
    struct list hooks;
    struct list retired;
    struct map live; /* by path: (void *)&hook_published or (void *)&hook_ready */
    struct loop_task pump;
    unsigned n_runs;    /* programs with `on` */
    unsigned n_running; /* of both sorts */
    bool stopping;
    void (*done)(void *user);
    void *done_user;
};

/* A stream's state, as values of the map. */
extern char hook_published;
extern char hook_ready;

/* Something ended, or may begin. */
void hook_pump_soon(struct hook_service *s);
bool hook_wants_path(const struct hook *h, const char *path);
/* Logs, counts and emits hook.failed. what: the event's type, or NULL. */
void hook_failed(struct hook_state *h, const char *what, const char *path, const char *reason,
                 int code);

/* Queues the event. */
void hook_run_take(struct hook_state *h, const struct event *e);
/* Starts what may be started. */
void hook_run_pump(struct hook_state *h);
/* Forgets what waits and asks the running to end. */
void hook_run_stop(struct hook_state *h);
/* Kills. */
void hook_run_kill(struct hook_state *h);

void hook_lasting_start(struct hook_state *h, const char *path);
void hook_lasting_stop(struct hook_state *h, const char *path); /* NULL = all */
/* Frees those that are over. */
void hook_lasting_bury(struct hook_state *h);
void hook_lasting_kill(struct hook_state *h);
