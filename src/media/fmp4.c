/* SPDX-License-Identifier: Apache-2.0 */
#include "media/fmp4.h"

#include "base/mem.h"
#include "media/rtp_payload.h"
#include "media/timeline.h"

#include <assert.h>
#include <stdio.h>

#define VIDEO_TIMESCALE 90000

uint32_t fmp4_timescale(const struct track_params *p)
{
    return p->kind == TRACK_AUDIO && p->sample_rate > 0 ? p->sample_rate : VIDEO_TIMESCALE;
}

/* ---- boxes ---- */

static size_t box_open(struct out *o, const char *type)
{
    size_t at = o->len;
    out_u32be(o, 0);
    out_mem(o, type, 4);
    return at;
}

static size_t full_box_open(struct out *o, const char *type, uint8_t version, uint32_t flags)
{
    size_t at = box_open(o, type);
    out_u8(o, version);
    out_u24be(o, flags);
    return at;
}

static void box_close(struct out *o, size_t at)
{
    put_u32be(o->data + at, (uint32_t)(o->len - at));
}

static void zeros(struct out *o, size_t n)
{
    memset(out_extend(o, n), 0, n);
}

/* The unity matrix of mvhd and tkhd. */
static void matrix(struct out *o)
{
    static const uint32_t unity[9] = {0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000};
    for (int i = 0; i < 9; i++) {
        out_u32be(o, unity[i]);
    }
}

/* ---- sample entries ---- */

/* A descriptor's tag and size (ISO/IEC 14496-1 8.3.3), always in four bytes of seven bits. */
static void write_descriptor(struct out *o, uint8_t tag, size_t size)
{
    out_u8(o, tag);
    for (int shift = 21; shift > 0; shift -= 7) {
        out_u8(o, (uint8_t)(0x80 | (size >> shift & 0x7f)));
    }
    out_u8(o, (uint8_t)(size & 0x7f));
}

/* ISO/IEC 14496-1 7.2.6. */
static void write_esds(struct out *o, const struct track_params *p)
{
    struct bytes config = p->codec == CODEC_AAC ? buf_view(p->config) : BYTES(NULL, 0);
    size_t dsi = config.len > 0 ? 5 + config.len : 0;
    /* MPEG-4 audio; MP3 at the rates of MPEG-1, and of MPEG-2 */
    uint8_t object_type = p->codec == CODEC_AAC ? 0x40 : p->sample_rate >= 32000 ? 0x6b : 0x69;
    size_t esds = full_box_open(o, "esds", 0, 0);
    write_descriptor(o, 3, 3 + 5 + 13 + dsi + 5 + 1); /* ES_Descriptor */
    out_u24be(o, 0);
    write_descriptor(o, 4, 13 + dsi); /* DecoderConfigDescriptor */
    out_u8(o, object_type);
    out_u8(o, 0x15); /* audio stream */
    out_u24be(o, 0); /* buffer size, rates: unknown */
    out_u32be(o, 0);
    out_u32be(o, 0);
    if (dsi > 0) {
        write_descriptor(o, 5, config.len); /* DecoderSpecificInfo */
        out_bytes(o, config);
    }
    write_descriptor(o, 6, 1); /* SLConfigDescriptor: predefined for MP4 */
    out_u8(o, 2);
    box_close(o, esds);
}

static void write_config(struct out *o, const struct track_params *p)
{
    static const char *const box[CODEC_N] = {
        [CODEC_H264] = "avcC", [CODEC_HEVC] = "hvcC", [CODEC_AV1] = "av1C",
        [CODEC_VP9] = "vpcC",  [CODEC_OPUS] = "dOps",
    };
    if (!box[p->codec]) {
        write_esds(o, p);
        return;
    }
    size_t at =
        p->codec == CODEC_VP9 ? full_box_open(o, box[p->codec], 1, 0) : box_open(o, box[p->codec]);
    out_bytes(o, buf_view(p->config));
    box_close(o, at);
}

