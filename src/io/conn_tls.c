/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS on a connection's descriptor. OpenSSL reads and writes the socket itself through a BIO that is two system calls and
 * no buffer; with SSL_MODE_RELEASE_BUFFERS an idle session then holds no record buffer at all.
 *
 * OpenSSL wants a write that met a full socket to be repeated with the same bytes. Callers of conn_writev() hold a cursor
 * that may have jumped by then, so the record that is stuck, and only that, is copied; it counts as taken.
 */
#include "io/conn_private.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define RECORD_MAX 16384 /* RFC 8446 5.1 */

struct conn_tls {
    SSL *ssl;
    uint8_t *pending; /* the record OpenSSL could not write yet */
    size_t pending_len;
    size_t record_max; /* less than RECORD_MAX when the peer asked for it (RFC 6066 4) */
    int handshake_wants;
    bool read_wants_write;
    bool write_wants_read;
    bool broken; /* after a fatal error nothing more may be sent */
    struct error
        *late; /* the failure that came right after bytes which had to be given out first */
    char alpn[32];
};

/* ---- the BIO: recv() and send() with MSG_NOSIGNAL, which OpenSSL's own socket BIO does not use ---- */

static int fd_read(BIO *bio, char *p, int len)
{
    ssize_t n;
    BIO_clear_retry_flags(bio);
    do {
        n = recv((int)(intptr_t)BIO_get_data(bio), p, (size_t)len, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        BIO_set_retry_read(bio);
    }
    if (n == 0) {
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    }
    return (int)n;
}

static int fd_write(BIO *bio, const char *p, int len)
{
    ssize_t n;
    BIO_clear_retry_flags(bio);
    do {
        n = send((int)(intptr_t)BIO_get_data(bio), p, (size_t)len, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        BIO_set_retry_write(bio);
    }
    return (int)n;
}

static long fd_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    switch (cmd) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    default:
        return 0;
    }
}

static BIO_METHOD *fd_method;

static void make_method(void)
{
    fd_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "mast fd");
    if (fd_method) {
        BIO_meth_set_read(fd_method, fd_read);
        BIO_meth_set_write(fd_method, fd_write);
        BIO_meth_set_ctrl(fd_method, fd_ctrl);
    }
}

static BIO *fd_bio_new(int fd)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_method);
    BIO *bio = fd_method ? BIO_new(fd_method) : NULL;
    if (bio) {
        BIO_set_data(bio, (void *)(intptr_t)fd);
        BIO_set_init(bio, 1);
    }
    return bio;
}

/* ---- life ---- */

static bool is_numeric(const char *host)
{
    struct in6_addr ip;
    return inet_pton(AF_INET, host, &ip) == 1 || inet_pton(AF_INET6, host, &ip) == 1;
}

/* SNI carries names only (RFC 6066 3); the certificate is checked against the name or the address. */
static bool set_server_name(SSL *ssl, const char *name, bool verify)
{
    bool numeric = is_numeric(name);
    if (!numeric && SSL_set_tlsext_host_name(ssl, name) != 1) {
        return false;
    }
    if (!verify) {
        return true;
    }
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return numeric ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1
                   : SSL_set1_host(ssl, name) == 1;
}

int conn_tls_open(struct conn *c, struct tls_context *context, bool server, const char *server_name)
{
    SSL *ssl = tls_context_session(context);
    BIO *bio = ssl ? fd_bio_new(c->fd) : NULL;
    if (!bio) {
        SSL_free(ssl);
        return -ENOMEM;
    }
    SSL_set_bio(ssl, bio, bio);
    if (server) {
        SSL_set_accept_state(ssl);
    } else {
        SSL_set_connect_state(ssl);
        if (server_name && !set_server_name(ssl, server_name, tls_context_verifies(context))) {
            SSL_free(ssl);
            return -EINVAL;
        }
    }
    c->tls = mem_new(struct conn_tls);
    c->tls->ssl = ssl;
    c->tls->record_max = RECORD_MAX;
    c->tls->handshake_wants = server ? UV_READABLE : UV_WRITABLE;
    return 0;
}

