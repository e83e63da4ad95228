/* SPDX-License-Identifier: Apache-2.0
 *
 * The range of a number that somebody may set, and the sentence that says it: "must be in [0, 1),
 * and 2 is not". What has a name and a range holds one of these in its table.
 */
#ifndef BASE_RANGE_H
#define BASE_RANGE_H

#include <stdbool.h>

#include <stepd/status.h>

struct range {
    double least;
    double most;
    bool least_open; /* the number must be above least */
    bool most_open;  /* the number must be below most */
    bool whole;      /* whole numbers only */
};

/* Whole numbers up to here are exact in a double: 2^53. */
#define RANGE_WHOLE_MOST 9007199254740992.0

/* OK: the value is in range. INVALID_ARGUMENT: it is not, or is NaN; the text begins with `name`.
 * Any thread. */
enum stepd_status range_check(const struct range *range, const char *name, double value,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
