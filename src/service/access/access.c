/* SPDX-License-Identifier: Apache-2.0 */
#include "service/access/access.h"

#include "base/base64.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/url.h"
#include "store/hash.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdatomic.h>
#include <stdio.h>

struct access_rules {
    atomic_uint refs;
    struct access_config config;
    char *trusted_local_path;
    size_t n_keys;
    struct access_key *keys;
    struct map by_hash; /* of keys */
    struct jws_keys *token_keys;
    struct passwords *passwords; /* NULL: each is checked anew */
    atomic_bool *unknown_key;    /* NULL: nobody wants to know */
};

static int check_user(void *obj, struct error *err)
{
    const struct access_user *u = obj;
    bool anybody = strcmp(u->name, "any") == 0;
    if (anybody && u->password) {
        return error_set(err, -EINVAL, "password",
                         "the user 'any' stands for everybody and has no password");
    }
    if (!anybody && !u->password) {
        return error_set(err, -EINVAL, "password",
                         "user '%s' needs a password (only 'any' has none)", u->name);
    }
    if (u->password && password_is_hash(u->password) && !password_hash_is_sound(u->password)) {
        return error_set(err, -EINVAL, "password", "is not a hash as `mast user hash` makes it");
    }
    return 0;
}

static const struct model_field user_fields[] = {
    MODEL_STRING(struct access_user, name, .required = true, .min = 1, .max = 64,
                 .doc = "What the user is called; 'any' stands for everybody, without a password.",
                 .example = "studio"),
    MODEL_STRING(struct access_user, password, .min = 8, .max = 256, .secret = MODEL_SECRET_HASHED,
                 .doc = "At least 8 characters, or what `mast user hash` makes of them."),
    MODEL_LIST_STRING(struct access_user, publish, .comma = true, .max = 64,
                      .doc = "Paths the user may publish to; * stands for any run of characters.",
                      .example = "live/*"),
    MODEL_LIST_STRING(struct access_user, read, .comma = true, .max = 64,
                      .doc = "Paths the user may watch.", .example = "*"),
    MODEL_BOOL(struct access_user, api, .def = "false",
               .doc = "May use the API and see the metrics."),
};
const struct model access_user_model =
    MODEL("AccessUser", struct access_user, user_fields, .check = check_user);

static const struct model_field sessions_fields[] = {
    MODEL_DURATION(struct access_sessions_config, idle, .def = "1d", .min = 60000000000,
                   .max = 31536000000000000, .doc = "Ends when it was not used for so long."),
    MODEL_DURATION(struct access_sessions_config, lifetime, .def = "7d", .min = 60000000000,
                   .max = 31536000000000000, .doc = "Ends after so long in any case."),
};
static const struct model sessions_model =
    MODEL("AccessSessions", struct access_sessions_config, sessions_fields);

static const struct model_field config_fields[] = {
    MODEL_BOOL(
        struct access_config, open, .def = "false",
        .doc =
            "true: everybody may publish, watch and use the API, from anywhere. Without users and without "
            "this, only connections from this machine may."),
    MODEL_LIST_STRUCT(
        struct access_config, users, &access_user_model, .max = 1000,
        .doc = "Who may do what. As soon as there is one, this machine has no rights of its own."),
    MODEL_STRUCT(struct access_config, sessions, &sessions_model,
                 .doc = "Sessions opened by logging in on the page."),
    MODEL_STRUCT(struct access_config, jwt, &jwt_config_model,
                 .doc = "Access by signed tokens (JWT)."),
    MODEL_STRUCT(struct access_config, http, &callback_config_model,
                 .doc = "Access by asking a program of yours."),
};
const struct model access_config_model = MODEL("Access", struct access_config, config_fields);

static void copy_keys(struct access_rules *r, const struct access_key_list *keys)
{
    r->keys = mem_new_array(struct access_key, MAX(keys->items.len, (size_t)1));
    r->n_keys = keys->items.len;
    for (size_t i = 0; i < r->n_keys; i++) {
        struct access_key *k = &r->keys[i];
        model_copy(&access_key_model, k, &keys->items.items[i]);
        k->serial = keys->items.items[i].serial;
        map_set(&r->by_hash, k->hash, k);
    }
}

