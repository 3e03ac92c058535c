/* SPDX-License-Identifier: Apache-2.0 */
/* Keys over the store: made, kept over a restart, deleted with their sessions. */
#include "../store/folder.h"

#include "engine/stream.h"
#include "service/access/access_service.h"
#include "store/hash.h"

#include <arpa/inet.h>
#include <errno.h>

struct rig {
    char *dir;
    struct loop *control;
    struct store *store;
    struct engine *engine;
    struct access_service *s;
    int done;
    int r;
    char id[48];
    char secret[80];
};

static void open_service(struct rig *g)
{
    struct access_config config;
    struct error err = {0};
    model_init(&access_config_model, &config);
    g->control = loop_new("control", LOOP_CONTROL);
    assert_int_equal(store_open(&(struct store_config){.dir = g->dir}, &g->store, &err), 0);
    g->s = access_service_new(&(struct access_service_config){
        .access = &config, .store = g->store, .control = g->control});
    assert_int_equal(access_service_load(g->s, &err), 0);
    g->engine = engine_new(&(struct engine_config){.access = access_service_answerer(g->s)},
                           g->control, &g->control, 1);
    access_service_set_engine(g->s, g->engine);
    model_done(&access_config_model, &config);
}

static void close_service(struct rig *g)
{
    access_service_set_engine(g->s, NULL);
    g->engine = engine_free(g->engine);
    access_service_stop(g->s, NULL, 0);
    g->store = store_close(g->store);
    loop_free(g->control);
    g->s = access_service_free(g->s);
}

static void on_change(void *user, int r, const struct access_key *key, const struct error *err)
{
    struct rig *g = user;
    g->done++;
    g->r = r;
    snprintf(g->id, sizeof(g->id), "%s", key ? key->id : "");
    snprintf(g->secret, sizeof(g->secret), "%s", key && key->key ? key->key : "");
}

static void wait_change(struct rig *g, int done)
{
    for (int i = 0; g->done < done && i < 6000; i++) {
        loop_run_once(g->control, 10);
    }
    assert_int_equal(g->done, done);
}

static void on_answer(void *user, const struct access_answer *a)
{
    *(struct access_answer *)user = *a;
}

static struct access_answer ask_from(struct rig *g, const char *address, const char *path)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    inet_pton(AF_INET, address, &in.sin_addr);
    struct access_answer a = {.result = -EINPROGRESS};
    const struct access_request req = {
        .action = ACCESS_PUBLISH, .path = path, .peer = (struct sockaddr *)&in};
    (void)access_ask(g->engine, g->control, &req, on_answer, &a);
    for (int i = 0; a.result == -EINPROGRESS && i < 6000; i++) {
        loop_run_once(g->control, 10);
    }
    return a;
}

static struct access_answer ask(struct rig *g, const char *path)
{
    return ask_from(g, "192.0.2.7", path);
}

struct closing {
    int r;
};

static void on_publisher_open(void *user)
{
}

static void on_publisher_close(void *user, int r, const char *why)
{
    ((struct closing *)user)->r = r;
}

static void test_a_stream_key_lives_and_ends_its_session(void **state)
{
    struct rig g = {.dir = folder_new()};
    open_service(&g);
    access_key_create(g.s, &(struct access_key){.name = "one", .path = "live/cam1"}, on_change, &g);
    wait_change(&g, 1);
    assert_int_equal(g.r, 0);
    assert_int_equal(strncmp(g.secret, "sk_", 3), 0);
    assert_int_equal(strlen(g.secret), 3 + HASH_NEW_RANDOM);
    char asked[128];
    snprintf(asked, sizeof(asked), "live/%s", g.secret);
    assert_string_equal(ask(&g, asked).path, "live/cam1");
    close_service(&g);

    /* A new process knows it from the disk, where the key itself is not. */
    open_service(&g);
    assert_int_equal(access_keys(g.s)->items.len, 1);
    const struct access_key *k = &access_keys(g.s)->items.items[0];
    assert_string_equal(k->path, "live/cam1");
    assert_null(k->key);
    assert_null(strstr(k->hash, g.secret));
    struct access_answer a = ask(&g, asked);
    assert_int_equal(a.result, 0);
    assert_int_not_equal(a.serial, 0);

    struct closing closing = {0};
    struct publisher *p = publisher_open(
        g.engine, g.control,
        &(struct publisher_info){
            .path = a.path, .protocol = "test", .remote = "x", .access_serial = a.serial},
        &(struct publisher_ops){.on_open = on_publisher_open, .on_close = on_publisher_close},
        &closing);
    assert_non_null(p);
    access_key_delete(g.s, k->id, false, on_change, &g);
    wait_change(&g, 2);
    assert_int_equal(g.r, -ENOENT); /* it is no API key */
    access_key_delete(g.s, k->id, true, on_change, &g);
    wait_change(&g, 3);
    assert_int_equal(g.r, 0);
    for (int i = 0; closing.r == 0 && i < 6000; i++) {
        loop_run_once(g.control, 10);
    }
    assert_int_equal(closing.r, -EACCES);
    publisher_close(p);
    assert_int_equal(ask(&g, asked).result, -EACCES);
    access_key_delete(g.s, "nobody", true, on_change, &g);
    wait_change(&g, 4);
    assert_int_equal(g.r, -ENOENT);
    close_service(&g);

    open_service(&g);
    assert_int_equal(access_keys(g.s)->items.len, 0);
    close_service(&g);
    folder_free(g.dir);
}

