/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * obs-websocket v5 as bytes: {"op":N,"d":{...}} in JSON text frames. Sans I/O. What OBS really sends:
 * specs/janus-obs-reference.md 4.2.
 */
#include "base/bytes.h"
#include "base/error.h"
#include "peer/obs/obs.h"

#define OBS_MESSAGE_MAX   (1u << 20)
#define OBS_RPC_VERSION   1
#define OBS_EVENTS_OUTPUT 64 /* the subscription that StreamStateChanged is in */

enum obs_op {
    OBS_OP_HELLO = 0,
    OBS_OP_IDENTIFY = 1,
    OBS_OP_IDENTIFIED = 2,
    OBS_OP_EVENT = 5,
    OBS_OP_REQUEST = 6,
    OBS_OP_RESPONSE = 7,
};

struct obs_message {
    int op;
    /* Hello */
    char *challenge, *salt; /* NULL: no password is needed */
    /* Response */
    uint64_t id; /* 0: not one of ours */
    int code;
    bool result;
    char *comment;
    char *data; /* responseData as JSON text; NULL = none */
    /* Event */
    char *event;
    enum obs_output output; /* StreamStateChanged; else UNKNOWN */
};
int obs_message_parse(struct bytes json, struct obs_message *ret, struct error *err);
void obs_message_done(struct obs_message *m);

/* base64(sha256(base64(sha256(password + salt)) + challenge)); to be freed. */
char *obs_authentication(const char *password, const char *salt, const char *challenge);
void obs_put_identify(struct out *o, const char *authentication);
void obs_put_request(struct out *o, const char *type, uint64_t id, struct bytes data);

int obs_status_parse(struct bytes data, struct obs_status *ret, struct error *err);
int obs_service_parse(struct bytes data, struct obs_service *ret, struct error *err);
void obs_put_service(struct out *o, const struct obs_service *s);
/* A custom RTMP service. */
void obs_put_target(struct out *o, const struct obs_stream_target *t);
/* Whether settings send to the target, with whichever credentials: what is behind a "?" in the key does not count. */
bool obs_service_is(const struct obs_service *s, const struct obs_stream_target *t);
