/* SPDX-License-Identifier: Apache-2.0 */
#include "app/reload.h"

#include "api/events.h"
#include "api/reply.h"
#include "app/broadcasting.h"
#include "app/command.h"
#include "app/hooks.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/http_doc.h"
#include "io/tls.h"
#include "io/watch.h"
#include "protocol/rtmp/rtmp_server.h"
#include "service/access/access_service.h"
#include "service/access/guard.h"

#include <errno.h>
#include <stdio.h>

LOG_TOPIC(topic, "reload");

struct reload {
    struct reload_target t;
    struct config current; /* the last one that was taken */
    struct watch *watch;
};

static const struct model_field report_fields[] = {
    MODEL_LIST_STRING(struct reload_report, changed, .doc = "Keys whose new value is in force."),
    MODEL_LIST_STRING(struct reload_report, restart,
                      .doc =
                          "Keys that differ from what runs, and will be in force after a restart."),
};
const struct model reload_report_model = MODEL("ReloadReport", struct reload_report, report_fields);

/* ---- what differs ---- */

struct difference {
    struct reload_report *report;
    bool log;
    bool streams;
    bool access;
    bool hosts;
    bool hooks;
    bool outgoing;
    bool http;
    bool rtmp;
    bool rtmps;
};

static bool is_in(const char *path, const char *section)
{
    size_t n = strlen(section);
    return strncmp(path, section, n) == 0 && (path[n] == '.' || path[n] == '\0');
}

static void add(char ***items, size_t *len, const char *path)
{
    *items = mem_realloc(*items, (*len + 1) * sizeof(char *));
    (*items)[(*len)++] = mem_strdup(path);
}

static int on_changed(const struct model_visit *v, void *user)
{
    struct difference *d = user;
    if (v->restart) {
        return 0;
    }
    d->log |= is_in(v->path, "log");
    d->streams |= is_in(v->path, "streams");
    d->access |= is_in(v->path, "access");
    d->hosts |= is_in(v->path, "http.hosts") || is_in(v->path, "http.trusted_proxies");
    d->hooks |= is_in(v->path, "outgoing") || is_in(v->path, "webhooks") || is_in(v->path, "hooks");
    d->outgoing |= is_in(v->path, "outgoing");
    d->http |= is_in(v->path, "http.address") || is_in(v->path, "http.port");
    d->rtmp |= is_in(v->path, "rtmp.address") || is_in(v->path, "rtmp.port");
    d->rtmps |= is_in(v->path, "rtmps.address") || is_in(v->path, "rtmps.port");
    add(&d->report->changed.items, &d->report->changed.len, v->path);
    return 0;
}

static int on_waiting(const struct model_visit *v, void *user)
{
    struct difference *d = user;
    if (v->restart) {
        add(&d->report->restart.items, &d->report->restart.len, v->path);
    }
    return 0;
}

/* ---- what may fail: listeners beside the old ones, then certificates ---- */

static int open_http(struct reload *r, const struct config_http *c, struct error *err)
{
    /* Limits and TLS are those of the start: their keys are marked. */
    const struct config_http *started = &r->t.started->http;
    const struct listener_config lc = {
        .address = c->address,
        .port = c->port,
        .shares_port = true,
        .tls = r->t.http_tls,
        .plain_too = started->tls.plain,
        .max_conns = started->max_connections,
        .max_conns_per_address = started->max_connections_per_address,
        .name = r->t.http_tls ? "https" : "http",
    };
    return http_server_listen(r->t.http, &lc, r->t.loops, r->t.n_loops, err);
}

/* The new listeners, all or none. What is not running is left out: enabling it is marked. */
static int open_listeners(struct reload *r, const struct config *next, struct difference *d,
                          struct error *err)
{
    d->rtmp = d->rtmp && r->t.rtmp;
    d->rtmps = d->rtmps && r->t.rtmps;
    if (d->http && open_http(r, &next->http, err) < 0) {
        error_prefix(err, "http");
        return -EADDRNOTAVAIL;
    }
    if (d->rtmp &&
        rtmp_server_listen_next(r->t.rtmp, next->rtmp.address, next->rtmp.port, err) < 0) {
        error_prefix(err, "rtmp");
        goto fail_http;
    }
    if (d->rtmps &&
        rtmp_server_listen_next(r->t.rtmps, next->rtmps.address, next->rtmps.port, err) < 0) {
        error_prefix(err, "rtmps");
        goto fail_rtmp;
    }
    return 0;
fail_rtmp:
    if (d->rtmp) {
        rtmp_server_keep(r->t.rtmp, false);
    }
fail_http:
    if (d->http) {
        http_server_unlisten(r->t.http, 1);
    }
    return -EADDRNOTAVAIL;
}

