/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t clock_mono_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_thread_ns(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

int64_t clock_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

char *clock_format_rfc3339(int64_t wall_ns, char *buf)
{
    /* Rounded down, for times before 1970 too. */
    int64_t ns = wall_ns % NS_PER_S;
    ns += ns < 0 ? NS_PER_S : 0;
    time_t s = (time_t)((wall_ns - ns) / NS_PER_S);
    struct tm tm;
    gmtime_r(&s, &tm);
    /* The year is cut to four digits so that the length is fixed whatever the clock says. */
    snprintf(buf, CLOCK_RFC3339_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
             (tm.tm_year + 1900) % 10000, (tm.tm_mon + 1) % 100, tm.tm_mday % 100, tm.tm_hour % 100,
             tm.tm_min % 100, tm.tm_sec % 100, (int)(ns / NS_PER_MS));
    return buf;
}
