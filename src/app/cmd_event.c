/* SPDX-License-Identifier: Apache-2.0 */
/* `mast event tail`: what happens on a running server, line by line, over restarts of it. */
#include "app/api_call.h"
#include "app/command.h"
#include "base/mem.h"
#include "base/model.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES (256u << 10) /* an event is far smaller */
#define RETRY_S        1

struct event_view {
    char *time;
    char *type;
    char *resource;
    char *data;
};

static const struct model_field event_fields[] = {
    MODEL_STRING(struct event_view, time),
    MODEL_STRING(struct event_view, type),
    MODEL_STRING(struct event_view, resource),
    MODEL_RAW(struct event_view, data),
};
static const struct model event_model =
    MODEL("Event", struct event_view, event_fields, .unknown = MODEL_IGNORE);

struct tail {
    bool as_json;
    bool connected; /* once at least */
    bool waiting;   /* for the server to come back */
    bool special;   /* the frame has an event name: start or reset */
    char last_id[128];
    struct out line;
};

static void print_event(struct tail *t, const char *json)
{
    struct event_view v;
    if (t->as_json) {
        puts(json);
    } else if (model_parse_json(&event_model, &v, BYTES_STR(json), NULL, NULL) >= 0) {
        printf("%s  %-18s %-32s %s\n", v.time ? v.time : "", v.type ? v.type : "",
               v.resource ? v.resource : "", v.data ? v.data : "");
        model_done(&event_model, &v);
    }
    fflush(stdout);
}

/* One line of the stream (WHATWG HTML 9.2.6); our server writes each field once and data as one line. */
static void take_line(struct tail *t, const char *line)
{
    t->connected = true;
    t->waiting = false;
    if (*line == '\0') {
        t->special = false;
    } else if (strncmp(line, "id: ", 4) == 0) {
        snprintf(t->last_id, sizeof(t->last_id), "%s", line + 4);
    } else if (strcmp(line, "event: reset") == 0) {
        t->special = true;
        fputs("mast: some events were missed\n", stderr);
    } else if (strncmp(line, "event: ", 7) == 0) {
        t->special = true;
    } else if (strncmp(line, "data: ", 6) == 0 && !t->special) {
        print_event(t, line + 6);
    }
}

static bool on_data(void *user, struct bytes data)
{
    struct tail *t = user;
    for (size_t i = 0; i < data.len; i++) {
        if (data.data[i] != '\n') {
            out_u8(&t->line, data.data[i]);
            continue;
        }
        take_line(t, out_str(&t->line));
        t->line.len = 0;
    }
    return t->line.len <= LINE_MAX_BYTES;
}

static int tail(const struct api_call *call, bool as_json)
{
    struct tail t = {.as_json = as_json};
    for (;;) {
        _cleanup_free_ char *header =
            t.last_id[0] ? mem_printf("Last-Event-ID: %s", t.last_id) : NULL;
        t.line.len = 0;
        enum api_result r = api_stream(call, "/api/v1/events", header, t.connected, on_data, &t);
        if (r == API_REFUSED || !t.connected) {
            out_done(&t.line);
            return 1;
        }
        if (!t.waiting) {
            fputs("mast: the connection ended, connecting again\n", stderr);
        }
        t.waiting = true;
        sleep(RETRY_S); /* NOLINT(concurrency-mt-unsafe): commands have one thread */
    }
}

static int run_tail(const struct args *a)
{
    struct api_call call = api_call_options(a);
    return tail(&call, args_flag(a, "--json"));
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
