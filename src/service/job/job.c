/* SPDX-License-Identifier: Apache-2.0 */
#include "service/job/job.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ID_RANDOM     16
#define WAIT_FIRST_NS NS_PER_S
#define WAIT_MAX_NS   (300 * NS_PER_S)

const struct model_enum job_state_names[] = {
    {"queued", JOB_QUEUED}, {"claimed", JOB_CLAIMED},     {"done", JOB_DONE},
    {"dead", JOB_DEAD},     {"cancelled", JOB_CANCELLED}, {NULL, 0},
};

/* Names that stand in keys of Redis, topics of Kafka and paths of the API. */
static int check_name(const void *member, struct error *err)
{
    const char *s = *(char *const *)member;
    size_t n =
        s ? strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") : 0;
    if (s && s[n]) {
        return error_set(err, -EINVAL, "", "only letters, digits, '_', '.' and '-' are possible");
    }
    return 0;
}

static const struct model_field fields[] = {
    MODEL_STRING(struct job, id, .read_only = true, .max = JOB_ID_MAX - 1, .check = check_name),
    MODEL_STRING(
        struct job, kind, .required = true, .min = 1, .max = 64, .check = check_name,
        .doc =
            "What is to be done: `start_broadcast`, `stop_broadcast`, `adopt_broadcast`, or what an embedding "
            "program handles.",
        .example = "start_broadcast"),
    MODEL_RAW(struct job, payload, .max = JOB_PAYLOAD_MAX,
              .doc = "What it is about; of `start_broadcast` a broadcast request."),
    MODEL_STRING(
        struct job, queue_kind, .max = 16, .check = check_name,
        .doc =
            "The kind of queue it is for: `sqlite`, `redis`, `kafka`. Without it the first one."),
    MODEL_STRING(struct job, broadcast_id, .max = 64, .check = check_name,
                 .doc = "The broadcast that it is about; a start without one gets one."),
    MODEL_STRING(struct job, target, .max = 64, .check = check_name,
                 .doc = "The only worker that may take it."),
    MODEL_STRING(struct job, trace_id, .max = 128, .doc = "The sender's own, handed on."),
    MODEL_INT(struct job, attempts, .read_only = true, .min = 0, .max = JOB_ATTEMPTS_MAX,
              .doc = "How many have failed."),
    MODEL_INT(struct job, max_attempts, .def = "5", .min = 1, .max = JOB_ATTEMPTS_MAX,
              .doc = "After so many it is dead, and people may look at it."),
    MODEL_TIME(struct job, not_before, .doc = "It waits until then."),
    MODEL_TIME(struct job, created_at, .read_only = true),
    MODEL_STRING(struct job, last_error, .read_only = true, .max = 1024,
                 .doc = "Why the newest attempt failed."),
};
_Static_assert(JOB_ATTEMPTS == 5, "the default above");
/* Others may write envelopes too, newer ones among them. */
const struct model job_model = MODEL("Job", struct job, fields, .unknown = MODEL_IGNORE);

int job_read(struct job *ret, struct bytes json, struct error *err)
{
    static const struct model_parse_opts opts = {.max_bytes = JOB_BODY_MAX};
    int r = model_parse_json(&job_model, ret, json, &opts, err);
    if (r >= 0 && !ret->id) {
        model_done(&job_model, ret);
        r = error_set(err, -EINVAL, "id", "a job without one cannot be told apart");
    }
    return r;
}

void job_write(const struct job *j, struct out *o)
{
    /* What is secret in the payload was sealed by who made it. */
    static const struct model_write_opts opts = {.secrets = MODEL_SECRETS_CLEAR};
    struct json json = json_init(o);
    (void)model_write(&job_model, j, &opts, &json);
}

char *job_new_id(char buf[JOB_ID_MAX])
{
    memcpy(buf, "job_", 4);
    random_id(buf + 4, ID_RANDOM);
    return buf;
}

int64_t job_wait_ns(int attempts)
{
    int64_t wait = WAIT_FIRST_NS;
    for (int i = 1; i < attempts && wait < WAIT_MAX_NS; i++) {
        wait *= 2;
    }
    wait = MIN(wait, WAIT_MAX_NS);
    return wait / 2 + (int64_t)random_below((uint64_t)wait / 2 + 1);
}

bool job_failed(struct job *j, const char *why, bool final, int64_t now)
{
    free(j->last_error);
    j->last_error = mem_printf("%.1000s", why);
    j->attempts++;
    if (final || j->attempts >= j->max_attempts) {
        return false;
    }
    j->not_before = now + job_wait_ns(j->attempts);
    return true;
}
