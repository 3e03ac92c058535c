/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One derived stream with other sound: "live/x~opus" or "live/x~aac", made from "live/x" for as long as this object lives.
 * It is a reader of the parent and the publisher of the derived stream: pictures pass by reference, sound that is of another
 * codec goes through a job of peer/av, and both keep the parent's time line. It publishes while the parent is live; a parent
 * that is not there is waited for.
 *
 * Lives on one media loop. Who starts and ends it is the caller: derived_maker.h, for those who read it.
 */
#include "engine/stream.h"
#include "peer/av/av.h"

/* "live/x~opus" to "live/x" (STREAM_PATH_MAX + 1 bytes) and CODEC_OPUS. -EINVAL for any other path. */
int derived_parse(const char *path, char *parent, enum codec *ret);

struct derived;

struct derived_ops {
    /* Whether the parent is there, as far as is known, when that changed: live, about to be, or waited for. May be NULL. */
    void (*on_expected)(void *user, bool expected);
    /* It will not go on: somebody ended its reader or publisher, or the sound cannot be converted. Then derived_stop(). */
    void (*on_end)(void *user, int r, const char *why);
};

/* path is one that derived_parse() takes. l: a media loop, the caller's thread. */
struct derived *derived_start(struct engine *e, struct loop *l, struct av_pool *pool,
                              const char *path, const struct derived_ops *ops, void *user);
struct derived *derived_stop(struct derived *d); /* NULL is fine; returns NULL */
