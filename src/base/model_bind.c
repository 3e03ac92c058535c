/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the document tree to the struct. A struct is filled with its defaults first, then each member of the tree replaces
 * one; so a failure anywhere leaves a struct that model_done() can release. Texts of secret fields never enter an error.
 */
#include "base/mem.h"
#include "base/model_impl.h"
#include "base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <strings.h>

char *path_str(const struct path *p, char *buf, size_t size)
{
    const struct path *chain[MODEL_DEPTH_MAX];
    size_t n = 0;
    size_t len = 0;
    for (; p && n < ARRAY_LEN(chain); p = p->up) {
        chain[n++] = p;
    }
    buf[0] = '\0';
    while (n > 0 && len < size) {
        const struct path *at = chain[--n];
        /* A check may name an element, "[2].id": that joins without a dot. */
        bool dot = len > 0 && at->name && at->name[0] != '[';
        int w = at->name ? snprintf(buf + len, size - len, "%s%s", dot ? "." : "", at->name)
                         : snprintf(buf + len, size - len, "[%zu]", at->index);
        len += w > 0 ? (size_t)w : 0;
    }
    return buf;
}

__attribute__((format(printf, 5, 6))) static int fail(struct binder *b, const struct node *n,
                                                      const struct path *path, int code,
                                                      const char *fmt, ...)
{
    char where[sizeof(b->err->where)];
    char why[ERROR_TEXT_MAX];
    char position[sizeof(b->err->where)];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    path_str(path, where, sizeof(where));
    if (!b->doc->positions) {
        return error_set(b->err, code, where, "%s", why);
    }
    snprintf(position, sizeof(position), "%.90s:%u:%u", b->doc->file, n->line, n->column);
    return error_set(b->err, code, position, "%s%s%s", where, *where ? ": " : "", why);
}

static int no_memory(struct binder *b)
{
    return error_set(b->err, -ENOMEM, NULL, "out of memory");
}

static const char *kind_name(const struct node *n)
{
    static const char *const names[] = {
        [NODE_NULL] = "null",     [NODE_BOOL] = "a boolean", [NODE_INT] = "a number",
        [NODE_REAL] = "a number", [NODE_TEXT] = "a text",    [NODE_SCALAR] = "a single value",
        [NODE_LIST] = "a list",   [NODE_MAP] = "an object",
    };
    return names[n->kind];
}

static int not_a(struct binder *b, const struct node *n, const struct path *path, const char *what)
{
    return fail(b, n, path, -EINVAL, "must be %s, not %s", what, kind_name(n));
}

static bool is_text(const struct node *n)
{
    return n->kind == NODE_TEXT || n->kind == NODE_SCALAR;
}

/* ---- single values ---- */

static int bind_bool(struct binder *b, bool *ret, const struct node *n, const struct path *path)
{
    if (n->kind == NODE_BOOL) {
        *ret = n->boolean;
        return 0;
    }
    if (n->kind == NODE_SCALAR) {
        return scalar_bool(n->text, ret) == 0
                   ? 0
                   : fail(b, n, path, -EINVAL, "must be true or false (also yes, no, on, off)");
    }
    return not_a(b, n, path, "true or false");
}

static int in_bounds(struct binder *b, const struct model_field *f, int64_t v, const struct node *n,
                     const struct path *path)
{
    int64_t min;
    int64_t max;
    int_bounds(f, &min, &max);
    if (v >= min && v <= max) {
        return 0;
    }
    if (f->type == MODEL_T_DURATION) {
        char lo[32];
        char hi[32];
        return fail(b, n, path, -EINVAL, "must be between %s and %s", duration_str(min, lo),
                    duration_str(max, hi));
    }
    if (max == INT64_MAX) {
        return fail(b, n, path, -EINVAL, "must be at least %lld", (long long)min);
    }
    return fail(b, n, path, -EINVAL, "must be between %lld and %lld", (long long)min,
                (long long)max);
}

