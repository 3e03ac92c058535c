/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/log.h"
#include "base/mem.h"
#include "http_peer.h"
#include "io/http.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/stat.h>

/*
 * The server as the program runs it, a control loop and two media loops on their own threads, against raw sockets and
 * curl. What handlers count is atomic, because the test looks at it from its own thread.
 */
struct world {
    struct loop *control;
    struct loop *media[2];
    struct http_server *server;
    uint16_t port;
    char file[64];
    /* Control loop: replies kept open by /hold. */
    struct http_reply *held[64];
    unsigned n_held;
    atomic_uint held_count;
    atomic_uint gone;
    atomic_uint handled;
    atomic_int write_result;
    struct http_server_config config;
};

static struct world w;

/* ---- handlers ---- */

static void reply_text(struct http_reply *p, int status, const char *text)
{
    struct buf *b = buf_from_str(text);
    http_reply_send(p, status, "text/plain", &b);
}

static void handle_hello(void *user, struct http_request *req, struct http_reply *p)
{
    assert_true(loop_current() == http_request_loop(req));
    atomic_fetch_add(&w.handled, 1);
    reply_text(p, 200, "hello\n");
}

static void handle_info(void *user, struct http_request *req, struct http_reply *p)
{
    _cleanup_(out_done) struct out o = {0};
    char q[32] = "-";
    const char *agent = http_request_header(req, "user-agent");
    const char *rest = http_request_param(req, "rest");
    (void)http_request_query_get(req, "q", q, sizeof(q));
    bool right_loop =
        loop_current() ==
        (http_request_route(req)->kind == HTTP_ROUTE_CONTROL ? w.control : http_request_loop(req));
    out_printf(&o, "path=%s rest=%s q=%s agent=%s peer=%d loop=%d\n", http_request_path(req),
               rest ? rest : "-", q, agent ? agent : "-",
               strncmp(http_request_peer(req)->text, "127.0.0.1:", 10) == 0, right_loop);
    atomic_fetch_add(&w.handled, 1);
    http_reply_header(p, "X-Kind", "info");
    reply_text(p, 200, out_str(&o));
}

static void handle_echo(void *user, struct http_request *req, struct http_reply *p)
{
    struct buf *b = buf_copy(http_request_body(req));
    atomic_fetch_add(&w.handled, 1);
    http_reply_send(p, 200, "application/octet-stream", &b);
}

static void handle_file(void *user, struct http_request *req, struct http_reply *p)
{
    http_reply_file(p, open(w.file, O_RDONLY | O_CLOEXEC), "text/plain", "max-age=60");
}

struct later {
    struct loop_timer *timer;
    struct http_reply *reply;
};

static void on_later(void *user)
{
    struct later *l = user;
    loop_timer_free(l->timer);
    reply_text(l->reply, 200, "later\n");
    free(l);
}

static void handle_later(void *user, struct http_request *req, struct http_reply *p)
{
    struct later *l = mem_new(struct later);
    *l = (struct later){loop_timer_new(http_request_loop(req), on_later, l), p};
    loop_timer_start(l->timer, 5);
}

static void on_gone(void *user)
{
    atomic_fetch_add(&w.gone, 1);
}

static void handle_hold(void *user, struct http_request *req, struct http_reply *p)
{
    assert_true(w.n_held < ARRAY_LEN(w.held));
    w.held[w.n_held++] = p;
    atomic_fetch_add(&w.held_count, 1);
}

static void handle_watch(void *user, struct http_request *req, struct http_reply *p)
{
    http_reply_begin(p, 200, "text/event-stream");
    struct buf *b = buf_from_str("data: 1\n\n");
    (void)http_reply_write(p, &b);
    http_reply_on_gone(p, on_gone, NULL);
    atomic_fetch_add(&w.held_count, 1);
}

static void handle_stream(void *user, struct http_request *req, struct http_reply *p)
{
    static const char *const pieces[] = {"one ", "", "two ", "three\n"};
    http_reply_header(p, "X-Kind", "stream");
    http_reply_begin(p, 200, "text/plain");
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        struct buf *b = buf_from_str(pieces[i]);
        assert_int_equal(http_reply_write(p, &b), 0);
    }
    http_reply_end(p);
}

/* Writes until the bound says stop. */
static void handle_flood(void *user, struct http_request *req, struct http_reply *p)
{
    int r = 0;
    http_reply_begin(p, 200, "text/plain");
    for (int i = 0; i < 4096 && r == 0; i++) {
        struct buf *b = buf_new(64 * 1024);
        memset(b->data, 'x', b->len);
        r = http_reply_write(p, &b);
    }
    http_reply_end(p);
    atomic_store(&w.write_result, r);
}

