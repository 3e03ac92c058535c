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

void session_free(struct access_session *s)
{
    free(s->user);
    free(s->key);
    free(s->proof);
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

static void take_out(struct sessions *t, struct access_session *s, struct session_gone *gone)
{
    gone->serial = s->serial;
    snprintf(gone->hash, sizeof(gone->hash), "%s", s->hash);
    (void)map_remove(&t->by_hash, s->hash);
    session_free(s);
}

static bool is_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : !a && !b;
}

/* Makes room. Linear, but only when somebody with credentials logs in. */
static void drop_for(struct sessions *t, const struct access_session *like,
                     struct session_gone *gone)
{
    struct access_session *oldest = NULL;
    struct access_session *own_oldest = NULL;
    size_t own = 0;
    MAP_FOREACH (slot, &t->by_hash) {
        struct access_session *s = slot->value;
        oldest = !oldest || s->used_at < oldest->used_at ? s : oldest;
        if (is_text(s->user, like->user) && is_text(s->key, like->key)) {
            own++;
            own_oldest = !own_oldest || s->used_at < own_oldest->used_at ? s : own_oldest;
        }
    }
    struct access_session *goes = own >= SESSIONS_PER_HOLDER       ? own_oldest
                                  : t->by_hash.len >= SESSIONS_MAX ? oldest
                                                                   : NULL;
    gone->serial = 0;
    if (goes) {
        take_out(t, goes, gone);
    }
}

struct access_session *sessions_open(struct sessions *t, const struct access_session *like,
                                     char secret[SESSION_SECRET_LEN + 1], struct session_gone *gone)
{
    uint8_t random[SECRET_BYTES];
    drop_for(t, like, gone);
    random_bytes(random, sizeof(random));
    _cleanup_free_ char *text = base64_to_str(BYTES(random, sizeof(random)), BASE64_URL);
    snprintf(secret, SESSION_SECRET_LEN + 1, "%s", text);
    OPENSSL_cleanse(text, strlen(text));
    OPENSSL_cleanse(random, sizeof(random));
    struct access_session *s = mem_new(struct access_session);
    *s = *like;
    s->user = like->user ? mem_strdup(like->user) : NULL;
    s->key = like->key ? mem_strdup(like->key) : NULL;
    s->used_at = like->created_at;
    s->hash = hash_of(secret);
    map_set(&t->by_hash, s->hash, s);
    return s;
}

bool sessions_add(struct sessions *t, struct access_session *s)
{
    if (t->by_hash.len >= SESSIONS_MAX || map_get(&t->by_hash, s->hash)) {
        return false;
    }
    map_set(&t->by_hash, s->hash, s);
    return true;
}

static bool has_ended(const struct access_session *s, int64_t now_ns, int64_t idle_ns)
{
    return now_ns >= s->expires_at || now_ns - s->used_at >= idle_ns;
}

struct access_session *sessions_find(struct sessions *t, const char *secret, int64_t now_ns,
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
    s->used_at = now_ns;
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

bool sessions_end(struct sessions *t, uint64_t serial, struct session_gone *gone)
{
    struct access_session *s = by_serial(t, serial);
    gone->serial = 0;
    if (s) {
        take_out(t, s, gone);
    }
    return s != NULL;
}

bool sessions_sweep(struct sessions *t, int64_t now_ns, int64_t idle_ns,
                    bool (*ended)(void *user, const struct access_session *s), void *user,
                    struct session_gone *gone)
{
    MAP_FOREACH (slot, &t->by_hash) {
        struct access_session *s = slot->value;
        if (has_ended(s, now_ns, idle_ns) || ended(user, s)) {
            take_out(t, s, gone);
            return true;
        }
    }
    gone->serial = 0;
    return false;
}

void sessions_each(struct sessions *t, void (*fn)(void *user, struct access_session *s), void *user)
{
    MAP_FOREACH (slot, &t->by_hash) {
        fn(user, slot->value);
    }
}
