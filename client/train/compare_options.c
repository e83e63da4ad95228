/* SPDX-License-Identifier: Apache-2.0
 *
 * Most flags are those of a single training, which then hold for every run. Which runs there are
 * is settled when all flags are read, since each begins with the hyperparameters they share, and
 * each mode with the settings beside it.
 */
#include "client/train/compare_options.h"

#include <string.h>

#include "client/lib/launcher.h"
#include "proto/decimal.h"
#include "proto/error.h"

/* Where nothing else is asked for: the optimizers that everybody knows, each at a learning rate
 * that suits it. */
static const char *const usual_runs[] = {
    "sgd lr=0.1",       "momentum lr=0.02", "nesterov lr=0.02", "adagrad lr=0.01",
    "rmsprop lr=0.001", "adam lr=0.001",    "adamw lr=0.001",
};

/* ---- Readers of values ----------------------------------------------------------------------- */

static enum stepd_status add_wish(const struct flag *flag, struct compare_wish wish,
                                  struct compare_options *options, struct stepd_error *reterr)
{
    if (options->wishes == COMPARE_RUNS_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s: more than %u runs", flag->name,
                          COMPARE_RUNS_MAX);
    options->wish[options->wishes++] = wish;
    return STEPD_OK;
}

/* What is wrong with a recipe is found when it is read, and named then. */
static enum stepd_status read_run(const struct flag *flag, const char *value, void *target,
                                  struct stepd_error *reterr)
{
    return add_wish(flag, (struct compare_wish){.text = value}, target, reterr);
}

static enum stepd_status read_optimizers(const struct flag *flag, const char *value, void *target,
                                         struct stepd_error *reterr)
{
    for (const char *at = value;; at++) {
        const size_t length = strcspn(at, ",");
        if (length == 0)
            return flag_fail(flag, value, "names with ',' between them", reterr);
        const enum stepd_status status =
            add_wish(flag, (struct compare_wish){.text = at, .length = length}, target, reterr);
        at += length;
        if (status != STEPD_OK || *at == '\0')
            return status;
    }
}

static enum stepd_status read_workers(const struct flag *flag, const char *value, void *target,
                                      struct stepd_error *reterr)
{
    struct compare_options *const options = target;
    uint64_t workers;
    if (!stepd_launcher_number(value, COMPARE_WORKERS_MAX, &workers) || workers == 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%s '%s': expected a number of workers from 1 to %u", flag->name, value,
                          COMPARE_WORKERS_MAX);
    options->base.world = (uint32_t)workers;
    return STEPD_OK;
}

/* ---- The table ------------------------------------------------------------------------------- */

#define AT(field) .offset = offsetof(struct compare_options, field)

static const struct flag flags[] = {
    {.name = "--server",
     .argument = "ADDRESS",
     .read = flag_read_text,
     AT(base.server),
     .help = "host:port or unix:/path of stepd [STEPD_ADDRESS, or one that is started for it]"},
    {.name = "--run",
     .argument = "'OPTIMIZER [NAME=VALUE ...]'",
     .read = read_run,
     .help = "one run: 'adam lr=0.001 betas=0.8,0.95'; may be repeated.\n"
             "        'adam lr=0.001 then sgd from=300 lr=0.05' changes its optimizer on the way"},
    {.name = "--optimizers",
     .argument = "NAME[,NAME...]",
     .read = read_optimizers,
     .help = "one run for each, with the hyperparameters given below"},
    {.name = "--lrs",
     .argument = "NUMBER[,NUMBER...]",
     .read = flag_read_text,
     AT(lrs),
     .help = "each of these runs once at each of these learning rates"},
    {.name = "--modes",
     .argument = "'MODE [NAME=VALUE ...][,MODE ...]'",
     .read = flag_read_text,
     AT(mode_list),
     .help = "each of these runs once in each of these modes:\n"
             "        'sync,sync backup=1,bounded staleness=8,async lr_by_staleness=1'"},
    {.name = "--workers",
     .argument = "N",
     .read = read_workers,
     .help = "of each run, as threads with connections of their own [1]"},
    {.name = "--csv",
     .argument = "FILE",
     .read = flag_read_text,
     AT(base.csv),
     .help = "all curves: run,optimizer,hyperparameters,mode,step,epoch,loss,smoothed\n"
             "        [compare.csv]"},
    {.name = "--plot",
     .argument = "FILE",
     .read = flag_read_text,
     AT(base.plot),
     .help = "all curves as one SVG picture [compare.svg]"},
    {.name = "--log-scale",
     .read = flag_read_switch,
     AT(log_scale),
     .help = "draw the loss on a logarithmic axis"},
    {.name = "--by-time",
     .read = flag_read_switch,
     AT(by_time),
     .help = "draw the loss over the seconds that training took, and not over steps"},
    {.name = "--job",
     .argument = "NAME",
     .read = flag_read_text,
     AT(base.job),
     .help = "the runs are the jobs NAME-1, NAME-2, ... [compare]"},
    {.name = "--schedule",
     .argument = "NAME",
     .read = flag_read_text,
     AT(base.schedule),
     .help = "of the learning rate: constant, step, cosine, ... [constant]"},
    {.name = "--epochs",
     .argument = "N",
     .read = flag_read_number,
     AT(base.epochs),
     .least = 1,
     .most = TRAIN_EPOCHS_MAX,
     .help = "passes over the training set [1]"},
};

