/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The names of HLS (docs/hls.md): what a file name asks for, the delivery directives of a query (RFC 8216bis 6.2.5), and the
 * part of a query that goes on into the URIs of a playlist. Every thing has one name only, so that caches keep it once.
 * Pure functions.
 */
#include "base/bytes.h"
#include "base/error.h"
#include "media/track.h"

enum hls_kind {
    HLS_MASTER,   /* index.m3u8: has no name of this sort */
    HLS_PLAYLIST, /* video1.m3u8 */
    HLS_INIT,     /* video1-<hash of its bytes, 16 hex digits>.mp4 */
    HLS_SEGMENT,  /* video1-<media sequence number>.m4s */
    HLS_PART,     /* video1-<media sequence number>.<part>.m4s */
};

struct hls_name {
    enum hls_kind kind;
    enum track_kind media;
    unsigned track; /* index; the name says index + 1, the id of the track in its init segment */
    uint64_t id;    /* INIT: hash; SEGMENT, PART: media sequence number */
    uint32_t part;
};

/* -EINVAL for what is no name, or not the one way to write it. */
int hls_name_parse(const char *file, struct hls_name *ret);
void hls_name_put(struct out *o, const struct hls_name *name);

struct hls_directives {
    bool has_msn;
    bool has_part;
    bool skip;
    bool plain; /* "plain": a playlist without anything of low latency */
    uint64_t msn;
    uint32_t part;
};

/* -EINVAL with err for directives that cannot be read, and for a part without its segment. */
int hls_directives_parse(const char *query, struct hls_directives *ret, struct error *err);

#define HLS_QUERY_MAX 2048

/*
 * Appends "?..." with what a URI in a playlist needs: the query without the directives, fit to stand in a quoted string.
 * Nothing when nothing is left. -E2BIG when it is longer than HLS_QUERY_MAX.
 */
int hls_query_carry(struct out *o, const char *query);
