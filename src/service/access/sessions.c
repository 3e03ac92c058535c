/* SPDX-License-Identifier: Apache-2.0 */
#include "service/access/sessions.h"

#include "base/base64.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/random.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#define SECRET_BYTES 32

struct sessions {
    struct map by_hash; /* base64url of SHA-256(secret) -> struct access_session, which it owns */
};

struct sessions *sessions_new(void)
{
    return mem_new(struct sessions);
}

static void session_free(struct access_session *s)
{
    free(s->hash);
    free(s);
}

struct sessions *sessions_free(struct sessions *t)
{
    if (!t) {
        return NULL;
    }
    MAP_FOREACH (slot, &t->by_hash) {
        session_free(slot->value);
    }
    map_done(&t->by_hash);
    free(t);
    return NULL;
}

size_t sessions_count(const struct sessions *t)
{
    return t->by_hash.len;
}

/* A plain hash will do: 256 random bits cannot be guessed. */
static char *hash_of(const char *secret)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)secret, strlen(secret), digest);
    return base64_to_str(BYTES(digest, sizeof(digest)), BASE64_URL);
}

static void take_out(struct sessions *t, struct access_session *s)
{
    (void)map_remove(&t->by_hash, s->hash);
    session_free(s);
}

/* Makes room. Linear, but only when somebody with credentials logs in. */
static uint64_t drop_for(struct sessions *t, uint64_t holder)
{
    struct access_session *oldest = NULL;
    struct access_session *own_oldest = NULL;
    size_t own = 0;
    MAP_FOREACH (slot, &t->by_hash) {
        struct access_session *s = slot->value;
        oldest = !oldest || s->used_ns < oldest->used_ns ? s : oldest;
        if (s->holder == holder) {
            own++;
            own_oldest = !own_oldest || s->used_ns < own_oldest->used_ns ? s : own_oldest;
        }
    }
    struct access_session *goes = own >= SESSIONS_PER_HOLDER       ? own_oldest
                                  : t->by_hash.len >= SESSIONS_MAX ? oldest
                                                                   : NULL;
    uint64_t serial = goes ? goes->serial : 0;
    if (goes) {
        take_out(t, goes);
    }
    return serial;
}

uint64_t sessions_open(struct sessions *t, const struct access_session *like,
                       char secret[SESSION_SECRET_LEN + 1])
{
    uint8_t random[SECRET_BYTES];
    uint64_t dropped = drop_for(t, like->holder);
    random_bytes(random, sizeof(random));
    _cleanup_free_ char *text = base64_to_str(BYTES(random, sizeof(random)), BASE64_URL);
    snprintf(secret, SESSION_SECRET_LEN + 1, "%s", text);
    OPENSSL_cleanse(text, strlen(text));
    OPENSSL_cleanse(random, sizeof(random));
    struct access_session *s = mem_new(struct access_session);
    *s = *like;
    s->used_ns = like->created_ns;
    s->hash = hash_of(secret);
    map_set(&t->by_hash, s->hash, s);
    return dropped;
}

static bool has_ended(const struct access_session *s, int64_t now_ns, int64_t idle_ns)
{
    return now_ns >= s->expires_ns || now_ns - s->used_ns >= idle_ns;
}

const struct access_session *sessions_find(struct sessions *t, const char *secret, int64_t now_ns,
                                           int64_t idle_ns)
{
    if (strlen(secret) != SESSION_SECRET_LEN) {
        return NULL;
    }
    _cleanup_free_ char *hash = hash_of(secret);
    struct access_session *s = map_get(&t->by_hash, hash);
    if (!s || has_ended(s, now_ns, idle_ns)) {
        return NULL; /* the sweep takes it out, and ends what it opened */
    }
    s->used_ns = now_ns;
    return s;
}

static struct access_session *by_serial(const struct sessions *t, uint64_t serial)
{
    MAP_FOREACH (slot, &t->by_hash) {
        struct access_session *s = slot->value;
        if (s->serial == serial) {
            return s;
        }
    }
    return NULL;
}

bool sessions_is_open(const struct sessions *t, uint64_t serial)
{
    return by_serial(t, serial) != NULL;
}

bool sessions_end(struct sessions *t, uint64_t serial)
{
    struct access_session *s = by_serial(t, serial);
    if (s) {
        take_out(t, s);
    }
    return s != NULL;
}

uint64_t sessions_sweep(struct sessions *t, int64_t now_ns, int64_t idle_ns,
                        bool (*ended)(void *user, uint64_t holder), void *user)
{
    MAP_FOREACH (slot, &t->by_hash) {
        struct access_session *s = slot->value;
        if (has_ended(s, now_ns, idle_ns) || ended(user, s->holder)) {
            uint64_t serial = s->serial;
            take_out(t, s);
            return serial;
        }
    }
    return 0;
}
