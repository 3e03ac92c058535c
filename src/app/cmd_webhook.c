/* SPDX-License-Identifier: Apache-2.0 */
/* `mast webhook ...`: the webhooks of a running server and what waits for them, by its API. */
#include "app/api_call.h"
#include "app/command.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/url.h"
#include "service/webhook/webhook_service.h"

#include <stdio.h>
#include <string.h>

#define WEBHOOKS "/api/v1/webhooks"

/* "/api/v1/webhooks/ID" and what follows. */
static char *target_of(const char *id, const char *rest)
{
    struct out o = {0};
    out_puts(&o, WEBHOOKS "/");
    url_encode(&o, BYTES_STR(id), "");
    out_puts(&o, rest);
    return out_take_str(&o);
}

/* Asks, and prints the reply as it is or leaves it to the caller: 0 with *ret_printed, or an exit code. */
static int ask(const struct args *a, const char *method, const char *target, const char *body,
               struct out *reply, bool *ret_printed)
{
    struct api_call call = api_call_options(a);
    int r = api_call(&call, method, target, body, reply);
    *ret_printed = r == 0 && args_flag(a, "--json");
    if (*ret_printed) {
        puts(out_str(reply));
    }
    return r;
}

/* ---- webhooks ---- */

static void print_list(const char *const *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        printf("%s%s", i ? "," : "", items[i]);
    }
}

static int run_ls(const struct args *a)
{
    _cleanup_(out_done) struct out reply = {0};
    struct webhook_view_list list;
    bool printed;
    int r = ask(a, "GET", WEBHOOKS, NULL, &reply, &printed);
    if (r != 0 || printed) {
        return r;
    }
    r = api_read(&webhook_view_list_model, &list, out_view(&reply));
    if (r != 0) {
        return r;
    }
    printf("%-16s %-13s %8s %6s  %-24s %s\n", "ID", "STATUS", "PENDING", "DEAD", "EVENTS", "URL");
    for (size_t i = 0; i < list.items.len; i++) {
        const struct webhook_view *v = &list.items.items[i];
        _cleanup_(out_done) struct out events = {0};
        for (size_t k = 0; k < v->events.len; k++) {
            out_printf(&events, "%s%s", k ? "," : "", v->events.items[k]);
        }
        printf("%-16s %-13s %8u %6u  %-24s %s%s%s\n", v->id, v->status ? v->status : "", v->pending,
               v->dead, out_str(&events), v->url, v->name ? "  # " : "", v->name ? v->name : "");
    }
    model_done(&webhook_view_list_model, &list);
    return 0;
}

static void print_time(const char *label, int64_t ns)
{
    char when[CLOCK_RFC3339_MAX];
    if (ns) {
        printf("%-12s %s\n", label, clock_format_rfc3339(ns, when));
    }
}

static void print_view(const struct webhook_view *v)
{
    printf("%-12s %s\n%-12s %s\n", "id", v->id, "url", v->url);
    if (v->name) {
        printf("%-12s %s\n", "name", v->name);
    }
    printf("%-12s ", "events");
    print_list((const char *const *)v->events.items, v->events.len);
    if (v->paths.len > 0) {
        printf("\n%-12s ", "paths");
        print_list((const char *const *)v->paths.items, v->paths.len);
    }
    printf("\n%-12s %s\n%-12s %s\n", "managed by", v->managed_by, "status", v->status);
    printf("%-12s %u pending, %u dead, %llu accepted, %llu attempts failed\n", "deliveries",
           v->pending, v->dead, (unsigned long long)v->accepted, (unsigned long long)v->failed);
    print_time("created", v->created_at);
    print_time("last attempt", v->last_at);
    if (v->last_error) {
        printf("%-12s %s\n", "last error", v->last_error);
    }
}

static int run_show(const struct args *a)
{
    _cleanup_(out_done) struct out reply = {0};
    _cleanup_free_ char *target = target_of(args_value(a, 0), "");
    struct webhook_view v;
    bool printed;
    int r = ask(a, "GET", target, NULL, &reply, &printed);
    if (r != 0 || printed) {
        return r;
    }
    r = api_read(&webhook_view_model, &v, out_view(&reply));
    if (r != 0) {
        return r;
    }
    print_view(&v);
    model_done(&webhook_view_model, &v);
    return 0;
}

static void put_option(struct json *j, const char *key, const char *value)
{
    if (value) {
        json_put_str(j, key, value);
    }
}

static int run_add(const struct args *a)
{
    _cleanup_(out_done) struct out body = {0};
    _cleanup_(out_done) struct out reply = {0};
    struct webhook_view v;
    bool printed;
    struct json j = json_init(&body);
    json_object_begin(&j);
    json_put_str(&j, "url", args_value(a, 0));
    put_option(&j, "events", args_option(a, "--events"));
    put_option(&j, "paths", args_option(a, "--path"));
    put_option(&j, "name", args_option(a, "--name"));
    json_object_end(&j);
    int r = ask(a, "POST", WEBHOOKS, out_str(&body), &reply, &printed);
    if (r != 0 || printed) {
        return r;
    }
    r = api_read(&webhook_view_model, &v, out_view(&reply));
    if (r != 0) {
        return r;
    }
    /* The secret alone on stdout, so that a script can take it. */
    printf("%s\n", v.secret ? v.secret : "");
    fprintf(stderr, "webhook %s; its secret is not shown again\n", v.id);
    model_done(&webhook_view_model, &v);
    return 0;
}