/* Reals that are whole numbers pass as integers where doubles are exact: some peers write 5.0. */
static bool whole(double d)
{
    return d == trunc(d) && fabs(d) <= 9007199254740992.0;
}

static int bind_int(struct binder *b, const struct model_field *f, void *member,
                    const struct node *n, const struct path *path)
{
    int64_t v = 0;
    int r = 0;
    if (n->kind == NODE_INT) {
        v = n->integer;
    } else if (n->kind == NODE_REAL && whole(n->real)) {
        v = (int64_t)n->real;
    } else if (n->kind == NODE_SCALAR) {
        r = scalar_int(n->text, &v);
    } else {
        return n->kind == NODE_REAL ? fail(b, n, path, -EINVAL, "must be a whole number")
                                    : not_a(b, n, path, "a whole number");
    }
    if (r < 0) {
        return fail(b, n, path, -EINVAL,
                    r == -ERANGE ? "is too large a number" : "must be a whole number");
    }
    r = in_bounds(b, f, v, n, path);
    if (r == 0) {
        int_store(f, member, v);
    }
    return r;
}

static int bind_double(struct binder *b, const struct model_field *f, double *ret,
                       const struct node *n, const struct path *path)
{
    double v;
    bool bounded = f->fmin != 0 || f->fmax != 0;
    if (n->kind == NODE_REAL) {
        v = n->real;
    } else if (n->kind == NODE_INT) {
        v = (double)n->integer;
    } else if (n->kind != NODE_SCALAR || scalar_double(n->text, &v) < 0) {
        return n->kind == NODE_SCALAR ? fail(b, n, path, -EINVAL, "must be a number")
                                      : not_a(b, n, path, "a number");
    }
    if (bounded && (v < f->fmin || (f->fmax >= f->fmin && v > f->fmax))) {
        return f->fmax >= f->fmin
                   ? fail(b, n, path, -EINVAL, "must be between %g and %g", f->fmin, f->fmax)
                   : fail(b, n, path, -EINVAL, "must be at least %g", f->fmin);
    }
    *ret = v;
    return 0;
}

/* The names in their written form, for the error. */
static char *list_names(const struct model_enum *names, char *buf, size_t size)
{
    size_t len = 0;
    buf[0] = '\0';
    for (const struct model_enum *e = names; e->name && len < size; e++) {
        if (model_enum_name(names, e->value) == e->name) {
            int w = snprintf(buf + len, size - len, "%s%s", len ? ", " : "", e->name);
            len += w > 0 ? (size_t)w : 0;
        }
    }
    return buf;
}

static int bind_enum(struct binder *b, const struct model_field *f, int *ret, const struct node *n,
                     const struct path *path)
{
    char names[160];
    if (!is_text(n)) {
        return not_a(b, n, path, "a text");
    }
    if (model_enum_value(f->names, n->text, ret) == 0 || f->lenient) {
        return 0; /* a lenient one keeps its default */
    }
    return fail(b, n, path, -EINVAL, "must be one of %s",
                list_names(f->names, names, sizeof(names)));
}

/* Numbers with a unit: durations in nanoseconds (plain numbers are seconds), sizes in bytes. */
static int bind_measure(struct binder *b, const struct model_field *f, int64_t *ret,
                        const struct node *n, const struct path *path)
{
    bool duration = f->type == MODEL_T_DURATION;
    const char *what = duration ? "a duration such as 10s, 250ms or 1h30m"
                                : "a size in bytes such as 65536, 64KiB or 16MiB";
    char digits[40];
    int64_t v;
    const char *text = digits;
    if (is_text(n)) {
        text = n->text;
    } else if (n->kind == NODE_INT) {
        snprintf(digits, sizeof(digits), "%lld", (long long)n->integer);
    } else if (n->kind == NODE_REAL && fabs(n->real) < 1e9) {
        snprintf(digits, sizeof(digits), "%.9f", n->real);
    } else {
        return not_a(b, n, path, what);
    }
    int r = duration ? scalar_duration(text, &v) : scalar_size(text, &v);
    if (r < 0) {
        return r == -ERANGE ? fail(b, n, path, -EINVAL, "is too large")
                            : fail(b, n, path, -EINVAL, "must be %s", what);
    }
    r = in_bounds(b, f, v, n, path);
    if (r == 0) {
        *ret = v;
    }
    return r;
}

