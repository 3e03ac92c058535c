/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Broadcasts: a VideoRoom publisher, an OBS, an RTMP feed or a camera becomes a Janus Streaming mountpoint, is kept healthy, and is
 * undone when it is stopped. Requests and results are JSON documents, those of `POST /api/v1/broadcasts` (docs/broadcasts.md); the
 * names of their fields are those of streaming_utils 1.0.0. Threads, ownership and errors: mast/core.h.
 */
#include <mast/core.h>
#include <mast/janus_backend.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mast_orchestrator;

/* A Janus that broadcasts are made at. Text is NULL when there is none. */
struct mast_janus_server {
    const char *name;           /* how requests call it; NULL = "main" */
    const char *url;            /* ws:// or wss://; NULL with a backend */
    struct mast_tls tls;        /* of wss:// */
    const char *api_secret;     /* of janus.jcfg */
    const char *token;          /* where Janus has token_auth */
    const char *admin_key;      /* of the Streaming plugin; used where a request brings none */
    const char *room_admin_key; /* of the VideoRoom plugin */
    const char *public_url;     /* told to browsers that shall join a room */
    const char *rtp_ports; /* "20000-20999", for mountpoints that name none; NULL: Janus chooses */
    bool string_ids;       /* its plugins are configured with string_ids */
    /* The embedder's own session in place of url; NULL = none. Must outlive the orchestrator. */
    const struct mast_janus_backend *backend;
    void *backend_user;
};

struct mast_orchestrator_config {
    const struct mast_janus_server *janus; /* none: "main" at ws://127.0.0.1:8188 */
    size_t n_janus;
    /*
     * A folder (made when it is not there) where broadcasts are written down, so that after a crash the next orchestrator of this
     * folder goes on with them or undoes them, as their requests say; one process at a time. NULL: nothing outlives the process.
     */
    const char *state_dir;
    /* With state_dir: freeing undoes what is outside, and the next orchestrator of this folder starts it again. */
    bool suspend;
    struct mast_tls
        tls; /* of the others that broadcasts connect to: rtmps://, an OBS with obs_secure */
    struct mast_observer observer;
    unsigned max;  /* broadcasts that run; 0 = 10000 */
    unsigned keep; /* ended ones that are listed; 0 = 1000 */
};

/*
 * Blocks while state_dir is read; then -EDEADLK on a thread of libmast, else on one of another instance only. Janus is
 * connected to when it is first needed. *ret is NULL on failure: -EINVAL (err names the field), -E2BIG (more than 256 servers),
 * -EBUSY (another process uses state_dir), or what opening it says. config and err may be NULL.
 */
MAST_API int mast_orchestrator_new(struct mast *m, const struct mast_orchestrator_config *config,
                                   struct mast_orchestrator **ret, struct mast_error *err);
/*
 * Stops its broadcasts, then frees it. deadline_ms: 0 = stop_ms of the instance. Answers 0, -ETIMEDOUT (the deadline came first)
 * or -EREMOTEIO (something could not be undone; text says how much). NULL is fine: 0, and no answer.
 */
MAST_API int mast_orchestrator_free(struct mast_orchestrator *o, unsigned deadline_ms,
                                    mast_done_fn done, void *user);
MAST_API int mast_orchestrator_free_wait(struct mast_orchestrator *o, unsigned deadline_ms,
                                         struct mast_error *err);

/* ---- start and stop ---- */

/*
 * Starts a broadcast; the answer comes when it has started: 0 (it runs, or waits for its publisher or source: see `state`),
 * or -EREMOTEIO (it failed and was undone; text names the step and the peer's words), both with the result as data. Without
 * data: -EBADMSG (no JSON), -EINVAL (where is the path of the field), -EEXIST (the id is taken), -ENOENT (no such Janus server), -ENOSPC (too many),
 * -ENOKEY, -ESHUTDOWN; -EINTR: it was stopped first.
 */
MAST_API int mast_broadcast_start(struct mast_orchestrator *o, const char *json, mast_done_fn done,
                                  void *user);
/* ret may be NULL; *ret is set whenever there is a result, also of one that failed. */
MAST_API int mast_broadcast_start_wait(struct mast_orchestrator *o, const char *json, char **ret,
                                       struct mast_error *err);
/* 0 when it has ended, with its result; -EREMOTEIO, with it too: something could not be undone yet and is tried again; -ENOENT. */
MAST_API int mast_broadcast_stop(struct mast_orchestrator *o, const char *id, mast_done_fn done,
                                 void *user);
