/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the faces of broadcasts show beside a broadcast itself: a plan, and Janus servers as they are seen from here. Models
 * for the routes that write them and the commands that read them. Plain values, any thread.
 */
#include "service/broadcast/broadcast_models.h"

struct broadcast_plan_step {
    char *name, *peer, *describe;
};
struct broadcast_plan_view {
    enum broadcast_source source_kind;
    enum broadcast_relay relay_kind;
    MODEL_ARRAY(struct broadcast_plan_step) steps;
    MODEL_ARRAY(char *) warnings;
};
extern const struct model broadcast_plan_model;

struct janus_server_view {
    char *name, *url, *public_url;
    char *state;  /* "idle": no broadcast needed it yet; else "connecting", "up", "waiting" */
    char *reason; /* why it cannot be used now; NULL: it can, or nobody asked it to */
    char *version, *server_name;
    uint32_t broadcasts; /* that have not ended */
};
struct janus_server_view_list {
    MODEL_ARRAY(struct janus_server_view) items;
};
extern const struct model janus_server_view_model;
extern const struct model janus_server_view_list_model;

struct janus_track_view {
    char *mid;
    enum janus_media type;
    char *codec;
    int64_t age_ms;
    struct model_present present;
};
extern const struct model janus_track_view_model;
struct janus_mountpoint_view {
    struct model_id id;
    char *description;
    bool enabled;
    MODEL_ARRAY(struct janus_track_view) media;
    char *broadcast; /* the one that its marker names, or that uses it */
    bool ours;       /* which is one of this server's */
};
struct janus_mountpoint_view_list {
    MODEL_ARRAY(struct janus_mountpoint_view) items;
};
extern const struct model janus_mountpoint_view_model;
extern const struct model janus_mountpoint_view_list_model;

struct janus_participant_view {
    struct model_id id;
    char *display;
    bool publisher;
};
struct janus_forwarder_view {
    struct model_id publisher_id;
    int64_t stream_id;
    enum janus_media type;
    char *host;
    int64_t port;
    char *broadcast;
};
struct janus_room_view {
    struct model_id room;
    char *description;
    bool pin_required;
    int64_t participants_now, publishers_max;
    char *audiocodec, *videocodec;
    MODEL_ARRAY(char *) broadcasts; /* of this server, that use it */
    /* Of one room only. */
    MODEL_ARRAY(struct janus_participant_view) participants;
    MODEL_ARRAY(struct janus_forwarder_view) forwarders;
    char *forwarders_hidden; /* why Janus does not tell them: the room's secret is not known here */
};
struct janus_room_view_list {
    MODEL_ARRAY(struct janus_room_view) items;
};
extern const struct model janus_room_view_model;
extern const struct model janus_room_view_list_model;
