/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/janus/janus_models.h"

#define TEXT_MAX   512
#define EXTRA_MAX  16384
#define STREAM_MAX 32
#define ANY_PORT   .max = 65535

const struct model_enum janus_media_names[] = {
    {"audio", JANUS_AUDIO}, {"video", JANUS_VIDEO}, {"data", JANUS_DATA}, {0}};

static const struct model_field track_fields[] = {
    MODEL_ENUM(struct janus_track, type, janus_media_names, .required = true),
    MODEL_STRING(struct janus_track, mid, .max = 63, .doc = "Unique in its mountpoint."),
    MODEL_STRING(struct janus_track, label, .max = TEXT_MAX),
    MODEL_STRING(struct janus_track, msid, .max = TEXT_MAX),
    MODEL_INT(struct janus_track, mindex, .max = 255,
              .doc = "Which source stream of its kind goes here, from 0."),
    MODEL_INT(struct janus_track, port, ANY_PORT,
              .doc = "0: Janus chooses, or we do, of its rtp_ports."),
    MODEL_INT(struct janus_track, rtcpport, .aliases = "rtp_port,rtcp_port", ANY_PORT,
              .doc = "Where Janus asks the source for key frames; 0: Janus chooses."),
    MODEL_INT(struct janus_track, pt, .max = 127),
    MODEL_STRING(struct janus_track, codec, .max = 31, .lower = true, .trim = true),
    MODEL_STRING(struct janus_track, fmtp, .max = 1024),
    MODEL_STRING(struct janus_track, rtpmap, .max = TEXT_MAX, .hidden = true),
    MODEL_STRING(struct janus_track, mcast, .aliases = "multicast", .max = 63),
    MODEL_STRING(struct janus_track, iface, .aliases = "bind_interface", .max = 63,
                 .doc = "The address or interface Janus listens at; absent: all."),
    MODEL_BOOL(struct janus_track, skew),
    MODEL_BOOL(struct janus_track, bufferkf,
               .doc =
                   "Janus keeps the last key frame, so that late viewers see a picture at once."),
    MODEL_BOOL(struct janus_track, simulcast),
    MODEL_BOOL(struct janus_track, svc),
    MODEL_INT(struct janus_track, port2, ANY_PORT),
    MODEL_INT(struct janus_track, port3, ANY_PORT),
    MODEL_STRING(struct janus_track, data_type, .aliases = "datatype", .max = 15),
    MODEL_BOOL(struct janus_track, buffer_latest_message, .aliases = "databuffermsg,buffermsg"),
    MODEL_STRING(struct janus_track, h264_sps, .aliases = "h264sps", .max = 1024, .hidden = true),
    MODEL_RAW(struct janus_track, extra, .max = EXTRA_MAX, .doc = "Laid over what Janus is sent."),
};
const struct model janus_track_model =
    MODEL("Track", struct janus_track, track_fields,
          .present_at = MODEL_PRESENT(struct janus_track, present));

static const struct model_enum mountpoint_type_names[] = {{"rtp", JANUS_MOUNTPOINT_RTP},
                                                          {"live", JANUS_MOUNTPOINT_LIVE},
                                                          {"ondemand", JANUS_MOUNTPOINT_ONDEMAND},
                                                          {"rtsp", JANUS_MOUNTPOINT_RTSP},
                                                          {0}};
