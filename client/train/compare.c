/* SPDX-License-Identifier: Apache-2.0
 *
 * Every run is a job of its own, with the seed of all; so first weights and the order of examples
 * are the same, and only the optimizer differs. What can be wrong with a run's definition is found
 * for all of them before the first one starts.
 */
#include "client/train/compare.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/train/define.h"
#include "client/train/home.h"
#include "client/train/train.h"
#include "proto/error.h"

#define JOB_BYTES (STEPD_NAME_MAX_BYTES + 8u)

struct outcome {
    const char *label;  /* borrowed from the options */
    struct curve curve; /* owned */
    bool diverged;
    struct train_result result; /* of no meaning where it diverged */
};

struct comparison {
    const struct compare_options *options; /* borrowed */
    size_t runs;                           /* done so far */
    struct outcome outcome[COMPARE_RUNS_MAX];
    struct train_options train; /* of the run that is under way */
    char job[JOB_BYTES];
};

/* ---- Runs ------------------------------------------------------------------------------------ */

static enum stepd_status prepare(struct comparison *c, size_t run, struct stepd_error *reterr)
{
    const enum stepd_status status = compare_options_of_run(c->options, run, &c->train, reterr);
    (void)stepd_format(c->job, sizeof c->job, "%s-%zu", c->options->train.job, run + 1);
    c->train.job = c->job;
    return status;
}

static enum stepd_status fail_run(const struct comparison *c, size_t run, enum stepd_status status,
                                  struct stepd_error *reterr)
{
    return stepd_fail_in(reterr, status, "run %zu (%s)", run + 1, c->options->run[run].label);
}

static enum stepd_status check_all(struct comparison *c, struct stepd_error *reterr)
{
    for (size_t run = 0; run < c->options->runs; run++) {
        enum stepd_status status = prepare(c, run, reterr);
        if (status == STEPD_OK)
            status = define_check(&c->train, reterr);
        if (status != STEPD_OK)
            return fail_run(c, run, status, reterr);
    }
    return STEPD_OK;
}

/* Leaves a job that this worker will not train to its end. */
static void give_up(struct home *home)
{
    const enum stepd_status status = home_leave(home, NULL);
    (void)status; /* the connection's end says the same */
}

/* The loss is no number any more, or a gradient has overflown before it, which is refused. */
static bool has_diverged(enum stepd_status status, const struct stepd_error *error)
{
    return status == STEPD_OUT_OF_RANGE ||
           (status == STEPD_INVALID_ARGUMENT && strstr(error->text, "NaN or infinite") != NULL);
}

static enum stepd_status train_one(struct comparison *c, struct outcome *outcome,
                                   struct stepd_error *reterr)
{
    struct home *home;
    enum stepd_status status = c->train.local ? home_local_create(&home, reterr)
                                              : home_remote_create(&c->train, &home, reterr);
    if (status != STEPD_OK)
        return stepd_fail_in(reterr, status, "connect");
    status = train_run(&c->train, home, &outcome->result, &outcome->curve, reterr);
    outcome->diverged = has_diverged(status, reterr);
    if (outcome->diverged) {
        give_up(home);
        status = STEPD_OK;
    }
    home_destroy(home);
    return status;
}

static enum stepd_status train_all(struct comparison *c, struct stepd_error *reterr)
{
    for (size_t run = 0; run < c->options->runs; run++) {
        struct outcome *const outcome = &c->outcome[run];
        outcome->label = c->options->run[run].label;
        enum stepd_status status = prepare(c, run, reterr);
        if (!c->train.quiet)
            (void)fprintf(stderr, "run %zu of %zu: %s\n", run + 1, c->options->runs,
                          outcome->label);
        if (status == STEPD_OK)
            status = train_one(c, outcome, reterr);
        c->runs = run + 1;
        if (status != STEPD_OK)
            return fail_run(c, run, status, reterr);
        if (outcome->diverged && !c->train.quiet)
            (void)fprintf(stderr, "run %zu has diverged\n", run + 1);
    }
    return STEPD_OK;
}

/* ---- Files ----------------------------------------------------------------------------------- */

/* RFC 4180: quoted, quotes doubled. */
static void write_quoted(FILE *out, const char *text)
{
    (void)fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"')
            (void)fputc('"', out);
        (void)fputc(*text, out);
    }
    (void)fputc('"', out);
}

static void write_rows(FILE *out, const struct outcome *outcome, const char *optimizer)
{
    struct curve_mean mean = {.weight = 0};
    for (size_t i = 0; i < outcome->curve.count; i++) {
        const struct curve_point *const point = &outcome->curve.points[i];
        curve_mean_add(&mean, point->loss);
        write_quoted(out, outcome->label);
        (void)fprintf(out, ",%s,%llu,%llu,%.9g,%.9g\n", optimizer, (unsigned long long)point->step,
                      (unsigned long long)point->epoch, point->loss, mean.mean);
    }
}

