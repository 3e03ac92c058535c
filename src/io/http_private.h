/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The inside of the HTTP server; only src/io/http_*.c and ws.c include it.
 *
 *   http_server  made on the control thread; atomically counted, because replies and messages outlive http_server_free().
 *   http_worker  its part on one media loop: the connections there, named by (slot, generation).
 *   http_conn    one connection; media loop. Parses, owes one answer at a time, frees itself.
 *   http_reply   one exchange: the request, immutable once its handler has it, and the answer, which belongs to the handler's
 *                loop. Two references: the handler's, until it has consumed the reply, and the connection's, until the
 *                answer is complete or the client is gone. For a control route it travels: as a message to the control
 *                loop with the request, back with the whole answer in it. Nobody ever looks at it from two threads at once.
 *
 * A control reply finds its connection by id, never by pointer; the other way round, "the client is gone" is a message
 * that holds the connection's reference to the exchange.
 */
#include "base/list.h"
#include "base/textmsg.h"
#include "io/http.h"
#include "io/http_router.h"
#include "io/http_wire.h"

#include <stdatomic.h>

#define HTTP_LINE_MAX         8192
#define HTTP_FIELDS_BYTES_MAX 32768
#define HTTP_PIPELINE_MAX                                                                          \
    (16 * 1024) /* read ahead while an answer is owed; then reading is paused */
#define HTTP_QUEUE_LOW     (64 * 1024) /* the next pipelined request waits until the queue is below */
#define HTTP_STREAM_MAX    (1024 * 1024) /* of a streamed answer, queued */
#define HTTP_FILE_PIECE    (64 * 1024)
#define HTTP_BODY_PROGRESS 1024 /* this many bytes of a body move its deadline */
#define HTTP_CLOSE_MS      2000
#define HTTP_LISTENERS_MAX 16

struct http_header {
    const char *name;
    const char *value;
};

struct http_request_param {
    struct bytes name;
    const char *value;
};

struct http_request {
    enum http_method method;
    bool tls;
    unsigned n_headers;
    unsigned n_params;
    const struct http_route *route;
    void *route_user;
    struct loop *loop;
    const char *path;
    const char *query;
    const struct http_header *headers;
    struct http_request_param params[HTTP_PARAMS_MAX];
    uint8_t *body;
    size_t body_len;
    size_t body_cap;
    struct conn_addr peer;
};

enum http_reply_state {
    HTTP_REPLY_OWED,
    HTTP_REPLY_STREAMING,
    HTTP_REPLY_DONE, /* consumed by its handler */
};

struct http_conn_id {
    unsigned worker;
    uint32_t slot;
    uint32_t generation;
    uint32_t request; /* counts on the connection */
};

struct http_reply {
    atomic_uint refs;
    struct http_server *server; /* counted */
    struct http_conn_id id;
    struct loop_msg msg;      /* to the control loop, and back */
    struct loop_msg gone_msg; /* the client left */

    /* The handler's loop. */
    enum http_reply_state state;
    bool on_control; /* that loop is the control loop */
    bool gone;
    struct http_conn *conn; /* media replies; NULL once gone */
    struct list node;       /* control replies: in the server's list */
    void (*on_gone)(void *user);
    void *gone_user;
    struct out headers; /* lines with their CRLF */
    int status;
    struct buf *body;
    size_t unacked; /* streamed from the control loop and not yet with the kernel */

    struct http_request req; /* its strings are behind this struct, in the same allocation */
};

enum http_conn_state {
    HTTP_CONN_IDLE,   /* nothing of a request is there */
    HTTP_CONN_HEAD,   /* some of its head is */
    HTTP_CONN_BODY,   /* its body is being read */
    HTTP_CONN_REPLY,  /* the handler owes the answer, or streams it */
    HTTP_CONN_FLUSH,  /* the answer is complete, but not yet with the kernel */
    HTTP_CONN_CLOSED, /* freed as soon as nothing up the stack uses it */
    HTTP_CONN_STATE_N,
};

struct http_file {
    int fd;
    uint64_t at;
    uint64_t left;
};

struct http_conn {
    struct conn *c;
    struct http_worker *worker;
    struct http_conn_id id;
    enum http_conn_state state;
    bool processing; /* run() is on the stack */
    bool keep_alive;
    bool http10;
    bool head_method;
    bool unread_body; /* an answer was given before the body came: close after it */
    bool streaming;
    bool paused;
    enum textmsg_body body;
    uint64_t body_left;
    size_t body_mark; /* length at which the body's deadline was set last */
    struct textmsg_chunked chunked;
    struct bytes view;        /* input that is being looked at; inside run() only */
    struct out in;            /* input kept between calls; freed when empty */
    struct textmsg *msg;      /* a head that came in part; NULL else */
    struct http_reply *reply; /* one reference */
    struct http_file *file;
    size_t ack; /* streamed bytes to report to the control loop when the queue has drained */
    struct loop_timer *timer;
    int64_t deadline_ns; /* 0 = none */
    int64_t timer_ns;    /* when the timer runs; 0 = it does not */
    uint64_t progress;   /* bytes out when the deadline was set */
};

