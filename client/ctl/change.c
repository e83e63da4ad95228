/* SPDX-License-Identifier: Apache-2.0
 *
 * stepctl change: other settings, another optimizer, another schedule for a job that runs.
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "client/ctl/ask.h"
#include "client/ctl/change_text.h"
#include "client/ctl/changes.h"
#include "client/ctl/ctl.h"
#include "client/ctl/number.h"
#include "proto/error.h"

#define ITEMS_MAX       16u
#define ARENA_MAX_BYTES ((size_t)4 << 20)

/* What was said, in the form that libstepd takes. */
struct options {
    struct ctl_options ctl;
    bool json;
    struct stepd_arena arena;
    struct change_params params;
    struct stepd_schedule_item schedule;
    struct stepd_schedule_item part[ITEMS_MAX];
    struct stepd_param_phase phase[ITEMS_MAX];
    struct stepd_change_options change;
};

static int print_help(void)
{
    (void)printf(
        "usage: stepctl change --job JOB [--group GROUP] [SETTING=VALUE ...] [--optimizer NAME]\n"
        "                      [--schedule KIND[:NAME=VALUE,...]] [--phase FROM:NAME[:...]]\n"
        "                      [--at VERSION] [--dry-run] [--json]\n"
        "\n"
        "Changes how a job is trained while it runs. In mode sync all shards change at one\n"
        "version, the earliest that all can agree on, or the one that is asked for; in modes\n"
        "async and bounded each slice changes with its next step. What cannot be honoured is\n"
        "refused, and nothing changes. 'stepctl changes' shows what was changed.\n"
        "\n"
        "what changes:\n"
        "  SETTING=VALUE     of the group's optimizer as it is now (lr=0.01, betas=0.8,0.95,\n"
        "                    lr_mult=0.5 of the present lr), or clip_value, maximize, ...\n"
        "  --optimizer NAME  another optimizer, which begins with no state; say its lr\n"
        "  --schedule KIND   another schedule: cosine:t_max=1000. Its steps count from the job's\n"
        "                    first, as ever\n"
        "  --part KIND       what sequential and chained are made of; once for each part\n"
        "  --schedule-param NAME=VALUE\n"
        "                    of the schedule that there is\n"
        "  --phase FROM:OPTIMIZER[:NAME=VALUE,...]\n"
        "                    another optimizer from that step on; all that are given replace those\n"
        "                    that were to come\n"
        "  --no-phases       no other optimizer is to come, and no change at a later version\n"
        "\n"
        "options:\n"
        "  --job JOB         the job\n"
        "  --group GROUP     this group only [all that are trained]\n"
        "  --at VERSION      the version that the first step with it starts from (mode sync)\n"
        "  --dry-run         say what would change, and change nothing\n"
        "  --json            one JSON object, for programs\n"
        "  --server ADDRESS  as for stepctl itself\n"
        "  --help            this text\n");
    return CTL_OK;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static enum stepd_status fail_many(const char *what, struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "more than %u %s", ITEMS_MAX, what);
}

static enum stepd_status add_part(const char *text, struct options *options,
                                  struct stepd_error *reterr)
{
    struct stepd_param_group *const group = &options->change.group;
    if (group->schedule_items_count == ITEMS_MAX)
        return fail_many("parts", reterr);
    group->schedule_items = options->part;
    return change_text_schedule(text, &options->arena,
                                &options->part[group->schedule_items_count++], reterr);
}

static enum stepd_status add_phase(const char *text, struct options *options,
                                   struct stepd_error *reterr)
{
    struct stepd_param_group *const group = &options->change.group;
    if (group->phases_count == ITEMS_MAX)
        return fail_many("phases", reterr);
    group->phases = options->phase;
    return change_text_phase(text, &options->arena, &options->phase[group->phases_count++], reterr);
}

static enum stepd_status set_schedule(const char *text, struct options *options,
                                      struct stepd_error *reterr)
{
    struct stepd_param_group *const group = &options->change.group;
    const enum stepd_status status =
        change_text_schedule(text, &options->arena, &options->schedule, reterr);
    group->schedule = options->schedule.kind;
    group->schedule_params = options->schedule.params;
    group->schedule_params_count = options->schedule.params_count;
    return status;
}

