/* SPDX-License-Identifier: Apache-2.0
 *
 * Two flags are compare's own; all other words are stepd-train's, and go to options_parse as they
 * are.
 */
#include "client/train/compare_options.h"

#include <stdlib.h>
#include <string.h>

#include "proto/error.h"

static const char help[] =
    "usage: stepd-train compare [--run 'OPTIMIZER [NAME=VALUE...]']... [--lrs LR,LR...] [flags]\n"
    "\n"
    "Trains one model several times, each time as a job of its own on the server, with the same\n"
    "first weights and the same examples in the same order, and compares the losses: a table, one\n"
    "CSV file of all losses and one plot.\n"
    "\n"
    "  --run 'OPTIMIZER [NAME=VALUE...]'\n"
    "        a run with this optimizer and its hyperparameters, which go over those of the flags\n"
    "  --lrs LR,LR...\n"
    "        a run with --optimizer for each of these learning rates\n"
    "  --csv FILE, --plot FILE\n"
    "        where to write the losses (run,optimizer,step,epoch,loss,smoothed) and the plot\n"
    "  --json\n"
    "        the table as JSON\n"
    "\n"
    "All other flags are those of stepd-train (see stepd-train --help) and count for all runs; the\n"
    "jobs are called JOB-1, JOB-2, ... A run whose loss is no number any more is noted as diverged.\n"
    "\n"
    "  stepd-train compare --run 'sgd lr=0.1' --run 'momentum lr=0.05 momentum=0.9' \\\n"
    "      --run 'adam lr=0.001' --model cnn --steps 500 --plot optimizers.svg\n"
    "  stepd-train compare --optimizer adam --lrs 0.1,0.01,0.001 --plot rates.svg\n";

void compare_options_print_help(FILE *out)
{
    (void)fputs(help, out);
}

/* ---- Runs ------------------------------------------------------------------------------------ */

static enum stepd_status new_run(struct compare_options *options, const char *label,
                                 struct compare_run **ret_run, struct stepd_error *reterr)
{
    if (options->runs == COMPARE_RUNS_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "more than %u runs", COMPARE_RUNS_MAX);
    if (strlen(label) > COMPARE_LABEL_MAX_BYTES)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "a run of more than %u bytes",
                          COMPARE_LABEL_MAX_BYTES);
    struct compare_run *const run = &options->run[options->runs++];
    *run = (struct compare_run){.optimizer = ""};
    memcpy(run->label, label, strlen(label) + 1);
    *ret_run = run;
    return STEPD_OK;
}

/* "adam lr=0.001": words between blanks, the first of them the optimizer's name. */
static enum stepd_status add_run(struct compare_options *options, const char *text,
                                 struct stepd_error *reterr)
{
    char words[COMPARE_LABEL_MAX_BYTES + 1];
    char *rest = NULL;
    struct compare_run *run;
    enum stepd_status status = new_run(options, text, &run, reterr);
    if (status != STEPD_OK)
        return status;
    memcpy(words, text, strlen(text) + 1);
    const char *const optimizer = strtok_r(words, " ", &rest);
    if (optimizer == NULL || strchr(optimizer, '=') != NULL ||
        strlen(optimizer) > STEPD_ARGUMENT_NAME_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "--run '%s': expected an optimizer's name, and then NAME=VALUE...", text);
    memcpy(run->optimizer, optimizer, strlen(optimizer) + 1);
    for (const char *word = strtok_r(NULL, " ", &rest); word != NULL && status == STEPD_OK;
         word = strtok_r(NULL, " ", &rest))
        status = stepd_arguments_set_pair(&run->hyper, word, reterr);
    return status == STEPD_OK ? status : stepd_fail_in(reterr, status, "--run '%s'", text);
}

