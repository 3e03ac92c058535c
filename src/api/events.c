/* SPDX-License-Identifier: Apache-2.0 */
#include "api/events.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "io/http_doc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEPT_MAX 1024
#define KEPT_BYTES_MAX                                                                             \
    (512 * 1024) /* half of what a client may have queued, so that a resume fits */
#define CLIENTS_MAX  256
#define KEEPALIVE_MS 15000
#define BOOT_CHARS   10
#define POSITION_MAX (BOOT_CHARS + 24)

struct client {
    struct list node;
    struct events *events;
    struct http_reply *reply;
    struct http_grant grant;
};

struct events {
    struct events_config config;
    char boot[BOOT_CHARS + 1];
    char position[POSITION_MAX];
    uint64_t newest; /* number of the newest event; 0 = none yet */
    /* A ring, written as they go out; event k lies at k % kept_max. Plain memory: buffers count as media memory. */
    struct kept {
        char *text;
        size_t len;
    } * kept;
    unsigned n_kept;
    size_t kept_bytes;
    struct list clients;
    struct list listeners;
    unsigned n_clients;
    uint64_t resets;
    struct loop_timer *keepalive;
};

/* ---- clients ---- */

static void client_free(struct client *c)
{
    list_remove(&c->node);
    c->events->n_clients--;
    free(c);
}

/* The reply is consumed then. */
static void on_gone(void *user)
{
    client_free(user);
}

static void cut(struct client *c)
{
    http_reply_end(c->reply);
    client_free(c);
}

/* false: it reads too slowly, and has been cut off. */
static bool give(struct client *c, struct buf *b)
{
    struct buf *ref = buf_ref(b);
    if (http_reply_write(c->reply, &ref) >= 0) {
        return true;
    }
    cut(c);
    return false;
}

static void give_all(struct events *e, struct buf *b)
{
    int64_t now_ns = clock_mono_ns();
    LIST_FOREACH_SAFE (it, &e->clients) {
        struct client *c = LIST_ENTRY(it, struct client, node);
        if (c->grant.expires_mono_ns != 0 && now_ns >= c->grant.expires_mono_ns) {
            cut(c);
        } else {
            (void)give(c, b);
        }
    }
}

void events_revoke(struct events *e, uint64_t serial)
{
    LIST_FOREACH_SAFE (it, &e->clients) {
        struct client *c = LIST_ENTRY(it, struct client, node);
        if (serial != 0 && c->grant.serial == serial) {
            cut(c);
        }
    }
}

static void on_keepalive(void *user)
{
    struct events *e = user;
    _cleanup_buf_ struct buf *comment = buf_from_str(":\n\n");
    give_all(e, comment);
    if (e->n_clients > 0) {
        loop_timer_start(e->keepalive, e->config.keepalive_ms);
    }
}

/* ---- the ring ---- */

static uint64_t oldest(const struct events *e)
{
    return e->newest - e->n_kept + 1;
}

static void drop_oldest(struct events *e)
{
    struct kept *k = &e->kept[oldest(e) % e->config.kept_max];
    e->kept_bytes -= k->len;
    free(TAKE_PTR(k->text));
    e->n_kept--;
}

static void keep(struct events *e, struct buf *b)
{
    while (e->n_kept > 0 &&
           (e->n_kept == e->config.kept_max || e->kept_bytes + b->len > e->config.kept_bytes_max)) {
        drop_oldest(e);
    }
    e->newest++;
    e->kept[e->newest % e->config.kept_max] = (struct kept){mem_memdup(b->data, b->len), b->len};
    e->kept_bytes += b->len;
    e->n_kept++;
}

const char *events_position(struct events *e)
{
    snprintf(e->position, sizeof(e->position), "%s-%" PRIu64, e->boot, e->newest);
    return e->position;
}

