/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What publishers and readers have in common: a slot on their loop, so that other loops can name them; an expiry; a way to
 * be ended. All of a session's fields belong to its loop.
 */
#include "base/clock.h"
#include "engine/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#define EXPIRY_CHECK_MS 1000

static uint32_t take_slot(struct engine_loop *el)
{
    if (el->free_slot == 0) {
        uint32_t n = el->n_slots ? el->n_slots * 2 : 16;
        el->slots = mem_realloc(el->slots, n * sizeof(*el->slots));
        for (uint32_t i = n; i-- > el->n_slots;) {
            el->slots[i] = (struct slot){.next_free = el->free_slot};
            el->free_slot = i + 1;
        }
        el->n_slots = n;
    }
    uint32_t slot = el->free_slot - 1;
    el->free_slot = el->slots[slot].next_free;
    return slot;
}

static bool has_expired(const struct session *s, const void *arg)
{
    const int64_t *now = arg;
    return s->expires_ns != 0 && s->expires_ns <= *now;
}

static void on_expiry(void *user)
{
    struct engine_loop *el = user;
    int64_t now = loop_now_ns(el->loop);
    session_kill_if(el, has_expired, &now, -EACCES, "access expired");
    if (el->n_expiring > 0) {
        loop_timer_start(el->expiry, EXPIRY_CHECK_MS);
    }
}

static void watch_expiry(struct engine_loop *el)
{
    if (!el->expiry) {
        el->expiry = loop_timer_new(el->loop, on_expiry, el);
    }
    if (el->n_expiring++ == 0) {
        loop_timer_start(el->expiry, EXPIRY_CHECK_MS);
    }
}

int session_check(const struct session *s, struct error *err)
{
    const struct access_answerer *a = &s->e->config.access;
    if (s->serial == 0 || !a->holds || a->holds(a->user, s->serial)) {
        return 0;
    }
    return error_set(err, -EACCES, "access", "access was revoked");
}

void session_attach(struct session *s)
{
    struct engine_loop *el = s->el;
    s->slot = take_slot(el);
    el->slots[s->slot].session = s;
    el->slots[s->slot].generation++;
    s->attached = true;
    s->since_wall_ns = clock_wall_ns();
    if (s->expires_ns != 0) {
        watch_expiry(el);
    }
}

void session_detach(struct session *s)
{
    struct engine_loop *el = s->el;
    assert(s->attached);
    struct slot *slot = &el->slots[s->slot];
    slot->session = NULL;
    slot->next_free = el->free_slot;
    el->free_slot = s->slot + 1;
    s->attached = false;
    if (s->expires_ns != 0 && --el->n_expiring == 0) {
        loop_timer_stop(el->expiry);
    }
}

struct session_id session_id(const struct session *s)
{
    return (struct session_id){(uint16_t)s->el->index, s->slot, s->el->slots[s->slot].generation};
}

struct session *session_find(struct engine_loop *el, struct session_id id)
{
    if (id.slot >= el->n_slots || el->slots[id.slot].generation != id.generation) {
        return NULL;
    }
    return el->slots[id.slot].session;
}

void session_id_format(const struct session *s, char ret[32])
{
    struct session_id id = session_id(s);
    snprintf(ret, 32, "%c%u-%u-%u", s->kind == SESSION_PUBLISHER ? 'p' : 'r', id.loop, id.slot,
             id.generation);
}

static void session_kill(struct session *s, int r, const char *why)
{
    switch (s->kind) {
    case SESSION_PUBLISHER:
        publisher_kill(s, r, why);
        break;
    case SESSION_READER:
        reader_kill(s, r, why);
        break;
    }
}

unsigned session_kill_if(struct engine_loop *el,
                         bool (*match)(const struct session *s, const void *arg), const void *arg,
                         int r, const char *why)
{
    unsigned n = 0;
    /* By index: the callback of one may close others or open new ones. */
    for (uint32_t i = 0; i < el->n_slots; i++) {
        struct session *s = el->slots[i].session;
        if (s && (!match || match(s, arg))) {
            session_kill(s, r, why);
            n++;
        }
    }
    return n;
}

void session_loop_done(struct engine_loop *el)
{
    el->expiry = loop_timer_free(el->expiry);
}

struct revoke_msg {
    struct loop_msg msg;
    struct engine_loop *el; /* with a reference to its engine */
    uint64_t serial;
};

static bool has_serial(const struct session *s, const void *arg)
{
    const uint64_t *serial = arg;
    return s->serial == *serial;
}

static void deliver_revoke(struct loop *l, struct loop_msg *m)
{
    struct revoke_msg *rm = CONTAINER_OF(m, struct revoke_msg, msg);
    session_kill_if(rm->el, has_serial, &rm->serial, -EACCES, "access revoked");
    engine_unref(rm->el->e);
    free(rm);
}

void access_revoke(struct engine *e, uint64_t serial)
{
    for (unsigned i = 0; serial != 0 && i < e->n_loops; i++) {
        struct revoke_msg *rm = mem_new(struct revoke_msg);
        *rm =
            (struct revoke_msg){.msg.deliver = deliver_revoke, .el = e->loops[i], .serial = serial};
        engine_ref(e);
        loop_post(e->loops[i]->loop, &rm->msg);
    }
}
