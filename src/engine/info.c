/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking at streams and ending sessions from the control loop. A walk is one message that visits the loops one after the
 * other and ends on the control loop: each loop adds what it owns, nobody waits, and memory is bounded by streams_max and
 * SHOW_READERS_MAX.
 */
#include "base/clock.h"
#include "engine/reader.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SHOW_READERS_MAX 1000

/* What one loop knows of a stream's readers. */
struct readers_part {
    char path[STREAM_PATH_MAX + 1];
    uint32_t n_readers;
    uint64_t bytes_out, dropped;
};

struct walk {
    struct loop_msg msg;
    struct engine *e; /* owns a reference */
    unsigned at;      /* the loop it is on */
    void (*visit)(struct walk *w, struct engine_loop *el);
    void (*finish)(struct walk *w);

    char path[STREAM_PATH_MAX + 1]; /* "" = all */
    char id[32];                    /* kick */
    unsigned kicked;
    struct stream_info *infos;
    unsigned n_infos, cap_infos;
    struct readers_part *parts;
    unsigned n_parts, cap_parts;
    struct session_info *readers; /* show only */
    unsigned n_readers;
    struct stream_pulse *pulse; /* show only */

    engine_list_fn list_done;
    engine_show_fn show_done;
    engine_done_fn kick_done;
    void *user;
};

/* ---- walking ---- */

static void walk_free(struct walk *w)
{
    engine_unref(w->e);
    free(w->infos);
    free(w->parts);
    free(w->readers);
    free(w->pulse);
    free(w);
}

static void deliver_finish(struct loop *l, struct loop_msg *m)
{
    struct walk *w = CONTAINER_OF(m, struct walk, msg);
    pthread_mutex_lock(&w->e->lock);
    bool closing = w->e->closing;
    pthread_mutex_unlock(&w->e->lock);
    if (!closing) {
        w->finish(w);
    }
    walk_free(w);
}

static void deliver_visit(struct loop *l, struct loop_msg *m)
{
    struct walk *w = CONTAINER_OF(m, struct walk, msg);
    w->visit(w, w->e->loops[w->at]);
    if (++w->at < w->e->n_loops) {
        loop_post(w->e->loops[w->at]->loop, &w->msg);
    } else {
        w->msg.deliver = deliver_finish;
        loop_post(w->e->control, &w->msg);
    }
}

static struct walk *walk_new(struct engine *e, const char *path, void *user)
{
    struct walk *w = mem_new(struct walk);
    w->msg.deliver = deliver_visit;
    w->e = engine_ref(e);
    w->user = user;
    snprintf(w->path, sizeof(w->path), "%s", path);
    return w;
}

static void walk_start(struct walk *w)
{
    loop_post(w->e->loops[0]->loop, &w->msg);
}

static bool is_asked_for(const struct walk *w, const struct stream *s)
{
    return w->path[0] == '\0' || strcmp(w->path, s->path) == 0;
}

/* ---- what the home knows ---- */

static void fill_track(const struct stream_track *t, struct stream_track_info *ret)
{
    const struct track_params *p = t->params;
    *ret = (struct stream_track_info){.codec = t->codec,
                                      .ready = p != NULL,
                                      .samples = t->samples,
                                      .bytes = t->bytes,
                                      .bitrate_bps = t->bitrate_bps};
    if (p) {
        memcpy(ret->rfc6381, p->rfc6381, sizeof(ret->rfc6381));
        ret->width = p->width;
        ret->height = p->height;
        ret->fps = p->fps_den ? (double)p->fps_num / p->fps_den : 0;
        ret->sample_rate = p->sample_rate;
        ret->channels = p->channels;
    }
}

