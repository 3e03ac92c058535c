/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The publisher's handle on its session's loop. What the session does in a pass is queued in order and handed to the home
 * loop as one message at the end of the pass; the home answers by messages that name the publisher by id.
 */
#include "base/log.h"
#include "engine/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

LOG_TOPIC(topic, "engine.publisher");

struct publisher {
    struct session s;
    struct publisher_ops ops;
    void *user;
    struct feed *feed; /* belongs to the home loop; only its address is used here */
    bool derived;
    struct feed_msg *queue; /* what was done since the last flush; NULL = nothing */
    bool direct;            /* at home and admitted: the home is called, not sent to */
    struct loop_task flush; /* LOOP_STAGE_MEDIA */
    struct loop_task fail;  /* LOOP_STAGE_NOTIFY: refused before it began */
    struct error refusal;
};

static struct feed_item *push_item(struct publisher *p, enum feed_item_kind kind)
{
    if (!p->queue) {
        p->queue = mem_new(struct feed_msg);
        p->queue->msg.deliver = feed_deliver;
        p->queue->feed = p->feed;
    }
    struct feed_msg *q = p->queue;
    if (q->n == q->cap) {
        q->cap = q->cap ? q->cap * 2 : 16;
        q->items = mem_realloc(q->items, q->cap * sizeof(*q->items));
    }
    loop_defer(p->s.el->loop, LOOP_STAGE_MEDIA, &p->flush);
    struct feed_item *item = &q->items[q->n++];
    *item = (struct feed_item){.kind = kind};
    return item;
}

static void on_flush(struct loop_task *t)
{
    struct publisher *p = CONTAINER_OF(t, struct publisher, flush);
    if (!p->queue) {
        return;
    }
    if (p->direct) {
        feed_handle(p->queue);
    } else {
        loop_post(p->s.stream->home->loop, &TAKE_PTR(p->queue)->msg);
    }
}

static void on_fail(struct loop_task *t)
{
    struct publisher *p = CONTAINER_OF(t, struct publisher, fail);
    p->ops.on_close(p->user, p->refusal.code, p->refusal.text);
}

/* Leaves the stream. Always as a message, so that nobody's callbacks run inside a session's close. */
static void detach(struct publisher *p)
{
    loop_task_cancel(&p->fail);
    if (!p->s.attached) {
        return;
    }
    push_item(p, FEED_ITEM_CLOSE);
    loop_task_cancel(&p->flush);
    loop_post(p->s.stream->home->loop, &TAKE_PTR(p->queue)->msg);
    session_detach(&p->s);
    p->s.stream = NULL;
    p->feed = NULL;
    COUNT_SUB(p->s.e, publishers, 1);
}

static struct feed *feed_new(const struct publisher *p)
{
    struct feed *f = mem_new(struct feed);
    f->stream = p->s.stream;
    f->publisher = session_id(&p->s);
    f->loop = p->s.el->index;
    f->wants_keys = p->ops.on_key_wanted != NULL;
    f->derived = p->derived;
    session_id_format(&p->s, f->session);
    snprintf(f->protocol, sizeof(f->protocol), "%s", p->s.protocol);
    snprintf(f->remote, sizeof(f->remote), "%s", p->s.remote);
    snprintf(f->agent, sizeof(f->agent), "%s", p->s.agent);
    f->since_wall_ns = p->s.since_wall_ns;
    return f;
}

static int attach(struct publisher *p, const char *path, struct error *err)
{
    char parent[STREAM_PATH_MAX + 1];
    int r = p->derived && stream_path_derived(path, parent) ? 0 : stream_path_check(path, err);
    r = r < 0 ? r : session_check(&p->s, err);
    if (r < 0) {
        return r;
    }
    if (engine_over_budget(p->s.e)) {
        return error_set(err, -ENOBUFS, path, "the server is over its media memory budget");
    }
    r = stream_get(p->s.e, p->s.el, path, true, &p->s.stream, err);
    if (r < 0) {
        return r;
    }
    session_attach(&p->s);
    p->feed = feed_new(p);
    COUNT_ADD(p->s.e, publishers, 1);
    push_item(p, FEED_ITEM_OPEN);
    return 0;
}

