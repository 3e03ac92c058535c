/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Who sends an HTTP request: its Authorization header (Basic or Bearer, RFC 7617, RFC 6750). What the query says is read
 * by whoever answers the access question, for every protocol alike. Also the two questions that every policy about browsers asks:
 * is the Origin the page's own, and did a proxy forward this? Pure functions of the request.
 */
#include "io/http.h"

struct http_auth {
    char user[65];      /* "" = none */
    char password[257]; /* may be empty with a user */
    char token[2049];   /* Bearer; "" = none */
};

/* Fills ret; -EBADMSG (and an empty ret) when the header is there and cannot be read or is too long. */
int http_auth_parse(const struct http_request *req, struct http_auth *ret);
/* True without an Origin header, or when its host and port are those of the Host header. "null" is nobody's own. */
bool http_origin_is_own(const struct http_request *req);
/* True when a proxy says that it forwarded the request. */
bool http_is_forwarded(const struct http_request *req);