static void handle_big(void *user, struct http_request *req, struct http_reply *p)
{
    struct buf *b = buf_new(4 * 1024 * 1024);
    memset(b->data, 'y', b->len);
    http_reply_send(p, 200, "text/plain", &b);
}

/* As many pieces as there may be, of growing size; byte i of the body is i mod 251. */
static void handle_pieces(void *user, struct http_request *req, struct http_reply *p)
{
    struct buf *pieces[HTTP_PIECES_MAX];
    char most[8];
    unsigned n = http_request_query_get(req, "most", most, sizeof(most)) ? HTTP_PIECES_MAX : 3;
    size_t at = 0;
    for (unsigned i = 0; i < n; i++) {
        pieces[i] = buf_new(1 + i % 700);
        for (size_t k = 0; k < pieces[i]->len; k++) {
            pieces[i]->data[k] = (uint8_t)((at + k) % 251);
        }
        at += pieces[i]->len;
    }
    http_reply_send_pieces(p, 200, "video/mp4", pieces, n);
    for (unsigned i = 0; i < n; i++) {
        buf_unref(&pieces[i]);
    }
}

static bool guard(void *user, struct http_request *req, struct http_reply *p)
{
    if (strcmp(http_request_path(req), "/secret") != 0) {
        return true;
    }
    http_reply_header(p, "WWW-Authenticate", "Bearer");
    http_reply_problem(p, 401, "no-credentials", NULL);
    return false;
}

#define ROUTE(m, k, p, h)                                                                          \
    {                                                                                              \
        .method = HTTP_##m, .kind = HTTP_ROUTE_##k, .pattern = p, .handle = h                      \
    }
static const struct http_route routes[] = {
    ROUTE(GET, MEDIA, "/hello", handle_hello),
    ROUTE(GET, MEDIA, "/info/{rest+}", handle_info),
    ROUTE(GET, CONTROL, "/control/{rest+}", handle_info),
    ROUTE(POST, MEDIA, "/echo", handle_echo),
    ROUTE(POST, CONTROL, "/control-echo", handle_echo),
    {.method = HTTP_POST,
     .kind = HTTP_ROUTE_CONTROL,
     .pattern = "/small",
     .handle = handle_echo,
     .max_body_bytes = 10},
    ROUTE(GET, MEDIA, "/file", handle_file),
    ROUTE(GET, MEDIA, "/pieces", handle_pieces),
    ROUTE(GET, MEDIA, "/later", handle_later),
    ROUTE(GET, CONTROL, "/hold", handle_hold),
    ROUTE(GET, CONTROL, "/watch", handle_watch),
    ROUTE(GET, MEDIA, "/media-watch", handle_watch),
    ROUTE(GET, MEDIA, "/stream", handle_stream),
    ROUTE(GET, CONTROL, "/control-stream", handle_stream),
    ROUTE(GET, MEDIA, "/flood", handle_flood),
    ROUTE(GET, CONTROL, "/control-flood", handle_flood),
    ROUTE(GET, CONTROL, "/big", handle_big),
    ROUTE(POST, MEDIA, "/secret", handle_hello),
};

/* ---- the world ---- */

static void open_server(struct loop *l, void *arg)
{
    struct error err = {0};
    const struct listener_config listen = {.address = "127.0.0.1", .name = "http"};
    w.server = http_server_new(&w.config, w.control);
    http_server_mount(w.server, routes, ARRAY_LEN(routes), NULL);
    if (http_server_listen(w.server, &listen, w.media, ARRAY_LEN(w.media), &err) < 0) {
        fail_msg("%s", err.text);
    }
    w.port = listener_port(http_server_listener(w.server, 0));
}

static void close_server(struct loop *l, void *arg)
{
    w.server = http_server_free(w.server);
}

static int setup(void **state)
{
    memset(&w, 0, sizeof(w));
    w.config = (struct http_server_config){.server_name = "test", .guard = guard};
    w.control = loop_new("control", LOOP_CONTROL);
    w.media[0] = loop_new("media-0", 0);
    w.media[1] = loop_new("media-1", 1);
    assert_int_equal(loop_start(w.control), 0);
    assert_int_equal(loop_start(w.media[0]), 0);
    assert_int_equal(loop_start(w.media[1]), 0);
    snprintf(w.file, sizeof(w.file), "/tmp/mast-http-test.XXXXXX");
    int fd = mkstemp(w.file);
    assert_true(fd >= 0);
    for (int i = 0; i < 50000; i++) {
        char line[11];
        snprintf(line, sizeof(line), "%09d\n", i);
        assert_int_equal(write(fd, line, 10), 10);
    }
    close(fd);
    loop_call_wait(w.control, open_server, NULL);
    return 0;
}

