/* SPDX-License-Identifier: Apache-2.0
 *
 * What a person sees while training goes on: the step, the smoothed loss of this worker, how many
 * examples all workers together take per second, and how long it will still be. On a terminal one
 * line that is written over; elsewhere a line now and then.
 */
#ifndef TRAIN_PROGRESS_H
#define TRAIN_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "client/train/curve.h"

struct progress {
    FILE *out;         /* borrowed; NULL: say nothing */
    const char *title; /* in front of each line; borrowed */
    bool terminal;
    uint64_t total; /* steps */
    double began;   /* all times in seconds, of one clock */
    double shown;
    struct curve_mean loss; /* this worker's */
    uint64_t first_step;
    uint64_t examples; /* of all workers, since `began` */
};

/* What has happened when a step has been taken. */
struct progress_step {
    uint64_t step;     /* steps taken so far */
    double loss;       /* NAN: this worker had no examples */
    uint64_t examples; /* of all workers in this step */
    double now;
};

/* Starts counting, with no title. first_step: steps that had been taken before. */
struct progress progress_start(FILE *out, bool terminal, uint64_t first_step, uint64_t total,
                               double now);

/* Takes note of a step, and shows where things stand if it is time for that. */
void progress_update(struct progress *progress, const struct progress_step *step);

/* Leaves the terminal's line behind, so that what follows starts on one of its own. */
void progress_end(struct progress *progress);

#endif
