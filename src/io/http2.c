/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http2_private.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <pthread.h>

LOG_TOPIC(topic, "io.http2");

/*
 * The connection: bytes in go to nghttp2, which calls back with fields, pieces of bodies and ends of streams; bytes out are
 * asked of it in one task at the end of the loop's pass. Handlers run inside its callbacks, where submitting is allowed and
 * sending and receiving are not; so whatever they do only schedules the task, and a connection is taken down only from the
 * task, the timer, the transport and the server.
 */

#define CLOSE_MS       2000
#define SMALL_PIECE    256 /* is copied: cheaper than a reference and a vector */
#define FLUSH_ROUNDS   4   /* then other connections get their turn */
#define VECTORS        64
#define FRAME_HEAD     9
#define TLS_RECORD     16384
#define OUTBOUND_ACKS  100 /* PING and SETTINGS answers that may wait */
#define SETTINGS_ITEMS 32  /* of one frame */

/* ---- logging what attackers cause: once a second and loop ---- */

static void log_fault(struct http2_conn *h, const char *fault)
{
    struct http_worker *w = h->link.worker;
    int64_t now = loop_now_ns(w->loop);
    if (w->fault_ns != 0 && now - w->fault_ns < NS_PER_S) {
        w->faults_unsaid++;
        return;
    }
    if (w->faults_unsaid > 0) {
        log_warn("%s: %s, closing (and %u connections like it since the last line)",
                 conn_peer(h->link.c)->text, fault, w->faults_unsaid);
    } else {
        log_warn("%s: %s, closing", conn_peer(h->link.c)->text, fault);
    }
    w->fault_ns = now;
    w->faults_unsaid = 0;
}

/* ---- deadlines ---- */

static void on_timer(void *user);

/* The timer is left running when it ends early enough: most deadlines move before they come. */
static void arm(struct http2_conn *h, int64_t until, int64_t now)
{
    if (until == 0 || (h->timer_ns != 0 && h->timer_ns <= until)) {
        return;
    }
    h->timer_ns = until;
    int64_t ms = (MAX(until - now, (int64_t)0) + NS_PER_MS - 1) / NS_PER_MS;
    loop_timer_start(h->timer, (uint64_t)ms);
}

void http2_set_deadline(struct http2_conn *h, int64_t *until, unsigned ms)
{
    if (h->closed) {
        return;
    }
    int64_t now = loop_now_ns(h->link.worker->loop);
    *until = ms ? now + ms * NS_PER_MS : 0;
    arm(h, *until, now);
}

static const struct http_server_config *config_of(const struct http2_conn *h)
{
    return &h->link.worker->server->config;
}

/* ---- output ---- */

static struct http2_segment *add_segment(struct http2_out *o)
{
    if (o->n == o->cap) {
        o->cap = o->cap ? o->cap * 2 : 16;
        o->segments = mem_realloc(o->segments, o->cap * sizeof(*o->segments));
    }
    return &o->segments[o->n++];
}

static void out_copy(struct http2_out *o, const uint8_t *p, size_t len)
{
    struct http2_segment *last = o->n > 0 ? &o->segments[o->n - 1] : NULL;
    if (last && !last->b) {
        last->len += len;
    } else {
        *add_segment(o) = (struct http2_segment){.at = o->text.len, .len = len};
    }
    out_mem(&o->text, p, len);
    o->bytes += len;
}

static void out_refer(struct http2_out *o, struct buf *b, size_t at, size_t len)
{
    *add_segment(o) = (struct http2_segment){.b = buf_ref(b), .at = at, .len = len};
    o->bytes += len;
}

static void out_release(struct http2_conn *h)
{
    struct http2_out *o = TAKE_PTR(h->out);
    if (!o) {
        return;
    }
    for (unsigned i = o->first; i < o->n; i++) {
        buf_unref(&o->segments[i].b);
    }
    out_done(&o->text);
    free(o->segments);
    free(o);
}

static int out_vectors(const struct http2_out *o, struct iovec *iov, int max)
{
    int n = 0;
    for (unsigned i = o->first; i < o->n && n < max; i++) {
        const struct http2_segment *s = &o->segments[i];
        size_t skip = i == o->first ? o->done : 0;
        uint8_t *p = s->b ? s->b->data : o->text.data;
        iov[n++] = (struct iovec){p + s->at + skip, s->len - skip};
    }
    return n;
}

