/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One part alone: a program that is kept running, with growing waits, a budget of restarts, and the end of its whole group.
 *
 *     managed_process sleep 1000
 *
 * Kill it and it comes back; Ctrl-C ends both.
 */
#include <mast/mast.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static void on_state_change(void *user, const char *name, const char *state, const char *reason)
{
    (void)user;
    printf("%s: %s %s\n", name, state, reason);
    fflush(stdout);
}

static void on_line(void *user, const char *line)
{
    (void)user;
    printf("it says: %s\n", line);
    fflush(stdout);
}

int main(int argc, char *argv[])
{
    struct mast_process *process = NULL;
    struct mast_error err = {0};
    char *status = NULL;
    sigset_t ends;
    int signal_number;

    if (argc < 2) {
        fprintf(stderr, "usage: %s PROGRAM [ARGUMENT...]\n", argv[0]);
        return 2;
    }
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL);

    const struct mast_process_config config = {
        .argv = (const char *const *)(argv + 1),
        .max_restarts = 5,
        .window_ms = 60000,
        .on_line = on_line,
        .observer = {.on_state_change = on_state_change},
    };
    struct mast *mast = mast_new(NULL);
    if (!mast || mast_process_new(mast, &config, &process, &err) < 0 ||
        mast_process_start_wait(process, &err) < 0) {
        fprintf(stderr, "%s: %s\n", err.where, err.text);
        mast_free(mast);
        return 1;
    }
    if (mast_process_status_wait(process, &status, NULL) == 0) {
        puts(status);
        fflush(stdout);
        free(status);
    }
    sigwait(&ends, &signal_number);
    mast_process_free_wait(process, 0, NULL);
    mast_free(mast);
    return 0;
}
