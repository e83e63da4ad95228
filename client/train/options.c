/* SPDX-License-Identifier: Apache-2.0
 *
 * The flags of stepd-train as one table: name, argument, help text, how to read it and where to put
 * it. `--flag value` and `--flag=value` are the same. Reading goes flag by flag; then what depends
 * on several of them is settled: the rank and world (flags, or else a launcher's environment), the
 * server's address, and the batch size of every rank.
 *
 * What a flag means to the server (is there such an optimizer, is this learning rate in range) is
 * the server's to say; it answers with better texts than could stand here.
 */
#include "client/train/options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/train/launcher.h"
#include "client/train/model.h"
#include "proto/error.h"
#include "proto/mode.h"

struct flag;
typedef enum stepd_status flag_read_fn(const struct flag *flag, const char *value,
                                       struct train_options *options, struct stepd_error *reterr);

struct flag {
    const char *name;
    const char *argument; /* NULL: a switch, which takes none */
    const char *help;
    flag_read_fn *read;
    size_t offset;   /* in struct train_options, for the readers that store one field */
    uint64_t least;  /* for numbers */
    uint64_t most;   /* for numbers */
    const char *key; /* for parameters: their name toward the server */
    bool of_job;     /* says how the job is defined: not together with --defined */
};

static void *field_of(const struct flag *flag, struct train_options *options)
{
    return (char *)options + flag->offset;
}

static enum stepd_status fail_value(const struct flag *flag, const char *value,
                                    const char *expected, struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s '%s': expected %s", flag->name, value,
                      expected);
}

/* ---- Readers of values ----------------------------------------------------------------------- */

static enum stepd_status read_switch(const struct flag *flag, const char *value,
                                     struct train_options *options, struct stepd_error *reterr)
{
    (void)value;
    (void)reterr;
    *(bool *)field_of(flag, options) = true;
    return STEPD_OK;
}

static enum stepd_status read_text(const struct flag *flag, const char *value,
                                   struct train_options *options, struct stepd_error *reterr)
{
    if (*value == '\0')
        return fail_value(flag, value, flag->argument, reterr);
    *(const char **)field_of(flag, options) = value;
    return STEPD_OK;
}

static enum stepd_status read_number(const struct flag *flag, const char *value,
                                     struct train_options *options, struct stepd_error *reterr)
{
    uint64_t number;
    if (!launcher_number(value, flag->most, &number) || number < flag->least)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%s '%s': expected a whole number from %llu to %llu", flag->name, value,
                          (unsigned long long)flag->least, (unsigned long long)flag->most);
    *(uint64_t *)field_of(flag, options) = number;
    return STEPD_OK;
}

static enum stepd_status read_rank(const struct flag *flag, const char *value,
                                   struct train_options *options, struct stepd_error *reterr)
{
    uint64_t rank;
    if (!launcher_number(value, STEPD_WORKERS_MAX - 1, &rank))
        return fail_value(flag, value, "a rank, 0 or more", reterr);
    options->rank = (int)rank;
    return STEPD_OK;
}

static enum stepd_status read_world(const struct flag *flag, const char *value,
                                    struct train_options *options, struct stepd_error *reterr)
{
    (void)flag;
    uint64_t world;
    if (!launcher_number(value, STEPD_WORKERS_MAX, &world) || world == 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "--world '%s': expected a number of workers from 1 to %u", value,
                          STEPD_WORKERS_MAX);
    options->world = (uint32_t)world;
    return STEPD_OK;
}

static enum stepd_status read_mode(const struct flag *flag, const char *value,
                                   struct train_options *options, struct stepd_error *reterr)
{
    return stepd_mode_find(value, &options->mode) ? STEPD_OK
                                                  : fail_value(flag, value, flag->argument, reterr);
}

static enum stepd_status read_dtype(const struct flag *flag, const char *value,
                                    struct train_options *options, struct stepd_error *reterr)
{
    static const char *const names[] = {
        [STEPD_F32] = "f32", [STEPD_F16] = "f16", [STEPD_BF16] = "bf16"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(value, names[i]) == 0) {
            *(enum stepd_dtype *)field_of(flag, options) = (enum stepd_dtype)i;
            return STEPD_OK;
        }
    return fail_value(flag, value, flag->argument, reterr);
}

/* The point that gradients are computed at is of no use to test. */
static enum stepd_status read_view(const struct flag *flag, const char *value,
                                   struct train_options *options, struct stepd_error *reterr)
{
    static const char *const names[] = {
        [STEPD_EVALUATION] = "evaluation", [STEPD_EMA] = "ema", [STEPD_SWA] = "swa"};
    for (int i = STEPD_EVALUATION; i < STEPD_VIEWS; i++)
        if (strcmp(value, names[i]) == 0) {
            options->eval_view = (enum stepd_view)i;
            return STEPD_OK;
        }
    return fail_value(flag, value, flag->argument, reterr);
}

