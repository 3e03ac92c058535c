/* SPDX-License-Identifier: Apache-2.0 */
#include "app/serve.h"

#include "api/events.h"
#include "api/metrics.h"
#include "api/openapi.h"
#include "api/system.h"
#include "app/broadcasting.h"
#include "app/demo.h"
#include "app/hooks.h"
#include "app/overview.h"
#include "app/pages.h"
#include "app/reload.h"
#include "app/serve_metrics.h"
#include "app/upgrade.h"
#include "app/where.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/http.h"
#include "io/inherit.h"
#include "io/notify.h"
#include "io/tls.h"
#include "media/fmp4.h"
#include "protocol/hls/hls_server.h"
#include "protocol/mse/mse.h"
#include "protocol/rtmp/rtmp_form.h"
#include "protocol/rtmp/rtmp_server.h"
#include "service/access/access_service.h"
#include "service/access/guard.h"
#include "service/stream/derived_maker.h"
#include "service/stream/stream_events.h"
#include "service/stream/stream_routes.h"

#include <mast/version.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

LOG_TOPIC(topic, "serve");

#define KEPT_FD_MIN 300 /* above where upgrade_exec() puts them */

/* Members stand in their order of start. */
struct serve {
    const struct config *config;
    const char *config_file;
    struct upgrade *upgrade;
    enum serve_phase {
        GOING_ON,
        MAKING_WAY, /* stops so that another program can take over */
        ENDING,     /* stops, and nothing comes after it: a signal counts more than an upgrade */
    } phase;
    char *state_dir;
    struct loop *control;
    struct notify *notify;
    struct loop *loops[LOOPS_MAX];
    unsigned n_loops;
    struct store *store;
    struct seal_ring *ring; /* NULL: no key */
    struct access_service *access;
    struct guard guard;
    struct av_pool *av;
    struct derived_maker derived;
    struct engine *engine;
    struct tls_context *rtmps_tls;
    struct tls_context *http_tls;
    struct rtmp_server *rtmp;
    struct rtmp_server *rtmps;
    struct events *events;
    struct hooks *hooks;
    struct broadcasting *broadcasting;
    struct pages *pages;
    struct metrics *metrics;
    struct system_state system;
    struct overview overview;
    struct serve_counters counters;
    struct http_server *http;
    struct hls_server *hls;
    char *openapi;
    struct demo *demo;
    struct reload *reload;
    uv_signal_t on_int;
    uv_signal_t on_hup;
    uv_signal_t on_usr2;
    uv_signal_t on_term;
    bool signals_open;
};

/* Thousands of readers need thousands of descriptors: the soft limit is raised as far as the hard one allows. */
static void raise_fd_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* mkdir -p: the folder itself is for us alone, as keys are kept in it. */
static int make_dirs(const char *dir, struct error *err)
{
    _cleanup_free_ char *path = mem_strdup(dir);
    for (char *c = path + 1;; c++) {
        if (*c != '/' && *c != '\0') {
            continue;
        }
        char kept = *c;
        *c = '\0';
        if (mkdir(path, kept ? 0755 : 0700) < 0 && errno != EEXIST) {
            return error_set(err, -errno, "state_dir", "%s cannot be made: %s", path,
                             error_name(-errno));
        }
        *c = kept;
        if (kept == '\0') {
            return 0;
        }
    }
}

static int start_state(struct serve *s, struct error *err)
{
    s->state_dir = s->config->state_dir ? mem_strdup(s->config->state_dir) : where_state_dir();
    int r = make_dirs(s->state_dir, err);
    if (r < 0) {
        return r;
    }
    struct error key_err = {0};
    if (seal_ring_open(s->state_dir, &s->ring, &key_err) < 0) {
        log_error("the key of sealed secrets: %s %s; what needs them waits", key_err.where,
                  key_err.text);
    }
    return store_open(&(struct store_config){.dir = s->state_dir}, &s->store, err);
}

