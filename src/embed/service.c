/* SPDX-License-Identifier: Apache-2.0 */
/* The facade of streaming_utils: other names for what an orchestrator does. */
#include "embed/orchestrator.h"

#include "base/mem.h"

#include <mast/service.h>

struct mast_service {
    struct mast_orchestrator *orchestrator;
};

struct mast_service *mast_service_new(struct mast_orchestrator *o)
{
    struct mast_service *s = mem_new(struct mast_service);
    s->orchestrator = o;
    return s;
}

void mast_service_free(struct mast_service *s)
{
    free(s);
}

int mast_service_start(struct mast_service *s, const char *json, mast_done_fn done, void *user)
{
    return embed_call_post(embed_service_start(s->orchestrator, json), done, user);
}

int mast_service_start_wait(struct mast_service *s, const char *json, char **ret,
                            struct mast_error *err)
{
    return embed_call_wait(embed_service_start(s->orchestrator, json), ret, err);
}

int mast_service_stop(struct mast_service *s, mast_done_fn done, void *user)
{
    return mast_broadcast_stop_all(s->orchestrator, done, user);
}

int mast_service_stop_wait(struct mast_service *s, char **ret, struct mast_error *err)
{
    return mast_broadcast_stop_all_wait(s->orchestrator, ret, err);
}

int mast_service_stop_one(struct mast_service *s, const char *id, mast_done_fn done, void *user)
{
    return mast_broadcast_stop(s->orchestrator, id, done, user);
}

int mast_service_stop_one_wait(struct mast_service *s, const char *id, char **ret,
                               struct mast_error *err)
{
    return mast_broadcast_stop_wait(s->orchestrator, id, ret, err);
}

int mast_service_health(struct mast_service *s, mast_done_fn done, void *user)
{
    return mast_broadcast_health(s->orchestrator, NULL, done, user);
}

int mast_service_health_wait(struct mast_service *s, char **ret, struct mast_error *err)
{
    return mast_broadcast_health_wait(s->orchestrator, NULL, ret, err);
}
