/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Writing a plugin's request: what is there is written, and the caller's own object (`extra`) is laid over it at the end.
 * Small wrappers around jansson, which knows how to lay one object over another. What cannot be written, because it is no
 * UTF-8 or no object, spoils the whole: the first such field is named in the request's error. Sans I/O.
 */
#include "base/model.h"

#include <jansson.h>

struct body {
    json_t *o;
    struct error *err; /* of the whole request; never NULL, all zero at its start */
};

struct body body_new(const char *request, struct error *err);
/* An object that will be a part of b. */
struct body body_part(struct body b);
void body_text(struct body b, const char *key, const char *value); /* NULL: nothing */
void body_int(struct body b, const char *key, int64_t value);
void body_bool(struct body b, const char *key, bool value);
void body_id(struct body b, const char *key, const struct model_id *id); /* none: nothing */
void body_texts(struct body b, const char *key, char *const *values, size_t n);
/* The nth of b's parts under key; takes it. */
void body_add_part(struct body b, const char *key, struct body part);
/* extra: an object as JSON text; NULL: nothing. */
void body_overlay(struct body b, const char *extra);
int body_check_extra(const char *extra, const char *where, struct error *err);
/*
 * What is permanent is filed under this name, which libconfig must be able to take: with another one Janus answers that it was
 * saved, and it was not. NULL is fine.
 */
int body_check_filed(const char *name, const char *where, struct error *err);
/* The text, to be freed, or NULL: b->err says why. Takes b. */
char *body_take_text(struct body b);

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
