/* SPDX-License-Identifier: Apache-2.0 */
/* Signed texts: the RFCs' own vectors, and the attacks that JWT libraries fell for. */
#include "../unit.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/mem.h"
#include "service/access/jwt.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>

#define SECRET "a secret of more than thirty-two bytes"
#define NOW_S  INT64_C(1700000000)

static struct jws_keys *keys_of(const char *text)
{
    struct jws_keys *k = jws_keys_new();
    struct error err = {0};
    if (jws_keys_add_text(k, BYTES_STR(text), &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    return k;
}

static int verify(const struct jws_keys *k, const char *text, const char *payload)
{
    _cleanup_(out_done) struct out o = {0};
    int r = jws_verify(k, text, &o);
    if (r == 0 && payload) {
        assert_string_equal(out_str(&o), payload);
    }
    if (r < 0) {
        assert_int_equal(o.len, 0);
    }
    return r;
}

/* RFC 7515 A.1 and A.3, RFC 8037 A.4. */
#define RFC_CLAIMS                                                                                 \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "fQ"
#define RFC_HS256                                                                                  \
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." RFC_CLAIMS                                         \
    ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define RFC_HS256_KEY                                                                              \
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
#define RFC_ES256                                                                                  \
    "eyJhbGciOiJFUzI1NiJ9." RFC_CLAIMS                                                             \
    ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
#define RFC_ES256_KEY                                                                              \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","     \
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"
#define RFC_EDDSA                                                                                  \
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."                                    \
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
#define RFC_EDDSA_KEY                                                                              \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"

static struct jws_keys *rfc_secret(void)
{
    uint8_t secret[64];
    struct jws_keys *k = jws_keys_new();
    int n = base64_decode(BYTES_STR(RFC_HS256_KEY), BASE64_URL, secret, sizeof(secret));
    assert_int_equal(n, 64);
    assert_int_equal(jws_keys_add_secret(k, BYTES(secret, 64), NULL), 0);
    return k;
}

static void test_vectors_of_the_rfcs(void **state)
{
    struct jws_keys *hs = rfc_secret();
    struct jws_keys *es = keys_of(RFC_ES256_KEY);
    struct jws_keys *ed =
        keys_of("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}," RFC_EDDSA_KEY "]}");
    assert_int_equal(jws_keys_count(ed), 1); /* secrets in fetched sets are not for us */
    assert_int_equal(verify(hs, RFC_HS256, NULL), 0);
    assert_int_equal(verify(es, RFC_ES256, NULL), 0);
    assert_int_equal(verify(ed, RFC_EDDSA, "Example of Ed25519 signing"), 0);
    /* Each with another's key. */
    assert_int_equal(verify(es, RFC_HS256, NULL), -ENOKEY);
    assert_int_equal(verify(hs, RFC_ES256, NULL), -ENOKEY);
    assert_int_equal(verify(es, RFC_EDDSA, NULL), -ENOKEY);
    jws_keys_unref(&hs);
    jws_keys_unref(&es);
    jws_keys_unref(&ed);
}

static void test_every_changed_character_is_noticed(void **state)
{
    struct jws_keys *k = keys_of(RFC_EDDSA_KEY);
    char text[] = RFC_EDDSA;
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        char kept = text[i];
        text[i] = kept == 'A' ? 'B' : 'A';
        assert_true(verify(k, text, NULL) < 0);
        text[i] = kept;
    }
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        char kept = text[i];
        text[i] = '\0';
        assert_true(verify(k, text, NULL) < 0);
        text[i] = kept;
    }
    assert_int_equal(verify(k, text, NULL), 0);
    jws_keys_unref(&k);
}

/* ---- tokens of our own ---- */

static char *signing_input(const char *header, const char *payload)
{
    _cleanup_(out_done) struct out o = {0};
    base64_encode(&o, BYTES_STR(header), BASE64_URL);
    out_u8(&o, '.');
    base64_encode(&o, BYTES_STR(payload), BASE64_URL);
    return out_take_str(&o);
}

static char *sign_hs256(const char *header, const char *payload, struct bytes secret)
{
    uint8_t mac[32];
    unsigned len = sizeof(mac);
    _cleanup_free_ char *input = signing_input(header, payload);
    HMAC(EVP_sha256(), secret.data, (int)secret.len, (const uint8_t *)input, strlen(input), mac,
         &len);
    _cleanup_free_ char *sig = base64_to_str(BYTES(mac, 32), BASE64_URL);
    return mem_printf("%s.%s", input, sig);
}

static char *sign_rsa(EVP_PKEY *p, const char *header, const char *payload)
{
    uint8_t raw[512];
    size_t len = sizeof(raw);
    _cleanup_free_ char *input = signing_input(header, payload);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, p), 1);
    assert_int_equal(EVP_DigestSign(c, raw, &len, (const uint8_t *)input, strlen(input)), 1);
    EVP_MD_CTX_free(c);
    _cleanup_free_ char *sig = base64_to_str(BYTES(raw, len), BASE64_URL);
    return mem_printf("%s.%s", input, sig);
}