static const struct model_field mountpoint_fields[] = {
    MODEL_ENUM(struct janus_mountpoint, type, mountpoint_type_names, .def = "rtp"),
    MODEL_ID(struct janus_mountpoint, id, .max = 255, .doc = "Absent: Janus chooses."),
    MODEL_STRING(struct janus_mountpoint, name, .max = TEXT_MAX),
    MODEL_STRING(struct janus_mountpoint, description, .max = TEXT_MAX),
    MODEL_STRING(struct janus_mountpoint, metadata, .max = EXTRA_MAX),
    MODEL_STRING(struct janus_mountpoint, secret, .secret = MODEL_SECRET_SEALED),
    MODEL_STRING(struct janus_mountpoint, pin, .secret = MODEL_SECRET_SEALED),
    MODEL_STRING(struct janus_mountpoint, admin_key, .secret = MODEL_SECRET_SEALED),
    MODEL_BOOL(struct janus_mountpoint, enabled, .def = "true"),
    MODEL_BOOL(struct janus_mountpoint, is_private),
    MODEL_BOOL(struct janus_mountpoint, permanent),
    MODEL_INT(struct janus_mountpoint, collision, .max = 3600000),
    MODEL_INT(struct janus_mountpoint, threads, .max = 64),
    MODEL_INT(struct janus_mountpoint, srtpsuite, .max = 80),
    MODEL_STRING(struct janus_mountpoint, srtpcrypto, .secret = MODEL_SECRET_SEALED),
    MODEL_BOOL(struct janus_mountpoint, e2ee),
    MODEL_BOOL(struct janus_mountpoint, playoutdelay_ext),
    MODEL_LIST_STRUCT(struct janus_mountpoint, media, &janus_track_model, .max = STREAM_MAX,
                      .doc = "Its tracks. Absent: a broadcast makes one of H.264, one of Opus."),
    MODEL_STRING(struct janus_mountpoint, filename),
    MODEL_STRING(struct janus_mountpoint, url, .secret = MODEL_SECRET_SEALED,
                 .mask = MODEL_MASK_URL),
    MODEL_STRING(struct janus_mountpoint, rtsp_user, .max = TEXT_MAX),
    MODEL_STRING(struct janus_mountpoint, rtsp_pwd, .secret = MODEL_SECRET_SEALED),
    MODEL_INT(struct janus_mountpoint, rtsp_timeout, .max = 3600),
    MODEL_INT(struct janus_mountpoint, rtsp_conn_timeout, .max = 3600),
    MODEL_INT(struct janus_mountpoint, rtsp_reconnect_delay, .max = 3600),
    MODEL_INT(struct janus_mountpoint, rtsp_session_timeout, .max = 86400),
    MODEL_BOOL(struct janus_mountpoint, rtsp_failcheck),
    MODEL_BOOL(struct janus_mountpoint, rtsp_quirk),
    MODEL_RAW(struct janus_mountpoint, extra, .max = EXTRA_MAX,
              .doc = "Laid over what Janus is sent."),
};
const struct model janus_mountpoint_model =
    MODEL("MountPoint", struct janus_mountpoint, mountpoint_fields,
          .present_at = MODEL_PRESENT(struct janus_mountpoint, present));

static const struct model_field room_fields[] = {
    MODEL_ID(struct janus_room, room, .aliases = "room_id,id", .max = 255),
    MODEL_STRING(struct janus_room, description, .max = TEXT_MAX),
    MODEL_STRING(struct janus_room, secret, .secret = MODEL_SECRET_SEALED),
    MODEL_STRING(struct janus_room, pin, .secret = MODEL_SECRET_SEALED),
    MODEL_STRING(struct janus_room, admin_key, .secret = MODEL_SECRET_SEALED),
    MODEL_BOOL(struct janus_room, is_private),
    MODEL_BOOL(struct janus_room, permanent),
    MODEL_BOOL(struct janus_room, require_pvtid),
    MODEL_BOOL(struct janus_room, notify_joining),
    MODEL_BOOL(struct janus_room, require_e2ee),
    MODEL_INT(struct janus_room, publishers, .min = 1, .max = 10000),
    MODEL_INT(struct janus_room, fir_freq, .max = 3600,
              .doc = "Seconds between key frames that Janus asks publishers for."),
    MODEL_INT(struct janus_room, bitrate, .max = 1000000000, .doc = "bit/s"),
    MODEL_BOOL(struct janus_room, bitrate_cap),
    MODEL_STRING(struct janus_room, audiocodec, .aliases = "audio_codec", .max = 127,
                 .lower = true),
    MODEL_STRING(struct janus_room, videocodec, .aliases = "video_codec", .max = 127,
                 .lower = true),
    MODEL_STRING(struct janus_room, h264_profile, .max = 15),
    MODEL_STRING(struct janus_room, vp9_profile, .max = 15),
    MODEL_BOOL(struct janus_room, opus_fec),
    MODEL_BOOL(struct janus_room, opus_dtx),
    MODEL_BOOL(struct janus_room, record),
    MODEL_STRING(struct janus_room, rec_dir),
    MODEL_LIST(struct janus_room, allowed,
               MODEL_ITEM_STRING(.name = "allowed", .secret = MODEL_SECRET_SEALED), .max = 1000,
               .doc = "Tokens that may join."),
    MODEL_RAW(struct janus_room, extra, .max = EXTRA_MAX),
};
const struct model janus_room_model =
    MODEL("RoomSpec", struct janus_room, room_fields,
          .present_at = MODEL_PRESENT(struct janus_room, present));

