/* SPDX-License-Identifier: Apache-2.0
 *
 * stepctl schedule: what a schedule will do, before it is used. The command line is read here; the
 * rest is a road of few steps: courses from flags or from the server's file (courses.h), losses if
 * there are any (losses.h), and then a table or JSON (course_print.h), a plot in characters
 * (chart.h), a picture (svg.h).
 */
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/chart.h"
#include "client/ctl/course_print.h"
#include "client/ctl/courses.h"
#include "client/ctl/ctl.h"
#include "client/ctl/losses.h"
#include "client/ctl/number.h"
#include "client/ctl/schedule_text.h"
#include "client/ctl/svg.h"
#include "client/ctl/terminal.h"
#include "proto/error.h"

#define TITLE_BYTES  256
#define NAME_BYTES   64
#define NARROW       80u /* columns where nothing says how many there are */
#define SETTINGS_MAX 64u

struct options {
    const char *kind; /* "": not given */
    size_t params;
    const char *param[SETTINGS_MAX];
    size_t parts;
    const char *part[SCHEDULE_PARTS_MAX];
    double lr;
    double momentum; /* NAN: not given */
    struct courses_source source;
    const char *losses;
    uint64_t steps;
    uint64_t every;
    bool plot;
    bool json;
    const char *svg;
};

static int print_help(void)
{
    (void)printf(
        "usage: stepctl schedule --kind KIND[:NAME=VALUE,...] --lr LR --steps N\n"
        "                        [--plot] [--svg FILE] [--json]\n"
        "       stepctl schedule --config FILE [--job JOB] [--group GROUP] --steps N\n"
        "                        [--plot] [--svg FILE] [--json]\n"
        "\n"
        "Shows the learning rate of every step, and the momentum where the schedule cycles it,\n"
        "before anything is trained: as a table of the steps at which something happens, as a\n"
        "plot, as a picture, as JSON. No server is asked. Steps count from 0.\n"
        "\n"
        "a schedule:\n"
        "  --kind KIND          see 'stepctl schedules'; its parameters may follow:\n"
        "                       --kind one_cycle:max_lr=0.1,total_steps=1000\n"
        "  --param NAME=VALUE   or stand alone; may be repeated. A list has commas:\n"
        "                       --param milestones=100,200\n"
        "  --part KIND[:...]    what sequential and chained are made of; once for each part, in\n"
        "                       order: --kind sequential:milestones=100\n"
        "                              --part linear:total_iters=100 --part cosine:t_max=900\n"
        "  --lr LR              the group's learning rate [1, which shows the factor]\n"
        "  --momentum M         the group's momentum, or beta1, where it is not cycled\n"
        "\n"
        "or the groups of a job:\n"
        "  --config FILE        the server's file; defaults, lr_mult and phases count\n"
        "  --job JOB            which job of it [the only one]\n"
        "  --group GROUP        this group only\n"
        "\n"
        "what to show:\n"
        "  --steps N            the first N steps; at most %u\n"
        "  --losses FILE        the losses of the rounds, one number a line, for plateau; - is\n"
        "                       the standard input\n"
        "  --every N            every N-th step and the last, as a table or as JSON\n"
        "  --plot               a plot in characters, as wide as the terminal, or as COLUMNS says\n"
        "  --svg FILE           writes a picture; nothing is printed unless asked for\n"
        "  --json               an array of {\"step\", \"lr\", \"momentum\"}; of a job, each with its\n"
        "                       \"group\"\n"
        "  --help               this text\n",
        COURSE_STEPS_MAX);
    return CTL_OK;
}

/* ---- The command line ------------------------------------------------------------------------ */

/* Says what is wrong with an argument; returns CTL_USAGE. */
static int refuse(const char *what, const char *argument)
{
    (void)fprintf(stderr, "stepctl schedule: %s%s%s\n", what, argument[0] == '\0' ? "" : ": ",
                  argument);
    return ctl_usage("schedule");
}

