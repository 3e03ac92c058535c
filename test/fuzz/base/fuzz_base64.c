/* SPDX-License-Identifier: Apache-2.0 */
/* What decodes must be exactly what encoding gives; UTF-8 in pieces must agree with UTF-8 in one. */
#include "base/base64.h"
#include "base/mem.h"
#include "base/utf8.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>

static void decode(struct bytes text, enum base64_alphabet alphabet)
{
    _cleanup_free_ uint8_t *raw = mem_alloc(BASE64_DECODED_MAX(text.len));
    int n = base64_decode(text, alphabet, raw, BASE64_DECODED_MAX(text.len));
    if (n >= 0) {
        _cleanup_free_ char *again = base64_to_str(BYTES(raw, (size_t)n), alphabet);
        assert(bytes_equal_str(text, again));
    }
}

static void encode(struct bytes raw, enum base64_alphabet alphabet)
{
    _cleanup_free_ char *text = base64_to_str(raw, alphabet);
    _cleanup_free_ uint8_t *back = mem_alloc(raw.len);
    int n = base64_decode(BYTES_STR(text), alphabet, back, raw.len);
    assert(n == (int)raw.len && bytes_equal(raw, BYTES(back, (size_t)n)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes all = BYTES(data, size);
    decode(all, BASE64_STD);
    decode(all, BASE64_URL);
    encode(all, BASE64_STD);
    encode(all, BASE64_URL);

    _cleanup_free_ uint8_t *raw = mem_alloc(size);
    _cleanup_free_ char *hex = mem_alloc(2 * size + 1);
    hex_encode(all, hex);
    int n = hex_decode(BYTES_STR(hex), raw, size);
    assert(n == (int)size && bytes_equal(all, BYTES(raw, size)));
    n = hex_decode(all, raw, size);
    for (int i = 0; i < n * 2; i++) {
        assert(isxdigit(data[i]));
    }

    size_t cut = size ? data[0] % (size + 1) : 0;
    struct utf8 u = {0};
    bool pieces = utf8_feed(&u, BYTES(data, cut)) && utf8_feed(&u, BYTES(data + cut, size - cut)) &&
                  utf8_complete(&u);
    assert(pieces == utf8_valid(all));
    return 0;
}