static int bind_time(struct binder *b, int64_t *ret, const struct node *n, const struct path *path)
{
    static const char *const what = "a time such as 2026-01-02T03:04:05Z";
    if (!is_text(n)) {
        return not_a(b, n, path, what);
    }
    return scalar_time(n->text, ret) == 0 ? 0 : fail(b, n, path, -EINVAL, "must be %s", what);
}

static struct bytes trimmed(const struct node *n)
{
    const char *s = n->text;
    size_t len = n->len;
    while (len > 0 && isspace((unsigned char)s[len - 1])) {
        len--;
    }
    while (len > 0 && isspace((unsigned char)*s)) {
        s++;
        len--;
    }
    return BYTES(s, len);
}

static int check_len(struct binder *b, const struct model_field *f, size_t len, const char *unit,
                     const struct node *n, const struct path *path)
{
    size_t max = len_bound(f);
    if (len > max) {
        return fail(b, n, path, -EINVAL, "must have at most %zu %s", max, unit);
    }
    if (f->min > 0 && len < (size_t)f->min) {
        return fail(b, n, path, -EINVAL, "must have at least %lld %s", (long long)f->min, unit);
    }
    return 0;
}

/* Sealed text is longer than what it seals: its own bound is that of the document. */
static int unseal(struct binder *b, const struct model_field *f, char **member,
                  const struct node *n, const struct path *path)
{
    char *clear = NULL;
    struct error err = {0};
    int r = b->opts->unseal(b->opts->user, f, n->text, &clear, &err);
    if (r < 0) {
        return fail(b, n, path, r, "%s", err.text[0] ? err.text : "cannot be unsealed");
    }
    free(*member);
    *member = clear;
    return 0;
}

static int bind_string(struct binder *b, const struct model_field *f, char **member,
                       const struct node *n, const struct path *path)
{
    if (!is_text(n)) {
        return not_a(b, n, path, "a text");
    }
    if (f->secret == MODEL_SECRET_SEALED && b->opts->unseal) {
        return unseal(b, f, member, n, path);
    }
    struct bytes text = f->trim ? trimmed(n) : BYTES(n->text, n->len);
    if (text.len == 0 && f->empty_null) {
        free(*member);
        *member = NULL;
        return f->required ? fail(b, n, path, -EINVAL, "must not be empty") : 0;
    }
    int r = check_len(b, f, text.len, "bytes", n, path);
    if (r < 0) {
        return r;
    }
    if (!utf8_valid(text)) {
        return fail(b, n, path, -EINVAL, "must be UTF-8");
    }
    char *copy = mem_try_alloc(text.len + 1);
    if (!copy) {
        return no_memory(b);
    }
    for (size_t i = 0; i < text.len; i++) {
        copy[i] = (char)(f->lower ? tolower(text.data[i]) : text.data[i]);
    }
    copy[text.len] = '\0';
    free(*member);
    *member = copy;
    return 0;
}

static int bind_id(struct binder *b, const struct model_field *f, struct model_id *member,
                   const struct node *n, const struct path *path)
{
    struct model_id id = {.kind = MODEL_ID_INT};
    if (n->kind == NODE_INT) {
        id.num = n->integer;
    } else if (!is_text(n)) {
        return not_a(b, n, path, "a number or a text");
    } else if (n->kind == NODE_TEXT || scalar_int(n->text, &id.num) < 0) {
        id.kind = MODEL_ID_STR;
    }
    if (id.kind == MODEL_ID_STR) {
        int r = bind_string(b, f, &id.str, n, path);
        if (r < 0) {
            return r;
        }
        id.kind = id.str ? MODEL_ID_STR : MODEL_ID_NONE;
        id.num = 0;
    }
    free(member->str);
    *member = id;
    return 0;
}

