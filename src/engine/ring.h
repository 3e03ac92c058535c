/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The bounded run of samples that a replica keeps, by reference, indexed by seq: seqs have no holes, so that a cursor is one
 * number. One loop only. What is kept (design 3, History):
 *   - the newest group from its key frame on, where new readers start, unless it exceeds the bounds;
 *   - what is not older than the slack, whatever group it is of, so that a reader that is a little late is not thrown forward
 *     at each key frame. It is thrown only when its cursor fell out of the ring.
 * So a ring holds max(age of the newest key frame, slack) of media, and never more than the bounds. When the newest group
 * alone exceeds them it is dropped from history whole (has_start false): it shrinks to the slack, and new readers wait.
 */
#include "media/sample.h"

struct ring_limits {
    uint64_t bytes;
    int64_t span_ns;
    int64_t slack_ns;
};

struct ring {
    struct sample **slots;
    uint32_t cap; /* a power of two, or 0 */
    bool has_start;
    uint64_t first;  /* seq of the oldest sample kept */
    uint64_t next;   /* seq that the next sample must have */
    uint64_t start;  /* first sample of the newest group, when has_start */
    uint64_t before; /* group of the sample that was before first */
    uint64_t group;  /* newest group seen */
    uint64_t bytes;
    int64_t newest_ns; /* greatest dts seen */
};

#define RING_SAMPLES_MAX 65536u

/* Empties the ring and continues at next, inside (not at the start of) group. */
void ring_reset(struct ring *r, uint64_t next, uint64_t group);
void ring_done(struct ring *r);
/*
 * Takes the reference; s->seq must be r->next. Trimming is the caller's, once readers had their turn: one that keeps up loses
 * nothing, however much comes in one pass. Only at twice the bounds the ring trims itself.
 */
void ring_push(struct ring *r, struct sample **s, const struct ring_limits *limits);
void ring_trim(struct ring *r, const struct ring_limits *limits);

/* Where the oldest group begins that is here whole and of the newest one's epoch. Only with has_start. */
uint64_t ring_oldest_start(const struct ring *r);

static inline struct sample *ring_at(const struct ring *r, uint64_t seq)
{
    return seq >= r->first && seq < r->next ? r->slots[seq & (r->cap - 1)] : NULL;
}

static inline int64_t ring_span_ns(const struct ring *r)
{
    return r->first < r->next ? r->newest_ns - ring_at(r, r->first)->dts_ns : 0;
}
