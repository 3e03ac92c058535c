/* SPDX-License-Identifier: Apache-2.0 */
/* What is sent and for which events: signature, Retry-After, patterns, and what a webhook may not be. */
#include "../unit.h"

#include "base/mem.h"
#include "service/webhook/webhook_send.h"
#include "service/webhook/webhook_service.h"

#include <errno.h>
#include <string.h>

static void test_the_tables_are_sound(void **state)
{
    const struct model *const models[] = {
        &webhook_file_model,          &webhook_stored_model,        &webhook_new_model,
        &webhook_view_model,          &webhook_view_list_model,     &webhook_delivery_model,
        &webhook_delivery_view_model, &webhook_delivery_list_model, &webhook_test_model,
    };
    for (unsigned i = 0; i < ARRAY_LEN(models); i++) {
        struct error err = {0};
        if (model_check(models[i], &err) < 0) {
            fail_msg("%s: %s %s", models[i]->name, err.where, err.text);
        }
    }
}

static void test_the_signature(void **state)
{
    char text[WEBHOOK_SIGNATURE_MAX];
    /* By Python's hmac over "1700000000.{"id":"a-1"}". */
    webhook_signature("whsec_0123456789abcdef", 1700000000 * NS_PER_S + 999999999,
                      BYTES_STR("{\"id\":\"a-1\"}"), text);
    assert_string_equal(text, "t=1700000000,v1="
                              "c38f60fe9e4d5c88c9ab65d1c77ae5ccf8a72797efe520dff15881f613e4b5e1");
    char other[WEBHOOK_SIGNATURE_MAX];
    webhook_signature("whsec_0123456789abcdef", 1700000001 * NS_PER_S,
                      BYTES_STR("{\"id\":\"a-1\"}"), other);
    assert_string_not_equal(strchr(text, ','), strchr(other, ','));
}

static void test_retry_after(void **state)
{
    const int64_t now =
        784111777 * NS_PER_S; /* Sun, 06 Nov 1994 08:49:37 GMT, RFC 9110's example */
    static const struct {
        const char *value;
        int64_t wait;
    } cases[] = {
        {"0", 0},
        {"120", 120 * NS_PER_S},
        {"Sun, 06 Nov 1994 08:49:37 GMT", 0},
        {"Sun, 06 Nov 1994 08:50:37 GMT", 60 * NS_PER_S},
        {"Sun, 06 Nov 1994 07:00:00 GMT", 0},
        {"", 0},
        {"-5", 0},
        {"12x", 0},
        {"soon", 0},
        {"Sun, 06 Nov 1994 08:50:37 GMT and more", 0},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(webhook_retry_after(cases[i].value, now), cases[i].wait);
    }
    assert_true(webhook_retry_after("99999999999999999999", now) > WEBHOOK_WAIT_MAX_NS);
    assert_true(webhook_retry_after("Fri, 31 Dec 9999 23:59:59 GMT", now) > WEBHOOK_WAIT_MAX_NS);
}

static struct webhook webhook_from(const char *json)
{
    struct webhook w;
    struct error err = {0};
    if (model_parse_json(&webhook_new_model, &w, BYTES_STR(json), NULL, &err) < 0) {
        fail_msg("%s: %s %s", json, err.where, err.text);
    }
    return w;
}

