/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access units to canonical bytes. Input: codec byte, then records of a 16-bit length, a flags byte (bit 0 key, bit 1
 * configuration) and bytes. Canonical bytes must be canonical: a second pass over them changes nothing.
 */
#include "media/fmp4.h"

#include "media/canon.h"

#include <assert.h>

static void check(struct canon *c, const struct canon_result *res, const struct canon_unit *in)
{
    struct canon again;
    struct canon_result twice;
    canon_init(&again, c->codec);
    again.params = track_params_ref(c->params);
    again.hint = c->hint ? buf_ref(c->hint) : NULL;
    uint8_t length_size = c->params->nal_length_size;
    if (length_size > 0) {
        c->params->nal_length_size = 4;
    }
    struct canon_unit unit = {buf_view(res->payload), in->pts_ns, in->container_key};
    assert(canon_feed(&again, &unit, &twice, NULL) == 0);
    assert(twice.payload && bytes_equal(buf_view(twice.payload), buf_view(res->payload)));
    assert(again.params == c->params);
    /* What leads depends on the picture before; the rest on the bytes alone. */
    assert((twice.flags & ~SAMPLE_LEADING) == (res->flags & ~(unsigned)SAMPLE_LEADING) ||
           c->codec == CODEC_HEVC);
    c->params->nal_length_size = length_size;
    buf_unref(&twice.payload);
    canon_done(&again);
}

static void feed(struct canon *c, uint8_t flags, struct bytes bytes, int64_t pts_ns)
{
    struct canon_unit unit = {bytes, pts_ns, flags & 1};
    struct canon_result res;
    if (flags & 2) {
        (void)canon_config(c, bytes, NULL);
        return;
    }
    if (canon_feed(c, &unit, &res, NULL) < 0) {
        assert(!res.payload);
        return;
    }
    if (res.payload) {
        assert(c->params);
        check(c, &res, &unit);
        struct sample *s = sample_new(0, c->params, &res.payload, pts_ns, pts_ns, res.flags, 0);
        struct buf *chunk = fmp4_chunk_make(s);
        assert(chunk->len == FMP4_CHUNK_HEADER + s->payload->len);
        buf_unref(&chunk);
        sample_unref(&s);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rd r = rd_init(BYTES(data, size));
    struct canon c;
    canon_init(&c, rd_u8(&r) % CODEC_N);
    for (int64_t pts = 0; rd_left(&r) > 3 && pts < 64; pts++) {
        size_t n = rd_u16be(&r);
        uint8_t flags = rd_u8(&r);
        n = n < rd_left(&r) ? n : rd_left(&r);
        struct bytes b = rd_bytes(&r, n);
        feed(&c, flags, b, flags & 4 ? -pts : pts);
    }
    canon_done(&c);
    assert(track_params_live_count() == 0 && buf_live_count() == 0 && sample_live_count() == 0);
    return 0;
}