static void release_held(struct loop *l, void *arg)
{
    for (unsigned i = 0; i < w.n_held; i++) {
        reply_text(w.held[i], 200, "held\n");
    }
    w.n_held = 0;
}

static int teardown(void **state)
{
    if (w.server) {
        WAIT_UNTIL(http_server_live(w.server) == 0);
        loop_call_wait(w.control, close_server, NULL);
    }
    loop_call_wait(w.control, release_held, NULL);
    struct loop *loops[] = {w.media[0], w.media[1], w.control};
    for (int i = 0; i < 3; i++) {
        loop_stop(loops[i]);
    }
    for (int i = 0; i < 3; i++) {
        loop_free(loops[i]);
    }
    unlink(w.file);
    assert_int_equal(buf_live_count(), 0);
    return 0;
}

/* Restarts the server with other deadlines. */
static void reconfigure(unsigned header_ms, unsigned body_ms, unsigned idle_ms)
{
    w.config.header_timeout_ms = header_ms;
    w.config.body_timeout_ms = body_ms;
    w.config.idle_timeout_ms = idle_ms;
    loop_call_wait(w.control, close_server, NULL);
    loop_call_wait(w.control, open_server, NULL);
}

static void assert_has(const char *text, const char *part)
{
    assert_non_null(text);
    if (!strstr(text, part)) {
        fail_msg("\"%s\" is not in \"%.2000s\"", part, text);
    }
}

static void assert_starts(const char *text, const char *start)
{
    if (strncmp(text, start, strlen(start)) != 0) {
        fail_msg("\"%.500s\" does not start with \"%s\"", text, start);
    }
}

/* ---- raw ---- */

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

static void test_keep_alive_and_pipelining(void **state)
{
    _cleanup_(out_done) struct out o = {0};
    int fd = peer_connect(w.port);
    peer_say(fd, GET("/hello"));
    const char *head = peer_expect(fd, &o, "hello\n");
    assert_starts(head, "HTTP/1.1 200 OK\r\nDate: ");
    assert_has(
        head,
        " GMT\r\nServer: test\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n");
    /* Answers come in the order of the requests, also when the first ones take longer. */
    peer_say(
        fd,
        GET("/later") GET("/control/a?q=1") GET(
            "/hello") "POST /echo HTTP/1.1\r\nHost: x\r\n"
                      "Content-Length: 4\r\n\r\nbody" GET(
                          "/later") "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" GET("/hello"));
    peer_expect(fd, &o, "later\n");
    peer_expect(fd, &o, "path=/control/a rest=a q=1 agent=- peer=1 loop=1\n");
    peer_expect(fd, &o, "hello\n");
    peer_expect(fd, &o, "\r\n\r\nbody");
    peer_expect(fd, &o, "later\n");
    assert_has(peer_expect(fd, &o, "hello\n"), "Connection: close\r\n");
    /* What follows the last one is not answered. */
    assert_string_equal(peer_rest(fd, &o), "");
    close(fd);
}

/* A long pipeline that the client only reads at its end: bounded input, bounded output, nothing lost. */
static void test_long_pipeline(void **state)
{
    enum {
        N = 20000
    };
    _cleanup_(out_done) struct out all = {0};
    _cleanup_(out_done) struct out o = {0};
    for (int i = 0; i < N; i++) {
        out_puts(&all, GET("/hello"));
    }
    int fd = peer_connect(w.port);
    pid_t pid = fork();
    if (pid == 0) {
        peer_send(fd, out_view(&all));
        _exit(0);
    }
    usleep(50000); /* lets the pipeline fill up; what is asserted holds without */
    int n = 0;
    while (n < N) {
        const char *text = peer_expect(fd, &o, "\r\n\r\nhello\n");
        assert_starts(text, "HTTP/1.1 200 OK\r\n");
        n++;
    }
    close(fd);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(o.len, 0);
    assert_int_equal(atomic_load(&w.handled), N);
}

struct table_case {
    const char *request;
    const char *answer; /* start of it */
    const char *part;   /* somewhere in it; may be NULL */
};

static void check_table(const struct table_case *table, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        _cleanup_(out_done) struct out o = {0};
        const char *answer = peer_ask(w.port, table[i].request, &o);
        if (strncmp(answer, table[i].answer, strlen(table[i].answer)) != 0) {
            fail_msg("%s was answered %s", table[i].request, answer);
        }
        if (table[i].part) {
            assert_has(answer, table[i].part);
        }
    }
}

