/* SPDX-License-Identifier: Apache-2.0 */
#include "io/proc.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/proc_lines.h"
#include "io/proc_spawn.h"
#include "io/spawn_helper.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

LOG_TOPIC(topic, "io.proc");

#define READ_CHUNK     16384
#define READS_PER_WAKE 4 /* then others of the loop get their turn */
/* What may still lie in a pipe when the child is gone; more would come from somebody who escaped the group. */
#define DRAIN_READS_MAX 64

enum proc_state {
    PROC_STARTING, /* the helper runs */
    PROC_RUNNING,  /* the program runs */
    PROC_STOPPING, /* SIGTERM sent, the deadline runs (or SIGKILL sent) */
    PROC_ENDED,    /* reaped and reported */
    PROC_STATE_N,
};

static const char *const state_names[] = {"starting", "running", "stopping", "ended"};
static const unsigned next_states[] = {
    [PROC_STARTING] = 1u << PROC_RUNNING | 1u << PROC_STOPPING | 1u << PROC_ENDED,
    [PROC_RUNNING] = 1u << PROC_STOPPING | 1u << PROC_ENDED,
    [PROC_STOPPING] = 1u << PROC_ENDED,
    [PROC_ENDED] = 0,
};
_Static_assert(ARRAY_LEN(state_names) == PROC_STATE_N && ARRAY_LEN(next_states) == PROC_STATE_N,
               "");

enum watch_kind {
    WATCH_PID,
    WATCH_STATUS,
    WATCH_STDIN,
    WATCH_STDOUT,
    WATCH_STDERR,
    WATCH_N,
};

/* One polled descriptor of ours. */
struct watch {
    uv_poll_t poll;
    struct proc *proc;
    int fd; /* -1: closed, or never used */
};

struct proc {
    struct loop *loop;
    char *name;
    char *program;              /* argv[0], for sentences */
    const struct proc_ops *ops; /* NULL: the owner is gone */
    void *user;
    enum proc_state state;
    pid_t pid;
    bool asked;
    bool stdin_ends; /* close it once the queue is empty */
    int64_t started_ns;
    struct out stdin_queue;
    struct proc_lines lines;
    struct spawn_failure failure; /* err 0: none */
    struct loop_timer *deadline;
    int64_t kill_at_ns;
    struct watch watches[WATCH_N];
    unsigned open_handles; /* uv_poll handles whose close callback has not come */
};

static atomic_uint live;

unsigned proc_live(void)
{
    return atomic_load(&live);
}

static void set_state(struct proc *p, enum proc_state next)
{
    assert(next_states[p->state] & 1u << next);
    log_debug("%s: pid %d %s -> %s", p->name, (int)p->pid, state_names[p->state],
              state_names[next]);
    p->state = next;
}

/* ---- watches ---- */

static void maybe_destroy(struct proc *p)
{
    if (p->ops || p->state != PROC_ENDED || p->open_handles > 0) {
        return;
    }
    proc_lines_done(&p->lines);
    out_done(&p->stdin_queue);
    free(p->name);
    free(p->program);
    free(p);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *w = handle->data;
    w->proc->open_handles--;
    maybe_destroy(w->proc);
}

static void watch_close(struct watch *w)
{
    if (w->fd < 0) {
        return;
    }
    uv_close((uv_handle_t *)&w->poll, on_watch_closed);
    close(w->fd);
    w->fd = -1;
}

static int watch_open(struct proc *p, enum watch_kind kind, int fd)
{
    struct watch *w = &p->watches[kind];
    int r = uv_poll_init(loop_uv(p->loop), &w->poll, fd);
    if (r < 0) {
        return r;
    }
    w->fd = fd;
    w->poll.data = w;
    p->open_handles++;
    return 0;
}

/* ---- what the child writes ---- */

static void read_status(struct proc *p)
{
    struct watch *w = &p->watches[WATCH_STATUS];
    struct spawn_failure f;
    if (w->fd < 0) {
        return;
    }
    ssize_t n = read(w->fd, &f, sizeof(f));
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    watch_close(w);
    if (n == (ssize_t)sizeof(f)) {
        p->failure = f;
        return;
    }
    if (p->state == PROC_STARTING) {
        set_state(p, PROC_RUNNING);
        if (p->ops && p->ops->on_started) {
            p->ops->on_started(p->user);
        }
    }
}

