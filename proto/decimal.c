/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/decimal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool stepd_decimal_read(const char *text, size_t length, double *ret_number)
{
    /* strtod knows more: leading blanks, hexadecimals, and some words. */
    if (length == 0 || strspn(text, "0123456789+-.eE") < length)
        return false;
    char *end;
    const double number = strtod(text, &end);
    if (end != text + length || !isfinite(number))
        return false;
    *ret_number = number;
    return true;
}
