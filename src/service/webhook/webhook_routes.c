/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/webhooks. Scope admin throughout: a webhook sees what happens, and makes this server send requests. */
#include "api/reply.h"
#include "base/json.h"
#include "base/mem.h"
#include "io/http_doc.h"
#include "service/webhook/webhook_service.h"

#include <errno.h>

#define BODY_MAX  (64 * 1024)
#define SHOWN_MAX 1000 /* deliveries in a reply */

static void send_view(struct http_reply *reply, int status, const struct webhook_view *v)
{
    reply_model(reply, status, &webhook_view_model, v);
}

static const struct reply_problem problems[] = {
    {-ENOENT, 404, "not-found"},         {-ESRCH, 404, "not-found"},
    {-EPERM, 409, "managed-by-file"},    {-ESTALE, 409, "changed-meanwhile"},
    {-ENOSPC, 409, "too-many-webhooks"}, {-EINVAL, 400, "invalid-body"},
    {-ENOKEY, 409, "needs-secret"},      {0, 503, "not-stored"},
};

static void send_not_found(struct http_reply *reply, int r)
{
    struct error err = {0};
    error_set(&err, r, r == -ESRCH ? "delivery" : "id",
              r == -ESRCH ? "there is no such dead delivery" : "there is no such webhook");
    reply_errno(reply, problems, r, &err);
}

/* ---- webhooks ---- */

static void add_view(void *user, const struct webhook_view *v)
{
    (void)model_write(&webhook_view_model, v, NULL, user);
}

static void handle_list(void *user, struct http_request *req, struct http_reply *reply)
{
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    json_object_begin(&j);
    json_key(&j, "items");
    json_array_begin(&j);
    webhook_each(user, add_view, &j);
    json_array_end(&j);
    json_object_end(&j);
    reply_json(reply, 200, &o);
}

static void on_created(void *user, int r, const struct webhook_view *v, const struct error *err)
{
    if (r < 0) {
        reply_errno(user, problems, r, err);
    } else {
        send_view(user, 201, v);
    }
}

static void handle_create(void *user, struct http_request *req, struct http_reply *reply)
{
    struct webhook wanted;
    struct error err = {0};
    const struct model_parse_opts opts = {.client = true};
    if (model_parse_json(&webhook_new_model, &wanted, http_request_body(req), &opts, &err) < 0) {
        http_reply_problem(reply, 400, "invalid-body", &err);
        return;
    }
    webhook_create(user, &wanted, on_created, reply);
    webhook_done(&wanted);
}

static void handle_get(void *user, struct http_request *req, struct http_reply *reply)
{
    struct webhook_view v;
    int r = webhook_get(user, http_request_param(req, "id"), &v);
    if (r < 0) {
        send_not_found(reply, r);
        return;
    }
    send_view(reply, 200, &v);
}

static void on_changed(void *user, int r, const struct webhook_view *v, const struct error *err)
{
    if (r < 0) {
        reply_errno(user, problems, r, err);
    } else {
        send_view(user, 200, v);
    }
}

static void handle_change(void *user, struct http_request *req, struct http_reply *reply)
{
    webhook_change(user, http_request_param(req, "id"), http_request_body(req), on_changed, reply);
}

static void on_deleted(void *user, int r, const struct webhook_view *v, const struct error *err)
{
    if (r < 0) {
        reply_errno(user, problems, r, err);
    } else {
        http_reply_send(user, 204, NULL, NULL);
    }
}

static void handle_delete(void *user, struct http_request *req, struct http_reply *reply)
{
    webhook_delete(user, http_request_param(req, "id"), on_deleted, reply);
}

/* ---- deliveries ---- */

static void on_tested(void *user, int r, const struct webhook_test_view *v, const struct error *err)
{
    if (r < 0) {
        reply_errno(user, problems, r, err);
        return;
    }
    reply_model(user, 200, &webhook_test_model, v);
}

static void handle_test(void *user, struct http_request *req, struct http_reply *reply)
{
    webhook_test(user, http_request_param(req, "id"), on_tested, reply);
}

static void add_delivery(void *user, const struct webhook_delivery *d)
{
    (void)model_write(&webhook_delivery_view_model, d, NULL, user);
}

static void handle_deliveries(void *user, struct http_request *req, struct http_reply *reply)
{
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    json_object_begin(&j);
    json_key(&j, "items");
    json_array_begin(&j);
    int r = webhook_each_delivery(user, http_request_param(req, "id"), SHOWN_MAX, add_delivery, &j);
    json_array_end(&j);
    json_object_end(&j);
    if (r < 0) {
        send_not_found(reply, r);
        return;
    }
    reply_json(reply, 200, &o);
}

static void handle_replay(void *user, struct http_request *req, struct http_reply *reply)
{
    int r =
        webhook_replay(user, http_request_param(req, "id"), http_request_param(req, "delivery"));
    if (r < 0) {
        send_not_found(reply, r);
        return;
    }
    _cleanup_(out_done) struct out o = {0};
    out_printf(&o, "{\"replayed\":%d}", r);
    reply_json(reply, 202, &o);
}

