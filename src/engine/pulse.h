/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The last minutes of a stream in numbers: bytes of each second, and length and size of the last groups of pictures. Kept on
 * the home loop, two additions a sample, whoever looks. Pure: no clock, `now` is a parameter; a fixed few KiB per stream.
 */
#include "engine/stream.h"

struct pulse {
    int64_t second; /* the one that is being counted */
    uint32_t known; /* complete seconds in the ring */
    uint32_t bytes[STREAM_PULSE_SECONDS + 1];

    bool open; /* a group is being counted */
    uint64_t group;
    int64_t group_ns; /* dts of its key frame */
    int64_t end_ns;   /* end of its last picture so far */
    struct stream_pulse_group counted;
    uint64_t n_groups; /* ever; the newest is groups[(n_groups - 1) % STREAM_PULSE_GROUPS] */
    struct stream_pulse_group groups[STREAM_PULSE_GROUPS];
};

/* bytes came at now_ns, of any track. */
void pulse_bytes(struct pulse *p, int64_t now_ns, uint32_t bytes);
/* A picture of the leading video track, stamped. Its group tells where the one before ended. */
void pulse_picture(struct pulse *p, const struct sample *s);
/* Oldest first; seconds up to the last complete one before now_ns. */
void pulse_show(const struct pulse *p, int64_t now_ns, struct stream_pulse *ret);
