/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One worker process: started and restarted by a supervisor, spoken to over a socketpair. Nothing it says is trusted: each
 * message is bounded and must fit what was asked; whoever breaks the rules is killed, which is the same as a crash. At a
 * crash the desk (media/av_wire.h) tells whose frame it was at work on.
 */
#include "peer/av/av_private.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

LOG_TOPIC(topic, "av");

#define NICENESS         5
#define READS_PER_WAKE   4
#define OUT_HIGH         (256u * 1024) /* bytes that wait for the socket; frames stay in their jobs then */
#define PINGS_MAX        5             /* seconds without an answer */
#define IDLE_MS          30000         /* from the last job to the end of the process */
#define RESTARTS_MAX     20
#define RESTARTS_MS      60000
#define STRIKES_MAX      2
#define STRIKE_NS        (60 * NS_PER_S) /* then a strike is forgotten */
#define OUT_DURATION_MAX NS_PER_S

/* Outlives the worker until libuv has closed it. */
struct watch {
    uv_poll_t poll;
    struct av_worker *worker;
    int fd;
};

struct av_worker {
    struct av_pool *pool;
    char name[32];
    struct supervisor *supervisor;
    struct watch *watch; /* NULL: no socket */
    int child_socket;    /* between make and release */
    int child_desk;
    volatile uint64_t *desk;
    const char *argv[2];
    struct list jobs;
    struct list ready;
    unsigned n_jobs;
    bool greeted; /* it has said HELLO */
    unsigned pings;
    struct out in;
    struct out out;
    struct loop_task pump;
    struct loop_timer *idle;
};

static void say(struct av_worker *w, const struct av_msg *m)
{
    av_wire_put(&w->out, m);
    loop_defer(w->pool->control, LOOP_STAGE_WRITE, &w->pump);
}

/* ---- the socket ---- */

static void on_watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void close_socket(struct av_worker *w)
{
    if (w->watch) {
        uv_close((uv_handle_t *)&w->watch->poll, on_watch_closed);
        close(w->watch->fd);
        w->watch = NULL;
    }
    w->greeted = false;
    w->in.len = 0;
    w->out.len = 0;
}

