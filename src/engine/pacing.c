/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/pacing.h"

#include "base/mem.h"

#define VIDEO_FACTOR 2
#define AUDIO_FACTOR 64

void pacing_took(struct pacing *p, int64_t cost_ns, int64_t now_ns)
{
    /* One turn that the kernel interrupted must not slow the next ones: an eighth of each change counts. */
    p->cost_ns += (cost_ns - p->cost_ns) / 8;
    p->last_ns = now_ns;
}

int64_t pacing_due_ns(const struct pacing *p, bool has_video)
{
    return p->last_ns + MIN(p->cost_ns * (has_video ? VIDEO_FACTOR : AUDIO_FACTOR), p->max_ns);
}
