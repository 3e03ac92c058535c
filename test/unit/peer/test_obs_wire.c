/* SPDX-License-Identifier: Apache-2.0 */
/* Messages as a real OBS 29 (obs-websocket 5.1) sent them. */
#include "../unit.h"

#include "base/mem.h"
#include "peer/obs/obs_wire.h"

#include <stdlib.h>
#include <string.h>

#define SALT      "e33uKMqdduNbLAzWbBJMk+4eZBByXTkgy6c7IACLDuM="
#define CHALLENGE "pcm+iow5A5p+tLNuy1n5o/1Jupn01lhkhkhF37qEO6c="

static struct obs_message parse(const char *json)
{
    struct obs_message m;
    struct error err = {0};
    if (obs_message_parse(BYTES_STR(json), &m, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    return m;
}

static void test_the_proof_of_a_password(void **state)
{
    struct obs_message m =
        parse("{\"d\":{\"authentication\":{\"challenge\":\"" CHALLENGE "\",\"salt\":\"" SALT
              "\"},\"obsWebSocketVersion\":\"5.1.0\",\"rpcVersion\":1},\"op\":0}");
    assert_int_equal(m.op, OBS_OP_HELLO);
    _cleanup_free_ char *proof = obs_authentication("obs-secret-pw", m.salt, m.challenge);
    assert_string_equal(proof, "FSya8kqzv0prOct+dvW7e1EBV+wBydYwTDLBbWpdEoU=");
    obs_message_done(&m);
    m = parse("{\"d\":{\"obsWebSocketVersion\":\"5.1.0\",\"rpcVersion\":1},\"op\":0}");
    assert_null(m.challenge);
    obs_message_done(&m);
}

static void test_responses_and_events(void **state)
{
    struct obs_message m =
        parse("{\"d\":{\"requestId\":\"m7\",\"requestStatus\":{\"code\":500,\"result\":false,"
              "\"comment\":\"no\"},\"requestType\":\"StartStream\"},\"op\":7}");
    assert_int_equal(m.id, 7);
    assert_int_equal(m.code, 500);
    assert_false(m.result);
    assert_string_equal(m.comment, "no");
    obs_message_done(&m);
    m = parse("{\"op\":5,\"d\":{\"eventType\":\"StreamStateChanged\",\"eventIntent\":64,"
              "\"eventData\":{\"outputActive\":true,\"outputState\":"
              "\"OBS_WEBSOCKET_OUTPUT_STARTED\"}}}");
    assert_int_equal(m.output, OBS_OUTPUT_STARTED);
    obs_message_done(&m);
    m = parse("{\"op\":5,\"d\":{\"eventType\":\"Other\",\"eventIntent\":1}}");
    assert_int_equal(m.output, OBS_OUTPUT_UNKNOWN);
    obs_message_done(&m);
    m = parse("{\"d\":{\"requestId\":\"theirs\",\"requestStatus\":{\"result\":true}},\"op\":7}");
    assert_int_equal(m.id, 0);
    obs_message_done(&m);
}

static void test_nonsense_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{\"op\":7}",
        "{\"op\":\"7\",\"d\":{}}",
        "{\"op\":7,\"d\":[]}",
        "{\"op\":7,\"d\":{\"requestId\":5,\"requestStatus\":{\"result\":true}}}",
        "{\"op\":5,\"d\":{}}",
        "{\"op\":0,\"d\":{\"authentication\":{\"salt\":\"x\"}}}",
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct obs_message m;
        assert_true(obs_message_parse(BYTES_STR(bad[i]), &m, NULL) < 0);
    }
}

static void test_settings_are_told_apart(void **state)
{
    struct obs_service s;
    struct error err = {0};
    const struct obs_stream_target ours = {"rtmp://127.0.0.1:1935/live", "obs"};
    const struct obs_stream_target other = {"rtmp://127.0.0.1:1935/live", "cam"};
    _cleanup_(out_done) struct out o = {0};
    obs_put_target(&o, &ours);
    assert_int_equal(obs_service_parse(out_view(&o), &s, &err), 0);
    assert_true(obs_service_is(&s, &ours));
    assert_false(obs_service_is(&s, &other));
    /* What it was comes back as it was. */
    _cleanup_(out_done) struct out again = {0};
    obs_put_service(&again, &s);
    struct obs_service t;
    assert_int_equal(obs_service_parse(out_view(&again), &t, &err), 0);
    assert_true(obs_service_is(&t, &ours));
    model_done(&obs_service_model, &s);
    model_done(&obs_service_model, &t);
}

static void test_the_tables_are_sound(void **state)
{
    struct error err = {0};
    assert_int_equal(model_check(&obs_connection_model, &err), 0);
    assert_int_equal(model_check(&obs_service_model, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_proof_of_a_password),
        cmocka_unit_test(test_responses_and_events),
        cmocka_unit_test(test_nonsense_is_refused),
        cmocka_unit_test(test_settings_are_told_apart),
        cmocka_unit_test(test_the_tables_are_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
