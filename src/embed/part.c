/* SPDX-License-Identifier: Apache-2.0 */
/* What all objects of embedders have in common: how they come, how they end, who hears of them. */
#include "embed/embed.h"

#include "base/clock.h"
#include "base/mem.h"
#include "io/tls.h"

#include <errno.h>
#include <string.h>

/* How often observers were told something of this name. Names are ours, not peers': there are few. */
struct counted {
    struct list node;
    uint64_t n;
    const char *family;
    char name[];
};

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

static void drop(struct embed_part *p)
{
    LIST_FOREACH_SAFE (it, &p->counted) {
        list_remove(it);
        free(LIST_ENTRY(it, struct counted, node));
    }
    p->ops->drop(p);
}

/* Nothing of it is left but the answer to who freed it. */
static void finish(struct embed_part *p)
{
    struct mast *m = p->mast;
    const struct error how = p->how;
    struct embed_call *freeing = p->freeing;
    struct embed_part ghost = {.mast = m}; /* all that an answer needs of it */
    embed_notes_forget(m, p);
    list_remove(&p->node);
    drop(p);
    if (freeing) {
        freeing->part = &ghost;
        embed_answer(freeing, how.code, how.code < 0 ? &how : NULL, NULL);
    }
}

static void end(struct loop_task *t)
{
    struct embed_part *p = CONTAINER_OF(t, struct embed_part, end);
    struct mast *m = p->mast;
    cancel_calls(p);
    p->deadline = loop_timer_free(p->deadline);
    p->ended = true;
    if (m->leaving && p->how.code < 0 && m->left_r != -ETIMEDOUT) {
        m->left_r = p->how.code == -ETIMEDOUT ? -ETIMEDOUT : -EREMOTEIO;
    }
    /* While an instance goes, callbacks may still name what nobody has freed. */
    if (p->freeing || !m->leaving) {
        finish(p);
    }
    if (m->leaving) {
        embed_parts_leave(m);
    }
}

void embed_part_init(struct embed_part *p, struct mast *m, const struct embed_part_ops *ops,
                     const struct mast_observer *observer)
{
    p->mast = m;
    p->ops = ops;
    p->observer = observer ? *observer : (struct mast_observer){0};
    list_init(&p->node);
    p->name = "";
    list_init(&p->calls);
    list_init(&p->counted);
    loop_task_init(&p->end, end);
}

struct beginning {
    struct embed_part *part;
    embed_make_fn make;
    const void *config;
    int r;
    struct error err;
};

static void begin(struct loop *l, void *arg)
{
    struct beginning *b = arg;
    struct mast *m = b->part->mast;
    if (m->leaving && !b->part->ops->serves_ends) {
        b->r = error_set(&b->err, -ESHUTDOWN, "", "the instance is being freed");
        return;
    }
    b->r = b->make ? b->make(b->part, l, b->config, &b->err) : 0;
    if (b->r == 0 && m->leaving) {
        list_insert_after(&m->parts, &b->part->node); /* who made it ends first */
    } else if (b->r == 0) {
        list_append(&m->parts, &b->part->node);
    }
}

int embed_part_begin(struct embed_part *p, embed_make_fn make, const void *config,
                     struct mast_error *err)
{
    struct loop *control = p->mast->control;
    struct beginning b = {.part = p, .make = make, .config = config};
    if (loop_current() && !loop_is_current(control)) {
        b.r = error_set(&b.err, -EDEADLK, "", "a thread of libmast cannot wait for another");
    } else {
        loop_call_wait(control, begin, &b);
    }
    if (b.r < 0) {
        embed_error_out(err, &b.err);
        drop(p);
    }
    return b.r;
}

struct tls_context *embed_tls(const struct mast_tls *trust, struct error *err)
{
    return tls_context_new_client(trust->ca_file, NULL, !trust->insecure, err);
}

static void on_deadline(void *user)
{
    struct error err;
    error_set(&err, -ETIMEDOUT, "", "not everything could be undone in time");
    embed_part_stopped(user, &err);
}

