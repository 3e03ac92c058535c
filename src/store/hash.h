/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Secrets that are only compared: API keys and stream keys (design 7, class "hashed"). What is kept is a SHA-256, which is
 * enough because the keys are random and long: nobody can try them all, so no slow hash is needed. Never for passwords that
 * people choose. The text form is
 *
 *     hashed:v1:<hint>:<64 hex digits>
 *
 * where hint is the start of the key, for people to tell keys apart and for finding one without trying all. Any thread.
 */
#include <stdbool.h>
#include <stddef.h>

#define HASH_HINT_LEN   8
#define HASH_KEY_MIN    24 /* characters: with the hint known, 95 bits of random_id() text are left */
#define HASH_KEY_MAX    256
#define HASH_TEXT_MAX   (10 + HASH_HINT_LEN + 1 + 64 + 1)
#define HASH_NEW_RANDOM 32 /* characters of a new key after its prefix */

/* A new key: prefix (at most 16 characters) and 32 random characters [A-Za-z0-9], 190 bits. Caller wipes and frees. */
char *hash_new_key(const char *prefix);
/* Text form of a key. -EINVAL when it is too short, too long, or has other characters than [A-Za-z0-9._-]. */
int hash_key(const char *key, char text[HASH_TEXT_MAX]);
/* Whether key is the one that text was made of; false for anything that is not such a text. Constant time. */
bool hash_matches(const char *text, const char *key);
bool hash_is_text(const char *text);
/* The hint of a key (first characters), or of a text form; false when it has none. */
bool hash_hint(const char *key_or_text, char hint[HASH_HINT_LEN + 1]);
