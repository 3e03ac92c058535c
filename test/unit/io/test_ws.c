/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/log.h"
#include "base/mem.h"
#include "http_peer.h"
#include "io/ws.h"
#include "io/ws_wire.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

/* A server on a loop of its own, against raw sockets and against our own client, which runs on another loop. */
struct world {
    struct loop *control;
    struct loop *media;
    struct http_server *server;
    uint16_t port;
    unsigned silent_ms;
    unsigned answer_ms;
    atomic_int close_code; /* of the server's last session */
    atomic_uint closed;
    atomic_uint opened;
    atomic_uint blocked; /* raw frames that the socket took in part */
    char close_reason[WS_REASON_MAX + 1];
    bool close_at_once;
    bool later;
};

static struct world w;

/* ---- the server's session: echoes; "close" closes, "flood" floods with raw frames, "mix" mixes them with text ---- */

struct session {
    struct ws *ws;
    unsigned frames_left;
    bool mix;
    uint8_t payload[5000];
    uint8_t header[WS_HEADER_MAX];
    unsigned header_len;
    size_t done; /* of the current frame */
};

static void session_end(struct session *s, int code, const char *reason)
{
    ws_close(s->ws, code, reason);
    free(s);
    atomic_fetch_add(&w.closed, 1);
}

/* May end the session. */
static void pump(struct session *s)
{
    while (s->frames_left > 0) {
        size_t h = MIN(s->done, (size_t)s->header_len);
        size_t p = s->done - h;
        const struct iovec iov[] = {
            {s->header + h, s->header_len - h},
            {s->payload + p, sizeof(s->payload) - p},
        };
        ssize_t n = ws_writev(s->ws, iov, 2);
        if (n == -EAGAIN) {
            return;
        }
        if (n < 0) {
            session_end(s, 1006, NULL); /* nobody else tells of it */
            return;
        }
        s->done += (size_t)n;
        if (s->done < s->header_len + sizeof(s->payload)) {
            if (s->mix) {
                /* Right in the middle of a frame. */
                ws_send_text(s->ws, BYTES_STR("between"));
                s->mix = false;
            }
            atomic_fetch_add(&w.blocked, 1);
            return;
        }
        s->done = 0;
        s->frames_left--;
        s->mix = s->mix || s->frames_left % 10 == 5;
    }
}

static void on_text(void *user, struct bytes text)
{
    struct session *s = user;
    if (bytes_equal_str(text, "close")) {
        session_end(s, 4001, "asked to");
    } else if (bytes_equal_str(text, "flood")) {
        s->frames_left = 4000;
        s->mix = true;
        pump(s);
    } else if (bytes_equal_str(text, "fill")) {
        /* More than the queue takes: the session is told, and ends. */
        _cleanup_free_ char *big = mem_zalloc(600 * 1024);
        memset(big, 'f', 600 * 1024);
        for (int i = 0; i < 8; i++) {
            ws_send_text(s->ws, BYTES(big, 600 * 1024));
        }
    } else {
        ws_send_text(s->ws, text);
    }
}

static void on_binary(void *user, struct bytes data)
{
    struct session *s = user;
    ws_send_binary(s->ws, data);
}

static void on_writable(void *user)
{
    pump(user);
}

static void on_close(void *user, int code, const char *reason)
{
    struct session *s = user;
    snprintf(w.close_reason, sizeof(w.close_reason), "%s", reason);
    atomic_store(&w.close_code, code);
    session_end(s, code, NULL);
}

static const struct ws_ops server_ops = {
    .on_text = on_text,
    .on_binary = on_binary,
    .on_writable = on_writable,
    .on_close = on_close,
};

static void accept_now(struct http_request *req, struct http_reply *reply)
{
    struct session *s = mem_new(struct session);
    s->header_len = ws_frame_header(s->header, sizeof(s->payload));
    memset(s->payload, 'p', sizeof(s->payload));
    s->ws = ws_accept(req, reply, "test-protocol", &server_ops, s);
    if (!s->ws) {
        free(s);
        return;
    }
    atomic_fetch_add(&w.opened, 1);
    if (w.silent_ms) {
        ws_set_keepalive(s->ws, w.silent_ms, w.answer_ms);
    }
    if (w.close_at_once) {
        session_end(s, 1001, NULL);
    }
}

struct later {
    struct loop_timer *timer;
    struct http_request *req;
    struct http_reply *reply;
};

