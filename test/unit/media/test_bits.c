/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/mem.h"
#include "media/bits.h"
#include "media/nal.h"

#include <errno.h>

static void test_fixed_fields(void **state)
{
    struct bits b = bits_init(BYTES("\xa5\x0f\x80\x00\x00\x01", 6));
    assert_int_equal(bits_u(&b, 1), 1);
    assert_int_equal(bits_u(&b, 3), 2);
    assert_int_equal(bits_u(&b, 12), 0x50f);
    assert_int_equal(bits_u(&b, 0), 0);
    assert_int_equal(bits_u(&b, 32), 0x80000001);
    assert_false(bits_failed(&b));
    assert_int_equal(bits_u(&b, 1), 0);
    assert_true(bits_failed(&b));
}

static void test_exp_golomb(void **state)
{
    /* 1 | 010 | 011 | 00100 | 00101 : ue 0 1 2 3 4 */
    struct bits b = bits_init(BYTES("\xa6\x42\x80", 3));
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(bits_ue(&b), i);
    }
    /* the same as se: 0 1 -1 2 -2 */
    static const int32_t want[] = {0, 1, -1, 2, -2};
    b = bits_init(BYTES("\xa6\x42\x80", 3));
    for (int i = 0; i < 5; i++) {
        assert_int_equal(bits_se(&b), want[i]);
    }
    b = bits_init(BYTES("\x00\x00\x00\x01\xff\xff\xff\xff", 8)); /* 31 zeros: the largest */
    assert_int_equal(bits_ue(&b), 0xfffffffeu);
    b = bits_init(BYTES("\x00\x00\x00\x01\xff\xff\xff\xff", 8));
    assert_int_equal(bits_se(&b), -0x7fffffff);
    b = bits_init(BYTES("\x00\x00\x00\x00\xff\xff\xff\xff\xff", 9)); /* 32 zeros */
    assert_int_equal(bits_ue(&b), 0);
    assert_true(bits_failed(&b));
    b = bits_init(BYTES("\x28", 1)); /* 4 */
    assert_int_equal(bits_ue_max(&b, 3), 0);
    assert_true(bits_failed(&b));
}

static void test_emulation_prevention(void **state)
{
    static const char raw[] = "\x00\x00\x03\x01\x00\x00\x03\x00\x00\x03\x00\x03";
    struct bits b = bits_init_nal(BYTES(raw, 12));
    assert_int_equal(bits_u(&b, 24), 0x000001);
    assert_int_equal(bits_u(&b, 16), 0x0000);
    assert_int_equal(bits_u(&b, 16), 0x0000);
    assert_int_equal(bits_u(&b, 16), 0x0003); /* a 3 after one zero is data */
    assert_false(bits_failed(&b));
    b = bits_init(BYTES(raw, 12));
    assert_int_equal(bits_u(&b, 24), 0x000003);
    b = bits_init_nal(BYTES("\x00\x00\x03", 3)); /* nothing behind it */
    assert_int_equal(bits_u(&b, 16), 0);
    assert_int_equal(bits_u(&b, 8), 0);
    assert_true(bits_failed(&b));
}

static void test_skipping(void **state)
{
    uint8_t long_run[20] = {0};
    long_run[12] = 0x40;
    struct bits b = bits_init(BYTES(long_run, sizeof(long_run)));
    bits_skip(&b, 97);
    assert_int_equal(bits_u(&b, 1), 1);
    bits_align(&b);
    bits_skip(&b, 56);
    assert_false(bits_failed(&b));
    bits_skip(&b, UINT32_MAX);
    assert_true(bits_failed(&b));
}

static void expect_units(struct bytes au, unsigned length_size, const char *joined, int end)
{
    _cleanup_(out_done) struct out o = {0};
    struct bytes nal;
    int r;
    struct nal_iter it = nal_iter_init(au, length_size);
    while ((r = nal_next(&it, &nal)) > 0) {
        out_bytes(&o, nal);
        out_puts(&o, "|");
    }
    assert_int_equal(r, end);
    assert_string_equal(out_str(&o), joined);
}

static void test_units_however_they_are_packed(void **state)
{
    expect_units(BYTES("\0\0\0\2ab\0\0\0\0\0\0\0\1c", 15), 4, "ab|c|", 0);
    expect_units(BYTES("\0\2ab\0\1c", 7), 2, "ab|c|", 0);
    expect_units(BYTES("\2ab\1c", 5), 1, "ab|c|", 0);
    expect_units(BYTES("\0\0\0\2ab", 6), 0, "ab|", 0);
    expect_units(BYTES("\0\0\0\2ab\0\0\0\3cd", 12), 4, "ab|", -EINVAL);
    expect_units(BYTES("\0\0\0\2ab\0\0", 8), 4, "ab|", -EINVAL);
    expect_units(BYTES("\0\0\0\1ab\0\0\1c\0\0\0\1d", 15), 4, "ab|c|d|", 0);
    expect_units(BYTES("\0\0\1ab\0\0\0", 8), 4, "ab|", 0);
    expect_units(BYTES("\0\0\1", 3), 4, "", 0);
    expect_units(BYTES("\0\0\0\1a", 5), 4, "a|", 0); /* both ways right */
    expect_units(BYTES("", 0), 4, "", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fixed_fields),
        cmocka_unit_test(test_exp_golomb),
        cmocka_unit_test(test_emulation_prevention),
        cmocka_unit_test(test_skipping),
        cmocka_unit_test(test_units_however_they_are_packed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
