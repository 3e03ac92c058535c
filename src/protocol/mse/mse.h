/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * MSE over WebSocket: `GET /{path+}/mse` (docs/mse-protocol.md). One session per WebSocket; it lives on the loop of its
 * connection, asks the access question before it upgrades, and then is a reader of the stream that writes the shared CMAF
 * chunks as they are. It holds a cursor and at most one half-written chunk, never a queue.
 */
#include "engine/stream.h"
#include "io/http.h"

/* A table of mse_routes_n media routes, to mount with the struct engine * as user. */
extern const struct http_route mse_routes[];
extern const unsigned mse_routes_n;

/* Gauge: sessions, also those that wait for their answer. Any thread. */
uint64_t mse_live(void);
