/* SPDX-License-Identifier: Apache-2.0 */
#include "client/ctl/number.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/decimal.h"

/* 17 digits are always enough for a double, and 15 are mostly. */
#define DIGITS_LEAST 15
#define DIGITS_MOST  17

bool number_parse(const char *text, double *ret_number)
{
    return stepd_decimal_read(text, strlen(text), ret_number);
}

bool number_parse_any(const char *text, double *ret_number)
{
    static const struct {
        const char *word;
        double number;
    } words[] = {{"nan", NAN}, {"inf", INFINITY}, {"infinity", INFINITY}};

    const bool negative = text[0] == '-';
    const char *const word = text + (negative || text[0] == '+');
    if (number_parse(text, ret_number))
        return true;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(word, words[i].word) != 0)
            continue;
        *ret_number = negative ? -words[i].number : words[i].number;
        return true;
    }
    return false;
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
