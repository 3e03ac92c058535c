/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mast-av: the worker that does audio work with libavcodec for `mast`, which starts it with a socket and a memory file
 * (media/av_wire.h) and nothing else. One thread, one loop: read what came, do it job by job, write what came of it. It needs
 * no files, no network and no more descriptors, and gives the right to them up. It ends when the socket does.
 */
#include "av/transcode.h"
#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <libavutil/log.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES   65536
#define JOBS_MAX     1024
#define OUT_HIGH     (1u << 20)   /* then nothing is read until mast has taken it */
#define DATA_MAX     (2ULL << 30) /* bytes of memory of our own */
#define EXIT_NO_MAST 2

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAVE_SANITIZER 1
#elif defined(__has_feature)
#define HAVE_SANITIZER (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define HAVE_SANITIZER 0
#endif

struct worker {
    volatile uint64_t *desk;
    struct map jobs; /* id -> struct job */
    struct out in;
    struct out out;
};

struct job {
    struct worker *worker;
    uint32_t id;
    struct transcode *transcode; /* NULL: it has failed, frames are only counted */
};

/* ---- messages ---- */

static void say_error(struct worker *w, uint32_t job, const struct error *err)
{
    const char *text = err->text[0] ? err->text : "failed";
    struct av_msg m = {.kind = AV_ERROR, .job = job, .data = BYTES_STR(text)};
    av_wire_put(&w->out, &m);
}

static void on_out(void *user, struct bytes data, int64_t pts_ns, uint32_t duration_ns)
{
    struct job *j = user;
    struct av_msg m = {
        .kind = AV_OUT, .job = j->id, .pts_ns = pts_ns, .duration_ns = duration_ns, .data = data};
    av_wire_put(&j->worker->out, &m);
}

static struct job *job_free(struct job *j)
{
    transcode_free(j->transcode);
    free(j);
    return NULL;
}

static int handle_open(struct worker *w, const struct av_msg *m)
{
    struct error err = {0};
    struct av_msg params = {.kind = AV_PARAMS, .job = m->job};
    if (w->jobs.len >= JOBS_MAX || map_get_u64(&w->jobs, m->job)) {
        return -EPROTO;
    }
    struct job *j = mem_new(struct job);
    j->worker = w;
    j->id = m->job;
    (void)map_set_u64(&w->jobs, j->id, j);
    if (transcode_new(m, on_out, j, &j->transcode, &err) < 0) {
        say_error(w, j->id, &err);
        return 0;
    }
    transcode_describe(j->transcode, &params.codec, &params.config);
    av_wire_put(&w->out, &params);
    return 0;
}

static int handle_frame(struct worker *w, const struct av_msg *m)
{
    struct error err = {0};
    struct av_msg done = {.kind = AV_DONE, .job = m->job, .number = 1};
    struct job *j = map_get_u64(&w->jobs, m->job);
    if (!j) {
        return -EPROTO;
    }
    if (j->transcode && transcode_feed(j->transcode, m->data, m->pts_ns, &err) < 0) {
        j->transcode = transcode_free(j->transcode);
        say_error(w, j->id, &err);
    }
    av_wire_put(&w->out, &done);
    return 0;
}

static int handle_close(struct worker *w, const struct av_msg *m)
{
    struct job *j = map_remove_u64(&w->jobs, m->job);
    if (!j) {
        return -EPROTO;
    }
    job_free(j);
    return 0;
}

static int handle_message(struct worker *w, const struct av_msg *m)
{
    struct av_msg pong = {.kind = AV_PONG, .number = m->number};
    switch (m->kind) {
    case AV_HELLO:
        return m->number == AV_WIRE_VERSION ? 0 : -EPROTO;
    case AV_OPEN:
        return handle_open(w, m);
    case AV_FRAME:
        return handle_frame(w, m);
    case AV_CLOSE:
        return handle_close(w, m);
    case AV_PING:
        av_wire_put(&w->out, &pong);
        return 0;
    case AV_PARAMS:
    case AV_OUT:
    case AV_DONE:
    case AV_ERROR:
    case AV_PONG:
    case AV_KIND_N:
        return -EPROTO;
    }
    return -EPROTO;
}