static int run_rm(const struct args *a)
{
    _cleanup_(out_done) struct out reply = {0};
    _cleanup_free_ char *target = target_of(args_value(a, 0), "");
    struct api_call call = api_call_options(a);
    return api_call(&call, "DELETE", target, NULL, &reply);
}

static int run_test(const struct args *a)
{
    _cleanup_(out_done) struct out reply = {0};
    _cleanup_free_ char *target = target_of(args_value(a, 0), "/test");
    struct webhook_test_view v;
    bool printed;
    int r = ask(a, "POST", target, "", &reply, &printed);
    if (r != 0) {
        return r;
    }
    r = api_read(&webhook_test_model, &v, out_view(&reply));
    if (r != 0) {
        return r;
    }
    bool accepted = v.accepted;
    if (!printed && accepted) {
        printf("accepted: %d after %lld ms\n", v.status, (long long)(v.elapsed / NS_PER_MS));
    } else if (!printed) {
        fprintf(stderr, "mast: not accepted: %s\n", v.error ? v.error : "");
    }
    model_done(&webhook_test_model, &v);
    return accepted ? 0 : 1;
}

/* ---- deliveries ---- */

static int run_deliveries(const struct args *a)
{
    _cleanup_(out_done) struct out reply = {0};
    _cleanup_free_ char *target = target_of(args_value(a, 0), "/deliveries");
    struct webhook_delivery_list list;
    bool printed;
    int r = ask(a, "GET", target, NULL, &reply, &printed);
    if (r != 0 || printed) {
        return r;
    }
    r = api_read(&webhook_delivery_list_model, &list, out_view(&reply));
    if (r != 0) {
        return r;
    }
    printf("%-20s %-8s %8s  %-25s %-18s %-28s %s\n", "ID", "STATE", "ATTEMPTS", "CREATED", "EVENT",
           "RESOURCE", "LAST ERROR");
    for (size_t i = 0; i < list.items.len; i++) {
        const struct webhook_delivery *d = &list.items.items[i];
        char when[CLOCK_RFC3339_MAX];
        printf("%-20s %-8s %8u  %-25s %-18s %-28s %s\n", d->id,
               d->state == WEBHOOK_DEAD ? "dead" : "pending", d->attempts,
               clock_format_rfc3339(d->created_at, when), d->event, d->resource,
               d->last_error ? d->last_error : "");
    }
    model_done(&webhook_delivery_list_model, &list);
    return 0;
}

struct replayed {
    uint32_t replayed;
};

static int run_replay(const struct args *a)
{
    static const struct model_field fields[] = {MODEL_INT(struct replayed, replayed)};
    static const struct model model =
        MODEL("Replayed", struct replayed, fields, .unknown = MODEL_IGNORE);
    _cleanup_(out_done) struct out reply = {0};
    _cleanup_(out_done) struct out rest = {0};
    struct replayed v;
    bool printed;
    if (args_value(a, 1)) {
        out_puts(&rest, "/deliveries/");
        url_encode(&rest, BYTES_STR(args_value(a, 1)), "");
    }
    out_puts(&rest, "/replay");
    _cleanup_free_ char *target = target_of(args_value(a, 0), out_str(&rest));
    int r = ask(a, "POST", target, "", &reply, &printed);
    if (r != 0 || printed) {
        return r;
    }
    r = api_read(&model, &v, out_view(&reply));
    if (r != 0) {
        return r;
    }
    printf("%u to be delivered again\n", v.replayed);
    return 0;
}

/* ---- the table ---- */

static const struct command_option options[] = {COMMAND_JSON, COMMAND_SERVER, {.name = NULL}};

static const struct command_option add_options[] = {
    {.name = "--events",
     .arg = "LIST",
     .help = "Types of events, as in stream.ready,reader.*; else all of them"},
    {.name = "--path", .arg = "LIST", .help = "Only of these streams, as in live/*"},
    {.name = "--name", .arg = "TEXT", .help = "What it is for"},
    {.name = NULL},
};

static const struct command subs[] = {
    {.name = "ls", .summary = "Lists the webhooks and how they stand", .run = run_ls},
    {.name = "show", .args = "ID", .summary = "Shows a webhook", .run = run_show},
    {.name = "add",
     .args = "ADDRESS",
     .summary = "Makes a webhook and prints its secret, this once",
     .options = add_options,
     .run = run_add},
    {.name = "rm", .args = "ID", .summary = "Deletes a webhook and its deliveries", .run = run_rm},
    {.name = "test",
     .args = "ID",
     .summary = "Sends it an event webhook.test, and tells the answer",
     .run = run_test},
    {.name = "deliveries",
     .args = "ID",
     .summary = "Lists what waits to be delivered and what was given up",
     .run = run_deliveries},
    {.name = "replay",
     .args = "ID [DELIVERY]",
     .summary = "Delivers again what was given up: one, or all",
     .run = run_replay},
    {.name = NULL},
};

static const char *const examples[] = {
    "mast webhook add https://example.org/mast --events stream.published,stream.ended",
    "events of these types are sent there; the secret that signs them is printed",
    "mast webhook replay wh_7QiRQFcj3z6z",
    "the receiver was away for too long; what was given up is sent again",
    NULL,
};

const struct command command_webhook = {
    .name = "webhook",
    .summary = "Makes, lists, tests and deletes the webhooks of a running server",
    .options = options,
    .subs = subs,
    .examples = examples,
};
