/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Access as a running service: keeps the keys in the store, makes rules of them and the configuration, and answers the
 * engine's access question and the guard's. Rules are replaced as a whole by the control loop; media loops take a reference
 * for as long as one question takes. Made, changed and freed on the control thread; asked from any.
 *
 * A key counts once its document is committed, and stops counting when its removal is: then its sessions end too.
 */
#include "io/http.h"
#include "service/access/access.h"
#include "store/store.h"

struct access_service;

struct access_service_config {
    const struct access_config *access; /* copied */
    const char *trusted_local_path;     /* see access_rules_new(); copied */
    struct store *store;                /* outlives the service; NULL: no keys can be kept */
    struct loop *control;
};

/* Without keys and tokens until access_service_load(). Never fails. */
struct access_service *access_service_new(const struct access_service_config *config);
/* After the engine and the HTTP server are gone and the media loops stopped. Returns NULL. */
struct access_service *access_service_free(struct access_service *s);

/* Reads the keys and what tokens are checked with; blocks by running the control loop, so for the start only. */
int access_service_load(struct access_service *s, struct error *err);
/* Whose sessions a removed key ends; NULL when it is gone. */
void access_service_set_engine(struct access_service *s, struct engine *e);
/* Another configuration from now on (reload); keys stay. */
void access_service_configure(struct access_service *s, const struct access_config *config);

/* For engine_config.access. */
struct access_answerer access_service_answerer(struct access_service *s);
/* Gives the answers that still wait, and fetches nothing more; after the engine is gone, before the loops stop. Control thread. */
void access_service_stop(struct access_service *s, struct loop *const *loops, unsigned n);
/* Any thread: 0 and, if asked for, the grant; -EPERM, -EACCES, or -EBUSY: too many attempts failed from there, ask later. */
int access_service_api(struct access_service *s, const struct access_request *req,
                       enum access_scope scope, struct http_grant *ret);
/* Whether what was granted with this serial still holds. Any thread. */
bool access_service_holds(struct access_service *s, uint64_t serial);
/* Told of each serial that holds no more, on the control thread; fn may be NULL. */
typedef void (*access_revoked_fn)(void *user, uint64_t serial);
void access_service_on_revoked(struct access_service *s, access_revoked_fn fn, void *user);

/* ---- credentials of our own ---- */
/*
 * For what belongs to this process and comes to it from outside: a child of ours that reads a stream, an encoder that we set up to
 * publish one. A secret for this action at this path and nothing else, as a query ("token=mg_..."), to be wiped and freed.
 * It lives in memory until it is ended, which ends the sessions by it, too, or until the process is. Control loop.
 */
char *access_grant_make(struct access_service *s, enum access_action action, const char *path);
void access_grant_end(struct access_service *s, const char *query); /* NULL is fine */

/* ---- logging in (sessions.h); control loop ---- */
#define ACCESS_SESSION_SECRET_MAX 44

/*
 * Opens a session for req's user and password, or for its token when that is an API key, and writes the secret that the
 * cookie carries. -EACCES: they are wrong; -EBUSY: too many attempts failed from there.
 */
int access_login(struct access_service *s, const struct access_request *req,
                 char secret[ACCESS_SESSION_SECRET_MAX], int64_t *ret_expires_ns);
/* Ends the session of req's cookie and what plays by it; false when there is none. */
bool access_logout(struct access_service *s, const struct access_request *req);

enum access_identity_by {
    ACCESS_IDENTITY_NOBODY,
    ACCESS_IDENTITY_OPEN,
    ACCESS_IDENTITY_LOCAL,
    ACCESS_IDENTITY_COOKIE,
    ACCESS_IDENTITY_KEY,
    ACCESS_IDENTITY_PASSWORD,
    ACCESS_IDENTITY_TOKEN,
};

/* Who somebody is taken for, and what that one may. */
struct access_identity {
    int by; /* enum access_identity_by */
    char *user;
    char *key; /* its name, or its id */
    MODEL_ARRAY(int) scopes;
    MODEL_ARRAY(char *) watch;
    MODEL_ARRAY(char *) publish;
    int64_t expires_at; /* of a cookie */
};
extern const struct model access_identity_model;

/* 0, or as access_login(); ret is to be model_done() in any case. */
int access_identify(struct access_service *s, const struct access_request *req,
                    struct access_identity *ret);

/* /api/v1/session; user is the service. */
extern const struct http_route access_session_routes[];
extern const unsigned access_session_routes_n;

/* ---- users that the API makes; control loop ---- */

/* Of the file and of the API (those have a version); valid until the next change. */
struct access_users_view {
    const struct access_user *items;
    size_t len;
};
struct access_users_view access_users(const struct access_service *s);
const struct access_user *access_user_find(const struct access_service *s, const char *name);

typedef void (*access_user_fn)(void *user, int r, const struct error *err);
/*
 * Makes a user (its version is 0), or changes the one whose version u has; a clear password is hashed, which takes some 40
 * ms. Answers, perhaps before this returns: -EEXIST, -EPERM (the file declares that name), -EDEADLK (nobody could use the API
 * any more), -ENOSPC, -ENOENT, -ESTALE (changed meanwhile), -EINVAL, or what the store says.
 */
void access_user_put(struct access_service *s, const struct access_user *u, access_user_fn fn,
                     void *user);
/* Removes it and ends its sessions; errors as above. */
void access_user_delete(struct access_service *s, const char *name, access_user_fn fn, void *user);

/* /api/v1/users; user is the service. */
extern const struct http_route access_user_routes[];
extern const unsigned access_user_routes_n;

/* ---- keys; control loop ---- */
typedef void (*access_key_fn)(void *user, int r, const struct access_key *key,
                              const struct error *err);
/*
 * Makes a key like wanted (name, scopes and paths, or path; expires_at) and answers, perhaps before this returns, with it,
 * the secret in `key`. -ENOSPC: too many; -EINVAL; or what the store says.
 */
void access_key_create(struct access_service *s, const struct access_key *wanted, access_key_fn fn,
                       void *user);
/*
 * Removes the key and ends its sessions; a stream key or an API key, as stream says. -ENOENT; -EDEADLK (nobody could
 * use the API any more).
 */
void access_key_delete(struct access_service *s, const char *id, bool stream, access_key_fn fn,
                       void *user);
/* All keys, oldest first, of both sorts; valid until the next change. */
const struct access_key_list *access_keys(const struct access_service *s);

/* /api/v1/keys and /api/v1/stream-keys; user is the service. */
extern const struct http_route access_key_routes[];
extern const unsigned access_key_routes_n;
