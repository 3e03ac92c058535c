/* SPDX-License-Identifier: Apache-2.0 */
/* The document tree and its arena, and JSON as a source of it (jansson). */
#include "base/mem.h"
#include "base/model_impl.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <strings.h>

#define BLOCK_BYTES 4000

struct doc_block {
    struct doc_block *next;
    size_t used;
    size_t size;
    _Alignas(max_align_t) char data[];
};

void doc_init(struct doc *d, const struct model_parse_opts *opts)
{
    *d = (struct doc){
        .file = opts->file ? opts->file : "document",
        .max_bytes = opts->max_bytes ? opts->max_bytes : MODEL_BYTES_DEFAULT,
        .max_depth = opts->max_depth ? MIN(opts->max_depth, MODEL_DEPTH_MAX) : MODEL_DEPTH_DEFAULT,
        .max_values = opts->max_values ? opts->max_values : MODEL_VALUES_DEFAULT,
    };
}

void doc_done(struct doc *d)
{
    while (d->blocks) {
        struct doc_block *b = d->blocks;
        d->blocks = b->next;
        free(b);
    }
    d->root = NULL;
}

void *doc_alloc(struct doc *d, size_t n)
{
    n = (n + sizeof(max_align_t) - 1) & ~(sizeof(max_align_t) - 1);
    if (!d->blocks || d->blocks->size - d->blocks->used < n) {
        size_t size = MAX(n, (size_t)BLOCK_BYTES);
        struct doc_block *b = mem_try_alloc(sizeof(*b) + size);
        if (!b) {
            return NULL;
        }
        *b = (struct doc_block){.next = d->blocks, .size = size};
        d->blocks = b;
    }
    void *p = d->blocks->data + d->blocks->used;
    d->blocks->used += n;
    return p;
}

const char *doc_text(struct doc *d, const char *text, size_t n)
{
    char *copy = doc_alloc(d, n + 1);
    if (copy) {
        memcpy(copy, text, n);
        copy[n] = '\0';
    }
    return copy;
}

struct node *doc_node(struct doc *d, enum node_kind kind, struct error *err)
{
    if (++d->values > d->max_values) {
        error_set(err, -E2BIG, NULL, "more than %u values", d->max_values);
        return NULL;
    }
    struct node *n = doc_alloc(d, sizeof(*n));
    if (!n) {
        error_set(err, -ENOMEM, NULL, "out of memory");
        return NULL;
    }
    *n = (struct node){.kind = kind};
    return n;
}

void node_append(struct node *parent, struct node *child)
{
    child->next = NULL;
    if (parent->first) {
        parent->last->next = child;
    } else {
        parent->first = child;
    }
    parent->last = child;
    parent->len++;
}

struct node *node_get(const struct node *map, const char *key)
{
    struct node *n = map->first;
    while (n && strcmp(n->key, key) != 0) {
        n = n->next;
    }
    return n;
}

void node_remove(struct node *map, const char *key)
{
    struct node *before = NULL;
    for (struct node *n = map->first; n; before = n, n = n->next) {
        if (strcmp(n->key, key) != 0) {
            continue;
        }
        *(before ? &before->next : &map->first) = n->next;
        if (map->last == n) {
            map->last = before;
        }
        map->len--;
        return;
    }
}

/* The YAML core schema's forms of null. */
bool node_is_null(const struct node *n)
{
    return n->kind == NODE_NULL ||
           (n->kind == NODE_SCALAR &&
            (n->len == 0 || strcmp(n->text, "~") == 0 || strcasecmp(n->text, "null") == 0));
}

/* A plain YAML scalar where no table says its type (raw JSON, kept fields): the core schema decides. */
static void write_plain(const struct node *n, struct json *j)
{
    int64_t i;
    double d;
    if (node_is_null(n)) {
        json_none(j);
    } else if (strcasecmp(n->text, "true") == 0 || strcasecmp(n->text, "false") == 0) {
        json_bool(j, *n->text == 't' || *n->text == 'T');
    } else if (scalar_int(n->text, &i) == 0) {
        json_int(j, i);
    } else if (scalar_double(n->text, &d) == 0) {
        json_double(j, d);
    } else {
        json_bytes(j, BYTES(n->text, n->len));
    }
}

/* A real stays a real: 1.0 does not become 1 on its way through. */
static void write_real(double v, struct json *j)
{
    char buf[40];
    char real[sizeof(buf) + 2];
    json_format_double(v, buf);
    snprintf(real, sizeof(real), "%s%s", buf, strpbrk(buf, ".e") ? "" : ".0");
    json_raw(j, real);
}

void node_write(const struct node *n, struct json *j)
{
    switch (n->kind) {
    case NODE_NULL:
        json_none(j);
        break;
    case NODE_BOOL:
        json_bool(j, n->boolean);
        break;
    case NODE_INT:
        json_int(j, n->integer);
        break;
    case NODE_REAL:
        write_real(n->real, j);
        break;
    case NODE_TEXT:
        json_bytes(j, BYTES(n->text, n->len));
        break;
    case NODE_SCALAR:
        write_plain(n, j);
        break;
    case NODE_LIST:
        json_array_begin(j);
        for (const struct node *c = n->first; c; c = c->next) {
            node_write(c, j);
        }
        json_array_end(j);
        break;
    case NODE_MAP:
        json_object_begin(j);
        for (const struct node *c = n->first; c; c = c->next) {
            json_key(j, c->key);
            node_write(c, j);
        }
        json_object_end(j);
        break;
    }
}

