/* SPDX-License-Identifier: Apache-2.0 */
/* The ffmpeg of one relay under its supervisor: what it is started with, whether it gets on, how it is ended. */
#include "peer/ffmpeg/ffmpeg.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/proc_secrets.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

LOG_TOPIC(topic, "ffmpeg");

#define DEFAULT_STALL_MS   10000u
#define DEFAULT_TIMEOUT_MS 10000u
#define BACKOFF_MAX_MS     10000u
#define CHECKS_A_STALL     4u /* so that a stall is seen with a quarter of its time too much at most */

struct ffmpeg_relay {
    struct loop *loop;
    char *name;
    struct ffmpeg_spec spec; /* url and preset are its own */
    unsigned stall_ms;
    struct ffmpeg_relay_ops ops;
    void *user;
    struct supervisor *supervisor;
    struct loop_timer *term_again;
    struct proc_secrets secrets;

    /* Between make and release. */
    struct ffmpeg_command command;
    struct proc_fd fd; /* what the child reads its URL from */

    /* Of the child that runs. */
    struct ffmpeg_progress_parser parser;
    struct ffmpeg_progress progress;
    bool reported;
    int64_t advanced_ns; /* when it was seen to get on, or started */
    char stall[96];
};

/* ---- what it is asked for ---- */

static void forget_spec(struct ffmpeg_relay *r)
{
    free((char *)r->spec.url);
    free((char *)r->spec.preset);
    r->spec = (struct ffmpeg_spec){0};
}

static void add_secrets(struct ffmpeg_relay *r)
{
    if (r->spec.input != FFMPEG_FILE) {
        proc_secrets_add_url(&r->secrets, r->spec.url);
    }
}

/* Secrets of a former URL are kept until the next child starts: the one that had it may still have something to say. */
static void take_spec(struct ffmpeg_relay *r, const struct ffmpeg_spec *spec)
{
    char *url = spec->url ? mem_strdup(spec->url) : NULL;
    char *preset = spec->preset ? mem_strdup(spec->preset) : NULL;
    struct ffmpeg_spec copy = *spec;
    copy.url = url;
    copy.preset = preset;
    forget_spec(r);
    r->spec = copy;
    add_secrets(r);
}

/*
 * A file in memory, not a pipe: a pipe's buffer may be smaller than the text where pipes are rationed, and writing would
 * wait. To the child it is the same.
 */
static int open_text(const char *text, struct error *err)
{
    size_t len = strlen(text);
    int fd = memfd_create("mast-relay", MFD_CLOEXEC);
    if (fd < 0 || write(fd, text, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) < 0) {
        int e = errno ? errno : EIO;
        if (fd >= 0) {
            close(fd);
        }
        return error_set(err, -e, "input", "cannot be handed to ffmpeg: %s", error_name(e));
    }
    return fd;
}

static void begin_child(struct ffmpeg_relay *r)
{
    proc_secrets_done(&r->secrets);
    add_secrets(r);
    r->parser = (struct ffmpeg_progress_parser){0};
    r->progress = (struct ffmpeg_progress){.out_time_us = -1, .frames = -1, .bytes = -1};
    r->reported = false;
    r->advanced_ns = clock_mono_ns();
}

static void release(void *user)
{
    struct ffmpeg_relay *r = user;
    ffmpeg_command_done(&r->command);
    if (r->fd.ours >= 0) {
        close(r->fd.ours);
        r->fd.ours = -1;
    }
}

static int make(void *user, struct proc_spec *spec, struct error *err)
{
    struct ffmpeg_relay *r = user;
    int result = ffmpeg_command_make(&r->spec, &r->command, err);
    if (result < 0) {
        return result;
    }
    if (r->command.pipe_text) {
        r->fd = (struct proc_fd){open_text(r->command.pipe_text, err), r->command.pipe_child};
        if (r->fd.ours < 0) {
            result = r->fd.ours;
            release(r);
            return result;
        }
        spec->fds = &r->fd;
        spec->n_fds = 1;
    }
    spec->argv = (const char *const *)r->command.argv;
    begin_child(r);
    return 0;
}

/* ---- whether it gets on ---- */

static bool advanced(const struct ffmpeg_progress *old, const struct ffmpeg_progress *new)
{
    return new->out_time_us > old->out_time_us || new->frames > old->frames ||
           new->bytes > old->bytes;
}

static void on_output(void *user, struct bytes chunk)
{
    struct ffmpeg_relay *r = user;
    struct ffmpeg_progress p;
    while (ffmpeg_progress_feed(&r->parser, &chunk, &p)) {
        if (advanced(&r->progress, &p)) {
            r->advanced_ns = clock_mono_ns();
            r->reported = true;
        }
        r->progress = p;
    }
    if (r->reported && r->ops.on_progress) {
        r->ops.on_progress(r->user, &r->progress);
    }
}

