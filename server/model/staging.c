/* SPDX-License-Identifier: Apache-2.0
 *
 * One block holds all buffers, one array beside it the stacks of those that are free.
 */
#include "server/model/staging.h"

#include <assert.h>
#include <stdlib.h>

/* Length and number of the buffers that one slice's open rounds can hold; 0: none. */
static struct staging_stack need_of(const struct job *job, const struct slice_plan *slice)
{
    const struct slice_size size = job_slice_size(job, slice);
    return (struct staging_stack){
        .floats = (size_t)size.staging,
        .buffers = (size_t)job->workers * (size.gathered > 0 ? 2 : 1),
    };
}

static int by_floats(const void *a, const void *b)
{
    const size_t x = ((const struct staging_stack *)a)->floats;
    const size_t y = ((const struct staging_stack *)b)->floats;
    return (x > y) - (x < y);
}

/* Puts what all slices need into the stacks' room, unsorted. */
static void collect(struct staging *staging, const struct job *job, uint32_t shard)
{
    const size_t landing = (size_t)job_landing_floats(job, shard);
    if (landing > 0)
        staging->stack[staging->stacks++] =
            (struct staging_stack){.floats = landing, .buffers = JOB_LANDINGS};
    for (size_t i = 0; i < job->layout.slices; i++) {
        const struct slice_plan *const slice = &job->layout.slice[i];
        const struct staging_stack need = need_of(job, slice);
        if (slice->shard == shard && need.floats > 0)
            staging->stack[staging->stacks++] = need;
    }
}

/* One stack for each length. */
static void unite(struct staging *staging)
{
    size_t last = 0;
    if (staging->stacks == 0)
        return;
    qsort(staging->stack, staging->stacks, sizeof staging->stack[0], by_floats);
    for (size_t i = 1; i < staging->stacks; i++) {
        if (staging->stack[i].floats == staging->stack[last].floats)
            staging->stack[last].buffers += staging->stack[i].buffers;
        else
            staging->stack[++last] = staging->stack[i];
    }
    staging->stacks = last + 1;
}

static enum stepd_status make_buffers(struct staging *staging)
{
    size_t floats = 0;
    size_t buffers = 0;
    for (size_t i = 0; i < staging->stacks; i++) {
        floats += staging->stack[i].floats * staging->stack[i].buffers;
        buffers += staging->stack[i].buffers;
    }
    if (buffers == 0)
        return STEPD_OK;
    staging->buffer = malloc(buffers * sizeof(float *));
    if (staging->buffer == NULL || block_init(&staging->memory, floats) != STEPD_OK) {
        staging->stacks = 0;
        return STEPD_RESOURCE_EXHAUSTED;
    }
    float **buffer = staging->buffer;
    float *at = staging->memory.floats;
    for (size_t i = 0; i < staging->stacks; i++) {
        struct staging_stack *const stack = &staging->stack[i];
        stack->buffer = buffer;
        for (; stack->free < stack->buffers; at += stack->floats)
            stack->buffer[stack->free++] = at;
        buffer += stack->buffers;
    }
    return STEPD_OK;
}

enum stepd_status staging_init(struct staging *staging, const struct job *job, uint32_t shard)
{
    *staging = (struct staging){.stacks = 0};
    staging->stack = calloc(job->layout.slices + 1, sizeof staging->stack[0]);
    if (staging->stack == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    collect(staging, job, shard);
    unite(staging);
    return make_buffers(staging);
}

void staging_deinit(struct staging *staging)
{
    block_deinit(&staging->memory);
    free(staging->buffer);
    free(staging->stack);
    *staging = (struct staging){.stacks = 0};
}

struct staging_stack *staging_of(const struct staging *staging, const struct job *job,
                                 const struct slice_plan *slice)
{
    if (job->group[slice->group].frozen)
        return NULL;
    if (job->consistency.reduction == CONSISTENCY_ARRIVAL)
        return staging->stack;
    const struct staging_stack need = need_of(job, slice);
    return bsearch(&need, staging->stack, staging->stacks, sizeof need, by_floats);
}

bool staging_has_spare(const struct staging_stack *stack)
{
    return stack->free > 1;
}

float *staging_take(struct staging_stack *stack)
{
    assert(stack->free > 0);
    return stack->buffer[--stack->free];
}

void staging_give(struct staging_stack *stack, float *buffer)
{
    if (buffer == NULL)
        return;
    assert(stack->free < stack->buffers);
    stack->buffer[stack->free++] = buffer;
}
