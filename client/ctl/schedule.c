/* SPDX-License-Identifier: Apache-2.0
 *
 * stepctl schedule: what a schedule will do, before it is used. No server is asked: the daemon's
 * own code is here, and says what it would do.
 */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "client/ctl/chart.h"
#include "client/ctl/ctl.h"
#include "client/ctl/number.h"
#include "client/ctl/plan.h"
#include "client/ctl/terminal.h"
#include "proto/error.h"

#define STEPS_DEFAULT   1000u
#define ROWS_OF_TABLE   20u
#define ROWS_OF_CHART   13u
#define COLUMNS_DEFAULT 80u

static const char help[] =
    "usage: stepctl schedule KIND [NAME=VALUE...] [options]\n"
    "       stepctl schedule --config FILE [--job JOB] [--group GROUP] [options]\n"
    "\n"
    "Shows the learning rate of each step that a schedule will give: of a kind with its parameters,\n"
    "or of the groups of a job in the server's file, with their defaults, multiplied rates and\n"
    "phases. Where the schedule cycles the momentum, that is shown, too.\n"
    "\n"
    "  stepctl schedule cosine t_max=900 warmup=100 --lr 0.1 --plot\n"
    "  stepctl schedule one_cycle max_lr=0.1 total_steps=1000 --momentum 0.9 --plot\n"
    "  stepctl schedule sequential milestones=100 --part 'linear total_iters=100' \\\n"
    "      --part 'exponential gamma=0.999'\n"
    "\n"
    "options:\n"
    "  --lr LR            learning rate before the schedule [the optimizer's default]\n"
    "  --optimizer NAME   whose it is [momentum]\n"
    "  --momentum MU      its momentum\n"
    "  --part 'KIND NAME=VALUE...'\n"
    "                     of sequential and chained; may be repeated\n"
    "  --steps N          how many steps to show [1000]\n"
    "  --every N          the steps between two rows [a row for each twentieth; of JSON 1]\n"
    "  --losses FILE      a number for each round, for plateau; - reads them from stdin\n"
    "  --plot             draw it\n"
    "  --json             for programs\n"
    "  --help             this text\n";

struct asked {
    struct plan_flags flags;
    const char *config;
    const char *job;
    const char *group;
    const char *losses;
    uint64_t steps;
    uint64_t every; /* 0: as is usual */
    bool plot;
    bool json;
};

/* ---- Losses ---------------------------------------------------------------------------------- */

struct losses {
    size_t count;
    double *at; /* owned */
};

static enum stepd_status read_all(FILE *in, struct losses *losses, struct stepd_error *reterr)
{
    double loss = 0.0;
    size_t room = 0;
    int read = 0;
    while ((read = fscanf(in, "%lf", &loss)) == 1 && losses->count < PLAN_STEPS_MAX) {
        if (losses->count == room) {
            room = room == 0 ? 256 : 2 * room;
            double *const more = realloc(losses->at, room * sizeof *more);
            if (more == NULL)
                return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the losses");
            losses->at = more;
        }
        losses->at[losses->count++] = loss;
    }
    if (read != EOF)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "what stands behind the %zu-th loss is no number, or is too much",
                          losses->count);
    return STEPD_OK;
}

static enum stepd_status read_losses(const char *path, struct losses *losses,
                                     struct stepd_error *reterr)
{
    if (path == NULL)
        return STEPD_OK;
    FILE *const in = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    if (in == NULL)
        return stepd_fail(reterr, STEPD_NOT_FOUND, "cannot read %s", path);
    const enum stepd_status status = read_all(in, losses, reterr);
    if (in != stdin)
        (void)fclose(in);
    return status;
}

/* ---- Showing --------------------------------------------------------------------------------- */

static void title_of(const struct group *group, char *text, size_t size)
{
    const char *const kind = group->schedule.kind->name;
    if (strcmp(group->name, kind) == 0) /* of flags */
        (void)snprintf(text, size, "%s", kind);
    else
        (void)snprintf(text, size, "%s (%s, %s)", group->name,
                       group->frozen ? "frozen" : group->phase[0].optimizer->name, kind);
}

