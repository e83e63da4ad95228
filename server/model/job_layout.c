/* SPDX-License-Identifier: Apache-2.0
 *
 * From tensors and groups to slices: match, check, cut. The layout knows numbers only; what can go
 * wrong with names in it is checked here before, so that an error says which tensor of which group
 * is too large, or has a shape that its optimizer cannot step.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "proto/error.h"
#include "server/model/job_internal.h"
#include "server/optim/norms.h"

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the job's layout");
}

/* ---- Matching -------------------------------------------------------------------------------- */

static enum stepd_status fail_unmatched(const struct tensor *tensor, struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "no group matches tensor '%s' (%zu dimension%s); add one, such as match: "
                      "\"*\"",
                      tensor->name, tensor->dims, tensor->dims == 1 ? "" : "s");
}

/* Control matches them, and serves nobody meanwhile. */
static enum stepd_status fail_slow(const struct job *job, const struct tensor *tensor,
                                   struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                      "the globs of %zu groups take too long with %zu tensors (more than %" PRIu64
                      " comparisons up to tensor '%s'); take groups together, or give globs fewer "
                      "'*' and more of the names' beginnings",
                      job->groups, job->tensors, JOB_MATCH_STEPS_MAX, tensor->name);
}

/* The first group that takes a tensor has it. */
static enum stepd_status match_groups(struct job *job, struct stepd_error *reterr)
{
    job->group_tensors = calloc(job->groups, sizeof *job->group_tensors);
    if (job->group_tensors == NULL)
        return no_memory(reterr);
    uint64_t steps = 0;
    for (size_t i = 0; i < job->tensors; i++) {
        struct tensor *const tensor = &job->tensor[i];
        uint32_t g = 0;
        while (g < job->groups &&
               !group_matches(&job->group[g], tensor->name, tensor->dims, &steps))
            g++;
        if (steps > JOB_MATCH_STEPS_MAX)
            return fail_slow(job, tensor, reterr);
        if (g == job->groups)
            return fail_unmatched(tensor, reterr);
        tensor->group = g;
        job->group_tensors[g]++;
    }
    for (size_t g = 0; g < job->groups && job->strict; g++) {
        if (job->group_tensors[g] == 0)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "group '%s': no tensor matches '%s'%s that an earlier group has not "
                              "taken (the job is strict)",
                              job->group[g].name, job->group[g].match,
                              job->group[g].ndims > 0 ? " and its ndim" : "");
    }
    return STEPD_OK;
}

/* ---- Checking -------------------------------------------------------------------------------- */

/* The optimizer of a group that asks for this scope. */
static const struct optimizer *first_of_scope(const struct group *group, enum optim_scope scope)
{
    size_t i = 0;
    while (i + 1 < group->phases && group->phase[i].optimizer->scope != scope)
        i++;
    return group->phase[i].optimizer;
}

static enum stepd_status check_shapes(const struct group *group, enum optim_scope scope,
                                      size_t tensors, const struct optim_shape *shape,
                                      struct stepd_error *reterr)
{
    for (size_t i = 0; i < group->phases; i++) {
        const struct phase *const phase = &group->phase[i];
        if (phase->optimizer->scope != scope || phase->optimizer->check_shape == NULL)
            continue;
        const enum stepd_status status =
            phase->optimizer->check_shape(&phase->hyper, tensors, shape, reterr);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}

/* A tensor of a group that steps whole tensors. Where a phase steps the group as one, its size is
 * judged with the others'. */
static enum stepd_status check_tensor(const struct group *group, const struct tensor *tensor,
                                      struct stepd_error *reterr)
{
    const struct optim_shape shape = job_tensor_shape(tensor);
    enum stepd_status status = STEPD_OK;
    const bool alone = group_scope(group) == OPTIM_SCOPE_TENSOR;
    if (alone && tensor->elements > LAYOUT_SLICE_ELEMENTS_MOST)
        status = stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                            "%" PRIu64 " elements, and %s, which never cuts a tensor, takes at "
                            "most %u",
                            tensor->elements, first_of_scope(group, OPTIM_SCOPE_TENSOR)->name,
                            LAYOUT_SLICE_ELEMENTS_MOST);
    else
        status = check_shapes(group, OPTIM_SCOPE_TENSOR, 1, &shape, reterr);
    if (status != STEPD_OK)
        return stepd_fail_in(reterr, status, "group '%s': tensor '%s'", group->name, tensor->name);
    return STEPD_OK;
}

/* What the tensors of a group come to that stand in one slice. */
struct whole_group {
    uint64_t elements;
    const struct tensor *assigned; /* one whose first values a worker sends, or NULL */
    const struct tensor *computed; /* one whose first values the server computes, or NULL */
    struct optim_shape shape[LAYOUT_PACK_PARTS_MAX];
    size_t shapes;
};

static void add_to_group(const struct tensor *tensor, struct whole_group *whole)
{
    if (tensor->init.kind == STEPD_INIT_VALUES)
        whole->assigned = tensor;
    else
        whole->computed = tensor;
    whole->elements += tensor->elements; /* at most 2^16 times 2^36 */
    whole->shape[whole->shapes++] = job_tensor_shape(tensor);
}

