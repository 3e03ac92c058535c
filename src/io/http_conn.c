/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http2_private.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

LOG_TOPIC(topic, "io.http");

/*
 * Input is looked at where it lies: in the transport's scratch when nothing is kept from before, else in `in`. run() is
 * the only place that looks; it goes on from state to state until bytes or the answer are missing. Whatever an inner
 * function does to the connection, its memory stays until run() returns. An idle connection keeps neither input nor parser.
 */

static const struct textmsg_limits limits = {
    .line_bytes = HTTP_LINE_MAX,
    .fields_bytes = HTTP_FIELDS_BYTES_MAX,
    .fields = TEXTMSG_FIELDS_MAX,
};

static void run(struct http_conn *hc, struct bytes fresh);

/* ---- states and deadlines ---- */

#define TO(s) (1u << HTTP_CONN_##s)
static const unsigned transitions[] = {
    [HTTP_CONN_IDLE] = TO(HEAD) | TO(CLOSED),
    [HTTP_CONN_HEAD] = TO(BODY) | TO(REPLY) | TO(FLUSH) | TO(IDLE) | TO(CLOSED),
    [HTTP_CONN_BODY] = TO(REPLY) | TO(FLUSH) | TO(CLOSED),
    [HTTP_CONN_REPLY] = TO(BODY) | TO(IDLE) | TO(FLUSH) | TO(CLOSED),
    [HTTP_CONN_FLUSH] = TO(IDLE) | TO(CLOSED),
    [HTTP_CONN_CLOSED] = 0,
};
_Static_assert(ARRAY_LEN(transitions) == HTTP_CONN_STATE_N, "one row a state");

static void set_state(struct http_conn *hc, enum http_conn_state state)
{
    const struct http_server_config *config = &hc->link.worker->server->config;
    if (state == hc->state) {
        return;
    }
    assert(transitions[hc->state] & 1u << state);
    hc->state = state;
    switch (state) {
    case HTTP_CONN_IDLE:
        http_conn_set_deadline(hc, config->idle_timeout_ms);
        break;
    case HTTP_CONN_HEAD:
        http_conn_set_deadline(hc, config->header_timeout_ms);
        break;
    case HTTP_CONN_BODY:
    case HTTP_CONN_FLUSH:
        http_conn_set_deadline(hc, config->body_timeout_ms);
        break;
    case HTTP_CONN_REPLY:
        /* How long an answer may take is known to its handler only. */
        http_conn_set_deadline(hc, 0);
        break;
    case HTTP_CONN_CLOSED:
    case HTTP_CONN_STATE_N:
        break;
    }
}

/* The timer is left running when it ends early enough: most deadlines move before they come. */
static void arm(struct http_conn *hc, int64_t now)
{
    if (hc->deadline_ns == 0 || (hc->timer_ns != 0 && hc->timer_ns <= hc->deadline_ns)) {
        return;
    }
    hc->timer_ns = hc->deadline_ns;
    loop_timer_start(
        hc->timer,
        (uint64_t)((MAX(hc->deadline_ns - now, (int64_t)0) + NS_PER_MS - 1) / NS_PER_MS));
}

void http_conn_set_deadline(struct http_conn *hc, unsigned ms)
{
    int64_t now = loop_now_ns(hc->link.worker->loop);
    hc->deadline_ns = ms ? now + ms * NS_PER_MS : 0;
    hc->progress = conn_bytes_out(hc->link.c);
    arm(hc, now);
}

static void expire_output(struct http_conn *hc)
{
    if (conn_queued(hc->link.c) == 0 && !hc->file) {
        hc->deadline_ns = 0;
    } else if (conn_bytes_out(hc->link.c) != hc->progress) {
        http_conn_set_deadline(hc, hc->link.worker->server->config.body_timeout_ms);
    } else {
        log_info("%s: does not read its answer, closing", conn_peer(hc->link.c)->text);
        http_conn_close(hc);
    }
}

static void expire(struct http_conn *hc)
{
    struct error err;
    switch (hc->state) {
    case HTTP_CONN_IDLE:
        http_conn_close(hc);
        break;
    case HTTP_CONN_HEAD:
        error_set(&err, -ETIMEDOUT, "", "the request took too long to arrive");
        http_carrier_refuse(&hc->on, 408, &err);
        break;
    case HTTP_CONN_BODY:
        error_set(&err, -ETIMEDOUT, "", "the body took too long to arrive");
        http_carrier_refuse(&hc->on, 408, &err);
        break;
    case HTTP_CONN_REPLY:
    case HTTP_CONN_FLUSH:
        expire_output(hc);
        break;
    case HTTP_CONN_CLOSED:
    case HTTP_CONN_STATE_N:
        break;
    }
}