struct access_rules *access_rules_new(const struct access_config *config,
                                      const struct access_key_list *keys,
                                      struct jws_keys *token_keys, const char *trusted_local_path)
{
    struct access_rules *r = mem_new(struct access_rules);
    atomic_init(&r->refs, 1);
    model_copy(&access_config_model, &r->config, config);
    r->trusted_local_path = trusted_local_path ? mem_strdup(trusted_local_path) : NULL;
    r->token_keys = token_keys ? jws_keys_ref(token_keys) : NULL;
    if (keys) {
        copy_keys(r, keys);
    }
    return r;
}

void access_rules_set_passwords(struct access_rules *r, struct passwords *passwords)
{
    r->passwords = passwords;
}

void access_rules_set_unknown_key(struct access_rules *r, atomic_bool *unknown_key)
{
    r->unknown_key = unknown_key;
}

struct access_rules *access_rules_ref(struct access_rules *r)
{
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

void access_rules_unref(struct access_rules **pr)
{
    struct access_rules *r = TAKE_PTR(*pr);
    if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    map_done(&r->by_hash);
    for (size_t i = 0; i < r->n_keys; i++) {
        model_done(&access_key_model, &r->keys[i]);
    }
    free(r->keys);
    jws_keys_unref(&r->token_keys);
    model_done(&access_config_model, &r->config);
    free(r->trusted_local_path);
    free(r);
}

bool access_pattern_match(const char *pattern, const char *path)
{
    /* One star at a time: on a mismatch the latest star takes one character more. */
    const char *star = NULL;
    const char *retry = NULL;
    while (*path) {
        if (*pattern == '*') {
            star = pattern++;
            retry = path;
        } else if (*pattern == *path) {
            pattern++;
            path++;
        } else if (star) {
            pattern = star + 1;
            path = ++retry;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}

static bool is_loopback(const struct sockaddr *sa)
{
    if (sa && sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    if (sa && sa->sa_family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)sa)->sin6_addr;
        return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
    }
    return false;
}

/* *busy is set when it cannot be told now (password.h): then no refusal may be counted. */
static bool applies(const struct access_rules *r, const struct access_user *u, const char *user,
                    const char *password, const struct access_now *now, bool *busy)
{
    if (!u->password) {
        return true;
    }
    if (!user || !password || strcmp(u->name, user) != 0) {
        return false;
    }
    int right = passwords_check(r->passwords, u->password, password, now->passwords, now->mono_ns);
    *busy = *busy || right == -EBUSY;
    return right > 0;
}

static char *base64_md5(const char *a, const char *b, const char *c)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    _cleanup_free_ char *text = mem_printf("%s%s%s", a, b, c);
    if (EVP_Digest(text, strlen(text), digest, &len, EVP_md5(), NULL) != 1) {
        len = 0; /* a machine that forbids MD5: no proof is right */
    }
    explicit_bzero(text, strlen(text));
    return base64_to_str(BYTES(digest, len), BASE64_STD);
}

/* See access_request: the peer has not shown the password, but that it knows it. */
static bool proves(const struct access_user *u, const struct access_request *req)
{
    /* It takes the password itself to check: a hash of it will not do. */
    if (!u->password || password_is_hash(u->password) || !req->user || !req->proof_salt ||
        !req->proof_challenge || !req->proof_response || strcmp(u->name, req->user) != 0) {
        return false;
    }
    _cleanup_free_ char *salted = base64_md5(req->user, req->proof_salt, u->password);
    _cleanup_free_ char *want = base64_md5(salted, req->proof_challenge, "");
    return *want && passwords_check(NULL, want, req->proof_response, PASSWORDS_CHECK, 0) > 0;
}

static bool patterns_match(char *const *patterns, size_t n, const char *path)
{
    for (size_t i = 0; i < n; i++) {
        if (access_pattern_match(patterns[i], path)) {
            return true;
        }
    }
    return false;
}

static bool user_may(const struct access_user *u, enum access_action action, const char *path)
{
    switch (action) {
    case ACCESS_PUBLISH:
        return patterns_match(u->publish.items, u->publish.len, path);
    case ACCESS_READ:
        return patterns_match(u->read.items, u->read.len, path);
    case ACCESS_ACTION_N:
        break;
    }
    return false;
}

static bool local_may(const struct access_rules *r, const struct access_request *req)
{
    if (!is_loopback(req->peer) || req->forwarded) {
        return false;
    }
    bool demo = r->trusted_local_path && req->action == ACCESS_PUBLISH &&
                strcmp(req->path, r->trusted_local_path) == 0;
    /* Who says by tokens or by a program of theirs who may, means this machine too. */
    return demo ||
           (r->config.users.len == 0 && !jwt_is_configured(&r->config.jwt) && !r->config.http.url);
}

/*
 * Encoders and players that have no field for credentials carry them in the address: ?user=..&pass=.. (password=.. too), or
 * ?token=.. (jwt=.. too), on every protocol. What the protocol itself carries goes before.
 */
struct query_credentials {
    char *user;
    char *password;
    char *token;
};

static char *wipe(char *s)
{
    if (s) {
        OPENSSL_cleanse(s, strlen(s));
        free(s);
    }
    return NULL;
}

static void query_credentials_done(struct query_credentials *c)
{
    c->user = wipe(c->user);
    c->password = wipe(c->password);
    c->token = wipe(c->token);
}

static struct access_request with_query(const struct access_request *req,
                                        struct query_credentials *buf)
{
    struct access_request full = *req;
    if (!full.query || !full.query[0]) {
        return full;
    }
    if (!full.token) {
        full.token = buf->token = url_query_get(full.query, "token");
    }
    if (!full.token) {
        full.token = buf->token = url_query_get(full.query, "jwt");
    }
    if (full.user) {
        return full;
    }
    buf->user = url_query_get(full.query, "user");
    buf->password = url_query_get(full.query, "pass");
    if (!buf->password) {
        buf->password = url_query_get(full.query, "password");
    }
    if (buf->user && buf->password) {
        full.user = buf->user;
        full.password = buf->password;
    }
    return full;
}

/* ---- keys ---- */

/* The map finds by the whole SHA-256, of which a wrong guess tells nothing; the comparison is in constant time. */
static const struct access_key *find_key(const struct access_rules *r, const char *secret,
                                         const struct access_now *now)
{
    char text[HASH_TEXT_MAX];
    if (!secret || hash_key(secret, text) < 0) {
        return NULL;
    }
    const struct access_key *k = map_get(&r->by_hash, text);
    if (!k || !hash_matches(k->hash, secret)) {
        return NULL;
    }
    return k->expires_at == 0 || now->wall_ns < k->expires_at ? k : NULL;
}

/* A key comes as a token, or as a password, whoever the user is. */
static const struct access_key *
key_of(const struct access_rules *r, const struct access_request *req, const struct access_now *now)
{
    const struct access_key *k = find_key(r, req->token, now);
    return k ? k : find_key(r, req->password, now);
}

static bool key_may(const struct access_key *k, enum access_action action, const char *path)
{
    if (k->path) {
        return action == ACCESS_PUBLISH && strcmp(k->path, path) == 0;
    }
    return access_key_has_scope(k, action == ACCESS_PUBLISH ? ACCESS_SCOPE_PUBLISH
                                                            : ACCESS_SCOPE_WATCH) &&
           patterns_match(k->paths.items, k->paths.len, path);
}

static void grant(struct access_answer *answer, const char *path, uint64_t user_serial,
                  const struct access_key *k, const struct access_now *now)
{
    *answer = (struct access_answer){.serial = user_serial};
    snprintf(answer->path, sizeof(answer->path), "%s", path);
    if (k) {
        answer->serial = k->serial;
        answer->expires_mono_ns =
            k->expires_at ? MAX(now->mono_ns + (k->expires_at - now->wall_ns), INT64_C(1)) : 0;
    }
}

/* A stream key stands for a path, so it either opens that one or nothing: no other source is asked. */
static enum access_source ask_by_stream_key(const struct access_rules *r,
                                            const struct access_request *req, const char *secret,
                                            const struct access_now *now,
                                            struct access_answer *answer)
{
    const struct access_key *k = find_key(r, secret, now);
    if (k && k->path && key_may(k, req->action, k->path)) {
        grant(answer, k->path, 0, k, now);
        return ACCESS_BY_KEY;
    }
    *answer = (struct access_answer){0};
    answer->result = error_set(&answer->err, -EACCES, "", "this stream key opens nothing");
    return k ? ACCESS_BY_KEY : ACCESS_BY_NOTHING;
}

/* ---- the questions ---- */

/* Everybody's rights first: they need no password, so none is tried. */
static enum access_source user_grants(const struct access_rules *r,
                                      const struct access_request *req,
                                      const struct access_now *now, uint64_t *ret_serial,
                                      bool *busy)
{
    for (size_t i = 0; i < r->config.users.len; i++) {
        const struct access_user *u = &r->config.users.items[i];
        if (!u->password && user_may(u, req->action, req->path)) {
            *ret_serial = u->serial;
            return ACCESS_BY_RULE;
        }
    }
    for (size_t i = 0; i < r->config.users.len; i++) {
        const struct access_user *u = &r->config.users.items[i];
        if (u->password && user_may(u, req->action, req->path) &&
            (applies(r, u, req->user, req->password, now, busy) || proves(u, req))) {
            *ret_serial = u->serial;
            return ACCESS_BY_PASSWORD;
        }
    }
    return ACCESS_BY_NOTHING;
}

/*
 * A token comes as a token, or as a password, whoever the user is. False: there is none, or it is not right, or not for this;
 * *ret_right tells the last two apart. path NULL: the API.
 */
static bool token_grants(const struct access_rules *r, const struct access_request *req,
                         const char *path, enum access_scope scope, const struct access_now *now,
                         struct jwt_grant *grant, bool *ret_right)
{
    const char *const texts[] = {req->token, req->password};
    *ret_right = false;
    for (unsigned i = 0; r->token_keys && i < ARRAY_LEN(texts); i++) {
        if (!texts[i] || !jws_is_text(texts[i])) {
            continue;
        }
        int x = jwt_check(&r->config.jwt, r->token_keys, texts[i], req->action, path, scope,
                          now->wall_ns, grant, NULL);
        if (x == 0) {
            *ret_right = true;
            return grant->granted;
        }
        if (x == -ENOKEY && r->unknown_key) {
            atomic_store(r->unknown_key, true);
        }
    }
    return false;
}

static void refuse(const struct access_rules *r, const struct access_request *req,
                   struct access_answer *answer)
{
    const char *verb = req->action == ACCESS_PUBLISH ? "publish to" : "watch";
    *answer = (struct access_answer){0};
    answer->result = req->user || req->password || req->token ? -EACCES : -EPERM;
    if (answer->result == -EACCES) {
        error_set(&answer->err, answer->result, "", "these credentials may not %s '%s'", verb,
                  req->path);
    } else if (r->config.users.len == 0) {
        error_set(
            &answer->err, answer->result, "",
            "only this machine may %s '%s': declare access.users, make keys, or set access.open",
            verb, req->path);
    } else {
        error_set(&answer->err, answer->result, "", "user and password are needed to %s '%s'", verb,
                  req->path);
    }
}

enum access_source access_rules_ask(const struct access_rules *r,
                                    const struct access_request *asked,
                                    const struct access_now *now, struct access_answer *answer)
{
    _cleanup_(query_credentials_done) struct query_credentials buf = {0};
    const struct access_request full = with_query(asked, &buf);
    const struct access_request *req = &full;
    const char *secret = access_path_key(req->path);
    if (secret) {
        return ask_by_stream_key(r, req, secret, now, answer);
    }
    const struct access_key *k = key_of(r, req, now);
    if (k && key_may(k, req->action, req->path)) {
        grant(answer, req->path, 0, k, now);
        return ACCESS_BY_KEY;
    }
    uint64_t serial = 0;
    bool busy = false;
    enum access_source source = r->config.open || local_may(r, req)
                                    ? ACCESS_BY_RULE
                                    : user_grants(r, req, now, &serial, &busy);
    if (source != ACCESS_BY_NOTHING) {
        grant(answer, req->path, serial, NULL, now);
        return source;
    }
    struct jwt_grant token;
    bool right;
    if (token_grants(r, req, req->path, ACCESS_SCOPE_N, now, &token, &right)) {
        grant(answer, req->path, 0, NULL, now);
        answer->expires_mono_ns =
            MAX(now->mono_ns + (token.expires_wall_ns - now->wall_ns), INT64_C(1));
        return ACCESS_BY_TOKEN;
    }
    refuse(r, req, answer);
    if (busy) {
        *answer = (struct access_answer){0};
        answer->result =
            error_set(&answer->err, -EBUSY, "", "too many passwords are being checked, try again");
        return ACCESS_BY_RULE;
    }
    return k ? ACCESS_BY_KEY : right ? ACCESS_BY_TOKEN : ACCESS_BY_NOTHING;
}

bool access_rules_are_open(const struct access_rules *r)
{
    return r->config.open;
}

bool access_rules_trust(const struct access_rules *r, const struct access_request *req)
{
    return r->config.open ||
           (r->config.users.len == 0 && is_loopback(req->peer) && !req->forwarded);
}

enum access_source access_rules_api(const struct access_rules *r,
                                    const struct access_request *asked, enum access_scope scope,
                                    const struct access_now *now, struct access_answer *answer)
{
    _cleanup_(query_credentials_done) struct query_credentials buf = {0};
    const struct access_request req = with_query(asked, &buf);
    bool busy = false;
    *answer = (struct access_answer){0};
    if (access_rules_trust(r, &req)) {
        return ACCESS_BY_RULE;
    }
    const struct access_key *k = key_of(r, &req, now);
    if (k && access_key_has_scope(k, scope)) {
        grant(answer, "", 0, k, now);
        return ACCESS_BY_KEY;
    }
    for (size_t i = 0; i < r->config.users.len; i++) {
        const struct access_user *u = &r->config.users.items[i];
        if (u->api && applies(r, u, req.user, req.password, now, &busy)) {
            answer->serial = u->serial;
            return u->password ? ACCESS_BY_PASSWORD : ACCESS_BY_RULE;
        }
    }
    struct jwt_grant token;
    bool right;
    if (token_grants(r, &req, NULL, scope, now, &token, &right)) {
        answer->expires_mono_ns =
            MAX(now->mono_ns + (token.expires_wall_ns - now->wall_ns), INT64_C(1));
        return ACCESS_BY_TOKEN;
    }
    if (busy) {
        answer->result = -EBUSY;
        return ACCESS_BY_RULE;
    }
    answer->result = req.user || req.password || req.token ? -EACCES : -EPERM;
    return k ? ACCESS_BY_KEY : right ? ACCESS_BY_TOKEN : ACCESS_BY_NOTHING;
}

/* ---- who logs in ---- */

struct access_holder access_rules_login(const struct access_rules *r,
                                        const struct access_request *req,
                                        const struct access_now *now, int *ret_r)
{
    struct access_holder h = {0};
    bool busy = false;
    h.key = find_key(r, req->token, now);
    if (h.key && h.key->path) {
        h.key = NULL; /* a stream key publishes to its path, and no more */
    }
    for (size_t i = 0; !h.key && !h.user && i < r->config.users.len; i++) {
        const struct access_user *u = &r->config.users.items[i];
        h.user = u->password && applies(r, u, req->user, req->password, now, &busy) ? u : NULL;
    }
    *ret_r = busy && !h.user ? -EBUSY : 0;
    return h;
}

struct access_holder access_rules_holder(const struct access_rules *r, uint64_t serial,
                                         const struct access_now *now)
{
    struct access_holder h = {0};
    for (size_t i = 0; !h.user && i < r->config.users.len; i++) {
        h.user = r->config.users.items[i].serial == serial ? &r->config.users.items[i] : NULL;
    }
    /* Keys stand in the order of their serials. */
    for (size_t from = 0, to = r->n_keys; !h.user && !h.key && from < to;) {
        size_t mid = from + (to - from) / 2;
        const struct access_key *k = &r->keys[mid];
        if (k->serial == serial) {
            h.key = k->expires_at == 0 || now->wall_ns < k->expires_at ? k : NULL;
            break;
        }
        from = k->serial < serial ? mid + 1 : from;
        to = k->serial > serial ? mid : to;
    }
    return h;
}

struct access_holder access_rules_named(const struct access_rules *r, const char *user,
                                        const char *key, const struct access_now *now)
{
    struct access_holder h = {0};
    for (size_t i = 0; user && !h.user && i < r->config.users.len; i++) {
        const struct access_user *u = &r->config.users.items[i];
        h.user = u->password && strcmp(u->name, user) == 0 ? u : NULL;
    }
    for (size_t i = 0; key && !h.key && i < r->n_keys; i++) {
        const struct access_key *k = &r->keys[i];
        bool holds = !k->path && (k->expires_at == 0 || now->wall_ns < k->expires_at);
        h.key = holds && strcmp(k->id, key) == 0 ? k : NULL;
    }
    return h;
}

bool access_holder_may(const struct access_holder *h, enum access_action action, const char *path)
{
    return (h->user && user_may(h->user, action, path)) ||
           (h->key && key_may(h->key, action, path));
}

bool access_holder_has_scope(const struct access_holder *h, enum access_scope scope)
{
    return (h->user && h->user->api) || (h->key && access_key_has_scope(h->key, scope));
}
