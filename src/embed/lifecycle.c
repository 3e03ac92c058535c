/* SPDX-License-Identifier: Apache-2.0 */
/* mast/lifecycle.h: closers in reverse order. */
#include "embed/embed.h"

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <mast/lifecycle.h>
#include <stdio.h>
#include <string.h>

LOG_TOPIC(topic, "embed.lifecycle");

/* Of mast_closing.mast: a closer may answer on any thread while the instance goes. */
static pthread_mutex_t closings_lock = PTHREAD_MUTEX_INITIALIZER;

/* A thing that will be closed; stays until its closer answers. */
struct mast_closing {
    struct loop_msg msg;
    struct list node;  /* of the lifecycle; alone once it runs; of the instance when it was left */
    struct mast *mast; /* NULL: the instance is gone too */
    struct mast_lifecycle *lifecycle; /* NULL: it was freed meanwhile */
    char *resource;
    mast_close_fn close;
    void *user;
    int r;
    char *text;
};

struct mast_lifecycle {
    struct embed_part part;
    struct list things;
    struct mast_closing *running;
    struct embed_call *closing; /* who asked for it */
    bool busy;
    unsigned n_failed;
    struct out closed, failed; /* members of the two lists */
    struct json j_closed, j_failed;
};

static struct mast_lifecycle *lifecycle_of(struct embed_part *p)
{
    return CONTAINER_OF(p, struct mast_lifecycle, part);
}

static void next(struct mast_lifecycle *l);

static void thing_free(struct mast_closing *t)
{
    list_remove(&t->node);
    free(t->resource);
    free(t->text);
    free(t);
}

/* ---- one is closed ---- */

static void note_closed(struct mast_lifecycle *l, const struct mast_closing *t)
{
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    json_object_begin(&j);
    json_put_str(&j, "resource", t->resource);
    json_object_end(&j);
    json_str(&l->j_closed, t->resource);
    log_info("%s: closed", t->resource);
    embed_event(&l->part, "janus_resource_closed", t->resource, out_str(&o));
}

static void note_failed(struct mast_lifecycle *l, const struct mast_closing *t)
{
    const char *text = t->text ? t->text : error_name(t->r);
    l->n_failed++;
    json_object_begin(&l->j_failed);
    json_put_str(&l->j_failed, "resource", t->resource);
    json_put_str(&l->j_failed, "error", text);
    json_object_end(&l->j_failed);
    log_warn("%s: cannot be closed: %s", t->resource, text);
    embed_error(&l->part, "janus_cleanup", t->resource, text);
}

static void on_closed(struct loop *loop, struct loop_msg *msg)
{
    struct mast_closing *t = CONTAINER_OF(msg, struct mast_closing, msg);
    struct mast_lifecycle *l = t->lifecycle;
    if (l) {
        l->running = NULL;
        if (t->r < 0) {
            note_failed(l, t);
        } else {
            note_closed(l, t);
        }
        next(l);
    }
    thing_free(t);
}

void mast_closed(struct mast_closing *closing, int r, const char *text)
{
    closing->r = r;
    closing->text = text ? mem_strdup(text) : NULL;
    closing->msg.deliver = on_closed;
    pthread_mutex_lock(&closings_lock);
    bool heard = closing->mast;
    if (heard) {
        loop_post(closing->mast->control, &closing->msg);
    }
    pthread_mutex_unlock(&closings_lock);
    if (!heard) {
        thing_free(closing);
    }
}

/* One that has answered before is delivered when the loop is freed, and goes then. */
void embed_closings_abandon(struct mast *m)
{
    pthread_mutex_lock(&closings_lock);
    LIST_FOREACH_SAFE (it, &m->closings) {
        LIST_ENTRY(it, struct mast_closing, node)->mast = NULL;
        list_remove(it);
    }
    pthread_mutex_unlock(&closings_lock);
}

/* ---- one after the other ---- */

static char *report(struct mast_lifecycle *l)
{
    struct out o = {0};
    out_printf(&o, "{\"closed\":[%s],\"failed\":[%s]}", out_str(&l->closed), out_str(&l->failed));
    out_done(&l->closed);
    out_done(&l->failed);
    l->j_closed = json_init(&l->closed);
    l->j_failed = json_init(&l->failed);
    return out_take_str(&o);
}

static void all_closed(struct mast_lifecycle *l)
{
    struct error err;
    unsigned n = l->n_failed;
    char *text = report(l);
    struct embed_call *c = TAKE_PTR(l->closing);
    error_set(&err, -EREMOTEIO, "", "%u of them could not be closed", n);
    l->busy = false;
    l->n_failed = 0;
    if (c) {
        embed_answer(c, n ? -EREMOTEIO : 0, n ? &err : NULL, text);
    } else {
        free(text);
    }
    if (l->part.stopping) {
        embed_part_stopped(&l->part, n ? &err : NULL);
    }
}

