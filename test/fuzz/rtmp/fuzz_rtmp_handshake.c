/* SPDX-License-Identifier: Apache-2.0 */
/* Both roles' handshakes; an odd first byte is a client's, the second one signs the block as a digest client would. */
#include "base/mem.h"
#include "protocol/rtmp/rtmp_handshake_wire.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    const enum rtmp_role role = data[0] & 1 ? RTMP_CLIENT : RTMP_SERVER;
    const size_t n = size - 2;
    uint8_t *copy = mem_memdup(data + 2, n);
    const enum rtmp_handshake_kind kind = data[1] % 3;
    if (kind != RTMP_HANDSHAKE_SIMPLE && n > RTMP_HANDSHAKE_SIZE) {
        rtmp_handshake_sign(copy + 1, RTMP_CLIENT, kind);
    }
    struct out out = {0};
    struct error err;
    struct rtmp_handshake *h = rtmp_handshake_new(role, 1, 2);
    rtmp_handshake_start(h, &out);
    struct rd in = rd_init(BYTES(copy, n));
    int r = 0;
    while (r == 0 && rd_left(&in) > 0) {
        const size_t step = 1 + (data[0] >> 1) * 16u;
        struct rd piece = rd_init(BYTES(in.p, MIN(step, rd_left(&in))));
        r = rtmp_handshake_feed(h, &piece, &out, &err);
        rd_skip(&in, (size_t)(piece.p - in.p));
    }
    assert(r <= 0 || n - rd_left(&in) == 1 + 2 * RTMP_HANDSHAKE_SIZE);
    assert(out.len <= 1 + 2 * RTMP_HANDSHAKE_SIZE);
    rtmp_handshake_free(h);
    out_done(&out);
    free(copy);
    return 0;
}
