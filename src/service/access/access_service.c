/* SPDX-License-Identifier: Apache-2.0 */
#include "service/access/access_service.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "io/http_client.h"
#include "service/access/access_private.h"
#include "service/access/answer_cache.h"
#include "store/hash.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>

LOG_TOPIC(topic, "access");

#define ID_RANDOM 12

#define REFRESH_MS         (10 * 60 * 1000)
#define REFRESH_AGAIN_MS   (20 * 1000)
#define REFRESH_FOR_KEY_NS (5 * NS_PER_S) /* between fetches because of unknown keys */
#define HELD_MAX           256 /* answers that wait, on one loop; over it they are given at once */

/* An answer that is given later. */
struct held {
    struct list node;
    struct access_service *s;
    struct access_ticket *ticket;
    struct access_answer answer;
    struct loop_timer *timer;
};

/* ---- rules ---- */

struct access_rules *access_take_rules(struct access_service *s)
{
    pthread_mutex_lock(&s->lock);
    struct access_rules *r = access_rules_ref(s->rules);
    pthread_mutex_unlock(&s->lock);
    return r;
}

void access_publish(struct access_service *s)
{
    struct access_config before = s->effective;
    access_users_merge(s, &before);
    struct access_rules *made =
        access_rules_new(&s->effective, &s->keys, s->token_keys, s->trusted_local_path);
    access_rules_set_passwords(made, s->passwords);
    access_rules_set_unknown_key(made, &s->unknown_key);
    pthread_mutex_lock(&s->lock);
    struct access_rules *old = s->rules;
    s->rules = made;
    s->session_idle_ns = s->config.sessions.idle;
    throttle_forget(s->throttle);
    pthread_mutex_unlock(&s->lock);
    access_rules_unref(&old);
    /* Nobody gets in any more by what is gone, so who is in can go. */
    access_users_revoke(s, &before);
    access_sessions_sweep(s);
    model_done(&access_config_model, &before);
}

void access_end(struct access_service *s, uint64_t serial)
{
    if (s->engine) {
        access_revoke(s->engine, serial);
    }
    if (s->revoked) {
        s->revoked(s->revoked_user, serial);
    }
}

void access_service_on_revoked(struct access_service *s, access_revoked_fn fn, void *user)
{
    s->revoked = fn;
    s->revoked_user = user;
}

struct access_now access_now(void)
{
    return (struct access_now){.wall_ns = clock_wall_ns(), .mono_ns = clock_mono_ns()};
}

struct access_now access_now_for(struct access_service *s, const struct access_request *req)
{
    struct access_now now = access_now();
    if (req->password || req->query) {
        pthread_mutex_lock(&s->lock);
        int64_t wait_ms = throttle_wait_ms(s->throttle, req->peer, now.mono_ns);
        pthread_mutex_unlock(&s->lock);
        now.passwords = wait_ms > THROTTLE_WAIT_MAX_MS ? PASSWORDS_REMEMBER : PASSWORDS_CHECK;
    }
    return now;
}

/* ---- answering later ---- */

static void give(struct held *h)
{
    struct holder *holder = &h->s->holders[loop_index(access_ticket_loop(h->ticket)) + 1];
    list_remove(&h->node);
    holder->n--;
    loop_timer_free(h->timer);
    access_reply(h->ticket, &h->answer);
    free(h);
}

static void on_held(void *user)
{
    give(user);
}

static void reply_after(struct access_service *s, struct access_ticket *t,
                        const struct access_answer *answer, int64_t wait_ms)
{
    struct loop *l = access_ticket_loop(t);
    struct holder *holder = &s->holders[loop_index(l) + 1];
    if (wait_ms == 0 || holder->n == HELD_MAX) {
        access_reply(t, answer);
        return;
    }
    struct held *h = mem_new(struct held);
    *h = (struct held){.s = s, .ticket = t, .answer = *answer};
    h->timer = loop_timer_new(l, on_held, h);
    list_append(&holder->list, &h->node);
    holder->n++;
    loop_timer_start(h->timer, (uint64_t)wait_ms);
}

