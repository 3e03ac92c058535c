/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Who may do what: the users of the configuration, asked by every plane (publish, read, API) with the same question.
 *
 * Without users, whoever connects from this machine may do everything, and nobody else anything; a request that came
 * through a proxy does not count as local, and browsers are held to the page's own origin by the guard (guard.h). `open`
 * drops all of this by choice. The rules are immutable once made, so any thread may ask.
 */
#include "base/model.h"
#include "engine/access.h"

struct access_user {
    char *name;
    char *password; /* NULL: what anybody may do without a password (name "any") */
    MODEL_ARRAY(char *) publish;
    MODEL_ARRAY(char *) read;
    bool api;
};

struct access_config {
    bool open;
    MODEL_ARRAY(struct access_user) users;
};
extern const struct model access_config_model;

struct access_rules;
/* Copies config. trusted_local_path may be published from this machine without a password (the demo); NULL = none. */
struct access_rules *access_rules_new(const struct access_config *config,
                                      const char *trusted_local_path);
struct access_rules *access_rules_free(struct access_rules *r);

/* Answers at once. On refusal answer->result is -EPERM when no credentials came, -EACCES when they do not suffice. */
void access_rules_ask(const struct access_rules *r, const struct access_request *req,
                      struct access_answer *answer);
/* May this peer use the API? Credentials may be NULL. 0, -EPERM or -EACCES. */
int access_rules_api(const struct access_rules *r, const char *user, const char *password,
                     const struct sockaddr *peer, bool forwarded);
/* For engine_config.access. */
struct access_answerer access_rules_answerer(struct access_rules *r);

/* "live/" and star match: a star stands for any run of characters, slashes too. */
bool access_pattern_match(const char *pattern, const char *path);
