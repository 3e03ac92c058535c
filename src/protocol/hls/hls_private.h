/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What hls_server.c (the loops of connections) and hls_muxer.c (the loop of a stream's muxer) share. A request belongs to one
 * of the two sides at a time and goes there and back as a message, so neither needs a lock for it.
 */
#include "base/list.h"
#include "base/map.h"
#include "protocol/hls/hls_playlist_wire.h"
#include "protocol/hls/hls_server.h"

#include <pthread.h>
#include <stdatomic.h>

#define HLS_MUXERS_MAX  10000u
#define HLS_WAITING_MAX 50000u /* of one stream */
#define HLS_PEERS_MAX   65536u /* of one stream, for the estimate */

struct hls_server {
    struct engine *engine;
    struct hls_limits limits;
    struct loop *const *loops;
    unsigned n_loops;
    char **origins; /* of pages that may play; read-only */
    size_t n_origins;
    bool any_origin;
    pthread_mutex_t lock;
    struct map muxers; /* by path; under the lock, as are their refs */
    atomic_uint_fast64_t streams, readers, waiting, requests;
};

enum hls_request_state {
    HLS_REQUEST_ASKING, /* the access question runs */
    HLS_REQUEST_AWAY,   /* with its muxer, or on the way there or back */
};

struct hls_request {
    struct loop_msg msg;
    struct hls_server *server;
    enum hls_request_state state;

    /* What is asked: written before it goes, read-only from then on. */
    struct loop *loop;
    struct hls_muxer *muxer; /* one of its refs */
    struct hls_name name;
    struct hls_directives directives;
    char *query;    /* hls_query_carry() */
    uint64_t agent; /* tells readers apart, for the estimate */
    bool takes_gzip;

    /* The connection's loop. */
    struct http_request *req;
    struct http_reply *reply; /* NULL: the client left */
    struct access_ticket *ticket;

    /* The muxer's loop. */
    struct list node;
    int64_t deadline_ns;

    /* The answer. */
    int status;
    struct error err; /* of a status that is an error */
    unsigned max_age_s;
    bool packed; /* by gzip */
    unsigned n_pieces;
    unsigned cap_pieces;
    struct buf **pieces; /* own references */
};

enum hls_view {
    HLS_VIEW_PLAIN,
    HLS_VIEW_FULL,
    HLS_VIEW_DELTA,
    HLS_VIEW_N,
};

struct hls_cached {
    uint64_t version; /* of mux, + 1; 0 = none */
    struct buf *text;
    struct buf *packed; /* the same by gzip, once somebody takes it */
};

/* One stream; belongs to its loop, but for refs and the pointer in the map. */
struct hls_muxer {
    struct hls_server *server;
    struct loop *loop;
    unsigned refs; /* requests that name it; under the server's lock */
    char path[STREAM_PATH_MAX + 1];

    struct hls_mux mux;
    struct reader *reader;
    bool opening;       /* the reader has not been told anything yet */
    bool absent;        /* nobody publishes, and there is nothing from before */
    uint32_t announced; /* tracks with parameters */
    struct list waiting;
    unsigned n_waiting;
    uint64_t seen_version; /* what waiting requests were tried against */
    struct loop_timer *tick;
    int64_t used_ns;  /* when it was last asked for anything */
    struct map peers; /* agent -> ms of its last request */
    uint64_t counted; /* its share of server->readers */
    struct hls_cached cache[TRACKS_MAX][HLS_VIEW_N];
};

/* The muxer's loop. */
struct hls_muxer *hls_muxer_new(struct hls_server *s, struct loop *l, const char *path);
void hls_muxer_take(struct hls_muxer *m, struct hls_request *q);
/* Answers what waits and lets go of everything; only the memory stays, for hls_server_free(). */
void hls_muxer_close(struct hls_muxer *m);

/* hls_server.c: sends q back with its answer; any loop. */
void hls_request_return(struct hls_request *q);
void hls_request_add_piece(struct hls_request *q, struct buf *b); /* takes its own reference */
/* Takes m out of the map if no request names it. */
bool hls_server_forget(struct hls_server *s, struct hls_muxer *m);

/* hls_cors.c; any loop but for init and done. */
void hls_cors_init(struct hls_server *s, const char *const *origins, size_t n);
void hls_cors_done(struct hls_server *s);
void hls_cors_put(const struct hls_server *s, struct http_request *req, struct http_reply *reply);
/* Answers OPTIONS. */
void hls_cors_handle(void *user, struct http_request *req, struct http_reply *reply);
