/* SPDX-License-Identifier: Apache-2.0
 *
 * stepctl optimizers and stepctl schedules: the daemon's own tables, as a person looks something up
 * in them. Nothing is known here of any one row.
 */
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "client/ctl/ctl.h"
#include "proto/error.h"
#include "server/optim/optimizer.h"
#include "server/schedule/schedule.h"

/* ---- Optimizers ------------------------------------------------------------------------------ */

static const char *const scopes[] = {
    [OPTIM_SCOPE_ELEMENT] = "element",
    [OPTIM_SCOPE_TENSOR] = "tensor",
    [OPTIM_SCOPE_GROUP] = "group",
};

static void list_optimizers(void)
{
    (void)printf("%-18s%-9s%s\n", "NAME", "SEES", "SOURCE");
    for (size_t i = 0; i < optimizer_count(); i++) {
        const struct optimizer *const optimizer = optimizer_at(i);
        (void)printf("%-18s%-9s%s\n", optimizer->name, scopes[optimizer->scope], optimizer->source);
    }
}

static bool is_switch(double least, double most, bool whole)
{
    return whole && least == 0.0 && most == 1.0;
}

static void print_hyper_value(const struct optim_hyper_spec *spec, double value, char *text,
                              size_t size)
{
    if (spec->word != NULL)
        (void)snprintf(text, size, "%s", spec->word[(size_t)value]);
    else if (is_switch(spec->least, spec->most, spec->whole))
        (void)snprintf(text, size, "%s", value != 0.0 ? "true" : "false");
    else
        (void)snprintf(text, size, "%.6g", value);
}

static void print_words(const char *const *word, double least, double most)
{
    for (size_t i = (size_t)least; (double)i <= most; i++)
        (void)printf("%s%s", (double)i > least ? ", " : "", word[i]);
    (void)printf("\n");
}

/* What the lecture's form has instead of the default, or "". */
static void print_lecture(const struct optimizer *optimizer, const struct optim_hyper_spec *spec,
                          char *text, size_t size)
{
    text[0] = '\0';
    for (size_t i = 0; i < OPTIMIZER_FIXED_MAX && optimizer->lecture[i].name != NULL; i++) {
        if (strcmp(optimizer->lecture[i].name, spec->name) == 0)
            print_hyper_value(spec, optimizer->lecture[i].value, text, size);
    }
}

static void print_hyper(const struct optimizer *optimizer, const struct optim_hyper_spec *spec)
{
    char fallback[64];
    char lecture[64];
    print_hyper_value(spec, spec->fallback, fallback, sizeof fallback);
    print_lecture(optimizer, spec, lecture, sizeof lecture);
    (void)printf("  %-26s%-20s%-20s", spec->name, fallback, lecture);
    if (spec->word != NULL)
        print_words(spec->word, spec->least, spec->most);
    else if (is_switch(spec->least, spec->most, spec->whole))
        (void)printf("true, false\n");
    else
        (void)printf("%s%c%g, %g%c\n", spec->whole ? "whole numbers in " : "",
                     spec->least_open ? '(' : '[', spec->least, spec->most,
                     spec->most_open ? ')' : ']');
}

static enum stepd_status show_optimizer(const char *name, struct stepd_error *reterr)
{
    const struct optimizer *optimizer = NULL;
    const enum stepd_status status = optimizer_find(name, &optimizer, reterr);
    if (status != STEPD_OK)
        return status;
    (void)printf("%s: sees each %s%s\n%s\n", optimizer->name, scopes[optimizer->scope],
                 optimizer->sync_only ? "; for mode sync" : "", optimizer->source);
    if (optimizer->rules != NULL)
        (void)printf("%s\n", optimizer->rules);
    (void)printf("state:");
    for (size_t i = 0; i < optimizer_slots(optimizer); i++)
        (void)printf("%s %s%s", i > 0 ? "," : "", optimizer->slot[i].name,
                     optimizer->slot[i].used != NULL ? " (where it is asked for)" : "");
    (void)printf("%s\n\n  %-26s%-20s%-20s%s\n", optimizer_slots(optimizer) == 0 ? " none" : "",
                 "HYPERPARAMETER", "DEFAULT", "LECTURE", "VALUES");
    for (size_t i = 0; i < optimizer->hypers; i++)
        print_hyper(optimizer, &optimizer->hyper[i]);
    return STEPD_OK;
}

