/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The client role of one RTMP connection, sans I/O: to publish to, or play from, another server. Bytes in; events and, in
 * a vector of the caller's, bytes out.
 *
 *   HANDSHAKE --> CONNECTING --> CREATING --> ASKING --> RUNNING --> ENDED
 *
 * Plays and publishes one stream a connection. Simple handshake, AMF0, Enhanced RTMP announced.
 */
#include "protocol/rtmp/rtmp_command_wire.h"
#include "protocol/rtmp/rtmp_handshake_wire.h"

#define RTMP_CLIENT_CHUNK_SIZE 65536

enum rtmp_client_state {
    RTMP_CLIENT_HANDSHAKE,
    RTMP_CLIENT_CONNECTING, /* connect is sent */
    RTMP_CLIENT_CREATING,   /* createStream is sent */
    RTMP_CLIENT_ASKING,     /* publish or play is sent */
    RTMP_CLIENT_RUNNING,
    RTMP_CLIENT_ENDED, /* the server said that it is over */
    RTMP_CLIENT_STATE_N,
};

/* Copied by init. */
struct rtmp_client_target {
    bool publish;
    const char *app;    /* "live" */
    const char *tc_url; /* "rtmp://host:1935/live" */
    const char *name;   /* "cam?key=x" */
    const char *agent;  /* flashVer; NULL = ours */
};

enum rtmp_client_event_type {
    RTMP_CLIENT_STARTED,  /* publish or play was granted; now RUNNING */
    RTMP_CLIENT_MEDIA,    /* message: audio or video */
    RTMP_CLIENT_METADATA, /* metadata */
    RTMP_CLIENT_STATUS,   /* another onStatus: code ("NetStream.Play.PublishNotify") */
    RTMP_CLIENT_STOPPED,  /* the server ended it in an orderly way: code; now ENDED */
    RTMP_CLIENT_DRY,      /* user control: the stream waits for its publisher */
};

/* Views live until the next call. */
struct rtmp_client_event {
    enum rtmp_client_event_type type;
    struct rtmp_message message;
    struct amf_value metadata;
    struct bytes code;
};

/* Embedded; private but for state (read only). */
struct rtmp_client_wire {
    enum rtmp_client_state state;
    bool publish;
    char *app;
    char *tc_url;
    char *name;
    char *agent;
    struct rtmp_handshake *handshake;
    struct rtmp_chunk_reader chunks;
    uint32_t stream_id;
    uint32_t in_window;
    uint32_t in_bytes;
    uint32_t in_acked;
};

/* Appends what opens the connection. */
void rtmp_client_wire_init(struct rtmp_client_wire *w, const struct rtmp_client_target *target,
                           uint64_t seed, uint32_t now_ms, struct out *out);
void rtmp_client_wire_done(struct rtmp_client_wire *w);
/*
 * 1 = ret is an event, 0 = in is used up. -EACCES: the server refused, -ENOENT: it has no such stream; err has its words. Other negative errno: it
 * breaks the protocol.
 */
int rtmp_client_wire_next(struct rtmp_client_wire *w, struct rd *in, struct out *out,
                          struct rtmp_client_event *ret, struct error *err);
/* RUNNING publisher: one audio or video message (body as media/flv.h makes it). */
void rtmp_client_wire_media(struct rtmp_client_wire *w, enum rtmp_type type, uint32_t timestamp,
                            struct bytes body, struct out *out);
/* RUNNING publisher: metadata is the encoded value after "onMetaData". */
void rtmp_client_wire_metadata(struct rtmp_client_wire *w, struct bytes metadata, struct out *out);
/* Takes leave; the owner closes when it is sent. */
void rtmp_client_wire_stop(struct rtmp_client_wire *w, struct out *out);
