/* SPDX-License-Identifier: Apache-2.0
 *
 * What was measured, as a table for people, or as CSV or one JSON object for programs. What took
 * turns is a comparison; each of its lanes is a row, stepd's first:
 *
 *     {"kernel": [{"optimizer": "adamw", "isa": "v3", "elements": 262144, "lane": "stepd",
 *                  "rounds": 51, "us": 90.1, "p10_us": 89.7, "p90_us": 99.2, "p99_us": 101.3,
 *                  "p999_us": 101.3, "ratio": 1.0000, "gb_s": 20.367, "cpu_s_gb": null,
 *                  "cpu_ratio": null, "control": null}, ...],
 *      "step":   [{"optimizer": "adamw", "transport": "tcp", "bytes": 4096, "lane": "stepd",
 *                  ...}, ...]}
 *
 * us is the median, p10_us and p90_us the spread around it, p99_us and p999_us the tail, ratio
 * stepd's median over the lane's: below 1 where stepd is the faster one. gb_s counts what the
 * section says. cpu_s_gb are the seconds of processors that the serving process took for each of
 * these GB, and cpu_ratio stepd's over the lane's; control is the congestion control that the
 * lane's sockets were under. Sections about memory have other rows: what the daemon planned to
 * take, and by how much it grew:
 *
 *     {"memory": [{"optimizer": "adamw", "reduction": "arrival", "workers": 8,
 *                  "planned_bytes": 167772160, "grown_bytes": 170131456}, ...]}
 *
 * And a section may say how what it measured stands to what is promised of it:
 *
 *     {"checkpoint_targets": [{"optimizer": "adam", "mode": "sync", "elements": 100000000,
 *                              "figure": "p99_step", "value": 1.2130, "at_most": 1.5}, ...]}
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/samples.h"

enum report_form { REPORT_TABLE, REPORT_CSV, REPORT_JSON };

struct report {
    enum report_form form;
    bool progress;       /* say on stderr what is being measured */
    const char *section; /* its name; NULL before the first */
    size_t rows;         /* of the section */
};

/* What a comparison has been of. */
struct report_subject {
    const char *optimizer;
    const char *kind_name; /* "isa", "transport" or "reduction" */
    const char *kind;
    const char *size_name; /* "elements", "bytes", "tensors", ... */
    size_t size;
    size_t bytes; /* that the rate counts: moved through memory, or sent one way */
};

struct report_lane {
    const char *name;
    struct samples *samples; /* sorted by the report; NULL: the lane was not run, and has no row */
};

void report_begin(struct report *report, enum report_form form, bool progress);
void report_section(struct report *report, const char *name, const char *title);

/* One row for each lane; the first one is stepd's. */
void report_comparison(struct report *report, const struct report_subject *subject,
                       const struct report_lane *lane, size_t lanes);

/* One row for each lane, which is a part of something that takes so long: its ratio is its share.
 */
void report_shares(struct report *report, const struct report_subject *subject, double whole_s,
                   const struct report_lane *lane, size_t lanes);
/* The same about memory. */
void report_memory_section(struct report *report, const char *name, const char *title);
void report_memory(struct report *report, const struct report_subject *subject,
                   uint64_t planned_bytes, int64_t grown_bytes);

/* A number that something is promised of: at most so much, or at least so much (at_least). */
struct report_figure {
    const char *name;
    const char *what; /* for people */
    double value;
    double target;
    bool at_least;
};

void report_figures_section(struct report *report, const char *name, const char *title);
void report_figures(struct report *report, const struct report_subject *subject,
                    const struct report_figure *figure, size_t figures);

/* Says on stderr what comes next, and what is left out and why. */
void report_progress(const struct report *report, const struct report_subject *subject);
void report_left_out(const struct report *report, size_t size, const char *why);

void report_end(struct report *report);

#endif
