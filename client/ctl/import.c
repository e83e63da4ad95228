/* SPDX-License-Identifier: Apache-2.0
 *
 * stepctl import: a checkpoint of what another program has trained. It is written by the code that
 * writes the daemon's own, so that there is one writer of the format.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <jansson.h>

#include "client/ctl/ctl.h"
#include "client/ctl/import_state.h"
#include "client/ctl/job_file.h"
#include "client/ctl/number.h"
#include "client/ctl/table.h"
#include "proto/error.h"
#include "server/disk/save.h"
#include "server/disk/store.h"

/* Of a job's first one, as of one that a daemon makes: nobody is to meet it again. */
#define INCARNATION_BYTES 6u

/* What a checkpoint's name has room for. */
#define STEP_MAX UINT64_C(99999999999)

struct options {
    const char *store;
    const char *config;
    const char *job; /* NULL: the only one */
    const char *path[ARRAYS_FILES];
    uint64_t step;
    bool has_step;
    bool json;
};

static int print_help(void)
{
    (void)printf(
        "usage: stepctl import DIR --config FILE [--job JOB] --weights FILE --slots FILE\n"
        "                      --step N [--json]\n"
        "\n"
        "Makes a checkpoint in the folder DIR that a daemon started with --checkpoint-dir DIR goes\n"
        "on from. Weights and optimizer's state come from two safetensors files, of F32 alone. No\n"
        "daemon may be at work in DIR, and the job may have no checkpoint there yet. Workers\n"
        "define the job's tensors in the order in which they lie in the file of weights, with\n"
        "values that rank 0 brings (and which are not asked for, since the job has them).\n"
        "\n"
        "For a checkpoint of PyTorch, client/python/torch_checkpoint.py makes these files.\n"
        "\n"
        "options:\n"
        "  --config FILE     the server's file, which defines the job: its groups, optimizers,\n"
        "                    schedules\n"
        "  --job JOB         which job of it [the only one]\n"
        "  --weights FILE    each tensor under its own name\n"
        "  --slots FILE      the optimizers' state, as <tensor>/<slot>: 'stepctl optimizers NAME'\n"
        "                    names the slots\n"
        "  --step N          steps that were made; the schedule and the bias corrections go on\n"
        "                    from there\n"
        "  --json            one JSON object, for programs\n"
        "  --help            this text\n");
    return CTL_OK;
}

/* ---- The command line ------------------------------------------------------------------------ */

static int refuse(const char *what, const char *word)
{
    (void)fprintf(stderr, "stepctl import: %s%s\n", what, word);
    return ctl_usage("import");
}

static int check_options(const struct options *options, int words)
{
    if (words != 1)
        return refuse(words == 0 ? "DIR is missing" : "more than one DIR is named", "");
    if (options->config == NULL)
        return refuse("--config FILE is missing", "");
    if (options->path[ARRAYS_MODEL] == NULL)
        return refuse("--weights FILE is missing", "");
    if (options->path[ARRAYS_OPTIMIZER] == NULL)
        return refuse("--slots FILE is missing", "");
    return options->has_step ? -1 : refuse("--step N is missing", "");
}

/* The exit code, or -1: go on. */
static int read_options(int argc, char **argv, struct options *options)
{
    static const struct option long_options[] = {
        {"config", required_argument, NULL, 'c'},  {"job", required_argument, NULL, 'j'},
        {"weights", required_argument, NULL, 'w'}, {"slots", required_argument, NULL, 'l'},
        {"step", required_argument, NULL, 'n'},    {"json", no_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (option) {
        case 'c': options->config = optarg; break;
        case 'j': options->job = optarg; break;
        case 'w': options->path[ARRAYS_MODEL] = optarg; break;
        case 'l': options->path[ARRAYS_OPTIMIZER] = optarg; break;
        case 'n':
            options->has_step = number_parse_whole(optarg, 0, STEP_MAX, &options->step);
            if (!options->has_step)
                return refuse("--step takes a whole number from 0 to 99999999999: ", optarg);
            break;
        case 'o': options->json = true; break;
        case 'h': return print_help();
        default: return ctl_usage("import");
        }
    }
    options->store = argv[optind];
    return check_options(options, argc - optind);
}

/* ---- Making it ------------------------------------------------------------------------------- */

static enum stepd_status first_incarnation(uint64_t *ret_incarnation, struct stepd_error *reterr)
{
    uint8_t bytes[INCARNATION_BYTES];
    uint64_t number = 0;
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "the system gives no random number: %s",
                          strerror(errno));
    for (size_t i = 0; i < sizeof bytes; i++)
        number = number << 8 | bytes[i];
    *ret_incarnation = 1 + number;
    return STEPD_OK;
}

static enum stepd_status draft(const struct options *options, const struct config *config,
                               struct job_draft **ret_draft, struct stepd_error *reterr)
{
    const struct config_job *const job = job_file_find(config, options->job, reterr);
    if (job == NULL)
        return STEPD_NOT_FOUND;
    return job_draft_create(job->name, &job->definition, config->slice_elements, ret_draft,
                            reterr) == STEPD_OK
               ? STEPD_OK
               : job_file_fail(config, job, job->line, reterr);
}

