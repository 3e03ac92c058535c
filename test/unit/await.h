/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Waiting for conditions. A test fails when a condition does not come true within a time that only a broken program needs,
 * however slow the machine: no test may depend on how soon something happens.
 */
#include "unit.h"

#include "base/clock.h"
#include "io/loop.h"

#include <unistd.h>

#define AWAIT_MAX_MS 60000

#define AWAIT_STEP(cond, step)                                                                     \
    do {                                                                                           \
        const int64_t _give_up = clock_mono_ns() + AWAIT_MAX_MS * NS_PER_MS;                       \
        while (!(cond)) {                                                                          \
            if (clock_mono_ns() > _give_up) {                                                      \
                fail_msg("%s:%d: never came true: %s", __FILE__, __LINE__, #cond);                 \
            }                                                                                      \
            step;                                                                                  \
        }                                                                                          \
    } while (0)

/* Runs the loop (on this thread) until the condition holds. */
#define RUN_UNTIL(l, cond) AWAIT_STEP(cond, loop_run_once((l), 20))

/* Runs it for a time: where what is looked for is that nothing happens. */
#define RUN_FOR(l, ms)                                                                             \
    do {                                                                                           \
        const int64_t _end = clock_mono_ns() + (ms)*NS_PER_MS;                                     \
        while (clock_mono_ns() < _end) {                                                           \
            loop_run_once((l), 10);                                                                \
        }                                                                                          \
    } while (0)

/* RUN_UNTIL while other threads do the work. */
#define WAIT_UNTIL(cond) AWAIT_STEP(cond, usleep(1000))
