/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The model binder (design 6): one static table per struct says how its data looks outside. From the table come JSON and
 * YAML in, JSON out, redaction, the JSON schema of OpenAPI, PATCH, environment overrides, documentation and `free`.
 * Nobody writes parsing code by hand. How to write a table: docs/internals/base.md. All calls work on the caller's
 * struct, keep nothing, and run on any thread.
 *
 *     struct cam {
 *         char *url;
 *         int fps;
 *         MODEL_ARRAY(char *) tags;
 *     };
 *     static const struct model_field cam_fields[] = {
 *         MODEL_STRING(struct cam, url, .required = true, .mask = MODEL_MASK_URL, .doc = "Where it is"),
 *         MODEL_INT(struct cam, fps, .def = "15", .min = 1, .max = 120),
 *         MODEL_LIST_STRING(struct cam, tags, .key = "labels", .max = 16),
 *     };
 *     const struct model cam_model = MODEL("Camera", struct cam, cam_fields);
 *
 * What a value is in C: text and raw JSON are `char *`, times and durations int64_t nanoseconds, sizes uint64_t bytes,
 * enums any int-sized type. Everything a pointer owns belongs to the struct and goes with model_done(). Absent is NULL,
 * an empty list, or for plain values a clear bit in the model's presence set. Members that the table does not name are
 * zero after a parse or a patch, and copied bytewise by model_copy().
 */
#include "base/bytes.h"
#include "base/error.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct model;
struct model_field;

enum model_type {
    MODEL_T_BOOL,
    MODEL_T_INT,      /* any integer member; 64 bits exact, up to 2^63 - 1 */
    MODEL_T_DOUBLE,   /* finite */
    MODEL_T_ENUM,     /* a name of the table `names` */
    MODEL_T_STRING,   /* UTF-8 without NUL */
    MODEL_T_DURATION, /* "1h30m", "10s", "250ms", or a number of seconds */
    MODEL_T_TIME,     /* RFC 3339; 0 = absent */
    MODEL_T_SIZE,     /* bytes: "16MiB", "1GB", or a number */
    MODEL_T_ID,       /* struct model_id: a number or a string, and which of them stays known */
    MODEL_T_RAW,      /* any JSON value, kept as its text */
    MODEL_T_STRUCT,   /* an embedded struct; absent = its defaults */
    MODEL_T_OPT,      /* a pointer to a struct; absent = NULL */
    MODEL_T_LIST,     /* MODEL_ARRAY(type) */
    MODEL_T_MAP,      /* MODEL_DICT(type) */
    MODEL_T_N,
};

/* Lists and maps in a struct: `MODEL_ARRAY(struct output) outputs;` then `t->outputs.items[i].fps`. */
#define MODEL_ARRAY(type)                                                                          \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t len;                                                                                \
    }
#define MODEL_DICT(type)                                                                           \
    struct {                                                                                       \
        struct {                                                                                   \
            char *key;                                                                             \
            type value;                                                                            \
        } * items; /* in the order of the document */                                              \
        size_t len;                                                                                \
    }

struct model_id {
    enum {
        MODEL_ID_NONE,
        MODEL_ID_INT,
        MODEL_ID_STR,
    } kind;
    int64_t num;
    char *str;
};

/* A deep copy; ret is overwritten. Free with model_id_done(), which leaves none. */
void model_id_copy(struct model_id *ret, const struct model_id *id);
void model_id_done(struct model_id *id);
/* 7 and "7" differ; none equals none. */
bool model_id_equal(const struct model_id *a, const struct model_id *b);
/* For people: the number, or its own text, "" for none; buf holds MODEL_ID_TEXT_MAX. */
#define MODEL_ID_TEXT_MAX 24
const char *model_id_text(const struct model_id *id, char *buf);

/* Names of an enum, ended by a NULL name. The first name of a value is written, further ones are read as well. */
struct model_enum {
    const char *name;
    int value;
};

/* Design 7. Any class but PUBLIC is redacted on output, marked writeOnly in the schema and never named in an error. */
enum model_secret {
    MODEL_PUBLIC,
    MODEL_SECRET_HASHED,    /* only compared */
    MODEL_SECRET_SEALED,    /* presented to others: encrypted in the store */
    MODEL_SECRET_REFERENCE, /* env:, file: or credential: names where it is */
};

/* What redaction leaves of a text. A public field may have a mask too (URLs with a password in them). */
enum model_mask {
    MODEL_MASK_DEFAULT, /* secrets become "***", public text stays */
    MODEL_MASK_URL,     /* userinfo and the values of key-like query parameters become "***" */
    MODEL_MASK_URL_KEY, /* the same, the whole query, and the last path segment: RTMP targets end in the stream key */
};

