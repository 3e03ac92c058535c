/* SPDX-License-Identifier: Apache-2.0 */
#include "service/broadcast/media_sender.h"

#include "base/mem.h"
#include "service/broadcast/media_link.h"

#include <stdio.h>

struct media_sender {
    struct media_link link;
    /* Control loop. */
    media_sender_fn told;
    void *user;
    /* Media loop. */
    struct engine *engine;
    struct rtp_sender_config config; /* until it is open */
    struct rtp_sender *sender;
    struct media_sender_view view;
};
#define SENDER(k) CONTAINER_OF((k), struct media_sender, link)

struct news {
    struct media_news news;
    struct media_sender_view view;
};

/* ---- media loop ---- */

static void heard(struct media_link *k, const struct media_news *n)
{
    struct media_sender *s = SENDER(k);
    s->told(s->user, &CONTAINER_OF(n, const struct news, news)->view);
}

static void tell(struct media_sender *s)
{
    struct news *n = mem_new(struct news);
    struct rtp_sender_stats stats = {0};
    if (s->sender) {
        rtp_sender_stats(s->sender, &stats);
        s->view.packets = 0;
        for (unsigned i = 0; i < RTP_SENDER_TRACKS_MAX; i++) {
            s->view.packets += stats.tracks[i].packets;
        }
        s->view.b_dropped = stats.b_dropped;
        s->view.key_requests = stats.key_requests;
    }
    n->view = s->view;
    media_link_tell(&s->link, &n->news, heard);
}

static void on_state(void *user, enum reader_state state, const char *reason)
{
    struct media_sender *s = user;
    s->view.state = state;
    snprintf(s->view.why, sizeof(s->view.why), "%s", reason ? reason : "");
    tell(s);
}

static void end(struct media_sender *s, enum rtp_sender_end end, const char *why)
{
    s->view.ended = true;
    s->view.end = end;
    snprintf(s->view.why, sizeof(s->view.why), "%s", why ? why : "");
    tell(s);
}

static void on_end(void *user, enum rtp_sender_end why, const char *text)
{
    end(user, why, text);
}

static void config_done(struct rtp_sender_config *c)
{
    free((char *)c->path);
    free((struct rtp_sender_track *)c->tracks);
    *c = (struct rtp_sender_config){0};
}

static void open_it(struct media_link *k)
{
    static const struct rtp_sender_ops ops = {.on_state = on_state, .on_end = on_end};
    struct media_sender *s = SENDER(k);
    struct error err = {0};
    s->sender = rtp_sender_open(s->engine, k->media, &s->config, &ops, s, &err);
    config_done(&s->config);
    if (!s->sender) {
        end(s, RTP_SENDER_CLOSED, err.text);
    }
}

static void close_it(struct media_link *k)
{
    SENDER(k)->sender = rtp_sender_close(SENDER(k)->sender);
}

static void ask(struct media_link *k)
{
    tell(SENDER(k));
}

/* ---- control loop ---- */

static void free_it(struct media_link *k)
{
    free(SENDER(k));
}

static const struct media_link_kind kind = {.open = open_it, .close = close_it, .free = free_it};

struct media_sender *media_sender_open(struct engine *e, struct loop *control, struct loop *media,
                                       const struct rtp_sender_config *config, media_sender_fn told,
                                       void *user)
{
    struct media_sender *s = mem_new(struct media_sender);
    s->told = told;
    s->user = user;
    s->engine = e;
    s->config = (struct rtp_sender_config){
        .path = mem_strdup(config->path),
        .tracks = mem_memdup(config->tracks, config->n_tracks * sizeof(*config->tracks)),
        .n_tracks = config->n_tracks,
        .replay = config->replay,
        .drop_b = config->drop_b,
    };
    media_link_open(&s->link, &kind, control, media);
    return s;
}

void media_sender_ask(struct media_sender *s)
{
    media_link_ask(&s->link, ask);
}

struct media_sender *media_sender_close(struct media_sender *s)
{
    if (s) {
        media_link_close(&s->link);
    }
    return NULL;
}
