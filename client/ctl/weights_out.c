/* SPDX-License-Identifier: Apache-2.0
 *
 * A state has its weights slice by slice. A run is what of a tensor lies together in one slice;
 * sorted by tensor and offset, the runs are the bytes of the file.
 */
#include "client/ctl/weights_out.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/replace.h"
#include "proto/dtype.h"
#include "proto/error.h"
#include "server/disk/file.h"
#include "server/persist/safetensors.h"

#define WINDOW_ELEMENTS ((size_t)1 << 18)

struct run {
    uint32_t tensor;
    uint64_t offset;
    uint32_t elements;
    const float *weights;
};

struct writing {
    const struct weights_out *out;
    struct run *run; /* owned */
    size_t runs;
    uint8_t *window; /* owned; WINDOW_ELEMENTS of the dtype */
    uint8_t *head;   /* owned */
    size_t head_bytes;
    struct weights_out_result result;
    uint32_t tensor;   /* whose runs are being written */
    uint64_t infinite; /* of it so far */
};

/* ---- What there is --------------------------------------------------------------------------- */

static enum stepd_status check_view(const struct job *job, enum stepd_view view,
                                    struct stepd_error *reterr)
{
    const bool ema = view == STEPD_EMA;
    for (size_t i = 0; i < job->tensors; i++) {
        const struct group *group = &job->group[job->tensor[i].group];
        if (view != (ema ? STEPD_EMA : STEPD_SWA) ||
            (ema ? group->treatment.ema_decay > 0.0 : group->treatment.swa))
            continue;
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "tensor '%s': group '%s' keeps no %s of its weights", job->tensor[i].name,
                          group->name, ema ? "exponential moving average" : "running mean");
    }
    return STEPD_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct run *const one = a, *const other = b;
    if (one->tensor != other->tensor)
        return one->tensor < other->tensor ? -1 : 1;
    return (one->offset > other->offset) - (one->offset < other->offset);
}

static enum stepd_status add_slice(struct writing *writing, uint32_t index,
                                   struct stepd_error *reterr)
{
    const struct job *job = writing->out->state->job;
    const struct slice_state *slice = &writing->out->state->slice[index];
    const struct slice_plan *plan = &job->layout.slice[index];
    if (!slice->valued)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "tensor '%s' had no values yet: rank 0 was to assign them",
                          job->tensor[job->layout.part[plan->first_part].tensor].name);
    const float *weights = slice->view[writing->out->view];
    if (weights == NULL)
        weights = slice->view[STEPD_EVALUATION];
    for (uint32_t i = 0; i < plan->parts; i++) {
        const struct part *part = &job->layout.part[plan->first_part + i];
        writing->run[writing->runs++] = (struct run){.tensor = part->tensor,
                                                     .offset = part->offset,
                                                     .elements = part->elements,
                                                     .weights = weights};
        weights += part->elements;
    }
    return STEPD_OK;
}

static enum stepd_status find_runs(struct writing *writing, struct stepd_error *reterr)
{
    const struct job *job = writing->out->state->job;
    for (uint32_t i = 0; i < job->layout.slices; i++) {
        const enum stepd_status status = add_slice(writing, i, reterr);
        if (status != STEPD_OK)
            return status;
    }
    qsort(writing->run, writing->runs, sizeof *writing->run, by_place);
    return STEPD_OK;
}

/* One after the other, in the order of their definition. */
static void place_tensors(const struct weights_out *out, struct safetensors_tensor *tensor)
{
    static const enum safetensors_dtype dtypes[] = {[STEPD_F32] = SAFETENSORS_F32,
                                                    [STEPD_F16] = SAFETENSORS_F16,
                                                    [STEPD_BF16] = SAFETENSORS_BF16};
    const struct job *job = out->state->job;
    uint64_t at = 0;
    for (size_t i = 0; i < job->tensors; i++) {
        const struct tensor *from = &job->tensor[i];
        tensor[i] = (struct safetensors_tensor){
            .name = from->name,
            .dtype = dtypes[out->dtype],
            .dims = from->dims,
            .begin = at,
            .end = at + from->elements * stepd_dtype_bytes(out->dtype),
        };
        memcpy(tensor[i].shape, from->shape, from->dims * sizeof from->shape[0]);
        at = tensor[i].end;
    }
}

