/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Derived streams on demand: what the engine calls when a path such as "live/x~opus" gets its first reader and when it has lost
 * the last one. Owned by who owns the engine, whose media loops share it; the pool must outlive the engine.
 */
#include "api/metrics.h"
#include "engine/stream.h"
#include "peer/av/av.h"

#include <stdatomic.h>

struct derived_maker {
    struct av_pool *pool;
    /* Any thread. */
    atomic_uint_fast64_t live;
    atomic_uint_fast64_t started_total;
    atomic_uint_fast64_t failed_total;
};

void derived_maker_init(struct derived_maker *m, struct av_pool *pool);
/* For engine_config.maker. */
struct stream_maker derived_maker_for_engine(struct derived_maker *m);
/* A metrics source; user is the maker. Control loop. */
void derived_metrics(void *user, struct metrics_page *page);
