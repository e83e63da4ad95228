/* SPDX-License-Identifier: Apache-2.0
 *
 * Durations of one thing that was measured many times, and the clock they come from.
 */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stddef.h>
#include <sys/types.h>

#define SAMPLES_MAX 16384u

struct samples {
    size_t count;        /* at most SAMPLES_MAX; what comes after is not kept */
    double cpu_s;        /* that a serving process spent on all of them; 0: not known */
    const char *control; /* congestion control that they were under; NULL: none */
    double seconds[SAMPLES_MAX];
};

/* Seconds of a clock that only goes forward. Any thread. */
double samples_now(void);

/* Seconds that the threads of a process have been running, in the system's code or in their own.
 * 0: there is no such process. */
double samples_cpu(pid_t pid);

void samples_add(struct samples *samples, double seconds);

/* The mean duration; 0 without any. */
double samples_mean(const struct samples *samples);

/* The middle duration, or the mean of the two middle ones; 0 without any. Sorts the samples. */
double samples_median(struct samples *samples);

/* The least duration that `fraction` (0 to 1) of the samples do not exceed; 0 without any. Sorts
 * the samples. */
double samples_quantile(struct samples *samples, double fraction);

#endif
