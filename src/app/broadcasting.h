/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Broadcasts and the Janus servers that they are made at: joins service/broadcast to the configuration and to what the
 * server is made of. Control loop.
 */
#include "api/metrics.h"
#include "app/config.h"
#include "io/http.h"
#include "service/access/access_service.h"
#include "store/seal.h"
#include "store/store.h"

struct broadcasting;

/* All outlive broadcasting_free(), but the store, which is drained and closed before. */
struct broadcasting_target {
    struct loop *control;
    struct loop *const *loops;
    unsigned n_loops;
    struct store *store;
    const struct seal_ring *ring; /* NULL: no key */
    struct events *events;
    struct engine *engine;
    struct access_service *access;
    uint16_t rtmp_port; /* of our own RTMP; 0: there is none */
};
/*
 * When our own RTMP listens, and before the first request: takes up what an earlier process left. *ret is also set on
 * failure, for broadcasting_free().
 */
int broadcasting_start(const struct config *config, const struct broadcasting_target *target,
                       struct broadcasting **ret, struct error *err);
/* What can change while it runs: where it may connect to (outgoing.allow), from the next connection on. */
void broadcasting_configure(struct broadcasting *b, const struct config *config);
void broadcasting_mount(struct broadcasting *b, struct http_server *http, struct metrics *metrics);
/*
 * No request is taken any more, and what runs is left, suspended or stopped as the configuration says; handed on when another
 * program takes over at once. done comes once, after LEAVE_MS at the latest. A second call changes nothing.
 */
void broadcasting_leave(struct broadcasting *b, bool handed_on, void (*done)(void *user),
                        void *user);
/* After the HTTP server, before the store and the engine. What has not been undone stays as it is. NULL is fine; returns NULL. */
struct broadcasting *broadcasting_free(struct broadcasting *b);
