/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

struct bytes rd_bytes(struct rd *r, size_t n)
{
    if (r->failed || n > rd_left(r)) {
        r->failed = true;
        return BYTES(NULL, 0);
    }
    struct bytes b = {r->p, n};
    r->p += n;
    return b;
}

void rd_skip(struct rd *r, size_t n)
{
    (void)rd_bytes(r, n);
}

uint8_t rd_u8(struct rd *r)
{
    struct bytes b = rd_bytes(r, 1);
    return b.len ? b.data[0] : 0;
}

/* The fields are short; one loop serves every width. */
static uint64_t read_be(struct rd *r, size_t n)
{
    struct bytes b = rd_bytes(r, n);
    uint64_t v = 0;
    for (size_t i = 0; i < b.len; i++) {
        v = v << 8 | b.data[i];
    }
    return v;
}

uint16_t rd_u16be(struct rd *r)
{
    return (uint16_t)read_be(r, 2);
}

uint32_t rd_u24be(struct rd *r)
{
    return (uint32_t)read_be(r, 3);
}

uint32_t rd_u32be(struct rd *r)
{
    return (uint32_t)read_be(r, 4);
}

uint64_t rd_u64be(struct rd *r)
{
    return read_be(r, 8);
}

uint32_t rd_u32le(struct rd *r)
{
    return __builtin_bswap32(rd_u32be(r));
}

double rd_f64be(struct rd *r)
{
    uint64_t bits = rd_u64be(r);
    double v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

void out_done(struct out *o)
{
    free(o->data);
    *o = (struct out){0};
}

void out_reserve(struct out *o, size_t more)
{
    if (o->cap - o->len >= more) {
        return;
    }
    size_t cap = MAX(o->cap * 2, (size_t)64);
    while (cap - o->len < more) {
        cap *= 2;
    }
    o->data = mem_realloc(o->data, cap);
    o->cap = cap;
}

uint8_t *out_extend(struct out *o, size_t n)
{
    out_reserve(o, n);
    uint8_t *p = o->data + o->len;
    o->len += n;
    return p;
}

void out_mem(struct out *o, const void *p, size_t n)
{
    if (n > 0) {
        memcpy(out_extend(o, n), p, n);
    }
}

void out_bytes(struct out *o, struct bytes b)
{
    out_mem(o, b.data, b.len);
}

void out_puts(struct out *o, const char *s)
{
    out_mem(o, s, strlen(s));
}

void out_printf(struct out *o, const char *fmt, ...)
{
    va_list ap;
    out_reserve(o, 128);
    va_start(ap, fmt);
    int n = vsnprintf((char *)o->data + o->len, o->cap - o->len, fmt, ap);
    va_end(ap);
    if (n < 0) {
        return;
    }
    if ((size_t)n >= o->cap - o->len) {
        out_reserve(o, (size_t)n + 1);
        va_start(ap, fmt);
        vsnprintf((char *)o->data + o->len, o->cap - o->len, fmt, ap);
        va_end(ap);
    }
    o->len += (size_t)n;
}

void out_u8(struct out *o, uint8_t v)
{
    *out_extend(o, 1) = v;
}

void out_u16be(struct out *o, uint16_t v)
{
    put_u16be(out_extend(o, 2), v);
}

void out_u24be(struct out *o, uint32_t v)
{
    put_u24be(out_extend(o, 3), v);
}

void out_u32be(struct out *o, uint32_t v)
{
    put_u32be(out_extend(o, 4), v);
}

void out_u64be(struct out *o, uint64_t v)
{
    put_u64be(out_extend(o, 8), v);
}

void out_f64be(struct out *o, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    out_u64be(o, bits);
}

char *out_str(struct out *o)
{
    out_reserve(o, 1);
    o->data[o->len] = '\0';
    return (char *)o->data;
}

char *out_take_str(struct out *o)
{
    char *s = out_str(o);
    *o = (struct out){0};
    return s;
}
