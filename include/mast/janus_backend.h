/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A Janus session of the embedding program's own: it has the connection, libmast asks through it. libmast wants a handle of the Streaming
 * and one of the VideoRoom plugin, and one more of VideoRoom for each room that it listens in.
 *
 * The functions of struct mast_janus_backend are called on the control thread, also with `queue`, and must not block; they may call
 * every function of libmast that does not wait. The mast_janus_...() functions may be called on any thread, and return at once.
 */
#include <mast/core.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mast_janus_seat; /* a handle that libmast wants */
struct mast_janus_call; /* a question that waits for its answer */

struct mast_janus_backend {
    /*
     * Attach a handle of this plugin ("janus.plugin.streaming"), then mast_janus_attached() or mast_janus_detached(). seat is valid
     * until detach() or mast_janus_detached().
     */
    void (*attach)(void *user, struct mast_janus_seat *seat, const char *plugin);
    /*
     * Send {"janus":"message","body":body} to the handle, then mast_janus_answer(). body: a JSON object, with secrets in it. call is
     * valid until it is answered, or its seat is gone.
     */
    void (*ask)(void *user, struct mast_janus_seat *seat, struct mast_janus_call *call,
                const char *body);
    /* The handle is not needed any more: detach it. Nothing of it must be answered after this. */
    void (*detach)(void *user, struct mast_janus_seat *seat);
};

/* Anything of the embedder's that belongs to the handle: its id, for example. Between attach() and the seat's end, one thread. */
MAST_API void mast_janus_seat_set(struct mast_janus_seat *seat, void *own);
MAST_API void *mast_janus_seat_own(const struct mast_janus_seat *seat);
/* The handle is there: questions may come. */
MAST_API void mast_janus_attached(struct mast_janus_seat *seat);
/*
 * There is none, or not any more (the session was lost): seat is gone, what was asked of it is answered by libmast; attach() comes
 * again with another one after a wait that grows. why: for logs and states. No function of the backend is called with this seat
 * after it has returned; one that the control thread is in already may still run then, when another thread says it.
 */
MAST_API void mast_janus_detached(struct mast_janus_seat *seat, const char *why);
/*
 * The answer, whole: {"janus":"success","plugindata":{...}}, {"janus":"event",...} or {"janus":"error",...}; an ack is none. At most
 * once for a call; one that comes after the deadline of 10 s is ignored.
 */
MAST_API void mast_janus_answer(struct mast_janus_call *call, const char *message);
/* An event of the handle that answers nothing, whole. */
MAST_API void mast_janus_event(struct mast_janus_seat *seat, const char *message);

#ifdef __cplusplus
}
#endif
