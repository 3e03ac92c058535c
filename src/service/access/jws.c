/* SPDX-License-Identifier: Apache-2.0 */
#include "service/access/jws.h"

#include "base/base64.h"
#include "base/mem.h"
#include "base/model.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <stdatomic.h>

enum alg {
    ALG_HS256,
    ALG_RS256,
    ALG_ES256,
    ALG_EDDSA,
    ALG_OTHER,
};

static const struct model_enum alg_names[] = {
    {"other", ALG_OTHER}, {"HS256", ALG_HS256}, {"RS256", ALG_RS256},
    {"ES256", ALG_ES256}, {"EdDSA", ALG_EDDSA}, {NULL, 0},
};

struct key {
    enum alg alg;
    char *kid; /* NULL: for any */
    EVP_PKEY *public;
    uint8_t *secret;
    size_t secret_len;
};

struct jws_keys {
    atomic_uint refs;
    unsigned n;
    struct key keys[JWS_KEYS_MAX];
};

struct jws_keys *jws_keys_new(void)
{
    struct jws_keys *k = mem_new(struct jws_keys);
    atomic_init(&k->refs, 1);
    return k;
}

struct jws_keys *jws_keys_ref(struct jws_keys *k)
{
    atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
    return k;
}

void jws_keys_unref(struct jws_keys **pk)
{
    struct jws_keys *k = TAKE_PTR(*pk);
    if (!k || atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    for (unsigned i = 0; i < k->n; i++) {
        free(k->keys[i].kid);
        EVP_PKEY_free(k->keys[i].public);
        if (k->keys[i].secret) {
            OPENSSL_cleanse(k->keys[i].secret, k->keys[i].secret_len);
            free(k->keys[i].secret);
        }
    }
    free(k);
}

unsigned jws_keys_count(const struct jws_keys *k)
{
    return k->n;
}

/* ---- keys ---- */

int jws_keys_add_secret(struct jws_keys *k, struct bytes secret, struct error *err)
{
    if (secret.len < JWS_SECRET_MIN) {
        return error_set(err, -EINVAL, "", "the secret has less than %d bytes", JWS_SECRET_MIN);
    }
    if (k->n == JWS_KEYS_MAX) {
        return error_set(err, -ENOSPC, "", "more than %d keys", JWS_KEYS_MAX);
    }
    k->keys[k->n++] = (struct key){
        .alg = ALG_HS256, .secret = mem_memdup(secret.data, secret.len), .secret_len = secret.len};
    return 0;
}

/* ALG_OTHER for keys that no algorithm of ours uses. */
static enum alg alg_of(const EVP_PKEY *p)
{
    char group[32] = "";
    switch (EVP_PKEY_get_base_id(p)) {
    case EVP_PKEY_RSA:
        return EVP_PKEY_get_bits(p) >= JWS_RSA_MIN ? ALG_RS256 : ALG_OTHER;
    case EVP_PKEY_EC:
        return EVP_PKEY_get_group_name((EVP_PKEY *)p, group, sizeof(group), NULL) == 1 &&
                       strcmp(group, "prime256v1") == 0
                   ? ALG_ES256
                   : ALG_OTHER;
    case EVP_PKEY_ED25519:
        return ALG_EDDSA;
    default:
        return ALG_OTHER;
    }
}

/* Takes p over. */
static int add_public(struct jws_keys *k, EVP_PKEY *p, const char *kid, struct error *err)
{
    enum alg alg = p ? alg_of(p) : ALG_OTHER;
    if (alg == ALG_OTHER || k->n == JWS_KEYS_MAX) {
        EVP_PKEY_free(p);
        return alg == ALG_OTHER
                   ? error_set(err, -EINVAL, "",
                               "not an RSA key of %d bits and more, nor a P-256 or Ed25519 key",
                               JWS_RSA_MIN)
                   : error_set(err, -ENOSPC, "", "more than %d keys", JWS_KEYS_MAX);
    }
    k->keys[k->n++] = (struct key){.alg = alg, .public = p, .kid = kid ? mem_strdup(kid) : NULL};
    return 0;
}

struct jwk {
    char *kty;
    char *crv;
    char *kid;
    char *use;
    char *n;
    char *e;
    char *x;
    char *y;
};

struct jwk_set {
    MODEL_ARRAY(struct jwk) keys;
};

static const struct model_field jwk_fields[] = {
    MODEL_STRING(struct jwk, kty, .required = true),
    MODEL_STRING(struct jwk, crv),
    MODEL_STRING(struct jwk, kid, .max = 256),
    MODEL_STRING(struct jwk, use),
    MODEL_STRING(struct jwk, n),
    MODEL_STRING(struct jwk, e),
    MODEL_STRING(struct jwk, x),
    MODEL_STRING(struct jwk, y),
};
static const struct model jwk_model = MODEL("Jwk", struct jwk, jwk_fields, .unknown = MODEL_IGNORE);
static const struct model_field set_fields[] = {
    MODEL_LIST_STRUCT(struct jwk_set, keys, &jwk_model, .required = true, .max = JWS_KEYS_MAX),
};
static const struct model set_model =
    MODEL("JwkSet", struct jwk_set, set_fields, .unknown = MODEL_IGNORE);

#define PART_MAX 1024 /* bytes of one number of a key */

/* Bytes of a base64url member; 0 when it is missing or wrong. */
static size_t part(const char *text, uint8_t buf[PART_MAX])
{
    int n = text ? base64_decode(BYTES_STR(text), BASE64_URL, buf, PART_MAX) : -EINVAL;
    return n > 0 ? (size_t)n : 0;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *b)
{
    EVP_PKEY *p = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(b);
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (params && c && EVP_PKEY_fromdata_init(c) == 1) {
        (void)EVP_PKEY_fromdata(c, &p, EVP_PKEY_PUBLIC_KEY, params);
    }
    EVP_PKEY_CTX_free(c);
    OSSL_PARAM_free(params);
    return p;
}

static EVP_PKEY *rsa_from(const struct jwk *j)
{
    uint8_t n[PART_MAX];
    uint8_t e[PART_MAX];
    size_t n_len = part(j->n, n);
    size_t e_len = part(j->e, e);
    if (n_len == 0 || e_len == 0 || e_len > 8) {
        return NULL;
    }
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    BIGNUM *bn_n = BN_bin2bn(n, (int)n_len, NULL);
    BIGNUM *bn_e = BN_bin2bn(e, (int)e_len, NULL);
    OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, bn_n);
    OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, bn_e);
    EVP_PKEY *p = from_params("RSA", b);
    BN_free(bn_n);
    BN_free(bn_e);
    OSSL_PARAM_BLD_free(b);
    return p;
}

