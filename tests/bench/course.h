/* SPDX-License-Identifier: Apache-2.0
 *
 * How one worker's exchanges are measured: for each size of a section a course, in which stepd's
 * and the bare lanes of all ways of connecting take turns.
 */
#ifndef BENCH_COURSE_H
#define BENCH_COURSE_H

#include <stdbool.h>
#include <stddef.h>

#include <stepd/client.h>

#include "tests/bench/bare.h"
#include "tests/bench/report.h"
#include "tests/bench/step.h"

#define COURSE_SIZES_MAX 5u
#define COURSE_WORKS_MAX 2u
#define COURSE_POLL_US   200 /* longer than any of the steps that are polled for */
#define COURSE_POLL_FLAG "200"

/* What is done in one exchange. */
typedef enum stepd_status exchange_fn(struct stepd_client *client, const struct stepd_array *arrays,
                                      size_t count, const struct stepd_step_options *options,
                                      struct stepd_error *reterr);

/* Its twin that does not wait. */
typedef enum stepd_status start_fn(struct stepd_client *client, const struct stepd_array *arrays,
                                   size_t count, const struct stepd_step_options *options,
                                   struct stepd_op **ret_op, struct stepd_error *reterr);

/* A section of the report. */
struct section {
    const char *name;
    const char *title;
    exchange_fn *exchange;
    start_fn *start;   /* its twin that does not wait; NULL: no gradient is sent */
    bool pulls_first;  /* before each exchange, unmeasured */
    int pushes_a_step; /* of a job that accumulates: the first is measured; 0: each makes one */
    enum bare_work work[COURSE_WORKS_MAX]; /* of the lanes bare and raw */
    size_t works;                          /* 0: the bare lane is an echo */
    size_t directions;                     /* the array travels there, back, or both */
    bool polls; /* all that wait do so without sleeping, for COURSE_POLL_US */
    size_t sizes[COURSE_SIZES_MAX];
    size_t quick_sizes[COURSE_SIZES_MAX]; /* 0: no more */
};

/* All sizes of a section. Errors of the daemon, of the bare peer and of libstepd, with a text for
 * people. */
enum stepd_status course_measure(const struct step_settings *settings,
                                 const struct section *section, struct report *report,
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
