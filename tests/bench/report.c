/* SPDX-License-Identifier: Apache-2.0
 *
 * The two forms of the report. Every row is written when it has been measured, so that a long run
 * shows where it is; the JSON object is whole only when the run has come to its end.
 */
#include "tests/bench/report.h"

#include <stdio.h>

void report_begin(struct report *report, bool json)
{
    *report = (struct report){.json = json};
    if (json)
        printf("{");
    (void)fflush(stdout);
}

void report_section(struct report *report, const char *name, const char *title)
{
    if (report->json)
        printf("%s\"%s\": [", report->sections > 0 ? "],\n " : "", name);
    else
        printf("%s%s\n%-9s %-5s %10s %8s %12s %12s %7s %10s\n", report->sections > 0 ? "\n" : "",
               title, "optimizer", "", "size", "rounds", "stepd us", "bare us", "ratio",
               "stepd GB/s");
    (void)fflush(stdout); /* or the peers that are forked would have it in their buffers, too */
    report->sections++;
    report->rows = 0;
}

void report_row(struct report *report, const struct report_row *row, struct samples *stepd,
                struct samples *bare)
{
    const double stepd_s = samples_median(stepd);
    const double bare_s = samples_median(bare);
    if (report->json)
        printf("%s\n  {\"optimizer\": \"%s\", \"%s\": \"%s\", \"%s\": %zu, \"rounds\": %zu, "
               "\"stepd_us\": %.3f, \"bare_us\": %.3f, \"ratio\": %.4f}",
               report->rows > 0 ? "," : "", row->optimizer, row->kind_name, row->kind,
               row->size_name, row->size, stepd->count, 1e6 * stepd_s, 1e6 * bare_s,
               stepd_s / bare_s);
    else
        printf("%-9s %-5s %10zu %8zu %12.1f %12.1f %7.2f %10.2f\n", row->optimizer, row->kind,
               row->size, stepd->count, 1e6 * stepd_s, 1e6 * bare_s, stepd_s / bare_s,
               1e-9 * (double)row->bytes / stepd_s);
    (void)fflush(stdout);
    report->rows++;
}

void report_end(struct report *report)
{
    if (report->json)
        printf("%s}\n", report->sections > 0 ? "]" : "");
}