#define CLOSE "Connection: close\r\n"

static void test_refusals(void **state)
{
    static const struct table_case table[] = {
        {"GET /hello HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ", "Host is missing"},
        {"GET /hello HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "HTTP/1.1 400 ", "Host is repeated"},
        {"GET /hello HTTP/1.1\r\nHost: a/b\r\n\r\n", "HTTP/1.1 400 ", NULL},
        {"GET http://b/hello HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 ", "different hosts"},
        {"GET http://A/hello HTTP/1.1\r\nHost: a\r\n" CLOSE "\r\n", "HTTP/1.1 200 ", "hello"},
        {"GET hello HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 ", NULL},
        {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 ", NULL},
        {"GET /%2e%2e/hello HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 ", NULL},
        {"GET /a%2fhello HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 ", NULL},
        {"GET /x/%2e%2e/hello HTTP/1.1\r\nHost: a\r\n" CLOSE "\r\n", "HTTP/1.1 200 ", "hello"},
        {"BREW /hello HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 501 ",
         "\"code\":\"not-implemented\""},
        {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 501 ", NULL},
        {"GET /hello HTTP/2.0\r\nHost: a\r\n\r\n", "HTTP/1.1 505 ", NULL},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 505 ", NULL},
        {"GET /hello HTTP/1.1\nHost: a\n\n", "HTTP/1.1 400 ", "LF without CR"},
        {"GET /hello\r\n", "HTTP/1.1 400 ", NULL},
        {"\x16\x03\x01\x02", "HTTP/1.1 400 ", "application/problem+json"},
        {"GET /nothing HTTP/1.1\r\nHost: a\r\n" CLOSE "\r\n", "HTTP/1.1 404 ",
         "\"code\":\"not-found\""},
        {"POST /hello HTTP/1.1\r\nHost: a\r\n" CLOSE "\r\n", "HTTP/1.1 405 ",
         "Allow: GET, HEAD, OPTIONS\r\n"},
        {"POST /echo HTTP/1.0\r\n\r\nbody", "HTTP/1.1 411 ", NULL},
        {"POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", "HTTP/1.1 413 ",
         "larger than 10 bytes"},
        {"POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n" CLOSE "\r\n0123456789",
         "HTTP/1.1 200 ", "0123456789"},
        {"POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n6\r\n",
         "HTTP/1.1 413 ", NULL},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: a cake\r\nContent-Length: 1\r\n\r\n",
         "HTTP/1.1 417 ", NULL},
        {"OPTIONS /echo HTTP/1.1\r\nHost: a\r\n" CLOSE "\r\n", "HTTP/1.1 204 ",
         "Allow: POST, OPTIONS\r\n"},
        {"OPTIONS * HTTP/1.1\r\nHost: a\r\n" CLOSE "\r\n", "HTTP/1.1 204 ",
         "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"},
        {"POST /secret HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde", "HTTP/1.1 401 ",
         "WWW-Authenticate: Bearer\r\n"},
    };
    check_table(table, ARRAY_LEN(table));
}

/* Nothing behind a message whose end two parsers could see in two places is ever taken for a request. */
static void test_smuggling(void **state)
{
#define SMUGGLED "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
    static const struct table_case table[] = {
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
         "HTTP/1.1 400 ", NULL},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 34\r\n\r\n" SMUGGLED,
         "HTTP/1.1 400 ", NULL},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 0\r\n\r\n" SMUGGLED, "HTTP/1.1 400 ",
         NULL},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" SMUGGLED,
         "HTTP/1.1 400 ", NULL},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" SMUGGLED,
         "HTTP/1.1 400 ", NULL},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
         "HTTP/1.1 501 ", NULL},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
         "HTTP/1.1 400 ", NULL},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
         "HTTP/1.1 400 ", NULL},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n" SMUGGLED,
         "HTTP/1.1 400 ", NULL},
        {"POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
         "HTTP/1.1 400 ", NULL},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\n\r\n" SMUGGLED,
         "HTTP/1.1 400 ", NULL},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n" SMUGGLED,
         "HTTP/1.1 400 ", NULL},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nabcde" SMUGGLED,
         "HTTP/1.1 400 ", NULL},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nabcde" SMUGGLED,
         "HTTP/1.1 400 ", NULL},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: identity\r\n\r\nabcde" SMUGGLED,
         "HTTP/1.1 400 ", NULL},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" SMUGGLED,
         "HTTP/1.1 400 ", NULL},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0b"
         "chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
         "HTTP/1.1 400 ", NULL},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0;a\n\r\n" SMUGGLED,
         "HTTP/1.1 400 ", NULL},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a\r\nxy\r\n0\r\n\r\n" SMUGGLED,
         "HTTP/1.1 400 ", NULL},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nGET /hello HTTP/1.1\r\n\r\n" SMUGGLED,
         "HTTP/1.1 400 ", NULL},
        {"POST http://b/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n" SMUGGLED,
         "HTTP/1.1 400 ", NULL},
        {"\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED, "HTTP/1.1 400 ", NULL},
        /* The body of a refused or unrouted request is not a request either. */
        {"POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 34\r\n\r\n" SMUGGLED,
         "HTTP/1.1 404 ", "Connection: close\r\n"},
        {"POST /secret HTTP/1.1\r\nHost: a\r\nContent-Length: 34\r\n\r\n" SMUGGLED, "HTTP/1.1 401 ",
         "Connection: close\r\n"},
    };
    check_table(table, ARRAY_LEN(table));
    assert_int_equal(atomic_load(&w.handled), 0);
    /* A body that looks like a request, where a body is allowed but not expected, is a body: one answer. */
    _cleanup_(out_done) struct out o = {0};
    const char *answer = peer_ask(
        w.port,
        "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 32\r\n\r\n" SMUGGLED,
        &o);
    assert_starts(answer, "HTTP/1.1 200 ");
    assert_null(strstr(answer + 1, "HTTP/1.1"));
    assert_int_equal(atomic_load(&w.handled), 1);
}

