/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "service/access/access.h"
#include "store/hash.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define NOW_WALL_NS INT64_C(1700000000000000000)
#define NOW_MONO_NS INT64_C(5000000000)
#define HOUR_NS     INT64_C(3600000000000)

static const struct access_now at = {.wall_ns = NOW_WALL_NS, .mono_ns = NOW_MONO_NS};

static struct access_rules *rules_with(const char *json, const struct access_key_list *keys,
                                       const char *demo)
{
    struct access_config config;
    struct error err = {0};
    int r = model_parse_json(&access_config_model, &config, BYTES_STR(json), NULL, &err);
    if (r < 0) {
        print_error("%s: %s\n", err.where, err.text);
    }
    assert_return_code(r, 0);
    struct access_rules *rules = access_rules_new(&config, keys, NULL, demo);
    model_done(&access_config_model, &config);
    return rules;
}

static struct access_rules *rules_from(const char *json, const char *demo)
{
    return rules_with(json, NULL, demo);
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
    const char *token;
    const char *granted; /* the path, when it is another one */
    uint64_t serial;
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
            .token = q->token,
            .peer = (struct sockaddr *)&in,
            .forwarded = q->forwarded,
        };
        access_rules_ask(rules, &req, &at, &answer);
        if (answer.result != q->result) {
            print_error("question %zu: %d instead of %d\n", i, answer.result, q->result);
        }
        assert_int_equal(answer.result, q->result);
        if (q->result == 0) {
            assert_string_equal(answer.path, q->granted ? q->granted : q->path);
            assert_int_equal(answer.serial, q->serial);
        } else {
            assert_null(strstr(answer.err.text, "sk_"));
        }
    }
}

static int api(struct access_rules *rules, const char *user, const char *password,
               const char *token, enum access_scope scope, const char *address, bool forwarded)
{
    struct sockaddr_in in = peer(address);
    const struct access_request req = {
        .user = user,
        .password = password,
        .token = token,
        .peer = (struct sockaddr *)&in,
        .forwarded = forwarded,
    };
    struct access_answer answer = {.result = -EINPROGRESS};
    (void)access_rules_api(rules, &req, scope, &at, &answer);
    return answer.result;
}

static void test_without_users_only_this_machine_may(void **state)
{
    struct access_rules *rules = rules_from("{}", NULL);
    const struct question questions[] = {
        {ACCESS_PUBLISH, "live/a", "127.0.0.1", .result = 0},
        {ACCESS_READ, "live/a", "127.9.9.9", .result = 0},
        {ACCESS_READ, "live/a", "127.0.0.1", .forwarded = true, .result = -EPERM},
        {ACCESS_PUBLISH, "live/a", "192.0.2.7", .result = -EPERM},
        {ACCESS_READ, "live/a", "192.0.2.7", .user = "who", .password = "ever", .result = -EACCES},
    };
    ask_all(rules, questions, sizeof(questions) / sizeof(questions[0]));
    access_rules_unref(&rules);
}

static int ask_with_proof(const struct access_rules *rules, const char *user, const char *salt,
                          const char *challenge, const char *response)
{
    struct sockaddr_in in = peer("192.0.2.7");
    struct access_answer answer;
    const struct access_request req = {
        .action = ACCESS_PUBLISH,
        .path = "live/a",
        .user = user,
        .proof_salt = salt,
        .proof_challenge = challenge,
        .proof_response = response,
        .peer = (struct sockaddr *)&in,
    };
    access_rules_ask(rules, &req, &at, &answer);
    return answer.result;
}

/* response = base64(md5(base64(md5("studio5a17correct horse")) + "0badf00dcafe0001")), made by another program. */
static void test_a_proof_stands_for_the_password(void **state)
{
    static const char response[] = "sV0iEZPtHtmfS2A+kEgG2A==";
    static const char challenge[] = "0badf00dcafe0001";
    struct access_rules *rules = rules_from(
        "{\"users\":[{\"name\":\"studio\",\"password\":\"correct horse\",\"publish\":\"live/*\"},"
        "{\"name\":\"other\",\"password\":\"another horse\",\"publish\":\"live/*\"}]}",
        NULL);
    assert_int_equal(ask_with_proof(rules, "studio", "5a17", challenge, response), 0);
    assert_int_equal(ask_with_proof(rules, "other", "5a17", challenge, response), -EACCES);
    assert_int_equal(ask_with_proof(rules, "studio", "5a18", challenge, response), -EACCES);
    assert_int_equal(ask_with_proof(rules, "studio", "5a17", "0badf00dcafe0002", response),
                     -EACCES);
    assert_int_equal(ask_with_proof(rules, "studio", "5a17", challenge, ""), -EACCES);
    assert_int_equal(ask_with_proof(rules, NULL, "5a17", challenge, response), -EPERM);
    access_rules_unref(&rules);
}

