/* SPDX-License-Identifier: Apache-2.0
 *
 * The work is timed by the wall clock, so where workers share a machine, the slow one is slower
 * than the others however much they get in each other's way.
 */
#include "client/train/pace.h"

#include <errno.h>
#include <time.h>

#define NANOSECONDS 1000000000L

static double real_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void real_sleep(double seconds)
{
    struct timespec end;
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    const time_t whole = (time_t)seconds;
    end.tv_sec += whole;
    end.tv_nsec += (long)((seconds - (double)whole) * (double)NANOSECONDS);
    if (end.tv_nsec >= NANOSECONDS) {
        end.tv_sec++;
        end.tv_nsec -= NANOSECONDS;
    }
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL) == EINTR)
        ;
}

const struct pace_clock pace_clock_real = {.now = real_now, .sleep = real_sleep};

void pace_begin(struct pace *pace)
{
    if (pace->factor > 1)
        pace->began = pace->clock->now();
}

void pace_end(struct pace *pace)
{
    if (pace->factor <= 1)
        return;
    const double ended = pace->clock->now();
    pace->owed += (double)(pace->factor - 1) * (ended - pace->began);
    if (pace->owed <= 0)
        return;
    pace->clock->sleep(pace->owed);
    pace->owed -= pace->clock->now() - ended;
}