static void out_consume(struct http2_out *o, size_t len)
{
    o->bytes -= len;
    while (o->first < o->n) {
        struct http2_segment *s = &o->segments[o->first];
        size_t left = s->len - o->done;
        if (len < left) {
            o->done += len;
            return;
        }
        len -= left;
        buf_unref(&s->b);
        o->done = 0;
        o->first++;
    }
}

/* Frames from nghttp2 until there is enough. Negative: the session is broken. */
static int gather(struct http2_conn *h)
{
    const uint8_t *data;
    ssize_t n = 0;
    if (!h->out) {
        h->out = mem_new(struct http2_out);
    }
    while (h->out->bytes < HTTP2_OUT_MAX && (n = nghttp2_session_mem_send(h->session, &data)) > 0) {
        out_copy(h->out, data, (size_t)n);
    }
    return (int)MIN(n, (ssize_t)0);
}

/* ---- the end ---- */

static void end(struct http2_conn *h)
{
    h->closed = true;
    atomic_fetch_sub_explicit(&h->link.worker->server->live_http2, 1, memory_order_relaxed);
    http_worker_remove(h->link.worker, &h->link);
    LIST_FOREACH_SAFE (node, &h->streams) {
        http2_stream_free(LIST_ENTRY(node, struct http2_stream, node));
    }
    h->timer = loop_timer_free(h->timer);
    loop_task_cancel(&h->flush);
    h->head = http2_head_free(h->head);
    out_release(h);
    nghttp2_session_del(h->session);
    free(h);
}

/* Says why, as far as the socket takes it. What is being answered is broken off. */
static void say_goodbye(struct http2_conn *h, uint32_t code)
{
    struct iovec iov[VECTORS];
    (void)nghttp2_session_terminate_session(h->session, code);
    (void)gather(h);
    int n;
    while ((n = out_vectors(h->out, iov, VECTORS)) > 0) {
        ssize_t sent = conn_writev(h->link.c, iov, n);
        if (sent <= 0) {
            return;
        }
        out_consume(h->out, (size_t)sent);
    }
}

static void close_gracefully(struct http2_conn *h, uint32_t code)
{
    say_goodbye(h, code);
    conn_close_gracefully(h->link.c, CLOSE_MS);
    end(h);
}

static void close_now(struct http2_conn *h)
{
    conn_close(h->link.c);
    end(h);
}

