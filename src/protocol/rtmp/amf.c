/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/rtmp/amf.h"

#include <errno.h>

enum marker {
    MARKER_NUMBER = 0,
    MARKER_BOOL = 1,
    MARKER_STRING = 2,
    MARKER_OBJECT = 3,
    MARKER_NULL = 5,
    MARKER_UNDEFINED = 6,
    MARKER_REFERENCE = 7,
    MARKER_ECMA_ARRAY = 8,
    MARKER_OBJECT_END = 9,
    MARKER_STRICT_ARRAY = 10,
    MARKER_DATE = 11,
    MARKER_LONG_STRING = 12,
    MARKER_UNSUPPORTED = 13,
    MARKER_XML = 15,
    MARKER_TYPED_OBJECT = 16,
    MARKER_AMF3 = 17,
};

static int read_value(struct rd *r, unsigned depth, unsigned *budget, struct amf_value *ret);

/* AMF3 3.1 (1.3.1): up to four bytes of which the first three carry seven bits. */
static uint32_t read_u29(struct rd *r)
{
    uint32_t v = 0;
    for (int i = 0; i < 3; i++) {
        const uint8_t b = rd_u8(r);
        if (!(b & 0x80)) {
            return v << 7 | b;
        }
        v = v << 7 | (b & 0x7f);
    }
    return v << 8 | rd_u8(r);
}

static int read_amf3(struct rd *r, struct amf_value *ret)
{
    switch (rd_u8(r)) {
    case 0: /* undefined */
        ret->type = AMF_UNDEFINED;
        return 0;
    case 1:
        ret->type = AMF_NULL;
        return 0;
    case 2:
    case 3:
        ret->type = AMF_BOOL;
        ret->boolean = r->p[-1] == 3;
        return 0;
    case 4: {
        const uint32_t v = read_u29(r);
        ret->type = AMF_NUMBER;
        ret->number = v & 0x10000000 ? (double)v - 0x20000000 : v; /* 29 bits, signed */
        return 0;
    }
    case 5:
        ret->type = AMF_NUMBER;
        ret->number = rd_f64be(r);
        return 0;
    case 6: {
        /* The low bit says inline; a reference needs a table that one value alone cannot have filled. */
        const uint32_t v = read_u29(r);
        if (!(v & 1)) {
            return -ENOTSUP;
        }
        ret->type = AMF_STRING;
        ret->str = rd_bytes(r, v >> 1);
        return 0;
    }
    default:
        return -ENOTSUP;
    }
}

/* AMF0 2.5: names and values until an empty name and the object end marker. Some encoders leave the end out. */
static int read_members(struct rd *r, unsigned depth, unsigned *budget, struct bytes *ret)
{
    const uint8_t *start = r->p;
    while (rd_left(r) > 0) {
        const uint8_t *member = r->p;
        const size_t name_len = rd_u16be(r);
        if (name_len == 0 && rd_left(r) > 0 && *r->p == MARKER_OBJECT_END) {
            rd_skip(r, 1);
            *ret = BYTES(start, (size_t)(member - start));
            return 0;
        }
        rd_skip(r, name_len);
        struct amf_value ignored;
        const int k = read_value(r, depth, budget, &ignored);
        if (k < 0) {
            return k;
        }
    }
    *ret = BYTES(start, (size_t)(r->p - start));
    return 0;
}

static int read_elements(struct rd *r, unsigned depth, unsigned *budget, struct bytes *ret)
{
    const uint32_t count = rd_u32be(r);
    const uint8_t *start = r->p;
    for (uint32_t i = 0; i < count; i++) {
        struct amf_value ignored;
        const int k = read_value(r, depth, budget, &ignored);
        if (k < 0) {
            return k;
        }
    }
    *ret = BYTES(start, (size_t)(r->p - start));
    return 0;
}

/* The body after the marker. Reads past the end show in r->failed, which the caller checks. */
static int read_body(struct rd *r, uint8_t marker, unsigned depth, unsigned *budget,
                     struct amf_value *ret)
{
    switch (marker) {
    case MARKER_NUMBER:
        ret->type = AMF_NUMBER;
        ret->number = rd_f64be(r);
        return 0;
    case MARKER_BOOL:
        ret->type = AMF_BOOL;
        ret->boolean = rd_u8(r) != 0;
        return 0;
    case MARKER_STRING:
        ret->type = AMF_STRING;
        ret->str = rd_bytes(r, rd_u16be(r));
        return 0;
    case MARKER_LONG_STRING:
    case MARKER_XML:
        ret->type = AMF_STRING;
        ret->str = rd_bytes(r, rd_u32be(r));
        return 0;
    case MARKER_TYPED_OBJECT:
        rd_skip(r, rd_u16be(r));
        ret->type = AMF_OBJECT;
        return read_members(r, depth + 1, budget, &ret->members);
    case MARKER_OBJECT:
        ret->type = AMF_OBJECT;
        return read_members(r, depth + 1, budget, &ret->members);
    case MARKER_ECMA_ARRAY:
        rd_skip(r, 4); /* the count is a hint that encoders get wrong */
        ret->type = AMF_ECMA_ARRAY;
        return read_members(r, depth + 1, budget, &ret->members);
    case MARKER_STRICT_ARRAY:
        ret->type = AMF_STRICT_ARRAY;
        return read_elements(r, depth + 1, budget, &ret->members);
    case MARKER_DATE:
        ret->type = AMF_DATE;
        ret->number = rd_f64be(r);
        rd_skip(r, 2); /* time zone: reserved, to be ignored */
        return 0;
    case MARKER_NULL:
        ret->type = AMF_NULL;
        return 0;
    case MARKER_REFERENCE:
        rd_skip(r, 2);
        ret->type = AMF_UNDEFINED;
        return 0;
    case MARKER_UNDEFINED:
    case MARKER_UNSUPPORTED:
        ret->type = AMF_UNDEFINED;
        return 0;
    case MARKER_AMF3:
        return read_amf3(r, ret);
    default:
        return -EINVAL;
    }
}

