/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Audio and video message bodies of RTMP, which are FLV tag bodies: legacy (Adobe FLV 10.1, E.4.2 and E.4.3) and Enhanced
 * RTMP v2 ("Enhanced Audio", "Enhanced Video": FourCC, ModEx, multitrack). Both directions, sans-I/O: bytes in, packets and
 * samples out, and back. Timestamps of the messages, chunks and metadata (AMF) belong to protocol/rtmp.
 *
 * Publish: flv_iter over a body gives packets; each packet goes to the flv_input of its (kind, track id), which makes
 * samples:
 *
 *     struct flv_iter it;
 *     struct flv_packet pkt;
 *     flv_iter_init(&it, TRACK_VIDEO, body);
 *     while ((r = flv_next(&it, &pkt, err)) > 0) {
 *         r = flv_input_feed(&inputs[...], &pkt, dts_ns, arrival_ns, &s, err);
 *     }
 *
 * Play: flv_sequence_start() once per track and change of parameters, then flv_put_header() in front of each payload.
 * H.264, AAC and MP3 go out in the legacy form that every player knows, the others by FourCC.
 */
#include "media/canon.h"
#include "media/sample.h"
#include "media/timeline.h"

/* ---- publish ---- */

enum flv_packet_type {
    FLV_SEQUENCE_START, /* data: codec configuration; may repeat unchanged */
    FLV_CODED_FRAMES,   /* data: one access unit */
    FLV_SEQUENCE_END,
    FLV_IGNORED, /* command frames, colour metadata, channel layouts, other codecs' extensions: step over */
};

struct flv_packet {
    enum flv_packet_type type;
    enum track_kind kind;
    enum codec codec;    /* not set in FLV_IGNORED */
    uint8_t track_id;    /* of E-RTMP multitrack; 0 otherwise */
    bool key;            /* video: frame type 1 (4, generated key frame, too) */
    bool mpeg2ts_config; /* AV1: the sequence start is an MPEG-2 TS video descriptor */
    int32_t cts_ms;      /* pts - dts; video only */
    uint32_t nano;       /* ModEx TimestampOffsetNano: to be added to dts and pts */
    struct bytes data;   /* view into the body */
};

struct flv_iter {
    struct rd r; /* private from here */
    bool multitrack;
    uint8_t multitrack_type; /* AvMultitrackType */
    uint8_t packet_type;     /* E-RTMP's VideoPacketType or AudioPacketType */
    struct flv_packet head;  /* what all packets of the body share */
};

/* body is a whole message body and outlives the iterator. An empty body has no packets. */
void flv_iter_init(struct flv_iter *it, enum track_kind kind, struct bytes body);
/*
 * 1 and a packet, 0 at the end; -EINVAL for a malformed body, -ENOTSUP for a codec we do not carry: err names it. After an
 * error the iterator is at its end.
 */
int flv_next(struct flv_iter *it, struct flv_packet *ret, struct error *err);

/*
 * One published track: from packets to samples. Owned by the session. params changes by pointer when the publisher sends
 * another configuration (in a sequence header or in band): compare after each feed, and announce to the engine.
 */
struct flv_input {
    struct canon canon;     /* canon.params: the current parameters, NULL until known */
    unsigned track;         /* the track index written into samples */
    struct audio_grid grid; /* private: audio stamps are put on their sample grid */
};

void flv_input_init(struct flv_input *in, unsigned track, enum codec codec);
void flv_input_done(struct flv_input *in);
/*
 * dts_ns: the unwrapped message timestamp (timeline.h). 1 and *ret (the caller's reference): a sample; 0: none (a
 * configuration, an ignored packet, empty data, or frames before their configuration, which are dropped silently);
 * -EINVAL, -E2BIG, -ENOMEM as canon_feed(). -EINVAL too when pkt->codec is not this track's: the session decides what a
 * codec change means.
 */
int flv_input_feed(struct flv_input *in, const struct flv_packet *pkt, int64_t dts_ns,
                   int64_t arrival_ns, struct sample **ret, struct error *err);

/* ---- play ---- */

/* ns to the 32-bit ms of the wire, rounded, without unwrapping: the message's timestamp is this of dts_ns. */
uint32_t flv_timestamp_ms(int64_t ns);

#define FLV_HEADER_MAX 8 /* what flv_put_header() writes at most */
/* The body's first bytes for s; payload follows unchanged. Returns how many. Composition time = ms(pts) - ms(dts). */
size_t flv_put_header(uint8_t *out, const struct sample *s);
/* The message body that announces parameters; NULL for MP3, which needs none. */
struct buf *flv_sequence_start(const struct track_params *p);
/* The message body that ends a track's sequence; NULL for audio, which players do not expect it on. */
struct buf *flv_sequence_end(const struct track_params *p);
/* Codec numbers of onMetaData: 7, 10, 2 in legacy form, the FourCC as a number otherwise (E-RTMP, "onMetaData"). */
uint32_t flv_metadata_codec_id(enum codec c);
/* "hvc1" and so on, as in the connect command's fourCcList and videoFourCcInfoMap. */
const char *flv_fourcc_str(enum codec c);