static bool handle_line(void *user, char *line)
{
    struct proc *p = user;
    if (p->ops && p->ops->redact) {
        p->ops->redact(p->user, line);
    }
    log_debug("%s: pid %d: %s", p->name, (int)p->pid, line);
    if (p->ops && p->ops->on_line) {
        p->ops->on_line(p->user, line);
    }
    return p->ops != NULL;
}

static void handle_chunk(struct proc *p, enum watch_kind kind, struct bytes chunk)
{
    if (kind == WATCH_STDERR) {
        proc_lines_feed(&p->lines, chunk, handle_line, p);
    } else if (p->ops && p->ops->on_output) {
        p->ops->on_output(p->user, chunk);
    }
}

/* Reads at most max times; the callbacks may free the proc, whose watches are closed then. */
static void read_pipe(struct proc *p, enum watch_kind kind, unsigned max)
{
    struct watch *w = &p->watches[kind];
    uint8_t buf[READ_CHUNK];
    for (unsigned i = 0; i < max && w->fd >= 0; i++) {
        ssize_t n = read(w->fd, buf, sizeof(buf));
        if (n > 0) {
            handle_chunk(p, kind, BYTES(buf, (size_t)n));
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            watch_close(w);
        } else if (errno == EAGAIN) {
            return;
        }
    }
}

static void on_status(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    read_status(w->proc);
}

static void on_stdout(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    read_pipe(w->proc, WATCH_STDOUT, READS_PER_WAKE);
}

static void on_stderr(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    read_pipe(w->proc, WATCH_STDERR, READS_PER_WAKE);
}

/* ---- what the child reads ---- */

/*
 * Nobody but the program may decide about SIGPIPE, so it is held back for this one write and taken away if the write
 * raised it. A SIGPIPE that was pending before stays.
 */
static ssize_t write_quietly(int fd, const void *data, size_t len)
{
    sigset_t pipe_set;
    sigset_t old;
    sigset_t pending;
    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
    ssize_t n = write(fd, data, len);
    int e = errno;
    if (n < 0 && e == EPIPE && !sigismember(&pending, SIGPIPE)) {
        struct timespec none = {0, 0};
        sigtimedwait(&pipe_set, NULL, &none);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = e;
    return n;
}

static void on_stdin(uv_poll_t *poll, int status, int events);

static void flush_stdin(struct proc *p)
{
    struct watch *w = &p->watches[WATCH_STDIN];
    struct out *q = &p->stdin_queue;
    if (w->fd < 0) {
        return;
    }
    ssize_t n = q->len > 0 ? write_quietly(w->fd, q->data, q->len) : 0;
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        watch_close(w);
        return;
    }
    if (n > 0) {
        q->len -= (size_t)n;
        memmove(q->data, q->data + n, q->len);
    }
    if (q->len > 0) {
        uv_poll_start(&w->poll, UV_WRITABLE, on_stdin);
    } else if (p->stdin_ends) {
        watch_close(w);
    } else {
        uv_poll_stop(&w->poll);
    }
}

static void on_stdin(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    flush_stdin(w->proc);
}

int proc_write(struct proc *p, struct bytes data)
{
    if (p->watches[WATCH_STDIN].fd < 0 || p->stdin_ends) {
        return -EPIPE;
    }
    if (data.len > PROC_STDIN_QUEUED - p->stdin_queue.len) {
        return -ENOBUFS;
    }
    out_bytes(&p->stdin_queue, data);
    flush_stdin(p);
    return 0;
}

void proc_write_end(struct proc *p)
{
    p->stdin_ends = true;
    flush_stdin(p);
}

/* ---- the end ---- */

static void describe_failure(struct proc *p, struct error *err)
{
    int e = p->failure.err;
    switch ((enum spawn_step)p->failure.step) {
    case SPAWN_STEP_PARENT_GONE:
        error_set(err, -e, p->name, "the server ended while %s was starting", p->program);
        return;
    case SPAWN_STEP_CHDIR:
        error_set(err, -e, p->name, "cannot enter the working directory of %s: %s", p->program,
                  error_name(e));
        return;
    case SPAWN_STEP_EXEC:
        error_set(err, -e, p->name, "%s: %s", p->program,
                  e == ENOENT ? "not found" : error_name(e));
        return;
    }
    error_set(err, -EIO, p->name, "%s could not be started", p->program);
}

