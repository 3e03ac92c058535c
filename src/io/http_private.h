/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The inside of the HTTP server; only src/io/http_*.c and ws.c include it.
 *
 *   http_server  made on the control thread; atomically counted, because replies and messages outlive http_server_free().
 *   http_worker  its part on one media loop: the connections there, named by (slot, generation).
 *   http_link    a connection as the server knows it, named by (slot, generation): http_conn or http2_conn embed it.
 *   http_carrier the near end of one exchange, where its body comes from and its answer goes to: the HTTP/1.1 connection
 *                itself, which has one exchange at a time, or an HTTP/2 stream. What both do alike is in http_carrier.c;
 *                what differs is a table of operations.
 *   http_conn    one HTTP/1.1 connection; media loop. Parses, owes one answer at a time, frees itself. (http2_private.h has
 *                the other kind.)
 *   http_reply   one exchange: the request, immutable once its handler has it, and the answer, which belongs to the handler's
 *                loop. Two references: the handler's, until it has consumed the reply, and the carrier's, until the
 *                answer is complete or the client is gone. For a control route it travels: as a message to the control
 *                loop with the request, back with the whole answer in it. Nobody ever looks at it from two threads at once.
 *
 * A control reply finds its carrier by id, never by pointer; the other way round, "the client is gone" is a message
 * that holds the carrier's reference to the exchange.
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
    struct http_grant grant;
};

enum http_reply_state {
    HTTP_REPLY_OWED,
    HTTP_REPLY_STREAMING,
    HTTP_REPLY_DONE, /* consumed by its handler */
};

struct http_link_id {
    unsigned worker;
    uint32_t slot;
    uint32_t generation;
};

struct http_link;
struct http_carrier;

struct http_link_ops {
    /* The carrier of that number, if it still waits for its answer. */
    struct http_carrier *(*find)(struct http_link *l, uint32_t number);
    /* Closes at once; the client is gone for whoever owes it an answer. May free the link. */
    void (*close)(struct http_link *l);
};

struct http_link {
    const struct http_link_ops *ops;
    struct http_worker *worker;
    struct conn *c;
    struct http_link_id id;
};

/* Each may free the carrier. headers are lines with their CRLF. */
struct http_carrier_ops {
    /* The whole answer, with a body in n pieces, of which it takes references of its own. Completes the exchange. */
    void (*answer)(struct http_carrier *on, int status, struct bytes headers,
                   struct buf *const *pieces, unsigned n);
    /* The same with len bytes of fd from at on; takes fd. */
    void (*answer_file)(struct http_carrier *on, int status, struct bytes headers, int fd,
                        uint64_t at, uint64_t len);
    void (*stream_begin)(struct http_carrier *on, int status, struct bytes headers);
    /* -ENOBUFS: over the bound, nothing is queued and the caller aborts. ack: tell the control loop when it is out. */
    int (*stream_write)(struct http_carrier *on, struct buf **b, bool ack);
    void (*stream_end)(struct http_carrier *on);
    /* Breaks the answer off, so that the client cannot take it for a whole one. The exchange hears that the client is gone. */
    void (*abort)(struct http_carrier *on);
    /* The exchange is its handler's now. */
    void (*hand_over)(struct http_carrier *on);
    /* Its body is to be read first; leave: the client waits for leave to send it. */
    void (*read_body)(struct http_carrier *on, bool leave);
    /* Sends head and takes the connection off HTTP, with the bytes that came after the request. NULL: cannot be done. */
    struct conn *(*upgrade)(struct http_carrier *on, struct bytes head, struct out *ret_rest);
};

struct http_carrier {
    const struct http_carrier_ops *ops;
    struct http_link *link;
    uint32_t number; /* of the exchange on its link; never used again before the link is */
    bool http10;
    bool head_method;
    bool
        unread_body; /* the client has not sent all of the body, or it cannot be told where that ends */
    size_t body_mark;         /* length at which the body's deadline was set last */
    struct http_reply *reply; /* one reference; NULL when nothing is owed */
};

struct http_reply {
    atomic_uint refs;
    struct http_server *server; /* counted */
    struct http_link_id link;
    uint32_t number;          /* of the carrier there */
    struct loop_msg msg;      /* to the control loop, and back */
    struct loop_msg gone_msg; /* the client left */

    /* The handler's loop. */
    enum http_reply_state state;
    bool on_control; /* that loop is the control loop */
    bool gone;
    struct http_carrier *on; /* media replies; NULL once gone */
    struct list node;        /* control replies: in the server's list */
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
    struct http_link link;
    struct http_carrier on;
    enum http_conn_state state;
    bool processing; /* run() is on the stack */
    bool keep_alive;
    bool streaming;
    bool paused;
    enum textmsg_body body;
    uint64_t body_left;
    struct textmsg_chunked chunked;
    struct bytes view;      /* input that is being looked at; inside run() only */
    struct out in;          /* input kept between calls; freed when empty */
    struct textmsg *msg;    /* a head that came in part; NULL else */
    struct http_file *file; /* what is left to send of it */
    size_t ack; /* streamed bytes to report to the control loop when the queue has drained */
    struct loop_timer *timer;
    int64_t deadline_ns; /* 0 = none */
    int64_t timer_ns;    /* when the timer runs; 0 = it does not */
    uint64_t progress;   /* bytes out when the deadline was set */
};