static int take_number(const char *text, double most, const char *what, double *ret_number)
{
    double number = 0.0;
    if (!number_parse(text, &number) || !(number >= 0 && number <= most))
        return refuse(what, text);
    *ret_number = number;
    return CTL_OK;
}

static int take_steps(const char *text, const char *what, uint64_t *ret_steps)
{
    return number_parse_whole(text, 1, COURSE_STEPS_MAX, ret_steps) ? CTL_OK : refuse(what, text);
}

static int take_text(const char *text, size_t most, const char *what, const char **list,
                     size_t *count)
{
    if (*count == most)
        return refuse(what, text);
    list[(*count)++] = text;
    return CTL_OK;
}

enum flag { KIND, PARAM, PART, LR, MOMENTUM, CONFIG, JOB, GROUP, STEPS, LOSSES, EVERY, SVG };

/* An option that takes a value. Returns CTL_OK, or the exit code. */
static int take_value(enum flag flag, const char *text, struct options *options)
{
    switch (flag) {
    case KIND: options->kind = text; return CTL_OK;
    case PARAM:
        return take_text(text, SETTINGS_MAX, "there are too many of --param", options->param,
                         &options->params);
    case PART:
        return take_text(text, SCHEDULE_PARTS_MAX, "there are too many of --part", options->part,
                         &options->parts);
    case LR: return take_number(text, 1e9, "--lr takes a number from 0 to 1e9", &options->lr);
    case MOMENTUM:
        return take_number(text, 1, "--momentum takes a number from 0 to 1", &options->momentum);
    case CONFIG: options->source.config = text; return CTL_OK;
    case JOB: options->source.job = text; return CTL_OK;
    case GROUP: options->source.group = text; return CTL_OK;
    case STEPS:
        return take_steps(text, "--steps takes a number from 1 to 10000000", &options->steps);
    case LOSSES: options->losses = text; return CTL_OK;
    case EVERY:
        return take_steps(text, "--every takes a number from 1 to 10000000", &options->every);
    case SVG: options->svg = text; return CTL_OK;
    }
    return CTL_USAGE;
}

/* Do the options go together? */
static int check(const struct options *options)
{
    const bool spelt = options->kind[0] != '\0' || options->params > 0 || options->parts > 0 ||
                       !isnan(options->lr) || !isnan(options->momentum);
    const bool filed = options->source.config != NULL;
    if (!filed && options->kind[0] == '\0')
        return refuse("--kind KIND or --config FILE is missing", "");
    if (filed && spelt)
        return refuse("the file says all of the schedule: --config goes without --kind, --param, "
                      "--part, --lr and --momentum",
                      "");
    if (!filed && (options->source.job != NULL || options->source.group != NULL))
        return refuse("--job and --group choose from a file: --config FILE is missing", "");
    if (options->steps == 0)
        return refuse("--steps N is missing", "");
    if (options->plot && options->json)
        return refuse("--plot and --json exclude each other", "");
    return CTL_OK;
}

/* CTL_OK: the options are complete. -1: help was asked for. Otherwise the exit code. */
static int parse(int argc, char **argv, struct options *options)
{
    enum { PLOT = SVG + 1, JSON, HELP };

    static const struct option long_options[] = {
        {"kind", required_argument, NULL, KIND},
        {"param", required_argument, NULL, PARAM},
        {"part", required_argument, NULL, PART},
        {"lr", required_argument, NULL, LR},
        {"momentum", required_argument, NULL, MOMENTUM},
        {"config", required_argument, NULL, CONFIG},
        {"job", required_argument, NULL, JOB},
        {"group", required_argument, NULL, GROUP},
        {"steps", required_argument, NULL, STEPS},
        {"losses", required_argument, NULL, LOSSES},
        {"every", required_argument, NULL, EVERY},
        {"svg", required_argument, NULL, SVG},
        {"plot", no_argument, NULL, PLOT},
        {"json", no_argument, NULL, JSON},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        int result = CTL_OK;
        switch (option) {
        case PLOT: options->plot = true; break;
        case JSON: options->json = true; break;
        case HELP: return -1;
        case '?': return ctl_usage("schedule");
        default: result = take_value((enum flag)option, optarg, options);
        }
        if (result != CTL_OK)
            return result;
    }
    return optind < argc ? refuse("unexpected argument", argv[optind]) : check(options);
}

