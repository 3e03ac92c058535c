/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Signed texts (JWS compact serialization, RFC 7515) and the keys to check them with (JWK, RFC 7517; PEM). The key decides
 * which algorithm it checks, never the text: a secret HS256, an RSA key RS256, a P-256 key ES256, an Ed25519 key EdDSA (RFC
 * 7518, 8037). So "none", and a public key used as a secret, are nothing special: no key fits them. Headers that bring keys along
 * (jwk, jku, x5c) are not looked at; critical extensions (crit) are refused. A set of keys is immutable once shared: any thread.
 */
#include "base/bytes.h"
#include "base/error.h"

struct jws_keys;

#define JWS_TEXT_MAX   8192 /* characters of a signed text */
#define JWS_KEYS_MAX   64
#define JWS_SECRET_MIN 32 /* bytes (RFC 7518 3.2) */
#define JWS_RSA_MIN    2048

struct jws_keys *jws_keys_new(void);
struct jws_keys *jws_keys_ref(struct jws_keys *k);
void jws_keys_unref(struct jws_keys **k); /* *k may be NULL */
unsigned jws_keys_count(const struct jws_keys *k);

/* -EINVAL: too short; -ENOSPC: too many keys. */
int jws_keys_add_secret(struct jws_keys *k, struct bytes secret, struct error *err);
/* A public key or certificate as PEM, or a JWK, or a set of them; of a set, keys that are not for us are left out. */
int jws_keys_add_text(struct jws_keys *k, struct bytes text, struct error *err);

/* Looks as if it were one: three parts. */
bool jws_is_text(const char *text);
/*
 * Checks the signature; payload gets the decoded bytes. -EBADMSG: not a JWS, or an unknown critical header; -ENOKEY: no key for its
 * algorithm and kid; -EACCES: wrong signature.
 */
int jws_verify(const struct jws_keys *k, const char *text, struct out *payload);
