/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The instance that everything else of libmast lives in: its threads, its log, how answers reach the embedding program.
 *
 * Threads. An instance has a control thread of its own (and media threads when asked for); every function may be called from
 * any thread. A call is posted to the control thread and returns at once; its answer is a callback, which comes exactly once and
 * never from inside the call. Callbacks run on the control thread, and then must not block; or, with `queue`, on whatever
 * thread calls mast_dispatch() when mast_fd() is readable. Each call has a form that ends in _wait: it returns when the
 * answer is there, and fails with -EDEADLK on a thread of libmast, which would wait for itself. An object may be freed in any
 * callback, its own too, by the form that does not wait.
 *
 * A constructor sets *ret before the first callback of what it makes, and to NULL when it fails; in callbacks that come during
 * mast_free() it fails with -ESHUTDOWN, but for mast_janus_attach(), which closers and backends may need.
 *
 * Ownership. What a function is given is copied before it returns; callbacks and their `user` must stay valid until the answer,
 * or until the object is freed. What a callback is given is valid during the callback. Text that a _wait form returns is the
 * caller's, to be released by free(). When a free has answered or returned, no callback of the object runs or comes any more.
 * No object may be used after its free was called, nor after mast_free(), which frees
 * everything that is left; a call that was under way then is answered with -ECANCELED.
 *
 * Errors are negative errno values, with a sentence where there is one to say. Times are milliseconds. Text is UTF-8.
 *
 * libmast sets no signal handler and changes nothing of the process. Children (relays) are started by its helper
 * `mast-spawn`, which is found in the installed libexec folder or in the folder that MAST_LIBEXEC_DIR names, and end with
 * the instance.
 */
#include <mast/version.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mast;

/* The human half of an error. */
struct mast_error {
    int code; /* negative errno; 0 = nothing set */
    char where
        [120]; /* the field or object it is about: "mountpoint_spec.media[1].port"; may be empty */
    char text[240]; /* one sentence without a full stop */
};

enum mast_log_level {
    MAST_LOG_DEFAULT, /* = MAST_LOG_WARN */
    MAST_LOG_ERROR,
    MAST_LOG_WARN,
    MAST_LOG_INFO,
    MAST_LOG_DEBUG,
    MAST_LOG_TRACE,
};

/* All zero is a good one. */
struct mast_config {
    /*
     * Each line, on the thread that says it, which it must not block: control or media thread. topic: "janus.room". text is
     * one line without secrets or control characters. NULL: lines go to stderr. It must not call libmast.
     */
    void (*log)(void *user, enum mast_log_level level, const char *topic, const char *text);
    void *log_user;
    enum mast_log_level log_level; /* lines beyond it are not made */
    /*
     * Threads that media passes through (relay_kind builtin, source_kind stream). 0: none; those are refused, and a source that
     * ffmpeg can read is relayed by it. At most 64.
     */
    unsigned media_loops;
    unsigned stop_ms; /* how long frees try to undo in order before they kill; 0 = 15000 */
    bool queue;       /* callbacks wait for mast_dispatch() */
};

/* config may be NULL. NULL and errno when a thread or descriptor cannot be made, or media_loops is too large (EINVAL). */
MAST_API struct mast *mast_new(const struct mast_config *config);
/*
 * Stops what runs, newest objects first and within stop_ms, then kills what is left; returns when nothing of it is there any
 * more. An orchestrator or lifecycle gets at most half of the time that is left while older objects wait for it. What closers,
 * backends and observers do meanwhile may use every object that was not freed. Answers that are still owed come before that,
 * with `queue` on the calling thread. 0; -EREMOTEIO: something could not be undone; -ETIMEDOUT: not in time; both of what was
 * not freed before. -EDEADLK: on a thread of libmast or inside mast_dispatch(), nothing happened. NULL is fine.
 */
MAST_API int mast_free(struct mast *m);

/* Readable when callbacks wait; belongs to m. -1 without `queue`. */
MAST_API int mast_fd(const struct mast *m);
/* Runs the callbacks that wait, on this thread; returns how many. One thread at a time. */
MAST_API int mast_dispatch(struct mast *m);

/* The answer to a call. */
struct mast_reply {
    int r;             /* 0, or a negative errno */
    const char *where; /* when r < 0: as in struct mast_error; never NULL */
    const char *text;  /* when r < 0: what happened; never NULL */
    const char *data;  /* what was asked for, as JSON text, where the call says so; else NULL */
};
/* NULL where one is asked for: nobody wants to know. */
typedef void (*mast_done_fn)(void *user, const struct mast_reply *reply);

/*
 * What happens without being asked, at every object that takes one. Each may be NULL. They come like answers do, in the order
 * of what happened; with `queue` at most 10000 wait, and what comes then is dropped, and counted in the next "events_lost".
 */
enum mast_metric_type {
    MAST_METRIC_COUNTER, /* value: how often since the object was made */
    MAST_METRIC_GAUGE,   /* value: as it is now */
    MAST_METRIC_TIMING,  /* value: how long it took, once: seconds */
};
/* A number for a metrics system. All valid during the call. */
struct mast_metric {
    enum mast_metric_type type;
    const char *name; /* "mast_events_total"; docs/c-api.md lists them */
    const char
        *resource; /* the process, relay, client or plugin; "" of an orchestrator, a lifecycle */
    const char *label;       /* "type", "phase", "state"; "" when it has none */
    const char *label_value; /* "broadcast_running", "janus_cleanup", "failed"... */
    double value;
};
struct mast_observer {
    void *user;
    /* resource: the id of a broadcast, the name of a process or client. reason: "" when there is nothing to say. */
    void (*on_state_change)(void *user, const char *resource, const char *state,
                            const char *reason);
    /* type: "broadcast_running", "janus_resource_closed"...; data: a JSON object. */
    void (*on_event)(void *user, const char *type, const char *resource, const char *data);
    /* phase: "start", "stop", "janus_cleanup"...; text says which step and in whose words. */
    void (*on_error)(void *user, const char *phase, const char *resource, const char *text);
    /*
     * The same as numbers: each of the three above is counted by its name, and objects add what only they know. A counter comes
     * with its whole count, so that one that was dropped is in the next.
     */
    void (*on_metric)(void *user, const struct mast_metric *metric);
};

/* How a peer is trusted that is reached by TLS. All zero: by the system's authorities, for the name in its URL. */
struct mast_tls {
    const char *ca_file; /* PEM; the only authorities to trust then. NULL = the system's */
    bool insecure;       /* takes every certificate: for peers on closed networks */
};

#ifdef __cplusplus
}
#endif
