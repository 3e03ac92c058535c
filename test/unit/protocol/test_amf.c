/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/mem.h"
#include "protocol/rtmp/amf.h"

#include <errno.h>

static void test_round_trip(void **state)
{
    _cleanup_(out_done) struct out o = {0};
    amf_begin_object(&o);
    amf_put_member_number(&o, "width", 1920);
    amf_put_member_bool(&o, "stereo", true);
    amf_put_member_str(&o, "encoder", "Lavf59");
    amf_put_key(&o, "list");
    amf_begin_strict_array(&o, 2);
    amf_put_str(&o, "hvc1");
    amf_put_null(&o);
    amf_put_key(&o, "map");
    amf_begin_ecma_array(&o, 1);
    amf_put_member_number(&o, "*", 4);
    amf_end(&o);
    amf_end(&o);
    amf_put_number(&o, -0.5);

    struct rd r = rd_init(out_view(&o));
    struct amf_value v;
    assert_int_equal(amf_read(&r, &v), 0);
    assert_int_equal(v.type, AMF_OBJECT);
    assert_true(amf_get_number(&v, "width", 0) == 1920);
    assert_true(amf_get_number(&v, "height", 7) == 7);
    assert_true(amf_get_number(&v, "encoder", 7) == 7);
    assert_true(bytes_equal_str(amf_get_str(&v, "encoder"), "Lavf59"));
    assert_int_equal(amf_get_str(&v, "width").len, 0);
    struct amf_value m;
    assert_true(amf_get(&v, "stereo", &m));
    assert_true(m.type == AMF_BOOL && m.boolean);
    assert_true(amf_get(&v, "list", &m));
    assert_int_equal(m.type, AMF_STRICT_ARRAY);
    struct rd list = rd_init(m.members);
    struct amf_value e;
    assert_true(amf_next_element(&list, &e));
    assert_true(bytes_equal_str(e.str, "hvc1"));
    assert_true(amf_next_element(&list, &e));
    assert_int_equal(e.type, AMF_NULL);
    assert_false(amf_next_element(&list, &e));
    assert_true(amf_get(&v, "map", &m));
    assert_int_equal(m.type, AMF_ECMA_ARRAY);
    assert_true(amf_get_number(&m, "*", 0) == 4);
    assert_int_equal(amf_read(&r, &v), 0);
    assert_true(v.type == AMF_NUMBER && v.number == -0.5);
    assert_int_equal(rd_left(&r), 0);
}

static void test_long_string(void **state)
{
    _cleanup_free_ char *text = mem_zalloc(70001);
    memset(text, 'x', 70000);
    _cleanup_(out_done) struct out o = {0};
    amf_put_str(&o, text);
    assert_int_equal(o.data[0], 12);
    struct rd r = rd_init(out_view(&o));
    struct amf_value v;
    assert_int_equal(amf_read(&r, &v), 0);
    assert_true(bytes_equal_str(v.str, text));
}

struct one {
    const char *what;
    const char *bytes;
    size_t len;
    int result;
    enum amf_type type;
    double number;
};
#define ONE(what, literal, ...)                                                                    \
    {                                                                                              \
        what, literal, sizeof(literal) - 1, __VA_ARGS__                                            \
    }

