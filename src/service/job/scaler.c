/* SPDX-License-Identifier: Apache-2.0 */
#include "service/job/scaler.h"

#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>

#define WORKERS_MAX 10000

static int check_policy(void *obj, struct error *err)
{
    const struct scale_policy *p = obj;
    if (p->max_workers < p->min_workers) {
        return error_set(err, -EINVAL, "max_workers", "fewer than min_workers");
    }
    return 0;
}

static const struct model_field fields[] = {
    MODEL_INT(struct scale_policy, min_workers, .def = "1", .min = 0, .max = WORKERS_MAX,
              .doc = "Never fewer."),
    MODEL_INT(struct scale_policy, max_workers, .def = "4", .min = 1, .max = WORKERS_MAX,
              .doc = "Never more."),
    MODEL_INT(struct scale_policy, target_lag_per_worker, .def = "10", .min = 1, .max = 1000000,
              .doc = "Jobs that may wait for each worker."),
    MODEL_DURATION(struct scale_policy, up_cooldown_ns, .key = "up_cooldown", .def = "5s", .min = 0,
                   .max = 24 * 3600 * NS_PER_S, .doc = "Between two growths."),
    MODEL_DURATION(struct scale_policy, down_cooldown_ns, .key = "down_cooldown", .def = "1m",
                   .min = 0, .max = 24 * 3600 * NS_PER_S,
                   .doc = "How long fewer must have been enough before there are fewer."),
    MODEL_INT(struct scale_policy, max_step_up, .def = "0", .min = 0, .max = WORKERS_MAX,
              .doc = "At most so many more at once; 0 = no bound."),
    MODEL_INT(struct scale_policy, max_step_down, .def = "1", .min = 0, .max = WORKERS_MAX,
              .doc = "At most so many fewer at once; 0 = no bound."),
};
const struct model scale_policy_model =
    MODEL("AutoscalePolicy", struct scale_policy, fields, .check = check_policy);

static int clamp(int64_t n, int min, int max)
{
    return n < min ? min : n > max ? max : (int)n;
}

static bool cooled(int64_t since, int64_t cooldown, int64_t now)
{
    return since == 0 || now - since >= cooldown;
}

static struct scale_decision change(struct scale_state *state, const struct scale_input *in,
                                    int desired, const char *reason)
{
    if (desired != in->workers) {
        state->changed_ns = in->now;
    }
    return (struct scale_decision){desired, reason};
}

static struct scale_decision grow(const struct scale_policy *p, struct scale_state *state,
                                  const struct scale_input *in, int wanted)
{
    state->wanted_ns = in->now;
    if (in->workers < p->min_workers) {
        /* The floor is no matter of load: it is kept at once. */
        return change(state, in, p->min_workers, "fewer than the least");
    }
    if (!cooled(state->changed_ns, p->up_cooldown_ns, in->now)) {
        return (struct scale_decision){in->workers, "has just been changed"};
    }
    int step = p->max_step_up ? MIN(wanted - in->workers, p->max_step_up) : wanted - in->workers;
    return change(state, in, in->workers + step, "jobs wait");
}

static struct scale_decision shrink(const struct scale_policy *p, struct scale_state *state,
                                    const struct scale_input *in, int wanted)
{
    wanted = MAX(wanted, MIN(in->busy, in->workers));
    if (in->workers > p->max_workers) {
        return change(state, in, MAX(p->max_workers, MIN(in->busy, in->workers)),
                      "more than the most");
    }
    if (wanted >= in->workers) {
        return (struct scale_decision){in->workers, "all have something in their hands"};
    }
    if (!cooled(state->changed_ns, p->down_cooldown_ns, in->now) ||
        !cooled(state->wanted_ns, p->down_cooldown_ns, in->now)) {
        return (struct scale_decision){in->workers, "quiet, but not for long enough"};
    }
    int step =
        p->max_step_down ? MIN(in->workers - wanted, p->max_step_down) : in->workers - wanted;
    return change(state, in, in->workers - step, "quiet");
}

struct scale_decision scale_decide(const struct scale_policy *p, struct scale_state *state,
                                   const struct scale_input *in)
{
    if (in->lag < 0) {
        /* Not even the bounds: who cannot see does not move. */
        state->wanted_ns = in->now;
        return (struct scale_decision){in->workers, "how many jobs wait is not known"};
    }
    /* From when on it has been seen: what was before the first look is not known. */
    state->wanted_ns = state->wanted_ns ? state->wanted_ns : in->now;
    int64_t need = in->lag / p->target_lag_per_worker + (in->lag % p->target_lag_per_worker > 0);
    int wanted = clamp(need, p->min_workers, p->max_workers);
    if (wanted > in->workers) {
        return grow(p, state, in, wanted);
    }
    if (wanted < in->workers) {
        return shrink(p, state, in, wanted);
    }
    state->wanted_ns = in->now;
    return (struct scale_decision){in->workers, "as many as are needed"};
}
