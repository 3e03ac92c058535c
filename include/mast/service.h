/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The service facade of streaming_utils (service.Broadcast): a thin wrapper around an orchestrator, with its methods. Everything that
 * it answers is JSON. Threads, ownership and errors: mast/core.h.
 */
#include <mast/broadcast.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mast_service;

/* o is borrowed and must outlive it. Never NULL. */
MAST_API struct mast_service *mast_service_new(struct mast_orchestrator *o);
/* o goes on. NULL is fine. */
MAST_API void mast_service_free(struct mast_service *s);

/* data: the request as it was taken, secrets redacted, with `broadcast_id`, `state` and `warnings`. As mast_broadcast_start(). */
MAST_API int mast_service_start(struct mast_service *s, const char *json, mast_done_fn done,
                                void *user);
MAST_API int mast_service_start_wait(struct mast_service *s, const char *json, char **ret,
                                     struct mast_error *err);
/* All broadcasts. */
MAST_API int mast_service_stop(struct mast_service *s, mast_done_fn done, void *user);
MAST_API int mast_service_stop_wait(struct mast_service *s, char **ret, struct mast_error *err);
MAST_API int mast_service_stop_one(struct mast_service *s, const char *id, mast_done_fn done,
                                   void *user);
MAST_API int mast_service_stop_one_wait(struct mast_service *s, const char *id, char **ret,
                                        struct mast_error *err);
/* Of all broadcasts. */
MAST_API int mast_service_health(struct mast_service *s, mast_done_fn done, void *user);
MAST_API int mast_service_health_wait(struct mast_service *s, char **ret, struct mast_error *err);

#ifdef __cplusplus
}
#endif
