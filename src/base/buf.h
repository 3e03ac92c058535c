/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Immutable reference-counted bytes: media payloads, derived forms, HTTP bodies. The maker fills data before the first
 * reference is shared; from then on nobody writes. One atomic count, so references may cross threads.
 */
#include "base/bytes.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    atomic_uint refs; /* private */
    uint32_t len;     /* may be lowered by the maker before it shares the buffer, never raised */
    uint32_t cap;     /* private: what was allocated, for the memory gauge */
    int fd;           /* of a memory file that holds data at BUF_FILE_OFFSET; -1 = none */
    uint8_t data[];
};
#define BUF_FILE_OFFSET offsetof(struct buf, data)

/* A buffer of len uninitialised bytes with one reference. Aborts when memory runs out: bound len before. */
struct buf *buf_new(size_t len);
/* The same for a length that a remote party chose: NULL when memory runs out. */
struct buf *buf_try_new(size_t len);
/*
 * A buffer in a memory file (memfd_create(2)): plain connections send it with sendfile(), which hands the kernel pages
 * instead of copying them once more for every reader. For what is large and goes to many; costs a descriptor, so there are
 * at most BUF_FILES_MAX. NULL when there are no more, or no memory: take buf_new() then.
 */
#define BUF_FILES_MAX 2048u
struct buf *buf_try_new_file(size_t len);
struct buf *buf_copy(struct bytes b);
struct buf *buf_from_str(const char *s); /* without the NUL */

struct buf *buf_ref(struct buf *b);
/* Drops *pb (which may be NULL) and nulls it. */
void buf_unref(struct buf **pb);

static inline struct bytes buf_view(const struct buf *b)
{
    return b ? BYTES(b->data, b->len) : BYTES(NULL, 0);
}

/* Gauges over all buffers of the process, for the media memory budget and for tests that expect zero. */
uint64_t buf_live_count(void);
uint64_t buf_live_bytes(void);

#define _cleanup_buf_ __attribute__((cleanup(buf_unref)))