/*
 * One field. Written with the macros below, then any of these as designated initialisers. Bounds: both 0 = those of the
 * type (4096 bytes of text, 64 KiB of raw JSON, 1024 elements); max < min = no upper bound for numbers. They mean the value of integers, nanoseconds of durations, bytes of text, elements
 * of lists and maps.
 */
struct model_field {
    const char *name;    /* the member's name, and the key outside unless `key` says otherwise */
    const char *key;     /* the key outside */
    const char *aliases; /* further keys that are read, separated by commas */
    /* The default as text, as an environment variable would give it. NULL = absent, or zero. */
    const char *def;
    int64_t min, max;
    double fmin, fmax; /* bounds of doubles */

    bool required : 1;   /* must be there */
    bool nullable : 1;   /* null is read as no value; no value is written as null, not left out */
    bool read_only : 1;  /* ours to set: skipped in what clients send */
    bool restart : 1;    /* a change takes effect only after a restart (config) */
    bool hidden : 1;     /* left out of the schema: what only old clients still send */
    bool trim : 1;       /* strings and their lists: white space at both ends goes */
    bool empty_null : 1; /* strings: empty is absent */
    bool lower : 1;      /* strings: ASCII letters become small */
    bool lenient : 1;    /* enums: unknown names become the default */
    bool comma : 1;      /* lists: one string separated by commas or newlines is read too */
    bool unique : 1;     /* lists of strings: later doubles (ASCII case ignored) vanish */

    enum model_secret secret;
    enum model_mask mask;
    /* Runs after the bounds; what it sets in err->text is told with the field's path. */
    int (*check)(const void *member, struct error *err);

    const char *doc;     /* whole sentences, for the schema and the example configuration */
    const char *format;  /* schema only: "uri", "uuid", ... */
    const char *example; /* schema and documentation */

    /* Set by the macros. */
    enum model_type type;
    bool is_signed;
    size_t size;         /* of the member; of lists and maps: of one element */
    size_t offset;       /* in the struct */
    size_t value_offset; /* maps: of the value in an element */
    const struct model_enum *names;
    const struct model *model;      /* STRUCT and OPT */
    const struct model_field *item; /* LIST and MAP */
};

enum model_unknown {
    MODEL_REJECT, /* what people write: configuration, requests */
    MODEL_IGNORE, /* what peers answer */
    MODEL_KEEP,   /* stored documents that others extend: kept in the member named by MODEL_EXTRA */
};

/* Which plain members have a value (a default is one), one bit a field; `struct model_present present;` in the struct, MODEL_PRESENT in the model. */
#define MODEL_FIELDS_MAX 128
struct model_present {
    uint64_t bits[MODEL_FIELDS_MAX / 64];
};

/* One form of a tagged union: when the tag has this value, the fields of model stand beside the common ones. */
struct model_variant {
    int value;
    const struct model *model; /* its struct is embedded at offset; NULL = no further fields */
    size_t offset;
};

struct model {
    const char *name; /* of the schema component: "Transmission" */
    const char *doc;
    size_t size;
    const struct model_field *fields;
    size_t n_fields;
    enum model_unknown unknown;
    size_t extra_at;   /* MODEL_EXTRA(): offset + 1 of a `char *`; needed for MODEL_KEEP */
    size_t present_at; /* MODEL_PRESENT(): offset + 1 of a struct model_present */
    /* Tagged unions: the key of the ENUM field that chooses, and the forms, ended by an entry with value -1. */
    const char *tag;
    const struct model_variant *variants;
    /* Across fields, after all of them are valid; may also normalise obj. err->where: the field at fault. */
    int (*check)(void *obj, struct error *err);
};

/* Compile-time check that a member has the C type the macro binds; its value is 0. */
#define MODEL_SAME(a, b)      (sizeof(char[__builtin_types_compatible_p(a, b) ? 1 : -1]) - 1)
#define MODEL_HOLDS(cond)     (sizeof(char[(cond) ? 1 : -1]) - 1)
#define MODEL_TYPEOF(T, m)    __typeof__(((T *)0)->m)
#define MODEL_AT(T, m, ctype) (offsetof(T, m) + MODEL_SAME(MODEL_TYPEOF(T, m), ctype))
#define MODEL_SIGNED(ctype)   ((ctype)-1 < (ctype)1)
#define MODEL_PLAIN(T, m, ctype, mtype)                                                            \
    .name = #m, .type = (mtype), .size = sizeof(ctype), .offset = MODEL_AT(T, m, ctype)

