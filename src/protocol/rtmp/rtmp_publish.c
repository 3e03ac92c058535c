/* SPDX-License-Identifier: Apache-2.0 */
/* The publishing half of a session: its messages become samples in rtmp_input.c. */
#include "base/log.h"
#include "protocol/rtmp/rtmp_input.h"
#include "protocol/rtmp/rtmp_session.h"

#include <errno.h>

LOG_TOPIC(topic, "rtmp.publish");

#define MALFORMED_MAX  50 /* messages that cannot be read, before the publisher is dropped */
#define RATE_WINDOW_NS (4 * 1000000000LL)

struct rtmp_publish {
    struct publisher *publisher;
    struct rtmp_input *input;
    bool open; /* the path is ours */
    bool unsupported_logged;
    unsigned malformed;
    uint64_t rate_bytes; /* allowed in a window, 0 = no limit */
    uint64_t window_bytes;
    int64_t window_ns;
};

/* ---- messages ---- */

static void handle_malformed(struct rtmp_session *s, const struct error *err)
{
    struct rtmp_publish *p = s->publish;
    if (p->malformed == 0) {
        log_warn("%s: %s: %s, leaving such messages out", conn_peer(s->conn)->text, s->path,
                 err->text);
    }
    if (++p->malformed == MALFORMED_MAX) {
        rtmp_session_end(s, RTMP_END_DROP, "%d messages that cannot be read, the last one: %s",
                         MALFORMED_MAX, err->text);
    }
}

static void handle_unsupported(struct rtmp_session *s, const struct error *err)
{
    if (!s->publish->unsupported_logged) {
        s->publish->unsupported_logged = true;
        log_warn("%s: %s: %s, going on without it", conn_peer(s->conn)->text, s->path, err->text);
    }
}

void rtmp_publish_message(struct rtmp_session *s, const struct rtmp_message *m)
{
    struct rtmp_publish *p = s->publish;
    struct error err = {0};
    p->window_bytes += m->body.len;
    const int r = rtmp_input_message(p->input, m, rtmp_session_now(s), &err);
    if (r == -ENOTSUP) {
        handle_unsupported(s, &err);
    } else if (r < 0) {
        handle_malformed(s, &err);
    }
}

void rtmp_publish_metadata(struct rtmp_session *s, const struct amf_value *metadata)
{
    rtmp_input_metadata(s->publish->input, metadata);
}

void rtmp_publish_tick(struct rtmp_session *s, int64_t now_ns)
{
    struct rtmp_publish *p = s->publish;
    if (now_ns - p->window_ns < RATE_WINDOW_NS) {
        return;
    }
    if (p->rate_bytes && p->window_bytes > p->rate_bytes) {
        rtmp_session_end(
            s, RTMP_END_DROP, "over the bitrate granted: %llu kb/s",
            (unsigned long long)(p->window_bytes * 8000000 / (uint64_t)(now_ns - p->window_ns)));
        return;
    }
    p->window_bytes = 0;
    p->window_ns = now_ns;
}

/* ---- the engine's news ---- */

static void on_open(void *user)
{
    struct rtmp_session *s = user;
    s->publish->open = true;
    log_info("%s: publishing %s (%s)", conn_peer(s->conn)->text, s->path,
             s->wire.agent ? s->wire.agent : "unnamed");
    rtmp_server_wire_accept(&s->wire, &s->tx);
    rtmp_session_resume(s);
}

static void on_close(void *user, int r, const char *why)
{
    struct rtmp_session *s = user;
    if (s->publish->open) {
        rtmp_server_wire_stop(&s->wire, &s->tx, "NetStream.Unpublish.Success", why);
    } else {
        rtmp_server_wire_refuse(
            &s->wire, &s->tx,
            r == -EBUSY ? "NetStream.Publish.BadName" : "NetStream.Publish.Denied", why);
    }
    rtmp_session_end(s, RTMP_END_DROP, "%s", why);
}

void rtmp_publish_start(struct rtmp_session *s, const struct access_answer *answer)
{
    static const struct publisher_ops ops = {.on_open = on_open, .on_close = on_close};
    struct rtmp_publish *p = mem_new(struct rtmp_publish);
    const struct publisher_info info = {
        .path = answer->path,
        .protocol = conn_is_tls(s->conn) ? "rtmps" : "rtmp",
        .remote = conn_peer(s->conn)->text,
        .agent = s->wire.agent,
        .access_serial = answer->serial,
        .access_expires_mono_ns = answer->expires_mono_ns,
    };
    p->rate_bytes = (uint64_t)answer->max_bitrate_kbps * 125 * (RATE_WINDOW_NS / 1000000000);
    p->window_ns = rtmp_session_now(s);
    s->publish = p;
    p->publisher = publisher_open(s->shard->server->engine, s->shard->loop, &info, &ops, s);
    p->input = rtmp_input_new(p->publisher);
}

void rtmp_publish_stop(struct rtmp_session *s)
{
    struct rtmp_publish *p = TAKE_PTR(s->publish);
    if (p) {
        p->input = rtmp_input_free(p->input);
        p->publisher = publisher_close(p->publisher);
        free(p);
    }
}