/* The client did what it must not. */
static void end_for_fault(struct http2_conn *h, const char *fault)
{
    log_fault(h, fault);
    close_gracefully(h, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* ---- writing ---- */

/* One writev of what is there; negative: broken; 0: the socket is full; 1: all is written. */
static int write_some(struct http2_conn *h)
{
    struct iovec iov[VECTORS];
    int n = out_vectors(h->out, iov, VECTORS);
    ssize_t sent = conn_writev(h->link.c, iov, n);
    if (sent < 0) {
        return -1;
    }
    out_consume(h->out, (size_t)sent);
    if (h->out->bytes == 0) {
        out_release(h);
        return 1;
    }
    /* More vectors than fit in one call are not a full socket. */
    return n == VECTORS && sent > 0 ? 2 : 0;
}

/* While the socket is full nothing is read: what a client can make us answer is bounded by what it reads. */
static void set_blocked(struct http2_conn *h, bool blocked)
{
    if (blocked == h->blocked) {
        return;
    }
    h->blocked = blocked;
    h->progress = conn_bytes_out(h->link.c);
    http2_set_deadline(h, &h->blocked_ns, blocked ? config_of(h)->body_timeout_ms : 0);
    if (blocked) {
        conn_read_pause(h->link.c);
    } else {
        conn_read_resume(h->link.c);
    }
}

/* May free h. */
static void flush(struct http2_conn *h)
{
    int r = 1;
    for (int round = 0; round < FLUSH_ROUNDS && r > 0; round++) {
        int gathered = h->out ? 0 : gather(h);
        if (h->fault) {
            end_for_fault(h, h->fault);
            return;
        }
        if (gathered < 0) {
            log_debug("%s: %s, closing", conn_peer(h->link.c)->text, nghttp2_strerror(gathered));
            close_now(h);
            return;
        }
        if (h->out->bytes == 0) {
            out_release(h);
            set_blocked(h, false);
            if (!nghttp2_session_want_read(h->session)) {
                /* nghttp2 has said goodbye itself. */
                conn_close_gracefully(h->link.c, CLOSE_MS);
                end(h);
            }
            return;
        }
        r = write_some(h);
    }
    if (r < 0) {
        close_now(h);
        return;
    }
    set_blocked(h, r == 0);
    if (r > 0) {
        http2_schedule(h);
    }
}

static void run_flush(struct loop_task *t)
{
    struct http2_conn *h = CONTAINER_OF(t, struct http2_conn, flush);
    if (!h->blocked) {
        flush(h);
    }
}

void http2_schedule(struct http2_conn *h)
{
    if (!h->closed && !h->blocked) {
        loop_defer(h->link.worker->loop, LOOP_STAGE_WRITE, &h->flush);
    }
}

static void on_writable(void *user)
{
    flush(user);
}

/* ---- deadlines, when they come ---- */

static bool due(int64_t until, int64_t now)
{
    return until != 0 && until <= now;
}

/* True: h is gone. */
static bool expire_connection(struct http2_conn *h, int64_t now)
{
    if (due(h->head_ns, now)) {
        end_for_fault(h, "its header block does not end");
        return true;
    }
    if (due(h->blocked_ns, now)) {
        if (conn_bytes_out(h->link.c) == h->progress) {
            log_info("%s: does not read what it asked for, closing", conn_peer(h->link.c)->text);
            close_now(h);
            return true;
        }
        h->progress = conn_bytes_out(h->link.c);
        http2_set_deadline(h, &h->blocked_ns, config_of(h)->body_timeout_ms);
    }
    if (due(h->idle_ns, now)) {
        close_gracefully(h, NGHTTP2_NO_ERROR);
        return true;
    }
    return false;
}

static void on_timer(void *user)
{
    struct http2_conn *h = user;
    int64_t now = loop_now_ns(h->link.worker->loop);
    h->timer_ns = 0;
    if (expire_connection(h, now)) {
        return;
    }
    LIST_FOREACH_SAFE (node, &h->streams) {
        struct http2_stream *s = LIST_ENTRY(node, struct http2_stream, node);
        if (due(s->until_ns, now)) {
            http2_stream_expire(s);
        }
    }
    arm(h, h->head_ns, now);
    arm(h, h->blocked_ns, now);
    arm(h, h->idle_ns, now);
    LIST_FOREACH (node, &h->streams) {
        arm(h, LIST_ENTRY(node, struct http2_stream, node)->until_ns, now);
    }
}

/* ---- what nghttp2 calls while it receives ---- */

/* Ends the connection as soon as nghttp2 has returned. */
static int fault(struct http2_conn *h, const char *text)
{
    h->fault = text;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int spend(struct http2_conn *h, unsigned cost)
{
    int64_t now = loop_now_ns(h->link.worker->loop);
    if (cost > 0 && !http2_patience_spend(&h->patience, cost, now)) {
        return fault(h, "floods its connection with frames");
    }
    return 0;
}

static void forget_head(struct http2_conn *h)
{
    h->head = http2_head_free(h->head);
    h->head_ns = 0;
}

static struct http2_stream *find(struct http2_conn *h, int32_t id)
{
    return nghttp2_session_get_stream_user_data(h->session, id);
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
    struct http2_conn *h = user;
    h->useful += FRAME_HEAD + hd->length;
    if (hd->type == NGHTTP2_HEADERS) {
        h->continuations = 0;
    } else if (hd->type == NGHTTP2_CONTINUATION && ++h->continuations > HTTP2_CONTINUATIONS_MAX) {
        return fault(h, "cuts a header block into too many frames");
    }
    return spend(h, http2_frame_cost(hd));
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http2_conn *h = user;
    bool request = frame->headers.cat == NGHTTP2_HCAT_REQUEST;
    int32_t id = frame->hd.stream_id;
    forget_head(h);
    h->head = http2_head_new(id, !request);
    http2_set_deadline(h, &h->head_ns, config_of(h)->header_timeout_ms);
    if (!request) {
        return 0;
    }
    h->idle_ns = 0;
    nghttp2_session_set_stream_user_data(session, id, http2_stream_new(h, id));
    /* Streams take turns, unless the client says that it wants one after the other (RFC 9218). */
    const nghttp2_extpri turns = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};
    (void)nghttp2_session_change_extpri_stream_priority(session, id, &turns, 0);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    struct http2_conn *h = user;
    if (h->head && !http2_head_field(h->head, BYTES(name, name_len), BYTES(value, value_len))) {
        return fault(h, "sends a header that is many times too large");
    }
    return 0;
}

static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_len, const uint8_t *value,
                             size_t value_len, uint8_t flags, void *user)
{
    struct http2_conn *h = user;
    if (h->head) {
        http2_head_invalid(h->head);
    }
    return on_header(session, frame, name, name_len, value, value_len, flags, user);
}

/* A header block is complete. */
static void begin_request(struct http2_conn *h, struct http2_stream *s, bool no_body)
{
    struct http2_head *d = TAKE_PTR(h->head);
    forget_head(h);
    s->on.unread_body = !no_body;
    s->remote_done = no_body;
    s->on.head_method =
        bytes_equal_str(BYTES(d->text.data + d->m.method.at, d->m.method.len), "HEAD");
    int status = http2_head_finish(d);
    if (status != 0) {
        http_carrier_refuse(&s->on, status, &d->err);
    } else {
        uint64_t announced = no_body ? 0 : d->has_length ? d->length : HTTP_BODY_UNKNOWN;
        http_carrier_begin(&s->on, &d->m, d->text.len, announced);
    }
    http2_head_free(d);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http2_conn *h = user;
    bool last = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) {
        return 0;
    }
    struct http2_stream *s = find(h, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_HEADERS && h->head && !h->head->trailers && s) {
        begin_request(h, s, last);
        return 0;
    }
    if (frame->hd.type == NGHTTP2_HEADERS) {
        forget_head(h);
    }
    if (last && s) {
        http2_stream_remote_done(s);
    }
    return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int code,
                            void *user)
{
    struct http2_conn *h = user;
    log_debug("%s: refused a frame of type %d: %s", conn_peer(h->link.c)->text, frame->hd.type,
              nghttp2_strerror(code));
    if (frame->hd.type == NGHTTP2_HEADERS) {
        forget_head(h);
    }
    return spend(h, HTTP2_COST_INVALID);
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t len, void *user)
{
    struct http2_stream *s = find(user, id);
    if (s && len > 0) {
        http2_stream_take(s, BYTES(data, len));
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct http2_conn *h = user;
    struct http2_stream *s = find(h, id);
    if (!s) {
        return 0;
    }
    if (h->head && h->head->stream == id) {
        forget_head(h);
    }
    nghttp2_session_set_stream_user_data(session, id, NULL);
    http2_stream_free(s);
    if (h->n_streams == 0) {
        http2_set_deadline(h, &h->idle_ns, config_of(h)->idle_timeout_ms);
    }
    return 0;
}

/* ---- what nghttp2 calls while it sends ---- */

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                        size_t length, nghttp2_data_source *source, void *user)
{
    struct http2_conn *h = user;
    struct http2_stream *s = source->ptr;
    size_t left = length;
    out_copy(h->out, head, FRAME_HEAD);
    size_t skip = s->queue.head_done;
    for (unsigned i = 0; left > 0; i++) {
        struct buf *b = buf_queue_at(&s->queue, i);
        size_t n = MIN(b->len - skip, left);
        if (n <= SMALL_PIECE) {
            out_copy(h->out, b->data + skip, n);
        } else {
            out_refer(h->out, b, skip, n);
        }
        left -= n;
        skip = 0;
    }
    http2_stream_sent(s, length);
    http2_patience_earn(&h->patience, HTTP2_EARN_DATA);
    return h->out->bytes < HTTP2_OUT_MAX ? 0 : NGHTTP2_ERR_PAUSE;
}