#define MODEL_BOOL(T, m, ...)                                                                      \
    {                                                                                              \
        MODEL_PLAIN(T, m, bool, MODEL_T_BOOL), __VA_ARGS__                                         \
    }
#define MODEL_DOUBLE(T, m, ...)                                                                    \
    {                                                                                              \
        MODEL_PLAIN(T, m, double, MODEL_T_DOUBLE), __VA_ARGS__                                     \
    }
#define MODEL_STRING(T, m, ...)                                                                    \
    {                                                                                              \
        MODEL_PLAIN(T, m, char *, MODEL_T_STRING), __VA_ARGS__                                     \
    }
#define MODEL_DURATION(T, m, ...)                                                                  \
    {                                                                                              \
        MODEL_PLAIN(T, m, int64_t, MODEL_T_DURATION), __VA_ARGS__                                  \
    }
#define MODEL_TIME(T, m, ...)                                                                      \
    {                                                                                              \
        MODEL_PLAIN(T, m, int64_t, MODEL_T_TIME), __VA_ARGS__                                      \
    }
#define MODEL_SIZE(T, m, ...)                                                                      \
    {                                                                                              \
        MODEL_PLAIN(T, m, uint64_t, MODEL_T_SIZE), __VA_ARGS__                                     \
    }
#define MODEL_ID(T, m, ...)                                                                        \
    {                                                                                              \
        MODEL_PLAIN(T, m, struct model_id, MODEL_T_ID), __VA_ARGS__                                \
    }
#define MODEL_RAW(T, m, ...)                                                                       \
    {                                                                                              \
        MODEL_PLAIN(T, m, char *, MODEL_T_RAW), __VA_ARGS__                                        \
    }
#define MODEL_INT(T, m, ...)                                                                       \
    {                                                                                              \
        .name = #m, .type = MODEL_T_INT, .size = sizeof(MODEL_TYPEOF(T, m)),                       \
        .is_signed = MODEL_SIGNED(MODEL_TYPEOF(T, m)),                                             \
        .offset = offsetof(T, m) +                                                                 \
                  MODEL_HOLDS(!__builtin_types_compatible_p(MODEL_TYPEOF(T, m), bool) &&           \
                              (MODEL_TYPEOF(T, m))1.5 == (MODEL_TYPEOF(T, m))1),                   \
        __VA_ARGS__                                                                                \
    }
#define MODEL_ENUM(T, m, table, ...)                                                               \
    {                                                                                              \
        .name = #m, .type = MODEL_T_ENUM, .size = sizeof(int), .names = (table),                   \
        .offset = offsetof(T, m) + MODEL_HOLDS(sizeof(((T *)0)->m) == sizeof(int)), __VA_ARGS__    \
    }
#define MODEL_STRUCT(T, m, sub, ...)                                                               \
    {                                                                                              \
        .name = #m, .type = MODEL_T_STRUCT, .size = sizeof(((T *)0)->m), .model = (sub),           \
        .offset = offsetof(T, m), __VA_ARGS__                                                      \
    }
#define MODEL_OPT(T, m, sub, ...)                                                                  \
    {                                                                                              \
        .name = #m, .type = MODEL_T_OPT, .size = sizeof(*((T *)0)->m), .model = (sub),             \
        .offset = offsetof(T, m), __VA_ARGS__                                                      \
    }

/* Lists and maps: the element as an item, bounds and flags of the whole after it. */
#define MODEL_LIST(T, m, element, ...)                                                             \
    {                                                                                              \
        .name = #m, .type = MODEL_T_LIST, .size = sizeof(*((T *)0)->m.items),                      \
        .offset = offsetof(T, m) + MODEL_SAME(MODEL_TYPEOF(T, m.len), size_t), .item = (element),  \
        __VA_ARGS__                                                                                \
    }
#define MODEL_MAP(T, m, element, ...)                                                              \
    {                                                                                              \
        .name = #m, .type = MODEL_T_MAP, .size = sizeof(*((T *)0)->m.items),                       \
        .offset = offsetof(T, m) + MODEL_SAME(MODEL_TYPEOF(T, m.items->key), char *),              \
        .value_offset = offsetof(MODEL_TYPEOF(T, m.items[0]), value), .item = (element),           \
        __VA_ARGS__                                                                                \
    }

/* Items: MODEL_LIST(struct t, ports, MODEL_ITEM_INT(uint16_t, .min = 1), .max = 8). */
#define MODEL_ITEM(ctype, mtype, ...)                                                              \
    (&(const struct model_field){.type = (mtype), .size = sizeof(ctype), __VA_ARGS__})
