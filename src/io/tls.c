/* SPDX-License-Identifier: Apache-2.0 */
#include "io/tls.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SELF_SIGNED_FILE    "tls-self-signed.pem"
#define SELF_SIGNED_DAYS    730
#define SELF_SIGNED_RENEW_S (30 * 86400)
#define ALPN_MAX            128

struct tls_context {
    pthread_mutex_t lock; /* of ctx: swapped by reload, referenced by each new session */
    SSL_CTX *ctx;
    bool server;
    bool verify;
    char *cert_file; /* server: certificate; client: authorities, NULL = the system's */
    char *key_file;
    uint8_t alpn[ALPN_MAX]; /* wire form, RFC 7301 3.1 */
    unsigned alpn_len;
};

DEFINE_FREEP(SSL_CTX *, SSL_CTX_free)
DEFINE_FREEP(X509 *, X509_free)
DEFINE_FREEP(EVP_PKEY *, EVP_PKEY_free)
DEFINE_FREEP(BIO *, BIO_free)

/* ---- errors ---- */

int tls_error(struct error *err, int code, const char *where, const char *what)
{
    unsigned long e = ERR_peek_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    switch (ERR_GET_REASON(e)) {
    case SSL_R_HTTP_REQUEST:
        reason = "the peer speaks plain HTTP, not TLS";
        break;
    case SSL_R_WRONG_VERSION_NUMBER:
        reason = "the peer does not speak TLS";
        break;
    case SSL_R_NO_SHARED_CIPHER:
        reason = "no cipher in common";
        break;
    default:
        break;
    }
    /* System errors have no reason string; their code is the errno. */
    if (e && !reason && ERR_SYSTEM_ERROR(e)) {
        code = -(int)ERR_GET_REASON(e);
        reason = error_name(code);
    }
    ERR_clear_error();
    return error_set(err, code, where, "%s: %s", what, reason ? reason : "unknown TLS error");
}

/* ---- contexts ---- */

/* "h2,http/1.1" to length-prefixed names. */
static int parse_alpn(struct tls_context *t, const char *list)
{
    while (list && *list) {
        size_t len = strcspn(list, ",");
        if (len == 0 || len > 31 || t->alpn_len + len + 1 > ALPN_MAX) {
            return -EINVAL;
        }
        t->alpn[t->alpn_len++] = (uint8_t)len;
        memcpy(t->alpn + t->alpn_len, list, len);
        t->alpn_len += (unsigned)len;
        list += len;
        list += *list == ',';
    }
    return 0;
}

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    const struct tls_context *t = arg;
    unsigned char *chosen = NULL;
    int r = SSL_select_next_proto(&chosen, out_len, t->alpn, t->alpn_len, in, in_len);
    *out = chosen;
    return r == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/*
 * An idle session keeps no record buffers; a write takes what the socket takes, one record at a time; a peer that ends
 * without close_notify (most do) ended all the same: what must not be cut has lengths of its own.
 */
static SSL_CTX *new_ctx(struct tls_context *t)
{
    SSL_CTX *ctx = SSL_CTX_new(t->server ? TLS_server_method() : TLS_client_method());
    if (!ctx) {
        return NULL;
    }
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (t->server) {
        SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
        SSL_CTX_set_num_tickets(ctx, 1);
        if (t->alpn_len > 0) {
            SSL_CTX_set_alpn_select_cb(ctx, select_alpn, t);
        }
    } else if (t->alpn_len > 0) {
        SSL_CTX_set_alpn_protos(ctx, t->alpn, t->alpn_len);
    }
    return ctx;
}

/* Says "no such file" plainly before OpenSSL wraps it. */
static int check_readable(const char *path, struct error *err)
{
    if (access(path, R_OK) < 0) {
        int code = -errno;
        return error_set(err, code, path, "cannot be read: %s", error_name(code));
    }
    return 0;
}

static int load_server(SSL_CTX *ctx, const struct tls_context *t, struct error *err)
{
    assert(t->cert_file && t->key_file);
    int r = check_readable(t->cert_file, err);
    if (r == 0) {
        r = check_readable(t->key_file, err);
    }
    if (r < 0) {
        return r;
    }
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ctx, t->cert_file) != 1) {
        return tls_error(err, -EINVAL, t->cert_file, "is not a usable PEM certificate");
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, t->key_file, SSL_FILETYPE_PEM) != 1) {
        return tls_error(err, -EINVAL, t->key_file, "is not the private key of the certificate");
    }
    return 0;
}

