/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/janus/janus_body.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* jansson says nothing when memory runs out; the rest of the program aborts. */
static json_t *must(json_t *j)
{
    if (!j) {
        fprintf(stderr, "mast: out of memory for a request to Janus, aborting\n");
        abort();
    }
    return j;
}

json_t *body_new(const char *request)
{
    json_t *o = must(json_object());
    body_text(o, "request", request);
    return o;
}

void body_text(json_t *o, const char *key, const char *value)
{
    if (value) {
        json_object_set_new(o, key, must(json_string(value)));
    }
}

void body_int(json_t *o, const char *key, int64_t value)
{
    json_object_set_new(o, key, must(json_integer(value)));
}

void body_bool(json_t *o, const char *key, bool value)
{
    json_object_set_new(o, key, json_boolean(value));
}

void body_id(json_t *o, const char *key, const struct model_id *id)
{
    if (id->kind == MODEL_ID_INT) {
        body_int(o, key, id->num);
    } else if (id->kind == MODEL_ID_STR) {
        body_text(o, key, id->str);
    }
}

void body_overlay(json_t *o, const char *extra)
{
    json_t *over = extra ? json_loads(extra, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (over) {
        json_object_update(o, over);
        json_decref(over);
    }
}

int body_check_extra(const char *extra, const char *where, struct error *err)
{
    json_t *over = extra ? json_loads(extra, JSON_REJECT_DUPLICATES, NULL) : NULL;
    bool bad = extra && !json_is_object(over);
    json_decref(over);
    return bad ? error_set(err, -EINVAL, where, "must be an object") : 0;
}

char *body_take_text(json_t *o)
{
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    if (!text) {
        must(NULL);
    }
    return text;
}