static void write_sample_entry(struct out *o, const struct track_params *p)
{
    static const char *const name[CODEC_N] = {
        [CODEC_H264] = "avc1", [CODEC_HEVC] = "hvc1", [CODEC_AV1] = "av01", [CODEC_VP9] = "vp09",
        [CODEC_AAC] = "mp4a",  [CODEC_OPUS] = "Opus", [CODEC_MP3] = "mp4a",
    };
    size_t at = box_open(o, name[p->codec]);
    zeros(o, 6);
    out_u16be(o, 1);              /* data reference */
    if (p->kind == TRACK_VIDEO) { /* 12.1.3 */
        zeros(o, 16);
        out_u16be(o, p->width);
        out_u16be(o, p->height);
        out_u32be(o, 0x480000); /* 72 dpi */
        out_u32be(o, 0x480000);
        out_u32be(o, 0);
        out_u16be(o, 1); /* frames per sample */
        zeros(o, 32);    /* compressor name */
        out_u16be(o, 24);
        out_u16be(o, 0xffff);
    } else { /* 12.2.3 */
        zeros(o, 8);
        out_u16be(o, p->channels);
        out_u16be(o, 16);
        out_u32be(o, 0);
        out_u32be(o, p->sample_rate <= UINT16_MAX ? p->sample_rate << 16 : 0);
    }
    write_config(o, p);
    box_close(o, at);
}

/* ---- init segment ---- */

/* The empty tables of a fragmented file. */
static void write_stbl(struct out *o, const struct track_params *p)
{
    static const char *const empty[] = {"stts", "stsc", "stco"};
    size_t stbl = box_open(o, "stbl");
    size_t stsd = full_box_open(o, "stsd", 0, 0);
    out_u32be(o, 1);
    write_sample_entry(o, p);
    box_close(o, stsd);
    for (int i = 0; i < 3; i++) {
        size_t at = full_box_open(o, empty[i], 0, 0);
        out_u32be(o, 0);
        box_close(o, at);
    }
    size_t stsz = full_box_open(o, "stsz", 0, 0);
    zeros(o, 8);
    box_close(o, stsz);
    box_close(o, stbl);
}

static void write_minf(struct out *o, const struct track_params *p)
{
    bool video = p->kind == TRACK_VIDEO;
    size_t minf = box_open(o, "minf");
    size_t header = video ? full_box_open(o, "vmhd", 0, 1) : full_box_open(o, "smhd", 0, 0);
    zeros(o, video ? 8 : 4);
    box_close(o, header);
    size_t dinf = box_open(o, "dinf");
    size_t dref = full_box_open(o, "dref", 0, 0);
    out_u32be(o, 1);
    size_t url = full_box_open(o, "url ", 0, 1); /* in this file */
    box_close(o, url);
    box_close(o, dref);
    box_close(o, dinf);
    write_stbl(o, p);
    box_close(o, minf);
}

static void write_mdia(struct out *o, const struct track_params *p)
{
    bool video = p->kind == TRACK_VIDEO;
    size_t mdia = box_open(o, "mdia");
    size_t mdhd = full_box_open(o, "mdhd", 0, 0);
    zeros(o, 8);
    out_u32be(o, fmp4_timescale(p));
    out_u32be(o, 0);
    out_u16be(o, 0x55c4); /* "und" */
    out_u16be(o, 0);
    box_close(o, mdhd);
    size_t hdlr = full_box_open(o, "hdlr", 0, 0);
    out_u32be(o, 0);
    out_mem(o, video ? "vide" : "soun", 4);
    zeros(o, 12);
    out_mem(o, video ? "video" : "audio", 6); /* with its NUL */
    box_close(o, hdlr);
    write_minf(o, p);
    box_close(o, mdia);
}

static void write_trak(struct out *o, const struct track_params *p, uint32_t id)
{
    bool video = p->kind == TRACK_VIDEO;
    size_t trak = box_open(o, "trak");
    size_t tkhd = full_box_open(o, "tkhd", 0, 3); /* enabled, in the movie */
    zeros(o, 8);
    out_u32be(o, id);
    zeros(o, 4 + 4 + 8 + 4); /* reserved, duration, reserved, layer, group */
    out_u16be(o, video ? 0 : 0x100);
    out_u16be(o, 0);
    matrix(o);
    out_u32be(o, (uint32_t)p->width << 16);
    out_u32be(o, (uint32_t)p->height << 16);
    box_close(o, tkhd);
    write_mdia(o, p);
    box_close(o, trak);
}

static void write_mvhd(struct out *o, uint32_t next_id)
{
    size_t mvhd = full_box_open(o, "mvhd", 0, 0);
    zeros(o, 8);
    out_u32be(o, 1000);
    out_u32be(o, 0);
    out_u32be(o, 0x10000); /* rate 1 */
    out_u16be(o, 0x100);   /* volume 1 */
    zeros(o, 10);
    matrix(o);
    zeros(o, 24);
    out_u32be(o, next_id);
    box_close(o, mvhd);
}

