/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Runs a loop until a condition holds; fails the test when it does not within a time that only a broken program needs. */
#include "../unit.h"

#include "base/clock.h"
#include "io/loop.h"

#define AWAIT(l, cond)                                                                             \
    do {                                                                                           \
        int64_t await_end = clock_mono_ns() + 30 * NS_PER_S;                                       \
        while (!(cond)) {                                                                          \
            if (clock_mono_ns() > await_end) {                                                     \
                fail_msg("%s does not come true", #cond);                                          \
            }                                                                                      \
            loop_run_once((l), 50);                                                                \
        }                                                                                          \
    } while (0)
