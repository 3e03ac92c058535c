/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Reading the clocks. Only loops, programs and tests call these; everything with logic takes `now` as a parameter, so that
 * tests can inject it. Nanoseconds everywhere. Any thread.
 */
#include <stdint.h>

#define NS_PER_US 1000LL
#define NS_PER_MS 1000000LL
#define NS_PER_S  1000000000LL

int64_t clock_mono_ns(void);   /* CLOCK_MONOTONIC: never steps; the base of stream time */
int64_t clock_thread_ns(void); /* CPU time of the calling thread; a system call */
int64_t clock_wall_ns(
    void); /* CLOCK_REALTIME since 1970: may step; for people and for PROGRAM-DATE-TIME only */

/* RFC 3339 UTC with milliseconds, "2026-01-02T03:04:05.678Z"; buf holds at least 25 bytes. Returns buf. */
#define CLOCK_RFC3339_MAX 32
char *clock_format_rfc3339(int64_t wall_ns, char *buf);
