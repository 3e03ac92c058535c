/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The two plugins of a fake Janus, so far as broadcasts use them: a room, a mountpoint, forwarders, one publisher. What is
 * asked takes effect at once; its answer can be held back until the test wants it, or be another one than is fit. Requests
 * are called by their names, those that both plugins have by create_room, create_mountpoint, destroy_room,
 * destroy_mountpoint.
 */
#include "base/bytes.h"
#include "fake_janus.h"

#define FAKE_FORWARDERS_MAX 16

struct fake_forwarder {
    int64_t id, publisher;
    unsigned port;
};

struct fake_plugins {
    struct fake_janus janus; /* first */
    /* What is there. */
    bool room;
    bool mountpoint, enabled;
    char *metadata;
    unsigned port; /* of its one track; the next one's are others */
    bool simulcast;
    int64_t publisher; /* 0 = nobody publishes */
    struct fake_forwarder forwarders[FAKE_FORWARDERS_MAX];
    unsigned n_forwarders;
    unsigned strays; /* stops of forwarders that were not there */
    int64_t next_id;
    unsigned joined;  /* how often the room was joined */
    struct out asked; /* names of what was asked, a blank behind each */
    /* What a test wants otherwise: by name; NULL = nothing. */
    const char *hold; /* not answered before fake_plugins_release() */
    char held[32];    /* its transaction; "" = it was not asked yet */
    char *held_data;
    const char *instead; /* is answered with instead_data, again and again */
    const char *instead_data;
    bool instead_acts; /* it has its effect nevertheless */
};

void fake_plugins_start(struct fake_plugins *f, struct loop *l);
void fake_plugins_stop(struct fake_plugins *f);
/* The answer that was held back is given now; nothing is held any more. */
void fake_plugins_release(struct fake_plugins *f);
/* Told to who joined the room. */
void fake_plugins_publish(struct fake_plugins *f, int64_t id);
void fake_plugins_unpublish(struct fake_plugins *f);
bool fake_plugins_was_asked(struct fake_plugins *f, const char *name);
