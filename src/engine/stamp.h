/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The time line of one stream (design 3, Clock): puts samples that carry their publisher's times into stream time, and
 * numbers epochs, groups and samples. Pure: no clock, no loop; `now` is a parameter. Used on the stream's home loop only.
 *
 * An epoch has one offset for all its tracks. A source jump of more than a second begins a new one; so does stamp_break().
 * Inside an epoch nothing is corrected but a dts that does not rise. Two oddities of real sources have their own rule:
 * a straggler (a sample of the old time line that arrives just after another track has jumped) is dropped, and a track whose
 * times have nothing to do with those of the others gets its own skew, so that it lands at `now`.
 */
#include "media/sample.h"

/* Least distance of two dts of one track: a millisecond, the coarsest time base that we write (FLV). */
#define STAMP_TICK_NS 1000000LL

struct stamp_track {
    uint32_t epoch;    /* of its last sample; 0 = none yet */
    int64_t source_ns; /* its last dts as the publisher gave it */
    int64_t arrival_ns;
    int64_t dts_ns;      /* its last dts in stream time */
    int64_t delta_ns;    /* the distance of its last two samples in source time */
    int64_t duration_ns; /* of its last sample */
    int64_t skew_ns;
};

struct stamp {
    struct stamp_track tracks[TRACKS_MAX];
    bool broken;       /* the next sample begins an epoch */
    bool keep;         /* source time is stream time: that of a derived stream's parent */
    uint32_t epoch;    /* rises from 1 */
    uint64_t group;    /* rises from the wall clock's milliseconds */
    uint64_t seq;      /* of the next sample */
    int64_t offset_ns; /* stream time - source time, of this epoch */
    int64_t source_ns; /* latest source dts of this epoch, over all tracks */
    int64_t begun_ns;  /* stream time when this epoch began */
    int64_t end_ns;    /* latest end of any sample so far */
    int64_t frame_ns;  /* duration of the sample that made end_ns */
    int64_t group_ns;  /* dts at which the group began */
};

enum stamp_grouping {
    STAMP_GROUP_KEYS,    /* a group begins with a key frame of the track `leader` */
    STAMP_GROUP_SECONDS, /* no video: a group is one second of audio */
};

void stamp_init(struct stamp *st, uint64_t first_group);
/* The next sample begins a new epoch: another publisher, or a source that says that it jumped. */
void stamp_break(struct stamp *st);
/* The tracks are about to be numbered anew (contract reset): forgets them, keeps time, epoch and group. */
void stamp_forget_tracks(struct stamp *st);
/* Stamps s, which nobody shares yet. now_ns: stream time. Returns false when s is a straggler that must be dropped. */
bool stamp_sample(struct stamp *st, struct sample *s, enum stamp_grouping grouping, unsigned leader,
                  int64_t now_ns);