static void describe_end(struct proc *p, struct proc_exit *x)
{
    const char *last = x->n_lines > 0 ? x->lines[x->n_lines - 1] : "";
    const char *colon = x->n_lines > 0 ? ": " : "";
    if (p->failure.err) {
        x->code = -1;
        describe_failure(p, &x->err);
    } else if (x->signal) {
        const char *abbrev = sigabbrev_np(x->signal);
        error_set(&x->err, -ECHILD, p->name, "killed by SIG%s%s%s", abbrev ? abbrev : "?", colon,
                  last);
    } else if (x->code < 0) {
        error_set(&x->err, -ECHILD, p->name,
                  "ended, how is unknown: the program ignores SIGCHLD%s%s", colon, last);
    } else if (x->code != 0) {
        error_set(&x->err, -ECHILD, p->name, "ended with code %d%s%s", x->code, colon, last);
    } else {
        error_set(&x->err, 0, p->name, "ended");
    }
}

static void reap(struct proc *p, struct proc_exit *x)
{
    int status;
    pid_t r = wait4(p->pid, &status, WNOHANG, &x->usage);
    atomic_fetch_sub(&live, 1);
    if (r != p->pid) {
        /* Somebody ignores SIGCHLD in this process (an embedder): the status went to nobody. */
        x->code = -1;
    } else if (WIFSIGNALED(status)) {
        x->code = -1;
        x->signal = WTERMSIG(status);
    } else {
        x->code = WEXITSTATUS(status);
    }
}

static void close_watches(struct proc *p)
{
    for (int i = 0; i < WATCH_N; i++) {
        watch_close(&p->watches[i]);
    }
}

static void report(struct proc *p, struct proc_exit *x)
{
    const char *lines[PROC_LINES_KEPT];
    x->asked = p->asked;
    x->run_ns = clock_mono_ns() - p->started_ns;
    x->n_lines = proc_lines_kept(&p->lines, lines);
    x->lines = lines;
    describe_end(p, x);
    log_debug("%s: pid %d after %lld ms: %s", p->name, (int)p->pid,
              (long long)(x->run_ns / NS_PER_MS), x->err.text);
    if (p->ops && p->ops->on_exit) {
        p->ops->on_exit(p->user, x);
    }
}

/*
 * The leader is a zombie: its number, and with it the group's, cannot be given away before it is reaped. So the rest of
 * the group is killed first, and reaping comes after the callbacks that may still signal the group. A fork cannot slip
 * through: the kernel fails it in a process that has SIGKILL pending.
 */
static void on_pid(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    struct proc *p = w->proc;
    struct proc_exit x = {0};
    /* Kept alive until the end of this function: the callbacks may free it. */
    p->open_handles++;
    kill(-p->pid, SIGKILL);
    read_status(p);
    read_pipe(p, WATCH_STDOUT, DRAIN_READS_MAX);
    read_pipe(p, WATCH_STDERR, DRAIN_READS_MAX);
    proc_lines_end(&p->lines, handle_line, p);
    reap(p, &x);
    close_watches(p);
    p->deadline = loop_timer_free(p->deadline);
    set_state(p, PROC_ENDED);
    report(p, &x);
    p->open_handles--;
    maybe_destroy(p);
}

static void on_deadline(void *user)
{
    struct proc *p = user;
    log_debug("%s: pid %d did not end in time, killing it", p->name, (int)p->pid);
    kill(-p->pid, SIGKILL);
}

void proc_stop(struct proc *p, unsigned grace_ms)
{
    if (p->state == PROC_ENDED) {
        return;
    }
    int64_t kill_at = clock_mono_ns() + grace_ms * NS_PER_MS;
    bool first = p->state != PROC_STOPPING;
    if (first) {
        p->asked = true;
        set_state(p, PROC_STOPPING);
    }
    if (grace_ms == 0) {
        loop_timer_stop(p->deadline);
        kill(-p->pid, SIGKILL);
        return;
    }
    if (first) {
        kill(-p->pid, SIGTERM);
        kill(-p->pid, SIGCONT); /* who is stopped would sleep through it */
    }
    if (first || kill_at < p->kill_at_ns) {
        p->kill_at_ns = kill_at;
        loop_timer_start(p->deadline, grace_ms);
    }
}

