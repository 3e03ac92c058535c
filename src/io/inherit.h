/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Listening sockets that whoever started us has opened already: a service manager (socket activation, sd_listen_fds(3)), or
 * our own former self across an upgrade. They are matched by address, not by name: listener_open() takes those that are
 * bound to what it is asked for, and opens none itself then. Control thread; one table a process, as the environment is.
 */
#include <sys/socket.h>

#define INHERIT_MAX 256

/* Reads $LISTEN_PID and $LISTEN_FDS, and takes them out of the environment. */
void inherit_init(void);
/* Takes the sockets bound to this address, at most max; the caller owns them. Returns how many. */
unsigned inherit_take(const struct sockaddr *sa, int *ret_fds, unsigned max);
/* Closes what nobody took, and says so. */
void inherit_close_rest(void);
