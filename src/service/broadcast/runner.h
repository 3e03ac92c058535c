/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Runs the steps of one broadcast (design 4): brings them up in order, keeps them up, undoes them in reverse. It knows
 * neither Janus nor models: what a step does is its kind's, what is written down is the owner's.
 *
 *   IDLE ─start─► STARTING ─► UP ─lost─► LOST ─wait, start─► STARTING ...
 *                  │  │  └──► WAITING ─► UP          (for a publisher, a source: no fault, not counted, no deadline)
 *                  │  └ an answer was lost ─► UNSURE ─adopt─► UP, LOST or IDLE
 *                  └ refused ─► IDLE, or LOST when part of it is there: of a run that never was up the end, else tried again
 *   UP, WAITING, and what it was made from changed ─► STALE ─stop─► IDLE ─start─► ...
 *   UP, WAITING, STALE, LOST ─stop─► STOPPING ─► IDLE, KEPT (on purpose) or DEBT (could not be undone; tried again later)
 *   UNSURE, and the run shall end ─adopt─► as above, and stop; DEBT when it cannot be told
 *   DEBT ─start─► STARTING, or when it is to be paid ─► UNSURE or LOST
 *
 * One action at a time; a step begins when all earlier steps that write what it reads are UP. Before an outside effect a
 * step commits its intent (step_commit()), after it the runner commits the facts. Failing starts are tried again after a
 * growing wait, which this is the only owner of. Control loop.
 */
#include "base/error.h"
#include "io/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct out;
struct step;
struct runner;

enum step_state {
    STEP_IDLE,
    STEP_STARTING,
    STEP_WAITING,
    STEP_UP,
    STEP_LOST,
    STEP_STALE,
    STEP_UNSURE,
    STEP_ADOPTING,
    STEP_STOPPING,
    STEP_KEPT,
    STEP_DEBT,
    STEP_STATE_N,
};
const char *step_state_to_str(enum step_state s);
/* -EINVAL */
int step_state_parse(const char *text);

enum step_found {
    STEP_FOUND,  /* it is there and ours, its facts are filled */
    STEP_PART,   /* not all of it is: a start completes it, a stop undoes what is there */
    STEP_ABSENT, /* it is not, or not ours */
};

/*
 * A kind of step. start, adopt, check and stop answer by one of the step_...() below, at once or later; never two at a time for a
 * step. Only start and stop are required.
 */
struct step_kind {
    const char *name; /* "mountpoint"; unique in a broadcast */
    const char *peer; /* who it talks to: "janus", "obs", "rtmp", "relay" (a child), "engine" */
    size_t size;      /* of the struct that begins with its struct step */
    unsigned reads, writes; /* facts, by bits of the owner */
    unsigned start_ms; /* until a start that waits for nobody counts as unanswered; 0 = 30000 */
    /* What it is going to do, in a sentence; before anything runs. May be NULL. */
    void (*describe)(const struct step *s, struct out *o);
    /* Ensures it. Also after a loss: what of it is still there counts. */
    void (*start)(struct step *s);
    /*
     * After a lost answer or a restart of ours: looks for what the intent names, fills the facts. NULL: nothing of it
     * outlives this process.
     */
    void (*adopt)(struct step *s);
    /* Asked regularly while UP: step_well(), step_sick() or step_lost(), or nothing. */
    void (*check)(struct step *s);
    /* Undoes what this broadcast made, and only that. What is gone already is undone. */
    void (*stop)(struct step *s);
    /* Forgets what is under way, frees what lives here (timers, children); nothing outside is asked. Also before free. */
    void (*drop)(struct step *s);
};

/* The part that all have, embedded first. */
struct step {
    const struct step_kind *kind;
    struct runner *runner;
    enum step_state state;
    bool acted; /* an outside effect may have happened since start: its intent is written down */
    bool permanent; /* the last failure will not go away by itself */
    bool ours;      /* what is there was made by this broadcast */
    bool kept;      /* stop left it, on purpose */
    bool busy;      /* private: an answer is owed */
    unsigned bad, good;
    bool sick;         /* two bad reports in a row, until two good ones */
    char *reason;      /* of WAITING, LOST, UNSURE, DEBT, or why it is sick; NULL = none */
    int64_t since_ns;  /* wall clock, of this state */
    unsigned restarts; /* how often it was begun again */
    void (*then)(struct step *s); /* private: of step_commit() */
};