static int load_client(SSL_CTX *ctx, const struct tls_context *t, struct error *err)
{
    ERR_clear_error();
    SSL_CTX_set_verify(ctx, t->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    if (!t->verify) {
        return 0;
    }
    if (!t->cert_file) {
        return SSL_CTX_set_default_verify_paths(ctx) == 1
                   ? 0
                   : tls_error(err, -EINVAL, "", "the system's certificate authorities");
    }
    int r = check_readable(t->cert_file, err);
    if (r < 0) {
        return r;
    }
    if (SSL_CTX_load_verify_file(ctx, t->cert_file) != 1) {
        return tls_error(err, -EINVAL, t->cert_file, "holds no usable certificate authority");
    }
    return 0;
}

int tls_context_reload(struct tls_context *t, struct error *err)
{
    _cleanup_(SSL_CTX_freep) SSL_CTX *ctx = new_ctx(t);
    if (!ctx) {
        return tls_error(err, -ENOMEM, "", "cannot make a TLS context");
    }
    int r = t->server ? load_server(ctx, t, err) : load_client(ctx, t, err);
    if (r < 0) {
        return r;
    }
    pthread_mutex_lock(&t->lock);
    SSL_CTX *old = t->ctx;
    t->ctx = TAKE_PTR(ctx);
    pthread_mutex_unlock(&t->lock);
    SSL_CTX_free(old);
    return 0;
}

int tls_context_use(struct tls_context *t, const char *cert_file, const char *key_file,
                    struct error *err)
{
    assert(t->server);
    char *old_cert = t->cert_file;
    char *old_key = t->key_file;
    t->cert_file = mem_strdup(cert_file);
    t->key_file = mem_strdup(key_file);
    int r = tls_context_reload(t, err);
    if (r < 0) {
        free(t->cert_file);
        free(t->key_file);
        t->cert_file = old_cert;
        t->key_file = old_key;
        return r;
    }
    free(old_cert);
    free(old_key);
    return 0;
}

static struct tls_context *context_new(bool server, const char *cert_file, const char *key_file,
                                       const char *alpn, bool verify, struct error *err)
{
    _cleanup_(tls_context_freep) struct tls_context *t = mem_new(struct tls_context);
    pthread_mutex_init(&t->lock, NULL);
    t->server = server;
    t->verify = verify;
    t->cert_file = cert_file ? mem_strdup(cert_file) : NULL;
    t->key_file = key_file ? mem_strdup(key_file) : NULL;
    if (parse_alpn(t, alpn) < 0) {
        error_set(err, -EINVAL, "alpn", "is not a list of protocol names");
        return NULL;
    }
    return tls_context_reload(t, err) < 0 ? NULL : TAKE_PTR(t);
}

struct tls_context *tls_context_new_server(const char *cert_file, const char *key_file,
                                           const char *alpn, struct error *err)
{
    return context_new(true, cert_file, key_file, alpn, false, err);
}

struct tls_context *tls_context_new_client(const char *ca_file, const char *alpn, bool verify,
                                           struct error *err)
{
    return context_new(false, ca_file, NULL, alpn, verify, err);
}

struct tls_context *tls_context_free(struct tls_context *t)
{
    if (t) {
        SSL_CTX_free(t->ctx);
        pthread_mutex_destroy(&t->lock);
        free(t->cert_file);
        free(t->key_file);
        free(t);
    }
    return NULL;
}

struct ssl_st *tls_context_session(struct tls_context *t)
{
    pthread_mutex_lock(&t->lock);
    SSL_CTX *ctx = t->ctx;
    SSL_CTX_up_ref(ctx);
    pthread_mutex_unlock(&t->lock);
    SSL *ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    return ssl;
}

bool tls_context_verifies(const struct tls_context *t)
{
    return t->verify;
}

/* ---- the certificate of our own ---- */

static bool add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = ext && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

/* Host names come from the system; what is not a DNS name has no place in the certificate. */
static bool is_dns_name(const char *s)
{
    return *s != '\0' && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                   "0123456789-.") == strlen(s);
}

