/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/rtmp/rtmp_client.h"

#include "base/clock.h"
#include "base/random.h"
#include "base/url.h"

#include <errno.h>

#define QUEUE_MAX (8 << 20)
#define LINGER_MS 1000

struct rtmp_client {
    struct loop *loop;
    struct conn *conn; /* NULL once it is gone */
    struct rtmp_client_wire wire;
    struct rtmp_client_ops ops;
    void *user;
    struct loop_timer *deadline;
    struct loop_task reap;
    struct out tx;
    bool closed; /* by the owner; freed at the end of the pass */
};

/* ---- URL ---- */

void rtmp_client_url_done(struct rtmp_client_url *u)
{
    free(u->host);
    free(u->app);
    free(u->tc_url);
    free(u->name);
    *u = (struct rtmp_client_url){0};
}

int rtmp_client_url_parse(const char *url, struct rtmp_client_url *ret, struct error *err)
{
    _cleanup_(url_done) struct url u = {0};
    const int r = url_parse(url, &u, err);
    if (r < 0) {
        return r;
    }
    const bool tls = strcmp(u.scheme, "rtmps") == 0;
    if (!tls && strcmp(u.scheme, "rtmp") != 0) {
        return error_set(err, -EINVAL, "", "not an rtmp or rtmps URL");
    }
    const char *path = *u.path == '/' ? u.path + 1 : u.path;
    if (!*path || !*u.host) {
        return error_set(err, -EINVAL, "", "an RTMP URL needs a host and a path");
    }
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    struct rtmp_client_url c = {.host = mem_strdup(u.host), .tls = tls};
    c.port = (uint16_t)(u.port ? u.port : tls ? 443 : 1935);
    c.app = slash ? mem_strndup(path, (size_t)(slash - path)) : mem_strdup("");
    c.name = mem_printf("%s%s%s", name, u.query ? "?" : "", u.query ? u.query : "");
    c.tc_url = mem_printf("%s://%s%s%s:%u/%s", u.scheme, u.ipv6 ? "[" : "", u.host,
                          u.ipv6 ? "]" : "", c.port, c.app);
    *ret = c;
    return 0;
}

/* ---- the connection ---- */

static void flush(struct rtmp_client *c)
{
    if (c->conn && c->tx.len > 0) {
        conn_send_bytes(c->conn, out_view(&c->tx));
        c->tx.len = 0;
    }
}

static void end(struct rtmp_client *c, int r, const char *why)
{
    if (c->conn) {
        conn_close(c->conn);
        c->conn = NULL;
        loop_timer_stop(c->deadline);
        c->ops.on_close(c->user, r, why);
    }
}

static void handle_event(struct rtmp_client *c, const struct rtmp_client_event *ev)
{
    switch (ev->type) {
    case RTMP_CLIENT_STARTED:
        loop_timer_stop(c->deadline);
        flush(c);
        if (c->ops.on_started) {
            c->ops.on_started(c->user);
        }
        break;
    case RTMP_CLIENT_MEDIA:
        if (c->ops.on_media) {
            c->ops.on_media(c->user, &ev->message);
        }
        break;
    case RTMP_CLIENT_METADATA:
        if (c->ops.on_metadata) {
            c->ops.on_metadata(c->user, &ev->metadata);
        }
        break;
    case RTMP_CLIENT_STATUS:
    case RTMP_CLIENT_DRY:
        if (c->ops.on_status) {
            c->ops.on_status(c->user, ev->type == RTMP_CLIENT_DRY ? BYTES_STR("dry") : ev->code);
        }
        break;
    case RTMP_CLIENT_STOPPED:
        end(c, 0, "ended by the server");
        break;
    }
}

static void on_read(void *user, struct bytes data)
{
    struct rtmp_client *c = user;
    struct rd in = rd_init(data);
    struct error err = {0};
    int r = 1;
    while (r > 0 && c->conn && !c->closed) {
        struct rtmp_client_event ev;
        r = rtmp_client_wire_next(&c->wire, &in, &c->tx, &ev, &err);
        if (r > 0) {
            handle_event(c, &ev);
        }
    }
    if (c->closed) {
        return;
    }
    if (r < 0) {
        end(c, r, err.text);
        return;
    }
    flush(c);
}

