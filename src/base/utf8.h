/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Checking UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF), in one piece or as it arrives:
 * WebSocket text (RFC 6455 8.1) must be refused at the first bad byte, and a character may be cut by a frame. Any thread.
 */
#include "base/bytes.h"

/* All zero at the start of a text. */
struct utf8 {
    uint8_t need; /* continuation bytes still missing */
    uint8_t lo;   /* bounds of the next one; tighter than 80..BF after E0, ED, F0 and F4 */
    uint8_t hi;
};

/* False at the first byte that cannot be part of valid text; u is of no further use then. */
bool utf8_feed(struct utf8 *u, struct bytes more);

/* Whether the text may end here: no character is cut. */
static inline bool utf8_complete(const struct utf8 *u)
{
    return u->need == 0;
}

bool utf8_valid(struct bytes text);

/* Length of the valid character at the start of text, 0 when there is none. */
size_t utf8_char_len(struct bytes text);
