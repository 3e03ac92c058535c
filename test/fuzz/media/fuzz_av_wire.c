/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker, or mast, says: whatever parses is written back as the same bytes. */
#include "base/mem.h"
#include "media/av_wire.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        struct av_msg m;
        int r = av_wire_parse(BYTES(data + at, size - at), &m);
        if (r <= 0) {
            break;
        }
        assert((size_t)r <= size - at && r <= AV_WIRE_MESSAGE_MAX);
        assert(m.data.len <= AV_WIRE_DATA_MAX && m.config.len <= AV_WIRE_CONFIG_MAX);
        _cleanup_(out_done) struct out o = {0};
        av_wire_put(&o, &m);
        assert(bytes_equal(out_view(&o), BYTES(data + at, (size_t)r)));
        at += (size_t)r;
    }
    return 0;
}