static enum stepd_status write_csv(const struct comparison *c, struct stepd_error *reterr)
{
    const char *const path = c->options->train.csv;
    FILE *const out = fopen(path, "w");
    if (out == NULL)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "cannot write %s: %s", path,
                          strerror(errno));
    (void)fputs("run,optimizer,step,epoch,loss,smoothed\n", out);
    for (size_t run = 0; run < c->runs; run++)
        write_rows(out, &c->outcome[run], c->options->run[run].optimizer);
    const bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "cannot write %s: %s", path,
                          strerror(errno));
    return STEPD_OK;
}

static enum stepd_status write_plot(const struct comparison *c, struct stepd_error *reterr)
{
    const struct train_options *const train = &c->options->train;
    struct plot_line lines[COMPARE_RUNS_MAX];
    char note[256];
    for (size_t run = 0; run < c->runs; run++)
        lines[run] =
            (struct plot_line){.label = c->outcome[run].label, .curve = &c->outcome[run].curve};
    (void)stepd_format(note, sizeof note, "%u examples a step, seed %llu; smoothed training loss",
                       train->batch[0], (unsigned long long)train->seed);
    return plot_write(train->plot, lines, c->runs,
                      &(struct plot_labels){.title = train->model, .note = note}, reterr);
}

/* ---- The table ------------------------------------------------------------------------------- */

/* The best first: by accuracy, then by loss; what diverged comes last. */
static bool is_better(const struct outcome *a, const struct outcome *b)
{
    if (a->diverged != b->diverged)
        return b->diverged;
    if (a->result.test_accuracy != b->result.test_accuracy)
        return a->result.test_accuracy > b->result.test_accuracy;
    return a->result.test_loss < b->result.test_loss;
}

static void rank(const struct comparison *c, const struct outcome **ret_order)
{
    for (size_t run = 0; run < c->runs; run++) {
        size_t at = run;
        for (; at > 0 && is_better(&c->outcome[run], ret_order[at - 1]); at--)
            ret_order[at] = ret_order[at - 1];
        ret_order[at] = &c->outcome[run];
    }
}

static void print_table(const struct comparison *c, const struct outcome *const *order, FILE *out)
{
    int width = (int)strlen("RUN");
    for (size_t i = 0; i < c->runs; i++)
        width = (int)strlen(order[i]->label) > width ? (int)strlen(order[i]->label) : width;
    (void)fprintf(out, "%-*s  TRAIN LOSS  TEST LOSS  ACCURACY  SECONDS\n", width, "RUN");
    for (size_t i = 0; i < c->runs; i++) {
        const struct train_result *const result = &order[i]->result;
        if (order[i]->diverged)
            (void)fprintf(out, "%-*s  diverged at step %llu\n", width, order[i]->label,
                          (unsigned long long)order[i]->curve.count + 1);
        else
            (void)fprintf(out, "%-*s  %10.4f  %9.4f  %8.4f  %7.1f\n", width, order[i]->label,
                          result->train_loss, result->test_loss, result->test_accuracy,
                          result->seconds);
    }
}

static void write_json_text(FILE *out, const char *text)
{
    (void)fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            (void)fputc('\\', out);
        if ((unsigned char)*text >= 0x20)
            (void)fputc(*text, out);
    }
    (void)fputc('"', out);
}

static void print_json(const struct comparison *c, const struct outcome *const *order, FILE *out)
{
    (void)fputc('[', out);
    for (size_t i = 0; i < c->runs; i++) {
        const struct train_result *const result = &order[i]->result;
        (void)fputs(i == 0 ? "{\"run\": " : ", {\"run\": ", out);
        write_json_text(out, order[i]->label);
        (void)fprintf(out, ", \"diverged\": %s, \"steps\": %zu",
                      order[i]->diverged ? "true" : "false", order[i]->curve.count);
        if (!order[i]->diverged)
            (void)fprintf(out,
                          ", \"train_loss\": %.9g, \"test_loss\": %.9g, "
                          "\"test_accuracy\": %.9g, \"seconds\": %.9g",
                          result->train_loss, result->test_loss, result->test_accuracy,
                          result->seconds);
        (void)fputc('}', out);
    }
    (void)fputs("]\n", out);
}

/* ---- The whole ------------------------------------------------------------------------------- */

static enum stepd_status conclude(const struct comparison *c, FILE *out, struct stepd_error *reterr)
{
    const struct outcome *order[COMPARE_RUNS_MAX];
    const struct train_options *const train = &c->options->train;
    enum stepd_status status = STEPD_OK;
    rank(c, order);
    if (train->json)
        print_json(c, order, out);
    else
        print_table(c, order, out);
    if (train->csv != NULL)
        status = write_csv(c, reterr);
    if (status == STEPD_OK && train->plot != NULL)
        status = write_plot(c, reterr);
    return status;
}

enum stepd_status compare_run(const struct compare_options *options, FILE *out,
                              struct stepd_error *reterr)
{
    struct comparison *c = calloc(1, sizeof *c);
    if (c == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to compare");
    c->options = options;
    enum stepd_status status = check_all(c, reterr);
    if (status == STEPD_OK)
        status = train_all(c, reterr);
    if (status == STEPD_OK)
        status = conclude(c, out, reterr);
    for (size_t run = 0; run < c->runs; run++)
        curve_close(&c->outcome[run].curve);
    free(c);
    return status;
}
