/* SPDX-License-Identifier: Apache-2.0 */
#include "client/ctl/number.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 17 digits are always enough for a double, and 15 are mostly. */
#define DIGITS_LEAST 15
#define DIGITS_MOST  17

bool number_parse(const char *text, double *ret_number)
{
    char *end;
    /* strtod knows hexadecimals, which the config file and the server do not. */
    if (text[0] == '\0' || isspace((unsigned char)text[0]) || strpbrk(text, "xX") != NULL)
        return false;
    const double number = strtod(text, &end);
    if (end == text || *end != '\0')
        return false;
    *ret_number = number;
    return true;
}

bool number_parse_whole(const char *text, uint64_t least, uint64_t most, uint64_t *ret_number)
{
    char *end;
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    const unsigned long long number = strtoull(text, &end, 10);
    if (*end != '\0' || errno != 0 || number < least || number > most)
        return false;
    *ret_number = number;
    return true;
}

void number_shortest(double number, char ret_text[NUMBER_BYTES])
{
    for (int digits = DIGITS_LEAST; digits <= DIGITS_MOST; digits++) {
        (void)snprintf(ret_text, NUMBER_BYTES, "%.*g", digits, number);
        if (strtod(ret_text, NULL) == number)
            return;
    }
}
