/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/mem.h"
#include "store/hash.h"

#include <errno.h>
#include <string.h>

static void test_the_text_form(void **state)
{
    char text[HASH_TEXT_MAX];
    char hint[HASH_HINT_LEN + 1];
    assert_int_equal(hash_key("mast_abcdefghijklmnopqrstuvwxyz", text), 0);
    /* printf %s mast_abcdefghijklmnopqrstuvwxyz | sha256sum */
    assert_string_equal(
        text,
        "hashed:v1:mast_abc:46e3ed567284dcb0efbb6160399b8965e828915138b2b85cb5960e575406621a");
    assert_int_equal(strlen(text), HASH_TEXT_MAX - 1);
    assert_true(hash_is_text(text));
    assert_true(hash_matches(text, "mast_abcdefghijklmnopqrstuvwxyz"));
    assert_false(hash_matches(text, "mast_abcdefghijklmnopqrstuvwxyZ"));
    assert_false(hash_matches(text, text));
    assert_true(hash_hint(text, hint));
    assert_string_equal(hint, "mast_abc");
    assert_true(hash_hint("mast_abcdefghijklmnopqrstuvwxyz", hint));
    assert_string_equal(hint, "mast_abc");
    assert_false(hash_hint("short", hint));
}

static void test_changed_texts_do_not_match(void **state)
{
    char text[HASH_TEXT_MAX];
    _cleanup_free_ char *key = hash_new_key("sk_");
    assert_int_equal(hash_key(key, text), 0);
    for (size_t i = 0; i < HASH_TEXT_MAX - 1; i++) {
        char saved = text[i];
        text[i] = saved == '0' ? '1' : '0';
        assert_false(hash_matches(text, key));
        text[i] = '\0';
        assert_false(hash_matches(text, key));
        text[i] = saved;
    }
    assert_true(hash_matches(text, key));
}

static void test_new_keys_differ_and_hash(void **state)
{
    char text[HASH_TEXT_MAX];
    _cleanup_free_ char *a = hash_new_key("mast_");
    _cleanup_free_ char *b = hash_new_key("mast_");
    assert_int_equal(strlen(a), 5 + HASH_NEW_RANDOM);
    assert_string_not_equal(a, b);
    assert_int_equal(hash_key(a, text), 0);
    assert_true(hash_matches(text, a));
    assert_false(hash_matches(text, b));
    assert_null(strstr(text, a));
}

static void test_guessable_keys_are_refused(void **state)
{
    char text[HASH_TEXT_MAX] = "untouched";
    char longest[HASH_KEY_MAX + 2];
    memset(longest, 'x', sizeof(longest));
    longest[HASH_KEY_MAX + 1] = '\0';
    const char *bad[] = {"",
                         "secret",
                         "abcdefghijklmnopqrstuvw",
                         "abcdefghijklmnopqrstuvw ",
                         "abcdefghijklmnopqrstuvw:",
                         longest};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(hash_key(bad[i], text), -EINVAL);
    }
    assert_string_equal(text, "untouched");
    longest[HASH_KEY_MAX] = '\0';
    assert_int_equal(hash_key(longest, text), 0);
    assert_int_equal(hash_key("abcdefghijklmnopqrstuvwx", text), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_text_form),
        cmocka_unit_test(test_changed_texts_do_not_match),
        cmocka_unit_test(test_new_keys_differ_and_hash),
        cmocka_unit_test(test_guessable_keys_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