/* ---- the loop ---- */

/* All whole messages in w->in. */
static int work(struct worker *w)
{
    size_t at = 0;
    int r = 0;
    struct av_msg m;
    while ((r = av_wire_parse(BYTES(w->in.data + at, w->in.len - at), &m)) > 0) {
        *w->desk = m.job;
        at += (size_t)r;
        r = handle_message(w, &m);
        *w->desk = 0;
        if (r < 0) {
            return r;
        }
    }
    w->in.len -= at;
    memmove(w->in.data, w->in.data + at, w->in.len);
    return r;
}

static int take(struct worker *w)
{
    uint8_t *room = out_extend(&w->in, READ_BYTES);
    ssize_t n = recv(AV_FD_SOCKET, room, READ_BYTES, MSG_DONTWAIT);
    w->in.len -= READ_BYTES - (size_t)MAX(n, (ssize_t)0);
    if (n == 0) {
        return -EPIPE;
    }
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    }
    return work(w);
}

static int give(struct worker *w)
{
    ssize_t n = send(AV_FD_SOCKET, w->out.data, w->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    }
    w->out.len -= (size_t)n;
    memmove(w->out.data, w->out.data + n, w->out.len);
    return 0;
}

static int serve(struct worker *w)
{
    int r = 0;
    while (r >= 0) {
        struct pollfd p = {.fd = AV_FD_SOCKET};
        p.events = (short)((w->out.len < OUT_HIGH ? POLLIN : 0) | (w->out.len > 0 ? POLLOUT : 0));
        if (poll(&p, 1, -1) < 0 && errno != EINTR) {
            return -errno;
        }
        if (p.events & POLLIN && p.revents & (POLLIN | POLLHUP | POLLERR)) {
            r = take(w);
        }
        if (r >= 0 && w->out.len > 0) {
            r = give(w);
        }
    }
    return r;
}

/* ---- start and end ---- */

/*
 * Nothing of the world but the socket is needed from here on: no new descriptors, no processes, no files that grow, no
 * more rights, and memory has an end. Sanitizers need all of that for their reports.
 */
static void give_up_rights(void)
{
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
#if !HAVE_SANITIZER
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){0, 0});
    setrlimit(RLIMIT_NPROC, &(struct rlimit){0, 0});
    setrlimit(RLIMIT_DATA, &(struct rlimit){DATA_MAX, DATA_MAX});
    /* poll() wants its descriptors counted; those up to the socket's are taken. */
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){AV_FD_SOCKET + 1, AV_FD_SOCKET + 1});
#endif
}

static void worker_done(struct worker *w)
{
    MAP_FOREACH (slot, &w->jobs) {
        job_free(slot->value);
    }
    map_done(&w->jobs);
    out_done(&w->in);
    out_done(&w->out);
}

int main(int argc, char **argv)
{
    struct worker w = {.jobs = {.len = 0}};
    int type = 0;
    socklen_t len = sizeof(type);
    char about[128];
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        transcode_about(about, sizeof(about));
        puts(about);
        return 0;
    }
    void *desk = mmap(NULL, AV_DESK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, AV_FD_DESK, 0);
    if (desk == MAP_FAILED || getsockopt(AV_FD_SOCKET, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
        type != SOCK_STREAM) {
        fprintf(stderr, "mast-av is started by mast only\n");
        return EXIT_NO_MAST;
    }
    close(AV_FD_DESK);
    w.desk = desk;
    av_log_set_level(AV_LOG_QUIET); /* what matters is told to mast */
    give_up_rights();
    struct av_msg hello = {.kind = AV_HELLO, .number = AV_WIRE_VERSION};
    av_wire_put(&w.out, &hello);
    int r = serve(&w);
    worker_done(&w);
    munmap(desk, AV_DESK_BYTES);
    if (r != -EPIPE && r != -ECONNRESET) {
        fprintf(stderr, "mast-av: %s\n", error_name(r));
        return 1;
    }
    return 0;
}