/* One run for each learning rate, of the optimizer that the flags name. */
static enum stepd_status add_rates(struct compare_options *options, const char *rates,
                                   struct stepd_error *reterr)
{
    const char *const optimizer = options->train.optimizer;
    for (const char *at = rates;; at++) {
        char label[COMPARE_LABEL_MAX_BYTES + 1];
        const size_t length = strcspn(at, ",");
        struct compare_run *run;
        (void)stepd_format(label, sizeof label, "%.31s lr=%.*s", optimizer,
                           (int)(length < 100 ? length : 100), at);
        enum stepd_status status = new_run(options, label, &run, reterr);
        if (status == STEPD_OK && strlen(optimizer) <= STEPD_ARGUMENT_NAME_MAX)
            memcpy(run->optimizer, optimizer, strlen(optimizer) + 1);
        if (status == STEPD_OK)
            status = stepd_arguments_set_pair(&run->hyper, strchr(label, ' ') + 1, reterr);
        if (status != STEPD_OK)
            return stepd_fail_in(reterr, status, "--lrs '%s'", rates);
        at += length;
        if (*at == '\0')
            return STEPD_OK;
    }
}

/* ---- The command line ------------------------------------------------------------------------ */

/* The value of argv[at] if that is this flag; *used: how many words it takes. */
static const char *value_of(char *const *argv, int at, const char *flag, int *used)
{
    const size_t length = strlen(flag);
    *used = 1;
    if (strncmp(argv[at], flag, length) != 0)
        return NULL;
    if (argv[at][length] == '=')
        return argv[at] + length + 1;
    if (argv[at][length] != '\0')
        return NULL;
    *used = 2;
    return argv[at + 1] == NULL ? "" : argv[at + 1];
}

static enum stepd_status check(const struct compare_options *options, struct stepd_error *reterr)
{
    const struct train_options *const train = &options->train;
    const char *const senseless = train->defined                ? "--defined"
                                  : train->save_weights != NULL ? "--save-weights"
                                                                : NULL;
    if (senseless != NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s makes no sense for several runs",
                          senseless);
    if (train->world != 1)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "a comparison trains with one worker a job, not %u", train->world);
    if (options->runs == 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "nothing to compare: give --run 'OPTIMIZER NAME=VALUE...' or --lrs");
    return STEPD_OK;
}

/* Takes compare's own flags, and leaves the other words in ret_rest. */
static enum stepd_status take_own(int argc, char *const *argv, struct compare_options *options,
                                  char **ret_rest, int *ret_count, const char **ret_rates,
                                  struct stepd_error *reterr)
{
    ret_rest[(*ret_count)++] = argv[0];
    for (int at = 1, used = 1; at < argc; at += used) {
        const char *value = value_of(argv, at, "--run", &used);
        if (value != NULL) {
            const enum stepd_status status = add_run(options, value, reterr);
            if (status != STEPD_OK)
                return status;
            continue;
        }
        value = value_of(argv, at, "--lrs", &used);
        if (value != NULL) {
            *ret_rates = value;
            continue;
        }
        used = 1;
        ret_rest[(*ret_count)++] = argv[at];
    }
    return STEPD_OK;
}

enum stepd_status compare_options_parse(int argc, char *const *argv, char *const *environment,
                                        struct compare_options *ret_options,
                                        struct stepd_error *reterr)
{
    const char *rates = NULL;
    int count = 0;
    char **rest = calloc((size_t)argc + 1, sizeof *rest);
    if (rest == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory");
    ret_options->runs = 0;
    enum stepd_status status = take_own(argc, argv, ret_options, rest, &count, &rates, reterr);
    if (status == STEPD_OK)
        status = options_parse(count, rest, environment, &ret_options->train, reterr);
    free(rest);
    if (status != STEPD_OK || ret_options->train.help)
        return status;
    if (rates != NULL)
        status = add_rates(ret_options, rates, reterr);
    return status == STEPD_OK ? check(ret_options, reterr) : status;
}

enum stepd_status compare_options_of_run(const struct compare_options *options, size_t run,
                                         struct train_options *ret_train,
                                         struct stepd_error *reterr)
{
    *ret_train = options->train;
    ret_train->optimizer = options->run[run].optimizer;
    ret_train->csv = NULL;
    ret_train->plot = NULL;
    return stepd_arguments_merge(&ret_train->hyper, &options->run[run].hyper, reterr);
}
