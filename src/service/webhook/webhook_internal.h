/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Shared by webhook_service.c (webhooks, sending), webhook_admin.c (what the API does) and webhook_outbox.c (deliveries in
 * the store). Control loop.
 */
#include "service/webhook/webhook_send.h"
#include "service/webhook/webhook_service.h"

/* A webhook in service. */
struct sub {
    struct list node;
    struct webhook_service *s;
    struct webhook w;
    struct webhook_queue q;
    bool from_file;
    bool seen;         /* configure: still in the file */
    bool needs_secret; /* sealed with a key that we do not have */
    bool gone;         /* 410 */
    uint64_t settings; /* how often they were changed */
    int64_t version;   /* of its document */
    uint64_t accepted;
    uint64_t failed;
    int64_t last_at;
    int32_t last_status;
    char *last_error; /* NULL: the last attempt was accepted */
    unsigned dropped_untold;
    int64_t dropped_told_at;
};

struct webhook_service {
    struct webhook_service_config config;
    struct events_listener listener;
    struct net_guard guard;
    struct http_client *http;
    struct list subs; /* the first is asked first, then goes to the end */
    struct list pings;
    unsigned n_api; /* of the API, also those being made */
    struct loop_task pump;
    struct loop_timer *timer;
    unsigned n_sending;
    unsigned n_deliveries;
    size_t bytes;
    int64_t last_id;
    bool stopping;
    uint64_t accepted;
    uint64_t failed;
    uint64_t died;
    uint64_t dropped;
};

#define WEBHOOK_NEW_ID_MAX 24
/* An id that is higher than all before it, over restarts too unless the clock goes back. */
void outbox_new_id(struct webhook_service *s, char ret[WEBHOOK_NEW_ID_MAX]);
/* Makes a delivery of the event, stores it, makes room. */
void outbox_take(struct sub *sub, const struct event *e, int64_t now);
/* Its state changed. */
void outbox_update(struct webhook_service *s, struct webhook_delivery *d);
/* Ends it: out of the queue, the store and memory. */
void outbox_remove(struct sub *sub, struct webhook_delivery *d, int64_t now);
/* The same for all of a webhook that goes. */
void outbox_remove_all(struct sub *sub);
/* Without touching the store: the process ends. */
void outbox_forget_all(struct sub *sub);
/* Reads all; runs the control loop meanwhile. */
int outbox_load(struct webhook_service *s, struct error *err);

/* A test request under way. */
struct ping {
    struct list node;
    struct webhook_attempt *attempt;
    webhook_test_fn fn;
    void *user;
};

/* Takes w over. */
struct sub *sub_new(struct webhook_service *s, struct webhook *w, bool from_file);
/* Its deliveries must be gone from the store before, if they shall be. */
void sub_free(struct sub *sub);
/* Takes w over, in place of what it was. */
void sub_take_settings(struct sub *sub, struct webhook *w);
struct webhook_view sub_view(const struct sub *sub);
/* Which addresses it may have; NULL = all. */
const struct net_guard *sub_guard(const struct sub *sub);
/* Puts the document of what we changed ourselves. */
void sub_store(struct sub *sub);
void webhook_pump_soon(struct webhook_service *s);
struct sub *webhook_find(const struct webhook_service *s, const char *id);