/* ---- The courses ----------------------------------------------------------------------------- */

static enum stepd_status add_part(const char *text, struct schedule *schedule,
                                  struct stepd_error *reterr)
{
    struct schedule part = {.kind = NULL};
    enum stepd_status status = schedule_text_read(text, &part, reterr);
    if (status == STEPD_OK && !part.kind->takes_parts) /* what takes some cannot be one itself */
        status = schedule_check(&part, reterr);
    if (status == STEPD_OK)
        status = schedule_add(schedule, &part, reterr);
    else
        schedule_deinit(&part);
    return status == STEPD_OK ? status : stepd_fail_in(reterr, status, "--part %s", text);
}

/* *ret_wrong: of a failure, the argument that names the schedule which is wrong. */
static enum stepd_status make_schedule(const struct options *options, struct schedule *ret_schedule,
                                       const char **ret_wrong, struct stepd_error *reterr)
{
    struct schedule schedule = {.kind = NULL};
    enum stepd_status status = schedule_text_read(options->kind, &schedule, reterr);
    *ret_wrong = options->kind;
    for (size_t i = 0; i < options->params && status == STEPD_OK; i++)
        status = schedule_text_set(options->param[i], &schedule, reterr);
    for (size_t i = 0; i < options->parts && status == STEPD_OK; i++) {
        status = add_part(options->part[i], &schedule, reterr);
        *ret_wrong = status == STEPD_OK ? options->kind : options->part[i];
    }
    if (status == STEPD_OK)
        status = schedule_check(&schedule, reterr);
    if (status == STEPD_OK)
        *ret_schedule = schedule;
    else
        schedule_deinit(&schedule);
    return status;
}

static enum stepd_status make_course(const struct options *options, struct courses *ret_courses,
                                     const char **ret_wrong, struct stepd_error *reterr)
{
    struct schedule schedule = {.kind = NULL};
    struct courses courses = {.count = 1, .at = calloc(1, sizeof *courses.at)};
    enum stepd_status status = make_schedule(options, &schedule, ret_wrong, reterr);
    if (status == STEPD_OK && courses.at == NULL)
        status = stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the schedule");
    if (status == STEPD_OK)
        status = course_init(schedule.kind->name, &schedule, isnan(options->lr) ? 1.0 : options->lr,
                             options->momentum, &courses.at[0], reterr);
    schedule_deinit(&schedule);
    if (status == STEPD_OK)
        *ret_courses = courses;
    else
        free(courses.at);
    return status;
}

/* What follows from a schedule that is spelt wrong: the command that says how it is spelt. */
static int fail_flags(const char *wrong, const struct stepd_error *error)
{
    char kind[NAME_BYTES];
    struct schedule schedule = {.kind = NULL};
    (void)snprintf(kind, sizeof kind, "%.*s", (int)strcspn(wrong, ":"), wrong);
    const bool known = schedule_init(kind, &schedule, NULL) == STEPD_OK;
    schedule_deinit(&schedule);
    (void)ctl_fail("schedule", error);
    (void)fprintf(stderr, "Try 'stepctl schedules%s%s'.\n", known ? " " : "", known ? kind : "");
    return CTL_USAGE;
}

