/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a broadcast is asked for and what it tells of itself, with the field names of seeds 000 and 001 (BroadcastRequest,
 * BroadcastResult, SRSIngestSpec, RTSPCameraConfig, Endpoint; Track, MountPoint, RoomSpec are in peer/janus). Plain values:
 * any thread, nothing is kept. model_done() frees.
 *
 * A request is read, then broadcast_request_check() brings it into the one form that all else knows: no flat field of
 * streaming_utils 1.0.0, no deprecated source kind, mids and mindexes filled in, room ids in one place.
 */
#include "base/model.h"
#include "peer/janus/janus_room.h"
#include "peer/janus/janus_streaming.h"
#include "peer/obs/obs.h"

struct seal_ring;

#define BROADCAST_KIND "broadcast" /* of its documents in the store */

/* ---- the request ---- */

enum broadcast_source {
    BROADCAST_VIDEOROOM,
    BROADCAST_OBS,
    BROADCAST_RTMP_EXTERNAL,
    BROADCAST_RTSP_CAMERA,
    BROADCAST_FRONTEND_OWNED,
    BROADCAST_BROWSER_WEBRTC,
    BROADCAST_STREAM,   /* any stream of the engine */
    BROADCAST_EXTERNAL, /* deprecated; the check makes RTMP_EXTERNAL of it */
    BROADCAST_SOURCE_N,
};
extern const struct model_enum broadcast_source_names[];

enum broadcast_relay {
    BROADCAST_RELAY_NONE,
    BROADCAST_RELAY_FFMPEG,
    BROADCAST_RELAY_GSTREAMER,
    BROADCAST_RELAY_BUILTIN,
    BROADCAST_RELAY_N,
};
extern const struct model_enum broadcast_relay_names[];

/* After a restart of ours. */
enum broadcast_recover {
    BROADCAST_RECOVER_RESUME,
    BROADCAST_RECOVER_UNDO,
};

enum broadcast_queue {
    BROADCAST_QUEUE_NONE,
    BROADCAST_QUEUE_EMBEDDED,
    BROADCAST_QUEUE_REDIS,
    BROADCAST_QUEUE_KAFKA,
};
extern const struct model_enum broadcast_queue_names[];

/* SRSIngestSpec. */
struct srs_ingest {
    char *rtmp_url; /* rtmp://host */
    char *app;
    char *stream_key;
};
extern const struct model srs_ingest_model;
/* "{rtmp_url}/{app}/{stream_key}", to be freed; redacted: fit for logs and results. */
char *srs_ingest_publish_url(const struct srs_ingest *s, bool redacted);
/* "{rtmp_url}/{app}", as OBS wants it beside the key. */
char *srs_ingest_server(const struct srs_ingest *s);

enum rtsp_transport {
    RTSP_CAMERA_TCP,
    RTSP_CAMERA_UDP,
};
/* RTSPCameraConfig. */
struct rtsp_camera {
    char *url; /* may hold the credentials itself */
    char *username, *password;
    enum rtsp_transport transport;
    int64_t timeout_ns; /* "timeout" */
};
extern const struct model rtsp_camera_model;

/* BroadcastRequest. Text is NULL, ids are MODEL_ID_NONE when absent. */
struct broadcast_request {
    char *id; /* the broadcast's, when the caller chooses it */
    char *name, *description;
    enum broadcast_source source_kind;
    enum broadcast_relay relay_kind; /* read it with broadcast_request_relay(): it may be absent */
    char *janus;                     /* name of the server; NULL = the first of the configuration */
    /* Where Janus gets the RTP; NULL = 127.0.0.1 from one plugin to the other, else where the server is. */
    char *host;
    bool create_mountpoint; /* of mountpoint_spec; without one (frontend_owned) there is none */
    bool owned_by_app;
    struct janus_mountpoint *mountpoint_spec;
    struct model_id room_id;
    struct janus_room *room_spec; /* secret, pin and admin_key also serve a room that is there */
    struct model_id publisher_id;
    char *publisher_display; /* the publisher by its name, also when its id changes */
    char *listener_display;  /* of our own participant in the room; NULL = "mast" */
    bool resume;             /* when the publisher comes back, so does the forward */
    enum broadcast_recover recover;
    struct srs_ingest *srs;
    char *stream;    /* a path here: what source_kind stream sends, what the others publish to */
    char *input_url; /* what the relay reads instead */
    struct rtsp_camera *rtsp_camera;
    bool copy_video; /* relays of other programs: not encoded anew */
    char *gstreamer_pipeline;
    char *obs_host;
    int32_t obs_port;
    char *obs_password;
    bool obs_secure;
    enum broadcast_queue queue_kind;

