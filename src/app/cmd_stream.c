/* SPDX-License-Identifier: Apache-2.0 */
/* `mast stream ls|show|kick`: what a running server carries, by its API. */
#include "app/api_call.h"
#include "app/command.h"
#include "base/mem.h"
#include "service/stream/stream_view.h"

#include <stdio.h>
#include <string.h>

static void print_tracks(const struct stream_view *s)
{
    for (size_t i = 0; i < s->tracks.len; i++) {
        const struct track_view *t = &s->tracks.items[i];
        printf("%s%s", i == 0 ? "" : ", ", codec_to_str((enum codec)t->codec));
        if (t->kind == TRACK_VIDEO && t->width) {
            printf(" %ux%u", t->width, t->height);
        }
        if (t->kind == TRACK_AUDIO && t->sample_rate) {
            printf(" %u Hz", t->sample_rate);
        }
    }
}

static const char *state_of(const struct stream_view *s)
{
    return s->on_air ? (s->ready ? "live" : "starting") : "waiting";
}

static int list_streams(const struct api_call *call, bool as_json)
{
    _cleanup_(out_done) struct out body = {0};
    struct stream_list_view list;
    int r = api_call(call, "GET", "/api/v1/streams", NULL, &body);
    if (r != 0 || as_json) {
        if (r == 0) {
            puts(out_str(&body));
        }
        return r;
    }
    r = api_read(&stream_list_model, &list, out_view(&body));
    if (r != 0) {
        return r;
    }
    printf("%-32s %-9s %10s %8s  %s\n", "PATH", "STATE", "KBIT/S", "READERS", "TRACKS");
    for (size_t i = 0; i < list.items.len; i++) {
        const struct stream_view *s = &list.items.items[i];
        printf("%-32s %-9s %10.0f %8llu  ", s->path, state_of(s), (double)s->bitrate_in_bps / 1000,
               (unsigned long long)s->n_readers);
        print_tracks(s);
        putchar('\n');
    }
    model_done(&stream_list_model, &list);
    return 0;
}

static void print_stream(const struct stream_view *s)
{
    printf("path       %s\nstate      %s%s%s%s\n", s->path, state_of(s), s->reason ? " (" : "",
           s->reason ? s->reason : "", s->reason ? ")" : "");
    printf("tracks     ");
    print_tracks(s);
    printf("\nbitrate    %.0f kbit/s in\nbytes      %llu in, %llu out\n",
           (double)s->bitrate_in_bps / 1000, (unsigned long long)s->bytes_in,
           (unsigned long long)s->bytes_out);
    if (s->publisher) {
        printf("publisher  %s %s %s %s\n", s->publisher->id ? s->publisher->id : "",
               s->publisher->protocol, s->publisher->remote ? s->publisher->remote : "",
               s->publisher->agent ? s->publisher->agent : "");
    }
    printf("readers    %llu\n", (unsigned long long)s->n_readers);
    for (size_t i = 0; i < s->readers.len; i++) {
        const struct session_view *v = &s->readers.items[i];
        printf("  %-16s %-6s %-24s %8.0f ms behind, %llu dropped, %llu bytes\n", v->id ? v->id : "",
               v->protocol, v->remote ? v->remote : "", v->behind_ms,
               (unsigned long long)v->dropped, (unsigned long long)v->bytes);
    }
}

static int show_stream(const struct api_call *call, const char *path, bool as_json)
{
    _cleanup_(out_done) struct out body = {0};
    _cleanup_free_ char *target = mem_printf("/api/v1/streams/%s", path);
    struct stream_view view;
    int r = api_call(call, "GET", target, NULL, &body);
    if (r != 0 || as_json) {
        if (r == 0) {
            puts(out_str(&body));
        }
        return r;
    }
    r = api_read(&stream_view_model, &view, out_view(&body));
    if (r != 0) {
        return r;
    }
    print_stream(&view);
    model_done(&stream_view_model, &view);
    return 0;
}

static int kick(const struct api_call *call, const char *path, const char *session)
{
    _cleanup_(out_done) struct out reply = {0};
    _cleanup_(out_done) struct out body = {0};
    _cleanup_free_ char *target = mem_printf("/api/v1/streams/kick/%s", path);
    struct json j = json_init(&body);
    json_object_begin(&j);
    json_put_str(&j, "session", session);
    json_object_end(&j);
    return api_call(call, "POST", target, out_str(&body), &reply);
}

static int run_ls(const struct args *a)
{
    struct api_call call = api_call_options(a);
    return list_streams(&call, args_flag(a, "--json"));
}

static int run_show(const struct args *a)
{
    struct api_call call = api_call_options(a);
    return show_stream(&call, args_value(a, 0), args_flag(a, "--json"));
}

static int run_kick(const struct args *a)
{
    struct api_call call = api_call_options(a);
    const char *session = args_value(a, 1);
    return kick(&call, args_value(a, 0), session ? session : "all");
}

static const struct command_option options[] = {
    COMMAND_SERVER,
    COMMAND_JSON,
    {.name = NULL},
};

static const struct command subs[] = {
    {.name = "ls", .summary = "Lists the streams", .run = run_ls},
    {.name = "show",
     .args = "PATH",
     .summary = "Shows one stream, its publisher and its readers",
     .run = run_show},
    {.name = "kick",
     .args = "PATH [SESSION]",
     .summary = "Ends one session of a stream, or all of them",
     .run = run_kick},
    {.name = NULL},
};

const struct command command_stream = {
    .name = "stream",
    .summary = "What a running server carries; ends sessions",
    .options = options,
    .subs = subs,
};