static void next(struct mast_lifecycle *l)
{
    if (list_empty(&l->things)) {
        all_closed(l);
        return;
    }
    struct mast_closing *t = LIST_ENTRY(l->things.prev, struct mast_closing, node);
    list_remove(&t->node);
    l->running = t;
    t->close(t->user, t);
}

static void begin(struct mast_lifecycle *l)
{
    if (!l->busy) {
        l->busy = true;
        next(l);
    }
}

/* ---- as a part ---- */

static void stop(struct embed_part *p, unsigned deadline_ms)
{
    begin(lifecycle_of(p)); /* one that is closing already goes on, and ends this too */
}

static void drop(struct embed_part *p)
{
    struct mast_lifecycle *l = lifecycle_of(p);
    LIST_FOREACH_SAFE (it, &l->things) {
        thing_free(LIST_ENTRY(it, struct mast_closing, node));
    }
    if (l->running) {
        l->running->lifecycle = NULL;
        list_append(&p->mast->closings, &l->running->node);
    }
    out_done(&l->closed);
    out_done(&l->failed);
    free(l);
}

static const struct embed_part_ops ops = {.stop = stop, .drop = drop, .asks_others = true};

/* ---- the API ---- */

int mast_lifecycle_new(struct mast *m, const struct mast_observer *observer,
                       struct mast_lifecycle **ret, struct mast_error *err)
{
    struct mast_lifecycle *l = mem_new(struct mast_lifecycle);
    *ret = NULL;
    embed_part_init(&l->part, m, &ops, observer);
    list_init(&l->things);
    l->j_closed = json_init(&l->closed);
    l->j_failed = json_init(&l->failed);
    *ret = l;
    int r = embed_part_begin(&l->part, NULL, NULL, err);
    if (r < 0) {
        *ret = NULL;
    }
    return r;
}

struct add_call {
    struct embed_call call;
    mast_close_fn close;
    void *user;
};

static void run_add(struct embed_call *c)
{
    const struct add_call *a = CONTAINER_OF(c, struct add_call, call);
    struct mast_lifecycle *l = lifecycle_of(c->part);
    struct mast_closing *t = mem_new(struct mast_closing);
    t->mast = l->part.mast;
    t->lifecycle = l;
    t->resource = TAKE_PTR(c->arg);
    t->close = a->close;
    t->user = a->user;
    list_init(&t->node);
    list_append(&l->things, &t->node);
    embed_answer(c, 0, NULL, NULL);
}

/* Nobody waits for the answer, and its thing stays. */
static void refuse_add(struct embed_call *c)
{
    embed_error(c->part, "janus_cleanup", c->arg,
                "was added too late: the lifecycle is being freed");
}

int mast_lifecycle_add(struct mast_lifecycle *l, const char *resource, mast_close_fn close,
                       void *user)
{
    if (!close) {
        return -EINVAL;
    }
    struct add_call *a = embed_call_new(&l->part, sizeof(*a), run_add, resource ? resource : "");
    a->close = close;
    a->user = user;
    a->call.refuse = refuse_add;
    return embed_call_post(a, NULL, NULL);
}

static void forget_close(struct embed_call *c)
{
    lifecycle_of(c->part)->closing = NULL;
}

static void run_close(struct embed_call *c)
{
    struct mast_lifecycle *l = lifecycle_of(c->part);
    if (l->busy) {
        const struct error err = {.code = -EALREADY, .text = "it is closing"};
        embed_answer(c, -EALREADY, &err, NULL);
        return;
    }
    c->forget = forget_close;
    l->closing = c;
    begin(l);
}

int mast_lifecycle_close(struct mast_lifecycle *l, mast_done_fn done, void *user)
{
    return embed_call_post(embed_call_new(&l->part, sizeof(struct embed_call), run_close, NULL),
                           done, user);
}

int mast_lifecycle_close_wait(struct mast_lifecycle *l, char **ret, struct mast_error *err)
{
    return embed_call_wait(embed_call_new(&l->part, sizeof(struct embed_call), run_close, NULL),
                           ret, err);
}

int mast_lifecycle_free(struct mast_lifecycle *l, unsigned deadline_ms, mast_done_fn done,
                        void *user)
{
    return l ? embed_part_free(&l->part, deadline_ms, done, user) : 0;
}

int mast_lifecycle_free_wait(struct mast_lifecycle *l, unsigned deadline_ms, struct mast_error *err)
{
    return l ? embed_part_free_wait(&l->part, deadline_ms, err) : 0;
}
