/* SPDX-License-Identifier: Apache-2.0 */
#include "media/rtp_payload.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>

/*
 * The form: records of a 31-bit length with the marker above it, and the payload. Makers write into a buffer of the bound they
 * computed; what is left over at its end is cut off by its length.
 */
#define RECORD_HEAD 4
#define MARKER      (1u << 31)

struct rtp_payload_iter rtp_payload_iter_init(const struct buf *form)
{
    return (struct rtp_payload_iter){rd_init(buf_view(form))};
}

bool rtp_payload_next(struct rtp_payload_iter *it, struct rtp_payload *ret)
{
    if (rd_left(&it->r) == 0) {
        return false;
    }
    const uint32_t head = rd_u32be(&it->r);
    ret->marker = head & MARKER;
    ret->data = rd_bytes(&it->r, head & ~MARKER);
    return true;
}

void rtp_payload_begin(struct rtp_payload_out *o, size_t n)
{
    assert((size_t)(o->end - o->p) >= n + RECORD_HEAD);
    o->open = o->p;
    o->p += RECORD_HEAD;
}

void rtp_payload_end(struct rtp_payload_out *o, bool marker)
{
    const size_t len = (size_t)(o->p - o->open) - RECORD_HEAD;
    put_u32be(o->open, (uint32_t)len | (marker ? MARKER : 0));
}

void rtp_payload_put(struct rtp_payload_out *o, struct bytes head, struct bytes body, bool marker)
{
    rtp_payload_begin(o, head.len + body.len);
    o->p = put_bytes(put_bytes(o->p, head), body);
    rtp_payload_end(o, marker);
}

/* ---- formats with a fixed header in front of each piece ---- */

static size_t pieces_bound(const struct sample *s, size_t head)
{
    const size_t room = RTP_PAYLOAD_MAX - head;
    return s->payload->len + (s->payload->len / room + 1) * (head + RECORD_HEAD);
}

/* RFC 3640 3.3.6: one access unit, or a piece of one; its header has the whole size in 13 bits, and 3 bits of index. */
static int put_aac(struct rtp_payload_out *o, const struct sample *s)
{
    struct bytes left = buf_view(s->payload);
    if (left.len >= 1 << 13) {
        return -EINVAL;
    }
    uint8_t head[4];
    put_u16be(put_u16be(head, 16), (uint16_t)(left.len << 3));
    while (left.len > 0) {
        const size_t n = MIN(left.len, RTP_PAYLOAD_MAX - sizeof(head));
        rtp_payload_put(o, BYTES(head, sizeof(head)), BYTES(left.data, n), n == left.len);
        left = BYTES(left.data + n, left.len - n);
    }
    return 0;
}

/* RFC 2250 3.5: 16 bits that must be zero, and where in the frame the piece begins. */
static int put_mp3(struct rtp_payload_out *o, const struct sample *s)
{
    const struct bytes all = buf_view(s->payload);
    if (all.len > UINT16_MAX) {
        return -EINVAL;
    }
    for (size_t at = 0; at < all.len; at += RTP_PAYLOAD_MAX - 4) {
        const size_t n = MIN(all.len - at, (size_t)RTP_PAYLOAD_MAX - 4);
        uint8_t head[4];
        put_u16be(put_u16be(head, 0), (uint16_t)at);
        rtp_payload_put(o, BYTES(head, sizeof(head)), BYTES(all.data + at, n), false);
    }
    return 0;
}

/*
 * RFC 9628 4.2, the non-flexible mode's shortest descriptor: P (predicted from earlier pictures), B and E (begin and end of
 * the frame). No picture id: it would need a count that outlives the sample.
 */
#define VP9_P 0x40
#define VP9_B 0x08
#define VP9_E 0x04

static int put_vp9(struct rtp_payload_out *o, const struct sample *s)
{
    struct bytes left = buf_view(s->payload);
    const uint8_t base = s->flags & SAMPLE_KEY ? 0 : VP9_P;
    bool first = true;
    while (left.len > 0) {
        const size_t n = MIN(left.len, (size_t)RTP_PAYLOAD_MAX - 1);
        const bool last = n == left.len;
        const uint8_t head = (uint8_t)(base | (first ? VP9_B : 0) | (last ? VP9_E : 0));
        rtp_payload_put(o, BYTES(&head, 1), BYTES(left.data, n), last);
        left = BYTES(left.data + n, left.len - n);
        first = false;
    }
    return 0;
}

static size_t bound(const struct sample *s)
{
    switch (s->params->codec) {
    case CODEC_H264:
    case CODEC_HEVC:
        return rtp_nal_bound(s);
    case CODEC_AV1:
        return rtp_av1_bound(s);
    case CODEC_VP9:
        return pieces_bound(s, 1);
    case CODEC_AAC:
    case CODEC_MP3:
    case CODEC_OPUS:
        return pieces_bound(s, 4);
    case CODEC_N:
        break;
    }
    return 0;
}

static int put(struct rtp_payload_out *o, const struct sample *s)
{
    switch (s->params->codec) {
    case CODEC_H264:
    case CODEC_HEVC:
        return rtp_nal_put(o, s);
    case CODEC_AV1:
        return rtp_av1_put(o, s);
    case CODEC_VP9:
        return put_vp9(o, s);
    case CODEC_AAC:
        return put_aac(o, s);
    case CODEC_OPUS:
        /* RFC 7587 4.2: a packet holds exactly one Opus packet. The marker is for talk after silence: never set here. */
        rtp_payload_put(o, BYTES(NULL, 0), buf_view(s->payload), false);
        return 0;
    case CODEC_MP3:
        return put_mp3(o, s);
    case CODEC_N:
        break;
    }
    return -EINVAL;
}

struct buf *rtp_payloads_make(const struct sample *s)
{
    if (!s->params || !s->payload || s->payload->len == 0) {
        return NULL;
    }
    struct buf *b = buf_try_new(bound(s));
    if (!b) {
        return NULL;
    }
    struct rtp_payload_out o = {.p = b->data, .end = b->data + b->len};
    if (put(&o, s) < 0) {
        buf_unref(&b);
        return NULL;
    }
    b->len = (uint32_t)(o.p - b->data);
    return b;
}