/* A frame and its head are one TLS record. nghttp2 holds the length to the windows itself. */
static ssize_t on_read_length(nghttp2_session *session, uint8_t type, int32_t id,
                              int32_t session_window, int32_t stream_window, uint32_t frame_max,
                              void *user)
{
    return TLS_RECORD - FRAME_HEAD;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http2_conn *h = user;
    bool last = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR) {
        return spend(h, HTTP2_COST_RESET);
    }
    if (last && (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA)) {
        struct http2_stream *s = find(h, frame->hd.stream_id);
        if (s && !s->remote_done) {
            /* RFC 9113 8.1: the rest of the body is not wanted. */
            (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
        }
    }
    return 0;
}

/* ---- the transport ---- */

/*
 * nghttp2 says nothing of frames that it ignores, of unknown types and for streams that are no more. A client may still be
 * sending what it had begun, so they are paid for by size.
 */
static void charge_waste(struct http2_conn *h, size_t received)
{
    h->received += received;
    if (h->received < h->useful + HTTP2_WASTE_BYTES) {
        return;
    }
    size_t waste = (size_t)(h->received - h->useful);
    h->received = h->useful + waste % HTTP2_WASTE_BYTES;
    (void)spend(h, (unsigned)(waste / HTTP2_WASTE_BYTES));
}

