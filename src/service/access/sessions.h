/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Sessions of people who logged in on the page: a cookie with 256 random bits stands for a user or an API key, and ends with
 * it, with the log-out, when it was not used for long, or when it is old. The table keeps SHA-256 hashes of the cookies; it
 * knows nothing of rights: who asks about a session asks the rules about its holder.
 *
 * At most SESSIONS_MAX, and SESSIONS_PER_HOLDER of one holder: over it the one that was not used for longest ends. Time is
 * given (wall clock). The caller locks.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SESSIONS_MAX        2000
#define SESSIONS_PER_HOLDER 100
#define SESSION_SECRET_LEN  43 /* base64url of 256 bits */

struct access_session {
    uint64_t serial; /* of what was granted by it */
    uint64_t holder; /* serial of the user or key */
    int64_t created_ns;
    int64_t used_ns;
    int64_t expires_ns; /* in any case */
    char *hash;         /* private */
};

struct sessions;
struct sessions *sessions_new(void);
struct sessions *sessions_free(struct sessions *t); /* NULL is fine; returns NULL */
size_t sessions_count(const struct sessions *t);

/*
 * Opens a session like like (serial, holder, created_ns, expires_ns) and writes its secret. Returns the serial of the one
 * that had to go for it, or 0.
 */
uint64_t sessions_open(struct sessions *t, const struct access_session *like,
                       char secret[SESSION_SECRET_LEN + 1]);
/* The session of a cookie, and notes that it is used; NULL when there is none, or it has ended. Valid until the next call. */
const struct access_session *sessions_find(struct sessions *t, const char *secret, int64_t now_ns,
                                           int64_t idle_ns);
/* Whether a session of that serial is open. */
bool sessions_is_open(const struct sessions *t, uint64_t serial);
/* Ends the session of that serial; false when there is none. */
bool sessions_end(struct sessions *t, uint64_t serial);
/* Takes out one session that has ended by time or whose holder ended() says has gone, and returns its serial; 0 = none. */
uint64_t sessions_sweep(struct sessions *t, int64_t now_ns, int64_t idle_ns,
                        bool (*ended)(void *user, uint64_t holder), void *user);