static enum stepd_status read_model(const struct flag *flag, const char *value,
                                    struct train_options *options, struct stepd_error *reterr)
{
    const enum stepd_status status = model_check_spec(value, reterr);
    return status == STEPD_OK ? read_text(flag, value, options, reterr)
                              : stepd_fail_in(reterr, status, "%s", flag->name);
}

/* "128", or one number for each rank: "64,32,128,16". Missing ones are filled in by settle_batch.
 */
static enum stepd_status read_batch(const struct flag *flag, const char *value,
                                    struct train_options *options, struct stepd_error *reterr)
{
    options->batch_sizes = 0;
    const char *at = value;
    for (;;) {
        char *end;
        const unsigned long size = strtoul(at, &end, 10);
        if (*at < '0' || *at > '9' || size > TRAIN_BATCH_SIZE_MAX)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "%s '%s': expected numbers of examples from 0 to %u", flag->name,
                              value, TRAIN_BATCH_SIZE_MAX);
        if (options->batch_sizes == STEPD_WORKERS_MAX)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s: more than %u numbers",
                              flag->name, STEPD_WORKERS_MAX);
        options->batch[options->batch_sizes++] = (uint32_t)size;
        if (*end == '\0')
            return STEPD_OK;
        if (*end != ',')
            return fail_value(flag, value, "numbers with ',' between them", reterr);
        at = end + 1;
    }
}

/* A parameter under its own flag (flag->key), or any as NAME=VALUE. */
static enum stepd_status read_param(const struct flag *flag, const char *value,
                                    struct train_options *options, struct stepd_error *reterr)
{
    struct stepd_arguments *const params = field_of(flag, options);
    char *end;
    const double number = strtod(value, &end);
    if (flag->key != NULL && (end == value || *end != '\0' || !isfinite(number)))
        return fail_value(flag, value, "a number", reterr);
    const enum stepd_status status =
        flag->key != NULL ? stepd_arguments_set(params, flag->key, strlen(flag->key), value, reterr)
                          : stepd_arguments_set_pair(params, value, reterr);
    return status == STEPD_OK ? status : stepd_fail_in(reterr, status, "%s", flag->name);
}

/* ---- The table ------------------------------------------------------------------------------- */

#define AT(field) .offset = offsetof(struct train_options, field)
#define HYPER(key_)                                                                                \
    .argument = "NUMBER", .read = read_param, AT(hyper), .key = (key_), .of_job = true

