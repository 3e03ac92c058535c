/* SPDX-License-Identifier: Apache-2.0 */
/* Keys over the store: made, kept over a restart, deleted with their sessions. */
#include "../store/folder.h"

#include "base/clock.h"
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

static void open_service_with(struct rig *g, const char *yaml)
{
    struct access_config config;
    struct error err = {0};
    assert_int_equal(model_parse_yaml(&access_config_model, &config, BYTES_STR(yaml), NULL, &err),
                     0);
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

static void open_service(struct rig *g)
{
    open_service_with(g, "{}");
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

static struct access_answer ask_with(struct rig *g, enum access_action action, const char *path,
                                     const char *query)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    inet_pton(AF_INET, "192.0.2.7", &in.sin_addr);
    struct access_answer a = {.result = -EINPROGRESS};
    const struct access_request req = {
        .action = action, .path = path, .query = query, .peer = (struct sockaddr *)&in};
    (void)access_ask(g->engine, g->control, &req, on_answer, &a);
    for (int i = 0; a.result == -EINPROGRESS && i < 6000; i++) {
        loop_run_once(g->control, 10);
    }
    return a;
}

/* What we make for our own opens one path for one action until it is ended, and is written nowhere. */
static void test_a_grant_lives_until_it_is_ended(void **state)
{
    struct rig g = {.dir = folder_new()};
    open_service_with(&g, "users: [{name: studio, password: long-enough, publish: '*'}]");
    char *read = access_grant_make(g.s, ACCESS_READ, "live/cam1");
    char *publish = access_grant_make(g.s, ACCESS_PUBLISH, "broadcast/one");
    assert_string_not_equal(read, publish);
    assert_int_equal(access_keys(g.s)->items.len, 0);
    struct access_answer a = ask_with(&g, ACCESS_PUBLISH, "broadcast/one", publish);
    assert_int_equal(a.result, 0);
    assert_true(access_service_holds(g.s, a.serial));
    assert_int_equal(ask_with(&g, ACCESS_READ, "live/cam1", read).result, 0);
    assert_int_equal(ask_with(&g, ACCESS_READ, "broadcast/one", publish).result, -EACCES);
    assert_int_equal(ask_with(&g, ACCESS_PUBLISH, "broadcast/two", publish).result, -EACCES);
    assert_int_equal(ask_with(&g, ACCESS_PUBLISH, "live/cam1", read).result, -EACCES);

    struct closing closing = {0};
    struct publisher *p = publisher_open(
        g.engine, g.control,
        &(struct publisher_info){
            .path = a.path, .protocol = "test", .remote = "x", .access_serial = a.serial},
        &(struct publisher_ops){.on_open = on_publisher_open, .on_close = on_publisher_close},
        &closing);
    access_grant_end(g.s, read); /* another one's */
    access_grant_end(g.s, publish);
    access_grant_end(g.s, publish);
    access_grant_end(g.s, "token=mg_neverwas");
    access_grant_end(g.s, NULL);
    for (int i = 0; closing.r == 0 && i < 6000; i++) {
        loop_run_once(g.control, 10);
    }
    assert_int_equal(closing.r, -EACCES);
    publisher_close(p);
    assert_false(access_service_holds(g.s, a.serial));
    assert_int_equal(ask_with(&g, ACCESS_PUBLISH, "broadcast/one", publish).result, -EACCES);
    free(access_grant_make(g.s, ACCESS_READ, "live/left")); /* gone with the service */
    free(read);
    free(publish);
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

static void on_user(void *user, int r, const struct error *err)
{
    struct rig *g = user;
    g->done++;
    g->r = r;
}

static int put_user(struct rig *g, const char *name, const char *password, bool api,
                    int64_t version)
{
    char *live = (char[]){"live/*"};
    struct access_user u = {.name = (char *)name,
                            .password = (char *)password,
                            .publish = {&live, 1},
                            .api = api,
                            .version = version};
    access_user_put(g->s, &u, on_user, g);
    wait_change(g, 1);
    g->done = 0;
    return g->r;
}

/* Slow checks are few and everybody's: an address that goes on guessing must leave them to the others. */
static void test_who_guesses_does_not_keep_others_out(void **state)
{
    struct rig g = {.dir = folder_new()};
    char secret[ACCESS_SESSION_SECRET_MAX];
    int64_t expires;
    struct sockaddr_in in = {.sin_family = AF_INET};
    inet_pton(AF_INET, "192.0.2.7", &in.sin_addr);
    open_service(&g);
    assert_int_equal(put_user(&g, "a", "password-1", true, 0), 0);
    for (int i = 0; i < 4 * PASSWORD_CHECKS_BURST; i++) {
        char guess[16];
        snprintf(guess, sizeof(guess), "password-%d", i + 2);
        const struct access_request req = {
            .user = "a", .password = guess, .peer = (struct sockaddr *)&in};
        if (i % 2) {
            assert_true(access_service_api(g.s, &req, ACCESS_SCOPE_ADMIN, NULL) < 0);
        } else {
            assert_true(access_login(g.s, &req, secret, &expires) < 0);
        }
    }
    inet_pton(AF_INET, "192.0.2.8", &in.sin_addr);
    const struct access_request right = {
        .user = "a", .password = "password-1", .peer = (struct sockaddr *)&in};
    assert_int_equal(access_login(g.s, &right, secret, &expires), 0);
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
    assert_int_equal(access_service_api(g.s, &req, ACCESS_SCOPE_READ, NULL), 0);
    assert_int_equal(access_service_api(g.s, &req, ACCESS_SCOPE_ADMIN, NULL), -EACCES);
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

/* ---- revocation ---- */

static struct closing publish_by(struct rig *g, const struct access_answer *a)
{
    struct closing closing = {0};
    struct publisher *p = publisher_open(
        g->engine, g->control,
        &(struct publisher_info){
            .path = a->path, .protocol = "test", .remote = "x", .access_serial = a->serial},
        &(struct publisher_ops){.on_open = on_publisher_open, .on_close = on_publisher_close},
        &closing);
    for (int i = 0; closing.r == 0 && i < 50; i++) {
        loop_run_once(g->control, 1);
    }
    publisher_close(p);
    return closing;
}

/* The revocation reached every session that there was; this one attaches only after it. */
static void test_what_is_granted_before_and_attached_after_a_revocation(void **state)
{
    struct rig g = {.dir = folder_new()};
    open_service(&g);
    access_key_create(g.s, &(struct access_key){.path = "live/cam1"}, on_change, &g);
    wait_change(&g, 1);
    char asked[128];
    snprintf(asked, sizeof(asked), "live/%s", g.secret);
    struct access_answer a = ask(&g, asked);
    assert_int_equal(a.result, 0);
    assert_int_equal(publish_by(&g, &a).r, 0);
    access_key_delete(g.s, access_keys(g.s)->items.items[0].id, true, on_change, &g);
    wait_change(&g, 2);
    assert_int_equal(publish_by(&g, &a).r, -EACCES);
    close_service(&g);
    folder_free(g.dir);
}

static struct access_answer ask_as(struct rig *g, const char *user, const char *password,
                                   const char *cookie)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    inet_pton(AF_INET, "192.0.2.9", &in.sin_addr);
    struct access_answer a = {.result = -EINPROGRESS};
    const struct access_request req = {.action = ACCESS_PUBLISH,
                                       .path = "live/a",
                                       .user = user,
                                       .password = password,
                                       .cookie = cookie,
                                       .peer = (struct sockaddr *)&in};
    (void)access_ask(g->engine, g->control, &req, on_answer, &a);
    for (int i = 0; a.result == -EINPROGRESS && i < 6000; i++) {
        loop_run_once(g->control, 10);
    }
    return a;
}

static void configure(struct rig *g, const char *yaml)
{
    struct access_config config;
    struct error err = {0};
    assert_int_equal(model_parse_yaml(&access_config_model, &config, BYTES_STR(yaml), NULL, &err),
                     0);
    access_service_configure(g->s, &config);
    model_done(&access_config_model, &config);
}

static void test_a_user_who_loses_something_loses_the_sessions(void **state)
{
    struct rig g = {.dir = folder_new()};
    open_service(&g);
    configure(&g, "users: [{name: a, password: password-1, publish: 'live/*, x'}]");
    struct access_answer first = ask_as(&g, "a", "password-1", NULL);
    assert_int_equal(first.result, 0);
    assert_int_not_equal(first.serial, 0);
    /* Gains, and changes of others, end nothing. */
    configure(&g, "users: [{name: a, password: password-1, publish: 'y, live/*, x', api: true}, "
                  "{name: b, password: password-2}]");
    assert_int_equal(publish_by(&g, &first).r, 0);
    configure(&g, "users: [{name: a, password: password-1, publish: 'live/*, x'}]"); /* no api */
    assert_int_equal(publish_by(&g, &first).r, -EACCES);
    struct access_answer second = ask_as(&g, "a", "password-1", NULL);
    configure(&g, "users: [{name: a, password: password-1, publish: 'live/*'}]");
    assert_int_equal(publish_by(&g, &second).r, -EACCES);
    struct access_answer third = ask_as(&g, "a", "password-1", NULL);
    configure(&g, "users: [{name: a, password: password-3, publish: 'live/*'}]");
    assert_int_equal(publish_by(&g, &third).r, -EACCES);
    close_service(&g);
    folder_free(g.dir);
}

static int log_in(struct rig *g, const char *user, const char *password, const char *key,
                  char secret[ACCESS_SESSION_SECRET_MAX])
{
    int64_t expires;
    const struct access_request req = {.user = user, .password = password, .token = key};
    return access_login(g->s, &req, secret, &expires);
}

static void test_a_session_does_what_its_holder_may_and_ends_with_it(void **state)
{
    struct rig g = {.dir = folder_new()};
    char secret[ACCESS_SESSION_SECRET_MAX];
    char other[ACCESS_SESSION_SECRET_MAX];
    open_service(&g);
    configure(&g, "users: [{name: a, password: password-1, publish: 'live/*', api: true},"
                  "{name: any, publish: y}]");
    assert_int_equal(log_in(&g, "a", "password-2", NULL, secret), -EACCES);
    assert_int_equal(log_in(&g, "any", "", NULL, secret), -EACCES);
    assert_int_equal(log_in(&g, "a", "password-1", NULL, secret), 0);
    assert_int_equal(log_in(&g, "a", "password-1", NULL, other), 0);
    const struct access_request api = {.cookie = secret};
    assert_int_equal(access_service_api(g.s, &api, ACCESS_SCOPE_ADMIN, NULL), 0);
    struct access_answer a = ask_as(&g, NULL, NULL, secret);
    assert_int_equal(a.result, 0);
    assert_int_not_equal(a.serial, 0);
    assert_int_not_equal(a.expires_mono_ns, 0);
    assert_int_equal(publish_by(&g, &a).r, 0);
    struct access_answer kept = ask_as(&g, NULL, NULL, other);
    assert_true(access_logout(g.s, &api));
    assert_false(access_logout(g.s, &api));
    assert_int_equal(publish_by(&g, &a).r, -EACCES);
    assert_int_equal(ask_as(&g, NULL, NULL, secret).result, -EPERM);
    assert_int_equal(publish_by(&g, &kept).r, 0);
    configure(&g, "users: [{name: b, password: password-1, publish: 'live/*', api: true}]");
    assert_int_equal(publish_by(&g, &kept).r, -EACCES);
    assert_int_equal(ask_as(&g, NULL, NULL, other).result, -EPERM);
    /* By a key: the same, until the key goes. A stream key does not log in. */
    int scope = ACCESS_SCOPE_READ;
    access_key_create(g.s, &(struct access_key){.scopes = {&scope, 1}}, on_change, &g);
    wait_change(&g, 1);
    assert_int_equal(log_in(&g, NULL, NULL, g.secret, secret), 0);
    assert_int_equal(access_service_api(g.s, &api, ACCESS_SCOPE_READ, NULL), 0);
    assert_int_equal(access_service_api(g.s, &api, ACCESS_SCOPE_ADMIN, NULL), -EACCES);
    assert_int_equal(ask_as(&g, NULL, NULL, secret).result, -EACCES);
    access_key_delete(g.s, g.id, false, on_change, &g);
    wait_change(&g, 2);
    assert_int_equal(access_service_api(g.s, &api, ACCESS_SCOPE_READ, NULL), -EPERM);
    access_key_create(g.s, &(struct access_key){.path = "live/a"}, on_change, &g);
    wait_change(&g, 3);
    assert_int_equal(log_in(&g, NULL, NULL, g.secret, secret), -EACCES);
    close_service(&g);
    folder_free(g.dir);
}

/* ---- over a restart ---- */

#define USERS_BEFORE                                                                               \
    "users: [{name: a, password: password-1, publish: 'live/*', api: true},"                       \
    "{name: b, password: password-2, publish: 'live/*'}]"

static int api_by(struct rig *g, const char *cookie)
{
    const struct access_request req = {.cookie = cookie};
    return access_service_api(g->s, &req, ACCESS_SCOPE_READ, NULL);
}

static void restart(struct rig *g, const char *yaml)
{
    close_service(g);
    open_service_with(g, yaml);
}

struct listed {
    unsigned n;
    bool done;
    bool secret_seen;
    const char *secret;
};

static void on_listed(void *user, int r, const struct store_result *result)
{
    struct listed *l = user;
    assert_int_equal(r, 0);
    l->n = result->n;
    for (unsigned i = 0; i < result->n; i++) {
        const struct store_doc *doc = &result->docs[i];
        l->secret_seen = l->secret_seen || strcmp(doc->id, l->secret) == 0 ||
                         memmem(doc->body.data, doc->body.len, l->secret, strlen(l->secret));
    }
    l->done = true;
}

/* How many sessions the store has; none shows the secret. */
static unsigned stored_sessions(struct rig *g, const char *secret)
{
    struct listed l = {.secret = secret};
    struct store_op *op = store_op_list("access-session", "", STORE_LIST_MAX);
    assert_int_equal(store_submit(g->store, g->control, op, on_listed, &l), 0);
    for (int i = 0; !l.done && i < 6000; i++) {
        loop_run_once(g->control, 10);
    }
    assert_true(l.done);
    assert_false(l.secret_seen);
    return l.n;
}

static void test_a_session_outlives_the_process(void **state)
{
    struct rig g = {.dir = folder_new()};
    char a[ACCESS_SESSION_SECRET_MAX];
    char b[ACCESS_SESSION_SECRET_MAX];
    char out[ACCESS_SESSION_SECRET_MAX];
    open_service_with(&g, USERS_BEFORE);
    assert_int_equal(log_in(&g, "a", "password-1", NULL, a), 0);
    assert_int_equal(log_in(&g, "a", "password-1", NULL, out), 0);
    assert_int_equal(log_in(&g, "b", "password-2", NULL, b), 0);
    assert_int_equal(stored_sessions(&g, a), 3);
    assert_true(access_logout(g.s, &(struct access_request){.cookie = out}));
    assert_int_equal(stored_sessions(&g, a), 2);
    restart(&g, USERS_BEFORE);
    assert_int_equal(api_by(&g, out), -EPERM);
    assert_int_equal(api_by(&g, a), 0);
    struct access_answer answer = ask_as(&g, NULL, NULL, b);
    assert_int_equal(answer.result, 0);
    assert_int_equal(publish_by(&g, &answer).r, 0);
    /* It ends with its user as ever, and then for good. */
    configure(&g, "users: [{name: a, password: password-1, publish: 'live/*', api: true}]");
    assert_int_equal(publish_by(&g, &answer).r, -EACCES);
    restart(&g, USERS_BEFORE);
    assert_int_equal(ask_as(&g, NULL, NULL, b).result, -EPERM);
    assert_int_equal(api_by(&g, a), 0);
    assert_int_equal(stored_sessions(&g, a), 1);
    close_service(&g);
    folder_free(g.dir);
}

/* Each changes user a while no server runs. */
static const char *const users_after[] = {
    "users: [{name: b, password: password-2, api: true}]",
    "users: [{name: a, password: password-3, publish: 'live/*', api: true}]",
    "users: [{name: a, password: password-1, publish: 'live/a', api: true}]",
    "users: [{name: a, password: password-1, publish: 'live/*'},"
    "{name: b, password: password-1, api: true}]",
};

/* The change is in the store's queue when all stops: its answer comes to the service when there is no store any more. */
static void test_a_change_is_answered_after_the_store_has_closed(void **state)
{
    struct rig g = {.dir = folder_new()};
    char secret[ACCESS_SESSION_SECRET_MAX];
    int scope = ACCESS_SCOPE_READ;
    open_service_with(&g, USERS_BEFORE);
    access_key_create(g.s, &(struct access_key){.scopes = {&scope, 1}}, on_change, &g);
    wait_change(&g, 1);
    assert_int_equal(log_in(&g, NULL, NULL, g.secret, secret), 0);
    access_key_delete(g.s, g.id, false, on_change, &g);
    assert_int_equal(g.done, 1);
    restart(&g, USERS_BEFORE);
    assert_int_equal(g.done, 2);
    assert_int_equal(g.r, 0);
    assert_int_equal(api_by(&g, secret), -EPERM);
    assert_int_equal(stored_sessions(&g, secret), 0); /* the start has swept it */
    close_service(&g);
    folder_free(g.dir);
}

static void test_who_was_changed_meanwhile_is_refused(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(users_after); i++) {
        struct rig g = {.dir = folder_new()};
        char a[ACCESS_SESSION_SECRET_MAX];
        open_service_with(&g, USERS_BEFORE);
        assert_int_equal(log_in(&g, "a", "password-1", NULL, a), 0);
        restart(&g, users_after[i]);
        assert_int_equal(ask_as(&g, NULL, NULL, a).result, -EPERM);
        assert_int_equal(api_by(&g, a), -EPERM);
        /* And stays so: it is over as soon as it was shown. */
        configure(&g, USERS_BEFORE);
        assert_int_equal(api_by(&g, a), -EPERM);
        assert_int_equal(stored_sessions(&g, a), 0);
        close_service(&g);
        folder_free(g.dir);
    }
}

static void test_a_session_by_a_key_outlives_the_process_and_not_the_key(void **state)
{
    struct rig g = {.dir = folder_new()};
    char secret[ACCESS_SESSION_SECRET_MAX];
    int scope = ACCESS_SCOPE_READ;
    open_service_with(&g, USERS_BEFORE);
    access_key_create(g.s, &(struct access_key){.scopes = {&scope, 1}}, on_change, &g);
    wait_change(&g, 1);
    assert_int_equal(log_in(&g, NULL, NULL, g.secret, secret), 0);
    char id[48];
    snprintf(id, sizeof(id), "%s", g.id);
    restart(&g, USERS_BEFORE);
    assert_int_equal(api_by(&g, secret), 0);
    restart(&g, USERS_BEFORE);
    access_key_delete(g.s, id, false, on_change, &g); /* before the cookie was shown */
    wait_change(&g, 2);
    assert_int_equal(api_by(&g, secret), -EPERM);
    assert_int_equal(stored_sessions(&g, secret), 0);
    close_service(&g);
    folder_free(g.dir);
}

static void test_what_is_no_session_is_deleted_at_the_start(void **state)
{
    static const char *const bodies[][2] = {
        {"0123456789012345678901234567890123456789abc", "not JSON"},
        {"short", "{\"user\":\"a\",\"proof\":\"p\",\"created_at\":\"2026-01-01T00:00:00Z\","
                  "\"used_at\":\"2026-01-01T00:00:00Z\",\"expires_at\":\"2126-01-01T00:00:00Z\"}"},
        /* Expired. */
        {"0123456789012345678901234567890123456789abd",
         "{\"user\":\"a\",\"proof\":\"p\",\"created_at\":\"2020-01-01T00:00:00Z\","
         "\"used_at\":\"2020-01-01T00:00:00Z\",\"expires_at\":\"2020-01-02T00:00:00Z\"}"},
        /* Of nobody. */
        {"0123456789012345678901234567890123456789abe",
         "{\"proof\":\"p\",\"created_at\":\"2026-01-01T00:00:00Z\","
         "\"used_at\":\"2026-01-01T00:00:00Z\",\"expires_at\":\"2126-01-01T00:00:00Z\"}"},
    };
    struct rig g = {.dir = folder_new()};
    open_service_with(&g, USERS_BEFORE);
    struct store_op *op = store_op_write();
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        store_op_put(op, "access-session", bodies[i][0], STORE_ANY, BYTES_STR(bodies[i][1]));
    }
    assert_int_equal(store_submit(g.store, g.control, op, NULL, NULL), 0);
    assert_int_equal(stored_sessions(&g, "nothing"), ARRAY_LEN(bodies));
    restart(&g, USERS_BEFORE);
    assert_int_equal(stored_sessions(&g, "nothing"), 0);
    close_service(&g);
    folder_free(g.dir);
}

