/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * GET /api/v1/system: what the program uses, moves and listens on, in one answer: what a person looks at first, and what a page
 * needs to tell how to publish. The numbers are those of /metrics. Control loop.
 */
#include "api/system.h"
#include "engine/stream.h"
#include "io/http.h"
#include "protocol/rtmp/rtmp_server.h"

/* Borrowed; NULL where it is switched off. */
struct overview {
    const struct system_state *system;
    struct engine *engine;
    struct http_server *http;
    struct rtmp_server *rtmp;
    struct rtmp_server *rtmps;
};

/* user is the struct overview. */
extern const struct http_route overview_routes[];
extern const unsigned overview_routes_n;
