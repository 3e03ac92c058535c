/* SPDX-License-Identifier: Apache-2.0 */
/* Codec configurations: the first byte picks the codec, the rest is the record. What is accepted must be writable. */
#include "media/flv.h"
#include "media/fmp4.h"
#include "media/opus.h"
#include "media/vp9.h"

#include <assert.h>

static void use(enum codec codec, struct bytes config)
{
    struct track_params *p = NULL;
    struct error err = {0};
    if (track_params_new(codec, config, &p, &err) < 0) {
        assert(err.code < 0 && err.text[0] != '\0');
        return;
    }
    assert(p->rfc6381[0] != '\0' && p->codec == codec);
    assert(p->kind == TRACK_VIDEO || (p->sample_rate > 0 && p->channels > 0));
    assert((p->fps_num == 0) == (p->fps_den == 0));
    const struct track_params *list[] = {p};
    char mime[FMP4_MIME_MAX];
    fmp4_mime(list, 1, mime, sizeof(mime));
    struct buf *init = fmp4_init_make(list, 1);
    struct buf *start = flv_sequence_start(p);
    if (codec != CODEC_MP3) {
        /* The record that is kept must itself be acceptable, and mean the same. */
        struct track_params *again = NULL;
        assert(track_params_new(codec, buf_view(p->config), &again, NULL) == 0);
        assert(track_params_equal(p, again));
        track_params_unref(&again);
    }
    buf_unref(&init);
    buf_unref(&start);
    track_params_unref(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    unsigned pick = data[0] % (CODEC_N + 2);
    struct bytes rest = BYTES(data + 1, size - 1);
    if (pick < CODEC_N) {
        use(pick, rest);
    } else if (pick == CODEC_N) {
        struct buf *dops = NULL;
        if (opus_config_from_head(rest, &dops, NULL) == 0) {
            use(CODEC_OPUS, buf_view(dops));
            struct buf *head = opus_head_build(buf_view(dops));
            buf_unref(&head);
        }
        buf_unref(&dops);
        assert(opus_packet_samples(rest) <= 5760);
    } else {
        struct vp9_header h;
        if (vp9_header_parse(rest, &h) == 0 && h.key) {
            uint8_t config[VP9_CONFIG_SIZE];
            vp9_config_build(&h, config);
            use(CODEC_VP9, BYTES(config, sizeof(config)));
        }
    }
    assert(track_params_live_count() == 0 && buf_live_count() == 0);
    return 0;
}
