/* SPDX-License-Identifier: Apache-2.0 */
#include "api/openapi.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/model.h"
#include "io/http_doc.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define ROUTES_MAX 512
#define MODELS_MAX 512
#define REF_PREFIX "#/components/schemas/"

/* RFC 9457, what every refusal looks like. */
struct problem {
    char *type;
    char *title;
    int64_t status;
    char *code;
    char *detail;
    char *field;
};

static const struct model_field problem_fields[] = {
    MODEL_STRING(struct problem, type,
                 .doc = "Always about:blank; `code` says which problem it is."),
    MODEL_STRING(struct problem, title, .doc = "The status in words."),
    MODEL_INT(struct problem, status, .doc = "The HTTP status."),
    MODEL_STRING(struct problem, code, .doc = "Stable word for programs."),
    MODEL_STRING(struct problem, detail,
                 .doc = "One sentence for people: what is wrong, what to do."),
    MODEL_STRING(struct problem, field, .doc = "Path of the field at fault."),
};
static const struct model problem_model =
    MODEL("Problem", struct problem, problem_fields, .doc = "A refusal (RFC 9457).",
          .unknown = MODEL_IGNORE);

/* What may happen on every route that has them; the guard (service/access/guard.c) answers before the handler. */
static const struct http_doc_problem host_problems[] = {
    {421, "unknown-host", "the Host is a name that `http.hosts` does not list"},
    {.status = 0},
};
static const struct http_doc_problem origin_problems[] = {
    {403, "foreign-origin", "a browser sent it from another site's page"},
    {.status = 0},
};
static const struct http_doc_problem scope_problems[] = {
    {400, "bad-credentials", "the credentials cannot be read"},
    {401, "credentials-needed", "there are none, and none is not enough"},
    {403, "not-allowed", "these may not do this"},
    {429, "too-many-attempts",
     "too many failed attempts from this address (`Retry-After` says when)"},
    {.status = 0},
};

struct routes {
    const struct http_route *items[ROUTES_MAX];
    unsigned n;
};

static const struct http_route_doc no_doc;

static const struct http_route_doc *doc_of(const struct http_route *r)
{
    return r->doc ? r->doc : &no_doc;
}

static void collect_route(void *arg, const struct http_route *r)
{
    struct routes *all = arg;
    if (r->summary && all->n < ROUTES_MAX) {
        all->items[all->n++] = r;
    }
}

/* "/api/v1/streams/{path+}" is "/api/v1/streams/{path}" in OpenAPI, which has no word for the rest of a path. */
static void document_path(const char *pattern, struct out *o)
{
    for (; *pattern; pattern++) {
        if (*pattern != '+' || pattern[1] != '}') {
            out_u8(o, (uint8_t)*pattern);
        }
    }
}

/* Routes are grouped by what they are about: the word behind /api/v1/, else the media of a path, else the server. */
static void write_tag(struct json *j, const char *pattern)
{
    static const char api[] = "/api/v1/";
    json_key(j, "tags");
    json_array_begin(j);
    if (strncmp(pattern, api, sizeof(api) - 1) == 0) {
        const char *word = pattern + sizeof(api) - 1;
        json_bytes(j, BYTES(word, strcspn(word, "/")));
    } else {
        json_str(j, strncmp(pattern, "/{path+}", 8) == 0 ? "media" : "server");
    }
    json_array_end(j);
}

static const char *method_name(const struct http_route *r)
{
    static const char *const methods[HTTP_METHOD_N] = {"get",   "head",   "post",   "put",
                                                       "patch", "delete", "options"};
    return methods[r->method];
}

/* "get_streams_path" of GET /api/v1/streams/{path+}: for generated clients. */
static void write_operation_id(struct json *j, const struct http_route *r)
{
    static const char api[] = "/api/v1/";
    _cleanup_(out_done) struct out id = {0};
    const char *at = r->pattern;
    at += strncmp(at, api, sizeof(api) - 1) == 0 ? sizeof(api) - 1 : 1;
    out_printf(&id, "%s", method_name(r));
    for (bool between = true; *at; at++) {
        if (!isalnum((unsigned char)*at)) {
            between = true;
            continue;
        }
        if (between) {
            out_u8(&id, '_');
        }
        out_u8(&id, (uint8_t)*at);
        between = false;
    }
    json_put_str(j, "operationId", out_str(&id));
}

