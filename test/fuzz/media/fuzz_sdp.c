/* SPDX-License-Identifier: Apache-2.0 */
/* Session descriptions, and what the payload formats in them say. Every view lies in the text. */
#include "media/rtp_sdp.h"

#include <assert.h>

static struct bytes text;

static void check(struct bytes b)
{
    assert(b.len == 0 || (b.data >= text.data && b.data + b.len <= text.data + text.len));
}

static void look(const struct sdp_section *s)
{
    struct sdp_attr_iter it = sdp_attr_iter_init(s);
    struct bytes name;
    struct bytes value;
    check(s->text);
    check(s->connection);
    while (sdp_attr_next(&it, &name, &value) > 0) {
        check(name);
        check(value);
    }
}

static void look_at_media(const struct sdp_media *m)
{
    look(&m->section);
    check(m->kind);
    check(m->proto);
    for (unsigned i = 0; i < m->n_formats; i++) {
        struct rtp_sdp_format f;
        const int pt = sdp_payload_type(m, i);
        if (pt >= 0 && rtp_sdp_read(m, (uint8_t)pt, &f, NULL) == 0) {
            assert(f.clock_rate > 0);
            buf_unref(&f.config);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sdp s;
    text = BYTES(data, size);
    if (sdp_parse(text, &s, NULL) == 0) {
        look(&s.session);
        check(s.name);
        for (unsigned i = 0; i < s.n_media; i++) {
            look_at_media(&s.media[i]);
        }
    }
    assert(buf_live_count() == 0 && track_params_live_count() == 0);
    return 0;
}