static char *public_pem(EVP_PKEY *p)
{
    char *text = NULL;
    BIO *b = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PUBKEY(b, p), 1);
    long n = BIO_get_mem_data(b, &text);
    char *copy = mem_strndup(text, (size_t)n);
    BIO_free(b);
    return copy;
}

static void test_the_key_decides_the_algorithm(void **state)
{
    EVP_PKEY *rsa = EVP_RSA_gen(2048);
    _cleanup_free_ char *pem = public_pem(rsa);
    struct jws_keys *k = keys_of(pem);
    _cleanup_free_ char *good = sign_rsa(rsa, "{\"alg\":\"RS256\"}", "{}");
    assert_int_equal(verify(k, good, "{}"), 0);
    /* The classic: the public key, which everybody has, as the secret of HS256. */
    _cleanup_free_ char *confused = sign_hs256("{\"alg\":\"HS256\"}", "{}", BYTES_STR(pem));
    assert_int_equal(verify(k, confused, NULL), -ENOKEY);
    static const char *const none[] = {"{\"alg\":\"none\"}", "{\"alg\":\"None\"}", "{\"alg\":\"\"}",
                                       "{}", "{\"alg\":\"other\"}"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        _cleanup_free_ char *input = signing_input(none[i], "{}");
        _cleanup_free_ char *text = mem_printf("%s.", input);
        assert_int_equal(verify(k, text, NULL), -ENOKEY);
    }
    /* Another algorithm's name over a right signature; critical headers; two of one member. */
    _cleanup_free_ char *renamed = sign_rsa(rsa, "{\"alg\":\"RS512\"}", "{}");
    assert_int_equal(verify(k, renamed, NULL), -ENOKEY);
    _cleanup_free_ char *crit = sign_rsa(rsa, "{\"alg\":\"RS256\",\"crit\":[\"b64\"]}", "{}");
    assert_int_equal(verify(k, crit, NULL), -EBADMSG);
    _cleanup_free_ char *twice = sign_rsa(rsa, "{\"alg\":\"RS256\",\"alg\":\"RS256\"}", "{}");
    assert_int_equal(verify(k, twice, NULL), -EBADMSG);
    /* The header brings its own key along. */
    EVP_PKEY *evil = EVP_RSA_gen(2048);
    _cleanup_free_ char *brought = sign_rsa(
        evil, "{\"alg\":\"RS256\",\"jwk\":{\"kty\":\"RSA\"},\"jku\":\"http://127.0.0.1/\"}", "{}");
    assert_int_equal(verify(k, brought, NULL), -EACCES);
    EVP_PKEY_free(evil);
    EVP_PKEY_free(rsa);
    jws_keys_unref(&k);
}

static void test_weak_and_foreign_keys_are_refused(void **state)
{
    struct jws_keys *k = jws_keys_new();
    EVP_PKEY *weak = EVP_RSA_gen(1024);
    _cleanup_free_ char *pem = public_pem(weak);
    EVP_PKEY_free(weak);
    assert_int_equal(jws_keys_add_text(k, BYTES_STR(pem), NULL), -EINVAL);
    assert_int_equal(jws_keys_add_secret(k, BYTES_STR("short"), NULL), -EINVAL);
    static const char *const bad[] = {
        "",
        "garbage",
        "{",
        "{}",
        "{\"keys\":[]}",
        "{\"kty\":\"oct\",\"k\":\"AAAA\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"AA\",\"y\":\"AA\"}",
        /* A point that is not on the curve. */
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
        "\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}",
        "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_true(jws_keys_add_text(k, BYTES_STR(bad[i]), NULL) < 0);
    }
    assert_int_equal(jws_keys_count(k), 0);
    jws_keys_unref(&k);
}

/* ---- claims ---- */

static int ask(const struct jws_keys *k, const char *claims, enum access_action action,
               const char *path, bool *ret_granted)
{
    const struct jwt_config c = {
        .issuer = (char *)"us", .audience = (char *)"mast", .leeway = 10 * NS_PER_S};
    struct jwt_grant grant;
    _cleanup_free_ char *token = sign_hs256("{\"alg\":\"HS256\"}", claims, BYTES_STR(SECRET));
    int r =
        jwt_check(&c, k, token, action, path, ACCESS_SCOPE_READ, NOW_S * NS_PER_S, &grant, NULL);
    *ret_granted = grant.granted;
    return r;
}

