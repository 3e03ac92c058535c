/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Secrets that must be presented to others (design 7, class "sealed"), encrypted in the store: AES-256-GCM with a random
 * 96-bit nonce; kind, id and field of the document are authenticated with it, so that a sealed text moved elsewhere does not
 * open. The text form is
 *
 *     sealed:v1:<key id>:<base64url of nonce, ciphertext and tag>
 *
 * The keys are lines of 64 hex digits in a file ("openssl rand -hex 32"; # starts a comment): the first seals, all open, so
 * a new key is put on top. The key id is the start of a SHA-256 of the key. A ring is immutable: any thread.
 *
 * One key may seal 2^32 texts before nonces could repeat (NIST SP 800-38D 8.3); documents do not come near that.
 */
#include "base/bytes.h"
#include "base/error.h"

#include <stdbool.h>

struct seal_ring;
struct model_field;

#define SEAL_KEYS_MAX  16
#define SEAL_CLEAR_MAX (64 * 1024) /* bytes of one secret */

/*
 * Loads the keys from the file that MAST_SECRET_KEY_FILE names, else from the systemd credential mast-secret-key, else from
 * secret.key in state_dir, which is made (0600, one random key) when missing. On failure the server goes on with a NULL ring:
 * everything that needs a secret then answers -ENOKEY. -EINVAL: not such a file; else what opening it says.
 */
int seal_ring_open(const char *state_dir, struct seal_ring **ret, struct error *err);
/* From the text of a key file; for tests and tools. */
int seal_ring_parse(struct bytes text, struct seal_ring **ret, struct error *err);
/* Wipes the keys. Returns NULL. */
struct seal_ring *seal_ring_free(struct seal_ring *ring);
/* Where the keys came from, for logs: a path. */
const char *seal_ring_source(const struct seal_ring *ring);

/* What a secret belongs to. */
struct seal_place {
    const char *kind;
    const char *id;
    const char *field;
};

/* *ret is malloc'd. -ENOKEY without a ring, -EFBIG over SEAL_CLEAR_MAX. */
int seal_text(const struct seal_ring *ring, const struct seal_place *place, const char *clear,
              char **ret);
/*
 * *ret is malloc'd; wipe it with seal_wipe() after use. -ENOKEY: no key for it (lost or wrong key file: the object needs its
 * secret anew); -EBADMSG: changed, or of another place; -EINVAL: not a sealed text.
 */
int seal_open(const struct seal_ring *ring, const struct seal_place *place, const char *sealed,
              char **ret);
bool seal_is_text(const char *s);
/* True when another key than the newest sealed it: seal it anew at the next write. */
bool seal_is_old(const struct seal_ring *ring, const char *sealed);
/* Overwrites and frees; NULL is fine. Returns NULL. */
char *seal_wipe(char *clear);

/*
 * The binder's hooks (base/model.h): user is a struct seal_document. Fields are told apart by their name. A field whose key
 * is lost keeps its sealed text (seal_is_text() tells) and is counted in `missing`: the object needs that secret, and writing
 * the document again does not destroy what a found key could still open.
 */
struct seal_document {
    const struct seal_ring *ring;
    const char *kind;
    const char *id;
    unsigned missing;
};
int seal_model_field(void *user, const struct model_field *f, const char *clear, char **ret_sealed);
int seal_open_model_field(void *user, const struct model_field *f, const char *sealed,
                          char **ret_clear, struct error *err);