static void on_timer(void *user)
{
    struct http_conn *hc = user;
    int64_t now = loop_now_ns(hc->link.worker->loop);
    hc->timer_ns = 0;
    if (hc->deadline_ns == 0) {
        return;
    }
    if (now < hc->deadline_ns) {
        arm(hc, now);
        return;
    }
    expire(hc);
}

/* ---- life ---- */

static void free_conn(struct http_conn *hc)
{
    out_done(&hc->in);
    free(hc->msg);
    free(hc);
}

/* The transport has been dealt with. */
static void end(struct http_conn *hc)
{
    if (hc->state == HTTP_CONN_BODY) {
        http_carrier_drop(&hc->on);
    }
    struct http_reply *p = TAKE_PTR(hc->on.reply);
    hc->link.c = NULL;
    hc->state = HTTP_CONN_CLOSED;
    hc->timer = loop_timer_free(hc->timer);
    hc->file = http_file_free(hc->file);
    http_worker_remove(hc->link.worker, &hc->link);
    if (p) {
        http_reply_client_gone(p);
    }
    if (!hc->processing) {
        free_conn(hc);
    }
}

void http_conn_close(struct http_conn *hc)
{
    if (hc->state != HTTP_CONN_CLOSED) {
        conn_close(hc->link.c);
        end(hc);
    }
}

static void close_gracefully(struct http_conn *hc)
{
    conn_close_gracefully(hc->link.c, HTTP_CLOSE_MS);
    end(hc);
}

struct conn *http_conn_upgrade(struct http_carrier *on, struct bytes head, struct out *ret_rest)
{
    struct http_conn *hc = CONTAINER_OF(on, struct http_conn, on);
    struct conn *c = hc->link.c;
    assert(hc->state != HTTP_CONN_BODY); /* a handler has it */
    out_bytes(ret_rest, hc->processing ? hc->view : out_view(&hc->in));
    conn_send_bytes(c, head);
    if (hc->paused) {
        conn_read_resume(c);
    }
    http_carrier_release(on);
    end(hc);
    return c;
}

/* ---- answers done ---- */

void http_conn_answered(struct http_conn *hc)
{
    if (!hc->keep_alive) {
        /* Slow clients get the whole answer: the end comes when the queue is empty, however long that takes. */
        set_state(hc, HTTP_CONN_FLUSH);
        conn_notify_drained(hc->link.c, 1);
    } else if (conn_queued(hc->link.c) < HTTP_QUEUE_LOW) {
        set_state(hc, HTTP_CONN_IDLE);
        if (!hc->processing) {
            run(hc, BYTES(NULL, 0));
        }
    } else {
        set_state(hc, HTTP_CONN_FLUSH);
        conn_notify_drained(hc->link.c, HTTP_QUEUE_LOW);
    }
}

/* May free hc. */
static void on_writable(void *user)
{
    struct http_conn *hc = user;
    if (hc->ack > 0) {
        http_reply_ack(hc->on.reply, hc->ack);
        hc->ack = 0;
    }
    if (hc->file) {
        http_conn_pump_file(hc);
    } else if (hc->streaming) {
        hc->deadline_ns = 0;
    } else if (hc->state == HTTP_CONN_FLUSH) {
        if (hc->keep_alive) {
            http_conn_answered(hc);
        } else {
            close_gracefully(hc);
        }
    }
}

/* ---- requests ---- */

static bool may_keep_alive(const struct textmsg *m)
{
    if (m->minor == 0) {
        return textmsg_has_token(m, "Connection", "keep-alive");
    }
    return !textmsg_has_token(m, "Connection", "close");
}

