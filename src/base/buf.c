/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include "base/mem.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static atomic_uint_fast64_t live_count;
static atomic_uint_fast64_t live_bytes;
static atomic_uint live_files;

static void start(struct buf *b, size_t len, int fd)
{
    atomic_init(&b->refs, 1);
    b->len = (uint32_t)len;
    b->cap = (uint32_t)len;
    b->fd = fd;
    atomic_fetch_add_explicit(&live_count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&live_bytes, len, memory_order_relaxed);
}

struct buf *buf_try_new(size_t len)
{
    if (len > UINT32_MAX) {
        return NULL;
    }
    struct buf *b = mem_try_alloc(sizeof(*b) + len);
    if (!b) {
        return NULL;
    }
    start(b, len, -1);
    return b;
}

/* Header and data are one mapping of the file. */
static struct buf *map_file(size_t len)
{
    size_t size = sizeof(struct buf) + len;
    int fd = memfd_create("mast", MFD_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    void *p = MAP_FAILED;
    /* The memory is taken now: a page that cannot be had later would be SIGBUS. */
    if (posix_fallocate(fd, 0, (off_t)size) == 0) {
        p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (p == MAP_FAILED) {
        close(fd);
        return NULL;
    }
    start(p, len, fd);
    return p;
}

struct buf *buf_try_new_file(size_t len)
{
    if (len > UINT32_MAX) {
        return NULL;
    }
    struct buf *b = NULL;
    if (atomic_fetch_add_explicit(&live_files, 1, memory_order_relaxed) < BUF_FILES_MAX) {
        b = map_file(len);
    }
    if (!b) {
        atomic_fetch_sub_explicit(&live_files, 1, memory_order_relaxed);
    }
    return b;
}

/*
 * Pages that a socket still sends stay with it after the file is gone, and nobody writes to them again: that is why every
 * buffer has a file of its own, which is never used twice.
 */
static void unmap_file(struct buf *b)
{
    close(b->fd);
    munmap(b, sizeof(*b) + b->cap);
    atomic_fetch_sub_explicit(&live_files, 1, memory_order_relaxed);
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
        if (b->fd >= 0) {
            unmap_file(b);
        } else {
            free(b);
        }
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
