/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http2_private.h"

#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <strings.h>

LOG_TOPIC(topic, "io.http2");

/*
 * A stream as the carrier of an exchange. Answers are queued here and pulled by nghttp2 as windows and the socket allow
 * (http2.c); nothing in this file writes.
 */

static const struct http_carrier_ops carrier_ops;

static const struct http_server_config *config_of(const struct http2_stream *s)
{
    return &s->h->link.worker->server->config;
}

static void set_deadline(struct http2_stream *s, unsigned ms)
{
    http2_set_deadline(s->h, &s->until_ns, ms);
}

/* ---- life ---- */

#define TO(x) (1u << HTTP2_STREAM_##x)
static const unsigned transitions[] = {
    [HTTP2_STREAM_HEAD] = TO(REPLY) | TO(SEND) | TO(DOOMED),
    [HTTP2_STREAM_BODY] = TO(REPLY) | TO(SEND) | TO(DOOMED),
    [HTTP2_STREAM_REPLY] = TO(BODY) | TO(SEND) | TO(DOOMED),
    [HTTP2_STREAM_SEND] = TO(DOOMED),
    [HTTP2_STREAM_DOOMED] = 0,
};
_Static_assert(ARRAY_LEN(transitions) == HTTP2_STREAM_STATE_N, "one row a state");

static void set_state(struct http2_stream *s, enum http2_stream_state state)
{
    assert(transitions[s->state] & 1u << state);
    s->state = state;
    switch (state) {
    case HTTP2_STREAM_BODY:
    case HTTP2_STREAM_SEND:
        set_deadline(s, config_of(s)->body_timeout_ms);
        break;
    case HTTP2_STREAM_HEAD:
    case HTTP2_STREAM_REPLY:
    case HTTP2_STREAM_DOOMED:
    case HTTP2_STREAM_STATE_N:
        /* The head's deadline is the connection's; how long an answer may take is known to its handler only. */
        set_deadline(s, 0);
        break;
    }
}

struct http2_stream *http2_stream_new(struct http2_conn *h, int32_t id)
{
    struct http2_stream *s = mem_new(struct http2_stream);
    s->h = h;
    s->id = id;
    s->on.ops = &carrier_ops;
    s->on.link = &h->link;
    s->on.number = (uint32_t)id;
    list_append(&h->streams, &s->node);
    h->n_streams++;
    return s;
}

void http2_stream_free(struct http2_stream *s)
{
    if (s->state == HTTP2_STREAM_BODY) {
        http_carrier_drop(&s->on);
    }
    struct http_reply *p = TAKE_PTR(s->on.reply);
    list_remove(&s->node);
    s->h->n_streams--;
    s->h->body_bytes -= s->body_bytes;
    buf_queue_clear(&s->queue);
    s->file = http_file_free(s->file);
    if (p) {
        http_reply_client_gone(p);
    }
    free(s);
}

/* The answer cannot be completed: the client must see that. */
static void doom(struct http2_stream *s, uint32_t code)
{
    if (s->state == HTTP2_STREAM_DOOMED) {
        return;
    }
    if (s->state == HTTP2_STREAM_BODY) {
        http_carrier_drop(&s->on);
    }
    set_state(s, HTTP2_STREAM_DOOMED);
    (void)nghttp2_submit_rst_stream(s->h->session, NGHTTP2_FLAG_NONE, s->id, code);
    http2_schedule(s->h);
    struct http_reply *p = TAKE_PTR(s->on.reply);
    if (p) {
        http_reply_client_gone(p);
    }
}

/* ---- the request's body ---- */

void http2_stream_take(struct http2_stream *s, struct bytes piece)
{
    struct http2_conn *h = s->h;
    struct error err;
    if (s->state != HTTP2_STREAM_BODY) {
        return; /* refused, or answered without it */
    }
    if (h->body_bytes > s->body_bytes && h->body_bytes + piece.len > HTTP2_BODIES_MAX) {
        error_set(&err, -ENOBUFS, "", "too many bodies at once on one connection");
        http_carrier_refuse(&s->on, 503, &err);
        return;
    }
    int r = http_carrier_take_body(&s->on, piece);
    if (r < 0) {
        return;
    }
    h->body_bytes += piece.len;
    s->body_bytes += piece.len;
    if (r > 0) {
        set_deadline(s, config_of(s)->body_timeout_ms);
    }
}

void http2_stream_remote_done(struct http2_stream *s)
{
    s->remote_done = true;
    if (s->state == HTTP2_STREAM_BODY) {
        http_carrier_body_done(&s->on);
    }
}

