/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The inside of the access service; only src/service/access/access_*.c include it. Each member says its thread. */
#include "base/map.h"
#include "service/access/access_service.h"
#include "service/access/password.h"
#include "service/access/sessions.h"
#include "service/access/throttle.h"

#include <pthread.h>

/* A loop's answers that wait; only that loop touches it. */
struct holder {
    struct list list;
    unsigned n;
};

struct access_service {
    struct access_config config;   /* control loop; what the file says */
    struct access_user_list users; /* control loop; what the API made, with versions */
    struct access_config
        effective; /* control loop; both, with serials: what the rules are made of */
    char *trusted_local_path;
    struct store *store; /* control loop; NULL without one, and from the stop on */
    struct loop *control;
    struct engine *engine;
    access_revoked_fn revoked; /* control loop */
    void *revoked_user;
    struct access_key_list keys; /* control loop; with hints and serials */
    uint64_t last_serial;        /* control loop: of keys, users and sessions */
    unsigned pending;            /* keys being made */
    pthread_mutex_t lock;
    struct access_rules *rules;  /* under lock */
    struct throttle *throttle;   /* under lock */
    struct passwords *passwords; /* set once */
    struct sessions *sessions;   /* under lock; opened and ended by the control loop */
    int64_t session_idle_ns;     /* under lock */
    struct map grants;           /* under lock; by hash, owns them */
    struct map grants_by_serial; /* under lock */
    struct loop_timer *sweep;    /* control loop */
    struct jws_keys *token_keys; /* control loop */
    struct http_client *http;    /* control loop; only with jwks_url */
    struct loop_timer *refresh;
    bool fetching;           /* control loop */
    int64_t fetched_ns;      /* control loop; monotonic: the last time */
    atomic_bool unknown_key; /* a token names a key that is not in the set */
    atomic_int_fast64_t
        fetch_due_ns;          /* monotonic: not before is the set fetched for such a token */
    struct callback *callback; /* set by the load, cleared by the stop; between them for any loop */
    struct holder holders[LOOPS_MAX + 1]; /* by index + 1: the control loop's is the first */
    bool loading;                         /* keys, users and logins are being read */
};

/* Makes rules of what there is now, and ends the sessions of those who have no right any more. Control loop. */
void access_publish(struct access_service *s);
/* Ends what was granted with this serial: sessions of media, and answers without end. Control loop. */
void access_end(struct access_service *s, uint64_t serial);
/* A reference to the rules that hold now; any thread. */
struct access_rules *access_take_rules(struct access_service *s);
struct access_now access_now(void);
/* For a question of req: no password is checked slowly for an address that has failed too often. Any thread. */
struct access_now access_now_for(struct access_service *s, const struct access_request *req);
/*
 * What a question has to wait: nothing when what granted it cannot be guessed, or when nothing was presented; else what its
 * address owes. -EBUSY when that is too much: then nobody learns whether the guess was right. Any thread.
 */
int64_t access_weigh(struct access_service *s, const struct access_request *req,
                     enum access_source source, int result, int64_t now_ns);

/* ---- access_grants.c ---- */
/* Whether one of them grants it; answer is filled then. Any thread. */
bool access_grant_ask(struct access_service *s, const struct access_request *req,
                      struct access_answer *answer);
bool access_grant_holds(struct access_service *s, uint64_t serial); /* any thread */
void access_grants_done(struct access_service *s);

/* ---- access_sessions.c ---- */
void access_sessions_start(struct access_service *s);
/* The session of req's cookie, and who holds it, when both are still there. Any thread. */
bool access_session_of(struct access_service *s, const struct access_rules *rules,
                       const struct access_request *req, const struct access_now *now,
                       struct access_session *ret, struct access_holder *ret_holder);
/* Ends the sessions whose users or keys are gone, and those that are over. Control loop. */
void access_sessions_sweep(struct access_service *s);

/* ---- access_sessions_store.c ---- */
#define ACCESS_SESSION_KIND                                                                        \
    "access-session" /* of the documents; their id is the hash of the cookie */

/* Notes what h is, for the next start; h holds s, whose cookie this is. Under lock. */
void access_session_prove(struct access_session *s, const struct access_holder *h,
                          const char *cookie, int64_t now_ns);
/* Who holds s by these rules; nobody when that one is gone. Under lock. */
struct access_holder access_session_holder(const struct access_rules *rules,
                                           const struct access_session *s,
                                           const struct access_now *now);
/* Whether h, its holder, is still what it was when s was stored. Under lock. */
bool access_session_check(struct access_session *s, const struct access_holder *h,
                          const char *cookie, int64_t now_ns);
/* What writes it (NULL without a store), made under lock; then submitted. Control loop. */
struct store_op *access_session_put_op(struct access_service *s, struct access_session *session);
void access_session_store(struct access_service *s, struct store_op *op);
void access_session_forget(struct access_service *s, const char *hash);
/* Writes when sessions were used last: those that are a minute behind, or all. Control loop. */
void access_sessions_store_used(struct access_service *s);
void access_sessions_store_all(struct access_service *s);
void access_sessions_load(struct access_service *s, const struct store_doc *doc);

/* ---- access_users.c; control loop ---- */
#define ACCESS_USER_KIND "access-user" /* of the documents; their id is the name */

/* Makes effective anew, of the file's users and those of the API; who goes on keeps the serial that before knows. */
void access_users_merge(struct access_service *s, const struct access_config *before);
/* Ends the sessions of the users of before that have gone or lost a right. */
void access_users_revoke(struct access_service *s, const struct access_config *before);
/* Whether nobody could use the API any more without this key. */
bool access_key_locks_out(const struct access_service *s, const struct access_key *gone);
void access_users_load(struct access_service *s, const struct store_doc *doc);
void access_users_done(struct access_service *s);
