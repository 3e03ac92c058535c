/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials that this process makes for its own: see access_service.h. The secret itself is not kept. */
#include "base/mem.h"
#include "base/url.h"
#include "service/access/access_private.h"
#include "store/hash.h"

#include <openssl/crypto.h>
#include <string.h>

#define PREFIX "mg_"
#define QUERY  "token="

struct grant {
    enum access_action action;
    uint64_t serial;
    char hash[HASH_TEXT_MAX];
    char path[];
};

char *access_grant_make(struct access_service *s, enum access_action action, const char *path)
{
    char *secret = hash_new_key(PREFIX);
    char *query = mem_printf(QUERY "%s", secret);
    struct grant *g = mem_zalloc(sizeof(*g) + strlen(path) + 1);
    g->action = action;
    g->serial = ++s->last_serial;
    (void)hash_key(secret, g->hash);
    memcpy(g->path, path, strlen(path));
    OPENSSL_cleanse(secret, strlen(secret));
    free(secret);
    pthread_mutex_lock(&s->lock);
    map_set(&s->grants, g->hash, g);
    map_set_u64(&s->grants_by_serial, g->serial, g);
    pthread_mutex_unlock(&s->lock);
    return query;
}

void access_grant_end(struct access_service *s, const char *query)
{
    char hash[HASH_TEXT_MAX];
    if (!query || strncmp(query, QUERY, strlen(QUERY)) != 0 ||
        hash_key(query + strlen(QUERY), hash) < 0) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    struct grant *g = map_remove(&s->grants, hash);
    if (g) {
        (void)map_remove_u64(&s->grants_by_serial, g->serial);
    }
    pthread_mutex_unlock(&s->lock);
    if (g) {
        access_end(s, g->serial);
        free(g);
    }
}

/* Under lock. */
static const struct grant *find(const struct access_service *s, const char *token)
{
    char hash[HASH_TEXT_MAX];
    if (!token || strncmp(token, PREFIX, strlen(PREFIX)) != 0 || hash_key(token, hash) < 0) {
        return NULL;
    }
    const struct grant *g = map_get(&s->grants, hash);
    return g && hash_matches(g->hash, token) ? g : NULL;
}

bool access_grant_ask(struct access_service *s, const struct access_request *req,
                      struct access_answer *answer)
{
    char *in_query = req->token || !req->query ? NULL : url_query_get(req->query, "token");
    const char *token = req->token ? req->token : in_query;
    pthread_mutex_lock(&s->lock);
    const struct grant *g = find(s, token);
    bool granted = g && g->action == req->action && strcmp(g->path, req->path) == 0;
    if (granted) {
        *answer = (struct access_answer){.serial = g->serial};
        snprintf(answer->path, sizeof(answer->path), "%s", g->path);
    }
    pthread_mutex_unlock(&s->lock);
    if (in_query) {
        OPENSSL_cleanse(in_query, strlen(in_query));
        free(in_query);
    }
    return granted;
}

bool access_grant_holds(struct access_service *s, uint64_t serial)
{
    pthread_mutex_lock(&s->lock);
    bool there = map_get_u64(&s->grants_by_serial, serial) != NULL;
    pthread_mutex_unlock(&s->lock);
    return there;
}

void access_grants_done(struct access_service *s)
{
    MAP_FOREACH (slot, &s->grants) {
        free(slot->value);
    }
    map_done(&s->grants);
    map_done(&s->grants_by_serial);
}
