/* SPDX-License-Identifier: Apache-2.0 */
#include "media/flv.h"

#include "base/clock.h"
#include "base/mem.h"
#include "media/opus.h"

#include <assert.h>
#include <errno.h>

/* E.4.3.1 and "Enhanced Video": frame types */
enum {
    FRAME_KEY = 1,
    FRAME_INTER = 2,
    FRAME_GENERATED_KEY = 4,
    FRAME_COMMAND = 5
};

enum {
    VIDEO_AVC = 7,
    VIDEO_HEVC = 12 /* used by some encoders before E-RTMP */
};
enum {
    AUDIO_MP3 = 2,
    AUDIO_EX = 9,
    AUDIO_AAC = 10,
    AUDIO_MP3_8K = 14
};

/* VideoPacketType; AudioPacketType is the same but for what EX_AUDIO_ says. */
enum {
    EX_SEQUENCE_START = 0,
    EX_CODED_FRAMES = 1,
    EX_SEQUENCE_END = 2,
    EX_CODED_FRAMES_X = 3,
    EX_METADATA = 4, /* audio: MultichannelConfig */
    EX_MPEG2TS_SEQUENCE_START = 5,
    EX_MULTITRACK = 6,
    EX_AUDIO_MULTITRACK = 5,
    EX_MOD_EX = 7,
};

enum {
    ONE_TRACK = 0,
    MANY_TRACKS = 1,
    MANY_TRACKS_MANY_CODECS = 2
};

#define FOURCC(s)                                                                                  \
    ((uint32_t)(s)[0] << 24 | (uint32_t)(s)[1] << 16 | (uint32_t)(s)[2] << 8 | (uint32_t)(s)[3])

static const char *const fourccs[CODEC_N] = {
    [CODEC_H264] = "avc1", [CODEC_HEVC] = "hvc1", [CODEC_AV1] = "av01", [CODEC_VP9] = "vp09",
    [CODEC_AAC] = "mp4a",  [CODEC_OPUS] = "Opus", [CODEC_MP3] = ".mp3",
};

const char *flv_fourcc_str(enum codec c)
{
    return fourccs[c];
}

/* ---- publish: bodies to packets ---- */

void flv_iter_init(struct flv_iter *it, enum track_kind kind, struct bytes body)
{
    *it = (struct flv_iter){.r = rd_init(body), .head = {.kind = kind}};
}

static int finish(struct flv_iter *it, int r)
{
    it->r.p = it->r.end;
    it->multitrack = false;
    return r;
}

static int malformed(struct flv_iter *it, struct error *err)
{
    const char *where = it->head.kind == TRACK_VIDEO ? "video" : "audio";
    return error_set(err, finish(it, -EINVAL), where, "message body is cut short or malformed");
}

static int unsupported(struct flv_iter *it, unsigned id, struct error *err)
{
    const char *where = it->head.kind == TRACK_VIDEO ? "video" : "audio";
    return error_set(err, finish(it, -ENOTSUP), where, "codec id %u is not supported", id);
}

static int32_t read_si24(struct rd *r)
{
    return (int32_t)(rd_u24be(r) << 8) >> 8;
}

/* The rest of the body is this packet's. */
static int last_packet(struct flv_iter *it, struct flv_packet *ret, struct error *err)
{
    it->head.data = rd_bytes(&it->r, rd_left(&it->r));
    if (rd_failed(&it->r)) {
        return malformed(it, err);
    }
    *ret = it->head;
    return finish(it, 1);
}

static int ignored(struct flv_iter *it, struct flv_packet *ret)
{
    it->head.type = FLV_IGNORED;
    *ret = it->head;
    return finish(it, 1);
}

