/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A stream as HLS has it: segments, each with a piece per track, each piece a list of parts, each part a list of the shared
 * CMAF chunks by reference. Samples go in, in the order of the stream; what playlists and files say is read from it
 * (hls_playlist_wire.h). No I/O, no clock; one loop.
 *
 * All tracks are cut at the same sample, so a media sequence number means the same stretch in every playlist. A segment begins
 * with a group, but for two cuts in the middle of one: the first segment, so that a running stream has a playlist at once, and
 * a group that is longer than the target duration, which is never changed once it was told. Media sequence numbers begin at the group's number, which never falls; a segment has at
 * least one group, so the next life of the stream in HLS (hls_mux_reset) begins with higher ones.
 *
 * A part is complete when the next sample of its track is there, because only then its duration is known exactly.
 */
#include "media/sample.h"

#define HLS_MS 1000000LL /* in ns */
#define HLS_S  1000000000LL

struct hls_limits {
    int64_t segment_ns; /* a segment is cut at the first group after this */
    int64_t part_ns;    /* parts are at most so long */
    unsigned segments;  /* complete ones in a playlist */
    uint64_t bytes_max; /* of chunks kept; the oldest segments go first */
};

struct hls_part {
    int64_t start_ns;
    int64_t duration_ns;
    bool independent; /* has a key frame (RFC 8216bis 4.4.4.9) */
    unsigned n;
    unsigned cap;
    struct buf **chunks; /* own references */
};

/* What one track has in one segment. */
struct hls_piece {
    bool begun;
    bool closed;      /* complete; without `begun` it is a gap */
    bool independent; /* begins with a key frame */
    struct buf *init;
    uint64_t init_id;
    int64_t start_ns;
    int64_t duration_ns;
    int64_t wall_ns; /* when it was live */
    uint64_t bytes;
    unsigned samples;
    unsigned n_parts;
    unsigned cap_parts;
    struct hls_part *parts; /* complete ones */
    unsigned asked;         /* how often as a whole segment */
    struct buf *whole; /* the segment in one, for sending by pages; NULL: not asked for enough */
};

struct hls_segment {
    uint64_t msn;
    uint64_t dsn; /* discontinuities up to and with this segment */
    bool discontinuity;
    bool independent; /* begins with a group */
    int64_t start_ns; /* dts of its first sample */
    uint64_t bytes;
    struct hls_piece pieces[TRACKS_MAX];
};

struct hls_track {
    struct track_params *params; /* own reference; NULL = nothing came yet */
    struct buf *init;
    uint64_t init_id;
    struct hls_segment *segment; /* where the open part belongs */
    struct hls_part open;        /* n == 0: none */
    uint32_t epoch;              /* of its last sample */
    int64_t dts_ns;              /* its last sample */
    int64_t duration_ns;
    int64_t steps_ns[2];    /* its last two distances */
    int64_t composition_ns; /* pts - dts of the first sample of the epoch */
    int64_t part_target_ns; /* 0 = not known yet */
};

struct hls_mux {
    struct hls_limits limits;
    struct hls_segment **segments; /* oldest first */
    unsigned n_segments;
    unsigned cap_segments;
    struct hls_segment *current; /* the last of them, samples go there; NULL: none */
    struct hls_track tracks[TRACKS_MAX];
    uint64_t version;         /* rises when something new is complete */
    unsigned target_s;        /* EXT-X-TARGETDURATION */
    bool target_is_told;      /* and stays until hls_mux_reset() */
    int64_t group_longest_ns; /* of all that were seen */
    uint64_t bytes;           /* of all segments */
    bool ended;               /* nothing more is coming: EXT-X-ENDLIST */
    bool split;               /* cut at the next picture */
    uint64_t next_msn;        /* at least; 0 = none was used */
    uint64_t dsn;             /* 0 = none was used */
    uint32_t epoch;           /* of the last sample; 0 = none */
    bool epoch_has_video;     /* a picture came in it */
    int64_t epoch_wall_ns;    /* wall time - stream time of this epoch */
    uint64_t group;
    int64_t group_ns; /* dts at which it began */
    uint64_t next_seq;
};

void hls_mux_init(struct hls_mux *m, const struct hls_limits *limits);
void hls_mux_done(struct hls_mux *m);
/*
 * The closed piece of a track as one buffer in a memory file, once it was asked for often enough: then its chunks need not be
 * copied for every reader. Borrowed; NULL when the chunks are to be sent. Counts as an ask.
 */
struct buf *hls_mux_whole(struct hls_mux *m, struct hls_segment *g, unsigned track);
/* Nobody watches any more: drops the media, keeps the numbers. */
void hls_mux_reset(struct hls_mux *m);
/* chunk is s as FORM_CMAF, borrowed. wall_minus_mono_ns: what the wall clock is ahead of the monotonic one. */
void hls_mux_push(struct hls_mux *m, const struct sample *s, struct buf *chunk,
                  int64_t wall_minus_mono_ns);
/*
 * After a batch: while there is no complete segment but enough for one, the next picture begins another, so that the
 * first playlist need not wait for a key frame. Not before all announced tracks have come: a first segment without sound that
 * is a little late would be a playlist without it.
 */
void hls_mux_settle(struct hls_mux *m, uint32_t announced);
/* The publisher is gone for good: completes what is open. The next sample begins a new stretch. */
void hls_mux_end(struct hls_mux *m);
