/* SPDX-License-Identifier: Apache-2.0 */
#include "service/access/access.h"

#include "base/mem.h"
#include "base/url.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>

struct access_rules {
    struct access_config config;
    char *trusted_local_path;
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
    return 0;
}

static const struct model_field user_fields[] = {
    MODEL_STRING(struct access_user, name, .required = true, .min = 1, .max = 64,
                 .doc = "What the user is called; 'any' stands for everybody, without a password.",
                 .example = "studio"),
    MODEL_STRING(struct access_user, password, .min = 8, .max = 256, .secret = MODEL_SECRET_HASHED,
                 .doc = "At least 8 characters."),
    MODEL_LIST_STRING(struct access_user, publish, .comma = true, .max = 64,
                      .doc = "Paths the user may publish to; * stands for any run of characters.",
                      .example = "live/*"),
    MODEL_LIST_STRING(struct access_user, read, .comma = true, .max = 64,
                      .doc = "Paths the user may watch.", .example = "*"),
    MODEL_BOOL(struct access_user, api, .def = "false",
               .doc = "May use the API and see the metrics."),
};
static const struct model user_model =
    MODEL("AccessUser", struct access_user, user_fields, .check = check_user);

static const struct model_field config_fields[] = {
    MODEL_BOOL(
        struct access_config, open, .def = "false", .restart = true,
        .doc =
            "true: everybody may publish, watch and use the API, from anywhere. Without users and without "
            "this, only connections from this machine may."),
    MODEL_LIST_STRUCT(
        struct access_config, users, &user_model, .max = 1000, .restart = true,
        .doc = "Who may do what. As soon as there is one, this machine has no rights of its own."),
};
const struct model access_config_model = MODEL("Access", struct access_config, config_fields);

struct access_rules *access_rules_new(const struct access_config *config,
                                      const char *trusted_local_path)
{
    struct access_rules *r = mem_new(struct access_rules);
    model_copy(&access_config_model, &r->config, config);
    r->trusted_local_path = trusted_local_path ? mem_strdup(trusted_local_path) : NULL;
    return r;
}

struct access_rules *access_rules_free(struct access_rules *r)
{
    if (r) {
        model_done(&access_config_model, &r->config);
        free(r->trusted_local_path);
        free(r);
    }
    return NULL;
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

/* Digests are compared, so that neither the length nor the first wrong character shows in the time taken. */
static bool same_secret(const char *a, const char *b)
{
    unsigned char da[SHA256_DIGEST_LENGTH];
    unsigned char db[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)a, strlen(a), da);
    SHA256((const unsigned char *)b, strlen(b), db);
    return CRYPTO_memcmp(da, db, sizeof(da)) == 0;
}

static bool applies(const struct access_user *u, const char *user, const char *password)
{
    if (!u->password) {
        return true;
    }
    return user && password && strcmp(u->name, user) == 0 && same_secret(u->password, password);
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
    return demo || r->config.users.len == 0;
}

/*
 * Encoders and players that have no field for credentials carry them in the address: ?user=..&pass=.. (password=.. too),
 * on every protocol. What the protocol itself carries goes before.
 */
struct query_credentials {
    char *user;
    char *password;
};

static void query_credentials_done(struct query_credentials *c)
{
    free(c->user);
    free(c->password);
}

static struct access_request with_query(const struct access_request *req,
                                        struct query_credentials *buf)
{
    struct access_request full = *req;
    if (full.user || !full.query) {
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

void access_rules_ask(const struct access_rules *r, const struct access_request *asked,
                      struct access_answer *answer)
{
    _cleanup_(query_credentials_done) struct query_credentials buf = {0};
    const struct access_request full = with_query(asked, &buf);
    const struct access_request *req = &full;
    bool granted = r->config.open || local_may(r, req);
    for (size_t i = 0; !granted && i < r->config.users.len; i++) {
        const struct access_user *u = &r->config.users.items[i];
        granted = applies(u, req->user, req->password) && user_may(u, req->action, req->path);
    }
    *answer = (struct access_answer){0};
    snprintf(answer->path, sizeof(answer->path), "%s", req->path);
    if (granted) {
        return;
    }
    answer->result = req->user || req->password || req->token ? -EACCES : -EPERM;
    const char *verb = req->action == ACCESS_PUBLISH ? "publish to" : "watch";
    if (r->config.users.len == 0) {
        error_set(&answer->err, answer->result, "",
                  "only this machine may %s '%s': declare access.users, or set access.open", verb,
                  req->path);
    } else if (answer->result == -EPERM) {
        error_set(&answer->err, answer->result, "", "user and password are needed to %s '%s'", verb,
                  req->path);
    } else {
        error_set(&answer->err, answer->result, "", "these credentials may not %s '%s'", verb,
                  req->path);
    }
}

int access_rules_api(const struct access_rules *r, const char *user, const char *password,
                     const struct sockaddr *peer, bool forwarded)
{
    if (r->config.open || (r->config.users.len == 0 && is_loopback(peer) && !forwarded)) {
        return 0;
    }
    for (size_t i = 0; i < r->config.users.len; i++) {
        const struct access_user *u = &r->config.users.items[i];
        if (u->api && applies(u, user, password)) {
            return 0;
        }
    }
    return user || password ? -EACCES : -EPERM;
}

static void ask(void *user, struct access_ticket *t)
{
    struct access_answer answer;
    access_rules_ask(user, access_ticket_request(t), &answer);
    access_reply(t, &answer);
}

struct access_answerer access_rules_answerer(struct access_rules *r)
{
    return (struct access_answerer){.ask = ask, .user = r};
}
