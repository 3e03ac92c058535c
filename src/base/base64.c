/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

#include "base/mem.h"

#include <errno.h>

static const char *const alphabets[] = {
    [BASE64_STD] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    [BASE64_URL] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

void base64_encode(struct out *o, struct bytes b, enum base64_alphabet alphabet)
{
    const char *chars = alphabets[alphabet];
    for (size_t i = 0; i < b.len; i += 3) {
        size_t n = MIN(b.len - i, (size_t)3);
        uint32_t v = (uint32_t)b.data[i] << 16;
        v |= n > 1 ? (uint32_t)b.data[i + 1] << 8 : 0;
        v |= n > 2 ? (uint32_t)b.data[i + 2] : 0;
        for (size_t k = 0; k < 4; k++) {
            if (k <= n) {
                out_u8(o, (uint8_t)chars[v >> (18 - 6 * k) & 63]);
            } else if (alphabet == BASE64_STD) {
                out_u8(o, '=');
            }
        }
    }
}

char *base64_to_str(struct bytes b, enum base64_alphabet alphabet)
{
    struct out o = {0};
    base64_encode(&o, b, alphabet);
    return out_take_str(&o);
}

static int digit(uint8_t c, enum base64_alphabet alphabet)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == (uint8_t)alphabets[alphabet][62]) {
        return 62;
    }
    return c == (uint8_t)alphabets[alphabet][63] ? 63 : -EINVAL;
}

/* The standard form comes in fours; its padding is taken off here, what is left is as in the URL form. */
static int strip_padding(struct bytes *text)
{
    if (text->len % 4 != 0) {
        return -EINVAL;
    }
    for (int i = 0; i < 2 && text->len > 0 && text->data[text->len - 1] == '='; i++) {
        text->len--;
    }
    return 0;
}

int base64_decode(struct bytes text, enum base64_alphabet alphabet, uint8_t *ret, size_t cap)
{
    size_t n = 0;
    uint32_t acc = 0;
    unsigned bits = 0;
    if (alphabet == BASE64_STD && strip_padding(&text) < 0) {
        return -EINVAL;
    }
    if (text.len % 4 == 1 || text.len > INT32_MAX) {
        return -EINVAL;
    }
    for (size_t i = 0; i < text.len; i++) {
        int d = digit(text.data[i], alphabet);
        if (d < 0) {
            return d;
        }
        acc = acc << 6 | (uint32_t)d;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            if (n == cap) {
                return -ENOSPC;
            }
            ret[n++] = (uint8_t)(acc >> bits);
            acc &= (1u << bits) - 1;
        }
    }
    /* Left-over bits are zero in the one valid text (RFC 4648 3.5). */
    return acc != 0 ? -EINVAL : (int)n;
}

char *hex_encode(struct bytes b, char *ret)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < b.len; i++) {
        ret[2 * i] = digits[b.data[i] >> 4];
        ret[2 * i + 1] = digits[b.data[i] & 15];
    }
    ret[2 * b.len] = '\0';
    return ret;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -EINVAL;
}

int hex_decode(struct bytes text, uint8_t *ret, size_t cap)
{
    if (text.len % 2 != 0 || text.len > INT32_MAX) {
        return -EINVAL;
    }
    if (text.len / 2 > cap) {
        return -ENOSPC;
    }
    for (size_t i = 0; i < text.len; i += 2) {
        int hi = hex_digit(text.data[i]);
        int lo = hex_digit(text.data[i + 1]);
        if (hi < 0 || lo < 0) {
            return -EINVAL;
        }
        ret[i / 2] = (uint8_t)(hi << 4 | lo);
    }
    return (int)(text.len / 2);
}
