/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * HTTP/1.1 server, and HTTP/2 where TLS agrees on it (handlers see no difference, but that a WebSocket needs HTTP/1.1):
 * connections live on media loops and never change loop. A folder exports a static table of routes; the
 * program mounts the tables (design 5, 7). A route is either
 *   media    its handler runs on the connection's loop, and may answer later, stream, or upgrade to a WebSocket;
 *   control  the bounded request is posted to the control loop as one immutable message; the handler answers there by
 *            http_reply(), at once or later; the reply comes back as buffers.
 * Limits: request line 8 KiB, 100 headers, 32 KiB of them, body per route (default 1 MiB); deadlines for header, body and
 * idle, and for a client that does not read its answer; how long a handler takes is its own affair. All refusals are
 * answered with a status and a problem+json body where HTTP still allows it. OPTIONS is answered from the table.
 */
#include "base/buf.h"
#include "base/error.h"
#include "io/conn.h"
#include "io/loop.h"

struct http_server;
struct http_request; /* what was asked; immutable once the handler has it */
struct http_reply;   /* the one answer that is owed for it */

enum http_method {
    HTTP_GET,
    HTTP_HEAD, /* routed as GET; the server drops the body */
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_METHOD_N,
};

enum http_route_kind {
    HTTP_ROUTE_MEDIA,
    HTTP_ROUTE_CONTROL,
};

struct http_route {
    enum http_method method;
    enum http_route_kind kind;
    /*
     * "/api/v1/streams", "/api/v1/streams/{path+}": {name} is one segment, {name+} takes the rest (at least one segment),
     * "/{path+}/mse" matches a suffix. Decoded values. Precedence: literal over {name} over {name+} with suffix over
     * {name+}; verbs come before a greedy end.
     */
    const char *pattern;
    void (*handle)(void *user, struct http_request *req, struct http_reply *reply);
    size_t max_body_bytes; /* 0 = default */
    /* For OpenAPI (api/openapi.c): NULL summary hides the route from the document. */
    const char *summary;
    const struct http_route_doc *doc; /* io/http_doc.h; may be NULL */
    const struct model *body_model;
    const struct model *reply_model;
    const char *scope; /* access scope an API key needs: "read", "admin"; NULL = public */
};

/* ---- request (any thread once posted; strings live as long as the request) ---- */
enum http_method http_request_method(const struct http_request *r);
const char *
http_request_path(const struct http_request *r); /* decoded, normalised, starts with "/" */
const char *http_request_query(const struct http_request *r); /* raw, "" when none */
const char *http_request_param(const struct http_request *r,
                               const char *name); /* of the pattern; NULL when absent */
/* First header of that name (any case), NULL when absent. */
const char *http_request_header(const struct http_request *r, const char *name);
/* Decoded value of a query key into buf; false when absent or too long. */
bool http_request_query_get(const struct http_request *r, const char *key, char *buf, size_t size);
/* The i-th of them, for those that may come in several lines. */
const char *http_request_header_at(const struct http_request *r, const char *name, unsigned i);
struct bytes http_request_body(const struct http_request *r);
const struct conn_addr *http_request_peer(const struct http_request *r);
bool http_request_is_tls(const struct http_request *r);
/* For the guard, when it believes a proxy: who the client behind it is, and whether that one came by TLS. */
void http_request_set_client(struct http_request *r, const struct sockaddr_storage *client,
                             bool tls);
/*
 * What let the request in, as the guard knows it: an answer without end asks whether it still holds. serial 0: nothing that
 * can be taken back; expires_mono_ns 0: never.
 */
struct http_grant {
    uint64_t serial;
    int64_t expires_mono_ns;
};
void http_request_set_grant(struct http_request *r, const struct http_grant *grant);
struct http_grant http_request_grant(const struct http_request *r);
/* Loop the connection lives on. */
struct loop *http_request_loop(const struct http_request *r);
const struct http_route *http_request_route(const struct http_request *r);

