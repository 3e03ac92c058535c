/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The Streaming plugin's requests and answers as text. Sans I/O. What each answer looks like: specs/janus-obs-reference.md
 * 1.5, recorded from Janus 1.1.2.
 */
#include "peer/janus/janus_streaming.h"

/* Each returns a JSON text to be freed, or NULL and err (all zero before) for what is no text. m was checked. */
char *janus_streaming_put_create(const struct janus_mountpoint *m, struct error *err);
/* info, enable, disable, destroy: request on an id. permanent -1 = not said. */
char *janus_streaming_put_simple(const char *request, const struct model_id *id, const char *secret,
                                 int permanent, struct error *err);
char *janus_streaming_put_list(const char *admin_key, struct error *err);
char *janus_streaming_put_edit(const struct model_id *id, const char *secret,
                               const struct janus_streaming_edit *edit, struct error *err);

/* What create, info and list answer; owns what infos point to. */
struct janus_mountpoints {
    struct janus_mountpoint_info *infos;
    unsigned n;
    struct janus_track_info *tracks; /* private: of all */
    void *document;                  /* private */
};
/* -EPROTO when it is none of the three. */
int janus_streaming_parse(struct bytes data, struct janus_mountpoints *ret, struct error *err);
void janus_mountpoints_done(struct janus_mountpoints *m);
