/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Adobe's challenge authentication of publishers (authmod=adobe), the server's half: what OBS does with "use
 * authentication", ffmpeg with rtmp://user:password@, GStreamer with username= and password=. It happens in the connect
 * command, over three connections, each but the last ended by an _error whose description says what comes next:
 *
 *   app "live"                                             code=403 need auth; authmod=adobe
 *   app "live?authmod=adobe&user=U"                        ?reason=needauth&user=U&salt=S&challenge=C&opaque=O
 *   app "live?authmod=adobe&user=U&challenge=X&opaque=O&response=R"        goes on, with a proof:
 *
 *   R = base64(md5(base64(md5(U + S + password)) + O + X))
 *
 * Nothing is remembered between the connections: O is a time signed with the server's key. Whoever listens in can repeat an
 * answer within RTMP_AUTH_VALID_MS, and take over an RTMP connection anyway; RTMPS is for that. Who the user is and
 * whether the proof is right is not decided here, but by the question of access. Sans I/O.
 */
#include "base/bytes.h"
#include "base/error.h"
#include "base/mem.h"

#include <stdbool.h>

#define RTMP_AUTH_VALID_MS 60000
#define RTMP_AUTH_KEY_LEN  32

/* Of a server; immutable. */
struct rtmp_auth {
    uint8_t key[RTMP_AUTH_KEY_LEN];
    char salt[17];
};

/* As access_request has it: response = base64(md5(base64(md5(user + salt + password)) + challenge)). */
struct rtmp_proof {
    char *salt;
    char *challenge;
    char *response;
};

/* random: RTMP_AUTH_KEY_LEN bytes that nobody knows. */
void rtmp_auth_init(struct rtmp_auth *a, const uint8_t *random);

/*
 * Reads the query of connect's app (NULL for none). 1 = ret is a proof, which the caller owns. 0 = text is the description
 * to refuse the connect with, the client comes back. -EACCES = the same, but it answers something we did not ask, or too late.
 */
int rtmp_auth_read(const struct rtmp_auth *a, const char *query, uint32_t now_ms,
                   struct rtmp_proof *ret, struct out *text, struct error *err);
void rtmp_proof_done(struct rtmp_proof *p);
