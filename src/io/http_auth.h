/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Who sends an HTTP request: its Authorization header (Basic or Bearer, RFC 7617, RFC 6750). What the query says is read
 * by whoever answers the access question, for every protocol alike. Also what every policy about browsers asks: which
 * cookie came, is the Origin the page's own, and did a proxy forward this? Pure functions of the request.
 */
#include "io/http.h"

struct http_auth {
    char user[65];      /* "" = none */
    char password[257]; /* may be empty with a user */
    char token[2049];   /* Bearer; "" = none */
};

/* Fills ret; -EBADMSG (and an empty ret) when the header is there and cannot be read or is too long. */
int http_auth_parse(const struct http_request *req, struct http_auth *ret);
/* The value of a cookie of that name in a Cookie header; false when there is none, or one longer than buf. */
bool http_cookie_find(const char *header, const char *name, char *buf, size_t size);
bool http_cookie_get(const struct http_request *req, const char *name, char *buf, size_t size);
/* Adds the WWW-Authenticate of a 401: Basic, but for a page's own requests, where it would make the browser ask before the page can. */
void http_auth_challenge(const struct http_request *req, struct http_reply *reply);
/*
 * False when a browser says that another site's page sent this (Sec-Fetch-Site), links that are followed excepted; or by
 * http_origin_is_own().
 */
bool http_site_is_own(const struct http_request *req);
/* True without an Origin header, or when its host and port are those of the Host header. "null" is nobody's own. */
bool http_origin_is_own(const struct http_request *req);
/* True when a proxy says that it forwarded the request. */
bool http_is_forwarded(const struct http_request *req);