static void on_open(void *user)
{
    struct rtmp_client *c = user;
    conn_set_nodelay(c->conn, true);
    conn_set_queue_max(c->conn, QUEUE_MAX);
    flush(c);
}

static void on_close(void *user, int r, const struct error *err)
{
    end(user, r, err && err->text[0] ? err->text : r == 0 ? "closed by the server" : error_name(r));
}

static void on_deadline(void *user)
{
    end(user, -ETIMEDOUT, "the server did not answer in time");
}

static void reap(struct loop_task *t)
{
    struct rtmp_client *c = CONTAINER_OF(t, struct rtmp_client, reap);
    rtmp_client_wire_done(&c->wire);
    out_done(&c->tx);
    free(c);
}

struct rtmp_client *rtmp_client_open(struct loop *l, const struct rtmp_client_config *config,
                                     const struct rtmp_client_ops *ops, void *user,
                                     struct error *err)
{
    static const struct conn_ops conn_ops = {
        .on_read = on_read, .on_open = on_open, .on_close = on_close};
    _cleanup_(rtmp_client_url_done) struct rtmp_client_url url = {0};
    if (rtmp_client_url_parse(config->url, &url, err) < 0) {
        return NULL;
    }
    if (url.tls && !config->tls) {
        error_set(err, -EINVAL, "", "rtmps needs TLS");
        return NULL;
    }
    struct rtmp_client *c = mem_new(struct rtmp_client);
    const unsigned timeout_ms = config->timeout_ms ? config->timeout_ms : 10000;
    c->loop = l;
    c->ops = *ops;
    c->user = user;
    loop_task_init(&c->reap, reap);
    const struct rtmp_client_target target = {
        .publish = config->publish,
        .app = url.app,
        .tc_url = url.tc_url,
        .name = url.name,
        .agent = config->agent,
    };
    rtmp_client_wire_init(&c->wire, &target, random_u64(), (uint32_t)(loop_now_ns(l) / NS_PER_MS),
                          &c->tx);
    c->deadline = loop_timer_new(l, on_deadline, c);
    loop_timer_start(c->deadline, timeout_ms);
    const struct conn_connect how = {
        .host = url.host,
        .port = url.port,
        .tls = url.tls ? config->tls : NULL,
        .timeout_ms = timeout_ms,
        .guard = config->guard,
    };
    c->conn = conn_connect(l, &how, &conn_ops, c);
    return c;
}

void rtmp_client_send(struct rtmp_client *c, enum rtmp_type type, uint32_t timestamp,
                      struct bytes body)
{
    if (c->wire.state == RTMP_CLIENT_RUNNING) {
        rtmp_client_wire_media(&c->wire, type, timestamp, body, &c->tx);
        flush(c);
    }
}

void rtmp_client_send_metadata(struct rtmp_client *c, struct bytes metadata)
{
    if (c->wire.state == RTMP_CLIENT_RUNNING) {
        rtmp_client_wire_metadata(&c->wire, metadata, &c->tx);
        flush(c);
    }
}

size_t rtmp_client_queued(const struct rtmp_client *c)
{
    return c->conn ? conn_queued(c->conn) : 0;
}

struct rtmp_client *rtmp_client_close(struct rtmp_client *c)
{
    if (!c || c->closed) {
        return NULL;
    }
    c->closed = true;
    c->deadline = loop_timer_free(c->deadline);
    if (c->conn) {
        rtmp_client_wire_stop(&c->wire, &c->tx);
        flush(c);
        conn_close_gracefully(c->conn, LINGER_MS);
        c->conn = NULL;
    }
    loop_defer(c->loop, LOOP_STAGE_NOTIFY, &c->reap);
    return NULL;
}
