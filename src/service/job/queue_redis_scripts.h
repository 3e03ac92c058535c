/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the queue in Redis does there: Lua, one script a question. KEYS[1] is the stream; ARGV[1] the group. Each answers an
 * array that begins with a word: "ok", or why not ("stale", "busy", "exists", "full", "missing", "ended").
 */
#include "peer/redis/redis.h"

extern struct redis_script queue_redis_enqueue; /* id, target, delay ms, max, body */
extern struct redis_script queue_redis_claim;   /* consumer, max, lease ms, max bytes, keep_dead */
extern struct redis_script queue_redis_extend;  /* consumer, id, entry, lease ms */
/* id, entry, outcome, delay ms, target, body, keep, keep_dead, broadcast, worker, owned for ms, payload */
extern struct redis_script queue_redis_settle;
extern struct redis_script queue_redis_stats;   /* - */
extern struct redis_script queue_redis_list;    /* state or "*", after, limit, max bytes */
extern struct redis_script queue_redis_get;     /* id */
extern struct redis_script queue_redis_cancel;  /* id, keep */
extern struct redis_script queue_redis_requeue; /* id, its entry when it was read, body */
extern struct redis_script queue_redis_own;     /* broadcast, worker, for ms, payload */
extern struct redis_script queue_redis_disown;  /* broadcast, worker */
extern struct redis_script queue_redis_owner;   /* broadcast */
extern struct redis_script
    queue_redis_reap; /* body of a job with @id@, @broadcast@ and @payload@ in it, ids */
