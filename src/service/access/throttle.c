/* SPDX-License-Identifier: Apache-2.0 */
#include "service/access/throttle.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"

#include <netinet/in.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#define BUCKETS 1024
#define WAYS    8

struct address {
    uint64_t digest; /* 0 = free */
    int64_t last_ns;
    int64_t until_ns; /* nothing is heard before */
    unsigned failures;
};

struct memory {
    uint64_t digest;
    int64_t at_ns;
};

struct throttle {
    uint8_t key[16];
    struct address addresses[BUCKETS][WAYS];
    struct memory memories[BUCKETS][WAYS];
};

struct throttle *throttle_new(void)
{
    struct throttle *t = mem_new(struct throttle);
    random_bytes(t->key, sizeof(t->key));
    return t;
}

struct throttle *throttle_free(struct throttle *t)
{
    free(t);
    return NULL;
}

static void add_address(EVP_MD_CTX *c, const struct sockaddr *sa)
{
    if (sa && sa->sa_family == AF_INET) {
        EVP_DigestUpdate(c, &((const struct sockaddr_in *)sa)->sin_addr, 4);
    } else if (sa && sa->sa_family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)sa)->sin6_addr;
        bool v4 = IN6_IS_ADDR_V4MAPPED(a);
        EVP_DigestUpdate(c, v4 ? &a->s6_addr[12] : a->s6_addr, v4 ? 4 : 8);
    }
}

/* Never 0, which marks free entries. */
uint64_t throttle_digest(const struct throttle *t, const struct sockaddr *peer,
                         const char *const *texts, unsigned n)
{
    uint8_t digest[EVP_MAX_MD_SIZE] = {0};
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    if (c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1) {
        EVP_DigestUpdate(c, t->key, sizeof(t->key));
        add_address(c, peer);
        for (unsigned i = 0; i < n; i++) {
            /* With its NUL, so that texts do not run into each other. */
            EVP_DigestUpdate(c, texts[i] ? texts[i] : "", strlen(texts[i] ? texts[i] : "") + 1);
        }
        EVP_DigestFinal_ex(c, digest, NULL);
    }
    EVP_MD_CTX_free(c);
    uint64_t v;
    memcpy(&v, digest, sizeof(v));
    return v | 1;
}

static uint64_t address_digest(const struct throttle *t, const struct sockaddr *peer)
{
    return throttle_digest(t, peer, NULL, 0);
}

static size_t bucket(uint64_t digest)
{
    return (digest >> 32) % BUCKETS;
}

static struct address *find_address(struct throttle *t, uint64_t digest)
{
    struct address *row = t->addresses[bucket(digest)];
    for (unsigned i = 0; i < WAYS; i++) {
        if (row[i].digest == digest) {
            return &row[i];
        }
    }
    return NULL;
}

static struct address *make_address(struct throttle *t, uint64_t digest)
{
    struct address *row = t->addresses[bucket(digest)];
    struct address *oldest = row;
    for (unsigned i = 1; i < WAYS; i++) {
        oldest = row[i].last_ns < oldest->last_ns ? &row[i] : oldest;
    }
    *oldest = (struct address){.digest = digest};
    return oldest;
}

int64_t throttle_wait_ms(struct throttle *t, const struct sockaddr *peer, int64_t now_ns)
{
    const struct address *a = find_address(t, address_digest(t, peer));
    return a && a->until_ns > now_ns ? (a->until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS : 0;
}

static void remember(struct throttle *t, uint64_t digest, int64_t now_ns)
{
    struct memory *row = t->memories[bucket(digest)];
    struct memory *oldest = row;
    for (unsigned i = 1; i < WAYS; i++) {
        oldest = row[i].at_ns < oldest->at_ns ? &row[i] : oldest;
    }
    *oldest = (struct memory){.digest = digest, .at_ns = now_ns};
}

bool throttle_is_known(struct throttle *t, uint64_t digest, int64_t now_ns)
{
    const struct memory *row = t->memories[bucket(digest)];
    for (unsigned i = 0; i < WAYS; i++) {
        if (row[i].digest == digest) {
            return now_ns - row[i].at_ns < THROTTLE_REMEMBERED_MS * NS_PER_MS;
        }
    }
    return false;
}

static int64_t step_ms(unsigned failures)
{
    if (failures <= THROTTLE_FREE) {
        return 0;
    }
    unsigned doublings = MIN(failures - THROTTLE_FREE - 1, 10u);
    return MIN((int64_t)THROTTLE_FIRST_MS << doublings, (int64_t)THROTTLE_STEP_MAX_MS);
}

unsigned throttle_failed(struct throttle *t, const struct sockaddr *peer, uint64_t digest,
                         int64_t now_ns)
{
    if (throttle_is_known(t, digest, now_ns)) {
        return 0;
    }
    remember(t, digest, now_ns);
    const uint64_t id = address_digest(t, peer);
    struct address *a = find_address(t, id);
    if (!a) {
        a = make_address(t, id);
    }
    if (now_ns - a->last_ns > THROTTLE_QUIET_MS * NS_PER_MS) {
        a->failures = 0;
    }
    a->failures++;
    a->last_ns = now_ns;
    a->until_ns = MAX(a->until_ns, now_ns) + step_ms(a->failures) * NS_PER_MS;
    return a->failures;
}

void throttle_forget(struct throttle *t)
{
    OPENSSL_cleanse(t->memories, sizeof(t->memories));
}
