/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PATCH: the struct becomes a document again, the patch is merged into it along the table, and the result is bound anew.
 * So a patched struct is valid exactly when the whole would have been accepted, and the old one stays until then.
 */
#include "base/mem.h"
#include "base/model_impl.h"

#include <errno.h>
#include <stdlib.h>

struct merge {
    enum model_patch policy;
    bool client;
    struct error *err;
};

/* Where the members of one object are declared: a table, one form of it, or nowhere (raw JSON). */
struct scope {
    const struct model *m;
    const struct model *variant;
    const struct model_field *item; /* of a map: every member is one of these */
};

static int merge(const struct merge *g, const struct scope *s, struct node *to,
                 const struct node *patch, const struct path *path);

static const struct model_field *declared(const struct scope *s, const char *key)
{
    const struct model_field *f = s->m ? model_find(s->m, key) : NULL;
    if (!f && s->variant) {
        f = model_find(s->variant, key);
    }
    return f ? f : s->item;
}

static struct scope scope_of_model(const struct model *m, const struct node *patch,
                                   const struct node *to)
{
    struct scope s = {.m = m};
    const struct node *tag = m && m->tag ? node_get(patch, m->tag) : NULL;
    int value;
    if (m && m->tag && !tag) {
        tag = node_get(to, m->tag);
    }
    if (tag && tag->kind == NODE_TEXT &&
        model_enum_value(model_find(m, m->tag)->names, tag->text, &value) == 0) {
        const struct model_variant *v = model_variant_for(m, value);
        s.variant = v ? v->model : NULL;
    }
    return s;
}

static struct scope scope_of_field(const struct model_field *f, const struct node *patch,
                                   const struct node *to)
{
    if (f && f->type == MODEL_T_MAP) {
        return (struct scope){.item = f->item};
    }
    return scope_of_model(f ? f->model : NULL, patch, to);
}

/* Another form of a union is chosen: what only the old form knows goes, instead of being refused as unknown. */
static void drop_old_form(const struct scope *s, struct node *to)
{
    for (struct node *c = to->first; c;) {
        struct node *following = c->next;
        if (!declared(s, c->key)) {
            node_remove(to, c->key);
        }
        c = following;
    }
}

static bool changes_form(const struct scope *s, const struct node *patch, const struct node *to)
{
    if (!s->m || !s->m->tag) {
        return false;
    }
    const struct node *a = node_get(patch, s->m->tag);
    const struct node *b = node_get(to, s->m->tag);
    return a && b && a->kind == NODE_TEXT && b->kind == NODE_TEXT && strcmp(a->text, b->text) != 0;
}

/* Objects of the table and free ones merge; lists, unions of kinds and single values replace. */
static bool merges(const struct model_field *f)
{
    return !f || f->type == MODEL_T_STRUCT || f->type == MODEL_T_OPT || f->type == MODEL_T_MAP ||
           f->type == MODEL_T_RAW;
}

static int merge_member(const struct merge *g, const struct model_field *f, struct node *to,
                        struct node *c, const struct path *path)
{
    const char *key = f && f->name ? model_key(f) : c->key;
    struct node *before = node_get(to, key);
    if (c->kind == NODE_NULL) {
        if (g->policy == MODEL_PATCH_MERGE) {
            node_remove(to, key);
        }
        return 0;
    }
    if (c->kind != NODE_MAP || !merges(f)) {
        node_remove(to, key);
        c->key = key;
        node_append(to, c);
        return 0;
    }
    /* RFC 7396: an object merges into nothing as well, so that nulls inside it vanish. */
    if (!before || before->kind != NODE_MAP) {
        node_remove(to, key);
        struct node *patch = c->first;
        struct node empty = *c;
        empty.first = NULL;
        empty.last = NULL;
        empty.len = 0;
        empty.key = key;
        struct node source = *c;
        source.first = patch;
        *c = empty;
        node_append(to, c);
        struct scope s = scope_of_field(f, &source, c);
        return merge(g, &s, c, &source, path);
    }
    struct scope s = scope_of_field(f, c, before);
    return merge(g, &s, before, c, path);
}

static int merge(const struct merge *g, const struct scope *s, struct node *to,
                 const struct node *patch, const struct path *path)
{
    if (changes_form(s, patch, to)) {
        drop_old_form(s, to);
    }
    for (struct node *c = patch->first; c;) {
        struct node *following = c->next;
        const struct model_field *f = declared(s, c->key);
        struct path at = {path, c->key, 0};
        if (!f && s->m && g->policy == MODEL_PATCH_SEED) {
            char where[sizeof(g->err->where)];
            return error_set(g->err, -EINVAL, path_str(&at, where, sizeof(where)),
                             "is not a known field");
        }
        if (!(f && f->read_only && g->client)) {
            int r = merge_member(g, f, to, c, &at);
            if (r < 0) {
                return r;
            }
        }
        c = following;
    }
    return 0;
}

/* The struct as a document. It is our own: the bounds for foreign ones do not count. */
static int read_own(struct doc *d, const struct model *m, const void *obj, struct error *err)
{
    static const struct model_parse_opts wide = {
        .max_bytes = SIZE_MAX, .max_depth = MODEL_DEPTH_MAX, .max_values = UINT32_MAX};
    _cleanup_free_ char *text = model_to_json(m, obj, MODEL_SECRETS_CLEAR);
    doc_init(d, &wide);
    return doc_read_json(d, BYTES_STR(text), err);
}

static int apply(const struct model *m, void *obj, struct doc *own, const struct doc *patch,
                 const struct merge *g)
{
    static const struct model_parse_opts none = {0};
    struct error err = {0};
    struct scope s = scope_of_model(m, patch->root, own->root);
    int r = merge(g, &s, own->root, patch->root, NULL);
    if (r < 0) {
        return r;
    }
    void *fresh = mem_zalloc(m->size);
    r = bind_document(own, m, fresh, &none, &err);
    if (r < 0) {
        error_set(g->err, r, err.where, "%s", err.text);
    } else {
        model_done(m, obj);
        memcpy(obj, fresh, m->size);
    }
    free(fresh);
    return r;
}

int model_patch_json(const struct model *m, void *obj, struct bytes patch, enum model_patch policy,
                     const struct model_parse_opts *opts, struct error *err)
{
    static const struct model_parse_opts none = {0};
    struct error own_err = {0};
    struct doc own = {0};
    struct doc change;
    opts = opts ? opts : &none;
    struct merge g = {policy, opts->client, &own_err};
    doc_init(&change, opts);
    int r = doc_read_json(&change, patch, &own_err);
    if (r == 0 && change.root->kind != NODE_MAP) {
        r = error_set(&own_err, -EINVAL, NULL, "a patch must be an object");
    }
    if (r == 0) {
        r = read_own(&own, m, obj, &own_err);
    }
    if (r == 0) {
        r = apply(m, obj, &own, &change, &g);
    }
    doc_done(&change);
    doc_done(&own);
    return r < 0 ? error_set(err, r, own_err.where, "%s", own_err.text) : 0;
}