void http2_stream_expire(struct http2_stream *s)
{
    struct error err;
    s->until_ns = 0;
    switch (s->state) {
    case HTTP2_STREAM_BODY:
        error_set(&err, -ETIMEDOUT, "", "the body took too long to arrive");
        http_carrier_refuse(&s->on, 408, &err);
        break;
    case HTTP2_STREAM_REPLY:
    case HTTP2_STREAM_SEND:
        log_info("%s: does not read its answer, stream %d is reset", conn_peer(s->h->link.c)->text,
                 s->id);
        doom(s, NGHTTP2_CANCEL);
        break;
    case HTTP2_STREAM_HEAD:
    case HTTP2_STREAM_DOOMED:
    case HTTP2_STREAM_STATE_N:
        break;
    }
}

/* ---- the answer's head ---- */

/* Fields of an HTTP/1.1 connection have no meaning here (RFC 9113 8.2.2). */
static bool is_connection_field(struct bytes name)
{
    static const char *const names[] = {"Connection", "Upgrade", "Keep-Alive", "Transfer-Encoding",
                                        "Proxy-Connection"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (textmsg_same(name, names[i])) {
            return true;
        }
    }
    return false;
}

static nghttp2_nv field(struct bytes name, struct bytes value)
{
    /* nghttp2 copies both, and makes the name lower-case. */
    return (nghttp2_nv){.name = (uint8_t *)name.data,
                        .value = (uint8_t *)value.data,
                        .namelen = name.len,
                        .valuelen = value.len};
}

static nghttp2_nv field_str(const char *name, const char *value)
{
    return field(BYTES_STR(name), BYTES_STR(value));
}

/* "Name: value\r\n" lines, as http_reply_header() wrote them. */
static unsigned add_lines(struct bytes lines, nghttp2_nv *nv)
{
    unsigned n = 0;
    const char *p = (const char *)lines.data;
    const char *end = p + lines.len;
    while (p < end) {
        const char *colon = memchr(p, ':', (size_t)(end - p));
        const char *cr = memchr(colon, '\r', (size_t)(end - colon));
        struct bytes name = BYTES(p, (size_t)(colon - p));
        if (!is_connection_field(name)) {
            nv[n++] = field(name, BYTES(colon + 2, (size_t)(cr - colon - 2)));
        }
        p = cr + 2;
    }
    return n;
}

static unsigned count_lines(struct bytes lines)
{
    unsigned n = 0;
    for (size_t i = 0; i < lines.len; i++) {
        n += lines.data[i] == '\n';
    }
    return n;
}

static ssize_t on_offer(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                        uint32_t *flags, nghttp2_data_source *source, void *user)
{
    return http2_stream_offer(source->ptr, length, flags);
}

#define LENGTH_UNKNOWN UINT64_MAX

/* has_body: something follows, or will. */
static void submit_head(struct http2_stream *s, int status, struct bytes lines, uint64_t length,
                        bool has_body)
{
    struct http_worker *w = s->h->link.worker;
    const nghttp2_data_provider provider = {.source.ptr = s, .read_callback = on_offer};
    char status_text[12];
    char length_text[24];
    nghttp2_nv *nv = mem_new_array(nghttp2_nv, count_lines(lines) + 4);
    size_t n = 0;
    snprintf(status_text, sizeof(status_text), "%d", status);
    nv[n++] = field_str(":status", status_text);
    nv[n++] = field_str("date", http_worker_date(w));
    if (w->server->server_name) {
        nv[n++] = field_str("server", w->server->server_name);
    }
    n += add_lines(lines, nv + n);
    if (length != LENGTH_UNKNOWN && http_status_has_body(status)) {
        snprintf(length_text, sizeof(length_text), "%" PRIu64, length);
        nv[n++] = field_str("content-length", length_text);
    }
    int r = nghttp2_submit_response(s->h->session, s->id, nv, n, has_body ? &provider : NULL);
    free(nv);
    if (r < 0) {
        log_debug("%s: stream %d: %s", conn_peer(s->h->link.c)->text, s->id, nghttp2_strerror(r));
        doom(s, NGHTTP2_INTERNAL_ERROR);
    }
    http2_schedule(s->h);
}

/* ---- the operations ---- */

static struct http2_stream *stream_of(struct http_carrier *on)
{
    return CONTAINER_OF(on, struct http2_stream, on);
}

/* The exchange owes nothing any more; what is queued goes out. */
static void complete(struct http2_stream *s)
{
    s->ended = true;
    http_carrier_release(&s->on);
    if (s->state != HTTP2_STREAM_DOOMED) {
        set_state(s, HTTP2_STREAM_SEND);
    }
}

