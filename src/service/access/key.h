/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Keys: secrets that we make, show once and keep as hashes. An API key (mk_...) has scopes and, for media, paths; a stream
 * key (sk_...) grants publishing to one path and nothing else. Both are one struct and one kind of document; `path` tells
 * them apart. These are the models; access_service.c keeps them.
 */
#include "base/model.h"

#define ACCESS_API_KEY_PREFIX "mk_"
#define ACCESS_KEYS_MAX       10000
#define ACCESS_KEY_KIND       "access-key" /* of the documents */

/* What a key may do. ADMIN includes all others. */
enum access_scope {
    ACCESS_SCOPE_WATCH,   /* play the streams of its paths */
    ACCESS_SCOPE_PUBLISH, /* publish to its paths */
    ACCESS_SCOPE_READ,    /* see everything in the API and the metrics */
    ACCESS_SCOPE_ADMIN,   /* change everything by the API */
    ACCESS_SCOPE_N,
};
extern const struct model_enum access_scope_names[];

struct access_key {
    char *id;
    char *name;
    char *hash; /* store/hash.h */
    MODEL_ARRAY(int) scopes;
    MODEL_ARRAY(char *) paths;
    char *path; /* of a stream key; NULL for an API key */
    int64_t created_at;
    int64_t expires_at; /* wall clock; 0 = never */
    /* Not stored. */
    char *hint;
    char *key; /* only in the reply that shows it */
    uint64_t serial;
};

struct access_key_list {
    MODEL_ARRAY(struct access_key) items;
};

extern const struct model access_key_model;      /* the document */
extern const struct model access_api_key_new;    /* what clients send */
extern const struct model access_stream_key_new; /* what clients send */
extern const struct model access_api_key_view;
extern const struct model access_stream_key_view;
extern const struct model access_api_key_list_view;    /* of a struct access_key_list */
extern const struct model access_stream_key_list_view; /* of a struct access_key_list */

bool access_key_has_scope(const struct access_key *k, enum access_scope scope);
/* The scope of a route ("read", "admin"); an unknown one needs ADMIN. */
enum access_scope access_scope_from_route(const char *scope);