/*
 * Bounds the work of the JSON parser before it begins: counts brackets and separators outside of strings. What is not
 * JSON is left for the parser to find.
 */
static int measure(const struct doc *d, struct bytes json, struct error *err)
{
    unsigned depth = 0;
    size_t values = 1;
    bool in_string = false;
    for (size_t i = 0; i < json.len; i++) {
        uint8_t c = json.data[i];
        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            values++;
            if (++depth > d->max_depth) {
                return error_set(err, -E2BIG, NULL, "nested deeper than %u levels", d->max_depth);
            }
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        } else if (c == ',') {
            values++;
        }
    }
    return values > d->max_values
               ? error_set(err, -E2BIG, NULL, "more than %u values", d->max_values)
               : 0;
}

static struct node *from_json(struct doc *d, const json_t *v, struct error *err);

static int members_from_json(struct doc *d, const json_t *v, struct node *n, struct error *err)
{
    const char *key;
    json_t *child;
    json_object_foreach((json_t *)v, key, child)
    {
        struct node *c = from_json(d, child, err);
        if (!c) {
            return -EINVAL;
        }
        c->key = doc_text(d, key, strlen(key));
        if (!c->key) {
            return error_set(err, -ENOMEM, NULL, "out of memory");
        }
        node_append(n, c);
    }
    return 0;
}

static int items_from_json(struct doc *d, const json_t *v, struct node *n, struct error *err)
{
    for (size_t i = 0; i < json_array_size(v); i++) {
        struct node *c = from_json(d, json_array_get(v, i), err);
        if (!c) {
            return -EINVAL;
        }
        node_append(n, c);
    }
    return 0;
}

static const enum node_kind kinds[] = {
    [JSON_OBJECT] = NODE_MAP,  [JSON_ARRAY] = NODE_LIST, [JSON_STRING] = NODE_TEXT,
    [JSON_INTEGER] = NODE_INT, [JSON_REAL] = NODE_REAL,  [JSON_TRUE] = NODE_BOOL,
    [JSON_FALSE] = NODE_BOOL,  [JSON_NULL] = NODE_NULL,
};

/* NULL with err filled. The depth was bounded by measure(). */
static struct node *from_json(struct doc *d, const json_t *v, struct error *err)
{
    struct node *n = doc_node(d, kinds[json_typeof(v)], err);
    if (!n) {
        return NULL;
    }
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return members_from_json(d, v, n, err) < 0 ? NULL : n;
    case JSON_ARRAY:
        return items_from_json(d, v, n, err) < 0 ? NULL : n;
    case JSON_STRING:
        n->len = json_string_length(v);
        n->text = doc_text(d, json_string_value(v), n->len);
        if (!n->text) {
            error_set(err, -ENOMEM, NULL, "out of memory");
            return NULL;
        }
        break;
    case JSON_INTEGER:
        n->integer = json_integer_value(v);
        break;
    case JSON_REAL:
        n->real = json_real_value(v);
        break;
    case JSON_TRUE:
        n->boolean = true;
        break;
    case JSON_FALSE:
    case JSON_NULL:
        break;
    }
    return n;
}

/* The parser's own text quotes the document, which may hold secrets: only its kind of error is told. */
static const char *reason(enum json_error_code code)
{
    switch (code) {
    case json_error_premature_end_of_input:
        return "it ends too early";
    case json_error_end_of_input_expected:
        return "something follows its end";
    case json_error_duplicate_key:
        return "a key stands twice in one object";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "a text holds a NUL character";
    case json_error_invalid_utf8:
        return "a text is not UTF-8";
    case json_error_numeric_overflow:
        return "a number is too large";
    default:
        return "a character does not belong there";
    }
}

int doc_read_json(struct doc *d, struct bytes json, struct error *err)
{
    struct error own = {0};
    json_error_t je;
    if (json.len > d->max_bytes) {
        return error_set(err, -E2BIG, NULL, "longer than %zu bytes", d->max_bytes);
    }
    int r = measure(d, json, err);
    if (r < 0) {
        return r;
    }
    json_t *v = json_loadb((const char *)json.data, json.len,
                           JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
    if (!v) {
        enum json_error_code code = json_error_code(&je);
        if (code == json_error_out_of_memory) {
            return error_set(err, -ENOMEM, NULL, "out of memory");
        }
        return error_set(err, -EBADMSG, NULL, "not JSON: %s, at line %d, column %d", reason(code),
                         je.line, je.column);
    }
    d->root = from_json(d, v, &own);
    json_decref(v);
    return d->root ? 0 : error_set(err, own.code, NULL, "%s", own.text);
}
