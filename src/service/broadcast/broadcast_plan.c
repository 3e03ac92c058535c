/* SPDX-License-Identifier: Apache-2.0 */
/* Which steps a request takes, in their order: the one place that knows. */
#include "base/mem.h"
#include "service/broadcast/broadcast_private.h"

#include <errno.h>

static bool has_room(const struct broadcast_request *q)
{
    return q->room_id.kind != MODEL_ID_NONE;
}

int broadcast_plan(struct broadcast *b, struct error *err)
{
    const struct broadcast_request *q = &b->record.result.request;
    struct runner *r = &b->runner;
    const struct janus_server_config *server;
    int x = janus_servers_find(b->service->config.janus, q->janus, &server, err);
    if (x < 0) {
        return x;
    }
    if (has_room(q)) {
        (void)runner_add(r, &step_room);
    }
    if (q->mountpoint_spec) {
        (void)runner_add(r, &step_mountpoint);
    }
    switch (q->source_kind) {
    case BROADCAST_VIDEOROOM:
    case BROADCAST_BROWSER_WEBRTC:
        (void)runner_add(r, &step_publisher);
        (void)runner_add(r, &step_forward);
        break;
    case BROADCAST_FRONTEND_OWNED:
        break;
    default:
        return error_set(err, -EINVAL, "source_kind", "is not known");
    }
    return 0;
}
