/* SPDX-License-Identifier: Apache-2.0
 *
 * Medians: what a machine's other work does to a measurement is to make some samples long, which a
 * mean would carry on. A mean is for who asks how much was done in all.
 */
#include "tests/bench/samples.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

double samples_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double samples_cpu(pid_t pid)
{
    clockid_t clock;
    struct timespec spent;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &spent) != 0)
        return 0;
    return (double)spent.tv_sec + 1e-9 * (double)spent.tv_nsec;
}

void samples_add(struct samples *samples, double seconds)
{
    if (samples->count < SAMPLES_MAX)
        samples->seconds[samples->count++] = seconds;
}

double samples_mean(const struct samples *samples)
{
    double sum = 0;
    for (size_t i = 0; i < samples->count; i++)
        sum += samples->seconds[i];
    return samples->count > 0 ? sum / (double)samples->count : 0;
}

static int compare(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    return (left > right) - (left < right);
}

static void sort(struct samples *samples)
{
    qsort(samples->seconds, samples->count, sizeof samples->seconds[0], compare);
}

double samples_median(struct samples *samples)
{
    const size_t count = samples->count;
    if (count == 0)
        return 0;
    sort(samples);
    return (samples->seconds[(count - 1) / 2] + samples->seconds[count / 2]) / 2;
}

double samples_quantile(struct samples *samples, double fraction)
{
    const double rank = ceil(fraction * (double)samples->count);
    if (samples->count == 0)
        return 0;
    sort(samples);
    return samples->seconds[rank > 1 ? (size_t)rank - 1 : 0];
}