struct runner_ops {
    /* Writes down steps and facts, then calls runner_committed(), from a later pass. */
    void (*commit)(void *user);
    /* States or health changed; at the end of a pass. */
    void (*changed)(void *user);
    /* A start, adoption or undo failed. phase: "start", "adopt", "stop", "lost". */
    void (*failed)(void *user, const struct step *s, const char *phase, const struct error *err);
    /* A step's undo is done: it was there and is gone. May be NULL. */
    void (*undone)(void *user, const struct step *s);
    /* After runner_down(): nothing is under way, steps are IDLE, KEPT or DEBT. */
    void (*ended)(void *user);
};

#define RUNNER_STEPS_MAX 8
/* How the retrying of a run that was up waits; tests make it short. */
struct runner_pace {
    unsigned first_ms;      /* 0 = 500 */
    unsigned max_ms;        /* 0 = 15000 */
    unsigned permanent_max; /* that many refusals in a row end the run; 0 = 3 */
    unsigned check_ms;      /* 0 = 2000 */
    unsigned stop_ms;       /* for one undo or one look; 0 = 12000 */
};

/*
 * How long to wait after so many tries in a row that brought nothing. Random between half and all of it, so that a hundred
 * broadcasts of one server do not come back in one moment.
 */
unsigned runner_wait_ms(const struct runner_pace *pace, unsigned tries);

struct runner {
    struct loop *loop;
    const struct runner_ops *ops;
    void *user;
    struct runner_pace pace;
    struct step *steps[RUNNER_STEPS_MAX];
    unsigned n;
    bool up;     /* what is wanted */
    bool ended;  /* what is not wanted is gone, as far as it goes */
    bool was_up; /* it came as far as it could once: from then on it heals, before that it fails */
    bool dirty;  /* facts are not written down */
    bool committing;
    struct step *busy;
    struct step *failed; /* the step whose failure ended the run; NULL: it was asked to end */
    unsigned failures;   /* in a row, of starts */
    unsigned refusals;   /* permanent ones among them */
    int64_t retry_ns;    /* not before; 0 = now */
    struct loop_timer *timer;
    struct loop_timer *checks;
    struct loop_task pump;
    bool changed;
};

void runner_init(struct runner *r, struct loop *l, const struct runner_ops *ops, void *user,
                 const struct runner_pace *pace);
/* The next one in order, before anything runs: zeroed memory of its kind's size, freed after its drop. */
struct step *runner_add(struct runner *r, const struct step_kind *kind);
/* In the place of s, which has no effect outside: dropped and freed, also while it starts. The new one begins as all do. */
struct step *runner_swap(struct step *s, const struct step_kind *kind);
/* Frees the steps; nothing outside is undone, no callback comes any more. */
void runner_done(struct runner *r);

void runner_up(struct runner *r);
/* Also again, for debts. */
void runner_down(struct runner *r);
void runner_committed(struct runner *r);

struct step *runner_find(const struct runner *r, const char *name);
unsigned runner_debts(const struct runner *r);

/* ---- what steps say ---- */

/* The intent stands in the facts: writes it down, then calls then. From start only. */
void step_commit(struct step *s, void (*then)(struct step *s));
/* It is there. changed: the facts that differ from before; later steps that read them are made anew. From STARTING, WAITING. */
void step_started(struct step *s, unsigned changed);
/* As far as it can for now: a publisher, a source is awaited. From STARTING, WAITING. */
void step_waits(struct step *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/*
 * It is not there, or not all of it: what is there is s->ours. permanent: trying again will not help, as far as anybody knows. It
 * may be dropped before this returns.
 */
void step_failed(struct step *s, const struct error *err, bool permanent);
/* An answer is missing: it may be there. */
void step_unsure(struct step *s, const struct error *err);
/* r < 0: cannot be told now (err). */
void step_adopted(struct step *s, int r, enum step_found found, const struct error *err);
/* r < 0: a debt. */
void step_stopped(struct step *s, int r, const struct error *err);
/* It was UP, and is gone (or must be made anew). Ignored in other states. */
void step_lost(struct step *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* It does its work, or does not: two sick reports in a row count, until two good ones. Ignored unless UP. */
void step_well(struct step *s);
void step_sick(struct step *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A fact changed while UP: what reads it is made anew. */
void step_changed(struct step *s, unsigned changed);
