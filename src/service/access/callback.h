/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Asks a program of the operator's by HTTP, in the shape MediaMTX asks: POST of {"user", "password", "token", "ip", "action", "path",
 * "protocol", "id", "query"}; a status of 2xx grants, 401 asks for credentials, all else refuses, and so does no answer in
 * time. Requests run on the control loop, at most CALLBACKS_MAX at once: what comes on top is refused as busy.
 */
#include "base/model.h"
#include "engine/access.h"

#define CALLBACKS_MAX 256

struct callback_config {
    char *url;
    int64_t timeout;
    int64_t cache; /* how long answers count */
};
extern const struct model callback_config_model;

struct callback;
/* On denied, the answerer hears of each refusal (on the control loop), to count it. */
struct callback *callback_new(const struct callback_config *config, struct loop *control,
                              void (*denied)(void *user, const struct access_request *req),
                              void *user);
/* Any thread: takes the ticket and replies to it later. */
void callback_ask(struct callback *c, struct access_ticket *t);
/* Replies to what is open. When nobody asks any more, with the askers' loops still there; control thread. Returns NULL. */
struct callback *callback_free(struct callback *c);
