/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * HTTP(S) requests to others: webhooks, downloads, the APIs of peers. libcurl's multi interface on the control loop; names
 * are resolved on libcurl's threads. Only http and https, no proxies from the environment, no cookies, certificates are
 * checked unless a call says otherwise. A client belongs to one loop; all calls are made there.
 *
 * URLs that users give pass one decision after resolution (design 7): `check_address` sees each address before a byte goes
 * to it, also on redirects and on connections kept from earlier calls.
 */
#include "base/bytes.h"
#include "base/error.h"
#include "io/loop.h"

#include <sys/socket.h>

struct http_client;
struct http_call; /* one request under way */

#define HTTP_CLIENT_CALLS_MAX   1024        /* under way at a time */
#define HTTP_CLIENT_HEADERS_MAX (64 * 1024) /* of replies, all redirects of a call together */
#define HTTP_CLIENT_REDIRECTS   20          /* most that a call may allow */

struct http_client_config {
    const char *user_agent; /* NULL = "mast" */
    const char *ca_file;    /* NULL = the system's */
    unsigned max_per_host;  /* connections; 0 = 8; further calls wait */
};

/* Read (and copied) during http_client_start() only. */
struct http_call_spec {
    const char *method; /* NULL = GET, or POST with a body */
    const char *url;
    /* "Name: value", NULL-terminated; may be NULL. Redirects to another host take all along but Authorization. */
    const char *const *headers;
    struct bytes body;
    const char *ca_file; /* NULL = the client's */
    bool insecure;       /* accept any certificate: for peers on the operator's own machines */
    unsigned connect_timeout_ms; /* 0 = 10000 */
    unsigned timeout_ms;         /* of the whole call; 0 = 30000 */
    size_t max_reply_bytes;      /* 0 = 1 MiB; the call fails with -EFBIG when the body is longer */
    unsigned max_redirects;      /* 0 = none: the 3xx reply is the result */
};

struct http_result {
    int status;             /* 0 when err is set before a reply */
    struct bytes body;      /* "" when streamed */
    const char *url;        /* after redirects; may hold secrets, so it is not for logs */
    struct http_call *call; /* for http_result_header() */
    int64_t elapsed_ns;
    /* code 0 or negative errno: -ECONNREFUSED, -EHOSTUNREACH (name), -ETIMEDOUT, -EACCES (address refused), -EFBIG, -EPROTO
       (not HTTP, TLS, a redirect elsewhere), -ELOOP, -EIO. where is scheme, host and port. A status of 400 and above is no error here. */
    struct error err;
};

struct http_call_ops {
    /* Negative refuses the address; err (never NULL) takes the sentence. NULL = all are fine. */
    int (*check_address)(void *user, const struct sockaddr *address, socklen_t len,
                         struct error *err);
    /* Streams the body instead of collecting it. A negative return ends the call with it. NULL = collect. */
    int (*on_data)(void *user, struct bytes data);
    /* Once, unless cancelled. Views are valid during the call. New calls may be started here. */
    void (*on_done)(void *user, const struct http_result *result);
};

/* Aborts when libcurl cannot be set up. */
struct http_client *http_client_new(struct loop *l, const struct http_client_config *config);
/* Cancels what is under way. Not inside a callback of one of its calls. Returns NULL. */
struct http_client *http_client_free(struct http_client *c);
/* Nothing is called back before this returns. -ENOBUFS when too many calls are under way, -EINVAL for a bad method or URL. */
int http_client_start(struct http_client *c, const struct http_call_spec *spec,
                      const struct http_call_ops *ops, void *user, struct http_call **ret,
                      struct error *err);
/* No callback comes after it; the call is freed. NULL is fine. Not inside on_done of the same call. */
void http_call_cancel(struct http_call *call);
/* First header of that name (any case) of the last reply; NULL when absent. Valid during on_done. */
const char *http_result_header(const struct http_result *r, const char *name);
unsigned http_client_live(const struct http_client *c); /* calls under way */
