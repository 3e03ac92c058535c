/* SPDX-License-Identifier: Apache-2.0 */
/* What all objects of embedders have in common: how they come, how they end, who hears of them. */
#include "embed/embed.h"

#include "base/mem.h"

#include <errno.h>

int embed_on_control(struct mast *m, void (*fn)(struct loop *l, void *arg), void *arg,
                     struct mast_error *err)
{
    struct error why;
    if (loop_current() && !loop_is_current(m->control)) {
        error_set(&why, -EDEADLK, "", "a thread of libmast cannot wait for another");
        embed_error_out(err, &why);
        return -EDEADLK;
    }
    loop_call_wait(m->control, fn, arg);
    return 0;
}

static void cancel_calls(struct embed_part *p)
{
    static const struct error gone = {.code = -ECANCELED, .text = "it was freed"};
    while (!list_empty(&p->calls)) {
        struct embed_call *c = LIST_ENTRY(p->calls.next, struct embed_call, node);
        if (c->forget) {
            c->forget(c);
        }
        embed_answer(c, -ECANCELED, &gone, NULL);
    }
}

static void end(struct loop_task *t)
{
    struct embed_part *p = CONTAINER_OF(t, struct embed_part, end);
    struct mast *m = p->mast;
    const struct error how = p->how;
    struct embed_call *freeing = p->freeing;
    struct embed_part ghost = {.mast = m}; /* all that an answer needs of it */
    cancel_calls(p);
    p->deadline = loop_timer_free(p->deadline);
    embed_notes_forget(m, p);
    list_remove(&p->node);
    p->ops->drop(p);
    if (freeing) {
        freeing->part = &ghost;
        embed_answer(freeing, how.code, how.code < 0 ? &how : NULL, NULL);
    }
    m->left_r = how.code < 0 ? how.code : m->left_r;
    if (m->leaving && list_empty(&m->parts)) {
        embed_leave(m);
    }
}

void embed_part_init(struct embed_part *p, struct mast *m, const struct embed_part_ops *ops,
                     const struct mast_observer *observer)
{
    p->mast = m;
    p->ops = ops;
    p->observer = observer ? *observer : (struct mast_observer){0};
    list_init(&p->node);
    list_init(&p->calls);
    loop_task_init(&p->end, end);
}

void embed_part_add(struct embed_part *p)
{
    list_append(&p->mast->parts, &p->node);
}

static void on_deadline(void *user)
{
    struct error err;
    error_set(&err, -ETIMEDOUT, "", "not everything could be undone in time");
    embed_part_stopped(user, &err);
}

void embed_part_stop(struct embed_part *p, unsigned deadline_ms)
{
    unsigned ms = deadline_ms ? deadline_ms : p->mast->config.stop_ms;
    if (p->stopping) {
        return;
    }
    p->stopping = true;
    p->deadline = loop_timer_new(p->mast->control, on_deadline, p);
    loop_timer_start(p->deadline, ms);
    p->ops->stop(p, ms);
}

void embed_part_stopped(struct embed_part *p, const struct error *err)
{
    if (!p->stopped) {
        p->stopped = true;
        if (err) {
            p->how = *err;
        }
        /* Not from inside what it does: drop frees it. */
        loop_defer(p->mast->control, LOOP_STAGE_NOTIFY, &p->end);
    }
}

/* ---- freeing ---- */

static void run_free(struct embed_call *c)
{
    struct embed_part *p = c->part;
    list_remove(&c->node);
    p->freeing = c;
    embed_part_stop(p, c->number);
}

static struct embed_call *new_free(struct embed_part *p, unsigned deadline_ms)
{
    struct embed_call *c = embed_call_new(p, sizeof(*c), run_free, NULL);
    c->number = deadline_ms;
    return c;
}

int embed_part_free(struct embed_part *p, unsigned deadline_ms, mast_done_fn done, void *user)
{
    return embed_call_post(new_free(p, deadline_ms), done, user);
}

int embed_part_free_wait(struct embed_part *p, unsigned deadline_ms, struct mast_error *err)
{
    return embed_call_wait(new_free(p, deadline_ms), NULL, err);
}

/* ---- observers ---- */

static void run_event(const struct embed_note *n)
{
    void (*fn)(void *, const char *, const char *, const char *) =
        (void (*)(void *, const char *, const char *, const char *))n->fn;
    fn(n->user, n->text[0], n->text[1], n->text[2]);
}

static void tell(struct embed_part *p, void (*fn)(void), const char *a, const char *b,
                 const char *c)
{
    if (fn) {
        embed_tell(p->mast, &(struct embed_note){.run = run_event,
                                                 .fn = fn,
                                                 .user = p->observer.user,
                                                 .text = {a, b, c},
                                                 .part = p,
                                                 .event = true});
    }
}

/* The three have the same type but for the names of what they are given. */
void embed_event(struct embed_part *p, const char *type, const char *resource, const char *data)
{
    tell(p, (void (*)(void))p->observer.on_event, type, resource, data);
}

void embed_state(struct embed_part *p, const char *resource, const char *state, const char *reason)
{
    tell(p, (void (*)(void))p->observer.on_state_change, resource, state, reason);
}

void embed_error(struct embed_part *p, const char *phase, const char *resource, const char *text)
{
    tell(p, (void (*)(void))p->observer.on_error, phase, resource, text);
}
