/* SPDX-License-Identifier: Apache-2.0 */
#include "service/broadcast/runner.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const state_names[STEP_STATE_N] = {
    [STEP_IDLE] = "idle",     [STEP_STARTING] = "starting", [STEP_WAITING] = "waiting",
    [STEP_UP] = "up",         [STEP_LOST] = "lost",         [STEP_STALE] = "stale",
    [STEP_UNSURE] = "unsure", [STEP_ADOPTING] = "adopting", [STEP_STOPPING] = "stopping",
    [STEP_KEPT] = "kept",     [STEP_DEBT] = "debt",
};

const char *step_state_to_str(enum step_state s)
{
    return (unsigned)s < STEP_STATE_N ? state_names[s] : "?";
}

int step_state_parse(const char *text)
{
    for (int i = 0; text && i < STEP_STATE_N; i++) {
        if (strcmp(state_names[i], text) == 0) {
            return i;
        }
    }
    return -EINVAL;
}

/* ---- small things ---- */

static void pump_soon(struct runner *r)
{
    loop_defer(r->loop, LOOP_STAGE_NOTIFY, &r->pump);
}

static void say(struct step *s, const char *text)
{
    free(s->reason);
    s->reason = text && text[0] ? mem_strdup(text) : NULL;
}

__attribute__((format(printf, 2, 0))) static void vsay(struct step *s, const char *fmt, va_list ap)
{
    char text[ERROR_TEXT_MAX];
    vsnprintf(text, sizeof(text), fmt, ap);
    say(s, text);
}

static void set_state(struct step *s, enum step_state state)
{
    s->state = state;
    s->since_ns = clock_wall_ns();
    s->bad = s->good = 0;
    s->sick = false;
    s->runner->changed = true;
    pump_soon(s->runner);
}

/* The step answered: the next action may begin. */
static void answered(struct step *s)
{
    struct runner *r = s->runner;
    s->busy = false;
    s->then = NULL;
    if (r->busy == s) {
        r->busy = NULL;
        loop_timer_stop(r->timer);
    }
    pump_soon(r);
}

static unsigned or_default(unsigned v, unsigned def)
{
    return v ? v : def;
}

unsigned runner_wait_ms(const struct runner_pace *pace, unsigned tries)
{
    unsigned max = or_default(pace->max_ms, 15000);
    unsigned ms = or_default(pace->first_ms, 500);
    for (unsigned i = 1; i < tries && ms < max; i++) {
        ms *= 2;
    }
    ms = MIN(ms, max);
    return ms / 2 + (unsigned)random_below(ms / 2 + 1);
}

/* Of starts and adoptions alike. */
static void retry_later(struct runner *r)
{
    unsigned ms = runner_wait_ms(&r->pace, r->failures);
    r->retry_ns = loop_now_ns(r->loop) + (int64_t)ms * NS_PER_MS;
}

/* ---- what steps say ---- */

void step_commit(struct step *s, void (*then)(struct step *s))
{
    struct runner *r = s->runner;
    assert(s->state == STEP_STARTING && s->busy && !r->committing);
    s->then = then;
    r->committing = true;
    r->ops->commit(r->user);
}

static void mark_stale(struct runner *r, const struct step *after, unsigned changed)
{
    bool later = false;
    for (unsigned i = 0; i < r->n; i++) {
        struct step *s = r->steps[i];
        if (later && (s->kind->reads & changed) &&
            (s->state == STEP_UP || s->state == STEP_WAITING)) {
            say(s, "what it was made from changed");
            set_state(s, STEP_STALE);
        }
        later = later || s == after;
    }
}

void step_started(struct step *s, unsigned changed)
{
    if (s->state != STEP_STARTING && s->state != STEP_WAITING) {
        return;
    }
    answered(s);
    say(s, NULL);
    s->permanent = false;
    set_state(s, STEP_UP);
    s->runner->dirty = true;
    s->runner->failures = 0;
    mark_stale(s->runner, s, changed);
}

void step_changed(struct step *s, unsigned changed)
{
    s->runner->dirty = true;
    mark_stale(s->runner, s, changed);
    pump_soon(s->runner);
}

void step_waits(struct step *s, const char *fmt, ...)
{
    if (s->state != STEP_STARTING && s->state != STEP_WAITING) {
        return;
    }
    char *before = s->reason;
    s->reason = NULL;
    va_list ap;
    va_start(ap, fmt);
    vsay(s, fmt, ap);
    va_end(ap);
    bool news = s->state != STEP_WAITING || !before || !s->reason || strcmp(before, s->reason) != 0;
    free(before);
    answered(s);
    if (s->state != STEP_WAITING) {
        set_state(s, STEP_WAITING);
        s->runner->dirty = true;
    }
    s->runner->changed = s->runner->changed || news;
}

