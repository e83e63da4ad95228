/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists of slices' states.
 */
#include "server/model/job_state.h"

#include <inttypes.h>
#include <stdlib.h>

#include "proto/bytes.h"
#include "proto/error.h"

enum stepd_status job_state_create(struct job *job, uint64_t version, struct job_state **ret_state)
{
    struct job_state *state = malloc(sizeof *state);
    struct slice_state *slice = calloc(job->layout.slices, sizeof *slice);
    if (state == NULL || slice == NULL) {
        free(state);
        free(slice);
        return STEPD_RESOURCE_EXHAUSTED;
    }
    *state = (struct job_state){
        .job = job_ref(job),
        .version = version,
        .slice = slice,
        .refs = 1,
    };
    *ret_state = state;
    return STEPD_OK;
}

struct job_state *job_state_ref(struct job_state *state)
{
    (void)__atomic_add_fetch(&state->refs, 1, __ATOMIC_RELAXED);
    return state;
}

struct job_state *job_state_unref(struct job_state *state)
{
    if (state == NULL || __atomic_sub_fetch(&state->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return NULL;
    for (size_t i = 0; i < state->job->layout.slices; i++)
        slice_state_deinit(&state->slice[i]);
    free(state->slice);
    (void)job_unref(state->job);
    free(state);
    return NULL;
}

/* ---- Gathering ------------------------------------------------------------------------------- */

static enum stepd_status check_shares(const struct job_state *const *share, size_t shares,
                                      struct stepd_error *reterr)
{
    for (size_t i = 1; i < shares; i++) {
        if (share[i]->job != share[0]->job)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "shares 1 and %zu of the state of job '%s' are of two definitions",
                              i + 1, share[0]->job->name);
        if (share[i]->version != share[0]->version)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "shares 1 and %zu of the state of job '%s' are of two versions: "
                              "%" PRIu64 " and %" PRIu64,
                              i + 1, share[0]->job->name, share[0]->version, share[i]->version);
    }
    return STEPD_OK;
}

static const struct slice_state *find_slice(const struct job_state *const *share, size_t shares,
                                            size_t index)
{
    for (size_t i = 0; i < shares; i++) {
        if (share[i]->slice[index].taken)
            return &share[i]->slice[index];
    }
    return NULL;
}

static enum stepd_status gather(const struct job_state *const *share, size_t shares,
                                const struct job_state *whole, struct stepd_error *reterr)
{
    for (uint32_t i = 0; i < whole->job->layout.slices; i++) {
        const struct slice_state *slice = find_slice(share, shares, i);
        char name[JOB_SLICE_NAME_BYTES];
        job_slice_name(whole->job, i, name, sizeof name);
        if (slice == NULL)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "no share of the state of job '%s' has %s", whole->job->name, name);
        if (slice_state_copy(slice, &whole->slice[i]) != STEPD_OK)
            return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                              "no memory for the state of %s of job '%s'", name, whole->job->name);
    }
    return STEPD_OK;
}

enum stepd_status job_state_gather(const struct job_state *const *share, size_t shares,
                                   struct job_state **ret_state, struct stepd_error *reterr)
{
    struct job_state *whole = NULL;
    enum stepd_status status = check_shares(share, shares, reterr);
    if (status == STEPD_OK &&
        job_state_create(share[0]->job, share[0]->version, &whole) != STEPD_OK)
        status = stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the state of job '%s'",
                            share[0]->job->name);
    if (status != STEPD_OK)
        return status;
    for (size_t i = 0; i < shares; i++) {
        if (share[i]->halted.code != STEPD_OK)
            whole->halted = share[i]->halted;
    }
    status = gather(share, shares, whole, reterr);
    if (status == STEPD_OK)
        *ret_state = whole;
    else
        (void)job_state_unref(whole);
    return status;
}

/* ---- Questions ------------------------------------------------------------------------------- */

uint64_t job_state_clock(const struct job_state *state, const struct job *job, uint32_t shard,
                         uint32_t rank)
{
    uint64_t lowest = 0;
    for (size_t i = 0; i < job->layout.slices; i++) {
        const struct slice_state *slice = &state->slice[i];
        if (job->layout.slice[i].shard != shard || rank >= slice->ranks)
            continue;
        const uint64_t clock = slice->by_rank[rank].record.clock;
        if (clock > 0 && (lowest == 0 || clock < lowest))
            lowest = clock;
    }
    return lowest;
}

uint64_t job_state_room(const struct slice_size *size)
{
    uint64_t floats = size->slots;
    for (int v = 0; v < STEPD_VIEWS; v++)
        floats += size->buffers[v] > 1 ? size->buffer : 0;
    return floats;
}

/* False: beyond any number. */
static bool slice_bytes(const struct job *job, const struct slice_plan *slice, uint64_t *ret_bytes)
{
    const struct slice_size size = job_slice_size(job, slice);
    uint64_t floats = job_state_room(&size);
    uint64_t backups = 0;
    uint64_t bytes = 0;
    return stepd_bytes_mul(size.backup > 0 ? slice->elements : 0, job->workers, &backups) &&
           stepd_bytes_add(floats, backups, &floats) &&
           stepd_bytes_mul(floats, sizeof(float), &bytes) &&
           stepd_bytes_add(bytes, size.scalars * sizeof(double), ret_bytes);
}

uint64_t job_state_bytes(const struct job *job)
{
    uint64_t total = 0;
    for (size_t i = 0; i < job->layout.slices; i++) {
        uint64_t bytes = 0;
        if (!slice_bytes(job, &job->layout.slice[i], &bytes) ||
            !stepd_bytes_add(total, bytes, &total))
            return UINT64_MAX;
    }
    return total;
}
