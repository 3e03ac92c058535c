/* SPDX-License-Identifier: Apache-2.0 */
#include "service/stream/stream_events.h"

#include "base/clock.h"
#include "base/mem.h"

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
