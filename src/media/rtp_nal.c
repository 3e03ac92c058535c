/* SPDX-License-Identifier: Apache-2.0 */
/*
 * H.264 and HEVC into RTP payloads (RFC 6184 5, RFC 7798 4.4). They differ in the size of the NAL unit header, one byte or
 * two, and in the numbers of the packet types; the rest is the same:
 *
 *   single NAL unit   the unit as it is
 *   aggregation       header with type STAP-A (24) or AP (48), then 16-bit lengths and units
 *   fragment          header with type FU-A (28) or FU (49), a byte with start, end and the unit's type, a piece
 *
 * Only parameter sets are aggregated: they are small, come together, and are of no use one by one.
 */
#include "base/mem.h"
#include "media/h264.h"
#include "media/hevc.h"
#include "media/rtp_depay.h"
#include "media/rtp_payload.h"

#include <errno.h>

#define FU_START 0x80
#define FU_END   0x40

#define H264_STAP_A 24
#define H264_FU_A   28
#define HEVC_AP     48
#define HEVC_FU     49

struct sets {
    unsigned n;
    size_t bytes;
    struct bytes item[3 * NAL_SETS_MAX];
};

static void add_sets(struct sets *to, const struct nal_sets *from)
{
    for (unsigned i = 0; i < from->n; i++) {
        to->item[to->n++] = from->item[i];
        to->bytes += from->item[i].len;
    }
}

/* The parameter sets of a key frame, in the order a decoder wants them. */
static int read_sets(const struct sample *s, struct sets *ret)
{
    ret->n = 0;
    ret->bytes = 0;
    if (!(s->flags & SAMPLE_KEY)) {
        return 0;
    }
    if (s->params->codec == CODEC_H264) {
        struct h264_config c;
        const int r = h264_config_parse(buf_view(s->params->config), &c, NULL);
        if (r < 0) {
            return r;
        }
        add_sets(ret, &c.sps);
        add_sets(ret, &c.pps);
        return 0;
    }
    struct hevc_config c;
    const int r = hevc_config_parse(buf_view(s->params->config), &c, NULL);
    if (r < 0) {
        return r;
    }
    add_sets(ret, &c.vps);
    add_sets(ret, &c.sps);
    add_sets(ret, &c.pps);
    return 0;
}

/* The header of an aggregation packet: the highest importance (H.264) of what is inside; layer 0, temporal id 1 (HEVC). */
static uint8_t *put_aggregate_head(uint8_t *p, bool hevc, const struct sets *sets)
{
    if (hevc) {
        return put_u8(put_u8(p, HEVC_AP << 1), 1);
    }
    uint8_t nri = 0;
    for (unsigned i = 0; i < sets->n; i++) {
        const uint8_t x = sets->item[i].data[0] & 0x60;
        nri = x > nri ? x : nri;
    }
    return put_u8(p, nri | H264_STAP_A);
}

static void put_fragments(struct rtp_payload_out *o, bool hevc, struct bytes nal, bool last)
{
    const size_t header = hevc ? 2 : 1;
    const uint8_t type = hevc ? nal.data[0] >> 1 & 0x3f : nal.data[0] & 0x1f;
    uint8_t head[3];
    if (hevc) {
        head[0] = (uint8_t)((nal.data[0] & 0x81) | HEVC_FU << 1);
        head[1] = nal.data[1];
    } else {
        head[0] = (uint8_t)((nal.data[0] & 0xe0) | H264_FU_A);
    }
    struct bytes left = BYTES(nal.data + header, nal.len - header);
    const size_t room = RTP_PAYLOAD_MAX - header - 1;
    uint8_t mark = FU_START;
    while (left.len > 0) {
        const size_t n = MIN(left.len, room);
        const bool end = n == left.len;
        head[header] = (uint8_t)(mark | (end ? FU_END : 0) | type);
        rtp_payload_put(o, BYTES(head, header + 1), BYTES(left.data, n), end && last);
        left = BYTES(left.data + n, left.len - n);
        mark = 0;
    }
}

static void put_unit(struct rtp_payload_out *o, bool hevc, struct bytes nal, bool last)
{
    if (nal.len <= RTP_PAYLOAD_MAX) {
        rtp_payload_put(o, BYTES(NULL, 0), nal, last);
    } else {
        put_fragments(o, hevc, nal, last);
    }
}

static void put_sets(struct rtp_payload_out *o, bool hevc, const struct sets *sets)
{
    const size_t size = (hevc ? 2 : 1) + sets->bytes + 2 * sets->n;
    if (sets->n < 2 || size > RTP_PAYLOAD_MAX) {
        for (unsigned i = 0; i < sets->n; i++) {
            put_unit(o, hevc, sets->item[i], false);
        }
        return;
    }
    rtp_payload_begin(o, size);
    o->p = put_aggregate_head(o->p, hevc, sets);
    for (unsigned i = 0; i < sets->n; i++) {
        o->p = put_bytes(put_u16be(o->p, (uint16_t)sets->item[i].len), sets->item[i]);
    }
    rtp_payload_end(o, false);
}

/*
 * A unit's length field becomes its record's; a fragment has at most 7 bytes in front of it, and there is at most one more than
 * whole ones fit. Sets: 4 for each record, which is more than 2 in an aggregate.
 */