static void test_users_have_their_paths_and_nothing_else(void **state)
{
    struct access_rules *rules = rules_from(
        "{\"users\":[{\"name\":\"studio\",\"password\":\"long enough\",\"publish\":[\"live/*\"],\"read\":[]},"
        "{\"name\":\"any\",\"read\":[\"public/*\"]}]}",
        "live/demo");
    const struct question questions[] = {
        {ACCESS_PUBLISH, "live/a", "192.0.2.7", .user = "studio", .password = "long enough"},
        {ACCESS_PUBLISH, "live/a", "192.0.2.7", .query = "user=studio&pass=long%20enough"},
        {ACCESS_PUBLISH, "live/a", "192.0.2.7", .query = "user=studio&password=long+enough"},
        {ACCESS_PUBLISH, "live/a", "192.0.2.7", .user = "studio", .password = "long enougX",
         .result = -EACCES},
        {ACCESS_PUBLISH, "live/a", "192.0.2.7", .user = "studio", .result = -EACCES},
        {ACCESS_PUBLISH, "other/a", "192.0.2.7", .user = "studio", .password = "long enough",
         .result = -EACCES},
        {ACCESS_READ, "live/a", "192.0.2.7", .user = "studio", .password = "long enough",
         .result = -EACCES},
        {ACCESS_READ, "public/x", "192.0.2.7", .result = 0},
        /* This machine has no rights of its own any more, but for the demo's path. */
        {ACCESS_PUBLISH, "live/a", "127.0.0.1", .result = -EPERM},
        {ACCESS_PUBLISH, "live/demo", "127.0.0.1", .result = 0},
        {ACCESS_PUBLISH, "live/demo", "192.0.2.7", .result = -EPERM},
    };
    ask_all(rules, questions, sizeof(questions) / sizeof(questions[0]));
    access_rules_unref(&rules);
}

static void test_the_api_needs_its_own_right(void **state)
{
    struct access_rules *rules =
        rules_from("{\"users\":[{\"name\":\"op\",\"password\":\"operator1\",\"api\":true},"
                   "{\"name\":\"cam\",\"password\":\"camera123\",\"publish\":[\"*\"]}]}",
                   NULL);
    assert_int_equal(api(rules, "op", "operator1", NULL, ACCESS_SCOPE_ADMIN, "127.0.0.1", true), 0);
    assert_int_equal(api(rules, "op", "operator2", NULL, ACCESS_SCOPE_READ, "127.0.0.1", false),
                     -EACCES);
    assert_int_equal(api(rules, "cam", "camera123", NULL, ACCESS_SCOPE_READ, "127.0.0.1", false),
                     -EACCES);
    assert_int_equal(api(rules, NULL, NULL, NULL, ACCESS_SCOPE_READ, "127.0.0.1", false), -EPERM);
    access_rules_unref(&rules);
}

#define STREAM_KEY  "sk_0123456789abcdef0123456789abcdef"
#define EXPIRED_KEY "sk_expired789abcdef0123456789abcdef"
#define WATCH_KEY   "mk_watch56789abcdef0123456789abcdef"
#define ADMIN_KEY   "mk_admin56789abcdef0123456789abcdef"
#define READ_KEY    "mk_readr56789abcdef0123456789abcdef"

static struct access_key made_key(const char *secret, const char *json)
{
    struct access_key k;
    char hash[HASH_TEXT_MAX];
    assert_int_equal(hash_key(secret, hash), 0);
    char *doc = NULL;
    assert_true(asprintf(&doc, "{\"id\":\"%.8s\",\"hash\":\"%s\"%s}", secret, hash, json) > 0);
    struct error err = {0};
    assert_int_equal(model_parse_json(&access_key_model, &k, BYTES_STR(doc), NULL, &err), 0);
    free(doc);
    return k;
}

