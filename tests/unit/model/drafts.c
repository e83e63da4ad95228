/* SPDX-License-Identifier: Apache-2.0
 *
 * Everything that is not asked about is as plain as it can be.
 */
#include "tests/unit/model/drafts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct stepd_group draft_group(const char *name, const char *match, const char *optimizer)
{
    return (struct stepd_group){
        .name = name, .match = match, .optimizer = optimizer, .schedule = ""};
}

struct stepd_define_job draft_definition(void)
{
    static const struct stepd_group all = {
        .name = "all", .match = "*", .optimizer = "sgd", .schedule = ""};
    return (struct stepd_define_job){.mode = STEPD_SYNC,
                                     .workers = 1,
                                     .groups = 1,
                                     .group = &all,
                                     .slice_elements = DRAFT_SLICE_ELEMENTS};
}

struct job_draft *draft_create(const struct stepd_define_job *def)
{
    struct job_draft *draft = NULL;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(job_draft_create("j", def, 1024, &draft, &error), STEPD_OK);
    return draft;
}

struct stepd_tensor_def draft_tensor(const char *name, const uint64_t *shape, size_t dims)
{
    return (struct stepd_tensor_def){.name = name, .dims = dims, .shape = shape, .group = ""};
}

static enum stepd_status add(struct job_draft *draft, const struct stepd_define_tensors *page,
                             struct stepd_error *reterr)
{
    if (reterr != NULL)
        *reterr = (struct stepd_error){.code = STEPD_OK};
    return job_draft_add(draft, page, reterr);
}

enum stepd_status draft_add(struct job_draft *draft, uint32_t first,
                            const struct stepd_tensor_def *tensor, size_t tensors,
                            struct stepd_error *reterr)
{
    const struct stepd_define_tensors page = {.first = first, .tensors = tensors, .tensor = tensor};
    return add(draft, &page, reterr);
}

enum stepd_status draft_add_last(struct job_draft *draft, uint32_t first,
                                 const struct stepd_tensor_def *tensor, size_t tensors,
                                 struct stepd_error *reterr)
{
    const struct stepd_define_tensors page = {
        .first = first, .tensors = tensors, .tensor = tensor, .last = true};
    return add(draft, &page, reterr);
}

struct job *draft_job(const struct stepd_define_job *def, const struct stepd_tensor_def *tensor,
                      size_t tensors)
{
    struct job_draft *draft = draft_create(def);
    struct stepd_error error = {.code = STEPD_OK};
    struct job *job = NULL;
    assert_int_equal(draft_add_last(draft, 0, tensor, tensors, &error), STEPD_OK);
    assert_int_equal(job_draft_seal(draft, 1, 1, &job, &error), STEPD_OK);
    (void)job_draft_destroy(draft);
    return job;
}

enum stepd_status draft_slice_init(struct slice *slice, const struct job *job, uint32_t index,
                                   struct block *block)
{
    const struct slice_size size = job_slice_size(job, &job->layout.slice[index]);
    const enum stepd_status status =
        block_init(block, job_block_floats(&size, /* placed= */ false));
    *slice = (struct slice){.job = NULL};
    return status != STEPD_OK ? status : slice_init(slice, job, index, block->floats);
}

void draft_slice_deinit(struct slice *slice, struct block *block)
{
    slice_deinit(slice);
    block_deinit(block);
}