void events_emit(struct events *e, int64_t wall_ns, const char *type, const char *resource,
                 const char *data)
{
    char id[POSITION_MAX];
    char when[CLOCK_RFC3339_MAX];
    _cleanup_(out_done) struct out o = {0};
    snprintf(id, sizeof(id), "%s-%" PRIu64, e->boot, e->newest + 1);
    out_printf(&o, "id: %s\ndata: ", id);
    size_t begin = o.len;
    struct json j = json_init(&o);
    json_object_begin(&j);
    json_put_str(&j, "id", id);
    json_put_str(&j, "time", clock_format_rfc3339(wall_ns, when));
    json_put_str(&j, "type", type);
    json_put_str(&j, "resource", resource);
    json_put_raw(&j, "data", data ? data : "{}");
    json_object_end(&j);
    size_t end = o.len;
    out_puts(&o, "\n\n");
    _cleanup_buf_ struct buf *b = buf_copy(out_view(&o));
    keep(e, b);
    give_all(e, b);
    const struct event told = {.id = id,
                               .type = type,
                               .resource = resource,
                               .wall_ns = wall_ns,
                               .json = BYTES(o.data + begin, end - begin)};
    LIST_FOREACH (it, &e->listeners) {
        const struct events_listener *l = LIST_ENTRY(it, struct events_listener, node);
        l->on_event(l->user, &told);
    }
}

void events_listen(struct events *e, struct events_listener *l)
{
    list_append(&e->listeners, &l->node);
}

void events_unlisten(struct events_listener *l)
{
    list_remove(&l->node);
}

struct events *events_new(struct loop *control, const struct events_config *config)
{
    struct events *e = mem_new(struct events);
    e->config = *config;
    e->config.kept_max = config->kept_max ? config->kept_max : KEPT_MAX;
    e->config.kept_bytes_max = config->kept_bytes_max ? config->kept_bytes_max : KEPT_BYTES_MAX;
    e->config.clients_max = config->clients_max ? config->clients_max : CLIENTS_MAX;
    e->config.keepalive_ms = config->keepalive_ms ? config->keepalive_ms : KEEPALIVE_MS;
    random_id(e->boot, BOOT_CHARS);
    e->kept = mem_new_array(struct kept, e->config.kept_max);
    e->keepalive = loop_timer_new(control, on_keepalive, e);
    list_init(&e->clients);
    list_init(&e->listeners);
    return e;
}

struct events *events_free(struct events *e)
{
    if (!e) {
        return NULL;
    }
    LIST_FOREACH_SAFE (it, &e->clients) {
        struct client *c = LIST_ENTRY(it, struct client, node);
        http_reply_on_gone(c->reply, NULL, NULL);
        http_reply_end(c->reply);
        client_free(c);
    }
    while (e->n_kept > 0) {
        drop_oldest(e);
    }
    loop_timer_free(e->keepalive);
    free(e->kept);
    free(e);
    return NULL;
}

/* ---- the route ---- */

/* The number that a client has seen last, when it is one of this boot that the ring goes on from. */
static bool can_resume(const struct events *e, const char *last_id, uint64_t *ret_seen)
{
    size_t n = strlen(e->boot);
    char *end = NULL;
    if (strncmp(last_id, e->boot, n) != 0 || last_id[n] != '-' || last_id[n + 1] < '0' ||
        last_id[n + 1] > '9') {
        return false;
    }
    errno = 0;
    *ret_seen = strtoull(last_id + n + 1, &end, 10);
    return errno == 0 && *end == '\0' && *ret_seen <= e->newest && *ret_seen + 1 >= oldest(e);
}

static void greet(struct client *c, const char *event)
{
    struct events *e = c->events;
    _cleanup_free_ char *text =
        mem_printf("retry: 2000\nevent: %s\nid: %s\ndata: {\"id\":\"%s\"}\n\n", event,
                   events_position(e), events_position(e));
    _cleanup_buf_ struct buf *b = buf_from_str(text);
    (void)give(c, b);
}

/* false: it has been cut off meanwhile. */
static bool resume(struct client *c, uint64_t seen)
{
    struct events *e = c->events;
    for (uint64_t k = seen + 1; k <= e->newest; k++) {
        const struct kept *kept = &e->kept[k % e->config.kept_max];
        _cleanup_buf_ struct buf *b = buf_copy(BYTES(kept->text, kept->len));
        if (!give(c, b)) {
            return false;
        }
    }
    return true;
}

