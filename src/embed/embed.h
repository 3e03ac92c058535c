/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Behind the C API (include/mast): the instance, its parts, calls and notes. A part is an object that embedders make
 * (orchestrator, process, client): it lives on the control loop and is freed in order there. A call is one request of any
 * thread: posted to the control loop, answered once. A note is one callback on its way out: run where it is told, or queued
 * for mast_dispatch().
 */
#include "base/bytes.h"
#include "base/error.h"
#include "base/list.h"
#include "io/loop.h"
#include "service/stream/derived_maker.h"

#include <mast/core.h>
#include <pthread.h>

struct engine;
struct tls_context;
struct embed_part;

struct mast {
    struct mast_config config;
    struct loop *control;
    struct loop *loops[LOOPS_MAX]; /* media */
    unsigned n_loops;
    struct engine *engine; /* NULL without media loops, as what follows */
    struct av_pool *av;
    struct derived_maker derived;
    struct loop_msg leave;
    /* Control loop. */
    struct list parts;
    struct list closings; /* struct mast_closing.node: whose lifecycle could not wait for them */
    bool leaving;
    int64_t leave_by_ns; /* all parts together */
    int left_r;          /* 0, or the worst of those that ended since */
    /* Notes of config.queue; under the lock. */
    int fd;
    pthread_mutex_t lock;
    struct list notes;
    unsigned n_events;                /* of the notes: those that may be dropped */
    const struct embed_part *running; /* whose event mast_dispatch() is in */
    pthread_cond_t ran;               /* it is not in that one any more */
    unsigned lost;
};

/* ---- core.c ---- */
/* The last part is gone: ends the control loop. */
void embed_leave(struct mast *m);

/* ---- note.c ---- */

#define EMBED_NOTE_TEXTS  4
#define EMBED_EVENTS_KEPT 10000u

/* One callback: run calls fn with user and the texts. */
struct embed_note {
    struct list node; /* private */
    void (*run)(const struct embed_note *n);
    void (*fn)(void); /* the embedder's function, cast back by run */
    void *user;
    int r;
    double value;
    const char *text[EMBED_NOTE_TEXTS]; /* each may be NULL; copied when it is queued */
    const struct embed_part *part;      /* of an event: taken back when its part goes */
    bool event;                         /* may be dropped when too many wait */
};
/* Control loop. Runs it now, or queues a copy. */
void embed_tell(struct mast *m, const struct embed_note *n);
/* Events of the part that still wait are nobody's any more. */
void embed_notes_forget(struct mast *m, const struct embed_part *part);
/* Any thread but the control loop's: returns when no other thread is inside an event of the part, which is gone. */
void embed_notes_settle(struct mast *m, const struct embed_part *part);
/* Whether the calling thread is inside mast_dispatch() of it. */
bool embed_dispatches(const struct mast *m);

/* ---- part.c ---- */

struct embed_part_ops {
    /* Begins to end in order; embed_part_stopped() follows, perhaps from inside. */
    void (*stop)(struct embed_part *p, unsigned deadline_ms);
    /* Frees it, whatever still runs; its calls are answered already. */
    void (*drop)(struct embed_part *p);
    bool asks_others; /* to end, it needs parts that are older */
    bool serves_ends; /* may be made while the instance goes; ends after those that need it */
};

struct embed_part {
    struct list node; /* of the instance */
    struct mast *mast;
    const struct embed_part_ops *ops;
    struct mast_observer observer;
    const char *name;    /* the resource of its metrics; "" when it has none */
    struct list counted; /* what its observer was told so far, by name */
    struct list calls;   /* under way */
    struct embed_call *freeing;
    struct loop_timer *deadline;
    int64_t stop_by_ns;
    struct loop_task end;
    bool stopping, stopped, ended;
    struct error how; /* it ended; code 0: well */
};

/* Before anybody knows it. observer may be NULL. */
void embed_part_init(struct embed_part *p, struct mast *m, const struct embed_part_ops *ops,
                     const struct mast_observer *observer);
/*
 * The end of each constructor: make (may be NULL) makes on the control loop what the part wraps, then the part belongs to the
 * instance. Its callbacks may come before this returns: *ret of the constructor is set before, and not again. On failure it is
 * dropped, err is filled and the result is make's, -EDEADLK on another loop's thread, -ESHUTDOWN when the instance goes.
 */
typedef int (*embed_make_fn)(struct embed_part *p, struct loop *l, const void *config,
                             struct error *err);
int embed_part_begin(struct embed_part *p, embed_make_fn make, const void *config,
                     struct mast_error *err);
/* Ends the parts that are left, newest first, then embed_leave(). */
void embed_parts_leave(struct mast *m);
/* Nothing of it runs any more; err NULL: it ended well. */
void embed_part_stopped(struct embed_part *p, const struct error *err);
int embed_part_free(struct embed_part *p, unsigned deadline_ms, mast_done_fn done, void *user);
int embed_part_free_wait(struct embed_part *p, unsigned deadline_ms, struct mast_error *err);

/* What observers hear. data: a JSON object. */
void embed_event(struct embed_part *p, const char *type, const char *resource, const char *data);
void embed_state(struct embed_part *p, const char *resource, const char *state, const char *reason);
void embed_error(struct embed_part *p, const char *phase, const char *resource, const char *text);
/* Beside those that count the three above. label NULL: it has none. */
void embed_metric(struct embed_part *p, enum mast_metric_type type, const char *name,
                  const char *label, const char *label_value, double value);

/* NULL with err: the file of authorities cannot be used. */
struct tls_context *embed_tls(const struct mast_tls *trust, struct error *err);

/* ---- lifecycle.c ---- */
/* Control loop's thread is gone: closers that answer from now on find nobody. */
void embed_closings_abandon(struct mast *m);

/* ---- call.c ---- */

struct embed_call {
    struct loop_msg msg;
    struct list node; /* of its part */
    struct embed_part *part;
    void (*run)(struct embed_call *c);    /* control loop; embed_answer() follows */
    void (*forget)(struct embed_call *c); /* its part goes: leaves what it waits for. May be NULL */
    void (*refuse)(struct embed_call *c); /* in place of run, when its part ends. May be NULL */
    mast_done_fn done;
    void *user;
    bool waits; /* a thread waits for it: answered directly */
    char *arg;  /* freed with it, as arg_2; may be NULL */
    char *arg_2;
    unsigned number;
};
/* size: of the struct that begins with its struct embed_call. */
void *embed_call_new(struct embed_part *p, size_t size, void (*run)(struct embed_call *c),
                     const char *arg);
/* Hands it over. Always 0: what goes wrong is the answer. */
int embed_call_post(void *call, mast_done_fn done, void *user);
/* *ret (may be NULL) is the answer's data. */
int embed_call_wait(void *call, char **ret, struct mast_error *err);
/* Frees the call. err and data may be NULL; data is taken over. */
void embed_answer(void *call, int r, const struct error *err, char *data);
/* What a peer answered: where is its number, when it has one. */
void embed_answer_peer(void *call, int r, int code, const char *text, struct bytes data);

void embed_error_out(struct mast_error *to, const struct error *from);