/* VIDEODATA with AVCVIDEOPACKET, E.4.3.1 and E.4.3.2. */
static int next_legacy_video(struct flv_iter *it, unsigned first, struct flv_packet *ret,
                             struct error *err)
{
    unsigned codec = first & 15;
    unsigned frame = first >> 4;
    if (frame == FRAME_COMMAND) {
        return ignored(it, ret);
    }
    if (codec != VIDEO_AVC && codec != VIDEO_HEVC) {
        return unsupported(it, codec, err);
    }
    it->head.codec = codec == VIDEO_AVC ? CODEC_H264 : CODEC_HEVC;
    it->head.key = frame == FRAME_KEY || frame == FRAME_GENERATED_KEY;
    unsigned type = rd_u8(&it->r);
    it->head.cts_ms = read_si24(&it->r);
    if (type > 2) {
        return malformed(it, err);
    }
    it->head.type = type == 0   ? FLV_SEQUENCE_START
                    : type == 1 ? FLV_CODED_FRAMES
                                : FLV_SEQUENCE_END;
    return last_packet(it, ret, err);
}

/* AUDIODATA with AACAUDIODATA, E.4.2.1 and E.4.2.2. */
static int next_legacy_audio(struct flv_iter *it, unsigned first, struct flv_packet *ret,
                             struct error *err)
{
    unsigned format = first >> 4;
    it->head.type = FLV_CODED_FRAMES;
    if (format == AUDIO_AAC) {
        unsigned type = rd_u8(&it->r);
        if (type > 1) {
            return malformed(it, err);
        }
        it->head.codec = CODEC_AAC;
        it->head.type = type == 0 ? FLV_SEQUENCE_START : FLV_CODED_FRAMES;
    } else if (format == AUDIO_MP3 || format == AUDIO_MP3_8K) {
        it->head.codec = CODEC_MP3;
    } else {
        return unsupported(it, format, err);
    }
    return last_packet(it, ret, err);
}

/* False when the four characters name nothing we carry as this kind. */
static bool set_codec(struct flv_packet *p, uint32_t fourcc)
{
    for (unsigned i = 0; i < CODEC_N; i++) {
        if (FOURCC(fourccs[i]) == fourcc && codec_kind(i) == p->kind) {
            p->codec = i;
            return true;
        }
    }
    return false;
}

static int unsupported_fourcc(struct flv_iter *it, uint32_t fourcc, struct error *err)
{
    char text[5] = {0};
    for (int i = 0; i < 4; i++) {
        char c = (char)(fourcc >> (24 - 8 * i));
        text[i] = (char)(c >= ' ' && c <= '~' ? c : '?');
    }
    const char *where = it->head.kind == TRACK_VIDEO ? "video" : "audio";
    return error_set(err, finish(it, -ENOTSUP), where, "codec '%s' is not supported", text);
}

/* ModEx prefixes ("Extended signaling"): each says which packet type comes after it. */
static void read_mod_ex(struct flv_iter *it)
{
    while (it->packet_type == EX_MOD_EX && !rd_failed(&it->r)) {
        size_t size = rd_u8(&it->r) + 1u;
        if (size == 256) {
            size = rd_u16be(&it->r) + 1u;
        }
        struct bytes data = rd_bytes(&it->r, size);
        uint8_t next = rd_u8(&it->r);
        if (next >> 4 == 0 && data.len >= 3) { /* TimestampOffsetNano, at most 999999 */
            struct rd r = rd_init(data);
            it->head.nano = MIN(rd_u24be(&r), 999999u);
        }
        it->packet_type = next & 15;
    }
}

/* What a packet type means for this track's bytes in d. False for types that do not exist. */
static bool set_payload(const struct flv_iter *it, struct flv_packet *p, struct bytes d)
{
    struct rd r = rd_init(d);
    bool video = p->kind == TRACK_VIDEO;
    switch (it->packet_type) {
    case EX_SEQUENCE_START:
        p->type = FLV_SEQUENCE_START;
        break;
    case EX_CODED_FRAMES:
        p->type = FLV_CODED_FRAMES;
        if (p->codec == CODEC_H264 || p->codec == CODEC_HEVC) {
            p->cts_ms = read_si24(&r);
        }
        break;
    case EX_SEQUENCE_END:
        p->type = FLV_SEQUENCE_END;
        break;
    case EX_CODED_FRAMES_X:
        p->type = FLV_CODED_FRAMES;
        if (!video) {
            return false;
        }
        break;
    case EX_MPEG2TS_SEQUENCE_START:
        p->type = FLV_SEQUENCE_START;
        p->mpeg2ts_config = true;
        break;
    default: /* metadata, channel layouts, and what later versions add */
        p->type = FLV_IGNORED;
        break;
    }
    p->data = rd_bytes(&r, rd_left(&r));
    return !rd_failed(&r);
}

