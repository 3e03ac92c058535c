/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The sample contract (design 2). A sample is one compressed access unit: a small header and references to its bytes and to
 * its track's parameters. The publisher fills it and hands it over; the stream's home loop stamps it (times into stream
 * time, seq, group, epoch, duration); from then on it is immutable but for the form slots, and is shared by reference:
 * one atomic reference per sample and loop, plain counts inside a loop.
 *
 * Canonical bytes: H.264 and HEVC as 4-byte length-prefixed NAL units without parameter sets that are in the parameters
 * and without access unit delimiters; AV1 low-overhead OBUs without temporal delimiters; one VP9 frame (superframe);
 * one raw AAC frame; one Opus or MP3 frame.
 */
#include "base/buf.h"
#include "media/track.h"

/*
 * Derived forms: bytes made once per stream from one sample and shared by all readers of a protocol. Absolute times, so
 * that a form depends on nothing but its sample.
 */
enum form {
    FORM_RTMP, /* RTMP chunks as sent after a Set Chunk Size of RTMP_OUT_CHUNK_SIZE */
    FORM_CMAF, /* one moof + mdat of one sample */
    FORM_RTP,  /* the payloads of its RTP packets (rtp_payload.h) */
    FORM_N,
};
typedef uint32_t form_mask;
#define FORM_BIT(f) (1u << (f))

enum sample_flag {
    SAMPLE_KEY = 1 << 0, /* decoding can start here; starts a group (video) */
    SAMPLE_LEADING =
        1 << 1, /* needs pictures before the key frame: skipped after an open-GOP key */
    SAMPLE_DROPPABLE = 1 << 2,     /* no other sample needs it */
    SAMPLE_DISCONTINUITY = 1 << 3, /* first of its epoch on this track; set by the home loop */
};

struct sample {
    atomic_uint refs; /* private */
    uint16_t track;   /* index into the stream's tracks */
    uint16_t flags;   /* enum sample_flag */
    uint32_t epoch;
    uint64_t seq; /* of the stream, rises by one over all tracks */
    uint64_t group;
    int64_t dts_ns; /* before stamping: the publisher's time line, unwrapped; after: stream time */
    int64_t pts_ns;
    /* That of the previous sample of this track (design 3); of the first one, a guess from the parameters. */
    int64_t duration_ns;
    int64_t arrival_ns; /* monotonic: when its last byte was received */
    struct track_params *params;
    struct buf *payload;
    /* Private: filled once by compare-and-swap, by whoever needs it first (sample_form). */
    _Atomic(struct buf *) forms[FORM_N];
};

/* Takes over the references in *payload and params (ref'd by the callee: params stays the caller's). One reference. */
struct sample *sample_new(unsigned track, struct track_params *params, struct buf **payload,
                          int64_t dts_ns, int64_t pts_ns, unsigned flags, int64_t arrival_ns);
struct sample *sample_ref(struct sample *s);
void sample_unref(struct sample **ps);
uint64_t sample_live_count(void);

/* Makers of forms register once at start-up (before loops run); a maker is pure and may run on any loop. */
typedef struct buf *(*form_make_fn)(
    const struct sample *s); /* NULL: this sample has no such form (skipped) */
void form_register(enum form f, form_make_fn make);
/* The form, made now if nobody did yet; a borrowed view that lives as long as the sample. NULL = skip the sample. */
struct buf *sample_form(struct sample *s, enum form f);