static void write_content(struct json *j, const char *type, const struct model *m,
                          const char *example)
{
    json_key(j, "content");
    json_object_begin(j);
    json_key(j, type);
    json_object_begin(j);
    json_key(j, "schema");
    json_object_begin(j);
    if (m) {
        json_key(j, "$ref");
        json_printf(j, REF_PREFIX "%s", m->name);
    } else if (strcmp(type, "application/json") != 0) {
        json_put_str(j, "type", "string");
    }
    json_object_end(j);
    if (example) {
        json_put_raw(j, "example", example);
    }
    json_object_end(j);
    json_object_end(j);
}

/* A merge patch (RFC 7396) has any of the model's fields, so what the model requires is not required of it. */
static void write_patch_content(struct json *j, const struct model *m, const char *example)
{
    json_key(j, "content");
    json_object_begin(j);
    json_key(j, "application/json");
    json_object_begin(j);
    json_key(j, "schema");
    json_object_begin(j);
    json_put_str(j, "type", "object");
    json_key(j, "description");
    json_printf(j, "Any fields of %s, as a merge patch (RFC 7396): null takes one back.", m->name);
    json_key(j, "x-mast-patch-of");
    json_printf(j, REF_PREFIX "%s", m->name);
    json_object_end(j);
    if (example) {
        json_put_raw(j, "example", example);
    }
    json_object_end(j);
    json_object_end(j);
}

static void write_parameter(struct json *j, struct bytes name, const char *in, const char *text,
                            const char *example)
{
    json_object_begin(j);
    json_key(j, "name");
    json_bytes(j, name);
    json_put_str(j, "in", in);
    json_put_bool(j, "required", strcmp(in, "path") == 0);
    if (text) {
        json_put_str(j, "description", text);
    }
    json_put_raw(j, "schema", "{\"type\":\"string\"}");
    if (example) {
        json_put_str(j, "example", example);
    }
    json_object_end(j);
}

static const struct http_doc_param *find_param(const struct http_route *r, struct bytes name)
{
    for (const struct http_doc_param *p = doc_of(r)->params; p && p->name; p++) {
        if (strcmp(p->in, "path") == 0 && bytes_equal_str(name, p->name)) {
            return p;
        }
    }
    return NULL;
}

/* Those of the pattern, then those of the query and the header. */
static void write_parameters(struct json *j, const struct http_route *r)
{
    json_key(j, "parameters");
    json_array_begin(j);
    for (const char *open = strchr(r->pattern, '{'); open; open = strchr(open + 1, '{')) {
        struct bytes name = BYTES(open + 1, strcspn(open + 1, "+}"));
        const struct http_doc_param *p = find_param(r, name);
        bool is_path = bytes_equal_str(name, "path");
        write_parameter(j, name, "path",
                        p         ? p->text
                        : is_path ? "The path of the stream; its slashes stand as they are."
                                  : NULL,
                        p         ? p->example
                        : is_path ? "live/cam1"
                                  : NULL);
    }
    for (const struct http_doc_param *p = doc_of(r)->params; p && p->name; p++) {
        if (strcmp(p->in, "path") != 0) {
            write_parameter(j, BYTES_STR(p->name), p->in, p->text, p->example);
        }
    }
    json_array_end(j);
}

/* ---- answers ---- */

static void write_success(struct json *j, const struct http_route *r)
{
    const struct http_route_doc *doc = doc_of(r);
    bool answers = r->reply_model || doc->reply_type || r->method == HTTP_GET;
    int status = doc->status ? doc->status : answers ? 200 : 204;
    char key[16];
    snprintf(key, sizeof(key), "%d", status);
    json_key(j, key);
    json_object_begin(j);
    json_put_str(j, "description", doc->reply_text ? doc->reply_text : "Done");
    if (r->reply_model) {
        write_content(j, "application/json", r->reply_model, NULL);
    } else if (doc->reply_type) {
        write_content(j, doc->reply_type, NULL, NULL);
    }
    json_object_end(j);
}

