/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML as a source of the document tree (libyaml's events). Only plain data: anchors, aliases, tags, merge keys and
 * further documents are refused, so that a document is as large as it looks and means what it says. Scalars without
 * quotes stay untyped: the table decides whether `on` is a word or a truth.
 */
#include "base/map.h"
#include "base/mem.h"
#include "base/model_impl.h"

#include <errno.h>
#include <stdio.h>
#include <yaml.h>

struct reader {
    struct doc *d;
    yaml_parser_t parser;
    struct error *err;
    unsigned depth;
};

static int fail_at(struct reader *y, int code, yaml_mark_t mark, const char *why)
{
    char where[100];
    snprintf(where, sizeof(where), "%.70s:%zu:%zu", y->d->file, mark.line + 1, mark.column + 1);
    return error_set(y->err, code, where, "%s", why);
}

static int next(struct reader *y, yaml_event_t *ev)
{
    if (yaml_parser_parse(&y->parser, ev)) {
        return 0;
    }
    if (y->parser.error == YAML_MEMORY_ERROR) {
        return error_set(y->err, -ENOMEM, NULL, "out of memory");
    }
    char why[200];
    snprintf(why, sizeof(why), "not YAML: %s",
             y->parser.problem ? y->parser.problem : "it cannot be read");
    return fail_at(y, -EBADMSG, y->parser.problem_mark, why);
}

static void drop(yaml_event_t *ev)
{
    yaml_event_delete(ev);
}

#define _cleanup_event_ __attribute__((cleanup(drop)))

/* What may hang on any value: refused, see the head of this file. */
static int refuse_extras(struct reader *y, const yaml_event_t *ev)
{
    const yaml_char_t *anchor = NULL;
    const yaml_char_t *tag = NULL;
    if (ev->type == YAML_SCALAR_EVENT) {
        anchor = ev->data.scalar.anchor;
        tag = ev->data.scalar.tag;
    } else if (ev->type == YAML_SEQUENCE_START_EVENT) {
        anchor = ev->data.sequence_start.anchor;
        tag = ev->data.sequence_start.tag;
    } else if (ev->type == YAML_MAPPING_START_EVENT) {
        anchor = ev->data.mapping_start.anchor;
        tag = ev->data.mapping_start.tag;
    }
    if (anchor || ev->type == YAML_ALIAS_EVENT) {
        return fail_at(y, -EBADMSG, ev->start_mark,
                       "anchors and aliases are not supported: write the value out");
    }
    return tag ? fail_at(y, -EBADMSG, ev->start_mark, "tags are not supported: remove it") : 0;
}

static struct node *new_node(struct reader *y, enum node_kind kind, yaml_mark_t mark)
{
    struct error own = {0};
    struct node *n = doc_node(y->d, kind, &own);
    if (!n) {
        fail_at(y, own.code, mark, own.text);
        return NULL;
    }
    n->line = (unsigned)mark.line + 1;
    n->column = (unsigned)mark.column + 1;
    return n;
}

static int read_text(struct reader *y, const yaml_event_t *ev, const char **ret, size_t *ret_len)
{
    const char *text = (const char *)ev->data.scalar.value;
    size_t len = ev->data.scalar.length;
    if (memchr(text, '\0', len)) {
        return fail_at(y, -EBADMSG, ev->start_mark, "a text holds a NUL character");
    }
    *ret = doc_text(y->d, text, len);
    *ret_len = len;
    return *ret ? 0 : error_set(y->err, -ENOMEM, NULL, "out of memory");
}

static int read_value(struct reader *y, const yaml_event_t *ev, struct node **ret);

static int read_list(struct reader *y, struct node *n)
{
    for (;;) {
        _cleanup_event_ yaml_event_t ev = {0};
        struct node *child;
        int r = next(y, &ev);
        if (r < 0 || ev.type == YAML_SEQUENCE_END_EVENT) {
            return r;
        }
        r = read_value(y, &ev, &child);
        if (r < 0) {
            return r;
        }
        node_append(n, child);
    }
}

static int read_key(struct reader *y, const yaml_event_t *ev, struct map *seen, const char **ret)
{
    size_t len;
    int r = refuse_extras(y, ev);
    if (r < 0) {
        return r;
    }
    if (ev->type != YAML_SCALAR_EVENT) {
        return fail_at(y, -EBADMSG, ev->start_mark, "a key must be a plain text");
    }
    r = read_text(y, ev, ret, &len);
    if (r < 0) {
        return r;
    }
    if (strcmp(*ret, "<<") == 0 && ev->data.scalar.plain_implicit) {
        return fail_at(y, -EBADMSG, ev->start_mark,
                       "merge keys are not supported: write the values out");
    }
    if (map_set(seen, *ret, (void *)*ret)) {
        return fail_at(y, -EBADMSG, ev->start_mark, "this key stands twice in one section");
    }
    return 0;
}

static int read_members(struct reader *y, struct node *n, struct map *seen)
{
    for (;;) {
        _cleanup_event_ yaml_event_t key_ev = {0};
        _cleanup_event_ yaml_event_t value_ev = {0};
        struct node *child;
        const char *key;
        int r = next(y, &key_ev);
        if (r < 0 || key_ev.type == YAML_MAPPING_END_EVENT) {
            return r;
        }
        r = read_key(y, &key_ev, seen, &key);
        if (r >= 0) {
            r = next(y, &value_ev);
        }
        if (r >= 0) {
            r = read_value(y, &value_ev, &child);
        }
        if (r < 0) {
            return r;
        }
        child->key = key;
        /* An error about a member points at its key, where people look. */
        child->line = (unsigned)key_ev.start_mark.line + 1;
        child->column = (unsigned)key_ev.start_mark.column + 1;
        node_append(n, child);
    }
}

static int read_children(struct reader *y, struct node *n)
{
    if (++y->depth > y->d->max_depth) {
        char why[60];
        snprintf(why, sizeof(why), "nested deeper than %u levels", y->d->max_depth);
        yaml_mark_t mark = {.line = n->line - 1, .column = n->column - 1};
        return fail_at(y, -E2BIG, mark, why);
    }
    int r;
    if (n->kind == NODE_LIST) {
        r = read_list(y, n);
    } else {
        struct map seen = {0};
        r = read_members(y, n, &seen);
        map_done(&seen);
    }
    y->depth--;
    return r;
}

static int read_value(struct reader *y, const yaml_event_t *ev, struct node **ret)
{
    enum node_kind kind = ev->type == YAML_SEQUENCE_START_EVENT  ? NODE_LIST
                          : ev->type == YAML_MAPPING_START_EVENT ? NODE_MAP
                          : ev->data.scalar.plain_implicit       ? NODE_SCALAR
                                                                 : NODE_TEXT;
    int r = refuse_extras(y, ev);
    if (r < 0) {
        return r;
    }
    struct node *n = new_node(y, kind, ev->start_mark);
    if (!n) {
        return y->err ? y->err->code : -ENOMEM;
    }
    *ret = n;
    return kind == NODE_LIST || kind == NODE_MAP ? read_children(y, n)
                                                 : read_text(y, ev, &n->text, &n->len);
}

/* The stream is one document, or nothing: then the root is null, which a table reads as all defaults. */
static int read_stream(struct reader *y)
{
    for (;;) {
        _cleanup_event_ yaml_event_t ev = {0};
        int r = next(y, &ev);
        if (r < 0 || ev.type == YAML_STREAM_END_EVENT) {
            return r;
        }
        if (ev.type == YAML_STREAM_START_EVENT || ev.type == YAML_DOCUMENT_END_EVENT) {
            continue;
        }
        if (ev.type == YAML_DOCUMENT_START_EVENT) {
            if (y->d->root) {
                return fail_at(y, -EBADMSG, ev.start_mark, "a second document is not supported");
            }
            continue;
        }
        r = read_value(y, &ev, &y->d->root);
        if (r < 0) {
            return r;
        }
    }
}

int doc_read_yaml(struct doc *d, struct bytes yaml, struct error *err)
{
    struct error own = {0};
    struct reader y = {.d = d, .err = &own};
    if (yaml.len > d->max_bytes) {
        return error_set(err, -E2BIG, d->file, "longer than %zu bytes", d->max_bytes);
    }
    if (!yaml_parser_initialize(&y.parser)) {
        return error_set(err, -ENOMEM, NULL, "out of memory");
    }
    d->positions = true;
    yaml_parser_set_input_string(&y.parser, yaml.len ? yaml.data : (const uint8_t *)"", yaml.len);
    int r = read_stream(&y);
    yaml_parser_delete(&y.parser);
    if (r == 0 && !d->root) {
        d->root = doc_node(d, NODE_NULL, &own);
        r = d->root ? 0 : own.code;
    }
    return r < 0 ? error_set(err, r, own.where, "%s", own.text) : 0;
}