static void flush_held(struct loop *l, void *arg)
{
    struct access_service *s = arg;
    struct holder *holder = &s->holders[loop_index(l) + 1];
    while (!list_empty(&holder->list)) {
        give(CONTAINER_OF(holder->list.next, struct held, node));
    }
}

void access_service_stop(struct access_service *s, struct loop *const *loops, unsigned n)
{
    s->refresh = loop_timer_free(s->refresh);
    s->sweep = loop_timer_free(s->sweep);
    if (s->http) {
        s->http = http_client_free(s->http);
    }
    access_sessions_store_all(s);
    s->store = NULL; /* it closes now; changes that it still answers write nothing more */
    flush_held(s->control, s);
    for (unsigned i = 0; i < n; i++) {
        loop_call_wait(loops[i], flush_held, s);
    }
    s->callback = callback_free(s->callback);
}

/* ---- the questions ---- */

struct fetch_msg {
    struct loop_msg msg;
    struct access_service *s;
};
static void deliver_fetch(struct loop *l, struct loop_msg *m);

/*
 * A token signed by a key that is not known may be of one made since the last fetch. The question is answered with what is
 * known; the next one finds the new key. Anybody can make up such tokens, so this is done seldom.
 */
static void fetch_for_unknown_key(struct access_service *s, int64_t now_ns)
{
    if (!atomic_exchange(&s->unknown_key, false)) {
        return;
    }
    int_fast64_t due = atomic_load(&s->fetch_due_ns);
    if (now_ns < due ||
        !atomic_compare_exchange_strong(&s->fetch_due_ns, &due, now_ns + REFRESH_FOR_KEY_NS)) {
        return;
    }
    struct fetch_msg *fm = mem_new(struct fetch_msg);
    *fm = (struct fetch_msg){.msg.deliver = deliver_fetch, .s = s};
    loop_post(s->control, &fm->msg);
}

/*
 * What was presented, wherever it comes by: the query may carry credentials, and a path a stream key. of_path: for this very
 * path and action, because a program of the operator's may grant one and not the other to the same credentials.
 */
static uint64_t digest_of(const struct access_service *s, const struct access_request *req,
                          bool of_path)
{
    const char *at = req->query;
    struct bytes part;
    _cleanup_(out_done) struct out query = {0};
    while (answer_query_next(&at, &part)) {
        out_bytes(&query, part);
        out_puts(&query, "&");
    }
    const char *key = req->path ? access_path_key(req->path) : NULL;
    const char *action = req->action == ACCESS_PUBLISH ? "publish" : "read";
    const char *const texts[] = {
        req->user,
        req->password,
        req->token,
        out_str(&query),
        req->proof_response,
        key,
        of_path ? req->path : NULL,
        of_path ? action : NULL,
    };
    uint64_t digest = throttle_digest(s->throttle, req->peer, texts, ARRAY_LEN(texts));
    OPENSSL_cleanse(query.data, query.len);
    return digest;
}

/* Whether anything came that could be a guess. */
static bool presents(const struct access_request *req)
{
    const char *at = req->query;
    struct bytes part;
    return req->user || req->password || req->token || answer_query_next(&at, &part);
}

/* One line for each attempt that counts, whatever it came by: what watches logs for guessing has all of it here. */
static void tell_failure(const struct access_request *req, unsigned failures)
{
    char from[INET6_ADDRSTRLEN] = "?";
    if (failures == 0) {
        return;
    }
    if (req->peer && req->peer->sa_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)req->peer)->sin_addr, from, sizeof(from));
    } else if (req->peer && req->peer->sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)req->peer)->sin6_addr, from,
                  sizeof(from));
    }
    log_warn("%s: refused over %s, failed attempt %u%s", from,
             req->protocol ? req->protocol : "http", failures,
             failures > THROTTLE_FREE ? ", slowing this address down" : "");
}

