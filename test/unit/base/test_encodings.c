/* SPDX-License-Identifier: Apache-2.0 */
/* Base64, hexadecimal, UTF-8, the JSON writer and random texts. */
#include "../unit.h"

#include "base/base64.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/utf8.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>

static void test_base64_of_rfc_4648(void **state)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    uint8_t back[16];
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        _cleanup_free_ char *text = base64_to_str(BYTES_STR(pairs[i][0]), BASE64_STD);
        assert_string_equal(text, pairs[i][1]);
        int n = base64_decode(BYTES_STR(text), BASE64_STD, back, sizeof(back));
        assert_int_equal(n, strlen(pairs[i][0]));
        assert_memory_equal(back, pairs[i][0], (size_t)n);
    }
    _cleanup_free_ char *url = base64_to_str(BYTES("\xfb\xff\xfe\x01", 4), BASE64_URL);
    assert_string_equal(url, "-__-AQ");
    assert_int_equal(base64_decode(BYTES_STR(url), BASE64_URL, back, sizeof(back)), 4);
    assert_memory_equal(back, "\xfb\xff\xfe\x01", 4);
}

static void test_base64_is_strict(void **state)
{
    static const char *const bad_std[] = {"Zg",   "Zg=",  "Zg===",  "=",    "====", "Zh==",
                                          "Zm9=", "Zm 9", "Zm9v\n", "Zm-_", "Z===", "Zg==Zg=="};
    static const char *const bad_url[] = {"Zg==", "Z", "Zh", "Zm9", "Zm+/", "Zm9v="};
    uint8_t back[16];
    for (size_t i = 0; i < ARRAY_LEN(bad_std); i++) {
        assert_int_equal(base64_decode(BYTES_STR(bad_std[i]), BASE64_STD, back, sizeof(back)),
                         -EINVAL);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad_url); i++) {
        assert_int_equal(base64_decode(BYTES_STR(bad_url[i]), BASE64_URL, back, sizeof(back)),
                         -EINVAL);
    }
    assert_int_equal(base64_decode(BYTES_STR("Zm9v"), BASE64_STD, back, 2), -ENOSPC);
    assert_int_equal(base64_decode(BYTES_STR("Zm9v"), BASE64_STD, back, 3), 3);
}

static void test_hexadecimal(void **state)
{
    char text[9];
    uint8_t back[4];
    assert_string_equal(hex_encode(BYTES("\x00\xff\x1a\xb2", 4), text), "00ff1ab2");
    assert_int_equal(hex_decode(BYTES_STR("00Ff1Ab2"), back, sizeof(back)), 4);
    assert_memory_equal(back, "\x00\xff\x1a\xb2", 4);
    assert_int_equal(hex_decode(BYTES_STR("0"), back, sizeof(back)), -EINVAL);
    assert_int_equal(hex_decode(BYTES_STR("0g"), back, sizeof(back)), -EINVAL);
    assert_int_equal(hex_decode(BYTES_STR("0011223344"), back, sizeof(back)), -ENOSPC);
}