static bool set_names(X509 *cert)
{
    char host[HOST_NAME_MAX + 1] = {0};
    char names[HOST_NAME_MAX + 80];
    (void)gethostname(host, sizeof(host) - 1);
    bool named = is_dns_name(host);
    snprintf(names, sizeof(names), "DNS:localhost,IP:127.0.0.1,IP:::1%s%s", named ? ",DNS:" : "",
             named ? host : "");
    X509_NAME *subject = X509_get_subject_name(cert);
    return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                      (const uint8_t *)"mast self-signed", -1, -1, 0) == 1 &&
           X509_set_issuer_name(cert, subject) == 1 &&
           add_extension(cert, NID_subject_alt_name, names);
}

static bool set_serial(X509 *cert)
{
    uint64_t serial = 0;
    return RAND_bytes((uint8_t *)&serial, sizeof(serial)) == 1 &&
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1) == 1;
}

static X509 *make_certificate(EVP_PKEY *key)
{
    _cleanup_(X509_freep) X509 *cert = X509_new();
    /* An hour back: clocks of clients on the same network differ. */
    bool ok = cert && X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
              X509_gmtime_adj(X509_getm_notBefore(cert), -3600) &&
              X509_gmtime_adj(X509_getm_notAfter(cert), SELF_SIGNED_DAYS * 86400L) &&
              X509_set_pubkey(cert, key) == 1 && set_names(cert) &&
              add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
              add_extension(cert, NID_key_usage, "critical,digitalSignature") &&
              add_extension(cert, NID_ext_key_usage, "serverAuth") &&
              X509_sign(cert, key, EVP_sha256()) > 0;
    return ok ? TAKE_PTR(cert) : NULL;
}

static bool is_usable(const char *path)
{
    _cleanup_(BIO_freep) BIO *in = BIO_new_file(path, "r");
    _cleanup_(X509_freep) X509 *cert = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    time_t soon = time(NULL) + SELF_SIGNED_RENEW_S;
    ERR_clear_error();
    return cert && X509_cmp_time(X509_get0_notAfter(cert), &soon) > 0;
}

static int write_pem(int fd, EVP_PKEY *key, X509 *cert, struct error *err, const char *path)
{
    _cleanup_(BIO_freep) BIO *out = BIO_new(BIO_s_mem());
    char *text = NULL;
    if (!out || PEM_write_bio_X509(out, cert) != 1 ||
        PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) != 1) {
        return tls_error(err, -EIO, path, "cannot encode the certificate");
    }
    long len = BIO_get_mem_data(out, &text);
    ssize_t written = write(fd, text, (size_t)len);
    int r = written == len && fsync(fd) == 0 ? 0 : -(errno ? errno : EIO);
    OPENSSL_cleanse(text, (size_t)len);
    return r == 0 ? 0 : error_set(err, r, path, "cannot be written: %s", error_name(r));
}

/* Written beside and renamed, so that a crash or a second start never leaves half a file. */
static int make_file(const char *path, struct error *err)
{
    _cleanup_free_ char *beside = mem_printf("%s.XXXXXX", path);
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
    _cleanup_(X509_freep) X509 *cert = key ? make_certificate(key) : NULL;
    if (!cert) {
        return tls_error(err, -EIO, path, "cannot make a self-signed certificate");
    }
    int fd = mkostemp(beside, O_CLOEXEC); /* mode 0600 */
    if (fd < 0) {
        int r = -errno;
        return error_set(err, r, path, "cannot be created: %s", error_name(r));
    }
    int r = write_pem(fd, key, cert, err, path);
    close(fd);
    if (r == 0 && rename(beside, path) < 0) {
        r = error_set(err, -errno, path, "cannot be put in place: %s", error_name(-errno));
    }
    if (r < 0) {
        (void)unlink(beside);
    }
    return r;
}

char *tls_self_signed_file(const char *state_dir, struct error *err)
{
    _cleanup_free_ char *path = mem_printf("%s/%s", state_dir, SELF_SIGNED_FILE);
    return !is_usable(path) && make_file(path, err) < 0 ? NULL : TAKE_PTR(path);
}

struct tls_context *tls_context_self_signed(const char *state_dir, const char *alpn,
                                            struct error *err)
{
    _cleanup_free_ char *path = tls_self_signed_file(state_dir, err);
    return path ? tls_context_new_server(path, path, alpn, err) : NULL;
}
