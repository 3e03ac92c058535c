/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Closers that run in the reverse order of their adding, one after the other, whatever fails: what an application made at its
 * peers is undone in order. The observer hears "janus_resource_closed" for each that succeeded, and on_error with the phase
 * "janus_cleanup" for each that did not. Threads, ownership and errors: mast/core.h.
 */
#include <mast/core.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mast_lifecycle;
struct mast_closing; /* a closer that was called and has not answered */

/*
 * Undoes its thing and calls mast_closed(), now or later, from any thread. Always on the control thread, also with `queue`; must not
 * block.
 */
typedef void (*mast_close_fn)(void *user, struct mast_closing *closing);
/* Exactly once, however late: also after mast_free() it does no harm. r: 0 or a negative errno; text: what went wrong; may be NULL. */
MAST_API void mast_closed(struct mast_closing *closing, int r, const char *text);

/* observer may be NULL. -EDEADLK: on a thread of another instance. */
MAST_API int mast_lifecycle_new(struct mast *m, const struct mast_observer *observer,
                                struct mast_lifecycle **ret, struct mast_error *err);
/*
 * resource: its name, for the observer. At once: 0, or -EINVAL without a function. One that is added while the lifecycle is
 * freed is not called: the observer hears so, as of one that failed.
 */
MAST_API int mast_lifecycle_add(struct mast_lifecycle *l, const char *resource, mast_close_fn close,
                                void *user);
/*
 * Runs what was added, last first; more may be added meanwhile. 0, or -EREMOTEIO: some failed; text says how many, data is
 * {"closed": ["name", ...], "failed": [{"resource":, "error":}, ...]} in both cases. -EALREADY: it is closing.
 */
MAST_API int mast_lifecycle_close(struct mast_lifecycle *l, mast_done_fn done, void *user);
MAST_API int mast_lifecycle_close_wait(struct mast_lifecycle *l, char **ret,
                                       struct mast_error *err);
/*
 * Closes what is left, then frees. A closer that does not answer before the deadline (0 = stop_ms of the instance) is left alone: it
 * still has to answer. 0, -EREMOTEIO (some failed) or -ETIMEDOUT. NULL is fine: 0, and no answer.
 */
MAST_API int mast_lifecycle_free(struct mast_lifecycle *l, unsigned deadline_ms, mast_done_fn done,
                                 void *user);
MAST_API int mast_lifecycle_free_wait(struct mast_lifecycle *l, unsigned deadline_ms,
                                      struct mast_error *err);

#ifdef __cplusplus
}
#endif
