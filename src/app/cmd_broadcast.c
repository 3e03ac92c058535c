/* SPDX-License-Identifier: Apache-2.0 */
/* `mast broadcast ...`: the broadcasts of a running server, by its API. How one is started is broadcast_start.c. */
#include "app/api_call.h"
#include "app/broadcast_start.h"
#include "app/command.h"
#include "app/event_tail.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/url.h"
#include "service/broadcast/broadcast_views.h"

#include <stdio.h>
#include <string.h>

#define PAGE       "limit=1000"
#define STOP_WAIT  "60s"
#define PATIENCE_S 90

/* "/api/v1/broadcasts/ID" and what follows. */
static char *target_of(const char *id, const char *rest)
{
    struct out o = {0};
    out_puts(&o, BROADCASTS "/");
    url_encode(&o, BYTES_STR(id), "");
    out_puts(&o, rest);
    return out_take_str(&o);
}

static const char *name_of(enum broadcast_state state)
{
    return model_enum_name(broadcast_state_names, (int)state);
}

static unsigned debts_of(const struct broadcast_result *r)
{
    unsigned n = 0;
    for (size_t i = 0; i < r->steps.len; i++) {
        n += r->steps.items[i].state == BROADCAST_STEP_DEBT;
    }
    return n;
}

/* Asks for one broadcast; with --json it is printed as it came, and *ret is still to be released. */
static int ask_one(const struct args *a, const char *method, const char *target,
                   struct broadcast_result *ret)
{
    _cleanup_(out_done) struct out reply = {0};
    struct api_call call = api_call_options(a);
    call.patience_s = PATIENCE_S;
    int r = api_call(&call, method, target, strcmp(method, "POST") == 0 ? "" : NULL, &reply);
    if (r != 0) {
        return r;
    }
    r = api_read(&broadcast_result_model, ret, out_view(&reply));
    if (r != 0) {
        return r;
    }
    if (args_flag(a, "--json")) {
        puts(out_str(&reply));
    }
    return 0;
}

/* ---- ls ---- */

static void print_line(const struct broadcast_result *r)
{
    char id[MODEL_ID_TEXT_MAX];
    const struct broadcast_mountpoint_response *m = r->mountpoint_response;
    printf("%-20s %-11s %-15s %-18s %5u  %s%s%s\n", r->broadcast_id, name_of(r->state),
           model_enum_name(broadcast_source_names, (int)r->request.source_kind),
           m ? model_id_text(&m->id, id) : "", debts_of(r), r->reason ? r->reason : "",
           r->request.name ? "  # " : "", r->request.name ? r->request.name : "");
}

static char *page_after(const struct args *a, const char *after)
{
    struct out o = {0};
    const char *state = args_option(a, "--state");
    out_puts(&o, BROADCASTS "?" PAGE);
    if (state) {
        out_puts(&o, "&state=");
        url_encode(&o, BYTES_STR(state), "");
    }
    if (after) {
        out_puts(&o, "&after=");
        url_encode(&o, BYTES_STR(after), "");
    }
    return out_take_str(&o);
}

static int run_ls(const struct args *a)
{
    struct api_call call = api_call_options(a);
    _cleanup_free_ char *after = NULL;
    do {
        _cleanup_(out_done) struct out reply = {0};
        _cleanup_free_ char *target = page_after(a, after);
        struct broadcast_result_list list;
        int r = api_call(&call, "GET", target, NULL, &reply);
        if (r != 0) {
            return r;
        }
        if (args_flag(a, "--json")) {
            puts(out_str(&reply));
        }
        r = api_read(&broadcast_result_list_model, &list, out_view(&reply));
        if (r != 0) {
            return r;
        }
        if (!args_flag(a, "--json")) {
            if (!after) {
                printf("%-20s %-11s %-15s %-18s %5s  %s\n", "ID", "STATE", "SOURCE", "MOUNTPOINT",
                       "DEBTS", "REASON");
            }
            for (size_t i = 0; i < list.items.len; i++) {
                print_line(&list.items.items[i]);
            }
        }
        free(after);
        after = TAKE_PTR(list.next);
        model_done(&broadcast_result_list_model, &list);
    } while (after);
    return 0;
}