int64_t access_weigh(struct access_service *s, const struct access_request *req,
                     enum access_source source, int result, int64_t now_ns)
{
    if (source == ACCESS_BY_KEY || source == ACCESS_BY_RULE || source == ACCESS_BY_TOKEN ||
        source == ACCESS_BY_SESSION || result == -EPERM) {
        return 0;
    }
    const uint64_t digest = digest_of(s, req, false);
    pthread_mutex_lock(&s->lock);
    int64_t wait_ms = 0;
    unsigned failures = 0;
    bool known = result < 0 && throttle_is_known(s->throttle, digest, now_ns);
    if (!known) {
        wait_ms = throttle_wait_ms(s->throttle, req->peer, now_ns);
        if (wait_ms > THROTTLE_WAIT_MAX_MS) {
            wait_ms = -EBUSY;
        } else if (result < 0) {
            failures = throttle_failed(s->throttle, req->peer, digest, now_ns);
        }
    }
    pthread_mutex_unlock(&s->lock);
    tell_failure(req, failures);
    return wait_ms;
}

/* Whether the callback is spared the question: what failed a moment ago, or comes too fast after failures, is not worth it. */
static bool is_spared(struct access_service *s, const struct access_request *req, int64_t now_ns)
{
    if (!presents(req)) {
        return false;
    }
    const uint64_t digest = digest_of(s, req, true);
    pthread_mutex_lock(&s->lock);
    bool spared = throttle_is_known(s->throttle, digest, now_ns);
    spared = spared || throttle_wait_ms(s->throttle, req->peer, now_ns) > 0;
    pthread_mutex_unlock(&s->lock);
    return spared;
}

static void on_denied(void *user, const struct access_request *req)
{
    struct access_service *s = user;
    if (!presents(req)) {
        return;
    }
    const uint64_t digest = digest_of(s, req, true);
    pthread_mutex_lock(&s->lock);
    unsigned failures = throttle_failed(s->throttle, req->peer, digest, clock_mono_ns());
    pthread_mutex_unlock(&s->lock);
    tell_failure(req, failures);
}

/* What nothing else grants, a session may: then answer is its. */
static void ask_session(struct access_service *s, const struct access_rules *rules,
                        const struct access_request *req, const struct access_now *at,
                        enum access_source *source, struct access_answer *answer)
{
    struct access_session session;
    struct access_holder h;
    if (!access_session_of(s, rules, req, at, &session, &h)) {
        return;
    }
    if (access_holder_may(&h, req->action, req->path)) {
        *source = ACCESS_BY_SESSION;
        *answer = (struct access_answer){
            .serial = session.serial,
            .expires_mono_ns = MAX(at->mono_ns + (session.expires_at - at->wall_ns), INT64_C(1)),
        };
        snprintf(answer->path, sizeof(answer->path), "%s", req->path);
    } else if (answer->result == -EPERM) {
        /* Somebody is logged in: to ask for credentials again would not help. */
        *answer = (struct access_answer){0};
        answer->result =
            error_set(&answer->err, -EACCES, "", "this user may not %s '%s'",
                      req->action == ACCESS_PUBLISH ? "publish to" : "watch", req->path);
        *source = ACCESS_BY_SESSION;
    }
}

bool access_service_holds(struct access_service *s, uint64_t serial)
{
    struct access_rules *rules = access_take_rules(s);
    const struct access_now at = access_now();
    const struct access_holder h = access_rules_holder(rules, serial, &at);
    access_rules_unref(&rules);
    if (h.user || h.key || access_grant_holds(s, serial)) {
        return true;
    }
    pthread_mutex_lock(&s->lock);
    bool open = sessions_is_open(s->sessions, serial);
    pthread_mutex_unlock(&s->lock);
    return open;
}

