/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The Streaming plugin: what can be asked of mountpoints, typed. Every call takes a handle of janus.plugin.streaming and
 * answers once; a request that Janus would misunderstand is refused before it is sent (r = -EINVAL, text names the field).
 * `disable` always says stop_recording:false, without which Janus 1.1.2 crashes. Control loop.
 */
#include "peer/janus/janus.h"
#include "peer/janus/janus_models.h"

#define JANUS_STREAMING "janus.plugin.streaming"

/* Codes of the plugin that callers act on. */
enum {
    JANUS_STREAMING_NO_SUCH = 455,
    JANUS_STREAMING_CANT_CREATE = 456, /* also: the id exists */
    JANUS_STREAMING_UNAUTHORIZED = 457,
};

/* Normalises (mids, mindex, payload types) and checks. Not for_create: codecs and ports may be absent, `info` tells them. */
int janus_mountpoint_check(struct janus_mountpoint *m, bool for_create, struct error *err);

/* One track of a mountpoint, as Janus has it. */
struct janus_track_info {
    enum janus_media type;
    char mid[64];
    char label[64]; /* cut when it is longer */
    char codec[32];
    int32_t mindex;
    int32_t pt;
    uint16_t port, rtcp_port, port_2, port_3; /* 0 = not told: a wrong secret hides them */
    int64_t age_ms; /* since the last packet, or since creation when none came; -1 = not told */
};

struct janus_mountpoint_info {
    struct model_id id; /* its text is the caller's to copy */
    const char *name,
        *type; /* "live", "on demand"; NULL = not told, which a list never tells of the name */
    const char *description, *metadata;
    bool enabled;
    bool is_private; /* told to who has the secret, and in lists */
    bool complete;   /* the secret was right, or none is needed: ports and viewers are told */
    int64_t viewers;
    char host[64]; /* the address it listens at, when it was asked for one; "" = any */
    unsigned n_tracks;
    const struct janus_track_info *tracks;
};

/* info is NULL unless res->r is 0. */
typedef void (*janus_mountpoint_fn)(void *user, const struct janus_result *res,
                                    const struct janus_mountpoint_info *info);
typedef void (*janus_mountpoints_fn)(void *user, const struct janus_result *res,
                                     const struct janus_mountpoint_info *infos, unsigned n);

/* info: id, and the ports by mid. m->enabled false is not looked at: disable it afterwards. */
struct janus_call *janus_streaming_create(struct janus_handle *h, const struct janus_mountpoint *m,
                                          janus_mountpoint_fn done, void *user);
struct janus_call *janus_streaming_info(struct janus_handle *h, const struct model_id *id,
                                        const char *secret, janus_mountpoint_fn done, void *user);
/* admin_key NULL: without private ones. A server that has more than 10000 is not listed: -EPROTO. */
struct janus_call *janus_streaming_list(struct janus_handle *h, const char *admin_key,
                                        janus_mountpoints_fn done, void *user);
/* res refuses a create because a port of a track is somebody else's; which one, Janus does not say. */
bool janus_streaming_port_taken(const struct janus_result *res);
struct janus_streaming_edit {
    const char *new_description, *new_metadata, *new_secret, *new_pin; /* NULL = unchanged */
    int new_is_private;                                                /* -1 = unchanged */
    bool permanent;
};
struct janus_call *janus_streaming_edit(struct janus_handle *h, const struct model_id *id,
                                        const char *secret, const struct janus_streaming_edit *edit,
                                        janus_done_fn done, void *user);
struct janus_call *janus_streaming_enable(struct janus_handle *h, const struct model_id *id,
                                          const char *secret, bool enabled, janus_done_fn done,
                                          void *user);
struct janus_call *janus_streaming_destroy(struct janus_handle *h, const struct model_id *id,
                                           const char *secret, bool permanent, janus_done_fn done,
                                           void *user);
