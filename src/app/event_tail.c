/* SPDX-License-Identifier: Apache-2.0 */
#include "app/event_tail.h"

#include "base/mem.h"
#include "base/model.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES (256u << 10) /* an event is far smaller */
#define RETRY_S        1

static const struct model_field event_fields[] = {
    MODEL_STRING(struct event_view, time),
    MODEL_STRING(struct event_view, type),
    MODEL_STRING(struct event_view, resource),
    MODEL_RAW(struct event_view, data),
};
const struct model event_view_model =
    MODEL("Event", struct event_view, event_fields, .unknown = MODEL_IGNORE);

struct tail {
    const struct event_tail *t;
    bool connected; /* once at least */
    bool waiting;   /* for the server to come back */
    bool special;   /* the frame has an event name: start or reset */
    bool ended;     /* all that was asked for has come */
    char last_id[128];
    struct out line;
};

static bool is_wanted(const struct tail *s, const char *json)
{
    struct event_view v;
    if (!s->t->resource) {
        return true;
    }
    if (model_parse_json(&event_view_model, &v, BYTES_STR(json), NULL, NULL) < 0) {
        return false;
    }
    bool wanted = v.resource && strcmp(v.resource, s->t->resource) == 0;
    model_done(&event_view_model, &v);
    return wanted;
}

/* One line of the stream (WHATWG HTML 9.2.6); our server writes each field once and data as one line. */
static void take_line(struct tail *s, const char *line)
{
    s->connected = true;
    s->waiting = false;
    if (*line == '\0') {
        s->special = false;
    } else if (strncmp(line, "id: ", 4) == 0) {
        snprintf(s->last_id, sizeof(s->last_id), "%s", line + 4);
    } else if (strcmp(line, "event: reset") == 0) {
        s->special = true;
        fputs("mast: some events were missed\n", stderr);
    } else if (strncmp(line, "event: ", 7) == 0) {
        s->special = true;
        s->ended = !s->t->follow;
    } else if (strncmp(line, "data: ", 6) == 0 && !s->special && is_wanted(s, line + 6)) {
        s->t->print(line + 6);
        fflush(stdout);
    }
}

static bool on_data(void *user, struct bytes data)
{
    struct tail *s = user;
    for (size_t i = 0; i < data.len && !s->ended; i++) {
        if (data.data[i] != '\n') {
            out_u8(&s->line, data.data[i]);
            continue;
        }
        take_line(s, out_str(&s->line));
        s->line.len = 0;
    }
    return !s->ended && s->line.len <= LINE_MAX_BYTES;
}

int event_tail(const struct event_tail *t)
{
    struct tail s = {.t = t};
    const char *target = t->kept ? "/api/v1/events?kept=true" : "/api/v1/events";
    for (;;) {
        _cleanup_free_ char *header =
            s.last_id[0] ? mem_printf("Last-Event-ID: %s", s.last_id) : NULL;
        s.line.len = 0;
        enum api_result r = api_stream(&t->call, target, header, s.connected, on_data, &s);
        if (s.ended || r == API_REFUSED || !s.connected) {
            out_done(&s.line);
            return s.ended ? 0 : 1;
        }
        if (!s.waiting) {
            fputs("mast: the connection ended, connecting again\n", stderr);
        }
        s.waiting = true;
        sleep(RETRY_S); /* NOLINT(concurrency-mt-unsafe): commands have one thread */
    }
}