static void answer(struct http_carrier *on, int status, struct bytes headers,
                   struct buf *const *pieces, unsigned n)
{
    struct http2_stream *s = stream_of(on);
    uint64_t len = 0;
    for (unsigned i = 0; i < n; i++) {
        len += pieces[i] ? pieces[i]->len : 0;
    }
    bool has_body = len > 0 && !on->head_method && http_status_has_body(status);
    for (unsigned i = 0; has_body && i < n; i++) {
        if (pieces[i] && pieces[i]->len > 0) {
            buf_queue_push(&s->queue, buf_ref(pieces[i]));
        }
    }
    submit_head(s, status, headers, len, has_body);
    complete(s);
}

static void answer_file(struct http_carrier *on, int status, struct bytes headers, int fd,
                        uint64_t at, uint64_t len)
{
    struct http2_stream *s = stream_of(on);
    bool has_body = len > 0 && !on->head_method && http_status_has_body(status);
    s->file = http_file_new(fd, at, len);
    if (!has_body) {
        s->file = http_file_free(s->file);
    }
    submit_head(s, status, headers, len, has_body);
    complete(s);
}

static void stream_begin(struct http_carrier *on, int status, struct bytes headers)
{
    struct http2_stream *s = stream_of(on);
    s->streaming = true;
    submit_head(s, status, headers, LENGTH_UNKNOWN,
                !on->head_method && http_status_has_body(status));
}

static int stream_write(struct http_carrier *on, struct buf **b, bool ack)
{
    struct http2_stream *s = stream_of(on);
    size_t len = (*b)->len;
    if (s->queue.bytes + len > HTTP_STREAM_MAX) {
        return -ENOBUFS;
    }
    if (len == 0) {
        return 0;
    }
    if (on->head_method || s->state == HTTP2_STREAM_DOOMED) {
        if (ack) {
            http_reply_ack(on->reply, len);
        }
        return 0;
    }
    buf_queue_push(&s->queue, TAKE_PTR(*b));
    s->ack += ack ? len : 0;
    /* From now until the queue is empty again the client has to make progress. */
    if (s->until_ns == 0) {
        set_deadline(s, config_of(s)->body_timeout_ms);
    }
    (void)nghttp2_session_resume_data(s->h->session, s->id);
    http2_schedule(s->h);
    return 0;
}

static void stream_end(struct http_carrier *on)
{
    struct http2_stream *s = stream_of(on);
    s->streaming = false;
    s->ack = 0;
    complete(s);
    (void)nghttp2_session_resume_data(s->h->session, s->id);
    http2_schedule(s->h);
}

static void abort_answer(struct http_carrier *on)
{
    doom(stream_of(on), NGHTTP2_INTERNAL_ERROR);
}

static void hand_over(struct http_carrier *on)
{
    set_state(stream_of(on), HTTP2_STREAM_REPLY);
}

static void read_body(struct http_carrier *on, bool leave)
{
    struct http2_stream *s = stream_of(on);
    set_state(s, HTTP2_STREAM_BODY);
    if (leave) {
        nghttp2_nv nv = field_str(":status", "100");
        (void)nghttp2_submit_headers(s->h->session, NGHTTP2_FLAG_NONE, s->id, NULL, &nv, 1, NULL);
        http2_schedule(s->h);
    }
}

static const struct http_carrier_ops carrier_ops = {
    .answer = answer,
    .answer_file = answer_file,
    .stream_begin = stream_begin,
    .stream_write = stream_write,
    .stream_end = stream_end,
    .abort = abort_answer,
    .hand_over = hand_over,
    .read_body = read_body,
};

/* ---- the answer's body, as nghttp2 pulls it ---- */

ssize_t http2_stream_offer(struct http2_stream *s, size_t max, uint32_t *flags)
{
    if (s->queue.bytes == 0 && s->file) {
        struct buf *b = http_file_next(s->file, max);
        if (!b) {
            /* It shrank, or the disk failed: the announced length cannot be kept. */
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        }
        buf_queue_push(&s->queue, b);
        if (s->file->left == 0) {
            s->file = http_file_free(s->file);
        }
    }
    if (s->queue.bytes == 0 && !s->ended) {
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t n = MIN(max, s->queue.bytes);
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n == s->queue.bytes && !s->file && s->ended) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

void http2_stream_sent(struct http2_stream *s, size_t len)
{
    bool drained = s->queue.bytes == len;
    buf_queue_consume(&s->queue, len);
    set_deadline(s, drained && s->streaming ? 0 : config_of(s)->body_timeout_ms);
    if (drained && s->ack > 0) {
        http_reply_ack(s->on.reply, s->ack);
        s->ack = 0;
    }
}
