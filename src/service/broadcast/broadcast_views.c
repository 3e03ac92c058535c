/* SPDX-License-Identifier: Apache-2.0 */
#include "service/broadcast/broadcast_views.h"

#define TEXT_MAX 65536
/* The commands read what a newer server wrote. */
#define TOLD .unknown = MODEL_IGNORE

static const struct model_field plan_step_fields[] = {
    MODEL_STRING(struct broadcast_plan_step, name, .required = true),
    MODEL_STRING(struct broadcast_plan_step, peer, .doc = "Whom it talks to."),
    MODEL_STRING(struct broadcast_plan_step, describe, .max = TEXT_MAX,
                 .doc = "What it will do, in a sentence."),
};
static const struct model plan_step_model =
    MODEL("BroadcastPlanStep", struct broadcast_plan_step, plan_step_fields, TOLD);
static const struct model_field plan_fields[] = {
    MODEL_ENUM(struct broadcast_plan_view, source_kind, broadcast_source_names, .required = true),
    MODEL_ENUM(struct broadcast_plan_view, relay_kind, broadcast_relay_names, .required = true),
    MODEL_LIST_STRUCT(struct broadcast_plan_view, steps, &plan_step_model,
                      .doc = "In the order in which they run; a stop undoes them from the end."),
    MODEL_LIST_STRING(struct broadcast_plan_view, warnings),
};
const struct model broadcast_plan_model =
    MODEL("BroadcastPlan", struct broadcast_plan_view, plan_fields, TOLD);

/* ---- Janus ---- */

static const struct model_field server_fields[] = {
    MODEL_STRING(struct janus_server_view, name, .required = true),
    MODEL_STRING(struct janus_server_view, url, .required = true, .mask = MODEL_MASK_URL),
    MODEL_STRING(struct janus_server_view, public_url, .doc = "What browsers are told."),
    MODEL_STRING(struct janus_server_view, state, .required = true,
                 .doc = "`idle` (not needed yet), `connecting`, `up` or `waiting`."),
    MODEL_STRING(struct janus_server_view, reason, .max = TEXT_MAX,
                 .doc = "Why it cannot be used now."),
    MODEL_STRING(struct janus_server_view, version),
    MODEL_STRING(struct janus_server_view, server_name, .doc = "What it calls itself."),
    MODEL_INT(struct janus_server_view, broadcasts, .doc = "Of this server, that have not ended."),
};
const struct model janus_server_view_model =
    MODEL("JanusServerView", struct janus_server_view, server_fields, TOLD);
static const struct model_field server_list_fields[] = {
    MODEL_LIST_STRUCT(struct janus_server_view_list, items, &janus_server_view_model),
};
const struct model janus_server_view_list_model =
    MODEL("JanusServerList", struct janus_server_view_list, server_list_fields, TOLD);

static const struct model_field track_fields[] = {
    MODEL_STRING(struct janus_track_view, mid),
    MODEL_ENUM(struct janus_track_view, type, janus_media_names, .required = true),
    MODEL_STRING(struct janus_track_view, codec),
    MODEL_INT(struct janus_track_view, age_ms, .doc = "Since its last packet."),
};
const struct model janus_track_view_model =
    MODEL("JanusTrackView", struct janus_track_view, track_fields, TOLD,
          .present_at = MODEL_PRESENT(struct janus_track_view, present));
static const struct model_field mountpoint_fields[] = {
    MODEL_ID(struct janus_mountpoint_view, id, .required = true),
    MODEL_STRING(struct janus_mountpoint_view, description, .max = TEXT_MAX),
    MODEL_BOOL(struct janus_mountpoint_view, enabled),
    MODEL_LIST_STRUCT(struct janus_mountpoint_view, media, &janus_track_view_model),
    MODEL_STRING(struct janus_mountpoint_view, broadcast, .max = TEXT_MAX,
                 .doc = "The broadcast that its marker names, or that uses it."),
    MODEL_BOOL(struct janus_mountpoint_view, ours, .doc = "It is a broadcast of this server."),
};
const struct model janus_mountpoint_view_model =
    MODEL("JanusMountpointView", struct janus_mountpoint_view, mountpoint_fields, TOLD);
static const struct model_field mountpoint_list_fields[] = {
    MODEL_LIST_STRUCT(struct janus_mountpoint_view_list, items, &janus_mountpoint_view_model,
                      .max = 10000),
};
const struct model janus_mountpoint_view_list_model =
    MODEL("JanusMountpointList", struct janus_mountpoint_view_list, mountpoint_list_fields, TOLD);

static const struct model_field participant_fields[] = {
    MODEL_ID(struct janus_participant_view, id, .required = true),
    MODEL_STRING(struct janus_participant_view, display, .max = TEXT_MAX),
    MODEL_BOOL(struct janus_participant_view, publisher, .doc = "It sends media."),
};
static const struct model participant_model =
    MODEL("JanusParticipantView", struct janus_participant_view, participant_fields, TOLD);
static const struct model_field forwarder_fields[] = {
    MODEL_ID(struct janus_forwarder_view, publisher_id, .required = true),
    MODEL_INT(struct janus_forwarder_view, stream_id, .required = true),
    MODEL_ENUM(struct janus_forwarder_view, type, janus_media_names, .required = true),
    MODEL_STRING(struct janus_forwarder_view, host),
    MODEL_INT(struct janus_forwarder_view, port),
    MODEL_STRING(struct janus_forwarder_view, broadcast, .doc = "The broadcast that made it."),
};
static const struct model forwarder_model =
    MODEL("JanusForwarderView", struct janus_forwarder_view, forwarder_fields, TOLD);
static const struct model_field room_fields[] = {
    MODEL_ID(struct janus_room_view, room, .required = true),
    MODEL_STRING(struct janus_room_view, description, .max = TEXT_MAX),
    MODEL_BOOL(struct janus_room_view, pin_required),
    MODEL_INT(struct janus_room_view, participants_now, .key = "num_participants"),
    MODEL_INT(struct janus_room_view, publishers_max, .key = "max_publishers"),
    MODEL_STRING(struct janus_room_view, audiocodec),
    MODEL_STRING(struct janus_room_view, videocodec),
    MODEL_LIST_STRING(struct janus_room_view, broadcasts, .max = 10000,
                      .doc = "Broadcasts of this server that use it."),
    MODEL_LIST_STRUCT(struct janus_room_view, participants, &participant_model, .max = 10000,
                      .doc = "When one room is asked for."),
    MODEL_LIST_STRUCT(struct janus_room_view, forwarders, &forwarder_model, .max = 10000,
                      .doc = "When one room is asked for."),
    MODEL_STRING(
        struct janus_room_view, forwarders_hidden, .max = TEXT_MAX,
        .doc = "Why Janus does not tell its forwarders: the room's secret is not known here."),
};
const struct model janus_room_view_model =
    MODEL("JanusRoomView", struct janus_room_view, room_fields, TOLD);
static const struct model_field room_list_fields[] = {
    MODEL_LIST_STRUCT(struct janus_room_view_list, items, &janus_room_view_model, .max = 10000),
};
const struct model janus_room_view_list_model =
    MODEL("JanusRoomList", struct janus_room_view_list, room_list_fields, TOLD);
