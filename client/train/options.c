/* SPDX-License-Identifier: Apache-2.0
 *
 * The flags of stepd-train. When they are read, what depends on several of them is settled: the
 * rank and world (flags, or else a launcher's environment) and the batch size of every rank.
 *
 * What a flag means to the server (is there such an optimizer, is this learning rate in range) is
 * the server's to say; it answers with better texts than could stand here.
 */
#include "client/train/options.h"

#include <stdlib.h>
#include <string.h>

#include "client/lib/launcher.h"
#include "client/train/model.h"
#include "proto/decimal.h"
#include "proto/error.h"
#include "proto/mode.h"

/* ---- Readers of values ----------------------------------------------------------------------- */

static enum stepd_status read_rank(const struct flag *flag, const char *value, void *target,
                                   struct stepd_error *reterr)
{
    uint64_t rank;
    if (!stepd_launcher_number(value, STEPD_WORKERS_MAX - 1, &rank))
        return flag_fail(flag, value, "a rank, 0 or more", reterr);
    ((struct train_options *)target)->rank = (int)rank;
    return STEPD_OK;
}

static enum stepd_status read_world(const struct flag *flag, const char *value, void *target,
                                    struct stepd_error *reterr)
{
    (void)flag;
    uint64_t world;
    if (!stepd_launcher_number(value, STEPD_WORKERS_MAX, &world) || world == 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "--world '%s': expected a number of workers from 1 to %u", value,
                          STEPD_WORKERS_MAX);
    ((struct train_options *)target)->world = (uint32_t)world;
    return STEPD_OK;
}

/* The place of a word in a list that ends with NULL; false: it is not there. */
static bool find_word(const char *value, const char *const *words, unsigned *ret_index)
{
    for (unsigned i = 0; words[i] != NULL; i++)
        if (strcmp(value, words[i]) == 0) {
            *ret_index = i;
            return true;
        }
    return false;
}

static enum stepd_status read_mode(const struct flag *flag, const char *value, void *target,
                                   struct stepd_error *reterr)
{
    return stepd_mode_find(value, flag_field(flag, target))
               ? STEPD_OK
               : flag_fail(flag, value, flag->argument, reterr);
}

static enum stepd_status read_dtype(const struct flag *flag, const char *value, void *target,
                                    struct stepd_error *reterr)
{
    static const char *const words[] = {
        [STEPD_F32] = "f32", [STEPD_F16] = "f16", [STEPD_BF16] = "bf16", NULL};
    unsigned index;
    if (!find_word(value, words, &index))
        return flag_fail(flag, value, flag->argument, reterr);
    *(enum stepd_dtype *)flag_field(flag, target) = (enum stepd_dtype)index;
    return STEPD_OK;
}

static enum stepd_status read_view(const struct flag *flag, const char *value, void *target,
                                   struct stepd_error *reterr)
{
    static const char *const words[] = {[STEPD_TRAINING] = "training",
                                        [STEPD_EVALUATION] = "evaluation",
                                        [STEPD_EMA] = "ema",
                                        [STEPD_SWA] = "swa",
                                        NULL};
    unsigned index;
    if (!find_word(value, words, &index) || index == STEPD_TRAINING)
        return flag_fail(flag, value, flag->argument, reterr);
    *(enum stepd_view *)flag_field(flag, target) = (enum stepd_view)index;
    return STEPD_OK;
}

static enum stepd_status read_model(const struct flag *flag, const char *value, void *target,
                                    struct stepd_error *reterr)
{
    const enum stepd_status status = model_check_spec(value, reterr);
    return status == STEPD_OK ? flag_read_text(flag, value, target, reterr)
                              : stepd_fail_in(reterr, status, "%s", flag->name);
}

/* One number, or one for each rank; options_settle_ranks fills in the others. */
static enum stepd_status read_batch(const struct flag *flag, const char *value, void *target,
                                    struct stepd_error *reterr)
{
    struct train_options *const options = target;
    return flag_list(flag, value, STEPD_WORKERS_MAX, options->batch, &options->batch_sizes, reterr);
}

static enum stepd_status read_slow(const struct flag *flag, const char *value, void *target,
                                   struct stepd_error *reterr)
{
    struct train_options *const options = target;
    return flag_list(flag, value, STEPD_WORKERS_MAX, options->slow, &options->slow_factors, reterr);
}

