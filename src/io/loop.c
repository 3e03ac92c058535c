/* SPDX-License-Identifier: Apache-2.0 */
#include "io/loop.h"

#include "base/clock.h"
#include "base/mem.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define FREE_PATIENCE_NS (10 * NS_PER_S)

struct loop {
    uv_loop_t uv;
    char name[16]; /* what a thread name can hold */
    int index;
    bool started; /* has a thread of its own */
    bool joined;  /* that has ended */
    bool running; /* under lock: a thread takes messages, or is about to */
    atomic_bool stopping;
    pthread_t thread;

    /* Posted messages: senders push under the lock, the loop takes the whole chain at once. */
    pthread_mutex_t lock;
    struct loop_msg *head;
    struct loop_msg **tail;
    uv_async_t bell;

    uv_prepare_t before_poll;
    uv_check_t after_poll;
    uv_timer_t limit; /* of loop_run_once() */
    uv_idle_t spin;   /* active while tasks wait, so that the poll does not block */
    struct list stages[LOOP_STAGE_N];
    struct list at_free;

    int64_t now_ns;    /* 0: not read yet in this pass */
    int64_t window_ns; /* start of the one-second window of the busy share */
    uint64_t idle_ns;  /* libuv's total of time spent in the poll, at the start of the window */
    atomic_uint busy_permille;

    uint8_t *read_scratch;
    uint8_t *write_scratch;
};

struct loop_timer {
    uv_timer_t uv;
    loop_timer_fn fn;
    void *user;
};

static __thread struct loop *current;

static bool tasks_waiting(const struct loop *l)
{
    for (int i = 0; i < LOOP_STAGE_N; i++) {
        if (!list_empty(&l->stages[i])) {
            return true;
        }
    }
    return false;
}

static void deliver_messages(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    struct loop_msg *m = l->head;
    l->head = NULL;
    l->tail = &l->head;
    pthread_mutex_unlock(&l->lock);
    while (m) {
        struct loop_msg *next = m->next;
        m->deliver(l, m);
        m = next;
    }
}

static void on_bell(uv_async_t *bell)
{
    deliver_messages(bell->data);
}

/* A task that is deferred again while its own stage runs waits for the next iteration: no task can starve the poll. */
static void run_stage(struct list *stage)
{
    struct list batch;
    if (list_empty(stage)) {
        return;
    }
    list_init(&batch);
    batch = *stage;
    batch.next->prev = &batch;
    batch.prev->next = &batch;
    list_init(stage);
    while (!list_empty(&batch)) {
        struct loop_task *t = LIST_ENTRY(batch.next, struct loop_task, node);
        list_remove(&t->node);
        t->run(t);
    }
}

static void run_tasks(struct loop *l)
{
    for (int i = 0; i < LOOP_STAGE_N; i++) {
        run_stage(&l->stages[i]);
    }
}

static void on_after_poll(uv_check_t *check)
{
    struct loop *l = check->data;
    run_tasks(l);
    l->now_ns = 0;
}

static void account_busy(struct loop *l)
{
    int64_t now = clock_mono_ns();
    int64_t window = now - l->window_ns;
    if (window < NS_PER_S) {
        return;
    }
    uint64_t idle = uv_metrics_idle_time(&l->uv);
    int64_t busy = MAX(window - (int64_t)(idle - l->idle_ns), (int64_t)0);
    atomic_store_explicit(&l->busy_permille, (unsigned)(busy * 1000 / window),
                          memory_order_relaxed);
    l->window_ns = now;
    l->idle_ns = idle;
}

static void on_spin(uv_idle_t *idle)
{
}

static void on_before_poll(uv_prepare_t *prepare)
{
    struct loop *l = prepare->data;
    /* Timers run before this: what they deferred is drained before the loop sleeps, not after. */
    run_tasks(l);
    if (tasks_waiting(l)) {
        uv_idle_start(&l->spin, on_spin);
    } else {
        uv_idle_stop(&l->spin);
    }
    account_busy(l);
    /* The poll sleeps: whoever asks after it reads the clock anew. */
    l->now_ns = 0;
}