static void write_mvex(struct out *o, const struct track_params *const params[], unsigned n)
{
    size_t mvex = box_open(o, "mvex");
    for (unsigned i = 0; i < n; i++) {
        if (params[i]) {
            size_t trex = full_box_open(o, "trex", 0, 0);
            out_u32be(o, i + 1);
            out_u32be(o, 1); /* sample description */
            zeros(o, 12);    /* each trun says duration, size and flags itself */
            box_close(o, trex);
        }
    }
    box_close(o, mvex);
}

struct buf *fmp4_init_make(const struct track_params *const params[], unsigned n)
{
    _cleanup_(out_done) struct out o = {0};
    size_t ftyp = box_open(&o, "ftyp");
    out_puts(&o, "iso6");
    out_u32be(&o, 0);
    out_puts(&o, "iso6cmfcmp41");
    box_close(&o, ftyp);
    size_t moov = box_open(&o, "moov");
    write_mvhd(&o, n + 1);
    for (unsigned i = 0; i < n; i++) {
        if (params[i]) {
            write_trak(&o, params[i], i + 1);
        }
    }
    write_mvex(&o, params, n);
    box_close(&o, moov);
    return buf_copy(out_view(&o));
}

char *fmp4_mime(const struct track_params *const params[], unsigned n, char *buf, size_t size)
{
    _cleanup_(out_done) struct out o = {0};
    const char *kind = "audio";
    const char *comma = "";
    for (unsigned i = 0; i < n; i++) {
        if (params[i]) {
            kind = params[i]->kind == TRACK_VIDEO ? "video" : kind;
            out_printf(&o, "%s%s", comma, params[i]->rfc6381);
            comma = ",";
        }
    }
    snprintf(buf, size, "%s/mp4; codecs=\"%s\"", kind, out_str(&o));
    return buf;
}

/* ---- chunk ---- */

/* 8.8.3.1: is_leading, depends_on, is_depended_on, and whether it is a sync sample. */
static uint32_t sample_flags(const struct sample *s)
{
    if (s->flags & SAMPLE_KEY) {
        return 0x02000000;
    }
    return 0x01010000 | (s->flags & SAMPLE_LEADING ? 0x04000000u : 0) |
           (s->flags & SAMPLE_DROPPABLE ? 0x00800000u : 0);
}

static uint8_t *put_box(uint8_t *p, uint32_t size, const char *type)
{
    p = put_u32be(p, size);
    return put_bytes(p, BYTES(type, 4));
}

struct buf *fmp4_chunk_make(const struct sample *s)
{
    size_t size = s->payload ? s->payload->len : 0;
    if (size > UINT32_MAX - FMP4_CHUNK_HEADER) {
        return NULL;
    }
    uint32_t rate = fmp4_timescale(s->params);
    int64_t dts = ticks_from_ns(s->dts_ns, rate);
    int64_t duration = ticks_between(s->dts_ns, s->dts_ns + s->duration_ns, rate);
    int64_t offset = ticks_between(s->dts_ns, s->pts_ns, rate);
    struct buf *b = buf_new(FMP4_CHUNK_HEADER + size);
    uint8_t *p = put_box(b->data, FMP4_CHUNK_HEADER - 8, "moof");
    p = put_box(p, 16, "mfhd");
    p = put_u32be(p, 0);
    p = put_u32be(p, (uint32_t)s->seq);
    p = put_box(p, 8 + 16 + 20 + 36, "traf");
    p = put_box(p, 16, "tfhd");
    p = put_u32be(p, 0x020000); /* default-base-is-moof */
    p = put_u32be(p, s->track + 1u);
    p = put_box(p, 20, "tfdt");
    p = put_u32be(p, 1u << 24); /* version 1: 64 bits */
    p = put_u64be(p, dts > 0 ? (uint64_t)dts : 0);
    p = put_box(p, 36, "trun");
    p = put_u32be(p,
                  1u << 24 | 0xf01); /* signed offsets; data offset, duration, size, flags, cto */
    p = put_u32be(p, 1);
    p = put_u32be(p, FMP4_CHUNK_HEADER);
    p = put_u32be(p, duration > 0 ? (uint32_t)duration : 0);
    p = put_u32be(p, (uint32_t)size);
    p = put_u32be(p, sample_flags(s));
    p = put_u32be(p, (uint32_t)offset);
    p = put_box(p, (uint32_t)(8 + size), "mdat");
    assert(p == b->data + FMP4_CHUNK_HEADER);
    put_bytes(p, buf_view(s->payload));
    return b;
}

void media_register_forms(void)
{
    form_register(FORM_CMAF, fmp4_chunk_make);
    form_register(FORM_RTP, rtp_payloads_make);
}
