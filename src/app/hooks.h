/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What events set off outside of this process: webhooks, and programs. Joins service/webhook and service/hook to the
 * configuration and to what the server is made of. Control loop.
 */
#include "api/metrics.h"
#include "app/config.h"
#include "store/seal.h"
#include "store/store.h"

struct hooks;

/* All outlive hooks_close(). */
struct hooks_target {
    struct loop *control;
    struct store *store;
    const struct seal_ring *ring; /* NULL: no key */
    struct events *events;
};
/* Before anything happens that somebody may want to hear of. *ret is also set on failure, for hooks_free(). */
int hooks_start(const struct config *config, const struct hooks_target *target, struct hooks **ret,
                struct error *err);
/* Another configuration, which has been checked. */
void hooks_configure(struct hooks *h, const struct config *config);
void hooks_mount(struct hooks *h, struct http_server *http, struct metrics *metrics);
/* Ends the programs that hooks run; done comes once, when they are gone. */
void hooks_stop(struct hooks *h, void (*done)(void *user), void *user);
/* Nothing is heard, sent or run from then on. NULL is fine. */
void hooks_close(struct hooks *h);
/* When the control loop is gone. NULL is fine; returns NULL. */
struct hooks *hooks_free(struct hooks *h);
