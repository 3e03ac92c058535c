/* SPDX-License-Identifier: Apache-2.0 */
#include "service/broadcast/media_link.h"

#include "base/mem.h"

/* ---- media loop ---- */

static void on_opening(struct loop *l, struct loop_msg *m)
{
    struct media_link *k = CONTAINER_OF(m, struct media_link, opening);
    k->kind->open(k);
}

static void on_gone(struct loop *l, struct loop_msg *m)
{
    struct media_link *k = CONTAINER_OF(m, struct media_link, gone);
    k->kind->free(k);
}

/* What the media loop told before is in front of this. */
static void on_closing(struct loop *l, struct loop_msg *m)
{
    struct media_link *k = CONTAINER_OF(m, struct media_link, closing);
    k->kind->close(k);
    k->gone.deliver = on_gone;
    loop_post(k->control, &k->gone);
}

/* ---- control loop ---- */

void media_link_open(struct media_link *k, const struct media_link_kind *kind, struct loop *control,
                     struct loop *media)
{
    *k = (struct media_link){.kind = kind, .control = control, .media = media};
    k->opening.deliver = on_opening;
    loop_post(media, &k->opening);
}

void media_link_close(struct media_link *k)
{
    k->closed = true;
    k->closing.deliver = on_closing;
    loop_post(k->media, &k->closing);
}

/* ---- between them ---- */

static void on_news(struct loop *l, struct loop_msg *m)
{
    struct media_news *n = CONTAINER_OF(m, struct media_news, msg);
    if (!n->link->closed) {
        n->heard(n->link, n);
    }
    free(n);
}

void media_link_tell(struct media_link *k, struct media_news *n,
                     void (*heard)(struct media_link *k, const struct media_news *n))
{
    n->msg.deliver = on_news;
    n->link = k;
    n->heard = heard;
    loop_post(k->control, &n->msg);
}

struct question {
    struct loop_msg msg;
    struct media_link *link;
    void (*fn)(struct media_link *k);
};

static void on_question(struct loop *l, struct loop_msg *m)
{
    struct question *q = CONTAINER_OF(m, struct question, msg);
    q->fn(q->link);
    free(q);
}

void media_link_ask(struct media_link *k, void (*fn)(struct media_link *k))
{
    struct question *q = mem_new(struct question);
    q->msg.deliver = on_question;
    q->link = k;
    q->fn = fn;
    loop_post(k->media, &q->msg);
}
