/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Keeps one child process running: starts it with arguments that are made anew each time (ports and SSRCs change),
 * restarts it after a growing, random wait, and gives up when a budget of restarts is spent. It is the one owner of backoff:
 * nothing above it retries (design 4).
 *
 *   STOPPED ─start─► STARTING ─exec─► RUNNING ─ended or stalled─► BACKOFF ─timer─► STARTING ...
 *      ▲                 └────── cannot start ──────────────────────┘│
 *      └── STOPPING ◄─stop─ any of them                              └ budget spent, or the owner gives up ─► FAILED
 *
 * Control loop only. In BACKOFF the former child may still be ending; the next one never starts before it is gone.
 */
#include "base/error.h"
#include "io/loop.h"
#include "io/proc.h"

struct supervisor;

enum supervisor_state {
    SUPERVISOR_STOPPED,
    SUPERVISOR_STARTING,
    SUPERVISOR_RUNNING,
    SUPERVISOR_BACKOFF,
    SUPERVISOR_STOPPING,
    SUPERVISOR_FAILED, /* gave up; supervisor_start() tries anew */
    SUPERVISOR_STATE_N,
};

#define SUPERVISOR_BUDGET_MAX 64

struct supervisor_config {
    const char *name;            /* copied; for logs: "restream live/cam-1" */
    unsigned backoff_initial_ms; /* 0 = 500: the first wait is random up to this, and doubles */
    unsigned backoff_max_ms;     /* 0 = 30000 */
    /* 0 = 10000: a child that ran this long starts the waits from the beginning */
    unsigned healthy_ms;
    unsigned max_restarts; /* in the window; 0 = no limit; at most SUPERVISOR_BUDGET_MAX */
    unsigned window_ms;    /* 0 = 300000 */
    unsigned grace_ms;     /* 0 = 5000: from SIGTERM to SIGKILL */
    unsigned check_ms;     /* interval of ops.check; 0 = 1000 */
    /* Tests: a number in 0..n-1 for the waits; NULL = random_below(). */
    uint64_t (*random_below)(void *user, uint64_t n);
};

enum supervisor_verdict {
    SUPERVISOR_RESTART,
    SUPERVISOR_DONE,    /* the work is complete: go to STOPPED */
    SUPERVISOR_GIVE_UP, /* restarting cannot help: go to FAILED */
};

/* supervisor_start(), _stop(), _restart() and _free() may be called inside on_output, on_line and on_state, not in the others. */
struct supervisor_ops {
    /*
     * Fills spec for the next start (zeroed before). What it points to must live until release. A negative return is a
     * failed start, with its sentence in err.
     */
    int (*make)(void *user, struct proc_spec *spec, struct error *err);
    /* After each make that succeeded, when the child has what it needs (or could not start): close its ends. May be NULL. */
    void (*release)(void *user);
    /* What the child writes, see io/proc.h; each may be NULL. */
    void (*on_output)(void *user, struct bytes chunk);
    void (*on_line)(void *user, const char *line);
    void (*redact)(void *user, char *line);
    /* Asked regularly in RUNNING: a sentence when the child makes no progress and must be replaced, else NULL. May be NULL. */
    const char *(*check)(void *user);
    /* The child ended without being asked to; NULL = SUPERVISOR_RESTART. */
    enum supervisor_verdict (*on_exit)(void *user, const struct proc_exit *e);
    /* After each change; reason is never NULL. May be NULL. */
    void (*on_state)(void *user, enum supervisor_state old, enum supervisor_state state,
                     const char *reason);
};

struct supervisor *supervisor_new(struct loop *l, const struct supervisor_config *config,
                                  const struct supervisor_ops *ops, void *user);
/* From STOPPED or FAILED, with a full budget. -EBUSY in STOPPING; 0 without effect in the others. */
int supervisor_start(struct supervisor *s);
/*
 * done (may be NULL) comes once, when no child is left; at once when there is none. -EALREADY when a stop with a callback
 * is under way already and done is not NULL.
 */
int supervisor_stop(struct supervisor *s, void (*done)(void *user), void *user);
/* Replaces the child now (its configuration changed): no wait, not counted as a failure. Only in STARTING, RUNNING and BACKOFF. */
void supervisor_restart(struct supervisor *s, const char *reason);
/* Kills the child, if any, and frees; no callback comes any more. Returns NULL. */
struct supervisor *supervisor_free(struct supervisor *s);

enum supervisor_state supervisor_state(const struct supervisor *s);
/* Why it is in this state: "ended with code 1: Connection refused"; never NULL. */
const char *supervisor_reason(const struct supervisor *s);
unsigned supervisor_restarts(const struct supervisor *s); /* total since supervisor_start() */
/* The running child, NULL when there is none. */
struct proc *supervisor_proc(const struct supervisor *s);
const char *supervisor_state_to_str(enum supervisor_state state);
