/* SPDX-License-Identifier: Apache-2.0 */
#include "io/supervisor.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

LOG_TOPIC(topic, "io.supervisor");

#define BIT(state) (1u << (state))

struct supervisor {
    struct loop *loop;
    char *name;
    struct supervisor_config config;  /* defaults filled in; its name is not used */
    const struct supervisor_ops *ops; /* NULL: the owner has freed it */
    void *user;
    struct proc_ops proc_ops;
    enum supervisor_state state;
    char reason[ERROR_TEXT_MAX];
    struct proc *proc;        /* also in BACKOFF, while the former child is ending */
    struct loop_timer *timer; /* BACKOFF: the wait; RUNNING: the next check */
    int64_t running_since_ns;
    unsigned failures; /* in a row, without a healthy run between */
    unsigned restarts;
    int64_t spent_ns[SUPERVISOR_BUDGET_MAX]; /* ring: when the restarts of the budget were made */
    unsigned n_spent;
    void (*done)(void *user);
    void *done_user;
    struct loop_task funeral; /* frees the memory after the callbacks that may be on the stack */
};

static const char *const state_names[] = {"stopped", "starting", "running",
                                          "backoff", "stopping", "failed"};
_Static_assert(ARRAY_LEN(state_names) == SUPERVISOR_STATE_N, "");

static const unsigned next_states[] = {
    [SUPERVISOR_STOPPED] = BIT(SUPERVISOR_STARTING),
    [SUPERVISOR_STARTING] = BIT(SUPERVISOR_RUNNING) | BIT(SUPERVISOR_BACKOFF) |
                            BIT(SUPERVISOR_STOPPING) | BIT(SUPERVISOR_STOPPED) |
                            BIT(SUPERVISOR_FAILED),
    [SUPERVISOR_RUNNING] = BIT(SUPERVISOR_BACKOFF) | BIT(SUPERVISOR_STOPPING) |
                           BIT(SUPERVISOR_STOPPED) | BIT(SUPERVISOR_FAILED),
    [SUPERVISOR_BACKOFF] =
        BIT(SUPERVISOR_STARTING) | BIT(SUPERVISOR_STOPPING) | BIT(SUPERVISOR_STOPPED),
    [SUPERVISOR_STOPPING] = BIT(SUPERVISOR_STOPPED),
    [SUPERVISOR_FAILED] = BIT(SUPERVISOR_STARTING) | BIT(SUPERVISOR_STOPPED),
};
_Static_assert(ARRAY_LEN(next_states) == SUPERVISOR_STATE_N, "");

/* The last act of a step, or followed by a look at the state: on_state may have changed it again. */
static void set_state(struct supervisor *s, enum supervisor_state next, const char *reason)
{
    enum supervisor_state old = s->state;
    assert(old < SUPERVISOR_STATE_N && next_states[old] & BIT(next));
    loop_timer_stop(s->timer); /* both waits belong to the state that ends */
    s->state = next;
    snprintf(s->reason, sizeof(s->reason), "%s", reason);
    if (next == SUPERVISOR_FAILED) {
        log_error("%s: %s -> failed (%s), waiting for somebody to start it", s->name,
                  state_names[old], reason);
    } else {
        log_info("%s: %s -> %s (%s)", s->name, state_names[old], state_names[next], reason);
    }
    if (s->ops && s->ops->on_state) {
        s->ops->on_state(s->user, old, next, s->reason);
    }
}

static void enter_stopped(struct supervisor *s, const char *reason)
{
    void (*done)(void *) = s->done;
    void *user = s->done_user;
    s->done = NULL;
    set_state(s, SUPERVISOR_STOPPED, reason);
    if (done && s->ops) {
        done(user);
    }
}

static void enter_failed(struct supervisor *s, const char *reason)
{
    s->proc = proc_free(s->proc);
    set_state(s, SUPERVISOR_FAILED, reason);
}

static void enter_backoff(struct supervisor *s, unsigned delay_ms, const char *reason)
{
    if (s->state != SUPERVISOR_BACKOFF) {
        set_state(s, SUPERVISOR_BACKOFF, reason);
    }
    if (s->ops && s->state == SUPERVISOR_BACKOFF) {
        loop_timer_start(s->timer, delay_ms);
    }
}

/* Full jitter: anything from 0 to the cap, so that many children of one dead peer do not come back as one. */
static unsigned next_delay(struct supervisor *s)
{
    uint64_t cap = s->config.backoff_initial_ms;
    for (unsigned i = 0; i < s->failures && cap < s->config.backoff_max_ms; i++) {
        cap *= 2;
    }
    cap = MIN(cap, (uint64_t)s->config.backoff_max_ms);
    s->failures++;
    return (unsigned)(s->config.random_below ? s->config.random_below(s->user, cap + 1)
                                             : random_below(cap + 1));
}