/* Closes the old listeners, or the new ones when they are not wanted after all. */
static void settle_listeners(struct reload *r, const struct difference *d, bool next)
{
    if (d->http) {
        http_server_unlisten(r->t.http, next ? 0 : 1);
    }
    if (d->rtmp) {
        rtmp_server_keep(r->t.rtmp, next);
    }
    if (d->rtmps) {
        rtmp_server_keep(r->t.rtmps, next);
    }
}

static int use_certificate(struct reload *r, struct tls_context *tls, const char *certificate,
                           const char *key, const char *section, struct error *err)
{
    if (!tls) {
        return 0;
    }
    _cleanup_free_ char *own = certificate ? NULL : tls_self_signed_file(r->t.state_dir, err);
    int e = -EIO;
    if (certificate || own) {
        e = tls_context_use(tls, own ? own : certificate, own ? own : key, err);
    }
    if (e < 0) {
        error_prefix(err, section);
    }
    return e;
}

/* Both or none: when the second fails, the first goes back to its old file, which may hold the new certificate by now. */
static int use_certificates(struct reload *r, const struct config *next, struct error *err)
{
    const struct config_http_tls *http = &next->http.tls;
    const struct config_http_tls *old = &r->current.http.tls;
    int e = use_certificate(r, r->t.http_tls, http->certificate, http->key, "http.tls", err);
    if (e < 0) {
        return e;
    }
    e = use_certificate(r, r->t.rtmps_tls, next->rtmps.certificate, next->rtmps.key, "rtmps", err);
    if (e < 0) {
        (void)use_certificate(r, r->t.http_tls, old->certificate, old->key, "http.tls", NULL);
    }
    return e;
}

/* ---- applying ---- */

static void set_watch(struct reload *r)
{
    const struct config *c = &r->current;
    const char *const all[] = {r->t.file, c->http.tls.certificate, c->http.tls.key,
                               c->rtmps.certificate, c->rtmps.key};
    const char *files[ARRAY_LEN(all)];
    unsigned n = 0;
    for (unsigned i = 0; c->watch && i < ARRAY_LEN(all); i++) {
        if (all[i]) {
            files[n++] = all[i];
        }
    }
    watch_set(r->watch, files, n);
}

static void set_wait(struct rtmp_server *s, const struct config *c)
{
    if (s) {
        rtmp_server_set_wait(s, (unsigned)(c->streams.continuity / NS_PER_MS));
    }
}

/* Nothing here can fail. */
static void take_over(struct reload *r, struct config *next, const struct difference *d)
{
    settle_listeners(r, d, true);
    if (d->log) {
        (void)log_configure(next->log.level, next->log.json);
    }
    if (d->streams) {
        const struct engine_config ec = config_engine(next);
        engine_reconfigure(r->t.engine, &ec);
        set_wait(r->t.rtmp, next);
        set_wait(r->t.rtmps, next);
    }
    if (d->access) {
        access_service_configure(r->t.access, &next->access);
    }
    if (d->hosts) {
        const struct guard_config gc = config_guard(next);
        guard_configure(r->t.guard, &gc, r->t.loops, r->t.n_loops);
    }
    if (d->hooks) {
        hooks_configure(r->t.hooks, next);
    }
    if (d->outgoing) {
        broadcasting_configure(r->t.broadcasting, next);
    }
    config_done(&r->current);
    r->current = *next;
    set_watch(r);
}