static int next_track(struct flv_iter *it, struct flv_packet *ret, struct error *err)
{
    struct flv_packet p = it->head;
    bool known = true;
    if (it->multitrack_type == MANY_TRACKS_MANY_CODECS) {
        known = set_codec(&p, rd_u32be(&it->r));
    }
    p.track_id = rd_u8(&it->r);
    size_t size = it->multitrack_type == ONE_TRACK ? rd_left(&it->r) : rd_u24be(&it->r);
    struct bytes data = rd_bytes(&it->r, size);
    if (rd_failed(&it->r) || (known && !set_payload(it, &p, data))) {
        return malformed(it, err);
    }
    p.type = known ? p.type : FLV_IGNORED; /* one track of many that we do not carry */
    *ret = p;
    return 1;
}

static int start_multitrack(struct flv_iter *it, struct error *err)
{
    uint8_t byte = rd_u8(&it->r);
    it->multitrack = true;
    it->multitrack_type = byte >> 4;
    it->packet_type = byte & 15;
    unsigned nested = it->head.kind == TRACK_VIDEO ? EX_MULTITRACK : EX_AUDIO_MULTITRACK;
    if (it->multitrack_type > MANY_TRACKS_MANY_CODECS || it->packet_type == nested ||
        it->packet_type == EX_MOD_EX) {
        return malformed(it, err);
    }
    if (it->multitrack_type != MANY_TRACKS_MANY_CODECS) {
        uint32_t fourcc = rd_u32be(&it->r);
        if (!rd_failed(&it->r) && !set_codec(&it->head, fourcc)) {
            return unsupported_fourcc(it, fourcc, err);
        }
    }
    return rd_failed(&it->r) ? malformed(it, err) : 0;
}

/* ExVideoTagHeader and ExAudioTagHeader, then the body's first packet. */
static int next_enhanced(struct flv_iter *it, struct flv_packet *ret, struct error *err)
{
    bool video = it->head.kind == TRACK_VIDEO;
    read_mod_ex(it);
    if (it->packet_type == (video ? EX_MULTITRACK : EX_AUDIO_MULTITRACK)) {
        int r = start_multitrack(it, err);
        return r < 0 ? r : next_track(it, ret, err);
    }
    uint32_t fourcc = rd_u32be(&it->r);
    if (rd_failed(&it->r)) {
        return malformed(it, err);
    }
    if (!set_codec(&it->head, fourcc)) {
        return unsupported_fourcc(it, fourcc, err);
    }
    if (!set_payload(it, &it->head, rd_bytes(&it->r, rd_left(&it->r)))) {
        return malformed(it, err);
    }
    *ret = it->head;
    return finish(it, 1);
}

int flv_next(struct flv_iter *it, struct flv_packet *ret, struct error *err)
{
    if (rd_left(&it->r) == 0) {
        return 0;
    }
    if (it->multitrack) {
        return next_track(it, ret, err);
    }
    unsigned first = rd_u8(&it->r);
    if (it->head.kind == TRACK_AUDIO) {
        it->packet_type = first & 15;
        return first >> 4 == AUDIO_EX ? next_enhanced(it, ret, err)
                                      : next_legacy_audio(it, first, ret, err);
    }
    if ((first & 0x80) == 0) {
        return next_legacy_video(it, first, ret, err);
    }
    unsigned frame = first >> 4 & 7;
    it->packet_type = first & 15;
    it->head.key = frame == FRAME_KEY || frame == FRAME_GENERATED_KEY;
    if (frame == FRAME_COMMAND && it->packet_type != EX_METADATA) {
        return ignored(it, ret);
    }
    return next_enhanced(it, ret, err);
}

