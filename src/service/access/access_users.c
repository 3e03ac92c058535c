/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users: those of the configuration file and those that the API made, which live in the store. Where both have a name, the
 * file's counts. Each declaration has a serial; who loses a right or the password loses the sessions, who gains one does not.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "service/access/access_private.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

LOG_TOPIC(topic, "access");

#define USERS_MAX 1000

/* ---- the two lists as one ---- */

static bool lists_all(char *const *in, size_t n_in, char *const *all, size_t n_all)
{
    for (size_t i = 0; i < n_all; i++) {
        bool there = false;
        for (size_t k = 0; k < n_in && !there; k++) {
            there = strcmp(in[k], all[i]) == 0;
        }
        if (!there) {
            return false;
        }
    }
    return true;
}

/* The same password, and no right less: then who is in by it stays in. */
static bool is_kept(const struct access_user *old, const struct access_user *u)
{
    bool same = old->password && u->password ? strcmp(old->password, u->password) == 0
                                             : !old->password && !u->password;
    return same && strcmp(old->name, u->name) == 0 && (u->api || !old->api) &&
           lists_all(u->publish.items, u->publish.len, old->publish.items, old->publish.len) &&
           lists_all(u->read.items, u->read.len, old->read.items, old->read.len);
}

static bool is_in_file(const struct access_service *s, const char *name)
{
    for (size_t i = 0; i < s->config.users.len; i++) {
        if (strcmp(s->config.users.items[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void append(struct access_config *c, const struct access_user *u)
{
    c->users.items = mem_realloc(c->users.items, (c->users.len + 1) * sizeof(*u));
    model_copy(&access_user_model, &c->users.items[c->users.len++], u);
}

void access_users_merge(struct access_service *s, const struct access_config *before)
{
    model_copy(&access_config_model, &s->effective, &s->config);
    struct access_config *c = &s->effective;
    for (size_t i = 0; i < s->users.items.len; i++) {
        if (!is_in_file(s, s->users.items.items[i].name)) {
            append(c, &s->users.items.items[i]);
        }
    }
    for (size_t i = 0; i < c->users.len; i++) {
        struct access_user *u = &c->users.items[i];
        u->serial = 0;
        for (size_t k = 0; k < before->users.len && u->serial == 0; k++) {
            const struct access_user *old = &before->users.items[k];
            u->serial = is_kept(old, u) ? old->serial : 0;
        }
        u->serial = u->serial ? u->serial : ++s->last_serial;
    }
}

void access_users_revoke(struct access_service *s, const struct access_config *before)
{
    for (size_t i = 0; i < before->users.len; i++) {
        const struct access_user *old = &before->users.items[i];
        bool kept = false;
        for (size_t k = 0; k < s->effective.users.len && !kept; k++) {
            kept = s->effective.users.items[k].serial == old->serial;
        }
        if (!kept) {
            log_info("user '%s' has gone or lost a right, ending the sessions", old->name);
            access_end(s, old->serial);
        }
    }
}

struct access_users_view access_users(const struct access_service *s)
{
    return (struct access_users_view){s->effective.users.items, s->effective.users.len};
}

const struct access_user *access_user_find(const struct access_service *s, const char *name)
{
    for (size_t i = 0; i < s->effective.users.len; i++) {
        if (strcmp(s->effective.users.items[i].name, name) == 0) {
            return &s->effective.users.items[i];
        }
    }
    return NULL;
}

/* ---- the API's own ---- */

static void user_done(struct access_user *u)
{
    if (u->password) {
        OPENSSL_cleanse(u->password, strlen(u->password));
    }
    model_done(&access_user_model, u);
}

void access_users_done(struct access_service *s)
{
    for (size_t i = 0; i < s->users.items.len; i++) {
        user_done(&s->users.items.items[i]);
    }
    free(s->users.items.items);
    s->users = (struct access_user_list){0};
}

static struct access_user *own(struct access_service *s, const char *name)
{
    for (size_t i = 0; i < s->users.items.len; i++) {
        if (strcmp(s->users.items.items[i].name, name) == 0) {
            return &s->users.items.items[i];
        }
    }
    return NULL;
}

/* Takes over what u owns; replaces the one of that name. */
static void keep(struct access_service *s, struct access_user *u)
{
    struct access_user *at = own(s, u->name);
    if (at) {
        user_done(at);
    } else {
        s->users.items.items =
            mem_realloc(s->users.items.items, (s->users.items.len + 1) * sizeof(*u));
        at = &s->users.items.items[s->users.items.len++];
    }
    *at = *u;
    *u = (struct access_user){0};
}

void access_users_load(struct access_service *s, const struct store_doc *doc)
{
    struct access_user u;
    struct error err = {0};
    int r = model_parse_json(&access_user_model, &u, doc->body, NULL, &err);
    if (r == 0 && strcmp(u.name, doc->id) != 0) {
        user_done(&u);
        r = error_set(&err, -EINVAL, "", "is not what this program writes");
    }
    if (r < 0) {
        log_error("user %s: %s %s, ignoring the user", doc->id, err.where, err.text);
        return;
    }
    if (is_in_file(s, u.name)) {
        log_warn("user '%s' is declared in the configuration file too: that one counts", u.name);
    }
    u.version = doc->version;
    keep(s, &u);
}

/* ---- changes ---- */

struct change {
    struct access_service *s;
    struct access_user u; /* of a removal only the name */
    access_user_fn fn;
    void *user;
};

static void change_end(struct change *c, int r, const struct error *err)
{
    c->fn(c->user, r, err);
    user_done(&c->u);
    free(c);
}

static bool administers(const struct access_key *k, int64_t now_ns)
{
    return !k->path && access_key_has_scope(k, ACCESS_SCOPE_ADMIN) &&
           (k->expires_at == 0 || now_ns < k->expires_at);
}

/*
 * With users, this machine has no right of its own: would anybody be left who can use the API? n_users are those that would be
 * left, api says whether one of them may; gone is the key that goes, or NULL.
 */
static bool locks_out(const struct access_service *s, size_t n_users, bool api,
                      const struct access_key *gone)
{
    const int64_t now_ns = clock_wall_ns();
    bool key = false;
    for (size_t i = 0; i < s->keys.items.len; i++) {
        const struct access_key *k = &s->keys.items.items[i];
        key = key || (k != gone && administers(k, now_ns));
    }
    return n_users > 0 && !api && !key && !s->config.open && !jwt_is_configured(&s->config.jwt);
}

/* next NULL = name goes. */
static bool user_locks_out(const struct access_service *s, const char *name,
                           const struct access_user *next)
{
    size_t left = next != NULL;
    bool api = next && next->api;
    for (size_t i = 0; i < s->effective.users.len; i++) {
        const struct access_user *u = &s->effective.users.items[i];
        if (strcmp(u->name, name) != 0) {
            left++;
            api = api || u->api;
        }
    }
    return locks_out(s, left, api, NULL);
}

bool access_key_locks_out(const struct access_service *s, const struct access_key *gone)
{
    bool api = false;
    for (size_t i = 0; i < s->effective.users.len; i++) {
        api = api || s->effective.users.items[i].api;
    }
    return administers(gone, clock_wall_ns()) && locks_out(s, s->effective.users.len, api, gone);
}

/* What can be said before the store is asked. */
static int check_change(const struct access_service *s, const char *name,
                        const struct access_user *next, struct error *err)
{
    const struct access_user *now = access_user_find(s, name);
    if (is_in_file(s, name)) {
        return error_set(err, -EPERM, "name", "'%s' is declared in the configuration file", name);
    }
    if (now ? next && next->version == 0 : !next || next->version != 0) {
        return now ? error_set(err, -EEXIST, "name", "there is a user '%s'", name)
                   : error_set(err, -ENOENT, "name", "there is no user '%s'", name);
    }
    if (!s->store || (!now && s->users.items.len >= USERS_MAX)) {
        return error_set(err, -ENOSPC, "", "no more than %d users can be kept", USERS_MAX);
    }
    if (user_locks_out(s, name, next)) {
        return error_set(err, -EDEADLK, "api",
                         "then nobody could use the API: make a user with api first, or a key with "
                         "the scope admin");
    }
    return 0;
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

static void on_put(void *user, int r, const struct store_result *result)
{
    struct change *c = user;
    if (r < 0) {
        change_end(c, r, &result->err);
        return;
    }
    log_info("user '%s' %s", c->u.name, c->u.version == 0 ? "made" : "changed");
    c->u.version = result->docs[0].version;
    struct access_user kept;
    model_copy(&access_user_model, &kept, &c->u);
    keep(c->s, &kept);
    access_publish(c->s);
    change_end(c, 0, NULL);
}

static int hash_password(struct access_user *u, struct error *err)
{
    char text[PASSWORD_TEXT_MAX];
    if (password_is_hash(u->password)) {
        return password_hash_is_sound(u->password)
                   ? 0
                   : error_set(err, -EINVAL, "password",
                               "is not a hash as `mast user hash` makes it");
    }
    if (password_hash(u->password, text) < 0) {
        return error_set(err, -EIO, "password", "cannot be hashed here");
    }
    OPENSSL_cleanse(u->password, strlen(u->password));
    free(u->password);
    u->password = mem_strdup(text);
    return 0;
}

void access_user_put(struct access_service *s, const struct access_user *u, access_user_fn fn,
                     void *user)
{
    struct error err = {0};
    struct change *c = mem_new(struct change);
    *c = (struct change){.s = s, .fn = fn, .user = user};
    model_copy(&access_user_model, &c->u, u);
    int r = check_change(s, u->name, u, &err);
    r = r < 0 ? r : hash_password(&c->u, &err);
    if (r < 0) {
        change_end(c, r, &err);
        return;
    }
    _cleanup_free_ char *body = model_to_json(&access_user_model, &c->u, MODEL_SECRETS_CLEAR);
    struct store_op *op = store_op_write();
    store_op_put(op, ACCESS_USER_KIND, u->name, u->version ? u->version : STORE_CREATE,
                 BYTES_STR(body));
    submit(c, op, on_put);
}

static void on_deleted(void *user, int r, const struct store_result *result)
{
    struct change *c = user;
    struct access_service *s = c->s;
    struct access_user *at = own(s, c->u.name);
    if (r < 0 || !at) {
        change_end(c, r < 0 ? r : -ENOENT, &result->err);
        return;
    }
    user_done(at);
    *at = s->users.items.items[--s->users.items.len];
    access_publish(s);
    change_end(c, 0, NULL);
}

void access_user_delete(struct access_service *s, const char *name, access_user_fn fn, void *user)
{
    struct error err = {0};
    int r = check_change(s, name, NULL, &err);
    if (r < 0) {
        fn(user, r, &err);
        return;
    }
    struct change *c = mem_new(struct change);
    *c = (struct change){.s = s, .fn = fn, .user = user};
    c->u.name = mem_strdup(name);
    struct store_op *op = store_op_write();
    store_op_delete(op, ACCESS_USER_KIND, name, STORE_ANY);
    submit(c, op, on_deleted);
}