    /* 1.0.0: gone after the check. */
    struct model_id mountpoint_id;
    int64_t video_port, audio_port, data_port, video_port2, video_port3;
    int32_t video_pt, audio_pt;
    char *video_codec, *audio_codec, *video_fmtp, *audio_fmtp;
    bool simulcast;

    struct model_present present;
    unsigned warnings; /* one bit an enum broadcast_warning; set by the check, not in documents */
};
extern const struct model broadcast_request_model;

enum broadcast_warning {
    BROADCAST_WARN_EXTERNAL,       /* source_kind external is called rtmp_external now */
    BROADCAST_WARN_FLAT,           /* the flat fields have become mountpoint_spec */
    BROADCAST_WARN_FLAT_IGNORED,   /* pt, codec or fmtp beside mountpoint_spec.media, which wins */
    BROADCAST_WARN_SECRET_VISIBLE, /* gst-launch has its pipeline in argv */
    BROADCAST_WARN_N,
};
const char *broadcast_warning_text(enum broadcast_warning w);

/*
 * One JSON document of a client, null counting as absent (Python's None), and checked. max_bytes 0 = 256 KiB. On failure ret
 * is all zero and err->where is the path. YAML: model_parse_yaml(), then the check.
 */
int broadcast_request_parse(struct broadcast_request *ret, struct bytes json, size_t max_bytes,
                            struct error *err);
/*
 * Normalises, then holds the request against the table of sources and relays (broadcast_check.c) and against what Janus must
 * not be sent. Nothing outside is asked. -EINVAL, err->where: the path, "mountpoint_spec.media[1].port". Again is harmless.
 */
int broadcast_request_check(struct broadcast_request *r, struct error *err);
/* What viewers' browsers offer for it themselves; without it H.264 would be packetization-mode 0, and Opus mono. May be NULL. */
const char *broadcast_codec_fmtp(const char *codec);
/* The relay that was asked for, or the one that serves this source when none was. */
enum broadcast_relay broadcast_request_relay(const struct broadcast_request *r);
/* Asked for by name: then another one in its place is worth a warning. */
bool broadcast_request_relay_given(const struct broadcast_request *r);
/* OBS as peer/obs takes it; borrows r's text. */
struct obs_connection broadcast_request_obs(const struct broadcast_request *r);

/* ---- endpoints ---- */

/* Endpoint: where one track goes. */
struct endpoint {
    enum janus_media kind;
    char *host;
    int64_t port, rtcp_port; /* 0 = none */
    int64_t port_2, port_3;  /* the other layers of simulcast */
    char *codec;
    int32_t pt;
    int64_t ssrc;
    int32_t mindex; /* the nth source track of its kind */
    char *mid;      /* of the mountpoint's track */
    struct model_present present;
};
struct endpoint_list {
    MODEL_ARRAY(struct endpoint) items;
};
extern const struct model endpoint_model;
extern const struct model endpoint_list_model;

/*
 * One endpoint a track of mountpoint_spec.media, or of the mountpoint itself when the spec names none. Ports are what info
 * says (tracks are found by mid, else by their place among their kind), else the spec's. None where Janus fetches the media
 * itself. info may be NULL. -ENODATA: a port is in neither: the mountpoint's secret is wrong, or it has no such track. Free with model_done(&endpoint_list_model, ret).
 */