/* ---- publish: packets to samples ---- */

void flv_input_init(struct flv_input *in, unsigned track, enum codec codec)
{
    *in = (struct flv_input){.track = track};
    canon_init(&in->canon, codec);
}

void flv_input_done(struct flv_input *in)
{
    canon_done(&in->canon);
}

static int feed_config(struct flv_input *in, const struct flv_packet *pkt, struct error *err)
{
    _cleanup_buf_ struct buf *dops = NULL;
    struct bytes config = pkt->data;
    if (config.len == 0) {
        return 0; /* some encoders announce a track before they know it */
    }
    if (pkt->codec == CODEC_OPUS) {
        int r = opus_config_from_head(config, &dops, err);
        if (r < 0) {
            return r;
        }
        config = buf_view(dops);
    } else if (pkt->codec == CODEC_VP9 && config.len >= 12 &&
               memcmp(config.data, "\1\0\0\0", 4) == 0) {
        config =
            BYTES(config.data + 4, config.len - 4); /* the box's version and flags came along */
    } else if (pkt->mpeg2ts_config && config.len >= 2) {
        /* AV1 video descriptor: tag and length, then the fields of av1C (AV1 in MPEG-2 TS, 2.2). */
        config = BYTES(config.data + 2, config.len - 2);
    } else if (pkt->codec == CODEC_MP3) {
        return 0; /* each frame says it all */
    }
    int r = canon_config(&in->canon, config, err);
    return r < 0 ? r : 0;
}

static int64_t snap(struct flv_input *in, int64_t dts_ns, const struct buf *payload)
{
    const struct track_params *p = in->canon.params;
    unsigned samples =
        p->codec == CODEC_OPUS ? opus_packet_samples(buf_view(payload)) : p->frame_samples;
    return audio_grid_next(&in->grid, dts_ns, p->sample_rate, samples);
}

int flv_input_feed(struct flv_input *in, const struct flv_packet *pkt, int64_t dts_ns,
                   int64_t arrival_ns, struct sample **ret, struct error *err)
{
    struct canon_result res;
    if (pkt->type == FLV_IGNORED || pkt->type == FLV_SEQUENCE_END) {
        return 0;
    }
    if (pkt->codec != in->canon.codec) {
        return error_set(err, -EINVAL, "codec", "%s on a track of %s", codec_to_str(pkt->codec),
                         codec_to_str(in->canon.codec));
    }
    if (pkt->type == FLV_SEQUENCE_START) {
        return feed_config(in, pkt, err);
    }
    dts_ns += pkt->nano;
    int64_t pts_ns = dts_ns + pkt->cts_ms * NS_PER_MS;
    struct canon_unit unit = {pkt->data, pts_ns, pkt->key};
    int r = canon_feed(&in->canon, &unit, &res, err);
    if (r < 0) {
        return r == -ENODATA ? 0 : r;
    }
    if (!res.payload) {
        return 0;
    }
    if (pkt->kind == TRACK_AUDIO) {
        dts_ns = pts_ns = snap(in, dts_ns, res.payload);
    }
    *ret = sample_new(in->track, in->canon.params, &res.payload, dts_ns, pts_ns, res.flags,
                      arrival_ns);
    return 1;
}

/* ---- play ---- */

uint32_t flv_timestamp_ms(int64_t ns)
{
    return (uint32_t)ticks_from_ns(ns, 1000);
}

static bool is_legacy(enum codec c)
{
    return c == CODEC_H264 || c == CODEC_AAC || c == CODEC_MP3;
}

/* Enhanced headers: video puts the frame type and a high bit in front, audio the sound format 9. */
static uint8_t *put_ex(uint8_t *p, enum codec c, bool key, unsigned packet_type)
{
    assert(c < CODEC_N);
    unsigned high = codec_kind(c) == TRACK_AUDIO ? AUDIO_EX : 8u | (key ? FRAME_KEY : FRAME_INTER);
    p = put_u8(p, (uint8_t)(high << 4 | packet_type));
    return put_bytes(p, BYTES(fourccs[c], 4));
}

