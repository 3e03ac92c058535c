/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/gzip.h"
#include "base/mem.h"

#include <zlib.h>

static void unpack(const struct buf *b, uint8_t *text, size_t size, size_t *ret_len)
{
    z_stream z = {
        .next_in = (Bytef *)b->data, .avail_in = b->len, .next_out = text, .avail_out = (uInt)size};
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK); /* gzip's header and checksum, or nothing */
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.avail_in, 0);
    *ret_len = z.total_out;
    inflateEnd(&z);
}

static void test_text_comes_back(void **state)
{
    _cleanup_(out_done) struct out o = {0};
    for (unsigned i = 0; i < 3000; i++) {
        out_printf(&o, "#EXT-X-PART:DURATION=0.26700,URI=\"video1-%u.m4s\"\n", i * 7919);
        if (i < 5 || (i > 40 && i % 500 != 0)) {
            continue;
        }
        struct bytes text = out_view(&o);
        struct buf *b = gzip_make(text);
        assert_true(b->len < text.len);
        _cleanup_free_ uint8_t *back = mem_alloc(text.len + 1);
        size_t len;
        unpack(b, back, text.len + 1, &len);
        assert_true(bytes_equal(BYTES(back, len), text));
        buf_unref(&b);
    }
    assert_int_equal(buf_live_count(), 0);
}

static void test_what_does_not_get_shorter_is_left(void **state)
{
    uint8_t noise[2000];
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof(noise); i++) {
        x = x * 1664525 + 1013904223;
        noise[i] = (uint8_t)(x >> 24);
    }
    assert_null(gzip_make(BYTES(noise, sizeof(noise))));
    assert_null(gzip_make(BYTES("ab", 2)));
    assert_null(gzip_make(BYTES(NULL, 0)));
    assert_int_equal(buf_live_count(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_comes_back),
        cmocka_unit_test(test_what_does_not_get_shorter_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
