/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* AudioSpecificConfig, ISO/IEC 14496-3 1.6.2.1, with SBR and PS as they are signalled explicitly. Any thread, no state. */
#include "media/track.h"

struct aac_config {
    uint8_t object_type;    /* what a decoder must have: 2 LC, 5 SBR, 29 PS, 23 LD, 39 ELD ... */
    uint8_t channels;       /* as played */
    uint16_t frame_samples; /* per access unit at sample_rate */
    uint32_t sample_rate;   /* as played: the SBR rate where there is SBR */
};

int aac_config_parse(struct bytes asc, struct aac_config *ret, struct error *err);
int aac_params_fill(struct track_params *p, struct bytes config, struct error *err);
