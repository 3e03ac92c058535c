/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RTMP message bodies. Input: records of a 16-bit length, a kind byte (bit 0 audio) and a body, fed to one input per kind
 * and codec, as a session would. Samples are written as bodies again and must come back the same.
 */
#include "base/mem.h"
#include "media/flv.h"

#include <assert.h>

static void write_and_read(const struct sample *s)
{
    _cleanup_(out_done) struct out o = {0};
    uint8_t header[FLV_HEADER_MAX];
    struct flv_iter it;
    struct flv_packet p;
    out_mem(&o, header, flv_put_header(header, s));
    out_bytes(&o, buf_view(s->payload));
    flv_iter_init(&it, s->params->kind, out_view(&o));
    assert(flv_next(&it, &p, NULL) == 1);
    assert(p.type == FLV_CODED_FRAMES && p.codec == s->params->codec);
    assert(bytes_equal(p.data, buf_view(s->payload)));
    assert(p.kind == TRACK_AUDIO || p.key == ((s->flags & SAMPLE_KEY) != 0));
    struct buf *start = flv_sequence_start(s->params);
    struct buf *end = flv_sequence_end(s->params);
    buf_unref(&start);
    buf_unref(&end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rd r = rd_init(BYTES(data, size));
    struct flv_input inputs[CODEC_N];
    for (unsigned i = 0; i < CODEC_N; i++) {
        flv_input_init(&inputs[i], i, i);
    }
    for (uint32_t t = 0; rd_left(&r) > 3 && t < 64; t++) {
        size_t n = rd_u16be(&r);
        enum track_kind kind = rd_u8(&r) & 1 ? TRACK_AUDIO : TRACK_VIDEO;
        struct flv_iter it;
        struct flv_packet p;
        n = n < rd_left(&r) ? n : rd_left(&r);
        flv_iter_init(&it, kind, rd_bytes(&r, n));
        while (flv_next(&it, &p, NULL) > 0) {
            struct sample *s = NULL;
            assert(p.kind == kind);
            if (p.type != FLV_IGNORED &&
                flv_input_feed(&inputs[p.codec], &p, t * 20000000LL, 0, &s, NULL) > 0) {
                write_and_read(s);
                sample_unref(&s);
            }
        }
    }
    for (unsigned i = 0; i < CODEC_N; i++) {
        flv_input_done(&inputs[i]);
    }
    assert(track_params_live_count() == 0 && buf_live_count() == 0 && sample_live_count() == 0);
    return 0;
}
