/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A program that is kept running: started from an argv array (never a shell), restarted after a growing, random wait, watched by a health
 * check, and ended with its whole process group. Threads, ownership and errors: mast/core.h.
 *
 * The observer hears each state as on_state_change: starting, running, backoff (it ended or stalled, and is started again after the wait),
 * stopping, stopped, failed (the budget of restarts is spent); backoff and failed also as on_error with the phase "process".
 */
#include <mast/core.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mast_process;

/* Zero is the default given. */
struct mast_process_config {
    const char *name;        /* for logs and the observer; NULL = argv[0] */
    const char *const *argv; /* NULL-terminated; argv[0] without a slash is looked up in PATH */
    const char *const
        *env;        /* "NAME=value", NULL-terminated, beside PATH, LANG, TZ, HOME; may be NULL */
    const char *dir; /* working directory; NULL = ours */
    unsigned backoff_ms;     /* 500: the first wait is random up to this, and doubles */
    unsigned backoff_max_ms; /* 30000 */
    unsigned healthy_ms;     /* 10000: who ran this long starts the waits from the beginning */
    unsigned max_restarts;   /* in the window; 0 = no limit; at most 64 */
    unsigned window_ms;      /* 300000 */
    unsigned grace_ms;       /* 5000: from SIGTERM to SIGKILL */
    unsigned check_ms;       /* 5000: between health checks */
    void *user;              /* of the two below */
    /*
     * The health check: NULL when it is well, else a sentence, and the program is replaced. Always on the control thread, also with
     * `queue`; must not block. The sentence is copied at once, and stays the caller's. May be NULL.
     */
    const char *(*check)(void *user);
    /* What it says on stderr, line by line. May be NULL. */
    void (*on_line)(void *user, const char *line);
    struct mast_observer observer;
};

/* Nothing is started yet. -EINVAL: there is no argv, or max_restarts is too large. -EDEADLK: on a thread of another instance. */
MAST_API int mast_process_new(struct mast *m, const struct mast_process_config *config,
                              struct mast_process **ret, struct mast_error *err);
/* Ends it (SIGTERM, then SIGKILL), then frees. deadline_ms: 0 = stop_ms of the instance. NULL is fine: 0, and no answer. */
MAST_API int mast_process_free(struct mast_process *p, unsigned deadline_ms, mast_done_fn done,
                               void *user);
MAST_API int mast_process_free_wait(struct mast_process *p, unsigned deadline_ms,
                                    struct mast_error *err);
/*
 * 0: it runs. -EAGAIN: it did not start or ended at once, and is tried again; -ECHILD: it did, and the budget is spent; text says
 * why. -EINTR: it was stopped first. -EBUSY: it is stopping.
 */
MAST_API int mast_process_start(struct mast_process *p, mast_done_fn done, void *user);
MAST_API int mast_process_start_wait(struct mast_process *p, struct mast_error *err);
/* 0 when nothing of it runs any more; also of one that did not. */
MAST_API int mast_process_stop(struct mast_process *p, mast_done_fn done, void *user);
MAST_API int mast_process_stop_wait(struct mast_process *p, struct mast_error *err);
/* Replaces it now, without a wait and not against max_restarts; `restarts` counts it. Answered like a start. */
MAST_API int mast_process_restart(struct mast_process *p, mast_done_fn done, void *user);
MAST_API int mast_process_restart_wait(struct mast_process *p, struct mast_error *err);
/* data: {"name":, "state":, "reason":, "pid": (0 = none), "restarts":}. */
MAST_API int mast_process_status(struct mast_process *p, mast_done_fn done, void *user);
MAST_API int mast_process_status_wait(struct mast_process *p, char **ret, struct mast_error *err);

#ifdef __cplusplus
}
#endif
