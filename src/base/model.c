/* SPDX-License-Identifier: Apache-2.0 */
/* The life of bound structs: defaults, release, copies, comparison, presence. */
#include "base/model.h"

#include "base/mem.h"
#include "base/model_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <strings.h>

static bool key_in(const char *list, const char *key)
{
    size_t len = strlen(key);
    while (list && *list) {
        size_t n = strcspn(list, ",");
        if (n == len && memcmp(list, key, n) == 0) {
            return true;
        }
        list += n + (list[n] == ',');
    }
    return false;
}

const struct model_field *model_find(const struct model *m, const char *key)
{
    for (size_t i = 0; m && i < m->n_fields; i++) {
        const struct model_field *f = &m->fields[i];
        if (strcmp(model_key(f), key) == 0 || key_in(f->aliases, key)) {
            return f;
        }
    }
    return NULL;
}

const struct model_variant *model_variant_for(const struct model *m, int value)
{
    for (const struct model_variant *v = m->variants; v && v->value >= 0; v++) {
        if (v->value == value && v->model) {
            return v;
        }
    }
    return NULL;
}

const struct model_variant *model_variant_of(const struct model *m, const void *obj)
{
    if (!m->tag) {
        return NULL;
    }
    const struct model_field *tag = model_find(m, m->tag);
    return model_variant_for(m, (int)int_load(tag, member_of(obj, tag)));
}

int64_t int_load(const struct model_field *f, const void *member)
{
    switch (f->size) {
    case 1:
        return f->is_signed ? *(const int8_t *)member : *(const uint8_t *)member;
    case 2:
        return f->is_signed ? *(const int16_t *)member : *(const uint16_t *)member;
    case 4:
        /* Enums without negative values are unsigned in C; their values fit int all the same. */
        if (f->is_signed || f->type == MODEL_T_ENUM) {
            return *(const int32_t *)member;
        }
        return *(const uint32_t *)member;
    default:
        return *(const int64_t *)member;
    }
}

void int_store(const struct model_field *f, void *member, int64_t v)
{
    switch (f->size) {
    case 1:
        *(int8_t *)member = (int8_t)v;
        break;
    case 2:
        *(int16_t *)member = (int16_t)v;
        break;
    case 4:
        *(int32_t *)member = (int32_t)v;
        break;
    default:
        *(int64_t *)member = v;
        break;
    }
}

void int_bounds(const struct model_field *f, int64_t *ret_min, int64_t *ret_max)
{
    int64_t type_max =
        f->size >= 8 ? INT64_MAX : (1LL << (8 * f->size - (f->is_signed ? 1 : 0))) - 1;
    int64_t type_min = !f->is_signed ? 0 : f->size >= 8 ? INT64_MIN : -type_max - 1;
    bool bounded = f->min != 0 || f->max != 0;
    *ret_min = bounded ? MAX(f->min, type_min) : type_min;
    *ret_max = bounded && f->max >= f->min ? MIN(f->max, type_max) : type_max;
}

size_t len_bound(const struct model_field *f)
{
    if (f->max > 0) {
        return (size_t)f->max;
    }
    switch (f->type) {
    case MODEL_T_RAW:
        return MODEL_RAW_MAX;
    case MODEL_T_LIST:
    case MODEL_T_MAP:
        return MODEL_LIST_MAX_DEFAULT;
    default:
        return MODEL_STRING_MAX_DEFAULT;
    }
}

/* ---- defaults ---- */

