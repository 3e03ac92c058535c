/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http_private.h"

#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

/* Date is formatted once a second and loop. */
static const char *date(struct http_worker *w)
{
    int64_t now_s = clock_wall_ns() / NS_PER_S;
    if (w->date_s != now_s) {
        http_date_format(now_s, w->date);
        w->date_s = now_s;
    }
    return w->date;
}

enum head_framing {
    HEAD_LENGTH,
    HEAD_CHUNKED,
    HEAD_UNTIL_CLOSE,
};

static void send_head(struct http_conn *hc, int status, struct bytes headers,
                      enum head_framing framing, uint64_t length)
{
    _cleanup_(out_done) struct out o = {0};
    const char *server = hc->worker->server->server_name;
    out_printf(&o, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, http_reason(status), date(hc->worker));
    if (server) {
        out_printf(&o, "Server: %s\r\n", server);
    }
    out_bytes(&o, headers);
    if (http_status_has_body(status)) {
        if (framing == HEAD_LENGTH) {
            out_printf(&o, "Content-Length: %" PRIu64 "\r\n", length);
        } else if (framing == HEAD_CHUNKED) {
            out_puts(&o, "Transfer-Encoding: chunked\r\n");
        }
    }
    if (!hc->keep_alive) {
        out_puts(&o, "Connection: close\r\n");
    } else if (hc->http10) {
        out_puts(&o, "Connection: keep-alive\r\n");
    }
    out_puts(&o, "\r\n");
    /* What our own handlers answer is not the peer's choice: the bound makes room for it. */
    conn_set_queue_max(hc->c, conn_queued(hc->c) + o.len + HTTP_STREAM_MAX + HTTP_QUEUE_LOW);
    conn_send_bytes(hc->c, out_view(&o));
}

/* From here on the exchange owes nothing. */
static void release_reply(struct http_conn *hc)
{
    struct http_reply *p = TAKE_PTR(hc->reply);
    if (p) {
        if (!p->on_control) {
            p->conn = NULL;
        }
        http_reply_unref(p);
    }
}

/* A client whose body was not read cannot be given another answer: where its next request starts is unknown. */
static void decide_keep_alive(struct http_conn *hc)
{
    if (hc->unread_body) {
        hc->keep_alive = false;
    }
}

void http_conn_answer_pieces(struct http_conn *hc, int status, struct bytes headers,
                             struct buf *const *pieces, unsigned n)
{
    size_t len = 0;
    for (unsigned i = 0; i < n; i++) {
        len += pieces[i]->len;
    }
    decide_keep_alive(hc);
    send_head(hc, status, headers, HEAD_LENGTH, len);
    if (!hc->head_method && http_status_has_body(status)) {
        conn_set_queue_max(hc->c, conn_queued(hc->c) + len + HTTP_STREAM_MAX);
        for (unsigned i = 0; i < n; i++) {
            struct buf *b = buf_ref(pieces[i]);
            conn_send(hc->c, &b);
        }
    }
    release_reply(hc);
    http_conn_answered(hc);
}

void http_conn_answer(struct http_conn *hc, int status, struct bytes headers, struct buf **body)
{
    _cleanup_buf_ struct buf *b = TAKE_PTR(*body);
    http_conn_answer_pieces(hc, status, headers, &b, b ? 1 : 0);
}

void http_conn_answer_problem(struct http_conn *hc, int status, const char *code,
                              struct bytes headers, const struct error *err)
{
    _cleanup_(out_done) struct out json = {0};
    _cleanup_(out_done) struct out lines = {0};
    http_problem_json(&json, status, code, err);
    out_bytes(&lines, headers);
    out_puts(&lines, "Content-Type: application/problem+json\r\n");
    _cleanup_buf_ struct buf *body = buf_copy(out_view(&json));
    http_conn_answer(hc, status, out_view(&lines), &body);
}

/* ---- files ---- */

static void file_free(struct http_file **pf)
{
    struct http_file *f = TAKE_PTR(*pf);
    if (f) {
        close(f->fd);
        free(f);
    }
}

void http_conn_pump_file(struct http_conn *hc)
{
    struct http_file *f = hc->file;
    while (f->left > 0 && conn_queued(hc->c) < HTTP_QUEUE_LOW) {
        size_t want = (size_t)MIN(f->left, (uint64_t)HTTP_FILE_PIECE);
        _cleanup_buf_ struct buf *b = buf_new(want);
        ssize_t n = pread(f->fd, b->data, want, (off_t)f->at);
        if (n <= 0) {
            /* It shrank, or the disk failed: the announced length cannot be kept, so the client must see a broken answer. */
            http_conn_close(hc);
            return;
        }
        b->len = (uint32_t)n;
        f->at += (uint64_t)n;
        f->left -= (uint64_t)n;
        conn_send(hc->c, &b);
    }
    if (f->left == 0) {
        file_free(&hc->file);
        http_conn_answered(hc);
        return;
    }
    conn_notify_drained(hc->c, HTTP_QUEUE_LOW);
    http_conn_set_deadline(hc, hc->worker->server->config.body_timeout_ms);
}

void http_conn_answer_file(struct http_conn *hc, int status, struct bytes headers, int fd,
                           uint64_t at, uint64_t len)
{
    decide_keep_alive(hc);
    send_head(hc, status, headers, HEAD_LENGTH, len);
    release_reply(hc);
    if (hc->head_method || !http_status_has_body(status) || len == 0) {
        close(fd);
        http_conn_answered(hc);
        return;
    }
    hc->state = HTTP_CONN_FLUSH;
    hc->file = mem_new(struct http_file);
    *hc->file = (struct http_file){.fd = fd, .at = at, .left = len};
    http_conn_pump_file(hc);
}

/* ---- streams ---- */

void http_conn_stream_begin(struct http_conn *hc, int status, struct bytes headers)
{
    decide_keep_alive(hc);
    if (hc->http10) {
        hc->keep_alive = false;
    }
    hc->streaming = true;
    send_head(hc, status, headers, hc->http10 ? HEAD_UNTIL_CLOSE : HEAD_CHUNKED, 0);
}

int http_conn_stream_write(struct http_conn *hc, struct buf **b, bool ack)
{
    size_t len = (*b)->len;
    /* An empty chunk would end the body. */
    if (len == 0) {
        return 0;
    }
    if (conn_queued(hc->c) + len > HTTP_STREAM_MAX) {
        return -ENOBUFS;
    }
    if (hc->head_method) {
        if (ack) {
            http_reply_ack(hc->reply, len);
        }
        return 0;
    }
    if (!hc->http10) {
        char size[20];
        int n = snprintf(size, sizeof(size), "%zx\r\n", len);
        conn_send_bytes(hc->c, BYTES(size, (size_t)n));
    }
    conn_send(hc->c, b);
    if (!hc->http10) {
        conn_send_bytes(hc->c, BYTES("\r\n", 2));
    }
    hc->ack += ack ? len : 0;
    /* From now until the queue is empty again the client has to make progress. */
    conn_notify_drained(hc->c, 1);
    if (hc->deadline_ns == 0) {
        http_conn_set_deadline(hc, hc->worker->server->config.body_timeout_ms);
    }
    return 0;
}

void http_conn_stream_end(struct http_conn *hc)
{
    if (!hc->http10 && !hc->head_method) {
        conn_send_bytes(hc->c, BYTES("0\r\n\r\n", 5));
    }
    hc->streaming = false;
    hc->ack = 0;
    release_reply(hc);
    http_conn_answered(hc);
}
