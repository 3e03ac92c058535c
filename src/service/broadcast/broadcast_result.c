/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of endpoints and of the result. */
#include "service/broadcast/broadcast_models.h"

#include "base/mem.h"

#include <string.h>

#define TEXT_MAX     1024
#define TRACKS_MAX   32
#define STEPS_MAX    64
#define WARNINGS_MAX 32
#define SSRC_MAX     4294967295
#define ANY_PORT     .max = 65535
/* What is there is written, what peers and newer versions add is passed over. */
#define TOLD(T) .unknown = MODEL_IGNORE, .present_at = MODEL_PRESENT(struct T, present)

static const struct model_field endpoint_fields[] = {
    MODEL_ENUM(struct endpoint, kind, janus_media_names, .aliases = "type", .required = true),
    MODEL_STRING(struct endpoint, host, .max = 255),
    MODEL_INT(struct endpoint, port, ANY_PORT, .required = true),
    MODEL_INT(struct endpoint, rtcp_port, ANY_PORT),
    MODEL_INT(struct endpoint, port_2, ANY_PORT),
    MODEL_INT(struct endpoint, port_3, ANY_PORT),
    MODEL_STRING(struct endpoint, codec, .max = 31, .lower = true),
    MODEL_INT(struct endpoint, pt, .aliases = "payload_type", .max = 127),
    MODEL_INT(struct endpoint, ssrc, .max = SSRC_MAX),
    MODEL_INT(struct endpoint, mindex, .max = 255),
    MODEL_STRING(struct endpoint, mid, .max = 63),
};
const struct model endpoint_model =
    MODEL("Endpoint", struct endpoint, endpoint_fields, TOLD(endpoint));
static const struct model_field endpoint_list_fields[] = {
    MODEL_LIST_STRUCT(struct endpoint_list, items, &endpoint_model, .max = TRACKS_MAX),
};
const struct model endpoint_list_model =
    MODEL("EndpointList", struct endpoint_list, endpoint_list_fields);

const struct model_enum broadcast_state_names[] = {
    {"starting", BROADCAST_STARTING}, {"running", BROADCAST_RUNNING},
    {"degraded", BROADCAST_DEGRADED}, {"restarting", BROADCAST_RESTARTING},
    {"stopping", BROADCAST_STOPPING}, {"stopped", BROADCAST_STOPPED},
    {"failed", BROADCAST_FAILED},     {0}};
const struct model_enum broadcast_step_state_names[] = {{"waiting", BROADCAST_STEP_WAITING},
                                                        {"starting", BROADCAST_STEP_STARTING},
                                                        {"done", BROADCAST_STEP_DONE},
                                                        {"failed", BROADCAST_STEP_FAILED},
                                                        {"undoing", BROADCAST_STEP_UNDOING},
                                                        {"undone", BROADCAST_STEP_UNDONE},
                                                        {"kept", BROADCAST_STEP_KEPT},
                                                        {"debt", BROADCAST_STEP_DEBT},
                                                        {0}};

static const struct model_field step_fields[] = {
    MODEL_STRING(struct broadcast_step_view, name, .required = true, .max = 63),
    MODEL_STRING(struct broadcast_step_view, describe, .max = TEXT_MAX),
    MODEL_STRING(struct broadcast_step_view, peer, .max = 255),
    MODEL_ENUM(struct broadcast_step_view, state, broadcast_step_state_names, .required = true),
    MODEL_STRING(struct broadcast_step_view, error, .max = TEXT_MAX),
    MODEL_TIME(struct broadcast_step_view, started_at),
    MODEL_TIME(struct broadcast_step_view, ended_at),
};
const struct model broadcast_step_view_model =
    MODEL("BroadcastStep", struct broadcast_step_view, step_fields, .unknown = MODEL_IGNORE);

static const struct model_field kept_fields[] = {
    MODEL_STRING(struct broadcast_kept, kind, .required = true, .max = 63),
    MODEL_ID(struct broadcast_kept, id, .max = 255),
    MODEL_STRING(struct broadcast_kept, peer, .max = 255),
    MODEL_STRING(struct broadcast_kept, why, .max = TEXT_MAX),
};
static const struct model kept_model =
    MODEL("BroadcastKept", struct broadcast_kept, kept_fields, .unknown = MODEL_IGNORE);