static int init_fields(const struct model *m, void *obj)
{
    for (size_t i = 0; i < m->n_fields; i++) {
        const struct model_field *f = &m->fields[i];
        int r = 0;
        if (f->type == MODEL_T_STRUCT) {
            r = model_try_init(f->model, member_of(obj, f));
        } else if (f->def) {
            struct error err = {0};
            r = bind_text(f, member_of(obj, f), f->def, &err);
            /* A default that its own table refuses is a programmer's error; model_check() finds it. */
            assert(r == 0 || r == -ENOMEM);
            model_mark(m, obj, f->offset, true);
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

int model_try_init(const struct model *m, void *obj)
{
    memset(obj, 0, m->size);
    int r = init_fields(m, obj);
    const struct model_variant *v = r == 0 ? model_variant_of(m, obj) : NULL;
    return v ? model_try_init(v->model, (char *)obj + v->offset) : r;
}

void model_init(const struct model *m, void *obj)
{
    if (model_try_init(m, obj) < 0) {
        fprintf(stderr, "mast: out of memory for the defaults of %s, aborting\n", m->name);
        abort();
    }
}

/* ---- release ---- */

static void list_done(const struct model_field *f, struct any_list *l)
{
    for (size_t i = 0; i < l->len; i++) {
        char *item = list_item(l, f, i);
        if (f->type == MODEL_T_MAP) {
            free(*(char **)item);
        }
        value_done(f->item, item + f->value_offset);
    }
    free(l->items);
    *l = (struct any_list){0};
}

void value_done(const struct model_field *f, void *member)
{
    switch (f->type) {
    case MODEL_T_STRING:
    case MODEL_T_RAW:
        free(*(char **)member);
        *(char **)member = NULL;
        break;
    case MODEL_T_ID:
        free(((struct model_id *)member)->str);
        *(struct model_id *)member = (struct model_id){0};
        break;
    case MODEL_T_STRUCT:
        model_done(f->model, member);
        break;
    case MODEL_T_OPT:
        if (*(void **)member) {
            model_done(f->model, *(void **)member);
            free(*(void **)member);
            *(void **)member = NULL;
        }
        break;
    case MODEL_T_LIST:
    case MODEL_T_MAP:
        list_done(f, member);
        break;
    case MODEL_T_BOOL:
    case MODEL_T_INT:
    case MODEL_T_DOUBLE:
    case MODEL_T_ENUM:
    case MODEL_T_DURATION:
    case MODEL_T_TIME:
    case MODEL_T_SIZE:
    case MODEL_T_N:
        break;
    }
}

static char **extra_of(const struct model *m, const void *obj)
{
    return m->extra_at ? (char **)((char *)obj + m->extra_at - 1) : NULL;
}

void model_done(const struct model *m, void *obj)
{
    const struct model_variant *v = model_variant_of(m, obj);
    if (v) {
        model_done(v->model, (char *)obj + v->offset);
    }
    for (size_t i = 0; i < m->n_fields; i++) {
        value_done(&m->fields[i], member_of(obj, &m->fields[i]));
    }
    if (extra_of(m, obj)) {
        free(*extra_of(m, obj));
    }
    memset(obj, 0, m->size);
}

/* ---- copies ---- */

static char *dup_or_null(const char *s)
{
    return s ? mem_strdup(s) : NULL;
}

static void list_copy(const struct model_field *f, struct any_list *ret, const struct any_list *l)
{
    *ret = (struct any_list){.len = l->len};
    if (l->len == 0) {
        return;
    }
    ret->items = mem_zalloc(l->len * f->size);
    for (size_t i = 0; i < l->len; i++) {
        char *to = list_item(ret, f, i);
        const char *from = list_item(l, f, i);
        if (f->type == MODEL_T_MAP) {
            *(char **)to = dup_or_null(*(char *const *)from);
        }
        value_copy(f->item, to + f->value_offset, from + f->value_offset);
    }
}

void value_copy(const struct model_field *f, void *ret, const void *member)
{
    switch (f->type) {
    case MODEL_T_STRING:
    case MODEL_T_RAW:
        *(char **)ret = dup_or_null(*(char *const *)member);
        break;
    case MODEL_T_ID:
        *(struct model_id *)ret = *(const struct model_id *)member;
        ((struct model_id *)ret)->str = dup_or_null(((const struct model_id *)member)->str);
        break;
    case MODEL_T_STRUCT:
        model_copy(f->model, ret, member);
        break;
    case MODEL_T_OPT:
        *(void **)ret = NULL;
        if (*(void *const *)member) {
            *(void **)ret = mem_zalloc(f->model->size);
            model_copy(f->model, *(void **)ret, *(void *const *)member);
        }
        break;
    case MODEL_T_LIST:
    case MODEL_T_MAP:
        list_copy(f, ret, member);
        break;
    case MODEL_T_BOOL:
    case MODEL_T_INT:
    case MODEL_T_DOUBLE:
    case MODEL_T_ENUM:
    case MODEL_T_DURATION:
    case MODEL_T_TIME:
    case MODEL_T_SIZE:
    case MODEL_T_N:
        memcpy(ret, member, f->size);
        break;
    }
}

void model_copy(const struct model *m, void *ret, const void *obj)
{
    /* What the table does not name comes along bytewise. */
    memcpy(ret, obj, m->size);
    for (size_t i = 0; i < m->n_fields; i++) {
        const struct model_field *f = &m->fields[i];
        value_copy(f, member_of(ret, f), member_of(obj, f));
    }
    const struct model_variant *v = model_variant_of(m, obj);
    if (v) {
        model_copy(v->model, (char *)ret + v->offset, (const char *)obj + v->offset);
    }
    if (extra_of(m, obj)) {
        *extra_of(m, ret) = dup_or_null(*extra_of(m, obj));
    }
}

/* ---- comparison ---- */

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool list_equal(const struct model_field *f, const struct any_list *a,
                       const struct any_list *b)
{
    bool equal = a->len == b->len;
    for (size_t i = 0; equal && i < a->len; i++) {
        const char *x = list_item(a, f, i);
        const char *y = list_item(b, f, i);
        equal = (f->type != MODEL_T_MAP || same_text(*(char *const *)x, *(char *const *)y)) &&
                value_equal(f->item, x + f->value_offset, y + f->value_offset);
    }
    return equal;
}

bool value_equal(const struct model_field *f, const void *a, const void *b)
{
    switch (f->type) {
    case MODEL_T_STRING:
    case MODEL_T_RAW:
        return same_text(*(char *const *)a, *(char *const *)b);
    case MODEL_T_ID: {
        const struct model_id *x = a;
        const struct model_id *y = b;
        return x->kind == y->kind && x->num == y->num && same_text(x->str, y->str);
    }
    case MODEL_T_STRUCT:
        return model_equal(f->model, a, b);
    case MODEL_T_OPT: {
        const void *x = *(void *const *)a;
        const void *y = *(void *const *)b;
        return x && y ? model_equal(f->model, x, y) : x == y;
    }
    case MODEL_T_LIST:
    case MODEL_T_MAP:
        return list_equal(f, a, b);
    case MODEL_T_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case MODEL_T_DOUBLE:
        return *(const double *)a == *(const double *)b;
    case MODEL_T_INT:
    case MODEL_T_ENUM:
    case MODEL_T_DURATION:
    case MODEL_T_TIME:
    case MODEL_T_SIZE:
    case MODEL_T_N:
        return int_load(f, a) == int_load(f, b);
    }
    return false;
}

bool model_equal(const struct model *m, const void *a, const void *b)
{
    for (size_t i = 0; i < m->n_fields; i++) {
        const struct model_field *f = &m->fields[i];
        bool absent = member_absent(m, f, a);
        if (absent != member_absent(m, f, b) ||
            (!absent && !value_equal(f, member_of(a, f), member_of(b, f)))) {
            return false;
        }
    }
    /* The tag is among the fields: both have the same form by now. */
    const struct model_variant *v = model_variant_of(m, a);
    if (v && !model_equal(v->model, (const char *)a + v->offset, (const char *)b + v->offset)) {
        return false;
    }
    return !extra_of(m, a) || same_text(*extra_of(m, a), *extra_of(m, b));
}

/* ---- presence ---- */

static struct model_present *present_of(const struct model *m, const void *obj)
{
    return m->present_at ? (struct model_present *)((char *)obj + m->present_at - 1) : NULL;
}

static bool bit(const struct model_present *p, size_t i)
{
    return p->bits[i / 64] >> (i % 64) & 1;
}

static bool given(const struct model *m, const struct model_field *f, const void *obj)
{
    const void *member = member_of(obj, f);
    switch (f->type) {
    case MODEL_T_STRING:
    case MODEL_T_RAW:
    case MODEL_T_OPT:
        return *(void *const *)member != NULL;
    case MODEL_T_ID:
        return ((const struct model_id *)member)->kind != MODEL_ID_NONE;
    case MODEL_T_TIME:
        return *(const int64_t *)member != 0;
    case MODEL_T_STRUCT:
    case MODEL_T_LIST:
    case MODEL_T_MAP:
    case MODEL_T_BOOL:
    case MODEL_T_INT:
    case MODEL_T_DOUBLE:
    case MODEL_T_ENUM:
    case MODEL_T_DURATION:
    case MODEL_T_SIZE:
    case MODEL_T_N:
        break;
    }
    const struct model_present *p = present_of(m, obj);
    return !p || bit(p, (size_t)(f - m->fields));
}

bool member_absent(const struct model *m, const struct model_field *f, const void *obj)
{
    bool can_be = f->type == MODEL_T_STRING || f->type == MODEL_T_RAW || f->type == MODEL_T_OPT ||
                  f->type == MODEL_T_ID || f->type == MODEL_T_TIME;
    /* A plain value is optional when nothing stands in for it. */
    if (type_is_plain(f->type)) {
        can_be = !f->required && (!f->def || f->nullable);
    }
    return can_be && !given(m, f, obj);
}

static const struct model_field *field_at(const struct model *m, size_t offset)
{
    const struct model_field *f = NULL;
    for (size_t i = 0; i < m->n_fields && !f; i++) {
        f = m->fields[i].offset == offset ? &m->fields[i] : NULL;
    }
    assert(f); /* the table names every member that is asked about */
    return f;
}

bool model_has(const struct model *m, const void *obj, size_t offset)
{
    return given(m, field_at(m, offset), obj);
}

void model_mark(const struct model *m, void *obj, size_t offset, bool present)
{
    size_t i = (size_t)(field_at(m, offset) - m->fields);
    struct model_present *p = present_of(m, obj);
    if (p) {
        uint64_t mask = 1ULL << (i % 64);
        p->bits[i / 64] = present ? p->bits[i / 64] | mask : p->bits[i / 64] & ~mask;
    }
}

const char *model_enum_name(const struct model_enum *names, int value)
{
    for (; names->name; names++) {
        if (names->value == value) {
            return names->name;
        }
    }
    return NULL;
}

int model_enum_value(const struct model_enum *names, const char *name, int *ret_value)
{
    for (; names->name; names++) {
        if (strcmp(names->name, name) == 0) {
            *ret_value = names->value;
            return 0;
        }
    }
    return -ENOENT;
}
