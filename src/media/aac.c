/* SPDX-License-Identifier: Apache-2.0 */
#include "media/aac.h"

#include <errno.h>
#include <stdio.h>

#include "media/bits.h"

enum object_type {
    AOT_LC = 2,
    AOT_SBR = 5,
    AOT_ER_BSAC = 22,
    AOT_ER_LD = 23,
    AOT_PS = 29,
    AOT_ER_ELD = 39,
};

static uint32_t object_type(struct bits *b)
{
    uint32_t type = bits_u(b, 5);
    return type == 31 ? 32 + bits_u(b, 6) : type;
}

/* 1.6.3.4; 0 for the reserved indices. */
static uint32_t sample_rate(struct bits *b)
{
    static const uint32_t rates[16] = {96000, 88200, 64000, 48000, 44100, 32000, 24000,
                                       22050, 16000, 12000, 11025, 8000,  7350};
    uint32_t index = bits_u(b, 4);
    return index == 15 ? bits_u(b, 24) : rates[index];
}

/* program_config_element(), 4.4.1.1: how many channels it lists. */
static unsigned pce_channels(struct bits *b)
{
    unsigned count[4];
    bits_skip(b, 4 + 2 + 4);
    for (int i = 0; i < 3; i++) {
        count[i] = bits_u(b, 4); /* front, side, back */
    }
    count[3] = bits_u(b, 2); /* LFE */
    unsigned assoc = bits_u(b, 3);
    unsigned coupling = bits_u(b, 4);
    bits_skip(b, bits_flag(b) ? 4 : 0);
    bits_skip(b, bits_flag(b) ? 4 : 0);
    bits_skip(b, bits_flag(b) ? 3 : 0);
    unsigned channels = count[3];
    for (int i = 0; i < 3; i++) {
        for (unsigned k = 0; k < count[i]; k++) {
            channels += bits_flag(b) ? 2 : 1;
            bits_skip(b, 4);
        }
    }
    bits_skip(b, 4 * count[3] + 4 * assoc + 5 * coupling);
    bits_align(b);
    bits_skip(b, 8 * bits_u(b, 8)); /* comment */
    return channels;
}

/* GASpecificConfig(), 4.4.1. */
static void parse_ga(struct bits *b, uint32_t type, uint32_t channel_config, struct aac_config *c)
{
    bool is_short = bits_flag(b);
    c->frame_samples = type == AOT_ER_LD ? (is_short ? 480 : 512) : (is_short ? 960 : 1024);
    bits_skip(b, bits_flag(b) ? 14 : 0); /* coreCoderDelay */
    bool extension = bits_flag(b);
    if (channel_config == 0) {
        c->channels = (uint8_t)pce_channels(b);
    }
    bits_skip(b, type == 6 || type == 20 ? 3 : 0);
    if (extension) {
        bits_skip(b, type == AOT_ER_BSAC ? 16 : 0);
        bits_skip(b, type == 17 || type == 19 || type == 20 || type == AOT_ER_LD ? 3 : 0);
        bits_skip(b, 1);
    }
}

/* 1.6.6.1: SBR and PS behind the core's configuration, so that old decoders pass over them. */
static void parse_sync_extension(struct bits b, struct aac_config *c)
{
    if (bits_u(&b, 11) != 0x2b7 || object_type(&b) != AOT_SBR || !bits_flag(&b)) {
        return;
    }
    uint32_t rate = sample_rate(&b);
    if (bits_failed(&b) || rate == 0) {
        return;
    }
    c->object_type = AOT_SBR;
    c->frame_samples = (uint16_t)(c->frame_samples * (rate / c->sample_rate > 1 ? 2 : 1));
    c->sample_rate = rate;
    if (bits_u(&b, 11) == 0x548 && bits_flag(&b)) {
        c->object_type = AOT_PS;
        c->channels = 2;
    }
}

static bool is_ga(uint32_t type)
{
    return (type >= 1 && type <= 4) || type == 6 || type == 7 || type == 17 ||
           (type >= 19 && type <= 23);
}

int aac_config_parse(struct bytes asc, struct aac_config *ret, struct error *err)
{
    static const uint8_t channels_of[16] = {0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8};
    struct bits b = bits_init(asc);
    uint32_t type = object_type(&b);
    uint32_t rate = sample_rate(&b);
    uint32_t channel_config = bits_u(&b, 4);
    struct aac_config c = {.sample_rate = rate, .channels = channels_of[channel_config]};
    uint32_t outer = type;
    uint32_t sbr_rate = 0;
    if (type == AOT_SBR || type == AOT_PS) {
        sbr_rate = sample_rate(&b);
        type = object_type(&b);
        bits_skip(&b, type == AOT_ER_BSAC ? 4 : 0);
    }
    c.object_type = (uint8_t)outer;
    if (is_ga(type)) {
        parse_ga(&b, type, channel_config, &c);
    } else if (type == AOT_ER_ELD) {
        c.frame_samples = bits_flag(&b) ? 480 : 512;
    } else {
        return error_set(err, -EINVAL, "aac", "audio object type %u is not AAC", type);
    }
    if (bits_failed(&b) || rate == 0 || c.channels == 0 || (outer != type && sbr_rate == 0)) {
        return error_set(err, -EINVAL, "aac", "AudioSpecificConfig is cut short or out of range");
    }
    if (outer != type) {
        c.frame_samples = (uint16_t)(c.frame_samples * (sbr_rate / rate > 1 ? 2 : 1));
        c.sample_rate = sbr_rate;
        c.channels = outer == AOT_PS ? 2 : c.channels;
    } else if (type == AOT_LC) {
        parse_sync_extension(b, &c);
    }
    *ret = c;
    return 0;
}

int aac_params_fill(struct track_params *p, struct bytes config, struct error *err)
{
    struct aac_config c;
    int r = aac_config_parse(config, &c, err);
    if (r < 0) {
        return r;
    }
    p->sample_rate = c.sample_rate;
    p->channels = c.channels;
    p->frame_samples = c.frame_samples;
    snprintf(p->rfc6381, sizeof(p->rfc6381), "mp4a.40.%u", c.object_type);
    return 0;
}
