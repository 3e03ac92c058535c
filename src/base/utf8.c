/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

/* Table 3-7 of the Unicode standard: the lead byte decides how many follow and how the first of them is bounded. */
static bool lead(struct utf8 *u, uint8_t c)
{
    u->lo = 0x80;
    u->hi = 0xbf;
    if (c < 0x80) {
        u->need = 0;
    } else if (c >= 0xc2 && c <= 0xdf) {
        u->need = 1;
    } else if (c >= 0xe0 && c <= 0xef) {
        u->need = 2;
        u->lo = c == 0xe0 ? 0xa0 : 0x80;
        u->hi = c == 0xed ? 0x9f : 0xbf;
    } else if (c >= 0xf0 && c <= 0xf4) {
        u->need = 3;
        u->lo = c == 0xf0 ? 0x90 : 0x80;
        u->hi = c == 0xf4 ? 0x8f : 0xbf;
    } else {
        return false;
    }
    return true;
}

static bool step(struct utf8 *u, uint8_t c)
{
    if (u->need == 0) {
        return lead(u, c);
    }
    if (c < u->lo || c > u->hi) {
        return false;
    }
    u->need--;
    u->lo = 0x80;
    u->hi = 0xbf;
    return true;
}

bool utf8_feed(struct utf8 *u, struct bytes more)
{
    for (size_t i = 0; i < more.len; i++) {
        if (!step(u, more.data[i])) {
            return false;
        }
    }
    return true;
}

bool utf8_valid(struct bytes text)
{
    struct utf8 u = {0};
    return utf8_feed(&u, text) && utf8_complete(&u);
}

size_t utf8_char_len(struct bytes text)
{
    struct utf8 u = {0};
    for (size_t i = 0; i < text.len; i++) {
        if (!step(&u, text.data[i])) {
            return 0;
        }
        if (utf8_complete(&u)) {
            return i + 1;
        }
    }
    return 0;
}
