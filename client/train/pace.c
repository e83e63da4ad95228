/* SPDX-License-Identifier: Apache-2.0
 *
 * The thread's own clock times the work, and not the wall's: where more workers than there are
 * processors compute at once, as they do when a round begins, all wait for one another, and that is
 * not to be multiplied. An OpenBLAS with threads of its own would hide their work from it, so
 * stepd-train gives it one.
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

static double real_busy(void)
{
    struct timespec busy;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &busy);
    return (double)busy.tv_sec + 1e-9 * (double)busy.tv_nsec;
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

const struct pace_clock pace_clock_real = {.now = real_now, .busy = real_busy, .sleep = real_sleep};

void pace_begin(struct pace *pace)
{
    if (pace->factor > 1)
        pace->began = pace->clock->busy();
}

void pace_end(struct pace *pace)
{
    if (pace->factor <= 1)
        return;
    pace->owed += (double)(pace->factor - 1) * (pace->clock->busy() - pace->began);
    if (pace->owed <= 0)
        return;
    const double began = pace->clock->now();
    pace->clock->sleep(pace->owed);
    pace->owed -= pace->clock->now() - began;
}
