/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The event feed: what happens, numbered, kept in a bounded ring and sent to whoever listens on GET /api/v1/events as
 * server-sent events (WHATWG HTML 9.2). Control loop only.
 *
 * An id is "<boot>-<number>": numbers rise by one within a boot. A client that comes back with Last-Event-ID gets what it
 * missed, or the event `reset` when the ring no longer has it or another process answers: then it reads the state anew. A
 * client without one is told `start` with its position. Those two have an SSE event name; all others come as messages, their
 * type is in the data, so that types of the future reach every client.
 */
#include "api/metrics.h"
#include "base/json.h"
#include "base/list.h"
#include "io/http.h"

struct events;

/* Zero means the default given. */
struct events_config {
    unsigned kept_max;     /* events in the ring; 1024 */
    size_t kept_bytes_max; /* and their bytes; 512 KiB */
    unsigned clients_max;  /* 256 */
    unsigned
        keepalive_ms; /* a comment, so that nobody between takes the silence for the end; 15000 */
    /* Whether what the guard let a request in by (http_request_grant()) still holds; NULL = yes. Control thread. */
    bool (*holds)(void *user, uint64_t serial);
    void *holds_user;
};
struct events *events_new(struct loop *control, const struct events_config *config);
/* After the HTTP server. NULL is fine; returns NULL. */
struct events *events_free(struct events *e);

/* An event as listeners inside the program see it; valid during the call. */
struct event {
    const char *id;
    const char *type;
    const char *resource;
    int64_t wall_ns;
    struct bytes json; /* all of it, as the feed sends it */
};
/*
 * Told of each event after the feed's clients. Embedded in the listener, which takes itself off before it goes, and before
 * events_free(). on_event must not emit, nor add or remove listeners: it notes, and acts later.
 */
struct events_listener {
    struct list node; /* private */
    void (*on_event)(void *user, const struct event *e);
    void *user;
};
void events_listen(struct events *e, struct events_listener *l);
void events_unlisten(struct events_listener *l);

/*
 * type: "stream.published"; resource: what it is about, as under /api/v1: "streams/live/cam-1"; data: a JSON object as
 * text, NULL = {}. wall_ns: when it happened. Secrets never.
 */
void events_emit(struct events *e, int64_t wall_ns, const char *type, const char *resource,
                 const char *data);
/* Cuts off who listens by a grant of this serial. */
void events_revoke(struct events *e, uint64_t serial);
/* "<boot>-<number>" of the newest, valid until the next. */
const char *events_position(struct events *e);

/* A metrics source; user is the struct events. */
void events_metrics(void *user, struct metrics_page *page);

/* GET /api/v1/events; user is the struct events. */
extern const struct http_route events_routes[];
extern const unsigned events_routes_n;
