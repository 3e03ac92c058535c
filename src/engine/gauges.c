/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The media memory budget and the gauges. Over budget, new publishers are refused and histories are cut: one bound for all,
 * in bytes a stream, falls by a quarter five times a second, so that the longest histories lose first; it rises again while
 * a fifth of the budget is free.
 */
#include "base/clock.h"
#include "engine/internal.h"

#define ADAPT_NS  (200 * NS_PER_MS)
#define CAP_FLOOR (256ULL << 10)
#define CAP_TOP   (1ULL << 30)

bool engine_over_budget(const struct engine *e)
{
    return buf_live_bytes() > atomic_load_explicit(&e->memory_max_bytes, memory_order_relaxed);
}

static uint64_t next_cap(uint64_t cap, uint64_t live, uint64_t max)
{
    if (live > max) {
        /* The first cut must bite at once: no history that is longer than the whole budget is worth more than it. */
        uint64_t top = MIN(max, CAP_TOP);
        uint64_t from = MIN(cap, top);
        return MAX(from / 4 * 3, CAP_FLOOR);
    }
    if (live < max / 5 * 4 && cap != UINT64_MAX) {
        return cap >= CAP_TOP ? UINT64_MAX : cap / 4 * 5;
    }
    return cap;
}

void engine_adapt_history(struct engine *e, int64_t now_ns)
{
    uint64_t live = buf_live_bytes();
    uint64_t max = atomic_load_explicit(&e->memory_max_bytes, memory_order_relaxed);
    uint64_t cap = atomic_load_explicit(&e->history_cap, memory_order_relaxed);
    if (live <= max && cap == UINT64_MAX) {
        return;
    }
    int64_t at = atomic_load_explicit(&e->history_cap_at, memory_order_relaxed);
    if (at != 0 && now_ns - at < ADAPT_NS) {
        return;
    }
    /* One loop of those that noticed does it. */
    if (atomic_compare_exchange_strong(&e->history_cap_at, &at, now_ns)) {
        atomic_store_explicit(&e->history_cap, next_cap(cap, live, max), memory_order_relaxed);
    }
}

void engine_gauges(const struct engine *e, struct engine_gauges *ret)
{
    *ret = (struct engine_gauges){
        .streams = COUNT_GET(e, streams),
        .publishers = COUNT_GET(e, publishers),
        .readers = COUNT_GET(e, readers),
        .replicas = COUNT_GET(e, replicas),
        .samples = sample_live_count(),
        .bytes = buf_live_bytes(),
        .memory_max_bytes = atomic_load_explicit(&e->memory_max_bytes, memory_order_relaxed),
        .publishes_total = COUNT_GET(e, publishes),
        .reads_total = COUNT_GET(e, reads),
        .refused_total = COUNT_GET(e, refused),
    };
    for (unsigned i = 0; i < e->n_loops; i++) {
        const struct hot_counters *hot = &e->loops[i]->hot;
        ret->bytes_in_total += atomic_load_explicit(&hot->bytes_in, memory_order_relaxed);
        ret->bytes_out_total += atomic_load_explicit(&hot->bytes_out, memory_order_relaxed);
        ret->samples_in_total += atomic_load_explicit(&hot->samples_in, memory_order_relaxed);
        ret->samples_dropped_total +=
            atomic_load_explicit(&hot->samples_dropped, memory_order_relaxed);
    }
}
