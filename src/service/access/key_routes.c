/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/keys and /api/v1/stream-keys: two views of the same list. */
#include "api/reply.h"
#include "base/json.h"
#include "base/mem.h"
#include "io/http_doc.h"
#include "service/access/access_service.h"

#include <errno.h>

#define BODY_MAX (64 * 1024)

static const struct reply_problem problems[] = {
    {-ENOENT, 404, "not-found"},
    {-ENOSPC, 409, "too-many-keys"},
    {-EDEADLK, 409, "would-lock-out"},
    {0, 503, "not-stored"},
};

static void send_list(struct access_service *s, bool stream, struct http_reply *reply)
{
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    const struct access_key_list *list = access_keys(s);
    json_object_begin(&j);
    json_key(&j, "items");
    json_array_begin(&j);
    for (size_t i = 0; i < list->items.len; i++) {
        const struct access_key *k = &list->items.items[i];
        if ((k->path != NULL) == stream) {
            (void)model_write(stream ? &access_stream_key_view : &access_api_key_view, k, NULL, &j);
        }
    }
    json_array_end(&j);
    json_object_end(&j);
    reply_json(reply, 200, &o);
}

static void on_created(void *user, int r, const struct access_key *key, const struct error *err)
{
    if (r < 0) {
        reply_errno(user, problems, r, err);
        return;
    }
    reply_model(user, 201, key->path ? &access_stream_key_view : &access_api_key_view, key);
}

static void on_deleted(void *user, int r, const struct access_key *key, const struct error *err)
{
    if (r < 0) {
        reply_errno(user, problems, r, err);
        return;
    }
    http_reply_send(user, 204, NULL, NULL);
}

static void create(struct access_service *s, const struct model *model, struct http_request *req,
                   struct http_reply *reply)
{
    struct access_key wanted;
    struct error err = {0};
    const struct model_parse_opts opts = {.client = true};
    if (model_parse_json(model, &wanted, http_request_body(req), &opts, &err) < 0) {
        http_reply_problem(reply, 400, "invalid-body", &err);
        return;
    }
    access_key_create(s, &wanted, on_created, reply);
    model_done(model, &wanted);
}

static void list_keys(void *user, struct http_request *req, struct http_reply *reply)
{
    send_list(user, false, reply);
}

static void create_key(void *user, struct http_request *req, struct http_reply *reply)
{
    create(user, &access_api_key_new, req, reply);
}

static void delete_key(void *user, struct http_request *req, struct http_reply *reply)
{
    access_key_delete(user, http_request_param(req, "id"), false, on_deleted, reply);
}

static void list_stream_keys(void *user, struct http_request *req, struct http_reply *reply)
{
    send_list(user, true, reply);
}

static void create_stream_key(void *user, struct http_request *req, struct http_reply *reply)
{
    create(user, &access_stream_key_new, req, reply);
}

static void delete_stream_key(void *user, struct http_request *req, struct http_reply *reply)
{
    access_key_delete(user, http_request_param(req, "id"), true, on_deleted, reply);
}

static const struct http_doc_problem create_problems[] = {
    {400, "invalid-body", "`field` says which part of the body"},
    {409, "too-many-keys", "there are as many keys as may be"},
    {503, "not-stored", "the key could not be written to the state folder, so there is none"},
    {.status = 0},
};
static const struct http_doc_problem delete_problems[] = {
    {404, "not-found", "there is no key of this id"},
    {409, "would-lock-out", "there are users, and without this key nobody could use the API"},
    {503, "not-stored", "the state folder cannot be written, so the key is still there"},
    {.status = 0},
};
static const struct http_doc_problem delete_stream_problems[] = {
    {404, "not-found", "there is no key of this id"},
    {503, "not-stored", "the state folder cannot be written, so the key is still there"},
    {.status = 0},
};
static const struct http_doc_param id_param[] = {
    {"id", "path", "The key's `id`, from the list or from the reply that made it.", "Jx3Qm81Z"},
    {.name = NULL},
};

static const struct http_route_doc list_doc = {.reply_text =
                                                   "The keys, without the keys themselves"};
static const struct http_route_doc create_doc = {
    .status = 201,
    .text = "The answer is the only one that ever holds `key`: the server keeps its hash.",
    .reply_text = "The key was made",
    .body_example =
        "{\"name\":\"monitor\",\"scopes\":[\"read\"],\"expires_at\":\"2027-01-01T00:00:00Z\"}",
    .problems = create_problems,
};
static const struct http_route_doc create_stream_doc = {
    .status = 201,
    .text =
        "A stream key publishes to its path and does nothing else. The answer is the only one that ever holds `key`.",
    .reply_text = "The key was made",
    .body_example = "{\"name\":\"camera in the yard\",\"path\":\"live/cam1\"}",
    .problems = create_problems,
};
static const struct http_route_doc delete_doc = {
    .text = "Whoever is on the air or watches by it is cut off.",
    .reply_text = "The key is gone",
    .params = id_param,
    .problems = delete_problems,
};
static const struct http_route_doc delete_stream_doc = {
    .text = "Whoever is on the air by it is cut off.",
    .reply_text = "The key is gone",
    .params = id_param,
    .problems = delete_stream_problems,
};

#define ROUTE(verb, path, fn, text, ...)                                                           \
    {                                                                                              \
        .method = (verb), .kind = HTTP_ROUTE_CONTROL, .pattern = (path), .handle = (fn),           \
        .max_body_bytes = BODY_MAX, .summary = (text), .scope = "admin", __VA_ARGS__               \
    }

const struct http_route access_key_routes[] = {
    ROUTE(HTTP_GET, "/api/v1/keys", list_keys, "The API keys, without their secrets",
          .reply_model = &access_api_key_list_view, .doc = &list_doc),
    ROUTE(HTTP_POST, "/api/v1/keys", create_key, "Makes an API key; its secret is shown once",
          .body_model = &access_api_key_new, .reply_model = &access_api_key_view,
          .doc = &create_doc),
    ROUTE(HTTP_DELETE, "/api/v1/keys/{id}", delete_key, "Deletes an API key and ends its sessions",
          .doc = &delete_doc),
    ROUTE(HTTP_GET, "/api/v1/stream-keys", list_stream_keys,
          "The stream keys, without their secrets", .reply_model = &access_stream_key_list_view,
          .doc = &list_doc),
    ROUTE(HTTP_POST, "/api/v1/stream-keys", create_stream_key,
          "Makes a key that publishes to one path; it is shown once",
          .body_model = &access_stream_key_new, .reply_model = &access_stream_key_view,
          .doc = &create_stream_doc),
    ROUTE(HTTP_DELETE, "/api/v1/stream-keys/{id}", delete_stream_key,
          "Deletes a stream key and ends its session", .doc = &delete_stream_doc),
};
const unsigned access_key_routes_n = ARRAY_LEN(access_key_routes);