static enum stepd_status define(const struct options *options, const struct import_file *weights,
                                struct job **ret_job, struct stepd_error *reterr)
{
    struct config config = {.file = ""};
    struct job_draft *definition = NULL;
    uint64_t incarnation = 0;
    enum stepd_status status = first_incarnation(&incarnation, reterr);
    if (status == STEPD_OK)
        status = job_file_read(options->config, &config, reterr);
    if (status == STEPD_OK)
        status = draft(options, &config, &definition, reterr);
    if (status == STEPD_OK)
        status = import_job(definition, incarnation, weights, ret_job, reterr);
    (void)job_draft_destroy(definition);
    config_deinit(&config);
    return status;
}

static enum stepd_status check_new(const struct shelf *shelf, const char *store,
                                   uint64_t *ret_incarnation, struct stepd_error *reterr)
{
    struct shelf_checkpoint *list = NULL;
    size_t count = 0;
    enum stepd_status status = shelf_list(shelf, &list, &count, reterr);
    if (status != STEPD_OK)
        return status;
    if (count > 0)
        status =
            stepd_fail(reterr, STEPD_ALREADY_EXISTS,
                       "%s has checkpoints of this job already, such as %s/%s; move them away, "
                       "or give the job another name",
                       store, shelf->name.text, list[0].name);
    free(list);
    return status == STEPD_OK ? shelf_read_incarnation(shelf, ret_incarnation, reterr) : status;
}

static enum stepd_status put_on_shelf(const struct options *options, const struct shelf *shelf,
                                      struct job_state *state, uint64_t *ret_bytes,
                                      struct stepd_error *reterr)
{
    const atomic_bool stop = false;
    const struct job_state *const share = state;
    const struct job_state *share_list[] = {share};
    uint64_t highest = 0;
    const enum stepd_status status = check_new(shelf, options->store, &highest, reterr);
    if (status != STEPD_OK)
        return status;
    const struct job_snapshot snapshot = {
        .job = state->job,
        .version = state->version,
        .incarnation = highest > state->job->incarnation ? highest : state->job->incarnation,
        .shares = 1,
        .share = share_list,
    };
    return save_checkpoint(&(struct save){.shelf = shelf,
                                          .snapshot = &snapshot,
                                          .step = options->step,
                                          .stepd = STEPD_VERSION,
                                          .stop = &stop},
                           ret_bytes, reterr);
}

static enum stepd_status put(const struct options *options, struct job_state *state,
                             uint64_t *ret_bytes, struct stepd_error *reterr)
{
    struct store *store = NULL;
    struct shelf shelf;
    enum stepd_status status = store_open(options->store, &store, reterr);
    if (status != STEPD_OK)
        return status;
    const struct store_shelf_name name = store_shelf_name(state->job->name);
    status = shelf_open_to_write(store, &name, &shelf, reterr);
    if (status == STEPD_OK) {
        status = put_on_shelf(options, &shelf, state, ret_bytes, reterr);
        shelf_close(&shelf);
    }
    (void)store_close(store);
    return status;
}

static void print(const struct options *options, const struct job *job, uint64_t bytes)
{
    const struct shelf_checkpoint made = shelf_checkpoint_of(options->step);
    char size[32];
    if (options->json) {
        json_t *const json =
            json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "job", job->name, "name", made.name, "step",
                      (json_int_t)options->step, "tensors", (json_int_t)job->tensors, "elements",
                      (json_int_t)job->elements, "bytes", (json_int_t)bytes);
        (void)json_dumpf(json, stdout, JSON_INDENT(2));
        (void)printf("\n");
        json_decref(json);
        return;
    }
    table_bytes(bytes, size, sizeof size);
    (void)printf("%s/%s: step %" PRIu64 ", %zu tensors, %s\n", job->name, made.name, options->step,
                 job->tensors, size);
}

static enum stepd_status import(const struct options *options,
                                const struct import_file file[ARRAYS_FILES],
                                struct stepd_error *reterr)
{
    struct job *job = NULL;
    struct job_state *state = NULL;
    uint64_t bytes = 0;
    enum stepd_status status = define(options, &file[ARRAYS_MODEL], &job, reterr);
    if (status == STEPD_OK)
        status = import_state(job, options->step, file, &state, reterr);
    if (status == STEPD_OK)
        status = put(options, state, &bytes, reterr);
    if (status == STEPD_OK)
        print(options, job, bytes);
    (void)job_state_unref(state);
    (void)job_unref(job);
    return status;
}

int import_run(const struct ctl_options *ctl, int argc, char **argv)
{
    (void)ctl;
    struct options options = {.store = NULL};
    struct import_file file[ARRAYS_FILES];
    struct stepd_error error;
    const int exit_code = read_options(argc, argv, &options);
    if (exit_code >= 0)
        return exit_code;
    size_t opened = 0;
    enum stepd_status status = STEPD_OK;
    while (opened < ARRAYS_FILES && status == STEPD_OK) {
        const char *const path = options.path[opened];
        file[opened].path = path;
        status = tensors_open(AT_FDCWD, path, path, &file[opened].tensors, &error);
        opened += status == STEPD_OK;
    }
    if (status == STEPD_OK)
        status = import(&options, file, &error);
    while (opened > 0)
        tensors_close(&file[--opened].tensors);
    return status == STEPD_OK ? CTL_OK : ctl_fail("import", &error);
}