MAST_API int mast_broadcast_stop_wait(struct mast_orchestrator *o, const char *id, char **ret,
                                      struct mast_error *err);
/* All that run; answers when all have ended, with the list of their results. */
MAST_API int mast_broadcast_stop_all(struct mast_orchestrator *o, mast_done_fn done, void *user);
MAST_API int mast_broadcast_stop_all_wait(struct mast_orchestrator *o, char **ret,
                                          struct mast_error *err);
/* Undoes all of it and begins again, also one that ended; answered like a start. -EBUSY: something of it is not undone yet. */
MAST_API int mast_broadcast_restart(struct mast_orchestrator *o, const char *id, mast_done_fn done,
                                    void *user);
MAST_API int mast_broadcast_restart_wait(struct mast_orchestrator *o, const char *id, char **ret,
                                         struct mast_error *err);
/* Takes an ended one off the list. -EBUSY: it has not ended. */
MAST_API int mast_broadcast_forget(struct mast_orchestrator *o, const char *id, mast_done_fn done,
                                   void *user);
MAST_API int mast_broadcast_forget_wait(struct mast_orchestrator *o, const char *id,
                                        struct mast_error *err);

/* ---- questions; -ENOENT: no such broadcast ---- */

/* data: the result, as it is now, secrets redacted. */
MAST_API int mast_broadcast_result(struct mast_orchestrator *o, const char *id, mast_done_fn done,
                                   void *user);
MAST_API int mast_broadcast_result_wait(struct mast_orchestrator *o, const char *id, char **ret,
                                        struct mast_error *err);
/* data: {"broadcast_id":, "state":, "reason":, "health": {...}}; id NULL: {"broadcasts": [...]} of all. */
MAST_API int mast_broadcast_health(struct mast_orchestrator *o, const char *id, mast_done_fn done,
                                   void *user);
MAST_API int mast_broadcast_health_wait(struct mast_orchestrator *o, const char *id, char **ret,
                                        struct mast_error *err);
/* data: {"broadcasts": [{"broadcast_id":, "state":, "source_kind":, "reason":}, ...]}, in the order they were made. */
MAST_API int mast_broadcast_list(struct mast_orchestrator *o, mast_done_fn done, void *user);
MAST_API int mast_broadcast_list_wait(struct mast_orchestrator *o, char **ret,
                                      struct mast_error *err);
/* data: the steps that this request would take, {"steps": [...], "warnings": [...]}; nothing outside is asked. */
MAST_API int mast_broadcast_plan(struct mast_orchestrator *o, const char *json, mast_done_fn done,
                                 void *user);
MAST_API int mast_broadcast_plan_wait(struct mast_orchestrator *o, const char *json, char **ret,
                                      struct mast_error *err);

/* ---- a request from a struct ---- */

/* The common fields; all else is in the document. Text is NULL, numbers are 0 when absent. */
struct mast_broadcast_request {
    const char *id;
    const char *name, *description;
    const char *
        source_kind; /* "videoroom", "obs", "rtmp_external", "rtsp_camera", "frontend_owned", ... */
    const char *relay_kind; /* "none", "ffmpeg", "gstreamer", "builtin" */
    const char *janus;      /* name of the server */
    const char *host;
    bool create_mountpoint; /* true after mast_broadcast_request_init() */
    bool owned_by_app;      /* true after mast_broadcast_request_init() */
    int64_t room_id, publisher_id, mountpoint_id;
    const char *publisher_display;
    int video_port, audio_port,
        data_port; /* 0 = none; for one that Janus chooses, write a mountpoint_spec */
    int video_pt, audio_pt;
    const char *video_codec, *audio_codec, *video_fmtp, *audio_fmtp;
    const char *srs_rtmp_url, *srs_app, *srs_stream_key;
    const char *rtsp_url, *rtsp_username, *rtsp_password;
    const char *input_url, *stream;
    const char *obs_host, *obs_password;
    int obs_port;
    bool obs_secure;
    const char *mountpoint_spec; /* a JSON object; instead of the ports */
    const char *room_spec;       /* a JSON object */
};
MAST_API void mast_broadcast_request_init(struct mast_broadcast_request *r);
/* The document, to be released by free(); NULL: mountpoint_spec or room_spec is no JSON object. */
MAST_API char *mast_broadcast_request_json(const struct mast_broadcast_request *r);

#ifdef __cplusplus
}
#endif
