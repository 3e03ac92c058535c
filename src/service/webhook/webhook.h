/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A webhook: which events go to which URL, signed with which secret. One struct and several tables: as mast.yml has it, as
 * the store keeps it (secret and headers sealed), as the API takes and shows it. Plain values; any thread.
 */
#include "api/events.h"
#include "base/model.h"

#define WEBHOOKS_MAX       256 /* of the API */
#define WEBHOOK_ID_PREFIX  "wh_"
#define WEBHOOK_KEY_PREFIX "whsec_"
#define WEBHOOK_KIND       "webhook"

struct webhook {
    char *id; /* mast.yml: its name; API: wh_ and random characters */
    char *name;
    char *url;
    MODEL_ARRAY(char *) events; /* patterns of types */
    MODEL_ARRAY(char *) paths;  /* patterns of stream paths; empty: whatever it is about */
    char *secret;               /* NULL: not signed (mast.yml only) */
    MODEL_DICT(char *) headers;
    bool enabled;
    int64_t timeout;
    int64_t give_up;
    int64_t created_at;
};
struct webhook_list {
    MODEL_ARRAY(struct webhook) items;
};

extern const struct model webhook_file_model;   /* an entry of `webhooks` in mast.yml */
extern const struct model webhook_stored_model; /* everything */
extern const struct model webhook_new_model;    /* what clients send, for POST and PATCH */

/* How it stands, beside what it is. */
struct webhook_view {
    char *id;
    char *name;
    char *url;
    MODEL_ARRAY(char *) events;
    MODEL_ARRAY(char *) paths;
    bool enabled;
    int64_t timeout;
    int64_t give_up;
    int64_t created_at;
    char *managed_by; /* "file" or "api" */
    char *status;     /* "ok", "failing", "disabled", "gone", "needs-secret" */
    char *secret;     /* only in the reply that made it */
    uint32_t pending;
    uint32_t dead;
    uint64_t accepted;
    uint64_t failed;
    int64_t last_at;
    int32_t last_status;
    char *last_error;
};
struct webhook_view_list {
    MODEL_ARRAY(struct webhook_view) items;
};
extern const struct model webhook_view_model;
extern const struct model webhook_view_list_model;

/* Events about webhooks are for no webhook: a failure would make the next one. */
bool webhook_wants(const struct webhook *w, const struct event *e);
/* Frees, after overwriting the secrets; w is zeroed. */
void webhook_done(struct webhook *w);
