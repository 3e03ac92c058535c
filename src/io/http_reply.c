/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http_private.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>

/*
 * Answers, from the handler's side. On a media loop they go straight to their carrier. On the control loop they become
 * messages: a whole answer travels in the exchange itself, a streamed one as a message for its head, each write and its
 * end; what the kernel took comes back as acknowledgements, which is how the bound on a stream is kept there.
 */

void http_reply_unref(struct http_reply *p)
{
    if (atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    out_done(&p->headers);
    buf_unref(&p->body);
    free(p->req.body);
    http_server_unref(p->server);
    free(p);
}

/* The handler has consumed its reply. */
static void consume(struct http_reply *p)
{
    p->state = HTTP_REPLY_DONE;
    list_remove(&p->node);
    http_reply_unref(p);
}

/* ---- messages between the loops ---- */

/* Where the answer of a control route goes; NULL when the client has left. */
static struct http_carrier *find(struct http_reply *p)
{
    return http_carrier_find(p->server, &p->link, p->number);
}

enum stream_step {
    STREAM_BEGIN,
    STREAM_WRITE,
    STREAM_END,
    STREAM_ABORT,
};

struct stream_msg {
    struct loop_msg msg;
    enum stream_step step;
    struct http_reply *reply; /* counted */
    int status;
    struct buf *b; /* header lines, or a piece */
};

static void deliver_stream(struct loop *l, struct loop_msg *m)
{
    struct stream_msg *s = CONTAINER_OF(m, struct stream_msg, msg);
    struct http_carrier *on = find(s->reply);
    if (on) {
        switch (s->step) {
        case STREAM_BEGIN:
            on->ops->stream_begin(on, s->status, buf_view(s->b));
            break;
        case STREAM_WRITE:
            if (on->ops->stream_write(on, &s->b, true) < 0) {
                on->ops->abort(on);
            }
            break;
        case STREAM_END:
            on->ops->stream_end(on);
            break;
        case STREAM_ABORT:
            on->ops->abort(on);
            break;
        }
    }
    buf_unref(&s->b);
    http_reply_unref(s->reply);
    free(s);
}

static void post_stream(struct http_reply *p, enum stream_step step, int status, struct buf *b)
{
    struct stream_msg *s = mem_new(struct stream_msg);
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    *s = (struct stream_msg){
        .msg.deliver = deliver_stream, .step = step, .reply = p, .status = status, .b = b};
    loop_post(p->req.loop, &s->msg);
}

struct ack_msg {
    struct loop_msg msg;
    struct http_reply *reply; /* counted */
    size_t n;
};

static void deliver_ack(struct loop *l, struct loop_msg *m)
{
    struct ack_msg *a = CONTAINER_OF(m, struct ack_msg, msg);
    a->reply->unacked -= a->n;
    http_reply_unref(a->reply);
    free(a);
}

void http_reply_ack(struct http_reply *p, size_t n)
{
    struct ack_msg *a = mem_new(struct ack_msg);
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    *a = (struct ack_msg){.msg.deliver = deliver_ack, .reply = p, .n = n};
    loop_post(p->server->control, &a->msg);
}

/* p holds its own reference for the caller: the carrier's goes here. */
static void answer(struct http_carrier *on, struct http_reply *p)
{
    on->ops->answer(on, p->status, out_view(&p->headers), &p->body, p->body ? 1 : 0);
}

static void deliver_answer(struct loop *l, struct loop_msg *m)
{
    struct http_reply *p = CONTAINER_OF(m, struct http_reply, msg);
    struct http_carrier *on = find(p);
    if (on) {
        answer(on, p);
    }
    http_reply_unref(p);
}

static void deliver_request(struct loop *l, struct loop_msg *m)
{
    struct http_reply *p = CONTAINER_OF(m, struct http_reply, msg);
    if (p->server->closed) {
        http_reply_unref(p);
        return;
    }
    list_append(&p->server->control_replies, &p->node);
    p->req.route->handle(p->req.route_user, &p->req, p);
}

void http_reply_dispatch(struct http_reply *p)
{
    const struct http_route *route = p->req.route;
    if (route->kind == HTTP_ROUTE_MEDIA) {
        route->handle(p->req.route_user, &p->req, p);
        return;
    }
    p->on_control = true;
    p->on = NULL;
    p->msg.deliver = deliver_request;
    loop_post(p->server->control, &p->msg);
}

/* ---- the client left ---- */

/* Tells the handler, for whom the reply is dead then; without a callback it keeps the reply until it consumes it. */
static void tell_gone(struct http_reply *p)
{
    if (p->state == HTTP_REPLY_DONE || p->gone) {
        return;
    }
    p->gone = true;
    p->on = NULL;
    list_remove(&p->node);
    if (p->on_gone) {
        p->state = HTTP_REPLY_DONE;
        p->on_gone(p->gone_user);
        http_reply_unref(p);
    }
}

static void deliver_gone(struct loop *l, struct loop_msg *m)
{
    struct http_reply *p = CONTAINER_OF(m, struct http_reply, gone_msg);
    tell_gone(p);
    http_reply_unref(p);
}

void http_reply_client_gone(struct http_reply *p)
{
    if (p->on_control) {
        p->gone_msg.deliver = deliver_gone;
        loop_post(p->server->control, &p->gone_msg);
        return;
    }
    tell_gone(p);
    http_reply_unref(p);
}

void http_reply_control_gone(struct http_reply *p)
{
    tell_gone(p);
}

/* ---- what handlers call ---- */

static bool is_clean(const char *s)
{
    for (; *s; s++) {
        if (!textmsg_is_value_char((uint8_t)*s)) {
            return false;
        }
    }
    return true;
}

void http_reply_header(struct http_reply *p, const char *name, const char *value)
{
    assert(p->state == HTTP_REPLY_OWED);
    assert(textmsg_is_token(BYTES_STR(name)) && is_clean(value));
    out_puts(&p->headers, name);
    out_puts(&p->headers, ": ");
    out_puts(&p->headers, value);
    out_puts(&p->headers, "\r\n");
}

static void set_type(struct http_reply *p, const char *content_type)
{
    if (content_type) {
        http_reply_header(p, "Content-Type", content_type);
    }
}

void http_reply_send(struct http_reply *p, int status, const char *content_type, struct buf **body)
{
    set_type(p, content_type);
    p->status = status;
    if (body) {
        p->body = TAKE_PTR(*body);
    }
    if (p->gone) {
        consume(p);
    } else if (p->on_control) {
        p->state = HTTP_REPLY_DONE;
        list_remove(&p->node);
        p->msg.deliver = deliver_answer;
        loop_post(p->req.loop, &p->msg);
    } else {
        p->state = HTTP_REPLY_DONE;
        answer(p->on, p);
        http_reply_unref(p);
    }
}

void http_reply_send_pieces(struct http_reply *p, int status, const char *content_type,
                            struct buf *const *pieces, unsigned n)
{
    assert(!p->on_control && n <= HTTP_PIECES_MAX);
    set_type(p, content_type);
    if (p->gone) {
        consume(p);
        return;
    }
    p->state = HTTP_REPLY_DONE;
    p->on->ops->answer(p->on, status, out_view(&p->headers), pieces, n);
    http_reply_unref(p);
}

void http_reply_problem(struct http_reply *p, int status, const char *code, const struct error *err)
{
    _cleanup_(out_done) struct out o = {0};
    http_problem_json(&o, status, code, err);
    struct buf *body = buf_copy(out_view(&o));
    http_reply_send(p, status, "application/problem+json", &body);
}

void http_reply_begin(struct http_reply *p, int status, const char *content_type)
{
    set_type(p, content_type);
    p->state = HTTP_REPLY_STREAMING;
    if (p->gone) {
        return;
    }
    if (p->on_control) {
        post_stream(p, STREAM_BEGIN, status, buf_copy(out_view(&p->headers)));
    } else {
        p->on->ops->stream_begin(p->on, status, out_view(&p->headers));
    }
}

/* The client does not read: nothing more can be said to it, and it must not take a cut answer for a whole one. */
static int cut(struct http_reply *p)
{
    p->gone = true;
    list_remove(&p->node);
    if (p->on_control) {
        post_stream(p, STREAM_ABORT, 0, NULL);
    } else {
        struct http_carrier *on = TAKE_PTR(p->on);
        on->ops->abort(on);
    }
    return -ENOBUFS;
}

int http_reply_write(struct http_reply *p, struct buf **b)
{
    assert(p->state == HTTP_REPLY_STREAMING);
    _cleanup_buf_ struct buf *piece = TAKE_PTR(*b);
    if (p->gone) {
        return -EPIPE;
    }
    if (!p->on_control) {
        return p->on->ops->stream_write(p->on, &piece, false) < 0 ? cut(p) : 0;
    }
    if (p->unacked + piece->len > HTTP_STREAM_MAX) {
        return cut(p);
    }
    p->unacked += piece->len;
    post_stream(p, STREAM_WRITE, 0, TAKE_PTR(piece));
    return 0;
}

void http_reply_end(struct http_reply *p)
{
    assert(p->state == HTTP_REPLY_STREAMING);
    if (!p->gone && p->on_control) {
        post_stream(p, STREAM_END, 0, NULL);
    } else if (!p->gone) {
        p->state = HTTP_REPLY_DONE;
        p->on->ops->stream_end(p->on);
    }
    consume(p);
}

bool http_reply_may_upgrade(const struct http_reply *p)
{
    /* HTTP/1.0 has no Upgrade. */
    return p->on && p->on->ops->upgrade && !p->on->http10;
}

struct conn *http_reply_upgrade(struct http_reply *p, struct bytes head, struct out *ret_rest)
{
    assert(p->state == HTTP_REPLY_OWED && !p->on_control && !p->gone);
    p->state = HTTP_REPLY_DONE;
    struct conn *c = p->on->ops->upgrade(p->on, head, ret_rest);
    http_reply_unref(p);
    return c;
}

void http_reply_on_gone(struct http_reply *p, void (*on_gone)(void *user), void *user)
{
    p->on_gone = on_gone;
    p->gone_user = user;
}