static void test_claims(void **state)
{
#define WHO "\"iss\":\"us\",\"aud\":\"mast\","
#define ALL "\"mast_permissions\":[{\"action\":\"publish\"},{\"action\":\"read\"}]"
    static const struct {
        const char *claims;
        int result;
    } rows[] = {
        {"{" WHO "\"exp\":1700000100," ALL "}", 0},
        {"{" WHO "\"exp\":1700000100.5," ALL "}", 0},
        {"{" WHO "\"exp\":1699999995," ALL "}", 0}, /* within the leeway */
        {"{" WHO "\"exp\":1699999990," ALL "}", -EACCES},
        {"{" WHO ALL "}", -EACCES}, /* without an end */
        {"{" WHO "\"exp\":1e300," ALL "}", -EACCES},
        {"{" WHO "\"exp\":-1," ALL "}", -EACCES},
        {"{" WHO "\"exp\":1700000100,\"nbf\":1700000005," ALL "}", 0},
        {"{" WHO "\"exp\":1700000100,\"nbf\":1700000050," ALL "}", -EACCES},
        {"{\"iss\":\"them\",\"aud\":\"mast\",\"exp\":1700000100," ALL "}", -EACCES},
        {"{\"aud\":\"mast\",\"exp\":1700000100," ALL "}", -EACCES},
        {"{\"iss\":\"us\",\"aud\":\"other\",\"exp\":1700000100," ALL "}", -EACCES},
        {"{\"iss\":\"us\",\"exp\":1700000100," ALL "}", -EACCES},
        {"{\"iss\":\"us\",\"aud\":[\"other\",\"mast\"],\"exp\":1700000100," ALL "}", 0},
        {"{" WHO "\"exp\":\"1700000100\"," ALL "}", -EINVAL},
        {"[]", -EINVAL},
        {"not json", -EBADMSG},
    };
    struct jws_keys *k = jws_keys_new();
    assert_int_equal(jws_keys_add_secret(k, BYTES_STR(SECRET), NULL), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool granted = false;
        int r = ask(k, rows[i].claims, ACCESS_READ, "live/a", &granted);
        if (r != rows[i].result) {
            print_error("row %zu: %d\n", i, r);
        }
        assert_int_equal(r, rows[i].result);
        assert_int_equal(granted, r == 0);
    }
    jws_keys_unref(&k);
}

/* An end beyond what nanoseconds hold is still in the future. */
static void test_an_end_that_is_far_away(void **state)
{
    static const char *const ends[] = {"9223372036", "9223372037", "99999999999", "9.9e10"};
    struct jws_keys *k = jws_keys_new();
    assert_int_equal(jws_keys_add_secret(k, BYTES_STR(SECRET), NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        const struct jwt_config c = {.leeway = 3600 * NS_PER_S};
        struct jwt_grant grant;
        _cleanup_free_ char *claims =
            mem_printf("{\"exp\":%s,\"mast_permissions\":[{\"action\":\"read\"}]}", ends[i]);
        _cleanup_free_ char *token = sign_hs256("{\"alg\":\"HS256\"}", claims, BYTES_STR(SECRET));
        assert_int_equal(jwt_check(&c, k, token, ACCESS_READ, "live/a", ACCESS_SCOPE_READ,
                                   NOW_S * NS_PER_S, &grant, NULL),
                         0);
        assert_true(grant.granted);
        assert_int_equal(grant.expires_wall_ns, INT64_C(9000003600) * NS_PER_S);
    }
    jws_keys_unref(&k);
}

static void test_permissions(void **state)
{
    static const struct {
        const char *permissions;
        enum access_action action;
        const char *path; /* NULL: the API */
        bool granted;
    } rows[] = {
        {"[]", ACCESS_READ, "live/a", false},
        {"[{\"action\":\"read\"}]", ACCESS_READ, "live/a", true},
        {"[{\"action\":\"read\",\"path\":\"\"}]", ACCESS_READ, "live/a", true},
        {"[{\"action\":\"read\"}]", ACCESS_PUBLISH, "live/a", false},
        {"[{\"action\":\"publish\",\"path\":\"live/a\"}]", ACCESS_PUBLISH, "live/a", true},
        {"[{\"action\":\"publish\",\"path\":\"live/a\"}]", ACCESS_PUBLISH, "live/ab", false},
        {"[{\"action\":\"publish\",\"path\":\"live/*\"}]", ACCESS_PUBLISH, "live/ab", true},
        {"[{\"action\":\"read\",\"path\":\"~.*\"}]", ACCESS_READ, "live/a", false},
        {"[{\"action\":\"read\"},{\"action\":\"publish\"}]", ACCESS_READ, NULL, false},
        {"[{\"action\":\"metrics\"}]", ACCESS_READ, NULL, true},
        {"[{\"action\":\"api\"}]", ACCESS_READ, NULL, true},
    };
    struct jws_keys *k = jws_keys_new();
    assert_int_equal(jws_keys_add_secret(k, BYTES_STR(SECRET), NULL), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int old = 0; old < 2; old++) {
            bool granted;
            _cleanup_free_ char *claims =
                mem_printf("{" WHO "\"exp\":1700000100,\"%s_permissions\":%s}",
                           old ? "mediamtx" : "mast", rows[i].permissions);
            assert_int_equal(ask(k, claims, rows[i].action, rows[i].path, &granted), 0);
            assert_int_equal(granted, rows[i].granted);
        }
    }
    jws_keys_unref(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors_of_the_rfcs),
        cmocka_unit_test(test_every_changed_character_is_noticed),
        cmocka_unit_test(test_the_key_decides_the_algorithm),
        cmocka_unit_test(test_weak_and_foreign_keys_are_refused),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_an_end_that_is_far_away),
        cmocka_unit_test(test_permissions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
