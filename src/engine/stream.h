/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Streams, publishers and readers: the media path of design 3.
 *
 * A stream has a home loop, that of its first publisher or waiting reader, for life; it alone stamps times, keeps history, decides groups
 * and counts demand. A loop with readers keeps a replica, the same bounded ring by reference. A reader is a cursor into its
 * loop's replica, never a queue. The path table is the one shared structure (mutex, attach and detach only).
 *
 * Publisher and reader handles belong to their session and to the session's loop; every call and callback is there. No
 * callback comes after x_close(). Nobody looks inside a payload here.
 */
#include "engine/access.h"
#include "io/loop.h"
#include "media/sample.h"

#define STREAM_PATH_MAX 200

/* design 2, Paths. Returns 0, or -EINVAL with err saying which rule; reserved first and last segments are refused too. */
int stream_path_check(const char *path, struct error *err);
/*
 * Whether path is that of a derived stream, "live/x~opus" or "live/x~aac": then parent (STREAM_PATH_MAX + 1 bytes) is filled,
 * the word after '~' is returned. NULL when it is none.
 */
const char *stream_path_derived(const char *path, char *parent);
/* What may be read: also -ENOENT with err, for a word after '~' by which no stream is derived. */
int stream_path_check_read(const char *path, struct error *err);

/* ---- streams that are made on demand ---- */

struct engine;
struct stream;

/*
 * Who makes derived streams. The first reader of such a path starts one, wherever it reads: a session of some protocol, or a
 * reader_open() inside this process. Some time after the last reader left it is stopped. All of it on the stream's home loop.
 */
struct stream_maker {
    /* Not NULL is returned. s is good for the two calls below until stop(). */
    void *(*start)(void *user, struct engine *e, struct loop *home, struct stream *s,
                   const char *path);
    void (*stop)(void *user, void *made);
    void *user;
};
/*
 * Whether it will come, as it is taken to until this is said: when not, readers that do not wait are sent away, and one that is
 * about to be waited for has ended.
 */
void stream_expect(struct stream *s, bool expected);
/* It cannot be made: sends all readers away with r and why, and stops it. The next reader starts it anew. */
void stream_refuse(struct stream *s, int r, const char *why);

/* ---- engine ---- */

enum publish_policy {
    PUBLISH_REFUSE,   /* a second publisher is refused while one is on air (-EBUSY) */
    PUBLISH_TAKEOVER, /* it replaces the one on air */
    PUBLISH_POLICY_N,
};

/* Zero means the default given. Copied. */
struct engine_config {
    struct access_answerer access;
    struct stream_maker
        maker; /* for life; without one nobody can read a derived stream unless it is published */
    uint32_t linger_ms; /* what is made on demand stays so long after its last reader; 5000 */
    bool linger_none;   /* true: 0 ms instead of the default */
    enum publish_policy publish_policy;
    uint32_t continuity_ms;     /* how long readers wait for a publisher's return; 10000 */
    bool continuity_none;       /* true: 0 ms instead of the default */
    uint32_t history_max_bytes; /* per stream; 16 MiB */
    uint32_t history_max_ms;    /* 15000 */
    uint32_t
        history_slack_ms; /* kept before the newest key frame, for readers that are a little late and for REPLAY_LONG; 4000 */
    uint32_t
        ready_after_ms; /* after the first key frame, when a track still has no parameters; 500 */
    uint64_t memory_max_bytes; /* media memory budget; 0 = 25 % of RAM */
    uint32_t streams_max;      /* 10000 */
    uint32_t
        fanout_wait_ms; /* how long samples may wait for others when readers are many (pacing.h); 40 */
    bool fanout_wait_none;      /* true: 0 ms instead of the default */
    uint32_t access_timeout_ms; /* an access question unanswered this long is refused; 10000 */
};

/* loops: the media loops (not yet started or idle), control: where state events are delivered. Control thread. */
struct engine *engine_new(const struct engine_config *config, struct loop *control,
                          struct loop *const *loops, unsigned n_loops);
/* Closes every publisher and reader (their on_close comes), and frees; media loops must still run. NULL is fine. */
struct engine *engine_free(struct engine *e);
/* May be called at run time, from the control loop; applies to streams from now on. */
void engine_reconfigure(struct engine *e, const struct engine_config *config);

/* ---- publishing ---- */

struct publisher;

struct publisher_ops {
    /* The path is ours; publisher_tracks() and publisher_write() may be called since publisher_open() (they queue). */
    void (*on_open)(void *user);
    /* Refused, kicked, taken over, over budget, engine ends. Dead from here on: the session calls publisher_close(). */
    void (*on_close)(void *user, int r, const char *why);
    /* A new reader has no key frame to start from; only for those that can ask their encoder. May be NULL. */
    void (*on_key_wanted)(void *user);
};

