/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What Janus is asked for, as its users write it (seeds 000 and 001: Track, MountPoint, RoomSpec, RTPForwardRequestSpec...)
 * and as Janus 1.1.2 understands it. The binder reads the users' names (and the flat fields of streaming_utils 1.0.0);
 * janus_streaming.h and janus_room.h write Janus' own. Everything is checked here before it is sent, because Janus accepts
 * nonsense, cuts ports to 16 bits and leaks what a failed request had bound (specs: sections 0, 1.5).
 */
#include "base/model.h"

enum janus_media {
    JANUS_AUDIO,
    JANUS_VIDEO,
    JANUS_DATA,
};
extern const struct model_enum janus_media_names[];

/* Track, AudioTrack, VideoTrack, DataTrack: one stream of a mountpoint. */
struct janus_track {
    enum janus_media type;
    char *mid; /* made ("v", "a", "a2"...) when absent; unique in its mountpoint */
    char *label, *msid;
    int32_t mindex; /* the nth source stream of its kind; absent = its place among its kind */
    int64_t port;   /* 0 = Janus chooses; absent where a mountpoint exists already */
    int64_t rtcpport;
    int32_t pt;
    char *codec; /* small letters: h264, vp8, vp9, av1, h265; opus, pcmu, pcma, g722, l16... */
    char *fmtp;
    char *rtpmap; /* accepted, not sent: deprecated in Janus */
    char *mcast;
    char *iface;
    bool skew;
    /* video */
    bool bufferkf;
    bool simulcast, svc;
    int64_t port2, port3;
    /* data */
    char *data_type; /* "text" or "binary" */
    bool buffer_latest_message;
    char *h264_sps; /* accepted, not sent: no Janus reads it */
    char *extra;    /* JSON object laid over what is sent */
    struct model_present present;
};
extern const struct model janus_track_model;

enum janus_mountpoint_type {
    JANUS_MOUNTPOINT_RTP,
    JANUS_MOUNTPOINT_LIVE,
    JANUS_MOUNTPOINT_ONDEMAND,
    JANUS_MOUNTPOINT_RTSP,
};

/* MountPoint. */
struct janus_mountpoint {
    enum janus_mountpoint_type type;
    struct model_id id; /* none = Janus chooses; a string only where the server has string_ids */
    char *name, *description, *metadata;
    char *secret, *pin; /* sealed when stored */
    char *admin_key;
    bool enabled; /* false: created, then disabled */
    bool is_private, permanent;
    int32_t collision, threads;
    int32_t srtpsuite;
    char *srtpcrypto;
    bool e2ee, playoutdelay_ext;
    MODEL_ARRAY(struct janus_track) media;
    char *filename; /* live, ondemand */
    /* rtsp */
    char *url, *rtsp_user, *rtsp_pwd;
    int32_t rtsp_timeout, rtsp_conn_timeout, rtsp_reconnect_delay, rtsp_session_timeout;
    bool rtsp_failcheck, rtsp_quirk;
    char *extra; /* JSON object laid over what is sent */
    struct model_present present;
};
extern const struct model janus_mountpoint_model;

/* RoomSpec. */
struct janus_room {
    struct model_id room;
    char *description, *secret, *pin, *admin_key;
    bool is_private, permanent, require_pvtid, notify_joining, require_e2ee;
    int32_t publishers, fir_freq;
    int64_t bitrate;
    bool bitrate_cap;
    char *audiocodec, *videocodec; /* lists: "h264,vp8" */
    char *h264_profile, *vp9_profile;
    bool opus_fec, opus_dtx;
    bool record;
    char *rec_dir;
    MODEL_ARRAY(char *) allowed;
    char *extra;
    struct model_present present;
};
extern const struct model janus_room_model;

/* RTPForwardStreamSpec. */
struct janus_forward_stream {
    char *mid;
    char *host, *host_family;
    int64_t port, rtcp_port, port_2, port_3;
    int32_t pt, pt_2, pt_3;
    int64_t ssrc, ssrc_2, ssrc_3;
    bool simulcast;
    int32_t srtp_suite;
    char *srtp_crypto;
    struct model_present present;
};
extern const struct model janus_forward_stream_model;

/* RTPForwardRequestSpec. */
struct janus_forward {
    struct model_id room, publisher_id;
    char *secret, *admin_key;
    char *host, *host_family;
    MODEL_ARRAY(struct janus_forward_stream) streams;
    char *extra;
    struct model_present present;
};
extern const struct model janus_forward_model;