/* A parameter under its own flag (flag->key), or any as NAME=VALUE. */
static enum stepd_status read_param(const struct flag *flag, const char *value, void *target,
                                    struct stepd_error *reterr)
{
    struct train_params *const params = flag_field(flag, target);
    double number = 0;
    if (flag->key != NULL && !stepd_decimal_read(value, strlen(value), &number))
        return flag_fail(flag, value, "a number", reterr);
    const enum stepd_status status = flag->key == NULL
                                         ? params_read(value, strlen(value), params, reterr)
                                         : params_set(flag->key, number, params, reterr);
    return status == STEPD_OK ? status : stepd_fail_in(reterr, status, "%s", flag->name);
}

static enum stepd_status read_optimizer(const struct flag *flag, const char *value, void *target,
                                        struct stepd_error *reterr)
{
    const enum stepd_status status =
        recipe_name(value, strlen(value), flag_field(flag, target), reterr);
    return status == STEPD_OK ? status : stepd_fail_in(reterr, status, "%s", flag->name);
}

static enum stepd_status read_phase(const struct flag *flag, const char *value, void *target,
                                    struct stepd_error *reterr)
{
    const enum stepd_status status = recipe_add_phase(value, flag_field(flag, target), reterr);
    return status == STEPD_OK ? status : stepd_fail_in(reterr, status, "%s", flag->name);
}

/* ---- The table ------------------------------------------------------------------------------- */

#define AT(field)                .offset = offsetof(struct train_options, field)
#define OF_JOB                   .marks = OPTION_OF_JOB
#define OF_RUNS                  .marks = OPTION_OF_RUNS
#define OF_BOTH                  .marks = OPTION_OF_JOB | OPTION_OF_RUNS
#define OF_TLS(argument_, field) .argument = (argument_), .read = flag_read_text, AT(field), OF_RUNS
#define HYPER(key_)                                                                                \
    .argument = "NUMBER", .read = read_param, AT(recipe.hyper), .key = (key_), OF_BOTH

