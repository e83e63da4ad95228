/* SPDX-License-Identifier: Apache-2.0
 *
 * Courses in numbers: a table of the steps that matter, and JSON of all of them.
 */
#ifndef CLIENT_CTL_COURSE_PRINT_H
#define CLIENT_CTL_COURSE_PRINT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <stepd/status.h>

#include "client/ctl/courses.h"

struct course_print_options {
    const struct courses *courses;
    uint64_t steps; /* 1 to COURSE_STEPS_MAX */
    uint64_t every; /* the distance of steps; 0: those where something happens, or all as JSON */
    bool named;     /* with the names of the groups */
};

/* A row for each step, a column for each course. INVALID_ARGUMENT: too many of either;
 * RESOURCE_EXHAUSTED. */
enum stepd_status course_print_table(const struct course_print_options *options, FILE *out,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* One array of {"group", "step", "lr", "momentum"}: course by course; the group where named, the
 * momentum where it is cycled. What cannot be written shows in ferror(out). */
void course_print_json(const struct course_print_options *options, FILE *out);

#endif
