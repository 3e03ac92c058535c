/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The VideoRoom plugin's requests, answers and events as text. Sans I/O. What each looks like:
 * specs/janus-obs-reference.md 1.6, recorded from Janus 1.1.2.
 */
#include "peer/janus/janus_room.h"

/* Each returns a JSON text to be freed, or NULL and err (all zero before) for what is no text. What is put was checked. */
char *janus_room_put_create(const struct janus_room *r, struct error *err);
char *janus_room_put_edit(const struct janus_room *r, const char *secret, struct error *err);
/* exists, listparticipants, listforwarders, destroy: permanent -1 = not said. */
char *janus_room_put_simple(const char *request, const struct model_id *room, const char *secret,
                            int permanent, struct error *err);
char *janus_room_put_list(const char *admin_key, struct error *err);
char *janus_room_put_forward(const struct janus_forward *f, struct error *err);
char *janus_room_put_stop_forward(const struct model_id *room, const struct model_id *publisher,
                                  int64_t stream_id, const char *secret, const char *admin_key,
                                  struct error *err);
char *janus_room_put_join(const struct model_id *room, const char *display, const char *pin,
                          const char *token, struct error *err);

/* All that the plugin says, answers and events; owns what it points to. */
struct janus_room_said {
    char *videoroom; /* the word: "created", "participants", "joined", "event", ... */
    struct model_id room;
    bool exists;
    int32_t error_code;
    unsigned n_rooms;
    struct janus_room_info *rooms; /* "success" with a list */
    unsigned n_participants;
    struct janus_participant *participants;
    unsigned n_forwarders;
    struct janus_forwarder *forwarders; /* of rtp_forward and of listforwarders */
    unsigned n_feeds;
    struct janus_feed *feeds; /* publishers of joined and event */
    struct model_id gone;     /* who left, unpublished or was kicked; none: nobody */
    const char *gone_why;     /* "left", "unpublished", "kicked"; NULL = nobody */
    bool self_gone;           /* we are out of the room */
    const char *self_why;     /* "kicked", or what Janus says; "" = nothing */
    void *document;           /* private */
};
int janus_room_parse(struct bytes data, struct janus_room_said *ret, struct error *err);
void janus_room_said_done(struct janus_room_said *s);
