/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* `mast serve --demo`: a moving test picture with a clock and a tone, published through the real RTMP port by ffmpeg. */
#include "app/config.h"
#include "io/loop.h"

struct demo;

/* Control loop. Without ffmpeg the demo fails with a log line and everything else runs. */
struct demo *demo_start(struct loop *control, const struct config *config, uint16_t rtmp_port);
/* done comes when ffmpeg is gone; then demo_free(). */
void demo_stop(struct demo *d, void (*done)(void *user), void *user);
struct demo *demo_free(struct demo *d);