/* ---- Schedules ------------------------------------------------------------------------------- */

static void list_schedules(void)
{
    (void)printf("%-18s%s\n", "NAME", "SOURCE");
    for (size_t i = 0; i < schedule_kind_count(); i++)
        (void)printf("%-18s%s\n", schedule_kind_at(i)->name, schedule_kind_at(i)->source);
}

static void print_param(const struct schedule_param_spec *spec)
{
    const bool whole = spec->type == SCHEDULE_WHOLE;
    char fallback[64];
    if (isnan(spec->fallback))
        (void)snprintf(fallback, sizeof fallback, "must be given");
    else if (spec->type == SCHEDULE_WORD)
        (void)snprintf(fallback, sizeof fallback, "%s", spec->word[(size_t)spec->fallback]);
    else if (is_switch(spec->least, spec->most, whole))
        (void)snprintf(fallback, sizeof fallback, "%s", spec->fallback != 0.0 ? "true" : "false");
    else
        (void)snprintf(fallback, sizeof fallback, "%.6g", spec->fallback);
    (void)printf("  %-20s%-16s", spec->name, fallback);
    if (spec->type == SCHEDULE_WORD)
        print_words(spec->word, 0.0, spec->most);
    else if (is_switch(spec->least, spec->most, whole))
        (void)printf("true, false\n");
    else
        (void)printf("%s%s[%g, %g]\n", spec->type == SCHEDULE_LIST ? "a list in " : "",
                     whole ? "whole numbers in " : "", spec->least, spec->most);
}

static enum stepd_status show_schedule(const char *name, struct stepd_error *reterr)
{
    struct schedule schedule;
    const enum stepd_status status = schedule_init(name, &schedule, reterr);
    if (status != STEPD_OK)
        return status;
    const struct schedule_kind *const kind = schedule.kind;
    (void)printf("%s\n%s\n", kind->name, kind->source);
    if (kind->rules != NULL)
        (void)printf("%s\n", kind->rules);
    if (kind->takes_parts)
        (void)printf("It is made of other schedules.\n");
    if (kind->wants_loss)
        (void)printf("It needs the loss of every push.\n");
    (void)printf("\n  %-20s%-16s%s\n", "PARAMETER", "DEFAULT", "VALUES");
    for (size_t i = 0; i < kind->params; i++)
        print_param(&kind->param[i]);
    schedule_deinit(&schedule);
    return STEPD_OK;
}

/* ---- The commands ---------------------------------------------------------------------------- */

struct lookup {
    const char *command;
    const char *help;
    void (*list)(void);
    enum stepd_status (*show)(const char *name, struct stepd_error *reterr);
};

static int look_up(const struct lookup *lookup, int argc, char **argv)
{
    struct stepd_error error;
    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        return fputs(lookup->help, stdout) < 0 ? CTL_FAILURE : CTL_OK;
    if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
        (void)fprintf(stderr, "stepctl %s: unexpected argument '%s'\n", lookup->command,
                      argv[argc - 1]);
        return ctl_usage(lookup->command);
    }
    if (argc == 1)
        lookup->list();
    else if (lookup->show(argv[1], &error) != STEPD_OK)
        return ctl_fail(lookup->command, &error);
    return CTL_OK;
}

int optimizers_run(const struct ctl_options *ctl, int argc, char **argv)
{
    static const struct lookup lookup = {
        .command = "optimizers",
        .help = "usage: stepctl optimizers [NAME]\n"
                "\n"
                "Lists the optimizers that a group may have, and what each sees at once; with NAME "
                "its state\nand hyperparameters, their defaults, what `preset: lecture` sets "
                "otherwise, and their ranges.\n",
        .list = list_optimizers,
        .show = show_optimizer,
    };
    (void)ctl;
    return look_up(&lookup, argc, argv);
}

int schedules_run(const struct ctl_options *ctl, int argc, char **argv)
{
    static const struct lookup lookup = {
        .command = "schedules",
        .help =
            "usage: stepctl schedules [NAME]\n"
            "\n"
            "Lists the kinds of schedules; with NAME its parameters, their defaults and ranges. "
            "`stepctl\nschedule` shows what one does.\n",
        .list = list_schedules,
        .show = show_schedule,
    };
    (void)ctl;
    return look_up(&lookup, argc, argv);
}
