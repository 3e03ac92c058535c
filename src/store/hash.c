/* SPDX-License-Identifier: Apache-2.0 */
#include "store/hash.h"

#include "base/base64.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define MARK        "hashed:v1:"
#define MARK_LEN    (sizeof(MARK) - 1)
#define DIGEST_LEN  32
#define PREFIX_MAX  16
#define KEY_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

static bool key_ok(const char *key)
{
    size_t n = strlen(key);
    return n >= HASH_KEY_MIN && n <= HASH_KEY_MAX && strspn(key, KEY_LETTERS) == n;
}

char *hash_new_key(const char *prefix)
{
    assert(strlen(prefix) <= PREFIX_MAX);
    char secret[HASH_NEW_RANDOM + 1];
    char *key = mem_printf("%s%s", prefix, random_id(secret, HASH_NEW_RANDOM));
    OPENSSL_cleanse(secret, sizeof(secret));
    return key;
}

int hash_key(const char *key, char text[HASH_TEXT_MAX])
{
    uint8_t digest[DIGEST_LEN];
    char hex[2 * DIGEST_LEN + 1];
    if (!key_ok(key)) {
        return -EINVAL;
    }
    if (EVP_Digest(key, strlen(key), digest, NULL, EVP_sha256(), NULL) != 1) {
        return -EIO;
    }
    snprintf(text, HASH_TEXT_MAX, MARK "%.*s:%s", HASH_HINT_LEN, key,
             hex_encode(BYTES(digest, sizeof(digest)), hex));
    return 0;
}

bool hash_is_text(const char *text)
{
    return strncmp(text, MARK, MARK_LEN) == 0 && strlen(text) == HASH_TEXT_MAX - 1;
}

bool hash_matches(const char *text, const char *key)
{
    char made[HASH_TEXT_MAX];
    if (!hash_is_text(text) || hash_key(key, made) < 0) {
        return false;
    }
    return CRYPTO_memcmp(text, made, HASH_TEXT_MAX - 1) == 0;
}

bool hash_hint(const char *key_or_text, char hint[HASH_HINT_LEN + 1])
{
    const char *from = hash_is_text(key_or_text) ? key_or_text + MARK_LEN : key_or_text;
    if (from == key_or_text && !key_ok(key_or_text)) {
        return false;
    }
    memcpy(hint, from, HASH_HINT_LEN);
    hint[HASH_HINT_LEN] = '\0';
    return true;
}
