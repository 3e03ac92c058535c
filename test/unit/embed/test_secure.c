/* SPDX-License-Identifier: Apache-2.0 */
/* The C API at a real Janus behind TLS, with a certificate of its own: whom it trusts, and what it says when it does not. */
#include "../unit.h"

#include "../await.h"
#include "../peer/real_janus.h"
#include "base/mem.h"
#include "heard.h"
#include "io/tls.h"

#include <errno.h>
#include <mast/mast.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world {
    struct loop *l;
    struct real_janus *real;
    struct mast *mast;
    struct heard heard;
    char dirs[2][32];
    char *own, *other; /* Janus' certificate, and that of somebody else */
};

static struct world *world_new(void)
{
    struct world *w = mem_new(struct world);
    for (unsigned i = 0; i < 2; i++) {
        snprintf(w->dirs[i], sizeof(w->dirs[i]), "/tmp/mast-secure-XXXXXX");
        assert_non_null(mkdtemp(w->dirs[i]));
    }
    w->own = tls_self_signed_file(w->dirs[0], NULL);
    w->other = tls_self_signed_file(w->dirs[1], NULL);
    assert_non_null(w->own);
    assert_non_null(w->other);
    w->l = loop_new("test", LOOP_CONTROL);
    w->real = real_janus_start_secure(w->l, w->own);
    w->mast = mast_new(&(struct mast_config){.log_level = MAST_LOG_ERROR});
    heard_init(&w->heard);
    return w;
}

static void world_free(struct world *w)
{
    char command[96];
    snprintf(command, sizeof(command), "rm -r %s %s", w->dirs[0], w->dirs[1]);
    assert_int_equal(mast_free(w->mast), 0);
    real_janus_stop(w->real);
    loop_free(w->l);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a test, fixed commands */
    heard_done(&w->heard);
    free(w->own);
    free(w->other);
    free(w);
}

/* ---- the client alone ---- */

