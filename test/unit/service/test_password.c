/* SPDX-License-Identifier: Apache-2.0 */
/* Slow hashes of passwords: right and wrong, what was right is known, and unknown ones are checked only so often. */
#include "../unit.h"

#include "base/clock.h"
#include "base/mem.h"
#include "service/access/password.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void test_a_password_and_its_hash(void **state)
{
    char text[PASSWORD_TEXT_MAX];
    char again[PASSWORD_TEXT_MAX];
    assert_int_equal(password_hash("right horse", text), 0);
    assert_int_equal(password_hash("right horse", again), 0);
    assert_string_not_equal(text, again); /* salted */
    assert_true(password_is_hash(text));
    assert_true(password_hash_is_sound(text));
    assert_null(strstr(text, "horse"));
    assert_int_equal(passwords_check(NULL, text, "right horse", PASSWORDS_CHECK, 0), 1);
    assert_int_equal(passwords_check(NULL, text, "right horsf", PASSWORDS_CHECK, 0), 0);
    assert_int_equal(passwords_check(NULL, text, "", PASSWORDS_CHECK, 0), 0);
    assert_int_equal(passwords_check(NULL, "clear words", "clear words", PASSWORDS_CHECK, 0), 1);
    assert_int_equal(passwords_check(NULL, "clear words", "clear word", PASSWORDS_CHECK, 0), 0);
    /* The hash itself is no password. */
    assert_int_equal(passwords_check(NULL, text, text, PASSWORDS_CHECK, 0), 0);
}

static void test_unsound_hashes(void **state)
{
    static const char *const bad[] = {
        "scrypt:",
        "scrypt:14:8:1",
        "scrypt:14:8:1:AAAAAAAAAAAAAAAAAAAAAA",
        "scrypt:14:8:1:AAAAAAAAAAAAAAAAAAAAAA:AAAA",
        "scrypt:18:8:1:AAAAAAAAAAAAAAAAAAAAAA:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "scrypt:9:8:1:AAAAAAAAAAAAAAAAAAAAAA:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "scrypt:14:1:1:AAAAAAAAAAAAAAAAAAAAAA:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "scrypt:14:8:9:AAAAAAAAAAAAAAAAAAAAAA:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "scrypt:14:8:0:AAAAAAAAAAAAAAAAAAAAAA:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        assert_true(password_is_hash(bad[i]));
        if (password_hash_is_sound(bad[i])) {
            fail_msg("'%s' was taken", bad[i]);
        }
        assert_int_equal(passwords_check(NULL, bad[i], bad[i], PASSWORDS_CHECK, 0), 0);
    }
    assert_true(password_hash_is_sound(
        "scrypt:14:8:1:AAAAAAAAAAAAAAAAAAAAAA:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
}

static void test_only_so_many_are_checked(void **state)
{
    static const char cheap[] =
        "scrypt:10:8:1:AAAAAAAAAAAAAAAAAAAAAA:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    struct passwords *p = passwords_new();
    char text[PASSWORD_TEXT_MAX];
    int64_t now = 1000 * NS_PER_S;
    assert_int_equal(password_hash("right horse", text), 0);
    assert_int_equal(passwords_check(p, text, "right horse", PASSWORDS_CHECK, now), 1);
    for (int i = 1; i < PASSWORD_CHECKS_BURST; i++) {
        char guess[16];
        snprintf(guess, sizeof(guess), "wrong %d", i);
        assert_int_equal(passwords_check(p, cheap, guess, PASSWORDS_CHECK, now), 0);
        assert_int_equal(passwords_check(p, cheap, guess, PASSWORDS_CHECK, now), 0);
    }
    assert_int_equal(passwords_check(p, cheap, "another", PASSWORDS_CHECK, now), -EBUSY);
    /* What is known costs nothing. */
    assert_int_equal(passwords_check(p, text, "right horse", PASSWORDS_CHECK, now), 1);
    assert_int_equal(passwords_check(p, text, "wrong horse", PASSWORDS_CHECK, now), -EBUSY);
    now += NS_PER_S / PASSWORD_CHECKS_PER_S;
    assert_int_equal(passwords_check(p, text, "wrong horse", PASSWORDS_CHECK, now), 0);
    assert_int_equal(passwords_check(p, text, "wrong horse", PASSWORDS_CHECK, now), 0);
    assert_int_equal(passwords_check(p, text, "other horse", PASSWORDS_CHECK, now), -EBUSY);
    now += NS_PER_S / PASSWORD_CHECKS_PER_S;
    /* Who may not ask for a check hears what is known, and takes nothing. */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(passwords_check(p, text, "right horse", PASSWORDS_REMEMBER, now), 1);
        assert_int_equal(passwords_check(p, text, "wrong horse", PASSWORDS_REMEMBER, now), 0);
        assert_int_equal(passwords_check(p, text, "other horse", PASSWORDS_REMEMBER, now), -EBUSY);
    }
    assert_int_equal(passwords_check(p, text, "other horse", PASSWORDS_CHECK, now), 0);
    passwords_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_password_and_its_hash),
        cmocka_unit_test(test_unsound_hashes),
        cmocka_unit_test(test_only_so_many_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
