/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a track is: codec and immutable parameters. A publisher that gets new parameter sets makes a new object; a reader
 * that sees another pointer in a sample sends a new header. Reference-counted atomically, shared across loops.
 */
#include "base/buf.h"
#include "base/error.h"

enum track_kind {
    TRACK_VIDEO,
    TRACK_AUDIO,
    TRACK_KIND_N,
};

enum codec {
    CODEC_H264,
    CODEC_HEVC,
    CODEC_AV1,
    CODEC_VP9,
    CODEC_AAC,
    CODEC_OPUS,
    CODEC_MP3,
    CODEC_N,
};

#define TRACKS_MAX 8 /* of one stream */

/*
 * config is what an ISO BMFF sample entry carries, so that a writer copies it:
 *   H264 avcC body (ISO/IEC 14496-15 5.3.3.1) · HEVC hvcC body (8.3.3.1) · AV1 av1C body (AV1-ISOBMFF 2.3.3)
 *   VP9 vpcC body after the full-box header (VP9-ISOBMFF) · AAC AudioSpecificConfig (ISO/IEC 14496-3 1.6.2.1)
 *   Opus dOps body (Opus-in-ISOBMFF 4.3.2) · MP3 none (NULL)
 */
struct track_params {
    atomic_uint refs; /* private */
    enum codec codec;
    enum track_kind kind;
    struct buf *config;
    char rfc6381[40]; /* "avc1.64001f", "mp4a.40.2", "opus", ... */
    /* video */
    uint16_t width; /* displayed size, after cropping */
    uint16_t height;
    uint32_t fps_num; /* 0/0 when the parameter sets do not say */
    uint32_t fps_den;
    uint8_t reorder_depth;   /* pictures; 0 = dts equals pts */
    uint8_t nal_length_size; /* of what the publisher sends; canonical bytes always use 4 */
    /* audio */
    uint32_t sample_rate;
    uint8_t channels;
    uint16_t
        frame_samples; /* per access unit at sample_rate: AAC 1024 (SBR 2048), MP3 1152, Opus 0 = varies */
    uint16_t preroll_samples; /* Opus pre-skip */
};

/*
 * Parses config, fills everything above. -EINVAL with err when config is not what the codec needs; -ENOMEM. MP3 has no
 * configuration of its own: there config is the beginning of a frame. VP9's does not hold the size (width and height stay
 * 0), nor does AV1's without a sequence header; media/canon.h completes both from the first key frame.
 */
int track_params_new(enum codec codec, struct bytes config, struct track_params **ret,
                     struct error *err);
struct track_params *track_params_ref(struct track_params *p);
void track_params_unref(struct track_params **pp);
uint64_t track_params_live_count(void);
/* Same codec, same config bytes, same size and sample rate (which VP9 and MP3 have outside config). NULLs are fine. */
bool track_params_equal(const struct track_params *a, const struct track_params *b);

const char *codec_to_str(enum codec c); /* "h264", "hevc", "av1", "vp9", "aac", "opus", "mp3" */
int codec_from_str(const char *s);      /* -EINVAL */
enum track_kind codec_kind(enum codec c);
