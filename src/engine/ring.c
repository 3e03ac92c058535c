/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/ring.h"

#include "base/mem.h"

#include <assert.h>

/* What a sample costs beside its payload: itself and its slot. Forms are shared and as large as the payload at most. */
static uint64_t cost(const struct sample *s)
{
    return sizeof(*s) + sizeof(void *) + (s->payload ? s->payload->len : 0);
}

static void drop_first(struct ring *r)
{
    struct sample **slot = &r->slots[r->first & (r->cap - 1)];
    r->bytes -= cost(*slot);
    r->before = (*slot)->group;
    sample_unref(slot);
    r->first++;
}

void ring_reset(struct ring *r, uint64_t next, uint64_t group)
{
    while (r->first < r->next) {
        drop_first(r);
    }
    free(r->slots);
    *r = (struct ring){.first = next, .next = next, .before = group, .group = group};
}

void ring_done(struct ring *r)
{
    ring_reset(r, 0, 0);
}

static void grow(struct ring *r)
{
    uint32_t cap = r->cap ? r->cap * 2 : 64;
    struct sample **slots = mem_new_array(struct sample *, cap);
    for (uint64_t seq = r->first; seq < r->next; seq++) {
        slots[seq & (cap - 1)] = r->slots[seq & (r->cap - 1)];
    }
    free(r->slots);
    r->slots = slots;
    r->cap = cap;
}

static bool over_limits(const struct ring *r, const struct ring_limits *limits)
{
    return r->bytes > limits->bytes || ring_span_ns(r) > limits->span_ns ||
           r->next - r->first > RING_SAMPLES_MAX / 2;
}

/* A burst that readers have not seen yet may be as large as what is kept. */
static bool over_burst(const struct ring *r, const struct ring_limits *limits)
{
    return r->bytes > limits->bytes * 2 || r->next - r->first > RING_SAMPLES_MAX;
}

void ring_trim(struct ring *r, const struct ring_limits *limits)
{
    while (r->first < r->next) {
        bool over = over_limits(r, limits);
        bool in_history = r->has_start && r->first >= r->start;
        if (in_history && !over) {
            return;
        }
        if (in_history) {
            r->has_start = false;
        }
        if (!over && ring_span_ns(r) <= limits->slack_ns) {
            return;
        }
        drop_first(r);
    }
}

uint64_t ring_oldest_start(const struct ring *r)
{
    uint32_t epoch = ring_at(r, r->start)->epoch;
    uint64_t oldest = r->start;
    for (uint64_t seq = r->start; seq-- > r->first && ring_at(r, seq)->epoch == epoch;) {
        uint64_t before = seq > r->first ? ring_at(r, seq - 1)->group : r->before;
        if (ring_at(r, seq)->group != before) {
            oldest = seq;
        }
    }
    return oldest;
}

void ring_push(struct ring *r, struct sample **s, const struct ring_limits *limits)
{
    struct sample *taken = TAKE_PTR(*s);
    assert(taken->seq == r->next);
    if (r->next - r->first == r->cap) {
        grow(r);
    }
    if (taken->group != r->group) {
        r->group = taken->group;
        r->start = taken->seq;
        r->has_start = true;
    }
    if (r->first == r->next || taken->dts_ns > r->newest_ns) {
        r->newest_ns = taken->dts_ns;
    }
    r->slots[r->next++ & (r->cap - 1)] = taken;
    r->bytes += cost(taken);
    if (over_burst(r, limits)) {
        ring_trim(r, limits);
    }
}
