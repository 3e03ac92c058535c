/* SPDX-License-Identifier: Apache-2.0 */
#include "media/timeline.h"

#define NS_PER_S 1000000000LL

/* round(v x num / den), half away from zero. */
static int64_t scale(int64_t v, int64_t num, int64_t den)
{
    __int128 n = (__int128)v * num;
    __int128 half = den / 2;
    __int128 q = (n < 0 ? n - half : n + half) / den;
    return q > INT64_MAX ? INT64_MAX : q < INT64_MIN ? INT64_MIN : (int64_t)q;
}

int64_t ticks_from_ns(int64_t ns, uint32_t rate)
{
    return scale(ns, rate, NS_PER_S);
}

int64_t ns_from_ticks(int64_t ticks, uint32_t rate)
{
    return scale(ticks, NS_PER_S, rate);
}

int64_t ticks_between(int64_t from_ns, int64_t to_ns, uint32_t rate)
{
    return ticks_from_ns(to_ns, rate) - ticks_from_ns(from_ns, rate);
}

int64_t unwrap32_next(struct unwrap32 *u, uint32_t v)
{
    int64_t next = u->total + (int32_t)(v - u->last);
    u->total = u->started && next <= UNWRAP32_MAX && next >= -UNWRAP32_MAX ? next : v;
    u->last = v;
    u->started = true;
    return u->total;
}

int64_t audio_grid_next(struct audio_grid *g, int64_t ns, uint32_t rate, uint32_t samples)
{
    if (rate == 0 || samples == 0) {
        g->rate = 0;
        return ns;
    }
    int64_t off = INT64_MAX;
    int64_t grid = g->anchor_ns + (g->rate == rate ? ns_from_ticks((int64_t)g->samples, rate) : 0);
    bool known = g->rate == rate && !__builtin_sub_overflow(ns, grid, &off);
    if (!known || off > AUDIO_GRID_SNAP_NS || off < -AUDIO_GRID_SNAP_NS) {
        *g = (struct audio_grid){.anchor_ns = ns, .rate = rate};
        grid = ns;
    }
    g->samples += samples;
    return grid;
}