#define MODEL_ITEM_STRING(...) MODEL_ITEM(char *, MODEL_T_STRING, __VA_ARGS__)
#define MODEL_ITEM_RAW(...)    MODEL_ITEM(char *, MODEL_T_RAW, __VA_ARGS__)
#define MODEL_ITEM_INT(ctype, ...)                                                                 \
    MODEL_ITEM(ctype, MODEL_T_INT, .is_signed = MODEL_SIGNED(ctype), __VA_ARGS__)
#define MODEL_ITEM_ENUM(table, ...)   MODEL_ITEM(int, MODEL_T_ENUM, .names = (table), __VA_ARGS__)
#define MODEL_ITEM_STRUCT(ctype, sub) MODEL_ITEM(ctype, MODEL_T_STRUCT, .model = (sub))

/* The two that are most used, with the element's C type checked. */
#define MODEL_LIST_STRING(T, m, ...)                                                               \
    MODEL_LIST(T, m,                                                                               \
               MODEL_ITEM_STRING(.value_offset = MODEL_SAME(MODEL_TYPEOF(T, m.items[0]), char *)), \
               __VA_ARGS__)
#define MODEL_LIST_STRUCT(T, m, sub, ...)                                                          \
    MODEL_LIST(T, m, MODEL_ITEM_STRUCT(MODEL_TYPEOF(T, m.items[0]), sub), __VA_ARGS__)

#define MODEL(component, T, table, ...)                                                            \
    {                                                                                              \
        .name = (component), .size = sizeof(T), .fields = (table),                                 \
        .n_fields = sizeof(table) / sizeof((table)[0]), __VA_ARGS__                                \
    }
#define MODEL_EXTRA(T, m)   (MODEL_AT(T, m, char *) + 1)
#define MODEL_PRESENT(T, m) (MODEL_AT(T, m, struct model_present) + 1)
#define MODEL_VARIANT(tag_value, T, m, sub)                                                        \
    {                                                                                              \
        .value = (tag_value), .model = (sub), .offset = offsetof(T, m)                             \
    }
#define MODEL_VARIANTS_END                                                                         \
    {                                                                                              \
        .value = -1                                                                                \
    }

/* ---- life ---- */

/* Defaults into obj, whatever was in it before; required fields stay absent. */
void model_init(const struct model *m, void *obj);
/* Releases all that obj owns and zeroes it. obj may be zeroed memory. */
void model_done(const struct model *m, void *obj);
/* A deep copy; ret is overwritten. Never fails but for memory (aborts). */
void model_copy(const struct model *m, void *ret, const void *obj);
bool model_equal(const struct model *m, const void *a, const void *b);

/* Presence of the field whose member has this offset: MODEL_HAS(&output_model, out, fps_limit). */
bool model_has(const struct model *m, const void *obj, size_t offset);
void model_mark(const struct model *m, void *obj, size_t offset, bool present);
#define MODEL_HAS(m, obj, member) model_has((m), (obj), offsetof(__typeof__(*(obj)), member))
/* Sets a plain member and marks it present. */
#define MODEL_SET(m, obj, member, value)                                                           \
    do {                                                                                           \
        (obj)->member = (value);                                                                   \
        model_mark((m), (obj), offsetof(__typeof__(*(obj)), member), true);                        \
    } while (0)

/* The name that is written for an enum value; NULL when the table lacks it. */
const char *model_enum_name(const struct model_enum *names, int value);
int model_enum_value(const struct model_enum *names, const char *name,
                     int *ret_value); /* -ENOENT */

/* ---- in ---- */

/* 0 = the default. Everything is bounded before memory is taken for it. */
struct model_parse_opts {
    const char *file;    /* names the document in YAML errors: file:line:column */
    size_t max_bytes;    /* 1 MiB */
    unsigned max_depth;  /* 32 */
    unsigned max_values; /* 65536 values and keys in the whole document */
    bool client;         /* from an API client: read-only fields are skipped */
    bool
        null_absent; /* null counts as absent everywhere, as it does in YAML: what Python's None becomes */
    /* Stored documents: turns the sealed text of a SEALED field into clear text (malloc'd). NULL = as it stands. */
    int (*unseal)(void *user, const struct model_field *f, const char *sealed, char **ret_clear,
                  struct error *err);
    void *user;
};

#define MODEL_STRING_MAX_DEFAULT 4096
#define MODEL_LIST_MAX_DEFAULT   1024

/*
 * Parses one document and fills obj (overwritten). On failure obj is all zero and err says where: the path of the field,
 * `outputs[2].fps_limit`; for YAML `file:line:column`, and the path begins the text. opts may be NULL.
 * -EBADMSG: not JSON or YAML at all, or what we refuse of it (double keys, NUL in text, aliases, tags, merge keys);
 * -EINVAL: a field is wrong, missing or unknown; -E2BIG: over a bound of the document; -ENOMEM.
 */