void conn_tls_free(struct conn *c)
{
    SSL_free(c->tls->ssl);
    free(c->tls->pending);
    free(c->tls->late);
    free(c->tls);
    c->tls = NULL;
}

/* ---- errors ---- */

static int fail(struct conn *c, struct error *err, const char *what)
{
    int system = errno;
    c->tls->broken = true;
    long verify = SSL_get_verify_result(c->tls->ssl);
    if (!SSL_is_server(c->tls->ssl) && verify != X509_V_OK &&
        SSL_get_verify_mode(c->tls->ssl) != SSL_VERIFY_NONE) {
        ERR_clear_error();
        return error_set(err, -EKEYREJECTED, c->peer.text, "the peer's certificate is refused: %s",
                         X509_verify_cert_error_string(verify));
    }
    if (ERR_peek_error() == 0) {
        int code = system != 0 && system != EAGAIN ? -system : -ECONNRESET;
        return error_set(err, code, c->peer.text, "%s: %s", what, error_name(code));
    }
    return tls_error(err, -EPROTO, c->peer.text, what);
}

/* ---- handshake ---- */

static void finish_handshake(struct conn_tls *t)
{
    const unsigned char *alpn = NULL;
    unsigned len = 0;
    SSL_get0_alpn_selected(t->ssl, &alpn, &len);
    if (alpn && len < sizeof(t->alpn)) {
        memcpy(t->alpn, alpn, len);
        t->alpn[len] = '\0';
    }
    const SSL_SESSION *session = SSL_get0_session(t->ssl);
    uint8_t mode = session ? SSL_SESSION_get_max_fragment_length(session) : 0;
    if (mode >= 1 && mode <= 4) {
        t->record_max = (size_t)256 << mode;
    }
}

