/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RTP packets to access units, and samples to payloads. Input: a codec byte, a byte that says how large a unit may be, then
 * records of a 16-bit length and a packet. What comes out as a sample must survive the way through our own packets.
 */
#include "base/mem.h"
#include "media/canon.h"
#include "media/fmp4.h"
#include "media/rtp_depay.h"
#include "media/rtp_payload.h"

#include <assert.h>

static void send_again(struct sample *s)
{
    struct rtp_depay d;
    const struct rtp_depay_config config = {.codec = s->params->codec};
    struct buf *form = sample_form(s, FORM_RTP);
    struct rtp_payload x;
    struct rtp_unit unit;
    unsigned n = 0;
    uint16_t seq = 0;
    if (!form) {
        return; /* AAC over 13 bits; a unit without a whole header */
    }
    assert(rtp_depay_init(&d, &config) == 0);
    struct rtp_payload_iter it = rtp_payload_iter_init(form);
    while (rtp_payload_next(&it, &x)) {
        assert(x.data.len <= RTP_PAYLOAD_MAX || s->params->codec == CODEC_OPUS);
        const struct rtp_packet p = {.seq = seq++, .marker = x.marker, .payload = x.data};
        rtp_depay_push(&d, &p);
        while (rtp_depay_next(&d, &unit) > 0) {
            struct canon c = {.codec = s->params->codec, .params = track_params_ref(s->params)};
            const struct canon_unit in = {unit.data, s->pts_ns, s->flags & SAMPLE_KEY};
            struct canon_result res;
            if (c.params->nal_length_size > 0) {
                track_params_unref(&c.params);
            }
            const int r = canon_feed(&c, &in, &res, NULL);
            if (c.params && r == 0 && res.payload) {
                assert(bytes_equal(buf_view(res.payload), buf_view(s->payload)));
            }
            buf_unref(&res.payload);
            canon_done(&c);
            n++;
        }
    }
    assert(n <= 1);
    rtp_depay_done(&d);
}

static void take(struct canon *c, const struct rtp_unit *unit)
{
    const struct canon_unit in = {unit->data, unit->timestamp, false};
    struct canon_result res;
    if (canon_feed(c, &in, &res, NULL) < 0 || !res.payload) {
        return;
    }
    struct sample *s = sample_new(0, c->params, &res.payload, 0, 0, res.flags, 0);
    send_again(s);
    sample_unref(&s);
}

static void read_packet(struct rtp_depay *d, struct canon *c, struct bytes datagram)
{
    struct rtp_packet p;
    struct rtp_unit unit;
    if (rtp_parse(datagram, &p) < 0) {
        return;
    }
    struct rtp_extension_iter it = rtp_extension_iter_init(&p);
    uint8_t id;
    struct bytes data;
    while (rtp_extension_next(&it, &id, &data) > 0) {
        assert(data.len <= p.extension.len);
    }
    rtp_depay_push(d, &p);
    while (rtp_depay_next(d, &unit) > 0) {
        assert(unit.data.len > 0 && unit.data.len <= MAX(d->config.unit_max, datagram.len));
        take(c, &unit);
    }
    assert(d->cap <= d->config.unit_max);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum codec codecs[] = {CODEC_H264, CODEC_HEVC, CODEC_OPUS, CODEC_AAC};
    static const uint8_t asc[] = {0x11, 0x88};
    static const uint8_t dops[] = {0, 2, 0, 0, 0, 0, 0xbb, 0x80, 0, 0, 0};
    struct rd r = rd_init(BYTES(data, size));
    struct rtp_depay d;
    struct canon c;
    media_register_forms();
    const struct rtp_depay_config config = {.codec = codecs[rd_u8(&r) % ARRAY_LEN(codecs)],
                                            .unit_max = (1U + rd_u8(&r)) * 256};
    assert(rtp_depay_init(&d, &config) == 0);
    canon_init(&c, config.codec);
    if (config.codec == CODEC_AAC) {
        canon_config(&c, BYTES(asc, sizeof(asc)), NULL);
    } else if (config.codec == CODEC_OPUS) {
        canon_config(&c, BYTES(dops, sizeof(dops)), NULL);
    }
    while (rd_left(&r) > 2) {
        size_t n = rd_u16be(&r);
        n = MIN(n, rd_left(&r));
        read_packet(&d, &c, rd_bytes(&r, n));
    }
    rtp_depay_done(&d);
    canon_done(&c);
    assert(track_params_live_count() == 0 && buf_live_count() == 0 && sample_live_count() == 0);
    return 0;
}
