/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Bit reader for codec headers, most significant bit first, with the Exp-Golomb codes of ITU-T H.264 9.1 and the leb128 of
 * AV1 4.10.5. With `escaped` set it steps over emulation prevention bytes (H.264 7.4.1) as it goes, so that a NAL unit is
 * read in place. A read past the end returns 0 and marks the reader failed, as do all later reads; callers check
 * bits_failed() once after a run of reads. No allocation, any thread.
 */
#include "base/bytes.h"

struct bits {
    const uint8_t *p; /* private from here */
    const uint8_t *end;
    uint8_t cur;
    uint8_t left;  /* unread bits of cur */
    uint8_t zeros; /* zero bytes seen in a row, up to 2 */
    bool escaped;
    bool failed;
};

static inline struct bits bits_init(struct bytes b)
{
    return (struct bits){.p = b.data, .end = b.data ? b.data + b.len : b.data};
}

/* Over a NAL unit's bytes as transmitted (EBSP). */
static inline struct bits bits_init_nal(struct bytes b)
{
    struct bits r = bits_init(b);
    r.escaped = true;
    return r;
}

static inline bool bits_failed(const struct bits *b)
{
    return b->failed;
}

uint32_t bits_u(struct bits *b, unsigned n); /* n <= 32 */
uint32_t bits_ue(struct bits *b);
int32_t bits_se(struct bits *b);
void bits_skip(struct bits *b, uint32_t n);
/* To the next byte border of the bytes as given (not escape-aware: for headers without emulation prevention). */
void bits_align(struct bits *b);

static inline bool bits_flag(struct bits *b)
{
    return bits_u(b, 1) != 0;
}

/* An Exp-Golomb value with an upper bound; over it the reader fails. */
static inline uint32_t bits_ue_max(struct bits *b, uint32_t max)
{
    uint32_t v = bits_ue(b);
    if (v > max) {
        b->failed = true;
        return 0;
    }
    return v;
}
