/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Byte ranges, and readers and writers of big- and little-endian fields over them. No allocation but in `struct out`.
 *
 * A reader never reads past its end: a read that does not fit returns 0, marks the reader failed, and all later reads
 * return 0 as well; callers check rd_failed() once after a run of reads. Any thread (no shared state).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *data;
    size_t len;
};

#define BYTES(p, n)  ((struct bytes){(const uint8_t *)(p), (n)})
#define BYTES_STR(s) BYTES((s), strlen(s))

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool bytes_equal_str(struct bytes a, const char *s)
{
    return bytes_equal(a, BYTES_STR(s));
}

struct rd {
    const uint8_t *p;
    const uint8_t *end;
    bool failed;
};

static inline struct rd rd_init(struct bytes b)
{
    return (struct rd){b.data, b.data ? b.data + b.len : b.data, false};
}

static inline size_t rd_left(const struct rd *r)
{
    return (size_t)(r->end - r->p);
}

static inline bool rd_failed(const struct rd *r)
{
    return r->failed;
}

/* Takes n bytes as a view; fails (empty view) when fewer are left. */
struct bytes rd_bytes(struct rd *r, size_t n);
void rd_skip(struct rd *r, size_t n);
uint8_t rd_u8(struct rd *r);
uint16_t rd_u16be(struct rd *r);
uint32_t rd_u24be(struct rd *r);
uint32_t rd_u32be(struct rd *r);
uint64_t rd_u64be(struct rd *r);
uint32_t rd_u32le(struct rd *r);
double rd_f64be(struct rd *r);

/* Writers into memory the caller has sized. */
static inline uint8_t *put_u8(uint8_t *p, uint8_t v)
{
    *p = v;
    return p + 1;
}

static inline uint8_t *put_u16be(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
    return p + 2;
}

static inline uint8_t *put_u24be(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 16);
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)v;
    return p + 3;
}

static inline uint8_t *put_u32be(uint8_t *p, uint32_t v)
{
    p = put_u16be(p, (uint16_t)(v >> 16));
    return put_u16be(p, (uint16_t)v);
}

static inline uint8_t *put_u64be(uint8_t *p, uint64_t v)
{
    p = put_u32be(p, (uint32_t)(v >> 32));
    return put_u32be(p, (uint32_t)v);
}

static inline uint8_t *put_u32le(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
    return p + 4;
}

static inline uint8_t *put_bytes(uint8_t *p, struct bytes b)
{
    if (b.len > 0) {
        memcpy(p, b.data, b.len);
    }
    return p + b.len;
}

/*
 * A growing output vector. Owned by whoever declares it: `_cleanup_(out_done) struct out o = {0};`. Growth aborts when
 * memory runs out, so what a remote party sent is bounded before it is appended. data is not NUL-terminated unless
 * out_str() was called last.
 */
struct out {
    uint8_t *data;
    size_t len;
    size_t cap;
};

void out_done(struct out *o);
void out_reserve(struct out *o, size_t more);
uint8_t *out_extend(struct out *o,
                    size_t n); /* n more bytes, uninitialised; valid until the next append */
void out_bytes(struct out *o, struct bytes b);
void out_mem(struct out *o, const void *p, size_t n);
void out_puts(struct out *o, const char *s);
void out_printf(struct out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void out_u8(struct out *o, uint8_t v);
void out_u16be(struct out *o, uint16_t v);
void out_u24be(struct out *o, uint32_t v);
void out_u32be(struct out *o, uint32_t v);
void out_u64be(struct out *o, uint64_t v);
void out_f64be(struct out *o, double v);
/* NUL-terminates (the NUL is not counted in len) and returns the text; it stays owned by o. */
char *out_str(struct out *o);
/* Hands the NUL-terminated text over to the caller, who frees it; o is empty after. */
char *out_take_str(struct out *o);

static inline struct bytes out_view(const struct out *o)
{
    return BYTES(o->data, o->len);
}
