/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What janus.c (connection and session), janus_call.c (transactions) and janus_handle.c share. Control loop.
 */
#include "base/list.h"
#include "base/map.h"
#include "io/ws.h"
#include "peer/janus/janus.h"
#include "peer/janus/janus_wire.h"

/* What coming up is waiting for the answer of. */
enum janus_step {
    STEP_INFO,
    STEP_CLAIM,  /* there was a session */
    STEP_CREATE, /* there is none, or Janus has forgotten it */
};

struct janus {
    struct loop *loop;
    struct janus_ops ops;
    void *user;
    char *name, *url, *api_secret, *token;
    struct tls_context *tls;
    unsigned request_ms, backoff_ms, backoff_max_ms, keepalive_max_s;

    enum janus_state state;
    struct janus_server_info info;
    struct error why; /* it is not UP */
    struct ws *ws;
    bool open;               /* ws takes requests */
    int64_t session;         /* 0 = none; kept over a lost socket, to be claimed */
    bool proven;             /* the session has answered a keepalive: what is lost now is no loop */
    unsigned failures;       /* in a row; ended by an answered keepalive, not by coming up */
    struct loop_timer *wait; /* until the next try */
    struct loop_timer *keepalive;
    struct loop_task down; /* LOOP_STAGE_NOTIFY: on_down, behind the answers of lost calls */
    enum janus_step step;
    struct janus_call *setup; /* the step of coming up that is under way, or a keepalive */
    int64_t *
        left; /* handles that were given up while there was no connection: detached when it is claimed */
    unsigned n_left;

    const struct janus_source *source; /* an embedder's session instead of ws */
    void *source_user;
    struct loop_task up; /* of a source: on_up */

    uint64_t next_transaction;
    struct map calls;    /* by transaction: under way */
    struct list handles; /* struct janus_handle.node */
};

enum janus_handle_state {
    HANDLE_DETACHED, /* no session, or refused */
    HANDLE_ATTACHING,
    HANDLE_ATTACHED,
};

struct janus_handle {
    struct list node;
    struct loop *loop;
    struct janus *janus; /* NULL: an embedder's, or freed */
    char *name;          /* of the server */
    char *plugin;
    struct janus_handle_ops ops;
    void *user;
    enum janus_handle_state state;
    int64_t id;
    bool attached_before;
    struct janus_call *attaching;
    struct loop_timer *again; /* until the next try to attach */
    unsigned losses; /* in a row: attaches that failed, handles that were taken away at once */
    int64_t attached_ns;
    struct loop_task resumed;            /* LOOP_STAGE_NOTIFY: on_resumed */
    const struct janus_backend *backend; /* an embedder's */
    void *backend_user;
    bool seat_lost;    /* of a source: told when there is another one */
    struct list calls; /* struct janus_call.node: under way or ending, of this handle */
};

#define JANUS_FITS(kind) (1u << (kind))
/* What a plugin answers with; it has plugindata in it then. */
#define JANUS_FITS_PLUGIN (JANUS_FITS(JANUS_SUCCESS) | JANUS_FITS(JANUS_EVENT))

struct janus_call {
    struct list node;    /* of its handle, or of nothing */
    struct janus *janus; /* NULL: an embedder's */
    struct janus_handle *handle;
    uint64_t transaction; /* in janus->calls; 0 = no longer, or never was */
    janus_done_fn done;
    void *user;
    void *own; /* freed with it */
    struct loop *loop;
    struct loop_timer *deadline;
    struct loop_task end; /* LOOP_STAGE_NOTIFY: answers with r */
    int r;
    const char *text; /* static, or in `own_text` */
    char *own_text;
    bool asked;    /* of an embedder, who will answer it unless it is told to forget it */
    unsigned fits; /* the kinds of message that answer it, JANUS_FITS(); errors always do */
    const struct janus_message *message; /* during done */
};

/* ---- janus_call.c ---- */
struct janus_call *janus_call_new(struct loop *l, struct janus *j, struct janus_handle *h,
                                  janus_done_fn done, void *user);
/* Sends r under a transaction of c's own; when it cannot be sent, c ends with -EAGAIN. */
void janus_call_send(struct janus_call *c, struct janus_request *r, unsigned timeout_ms);
/*
 * Asks with a body that is freed; NULL: it is not asked, and what err says is the answer, -EINVAL. own is freed with the call,
 * and is done's user. For the typed questions.
 */
struct janus_call *janus_ask_own(struct janus_handle *h, char *body, const struct error *err,
                                 janus_done_fn done, void *own);
/* Nobody waits for its answer any more: an embedder that was asked is told so. */
void janus_call_forget(struct janus_call *c);
/* c is answered with r at the end of this pass. */
void janus_call_end_later(struct janus_call *c, int r, const char *text);
/* c is answered now, and freed. message may be NULL. */
void janus_call_finish(struct janus_call *c, const struct janus_message *message,
                       struct bytes reply);
/* The call that a message answers; NULL: none, or it is only the ack of one that waits for its event. */
struct janus_call *janus_call_of(struct janus *j, const struct janus_message *m);
/* All that are under way end with r. */
void janus_calls_lose(struct janus *j, int r, const char *text);

/* ---- janus_handle.c ---- */
/* Now: the server is UP. */
void janus_handle_attach(struct janus_handle *h);
/* Gives up what it has at Janus for a fresh one: a handle that was kicked out of a room never gets in again. */
void janus_handle_renew(struct janus_handle *h);
/* Janus does not have it any more; attached again after a wait that grows. */
void janus_handle_gone(struct janus_handle *h);
/* The session is gone: what was attached is not any more. */
void janus_handle_lose(struct janus_handle *h);
/* Its server is freed: it stays detached for ever. */
void janus_handle_leave(struct janus_handle *h);
/* An event or piece of news for it. */
void janus_handle_take(struct janus_handle *h, const struct janus_message *m);
struct janus_handle *janus_handle_by_id(struct janus *j, int64_t id);

/* ---- janus.c ---- */
/* False when there is no socket. */
bool janus_send(struct janus *j, struct janus_request *r);
/* Detaches what is nobody's any more, now or when the session is claimed. */
void janus_detach(struct janus *j, int64_t id);
/* The wait before the next try: the second half is random. */
uint64_t janus_backoff_ms(const struct janus *j, unsigned failures);