static struct access_rules *rules_with_keys(const char *json)
{
    struct access_key keys[] = {
        made_key(STREAM_KEY, ",\"path\":\"live/cam1\""),
        made_key(EXPIRED_KEY, ",\"path\":\"live/cam2\""),
        made_key(WATCH_KEY, ",\"scopes\":[\"watch\"],\"paths\":[\"live/*\"]"),
        made_key(ADMIN_KEY, ",\"scopes\":[\"admin\"],\"paths\":[\"*\"]"),
        made_key(READ_KEY, ",\"scopes\":[\"read\"],\"paths\":[\"*\"]"),
    };
    size_t n = sizeof(keys) / sizeof(keys[0]);
    keys[1].expires_at = NOW_WALL_NS;
    keys[2].expires_at = NOW_WALL_NS + HOUR_NS;
    for (size_t i = 0; i < n; i++) {
        keys[i].serial = i + 1;
    }
    const struct access_key_list list = {{keys, n}};
    struct access_rules *rules = rules_with(json, &list, NULL);
    for (size_t i = 0; i < n; i++) {
        model_done(&access_key_model, &keys[i]);
    }
    return rules;
}

static void test_keys_open_what_they_say(void **state)
{
    struct access_rules *rules = rules_with_keys("{}");
    const char *far = "192.0.2.7";
    const struct question questions[] = {
        /* As OBS sends it: the key stands for the path, whatever the application is called. */
        {ACCESS_PUBLISH, "live/" STREAM_KEY, far, .granted = "live/cam1", .serial = 1},
        {ACCESS_PUBLISH, STREAM_KEY, far, .granted = "live/cam1", .serial = 1},
        {ACCESS_PUBLISH, "live/cam1", far, .token = STREAM_KEY, .serial = 1},
        {ACCESS_PUBLISH, "live/cam1", far, .query = "token=" STREAM_KEY, .serial = 1},
        {ACCESS_PUBLISH, "live/cam1", far, .user = "any", .password = STREAM_KEY, .serial = 1},
        {ACCESS_PUBLISH, "live/other", far, .token = STREAM_KEY, .result = -EACCES},
        {ACCESS_READ, "live/cam1", far, .token = STREAM_KEY, .result = -EACCES},
        {ACCESS_READ, "live/" STREAM_KEY, far, .result = -EACCES},
        /* What is no key of ours opens nothing, from this machine neither: it may be a key that was deleted. */
        {ACCESS_PUBLISH, "live/sk_0123456789abcdef0123456789abcdeX", far, .result = -EACCES},
        {ACCESS_PUBLISH, "live/sk_0123456789abcdef0123456789abcdeX", "127.0.0.1",
         .result = -EACCES},
        {ACCESS_PUBLISH, "live/sk_", "127.0.0.1", .result = -EACCES},
        {ACCESS_PUBLISH, "live/" WATCH_KEY, far, .result = -EPERM},
        {ACCESS_PUBLISH, "live/" EXPIRED_KEY, far, .result = -EACCES},
        {ACCESS_READ, "live/a", far, .token = WATCH_KEY, .serial = 3},
        {ACCESS_READ, "other/a", far, .token = WATCH_KEY, .result = -EACCES},
        {ACCESS_PUBLISH, "live/a", far, .token = WATCH_KEY, .result = -EACCES},
        {ACCESS_PUBLISH, "x/y", far, .token = ADMIN_KEY, .serial = 4},
        {ACCESS_READ, "x/y", far, .token = READ_KEY, .result = -EACCES},
        /* The hash is no key. */
        {ACCESS_READ, "live/a", far, .token = "hashed:v1:mk_watch:00", .result = -EACCES},
    };
    ask_all(rules, questions, sizeof(questions) / sizeof(questions[0]));
    access_rules_unref(&rules);
}