static int start_access(struct serve *s, bool demo, struct error *err)
{
    const struct access_service_config ac = {
        .access = &s->config->access,
        .trusted_local_path = demo ? s->config->demo.path : NULL,
        .store = s->store,
        .control = s->control,
    };
    s->access = access_service_new(&ac);
    s->guard.access = s->access;
    const struct guard_config gc = config_guard(s->config);
    guard_configure(&s->guard, &gc, NULL, 0);
    return access_service_load(s->access, err);
}

static int start_loops(struct serve *s, struct error *err)
{
    unsigned want = s->config->loops ? s->config->loops : uv_available_parallelism();
    s->control = loop_new("mast-control", LOOP_CONTROL);
    s->notify = notify_new(s->control);
    for (unsigned i = 0; i < MIN(want, (unsigned)LOOPS_MAX); i++) {
        char name[16];
        snprintf(name, sizeof(name), "mast-media-%u", i);
        s->loops[i] = loop_new(name, (int)i);
        s->n_loops++;
        int r = loop_start(s->loops[i]);
        if (r < 0) {
            return error_set(err, r, "loops", "thread %u cannot be started: %s", i, error_name(r));
        }
    }
    return 0;
}

static bool still_holds(void *user, uint64_t serial)
{
    return access_service_holds(user, serial);
}

static void on_revoked(void *user, uint64_t serial)
{
    events_revoke(user, serial);
}

static int start_engine(struct serve *s)
{
    media_register_forms();
    rtmp_register_forms();
    const struct av_pool_config av = {.workers = s->config->av.workers};
    s->av = av_pool_new(s->control, &av);
    derived_maker_init(&s->derived, s->av);
    struct engine_config ec = config_engine(s->config);
    ec.access = access_service_answerer(s->access);
    ec.maker = derived_maker_for_engine(&s->derived);
    s->engine = engine_new(&ec, s->control, s->loops, s->n_loops);
    access_service_set_engine(s->access, s->engine);
    const struct events_config events = {.holds = still_holds, .holds_user = s->access};
    s->events = events_new(s->control, &events);
    access_service_on_revoked(s->access, on_revoked, s->events);
    stream_events_start(s->engine, s->events);
    return 0;
}

static int start_hooks(struct serve *s, struct error *err)
{
    const struct hooks_target target = {
        .control = s->control,
        .store = s->store,
        .ring = s->ring,
        .events = s->events,
    };
    return hooks_start(s->config, &target, &s->hooks, err);
}

static struct tls_context *open_tls(struct serve *s, const char *certificate, const char *key,
                                    const char *alpn, struct error *err)
{
    return certificate ? tls_context_new_server(certificate, key, alpn, err)
                       : tls_context_self_signed(s->state_dir, alpn, err);
}

static int start_tls(struct serve *s, struct error *err)
{
    const struct config_rtmps *rtmps = &s->config->rtmps;
    const struct config_http_tls *http = &s->config->http.tls;
    if (rtmps->enabled) {
        s->rtmps_tls = open_tls(s, rtmps->certificate, rtmps->key, NULL, err);
        if (!s->rtmps_tls) {
            error_prefix(err, "rtmps");
            return -EINVAL;
        }
    }
    if (http->enabled) {
        s->http_tls = open_tls(s, http->certificate, http->key, "h2,http/1.1", err);
        if (!s->http_tls) {
            error_prefix(err, "http.tls");
            return -EINVAL;
        }
    }
    return 0;
}

/* One listener: plain RTMP, or RTMPS when tls is given. */
static int open_rtmp(struct serve *s, const char *address, uint16_t port, struct tls_context *tls,
                     struct rtmp_server **ret, struct error *err)
{
    const struct config_rtmp *c = &s->config->rtmp;
    struct rtmp_server_config rc = {
        .address = address,
        .port = port,
        .tls = tls,
        .challenge = c->challenge && s->config->access.users.len > 0 && !s->config->access.open,
        .max_conns = c->max_connections,
        .max_conns_per_address = c->max_connections_per_address,
        .silent_ms = (unsigned)(c->publisher_timeout / NS_PER_MS),
        .stalled_ms = (unsigned)(c->reader_timeout / NS_PER_MS),
        .wait_ms = (unsigned)(s->config->streams.continuity / NS_PER_MS),
    };
    *ret = rtmp_server_open(&rc, s->engine, s->loops, s->n_loops, err);
    if (!*ret) {
        error_prefix(err, tls ? "rtmps" : "rtmp");
        return -EADDRINUSE;
    }
    return 0;
}

