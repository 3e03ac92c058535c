/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/access_http.h"

#include <string.h>

static const char *text_or_null(const char *s)
{
    return s[0] ? s : NULL;
}

int access_request_from_http(const struct http_request *req, struct access_credentials *buf,
                             struct access_request *ret)
{
    int r = http_auth_parse(req, &buf->auth);
    const bool tls = http_request_is_tls(req);
    buf->cookie[0] = '\0';
    if (!http_site_is_own(req) || !http_cookie_get(req, tls ? ACCESS_COOKIE_TLS : ACCESS_COOKIE,
                                                   buf->cookie, sizeof(buf->cookie))) {
        buf->cookie[0] = '\0';
    }
    *ret = (struct access_request){
        .query = http_request_query(req),
        .user = text_or_null(buf->auth.user),
        .password = buf->auth.user[0] ? buf->auth.password : text_or_null(buf->auth.password),
        .token = text_or_null(buf->auth.token),
        .cookie = text_or_null(buf->cookie),
        .origin = http_request_header(req, "Origin"),
        .peer = (const struct sockaddr *)&http_request_peer(req)->sa,
        .encrypted = tls,
        .forwarded = http_is_forwarded(req),
    };
    return r;
}

void access_credentials_wipe(struct access_credentials *c)
{
    explicit_bzero(c, sizeof(*c));
}