static const char *check(void *user)
{
    struct ffmpeg_relay *r = user;
    int64_t timeout_ms =
        r->spec.timeout_ns ? r->spec.timeout_ns / NS_PER_MS : (int64_t)DEFAULT_TIMEOUT_MS;
    int64_t limit_ms = (int64_t)r->stall_ms + (r->reported ? 0 : timeout_ms);
    if (clock_mono_ns() - r->advanced_ns < limit_ms * NS_PER_MS) {
        return NULL;
    }
    snprintf(r->stall, sizeof(r->stall), "no progress for %.1f s", (double)limit_ms / 1000);
    return r->stall;
}

/* ---- what becomes of it ---- */

static void on_line(void *user, const char *line)
{
    struct ffmpeg_relay *r = user;
    if (r->ops.on_line) {
        r->ops.on_line(r->user, line);
    }
}

static void redact(void *user, char *line)
{
    struct ffmpeg_relay *r = user;
    proc_secrets_redact(&r->secrets, line);
}

static enum supervisor_verdict on_exit_(void *user, const struct proc_exit *e)
{
    struct ffmpeg_relay *r = user;
    return r->spec.input == FFMPEG_FILE && e->err.code == 0 ? SUPERVISOR_DONE : SUPERVISOR_RESTART;
}

/* A child that is being ended: its first SIGTERM was sent. As long as the proc is there it is not reaped. */
static void on_term_again(void *user)
{
    struct ffmpeg_relay *r = user;
    enum supervisor_state state = supervisor_state(r->supervisor);
    const struct proc *p = supervisor_proc(r->supervisor);
    if (p && (state == SUPERVISOR_STOPPING || state == SUPERVISOR_BACKOFF)) {
        log_debug("%s: still there, sending the second SIGTERM", r->name);
        kill(proc_pid(p), SIGTERM);
    }
}

static void on_state(void *user, enum supervisor_state old, enum supervisor_state state,
                     const char *reason)
{
    struct ffmpeg_relay *r = user;
    bool ending = state == SUPERVISOR_STOPPING || state == SUPERVISOR_BACKOFF;
    if (ending && supervisor_proc(r->supervisor)) {
        loop_timer_start(r->term_again, FFMPEG_TERM_AGAIN_MS);
    }
    if (r->ops.on_state) {
        r->ops.on_state(r->user, state, reason);
    }
}

static const struct supervisor_ops supervisor_ops = {.make = make,
                                                     .release = release,
                                                     .on_output = on_output,
                                                     .on_line = on_line,
                                                     .redact = redact,
                                                     .check = check,
                                                     .on_exit = on_exit_,
                                                     .on_state = on_state};

/* ---- life ---- */

struct ffmpeg_relay *ffmpeg_relay_new(struct loop *l, const char *name,
                                      const struct ffmpeg_spec *spec, unsigned stall_ms,
                                      const struct ffmpeg_relay_ops *ops, void *user,
                                      struct error *err)
{
    if (ffmpeg_spec_check(spec, err) < 0) {
        return NULL;
    }
    struct ffmpeg_relay *r = mem_new(struct ffmpeg_relay);
    r->loop = l;
    r->name = mem_strdup(name);
    r->stall_ms = stall_ms ? stall_ms : DEFAULT_STALL_MS;
    r->ops = *ops;
    r->user = user;
    r->fd.ours = -1;
    take_spec(r, spec);
    begin_child(r);
    r->term_again = loop_timer_new(l, on_term_again, r);
    const struct supervisor_config config = {
        .name = name,
        .backoff_max_ms = BACKOFF_MAX_MS,
        .grace_ms = FFMPEG_GRACE_MS,
        .check_ms = MAX(1u, MIN(1000u, r->stall_ms / CHECKS_A_STALL)),
    };
    r->supervisor = supervisor_new(l, &config, &supervisor_ops, r);
    return r;
}

int ffmpeg_relay_start(struct ffmpeg_relay *r)
{
    return supervisor_start(r->supervisor);
}

int ffmpeg_relay_change(struct ffmpeg_relay *r, const struct ffmpeg_spec *spec, struct error *err)
{
    int result = ffmpeg_spec_check(spec, err);
    if (result < 0) {
        return result;
    }
    take_spec(r, spec);
    supervisor_restart(r->supervisor, "it is to do something else");
    return 0;
}

int ffmpeg_relay_stop(struct ffmpeg_relay *r, void (*done)(void *user), void *user)
{
    return supervisor_stop(r->supervisor, done, user);
}

struct ffmpeg_relay *ffmpeg_relay_free(struct ffmpeg_relay *r)
{
    if (!r) {
        return NULL;
    }
    supervisor_free(r->supervisor);
    loop_timer_free(r->term_again);
    release(r);
    forget_spec(r);
    proc_secrets_done(&r->secrets);
    free(r->name);
    free(r);
    return NULL;
}

void ffmpeg_relay_replace(struct ffmpeg_relay *r, const char *reason)
{
    supervisor_restart(r->supervisor, reason);
}

const struct supervisor *ffmpeg_relay_supervisor(const struct ffmpeg_relay *r)
{
    return r->supervisor;
}

const struct ffmpeg_progress *ffmpeg_relay_progress(const struct ffmpeg_relay *r)
{
    return &r->progress;
}

int64_t ffmpeg_relay_flowed_ns(const struct ffmpeg_relay *r)
{
    return r->reported ? r->advanced_ns : 0;
}