struct loop *loop_new(const char *name, int index)
{
    struct loop *l = mem_new(struct loop);
    snprintf(l->name, sizeof(l->name), "%s", name);
    l->index = index;
    l->tail = &l->head;
    pthread_mutex_init(&l->lock, NULL);
    for (int i = 0; i < LOOP_STAGE_N; i++) {
        list_init(&l->stages[i]);
    }
    list_init(&l->at_free);
    if (uv_loop_init(&l->uv) < 0 || uv_async_init(&l->uv, &l->bell, on_bell) < 0) {
        fprintf(stderr, "mast: cannot create an event loop, aborting\n");
        abort();
    }
    uv_prepare_init(&l->uv, &l->before_poll);
    uv_check_init(&l->uv, &l->after_poll);
    uv_idle_init(&l->uv, &l->spin);
    uv_timer_init(&l->uv, &l->limit);
    l->limit.data = l->bell.data = l->before_poll.data = l->after_poll.data = l->spin.data = l;
    uv_prepare_start(&l->before_poll, on_before_poll);
    uv_check_start(&l->after_poll, on_after_poll);
    uv_loop_configure(&l->uv, UV_METRICS_IDLE_TIME);
    l->window_ns = clock_mono_ns();
    return l;
}

static void set_running(struct loop *l, bool running)
{
    pthread_mutex_lock(&l->lock);
    l->running = running;
    pthread_mutex_unlock(&l->lock);
}

/* Ends running when no message is left, in one step: a caller that waits was either served or told to help itself. */
static bool end_running(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    l->running = l->head != NULL;
    bool ended = !l->running;
    pthread_mutex_unlock(&l->lock);
    return ended;
}

static void run_until_stopped(struct loop *l)
{
    struct loop *outer = current;
    current = l;
    while (!atomic_load(&l->stopping)) {
        uv_run(&l->uv, UV_RUN_ONCE);
    }
    while (!end_running(l)) {
        deliver_messages(l);
    }
    current = outer;
}

