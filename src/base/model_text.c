/* SPDX-License-Identifier: Apache-2.0 */
/* Single fields from text: defaults, `--set path=value`, environment variables. */
#include "base/mem.h"
#include "base/model_impl.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>

/* Whether text for this field is one scalar, and not a document of its own. */
static bool is_scalar(const struct model_field *f, const char *text)
{
    switch (f->type) {
    case MODEL_T_RAW:
    case MODEL_T_MAP:
    case MODEL_T_STRUCT:
    case MODEL_T_OPT:
        return false;
    case MODEL_T_LIST:
        return text[strspn(text, " \t\n")] != '[';
    default:
        return true;
    }
}

int bind_text(const struct model_field *f, void *member, const char *text, struct error *err)
{
    static const struct model_parse_opts none = {0};
    struct error own = {0};
    struct doc d;
    struct node scalar = {.kind = f->type == MODEL_T_STRING ? NODE_TEXT : NODE_SCALAR,
                          .text = text,
                          .len = strlen(text)};
    struct binder b = {&none, &d, &own};
    /* In text a list may always be written with commas. */
    struct model_field like = *f;
    int r = 0;
    like.comma = true;
    doc_init(&d, &none);
    if (is_scalar(f, text)) {
        d.root = &scalar;
    } else {
        r = doc_read_json(&d, BYTES_STR(text), &own);
    }
    if (r == 0) {
        r = bind_value(&b, &like, member, d.root, NULL);
    }
    doc_done(&d);
    return r < 0 ? error_set(err, r, own.where, "%s", own.text) : r;
}

/* ---- by path ---- */

struct target {
    const struct model *m; /* the field's owner */
    void *obj;
    const struct model_field *f;
};

static bool find_own(const struct model *m, void *obj, const char *key, struct target *ret)
{
    const struct model_variant *v = model_variant_of(m, obj);
    *ret = (struct target){m, obj, model_find(m, key)};
    if (!ret->f && v) {
        *ret = (struct target){v->model, (char *)obj + v->offset, model_find(v->model, key)};
    }
    return ret->f != NULL;
}

/* The struct that a STRUCT or OPT field holds; an absent OPT is made, since something in it is to be set. */
static void *enter(const struct target *t)
{
    void *member = member_of(t->obj, t->f);
    if (t->f->type != MODEL_T_OPT) {
        return member;
    }
    if (!*(void **)member) {
        *(void **)member = mem_zalloc(t->f->model->size);
        model_init(t->f->model, *(void **)member);
    }
    return *(void **)member;
}

static int resolve(const struct model *m, void *obj, const char *path, struct target *ret)
{
    char key[MODEL_KEY_MAX];
    for (;;) {
        size_t n = strcspn(path, ".");
        if (n == 0 || n >= sizeof(key)) {
            return -ENOENT;
        }
        memcpy(key, path, n);
        key[n] = '\0';
        if (!find_own(m, obj, key, ret)) {
            return -ENOENT;
        }
        path += n;
        if (!*path) {
            return 0;
        }
        path++;
        if (ret->f->type != MODEL_T_STRUCT && ret->f->type != MODEL_T_OPT) {
            return -ENOENT;
        }
        obj = enter(ret);
        m = ret->f->model;
    }
}

/* Without the checks across fields: several may have to change together. */
static int set_unchecked(const struct model *m, void *obj, const char *path, const char *text,
                         struct error *err)
{
    struct target t;
    struct error own = {0};
    if (resolve(m, obj, path, &t) < 0) {
        return error_set(err, -ENOENT, path, "is not a known field");
    }
    if (t.m->tag && strcmp(model_key(t.f), t.m->tag) == 0) {
        return error_set(err, -EINVAL, path,
                         "chooses the form of a section and cannot be set alone");
    }
    int r = bind_text(t.f, member_of(t.obj, t.f), text, &own);
    if (r < 0) {
        char where[sizeof(own.where)];
        struct path at = {NULL, path, 0};
        struct path inner = {&at, own.where, 0};
        path_str(own.where[0] ? &inner : &at, where, sizeof(where));
        return error_set(err, r, where, "%s", own.text);
    }
    model_mark(t.m, t.obj, t.f->offset, true);
    return 0;
}

