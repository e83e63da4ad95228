/* SPDX-License-Identifier: Apache-2.0
 *
 * A line over steps, drawn with characters: of Braille, which have two by four dots each, or stars
 * where the locale has no UTF-8.
 */
#ifndef CLIENT_CTL_CHART_H
#define CLIENT_CTL_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <stepd/status.h>

#define CHART_COLUMNS_LEAST 40u

struct chart {
    const char *title;
    unsigned columns; /* of the terminal; at least CHART_COLUMNS_LEAST */
    unsigned rows;    /* of the plot itself; at least 2 */
    bool utf8;
    size_t steps;        /* at least 1 */
    const double *value; /* (steps,) finite and not negative; borrowed until return */
};

/* Draws the line over axes that begin at 0: in each column the lowest and the highest value of the
 * steps that fall there. False: no memory. */
bool chart_print(const struct chart *chart, FILE *out) STEPD_MUST_CHECK;

#endif