int model_parse_json(const struct model *m, void *obj, struct bytes json,
                     const struct model_parse_opts *opts, struct error *err);
int model_parse_yaml(const struct model *m, void *obj, struct bytes yaml,
                     const struct model_parse_opts *opts, struct error *err);

/*
 * Changes one field from text, as environment variables and command lines give it. path is "rtmp.address"; lists, maps and
 * sections are set as a whole, lists with commas or as JSON, the others as JSON. obj is unchanged on failure. -ENOENT: no
 * such field.
 */
int model_set_text(const struct model *m, void *obj, const char *path, const char *text,
                   struct error *err);
/*
 * Every PREFIX_SECTION_KEY of env (NAME=value, ended by NULL; as environ) whose name belongs to a field; those of a union's
 * forms do not count. Returns how many were set, or the first error with the variable's name in where, obj unchanged.
 */
int model_set_env(const struct model *m, void *obj, const char *prefix, char *const *env,
                  struct error *err);
/* Whether model_set_env() would take a variable of this name: for warning about misspelt ones. */
bool model_env_known(const struct model *m, const char *prefix, const char *name);

enum model_patch {
    MODEL_PATCH_MERGE, /* RFC 7396: null clears, objects merge, all else replaces */
    MODEL_PATCH_SEED, /* seed 002: null is ignored, objects merge, lists replace, unknown fields are errors */
};

/* Applies a JSON patch to a copy of obj, validates the whole, swaps it in. On failure obj is unchanged. */
int model_patch_json(const struct model *m, void *obj, struct bytes patch, enum model_patch policy,
                     const struct model_parse_opts *opts, struct error *err);

/* ---- out ---- */

enum model_secrets {
    MODEL_SECRETS_REDACTED, /* what leaves the process: API, logs, events */
    MODEL_SECRETS_CLEAR,    /* to ourselves, or to the peer that must know */
    MODEL_SECRETS_SEALED,   /* to the store: SEALED fields through the hook, all else in clear */
};

struct model_write_opts {
    enum model_secrets secrets;
    bool omit_defaults; /* leave out what equals its default */
    int (*seal)(void *user, const struct model_field *f, const char *clear, char **ret_sealed);
    void *user;
};

/* Writes obj as one JSON value. opts NULL = redacted. Fails only with what the seal hook answers. */
int model_write(const struct model *m, const void *obj, const struct model_write_opts *opts,
                struct json *j);
/* The same as a NUL-terminated text that the caller frees; never NULL (no hook, no failure). */
char *model_to_json(const struct model *m, const void *obj, enum model_secrets secrets);

/* ---- about the table ---- */

/*
 * The JSON schema (2020-12, as OpenAPI 3.1 embeds it) of a model as one JSON value. Other models are referred to as
 * {"$ref": ref_prefix + name}, so list them all with model_collect() and write each once.
 */
void model_schema(const struct model *m, const char *ref_prefix, struct json *j);
/* Appends m and every model reachable from it that is not in set yet. Returns the new count; -E2BIG past max. */
int model_collect(const struct model *m, const struct model **set, size_t n, size_t max);
/* A document on its own, with $schema and $defs. */
void model_schema_document(const struct model *m, struct json *j);

/* What people are told of a field: "duration", "list of text", "one of `a`, `b`"; "1s to 1h", "at most 64", or nothing. */
void model_about_type(const struct model_field *f, struct out *o);
void model_about_range(const struct model_field *f, struct out *o);

/* A field as a visitor sees it; lists and maps of structs go on below with "name[]" and "name.*". */
struct model_visit {
    const char *path;          /* "rtmp.address" */
    const struct model *model; /* the field's owner */
    const struct model_field *field;
    unsigned depth; /* 0 = top level */
    bool restart;   /* of the field or of one above it */
};

/* Visits every field depth first, in table order, variants after the common fields. A non-zero return ends the walk. */
int model_walk(const struct model *m, int (*visit)(const struct model_visit *v, void *user),
               void *user);
/* Visits every leaf or list that differs between a and b (config reload). A non-zero return ends the walk. */
int model_diff(const struct model *m, const void *a, const void *b,
               int (*visit)(const struct model_visit *v, void *user), void *user);
/* Whether the table itself is sound: defaults valid, keys unique, presence where needed. For the unit test of each model. */
int model_check(const struct model *m, struct error *err);

static inline const char *model_key(const struct model_field *f)
{
    return f->key ? f->key : f->name;
}