/* ---- users of the API ---- */

static int delete_user(struct rig *g, const char *name)
{
    access_user_delete(g->s, name, on_user, g);
    wait_change(g, 1);
    g->done = 0;
    return g->r;
}

static void test_users_of_the_api(void **state)
{
    struct rig g = {.dir = folder_new()};
    open_service(&g);
    assert_int_equal(put_user(&g, "a", "password-1", false, 0), -EDEADLK);
    assert_int_equal(put_user(&g, "a", "password-1", true, 0), 0);
    assert_int_equal(put_user(&g, "a", "password-1", true, 0), -EEXIST);
    assert_int_equal(put_user(&g, "b", "password-2", false, 0), 0);
    const struct access_user *a = access_user_find(g.s, "a");
    assert_non_null(a);
    assert_true(password_is_hash(a->password));
    struct access_answer granted = ask_as(&g, "a", "password-1", NULL);
    assert_int_equal(granted.result, 0);
    assert_int_equal(delete_user(&g, "a"), -EDEADLK);
    int64_t version = a->version;
    assert_int_equal(put_user(&g, "a", "password-3", true, version), 0);
    assert_int_equal(put_user(&g, "a", "password-4", true, version), -ESTALE);
    assert_int_equal(publish_by(&g, &granted).r, -EACCES);
    assert_int_equal(ask_as(&g, "a", "password-1", NULL).result, -EACCES);
    close_service(&g);

    /* They live in the store; the file's user of that name counts more, and is not the API's to change. */
    open_service(&g);
    assert_int_equal(access_users(g.s).len, 2);
    assert_int_equal(ask_as(&g, "a", "password-3", NULL).result, 0);
    configure(&g, "users: [{name: a, password: password-9, publish: 'live/*', api: true}]");
    assert_int_equal(access_users(g.s).len, 2);
    assert_int_equal(access_user_find(g.s, "a")->version, 0);
    assert_int_equal(ask_as(&g, "a", "password-9", NULL).result, 0);
    assert_int_equal(ask_as(&g, "a", "password-3", NULL).result, -EACCES);
    assert_int_equal(put_user(&g, "a", "password-5", true, 0), -EPERM);
    assert_int_equal(delete_user(&g, "a"), -EPERM);
    assert_int_equal(delete_user(&g, "b"), 0);
    assert_int_equal(delete_user(&g, "b"), -ENOENT);
    close_service(&g);
    folder_free(g.dir);
}