static const struct http_doc_problem create_problems[] = {
    {400, "invalid-body", "`field` says which part of the body"},
    {409, "too-many-webhooks", "there are as many webhooks as may be"},
    {503, "not-stored", "the state folder cannot be written"},
    {.status = 0},
};
static const struct http_doc_problem change_problems[] = {
    {400, "invalid-body", "`field` says which part of the body"},
    {404, "not-found", "there is no such webhook"},
    {409, "managed-by-file", "the configuration declares it, and only there it can be changed"},
    {409, "changed-meanwhile", "somebody else changed it at the same time"},
    {409, "needs-secret", "its secret cannot be read with the key of this server: give it another"},
    {503, "not-stored", "the state folder cannot be written"},
    {.status = 0},
};
static const struct http_doc_problem one_problems[] = {
    {404, "not-found", "there is no such webhook or delivery"},
    {.status = 0},
};
static const struct http_doc_param params[] = {
    {"id", "path", "The webhook's `id`.", "Jx3Qm81Z"},
    {"delivery", "path", "The delivery's `id`.", "17"},
    {.name = NULL},
};
static const struct http_route_doc list_doc = {.reply_text = "The webhooks"};
static const struct http_route_doc create_doc = {
    .text = "docs/webhooks.md says what is sent, and how it is signed.",
    .status = 201,
    .reply_text = "The webhook was made",
    .body_example =
        "{\"url\":\"https://example.org/hook\",\"events\":[\"stream.*\"],\"paths\":[\"live/*\"]}",
    .problems = create_problems,
};
static const struct http_route_doc one_doc = {
    .reply_text = "The webhook",
    .params = params,
    .problems = one_problems,
};
static const struct http_route_doc change_doc = {
    .reply_text = "The webhook as it is now",
    .body_example = "{\"enabled\":false}",
    .params = params,
    .problems = change_problems,
};
static const struct http_route_doc delete_doc = {
    .reply_text = "The webhook is gone",
    .params = params,
    .problems = change_problems,
};
static const struct http_route_doc test_doc = {
    .reply_text = "What the receiver answered",
    .params = params,
    .problems = change_problems,
};
static const struct http_route_doc deliveries_doc = {
    .reply_text = "The deliveries",
    .params = params,
    .problems = one_problems,
};
static const struct http_route_doc replay_doc = {
    .status = 202,
    .reply_type = "application/json",
    .reply_text = "`replayed`: how many will be sent again",
    .params = params,
    .problems = one_problems,
};

#define ROUTE(verb, path, fn, text, ...)                                                           \
    {                                                                                              \
        .method = (verb), .kind = HTTP_ROUTE_CONTROL, .pattern = (path), .handle = (fn),           \
        .max_body_bytes = BODY_MAX, .summary = (text), .scope = "admin", __VA_ARGS__               \
    }
#define ONE "/api/v1/webhooks/{id}"

const struct http_route webhook_routes[] = {
    ROUTE(HTTP_GET, "/api/v1/webhooks", handle_list, "The webhooks, without their secrets",
          .reply_model = &webhook_view_list_model, .doc = &list_doc),
    ROUTE(HTTP_POST, "/api/v1/webhooks", handle_create,
          "Makes a webhook; a secret that is made for it is shown once",
          .body_model = &webhook_new_model, .reply_model = &webhook_view_model, .doc = &create_doc),
    ROUTE(HTTP_GET, ONE, handle_get, "A webhook and how it stands",
          .reply_model = &webhook_view_model, .doc = &one_doc),
    ROUTE(HTTP_PATCH, ONE, handle_change,
          "Changes a webhook (merge patch); secret null makes another, shown once",
          .body_model = &webhook_new_model, .reply_model = &webhook_view_model, .doc = &change_doc),
    ROUTE(HTTP_DELETE, ONE, handle_delete, "Deletes a webhook and its deliveries",
          .doc = &delete_doc),
    ROUTE(HTTP_POST, ONE "/test", handle_test, "Sends an event webhook.test and tells the answer",
          .reply_model = &webhook_test_model, .doc = &test_doc),
    ROUTE(HTTP_GET, ONE "/deliveries", handle_deliveries,
          "What waits to be delivered, and what was given up",
          .reply_model = &webhook_delivery_list_model, .doc = &deliveries_doc),
    ROUTE(HTTP_POST, ONE "/deliveries/{delivery}/replay", handle_replay,
          "Delivers again what was given up", .doc = &replay_doc),
    ROUTE(HTTP_POST, ONE "/replay", handle_replay, "Delivers again all that was given up",
          .doc = &replay_doc),
};
const unsigned webhook_routes_n = ARRAY_LEN(webhook_routes);
