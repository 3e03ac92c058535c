/* SPDX-License-Identifier: Apache-2.0 */
/* `mast key create|ls|rm`: the keys of a running server, by its API. */
#include "app/api_call.h"
#include "app/command.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "service/access/key.h"

#include <stdio.h>
#include <string.h>

#define KEYS        "/api/v1/keys"
#define STREAM_KEYS "/api/v1/stream-keys"

/* "a,b" as a list; a comma-separated string is what the models take for one. */
static void put_option(struct json *j, const char *key, const char *value)
{
    if (value) {
        json_put_str(j, key, value);
    }
}

struct wanted {
    const char *name;
    const char *scopes;
    const char *paths;
    const char *publish;
    const char *expires;
};

static int create(const struct api_call *call, const struct wanted *w, bool as_json)
{
    _cleanup_(out_done) struct out body = {0};
    _cleanup_(out_done) struct out reply = {0};
    struct json j = json_init(&body);
    json_object_begin(&j);
    put_option(&j, "name", w->name);
    put_option(&j, "path", w->publish);
    put_option(&j, "scopes", w->scopes);
    put_option(&j, "paths", w->paths);
    put_option(&j, "expires_at", w->expires);
    json_object_end(&j);
    int r = api_call(call, "POST", w->publish ? STREAM_KEYS : KEYS, out_str(&body), &reply);
    if (r != 0 || as_json) {
        if (r == 0) {
            puts(out_str(&reply));
        }
        return r;
    }
    struct access_key k;
    const struct model *model = w->publish ? &access_stream_key_view : &access_api_key_view;
    r = api_read(model, &k, out_view(&reply));
    if (r != 0) {
        return r;
    }
    /* The key alone on stdout, so that a script can take it. */
    printf("%s\n", k.key ? k.key : "");
    fprintf(stderr, "%s key %s; it is not shown again\n", w->publish ? "stream" : "API", k.id);
    model_done(model, &k);
    return 0;
}

static void print_key(const struct access_key *k)
{
    char created[CLOCK_RFC3339_MAX];
    char expires[CLOCK_RFC3339_MAX] = "never";
    if (k->expires_at) {
        clock_format_rfc3339(k->expires_at, expires);
    }
    printf("%-14s %-10s %-25s %-25s ", k->id, k->hint ? k->hint : "",
           clock_format_rfc3339(k->created_at, created), expires);
    if (k->path) {
        printf("publish to %s", k->path);
    } else {
        static const char *const names[] = {"watch", "publish", "read", "admin"};
        _Static_assert(ARRAY_LEN(names) == ACCESS_SCOPE_N, "a word for each scope");
        for (size_t i = 0; i < k->scopes.len; i++) {
            printf("%s%s", i ? "," : "", names[k->scopes.items[i]]);
        }
        for (size_t i = 0; i < k->paths.len; i++) {
            printf("%s%s", i ? "," : " on ", k->paths.items[i]);
        }
    }
    printf("%s%s\n", k->name ? "  # " : "", k->name ? k->name : "");
}

static int list_one(const struct api_call *call, const char *target, const struct model *model,
                    bool as_json)
{
    _cleanup_(out_done) struct out reply = {0};
    struct access_key_list list;
    int r = api_call(call, "GET", target, NULL, &reply);
    if (r != 0) {
        return r;
    }
    if (as_json) {
        fputs(out_str(&reply), stdout);
        return 0;
    }
    r = api_read(model, &list, out_view(&reply));
    if (r != 0) {
        return r;
    }
    for (size_t i = 0; i < list.items.len; i++) {
        print_key(&list.items.items[i]);
    }
    model_done(model, &list);
    return 0;
}

/* --json: {"keys":{...},"stream_keys":{...}}, each as the API answers. */
static int list(const struct api_call *call, bool as_json)
{
    if (as_json) {
        fputs("{\"keys\":", stdout);
    } else {
        printf("%-14s %-10s %-25s %-25s %s\n", "ID", "BEGINS", "CREATED", "EXPIRES", "MAY");
    }
    int r = list_one(call, KEYS, &access_api_key_list_view, as_json);
    if (r == 0 && as_json) {
        fputs(",\"stream_keys\":", stdout);
    }
    r = r != 0 ? r : list_one(call, STREAM_KEYS, &access_stream_key_list_view, as_json);
    if (r == 0 && as_json) {
        fputs("}\n", stdout);
    }
    return r;
}

static int is_in(const struct api_call *call, const char *target, const struct model *model,
                 const char *id, bool *ret)
{
    _cleanup_(out_done) struct out reply = {0};
    struct access_key_list list;
    int r = api_call(call, "GET", target, NULL, &reply);
    if (r != 0 || api_read(model, &list, out_view(&reply)) != 0) {
        return 1;
    }
    *ret = false;
    for (size_t i = 0; i < list.items.len; i++) {
        *ret = *ret || strcmp(list.items.items[i].id, id) == 0;
    }
    model_done(model, &list);
    return 0;
}

static int delete (const struct api_call *call, const char *id)
{
    _cleanup_(out_done) struct out reply = {0};
    bool stream = false;
    int r = is_in(call, STREAM_KEYS, &access_stream_key_list_view, id, &stream);
    if (r != 0) {
        return r;
    }
    _cleanup_free_ char *target = mem_printf("%s/%s", stream ? STREAM_KEYS : KEYS, id);
    return api_call(call, "DELETE", target, NULL, &reply);
}

static int run_ls(const struct args *a)
{
    struct api_call call = api_call_options(a);
    return list(&call, args_flag(a, "--json"));
}

static int run_create(const struct args *a)
{
    struct api_call call = api_call_options(a);
    const struct wanted w = {
        .name = args_option(a, "--name"),
        .scopes = args_option(a, "--scope"),
        .paths = args_option(a, "--path"),
        .publish = args_option(a, "--publish"),
        .expires = args_option(a, "--expires"),
    };
    if (!w.publish == !w.scopes) {
        return args_refuse(a, "either --publish or --scope");
    }
    return create(&call, &w, args_flag(a, "--json"));
}

static int run_rm(const struct args *a)
{
    struct api_call call = api_call_options(a);
    return delete (&call, args_value(a, 0));
}

static const struct command_option options[] = {
    COMMAND_SERVER,
    COMMAND_JSON,
    {.name = NULL},
};

static const struct command_option create_options[] = {
    {"--publish", "PATH", "A stream key: whoever has it may publish to this path"},
    {"--scope", "LIST", "An API key that may do these, with commas: watch, publish, read, admin"},
    {"--path", "LIST",
     "The paths an API key may watch and publish to; * stands for any run of characters"},
    {"--name", "TEXT", "What the key is for, for those who read the list"},
    {"--expires", "TIME", "When it ends, as 2026-01-31T12:00:00Z"},
    {.name = NULL},
};

static const struct command subs[] = {
    {.name = "ls", .summary = "Lists the keys, without the keys themselves", .run = run_ls},
    {.name = "create",
     .summary = "Makes a key and prints it, this once",
     .options = create_options,
     .run = run_create},
    {.name = "rm", .args = "ID", .summary = "Deletes a key and ends its sessions", .run = run_rm},
    {.name = NULL},
};

static const char *const examples[] = {
    "mast key create --publish live/cam-1 --name 'the camera at the door'",
    "a stream key; the encoder publishes with it",
    "mast key create --scope read --expires 2027-01-01T00:00:00Z",
    "an API key for a monitor",
    NULL,
};

const struct command command_key = {
    .name = "key",
    .summary = "Makes, lists and deletes the keys of a running server",
    .options = options,
    .subs = subs,
    .examples = examples,
};
