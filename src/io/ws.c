/* SPDX-License-Identifier: Apache-2.0 */
#include "io/ws.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "io/http_private.h"
#include "io/ws_handshake.h"
#include "io/ws_wire.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

LOG_TOPIC(topic, "io.ws");

#define MAX_MESSAGE (64 * 1024)
#define QUEUE_MAX   (1024 * 1024)
#define PONG_QUEUE_MAX                                                                             \
    (64 * 1024) /* pings of a peer that lets this much pile up are not answered */
#define SILENT_MS           60000
#define ANSWER_MS           20000
#define HANDSHAKE_MS        10000
#define CLOSE_MS            2000
#define VECTORS_TO_BOUNDARY 16

_Static_assert(WS_HEADER_MAX >= 10, "a server's longest header");

/*
 * OPEN and DEAD have an owner, CLOSING has none any more. What callbacks free is kept until the function that called them
 * has returned (busy).
 */
enum ws_state {
    WS_CONNECTING, /* clients: transport and handshake */
    WS_OPEN,
    WS_DEAD, /* on_close has been called, or will be by the task: the owner has to call ws_close() */
    WS_CLOSING, /* our close frame is out, the echo is awaited */
    WS_FREED,   /* memory goes when nothing up the stack uses it */
};

struct ws_client {
    char key[WS_KEY_MAX];
    char *protocol;
    struct out request;
    struct textmsg msg;
};

struct ws {
    struct conn *c;
    struct loop *loop;
    const struct ws_ops *ops;
    void *user;
    enum ws_role role;
    enum ws_state state;
    unsigned busy;
    bool tell_dead; /* the task calls on_close */
    int dead_code;
    const char *dead_reason;  /* static */
    struct ws_client *client; /* CONNECTING only */
    struct ws_parser parser;
    struct ws_tracker written;
    struct out held; /* frames that wait for the end of one that is half written */
    struct out in;   /* came with the handshake; or the handshake's answer so far */
    struct loop_task task;
    struct loop_timer *timer;
    unsigned silent_ms;
    unsigned answer_ms;
    int64_t heard_ns;
    int64_t pinged_ns; /* 0: no ping waits for an answer */
};

static atomic_uint_fast64_t live;

static void on_timer(void *user);
static void run_task(struct loop_task *t);

uint64_t ws_live(void)
{
    return atomic_load_explicit(&live, memory_order_relaxed);
}

/* ---- life ---- */

static struct ws *ws_new(struct loop *l, enum ws_role role, const struct ws_ops *ops, void *user)
{
    struct ws *w = mem_new(struct ws);
    w->loop = l;
    w->role = role;
    w->ops = ops;
    w->user = user;
    w->silent_ms = SILENT_MS;
    w->answer_ms = ANSWER_MS;
    w->timer = loop_timer_new(l, on_timer, w);
    w->heard_ns = loop_now_ns(l);
    loop_task_init(&w->task, run_task);
    ws_parser_init(&w->parser, role, MAX_MESSAGE);
    atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    return w;
}

static void client_free(struct ws *w)
{
    if (w->client) {
        free(w->client->protocol);
        out_done(&w->client->request);
        free(w->client);
        w->client = NULL;
    }
}

static void release(struct ws *w)
{
    if (w->busy == 0 && w->state == WS_FREED) {
        free(w);
    }
}

/* The transport has been dealt with. */
static void ws_free(struct ws *w)
{
    w->state = WS_FREED;
    w->c = NULL;
    w->ops = NULL;
    w->timer = loop_timer_free(w->timer);
    loop_task_cancel(&w->task);
    ws_parser_done(&w->parser);
    out_done(&w->held);
    out_done(&w->in);
    client_free(w);
    atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
    release(w);
}

static void close_now(struct ws *w)
{
    conn_close(w->c);
    ws_free(w);
}

static void close_gracefully(struct ws *w)
{
    conn_close_gracefully(w->c, CLOSE_MS);
    ws_free(w);
}

/* The session is over. Its owner is told, from here: callers return at once afterwards. */
static void die(struct ws *w, int code, const char *reason)
{
    if (w->state == WS_CLOSING) {
        close_gracefully(w);
        return;
    }
    assert(w->state == WS_CONNECTING || w->state == WS_OPEN);
    w->state = WS_DEAD;
    w->tell_dead = false;
    loop_timer_stop(w->timer);
    log_debug("%s: over with code %d: %s", conn_peer(w->c)->text, code, reason);
    w->busy++;
    if (w->ops->on_close) {
        w->ops->on_close(w->user, code, reason);
    }
    w->busy--;
    release(w);
}