static void test_which_events_are_wanted(void **state)
{
    static const struct {
        const char *patterns;
        const char *type;
        const char *resource;
        bool wanted;
    } cases[] = {
        {"", "stream.ready", "streams/live/a", true},
        {"", "config.reloaded", "config", true},
        {"", "webhook.dead", "webhooks/x", false},
        {",\"enabled\":false", "stream.ready", "streams/live/a", false},
        {",\"events\":\"stream.*\"", "stream.ready", "streams/live/a", true},
        {",\"events\":\"stream.*\"", "reader.joined", "streams/live/a", false},
        {",\"events\":[\"reader.left\",\"stream.lost\"]", "stream.lost", "streams/a", true},
        {",\"paths\":\"live/*\"", "stream.ready", "streams/live/a", true},
        {",\"paths\":\"live/*\"", "stream.ready", "streams/other/a", false},
        {",\"paths\":\"live/*\"", "config.reloaded", "config", false},
        {"", "stream.ready", "streams/live/a~opus", false},
        {",\"paths\":\"live/*\"", "stream.ready", "streams/live/a~opus", false},
        {",\"paths\":[\"live/*\",\"*~*\"]", "stream.ready", "streams/live/a~opus", true},
        {",\"paths\":\"*~aac\"", "stream.ready", "streams/live/a~opus", false},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_free_ char *json = mem_printf("{\"url\":\"http://h/\"%s}", cases[i].patterns);
        struct webhook w = webhook_from(json);
        const struct event e = {.type = cases[i].type, .resource = cases[i].resource};
        if (webhook_wants(&w, &e) != cases[i].wanted) {
            fail_msg("%s: %s %s", json, cases[i].type, cases[i].resource);
        }
        webhook_done(&w);
    }
}

static void test_what_a_webhook_may_not_be(void **state)
{
    static const char *const bad[] = {
        "{}",
        "{\"url\":\"ftp://h/\"}",
        "{\"url\":\"http:///\"}",
        "{\"url\":\"nonsense\"}",
        "{\"url\":\"file:///etc/passwd\"}",
        "{\"url\":\"http://h/\",\"secret\":\"short\"}",
        "{\"url\":\"http://h/\",\"events\":[]}",
        "{\"url\":\"http://h/\",\"id\":\"mine\"}",
        "{\"url\":\"http://h/\",\"timeout\":\"10h\"}",
        "{\"url\":\"http://h/\",\"headers\":{\"Host\":\"x\"}}",
        "{\"url\":\"http://h/\",\"headers\":{\"content-LENGTH\":\"1\"}}",
        "{\"url\":\"http://h/\",\"headers\":{\"Mast-Signature\":\"x\"}}",
        "{\"url\":\"http://h/\",\"headers\":{\"a b\":\"x\"}}",
        "{\"url\":\"http://h/\",\"headers\":{\"a:\":\"x\"}}",
        "{\"url\":\"http://h/\",\"headers\":{\"\":\"x\"}}",
        "{\"url\":\"http://h/\",\"headers\":{\"A\":\"x\\r\\nHost: y\"}}",
        "{\"url\":\"http://h/\",\"headers\":{\"A\":\"\"}}",
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct webhook w;
        struct error err = {0};
        if (model_parse_json(&webhook_new_model, &w, BYTES_STR(bad[i]), NULL, &err) != -EINVAL) {
            fail_msg("%s was taken", bad[i]);
        }
    }
    struct webhook w;
    static const char *const bad_names[] = {"wh_mine", "a b", "a/b", "", "a%"};
    for (unsigned i = 0; i < ARRAY_LEN(bad_names); i++) {
        _cleanup_free_ char *json =
            mem_printf("{\"name\":\"%s\",\"url\":\"http://h/\"}", bad_names[i]);
        assert_int_equal(model_parse_json(&webhook_file_model, &w, BYTES_STR(json), NULL, NULL),
                         -EINVAL);
    }
}

static void test_secrets_are_not_shown(void **state)
{
    struct webhook w =
        webhook_from("{\"url\":\"http://u:pass1word@h/?token=abcd1234\",\"secret\":"
                     "\"0123456789abcdefg\",\"headers\":{\"Authorization\":\"Bearer zzz\"}}");
    _cleanup_free_ char *json = model_to_json(&webhook_stored_model, &w, MODEL_SECRETS_REDACTED);
    assert_null(strstr(json, "pass1word"));
    assert_null(strstr(json, "abcd1234"));
    assert_null(strstr(json, "0123456789"));
    assert_null(strstr(json, "zzz"));
    webhook_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_tables_are_sound),
        cmocka_unit_test(test_the_signature),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_which_events_are_wanted),
        cmocka_unit_test(test_what_a_webhook_may_not_be),
        cmocka_unit_test(test_secrets_are_not_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
