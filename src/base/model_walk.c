/* SPDX-License-Identifier: Apache-2.0 */
/* Going over a table, or over two structs at once: documentation, reload, and the table's own soundness. */
#include "base/mem.h"
#include "base/model_impl.h"

#include <errno.h>
#include <stdio.h>

/* Models that hold themselves (through OPT or lists) end here. */
#define WALK_DEPTH_MAX 12

struct walk {
    int (*visit)(const struct model_visit *v, void *user);
    void *user;
};

static int walk(const struct walk *w, const struct model *m, const struct path *up, unsigned depth,
                bool restart);

static int walk_field(const struct walk *w, const struct model *m, const struct model_field *f,
                      const struct path *up, unsigned depth, bool restart)
{
    char path[256];
    char name[MODEL_KEY_MAX + 4];
    struct path at = {up, model_key(f), 0};
    struct model_visit v = {path_str(&at, path, sizeof(path)), m, f, depth, restart || f->restart};
    int r = w->visit(&v, w->user);
    const struct model *below = f->item ? f->item->model : f->model;
    if (r != 0 || !below) {
        return r;
    }
    if (f->item) {
        snprintf(name, sizeof(name), "%s%s", model_key(f), f->type == MODEL_T_LIST ? "[]" : ".*");
        at.name = name;
    }
    return walk(w, below, &at, depth + 1, v.restart);
}

static int walk_fields(const struct walk *w, const struct model *m, const struct path *up,
                       unsigned depth, bool restart)
{
    for (size_t i = 0; i < m->n_fields; i++) {
        int r = walk_field(w, m, &m->fields[i], up, depth, restart);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

static int walk(const struct walk *w, const struct model *m, const struct path *up, unsigned depth,
                bool restart)
{
    if (depth > WALK_DEPTH_MAX) {
        return 0;
    }
    int r = walk_fields(w, m, up, depth, restart);
    for (const struct model_variant *v = m->variants; r == 0 && v && v->value >= 0; v++) {
        r = v->model ? walk_fields(w, v->model, up, depth, restart) : 0;
    }
    return r;
}

int model_walk(const struct model *m, int (*visit)(const struct model_visit *v, void *user),
               void *user)
{
    struct walk w = {visit, user};
    return walk(&w, m, NULL, 0, false);
}

static int diff(const struct walk *w, const struct model *m, const void *a, const void *b,
                const struct path *up, unsigned depth, bool restart);

static int diff_field(const struct walk *w, const struct model *m, const struct model_field *f,
                      const void *a, const void *b, const struct path *up, unsigned depth,
                      bool restart)
{
    char text[256];
    struct path at = {up, model_key(f), 0};
    const void *x = member_of(a, f);
    const void *y = member_of(b, f);
    bool absent = member_absent(m, f, a);
    restart = restart || f->restart;
    if (f->type == MODEL_T_STRUCT) {
        return diff(w, f->model, x, y, &at, depth + 1, restart);
    }
    if (absent == member_absent(m, f, b) && (absent || value_equal(f, x, y))) {
        return 0;
    }
    if (f->type == MODEL_T_OPT && *(void *const *)x && *(void *const *)y) {
        return diff(w, f->model, *(void *const *)x, *(void *const *)y, &at, depth + 1, restart);
    }
    struct model_visit v = {path_str(&at, text, sizeof(text)), m, f, depth, restart};
    return w->visit(&v, w->user);
}

static int diff_fields(const struct walk *w, const struct model *m, const void *a, const void *b,
                       const struct path *up, unsigned depth, bool restart)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < m->n_fields; i++) {
        r = diff_field(w, m, &m->fields[i], a, b, up, depth, restart);
    }
    return r;
}

static int diff(const struct walk *w, const struct model *m, const void *a, const void *b,
                const struct path *up, unsigned depth, bool restart)
{
    const struct model_variant *x = model_variant_of(m, a);
    const struct model_variant *y = model_variant_of(m, b);
    int r = diff_fields(w, m, a, b, up, depth, restart);
    /* Of two forms of a union the tag tells the difference already. */
    if (r == 0 && x && x == y) {
        r = diff_fields(w, x->model, (const char *)a + x->offset, (const char *)b + x->offset, up,
                        depth, restart);
    }
    return r;
}

int model_diff(const struct model *m, const void *a, const void *b,
               int (*visit)(const struct model_visit *v, void *user), void *user)
{
    struct walk w = {visit, user};
    return diff(&w, m, a, b, NULL, 0, false);
}

/* ---- checks across fields ---- */

static int recheck_value(const struct model_field *f, void *member, struct error *err)
{
    if (f->type == MODEL_T_STRUCT) {
        return model_recheck(f->model, member, err);
    }
    if (f->type == MODEL_T_OPT) {
        return *(void **)member ? model_recheck(f->model, *(void **)member, err) : 0;
    }
    struct any_list *l = member;
    bool many = (f->type == MODEL_T_LIST || f->type == MODEL_T_MAP) && f->item->model;
    for (size_t i = 0; many && i < l->len; i++) {
        char *item = list_item(l, f, i);
        int r = recheck_value(f->item, item + f->value_offset, err);
        if (r < 0) {
            char index[32];
            snprintf(index, sizeof(index), "[%zu]", i);
            error_prefix(err, index);
            return r;
        }
    }
    return 0;
}

