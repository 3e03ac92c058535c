/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream on one loop: the ring, the readers, and waking them. The home's replica is written directly, the others by batches.
 */
#include "engine/internal.h"
#include "engine/reader.h"

#include "base/clock.h"

#include <assert.h>

/* ---- what the home must know ---- */

static form_mask forms_of(const struct replica *rep)
{
    form_mask forms = 0;
    for (unsigned f = 0; f < FORM_N; f++) {
        forms |= rep->form_readers[f] > 0 ? FORM_BIT(f) : 0;
    }
    return forms;
}

static bool is_home(const struct replica *rep)
{
    return rep == &rep->stream->replica;
}

static void post_sub(struct replica *rep, enum sub_order order)
{
    struct sub_msg *m = mem_new(struct sub_msg);
    *m = (struct sub_msg){.msg.deliver = sub_deliver,
                          .stream = rep->stream,
                          .loop = rep->el->index,
                          .order = order,
                          .key_wanted = rep->key_wanted,
                          .readers = rep->n_readers,
                          .forms = forms_of(rep)};
    rep->key_wanted = false;
    if (order == SUB_LEAVE) {
        m->bytes_out = rep->bytes_out;
        m->dropped = rep->dropped;
        rep->bytes_out = 0;
        rep->dropped = 0;
    }
    loop_post(rep->stream->home->loop, &m->msg);
}

static void join(struct replica *rep)
{
    rep->state = REPLICA_JOINING;
    post_sub(rep, SUB_JOIN);
}

/* Not subscribed: the only time when nothing of this stream can be on its way to here. */
static void join_or_free(struct replica *rep)
{
    struct stream *s = rep->stream;
    if (rep->n_readers > 0) {
        join(rep);
        return;
    }
    s->replicas[rep->el->index] = NULL;
    list_remove(&rep->node);
    COUNT_SUB(s->e, replicas, 1);
    replica_done(rep);
    free(rep);
    stream_put(s);
}

/* Once a pass, however many readers came and went in it. */
static void on_report(struct loop_task *t)
{
    struct replica *rep = CONTAINER_OF(t, struct replica, report);
    if (is_home(rep)) {
        bool key_wanted = rep->key_wanted;
        rep->key_wanted = false;
        stream_demand_changed(rep->stream, key_wanted);
        return;
    }
    switch (rep->state) {
    case REPLICA_IDLE:
        join_or_free(rep);
        break;
    case REPLICA_JOINING:
    case REPLICA_OPEN:
        if (rep->n_readers > 0) {
            post_sub(rep, SUB_UPDATE);
            break;
        }
        rep->state = REPLICA_LEAVING;
        ring_reset(&rep->ring, 0, 0);
        post_sub(rep, SUB_LEAVE);
        break;
    case REPLICA_LEAVING:
        break; /* the goodbye decides */
    }
}

static void report(struct replica *rep)
{
    loop_defer(rep->el->loop, LOOP_STAGE_NOTIFY, &rep->report);
}

void replica_want_key(struct replica *rep)
{
    rep->key_wanted = true;
    report(rep);
}

/* ---- readers ---- */

static void put_at(struct replica *rep, uint32_t i, struct reader *r)
{
    rep->readers[i] = r;
    r->index = i;
}

void replica_set_active(struct replica *rep, struct reader *r, bool active)
{
    bool is_active = r->index < rep->n_active;
    if (active == is_active) {
        return;
    }
    /* Swap with the reader at the border, and move the border over it. */
    uint32_t border = active ? rep->n_active++ : --rep->n_active;
    struct reader *other = rep->readers[border];
    uint32_t from = r->index;
    put_at(rep, border, r);
    if (other != r) {
        put_at(rep, from, other);
    }
}