static const struct flag flags[] = {
    {.name = "--server",
     .argument = "ADDRESS",
     .read = flag_read_text,
     AT(server),
     .help = "host:port, tls:host:port or unix:/path of stepd [STEPD_ADDRESS, or 127.0.0.1:7070]"},
    {.name = "--token-file",
     .argument = "FILE",
     .read = flag_read_text,
     AT(token_file),
     OF_RUNS,
     .help = "where the token is that the server asks for [STEPD_TOKEN has it]"},
    {.name = "--tls-ca",
     OF_TLS("FILE", tls_ca),
     .help = "of TLS: the CA of the server's certificate [STEPD_CA, or the system's]"},
    {.name = "--tls-cert",
     OF_TLS("FILE", tls_cert),
     .help = "our own certificate, where the server asks for one [STEPD_CLIENT_CERT]"},
    {.name = "--tls-key", OF_TLS("FILE", tls_key), .help = "its key [STEPD_CLIENT_KEY]"},
    {.name = "--tls-name",
     OF_TLS("NAME", tls_name),
     .help = "in the server's certificate [STEPD_SERVER_NAME, or the host]"},
    {.name = "--insecure",
     .read = flag_read_switch,
     AT(insecure),
     OF_RUNS,
     .help = "send it over a network in clear, which whoever listens can then use"},
    {.name = "--job",
     .argument = "NAME",
     .read = flag_read_text,
     AT(job),
     .help = "the job to join [train]"},
    {.name = "--model",
     .argument = "linear|softmax|mlp:A-B-...-Z|cnn:C-...",
     .read = read_model,
     AT(model),
     OF_RUNS,
     .help = "what to train [mlp:784-1000-1000-10]; cnn is cnn:16-32"},
    {.name = "--data",
     .argument = "FOLDER",
     .read = flag_read_text,
     AT(data),
     OF_RUNS,
     .help = "IDX files, MNIST's names, gzipped or not [/usr/share/datasets/fashion-mnist]"},
    {.name = "--optimizer",
     .argument = "NAME",
     .read = read_optimizer,
     AT(recipe),
     OF_JOB,
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
     AT(recipe.hyper),
     OF_BOTH,
     .help = "any other: eps_mode=inside, betas=0.8,0.95, preset=lecture; may be repeated"},
    {.name = "--phase",
     .argument = "'NAME from=STEP [NAME=VALUE ...]'",
     .read = read_phase,
     AT(recipe),
     OF_JOB,
     .help = "the optimizer from that step on: 'sgd from=300 lr=0.05'; may be repeated"},
    {.name = "--schedule",
     .argument = "NAME",
     .read = flag_read_text,
     AT(schedule),
     OF_JOB,
     .help = "of the learning rate: constant, step, cosine, ... [cosine]"},
    {.name = "--schedule-param",
     .argument = "NAME=VALUE",
     .read = read_param,
     AT(schedule_params),
     OF_BOTH,
     .help =
         "of the schedule: milestones=100,200, anneal_strategy=linear; may be repeated;\n"
         "        cosine's t_max and one_cycle's total_steps are the run's length by themselves"},
    {.name = "--warmup",
     .argument = "STEPS",
     .read = read_param,
     AT(schedule_params),
     .key = "warmup",
     OF_BOTH,
     .help = "linear warm-up in front of the schedule"},
    {.name = "--mode",
     .argument = "sync|async|bounded",
     .read = read_mode,
     AT(mode),
     .marks = OPTION_OF_JOB | OPTION_OF_RUNS | OPTION_OF_MODE,
     .help = "wait for all workers in each step, for none, or for who is too far behind [sync]"},
    {.name = "--job-param",
     .argument = "NAME=VALUE",
     .read = read_param,
     AT(job_params),
     OF_BOTH,
     .help = "beside the mode: staleness=4, clip_global_norm=1, backup=1; may be repeated"},
    {.name = "--batch",
     .argument = "N[,N...]",
     .read = read_batch,
     OF_RUNS,
     .most = TRAIN_BATCH_SIZE_MAX,
     .help = "examples per step of each worker, or of each by rank [128]"},
    {.name = "--epochs",
     .argument = "N",
     .read = flag_read_number,
     AT(epochs),
     .least = 1,
     .most = TRAIN_EPOCHS_MAX,
     .help = "passes over the training set [5]"},
    {.name = "--steps",
     .argument = "N",
     .read = flag_read_number,
     AT(steps),
     OF_RUNS,
     .least = 1,
     .most = TRAIN_STEPS_MAX,
     .help = "steps to train, instead of epochs"},
    {.name = "--share",
     .read = flag_read_switch,
     AT(share),
     OF_RUNS,
     .help = "in modes async and bounded: workers share the job's steps, and who is faster\n"
             "        takes more of them"},
    {.name = "--slow",
     .argument = "N[,N...]",
     .read = read_slow,
     OF_RUNS,
     .least = 1,
     .most = TRAIN_SLOW_MAX,
     .help = "sleep, to act like a machine that is N times slower: the last rank, or each [1]"},
    {.name = "--seed",
     .argument = "N",
     .read = flag_read_number,
     AT(seed),
     OF_RUNS,
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
     OF_RUNS,
     .help = "how gradients travel [f32]"},
    {.name = "--pull-dtype",
     .argument = "f32|f16|bf16",
     .read = read_dtype,
     AT(pull_dtype),
     OF_RUNS,
     .help = "how weights travel [f32]"},
    {.name = "--no-overlap",
     .read = flag_read_switch,
     AT(no_overlap),
     OF_RUNS,
     .help = "send all gradients when the last is computed, and not layer by layer; to compare"},
    {.name = "--busy-poll-us",
     .argument = "N",
     .read = flag_read_number,
     AT(busy_poll_us),
     OF_RUNS,
     .most = TRAIN_BUSY_POLL_MAX_US,
     .help = "microseconds to look for an answer before sleeping; for a core of its own [0]"},
    {.name = "--defined",
     .read = flag_read_switch,
     AT(defined),
     .help = "the job is defined in the server's file: send no mode, optimizer and schedule"},
    {.name = "--local",
     .read = flag_read_switch,
     AT(local),
     OF_RUNS,
     .help = "no server: the same optimizer code in this process, as a baseline"},
    {.name = "--eval-every",
     .argument = "STEPS",
     .read = flag_read_number,
     AT(eval_every),
     .least = 1,
     .most = TRAIN_STEPS_MAX,
     .help = "rank 0 measures the test set so often [at the end only]"},
    {.name = "--eval-view",
     .argument = "evaluation|ema|swa",
     .read = read_view,
     AT(eval_view),
     OF_RUNS,
     .help = "test and save the weights, or their mean that ema_decay or swa_start keep\n"
             "        [evaluation]"},
    {.name = "--csv",
     .argument = "FILE",
     .read = flag_read_text,
     AT(csv),
     .help = "rank 0 writes step,epoch,loss,examples,seconds there"},
    {.name = "--plot",
     .argument = "FILE",
     .read = flag_read_text,
     AT(plot),
     .help = "rank 0 draws the loss there, as SVG"},
    {.name = "--save-weights",
     .argument = "FILE",
     .read = flag_read_text,
     AT(save_weights),
     .help = "rank 0 saves the final weights there, as safetensors"},
    {.name = "--json",
     .read = flag_read_switch,
     AT(json),
     OF_RUNS,
     .help = "the result as one line of JSON on stdout"},
    {.name = "--quiet", .read = flag_read_switch, AT(quiet), OF_RUNS, .help = "no progress"},
    {.name = "--help", .read = flag_read_switch, AT(help), OF_RUNS, .help = "this text"},
};

