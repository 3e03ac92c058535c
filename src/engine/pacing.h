/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * When a replica's readers get their next turn. A turn costs one system call a reader, whatever it carries; so the dearer
 * turns are, the further apart they are held, and the more each write carries. With few readers nothing waits.
 *
 * Video waits until turns take at most a third of the time. Audio waits much sooner: it rides with the next picture, which is
 * due soon and which the player needs as well, so that readers are written to once a frame instead of three times. Nothing
 * waits longer than max_ns. Pure; the replica's loop.
 */
#include <stdbool.h>
#include <stdint.h>

struct pacing {
    int64_t max_ns;  /* 0 = nothing ever waits */
    int64_t cost_ns; /* CPU time of a turn, smoothed */
    int64_t last_ns; /* end of the last turn */
};

/* A turn of all readers took so much CPU time (not the clock's: a busy machine is no reason to wait) and ended now. */
void pacing_took(struct pacing *p, int64_t cost_ns, int64_t now_ns);
/* When the next turn is due; in the past means now. */
int64_t pacing_due_ns(const struct pacing *p, bool has_video);
