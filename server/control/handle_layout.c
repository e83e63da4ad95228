/* SPDX-License-Identifier: Apache-2.0
 *
 * Layouts can be long: a million tensors, a million slices. They travel in frames of at most
 * CONTROL_PAGE_BYTES each: first all tensors, then all slices with their parts, each frame going on
 * where the one before it ended, the final one marked `last`. A slice is not split between frames:
 * the layout puts no more than LAYOUT_PACK_PARTS_MAX parts into one, and so many always fit.
 */
#include "server/control/handle_layout.h"

#include <assert.h>

#include "proto/error.h"
#include "server/control/jobs.h"
#include "server/control/page.h"
#include "server/control/sessions.h"
#include "server/control/waits.h"

enum stepd_status control_handle_get_layout(struct control_conn *conn,
                                            const struct stepd_message *request,
                                            struct control_answer *ret_answer,
                                            struct stepd_error *reterr)
{
    ret_answer->parked = true;
    const struct control_wait wait = {
        .kind = CONTROL_WAIT_LAYOUT,
        .conn = conn,
        .request_id = request->request_id,
        .job = conn->session->job,
    };
    return control_wait_park(&wait, request->body.get_layout.deadline_ms, reterr);
}

/* ---- How much a frame takes ------------------------------------------------------------------ */

static const char *group_name(const struct job *job, const struct tensor *tensor)
{
    return job->group[tensor->group].name;
}

/* Name, shape, group and initializer. */
static size_t tensor_bytes(const struct job *job, const struct tensor *tensor)
{
    const size_t init_bytes = PAGE_TAG_BYTES + 4 * PAGE_NUMBER_BYTES;
    return PAGE_TAG_BYTES + page_text_bytes(tensor->name) +
           page_list_bytes(tensor->dims, tensor->shape) + page_text_bytes(group_name(job, tensor)) +
           init_bytes;
}

/* The slice's numbers and those of its parts, in the packed lists of the frame. */
static size_t slice_bytes(const struct job *job, const struct slice_plan *slice)
{
    size_t bytes = page_varint_bytes(slice->shard + 1) + page_varint_bytes(slice->parts) +
                   page_varint_bytes(slice->extra);
    for (uint32_t i = 0; i < slice->parts; i++) {
        const struct part *part = &job->layout.part[slice->first_part + i];
        bytes += page_varint_bytes(part->tensor) + page_varint_bytes(part->offset) +
                 page_varint_bytes(part->elements);
    }
    return bytes;
}

/* The wire does not split a slice's list of parts, so the longest must fit one frame. */
static_assert((size_t)LAYOUT_PACK_PARTS_MAX * 3 * PAGE_NUMBER_BYTES <= CONTROL_PAGE_BYTES,
              "a slice's parts may not fit a Layout frame");

/* ---- One frame ------------------------------------------------------------------------------- */

/* What goes into a frame: [tensor, tensors_end) and then [slice, slices_end). */
struct extent {
    size_t tensor;
    size_t tensors_end;
    size_t slice;
    size_t slices_end;
    size_t parts;
    bool extras; /* a push carries more than the elements of one of the slices */
};

/* As much as fits, from where the frame before it ended; slices only behind the final tensor. */
static struct extent next_extent(const struct job *job, const struct extent *before)
{
    struct extent extent = {
        .tensor = before->tensors_end,
        .tensors_end = before->tensors_end,
        .slice = before->slices_end,
        .slices_end = before->slices_end,
    };
    size_t left = CONTROL_PAGE_BYTES;
    while (extent.tensors_end < job->tensors) {
        const size_t bytes = tensor_bytes(job, &job->tensor[extent.tensors_end]);
        if (bytes > left)
            return extent;
        left -= bytes;
        extent.tensors_end++;
    }
    while (extent.slices_end < job->layout.slices) {
        const struct slice_plan *slice = &job->layout.slice[extent.slices_end];
        const size_t bytes = slice_bytes(job, slice);
        if (bytes > left)
            return extent;
        left -= bytes;
        extent.slices_end++;
        extent.parts += slice->parts;
        extent.extras = extent.extras || slice->extra > 0;
    }
    return extent;
}

/* The frame's lists, in the arena. */
struct lists {
    struct stepd_tensor_def *tensor;
    uint32_t *slice_shard;
    uint32_t *slice_parts;
    uint32_t *slice_extra;
    uint32_t *part_tensor;
    uint64_t *part_offset;
    uint32_t *part_elements;
};