static bool holds(void *user, uint64_t serial)
{
    return access_service_holds(user, serial);
}

static void ask(void *user, struct access_ticket *t)
{
    struct access_service *s = user;
    struct access_answer answer;
    const struct access_request *req = access_ticket_request(t);
    if (access_grant_ask(s, req, &answer)) {
        access_reply(t, &answer);
        return;
    }
    struct access_rules *rules = access_take_rules(s);
    const struct access_now at = access_now_for(s, req);
    enum access_source source = access_rules_ask(rules, req, &at, &answer);
    if (answer.result < 0 && !access_path_key(req->path)) {
        ask_session(s, rules, req, &at, &source, &answer);
    }
    access_rules_unref(&rules);
    fetch_for_unknown_key(s, at.mono_ns);
    if (source == ACCESS_BY_NOTHING && s->callback && !access_path_key(req->path) &&
        !is_spared(s, req, at.mono_ns)) {
        callback_ask(s->callback, t);
        return;
    }
    int64_t wait_ms = access_weigh(s, req, source, answer.result, at.mono_ns);
    if (wait_ms < 0) {
        answer = (struct access_answer){0};
        answer.result = error_set(&answer.err, -EBUSY, "",
                                  "too many failed attempts from this address, try again later");
        wait_ms = 0;
    }
    reply_after(s, t, &answer, wait_ms);
}

struct access_answerer access_service_answerer(struct access_service *s)
{
    return (struct access_answerer){.ask = ask, .holds = holds, .user = s};
}

int access_service_api(struct access_service *s, const struct access_request *req,
                       enum access_scope scope, struct http_grant *ret)
{
    struct access_answer answer;
    struct access_rules *rules = access_take_rules(s);
    const struct access_now at = access_now_for(s, req);
    enum access_source source = access_rules_api(rules, req, scope, &at, &answer);
    struct access_session session;
    struct access_holder h;
    if (answer.result < 0 && access_session_of(s, rules, req, &at, &session, &h)) {
        answer.result = access_holder_has_scope(&h, scope) ? 0 : -EACCES;
        answer.serial = session.serial;
        source = ACCESS_BY_SESSION;
    }
    access_rules_unref(&rules);
    fetch_for_unknown_key(s, at.mono_ns);
    /* HTTP can say "later", so nothing is held back here. */
    if (access_weigh(s, req, source, answer.result, at.mono_ns) != 0) {
        return -EBUSY;
    }
    if (ret && answer.result == 0) {
        *ret = (struct http_grant){answer.serial, answer.expires_mono_ns};
    }
    return answer.result;
}

/* ---- life ---- */

struct access_service *access_service_new(const struct access_service_config *config)
{
    struct access_service *s = mem_new(struct access_service);
    model_copy(&access_config_model, &s->config, config->access);
    s->trusted_local_path =
        config->trusted_local_path ? mem_strdup(config->trusted_local_path) : NULL;
    s->store = config->store;
    s->control = config->control;
    s->throttle = throttle_new();
    s->sessions = sessions_new();
    s->passwords = passwords_new();
    access_sessions_start(s);
    for (unsigned i = 0; i < ARRAY_LEN(s->holders); i++) {
        list_init(&s->holders[i].list);
    }
    pthread_mutex_init(&s->lock, NULL);
    access_publish(s);
    return s;
}

static void key_done(struct access_key *k)
{
    free(k->hint);
    if (k->key) {
        OPENSSL_cleanse(k->key, strlen(k->key));
    }
    free(k->key);
    model_done(&access_key_model, k); /* zeroes all of it */
}

struct access_service *access_service_free(struct access_service *s)
{
    if (!s) {
        return NULL;
    }
    for (size_t i = 0; i < s->keys.items.len; i++) {
        key_done(&s->keys.items.items[i]);
    }
    free(s->keys.items.items);
    access_rules_unref(&s->rules);
    access_grants_done(s);
    throttle_free(s->throttle);
    sessions_free(s->sessions);
    passwords_free(s->passwords);
    jws_keys_unref(&s->token_keys);
    pthread_mutex_destroy(&s->lock);
    access_users_done(s);
    model_done(&access_config_model, &s->effective);
    model_done(&access_config_model, &s->config);
    free(s->trusted_local_path);
    free(s);
    return NULL;
}