/* The same for functions that the owner calls and that must not call back. */
static void die_later(struct ws *w, int code, const char *reason)
{
    if (w->state == WS_OPEN && !w->tell_dead) {
        w->tell_dead = true;
        w->dead_code = code;
        w->dead_reason = reason;
        loop_defer(w->loop, LOOP_STAGE_NOTIFY, &w->task);
    }
}

/* ---- frames out ---- */

static void put_frame(struct out *o, const struct ws *w, enum ws_opcode opcode,
                      struct bytes payload)
{
    uint8_t key[4];
    uint8_t header[WS_FRAME_HEADER_MAX];
    bool mask = w->role == WS_ROLE_CLIENT;
    if (mask) {
        random_bytes(key, sizeof(key));
    }
    unsigned n = ws_header_put(header, opcode, payload.len, mask ? key : NULL);
    out_mem(o, header, n);
    if (mask) {
        ws_mask(out_extend(o, payload.len), payload.data, payload.len, key, 0);
    } else {
        out_bytes(o, payload);
    }
}

static void flush_held(struct ws *w)
{
    if (w->held.len > 0) {
        conn_send_bytes(w->c, out_view(&w->held));
        out_done(&w->held);
    }
}

static void send_frame(struct ws *w, enum ws_opcode opcode, struct bytes payload)
{
    if (payload.len > QUEUE_MAX || conn_queued(w->c) + w->held.len + payload.len > QUEUE_MAX) {
        die_later(w, WS_CLOSE_BROKEN, "the peer does not read what is sent to it");
        return;
    }
    put_frame(&w->held, w, opcode, payload);
    if (ws_tracker_between(&w->written)) {
        flush_held(w);
    }
}

void ws_send_text(struct ws *w, struct bytes text)
{
    if (w->state == WS_OPEN) {
        send_frame(w, WS_OP_TEXT, text);
    }
}

void ws_send_binary(struct ws *w, struct bytes data)
{
    if (w->state == WS_OPEN) {
        send_frame(w, WS_OP_BINARY, data);
    }
}

static void send_close(struct ws *w, int code, struct bytes reason)
{
    uint8_t payload[WS_CONTROL_MAX];
    size_t n = 0;
    if (ws_close_code_valid(code)) {
        put_u16be(payload, (uint16_t)code);
        n = MIN(reason.len, (size_t)WS_REASON_MAX);
        /* A reason that is cut is cut between characters. */
        while (n < reason.len && n > 0 && (reason.data[n] & 0xc0) == 0x80) {
            n--;
        }
        put_bytes(payload + 2, BYTES(reason.data, n));
        n += 2;
    }
    send_frame(w, WS_OP_CLOSE, BYTES(payload, n));
}

unsigned ws_frame_header(uint8_t header[WS_HEADER_MAX], uint64_t len)
{
    uint8_t full[WS_FRAME_HEADER_MAX];
    unsigned n = ws_header_put(full, WS_OP_BINARY, len, NULL);
    memcpy(header, full, n);
    return n;
}

/* Moves the tracker past n bytes of the vectors. */
static void follow(struct ws *w, const struct iovec *iov, int n_iov, size_t n)
{
    for (int i = 0; n > 0; i++) {
        assert(i < n_iov);
        struct bytes b = BYTES(iov[i].iov_base, MIN(iov[i].iov_len, n));
        n -= b.len;
        while (b.len > 0) {
            size_t used = ws_tracker_take(&w->written, b);
            b = BYTES(b.data + used, b.len - used);
        }
    }
}

/* Cuts the vectors at the end of the frame that is half written; returns how many are left. */
static int cut_at_boundary(const struct ws *w, const struct iovec *iov, int n, struct iovec *ret)
{
    struct ws_tracker t = w->written;
    int i = 0;
    for (; i < n && i < VECTORS_TO_BOUNDARY; i++) {
        size_t used = ws_tracker_take(&t, BYTES(iov[i].iov_base, iov[i].iov_len));
        ret[i] = (struct iovec){iov[i].iov_base, used};
        if (ws_tracker_between(&t)) {
            return i + 1;
        }
    }
    return i;
}

