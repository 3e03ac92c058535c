/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * TLS contexts: certificates, keys, trust. TLS 1.2 and newer, no renegotiation. A context is made and reloaded by the
 * control thread and used by any loop; whoever made it frees it after the listeners that use it. Sessions hold what they
 * need themselves. This part opens no sockets: see io/conn.h.
 */
#include "base/error.h"
#include "base/mem.h"

#include <stdbool.h>

struct tls_context;
struct ssl_st;

/*
 * A server's context from PEM files: the certificate with its chain, and its private key (may be the same file). alpn is a
 * comma-separated list in order of preference ("http/1.1"), NULL = none; a client that offers only others is refused
 * (RFC 7301 3.2). Returns NULL and fills err: -ENOENT, -EACCES, -EINVAL.
 */
struct tls_context *tls_context_new_server(const char *cert_file, const char *key_file,
                                           const char *alpn, struct error *err);
/*
 * A server's context with a certificate of our own: EC P-256, for localhost, 127.0.0.1, ::1 and this machine's name, two
 * years. Kept as state_dir/tls-self-signed.pem (0600) and used again until 30 days before its end.
 */
struct tls_context *tls_context_self_signed(const char *state_dir, const char *alpn,
                                            struct error *err);
/* The file of the above, made when it is not there or near its end; the caller frees. NULL with err. */
char *tls_self_signed_file(const char *state_dir, struct error *err);
/*
 * A client's context. ca_file: the only authorities to trust; NULL = the system's. verify false accepts every
 * certificate (for peers on closed networks; say so in the configuration that asks for it).
 */
struct tls_context *tls_context_new_client(const char *ca_file, const char *alpn, bool verify,
                                           struct error *err);
/*
 * Reads the files again; sessions from now on use the new certificate, established ones go on. On failure the old
 * certificate stays in use. Any thread.
 */
int tls_context_reload(struct tls_context *t, struct error *err);
/* The same with other files from now on (a server's). On failure nothing changes. The thread that made it. */
int tls_context_use(struct tls_context *t, const char *cert_file, const char *key_file,
                    struct error *err);
struct tls_context *tls_context_free(struct tls_context *t); /* returns NULL */
DEFINE_FREEP(struct tls_context *, tls_context_free)

/* For io/: a new session of the context's present certificate, NULL when out of memory. Any thread. */
struct ssl_st *tls_context_session(struct tls_context *t);
bool tls_context_verifies(const struct tls_context *t);
/* For io/: one sentence for the calling thread's newest OpenSSL error, which is cleared. */
int tls_error(struct error *err, int code, const char *where, const char *what);
