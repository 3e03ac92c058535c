/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A client of one Janus server over its WebSocket API: the connection, its session and keepalive, reconnecting with the same session
 * where the server still knows it, and handles that ask plugins. Requests and answers are the plugins' own JSON (Janus' documentation has
 * them). Threads, ownership and errors: mast/core.h. For a session of your own see mast/janus_backend.h.
 *
 * The observer hears the connection as on_state_change: "up", or "down" with the reason for each try that failed.
 */
#include <mast/core.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mast_janus;
struct mast_janus_handle;

struct mast_janus_config {
    const char *name;       /* for logs and the observer; NULL = "janus" */
    const char *url;        /* ws:// or wss:// */
    struct mast_tls tls;    /* of wss:// */
    const char *api_secret; /* NULL = none */
    const char *token;      /* NULL = none */
    unsigned request_ms;    /* until an answer counts as missing; 0 = 10000 */
    struct mast_observer observer;
};

/*
 * Connects at once, and again for ever. -EINVAL: the URL cannot be used; -ENOENT, -EACCES and others: tls.ca_file cannot be
 * read. -EDEADLK: on a thread of another instance.
 */
MAST_API int mast_janus_new(struct mast *m, const struct mast_janus_config *config,
                            struct mast_janus **ret, struct mast_error *err);
/*
 * Free its handles before it: one that is left answers -EAGAIN to all that it is asked, until it is freed. Ends the session at
 * the server when it is up. NULL is fine: 0, and no answer.
 */
MAST_API int mast_janus_free(struct mast_janus *j, mast_done_fn done, void *user);
MAST_API int mast_janus_free_wait(struct mast_janus *j);
/* data: {"state": "connecting" | "up" | "waiting", "reason":, "version": "1.1.2", "server_name":}; the last two when it is up. */
MAST_API int mast_janus_status(struct mast_janus *j, mast_done_fn done, void *user);
MAST_API int mast_janus_status_wait(struct mast_janus *j, char **ret, struct mast_error *err);

/* An event of the handle that answers nothing: the plugin's data, a JSON object. Comes as all callbacks do. */
typedef void (*mast_janus_event_fn)(void *user, const char *data);

/*
 * A handle of a plugin ("janus.plugin.videoroom"), attached as soon as there is a session, and again whenever it must be: what lived in it
 * (a join, a watch) must be made anew then, and is told as on_state_change of the client's observer: resource is the plugin, state
 * "attached" or "attached_again"; a plugin that Janus does not have is told as on_error with the phase "attach". on_event may be
 * NULL. -EINVAL: plugin is NULL. -EDEADLK: on a thread of another instance.
 */
MAST_API int mast_janus_attach(struct mast_janus *j, const char *plugin,
                               mast_janus_event_fn on_event, void *user,
                               struct mast_janus_handle **ret, struct mast_error *err);
/* Detaches. NULL is fine: 0, and no answer. */
MAST_API int mast_janus_handle_free(struct mast_janus_handle *h, mast_done_fn done, void *user);
MAST_API int mast_janus_handle_free_wait(struct mast_janus_handle *h);
/* Answers when it is attached; -ENODEV: Janus has no such plugin. */
MAST_API int mast_janus_handle_ready(struct mast_janus_handle *h, mast_done_fn done, void *user);
MAST_API int mast_janus_handle_ready_wait(struct mast_janus_handle *h, struct mast_error *err);
/*
 * Asks the plugin: body is its request, a JSON object. data: the plugin's answer, also of a refusal. -EREMOTEIO: Janus or the plugin
 * refuses; where is its number, text its words. -EINVAL: body is none, nothing was sent. -EAGAIN: not attached, nothing was sent.
 * -ETIMEDOUT, -ENOTCONN: whether it took effect is unknown. -EPROTO.
 */
MAST_API int mast_janus_ask(struct mast_janus_handle *h, const char *body, mast_done_fn done,
                            void *user);
MAST_API int mast_janus_ask_wait(struct mast_janus_handle *h, const char *body, char **ret,
                                 struct mast_error *err);

#ifdef __cplusplus
}
#endif
