/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A blocking HTTP/2 client for tests of servers that run on their own loops: TLS with ALPN, and on it either nghttp2's
 * client session (h2_get() and the like) or frames written by hand (h2_frame()). Every wait ends with a failed assertion.
 */
#include "http_peer.h"

#include "base/mem.h"

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>

#define H2_ANSWERS 256

struct h2_answer {
    int32_t id;
    int status;
    struct out head; /* "name: value\n" lines */
    struct out body;
    bool ended;
    bool closed;
    uint32_t code; /* of RST_STREAM */
    size_t order;  /* how many bodies had ended before this one */
};

struct h2_peer {
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
    nghttp2_session *session;
    struct h2_answer answers[H2_ANSWERS];
    unsigned n;
    size_t ended;
    bool over; /* the server closed the connection */
    bool goaway;
    uint32_t goaway_code;
    struct out in; /* without a session: what came, frames */
};

/* ---- TLS ---- */

static inline void h2_open(struct h2_peer *p, uint16_t port, const char *alpn)
{
    uint8_t wire[32];
    *p = (struct h2_peer){.fd = peer_connect(port), .ctx = SSL_CTX_new(TLS_client_method())};
    wire[0] = (uint8_t)strlen(alpn);
    memcpy(wire + 1, alpn, wire[0]);
    SSL_CTX_set_options(p->ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    p->ssl = SSL_new(p->ctx);
    SSL_set_alpn_protos(p->ssl, wire, wire[0] + 1u);
    SSL_set_fd(p->ssl, p->fd);
    if (SSL_connect(p->ssl) != 1) {
        fail_msg("no TLS");
    }
    (void)fcntl(p->fd, F_SETFL, O_NONBLOCK);
}

static inline void h2_close(struct h2_peer *p)
{
    nghttp2_session_del(p->session);
    SSL_free(p->ssl);
    SSL_CTX_free(p->ctx);
    close(p->fd);
    for (unsigned i = 0; i < p->n; i++) {
        out_done(&p->answers[i].head);
        out_done(&p->answers[i].body);
    }
    out_done(&p->in);
}

/* False: nothing (more) for now. */
static inline bool h2_read_some(struct h2_peer *p, uint8_t *buf, size_t size, size_t *ret)
{
    int r = SSL_read_ex(p->ssl, buf, size, ret);
    if (r == 1) {
        return true;
    }
    int e = SSL_get_error(p->ssl, r);
    if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE) {
        p->over = true;
    }
    return false;
}

static inline void h2_wait(struct h2_peer *p, short events)
{
    struct pollfd f = {.fd = p->fd, .events = events};
    (void)poll(&f, 1, 20);
}

/* Reads into p->in whatever is there; raw. */
static inline void h2_drain(struct h2_peer *p)
{
    uint8_t buf[16384];
    size_t n;
    while (!p->over && h2_read_some(p, buf, sizeof(buf), &n)) {
        out_mem(&p->in, buf, n);
    }
}

/* What the server does not want to hear any more is not an error. reads: takes in what comes meanwhile. */
static inline void h2_write(struct h2_peer *p, struct bytes b, bool reads)
{
    int64_t until = clock_mono_ns() + AWAIT_MAX_MS * NS_PER_MS;
    while (b.len > 0 && !p->over) {
        size_t n = 0;
        int r = SSL_write_ex(p->ssl, b.data, b.len, &n);
        if (r == 1) {
            b = BYTES(b.data + n, b.len - n);
            continue;
        }
        int e = SSL_get_error(p->ssl, r);
        if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE) {
            p->over = true;
            return;
        }
        if (reads) {
            h2_drain(p);
        }
        h2_wait(p, POLLOUT | POLLIN);
        assert_true(clock_mono_ns() < until);
    }
}

/* ---- frames by hand ---- */

#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static inline void h2_frame(struct out *o, uint8_t type, uint8_t flags, uint32_t stream,
                            struct bytes payload)
{
    out_u24be(o, (uint32_t)payload.len);
    out_u8(o, type);
    out_u8(o, flags);
    out_u32be(o, stream);
    out_bytes(o, payload);
}

static inline void h2_hello(struct out *o)
{
    out_puts(o, H2_PREFACE);
    h2_frame(o, NGHTTP2_SETTINGS, 0, 0, BYTES(NULL, 0));
}

/* A literal field without indexing (RFC 7541 6.2.2); both shorter than 127. */
static inline void h2_literal(struct out *o, const char *name, const char *value)
{
    out_u8(o, 0);
    out_u8(o, (uint8_t)strlen(name));
    out_puts(o, name);
    out_u8(o, (uint8_t)strlen(value));
    out_puts(o, value);
}

static inline void h2_pseudo(struct out *o, const char *method, const char *path)
{
    h2_literal(o, ":method", method);
    h2_literal(o, ":scheme", "https");
    h2_literal(o, ":path", path);
    h2_literal(o, ":authority", "x");
}

static inline void h2_request(struct out *o, uint32_t stream, const char *path)
{
    _cleanup_(out_done) struct out block = {0};
    h2_pseudo(&block, "GET", path);
    h2_frame(o, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, stream,
             out_view(&block));
}

/* A frame of that type has come; *ret_code: its last four bytes (GOAWAY, RST_STREAM without debug data: the code). */
static inline bool h2_has_frame(const struct h2_peer *p, uint8_t type, uint32_t *ret_code)
{
    struct rd r = rd_init(out_view(&p->in));
    while (rd_left(&r) >= 9) {
        uint32_t len = rd_u24be(&r);
        uint8_t got = rd_u8(&r);
        rd_skip(&r, 5);
        struct bytes payload = rd_bytes(&r, len);
        if (rd_failed(&r)) {
            break;
        }
        if (got == type) {
            struct rd q = rd_init(payload);
            rd_skip(&q, type == NGHTTP2_GOAWAY ? 4 : 0);
            *ret_code = rd_u32be(&q);
            return true;
        }
    }
    return false;
}