ssize_t ws_writev(struct ws *w, const struct iovec *iov, int n)
{
    struct iovec cut[VECTORS_TO_BOUNDARY];
    assert(w->role == WS_ROLE_SERVER);
    if (w->state != WS_OPEN || w->tell_dead) {
        return -EPIPE;
    }
    if (conn_queued(w->c) > 0) {
        conn_notify_drained(w->c, 1);
        return -EAGAIN;
    }
    bool waiting = w->held.len > 0;
    if (waiting) {
        /* Only the rest of this frame, then what waits behind it. */
        n = cut_at_boundary(w, iov, n, cut);
        iov = cut;
    }
    ssize_t taken = conn_writev(w->c, iov, n);
    if (taken > 0) {
        follow(w, iov, n, (size_t)taken);
    }
    if (taken >= 0 && waiting && ws_tracker_between(&w->written)) {
        flush_held(w);
        conn_notify_drained(w->c, 1);
    }
    return taken;
}

/* ---- frames in ---- */

static void handle_close(struct ws *w, const struct ws_event *e)
{
    char reason[WS_REASON_MAX + 1];
    if (w->state == WS_CLOSING) {
        close_gracefully(w);
        return;
    }
    snprintf(reason, sizeof(reason), "%.*s", (int)e->data.len, (const char *)e->data.data);
    send_close(w, e->code, BYTES(NULL, 0));
    die(w, e->code, reason);
}

static void handle_event(struct ws *w, const struct ws_event *e)
{
    switch (e->opcode) {
    case WS_OP_TEXT:
        if (w->state == WS_OPEN && w->ops->on_text) {
            w->ops->on_text(w->user, e->data);
        }
        break;
    case WS_OP_BINARY:
        if (w->state == WS_OPEN && w->ops->on_binary) {
            w->ops->on_binary(w->user, e->data);
        }
        break;
    case WS_OP_PING:
        /* RFC 6455 5.5.3: not every ping must be answered, when more have come. */
        if (w->state == WS_OPEN && conn_queued(w->c) + w->held.len < PONG_QUEUE_MAX) {
            send_frame(w, WS_OP_PONG, e->data);
        }
        break;
    case WS_OP_CLOSE:
        handle_close(w, e);
        break;
    case WS_OP_PONG:
    case WS_OP_CONTINUATION:
        break;
    }
}

static bool listens(const struct ws *w)
{
    return (w->state == WS_OPEN && !w->tell_dead) || w->state == WS_CLOSING;
}

/* May free w. */
static void feed(struct ws *w, struct bytes in)
{
    struct ws_event e;
    int r = 0;
    w->busy++;
    while (listens(w) && (r = ws_parser_next(&w->parser, &in, &e)) > 0) {
        handle_event(w, &e);
    }
    if (r < 0 && listens(w)) {
        send_close(w, w->parser.error_code, BYTES_STR(w->parser.error));
        die(w, w->parser.error_code, w->parser.error);
    }
    w->busy--;
    release(w);
}

/* ---- keepalive ---- */

static void start_timer(struct ws *w, int64_t ns)
{
    loop_timer_start(w->timer, (uint64_t)(MAX(ns, NS_PER_MS) / NS_PER_MS));
}

static void check_silence(struct ws *w)
{
    int64_t now = loop_now_ns(w->loop);
    int64_t allowed = w->silent_ms * NS_PER_MS;
    int64_t silent = now - w->heard_ns;
    if (w->pinged_ns != 0 && w->heard_ns <= w->pinged_ns) {
        die(w, WS_CLOSE_BROKEN, "the peer does not answer pings");
        return;
    }
    w->pinged_ns = 0;
    if (silent < allowed) {
        start_timer(w, allowed - silent);
        return;
    }
    w->pinged_ns = now;
    send_frame(w, WS_OP_PING, BYTES(NULL, 0));
    start_timer(w, w->answer_ms * NS_PER_MS);
}

static void on_timer(void *user)
{
    struct ws *w = user;
    switch (w->state) {
    case WS_CONNECTING:
        die(w, WS_CLOSE_BROKEN, "the WebSocket handshake took too long");
        break;
    case WS_OPEN:
        check_silence(w);
        break;
    case WS_CLOSING:
        close_now(w);
        break;
    case WS_DEAD:
    case WS_FREED:
        break;
    }
}

