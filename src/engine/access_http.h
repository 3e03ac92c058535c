/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The access question of an HTTP request: who asks, from the Authorization header, the session cookie, the query and the
 * peer. One place for every protocol over HTTP and for the API, so that none forgets a credential or believes one too many.
 *
 * A cookie counts only when the request comes from our own page: what another site's page sends is nobody's, whatever the
 * browser attaches to it.
 */
#include "engine/access.h"
#include "io/http_auth.h"

/* Over TLS the name binds the cookie to this very host and to TLS (RFC 6265bis 4.1.3.2); plain HTTP cannot have that. */
#define ACCESS_COOKIE     "mast-session"
#define ACCESS_COOKIE_TLS "__Host-mast-session"
#define ACCESS_COOKIE_MAX 64

/* Where the strings of the question live. */
struct access_credentials {
    struct http_auth auth;
    char cookie[ACCESS_COOKIE_MAX];
};

/*
 * Fills all of ret but action, protocol and path. -EBADMSG when the Authorization header cannot be read: then the request
 * carries no credentials.
 */
int access_request_from_http(const struct http_request *req, struct access_credentials *buf,
                             struct access_request *ret);
/* _cleanup_() on the owner: secrets do not stay on the stack. */
void access_credentials_wipe(struct access_credentials *c);
