/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A loop is one libuv loop on one thread: the control loop, or one of N media loops. Everything a loop runs happens on its
 * thread; other threads reach it only by loop_post(). All functions but loop_post(), loop_stop() and loop_is_current()
 * belong to the loop's own thread (or to the creator before loop_start()).
 *
 * Callbacks mark work and leave; deferred tasks drain it once per iteration, after the poll, in stage order. So ten samples
 * that arrive in one read cost each reader one write.
 */
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/list.h"

struct loop;

/* index: 0.. for media loops, LOOP_CONTROL for the control loop; it is what ids across loops carry. */
#define LOOP_CONTROL (-1)
#define LOOPS_MAX    64

/* Creates a loop that does not run yet. name is copied (thread name, log lines). Aborts when libuv cannot make one. */
struct loop *loop_new(const char *name, int index);
/* Runs the loop on a new thread. Returns negative errno when no thread can be made. */
int loop_start(struct loop *l);
/* Runs the loop on the calling thread until loop_stop(); for the control loop of the program and for tests. */
void loop_run(struct loop *l);
/* Tests, and what ends: handles what is due without blocking longer than max_ms; returns after one iteration. */
void loop_run_once(struct loop *l, unsigned max_ms);
/* Any thread: the loop finishes the current iteration, delivers the messages already posted, and ends. */
void loop_stop(struct loop *l);
/* Waits for the end of its thread, when it has one; for who must know before loop_free(). */
void loop_join(struct loop *l);
/*
 * Joins the thread (when started), delivers messages that are still queued, runs what loop_at_free() left, closes the
 * loop's handles and frees it. All other handles must have been closed by their owners or close themselves soon: aborts and
 * names the kind of one that does not. NULL is fine.
 */
void loop_free(struct loop *l);

uv_loop_t *loop_uv(struct loop *l);
int loop_index(const struct loop *l);
bool loop_has_thread(const struct loop *l); /* loop_start() was called; else the caller runs it */
const char *loop_name(const struct loop *l);
/* The loop that the calling thread runs, NULL elsewhere. */
struct loop *loop_current(void);
bool loop_is_current(const struct loop *l);
/*
 * Scratch memory of the loop (64 KiB each), free for use until the caller returns or calls back: sockets read into one and
 * gather what they write in the other, so that a connection needs no buffers of its own.
 */
#define LOOP_SCRATCH_BYTES (64 * 1024)
uint8_t *loop_read_scratch(struct loop *l);
uint8_t *loop_write_scratch(struct loop *l);
/* Monotonic time of this pass, read once after the poll; the `now` that callbacks pass down. */
int64_t loop_now_ns(struct loop *l);
/* The share of time this loop spent outside the poll in the last second, 0..1000 (permille); any thread. */
unsigned loop_busy_permille(const struct loop *l);

/*
 * A message embedded in the sender's allocation. deliver runs once on the target loop and owns the message from then on
 * (usually frees what it is embedded in). Messages of one sender arrive in the order sent. Never refused: what is sent is
 * bounded by the sender. Any thread.
 */
struct loop_msg {
    struct loop_msg *next; /* private */
    void (*deliver)(struct loop *l, struct loop_msg *m);
};
void loop_post(struct loop *l, struct loop_msg *m);
/* Convenience for rare calls: allocates the message. */
void loop_call(struct loop *l, void (*fn)(struct loop *l, void *arg), void *arg);
/*
 * Runs fn on l's thread and waits for its return. Directly when that is the calling thread, or when l does not run: then
 * the caller must be who will start or free it. Only downwards, from the control thread to media loops: two loops that
 * wait for each other wait for ever.
 */
void loop_call_wait(struct loop *l, void (*fn)(struct loop *l, void *arg), void *arg);

/*
 * A deferred task: run once at the end of this iteration, or of the next when deferred during its own stage or a later one.
 * Deferring twice is the same as once. The owner embeds it, and cancels it before freeing itself.
 */
enum loop_stage {
    LOOP_STAGE_MEDIA,  /* engine: stamp, distribute to replicas */
    LOOP_STAGE_FANOUT, /* readers fill and write their sockets */
    LOOP_STAGE_WRITE,  /* everything else that flushes output */
    LOOP_STAGE_NOTIFY, /* events, gauges, closing of what was marked dead */
    LOOP_STAGE_N,
};
struct loop_task {
    struct list node; /* private */
    void (*run)(struct loop_task *t);
};
void loop_task_init(struct loop_task *t, void (*run)(struct loop_task *t));
void loop_defer(struct loop *l, enum loop_stage stage, struct loop_task *t);
/* For what has no owner any more (a connection that lingers): t runs when the loop is freed, unless cancelled before. */
void loop_at_free(struct loop *l, struct loop_task *t);
void loop_task_cancel(struct loop_task *t);
bool loop_task_pending(const struct loop_task *t);

/*
 * One-shot timer; a repeated one re-arms itself. Its memory is its own (freed after libuv's close), so an owner may free
 * itself right after loop_timer_free(). fn may start, stop or free its timer.
 */
struct loop_timer;
typedef void (*loop_timer_fn)(void *user);
struct loop_timer *loop_timer_new(struct loop *l, loop_timer_fn fn, void *user);
void loop_timer_start(struct loop_timer *t, uint64_t delay_ms);
void loop_timer_stop(struct loop_timer *t);
bool loop_timer_active(const struct loop_timer *t);
struct loop_timer *loop_timer_free(struct loop_timer *t); /* returns NULL */