#define RAW_REPLY(T)                                                                               \
    MODEL_RAW(struct T, raw, .max = BROADCAST_REPLY_MAX,                                           \
              .doc = "What Janus said, secrets redacted.")

static const struct model_field room_response_fields[] = {
    MODEL_BOOL(struct broadcast_room_response, exists, .doc = "It was there before."),
    MODEL_ID(struct broadcast_room_response, room, .max = 255),
    MODEL_STRING(struct broadcast_room_response, description, .max = TEXT_MAX),
    MODEL_BOOL(struct broadcast_room_response, permanent),
    RAW_REPLY(broadcast_room_response),
};
const struct model broadcast_room_response_model =
    MODEL("BroadcastRoomResponse", struct broadcast_room_response, room_response_fields,
          TOLD(broadcast_room_response));

static const struct model_field mountpoint_response_fields[] = {
    MODEL_BOOL(struct broadcast_mountpoint_response, exists, .doc = "It was there before."),
    MODEL_ID(struct broadcast_mountpoint_response, id, .max = 255),
    MODEL_STRING(struct broadcast_mountpoint_response, name, .max = TEXT_MAX),
    MODEL_STRING(struct broadcast_mountpoint_response, description, .max = TEXT_MAX),
    MODEL_BOOL(struct broadcast_mountpoint_response, enabled),
    MODEL_BOOL(struct broadcast_mountpoint_response, permanent),
    MODEL_LIST_STRUCT(struct broadcast_mountpoint_response, ports, &endpoint_model,
                      .max = TRACKS_MAX),
    RAW_REPLY(broadcast_mountpoint_response),
};
const struct model broadcast_mountpoint_response_model =
    MODEL("BroadcastMountpointResponse", struct broadcast_mountpoint_response,
          mountpoint_response_fields, TOLD(broadcast_mountpoint_response));

static const struct model_field forwarder_fields[] = {
    MODEL_INT(struct broadcast_forwarder, stream_id, .required = true),
    MODEL_ENUM(struct broadcast_forwarder, type, janus_media_names, .required = true),
    MODEL_STRING(struct broadcast_forwarder, host, .max = 255),
    MODEL_INT(struct broadcast_forwarder, port, .required = true, ANY_PORT),
    MODEL_INT(struct broadcast_forwarder, pt, .max = 127),
    MODEL_INT(struct broadcast_forwarder, substream, .max = 7),
};
const struct model broadcast_forwarder_model = MODEL(
    "BroadcastForwarder", struct broadcast_forwarder, forwarder_fields, TOLD(broadcast_forwarder));
static const struct model_field forward_response_fields[] = {
    MODEL_ID(struct broadcast_forward_response, room, .max = 255),
    MODEL_ID(struct broadcast_forward_response, publisher_id, .max = 255),
    MODEL_STRING(struct broadcast_forward_response, publisher_display, .max = TEXT_MAX),
    MODEL_LIST_STRUCT(struct broadcast_forward_response, forwarders, &broadcast_forwarder_model,
                      .max = 4 * TRACKS_MAX),
    RAW_REPLY(broadcast_forward_response),
};
const struct model broadcast_forward_response_model =
    MODEL("BroadcastForwardResponse", struct broadcast_forward_response, forward_response_fields,
          .unknown = MODEL_IGNORE);

static const struct model_field relay_info_fields[] = {
    MODEL_ENUM(struct broadcast_relay_info, kind, broadcast_relay_names, .required = true),
    MODEL_STRING(struct broadcast_relay_info, why, .max = TEXT_MAX,
                 .doc = "Why it is this relay, when another one was asked for."),
    MODEL_STRING(struct broadcast_relay_info, state, .max = 63),
    MODEL_INT(struct broadcast_relay_info, pid),
    MODEL_INT(struct broadcast_relay_info, restarts),
    MODEL_BOOL(struct broadcast_relay_info, secret_visible,
               .doc = "Who may see the process sees a secret."),
    MODEL_INT(struct broadcast_relay_info, packets, .doc = "Sent by relay builtin."),
    MODEL_INT(struct broadcast_relay_info, b_dropped,
              .doc = "B pictures that relay builtin left out."),
    MODEL_STRING(struct broadcast_relay_info, last_error, .max = TEXT_MAX),
    MODEL_LIST_STRUCT(struct broadcast_relay_info, endpoints, &endpoint_model, .max = TRACKS_MAX),
};
const struct model broadcast_relay_info_model =
    MODEL("BroadcastRelayInfo", struct broadcast_relay_info, relay_info_fields,
          TOLD(broadcast_relay_info));

