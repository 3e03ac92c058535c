/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What `mast` and its codec worker `mast-av` say to each other over a socketpair. Sans-I/O, any thread, no state: both
 * sides and the fuzzer use this one file. A message is
 *
 *     u32 length of what follows · u8 kind · u32 job (0: none) · fields of the kind
 *
 * in network byte order. Everything is bounded; whatever does not parse to its last byte is a broken peer (-EPROTO), with whom
 * nobody goes on. Codecs travel by name, so that a worker of another build means the same; AV_WIRE_VERSION is compared
 * before anything else is said.
 *
 *     mast -> worker   HELLO  OPEN  FRAME  CLOSE  PING
 *     worker -> mast   HELLO  PARAMS  OUT  DONE  ERROR  PONG
 */
#include "base/bytes.h"
#include "media/track.h"

#define AV_WIRE_VERSION     1
#define AV_WIRE_DATA_MAX    65536 /* bytes of one frame */
#define AV_WIRE_CONFIG_MAX  1024
#define AV_WIRE_TEXT_MAX    200
#define AV_WIRE_HEADER      9
#define AV_WIRE_MESSAGE_MAX (AV_WIRE_HEADER + AV_WIRE_DATA_MAX + 64)

/* The descriptors that a worker is started with. */
#define AV_FD_SOCKET 3
/*
 * A memory file of AV_DESK_BYTES, sealed in size: what the worker has on its desk. It writes the job of each message there
 * before it begins with it, and 0 after; so it is known whose data killed it, or holds it up.
 */
#define AV_FD_DESK    4
#define AV_DESK_BYTES 4096

/*
 * Frames of a job that are in the worker at most, sent but not yet reported by DONE. Small, as they are lost when the
 * worker dies; large enough for a worker that is some hundred ms late.
 */
#define AV_WINDOW 16

enum av_kind {
    AV_HELLO,  /* version */
    AV_OPEN,   /* spec */
    AV_FRAME,  /* pts_ns, data */
    AV_CLOSE,  /* nothing comes for the job any more after what is under way */
    AV_PING,   /* number */
    AV_PARAMS, /* codec, config: as in track_params */
    AV_OUT,    /* pts_ns, duration_ns, data */
    AV_DONE,   /* number of frames that are done with */
    AV_ERROR,  /* text: the job is over */
    AV_PONG,   /* number */
    AV_KIND_N,
};

/* All zero-sized fields are views into what was parsed, or the caller's. */
struct av_msg {
    enum av_kind kind;
    uint32_t job;
    uint32_t number;      /* HELLO: version; PING, PONG; DONE */
    enum codec codec;     /* OPEN: what goes in; PARAMS: what comes out */
    enum codec to;        /* OPEN */
    uint32_t rate;        /* OPEN: of what comes out */
    uint8_t channels;     /* OPEN: of what comes out */
    uint16_t kbps;        /* OPEN */
    struct bytes config;  /* OPEN, PARAMS */
    int64_t pts_ns;       /* FRAME, OUT */
    uint32_t duration_ns; /* OUT */
    struct bytes data;    /* FRAME, OUT; ERROR: the sentence */
};

/*
 * The first message in `in`. Returns the bytes it took, 0 when more are needed, -EPROTO when no message can begin like
 * this: known after the first four bytes if it is too long.
 */
int av_wire_parse(struct bytes in, struct av_msg *ret);
/* Appends m. The caller keeps to the bounds (asserted). */
void av_wire_put(struct out *o, const struct av_msg *m);
