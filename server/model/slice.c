/* SPDX-License-Identifier: Apache-2.0
 *
 * One block holds the versions and slots of a slice, each array on a cache line of its own. It is
 * written once here, so that no later step meets a page fault.
 */
#include "server/model/slice.h"

#include <stdlib.h>

#include "server/model/initial.h"

#define ALIGN_BYTES 64u

/* Floats that an array of n takes in the block: whole cache lines. */
static size_t padded(size_t n)
{
    const size_t line = ALIGN_BYTES / sizeof(float);
    return (n + line - 1) / line * line;
}

static float *allocate(size_t floats)
{
    float *memory = aligned_alloc(ALIGN_BYTES, floats * sizeof(float));
    for (size_t i = 0; memory != NULL && i < floats; i++)
        memory[i] = 0.0F;
    return memory;
}

static void fill_first_weights(struct slice *slice)
{
    const struct layout *layout = &slice->job->layout;
    float *values = slice->current->values;
    slice->valued = true;
    for (uint32_t i = 0; i < slice->plan->parts; i++) {
        const struct part *part = &layout->part[slice->plan->first_part + i];
        const struct stepd_init *init = &slice->job->tensor[part->tensor].init;
        initial_values(init, part->tensor, part->offset, part->elements, values);
        values += part->elements;
        if (init->kind == STEPD_INIT_VALUES)
            slice->valued = false;
    }
}

static enum stepd_status make_ranks(struct slice *slice, size_t ranks)
{
    slice->by_rank = calloc(ranks, sizeof *slice->by_rank);
    if (slice->by_rank == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    for (; slice->ranks < ranks; slice->ranks++) {
        float *staging = allocate(padded(slice->plan->elements));
        if (staging == NULL)
            return STEPD_RESOURCE_EXHAUSTED;
        slice->by_rank[slice->ranks].staging = staging;
    }
    return STEPD_OK;
}

enum stepd_status slice_init(struct slice *slice, const struct job *job, uint32_t index)
{
    const struct slice_plan *plan = &job->layout.slice[index];
    const struct group *group = &job->group[plan->group];
    *slice = (struct slice){.job = job, .index = index, .plan = plan, .group = group};
    const size_t stride = padded(plan->elements);
    const size_t slots = optimizer_slots(group->optimizer);
    slice->memory = allocate(stride * (2 + slots));
    if (slice->memory == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    weights_init(&slice->buffer[0], slice, slice->memory, plan->elements);
    weights_init(&slice->buffer[1], slice, slice->memory + stride, plan->elements);
    for (size_t i = 0; i < slots; i++)
        slice->slot[i] = slice->memory + (2 + i) * stride;
    slice->current = weights_ref(&slice->buffer[0]);
    fill_first_weights(slice);
    return make_ranks(slice, job->workers);
}

void slice_deinit(struct slice *slice)
{
    for (size_t i = 0; i < slice->ranks; i++)
        free(slice->by_rank[i].staging);
    free(slice->by_rank);
    weights_deinit(&slice->buffer[0]);
    weights_deinit(&slice->buffer[1]);
    free(slice->memory);
    *slice = (struct slice){.job = NULL};
}

struct weights *slice_next(struct slice *slice)
{
    struct weights *current = slice->current;
    struct weights *other = current == &slice->buffer[0] ? &slice->buffer[1] : &slice->buffer[0];
    if (current->refs == 1)
        return current;
    return other->refs == 0 ? other : NULL;
}

void slice_publish(struct slice *slice, struct weights *next)
{
    if (next != slice->current) {
        weights_unref(slice->current);
        slice->current = weights_ref(next);
    }
    weights_published(next, ++slice->version);
}

void slice_publish_same(struct slice *slice)
{
    slice->current->version = ++slice->version;
}