/* Takes one restart from the budget; false when none is left in the window. */
static bool spend_restart(struct supervisor *s)
{
    unsigned max = s->config.max_restarts;
    int64_t now = clock_mono_ns();
    if (max == 0) {
        return true;
    }
    int64_t *oldest = &s->spent_ns[s->n_spent % max];
    if (s->n_spent >= max && now - *oldest < s->config.window_ms * NS_PER_MS) {
        return false;
    }
    *oldest = now;
    s->n_spent++;
    return true;
}

/* The child ended, stalled, or could not be started. */
static void handle_fault(struct supervisor *s, const char *what)
{
    char reason[ERROR_TEXT_MAX];
    if (spend_restart(s)) {
        enter_backoff(s, next_delay(s), what);
        return;
    }
    snprintf(reason, sizeof(reason), "gave up after %u restarts in %u s: %s",
             s->config.max_restarts, s->config.window_ms / 1000, what);
    enter_failed(s, reason);
}

static void enter_starting(struct supervisor *s, const char *reason)
{
    struct proc_spec spec = {0};
    struct error err = {0};
    set_state(s, SUPERVISOR_STARTING, reason);
    if (!s->ops || s->state != SUPERVISOR_STARTING || s->proc) {
        return;
    }
    int r = s->ops->make(s->user, &spec, &err);
    if (r >= 0) {
        spec.name = spec.name ? spec.name : s->name;
        r = proc_start(s->loop, &spec, &s->proc_ops, s, &s->proc, &err);
        if (s->ops->release) {
            s->ops->release(s->user);
        }
    }
    if (r < 0) {
        handle_fault(s, err.text[0] ? err.text : error_name(r));
    }
}

static void restart(struct supervisor *s)
{
    s->restarts++;
    enter_starting(s, "restarting");
}

static void reset_after_healthy_run(struct supervisor *s)
{
    if (s->running_since_ns > 0 &&
        clock_mono_ns() - s->running_since_ns >= s->config.healthy_ms * NS_PER_MS) {
        s->failures = 0;
    }
    s->running_since_ns = 0;
}

static void check_progress(struct supervisor *s)
{
    const char *stall = s->ops->check(s->user);
    if (!stall) {
        loop_timer_start(s->timer, s->config.check_ms);
        return;
    }
    reset_after_healthy_run(s);
    proc_stop(s->proc, s->config.grace_ms);
    handle_fault(s, stall);
}

static void on_timer(void *user)
{
    struct supervisor *s = user;
    switch (s->state) {
    case SUPERVISOR_RUNNING:
        check_progress(s);
        return;
    case SUPERVISOR_BACKOFF:
        if (!s->proc) {
            restart(s);
        } /* else the end of the former child does it */
        return;
    case SUPERVISOR_STOPPED:
    case SUPERVISOR_STARTING:
    case SUPERVISOR_STOPPING:
    case SUPERVISOR_FAILED:
    case SUPERVISOR_STATE_N:
        return;
    }
}

/* ---- the child's callbacks ---- */

static void on_started(void *user)
{
    struct supervisor *s = user;
    if (s->state != SUPERVISOR_STARTING) {
        return;
    }
    s->running_since_ns = clock_mono_ns();
    set_state(s, SUPERVISOR_RUNNING, "started");
    if (s->ops && s->state == SUPERVISOR_RUNNING && s->ops->check) {
        loop_timer_start(s->timer, s->config.check_ms);
    }
}

static void handle_unasked_end(struct supervisor *s, const struct proc_exit *e)
{
    reset_after_healthy_run(s);
    enum supervisor_verdict v = s->ops->on_exit ? s->ops->on_exit(s->user, e) : SUPERVISOR_RESTART;
    switch (v) {
    case SUPERVISOR_RESTART:
        handle_fault(s, e->err.text);
        return;
    case SUPERVISOR_DONE:
        enter_stopped(s, e->err.text);
        return;
    case SUPERVISOR_GIVE_UP:
        enter_failed(s, e->err.text);
        return;
    }
}

static void on_exit_report(void *user, const struct proc_exit *e)
{
    struct supervisor *s = user;
    s->proc = proc_free(s->proc);
    switch (s->state) {
    case SUPERVISOR_STARTING:
    case SUPERVISOR_RUNNING:
        handle_unasked_end(s, e);
        return;
    case SUPERVISOR_BACKOFF:
        if (!loop_timer_active(s->timer)) {
            restart(s);
        }
        return;
    case SUPERVISOR_STOPPING:
        enter_stopped(s, "stopped");
        return;
    case SUPERVISOR_STOPPED:
    case SUPERVISOR_FAILED:
    case SUPERVISOR_STATE_N:
        return;
    }
}

