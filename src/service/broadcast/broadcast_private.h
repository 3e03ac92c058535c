/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Shared inside service/broadcast: one broadcast, its record, and what step kinds need of it. A step kind is one file,
 * step_x.c; which steps a request takes stands in broadcast_plan.c.
 */
#include "base/list.h"
#include "base/map.h"
#include "service/broadcast/broadcast.h"

/* What later steps read. */
enum {
    FACT_ROOM = 1 << 0,       /* result.room_response */
    FACT_PUBLISHER = 1 << 1,  /* feed */
    FACT_MOUNTPOINT = 1 << 2, /* result.mountpoint_response */
};

/* A step in the record. */
struct step_record {
    char *name;
    char *state; /* of runner.h */
    bool acted, ours, kept;
    char *reason;
};

/* What is written down: the result, as it is shown, and what only we need to know. */
struct broadcast_record {
    struct broadcast_result result;
    MODEL_ARRAY(struct step_record) steps;
    struct obs_service obs_previous; /* what to put back */
    bool was_up;
    bool suspended; /* undone, or being undone, for a restart of ours: to be started again */
    bool ending;    /* a stop was asked for, or a failure ended it */
};
extern const struct model broadcast_record_model;

struct broadcast {
    struct list node; /* of the service, in order */
    struct broadcasts *service;
    struct broadcast_record record;
    struct runner runner;
    struct list watches;
    struct janus_feed *feed; /* FACT_PUBLISHER, with its n_streams alone; NULL = not there */
    struct error failure;    /* of the last start that failed: why it ended, if runner.failed */
    bool restart;            /* up again when it is down */
    bool write_again;        /* what is being written is old already */
    bool runner_waits;       /* for what is to be written next */
    bool runner_next;        /* for what is being written */
    struct store_op *op;     /* the write under way */
    struct loop_task save;
    struct loop_timer *debts;
    unsigned debt_tries;
};

/* The first are those of the states, in their order. */
enum broadcast_event {
    BROADCAST_EVENT_ERROR = BROADCAST_STATE_N,
    BROADCAST_EVENT_RELAY_CHANGED,
    BROADCAST_EVENT_JANUS_CLOSED,
    BROADCAST_EVENT_CLOSED,
    BROADCAST_EVENT_N,
};
extern const char *const broadcast_event_names[BROADCAST_EVENT_N];
/* Of errors: what went wrong while a step was at it. */
enum broadcast_phase {
    BROADCAST_PHASE_START,
    BROADCAST_PHASE_ADOPT,
    BROADCAST_PHASE_LOST,
    BROADCAST_PHASE_RELAY,
    BROADCAST_PHASE_STOP,
    BROADCAST_PHASE_JANUS_CLEANUP,
    BROADCAST_PHASE_N,
};
extern const char *const broadcast_phase_names[BROADCAST_PHASE_N];

struct broadcasts {
    struct broadcasts_config config;
    struct list all; /* in the order they were made */
    struct map by_id;
    struct loop_timer *tidy;
    struct loop_timer *deadline; /* of leaving */
    struct loop_task look;       /* whether all have left */
    bool leaving;
    enum broadcasts_leave how;
    void (*left)(void *user);
    void *left_user;
    uint64_t started, failed, healed;
    uint64_t events[BROADCAST_EVENT_N]; /* told, by type */
    uint64_t errors[BROADCAST_PHASE_N]; /* and the errors of them, by phase */
};

/* ---- for step kinds ---- */

static inline struct broadcast *broadcast_of(const struct step *s)
{
    return CONTAINER_OF(s->runner, struct broadcast, runner);
}
static inline const struct broadcast_request *request_of(const struct step *s)
{
    return &broadcast_of(s)->record.result.request;
}

/*
 * A step that talks to a Janus server: gets it, waits for it. Embedded after struct step; call is the one request under way.
 */