static void on_later(void *user)
{
    struct later *l = user;
    loop_timer_free(l->timer);
    accept_now(l->req, l->reply);
    free(l);
}

static void handle_ws(void *user, struct http_request *req, struct http_reply *reply)
{
    if (!w.later) {
        accept_now(req, reply);
        return;
    }
    struct later *l = mem_new(struct later);
    *l = (struct later){loop_timer_new(http_request_loop(req), on_later, l), req, reply};
    loop_timer_start(l->timer, 5);
}

static const struct http_route routes[] = {
    {.method = HTTP_GET, .kind = HTTP_ROUTE_MEDIA, .pattern = "/ws", .handle = handle_ws},
};

static void open_server(struct loop *l, void *arg)
{
    const struct http_server_config config = {0};
    const struct listener_config listen = {.address = "127.0.0.1", .name = "http"};
    struct error err;
    w.server = http_server_new(&config, w.control);
    http_server_mount(w.server, routes, ARRAY_LEN(routes), NULL);
    assert_int_equal(http_server_listen(w.server, &listen, &w.media, 1, &err), 0);
    w.port = listener_port(http_server_listener(w.server, 0));
}

static void close_server(struct loop *l, void *arg)
{
    w.server = http_server_free(w.server);
}

static int setup(void **state)
{
    memset(&w, 0, sizeof(w));
    w.control = loop_new("control", LOOP_CONTROL);
    w.media = loop_new("media", 0);
    assert_int_equal(loop_start(w.control), 0);
    assert_int_equal(loop_start(w.media), 0);
    loop_call_wait(w.control, open_server, NULL);
    return 0;
}

static int teardown(void **state)
{
    WAIT_UNTIL(atomic_load(&w.opened) == atomic_load(&w.closed));
    WAIT_UNTIL(ws_live() == 0);
    WAIT_UNTIL(listener_live(http_server_listener(w.server, 0)) == 0);
    loop_call_wait(w.control, close_server, NULL);
    loop_stop(w.media);
    loop_stop(w.control);
    loop_free(w.media);
    loop_free(w.control);
    assert_int_equal(buf_live_count(), 0);
    return 0;
}

/* ---- raw ---- */

#define HEAD                                                                                       \
    "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"     \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define HANDSHAKE HEAD "Sec-WebSocket-Version: 13\r\n\r\n"

static void put(struct out *o, enum ws_opcode opcode, const char *text)
{
    static const uint8_t key[4] = {1, 2, 3, 4};
    uint8_t header[WS_FRAME_HEADER_MAX];
    size_t n = strlen(text);
    out_mem(o, header, ws_header_put(header, opcode, n, key));
    ws_mask(out_extend(o, n), (const uint8_t *)text, n, key, 0);
}

static void test_raw_handshake(void **state)
{
    _cleanup_(out_done) struct out ask = {0};
    _cleanup_(out_done) struct out o = {0};
    /* The first frames may come in the same segment as the handshake. */
    for (int round = 0; round < 2; round++) {
        w.later = round == 1;
        ask.len = o.len = 0;
        out_puts(&ask, HEAD
                 "Sec-WebSocket-Protocol: foo, test-protocol\r\nSec-WebSocket-Version: 13\r\n\r\n");
        put(&ask, WS_OP_TEXT, "hello");
        put(&ask, WS_OP_PING, "p");
        int fd = peer_connect(w.port);
        peer_send(fd, out_view(&ask));
        assert_string_equal(
            peer_expect(fd, &o, "\r\n\r\n"),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
            "Sec-WebSocket-Protocol: test-protocol\r\n\r\n");
        peer_expect(fd, &o, "\x81\x05hello\x8a\x01p");
        ask.len = 0;
        put(&ask, WS_OP_CLOSE,
            "\x0f\xa0"
            "done");
        peer_send(fd, out_view(&ask));
        peer_expect(fd, &o, "\x88\x02\x0f\xa0");
        WAIT_UNTIL(atomic_load(&w.close_code) == 4000);
        assert_string_equal(peer_rest(fd, &o), "");
        assert_string_equal(w.close_reason, "done");
        close(fd);
        atomic_store(&w.close_code, 0);
    }
}

