/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A client of one Redis: one connection, plain or TLS, with commands that follow each other without waiting. Answers come in
 * the order of the commands. Lost, it is made again after waits that grow; what was under way is answered -EAGAIN, and may
 * have been done or not. Blocking commands hold up all behind them: give them a client of their own.
 *
 *   CONNECTING ─logged in─► UP ─lost─► WAITING ─► CONNECTING
 *       └── failed, refused ───────────────▲
 *
 * Control loop. Never calls back inside a call. Copies what it is given; says neither passwords nor arguments in logs.
 */
#include "base/error.h"
#include "io/loop.h"
#include "peer/redis/redis_wire.h"

#define REDIS_CALLS_MAX 16384              /* under way at once; more are answered -EAGAIN */
#define REDIS_OUT_MAX   ((size_t)32 << 20) /* bytes that wait to be sent, likewise */

struct tls_context;

struct redis;
struct redis_call;

enum redis_state {
    REDIS_CONNECTING,
    REDIS_UP,
    REDIS_WAITING, /* for the next try */
};

/* err: why, when it is WAITING. It may be freed here. */
typedef void (*redis_state_fn)(void *user, enum redis_state state, const struct error *err);
/*
 * r: 0; -EAGAIN: no connection, too much under way, or Redis itself says "not now"; -EACCES: not logged in, no right; -ENOSPC:
 * its memory is full; -EINVAL: a key is of another type; -EREMOTEIO: what else Redis says. reply is valid during the call.
 */
typedef void (*redis_fn)(void *user, int r, const struct redis_reply *reply,
                         const struct error *err);

struct redis_config {
    struct loop *loop;
    const char *url;         /* redis:// or rediss://, user and password, /database */
    struct tls_context *tls; /* of rediss://; borrowed */
    unsigned timeout_ms;     /* of connecting and of each command; 0 = 10 s */
    redis_state_fn on_state; /* may be NULL */
    void *user;
};
/* NULL with err for an URL that is none of Redis. */
struct redis *redis_new(const struct redis_config *config, struct error *err);
/* Nobody is called any more. NULL is fine; returns NULL. */
struct redis *redis_free(struct redis *r);
enum redis_state redis_state(const struct redis *r);

/*
 * Before the first connection was made or failed, commands wait for it; afterwards, while there is none, they are answered at
 * once. extra_ms: what the command itself may block.
 */
struct redis_call *redis_command(struct redis *r, const struct bytes *args, unsigned n,
                                 unsigned extra_ms, redis_fn fn, void *user);

/* A script, sent by its hash, and whole when Redis does not have it. sha is filled when it is first used. */
struct redis_script {
    const char *text;
    char sha[41];
};
/* args: keys first, then what is no key. */
struct redis_call *redis_eval(struct redis *r, struct redis_script *script, unsigned keys,
                              const struct bytes *args, unsigned n, redis_fn fn, void *user);
/* No callback for it. NULL is fine; returns NULL. */
struct redis_call *redis_forget(struct redis_call *call);