/* A start did not work: the end of a run that never was up, another try later of one that was. */
static void count_failure(struct step *s, bool permanent)
{
    struct runner *r = s->runner;
    s->permanent = permanent;
    r->failures++;
    r->refusals = permanent ? r->refusals + 1 : 0;
    bool over = !r->was_up || r->refusals >= or_default(r->pace.permanent_max, 3);
    if (r->up && over) {
        r->failed = s;
        r->up = false;
        r->ended = false;
    }
    retry_later(r);
}

void step_failed(struct step *s, const struct error *err, bool permanent)
{
    if (s->state != STEP_STARTING && s->state != STEP_WAITING) {
        return;
    }
    answered(s);
    say(s, err->text);
    /* What it made before it failed is there, and is undone when the run ends. */
    bool there = s->runner->was_up || s->ours;
    s->acted = s->acted && s->ours;
    set_state(s, there ? STEP_LOST : STEP_IDLE);
    s->runner->ops->failed(s->runner->user, s, "start", err);
    count_failure(s, permanent);
    if (!there && s->kind->drop) {
        s->kind->drop(s);
    }
}

void step_unsure(struct step *s, const struct error *err)
{
    if (s->state != STEP_STARTING) {
        return;
    }
    answered(s);
    say(s, err->text);
    set_state(s, s->kind->adopt ? STEP_UNSURE : STEP_LOST);
    s->runner->ops->failed(s->runner->user, s, "start", err);
    count_failure(s, false);
}

void step_adopted(struct step *s, int r, enum step_found found, const struct error *err)
{
    struct runner *run = s->runner;
    if (s->state != STEP_ADOPTING) {
        return;
    }
    answered(s);
    if (r < 0) {
        say(s, err ? err->text : NULL);
        set_state(s, run->up ? STEP_UNSURE : STEP_DEBT);
        run->ops->failed(run->user, s, "adopt", err);
        run->failures++;
        retry_later(run);
        return;
    }
    say(s, NULL);
    run->dirty = true;
    switch (found) {
    case STEP_FOUND:
        set_state(s, STEP_UP);
        run->failures = 0;
        /* What it is now, nobody has told to steps that stayed up while it was lost. */
        mark_stale(run, s, s->kind->writes);
        break;
    case STEP_PART:
        set_state(s, STEP_LOST);
        break;
    case STEP_ABSENT:
        s->acted = false;
        s->ours = false;
        set_state(s, STEP_IDLE);
        break;
    }
}

void step_stopped(struct step *s, int r, const struct error *err)
{
    struct runner *run = s->runner;
    if (s->state != STEP_STOPPING) {
        return;
    }
    answered(s);
    run->dirty = true;
    if (r < 0) {
        say(s, err ? err->text : error_name(r));
        set_state(s, STEP_DEBT);
        run->ops->failed(run->user, s, "stop", err);
        return;
    }
    bool was_ours = s->ours;
    s->acted = false;
    s->ours = s->kept && s->ours;
    set_state(s, s->kept ? STEP_KEPT : STEP_IDLE);
    if (!run->up) {
        if (run->failed != s) {
            say(s, NULL);
        }
        if (was_ours && !s->kept && run->ops->undone) {
            run->ops->undone(run->user, s);
        }
    }
}

void step_lost(struct step *s, const char *fmt, ...)
{
    struct runner *r = s->runner;
    if (s->state != STEP_UP && s->state != STEP_WAITING) {
        return;
    }
    va_list ap;
    va_start(ap, fmt);
    vsay(s, fmt, ap);
    va_end(ap);
    struct error err = {0};
    error_set(&err, -ENOLINK, s->kind->name, "%s", s->reason);
    s->restarts++;
    set_state(s, STEP_LOST);
    r->ops->failed(r->user, s, "lost", &err);
}

static void count_report(struct step *s, bool good)
{
    s->good = good ? s->good + 1 : 0;
    s->bad = good ? 0 : s->bad + 1;
    bool sick = s->sick ? s->good < 2 : s->bad >= 2;
    if (sick != s->sick) {
        s->sick = sick;
        s->runner->changed = true;
        pump_soon(s->runner);
    }
}

void step_well(struct step *s)
{
    if (s->state != STEP_UP) {
        return;
    }
    count_report(s, true);
    if (!s->sick) {
        say(s, NULL);
    }
}

