/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the files of the engine share with each other and with nobody else. Every struct says its loop; docs/internals/engine.md
 * tells how they work together.
 *
 * Lifetimes. The engine lives as long as its owner, its streams and the messages that name it (refs). A stream lives in the
 * path table as long as it has users (publishers' feeds, readers, replicas on other loops), a publisher or a window; only its
 * home loop frees it. A publisher or reader handle lives until its session closes it; other loops know it by its id only.
 */
#include "base/list.h"
#include "engine/pacing.h"
#include "engine/pulse.h"
#include "engine/ring.h"
#include "engine/stamp.h"
#include "engine/stream.h"

#include <pthread.h>
#include <stdatomic.h>

#define BUCKETS 1024u

/* ---- engine ---- */

struct counters { /* relaxed atomics */
    atomic_uint_fast64_t streams, publishers, readers, replicas;
    atomic_uint_fast64_t publishes, reads, refused;
};

/* Counted per sample: by each loop for itself, so that loops do not fight for a cache line; gauges add them up. */
struct hot_counters {
    atomic_uint_fast64_t bytes_in, bytes_out, samples_in, samples_dropped;
};

struct engine {
    struct loop *control;
    unsigned n_loops;
    struct engine_loop *loops[LOOPS_MAX];
    int64_t start_ns; /* monotonic: stream time 0 */
    atomic_uint_fast64_t memory_max_bytes;
    atomic_uint access_timeout_ms;
    atomic_uint refs;

    pthread_mutex_t lock; /* the fields below, and each stream's "shared" ones */
    struct engine_config config;
    bool closing;
    uint32_t n_streams;
    struct list buckets[BUCKETS];

    struct counters counters;
    atomic_uint_fast64_t
        history_cap; /* bytes a stream; falls while over the memory budget (gauges.c) */
    atomic_int_fast64_t history_cap_at;

    engine_event_fn event_fn; /* control loop */
    void *event_user;
    atomic_bool event_wanted;
};

/* Names a publisher or reader across loops: the generation tells a reused slot. */
struct session_id {
    uint16_t loop;
    uint32_t slot;
    uint32_t generation;
};

struct slot {
    struct session *session; /* NULL: free */
    uint32_t generation;
    uint32_t next_free; /* slot number + 1; 0 = none */
};

/* The engine's part of one media loop; belongs to that loop. */
struct engine_loop {
    struct engine *e;
    struct loop *loop;
    unsigned index;
    struct slot *slots;
    uint32_t n_slots;
    uint32_t free_slot;  /* slot number + 1 */
    uint32_t n_expiring; /* sessions with an expiry: the timer runs while there are any */
    struct loop_timer *expiry;
    struct list streams;  /* at home here */
    struct list replicas; /* of streams at home elsewhere */
    struct hot_counters hot;
    struct reader *running; /* whose callback runs; NULL as soon as it is closed */
};

struct engine *engine_ref(struct engine *e);
void engine_unref(struct engine *e);
/* NULL when l is not one of the media loops. */
struct engine_loop *engine_loop_of(struct engine *e, const struct loop *l);
static inline int64_t engine_now_ns(struct engine_loop *el)
{
    return loop_now_ns(el->loop) - el->e->start_ns;
}
void engine_emit(struct engine *e, enum stream_event event, const char *path,
                 const char *session_id, const char *reason);

#define COUNT_ADD(e, which, n)                                                                     \
    atomic_fetch_add_explicit(&(e)->counters.which, (uint64_t)(n), memory_order_relaxed)
/* One writer, so no locked instruction. */
#define HOT_ADD(el, which, n)                                                                      \
    atomic_store_explicit(&(el)->hot.which,                                                        \
                          atomic_load_explicit(&(el)->hot.which, memory_order_relaxed) +           \
                              (uint64_t)(n),                                                       \
                          memory_order_relaxed)
#define COUNT_SUB(e, which, n)                                                                     \
    atomic_fetch_sub_explicit(&(e)->counters.which, (uint64_t)(n), memory_order_relaxed)
#define COUNT_GET(e, which) atomic_load_explicit(&(e)->counters.which, memory_order_relaxed)

/* gauges.c: the memory budget. */
bool engine_over_budget(const struct engine *e);
/* Called as media comes in; lowers the bound on histories while over budget, and lifts it slowly after. */
void engine_adapt_history(struct engine *e, int64_t now_ns);

/* ---- sessions: what publishers and readers have in common (session.c) ---- */

enum session_kind {
    SESSION_PUBLISHER,
    SESSION_READER,
};

struct session {
    enum session_kind kind;
    bool attached;    /* in the slot table; false: dead, or not begun */
    struct engine *e; /* owns a reference */
    struct engine_loop *el;
    struct stream *stream;
    uint32_t slot;
    uint64_t serial;
    int64_t expires_ns; /* monotonic; 0 = never */
    int64_t since_wall_ns;
    char protocol[12];
    char remote[64];
    char agent[64];
};

/* -EACCES when its grant was revoked before it could attach. Right before session_attach(), in the same callback. */
int session_check(const struct session *s, struct error *err);
void session_attach(struct session *s);
void session_detach(struct session *s);
struct session_id session_id(const struct session *s);
struct session *session_find(struct engine_loop *el, struct session_id id);
void session_id_format(const struct session *s, char ret[32]);
/* Ends all of a loop that match (NULL = all) from the engine's side: detached, then on_close. Returns how many. */
unsigned session_kill_if(struct engine_loop *el,
                         bool (*match)(const struct session *s, const void *arg), const void *arg,
                         int r, const char *why);
void session_loop_done(struct engine_loop *el);
void publisher_kill(struct session *s, int r, const char *why);
void reader_kill(struct session *s, int r, const char *why);

/* ---- what readers see of a stream ---- */

struct view {
    enum reader_state state;
    bool absent; /* nobody publishes and no window runs: readers that do not wait are sent away */
    int refused; /* negative errno: all are */
    uint32_t version;        /* rises with each change */
    uint32_t tracks_version; /* rises when the list of tracks changes */
    unsigned n_tracks;
    uint32_t video_mask;
    struct track_params *params[TRACKS_MAX]; /* own references */
    char reason[120];
};

void view_copy(struct view *to, const struct view *from);
void view_done(struct view *v);

/* ---- replica: a stream on one loop (replica.c) ---- */

enum replica_state {
    REPLICA_IDLE,    /* no readers, not subscribed */
    REPLICA_JOINING, /* subscribed, the snapshot is on its way */
    REPLICA_OPEN,
    REPLICA_LEAVING, /* unsubscribed, the home's goodbye is on its way: nothing of this stream comes after it */
};

/* The home's replica is the stream's history; it is always OPEN and is written directly. */
struct replica {
    struct stream *stream;
    struct engine_loop *el;
    struct list node; /* in el->replicas */
    enum replica_state state;
    struct ring ring;
    struct ring_limits limits;
    struct view view;
    uint64_t visible;        /* readers see samples below this seq: those that came while LIVE */
    uint32_t pass;           /* counts fan-outs */
    uint32_t told;           /* the view's version that paused readers were told too */
    struct reader **readers; /* [0, n_active): not paused; then the paused ones */
    uint32_t n_active;
    uint32_t n_readers;
    uint32_t cap_readers;
    uint32_t form_readers[FORM_N];
    bool key_wanted;
    uint64_t bytes_out;
    uint64_t dropped;
    struct pacing pacing;
    bool video_waits;         /* a picture came since the last fan-out */
    struct loop_timer *paced; /* made when a fan-out is first held back */
    struct loop_task fanout;  /* LOOP_STAGE_FANOUT */
    struct loop_task report;  /* LOOP_STAGE_NOTIFY: tells the home what this loop's readers need */
};

void replica_init(struct replica *rep, struct stream *s, struct engine_loop *el,
                  enum replica_state state);
void replica_done(struct replica *rep);
/* That of el's loop, made when there is none yet. */
struct replica *replica_of(struct stream *s, struct engine_loop *el);
void replica_add_reader(struct replica *rep, struct reader *r);
void replica_remove_reader(struct replica *rep, struct reader *r);
void replica_set_active(struct replica *rep, struct reader *r, bool active);
void replica_want_key(struct replica *rep);
/* New samples: appended by reference that the callee takes; readers run at the end of the pass. */
void replica_push(struct replica *rep, struct sample **samples, unsigned n);
void replica_set_view(struct replica *rep, const struct view *v);
void replica_clear(struct replica *rep);
struct ring_limits replica_limits(const struct replica *rep);

/* From home to a replica on another loop. One a pass, more only when the state changes in the middle of it. */
struct batch {
    struct loop_msg msg;
    struct stream *stream;
    unsigned loop;
    bool snapshot; /* begins a subscription */
    bool clear;    /* history is void */
    bool goodbye;  /* the last one of a subscription */
    bool has_view;
    uint64_t next_seq; /* seq of the first sample, or of the next one to come */
    uint64_t group;    /* snapshot: the group that next_seq continues */
    struct view view;
    unsigned n;
    struct sample *samples[];
};
void batch_post(struct batch *b, unsigned loop);

/* ---- stream: the home loop's part (stream.c) ---- */

enum stream_state {
    STREAM_IDLE,      /* never published, or ended */
    STREAM_PREPARING, /* on air, not ready */
    STREAM_LIVE,
    STREAM_LOST, /* the publisher went, the window runs */
    STREAM_STATE_N,
};

/* What the home knows of the readers on another loop. */
struct sub {
    bool on;
    uint32_t readers;
    form_mask forms;
};

struct stream_track {
    enum codec codec;
    enum track_kind kind;
    struct track_params *params; /* own reference; NULL = not known */
    uint64_t samples, bytes;
    uint64_t window_bytes; /* since window_ns */
    int64_t window_ns;
    uint32_t bitrate_bps; /* of the last full window */
};

/* A stream that is made when somebody reads it (demand.c). */
struct demand {
    bool possible; /* its path is that of a derived stream, and there is a maker */
    bool expected; /* not said otherwise by the maker */
    int refused;   /* negative errno: it could not be made; until all readers have gone */
    char why[120];
    void *made; /* the maker's; NULL = not started */
    uint32_t linger_ms;
    struct loop_timer *linger;
    struct loop_task look; /* LOOP_STAGE_NOTIFY: the number of readers changed */
};

struct stream {
    struct engine *e; /* owns a reference */
    struct engine_loop *home;
    char path[STREAM_PATH_MAX + 1];

    /* Shared: under e->lock. */
    struct list bucket;
    uint32_t users;
    bool reap_posted;
    struct loop_msg reap;

    /* replicas[i] is loop i's; the home's points to `replica`. */
    struct replica **replicas;

    /* Home loop. */
    struct list node; /* in home->streams */
    struct replica replica;
    struct sub *subs;
    int64_t fanout_wait_ns;
    struct ring_limits limits;
    uint32_t continuity_ms;
    uint32_t ready_after_ms;
    enum publish_policy policy;
    struct demand on_demand;

    enum stream_state state;
    bool published;                /* ever */
    struct feed *air;              /* the publisher on air */
    struct feed *next;             /* admitted, waits for its first key frame */
    struct loop_timer *window;     /* LOST: until the end; IDLE: until history is dropped */
    struct loop_timer *ready_wait; /* PREPARING */
    form_mask demand;
    int64_t key_asked_ns;

    struct stamp stamp;
    struct pulse pulse;
    unsigned n_tracks; /* the contract: codecs, in the order of the first publisher */
    struct stream_track tracks[TRACKS_MAX];
    uint32_t lead_video; /* those of which it was the last one */
    uint32_t seen_video; /* video tracks of which a key frame came since going on air */
    int64_t since_wall_ns;
    uint64_t bytes_in;
    uint64_t bytes_out; /* by loops that have no replica any more */
    uint64_t dropped;
    char reason[120]; /* why a publisher waits or was refused last */
};

/* Finds the stream or, with create, makes it at home on el. Counts as a user until stream_put(). Any loop. */
int stream_get(struct engine *e, struct engine_loop *el, const char *path, bool create,
               struct stream **ret, struct error *err);
void stream_hold(struct stream *s); /* one more user, where there is one */
void stream_put(
    struct stream *s); /* any loop; the home frees it when it was the last and nothing runs */
/* Home: frees s if nobody needs it. */
void stream_settle(struct stream *s);
/* Home: readers, forms or the wish for a key frame changed on some loop. */
void stream_demand_changed(struct stream *s, bool key_wanted);
uint32_t stream_readers(const struct stream *s);
void stream_home_init(struct stream *s);
void stream_home_done(struct stream *s);

/* demand.c; home. */
void demand_init(struct stream *s);
void demand_done(struct stream *s);
void demand_changed(struct stream *s);
/* Will a publisher come, as far as its maker knows? false for what nobody makes. */
static inline bool demand_expects(const struct stream *s)
{
    return s->on_demand.possible && s->on_demand.expected && s->on_demand.refused == 0;
}
/* Nobody waits for the return of one that is no longer made, or that its maker does not expect. */
bool demand_is_over(const struct stream *s);
/* Stops what is made, at once. */
void demand_stop(struct stream *s);

/* From a replica to its home. */
enum sub_order {
    SUB_JOIN,
    SUB_UPDATE,
    SUB_LEAVE,
};
struct sub_msg {
    struct loop_msg msg;
    struct stream *stream;
    unsigned loop;
    enum sub_order order;
    bool key_wanted;
    uint32_t readers;
    form_mask forms;
    uint64_t bytes_out; /* LEAVE: totals of the replica, which is forgotten */
    uint64_t dropped;
};
void sub_deliver(struct loop *l, struct loop_msg *m); /* distribute.c */

/* distribute.c: home to replicas. */
void stream_distribute(struct stream *s, struct sample **samples,
                       unsigned n); /* takes the references */
void stream_show_view(struct stream *s, const struct view *v);
void stream_clear_history(struct stream *s);

/* ---- feed: a publisher as its stream's home sees it (feed.c) ---- */

enum feed_state {
    FEED_NEW,
    FEED_PENDING, /* admitted, not on air */
    FEED_ON_AIR,
    FEED_DEAD, /* refused or replaced: waits for its publisher's close */
};

struct feed {
    struct stream *stream; /* a user of it */
    struct session_id publisher;
    unsigned loop;
    enum feed_state state;
    bool wants_keys; /* the publisher can ask for key frames */
    bool derived;    /* its stamps are stream time */
    unsigned n_tracks;
    struct {
        enum codec codec;
        struct track_params *params;
        uint8_t to; /* the stream's track, when on air */
    } tracks[TRACKS_MAX];
    int64_t first_ns; /* stream time of its first sample; 0 = none yet */
    char session[32]; /* id in text; the rest is for engine_show() */
    char protocol[12];
    char remote[64];
    char agent[64];
    int64_t since_wall_ns;
    uint64_t bytes, samples, dropped;
};

/* What a publisher did in one pass, in order. Owned by the home once posted. */
enum feed_item_kind {
    FEED_ITEM_OPEN,
    FEED_ITEM_TRACKS,
    FEED_ITEM_SAMPLE,
    FEED_ITEM_BREAK,
    FEED_ITEM_CLOSE,
};
struct feed_tracks {
    unsigned n;
    struct publisher_track tracks[TRACKS_MAX]; /* own references */
};
struct feed_item {
    enum feed_item_kind kind;
    union {
        struct sample *sample;
        struct feed_tracks *tracks;
    };
};
struct feed_msg {
    struct loop_msg msg;
    struct feed *feed;
    unsigned n, cap;
    struct feed_item *items;
};
/* Home: does what the items say and empties m. */
void feed_handle(struct feed_msg *m);
void feed_deliver(struct loop *l, struct loop_msg *m);
/* Home to publisher. */
void feed_want_key(struct feed *f);
/* stream.c: transitions. s->air is already the new one; reset: it does not fit the contract, which begins anew. */
void stream_on_air(struct stream *s, bool reset);
void stream_air_lost(struct stream *s, const char *why);
void stream_ended(struct stream *s, const char *why);
void stream_check_ready(struct stream *s);
/* Tells all loops what readers see now, when that changed. */
void stream_update_view(struct stream *s);

enum publisher_news {
    PUBLISHER_OPENED,
    PUBLISHER_CLOSED,
    PUBLISHER_KEY_WANTED,
};
void publisher_post_news(struct engine *e, struct session_id id, enum publisher_news news, int r,
                         const char *why);
