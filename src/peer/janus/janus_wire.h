/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Janus' messages as bytes: what a server sends, read with bounds; what it is sent, written. Sans I/O. A message owns its
 * texts. References: specs/janus-obs-reference.md 1.2 to 1.4 (what Janus 1.1.2 really answers).
 */
#include "base/bytes.h"
#include "base/error.h"

#include <stdint.h>

enum janus_kind {
    JANUS_SUCCESS,
    JANUS_ACK,
    JANUS_EVENT,
    JANUS_ERROR,
    JANUS_TIMEOUT,  /* the session is gone */
    JANUS_DETACHED, /* a handle is gone */
    JANUS_SERVER_INFO,
    JANUS_NEWS,  /* webrtcup, hangup, media, slowlink...: of a handle, without an answer */
    JANUS_OTHER, /* nothing we know */
};

struct janus_error_part {
    int32_t code;
    char *reason;
};
struct janus_plugin_part {
    char *plugin;
    char *data; /* JSON text */
};
struct janus_jsep_part {
    char *type, *sdp;
};

struct janus_message {
    enum janus_kind kind;
    char *janus; /* the word itself */
    char *transaction;
    int64_t session_id, sender;
    char *reason;
    char *data; /* JSON text */
    int64_t id; /* data.id; 0 = none */
    struct janus_error_part *error;
    struct janus_plugin_part *plugindata;
    struct janus_jsep_part *jsep;
    /* the plugin's own error, which comes as a success or an event */
    int32_t plugin_code;
    char *plugin_error;
    /* server_info */
    int64_t version;
    char *version_string, *server_name;
    int64_t session_timeout_s, reclaim_timeout_s;
};

/* -EBADMSG, -E2BIG, -EINVAL: not a message of Janus. *ret is zero then. */
int janus_message_parse(struct janus_message *ret, struct bytes json, struct error *err);
void janus_message_done(struct janus_message *m);

/* A request of ours. Strings may be NULL, numbers 0: not written. */
struct janus_request {
    const char *janus;    /* "create", "attach", "message", ... */
    uint64_t transaction; /* never 0 */
    const char *api_secret, *token;
    int64_t session_id, handle_id;
    const char *plugin;    /* attach */
    const char *opaque_id; /* attach */
    struct bytes body;     /* message: a JSON object */
    const char *sdp_type, *sdp;
};
void janus_request_put(struct out *o, const struct janus_request *r);
/* The number janus_request_put() wrote; 0 for what is not ours. */
uint64_t janus_transaction_parse(const char *text);