static int read_value(struct rd *r, unsigned depth, unsigned *budget, struct amf_value *ret)
{
    *ret = (struct amf_value){.type = AMF_UNDEFINED};
    if (depth > AMF_DEPTH_MAX || *budget == 0) {
        return -E2BIG;
    }
    (*budget)--;
    const uint8_t marker = rd_u8(r);
    if (rd_failed(r)) {
        return -EINVAL;
    }
    const int k = read_body(r, marker, depth, budget, ret);
    return k < 0 ? k : rd_failed(r) ? -EINVAL : 0;
}

int amf_read(struct rd *r, struct amf_value *ret)
{
    unsigned budget = AMF_VALUES_MAX;
    struct amf_value v;
    const int k = read_value(r, 0, &budget, &v);
    if (k < 0) {
        return k;
    }
    *ret = v;
    return 0;
}

bool amf_next_element(struct rd *members, struct amf_value *ret)
{
    return rd_left(members) > 0 && amf_read(members, ret) == 0;
}

bool amf_next_member(struct rd *members, struct bytes *ret_name, struct amf_value *ret)
{
    if (rd_left(members) == 0) {
        return false;
    }
    *ret_name = rd_bytes(members, rd_u16be(members));
    return amf_read(members, ret) == 0;
}

bool amf_get(const struct amf_value *v, const char *name, struct amf_value *ret)
{
    if (v->type != AMF_OBJECT && v->type != AMF_ECMA_ARRAY) {
        return false;
    }
    struct rd r = rd_init(v->members);
    struct bytes found;
    struct amf_value value;
    while (amf_next_member(&r, &found, &value)) {
        if (bytes_equal_str(found, name)) {
            *ret = value;
            return true;
        }
    }
    return false;
}

double amf_get_number(const struct amf_value *v, const char *name, double otherwise)
{
    struct amf_value m;
    return amf_get(v, name, &m) && m.type == AMF_NUMBER ? m.number : otherwise;
}

struct bytes amf_get_str(const struct amf_value *v, const char *name)
{
    struct amf_value m;
    return amf_get(v, name, &m) && m.type == AMF_STRING ? m.str : BYTES(NULL, 0);
}

void amf_put_number(struct out *o, double v)
{
    out_u8(o, MARKER_NUMBER);
    out_f64be(o, v);
}

void amf_put_bool(struct out *o, bool v)
{
    out_u8(o, MARKER_BOOL);
    out_u8(o, v);
}

void amf_put_null(struct out *o)
{
    out_u8(o, MARKER_NULL);
}

void amf_put_bytes(struct out *o, struct bytes s)
{
    if (s.len > UINT16_MAX) {
        out_u8(o, MARKER_LONG_STRING);
        out_u32be(o, (uint32_t)s.len);
    } else {
        out_u8(o, MARKER_STRING);
        out_u16be(o, (uint16_t)s.len);
    }
    out_bytes(o, s);
}

void amf_put_str(struct out *o, const char *s)
{
    amf_put_bytes(o, BYTES_STR(s));
}

void amf_begin_object(struct out *o)
{
    out_u8(o, MARKER_OBJECT);
}

void amf_begin_ecma_array(struct out *o, uint32_t count)
{
    out_u8(o, MARKER_ECMA_ARRAY);
    out_u32be(o, count);
}

void amf_put_key(struct out *o, const char *name)
{
    const struct bytes b = BYTES_STR(name);
    out_u16be(o, (uint16_t)b.len);
    out_bytes(o, b);
}

void amf_end(struct out *o)
{
    out_u24be(o, MARKER_OBJECT_END);
}

void amf_begin_strict_array(struct out *o, uint32_t count)
{
    out_u8(o, MARKER_STRICT_ARRAY);
    out_u32be(o, count);
}

void amf_put_member_number(struct out *o, const char *name, double v)
{
    amf_put_key(o, name);
    amf_put_number(o, v);
}

void amf_put_member_bool(struct out *o, const char *name, bool v)
{
    amf_put_key(o, name);
    amf_put_bool(o, v);
}

void amf_put_member_str(struct out *o, const char *name, const char *v)
{
    amf_put_key(o, name);
    amf_put_str(o, v);
}
