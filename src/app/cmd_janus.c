/* SPDX-License-Identifier: Apache-2.0 */
/* `mast janus ...`: the Janus servers of a running server, and what is at them. */
#include "app/api_call.h"
#include "app/command.h"
#include "base/mem.h"
#include "base/url.h"
#include "service/broadcast/broadcast_views.h"

#include <stdio.h>
#include <string.h>

/*
 * Asks "/api/v1/janus" and what follows, NAME and ROOM encoded; parses the reply into ret, or prints it (--json: *ret_printed).
 */
static int ask(const struct args *a, const char *what, const struct model *m, void *ret,
               bool *ret_printed)
{
    _cleanup_(out_done) struct out target = {0};
    _cleanup_(out_done) struct out reply = {0};
    struct api_call call = api_call_options(a);
    out_puts(&target, "/api/v1/janus");
    if (what) {
        out_u8(&target, '/');
        url_encode(&target, BYTES_STR(args_value(a, 0)), "");
        out_puts(&target, what);
    }
    if (what && args_value(a, 1)) {
        out_u8(&target, '/');
        url_encode(&target, BYTES_STR(args_value(a, 1)), "");
    }
    int r = api_call(&call, "GET", out_str(&target), NULL, &reply);
    *ret_printed = r == 0 && args_flag(a, "--json");
    if (*ret_printed) {
        puts(out_str(&reply));
        return r;
    }
    return r == 0 ? api_read(m, ret, out_view(&reply)) : r;
}

static int run_ls(const struct args *a)
{
    struct janus_server_view_list list;
    bool printed;
    int r = ask(a, NULL, &janus_server_view_list_model, &list, &printed);
    if (r != 0 || printed) {
        return r;
    }
    printf("%-16s %-11s %-8s %10s  %-32s %s\n", "NAME", "STATE", "VERSION", "BROADCASTS", "URL",
           "REASON");
    for (size_t i = 0; i < list.items.len; i++) {
        const struct janus_server_view *v = &list.items.items[i];
        printf("%-16s %-11s %-8s %10u  %-32s %s\n", v->name, v->state, v->version ? v->version : "",
               v->broadcasts, v->url, v->reason ? v->reason : "");
    }
    model_done(&janus_server_view_list_model, &list);
    return 0;
}

static int run_mountpoints(const struct args *a)
{
    struct janus_mountpoint_view_list list;
    bool printed;
    int r = ask(a, "/mountpoints", &janus_mountpoint_view_list_model, &list, &printed);
    if (r != 0 || printed) {
        return r;
    }
    printf("%-18s %-8s %-24s %-24s %s\n", "ID", "ENABLED", "MEDIA", "BROADCAST", "DESCRIPTION");
    for (size_t i = 0; i < list.items.len; i++) {
        const struct janus_mountpoint_view *v = &list.items.items[i];
        char id[MODEL_ID_TEXT_MAX];
        _cleanup_(out_done) struct out media = {0};
        for (size_t k = 0; k < v->media.len; k++) {
            const struct janus_track_view *t = &v->media.items[k];
            out_printf(&media, "%s%s", k ? "," : "",
                       t->codec ? t->codec : model_enum_name(janus_media_names, (int)t->type));
        }
        printf("%-18s %-8s %-24s %-24s %s\n", model_id_text(&v->id, id), v->enabled ? "yes" : "no",
               out_str(&media), v->broadcast ? v->broadcast : "",
               v->description ? v->description : "");
    }
    model_done(&janus_mountpoint_view_list_model, &list);
    return 0;
}

static void print_room(const struct janus_room_view *v)
{
    char id[MODEL_ID_TEXT_MAX];
    printf("room %s  %s\n", model_id_text(&v->room, id), v->description ? v->description : "");
    for (size_t i = 0; i < v->participants.len; i++) {
        const struct janus_participant_view *p = &v->participants.items[i];
        printf("  %-12s %-18s %s\n", p->publisher ? "publisher" : "participant",
               model_id_text(&p->id, id), p->display ? p->display : "");
    }
    for (size_t i = 0; i < v->forwarders.len; i++) {
        const struct janus_forwarder_view *f = &v->forwarders.items[i];
        printf("  %-12s %-18s %s to %s:%lld%s%s\n", "forward of",
               model_id_text(&f->publisher_id, id),
               model_enum_name(janus_media_names, (int)f->type), f->host ? f->host : "?",
               (long long)f->port, f->broadcast ? ", broadcast " : "",
               f->broadcast ? f->broadcast : "");
    }
    if (v->forwarders_hidden) {
        printf("  its forwards are not told: %s\n", v->forwarders_hidden);
    }
}

static int run_room(const struct args *a)
{
    struct janus_room_view v;
    bool printed;
    int r = ask(a, "/rooms", &janus_room_view_model, &v, &printed);
    if (r == 0 && !printed) {
        print_room(&v);
        model_done(&janus_room_view_model, &v);
    }
    return r;
}

static int run_rooms(const struct args *a)
{
    struct janus_room_view_list list;
    bool printed;
    if (args_value(a, 1)) {
        return run_room(a);
    }
    int r = ask(a, "/rooms", &janus_room_view_list_model, &list, &printed);
    if (r != 0 || printed) {
        return r;
    }
    printf("%-18s %12s %-14s %-14s %10s  %s\n", "ROOM", "PARTICIPANTS", "AUDIO", "VIDEO",
           "BROADCASTS", "DESCRIPTION");
    for (size_t i = 0; i < list.items.len; i++) {
        const struct janus_room_view *v = &list.items.items[i];
        char id[MODEL_ID_TEXT_MAX];
        printf("%-18s %12lld %-14s %-14s %10zu  %s\n", model_id_text(&v->room, id),
               (long long)v->participants_now, v->audiocodec ? v->audiocodec : "",
               v->videocodec ? v->videocodec : "", v->broadcasts.len,
               v->description ? v->description : "");
    }
    model_done(&janus_room_view_list_model, &list);
    return 0;
}

static const struct command_option options[] = {COMMAND_JSON, COMMAND_SERVER, {.name = NULL}};

static const struct command subs[] = {
    {.name = "ls", .summary = "Lists the servers and how they stand", .run = run_ls},
    {.name = "mountpoints",
     .args = "NAME",
     .summary = "Lists the mountpoints of a server, and whose they are",
     .run = run_mountpoints},
    {.name = "rooms",
     .args = "NAME [ROOM]",
     .summary = "Lists the rooms of a server; or one, with who is in it and what is forwarded",
     .run = run_rooms},
    {.name = NULL},
};

static const char *const examples[] = {
    "mast janus rooms main 1234",
    "who publishes there: the ids that `mast broadcast start videoroom` wants",
    NULL,
};

const struct command command_janus = {
    .name = "janus",
    .summary = "Shows the Janus servers that a running server works with, and what is at them",
    .options = options,
    .subs = subs,
    .examples = examples,
};
