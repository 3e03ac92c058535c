/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/janus/janus_body.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* jansson says nothing when memory runs out; the rest of the program aborts. */
static json_t *must(json_t *j)
{
    if (!j) {
        fprintf(stderr, "mast: out of memory for a request to Janus, aborting\n");
        abort();
    }
    return j;
}

static struct body object(struct error *err)
{
    return (struct body){must(json_object()), err};
}

static void spoil(struct body b, const char *where, const char *text)
{
    if (b.err->code == 0) {
        error_set(b.err, -EINVAL, where, "%s", text);
    }
}

struct body body_new(const char *request, struct error *err)
{
    struct body b = object(err);
    body_text(b, "request", request);
    return b;
}

struct body body_part(struct body b)
{
    return object(b.err);
}

/* NULL: spoiled. */
static json_t *text_of(struct body b, const char *key, const char *value)
{
    if (!utf8_valid(BYTES_STR(value))) {
        spoil(b, key, "is no valid UTF-8");
        return NULL;
    }
    return must(json_string(value));
}

void body_text(struct body b, const char *key, const char *value)
{
    json_t *text = value ? text_of(b, key, value) : NULL;
    if (text) {
        json_object_set_new(b.o, key, text);
    }
}

void body_int(struct body b, const char *key, int64_t value)
{
    json_object_set_new(b.o, key, must(json_integer(value)));
}

void body_bool(struct body b, const char *key, bool value)
{
    json_object_set_new(b.o, key, json_boolean(value));
}

void body_id(struct body b, const char *key, const struct model_id *id)
{
    if (id->kind == MODEL_ID_INT) {
        body_int(b, key, id->num);
    } else if (id->kind == MODEL_ID_STR) {
        body_text(b, key, id->str);
    }
}

static json_t *list_at(struct body b, const char *key)
{
    json_t *list = json_object_get(b.o, key);
    if (!list) {
        list = must(json_array());
        json_object_set_new(b.o, key, list);
    }
    return list;
}

void body_texts(struct body b, const char *key, char *const *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_t *text = text_of(b, key, values[i]);
        if (text) {
            json_array_append_new(list_at(b, key), text);
        }
    }
}

void body_add_part(struct body b, const char *key, struct body part)
{
    json_array_append_new(list_at(b, key), part.o);
}

void body_overlay(struct body b, const char *extra)
{
    json_t *over = extra ? json_loads(extra, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (extra && !json_is_object(over)) {
        spoil(b, "extra", "must be an object");
    } else if (over) {
        json_object_update(b.o, over);
    }
    json_decref(over);
}

int body_check_extra(const char *extra, const char *where, struct error *err)
{
    json_t *over = extra ? json_loads(extra, JSON_REJECT_DUPLICATES, NULL) : NULL;
    bool bad = extra && !json_is_object(over);
    json_decref(over);
    return bad ? error_set(err, -EINVAL, where, "must be an object") : 0;
}

char *body_take_text(struct body b)
{
    char *text = b.err->code == 0 ? json_dumps(b.o, JSON_COMPACT) : NULL;
    json_decref(b.o);
    if (!text && b.err->code == 0) {
        must(NULL);
    }
    return text;
}

int body_check_filed(const char *name, const char *where, struct error *err)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    static const char others[] = "0123456789-_";
    const char *at = name ? name : letters;
    bool good = *at && strchr(letters, *at);
    for (; good && *at; at++) {
        good = strchr(letters, *at) || strchr(others, *at);
    }
    return good ? 0
                : error_set(err, -EINVAL, where,
                            "must begin with a letter and be of letters, digits, '-' and '_' for a "
                            "permanent one: Janus would not keep it");
}