/* What can be said before anything is allocated for the request. Returns 0 or the status to refuse with. */
static int check_head(struct http_conn *hc, const struct textmsg *m, struct error *err)
{
    struct textmsg_framing framing;
    hc->keep_alive = false;
    hc->on.http10 = m->minor == 0;
    hc->on.head_method = bytes_equal_str(textmsg_bytes(m, m->method), "HEAD");
    if (m->major != 1) {
        error_set(err, -EPROTONOSUPPORT, "", "only HTTP/1.1 and HTTP/1.0 are spoken here");
        return 505;
    }
    int r = textmsg_framing(m, false, &framing, err);
    if (r < 0) {
        return r == -ENOTSUP ? 501 : 400;
    }
    bool must_have_body = bytes_equal_str(textmsg_bytes(m, m->method), "POST") ||
                          bytes_equal_str(textmsg_bytes(m, m->method), "PUT");
    if (hc->on.http10 && must_have_body && textmsg_field_count(m, "Content-Length") == 0) {
        /* In 1.1 neither length nor coding means no body; in 1.0 it used to mean: until close, which no answer survives. */
        error_set(err, -EBADMSG, "", "a body in HTTP/1.0 needs a Content-Length");
        return 411;
    }
    hc->body = framing.body;
    hc->body_left = framing.length;
    hc->on.body_mark = 0;
    hc->on.unread_body = framing.body != TEXTMSG_BODY_NONE;
    hc->keep_alive = may_keep_alive(m);
    return 0;
}

static void begin_request(struct http_conn *hc, const struct textmsg *m, size_t head_len)
{
    struct error err;
    hc->on.number++;
    int status = check_head(hc, m, &err);
    if (status != 0) {
        http_carrier_refuse(&hc->on, status, &err);
        return;
    }
    uint64_t announced = hc->body == TEXTMSG_BODY_LENGTH ? hc->body_left
                         : hc->on.unread_body            ? HTTP_BODY_UNKNOWN
                                                         : 0;
    http_carrier_begin(&hc->on, m, head_len, announced);
}

void http_conn_hand_over(struct http_carrier *on)
{
    set_state(CONTAINER_OF(on, struct http_conn, on), HTTP_CONN_REPLY);
}

void http_conn_read_body(struct http_carrier *on, bool leave)
{
    struct http_conn *hc = CONTAINER_OF(on, struct http_conn, on);
    textmsg_chunked_init(&hc->chunked, http_carrier_max_body(on));
    set_state(hc, HTTP_CONN_BODY);
    if (leave && hc->view.len == 0) {
        conn_send_bytes(hc->link.c, BYTES_STR("HTTP/1.1 100 Continue\r\n\r\n"));
    }
}

static void advance(struct http_conn *hc, size_t n)
{
    hc->view = BYTES(hc->view.data + n, hc->view.len - n);
}

/* True: look again. */
static bool read_head(struct http_conn *hc)
{
    struct error err;
    struct textmsg *m = hc->msg ? hc->msg : &hc->link.worker->msg;
    if (!hc->msg) {
        textmsg_init(m, TEXTMSG_REQUEST, "HTTP", &limits);
    }
    ssize_t r = textmsg_parse(m, hc->view, &err);
    if (r == 0) {
        /* Rest of the head to come: the parser stays with the connection until then. */
        hc->msg = hc->msg ? hc->msg : mem_memdup(m, sizeof(*m));
        return false;
    }
    if (r < 0) {
        hc->on.head_method = false;
        hc->on.http10 = false;
        http_carrier_refuse(&hc->on, r == -ENAMETOOLONG ? 414 : r == -E2BIG ? 431 : 400, &err);
        return true;
    }
    struct textmsg *own = TAKE_PTR(hc->msg);
    advance(hc, (size_t)r);
    begin_request(hc, m, (size_t)r);
    free(own);
    return true;
}

/* ---- bodies ---- */

/* False: refused. */
static bool take_piece(struct http_conn *hc, struct bytes piece)
{
    int r = http_carrier_take_body(&hc->on, piece);
    if (r > 0) {
        http_conn_set_deadline(hc, hc->link.worker->server->config.body_timeout_ms);
    }
    return r >= 0;
}

static bool read_chunked(struct http_conn *hc)
{
    struct bytes piece;
    struct error err;
    int r;
    while ((r = textmsg_chunked_next(&hc->chunked, &hc->view, &piece)) > 0) {
        if (!take_piece(hc, piece)) {
            return true;
        }
    }
    if (r < 0) {
        error_set(&err, r, "",
                  r == -EFBIG ? "the body is larger than %zu bytes"
                              : "the chunked body is malformed",
                  http_carrier_max_body(&hc->on));
        http_carrier_refuse(&hc->on, r == -EFBIG ? 413 : 400, &err);
        return true;
    }
    if (!textmsg_chunked_done(&hc->chunked)) {
        return false;
    }
    http_carrier_body_done(&hc->on);
    return true;
}

static bool read_body(struct http_conn *hc)
{
    if (hc->body == TEXTMSG_BODY_CHUNKED) {
        return read_chunked(hc);
    }
    size_t n = (size_t)MIN(hc->body_left, (uint64_t)hc->view.len);
    struct bytes piece = BYTES(hc->view.data, n);
    hc->body_left -= n;
    advance(hc, n);
    if (take_piece(hc, piece) && hc->body_left == 0) {
        http_carrier_body_done(&hc->on);
    }
    return true;
}