static const struct model_field srs_info_fields[] = {
    MODEL_STRING(struct broadcast_srs_info, rtmp_url, .secret = MODEL_SECRET_SEALED,
                 .mask = MODEL_MASK_URL),
    MODEL_STRING(struct broadcast_srs_info, app, .max = TEXT_MAX),
    MODEL_STRING(struct broadcast_srs_info, publish_url, .mask = MODEL_MASK_URL,
                 .doc = "Without the stream key."),
    MODEL_STRING(struct broadcast_srs_info, path, .max = 255,
                 .doc = "The stream here that it becomes."),
    MODEL_STRING(struct broadcast_srs_info, obs_output, .max = 63),
    MODEL_BOOL(struct broadcast_srs_info, builtin, .doc = "Our own ingest, no other server."),
};
const struct model broadcast_srs_info_model =
    MODEL("BroadcastSrsInfo", struct broadcast_srs_info, srs_info_fields, .unknown = MODEL_IGNORE);

static const struct model_field queue_info_fields[] = {
    MODEL_ENUM(struct broadcast_queue_info, queue_kind, broadcast_queue_names, .required = true),
    MODEL_STRING(struct broadcast_queue_info, queue, .max = 255),
    MODEL_STRING(struct broadcast_queue_info, job_id, .max = 255),
    MODEL_STRING(struct broadcast_queue_info, consumer, .max = 255),
    MODEL_INT(struct broadcast_queue_info, attempt),
};
const struct model broadcast_queue_info_model = MODEL(
    "BroadcastQueueInfo", struct broadcast_queue_info, queue_info_fields, .unknown = MODEL_IGNORE);

static const struct model_field join_fields[] = {
    MODEL_STRING(struct broadcast_join, janus, .max = 63),
    MODEL_STRING(struct broadcast_join, janus_url, .mask = MODEL_MASK_URL),
    MODEL_ID(struct broadcast_join, room, .max = 255),
    MODEL_ID(struct broadcast_join, publisher_id, .max = 255),
    MODEL_STRING(struct broadcast_join, display, .max = TEXT_MAX),
    MODEL_BOOL(struct broadcast_join, pin_required),
    MODEL_STRING(struct broadcast_join, publish_url, .mask = MODEL_MASK_URL),
    MODEL_ID(struct broadcast_join, mountpoint, .max = 255),
    MODEL_BOOL(struct broadcast_join, mountpoint_pin_required),
};
const struct model broadcast_join_model =
    MODEL("BroadcastJoin", struct broadcast_join, join_fields, .unknown = MODEL_IGNORE,
          .doc = "How a publisher comes in, and what viewers watch.");

static const struct model_field media_health_fields[] = {
    MODEL_STRING(struct broadcast_media_health, mid, .required = true, .max = 63),
    MODEL_ENUM(struct broadcast_media_health, type, janus_media_names, .required = true),
    MODEL_INT(struct broadcast_media_health, age_ms, .doc = "Since the last packet."),
};
const struct model broadcast_media_health_model =
    MODEL("BroadcastMediaHealth", struct broadcast_media_health, media_health_fields,
          TOLD(broadcast_media_health));
static const struct model_field health_fields[] = {
    MODEL_BOOL(struct broadcast_health, healthy, .required = true),
    MODEL_STRING(struct broadcast_health, reason, .max = TEXT_MAX),
    MODEL_TIME(struct broadcast_health, checked_at),
    MODEL_BOOL(struct broadcast_health, session, .doc = "With Janus."),
    MODEL_INT(struct broadcast_health, viewers),
    MODEL_INT(struct broadcast_health, forwarders),
    MODEL_INT(struct broadcast_health, forwarders_expected),
    MODEL_LIST_STRUCT(struct broadcast_health, media, &broadcast_media_health_model,
                      .max = TRACKS_MAX),
    MODEL_BOOL(struct broadcast_health, publisher, .doc = "It is there."),
    MODEL_STRING(struct broadcast_health, relay, .max = 63),
    MODEL_DOUBLE(struct broadcast_health, relay_speed, .doc = "1 is real time."),
    MODEL_STRING(struct broadcast_health, obs, .max = 63),
    MODEL_BOOL(struct broadcast_health, stream, .doc = "The stream here is live."),
};
const struct model broadcast_health_model =
    MODEL("BroadcastHealth", struct broadcast_health, health_fields, TOLD(broadcast_health));

