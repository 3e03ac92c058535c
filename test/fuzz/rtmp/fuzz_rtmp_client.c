/* SPDX-License-Identifier: Apache-2.0 */
/* The client role after a handshake, as a player or (odd first byte) a publisher. */
#include "base/mem.h"
#include "protocol/rtmp/rtmp_client_wire.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    static const uint8_t hello[1 + 2 * RTMP_HANDSHAKE_SIZE] = {3};
    const struct rtmp_client_target target = {
        .publish = data[0] & 1, .app = "live", .tc_url = "rtmp://h/live", .name = "x"};
    struct rtmp_client_wire w;
    struct rtmp_client_event ev;
    struct error err;
    struct out out = {0};
    rtmp_client_wire_init(&w, &target, 1, 1, &out);
    struct rd shake = rd_init(BYTES(hello, sizeof(hello)));
    (void)rtmp_client_wire_next(&w, &shake, &out, &ev, &err);
    assert(w.state == RTMP_CLIENT_CONNECTING);

    struct rd in = rd_init(BYTES(data + 1, size - 1));
    int r = 0;
    while (rd_left(&in) > 0 && r >= 0) {
        const struct bytes piece = rd_bytes(&in, MIN((size_t)1 + (data[0] >> 1), rd_left(&in)));
        uint8_t *copy = mem_memdup(piece.data, piece.len);
        struct rd rd = rd_init(BYTES(copy, piece.len));
        while ((r = rtmp_client_wire_next(&w, &rd, &out, &ev, &err)) > 0) {
            if (ev.type == RTMP_CLIENT_STARTED && target.publish) {
                rtmp_client_wire_media(&w, RTMP_AUDIO, 1, BYTES("a", 1), &out);
            }
            assert(ev.type != RTMP_CLIENT_MEDIA || ev.message.body.len > 0);
        }
        out.len = 0;
        free(copy);
    }
    rtmp_client_wire_stop(&w, &out);
    rtmp_client_wire_done(&w);
    out_done(&out);
    return 0;
}
