/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What stands before every HTTP handler (design 7, "safe by default"): the Host must be one of ours, so that a name that
 * somebody points at this machine (DNS rebinding) opens nothing; a browser's Origin must be the page's own for control
 * routes and WebSockets; and a route with a scope needs a key with that scope, or a user with API rights. Runs on the
 * connection's loop.
 */
#include "io/http.h"
#include "service/access/access_service.h"

struct guard_hosts;
struct guard {
    struct access_service *access;
    struct guard_hosts *_Atomic hosts; /* private; NULL = none */
};

/*
 * Further host names that are ours, besides addresses and localhost; copied. While the server runs, loops are those of its
 * connections: it waits for them, so that none looks at the old names any more. Control thread.
 */
void guard_set_hosts(struct guard *g, char *const *names, size_t n, struct loop *const *loops,
                     unsigned n_loops);
/* After the server. */
void guard_done(struct guard *g);

/* For http_server_config: user is a struct guard that outlives the server. */
bool guard_check(void *user, struct http_request *req, struct http_reply *reply);
