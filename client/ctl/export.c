/* SPDX-License-Identifier: Apache-2.0
 *
 * stepctl export: the weights of a checkpoint, for whoever reads safetensors.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "client/ctl/ctl.h"
#include "client/ctl/shelves.h"
#include "client/ctl/table.h"
#include "client/ctl/weights_out.h"
#include "proto/error.h"
#include "server/disk/load.h"

struct options {
    const char *checkpoint;
    const char *file;
    enum stepd_view view;
    enum stepd_dtype dtype;
    bool json;
};

static int print_help(void)
{
    (void)printf(
        "usage: stepctl export CHECKPOINT FILE [--dtype TYPE] [--view VIEW] [--json]\n"
        "\n"
        "Writes the weights of a checkpoint into one safetensors file, each tensor under its own\n"
        "name. The checkpoint is verified; the file is there when it is whole and on the disk,\n"
        "and replaces one that stood there, keeping its mode. A device, a pipe or a link is not\n"
        "replaced.\n"
        "\n"
        "options:\n"
        "  --dtype TYPE      f32, f16 or bf16: rounded to the nearest; beyond f16's 65504 is\n"
        "                    infinite, and the report says of how many elements [f32]\n"
        "  --view VIEW       evaluation: the weights; training: where gradients were computed,\n"
        "                    which is elsewhere for optimizers that look ahead; ema, swa: an\n"
        "                    average of them, which the groups must keep [evaluation]\n"
        "  --json            one JSON object, for programs\n"
        "  --help            this text\n");
    return CTL_OK;
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* Which of the words; -1: none of them. */
static int find_word(const char *text, const char *const *word, int words)
{
    for (int i = 0; i < words; i++) {
        if (strcmp(text, word[i]) == 0)
            return i;
    }
    return -1;
}

static bool take_dtype(const char *text, struct options *options)
{
    static const char *const words[] = {
        [STEPD_F32] = "f32", [STEPD_F16] = "f16", [STEPD_BF16] = "bf16"};
    const int found = find_word(text, words, sizeof words / sizeof words[0]);
    if (found < 0)
        (void)fprintf(stderr, "stepctl export: --dtype takes f32, f16 or bf16: %s\n", text);
    else
        options->dtype = (enum stepd_dtype)found;
    return found >= 0;
}

static bool take_view(const char *text, struct options *options)
{
    static const char *const words[STEPD_VIEWS] = {[STEPD_TRAINING] = "training",
                                                   [STEPD_EVALUATION] = "evaluation",
                                                   [STEPD_EMA] = "ema",
                                                   [STEPD_SWA] = "swa"};
    const int found = find_word(text, words, STEPD_VIEWS);
    if (found < 0)
        (void)fprintf(stderr, "stepctl export: --view takes evaluation, training, ema or swa: %s\n",
                      text);
    else
        options->view = (enum stepd_view)found;
    return found >= 0;
}

/* The exit code, or -1: go on. */
static int read_options(int argc, char **argv, struct options *options)
{
    static const struct option long_options[] = {
        {"dtype", required_argument, NULL, 'd'},
        {"view", required_argument, NULL, 'v'},
        {"json", no_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    bool fine = true;
    while (fine && (option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (option) {
        case 'd': fine = take_dtype(optarg, options); break;
        case 'v': fine = take_view(optarg, options); break;
        case 'o': options->json = true; break;
        case 'h': return print_help();
        default: fine = false;
        }
    }
    if (!fine)
        return ctl_usage("export");
    if (argc - optind < 2)
        (void)fprintf(stderr, "stepctl export: CHECKPOINT or FILE is missing\n");
    else if (argc - optind > 2)
        (void)fprintf(stderr, "stepctl export: unexpected argument '%s'\n", argv[optind + 2]);
    if (argc - optind != 2)
        return ctl_usage("export");
    options->checkpoint = argv[optind];
    options->file = argv[optind + 1];
    return -1;
}

/* ---- Writing --------------------------------------------------------------------------------- */

/* The checkpoint's version, or where slices have none in common the highest. */
static uint64_t step_of(const struct job_state *state)
{
    uint64_t step = 0;
    for (size_t i = 0; i < state->job->layout.slices; i++) {
        if (state->slice[i].version > step)
            step = state->slice[i].version;
    }
    return step;
}

static void print(const struct options *options, const struct weights_out *out,
                  const struct weights_out_result *result)
{
    const struct job *job = out->state->job;
    const bool fits = result->infinite == 0;
    const char *const worst = job->tensor[result->worst].name;
    char size[32];
    if (options->json) {
        json_t *const json =
            json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:o}", "file", options->file, "job",
                      job->name, "step", (json_int_t)out->step, "tensors", (json_int_t)job->tensors,
                      "elements", (json_int_t)job->elements, "bytes", (json_int_t)result->bytes,
                      "infinite", (json_int_t)result->infinite, "worst",
                      fits ? json_null()
                           : json_pack("{s:s, s:I}", "tensor", worst, "infinite",
                                       (json_int_t)result->worst_infinite));
        (void)json_dumpf(json, stdout, JSON_INDENT(2));
        (void)printf("\n");
        json_decref(json);
        return;
    }
    table_bytes(result->bytes, size, sizeof size);
    (void)printf("%s: job %s at step %" PRIu64 ", %zu tensors, %s\n", options->file, job->name,
                 out->step, job->tensors, size);
    if (!fits)
        (void)printf("%" PRIu64 " elements are beyond %s and have become infinite, %" PRIu64
                     " of them in tensor '%s'; export them as %s\n",
                     result->infinite, options->dtype == STEPD_F16 ? "f16" : "bf16",
                     result->worst_infinite, worst,
                     options->dtype == STEPD_F16 ? "bf16 or f32" : "f32");
}

static enum stepd_status write_weights(const struct options *options, int folder,
                                       struct stepd_error *reterr)
{
    struct manifest manifest;
    struct weights_out_result result;
    enum stepd_status status =
        load_checkpoint(folder, shelves_bytes_max(folder), &manifest, reterr);
    if (status != STEPD_OK)
        return stepd_fail_in(reterr, status, "%s", options->checkpoint);
    const struct weights_out out = {.state = manifest.state,
                                    .step = step_of(manifest.state),
                                    .view = options->view,
                                    .dtype = options->dtype};
    status = weights_out_write(&out, options->file, &result, reterr);
    if (status == STEPD_OK)
        print(options, &out, &result);
    manifest_deinit(&manifest);
    return status;
}

int export_run(const struct ctl_options *ctl, int argc, char **argv)
{
    (void)ctl;
    struct options options = {.view = STEPD_EVALUATION, .dtype = STEPD_F32};
    const int exit_code = read_options(argc, argv, &options);
    if (exit_code >= 0)
        return exit_code;
    struct stepd_error error;
    const int folder = shelves_open(options.checkpoint, &error);
    if (folder < 0)
        return ctl_fail("export", &error);
    const enum stepd_status status = write_weights(&options, folder, &error);
    (void)close(folder);
    return status == STEPD_OK ? CTL_OK : ctl_fail("export", &error);
}