static int start_rtmp(struct serve *s, struct error *err)
{
    const struct config_rtmp *plain = &s->config->rtmp;
    const struct config_rtmps *tls = &s->config->rtmps;
    int r = plain->enabled ? open_rtmp(s, plain->address, plain->port, NULL, &s->rtmp, err) : 0;
    if (r >= 0 && tls->enabled) {
        r = open_rtmp(s, tls->address, tls->port, s->rtmps_tls, &s->rtmps, err);
    }
    return r;
}

/* Broadcasts that were taken up may send to our own RTMP at once. */
static int start_broadcasting(struct serve *s, struct error *err)
{
    const struct broadcasting_target target = {
        .control = s->control,
        .loops = s->loops,
        .n_loops = s->n_loops,
        .store = s->store,
        .ring = s->ring,
        .events = s->events,
        .engine = s->engine,
        .access = s->access,
        .rtmp_port = s->rtmp ? rtmp_server_port(s->rtmp) : 0,
    };
    return broadcasting_start(s->config, &target, &s->broadcasting, err);
}

static void start_hls(struct serve *s)
{
    const struct config_hls *c = &s->config->hls;
    if (c->enabled) {
        struct hls_config hc = {
            .segment_ns = c->segment,
            .part_ns = c->part,
            .segments = c->segments,
            .bytes_max = c->memory_max,
            .origins = (const char *const *)c->origins.items,
            .n_origins = c->origins.len,
        };
        s->hls = hls_server_new(&hc, s->engine, s->loops, s->n_loops);
    }
}

static void mount(struct serve *s)
{
    s->metrics = metrics_new();
    s->system = (struct system_state){
        .started_wall_ns = clock_wall_ns(),
        .loops = s->loops,
        .n_loops = s->n_loops,
    };
    s->counters =
        (struct serve_counters){.rtmp = s->rtmp, .rtmps = s->rtmps, .hls = s->hls, .http = s->http};
    s->overview = (struct overview){&s->system, s->engine, s->http, s->rtmp, s->rtmps};
    metrics_add(s->metrics, system_metrics, &s->system);
    metrics_add(s->metrics, serve_metrics, &s->counters);
    metrics_add(s->metrics, stream_metrics, s->engine);
    metrics_add(s->metrics, derived_metrics, &s->derived);
    http_server_mount(s->http, system_routes, system_routes_n, &s->system);
    http_server_mount(s->http, overview_routes, overview_routes_n, &s->overview);
    http_server_mount(s->http, metrics_routes, metrics_routes_n, s->metrics);
    http_server_mount(s->http, stream_routes, stream_routes_n, s->engine);
    http_server_mount(s->http, access_key_routes, access_key_routes_n, s->access);
    http_server_mount(s->http, access_user_routes, access_user_routes_n, s->access);
    http_server_mount(s->http, access_session_routes, access_session_routes_n, s->access);
    http_server_mount(s->http, mse_routes, mse_routes_n, s->engine);
    if (s->hls) {
        http_server_mount(s->http, hls_routes, hls_routes_n, s->hls);
    }
    metrics_add(s->metrics, events_metrics, s->events);
    http_server_mount(s->http, events_routes, events_routes_n, s->events);
    hooks_mount(s->hooks, s->http, s->metrics);
    broadcasting_mount(s->broadcasting, s->http, s->metrics);
    if (s->upgrade) {
        http_server_mount(s->http, upgrade_routes, upgrade_routes_n, s->upgrade);
    }
    http_server_mount(s->http, reload_routes, reload_routes_n, s->reload);
    http_server_mount(s->http, openapi_routes, openapi_routes_n, &s->openapi);
    if (s->pages) {
        http_server_mount(s->http, pages_routes, pages_routes_n, s->pages);
    }
    s->openapi = openapi_document(s->http, mast_version());
}

