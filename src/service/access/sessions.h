/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Sessions of people who logged in on the page: a cookie with 256 random bits stands for a user or an API key, and ends with
 * it, with the log-out, when it was not used for long, or when it is old. The table keeps SHA-256 hashes of the cookies; it
 * knows nothing of rights: who asks about a session asks the rules about its holder. It does not write either: what is kept
 * on disk is access_sessions_store.c's.
 *
 * At most SESSIONS_MAX, and SESSIONS_PER_HOLDER of one holder: over it the one that was not used for longest ends. Time is
 * given (wall clock). The caller locks.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SESSIONS_MAX        2000
#define SESSIONS_PER_HOLDER 100
#define SESSION_SECRET_LEN  43 /* base64url of 256 bits; its hash is as long */

struct access_session {
    uint64_t serial; /* of what was granted by it */
    uint64_t
        holder; /* serial of the user or key; 0: it comes from the store and was not shown since */
    char *user; /* the holder's name, or the key's id: one of the two */
    char *key;
    char *proof; /* of what the holder was, made with the cookie (access_sessions_store.c) */
    int64_t proved_at;
    int64_t created_at;
    int64_t used_at;
    int64_t stored_at;  /* the used_at that the store knows */
    int64_t expires_at; /* in any case */
    char *hash;         /* the table's key */
};

/* One that was taken out; serial 0 = none. */
struct session_gone {
    uint64_t serial;
    char hash[SESSION_SECRET_LEN + 1];
};

struct sessions;
struct sessions *sessions_new(void);
struct sessions *sessions_free(struct sessions *t); /* NULL is fine; returns NULL */
size_t sessions_count(const struct sessions *t);

/*
 * Opens a session like like (serial, holder, user or key, created_at, expires_at) and writes its secret. *gone is the one
 * that had to go for it. Valid until the next call.
 */
struct access_session *sessions_open(struct sessions *t, const struct access_session *like,
                                     char secret[SESSION_SECRET_LEN + 1],
                                     struct session_gone *gone);
/* Takes over s, whose strings are on the heap, with its hash. False when the table is full or has it; then s is the caller's. */
bool sessions_add(struct sessions *t, struct access_session *s);
/* Frees one that was not taken over. */
void session_free(struct access_session *s);
/* The session of a cookie, and notes that it is used; NULL when there is none, or it has ended. Valid until the next call. */
struct access_session *sessions_find(struct sessions *t, const char *secret, int64_t now_ns,
                                     int64_t idle_ns);
/* Whether a session of that serial is open. */
bool sessions_is_open(const struct sessions *t, uint64_t serial);
/* Ends the session of that serial; false when there is none. */
bool sessions_end(struct sessions *t, uint64_t serial, struct session_gone *gone);
/* Takes out one session that has ended by time or whose holder ended() says has gone; false = none. */
bool sessions_sweep(struct sessions *t, int64_t now_ns, int64_t idle_ns,
                    bool (*ended)(void *user, const struct access_session *s), void *user,
                    struct session_gone *gone);
/* fn must not open or end any. */
void sessions_each(struct sessions *t, void (*fn)(void *user, struct access_session *s),
                   void *user);