struct publisher_info {
    const char *path;     /* from the access answer */
    const char *protocol; /* "rtmp" */
    const char *remote;   /* peer address text */
    const char *agent;    /* what the peer calls itself; may be NULL */
    uint64_t
        access_serial; /* both from the access answer: access_revoke() and expiry end the session */
    int64_t access_expires_mono_ns; /* 0 = never */
    /*
     * A derived stream's: the path is one with '~', and the stamps are stream time already, those of its parent, and stay.
     */
    bool derived;
};

struct publisher *publisher_open(struct engine *e, struct loop *l,
                                 const struct publisher_info *info, const struct publisher_ops *ops,
                                 void *user);
/*
 * The announced tracks, params NULL when not known yet; track numbers in samples index this list. May be called again when
 * more is known or parameters change. A codec change against the stream's contract takes the publisher off air with a reason
 * (on_close -ENOTSUP) as long as there are no derived streams.
 */
struct publisher_track {
    enum codec codec;
    struct track_params *params; /* the callee takes its own reference */
};
void publisher_tracks(struct publisher *p, const struct publisher_track *tracks, unsigned n);
/* Takes the reference. Samples are handed on at the end of the pass (LOOP_STAGE_MEDIA), as one batch. */
void publisher_write(struct publisher *p, struct sample **s);
/* The source says that it jumped: the next sample starts a new epoch. (Jumps of over 1 s are seen without.) */
void publisher_discontinuity(struct publisher *p);
struct publisher *publisher_close(struct publisher *p); /* NULL is fine; returns NULL */

/* ---- reading ---- */

struct reader;

enum reader_state {
    READER_WAITING, /* no stream, no publisher within the window, or not ready yet: nothing to read */
    READER_LIVE,    /* tracks are known; samples come */
    READER_ENDED, /* the publisher went and the window passed; goes back to WAITING or LIVE when one returns */
    READER_STATE_N,
};

enum replay_policy {
    REPLAY_EXACT, /* from the newest key frame in history, true stamps: RTMP, relays, MSE */
    REPLAY_LONG, /* the same from the oldest one of this epoch that is still there: HLS wants a whole group */
    REPLAY_LIVE, /* the same samples, stamps squeezed just below live, history audio skipped (reader_stamps()) */
    REPLAY_NEXT_KEY, /* ?start=live: nothing from history, waits for the next key frame */
    REPLAY_POLICY_N,
};

struct reader_ops {
    void (*on_state)(void *user, enum reader_state state, const char *reason);
    /* There is something at the cursor; once per pass (LOOP_STAGE_FANOUT), and after reader_resume() with data. */
    void (*on_samples)(void *user);
    /*
     * Kicked, access revoked, engine ends, a derived stream that cannot be made; without `wait` also -ENOENT when nobody publishes, after READER_ENDED if it was
     * told anything. Dead from here on: the session calls reader_close().
     */
    void (*on_close)(void *user, int r, const char *why);
};

struct reader_info {
    const char *path;
    const char *protocol;
    const char *remote;
    const char *agent;
    enum replay_policy replay;
    form_mask forms;     /* forms this reader will use: made on the home loop before fan-out */
    uint32_t track_mask; /* tracks wanted by index; 0 = all */
    bool
        audio_resumes; /* after falling behind, audio goes on at once instead of with the next group's key */
    bool wait; /* true: a path that nobody publishes is WAITING; false: on_close -ENOENT */
    uint64_t access_serial; /* as publisher_info */
    int64_t access_expires_mono_ns;
};

struct reader *reader_open(struct engine *e, struct loop *l, const struct reader_info *info,
                           const struct reader_ops *ops, void *user);
/*
 * The stream's tracks (borrowed until the next callback). Valid when LIVE. Returns how many. NULL stands for a track that is
 * announced and whose parameters did not come in time; on_state(LIVE) comes again when the list of tracks changes.
 */
unsigned reader_tracks(const struct reader *r, const struct track_params *ret[TRACKS_MAX]);
/* Nobody publishes, and no window runs: one that does not wait would be sent away. */
bool reader_absent(const struct reader *r);
/*
 * The k-th sample from the cursor (0 = next to send), borrowed until reader_advance() or the end of the callback; NULL when
 * there is no more. Only samples this reader should get: mask, leading and prefix rules are applied. A cursor that fell out
 * of the ring (the newest group, and history_slack_ms) jumps to the newest group at k == 0 and counts what it lost.
 */
struct sample *reader_peek(struct reader *r, unsigned k);
void reader_advance(struct reader *r, unsigned n); /* drops n samples that were peeked */
/* What to write for s under REPLAY_LIVE; s's own stamps otherwise. */
void reader_stamps(struct reader *r, const struct sample *s, int64_t *ret_dts_ns,
                   int64_t *ret_pts_ns);
/* No on_samples until resumed: the session waits for its socket. */
void reader_pause(struct reader *r);
void reader_resume(struct reader *r);
/* The reader's peer cannot go on without a key frame: asks the publisher, where it can be asked, at most twice a second. */
void reader_want_key(struct reader *r);
/* For the reader's statistics. */
void reader_count_sent(struct reader *r, uint64_t bytes);
struct reader *reader_close(struct reader *r); /* NULL is fine; returns NULL */