static EVP_PKEY *ec_from(const struct jwk *j)
{
    uint8_t point[1 + PART_MAX + PART_MAX] = {4}; /* uncompressed */
    if (!j->crv || strcmp(j->crv, "P-256") != 0 || part(j->x, point + 1) != 32 ||
        part(j->y, point + 33) != 32) {
        return NULL;
    }
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
    OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point, 65);
    EVP_PKEY *p = from_params("EC", b);
    OSSL_PARAM_BLD_free(b);
    return p;
}

static EVP_PKEY *okp_from(const struct jwk *j)
{
    uint8_t x[PART_MAX];
    if (!j->crv || strcmp(j->crv, "Ed25519") != 0 || part(j->x, x) != 32) {
        return NULL;
    }
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, 32);
}

static int add_jwk(struct jws_keys *k, const struct jwk *j, struct error *err)
{
    EVP_PKEY *p = NULL;
    if (j->use && strcmp(j->use, "sig") != 0) {
        return error_set(err, -EINVAL, "use", "the key is not for signatures");
    }
    if (strcmp(j->kty, "RSA") == 0) {
        p = rsa_from(j);
    } else if (strcmp(j->kty, "EC") == 0) {
        p = ec_from(j);
    } else if (strcmp(j->kty, "OKP") == 0) {
        p = okp_from(j);
    }
    return add_public(k, p, j->kid, err);
}

static int add_json(struct jws_keys *k, struct bytes text, struct error *err)
{
    struct jwk one;
    struct jwk_set set;
    int r = model_parse_json(&jwk_model, &one, text, NULL, NULL);
    if (r == 0) {
        r = add_jwk(k, &one, err);
        model_done(&jwk_model, &one);
        return r;
    }
    r = model_parse_json(&set_model, &set, text, NULL, err);
    if (r < 0) {
        return r;
    }
    unsigned before = k->n;
    for (size_t i = 0; i < set.keys.len; i++) {
        (void)add_jwk(k, &set.keys.items[i], err);
    }
    model_done(&set_model, &set);
    return k->n > before ? 0 : error_set(err, -EINVAL, "keys", "none of the keys is for us");
}

static int add_pem(struct jws_keys *k, struct bytes text, struct error *err)
{
    BIO *bio = BIO_new_mem_buf(text.data, (int)text.len);
    EVP_PKEY *p = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    if (!p) {
        (void)BIO_reset(bio);
        X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        p = cert ? X509_get_pubkey(cert) : NULL;
        X509_free(cert);
    }
    BIO_free(bio);
    return p ? add_public(k, p, NULL, err)
             : error_set(err, -EINVAL, "", "neither a public key or certificate (PEM) nor a JWK");
}

