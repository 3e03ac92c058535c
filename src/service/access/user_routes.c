/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/users: the users of the file, which only the file changes, and those of the API. */
#include "api/reply.h"
#include "base/json.h"
#include "base/mem.h"
#include "io/http_doc.h"
#include "service/access/access_service.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#define BODY_MAX (64 * 1024)

enum owner {
    OWNER_FILE,
    OWNER_API,
};

/* Borrows all of it. */
struct user_view {
    char *name;
    int owner;
    bool api;
    MODEL_ARRAY(char *) publish;
    MODEL_ARRAY(char *) read;
};

struct user_list_view {
    MODEL_ARRAY(struct user_view) items;
};

static const struct model_enum owner_names[] = {
    {"file", OWNER_FILE},
    {"api", OWNER_API},
    {NULL, 0},
};
static const struct model_field view_fields[] = {
    MODEL_STRING(struct user_view, name, .doc = "What the user is called."),
    MODEL_ENUM(struct user_view, owner, owner_names,
               .doc = "file: declared in the configuration, and changed only there."),
    MODEL_LIST_STRING(struct user_view, publish, .doc = "Paths the user may publish to."),
    MODEL_LIST_STRING(struct user_view, read, .doc = "Paths the user may watch."),
    MODEL_BOOL(struct user_view, api, .doc = "May use the API and see the metrics."),
};
static const struct model view_model =
    MODEL("User", struct user_view, view_fields, .unknown = MODEL_IGNORE);
static const struct model_field list_fields[] = {
    MODEL_LIST_STRUCT(struct user_list_view, items, &view_model),
};
static const struct model list_model =
    MODEL("UserList", struct user_list_view, list_fields, .unknown = MODEL_IGNORE);

/* It becomes the id of a document, and a part of an address. */
static int check_name(const void *member, struct error *err)
{
    char *const *name = member;
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@+-";
    if (strspn(*name, letters) != strlen(*name) || **name == '.' || strcmp(*name, "any") == 0) {
        return error_set(err, -EINVAL, "",
                         "is made of letters, digits and . _ @ + -, does not begin with a dot, and "
                         "is not 'any'");
    }
    return 0;
}

static const struct model_field change_fields[] = {
    MODEL_STRING(struct access_user, name, .required = true, .min = 1, .max = 64,
                 .check = check_name, .example = "studio",
                 .doc = "Letters, digits and . _ @ + -; it cannot be changed."),
    MODEL_STRING(struct access_user, password, .required = true, .min = 8, .max = 256,
                 .secret = MODEL_SECRET_HASHED,
                 .doc =
                     "At least 8 characters, or what `mast user hash` makes of them; never shown."),
    MODEL_LIST_STRING(struct access_user, publish, .comma = true, .max = 64,
                      .doc = "Paths the user may publish to; * stands for any run of characters.",
                      .example = "live/*"),
    MODEL_LIST_STRING(struct access_user, read, .comma = true, .max = 64,
                      .doc = "Paths the user may watch.", .example = "*"),
    MODEL_BOOL(struct access_user, api, .def = "false",
               .doc = "May use the API and see the metrics."),
};
const struct model access_user_new_model = MODEL("NewUser", struct access_user, change_fields);

static struct user_view view_of(const struct access_user *u)
{
    return (struct user_view){
        .name = u->name,
        .owner = u->version ? OWNER_API : OWNER_FILE,
        .api = u->api,
        .publish = {u->publish.items, u->publish.len},
        .read = {u->read.items, u->read.len},
    };
}

static void send_user(struct http_reply *reply, int status, const struct access_user *u)
{
    struct user_view v = view_of(u);
    reply_model(reply, status, &view_model, &v);
}

static const struct reply_problem problems[] = {
    {-ENOENT, 404, "not-found"},       {-EPERM, 409, "managed-by-file"},
    {-EEXIST, 409, "exists"},          {-ESTALE, 409, "changed-meanwhile"},
    {-EDEADLK, 409, "would-lock-out"}, {-ENOSPC, 409, "too-many-users"},
    {-EINVAL, 400, "invalid-body"},    {0, 503, "not-stored"},
};

static void not_found(struct http_reply *reply, const char *name)
{
    struct error err = {0};
    error_set(&err, -ENOENT, "name", "there is no user '%s'", name);
    reply_errno(reply, problems, -ENOENT, &err);
}

static void wipe_user(struct access_user *u)
{
    if (u->password) {
        OPENSSL_cleanse(u->password, strlen(u->password));
    }
    model_done(&access_user_model, u);
}

/* ---- handlers ---- */

struct asked {
    struct access_service *s;
    struct http_reply *reply;
    char *name;
    int status; /* when it went well */
};

static struct asked *asked_new(struct access_service *s, struct http_reply *reply, const char *name,
                               int status)
{
    struct asked *a = mem_new(struct asked);
    *a = (struct asked){.s = s, .reply = reply, .name = mem_strdup(name), .status = status};
    return a;
}

static void on_changed(void *user, int r, const struct error *err)
{
    struct asked *a = user;
    const struct access_user *u = access_user_find(a->s, a->name);
    if (r < 0) {
        reply_errno(a->reply, problems, r, err);
    } else if (a->status == 204 || !u) {
        http_reply_send(a->reply, 204, NULL, NULL);
    } else {
        send_user(a->reply, a->status, u);
    }
    free(a->name);
    free(a);
}

static void handle_list(void *user, struct http_request *req, struct http_reply *reply)
{
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    const struct access_users_view list = access_users(user);
    json_object_begin(&j);
    json_key(&j, "items");
    json_array_begin(&j);
    for (size_t i = 0; i < list.len; i++) {
        struct user_view v = view_of(&list.items[i]);
        (void)model_write(&view_model, &v, NULL, &j);
    }
    json_array_end(&j);
    json_object_end(&j);
    reply_json(reply, 200, &o);
}

