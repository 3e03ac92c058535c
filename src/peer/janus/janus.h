/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One Janus server over its WebSocket API (subprotocol janus-protocol, Janus 1.1.2 and what follows): connection, session,
 * keepalive, handles, transactions with deadlines, events, reconnect. What plugins are asked is one floor of words up, in
 * janus_streaming.h and janus_room.h; this file knows no plugin.
 *
 *   CONNECTING ─open, info, session─► UP ─socket or session lost─► WAITING ─backoff─► CONNECTING ...
 *       └──────────────── refused, wrong secret, no answer ───────────┘
 *
 * After a loss the old session is claimed; when the server does not know it any more (458) a new one is made and every handle
 * attached again. What was created at the server may live or not in both cases: owners ask (list, info, listforwarders).
 * Waits grow until a session has answered a keepalive: a server that takes everything and forgets it at once is no success.
 * Janus is taken for what it does, not for what it says: acks may come after their event, plugin errors come as "success",
 * ids are 53-bit integers. Nothing a server sends is trusted: sizes are bounded, unknown messages counted and dropped.
 *
 * Control loop only. No callback comes from inside a call. Everything of this file may be called inside callbacks.
 */
#include "base/bytes.h"
#include "base/error.h"
#include "io/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct janus;
struct janus_handle;
struct janus_call;
struct tls_context;

#define JANUS_MESSAGE_MAX (4u << 20) /* one message of a server */
#define JANUS_CALLS_MAX   4096u      /* under way, of one server */
#define JANUS_TRACKS_MAX  32u        /* of one mountpoint or feed */

enum janus_state {
    JANUS_CONNECTING,
    JANUS_UP,
    JANUS_WAITING, /* for the next try */
    JANUS_STATE_N,
};
const char *janus_state_to_str(enum janus_state s);

/* What the server said of itself; valid while UP. */
struct janus_server_info {
    int64_t version; /* 1102 = 1.1.2 */
    char version_string[32];
    char name[64];
    unsigned session_timeout_s;
    unsigned reclaim_timeout_s; /* 0: a lost socket is a lost session */
};

struct janus_config {
    const char *name;       /* for logs and events: "main" */
    const char *url;        /* ws:// or wss:// */
    const char *api_secret; /* NULL = none; copied, as all text here */
    const char *token;      /* NULL = none */
    struct tls_context *tls;
    unsigned request_ms;     /* deadline of a call that names none; 0 = 10000 */
    unsigned backoff_ms;     /* the first wait, half of it random; doubles; 0 = 250 */
    unsigned backoff_max_ms; /* 0 = 10000 */
    unsigned
        keepalive_max_s; /* 0 = 25; never longer than a third of the server's session timeout */
};

struct janus_ops {
    /* resumed: the session was claimed, handles kept their ids; events of the gap are lost. */
    void (*on_up)(void *user, bool resumed);
    /* What was under way is answered with -ENOTCONN, before this. Comes again for each failed try, with its reason. */
    void (*on_down)(void *user, const struct error *err);
};

/* Connects at once, and again for ever. NULL and err for a URL that cannot be used. */
struct janus *janus_new(struct loop *l, const struct janus_config *config,
                        const struct janus_ops *ops, void *user, struct error *err);
/*
 * Calls are answered with -ECANCELED; handles stay their owners' to free, and do nothing any more; the session is destroyed at
 * the server when it is up (not waited for). NULL is fine; returns NULL.
 */
struct janus *janus_free(struct janus *j);
enum janus_state janus_state(const struct janus *j);
const struct janus_server_info *janus_server_info(const struct janus *j); /* NULL unless UP */
/* Why it is not UP; never NULL. */
const char *janus_reason(const struct janus *j);
/* Tries now instead of after the wait. */
void janus_retry(struct janus *j);

/* ---- calls ---- */

/*
 * The outcome of a call. r:
 *   0           Janus and the plugin agree; data is the plugin's answer
 *   -EREMOTEIO  they do not: code and text are theirs ("No such mountpoint/stream 9001", 455), data as it came
 *   -ETIMEDOUT  no answer in time, -ENOTCONN the connection went while it was under way: whether it took effect is unknown
 *   -EAGAIN     it never left: the server is not UP, or the handle is being attached again
 *   -ECANCELED  janus_free() or janus_handle_free() came first
 *   -EPROTO     the answer makes no sense
 *   -EINVAL     the request does not, and was not sent: text names the field
 */
