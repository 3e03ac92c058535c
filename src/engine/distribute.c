/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the home loop to the loops with readers: batches, snapshots, goodbyes; and what comes back. All batches of one stream
 * to one loop are messages of one sender, so they arrive in order, and a snapshot followed by live batches has no gap and no
 * double; replicas assert it by seq.
 */
#include "engine/internal.h"

#include <assert.h>

/* ---- home side ---- */

static struct batch *batch_new(struct stream *s, unsigned n)
{
    struct batch *b = mem_zalloc(sizeof(*b) + n * sizeof(struct sample *));
    b->stream = s;
    b->next_seq = s->replica.ring.next;
    b->group = s->replica.ring.group;
    return b;
}

void stream_distribute(struct stream *s, struct sample **samples, unsigned n)
{
    for (unsigned i = 0; i < s->e->n_loops; i++) {
        if (!s->subs[i].on) {
            continue;
        }
        struct batch *b = batch_new(s, n);
        for (unsigned k = 0; k < n; k++) {
            b->samples[b->n++] = sample_ref(samples[k]);
        }
        batch_post(b, i);
    }
    replica_push(&s->replica, samples, n);
}

static void add_view(struct batch *b, const struct view *v)
{
    b->has_view = true;
    view_copy(&b->view, v);
}

void stream_show_view(struct stream *s, const struct view *v)
{
    for (unsigned i = 0; i < s->e->n_loops; i++) {
        if (s->subs[i].on) {
            struct batch *b = batch_new(s, 0);
            add_view(b, v);
            batch_post(b, i);
        }
    }
    replica_set_view(&s->replica, v);
}

void stream_clear_history(struct stream *s)
{
    for (unsigned i = 0; i < s->e->n_loops; i++) {
        if (s->subs[i].on) {
            struct batch *b = batch_new(s, 0);
            b->clear = true;
            batch_post(b, i);
        }
    }
    replica_clear(&s->replica);
}

/* History from the newest key frame on; without one, the replica begins with what comes. */
static void send_snapshot(struct stream *s, unsigned loop)
{
    const struct ring *ring = &s->replica.ring;
    uint64_t from = ring->has_start ? ring_oldest_start(ring) : ring->next;
    struct batch *b = batch_new(s, (unsigned)(ring->next - from));
    b->snapshot = true;
    b->next_seq = from;
    b->group = ring->has_start ? ring_at(ring, from)->group - 1 : ring->group;
    for (uint64_t seq = from; seq < ring->next; seq++) {
        b->samples[b->n++] = sample_ref(ring_at(ring, seq));
    }
    add_view(b, &s->replica.view);
    batch_post(b, loop);
}

static void send_goodbye(struct stream *s, unsigned loop)
{
    struct batch *b = batch_new(s, 0);
    b->goodbye = true;
    batch_post(b, loop);
}

void sub_deliver(struct loop *l, struct loop_msg *m)
{
    struct sub_msg *sm = CONTAINER_OF(m, struct sub_msg, msg);
    struct stream *s = sm->stream;
    struct sub *sub = &s->subs[sm->loop];
    sub->readers = sm->readers;
    sub->forms = sm->forms;
    switch (sm->order) {
    case SUB_JOIN:
        assert(!sub->on);
        sub->on = true;
        send_snapshot(s, sm->loop);
        break;
    case SUB_UPDATE:
        break;
    case SUB_LEAVE:
        assert(sub->on);
        sub->on = false;
        s->bytes_out += sm->bytes_out;
        s->dropped += sm->dropped;
        send_goodbye(s, sm->loop);
        break;
    }
    stream_demand_changed(s, sm->key_wanted);
    free(sm);
}