static const struct flag flags[] = {
    {.name = "--server",
     .argument = "ADDRESS",
     .read = read_text,
     AT(server),
     .help = "host:port or unix:/path of stepd [STEPD_ADDRESS, or 127.0.0.1:7070]"},
    {.name = "--job",
     .argument = "NAME",
     .read = read_text,
     AT(job),
     .help = "the job to join [train]"},
    {.name = "--model",
     .argument = "linear|softmax|mlp:A-B-...-Z|cnn:C-D-...",
     .read = read_model,
     AT(model),
     .help = "what to train [mlp:784-1000-1000-10]"},
    {.name = "--data",
     .argument = "FOLDER",
     .read = read_text,
     AT(data),
     .help = "IDX files, MNIST's names, gzipped or not [/usr/share/datasets/fashion-mnist]"},
    {.name = "--optimizer",
     .argument = "NAME",
     .read = read_text,
     AT(optimizer),
     .of_job = true,
     .help = "one that the server knows [adamw]"},
    {.name = "--lr", HYPER("lr"), .help = "learning rate; this and the next: the server's default"},
    {.name = "--weight-decay", HYPER("weight_decay"), .help = "weight decay"},
    {.name = "--momentum", HYPER("momentum"), .help = "momentum"},
    {.name = "--beta1", HYPER("beta1"), .help = "decay of the first moment"},
    {.name = "--beta2", HYPER("beta2"), .help = "decay of the second moment"},
    {.name = "--eps", HYPER("eps"), .help = "what is added to the root"},
    {.name = "--optimizer-param",
     .argument = "NAME=VALUE",
     .read = read_param,
     AT(hyper),
     .of_job = true,
     .help = "any other hyperparameter, such as betas=0.9,0.99 or preset=lecture; may be "
             "repeated"},
    {.name = "--schedule",
     .argument = "NAME",
     .read = read_text,
     AT(schedule),
     .of_job = true,
     .help = "of the learning rate: constant, step, cosine, ... [cosine]"},
    {.name = "--schedule-param",
     .argument = "NAME=VALUE",
     .read = read_param,
     AT(schedule_params),
     .of_job = true,
     .help = "of the schedule; may be repeated; cosine's t_max and one_cycle's total_steps are the "
             "run's length by themselves"},
    {.name = "--warmup",
     .argument = "STEPS",
     .read = read_param,
     AT(schedule_params),
     .key = "warmup",
     .of_job = true,
     .help = "linear warm-up in front of the schedule"},
    {.name = "--mode",
     .argument = "sync|async|bounded",
     .read = read_mode,
     .of_job = true,
     .help = "wait for all workers in each step, for none, or for who is too far behind [sync]"},
    {.name = "--job-param",
     .argument = "NAME=VALUE",
     .read = read_param,
     AT(job_params),
     .of_job = true,
     .help = "a setting beside the mode, such as staleness=3 or clip_global_norm=1; may be "
             "repeated"},
    {.name = "--batch",
     .argument = "N[,N...]",
     .read = read_batch,
     .help = "examples per step of each worker, or of each by rank [128]"},
    {.name = "--epochs",
     .argument = "N",
     .read = read_number,
     AT(epochs),
     .least = 1,
     .most = 1000000,
     .help = "passes over the training set [5]"},
    {.name = "--steps",
     .argument = "N",
     .read = read_number,
     AT(steps),
     .least = 1,
     .most = TRAIN_STEPS_MAX,
     .help = "steps to train, instead of epochs"},
    {.name = "--seed",
     .argument = "N",
     .read = read_number,
     AT(seed),
     .most = UINT64_MAX,
     .help = "of the first weights and of the order of examples [1]"},
    {.name = "--rank",
     .argument = "N",
     .read = read_rank,
     .help = "of this worker [STEPD_RANK, RANK, SLURM_PROCID or OMPI_COMM_WORLD_RANK]"},
    {.name = "--world",
     .argument = "N",
     .read = read_world,
     .help = "number of workers; without --rank the server gives a rank [the like, or 1]"},
    {.name = "--push-dtype",
     .argument = "f32|f16|bf16",
     .read = read_dtype,
     AT(push_dtype),
     .help = "how gradients travel [f32]"},
    {.name = "--pull-dtype",
     .argument = "f32|f16|bf16",
     .read = read_dtype,
     AT(pull_dtype),
     .help = "how weights travel [f32]"},
    {.name = "--defined",
     .read = read_switch,
     AT(defined),
     .help = "the job is defined in the server's file: send no mode, optimizer and schedule"},
    {.name = "--local",
     .read = read_switch,
     AT(local),
     .help = "no server: the same optimizer code in this process, as a baseline"},
    {.name = "--eval-every",
     .argument = "STEPS",
     .read = read_number,
     AT(eval_every),
     .least = 1,
     .most = TRAIN_STEPS_MAX,
     .help = "rank 0 measures the test set so often [at the end only]"},
    {.name = "--eval-view",
     .argument = "evaluation|ema|swa",
     .read = read_view,
     .help = "which weights are measured and saved [evaluation]"},
    {.name = "--csv",
     .argument = "FILE",
     .read = read_text,
     AT(csv),
     .help = "rank 0 writes step,epoch,loss,examples,seconds there"},
    {.name = "--plot",
     .argument = "FILE",
     .read = read_text,
     AT(plot),
     .help = "rank 0 draws the loss there, as SVG"},
    {.name = "--save-weights",
     .argument = "FILE",
     .read = read_text,
     AT(save_weights),
     .help = "rank 0 saves the final weights there, as safetensors"},
    {.name = "--json",
     .read = read_switch,
     AT(json),
     .help = "the result as one line of JSON on stdout"},
    {.name = "--quiet", .read = read_switch, AT(quiet), .help = "no progress"},
    {.name = "--help", .read = read_switch, AT(help), .help = "this text"},
};

#undef HYPER
#undef AT

void options_print_help(FILE *out)
{
    (void)fprintf(out,
                  "usage: stepd-train [flags]\n"
                  "       stepd-train compare [--run 'OPTIMIZER ...']... [flags]\n\n"
                  "Trains a model as one worker of a job of stepd; or several times, to compare "
                  "optimizers.\n\n");
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        const char *const argument = flags[i].argument == NULL ? "" : flags[i].argument;
        (void)fprintf(out, "  %s%s%s\n        %s\n", flags[i].name, *argument == '\0' ? "" : " ",
                      argument, flags[i].help);
    }
}

