/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Something that lives on a media loop and belongs to somebody on the control loop. Each side has members of its own in what
 * embeds this, and messages go between them; nothing is shared. It is opened on the media loop, closed there, and freed on the
 * control loop once all that was under way has arrived: so its owner may let go of it at any time.
 */
#include "io/loop.h"

struct media_link;

struct media_link_kind {
    void (*open)(struct media_link *k);  /* media loop, first */
    void (*close)(struct media_link *k); /* media loop, last */
    void (*free)(struct media_link *k);  /* control loop: what it is embedded in */
};

struct media_link {
    const struct media_link_kind *kind;
    struct loop *control;
    struct loop *media;
    struct loop_msg opening, closing, gone; /* private */
    bool closed;                            /* control loop: the owner hears no more */
};

/* Control loop. */
void media_link_open(struct media_link *k, const struct media_link_kind *kind, struct loop *control,
                     struct loop *media);
void media_link_close(struct media_link *k);

/* News, embedded first; allocated by who sends it, freed when it was heard. */
struct media_news {
    struct loop_msg msg; /* private */
    struct media_link *link;
    void (*heard)(struct media_link *k, const struct media_news *n);
};
/* From the media loop to the owner, who hears it unless it has let go. */
void media_link_tell(struct media_link *k, struct media_news *n,
                     void (*heard)(struct media_link *k, const struct media_news *n));
/* From the owner to the media loop, between open and close. */
void media_link_ask(struct media_link *k, void (*fn)(struct media_link *k));
