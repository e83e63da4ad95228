/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory of a state that is to be read. What a slice has is computed from its job, as the slice
 * itself computes it, and is never what a file says it is; all is summed up before any of it is
 * allocated. Arrays lie in a state as in a copy of one (model/slice_state.c): views, then slots.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "proto/bytes.h"
#include "proto/error.h"
#include "server/persist/arrays.h"
#include "server/persist/arrays_internal.h"

/* A slice that waits for its arrays. */
struct wanted {
    const struct job *job;
    uint32_t index;
    const struct slice_plan *plan;
    const struct phase *phase; /* NULL: no slots */
    bool view[STEPD_VIEWS];
    bool backups;
    uint64_t floats; /* of views and slots */
};

static enum stepd_status differs(const struct wanted *wanted, const char *what, uint64_t has,
                                 uint64_t most, struct stepd_error *reterr)
{
    char name[JOB_SLICE_NAME_BYTES];
    job_slice_name(wanted->job, wanted->index, name, sizeof name);
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "the state of %s has %" PRIu64 " %s, and in job '%s' it has %" PRIu64, name,
                      has, what, wanted->job->name, most);
}

static enum stepd_status want_views(struct wanted *wanted, const struct slice_state *state,
                                    const struct slice_size *size, const bool made[STEPD_VIEWS],
                                    struct stepd_error *reterr)
{
    for (int v = 0; v < STEPD_VIEWS; v++) {
        wanted->view[v] = v == STEPD_EVALUATION ? state->valued : made[v];
        if (wanted->view[v] && (!state->valued || size->buffers[v] == 0))
            return differs(wanted, "views that it does not keep", 1, 0, reterr);
        wanted->floats += wanted->view[v] ? wanted->plan->elements : 0;
    }
    return STEPD_OK;
}

static enum stepd_status want(const struct job_state *state, uint32_t index,
                              const bool made[STEPD_VIEWS], struct wanted *ret_wanted,
                              struct stepd_error *reterr)
{
    const struct job *const job = state->job;
    const struct slice_state *const slice = &state->slice[index];
    const struct slice_plan *const plan = &job->layout.slice[index];
    const struct slice_size size = job_slice_size(job, plan);
    struct wanted wanted = {.job = job, .index = index, .plan = plan, .backups = size.backup > 0};
    if (!slice->taken || slice->elements != plan->elements)
        return differs(&wanted, "elements", slice->elements, plan->elements, reterr);
    if (slice->ranks != job->workers)
        return differs(&wanted, "ranks", slice->ranks, job->workers, reterr);
    enum stepd_status status = arrays_phase(job, index, slice, &wanted.phase, reterr);
    if (status == STEPD_OK)
        status = want_views(&wanted, slice, &size, made, reterr);
    const size_t slots = wanted.phase == NULL ? 0 : optimizer_slots(wanted.phase->optimizer);
    for (size_t k = 0; k < slots; k++)
        wanted.floats += job_slot_floats(job, plan, wanted.phase, k);
    if (status == STEPD_OK)
        *ret_wanted = wanted;
    return status;
}

/* Adds the bytes of a slice. False: beyond any number. */
static bool add_bytes(const struct wanted *wanted, uint64_t *bytes)
{
    const uint64_t ranks = wanted->backups ? wanted->job->workers : 0;
    uint64_t floats = 0;
    return stepd_bytes_mul(ranks, wanted->plan->elements, &floats) &&
           stepd_bytes_add(floats, wanted->floats, &floats) &&
           stepd_bytes_mul(floats, sizeof(float), &floats) &&
           stepd_bytes_add(*bytes, floats, bytes);
}

static void lay_out(const struct wanted *wanted, struct slice_state *slice)
{
    const size_t slots = wanted->phase == NULL ? 0 : optimizer_slots(wanted->phase->optimizer);
    float *at = slice->memory;
    for (int v = 0; v < STEPD_VIEWS; v++) {
        slice->view[v] = wanted->view[v] ? at : NULL;
        at += wanted->view[v] ? wanted->plan->elements : 0;
    }
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++) {
        const uint64_t floats =
            k < slots ? job_slot_floats(wanted->job, wanted->plan, wanted->phase, k) : 0;
        slice->slot[k] = floats > 0 ? at : NULL;
        slice->slot_floats[k] = floats;
        at += floats;
    }
}

static enum stepd_status allocate(const struct wanted *wanted, struct slice_state *slice)
{
    if (wanted->floats > 0) {
        slice->memory = calloc((size_t)wanted->floats, sizeof *slice->memory);
        if (slice->memory == NULL)
            return STEPD_RESOURCE_EXHAUSTED;
    }
    lay_out(wanted, slice);
    for (size_t i = 0; i < slice->ranks && wanted->backups; i++) {
        slice->by_rank[i].backup = calloc(wanted->plan->elements, sizeof(float));
        if (slice->by_rank[i].backup == NULL)
            return STEPD_RESOURCE_EXHAUSTED;
    }
    return STEPD_OK;
}

/* All slices can have what they want, and it is not too much. */
static enum stepd_status check(const struct job_state *state, const bool (*view_made)[STEPD_VIEWS],
                               const bool *asked, uint64_t bytes_max, struct stepd_error *reterr)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < state->job->layout.slices; i++) {
        struct wanted wanted = {.job = NULL};
        const enum stepd_status status = want(state, i, view_made[i], &wanted, reterr);
        if (status != STEPD_OK)
            return status;
        if ((asked == NULL || asked[i]) && !add_bytes(&wanted, &bytes))
            bytes = UINT64_MAX;
    }
    if (bytes <= bytes_max)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                      "the state of job '%s' takes %" PRIu64 " bytes, and there are %" PRIu64
                      " for it",
                      state->job->name, bytes, bytes_max);
}

enum stepd_status arrays_allocate(struct job_state *state, const bool (*view_made)[STEPD_VIEWS],
                                  const bool *asked, uint64_t bytes_max, struct stepd_error *reterr)
{
    enum stepd_status status = check(state, view_made, asked, bytes_max, reterr);
    for (uint32_t i = 0; i < state->job->layout.slices && status == STEPD_OK; i++) {
        struct wanted wanted = {.job = NULL};
        if (asked != NULL && !asked[i])
            continue;
        status = want(state, i, view_made[i], &wanted, reterr);
        if (status == STEPD_OK && allocate(&wanted, &state->slice[i]) != STEPD_OK)
            status = stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                                "no memory for the state of job '%s'", state->job->name);
    }
    return status;
}
