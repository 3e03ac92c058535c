/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * AMF0, the value encoding of RTMP commands and metadata (Adobe "Action Message Format -- AMF 0"), sans I/O.
 *
 * Reading allocates nothing: a value is a view into the message, and an object is the checked range of its members, which
 * amf_next_member() and amf_get() walk again. amf_read() checks a value to its end (depth, count, sizes), so that walking a
 * value that was read cannot fail later. Views live as long as the message. Writing appends to a `struct out`.
 *
 * AMF3 is met in two places only: as envelope of whole messages (types 15 and 17, a zero byte and then AMF0: the caller
 * skips it) and as marker 0x11 before one value, of which the scalar types are read. Any thread.
 */
#include "base/bytes.h"

#define AMF_DEPTH_MAX  8
#define AMF_VALUES_MAX 1024 /* in one value, itself and members at any depth */

enum amf_type {
    AMF_NUMBER,
    AMF_BOOL,
    AMF_STRING, /* also long strings and XML documents */
    AMF_OBJECT, /* also typed objects, whose class name is skipped */
    AMF_NULL,
    AMF_UNDEFINED, /* also "unsupported" and references, which nobody sends */
    AMF_ECMA_ARRAY,
    AMF_STRICT_ARRAY,
    AMF_DATE,
    AMF_TYPE_N,
};

struct amf_value {
    enum amf_type type;
    bool boolean;
    double number;    /* AMF_NUMBER, and AMF_DATE: ms since 1970 */
    struct bytes str; /* AMF_STRING */
    struct bytes
        members; /* AMF_OBJECT, AMF_ECMA_ARRAY: names and values; AMF_STRICT_ARRAY: values */
};

/* The next value of r. -EINVAL: malformed or cut off, -E2BIG: too deep or too many, -ENOTSUP: an AMF3 value. */
int amf_read(struct rd *r, struct amf_value *ret);

/* Walks what amf_read() found: start with rd_init(v.members). False at the end. */
bool amf_next_member(struct rd *members, struct bytes *ret_name, struct amf_value *ret);
bool amf_next_element(struct rd *members, struct amf_value *ret);

/* The member of an object or ECMA array; false when v is none of these or has no such member. */
bool amf_get(const struct amf_value *v, const char *name, struct amf_value *ret);
double amf_get_number(const struct amf_value *v, const char *name, double otherwise);
struct bytes amf_get_str(const struct amf_value *v, const char *name); /* empty when absent */

void amf_put_number(struct out *o, double v);
void amf_put_bool(struct out *o, bool v);
void amf_put_null(struct out *o);
/* As string, or as long string when over 65535 bytes. */
void amf_put_bytes(struct out *o, struct bytes s);
void amf_put_str(struct out *o, const char *s);
/* Between begin and amf_end(): amf_put_key() and a value for each member. count is only a hint to the reader. */
void amf_begin_object(struct out *o);
void amf_begin_ecma_array(struct out *o, uint32_t count);
void amf_put_key(struct out *o, const char *name);
void amf_end(struct out *o);
/* Followed by exactly count values, without amf_end(). */
void amf_begin_strict_array(struct out *o, uint32_t count);
/* Key and value in one. */
void amf_put_member_number(struct out *o, const char *name, double v);
void amf_put_member_bool(struct out *o, const char *name, bool v);
void amf_put_member_str(struct out *o, const char *name, const char *v);