struct janus_step {
    struct step step;
    struct janus_server *server;
    struct janus_server_user use;
    struct janus_call *call;
    void (*when_ready)(struct step *s); /* what waits for the server */
};
#define JANUS_STEP(s) CONTAINER_OF((s), struct janus_step, step)
/* Calls next once the server is ready, perhaps at once; what was under way before is forgotten. */
void janus_step_ready(struct step *s, void (*next)(struct step *s));
/* Forgets the call and the wait. */
void janus_step_drop(struct step *s);
/* Janus knows no such thing (any more): codes of both plugins. */
bool janus_says_gone(const struct janus_result *res);
/* What somebody else made is gone, who may make it again: once it was there, it is waited for. */
void janus_step_miss(struct step *s, const struct janus_result *res, const char *what);
/*
 * A start was answered with an error: step_failed() with the peer's words, or step_unsure() when the answer is missing and it
 * may have had an effect.
 */
void janus_step_fail(struct step *s, const struct janus_result *res, const char *what);
/* An undo was answered: done, gone already, or a debt. */
void janus_step_undone(struct step *s, const struct janus_result *res);
/* The stop of what is destroyed at the end, if it is ours and is not to stay: destroy makes the call, which this answers. */
void janus_step_stop(struct step *s, void (*destroy)(struct step *s));
void janus_step_on_destroyed(void *user, const struct janus_result *res);

extern const struct step_kind step_room;
extern const struct step_kind step_mountpoint;
extern const struct step_kind step_publisher;
extern const struct step_kind step_forward;
extern const struct step_kind step_relay;  /* ffmpeg, gstreamer */
extern const struct step_kind step_pull;   /* RTMP of another server into the engine */
extern const struct step_kind step_sender; /* builtin */
extern const struct step_kind step_obs;
extern const struct step_kind step_ingest; /* frontend_owned: a stream here */

/* ---- broadcast_source.c: the stream here that its media comes by ---- */
/* To be freed: the request's, or "broadcast/<id>". */
char *broadcast_stream_path(const struct broadcast *b);
/* What it is pulled from, with its secrets, to be freed; NULL: it is published to us, or is here anyway. */
char *broadcast_pull_url(const struct broadcast *b);
/* result.srs_info, where a source publishes by RTMP. */
void broadcast_note_ingest(struct broadcast *b);
/* The one media loop for what a broadcast has on one. */
struct loop *broadcast_media_loop(const struct broadcast *b);
/* Which relay it has: the request's, or the one that was taken instead. */
enum broadcast_relay broadcast_relay_now(const struct broadcast *b);
struct broadcast_relay_info *broadcast_relay_info(struct broadcast *b);
void broadcast_relay_state(struct broadcast *b, const char *state);
/* From now on in place of builtin; the caller sees to the step. */
void broadcast_take_ffmpeg(struct broadcast *b, const char *why);
/* Where it sends is where the mountpoint takes it. */
void broadcast_relay_endpoints(struct broadcast *b);
/* What it sends a track as, when nobody has said it. */
uint8_t broadcast_endpoint_pt(const struct endpoint *e);
/* A copy of text, which was not there before. */
void broadcast_set_text(char **to, const char *text);
/* s is the builtin relay, which cannot serve: what can takes its place, and s is no more. */
void broadcast_fall_back(struct step *s, const char *why);
/*
 * s is the relay that took its place, and what it read is gone: builtin waits for what comes next, which may be what it can
 * send. false: it took nobody's place; else s is no more.
 */
bool broadcast_fall_forward(struct step *s);

/*
 * Whether what the request wants can be had here, as we are configured; -EINVAL, -ENOENT, -ENOTSUP, -EACCES. One that shall run gets
 * another relay where builtin cannot be. Before broadcast_plan().
 */
int broadcast_plan_check(struct broadcast *b, struct error *err);
/* Adds the steps that the request takes, checked or not; -EINVAL. */
int broadcast_plan(struct broadcast *b, struct error *err);
/* What a viewer's list tells of it: {"mast":"ID"}; to be freed. */
char *broadcast_marker(const struct broadcast *b);

/* Keeps a copy of feed; NULL: it is not there. */
void broadcast_set_feed(struct broadcast *b, const struct janus_feed *feed);

