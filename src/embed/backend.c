/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seats and calls are counted: what an embedder's thread posts holds its seat, which may be gone when the message arrives. A call
 * belongs to its seat, and stays until it is answered or the seat ends, so that an answer that comes too late finds it.
 */
#include "embed/backend.h"

#include "base/mem.h"

#include <errno.h>
#include <stdatomic.h>

struct mast_janus_seat {
    atomic_uint refs;
    atomic_bool gone; /* the embedder has said so, perhaps on a thread that we have not heard yet */
    struct mast *mast;
    struct embed_backend *backend; /* while there is a handle */
    struct janus_handle *handle;   /* NULL: the seat is gone */
    struct list calls;
    void *own;
};

struct mast_janus_call {
    struct list node;
    struct mast_janus_seat *seat;
    struct janus_call *call; /* NULL: nobody waits any more */
};

static void seat_unref(struct mast_janus_seat *s)
{
    if (atomic_fetch_sub(&s->refs, 1) == 1) {
        free(s);
    }
}

static void call_free(struct mast_janus_call *c)
{
    list_remove(&c->node);
    free(c);
}

/* Nothing of it is answered or told any more. */
static void seat_end(struct mast_janus_seat *s)
{
    s->handle = NULL;
    LIST_FOREACH_SAFE (it, &s->calls) {
        call_free(LIST_ENTRY(it, struct mast_janus_call, node));
    }
    seat_unref(s);
}

/* ---- what peer/janus asks ---- */

static void *on_attach(void *user, struct janus_handle *h, const char *plugin)
{
    struct embed_backend *b = user;
    struct mast_janus_seat *s = mem_new(struct mast_janus_seat);
    atomic_init(&s->refs, 1);
    s->mast = b->mast;
    s->backend = b;
    s->handle = h;
    list_init(&s->calls);
    b->theirs->attach(b->user, s, plugin);
    return s;
}

static int on_ask(void *user, struct janus_call *call, const struct janus_ask *ask)
{
    struct mast_janus_seat *s = user;
    if (atomic_load(&s->gone)) {
        return -EAGAIN;
    }
    struct mast_janus_call *c = mem_new(struct mast_janus_call);
    _cleanup_free_ char *body = mem_strndup((const char *)ask->body.data, ask->body.len);
    c->seat = s;
    c->call = call;
    list_init(&c->node);
    list_append(&s->calls, &c->node);
    s->backend->theirs->ask(s->backend->user, s, c, body);
    return 0;
}

static void on_forget(void *user, struct janus_call *call)
{
    struct mast_janus_seat *s = user;
    LIST_FOREACH (it, &s->calls) {
        struct mast_janus_call *c = LIST_ENTRY(it, struct mast_janus_call, node);
        if (c->call == call) {
            c->call = NULL;
        }
    }
}

static void on_detach(void *user)
{
    struct mast_janus_seat *s = user;
    s->handle = NULL;
    if (!atomic_load(&s->gone)) {
        s->backend->theirs->detach(s->backend->user, s);
    }
    seat_end(s);
}

const struct janus_source embed_backend_source = {
    .backend = {.ask = on_ask, .forget = on_forget, .detach = on_detach},
    .attach = on_attach,
};

/* ---- what embedders say, on any thread ---- */

struct saying {
    struct loop_msg msg;
    struct mast_janus_seat *seat;
    struct mast_janus_call *call;
    void (*run)(const struct saying *s);
    char *text;
};

static void deliver(struct loop *l, struct loop_msg *msg)
{
    struct saying *s = CONTAINER_OF(msg, struct saying, msg);
    if (s->seat->handle) {
        s->run(s);
    }
    seat_unref(s->seat);
    free(s->text);
    free(s);
}

static void say(struct mast_janus_seat *seat, struct mast_janus_call *call,
                void (*run)(const struct saying *s), const char *text)
{
    struct saying *s = mem_new(struct saying);
    *s = (struct saying){.msg.deliver = deliver,
                         .seat = seat,
                         .call = call,
                         .run = run,
                         .text = text ? mem_strdup(text) : NULL};
    atomic_fetch_add(&seat->refs, 1);
    loop_post(seat->mast->control, &s->msg);
}

static void run_attached(const struct saying *s)
{
    janus_handle_attached(s->seat->handle, s->seat);
}

static void run_detached(const struct saying *s)
{
    struct janus_handle *h = s->seat->handle;
    janus_handle_detached(h, s->seat, s->text);
    seat_end(s->seat);
}

static void run_event(const struct saying *s)
{
    janus_handle_deliver(s->seat->handle, BYTES_STR(s->text));
}

static void run_answer(const struct saying *s)
{
    struct janus_call *call = s->call->call;
    call_free(s->call);
    if (call) {
        janus_handle_answer(call, BYTES_STR(s->text));
    }
}

void mast_janus_seat_set(struct mast_janus_seat *seat, void *own)
{
    seat->own = own;
}

void *mast_janus_seat_own(const struct mast_janus_seat *seat)
{
    return seat->own;
}

void mast_janus_attached(struct mast_janus_seat *seat)
{
    say(seat, NULL, run_attached, NULL);
}

void mast_janus_detached(struct mast_janus_seat *seat, const char *why)
{
    atomic_fetch_add(&seat->refs, 1); /* from here on it may end without a word to the embedder */
    atomic_store(&seat->gone, true);
    say(seat, NULL, run_detached, why ? why : "it is gone");
    seat_unref(seat);
}

void mast_janus_answer(struct mast_janus_call *call, const char *message)
{
    say(call->seat, call, run_answer, message ? message : "");
}

void mast_janus_event(struct mast_janus_seat *seat, const char *message)
{
    say(seat, NULL, run_event, message ? message : "");
}
