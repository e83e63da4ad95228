/* SPDX-License-Identifier: Apache-2.0
 *
 * The three forms of the report. Every row is written when it has been measured, so that a long run
 * shows where it is; the JSON object is whole only when the run has come to its end.
 */
#include "tests/bench/report.h"

#include <inttypes.h>
#include <stdio.h>

/* A row's numbers. */
struct measured {
    size_t rounds;
    double us;
    double p10_us;
    double p90_us;
    double p99_us;
    double p999_us;
    double ratio;
    double gb_s;
    double cpu_s_gb; /* 0: not known, like the next */
    double cpu_ratio;
    const char *control; /* NULL: none */
};

void report_begin(struct report *report, enum report_form form, bool progress)
{
    *report = (struct report){.form = form, .progress = progress};
    if (form == REPORT_JSON)
        printf("{");
    if (form == REPORT_CSV)
        printf("section,optimizer,kind,size,lane,rounds,us,p10_us,p90_us,p99_us,p999_us,ratio,gb_s,"
               "cpu_s_gb,cpu_ratio,control,planned_bytes,grown_bytes,target\n");
    (void)fflush(stdout);
}

static void open_section(struct report *report, const char *name, const char *title)
{
    const bool first = report->section == NULL;
    if (report->form == REPORT_JSON)
        printf("%s\"%s\": [", first ? "" : "],\n ", name);
    if (report->form == REPORT_TABLE)
        printf("%s%s\n", first ? "" : "\n", title);
    report->section = name;
    report->rows = 0;
}

void report_section(struct report *report, const char *name, const char *title)
{
    open_section(report, name, title);
    if (report->form == REPORT_TABLE)
        printf("%-16s %-8s %10s %-8s %6s %11s %11s %11s %11s %11s %6s %7s %8s %6s %s\n",
               "optimizer", "", "size", "lane", "rounds", "median us", "p10 us", "p90 us", "p99 us",
               "p99.9 us", "ratio", "GB/s", "CPU s/GB", "ratio", "control");
    (void)fflush(stdout); /* or the peers that are forked would have it in their buffers, too */
}

static void begin_json_row(const struct report *report, const struct report_subject *subject)
{
    printf("%s\n  {\"optimizer\": \"%s\", \"%s\": \"%s\", \"%s\": %zu, ",
           report->rows > 0 ? "," : "", subject->optimizer, subject->kind_name, subject->kind,
           subject->size_name, subject->size);
}

/* A number that may not be known. */
struct number {
    char text[24];
};

static struct number number_or(const char *unknown, double value)
{
    struct number number;
    if (value > 0)
        (void)snprintf(number.text, sizeof number.text, "%.4f", value);
    else
        (void)snprintf(number.text, sizeof number.text, "%s", unknown);
    return number;
}

static void write_table_row(const struct report_subject *subject, const char *lane,
                            const struct measured *is)
{
    printf("%-16s %-8s %10zu %-8s %6zu %11.1f %11.1f %11.1f %11.1f %11.1f %6.2f %7.2f %8s %6s %s\n",
           subject->optimizer, subject->kind, subject->size, lane, is->rounds, is->us, is->p10_us,
           is->p90_us, is->p99_us, is->p999_us, is->ratio, is->gb_s,
           number_or("-", is->cpu_s_gb).text, number_or("-", is->cpu_ratio).text,
           is->control != NULL ? is->control : "-");
}

static void write_csv_row(const struct report *report, const struct report_subject *subject,
                          const char *lane, const struct measured *is)
{
    printf("%s,%s,%s,%zu,%s,%zu,%.3f,%.3f,%.3f,%.3f,%.3f,%.4f,%.3f,%s,%s,%s,,,\n", report->section,
           subject->optimizer, subject->kind, subject->size, lane, is->rounds, is->us, is->p10_us,
           is->p90_us, is->p99_us, is->p999_us, is->ratio, is->gb_s,
           number_or("", is->cpu_s_gb).text, number_or("", is->cpu_ratio).text,
           is->control != NULL ? is->control : "");
}

static void write_json_row(const struct report *report, const struct report_subject *subject,
                           const char *lane, const struct measured *is)
{
    const char *const quote = is->control != NULL ? "\"" : "";
    begin_json_row(report, subject);
    printf("\"lane\": \"%s\", \"rounds\": %zu, \"us\": %.3f, \"p10_us\": %.3f, "
           "\"p90_us\": %.3f, \"p99_us\": %.3f, \"p999_us\": %.3f, \"ratio\": %.4f, "
           "\"gb_s\": %.3f, \"cpu_s_gb\": %s, \"cpu_ratio\": %s, \"control\": %s%s%s}",
           lane, is->rounds, is->us, is->p10_us, is->p90_us, is->p99_us, is->p999_us, is->ratio,
           is->gb_s, number_or("null", is->cpu_s_gb).text, number_or("null", is->cpu_ratio).text,
           quote, is->control != NULL ? is->control : "null", quote);
}

static void write_row(const struct report *report, const struct report_subject *subject,
                      const char *lane, const struct measured *is)
{
    switch (report->form) {
    case REPORT_TABLE: write_table_row(subject, lane, is); break;
    case REPORT_CSV: write_csv_row(report, subject, lane, is); break;
    case REPORT_JSON: write_json_row(report, subject, lane, is); break;
    }
}

static double cpu_s_gb(const struct report_subject *subject, const struct samples *samples)
{
    return samples->cpu_s > 0 && samples->count > 0
               ? 1e9 * samples->cpu_s / ((double)subject->bytes * (double)samples->count)
               : 0.0;
}

