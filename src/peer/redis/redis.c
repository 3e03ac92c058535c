/* SPDX-License-Identifier: Apache-2.0 */
/* See redis.h. What is sent first on each connection is AUTH, SELECT and PING;
 * the answer to PING makes it UP. */
#include "peer/redis/redis.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/url.h"
#include "io/conn.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

LOG_TOPIC(topic, "redis");

#define TIMEOUT_MS     10000u
#define BACKOFF_MS     250u
#define BACKOFF_MAX_MS 10000u

struct redis {
    struct loop *loop;
    struct url url;
    char *name; /* host:port, for logs */
    char *database;
    struct tls_context *tls;
    unsigned timeout_ms;
    redis_state_fn on_state;
    void *user;
    enum redis_state state;
    bool tried;        /* the first connection was made, or failed */
    struct error down; /* why there is none */
    struct conn *conn;
    struct redis_reader *reader;
    struct list calls;   /* sent, in order; before `tried` also those that wait in held */
    struct list refused; /* answered at the end of this pass */
    struct loop_task answer_refused;
    unsigned n_calls;
    struct out held;             /* to be sent: with the end of this pass, or once there is a
                      connection */
    struct loop_task flush;      /* so that a pass is one buffer, however many commands it is */
    struct loop_timer *deadline; /* of the first of calls */
    struct loop_timer *again;
    unsigned backoff_ms;
    bool *gone; /* set when it is freed inside a callback */
};

struct redis_call {
    struct list node;
    struct redis *r;
    redis_fn fn;
    void *user;
    int64_t give_up_ns;
    int64_t time_ns; /* it may take */
    struct redis_script *script;
    unsigned n_tail;
    struct out tail; /* of a script, until it is known to be there: what follows
                      the hash */
    int refused;
    bool internal;
};

/* ---- what Redis says ---- */

static int error_of(const char *text)
{
    static const struct {
        const char *prefix;
        int r;
    } known[] = {
        {"NOAUTH", -EACCES},
        {"WRONGPASS", -EACCES},
        {"NOPERM", -EACCES},
        {"DENIED", -EACCES},
        {"LOADING", -EAGAIN},
        {"BUSY ", -EAGAIN},
        {"MASTERDOWN", -EAGAIN},
        {"READONLY", -EAGAIN},
        {"CLUSTERDOWN", -EAGAIN},
        {"TRYAGAIN", -EAGAIN},
        {"NOREPLICAS", -EAGAIN},
        {"MISCONF", -EAGAIN},
        {"WRONGTYPE", -EINVAL},
        {"OOM", -ENOSPC},
        {"ERR invalid password", -EACCES},
        {"ERR AUTH", -EACCES},
        {"ERR max number of clients", -EAGAIN},
    };
    for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strncmp(text, known[i].prefix, strlen(known[i].prefix)) == 0) {
            return known[i].r;
        }
    }
    /* Of a script: "ERR Error running script ... -NOPERM ..." (6), "NOPERM ...
   * script: ..." (7). */
    return strstr(text, "NOPERM") || strstr(text, "can't run this command") ? -EACCES
           : strstr(text, "WRONGTYPE")                                      ? -EINVAL
                                                                            : -EREMOTEIO;
}

static int error_from(const struct redis *r, const struct redis_reply *reply, struct error *err)
{
    char text[160];
    size_t n = MIN(reply->len, sizeof(text) - 1);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)reply->text[i];
        text[i] = (char)(c < 0x20 || c > 0x7e ? '?' : c);
    }
    text[n] = '\0';
    return error_set(err, error_of(reply->text), r->name, "Redis says: %s", text);
}

/* ---- calls ---- */

static void call_free(struct redis_call *c)
{
    list_remove(&c->node);
    out_done(&c->tail);
    free(c);
}

static void arm_deadline(struct redis *r)
{
    if (list_empty(&r->calls)) {
        loop_timer_stop(r->deadline);
        return;
    }
    const struct redis_call *c = LIST_ENTRY(r->calls.next, struct redis_call, node);
    int64_t left = MAX(c->give_up_ns - clock_mono_ns(), INT64_C(0));
    loop_timer_start(r->deadline, (uint64_t)(left / NS_PER_MS) + 1);
}