/* It broke the rules or the socket: the supervisor sees it end and starts another one. */
static void condemn(struct av_worker *w, const char *why)
{
    struct proc *proc = supervisor_proc(w->supervisor);
    log_warn("%s: %s, replacing it", w->name, why);
    close_socket(w);
    if (proc) {
        proc_stop(proc, 0);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void flush(struct av_worker *w)
{
    if (!w->watch) {
        return;
    }
    ssize_t n = w->out.len > 0 ? send(w->watch->fd, w->out.data, w->out.len, MSG_NOSIGNAL) : 0;
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        condemn(w, "its socket is broken");
        return;
    }
    if (n > 0) {
        w->out.len -= (size_t)n;
        memmove(w->out.data, w->out.data + n, w->out.len);
    }
    int events = UV_READABLE | (w->out.len > 0 ? UV_WRITABLE : 0);
    uv_poll_start(&w->watch->poll, events, on_poll);
}

/* ---- frames to the worker ---- */

static bool has_work(const struct av_job *j)
{
    return j->state == AV_JOB_OPEN && j->n_queued > 0 && j->in_worker < AV_WINDOW;
}

static void send_frame(struct av_worker *w, struct av_job *j)
{
    struct av_queued *q = &j->queue[j->head];
    struct av_msg m = {
        .kind = AV_FRAME, .job = j->id, .pts_ns = q->pts_ns, .data = buf_view(q->data)};
    av_wire_put(&w->out, &m);
    av_job_drop_first(j);
    j->in_worker++;
    w->pool->gauges.frames_in_total++;
}

/* One frame of each job in turn, so that none waits behind another's heap. */
static void pump(struct loop_task *t)
{
    struct av_worker *w = CONTAINER_OF(t, struct av_worker, pump);
    while (w->greeted && w->out.len < OUT_HIGH && !list_empty(&w->ready)) {
        struct av_job *j = LIST_ENTRY(w->ready.next, struct av_job, ready);
        list_remove(&j->ready);
        if (has_work(j)) {
            send_frame(w, j);
            list_append(&w->ready, &j->ready);
        }
    }
    flush(w);
}

void av_worker_ready(struct av_worker *w, struct av_job *j)
{
    if (has_work(j)) {
        list_remove(&j->ready);
        list_append(&w->ready, &j->ready);
        loop_defer(w->pool->control, LOOP_STAGE_WRITE, &w->pump);
    }
}

/* ---- what the worker says ---- */

static void open_job(struct av_worker *w, struct av_job *j)
{
    struct av_msg m = {.kind = AV_OPEN,
                       .job = j->id,
                       .codec = j->from->codec,
                       .to = j->to,
                       .rate = j->rate,
                       .channels = j->channels,
                       .kbps = j->kbps,
                       .config = buf_view(j->from->config)};
    j->state = AV_JOB_OPEN;
    j->in_worker = 0;
    j->described = false;
    say(w, &m);
    av_worker_ready(w, j);
}

static int handle_hello(struct av_worker *w, const struct av_msg *m)
{
    if (w->greeted || m->number != AV_WIRE_VERSION) {
        return -EPROTO;
    }
    w->greeted = true;
    LIST_FOREACH (it, &w->jobs) {
        open_job(w, LIST_ENTRY(it, struct av_job, of_worker));
    }
    return 0;
}

static int handle_params(struct av_job *j, const struct av_msg *m)
{
    struct track_params *params = NULL;
    if (j->described || m->codec != j->to ||
        track_params_new(m->codec, m->config, &params, NULL) < 0) {
        return -EPROTO;
    }
    j->described = true;
    av_job_tell_params(j, params);
    track_params_unref(&params);
    return 0;
}

static int handle_out(struct av_job *j, const struct av_msg *m)
{
    if (!j->described || m->data.len == 0 || m->duration_ns == 0 ||
        m->duration_ns > OUT_DURATION_MAX) {
        return -EPROTO;
    }
    /* After a restart the line begins anew, and the priming of its first frame may lie before what came. */
    if (m->pts_ns > j->last_pts_ns) {
        j->last_pts_ns = m->pts_ns;
        av_job_tell_frame(j, m->data, m->pts_ns, m->duration_ns);
    }
    return 0;
}

static int handle_done(struct av_worker *w, struct av_job *j, const struct av_msg *m)
{
    if (m->number == 0 || m->number > j->in_worker) {
        return -EPROTO;
    }
    j->in_worker -= m->number;
    av_worker_ready(w, j);
    return 0;
}

static int handle_error(struct av_job *j, const struct av_msg *m)
{
    char text[AV_WIRE_TEXT_MAX + 1];
    snprintf(text, sizeof(text), "%.*s", (int)m->data.len, (const char *)m->data.data);
    for (char *c = text; *c; c++) {
        if (*c < ' ' || *c > '~') {
            *c = '?';
        }
    }
    av_job_fail(j, -EINVAL, text);
    return 0;
}

static int handle_job_message(struct av_worker *w, struct av_job *j, const struct av_msg *m)
{
    switch (m->kind) {
    case AV_PARAMS:
        return handle_params(j, m);
    case AV_OUT:
        return handle_out(j, m);
    case AV_DONE:
        return handle_done(w, j, m);
    case AV_ERROR:
        return handle_error(j, m);
    case AV_HELLO:
    case AV_PONG:
    case AV_OPEN:
    case AV_FRAME:
    case AV_CLOSE:
    case AV_PING:
    case AV_KIND_N:
        return -EPROTO;
    }
    return -EPROTO;
}

static int handle_message(struct av_worker *w, const struct av_msg *m)
{
    if (m->job) {
        struct av_job *j = map_get_u64(&w->pool->jobs, m->job);
        bool current = j && j->worker == w && j->state == AV_JOB_OPEN;
        return current ? handle_job_message(w, j, m) : 0; /* closed while this was under way */
    }
    if (m->kind == AV_HELLO) {
        return handle_hello(w, m);
    }
    w->pings = 0;
    return m->kind == AV_PONG ? 0 : -EPROTO;
}

static int handle_input(struct av_worker *w)
{
    size_t at = 0;
    int r;
    struct av_msg m;
    while ((r = av_wire_parse(BYTES(w->in.data + at, w->in.len - at), &m)) > 0) {
        at += (size_t)r;
        r = w->greeted || m.kind == AV_HELLO ? handle_message(w, &m) : -EPROTO;
        if (r < 0) {
            return r;
        }
    }
    w->in.len -= at;
    memmove(w->in.data, w->in.data + at, w->in.len);
    return r;
}

static void take(struct av_worker *w)
{
    for (int i = 0; i < READS_PER_WAKE && w->watch; i++) {
        uint8_t *room = loop_read_scratch(w->pool->control);
        ssize_t n = recv(w->watch->fd, room, LOOP_SCRATCH_BYTES, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n <= 0) {
            /* It ends, and is waited for; one that only closed its socket is found out by its silence. */
            uv_poll_stop(&w->watch->poll);
            return;
        }
        out_bytes(&w->in, BYTES(room, (size_t)n));
        if (handle_input(w) < 0) {
            condemn(w, "it said what nobody can mean");
        }
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    struct av_worker *w = watch->worker;
    if (status < 0 || events & UV_READABLE) {
        take(w);
    }
    if (w->watch == watch && events & UV_WRITABLE) {
        pump(&w->pump);
    }
}

/* ---- the process ---- */

static int make_desk(struct av_worker *w, struct error *err)
{
    int fd = memfd_create("mast-av-desk", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *p = MAP_FAILED;
    /* Sealed, as a worker that made it shorter would end us by SIGBUS. */
    if (fd >= 0 && ftruncate(fd, AV_DESK_BYTES) >= 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) >= 0) {
        p = mmap(NULL, AV_DESK_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    }
    if (p == MAP_FAILED) {
        int r = -errno;
        if (fd >= 0) {
            close(fd);
        }
        return error_set(err, r, w->name, "no memory to share: %s", error_name(r));
    }
    w->child_desk = fd;
    w->desk = p;
    return 0;
}

static void drop_desk(struct av_worker *w)
{
    if (w->desk) {
        munmap((void *)w->desk, AV_DESK_BYTES);
        w->desk = NULL;
    }
}

static int make_socket(struct av_worker *w, struct error *err)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0) {
        return error_set(err, -errno, w->name, "no socket: %s", error_name(errno));
    }
    struct watch *watch = mem_new(struct watch);
    int r = uv_poll_init(loop_uv(w->pool->control), &watch->poll, fds[0]);
    if (r < 0) {
        close(fds[0]);
        close(fds[1]);
        free(watch);
        return error_set(err, r, w->name, "the socket cannot be watched");
    }
    watch->fd = fds[0];
    watch->worker = w;
    watch->poll.data = watch;
    w->watch = watch;
    w->child_socket = fds[1];
    return 0;
}

static void release(void *user)
{
    struct av_worker *w = user;
    if (w->child_socket >= 0) {
        close(w->child_socket);
    }
    if (w->child_desk >= 0) {
        close(w->child_desk);
    }
    w->child_socket = w->child_desk = -1;
}

static int make(void *user, struct proc_spec *spec, struct error *err)
{
    static const char *const env[] = {"MALLOC_ARENA_MAX=1", NULL};
    static struct proc_fd fds[2];
    struct av_worker *w = user;
    struct av_msg hello = {.kind = AV_HELLO, .number = AV_WIRE_VERSION};
    close_socket(w);
    drop_desk(w);
    int r = make_desk(w, err);
    if (r >= 0) {
        r = make_socket(w, err);
    }
    if (r < 0) {
        release(w);
        return r;
    }
    fds[0] = (struct proc_fd){.ours = w->child_socket, .child = AV_FD_SOCKET};
    fds[1] = (struct proc_fd){.ours = w->child_desk, .child = AV_FD_DESK};
    w->argv[0] = w->pool->program;
    spec->argv = w->argv;
    spec->env = env;
    spec->fds = fds;
    spec->n_fds = ARRAY_LEN(fds);
    spec->niceness = NICENESS;
    w->pings = 0;
    say(w, &hello);
    return 0;
}

/* ---- its death ---- */

static void strike(struct av_worker *w, struct av_job *j)
{
    int64_t now = clock_mono_ns();
    if (now - j->struck_ns > STRIKE_NS) {
        j->strikes = 0;
    }
    j->strikes++;
    j->struck_ns = now;
    if (j->strikes >= STRIKES_MAX) {
        av_job_fail(j, -EINVAL, "its data ended the worker twice in a row");
    }
}

static void lose_process(struct av_worker *w)
{
    struct av_job *culprit = w->desk ? map_get_u64(&w->pool->jobs, *w->desk) : NULL;
    close_socket(w);
    drop_desk(w);
    LIST_FOREACH (it, &w->jobs) {
        struct av_job *j = LIST_ENTRY(it, struct av_job, of_worker);
        if (j->state == AV_JOB_OPEN) {
            j->state = AV_JOB_WAITING;
            j->in_worker = 0;
            list_remove(&j->ready);
            av_job_tell_gap(j);
        }
    }
    if (culprit && culprit->worker == w) {
        strike(w, culprit);
    }
}

static void fail_jobs(struct av_worker *w, const char *why)
{
    LIST_FOREACH_SAFE (it, &w->jobs) {
        av_job_fail(LIST_ENTRY(it, struct av_job, of_worker), -EIO, why);
    }
}

static void on_state(void *user, enum supervisor_state old, enum supervisor_state state,
                     const char *reason)
{
    struct av_worker *w = user;
    switch (state) {
    case SUPERVISOR_RUNNING:
        flush(w);
        return;
    case SUPERVISOR_BACKOFF:
        lose_process(w);
        w->pool->gauges.restarts_total++;
        return;
    case SUPERVISOR_FAILED:
        lose_process(w);
        fail_jobs(w, reason);
        return;
    case SUPERVISOR_STOPPED:
        lose_process(w);
        if (w->n_jobs > 0) {
            supervisor_start(w->supervisor);
        }
        return;
    case SUPERVISOR_STARTING:
    case SUPERVISOR_STOPPING:
    case SUPERVISOR_STATE_N:
        return;
    }
}

/* Once a second: a worker that is held up by a frame does not answer. */
static const char *check(void *user)
{
    struct av_worker *w = user;
    struct av_msg ping = {.kind = AV_PING, .number = w->pings};
    if (!w->watch) {
        return NULL; /* condemned, its end comes */
    }
    if (++w->pings > PINGS_MAX) {
        return "it does not answer";
    }
    say(w, &ping);
    return NULL;
}

static const struct supervisor_ops supervisor_ops = {
    .make = make,
    .release = release,
    .check = check,
    .on_state = on_state,
};

static void on_idle(void *user)
{
    struct av_worker *w = user;
    if (w->n_jobs == 0) {
        (void)supervisor_stop(w->supervisor, NULL, NULL);
    }
}

struct av_worker *av_worker_new(struct av_pool *p, unsigned number)
{
    struct av_worker *w = mem_new(struct av_worker);
    w->pool = p;
    w->child_socket = w->child_desk = -1;
    list_init(&w->jobs);
    list_init(&w->ready);
    loop_task_init(&w->pump, pump);
    w->idle = loop_timer_new(p->control, on_idle, w);
    snprintf(w->name, sizeof(w->name), "mast-av %u", number);
    struct supervisor_config config = {
        .name = w->name,
        .backoff_initial_ms = 50,
        .backoff_max_ms = 2000,
        .max_restarts = RESTARTS_MAX,
        .window_ms = RESTARTS_MS,
        .grace_ms = 1000,
    };
    w->supervisor = supervisor_new(p->control, &config, &supervisor_ops, w);
    return w;
}

struct av_worker *av_worker_free(struct av_worker *w)
{
    supervisor_free(w->supervisor);
    close_socket(w);
    release(w);
    drop_desk(w);
    loop_task_cancel(&w->pump);
    loop_timer_free(w->idle);
    out_done(&w->in);
    out_done(&w->out);
    free(w);
    return NULL;
}

unsigned av_worker_jobs(const struct av_worker *w)
{
    return w->n_jobs;
}

bool av_worker_runs(const struct av_worker *w)
{
    return supervisor_state(w->supervisor) == SUPERVISOR_RUNNING;
}

pid_t av_worker_pid(const struct av_worker *w)
{
    const struct proc *proc = supervisor_proc(w->supervisor);
    return proc ? proc_pid(proc) : 0;
}

void av_worker_add(struct av_worker *w, struct av_job *j)
{
    j->worker = w;
    list_append(&w->jobs, &j->of_worker);
    w->n_jobs++;
    loop_timer_stop(w->idle);
    if (w->greeted) {
        open_job(w, j);
    } else {
        /* Refused while it is stopping: its end starts it anew. */
        (void)supervisor_start(w->supervisor);
    }
}

void av_worker_remove(struct av_worker *w, struct av_job *j)
{
    struct av_msg m = {.kind = AV_CLOSE, .job = j->id};
    if (w->greeted && j->state == AV_JOB_OPEN) {
        say(w, &m);
    }
    list_remove(&j->of_worker);
    list_remove(&j->ready);
    j->worker = NULL;
    w->n_jobs--;
    if (w->n_jobs == 0) {
        loop_timer_start(w->idle, IDLE_MS);
    }
}