struct problems {
    const struct http_doc_problem *tables[4];
    unsigned n;
};

static struct problems problems_of(const struct http_route *r)
{
    struct problems p = {.n = 0};
    if (doc_of(r)->problems) {
        p.tables[p.n++] = doc_of(r)->problems;
    }
    if (r->scope) {
        p.tables[p.n++] = scope_problems;
    }
    if (r->kind == HTTP_ROUTE_CONTROL) {
        p.tables[p.n++] = origin_problems;
    }
    p.tables[p.n++] = host_problems;
    return p;
}

/* One answer stands for all problems of its status; "`code`: when; `code`: when". */
static void write_problem_answer(struct json *j, const struct problems *all, int status)
{
    _cleanup_(out_done) struct out text = {0};
    char key[16];
    snprintf(key, sizeof(key), "%d", status);
    json_key(j, key);
    json_object_begin(j);
    for (unsigned i = 0; i < all->n; i++) {
        for (const struct http_doc_problem *p = all->tables[i]; p->status; p++) {
            if (p->status == status) {
                out_printf(&text, "%s`%s`: %s", text.len ? "; " : "", p->code, p->text);
            }
        }
    }
    json_put_str(j, "description", out_str(&text));
    write_content(j, "application/problem+json", &problem_model, NULL);
    json_object_end(j);
}

/* Table by table in the order of their statuses: there are few. */
static void write_problems(struct json *j, const struct http_route *r)
{
    struct problems all = problems_of(r);
    for (int status = 400; status < 600; status++) {
        bool found = false;
        for (unsigned i = 0; i < all.n; i++) {
            for (const struct http_doc_problem *p = all.tables[i]; p->status; p++) {
                found |= p->status == status;
            }
        }
        if (found) {
            write_problem_answer(j, &all, status);
        }
    }
    json_put_raw(j, "default",
                 "{\"description\":\"Refused\",\"content\":{\"application/problem+json\":"
                 "{\"schema\":{\"$ref\":\"" REF_PREFIX "Problem\"}}}}");
}

/* What needs no credentials says so; media ask the stream's own rules, the rest the scope. */
static void write_security(struct json *j, const struct http_route *r)
{
    bool asks = r->scope || strncmp(r->pattern, "/{path+}", 8) == 0;
    json_put_raw(j, "security",
                 asks ? "[{\"bearer\":[]},{\"basic\":[]},{\"cookie\":[]},{\"token\":[]},{}]"
                      : "[]");
    if (r->scope) {
        json_put_str(j, "x-mast-scope", r->scope);
    }
}

static void write_operation(struct json *j, const struct http_route *r)
{
    const struct http_route_doc *doc = doc_of(r);
    json_key(j, method_name(r));
    json_object_begin(j);
    write_operation_id(j, r);
    write_tag(j, r->pattern);
    json_put_str(j, "summary", r->summary);
    if (doc->text) {
        json_put_str(j, "description", doc->text);
    }
    if (strchr(r->pattern, '{') || doc->params) {
        write_parameters(j, r);
    }
    if (r->body_model) {
        json_key(j, "requestBody");
        json_object_begin(j);
        json_put_bool(j, "required", !doc->body_optional);
        if (r->method == HTTP_PATCH) {
            write_patch_content(j, r->body_model, doc->body_example);
        } else {
            write_content(j, "application/json", r->body_model, doc->body_example);
        }
        json_object_end(j);
    }
    json_key(j, "responses");
    json_object_begin(j);
    write_success(j, r);
    write_problems(j, r);
    json_object_end(j);
    write_security(j, r);
    json_object_end(j);
}