/* Takes changes made on a copy over into obj, or drops them. */
static int commit(const struct model *m, void *obj, void *copy, int r, struct error *err)
{
    if (r >= 0) {
        int checked = model_recheck(m, copy, err);
        r = checked < 0 ? checked : r;
    }
    if (r >= 0) {
        model_done(m, obj);
        memcpy(obj, copy, m->size);
    } else {
        model_done(m, copy);
    }
    free(copy);
    return r;
}

int model_set_text(const struct model *m, void *obj, const char *path, const char *text,
                   struct error *err)
{
    void *copy = mem_zalloc(m->size);
    model_copy(m, copy, obj);
    return commit(m, obj, copy, set_unchecked(m, copy, path, text, err), err);
}

/* ---- environment ---- */

/* "low_latency" and "LOW_LATENCY", "low-latency" too: the rest of the name after the key, NULL when it differs. */
static const char *match_key(const char *key, const char *name)
{
    for (; *key; key++, name++) {
        char want = isalnum((unsigned char)*key) ? (char)toupper((unsigned char)*key) : '_';
        if (*name != want) {
            return NULL;
        }
    }
    return name;
}

/* The path of the field that a variable's name (without the prefix) means. Sections are tried in table order. */
static bool env_path(const struct model *m, const char *name, unsigned depth, struct out *path)
{
    assert(name);
    if (depth > 8) {
        return false;
    }
    for (size_t i = 0; i < m->n_fields; i++) {
        const struct model_field *f = &m->fields[i];
        const char *rest = match_key(model_key(f), name);
        size_t before = path->len;
        if (!rest) {
            continue;
        }
        out_printf(path, "%s%s", before ? "." : "", model_key(f));
        if (*rest == '\0') {
            return f->type != MODEL_T_STRUCT && f->type != MODEL_T_OPT;
        }
        if (*rest == '_' && (f->type == MODEL_T_STRUCT || f->type == MODEL_T_OPT) &&
            env_path(f->model, rest + 1, depth + 1, path)) {
            return true;
        }
        path->len = before;
    }
    return false;
}

static bool env_match(const struct model *m, const char *prefix, const char *name, size_t name_len,
                      struct out *path)
{
    size_t n = strlen(prefix);
    if (name_len <= n + 1 || strncmp(name, prefix, n) != 0 || name[n] != '_') {
        return false;
    }
    _cleanup_free_ char *rest = mem_strndup(name + n + 1, name_len - n - 1);
    return env_path(m, rest, 0, path);
}

bool model_env_known(const struct model *m, const char *prefix, const char *name)
{
    _cleanup_(out_done) struct out path = {0};
    return env_match(m, prefix, name, strlen(name), &path);
}

static int set_from_env(const struct model *m, void *obj, const char *prefix, const char *variable,
                        struct error *err)
{
    _cleanup_(out_done) struct out path = {0};
    struct error own = {0};
    const char *equals = strchr(variable, '=');
    if (!equals || !env_match(m, prefix, variable, (size_t)(equals - variable), &path)) {
        return 0;
    }
    int r = set_unchecked(m, obj, out_str(&path), equals + 1, &own);
    if (r < 0) {
        char name[sizeof(own.where)];
        snprintf(name, sizeof(name), "%.*s", (int)(equals - variable), variable);
        return error_set(err, r, name, "%s: %s", own.where, own.text);
    }
    return 1;
}

int model_set_env(const struct model *m, void *obj, const char *prefix, char *const *env,
                  struct error *err)
{
    int count = 0;
    int r = 0;
    void *copy = mem_zalloc(m->size);
    model_copy(m, copy, obj);
    for (; r >= 0 && env && *env; env++) {
        r = set_from_env(m, copy, prefix, *env, err);
        count += r > 0;
    }
    return commit(m, obj, copy, r < 0 ? r : count, err);
}
