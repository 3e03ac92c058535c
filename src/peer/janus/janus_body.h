/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Writing a plugin's request: what is there is written, and the caller's own object (`extra`) is laid over it at the end.
 * Small wrappers around jansson, which knows how to lay one object over another. Sans I/O.
 */
#include "base/model.h"

#include <jansson.h>

json_t *body_new(const char *request);
void body_text(json_t *o, const char *key, const char *value); /* NULL: nothing */
void body_int(json_t *o, const char *key, int64_t value);
void body_bool(json_t *o, const char *key, bool value);
void body_id(json_t *o, const char *key, const struct model_id *id); /* none: nothing */
/* extra: an object as JSON text, checked by body_check_extra(); NULL: nothing. */
void body_overlay(json_t *o, const char *extra);
int body_check_extra(const char *extra, const char *where, struct error *err);
/* The text, to be freed; takes o. */
char *body_take_text(json_t *o);

/* Writes a field of the model when it is present. */
#define BODY_INT(o, m, obj, member)                                                                \
    do {                                                                                           \
        if (MODEL_HAS((m), (obj), member)) {                                                       \
            body_int((o), #member, (obj)->member);                                                 \
        }                                                                                          \
    } while (0)
#define BODY_BOOL(o, m, obj, member)                                                               \
    do {                                                                                           \
        if (MODEL_HAS((m), (obj), member)) {                                                       \
            body_bool((o), #member, (obj)->member);                                                \
        }                                                                                          \
    } while (0)
#define BODY_TEXT(o, obj, member) body_text((o), #member, (obj)->member)
