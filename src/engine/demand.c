/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams that are made when somebody reads them: counts readers, of all loops, on the stream's home, and tells the maker when
 * to start and to stop. It looks at the end of a pass, so that nothing is started inside a call of a reader.
 */
#include "base/log.h"
#include "engine/internal.h"

#include <stdio.h>

LOG_TOPIC(topic, "engine.demand");

void demand_stop(struct stream *s)
{
    struct demand *d = &s->on_demand;
    void *made = d->made;
    d->made = NULL;
    d->expected = true; /* the next one is not asked yet */
    if (d->linger) {
        loop_timer_stop(d->linger);
    }
    if (made) {
        log_debug("%s: stopped", s->path);
        s->e->config.maker.stop(s->e->config.maker.user, made);
    }
}

static void start(struct stream *s)
{
    const struct stream_maker *maker = &s->e->config.maker;
    log_debug("%s: started", s->path);
    s->on_demand.made = maker->start(maker->user, s->e, s->home->loop, s, s->path);
}

static void stop_unread(struct stream *s)
{
    demand_stop(s);
    stream_settle(s);
}

static void on_linger(void *user)
{
    struct stream *s = user;
    if (stream_readers(s) == 0) {
        stop_unread(s);
    }
}

/* Readers come and go; what is on air is kept for a while, what is not is quickly made again. */
static void left_by_all(struct stream *s)
{
    struct demand *d = &s->on_demand;
    if (d->refused < 0) {
        d->refused = 0;
        stream_update_view(s);
    }
    if (!d->made) {
        return;
    }
    if (!s->air || d->linger_ms == 0) {
        stop_unread(s);
        return;
    }
    if (!d->linger) {
        d->linger = loop_timer_new(s->home->loop, on_linger, s);
    }
    if (!loop_timer_active(d->linger)) {
        loop_timer_start(d->linger, d->linger_ms);
    }
}

static void on_look(struct loop_task *t)
{
    struct stream *s = CONTAINER_OF(t, struct stream, on_demand.look);
    struct demand *d = &s->on_demand;
    if (stream_readers(s) == 0) {
        left_by_all(s);
        return;
    }
    if (d->linger) {
        loop_timer_stop(d->linger);
    }
    if (!d->made && d->refused == 0) {
        start(s);
    }
}

void demand_changed(struct stream *s)
{
    if (s->on_demand.possible) {
        loop_defer(s->home->loop, LOOP_STAGE_NOTIFY, &s->on_demand.look);
    }
}

bool demand_is_over(const struct stream *s)
{
    const struct demand *d = &s->on_demand;
    return d->possible && (!d->made || !d->expected);
}

void stream_expect(struct stream *s, bool expected)
{
    s->on_demand.expected = expected;
    if (!expected && s->state == STREAM_LOST) {
        stream_ended(s, s->reason);
    } else {
        stream_update_view(s);
    }
}

void stream_refuse(struct stream *s, int r, const char *why)
{
    struct demand *d = &s->on_demand;
    log_info("%s: %s", s->path, why);
    d->refused = r;
    snprintf(d->why, sizeof(d->why), "%s", why);
    demand_stop(s);
    stream_update_view(s);
    demand_changed(s); /* when there is nobody to send away */
}

void demand_init(struct stream *s)
{
    char parent[STREAM_PATH_MAX + 1];
    const struct engine_config *c = &s->e->config;
    s->on_demand = (struct demand){
        .possible = c->maker.start && stream_path_derived(s->path, parent),
        .expected = true,
        .linger_ms = c->linger_ms,
    };
    loop_task_init(&s->on_demand.look, on_look);
}

void demand_done(struct stream *s)
{
    loop_task_cancel(&s->on_demand.look);
    s->on_demand.linger = loop_timer_free(s->on_demand.linger);
}
