/* SPDX-License-Identifier: Apache-2.0 */
#include "server/disk/init_read.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "proto/bytes.h"
#include "proto/error.h"
#include "server/disk/tensors.h"
#include "server/persist/checksum.h"
#include "server/persist/init_match.h"

/* Elements that are read at once, 8 bytes each at the widest. */
#define WINDOW_ELEMENTS ((size_t)1 << 17)
#define WINDOW_BYTES    (WINDOW_ELEMENTS * 8u)

enum stepd_status init_read_check(const char *file, struct stepd_error *reterr)
{
    struct tensors tensors;
    const enum stepd_status status = tensors_open(AT_FDCWD, file, file, &tensors, reterr);
    if (status == STEPD_OK)
        tensors_close(&tensors);
    return status;
}

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to read it");
}

/* ---- One tensor ------------------------------------------------------------------------------ */

static enum stepd_status check_finite(const struct tensor *tensor, uint64_t first, size_t n,
                                      const float *values, struct stepd_error *reterr)
{
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i]))
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "tensor '%s' has %s at element %" PRIu64
                              " of the file; take another file, or leave it out by except",
                              tensor->name, isnan(values[i]) ? "NaN" : "what is infinite as float",
                              first + i);
    }
    return STEPD_OK;
}

/* A file that is read, a window at a time. */
struct source {
    struct tensors file;
    const atomic_bool *stop;
    uint8_t *window; /* owned; WINDOW_BYTES */
};

static enum stepd_status read_values(const struct source *source,
                                     const struct safetensors_tensor *from,
                                     const struct tensor *tensor, float *values,
                                     struct stepd_error *reterr)
{
    const uint64_t element_bytes = (from->end - from->begin) / tensor->elements;
    enum stepd_status status = STEPD_OK;
    for (uint64_t at = 0; at < tensor->elements && status == STEPD_OK;) {
        const uint64_t left = tensor->elements - at;
        const size_t n = left < WINDOW_ELEMENTS ? (size_t)left : WINDOW_ELEMENTS;
        if (atomic_load(source->stop))
            return stepd_fail(reterr, STEPD_UNAVAILABLE, "the server is ending; try again later");
        status = tensors_read(&source->file, from, at * element_bytes, (size_t)(n * element_bytes),
                              source->window, reterr);
        if (status != STEPD_OK)
            return status;
        safetensors_widen(from->dtype, n, source->window, values + at);
        status = check_finite(tensor, at, n, values + at, reterr);
        at += n;
    }
    return status;
}

/* ---- All of them ----------------------------------------------------------------------------- */

static enum stepd_status read_all(const struct source *source, const struct job *job,
                                  const struct init_match *match, struct first_weights *first,
                                  struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < job->tensors && status == STEPD_OK; i++) {
        uint64_t bytes = 0;
        if (match->from[i] == NULL)
            continue;
        const bool fits =
            stepd_bytes_mul(job->tensor[i].elements, sizeof(float), &bytes) && bytes <= SIZE_MAX;
        first->values[i] = fits ? malloc((size_t)bytes) : NULL;
        status = first->values[i] == NULL ? no_memory(reterr)
                                          : read_values(source, match->from[i], &job->tensor[i],
                                                        first->values[i], reterr);
    }
    return status;
}

static_assert(FIRST_WEIGHTS_SUM_BYTES == CHECKSUM_TEXT_BYTES, "a sum has the text of a checksum");

/* What two daemons compare that have read it, each from its own file. */
static enum stepd_status sum_all(const struct job *job, struct first_weights *first,
                                 struct stepd_error *reterr)
{
    struct checksum *const sum = checksum_create();
    if (sum == NULL)
        return no_memory(reterr);
    for (size_t i = 0; i < job->tensors; i++) {
        if (first->values[i] != NULL)
            checksum_add(sum, first->values[i], (size_t)job->tensor[i].elements * sizeof(float));
    }
    checksum_text(sum, first->sum);
    (void)checksum_destroy(sum);
    return STEPD_OK;
}

static void log_match(const struct init_read *reading, const struct job *job,
                      const struct init_match *match, const char *sum)
{
    log_event(
        reading->log, LOG_INFO, "init_from",
        "job=%s file=%s taken=%zu kept=%zu kept_names=%s left_over=%zu left_over_names=%s sum=%s",
        job->name, reading->file, match->taken, match->kept.count, match->kept.text,
        match->left_over.count, match->left_over.text, sum);
}

static void describe(const struct job *job, const struct init_match *match,
                     struct first_weights *first)
{
    const struct init_names *const kept = &match->kept;
    const struct init_names *const left_over = &match->left_over;
    size_t used = stepd_format(first->text, sizeof first->text, "%zu of %zu tensors from a file",
                               match->taken, job->tensors);
    if (kept->count > 0)
        used += stepd_format(first->text + used, sizeof first->text - used, ", not %s", kept->text);
    if (left_over->count > 0)
        (void)stepd_format(first->text + used, sizeof first->text - used,
                           "; left over in the file: %zu (%s)", left_over->count, left_over->text);
}

static enum stepd_status read_source(const struct init_read *reading, const struct source *source,
                                     const struct job *job, struct first_weights **ret_first,
                                     struct stepd_error *reterr)
{
    struct init_match match;
    enum stepd_status status =
        init_match_create(job, reading->naming, &source->file.head, &match, reterr);
    if (status != STEPD_OK)
        return status;
    struct first_weights *const first = first_weights_create(job->tensors);
    status = first == NULL ? no_memory(reterr) : read_all(source, job, &match, first, reterr);
    if (status == STEPD_OK)
        status = sum_all(job, first, reterr);
    if (status == STEPD_OK) {
        log_match(reading, job, &match, first->sum);
        describe(job, &match, first);
        *ret_first = first;
    } else {
        (void)first_weights_unref(first);
    }
    init_match_deinit(&match);
    return status;
}

enum stepd_status init_read(const struct init_read *reading, const struct job *job,
                            struct first_weights **ret_first, struct stepd_error *reterr)
{
    struct source source = {.stop = reading->stop};
    enum stepd_status status =
        tensors_open(AT_FDCWD, reading->file, "the file", &source.file, reterr);
    if (status == STEPD_OK) {
        source.window = malloc(WINDOW_BYTES);
        status = source.window == NULL ? no_memory(reterr)
                                       : read_source(reading, &source, job, ret_first, reterr);
        free(source.window);
        tensors_close(&source.file);
    }
    if (status == STEPD_OK)
        return STEPD_OK;
    log_event(reading->log, LOG_WARN, "init_from_failed", "job=%s file=%s cause=%s", job->name,
              reading->file, reterr->text);
    const bool passing = status == STEPD_RESOURCE_EXHAUSTED || status == STEPD_UNAVAILABLE;
    return stepd_fail_in(reterr, passing ? status : STEPD_FAILED_PRECONDITION,
                         "job '%s' cannot begin with its init_from", job->name);
}
