/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSocket frames in both roles. The first byte chooses role and piece; the stream is parsed at once and in pieces, which
 * must give the same events. The follower of written frames sees the same bytes.
 */
#include "base/mem.h"
#include "io/ws_wire.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

static void parse(enum ws_role role, struct bytes stream, size_t piece, struct out *o)
{
    struct ws_parser p;
    struct ws_event e;
    int r = 0;
    ws_parser_init(&p, role, 4096);
    for (size_t at = 0; at < stream.len && r >= 0; at += piece) {
        struct bytes in = BYTES(stream.data + at, MIN(piece, stream.len - at));
        while ((r = ws_parser_next(&p, &in, &e)) > 0) {
            assert(e.data.len <= 4096);
            assert(e.opcode != WS_OP_CLOSE || e.code == WS_CLOSE_NO_CODE ||
                   ws_close_code_valid(e.code));
            assert(e.opcode != WS_OP_TEXT || utf8_valid(e.data));
            out_printf(o, "%d %d ", e.opcode, e.code);
            out_bytes(o, e.data);
        }
        if (piece > stream.len) {
            break;
        }
    }
    if (r < 0) {
        assert(ws_close_code_valid(p.error_code) && p.error);
        out_printf(o, "!%d", p.error_code);
    }
    ws_parser_done(&p);
}

static void follow(struct bytes b, size_t piece)
{
    struct ws_tracker t = {0};
    while (b.len > 0) {
        size_t used = ws_tracker_take(&t, BYTES(b.data, MIN(piece, b.len)));
        assert(used > 0 && used <= b.len);
        b = BYTES(b.data + used, b.len - used);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    enum ws_role role = data[0] & 1 ? WS_ROLE_CLIENT : WS_ROLE_SERVER;
    size_t piece = 1 + (data[0] >> 1) % 16;
    struct bytes stream = BYTES(data + 1, size - 1);
    struct out a = {0};
    struct out b = {0};
    parse(role, stream, SIZE_MAX / 2, &a);
    parse(role, stream, piece, &b);
    assert(bytes_equal(out_view(&a), out_view(&b)));
    follow(stream, piece);
    out_done(&a);
    out_done(&b);
    return 0;
}
