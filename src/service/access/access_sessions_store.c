/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions of logged-in people on disk, so that a restart or an upgrade logs nobody out: one document each, under the hash of
 * its cookie. Written when a session is opened, deleted when it ends, and written anew with its last use at most once a
 * minute and when the server stops. At the start those that have ended are deleted.
 *
 * While no server ran, a user may have been changed. So a document holds a proof: an HMAC-SHA-256 of all that the holder was
 * (the stored password and every right), whose key is the cookie itself. When the cookie is shown for the first time after a
 * start, the proof is made of what the holder is now; if it differs, the session has ended. Who reads the documents has no key,
 * so nothing of a password can be guessed with them.
 */
#include "base/base64.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "service/access/access_private.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

LOG_TOPIC(topic, "access");

#define RENEW_NS (60 * NS_PER_S)

static const struct model_field stored_fields[] = {
    MODEL_STRING(struct access_session, user, .max = 64),
    MODEL_STRING(struct access_session, key, .max = 64),
    MODEL_STRING(struct access_session, proof, .required = true, .max = 64),
    MODEL_TIME(struct access_session, created_at, .required = true),
    MODEL_TIME(struct access_session, used_at, .required = true),
    MODEL_TIME(struct access_session, expires_at, .required = true),
};
static const struct model stored_model =
    MODEL("StoredSession", struct access_session, stored_fields, .unknown = MODEL_IGNORE);

/* ---- the proof ---- */

static char *proof_of(const struct access_holder *h, const char *cookie)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    char *text = h->user ? model_to_json(&access_user_model, h->user, MODEL_SECRETS_CLEAR)
                         : model_to_json(&access_key_model, h->key, MODEL_SECRETS_CLEAR);
    if (!HMAC(EVP_sha256(), cookie, (int)strlen(cookie), (const unsigned char *)text, strlen(text),
              mac, &len)) {
        len = 0; /* then it proves nothing: see below */
    }
    OPENSSL_cleanse(text, strlen(text));
    free(text);
    return base64_to_str(BYTES(mac, len), BASE64_URL);
}

void access_session_prove(struct access_session *s, const struct access_holder *h,
                          const char *cookie, int64_t now_ns)
{
    free(s->proof);
    s->proof = proof_of(h, cookie);
    s->proved_at = now_ns;
}

struct access_holder access_session_holder(const struct access_rules *rules,
                                           const struct access_session *s,
                                           const struct access_now *now)
{
    return s->holder != 0 ? access_rules_holder(rules, s->holder, now)
                          : access_rules_named(rules, s->user, s->key, now);
}

bool access_session_check(struct access_session *s, const struct access_holder *h,
                          const char *cookie, int64_t now_ns)
{
    if (!h->user && !h->key) {
        return false;
    }
    if (s->holder == 0) {
        _cleanup_free_ char *proof = proof_of(h, cookie);
        size_t n = strlen(proof);
        if (n == 0 || n != strlen(s->proof) || CRYPTO_memcmp(proof, s->proof, n) != 0) {
            s->expires_at = now_ns; /* for the next sweep */
            return false;
        }
        s->holder = h->user ? h->user->serial : h->key->serial;
        s->proved_at = now_ns;
    } else if (now_ns - s->proved_at >= RENEW_NS) {
        /* The holder may have gained rights since, which does not end a session. */
        access_session_prove(s, h, cookie, now_ns);
    }
    return true;
}

/* ---- writing ---- */

static void on_stored(void *user, int r, const struct store_result *result)
{
    if (r < 0) {
        log_warn("a login cannot be stored: %s; it ends with this process", result->err.text);
    }
}

/* What was never stored is not there to be deleted. */
static void on_deleted(void *user, int r, const struct store_result *result)
{
    if (r < 0 && r != -ENOENT) {
        log_warn("a login that has ended cannot be deleted: %s", result->err.text);
    }
}

/* NULL is fine. */
static void submit(struct access_service *s, struct store_op *op, store_fn fn)
{
    int r = op ? store_submit(s->store, s->control, op, fn, NULL) : 0;
    if (r < 0) {
        log_warn("logins cannot be stored: %s", error_name(r));
    }
}

static void put(struct store_op *op, struct access_session *session)
{
    _cleanup_free_ char *body = model_to_json(&stored_model, session, MODEL_SECRETS_CLEAR);
    store_op_put(op, ACCESS_SESSION_KIND, session->hash, STORE_ANY, BYTES_STR(body));
    session->stored_at = session->used_at;
}

struct store_op *access_session_put_op(struct access_service *s, struct access_session *session)
{
    struct store_op *op = s->store ? store_op_write() : NULL;
    if (op) {
        put(op, session);
    }
    return op;
}

void access_session_store(struct access_service *s, struct store_op *op)
{
    submit(s, op, on_stored);
}

void access_session_forget(struct access_service *s, const char *hash)
{
    struct store_op *op = s->store ? store_op_write() : NULL;
    if (op) {
        store_op_delete(op, ACCESS_SESSION_KIND, hash, STORE_ANY);
    }
    submit(s, op, on_deleted);
}

/* Puts together what is to be written, as many in one operation as may be. */
struct gather {
    int64_t older_ns;
    struct store_op *ops[SESSIONS_MAX / STORE_WRITES_MAX + 1];
    unsigned n;
};

static void gather_used(void *user, struct access_session *session)
{
    struct gather *g = user;
    /* Not while its holder is in doubt: then the document says still what it was. */
    if (session->used_at - session->stored_at < g->older_ns || session->holder == 0) {
        return;
    }
    struct store_op **at = &g->ops[g->n / STORE_WRITES_MAX];
    *at = *at ? *at : store_op_write();
    put(*at, session);
    g->n++;
}

static void store_used(struct access_service *s, int64_t older_ns)
{
    struct gather g = {.older_ns = older_ns};
    if (!s->store) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    sessions_each(s->sessions, gather_used, &g);
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < ARRAY_LEN(g.ops); i++) {
        submit(s, g.ops[i], on_stored);
    }
}

void access_sessions_store_used(struct access_service *s)
{
    store_used(s, RENEW_NS);
}

void access_sessions_store_all(struct access_service *s)
{
    store_used(s, 1);
}

/* ---- loading ---- */

void access_sessions_load(struct access_service *s, const struct store_doc *doc)
{
    struct access_session *session = mem_new(struct access_session);
    struct error err = {0};
    int r = model_parse_json(&stored_model, session, doc->body, NULL, &err);
    if (r == 0 && (!session->user == !session->key || strlen(doc->id) != SESSION_SECRET_LEN)) {
        r = error_set(&err, -EINVAL, "", "is not what this program writes");
    }
    if (r < 0) {
        log_warn("a stored login: %s %s, deleting it", err.where, err.text);
    } else {
        session->serial = ++s->last_serial;
        session->stored_at = session->used_at;
        session->hash = mem_strdup(doc->id);
        pthread_mutex_lock(&s->lock);
        r = sessions_add(s->sessions, session) ? 0 : -ENOSPC;
        pthread_mutex_unlock(&s->lock);
    }
    if (r < 0) {
        session_free(session);
        access_session_forget(s, doc->id);
    }
}