/* False: the client was freed in the callback. */
static bool answer(struct redis_call *c, int res, const struct redis_reply *reply,
                   const struct error *err)
{
    static const struct redis_reply none = {.type = REDIS_NIL, .text = (char *)""};
    struct redis *r = c->r;
    redis_fn fn = c->fn;
    void *user = c->user;
    bool gone = false;
    bool *outer = r->gone;
    r->n_calls -= !c->internal;
    call_free(c);
    if (!fn) {
        return true;
    }
    r->gone = &gone;
    fn(user, res, reply ? reply : &none, err);
    if (gone) {
        if (outer) {
            *outer = true;
        }
        return false;
    }
    r->gone = outer;
    return true;
}

static void on_refused(struct loop_task *t)
{
    struct redis *r = CONTAINER_OF(t, struct redis, answer_refused);
    unsigned n = 0;
    LIST_FOREACH (it, &r->refused) {
        n++; /* those that come meanwhile have another pass */
    }
    while (n-- > 0) {
        struct redis_call *c = LIST_ENTRY(r->refused.next, struct redis_call, node);
        struct error err = r->down;
        if (c->refused != err.code || !err.text[0]) {
            error_set(&err, c->refused, r->name, "too much is under way at this Redis");
        }
        if (!answer(c, c->refused, NULL, &err)) {
            return;
        }
    }
}

static void refuse(struct redis_call *c, int res)
{
    c->refused = res;
    list_remove(&c->node);
    list_append(&c->r->refused, &c->node);
    loop_defer(c->r->loop, LOOP_STAGE_NOTIFY, &c->r->answer_refused);
}

static void on_flush(struct loop_task *t)
{
    struct redis *r = CONTAINER_OF(t, struct redis, flush);
    if (r->state == REDIS_UP && r->held.len > 0) {
        conn_send_bytes(r->conn, out_view(&r->held));
        out_done(&r->held);
        r->held = (struct out){0};
        arm_deadline(r);
    }
}

static struct redis_call *call_new(struct redis *r, unsigned extra_ms, redis_fn fn, void *user)
{
    struct redis_call *c = mem_new(struct redis_call);
    c->r = r;
    c->fn = fn;
    c->user = user;
    c->time_ns = (int64_t)(r->timeout_ms + (uint64_t)extra_ms) * NS_PER_MS;
    c->give_up_ns = clock_mono_ns() + c->time_ns;
    list_init(&c->node);
    r->n_calls++;
    return c;
}

/* Its bytes go out, or wait for the first connection, or it is refused. */
static void send_call(struct redis_call *c, struct bytes head, struct bytes tail)
{
    struct redis *r = c->r;
    if (r->state != REDIS_UP && r->tried) {
        refuse(c, r->down.code ? r->down.code : -EAGAIN);
        return;
    }
    size_t waiting = r->held.len + (r->conn ? conn_queued(r->conn) : 0);
    if (r->n_calls > REDIS_CALLS_MAX || waiting + head.len + tail.len > REDIS_OUT_MAX) {
        refuse(c, -EAGAIN);
        return;
    }
    list_append(&r->calls, &c->node);
    out_bytes(&r->held, head);
    out_bytes(&r->held, tail);
    if (r->state == REDIS_UP) {
        loop_defer(r->loop, LOOP_STAGE_WRITE, &r->flush);
    }
}

struct redis_call *redis_command(struct redis *r, const struct bytes *args, unsigned n,
                                 unsigned extra_ms, redis_fn fn, void *user)
{
    struct redis_call *c = call_new(r, extra_ms, fn, user);
    _cleanup_(out_done) struct out o = {0};
    redis_put_head(&o, n);
    for (unsigned i = 0; i < n; i++) {
        redis_put_arg(&o, args[i]);
    }
    send_call(c, out_view(&o), BYTES(NULL, 0));
    return c;
}