/* ---- show ---- */

static void print_text(const char *label, const char *text)
{
    if (text) {
        printf("%-12s %s\n", label, text);
    }
}

static void print_time(const char *label, int64_t ns)
{
    char when[CLOCK_RFC3339_MAX];
    if (ns) {
        printf("%-12s %s\n", label, clock_format_rfc3339(ns, when));
    }
}

static void print_health(const struct broadcast_health *h)
{
    printf("%-12s %s%s%s\n", "health", h->healthy ? "well" : "not well", h->reason ? ": " : "",
           h->reason ? h->reason : "");
    for (size_t i = 0; i < h->media.len; i++) {
        const struct broadcast_media_health *m = &h->media.items[i];
        printf("%-12s %s: last packet %lld ms ago\n", "", m->mid ? m->mid : "?",
               (long long)m->age_ms);
    }
    if (h->forwarders_expected > 0) {
        printf("%-12s %lld of %lld forwards\n", "", (long long)h->forwarders,
               (long long)h->forwarders_expected);
    }
}

static void print_join(const struct broadcast_join *j)
{
    char id[MODEL_ID_TEXT_MAX];
    print_text("join at", j->janus_url);
    if (j->room.kind) {
        printf("%-12s room %s%s\n", "join", model_id_text(&j->room, id),
               j->pin_required ? ", with its pin" : "");
    }
    print_text("publish to", j->publish_url);
}

static void print_steps(const struct broadcast_result *r)
{
    for (size_t i = 0; i < r->steps.len; i++) {
        const struct broadcast_step_view *s = &r->steps.items[i];
        printf("%-12s %-11s %-9s %s%s%s\n", i == 0 ? "steps" : "", s->name,
               model_enum_name(broadcast_step_state_names, (int)s->state),
               s->describe ? s->describe : "", s->error ? ": " : "", s->error ? s->error : "");
    }
}

static void print_left(const struct broadcast_result *r)
{
    char id[MODEL_ID_TEXT_MAX];
    for (size_t i = 0; i < r->kept.len; i++) {
        const struct broadcast_kept *k = &r->kept.items[i];
        printf("%-12s %s %s: %s\n", "kept", k->kind, model_id_text(&k->id, id),
               k->why ? k->why : "");
    }
    if (debts_of(r) > 0) {
        printf("%-12s %u, tried again by itself; `mast broadcast settle` tries now\n", "debts",
               debts_of(r));
    }
}

static void print_result(const struct broadcast_result *r)
{
    char id[MODEL_ID_TEXT_MAX];
    printf("%-12s %s\n%-12s %s%s%s\n", "id", r->broadcast_id, "state", name_of(r->state),
           r->reason ? ": " : "", r->reason ? r->reason : "");
    print_text("name", r->request.name);
    print_text("source", model_enum_name(broadcast_source_names, (int)r->request.source_kind));
    if (r->mountpoint_response) {
        printf("%-12s %s\n", "mountpoint", model_id_text(&r->mountpoint_response->id, id));
    }
    if (r->join) {
        print_join(r->join);
    }
    print_steps(r);
    if (r->health) {
        print_health(r->health);
    }
    print_left(r);
    for (size_t i = 0; i < r->warnings.len; i++) {
        print_text(i == 0 ? "warnings" : "", r->warnings.items[i]);
    }
    print_text("note", r->note);
    print_time("created", r->created_at);
    print_time("started", r->started_at);
    print_time("ended", r->ended_at);
}

static int run_show(const struct args *a)
{
    _cleanup_free_ char *target = target_of(args_value(a, 0), "");
    struct broadcast_result r;
    int code = ask_one(a, "GET", target, &r);
    if (code == 0) {
        if (!args_flag(a, "--json")) {
            print_result(&r);
        }
        model_done(&broadcast_result_model, &r);
    }
    return code;
}

/* ---- stop, restart, settle, forget ---- */

/* What became of it, on one line; 0 when it is in one of the wanted states and owes nothing. */
static int print_outcome(const struct args *a, const struct broadcast_result *r, bool right)
{
    if (!args_flag(a, "--json")) {
        printf("broadcast %s: %s%s%s\n", r->broadcast_id, name_of(r->state), r->reason ? ": " : "",
               r->reason ? r->reason : "");
        print_left(r);
    }
    return right && debts_of(r) == 0 ? 0 : 1;
}