#undef AT

static struct flag_table own_table(struct compare_options *options)
{
    return (struct flag_table){
        .flag = flags,
        .count = sizeof flags / sizeof flags[0],
        .target = options,
    };
}

void compare_options_print_help(FILE *out)
{
    const struct flag_table own = own_table(NULL);
    const struct flag_table shared = options_table(NULL, OPTION_OF_RUNS);
    (void)fputs(
        "usage: stepd-train compare [flags]\n\n"
        "Trains one model under several optimizers, learning rates or modes, one after another,\n"
        "each as a job of its own with the same first weights and examples in the same order.\n"
        "Writes all losses into one CSV file, draws them in one picture, and ends with a table.\n"
        "Where no --server is named, it starts a stepd of its own and ends it again.\n\n"
        "  stepd-train compare\n"
        "        the optimizers that everybody knows, at learning rates that suit them\n"
        "  stepd-train compare --model cnn --steps 300 --optimizers sgd,adam --lrs 0.1,0.01,0.001\n"
        "        two optimizers at three learning rates\n"
        "  stepd-train compare --run 'adam lr=0.001' --run 'adam lr=0.001 eps_mode=inside'\n"
        "        the same optimizer in two forms\n"
        "  stepd-train compare --workers 4 --slow 5 --share --run 'sgd lr=0.1' \\\n"
        "        --modes 'sync,bounded staleness=64,async'\n"
        "        what a worker that is five times slower than the others costs in each mode\n\n",
        out);
    flags_print(out, &own);
    (void)fputs("\nFor every run:\n\n", out);
    flags_print(out, &shared);
}

/* ---- What depends on several flags ----------------------------------------------------------- */

static enum stepd_status read_wish(const struct compare_wish *wish, struct train_recipe *recipe,
                                   struct stepd_error *reterr)
{
    const enum stepd_status status = wish->length == 0
                                         ? recipe_read(wish->text, recipe, reterr)
                                         : recipe_name(wish->text, wish->length, recipe, reterr);
    if (status == STEPD_OK)
        return status;
    return wish->length == 0 ? stepd_fail_in(reterr, status, "--run '%s'", wish->text)
                             : stepd_fail_in(reterr, status, "--optimizers");
}

static enum stepd_status add_run(const struct train_recipe *recipe, const struct train_mode *mode,
                                 struct compare_options *options, struct stepd_error *reterr)
{
    if (options->runs == COMPARE_RUNS_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "more than %u runs: leave some out",
                          COMPARE_RUNS_MAX);
    options->run[options->runs++] = (struct compare_job){.recipe = *recipe, .mode = *mode};
    return STEPD_OK;
}

/* Adds a recipe once for each mode. */
static enum stepd_status add_modes(const struct train_recipe *recipe,
                                   struct compare_options *options, struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < options->modes && status == STEPD_OK; i++)
        status = add_run(recipe, &options->mode[i], options, reterr);
    return status;
}

/* Adds a recipe once for each learning rate. */
static enum stepd_status add_rates(const struct train_recipe *recipe,
                                   struct compare_options *options, struct stepd_error *reterr)
{
    if (params_find(&recipe->hyper, "lr") != NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "--lrs gives each run its learning rates, but that of '%s' is set too",
                          recipe->optimizer);
    enum stepd_status status = STEPD_OK;
    for (const char *at = options->lrs; status == STEPD_OK; at++) {
        const size_t length = strcspn(at, ",");
        struct train_recipe run = *recipe;
        double lr;
        if (!stepd_decimal_read(at, length, &lr))
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "--lrs '%s': expected numbers with ',' between them", options->lrs);
        status = params_set("lr", lr, &run.hyper, reterr);
        if (status == STEPD_OK)
            status = add_modes(&run, options, reterr);
        at += length;
        if (*at == '\0')
            break;
    }
    return status;
}