static void test_a_keys_end_is_the_sessions(void **state)
{
    struct access_rules *rules = rules_with_keys("{}");
    struct sockaddr_in in = peer("192.0.2.7");
    struct access_answer answer;
    const struct access_request req = {.action = ACCESS_READ,
                                       .path = "live/a",
                                       .token = WATCH_KEY,
                                       .peer = (struct sockaddr *)&in};
    access_rules_ask(rules, &req, &at, &answer);
    assert_int_equal(answer.result, 0);
    assert_int_equal(answer.expires_mono_ns, NOW_MONO_NS + HOUR_NS);
    const struct access_now later = {.wall_ns = NOW_WALL_NS + HOUR_NS,
                                     .mono_ns = NOW_MONO_NS + HOUR_NS};
    access_rules_ask(rules, &req, &later, &answer);
    assert_int_equal(answer.result, -EACCES);
    access_rules_unref(&rules);
}

static void test_scopes_of_the_api(void **state)
{
    struct access_rules *rules = rules_with_keys("{}");
    const char *far = "192.0.2.7";
    assert_int_equal(api(rules, NULL, NULL, READ_KEY, ACCESS_SCOPE_READ, far, false), 0);
    assert_int_equal(api(rules, NULL, NULL, READ_KEY, ACCESS_SCOPE_ADMIN, far, false), -EACCES);
    assert_int_equal(api(rules, NULL, NULL, ADMIN_KEY, ACCESS_SCOPE_READ, far, false), 0);
    assert_int_equal(api(rules, "x", ADMIN_KEY, NULL, ACCESS_SCOPE_ADMIN, far, false), 0);
    assert_int_equal(api(rules, NULL, NULL, WATCH_KEY, ACCESS_SCOPE_READ, far, false), -EACCES);
    assert_int_equal(api(rules, NULL, NULL, STREAM_KEY, ACCESS_SCOPE_READ, far, false), -EACCES);
    assert_int_equal(api(rules, NULL, NULL, NULL, ACCESS_SCOPE_READ, far, false), -EPERM);
    /* Keys alone do not take this machine's right, so that the first key can be made there. */
    assert_int_equal(api(rules, NULL, NULL, NULL, ACCESS_SCOPE_ADMIN, "127.0.0.1", false), 0);
    assert_int_equal(access_scope_from_route("read"), ACCESS_SCOPE_READ);
    assert_int_equal(access_scope_from_route("something new"), ACCESS_SCOPE_ADMIN);
    access_rules_unref(&rules);
}

static void test_what_keys_cannot_be(void **state)
{
    static const struct {
        const struct model *model;
        const char *json;
        const char *where;
    } bad[] = {
        {&access_api_key_new, "{}", "scopes"},
        {&access_api_key_new, "{\"scopes\":[]}", "scopes"},
        {&access_api_key_new, "{\"scopes\":[\"root\"]}", "scopes[0]"},
        {&access_api_key_new, "{\"scopes\":[\"read\"],\"hash\":\"x\"}", "hash"},
        {&access_stream_key_new, "{}", "path"},
        {&access_stream_key_new, "{\"path\":\"../etc\"}", "path"},
        {&access_stream_key_new, "{\"path\":\"live/sk_x\"}", "path"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct access_key k;
        struct error err = {0};
        assert_int_equal(model_parse_json(bad[i].model, &k, BYTES_STR(bad[i].json), NULL, &err),
                         -EINVAL);
        assert_string_equal(err.where, bad[i].where);
    }
}

static void test_tables_are_sound(void **state)
{
    const struct model *const models[] = {
        &access_config_model,      &access_key_model,
        &access_api_key_new,       &access_stream_key_new,
        &access_api_key_view,      &access_stream_key_view,
        &access_api_key_list_view, &access_stream_key_list_view,
    };
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        struct error err = {0};
        if (model_check(models[i], &err) < 0) {
            print_error("%s: %s: %s\n", models[i]->name, err.where, err.text);
        }
        assert_int_equal(err.code, 0);
    }
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
        cmocka_unit_test(test_a_proof_stands_for_the_password),
        cmocka_unit_test(test_users_have_their_paths_and_nothing_else),
        cmocka_unit_test(test_the_api_needs_its_own_right),
        cmocka_unit_test(test_bad_users_are_refused_with_their_field),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_keys_open_what_they_say),
        cmocka_unit_test(test_a_keys_end_is_the_sessions),
        cmocka_unit_test(test_scopes_of_the_api),
        cmocka_unit_test(test_what_keys_cannot_be),
        cmocka_unit_test(test_tables_are_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
