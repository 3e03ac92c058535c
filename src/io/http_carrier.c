/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http_private.h"

#include "base/log.h"
#include "base/mem.h"

#include <errno.h>

LOG_TOPIC(topic, "io.http");

/*
 * What happens between a head and its handler, the same for an HTTP/1.1 connection and an HTTP/2 stream: the exchange is
 * made, routed, judged by the guard, given its body. The end of an exchange is here as well.
 */

void http_carrier_release(struct http_carrier *on)
{
    struct http_reply *p = TAKE_PTR(on->reply);
    if (p) {
        if (!p->on_control) {
            p->on = NULL;
        }
        http_reply_unref(p);
    }
}

void http_carrier_drop(struct http_carrier *on)
{
    on->reply->state = HTTP_REPLY_DONE;
    http_reply_unref(on->reply);
}

/* ---- refusals ---- */

static const char *code_of(int status)
{
    switch (status) {
    case 400:
        return "bad-request";
    case 404:
        return "not-found";
    case 405:
        return "method-not-allowed";
    case 408:
        return "request-timeout";
    case 411:
        return "length-required";
    case 413:
        return "content-too-large";
    case 414:
        return "uri-too-long";
    case 417:
        return "expectation-failed";
    case 431:
        return "header-too-large";
    case 501:
        return "not-implemented";
    case 505:
        return "http-version-not-supported";
    default:
        return "unavailable";
    }
}

static void answer_problem(struct http_carrier *on, int status, struct bytes headers,
                           const struct error *err)
{
    _cleanup_(out_done) struct out json = {0};
    _cleanup_(out_done) struct out lines = {0};
    http_problem_json(&json, status, code_of(status), err);
    out_bytes(&lines, headers);
    out_puts(&lines, "Content-Type: application/problem+json\r\n");
    _cleanup_buf_ struct buf *body = buf_copy(out_view(&json));
    on->ops->answer(on, status, out_view(&lines), &body, 1);
}

void http_carrier_refuse(struct http_carrier *on, int status, const struct error *err)
{
    log_info("%s: refused with %d: %s", conn_peer(on->link->c)->text, status, err->text);
    if (on->reply) {
        http_carrier_drop(on);
    }
    on->unread_body = true;
    answer_problem(on, status, BYTES(NULL, 0), err);
}

/* ---- routing ---- */

static void answer_options(struct http_carrier *on, unsigned allow)
{
    char buf[HTTP_ALLOW_MAX];
    _cleanup_(out_done) struct out lines = {0};
    out_printf(&lines, "Allow: %s\r\n", http_allow_format(allow, buf));
    http_carrier_drop(on);
    on->ops->answer(on, 204, out_view(&lines), NULL, 0);
}

static void answer_no_route(struct http_carrier *on, unsigned allow)
{
    char buf[HTTP_ALLOW_MAX];
    struct error err;
    _cleanup_(out_done) struct out lines = {0};
    http_carrier_drop(on);
    if (allow == 0) {
        error_set(&err, -ENOENT, "", "there is nothing at this path");
        answer_problem(on, 404, BYTES(NULL, 0), &err);
        return;
    }
    http_allow_format(allow, buf);
    out_printf(&lines, "Allow: %s\r\n", buf);
    error_set(&err, -EPERM, "", "this path takes %s", buf);
    answer_problem(on, 405, out_view(&lines), &err);
}

/* Finds the route; false when the request has been answered without one. */
static bool route(struct http_carrier *on)
{
    struct http_match match;
    struct http_request *req = &on->reply->req;
    if (req->path[0] == '*') {
        answer_options(on, ~0u);
        return false;
    }
    http_router_match(on->link->worker->server->router, req->method, BYTES_STR(req->path), &match);
    if (match.route) {
        http_request_route_to(req, &match);
        return true;
    }
    if (req->method == HTTP_OPTIONS && match.allow) {
        answer_options(on, match.allow);
    } else {
        answer_no_route(on, match.allow);
    }
    return false;
}

/* ---- from the head to the handler ---- */

size_t http_carrier_max_body(const struct http_carrier *on)
{
    size_t max = on->reply->req.route->max_body_bytes;
    return max ? max : on->link->worker->server->config.max_body_bytes;
}

/* RFC 9110 10.1.1. Returns 0 or the status to refuse with; *ret_continue: the client waits for leave to send. */
static int check_body(const struct http_carrier *on, uint64_t announced, bool *ret_continue,
                      struct error *err)
{
    const char *expect = http_request_header(&on->reply->req, "Expect");
    *ret_continue = false;
    if (announced != HTTP_BODY_UNKNOWN && announced > http_carrier_max_body(on)) {
        error_set(err, -EFBIG, "", "the body is larger than %zu bytes", http_carrier_max_body(on));
        return 413;
    }
    if (expect && !on->http10) {
        if (!textmsg_same(BYTES_STR(expect), "100-continue")) {
            error_set(err, -EOPNOTSUPP, "", "no expectation but 100-continue is understood");
            return 417;
        }
        *ret_continue = on->unread_body;
    }
    return 0;
}

/* The guard may answer at once or later; either way the exchange is its own then. */
static bool guard(struct http_carrier *on)
{
    const struct http_server_config *config = &on->link->worker->server->config;
    struct http_reply *p = on->reply;
    return !config->guard || config->guard(config->guard_user, &p->req, p);
}

void http_carrier_begin(struct http_carrier *on, const struct textmsg *m, size_t head_len,
                        uint64_t announced)
{
    struct error err;
    bool leave_to_send;
    on->body_mark = 0;
    int status = http_request_build(m, head_len, on, &err);
    if (status != 0) {
        http_carrier_refuse(on, status, &err);
        return;
    }
    /* m is not looked at any more: handlers may lead to other connections' requests, which use the same parser. */
    if (!route(on)) {
        return;
    }
    status = check_body(on, announced, &leave_to_send, &err);
    if (status != 0) {
        http_carrier_refuse(on, status, &err);
        return;
    }
    on->ops->hand_over(on);
    if (!guard(on)) {
        return;
    }
    if (on->unread_body) {
        on->ops->read_body(on, leave_to_send);
    } else {
        http_reply_dispatch(on->reply);
    }
}

int http_carrier_take_body(struct http_carrier *on, struct bytes piece)
{
    struct error err;
    struct http_request *req = &on->reply->req;
    size_t max = http_carrier_max_body(on);
    if (piece.len > max - req->body_len) {
        error_set(&err, -EFBIG, "", "the body is larger than %zu bytes", max);
        http_carrier_refuse(on, 413, &err);
        return -EFBIG;
    }
    if (http_request_append(req, piece, max) < 0) {
        error_set(&err, -ENOMEM, "", "out of memory");
        http_carrier_refuse(on, 503, &err);
        return -ENOMEM;
    }
    /* One byte now and then is not progress: a body must keep some pace, or it holds its memory for ever. */
    if (req->body_len - on->body_mark < HTTP_BODY_PROGRESS) {
        return 0;
    }
    on->body_mark = req->body_len;
    return 1;
}

void http_carrier_body_done(struct http_carrier *on)
{
    on->unread_body = false;
    on->ops->hand_over(on);
    http_reply_dispatch(on->reply);
}