int broadcast_endpoints(const struct broadcast_request *r, const char *host,
                        const struct janus_mountpoint_info *info, struct endpoint_list *ret,
                        struct error *err);
/* The index in feed->streams of what e wants: the mindex-th of its kind. -ENOENT says how many there are. */
int endpoint_pick(const struct endpoint *e, const struct janus_feed *feed, struct error *err);

/* ---- the result ---- */

enum broadcast_state {
    BROADCAST_STARTING,
    BROADCAST_RUNNING,
    BROADCAST_DEGRADED,
    BROADCAST_RESTARTING,
    BROADCAST_STOPPING,
    BROADCAST_STOPPED,
    BROADCAST_FAILED,
    BROADCAST_STATE_N,
};
extern const struct model_enum broadcast_state_names[];

enum broadcast_step_state {
    BROADCAST_STEP_WAITING,
    BROADCAST_STEP_STARTING,
    BROADCAST_STEP_DONE,
    BROADCAST_STEP_FAILED,
    BROADCAST_STEP_UNDOING,
    BROADCAST_STEP_UNDONE,
    BROADCAST_STEP_KEPT,
    BROADCAST_STEP_DEBT,
    BROADCAST_STEP_STATE_N,
};
extern const struct model_enum broadcast_step_state_names[];

/* One step, as it is shown. */
struct broadcast_step_view {
    char *name;     /* "mountpoint", "forward", "relay"... */
    char *describe; /* a sentence */
    char *peer;     /* "janus:main", "obs:127.0.0.1:4455"; NULL = ourselves */
    enum broadcast_step_state state;
    char *error; /* the peer's words */
    int64_t started_at, ended_at;
};
extern const struct model broadcast_step_view_model;

/* Made by this broadcast, or found, and left at the peer when it stopped. */
struct broadcast_kept {
    char *kind; /* "room", "mountpoint" */
    struct model_id id;
    char *peer;
    char *why;
};

/* Normalised, and `raw`: what Janus said, as broadcast_reply_keep() leaves it. */
struct broadcast_room_response {
    bool exists; /* it was there before */
    struct model_id room;
    char *description;
    bool permanent;
    char *raw;
    struct model_present present;
};
extern const struct model broadcast_room_response_model;
struct broadcast_mountpoint_response {
    bool exists;
    struct model_id id;
    char *name, *description;
    bool enabled, permanent;
    MODEL_ARRAY(struct endpoint) ports;
    char *raw;
    struct model_present present;
};
extern const struct model broadcast_mountpoint_response_model;
struct broadcast_forwarder {
    int64_t stream_id;
    enum janus_media type;
    char *host;
    int64_t port;
    int32_t pt;
    int32_t substream;
    struct model_present present;
};
extern const struct model broadcast_forwarder_model;
struct broadcast_forward_response {
    struct model_id room, publisher_id;
    char *publisher_display;
    MODEL_ARRAY(struct broadcast_forwarder) forwarders;
    char *raw;
};
extern const struct model broadcast_forward_response_model;

struct broadcast_relay_info {
    enum broadcast_relay kind;
    char *why; /* this relay was taken, when not the one asked for */
    char *state;
    int64_t pid;
    int64_t restarts;
    bool secret_visible;
    int64_t packets;   /* builtin: sent */
    int64_t b_dropped; /* builtin: pictures that were left out */
    char *last_error;
    MODEL_ARRAY(struct endpoint) endpoints;
    struct model_present present;
};
extern const struct model broadcast_relay_info_model;
struct broadcast_srs_info {
    char *rtmp_url, *app;
    char *publish_url; /* of srs_ingest_publish_url(), redacted */
    char *path;        /* own ingest: the stream it becomes */
    char *obs_output;  /* "started", "stopped"... */
    bool builtin;      /* our own ingest stands in */
};
extern const struct model broadcast_srs_info_model;
struct broadcast_queue_info {
    enum broadcast_queue queue_kind;
    char *queue, *job_id, *consumer;
    int64_t attempt;
};
extern const struct model broadcast_queue_info_model;

