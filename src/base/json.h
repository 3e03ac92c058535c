/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Writing JSON: an append writer over `struct out` that puts the commas and the escapes. It holds no memory of its own and
 * does not check nesting: the caller writes what it means. Text that is not UTF-8 gets U+FFFD for each bad byte, so that
 * the document stays valid whatever a peer sent. Reading JSON is base/model.h. Names keep clear of jansson.h. Any thread.
 *
 *     struct json j = json_init(&o);
 *     json_object_begin(&j);
 *     json_put_str(&j, "name", name);
 *     json_key(&j, "tracks");
 *     json_array_begin(&j);
 *     ...
 *     json_array_end(&j);
 *     json_object_end(&j);
 */
#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct json {
    struct out *o;
    bool comma; /* private: a value stands before the next one */
};

static inline struct json json_init(struct out *o)
{
    return (struct json){o, false};
}

void json_object_begin(struct json *j);
void json_object_end(struct json *j);
void json_array_begin(struct json *j);
void json_array_end(struct json *j);
void json_key(struct json *j, const char *key);

void json_str(struct json *j, const char *s); /* NULL writes null */
void json_bytes(struct json *j, struct bytes text);
void json_printf(struct json *j, const char *fmt, ...)
    __attribute__((format(printf, 2, 3))); /* a string */
void json_int(struct json *j, int64_t v);
void json_uint(struct json *j, uint64_t v);
void json_double(struct json *j,
                 double v); /* the shortest text that reads back the same; null when not finite */
void json_bool(struct json *j, bool v);
void json_none(struct json *j);
void json_raw(struct json *j,
              const char *text); /* text is one JSON value already; NULL writes null */

/* A key and its value. */
void json_put_str(struct json *j, const char *key, const char *s);
void json_put_int(struct json *j, const char *key, int64_t v);
void json_put_uint(struct json *j, const char *key, uint64_t v);
void json_put_double(struct json *j, const char *key, double v);
void json_put_bool(struct json *j, const char *key, bool v);
void json_put_raw(struct json *j, const char *key, const char *text);

/* The shortest decimal text that strtod() reads back as v, which is finite; buf holds 32 bytes. Returns its length. */
int json_format_double(double v, char *buf);
