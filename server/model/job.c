/* SPDX-License-Identifier: Apache-2.0
 *
 * Sealing a draft into a job, and the job's own functions. A job is complete before anybody else
 * sees it and is never written again, so threads share it with nothing but an atomic count.
 */
#include "server/model/job.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/model/job_internal.h"

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the job");
}

static struct job *job_destroy(struct job *job)
{
    for (size_t i = 0; i < job->groups; i++)
        group_deinit(&job->group[i]);
    for (size_t i = 0; i < job->tensors; i++)
        free(job->tensor[i].name);
    layout_deinit(&job->layout);
    free(job->group);
    free(job->group_tensors);
    free(job->tensor);
    free(job->name);
    free(job);
    return NULL;
}

struct job *job_ref(struct job *job)
{
    (void)__atomic_add_fetch(&job->refs, 1, __ATOMIC_RELAXED);
    return job;
}

struct job *job_unref(struct job *job)
{
    if (job != NULL && __atomic_sub_fetch(&job->refs, 1, __ATOMIC_ACQ_REL) == 0)
        (void)job_destroy(job);
    return NULL;
}

/* ---- Sealing --------------------------------------------------------------------------------- */

static enum stepd_status copy_groups(const struct job_draft *draft, struct job *job,
                                     struct stepd_error *reterr)
{
    job->group = calloc(draft->groups, sizeof *job->group);
    if (job->group == NULL)
        return no_memory(reterr);
    for (; job->groups < draft->groups; job->groups++) {
        if (group_copy(&draft->group[job->groups], &job->group[job->groups]) != STEPD_OK)
            return no_memory(reterr);
    }
    return STEPD_OK;
}

static enum stepd_status copy_tensors(const struct job_draft *draft, struct job *job,
                                      struct stepd_error *reterr)
{
    job->tensor = calloc(draft->tensors, sizeof *job->tensor);
    if (job->tensor == NULL)
        return no_memory(reterr);
    for (size_t i = 0; i < draft->tensors; i++) {
        job->tensor[i] = draft->tensor[i];
        job->tensor[i].name = strdup(draft->tensor[i].name);
        job->tensors++;
        job->elements += draft->tensor[i].elements;
        if (job->tensor[i].name == NULL)
            return no_memory(reterr);
    }
    return STEPD_OK;
}

static enum stepd_status build(const struct job_draft *draft, struct job *job,
                               struct stepd_error *reterr)
{
    job->name = strdup(draft->name);
    if (job->name == NULL)
        return no_memory(reterr);
    enum stepd_status status = copy_groups(draft, job, reterr);
    if (status == STEPD_OK)
        status = copy_tensors(draft, job, reterr);
    return status != STEPD_OK ? status : job_lay_out(job, reterr);
}

enum stepd_status job_draft_seal(struct job_draft *draft, uint64_t incarnation, uint32_t shards,
                                 struct job **ret_job, struct stepd_error *reterr)
{
    if (draft->tensors == 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "job '%s' has no tensors", draft->name);
    struct job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return no_memory(reterr);
    *job = (struct job){.incarnation = incarnation,
                        .consistency = draft->consistency,
                        .workers = draft->workers,
                        .strict = draft->strict,
                        .slice_elements = draft->slice_elements,
                        .shards = shards,
                        .spare = draft->spare,
                        .refs = 1};
    const enum stepd_status status = build(draft, job, reterr);
    if (status != STEPD_OK) {
        (void)job_destroy(job);
        return stepd_fail_in(reterr, status, "job '%s'", draft->name);
    }
    draft->sealed = true;
    *ret_job = job;
    return STEPD_OK;
}

/* ---- Questions ------------------------------------------------------------------------------- */

bool job_clips_by_norm(const struct job *job)
{
    bool clips = job->consistency.clip_global_norm > 0.0;
    for (size_t i = 0; i < job->groups; i++)
        clips = clips || (job->group[i].treatment.clip_norm > 0.0 && !job->group[i].frozen);
    return clips;
}

bool job_is_gated(const struct job *job)
{
    const struct consistency *const consistency = &job->consistency;
    return consistency->nonfinite != CONSISTENCY_REFUSE ||
           consistency->atomic != CONSISTENCY_ATOMIC_SLICE || job_clips_by_norm(job);
}

void job_slice_name(const struct job *job, uint32_t slice, char *text, size_t size)
{
    const struct slice_plan *plan = &job->layout.slice[slice];
    const struct part *part = &job->layout.part[plan->first_part];
    const struct tensor *tensor = &job->tensor[part->tensor];
    if (plan->parts > 1)
        (void)stepd_format(text, size, "%s and %u more", tensor->name, plan->parts - 1);
    else if (part->elements == tensor->elements)
        (void)stepd_format(text, size, "%s", tensor->name);
    else
        (void)stepd_format(text, size, "%s[%" PRIu64 ":%" PRIu64 "]", tensor->name, part->offset,
                           part->offset + part->elements);
}

const struct tensor *job_slice_element(const struct job *job, uint32_t slice, uint32_t index,
                                       uint64_t *ret_tensor_index)
{
    const struct part *part = &job->layout.part[job->layout.slice[slice].first_part];
    while (index >= part->elements) {
        index -= part->elements;
        part++;
    }
    *ret_tensor_index = part->offset + index;
    return &job->tensor[part->tensor];
}

void job_draft_set_valued(struct job_draft *draft, bool valued)
{
    draft->valued = valued;
}
