/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON schema out of tables: the 2020-12 dialect, which OpenAPI 3.1 embeds as it is. A schema describes both what is sent
 * and what is answered: secrets are writeOnly, fields that are ours to set readOnly.
 */
#include "base/mem.h"
#include "base/model_impl.h"

#include <errno.h>
#include <stdio.h>

static void write_field(const struct model_field *f, const char *prefix, struct json *j);

/* What JSON calls the type; texts with a unit may come as numbers as well. */
static const char *const type_names[MODEL_T_N][2] = {
    [MODEL_T_BOOL] = {"boolean"},         [MODEL_T_INT] = {"integer"},
    [MODEL_T_DOUBLE] = {"number"},        [MODEL_T_ENUM] = {"string"},
    [MODEL_T_STRING] = {"string"},        [MODEL_T_DURATION] = {"string", "number"},
    [MODEL_T_TIME] = {"string"},          [MODEL_T_SIZE] = {"integer", "string"},
    [MODEL_T_ID] = {"integer", "string"}, [MODEL_T_LIST] = {"array"},
    [MODEL_T_MAP] = {"object"},
};

static void write_type(const struct model_field *f, struct json *j)
{
    const char *first = type_names[f->type][0];
    const char *second = f->type == MODEL_T_LIST && f->comma ? "string" : type_names[f->type][1];
    if (!first) {
        return; /* raw JSON: anything; structs: a reference */
    }
    json_key(j, "type");
    if (!second && !f->nullable) {
        json_str(j, first);
        return;
    }
    json_array_begin(j);
    json_str(j, first);
    if (second) {
        json_str(j, second);
    }
    if (f->nullable) {
        json_str(j, "null");
    }
    json_array_end(j);
}

static void write_names(const struct model_field *f, struct json *j)
{
    json_key(j, "enum");
    json_array_begin(j);
    for (const struct model_enum *e = f->names; e->name; e++) {
        if (model_enum_name(f->names, e->value) == e->name) {
            json_str(j, e->name);
        }
    }
    if (f->nullable) {
        json_none(j);
    }
    json_array_end(j);
}

static void write_len_bounds(const struct model_field *f, const char *min, const char *max,
                             struct json *j)
{
    if (f->min > 0) {
        json_put_int(j, min, f->min);
    }
    json_put_uint(j, max, len_bound(f));
}

static void write_number_bounds(const struct model_field *f, struct json *j)
{
    int64_t min;
    int64_t max;
    int_bounds(f, &min, &max);
    if (min != INT64_MIN) {
        json_put_int(j, "minimum", min);
    }
    if (max != INT64_MAX) {
        json_put_int(j, "maximum", max);
    }
}

static void write_ref(const struct model *m, const char *prefix, struct json *j)
{
    json_key(j, "$ref");
    json_printf(j, "%s%s", prefix, m->name);
}

static void write_struct_ref(const struct model_field *f, const char *prefix, struct json *j)
{
    if (!f->nullable) {
        write_ref(f->model, prefix, j);
        return;
    }
    json_key(j, "anyOf");
    json_array_begin(j);
    json_object_begin(j);
    write_ref(f->model, prefix, j);
    json_object_end(j);
    json_object_begin(j);
    json_put_str(j, "type", "null");
    json_object_end(j);
    json_array_end(j);
}

static void write_bounds(const struct model_field *f, const char *prefix, struct json *j)
{
    switch (f->type) {
    case MODEL_T_INT:
    case MODEL_T_SIZE:
        write_number_bounds(f, j);
        break;
    case MODEL_T_DOUBLE:
        if (f->fmin != 0 || f->fmax != 0) {
            json_put_double(j, "minimum", f->fmin);
        }
        if (f->fmax > f->fmin) {
            json_put_double(j, "maximum", f->fmax);
        }
        break;
    case MODEL_T_ENUM:
        write_names(f, j);
        break;
    case MODEL_T_STRING:
        write_len_bounds(f, "minLength", "maxLength", j);
        break;
    case MODEL_T_TIME:
        json_put_str(j, "format", "date-time");
        break;
    case MODEL_T_LIST:
        write_len_bounds(f, "minItems", "maxItems", j);
        json_key(j, "items");
        write_field(f->item, prefix, j);
        break;
    case MODEL_T_MAP:
        write_len_bounds(f, "minProperties", "maxProperties", j);
        json_key(j, "additionalProperties");
        write_field(f->item, prefix, j);
        break;
    case MODEL_T_STRUCT:
    case MODEL_T_OPT:
        write_struct_ref(f, prefix, j);
        break;
    case MODEL_T_BOOL:
    case MODEL_T_DURATION:
    case MODEL_T_ID:
    case MODEL_T_RAW:
    case MODEL_T_N:
        break;
    }
}

/* A default or an example in the form it has in JSON; false when the text is none. A secret's default would be no secret. */
static bool write_text_as_value(const struct model_field *f, const char *text, struct json *j)
{
    static const struct model_write_opts clear = {.secrets = MODEL_SECRETS_CLEAR};
    void *member = mem_zalloc(member_size(f));
    bool fits = bind_text(f, member, text, NULL) == 0;
    if (fits) {
        (void)value_write(f, member, &clear, j);
    }
    value_done(f, member);
    free(member);
    return fits;
}

static bool text_fits(const struct model_field *f, const char *text)
{
    _cleanup_(out_done) struct out ignored = {0};
    struct json j = json_init(&ignored);
    return write_text_as_value(f, text, &j);
}

