/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a job's envelope as it stands in a queue that others write too. What is taken comes back the same from what we write. */
#include "base/mem.h"
#include "service/job/job.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct job j;
    struct job again;
    struct error err = {0};
    int r = job_read(&j, BYTES(data, size), &err);
    if (r < 0) {
        assert(err.code == r && err.text[0]);
        return 0;
    }
    assert(j.id && j.kind && j.max_attempts >= 1 && j.max_attempts <= JOB_ATTEMPTS_MAX);
    _cleanup_(out_done) struct out o = {0};
    job_write(&j, &o);
    assert(job_read(&again, out_view(&o), NULL) == 0);
    assert(model_equal(&job_model, &j, &again));
    model_done(&job_model, &again);
    /* However often it fails, it dies in the end, and its waits are bounded. */
    const int64_t now = 0;
    unsigned tries = 1;
    while (job_failed(&j, "no", false, now)) {
        assert(j.not_before > now && j.not_before - now <= INT64_C(300000000000));
        assert(tries++ < JOB_ATTEMPTS_MAX);
    }
    model_done(&job_model, &j);
    return 0;
}