static void put_script(struct out *o, const struct redis_call *c, bool whole)
{
    redis_put_head(o, c->n_tail + 2);
    redis_put_arg(o, BYTES_STR(whole ? "EVAL" : "EVALSHA"));
    redis_put_arg(o, BYTES_STR(whole ? c->script->text : c->script->sha));
}

static void hash_script(struct redis_script *s)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_Digest(s->text, strlen(s->text), md, &n, EVP_sha1(), NULL) != 1 || n != 20) {
        abort(); /* no memory, or no SHA-1: nothing of this could work */
    }
    for (unsigned i = 0; i < n; i++) {
        snprintf(s->sha + 2 * (size_t)i, 3, "%02x", md[i]);
    }
}

struct redis_call *redis_eval(struct redis *r, struct redis_script *script, unsigned keys,
                              const struct bytes *args, unsigned n, redis_fn fn, void *user)
{
    struct redis_call *c = call_new(r, 0, fn, user);
    _cleanup_(out_done) struct out head = {0};
    char number[16];
    if (!script->sha[0]) {
        hash_script(script);
    }
    c->script = script;
    c->n_tail = n + 1;
    snprintf(number, sizeof(number), "%u", keys);
    redis_put_arg(&c->tail, BYTES_STR(number));
    for (unsigned i = 0; i < n; i++) {
        redis_put_arg(&c->tail, args[i]);
    }
    put_script(&head, c, false);
    send_call(c, out_view(&head), out_view(&c->tail));
    return c;
}

struct redis_call *redis_forget(struct redis_call *c)
{
    if (c) {
        c->fn = NULL;
    }
    return NULL;
}

/* ---- the connection ---- */

static void connect_now(struct redis *r);

/* False: freed in the callback. */
static bool tell(struct redis *r, enum redis_state state)
{
    bool gone = false;
    bool *outer = r->gone;
    r->state = state;
    if (!r->on_state) {
        return true;
    }
    r->gone = &gone;
    r->on_state(r->user, state, &r->down);
    if (gone) {
        if (outer) {
            *outer = true;
        }
        return false;
    }
    r->gone = outer;
    return true;
}

static void drop_connection(struct redis *r)
{
    if (r->conn) {
        conn_close(TAKE_PTR(r->conn));
    }
    r->reader = redis_reader_free(r->reader);
    loop_timer_stop(r->deadline);
    out_done(&r->held);
    r->held = (struct out){0};
    LIST_FOREACH_SAFE (it, &r->calls) {
        struct redis_call *c = LIST_ENTRY(it, struct redis_call, node);
        if (c->internal) {
            call_free(c);
        } else {
            refuse(c, r->down.code);
        }
    }
}

/* Only what keeps us from logging in is said as what it is; all else passes. */
static void lose(struct redis *r, const struct error *err)
{
    bool was_up = r->state == REDIS_UP;
    r->down = *err;
    if (r->down.code != -EACCES || was_up) {
        r->down.code = -EAGAIN;
    }
    r->tried = true;
    drop_connection(r);
    if (was_up) {
        r->backoff_ms = BACKOFF_MS;
    }
    uint64_t wait = r->backoff_ms / 2 + random_below(r->backoff_ms / 2 + 1);
    log_at(was_up || r->backoff_ms == BACKOFF_MS ? LOG_WARN : LOG_DEBUG,
           "%s: %s; trying again in %u ms", r->name, err->text, (unsigned)wait);
    r->backoff_ms = MIN(2 * r->backoff_ms, BACKOFF_MAX_MS);
    loop_timer_start(r->again, wait);
    (void)tell(r, REDIS_WAITING);
}

static void on_again(void *user)
{
    struct redis *r = user;
    r->state = REDIS_CONNECTING;
    connect_now(r);
}

static void on_deadline(void *user)
{
    struct redis *r = user;
    struct error err = {0};
    if (list_empty(&r->calls)) {
        return;
    }
    if (clock_mono_ns() < LIST_ENTRY(r->calls.next, struct redis_call, node)->give_up_ns) {
        arm_deadline(r);
        return;
    }
    error_set(&err, -ETIMEDOUT, r->name, "Redis does not answer");
    lose(r, &err);
}