static int plot(const struct group *group, const struct plan_values *values)
{
    char title[256];
    char titled[300];
    struct chart chart = {.title = titled,
                          .columns = terminal_columns(COLUMNS_DEFAULT),
                          .rows = ROWS_OF_CHART,
                          .utf8 = terminal_is_utf8(),
                          .steps = values->steps,
                          .value = values->lr};
    title_of(group, title, sizeof title);
    (void)snprintf(titled, sizeof titled, "%s: learning rate", title);
    bool printed = chart_print(&chart, stdout);
    if (printed && values->cycled) {
        (void)snprintf(titled, sizeof titled, "\n%s: momentum", title);
        chart.value = values->momentum;
        printed = chart_print(&chart, stdout);
    }
    return printed ? CTL_OK : CTL_FAILURE;
}

static void print_row(const struct plan_values *values, size_t step)
{
    if (values->cycled)
        (void)printf("%10zu  %-14.8g  %.8g\n", step, values->lr[step], values->momentum[step]);
    else
        (void)printf("%10zu  %.8g\n", step, values->lr[step]);
}

static int tabulate(const struct group *group, const struct plan_values *values, size_t every)
{
    char title[256];
    title_of(group, title, sizeof title);
    (void)printf("%s\n%10s  %s\n", title, "STEP",
                 values->cycled ? "LR              MOMENTUM" : "LR");
    for (size_t step = 0; step < values->steps; step += every)
        print_row(values, step);
    if ((values->steps - 1) % every != 0)
        print_row(values, values->steps - 1);
    return CTL_OK;
}

static json_t *to_json(const struct group *group, const struct plan_values *values, size_t every)
{
    json_t *const rows = json_array();
    for (size_t step = 0; step < values->steps; step += every) {
        json_t *const row =
            json_pack("{s:I, s:f}", "step", (json_int_t)step, "lr", values->lr[step]);
        if (values->cycled)
            (void)json_object_set_new(row, "momentum", json_real(values->momentum[step]));
        (void)json_array_append_new(rows, row);
    }
    return json_pack("{s:s, s:s, s:s, s:b, s:o}", "group", group->name, "optimizer",
                     group->phase[0].optimizer->name, "schedule", group->schedule.kind->name,
                     "frozen", group->frozen, "steps", rows);
}

static int show(const struct asked *asked, const struct group *group,
                const struct plan_values *values, json_t *json)
{
    const size_t usual = asked->json ? 1 : (values->steps + ROWS_OF_TABLE - 1) / ROWS_OF_TABLE;
    const size_t every = asked->every > 0 ? (size_t)asked->every : usual;
    if (asked->json)
        return json_array_append_new(json, to_json(group, values, every)) == 0 ? CTL_OK
                                                                               : CTL_FAILURE;
    return asked->plot ? plot(group, values) : tabulate(group, values, every);
}

static int show_all(const struct asked *asked, const struct plan *plan, const struct losses *losses)
{
    json_t *const json = json_array();
    int result = CTL_OK;
    for (size_t i = 0; i < plan->groups && result == CTL_OK; i++) {
        const struct group *const group = &plan->group[i];
        struct plan_values values;
        if (plan_follow(group, (size_t)asked->steps, losses->at, losses->count, &values) !=
            STEPD_OK) {
            result = CTL_FAILURE;
            continue;
        }
        if (schedule_wants_loss(&group->schedule) && losses->count == 0)
            (void)fprintf(stderr,
                          "stepctl schedule: %s lowers the rate by the losses; without --losses it "
                          "is shown as if they always improved\n",
                          group->schedule.kind->name);
        if (i > 0 && !asked->json)
            (void)printf("\n");
        result = show(asked, group, &values, json);
        plan_values_deinit(&values);
    }
    if (asked->json && result == CTL_OK)
        result =
            json_dumpf(json, stdout, JSON_INDENT(2)) == 0 && puts("") >= 0 ? CTL_OK : CTL_FAILURE;
    json_decref(json);
    return result;
}

/* ---- The command line ------------------------------------------------------------------------ */

