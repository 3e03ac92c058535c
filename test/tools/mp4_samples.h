/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A small reader of the fragmented MP4 files that ffmpeg writes (-movflags empty_moov+default_base_moof+frag_keyframe), for
 * test programs: it trusts its input. Everything is a view into the file's bytes. Edit lists are not looked at.
 */
#include "base/bytes.h"
#include "base/error.h"
#include "media/track.h"

struct mp4_track {
    uint32_t id;
    uint32_t timescale;
    enum codec codec;
    struct bytes
        config; /* avcC, hvcC, av1C, vpcC with version and flags, AudioSpecificConfig, dOps; none for MP3 */
    uint16_t width, height;
    uint32_t default_duration, default_size, default_flags; /* trex */
};

struct mp4_sample {
    unsigned track; /* index */
    int64_t dts_ns;
    int64_t cts_ns; /* pts - dts */
    bool key;
    struct bytes data;
};

struct mp4_file {
    uint8_t *bytes;
    unsigned n_tracks;
    struct mp4_track tracks[TRACKS_MAX];
    size_t n_samples; /* in order of dts */
    struct mp4_sample *samples;
    int64_t duration_ns;
};

int mp4_file_open(const char *path, struct mp4_file *ret, struct error *err);
void mp4_file_done(struct mp4_file *f);
