/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/log.h"
#include "base/mem.h"
#include "h2_peer.h"
#include "io/http.h"
#include "io/http2_private.h"
#include "io/tls.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

/*
 * The server as the program runs it, a control loop and two media loops on their own threads, over TLS, against nghttp2's
 * client and against frames that no client sends.
 */
#define PIECES      700
#define PIECES_SIZE (3 * 1024 * 1024)

struct world {
    struct loop *control;
    struct loop *media[2];
    struct http_server *server;
    struct tls_context *tls;
    uint16_t port;
    char dir[64];
    char file[80];
    struct http_reply *held[256]; /* control loop */
    unsigned n_held;
    atomic_uint held_count;
    atomic_uint gone;
    atomic_uint handled;
    atomic_uint warnings;
    struct http_server_config config;
    struct buf *pieces[PIECES]; /* 3 MiB in pieces of many sizes: byte i of the body is i mod 251 */
};

static struct world w;

/* ---- handlers ---- */

static void reply_text(struct http_reply *p, int status, const char *text)
{
    struct buf *b = buf_from_str(text);
    http_reply_send(p, status, "text/plain", &b);
}

static void handle_info(void *user, struct http_request *req, struct http_reply *p)
{
    _cleanup_(out_done) struct out o = {0};
    const char *host = http_request_header(req, "Host");
    const char *cookie = http_request_header(req, "Cookie");
    const char *rest = http_request_param(req, "rest");
    bool control = http_request_route(req)->kind == HTTP_ROUTE_CONTROL;
    bool right_loop = loop_current() == (control ? w.control : http_request_loop(req));
    out_printf(&o, "path=%s rest=%s query=%s host=%s cookie=%s tls=%d loop=%d\n",
               http_request_path(req), rest ? rest : "-", http_request_query(req),
               host ? host : "-", cookie ? cookie : "-", http_request_is_tls(req), right_loop);
    atomic_fetch_add(&w.handled, 1);
    http_reply_header(p, "X-Kind", "info");
    http_reply_header(p, "Connection", "Upgrade");
    reply_text(p, 200, out_str(&o));
}

static void handle_echo(void *user, struct http_request *req, struct http_reply *p)
{
    struct buf *b = buf_copy(http_request_body(req));
    http_reply_send(p, 200, "application/octet-stream", &b);
}

static void handle_file(void *user, struct http_request *req, struct http_reply *p)
{
    http_reply_file(p, open(w.file, O_RDONLY | O_CLOEXEC), "text/plain", "max-age=60");
}

static void on_gone(void *user)
{
    atomic_fetch_add(&w.gone, 1);
}

/* Kept open, as a blocking playlist reload is. */
static void handle_block(void *user, struct http_request *req, struct http_reply *p)
{
    http_reply_on_gone(p, on_gone, NULL);
    atomic_fetch_add(&w.held_count, 1);
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
    assert_int_equal(http_reply_write(p, &b), 0);
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
}

static void handle_pieces(void *user, struct http_request *req, struct http_reply *p)
{
    http_reply_send_pieces(p, 200, "video/mp4", w.pieces, PIECES);
}

static void make_pieces(void)
{
    size_t at = 0;
    for (unsigned i = 0; i < PIECES; i++) {
        size_t n = i == PIECES - 1 ? PIECES_SIZE - at : 1 + (i * i * 31) % 8000;
        w.pieces[i] = buf_new(n);
        for (size_t k = 0; k < n; k++) {
            w.pieces[i]->data[k] = (uint8_t)((at + k) % 251);
        }
        at += n;
    }
}

static bool guard(void *user, struct http_request *req, struct http_reply *p)
{
    if (strcmp(http_request_path(req), "/secret") != 0) {
        return true;
    }
    http_reply_problem(p, 401, "no-credentials", NULL);
    return false;
}

#define ROUTE(m, k, p, h)                                                                          \
    {                                                                                              \
        .method = HTTP_##m, .kind = HTTP_ROUTE_##k, .pattern = p, .handle = h                      \
    }
static const struct http_route routes[] = {
    ROUTE(GET, MEDIA, "/info/{rest+}", handle_info),
    ROUTE(GET, CONTROL, "/control/{rest+}", handle_info),
    ROUTE(POST, MEDIA, "/echo", handle_echo),
    ROUTE(POST, CONTROL, "/control-echo", handle_echo),
    ROUTE(GET, MEDIA, "/file", handle_file),
    ROUTE(GET, MEDIA, "/block", handle_block),
    ROUTE(GET, CONTROL, "/control-block", handle_block),
    ROUTE(GET, CONTROL, "/hold", handle_hold),
    ROUTE(GET, CONTROL, "/control-watch", handle_watch),
    ROUTE(GET, MEDIA, "/watch", handle_watch),
    ROUTE(GET, MEDIA, "/stream", handle_stream),
    ROUTE(GET, CONTROL, "/control-stream", handle_stream),
    ROUTE(GET, MEDIA, "/flood", handle_flood),
    ROUTE(GET, CONTROL, "/control-flood", handle_flood),
    ROUTE(GET, MEDIA, "/pieces", handle_pieces),
    ROUTE(POST, MEDIA, "/secret", handle_info),
};

