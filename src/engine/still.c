/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The newest key frame of a stream for somebody who is no reader: one message to the home loop and one back. The home looks
 * into its history, which it has anyway; nothing is counted, nobody is told.
 */
#include "engine/internal.h"

#include <errno.h>

struct key_ask {
    struct loop_msg msg;
    struct stream *stream; /* a user of it until the home has looked */
    struct engine *e;      /* owns a reference */
    struct loop *asker;
    struct sample *key;
    engine_key_fn done;
    void *user;
};

/* A group begins with its key frame; other tracks may come first when several samples are of one moment. */
static struct sample *newest_key(const struct stream *s)
{
    const struct ring *ring = &s->replica.ring;
    if (!s->air || !ring->has_start) {
        return NULL;
    }
    for (uint64_t seq = ring->start; seq < ring->next && seq < ring->start + TRACKS_MAX; seq++) {
        struct sample *k = ring_at(ring, seq);
        if (k && (k->flags & SAMPLE_KEY) && k->params->kind == TRACK_VIDEO) {
            return sample_ref(k);
        }
    }
    return NULL;
}

static void deliver_back(struct loop *l, struct loop_msg *m)
{
    struct key_ask *a = CONTAINER_OF(m, struct key_ask, msg);
    a->done(a->user, a->key);
    if (a->key) {
        sample_unref(&a->key);
    }
    engine_unref(a->e);
    free(a);
}

static void deliver_look(struct loop *l, struct loop_msg *m)
{
    struct key_ask *a = CONTAINER_OF(m, struct key_ask, msg);
    a->key = newest_key(a->stream);
    stream_put(TAKE_PTR(a->stream));
    a->msg.deliver = deliver_back;
    loop_post(a->asker, &a->msg);
}

int engine_key_frame(struct engine *e, struct loop *l, const char *path, engine_key_fn done,
                     void *user)
{
    struct stream *s;
    struct error err = {0};
    char parent[STREAM_PATH_MAX + 1];
    /* The pictures of a derived stream are its parent's, which is there when nobody reads it. */
    const char *of = stream_path_derived(path, parent) ? parent : path;
    int r = stream_get(e, engine_loop_of(e, l), of, false, &s, &err);
    if (r < 0) {
        return r;
    }
    struct key_ask *a = mem_new(struct key_ask);
    a->msg.deliver = deliver_look;
    a->stream = s;
    a->e = engine_ref(e);
    a->asker = l;
    a->done = done;
    a->user = user;
    loop_post(s->home->loop, &a->msg);
    return 0;
}
