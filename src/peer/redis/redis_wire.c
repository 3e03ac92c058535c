/* SPDX-License-Identifier: Apache-2.0 */
/* See redis_wire.h; https://redis.io/docs/reference/protocol-spec/ */
#include "peer/redis/redis_wire.h"

#include "base/mem.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>

/* hiredis 1.x counts the elements of an array in another type. */
#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

struct redis_reader {
    redisReader *hiredis;
    unsigned elements; /* that the arrays of the reply being read have announced */
    int refused;       /* why a reply could not be taken */
};

static const struct redis_reply nothing = {.type = REDIS_NIL, .text = (char *)""};

/* ---- the tree, as hiredis calls for it ---- */

void redis_reply_free(struct redis_reply *reply)
{
    if (!reply) {
        return;
    }
    for (unsigned i = 0; i < reply->n; i++) {
        redis_reply_free(reply->items[i]); /* at most REDIS_DEPTH deep */
    }
    free(reply->items);
    if (reply->text != nothing.text) {
        free(reply->text);
    }
    free(reply);
}

static struct redis_reply *refuse(struct redis_reader *r, int why)
{
    r->refused = why;
    return NULL;
}

/* A new one in its place of the tree. NULL: no memory; hiredis ends then. */
static struct redis_reply *add(const redisReadTask *task, enum redis_type type)
{
    struct redis_reply *reply = mem_try_zalloc(sizeof(*reply));
    if (!reply) {
        return refuse(task->privdata, -ENOMEM);
    }
    reply->type = type;
    reply->text = nothing.text;
    return reply;
}

static void *place(const redisReadTask *task, struct redis_reply *reply)
{
    if (reply && task->parent) {
        struct redis_reply *parent = task->parent->obj;
        parent->items[task->idx] = reply;
    }
    return reply;
}

static void *make_string(const redisReadTask *task, char *text, size_t len)
{
    enum redis_type type = task->type == REDIS_REPLY_ERROR    ? REDIS_FAILED
                           : task->type == REDIS_REPLY_STATUS ? REDIS_STATUS
                                                              : REDIS_STRING;
    struct redis_reply *reply = add(task, type);
    if (!reply) {
        return NULL;
    }
    char *copy = mem_try_alloc(len + 1);
    if (!copy) {
        free(reply);
        return refuse(task->privdata, -ENOMEM);
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    reply->text = copy;
    reply->len = len;
    return place(task, reply);
}

/* The count is the far side's word: it is held against what is left before there is any memory for it. */
static void *make_array(const redisReadTask *task, element_count n)
{
    struct redis_reader *r = task->privdata;
    if ((size_t)n > REDIS_ELEMENTS_MAX - r->elements) {
        return refuse(r, -ENOBUFS);
    }
    struct redis_reply *reply = add(task, REDIS_ARRAY);
    if (!reply) {
        return NULL;
    }
    if (n > 0) {
        reply->items = mem_try_zalloc((size_t)n * sizeof(struct redis_reply *));
        if (!reply->items) {
            free(reply);
            return refuse(r, -ENOMEM);
        }
        reply->n = (unsigned)n;
        r->elements += (unsigned)n;
    }
    return place(task, reply);
}

static void *make_integer(const redisReadTask *task, long long value)
{
    struct redis_reply *reply = add(task, REDIS_INTEGER);
    if (reply) {
        reply->integer = value;
    }
    return place(task, reply);
}

static void *make_nil(const redisReadTask *task)
{
    return place(task, add(task, REDIS_NIL));
}

static void free_object(void *reply)
{
    redis_reply_free(reply);
}

#if HIREDIS_MAJOR >= 1
/* RESP3 is not asked for. */
static void *make_double(const redisReadTask *task, double value, char *text, size_t len)
{
    return refuse(task->privdata, -EPROTO);
}

static void *make_bool(const redisReadTask *task, int value)
{
    return refuse(task->privdata, -EPROTO);
}
#endif

static redisReplyObjectFunctions functions = {
    .createString = make_string,
    .createArray = make_array,
    .createInteger = make_integer,
    .createNil = make_nil,
    .freeObject = free_object,
#if HIREDIS_MAJOR >= 1
    .createDouble = make_double,
    .createBool = make_bool,
#endif
};

/* ---- reading ---- */

struct redis_reader *redis_reader_new(void)
{
    struct redis_reader *r = mem_new(struct redis_reader);
    r->hiredis = redisReaderCreateWithFunctions(&functions);
    if (!r->hiredis) {
        abort(); /* as mem_alloc() would */
    }
    r->hiredis->privdata = r;
    return r;
}

struct redis_reader *redis_reader_free(struct redis_reader *r)
{
    if (r) {
        redisReaderFree(r->hiredis);
        free(r);
    }
    return NULL;
}

static int say(struct redis_reader *r, struct error *err)
{
    if (r->refused == -ENOBUFS) {
        return error_set(err, -ENOBUFS, "", "a reply has more than %d elements",
                         REDIS_ELEMENTS_MAX);
    }
    if (r->refused == -ENOMEM || r->hiredis->err == REDIS_ERR_OOM) {
        return error_set(err, -ENOMEM, "", "there is no memory for a reply");
    }
    return error_set(err, -EPROTO, "", "what came is no reply of Redis");
}

int redis_reader_feed(struct redis_reader *r, struct bytes more, struct error *err)
{
    /* hiredis keeps what it has read until the buffer is long enough to be worth moving. */
    if (r->hiredis->len - r->hiredis->pos + more.len > REDIS_REPLY_MAX) {
        return error_set(err, -ENOBUFS, "", "a reply has more than %zu bytes", REDIS_REPLY_MAX);
    }
    if (redisReaderFeed(r->hiredis, (const char *)more.data, more.len) != REDIS_OK) {
        return say(r, err);
    }
    return 0;
}

int redis_reader_next(struct redis_reader *r, struct redis_reply **ret, struct error *err)
{
    void *reply = NULL;
    *ret = NULL;
    if (redisReaderGetReply(r->hiredis, &reply) != REDIS_OK) {
        return say(r, err);
    }
    if (reply) {
        r->elements = 0;
        *ret = reply;
    }
    return 0;
}

const struct redis_reply *redis_item(const struct redis_reply *reply, unsigned i)
{
    return i < reply->n && reply->items[i] ? reply->items[i] : &nothing;
}

int64_t redis_int(const struct redis_reply *reply, int64_t fallback)
{
    if (reply->type == REDIS_INTEGER) {
        return reply->integer;
    }
    char *end;
    errno = 0;
    long long v = strtoll(reply->text, &end, 10);
    return reply->len > 0 && !*end && errno == 0 ? v : fallback;
}

const struct redis_reply *redis_named(const struct redis_reply *reply, const char *name)
{
    for (unsigned i = 0; i + 1 < reply->n; i += 2) {
        if (strcmp(redis_item(reply, i)->text, name) == 0) {
            return redis_item(reply, i + 1);
        }
    }
    return &nothing;
}

/* ---- writing ---- */

void redis_put_head(struct out *o, unsigned n)
{
    out_printf(o, "*%u\r\n", n);
}

void redis_put_arg(struct out *o, struct bytes arg)
{
    out_printf(o, "$%zu\r\n", arg.len);
    out_bytes(o, arg);
    out_mem(o, "\r\n", 2);
}
