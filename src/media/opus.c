/* SPDX-License-Identifier: Apache-2.0 */
#include "media/opus.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>

#define HEAD_MAGIC         "OpusHead"
#define DOPS_FIXED         11
#define PACKET_SAMPLES_MAX 5760 /* 120 ms */

int opus_config_from_head(struct bytes head, struct buf **ret, struct error *err)
{
    if (head.len < 8 || memcmp(head.data, HEAD_MAGIC, 8) != 0) {
        /* Some senders put a dOps body where an OpusHead belongs. */
        struct track_params probe = {0};
        int r = opus_params_fill(&probe, head, err);
        if (r == 0 && !(*ret = buf_try_new(head.len))) {
            return error_set(err, -ENOMEM, "opus", "out of memory");
        }
        if (r == 0) {
            put_bytes((*ret)->data, head);
        }
        return r;
    }
    struct rd r = rd_init(head);
    rd_skip(&r, 8);
    uint8_t version = rd_u8(&r);
    uint8_t channels = rd_u8(&r);
    uint16_t preskip = __builtin_bswap16(rd_u16be(&r));
    uint32_t rate = rd_u32le(&r);
    uint16_t gain = __builtin_bswap16(rd_u16be(&r));
    uint8_t family = rd_u8(&r);
    struct bytes map = family != 0 ? rd_bytes(&r, 2u + channels) : BYTES(NULL, 0);
    if (rd_failed(&r) || version >> 4 != 0 || channels == 0 || (family == 0 && channels > 2)) {
        return error_set(err, -EINVAL, "opus", "OpusHead is cut short or out of range");
    }
    struct buf *b = buf_try_new(DOPS_FIXED + map.len);
    if (!b) {
        return error_set(err, -ENOMEM, "opus", "out of memory");
    }
    uint8_t *p = put_u8(b->data, 0); /* dOps has its own version */
    p = put_u8(p, channels);
    p = put_u16be(p, preskip);
    p = put_u32be(p, rate);
    p = put_u16be(p, gain);
    p = put_u8(p, family);
    put_bytes(p, map);
    *ret = b;
    return 0;
}

struct buf *opus_head_build(struct bytes dops)
{
    struct buf *b = buf_try_new(8 + dops.len);
    if (!b) {
        return NULL;
    }
    struct rd r = rd_init(dops);
    rd_skip(&r, 1);
    uint8_t *p = put_bytes(b->data, BYTES_STR(HEAD_MAGIC));
    p = put_u8(p, 1);
    p = put_u8(p, rd_u8(&r));
    p = put_u16be(p, __builtin_bswap16(rd_u16be(&r)));
    p = put_u32le(p, rd_u32be(&r));
    p = put_u16be(p, __builtin_bswap16(rd_u16be(&r)));
    put_bytes(p, rd_bytes(&r, rd_left(&r)));
    return b;
}

unsigned opus_packet_samples(struct bytes packet)
{
    if (packet.len == 0) {
        return 0;
    }
    static const uint16_t silk[4] = {480, 960, 1920, 2880};
    unsigned toc = packet.data[0];
    unsigned config = toc >> 3;
    unsigned frame = config < 12   ? silk[config & 3]
                     : config < 16 ? 480u << (config & 1)
                                   : 120u << (config & 3);
    unsigned code = toc & 3;
    unsigned frames = code == 0 ? 1 : code < 3 ? 2 : packet.len > 1 ? packet.data[1] & 0x3f : 0;
    return frame * frames <= PACKET_SAMPLES_MAX ? frame * frames : 0;
}

int opus_params_fill(struct track_params *p, struct bytes dops, struct error *err)
{
    struct rd r = rd_init(dops);
    uint8_t version = rd_u8(&r);
    uint8_t channels = rd_u8(&r);
    uint16_t preskip = rd_u16be(&r);
    rd_skip(&r, 6); /* input sample rate and gain: players apply them from the config */
    uint8_t family = rd_u8(&r);
    rd_skip(&r, family != 0 ? 2u + channels : 0);
    if (rd_failed(&r) || version != 0 || channels == 0 || (family == 0 && channels > 2)) {
        return error_set(err, -EINVAL, "opus", "dOps is cut short or out of range");
    }
    p->sample_rate = 48000; /* of its clock, whatever the input was (RFC 7845 5.1) */
    p->channels = channels;
    p->preroll_samples = preskip;
    snprintf(p->rfc6381, sizeof(p->rfc6381), "opus");
    return 0;
}