void step_sick(struct step *s, const char *fmt, ...)
{
    if (s->state != STEP_UP) {
        return;
    }
    char *before = s->reason;
    s->reason = NULL;
    va_list ap;
    va_start(ap, fmt);
    vsay(s, fmt, ap);
    va_end(ap);
    count_report(s, false);
    if (s->sick && (!before || !s->reason || strcmp(before, s->reason) != 0)) {
        s->runner->changed = true; /* still sick, of something else */
        pump_soon(s->runner);
    }
    free(before);
}

/* ---- actions ---- */

static bool blocked(const struct runner *r, unsigned i)
{
    for (unsigned k = 0; k < i; k++) {
        const struct step *before = r->steps[k];
        if ((before->kind->writes & r->steps[i]->kind->reads) && before->state != STEP_UP) {
            return true;
        }
    }
    return false;
}

static void act(struct step *s, enum step_state state, unsigned ms, void (*fn)(struct step *s))
{
    struct runner *r = s->runner;
    set_state(s, state);
    s->busy = true;
    r->busy = s;
    loop_timer_start(r->timer, ms);
    fn(s);
}

static void start(struct step *s)
{
    act(s, STEP_STARTING, or_default(s->kind->start_ms, 30000), s->kind->start);
}

static void adopt(struct step *s)
{
    act(s, STEP_ADOPTING, or_default(s->runner->pace.stop_ms, 12000), s->kind->adopt);
}

static void stop(struct step *s)
{
    act(s, STEP_STOPPING, or_default(s->runner->pace.stop_ms, 12000), s->kind->stop);
}

/* The answer is overdue. */
static void on_overdue(struct step *s)
{
    struct error err = {0};
    error_set(&err, -ETIMEDOUT, s->kind->name, "no answer%s%s", s->reason ? ": " : "",
              s->reason ? s->reason : " in time");
    if (s->kind->drop) {
        s->kind->drop(s);
    }
    switch (s->state) {
    case STEP_STARTING:
        if (s->acted) {
            step_unsure(s, &err);
        } else {
            step_failed(s, &err, false);
        }
        break;
    case STEP_ADOPTING:
        step_adopted(s, -ETIMEDOUT, STEP_ABSENT, &err);
        break;
    default:
        step_stopped(s, -ETIMEDOUT, &err);
        break;
    }
}

/* Waits for the end of a backoff; true when it is over. */
static bool may_retry(struct runner *r)
{
    int64_t left = r->retry_ns - loop_now_ns(r->loop);
    if (left <= 0) {
        return true;
    }
    loop_timer_start(r->timer, (uint64_t)(left / NS_PER_MS) + 1);
    return false;
}

/* Nothing is left to begin: each step is UP, waits, or is blocked by one that waits. */
static void is_up(struct runner *r)
{
    if (!r->was_up || r->refusals) {
        r->was_up = true;
        r->refusals = 0;
        r->changed = true;
        r->dirty = true;
        pump_soon(r);
    }
    if (!loop_timer_active(r->checks)) {
        loop_timer_start(r->checks, or_default(r->pace.check_ms, 2000));
    }
}

/* The next action of a run that shall be up; false when there is none. */
static bool go_up(struct runner *r)
{
    for (unsigned i = 0; i < r->n; i++) {
        struct step *s = r->steps[i];
        switch (s->state) {
        case STEP_STALE:
            stop(s);
            return true;
        case STEP_UNSURE:
            if (may_retry(r)) {
                adopt(s);
                return true;
            }
            return false;
        case STEP_DEBT: /* of a stale one: what is left of it is looked at by the next start */
        case STEP_KEPT:
        case STEP_IDLE:
        case STEP_LOST:
            if (blocked(r, i)) {
                break;
            }
            if (may_retry(r)) {
                s->kept = false;
                start(s);
                return true;
            }
            return false;
        default:
            break;
        }
    }
    is_up(r);
    return false;
}

static bool go_down(struct runner *r)
{
    if (r->ended) {
        return false;
    }
    for (unsigned i = r->n; i-- > 0;) {
        struct step *s = r->steps[i];
        switch (s->state) {
        case STEP_UNSURE:
            adopt(s);
            return true;
        case STEP_UP:
        case STEP_WAITING:
        case STEP_STALE:
        case STEP_LOST:
            stop(s);
            return true;
        default:
            break;
        }
    }
    r->ended = true;
    r->ops->ended(r->user);
    return false;
}

/* A start under way that has asked for nothing yet need not be waited for; what of it was there before is undone. */
static void break_off(struct runner *r)
{
    struct step *s = r->busy;
    if (s && s->state == STEP_STARTING && !s->acted) {
        if (s->kind->drop) {
            s->kind->drop(s);
        }
        answered(s);
        set_state(s, s->ours ? STEP_LOST : STEP_IDLE);
    }
}

