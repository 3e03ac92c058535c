/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The server role of one RTMP connection, sans I/O: handshake, chunks and the commands of OBS, FMLE, ffmpeg, librtmp,
 * GStreamer and Flash. Bytes in; events and, in a vector of the caller's, bytes out.
 *
 *   HANDSHAKE --> CONNECT --> IDLE --> ASKED_PUBLISH --> PUBLISHING --+
 *                              ^  \--> ASKED_PLAY ----> PLAYING ------+
 *                              +--------------------------------------+  closeStream, deleteStream
 *
 * In ASKED_x nothing more is read: the owner asks who must be asked, holds the bytes that came with the request back, and
 * answers with accept or refuse. Until a publisher is accepted, messages are limited to RTMP_MESSAGE_MAX_EARLY.
 * One message stream a connection, RTMP_STREAM_ID, whatever number of createStream come.
 */
#include "protocol/rtmp/rtmp_auth_wire.h"
#include "protocol/rtmp/rtmp_command_wire.h"
#include "protocol/rtmp/rtmp_handshake_wire.h"
#include "protocol/rtmp/rtmp_name.h"

enum rtmp_server_state {
    RTMP_SERVER_HANDSHAKE,
    RTMP_SERVER_CONNECT, /* waits for the connect command */
    RTMP_SERVER_IDLE,    /* waits for publish or play */
    RTMP_SERVER_ASKED_PUBLISH,
    RTMP_SERVER_ASKED_PLAY,
    RTMP_SERVER_PUBLISHING,
    RTMP_SERVER_PLAYING,
    RTMP_SERVER_STATE_N,
};

enum rtmp_server_event_type {
    RTMP_EVENT_PUBLISH,  /* name: whose path is asked for; now ASKED_PUBLISH */
    RTMP_EVENT_PLAY,     /* name; now ASKED_PLAY */
    RTMP_EVENT_MEDIA,    /* message: audio or video of a publisher */
    RTMP_EVENT_METADATA, /* metadata: of a publisher */
    RTMP_EVENT_STOP,     /* the peer ended its publish or play; now IDLE */
    RTMP_EVENT_PAUSE,    /* of a player: on */
    RTMP_EVENT_RECEIVE,  /* of a player: whether it wants kind: on */
    RTMP_EVENT_ALIVE,    /* answered our ping */
    RTMP_EVENT_LEAVE, /* was asked for credentials, to connect again with: send what is in out and close */
};

/* Views live until the next call. */
struct rtmp_server_event {
    enum rtmp_server_event_type type;
    const struct rtmp_name *name;
    struct rtmp_message message;
    struct amf_value metadata;
    bool on;
    enum track_kind kind;
};

/* Embedded; private but for state (read only), codecs, agent, proof and auth. */
struct rtmp_server_wire {
    enum rtmp_server_state state;
    uint32_t codecs;         /* that connect announced: 1 << codec */
    char *agent;             /* flashVer; what the peer calls itself; may be NULL */
    struct rtmp_proof proof; /* instead of a password; all NULL when there is none */
    const struct rtmp_auth
        *auth; /* set after init: publishers without credentials are asked for them */

    uint32_t begun_ms;
    struct rtmp_handshake *handshake;
    struct rtmp_chunk_reader chunks;
    char *app;
    char *tc_url;
    struct rtmp_name name;
    uint32_t in_window; /* acknowledge after so many bytes */
    uint32_t in_bytes;  /* since the handshake, wraps */
    uint32_t in_acked;
    uint32_t commands_left; /* of a peer that neither publishes nor plays */
    bool reset;             /* play asked for a new playlist */
};

void rtmp_server_wire_init(struct rtmp_server_wire *w, uint64_t seed, uint32_t now_ms);
void rtmp_server_wire_done(struct rtmp_server_wire *w);

/*
 * Takes bytes from in up to one event. 1 = ret is an event, 0 = in is used up, or an answer is owed (ASKED_x). Negative
 * errno with err: the peer breaks the protocol; send what is in out and close.
 */
int rtmp_server_wire_next(struct rtmp_server_wire *w, struct rd *in, struct out *out,
                          struct rtmp_server_event *ret, struct error *err);

/* Answers the question of ASKED_PUBLISH or ASKED_PLAY. A player's memory for reading is given back. */
void rtmp_server_wire_accept(struct rtmp_server_wire *w, struct out *out);
/* Back to IDLE; code is the onStatus code ("NetStream.Publish.BadName"). */
void rtmp_server_wire_refuse(struct rtmp_server_wire *w, struct out *out, const char *code,
                             const char *description);
/* The server ends a publish or play, with the status that says why; now IDLE. */
void rtmp_server_wire_stop(struct rtmp_server_wire *w, struct out *out, const char *code,
                           const char *description);

const char *rtmp_server_state_to_str(enum rtmp_server_state s);
