/* SPDX-License-Identifier: Apache-2.0 */
#include "mp4_samples.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>

#define FOURCC(s)                                                                                  \
    ((uint32_t)(s)[0] << 24 | (uint32_t)(s)[1] << 16 | (uint32_t)(s)[2] << 8 | (uint32_t)(s)[3])

struct box {
    uint32_t type;
    const uint8_t *start;
    struct rd body;
};

static bool next_box(struct rd *r, struct box *ret)
{
    if (rd_left(r) < 8) {
        return false;
    }
    ret->start = r->p;
    uint64_t size = rd_u32be(r);
    ret->type = rd_u32be(r);
    if (size == 1) {
        size = rd_u64be(r);
    }
    const size_t head = (size_t)(r->p - ret->start);
    if (size < head) {
        return false;
    }
    ret->body = rd_init(rd_bytes(r, size - head));
    return !rd_failed(r);
}

static bool find_box(struct rd in, const char *type, struct rd *ret)
{
    struct box b;
    while (next_box(&in, &b)) {
        if (b.type == FOURCC(type)) {
            *ret = b.body;
            return true;
        }
    }
    return false;
}

/* ISO/IEC 14496-1 7.2.6: a descriptor's tag and its length in up to four bytes of seven bits. */
static bool find_descriptor(struct rd *r, uint8_t tag)
{
    while (rd_left(r) > 0) {
        const uint8_t found = rd_u8(r);
        uint32_t len = 0;
        uint8_t b;
        do {
            b = rd_u8(r);
            len = len << 7 | (b & 0x7f);
        } while (b & 0x80);
        if (found == tag) {
            *r = rd_init(rd_bytes(r, len));
            return true;
        }
        rd_skip(r, len);
    }
    return false;
}

static int read_esds(struct rd r, struct mp4_track *t)
{
    rd_skip(&r, 4);
    if (!find_descriptor(&r, 3)) {
        return -EINVAL;
    }
    rd_skip(&r, 3);
    if (!find_descriptor(&r, 4)) {
        return -EINVAL;
    }
    const uint8_t object_type = rd_u8(&r);
    if (object_type == 0x69 || object_type == 0x6b) {
        t->codec = CODEC_MP3;
        return 0;
    }
    t->codec = CODEC_AAC;
    rd_skip(&r, 12);
    if (!find_descriptor(&r, 5)) {
        return -EINVAL;
    }
    t->config = rd_bytes(&r, rd_left(&r));
    return 0;
}

static int read_entry(struct box *entry, struct mp4_track *t)
{
    static const struct {
        const char *entry, *config;
        enum codec codec;
    } kinds[] = {
        {"avc1", "avcC", CODEC_H264}, {"hev1", "hvcC", CODEC_HEVC}, {"hvc1", "hvcC", CODEC_HEVC},
        {"av01", "av1C", CODEC_AV1},  {"vp09", "vpcC", CODEC_VP9},  {"Opus", "dOps", CODEC_OPUS},
        {"mp4a", "esds", CODEC_AAC},
    };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (entry->type != FOURCC(kinds[i].entry)) {
            continue;
        }
        t->codec = kinds[i].codec;
        struct rd r = entry->body;
        if (codec_kind(t->codec) == TRACK_VIDEO) {
            rd_skip(&r, 24);
            t->width = rd_u16be(&r);
            t->height = rd_u16be(&r);
            rd_skip(&r, 50);
        } else {
            rd_skip(&r, 28);
        }
        struct rd config;
        if (!find_box(r, kinds[i].config, &config)) {
            return -EINVAL;
        }
        t->config = rd_bytes(&config, rd_left(&config));
        return t->codec == CODEC_AAC ? read_esds(rd_init(t->config), t) : 0;
    }
    return -ENOTSUP;
}

static int read_track(struct rd trak, struct mp4_track *t)
{
    struct rd tkhd;
    struct rd mdia;
    struct rd mdhd;
    struct rd r;
    if (!find_box(trak, "tkhd", &tkhd) || !find_box(trak, "mdia", &mdia) ||
        !find_box(mdia, "mdhd", &mdhd) || !find_box(mdia, "minf", &r) || !find_box(r, "stbl", &r) ||
        !find_box(r, "stsd", &r)) {
        return -EINVAL;
    }
    rd_skip(&tkhd, tkhd.p[0] == 1 ? 20 : 12);
    t->id = rd_u32be(&tkhd);
    rd_skip(&mdhd, mdhd.p[0] == 1 ? 20 : 12);
    t->timescale = rd_u32be(&mdhd);
    rd_skip(&r, 8);
    struct box entry;
    return next_box(&r, &entry) ? read_entry(&entry, t) : -EINVAL;
}

static struct mp4_track *track_by_id(struct mp4_file *f, uint32_t id)
{
    for (unsigned i = 0; i < f->n_tracks; i++) {
        if (f->tracks[i].id == id) {
            return &f->tracks[i];
        }
    }
    return NULL;
}