static int bind_raw(struct binder *b, const struct model_field *f, char **member,
                    const struct node *n, const struct path *path)
{
    if (f->secret == MODEL_SECRET_SEALED && b->opts->unseal && is_text(n)) {
        return unseal(b, f, member, n, path);
    }
    struct out o = {0};
    struct json j = json_init(&o);
    node_write(n, &j);
    int r = check_len(b, f, o.len, "bytes as JSON", n, path);
    if (r < 0) {
        out_done(&o);
        return r;
    }
    free(*member);
    *member = out_take_str(&o);
    return 0;
}

/* ---- lists and maps ---- */

/* A nested struct begins with its defaults; any other item as zero. */
static int item_init(const struct model_field *item, void *p)
{
    return item->type == MODEL_T_STRUCT ? model_try_init(item->model, p) : 0;
}

/* Takes out the last item again: it was empty, or is in the list already. */
static bool superfluous(const struct model_field *f, const struct any_list *l)
{
    if (f->item->type != MODEL_T_STRING) {
        return false;
    }
    const char *last = *(char **)list_item(l, f, l->len - 1);
    if (!last || (f->trim && !*last)) {
        return true;
    }
    for (size_t i = 0; f->unique && i + 1 < l->len; i++) {
        if (strcasecmp(*(char **)list_item(l, f, i), last) == 0) {
            return true;
        }
    }
    return false;
}

static int bind_item(struct binder *b, const struct model_field *f, struct any_list *l,
                     const struct node *n, const struct path *path)
{
    char *item = list_item(l, f, l->len);
    struct model_field like = *f->item;
    like.trim |= f->trim;
    if (node_is_null(n) && like.type != MODEL_T_RAW) {
        return fail(b, n, path, -EINVAL, "must not be null");
    }
    l->len++;
    if (f->type == MODEL_T_MAP) {
        size_t len = strlen(n->key);
        if (len > MODEL_KEY_MAX) {
            return fail(b, n, path, -EINVAL, "its name has more than %d bytes", MODEL_KEY_MAX);
        }
        char *key = mem_try_alloc(len + 1);
        if (!key) {
            return no_memory(b);
        }
        *(char **)item = memcpy(key, n->key, len + 1);
    }
    if (item_init(&like, item + f->value_offset) < 0) {
        return no_memory(b);
    }
    int r = bind_value(b, &like, item + f->value_offset, n, path);
    if (r == 0 && f->type == MODEL_T_LIST && superfluous(f, l)) {
        value_done(f->item, item);
        l->len--;
    }
    return r;
}

static int bind_items(struct binder *b, const struct model_field *f, struct any_list *member,
                      const struct node *n, const struct path *path)
{
    struct any_list l = {0};
    int r = check_len(b, f, n->len, "entries", n, path);
    if (r == 0 && n->len > 0) {
        l.items = mem_try_zalloc(n->len * f->size);
        r = l.items ? 0 : no_memory(b);
    }
    size_t i = 0;
    for (const struct node *c = n->first; r == 0 && c; c = c->next, i++) {
        struct path at = {path, f->type == MODEL_T_MAP ? c->key : NULL, i};
        r = bind_item(b, f, &l, c, &at);
    }
    if (r == 0 && f->min > 0 && l.len < (size_t)f->min) {
        r = fail(b, n, path, -EINVAL, "must have at least %lld entries", (long long)f->min);
    }
    if (r < 0) {
        value_done(f, &l);
        return r;
    }
    value_done(f, member);
    *member = l;
    return 0;
}