/* What a client hears first: what it missed, all that is kept, or only where it is. */
static void catch_up(struct client *c, struct http_request *req)
{
    struct events *e = c->events;
    const char *last_id = http_request_header(req, "Last-Event-ID");
    char kept[8] = "";
    uint64_t seen = 0;
    if (last_id && can_resume(e, last_id, &seen)) {
        (void)resume(c, seen);
        return;
    }
    (void)http_request_query_get(req, "kept", kept, sizeof(kept));
    if (!last_id && strcmp(kept, "true") == 0 && !resume(c, e->newest - e->n_kept)) {
        return;
    }
    e->resets += last_id != NULL;
    greet(c, last_id ? "reset" : "start");
}

static void begin(struct http_request *req, struct http_reply *reply)
{
    http_reply_header(reply, "Cache-Control", "no-store");
    /* nginx would gather the stream in its buffers. */
    http_reply_header(reply, "X-Accel-Buffering", "no");
    http_reply_begin(reply, 200, "text/event-stream");
}

static void handle_events(void *user, struct http_request *req, struct http_reply *reply)
{
    struct events *e = user;
    if (http_request_method(req) == HTTP_HEAD) {
        http_reply_send(reply, 200, "text/event-stream", NULL);
        return;
    }
    if (e->n_clients >= e->config.clients_max) {
        struct error err = {0};
        error_set(&err, -EBUSY, "", "%u clients listen to events already", e->n_clients);
        http_reply_problem(reply, 503, "too-many-clients", &err);
        return;
    }
    /* The guard asked on another thread: meanwhile it may have been taken back. */
    const struct http_grant grant = http_request_grant(req);
    if (grant.serial != 0 && e->config.holds &&
        !e->config.holds(e->config.holds_user, grant.serial)) {
        struct error err = {0};
        error_set(&err, -EACCES, "Authorization", "these credentials may not do this any more");
        http_reply_problem(reply, 403, "not-allowed", &err);
        return;
    }
    struct client *c = mem_new(struct client);
    c->events = e;
    c->reply = reply;
    c->grant = grant;
    list_append(&e->clients, &c->node);
    if (e->n_clients++ == 0) {
        loop_timer_start(e->keepalive, e->config.keepalive_ms);
    }
    http_reply_on_gone(reply, on_gone, c);
    begin(req, reply);
    catch_up(c, req);
}

static const struct http_doc_param events_params[] = {
    {"Last-Event-ID", "header",
     "The id of the last event that was seen: what came after it is sent first, or the event `reset` when that is no longer kept.",
     NULL},
    {"kept", "query", "true: all that is kept comes first, then `start`.", "true"},
    {.name = NULL},
};
static const struct http_doc_problem events_problems[] = {
    {503, "too-many-clients", "as many clients listen to events as may"},
    {.status = 0},
};
static const struct http_route_doc events_doc = {
    .text =
        "Server-sent events. The first is `start` or `reset` (the state is to be read anew) with the position as its id; those "
        "that follow have no name, and as data a JSON object with `id`, `time`, `type`, `resource` and `data`. A comment comes "
        "every 15 seconds. A client that reads too slowly is cut off and may come again; so is one whose login, key or user ends. docs/operation.md lists the types.",
    .reply_type = "text/event-stream",
    .reply_text = "The events, without end",
    .params = events_params,
    .problems = events_problems,
};

const struct http_route events_routes[] = {
    {
        .method = HTTP_GET,
        .kind = HTTP_ROUTE_CONTROL,
        .pattern = "/api/v1/events",
        .handle = handle_events,
        .summary = "What happens, as server-sent events; goes on after Last-Event-ID",
        .doc = &events_doc,
        .scope = "read",
    },
};
const unsigned events_routes_n = ARRAY_LEN(events_routes);

void events_metrics(void *user, struct metrics_page *page)
{
    const struct events *e = user;
    metrics_single(page, "mast_events_total", METRIC_COUNTER, "Events that happened.",
                   (double)e->newest);
    metrics_single(page, "mast_event_clients", METRIC_GAUGE, "Clients of the event feed.",
                   e->n_clients);
    metrics_single(page, "mast_event_resets_total", METRIC_COUNTER,
                   "Clients that came back too late to be told what they missed.",
                   (double)e->resets);
    metrics_source_done(page);
}