static int load_and_apply(struct reload *r, struct reload_report *report, struct error *err)
{
    struct difference d = {.report = report};
    struct config next;
    int e = config_load(&next, r->t.file, environ, err);
    if (e < 0) {
        return e;
    }
    (void)model_diff(&config_model, &r->current, &next, on_changed, &d);
    (void)model_diff(&config_model, r->t.started, &next, on_waiting, &d);
    e = open_listeners(r, &next, &d, err);
    if (e < 0) {
        config_done(&next);
        return e;
    }
    e = use_certificates(r, &next, err);
    if (e < 0) {
        settle_listeners(r, &d, false);
        config_done(&next);
        return e;
    }
    take_over(r, &next, &d);
    return 0;
}

static void emit_report(struct reload *r, const struct reload_report *report)
{
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    (void)model_write(&reload_report_model, report, NULL, &j);
    events_emit(r->t.events, clock_wall_ns(), "config.reloaded", "config", out_str(&o));
}

static void emit_refusal(struct reload *r, const struct error *err)
{
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    json_object_begin(&j);
    json_put_str(&j, "where", err->where);
    json_put_str(&j, "text", err->text);
    json_object_end(&j);
    events_emit(r->t.events, clock_wall_ns(), "config.refused", "config", out_str(&o));
}

static void log_report(const char *why, const struct reload_report *report)
{
    log_info("%s: the configuration was read again, %zu keys changed", why, report->changed.len);
    for (size_t i = 0; i < report->changed.len; i++) {
        log_info("%s: %s has a new value", why, report->changed.items[i]);
    }
    for (size_t i = 0; i < report->restart.len; i++) {
        log_warn("%s: %s waits for a restart", why, report->restart.items[i]);
    }
}

int reload_run(struct reload *r, const char *why, struct reload_report *ret, struct error *err)
{
    struct reload_report report = {0};
    struct error own = {0};
    struct error *told = err ? err : &own;
    int e = load_and_apply(r, &report, told);
    if (e < 0) {
        log_error("%s: refused, everything stays as it was: %s%s%s", why, told->where,
                  told->where[0] ? ": " : "", told->text);
        emit_refusal(r, told);
    } else {
        log_report(why, &report);
        emit_report(r, &report);
    }
    if (e >= 0 && ret) {
        *ret = report;
    } else {
        model_done(&reload_report_model, &report);
    }
    return e;
}

static void on_files_changed(void *user)
{
    (void)reload_run(user, "a file changed", NULL, NULL);
}

struct reload *reload_new(const struct reload_target *target)
{
    struct reload *r = mem_new(struct reload);
    r->t = *target;
    model_copy(&config_model, &r->current, target->started);
    r->watch = watch_new(r->t.control, 0, on_files_changed, r);
    set_watch(r);
    return r;
}

struct reload *reload_free(struct reload *r)
{
    if (r) {
        watch_free(r->watch);
        config_done(&r->current);
        free(r);
    }
    return NULL;
}

/* ---- the API ---- */

static void handle_reload(void *user, struct http_request *req, struct http_reply *reply)
{
    struct reload_report report;
    struct error err = {0};
    if (reload_run(user, "asked by the API", &report, &err) < 0) {
        http_reply_problem(reply, 422, "invalid-configuration", &err);
        return;
    }
    reply_model(reply, 200, &reload_report_model, &report);
    model_done(&reload_report_model, &report);
}

static const struct http_doc_problem reload_problems[] = {
    {422, "invalid-configuration",
     "`field` and `detail` say where and what, and nothing has changed"},
    {.status = 0},
};
static const struct http_route_doc reload_doc = {
    .text =
        "All or nothing, and what did not change is left alone. docs/operation.md says what takes effect when.",
    .reply_text = "What is in force now, and what waits for a restart",
    .problems = reload_problems,
};

const struct http_route reload_routes[] = {
    {
        .method = HTTP_POST,
        .kind = HTTP_ROUTE_CONTROL,
        .pattern = "/api/v1/reload",
        .handle = handle_reload,
        .max_body_bytes = 4096,
        .summary = "Reads the configuration and the certificates again",
        .doc = &reload_doc,
        .reply_model = &reload_report_model,
        .scope = "admin",
    },
};
const unsigned reload_routes_n = ARRAY_LEN(reload_routes);