void ws_set_keepalive(struct ws *w, unsigned silent_ms, unsigned answer_ms)
{
    w->silent_ms = silent_ms;
    w->answer_ms = answer_ms;
    if (w->state == WS_OPEN) {
        start_timer(w, silent_ms * NS_PER_MS);
    }
}

/* ---- the transport ---- */

static void open_now(struct ws *w)
{
    w->state = WS_OPEN;
    w->heard_ns = loop_now_ns(w->loop);
    start_timer(w, w->silent_ms * NS_PER_MS);
}

/* What came with the handshake, before anything that came later. May free w. */
static void feed_kept(struct ws *w)
{
    struct out kept = w->in;
    w->in = (struct out){0};
    if (kept.len > 0) {
        feed(w, out_view(&kept));
    }
    out_done(&kept);
}

static void run_task(struct loop_task *t)
{
    struct ws *w = CONTAINER_OF(t, struct ws, task);
    if (w->tell_dead) {
        die(w, w->dead_code, w->dead_reason);
        return;
    }
    if (w->state == WS_OPEN || w->state == WS_CLOSING) {
        feed_kept(w);
    }
}

static void read_handshake(struct ws *w, struct bytes data);

static void on_read(void *user, struct bytes data)
{
    struct ws *w = user;
    w->heard_ns = loop_now_ns(w->loop);
    if (w->state == WS_CONNECTING) {
        read_handshake(w, data);
        return;
    }
    w->busy++;
    feed_kept(w);
    if (listens(w)) {
        feed(w, data);
    }
    w->busy--;
    release(w);
}

static void on_writable(void *user)
{
    struct ws *w = user;
    if (w->state == WS_OPEN && w->ops->on_writable) {
        w->busy++;
        w->ops->on_writable(w->user);
        w->busy--;
        release(w);
    }
}

static void on_close(void *user, int r, const struct error *err)
{
    struct ws *w = user;
    switch (w->state) {
    case WS_CONNECTING:
    case WS_OPEN:
        die(w, WS_CLOSE_BROKEN,
            err && err->text[0] ? err->text
            : r == 0            ? "the peer closed the connection"
                                : error_name(r));
        break;
    case WS_CLOSING:
        close_now(w);
        break;
    case WS_DEAD:
    case WS_FREED:
        break;
    }
}

static void on_open(void *user)
{
    struct ws *w = user;
    if (w->client) {
        conn_send_bytes(w->c, out_view(&w->client->request));
        out_done(&w->client->request);
    }
}

static const struct conn_ops ops = {
    .on_read = on_read,
    .on_writable = on_writable,
    .on_close = on_close,
    .on_open = on_open,
};

/* ---- server ---- */

static void refuse(struct http_reply *reply, int status, const struct error *err)
{
    if (status == 426) {
        http_reply_header(reply, "Upgrade", "websocket");
        http_reply_header(reply, "Connection", "Upgrade");
        http_reply_header(reply, "Sec-WebSocket-Version", "13");
    }
    http_reply_problem(reply, status, status == 426 ? "upgrade-required" : "bad-request", err);
}

struct ws *ws_accept(struct http_request *req, struct http_reply *reply, const char *protocol,
                     const struct ws_ops *ws_ops, void *user)
{
    struct error err = {0};
    _cleanup_(out_done) struct out head = {0};
    int status = ws_handshake_judge(req, protocol, &head, &err);
    if (status == 0 && !reply->gone && !http_reply_may_upgrade(reply)) {
        error_set(&err, -EPROTO, "", "a WebSocket handshake needs HTTP/1.1");
        status = 426;
    }
    if (status != 0 || reply->gone) {
        refuse(reply, status ? status : 400, &err);
        return NULL;
    }
    struct ws *w = ws_new(req->loop, WS_ROLE_SERVER, ws_ops, user);
    w->c = http_reply_upgrade(reply, out_view(&head), &w->in);
    conn_set_ops(w->c, &ops, w);
    conn_set_queue_max(w->c, QUEUE_MAX + WS_FRAME_HEADER_MAX + WS_CONTROL_MAX + head.len);
    open_now(w);
    if (w->in.len > 0) {
        loop_defer(w->loop, LOOP_STAGE_NOTIFY, &w->task);
    }
    return w;
}