/* Losses, and what must be said where they are missing. */
static enum stepd_status hear_losses(const struct options *options, struct courses *courses,
                                     struct stepd_error *reterr)
{
    bool wanted = false;
    for (size_t i = 0; i < courses->count; i++)
        wanted = wanted || schedule_wants_loss(&courses->at[i].schedule);
    if (options->losses == NULL && wanted)
        (void)fprintf(stderr, "stepctl schedule: plateau follows the losses: without --losses FILE "
                              "it is shown before any drop\n");
    if (options->losses == NULL)
        return STEPD_OK;
    struct losses losses = {.count = 0};
    enum stepd_status status = losses_read(options->losses, &losses, reterr);
    if (status == STEPD_OK)
        status = courses_observe(courses, losses.count, losses.at, reterr);
    if (status == STEPD_OK && losses.count + 1 < options->steps)
        (void)fprintf(stderr,
                      "stepctl schedule: %s has %zu losses: from step %zu on the learning "
                      "rate is what they leave\n",
                      options->losses, losses.count, losses.count);
    losses_deinit(&losses);
    return status;
}

/* ---- Showing --------------------------------------------------------------------------------- */

/* "cosine:t_max=900,warmup=100, lr 0.1"; "job mnist, group biases". */
static void make_title(const struct options *options, const struct courses *courses, char *text,
                       size_t size)
{
    const char *gap = strchr(options->kind, ':') != NULL ? "," : ":";
    if (courses->job != NULL) {
        (void)stepd_format(text, size, "job %s%s%s", courses->job,
                           options->source.group != NULL ? ", group " : "",
                           options->source.group != NULL ? options->source.group : "");
        return;
    }
    size_t at = stepd_format(text, size, "%s", options->kind);
    for (size_t i = 0; i < options->params; i++, gap = ",")
        at += stepd_format(text + at, size - at, "%s%s", gap, options->param[i]);
    for (size_t i = 0; i < options->parts; i++)
        at += stepd_format(text + at, size - at, "%s%s", i > 0 ? " + " : " of ", options->part[i]);
    if (!isnan(options->lr) && !courses->at[0].schedule.kind->sets_lr)
        (void)stepd_format(text + at, size - at, ", lr %g", options->lr);
}

static enum stepd_status print_plot(const struct options *options, const struct courses *courses,
                                    const char *title, struct stepd_error *reterr)
{
    const struct chart_options chart = {
        .title = title,
        .courses = courses,
        .steps = options->steps,
        .columns = terminal_columns(NARROW),
        .utf8 = terminal_is_utf8(),
        .colours = terminal_has_colours(),
    };
    return chart_print(&chart, stdout, reterr);
}

static enum stepd_status show(const struct options *options, struct courses *courses,
                              struct stepd_error *reterr)
{
    const bool table = !options->json && (options->every > 0 || (!options->plot && !options->svg));
    const struct course_print_options print = {
        .courses = courses,
        .steps = options->steps,
        .every = options->every,
        .named = courses->job != NULL,
    };
    char title[TITLE_BYTES];
    make_title(options, courses, title, sizeof title);
    if (options->json)
        course_print_json(&print, stdout); /* each group by itself: before they are joined */
    enum stepd_status status = courses_join(courses, reterr);
    if (status == STEPD_OK && options->svg != NULL)
        status = svg_write(options->svg, title, courses, options->steps, reterr);
    if (status == STEPD_OK && options->plot)
        status = print_plot(options, courses, title, reterr);
    if (status == STEPD_OK && table)
        status = course_print_table(&print, stdout, reterr);
    return status;
}

int schedule_run(const struct ctl_options *ctl, int argc, char **argv)
{
    struct options options = {.kind = "", .lr = NAN, .momentum = NAN};
    struct courses courses = {.count = 0};
    struct stepd_error error;
    (void)ctl;
    const int result = parse(argc, argv, &options);
    if (result != CTL_OK)
        return result == -1 ? print_help() : result;
    const bool filed = options.source.config != NULL;
    const char *wrong = "";
    enum stepd_status status = filed ? courses_read(&options.source, &courses, &error)
                                     : make_course(&options, &courses, &wrong, &error);
    if (status != STEPD_OK && !filed)
        return fail_flags(wrong, &error);
    if (status == STEPD_OK)
        status = hear_losses(&options, &courses, &error);
    if (status == STEPD_OK)
        status = show(&options, &courses, &error);
    courses_deinit(&courses);
    return status == STEPD_OK ? CTL_OK : ctl_fail("schedule", &error);
}