static int read_moov(struct mp4_file *f, struct rd moov, struct error *err)
{
    struct rd in = moov;
    struct box b;
    while (next_box(&in, &b)) {
        if (b.type == FOURCC("trak") && f->n_tracks < TRACKS_MAX) {
            const int r = read_track(b.body, &f->tracks[f->n_tracks]);
            if (r < 0) {
                return error_set(err, r, "", "a track that cannot be read");
            }
            f->n_tracks++;
        }
    }
    struct rd mvex;
    if (!find_box(moov, "mvex", &mvex)) {
        return error_set(err, -EINVAL, "", "not a fragmented file");
    }
    while (next_box(&mvex, &b)) {
        if (b.type == FOURCC("trex")) {
            rd_skip(&b.body, 4);
            struct mp4_track *t = track_by_id(f, rd_u32be(&b.body));
            rd_skip(&b.body, 4);
            if (t) {
                t->default_duration = rd_u32be(&b.body);
                t->default_size = rd_u32be(&b.body);
                t->default_flags = rd_u32be(&b.body);
            }
        }
    }
    return 0;
}

/* ISO/IEC 14496-12 8.8.3.1: sample_is_non_sync_sample */
#define NON_SYNC 0x10000

static void read_trun(struct mp4_file *f, const struct mp4_track *t, const uint8_t *moof,
                      struct rd r, uint64_t *dts)
{
    const uint32_t flags = rd_u32be(&r) & 0xffffff;
    const uint32_t count = rd_u32be(&r);
    const uint8_t *data = moof + (flags & 1 ? (int32_t)rd_u32be(&r) : 0);
    const uint32_t first_flags = flags & 4 ? rd_u32be(&r) : t->default_flags;
    f->samples = mem_realloc(f->samples, (f->n_samples + count) * sizeof(*f->samples));
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t duration = flags & 0x100 ? rd_u32be(&r) : t->default_duration;
        const uint32_t size = flags & 0x200 ? rd_u32be(&r) : t->default_size;
        uint32_t sample_flags = i == 0 ? first_flags : t->default_flags;
        sample_flags = flags & 0x400 ? rd_u32be(&r) : sample_flags;
        const int32_t cts = flags & 0x800 ? (int32_t)rd_u32be(&r) : 0;
        f->samples[f->n_samples++] = (struct mp4_sample){
            .track = (unsigned)(t - f->tracks),
            .dts_ns = (int64_t)(*dts * 1000000000 / t->timescale),
            .cts_ns = (int64_t)cts * 1000000000 / t->timescale,
            .key = codec_kind(t->codec) == TRACK_AUDIO || !(sample_flags & NON_SYNC),
            .data = BYTES(data, size),
        };
        data += size;
        *dts += duration;
        f->duration_ns = MAX(f->duration_ns, (int64_t)(*dts * 1000000000 / t->timescale));
    }
}

static void read_traf(struct mp4_file *f, const uint8_t *moof, struct rd traf)
{
    struct box b;
    struct mp4_track *t = NULL;
    uint64_t dts = 0;
    while (next_box(&traf, &b)) {
        const uint32_t head = b.body.p[0] << 24 | (rd_u32be(&b.body) & 0xffffff);
        if (b.type == FOURCC("tfhd")) {
            t = track_by_id(f, rd_u32be(&b.body));
            if (!t) {
                return;
            }
            rd_skip(&b.body, (head & 1 ? 8 : 0) + (head & 2 ? 4 : 0));
            t->default_duration = head & 8 ? rd_u32be(&b.body) : t->default_duration;
            t->default_size = head & 0x10 ? rd_u32be(&b.body) : t->default_size;
            t->default_flags = head & 0x20 ? rd_u32be(&b.body) : t->default_flags;
        } else if (b.type == FOURCC("tfdt")) {
            dts = head >> 24 ? rd_u64be(&b.body) : rd_u32be(&b.body);
        } else if (b.type == FOURCC("trun") && t) {
            b.body.p -= 4;
            read_trun(f, t, moof, b.body, &dts);
        }
    }
}

static int by_dts(const void *a, const void *b)
{
    const struct mp4_sample *x = a;
    const struct mp4_sample *y = b;
    if (x->dts_ns != y->dts_ns) {
        return x->dts_ns < y->dts_ns ? -1 : 1;
    }
    return x->data.data < y->data.data ? -1 : 1;
}

static uint8_t *read_whole(const char *path, size_t *ret_len)
{
    FILE *in = fopen(path, "rb");
    if (!in) {
        return NULL;
    }
    uint8_t *p = NULL;
    size_t len = 0;
    size_t n;
    do {
        p = mem_realloc(p, len + 65536);
        n = fread(p + len, 1, 65536, in);
        len += n;
    } while (n > 0);
    fclose(in);
    *ret_len = len;
    return p;
}

int mp4_file_open(const char *path, struct mp4_file *ret, struct error *err)
{
    *ret = (struct mp4_file){0};
    size_t len;
    ret->bytes = read_whole(path, &len);
    if (!ret->bytes) {
        return error_set(err, -errno, path, "cannot be read");
    }
    struct rd in = rd_init(BYTES(ret->bytes, len));
    struct box b;
    while (next_box(&in, &b)) {
        if (b.type == FOURCC("moov")) {
            const int r = read_moov(ret, b.body, err);
            if (r < 0) {
                return r;
            }
        } else if (b.type == FOURCC("moof")) {
            struct box traf;
            while (next_box(&b.body, &traf)) {
                if (traf.type == FOURCC("traf")) {
                    read_traf(ret, b.start, traf.body);
                }
            }
        }
    }
    if (ret->n_samples == 0) {
        return error_set(err, -EINVAL, path, "holds no samples in fragments");
    }
    qsort(ret->samples, ret->n_samples, sizeof(*ret->samples), by_dts);
    return 0;
}

void mp4_file_done(struct mp4_file *f)
{
    free(f->bytes);
    free(f->samples);
    *f = (struct mp4_file){0};
}