static void on_read(void *user, struct bytes data)
{
    struct http2_conn *h = user;
    ssize_t r = nghttp2_session_mem_recv(h->session, data.data, data.len);
    charge_waste(h, data.len);
    if (h->fault) {
        end_for_fault(h, h->fault);
    } else if (r == NGHTTP2_ERR_FLOODED) {
        end_for_fault(h, "floods its connection with frames that want an answer");
    } else if (r < 0) {
        log_info("%s: refused: %s, closing", conn_peer(h->link.c)->text, nghttp2_strerror((int)r));
        close_gracefully(h, NGHTTP2_PROTOCOL_ERROR);
    } else {
        http2_schedule(h);
    }
}

static void on_close(void *user, int r, const struct error *err)
{
    struct http2_conn *h = user;
    log_debug("%s: gone: %s", conn_peer(h->link.c)->text,
              r == 0 ? "closed by the client" : error_name(r));
    close_now(h);
}

static const struct conn_ops conn_operations = {
    .on_read = on_read,
    .on_writable = on_writable,
    .on_close = on_close,
};

/* ---- the server's view ---- */

static struct http_carrier *find_carrier(struct http_link *l, uint32_t number)
{
    struct http2_conn *h = CONTAINER_OF(l, struct http2_conn, link);
    struct http2_stream *s = find(h, (int32_t)number);
    return s && s->state == HTTP2_STREAM_REPLY ? &s->on : NULL;
}

static void close_link(struct http_link *l)
{
    struct http2_conn *h = CONTAINER_OF(l, struct http2_conn, link);
    say_goodbye(h, NGHTTP2_NO_ERROR);
    close_now(h);
}

static const struct http_link_ops link_ops = {.find = find_carrier, .close = close_link};

/* ---- the beginning ---- */

static nghttp2_session_callbacks *callbacks;
static nghttp2_option *options;

static void make_tables(void)
{
    if (nghttp2_session_callbacks_new(&callbacks) < 0 || nghttp2_option_new(&options) < 0) {
        return;
    }
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, on_read_length);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_option_set_no_closed_streams(options, 1);
    nghttp2_option_set_max_outbound_ack(options, OUTBOUND_ACKS);
    nghttp2_option_set_max_settings(options, SETTINGS_ITEMS);
}

/* Both tables are copied by each session. */
static int new_session(struct http2_conn *h)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HTTP2_STREAMS_MAX},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_FIELDS_BYTES_MAX},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    pthread_once(&once, make_tables);
    int r = nghttp2_session_server_new2(&h->session, callbacks, h, options);
    return r < 0 ? r
                 : nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings,
                                           ARRAY_LEN(settings));
}

void http2_accept(struct http_worker *w, struct conn *c)
{
    struct http2_conn *h = mem_new(struct http2_conn);
    h->link.ops = &link_ops;
    h->link.worker = w;
    h->link.c = c;
    if (new_session(h) < 0) {
        log_warn("%s: no memory for its session, closing", conn_peer(c)->text);
        nghttp2_session_del(h->session);
        conn_close(c);
        free(h);
        return;
    }
    list_init(&h->streams);
    loop_task_init(&h->flush, run_flush);
    h->timer = loop_timer_new(w->loop, on_timer, h);
    http2_patience_init(&h->patience, loop_now_ns(w->loop));
    http_worker_add(w, &h->link);
    atomic_fetch_add_explicit(&w->server->live_http2, 1, memory_order_relaxed);
    conn_set_ops(c, &conn_operations, h);
    conn_set_nodelay(c, true);
    h->useful = NGHTTP2_CLIENT_MAGIC_LEN;
    http2_set_deadline(h, &h->idle_ns, config_of(h)->idle_timeout_ms);
    http2_schedule(h);
}
