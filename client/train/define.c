/* SPDX-License-Identifier: Apache-2.0
 *
 * The definition of the job. First weights are made by the server, as PyTorch's Linear and
 * Conv2d make them: uniform in +-1 / sqrt(inputs of an output), from a seed of each tensor's own.
 * Every worker sends the same definition; the first one counts. Where the server's file defines the
 * job, workers send the tensors only.
 */
#include "client/train/define.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/train/batch.h"

#define TENSOR_NAME_BYTES (LAYER_NAME_BYTES + 8u) /* "fc1", ".weight" */

/* Copies given parameters into the public form. out: room for TRAIN_PARAMS_MAX. */
static size_t public_params(const struct train_params *params, struct stepd_param *out)
{
    for (size_t i = 0; i < params->count; i++)
        out[i] = (struct stepd_param){
            .name = params->param[i].name,
            .value = params->param[i].value,
        };
    return params->count;
}

/* The schedule's clock counts rounds in sync mode, and every worker's updates in async mode. */
static double schedule_span(const struct train_options *options, uint64_t total_steps)
{
    const double updates = options->mode == STEPD_SYNC
                               ? (double)total_steps
                               : (double)total_steps * (double)options->world;
    const double warmup = options_param(&options->schedule_params, "warmup", 0);
    return fmax(updates - warmup, 1);
}

static void describe_tensors(const struct model *model, uint64_t seed,
                             char names[][TENSOR_NAME_BYTES], struct stepd_tensor *ret_tensors)
{
    for (size_t l = 0; l < model->layers; l++) {
        const struct layer *const layer = &model->layer[l];
        const double bound = 1.0 / sqrt((double)layer->fan_in);
        for (size_t part = 0; part < 2; part++) {
            const size_t i = 2 * l + part;
            (void)snprintf(names[i], TENSOR_NAME_BYTES, "%s.%s", layer->name,
                           part == 0 ? "weight" : "bias");
            ret_tensors[i] = (struct stepd_tensor){
                .name = names[i],
                .shape = layer->shape,
                .dims = part == 0 ? layer->dims : 1, /* a bias has the weight's first dimension */
                .init = STEPD_TENSOR_UNIFORM,
                .a = -bound,
                .b = bound,
                .seed = batch_mix(seed ^ batch_mix(i)),
            };
        }
    }
}

enum stepd_status define_job(struct home *home, const struct train_options *options,
                             const struct model *model, uint64_t total_steps,
                             struct stepd_error *reterr)
{
    struct stepd_param hyper[TRAIN_PARAMS_MAX];
    struct stepd_param schedule[TRAIN_PARAMS_MAX + 1];
    const size_t hypers = public_params(&options->hyper, hyper);
    size_t schedules = public_params(&options->schedule_params, schedule);
    if (strcmp(options->schedule, "cosine") == 0 &&
        isnan(options_param(&options->schedule_params, "t_max", NAN)))
        schedule[schedules++] = (struct stepd_param){
            .name = "t_max",
            .value = schedule_span(options, total_steps),
        };
    const struct stepd_param_group group = {
        .name = "all",
        .match = "*",
        .optimizer = options->optimizer,
        .params = hyper,
        .params_count = hypers,
        .schedule = options->schedule,
        .schedule_params = schedule,
        .schedule_params_count = schedules,
    };
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    job.mode = options->mode;
    job.workers = options->world;
    job.groups = &group;
    job.groups_count = 1;
    job.strict = true;

    assert(model->layers <= MODEL_LAYERS_MAX);
    char names[2 * MODEL_LAYERS_MAX][TENSOR_NAME_BYTES];
    struct stepd_tensor tensors[2 * MODEL_LAYERS_MAX];
    describe_tensors(model, options->seed, names, tensors);
    return home_define(home, options->defined ? NULL : &job, tensors, 2 * model->layers, reterr);
}