struct http_slot {
    struct http_link *link; /* NULL = free */
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
    int64_t fault_ns;   /* when a client that was cut off was logged last; 0 = never */
    unsigned faults_unsaid;
};

struct http_server {
    atomic_uint refs;
    atomic_uint_fast64_t live;
    atomic_uint_fast64_t live_http2; /* of them */
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
/* The carrier of that number on that link, if it still waits for its answer. Worker's loop. */
struct http_carrier *http_carrier_find(struct http_server *s, const struct http_link_id *id,
                                       uint32_t number);
void http_worker_add(struct http_worker *w, struct http_link *l);
void http_worker_remove(struct http_worker *w, struct http_link *l);
/* The Date header's value of this second. */
const char *http_worker_date(struct http_worker *w);

/* http_carrier.c: what carriers do alike; the carrier's loop. What may free the carrier says so. */
#define HTTP_BODY_UNKNOWN UINT64_MAX
/*
 * A head is complete: makes the exchange, routes it, asks the guard, and hands it over or has its body read. announced: length
 * of the body, 0 = none, HTTP_BODY_UNKNOWN = some. May free on.
 */
void http_carrier_begin(struct http_carrier *on, const struct textmsg *m, size_t head_len,
                        uint64_t announced);
/* Answers a request that no handler has seen; what follows it cannot be trusted, unless the carrier knows better. May free on. */
void http_carrier_refuse(struct http_carrier *on, int status, const struct error *err);
/* Appends to the body. 1: the body made progress, its deadline moves; 0: taken; negative: refused. May free on then. */
int http_carrier_take_body(struct http_carrier *on, struct bytes piece);
/* The body is complete. May free on. */
void http_carrier_body_done(struct http_carrier *on);
/* The answer is given: from here on the exchange owes nothing. */
void http_carrier_release(struct http_carrier *on);
/* The exchange ends without a handler: the handler's reference goes. */
void http_carrier_drop(struct http_carrier *on);
size_t http_carrier_max_body(const struct http_carrier *on);

/* http_conn.c: input and life of HTTP/1.1; the connection's loop. What may free hc says so. */
extern const struct http_carrier_ops http_conn_carrier_ops; /* http_answer.c */
void http_conn_accept(struct http_worker *w, struct conn *c);
/* Closes at once; the client is gone for whoever owes it an answer. May free hc. */
void http_conn_close(struct http_conn *hc);
/* 0 = none. */
void http_conn_set_deadline(struct http_conn *hc, unsigned ms);
/* The answer is complete and lies in the queue: next request, or the end. May free hc. */
void http_conn_answered(struct http_conn *hc);
void http_conn_hand_over(struct http_carrier *on);
void http_conn_read_body(struct http_carrier *on, bool leave);
struct conn *http_conn_upgrade(struct http_carrier *on, struct bytes head, struct out *ret_rest);
/* Queues more of the file. May free hc. */
void http_conn_pump_file(struct http_conn *hc);

/* http_file.c: what is left to send of a file. */
struct http_file *http_file_new(int fd, uint64_t at, uint64_t len); /* takes fd */
/* The next piece, of at most max bytes. NULL: it shrank, or the disk failed. */
struct buf *http_file_next(struct http_file *f, size_t max);
struct http_file *http_file_free(struct http_file *f); /* returns NULL */

/* http_request.c */
/*
 * Makes an exchange out of a head, and gives it to its carrier. Returns 0, or the status to refuse with and err. On success:
 * two references, the carrier's and the handler's. Of m it needs what HTTP/2 has as well: the text behind base, slices that
 * are followed by a byte which belongs to none, and the version.
 */
int http_request_build(const struct textmsg *m, size_t head_len, struct http_carrier *on,
                       struct error *err);
/* Takes over what the router found. */
void http_request_route_to(struct http_request *r, const struct http_match *match);
/* Appends to the body, at most max bytes in all (checked by the caller). -ENOMEM. */
int http_request_append(struct http_request *r, struct bytes piece, size_t max);

/* http_reply.c */
void http_reply_unref(struct http_reply *p);
/* Hands the complete request to its handler, here or on the control loop. */
void http_reply_dispatch(struct http_reply *p);
/* The carrier's loop: the client left. Drops the carrier's reference. */
void http_reply_client_gone(struct http_reply *p);
/* Control loop: the same for the server's end; on_gone runs, the handler keeps or loses its reference as ever. */
void http_reply_control_gone(struct http_reply *p);
/* Media routes: its carrier can leave HTTP. */
bool http_reply_may_upgrade(const struct http_reply *p);
/* The carrier's upgrade, and p is consumed. */
struct conn *http_reply_upgrade(struct http_reply *p, struct bytes head, struct out *ret_rest);
/* Carrier's loop: n streamed bytes of a control reply are out. */
void http_reply_ack(struct http_reply *p, size_t n);
