/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/hls/hls_mux_wire.h"

#include <assert.h>

#define ASKED_LEAST 3 /* the copy pays from the third reader on */
#define BYTES_LEAST 65536

static struct buf *join(const struct hls_piece *p)
{
    struct buf *whole = buf_try_new_file(p->bytes);
    if (!whole) {
        return NULL;
    }
    uint8_t *at = whole->data;
    for (unsigned i = 0; i < p->n_parts; i++) {
        for (unsigned c = 0; c < p->parts[i].n; c++) {
            struct bytes chunk = buf_view(p->parts[i].chunks[c]);
            assert(chunk.len <= whole->len - (size_t)(at - whole->data));
            at = put_bytes(at, chunk);
        }
    }
    assert(at == whole->data + whole->len);
    return whole;
}

struct buf *hls_mux_whole(struct hls_mux *m, struct hls_segment *g, unsigned track)
{
    struct hls_piece *p = &g->pieces[track];
    if (p->whole || p->bytes < BYTES_LEAST || p->asked >= ASKED_LEAST) {
        return p->whole;
    }
    p->asked++;
    if (p->asked == ASKED_LEAST) {
        p->whole = join(p);
        uint64_t more = p->whole ? p->bytes : 0;
        g->bytes += more;
        m->bytes += more;
    }
    return p->whole;
}
