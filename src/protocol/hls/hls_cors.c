/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages of other origins may play streams (WHATWG Fetch, "CORS protocol"). Playlists and media need no credentials of
 * the browser's own, so "*" is safe: a page gets what its viewer could get without it.
 */
#include "base/mem.h"
#include "protocol/hls/hls_private.h"

#include <strings.h>

/* What players set: credentials, and ranges, which are asked for though they are not served. */
#define ALLOW_HEADERS "Authorization, Range, Cache-Control"
#define MAX_AGE_S     "86400"

void hls_cors_init(struct hls_server *s, const char *const *origins, size_t n)
{
    s->n_origins = n;
    s->any_origin = n == 0;
    s->origins = mem_alloc(MAX(n, (size_t)1) * sizeof(char *));
    for (size_t i = 0; i < n; i++) {
        s->origins[i] = mem_strdup(origins[i]);
    }
}

void hls_cors_done(struct hls_server *s)
{
    for (size_t i = 0; i < s->n_origins; i++) {
        free(s->origins[i]);
    }
    free(s->origins);
}

/* The value of Access-Control-Allow-Origin, NULL when the page's origin is none of the allowed ones. */
static const char *allowed_origin(const struct hls_server *s, const char *origin)
{
    if (s->any_origin) {
        return "*";
    }
    for (size_t i = 0; origin && i < s->n_origins; i++) {
        if (strcasecmp(s->origins[i], origin) == 0) {
            return origin;
        }
    }
    return NULL;
}

void hls_cors_put(const struct hls_server *s, struct http_request *req, struct http_reply *reply)
{
    const char *allowed = allowed_origin(s, http_request_header(req, "Origin"));
    if (!s->any_origin) {
        http_reply_header(reply, "Vary",
                          "Origin"); /* also without one: caches keep that reply as well */
    }
    if (allowed) {
        http_reply_header(reply, "Access-Control-Allow-Origin", allowed);
    }
}

void hls_cors_handle(void *user, struct http_request *req, struct http_reply *reply)
{
    const struct hls_server *s = user;
    http_reply_header(reply, "Allow", "GET, HEAD, OPTIONS");
    hls_cors_put(s, req, reply);
    if (http_request_header(req, "Access-Control-Request-Method") &&
        allowed_origin(s, http_request_header(req, "Origin"))) {
        http_reply_header(reply, "Access-Control-Allow-Methods", "GET, HEAD");
        http_reply_header(reply, "Access-Control-Allow-Headers", ALLOW_HEADERS);
        http_reply_header(reply, "Access-Control-Max-Age", MAX_AGE_S);
    }
    http_reply_send(reply, 204, NULL, NULL);
}