/* ---- looking at it: control loop; answers come on the control loop ---- */

struct stream_track_info {
    enum codec codec;
    bool ready;
    char rfc6381[40];
    uint16_t width, height;
    double fps;
    uint32_t sample_rate;
    uint8_t channels;
    uint64_t samples, bytes;
    uint32_t bitrate_bps; /* over the last two seconds or so */
};

struct session_info { /* a publisher or a reader */
    char id[32];      /* "r2-15-7": loop, slot, generation; what kick takes */
    char protocol[12];
    char remote[64];
    char agent[64];
    int64_t since_wall_ns;
    uint64_t bytes;
    uint64_t samples;
    uint64_t dropped;  /* samples skipped because it was too slow */
    int64_t behind_ns; /* newest sample's dts - next to send; 0 for publishers */
    uint32_t jumps;    /* readers: how often it fell out of history and went on with a key frame */
    bool blocked;      /* readers: waits for its socket to take what was sent */
    bool on_air;       /* publishers */
    enum reader_state state;
};

/* The last minutes of a stream, oldest first. */
#define STREAM_PULSE_SECONDS 180
#define STREAM_PULSE_GROUPS  120
struct stream_pulse_group { /* of the leading video track; complete ones */
    int64_t duration_ns;
    uint32_t pictures;
    uint32_t bytes;
    uint32_t epoch;
};
struct stream_pulse {
    uint32_t n_seconds;
    uint32_t bytes[STREAM_PULSE_SECONDS]; /* received in each second, all tracks */
    uint32_t n_groups;
    struct stream_pulse_group groups[STREAM_PULSE_GROUPS];
};

struct stream_info {
    char path[STREAM_PATH_MAX + 1];
    char parent[STREAM_PATH_MAX + 1]; /* of a derived stream; else empty */
    bool ready;
    bool on_air;
    int64_t since_wall_ns; /* of the current epoch */
    uint32_t epoch;
    uint64_t group;
    unsigned n_tracks;
    struct stream_track_info tracks[TRACKS_MAX];
    bool has_publisher;
    struct session_info publisher;
    unsigned n_readers;
    struct session_info
        *readers; /* only from engine_show(): n_listed of them, at most 1000; owned by the info */
    unsigned n_listed;
    const struct stream_pulse *pulse; /* only from engine_show(); owned by the info */
    uint64_t bytes_in, bytes_out, dropped;
    uint32_t bitrate_in_bps;
    uint32_t history_ms, history_bytes;
    bool waiting; /* a publisher waits off air, or the stream waits for one to return */
    char reason[120];
};

/* list is freed by the callback's caller after it returns. */
typedef void (*engine_list_fn)(void *user, const struct stream_info *list, unsigned n);
void engine_list(struct engine *e, engine_list_fn done, void *user);
/* info is NULL when there is no such stream. */
typedef void (*engine_show_fn)(void *user, const struct stream_info *info);
void engine_show(struct engine *e, const char *path, engine_show_fn done, void *user);
/*
 * The newest key frame of the first video track of a stream that is on air, without being its reader; from media loop l. -ENOENT
 * when there is no such stream; else done comes once on l, later, with a borrowed sample, or NULL when history has none.
 */
typedef void (*engine_key_fn)(void *user, struct sample *key);
int engine_key_frame(struct engine *e, struct loop *l, const char *path, engine_key_fn done,
                     void *user);
/* Ends one session by id (-ENOENT when it is gone); id "publisher" or "readers" or "all" means those of the stream. */
typedef void (*engine_done_fn)(void *user, int r);
void engine_kick(struct engine *e, const char *path, const char *id, engine_done_fn done,
                 void *user);

/* Any thread. Every kind of object has a live gauge; tests assert zero at the end. */
struct engine_gauges {
    uint64_t streams, publishers, readers, replicas;
    uint64_t samples, bytes; /* media memory held, all loops */
    uint64_t memory_max_bytes;
    uint64_t publishes_total, reads_total, refused_total;
    uint64_t bytes_in_total, bytes_out_total, samples_in_total, samples_dropped_total;
};
void engine_gauges(const struct engine *e, struct engine_gauges *ret);

/* State changes, on the control loop, in order per stream. */
enum stream_event {
    STREAM_EVENT_PUBLISHED, /* on air */
    STREAM_EVENT_READY,
    STREAM_EVENT_LOST, /* the publisher went, the window runs */
    STREAM_EVENT_ENDED,
    STREAM_EVENT_READER_JOINED,
    STREAM_EVENT_READER_LEFT,
    STREAM_EVENT_N,
};
typedef void (*engine_event_fn)(void *user, enum stream_event event, const char *path,
                                const char *session_id, const char *reason);
void engine_set_event_fn(struct engine *e, engine_event_fn fn, void *user);
