/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An orchestrator: one service of broadcasts for an embedder. Control loop. */
#include "embed/backend.h"
#include "embed/embed.h"
#include "service/broadcast/broadcast.h"

#include <mast/broadcast.h>

/* What one server of the configuration needs beside it. */
struct embed_server {
    struct embed_backend backend;
    struct tls_context *tls; /* until its server has it; NULL: trusted as all */
};

struct mast_orchestrator {
    struct embed_part part;
    struct janus_servers *janus;
    struct broadcasts *broadcasts;
    struct store *store;          /* NULL: nothing is kept */
    struct seal_ring *ring;       /* NULL without a store */
    struct tls_context *tls;      /* for wss, rtmps and OBS */
    struct embed_server *servers; /* one for each of the configuration */
    size_t n_servers;
    enum broadcasts_leave leave; /* how its end does it */
    /* What the observer was told of numbers. */
    struct loop_task count;
    struct broadcasts_counts told;
    bool told_once;
};

/* A start whose answer is the request as it was taken; mast_service_start(). */
struct embed_call *embed_service_start(struct mast_orchestrator *o, const char *json);