static void write_field(const struct model_field *f, const char *prefix, struct json *j)
{
    json_object_begin(j);
    write_type(f, j);
    write_bounds(f, prefix, j);
    if (f->format) {
        json_put_str(j, "format", f->format);
    }
    if (f->doc) {
        json_put_str(j, "description", f->doc);
    }
    if (f->def && text_fits(f, f->def)) {
        json_key(j, "default");
        (void)write_text_as_value(f, f->def, j);
    }
    if (f->secret != MODEL_PUBLIC) {
        json_put_bool(j, "writeOnly", true);
    }
    if (f->read_only) {
        json_put_bool(j, "readOnly", true);
    }
    if (f->example) {
        json_key(j, "examples");
        json_array_begin(j);
        if (!text_fits(f, f->example)) {
            json_str(j, f->example);
        } else {
            (void)write_text_as_value(f, f->example, j);
        }
        json_array_end(j);
    }
    json_object_end(j);
}

static void write_properties(const struct model *m, const char *prefix, struct json *j)
{
    for (size_t i = 0; m && i < m->n_fields; i++) {
        if (!m->fields[i].hidden) {
            json_key(j, model_key(&m->fields[i]));
            write_field(&m->fields[i], prefix, j);
        }
    }
}

static void write_required(const struct model *m, struct json *j)
{
    for (size_t i = 0; m && i < m->n_fields; i++) {
        if (m->fields[i].required) {
            json_str(j, model_key(&m->fields[i]));
        }
    }
}

static bool any_required(const struct model *m)
{
    for (size_t i = 0; m && i < m->n_fields; i++) {
        if (m->fields[i].required) {
            return true;
        }
    }
    return false;
}

/* One object: the common fields and those of one form, whose tag is then a constant. */
static void write_object(const struct model *m, const struct model *variant, const char *tag_name,
                         const char *prefix, struct json *j)
{
    json_put_str(j, "type", "object");
    json_key(j, "properties");
    json_object_begin(j);
    for (size_t i = 0; i < m->n_fields; i++) {
        const struct model_field *f = &m->fields[i];
        if (f->hidden) {
            continue;
        }
        json_key(j, model_key(f));
        if (tag_name && strcmp(model_key(f), m->tag) == 0) {
            json_object_begin(j);
            json_put_str(j, "const", tag_name);
            json_object_end(j);
        } else {
            write_field(f, prefix, j);
        }
    }
    write_properties(variant, prefix, j);
    json_object_end(j);
    if (tag_name || any_required(m) || any_required(variant)) {
        json_key(j, "required");
        json_array_begin(j);
        write_required(m, j);
        if (tag_name && !model_find(m, m->tag)->required) {
            json_str(j, m->tag);
        }
        write_required(variant, j);
        json_array_end(j);
    }
    if (m->unknown == MODEL_REJECT) {
        json_put_bool(j, "additionalProperties", false);
    }
}

static void write_union(const struct model *m, const char *prefix, struct json *j)
{
    const struct model_field *tag = model_find(m, m->tag);
    json_key(j, "oneOf");
    json_array_begin(j);
    for (const struct model_enum *e = tag->names; e->name; e++) {
        if (model_enum_name(tag->names, e->value) != e->name) {
            continue;
        }
        const struct model_variant *v = model_variant_for(m, e->value);
        json_object_begin(j);
        write_object(m, v ? v->model : NULL, e->name, prefix, j);
        json_object_end(j);
    }
    json_array_end(j);
    json_key(j, "discriminator");
    json_object_begin(j);
    json_put_str(j, "propertyName", m->tag);
    json_object_end(j);
}

static void write_model(const struct model *m, const char *prefix, struct json *j)
{
    json_put_str(j, "title", m->name);
    if (m->doc) {
        json_put_str(j, "description", m->doc);
    }
    if (m->tag) {
        write_union(m, prefix, j);
    } else {
        write_object(m, NULL, NULL, prefix, j);
    }
}

void model_schema(const struct model *m, const char *ref_prefix, struct json *j)
{
    json_object_begin(j);
    write_model(m, ref_prefix, j);
    json_object_end(j);
}

/* ---- reachable models ---- */

static int collect_below(const struct model *m, const struct model **set, int n, size_t max)
{
    for (size_t i = 0; n >= 0 && i < m->n_fields; i++) {
        const struct model_field *f = &m->fields[i];
        while (f->item) {
            f = f->item;
        }
        if (f->model) {
            n = model_collect(f->model, set, (size_t)n, max);
        }
    }
    return n;
}

int model_collect(const struct model *m, const struct model **set, size_t n, size_t max)
{
    for (size_t i = 0; i < n; i++) {
        if (set[i] == m) {
            return (int)n;
        }
    }
    if (n == max) {
        return -E2BIG;
    }
    set[n] = m;
    int r = collect_below(m, set, (int)n + 1, max);
    /* A variant's fields stand in its union's schema; only what they refer to is a model of its own. */
    for (const struct model_variant *v = m->variants; r >= 0 && v && v->value >= 0; v++) {
        r = v->model ? collect_below(v->model, set, r, max) : r;
    }
    return r;
}

void model_schema_document(const struct model *m, struct json *j)
{
    static const char prefix[] = "#/$defs/";
    const struct model *set[256];
    int n = model_collect(m, set, 0, ARRAY_LEN(set));
    json_object_begin(j);
    json_put_str(j, "$schema", "https://json-schema.org/draft/2020-12/schema");
    write_model(m, prefix, j);
    json_key(j, "$defs");
    json_object_begin(j);
    for (int i = 0; i < n; i++) {
        json_key(j, set[i]->name);
        model_schema(set[i], prefix, j);
    }
    json_object_end(j);
    json_object_end(j);
}
