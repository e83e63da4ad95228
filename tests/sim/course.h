/* SPDX-License-Identifier: Apache-2.0
 *
 * How far a run has come, and what all runs have led through: what a failure is reported with, and
 * what a trace prints.
 */
#ifndef TESTS_SIM_COURSE_H
#define TESTS_SIM_COURSE_H

#include "tests/sim/coverage.h"

struct course {
    const char *program; /* borrowed: how a failed seed is run again */
    bool trace;          /* print every event */
    uint64_t event;      /* number of the one that is under way */
    uint64_t now_ms;     /* and its time */
    struct coverage coverage;
};

#endif