static enum stepd_status make_head(struct writing *writing, struct stepd_error *reterr)
{
    const struct job *job = writing->out->state->job;
    struct safetensors_tensor *const tensor = calloc(job->tensors + 1, sizeof *tensor);
    if (tensor == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a list of %zu tensors",
                          job->tensors);
    char step[24];
    (void)stepd_format(step, sizeof step, "%" PRIu64, writing->out->step);
    const struct safetensors_text text[] = {{.key = "format", .value = "pt"},
                                            {.key = "stepd_job", .value = job->name},
                                            {.key = "stepd_step", .value = step},
                                            {.key = NULL}};
    place_tensors(writing->out, tensor);
    const enum stepd_status status = safetensors_encode(tensor, job->tensors, text, &writing->head,
                                                        &writing->head_bytes, reterr);
    free(tensor);
    return status;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static bool put(struct writing *writing, int file, const void *bytes, size_t n)
{
    /* writev takes what it only reads by a pointer that is not const. */
    struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = n};
    writing->result.bytes += n;
    return file_write(file, &piece, 1);
}

/* Of n elements, those that were finite and are not any more in 16 bits, whose infinity is this but
 * for the sign. */
static uint64_t count_infinite(size_t n, const float *from, const uint8_t *to, uint16_t infinity)
{
    uint64_t count = 0;
    for (size_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, to + i * sizeof bits, sizeof bits);
        count += (bits & 0x7FFFu) == infinity && isfinite(from[i]);
    }
    return count;
}

static void note_infinite(struct writing *writing, const struct run *run, size_t first, size_t n)
{
    static const uint16_t infinity[] = {[STEPD_F16] = 0x7C00, [STEPD_BF16] = 0x7F80};
    const enum stepd_dtype dtype = writing->out->dtype;
    struct weights_out_result *result = &writing->result;
    if (dtype == STEPD_F32)
        return;
    const uint64_t count =
        count_infinite(n, run->weights + first, writing->window, infinity[dtype]);
    writing->infinite = count + (run->tensor == writing->tensor ? writing->infinite : 0);
    writing->tensor = run->tensor;
    result->infinite += count;
    if (writing->infinite > result->worst_infinite) {
        result->worst = run->tensor;
        result->worst_infinite = writing->infinite;
    }
}

static bool put_run(struct writing *writing, int file, const struct run *run)
{
    const enum stepd_dtype dtype = writing->out->dtype;
    bool fine = true;
    for (size_t first = 0; first < run->elements && fine; first += WINDOW_ELEMENTS) {
        const size_t left = run->elements - first;
        const size_t n = left < WINDOW_ELEMENTS ? left : WINDOW_ELEMENTS;
        stepd_dtype_narrow(dtype, n, run->weights + first, writing->window);
        note_infinite(writing, run, first, n);
        fine = put(writing, file, writing->window, n * stepd_dtype_bytes(dtype));
    }
    return fine;
}

static bool put_all(struct writing *writing, int file)
{
    bool fine = put(writing, file, writing->head, writing->head_bytes);
    for (size_t i = 0; i < writing->runs && fine; i++)
        fine = put_run(writing, file, &writing->run[i]);
    return fine;
}

static enum stepd_status write_file(struct writing *writing, const char *path,
                                    struct stepd_error *reterr)
{
    struct replace replace;
    const enum stepd_status status = replace_begin(&replace, path, reterr);
    if (status != STEPD_OK)
        return status;
    return put_all(writing, replace.file) ? replace_finish(&replace, reterr)
                                          : replace_abandon(&replace, errno, reterr);
}

enum stepd_status weights_out_write(const struct weights_out *out, const char *path,
                                    struct weights_out_result *ret_result,
                                    struct stepd_error *reterr)
{
    const struct job *job = out->state->job;
    struct writing writing = {
        .out = out,
        .run = calloc(job->layout.parts + 1, sizeof *writing.run),
        .window = malloc(WINDOW_ELEMENTS * stepd_dtype_bytes(out->dtype)),
    };
    enum stepd_status status = STEPD_OK;
    if (writing.run == NULL || writing.window == NULL)
        status = stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to write %s", path);
    if (status == STEPD_OK)
        status = check_view(job, out->view, reterr);
    if (status == STEPD_OK)
        status = find_runs(&writing, reterr);
    if (status == STEPD_OK)
        status = make_head(&writing, reterr);
    if (status == STEPD_OK)
        status = write_file(&writing, path, reterr);
    if (status == STEPD_OK)
        *ret_result = writing.result;
    free(writing.head);
    free(writing.window);
    free(writing.run);
    return status;
}