static const struct one ONES[] = {
    ONE("date", "\x0b\x40\x8f\x40\x00\x00\x00\x00\x00\x00\x00", 0, AMF_DATE, 1000),
    ONE("xml", "\x0f\x00\x00\x00\x02<a", 0, AMF_STRING, 0),
    ONE("undefined", "\x06", 0, AMF_UNDEFINED, 0),
    ONE("unsupported", "\x0d", 0, AMF_UNDEFINED, 0),
    ONE("reference", "\x07\x00\x01", 0, AMF_UNDEFINED, 0),
    ONE("typed object",
        "\x10\x00\x03"
        "Foo\x00\x01z\x05\x00\x00\x09",
        0, AMF_OBJECT, 0),
    ONE("object without its end", "\x03\x00\x01z\x05", 0, AMF_OBJECT, 0),
    ONE("empty ecma array", "\x08\x00\x00\x00\x09\x00\x00\x09", 0, AMF_ECMA_ARRAY, 0),
    ONE("amf3 true", "\x11\x03", 0, AMF_BOOL, 0),
    ONE("amf3 null", "\x11\x01", 0, AMF_NULL, 0),
    ONE("amf3 integer", "\x11\x04\x81\x00", 0, AMF_NUMBER, 128),
    ONE("amf3 negative", "\x11\x04\xff\xff\xff\xff", 0, AMF_NUMBER, -1),
    ONE("amf3 double", "\x11\x05\x40\x8f\x40\x00\x00\x00\x00\x00", 0, AMF_NUMBER, 1000),
    ONE("amf3 string", "\x11\x06\x05hi", 0, AMF_STRING, 0),
    ONE("amf3 string reference", "\x11\x06\x04", -ENOTSUP, 0, 0),
    ONE("amf3 object", "\x11\x0a\x01", -ENOTSUP, 0, 0),
    ONE("nothing", "", -EINVAL, 0, 0),
    ONE("unknown marker", "\x20", -EINVAL, 0, 0),
    ONE("movie clip", "\x04", -EINVAL, 0, 0),
    ONE("cut number", "\x00\x01", -EINVAL, 0, 0),
    ONE("cut string", "\x02\x00\x05hi", -EINVAL, 0, 0),
    ONE("cut name", "\x03\x00", -EINVAL, 0, 0),
    ONE("name without value", "\x03\x00\x01z", -EINVAL, 0, 0),
    ONE("huge strict array", "\x0a\xff\xff\xff\xff\x05", -EINVAL, 0, 0),
    ONE("huge long string", "\x0c\xff\xff\xff\xffx", -EINVAL, 0, 0),
};

static void test_single_values(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(ONES); i++) {
        const struct one *t = &ONES[i];
        /* An exact allocation, so that the sanitizer sees a read past the end. */
        _cleanup_free_ void *copy = mem_memdup(t->bytes, t->len);
        struct rd r = rd_init(BYTES(copy, t->len));
        struct amf_value v = {.type = AMF_TYPE_N};
        const int k = amf_read(&r, &v);
        if (k != t->result || (k == 0 && (v.type != t->type || v.number != t->number))) {
            fail_msg("%s: %d, type %d, number %f", t->what, k, v.type, v.number);
        }
        if (k < 0 && v.type != AMF_TYPE_N) {
            fail_msg("%s: result written on failure", t->what);
        }
    }
}

static int read_nested(unsigned depth)
{
    _cleanup_(out_done) struct out o = {0};
    for (unsigned i = 0; i < depth; i++) {
        amf_begin_object(&o);
        amf_put_key(&o, "a");
    }
    amf_put_null(&o);
    for (unsigned i = 0; i < depth; i++) {
        amf_end(&o);
    }
    struct rd r = rd_init(out_view(&o));
    struct amf_value v;
    return amf_read(&r, &v);
}

static void test_limits(void **state)
{
    assert_int_equal(read_nested(AMF_DEPTH_MAX), 0);
    assert_int_equal(read_nested(AMF_DEPTH_MAX + 1), -E2BIG);

    for (uint32_t n = AMF_VALUES_MAX - 1; n <= AMF_VALUES_MAX; n++) {
        _cleanup_(out_done) struct out o = {0};
        amf_begin_strict_array(&o, n);
        for (uint32_t i = 0; i < n; i++) {
            amf_put_null(&o);
        }
        struct rd r = rd_init(out_view(&o));
        struct amf_value v;
        assert_int_equal(amf_read(&r, &v), n < AMF_VALUES_MAX ? 0 : -E2BIG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_long_string),
        cmocka_unit_test(test_single_values),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
