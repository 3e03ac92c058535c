/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What is read from a struct hls_mux: playlists as text (RFC 8216 and RFC 8216bis), whether a blocking reload is due, and
 * the chunks of a file. Pure functions.
 */
#include "protocol/hls/hls_mux_wire.h"
#include "protocol/hls/hls_name_wire.h"

/* The next part of a track that is not complete yet. */
struct hls_position {
    uint64_t msn;
    uint32_t part;
};
struct hls_position hls_next(const struct hls_mux *m, unsigned track);

/* The track has media that a playlist can list. */
bool hls_track_is_listed(const struct hls_mux *m, unsigned track);
/* Every track that there is has a playlist. tracks: mask of those that the stream has announced with parameters. */
bool hls_is_ready(const struct hls_mux *m, uint32_t tracks);

enum hls_verdict {
    HLS_NOW,
    HLS_WAIT,
    HLS_TOO_FAR, /* 400: nobody can be that far ahead (RFC 8216bis 6.2.5.2) */
};
enum hls_verdict hls_check_reload(const struct hls_mux *m, unsigned track,
                                  const struct hls_directives *d);

/* query: as hls_query_carry() made it, or "". */
void hls_put_master(struct out *o, const struct hls_mux *m, const char *query);
void hls_put_playlist(struct out *o, const struct hls_mux *m, unsigned track,
                      const struct hls_directives *d, const char *query);

/* The chunks of a file, borrowed; a part that is announced and not there yet is to be waited for. */
enum hls_found {
    HLS_FOUND,
    HLS_COMING,
    HLS_ABSENT,
};
/* each is called for every chunk in order, when it is HLS_FOUND. Any name but that of a playlist. */
enum hls_found hls_find(struct hls_mux *m, const struct hls_name *name,
                        void (*each)(void *user, struct buf *chunk), void *user);
