/* SPDX-License-Identifier: Apache-2.0
 *
 * Drawing a plot with characters: Unicode's braille patterns, which hold 2 x 4 dots each, or plain
 * ASCII. Several lines are told apart by letters that stand in them, and by colours if wanted.
 */
#ifndef CLIENT_CTL_CHART_H
#define CLIENT_CTL_CHART_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <stepd/status.h>

#include "client/ctl/courses.h"

struct chart_options {
    const char *title;
    const struct courses *courses;
    uint64_t steps;
    unsigned columns; /* of a line, at least 40 */
    bool utf8;
    bool colours;
};

/* Fails as plot_init does, and with RESOURCE_EXHAUSTED. */
enum stepd_status chart_print(const struct chart_options *options, FILE *out,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