/* ---- broadcast_input.c: who sends to whom ---- */
/* What a relay of another program reads. */
struct broadcast_input {
    char *url;   /* with the request's credentials; NULL: the caller's own pipeline knows */
    char *shown; /* fit for logs */
    char *path;  /* of the stream here, when it is one */
};
/* Free with broadcast_input_done(), also after an error. */
int broadcast_input(const struct broadcast *b, struct broadcast_input *ret, struct error *err);
void broadcast_input_done(struct broadcast_input *in);
/* What OBS publishes to, in its own two parts. */
struct broadcast_target {
    char *server, *key; /* with their secrets */
    char *grant;        /* part of key: to publish to a stream here, until the target is done */
};
/* Free with broadcast_target_done(), also after an error. */
int broadcast_target(const struct broadcast *b, struct broadcast_target *ret, struct error *err);
void broadcast_target_done(const struct broadcast *b, struct broadcast_target *t);
/* What to put behind "?" to publish to or read a stream here, NULL: nothing; ended and freed by ungrant, which takes NULL too. */
char *broadcast_grant(const struct broadcast *b, const char *path, bool publish);
void broadcast_ungrant(const struct broadcast *b, char *grant);
/*
 * Where Janus takes the RTP of its mountpoint, to be freed: the request's host, else 127.0.0.1 when Janus sends to
 * itself, else where the server is. Numeric when a relay sends. -EINVAL, -EACCES: path host.
 */
int broadcast_rtp_host(const struct broadcast *b, char **ret, struct error *err);

/* ---- broadcast_ports.c: ports of the server's range ---- */
/* The server has a range, and the mountpoint of the request leaves ports open. */
bool broadcast_ports_wanted(const struct broadcast *b, const struct janus_server *server);
/* Into m, a copy of the request's. -EADDRINUSE: the range is used up, by whom err says. */
int broadcast_ports_choose(const struct broadcast *b, struct janus_server *server,
                           struct janus_mountpoint *m, struct error *err);
/* Those that were chosen, which stand in the record, into such a copy. */
void broadcast_ports_put(const struct broadcast *b, struct janus_mountpoint *m);
/*
 * Janus could not have one of them, and does not say which: none of them is chosen again until Janus is started anew. false:
 * it may be one that the request names, so that others are of no use.
 */
bool broadcast_ports_refused(const struct broadcast *b, struct janus_server *server);

/* ---- broadcast_health.c: facts of checks ---- */
struct broadcast_health *broadcast_health(struct broadcast *b);
void broadcast_health_media(struct broadcast *b, const struct janus_mountpoint_info *info);
void broadcast_health_forwarders(struct broadcast *b, unsigned there, unsigned expected);
/* Other steps are planned: what is shown of them is made anew. */
void broadcast_forget_views(struct broadcast *b);
/* Steps and health of the result, as they are now. */
void broadcast_refresh(struct broadcast *b);

/* ---- broadcast_record.c ---- */
/* Writes it down soon; what is written meanwhile goes in one. */
void broadcast_save(struct broadcast *b);
void broadcast_save_now(struct loop_task *t); /* b->save runs it */
/* Takes its document out of the store. */
void broadcast_erase(struct broadcast *b);

/* ---- broadcast.c ---- */
/* Takes request over; its steps are planned, nothing runs. NULL and err. */
struct broadcast *broadcast_new(struct broadcasts *s, struct broadcast_request *request,
                                const char *id, struct error *err);
/*
 * Takes the record of the store over, and puts the steps where they were. needs_secret: what it needs to talk to its peers is
 * sealed with a key that is lost, so it fails, and keeps its debts. One that the configuration does not allow any more fails too.
 */
struct broadcast *broadcast_from_record(struct broadcasts *s, struct broadcast_record *record,
                                        bool needs_secret, struct error *err);
void broadcast_free(struct broadcast *b);
/* The state that its steps have, told when it is another than before. */
void broadcast_look(struct broadcast *b);
bool broadcast_is_live(const struct broadcast *b);
/* Log, events, metrics and the observer; more: JSON text of an object's members beside id and state, NULL = none. */
void broadcast_emit(struct broadcast *b, enum broadcast_event event, const char *more);

/* ---- broadcasts.c ---- */
/* It ended, or was written down: all may have left. */
void broadcasts_changed(struct broadcasts *s);
