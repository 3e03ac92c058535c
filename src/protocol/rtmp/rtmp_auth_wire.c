/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/rtmp/rtmp_auth_wire.h"

#include "base/base64.h"
#include "base/url.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#define SIGNATURE_LEN 16
#define OPAQUE_LEN    (8 + 2 * SIGNATURE_LEN) /* the time in ms and its signature, in hex */
#define VALUE_MAX     256

static const char REJECT[] = "[ AccessManager.Reject ] : [ ";

/* The first n bytes of the signature, in hex. */
static void sign(const struct rtmp_auth *a, struct bytes text, size_t n, char *ret)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned len = sizeof(mac);
    HMAC(EVP_sha256(), a->key, sizeof(a->key), text.data, text.len, mac, &len);
    hex_encode(BYTES(mac, n), ret);
}

void rtmp_auth_init(struct rtmp_auth *a, const uint8_t *random)
{
    *a = (struct rtmp_auth){0};
    memcpy(a->key, random, sizeof(a->key));
    sign(a, BYTES_STR("salt"), 8, a->salt);
}

static void make_opaque(const struct rtmp_auth *a, uint32_t time_ms, char ret[OPAQUE_LEN + 1])
{
    snprintf(ret, 9, "%08x", time_ms);
    sign(a, BYTES(ret, 8), SIGNATURE_LEN, ret + 8);
}

static bool is_ours(const struct rtmp_auth *a, struct bytes opaque, uint32_t now_ms)
{
    char want[OPAQUE_LEN + 1];
    char time[9] = {0};
    if (opaque.len != OPAQUE_LEN) {
        return false;
    }
    memcpy(time, opaque.data, 8);
    const uint32_t time_ms = (uint32_t)strtoul(time, NULL, 16);
    make_opaque(a, time_ms, want);
    return CRYPTO_memcmp(want, opaque.data, OPAQUE_LEN) == 0 &&
           now_ms - time_ms <= RTMP_AUTH_VALID_MS;
}

/* The raw value of a parameter, empty when there is none: base64 comes with its plus signs as they are. */
static struct bytes value_of(const char *query, const char *name)
{
    const size_t name_len = strlen(name);
    while (query && *query) {
        const size_t n = strcspn(query, "&");
        if (n > name_len && query[name_len] == '=' && memcmp(query, name, name_len) == 0) {
            const size_t len = n - name_len - 1;
            return len <= VALUE_MAX ? BYTES(query + name_len + 1, len) : BYTES(NULL, 0);
        }
        query += n + (query[n] == '&');
    }
    return BYTES(NULL, 0);
}

static char *decoded(struct bytes value)
{
    char *text = url_decode(value, false);
    return text ? text : mem_strndup(value.len ? (const char *)value.data : "", value.len);
}

static void ask_back(const struct rtmp_auth *a, struct bytes user, uint32_t now_ms,
                     struct out *text)
{
    char opaque[OPAQUE_LEN + 1];
    make_opaque(a, now_ms, opaque);
    out_puts(text, REJECT);
    out_puts(text, "authmod=adobe ] : ?reason=needauth&user=");
    out_bytes(text, user);
    out_printf(text, "&salt=%s&challenge=%s&opaque=%s", a->salt, opaque, opaque);
}

int rtmp_auth_read(const struct rtmp_auth *a, const char *query, uint32_t now_ms,
                   struct rtmp_proof *ret, struct out *text, struct error *err)
{
    const struct bytes user = value_of(query, "user");
    const struct bytes response = value_of(query, "response");
    if (!bytes_equal_str(value_of(query, "authmod"), "adobe") || user.len == 0) {
        out_printf(text, "%scode=403 need auth; authmod=adobe ] : ", REJECT);
        return 0;
    }
    if (response.len == 0) {
        ask_back(a, user, now_ms, text);
        return 0;
    }
    const struct bytes opaque = value_of(query, "opaque");
    if (!is_ours(a, opaque, now_ms)) {
        out_printf(text, "%sauthmod=adobe ] : ?reason=authfailed", REJECT);
        return error_set(err, -EACCES, "", "answers a challenge that is not ours, or is too old");
    }
    _cleanup_free_ char *theirs = decoded(value_of(query, "challenge"));
    ret->salt = mem_strdup(a->salt);
    ret->challenge = mem_printf("%.*s%s", (int)opaque.len, (const char *)opaque.data, theirs);
    ret->response = decoded(response);
    return 1;
}

void rtmp_proof_done(struct rtmp_proof *p)
{
    free(p->salt);
    free(p->challenge);
    free(p->response);
    *p = (struct rtmp_proof){0};
}
