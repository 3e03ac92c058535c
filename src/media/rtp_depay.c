/* SPDX-License-Identifier: Apache-2.0 */
#include "media/rtp_depay.h"

#include "base/mem.h"
#include "media/bits.h"

#include <errno.h>

int rtp_depay_init(struct rtp_depay *d, const struct rtp_depay_config *config)
{
    *d = (struct rtp_depay){.config = *config, .fragment = SIZE_MAX};
    struct rtp_depay_config *c = &d->config;
    c->unit_max = c->unit_max ? c->unit_max : RTP_UNIT_MAX;
    c->frame_samples = c->frame_samples ? c->frame_samples : 1024;
    if (c->size_bits == 0) {
        c->size_bits = 13;
        c->index_bits = 3;
        c->index_delta_bits = 3;
    }
    if (c->size_bits > 32 || c->index_bits > 32 || c->index_delta_bits > 32) {
        return -ENOTSUP;
    }
    switch (c->codec) {
    case CODEC_H264:
    case CODEC_HEVC:
    case CODEC_OPUS:
    case CODEC_AAC:
        return 0;
    case CODEC_AV1:
    case CODEC_VP9:
    case CODEC_MP3:
    case CODEC_N:
        break;
    }
    return -ENOTSUP;
}

void rtp_depay_done(struct rtp_depay *d)
{
    free(TAKE_PTR(d->data));
    d->cap = 0;
}

void rtp_depay_push(struct rtp_depay *d, const struct rtp_packet *p)
{
    const bool first = !d->seq.started;
    const int64_t before = d->seq.highest;
    const int64_t seq = rtp_seq_unwrap(&d->seq, p->seq);
    d->packets++;
    d->has_packet = first || seq > before;
    if (!d->has_packet) {
        d->late++;
        return;
    }
    d->packet = *p;
    d->gap = !first && seq != before + 1;
    if (d->gap) {
        d->lost += (uint64_t)(seq - before - 1);
        d->loss = true;
    }
}

/* ---- the unit being put together ---- */

void rtp_depay_begin(struct rtp_depay *d, uint32_t timestamp)
{
    d->len = 0;
    d->open = true;
    d->broken = false;
    d->unsure = false;
    d->timestamp = timestamp;
    d->fragment = SIZE_MAX;
}

void rtp_depay_break(struct rtp_depay *d)
{
    d->broken = true;
    d->len = 0;
    d->fragment = SIZE_MAX;
}

static bool make_room(struct rtp_depay *d, size_t more)
{
    const size_t need = d->len + more;
    if (need > d->config.unit_max) {
        return false;
    }
    if (need > d->cap) {
        const size_t twice = MAX(2 * d->cap, (size_t)4096);
        const size_t most = d->config.unit_max;
        const size_t cap = need > twice ? need : twice < most ? twice : most;
        uint8_t *grown = mem_try_realloc(d->data, cap);
        if (!grown) {
            return false;
        }
        d->data = grown;
        d->cap = cap;
    }
    return true;
}

void rtp_depay_add(struct rtp_depay *d, struct bytes b)
{
    if (d->broken) {
        return;
    }
    if (!make_room(d, b.len)) {
        rtp_depay_break(d);
        return;
    }
    put_bytes(d->data + d->len, b);
    d->len += b.len;
}

static int hand_out(struct rtp_depay *d, struct bytes data, uint32_t timestamp,
                    struct rtp_unit *ret)
{
    *ret = (struct rtp_unit){.data = data, .timestamp = timestamp, .after_loss = d->loss};
    d->loss = false;
    return 1;
}

int rtp_depay_finish(struct rtp_depay *d, struct rtp_unit *ret)
{
    const bool whole = !d->broken && d->fragment == SIZE_MAX && d->len > 0;
    d->open = false;
    if (!whole) {
        d->dropped++;
        d->loss = true;
        return 0;
    }
    return hand_out(d, BYTES(d->data, d->len), d->timestamp, ret);
}

/* ---- video: packets with one time stamp are a picture; the last one has the marker, if the sender sets any ---- */