int model_recheck(const struct model *m, void *obj, struct error *err)
{
    const struct model_variant *v = model_variant_of(m, obj);
    for (size_t i = 0; i < m->n_fields; i++) {
        int r = recheck_value(&m->fields[i], member_of(obj, &m->fields[i]), err);
        if (r < 0) {
            error_prefix(err, model_key(&m->fields[i]));
            return r;
        }
    }
    if (v) {
        int r = model_recheck(v->model, (char *)obj + v->offset, err);
        if (r < 0) {
            return r;
        }
    }
    return m->check ? m->check(obj, err) : 0;
}

/* ---- the table itself ---- */

static int unsound(struct error *err, const struct model *m, const char *key, const char *why)
{
    char where[100];
    snprintf(where, sizeof(where), "%s.%s", m->name ? m->name : "?", key);
    return error_set(err, -EINVAL, where, "%s", why);
}

static int check_default(const struct model *m, const struct model_field *f, struct error *err)
{
    struct error own = {0};
    void *member = mem_zalloc(member_size(f));
    int r = f->def ? bind_text(f, member, f->def, &own) : 0;
    value_done(f, member);
    free(member);
    return r < 0 ? unsound(err, m, model_key(f), own.text) : 0;
}

static int check_type(const struct model *m, const struct model_field *f, struct error *err)
{
    const char *key = model_key(f);
    bool text = f->type == MODEL_T_STRING || f->type == MODEL_T_RAW;
    if (f->type == MODEL_T_ENUM && (!f->names || !f->names->name)) {
        return unsound(err, m, key, "an enum needs its table of names");
    }
    if ((f->type == MODEL_T_STRUCT || f->type == MODEL_T_OPT) && !f->model) {
        return unsound(err, m, key, "a struct needs its model");
    }
    if (f->model && f->type == MODEL_T_STRUCT && f->size != f->model->size) {
        return unsound(err, m, key, "the model is that of another struct");
    }
    if (f->type == MODEL_T_LIST || f->type == MODEL_T_MAP) {
        struct model item = {.name = key};
        if (!f->item) {
            return unsound(err, m, key, "a list or map needs its item");
        }
        return f->item->size > f->size - f->value_offset
                   ? unsound(err, m, key, "the item does not fit the list's elements")
                   : check_type(&item, f->item, err);
    }
    if (f->secret != MODEL_PUBLIC && !text) {
        return unsound(err, m, key, "only texts can be secret");
    }
    if (f->mask != MODEL_MASK_DEFAULT && f->type != MODEL_T_STRING) {
        return unsound(err, m, key, "only strings can be masked");
    }
    if (type_is_plain(f->type) && f->nullable && !m->present_at) {
        return unsound(err, m, key, "a nullable plain value needs the model's presence set");
    }
    return 0;
}

/* Whether a key or alias of f means another field of m. */
static bool taken(const struct model *m, const struct model_field *f)
{
    char name[MODEL_KEY_MAX];
    const struct model_field *found = model_find(m, model_key(f));
    bool clash = found && found != f;
    for (const char *s = f->aliases; s && *s && !clash;) {
        size_t n = strcspn(s, ",");
        snprintf(name, sizeof(name), "%.*s", (int)n, s);
        found = model_find(m, name);
        clash = found && found != f;
        s += n + (s[n] == ',');
    }
    return clash;
}

static int check_keys(const struct model *m, const struct model *other, struct error *err)
{
    for (size_t i = 0; i < m->n_fields; i++) {
        if (taken(other, &m->fields[i])) {
            return unsound(err, m, model_key(&m->fields[i]), "two fields have this name");
        }
    }
    return 0;
}

static int check_union(const struct model *m, struct error *err)
{
    const struct model_field *tag = m->tag ? model_find(m, m->tag) : NULL;
    if (!m->tag && !m->variants) {
        return 0;
    }
    if (!tag || tag->type != MODEL_T_ENUM || !m->variants) {
        return unsound(err, m, m->tag ? m->tag : "",
                       "a union needs an enum as its tag, and variants");
    }
    for (const struct model_variant *v = m->variants; v->value >= 0; v++) {
        int r = v->model ? check_keys(v->model, m, err) : 0;
        if (r < 0) {
            return r;
        }
        if (!model_enum_name(tag->names, v->value)) {
            return unsound(err, m, m->tag, "a variant's value has no name");
        }
        if (v->model && v->offset + v->model->size > m->size) {
            return unsound(err, m, m->tag, "a variant lies outside of the struct");
        }
    }
    return 0;
}

static int check_one(const struct model *m, struct error *err)
{
    if (m->n_fields > MODEL_FIELDS_MAX || !m->name) {
        return unsound(err, m, "", m->name ? "too many fields" : "a model needs a name");
    }
    if (m->unknown == MODEL_KEEP && !m->extra_at) {
        return unsound(err, m, "", "keeping unknown fields needs the member for them");
    }
    int r = check_keys(m, m, err);
    for (size_t i = 0; r == 0 && i < m->n_fields; i++) {
        r = check_type(m, &m->fields[i], err);
        if (r == 0) {
            r = check_default(m, &m->fields[i], err);
        }
    }
    return r < 0 ? r : check_union(m, err);
}

int model_check(const struct model *m, struct error *err)
{
    const struct model *set[256];
    int n = model_collect(m, set, 0, ARRAY_LEN(set));
    int r = n < 0 ? error_set(err, n, m->name, "more than %zu models", ARRAY_LEN(set)) : 0;
    for (int i = 0; r == 0 && i < n; i++) {
        r = check_one(set[i], err);
    }
    return r;
}
