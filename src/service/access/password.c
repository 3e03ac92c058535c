/* SPDX-License-Identifier: Apache-2.0 */
#include "service/access/password.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define MARK       "scrypt:"
#define LOG_N      14
#define LOG_N_MAX  17
#define R          8
#define SALT_LEN   16
#define HASH_LEN   32
#define MEMORY_MAX (160u << 20)
#define KNOWN      256 /* digests that are remembered; the slot is the digest's first byte */

struct parsed {
    unsigned log_n;
    unsigned r;
    unsigned p;
    uint8_t salt[SALT_LEN];
    uint8_t hash[HASH_LEN];
};

bool password_is_hash(const char *text)
{
    return strncmp(text, MARK, strlen(MARK)) == 0;
}

static int decode(const char *text, size_t len, uint8_t *ret, size_t size)
{
    return base64_decode(BYTES(text, len), BASE64_URL, ret, size) == (int)size ? 0 : -EINVAL;
}

static int parse(const char *text, struct parsed *ret)
{
    int at = 0;
    struct parsed p;
    if (sscanf(text, MARK "%2u:%1u:%1u:%n", &p.log_n, &p.r, &p.p, &at) != 3 || at == 0) {
        return -EINVAL;
    }
    const char *salt = text + at;
    const char *hash = strchr(salt, ':');
    if (!hash || p.log_n < 10 || p.log_n > LOG_N_MAX || p.r != R || p.p < 1 || p.p > 4 ||
        decode(salt, (size_t)(hash - salt), p.salt, sizeof(p.salt)) < 0 ||
        decode(hash + 1, strlen(hash + 1), p.hash, sizeof(p.hash)) < 0) {
        return -EINVAL;
    }
    *ret = p;
    return 0;
}

bool password_hash_is_sound(const char *text)
{
    struct parsed ignored;
    return parse(text, &ignored) == 0;
}

static int derive(const struct parsed *p, const char *password, uint8_t ret[HASH_LEN])
{
    return EVP_PBE_scrypt(password, strlen(password), p->salt, sizeof(p->salt),
                          UINT64_C(1) << p->log_n, p->r, p->p, MEMORY_MAX, ret, HASH_LEN) == 1
               ? 0
               : -EIO;
}

int password_hash(const char *password, char text[PASSWORD_TEXT_MAX])
{
    struct parsed p = {.log_n = LOG_N, .r = R, .p = 1};
    random_bytes(p.salt, sizeof(p.salt));
    if (derive(&p, password, p.hash) < 0) {
        return -EIO;
    }
    _cleanup_free_ char *salt = base64_to_str(BYTES(p.salt, sizeof(p.salt)), BASE64_URL);
    _cleanup_free_ char *hash = base64_to_str(BYTES(p.hash, sizeof(p.hash)), BASE64_URL);
    snprintf(text, PASSWORD_TEXT_MAX, MARK "%u:%u:%u:%s:%s", p.log_n, p.r, p.p, salt, hash);
    return 0;
}

struct passwords {
    uint8_t key[32];
    pthread_mutex_t lock; /* the rest */
    uint8_t right[KNOWN][SHA256_DIGEST_LENGTH];
    uint8_t wrong[KNOWN]
                 [SHA256_DIGEST_LENGTH]; /* a camera with an old password comes again and again */
    int64_t budget_at_ns;                /* when the budget was full; checks move it on */
};

struct passwords *passwords_new(void)
{
    struct passwords *p = mem_new(struct passwords);
    random_bytes(p->key, sizeof(p->key));
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

struct passwords *passwords_free(struct passwords *p)
{
    if (p) {
        pthread_mutex_destroy(&p->lock);
        OPENSSL_cleanse(p, sizeof(*p));
        free(p);
    }
    return NULL;
}

/* Of both, so that another password of the user forgets this one. */
static void digest_of(const struct passwords *p, const char *text, const char *password,
                      uint8_t ret[SHA256_DIGEST_LENGTH])
{
    char both[PASSWORD_TEXT_MAX + 260];
    int n = snprintf(both, sizeof(both), "%s%c%s", text, '\n', password);
    unsigned len = 0;
    size_t used = MIN((size_t)n, sizeof(both) - 1);
    HMAC(EVP_sha256(), p->key, sizeof(p->key), (unsigned char *)both, used, ret, &len);
    OPENSSL_cleanse(both, sizeof(both));
}

/* A bucket of PASSWORD_CHECKS_BURST that fills with PASSWORD_CHECKS_PER_S. Under the lock. */
static bool take_budget(struct passwords *p, int64_t now_ns)
{
    const int64_t cost = NS_PER_S / PASSWORD_CHECKS_PER_S;
    int64_t full_at = MAX(p->budget_at_ns, now_ns);
    if (full_at + cost - now_ns > PASSWORD_CHECKS_BURST * cost) {
        return false;
    }
    p->budget_at_ns = full_at + cost;
    return true;
}

/* Digests are compared, so that neither the length nor the first wrong character shows in the time taken. */
static bool same_text(const char *a, const char *b)
{
    uint8_t da[SHA256_DIGEST_LENGTH];
    uint8_t db[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)a, strlen(a), da);
    SHA256((const unsigned char *)b, strlen(b), db);
    return CRYPTO_memcmp(da, db, sizeof(da)) == 0;
}

static bool check_slowly(const char *text, const char *password)
{
    struct parsed want;
    uint8_t got[HASH_LEN];
    return parse(text, &want) == 0 && derive(&want, password, got) == 0 &&
           CRYPTO_memcmp(got, want.hash, sizeof(got)) == 0;
}

/* 1, 0, or -EBUSY: it is not known, and may not be checked now. -ENOENT: it may, and that was paid for. */
static int look_up(struct passwords *p, const uint8_t digest[SHA256_DIGEST_LENGTH],
                   enum passwords_effort effort, int64_t now_ns)
{
    pthread_mutex_lock(&p->lock);
    bool was_right = CRYPTO_memcmp(p->right[digest[0]], digest, SHA256_DIGEST_LENGTH) == 0;
    bool was_wrong = CRYPTO_memcmp(p->wrong[digest[0]], digest, SHA256_DIGEST_LENGTH) == 0;
    bool known = was_right || was_wrong;
    bool may = !known && effort == PASSWORDS_CHECK && take_budget(p, now_ns);
    pthread_mutex_unlock(&p->lock);
    return known ? was_right : may ? -ENOENT : -EBUSY;
}

int passwords_check(struct passwords *p, const char *text, const char *password,
                    enum passwords_effort effort, int64_t now_ns)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    if (!password_is_hash(text)) {
        return same_text(text, password);
    }
    if (!p) {
        return check_slowly(text, password);
    }
    if (strlen(text) >= PASSWORD_TEXT_MAX || strlen(password) > 256) {
        return 0;
    }
    digest_of(p, text, password, digest);
    int r = look_up(p, digest, effort, now_ns);
    if (r != -ENOENT) {
        return r;
    }
    bool right = check_slowly(text, password);
    pthread_mutex_lock(&p->lock);
    memcpy(right ? p->right[digest[0]] : p->wrong[digest[0]], digest, sizeof(digest));
    pthread_mutex_unlock(&p->lock);
    return right;
}
