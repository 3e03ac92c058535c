/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The inside of a server session, shared by rtmp_session.c (the connection, the question of access, the deadlines),
 * rtmp_publish.c (messages to samples) and rtmp_play.c (samples to messages); rtmp_server.c only makes and ends them. One
 * loop.
 *
 * The state is that of the wire. What is written is, in this order: the rest of a sample's form that the socket took a part
 * of, the replies in tx, then forms from the reader's cursor. A session that ended is freed at the end of the pass.
 */
#include "protocol/rtmp/rtmp_server.h"

#include <stdatomic.h>

struct rtmp_publish;
struct rtmp_play;

/* Counters that every loop writes and anybody reads. */
struct rtmp_counters {
    atomic_uint_fast64_t sessions[RTMP_SERVER_STATE_N];
    atomic_uint_fast64_t sessions_total, dropped_total, bytes_in_total, bytes_out_total;
};

/* A server's part on one loop. */
struct rtmp_shard {
    struct rtmp_server *server;
    struct loop *loop;
    struct list sessions;
    struct loop_timer *tick; /* one for all sessions, while there are any */
};

struct rtmp_server {
    struct rtmp_server_config config; /* defaults filled in; the strings are gone */
    struct engine *engine;
    struct listener *listener;
    atomic_uint wait_ms;
    struct listener *previous; /* between rtmp_server_listen_next() and rtmp_server_keep() */
    unsigned n_shards;
    struct rtmp_shard *shards;
    struct rtmp_counters counters;
    struct rtmp_auth auth;
};

struct rtmp_session {
    struct list node; /* in shard->sessions */
    struct rtmp_shard *shard;
    struct conn *conn; /* NULL once ended */
    struct loop_task reap;
    struct rtmp_server_wire wire;
    enum rtmp_server_state counted; /* the state the gauges know */
    bool ended;
    bool blocked; /* the socket took less than offered: on_writable comes */
    bool pinged;
    int64_t since_ns; /* of the state */
    int64_t in_ns;    /* when something was received last */
    int64_t out_ns;   /* when something was taken last, or nothing waited */
    struct access_ticket *ticket;
    struct out kept_in; /* received behind the request that a question is open about */
    struct out tx;
    size_t tx_done;      /* bytes of tx that are out */
    struct buf *partial; /* a form that the socket took partial_done bytes of */
    size_t partial_done;
    char *path; /* of publish or play, for the log */
    struct rtmp_publish *publish;
    struct rtmp_play *play;
};

/* Takes c over. */
void rtmp_session_start(struct rtmp_shard *shard, struct conn *c);
/* Deadlines. */
void rtmp_session_tick(struct rtmp_session *s, int64_t now_ns);
enum rtmp_end {
    RTMP_END_PEER, /* it went, or asked to */
    RTMP_END_DROP, /* we drop it: counted and logged as a warning */
    RTMP_END_OURS, /* an orderly end from this side */
};
/* Logs why, sends what is in tx, lets go of everything; the memory goes at the end of the pass. Once or more. */
void rtmp_session_end(struct rtmp_session *s, enum rtmp_end how, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Writes what waits. */
void rtmp_session_flush(struct rtmp_session *s);
/* A question was answered: reads what came behind it, and goes on reading. */
void rtmp_session_resume(struct rtmp_session *s);
static inline int64_t rtmp_session_now(const struct rtmp_session *s)
{
    return loop_now_ns(s->shard->loop);
}

/* ---- publishing: s->publish, from the grant to the end ---- */
void rtmp_publish_start(struct rtmp_session *s, const struct access_answer *answer);
void rtmp_publish_message(struct rtmp_session *s, const struct rtmp_message *m);
void rtmp_publish_metadata(struct rtmp_session *s, const struct amf_value *metadata);
void rtmp_publish_tick(struct rtmp_session *s, int64_t now_ns);
void rtmp_publish_stop(struct rtmp_session *s);

/* ---- playing: s->play, from the grant to the end ---- */
void rtmp_play_start(struct rtmp_session *s, const struct access_answer *answer);
void rtmp_play_pause(struct rtmp_session *s, bool on);
void rtmp_play_receive(struct rtmp_session *s, enum track_kind kind, bool on);
/* Headers that must stand before the next sample go into tx; then up to max forms, NULL for samples to be left out. */
unsigned rtmp_play_forms(struct rtmp_session *s, struct buf *forms[], unsigned max);
/* n of the forms are written, or belong to the session now. */
void rtmp_play_advance(struct rtmp_session *s, unsigned n, uint64_t bytes);
void rtmp_play_blocked(struct rtmp_session *s, bool blocked);
void rtmp_play_tick(struct rtmp_session *s, int64_t now_ns);
void rtmp_play_stop(struct rtmp_session *s);
