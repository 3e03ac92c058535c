/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The words of the MSE WebSocket (docs/mse-protocol.md): which tracks a query asks for, and the JSON text of what the
 * server says between media. No I/O, no state; media itself is fmp4_init_make() and FORM_CMAF, untouched.
 */
#include "base/bytes.h"
#include "base/error.h"
#include "media/track.h"

/* What `tracks=` asks for. Zero means the default: the first video and the first audio track. */
struct mse_selection {
    bool given;
    bool kind[TRACK_KIND_N]; /* the first track of that kind */
    uint32_t ids;            /* bit i: the track with id i + 1 */
};

/* "video", "audio", track ids, or a comma list of them. -EINVAL with err for anything else. */
int mse_selection_parse(const char *text, struct mse_selection *ret, struct error *err);
/* The mask of tracks (bit i: params[i]) that are selected; entries of params may be NULL and are never selected. */
uint32_t mse_select(const struct mse_selection *sel, const struct track_params *const params[],
                    unsigned n);

/* {"type":"init",...}: params are the selected tracks (others NULL). Times are stream time in milliseconds. */
struct mse_init {
    const struct track_params *params[TRACKS_MAX];
    unsigned n;
    uint32_t epoch;
    int64_t start_ns; /* of the first sample that follows */
    int64_t edge_ns;  /* up to here every track has media at this moment */
};
void mse_put_init(struct out *o, const struct mse_init *init);
/* {"type":"state",...}: state is "live", "waiting" or "ended"; reason may be "". */
void mse_put_state(struct out *o, const char *state, const char *reason);
/* {"type":"state","state":"discontinuity",...}: the samples that follow are of another epoch, from start_ns on. */
void mse_put_discontinuity(struct out *o, uint32_t epoch, int64_t start_ns);
/* {"type":"jumped",...}: the reader was too slow, and this many samples were left out. */
void mse_put_jumped(struct out *o, uint64_t dropped);