/* ---- client ---- */

static const struct textmsg_limits limits = {
    .line_bytes = HTTP_LINE_MAX,
    .fields_bytes = HTTP_FIELDS_BYTES_MAX,
    .fields = TEXTMSG_FIELDS_MAX,
};

static void read_handshake(struct ws *w, struct bytes data)
{
    struct error err = {0};
    out_bytes(&w->in, data);
    ssize_t n = textmsg_parse(&w->client->msg, out_view(&w->in), &err);
    if (n == 0) {
        return;
    }
    if (n > 0 &&
        ws_handshake_check(&w->client->msg, w->client->key, w->client->protocol, &err) == 0) {
        memmove(w->in.data, w->in.data + n, w->in.len - (size_t)n);
        w->in.len -= (size_t)n;
        client_free(w);
        open_now(w);
        w->busy++;
        if (w->ops->on_open) {
            w->ops->on_open(w->user);
        }
        if (listens(w)) {
            feed_kept(w);
        }
        w->busy--;
        release(w);
        return;
    }
    die(w, WS_CLOSE_BROKEN, err.text);
}

static int check_url(const struct ws_connect *how, struct url *u, struct error *err)
{
    int r = url_parse(how->url, u, err);
    if (r < 0) {
        return r;
    }
    bool secure = strcmp(u->scheme, "wss") == 0;
    if (!secure && strcmp(u->scheme, "ws") != 0) {
        return error_set(err, -EINVAL, "url", "a WebSocket URL starts with ws:// or wss://");
    }
    if (secure && !how->tls) {
        return error_set(err, -EINVAL, "url", "wss:// needs a TLS context");
    }
    if (u->host[0] == '\0' || u->port <= 0 || u->port > 65535) {
        return error_set(err, -EINVAL, "url", "a WebSocket URL needs a host and a port");
    }
    return 0;
}

struct ws *ws_connect(struct loop *l, const struct ws_connect *how, const struct ws_ops *ws_ops,
                      void *user, struct error *err)
{
    _cleanup_(url_done) struct url u = {0};
    unsigned timeout_ms = how->timeout_ms ? how->timeout_ms : HANDSHAKE_MS;
    if (check_url(how, &u, err) < 0) {
        return NULL;
    }
    struct ws *w = ws_new(l, WS_ROLE_CLIENT, ws_ops, user);
    w->client = mem_new(struct ws_client);
    w->client->protocol = how->protocol ? mem_strdup(how->protocol) : NULL;
    ws_key_new(w->client->key);
    ws_handshake_ask(&w->client->request, &u, w->client->key, how->protocol);
    textmsg_init(&w->client->msg, TEXTMSG_RESPONSE, "HTTP", &limits);
    const struct conn_connect transport = {
        .host = u.host,
        .port = (uint16_t)u.port,
        .tls = strcmp(u.scheme, "wss") == 0 ? how->tls : NULL,
        .timeout_ms = timeout_ms,
    };
    w->c = conn_connect(l, &transport, &ops, w);
    conn_set_queue_max(w->c, QUEUE_MAX + WS_FRAME_HEADER_MAX + WS_CONTROL_MAX);
    loop_timer_start(w->timer, timeout_ms);
    return w;
}

/* ---- what owners call ---- */

void ws_set_max_message(struct ws *w, size_t bytes)
{
    w->parser.max_message = bytes;
}

struct conn *ws_conn(struct ws *w)
{
    return w->c;
}

void ws_close(struct ws *w, int code, const char *reason)
{
    bool dead = w->tell_dead || w->state == WS_DEAD;
    /* Tell nobody any more. */
    w->ops = NULL;
    if (w->state == WS_CONNECTING || w->tell_dead || !ws_tracker_between(&w->written)) {
        /* Half a frame is out, and nobody will write its rest: a close frame would be taken for a part of it. */
        close_now(w);
    } else if (dead) {
        close_gracefully(w);
    } else {
        assert(w->state == WS_OPEN);
        w->state = WS_CLOSING;
        send_close(w, code, BYTES_STR(reason ? reason : ""));
        loop_timer_start(w->timer, CLOSE_MS);
    }
}
