/* SPDX-License-Identifier: Apache-2.0 */
/* From the struct to JSON, with secrets redacted unless asked otherwise. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/model_impl.h"
#include "base/url.h"

#include <errno.h>
#include <string.h>

#define REDACTED "***"

static void write_masked(const struct model_field *f, const char *text, struct json *j)
{
    if (f->mask == MODEL_MASK_DEFAULT) {
        json_str(j, REDACTED);
        return;
    }
    _cleanup_free_ char *masked =
        url_redact(text, f->mask == MODEL_MASK_URL ? URL_MASK_KEYS : URL_MASK_TAIL);
    json_str(j, masked);
}

static bool guarded(const struct model_field *f)
{
    return f->secret != MODEL_PUBLIC || f->mask != MODEL_MASK_DEFAULT;
}

static int write_string(const struct model_field *f, const char *text,
                        const struct model_write_opts *opts, struct json *j)
{
    if (!text) {
        json_none(j);
    } else if (opts->secrets == MODEL_SECRETS_REDACTED && guarded(f)) {
        write_masked(f, text, j);
    } else if (opts->secrets == MODEL_SECRETS_SEALED && f->secret == MODEL_SECRET_SEALED) {
        _cleanup_free_ char *sealed = NULL;
        int r = opts->seal ? opts->seal(opts->user, f, text, &sealed) : -EINVAL;
        if (r < 0) {
            return r;
        }
        json_str(j, sealed);
    } else {
        json_str(j, text);
    }
    return 0;
}

/* Sealed, a value is a text; so is what could not be opened again, which is no JSON. */
static int write_raw(const struct model_field *f, const char *text,
                     const struct model_write_opts *opts, struct json *j)
{
    bool sealed = opts->secrets == MODEL_SECRETS_SEALED && f->secret == MODEL_SECRET_SEALED;
    bool redacted = opts->secrets == MODEL_SECRETS_REDACTED && f->secret != MODEL_PUBLIC;
    if (text && (sealed || redacted || !strchr("{[\"-0123456789tfn", text[0]))) {
        return write_string(f, text, opts, j);
    }
    json_raw(j, text);
    return 0;
}

static void write_time(int64_t ns, struct json *j)
{
    char buf[CLOCK_RFC3339_MAX];
    json_str(j, clock_format_rfc3339(ns, buf));
}

static void write_id(const struct model_id *id, struct json *j)
{
    if (id->kind == MODEL_ID_INT) {
        json_int(j, id->num);
    } else {
        json_str(j, id->kind == MODEL_ID_STR ? id->str : NULL);
    }
}

static void write_int(const struct model_field *f, const void *member, struct json *j)
{
    if (f->size == 8 && !f->is_signed) {
        json_uint(j, *(const uint64_t *)member);
    } else {
        json_int(j, int_load(f, member));
    }
}

static int write_items(const struct model_field *f, const struct any_list *l,
                       const struct model_write_opts *opts, struct json *j)
{
    int r = 0;
    bool map = f->type == MODEL_T_MAP;
    (map ? json_object_begin : json_array_begin)(j);
    for (size_t i = 0; r == 0 && i < l->len; i++) {
        const char *item = list_item(l, f, i);
        if (map) {
            json_key(j, *(char *const *)item);
        }
        r = value_write(f->item, item + f->value_offset, opts, j);
    }
    (map ? json_object_end : json_array_end)(j);
    return r;
}

int value_write(const struct model_field *f, const void *member,
                const struct model_write_opts *opts, struct json *j)
{
    char buf[32];
    switch (f->type) {
    case MODEL_T_BOOL:
        json_bool(j, *(const bool *)member);
        return 0;
    case MODEL_T_INT:
        write_int(f, member, j);
        return 0;
    case MODEL_T_SIZE:
        json_uint(j, *(const uint64_t *)member);
        return 0;
    case MODEL_T_DOUBLE:
        json_double(j, *(const double *)member);
        return 0;
    case MODEL_T_ENUM:
        json_str(j, model_enum_name(f->names, *(const int *)member));
        return 0;
    case MODEL_T_STRING:
        return write_string(f, *(char *const *)member, opts, j);
    case MODEL_T_DURATION:
        json_str(j, duration_str(*(const int64_t *)member, buf));
        return 0;
    case MODEL_T_TIME:
        write_time(*(const int64_t *)member, j);
        return 0;
    case MODEL_T_ID:
        write_id(member, j);
        return 0;
    case MODEL_T_RAW:
        return write_raw(f, *(char *const *)member, opts, j);
    case MODEL_T_STRUCT:
        return model_write(f->model, member, opts, j);
    case MODEL_T_OPT:
        return model_write(f->model, *(void *const *)member, opts, j);
    case MODEL_T_LIST:
    case MODEL_T_MAP:
        return write_items(f, member, opts, j);
    case MODEL_T_N:
        break;
    }
    return -EINVAL;
}

/* defaults: a struct as model_init() makes it, when what equals it stays out; else NULL. */
static int write_fields(const struct model *m, const void *obj, const void *defaults,
                        const struct model_write_opts *opts, struct json *j)
{
    for (size_t i = 0; i < m->n_fields; i++) {
        const struct model_field *f = &m->fields[i];
        const void *member = member_of(obj, f);
        bool absent = member_absent(m, f, obj);
        bool is_tag = m->tag && strcmp(model_key(f), m->tag) == 0;
        if (defaults && !f->required && !is_tag && absent == member_absent(m, f, defaults) &&
            (absent || value_equal(f, member, member_of(defaults, f)))) {
            continue;
        }
        if (absent && !f->nullable) {
            continue;
        }
        json_key(j, model_key(f));
        if (absent) {
            json_none(j);
            continue;
        }
        int r = value_write(f, member, opts, j);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int write_with_defaults(const struct model *m, const void *obj,
                               const struct model_write_opts *opts, struct json *j)
{
    if (!opts->omit_defaults) {
        return write_fields(m, obj, NULL, opts, j);
    }
    void *defaults = mem_zalloc(m->size);
    model_init(m, defaults);
    int r = write_fields(m, obj, defaults, opts, j);
    model_done(m, defaults);
    free(defaults);
    return r;
}

/* Kept members stand as one object in the struct; outside they are members again. */
static void write_extra(const struct model *m, const void *obj, struct json *j)
{
    const char *extra = m->extra_at ? *(char *const *)((const char *)obj + m->extra_at - 1) : NULL;
    size_t len = extra ? strlen(extra) : 0;
    if (len <= 2) {
        return;
    }
    _cleanup_free_ char *inner = mem_strndup(extra + 1, len - 2);
    json_raw(j, inner);
}

int model_write(const struct model *m, const void *obj, const struct model_write_opts *opts,
                struct json *j)
{
    static const struct model_write_opts redacted = {0};
    opts = opts ? opts : &redacted;
    json_object_begin(j);
    int r = write_with_defaults(m, obj, opts, j);
    const struct model_variant *v = model_variant_of(m, obj);
    if (r == 0 && v) {
        r = write_with_defaults(v->model, (const char *)obj + v->offset, opts, j);
    }
    write_extra(m, obj, j);
    json_object_end(j);
    return r;
}

char *model_to_json(const struct model *m, const void *obj, enum model_secrets secrets)
{
    struct model_write_opts opts = {.secrets = secrets};
    struct out o = {0};
    struct json j = json_init(&o);
    (void)model_write(m, obj, &opts, &j);
    return out_take_str(&o);
}