static struct mast_janus *client(struct world *w, const char *name, struct mast_tls tls)
{
    const struct mast_janus_config config = {.name = name,
                                             .url = real_janus_url(w->real),
                                             .tls = tls,
                                             .api_secret = "apis3cret",
                                             .observer = heard_observer(&w->heard)};
    struct mast_janus *j = NULL;
    struct mast_error err = {0};
    if (mast_janus_new(w->mast, &config, &j, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    return j;
}

static bool says(struct mast_janus *j, const char *what)
{
    char *text = NULL;
    assert_int_equal(mast_janus_status_wait(j, &text, NULL), 0);
    bool found = strstr(text, what) != NULL;
    free(text);
    return found;
}

static void test_a_client_trusts_whom_it_is_told(void **state)
{
    struct world *w = world_new();
    struct mast_janus *right = client(w, "right", (struct mast_tls){.ca_file = w->own});
    struct mast_janus_handle *h = NULL;
    struct mast_error err = {0};
    assert_int_equal(mast_janus_attach(right, "janus.plugin.streaming", NULL, NULL, &h, NULL), 0);
    if (mast_janus_handle_ready_wait(h, &err) < 0) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(mast_janus_ask_wait(h, "{\"request\":\"list\"}", NULL, NULL), 0);
    /* Janus is there now: who is not let in has another reason. */
    struct mast_janus *wrong = client(w, "wrong", (struct mast_tls){.ca_file = w->other});
    struct mast_janus *system_only = client(w, "system", (struct mast_tls){0});
    struct mast_janus *any = client(w, "any", (struct mast_tls){.insecure = true});
    WAIT_UNTIL(has_heard(&w->heard, "any:up "));
    WAIT_UNTIL(has_heard(&w->heard, "wrong:down "));
    WAIT_UNTIL(has_heard(&w->heard, "system:down "));
    assert_true(says(wrong, "certificate"));
    assert_true(says(system_only, "certificate"));
    assert_true(says(any, "\"state\":\"up\""));
    assert_false(has_heard(&w->heard, "wrong:up "));
    assert_false(has_heard(&w->heard, "system:up "));
    world_free(w);
}

static void test_a_file_that_is_none(void **state)
{
    struct mast *m = mast_new(NULL);
    struct mast_janus *j = NULL;
    struct mast_obs *o = NULL;
    struct mast_orchestrator *all = NULL;
    struct mast_error err = {0};
    const struct mast_tls none = {.ca_file = "/no/such/file.pem"};
    const struct mast_janus_server server = {.url = "wss://127.0.0.1:9", .tls = none};
    assert_int_equal(
        mast_janus_new(m, &(struct mast_janus_config){.url = "wss://127.0.0.1:9", .tls = none}, &j,
                       &err),
        -ENOENT);
    assert_string_equal(err.where, "/no/such/file.pem");
    assert_null(j);
    assert_int_equal(
        mast_obs_new(m, &(struct mast_obs_config){.secure = true, .tls = none}, &o, &err), -ENOENT);
    assert_null(o);
    assert_int_equal(
        mast_orchestrator_new(m, &(struct mast_orchestrator_config){.janus = &server, .n_janus = 1},
                              &all, &err),
        -ENOENT);
    assert_int_equal(
        mast_orchestrator_new(m, &(struct mast_orchestrator_config){.tls = none}, &all, &err),
        -ENOENT);
    assert_null(all);
    assert_int_equal(mast_free(m), 0);
}

/* ---- an orchestrator with two servers, which are the same but for the trust ---- */

static void start(struct mast_orchestrator *o, const char *id, const char *janus, int mountpoint,
                  mast_done_fn done, void *user)
{
    _cleanup_free_ char *json = mem_printf(
        "{\"id\":\"%s\",\"janus\":\"%s\",\"source_kind\":\"frontend_owned\",\"room_id\":%d,"
        "\"mountpoint_spec\":{\"id\":%d,\"media\":[{\"type\":\"video\",\"mid\":\"v\",\"port\":0,"
        "\"pt\":96,\"codec\":\"h264\"}]}}",
        id, janus, mountpoint + 1000, mountpoint);
    mast_broadcast_start(o, json, done, user);
}

static void on_answer(void *user, const struct mast_reply *reply)
{
    hear(user, "answer", reply->r == 0 ? "it runs" : reply->text);
}

static bool waits_for_the_certificate(struct mast_orchestrator *o)
{
    char *text = NULL;
    assert_int_equal(mast_broadcast_result_wait(o, "two", &text, NULL), 0);
    bool found = strstr(text, "certificate") != NULL;
    free(text);
    return found;
}

static void test_an_orchestrator_trusts_each_server_apart(void **state)
{
    struct world *w = world_new();
    struct mast_janus_server servers[] = {
        {.name = "right", .tls = {.ca_file = w->own}},
        {.name = "wrong", .tls = {.ca_file = w->other}},
    };
    for (unsigned i = 0; i < ARRAY_LEN(servers); i++) {
        servers[i].url = real_janus_url(w->real);
        servers[i].api_secret = "apis3cret";
        servers[i].admin_key = "stream-admin";
        servers[i].room_admin_key = "room-admin";
    }
    const struct mast_orchestrator_config config = {
        .janus = servers, .n_janus = 2, .observer = heard_observer(&w->heard)};
    struct mast_orchestrator *o = NULL;
    assert_int_equal(mast_orchestrator_new(w->mast, &config, &o, NULL), 0);
    start(o, "one", "right", 9001, on_answer, &w->heard);
    WAIT_UNTIL(has_heard(&w->heard, "answer:"));
    assert_true(has_heard(&w->heard, "answer:it runs "));
    start(o, "two", "wrong", 9002, NULL, NULL);
    WAIT_UNTIL(waits_for_the_certificate(o));
    assert_false(has_heard(&w->heard, "two:running"));
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_client_trusts_whom_it_is_told),
        cmocka_unit_test(test_a_file_that_is_none),
        cmocka_unit_test(test_an_orchestrator_trusts_each_server_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
