/* SPDX-License-Identifier: Apache-2.0 */
#include "base/gzip.h"

#include <zlib.h>

/* Texts are a few KiB, so a window of 8 KiB and a small hash table are enough; 16 asks for gzip's header and trailer. */
#define WINDOW_BITS (13 + 16)
#define MEMORY      6

struct buf *gzip_make(struct bytes text)
{
    z_stream z = {0};
    if (text.len == 0 || text.len > UINT32_MAX ||
        deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_BITS, MEMORY,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        return NULL;
    }
    struct buf *b = buf_new(text.len);
    z.next_in = (Bytef *)text.data;
    z.avail_in = (uInt)text.len;
    z.next_out = b->data;
    z.avail_out = (uInt)text.len;
    int r = deflate(&z, Z_FINISH);
    b->len = (uint32_t)z.total_out;
    deflateEnd(&z);
    if (r != Z_STREAM_END) {
        buf_unref(&b);
    }
    return b;
}