static void handle_create(void *user, struct http_request *req, struct http_reply *reply)
{
    struct access_user u;
    struct error err = {0};
    const struct model_parse_opts opts = {.client = true};
    if (model_parse_json(&access_user_new_model, &u, http_request_body(req), &opts, &err) < 0) {
        http_reply_problem(reply, 400, "invalid-body", &err);
        return;
    }
    u.version = 0;
    access_user_put(user, &u, on_changed, asked_new(user, reply, u.name, 201));
    wipe_user(&u);
}

static void handle_show(void *user, struct http_request *req, struct http_reply *reply)
{
    const char *name = http_request_param(req, "name");
    const struct access_user *u = access_user_find(user, name);
    if (u) {
        send_user(reply, 200, u);
    } else {
        not_found(reply, name);
    }
}

static void handle_change(void *user, struct http_request *req, struct http_reply *reply)
{
    const char *name = http_request_param(req, "name");
    const struct access_user *now = access_user_find(user, name);
    struct access_user u;
    struct error err = {0};
    const struct model_parse_opts opts = {.client = true};
    if (!now) {
        not_found(reply, name);
        return;
    }
    if (now->version == 0) {
        error_set(&err, -EPERM, "name", "'%s' is declared in the configuration file", name);
        reply_errno(reply, problems, -EPERM, &err);
        return;
    }
    model_copy(&access_user_model, &u, now);
    int r = model_patch_json(&access_user_new_model, &u, http_request_body(req), MODEL_PATCH_MERGE,
                             &opts, &err);
    if (r == 0 && strcmp(u.name, name) != 0) {
        r = error_set(&err, -EINVAL, "name", "a user cannot be renamed");
    }
    if (r < 0) {
        http_reply_problem(reply, 400, "invalid-body", &err);
    } else {
        u.version = now->version;
        access_user_put(user, &u, on_changed, asked_new(user, reply, name, 200));
    }
    wipe_user(&u);
}

static void handle_delete(void *user, struct http_request *req, struct http_reply *reply)
{
    const char *name = http_request_param(req, "name");
    access_user_delete(user, name, on_changed, asked_new(user, reply, name, 204));
}

static const struct http_doc_problem create_problems[] = {
    {400, "invalid-body", "`field` says which part of the body"},
    {409, "exists", "there is a user of this name"},
    {409, "managed-by-file", "the configuration declares a user of this name"},
    {409, "would-lock-out", "the first user must have the API, or nobody would"},
    {409, "too-many-users", "there are as many users as may be"},
    {503, "not-stored", "the state folder cannot be written"},
    {.status = 0},
};
static const struct http_doc_problem one_problems[] = {
    {404, "not-found", "there is no user of this name"},
    {.status = 0},
};
static const struct http_doc_problem change_problems[] = {
    {400, "invalid-body", "`field` says which part of the body"},
    {404, "not-found", "there is no user of this name"},
    {409, "managed-by-file",
     "the configuration declares this user, and only there it can be changed"},
    {409, "changed-meanwhile", "somebody else changed the user at the same time"},
    {409, "would-lock-out", "nobody would have the API any more"},
    {503, "not-stored", "the state folder cannot be written"},
    {.status = 0},
};
static const struct http_doc_param name_param[] = {
    {"name", "path", "The user's name.", "studio"},
    {.name = NULL},
};
static const struct http_route_doc list_doc = {
    .text = "Those of the configuration and those made here.",
    .reply_text = "The users",
};
static const struct http_route_doc create_doc = {
    .text = "As soon as there is one, this machine has no rights of its own.",
    .status = 201,
    .reply_text = "The user was made",
    .body_example =
        "{\"name\":\"studio\",\"password\":\"choose-a-long-one\",\"publish\":[\"live/*\"]}",
    .problems = create_problems,
};
static const struct http_route_doc show_doc = {
    .reply_text = "The user",
    .params = name_param,
    .problems = one_problems,
};
static const struct http_route_doc change_doc = {
    .reply_text = "The user as it is now",
    .body_example = "{\"read\":[\"*\"]}",
    .params = name_param,
    .problems = change_problems,
};
static const struct http_route_doc delete_doc = {
    .reply_text = "The user is gone",
    .params = name_param,
    .problems = change_problems,
};

#define ROUTE(verb, path, fn, text, ...)                                                           \
    {                                                                                              \
        .method = (verb), .kind = HTTP_ROUTE_CONTROL, .pattern = (path), .handle = (fn),           \
        .max_body_bytes = BODY_MAX, .summary = (text), .scope = "admin", __VA_ARGS__               \
    }

const struct http_route access_user_routes[] = {
    ROUTE(HTTP_GET, "/api/v1/users", handle_list, "The users, without their passwords",
          .reply_model = &list_model, .doc = &list_doc),
    ROUTE(HTTP_POST, "/api/v1/users", handle_create, "Makes a user",
          .body_model = &access_user_new_model, .reply_model = &view_model, .doc = &create_doc),
    ROUTE(HTTP_GET, "/api/v1/users/{name}", handle_show, "One user", .reply_model = &view_model,
          .doc = &show_doc),
    ROUTE(HTTP_PATCH, "/api/v1/users/{name}", handle_change,
          "Changes a user; who loses the password or a right loses the sessions",
          .body_model = &access_user_new_model, .reply_model = &view_model, .doc = &change_doc),
    ROUTE(HTTP_DELETE, "/api/v1/users/{name}", handle_delete,
          "Deletes a user and ends the sessions", .doc = &delete_doc),
};
const unsigned access_user_routes_n = ARRAY_LEN(access_user_routes);
