/* SPDX-License-Identifier: Apache-2.0
 *
 * Every run is rehearsed first, in this process and without a step: whoever misspells the seventh
 * optimizer learns of it at once. Then the server, and run after run.
 */
#include "client/train/compare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/train/compare_output.h"
#include "client/train/crew.h"
#include "client/train/daemon.h"
#include "client/train/home.h"
#include "proto/error.h"

struct comparing {
    struct train_options options; /* of the run that is under way */
    char job[STEPD_NAME_MAX_BYTES + 1];
    struct train_data data; /* owned */
    struct daemon daemon;   /* owned */
    FILE *csv;              /* owned */
    struct comparison so_far;
};

static void choose_run(struct comparing *c, size_t run)
{
    const struct compare_job *const job = &c->so_far.options->run[run];
    c->options.recipe = job->recipe;
    c->options.mode = job->mode.mode;
    c->options.job_params = job->mode.settings;
    c->options.share = c->so_far.options->base.share && job->mode.mode != STEPD_SYNC;
    (void)stepd_format(c->job, sizeof c->job, "%s-%zu", c->so_far.options->base.job, run + 1);
    c->options.job = c->job;
}

/* "run 3 (adamx lr=0.1): define: ..." */
static enum stepd_status fail_in_run(const struct comparing *c, size_t run,
                                     enum stepd_status status, struct stepd_error *reterr)
{
    char text[COMPARE_TEXT_BYTES];
    compare_options_describe(c->so_far.options, run, text, sizeof text);
    return stepd_fail_in(reterr, status, "run %zu (%s)", run + 1, text);
}

/* ---- Before any training --------------------------------------------------------------------- */

/* The server's own code in this process says what the server would, of the very same job. */
static enum stepd_status rehearse(struct comparing *c, size_t run, struct stepd_error *reterr)
{
    struct train_result result;
    struct home *home;
    enum stepd_status status = home_local_create(&home, reterr);
    if (status != STEPD_OK)
        return status;
    choose_run(c, run);
    const struct train_task task = {
        .options = &c->options, .data = &c->data, .home = home, .title = "", .rehearse = true};
    status = train_run(&task, &result, reterr);
    if (status == STEPD_OK)
        curve_close(&result.curve);
    if (status == STEPD_NOT_FOUND) /* no such optimizer or schedule: asked for wrongly */
        status = STEPD_INVALID_ARGUMENT;
    return status == STEPD_OK ? status : fail_in_run(c, run, status, reterr);
}

/* Opens both files now, rather than find out after the last run that they cannot be. */
static enum stepd_status open_files(struct comparing *c, struct stepd_error *reterr)
{
    const struct train_options *const base = &c->so_far.options->base;
    c->csv = fopen(base->csv, "w");
    if (c->csv == NULL)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "cannot write %s: %s", base->csv,
                          strerror(errno));
    const enum stepd_status status = compare_csv_begin(c->csv, base->csv, reterr);
    return status == STEPD_OK ? compare_plot(base->plot, &c->so_far, reterr) : status;
}

static enum stepd_status prepare(struct comparing *c, struct stepd_error *reterr)
{
    const struct compare_options *const options = c->so_far.options;
    enum stepd_status status =
        train_data_load(options->base.data, /* with_test= */ true, &c->data, reterr);
    if (status != STEPD_OK)
        return stepd_fail_in(reterr, status, "data");
    for (size_t run = 0; run < options->runs && status == STEPD_OK; run++)
        status = rehearse(c, run, reterr);
    if (status == STEPD_OK)
        status = open_files(c, reterr);
    if (status != STEPD_OK || options->base.local || options->base.server != NULL)
        return status;
    status = daemon_start(&c->daemon, reterr);
    c->options.server = c->daemon.address;
    return status;
}

/* ---- The runs -------------------------------------------------------------------------------- */

static void announce(const struct comparing *c, const char *title)
{
    const struct train_result *const result = &c->so_far.entry[c->so_far.count - 1].result;
    if (c->options.quiet)
        return;
    if (result->diverged_at != 0)
        (void)fprintf(stderr, "%sdiverged at step %llu\n", title,
                      (unsigned long long)result->diverged_at);
    else
        (void)fprintf(stderr, "%strained in %.1f s: test loss %.5g, test accuracy %.4f\n", title,
                      result->seconds, result->test_loss, result->test_accuracy);
}

static enum stepd_status train_one(struct comparing *c, size_t run, struct stepd_error *reterr)
{
    const struct compare_options *const options = c->so_far.options;
    struct compare_entry *const entry = &c->so_far.entry[run];
    char text[COMPARE_TEXT_BYTES];
    char title[COMPARE_TEXT_BYTES + 32];
    compare_options_describe(options, run, text, sizeof text);
    (void)stepd_format(title, sizeof title, "[%zu/%zu] %s  ", run + 1, options->runs, text);
    choose_run(c, run);
    entry->job = &options->run[run];
    enum stepd_status status =
        crew_run(&c->options, &c->data, title, &entry->result, entry->steps, reterr);
    if (status != STEPD_OK)
        return fail_in_run(c, run, status, reterr);
    c->so_far.count = run + 1;
    announce(c, title);
    status = compare_csv_append(c->csv, options->base.csv, &c->so_far, reterr);
    return status == STEPD_OK ? compare_plot(options->base.plot, &c->so_far, reterr) : status;
}

static enum stepd_status compare(struct comparing *c, FILE *out, struct stepd_error *reterr)
{
    const struct compare_options *const options = c->so_far.options;
    enum stepd_status status = prepare(c, reterr);
    for (size_t run = 0; run < options->runs && status == STEPD_OK; run++)
        status = train_one(c, run, reterr);
    if (status != STEPD_OK)
        return status;
    if (options->base.json)
        compare_print_json(out, &c->so_far);
    else
        compare_print_table(out, &c->so_far);
    if (!options->base.quiet)
        (void)fprintf(stderr, "wrote %s and %s\n", options->base.csv, options->base.plot);
    return STEPD_OK;
}

enum stepd_status compare_run(const struct compare_options *options, FILE *out,
                              struct stepd_error *reterr)
{
    struct comparing *const c = calloc(1, sizeof *c);
    if (c == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a comparison");
    c->options = options->base;
    c->options.csv = NULL;
    c->options.plot = NULL;
    c->so_far.options = options;
    const enum stepd_status status = compare(c, out, reterr);
    daemon_stop(&c->daemon);
    for (size_t i = 0; i < c->so_far.count; i++)
        curve_close(&c->so_far.entry[i].result.curve);
    if (c->csv != NULL)
        (void)fclose(c->csv); /* every run has been flushed and checked */
    train_data_deinit(&c->data);
    free(c);
    return status;
}