/* The script is not there, after a restart or SCRIPT FLUSH: once more, whole.
 */
static void send_whole(struct redis_call *c)
{
    _cleanup_(out_done) struct out head = {0};
    _cleanup_(out_done) struct out tail = c->tail;
    c->tail = (struct out){0};
    put_script(&head, c, true);
    c->script = NULL;
    c->give_up_ns = clock_mono_ns() + c->time_ns;
    list_remove(&c->node);
    send_call(c, out_view(&head), out_view(&tail));
}

/* False: freed in the callback, or the connection ended. */
static bool take_reply(struct redis *r, const struct redis_reply *reply)
{
    struct error err = {0};
    if (list_empty(&r->calls)) {
        error_set(&err, -EPROTO, r->name, "Redis sent a reply that nobody asked for");
        if (reply->type == REDIS_FAILED) {
            (void)error_from(r, reply, &err); /* how it refuses a connection */
        }
        lose(r, &err);
        return false;
    }
    struct redis_call *c = LIST_ENTRY(r->calls.next, struct redis_call, node);
    struct conn *conn = r->conn;
    if (c->script && reply->type == REDIS_FAILED && strncmp(reply->text, "NOSCRIPT", 8) == 0) {
        send_whole(c);
        return true;
    }
    int res = reply->type == REDIS_FAILED ? error_from(r, reply, &err) : 0;
    return answer(c, res, reply, &err) && r->conn == conn && conn;
}

static void on_read(void *user, struct bytes data)
{
    struct redis *r = user;
    struct error err = {0};
    int res = redis_reader_feed(r->reader, data, &err);
    while (res >= 0) {
        struct redis_reply *reply;
        res = redis_reader_next(r->reader, &reply, &err);
        if (res < 0 || !reply) {
            break;
        }
        bool on = take_reply(r, reply);
        redis_reply_free(reply);
        if (!on) {
            return;
        }
    }
    if (res < 0) {
        lose(r, &err);
    } else {
        arm_deadline(r);
    }
}

static void on_close(void *user, int res, const struct error *err)
{
    struct redis *r = user;
    struct error mine = *err;
    if (!mine.text[0]) {
        error_set(&mine, res ? res : -ECONNRESET, r->name, "Redis closed the connection");
    }
    mine.code = -EAGAIN;
    lose(r, &mine);
}

static void on_hello(void *user, int res, const struct redis_reply *reply, const struct error *err)
{
    struct redis *r = user;
    if (res < 0 && r->conn) {
        lose(r, err);
    }
}

/* An ACL may leave PING out: who is told so is logged in. */
static void on_ping(void *user, int res, const struct redis_reply *reply, const struct error *err)
{
    struct redis *r = user;
    if (!r->conn) {
        return;
    }
    if (res < 0 && strncmp(reply->text, "NOPERM", 6) != 0) {
        lose(r, err);
        return;
    }
    r->tried = true;
    r->backoff_ms = BACKOFF_MS;
    r->down = (struct error){0};
    r->state = REDIS_UP;
    on_flush(&r->flush);
    log_debug("%s: connected", r->name);
    (void)tell(r, REDIS_UP);
}

static void say_hello(struct redis *r, struct list *calls, const char *const *args, unsigned n,
                      redis_fn fn)
{
    struct redis_call *c = call_new(r, 0, fn, r);
    _cleanup_(out_done) struct out o = {0};
    c->internal = true;
    r->n_calls--;
    redis_put_head(&o, n);
    for (unsigned i = 0; i < n; i++) {
        redis_put_arg(&o, BYTES_STR(args[i]));
    }
    list_append(calls, &c->node);
    conn_send_bytes(r->conn, out_view(&o));
}

