/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives peer/obs from a test: obs_drive PORT [PASSWORD] connects to the OBS of this machine and does what its stdin says,
 * one command a line, one at a time:
 *
 *   start SERVER KEY   obs_stream_start(); what OBS had before is kept
 *   stop               obs_stream_stop(), with what was kept
 *   status             GetStreamStatus
 *   retry
 *
 * What comes of it, and what OBS tells by itself, are JSON lines on stdout. Ends with its stdin.
 */
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/loop.h"
#include "peer/obs/obs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

struct driver {
    struct loop *loop;
    struct obs *obs;
    struct obs_service previous;
    uv_poll_t stdin_poll;
    char line[LINE_MAX_BYTES];
    size_t len;
};

__attribute__((format(printf, 3, 4))) static void tell(const char *what, int r, const char *fmt,
                                                       ...)
{
    char text[512];
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    json_object_begin(&j);
    json_put_str(&j, "what", what);
    json_put_str(&j, "r", r == 0 ? "0" : error_name(r));
    json_put_str(&j, "text", text);
    json_object_end(&j);
    printf("%s\n", out_str(&o));
    fflush(stdout);
}

static void on_up(void *user)
{
    tell("up", 0, "%s", "");
}

static void on_down(void *user, const struct error *err, bool permanent)
{
    struct driver *d = user;
    tell("down", err->code, "%s: %s", obs_state_to_str(obs_state(d->obs)), err->text);
}

static void on_output(void *user, enum obs_output output)
{
    tell("output", 0, "%s", obs_output_to_str(output));
}

static void on_started(void *user, const struct obs_result *res, const struct obs_service *previous)
{
    struct driver *d = user;
    if (previous) {
        model_done(&obs_service_model, &d->previous);
        model_copy(&obs_service_model, &d->previous, previous);
    }
    tell("started", res->r, "%s %s", previous ? "changed" : "unchanged", res->text);
}

static void on_stopped(void *user, const struct obs_result *res)
{
    tell("stopped", res->r, "%s", res->text);
}

static void on_status(void *user, const struct obs_result *res, const struct obs_status *s)
{
    tell("status", res->r, "%s %s", s && s->active ? "active" : "idle",
         s && s->reconnecting ? "reconnecting" : "steady");
}

static void handle_line(struct driver *d)
{
    char *save = NULL;
    const char *verb = strtok_r(d->line, " ", &save);
    const char *server = strtok_r(NULL, " ", &save);
    const char *key = strtok_r(NULL, " ", &save);
    bool taken = true;
    if (verb && strcmp(verb, "start") == 0 && key) {
        const struct obs_stream_target target = {server, key};
        taken = obs_stream_start(d->obs, &target, 0, on_started, d);
    } else if (verb && strcmp(verb, "stop") == 0) {
        taken = obs_stream_stop(d->obs, &d->previous, 0, on_stopped, d);
    } else if (verb && strcmp(verb, "status") == 0) {
        obs_ask_status(d->obs, on_status, d);
    } else if (verb && strcmp(verb, "retry") == 0) {
        obs_retry(d->obs);
    } else {
        tell("error", -EINVAL, "no such command");
    }
    if (!taken) {
        tell("error", -EBUSY, "another start or stop is under way");
    }
}

static void on_stdin(uv_poll_t *poll, int status, int events)
{
    struct driver *d = poll->data;
    char c;
    ssize_t n;
    /* One byte a read: what a test writes is short. */
    if ((n = read(STDIN_FILENO, &c, 1)) == 1) {
        if (c == '\n') {
            d->line[d->len] = '\0';
            d->len = 0;
            handle_line(d);
        } else if (d->len + 1 < sizeof(d->line)) {
            d->line[d->len++] = c;
        }
    } else if (n == 0) {
        uv_close((uv_handle_t *)poll, NULL);
        loop_stop(d->loop);
    }
}

int main(int argc, char **argv)
{
    static const struct obs_ops ops = {on_up, on_down, on_output};
    struct driver d = {0};
    struct error err = {0};
    if (argc < 2) {
        fprintf(stderr, "usage: obs_drive PORT [PASSWORD]\n");
        return 2;
    }
    d.loop = loop_new("control", LOOP_CONTROL);
    const struct obs_connection connection = {.port = atoi(argv[1]),
                                              .password = argc > 2 ? argv[2] : NULL};
    d.obs = obs_new(d.loop, &connection, NULL, &ops, &d, &err);
    if (!d.obs) {
        fprintf(stderr, "obs_drive: %s %s\n", err.where, err.text);
        return 1;
    }
    uv_poll_init(loop_uv(d.loop), &d.stdin_poll, STDIN_FILENO);
    d.stdin_poll.data = &d;
    uv_poll_start(&d.stdin_poll, UV_READABLE, on_stdin);
    loop_run(d.loop);
    obs_free(d.obs);
    loop_free(d.loop);
    model_done(&obs_service_model, &d.previous);
    return 0;
}