void replica_add_reader(struct replica *rep, struct reader *r)
{
    if (rep->n_readers == rep->cap_readers) {
        rep->cap_readers = rep->cap_readers ? rep->cap_readers * 2 : 8;
        rep->readers = mem_realloc(rep->readers, rep->cap_readers * sizeof(struct reader *));
    }
    put_at(rep, rep->n_readers++, r);
    replica_set_active(rep, r, true);
    for (unsigned f = 0; f < FORM_N; f++) {
        rep->form_readers[f] += (r->forms & FORM_BIT(f)) != 0;
    }
    report(rep);
}

void replica_remove_reader(struct replica *rep, struct reader *r)
{
    replica_set_active(rep, r, false);
    struct reader *last = rep->readers[--rep->n_readers];
    if (last != r) {
        put_at(rep, r->index, last);
    }
    for (unsigned f = 0; f < FORM_N; f++) {
        rep->form_readers[f] -= (r->forms & FORM_BIT(f)) != 0;
    }
    rep->bytes_out += r->bytes;
    rep->dropped += r->dropped;
    report(rep);
}

/* ---- waking them ---- */

/* The fields of the hot path are the first three cache lines. */
static void prefetch_reader(const struct reader *r)
{
    const char *p = (const char *)r;
    __builtin_prefetch(p);
    __builtin_prefetch(p + 64);
    __builtin_prefetch(p + 128);
}

/* Downwards: what a callback removes or pauses is replaced by a reader that already had its turn. */
static void wake_active(struct replica *rep)
{
    for (uint32_t i = rep->n_active; i-- > 0;) {
        if (i >= rep->n_active) {
            continue;
        }
        struct reader *r = rep->readers[i];
        if (i > 0) {
            prefetch_reader(rep->readers[i - 1]);
        }
        if (r->pass != rep->pass) {
            r->pass = rep->pass;
            reader_run(r);
        }
    }
}

/* Rare, on news only: callbacks may move readers over the border, so go on until none is left that was not called. */
static void wake_all(struct replica *rep)
{
    bool found;
    do {
        found = false;
        for (uint32_t i = 0; i < rep->n_readers; i++) {
            struct reader *r = rep->readers[i];
            if (r->pass != rep->pass) {
                r->pass = rep->pass;
                found = true;
                reader_run(r);
            }
        }
    } while (found);
}

static void on_fanout(struct loop_task *t)
{
    struct replica *rep = CONTAINER_OF(t, struct replica, fanout);
    struct ring_limits limits = replica_limits(rep);
    int64_t from_ns = rep->n_active > 0 ? clock_thread_ns() : 0;
    rep->pass++;
    rep->video_waits = false;
    if (rep->told != rep->view.version) {
        rep->told = rep->view.version;
        wake_all(rep);
    } else {
        wake_active(rep);
    }
    ring_trim(&rep->ring, &limits);
    if (from_ns > 0) {
        pacing_took(&rep->pacing, clock_thread_ns() - from_ns, clock_mono_ns());
    }
}

static void wake(struct replica *rep)
{
    loop_defer(rep->el->loop, LOOP_STAGE_FANOUT, &rep->fanout);
}

static void on_paced(void *user)
{
    wake(user);
}

/* New samples may wait a little for more of their like (pacing.h); news never do. */
static void wake_paced(struct replica *rep)
{
    int64_t wait_ns = pacing_due_ns(&rep->pacing, rep->video_waits) - loop_now_ns(rep->el->loop);
    if (wait_ns < NS_PER_MS || rep->told != rep->view.version) {
        wake(rep);
        return;
    }
    if (!rep->paced) {
        rep->paced = loop_timer_new(rep->el->loop, on_paced, rep);
    }
    /* Anew each time: a picture makes what audio waited for come sooner. */
    loop_timer_start(rep->paced, (uint64_t)(wait_ns / NS_PER_MS));
}

/* ---- writing ---- */

struct ring_limits replica_limits(const struct replica *rep)
{
    struct ring_limits limits = rep->limits;
    uint64_t cap = atomic_load_explicit(&rep->stream->e->history_cap, memory_order_relaxed);
    limits.bytes = MIN(limits.bytes, cap);
    return limits;
}

