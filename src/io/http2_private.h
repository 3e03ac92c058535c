/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The inside of HTTP/2 (RFC 9113); only src/io/http2*.c, http_conn.c and the fuzz target include it. Framing, HPACK and flow
 * control are nghttp2's, used without I/O; what a client may cost is counted here, because the library's own counts differ
 * between versions. The connection's loop.
 *
 *   http2_conn    a connection: one nghttp2 session, the streams, what is left to write.
 *   http2_stream  the carrier of one exchange; freed when nghttp2 closes the stream, which happens only inside its calls to
 *                 send and receive, so that a handler never loses the stream it is called for.
 *   http2_head    a header block that is coming; there is at most one, because blocks cannot be interleaved.
 *
 * Bodies are references: a DATA frame is nine bytes and views into the buffers that all readers share, which TLS gathers into
 * its record. Frames are taken from nghttp2 only as the socket takes them, at most HTTP2_OUT_MAX ahead, so that streams share
 * the connection fairly and a slow reader holds references, not copies.
 */
#include "base/buf_queue.h"
#include "io/http_private.h"

#include <nghttp2/nghttp2.h>

#define HTTP2_STREAMS_MAX 100         /* at a time */
#define HTTP2_OUT_MAX     (64 * 1024) /* taken from nghttp2 ahead of the socket */
#define HTTP2_BODIES_MAX                                                                           \
    (4 * 1024 *                                                                                    \
     1024) /* of all requests of one connection together; one may have what its route allows */
#define HTTP2_CONTINUATIONS_MAX 8 /* CONTINUATION frames of one header block */
#define HTTP2_HEAD_BOMB         (4 * HTTP_FIELDS_BYTES_MAX) /* decoded size that ends the connection */

/* ---- http2_head.c: a header block becomes the head of a request ---- */

/* list_bytes counts as RFC 9113 6.5.2 does: name, value and 32. */
struct http2_head {
    int32_t stream;
    bool trailers;
    struct out text; /* every string followed by a NUL */
    struct out cookie;
    struct textmsg m; /* slices of text */
    struct textmsg_slice scheme;
    struct textmsg_slice authority;
    struct textmsg_slice host;
    bool has_length;
    uint64_t length;
    size_t list_bytes;
    unsigned fields;
    int status; /* what to refuse it with; 0 = nothing wrong so far */
    struct error err;
};

struct http2_head *http2_head_new(int32_t stream, bool trailers);
struct http2_head *http2_head_free(struct http2_head *d); /* returns NULL */
/* False: larger than anything that is worth going on with. */
bool http2_head_field(struct http2_head *d, struct bytes name, struct bytes value);
/* nghttp2 would leave this field out; we refuse the request. */
void http2_head_invalid(struct http2_head *d);
/* After the last field: 0, or the status to refuse with and d->err. Then d->m is as after textmsg_parse(). */
int http2_head_finish(struct http2_head *d);

/* ---- http2_flood.c: patience ---- */

/*
 * Frames that cost us something and bring nothing are paid from an allowance, which time and answers that are really read
 * fill up again. A client that has used it up is cut off. One allowance for all kinds: attacks mix them.
 */
struct http2_patience {
    int64_t points;
    int64_t at_ns;
};

void http2_patience_init(struct http2_patience *p, int64_t now);
/* A frame came or an error frame had to be sent. False: out of patience. */
bool http2_patience_spend(struct http2_patience *p, unsigned cost, int64_t now);
void http2_patience_earn(struct http2_patience *p, unsigned points);
/* What a received frame costs. */
unsigned http2_frame_cost(const nghttp2_frame_hd *hd);
#define HTTP2_COST_RESET                                                                           \
    5 /* a stream that ends before its answer, whoever ended it: CVE-2023-44487 and its kin */
#define HTTP2_COST_INVALID 20  /* a frame that nghttp2 refuses without ending the connection */
#define HTTP2_WASTE_BYTES  256 /* so many bytes of ignored frames cost 1 */
#define HTTP2_EARN_DATA    2   /* a DATA frame went out: the client reads */

