/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Who may do what: keys and the users of the configuration, asked by every plane (publish, read, API) with the same
 * question. The order: stream keys and API keys, then this machine's own right, then users, then signed tokens.
 *
 * Without users, whoever connects from this machine may do everything, and nobody else anything but what keys grant; a
 * request that came through a proxy does not count as local, and browsers are held to the page's own origin by the guard
 * (guard.h). `open` drops all of this by choice. The rules are immutable once made, so any thread may ask; a change makes
 * new ones (access_service.h).
 */
#include "base/model.h"
#include "engine/access.h"
#include "service/access/callback.h"
#include "service/access/jwt.h"
#include "service/access/key.h"
#include "service/access/password.h"

#include <stdatomic.h>

struct access_user {
    char *name;
    char *password; /* NULL: what anybody may do without a password (name "any") */
    MODEL_ARRAY(char *) publish;
    MODEL_ARRAY(char *) read;
    bool api;
    /* Not in the table. */
    uint64_t serial; /* of this declaration; sessions by it end with it */
    int64_t version; /* of its document in the store; 0 = the configuration file declares it */
};

struct access_user_list {
    MODEL_ARRAY(struct access_user) items;
};
extern const struct model access_user_model;     /* as declared, and as the document */
extern const struct model access_user_new_model; /* what clients send */

/* Sessions that people open by logging in on the page (sessions.h). */
struct access_sessions_config {
    int64_t idle;
    int64_t lifetime;
};

struct access_config {
    bool open;
    MODEL_ARRAY(struct access_user) users;
    struct access_sessions_config sessions;
    struct jwt_config jwt;
    struct callback_config http;
};
extern const struct model access_config_model;

struct access_rules;
/*
 * Copies all it is given; keys may be NULL. token_keys (may be NULL) is shared. trusted_local_path may be published from this machine without a password (the
 * demo); NULL = none.
 */
struct access_rules *access_rules_new(const struct access_config *config,
                                      const struct access_key_list *keys,
                                      struct jws_keys *token_keys, const char *trusted_local_path);
/* Who knows the passwords that were right; outlives the rules. Before anybody asks them. */
void access_rules_set_passwords(struct access_rules *r, struct passwords *passwords);
/* Set to true when a token is signed by a key that is not known; outlives the rules. Before anybody asks them. */
void access_rules_set_unknown_key(struct access_rules *r, atomic_bool *unknown_key);
struct access_rules *access_rules_ref(struct access_rules *r);
void access_rules_unref(struct access_rules **r); /* *r may be NULL */

/* When the question is asked: keys have an end; and how much work it is worth. */
struct access_now {
    int64_t wall_ns;
    int64_t mono_ns;
    enum passwords_effort passwords;
};

/* What granted, or a key or token that was right but does not grant this. Only what people choose can be guessed. */
enum access_source {
    ACCESS_BY_NOTHING,
    ACCESS_BY_KEY,
    ACCESS_BY_RULE, /* open, this machine, the user `any` */
    ACCESS_BY_PASSWORD,
    ACCESS_BY_TOKEN,
    ACCESS_BY_SESSION,
};

/* Who logs in, or has: a user with a password, or an API key. One of them is NULL, or both: nobody. They live as long as the rules. */
struct access_holder {
    const struct access_user *user;
    const struct access_key *key;
};

/* Answers at once. On refusal answer->result is -EPERM when no credentials came, -EACCES when they do not suffice. */
enum access_source access_rules_ask(const struct access_rules *r, const struct access_request *req,
                                    const struct access_now *now, struct access_answer *answer);
/* May req's peer use routes of this scope? Path and action do not matter. answer->result: 0, -EPERM, -EACCES or -EBUSY. */
enum access_source access_rules_api(const struct access_rules *r, const struct access_request *req,
                                    enum access_scope scope, const struct access_now *now,
                                    struct access_answer *answer);

/* Whose user and password, or token, these are; nobody when they are wrong, or when *ret_r is -EBUSY: to be asked later. Stream keys and signed tokens do not log in. */
struct access_holder access_rules_login(const struct access_rules *r,
                                        const struct access_request *req,
                                        const struct access_now *now, int *ret_r);
/* The user or key of that serial, if it still holds. */
struct access_holder access_rules_holder(const struct access_rules *r, uint64_t serial,
                                         const struct access_now *now);
/* The user of that name, or the API key of that id (one of them is NULL), if it may log in. */
struct access_holder access_rules_named(const struct access_rules *r, const char *user,
                                        const char *key, const struct access_now *now);
bool access_holder_may(const struct access_holder *h, enum access_action action, const char *path);
bool access_holder_has_scope(const struct access_holder *h, enum access_scope scope);
/* What this machine, or everybody (`open`), may: the API, and media when path is not NULL. */
bool access_rules_are_open(const struct access_rules *r);
bool access_rules_trust(const struct access_rules *r, const struct access_request *req);

/* "live/" and star match: a star stands for any run of characters, slashes too. */
bool access_pattern_match(const char *pattern, const char *path);