static void test_refused_handshakes(void **state)
{
    static const struct {
        const char *request;
        const char *answer;
        const char *part;
    } table[] = {
        {"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 426 ",
         "Upgrade: websocket\r\n"},
        {HEAD "Sec-WebSocket-Version: 8\r\nConnection: close\r\n\r\n", "HTTP/1.1 426 ",
         "Sec-WebSocket-Version: 13\r\n"},
        {HEAD "Connection: close\r\n\r\n", "HTTP/1.1 426 ", NULL},
        {HEAD
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nConnection: close\r\n\r\n",
         "HTTP/1.1 400 ", NULL},
        {"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: close, Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n",
         "HTTP/1.1 400 ", NULL},
        {"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: close, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n\r\n",
         "HTTP/1.1 400 ", NULL},
        {"GET /ws HTTP/1.0\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
         "HTTP/1.1 426 ", NULL},
        {"HEAD /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: close, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
         "HTTP/1.1 426 ", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        _cleanup_(out_done) struct out o = {0};
        const char *answer = peer_ask(w.port, table[i].request, &o);
        if (strncmp(answer, table[i].answer, strlen(table[i].answer)) != 0 ||
            (table[i].part && !strstr(answer, table[i].part))) {
            fail_msg("%s was answered %s", table[i].request, answer);
        }
    }
    assert_int_equal(atomic_load(&w.opened), 0);
}

/* A peer that breaks the rules gets a close frame with the code that says so. */
static void test_violations(void **state)
{
    static const struct {
        const char *frame;
        size_t len;
        int code;
    } table[] = {
        {"\x81\x05Hello", 7, 1002},
        {"\xc1\x80\0\0\0\0", 6, 1002},
        {"\x81\x81\0\0\0\0\xff", 7, 1007},
        {"\x82\xff\0\0\0\0\0\1\0\1\0\0\0\0", 14, 1009},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        _cleanup_(out_done) struct out o = {0};
        const char want[] = {(char)(table[i].code >> 8), (char)table[i].code, 0};
        int fd = peer_connect(w.port);
        peer_say(fd, HANDSHAKE);
        peer_expect(fd, &o, "\r\n\r\n");
        peer_send(fd, BYTES(table[i].frame, table[i].len));
        peer_expect(fd, &o, want);
        (void)peer_rest(fd, &o);
        close(fd);
        WAIT_UNTIL(atomic_load(&w.close_code) == table[i].code);
        atomic_store(&w.close_code, 0);
    }
}

static void test_silent_peers(void **state)
{
    _cleanup_(out_done) struct out o = {0};
    w.silent_ms = 30;
    w.answer_ms = 4000;
    int fd = peer_connect(w.port);
    peer_say(fd, HANDSHAKE);
    peer_expect(fd, &o, "\r\n\r\n");
    /* The second ping comes only when the first was answered in time. */
    for (int i = 0; i < 2; i++) {
        _cleanup_(out_done) struct out pong = {0};
        peer_expect(fd, &o, "\x89");
        while (o.len == 0) {
            (void)peer_read_some(fd, &o, 1000);
        }
        o.len = 0;
        put(&pong, WS_OP_PONG, "");
        peer_send(fd, out_view(&pong));
    }
    assert_int_equal(atomic_load(&w.closed), 0);
    close(fd);
    WAIT_UNTIL(atomic_load(&w.closed) == 1);
    /* And without an answer there is no next one. */
    atomic_store(&w.close_code, 0);
    w.answer_ms = 60;
    o.len = 0;
    fd = peer_connect(w.port);
    peer_say(fd, HANDSHAKE);
    peer_expect(fd, &o, "\r\n\r\n");
    (void)peer_rest(fd, &o);
    assert_int_equal(o.data[0], 0x89);
    WAIT_UNTIL(atomic_load(&w.close_code) == 1006);
    close(fd);
}

static void test_server_closes(void **state)
{
    _cleanup_(out_done) struct out o = {0};
    _cleanup_(out_done) struct out ask = {0};
    int fd = peer_connect(w.port);
    put(&ask, WS_OP_TEXT, "close");
    peer_say(fd, HANDSHAKE);
    peer_send(fd, out_view(&ask));
    peer_expect(fd, &o,
                "\x88\x0a\x0f\xa1"
                "asked to");
    ask.len = 0;
    put(&ask, WS_OP_CLOSE, "\x0f\xa1");
    peer_send(fd, out_view(&ask));
    assert_string_equal(peer_rest(fd, &o), "");
    close(fd);
    /* Without an echo it ends all the same; and a session may be closed where it was accepted. */
    w.close_at_once = true;
    fd = peer_connect(w.port);
    o.len = 0;
    peer_say(fd, HANDSHAKE);
    peer_expect(fd, &o, "\x88");
    WAIT_UNTIL(ws_live() == 0);
    close(fd);
}

static void test_queue_bound(void **state)
{
    _cleanup_(out_done) struct out ask = {0};
    int fd = peer_connect(w.port);
    out_puts(&ask, HANDSHAKE);
    put(&ask, WS_OP_TEXT, "fill");
    peer_send(fd, out_view(&ask));
    WAIT_UNTIL(atomic_load(&w.close_code) == 1006);
    close(fd);
}

/* Leaves after every byte of a conversation. */
static void test_leaving_at_every_byte(void **state)
{
    _cleanup_(out_done) struct out script = {0};
    out_puts(&script, HANDSHAKE);
    put(&script, WS_OP_TEXT, "hello");
    put(&script, WS_OP_PING, "x");
    put(&script, WS_OP_TEXT, "flood");
    put(&script, WS_OP_CLOSE, "\x03\xe8");
    for (size_t n = 0; n <= script.len; n++) {
        struct linger now = {.l_onoff = (int)(n % 2), .l_linger = 0};
        int fd = peer_connect(w.port);
        peer_send(fd, BYTES(script.data, n));
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        close(fd);
    }
    WAIT_UNTIL(http_server_live(w.server) == 0);
}

/* Raw frames and text that was sent in the middle of one: the stream stays a stream of frames. */
static void test_text_between_raw_frames(void **state)
{
    _cleanup_(out_done) struct out ask = {0};
    struct ws_parser p;
    struct ws_event e;
    unsigned frames = 0;
    unsigned texts = 0;
    int small = 200000; /* smaller than a segment would stall in the kernel */
    int fd = peer_connect(w.port);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    _cleanup_(out_done) struct out o = {0};
    peer_say(fd, HANDSHAKE);
    peer_expect(fd, &o, "\r\n\r\n");
    put(&ask, WS_OP_TEXT, "flood");
    peer_send(fd, out_view(&ask));
    /* Nothing is read until the socket is full. */
    WAIT_UNTIL(atomic_load(&w.blocked) > 0);
    ws_parser_init(&p, WS_ROLE_CLIENT, 10000);
    while (frames < 4000) {
        assert_true(peer_read_some(fd, &o, AWAIT_MAX_MS));
        struct bytes in = out_view(&o);
        int r;
        while ((r = ws_parser_next(&p, &in, &e)) > 0) {
            if (e.opcode == WS_OP_TEXT) {
                assert_true(bytes_equal_str(e.data, "between"));
                texts++;
            } else {
                assert_int_equal(e.opcode, WS_OP_BINARY);
                assert_int_equal(e.data.len, 5000);
                assert_int_equal(e.data.data[4999], 'p');
                frames++;
            }
        }
        assert_int_equal(r, 0);
        o.len = 0;
    }
    assert_true(texts > 0);
    ws_parser_done(&p);
    close(fd);
}

/* ---- our client against our server ---- */

struct client {
    struct loop *loop;
    struct ws *ws;
    unsigned opened;
    unsigned texts;
    unsigned binaries;
    unsigned events; /* of any kind */
    unsigned close_after;
    int code;
    char reason[128];
    char text[64];
};

/* True: the session was closed here, at the event the test asked for. */
static bool count(struct client *c)
{
    if (++c->events == c->close_after) {
        ws_close(c->ws, 1000, NULL);
        c->ws = NULL;
        return true;
    }
    return false;
}

static void client_open(void *user)
{
    struct client *c = user;
    c->opened++;
    if (count(c)) {
        return;
    }
    ws_send_text(c->ws, BYTES_STR("hello"));
    ws_send_binary(c->ws, BYTES("\0\1\2", 3));
}

static void client_text(void *user, struct bytes text)
{
    struct client *c = user;
    c->texts++;
    snprintf(c->text, sizeof(c->text), "%.*s", (int)text.len, (const char *)text.data);
    (void)count(c);
}

static void client_binary(void *user, struct bytes data)
{
    struct client *c = user;
    c->binaries++;
    if (!count(c) && c->binaries == 1) {
        assert_true(bytes_equal(data, BYTES("\0\1\2", 3)));
        ws_send_text(c->ws, BYTES_STR("close"));
    }
}

static void client_close(void *user, int code, const char *reason)
{
    struct client *c = user;
    c->code = code;
    snprintf(c->reason, sizeof(c->reason), "%s", reason);
    c->events++;
    ws_close(c->ws, code, NULL);
    c->ws = NULL;
}

static const struct ws_ops client_ops = {
    .on_open = client_open,
    .on_text = client_text,
    .on_binary = client_binary,
    .on_close = client_close,
};

static void client_run(struct client *c, uint16_t port, const char *path, unsigned timeout_ms)
{
    char url[64];
    struct error err = {0};
    snprintf(url, sizeof(url), "ws://127.0.0.1:%u%s", port, path);
    const struct ws_connect how = {
        .url = url, .protocol = "test-protocol", .timeout_ms = timeout_ms};
    c->loop = loop_new("client", 1);
    c->ws = ws_connect(c->loop, &how, &client_ops, c, &err);
    assert_non_null(c->ws);
    RUN_UNTIL(c->loop, !c->ws);
    RUN_UNTIL(c->loop, ws_live() == 0);
    loop_free(c->loop);
}

static void test_client(void **state)
{
    struct client c = {0};
    client_run(&c, w.port, "/ws", 0);
    assert_int_equal(c.opened, 1);
    assert_int_equal(c.texts, 1);
    assert_string_equal(c.text, "hello");
    assert_int_equal(c.binaries, 1);
    assert_int_equal(c.code, 4001);
    assert_string_equal(c.reason, "asked to");
}

static void test_client_closes_at_every_event(void **state)
{
    for (unsigned n = 1; n <= 4; n++) {
        struct client c = {.close_after = n};
        client_run(&c, w.port, "/ws", 0);
        assert_int_equal(c.events, n);
    }
}

/* Answers one connection with a text, from another thread. */
struct impostor {
    int listener;
    const char *answer;
};

static void *impostor_main(void *arg)
{
    struct impostor *i = arg;
    struct out o = {0};
    int fd = accept4(i->listener, NULL, NULL, SOCK_CLOEXEC);
    while (!memmem(o.data ? o.data : (uint8_t *)"", o.len, "\r\n\r\n", 4) &&
           peer_read_some(fd, &o, AWAIT_MAX_MS)) {
    }
    peer_say(fd, i->answer);
    (void)peer_rest(fd, &o);
    close(fd);
    out_done(&o);
    return NULL;
}

static void test_client_refuses(void **state)
{
    static const struct {
        const char *answer;
        const char *reason;
    } table[] = {
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404"},
        {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
         "our key"},
        {"HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "something else"},
        {"SSH-2.0-OpenSSH\r\n", "version"},
        {"", "too long"}, /* the one that lets the client wait */
    };
    for (size_t n = 0; n < ARRAY_LEN(table); n++) {
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof(sa);
        struct impostor i = {socket(AF_INET, SOCK_STREAM, 0), table[n].answer};
        pthread_t thread;
        struct client c = {0};
        assert_int_equal(bind(i.listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
        assert_int_equal(listen(i.listener, 1), 0);
        assert_int_equal(getsockname(i.listener, (struct sockaddr *)&sa, &len), 0);
        assert_int_equal(pthread_create(&thread, NULL, impostor_main, &i), 0);
        client_run(&c, ntohs(sa.sin_port), "/", table[n].answer[0] ? AWAIT_MAX_MS : 100);
        pthread_join(thread, NULL);
        close(i.listener);
        assert_int_equal(c.opened, 0);
        assert_int_equal(c.code, 1006);
        if (!strstr(c.reason, table[n].reason)) {
            fail_msg("\"%s\" does not speak of \"%s\"", c.reason, table[n].reason);
        }
    }
}

static void test_client_urls(void **state)
{
    static const char *const bad[] = {"http://127.0.0.1/", "wss://127.0.0.1/", "ws://", "ws:///x",
                                      "x"};
    struct loop *l = loop_new("client", 1);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct error err = {0};
        const struct ws_connect how = {.url = bad[i]};
        assert_null(ws_connect(l, &how, &client_ops, NULL, &err));
        assert_int_equal(err.code, -EINVAL);
    }
    loop_free(l);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_raw_handshake),
        TEST(test_refused_handshakes),
        TEST(test_violations),
        TEST(test_silent_peers),
        TEST(test_server_closes),
        TEST(test_queue_bound),
        TEST(test_leaving_at_every_byte),
        TEST(test_text_between_raw_frames),
        TEST(test_client),
        TEST(test_client_closes_at_every_event),
        TEST(test_client_refuses),
        TEST(test_client_urls),
    };
    log_configure(getenv("MAST_LOG") ? getenv("MAST_LOG") : "error", false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