/* "a, b" as a list of its parts, in the arena of the document. */
static int split(struct binder *b, const struct node *n, struct node *ret)
{
    *ret = (struct node){.kind = NODE_LIST, .line = n->line, .column = n->column};
    for (const char *s = n->text; *s;) {
        size_t len = strcspn(s, ",\n");
        struct node part = {.text = s, .len = len};
        struct bytes text = trimmed(&part);
        if (text.len > 0) {
            struct node *c = doc_node(b->doc, n->kind, b->err);
            if (!c) {
                return b->err && b->err->code ? b->err->code : -E2BIG;
            }
            c->line = n->line;
            c->column = n->column;
            c->len = text.len;
            c->text = doc_text(b->doc, (const char *)text.data, text.len);
            if (!c->text) {
                return no_memory(b);
            }
            node_append(ret, c);
        }
        s += len + (s[len] != '\0');
    }
    return 0;
}

static int bind_list(struct binder *b, const struct model_field *f, struct any_list *member,
                     const struct node *n, const struct path *path)
{
    struct node parts;
    if (n->kind == NODE_LIST) {
        return bind_items(b, f, member, n, path);
    }
    if (!f->comma || !is_text(n)) {
        return not_a(b, n, path, f->comma ? "a list, or a text with commas" : "a list");
    }
    int r = split(b, n, &parts);
    return r < 0 ? r : bind_items(b, f, member, &parts, path);
}

static int bind_opt(struct binder *b, const struct model_field *f, void **member,
                    const struct node *n, const struct path *path)
{
    void *obj = mem_try_zalloc(f->model->size);
    if (!obj) {
        return no_memory(b);
    }
    int r = model_try_init(f->model, obj);
    r = r < 0 ? no_memory(b) : bind_struct(b, f->model, obj, n, path);
    void *before = *member;
    if (r == 0) {
        *member = obj;
        obj = before;
    }
    value_done(f, &obj);
    return r;
}

static int bind_typed(struct binder *b, const struct model_field *f, void *member,
                      const struct node *n, const struct path *path)
{
    switch (f->type) {
    case MODEL_T_BOOL:
        return bind_bool(b, member, n, path);
    case MODEL_T_INT:
        return bind_int(b, f, member, n, path);
    case MODEL_T_DOUBLE:
        return bind_double(b, f, member, n, path);
    case MODEL_T_ENUM:
        return bind_enum(b, f, member, n, path);
    case MODEL_T_STRING:
        return bind_string(b, f, member, n, path);
    case MODEL_T_DURATION:
    case MODEL_T_SIZE:
        return bind_measure(b, f, member, n, path);
    case MODEL_T_TIME:
        return bind_time(b, member, n, path);
    case MODEL_T_ID:
        return bind_id(b, f, member, n, path);
    case MODEL_T_RAW:
        return bind_raw(b, f, member, n, path);
    case MODEL_T_STRUCT:
        return bind_struct(b, f->model, member, n, path);
    case MODEL_T_OPT:
        return bind_opt(b, f, member, n, path);
    case MODEL_T_LIST:
        return bind_list(b, f, member, n, path);
    case MODEL_T_MAP:
        return n->kind == NODE_MAP ? bind_items(b, f, member, n, path)
                                   : not_a(b, n, path, "an object");
    case MODEL_T_N:
        break;
    }
    return -EINVAL;
}

int bind_value(struct binder *b, const struct model_field *f, void *member, const struct node *n,
               const struct path *path)
{
    struct error own = {0};
    int r = bind_typed(b, f, member, n, path);
    /* What is unsealed was checked when it came; it may be sealed text still, when its key is lost. */
    bool sealed = f->secret == MODEL_SECRET_SEALED && b->opts->unseal;
    if (r == 0 && f->check && !sealed) {
        r = f->check(member, &own);
        if (r < 0) {
            r = fail(b, n, path, r, "%s", own.text[0] ? own.text : "is not valid");
        }
    }
    return r;
}

/* ---- structs ---- */

/* What one struct's binding knows beside its arguments. */
struct form {
    const struct model *m;
    void *obj;
    const struct model_variant *variant;
    struct model_present seen[2]; /* of the common fields, and of the variant's */
    struct node unknown;          /* what is kept */
};

static bool take_bit(struct model_present *p, size_t i)
{
    uint64_t mask = 1ULL << (i % 64);
    bool before = p->bits[i / 64] & mask;
    p->bits[i / 64] |= mask;
    return before;
}