static void test_oversized(void **state)
{
    static const struct {
        const char *start;
        const char *unit;
        int n;
        const char *answer;
    } table[] = {
        {"GET /", "a", 9000, "HTTP/1.1 414 "},
        {"GET /hello HTTP/1.1\r\nHost: ", "a", 40000, "HTTP/1.1 431 "},
        {"GET /hello HTTP/1.1\r\n", "A: b\r\n", 101, "HTTP/1.1 431 "},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n", "a", 100000,
         "HTTP/1.1 413 "},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "1;a\r\nb\r\n",
         5000, "HTTP/1.1 400 "},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        _cleanup_(out_done) struct out ask = {0};
        _cleanup_(out_done) struct out o = {0};
        out_puts(&ask, table[i].start);
        for (int n = 0; n < table[i].n; n++) {
            out_puts(&ask, table[i].unit);
        }
        assert_starts(peer_ask(w.port, out_str(&ask), &o), table[i].answer);
    }
    assert_int_equal(atomic_load(&w.handled), 0);
}

static void test_http10(void **state)
{
    _cleanup_(out_done) struct out o = {0};
    const char *answer = peer_ask(w.port, "GET /hello HTTP/1.0\r\n\r\n" GET("/hello"), &o);
    assert_has(answer, "Connection: close\r\n\r\nhello\n");
    assert_null(strstr(strstr(answer, "hello") + 5, "hello"));
    /* Streams end with the connection. */
    answer = peer_ask(w.port, "GET /control-stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &o);
    assert_null(strstr(answer, "chunked"));
    assert_has(answer, "\r\n\r\none two three\n");
    int fd = peer_connect(w.port);
    o.len = 0;
    peer_say(fd, "GET /hello HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    assert_has(peer_expect(fd, &o, "hello\n"), "Connection: keep-alive\r\n");
    peer_say(fd, "GET /hello HTTP/1.0\r\n\r\n");
    assert_has(peer_rest(fd, &o), "Connection: close\r\n");
    close(fd);
}

static void test_expect_continue(void **state)
{
    _cleanup_(out_done) struct out o = {0};
    int fd = peer_connect(w.port);
    peer_say(
        fd,
        "POST /control-echo HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n");
    assert_string_equal(peer_expect(fd, &o, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    peer_say(fd, "abc");
    assert_has(peer_expect(fd, &o, "\r\n\r\nabc"), "HTTP/1.1 200 OK\r\n");
    /* Refused before the body is asked for. */
    peer_say(
        fd,
        "POST /secret HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_starts(peer_rest(fd, &o), "HTTP/1.1 401 ");
    close(fd);
}

static void test_chunked_answers(void **state)
{
    static const char *const paths[] = {GET("/stream"), GET("/control-stream")};
    for (int i = 0; i < 2; i++) {
        _cleanup_(out_done) struct out o = {0};
        int fd = peer_connect(w.port);
        peer_say(fd, paths[i]);
        const char *answer = peer_expect(fd, &o, "0\r\n\r\n");
        assert_has(answer, "X-Kind: stream\r\n");
        assert_has(
            answer,
            "Transfer-Encoding: chunked\r\n\r\n4\r\none \r\n4\r\ntwo \r\n6\r\nthree\n\r\n0\r\n\r\n");
        peer_say(fd, GET("/hello"));
        peer_expect(fd, &o, "hello\n");
        close(fd);
    }
}

/* Reads an answer of len bytes behind its head. */
static void read_pieces(int fd, struct out *o, size_t len)
{
    char line[48];
    snprintf(line, sizeof(line), "Content-Length: %zu\r\n\r\n", len);
    assert_starts(peer_expect(fd, o, line), "HTTP/1.1 200 OK\r\n");
    AWAIT_STEP(o->len >= len, (void)peer_read_some(fd, o, 20));
    for (size_t i = 0; i < len; i++) {
        if (o->data[i] != i % 251) {
            fail_msg("byte %zu of %zu is wrong", i, len);
        }
    }
    memmove(o->data, o->data + len, o->len - len);
    o->len -= len;
}

static void test_pieces(void **state)
{
    _cleanup_(out_done) struct out o = {0};
    size_t most = 0;
    for (unsigned i = 0; i < HTTP_PIECES_MAX; i++) {
        most += 1 + i % 700;
    }
    int fd = peer_connect(w.port);
    peer_say(fd, GET("/pieces"));
    read_pieces(fd, &o, 6);
    /* The most there may be is sent whole, also to one that reads late, and the next request is served. */
    peer_say(fd, GET("/pieces?most=1") GET("/pieces") GET("/hello"));
    read_pieces(fd, &o, most);
    read_pieces(fd, &o, 6);
    peer_expect(fd, &o, "hello\n");
    peer_say(fd, "HEAD /pieces HTTP/1.1\r\nHost: x\r\n\r\n" GET("/hello"));
    peer_expect(fd, &o, "Content-Length: 6\r\n\r\n");
    assert_starts(peer_expect(fd, &o, "hello\n"), "HTTP/1.1 200 OK\r\n");
    /* A client that leaves in the middle: the references go (teardown counts them). */
    peer_say(fd, GET("/pieces?most=1"));
    peer_expect(fd, &o, "HTTP/1.1 200 OK\r\n");
    close(fd);
}

static void test_head(void **state)
{
    _cleanup_(out_done) struct out o = {0};
    int fd = peer_connect(w.port);
    peer_say(
        fd, "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\nHEAD /file HTTP/1.1\r\nHost: a\r\n\r\n"
            "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\nHEAD /nothing HTTP/1.1\r\nHost: a\r\n\r\n" GET(
                "/hello"));
    assert_has(peer_expect(fd, &o, "\r\n\r\n"), "Content-Length: 6\r\n");
    assert_has(peer_expect(fd, &o, "\r\n\r\n"), "Content-Length: 500000\r\n");
    assert_has(peer_expect(fd, &o, "\r\n\r\n"), "chunked\r\n");
    assert_starts(peer_expect(fd, &o, "\r\n\r\n"), "HTTP/1.1 404 ");
    assert_starts(peer_expect(fd, &o, "hello\n"), "HTTP/1.1 200 ");
    close(fd);
}

/* ---- deadlines ---- */

static void test_slow_senders(void **state)
{
    _cleanup_(out_done) struct out o = {0};
    /* Idle: closed without a word. */
    reconfigure(AWAIT_MAX_MS, AWAIT_MAX_MS, 60);
    assert_string_equal(peer_ask(w.port, "", &o), "");
    reconfigure(60, AWAIT_MAX_MS, AWAIT_MAX_MS);
    /* Part of a head, a byte now and then does not help. */
    int fd = peer_connect(w.port);
    o.len = 0;
    peer_say(fd, "GET /hello HTTP/1.1\r\nA: ");
    AWAIT_STEP(o.len > 0, {
        peer_say(fd, "a");
        (void)peer_read_some(fd, &o, 10);
    });
    assert_starts(peer_rest(fd, &o), "HTTP/1.1 408 ");
    close(fd);
    /* Part of a body, likewise. */
    reconfigure(AWAIT_MAX_MS, 60, AWAIT_MAX_MS);
    fd = peer_connect(w.port);
    o.len = 0;
    peer_say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    AWAIT_STEP(o.len > 0, {
        peer_say(fd, "a");
        (void)peer_read_some(fd, &o, 10);
    });
    assert_starts(peer_rest(fd, &o), "HTTP/1.1 408 ");
    close(fd);
    assert_int_equal(atomic_load(&w.handled), 0);
}

static void test_a_client_that_does_not_read(void **state)
{
    reconfigure(AWAIT_MAX_MS, 100, AWAIT_MAX_MS);
    static const char *const asks[] = {GET("/big"), GET("/flood"), GET("/control-flood")};
    for (int i = 0; i < 3; i++) {
        int fd = peer_connect(w.port);
        int small = 4096;
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
        peer_say(fd, asks[i]);
        if (i == 0) {
            WAIT_UNTIL(listener_accepted(http_server_listener(w.server, 0)) == 1);
        } else {
            WAIT_UNTIL(atomic_load(&w.write_result) == -ENOBUFS);
            atomic_store(&w.write_result, 0);
        }
        WAIT_UNTIL(http_server_live(w.server) == 0);
        close(fd);
    }
}

/* ---- handlers and clients that part ---- */

static void test_clients_that_leave(void **state)
{
    static const char *const asks[] = {GET("/watch"), GET("/media-watch"), GET("/hold")};
    for (unsigned i = 0; i < 3; i++) {
        _cleanup_(out_done) struct out o = {0};
        int fd = peer_connect(w.port);
        peer_say(fd, asks[i]);
        WAIT_UNTIL(atomic_load(&w.held_count) == i + 1);
        if (i < 2) {
            peer_expect(fd, &o, "data: 1\n\n");
        }
        close(fd);
        WAIT_UNTIL(http_server_live(w.server) == 0);
        if (i < 2) {
            WAIT_UNTIL(atomic_load(&w.gone) == i + 1);
        }
    }
    /* The answer that nobody waits for any more is dropped; the slot's next owner does not get it. */
    _cleanup_(out_done) struct out o = {0};
    int fd = peer_connect(w.port);
    peer_say(fd, GET("/hold"));
    WAIT_UNTIL(atomic_load(&w.held_count) == 4);
    loop_call_wait(w.control, release_held, NULL);
    assert_starts(peer_expect(fd, &o, "held\n"), "HTTP/1.1 200 ");
    assert_int_equal(o.len, 0);
    close(fd);
}

static void test_freeing_with_answers_owed(void **state)
{
    int fds[3];
    for (unsigned i = 0; i < 3; i++) {
        fds[i] = peer_connect(w.port);
        peer_say(fds[i], i == 0 ? GET("/hold") : i == 1 ? GET("/watch") : GET("/media-watch"));
        WAIT_UNTIL(atomic_load(&w.held_count) == i + 1);
    }
    loop_call_wait(w.control, close_server, NULL);
    assert_int_equal(atomic_load(&w.gone), 2);
    /* Late answers fall into nothing; teardown would see what leaks. */
    loop_call_wait(w.control, release_held, NULL);
    for (int i = 0; i < 3; i++) {
        _cleanup_(out_done) struct out o = {0};
        (void)peer_rest(fds[i], &o);
        close(fds[i]);
    }
}

static void reset_and_close(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

/* The client leaves after every byte of a conversation that touches every state, politely and not. */
static void test_leaving_at_every_byte(void **state)
{
    static const char script[] = GET(
        "/control/a") "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "5\r\nhello\r\n0\r\n\r\n" GET("/stream") GET("/control-stream") GET("/later")
                          GET("/file") "POST /control-echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" GET(
                              "/watch");
    for (size_t n = 0; n <= strlen(script); n++) {
        int fd = peer_connect(w.port);
        peer_send(fd, BYTES(script, n));
        if (n % 2) {
            reset_and_close(fd);
        } else {
            close(fd);
        }
    }
    WAIT_UNTIL(http_server_live(w.server) == 0);
}

static void test_ten_thousand_connections(void **state)
{
    for (int i = 0; i < 10000; i++) {
        _cleanup_(out_done) struct out o = {0};
        int fd = peer_connect(w.port);
        if (i % 4 == 0) {
            peer_say(fd, i % 8 ? GET("/hello") : GET("/control/x"));
            (void)peer_read_some(fd, &o, AWAIT_MAX_MS);
            assert_starts(out_str(&o), "HTTP/1.1 200 ");
        } else if (i % 4 == 1) {
            peer_say(fd, "GET /he");
        } else if (i % 4 == 2) {
            peer_say(fd, GET("/control-stream"));
        }
        reset_and_close(fd);
    }
    WAIT_UNTIL(http_server_live(w.server) == 0);
    WAIT_UNTIL(listener_live(http_server_listener(w.server, 0)) == 0);
    assert_true(listener_accepted(http_server_listener(w.server, 0)) <= 10000);
    WAIT_UNTIL(buf_live_count() == 0);
}

/* ---- curl ---- */

static int curl(struct out *o, const char *const *options, const char *path)
{
    const char *argv[32] = {"curl", "-s", "-S", "--http1.1", "--max-time", "60"};
    char url[128];
    int n = 6;
    for (int i = 0; options && options[i]; i++) {
        argv[n++] = options[i];
    }
    snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", w.port, path);
    argv[n++] = url;
    return peer_run(argv, o);
}

#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_curl(void **state)
{
    _cleanup_(out_done) struct out o = {0};
    assert_int_equal(curl(&o, OPTIONS("-A", "me"), "/info/a%20b/c?q=x%26y"), 0);
    assert_string_equal(out_str(&o), "path=/info/a b/c rest=a b/c q=x&y agent=me peer=1 loop=1\n");
    o.len = 0;
    /* Two URLs, one connection. */
    char second[64];
    snprintf(second, sizeof(second), "http://127.0.0.1:%u/control/z", w.port);
    assert_int_equal(curl(&o, OPTIONS("-A", "me", "-w", "%{num_connects}\n", second), "/hello"), 0);
    assert_string_equal(out_str(&o),
                        "path=/control/z rest=z q=- agent=me peer=1 loop=1\n1\nhello\n0\n");
}

static void test_curl_uploads(void **state)
{
    _cleanup_(out_done) struct out o = {0};
    _cleanup_(out_done) struct out want = {0};
    _cleanup_free_ char *data = mem_printf("@%s", w.file);
    const char *argv[] = {"cat", w.file, NULL};
    assert_int_equal(peer_run(argv, &want), 0);
    /* curl sends Expect: 100-continue for large bodies. */
    assert_int_equal(
        curl(&o, OPTIONS("--data-binary", data, "-H", "Expect: 100-continue"), "/control-echo"), 0);
    assert_true(bytes_equal(out_view(&o), out_view(&want)));
    o.len = 0;
    assert_int_equal(
        curl(&o, OPTIONS("--data-binary", data, "-H", "Transfer-Encoding: chunked"), "/echo"), 0);
    assert_true(bytes_equal(out_view(&o), out_view(&want)));
}

static void test_curl_files(void **state)
{
    _cleanup_(out_done) struct out o = {0};
    assert_int_equal(curl(&o, NULL, "/file"), 0);
    assert_int_equal(o.len, 500000);
    assert_memory_equal(o.data + 499990, "000049999\n", 10);
    o.len = 0;
    assert_int_equal(curl(&o, OPTIONS("-i", "-r", "100-119"), "/file"), 0);
    assert_starts(out_str(&o), "HTTP/1.1 206 ");
    assert_has(out_str(&o), "Content-Range: bytes 100-119/500000\r\n");
    assert_has(out_str(&o), "\r\n\r\n000000010\n000000011\n");
    o.len = 0;
    assert_int_equal(curl(&o, OPTIONS("-i", "-r", "500000-"), "/file"), 0);
    assert_starts(out_str(&o), "HTTP/1.1 416 ");
    assert_has(out_str(&o), "Content-Range: bytes */500000\r\n");
    o.len = 0;
    assert_int_equal(curl(&o, OPTIONS("-I"), "/file"), 0);
    assert_has(out_str(&o), "Content-Length: 500000\r\n");
    assert_has(out_str(&o), "Cache-Control: max-age=60\r\n");
    char *etag = strstr(out_str(&o), "ETag: ") + 6;
    _cleanup_free_ char *condition =
        mem_printf("If-None-Match: %.*s", (int)strcspn(etag, "\r"), etag);
    o.len = 0;
    assert_int_equal(curl(&o, OPTIONS("-i", "-H", condition), "/file"), 0);
    assert_starts(out_str(&o), "HTTP/1.1 304 ");
    assert_null(strstr(out_str(&o), "Content-Length"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_keep_alive_and_pipelining),
        TEST(test_long_pipeline),
        TEST(test_refusals),
        TEST(test_smuggling),
        TEST(test_oversized),
        TEST(test_http10),
        TEST(test_expect_continue),
        TEST(test_chunked_answers),
        TEST(test_pieces),
        TEST(test_head),
        TEST(test_slow_senders),
        TEST(test_a_client_that_does_not_read),
        TEST(test_clients_that_leave),
        TEST(test_freeing_with_answers_owed),
        TEST(test_leaving_at_every_byte),
        TEST(test_ten_thousand_connections),
        TEST(test_curl),
        TEST(test_curl_uploads),
        TEST(test_curl_files),
    };
    log_configure("error", false);
    cmocka_set_test_filter(getenv("TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
