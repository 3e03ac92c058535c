/* SPDX-License-Identifier: Apache-2.0 */
#include "service/access/jwt.h"

#include "base/clock.h"
#include "base/mem.h"
#include "io/secret_ref.h"
#include "service/access/access.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <unistd.h>

#define KEY_FILE_MAX    (256 * 1024)
#define PERMISSIONS_MAX 256
#define EXP_MAX_S       9e9 /* in the year 2255, which nanoseconds just hold: who says later means this */

static int check_config(void *obj, struct error *err)
{
    const struct jwt_config *c = obj;
    if (c->jwks_url && strncmp(c->jwks_url, "https://", 8) != 0 &&
        strncmp(c->jwks_url, "http://", 7) != 0) {
        return error_set(err, -EINVAL, "jwks_url", "is not an http or https address");
    }
    return 0;
}

static int check_secret(const void *member, struct error *err)
{
    char *const *secret = member;
    if (!secret_is_ref(*secret) && strlen(*secret) < JWS_SECRET_MIN) {
        return error_set(err, -EINVAL, "", "has fewer than %d characters", JWS_SECRET_MIN);
    }
    return 0;
}

static const struct model_field config_fields[] = {
    MODEL_STRING(
        struct jwt_config, secret, .min = 1, .max = 4096, .restart = true, .check = check_secret,
        .secret = MODEL_SECRET_SEALED,
        .doc =
            "Tokens signed with this secret (HS256) are taken; at least 32 characters. It need not stand here: "
            "file:PATH, env:NAME or credential:NAME (systemd's) say where it is."),
    MODEL_STRING(struct jwt_config, key_file, .restart = true,
                 .doc = "A file with a public key: PEM, certificate, JWK or JWK set (RS256, ES256, "
                        "EdDSA).",
                 .example = "/etc/mast/tokens.pem"),
    MODEL_STRING(struct jwt_config, jwks_url, .restart = true, .max = 2048,
                 .doc = "Where a JWK set is fetched from, and again every ten minutes.",
                 .example = "https://id.example.org/jwks.json"),
    MODEL_STRING(struct jwt_config, issuer, .restart = true,
                 .doc = "The iss that tokens must have."),
    MODEL_STRING(struct jwt_config, audience, .restart = true,
                 .doc = "One of the aud that tokens must have."),
    MODEL_DURATION(struct jwt_config, leeway, .def = "30s", .max = 3600000000000, .restart = true,
                   .doc = "By how much clocks may differ."),
};
const struct model jwt_config_model =
    MODEL("AccessJwt", struct jwt_config, config_fields, .check = check_config);

bool jwt_is_configured(const struct jwt_config *c)
{
    return c->secret || c->key_file || c->jwks_url;
}

static int load_file(const char *file, struct jws_keys *keys, struct error *err)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return error_set(err, -errno, "access.jwt.key_file", "%s cannot be opened: %s", file,
                         error_name(-errno));
    }
    _cleanup_free_ uint8_t *text = mem_alloc(KEY_FILE_MAX);
    ssize_t n = read(fd, text, KEY_FILE_MAX);
    int r = n < 0 ? error_set(err, -errno, "", "cannot be read: %s", error_name(-errno))
                  : jws_keys_add_text(keys, BYTES(text, (size_t)n), err);
    close(fd);
    if (r < 0) {
        error_prefix(err, "access.jwt.key_file");
    }
    return r;
}

static int load_secret(const char *configured, struct jws_keys *keys, struct error *err)
{
    char *secret = NULL;
    int r = secret_resolve(configured, &secret, err);
    r = r < 0 ? r : jws_keys_add_secret(keys, BYTES_STR(secret), err);
    if (r < 0) {
        error_prefix(err, "access.jwt.secret");
    }
    if (secret) {
        OPENSSL_cleanse(secret, strlen(secret));
    }
    free(secret);
    return r;
}

int jwt_load_keys(const struct jwt_config *c, struct jws_keys *ret, struct error *err)
{
    int r = c->secret ? load_secret(c->secret, ret, err) : 0;
    return r == 0 && c->key_file ? load_file(c->key_file, ret, err) : r;
}