/* ---- http2_stream.c: carriers ---- */

enum http2_stream_state {
    HTTP2_STREAM_HEAD,   /* its header block is coming */
    HTTP2_STREAM_BODY,   /* its body is being read */
    HTTP2_STREAM_REPLY,  /* the handler owes the answer, or streams it */
    HTTP2_STREAM_SEND,   /* the answer is complete, but not yet taken by the socket */
    HTTP2_STREAM_DOOMED, /* reset by us; nghttp2 closes it soon */
    HTTP2_STREAM_STATE_N,
};

struct http2_conn;

struct http2_stream {
    struct list node; /* in the connection's */
    struct http_carrier on;
    struct http2_conn *h;
    enum http2_stream_state state;
    int32_t id;
    bool remote_done; /* the client has sent all it had to */
    bool ended;       /* nothing will be added to the queue */
    bool streaming;
    struct buf_queue queue; /* of the answer's body */
    struct http_file *file; /* behind the queue */
    size_t body_bytes;      /* of the request, as counted in the connection */
    size_t ack;       /* streamed bytes to report to the control loop when the queue has drained */
    int64_t until_ns; /* deadline; 0 = none */
};

struct http2_stream *http2_stream_new(struct http2_conn *h, int32_t id);
/* The stream is over: what was owed for it hears so. */
void http2_stream_free(struct http2_stream *s);
/* What came of the request's body. */
void http2_stream_take(struct http2_stream *s, struct bytes piece);
void http2_stream_remote_done(struct http2_stream *s);
void http2_stream_expire(struct http2_stream *s);
/* nghttp2 wants up to max bytes of the body; NGHTTP2_ERR_DEFERRED when there are none yet. */
ssize_t http2_stream_offer(struct http2_stream *s, size_t max, uint32_t *flags);
/* len bytes of the queue have been taken. */
void http2_stream_sent(struct http2_stream *s, size_t len);

/* ---- http2.c: the connection ---- */

/* A run of bytes to write: of b, or, when that is NULL, of text. */
struct http2_segment {
    struct buf *b;
    size_t at;
    size_t len;
};

/* Frames that nghttp2 gave out and the socket has not taken; freed when empty. */
struct http2_out {
    struct out text; /* frame heads, frames without a body, small pieces */
    struct http2_segment *segments;
    unsigned n;
    unsigned cap;
    unsigned first; /* segments before it are written */
    size_t done;    /* bytes of the first */
    size_t bytes;   /* left */
};

struct http2_conn {
    struct http_link link;
    nghttp2_session *session;
    bool closed; /* it is being taken down: nothing may be scheduled any more */
    struct list streams;
    unsigned n_streams;
    size_t body_bytes; /* of requests, in all streams */
    struct http2_head *head;
    unsigned continuations;
    struct http2_patience patience;
    uint64_t received; /* bytes, less those that were charged as waste */
    uint64_t useful;   /* bytes of the frames that nghttp2 has looked at */
    const char *fault; /* why it has to end, found inside a callback; NULL = it has not */
    struct http2_out *out;
    bool blocked; /* the socket is full: neither reading nor asking nghttp2 for more */
    struct loop_task flush;
    struct loop_timer *timer;
    int64_t timer_ns; /* when it runs; 0 = it does not */
    /* Deadlines; 0 = none. */
    int64_t idle_ns;
    int64_t head_ns;
    int64_t blocked_ns;
    uint64_t progress; /* bytes out when blocked_ns was set */
};

/* An open connection whose client chose h2; takes c. */
void http2_accept(struct http_worker *w, struct conn *c);
/* nghttp2 has something to write, or will soon. */
void http2_schedule(struct http2_conn *h);
/* Sets *until to ms from now and sees to it that somebody looks then; 0 = none. */
void http2_set_deadline(struct http2_conn *h, int64_t *until, unsigned ms);