/* ---- nghttp2's client ---- */

static inline struct h2_answer *h2_answer(struct h2_peer *p, int32_t id)
{
    for (unsigned i = 0; i < p->n; i++) {
        if (p->answers[i].id == id) {
            return &p->answers[i];
        }
    }
    return NULL;
}

static inline int h2_on_header(nghttp2_session *session, const nghttp2_frame *frame,
                               const uint8_t *name, size_t name_len, const uint8_t *value,
                               size_t value_len, uint8_t flags, void *user)
{
    struct h2_answer *a = h2_answer(user, frame->hd.stream_id);
    if (bytes_equal_str(BYTES(name, name_len), ":status")) {
        a->status = atoi((const char *)value);
    }
    out_mem(&a->head, name, name_len);
    out_puts(&a->head, ": ");
    out_mem(&a->head, value, value_len);
    out_puts(&a->head, "\n");
    return 0;
}

static inline int h2_on_data(nghttp2_session *session, uint8_t flags, int32_t id,
                             const uint8_t *data, size_t len, void *user)
{
    out_mem(&h2_answer(user, id)->body, data, len);
    return 0;
}

static inline int h2_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_peer *p = user;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        p->goaway = true;
        p->goaway_code = frame->goaway.error_code;
    } else if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
               (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
        struct h2_answer *a = h2_answer(p, frame->hd.stream_id);
        a->ended = true;
        a->order = p->ended++;
    }
    return 0;
}

static inline int h2_on_stream_close(nghttp2_session *session, int32_t id, uint32_t code,
                                     void *user)
{
    struct h2_answer *a = h2_answer(user, id);
    a->closed = true;
    a->code = code;
    return 0;
}

static inline void h2_session(struct h2_peer *p, uint32_t window)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *options;
    const nghttp2_settings_entry settings = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window};
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    assert_int_equal(nghttp2_option_new(&options), 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, h2_on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, h2_on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, h2_on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, h2_on_stream_close);
    /* A client that breaks the rules on purpose. */
    nghttp2_option_set_no_http_messaging(options, 1);
    nghttp2_option_set_peer_max_concurrent_streams(options, 1000);
    assert_int_equal(nghttp2_session_client_new2(&p->session, callbacks, p, options), 0);
    assert_int_equal(nghttp2_submit_settings(p->session, 0, &settings, 1), 0);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(options);
}

/* One round: writes what there is, reads what has come. */
static inline void h2_pump(struct h2_peer *p)
{
    const uint8_t *data;
    uint8_t buf[16384];
    ssize_t n;
    size_t got;
    bool some = false;
    while ((n = nghttp2_session_mem_send(p->session, &data)) > 0) {
        h2_write(p, BYTES(data, (size_t)n), false);
    }
    while (!p->over && h2_read_some(p, buf, sizeof(buf), &got)) {
        assert_true(nghttp2_session_mem_recv(p->session, buf, got) >= 0);
        some = true;
    }
    if (!some && !p->over) {
        h2_wait(p, POLLIN);
    }
}

#define H2_UNTIL(p, cond) AWAIT_STEP(cond, h2_pump(p))

struct h2_source {
    struct bytes left;
    bool hold; /* never ends */
};

static inline ssize_t h2_read_source(nghttp2_session *session, int32_t id, uint8_t *buf,
                                     size_t length, uint32_t *flags, nghttp2_data_source *source,
                                     void *user)
{
    struct h2_source *s = source->ptr;
    size_t n = MIN(length, s->left.len);
    if (n == 0 && s->hold) {
        return NGHTTP2_ERR_DEFERRED;
    }
    if (n > 0) {
        memcpy(buf, s->left.data, n);
    }
    s->left = BYTES(s->left.data + n, s->left.len - n);
    if (s->left.len == 0 && !s->hold) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

/* fields: "name: value\n" lines, in order; body may be NULL. */
static inline struct h2_answer *h2_submit(struct h2_peer *p, const char *fields,
                                          struct h2_source *body)
{
    nghttp2_nv nv[128];
    size_t n = 0;
    char *text = mem_strdup(fields);
    for (char *line = text; *line;) {
        char *end = strchr(line, '\n');
        char *sep = strstr(line + 1, ": ");
        nv[n++] = (nghttp2_nv){(uint8_t *)line, (uint8_t *)sep + 2, (size_t)(sep - line),
                               (size_t)(end - sep - 2), NGHTTP2_NV_FLAG_NONE};
        line = end + 1;
    }
    const nghttp2_data_provider provider = {.source.ptr = body, .read_callback = h2_read_source};
    int32_t id = nghttp2_submit_request(p->session, NULL, nv, n, body ? &provider : NULL, NULL);
    free(text);
    assert_true(id > 0 && p->n < H2_ANSWERS);
    struct h2_answer *a = &p->answers[p->n++];
    a->id = id;
    return a;
}

#define H2_FIELDS(method, path)                                                                    \
    ":method: " method "\n:scheme: https\n:authority: x\n:path: " path "\n"

static inline struct h2_answer *h2_get(struct h2_peer *p, const char *path)
{
    _cleanup_(out_done) struct out o = {0};
    out_printf(&o, ":method: GET\n:scheme: https\n:authority: x\n:path: %s\n", path);
    return h2_submit(p, out_str(&o), NULL);
}

/* The whole exchange. */
static inline struct h2_answer *h2_ask(struct h2_peer *p, const char *fields)
{
    struct h2_answer *a = h2_submit(p, fields, NULL);
    H2_UNTIL(p, a->closed || p->over);
    return a;
}
