/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One OBS over obs-websocket v5 (recorded from OBS 29, obs-websocket 5.1): Hello and Identify with the password, requests by
 * id, events, reconnect. An OK of OBS is not a start: what counts are its StreamStateChanged events, which obs_stream_start()
 * waits for. OBS itself has no TLS; `secure` is wss through a front.
 *
 *   CONNECTING ─Identified─► UP ─lost─► WAITING ─backoff─► CONNECTING ...
 *       └─ wrong password (4009), rpc version (4010) ─► REFUSED, until obs_retry()
 *
 * Control loop only. Every answer comes once and after the call returned.
 */
#include "base/bytes.h"
#include "base/error.h"
#include "base/model.h"
#include "io/loop.h"

struct obs;
struct tls_context;

enum obs_state {
    OBS_CONNECTING,
    OBS_UP,
    OBS_WAITING,
    OBS_REFUSED,
    OBS_STATE_N,
};
const char *obs_state_to_str(enum obs_state s);

/* ObsConnectionConfig of the seeds, with their names. */
struct obs_connection {
    char *host;     /* "127.0.0.1" */
    int32_t port;   /* 4455 */
    char *password; /* sealed when stored */
    bool secure;
    int64_t timeout_ns; /* of a request; "timeout", 10 s */
};
extern const struct model obs_connection_model;

/* The stream output, as OBS tells it. */
enum obs_output {
    OBS_OUTPUT_UNKNOWN,
    OBS_OUTPUT_STOPPED,
    OBS_OUTPUT_STARTING,
    OBS_OUTPUT_STARTED,
    OBS_OUTPUT_RECONNECTING,
    OBS_OUTPUT_STOPPING,
    OBS_OUTPUT_N,
};
const char *obs_output_to_str(enum obs_output o);

struct obs_ops {
    void (*on_up)(void *user);
    /* permanent: REFUSED. Requests under way were answered before. Comes again for each failed try. */
    void (*on_down)(void *user, const struct error *err, bool permanent);
    /* At the end of a pass in which it changed. */
    void (*on_output)(void *user, enum obs_output output);
};

/* connection is copied. tls: for secure. NULL and err when the connection makes no sense. */
struct obs *obs_new(struct loop *l, const struct obs_connection *connection,
                    struct tls_context *tls, const struct obs_ops *ops, void *user,
                    struct error *err);
/* Nothing is answered any more. NULL is fine; returns NULL. */
struct obs *obs_free(struct obs *o);
enum obs_state obs_state(const struct obs *o);
enum obs_output obs_output(const struct obs *o);
const char *obs_reason(const struct obs *o); /* why it is not UP; never NULL */
void obs_retry(struct obs *o);               /* now */

/*
 * r: 0; -EREMOTEIO: OBS refused, code and text are its own (requestStatus); -ETIMEDOUT; -ENOTCONN: lost under way;
 * -EAGAIN: not UP, never sent; -EINVAL: data is no JSON object, never sent; -EPROTO.
 */
struct obs_result {
    int r;
    int code;
    const char *text;
    struct bytes data; /* responseData as JSON text; empty when there is none */
};
typedef void (*obs_done_fn)(void *user, const struct obs_result *res);
#define OBS_CALLS_MAX 256u /* under way */
/* data: requestData, a JSON object, or empty. done comes once, never from inside this call. */
void obs_ask(struct obs *o, const char *request_type, struct bytes data, obs_done_fn done,
             void *user);

/* GetStreamStatus. */
struct obs_status {
    bool active, reconnecting;
    double congestion; /* 0 to 1 */
    int64_t bytes, duration_ms, skipped_frames, total_frames;
};
typedef void (*obs_status_fn)(void *user, const struct obs_result *res, const struct obs_status *s);
void obs_ask_status(struct obs *o, obs_status_fn done, void *user);

/* ---- the bridge: OBS publishes to us, and gets its own settings back ---- */

/* What OBS had before: kept by who started it, so that it can be put back also after a restart of ours. Owned by it. */
struct obs_service {
    char *type;     /* streamServiceType; NULL = not known */
    char *settings; /* streamServiceSettings as JSON text; has a key in it: sealed when stored */
};
extern const struct model obs_service_model;

struct obs_stream_target {
    const char *server; /* rtmp://host/app */
    const char *key;
};
/*
 * Remembers the service settings, sets a custom RTMP service, starts, and answers when OBS says STARTED (0), or STOPPED
 * instead (-ECONNREFUSED: nothing took its stream), or neither within the deadline (-ETIMEDOUT; 0 = OBS_STREAM_TIMEOUT_MS).
 * -EINVAL: the target is no text. -EBUSY when it streams already, to elsewhere; a stream that already goes to the
 * target is taken over. previous: what to put back, NULL when nothing was changed; valid in the call. False, and no answer:
 * another start or stop is under way.
 */
#define OBS_STREAM_TIMEOUT_MS 15000
typedef void (*obs_started_fn)(void *user, const struct obs_result *res,
                               const struct obs_service *previous);
bool obs_stream_start(struct obs *o, const struct obs_stream_target *target, unsigned timeout_ms,
                      obs_started_fn done, void *user);
/* Stops, waits for STOPPED, puts previous back (NULL or without type: leaves the settings). A stopped OBS is no error. */
bool obs_stream_stop(struct obs *o, const struct obs_service *previous, unsigned timeout_ms,
                     obs_done_fn done, void *user);
