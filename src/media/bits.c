/* SPDX-License-Identifier: Apache-2.0 */
#include "media/bits.h"

#include "base/mem.h"

#include <assert.h>

static bool next_byte(struct bits *b)
{
    if (b->failed || b->p == b->end) {
        b->failed = true;
        return false;
    }
    if (b->escaped && b->zeros == 2 && *b->p == 3) {
        b->p++;
        b->zeros = 0;
        if (b->p == b->end) {
            b->failed = true;
            return false;
        }
    }
    b->cur = *b->p++;
    b->left = 8;
    b->zeros = b->cur != 0 ? 0 : (uint8_t)MIN(b->zeros + 1, 2);
    return true;
}

uint32_t bits_u(struct bits *b, unsigned n)
{
    assert(n <= 32);
    uint64_t v = 0;
    while (n > 0) {
        if (b->left == 0 && !next_byte(b)) {
            return 0;
        }
        unsigned take = MIN(n, (unsigned)b->left);
        b->left = (uint8_t)(b->left - take);
        v = v << take | ((b->cur >> b->left) & ((1u << take) - 1));
        n -= take;
    }
    return b->failed ? 0 : (uint32_t)v;
}

void bits_skip(struct bits *b, uint32_t n)
{
    for (; n > 32 && !b->failed; n -= 32) {
        (void)bits_u(b, 32);
    }
    (void)bits_u(b, MIN(n, 32u));
}

void bits_align(struct bits *b)
{
    b->left = 0;
}

uint32_t bits_ue(struct bits *b)
{
    unsigned zeros = 0;
    while (!bits_flag(b)) {
        if (b->failed || ++zeros > 31) {
            b->failed = true;
            return 0;
        }
    }
    return (uint32_t)(((uint64_t)1 << zeros) - 1 + bits_u(b, zeros));
}

int32_t bits_se(struct bits *b)
{
    uint32_t k = bits_ue(b); /* at most 2^32 - 2, so both halves fit */
    return k & 1 ? (int32_t)(k / 2 + 1) : -(int32_t)(k / 2);
}