/* Before the first listener, so before anything can ask for it. */
static void start_reload(struct serve *s)
{
    const struct reload_target target = {
        .started = s->config,
        .file = s->config_file,
        .state_dir = s->state_dir,
        .control = s->control,
        .loops = s->loops,
        .n_loops = s->n_loops,
        .engine = s->engine,
        .events = s->events,
        .access = s->access,
        .guard = &s->guard,
        .hooks = s->hooks,
        .broadcasting = s->broadcasting,
        .http = s->http,
        .http_tls = s->http_tls,
        .rtmp = s->rtmp,
        .rtmps = s->rtmps,
        .rtmps_tls = s->rtmps_tls,
    };
    s->reload = reload_new(&target);
}

static void on_hooks_stopped(void *user)
{
    struct serve *s = user;
    loop_stop(s->control);
}

/* Hooks come last: how the broadcasts end is for them to hear. */
static void on_broadcasts_left(void *user)
{
    struct serve *s = user;
    hooks_stop(s->hooks, on_hooks_stopped, s);
}

static void on_demo_stopped(void *user)
{
    struct serve *s = user;
    broadcasting_leave(s->broadcasting, s->phase == MAKING_WAY, on_broadcasts_left, s);
}

static void stop(struct serve *s)
{
    s->system.ready = false;
    if (s->upgrade) {
        upgrade_cancel(s->upgrade);
    }
    if (s->demo) {
        demo_stop(s->demo, on_demo_stopped, s);
    } else {
        on_demo_stopped(s);
    }
}

static void on_may_upgrade(void *user)
{
    struct serve *s = user;
    log_info("another program takes over");
    s->phase = MAKING_WAY;
    notify_reloading(s->notify); /* the same process goes on */
    stop(s);
}

static int start_http(struct serve *s, struct error *err)
{
    const struct config_http *c = &s->config->http;
    struct error page_err = {0};
    s->pages = pages_open(c->web_dir, &page_err);
    if (!s->pages) {
        /* A server without its page still serves; only a folder that was asked for must be right. */
        if (c->web_dir) {
            *err = page_err;
            return -ENOENT;
        }
        log_warn("the page: %s; serving without it", page_err.text);
    }
    if (s->pages) {
        pages_set_embed(s->pages, c->embed.items, c->embed.len);
    }
    if (s->pages && s->http_tls && c->tls.certificate && !c->tls.plain) {
        pages_set_hsts(s->pages, c->tls.hsts / NS_PER_S);
    }
    struct http_server_config hc = {.guard = guard_check, .guard_user = &s->guard};
    s->http = http_server_new(&hc, s->control);
    start_hls(s);
    start_reload(s);
    if (s->upgrade) {
        const struct upgrade_target target = {
            .control = s->control, .file = s->config_file, .accepted = on_may_upgrade, .user = s};
        upgrade_bind(s->upgrade, &target);
    }
    mount(s);
    struct listener_config lc = {
        .address = c->address,
        .port = c->port,
        .tls = s->http_tls,
        .plain_too = c->tls.plain,
        .max_conns = c->max_connections,
        .max_conns_per_address = c->max_connections_per_address,
        .name = s->http_tls ? "https" : "http",
    };
    int r = http_server_listen(s->http, &lc, s->loops, s->n_loops, err);
    if (r < 0) {
        error_prefix(err, "http");
    }
    return r;
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct serve *s = signal->data;
    log_info("signal %d, ending", number);
    serve_stop(s);
}

static void on_hangup(uv_signal_t *signal, int number)
{
    struct serve *s = signal->data;
    if (s->phase != GOING_ON) {
        return;
    }
    notify_reloading(s->notify);
    (void)reload_run(s->reload, "SIGHUP", NULL, NULL);
    notify_ready(s->notify, s->loops, s->n_loops);
}

