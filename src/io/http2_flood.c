/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http2_private.h"

#include "base/clock.h"

/*
 * 1000 points, filled again in ten seconds: a burst of 200 resets and 20 a second for ever, 100 pings, 20 SETTINGS. A page
 * that cancels all of its hundred requests at once and does so again is still far from it; the attacks send that many in a
 * few milliseconds. WINDOW_UPDATE is paid for by the DATA that it answers.
 */
#define POINTS_MAX   1000
#define POINTS_PER_S 100

void http2_patience_init(struct http2_patience *p, int64_t now)
{
    *p = (struct http2_patience){.points = POINTS_MAX, .at_ns = now};
}

bool http2_patience_spend(struct http2_patience *p, unsigned cost, int64_t now)
{
    int64_t gained = (now - p->at_ns) / (NS_PER_S / POINTS_PER_S);
    if (gained > 0) {
        p->points = MIN(p->points + gained, (int64_t)POINTS_MAX);
        p->at_ns = now;
    }
    p->points -= cost;
    return p->points >= 0;
}

void http2_patience_earn(struct http2_patience *p, unsigned points)
{
    p->points = MIN(p->points + points, (int64_t)POINTS_MAX);
}

#define DATA_TINY 64

unsigned http2_frame_cost(const nghttp2_frame_hd *hd)
{
    switch (hd->type) {
    case NGHTTP2_DATA:
        if (hd->flags & NGHTTP2_FLAG_END_STREAM) {
            return 0;
        }
        return hd->length == 0 ? 10 : hd->length < DATA_TINY;
    case NGHTTP2_HEADERS:
        return 0; /* an exchange costs what its route makes of it; resets are counted */
    case NGHTTP2_PRIORITY:
        return 2;
    case NGHTTP2_RST_STREAM:
        return HTTP2_COST_RESET;
    case NGHTTP2_SETTINGS:
        return hd->flags & NGHTTP2_FLAG_ACK ? 0 : 50;
    case NGHTTP2_PING:
        return 10;
    case NGHTTP2_WINDOW_UPDATE:
        return 1;
    case NGHTTP2_CONTINUATION:
        return 10;
    default:
        return 5;
    }
}
