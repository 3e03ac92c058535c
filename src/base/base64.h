/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Base64 (RFC 4648) and hexadecimal. Decoding is strict: no white space, no foreign characters, correct padding, and no
 * bits that the encoder would not have set, so that one value has one text. Any thread.
 */
#include "base/bytes.h"

enum base64_alphabet {
    BASE64_STD, /* + and /, padded with = */
    BASE64_URL, /* - and _, not padded (RFC 7515) */
};

/* Upper bound of what n characters decode to. */
#define BASE64_DECODED_MAX(n) ((n) / 4 * 3 + 3)

void base64_encode(struct out *o, struct bytes b, enum base64_alphabet alphabet);
/* The same as a NUL-terminated text that the caller frees. */
char *base64_to_str(struct bytes b, enum base64_alphabet alphabet);
/* Writes into ret, which holds cap bytes, and returns how many; -EINVAL when text is not base64, -ENOSPC. */
int base64_decode(struct bytes text, enum base64_alphabet alphabet, uint8_t *ret, size_t cap);

/* ret holds 2 * b.len + 1 characters: small letters, NUL-terminated. Returns ret. */
char *hex_encode(struct bytes b, char *ret);
/* Either case. Returns the number of bytes written; -EINVAL, -ENOSPC. */
int hex_decode(struct bytes text, uint8_t *ret, size_t cap);
