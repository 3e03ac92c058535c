/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Which route answers a path: the mounted tables, compiled to segments and sorted so that the first one that matches is the
 * most specific. Patterns are compared segment by segment from the left: literal, {name}, {name+} with something behind it,
 * {name+}; between two suffixes the longer one. The most specific pattern alone decides: when it lacks the method, the answer
 * is 405, also where a less specific one has it. Built on the control thread before the first listener, read-only from then
 * on, by any thread. Matching allocates nothing.
 */
#include "io/http.h"

#define HTTP_PARAMS_MAX   8
#define HTTP_SEGMENTS_MAX 64 /* a path with more matches nothing */

struct http_param {
    struct bytes name;
    struct bytes value; /* a part of the path */
};

struct http_match {
    const struct http_route *route; /* NULL: see allow */
    void *user;
    unsigned allow; /* bits 1 << method of the pattern that matched; 0 = no pattern did */
    unsigned n_params;
    struct http_param params[HTTP_PARAMS_MAX];
};

struct http_router;
struct http_router *http_router_new(void);
/* Asserts on malformed patterns and on two routes of one method that match the same paths with the same precedence. */
void http_router_add(struct http_router *r, const struct http_route *routes, unsigned n,
                     void *user);
/* path starts with "/". HEAD is found under GET when it has no route of its own. */
void http_router_match(const struct http_router *r, enum http_method method, struct bytes path,
                       struct http_match *ret);
void http_router_each(const struct http_router *r,
                      void (*each)(void *arg, const struct http_route *route), void *arg);
/* Value of an Allow header for a set of methods; buf holds HTTP_ALLOW_MAX. HEAD and OPTIONS come by themselves. */
#define HTTP_ALLOW_MAX 64
const char *http_allow_format(unsigned allow, char buf[HTTP_ALLOW_MAX]);
struct http_router *http_router_free(struct http_router *r); /* NULL is fine; returns NULL */

/* Methods are case-sensitive (RFC 9110 9.1); -EINVAL when unknown. */
int http_method_from_bytes(struct bytes b);
