/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Broadcasts that are written down, for a test: a store in a folder of its own, one Janus server, and the service, which can be
 * dropped and opened again as if the process had been killed.
 */
#include "base/mem.h"
#include "service/broadcast/broadcast.h"

struct broadcast_rig {
    struct loop *l;
    char dir[64];
    struct store *store;
    struct seal_ring *ring;
    struct janus_servers *janus;
    struct broadcasts *service;
    bool left;
};

/* The folder; l is the caller's. */
void broadcast_rig_init(struct broadcast_rig *g, struct loop *l);
/* config without loop, store, ring and janus, which are the rig's. Reads what an earlier service has left. */
void broadcast_rig_open(struct broadcast_rig *g, const struct janus_server_config *server,
                        const struct broadcasts_config *config);
/* As a kill -9 would: nothing outside is undone. */
void broadcast_rig_drop(struct broadcast_rig *g);
void broadcast_rig_leave(struct broadcast_rig *g, enum broadcasts_leave how);
/* Drops, removes the folder. */
void broadcast_rig_remove(struct broadcast_rig *g);
/* Leaves first. */
void broadcast_rig_done(struct broadcast_rig *g);
/* What is refused fails the test. */
struct broadcast *broadcast_rig_begin(struct broadcast_rig *g, const char *json);
