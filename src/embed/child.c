/* SPDX-License-Identifier: Apache-2.0 */
#include "embed/child.h"

#include "base/json.h"
#include "base/mem.h"

#include <errno.h>

struct child_call {
    struct embed_call call;
    struct list node;
};

static struct embed_child *child_of(struct embed_part *p)
{
    return CONTAINER_OF(p, struct embed_child, part);
}

/* ---- what it says ---- */

static void answer_starts(struct embed_child *c, int r, const char *reason)
{
    struct error err;
    error_set(&err, r, "", "%s", reason);
    LIST_FOREACH_SAFE (it, &c->starts) {
        struct child_call *s = LIST_ENTRY(it, struct child_call, node);
        list_remove(&s->node);
        embed_answer(&s->call, r, r < 0 ? &err : NULL, NULL);
    }
}

void embed_child_state(struct embed_child *c, enum supervisor_state state, const char *reason)
{
    if ((state == SUPERVISOR_BACKOFF && !c->asked) || state == SUPERVISOR_FAILED) {
        embed_error(&c->part, c->kind->phase, c->name, reason);
    }
    embed_state(&c->part, c->name, supervisor_state_to_str(state), reason);
    switch (state) {
    case SUPERVISOR_RUNNING:
        answer_starts(c, 0, "");
        break;
    case SUPERVISOR_BACKOFF:
        answer_starts(c, -EAGAIN, reason);
        break;
    case SUPERVISOR_FAILED:
        answer_starts(c, -ECHILD, reason);
        break;
    case SUPERVISOR_STOPPED:
        answer_starts(c, -EINTR, "it was stopped");
        break;
    case SUPERVISOR_STARTING:
    case SUPERVISOR_STOPPING:
    case SUPERVISOR_STATE_N:
        break;
    }
}

static void run_line(const struct embed_note *n)
{
    ((void (*)(void *, const char *))n->fn)(n->user, n->text[0]);
}

void embed_child_line(struct embed_child *c, const char *line)
{
    if (c->on_line) {
        embed_tell(c->part.mast, &(struct embed_note){.run = run_line,
                                                      .fn = (void (*)(void))c->on_line,
                                                      .user = c->user,
                                                      .text = {line},
                                                      .part = &c->part,
                                                      .event = true});
    }
}

/* ---- its end ---- */

static void on_down(void *user)
{
    struct embed_child *c = user;
    LIST_FOREACH_SAFE (it, &c->stops) {
        struct child_call *s = LIST_ENTRY(it, struct child_call, node);
        list_remove(&s->node);
        embed_answer(&s->call, 0, NULL, NULL);
    }
    if (c->part.stopping) {
        embed_part_stopped(&c->part, NULL);
    }
}

/* -EALREADY: it is stopping for somebody else, whose end is ours too. */
static void begin_stop(struct embed_child *c)
{
    (void)c->kind->stop(c, on_down, c);
}

static void stop(struct embed_part *p, unsigned deadline_ms)
{
    begin_stop(child_of(p));
}

static void drop(struct embed_part *p)
{
    struct embed_child *c = child_of(p);
    free(c->name);
    c->kind->drop(c);
}

void embed_child_init(struct embed_child *c, struct mast *m, const struct embed_child_kind *kind,
                      const char *name, const struct mast_observer *observer)
{
    static const struct embed_part_ops ops = {.stop = stop, .drop = drop};
    embed_part_init(&c->part, m, &ops, observer);
    c->kind = kind;
    c->name = mem_strdup(name);
    c->part.name = c->name;
    list_init(&c->starts);
    list_init(&c->stops);
}

/* ---- calls ---- */

static void forget_call(struct embed_call *call)
{
    list_remove(&CONTAINER_OF(call, struct child_call, call)->node);
}

static void run_start(struct embed_call *call)
{
    struct child_call *s = CONTAINER_OF(call, struct child_call, call);
    struct embed_child *c = child_of(call->part);
    enum supervisor_state state = supervisor_state(c->kind->supervisor(c));
    bool again = call->number && c->kind->restart;
    if (state == SUPERVISOR_RUNNING && !again) {
        embed_answer(call, 0, NULL, NULL);
        return;
    }
    call->forget = forget_call;
    if (again && state != SUPERVISOR_STOPPED && state != SUPERVISOR_FAILED) {
        c->asked = true;
        c->kind->restart(c);
        c->asked = false;
        list_append(&c->starts, &s->node);
        return;
    }
    list_append(&c->starts, &s->node);
    int r = c->kind->start(c);
    if (r < 0) {
        struct error err;
        error_set(&err, r, "", "%s", r == -EBUSY ? "it is stopping" : error_name(r));
        list_remove(&s->node);
        embed_answer(call, r, &err, NULL);
    }
}

static void *new_start(struct embed_child *c, bool again)
{
    struct child_call *s = embed_call_new(&c->part, sizeof(*s), run_start, NULL);
    list_init(&s->node);
    s->call.number = again;
    return s;
}

void *embed_child_start(struct embed_child *c)
{
    return new_start(c, false);
}

void *embed_child_restart(struct embed_child *c)
{
    return new_start(c, true);
}

static void run_stop(struct embed_call *call)
{
    struct embed_child *c = child_of(call->part);
    call->forget = forget_call;
    list_append(&c->stops, &CONTAINER_OF(call, struct child_call, call)->node);
    begin_stop(c);
}

void *embed_child_stop(struct embed_child *c)
{
    struct child_call *s = embed_call_new(&c->part, sizeof(*s), run_stop, NULL);
    list_init(&s->node);
    return s;
}

static void run_status(struct embed_call *call)
{
    const struct embed_child *c = child_of(call->part);
    const struct supervisor *s = c->kind->supervisor(c);
    const struct proc *proc = supervisor_proc(s);
    struct out o = {0};
    struct json j = json_init(&o);
    json_object_begin(&j);
    json_put_str(&j, "name", c->name);
    json_put_str(&j, "state", supervisor_state_to_str(supervisor_state(s)));
    json_put_str(&j, "reason", supervisor_reason(s));
    json_put_int(&j, "pid", proc ? proc_pid(proc) : 0);
    json_put_int(&j, "restarts", supervisor_restarts(s));
    if (c->kind->status) {
        c->kind->status(c, &j);
    }
    json_object_end(&j);
    embed_answer(call, 0, NULL, out_take_str(&o));
}

void *embed_child_status(struct embed_child *c)
{
    return embed_call_new(&c->part, sizeof(struct embed_call), run_status, NULL);
}
