/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A reader of the MP4 files in test/data/media, as ffmpeg writes them: one stsd entry and whole tables per track. It trusts
 * its input (asserts), and hands out what a publisher would have: configuration, access units, times.
 */
#include "base/mem.h"
#include "media/sample.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define FIXTURE_SAMPLES_MAX 256

struct fixture_sample {
    struct bytes data;
    int64_t dts; /* ticks */
    int64_t pts;
    uint32_t duration;
    bool key;
};

struct fixture_track {
    enum codec codec;
    uint32_t timescale;
    struct bytes config; /* as track_params_new() takes it; for MP3 the first frame */
    unsigned n;
    struct fixture_sample samples[FIXTURE_SAMPLES_MAX];
};

struct fixture {
    uint8_t *file;
    size_t len;
    unsigned n;
    struct fixture_track tracks[2];
};

static inline struct bytes fixture_box(struct bytes in, const char *type)
{
    struct rd r = rd_init(in);
    while (rd_left(&r) >= 8) {
        uint32_t size = rd_u32be(&r);
        struct bytes name = rd_bytes(&r, 4);
        struct bytes body = rd_bytes(&r, size - 8);
        assert(!rd_failed(&r));
        if (bytes_equal_str(name, type)) {
            return body;
        }
    }
    return BYTES(NULL, 0);
}

static inline struct bytes fixture_skip(struct bytes b, size_t n)
{
    assert(b.len >= n);
    return BYTES(b.data + n, b.len - n);
}

/* The DecoderSpecificInfo of an esds whose sizes are below 128 or padded to four bytes. */
static inline struct bytes fixture_dsi(struct bytes esds)
{
    struct rd r = rd_init(fixture_skip(esds, 4));
    while (rd_left(&r) > 0) {
        uint8_t tag = rd_u8(&r);
        uint8_t size = rd_u8(&r);
        while (size & 0x80) {
            size = rd_u8(&r);
        }
        if (tag == 5) {
            return rd_bytes(&r, size);
        }
        rd_skip(&r, tag == 3 ? 3 : tag == 4 ? 13 : size);
    }
    return BYTES(NULL, 0);
}

static inline void fixture_stsd(struct fixture_track *t, struct bytes stsd)
{
    static const struct {
        const char *entry;
        const char *box;
        enum codec codec;
        size_t header;
        size_t full;
    } known[] = {
        {"avc1", "avcC", CODEC_H264, 78, 0}, {"hvc1", "hvcC", CODEC_HEVC, 78, 0},
        {"av01", "av1C", CODEC_AV1, 78, 0},  {"vp09", "vpcC", CODEC_VP9, 78, 4},
        {"mp4a", "esds", CODEC_AAC, 28, 0},  {"Opus", "dOps", CODEC_OPUS, 28, 0},
    };
    struct bytes entries = fixture_skip(stsd, 8);
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        struct bytes entry = fixture_box(entries, known[i].entry);
        if (entry.data) {
            t->codec = known[i].codec;
            struct bytes box = fixture_box(fixture_skip(entry, known[i].header), known[i].box);
            t->config = t->codec == CODEC_AAC ? fixture_dsi(box) : fixture_skip(box, known[i].full);
            if (t->codec == CODEC_AAC && !t->config.data) {
                t->codec = CODEC_MP3;
            }
            return;
        }
    }
    abort();
}

/* Run-length tables: stts and ctts. */
static inline void fixture_times(struct fixture_track *t, struct bytes stts, struct bytes ctts)
{
    int64_t dts = 0;
    unsigned k = 0;
    struct rd r = rd_init(fixture_skip(stts, 4));
    for (uint32_t n = rd_u32be(&r); n > 0; n--) {
        uint32_t count = rd_u32be(&r);
        uint32_t delta = rd_u32be(&r);
        for (; count > 0; count--, k++) {
            t->samples[k].dts = t->samples[k].pts = dts;
            t->samples[k].duration = delta;
            dts += delta;
        }
    }
    assert(k == t->n);
    if (ctts.data) {
        k = 0;
        r = rd_init(fixture_skip(ctts, 4));
        for (uint32_t n = rd_u32be(&r); n > 0; n--) {
            uint32_t count = rd_u32be(&r);
            int32_t offset = (int32_t)rd_u32be(&r);
            for (; count > 0; count--, k++) {
                t->samples[k].pts += offset;
            }
        }
    }
}

static inline void fixture_places(const struct fixture *f, struct fixture_track *t,
                                  struct bytes stsc, struct bytes stsz, struct bytes stco)
{
    struct rd chunks = rd_init(fixture_skip(stco, 4));
    struct rd sizes = rd_init(fixture_skip(stsz, 4));
    uint32_t fixed_size = rd_u32be(&sizes);
    struct rd runs = rd_init(fixture_skip(stsc, 4));
    rd_skip(&sizes, 4);
    uint32_t n_chunks = rd_u32be(&chunks);
    uint32_t n_runs = rd_u32be(&runs);
    uint32_t per_chunk = 0;
    uint32_t next_first = n_runs > 0 ? rd_u32be(&runs) : 0;
    unsigned k = 0;
    for (uint32_t c = 1; c <= n_chunks; c++) {
        if (n_runs > 0 && c == next_first) {
            per_chunk = rd_u32be(&runs);
            rd_skip(&runs, 4);
            next_first = --n_runs > 0 ? rd_u32be(&runs) : 0;
        }
        uint32_t at = rd_u32be(&chunks);
        for (uint32_t i = 0; i < per_chunk && k < t->n; i++, k++) {
            uint32_t size = fixed_size > 0 ? fixed_size : rd_u32be(&sizes);
            assert(at + (size_t)size <= f->len);
            t->samples[k].data = BYTES(f->file + at, size);
            at += size;
        }
    }
    assert(k == t->n && !rd_failed(&sizes));
}

