/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/rtmp/rtmp_pull.h"

#include "base/clock.h"
#include "base/log.h"
#include "protocol/rtmp/rtmp_input.h"

#include <errno.h>
#include <stdio.h>

LOG_TOPIC(topic, "rtmp.pull");

#define SILENT_MS     10000
#define TICK_MS       500
#define MALFORMED_MAX 50

struct rtmp_pull {
    struct engine *engine;
    struct loop *loop;
    struct rtmp_client *client;
    struct publisher *publisher; /* from the grant on */
    struct rtmp_input *input;
    struct rtmp_pull_ops ops;
    void *user;
    struct loop_timer *tick;
    struct loop_task reap;
    int64_t silent_ns;
    int64_t media_ns; /* when media, or the grant, came last */
    unsigned malformed;
    bool ours;  /* the path is */
    bool media; /* came */
    bool ended; /* told the owner */
    bool tls;
    char path[STREAM_PATH_MAX + 1];
    char remote[280];
};

const char *rtmp_pull_end_to_str(enum rtmp_pull_end end)
{
    static const char *const names[RTMP_PULL_END_N] = {
        "unreachable", "refused", "not-found", "silent", "broken", "over", "unwanted",
    };
    return end < RTMP_PULL_END_N ? names[end] : "?";
}

/* The publisher goes when the owner closes, so that what came until now is written first. */
static void end(struct rtmp_pull *p, enum rtmp_pull_end why, const char *text)
{
    if (p->ended) {
        return;
    }
    p->ended = true;
    loop_timer_stop(p->tick);
    log_info("%s: pull from %s: %s (%s)", p->path, p->remote, rtmp_pull_end_to_str(why), text);
    p->ops.on_end(p->user, why, text);
}

/* ---- our side ---- */

/* Servers grant play of what nobody publishes, too. */
static void note_progress(struct rtmp_pull *p, bool ours, bool media)
{
    const bool before = p->ours && p->media;
    p->ours = p->ours || ours;
    p->media = p->media || media;
    if (!before && p->ours && p->media && !p->ended && p->ops.on_open) {
        p->ops.on_open(p->user);
    }
}

static void on_publisher_open(void *user)
{
    note_progress(user, true, false);
}

static void on_publisher_close(void *user, int r, const char *why)
{
    end(user, RTMP_PULL_UNWANTED, why);
}

/* ---- the server's side ---- */

static void on_started(void *user)
{
    static const struct publisher_ops ops = {.on_open = on_publisher_open,
                                             .on_close = on_publisher_close};
    struct rtmp_pull *p = user;
    const struct publisher_info info = {
        .path = p->path,
        .protocol = p->tls ? "rtmps" : "rtmp",
        .remote = p->remote,
        .agent = "pull",
    };
    p->media_ns = loop_now_ns(p->loop);
    loop_timer_start(p->tick, TICK_MS);
    p->publisher = publisher_open(p->engine, p->loop, &info, &ops, p);
    p->input = rtmp_input_new(p->publisher);
}

static void on_media(void *user, const struct rtmp_message *m)
{
    struct rtmp_pull *p = user;
    struct error err = {0};
    if (p->ended || !p->input) {
        return;
    }
    const int64_t now = loop_now_ns(p->loop);
    const int r = rtmp_input_message(p->input, m, now, &err);
    if (r < 0 && r != -ENOTSUP && ++p->malformed == MALFORMED_MAX) {
        end(p, RTMP_PULL_BROKEN, err.text);
    } else if (r > 0) {
        p->media_ns = now; /* parameters alone, and what cannot be read, are no media */
        note_progress(p, false, true);
    }
}

static void on_metadata(void *user, const struct amf_value *metadata)
{
    struct rtmp_pull *p = user;
    if (p->input) {
        rtmp_input_metadata(p->input, metadata);
    }
}

static void on_client_close(void *user, int r, const char *why)
{
    struct rtmp_pull *p = user;
    switch (r) {
    case 0:
        end(p, RTMP_PULL_OVER, why);
        break;
    case -ENOENT:
        end(p, RTMP_PULL_NOT_FOUND, why);
        break;
    case -EACCES:
        end(p, RTMP_PULL_REFUSED, why);
        break;
    case -EPROTO:
    case -EINVAL:
    case -E2BIG:
    case -EMSGSIZE:
        end(p, RTMP_PULL_BROKEN, why);
        break;
    default:
        end(p, p->publisher ? RTMP_PULL_OVER : RTMP_PULL_UNREACHABLE, why);
        break;
    }
}

static void on_tick(void *user)
{
    struct rtmp_pull *p = user;
    if (loop_now_ns(p->loop) - p->media_ns >= p->silent_ns) {
        end(p, RTMP_PULL_SILENT, "the server sends no media");
        return;
    }
    loop_timer_start(p->tick, TICK_MS);
}

/* ---- open and close ---- */

static void reap(struct loop_task *t)
{
    free(CONTAINER_OF(t, struct rtmp_pull, reap));
}

struct rtmp_pull *rtmp_pull_open(struct engine *e, struct loop *l,
                                 const struct rtmp_pull_config *config,
                                 const struct rtmp_pull_ops *ops, void *user, struct error *err)
{
    static const struct rtmp_client_ops client_ops = {.on_started = on_started,
                                                      .on_media = on_media,
                                                      .on_metadata = on_metadata,
                                                      .on_close = on_client_close};
    _cleanup_(rtmp_client_url_done) struct rtmp_client_url url = {0};
    if (rtmp_client_url_parse(config->url, &url, err) < 0) {
        return NULL;
    }
    struct rtmp_pull *p = mem_new(struct rtmp_pull);
    const struct rtmp_client_config client = {
        .url = config->url,
        .tls = config->tls,
        .guard = config->guard,
        .timeout_ms = config->timeout_ms,
    };
    p->engine = e;
    p->loop = l;
    p->ops = *ops;
    p->user = user;
    p->tls = url.tls;
    p->silent_ns = (config->silent_ms ? config->silent_ms : SILENT_MS) * NS_PER_MS;
    snprintf(p->path, sizeof(p->path), "%s", config->path);
    snprintf(p->remote, sizeof(p->remote), "%s:%u", url.host, url.port);
    loop_task_init(&p->reap, reap);
    p->client = rtmp_client_open(l, &client, &client_ops, p, err);
    if (!p->client) {
        free(p);
        return NULL;
    }
    p->tick = loop_timer_new(l, on_tick, p);
    return p;
}

struct rtmp_pull *rtmp_pull_close(struct rtmp_pull *p)
{
    if (!p || !p->tick) {
        return NULL;
    }
    p->ended = true;
    p->tick = loop_timer_free(p->tick);
    p->client = rtmp_client_close(p->client);
    p->input = rtmp_input_free(p->input);
    p->publisher = publisher_close(p->publisher);
    loop_defer(p->loop, LOOP_STAGE_NOTIFY, &p->reap); /* a callback of ours may be what runs */
    return NULL;
}
