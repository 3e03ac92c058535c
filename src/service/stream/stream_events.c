/* SPDX-License-Identifier: Apache-2.0 */
#include "service/stream/stream_events.h"

#include "base/clock.h"
#include "base/mem.h"
#include "service/access/access.h"

#include <string.h>

static const char *const types[STREAM_EVENT_N] = {
    [STREAM_EVENT_PUBLISHED] = "stream.published",
    [STREAM_EVENT_READY] = "stream.ready",
    [STREAM_EVENT_LOST] = "stream.lost",
    [STREAM_EVENT_ENDED] = "stream.ended",
    [STREAM_EVENT_READER_JOINED] = "reader.joined",
    [STREAM_EVENT_READER_LEFT] = "reader.left",
};

static void on_event(void *user, enum stream_event event, const char *path, const char *session_id,
                     const char *reason)
{
    _cleanup_free_ char *resource = mem_printf("streams/%s", path);
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    json_object_begin(&j);
    json_put_str(&j, "path", path);
    if (session_id && *session_id) {
        json_put_str(&j, "session", session_id);
    }
    if (reason && *reason) {
        json_put_str(&j, "reason", reason);
    }
    json_object_end(&j);
    events_emit(user, clock_wall_ns(), types[event], resource, out_str(&o));
}

void stream_events_start(struct engine *e, struct events *feed)
{
    engine_set_event_fn(e, on_event, feed);
}

const char *stream_event_path(const char *resource)
{
    return strncmp(resource, "streams/", 8) == 0 ? resource + 8 : NULL;
}

static bool any_matches(char *const *patterns, size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++) {
        if (access_pattern_match(patterns[i], text)) {
            return true;
        }
    }
    return false;
}

/* Who names no derived streams means their parents: a program for each "live/..." is not for "live/x~opus" as well. */
static bool any_names(char *const *patterns, size_t n, const char *path)
{
    bool derived = strchr(path, '~') != NULL;
    for (size_t i = 0; i < n; i++) {
        if ((!derived || strchr(patterns[i], '~')) && access_pattern_match(patterns[i], path)) {
            return true;
        }
    }
    return n == 0 && !derived;
}

bool stream_event_matches(const struct event *e, char *const *events, size_t n_events,
                          char *const *paths, size_t n_paths)
{
    const char *path = stream_event_path(e->resource);
    return any_matches(events, n_events, e->type) &&
           (path ? any_names(paths, n_paths, path) : n_paths == 0);
}
