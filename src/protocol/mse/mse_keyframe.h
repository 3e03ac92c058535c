/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * GET /{path+}/keyframe.mp4: the newest key frame of a stream as a small MP4 file (init segment and one fragment at time 0), so
 * that a page shows live thumbnails with the browser's own decoder. Asks the access question as a viewer does, but is none: no
 * reader, no event, nothing in the lists. What it costs is bounded: a pace for the whole server, and 304 while nothing is new.
 */
#include "io/http.h"

#include <stdatomic.h>

/* The route's handler; user is the struct engine *. Media loops. */
void mse_handle_keyframe(void *user, struct http_request *req, struct http_reply *reply);

/*
 * Counts one more in the second of now_ns; false when there were MSE_KEYFRAMES_PER_SECOND already. pace begins as 0: the second
 * is in its upper half, the count in the lower. Any thread.
 */
#define MSE_KEYFRAMES_PER_SECOND 1000
bool mse_pace_take(atomic_uint_fast64_t *pace, int64_t now_ns);
