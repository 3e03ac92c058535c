/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * RESP2, what Redis speaks: replies read as they arrive, commands written. Sans-I/O; the reading is hiredis', the bounds and
 * the memory are ours. A reply is a tree of at most REDIS_DEPTH levels.
 */
#include "base/bytes.h"
#include "base/error.h"

#define REDIS_ELEMENTS_MAX 65536              /* in one reply, on all levels */
#define REDIS_REPLY_MAX    ((size_t)32 << 20) /* bytes of one reply as it arrives */
#define REDIS_DEPTH        7                  /* levels of arrays, hiredis' own */

enum redis_type {
    REDIS_NIL,
    REDIS_STATUS, /* text */
    REDIS_FAILED, /* text */
    REDIS_STRING, /* text */
    REDIS_INTEGER,
    REDIS_ARRAY,
};

struct redis_reply {
    enum redis_type type;
    unsigned n; /* of items */
    int64_t integer;
    struct redis_reply **items;
    size_t len;
    char *text; /* with a NUL, which is not counted; "" where there is none */
};

struct redis_reader;

struct redis_reader *redis_reader_new(void);
struct redis_reader *redis_reader_free(struct redis_reader *r); /* NULL is fine; returns NULL */
/* -EPROTO, -ENOBUFS (a reply beyond the bounds), -ENOMEM: of no further use then. */
int redis_reader_feed(struct redis_reader *r, struct bytes more, struct error *err);
/* The next whole reply, which the caller frees; NULL = not yet. Errors as above. */
int redis_reader_next(struct redis_reader *r, struct redis_reply **ret, struct error *err);
void redis_reply_free(struct redis_reply *reply);

/* Reading a reply without asking what it is: what is not there is empty, 0 or "". */
const struct redis_reply *redis_item(const struct redis_reply *reply, unsigned i);
/* Of an integer, and of a text that is one; otherwise fallback. */
int64_t redis_int(const struct redis_reply *reply, int64_t fallback);
/* The value after this name in an array of names and values, as XINFO has them. */
const struct redis_reply *redis_named(const struct redis_reply *reply, const char *name);

/* A command is its number of arguments, and then each. */
void redis_put_head(struct out *o, unsigned n);
void redis_put_arg(struct out *o, struct bytes arg);