static int next_picture(struct rtp_depay *d, struct rtp_unit *ret)
{
    const struct rtp_packet *p = &d->packet;
    if (!d->has_packet) {
        return 0;
    }
    if (d->open && d->gap) {
        rtp_depay_break(d);
    }
    if (d->open && p->timestamp != d->timestamp && rtp_depay_finish(d, ret) > 0) {
        return 1; /* the packet waits for the next call */
    }
    d->has_packet = false;
    if (!d->open) {
        rtp_depay_begin(d, p->timestamp);
        d->unsure = d->gap;
    }
    rtp_nal_take(d, p->payload);
    return p->marker ? rtp_depay_finish(d, ret) : 0;
}

/* ---- Opus: a packet is a unit ---- */

static int next_whole(struct rtp_depay *d, struct rtp_unit *ret)
{
    const bool has = d->has_packet && d->packet.payload.len > 0;
    d->has_packet = false;
    return has ? hand_out(d, d->packet.payload, d->packet.timestamp, ret) : 0;
}

/* ---- AAC ---- */

/* RFC 3640 3.2: the access unit headers of a packet. False when they make no sense, or are interleaved (index deltas). */
static bool read_au_headers(struct rtp_depay *d)
{
    const struct rtp_depay_config *c = &d->config;
    struct rd r = rd_init(d->packet.payload);
    size_t bits_left = rd_u16be(&r);
    struct bits b = bits_init(rd_bytes(&r, (bits_left + 7) / 8));
    d->n_au = 0;
    d->next_au = 0;
    while (d->n_au < RTP_AAC_UNITS_MAX) {
        const unsigned index_bits = d->n_au == 0 ? c->index_bits : c->index_delta_bits;
        if (bits_left < c->size_bits + index_bits) {
            break;
        }
        d->au_size[d->n_au++] = bits_u(&b, c->size_bits);
        if (bits_u(&b, index_bits) != 0) {
            return false;
        }
        bits_left -= c->size_bits + index_bits;
    }
    d->packet.payload = rd_bytes(&r, rd_left(&r));
    return !rd_failed(&r) && !bits_failed(&b) && d->n_au > 0;
}

/* 3.2.3.1: a unit that does not fit a packet comes alone, in pieces whose headers all say its whole size. */
static int take_au_piece(struct rtp_depay *d, struct rtp_unit *ret)
{
    if (d->open && (d->gap || d->packet.timestamp != d->timestamp)) {
        rtp_depay_break(d);
        (void)rtp_depay_finish(d, ret);
    }
    if (!d->open) {
        /* Should its beginning be what is missing, it will not be as long as it must. */
        rtp_depay_begin(d, d->packet.timestamp);
    }
    rtp_depay_add(d, d->packet.payload);
    if (d->packet.marker || d->len >= d->au_size[0]) {
        if (d->len != d->au_size[0]) {
            rtp_depay_break(d);
        }
        return rtp_depay_finish(d, ret);
    }
    return 0;
}

static int next_au(struct rtp_depay *d, struct rtp_unit *ret)
{
    struct bytes *left = &d->packet.payload;
    if (d->has_packet) {
        d->has_packet = false;
        if (!read_au_headers(d)) {
            d->n_au = 0;
            d->dropped++;
            d->loss = true;
            return 0;
        }
        if (d->n_au == 1 && (d->au_size[0] > left->len)) {
            d->n_au = 0;
            return take_au_piece(d, ret);
        }
        if (d->open) { /* the rest of a unit in pieces never came */
            rtp_depay_break(d);
            (void)rtp_depay_finish(d, ret);
        }
    }
    while (d->next_au < d->n_au && d->au_size[d->next_au] <= left->len) {
        const uint32_t at = d->packet.timestamp + d->next_au * d->config.frame_samples;
        const struct bytes au = BYTES(left->data, d->au_size[d->next_au++]);
        *left = BYTES(left->data + au.len, left->len - au.len);
        if (au.len > 0) {
            return hand_out(d, au, at, ret);
        }
    }
    return 0;
}

int rtp_depay_next(struct rtp_depay *d, struct rtp_unit *ret)
{
    switch (d->config.codec) {
    case CODEC_H264:
    case CODEC_HEVC:
        return next_picture(d, ret);
    case CODEC_OPUS:
        return next_whole(d, ret);
    case CODEC_AAC:
        return next_au(d, ret);
    case CODEC_AV1:
    case CODEC_VP9:
    case CODEC_MP3:
    case CODEC_N:
        break;
    }
    return 0;
}
