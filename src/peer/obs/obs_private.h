/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What obs.c (connection and requests) and obs_bridge.c (starting and stopping the stream) share. Control loop. */
#include "base/map.h"
#include "io/ws.h"
#include "peer/obs/obs.h"

/* One start or stop of the stream, step by step; see obs_bridge.c. */
enum bridge_step {
    BRIDGE_IDLE,
    BRIDGE_ASK_SERVICE, /* start */
    BRIDGE_ASK_STATUS,
    BRIDGE_SET_TARGET,
    BRIDGE_START,
    BRIDGE_WAIT_STARTED,
    BRIDGE_STOP, /* stop */
    BRIDGE_WAIT_STOPPED,
    BRIDGE_PUT_BACK,
};

struct obs_call;

struct obs_bridge {
    enum bridge_step step;
    struct obs_call *call; /* the request of the step; NULL = answered, or it has none */
    char *server, *key;
    struct obs_service previous;
    bool changed; /* OBS has our settings now, or may have */
    obs_started_fn started;
    obs_done_fn stopped;
    void *user;
    struct loop_timer *deadline;
    struct loop_timer *again; /* put back: OBS refuses while it is still stopping */
    struct loop_task refuse;  /* LOOP_STAGE_NOTIFY: answers with what follows */
    int refuse_r;
    const char *refuse_text;
};

struct obs {
    struct loop *loop;
    struct obs_ops ops;
    void *user;
    char *name; /* host:port */
    char *url, *password;
    struct tls_context *tls;
    unsigned timeout_ms;

    enum obs_state state;
    enum obs_output output;
    struct error why;
    struct ws *ws;
    bool greeted;                /* it said Hello: the answer to our Identify may come, once */
    int64_t up_ns;               /* since when it is UP */
    unsigned failures;           /* in a row; ended by being UP for a while, not by coming up */
    struct loop_timer *wait;     /* until the next try */
    struct loop_timer *identify; /* OBS must be done with that by then */
    struct loop_task down;
    struct loop_task tell_output; /* LOOP_STAGE_NOTIFY: on_output with what it is by then */
    bool permanent;

    uint64_t next_id;
    struct map calls; /* by id */
    struct obs_bridge bridge;
};

/* ---- obs.c ---- */
/* obs_ask() for who may lose interest before the answer; cancelled, done does not come. */
struct obs_call *obs_call_new(struct obs *o, const char *request_type, struct bytes data,
                              obs_done_fn done, void *user);
struct obs_call *obs_call_cancel(struct obs_call *c); /* NULL is fine; returns NULL */

/* ---- obs_bridge.c ---- */
void obs_bridge_init(struct obs *o);
void obs_bridge_done(struct obs *o);
/* The output changed. */
void obs_bridge_output(struct obs *o);
/* The connection is lost. */
void obs_bridge_lost(struct obs *o);
