/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How routes of the API answer: JSON that nothing between may keep, and problems by what went wrong. Each consumes the
 * reply (io/http.h). On the handler's thread.
 */
#include "base/model.h"
#include "io/http.h"

/* obj as JSON, secrets redacted. */
void reply_model(struct http_reply *reply, int status, const struct model *m, const void *obj);
/* One JSON value, as it stands. */
void reply_json(struct http_reply *reply, int status, const struct out *json);

/* What a negative errno is to a client. */
struct reply_problem {
    int r;
    int status;
    const char *code; /* the stable word of problem+json */
};
/* table ends with the entry for everything else, whose r is 0. */
void reply_errno(struct http_reply *reply, const struct reply_problem *table, int r,
                 const struct error *err);
