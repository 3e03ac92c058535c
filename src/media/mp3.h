/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* MPEG-1/2/2.5 audio frame header, ISO/IEC 11172-3 2.4.1.3 and 13818-3. Any thread, no state. */
#include "media/track.h"

struct mp3_header {
    uint8_t layer; /* 1 to 3 */
    uint8_t channels;
    uint16_t frame_samples;
    uint32_t sample_rate;
    uint32_t bitrate_bps;
    uint32_t frame_bytes; /* with the header */
};

/* -EINVAL when the bytes do not begin with a header; free format is not taken. */
int mp3_header_parse(struct bytes frame, struct mp3_header *ret);
/* Here config is the beginning of a frame: MP3 has no other configuration. */
int mp3_params_fill(struct track_params *p, struct bytes frame, struct error *err);
