/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "service/access/access.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

static struct access_rules *rules_from(const char *json, const char *demo)
{
    struct access_config config;
    struct error err = {0};
    int r = model_parse_json(&access_config_model, &config, BYTES_STR(json), NULL, &err);
    if (r < 0) {
        print_error("%s: %s\n", err.where, err.text);
    }
    assert_return_code(r, 0);
    struct access_rules *rules = access_rules_new(&config, demo);
    model_done(&access_config_model, &config);
    return rules;
}

static struct sockaddr_in peer(const char *address)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    assert_int_equal(inet_pton(AF_INET, address, &in.sin_addr), 1);
    return in;
}

struct question {
    enum access_action action;
    const char *path;
    const char *address;
    const char *user;
    const char *password;
    const char *query;
    bool forwarded;
    int result;
};

static void ask_all(struct access_rules *rules, const struct question *questions, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct question *q = &questions[i];
        struct sockaddr_in in = peer(q->address);
        struct access_answer answer;
        struct access_request req = {
            .action = q->action,
            .path = q->path,
            .user = q->user,
            .password = q->password,
            .query = q->query,
            .peer = (struct sockaddr *)&in,
            .forwarded = q->forwarded,
        };
        access_rules_ask(rules, &req, &answer);
        if (answer.result != q->result) {
            print_error("question %zu: %d instead of %d\n", i, answer.result, q->result);
        }
        assert_int_equal(answer.result, q->result);
    }
}

static void test_without_users_only_this_machine_may(void **state)
{
    struct access_rules *rules = rules_from("{}", NULL);
    const struct question questions[] = {
        {ACCESS_PUBLISH, "live/a", "127.0.0.1", NULL, NULL, NULL, false, 0},
        {ACCESS_READ, "live/a", "127.9.9.9", NULL, NULL, NULL, false, 0},
        {ACCESS_READ, "live/a", "127.0.0.1", NULL, NULL, NULL, true, -EPERM},
        {ACCESS_PUBLISH, "live/a", "192.0.2.7", NULL, NULL, NULL, false, -EPERM},
        {ACCESS_READ, "live/a", "192.0.2.7", "who", "ever", NULL, false, -EACCES},
    };
    ask_all(rules, questions, sizeof(questions) / sizeof(questions[0]));
    access_rules_free(rules);
}

static void test_users_have_their_paths_and_nothing_else(void **state)
{
    struct access_rules *rules = rules_from(
        "{\"users\":[{\"name\":\"studio\",\"password\":\"long enough\",\"publish\":[\"live/*\"],\"read\":[]},"
        "{\"name\":\"any\",\"read\":[\"public/*\"]}]}",
        "live/demo");
    const struct question questions[] = {
        {ACCESS_PUBLISH, "live/a", "192.0.2.7", "studio", "long enough", NULL, false, 0},
        {ACCESS_PUBLISH, "live/a", "192.0.2.7", NULL, NULL, "user=studio&pass=long%20enough", false,
         0},
        {ACCESS_PUBLISH, "live/a", "192.0.2.7", NULL, NULL, "user=studio&password=long+enough",
         false, 0},
        {ACCESS_PUBLISH, "live/a", "192.0.2.7", "studio", "long enougX", NULL, false, -EACCES},
        {ACCESS_PUBLISH, "live/a", "192.0.2.7", "studio", NULL, NULL, false, -EACCES},
        {ACCESS_PUBLISH, "other/a", "192.0.2.7", "studio", "long enough", NULL, false, -EACCES},
        {ACCESS_READ, "live/a", "192.0.2.7", "studio", "long enough", NULL, false, -EACCES},
        {ACCESS_READ, "public/x", "192.0.2.7", NULL, NULL, NULL, false, 0},
        /* This machine has no rights of its own any more, but for the demo's path. */
        {ACCESS_PUBLISH, "live/a", "127.0.0.1", NULL, NULL, NULL, false, -EPERM},
        {ACCESS_PUBLISH, "live/demo", "127.0.0.1", NULL, NULL, NULL, false, 0},
        {ACCESS_PUBLISH, "live/demo", "192.0.2.7", NULL, NULL, NULL, false, -EPERM},
    };
    ask_all(rules, questions, sizeof(questions) / sizeof(questions[0]));
    access_rules_free(rules);
}

static void test_the_api_needs_its_own_right(void **state)
{
    struct access_rules *rules =
        rules_from("{\"users\":[{\"name\":\"op\",\"password\":\"operator1\",\"api\":true},"
                   "{\"name\":\"cam\",\"password\":\"camera123\",\"publish\":[\"*\"]}]}",
                   NULL);
    struct sockaddr_in local = peer("127.0.0.1");
    const struct sockaddr *sa = (const struct sockaddr *)&local;
    assert_int_equal(access_rules_api(rules, "op", "operator1", sa, true), 0);
    assert_int_equal(access_rules_api(rules, "op", "operator2", sa, false), -EACCES);
    assert_int_equal(access_rules_api(rules, "cam", "camera123", sa, false), -EACCES);
    assert_int_equal(access_rules_api(rules, NULL, NULL, sa, false), -EPERM);
    access_rules_free(rules);
}

static void test_bad_users_are_refused_with_their_field(void **state)
{
    static const struct {
        const char *json;
        const char *where;
    } bad[] = {
        {"{\"users\":[{\"name\":\"a\"}]}", "users[0].password"},
        {"{\"users\":[{\"name\":\"any\",\"password\":\"12345678\"}]}", "users[0].password"},
        {"{\"users\":[{\"name\":\"a\",\"password\":\"short\"}]}", "users[0].password"},
        {"{\"users\":[{\"password\":\"12345678\"}]}", "users[0].name"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct access_config config;
        struct error err = {0};
        assert_int_equal(
            model_parse_json(&access_config_model, &config, BYTES_STR(bad[i].json), NULL, &err),
            -EINVAL);
        assert_string_equal(err.where, bad[i].where);
    }
}

static void test_patterns(void **state)
{
    assert_true(access_pattern_match("*", "live/a"));
    assert_true(access_pattern_match("live/*", "live/a/b"));
    assert_false(access_pattern_match("live/*", "liver/a"));
    assert_true(access_pattern_match("*/cam-*", "x/y/cam-1"));
    assert_false(access_pattern_match("live/a", "live/ab"));
    assert_true(access_pattern_match("a*b*c", "aXbYbZc"));
    assert_false(access_pattern_match("", "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_users_only_this_machine_may),
        cmocka_unit_test(test_users_have_their_paths_and_nothing_else),
        cmocka_unit_test(test_the_api_needs_its_own_right),
        cmocka_unit_test(test_bad_users_are_refused_with_their_field),
        cmocka_unit_test(test_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
