/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The Janus servers of the configuration: one connection each, made when first needed and kept, with one handle of the
 * Streaming and one of the VideoRoom plugin that all broadcasts share; ears in rooms, one participant per room however many
 * broadcasts listen; and looks at a room's forwarders, one list however many ask. Control loop.
 */
#include "peer/janus/janus_room.h"
#include "peer/janus/janus_streaming.h"
#include "service/broadcast/rtp_ports.h"

/* An entry of `janus` in mast.yml. */
struct janus_server_config {
    char *name;
    char *url;
    char *ca; /* PEM file of who may have made its certificate; NULL: the system's authorities */
    char *api_secret, *token;
    char *admin_key;      /* of the Streaming plugin; used where a request brings none */
    char *room_admin_key; /* of the VideoRoom plugin */
    bool string_ids;      /* both plugins are configured so: ids that we choose are text */
    char *public_url;     /* told to browsers that shall join; NULL: not told */
    char *rtp_ports;      /* "20000-20999": of mountpoints that name none; NULL: Janus chooses */
};
struct janus_server_list {
    MODEL_ARRAY(struct janus_server_config) items;
};
extern const struct model janus_server_model;

struct janus_servers;
struct janus_server;
struct tls_context;

/* items are copied; none: "main" at ws://127.0.0.1:8188, where Janus is on a fresh Debian. */
struct janus_servers *janus_servers_new(struct loop *l, const struct janus_server_config *items,
                                        size_t n);
/* For those whose url is wss://; borrowed, longer than this. Before any is first needed. */
void janus_servers_secure(struct janus_servers *s, struct tls_context *tls);
/* For this server alone, in place of its `ca`; tls is taken over. Before it is first needed. -ENOENT, and tls is the caller's. */
int janus_servers_trust(struct janus_servers *s, const char *name, struct tls_context *tls);
/*
 * Of this server somebody else has the session: instead of connecting to its url. Before it is first needed; source stays the
 * caller's, longer than this. -ENOENT.
 */
int janus_servers_back(struct janus_servers *s, const char *name, const struct janus_source *source,
                       void *source_user);
/* No server is in use any more. NULL is fine; returns NULL. */
struct janus_servers *janus_servers_free(struct janus_servers *s);
/* name NULL: the first. Connects when it is not yet. -ENOENT, or its URL cannot be used. */
int janus_servers_get(struct janus_servers *s, const char *name, struct janus_server **ret,
                      struct error *err);
/* -ENOENT; without connecting. */
int janus_servers_find(struct janus_servers *s, const char *name,
                       const struct janus_server_config **ret, struct error *err);
unsigned janus_servers_len(const struct janus_servers *s);
const struct janus_server_config *janus_servers_config(const struct janus_servers *s, unsigned i);
/* NULL: never needed yet. */
struct janus *janus_servers_client(const struct janus_servers *s, unsigned i);

const struct janus_server_config *janus_server_config(const struct janus_server *s);
struct janus *janus_server_client(struct janus_server *s);
struct janus_handle *janus_server_streaming(struct janus_server *s);
struct janus_handle *janus_server_rooms(struct janus_server *s);
/* Connected, both handles attached: requests can be sent. */
bool janus_server_ready(const struct janus_server *s);
/* Why not, with the server's name: "janus main: connection refused"; never NULL. */
const char *janus_server_reason(struct janus_server *s);

/* Of rtp_ports; first is 0 when Janus chooses. */
const struct rtp_port_range *janus_server_ports(const struct janus_server *s);
/* Pairs that Janus could not have, because somebody else does; forgotten when it is started anew. The caller's to change. */
struct rtp_port_set *janus_server_taken(struct janus_server *s);
uint16_t *janus_server_next_port(struct janus_server *s);

/* Told of each change; embedded in who uses the server. The callbacks may take themselves and others off. */
struct janus_server_user {
    struct list node; /* private; list_init() before first use */
    /* lost: what was made at the server may be gone (another session). */
    void (*on_ready)(struct janus_server_user *u, bool lost);
    void (*on_down)(struct janus_server_user *u); /* and for each try after it that failed */
};
void janus_server_use(struct janus_server *s, struct janus_server_user *u);
void janus_server_leave(struct janus_server_user *u);

/* ---- ears in a room ---- */

struct room_ear;
struct room_ear_ops {
    /* Inside: room_ear_find() tells who publishes. Also after each return. */
    void (*on_in)(void *user);
    void (*on_feed)(void *user, const struct janus_feed *feed);
    void (*on_feed_gone)(void *user, const struct model_id *id, const char *why);
    /* Not inside: why, in Janus' words. It keeps trying unless permanent. */
    void (*on_out)(void *user, const struct error *err, int code, bool permanent);
};
struct room_ear_config {
    struct model_id room; /* borrowed, as all text here: copied */
    const char *display, *pin;
};
/* Ears of one room, display and pin share a participant. */
struct room_ear *room_ear_new(struct janus_server *s, const struct room_ear_config *config,
                              const struct room_ear_ops *ops, void *user);
struct room_ear *room_ear_free(struct room_ear *e); /* NULL is fine; returns NULL */
bool room_ear_is_in(const struct room_ear *e);
/* Why it is not inside, told before this ear was there; NULL: inside, or not known yet. */
const struct error *room_ear_out(const struct room_ear *e, int *ret_code, bool *ret_permanent);
/* By id when it is one, else by display, else (both NULL) any; NULL: it does not publish. Valid until the next callback. */
const struct janus_feed *room_ear_find(const struct room_ear *e, const struct model_id *id,
                                       const char *display);

/* ---- looks at a room's forwarders ---- */

/*
 * Embedded in who asks. Janus tells all forwarders of a room or none, so that a check of each broadcast by itself would cost the
 * square of their number: who asks for the same room within a moment is answered by one list, which is asked for after it.
 */
struct forward_look {
    struct list node; /* private; zeroed before first use */
    struct forward_round *round;
    janus_forwarders_fn fn; /* once, later, unless cancelled; may free the look or begin it again */
    void *user;
};
/* Not one that is under way. secret may be NULL. */
void forward_look(struct janus_server *s, const struct model_id *room, const char *secret,
                  struct forward_look *look);
/* The same for a start, which does not wait a moment: asked for at once, or when the list that is under way has come. */
void forward_look_soon(struct janus_server *s, const struct model_id *room, const char *secret,
                       struct forward_look *look);
/* fn does not come any more; also of one that is not under way. */
void forward_look_cancel(struct forward_look *look);
