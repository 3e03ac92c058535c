/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The queue in Redis Streams (7.0 or later): one stream and one consumer group for all workers, beside them what a stream
 * cannot say. Each question is one script, so what it changes is changed whole. What stands under which key:
 * docs/internals/jobs.md. Built when hiredis is there.
 */
#include "service/job/queue.h"

struct tls_context;

struct queue_redis_config {
    struct loop *control;
    /* redis://user:password@host:6379/0?stream=jobs&group=mast, rediss://; copied. */
    const char *url;
    struct tls_context *tls; /* of rediss://; borrowed; outlives the queue */
    unsigned timeout_ms;     /* of each answer; 0 = 10 s */
    int64_t max;             /* jobs that wait; 0 = 10 million */
    int64_t keep;            /* ended ones; 0 = 1000 */
    int64_t keep_dead;       /* 0 = 100000 */
};
/* NULL with err for an URL that is none of Redis. Redis may be away. */
struct queue *queue_redis_new(const struct queue_redis_config *config, struct error *err);