/* ---- Reading the command line ---------------------------------------------------------------- */

static const struct flag *find_flag(const char *text, size_t length)
{
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (strlen(flags[i].name) == length && strncmp(flags[i].name, text, length) == 0)
            return &flags[i];
    return NULL;
}

/* Reads the flag at argv[at]. *ret_used: how many words it took, 1 or 2. *of_job: the first flag
 * that says how the job is defined. */
static enum stepd_status read_flag(char *const *argv, int at, struct train_options *options,
                                   const struct flag **of_job, int *ret_used,
                                   struct stepd_error *reterr)
{
    const char *const word = argv[at];
    const size_t length = strcspn(word, "=");
    const struct flag *const flag = find_flag(word, length);
    if (flag == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "unknown flag '%.*s' (try --help)",
                          (int)length, word);
    const bool joined = word[length] == '=';
    if (flag->argument == NULL && joined)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s takes no value", flag->name);
    const bool separate = flag->argument != NULL && !joined;
    const char *const value = joined ? word + length + 1 : argv[at + 1];
    if (separate && value == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s needs a value: %s", flag->name,
                          flag->argument);
    *ret_used = separate ? 2 : 1;
    if (flag->of_job && *of_job == NULL)
        *of_job = flag;
    return flag->read(flag, value, options, reterr);
}

/* ---- What depends on several flags ----------------------------------------------------------- */

static enum stepd_status check_defined(const struct train_options *options,
                                       const struct flag *of_job, struct stepd_error *reterr)
{
    if (!options->defined)
        return STEPD_OK;
    if (options->local)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "--defined needs a server, and --local is without one");
    if (of_job == NULL)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "%s cannot be given with --defined: the server's file says it", of_job->name);
}

static enum stepd_status settle_place(char *const *environment, struct train_options *options,
                                      struct stepd_error *reterr)
{
    if (options->rank != TRAIN_RANK_ANY && options->world == 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "--rank needs --world");
    if (options->world == 0 && !options->local) {
        struct launcher_place place;
        const enum stepd_status status = launcher_find(environment, &place, reterr);
        if (status != STEPD_OK)
            return status;
        if (place.found) {
            options->rank = (int)place.rank;
            options->world = place.world;
        }
    }
    if (options->world <= 1) {
        options->world = 1;
        if (options->rank == TRAIN_RANK_ANY)
            options->rank = 0;
    }
    if (options->rank != TRAIN_RANK_ANY && (uint32_t)options->rank >= options->world)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "--rank %d is not below --world %u",
                          options->rank, options->world);
    if (options->local && options->world > 1)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "--local is for one worker, not %u",
                          options->world);
    return STEPD_OK;
}

static enum stepd_status settle_batch(struct train_options *options, struct stepd_error *reterr)
{
    if (options->batch_sizes == 1)
        for (uint32_t rank = 1; rank < options->world; rank++)
            options->batch[rank] = options->batch[0];
    else if (options->batch_sizes != options->world)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "--batch has %zu sizes for %u workers: give one for all, or one each",
                          options->batch_sizes, options->world);
    uint64_t sum = 0;
    for (uint32_t rank = 0; rank < options->world; rank++)
        sum += options->batch[rank];
    if (sum == 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "--batch gives no worker any example");
    return STEPD_OK;
}

enum stepd_status options_parse(int argc, char *const *argv, char *const *environment,
                                struct train_options *ret_options, struct stepd_error *reterr)
{
    const char *const address = launcher_variable(environment, "STEPD_ADDRESS");
    *ret_options = (struct train_options){
        .server = address == NULL ? "127.0.0.1:7070" : address,
        .job = "train",
        .model = "mlp:784-1000-1000-10",
        .data = "/usr/share/datasets/fashion-mnist",
        .optimizer = "adamw",
        .schedule = "cosine",
        .mode = STEPD_SYNC,
        .eval_view = STEPD_EVALUATION,
        .epochs = 5,
        .seed = 1,
        .rank = TRAIN_RANK_ANY,
        .batch_sizes = 1,
        .batch = {128},
    };
    const struct flag *of_job = NULL;
    for (int at = 1, used = 0; at < argc; at += used) {
        const enum stepd_status status = read_flag(argv, at, ret_options, &of_job, &used, reterr);
        if (status != STEPD_OK)
            return status;
    }
    if (ret_options->help)
        return STEPD_OK;
    enum stepd_status status = check_defined(ret_options, of_job, reterr);
    if (status == STEPD_OK)
        status = settle_place(environment, ret_options, reterr);
    return status == STEPD_OK ? settle_batch(ret_options, reterr) : status;
}