static int run_stop_all(const struct args *a)
{
    _cleanup_(out_done) struct out reply = {0};
    struct api_call call = api_call_options(a);
    int r = api_call(&call, "POST", BROADCASTS "/stop-all", "", &reply);
    if (r == 0) {
        puts(args_flag(a, "--json") ? out_str(&reply)
                                    : "they are being stopped; `mast broadcast ls` tells how far");
    }
    return r;
}

static int run_stop(const struct args *a)
{
    const char *id = args_value(a, 0);
    struct broadcast_result r;
    if (!id == !args_flag(a, "--all")) {
        return args_refuse(a, "say which, or --all");
    }
    if (!id) {
        return run_stop_all(a);
    }
    _cleanup_free_ char *target = target_of(id, "?wait=" STOP_WAIT);
    int code = ask_one(a, "DELETE", target, &r);
    if (code == 0) {
        bool ended = r.state == BROADCAST_STOPPED || r.state == BROADCAST_FAILED;
        code = print_outcome(a, &r, ended);
        model_done(&broadcast_result_model, &r);
    }
    return code;
}

static int run_restart(const struct args *a)
{
    _cleanup_free_ char *target = target_of(args_value(a, 0), "/restart?wait=" STOP_WAIT);
    struct broadcast_result r;
    int code = ask_one(a, "POST", target, &r);
    if (code == 0) {
        code = print_outcome(a, &r, r.state == BROADCAST_RUNNING || r.state == BROADCAST_DEGRADED);
        model_done(&broadcast_result_model, &r);
    }
    return code;
}

static int run_settle(const struct args *a)
{
    _cleanup_free_ char *target = target_of(args_value(a, 0), "/settle");
    struct broadcast_result r;
    int code = ask_one(a, "POST", target, &r);
    if (code == 0) {
        if (!args_flag(a, "--json")) {
            printf("broadcast %s: %u to settle\n", r.broadcast_id, debts_of(&r));
        }
        model_done(&broadcast_result_model, &r);
    }
    return code;
}

static int run_forget(const struct args *a)
{
    _cleanup_(out_done) struct out reply = {0};
    _cleanup_free_ char *target = target_of(args_value(a, 0), "?forget=true");
    struct api_call call = api_call_options(a);
    return api_call(&call, "DELETE", target, NULL, &reply);
}

/* ---- plan ---- */

static int run_plan(const struct args *a)
{
    _cleanup_(out_done) struct out body = {0};
    _cleanup_(out_done) struct out reply = {0};
    struct api_call call = api_call_options(a);
    struct broadcast_plan_view v;
    int code = broadcast_request_of(a, &body);
    code = code != 0 ? code : api_call(&call, "POST", BROADCASTS "/plan", out_str(&body), &reply);
    if (code != 0) {
        return code;
    }
    if (args_flag(a, "--json")) {
        puts(out_str(&reply));
        return 0;
    }
    code = api_read(&broadcast_plan_model, &v, out_view(&reply));
    if (code != 0) {
        return code;
    }
    for (size_t i = 0; i < v.steps.len; i++) {
        const struct broadcast_plan_step *s = &v.steps.items[i];
        printf("%-12s %-20s %s\n", s->name, s->peer ? s->peer : "", s->describe ? s->describe : "");
    }
    for (size_t i = 0; i < v.warnings.len; i++) {
        fprintf(stderr, "mast: %s\n", v.warnings.items[i]);
    }
    model_done(&broadcast_plan_model, &v);
    return 0;
}

/* ---- logs ---- */

struct told {
    char *state, *reason, *phase, *step, *error;
};

static void print_json(const char *json)
{
    puts(json);
}

