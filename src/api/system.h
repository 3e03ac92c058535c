/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* /api/v1/version, /healthz, /readyz, and the metrics of the process itself. */
#include "api/metrics.h"
#include "base/json.h"
#include "io/http.h"

/* The routes' user. Lives as long as the server; ready is set on the control loop. */
struct system_state {
    bool ready; /* every listener is up */
    int64_t started_wall_ns;
    struct loop *const *loops; /* media loops, for their busy share */
    unsigned n_loops;
};

extern const struct http_route system_routes[];
extern const unsigned system_routes_n;

/* A metrics source; user is a struct system_state. */
void system_metrics(void *user, struct metrics_page *page);
/* What the process uses now. */
struct system_usage {
    double cpu_seconds; /* user and system, since it began */
    uint64_t resident_bytes;
    unsigned open_fds;
};
void system_usage_read(struct system_usage *ret);
/* The parts this build has and the versions of the libraries it runs with, as one JSON object. */
void system_version_write(struct json *j);