static enum stepd_status settle_runs(struct compare_options *options, struct stepd_error *reterr)
{
    const size_t usual = sizeof usual_runs / sizeof usual_runs[0];
    if (options->wishes == 0 && options->lrs != NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "--lrs: of what? Name it with --optimizers or --run");
    if (options->wishes == 0)
        while (options->wishes < usual) {
            const char *const text = usual_runs[options->wishes];
            options->wish[options->wishes++] = (struct compare_wish){.text = text};
        }
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < options->wishes && status == STEPD_OK; i++) {
        struct train_recipe recipe = {.hyper = options->base.recipe.hyper};
        status = read_wish(&options->wish[i], &recipe, reterr);
        if (status == STEPD_OK)
            status = options->lrs == NULL ? add_modes(&recipe, options, reterr)
                                          : add_rates(&recipe, options, reterr);
    }
    return status;
}

/* of_mode: the flag that gave all runs one mode, or NULL. */
static enum stepd_status settle_modes(const struct flag *of_mode, struct compare_options *options,
                                      struct stepd_error *reterr)
{
    const struct train_mode base = {.mode = options->base.mode,
                                    .settings = options->base.job_params};
    options->modes = 1;
    options->mode[0] = base;
    if (options->mode_list == NULL)
        return STEPD_OK;
    if (of_mode != NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%s and --modes both say the mode: leave one out", of_mode->name);
    options->modes = 0;
    for (const char *at = options->mode_list;; at++) {
        const size_t length = strcspn(at, ",");
        if (options->modes == COMPARE_RUNS_MAX)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "--modes: more than %u runs",
                              COMPARE_RUNS_MAX);
        struct train_mode *const mode = &options->mode[options->modes++];
        *mode = base;
        const enum stepd_status status = train_mode_read(at, length, mode, reterr);
        if (status != STEPD_OK)
            return stepd_fail_in(reterr, status, "--modes");
        at += length;
        if (*at == '\0')
            return STEPD_OK;
    }
}

/* Steps are shared in those of the modes in which they can be. */
static enum stepd_status check_share(const struct compare_options *options,
                                     struct stepd_error *reterr)
{
    bool can_share = false;
    for (size_t i = 0; i < options->modes; i++)
        can_share = can_share || options->mode[i].mode != STEPD_SYNC;
    return can_share || !options->base.share ? STEPD_OK : options_fail_share(reterr);
}

void compare_options_describe(const struct compare_options *options, size_t run, char *text,
                              size_t size)
{
    const struct compare_job *const job = &options->run[run];
    const bool by_mode = options->modes > 1;
    const bool by_recipe = options->runs > options->modes || !by_mode;
    char recipe[RECIPE_TEXT_BYTES];
    char mode[TRAIN_MODE_TEXT_BYTES];
    recipe_format(&job->recipe, recipe, sizeof recipe);
    train_mode_format(&job->mode, mode, sizeof mode);
    (void)stepd_format(text, size, "%s%s%s", by_recipe ? recipe : "",
                       by_recipe && by_mode ? ", " : "", by_mode ? mode : "");
}

enum stepd_status compare_options_parse(int argc, char *const *argv, char *const *environment,
                                        struct compare_options *ret_options,
                                        struct stepd_error *reterr)
{
    *ret_options = (struct compare_options){.runs = 0};
    struct train_options *const base = &ret_options->base;
    options_defaults(environment, base);
    base->server = stepd_launcher_variable(environment, "STEPD_ADDRESS");
    base->job = "compare";
    base->schedule = "constant";
    base->csv = "compare.csv";
    base->plot = "compare.svg";
    base->epochs = 1;
    base->world = 1;
    base->rank = 0;
    const struct flag_table tables[] = {own_table(ret_options),
                                        options_table(base, OPTION_OF_RUNS)};
    const struct flag_line line = {.argc = argc, .argv = argv, .note = OPTION_OF_MODE};
    const struct flag *of_mode = NULL;
    enum stepd_status status = flags_read(tables, 2, &line, &of_mode, reterr);
    if (status != STEPD_OK || base->help)
        return status;
    options_settle_tls(environment, base);
    if (base->local && base->world > 1)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "--local is for one worker, not %u",
                          base->world);
    status = options_settle_ranks(base, reterr);
    if (status == STEPD_OK)
        status = settle_modes(of_mode, ret_options, reterr);
    if (status == STEPD_OK)
        status = check_share(ret_options, reterr);
    return status == STEPD_OK ? settle_runs(ret_options, reterr) : status;
}
