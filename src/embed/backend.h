/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An embedder's Janus session as peer/janus takes it. Control loop. */
#include "embed/embed.h"
#include "peer/janus/janus.h"

#include <mast/janus_backend.h>

struct embed_backend {
    struct mast *mast;
    const struct mast_janus_backend *theirs;
    void *user;
};
/* user of it: a struct embed_backend, which outlives the server. */
extern const struct janus_source embed_backend_source;