/* ---- claims ---- */

struct permission {
    char *action;
    char *path;
};

struct claims {
    double exp;
    double nbf;
    char *iss;
    MODEL_ARRAY(char *) aud;
    MODEL_ARRAY(struct permission) permissions;
};

static const struct model_field permission_fields[] = {
    MODEL_STRING(struct permission, action, .required = true),
    MODEL_STRING(struct permission, path),
};
static const struct model permission_model =
    MODEL("Permission", struct permission, permission_fields, .unknown = MODEL_IGNORE);

static const struct model_field claims_fields[] = {
    MODEL_DOUBLE(struct claims, exp),
    MODEL_DOUBLE(struct claims, nbf),
    MODEL_STRING(struct claims, iss),
    MODEL_LIST_STRING(struct claims, aud, .comma = true, .max = 64),
    MODEL_LIST_STRUCT(struct claims, permissions, &permission_model, .key = "mast_permissions",
                      .aliases = "mediamtx_permissions", .max = PERMISSIONS_MAX),
};
static const struct model claims_model =
    MODEL("Claims", struct claims, claims_fields, .unknown = MODEL_IGNORE);

static bool has_audience(const struct claims *k, const char *audience)
{
    for (size_t i = 0; i < k->aud.len; i++) {
        if (strcmp(k->aud.items[i], audience) == 0) {
            return true;
        }
    }
    return false;
}

static int check_claims(const struct jwt_config *c, const struct claims *k, double now_s,
                        struct error *err)
{
    const double leeway_s = (double)c->leeway / 1e9;
    /* Written so that what is no number fails. */
    if (!(k->exp > 0 && k->exp < 1e11)) {
        return error_set(err, -EACCES, "exp", "the token does not say when it ends");
    }
    if (!(now_s < k->exp + leeway_s)) {
        return error_set(err, -EACCES, "exp", "the token has expired");
    }
    if (!(k->nbf <= now_s + leeway_s)) {
        return error_set(err, -EACCES, "nbf", "the token is not valid yet");
    }
    if (c->issuer && (!k->iss || strcmp(k->iss, c->issuer) != 0)) {
        return error_set(err, -EACCES, "iss", "the token is of another issuer");
    }
    if (c->audience && !has_audience(k, c->audience)) {
        return error_set(err, -EACCES, "aud", "the token is for another audience");
    }
    return 0;
}

static bool permits(const struct permission *p, enum access_action action, const char *path,
                    enum access_scope scope)
{
    if (!path) {
        return strcmp(p->action, "api") == 0 ||
               (scope == ACCESS_SCOPE_READ && strcmp(p->action, "metrics") == 0);
    }
    if (strcmp(p->action, action == ACCESS_PUBLISH ? "publish" : "read") != 0) {
        return false;
    }
    /* "~..." is a regular expression in MediaMTX; as a pattern it matches no path. */
    return !p->path || !*p->path || access_pattern_match(p->path, path);
}

int jwt_check(const struct jwt_config *c, const struct jws_keys *keys, const char *token,
              enum access_action action, const char *path, enum access_scope scope,
              int64_t now_wall_ns, struct jwt_grant *ret, struct error *err)
{
    _cleanup_(out_done) struct out payload = {0};
    struct claims k;
    *ret = (struct jwt_grant){0};
    int r = jws_verify(keys, token, &payload);
    if (r < 0) {
        return error_set(err, r, "", "the token is not signed by a key that is known here");
    }
    r = model_parse_json(&claims_model, &k, out_view(&payload), NULL, NULL);
    if (r < 0) {
        return error_set(err, r, "", "the token's claims cannot be read");
    }
    r = check_claims(c, &k, (double)now_wall_ns / 1e9, err);
    if (r == 0) {
        ret->expires_wall_ns = (int64_t)MIN(k.exp, EXP_MAX_S) * NS_PER_S + c->leeway;
        for (size_t i = 0; i < k.permissions.len && !ret->granted; i++) {
            ret->granted = permits(&k.permissions.items[i], action, path, scope);
        }
    }
    model_done(&claims_model, &k);
    return r;
}
