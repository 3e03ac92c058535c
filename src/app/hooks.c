/* SPDX-License-Identifier: Apache-2.0 */
#include "app/hooks.h"

#include "base/mem.h"
#include "service/hook/hook_service.h"
#include "service/webhook/webhook_service.h"

struct hooks {
    struct webhook_service *webhooks;
    struct hook_service *programs;
};

void hooks_configure(struct hooks *h, const struct config *config)
{
    struct net_guard guard = {0};
    /* Each range was checked when the configuration was read. */
    (void)net_guard_init(&guard, config->outgoing.allow.items, config->outgoing.allow.len, NULL);
    webhook_service_configure(h->webhooks, config->webhooks.items, config->webhooks.len, &guard);
    hook_service_configure(h->programs, config->hooks.items, config->hooks.len);
}

int hooks_start(const struct config *config, const struct hooks_target *target, struct hooks **ret,
                struct error *err)
{
    struct hooks *h = mem_new(struct hooks);
    *ret = h;
    const struct webhook_service_config wc = {
        .control = target->control,
        .store = target->store,
        .events = target->events,
        .ring = target->ring,
    };
    h->webhooks = webhook_service_new(&wc);
    h->programs = hook_service_new(target->control, target->events);
    hooks_configure(h, config);
    return webhook_service_load(h->webhooks, err);
}

void hooks_mount(struct hooks *h, struct http_server *http, struct metrics *metrics)
{
    http_server_mount(http, webhook_routes, webhook_routes_n, h->webhooks);
    metrics_add(metrics, webhook_metrics, h->webhooks);
    metrics_add(metrics, hook_metrics, h->programs);
}

void hooks_stop(struct hooks *h, void (*done)(void *user), void *user)
{
    hook_service_stop(h->programs, done, user);
}

void hooks_close(struct hooks *h)
{
    if (h) {
        h->programs = hook_service_free(h->programs);
        webhook_service_stop(h->webhooks);
    }
}

struct hooks *hooks_free(struct hooks *h)
{
    if (h) {
        webhook_service_free(h->webhooks);
        free(h);
    }
    return NULL;
}
