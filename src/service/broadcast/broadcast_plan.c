/* SPDX-License-Identifier: Apache-2.0 */
/* Which steps a request takes, in their order: the one place that knows. */
#include "base/mem.h"
#include "base/random.h"
#include "service/broadcast/broadcast_private.h"

#include <errno.h>
#include <string.h>

#define ID_BITS 53 /* what Janus makes ids of */

static bool has_room(const struct broadcast_request *q)
{
    return q->room_id.kind != MODEL_ID_NONE;
}

/* A room that is described and has no id: ours, since what Janus chose could not be found again when its answer is lost. */
static void choose_room(struct broadcast *b, const struct janus_server_config *server)
{
    struct broadcast_request *q = &b->record.result.request;
    if (has_room(q) || !q->room_spec) {
        return;
    }
    if (server->string_ids) {
        q->room_id =
            (struct model_id){.kind = MODEL_ID_STR, .str = mem_printf("mast-%s", broadcast_id(b))};
    } else {
        q->room_id = (struct model_id){.kind = MODEL_ID_INT,
                                       .num = 1 + (int64_t)random_below((1ull << ID_BITS) - 1)};
    }
}

static bool has_relay(const struct broadcast_request *q)
{
    return q->source_kind == BROADCAST_OBS || q->source_kind == BROADCAST_RTMP_EXTERNAL ||
           q->source_kind == BROADCAST_RTSP_CAMERA || q->source_kind == BROADCAST_STREAM;
}

/* A front end's stream here, which nothing but the engine tells of. */
static bool has_ingest(const struct broadcast_request *q)
{
    return q->source_kind == BROADCAST_FRONTEND_OWNED && !q->mountpoint_spec && q->stream;
}

/* ---- whether it can run ---- */

static bool has_engine(const struct broadcast *b)
{
    return b->service->config.engine && b->service->config.n_loops > 0;
}

/* Nobody asked for builtin, and ffmpeg can read the source. */
static void choose_relay(struct broadcast *b)
{
    _cleanup_free_ char *url = broadcast_pull_url(b);
    if (broadcast_relay_now(b) == BROADCAST_RELAY_BUILTIN && !has_engine(b) && url &&
        !broadcast_request_relay_given(&b->record.result.request)) {
        broadcast_take_ffmpeg(b, "there is no engine here");
    }
}

static int check_builtin(const struct broadcast *b, struct error *err)
{
    const struct broadcast_request *q = &b->record.result.request;
    _cleanup_free_ char *url = broadcast_pull_url(b);
    _cleanup_free_ char *path = broadcast_stream_path(b);
    if (!has_engine(b)) {
        return error_set(err, -ENOTSUP, "relay_kind", "must not be builtin: there is no engine");
    }
    if (q->source_kind == BROADCAST_RTMP_EXTERNAL && !url && !b->service->config.ingest.rtmp) {
        return error_set(err, -ENOTSUP, "srs", "is needed: there is no RTMP server here");
    }
    if (!q->stream && stream_path_check(path, err) < 0) {
        return error_set(err, -EINVAL, "id", "makes no path of a stream: %s", path);
    }
    return 0;
}

static int check_relay(const struct broadcast *b, struct error *err)
{
    const struct broadcast_request *q = &b->record.result.request;
    struct broadcast_input in;
    if (q->source_kind == BROADCAST_OBS && !q->srs && !b->service->config.ingest.rtmp) {
        return error_set(err, -ENOTSUP, "stream", "needs the RTMP server here, which is off");
    }
    if (broadcast_relay_now(b) == BROADCAST_RELAY_BUILTIN) {
        return check_builtin(b, err);
    }
    int r = broadcast_input(b, &in, err);
    broadcast_input_done(&in);
    return r;
}

int broadcast_plan_check(struct broadcast *b, struct error *err)
{
    const struct broadcast_request *q = &b->record.result.request;
    const struct janus_server_config *server;
    if (broadcast_is_live(b) && has_relay(q)) {
        choose_relay(b);
    }
    int r = janus_servers_find(b->service->config.janus, q->janus, &server, err);
    if (r == 0 && q->mountpoint_spec) {
        _cleanup_free_ char *host = NULL;
        r = broadcast_rtp_host(b, &host, err);
    }
    if (r == 0 && has_ingest(q) && !b->service->config.engine) {
        r = error_set(err, -ENOTSUP, "stream", "must not be here: there is no engine");
    }
    return r == 0 && has_relay(q) ? check_relay(b, err) : r;
}

/* ---- its steps ---- */

static void add_relay(struct broadcast *b)
{
    if (broadcast_relay_now(b) != BROADCAST_RELAY_BUILTIN) {
        (void)runner_add(&b->runner, &step_relay);
        return;
    }
    _cleanup_free_ char *url = broadcast_pull_url(b);
    if (url) {
        (void)runner_add(&b->runner, &step_pull);
    }
    (void)runner_add(&b->runner, &step_sender);
}

/* The RTMP server here is told to OBS by an address of this machine's own. */
static void warn_of_far_obs(struct broadcast *b)
{
    const struct broadcast_request *q = &b->record.result.request;
    const char *rtmp = b->service->config.ingest.rtmp;
    bool near = strncmp(q->obs_host, "127.", 4) == 0 || strcmp(q->obs_host, "localhost") == 0 ||
                strcmp(q->obs_host, "::1") == 0;
    if (!q->srs && !near && rtmp && strstr(rtmp, "//127.")) {
        broadcast_result_add_warning(
            &b->record.result, "OBS is on another machine, and is told to publish to this one "
                               "as 127.0.0.1: without a tunnel that takes srs");
    }
}

/* Where no mountpoint tells whether media arrives, who publishes does. A server of others (srs) is not asked. */
static void add_frontend(struct broadcast *b)
{
    const struct broadcast_request *q = &b->record.result.request;
    if (has_room(q) && !q->mountpoint_spec) {
        (void)runner_add(&b->runner, &step_publisher);
    }
    if (has_ingest(q)) {
        (void)runner_add(&b->runner, &step_ingest);
    }
}

int broadcast_plan(struct broadcast *b, struct error *err)
{
    const struct broadcast_request *q = &b->record.result.request;
    struct runner *r = &b->runner;
    const struct janus_server_config *server;
    if (janus_servers_find(b->service->config.janus, q->janus, &server, NULL) == 0) {
        choose_room(b, server);
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
        add_frontend(b);
        break;
    case BROADCAST_OBS:
        /* The relay waits for what OBS will send: it is there first, so that nothing is missed. */
        broadcast_note_ingest(b);
        add_relay(b);
        warn_of_far_obs(b);
        (void)runner_add(r, &step_obs);
        break;
    case BROADCAST_RTMP_EXTERNAL:
    case BROADCAST_RTSP_CAMERA:
    case BROADCAST_STREAM:
        broadcast_note_ingest(b);
        add_relay(b);
        break;
    default:
        return error_set(err, -EINVAL, "source_kind", "is not known");
    }
    return 0;
}
