/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * HLS and LL-HLS over HTTP: `GET /{path+}/index.m3u8` and the files beneath `/{path+}/~hls/` (docs/hls.md). Each request asks
 * the access question on the loop of its connection and is then sent, as one message, to the stream's muxer, which lives on
 * the loop of the first request for it; the answer comes back as a list of references. So all loops serve the same
 * playlist. A muxer is an engine reader while there is a lease: each request renews it, three target durations long.
 */
#include "engine/stream.h"
#include "io/http.h"

struct hls_server;

struct hls_config {
    int64_t segment_ns;         /* 2 s */
    int64_t part_ns;            /* 300 ms */
    unsigned segments;          /* complete ones in a playlist; 8 */
    uint64_t bytes_max;         /* media kept for a stream; 128 MiB */
    const char *const *origins; /* of other sites whose pages may play; copied. None: all may */
    size_t n_origins;
};

struct hls_server *hls_server_new(const struct hls_config *config, struct engine *e,
                                  struct loop *const *loops, unsigned n_loops);
/* After http_server_free() and engine_free(), while the loops still run. Control thread. NULL is fine. */
struct hls_server *hls_server_free(struct hls_server *s);

/* A table of hls_routes_n media routes, to mount with the struct hls_server * as user. */
extern const struct http_route hls_routes[];
extern const unsigned hls_routes_n;

/* Any thread. */
struct hls_gauges {
    uint64_t streams; /* that are read for HLS now */
    uint64_t
        readers; /* an estimate: peers, told by address and agent, that asked within the lease */
    uint64_t waiting; /* requests whose answer is not there yet */
    uint64_t requests_total;
};
void hls_server_gauges(const struct hls_server *s, struct hls_gauges *ret);
