/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Guessing is made slow: failed attempts are counted by address, and from the fourth on each makes what follows from that
 * address wait, twice as long as the one before, up to 5 s; who runs ahead of the wait is refused unheard. After ten minutes
 * of quiet an address is as new. What failed a minute ago and comes again unchanged fails at once and is not counted anew, so
 * a camera with an old password does not lock out its neighbours.
 *
 * Two tables of fixed size; when a bucket is full the oldest entry goes. An IPv6 address counts by its /64. Time is given. The
 * caller locks.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define THROTTLE_FREE          3
#define THROTTLE_FIRST_MS      250
#define THROTTLE_STEP_MAX_MS   5000
#define THROTTLE_WAIT_MAX_MS   8000 /* below the deadline of an access question */
#define THROTTLE_QUIET_MS      (10 * 60 * 1000)
#define THROTTLE_REMEMBERED_MS (60 * 1000)

struct throttle;
struct throttle *throttle_new(void);
struct throttle *throttle_free(struct throttle *t); /* NULL is fine; returns NULL */

/* What was presented, as one number under a key of this process; strings may be NULL. */
uint64_t throttle_digest(const struct throttle *t, const struct sockaddr *peer,
                         const char *const *texts, unsigned n);
/* How long an attempt from peer has to wait; over THROTTLE_WAIT_MAX_MS it is to be refused. */
int64_t throttle_wait_ms(struct throttle *t, const struct sockaddr *peer, int64_t now_ns);
/* An attempt failed: counted, unless it is known. How many have failed from there; 0: this one was known. */
unsigned throttle_failed(struct throttle *t, const struct sockaddr *peer, uint64_t digest,
                         int64_t now_ns);
/* The same failed in the last minute. */
bool throttle_is_known(struct throttle *t, uint64_t digest, int64_t now_ns);
/* The rules changed: what failed may succeed now. The waits stay. */
void throttle_forget(struct throttle *t);