static void forward_output(void *user, struct bytes chunk)
{
    struct supervisor *s = user;
    s->ops->on_output(s->user, chunk);
}

static void forward_line(void *user, const char *line)
{
    struct supervisor *s = user;
    s->ops->on_line(s->user, line);
}

static void forward_redact(void *user, char *line)
{
    struct supervisor *s = user;
    s->ops->redact(s->user, line);
}

/* ---- the owner's calls ---- */

static void bury(struct loop_task *t)
{
    struct supervisor *s = CONTAINER_OF(t, struct supervisor, funeral);
    free(s->name);
    free(s);
}

struct supervisor *supervisor_new(struct loop *l, const struct supervisor_config *config,
                                  const struct supervisor_ops *ops, void *user)
{
    assert(config->max_restarts <= SUPERVISOR_BUDGET_MAX);
    struct supervisor *s = mem_new(struct supervisor);
    s->loop = l;
    s->name = mem_strdup(config->name);
    s->config = *config;
    s->config.backoff_initial_ms = config->backoff_initial_ms ? config->backoff_initial_ms : 500;
    s->config.backoff_max_ms = config->backoff_max_ms ? config->backoff_max_ms : 30000;
    s->config.healthy_ms = config->healthy_ms ? config->healthy_ms : 10000;
    s->config.window_ms = config->window_ms ? config->window_ms : 300000;
    s->config.grace_ms = config->grace_ms ? config->grace_ms : 5000;
    s->config.check_ms = config->check_ms ? config->check_ms : 1000;
    s->ops = ops;
    s->user = user;
    s->proc_ops = (struct proc_ops){
        .on_started = on_started,
        .on_exit = on_exit_report,
        .on_output = ops->on_output ? forward_output : NULL,
        .on_line = ops->on_line ? forward_line : NULL,
        .redact = ops->redact ? forward_redact : NULL,
    };
    s->timer = loop_timer_new(l, on_timer, s);
    snprintf(s->reason, sizeof(s->reason), "not started yet");
    loop_task_init(&s->funeral, bury);
    return s;
}

int supervisor_start(struct supervisor *s)
{
    switch (s->state) {
    case SUPERVISOR_STOPPED:
    case SUPERVISOR_FAILED:
        s->failures = 0;
        s->restarts = 0;
        s->n_spent = 0;
        enter_starting(s, "asked to");
        return 0;
    case SUPERVISOR_STOPPING:
        return -EBUSY;
    case SUPERVISOR_STARTING:
    case SUPERVISOR_RUNNING:
    case SUPERVISOR_BACKOFF:
    case SUPERVISOR_STATE_N:
        return 0;
    }
    return 0;
}

int supervisor_stop(struct supervisor *s, void (*done)(void *user), void *user)
{
    if (done && s->done) {
        return -EALREADY;
    }
    if (done) {
        s->done = done;
        s->done_user = user;
    }
    switch (s->state) {
    case SUPERVISOR_STOPPING:
        return 0;
    case SUPERVISOR_STOPPED:
        if (done) {
            s->done = NULL;
            done(user);
        }
        return 0;
    case SUPERVISOR_STARTING:
    case SUPERVISOR_RUNNING:
    case SUPERVISOR_BACKOFF:
    case SUPERVISOR_FAILED:
    case SUPERVISOR_STATE_N:
        break;
    }
    if (!s->proc) {
        enter_stopped(s, "asked to");
        return 0;
    }
    proc_stop(s->proc, s->config.grace_ms);
    set_state(s, SUPERVISOR_STOPPING, "asked to");
    return 0;
}

void supervisor_restart(struct supervisor *s, const char *reason)
{
    if (BIT(s->state) &
        (BIT(SUPERVISOR_STARTING) | BIT(SUPERVISOR_RUNNING) | BIT(SUPERVISOR_BACKOFF))) {
        if (s->proc) {
            proc_stop(s->proc, s->config.grace_ms);
        }
        enter_backoff(s, 0, reason);
    }
}

struct supervisor *supervisor_free(struct supervisor *s)
{
    if (!s) {
        return NULL;
    }
    s->ops = NULL;
    s->proc = proc_free(s->proc);
    s->timer = loop_timer_free(s->timer);
    s->done = NULL;
    loop_defer(s->loop, LOOP_STAGE_NOTIFY, &s->funeral);
    return NULL;
}

enum supervisor_state supervisor_state(const struct supervisor *s)
{
    return s->state;
}

const char *supervisor_reason(const struct supervisor *s)
{
    return s->reason;
}

unsigned supervisor_restarts(const struct supervisor *s)
{
    return s->restarts;
}

struct proc *supervisor_proc(const struct supervisor *s)
{
    return s->proc;
}

const char *supervisor_state_to_str(enum supervisor_state state)
{
    return state_names[state];
}
