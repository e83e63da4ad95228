/* SPDX-License-Identifier: Apache-2.0
 *
 * The road of a checkpoint that is read (disk/load.c), but for the manifest: what that would say of
 * the slices follows here from the definition and the step.
 */
#include "client/ctl/import_state.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/model/job.h"

#define WINDOW_BYTES  ((size_t)1 << 20)
#define WINDOW_FLOATS (WINDOW_BYTES / sizeof(float))

static enum stepd_status no_memory(const char *name, struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for job '%s'", name);
}

/* ---- The job --------------------------------------------------------------------------------- */

/* What the wire holds a worker's tensors to, and a definition takes for granted. */
static enum stepd_status check_tensor(const struct safetensors_tensor *tensor,
                                      struct stepd_error *reterr)
{
    if (strlen(tensor->name) > STEPD_NAME_MAX_BYTES)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the name of a tensor has %zu bytes, and the most are %u; give it a "
                          "shorter one: '%.40s...'",
                          strlen(tensor->name), STEPD_NAME_MAX_BYTES, tensor->name);
    return STEPD_OK;
}

static enum stepd_status define_tensors(struct job_draft *draft, const struct safetensors *head,
                                        struct stepd_error *reterr)
{
    struct stepd_tensor_def *const tensor = calloc(head->tensors + 1, sizeof *tensor);
    enum stepd_status status = STEPD_OK;
    if (tensor == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for its tensors");
    for (size_t i = 0; i < head->tensors && status == STEPD_OK; i++) {
        status = check_tensor(&head->tensor[i], reterr);
        tensor[i] = (struct stepd_tensor_def){
            .name = head->tensor[i].name,
            .dims = head->tensor[i].dims,
            .shape = head->tensor[i].shape,
            .init = {.kind = STEPD_INIT_VALUES},
        };
    }
    const struct stepd_define_tensors page = {
        .tensors = head->tensors, .tensor = tensor, .last = true};
    if (status == STEPD_OK)
        status = job_draft_add(draft, &page, reterr);
    free(tensor);
    return status;
}

enum stepd_status import_job(struct job_draft *draft, uint64_t incarnation,
                             const struct import_file *weights, struct job **ret_job,
                             struct stepd_error *reterr)
{
    enum stepd_status status = define_tensors(draft, &weights->tensors.head, reterr);
    if (status == STEPD_OK)
        status = job_draft_seal(draft, incarnation, /* shards= */ 1, ret_job, reterr);
    return status == STEPD_OK ? STEPD_OK : stepd_fail_in(reterr, status, "%s", weights->path);
}

/* ---- Its slices ------------------------------------------------------------------------------ */

/* What an optimizer keeps beside its slots is in no file. */
static enum stepd_status check_phase(const struct group *group, const struct phase *phase,
                                     uint64_t step, struct stepd_error *reterr)
{
    if (step > 0 && phase->optimizer->scalars > 0)
        return stepd_fail(
            reterr, STEPD_INVALID_ARGUMENT,
            "group '%s': %s keeps numbers beside its slots, which no file has; it can "
            "begin at step 0 only, or take another optimizer",
            group->name, phase->optimizer->name);
    if (step > 0 && phase_looks_ahead(phase))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "group '%s': %s computes gradients at a point that is in no file; set "
                          "'form' to one that does not look ahead",
                          group->name, phase->optimizer->name);
    return STEPD_OK;
}

static enum stepd_status make_slice(const struct job *job, uint32_t index, uint64_t step,
                                    struct slice_state *slice, struct stepd_error *reterr)
{
    const struct slice_plan *const plan = &job->layout.slice[index];
    const struct group *const group = &job->group[plan->group];
    const struct phase *const phase = group_phase(group, step);
    *slice = (struct slice_state){
        .taken = true,
        .elements = plan->elements,
        .version = step,
        .t = group->frozen ? 0 : step,
        .valued = true,
        .phase = (size_t)(phase - group->phase),
        .phase_began = group->frozen ? 0 : phase->from,
        .by_rank = calloc(job->workers, sizeof *slice->by_rank),
    };
    if (slice->by_rank == NULL)
        return no_memory(job->name, reterr);
    for (; slice->ranks < job->workers; slice->ranks++)
        slice->by_rank[slice->ranks].backup_version = UINT64_MAX;
    return group->frozen ? STEPD_OK : check_phase(group, phase, step, reterr);
}

