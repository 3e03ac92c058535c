/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/pulse.h"

#include "base/clock.h"
#include "base/mem.h"

#define RING (STREAM_PULSE_SECONDS + 1) /* the complete ones, and the one being counted */

void pulse_bytes(struct pulse *p, int64_t now_ns, uint32_t bytes)
{
    int64_t second = now_ns / NS_PER_S;
    if (p->second == 0) {
        p->second = second;
    }
    /* Seconds without media are zeros; after a long pause the whole ring is. */
    for (int64_t n = MIN(second - p->second, (int64_t)RING); n > 0; n--) {
        p->bytes[(second - n + 1) % RING] = 0;
    }
    if (second > p->second) {
        p->known = (uint32_t)MIN(p->known + (second - p->second), (int64_t)STREAM_PULSE_SECONDS);
        p->second = second;
    }
    p->bytes[p->second % RING] += bytes;
}

void pulse_picture(struct pulse *p, const struct sample *s)
{
    if (p->open && s->group != p->group) {
        /* Nothing came between two epochs: the last group of one ends with its last picture. */
        int64_t end = s->epoch == p->counted.epoch ? s->dts_ns : p->end_ns;
        p->counted.duration_ns = end - p->group_ns;
        p->groups[p->n_groups++ % STREAM_PULSE_GROUPS] = p->counted;
        p->open = false;
    }
    if (!p->open) {
        p->open = true;
        p->group = s->group;
        p->group_ns = s->dts_ns;
        p->counted = (struct stream_pulse_group){.epoch = s->epoch};
    }
    p->end_ns = s->dts_ns + s->duration_ns;
    p->counted.pictures++;
    p->counted.bytes += s->payload ? s->payload->len : 0;
}

void pulse_show(const struct pulse *p, int64_t now_ns, struct stream_pulse *ret)
{
    int64_t silent = p->second ? MIN(now_ns / NS_PER_S - p->second, (int64_t)RING) : 0;
    int64_t known = MIN(p->known + silent, (int64_t)STREAM_PULSE_SECONDS);
    *ret = (struct stream_pulse){.n_seconds = (uint32_t)known};
    for (int64_t i = 0; i < known; i++) {
        int64_t second = p->second + silent - known + i;
        ret->bytes[i] = second <= p->second ? p->bytes[second % RING] : 0;
    }
    ret->n_groups = (uint32_t)MIN(p->n_groups, (uint64_t)STREAM_PULSE_GROUPS);
    for (uint32_t i = 0; i < ret->n_groups; i++) {
        ret->groups[i] = p->groups[(p->n_groups - ret->n_groups + i) % STREAM_PULSE_GROUPS];
    }
}