static void fill_publisher(const struct stream *s, const struct feed *f, struct session_info *ret)
{
    *ret = (struct session_info){.since_wall_ns = f->since_wall_ns, .on_air = s->air == f};
    memcpy(ret->id, f->session, sizeof(ret->id));
    memcpy(ret->protocol, f->protocol, sizeof(ret->protocol));
    memcpy(ret->remote, f->remote, sizeof(ret->remote));
    memcpy(ret->agent, f->agent, sizeof(ret->agent));
    ret->bytes = f->bytes;
    ret->samples = f->samples;
    ret->dropped = f->dropped;
}

static void fill_stream(const struct stream *s, struct stream_info *ret)
{
    const struct ring *ring = &s->replica.ring;
    const struct feed *f = s->air ? s->air : s->next;
    *ret = (struct stream_info){
        .ready = s->state == STREAM_LIVE,
        .on_air = s->air != NULL,
        .since_wall_ns = s->since_wall_ns,
        .epoch = s->stamp.epoch,
        .group = s->stamp.group,
        .n_tracks = s->n_tracks,
        .has_publisher = f != NULL,
        .bytes_in = s->bytes_in,
        .bytes_out = s->bytes_out,
        .dropped = s->dropped,
        .history_ms = (uint32_t)(ring_span_ns(ring) / NS_PER_MS),
        .history_bytes = (uint32_t)ring->bytes,
        .waiting = s->next != NULL || s->state == STREAM_LOST,
    };
    memcpy(ret->path, s->path, sizeof(ret->path));
    if (!stream_path_derived(s->path, ret->parent)) {
        ret->parent[0] = '\0';
    }
    memcpy(ret->reason, s->replica.view.reason, sizeof(ret->reason));
    for (unsigned i = 0; i < s->n_tracks; i++) {
        fill_track(&s->tracks[i], &ret->tracks[i]);
        ret->bitrate_in_bps += ret->tracks[i].bitrate_bps;
    }
    if (f) {
        fill_publisher(s, f, &ret->publisher);
    }
}

static void collect_home(struct walk *w, const struct stream *s)
{
    if (w->n_infos == w->cap_infos) {
        w->cap_infos = w->cap_infos ? w->cap_infos * 2 : 1;
        w->infos = mem_realloc(w->infos, w->cap_infos * sizeof(*w->infos));
    }
    fill_stream(s, &w->infos[w->n_infos++]);
}

/* ---- what every loop knows ---- */

static void fill_reader(const struct reader *r, struct session_info *ret)
{
    *ret = (struct session_info){
        .since_wall_ns = r->s.since_wall_ns,
        .bytes = r->bytes,
        .samples = r->samples,
        .dropped = r->dropped,
        .behind_ns = reader_behind_ns(r),
        .jumps = r->jumps,
        .blocked = r->index >= r->replica->n_active,
        .state = r->state,
    };
    session_id_format(&r->s, ret->id);
    memcpy(ret->protocol, r->s.protocol, sizeof(ret->protocol));
    memcpy(ret->remote, r->s.remote, sizeof(ret->remote));
    memcpy(ret->agent, r->s.agent, sizeof(ret->agent));
}

static void collect_readers(struct walk *w, const struct replica *rep)
{
    if (w->n_parts == w->cap_parts) {
        w->cap_parts = w->cap_parts ? w->cap_parts * 2 : 1;
        w->parts = mem_realloc(w->parts, w->cap_parts * sizeof(*w->parts));
    }
    struct readers_part *part = &w->parts[w->n_parts++];
    *part = (struct readers_part){
        .n_readers = rep->n_readers, .bytes_out = rep->bytes_out, .dropped = rep->dropped};
    memcpy(part->path, rep->stream->path, sizeof(part->path));
    for (uint32_t i = 0; i < rep->n_readers; i++) {
        part->bytes_out += rep->readers[i]->bytes;
        part->dropped += rep->readers[i]->dropped;
        if (w->readers && w->n_readers < SHOW_READERS_MAX) {
            fill_reader(rep->readers[i], &w->readers[w->n_readers++]);
        }
    }
}