/* sendfile() and OpenSSL cannot be told MSG_NOSIGNAL; a program that embeds us need not ignore the signal for our threads. */
static void hold_back_sigpipe(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void *thread_main(void *arg)
{
    struct loop *l = arg;
    pthread_setname_np(pthread_self(), l->name);
    hold_back_sigpipe();
    run_until_stopped(l);
    return NULL;
}

int loop_start(struct loop *l)
{
    set_running(l, true);
    int r = pthread_create(&l->thread, NULL, thread_main, l);
    if (r != 0) {
        set_running(l, false);
        return -r;
    }
    l->started = true;
    return 0;
}

void loop_run(struct loop *l)
{
    set_running(l, true);
    run_until_stopped(l);
}

/* The limit may be over before the poll begins (timers run first): the bell keeps the poll from sleeping then. */
static void on_limit(uv_timer_t *limit)
{
    struct loop *l = limit->data;
    uv_async_send(&l->bell);
}

void loop_run_once(struct loop *l, unsigned max_ms)
{
    struct loop *outer = current;
    current = l;
    uv_update_time(&l->uv);
    uv_timer_start(&l->limit, on_limit, max_ms, 0);
    uv_run(&l->uv, UV_RUN_ONCE);
    uv_timer_stop(&l->limit);
    current = outer;
}

void loop_stop(struct loop *l)
{
    atomic_store(&l->stopping, true);
    uv_async_send(&l->bell);
}

/* Delivers messages and runs tasks until there are none: those may post and defer in turn. */
static void settle(struct loop *l)
{
    do {
        deliver_messages(l);
        run_tasks(l);
        run_stage(&l->at_free);
    } while (tasks_waiting(l) || !end_running(l));
}

struct census {
    const struct loop *l;
    unsigned closing;
    const uv_handle_t *open; /* one that nobody closed, rather one that is active */
};

static void count_handle(uv_handle_t *h, void *arg)
{
    struct census *c = arg;
    if (h == (const uv_handle_t *)&c->l->bell || h == (const uv_handle_t *)&c->l->limit) {
        return;
    }
    if (uv_is_closing(h)) {
        c->closing++;
    } else if (!c->open || uv_is_active(h)) {
        c->open = h;
    }
}

/*
 * True while something is still to come: close callbacks, requests on libuv's threads, which cannot be taken back, and for
 * a while what closes itself (a killed child that waits to be reaped).
 */
static bool is_ending(struct loop *l, int64_t give_up_ns)
{
    struct census c = {.l = l};
    uv_walk(&l->uv, count_handle, &c);
    if (c.closing > 0 || l->uv.active_reqs.count > 0) {
        return true;
    }
    if (c.open && uv_is_active(c.open) && clock_mono_ns() < give_up_ns) {
        return true;
    }
    if (c.open) {
        fprintf(stderr, "mast: loop %s is freed while a %s handle is open, aborting\n", l->name,
                uv_handle_type_name(c.open->type));
        abort();
    }
    return false;
}

void loop_join(struct loop *l)
{
    if (l->started && !l->joined) {
        pthread_join(l->thread, NULL);
        l->joined = true;
    }
}

void loop_free(struct loop *l)
{
    if (!l) {
        return;
    }
    loop_join(l);
    /* What was posted after the thread ended still owns memory; it is delivered here, on the freeing thread. */
    struct loop *outer = current;
    current = l;
    settle(l);
    uv_close((uv_handle_t *)&l->before_poll, NULL);
    uv_close((uv_handle_t *)&l->after_poll, NULL);
    uv_close((uv_handle_t *)&l->spin, NULL);
    uv_unref((uv_handle_t *)&l->bell);
    int64_t give_up_ns = clock_mono_ns() + FREE_PATIENCE_NS;
    while (is_ending(l, give_up_ns)) {
        uv_timer_start(&l->limit, on_limit, 20, 0);
        uv_run(&l->uv, UV_RUN_ONCE);
        settle(l);
    }
    uv_close((uv_handle_t *)&l->limit, NULL);
    uv_close((uv_handle_t *)&l->bell, NULL);
    while (uv_run(&l->uv, UV_RUN_NOWAIT) != 0) {
    }
    int r = uv_loop_close(&l->uv);
    assert(r == 0);
    (void)r;
    current = outer;
    pthread_mutex_destroy(&l->lock);
    free(l->read_scratch);
    free(l->write_scratch);
    free(l);
}

uv_loop_t *loop_uv(struct loop *l)
{
    return &l->uv;
}

bool loop_has_thread(const struct loop *l)
{
    return l->started;
}

int loop_index(const struct loop *l)
{
    return l->index;
}

const char *loop_name(const struct loop *l)
{
    return l->name;
}

struct loop *loop_current(void)
{
    return current;
}

bool loop_is_current(const struct loop *l)
{
    return current == l;
}

int64_t loop_now_ns(struct loop *l)
{
    if (l->now_ns == 0) {
        l->now_ns = clock_mono_ns();
    }
    return l->now_ns;
}

static uint8_t *scratch(uint8_t **p)
{
    if (!*p) {
        *p = mem_alloc(LOOP_SCRATCH_BYTES);
    }
    return *p;
}

uint8_t *loop_read_scratch(struct loop *l)
{
    return scratch(&l->read_scratch);
}

uint8_t *loop_write_scratch(struct loop *l)
{
    return scratch(&l->write_scratch);
}

unsigned loop_busy_permille(const struct loop *l)
{
    return atomic_load_explicit(&l->busy_permille, memory_order_relaxed);
}

/* Under the lock. Says whether the bell must ring: once for a chain, not once for each message. */
static bool push(struct loop *l, struct loop_msg *m)
{
    bool first = l->head == NULL;
    m->next = NULL;
    *l->tail = m;
    l->tail = &m->next;
    return first;
}

void loop_post(struct loop *l, struct loop_msg *m)
{
    pthread_mutex_lock(&l->lock);
    bool first = push(l, m);
    pthread_mutex_unlock(&l->lock);
    if (first) {
        uv_async_send(&l->bell);
    }
}

struct call {
    struct loop_msg msg;
    void (*fn)(struct loop *l, void *arg);
    void *arg;
    uv_sem_t *done; /* NULL: nobody waits */
};

static void deliver_call(struct loop *l, struct loop_msg *m)
{
    struct call *c = CONTAINER_OF(m, struct call, msg);
    uv_sem_t *done = c->done;
    c->fn(l, c->arg);
    free(c);
    if (done) {
        uv_sem_post(done);
    }
}

void loop_call(struct loop *l, void (*fn)(struct loop *l, void *arg), void *arg)
{
    struct call *c = mem_new(struct call);
    *c = (struct call){.msg.deliver = deliver_call, .fn = fn, .arg = arg};
    loop_post(l, &c->msg);
}

/* Nobody runs the loop: the caller does, for one call. What was posted before comes first, as it would have. */
static void call_directly(struct loop *l, void (*fn)(struct loop *l, void *arg), void *arg)
{
    struct loop *outer = current;
    current = l;
    deliver_messages(l);
    fn(l, arg);
    current = outer;
}

void loop_call_wait(struct loop *l, void (*fn)(struct loop *l, void *arg), void *arg)
{
    uv_sem_t done;
    if (loop_is_current(l)) {
        fn(l, arg);
        return;
    }
    struct call *c = mem_new(struct call);
    *c = (struct call){.msg.deliver = deliver_call, .fn = fn, .arg = arg, .done = &done};
    uv_sem_init(&done, 0);
    pthread_mutex_lock(&l->lock);
    bool running = l->running;
    bool ring = running && push(l, &c->msg);
    pthread_mutex_unlock(&l->lock);
    if (ring) {
        uv_async_send(&l->bell);
    }
    if (running) {
        uv_sem_wait(&done);
    } else {
        free(c);
        call_directly(l, fn, arg);
    }
    uv_sem_destroy(&done);
}

void loop_task_init(struct loop_task *t, void (*run)(struct loop_task *t))
{
    list_init(&t->node);
    t->run = run;
}

void loop_defer(struct loop *l, enum loop_stage stage, struct loop_task *t)
{
    assert(stage < LOOP_STAGE_N);
    if (list_empty(&t->node)) {
        list_append(&l->stages[stage], &t->node);
    }
}

void loop_at_free(struct loop *l, struct loop_task *t)
{
    if (list_empty(&t->node)) {
        list_append(&l->at_free, &t->node);
    }
}

void loop_task_cancel(struct loop_task *t)
{
    list_remove(&t->node);
}

bool loop_task_pending(const struct loop_task *t)
{
    return !list_empty(&t->node);
}

static void on_timer(uv_timer_t *uv)
{
    struct loop_timer *t = CONTAINER_OF(uv, struct loop_timer, uv);
    t->fn(t->user);
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(CONTAINER_OF((uv_timer_t *)handle, struct loop_timer, uv));
}

struct loop_timer *loop_timer_new(struct loop *l, loop_timer_fn fn, void *user)
{
    struct loop_timer *t = mem_new(struct loop_timer);
    t->fn = fn;
    t->user = user;
    uv_timer_init(&l->uv, &t->uv);
    return t;
}

void loop_timer_start(struct loop_timer *t, uint64_t delay_ms)
{
    uv_timer_start(&t->uv, on_timer, delay_ms, 0);
}

void loop_timer_stop(struct loop_timer *t)
{
    uv_timer_stop(&t->uv);
}

bool loop_timer_active(const struct loop_timer *t)
{
    return uv_is_active((const uv_handle_t *)&t->uv);
}

struct loop_timer *loop_timer_free(struct loop_timer *t)
{
    if (t) {
        uv_close((uv_handle_t *)&t->uv, on_timer_closed);
    }
    return NULL;
}