static void on_upgrade(uv_signal_t *signal, int number)
{
    struct serve *s = signal->data;
    log_info("asked to make way for another program");
    if (s->upgrade) {
        upgrade_ask(s->upgrade);
    }
}

static void start_signals(struct serve *s)
{
    uv_signal_init(loop_uv(s->control), &s->on_int);
    uv_signal_init(loop_uv(s->control), &s->on_term);
    uv_signal_init(loop_uv(s->control), &s->on_hup);
    uv_signal_init(loop_uv(s->control), &s->on_usr2);
    s->on_int.data = s->on_term.data = s->on_hup.data = s->on_usr2.data = s;
    uv_signal_start(&s->on_int, on_signal, SIGINT);
    uv_signal_start(&s->on_term, on_signal, SIGTERM);
    uv_signal_start(&s->on_hup, on_hangup, SIGHUP);
    uv_signal_start(&s->on_usr2, on_upgrade, SIGUSR2);
    s->signals_open = true;
}

static int start_demo(struct serve *s, struct error *err)
{
    if (!s->rtmp) {
        return error_set(err, -EINVAL, "rtmp.enabled",
                         "the demo publishes over RTMP, which is switched off");
    }
    if (s->config->rtmp.challenge && s->config->access.users.len > 0 && !s->config->access.open) {
        return error_set(err, -EINVAL, "rtmp.challenge",
                         "the demo has no password to answer with: leave one of them out");
    }
    s->demo = demo_start(s->control, s->config, rtmp_server_port(s->rtmp));
    return 0;
}

struct serve *serve_start(const struct config *config, const char *file, struct upgrade *upgrade,
                          bool demo, struct error *err)
{
    struct serve *s = mem_new(struct serve);
    s->config = config;
    s->config_file = file;
    s->upgrade = upgrade;
    raise_fd_limit();
    inherit_init();
    /* A peer that closed must not end the process: io/ uses MSG_NOSIGNAL, libraries may not. */
    signal(SIGPIPE, SIG_IGN);
    int r = start_state(s, err);
    r = r < 0 ? r : start_loops(s, err);
    r = r < 0 ? r : start_access(s, demo, err);
    r = r < 0 ? r : start_engine(s);
    r = r < 0 ? r : start_hooks(s, err);
    r = r < 0 ? r : start_tls(s, err);
    r = r < 0 ? r : start_rtmp(s, err);
    r = r < 0 ? r : start_broadcasting(s, err);
    r = r < 0 ? r : start_http(s, err);
    inherit_close_rest();
    if (r >= 0) {
        start_signals(s);
        r = demo ? start_demo(s, err) : 0;
    }
    if (r < 0) {
        return serve_free(s);
    }
    s->system.ready = true;
    notify_ready(s->notify, s->loops, s->n_loops);
    return s;
}

void serve_run(struct serve *s)
{
    loop_run(s->control);
}

void serve_stop(struct serve *s)
{
    s->phase = ENDING;
    notify_stopping(s->notify);
    stop(s);
}

bool serve_upgrades(const struct serve *s)
{
    return s->phase == MAKING_WAY;
}

unsigned serve_keep_sockets(const struct serve *s, int *ret_fds, unsigned max)
{
    unsigned n = listener_fds(http_server_listener(s->http, 0), ret_fds, max);
    if (s->rtmp) {
        n += listener_fds(rtmp_server_listener(s->rtmp), ret_fds + n, max - n);
    }
    if (s->rtmps) {
        n += listener_fds(rtmp_server_listener(s->rtmps), ret_fds + n, max - n);
    }
    unsigned kept = 0;
    for (unsigned i = 0; i < n; i++) {
        int fd = fcntl(ret_fds[i], F_DUPFD_CLOEXEC, KEPT_FD_MIN);
        if (fd >= 0) {
            ret_fds[kept++] = fd;
        }
    }
    return kept;
}