/* ---- the world ---- */

static void open_server(struct loop *l, void *arg)
{
    struct error err = {0};
    const struct listener_config listen = {.address = "127.0.0.1", .tls = w.tls, .name = "https"};
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

static void count_warnings(void *user, enum log_level level, const char *topic, const char *text)
{
    if (level == LOG_WARN && strcmp(topic, "io.http2") == 0) {
        atomic_fetch_add(&w.warnings, 1);
    }
}

static int setup(void **state)
{
    struct error err;
    memset(&w, 0, sizeof(w));
    w.config = (struct http_server_config){.server_name = "test", .guard = guard};
    snprintf(w.dir, sizeof(w.dir), "/tmp/mast-http2-test.XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    w.tls = tls_context_self_signed(w.dir, "h2,http/1.1", &err);
    assert_non_null(w.tls);
    snprintf(w.file, sizeof(w.file), "%s/file", w.dir);
    FILE *f = fopen(w.file, "w");
    for (int i = 0; i < 50000; i++) {
        fprintf(f, "%09d\n", i);
    }
    fclose(f);
    make_pieces();
    log_set_sink(count_warnings, NULL);
    w.control = loop_new("control", LOOP_CONTROL);
    w.media[0] = loop_new("media-0", 0);
    w.media[1] = loop_new("media-1", 1);
    assert_int_equal(loop_start(w.control), 0);
    assert_int_equal(loop_start(w.media[0]), 0);
    assert_int_equal(loop_start(w.media[1]), 0);
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
    char path[96];
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
    log_set_sink(NULL, NULL);
    for (unsigned i = 0; i < PIECES; i++) {
        buf_unref(&w.pieces[i]);
    }
    tls_context_free(w.tls);
    unlink(w.file);
    snprintf(path, sizeof(path), "%s/tls-self-signed.pem", w.dir);
    unlink(path);
    rmdir(w.dir);
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

static void open_peer(struct h2_peer *p)
{
    h2_open(p, w.port, "h2");
    h2_session(p, 65535);
}

static void assert_has(struct out *text, const char *part)
{
    if (!strstr(out_str(text), part)) {
        fail_msg("\"%s\" is not in \"%.2000s\"", part, out_str(text));
    }
}

static void assert_status(const struct h2_answer *a, int status)
{
    if (a->status != status || a->code != 0 || !a->ended) {
        fail_msg("status %d (stream's code %u), not %d", a->status, a->code, status);
    }
}

/* A new client is served as if nothing had happened. */
static void assert_unharmed(void)
{
    struct h2_peer p;
    open_peer(&p);
    assert_status(h2_ask(&p, H2_FIELDS("GET", "/info/a")), 200);
    h2_close(&p);
}

/* ---- exchanges ---- */

static void test_requests_of_all_kinds(void **state)
{
    struct h2_peer p;
    open_peer(&p);
    struct h2_answer *a = h2_ask(&p, H2_FIELDS("GET", "/info/a/%C3%A9?q=1&r"));
    assert_status(a, 200);
    assert_string_equal(
        out_str(&a->body),
        "path=/info/a/\xc3\xa9 rest=a/\xc3\xa9 query=q=1&r host=x cookie=- tls=1 loop=1\n");
    assert_has(&a->head, " GMT\nserver: test\nx-kind: info\n");
    assert_has(&a->head, "\ncontent-type: text/plain\ncontent-length: ");
    assert_null(strstr(out_str(&a->head), "connection"));
    a = h2_ask(&p, H2_FIELDS("GET", "/control/b"));
    assert_status(a, 200);
    assert_has(&a->body, "path=/control/b rest=b query= host=x cookie=- tls=1 loop=1\n");
    a = h2_ask(&p, H2_FIELDS("HEAD", "/info/a"));
    assert_status(a, 200);
    assert_has(&a->head, "content-length: ");
    assert_int_equal(a->body.len, 0);
    a = h2_ask(&p, H2_FIELDS("OPTIONS", "/echo"));
    assert_status(a, 204);
    assert_has(&a->head, "allow: POST, OPTIONS\n");
    assert_null(strstr(out_str(&a->head), "content-length"));
    assert_status(h2_ask(&p, H2_FIELDS("OPTIONS", "*")), 204);
    a = h2_ask(&p, H2_FIELDS("PUT", "/echo"));
    assert_status(a, 405);
    assert_has(&a->head, "allow: POST, OPTIONS\n");
    a = h2_ask(&p, H2_FIELDS("GET", "/nothing"));
    assert_status(a, 404);
    assert_has(&a->body, "\"code\":\"not-found\"");
    a = h2_ask(&p, H2_FIELDS("POST", "/secret"));
    assert_status(a, 401);
    assert_status(h2_ask(&p, H2_FIELDS("BREW", "/info/a")), 501);
    a = h2_ask(&p, H2_FIELDS("GET", "/stream"));
    assert_status(a, 200);
    assert_string_equal(out_str(&a->body), "one two three\n");
    a = h2_ask(&p, H2_FIELDS("GET", "/control-stream"));
    assert_string_equal(out_str(&a->body), "one two three\n");
    h2_close(&p);
}

static void test_bodies(void **state)
{
    static uint8_t body[300000];
    struct h2_peer p;
    open_peer(&p);
    for (size_t i = 0; i < sizeof(body); i++) {
        body[i] = (uint8_t)(i % 253);
    }
    static const char *const paths[] = {H2_FIELDS("POST", "/echo"),
                                        H2_FIELDS("POST", "/control-echo")};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct h2_source source = {.left = BYTES(body, sizeof(body))};
        struct h2_answer *a = h2_submit(&p, paths[i], &source);
        H2_UNTIL(&p, a->closed);
        assert_status(a, 200);
        assert_int_equal(a->body.len, sizeof(body));
        assert_memory_equal(a->body.data, body, sizeof(body));
    }
    /* An empty body, and a client that waits for leave to send. */
    struct h2_source none = {0};
    struct h2_answer *a = h2_submit(&p, paths[0], &none);
    H2_UNTIL(&p, a->closed);
    assert_status(a, 200);
    struct h2_source some = {.left = BYTES(body, 10)};
    a = h2_submit(&p, H2_FIELDS("POST", "/echo") "expect: 100-continue\n", &some);
    H2_UNTIL(&p, a->closed);
    assert_status(a, 200);
    assert_has(&a->head, ":status: 100\n:status: 200\n");
    h2_close(&p);
}

static void test_refused_bodies(void **state)
{
    static uint8_t body[2 * 1024 * 1024];
    struct h2_peer p;
    open_peer(&p);
    /* Announced, and not announced, too large; refused by the guard: answered before the body is there, and not read. */
    static const struct {
        const char *fields;
        int status;
    } cases[] = {
        {H2_FIELDS("POST", "/echo") "content-length: 2097152\n", 413},
        {H2_FIELDS("POST", "/echo"), 413},
        {H2_FIELDS("POST", "/secret"), 401},
        {H2_FIELDS("POST", "/nothing"), 404},
        {H2_FIELDS("POST", "/echo") "expect: a miracle\n", 417},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct h2_source source = {.left = BYTES(body, sizeof(body))};
        struct h2_answer *a = h2_submit(&p, cases[i].fields, &source);
        H2_UNTIL(&p, a->closed);
        assert_int_equal(a->status, cases[i].status);
        assert_true(a->ended);
        assert_int_equal(a->code, NGHTTP2_NO_ERROR);
    }
    assert_status(h2_ask(&p, H2_FIELDS("GET", "/info/a")), 200);
    h2_close(&p);
}

static void test_files_and_pieces(void **state)
{
    struct h2_peer p;
    open_peer(&p);
    struct h2_answer *file = h2_get(&p, "/file");
    struct h2_answer *pieces = h2_get(&p, "/pieces");
    struct h2_answer *range =
        h2_submit(&p, H2_FIELDS("GET", "/file") "range: bytes=100000-100009\n", NULL);
    H2_UNTIL(&p, file->closed && pieces->closed && range->closed);
    assert_status(file, 200);
    assert_int_equal(file->body.len, 500000);
    assert_memory_equal(file->body.data + 499990, "000049999\n", 10);
    assert_has(&file->head, "accept-ranges: bytes\ncache-control: max-age=60\n");
    assert_status(range, 206);
    assert_has(&range->head, "content-range: bytes 100000-100009/500000\n");
    assert_string_equal(out_str(&range->body), "000010000\n");
    assert_status(pieces, 200);
    assert_int_equal(pieces->body.len, PIECES_SIZE);
    for (size_t i = 0; i < PIECES_SIZE; i++) {
        if (pieces->body.data[i] != i % 251) {
            fail_msg("byte %zu is wrong", i);
        }
    }
    assert_status(h2_ask(&p, H2_FIELDS("HEAD", "/file")), 200);
    h2_close(&p);
}

/* A small answer is not held up by large ones that were asked for before it. */
static void test_streams_take_turns(void **state)
{
    struct h2_peer p;
    open_peer(&p);
    struct h2_answer *large[3];
    for (int i = 0; i < 3; i++) {
        large[i] = h2_get(&p, "/pieces");
    }
    struct h2_answer *file = h2_get(&p, "/file");
    H2_UNTIL(&p, large[0]->closed && large[1]->closed && large[2]->closed && file->closed);
    assert_int_equal(file->order, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(large[i]->body.len, PIECES_SIZE);
    }
    h2_close(&p);
}

/* ---- rules ---- */

static void test_rules_of_http1_hold(void **state)
{
    /* 0: the stream is reset by nghttp2, with PROTOCOL_ERROR. */
    static const struct {
        const char *fields;
        int status;
    } cases[] = {
        {":method: GET\n:scheme: https\n:authority: x\n:path: /info/a\nhost: X\n", 200},
        {":method: GET\n:scheme: https\n:authority: x\n:path: /info/a\nhost: y\n", 400},
        {":method: GET\n:scheme: https\n:path: /info/a\nhost: y\n", 200},
        {":method: GET\n:scheme: https\n:path: /info/a\nhost: y\nhost: y\n", 0},
        {":method: GET\n:scheme: https\n:path: /info/a\n", 0},
        {":method: GET\n:scheme: https\n:authority: a@b\n:path: /info/a\n", 400},
        {":method: GET\n:scheme: ftp\n:authority: x\n:path: /info/a\n", 400},
        {":method: GET\n:scheme: https\n:authority: x\n:path: info\n", 0},
        {":method: GET\n:scheme: https\n:authority: x\n:path: https://x/info/a\n", 0},
        {":method: GET\n:scheme: https\n:authority: x\n:path: /info/a#b\n", 400},
        {":method: GET\n:scheme: https\n:authority: x\n:path: /info/%2e%2e/%2e%2e/a\n", 400},
        {":method: GET\n:scheme: https\n:authority: x\n:path: /info/a%2fb\n", 400},
        {":method: GET\n:scheme: https\n:authority: x\n:path: /info/a%00\n", 400},
        {":method: GET\n:scheme: https\n:authority: x\n:path: /info/%ff\n", 400},
        {":method: GET\n:scheme: https\n:authority: x\n:path: *\n", 0},
        {":method: GET\n:scheme: https\n:authority: x\n:path: /info/../info/b\n", 200},
        {":method: CONNECT\n:authority: x:80\n", 501},
        {H2_FIELDS("GET", "/info/a") "connection: close\n", 0},
        {H2_FIELDS("GET", "/info/a") "transfer-encoding: chunked\n", 0},
        {H2_FIELDS("GET", "/info/a") "upgrade: websocket\n", 0},
        {H2_FIELDS("GET", "/info/a") "keep-alive: 1\n", 0},
        {H2_FIELDS("GET", "/info/a") "te: gzip\n", 0},
        {H2_FIELDS("GET", "/info/a") "te: trailers\n", 200},
        {H2_FIELDS("GET", "/info/a") "content-length: 5\n", 0},
        {H2_FIELDS("GET", "/info/a") "x-text: a\x01z\n", 400},
        {H2_FIELDS("GET", "/info/a") "x-text: a\rHost: y\n", 400},
        {H2_FIELDS("GET", "/info/a") "x(y): a\n", 400},
        {H2_FIELDS("GET", "/info/a") ":path: /info/b\n", 0},
    };
    unsigned wrong = 0;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct h2_peer p;
        open_peer(&p);
        struct h2_answer *a = h2_ask(&p, cases[i].fields);
        if (a->status != cases[i].status ||
            a->code != (cases[i].status ? NGHTTP2_NO_ERROR : NGHTTP2_PROTOCOL_ERROR)) {
            print_error("%s: status %d, code %u\n", cases[i].fields, a->status, a->code);
            wrong++;
        }
        /* The connection goes on. */
        assert_status(h2_ask(&p, H2_FIELDS("GET", "/info/a")), 200);
        h2_close(&p);
    }
    assert_int_equal(wrong, 0);
}

static void test_cookies_are_one_field(void **state)
{
    struct h2_peer p;
    open_peer(&p);
    struct h2_answer *a =
        h2_ask(&p, H2_FIELDS("GET", "/info/a") "cookie: a=1\nx: y\ncookie: b=2\ncookie: c=3\n");
    assert_status(a, 200);
    assert_has(&a->body, " cookie=a=1; b=2; c=3 ");
    h2_close(&p);
}

static void test_large_headers(void **state)
{
    _cleanup_(out_done) struct out many = {0};
    _cleanup_(out_done) struct out long_path = {0};
    _cleanup_(out_done) struct out big = {0};
    _cleanup_(out_done) struct out fits = {0};
    out_puts(&many, H2_FIELDS("GET", "/info/a"));
    for (int i = 0; i < 100; i++) {
        out_printf(&many, "x-%d: y\n", i);
    }
    out_puts(&long_path, ":method: GET\n:scheme: https\n:authority: x\n:path: /");
    for (int i = 0; i < 9000; i++) {
        out_puts(&long_path, "a");
    }
    out_puts(&long_path, "\n");
    out_puts(&big, H2_FIELDS("GET", "/info/a") "x-big: ");
    out_puts(&fits, H2_FIELDS("GET", "/info/a") "x-big: ");
    for (int i = 0; i < 33000; i++) {
        out_puts(&big, "a");
        if (i < 30000) {
            out_puts(&fits, "a");
        }
    }
    out_puts(&big, "\n");
    out_puts(&fits, "\n");
    struct h2_peer p;
    open_peer(&p);
    assert_status(h2_ask(&p, out_str(&many)), 431);
    assert_status(h2_ask(&p, out_str(&long_path)), 414);
    assert_status(h2_ask(&p, out_str(&big)), 431);
    assert_status(h2_ask(&p, out_str(&fits)), 200);
    h2_close(&p);
}

static void test_alpn_decides(void **state)
{
    struct h2_peer p;
    h2_open(&p, w.port, "http/1.1");
    h2_write(&p, BYTES_STR("GET /info/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), true);
    AWAIT_STEP(p.over, (h2_drain(&p), h2_wait(&p, POLLIN)));
    assert_has(&p.in, "HTTP/1.1 200 OK\r\n");
    h2_close(&p);
    /* HTTP/1.1 where HTTP/2 was agreed on. */
    h2_open(&p, w.port, "h2");
    h2_write(&p, BYTES_STR("GET /info/a HTTP/1.1\r\nHost: x\r\n\r\n"), true);
    AWAIT_STEP(p.over, (h2_drain(&p), h2_wait(&p, POLLIN)));
    assert_null(memmem(p.in.data, p.in.len, "HTTP/1.1", 8));
    h2_close(&p);
}

/* ---- who leaves, who waits ---- */

static void test_many_wait_on_one_connection(void **state)
{
    struct h2_peer p;
    struct h2_answer *waiting[HTTP2_STREAMS_MAX];
    open_peer(&p);
    assert_status(h2_ask(&p, H2_FIELDS("GET", "/info/a")), 200);
    for (unsigned i = 0; i < HTTP2_STREAMS_MAX; i++) {
        waiting[i] = h2_get(&p, i % 2 ? "/block" : "/control-block");
    }
    H2_UNTIL(&p, atomic_load(&w.held_count) == HTTP2_STREAMS_MAX);
    /* One of them leaves: only it is told, and its place is free. */
    nghttp2_submit_rst_stream(p.session, 0, waiting[3]->id, NGHTTP2_CANCEL);
    H2_UNTIL(&p, atomic_load(&w.gone) == 1);
    assert_status(h2_ask(&p, H2_FIELDS("GET", "/info/a")), 200);
    nghttp2_submit_rst_stream(p.session, 0, waiting[4]->id, NGHTTP2_CANCEL);
    H2_UNTIL(&p, atomic_load(&w.gone) == 2);
    h2_close(&p);
    WAIT_UNTIL(atomic_load(&w.gone) == HTTP2_STREAMS_MAX);
}

static void test_answers_after_all(void **state)
{
    struct h2_peer p;
    struct h2_answer *a[10];
    open_peer(&p);
    for (int i = 0; i < 10; i++) {
        a[i] = h2_get(&p, "/hold");
    }
    H2_UNTIL(&p, atomic_load(&w.held_count) == 10);
    nghttp2_submit_rst_stream(p.session, 0, a[0]->id, NGHTTP2_CANCEL);
    assert_status(h2_ask(&p, H2_FIELDS("GET", "/info/a")), 200);
    loop_call_wait(w.control, release_held, NULL);
    for (int i = 1; i < 10; i++) {
        H2_UNTIL(&p, a[i]->closed);
        assert_status(a[i], 200);
        assert_string_equal(out_str(&a[i]->body), "held\n");
    }
    assert_int_equal(a[0]->status, 0);
    h2_close(&p);
}

static void test_event_streams(void **state)
{
    struct h2_peer p;
    open_peer(&p);
    struct h2_answer *a = h2_get(&p, "/watch");
    struct h2_answer *b = h2_get(&p, "/control-watch");
    H2_UNTIL(&p, a->body.len > 0 && b->body.len > 0);
    assert_string_equal(out_str(&a->body), "data: 1\n\n");
    assert_string_equal(out_str(&b->body), "data: 1\n\n");
    assert_false(a->ended || b->ended);
    nghttp2_submit_rst_stream(p.session, 0, a->id, NGHTTP2_CANCEL);
    H2_UNTIL(&p, atomic_load(&w.gone) == 1);
    h2_close(&p);
    WAIT_UNTIL(atomic_load(&w.gone) == 2);
}

/* More than is kept for a stream: it is broken off, the connection goes on. */
static void test_bound_of_a_stream(void **state)
{
    struct h2_peer p;
    open_peer(&p);
    struct h2_answer *a = h2_get(&p, "/flood");
    struct h2_answer *b = h2_get(&p, "/control-flood");
    H2_UNTIL(&p, a->closed && b->closed);
    assert_int_equal(a->code, NGHTTP2_INTERNAL_ERROR);
    assert_int_equal(b->code, NGHTTP2_INTERNAL_ERROR);
    assert_false(a->ended || b->ended);
    assert_status(h2_ask(&p, H2_FIELDS("GET", "/info/a")), 200);
    h2_close(&p);
}

static void test_freeing_with_answers_owed(void **state)
{
    struct h2_peer p;
    open_peer(&p);
    static const char *const paths[] = {"/block",         "/control-block", "/hold",
                                        "/control-watch", "/watch",         "/pieces"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        h2_get(&p, paths[i]);
    }
    H2_UNTIL(&p, atomic_load(&w.held_count) == 5);
    loop_call_wait(w.control, close_server, NULL);
    assert_int_equal(atomic_load(&w.gone), 4);
    H2_UNTIL(&p, p.over);
    h2_close(&p);
}

/* A client that goes away after any number of bytes of a conversation leaves nothing behind (checked by teardown). */
static void test_leaving_at_every_byte(void **state)
{
    _cleanup_(out_done) struct out o = {0};
    _cleanup_(out_done) struct out block = {0};
    h2_hello(&o);
    h2_request(&o, 1, "/block");
    h2_request(&o, 3, "/pieces");
    h2_pseudo(&block, "POST", "/control-echo");
    h2_frame(&o, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 5, out_view(&block));
    h2_frame(&o, NGHTTP2_DATA, 0, 5, BYTES_STR("half of it"));
    h2_request(&o, 7, "/control-watch");
    h2_frame(&o, NGHTTP2_RST_STREAM, 0, 1, BYTES("\0\0\0\x08", 4));
    h2_request(&o, 9, "/file");
    for (size_t n = 0; n <= o.len; n += 1 + n / 60) {
        struct h2_peer p;
        h2_open(&p, w.port, "h2");
        h2_write(&p, BYTES(o.data, n), true);
        if (n % 2) {
            h2_wait(&p, POLLIN);
        }
        h2_close(&p);
    }
    assert_unharmed();
}

/* ---- slowness ---- */

static void test_slow_clients(void **state)
{
    struct h2_peer p;
    reconfigure(60000, 200, 60000);
    /* A body that does not come. */
    open_peer(&p);
    struct h2_source source = {.left = BYTES("x", 1), .hold = true};
    struct h2_answer *a = h2_submit(&p, H2_FIELDS("POST", "/echo"), &source);
    H2_UNTIL(&p, a->closed);
    assert_int_equal(a->status, 408);
    assert_status(h2_ask(&p, H2_FIELDS("GET", "/info/a")), 200);
    h2_close(&p);
    /* Windows that stay shut: the streams are reset, the connection is not to blame. */
    h2_open(&p, w.port, "h2");
    h2_session(&p, 0);
    a = h2_get(&p, "/pieces");
    struct h2_answer *b = h2_get(&p, "/watch");
    struct h2_answer *c = h2_get(&p, "/file");
    H2_UNTIL(&p, a->closed && b->closed && c->closed);
    assert_int_equal(a->status, 200);
    assert_int_equal(a->code, NGHTTP2_CANCEL);
    assert_int_equal(b->code, NGHTTP2_CANCEL);
    assert_int_equal(c->code, NGHTTP2_CANCEL);
    assert_false(p.over);
    assert_int_equal(atomic_load(&w.gone), 1);
    h2_close(&p);
    /* A socket that is not read. */
    reconfigure(60000, 200, 1000);
    open_peer(&p);
    nghttp2_submit_settings(
        p.session, 0,
        &(nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, NGHTTP2_MAX_WINDOW_SIZE},
        1);
    nghttp2_session_set_local_window_size(p.session, 0, 0, NGHTTP2_MAX_WINDOW_SIZE);
    for (int i = 0; i < 20; i++) {
        h2_get(&p, "/pieces");
    }
    const uint8_t *data;
    ssize_t n;
    while ((n = nghttp2_session_mem_send(p.session, &data)) > 0) {
        h2_write(&p, BYTES(data, (size_t)n), false);
    }
    WAIT_UNTIL(http_server_live(w.server) == 0);
    h2_close(&p);
}

static void test_idle_connections_end(void **state)
{
    struct h2_peer p;
    reconfigure(60000, 60000, 200);
    open_peer(&p);
    assert_status(h2_ask(&p, H2_FIELDS("GET", "/info/a")), 200);
    H2_UNTIL(&p, p.over);
    assert_true(p.goaway);
    assert_int_equal(p.goaway_code, NGHTTP2_NO_ERROR);
    h2_close(&p);
    /* One that never says anything. */
    h2_open(&p, w.port, "h2");
    AWAIT_STEP(p.over, (h2_drain(&p), h2_wait(&p, POLLIN)));
    h2_close(&p);
}

/* ---- floods ---- */

static void flood_resets(struct out *o)
{
    for (uint32_t i = 0; i < 2000; i++) {
        h2_request(o, 2 * i + 1, "/control-block");
        h2_frame(o, NGHTTP2_RST_STREAM, 0, 2 * i + 1, BYTES("\0\0\0\x08", 4));
    }
}

/* Streams that we are made to reset ourselves: a window update of zero is a stream error. */
static void flood_provoked_resets(struct out *o)
{
    for (uint32_t i = 0; i < 2000; i++) {
        h2_request(o, 2 * i + 1, "/control-block");
        h2_frame(o, NGHTTP2_WINDOW_UPDATE, 0, 2 * i + 1, BYTES("\0\0\0\0", 4));
    }
}

static void flood_refused_streams(struct out *o)
{
    for (uint32_t i = 0; i < 4000; i++) {
        h2_request(o, 2 * i + 1, "/block");
    }
}

static void flood_pings(struct out *o)
{
    for (int i = 0; i < 5000; i++) {
        h2_frame(o, NGHTTP2_PING, 0, 0, BYTES("12345678", 8));
    }
}

static void flood_settings(struct out *o)
{
    for (int i = 0; i < 5000; i++) {
        h2_frame(o, NGHTTP2_SETTINGS, 0, 0, BYTES(NULL, 0));
    }
}

static void flood_priorities(struct out *o)
{
    for (int i = 0; i < 5000; i++) {
        h2_frame(o, NGHTTP2_PRIORITY, 0, 1 + 2 * (uint32_t)i, BYTES("\0\0\0\0\x10", 5));
    }
}

static void flood_windows(struct out *o)
{
    for (int i = 0; i < 5000; i++) {
        h2_frame(o, NGHTTP2_WINDOW_UPDATE, 0, 0, BYTES("\0\0\0\x01", 4));
    }
}

static void flood_unknown(struct out *o)
{
    for (int i = 0; i < 40000; i++) {
        h2_frame(o, 0xbb, 0, 0, BYTES("?", 1));
    }
}

static void flood_empty_data(struct out *o)
{
    _cleanup_(out_done) struct out block = {0};
    h2_pseudo(&block, "POST", "/echo");
    h2_frame(o, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, out_view(&block));
    for (int i = 0; i < 5000; i++) {
        h2_frame(o, NGHTTP2_DATA, 0, 1, BYTES(NULL, 0));
    }
}

static void flood_continuations(struct out *o)
{
    _cleanup_(out_done) struct out block = {0};
    h2_pseudo(&block, "GET", "/info/a");
    h2_frame(o, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, out_view(&block));
    for (int i = 0; i < 5000; i++) {
        block.len = 0;
        h2_literal(&block, "x", "y");
        h2_frame(o, NGHTTP2_CONTINUATION, 0, 1, out_view(&block));
    }
}

static void flood_empty_continuations(struct out *o)
{
    h2_frame(o, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, BYTES(NULL, 0));
    for (int i = 0; i < 5000; i++) {
        h2_frame(o, NGHTTP2_CONTINUATION, 0, 1, BYTES(NULL, 0));
    }
}

/* One field of 3 KiB in the dynamic table, then one byte for each time it is repeated. */
static void flood_hpack_bomb(struct out *o)
{
    _cleanup_(out_done) struct out block = {0};
    h2_pseudo(&block, "GET", "/info/a");
    out_u8(&block, 0x40);
    out_u8(&block, 1);
    out_puts(&block, "x");
    /* 3000 as a 7-bit prefixed integer: 127 + 2873. */
    out_u8(&block, 0x7f);
    out_u8(&block, 0x80 | (2873 & 0x7f));
    out_u8(&block, 2873 >> 7);
    for (int i = 0; i < 3000; i++) {
        out_u8(&block, 'z');
    }
    while (block.len < 16000) {
        out_u8(&block, 0x80 | 62);
    }
    h2_frame(o, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM | NGHTTP2_FLAG_END_HEADERS, 1,
             out_view(&block));
}

static void flood_invalid_headers(struct out *o)
{
    _cleanup_(out_done) struct out block = {0};
    h2_pseudo(&block, "GET", "/info/a");
    h2_literal(&block, "connection", "close");
    for (uint32_t i = 0; i < 4000; i++) {
        h2_frame(o, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM | NGHTTP2_FLAG_END_HEADERS, 2 * i + 1,
                 out_view(&block));
    }
}

/* Each is cut off with GOAWAY, or broken off when it does not even read that; others notice nothing. */
static void test_floods(void **state)
{
    static const struct {
        const char *name;
        void (*make)(struct out *o);
    } floods[] = {
        {"rapid reset", flood_resets},
        {"provoked resets", flood_provoked_resets},
        {"refused streams", flood_refused_streams},
        {"PING", flood_pings},
        {"SETTINGS", flood_settings},
        {"PRIORITY", flood_priorities},
        {"WINDOW_UPDATE", flood_windows},
        {"unknown frames", flood_unknown},
        {"empty DATA", flood_empty_data},
        {"CONTINUATION", flood_continuations},
        {"empty CONTINUATION", flood_empty_continuations},
        {"HPACK bomb", flood_hpack_bomb},
        {"invalid headers", flood_invalid_headers},
    };
    for (size_t i = 0; i < ARRAY_LEN(floods); i++) {
        _cleanup_(out_done) struct out o = {0};
        struct h2_peer p;
        uint32_t code = 0;
        h2_hello(&o);
        floods[i].make(&o);
        h2_open(&p, w.port, "h2");
        h2_write(&p, out_view(&o), true);
        AWAIT_STEP(p.over, (h2_drain(&p), h2_wait(&p, POLLIN)));
        if (h2_has_frame(&p, NGHTTP2_GOAWAY, &code) && code == NGHTTP2_NO_ERROR) {
            fail_msg("%s: not seen as a fault", floods[i].name);
        }
        h2_close(&p);
        WAIT_UNTIL(http_server_live(w.server) == 0);
        assert_unharmed();
    }
    assert_true(atomic_load(&w.handled) < 100);
    /* Said, but not once for each. */
    assert_true(atomic_load(&w.warnings) > 0);
    assert_true(atomic_load(&w.warnings) <= ARRAY_LEN(floods));
    WAIT_UNTIL(atomic_load(&w.gone) == atomic_load(&w.held_count));
}

static void test_a_header_block_that_never_ends(void **state)
{
    _cleanup_(out_done) struct out o = {0};
    _cleanup_(out_done) struct out block = {0};
    struct h2_peer p;
    uint32_t code = 0;
    reconfigure(200, 60000, 60000);
    h2_hello(&o);
    h2_request(&o, 1, "/block");
    h2_pseudo(&block, "GET", "/info/a");
    h2_frame(&o, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 3, out_view(&block));
    h2_open(&p, w.port, "h2");
    h2_write(&p, out_view(&o), true);
    AWAIT_STEP(p.over, (h2_drain(&p), h2_wait(&p, POLLIN)));
    assert_true(h2_has_frame(&p, NGHTTP2_GOAWAY, &code));
    h2_close(&p);
    assert_int_equal(atomic_load(&w.handled), 0);
    WAIT_UNTIL(atomic_load(&w.gone) == 1);
    assert_unharmed();
}

/* What a busy page does is far from a flood: pings, cancelled requests, window updates for what it reads. */
static void test_busy_clients_are_not_floods(void **state)
{
    struct h2_peer p;
    open_peer(&p);
    for (int round = 0; round < 4; round++) {
        int32_t ids[20];
        for (int i = 0; i < 20; i++) {
            ids[i] = h2_get(&p, "/block")->id;
        }
        H2_UNTIL(&p, atomic_load(&w.held_count) == 20u * (unsigned)(round + 1));
        for (int i = 0; i < 20; i++) {
            nghttp2_submit_rst_stream(p.session, 0, ids[i], NGHTTP2_CANCEL);
        }
        nghttp2_submit_ping(p.session, 0, NULL);
        struct h2_answer *a = h2_get(&p, "/pieces");
        H2_UNTIL(&p, a->closed);
        assert_status(a, 200);
    }
    assert_false(p.goaway);
    h2_close(&p);
    assert_int_equal(atomic_load(&w.warnings), 0);
}

static void test_patience(void **state)
{
    struct http2_patience a;
    http2_patience_init(&a, 1000 * NS_PER_S);
    for (int i = 0; i < 100; i++) {
        assert_true(http2_patience_spend(&a, 10, 1000 * NS_PER_S));
    }
    assert_false(http2_patience_spend(&a, 1, 1000 * NS_PER_S));
    /* Time fills it, slowly, and not over the brim. */
    assert_true(http2_patience_spend(&a, 99, 1001 * NS_PER_S));
    assert_false(http2_patience_spend(&a, 1, 1001 * NS_PER_S));
    http2_patience_earn(&a, 2);
    assert_true(http2_patience_spend(&a, 1, 1001 * NS_PER_S));
    assert_true(http2_patience_spend(&a, 1000, 5000 * NS_PER_S));
    assert_false(http2_patience_spend(&a, 1, 5000 * NS_PER_S));
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* as the program does: peers that are cut off still write */
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_requests_of_all_kinds),
        TEST(test_bodies),
        TEST(test_refused_bodies),
        TEST(test_files_and_pieces),
        TEST(test_streams_take_turns),
        TEST(test_rules_of_http1_hold),
        TEST(test_cookies_are_one_field),
        TEST(test_large_headers),
        TEST(test_alpn_decides),
        TEST(test_many_wait_on_one_connection),
        TEST(test_answers_after_all),
        TEST(test_event_streams),
        TEST(test_bound_of_a_stream),
        TEST(test_freeing_with_answers_owed),
        TEST(test_leaving_at_every_byte),
        TEST(test_slow_clients),
        TEST(test_idle_connections_end),
        TEST(test_floods),
        TEST(test_a_header_block_that_never_ends),
        TEST(test_busy_clients_are_not_floods),
        cmocka_unit_test(test_patience),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
