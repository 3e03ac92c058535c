/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AV1 into RTP payloads (AOM, "RTP Payload Format For AV1" 1.0.0, section 4). Each packet has one OBU element or a piece of
 * one: a byte Z Y W W N - - - (Z: goes on from the packet before, Y: goes on in the next one, W: elements, 1, whose length is
 * then not written, N: begins a coded video sequence), and the OBU without its size field (5: obu_has_size_field SHOULD be 0).
 */
#include "base/mem.h"
#include "media/av1.h"
#include "media/rtp_payload.h"

#include <errno.h>

#define AGGR_Z      0x80
#define AGGR_Y      0x40
#define AGGR_W1     0x10
#define AGGR_N      0x08
#define OBU_SIZED   0x02
#define RECORD_HEAD 4

static size_t head_len(const struct av1_obu *obu)
{
    return obu->has_extension ? 2 : 1;
}

static bool is_carried(const struct av1_obu *obu)
{
    return obu->type != AV1_OBU_TEMPORAL_DELIMITER && obu->type != AV1_OBU_PADDING;
}

size_t rtp_av1_bound(const struct sample *s)
{
    const size_t room = RTP_PAYLOAD_MAX - 1;
    struct rd r = rd_init(buf_view(s->payload));
    struct av1_obu obu;
    size_t bound = 0;
    while (av1_obu_next(&r, &obu) > 0) {
        const size_t len = head_len(&obu) + obu.payload.len;
        bound += len + (len / room + 1) * (1 + RECORD_HEAD);
    }
    return bound;
}

/* The next OBU that is carried. 1, 0 at the end, -EINVAL. */
static int next_carried(struct rd *r, struct av1_obu *ret)
{
    int x;
    do {
        x = av1_obu_next(r, ret);
    } while (x > 0 && !is_carried(ret));
    return x;
}

static void put_obu(struct rtp_payload_out *o, const struct av1_obu *obu, uint8_t aggr, bool last)
{
    const size_t head = head_len(obu);
    size_t left = head + obu->payload.len;
    size_t at = 0; /* of the OBU without its size */
    while (left > 0) {
        const size_t n = MIN(left, (size_t)RTP_PAYLOAD_MAX - 1);
        const bool more = n < left;
        rtp_payload_begin(o, 1 + n);
        o->p =
            put_u8(o->p, (uint8_t)(aggr | AGGR_W1 | (at > 0 ? AGGR_Z : 0) | (more ? AGGR_Y : 0)));
        size_t taken = 0;
        if (at == 0) {
            o->p = put_u8(o->p, obu->header & (uint8_t)~OBU_SIZED);
            if (obu->has_extension) {
                o->p = put_u8(o->p, obu->extension);
            }
            taken = head;
        }
        o->p = put_bytes(o->p, BYTES(obu->payload.data + (at > 0 ? at - head : 0), n - taken));
        rtp_payload_end(o, last && !more);
        at += n;
        left -= n;
        aggr = 0;
    }
}

int rtp_av1_put(struct rtp_payload_out *o, const struct sample *s)
{
    struct rd r = rd_init(buf_view(s->payload));
    struct av1_obu obu;
    struct av1_obu next;
    uint8_t aggr = s->flags & SAMPLE_KEY ? AGGR_N : 0;
    if (next_carried(&r, &obu) <= 0) {
        return -EINVAL;
    }
    int x;
    do {
        x = next_carried(&r, &next);
        if (x < 0) {
            return x;
        }
        put_obu(o, &obu, aggr, x == 0);
        obu = next;
        aggr = 0;
    } while (x > 0);
    return 0;
}
