/* SPDX-License-Identifier: Apache-2.0 */
#include "api/openapi.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/model.h"

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
    MODEL_STRING(struct problem, type),
    MODEL_STRING(struct problem, title),
    MODEL_INT(struct problem, status),
    MODEL_STRING(struct problem, code, .doc = "Stable word for programs."),
    MODEL_STRING(struct problem, detail,
                 .doc = "One sentence for people: what is wrong, what to do."),
    MODEL_STRING(struct problem, field, .doc = "Path of the field at fault."),
};
static const struct model problem_model = MODEL("Problem", struct problem, problem_fields);

struct routes {
    const struct http_route *items[ROUTES_MAX];
    unsigned n;
};

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

static void write_schema_ref(struct json *j, const struct model *m)
{
    json_key(j, "content");
    json_object_begin(j);
    json_key(j, "application/json");
    json_object_begin(j);
    json_key(j, "schema");
    json_object_begin(j);
    json_key(j, "$ref");
    json_printf(j, REF_PREFIX "%s", m->name);
    json_object_end(j);
    json_object_end(j);
    json_object_end(j);
}

static void write_parameters(struct json *j, const char *pattern)
{
    json_key(j, "parameters");
    json_array_begin(j);
    for (const char *open = strchr(pattern, '{'); open; open = strchr(open + 1, '{')) {
        size_t n = strcspn(open + 1, "+}");
        json_object_begin(j);
        json_key(j, "name");
        json_bytes(j, BYTES(open + 1, n));
        json_put_str(j, "in", "path");
        json_put_bool(j, "required", true);
        json_put_raw(j, "schema", "{\"type\":\"string\"}");
        json_object_end(j);
    }
    json_array_end(j);
}

static void write_operation(struct json *j, const struct http_route *r)
{
    static const char *const methods[HTTP_METHOD_N] = {"get",   "head",   "post",   "put",
                                                       "patch", "delete", "options"};
    json_key(j, methods[r->method]);
    json_object_begin(j);
    json_put_str(j, "summary", r->summary);
    if (strchr(r->pattern, '{')) {
        write_parameters(j, r->pattern);
    }
    if (r->body_model) {
        json_key(j, "requestBody");
        json_object_begin(j);
        write_schema_ref(j, r->body_model);
        json_object_end(j);
    }
    json_key(j, "responses");
    json_object_begin(j);
    json_key(j, r->reply_model || r->method == HTTP_GET ? "200" : "204");
    json_object_begin(j);
    json_put_str(j, "description", "Done");
    if (r->reply_model) {
        write_schema_ref(j, r->reply_model);
    }
    json_object_end(j);
    json_put_raw(j, "default",
                 "{\"description\":\"Refused\",\"content\":{\"application/problem+json\":"
                 "{\"schema\":{\"$ref\":\"" REF_PREFIX "Problem\"}}}}");
    json_object_end(j);
    if (r->scope) {
        json_put_raw(j, "security", "[{\"basic\":[]},{}]");
    }
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
    json_put_raw(j, "securitySchemes", "{\"basic\":{\"type\":\"http\",\"scheme\":\"basic\"}}");
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
    json_put_str(
        &j, "description",
        "Live media in, live media out. The API only grows: clients ignore fields they do not know. A {path} at "
        "the end of an address may have several segments.");
    json_object_end(&j);
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

const struct http_route openapi_routes[] = {
    {
        .method = HTTP_GET,
        .kind = HTTP_ROUTE_CONTROL,
        .pattern = "/api/openapi.json",
        .handle = handle_openapi,
        .summary = "This document",
        .scope = "read",
    },
};
const unsigned openapi_routes_n = ARRAY_LEN(openapi_routes);
