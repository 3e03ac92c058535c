/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How many workers there should be: a pure function of what a queue tells and of what was decided before. Who makes and ends them
 * is somebody else's (a pool of ours, systemd, Kubernetes).
 *
 * It grows at once and shrinks slowly: growing needs one look, shrinking needs the queue to have wanted less for the whole cooldown.
 * A lag that is not known (-1) changes nothing.
 */
#include "base/model.h"

/* Field names as in the seeds, where they have them. */
struct scale_policy {
    int min_workers;
    int max_workers;
    int target_lag_per_worker;
    int64_t up_cooldown_ns;   /* between two growths */
    int64_t down_cooldown_ns; /* since the last change, and since more were wanted */
    int max_step_up;          /* at once; 0 = no bound */
    int max_step_down;
};
extern const struct model scale_policy_model;

struct scale_input {
    int64_t lag; /* -1: not known */
    int workers; /* that live, or are being made */
    int busy; /* of them, those with something in their hands that must not be ended: never fewer than these */
    int64_t now; /* monotonic */
};

/* Zeroed before the first decision. */
struct scale_state {
    int64_t changed_ns; /* 0: never */
    int64_t wanted_ns;  /* when as many as there are, or more, were last wanted */
};

struct scale_decision {
    int desired;
    const char *reason; /* static: why this many, for people */
};
/* Notes in state what it decided; the caller acts on `desired` when it differs from in->workers. */
struct scale_decision scale_decide(const struct scale_policy *p, struct scale_state *state,
                                   const struct scale_input *in);
