/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * References to buffers that wait to be written, in order: a ring that grows by doubling. Whoever embeds it bounds it, by
 * bytes and by n. A zeroed struct is an empty queue and holds no memory. One thread.
 */
#include "base/buf.h"

#include <sys/uio.h>

struct buf_queue {
    struct buf **ring; /* private */
    unsigned cap;      /* private: a power of two */
    unsigned head;     /* private */
    unsigned n;        /* buffers */
    size_t head_done;  /* bytes of the first that are consumed */
    size_t bytes;      /* not consumed yet */
};

/* The i-th buffer from the front; it stays the queue's. */
struct buf *buf_queue_at(const struct buf_queue *q, unsigned i);
/* Takes b, which is not empty, over. */
void buf_queue_push(struct buf_queue *q, struct buf *b);
/* Drops n bytes, at most q->bytes, off the front. */
void buf_queue_consume(struct buf_queue *q, size_t n);
/* Views of the front, at most max; returns how many. Valid until the next call that consumes. */
int buf_queue_vectors(const struct buf_queue *q, struct iovec *iov, int max);
/* Drops all and the ring itself. */
void buf_queue_clear(struct buf_queue *q);