static void visit_look(struct walk *w, struct engine_loop *el)
{
    LIST_FOREACH (it, &el->streams) {
        const struct stream *s = LIST_ENTRY(it, struct stream, node);
        if (is_asked_for(w, s)) {
            collect_home(w, s);
            if (w->pulse) {
                pulse_show(&s->pulse, engine_now_ns(el), w->pulse);
            }
            collect_readers(w, &s->replica);
        }
    }
    LIST_FOREACH (it, &el->replicas) {
        const struct replica *rep = LIST_ENTRY(it, struct replica, node);
        if (is_asked_for(w, rep->stream)) {
            collect_readers(w, rep);
        }
    }
}

/* ---- put together on the control loop ---- */

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct stream_info *)a)->path, ((const struct stream_info *)b)->path);
}

static int path_to_info(const void *path, const void *info)
{
    return strcmp(path, ((const struct stream_info *)info)->path);
}

static void merge(struct walk *w)
{
    if (w->n_infos == 0) {
        return;
    }
    qsort(w->infos, w->n_infos, sizeof(*w->infos), by_path);
    for (unsigned i = 0; i < w->n_parts; i++) {
        const struct readers_part *part = &w->parts[i];
        struct stream_info *info =
            bsearch(part->path, w->infos, w->n_infos, sizeof(*w->infos), path_to_info);
        if (info) {
            info->n_readers += part->n_readers;
            info->bytes_out += part->bytes_out;
            info->dropped += part->dropped;
        }
    }
}

static void finish_list(struct walk *w)
{
    merge(w);
    w->list_done(w->user, w->infos, w->n_infos);
}

static void finish_show(struct walk *w)
{
    merge(w);
    if (w->n_infos > 0) {
        w->infos[0].readers = w->readers;
        w->infos[0].n_listed = w->n_readers;
        w->infos[0].pulse = w->pulse;
    }
    w->show_done(w->user, w->n_infos > 0 ? &w->infos[0] : NULL);
}

void engine_list(struct engine *e, engine_list_fn done, void *user)
{
    struct walk *w = walk_new(e, "", user);
    w->visit = visit_look;
    w->finish = finish_list;
    w->list_done = done;
    walk_start(w);
}

void engine_show(struct engine *e, const char *path, engine_show_fn done, void *user)
{
    struct walk *w = walk_new(e, path, user);
    w->visit = visit_look;
    w->finish = finish_show;
    w->show_done = done;
    w->readers = mem_new_array(struct session_info, SHOW_READERS_MAX);
    w->pulse = mem_new(struct stream_pulse);
    walk_start(w);
}

/* ---- kick ---- */

static bool is_kicked(const struct session *s, const void *arg)
{
    const struct walk *w = arg;
    if (strcmp(s->stream->path, w->path) != 0) {
        return false;
    }
    if (strcmp(w->id, "all") == 0) {
        return true;
    }
    if (strcmp(w->id, "publisher") == 0) {
        return s->kind == SESSION_PUBLISHER;
    }
    if (strcmp(w->id, "readers") == 0) {
        return s->kind == SESSION_READER;
    }
    char id[32];
    session_id_format(s, id);
    return strcmp(id, w->id) == 0;
}

static void visit_kick(struct walk *w, struct engine_loop *el)
{
    w->kicked += session_kill_if(el, is_kicked, w, -ECONNABORTED, "kicked");
}

static void finish_kick(struct walk *w)
{
    w->kick_done(w->user, w->kicked > 0 ? 0 : -ENOENT);
}

void engine_kick(struct engine *e, const char *path, const char *id, engine_done_fn done,
                 void *user)
{
    struct walk *w = walk_new(e, path, user);
    snprintf(w->id, sizeof(w->id), "%s", id);
    w->visit = visit_kick;
    w->finish = finish_kick;
    w->kick_done = done;
    walk_start(w);
}