static void test_utf8_is_checked_whole_and_in_pieces(void **state)
{
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {
        {"", true},
        {"abc", true},
        {"\xc3\xa4", true},
        {"\xe2\x82\xac", true},
        {"\xf0\x9f\x8e\xa5", true},
        {"\xf4\x8f\xbf\xbf", true},
        {"\xed\x9f\xbf", true},
        {"\xee\x80\x80", true},
        {"\x80", false},
        {"\xc0\x80", false},
        {"\xc1\xbf", false},
        {"\xe0\x9f\xbf", false},
        {"\xed\xa0\x80", false},
        {"\xf0\x8f\xbf\xbf", false},
        {"\xf4\x90\x80\x80", false},
        {"\xf5\x80\x80\x80", false},
        {"\xff", false},
        {"\xc3", false},
        {"\xe2\x82", false},
        {"\xc3(", false},
        {"a\xf0\x9f\x8e", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct bytes b = BYTES_STR(cases[i].text);
        struct utf8 u = {0};
        bool ok = true;
        assert_int_equal(utf8_valid(b), cases[i].valid);
        for (size_t k = 0; k < b.len && ok; k++) {
            ok = utf8_feed(&u, BYTES(b.data + k, 1));
        }
        assert_int_equal(ok && utf8_complete(&u), cases[i].valid);
    }
    assert_int_equal(utf8_char_len(BYTES_STR("\xe2\x82\xac!")), 3);
    assert_int_equal(utf8_char_len(BYTES_STR("\xe2\x82")), 0);
    assert_int_equal(utf8_char_len(BYTES_STR("")), 0);
}

static void test_json_is_escaped_and_separated(void **state)
{
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    json_object_begin(&j);
    json_put_str(&j, "a\"b", "\\ \b\f\n\r\t\x01\x7f \xc3\xa4 \xff\xe2\x82 /");
    json_key(&j, "list");
    json_array_begin(&j);
    json_int(&j, INT64_MIN);
    json_uint(&j, UINT64_MAX);
    json_none(&j);
    json_bool(&j, true);
    json_array_begin(&j);
    json_array_end(&j);
    json_object_begin(&j);
    json_object_end(&j);
    json_printf(&j, "%d\n", 5);
    json_array_end(&j);
    json_put_bool(&j, "f", false);
    json_put_double(&j, "d", 0.1);
    json_put_double(&j, "nan", NAN);
    json_put_int(&j, "i", -1);
    json_put_uint(&j, "u", 1);
    json_put_str(&j, "s", NULL);
    json_put_raw(&j, "r", "[1]");
    json_object_end(&j);
    assert_string_equal(
        out_str(&o),
        "{\"a\\\"b\":\"\\\\ \\b\\f\\n\\r\\t\\u0001\\u007f \xc3\xa4 \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd /\","
        "\"list\":[-9223372036854775808,18446744073709551615,null,true,[],{},\"5\\n\"],\"f\":false,\"d\":0.1,"
        "\"nan\":null,\"i\":-1,\"u\":1,\"s\":null,\"r\":[1]}");
}

static void test_doubles_read_back_the_same(void **state)
{
    static const double values[] = {
        0,     -0.0, 1, 0.1, 1.0 / 3, 1e308, 5e-324, 123456789.123456789, 9007199254740993.0,
        29.97, 1e21};
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        char buf[32];
        int n = json_format_double(values[i], buf);
        assert_int_equal(n, strlen(buf));
        assert_true(strtod(buf, NULL) == values[i]);
    }
    char buf[32];
    json_format_double(29.97, buf);
    assert_string_equal(buf, "29.97");
}

static void test_random_texts_have_their_form(void **state)
{
    char id[23];
    char other[23];
    char uuid[RANDOM_UUID_MAX];
    assert_int_equal(strlen(random_id(id, 22)), 22);
    assert_int_equal(strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"),
                     22);
    assert_string_not_equal(id, random_id(other, 22));
    random_uuid(uuid);
    assert_int_equal(strlen(uuid), 36);
    assert_int_equal(uuid[14], '4');
    assert_non_null(strchr("89ab", uuid[19]));
    assert_int_equal(uuid[8] == '-' && uuid[13] == '-' && uuid[18] == '-' && uuid[23] == '-', 1);
    unsigned seen = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t v = random_below(5);
        assert_true(v < 5);
        seen |= 1u << v;
    }
    assert_int_equal(seen, 31);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64_of_rfc_4648),
        cmocka_unit_test(test_base64_is_strict),
        cmocka_unit_test(test_hexadecimal),
        cmocka_unit_test(test_utf8_is_checked_whole_and_in_pieces),
        cmocka_unit_test(test_json_is_escaped_and_separated),
        cmocka_unit_test(test_doubles_read_back_the_same),
        cmocka_unit_test(test_random_texts_have_their_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
