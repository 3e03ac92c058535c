/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * RTMP commands (Adobe's RTMP specification 7): what both roles need to read and write them, sans I/O. Who may send which
 * when is the business of rtmp_server_wire and rtmp_client_wire.
 */
#include "media/track.h"
#include "protocol/rtmp/amf.h"
#include "protocol/rtmp/rtmp_chunk_wire.h"

/* The one message stream of a session, and the size of the chunks we send: every reader gets the same bytes. */
#define RTMP_STREAM_ID 1
#define RTMP_OUT_CHUNK_SIZE                                                                        \
    65536 /* the most that every server and player met accepts without complaint */
#define RTMP_ACK_WINDOW 2500000

struct rtmp_command {
    struct bytes name;
    double transaction;      /* 0 = no answer wanted */
    struct amf_value object; /* usually an object or null */
    struct rd args;          /* what follows; checked when it is read */
};

/* m is of type COMMAND or COMMAND_AMF3. -EINVAL when it does not begin with a name, or as amf_read(). */
int rtmp_command_parse(const struct rtmp_message *m, struct rtmp_command *ret);
/* The AMF0 values of a command or data message, without the byte that the AMF3 types begin with. */
struct rd rtmp_amf_body(const struct rtmp_message *m);
/* The next argument; `otherwise` (or an empty string) when there is none or it is of another type. */
struct bytes rtmp_arg_str(struct rtmp_command *c);
double rtmp_arg_number(struct rtmp_command *c, double otherwise);
bool rtmp_arg_bool(struct rtmp_command *c, bool otherwise);

/* body: the AMF0 values. Control messages keep their own chunk stream. */
void rtmp_write_command(struct out *o, uint32_t stream_id, struct bytes body, uint32_t chunk_size);
void rtmp_write_data(struct out *o, uint32_t stream_id, struct bytes body, uint32_t chunk_size);
/* Begins the values of a command: name, transaction, null. */
void rtmp_begin_command(struct out *body, const char *name, double transaction);

/* onStatus with level "status" or "error". */
void rtmp_write_status(struct out *o, uint32_t stream_id, bool error, const char *code,
                       const char *description, uint32_t chunk_size);

/*
 * Which codecs a connect object announces that its sender can take (Enhanced RTMP), as a mask of 1 << codec. Codecs that
 * RTMP always had are not in the mask unless announced.
 */
uint32_t rtmp_announced_codecs(const struct amf_value *connect);
/* Members fourCcList, videoFourCcInfoMap, audioFourCcInfoMap, capsEx with every codec we carry. */
void rtmp_put_codecs(struct out *body);