/* All but the ratios. */
static struct measured measured_of(const struct report_subject *subject, struct samples *samples)
{
    const double median_s = samples_median(samples);
    return (struct measured){
        .rounds = samples->count,
        .us = 1e6 * median_s,
        .p10_us = 1e6 * samples_quantile(samples, 0.1),
        .p90_us = 1e6 * samples_quantile(samples, 0.9),
        .p99_us = 1e6 * samples_quantile(samples, 0.99),
        .p999_us = 1e6 * samples_quantile(samples, 0.999),
        .gb_s = subject->bytes == 0 ? 0 : 1e-9 * (double)subject->bytes / median_s,
        .cpu_s_gb = cpu_s_gb(subject, samples),
        .control = samples->control,
    };
}

void report_comparison(struct report *report, const struct report_subject *subject,
                       const struct report_lane *lane, size_t lanes)
{
    const double stepd_s = samples_median(lane[0].samples);
    const double stepd_cpu = cpu_s_gb(subject, lane[0].samples);
    for (size_t i = 0; i < lanes; i++) {
        if (lane[i].samples == NULL)
            continue;
        struct measured measured = measured_of(subject, lane[i].samples);
        measured.ratio = stepd_s / samples_median(lane[i].samples);
        measured.cpu_ratio = measured.cpu_s_gb > 0 ? stepd_cpu / measured.cpu_s_gb : 0.0;
        write_row(report, subject, lane[i].name, &measured);
        report->rows++;
    }
    (void)fflush(stdout);
}

void report_shares(struct report *report, const struct report_subject *subject, double whole_s,
                   const struct report_lane *lane, size_t lanes)
{
    for (size_t i = 0; i < lanes; i++) {
        struct measured measured = measured_of(subject, lane[i].samples);
        measured.ratio = samples_median(lane[i].samples) / whole_s;
        write_row(report, subject, lane[i].name, &measured);
        report->rows++;
    }
    (void)fflush(stdout);
}

void report_memory_section(struct report *report, const char *name, const char *title)
{
    open_section(report, name, title);
    if (report->form == REPORT_TABLE)
        printf("%-16s %-10s %8s %12s %12s %12s\n", "optimizer", "", "size", "planned MiB",
               "grown MiB", "above MiB");
    (void)fflush(stdout);
}

static double mebibytes(double bytes)
{
    return bytes / (1 << 20);
}

void report_memory(struct report *report, const struct report_subject *subject,
                   uint64_t planned_bytes, int64_t grown_bytes)
{
    const double planned = (double)planned_bytes;
    const double grown = (double)grown_bytes;
    switch (report->form) {
    case REPORT_TABLE:
        printf("%-16s %-10s %8zu %12.1f %12.1f %12.1f\n", subject->optimizer, subject->kind,
               subject->size, mebibytes(planned), mebibytes(grown), mebibytes(grown - planned));
        break;
    case REPORT_CSV:
        printf("%s,%s,%s,%zu,stepd,,,,,,,,,,,,%" PRIu64 ",%" PRId64 ",\n", report->section,
               subject->optimizer, subject->kind, subject->size, planned_bytes, grown_bytes);
        break;
    case REPORT_JSON:
        begin_json_row(report, subject);
        printf("\"planned_bytes\": %" PRIu64 ", \"grown_bytes\": %" PRId64 "}", planned_bytes,
               grown_bytes);
        break;
    }
    report->rows++;
    (void)fflush(stdout);
}

void report_figures_section(struct report *report, const char *name, const char *title)
{
    open_section(report, name, title);
    (void)fflush(stdout);
}

static void write_figure(const struct report *report, const struct report_subject *subject,
                         const struct report_figure *figure)
{
    switch (report->form) {
    case REPORT_TABLE:
        printf("%-16s %-8s %10zu %-56s %8.3f  %s %.2f\n", subject->optimizer, subject->kind,
               subject->size, figure->what, figure->value,
               figure->at_least ? "at least" : "at most", figure->target);
        break;
    case REPORT_CSV:
        printf("%s,%s,%s,%zu,%s,,,,,,,%.4f,,,,,,,%.4f\n", report->section, subject->optimizer,
               subject->kind, subject->size, figure->name, figure->value, figure->target);
        break;
    case REPORT_JSON:
        begin_json_row(report, subject);
        printf("\"figure\": \"%s\", \"value\": %.4f, \"%s\": %.4f}", figure->name, figure->value,
               figure->at_least ? "at_least" : "at_most", figure->target);
        break;
    }
}

void report_figures(struct report *report, const struct report_subject *subject,
                    const struct report_figure *figure, size_t figures)
{
    for (size_t i = 0; i < figures; i++) {
        write_figure(report, subject, &figure[i]);
        report->rows++;
    }
    (void)fflush(stdout);
}

void report_progress(const struct report *report, const struct report_subject *subject)
{
    if (report->progress)
        (void)fprintf(stderr, "stepd-bench: %s: %s %s, %zu %s\n", report->section,
                      subject->optimizer, subject->kind, subject->size, subject->size_name);
}

void report_left_out(const struct report *report, size_t size, const char *why)
{
    (void)fprintf(stderr, "stepd-bench: %s: %zu %s\n", report->section, size, why);
}

void report_end(struct report *report)
{
    if (report->form == REPORT_JSON)
        printf("%s}\n", report->section != NULL ? "]" : "");
}
