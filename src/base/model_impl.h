/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Private to the model_*.c files: the document tree that JSON, YAML and plain text become before a table gives them
 * types, and the steps that the files share. A tree lives in its document's arena and dies with it; texts in it are views
 * into the arena, NUL-terminated, without NUL inside.
 */
#include "base/model.h"

#define MODEL_BYTES_DEFAULT  (1u << 20)
#define MODEL_DEPTH_DEFAULT  32u
#define MODEL_DEPTH_MAX      200u /* the recursion of the readers fits any thread's stack */
#define MODEL_VALUES_DEFAULT 65536u
#define MODEL_RAW_MAX        (64 << 10)
#define MODEL_KEY_MAX        256

enum node_kind {
    NODE_NULL,
    NODE_BOOL,
    NODE_INT,
    NODE_REAL,
    NODE_TEXT,   /* a string for certain: JSON, or quoted in YAML */
    NODE_SCALAR, /* a plain YAML scalar or a variable's text: the table says what it is */
    NODE_LIST,
    NODE_MAP,
};

struct node {
    enum node_kind kind;
    unsigned line; /* 1 = the first; 0 = unknown */
    unsigned column;
    const char *key;   /* in a map */
    struct node *next; /* in a list or map */
    size_t len;        /* bytes of text, children of lists and maps */
    union {
        bool boolean;
        int64_t integer;
        double real;
        const char *text;
        struct {
            struct node *first;
            struct node *last;
        };
    };
};

struct doc {
    struct doc_block *blocks; /* private */
    struct node *root;
    const char *file;
    unsigned values; /* counted by doc_node() */
    unsigned max_values;
    unsigned max_depth;
    size_t max_bytes;
    bool positions; /* errors are told as file:line:column, and null means absent (YAML) */
};

void doc_init(struct doc *d, const struct model_parse_opts *opts);
void doc_done(struct doc *d);
void *doc_alloc(struct doc *d, size_t n);                        /* NULL when memory runs out */
const char *doc_text(struct doc *d, const char *text, size_t n); /* a copy; NULL likewise */
/* A new node; NULL with err filled when there are too many or memory runs out (err->code tells). */
struct node *doc_node(struct doc *d, enum node_kind kind, struct error *err);
void node_append(struct node *parent, struct node *child);
struct node *node_get(const struct node *map, const char *key);
/* Unlinks the member with that key, if any. */
void node_remove(struct node *map, const char *key);
bool node_is_null(const struct node *n);
void node_write(const struct node *n, struct json *j);

int doc_read_json(struct doc *d, struct bytes json, struct error *err);
int doc_read_yaml(struct doc *d, struct bytes yaml, struct error *err);

/* Where the binder is, as a chain on the stack; turned into text only for an error. */
struct path {
    const struct path *up;
    const char *name; /* NULL = an index */
    size_t index;
};
/* "a.b[2].c" into buf, cut to size. Returns buf. */
char *path_str(const struct path *p, char *buf, size_t size);

struct binder {
    const struct model_parse_opts *opts; /* not NULL */
    struct doc *doc;                     /* for splitting comma lists, and for positions */
    struct error *err;
};

/* Binds node to a member that holds a valid value (its default), which is released. */
int bind_value(struct binder *b, const struct model_field *f, void *member, const struct node *n,
               const struct path *path);
/* Binds a whole struct that model_try_init() has filled. */
int bind_struct(struct binder *b, const struct model *m, void *obj, const struct node *n,
                const struct path *path);
/* Binds a document's root to obj, which is overwritten; obj is zeroed on failure. */
int bind_document(struct doc *d, const struct model *m, void *obj,
                  const struct model_parse_opts *opts, struct error *err);
/* The member becomes what text says, as a default or an environment variable does. */
int bind_text(const struct model_field *f, void *member, const char *text, struct error *err);
/* Runs the check functions of m and of everything below it. */
int model_recheck(const struct model *m, void *obj, struct error *err);

/* model_init() that survives the end of memory: obj can be given to model_done() in any case. */
int model_try_init(const struct model *m, void *obj);
void value_done(const struct model_field *f, void *member);
void value_copy(const struct model_field *f, void *ret, const void *member);
bool value_equal(const struct model_field *f, const void *a, const void *b);
int value_write(const struct model_field *f, const void *member,
                const struct model_write_opts *opts, struct json *j);

/* The member's address in obj; and a list's or map's element. */
static inline void *member_of(const void *obj, const struct model_field *f)
{
    return (char *)obj + f->offset;
}

/* All MODEL_ARRAY and MODEL_DICT structs look like this one. */
struct any_list {
    char *items;
    size_t len;
};

static inline void *list_item(const struct any_list *l, const struct model_field *f, size_t i)
{
    return l->items + i * f->size;
}

/* How much memory a member takes; lists and maps say the size of their elements in `size`. */
static inline size_t member_size(const struct model_field *f)
{
    switch (f->type) {
    case MODEL_T_LIST:
    case MODEL_T_MAP:
        return sizeof(struct any_list);
    case MODEL_T_OPT:
        return sizeof(void *);
    default:
        return f->size;
    }
}

const struct model_field *model_find(const struct model *m, const char *key);
/* The form of a union that obj has now; NULL when there is none, or without fields of its own. */
const struct model_variant *model_variant_of(const struct model *m, const void *obj);
const struct model_variant *model_variant_for(const struct model *m, int value);
/* Whether the member counts as absent: is written as null or left out. */
bool member_absent(const struct model *m, const struct model_field *f, const void *obj);
static inline bool type_is_plain(enum model_type t)
{
    return t == MODEL_T_BOOL || t == MODEL_T_INT || t == MODEL_T_DOUBLE || t == MODEL_T_ENUM ||
           t == MODEL_T_DURATION || t == MODEL_T_SIZE;
}

/* Integers of any width. */
int64_t int_load(const struct model_field *f, const void *member);
void int_store(const struct model_field *f, void *member, int64_t v);
/* The bounds of an integer field, those of its C type included. */
void int_bounds(const struct model_field *f, int64_t *ret_min, int64_t *ret_max);
/* The upper bound of a text, list or map. */
size_t len_bound(const struct model_field *f);

/* Scalars from text (whole, without white space around). -EINVAL when it is none, -ERANGE when it does not fit. */
int scalar_bool(const char *text, bool *ret);
int scalar_int(const char *text, int64_t *ret);
int scalar_double(const char *text, double *ret);
int scalar_duration(const char *text, int64_t *ret_ns);
int scalar_size(const char *text, int64_t *ret_bytes);
int scalar_time(const char *text, int64_t *ret_ns);
/* The inverse of scalar_duration(); buf holds 32 characters. */
char *duration_str(int64_t ns, char *buf);