static enum stepd_status check_whole_group(const struct group *group,
                                           const struct whole_group *whole,
                                           struct stepd_error *reterr)
{
    const char *const optimizer = first_of_scope(group, OPTIM_SCOPE_GROUP)->name;
    const enum stepd_status status =
        check_shapes(group, OPTIM_SCOPE_GROUP, whole->shapes, whole->shape, reterr);
    if (status != STEPD_OK)
        return status;
    if (whole->elements > LAYOUT_SLICE_ELEMENTS_MOST)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%" PRIu64 " elements, and %s, which steps a group as one, takes at most "
                          "%u",
                          whole->elements, optimizer, LAYOUT_SLICE_ELEMENTS_MOST);
    if (whole->assigned != NULL && whole->computed != NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%s steps a group as one, so either rank 0 sends all first values or "
                          "none: it sends those of '%s' and not those of '%s'",
                          optimizer, whole->assigned->name, whole->computed->name);
    return STEPD_OK;
}

/* A group that is stepped as one. */
static enum stepd_status check_group(const struct job *job, uint32_t index,
                                     struct stepd_error *reterr)
{
    const struct group *const group = &job->group[index];
    if (job->group_tensors[index] > LAYOUT_PACK_PARTS_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "group '%s': %zu tensors, and %s, which steps a group as one, takes at "
                          "most %u",
                          group->name, job->group_tensors[index],
                          first_of_scope(group, OPTIM_SCOPE_GROUP)->name, LAYOUT_PACK_PARTS_MAX);
    struct whole_group whole = {.elements = 0};
    for (size_t i = 0; i < job->tensors; i++) {
        if (job->tensor[i].group == index)
            add_to_group(&job->tensor[i], &whole);
    }
    const enum stepd_status status = check_whole_group(group, &whole, reterr);
    return status == STEPD_OK ? status : stepd_fail_in(reterr, status, "group '%s'", group->name);
}

/* Optimizers that see more than elements have rules for what they see. */
static enum stepd_status check_optimizers(const struct job *job, struct stepd_error *reterr)
{
    for (size_t i = 0; i < job->tensors; i++) {
        const struct group *const group = &job->group[job->tensor[i].group];
        const bool cuttable = group_scope(group) == OPTIM_SCOPE_ELEMENT;
        const enum stepd_status status =
            cuttable ? STEPD_OK : check_tensor(group, &job->tensor[i], reterr);
        if (status != STEPD_OK)
            return status;
    }
    for (uint32_t g = 0; g < job->groups; g++) {
        const bool whole =
            group_scope(&job->group[g]) == OPTIM_SCOPE_GROUP && job->group_tensors[g] > 0;
        const enum stepd_status status = whole ? check_group(job, g, reterr) : STEPD_OK;
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}

/* ---- Cutting --------------------------------------------------------------------------------- */

static enum stepd_status cut(struct job *job, struct stepd_error *reterr)
{
    struct layout_tensor *tensor = calloc(job->tensors, sizeof *tensor);
    if (tensor == NULL)
        return no_memory(reterr);
    for (size_t i = 0; i < job->tensors; i++)
        tensor[i] = (struct layout_tensor){
            .elements = job->tensor[i].elements,
            .group = job->tensor[i].group,
            .assigned = job->tensor[i].init.kind == STEPD_INIT_VALUES,
            .scope = group_scope(&job->group[job->tensor[i].group]),
        };
    const enum stepd_status status =
        layout_init(tensor, job->tensors, job->slice_elements, job->shards, &job->layout, reterr);
    free(tensor);
    return status;
}

/* The most that an optimizer of the group wants behind a slice's gradient. */
static uint64_t most_extra(const struct group *group, uint32_t elements)
{
    uint64_t most = 0;
    for (size_t i = 0; i < group->phases && !group->frozen; i++) {
        const struct optimizer *const optimizer = group->phase[i].optimizer;
        const uint64_t extra = optimizer->extra == NULL ? 0 : optimizer->extra(elements);
        most = extra > most ? extra : most;
    }
    return most;
}

static enum stepd_status add_extras(struct job *job, struct stepd_error *reterr)
{
    for (size_t i = 0; i < job->layout.slices; i++) {
        struct slice_plan *const slice = &job->layout.slice[i];
        const struct group *const group = &job->group[slice->group];
        const uint64_t extra = most_extra(group, slice->elements);
        if (extra > LAYOUT_SLICE_ELEMENTS_MOST - slice->elements)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "group '%s': a push of %u elements would carry %" PRIu64
                              " more; at most %u go into one slice",
                              group->name, slice->elements, extra, LAYOUT_SLICE_ELEMENTS_MOST);
        slice->extra = (uint32_t)extra;
    }
    return STEPD_OK;
}

/* A norm is taken of sums over blocks of a tensor, each of which a slice must have whole. */
static enum stepd_status check_blocks(const struct job *job, struct stepd_error *reterr)
{
    const bool clips = job_clips_by_norm(job);
    for (size_t i = 0; clips && i < job->layout.parts; i++) {
        const struct part *const part = &job->layout.part[i];
        if (part->offset % NORMS_BLOCK != 0)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "gradients are clipped by their norm, which is summed over blocks of "
                              "%u elements, and tensor '%s' is cut within one; set slice_elements "
                              "to a multiple of %u (now %u)",
                              NORMS_BLOCK, job->tensor[part->tensor].name, NORMS_BLOCK,
                              job->slice_elements);
    }
    return STEPD_OK;
}

enum stepd_status job_lay_out(struct job *job, struct stepd_error *reterr)
{
    enum stepd_status status = match_groups(job, reterr);
    if (status == STEPD_OK)
        status = check_optimizers(job, reterr);
    if (status == STEPD_OK)
        status = cut(job, reterr);
    if (status == STEPD_OK)
        status = check_blocks(job, reterr);
    return status != STEPD_OK ? status : add_extras(job, reterr);
}
