/* SPDX-License-Identifier: Apache-2.0
 *
 * Six digits are what people read; more of them where it takes more to tell two numbers apart.
 */
#include "server/model/differs.h"

#include <string.h>

#include "proto/error.h"

/* 17 digits tell any two doubles apart. */
enum { DIGITS_LEAST = 6, DIGITS_MOST = 17, NUMBER_BYTES = 32 };

enum stepd_status differs_number(struct stepd_error *reterr, const char *what, double defined,
                                 double wanted)
{
    char have[NUMBER_BYTES] = "";
    char want[NUMBER_BYTES] = "";
    for (int digits = DIGITS_LEAST; digits <= DIGITS_MOST && strcmp(have, want) == 0; digits++) {
        (void)stepd_format(have, sizeof have, "%.*g", digits, defined);
        (void)stepd_format(want, sizeof want, "%.*g", digits, wanted);
    }
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s is defined as %s, not %s", what, have,
                      want);
}

enum stepd_status differs_text(struct stepd_error *reterr, const char *what, const char *defined,
                               const char *wanted)
{
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s is defined as '%s', not '%s'", what,
                      defined, wanted);
}
