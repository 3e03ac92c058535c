/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Broadcasts as a running service: takes requests, runs their steps, keeps them healthy, writes them down, takes them up
 * again after a restart, keeps the ended ones for a while. What is asked and told is broadcast_models.h, how steps run is
 * runner.h. Control loop throughout.
 */
#include "api/events.h"
#include "api/metrics.h"
#include "engine/stream.h"
#include "io/http.h"
#include "io/net_guard.h"
#include "service/broadcast/broadcast_models.h"
#include "service/broadcast/janus_servers.h"
#include "service/broadcast/runner.h"
#include "store/seal.h"
#include "store/store.h"

struct broadcasts;
struct broadcast;

/* Where children of ours, and programs that publish to us, reach our own RTMP server. */
struct broadcast_ingest {
    const char *rtmp; /* "rtmp://127.0.0.1:1935"; NULL: there is none */
    /*
     * Credentials as a query ("key=...") that let somebody publish to, or read, this path; to be freed, NULL when none is needed.
     * May be NULL. ungrant ends them, and the sessions by them.
     */
    char *(*grant)(void *user, const char *path, bool publish);
    void (*ungrant)(void *user, const char *query);
    void *user;
};

/* What an embedder hears beside the event feed; the same events, with the seeds' names. */
struct broadcast_observer {
    void (*on_event)(void *user, const char *type, const char *broadcast_id, const char *data);
    void *user;
};

struct broadcasts_config {
    struct loop *control;
    struct store *store;          /* NULL: nothing outlives the process */
    const struct seal_ring *ring; /* NULL: nothing with a secret can be kept */
    struct events *events;        /* may be NULL */
    struct engine *engine;        /* NULL: no builtin relay */
    struct loop *const *loops;    /* media */
    unsigned n_loops;
    struct janus_servers *janus;    /* borrowed; outlives the service */
    const struct net_guard *guard;  /* what URLs of requests may reach; NULL = anything */
    struct tls_context *client_tls; /* for wss and rtmps; may be NULL */
    struct broadcast_ingest ingest;
    struct broadcast_observer observer;
    struct runner_pace pace;
    unsigned max;      /* that run; 0 = 10000 */
    unsigned keep;     /* ended ones; 0 = 1000 */
    int64_t keep_ns;   /* and for how long; 0 = 7 days */
    unsigned tidy_ms;  /* between looks for those; 0 = 60000 */
    unsigned debt_ms;  /* between tries to pay a debt; 0 = 30000, growing to 20 times that */
    unsigned stale_ms; /* media older than this is a sickness; 0 = 5000 */
    unsigned stall_ms; /* a relay without progress for so long is replaced; 0 = 10000 */
};

struct broadcasts *broadcasts_new(const struct broadcasts_config *config);
/* Reads what the store has and goes on with it; blocks by running the control loop: at the start. */
int broadcasts_load(struct broadcasts *s, struct error *err);
/* The same on a loop that runs already: done comes once, later. What is asked before it is answered as if nothing was there. */
void broadcasts_load_begin(struct broadcasts *s,
                           void (*done)(void *user, int r, const struct error *err), void *user);

enum broadcasts_leave {
    BROADCASTS_STOP, /* undo, for good */
    BROADCASTS_SUSPEND, /* undo what is outside; the next start brings back what its request wants back */
    BROADCASTS_HAND_ON, /* leave all as it is: another process takes it up at once */
};
/* No request is taken any more. done comes once, when all is undone as far as it goes, or after deadline_ms. */
void broadcasts_leave(struct broadcasts *s, enum broadcasts_leave how, unsigned deadline_ms,
                      void (*done)(void *user), void *user);
/* Drops what is left; the store must have been drained. NULL is fine; returns NULL. */
struct broadcasts *broadcasts_free(struct broadcasts *s);

/*
 * Takes the request over (also when it fails: zeroed), which has passed broadcast_request_check(). The broadcast is
 * registered at once and STARTING; its steps begin once it is written down. -EEXIST: the id is taken (by an ended one too);
 * -ENOSPC: too many run; -ENOENT: no such Janus server; -ENOKEY: a secret cannot be kept; -ESHUTDOWN.
 */
int broadcasts_start(struct broadcasts *s, struct broadcast_request *request,
                     struct broadcast **ret, struct error *err);
/*
 * The steps that the request (checked) would take, as {"steps": [...], "relay": ..., "warnings": [...]}; nothing outside is
 * asked.
 */
int broadcasts_plan(struct broadcasts *s, const struct broadcast_request *request, struct json *j,
                    struct error *err);
struct broadcast *broadcasts_find(const struct broadcasts *s, const char *id);
/* In the order they were made. */
void broadcasts_each(struct broadcasts *s, void (*each)(void *user, struct broadcast *b),
                     void *user);
unsigned broadcasts_len(const struct broadcasts *s);
const struct broadcasts_config *broadcasts_config(const struct broadcasts *s);

const char *broadcast_id(const struct broadcast *b);
enum broadcast_state broadcast_state(const struct broadcast *b);
/* With health and steps as they are now; valid until the next pass. Write it redacted. */
const struct broadcast_result *broadcast_result(struct broadcast *b);
unsigned broadcast_debts(const struct broadcast *b);
/* No effect on one that ended or is ending. */
void broadcast_stop(struct broadcast *b);
/* Undoes all and begins again; also one that ended, unless it has debts: -EBUSY. -ESHUTDOWN; as broadcasts_start(). */
int broadcast_restart(struct broadcast *b, struct error *err);
/* Pays debts now instead of after the wait. */
void broadcast_settle(struct broadcast *b);
/* Takes an ended one off the list, its debts with it. -EBUSY: it has not ended. */
int broadcast_forget(struct broadcast *b);

/* Who waits for a change; taken off by the owner, or after on_gone (the broadcast is being freed). */
struct broadcast_watch {
    struct list node; /* private; list_init() before first use */
    void (*on_change)(struct broadcast_watch *w, struct broadcast *b);
    void (*on_gone)(struct broadcast_watch *w);
};
void broadcast_watch(struct broadcast *b, struct broadcast_watch *w);
void broadcast_unwatch(struct broadcast_watch *w);

struct broadcasts_counts {
    unsigned states[BROADCAST_STATE_N];
    unsigned debts;
    uint64_t started, failed, healed;
};
void broadcasts_count(const struct broadcasts *s, struct broadcasts_counts *ret);
/* A metrics source; user is the service. */
void broadcasts_metrics(void *user, struct metrics_page *page);
/* /api/v1/broadcasts; user is the service. */
extern const struct http_route broadcast_routes[];
extern const unsigned broadcast_routes_n;
/* /api/v1/janus; user is the service. */
extern const struct http_route janus_routes[];
extern const unsigned janus_routes_n;
