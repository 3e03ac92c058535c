/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The reader's struct, for the replica that wakes readers and for info.c; nobody else. Belongs to its session's loop. The fields
 * of the hot path come first.
 */
#include "engine/internal.h"

/* Where a reader is and which rules apply from there on; a value, so that looking ahead is a copy. */
struct cursor {
    uint64_t seq;        /* the next sample to look at */
    uint64_t skip_group; /* this group and older ones are spoiled for it (see resumed) */
    uint64_t lead_group; /* the group it began with: its leading pictures are skipped */
    uint32_t need_key;   /* video tracks that must begin with a key frame */
    bool resumed;        /* fell behind, and audio goes on in spoiled groups */
};

struct reader {
    struct replica *replica; /* NULL: dead */
    struct reader_ops ops;
    void *user;
    struct cursor at;   /* what was advanced over is behind it */
    struct cursor scan; /* behind the last peeked sample */
    uint32_t peeked;    /* samples between at and scan */
    uint32_t track_mask;
    uint32_t index;       /* in replica->readers */
    uint32_t pass;        /* the replica's pass that it was last woken in */
    uint32_t told;        /* view version */
    uint32_t tracks_told; /* tracks version */
    enum reader_state state;
    enum replay_policy replay;
    bool positioned;
    bool over; /* was told ENDED: what comes next is another stream to it */
    bool audio_resumes;
    bool wait;
    form_mask forms;
    uint64_t history_end; /* REPLAY_LIVE: audio before this seq is skipped */
    int64_t edge_ns;      /* REPLAY_LIVE: stamps before this are squeezed */
    uint64_t bytes;
    uint64_t samples;
    uint64_t dropped;
    uint32_t jumps;        /* times it fell forward */
    struct loop_task wake; /* LOOP_STAGE_FANOUT: first news, resume, refusal */
    struct error refusal;
    struct session s;
};

/*
 * The replica's view changed: one that waited begins here and now, not when it is told, so that it misses nothing of a stream
 * that begins with a burst. Calls nothing back.
 */
void reader_follow(struct reader *r);
/* Calls what is due. It may be closed when this returns. */
void reader_run(struct reader *r);
int64_t reader_behind_ns(const struct reader *r);