/*
 * ---- reply (on the handler's loop) ----
 * Each is consumed exactly once, also when the client has left meanwhile (what is sent then is dropped); the request lives
 * as long as its reply. Replies may outlive http_server_free().
 */
/* Headers before the body; values are checked for CR and LF (asserted). */
void http_reply_header(struct http_reply *p, const char *name, const char *value);
/* The whole answer at once; takes *body's reference (may be NULL). Consumes p. */
void http_reply_send(struct http_reply *p, int status, const char *content_type, struct buf **body);
/* The same for a body in n pieces (at most HTTP_PIECES_MAX), of which it takes references of its own. Media routes. */
#define HTTP_PIECES_MAX 12288
void http_reply_send_pieces(struct http_reply *p, int status, const char *content_type,
                            struct buf *const *pieces, unsigned n);
/* problem+json (RFC 9457): code is the stable machine word ("not-found"), err the field path and sentence. Consumes p. */
void http_reply_problem(struct http_reply *p, int status, const char *code,
                        const struct error *err);
/*
 * A file by descriptor with ranges (RFC 9110 14; several ranges at once are answered with the whole), conditions, ETag and
 * Last-Modified; takes fd. Consumes p. Media routes; read on the loop, so for files that are in the page cache.
 */
void http_reply_file(struct http_reply *p, int fd, const char *content_type,
                     const char *cache_control);
/*
 * Streamed answer (chunked): begin, then writes until end, which consumes p. on_gone (any time before the end, also while a
 * whole answer is owed) tells that the client left: p is consumed then, and must not be touched. Without on_gone, writes
 * return -EPIPE from then on. After a negative return only http_reply_end() is left to call.
 */
void http_reply_begin(struct http_reply *p, int status, const char *content_type);
int http_reply_write(struct http_reply *p,
                     struct buf **b); /* -ENOBUFS: over the bound (1 MiB queued), stream is cut */
void http_reply_end(struct http_reply *p);
void http_reply_on_gone(struct http_reply *p, void (*on_gone)(void *user), void *user);
/* Media routes: takes the connection off HTTP after a WebSocket handshake; see io/ws.h. */

/* ---- server (control thread) ---- */
struct http_server_config {
    const char *server_name;    /* Server header; NULL = none */
    unsigned header_timeout_ms; /* 10000 */
    unsigned body_timeout_ms; /* 30000 without progress (1 KiB of a body, any byte of an answer) */
    unsigned idle_timeout_ms; /* 60000 keep-alive */
    size_t max_body_bytes;    /* 1 MiB */
    /*
     * Runs before the body is read and before the handler, on the connection's loop, for every routed request: false = it
     * has replied (401, 403, ...), or keeps the reply and will.
     */
    bool (*guard)(void *user, struct http_request *req, struct http_reply *reply);
    void *guard_user;
};
struct http_server *http_server_new(const struct http_server_config *config, struct loop *control);
/* Before the first listener. Tables are static and stay valid; user is passed to each handler. Asserts on ambiguous patterns. */
void http_server_mount(struct http_server *s, const struct http_route *routes, unsigned n,
                       void *user);
/* Calls each for every mounted route, for OpenAPI. */
void http_server_each_route(struct http_server *s,
                            void (*each)(void *arg, const struct http_route *r), void *arg);
int http_server_listen(struct http_server *s, const struct listener_config *config,
                       struct loop *const *loops, unsigned n_loops, struct error *err);
/* Closes the i-th listener; those behind it move up. Its connections go on. */
void http_server_unlisten(struct http_server *s, unsigned i);
struct listener *http_server_listener(struct http_server *s, unsigned i); /* NULL past the last */
uint64_t http_server_live(const struct http_server *s);                   /* connections */
uint64_t http_server_live_http2(const struct http_server *s); /* those of them by HTTP/2 */
/*
 * Stops listening, ends connections (waits for the loops), frees. Replies still owed are dropped when they come; on_gone is
 * called for control replies before this returns. WebSockets have left the server and are closed by their owners.
 */
struct http_server *http_server_free(struct http_server *s);