/* The nearest of the deadlines that it is given is its own. */
static void stop_part(struct embed_part *p, unsigned deadline_ms)
{
    struct loop *l = p->mast->control;
    int64_t by_ns = loop_now_ns(l) + deadline_ms * NS_PER_MS;
    if (p->stopped || (p->stopping && p->stop_by_ns <= by_ns)) {
        return;
    }
    p->stop_by_ns = by_ns;
    p->deadline = p->deadline ? p->deadline : loop_timer_new(l, on_deadline, p);
    loop_timer_start(p->deadline, deadline_ms);
    if (!p->stopping) {
        p->stopping = true;
        p->ops->stop(p, deadline_ms);
    }
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
    stop_part(p, c->number ? c->number : p->mast->config.stop_ms);
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
    struct mast *m = p->mast;
    int r = embed_call_wait(new_free(p, deadline_ms), NULL, err);
    if (r != -EDEADLK) {
        embed_notes_settle(m, p);
    }
    return r;
}

/* ---- all of them ---- */

/* One by one: what the end of one still asks of those before it is answered before they go. */
static void finish_newest(struct loop *l, struct loop_msg *msg)
{
    struct mast *m = CONTAINER_OF(msg, struct mast, leave);
    if (list_empty(&m->parts)) {
        embed_leave(m);
        return;
    }
    finish(LIST_ENTRY(m->parts.prev, struct embed_part, node));
    loop_post(l, msg);
}

/* Half of the time that is left for one that others wait for: who hangs leaves the rest for them. */
static unsigned share_ms(struct mast *m, const struct embed_part *p)
{
    int64_t left_ms = (m->leave_by_ns - loop_now_ns(m->control)) / NS_PER_MS;
    bool waited_for = p->ops->asks_others && p->node.prev != &m->parts;
    return (unsigned)MAX(waited_for ? left_ms / 2 : left_ms, (int64_t)1);
}

/* Those that ask nobody end beside each other. */
void embed_parts_leave(struct mast *m)
{
    bool ended = true;
    for (struct list *it = m->parts.prev; it != &m->parts; it = it->prev) {
        struct embed_part *p = LIST_ENTRY(it, struct embed_part, node);
        if (!p->ended) {
            ended = false;
            stop_part(p, share_ms(m, p));
            if (p->ops->asks_others) {
                return;
            }
        }
    }
    if (ended) {
        m->leave.deliver = finish_newest;
        loop_post(m->control, &m->leave);
    }
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

static void run_metric(const struct embed_note *n)
{
    const struct mast_metric metric = {.type = (enum mast_metric_type)n->r,
                                       .name = n->text[0],
                                       .resource = n->text[1],
                                       .label = n->text[2],
                                       .label_value = n->text[3],
                                       .value = n->value};
    ((void (*)(void *, const struct mast_metric *))n->fn)(n->user, &metric);
}

void embed_metric(struct embed_part *p, enum mast_metric_type type, const char *name,
                  const char *label, const char *label_value, double value)
{
    if (p->observer.on_metric) {
        embed_tell(p->mast, &(struct embed_note){.run = run_metric,
                                                 .fn = (void (*)(void))p->observer.on_metric,
                                                 .user = p->observer.user,
                                                 .r = (int)type,
                                                 .value = value,
                                                 .text = {name, p->name, label ? label : "",
                                                          label ? label_value : ""},
                                                 .part = p,
                                                 .event = true});
    }
}

static void count(struct embed_part *p, const char *family, const char *label, const char *name)
{
    struct counted *c = NULL;
    LIST_FOREACH (it, &p->counted) {
        struct counted *i = LIST_ENTRY(it, struct counted, node);
        c = strcmp(i->family, family) == 0 && strcmp(i->name, name) == 0 ? i : c;
    }
    if (!c) {
        c = mem_zalloc(sizeof(*c) + strlen(name) + 1);
        c->family = family;
        memcpy(c->name, name, strlen(name) + 1);
        list_init(&c->node);
        list_append(&p->counted, &c->node);
    }
    embed_metric(p, MAST_METRIC_COUNTER, family, label, name, (double)++c->n);
}

/* The three have the same type but for the names of what they are given. */
void embed_event(struct embed_part *p, const char *type, const char *resource, const char *data)
{
    tell(p, (void (*)(void))p->observer.on_event, type, resource, data);
    count(p, "mast_events_total", "type", type);
}

void embed_state(struct embed_part *p, const char *resource, const char *state, const char *reason)
{
    tell(p, (void (*)(void))p->observer.on_state_change, resource, state, reason);
    count(p, "mast_state_changes_total", "state", state);
}

void embed_error(struct embed_part *p, const char *phase, const char *resource, const char *text)
{
    tell(p, (void (*)(void))p->observer.on_error, phase, resource, text);
    count(p, "mast_errors_total", "phase", phase);
}
