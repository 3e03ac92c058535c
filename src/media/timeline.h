/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Time on wires: ticks and nanoseconds, RTMP's 32-bit milliseconds without their wraps, and audio put on its sample grid
 * (design 3, Units). Pure functions and small structs embedded by their owner; no clock.
 */
#include <stdbool.h>
#include <stdint.h>

/* round(ns x rate / 10^9), half away from zero; exact for any 64-bit ns and 32-bit rate (saturates at the ends). */
int64_t ticks_from_ns(int64_t ns, uint32_t rate);
/* round(ticks x 10^9 / rate); rate > 0. */
int64_t ns_from_ticks(int64_t ticks, uint32_t rate);
/* Ticks between two absolute times: the difference of their ticks, so that durations add up to the times. */
int64_t ticks_between(int64_t from_ns, int64_t to_ns, uint32_t rate);

/*
 * A 32-bit counter that wraps. Each step is taken as the shortest way round, so wraps, small steps back (audio and video
 * interleaved) and jumps of up to 2^31 either way come out right; which jumps begin an epoch is the engine's business.
 */
struct unwrap32 {
    int64_t total; /* private */
    uint32_t last;
    bool started;
};

/*
 * 139 years of ms: their ns still fit. A peer that jumps on and on to get past it finds itself at v again, which is one more
 * jump.
 */
#define UNWRAP32_MAX (1LL << 42)

/* The unwrapped value; the first one is v itself. */
int64_t unwrap32_next(struct unwrap32 *u, uint32_t v);

#define AUDIO_GRID_SNAP_NS 10000000LL

/*
 * The sample grid of one audio track: its first time stamp plus the samples since. A stamp within 10 ms of the grid is put on
 * it; one further off starts a new grid.
 */
struct audio_grid {
    int64_t anchor_ns; /* private */
    uint64_t samples;
    uint32_t rate;
};

/* The time of a frame stamped ns that holds `samples` at `rate`; ns itself when either is 0 (unknown). */
int64_t audio_grid_next(struct audio_grid *g, int64_t ns, uint32_t rate, uint32_t samples);
