/* SPDX-License-Identifier: Apache-2.0 */
#include "service/access/key.h"

#include "base/mem.h"
#include "engine/access.h"
#include "engine/stream.h"

#include <errno.h>
#include <string.h>

const struct model_enum access_scope_names[] = {
    {"watch", ACCESS_SCOPE_WATCH},
    {"publish", ACCESS_SCOPE_PUBLISH},
    {"read", ACCESS_SCOPE_READ},
    {"admin", ACCESS_SCOPE_ADMIN},
    {NULL, 0},
};

static int check_path(const void *member, struct error *err)
{
    char *const *path = member;
    if (access_path_key(*path)) {
        return error_set(err, -EINVAL, "path",
                         "begins its last segment with " ACCESS_STREAM_KEY
                         ", which is how stream keys begin");
    }
    return stream_path_check(*path, err);
}

#define FIELD_ID                                                                                   \
    MODEL_STRING(struct access_key, id, .required = true, .max = 40, .doc = "What delete takes.")
#define FIELD_HINT MODEL_STRING(struct access_key, hint, .doc = "How the key begins.")
#define FIELD_KEY                                                                                  \
    MODEL_STRING(struct access_key, key,                                                           \
                 .doc = "The key itself: only in the reply that made it, never again.")
#define FIELD_NAME                                                                                 \
    MODEL_STRING(struct access_key, name, .max = 100, .doc = "For people.", .example = "studio 2")
#define FIELD_SCOPES                                                                               \
    MODEL_LIST(struct access_key, scopes, MODEL_ITEM_ENUM(access_scope_names), .required = true,   \
               .min = 1, .max = ACCESS_SCOPE_N, .comma = true,                                     \
               .doc = "watch and publish: streams, of its paths; read: everything in the API and " \
                      "the metrics; admin: all of it, and changes.")
#define FIELD_PATHS                                                                                \
    MODEL_LIST_STRING(struct access_key, paths, .max = 64, .comma = true, .def = "*",              \
                      .doc = "Which streams; * stands for any run of characters.")
#define FIELD_PATH                                                                                 \
    MODEL_STRING(struct access_key, path, .required = true, .check = check_path,                   \
                 .doc = "The one stream that the key publishes to.", .example = "live/cam1")
#define FIELD_CREATED MODEL_TIME(struct access_key, created_at, .doc = "When it was made.")
#define FIELD_EXPIRES                                                                              \
    MODEL_TIME(struct access_key, expires_at,                                                      \
               .doc = "From then on it opens nothing, and its sessions end.")

static const struct model_field stored_fields[] = {
    FIELD_ID,
    FIELD_NAME,
    MODEL_STRING(struct access_key, hash, .required = true),
    MODEL_LIST(struct access_key, scopes, MODEL_ITEM_ENUM(access_scope_names),
               .max = ACCESS_SCOPE_N),
    MODEL_LIST_STRING(struct access_key, paths, .max = 64),
    MODEL_STRING(struct access_key, path),
    FIELD_CREATED,
    FIELD_EXPIRES,
};
const struct model access_key_model =
    MODEL("StoredKey", struct access_key, stored_fields, .unknown = MODEL_IGNORE);

static const struct model_field api_new_fields[] = {
    FIELD_NAME,
    FIELD_SCOPES,
    FIELD_PATHS,
    FIELD_EXPIRES,
};
const struct model access_api_key_new = MODEL("NewKey", struct access_key, api_new_fields);

static const struct model_field stream_new_fields[] = {
    FIELD_NAME,
    FIELD_PATH,
    FIELD_EXPIRES,
};
const struct model access_stream_key_new =
    MODEL("NewStreamKey", struct access_key, stream_new_fields);

static const struct model_field api_fields[] = {
    FIELD_ID,    FIELD_NAME,    FIELD_HINT,    FIELD_SCOPES,
    FIELD_PATHS, FIELD_CREATED, FIELD_EXPIRES, FIELD_KEY,
};
const struct model access_api_key_view =
    MODEL("Key", struct access_key, api_fields, .unknown = MODEL_IGNORE);

static const struct model_field stream_fields[] = {
    FIELD_ID, FIELD_NAME, FIELD_HINT, FIELD_PATH, FIELD_CREATED, FIELD_EXPIRES, FIELD_KEY,
};
const struct model access_stream_key_view =
    MODEL("StreamKey", struct access_key, stream_fields, .unknown = MODEL_IGNORE);

static const struct model_field api_list_fields[] = {
    MODEL_LIST_STRUCT(struct access_key_list, items, &access_api_key_view, .max = ACCESS_KEYS_MAX),
};
const struct model access_api_key_list_view =
    MODEL("KeyList", struct access_key_list, api_list_fields, .unknown = MODEL_IGNORE);

static const struct model_field stream_list_fields[] = {
    MODEL_LIST_STRUCT(struct access_key_list, items, &access_stream_key_view,
                      .max = ACCESS_KEYS_MAX),
};
const struct model access_stream_key_list_view =
    MODEL("StreamKeyList", struct access_key_list, stream_list_fields, .unknown = MODEL_IGNORE);

bool access_key_has_scope(const struct access_key *k, enum access_scope scope)
{
    for (size_t i = 0; i < k->scopes.len; i++) {
        if (k->scopes.items[i] == (int)scope || k->scopes.items[i] == ACCESS_SCOPE_ADMIN) {
            return true;
        }
    }
    return false;
}

enum access_scope access_scope_from_route(const char *scope)
{
    return strcmp(scope, "read") == 0 ? ACCESS_SCOPE_READ : ACCESS_SCOPE_ADMIN;
}