static void close_signals(struct serve *s)
{
    if (s->signals_open) {
        uv_close((uv_handle_t *)&s->on_int, NULL);
        uv_close((uv_handle_t *)&s->on_term, NULL);
        uv_close((uv_handle_t *)&s->on_hup, NULL);
        uv_close((uv_handle_t *)&s->on_usr2, NULL);
    }
}

struct serve *serve_free(struct serve *s)
{
    if (!s) {
        return NULL;
    }
    close_signals(s);
    if (s->upgrade) {
        upgrade_cancel(s->upgrade);
    }
    s->reload = reload_free(s->reload);
    s->notify = notify_free(s->notify);
    s->demo = demo_free(s->demo);
    s->rtmps = rtmp_server_close(s->rtmps);
    s->rtmp = rtmp_server_close(s->rtmp);
    if (s->access) {
        access_service_set_engine(s->access, NULL);
        access_service_on_revoked(s->access, NULL, NULL);
    }
    if (s->engine) {
        engine_set_event_fn(s->engine, NULL, NULL);
    }
    /* HTTP first: a request that comes now must not find an engine that is gone. */
    s->http = http_server_free(s->http);
    s->broadcasting = broadcasting_free(s->broadcasting);
    /* Ends the sessions of every protocol, WebSockets as well. */
    s->engine = engine_free(s->engine);
    s->hls = hls_server_free(s->hls);
    if (s->av) {
        /* Conversions that streams had are closed by message and answered, while the media loops still stand. */
        loop_run_once(s->control, 0);
        s->av = av_pool_free(s->av);
    }
    if (s->access) {
        access_service_stop(s->access, s->loops, s->n_loops);
    }
    hooks_close(s->hooks);
    s->store = store_close(s->store);
    s->events = events_free(s->events);
    s->metrics = metrics_free(s->metrics);
    s->pages = pages_close(s->pages);
    s->rtmps_tls = tls_context_free(s->rtmps_tls);
    s->http_tls = tls_context_free(s->http_tls);
    for (unsigned i = 0; i < s->n_loops; i++) {
        loop_stop(s->loops[i]);
    }
    for (unsigned i = 0; i < s->n_loops; i++) {
        loop_free(s->loops[i]);
    }
    /* Delivers what the store still answered, to the service. */
    loop_free(s->control);
    s->hooks = hooks_free(s->hooks);
    seal_ring_free(s->ring);
    s->access = access_service_free(s->access);
    guard_done(&s->guard);
    free(s->openapi);
    free(s->state_dir);
    free(s);
    return NULL;
}

static bool is_everywhere(const char *address)
{
    return strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
}

static void print_url(const char *what, const char *scheme, const char *address, uint16_t port,
                      const char *path)
{
    const char *host = is_everywhere(address) ? "127.0.0.1" : address;
    bool ipv6 = strchr(host, ':') != NULL;
    printf("  %-10s %s://%s%s%s:%u%s\n", what, scheme, ipv6 ? "[" : "", host, ipv6 ? "]" : "", port,
           path);
}

void serve_print_addresses(const struct serve *s)
{
    const struct config *c = s->config;
    uint16_t http = listener_port(http_server_listener(s->http, 0));
    _cleanup_free_ char *demo = mem_printf("/%s", c->demo.path);
    puts("Mast is on the air.");
    const char *scheme = c->http.tls.enabled ? "https" : "http";
    print_url("page", scheme, c->http.address, http, "/");
    if (s->demo) {
        print_url("demo", scheme, c->http.address, http, demo);
    }
    if (c->rtmp.enabled) {
        print_url("publish", "rtmp", c->rtmp.address, rtmp_server_port(s->rtmp),
                  "/live/<name>   (OBS: server .../live, stream key <name>)");
    }
    if (c->rtmps.enabled) {
        print_url("", "rtmps", c->rtmps.address, rtmp_server_port(s->rtmps), "/live/<name>");
    }
    print_url("API", scheme, c->http.address, http, "/api/openapi.json");
    print_url("metrics", scheme, c->http.address, http, "/metrics");
    fflush(stdout);
}