static enum stepd_status make_slices(struct job_state *state, uint64_t step,
                                     struct stepd_error *reterr)
{
    const size_t slices = state->job->layout.slices;
    bool(*const view_made)[STEPD_VIEWS] = calloc(slices, sizeof *view_made);
    enum stepd_status status = view_made == NULL ? no_memory(state->job->name, reterr) : STEPD_OK;
    for (uint32_t i = 0; i < slices && status == STEPD_OK; i++)
        status = make_slice(state->job, i, step, &state->slice[i], reterr);
    if (status == STEPD_OK) /* the tensors are bounded by the file that has them */
        status =
            arrays_allocate(state, (const bool(*)[STEPD_VIEWS])view_made, NULL, UINT64_MAX, reterr);
    free(view_made);
    return status;
}

/* ---- Their floats ---------------------------------------------------------------------------- */

static enum stepd_status check_finite(const struct array *array, uint64_t first, size_t n,
                                      const uint8_t *bytes, struct stepd_error *reterr)
{
    for (size_t i = 0; i < n; i++) {
        float number;
        safetensors_widen(SAFETENSORS_F32, 1, bytes + i * sizeof number, &number);
        if (!isfinite(number))
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "'%s' is NaN or infinite at element %" PRIu64
                              "; take a checkpoint from before that",
                              array->name, first + i);
    }
    return STEPD_OK;
}

static enum stepd_status read_array(const struct import_file *file, const struct array *array,
                                    uint8_t *window, struct stepd_error *reterr)
{
    const struct safetensors_tensor *const tensor =
        safetensors_find(&file->tensors.head, array->name);
    enum stepd_status status = STEPD_OK;
    for (uint64_t first = 0; first < array->floats && status == STEPD_OK; first += WINDOW_FLOATS) {
        const uint64_t left = array->floats - first;
        const size_t n = left < WINDOW_FLOATS ? (size_t)left : WINDOW_FLOATS;
        status = tensors_read(&file->tensors, tensor, first * sizeof(float), n * sizeof(float),
                              window, reterr);
        if (status == STEPD_OK)
            status = check_finite(array, first, n, window, reterr);
        if (status == STEPD_OK)
            array_decode(array, first, n, window);
    }
    return status;
}

static enum stepd_status read_file(struct arrays *arrays, enum arrays_file which,
                                   const struct import_file *file, uint8_t *window,
                                   struct stepd_error *reterr)
{
    const struct arrays_list *const list = &arrays->file[which];
    enum stepd_status status = arrays_match(arrays, which, &file->tensors.head, reterr);
    for (size_t i = 0; i < list->count && status == STEPD_OK; i++)
        status = read_array(file, &list->array[i], window, reterr);
    return status == STEPD_OK ? STEPD_OK : stepd_fail_in(reterr, status, "%s", file->path);
}

static enum stepd_status read_files(struct job_state *state,
                                    const struct import_file file[ARRAYS_FILES],
                                    struct stepd_error *reterr)
{
    const struct job_state *const share = state;
    struct arrays *arrays = NULL;
    uint8_t *const window = malloc(WINDOW_BYTES);
    enum stepd_status status = window == NULL ? no_memory(state->job->name, reterr)
                                              : arrays_create(&share, 1, &arrays, reterr);
    for (int which = 0; which < (int)ARRAYS_FILES && status == STEPD_OK; which++)
        status = read_file(arrays, (enum arrays_file)which, &file[which], window, reterr);
    (void)arrays_destroy(arrays);
    free(window);
    return status;
}

enum stepd_status import_state(struct job *job, uint64_t step,
                               const struct import_file file[ARRAYS_FILES],
                               struct job_state **ret_state, struct stepd_error *reterr)
{
    const uint64_t version = job->consistency.mode == STEPD_SYNC ? step : JOB_STATE_AS_IT_STANDS;
    struct job_state *state = NULL;
    if (job_state_create(job, version, &state) != STEPD_OK)
        return no_memory(job->name, reterr);
    enum stepd_status status = make_slices(state, step, reterr);
    if (status == STEPD_OK)
        status = read_files(state, file, reterr);
    if (status == STEPD_OK)
        *ret_state = state;
    else
        (void)job_state_unref(state);
    return status;
}