struct janus_result {
    int r;
    int code;                   /* of Janus (4xx) or of the plugin; 0 = none */
    const char *text;           /* what happened, in a sentence; never NULL */
    struct bytes data;          /* plugindata.data as JSON text; empty when there is none */
    struct bytes reply;         /* the whole message, for who keeps raw answers */
    const char *sdp_type, *sdp; /* of a jsep that came with it; NULL = none */
};
/* res and what it points to are valid during the call. */
typedef void (*janus_done_fn)(void *user, const struct janus_result *res);

struct janus_ask {
    struct bytes body;    /* the plugin's request: a JSON object */
    const char *sdp_type; /* jsep beside it; NULL = none */
    const char *sdp;
    unsigned timeout_ms; /* 0 = config */
};
/*
 * Asks the handle's plugin: synchronous requests are answered by a success, asynchronous ones by their event; acks are not
 * answers. done comes exactly once, always after this returns. The call may be forgotten by
 * janus_call_cancel(); that does not undo it at the server. Secrets in the body are never logged.
 */
struct janus_call *janus_ask(struct janus_handle *h, const struct janus_ask *ask,
                             janus_done_fn done, void *user);
/* done does not come any more. Not of a call whose done is running. NULL is fine; returns NULL. */
struct janus_call *janus_call_cancel(struct janus_call *c);

/* ---- handles ---- */

struct janus_handle_ops {
    /*
     * Attached, for the first time or again after a new session (again = true): joins, watches and what else lived in the
     * handle must be made anew. May be NULL.
     */
    void (*on_attached)(void *user, bool again);
    /* An event of the plugin that answers no call: JSON text, valid during the call. May be NULL. */
    void (*on_event)(void *user, struct bytes data);
    /* webrtcup, hangup, media: Janus' own events of the handle. reason may be "". May be NULL. */
    void (*on_janus)(void *user, const char *event, const char *reason);
    /* Janus will not give one (460: no such plugin). Tried again with the next session. May be NULL. */
    void (*on_failed)(void *user, const struct error *err);
    /* The session was claimed and the handle is still ours; what happened meanwhile was told to nobody. May be NULL. */
    void (*on_resumed)(void *user);
};
/* plugin: "janus.plugin.streaming". Attached as soon as the server is UP, and again whenever it must be. */
struct janus_handle *janus_handle_new(struct janus *j, const char *plugin,
                                      const struct janus_handle_ops *ops, void *user);
/* Detaches (not waited for). NULL is fine; returns NULL. */
struct janus_handle *janus_handle_free(struct janus_handle *h);
bool janus_handle_is_attached(const struct janus_handle *h);
const char *
janus_handle_server(const struct janus_handle *h); /* name of its server, for messages */

/*
 * A handle that somebody else owns: an embedder's own session and socket. ask() sends the body (and jsep) and arranges that
 * janus_handle_answer() is called once with the same call, from any later moment of the control loop; a negative result: it
 * was not asked. Deadlines are kept here. The other functions tell what a handle of ours would learn by itself.
 */
struct janus_backend {
    int (*ask)(void *user, struct janus_call *call, const struct janus_ask *ask);
    /*
     * A call that was asked is overdue, cancelled, or its handle is freed: it must not be answered any more. NULL only for
     * who always answers before the deadline and before janus_handle_free().
     */
    void (*forget)(void *user, struct janus_call *call);
    void (*detach)(void *user); /* janus_handle_free(); may be NULL */
};
struct janus_handle *janus_handle_from(struct loop *l, const char *name,
                                       const struct janus_backend *backend, void *backend_user,
                                       const struct janus_handle_ops *ops, void *user);
/* message: the whole answer of Janus ({"janus":"success","plugindata":...}). */
void janus_handle_answer(struct janus_call *call, struct bytes message);
/* An event for it, whole. */
void janus_handle_deliver(struct janus_handle *h, struct bytes message);

/*
 * A server whose session somebody else owns: always UP, its handles are attached by their owner, as janus_handle_new() and the rest
 * of this folder (a room's listener) want them. attach() asks for one and returns what the functions of `backend` get as user; the
 * owner answers by one of the two below, from any later moment. detach() ends each that attach() gave.
 */
struct janus_source {
    struct janus_backend backend;
    void *(*attach)(void *user, struct janus_handle *h, const char *plugin);
};
/* source stays the caller's. on_up comes from a later pass. */
struct janus *janus_from(struct loop *l, const char *name, const struct janus_source *source,
                         void *source_user, const struct janus_ops *ops, void *user);
/* Only of the seat that attach() returned last; of another one it is ignored. */
void janus_handle_attached(struct janus_handle *h, const void *seat);
/* It could not be, or is not any more: seat is not used again (nor detached); attach() comes again after a wait that grows. */
void janus_handle_detached(struct janus_handle *h, const void *seat, const char *why);
