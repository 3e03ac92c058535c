/* SPDX-License-Identifier: Apache-2.0 */
/* Input: one byte, how long the pieces are (0 = whole), then what ffmpeg writes to its progress descriptor. */
#include "peer/ffmpeg/ffmpeg.h"

#include <assert.h>

static void check(const struct ffmpeg_progress *p)
{
    assert(p->out_time_us >= -1 && p->frames >= -1 && p->dropped >= -1 && p->duplicated >= -1 &&
           p->bytes >= -1);
    assert(p->fps >= -1 && p->fps < 1e12 && p->speed >= -1 && p->speed < 1e12);
}

/* How many reports, and the last one: the same whatever the pieces are. */
static unsigned feed(struct bytes data, size_t piece, struct ffmpeg_progress *last)
{
    struct ffmpeg_progress_parser parser = {0};
    unsigned n = 0;
    while (data.len > 0) {
        struct bytes part = BYTES(data.data, piece < data.len ? piece : data.len);
        data.data += part.len;
        data.len -= part.len;
        while (ffmpeg_progress_feed(&parser, &part, last)) {
            check(last);
            n++;
        }
        assert(part.len == 0);
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ffmpeg_progress a = {0};
    struct ffmpeg_progress b = {0};
    if (size < 2) {
        return 0;
    }
    struct bytes text = BYTES(data + 1, size - 1);
    unsigned whole = feed(text, text.len, &a);
    unsigned pieces = feed(text, data[0] ? data[0] : text.len, &b);
    assert(whole == pieces && a.frames == b.frames && a.out_time_us == b.out_time_us &&
           a.bytes == b.bytes && a.ended == b.ended);
    return 0;
}
