/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An orchestrator: one service of broadcasts for an embedder. Control loop. */
#include "embed/backend.h"
#include "embed/embed.h"
#include "service/broadcast/broadcast.h"

#include <mast/broadcast.h>

struct mast_orchestrator {
    struct embed_part part;
    struct janus_servers *janus;
    struct broadcasts *broadcasts;
    struct store *store;            /* NULL: nothing is kept */
    struct seal_ring *ring;         /* NULL without a store */
    struct tls_context *tls; /* for wss and rtmps */
    struct embed_backend *backends; /* one for each server of the configuration */
    bool suspend;
};

/* A start whose answer is the request as it was taken; mast_service_start(). */
struct embed_call *embed_service_start(struct mast_orchestrator *o, const char *json);