#undef HYPER
#undef OF_BOTH
#undef OF_RUNS
#undef OF_JOB
#undef AT

struct flag_table options_table(struct train_options *options, unsigned marks)
{
    return (struct flag_table){
        .flag = flags,
        .count = sizeof flags / sizeof flags[0],
        .target = options,
        .marks = marks,
    };
}

void options_print_help(FILE *out)
{
    const struct flag_table table = options_table(NULL, /* marks= */ 0);
    (void)fprintf(out, "usage: stepd-train [flags]\n"
                       "       stepd-train compare [flags]   (see stepd-train compare --help)\n\n"
                       "Trains a model as one worker of a job of stepd.\n\n");
    flags_print(out, &table);
}

/* ---- What depends on several flags ----------------------------------------------------------- */

enum stepd_status options_fail_share(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "--share is for the modes async and bounded: in mode sync all workers take "
                      "each step together");
}

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
        struct stepd_place place;
        const enum stepd_status status = stepd_launcher_find(environment, &place, reterr);
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

void options_defaults(char *const *environment, struct train_options *ret_options)
{
    *ret_options = (struct train_options){
        .token = stepd_launcher_variable(environment, "STEPD_TOKEN"),
        .job = "train",
        .model = "mlp:784-1000-1000-10",
        .data = "/usr/share/datasets/fashion-mnist",
        .recipe = {.optimizer = "adamw"},
        .schedule = "cosine",
        .mode = STEPD_SYNC,
        .eval_view = STEPD_EVALUATION,
        .epochs = 5,
        .seed = 1,
        .rank = TRAIN_RANK_ANY,
        .batch_sizes = 1,
        .batch = {128},
    };
    ret_options->server = stepd_launcher_address(environment, ret_options->server_buffer);
}

enum stepd_status options_parse(int argc, char *const *argv, char *const *environment,
                                struct train_options *ret_options, struct stepd_error *reterr)
{
    options_defaults(environment, ret_options);
    const struct flag_table table = options_table(ret_options, /* marks= */ 0);
    const struct flag_line line = {.argc = argc, .argv = argv, .note = OPTION_OF_JOB};
    const struct flag *of_job = NULL;
    enum stepd_status status = flags_read(&table, 1, &line, &of_job, reterr);
    if (status != STEPD_OK || ret_options->help)
        return status;
    options_settle_tls(environment, ret_options);
    status = check_defined(ret_options, of_job, reterr);
    if (status == STEPD_OK)
        status = settle_place(environment, ret_options, reterr);
    if (status == STEPD_OK && ret_options->share && !ret_options->defined &&
        ret_options->mode == STEPD_SYNC)
        status = options_fail_share(reterr);
    return status == STEPD_OK ? options_settle_ranks(ret_options, reterr) : status;
}
