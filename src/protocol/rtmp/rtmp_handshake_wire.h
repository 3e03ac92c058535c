/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The handshake that opens an RTMP connection, both roles, sans I/O: the simple one of Adobe's RTMP specification 5.2, and
 * the digest one (not in it) that Flash and its followers use to tell each other that they are not strangers: one of two
 * places in C1 and S1 holds an HMAC-SHA256 of the rest. A server answers as it was asked. A client here asks the simple
 * way, which every server answers, and does not check digests it did not ask for. RTMPE (version 6) is refused.
 *
 * The object is short-lived: its owner frees it when rtmp_handshake_feed() said 1.
 */
#include "base/bytes.h"
#include "base/error.h"
#include "base/mem.h"

#define RTMP_HANDSHAKE_SIZE 1536 /* of C1, S1, C2 and S2 */

enum rtmp_role {
    RTMP_SERVER,
    RTMP_CLIENT,
};

enum rtmp_handshake_kind {
    RTMP_HANDSHAKE_SIMPLE,
    RTMP_HANDSHAKE_DIGEST_1, /* digest in the first half: Flash after 10.0, ffmpeg, OBS */
    RTMP_HANDSHAKE_DIGEST_2, /* digest in the second half */
};

struct rtmp_handshake;
/* seed fills the random bytes; it need not be secret. now_ms goes into the time fields. */
struct rtmp_handshake *rtmp_handshake_new(enum rtmp_role role, uint64_t seed, uint32_t now_ms);
struct rtmp_handshake *
rtmp_handshake_free(struct rtmp_handshake *h); /* NULL is fine; returns NULL */
DEFINE_FREEP(struct rtmp_handshake *, rtmp_handshake_free)

/* Client: appends C0 and C1. A server has nothing to say first. */
void rtmp_handshake_start(struct rtmp_handshake *h, struct out *out);
/*
 * Takes what it needs from in and appends the answer. 1 = done (what is left in `in` are chunks), 0 = wants more bytes,
 * -EPROTONOSUPPORT = another version or not RTMP at all, err says which.
 */
int rtmp_handshake_feed(struct rtmp_handshake *h, struct rd *in, struct out *out,
                        struct error *err);
/* What the peer asked for; valid once it was fed a whole first message. */
enum rtmp_handshake_kind rtmp_handshake_kind(const struct rtmp_handshake *h);

/*
 * The digest of a C1 or S1 for tests and for a digest client: writes the HMAC into block at the place of kind, by the
 * key of that role.
 */
void rtmp_handshake_sign(uint8_t block[RTMP_HANDSHAKE_SIZE], enum rtmp_role role,
                         enum rtmp_handshake_kind kind);
/* Where the digest of role is in block, SIMPLE when there is none. */
enum rtmp_handshake_kind rtmp_handshake_find(const uint8_t block[RTMP_HANDSHAKE_SIZE],
                                             enum rtmp_role role);