/* How a publisher or viewer comes in: source kinds frontend_owned and browser_webrtc. No secrets: they are the caller's own. */
struct broadcast_join {
    char *janus;     /* name of the server */
    char *janus_url; /* when it is configured to be told */
    struct model_id room;
    struct model_id publisher_id; /* of the slot */
    char *display;
    bool pin_required;
    char *publish_url;          /* RTMP */
    struct model_id mountpoint; /* what viewers watch */
    bool mountpoint_pin_required;
};
extern const struct model broadcast_join_model;

struct broadcast_media_health {
    char *mid;
    enum janus_media type;
    int64_t age_ms; /* since the last packet */
    struct model_present present;
};
extern const struct model broadcast_media_health_model;
/* Of this broadcast alone. A fact that was not asked for is absent. */
struct broadcast_health {
    bool healthy;
    char *reason; /* when it is not */
    int64_t checked_at;
    bool session; /* with Janus */
    int64_t viewers;
    int64_t forwarders, forwarders_expected;
    MODEL_ARRAY(struct broadcast_media_health) media;
    bool publisher; /* it is there */
    char *relay;    /* state of the relay */
    double relay_speed;
    char *obs;   /* state of OBS' output */
    bool stream; /* the engine's stream is live */
    struct model_present present;
};
extern const struct model broadcast_health_model;

/* BroadcastResult. Written redacted to the outside, sealed to the store. */
struct broadcast_result {
    struct broadcast_request request;
    char *broadcast_id;
    enum broadcast_state state;
    char *reason; /* of the state: the step and the peer's words */
    struct broadcast_room_response *room_response;
    struct broadcast_mountpoint_response *mountpoint_response;
    struct broadcast_forward_response *forward_response;
    struct broadcast_relay_info *relay_info;
    struct broadcast_srs_info *srs_info;
    struct broadcast_queue_info *queue_info;
    struct broadcast_health *health;
    struct broadcast_join *join;
    char *note;
    MODEL_ARRAY(char *) warnings;
    MODEL_ARRAY(struct broadcast_step_view) steps;
    MODEL_ARRAY(struct broadcast_kept) kept;
    int64_t created_at, started_at, changed_at, ended_at; /* wall clock; 0 = not yet */
    uint32_t restarts;
};
struct broadcast_result_list {
    MODEL_ARRAY(struct broadcast_result) items;
    char *next; /* more begin after this id; NULL: that is all */
};
extern const struct model broadcast_result_model;
extern const struct model broadcast_result_list_model;

/* The warnings of r->request, once each, after those that are there. */
void broadcast_result_warn(struct broadcast_result *r);
void broadcast_result_add_warning(struct broadcast_result *r, const char *text);
void broadcast_result_drop_warning(struct broadcast_result *r, const char *text);
/* Lists what is left at the peer; once for each kind. */
void broadcast_result_keep(struct broadcast_result *r, const char *kind, const struct model_id *id,
                           const char *peer, const char *why);

/*
 * A reply of Janus fit to be kept and shown, to be freed: values of secret, pin, admin_key, passwords, tokens, keys and URLs
 * are redacted, at any depth. NULL when it is no JSON or longer than BROADCAST_REPLY_MAX.
 */
#define BROADCAST_REPLY_MAX 65536u
char *broadcast_reply_keep(struct bytes json);
/* Whether a member of this name has a secret as its value. */
bool broadcast_is_secret_key(const char *key);

/* ---- the store ---- */

/*
 * obj of a model that holds requests, as the document `id` of BROADCAST_KIND: sealed fields through ring. *ret is to be freed.
 * -ENOKEY when there is no ring but a secret.
 */
int broadcast_seal(const struct model *m, const void *obj, const struct seal_ring *ring,
                   const char *id, char **ret, struct error *err);
/* ret_missing (may be NULL): secrets whose key is lost; they stay sealed text, and the broadcast needs them anew. */
int broadcast_unseal(const struct model *m, void *obj, struct bytes json,
                     const struct seal_ring *ring, const char *id, unsigned *ret_missing,
                     struct error *err);
