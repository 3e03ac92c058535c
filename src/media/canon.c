/* SPDX-License-Identifier: Apache-2.0 */
#include "media/canon.h"

#include "base/mem.h"
#include "media/av1.h"
#include "media/h264.h"
#include "media/hevc.h"
#include "media/mp3.h"
#include "media/sample.h"
#include "media/vp9.h"

#include <errno.h>

void canon_init(struct canon *c, enum codec codec)
{
    *c = (struct canon){.codec = codec};
}

void canon_done(struct canon *c)
{
    track_params_unref(&c->params);
    buf_unref(&c->hint);
}

int canon_adopt(struct canon *c, struct track_params *fresh)
{
    bool same = c->params && track_params_equal(c->params, fresh) &&
                c->params->nal_length_size == fresh->nal_length_size;
    if (same) {
        track_params_unref(&fresh);
        return 0;
    }
    track_params_unref(&c->params);
    c->params = fresh;
    return 1;
}

int canon_config(struct canon *c, struct bytes config, struct error *err)
{
    struct track_params *fresh;
    int r = track_params_new(c->codec, config, &fresh, err);
    if (r < 0) {
        return r;
    }
    bool incomplete = fresh->kind == TRACK_VIDEO && fresh->width == 0;
    if (incomplete) {
        buf_unref(&c->hint);
        c->hint = buf_ref(fresh->config);
        track_params_unref(&fresh);
        return 0;
    }
    return canon_adopt(c, fresh);
}

int canon_replace(struct canon *c, struct bytes config, unsigned nal_length_size, struct error *err)
{
    struct track_params *fresh;
    int r = track_params_new(c->codec, config, &fresh, err);
    if (r < 0) {
        return r;
    }
    fresh->nal_length_size = (uint8_t)nal_length_size;
    canon_adopt(c, fresh);
    return 0;
}

int canon_copy(struct canon *c, const struct canon_unit *in, struct canon_result *ret,
               struct error *err)
{
    if (!c->params) {
        return error_set(err, -ENODATA, codec_to_str(c->codec), "no codec configuration yet");
    }
    ret->payload = buf_try_new(in->data.len);
    if (!ret->payload) {
        return error_set(err, -ENOMEM, codec_to_str(c->codec), "out of memory");
    }
    put_bytes(ret->payload->data, in->data);
    ret->flags = SAMPLE_KEY;
    return 0;
}

static int mp3_canonicalise(struct canon *c, const struct canon_unit *in, struct canon_result *ret,
                            struct error *err)
{
    int r = canon_config(c, in->data, err); /* each frame has its header */
    return r < 0 ? r : canon_copy(c, in, ret, err);
}

int canon_feed(struct canon *c, const struct canon_unit *in, struct canon_result *ret,
               struct error *err)
{
    *ret = (struct canon_result){0};
    if (in->data.len > CANON_UNIT_MAX) {
        return error_set(err, -E2BIG, codec_to_str(c->codec),
                         "access unit of %zu bytes, at most %u", in->data.len, CANON_UNIT_MAX);
    }
    if (in->data.len == 0) {
        return 0;
    }
    switch (c->codec) {
    case CODEC_H264:
        return h264_canonicalise(c, in, ret, err);
    case CODEC_MP3:
        return mp3_canonicalise(c, in, ret, err);
    case CODEC_HEVC:
        return hevc_canonicalise(c, in, ret, err);
    case CODEC_AV1:
        return av1_canonicalise(c, in, ret, err);
    case CODEC_VP9:
        return vp9_canonicalise(c, in, ret, err);
    case CODEC_AAC:
    case CODEC_OPUS:
        return canon_copy(c, in, ret, err);
    case CODEC_N:
        break;
    }
    return error_set(err, -EINVAL, "codec", "no such codec");
}
