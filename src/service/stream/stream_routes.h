/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* /api/v1/streams: list, show, kick; and the engine's metrics. Handlers run on the control loop; user is the engine. */
#include "api/metrics.h"
#include "engine/stream.h"
#include "io/http.h"

extern const struct http_route stream_routes[];
extern const unsigned stream_routes_n;

/* A metrics source; user is the engine. */
void stream_metrics(void *user, struct metrics_page *page);