void access_service_set_engine(struct access_service *s, struct engine *e)
{
    s->engine = e;
}

void access_service_configure(struct access_service *s, const struct access_config *config)
{
    struct access_config old = s->config;
    model_copy(&access_config_model, &s->config, config);
    /* What was set up at the start stays until the next: the rules must not speak of a door that is not there. */
    struct jwt_config jwt = s->config.jwt;
    struct callback_config http = s->config.http;
    s->config.jwt = old.jwt;
    s->config.http = old.http;
    old.jwt = jwt;
    old.http = http;
    access_publish(s);
    model_done(&access_config_model, &old);
}

/* ---- the list ---- */

/* Takes over what k owns. */
static struct access_key *add_key(struct access_service *s, struct access_key *k)
{
    char hint[HASH_HINT_LEN + 1] = "";
    (void)hash_hint(k->hash, hint);
    free(k->hint);
    k->hint = mem_strdup(hint);
    k->serial = ++s->last_serial;
    s->keys.items.items =
        mem_realloc(s->keys.items.items, (s->keys.items.len + 1) * sizeof(struct access_key));
    struct access_key *at = &s->keys.items.items[s->keys.items.len++];
    *at = *k;
    *k = (struct access_key){0};
    return at;
}

const struct access_key_list *access_keys(const struct access_service *s)
{
    return &s->keys;
}

static size_t find(const struct access_service *s, const char *id)
{
    size_t i = 0;
    while (i < s->keys.items.len && strcmp(s->keys.items.items[i].id, id) != 0) {
        i++;
    }
    return i;
}

/* ---- loading ---- */

static void load_key(void *user, const struct store_doc *doc)
{
    struct access_service *s = user;
    struct access_key k;
    struct error err = {0};
    int r = model_parse_json(&access_key_model, &k, doc->body, NULL, &err);
    if (r == 0 && (strcmp(k.id, doc->id) != 0 || !hash_is_text(k.hash))) {
        model_done(&access_key_model, &k);
        r = error_set(&err, -EINVAL, "", "is not what this program writes");
    }
    if (r < 0) {
        log_error("key %s: %s %s, ignoring the key", doc->id, err.where, err.text);
        return;
    }
    add_key(s, &k);
}

static void load_user(void *user, const struct store_doc *doc)
{
    access_users_load(user, doc);
}

static void load_session(void *user, const struct store_doc *doc)
{
    access_sessions_load(user, doc);
}

/* Logins after those who hold them. */
static int load_all(struct access_service *s, struct error *err)
{
    static const struct {
        const char *kind;
        store_each_fn each;
    } steps[] = {{ACCESS_KEY_KIND, load_key},
                 {ACCESS_USER_KIND, load_user},
                 {ACCESS_SESSION_KIND, load_session}};
    int r = 0;
    s->loading = true;
    for (unsigned i = 0; i < ARRAY_LEN(steps) && r == 0; i++) {
        r = store_read_all(s->store, s->control, steps[i].kind, steps[i].each, s, err);
    }
    s->loading = false;
    return r;
}

/* ---- what tokens are checked with ---- */

/* The keys of the configuration, and those of a fetched set. */
static int make_token_keys(struct access_service *s, struct bytes fetched, struct error *err)
{
    struct jws_keys *k = jws_keys_new();
    int r = jwt_load_keys(&s->config.jwt, k, err);
    if (r == 0 && fetched.len > 0) {
        r = jws_keys_add_text(k, fetched, err);
    }
    if (r < 0) {
        jws_keys_unref(&k);
        return r;
    }
    jws_keys_unref(&s->token_keys);
    s->token_keys = k;
    return 0;
}

