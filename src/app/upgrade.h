/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Another version of the program in place of this one, without a moment in which nobody listens. SIGUSR2 or the API: the program at
 * our path checks the configuration (a child, `mast check`); when it says yes, this process ends everything as at a stop,
 * but keeps the listening sockets, and becomes that program (execve), which takes them over. So the process id stays, which
 * service managers hold on to, the state folder is never used by two, and who connects in between waits in the kernel's
 * queue. Sessions end, and come back to the new one.
 */
#include "io/http.h"

struct upgrade;

/* Notes where the program lies and its environment as it is now: at the very start. Never NULL. */
struct upgrade *upgrade_new(void);
struct upgrade *upgrade_free(struct upgrade *u);
/*
 * What asking needs: the configuration that is checked (file may be NULL), and who ends everything when the other program
 * accepts it. Control loop.
 */
struct upgrade_target {
    struct loop *control;
    const char *file;
    void (*accepted)(void *user);
    void *user;
};
void upgrade_bind(struct upgrade *u, const struct upgrade_target *target);
/*
 * Asks the program at our path whether it accepts the configuration; target.accepted comes when it does. When it does not, that
 * is logged. While it is asked, a second call does nothing.
 */
void upgrade_ask(struct upgrade *u);
/* Ends a check that is under way, and takes no further question: the server stops. Before the control loop goes. */
void upgrade_cancel(struct upgrade *u);
/* POST /api/v1/upgrade: asks, and answers what came of it; user is the struct upgrade. */
extern const struct http_route upgrade_routes[];
extern const unsigned upgrade_routes_n;
/* Becomes the program: argv without its name. fds are listening sockets, ours. Returns only when that fails. */
int upgrade_exec(struct upgrade *u, const char *const *args, const int *fds, unsigned n_fds);
