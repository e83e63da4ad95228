/* SPDX-License-Identifier: Apache-2.0
 *
 * What was measured, as a table for people or as one JSON object for programs:
 *
 *     {"kernel": [{"optimizer": "adamw", "isa": "v3", "elements": 262144,
 *                  "rounds": 99, "stepd_us": 90.1, "bare_us": 80.2, "ratio": 1.12}, ...],
 *      "step":   [{"optimizer": "adamw", "transport": "tcp", "bytes": 4096,
 *                  "rounds": 999, "stepd_us": 60.1, "bare_us": 30.2, "ratio": 1.99}, ...]}
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/bench/samples.h"

struct report {
    bool json;
    size_t sections;
    size_t rows; /* of the section */
};

/* What distinguishes a row from the others of its section. */
struct report_row {
    const char *optimizer;
    const char *kind_name; /* "isa" or "transport" */
    const char *kind;
    const char *size_name; /* "elements" or "bytes" */
    size_t size;
    size_t bytes; /* that the rate counts: moved through memory, or sent one way */
};

void report_begin(struct report *report, bool json);
void report_section(struct report *report, const char *name, const char *title);

/* Both are sorted. */
void report_row(struct report *report, const struct report_row *row, struct samples *stepd,
                struct samples *bare);
void report_end(struct report *report);

#endif
