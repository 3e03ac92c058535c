/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf_queue.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

struct buf *buf_queue_at(const struct buf_queue *q, unsigned i)
{
    return q->ring[(q->head + i) & (q->cap - 1)];
}

void buf_queue_push(struct buf_queue *q, struct buf *b)
{
    assert(b->len > 0);
    if (q->n == q->cap) {
        unsigned cap = q->cap ? q->cap * 2 : 8;
        struct buf **ring = mem_new_array(struct buf *, cap);
        for (unsigned i = 0; i < q->n; i++) {
            ring[i] = buf_queue_at(q, i);
        }
        free(q->ring);
        q->ring = ring;
        q->cap = cap;
        q->head = 0;
    }
    q->ring[(q->head + q->n) & (q->cap - 1)] = b;
    q->n++;
    q->bytes += b->len;
}

void buf_queue_consume(struct buf_queue *q, size_t n)
{
    assert(n <= q->bytes);
    q->bytes -= n;
    while (q->n > 0) {
        struct buf *first = buf_queue_at(q, 0);
        size_t left = first->len - q->head_done;
        if (n < left) {
            q->head_done += n;
            return;
        }
        n -= left;
        buf_unref(&first);
        q->head_done = 0;
        q->head = (q->head + 1) & (q->cap - 1);
        q->n--;
    }
}

int buf_queue_vectors(const struct buf_queue *q, struct iovec *iov, int max)
{
    int n = 0;
    for (; n < max && (unsigned)n < q->n; n++) {
        struct buf *b = buf_queue_at(q, (unsigned)n);
        size_t skip = n == 0 ? q->head_done : 0;
        iov[n] = (struct iovec){b->data + skip, b->len - skip};
    }
    return n;
}

void buf_queue_clear(struct buf_queue *q)
{
    buf_queue_consume(q, q->bytes);
    free(q->ring);
    *q = (struct buf_queue){0};
}
