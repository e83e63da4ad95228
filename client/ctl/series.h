/* SPDX-License-Identifier: Apache-2.0
 *
 * A course as a picture sees it: cut into as many columns as the picture has, each with the values
 * of its steps.
 */
#ifndef CLIENT_CTL_SERIES_H
#define CLIENT_CTL_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "client/ctl/course.h"

/* Steps of one column that are looked at; of more, these are spread over all of them. */
#define SERIES_SAMPLES_MAX 4096u

/* What is drawn of a course. */
enum series_of {
    SERIES_LR,
    SERIES_MOMENTUM,
};

struct series_column {
    bool any; /* otherwise there is no value in it */
    double first, last, least, most;
    bool rises; /* the least comes before the most */
};

struct series {
    size_t columns;
    struct series_column *column; /* owned */
};

/*
 * Cuts the steps 0 .. steps - 1 (at least one) into columns; where there are fewer steps than
 * columns, a step has several. RESOURCE_EXHAUSTED. *ret_series: caller frees with series_deinit.
 */
enum stepd_status series_init(const struct course *course, enum series_of of, uint64_t steps,
                              size_t columns, struct series *ret_series,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A zeroed series is fine. */
void series_deinit(struct series *series);

/* Widens the range by all values; one that is nothing yet is [INFINITY, -INFINITY]. */
void series_range(const struct series *series, double *least, double *most);

#endif
