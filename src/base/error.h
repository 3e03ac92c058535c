/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The human half of an error. Functions return 0 or a positive value on success and a negative errno on failure; those
 * that can say more take an optional `struct error *` last, which they fill only on failure. No allocation, any thread.
 */
#include <stdarg.h>

#define ERROR_TEXT_MAX 240

struct error {
    int code; /* negative errno; 0 = nothing set */
    char
        where[120]; /* what it is about: a field path, file:line:column, an address; may be empty */
    char text[ERROR_TEXT_MAX]; /* one sentence without a full stop */
};

/*
 * Fills err (which may be NULL) and returns code, so that `return error_set(...)` is one statement. Long texts are cut.
 * A macro, so that compilers and analysers see that what comes back is what went in.
 */
#define error_set(err, code, ...)                                                                  \
    ({                                                                                             \
        const int _code = (code);                                                                  \
        error_fill(err, _code, __VA_ARGS__);                                                       \
        _code;                                                                                     \
    })
void error_fill(struct error *err, int code, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts "prefix." or "prefix" in front of err->where, as callers nest; err may be NULL. */
void error_prefix(struct error *err, const char *prefix);

/* A short text for a negative errno that needs no buffer; thread-safe, unlike strerror(). */
const char *error_name(int code);