/* Routes of one path stand together: each path is written at its first route, with all its methods. */
static void write_paths(struct json *j, const struct routes *all)
{
    json_key(j, "paths");
    json_object_begin(j);
    for (unsigned i = 0; i < all->n; i++) {
        bool seen = false;
        for (unsigned k = 0; k < i && !seen; k++) {
            seen = strcmp(all->items[k]->pattern, all->items[i]->pattern) == 0;
        }
        if (seen) {
            continue;
        }
        _cleanup_(out_done) struct out path = {0};
        document_path(all->items[i]->pattern, &path);
        json_key(j, out_str(&path));
        json_object_begin(j);
        for (unsigned k = i; k < all->n; k++) {
            if (strcmp(all->items[k]->pattern, all->items[i]->pattern) == 0) {
                write_operation(j, all->items[k]);
            }
        }
        json_object_end(j);
    }
    json_object_end(j);
}

static const char security_schemes[] =
    "{\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\","
    "\"description\":\"An API key or a signed token (JWT).\"},"
    "\"basic\":{\"type\":\"http\",\"scheme\":\"basic\","
    "\"description\":\"A user of the configuration with api: true; or any user with an API key as password.\"},"
    "\"cookie\":{\"type\":\"apiKey\",\"in\":\"cookie\",\"name\":\"mast-session\","
    "\"description\":\"From POST /api/v1/session; over HTTPS its name is __Host-mast-session.\"},"
    "\"token\":{\"type\":\"apiKey\",\"in\":\"query\",\"name\":\"token\","
    "\"description\":\"The same as Bearer, for players that only take an address. It ends up in other programs' logs.\"}}";

static void write_components(struct json *j, const struct routes *all)
{
    const struct model *models[MODELS_MAX];
    int n = model_collect(&problem_model, models, 0, MODELS_MAX);
    for (unsigned i = 0; i < all->n && n >= 0; i++) {
        const struct model *used[] = {all->items[i]->body_model, all->items[i]->reply_model};
        for (unsigned k = 0; k < ARRAY_LEN(used) && n >= 0; k++) {
            n = used[k] ? model_collect(used[k], models, (size_t)n, MODELS_MAX) : n;
        }
    }
    json_key(j, "components");
    json_object_begin(j);
    json_put_raw(j, "securitySchemes", security_schemes);
    json_key(j, "schemas");
    json_object_begin(j);
    for (int i = 0; i < n; i++) {
        json_key(j, models[i]->name);
        model_schema(models[i], REF_PREFIX, j);
    }
    json_object_end(j);
    json_object_end(j);
}

char *openapi_document(struct http_server *s, const char *version)
{
    _cleanup_free_ struct routes *all = mem_new(struct routes);
    struct out o = {0};
    struct json j = json_init(&o);
    http_server_each_route(s, collect_route, all);
    json_object_begin(&j);
    json_put_str(&j, "openapi", "3.1.0");
    json_key(&j, "info");
    json_object_begin(&j);
    json_put_str(&j, "title", "Mast");
    json_put_str(&j, "version", version);
    json_put_raw(&j, "license", "{\"name\":\"Apache-2.0\",\"identifier\":\"Apache-2.0\"}");
    json_put_str(
        &j, "description",
        "Live media in, live media out. The API only grows: clients ignore fields they do not know. {path} is the path "
        "of a stream, whose slashes stand as they are. Refusals are application/problem+json with a stable `code`. "
        "Without users in the configuration, and without credentials, only this machine may use it.");
    json_object_end(&j);
    json_put_raw(&j, "servers", "[{\"url\":\"/\",\"description\":\"The server this came from\"}]");
    write_paths(&j, all);
    write_components(&j, all);
    json_object_end(&j);
    return out_take_str(&o);
}

static void handle_openapi(void *user, struct http_request *req, struct http_reply *reply)
{
    /* Filled once all tables are mounted, which includes this one. */
    char *const *document = user;
    struct buf *body = buf_from_str(*document);
    http_reply_send(reply, 200, "application/json", &body);
}

static const struct http_route_doc openapi_doc = {
    .reply_type = "application/json",
    .reply_text = "The document",
};

const struct http_route openapi_routes[] = {
    {
        .method = HTTP_GET,
        .kind = HTTP_ROUTE_CONTROL,
        .pattern = "/api/openapi.json",
        .handle = handle_openapi,
        .summary = "This document",
        .doc = &openapi_doc,
        .scope = "read",
    },
};
const unsigned openapi_routes_n = ARRAY_LEN(openapi_routes);
