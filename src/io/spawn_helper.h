/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What io/proc_spawn.c and the program mast-spawn (spawn_helper.c) agree on. The parent starts
 *
 *     mast-spawn PARENT_PID NICENESS DIR PROGRAM [ARGUMENT...]
 *
 * (DIR "" = stay) with the environment and the descriptor table that the child shall have, plus the write end of a pipe as
 * SPAWN_STATUS_FD. The pipe closes without a byte when PROGRAM runs; else it carries one struct spawn_failure. Both
 * programs are of one build, so the struct needs no byte order.
 */
#include <stdint.h>

/* Inherited descriptors keep below this number; everything above it is closed. */
#define SPAWN_STATUS_FD 16
/* What the helper exits with when it could not run the program; the shell's number for it. */
#define SPAWN_EXIT_FAILED 127

enum spawn_step {
    SPAWN_STEP_PARENT_GONE,
    SPAWN_STEP_CHDIR,
    SPAWN_STEP_EXEC,
};

struct spawn_failure {
    int32_t step; /* enum spawn_step */
    int32_t err;  /* positive errno */
};