/* Answers come later and later, but what cannot be guessed comes at once; what waits at the end is given. */
static void test_guessing_is_slowed(void **state)
{
    struct rig g = {.dir = folder_new()};
    open_service(&g);
    access_key_create(g.s, &(struct access_key){.path = "live/cam1"}, on_change, &g);
    wait_change(&g, 1);
    for (int i = 0; i < 4; i++) {
        char guess[64];
        snprintf(guess, sizeof(guess), "live/sk_wrong%d", i);
        assert_int_equal(ask(&g, guess).result, -EACCES);
    }
    /* The fifth waits: its answer is not there when everything that is due has been done. */
    struct sockaddr_in in = {.sin_family = AF_INET};
    inet_pton(AF_INET, "192.0.2.7", &in.sin_addr);
    struct access_answer a = {.result = -EINPROGRESS};
    const struct access_request req = {
        .action = ACCESS_PUBLISH, .path = "live/sk_wrong5", .peer = (struct sockaddr *)&in};
    struct access_ticket *t = access_ask(g.engine, g.control, &req, on_answer, &a);
    assert_non_null(t);
    char asked[128];
    snprintf(asked, sizeof(asked), "live/%s", g.secret);
    assert_int_equal(ask(&g, asked).result, 0);
    access_service_stop(g.s, NULL, 0);
    for (int i = 0; a.result == -EINPROGRESS && i < 6000; i++) {
        loop_run_once(g.control, 10);
    }
    assert_int_equal(a.result, -EACCES);
    close_service(&g);
    folder_free(g.dir);
}

static void test_another_configuration_keeps_the_keys(void **state)
{
    struct rig g = {.dir = folder_new()};
    open_service(&g);
    int scope = ACCESS_SCOPE_READ;
    const struct access_key wanted = {.scopes = {&scope, 1}};
    access_key_create(g.s, &wanted, on_change, &g);
    wait_change(&g, 1);
    const struct access_request req = {.token = g.secret};
    assert_int_equal(access_service_api(g.s, &req, ACCESS_SCOPE_READ), 0);
    assert_int_equal(access_service_api(g.s, &req, ACCESS_SCOPE_ADMIN), -EACCES);
    assert_int_equal(ask(&g, "live/a").result, -EPERM);
    struct access_config open;
    model_init(&access_config_model, &open);
    open.open = true;
    access_service_configure(g.s, &open);
    assert_int_equal(ask(&g, "live/a").result, 0);
    assert_int_equal(access_keys(g.s)->items.len, 1);
    /* What needs a restart changes nothing yet: this machine keeps its right. */
    open.open = false;
    open.http.url = strdup("http://127.0.0.1:9/");
    access_service_configure(g.s, &open);
    assert_int_equal(ask(&g, "live/a").result, -EPERM);
    assert_int_equal(ask_from(&g, "127.0.0.1", "live/a").result, 0);
    model_done(&access_config_model, &open);
    close_service(&g);
    folder_free(g.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stream_key_lives_and_ends_its_session),
        cmocka_unit_test(test_guessing_is_slowed),
        cmocka_unit_test(test_another_configuration_keeps_the_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
