/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The challenge of publishers: the three connects of an encoder with credentials, those that are not asked, and answers to
 * challenges that are not ours. That real encoders give right answers is shown in test/e2e/interop.test.mjs.
 */
#include "../unit.h"

#include "protocol/rtmp/rtmp_auth_wire.h"
#include "protocol/rtmp/rtmp_server_wire.h"

#include <errno.h>

static const uint8_t KEY[RTMP_AUTH_KEY_LEN] = {1, 2, 3};
static const uint8_t OTHER_KEY[RTMP_AUTH_KEY_LEN] = {1, 2, 4};

static char *ask(const struct rtmp_auth *a, const char *query, uint32_t now_ms, int result)
{
    struct rtmp_proof proof = {0};
    struct out text = {0};
    struct error err = {0};
    assert_int_equal(rtmp_auth_read(a, query, now_ms, &proof, &text, &err), result);
    assert_null(proof.response);
    return out_take_str(&text);
}

/* The value of a parameter of "...?reason=needauth&user=..&salt=..&challenge=..&opaque=..". */
static char *parameter(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    assert_non_null(at);
    at += strlen(name);
    return mem_strndup(at, strcspn(at, "&"));
}

static void test_steps(void **state)
{
    struct rtmp_auth a;
    rtmp_auth_init(&a, KEY);
    _cleanup_free_ char *first = ask(&a, NULL, 1000, 0);
    assert_non_null(strstr(first, "code=403 need auth"));
    assert_non_null(strstr(first, "authmod=adobe"));
    _cleanup_free_ char *second = ask(&a, "authmod=adobe&user=bob", 1000, 0);
    assert_non_null(strstr(second, "?reason=needauth&user=bob&"));
    assert_null(strstr(second, "code=403"));
    _cleanup_free_ char *salt = parameter(second, "&salt=");
    _cleanup_free_ char *opaque = parameter(second, "&opaque=");
    assert_string_equal(salt, a.salt);

    struct rtmp_proof proof = {0};
    struct out text = {0};
    _cleanup_free_ char *third =
        mem_printf("authmod=adobe&user=bob&challenge=00ff&response=a+/%%3D=&opaque=%s", opaque);
    assert_int_equal(rtmp_auth_read(&a, third, 1000 + RTMP_AUTH_VALID_MS, &proof, &text, NULL), 1);
    assert_int_equal(text.len, 0);
    assert_string_equal(proof.salt, salt);
    assert_int_equal(strncmp(proof.challenge, opaque, strlen(opaque)), 0);
    assert_string_equal(proof.challenge + strlen(opaque), "00ff");
    assert_string_equal(proof.response, "a+/==");
    rtmp_proof_done(&proof);

    /* Too late, of the future, of another server, changed, none. */
    _cleanup_free_ char *late = ask(&a, third, 1001 + RTMP_AUTH_VALID_MS, -EACCES);
    assert_non_null(strstr(late, "?reason=authfailed"));
    free(ask(&a, third, 999, -EACCES));
    struct rtmp_auth b;
    rtmp_auth_init(&b, OTHER_KEY);
    assert_string_not_equal(a.salt, b.salt);
    free(ask(&b, third, 1000, -EACCES));
    third[strlen(third) - 1] ^= 1;
    free(ask(&a, third, 1000, -EACCES));
    free(ask(&a, "authmod=adobe&user=bob&challenge=1&response=2", 1000, -EACCES));
    free(ask(&a, "authmod=adobe&user=bob&challenge=1&response=2&opaque=", 1000, -EACCES));
}

static void test_other_methods_are_asked_for_ours(void **state)
{
    struct rtmp_auth a;
    rtmp_auth_init(&a, KEY);
    static const char *const queries[] = {"",
                                          "authmod=llnw&user=bob",
                                          "authmod=adobe",
                                          "authmod=adobe&user=",
                                          "xauthmod=adobe&user=bob",
                                          "&&="};
    for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
        _cleanup_free_ char *text = ask(&a, queries[i], 1, 0);
        assert_non_null(strstr(text, "code=403 need auth; authmod=adobe"));
    }
}

