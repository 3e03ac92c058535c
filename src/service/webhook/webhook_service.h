/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Webhooks as a running service: hears every event, puts a delivery for each webhook that wants it into the store, sends it
 * once it is there, and deletes it when it was accepted. So what was stored is delivered at least once, whatever happens to
 * the process; in order per webhook and resource (webhook_queue.h). The outbox is bounded: over it the webhook with the most
 * deliveries loses its oldest, which is counted and told.
 *
 * Those of mast.yml are given by webhook_service_configure() and cannot be changed through the API; those of the API live in
 * the store. Control loop.
 */
#include "io/net_guard.h"
#include "service/webhook/webhook.h"
#include "service/webhook/webhook_queue.h"
#include "store/seal.h"
#include "store/store.h"

struct webhook_service;

struct webhook_service_config {
    struct loop *control;
    struct store *store;          /* outlives it until webhook_service_stop() */
    struct events *events;        /* the same */
    const struct seal_ring *ring; /* outlives it; NULL: nothing with a secret can be kept */
    unsigned outbox_max;          /* deliveries; 0 = 10000 */
    size_t outbox_bytes_max;      /* 0 = 32 MiB */
    struct webhook_retry retry;   /* zero: 1 s to 10 min; give_up_ns is the webhook's own */
};
struct webhook_service *webhook_service_new(const struct webhook_service_config *config);
/* Reads webhooks and deliveries; blocks by running the control loop: at the start, after the first configure. */
int webhook_service_load(struct webhook_service *s, struct error *err);
/* What mast.yml says now. Only what differs from before is touched; what went takes its deliveries along. */
void webhook_service_configure(struct webhook_service *s, const struct webhook *items, size_t n,
                               const struct net_guard *guard);
/* Sends and hears nothing any more. While the store and the events are still there. */
void webhook_service_stop(struct webhook_service *s);
/* After the control loop has delivered what the store still answered. Returns NULL. */
struct webhook_service *webhook_service_free(struct webhook_service *s);

/* ---- what the routes ask ---- */

/* Answers perhaps before the call returns. view is valid during it; NULL when r < 0 or there is none left. */
typedef void (*webhook_fn)(void *user, int r, const struct webhook_view *view,
                           const struct error *err);
/* -ENOSPC, -ENOKEY (no key to seal with), or what the store says. */
void webhook_create(struct webhook_service *s, const struct webhook *wanted, webhook_fn fn,
                    void *user);
/* RFC 7396. -ENOENT, -EPERM (mast.yml's), -EINVAL, -ESTALE (changed meanwhile), or the store's. */
void webhook_change(struct webhook_service *s, const char *id, struct bytes patch, webhook_fn fn,
                    void *user);
void webhook_delete(struct webhook_service *s, const char *id, webhook_fn fn, void *user);
/* Fills the view, whose texts live until the next change. -ENOENT. */
int webhook_get(struct webhook_service *s, const char *id, struct webhook_view *ret);
void webhook_each(struct webhook_service *s,
                  void (*each)(void *user, const struct webhook_view *view), void *user);
/* Its deliveries, oldest first, dead ones before; at most max. -ENOENT. */
int webhook_each_delivery(struct webhook_service *s, const char *id, unsigned max,
                          void (*each)(void *user, const struct webhook_delivery *d), void *user);
/* delivery NULL: all dead ones. Returns how many, -ENOENT (no such webhook), -ESRCH (no such dead delivery). */
int webhook_replay(struct webhook_service *s, const char *id, const char *delivery);

/* A request of type webhook.test, outside of the outbox. */
struct webhook_test_view {
    bool accepted;
    int32_t status;
    int64_t elapsed;
    char *error;
};
extern const struct model webhook_test_model;
typedef void (*webhook_test_fn)(void *user, int r, const struct webhook_test_view *view,
                                const struct error *err);
void webhook_test(struct webhook_service *s, const char *id, webhook_test_fn fn, void *user);

/* A metrics source; user is the service. */
void webhook_metrics(void *user, struct metrics_page *page);
/* /api/v1/webhooks; user is the service. */
extern const struct http_route webhook_routes[];
extern const unsigned webhook_routes_n;