static enum stepd_status take_whole(const char *flag, const char *text, uint64_t *ret_number,
                                    struct stepd_error *reterr)
{
    if (number_parse_whole(text, 1, PLAN_STEPS_MAX, ret_number))
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "--%s '%s': expected a number from 1 to %u",
                      flag, text, PLAN_STEPS_MAX);
}

static enum stepd_status take_option(struct asked *asked, int option, const char *text,
                                     struct stepd_error *reterr)
{
    struct stepd_arguments *const hyper = &asked->flags.hyper;
    switch (option) {
    case 'c': asked->config = text; return STEPD_OK;
    case 'j': asked->job = text; return STEPD_OK;
    case 'g': asked->group = text; return STEPD_OK;
    case 'f': asked->losses = text; return STEPD_OK;
    case 'o': asked->flags.optimizer = text; return STEPD_OK;
    case 'P': asked->plot = true; return STEPD_OK;
    case 'J': asked->json = true; return STEPD_OK;
    case 'l': return stepd_arguments_set(hyper, "lr", 2, text, reterr);
    case 'm': return stepd_arguments_set(hyper, "momentum", 8, text, reterr);
    case 'p': return plan_add_part(&asked->flags, text, reterr);
    case 'n': return take_whole("steps", text, &asked->steps, reterr);
    default: return take_whole("every", text, &asked->every, reterr);
    }
}

/* The words beside the options: the kind and its parameters. */
static enum stepd_status take_words(struct asked *asked, int count, char **words,
                                    struct stepd_error *reterr)
{
    if ((count == 0) == (asked->config == NULL))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          count == 0 ? "a kind of schedule or --config FILE is missing"
                                     : "with --config the schedule stands in the file");
    enum stepd_status status = STEPD_OK;
    if (count > 0)
        asked->flags.kind = words[0];
    for (int i = 1; i < count && status == STEPD_OK; i++)
        status = stepd_arguments_set_pair(&asked->flags.params, words[i], reterr);
    return status;
}

static int run(const struct asked *asked)
{
    struct plan plan = {.groups = 0};
    struct losses losses = {.count = 0};
    struct stepd_error error;
    enum stepd_status status =
        asked->config != NULL
            ? plan_from_file(asked->config, asked->job, asked->group, &plan, &error)
            : plan_from_flags(&asked->flags, &plan, &error);
    if (status == STEPD_OK)
        status = read_losses(asked->losses, &losses, &error);
    const int result =
        status == STEPD_OK ? show_all(asked, &plan, &losses) : ctl_fail("schedule", &error);
    free(losses.at);
    plan_deinit(&plan);
    return result;
}

int schedule_run(const struct ctl_options *ctl, int argc, char **argv)
{
    static const struct option long_options[] = {
        {"config", required_argument, NULL, 'c'},
        {"job", required_argument, NULL, 'j'},
        {"group", required_argument, NULL, 'g'},
        {"losses", required_argument, NULL, 'f'},
        {"optimizer", required_argument, NULL, 'o'},
        {"lr", required_argument, NULL, 'l'},
        {"momentum", required_argument, NULL, 'm'},
        {"part", required_argument, NULL, 'p'},
        {"steps", required_argument, NULL, 'n'},
        {"every", required_argument, NULL, 'e'},
        {"plot", no_argument, NULL, 'P'},
        {"json", no_argument, NULL, 'J'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    static struct asked asked; /* large: all parts with all their parameters */
    struct stepd_error error;
    int option;
    (void)ctl;
    asked = (struct asked){.flags = {.optimizer = "momentum"}, .steps = STEPS_DEFAULT};
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == 'h')
            return fputs(help, stdout) < 0 ? CTL_FAILURE : CTL_OK;
        if (option == '?')
            return ctl_usage("schedule");
        if (take_option(&asked, option, optarg, &error) != STEPD_OK) {
            (void)fprintf(stderr, "stepctl schedule: %s\n", error.text);
            return CTL_USAGE;
        }
    }
    if (take_words(&asked, argc - optind, argv + optind, &error) != STEPD_OK) {
        (void)fprintf(stderr, "stepctl schedule: %s\n", error.text);
        return ctl_usage("schedule");
    }
    return run(&asked);
}
