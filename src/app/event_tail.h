/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The events of a running server for commands: line by line, over restarts of it. Blocks. */
#include "app/api_call.h"

struct event_tail {
    struct api_call call;
    const char *resource; /* of this one only: "broadcasts/br_..."; NULL = all */
    bool kept;            /* what the server still knows comes first */
    bool follow;          /* goes on until it is ended; else ends after what is kept */
    /* One event, as its JSON; text without a newline. */
    void (*print)(const char *json);
};
/* What events look like; print() may parse with it. */
struct event_view {
    char *time;
    char *type;
    char *resource;
    char *data; /* JSON */
};
extern const struct model event_view_model;

/* The exit code. */
int event_tail(const struct event_tail *t);
