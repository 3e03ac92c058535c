/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Passwords that people choose, kept as slow hashes: scrypt (RFC 7914), 16 MiB and some 40 ms a check, as
 *
 *     scrypt:<log2 N>:<r>:<p>:<salt>:<hash>      (salt and hash in base64url)
 *
 * A password that was right, or wrong, is known by a keyed digest from then on, so a player that shows it with each request
 * costs nothing; the digests are under a key of this process and are never written. What is not known is checked on the caller's
 * thread, at most PASSWORD_CHECKS_PER_S in a second: the rest is told to come again. That budget is everybody's, so who has failed too
 * often (throttle.h) is to ask with PASSWORDS_REMEMBER. Any thread.
 */
#include <stdbool.h>
#include <stdint.h>

#define PASSWORD_TEXT_MAX     128
#define PASSWORD_CHECKS_PER_S 5
#define PASSWORD_CHECKS_BURST 20

/* Whether text has the form of a hash: then it is no clear password. */
bool password_is_hash(const char *text);
/* Whether it can be checked here, at a cost that is bounded. */
bool password_hash_is_sound(const char *text);
/* -EIO when the library cannot. */
int password_hash(const char *password, char text[PASSWORD_TEXT_MAX]);

struct passwords;
struct passwords *passwords_new(void);
struct passwords *passwords_free(struct passwords *p); /* NULL is fine; returns NULL */
enum passwords_effort {
    PASSWORDS_CHECK,    /* what is not known is checked, as long as the budget lasts */
    PASSWORDS_REMEMBER, /* what is not known stays so: -EBUSY, and the budget is left to others */
};
/* Whether password is the one of text, a hash or the clear password itself: 1, 0, or -EBUSY. p may be NULL: nothing is remembered. */
int passwords_check(struct passwords *p, const char *text, const char *password,
                    enum passwords_effort effort, int64_t now_ns);
