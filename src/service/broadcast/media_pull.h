/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An RTMP pull (protocol/rtmp) on its media loop, as the control loop has it: one try, which ends by media_pull_close(). */
#include "protocol/rtmp/rtmp_pull.h"

struct media_pull;

/* media_pull_close() may be called in both. */
struct media_pull_ops {
    void (*on_open)(void *user); /* media comes */
    void (*on_end)(void *user, enum rtmp_pull_end end, const char *why);
};

/* config is copied; its tls outlives the pull. */
struct media_pull *media_pull_open(struct engine *e, struct loop *control, struct loop *media,
                                   const struct rtmp_pull_config *config,
                                   const struct media_pull_ops *ops, void *user);
/* Nothing is told any more. NULL is fine; returns NULL. */
struct media_pull *media_pull_close(struct media_pull *p);