int conn_tls_handshake(struct conn *c, struct error *err)
{
    struct conn_tls *t = c->tls;
    ERR_clear_error();
    errno = 0;
    int r = SSL_do_handshake(t->ssl);
    if (r == 1) {
        finish_handshake(t);
        return 1;
    }
    switch (SSL_get_error(t->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        t->handshake_wants = UV_READABLE;
        return 0;
    case SSL_ERROR_WANT_WRITE:
        t->handshake_wants = UV_WRITABLE;
        return 0;
    default:
        return fail(c, err, "the TLS handshake failed");
    }
}

/* ---- reading ---- */

/* One record's worth; see conn_tls_read(). */
static ssize_t read_record(struct conn *c, uint8_t *p, size_t size, struct error *err)
{
    struct conn_tls *t = c->tls;
    size_t n = 0;
    ERR_clear_error();
    errno = 0;
    int r = SSL_read_ex(t->ssl, p, size, &n);
    t->read_wants_write = false;
    if (r == 1) {
        return (ssize_t)n;
    }
    switch (SSL_get_error(t->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        return -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        t->read_wants_write = true;
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        return fail(c, err, "reading failed");
    }
}

/*
 * Fills p with as many records as there are. When p is full, or an end or a failure came after some bytes, the next read
 * must not wait for the poll, which does not see what OpenSSL holds. A failure is kept for it: asked again, the socket
 * would say "end".
 */
ssize_t conn_tls_read(struct conn *c, uint8_t *p, size_t size, struct error *err)
{
    struct conn_tls *t = c->tls;
    size_t done = 0;
    if (t->late) {
        *err = *t->late;
        return err->code;
    }
    while (done < size) {
        ssize_t n = read_record(c, p + done, size - done, err);
        if (n <= 0) {
            c->read_again = done > 0 && n != -EAGAIN;
            if (c->read_again && n < 0) {
                t->late = mem_memdup(err, sizeof(*err));
            }
            return done > 0 ? (ssize_t)done : n;
        }
        done += (size_t)n;
    }
    c->read_again = true;
    return (ssize_t)done;
}

/* ---- writing ---- */

/* 1 written (as far as *ret_done says), 0 waits, negative: failed. */
static int write_record(struct conn *c, const uint8_t *p, size_t len, size_t *ret_done)
{
    struct conn_tls *t = c->tls;
    ERR_clear_error();
    errno = 0;
    int r = SSL_write_ex(t->ssl, p, len, ret_done);
    t->write_wants_read = false;
    if (r == 1) {
        return 1;
    }
    switch (SSL_get_error(t->ssl, r)) {
    case SSL_ERROR_WANT_WRITE:
        return 0;
    case SSL_ERROR_WANT_READ:
        t->write_wants_read = true;
        return 0;
    default:
        return fail(c, NULL, "writing failed");
    }
}

int conn_tls_flush(struct conn *c)
{
    struct conn_tls *t = c->tls;
    size_t done = 0;
    if (!t->pending) {
        return 1;
    }
    int r = write_record(c, t->pending, t->pending_len, &done);
    if (r <= 0) {
        return r;
    }
    /* At most record_max bytes went in, so one write is one record and takes all. */
    assert(done == t->pending_len);
    free(t->pending);
    t->pending = NULL;
    t->pending_len = 0;
    return 1;
}

struct cursor {
    const struct iovec *iov;
    int n;
    size_t offset; /* into the first */
};

/* The next at most max bytes, in place when one vector has them all, else gathered. */
static struct bytes next_record(struct cursor *at, uint8_t *scratch, size_t max)
{
    while (at->n > 0 && at->offset == at->iov->iov_len) {
        at->iov++;
        at->n--;
        at->offset = 0;
    }
    if (at->n == 0) {
        return BYTES(NULL, 0);
    }
    size_t here = at->iov->iov_len - at->offset;
    if (here >= max || at->n == 1) {
        struct bytes direct = BYTES((uint8_t *)at->iov->iov_base + at->offset, MIN(here, max));
        at->offset += direct.len;
        return direct;
    }
    size_t len = 0;
    while (at->n > 0 && len < max) {
        size_t take = MIN(at->iov->iov_len - at->offset, max - len);
        memcpy(scratch + len, (uint8_t *)at->iov->iov_base + at->offset, take);
        len += take;
        at->offset += take;
        if (at->offset == at->iov->iov_len) {
            at->iov++;
            at->n--;
            at->offset = 0;
        }
    }
    return BYTES(scratch, len);
}

ssize_t conn_tls_writev(struct conn *c, const struct iovec *iov, int n)
{
    struct conn_tls *t = c->tls;
    struct cursor at = {.iov = iov, .n = n};
    size_t taken = 0;
    int r = conn_tls_flush(c);
    if (r <= 0) {
        return r < 0 ? r : -EAGAIN;
    }
    for (;;) {
        struct bytes record = next_record(&at, loop_write_scratch(c->loop), t->record_max);
        size_t done = 0;
        if (record.len == 0) {
            return (ssize_t)taken;
        }
        r = write_record(c, record.data, record.len, &done);
        if (r < 0) {
            return r;
        }
        assert(r == 0 || done == record.len);
        taken += record.len;
        if (r == 0) {
            t->pending = mem_memdup(record.data, record.len);
            t->pending_len = record.len;
            return (ssize_t)taken;
        }
    }
}

int conn_tls_shutdown(struct conn *c)
{
    struct conn_tls *t = c->tls;
    if (t->broken || !SSL_is_init_finished(t->ssl)) {
        return 1;
    }
    int r = conn_tls_flush(c);
    if (r <= 0) {
        return r;
    }
    ERR_clear_error();
    r = SSL_shutdown(t->ssl);
    if (r >= 0) {
        return 1;
    }
    return SSL_get_error(t->ssl, r) == SSL_ERROR_WANT_WRITE ? 0 : 1;
}

/* ---- what is asked ---- */

int conn_tls_events(const struct conn *c)
{
    const struct conn_tls *t = c->tls;
    if (c->state == CONN_HANDSHAKE) {
        return t->handshake_wants;
    }
    return (t->pending || t->read_wants_write ? UV_WRITABLE : 0) |
           (t->write_wants_read ? UV_READABLE : 0);
}

bool conn_tls_crossed(const struct conn *c)
{
    return c->tls->read_wants_write || c->tls->write_wants_read;
}

const char *conn_tls_alpn(const struct conn *c)
{
    return c->tls->alpn;
}