static void on_fetched(void *user, const struct http_result *result)
{
    struct access_service *s = user;
    s->fetching = false;
    struct error err = result->err;
    int r = err.code;
    if (r == 0 && result->status != 200) {
        r = error_set(&err, -EPROTO, "", "status %d", result->status);
    }
    if (r == 0 && result->body.len == 0) {
        r = error_set(&err, -EPROTO, "", "an empty answer");
    }
    if (r == 0) {
        r = make_token_keys(s, result->body, &err);
    }
    if (r < 0) {
        log_warn("access.jwt.jwks_url: %s %s, keeping the keys that are known, trying again",
                 err.where, err.text);
    } else {
        s->fetched_ns = clock_mono_ns();
        log_debug("access.jwt.jwks_url: %u keys", jws_keys_count(s->token_keys));
        access_publish(s);
    }
    loop_timer_start(s->refresh, r < 0 ? REFRESH_AGAIN_MS : REFRESH_MS);
}

/* The operator's own address: any will do, this machine's too. */
static const struct http_call_ops fetch_ops = {.on_done = on_fetched};

static void fetch(void *user)
{
    struct access_service *s = user;
    const struct http_call_spec spec = {
        .url = s->config.jwt.jwks_url, .timeout_ms = 10000, .max_redirects = 3};
    struct http_call *call;
    struct error err = {0};
    if (s->fetching) {
        return;
    }
    s->fetching = true;
    if (http_client_start(s->http, &spec, &fetch_ops, s, &call, &err) < 0) {
        s->fetching = false;
        log_warn("access.jwt.jwks_url: %s", err.text);
        loop_timer_start(s->refresh, REFRESH_AGAIN_MS);
    }
}

static void deliver_fetch(struct loop *l, struct loop_msg *m)
{
    struct fetch_msg *fm = CONTAINER_OF(m, struct fetch_msg, msg);
    struct access_service *s = fm->s;
    /* Without an address there is no timer; and the set may have come while this message was on its way. */
    if (s->refresh && clock_mono_ns() - s->fetched_ns >= REFRESH_FOR_KEY_NS) {
        fetch(s);
    }
    free(fm);
}

static int start_tokens(struct access_service *s, struct error *err)
{
    if (!jwt_is_configured(&s->config.jwt)) {
        return 0;
    }
    int r = make_token_keys(s, BYTES(NULL, 0), err);
    if (r == 0 && s->config.jwt.jwks_url) {
        s->http = http_client_new(s->control, &(struct http_client_config){0});
        s->refresh = loop_timer_new(s->control, fetch, s);
        fetch(s);
    }
    return r;
}

int access_service_load(struct access_service *s, struct error *err)
{
    if (s->config.http.url) {
        s->callback = callback_new(&s->config.http, s->control, on_denied, s);
    }
    int r = start_tokens(s, err);
    if (r < 0) {
        return r;
    }
    r = s->store ? load_all(s, err) : 0;
    if (r < 0) {
        return r;
    }
    access_publish(s);
    return 0;
}

/* ---- changes ---- */

struct change {
    struct access_service *s;
    struct access_key key; /* create: the new one; delete: its id */
    access_key_fn fn;
    void *user;
};

static void change_end(struct change *c, int r, const struct access_key *key,
                       const struct error *err)
{
    c->fn(c->user, r, key, err);
    key_done(&c->key);
    free(c);
}

static void on_created(void *user, int r, const struct store_result *result)
{
    struct change *c = user;
    struct access_service *s = c->s;
    s->pending--;
    if (r < 0) {
        change_end(c, r, NULL, &result->err);
        return;
    }
    char *secret = TAKE_PTR(c->key.key);
    struct access_key *k = add_key(s, &c->key);
    access_publish(s);
    log_info("key %s (%s...) made%s%s", k->id, k->hint, k->path ? " for " : "",
             k->path ? k->path : "");
    struct access_key shown = *k;
    shown.key = secret;
    change_end(c, 0, &shown, NULL);
    OPENSSL_cleanse(secret, strlen(secret));
    free(secret);
}