size_t rtp_nal_bound(const struct sample *s)
{
    struct sets sets;
    if (read_sets(s, &sets) < 0) {
        return 0;
    }
    const size_t len = s->payload->len + sets.bytes;
    return len + 4 * (size_t)sets.n + 8 + (len / (RTP_PAYLOAD_MAX - 3) + 1) * 2 * 7;
}

int rtp_nal_put(struct rtp_payload_out *o, const struct sample *s)
{
    const bool hevc = s->params->codec == CODEC_HEVC;
    struct sets sets;
    int r = read_sets(s, &sets);
    if (r < 0) {
        return r;
    }
    struct nal_iter it = nal_iter_init(buf_view(s->payload), 4);
    struct bytes nal;
    struct bytes next;
    if (it.length_size != 4 || nal_next(&it, &nal) <= 0) {
        return -EINVAL;
    }
    put_sets(o, hevc, &sets);
    do {
        r = nal_next(&it, &next);
        if (nal.len < (hevc ? 2u : 1u) || r < 0) {
            return -EINVAL;
        }
        put_unit(o, hevc, nal, r == 0);
        nal = next;
    } while (r > 0);
    return 0;
}

/* ---- and back ---- */

/*
 * Whether a picture can begin with this unit: with what stands in front of slices, or with the slice that has its first
 * macroblock (H.264 7.3.3: first_mb_in_slice is 0, one bit "1"; HEVC 7.3.6.1: first_slice_segment_in_pic_flag).
 */
static bool begins_picture(bool hevc, uint8_t type, struct bytes body)
{
    const bool slice = hevc ? type < 32 : type >= 1 && type <= 5;
    return !slice || (body.len > 0 && body.data[0] & 0x80);
}

static void check_begin(struct rtp_depay *d, bool hevc, uint8_t type, struct bytes body)
{
    if (d->unsure && !begins_picture(hevc, type, body)) {
        rtp_depay_break(d);
    }
    d->unsure = false;
}

static void take_unit(struct rtp_depay *d, struct bytes nal)
{
    const bool hevc = d->config.codec == CODEC_HEVC;
    const size_t header = hevc ? 2 : 1;
    if (nal.len < header || d->fragment != SIZE_MAX) {
        rtp_depay_break(d);
        return;
    }
    const uint8_t type = hevc ? nal.data[0] >> 1 & 0x3f : nal.data[0] & 0x1f;
    check_begin(d, hevc, type, BYTES(nal.data + header, nal.len - header));
    uint8_t length[4];
    put_u32be(length, (uint32_t)nal.len);
    rtp_depay_add(d, BYTES(length, sizeof(length)));
    rtp_depay_add(d, nal);
}

static void take_aggregate(struct rtp_depay *d, struct rd *r)
{
    while (rd_left(r) > 0) {
        const struct bytes nal = rd_bytes(r, rd_u16be(r));
        if (rd_failed(r)) {
            rtp_depay_break(d);
            return;
        }
        if (nal.len > 0) {
            take_unit(d, nal);
        }
    }
}

/* head: the unit's header as it was before it was cut; its first byte still has the fragment's type. */
static void take_fragment(struct rtp_depay *d, bool hevc, const uint8_t *head, struct rd *r)
{
    const uint8_t mark = rd_u8(r);
    const uint8_t type = mark & (hevc ? 0x3f : 0x1f);
    const struct bytes piece = rd_bytes(r, rd_left(r));
    const bool begins = mark & FU_START;
    if (rd_failed(r) || begins == (d->fragment != SIZE_MAX)) {
        rtp_depay_break(
            d); /* the end of the one before, or the beginning of this one, is missing */
        return;
    }
    if (begins) {
        check_begin(d, hevc, type, piece);
        uint8_t start[6] = {0};
        start[4] = (uint8_t)(hevc ? (head[0] & 0x81) | type << 1 : (head[0] & 0xe0) | type);
        start[5] = head[1];
        const size_t at = d->len;
        rtp_depay_add(d, BYTES(start, hevc ? 6 : 5));
        d->fragment = d->broken ? SIZE_MAX : at;
    }
    rtp_depay_add(d, piece);
    if (mark & FU_END && d->fragment != SIZE_MAX) {
        put_u32be(d->data + d->fragment, (uint32_t)(d->len - d->fragment - 4));
        d->fragment = SIZE_MAX;
    }
}

void rtp_nal_take(struct rtp_depay *d, struct bytes payload)
{
    const bool hevc = d->config.codec == CODEC_HEVC;
    if (d->broken || payload.len == 0) {
        return;
    }
    struct rd r = rd_init(payload);
    uint8_t head[2] = {rd_u8(&r)};
    if (hevc) {
        head[1] = rd_u8(&r);
    }
    const uint8_t type = hevc ? head[0] >> 1 & 0x3f : head[0] & 0x1f;
    if (type == (hevc ? HEVC_AP : H264_STAP_A)) {
        take_aggregate(d, &r);
    } else if (type == (hevc ? HEVC_FU : H264_FU_A)) {
        take_fragment(d, hevc, head, &r);
    } else if (type < (hevc ? HEVC_AP : H264_STAP_A)) {
        take_unit(d, payload);
    } else {
        rtp_depay_break(d); /* interleaved modes, PACI: never negotiated */
    }
}
