/* SPDX-License-Identifier: Apache-2.0 */
#include "service/broadcast/media_pull.h"

#include "base/mem.h"
#include "io/net_guard.h"
#include "service/broadcast/media_link.h"

#include <stdio.h>
#include <string.h>

struct media_pull {
    struct media_link link;
    /* Control loop. */
    const struct media_pull_ops *ops;
    void *user;
    /* Media loop. */
    struct engine *engine;
    struct rtmp_pull_config config; /* until it is open */
    struct rtmp_pull *pull;
};
#define PULL(k) CONTAINER_OF((k), struct media_pull, link)

struct news {
    struct media_news news;
    bool ended;
    enum rtmp_pull_end end;
    char why[200];
};

/* ---- media loop ---- */

static void heard(struct media_link *k, const struct media_news *m)
{
    struct media_pull *p = PULL(k);
    const struct news *n = CONTAINER_OF(m, const struct news, news);
    if (n->ended) {
        p->ops->on_end(p->user, n->end, n->why);
    } else {
        p->ops->on_open(p->user);
    }
}

static void on_open(void *user)
{
    struct media_pull *p = user;
    media_link_tell(&p->link, &mem_new(struct news)->news, heard);
}

static void on_end(void *user, enum rtmp_pull_end end, const char *why)
{
    struct media_pull *p = user;
    struct news *n = mem_new(struct news);
    n->ended = true;
    n->end = end;
    snprintf(n->why, sizeof(n->why), "%s", why);
    media_link_tell(&p->link, &n->news, heard);
}

/* The URL may hold a key. */
static void config_done(struct rtmp_pull_config *c)
{
    explicit_bzero((char *)c->url, strlen(c->url));
    free((char *)c->url);
    free((char *)c->path);
    free((struct net_guard *)c->guard);
    *c = (struct rtmp_pull_config){0};
}

static void open_it(struct media_link *k)
{
    static const struct rtmp_pull_ops ops = {.on_open = on_open, .on_end = on_end};
    struct media_pull *p = PULL(k);
    struct error err = {0};
    p->pull = rtmp_pull_open(p->engine, k->media, &p->config, &ops, p, &err);
    config_done(&p->config);
    if (!p->pull) {
        on_end(p, RTMP_PULL_BROKEN, err.text);
    }
}

static void close_it(struct media_link *k)
{
    PULL(k)->pull = rtmp_pull_close(PULL(k)->pull);
}

/* ---- control loop ---- */

static void free_it(struct media_link *k)
{
    free(PULL(k));
}

static const struct media_link_kind kind = {.open = open_it, .close = close_it, .free = free_it};

struct media_pull *media_pull_open(struct engine *e, struct loop *control, struct loop *media,
                                   const struct rtmp_pull_config *config,
                                   const struct media_pull_ops *ops, void *user)
{
    struct media_pull *p = mem_new(struct media_pull);
    p->ops = ops;
    p->user = user;
    p->engine = e;
    p->config = *config;
    p->config.url = mem_strdup(config->url);
    p->config.path = mem_strdup(config->path);
    if (config->guard) {
        p->config.guard = mem_memdup(config->guard, sizeof(*config->guard));
    }
    media_link_open(&p->link, &kind, control, media);
    return p;
}

struct media_pull *media_pull_close(struct media_pull *p)
{
    if (p) {
        media_link_close(&p->link);
    }
    return NULL;
}
