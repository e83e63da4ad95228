/* SPDX-License-Identifier: Apache-2.0
 *
 * Medians: what a machine's other work does to a measurement is to make some samples long, which a
 * mean would carry on.
 */
#include "tests/bench/samples.h"

#include <stdlib.h>
#include <time.h>

double samples_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void samples_add(struct samples *samples, double seconds)
{
    if (samples->count < SAMPLES_MAX)
        samples->seconds[samples->count++] = seconds;
}

static int compare(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    return (left > right) - (left < right);
}

double samples_median(struct samples *samples)
{
    const size_t count = samples->count;
    if (count == 0)
        return 0;
    qsort(samples->seconds, count, sizeof samples->seconds[0], compare);
    return (samples->seconds[(count - 1) / 2] + samples->seconds[count / 2]) / 2;
}
