/* SPDX-License-Identifier: Apache-2.0 */
#include "app/overview.h"

#include "api/reply.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/model.h"

#include <mast/version.h>

#define LISTENERS_MAX 8

struct listener_view {
    char *name;
    char *address;
    int64_t port;
    bool tls;
    uint64_t connections;
    uint64_t accepted;
    uint64_t refused;
};

struct overview_view {
    char *version;
    int64_t started;
    double uptime_s;
    double cpu_s;
    uint64_t memory_bytes;
    uint64_t open_fds;
    uint64_t media_bytes;
    uint64_t media_max_bytes;
    uint64_t streams;
    uint64_t publishers;
    uint64_t readers;
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t samples_dropped;
    MODEL_ARRAY(double) loops_busy;
    MODEL_ARRAY(struct listener_view) listeners;
};

static const struct model_field listener_fields[] = {
    MODEL_STRING(struct listener_view, name, .doc = "http, https, rtmp or rtmps."),
    MODEL_STRING(struct listener_view, address, .doc = "With the port."),
    MODEL_INT(struct listener_view, port),
    MODEL_BOOL(struct listener_view, tls),
    MODEL_INT(struct listener_view, connections, .doc = "Now."),
    MODEL_INT(struct listener_view, accepted, .doc = "Ever."),
    MODEL_INT(struct listener_view, refused, .doc = "Over a limit, ever."),
};
static const struct model listener_model =
    MODEL("Listener", struct listener_view, listener_fields, .unknown = MODEL_IGNORE);

static const struct model_field overview_fields[] = {
    MODEL_STRING(struct overview_view, version),
    MODEL_TIME(struct overview_view, started),
    MODEL_DOUBLE(struct overview_view, uptime_s),
    MODEL_DOUBLE(struct overview_view, cpu_s, .doc = "CPU time since the start, all threads."),
    MODEL_INT(struct overview_view, memory_bytes, .doc = "Resident."),
    MODEL_INT(struct overview_view, open_fds),
    MODEL_INT(struct overview_view, media_bytes, .doc = "Media held in memory."),
    MODEL_INT(struct overview_view, media_max_bytes, .doc = "The budget for it."),
    MODEL_INT(struct overview_view, streams),
    MODEL_INT(struct overview_view, publishers),
    MODEL_INT(struct overview_view, readers),
    MODEL_INT(struct overview_view, bytes_in, .doc = "Media received since the start."),
    MODEL_INT(struct overview_view, bytes_out, .doc = "Sent to readers since the start."),
    MODEL_INT(struct overview_view, samples_dropped,
              .doc = "Not given to readers that were too slow."),
    MODEL_LIST(struct overview_view, loops_busy, MODEL_ITEM(double, MODEL_T_DOUBLE),
               .max = LOOPS_MAX, .doc = "Share of the last second that each media loop worked."),
    MODEL_LIST_STRUCT(struct overview_view, listeners, &listener_model, .max = LISTENERS_MAX),
};
static const struct model overview_model =
    MODEL("System", struct overview_view, overview_fields, .unknown = MODEL_IGNORE);

struct memory {
    struct listener_view listeners[LISTENERS_MAX];
    double busy[LOOPS_MAX];
};

static void add_listener(const struct listener *l, struct memory *m, struct overview_view *v)
{
    if (!l || v->listeners.len == LISTENERS_MAX) {
        return;
    }
    m->listeners[v->listeners.len++] = (struct listener_view){
        .name = (char *)listener_name(l),
        .address = (char *)listener_text(l),
        .port = listener_port(l),
        .tls = listener_is_tls(l),
        .connections = listener_live(l),
        .accepted = listener_accepted(l),
        .refused = listener_refused(l),
    };
}

/* m outlives v. */
static void view_overview(const struct overview *o, struct memory *m, struct overview_view *v)
{
    struct system_usage usage;
    struct engine_gauges g;
    system_usage_read(&usage);
    engine_gauges(o->engine, &g);
    *v = (struct overview_view){
        .version = (char *)mast_version(),
        .started = o->system->started_wall_ns,
        .uptime_s = (double)(clock_wall_ns() - o->system->started_wall_ns) / 1e9,
        .cpu_s = usage.cpu_seconds,
        .memory_bytes = usage.resident_bytes,
        .open_fds = usage.open_fds,
        .media_bytes = g.bytes,
        .media_max_bytes = g.memory_max_bytes,
        .streams = g.streams,
        .publishers = g.publishers,
        .readers = g.readers,
        .bytes_in = g.bytes_in_total,
        .bytes_out = g.bytes_out_total,
        .samples_dropped = g.samples_dropped_total,
        .loops_busy = {m->busy, o->system->n_loops},
        .listeners = {m->listeners, 0},
    };
    for (unsigned i = 0; i < o->system->n_loops; i++) {
        m->busy[i] = loop_busy_permille(o->system->loops[i]) / 1000.0;
    }
    for (unsigned i = 0; http_server_listener(o->http, i); i++) {
        add_listener(http_server_listener(o->http, i), m, v);
    }
    add_listener(o->rtmp ? rtmp_server_listener(o->rtmp) : NULL, m, v);
    add_listener(o->rtmps ? rtmp_server_listener(o->rtmps) : NULL, m, v);
}

static void handle_overview(void *user, struct http_request *req, struct http_reply *reply)
{
    struct memory memory;
    struct overview_view view;
    view_overview(user, &memory, &view);
    reply_model(reply, 200, &overview_model, &view);
}

const struct http_route overview_routes[] = {
    {
        .method = HTTP_GET,
        .kind = HTTP_ROUTE_CONTROL,
        .pattern = "/api/v1/system",
        .handle = handle_overview,
        .summary = "What the program uses, moves and listens on",
        .reply_model = &overview_model,
        .scope = "read",
    },
};
const unsigned overview_routes_n = ARRAY_LEN(overview_routes);