/* ---- in connect ---- */

/* Read as a client reads it, from the chunk size it begins with. */
static bool says(struct bytes wire, const char *what)
{
    struct rtmp_chunk_reader reader;
    rtmp_chunk_reader_init(&reader, 65536);
    struct rd rd = rd_init(wire);
    struct rtmp_message m;
    bool found = false;
    int r = 0;
    while ((r = rtmp_chunk_read(&reader, &rd, &m, NULL)) > 0) {
        found = found || (m.type == RTMP_COMMAND && m.body.len > 0 &&
                          memmem(m.body.data, m.body.len, what, strlen(what)));
    }
    assert_int_equal(r, 0);
    rtmp_chunk_reader_done(&reader);
    return found;
}

static int connect_with(struct rtmp_server_wire *w, const char *app, const char *type,
                        struct out *out)
{
    uint8_t *hello = mem_zalloc(1 + 2 * RTMP_HANDSHAKE_SIZE);
    hello[0] = 3;
    struct rd rd = rd_init(BYTES(hello, 1 + 2 * RTMP_HANDSHAKE_SIZE));
    struct rtmp_server_event ev = {0};
    assert_int_equal(rtmp_server_wire_next(w, &rd, out, &ev, NULL), 0);
    free(hello);
    out->len = 0;

    _cleanup_(out_done) struct out body = {0};
    _cleanup_(out_done) struct out wire = {0};
    amf_put_str(&body, "connect");
    amf_put_number(&body, 1);
    amf_begin_object(&body);
    amf_put_member_str(&body, "app", app);
    amf_put_member_str(&body, "tcUrl", "rtmp://127.0.0.1/live");
    if (type) {
        amf_put_member_str(&body, "type", type);
    }
    amf_end(&body);
    const struct rtmp_message m = {RTMP_COMMAND, 3, 0, 0, out_view(&body)};
    rtmp_chunk_write(&wire, &m, RTMP_CHUNK_SIZE_DEFAULT);
    rd = rd_init(out_view(&wire));
    struct error err = {0};
    const int r = rtmp_server_wire_next(w, &rd, out, &ev, &err);
    if (r == 1) {
        assert_int_equal(ev.type, RTMP_EVENT_LEAVE);
    }
    return r;
}

static void test_who_is_asked(void **state)
{
    static const struct {
        const char *app;
        const char *type;
        bool challenge;
        int result;
        const char *says; /* among the answers */
    } t[] = {
        {"live", "nonprivate", true, 1, "code=403 need auth"},
        {"live?authmod=adobe&user=u", "nonprivate", true, 1, "?reason=needauth&user=u"},
        {"live?authmod=adobe&user=u&response=r&opaque=o", "nonprivate", true, -EACCES,
         "authfailed"},
        {"live?user=u&pass=p", "nonprivate", true, 0, "NetConnection.Connect.Success"},
        {"live", NULL, true, 0, "NetConnection.Connect.Success"},
        {"live", "nonprivate", false, 0, "NetConnection.Connect.Success"},
    };
    struct rtmp_auth a;
    rtmp_auth_init(&a, KEY);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct rtmp_server_wire w;
        _cleanup_(out_done) struct out out = {0};
        rtmp_server_wire_init(&w, 1, 1);
        w.auth = t[i].challenge ? &a : NULL;
        assert_int_equal(connect_with(&w, t[i].app, t[i].type, &out), t[i].result);
        assert_true(says(out_view(&out), t[i].says));
        assert_int_equal(w.state, t[i].result ? RTMP_SERVER_CONNECT : RTMP_SERVER_IDLE);
        rtmp_server_wire_done(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_other_methods_are_asked_for_ours),
        cmocka_unit_test(test_who_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