static void print_event(const char *json)
{
    static const struct model_field fields[] = {
        MODEL_STRING(struct told, state), MODEL_STRING(struct told, reason),
        MODEL_STRING(struct told, phase), MODEL_STRING(struct told, step),
        MODEL_STRING(struct told, error),
    };
    static const struct model model =
        MODEL("BroadcastEvent", struct told, fields, .unknown = MODEL_IGNORE);
    struct event_view e;
    struct told t = {0};
    if (api_parse(&event_view_model, &e, BYTES_STR(json), NULL) < 0) {
        return;
    }
    if (e.data) {
        (void)api_parse(&model, &t, BYTES_STR(e.data), NULL);
    }
    const char *why = t.error ? t.error : t.reason;
    printf("%s  %-24s %s%s%s%s%s\n", e.time ? e.time : "", e.type ? e.type : "",
           t.phase ? t.phase : "", t.phase ? " of " : "", t.step ? t.step : "",
           t.step && why ? ": " : "", why ? why : "");
    model_done(&model, &t);
    model_done(&event_view_model, &e);
}

static int run_logs(const struct args *a)
{
    _cleanup_free_ char *resource = mem_printf("broadcasts/%s", args_value(a, 0));
    const struct event_tail t = {
        .call = api_call_options(a),
        .resource = resource,
        .kept = true,
        .follow = args_flag(a, "-f"),
        .print = args_flag(a, "--json") ? print_json : print_event,
    };
    return event_tail(&t);
}

/* ---- the table ---- */

static const struct command_option options[] = {COMMAND_JSON, COMMAND_SERVER, {.name = NULL}};

static const struct command_option ls_options[] = {
    {.name = "--state",
     .arg = "starting|running|degraded|restarting|stopping|stopped|failed",
     .help = "Only those in this state"},
    {.name = NULL},
};
static const struct command_option stop_options[] = {
    {.name = "--all", .help = "Stops every one, without waiting"},
    {.name = NULL},
};
static const struct command_option logs_options[] = {
    {.name = "-f", .help = "Goes on with what happens, until it is ended"},
    {.name = NULL},
};

#define SOURCES "[videoroom|rtmp|rtsp|obs|stream|browser|frontend]"

static const struct command subs[] = {
    {.name = "start",
     .args = SOURCES,
     .summary = "Starts a broadcast and tells each step as it goes",
     .options = broadcast_start_options,
     .run = broadcast_start_run},
    {.name = "plan",
     .args = SOURCES,
     .summary = "Tells the steps that a start would take, and takes none",
     .options = broadcast_plan_options,
     .run = run_plan},
    {.name = "ls",
     .summary = "Lists the broadcasts, also those that ended",
     .options = ls_options,
     .run = run_ls},
    {.name = "show", .args = "ID", .summary = "Shows a broadcast", .run = run_show},
    {.name = "stop",
     .args = "[ID]",
     .summary = "Undoes what a broadcast made, and only that",
     .options = stop_options,
     .run = run_stop},
    {.name = "restart",
     .args = "ID",
     .summary = "Undoes a broadcast and begins again; also one that has ended",
     .run = run_restart},
    {.name = "logs",
     .args = "ID",
     .summary = "Tells what happened to a broadcast, as far as the server still knows",
     .options = logs_options,
     .run = run_logs},
    {.name = "settle",
     .args = "ID",
     .summary = "Tries now to undo what could not be undone",
     .run = run_settle},
    {.name = "forget",
     .args = "ID",
     .summary = "Takes an ended broadcast off the list",
     .run = run_forget},
    {.name = NULL},
};

static const char *const examples[] = {
    "mast broadcast start videoroom --room 1234 --publisher 5 --mountpoint 9001",
    "what publisher 5 of room 1234 sends becomes mountpoint 9001",
    "mast broadcast start -f broadcast.yml",
    "the request from a file, which may hold secrets",
    "mast broadcast logs br_7QiRQFcj3z6z -f",
    "what happens to it",
    NULL,
};

const struct command command_broadcast = {
    .name = "broadcast",
    .summary = "Turns sources into mountpoints of a Janus, and keeps them so",
    .about =
        "A source is a publisher of a VideoRoom, an RTMP or RTSP address, an OBS, a stream of this server, or a room that a "
        "browser or a front end publishes to. docs/broadcasts.md has each of them.\n\n"
        "Command lines can be read by others on the machine: requests with secrets belong into a file (-f).",
    .options = options,
    .subs = subs,
    .examples = examples,
};
