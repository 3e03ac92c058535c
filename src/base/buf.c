/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include "base/mem.h"

#include <assert.h>
#include <stdio.h>

static atomic_uint_fast64_t live_count;
static atomic_uint_fast64_t live_bytes;

struct buf *buf_try_new(size_t len)
{
    if (len > UINT32_MAX) {
        return NULL;
    }
    struct buf *b = mem_try_alloc(sizeof(*b) + len);
    if (!b) {
        return NULL;
    }
    atomic_init(&b->refs, 1);
    b->len = (uint32_t)len;
    b->cap = (uint32_t)len;
    atomic_fetch_add_explicit(&live_count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&live_bytes, len, memory_order_relaxed);
    return b;
}

struct buf *buf_new(size_t len)
{
    struct buf *b = buf_try_new(len);
    if (!b) {
        fprintf(stderr, "mast: out of memory for a buffer of %zu bytes, aborting\n", len);
        abort();
    }
    return b;
}

struct buf *buf_copy(struct bytes b)
{
    struct buf *copy = buf_new(b.len);
    put_bytes(copy->data, b);
    return copy;
}

struct buf *buf_from_str(const char *s)
{
    return buf_copy(BYTES_STR(s));
}

struct buf *buf_ref(struct buf *b)
{
    unsigned before = atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    assert(before > 0);
    return b;
}

void buf_unref(struct buf **pb)
{
    struct buf *b = TAKE_PTR(*pb);
    if (!b) {
        return;
    }
    unsigned before = atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1) {
        atomic_fetch_sub_explicit(&live_count, 1, memory_order_relaxed);
        atomic_fetch_sub_explicit(&live_bytes, b->cap, memory_order_relaxed);
        free(b);
    }
}

uint64_t buf_live_count(void)
{
    return atomic_load_explicit(&live_count, memory_order_relaxed);
}

uint64_t buf_live_bytes(void)
{
    return atomic_load_explicit(&live_bytes, memory_order_relaxed);
}