struct proc *proc_free(struct proc *p)
{
    if (!p) {
        return NULL;
    }
    p->ops = NULL;
    if (p->state != PROC_ENDED) {
        /* It lives on as a husk until the pidfd tells that it can be reaped. */
        kill(-p->pid, SIGKILL);
        loop_timer_stop(p->deadline);
        for (int i = WATCH_PID + 1; i < WATCH_N; i++) {
            watch_close(&p->watches[i]);
        }
    }
    maybe_destroy(p);
    return NULL;
}

pid_t proc_pid(const struct proc *p)
{
    return p->pid;
}

/* ---- the start ---- */

/* Hands one of our pipe ends to its watch. */
static int take(struct proc *p, enum watch_kind kind, int *fd)
{
    if (*fd < 0) {
        return 0;
    }
    int r = watch_open(p, kind, *fd);
    if (r >= 0) {
        *fd = -1;
    }
    return r;
}

static int watch_all(struct proc *p, struct proc_pipes *pipes)
{
    int pidfd = pidfd_open(p->pid, 0);
    if (pidfd < 0) {
        return -errno;
    }
    int r = take(p, WATCH_PID, &pidfd);
    if (pidfd >= 0) {
        close(pidfd);
    }
    if (r < 0 || (r = take(p, WATCH_STATUS, &pipes->ours[PROC_PIPE_STATUS])) < 0 ||
        (r = take(p, WATCH_STDIN, &pipes->ours[PROC_PIPE_STDIN])) < 0 ||
        (r = take(p, WATCH_STDOUT, &pipes->ours[PROC_PIPE_STDOUT])) < 0 ||
        (r = take(p, WATCH_STDERR, &pipes->ours[PROC_PIPE_STDERR])) < 0) {
        return r;
    }
    uv_poll_start(&p->watches[WATCH_PID].poll, UV_READABLE, on_pid);
    uv_poll_start(&p->watches[WATCH_STATUS].poll, UV_READABLE, on_status);
    if (p->watches[WATCH_STDOUT].fd >= 0) {
        uv_poll_start(&p->watches[WATCH_STDOUT].poll, UV_READABLE, on_stdout);
    }
    uv_poll_start(&p->watches[WATCH_STDERR].poll, UV_READABLE, on_stderr);
    return 0;
}

/* Undoes a start that could not be watched: the child is some microseconds old, so waiting for its death is short. */
static void abandon(struct proc *p)
{
    kill(-p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    atomic_fetch_sub(&live, 1);
    p->deadline = loop_timer_free(p->deadline);
    p->ops = NULL;
    p->open_handles++;
    close_watches(p);
    set_state(p, PROC_ENDED);
    p->open_handles--;
    maybe_destroy(p);
}

int proc_start(struct loop *l, const struct proc_spec *spec, const struct proc_ops *ops, void *user,
               struct proc **ret, struct error *err)
{
    struct proc_pipes pipes;
    pid_t pid;
    assert(loop_index(l) == LOOP_CONTROL);
    int r = proc_spawn(spec, ops->on_output != NULL, &pipes, &pid, err);
    if (r < 0) {
        return r;
    }
    struct proc *p = mem_new(struct proc);
    p->loop = l;
    p->program = mem_strdup(spec->argv[0]);
    p->name = mem_strdup(spec->name ? spec->name : spec->argv[0]);
    p->ops = ops;
    p->user = user;
    p->pid = pid;
    p->started_ns = clock_mono_ns();
    p->deadline = loop_timer_new(l, on_deadline, p);
    for (int i = 0; i < WATCH_N; i++) {
        p->watches[i] = (struct watch){.proc = p, .fd = -1};
    }
    atomic_fetch_add(&live, 1);
    r = watch_all(p, &pipes);
    proc_pipes_done(&pipes);
    if (r < 0) {
        abandon(p);
        return error_set(err, r, spec->name, "cannot watch a child process: %s", error_name(r));
    }
    log_debug("%s: pid %d started", p->name, (int)pid);
    *ret = p;
    return 0;
}