/* ---- input ---- */

/* One step; false when nothing more can be done with what is there. */
static bool step(struct http_conn *hc)
{
    switch (hc->state) {
    case HTTP_CONN_IDLE:
        set_state(hc, HTTP_CONN_HEAD);
        return true;
    case HTTP_CONN_HEAD:
        return read_head(hc);
    case HTTP_CONN_BODY:
        return read_body(hc);
    case HTTP_CONN_FLUSH:
    case HTTP_CONN_REPLY:
        /* After the last answer nothing is read any more, but thrown away. */
        if (!hc->keep_alive) {
            advance(hc, hc->view.len);
        }
        return false;
    case HTTP_CONN_CLOSED:
    case HTTP_CONN_STATE_N:
        break;
    }
    return false;
}

/* What was not used is kept, and whoever sends more than is looked at waits. */
static void keep_rest(struct http_conn *hc, bool fresh)
{
    size_t n = hc->view.len;
    if (n == 0) {
        out_done(&hc->in);
    } else if (fresh) {
        out_bytes(&hc->in, hc->view);
    } else {
        memmove(hc->in.data, hc->view.data, n);
        hc->in.len = n;
    }
    bool full =
        n >= HTTP_PIPELINE_MAX && (hc->state == HTTP_CONN_REPLY || hc->state == HTTP_CONN_FLUSH);
    if (full != hc->paused) {
        hc->paused = full;
        if (full) {
            conn_read_pause(hc->link.c);
        } else {
            conn_read_resume(hc->link.c);
        }
    }
}

static void run(struct http_conn *hc, struct bytes fresh)
{
    bool in_place = hc->in.len == 0;
    assert(!hc->processing);
    if (!in_place) {
        out_bytes(&hc->in, fresh);
    }
    hc->view = in_place ? fresh : out_view(&hc->in);
    hc->processing = true;
    while (hc->view.len > 0 && step(hc)) {
    }
    hc->processing = false;
    if (hc->state == HTTP_CONN_CLOSED) {
        free_conn(hc);
        return;
    }
    keep_rest(hc, in_place);
}

static void on_read(void *user, struct bytes data)
{
    run(user, data);
}

static void on_close(void *user, int r, const struct error *err)
{
    struct http_conn *hc = user;
    /* A client that shuts its side after the request still gets an answer that is already on its way. */
    if (r == 0 && hc->state == HTTP_CONN_FLUSH && !hc->file) {
        close_gracefully(hc);
        return;
    }
    log_debug("%s: gone: %s", conn_peer(hc->link.c)->text,
              r == 0 ? "closed by the client" : error_name(r));
    http_conn_close(hc);
}

/* The TLS handshake is done: a client that chose HTTP/2 goes to http2.c. */
static void on_open(void *user)
{
    struct http_conn *hc = user;
    if (strcmp(conn_alpn(hc->link.c), "h2") == 0) {
        struct http_worker *w = hc->link.worker;
        struct conn *c = hc->link.c;
        end(hc);
        http2_accept(w, c);
    }
}

static const struct conn_ops ops = {
    .on_open = on_open,
    .on_read = on_read,
    .on_writable = on_writable,
    .on_close = on_close,
};

static struct http_carrier *find_carrier(struct http_link *l, uint32_t number)
{
    struct http_conn *hc = CONTAINER_OF(l, struct http_conn, link);
    return hc->on.number == number && hc->state == HTTP_CONN_REPLY ? &hc->on : NULL;
}

static void close_link(struct http_link *l)
{
    http_conn_close(CONTAINER_OF(l, struct http_conn, link));
}

static const struct http_link_ops link_ops = {.find = find_carrier, .close = close_link};

void http_conn_accept(struct http_worker *w, struct conn *c)
{
    struct http_conn *hc = mem_new(struct http_conn);
    hc->link.ops = &link_ops;
    hc->link.worker = w;
    hc->link.c = c;
    hc->state = HTTP_CONN_IDLE;
    hc->timer = loop_timer_new(w->loop, on_timer, hc);
    hc->on.ops = &http_conn_carrier_ops;
    hc->on.link = &hc->link;
    http_worker_add(w, &hc->link);
    conn_set_ops(c, &ops, hc);
    conn_set_nodelay(c, true);
    http_conn_set_deadline(hc, w->server->config.idle_timeout_ms);
}