static inline void fixture_trak(struct fixture *f, struct bytes trak)
{
    struct fixture_track *t = &f->tracks[f->n++];
    struct bytes mdia = fixture_box(trak, "mdia");
    struct rd mdhd = rd_init(fixture_skip(fixture_box(mdia, "mdhd"), 12));
    t->timescale = rd_u32be(&mdhd);
    struct bytes stbl = fixture_box(fixture_box(mdia, "minf"), "stbl");
    struct rd stsz = rd_init(fixture_skip(fixture_box(stbl, "stsz"), 8));
    t->n = rd_u32be(&stsz);
    assert(t->n > 0 && t->n <= FIXTURE_SAMPLES_MAX);
    fixture_stsd(t, fixture_box(stbl, "stsd"));
    fixture_times(t, fixture_box(stbl, "stts"), fixture_box(stbl, "ctts"));
    fixture_places(f, t, fixture_box(stbl, "stsc"), fixture_box(stbl, "stsz"),
                   fixture_box(stbl, "stco"));
    struct bytes stss = fixture_box(stbl, "stss");
    for (unsigned i = 0; i < t->n; i++) {
        t->samples[i].key = !stss.data;
    }
    if (stss.data) {
        struct rd r = rd_init(fixture_skip(stss, 4));
        for (uint32_t n = rd_u32be(&r); n > 0; n--) {
            t->samples[rd_u32be(&r) - 1].key = true;
        }
    }
    if (t->codec == CODEC_MP3) {
        t->config = t->samples[0].data;
    }
}

/* Track 0 is the video one, as ffmpeg orders them. */
static inline struct fixture *fixture_open_path(const char *path)
{
    FILE *in = fopen(path, "rb");
    assert(in);
    struct fixture *f = mem_new(struct fixture);
    f->file = mem_alloc(1 << 20);
    f->len = fread(f->file, 1, 1 << 20, in);
    fclose(in);
    struct bytes moov = fixture_box(BYTES(f->file, f->len), "moov");
    struct rd r = rd_init(moov);
    while (rd_left(&r) >= 8 && f->n < 2) {
        uint32_t size = rd_u32be(&r);
        struct bytes name4 = rd_bytes(&r, 4);
        struct bytes body = rd_bytes(&r, size - 8);
        if (bytes_equal_str(name4, "trak")) {
            fixture_trak(f, body);
        }
    }
    assert(f->n == 2);
    return f;
}

static inline struct fixture *fixture_open(const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/media/%s", TEST_DATA, name);
    return fixture_open_path(path);
}

static inline void fixture_close(struct fixture *f)
{
    free(f->file);
    free(f);
}

/* "6742c0..." to bytes; the caller's array is large enough. */
static inline struct bytes fixture_hex(const char *hex, uint8_t *into)
{
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        unsigned byte;
        int got = sscanf(hex + 2 * i, "%2x", &byte);
        assert(got == 1);
        into[i] = (uint8_t)byte;
    }
    return BYTES(into, n);
}

/* A writer of bits, most significant first, to make headers that no encoder at hand makes. */
struct fixture_bits {
    uint8_t data[512];
    unsigned n; /* bits */
};

static inline void fixture_u(struct fixture_bits *b, unsigned bits, uint64_t v)
{
    while (bits-- > 0) {
        assert(b->n < sizeof(b->data) * 8);
        b->data[b->n / 8] |= (uint8_t)((v >> bits & 1) << (7 - b->n % 8));
        b->n++;
    }
}

static inline void fixture_ue(struct fixture_bits *b, uint32_t v)
{
    unsigned len = 0;
    while (((uint64_t)v + 1) >> (len + 1)) {
        len++;
    }
    fixture_u(b, len, 0);
    fixture_u(b, len + 1, (uint64_t)v + 1);
}

/* With the stop bit. Emulation prevention is the caller's: the headers in these tests need none. */
static inline struct bytes fixture_rbsp(struct fixture_bits *b)
{
    fixture_u(b, 1, 1);
    return BYTES(b->data, (b->n + 7) / 8);
}

/* Length-prefixed units of 4 bytes to start codes, or to lengths of another size. */
static inline void fixture_repack(struct bytes au, unsigned length_size, struct out *o)
{
    struct rd r = rd_init(au);
    while (rd_left(&r) > 0) {
        struct bytes nal = rd_bytes(&r, rd_u32be(&r));
        assert(!rd_failed(&r));
        if (length_size == 0) {
            out_mem(o, "\0\0\0\1", 4);
        }
        for (unsigned i = length_size; i > 0; i--) {
            out_u8(o, (uint8_t)(nal.len >> (8 * (i - 1))));
        }
        out_bytes(o, nal);
    }
}

static inline void fixture_unit(struct out *o, struct bytes nal)
{
    out_u32be(o, (uint32_t)nal.len);
    out_bytes(o, nal);
}
