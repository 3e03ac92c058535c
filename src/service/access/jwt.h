/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Access by signed tokens (JWT, RFC 7519): who holds one may do what its claim says, until it ends.
 *
 *     {"exp": 1767225600, "mast_permissions": [{"action": "publish", "path": "live/cam1"}, {"action": "read"}]}
 *
 * Actions are publish, read (watch), api and metrics; a missing or empty path is any. The claim may be called mediamtx_permissions
 * as well. exp is required. Immutable; any thread.
 */
#include "base/model.h"
#include "engine/access.h"
#include "service/access/jws.h"
#include "service/access/key.h"

struct jwt_config {
    char *secret;
    char *key_file;
    char *jwks_url;
    char *issuer;
    char *audience;
    int64_t leeway;
};
extern const struct model jwt_config_model;

/* Whether anything is configured that tokens could be checked with. */
bool jwt_is_configured(const struct jwt_config *c);
/* The keys that need no network: secret and key_file. Blocks for a small file. */
int jwt_load_keys(const struct jwt_config *c, struct jws_keys *ret, struct error *err);

struct jwt_grant {
    bool granted;
    int64_t expires_wall_ns;
};
/*
 * 0: the token is right; ret says whether it grants this. Negative: it is not; err (may be NULL) says why, for the log and the
 * peer, and shows nothing of it. path NULL: an API route of this scope.
 */
int jwt_check(const struct jwt_config *c, const struct jws_keys *keys, const char *token,
              enum access_action action, const char *path, enum access_scope scope,
              int64_t now_wall_ns, struct jwt_grant *ret, struct error *err);