struct publisher *publisher_open(struct engine *e, struct loop *l,
                                 const struct publisher_info *info, const struct publisher_ops *ops,
                                 void *user)
{
    struct publisher *p = mem_new(struct publisher);
    p->s.kind = SESSION_PUBLISHER;
    p->s.e = engine_ref(e);
    p->s.el = engine_loop_of(e, l);
    assert(p->s.el);
    p->s.serial = info->access_serial;
    p->s.expires_ns = info->access_expires_mono_ns;
    snprintf(p->s.protocol, sizeof(p->s.protocol), "%s", info->protocol ? info->protocol : "");
    snprintf(p->s.remote, sizeof(p->s.remote), "%s", info->remote ? info->remote : "");
    snprintf(p->s.agent, sizeof(p->s.agent), "%s", info->agent ? info->agent : "");
    p->derived = info->derived;
    p->ops = *ops;
    p->user = user;
    loop_task_init(&p->flush, on_flush);
    loop_task_init(&p->fail, on_fail);
    if (attach(p, info->path, &p->refusal) < 0) {
        COUNT_ADD(e, refused, 1);
        loop_defer(l, LOOP_STAGE_NOTIFY, &p->fail);
    }
    return p;
}

void publisher_tracks(struct publisher *p, const struct publisher_track *tracks, unsigned n)
{
    assert(n <= TRACKS_MAX);
    if (!p->s.attached) {
        return;
    }
    struct feed_tracks *ft = mem_new(struct feed_tracks);
    ft->n = n;
    for (unsigned i = 0; i < n; i++) {
        ft->tracks[i] = tracks[i];
        if (tracks[i].params) {
            track_params_ref(tracks[i].params);
        }
    }
    push_item(p, FEED_ITEM_TRACKS)->tracks = ft;
}

void publisher_write(struct publisher *p, struct sample **s)
{
    if (!p->s.attached) {
        sample_unref(s);
        return;
    }
    push_item(p, FEED_ITEM_SAMPLE)->sample = TAKE_PTR(*s);
}

void publisher_discontinuity(struct publisher *p)
{
    if (p->s.attached) {
        push_item(p, FEED_ITEM_BREAK);
    }
}

struct publisher *publisher_close(struct publisher *p)
{
    if (!p) {
        return NULL;
    }
    detach(p);
    engine_unref(p->s.e);
    free(p);
    return NULL;
}

void publisher_kill(struct session *s, int r, const char *why)
{
    struct publisher *p = CONTAINER_OF(s, struct publisher, s);
    detach(p);
    p->ops.on_close(p->user, r, why);
}

/* ---- news from the home ---- */

struct news_msg {
    struct loop_msg msg;
    struct engine_loop *el; /* with a reference to its engine */
    struct session_id id;
    enum publisher_news news;
    int r;
    char why[160];
};

static void deliver_news(struct loop *l, struct loop_msg *m)
{
    struct news_msg *n = CONTAINER_OF(m, struct news_msg, msg);
    struct session *s = session_find(n->el, n->id);
    if (s) {
        struct publisher *p = CONTAINER_OF(s, struct publisher, s);
        switch (n->news) {
        case PUBLISHER_OPENED:
            /* Until now messages were on their way, behind those of a publisher that left just before. */
            p->direct = s->stream->home == s->el;
            p->ops.on_open(p->user);
            break;
        case PUBLISHER_CLOSED:
            log_debug("%s: %s", s->stream->path, n->why);
            publisher_kill(s, n->r, n->why);
            break;
        case PUBLISHER_KEY_WANTED:
            p->ops.on_key_wanted(p->user);
            break;
        }
    }
    engine_unref(n->el->e);
    free(n);
}

void publisher_post_news(struct engine *e, struct session_id id, enum publisher_news news, int r,
                         const char *why)
{
    struct news_msg *n = mem_new(struct news_msg);
    *n = (struct news_msg){
        .msg.deliver = deliver_news, .el = e->loops[id.loop], .id = id, .news = news, .r = r};
    snprintf(n->why, sizeof(n->why), "%s", why ? why : "");
    engine_ref(e);
    loop_post(n->el->loop, &n->msg);
}
