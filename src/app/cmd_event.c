/* SPDX-License-Identifier: Apache-2.0 */
/* `mast event tail`: what happens on a running server, line by line, over restarts of it. */
#include "app/command.h"
#include "app/event_tail.h"
#include "base/model.h"

#include <stdio.h>

static void print_json(const char *json)
{
    puts(json);
}

static void print_event(const char *json)
{
    struct event_view v;
    if (api_parse(&event_view_model, &v, BYTES_STR(json), NULL) >= 0) {
        printf("%s  %-18s %-32s %s\n", v.time ? v.time : "", v.type ? v.type : "",
               v.resource ? v.resource : "", v.data ? v.data : "");
        model_done(&event_view_model, &v);
    }
}

static int run_tail(const struct args *a)
{
    const struct event_tail t = {
        .call = api_call_options(a),
        .follow = true,
        .print = args_flag(a, "--json") ? print_json : print_event,
    };
    return event_tail(&t);
}

static const struct command_option options[] = {
    COMMAND_SERVER,
    COMMAND_JSON,
    {.name = NULL},
};

static const struct command subs[] = {
    {.name = "tail", .summary = "Prints events from now on, until it is ended", .run = run_tail},
    {.name = NULL},
};

const struct command command_event = {
    .name = "event",
    .summary = "Shows what happens on a running server, as it happens",
    .about =
        "Streams that come and go, readers that join and leave, reloads. When the server is started anew or the connection "
        "breaks, it connects again and goes on with what came in between, as far as the server still knows it.",
    .options = options,
    .subs = subs,
};
