/* SPDX-License-Identifier: Apache-2.0 */
/* Calls: posted by any thread, run on the control loop, answered once. */
#include "embed/embed.h"

#include "base/mem.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

void embed_error_out(struct mast_error *to, const struct error *from)
{
    if (to) {
        to->code = from->code;
        snprintf(to->where, sizeof(to->where), "%s", from->where);
        snprintf(to->text, sizeof(to->text), "%s", from->text);
    }
}

static void deliver(struct loop *l, struct loop_msg *msg)
{
    struct embed_call *c = CONTAINER_OF(msg, struct embed_call, msg);
    if (c->part->stopping) {
        const struct error err = {.code = -ESHUTDOWN, .text = "it is being freed"};
        if (c->refuse) {
            c->refuse(c);
        }
        embed_answer(c, -ESHUTDOWN, &err, NULL);
        return;
    }
    list_append(&c->part->calls, &c->node);
    c->run(c);
}

void *embed_call_new(struct embed_part *p, size_t size, void (*run)(struct embed_call *c),
                     const char *arg)
{
    struct embed_call *c = mem_zalloc(size);
    c->part = p;
    c->run = run;
    c->arg = arg ? mem_strdup(arg) : NULL;
    c->msg.deliver = deliver;
    list_init(&c->node);
    return c;
}

int embed_call_post(void *call, mast_done_fn done, void *user)
{
    struct embed_call *c = call;
    c->done = done;
    c->user = user;
    loop_post(c->part->mast->control, &c->msg);
    return 0;
}

static void run_done(const struct embed_note *n)
{
    const struct mast_reply reply = {.r = n->r,
                                     .where = n->text[0] ? n->text[0] : "",
                                     .text = n->text[1] ? n->text[1] : "",
                                     .data = n->text[2]};
    ((mast_done_fn)n->fn)(n->user, &reply);
}

void embed_answer(void *call, int r, const struct error *err, char *data)
{
    struct embed_call *c = call;
    struct mast *m = c->part->mast;
    const struct embed_note n = {
        .run = run_done,
        .fn = (void (*)(void))c->done,
        .user = c->user,
        .r = r,
        .text = {err ? err->where : NULL,
                 err     ? err->text
                 : r < 0 ? error_name(r)
                         : NULL,
                 data},
    };
    bool waits = c->waits;
    list_remove(&c->node);
    free(c->arg);
    free(c->arg_2);
    free(c);
    if (waits) {
        run_done(&n);
    } else if (n.fn) {
        embed_tell(m, &n);
    }
    free(data);
}

void embed_answer_peer(void *call, int r, int code, const char *text, struct bytes data)
{
    struct error err = {0};
    char number[16] = "";
    if (code) {
        snprintf(number, sizeof(number), "%d", code);
    }
    if (r < 0) {
        error_set(&err, r, number, "%s", text);
    }
    embed_answer(call, r, r < 0 ? &err : NULL,
                 data.len > 0 ? mem_strndup((const char *)data.data, data.len) : NULL);
}

/* ---- the forms that wait ---- */

struct waiter {
    sem_t done;
    int r;
    struct mast_error err;
    char *data;
};

static void on_waited(void *user, const struct mast_reply *reply)
{
    struct waiter *w = user;
    w->r = reply->r;
    w->err.code = reply->r;
    snprintf(w->err.where, sizeof(w->err.where), "%s", reply->where);
    snprintf(w->err.text, sizeof(w->err.text), "%s", reply->text);
    w->data = reply->data ? mem_strdup(reply->data) : NULL;
    sem_post(&w->done);
}

static int refuse(struct embed_call *c, struct mast_error *err)
{
    struct error why;
    free(c->arg);
    free(c->arg_2);
    free(c);
    error_set(&why, -EDEADLK, "", "a thread of libmast cannot wait for it");
    embed_error_out(err, &why);
    return -EDEADLK;
}

int embed_call_wait(void *call, char **ret, struct mast_error *err)
{
    struct embed_call *c = call;
    struct waiter w = {0};
    if (ret) {
        *ret = NULL;
    }
    if (loop_current()) {
        return refuse(c, err);
    }
    sem_init(&w.done, 0, 0);
    c->waits = true;
    embed_call_post(c, on_waited, &w);
    while (sem_wait(&w.done) < 0 && errno == EINTR) {
    }
    sem_destroy(&w.done);
    if (ret) {
        *ret = w.data;
    } else {
        free(w.data);
    }
    if (err && w.r < 0) {
        *err = w.err;
    }
    return w.r;
}
