/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "broadcast_rig.h"

#include "../await.h"

#include <stdio.h>
#include <stdlib.h>

void broadcast_rig_init(struct broadcast_rig *g, struct loop *l)
{
    g->l = l;
    snprintf(g->dir, sizeof(g->dir), "/tmp/mast-test-XXXXXX");
    assert_non_null(mkdtemp(g->dir));
}

void broadcast_rig_open(struct broadcast_rig *g, const struct janus_server_config *server,
                        const struct broadcasts_config *config)
{
    struct broadcasts_config c = *config;
    struct error err = {0};
    if (store_open(&(struct store_config){.dir = g->dir}, &g->store, &err) < 0 ||
        seal_ring_open(g->dir, &g->ring, &err) < 0) {
        fail_msg("%s", err.text);
    }
    g->janus = janus_servers_new(g->l, server, 1);
    c.control = g->l;
    c.store = g->store;
    c.ring = g->ring;
    c.janus = g->janus;
    g->service = broadcasts_new(&c);
    if (broadcasts_load(g->service, &err) < 0) {
        fail_msg("%s", err.text);
    }
}

void broadcast_rig_drop(struct broadcast_rig *g)
{
    g->service = broadcasts_free(g->service);
    g->janus = janus_servers_free(g->janus);
    g->store = store_close(g->store);
    g->ring = seal_ring_free(g->ring);
}

static void on_left(void *user)
{
    ((struct broadcast_rig *)user)->left = true;
}

void broadcast_rig_leave(struct broadcast_rig *g, enum broadcasts_leave how)
{
    g->left = false;
    broadcasts_leave(g->service, how, 30000, on_left, g);
    RUN_UNTIL(g->l, g->left);
}

void broadcast_rig_remove(struct broadcast_rig *g)
{
    char cmd[96];
    broadcast_rig_drop(g);
    snprintf(cmd, sizeof(cmd), "rm -r %s", g->dir);
    assert_int_equal(system(cmd), 0);
}

void broadcast_rig_done(struct broadcast_rig *g)
{
    broadcast_rig_leave(g, BROADCASTS_STOP);
    broadcast_rig_remove(g);
}

struct broadcast *broadcast_rig_begin(struct broadcast_rig *g, const char *json)
{
    struct broadcast_request q;
    struct broadcast *b = NULL;
    struct error err = {0};
    if (broadcast_request_parse(&q, BYTES_STR(json), 0, &err) < 0 ||
        broadcasts_start(g->service, &q, &b, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    return b;
}
