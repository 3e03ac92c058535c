/* SPDX-License-Identifier: Apache-2.0 */
#include "app/demo.h"

#include "base/log.h"
#include "base/mem.h"
#include "io/supervisor.h"

#include <string.h>

LOG_TOPIC(topic, "demo");

#define ARGS_MAX 48

struct demo {
    struct supervisor *supervisor;
    char *picture; /* the lavfi sources and the filter, made once */
    char *clock;
    char *gop;
    char *url;
    const char *argv[ARGS_MAX];
};

/*
 * The clock is burnt in, so that the delay can be read off a photograph of the page beside a clock. zerolatency and one
 * key frame a second: what the README tells people to set in OBS.
 */
static void fill_argv(struct demo *d)
{
    const char *const argv[] = {
        "ffmpeg",    "-hide_banner",
        "-nostats",  "-nostdin",
        "-loglevel", "warning",
        "-re",       "-f",
        "lavfi",     "-i",
        d->picture,  "-re",
        "-f",        "lavfi",
        "-i",        "sine=frequency=440:beep_factor=4:sample_rate=48000,volume=0.2",
        "-vf",       d->clock,
        "-c:v",      "libx264",
        "-preset",   "superfast",
        "-tune",     "zerolatency",
        "-pix_fmt",  "yuv420p",
        "-b:v",      "2500k",
        "-g",        d->gop,
        "-c:a",      "aac",
        "-ac",       "2",
        "-b:a",      "128k",
        "-f",        "flv",
        d->url,      NULL,
    };
    _Static_assert(ARRAY_LEN(argv) <= ARGS_MAX, "ARGS_MAX is too small");
    memcpy(d->argv, argv, sizeof(argv));
}

static int on_make(void *user, struct proc_spec *spec, struct error *err)
{
    struct demo *d = user;
    spec->name = "demo";
    spec->argv = d->argv;
    return 0;
}

static void on_state(void *user, enum supervisor_state old, enum supervisor_state state,
                     const char *reason)
{
    switch (state) {
    case SUPERVISOR_RUNNING:
        log_info("demo: ffmpeg publishes the test picture");
        break;
    case SUPERVISOR_BACKOFF:
        log_warn("demo: ffmpeg ended (%s), starting it again", reason);
        break;
    case SUPERVISOR_FAILED:
        log_error("demo: giving up: %s; everything else runs on", reason);
        break;
    case SUPERVISOR_STOPPED:
    case SUPERVISOR_STARTING:
    case SUPERVISOR_STOPPING:
    case SUPERVISOR_STATE_N:
        break;
    }
}

static void on_line(void *user, const char *line)
{
    log_debug("demo: ffmpeg: %s", line);
}

static const struct supervisor_ops ops = {
    .make = on_make, .on_state = on_state, .on_line = on_line};

/* The address that reaches our own listener: that of the listener, or loopback when it listens everywhere. */
static const char *own_address(const char *listens)
{
    if (strcmp(listens, "0.0.0.0") == 0) {
        return "127.0.0.1";
    }
    return strcmp(listens, "::") == 0 ? "::1" : listens;
}

struct demo *demo_start(struct loop *control, const struct config *config, uint16_t rtmp_port)
{
    const struct config_demo *c = &config->demo;
    const char *address = own_address(config->rtmp.address);
    bool ipv6 = strchr(address, ':') != NULL;
    struct demo *d = mem_new(struct demo);
    d->picture = mem_printf("testsrc2=size=%ux%u:rate=%u", c->width & ~1u, c->height & ~1u, c->fps);
    d->clock = mem_printf(
        "drawtext=text='%%{localtime\\:%%H\\\\\\:%%M\\\\\\:%%S} %%{n}':fontsize=%u:fontcolor=white:box=1:"
        "boxcolor=black@0.6:boxborderw=12:x=(w-text_w)/2:y=h-text_h-40",
        MAX(c->height / 12u, 12u));
    d->gop = mem_printf("%u", c->fps);
    d->url = mem_printf("rtmp://%s%s%s:%u/%s", ipv6 ? "[" : "", address, ipv6 ? "]" : "", rtmp_port,
                        c->path);
    fill_argv(d);
    struct supervisor_config sc = {
        .name = "demo",
        .backoff_initial_ms = 500,
        .backoff_max_ms = 5000,
        .max_restarts = 20,
        .window_ms = 60000,
    };
    d->supervisor = supervisor_new(control, &sc, &ops, d);
    (void)supervisor_start(d->supervisor);
    return d;
}

void demo_stop(struct demo *d, void (*done)(void *user), void *user)
{
    (void)supervisor_stop(d->supervisor, done, user);
}

struct demo *demo_free(struct demo *d)
{
    if (d) {
        supervisor_free(d->supervisor);
        free(d->picture);
        free(d->clock);
        free(d->gop);
        free(d->url);
        free(d);
    }
    return NULL;
}
