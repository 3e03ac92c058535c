/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * An RTP sender (protocol/rtp) on its media loop, as the control loop has it. What it says is one picture of the sender, told when
 * its state changes, when it ends, and when asked.
 */
#include "protocol/rtp/rtp_sender.h"

struct media_sender;

struct media_sender_view {
    enum reader_state state;
    bool ended; /* dead: close it */
    enum rtp_sender_end end;
    char why[160];    /* of the state, or the end; "" = nothing to say */
    uint64_t packets; /* of all tracks */
    uint64_t b_dropped;
    uint64_t key_requests;
};
/* media_sender_close() may be called in it. */
typedef void (*media_sender_fn)(void *user, const struct media_sender_view *v);

/* config is copied. What goes wrong is told as an end. */
struct media_sender *media_sender_open(struct engine *e, struct loop *control, struct loop *media,
                                       const struct rtp_sender_config *config, media_sender_fn told,
                                       void *user);
void media_sender_ask(struct media_sender *s);
/* Nothing is told any more. NULL is fine; returns NULL. */
struct media_sender *media_sender_close(struct media_sender *s);
