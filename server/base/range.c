/* SPDX-License-Identifier: Apache-2.0
 *
 * One comparison and one sentence for every number with a range.
 */
#include "server/base/range.h"

#include <math.h>

#include "proto/error.h"

/* NaN is in no range: each comparison with it is false. */
static bool holds(const struct range *range, double value)
{
    const bool above = range->least_open ? value > range->least : value >= range->least;
    const bool below = range->most_open ? value < range->most : value <= range->most;
    return above && below;
}

enum stepd_status range_check(const struct range *range, const char *name, double value,
                              struct stepd_error *reterr)
{
    if (holds(range, value) && !(range->whole && value != floor(value)))
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s must be %sin %c%g, %g%c, and %g is not",
                      name, range->whole ? "a whole number " : "", range->least_open ? '(' : '[',
                      range->least, range->most, range->most_open ? ')' : ']', value);
}