/* E.4.2.1. SoundRate has four values; players take the true one from the frame. */
static uint8_t mp3_header_byte(const struct track_params *p)
{
    unsigned format = p->sample_rate == 8000 ? AUDIO_MP3_8K : AUDIO_MP3;
    unsigned rate = p->sample_rate == 22050 ? 2 : p->sample_rate == 11025 ? 1 : 3;
    return (uint8_t)(format << 4 | rate << 2 | 2 | (p->channels > 1));
}

/* frame type and codec, packet type, composition time (E.4.3.1, E.4.3.2). */
static uint8_t *put_avc(uint8_t *p, bool key, uint8_t packet_type, uint32_t cts)
{
    p = put_u8(p, (uint8_t)((key ? FRAME_KEY : FRAME_INTER) << 4 | VIDEO_AVC));
    p = put_u8(p, packet_type);
    return put_u24be(p, cts & 0xffffff);
}

size_t flv_put_header(uint8_t *out, const struct sample *s)
{
    bool key = s->flags & SAMPLE_KEY;
    enum codec codec = s->params->codec;
    uint32_t cts = flv_timestamp_ms(s->pts_ns) - flv_timestamp_ms(s->dts_ns);
    uint8_t *p = out;
    switch (codec) {
    case CODEC_H264:
        p = put_avc(p, key, 1, cts);
        break;
    case CODEC_AAC:
        p = put_u8(p, 0xaf); /* always 44 kHz, 16 bit, stereo, whatever the truth (E.4.2.1) */
        p = put_u8(p, 1);
        break;
    case CODEC_MP3:
        p = put_u8(p, mp3_header_byte(s->params));
        break;
    case CODEC_HEVC:
        p = put_ex(p, codec, key, cts == 0 ? EX_CODED_FRAMES_X : EX_CODED_FRAMES);
        p = cts == 0 ? p : put_u24be(p, cts & 0xffffff);
        break;
    case CODEC_AV1:
    case CODEC_VP9:
    case CODEC_OPUS:
    case CODEC_N:
        p = put_ex(p, codec, key, EX_CODED_FRAMES);
        break;
    }
    return (size_t)(p - out);
}

struct buf *flv_sequence_start(const struct track_params *p)
{
    _cleanup_buf_ struct buf *head =
        p->codec == CODEC_OPUS ? opus_head_build(buf_view(p->config)) : NULL;
    struct bytes config = head ? buf_view(head) : buf_view(p->config);
    uint8_t header[FLV_HEADER_MAX];
    uint8_t *end = header;
    if (p->codec == CODEC_MP3) {
        return NULL;
    }
    if (p->codec == CODEC_H264) {
        end = put_avc(end, true, 0, 0);
    } else if (p->codec == CODEC_AAC) {
        end = put_u8(end, 0xaf);
        end = put_u8(end, 0);
    } else {
        end = put_ex(end, p->codec, true, EX_SEQUENCE_START);
    }
    size_t n = (size_t)(end - header);
    struct buf *b = buf_new(n + config.len);
    put_bytes(put_bytes(b->data, BYTES(header, n)), config);
    return b;
}

struct buf *flv_sequence_end(const struct track_params *p)
{
    uint8_t header[FLV_HEADER_MAX];
    if (p->kind == TRACK_AUDIO) {
        return NULL;
    }
    uint8_t *end = p->codec == CODEC_H264 ? put_avc(header, true, 2, 0)
                                          : put_ex(header, p->codec, true, EX_SEQUENCE_END);
    return buf_copy(BYTES(header, end - header));
}

uint32_t flv_metadata_codec_id(enum codec c)
{
    if (is_legacy(c)) {
        return c == CODEC_H264 ? VIDEO_AVC : c == CODEC_AAC ? AUDIO_AAC : AUDIO_MP3;
    }
    return FOURCC(fourccs[c]);
}