static int make_admin_key(struct rig *g, int64_t expires_at, char id[48])
{
    int scope = ACCESS_SCOPE_ADMIN;
    const struct access_key wanted = {.scopes = {&scope, 1}, .expires_at = expires_at};
    access_key_create(g->s, &wanted, on_change, g);
    wait_change(g, 1);
    g->done = 0;
    snprintf(id, 48, "%s", g->id);
    return g->r;
}

static int delete_key(struct rig *g, const char *id)
{
    access_key_delete(g->s, id, false, on_change, g);
    wait_change(g, 1);
    g->done = 0;
    return g->r;
}

/* Users and keys are weighed alike, and a key that has ended is none. */
static void test_somebody_administers(void **state)
{
    struct rig g = {.dir = folder_new()};
    char key[48];
    char ended[48];
    open_service(&g);
    assert_int_equal(make_admin_key(&g, 0, key), 0);
    assert_int_equal(delete_key(&g, key), 0); /* without users, this machine may do everything */
    assert_int_equal(make_admin_key(&g, clock_wall_ns() - NS_PER_S, ended), 0);
    assert_int_equal(put_user(&g, "b", "password-2", false, 0), -EDEADLK);
    assert_int_equal(make_admin_key(&g, clock_wall_ns() + 3600 * NS_PER_S, key), 0);
    assert_int_equal(put_user(&g, "b", "password-2", false, 0), 0);
    assert_int_equal(delete_key(&g, key), -EDEADLK);
    assert_int_equal(put_user(&g, "a", "password-1", true, 0), 0);
    assert_int_equal(delete_key(&g, key), 0);
    assert_int_equal(delete_user(&g, "a"), -EDEADLK);
    assert_int_equal(delete_key(&g, ended), 0);
    close_service(&g);
    folder_free(g.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stream_key_lives_and_ends_its_session),
        cmocka_unit_test(test_a_grant_lives_until_it_is_ended),
        cmocka_unit_test(test_guessing_is_slowed),
        cmocka_unit_test(test_who_guesses_does_not_keep_others_out),
        cmocka_unit_test(test_another_configuration_keeps_the_keys),
        cmocka_unit_test(test_what_is_granted_before_and_attached_after_a_revocation),
        cmocka_unit_test(test_a_user_who_loses_something_loses_the_sessions),
        cmocka_unit_test(test_a_session_does_what_its_holder_may_and_ends_with_it),
        cmocka_unit_test(test_a_session_outlives_the_process),
        cmocka_unit_test(test_a_change_is_answered_after_the_store_has_closed),
        cmocka_unit_test(test_who_was_changed_meanwhile_is_refused),
        cmocka_unit_test(test_a_session_by_a_key_outlives_the_process_and_not_the_key),
        cmocka_unit_test(test_what_is_no_session_is_deleted_at_the_start),
        cmocka_unit_test(test_users_of_the_api),
        cmocka_unit_test(test_somebody_administers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
