/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The start of a child, private to io/proc.c: pipes, descriptor table, environment, and the posix_spawn() of mast-spawn.
 * It blocks until the kernel has loaded mast-spawn (half a millisecond); what becomes of the program is told by the status
 * pipe (io/spawn_helper.h). The thread that calls it is the one whose death kills the child.
 */
#include "io/proc.h"

enum proc_pipe {
    PROC_PIPE_STATUS,
    PROC_PIPE_STDIN,
    PROC_PIPE_STDOUT,
    PROC_PIPE_STDERR,
    PROC_PIPE_N,
};

/* Our ends, by enum proc_pipe; -1 = there is none. */
struct proc_pipes {
    int ours[PROC_PIPE_N];
};

/* Errors as proc_start(). On success the caller owns the ends, and the child, which is to be reaped. */
int proc_spawn(const struct proc_spec *spec, bool wants_output, struct proc_pipes *ret,
               pid_t *ret_pid, struct error *err);
/* Closes the ends that are still there. */
void proc_pipes_done(struct proc_pipes *pipes);
