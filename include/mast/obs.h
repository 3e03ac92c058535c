/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A client of one OBS over obs-websocket v5 (OBS 28 and later), and the bridge: OBS publishes to an RTMP server of yours and gets its own
 * settings back. Threads, ownership and errors: mast/core.h.
 *
 * The observer hears as on_state_change: "up", "down", "refused" (wrong password) of the connection, and "started", "stopped",
 * "starting", "stopping", "reconnecting" of the stream output.
 */
#include <mast/core.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mast_obs;

struct mast_obs_config {
    const char *name;     /* for logs and the observer; NULL = "obs" */
    const char *host;     /* NULL = 127.0.0.1 */
    int port;             /* 0 = 4455 */
    const char *password; /* NULL = none */
    bool secure;          /* wss, through a front: OBS itself has no TLS */
    struct mast_tls tls;  /* of the front */
    unsigned timeout_ms;  /* of a request; 0 = 10000 */
    struct mast_observer observer;
};

/*
 * Connects at once, and again for ever, but for a wrong password. -EINVAL: the port is none; -ENOENT, -EACCES and others:
 * tls.ca_file cannot be read. -EDEADLK: on a thread of another instance.
 */
MAST_API int mast_obs_new(struct mast *m, const struct mast_obs_config *config,
                          struct mast_obs **ret, struct mast_error *err);
/*
 * A stream that was started here is stopped first, and OBS has its settings back; deadline_ms: 0 = stop_ms of the instance. NULL
 * is fine: 0, and no answer.
 */
MAST_API int mast_obs_free(struct mast_obs *o, unsigned deadline_ms, mast_done_fn done, void *user);
MAST_API int mast_obs_free_wait(struct mast_obs *o, unsigned deadline_ms, struct mast_error *err);
/* Answers when OBS has let us in; -EACCES: it refuses (wrong password, another version of the protocol). */
MAST_API int mast_obs_ready(struct mast_obs *o, mast_done_fn done, void *user);
MAST_API int mast_obs_ready_wait(struct mast_obs *o, struct mast_error *err);
/*
 * Any request of obs-websocket: "GetStreamStatus". request_data: a JSON object, NULL = none. data: responseData. -EREMOTEIO: OBS refuses;
 * where is its number, text its words. -EAGAIN: not connected, nothing was sent. -EINVAL, -ETIMEDOUT, -ENOTCONN, -EPROTO.
 */
MAST_API int mast_obs_ask(struct mast_obs *o, const char *request_type, const char *request_data,
                          mast_done_fn done, void *user);
MAST_API int mast_obs_ask_wait(struct mast_obs *o, const char *request_type,
                               const char *request_data, char **ret, struct mast_error *err);
/*
 * Sets a custom RTMP service (server: "rtmp://host/app", and the key), starts, and answers when OBS says that it has started. When it
 * does not, OBS has its own settings back before the answer.
 * -EINVAL: no server. -ECONNREFUSED: nothing took its stream. -EBUSY: it streams already, elsewhere; or another start or stop is under way.
 * -ETIMEDOUT.
 */
MAST_API int mast_obs_start_stream(struct mast_obs *o, const char *server, const char *key,
                                   mast_done_fn done, void *user);
MAST_API int mast_obs_start_stream_wait(struct mast_obs *o, const char *server, const char *key,
                                        struct mast_error *err);
/* Stops, waits until it has stopped, puts back what a start here changed. One that does not stream is no error. */
MAST_API int mast_obs_stop_stream(struct mast_obs *o, mast_done_fn done, void *user);
MAST_API int mast_obs_stop_stream_wait(struct mast_obs *o, struct mast_error *err);

#ifdef __cplusplus
}
#endif