static void submit(struct change *c, struct store_op *op, store_fn fn)
{
    struct error err = {0};
    int r = store_submit(c->s->store, c->s->control, op, fn, c);
    if (r < 0) {
        error_set(&err, r, "", "the change cannot be stored: %s", error_name(r));
        struct store_result result = {.err = err};
        fn(c, r, &result);
    }
}

static void make_key(struct access_key *k)
{
    char hash[HASH_TEXT_MAX];
    char id[ID_RANDOM + 1];
    k->key = hash_new_key(k->path ? ACCESS_STREAM_KEY : ACCESS_API_KEY_PREFIX);
    (void)hash_key(k->key, hash);
    k->hash = mem_strdup(hash);
    k->id = mem_strdup(random_id(id, ID_RANDOM));
    k->created_at = clock_wall_ns();
}

void access_key_create(struct access_service *s, const struct access_key *wanted, access_key_fn fn,
                       void *user)
{
    struct error err = {0};
    if (!s->store || s->keys.items.len + s->pending >= ACCESS_KEYS_MAX) {
        int r = error_set(&err, -ENOSPC, "", "no more than %d keys can be kept", ACCESS_KEYS_MAX);
        fn(user, r, NULL, &err);
        return;
    }
    struct change *c = mem_new(struct change);
    *c = (struct change){.s = s, .fn = fn, .user = user};
    model_copy(&access_key_model, &c->key, wanted);
    make_key(&c->key);
    _cleanup_free_ char *body = model_to_json(&access_key_model, &c->key, MODEL_SECRETS_CLEAR);
    struct store_op *op = store_op_write();
    store_op_put(op, ACCESS_KEY_KIND, c->key.id, STORE_CREATE, BYTES_STR(body));
    s->pending++;
    submit(c, op, on_created);
}

static void on_deleted(void *user, int r, const struct store_result *result)
{
    struct change *c = user;
    struct access_service *s = c->s;
    size_t i = find(s, c->key.id);
    if (r < 0 || i == s->keys.items.len) {
        change_end(c, r < 0 ? r : -ENOENT, NULL, &result->err);
        return;
    }
    struct access_key gone = s->keys.items.items[i];
    memmove(&s->keys.items.items[i], &s->keys.items.items[i + 1],
            (s->keys.items.len - i - 1) * sizeof(gone));
    s->keys.items.len--;
    /* First nobody gets in any more, then who is in goes. */
    access_publish(s);
    access_end(s, gone.serial);
    log_info("key %s (%s...) deleted, ending its sessions", gone.id, gone.hint);
    change_end(c, 0, &gone, NULL);
    key_done(&gone);
}

void access_key_delete(struct access_service *s, const char *id, bool stream, access_key_fn fn,
                       void *user)
{
    struct error err = {0};
    size_t i = find(s, id);
    if (i == s->keys.items.len || (s->keys.items.items[i].path != NULL) != stream) {
        error_set(&err, -ENOENT, "id", "there is no such key");
        fn(user, -ENOENT, NULL, &err);
        return;
    }
    if (access_key_locks_out(s, &s->keys.items.items[i])) {
        error_set(&err, -EDEADLK, "id",
                  "then nobody could use the API: make another key with the scope admin first, or "
                  "a user with api");
        fn(user, -EDEADLK, NULL, &err);
        return;
    }
    struct change *c = mem_new(struct change);
    *c = (struct change){.s = s, .fn = fn, .user = user};
    c->key.id = mem_strdup(id);
    struct store_op *op = store_op_write();
    store_op_delete(op, ACCESS_KEY_KIND, id, STORE_ANY);
    submit(c, op, on_deleted);
}
