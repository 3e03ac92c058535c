/* SPDX-License-Identifier: Apache-2.0 */
#include "media/rtp.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>

#define VERSION 2

int rtp_parse(struct bytes datagram, struct rtp_packet *ret)
{
    struct rd r = rd_init(datagram);
    const uint8_t first = rd_u8(&r);
    const uint8_t second = rd_u8(&r);
    struct rtp_packet p = {
        .payload_type = second & 0x7f,
        .marker = second >> 7,
        .seq = rd_u16be(&r),
        .timestamp = rd_u32be(&r),
        .ssrc = rd_u32be(&r),
    };
    rd_skip(&r, 4u * (first & 0x0f));
    if (first & 0x10) {
        p.extension_profile = rd_u16be(&r);
        const uint16_t words = rd_u16be(&r);
        p.extension = rd_bytes(&r, 4u * words);
    }
    p.payload = rd_bytes(&r, rd_left(&r));
    if (rd_failed(&r) || first >> 6 != VERSION) {
        return -EINVAL;
    }
    if (first & 0x20) {
        /* The last byte says how many there are, itself included (5.1, P). */
        const uint8_t padding = p.payload.len > 0 ? p.payload.data[p.payload.len - 1] : 0;
        if (padding == 0 || padding > p.payload.len) {
            return -EINVAL;
        }
        p.payload.len -= padding;
    }
    *ret = p;
    return 0;
}

uint8_t *rtp_put_header(uint8_t *p, const struct rtp_packet *h)
{
    const bool extended = h->extension.len > 0;
    assert(h->extension.len <= RTP_EXTENSION_MAX);
    p = put_u8(p, VERSION << 6 | (extended ? 0x10 : 0));
    p = put_u8(p, (uint8_t)((h->marker ? 0x80 : 0) | (h->payload_type & 0x7f)));
    p = put_u16be(p, h->seq);
    p = put_u32be(p, h->timestamp);
    p = put_u32be(p, h->ssrc);
    if (extended) {
        const size_t words = (h->extension.len + 3) / 4;
        p = put_u16be(p, h->extension_profile);
        p = put_u16be(p, (uint16_t)words);
        p = put_bytes(p, h->extension);
        for (size_t i = h->extension.len; i < 4 * words; i++) {
            p = put_u8(p, 0);
        }
    }
    return p;
}

bool rtp_is_rtcp(struct bytes datagram)
{
    return datagram.len >= 2 && datagram.data[1] >= 192 && datagram.data[1] <= 223;
}

struct rtp_extension_iter rtp_extension_iter_init(const struct rtp_packet *p)
{
    const bool one = p->extension_profile == RTP_ONE_BYTE;
    const bool two = (p->extension_profile & 0xfff0) == 0x1000;
    return (struct rtp_extension_iter){
        .r = rd_init(one || two ? p->extension : BYTES(NULL, 0)),
        .two_byte = two,
    };
}

int rtp_extension_next(struct rtp_extension_iter *it, uint8_t *ret_id, struct bytes *ret_data)
{
    while (rd_left(&it->r) > 0) {
        const uint8_t head = rd_u8(&it->r);
        if (head == 0) {
            continue; /* padding (RFC 8285 4.1.1) */
        }
        const uint8_t id = it->two_byte ? head : head >> 4;
        if (!it->two_byte && id == 15) {
            return 0; /* reserved: nothing behind it may be looked at (4.2) */
        }
        const size_t len = it->two_byte ? rd_u8(&it->r) : (head & 0x0f) + 1u;
        const struct bytes data = rd_bytes(&it->r, len);
        if (rd_failed(&it->r)) {
            return 0;
        }
        *ret_id = id;
        *ret_data = data;
        return 1;
    }
    return 0;
}

uint32_t rtp_clock_rate(const struct track_params *p)
{
    switch (p->codec) {
    case CODEC_H264:
    case CODEC_HEVC:
    case CODEC_AV1:
    case CODEC_VP9:
    case CODEC_MP3:
        return 90000;
    case CODEC_OPUS:
        return 48000;
    case CODEC_AAC:
        return p->sample_rate;
    case CODEC_N:
        break;
    }
    return 0;
}

int64_t rtp_seq_unwrap(struct rtp_seq *s, uint16_t seq)
{
    if (!s->started) {
        s->started = true;
        s->highest = seq;
        return seq;
    }
    const int64_t v = s->highest + (int16_t)(uint16_t)(seq - (uint16_t)s->highest);
    s->highest = MAX(s->highest, v);
    return v;
}