#define R struct broadcast_result
static const struct model_field result_fields[] = {
    MODEL_STRING(R, broadcast_id, .required = true, .max = 64),
    MODEL_ENUM(R, state, broadcast_state_names, .required = true),
    MODEL_STRING(R, reason, .max = TEXT_MAX),
    MODEL_STRUCT(R, request, &broadcast_request_model),
    MODEL_OPT(R, room_response, &broadcast_room_response_model),
    MODEL_OPT(R, mountpoint_response, &broadcast_mountpoint_response_model),
    MODEL_OPT(R, forward_response, &broadcast_forward_response_model),
    MODEL_OPT(R, relay_info, &broadcast_relay_info_model),
    MODEL_OPT(R, srs_info, &broadcast_srs_info_model),
    MODEL_OPT(R, queue_info, &broadcast_queue_info_model),
    MODEL_OPT(R, health, &broadcast_health_model),
    MODEL_OPT(R, join, &broadcast_join_model),
    MODEL_STRING(R, note, .max = TEXT_MAX),
    MODEL_LIST_STRING(R, warnings, .max = WARNINGS_MAX),
    MODEL_LIST_STRUCT(R, steps, &broadcast_step_view_model, .max = STEPS_MAX),
    MODEL_LIST_STRUCT(R, kept, &kept_model, .max = STEPS_MAX),
    MODEL_TIME(R, created_at),
    MODEL_TIME(R, started_at, .doc = "When it ran for the first time."),
    MODEL_TIME(R, changed_at, .doc = "Of its state."),
    MODEL_TIME(R, ended_at),
    MODEL_INT(R, restarts),
};
#undef R
const struct model broadcast_result_model =
    MODEL("BroadcastResult", struct broadcast_result, result_fields, .unknown = MODEL_IGNORE);
static const struct model_field result_list_fields[] = {
    MODEL_LIST_STRUCT(struct broadcast_result_list, items, &broadcast_result_model),
    MODEL_STRING(struct broadcast_result_list, next,
                 .doc = "There are more: `after` for the next page."),
};
const struct model broadcast_result_list_model =
    MODEL("BroadcastResultList", struct broadcast_result_list, result_list_fields,
          .unknown = MODEL_IGNORE);

void broadcast_result_add_warning(struct broadcast_result *r, const char *text)
{
    for (size_t i = 0; i < r->warnings.len; i++) {
        if (strcmp(r->warnings.items[i], text) == 0) {
            return;
        }
    }
    if (r->warnings.len == WARNINGS_MAX) {
        return;
    }
    r->warnings.items =
        mem_realloc(r->warnings.items, (r->warnings.len + 1) * sizeof(*r->warnings.items));
    r->warnings.items[r->warnings.len++] = mem_strdup(text);
}

void broadcast_result_drop_warning(struct broadcast_result *r, const char *text)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->warnings.len; i++) {
        if (strcmp(r->warnings.items[i], text) == 0) {
            free(r->warnings.items[i]);
        } else {
            r->warnings.items[kept++] = r->warnings.items[i];
        }
    }
    r->warnings.len = kept;
}

void broadcast_result_keep(struct broadcast_result *r, const char *kind, const struct model_id *id,
                           const char *peer, const char *why)
{
    for (size_t i = 0; i < r->kept.len; i++) {
        if (strcmp(r->kept.items[i].kind, kind) == 0) {
            return;
        }
    }
    r->kept.items = mem_realloc(r->kept.items, (r->kept.len + 1) * sizeof(*r->kept.items));
    struct broadcast_kept *k = &r->kept.items[r->kept.len++];
    *k = (struct broadcast_kept){
        .kind = mem_strdup(kind), .peer = peer ? mem_strdup(peer) : NULL, .why = mem_strdup(why)};
    model_id_copy(&k->id, id);
}

void broadcast_result_warn(struct broadcast_result *r)
{
    for (unsigned w = 0; w < BROADCAST_WARN_N; w++) {
        if (r->request.warnings & (1u << w)) {
            broadcast_result_add_warning(r, broadcast_warning_text(w));
        }
    }
}
