/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What parts that run a program have in common: processes and relays. Control loop. */
#include "embed/embed.h"
#include "io/supervisor.h"

struct json;
struct embed_child;

struct embed_child_kind {
    const char *phase; /* of its errors */
    int (*start)(struct embed_child *c);
    int (*stop)(struct embed_child *c, void (*done)(void *user), void *user);
    void (*restart)(struct embed_child *c); /* NULL: has none */
    const struct supervisor *(*supervisor)(const struct embed_child *c);
    void (*status)(const struct embed_child *c, struct json *j); /* more members; NULL: none */
    void (*drop)(struct embed_child *c);                         /* frees it */
};

struct embed_child {
    struct embed_part part;
    const struct embed_child_kind *kind;
    char *name;
    void (*on_line)(void *user, const char *line);
    void *user;
    struct list starts; /* struct child_call.node: calls that wait until it runs */
    struct list stops;  /* and those that wait until nothing of it runs */
    bool asked;         /* a restart: the end of its child is no fault */
};

/* Any thread, before anybody knows it. */
void embed_child_init(struct embed_child *c, struct mast *m, const struct embed_child_kind *kind,
                      const char *name, const struct mast_observer *observer);
/* What the supervisor says. */
void embed_child_state(struct embed_child *c, enum supervisor_state state, const char *reason);
void embed_child_line(struct embed_child *c, const char *line);

/* Calls for the public functions. */
void *embed_child_start(struct embed_child *c);
void *embed_child_restart(struct embed_child *c);
void *embed_child_stop(struct embed_child *c);
void *embed_child_status(struct embed_child *c);