struct http_slot {
    struct http_conn *conn; /* NULL = free */
    uint32_t generation;
    uint32_t next_free;
};

struct http_worker {
    struct http_server *server;
    struct loop *loop;
    unsigned index;
    struct http_slot *slots;
    uint32_t n_slots;
    uint32_t first_free; /* UINT32_MAX = none */
    int64_t date_s;
    char date[HTTP_DATE_MAX];
    struct textmsg msg; /* for heads that come in one piece: the usual case */
};

struct http_server {
    atomic_uint refs;
    atomic_uint_fast64_t live;
    struct http_server_config config;
    char *server_name;
    struct loop *control;
    struct http_router *router;
    unsigned n_workers;
    struct http_worker *workers[LOOPS_MAX + 1];
    unsigned n_listeners;
    struct listener *listeners[HTTP_LISTENERS_MAX];
    /* Control loop. */
    bool closed;
    struct list control_replies;
};

/* http_server.c */
struct http_server *http_server_ref(struct http_server *s);
void http_server_unref(struct http_server *s);
/* The connection of that id, if it still waits for the answer to that very request. Worker's loop. */
struct http_conn *http_conn_find(struct http_server *s, const struct http_conn_id *id);
void http_worker_add(struct http_worker *w, struct http_conn *hc);
void http_worker_remove(struct http_worker *w, struct http_conn *hc);

/* http_conn.c: input and life; the connection's loop. What may free hc says so. */
void http_conn_accept(struct http_worker *w, struct conn *c);
/* Closes at once; the client is gone for whoever owes it an answer. May free hc. */
void http_conn_close(struct http_conn *hc);
/* 0 = none. */
void http_conn_set_deadline(struct http_conn *hc, unsigned ms);
/* The answer is complete and lies in the queue: next request, or the end. May free hc. */
void http_conn_answered(struct http_conn *hc);
/* Sends head and takes the connection off HTTP, with the bytes that came after the request. May free hc. */
struct conn *http_conn_upgrade(struct http_conn *hc, struct bytes head, struct out *ret_rest);

/* http_answer.c: output; the connection's loop. Each may free hc. */
/* headers are lines with CRLF. Takes *body's reference (may be NULL). Completes the exchange. */
void http_conn_answer(struct http_conn *hc, int status, struct bytes headers, struct buf **body);
/* The same for a body in pieces, of which it takes references of its own. */
void http_conn_answer_pieces(struct http_conn *hc, int status, struct bytes headers,
                             struct buf *const *pieces, unsigned n);
/* problem+json without an exchange, as refusals need it. */
void http_conn_answer_problem(struct http_conn *hc, int status, const char *code,
                              struct bytes headers, const struct error *err);
/* The same with len bytes of fd from at on; takes fd. */
void http_conn_answer_file(struct http_conn *hc, int status, struct bytes headers, int fd,
                           uint64_t at, uint64_t len);
/* Queues more of the file. */
void http_conn_pump_file(struct http_conn *hc);
void http_conn_stream_begin(struct http_conn *hc, int status, struct bytes headers);
/* -ENOBUFS: over the bound, nothing is queued and the caller aborts. ack: tell the control loop when it is out. */
int http_conn_stream_write(struct http_conn *hc, struct buf **b, bool ack);
void http_conn_stream_end(struct http_conn *hc);

/* http_request.c */
/*
 * Makes an exchange out of a head. Returns 0, or the status to refuse with and err. On success: two references, the
 * connection's and the handler's.
 */
int http_request_build(const struct textmsg *m, size_t head_len, struct http_conn *hc,
                       struct http_reply **ret, struct error *err);
/* Takes over what the router found. */
void http_request_route_to(struct http_request *r, const struct http_match *match);
/* Appends to the body, at most max bytes in all (checked by the caller). -ENOMEM. */
int http_request_append(struct http_request *r, struct bytes piece, size_t max);

/* http_reply.c */
void http_reply_unref(struct http_reply *p);
/* Hands the complete request to its handler, here or on the control loop. */
void http_reply_dispatch(struct http_reply *p);
/* The connection's loop: the client left. Drops the connection's reference. */
void http_reply_client_gone(struct http_reply *p);
/* Control loop: the same for the server's end; on_gone runs, the handler keeps or loses its reference as ever. */
void http_reply_control_gone(struct http_reply *p);
/* Media routes: http_conn_upgrade(), and p is consumed. */
struct conn *http_reply_upgrade(struct http_reply *p, struct bytes head, struct out *ret_rest);
/* Connection's loop: n streamed bytes of a control reply are out. */
void http_reply_ack(struct http_reply *p, size_t n);
