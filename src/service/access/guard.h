/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What stands before every HTTP handler (design 7, "safe by default"): the Host must be one of ours, so that a name that
 * somebody points at this machine (DNS rebinding) opens nothing; a browser's Origin must be the page's own for control
 * routes and WebSockets; and a route with a scope needs a key with that scope, or a user with API rights. It also looks behind
 * trusted proxies: from here on the request's peer is the client. Runs on the connection's loop.
 */
#include "io/http.h"
#include "service/access/access_service.h"

struct guard_policy;
struct guard {
    struct access_service *access;
    struct guard_policy *_Atomic policy; /* private; NULL = the strictest */
};

struct guard_config {
    char *const *hosts; /* further host names that are ours, besides addresses and localhost */
    size_t n_hosts;
    char *const *
        proxies; /* networks whose forwarded headers are believed; as net_range_parse() takes them */
    size_t n_proxies;
};

/*
 * Copied. While the server runs, loops are those of its connections: it waits for them, so that none looks at the old policy
 * any more. Control thread.
 */
void guard_configure(struct guard *g, const struct guard_config *config, struct loop *const *loops,
                     unsigned n_loops);
/* After the server. */
void guard_done(struct guard *g);

/* For http_server_config: user is a struct guard that outlives the server. */
bool guard_check(void *user, struct http_request *req, struct http_reply *reply);