void replica_push(struct replica *rep, struct sample **samples, unsigned n)
{
    struct ring_limits limits = replica_limits(rep);
    for (unsigned i = 0; i < n; i++) {
        rep->video_waits |= (rep->view.video_mask >> samples[i]->track & 1) != 0;
        ring_push(&rep->ring, &samples[i], &limits);
    }
    if (rep->view.state == READER_LIVE) {
        rep->visible = rep->ring.next;
    }
    wake_paced(rep);
}

void replica_set_view(struct replica *rep, const struct view *v)
{
    struct view old = rep->view;
    view_copy(&rep->view, v);
    view_done(&old);
    if (v->state == READER_LIVE) {
        rep->visible = rep->ring.next;
    }
    for (uint32_t i = 0; i < rep->n_readers; i++) {
        reader_follow(rep->readers[i]);
    }
    wake(rep);
}

void replica_clear(struct replica *rep)
{
    ring_reset(&rep->ring, rep->ring.next, rep->ring.group);
}

/* ---- batches ---- */

static void drop_batch(struct batch *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        sample_unref(&b->samples[i]);
    }
    view_done(&b->view);
    free(b);
}

/* The last message of a subscription. */
static void on_goodbye(struct replica *rep)
{
    assert(rep->state == REPLICA_LEAVING);
    join_or_free(rep);
}

static void apply_batch(struct replica *rep, struct batch *b)
{
    if (b->snapshot) {
        assert(rep->state == REPLICA_JOINING);
        rep->state = REPLICA_OPEN;
        ring_reset(&rep->ring, b->next_seq, b->group);
        rep->visible = b->next_seq;
        rep->told = 0;
    }
    assert(rep->state == REPLICA_OPEN && rep->ring.next == b->next_seq);
    if (b->clear) {
        replica_clear(rep);
    }
    replica_push(rep, b->samples, b->n);
    b->n = 0;
    if (b->has_view) {
        replica_set_view(rep, &b->view);
    }
}

static void deliver_batch(struct loop *l, struct loop_msg *m)
{
    struct batch *b = CONTAINER_OF(m, struct batch, msg);
    struct replica *rep = b->stream->replicas[b->loop];
    if (b->goodbye) {
        on_goodbye(rep);
    } else if (rep->state != REPLICA_LEAVING) {
        apply_batch(rep, b);
    }
    drop_batch(b);
}

void batch_post(struct batch *b, unsigned loop)
{
    b->loop = loop;
    b->msg.deliver = deliver_batch;
    loop_post(b->stream->e->loops[loop]->loop, &b->msg);
}

/* ---- birth and death ---- */

void replica_init(struct replica *rep, struct stream *s, struct engine_loop *el,
                  enum replica_state state)
{
    *rep = (struct replica){.stream = s, .el = el, .state = state, .limits = s->limits};
    rep->pacing.max_ns = s->fanout_wait_ns;
    list_init(&rep->node);
    loop_task_init(&rep->fanout, on_fanout);
    loop_task_init(&rep->report, on_report);
}

void replica_done(struct replica *rep)
{
    assert(rep->n_readers == 0);
    loop_task_cancel(&rep->fanout);
    loop_task_cancel(&rep->report);
    rep->paced = loop_timer_free(rep->paced);
    ring_done(&rep->ring);
    view_done(&rep->view);
    free(rep->readers);
    rep->readers = NULL;
}

struct replica *replica_of(struct stream *s, struct engine_loop *el)
{
    struct replica *rep = s->replicas[el->index];
    if (!rep) {
        rep = mem_new(struct replica);
        replica_init(rep, s, el, REPLICA_IDLE);
        s->replicas[el->index] = rep;
        list_append(&el->replicas, &rep->node);
        COUNT_ADD(s->e, replicas, 1);
        stream_hold(s);
    }
    return rep;
}
