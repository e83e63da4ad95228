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
#include "proto/arena.h"
#include "proto/error.h"
#include "server/optim/optimizer.h"

#define TENSOR_NAME_BYTES (LAYER_NAME_BYTES + 8u) /* "fc1", ".weight" */

/* The schedule's clock counts rounds in sync mode, and every worker's updates in async mode. */
static double schedule_span(const struct train_options *options, uint64_t total_steps)
{
    const double updates = options->mode == STEPD_SYNC
                               ? (double)total_steps
                               : (double)total_steps * (double)options->world;
    const double warmup = params_number(&options->schedule_params, "warmup", 0);
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

/* The parameter by which a schedule is told how long the run is, or NULL. */
static const char *length_name(const char *schedule)
{
    if (strcmp(schedule, "cosine") == 0)
        return "t_max";
    return strcmp(schedule, "one_cycle") == 0 ? "total_steps" : NULL;
}

static enum stepd_status describe_schedule(const struct train_options *options,
                                           uint64_t total_steps, struct stepd_arena *arena,
                                           struct stepd_param_group *group,
                                           struct stepd_error *reterr)
{
    struct train_params params = options->schedule_params;
    const char *const length = length_name(options->schedule);
    enum stepd_status status = STEPD_OK;
    if (length != NULL && params_find(&params, length) == NULL)
        status = params_set(length, schedule_span(options, total_steps), &params, reterr);
    struct stepd_param *public = NULL;
    if (status == STEPD_OK)
        status = params_publish(&params, arena, &public, reterr);
    if (status != STEPD_OK)
        return status;
    group->schedule = options->schedule;
    group->schedule_params = public;
    group->schedule_params_count = params.count;
    return STEPD_OK;
}

/* Gradients are all that the models compute. */
static enum stepd_status check_optimizer(const char *name, struct stepd_error *reterr)
{
    const struct optimizer *row = NULL;
    if (optimizer_find(name, &row, NULL) != STEPD_OK || row->extra == NULL)
        return STEPD_OK; /* unknown ones are for the server to refuse, or to know */
    return stepd_fail(
        reterr, STEPD_INVALID_ARGUMENT,
        "optimizer '%s' needs second derivatives (a Hessian), and stepd-train computes "
        "gradients only; 'lbfgs' estimates them from gradients",
        name);
}

static enum stepd_status describe_optimizers(const struct train_recipe *recipe,
                                             struct stepd_arena *arena,
                                             struct stepd_param_phase *phases,
                                             struct stepd_param_group *group,
                                             struct stepd_error *reterr)
{
    struct stepd_param *public = NULL;
    enum stepd_status status = check_optimizer(recipe->optimizer, reterr);
    if (status == STEPD_OK)
        status = params_publish(&recipe->hyper, arena, &public, reterr);
    group->optimizer = recipe->optimizer;
    group->params = public;
    group->params_count = recipe->hyper.count;
    for (size_t i = 0; i < recipe->phases && status == STEPD_OK; i++) {
        const struct train_phase *const phase = &recipe->phase[i];
        status = check_optimizer(phase->optimizer, reterr);
        if (status == STEPD_OK)
            status = params_publish(&phase->hyper, arena, &public, reterr);
        phases[i] = (struct stepd_param_phase){
            .from = phase->from,
            .optimizer = phase->optimizer,
            .params = public,
            .params_count = phase->hyper.count,
        };
    }
    group->phases = phases;
    group->phases_count = recipe->phases;
    return status;
}

/* job: what is sent, or NULL where the server's file says it. */
static enum stepd_status define_tensors(struct home *home, const struct stepd_job_options *job,
                                        const struct model *model, uint64_t seed,
                                        struct stepd_error *reterr)
{
    assert(model->layers <= MODEL_LAYERS_MAX);
    char names[2 * MODEL_LAYERS_MAX][TENSOR_NAME_BYTES];
    struct stepd_tensor tensors[2 * MODEL_LAYERS_MAX];
    describe_tensors(model, seed, names, tensors);
    return home_define(home, job, tensors, 2 * model->layers, reterr);
}

enum stepd_status define_job(struct home *home, const struct train_options *options,
                             const struct model *model, uint64_t total_steps,
                             struct stepd_error *reterr)
{
    if (options->defined)
        return define_tensors(home, NULL, model, options->seed, reterr);
    struct stepd_param_phase phases[TRAIN_PHASES_MAX];
    struct stepd_param_group group = {.name = "all", .match = "*"};
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    job.mode = options->mode;
    job.workers = options->world;
    job.groups = &group;
    job.groups_count = 1;
    job.strict = true;
    struct stepd_arena arena;
    stepd_arena_init(&arena, STEPD_DEFINITION_MAX_BYTES);
    enum stepd_status status =
        describe_optimizers(&options->recipe, &arena, phases, &group, reterr);
    if (status == STEPD_OK)
        status = describe_schedule(options, total_steps, &arena, &group, reterr);
    struct stepd_param *beside = NULL;
    if (status == STEPD_OK)
        status = params_publish(&options->job_params, &arena, &beside, reterr);
    job.params = beside;
    job.params_count = options->job_params.count;
    if (status == STEPD_OK)
        status = define_tensors(home, &job, model, options->seed, reterr);
    stepd_arena_deinit(&arena);
    return status;
}