static void pump(struct loop_task *t)
{
    struct runner *r = CONTAINER_OF(t, struct runner, pump);
    if (!r->up) {
        loop_timer_stop(r->checks);
        if (r->busy && !r->committing) {
            break_off(r);
        }
    }
    if (!r->busy && !r->committing) {
        if (r->dirty) {
            r->dirty = false;
            r->committing = true;
            r->ops->commit(r->user);
        } else if (r->up) {
            (void)go_up(r);
        } else {
            (void)go_down(r);
        }
    }
    if (r->changed) {
        r->changed = false;
        r->ops->changed(r->user);
    }
}

static void on_timer(void *user)
{
    struct runner *r = user;
    if (r->busy) {
        on_overdue(r->busy);
    }
    pump_soon(r);
}

static void on_check(void *user)
{
    struct runner *r = user;
    for (unsigned i = 0; r->up && i < r->n; i++) {
        struct step *s = r->steps[i];
        if (s->state == STEP_UP && s->kind->check) {
            s->kind->check(s);
        }
    }
    loop_timer_start(r->checks, or_default(r->pace.check_ms, 2000));
}

/* ---- the owner's calls ---- */

void runner_init(struct runner *r, struct loop *l, const struct runner_ops *ops, void *user,
                 const struct runner_pace *pace)
{
    *r = (struct runner){.loop = l, .ops = ops, .user = user, .ended = true};
    if (pace) {
        r->pace = *pace;
    }
    r->timer = loop_timer_new(l, on_timer, r);
    r->checks = loop_timer_new(l, on_check, r);
    loop_task_init(&r->pump, pump);
}

static struct step *step_new(struct runner *r, const struct step_kind *kind)
{
    assert(kind->size >= sizeof(struct step));
    struct step *s = mem_zalloc(kind->size);
    s->kind = kind;
    s->runner = r;
    s->since_ns = clock_wall_ns();
    return s;
}

static void step_free(struct step *s)
{
    if (s->kind->drop) {
        s->kind->drop(s);
    }
    free(s->reason);
    free(s);
}

struct step *runner_add(struct runner *r, const struct step_kind *kind)
{
    assert(r->n < RUNNER_STEPS_MAX);
    return r->steps[r->n++] = step_new(r, kind);
}

struct step *runner_swap(struct step *s, const struct step_kind *kind)
{
    struct runner *r = s->runner;
    struct step *after = step_new(r, kind);
    assert(!s->then && r->failed != s);
    for (unsigned i = 0; i < r->n; i++) {
        r->steps[i] = r->steps[i] == s ? after : r->steps[i];
    }
    answered(s);
    step_free(s);
    r->dirty = true;
    r->changed = true;
    return after;
}

void runner_done(struct runner *r)
{
    if (!r->loop) {
        return;
    }
    loop_task_cancel(&r->pump);
    r->timer = loop_timer_free(r->timer);
    r->checks = loop_timer_free(r->checks);
    for (unsigned i = r->n; i-- > 0;) {
        step_free(r->steps[i]);
    }
    *r = (struct runner){0};
}

void runner_up(struct runner *r)
{
    r->up = true;
    r->ended = false;
    r->failed = NULL;
    pump_soon(r);
}

void runner_down(struct runner *r)
{
    if (r->up || r->ended) {
        for (unsigned i = 0; i < r->n; i++) {
            struct step *s = r->steps[i];
            if (s->state == STEP_DEBT) {
                set_state(s, s->acted && s->kind->adopt ? STEP_UNSURE : STEP_LOST);
            }
        }
    }
    r->up = false;
    r->ended = false;
    pump_soon(r);
}

void runner_committed(struct runner *r)
{
    r->committing = false;
    struct step *s = r->busy;
    if (s && s->then) {
        void (*then)(struct step *) = s->then;
        s->then = NULL;
        if (!r->up) {
            break_off(r); /* asked to end meanwhile: nothing was done yet */
        } else {
            s->acted = true;
            then(s);
        }
    }
    pump_soon(r);
}

struct step *runner_find(const struct runner *r, const char *name)
{
    for (unsigned i = 0; i < r->n; i++) {
        if (strcmp(r->steps[i]->kind->name, name) == 0) {
            return r->steps[i];
        }
    }
    return NULL;
}

unsigned runner_debts(const struct runner *r)
{
    unsigned n = 0;
    for (unsigned i = 0; i < r->n; i++) {
        n += r->steps[i]->state == STEP_DEBT;
    }
    return n;
}