/* Null: no value where the table allows it, else as if the member were not there where that is meant. */
static int bind_null(struct binder *b, const struct model *m, void *obj,
                     const struct model_field *f, const struct node *n, const struct path *path)
{
    bool absent = b->doc->positions || b->opts->null_absent || m->unknown == MODEL_IGNORE;
    if (f->nullable || f->type == MODEL_T_RAW) {
        value_done(f, member_of(obj, f));
        if (type_is_plain(f->type) || f->type == MODEL_T_TIME) {
            memset(member_of(obj, f), 0, f->size);
        }
        model_mark(m, obj, f->offset, false);
        return f->type == MODEL_T_STRUCT ? model_try_init(f->model, member_of(obj, f)) : 0;
    }
    if (absent && !f->required) {
        return 0;
    }
    return fail(b, n, path, -EINVAL, "must not be null");
}

static int bind_member(struct binder *b, const struct model *m, void *obj,
                       const struct model_field *f, const struct node *n, const struct path *path)
{
    if (node_is_null(n)) {
        return bind_null(b, m, obj, f, n, path);
    }
    int r = bind_value(b, f, member_of(obj, f), n, path);
    if (r == 0) {
        model_mark(m, obj, f->offset, true);
    }
    return r;
}

static int keep_unknown(struct binder *b, struct form *s, const struct node *n)
{
    struct node *copy = doc_alloc(b->doc, sizeof(*copy));
    if (!copy) {
        return no_memory(b);
    }
    *copy = *n;
    node_append(&s->unknown, copy);
    return 0;
}

static int bind_one(struct binder *b, struct form *s, const struct node *n, const struct path *path)
{
    const struct model *m = s->m;
    void *obj = s->obj;
    struct path at = {path, n->key, 0};
    const struct model_field *f = model_find(m, n->key);
    bool own = f != NULL;
    if (!f && s->variant) {
        m = s->variant->model;
        obj = (char *)s->obj + s->variant->offset;
        f = model_find(m, n->key);
    }
    if (!f) {
        return s->m->unknown == MODEL_KEEP     ? keep_unknown(b, s, n)
               : s->m->unknown == MODEL_IGNORE ? 0
                                               : fail(b, n, &at, -EINVAL, "is not a known field");
    }
    at.name = model_key(f);
    if (f->read_only && b->opts->client) {
        return 0;
    }
    if (take_bit(&s->seen[own ? 0 : 1], (size_t)(f - m->fields))) {
        return fail(b, n, &at, -EINVAL, "is given twice, under two names");
    }
    if (own && s->m->tag && f == model_find(s->m, s->m->tag)) {
        return 0; /* bound already */
    }
    return bind_member(b, m, obj, f, n, &at);
}

static const struct node *find_member(const struct node *n, const struct model_field *f)
{
    for (const struct node *c = n->kind == NODE_MAP ? n->first : NULL; c; c = c->next) {
        struct model one = {.fields = f, .n_fields = 1};
        if (model_find(&one, c->key)) {
            return c;
        }
    }
    return NULL;
}

/* The tag decides which form the other members belong to, wherever in the document it stands. */
static int bind_tag(struct binder *b, struct form *s, const struct node *n, const struct path *path)
{
    if (!s->m->tag) {
        return 0;
    }
    const struct model_field *f = model_find(s->m, s->m->tag);
    const struct node *member = find_member(n, f);
    const struct model_variant *before = model_variant_of(s->m, s->obj);
    if (member) {
        struct path at = {path, model_key(f), 0};
        if (before) {
            model_done(before->model, (char *)s->obj + before->offset);
        }
        int r = bind_member(b, s->m, s->obj, f, member, &at);
        s->variant = model_variant_for(s->m, (int)int_load(f, member_of(s->obj, f)));
        if (s->variant &&
            model_try_init(s->variant->model, (char *)s->obj + s->variant->offset) < 0) {
            return r < 0 ? r : no_memory(b);
        }
        return r;
    }
    s->variant = before;
    return 0;
}