/* Over the schedule that there is: a list like --schedule's, without the kind. */
static enum stepd_status set_schedule_params(const char *text, struct options *options,
                                             struct stepd_error *reterr)
{
    struct stepd_param_group *const group = &options->change.group;
    struct change_params *const params = stepd_arena_calloc(&options->arena, 1, sizeof *params);
    if (params == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory");
    if (group->schedule_params_count > 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the schedule's parameters are given twice; put them into one list");
    const enum stepd_status status = change_text_params(text, &options->arena, params, reterr);
    group->schedule_params = params->param;
    group->schedule_params_count = params->count;
    return status;
}

static enum stepd_status set_version(const char *text, struct options *options,
                                     struct stepd_error *reterr)
{
    if (number_parse_whole(text, 1, UINT64_MAX - 1, &options->change.at))
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "--at %s: expected a version, from 1 on",
                      text);
}

static enum stepd_status take_option(int option, const char *value, struct options *options,
                                     struct stepd_error *reterr)
{
    struct stepd_change_options *const change = &options->change;
    switch (option) {
    case 'j': change->job = value; return STEPD_OK;
    case 'g': change->group.name = value; return STEPD_OK;
    case 'O': change->group.optimizer = value; return STEPD_OK;
    case 'S': return set_schedule(value, options, reterr);
    case 'P': return set_schedule_params(value, options, reterr);
    case 'p': return add_part(value, options, reterr);
    case 'f': return add_phase(value, options, reterr);
    case 'N': change->drop_phases = true; return STEPD_OK;
    case 'a': return set_version(value, options, reterr);
    case 'd': change->dry_run = true; return STEPD_OK;
    case 'o': options->json = true; return STEPD_OK;
    default: options->ctl.server = value; return STEPD_OK;
    }
}

/* The exit code, or -1: go on. */
static int read_options(int argc, char **argv, struct options *options)
{
    static const struct option long_options[] = {
        {"job", required_argument, NULL, 'j'},
        {"group", required_argument, NULL, 'g'},
        {"optimizer", required_argument, NULL, 'O'},
        {"schedule", required_argument, NULL, 'S'},
        {"schedule-param", required_argument, NULL, 'P'},
        {"part", required_argument, NULL, 'p'},
        {"phase", required_argument, NULL, 'f'},
        {"no-phases", no_argument, NULL, 'N'},
        {"at", required_argument, NULL, 'a'},
        {"dry-run", no_argument, NULL, 'd'},
        {"json", no_argument, NULL, 'o'},
        {"server", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct stepd_error error = {.code = STEPD_OK};
    enum stepd_status status = STEPD_OK;
    int option;
    while (status == STEPD_OK && (option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == 'h')
            return print_help();
        if (option == '?')
            return ctl_usage("change");
        status = take_option(option, optarg, options, &error);
    }
    for (int i = optind; i < argc && status == STEPD_OK; i++)
        status = change_text_params(argv[i], &options->arena, &options->params, &error);
    if (status == STEPD_OK && options->change.job == NULL)
        status = stepd_fail(&error, STEPD_INVALID_ARGUMENT, "--job JOB is missing");
    if (status == STEPD_OK)
        return -1;
    (void)fprintf(stderr, "stepctl change: %s\n", error.text);
    return ctl_usage("change");
}

/* ---- Changing -------------------------------------------------------------------------------- */

static void print(const json_t *changes, const struct options *options)
{
    if (options->json) {
        (void)json_dumpf(changes, stdout, JSON_INDENT(2));
        (void)printf("\n");
    } else if (json_array_size(json_object_get(changes, "changes")) == 0) {
        (void)printf("nothing to change: it is so already\n");
    } else {
        if (options->change.dry_run)
            (void)printf("would change, and has not:\n");
        changes_print(changes);
    }
}

static int change(struct options *options)
{
    struct stepd_client *client = NULL;
    struct stepd_error error;
    json_t *changes = NULL;
    options->change.group.params = options->params.param;
    options->change.group.params_count = options->params.count;
    options->change.deadline_ms = CTL_ANSWER_MS - CTL_ANSWER_MS / 10;
    if (ctl_connect(&options->ctl, NULL, &client, &error) != STEPD_OK)
        return ctl_fail("change", &error);
    const enum stepd_status status = ask_change(client, &options->change, &changes, &error);
    (void)stepd_close(client);
    if (status != STEPD_OK)
        return ctl_fail("change", &error);
    print(changes, options);
    json_decref(changes);
    return CTL_OK;
}

int change_run(const struct ctl_options *ctl, int argc, char **argv)
{
    struct options options = {.ctl = *ctl, .change = STEPD_CHANGE_OPTIONS_INIT};
    stepd_arena_init(&options.arena, ARENA_MAX_BYTES);
    int exit_code = read_options(argc, argv, &options);
    if (exit_code < 0)
        exit_code = change(&options);
    stepd_arena_deinit(&options.arena);
    return exit_code;
}
