/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * RTMP chunks (Adobe's RTMP specification 5.3), sans I/O: bytes to messages and messages to bytes.
 *
 * The reader keeps, per chunk stream, the last header and the message under way. What a peer declares costs nothing: a
 * message's memory grows as its bytes arrive, doubling, never over the declared length, and the length is checked
 * against a limit first. Chunk streams and the memory of all unfinished messages are bounded. Set Chunk Size and Abort are
 * acted on here; every other message is handed out.
 *
 * Writing is stateless (every message with a full header), so that the bytes of a message can be shared by readers.
 */
#include "base/bytes.h"
#include "base/error.h"

#define RTMP_CHUNK_SIZE_DEFAULT 128
#define RTMP_CHUNK_SIZE_MAX     0xffffff /* a message is never longer, so a larger one means the same */
#define RTMP_CHUNK_STREAMS_MAX  32       /* real peers use up to eight */
#define RTMP_MESSAGE_MAX_EARLY  (64 << 10) /* until a peer may publish */
#define RTMP_MESSAGE_MAX        (16 << 20)
#define RTMP_KEEP_MAX           (256 << 10) /* a finished message's memory is kept for the next up to this */

enum rtmp_type {
    RTMP_SET_CHUNK_SIZE = 1,
    RTMP_ABORT = 2,
    RTMP_ACK = 3,
    RTMP_USER_CONTROL = 4,
    RTMP_WINDOW_ACK_SIZE = 5,
    RTMP_SET_PEER_BANDWIDTH = 6,
    RTMP_AUDIO = 8,
    RTMP_VIDEO = 9,
    RTMP_DATA_AMF3 = 15,
    RTMP_SHARED_OBJECT_AMF3 = 16,
    RTMP_COMMAND_AMF3 = 17,
    RTMP_DATA = 18,
    RTMP_SHARED_OBJECT = 19,
    RTMP_COMMAND = 20,
    RTMP_AGGREGATE = 22,
};

/* Chunk streams we send on. */
enum rtmp_csid {
    RTMP_CSID_CONTROL = 2,
    RTMP_CSID_COMMAND = 3,
    RTMP_CSID_AUDIO = 4,
    RTMP_CSID_DATA = 5,
    RTMP_CSID_VIDEO = 6,
};

struct rtmp_message {
    uint8_t type; /* enum rtmp_type, or anything else */
    uint32_t csid;
    uint32_t stream_id;
    uint32_t timestamp; /* ms, absolute, wraps */
    struct bytes body;
};

struct rtmp_chunk_stream; /* private */

/* Embedded by its owner; all members are private but those marked. */
struct rtmp_chunk_reader {
    uint32_t message_max; /* may be changed at any time; applies to the next header */
    uint32_t chunk_size;  /* what the peer set */
    uint8_t state;
    uint8_t have;       /* bytes in header */
    uint8_t header[18]; /* basic header, message header and extended timestamp under way */
    bool bare_type3;    /* this peer leaves the extended timestamp out of continuation chunks */
    bool delivered;     /* the body of streams[current] was handed out by the last call */
    uint16_t current;   /* index of the stream of the chunk under way */
    uint16_t n_streams;
    uint16_t cap_streams;
    uint32_t chunk_left; /* of the current chunk's body */
    size_t held;         /* memory of all streams' bodies */
    struct rtmp_chunk_stream *streams;
};

void rtmp_chunk_reader_init(struct rtmp_chunk_reader *r, uint32_t message_max);
void rtmp_chunk_reader_done(struct rtmp_chunk_reader *r);
/* Frees what is not needed between messages; for sessions that will receive little from now on. */
void rtmp_chunk_reader_shrink(struct rtmp_chunk_reader *r);

/*
 * Takes bytes from in up to the end of one message. 1 = ret is a message whose body lives until the next call, 0 = in is
 * used up. -EPROTO, -EMSGSIZE (over a limit), -ENOMEM with err; the reader is of no use then.
 */
int rtmp_chunk_read(struct rtmp_chunk_reader *r, struct rd *in, struct rtmp_message *ret,
                    struct error *err);

/* The bytes that a message of body_len takes on the wire with a full header. */
size_t rtmp_chunk_wire_len(size_t body_len, uint32_t csid, uint32_t timestamp, uint32_t chunk_size);
/* Writes exactly that many; the body is given in two parts, tag header and payload. Returns the end. */
uint8_t *rtmp_chunk_put(uint8_t *p, const struct rtmp_message *m, struct bytes more,
                        uint32_t chunk_size);
/* Appends m. */
void rtmp_chunk_write(struct out *o, const struct rtmp_message *m, uint32_t chunk_size);

/* Protocol control messages (5.4), 4-byte body but for peer bandwidth's 5, and user control (7.1.7). */
void rtmp_write_control(struct out *o, enum rtmp_type type, uint32_t value);
void rtmp_write_peer_bandwidth(struct out *o, uint32_t window, uint8_t limit_type);
enum rtmp_user_event {
    RTMP_STREAM_BEGIN = 0,
    RTMP_STREAM_EOF = 1,
    RTMP_STREAM_DRY = 2,
    RTMP_SET_BUFFER_LENGTH = 3,
    RTMP_STREAM_IS_RECORDED = 4,
    RTMP_PING_REQUEST = 6,
    RTMP_PING_RESPONSE = 7,
};
void rtmp_write_user_control(struct out *o, enum rtmp_user_event event, uint32_t value);
