/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The VideoRoom plugin: what can be asked of rooms and forwarders, typed, and a listener that sits in a room to hear who
 * publishes and who leaves. Calls take a handle of janus.plugin.videoroom and answer once. A forward that Janus "accepts"
 * without making a forwarder (a wrong mid, a publisher that left) is r = -ENODATA here. Control loop.
 */
#include "peer/janus/janus.h"
#include "peer/janus/janus_models.h"

#define JANUS_VIDEOROOM "janus.plugin.videoroom"

enum {
    JANUS_ROOM_NO_SUCH = 426,
    JANUS_ROOM_EXISTS = 427,
    JANUS_ROOM_NO_FEED = 428,
    JANUS_ROOM_UNAUTHORIZED = 433,
};

int janus_room_check(struct janus_room *r, struct error *err);
int janus_forward_check(struct janus_forward *f, struct error *err);

typedef void (*janus_exists_fn)(void *user, const struct janus_result *res, bool exists);
struct janus_call *janus_room_exists(struct janus_handle *h, const struct model_id *room,
                                     janus_exists_fn done, void *user);
/* res->r = -EREMOTEIO with code 427 when it is there already. id: the room's, which Janus may have chosen. */
typedef void (*janus_room_fn)(void *user, const struct janus_result *res,
                              const struct model_id *id);
struct janus_call *janus_room_create(struct janus_handle *h, const struct janus_room *room,
                                     janus_room_fn done, void *user);
/* Fields that are there become new_...; secret is the room's present one. */
struct janus_call *janus_room_edit(struct janus_handle *h, const struct janus_room *room,
                                   const char *secret, janus_done_fn done, void *user);
struct janus_call *janus_room_destroy(struct janus_handle *h, const struct model_id *room,
                                      const char *secret, bool permanent, janus_done_fn done,
                                      void *user);

struct janus_room_info {
    struct model_id room;
    const char *description;
    bool pin_required, is_private, record;
    int64_t participants, publishers_max;
    int64_t bitrate;  /* bit/s of each publisher; 0 = no bound */
    int64_t fir_freq; /* seconds; 0 = never */
    const char *audiocodec, *videocodec;
};
typedef void (*janus_rooms_fn)(void *user, const struct janus_result *res,
                               const struct janus_room_info *rooms, unsigned n);
struct janus_call *janus_room_list(struct janus_handle *h, const char *admin_key,
                                   janus_rooms_fn done, void *user);

struct janus_participant {
    struct model_id id;
    const char *display; /* "" = none */
    bool publisher;
    bool talking; /* where the room looks for it */
};
typedef void (*janus_participants_fn)(void *user, const struct janus_result *res,
                                      const struct janus_participant *p, unsigned n);
struct janus_call *janus_room_participants(struct janus_handle *h, const struct model_id *room,
                                           janus_participants_fn done, void *user);

/* ---- forwarders ---- */

struct janus_forwarder {
    struct model_id publisher_id;
    int64_t stream_id;
    enum janus_media type;
    char host[64];
    uint16_t port;
    int32_t pt;         /* -1 = not told */
    int32_t substream;  /* simulcast; -1 = none */
    int64_t ssrc;       /* 0 = not told */
    uint16_t rtcp_port; /* where key frames are asked for; 0 = nowhere */
    bool srtp;
};
#define JANUS_FORWARDERS_MAX 1024u
typedef void (*janus_forwarders_fn)(void *user, const struct janus_result *res,
                                    const struct janus_forwarder *f, unsigned n);
struct janus_call *janus_room_forward(struct janus_handle *h, const struct janus_forward *forward,
                                      janus_forwarders_fn done, void *user);
struct janus_call *janus_room_forwarders(struct janus_handle *h, const struct model_id *room,
                                         const char *secret, janus_forwarders_fn done, void *user);
struct janus_call *janus_room_stop_forward(struct janus_handle *h, const struct model_id *room,
                                           const struct model_id *publisher, int64_t stream_id,
                                           const char *secret, const char *admin_key,
                                           janus_done_fn done, void *user);

/* ---- a listener in a room ---- */

struct janus_feed_stream {
    enum janus_media type;
    char mid[64];
    char codec[32];
    int32_t mindex;
    bool simulcast;
};
struct janus_feed {
    struct model_id id;
    const char *display;
    unsigned n_streams;
    struct janus_feed_stream streams[JANUS_TRACKS_MAX];
};
struct janus_listener;
struct janus_listener_ops {
    /* Inside, and told who publishes by on_feed; again after each reconnect: feeds that are not told again are gone. */
    void (*on_joined)(void *user);
    /* A publisher is there, or changed what it publishes. */
    void (*on_feed)(void *user, const struct janus_feed *feed);
    /* It unpublished, left or was kicked (once, whichever came first); its forwarders are gone. */
    void (*on_feed_gone)(void *user, const struct model_id *id, const char *why);
    /* The room is gone, or we may not enter, or were kicked: code and text are Janus' words. It keeps trying unless permanent. */
    void (*on_out)(void *user, const struct error *err, int code, bool permanent);
};
struct janus_listener_config {
    const struct model_id *room;
    const char *display; /* NULL = "mast" */
    const char *pin, *token;
};
/* Joins as a publisher that never publishes, on a handle of its own: others see publisher:false. */
struct janus_listener *janus_listener_new(struct janus *j,
                                          const struct janus_listener_config *config,
                                          const struct janus_listener_ops *ops, void *user);
/* Leaves. NULL is fine; returns NULL. */
struct janus_listener *janus_listener_free(struct janus_listener *l);