static int missing(struct binder *b, const struct model *m, const struct model_present *seen,
                   const struct node *n, const struct path *path)
{
    for (size_t i = 0; i < m->n_fields; i++) {
        const struct model_field *f = &m->fields[i];
        bool there = seen->bits[i / 64] >> (i % 64) & 1;
        if (f->required && !there && !(f->read_only && b->opts->client)) {
            struct path at = {path, model_key(f), 0};
            return fail(b, n, &at, -EINVAL, "is required");
        }
    }
    return 0;
}

static int run_check(struct binder *b, const struct model *m, void *obj, const struct node *n,
                     const struct path *path)
{
    struct error own = {0};
    int r = m->check ? m->check(obj, &own) : 0;
    if (r >= 0) {
        return 0;
    }
    /* The position is that of the field the check names, as far as the document has it. */
    const struct node *at = n->kind == NODE_MAP && own.where[0] ? node_get(n, own.where) : NULL;
    struct path field = {path, own.where, 0};
    return fail(b, at ? at : n, own.where[0] ? &field : path, r, "%s",
                own.text[0] ? own.text : "is not valid");
}

static void store_unknown(struct form *s)
{
    if (s->unknown.len == 0) {
        return;
    }
    char **extra = (char **)((char *)s->obj + s->m->extra_at - 1);
    struct out o = {0};
    struct json j = json_init(&o);
    node_write(&s->unknown, &j);
    free(*extra);
    *extra = out_take_str(&o);
}

int bind_struct(struct binder *b, const struct model *m, void *obj, const struct node *n,
                const struct path *path)
{
    struct form s = {.m = m, .obj = obj, .unknown = {.kind = NODE_MAP}};
    if (n->kind != NODE_MAP && !(b->doc->positions && node_is_null(n))) {
        return not_a(b, n, path, "an object");
    }
    int r = bind_tag(b, &s, n, path);
    for (const struct node *c = n->kind == NODE_MAP ? n->first : NULL; r == 0 && c; c = c->next) {
        r = bind_one(b, &s, c, path);
    }
    if (r == 0) {
        r = missing(b, m, &s.seen[0], n, path);
    }
    if (r == 0 && s.variant) {
        r = missing(b, s.variant->model, &s.seen[1], n, path);
    }
    if (r == 0) {
        store_unknown(&s);
        if (s.variant) {
            r = run_check(b, s.variant->model, (char *)obj + s.variant->offset, n, path);
        }
    }
    return r < 0 ? r : run_check(b, m, obj, n, path);
}

int bind_document(struct doc *d, const struct model *m, void *obj,
                  const struct model_parse_opts *opts, struct error *err)
{
    struct error own = {0};
    struct binder b = {opts, d, &own};
    int r = model_try_init(m, obj);
    r = r < 0 ? no_memory(&b) : bind_struct(&b, m, obj, d->root, NULL);
    if (r < 0) {
        model_done(m, obj);
        error_set(err, r, own.where, "%s", own.text);
    }
    return r;
}

static int parse(const struct model *m, void *obj, struct bytes text,
                 const struct model_parse_opts *opts, struct error *err,
                 int (*read)(struct doc *d, struct bytes text, struct error *err))
{
    static const struct model_parse_opts none = {0};
    struct doc d;
    opts = opts ? opts : &none;
    doc_init(&d, opts);
    memset(obj, 0, m->size);
    int r = read(&d, text, err);
    if (r == 0) {
        r = bind_document(&d, m, obj, opts, err);
    }
    doc_done(&d);
    return r;
}

int model_parse_json(const struct model *m, void *obj, struct bytes json,
                     const struct model_parse_opts *opts, struct error *err)
{
    return parse(m, obj, json, opts, err, doc_read_json);
}

int model_parse_yaml(const struct model *m, void *obj, struct bytes yaml,
                     const struct model_parse_opts *opts, struct error *err)
{
    return parse(m, obj, yaml, opts, err, doc_read_yaml);
}