static const struct model_field forward_stream_fields[] = {
    MODEL_STRING(struct janus_forward_stream, mid, .required = true, .max = 63,
                 .doc = "Of the publisher's stream."),
    MODEL_STRING(struct janus_forward_stream, host, .max = 255),
    MODEL_STRING(struct janus_forward_stream, host_family, .max = 7),
    MODEL_INT(struct janus_forward_stream, port, .required = true, .min = 1, .max = 65535),
    MODEL_INT(struct janus_forward_stream, rtcp_port, .min = 1, .max = 65535),
    MODEL_INT(struct janus_forward_stream, port_2, .min = 1, .max = 65535),
    MODEL_INT(struct janus_forward_stream, port_3, .min = 1, .max = 65535),
    MODEL_INT(struct janus_forward_stream, pt, .max = 127),
    MODEL_INT(struct janus_forward_stream, pt_2, .max = 127),
    MODEL_INT(struct janus_forward_stream, pt_3, .max = 127),
    MODEL_INT(struct janus_forward_stream, ssrc, .max = 4294967295),
    MODEL_INT(struct janus_forward_stream, ssrc_2, .max = 4294967295),
    MODEL_INT(struct janus_forward_stream, ssrc_3, .max = 4294967295),
    MODEL_BOOL(struct janus_forward_stream, simulcast),
    MODEL_INT(struct janus_forward_stream, srtp_suite, .max = 80),
    MODEL_STRING(struct janus_forward_stream, srtp_crypto, .secret = MODEL_SECRET_SEALED),
};
const struct model janus_forward_stream_model =
    MODEL("RTPForwardStreamSpec", struct janus_forward_stream, forward_stream_fields,
          .present_at = MODEL_PRESENT(struct janus_forward_stream, present));

static const struct model_field forward_fields[] = {
    MODEL_ID(struct janus_forward, room, .aliases = "room_id", .max = 255, .required = true),
    MODEL_ID(struct janus_forward, publisher_id, .max = 255, .required = true),
    MODEL_STRING(struct janus_forward, secret, .secret = MODEL_SECRET_SEALED),
    MODEL_STRING(struct janus_forward, admin_key, .secret = MODEL_SECRET_SEALED),
    MODEL_STRING(struct janus_forward, host, .max = 255, .required = true),
    MODEL_STRING(struct janus_forward, host_family, .max = 7),
    MODEL_LIST_STRUCT(struct janus_forward, streams, &janus_forward_stream_model,
                      .max = STREAM_MAX),
    MODEL_RAW(struct janus_forward, extra, .max = EXTRA_MAX),
};
const struct model janus_forward_model =
    MODEL("RTPForwardRequestSpec", struct janus_forward, forward_fields,
          .present_at = MODEL_PRESENT(struct janus_forward, present));
