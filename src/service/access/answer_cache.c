/* SPDX-License-Identifier: Apache-2.0 */
#include "service/access/answer_cache.h"

#include "base/mem.h"
#include "base/random.h"

#include <netinet/in.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

#define BUCKETS 512
#define WAYS    4

struct entry {
    uint8_t digest[ANSWER_DIGEST_LEN];
    int64_t until_ns; /* 0 = free */
    int result;
};

struct answer_cache {
    uint8_t key[32];
    int64_t keep_ns;
    pthread_mutex_t lock; /* the entries */
    struct entry entries[BUCKETS][WAYS];
};

struct answer_cache *answer_cache_new(int64_t keep_ns)
{
    struct answer_cache *c = mem_new(struct answer_cache);
    random_bytes(c->key, sizeof(c->key));
    c->keep_ns = keep_ns;
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

struct answer_cache *answer_cache_free(struct answer_cache *c)
{
    if (c) {
        pthread_mutex_destroy(&c->lock);
        OPENSSL_cleanse(c, sizeof(*c));
        free(c);
    }
    return NULL;
}

/* With its NUL, so that texts do not run into each other; what is absent differs from what is empty. */
static void add_text(EVP_MD_CTX *d, const char *text)
{
    uint8_t there = text != NULL;
    EVP_DigestUpdate(d, &there, 1);
    if (text) {
        EVP_DigestUpdate(d, text, strlen(text) + 1);
    }
}

bool answer_query_next(const char **at, struct bytes *ret)
{
    while (*at && **at) {
        size_t n = strcspn(*at, "&");
        *ret = BYTES(*at, n);
        *at += n + ((*at)[n] == '&');
        if (n > 0 && strncmp((const char *)ret->data, "_HLS_", 5) != 0) {
            return true;
        }
    }
    return false;
}

static void add_query(EVP_MD_CTX *d, const char *query)
{
    struct bytes part;
    while (answer_query_next(&query, &part)) {
        EVP_DigestUpdate(d, part.data, part.len);
        EVP_DigestUpdate(d, "&", 1);
    }
    add_text(d, "");
}

static void add_peer(EVP_MD_CTX *d, const struct sockaddr *sa)
{
    uint16_t family = sa ? sa->sa_family : AF_UNSPEC;
    EVP_DigestUpdate(d, &family, sizeof(family));
    if (family == AF_INET) {
        EVP_DigestUpdate(d, &((const struct sockaddr_in *)sa)->sin_addr, 4);
    } else if (family == AF_INET6) {
        EVP_DigestUpdate(d, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
    }
}

void answer_digest(const struct answer_cache *c, const struct access_request *req,
                   uint8_t ret[ANSWER_DIGEST_LEN])
{
    const uint8_t action = (uint8_t)req->action;
    EVP_MD_CTX *d = EVP_MD_CTX_new();
    random_bytes(ret, ANSWER_DIGEST_LEN); /* of what cannot be digested nothing is known */
    if (d && EVP_DigestInit_ex(d, EVP_sha256(), NULL) == 1) {
        EVP_DigestUpdate(d, c->key, sizeof(c->key));
        EVP_DigestUpdate(d, &action, 1);
        add_peer(d, req->peer);
        add_text(d, req->protocol);
        add_text(d, req->path);
        add_text(d, req->user);
        add_text(d, req->password);
        add_text(d, req->token);
        add_query(d, req->query);
        EVP_DigestFinal_ex(d, ret, NULL);
    }
    EVP_MD_CTX_free(d);
}

static struct entry *bucket_of(struct answer_cache *c, const uint8_t *digest)
{
    return c->entries[(digest[0] << 8 | digest[1]) % BUCKETS];
}

bool answer_cache_get(struct answer_cache *c, const uint8_t digest[ANSWER_DIGEST_LEN],
                      int64_t now_ns, int *ret_r)
{
    bool found = false;
    pthread_mutex_lock(&c->lock);
    const struct entry *row = bucket_of(c, digest);
    for (unsigned i = 0; i < WAYS && !found; i++) {
        found = row[i].until_ns > now_ns && memcmp(row[i].digest, digest, ANSWER_DIGEST_LEN) == 0;
        *ret_r = found ? row[i].result : *ret_r;
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

void answer_cache_put(struct answer_cache *c, const uint8_t digest[ANSWER_DIGEST_LEN], int r,
                      int64_t now_ns)
{
    pthread_mutex_lock(&c->lock);
    struct entry *row = bucket_of(c, digest);
    struct entry *at = row;
    for (unsigned i = 0; i < WAYS; i++) {
        if (memcmp(row[i].digest, digest, ANSWER_DIGEST_LEN) == 0) {
            at = &row[i];
            break;
        }
        at = row[i].until_ns < at->until_ns ? &row[i] : at;
    }
    memcpy(at->digest, digest, ANSWER_DIGEST_LEN);
    at->result = r;
    at->until_ns = now_ns + c->keep_ns;
    pthread_mutex_unlock(&c->lock);
}