int jws_keys_add_text(struct jws_keys *k, struct bytes text, struct error *err)
{
    if (text.len > (1u << 20)) {
        return error_set(err, -E2BIG, "", "is larger than 1 MiB");
    }
    size_t at = 0;
    while (at < text.len && strchr(" \t\r\n", text.data[at]) && text.data[at] != '\0') {
        at++;
    }
    return at < text.len && text.data[at] == '{' ? add_json(k, text, err) : add_pem(k, text, err);
}

/* ---- checking ---- */

struct header {
    int alg;
    char *kid;
    char *crit; /* raw: its presence is enough */
};

static const struct model_field header_fields[] = {
    MODEL_ENUM(struct header, alg, alg_names, .def = "other", .lenient = true),
    MODEL_STRING(struct header, kid, .max = 256),
    MODEL_RAW(struct header, crit),
};
static const struct model header_model =
    MODEL("JwsHeader", struct header, header_fields, .unknown = MODEL_IGNORE);

bool jws_is_text(const char *text)
{
    const char *first = strchr(text, '.');
    const char *second = first ? strchr(first + 1, '.') : NULL;
    return second && !strchr(second + 1, '.');
}

static bool hs256(const struct key *k, struct bytes input, struct bytes signature)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    return HMAC(EVP_sha256(), k->secret, (int)k->secret_len, input.data, input.len, mac, &len) &&
           signature.len == len && CRYPTO_memcmp(mac, signature.data, len) == 0;
}

static bool verify_public(EVP_PKEY *p, const EVP_MD *md, struct bytes input, struct bytes signature)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok = c && EVP_DigestVerifyInit(c, NULL, md, NULL, p) == 1 &&
              EVP_DigestVerify(c, signature.data, signature.len, input.data, input.len) == 1;
    EVP_MD_CTX_free(c);
    return ok;
}

/* The two numbers come bare (RFC 7518 3.4), OpenSSL wants them as DER. */
static bool es256(EVP_PKEY *p, struct bytes input, struct bytes signature)
{
    if (signature.len != 64) {
        return false;
    }
    uint8_t *der = NULL;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    ECDSA_SIG_set0(sig, BN_bin2bn(signature.data, 32, NULL),
                   BN_bin2bn(signature.data + 32, 32, NULL));
    int n = i2d_ECDSA_SIG(sig, &der);
    bool ok = n > 0 && verify_public(p, EVP_sha256(), input, BYTES(der, (size_t)n));
    OPENSSL_free(der);
    ECDSA_SIG_free(sig);
    return ok;
}

static bool check(const struct key *k, struct bytes input, struct bytes signature)
{
    switch (k->alg) {
    case ALG_HS256:
        return hs256(k, input, signature);
    case ALG_RS256:
        return verify_public(k->public, EVP_sha256(), input, signature);
    case ALG_ES256:
        return es256(k->public, input, signature);
    case ALG_EDDSA:
        return verify_public(k->public, NULL, input, signature);
    case ALG_OTHER:
        break;
    }
    return false;
}

static int verify_with(const struct jws_keys *k, const struct header *h, struct bytes input,
                       struct bytes signature)
{
    int r = -ENOKEY;
    for (unsigned i = 0; i < k->n && r != 0; i++) {
        const struct key *key = &k->keys[i];
        bool named = !h->kid || !key->kid || strcmp(h->kid, key->kid) == 0;
        if ((int)key->alg == h->alg && named) {
            r = check(key, input, signature) ? 0 : -EACCES;
        }
    }
    return r;
}

/* Decodes one part into buf; negative when it is not base64url. */
static int decode(const char *from, const char *to, uint8_t *buf)
{
    return base64_decode(BYTES(from, (size_t)(to - from)), BASE64_URL, buf, JWS_TEXT_MAX);
}

int jws_verify(const struct jws_keys *k, const char *text, struct out *payload)
{
    uint8_t buf[JWS_TEXT_MAX];
    size_t len = strnlen(text, JWS_TEXT_MAX + 1);
    if (len > JWS_TEXT_MAX || !jws_is_text(text)) {
        return -EBADMSG;
    }
    const char *dot1 = strchr(text, '.');
    const char *dot2 = strchr(dot1 + 1, '.');
    struct header h;
    int n = decode(text, dot1, buf);
    if (n < 0 || model_parse_json(&header_model, &h, BYTES(buf, (size_t)n), NULL, NULL) < 0) {
        return -EBADMSG;
    }
    n = decode(dot2 + 1, text + len, buf);
    int r = n < 0 || h.crit
                ? -EBADMSG
                : verify_with(k, &h, BYTES(text, (size_t)(dot2 - text)), BYTES(buf, (size_t)n));
    model_done(&header_model, &h);
    if (r == 0) {
        n = decode(dot1 + 1, dot2, buf);
        r = n < 0 ? -EBADMSG : 0;
        if (r == 0) {
            out_mem(payload, buf, (size_t)n);
        }
    }
    return r;
}
