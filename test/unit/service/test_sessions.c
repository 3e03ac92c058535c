/* SPDX-License-Identifier: Apache-2.0 */
/* The table of sessions: found by their secret, ended by time, by hand, with their holder and when there are too many. */
#include "../unit.h"

#include "base/clock.h"
#include "service/access/sessions.h"

#include <stdio.h>
#include <string.h>

#define IDLE (100 * NS_PER_S)
#define LIFE (1000 * NS_PER_S)

static void open_one(struct sessions *t, uint64_t serial, uint64_t holder, int64_t now,
                     char secret[SESSION_SECRET_LEN + 1])
{
    char name[24];
    struct session_gone gone;
    snprintf(name, sizeof(name), "user-%llu", (unsigned long long)holder);
    const struct access_session like = {.serial = serial,
                                        .holder = holder,
                                        .user = name,
                                        .created_at = now,
                                        .expires_at = now + LIFE};
    assert_int_equal(sessions_open(t, &like, secret, &gone)->serial, serial);
    assert_int_equal(gone.serial, 0);
}

static void test_the_secret_opens_it(void **state)
{
    struct sessions *t = sessions_new();
    char one[SESSION_SECRET_LEN + 1];
    char two[SESSION_SECRET_LEN + 1];
    open_one(t, 7, 1, 0, one);
    open_one(t, 8, 1, 0, two);
    assert_int_equal(strlen(one), SESSION_SECRET_LEN);
    assert_string_not_equal(one, two);
    assert_int_equal(sessions_find(t, one, 1, IDLE)->serial, 7);
    assert_int_equal(sessions_find(t, two, 1, IDLE)->serial, 8);
    one[5] = one[5] == 'A' ? 'B' : 'A';
    assert_null(sessions_find(t, one, 1, IDLE));
    assert_null(sessions_find(t, "", 1, IDLE));
    assert_null(sessions_find(t, "short", 1, IDLE));
    assert_true(sessions_is_open(t, 8));
    struct session_gone gone;
    assert_true(sessions_end(t, 8, &gone));
    assert_int_equal(gone.serial, 8);
    assert_int_equal(strlen(gone.hash), SESSION_SECRET_LEN);
    assert_false(sessions_end(t, 8, &gone));
    assert_int_equal(gone.serial, 0);
    assert_false(sessions_is_open(t, 8));
    assert_null(sessions_find(t, two, 1, IDLE));
    sessions_free(t);
}

static bool nobody_is_gone(void *user, const struct access_session *s)
{
    return false;
}

static bool this_is_gone(void *user, const struct access_session *s)
{
    return s->holder == *(uint64_t *)user;
}

static uint64_t sweep(struct sessions *t, int64_t now,
                      bool (*ended)(void *user, const struct access_session *s), void *user)
{
    struct session_gone gone;
    bool one = sessions_sweep(t, now, IDLE, ended, user, &gone);
    assert_true(one == (gone.serial != 0));
    return gone.serial;
}

static void test_time_ends_it(void **state)
{
    struct sessions *t = sessions_new();
    char secret[SESSION_SECRET_LEN + 1];
    open_one(t, 7, 1, 0, secret);
    assert_non_null(sessions_find(t, secret, IDLE - 1, IDLE));
    assert_non_null(sessions_find(t, secret, 2 * IDLE - 2, IDLE)); /* use keeps it */
    assert_null(sessions_find(t, secret, 3 * IDLE - 2, IDLE));
    open_one(t, 8, 1, 0, secret);
    for (int64_t now = 0; now < LIFE; now += IDLE / 2) {
        assert_non_null(sessions_find(t, secret, now, IDLE));
    }
    assert_null(sessions_find(t, secret, LIFE, IDLE));
    assert_int_equal(sessions_count(t), 2);
    uint64_t first = sweep(t, LIFE, nobody_is_gone, NULL);
    uint64_t second = sweep(t, LIFE, nobody_is_gone, NULL);
    assert_int_equal(first + second, 15);
    assert_int_equal(sweep(t, LIFE, nobody_is_gone, NULL), 0);
    assert_int_equal(sessions_count(t), 0);
    sessions_free(t);
}

static void test_it_goes_with_its_holder(void **state)
{
    struct sessions *t = sessions_new();
    char secret[SESSION_SECRET_LEN + 1];
    uint64_t gone = 2;
    open_one(t, 7, 1, 0, secret);
    open_one(t, 8, 2, 0, secret);
    assert_int_equal(sweep(t, 1, this_is_gone, &gone), 8);
    assert_int_equal(sweep(t, 1, this_is_gone, &gone), 0);
    assert_true(sessions_is_open(t, 7));
    sessions_free(t);
}

static void test_there_are_not_too_many(void **state)
{
    struct sessions *t = sessions_new();
    char first[SESSION_SECRET_LEN + 1];
    char secret[SESSION_SECRET_LEN + 1];
    open_one(t, 1, 1, 0, first);
    for (uint64_t i = 2; i <= SESSIONS_PER_HOLDER; i++) {
        open_one(t, i, 1, 0, secret);
    }
    open_one(t, 5000, 2, 0, secret); /* of somebody else */
    assert_non_null(sessions_find(t, first, 5, IDLE));
    /* One that was read from the store counts by the name, too. */
    const struct access_session like = {.serial = 6000, .user = "user-1", .expires_at = LIFE};
    struct session_gone dropped;
    (void)sessions_open(t, &like, secret, &dropped);
    assert_int_not_equal(dropped.serial, 0);
    assert_int_not_equal(dropped.serial, 1); /* which was used */
    assert_int_not_equal(dropped.serial, 5000);
    assert_int_equal(sessions_count(t), SESSIONS_PER_HOLDER + 1);
    sessions_free(t);

    t = sessions_new();
    for (uint64_t i = 1; i <= SESSIONS_MAX; i++) {
        open_one(t, i, i, (int64_t)i, secret);
    }
    const struct access_session one_more = {
        .serial = 9999, .user = "9999", .created_at = SESSIONS_MAX + 1, .expires_at = LIFE};
    (void)sessions_open(t, &one_more, secret, &dropped);
    assert_int_equal(dropped.serial, 1);
    assert_int_equal(sessions_count(t), SESSIONS_MAX);
    sessions_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_secret_opens_it),
        cmocka_unit_test(test_time_ends_it),
        cmocka_unit_test(test_it_goes_with_its_holder),
        cmocka_unit_test(test_there_are_not_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
