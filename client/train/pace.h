/* SPDX-License-Identifier: Apache-2.0
 *
 * A slower machine than the one at hand: after each piece of work the worker sleeps so many times
 * as long as the work took the processor. What happens between the pieces, such as weights that
 * arrive while gradients are computed, keeps its place, as it would there.
 */
#ifndef TRAIN_PACE_H
#define TRAIN_PACE_H

#include <stdint.h>

struct pace_clock {
    double (*now)(void);           /* seconds, which never go back */
    double (*busy)(void);          /* seconds that a processor has worked for this thread */
    void (*sleep)(double seconds); /* more than 0; may take longer */
};

/* This machine's. Any thread. */
extern const struct pace_clock pace_clock_real;

struct pace {
    const struct pace_clock *clock; /* static */
    uint32_t factor;                /* how many times slower; 0 or 1: as fast as the machine is */
    double began;                   /* busy() before the piece of work */
    double owed;                    /* seconds still to sleep; below 0: it has slept too long */
};

/* Around each piece of work. pace_end sleeps; what it sleeps too long is taken off later. */
void pace_begin(struct pace *pace);
void pace_end(struct pace *pace);

#endif