static bool allocate(struct stepd_arena *arena, const struct extent *extent,
                     struct lists *ret_lists)
{
    const size_t tensors = extent->tensors_end - extent->tensor;
    const size_t slices = extent->slices_end - extent->slice;
    *ret_lists = (struct lists){
        .tensor = stepd_arena_calloc(arena, tensors, sizeof *ret_lists->tensor),
        .slice_shard = stepd_arena_calloc(arena, slices, sizeof *ret_lists->slice_shard),
        .slice_parts = stepd_arena_calloc(arena, slices, sizeof *ret_lists->slice_parts),
        .slice_extra = stepd_arena_calloc(arena, slices, sizeof *ret_lists->slice_extra),
        .part_tensor = stepd_arena_calloc(arena, extent->parts, sizeof *ret_lists->part_tensor),
        .part_offset = stepd_arena_calloc(arena, extent->parts, sizeof *ret_lists->part_offset),
        .part_elements = stepd_arena_calloc(arena, extent->parts, sizeof *ret_lists->part_elements),
    };
    return ret_lists->tensor != NULL && ret_lists->slice_shard != NULL &&
           ret_lists->slice_parts != NULL && ret_lists->slice_extra != NULL &&
           ret_lists->part_tensor != NULL && ret_lists->part_offset != NULL &&
           ret_lists->part_elements != NULL;
}

static void fill_tensors(const struct job *job, const struct extent *extent,
                         const struct lists *lists)
{
    for (size_t i = extent->tensor; i < extent->tensors_end; i++) {
        const struct tensor *tensor = &job->tensor[i];
        lists->tensor[i - extent->tensor] = (struct stepd_tensor_def){
            .name = tensor->name,
            .dims = tensor->dims,
            .shape = tensor->shape,
            .init = tensor->init,
            .group = group_name(job, tensor),
        };
    }
}

static void fill_slices(const struct job *job, const struct extent *extent,
                        const struct lists *lists)
{
    size_t parts = 0;
    for (size_t i = extent->slice; i < extent->slices_end; i++) {
        const struct slice_plan *slice = &job->layout.slice[i];
        lists->slice_shard[i - extent->slice] = slice->shard + 1; /* Hello.shard 0 is control */
        lists->slice_parts[i - extent->slice] = slice->parts;
        lists->slice_extra[i - extent->slice] = slice->extra;
        for (uint32_t k = 0; k < slice->parts; k++, parts++) {
            const struct part *part = &job->layout.part[slice->first_part + k];
            lists->part_tensor[parts] = part->tensor;
            lists->part_offset[parts] = part->offset;
            lists->part_elements[parts] = part->elements;
        }
    }
}

static bool put_frame(const struct job *job, const struct extent *extent,
                      struct control_pages *pages)
{
    struct lists lists;
    if (!allocate(&pages->arena, extent, &lists))
        return false;
    fill_tensors(job, extent, &lists);
    fill_slices(job, extent, &lists);
    const size_t slices = extent->slices_end - extent->slice;
    struct stepd_message message = {
        .kind = STEPD_MESSAGE_LAYOUT,
        .body.layout =
            {
                .incarnation = job->incarnation,
                .tensors = extent->tensors_end - extent->tensor,
                .tensor = lists.tensor,
                .slice_shards = {.count = slices, .at = lists.slice_shard},
                .slice_parts = {.count = slices, .at = lists.slice_parts},
                .part_tensors = {.count = extent->parts, .at = lists.part_tensor},
                .part_offsets = {.count = extent->parts, .at = lists.part_offset},
                .part_elements = {.count = extent->parts, .at = lists.part_elements},
                .mode = job->consistency.mode,
                .world = job->workers,
                .last = extent->slices_end == job->layout.slices,
                .slice_extras = {.count = extent->extras ? slices : 0, .at = lists.slice_extra},
            },
    };
    control_pages_put(pages, &message);
    return true;
}

enum stepd_status control_layout_pages(const struct control_wait *wait, struct control_pages *pages,
                                       struct stepd_error *reterr)
{
    const struct job *job = wait->job->job;
    struct extent extent = {.tensor = 0};
    do {
        extent = next_extent(job, &extent);
        if (!put_frame(job, &extent, pages))
            return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                              "no memory to list the layout of job '%s'", job->name);
    } while (extent.slices_end < job->layout.slices);
    return STEPD_OK;
}