static void on_open(void *user)
{
    struct redis *r = user;
    struct list hello;
    list_init(&hello);
    conn_set_nodelay(r->conn, true);
    if (r->url.password && r->url.user && r->url.user[0]) {
        say_hello(r, &hello, (const char *[]){"AUTH", r->url.user, r->url.password}, 3, on_hello);
    } else if (r->url.password) {
        say_hello(r, &hello, (const char *[]){"AUTH", r->url.password}, 2, on_hello);
    }
    if (r->database) {
        say_hello(r, &hello, (const char *[]){"SELECT", r->database}, 2, on_hello);
    }
    say_hello(r, &hello, (const char *[]){"PING"}, 1, on_ping);
    list_append_all(&hello, &r->calls); /* what was held comes after */
    list_append_all(&r->calls, &hello);
    arm_deadline(r);
}

static const struct conn_ops conn_ops = {
    .on_read = on_read, .on_close = on_close, .on_open = on_open};

static void connect_now(struct redis *r)
{
    const struct conn_connect how = {.host = r->url.host,
                                     .port = (uint16_t)r->url.port,
                                     .tls = r->tls,
                                     .timeout_ms = r->timeout_ms};
    r->reader = redis_reader_new();
    r->conn = conn_connect(r->loop, &how, &conn_ops, r);
    conn_set_queue_max(r->conn, 2 * REDIS_OUT_MAX);
}

/* ---- the client ---- */

static int check_url(const struct redis_config *config, struct redis *r, struct error *err)
{
    int res = url_parse(config->url, &r->url, err);
    if (res < 0) {
        return res;
    }
    bool secure = strcmp(r->url.scheme, "rediss") == 0;
    if (!secure && strcmp(r->url.scheme, "redis") != 0) {
        return error_set(err, -EINVAL, "", "a Redis is redis:// or rediss://");
    }
    if (secure && !config->tls) {
        return error_set(err, -EINVAL, "", "rediss:// needs to know whom to trust");
    }
    const char *db = r->url.path[0] ? r->url.path + 1 : "";
    if (strspn(db, "0123456789") != strlen(db) || strlen(db) > 5) {
        return error_set(err, -EINVAL, "", "the path names a database by its number: /0");
    }
    r->database = *db && strcmp(db, "0") != 0 ? mem_strdup(db) : NULL;
    r->tls = secure ? config->tls : NULL;
    return 0;
}

struct redis *redis_new(const struct redis_config *config, struct error *err)
{
    struct redis *r = mem_new(struct redis);
    if (check_url(config, r, err) < 0) {
        url_done(&r->url);
        free(r);
        return NULL;
    }
    r->loop = config->loop;
    r->name = mem_printf(r->url.ipv6 ? "[%s]:%d" : "%s:%d", r->url.host, r->url.port);
    r->timeout_ms = config->timeout_ms ? config->timeout_ms : TIMEOUT_MS;
    r->on_state = config->on_state;
    r->user = config->user;
    r->backoff_ms = BACKOFF_MS;
    list_init(&r->calls);
    list_init(&r->refused);
    loop_task_init(&r->answer_refused, on_refused);
    loop_task_init(&r->flush, on_flush);
    r->deadline = loop_timer_new(r->loop, on_deadline, r);
    r->again = loop_timer_new(r->loop, on_again, r);
    connect_now(r);
    return r;
}

static void free_calls(struct list *l)
{
    while (!list_empty(l)) {
        call_free(LIST_ENTRY(l->next, struct redis_call, node));
    }
}

struct redis *redis_free(struct redis *r)
{
    if (!r) {
        return NULL;
    }
    if (r->gone) {
        *r->gone = true;
    }
    if (r->conn) {
        conn_close(r->conn);
    }
    redis_reader_free(r->reader);
    free_calls(&r->calls);
    free_calls(&r->refused);
    loop_task_cancel(&r->answer_refused);
    loop_task_cancel(&r->flush);
    loop_timer_free(r->deadline);
    loop_timer_free(r->again);
    out_done(&r->held);
    url_done(&r->url);
    free(r->database);
    free(r->name);
    free(r);
    return NULL;
}

enum redis_state redis_state(const struct redis *r)
{
    return r->state;
}
