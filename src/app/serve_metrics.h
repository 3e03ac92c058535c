/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Metrics of the listeners and sessions that the program itself put together. */
#include "api/metrics.h"
#include "protocol/hls/hls_server.h"
#include "protocol/rtmp/rtmp_server.h"

struct serve_counters {
    struct rtmp_server *rtmp; /* NULL when switched off */
    struct rtmp_server *rtmps;
    struct hls_server *hls; /* NULL when switched off */
    struct http_server *http;
};

/* A metrics source; user is a struct serve_counters. */
void serve_metrics(void *user, struct metrics_page *page);
