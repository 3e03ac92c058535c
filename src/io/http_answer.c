/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http_private.h"

#include "base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

static struct http_conn *conn_of(struct http_carrier *on)
{
    return CONTAINER_OF(on, struct http_conn, on);
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
    const char *server = hc->link.worker->server->server_name;
    out_printf(&o, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, http_reason(status),
               http_worker_date(hc->link.worker));
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
    } else if (hc->on.http10) {
        out_puts(&o, "Connection: keep-alive\r\n");
    }
    out_puts(&o, "\r\n");
    /* What our own handlers answer is not the peer's choice: the bound makes room for it. */
    conn_set_queue_max(hc->link.c,
                       conn_queued(hc->link.c) + o.len + HTTP_STREAM_MAX + HTTP_QUEUE_LOW);
    conn_send_bytes(hc->link.c, out_view(&o));
}

/* A client whose body was not read cannot be given another answer: where its next request starts is unknown. */
static void decide_keep_alive(struct http_conn *hc)
{
    if (hc->on.unread_body) {
        hc->keep_alive = false;
    }
}

static void answer(struct http_carrier *on, int status, struct bytes headers,
                   struct buf *const *pieces, unsigned n)
{
    struct http_conn *hc = conn_of(on);
    size_t len = 0;
    for (unsigned i = 0; i < n; i++) {
        len += pieces[i]->len;
    }
    decide_keep_alive(hc);
    send_head(hc, status, headers, HEAD_LENGTH, len);
    if (!hc->on.head_method && http_status_has_body(status)) {
        conn_set_queue_max(hc->link.c, conn_queued(hc->link.c) + len + HTTP_STREAM_MAX);
        for (unsigned i = 0; i < n; i++) {
            struct buf *b = buf_ref(pieces[i]);
            conn_send(hc->link.c, &b);
        }
    }
    http_carrier_release(&hc->on);
    http_conn_answered(hc);
}

/* ---- files ---- */

void http_conn_pump_file(struct http_conn *hc)
{
    struct http_file *f = hc->file;
    while (f->left > 0 && conn_queued(hc->link.c) < HTTP_QUEUE_LOW) {
        _cleanup_buf_ struct buf *b = http_file_next(f, HTTP_FILE_PIECE);
        if (!b) {
            /* The announced length cannot be kept, so the client must see a broken answer. */
            http_conn_close(hc);
            return;
        }
        conn_send(hc->link.c, &b);
    }
    if (f->left == 0) {
        hc->file = http_file_free(f);
        http_conn_answered(hc);
        return;
    }
    conn_notify_drained(hc->link.c, HTTP_QUEUE_LOW);
    http_conn_set_deadline(hc, hc->link.worker->server->config.body_timeout_ms);
}

static void answer_file(struct http_carrier *on, int status, struct bytes headers, int fd,
                        uint64_t at, uint64_t len)
{
    struct http_conn *hc = conn_of(on);
    decide_keep_alive(hc);
    send_head(hc, status, headers, HEAD_LENGTH, len);
    http_carrier_release(&hc->on);
    if (hc->on.head_method || !http_status_has_body(status) || len == 0) {
        close(fd);
        http_conn_answered(hc);
        return;
    }
    hc->state = HTTP_CONN_FLUSH;
    hc->file = http_file_new(fd, at, len);
    http_conn_pump_file(hc);
}

/* ---- streams ---- */

static void stream_begin(struct http_carrier *on, int status, struct bytes headers)
{
    struct http_conn *hc = conn_of(on);
    decide_keep_alive(hc);
    if (hc->on.http10) {
        hc->keep_alive = false;
    }
    hc->streaming = true;
    send_head(hc, status, headers, hc->on.http10 ? HEAD_UNTIL_CLOSE : HEAD_CHUNKED, 0);
}

static int stream_write(struct http_carrier *on, struct buf **b, bool ack)
{
    struct http_conn *hc = conn_of(on);
    size_t len = (*b)->len;
    /* An empty chunk would end the body. */
    if (len == 0) {
        return 0;
    }
    if (conn_queued(hc->link.c) + len > HTTP_STREAM_MAX) {
        return -ENOBUFS;
    }
    if (hc->on.head_method) {
        if (ack) {
            http_reply_ack(hc->on.reply, len);
        }
        return 0;
    }
    if (!hc->on.http10) {
        char size[20];
        int n = snprintf(size, sizeof(size), "%zx\r\n", len);
        conn_send_bytes(hc->link.c, BYTES(size, (size_t)n));
    }
    conn_send(hc->link.c, b);
    if (!hc->on.http10) {
        conn_send_bytes(hc->link.c, BYTES("\r\n", 2));
    }
    hc->ack += ack ? len : 0;
    /* From now until the queue is empty again the client has to make progress. */
    conn_notify_drained(hc->link.c, 1);
    if (hc->deadline_ns == 0) {
        http_conn_set_deadline(hc, hc->link.worker->server->config.body_timeout_ms);
    }
    return 0;
}

static void stream_end(struct http_carrier *on)
{
    struct http_conn *hc = conn_of(on);
    if (!hc->on.http10 && !hc->on.head_method) {
        conn_send_bytes(hc->link.c, BYTES("0\r\n\r\n", 5));
    }
    hc->streaming = false;
    hc->ack = 0;
    http_carrier_release(&hc->on);
    http_conn_answered(hc);
}

static void abort_answer(struct http_carrier *on)
{
    http_conn_close(conn_of(on));
}

const struct http_carrier_ops http_conn_carrier_ops = {
    .answer = answer,
    .answer_file = answer_file,
    .stream_begin = stream_begin,
    .stream_write = stream_write,
    .stream_end = stream_end,
    .abort = abort_answer,
    .hand_over = http_conn_hand_over,
    .read_body = http_conn_read_body,
    .upgrade = http_conn_upgrade,
};
