/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* How streams look in the API: the engine's view as models. Views borrow every text from the info they were made from. */
#include "base/model.h"
#include "engine/stream.h"

struct track_view {
    int64_t id;
    int kind;  /* enum track_kind */
    int codec; /* enum codec */
    char *codecs;
    bool ready;
    uint32_t width;
    uint32_t height;
    double fps;
    uint32_t sample_rate;
    uint32_t channels;
    uint64_t samples;
    uint64_t bytes;
    uint64_t bitrate_bps;
};

struct session_view {
    char *id;
    char *protocol;
    char *remote;
    char *agent;
    int64_t since;
    int state; /* enum reader_state; readers */
    bool on_air;
    uint64_t bytes;
    uint64_t samples;
    uint64_t dropped;
    double behind_ms;
    uint64_t jumps;
    bool blocked;
};

struct group_view {
    double duration_ms;
    uint64_t pictures;
    uint64_t bytes;
    uint64_t epoch;
};

struct recent_view {
    MODEL_ARRAY(uint32_t) bytes;
    MODEL_ARRAY(struct group_view) groups;
};

enum stream_kind {
    STREAM_PUBLISHED, /* somebody publishes it, or could */
    STREAM_DERIVED,
    STREAM_KIND_N,
};

struct stream_view {
    char *path;
    int kind; /* enum stream_kind */
    char *parent;
    bool on_air;
    bool ready;
    bool waiting;
    char *reason;
    int64_t since;
    uint64_t epoch;
    uint64_t group;
    MODEL_ARRAY(struct track_view) tracks;
    struct session_view *publisher;
    uint64_t n_readers;
    MODEL_ARRAY(struct session_view) readers;
    struct recent_view *recent;
    uint64_t bitrate_in_bps;
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t dropped;
    uint64_t history_ms;
    uint64_t history_bytes;
};
extern const struct model stream_view_model;
extern const struct model stream_list_model; /* struct stream_list_view */

struct stream_list_view {
    MODEL_ARRAY(struct stream_view) items;
};

/* Writes one stream, or a list, as JSON. */
void stream_view_write(const struct stream_info *info, struct json *j);
void stream_list_write(const struct stream_info *list, unsigned n, struct json *j);
