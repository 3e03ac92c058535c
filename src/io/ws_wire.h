/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * WebSocket framing (RFC 6455 5 to 8), both roles, sans-I/O. The parser takes input in any pieces and gives whole messages
 * and control frames; everything the RFC forbids is refused with the close code it names. No extensions: RSV bits are
 * refused. What a peer announces is checked against max_message when its header comes; memory grows with what has come.
 */
#include "base/bytes.h"
#include "base/utf8.h"

enum ws_opcode {
    WS_OP_CONTINUATION = 0x0,
    WS_OP_TEXT = 0x1,
    WS_OP_BINARY = 0x2,
    WS_OP_CLOSE = 0x8,
    WS_OP_PING = 0x9,
    WS_OP_PONG = 0xa,
};

/* Ours: servers get masked frames, clients send them. */
enum ws_role {
    WS_ROLE_SERVER,
    WS_ROLE_CLIENT,
};

/* Close codes (RFC 6455 7.4.1) that are used here. */
#define WS_CLOSE_NORMAL    1000
#define WS_CLOSE_PROTOCOL  1002
#define WS_CLOSE_NO_CODE   1005 /* never on the wire: a close frame without a code */
#define WS_CLOSE_BROKEN    1006 /* never on the wire: the transport ended without a close frame */
#define WS_CLOSE_NOT_UTF8  1007
#define WS_CLOSE_TOO_LARGE 1009
#define WS_CLOSE_INTERNAL  1011

#define WS_CONTROL_MAX      125
#define WS_REASON_MAX       123
#define WS_FRAME_HEADER_MAX 14

struct ws_event {
    enum ws_opcode opcode; /* TEXT, BINARY, PING, PONG, CLOSE */
    struct bytes data;     /* valid until the next call; of CLOSE: the reason */
    int code;              /* of CLOSE */
};

struct ws_parser {
    enum ws_role role;
    size_t max_message;
    int error_code;    /* after a refusal: the close code to send */
    const char *error; /* and why; static */

    /* private */
    bool in_payload;
    bool fin;
    bool closed;
    bool given; /* the message was handed out: its memory goes at the next call */
    uint8_t opcode;
    uint8_t message; /* opcode of the message that is being put together; 0 = none */
    uint8_t header_len;
    uint8_t control_len;
    uint8_t mask[4];
    uint8_t header[WS_FRAME_HEADER_MAX];
    uint64_t frame_len;
    uint64_t left;
    uint8_t *data;
    size_t len;
    size_t cap;
    struct utf8 utf8;
    uint8_t control[WS_CONTROL_MAX];
};

void ws_parser_init(struct ws_parser *p, enum ws_role role, size_t max_message);
void ws_parser_done(struct ws_parser *p);

/*
 * Consumes from the front of *in. Returns 1 with an event, 0 when *in is used up (always so after CLOSE: what follows it is
 * dropped), -EBADMSG when the peer broke the rules: error_code and error are set, and p is of no further use.
 */
int ws_parser_next(struct ws_parser *p, struct bytes *in, struct ws_event *ret);

/* Codes that may be in a close frame (RFC 6455 7.4, with IANA's 1012 to 1014). */
bool ws_close_code_valid(int code);

/* Puts a final frame's header into p: masked when mask is not NULL. Returns its size. */
unsigned ws_header_put(uint8_t p[WS_FRAME_HEADER_MAX], enum ws_opcode opcode, uint64_t len,
                       const uint8_t mask[4]);

/* Exclusive or with the key, from its byte `at` on; dst may be src. */
void ws_mask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t key[4], uint64_t at);

/*
 * Follows frames as they are written, to know whether the stream stands between two of them, which is the only place for
 * another one. Server frames: they have no mask.
 */
struct ws_tracker {
    uint64_t left;      /* of the payload of the current frame */
    uint8_t header_len; /* bytes of a header that is not complete */
    uint8_t header[WS_FRAME_HEADER_MAX];
};
/* How many of these bytes belong to the frame that is being written: all that is left of it, or b.len. Moves t past them. */
size_t ws_tracker_take(struct ws_tracker *t, struct bytes b);
static inline bool ws_tracker_between(const struct ws_tracker *t)
{
    return t->left == 0 && t->header_len == 0;
}
