/* SPDX-License-Identifier: Apache-2.0 */
#include "media/track.h"

#include "base/mem.h"
#include "media/aac.h"
#include "media/av1.h"
#include "media/h264.h"
#include "media/hevc.h"
#include "media/mp3.h"
#include "media/opus.h"
#include "media/vp9.h"

#include <assert.h>
#include <errno.h>

#define CONFIG_MAX (64u << 10) /* parameter sets are some hundred bytes */

static atomic_uint_fast64_t live_count;

static const char *const codec_names[] = {
    [CODEC_H264] = "h264", [CODEC_HEVC] = "hevc", [CODEC_AV1] = "av1", [CODEC_VP9] = "vp9",
    [CODEC_AAC] = "aac",   [CODEC_OPUS] = "opus", [CODEC_MP3] = "mp3",
};
_Static_assert(ARRAY_LEN(codec_names) == CODEC_N, "a name for each codec");

static int fill(struct track_params *p, struct bytes config, struct error *err)
{
    switch (p->codec) {
    case CODEC_H264:
        return h264_params_fill(p, config, err);
    case CODEC_AAC:
        return aac_params_fill(p, config, err);
    case CODEC_OPUS:
        return opus_params_fill(p, config, err);
    case CODEC_MP3:
        return mp3_params_fill(p, config, err);
    case CODEC_HEVC:
        return hevc_params_fill(p, config, err);
    case CODEC_AV1:
        return av1_params_fill(p, config, err);
    case CODEC_VP9:
        return vp9_params_fill(p, config, err);
    case CODEC_N:
        break;
    }
    return error_set(err, -EINVAL, "codec", "no such codec");
}

/*
 * The copy that is kept. Canonical bytes use 4-byte lengths whatever the publisher's are, and writers copy the record as
 * it is, so its lengthSizeMinusOne is set to 3.
 */
static int keep_config(struct track_params *p, struct bytes config, struct error *err)
{
    if (p->codec == CODEC_MP3) {
        return 0;
    }
    p->config = buf_try_new(config.len);
    if (!p->config) {
        return error_set(err, -ENOMEM, "config", "out of memory");
    }
    put_bytes(p->config->data, config);
    if (p->codec == CODEC_H264) {
        p->config->data[4] |= 3;
    } else if (p->codec == CODEC_HEVC) {
        p->config->data[21] |= 3;
    }
    return 0;
}

int track_params_new(enum codec codec, struct bytes config, struct track_params **ret,
                     struct error *err)
{
    if (config.len > CONFIG_MAX) {
        return error_set(err, -EINVAL, "config", "%zu bytes of codec configuration, at most %u",
                         config.len, CONFIG_MAX);
    }
    struct track_params *p = mem_try_zalloc(sizeof(*p));
    if (!p) {
        return error_set(err, -ENOMEM, "config", "out of memory");
    }
    atomic_init(&p->refs, 1);
    atomic_fetch_add_explicit(&live_count, 1, memory_order_relaxed);
    p->codec = codec;
    p->kind = codec_kind(codec);
    int r = fill(p, config, err);
    if (r >= 0) {
        r = keep_config(p, config, err);
    }
    if (r < 0) {
        track_params_unref(&p);
        return r;
    }
    *ret = p;
    return 0;
}

struct track_params *track_params_ref(struct track_params *p)
{
    unsigned before = atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    assert(before > 0);
    return p;
}

void track_params_unref(struct track_params **pp)
{
    struct track_params *p = TAKE_PTR(*pp);
    if (!p) {
        return;
    }
    unsigned before = atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1) {
        buf_unref(&p->config);
        atomic_fetch_sub_explicit(&live_count, 1, memory_order_relaxed);
        free(p);
    }
}

uint64_t track_params_live_count(void)
{
    return atomic_load_explicit(&live_count, memory_order_relaxed);
}

bool track_params_equal(const struct track_params *a, const struct track_params *b)
{
    if (a == b) {
        return true;
    }
    return a && b && a->codec == b->codec && a->width == b->width && a->height == b->height &&
           a->sample_rate == b->sample_rate && a->channels == b->channels &&
           bytes_equal(buf_view(a->config), buf_view(b->config));
}

const char *codec_to_str(enum codec c)
{
    assert(c < CODEC_N);
    return codec_names[c];
}

int codec_from_str(const char *s)
{
    for (int i = 0; i < CODEC_N; i++) {
        if (strcmp(codec_names[i], s) == 0) {
            return i;
        }
    }
    return -EINVAL;
}

enum track_kind codec_kind(enum codec c)
{
    return c == CODEC_AAC || c == CODEC_OPUS || c == CODEC_MP3 ? TRACK_AUDIO : TRACK_VIDEO;
}
