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

#include "client/lib/core/definition.h"
#include "client/train/batch.h"
#include "server/model/job.h"

#define TENSOR_NAME_BYTES (LAYER_NAME_BYTES + 8u) /* "fc1", ".weight" */

/* The schedule's clock counts rounds in sync mode, and every worker's updates in async mode. */
static double schedule_span(const struct train_options *options, uint64_t total_steps)
{
    const double updates = options->mode == STEPD_SYNC
                               ? (double)total_steps
                               : (double)total_steps * (double)options->world;
    const double warmup = stepd_arguments_number(&options->schedule_params, "warmup", 0);
    return fmax(updates - warmup, 1);
}

/* The parameters that were given, and the run's length where the schedule asks for one. */
static size_t describe_schedule(const struct train_options *options, uint64_t total_steps,
                                struct stepd_param *ret_params)
{
    static const struct {
        const char *schedule;
        const char *length;
    } spans[] = {{"cosine", "t_max"}, {"one_cycle", "total_steps"}};

    size_t count = stepd_arguments_describe(&options->schedule_params, ret_params);
    for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++) {
        if (strcmp(options->schedule, spans[i].schedule) == 0 &&
            isnan(stepd_arguments_number(&options->schedule_params, spans[i].length, NAN)))
            ret_params[count++] = (struct stepd_param){
                .name = spans[i].length,
                .value = schedule_span(options, total_steps),
            };
    }
    return count;
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

/* The definition and what it points to. */
struct definition {
    struct stepd_param hyper[STEPD_ARGUMENTS_MAX];
    struct stepd_param schedule[STEPD_ARGUMENTS_MAX + 1];
    struct stepd_param beside[STEPD_ARGUMENTS_MAX];
    struct stepd_param_group group;
    struct stepd_job_options job;
};

static void describe_job(const struct train_options *options, uint64_t total_steps,
                         struct definition *ret)
{
    ret->group = (struct stepd_param_group){
        .name = "all",
        .match = "*",
        .optimizer = options->optimizer,
        .params = ret->hyper,
        .params_count = stepd_arguments_describe(&options->hyper, ret->hyper),
        .schedule = options->schedule,
        .schedule_params = ret->schedule,
        .schedule_params_count = describe_schedule(options, total_steps, ret->schedule),
    };
    ret->job = (struct stepd_job_options)STEPD_JOB_OPTIONS_INIT;
    ret->job.mode = options->mode;
    ret->job.workers = options->world;
    ret->job.groups = &ret->group;
    ret->job.groups_count = 1;
    ret->job.strict = true;
    ret->job.params = ret->beside;
    ret->job.params_count = stepd_arguments_describe(&options->job_params, ret->beside);
}

enum stepd_status define_job(struct home *home, const struct train_options *options,
                             const struct model *model, uint64_t total_steps,
                             struct stepd_error *reterr)
{
    struct definition definition;
    describe_job(options, total_steps, &definition);
    assert(model->layers <= MODEL_LAYERS_MAX);
    char names[2 * MODEL_LAYERS_MAX][TENSOR_NAME_BYTES];
    struct stepd_tensor tensors[2 * MODEL_LAYERS_MAX];
    describe_tensors(model, options->seed, names, tensors);
    return home_define(home, options->defined ? NULL : &definition.job, tensors, 2 * model->layers,
                       reterr);
}

enum stepd_status define_check(const struct train_options *options, struct stepd_error *reterr)
{
    struct definition definition;
    struct stepd_define_job message;
    struct job_draft *draft = NULL;
    struct stepd_arena arena;
    describe_job(options, /* total_steps= */ 1000, &definition);
    stepd_arena_init(&arena, STEPD_DEFINITION_MAX_BYTES);
    enum stepd_status status = stepd_definition_of_job(&definition.job, &arena, &message, reterr);
    if (status == STEPD_OK)
        status =
            job_draft_create(options->job, &message, LAYOUT_SLICE_ELEMENTS_DEFAULT, &draft, reterr);
    (void)job_draft_destroy(draft);
    stepd_arena_deinit(&arena);
    return status;
}
