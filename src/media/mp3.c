/* SPDX-License-Identifier: Apache-2.0 */
#include "media/mp3.h"

#include <errno.h>
#include <stdio.h>

int mp3_header_parse(struct bytes frame, struct mp3_header *ret)
{
    static const uint16_t kbps[5][15] = {
        {0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448}, /* V1 layer I */
        {0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},    /* V1 layer II */
        {0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},     /* V1 layer III */
        {0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256},    /* V2 layer I */
        {0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},         /* V2 II and III */
    };
    static const uint16_t rates[3] = {44100, 48000, 32000};
    struct rd r = rd_init(frame);
    uint32_t h = rd_u32be(&r);
    unsigned version = h >> 19 & 3; /* 3 = MPEG-1, 2 = MPEG-2, 0 = MPEG-2.5 */
    unsigned layer = 4 - (h >> 17 & 3);
    unsigned bitrate = h >> 12 & 15;
    unsigned rate = h >> 10 & 3;
    if (rd_failed(&r) || h >> 21 != 0x7ff || version == 1 || layer == 4 || bitrate == 0 ||
        bitrate == 15 || rate == 3) {
        return -EINVAL;
    }
    bool v1 = version == 3;
    unsigned row = v1 ? layer - 1 : (layer == 1 ? 3 : 4);
    ret->layer = (uint8_t)layer;
    ret->channels = (h >> 6 & 3) == 3 ? 1 : 2;
    ret->sample_rate = (uint32_t)rates[rate] >> (v1 ? 0 : version == 2 ? 1 : 2);
    ret->bitrate_bps = kbps[row][bitrate] * 1000u;
    ret->frame_samples = layer == 1 ? 384 : (layer == 3 && !v1 ? 576 : 1152);
    uint32_t padding = h >> 9 & 1;
    ret->frame_bytes = layer == 1
                           ? (12 * ret->bitrate_bps / ret->sample_rate + padding) * 4
                           : ret->frame_samples / 8 * ret->bitrate_bps / ret->sample_rate + padding;
    return 0;
}

int mp3_params_fill(struct track_params *p, struct bytes frame, struct error *err)
{
    struct mp3_header h;
    int r = mp3_header_parse(frame, &h);
    if (r < 0) {
        return error_set(err, r, "mp3", "not an MPEG audio frame header");
    }
    p->sample_rate = h.sample_rate;
    p->channels = h.channels;
    p->frame_samples = h.frame_samples;
    /* Object type indication 0x6B is MPEG-1 audio, 0x69 the lower rates of MPEG-2 (ISO/IEC 14496-1 7.2.6.6.2). */
    snprintf(p->rfc6381, sizeof(p->rfc6381), "%s", h.sample_rate >= 32000 ? "mp4a.6B" : "mp4a.69");
    return 0;
}
