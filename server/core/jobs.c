/* SPDX-License-Identifier: Apache-2.0
 *
 * The jobs of a shard, each with the slices that the layout gives to this shard.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/base/limit.h"
#include "server/core/core_internal.h"
#include "server/core/snapshot.h"

struct core_job *job_find(const struct core *core, const char *name)
{
    struct core_job *job = core->jobs;
    while (job != NULL && (job->closing || strcmp(job->job->name, name) != 0))
        job = job->next;
    return job;
}

static enum stepd_status open_slice(struct core_job *job, uint32_t index, float *memory,
                                    const struct slice_places *places)
{
    struct core_slice *slice = calloc(1, sizeof *slice);
    if (slice == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    slice->job = job;
    slice->staging = staging_of(&job->staging, job->job, &job->job->layout.slice[index]);
    job->slice[index] = slice;
    const enum stepd_status status = slice_init_at(&slice->slice, job->job, index, memory, places);
    return status != STEPD_OK ? status : round_admit(&slice->round, job->job->workers - 1);
}

static enum stepd_status grow(struct core_buffer *buffer, size_t count)
{
    if (count <= buffer->count)
        return STEPD_OK;
    float *floats = realloc(buffer->floats, count * sizeof *floats);
    if (floats == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    *buffer = (struct core_buffer){.floats = floats, .count = count};
    return STEPD_OK;
}

/* What steps need beside the slice is there when the job opens; but for annexes they allocate
 * nothing. */
static enum stepd_status make_buffers(struct core *core, const struct slice *slice)
{
    const enum stepd_status status = grow(&core->sum, slice_push_floats(slice));
    const uint64_t scratch = job_scratch_floats(slice->job, slice->plan, slice->group);
    return status != STEPD_OK ? status : grow(&core->scratch, (size_t)scratch);
}

/* What the slices' versions take beside their places, where they have some, and their slots. */
static uint64_t block_floats(const struct core *core, const struct core_job *job)
{
    const struct layout *layout = &job->job->layout;
    uint64_t floats = 0;
    for (size_t i = 0; i < layout->slices; i++) {
        const struct slice_size size = job_slice_size(job->job, &layout->slice[i]);
        if (layout->slice[i].shard == core->options.shard)
            floats += job_block_floats(&size, job->shared != NULL);
    }
    return floats;
}

/* Room for a snapshot, touched as well: it is written beside the steps, which it must not hold up.
 */
static enum stepd_status open_spare(const struct core *core, struct core_job *job)
{
    const struct layout *layout = &job->job->layout;
    uint64_t floats = 0;
    for (size_t i = 0; i < layout->slices && job->job->spare; i++) {
        const struct slice_size size = job_slice_size(job->job, &layout->slice[i]);
        if (layout->slice[i].shard == core->options.shard)
            floats += job_state_room(&size);
    }
    return block_init(&job->spare, floats);
}

/* places: by slice; NULL: all have their versions in the job's block. */
static enum stepd_status open_slices_at(struct core *core, struct core_job *job,
                                        const struct slice_places *places)
{
    const struct layout *layout = &job->job->layout;
    job->slice = calloc(layout->slices, sizeof(struct core_slice *));
    if (job->slice == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    enum stepd_status status = block_init(&job->block, block_floats(core, job));
    if (status == STEPD_OK)
        status = open_spare(core, job);
    float *at = job->block.floats;
    for (uint32_t i = 0; i < layout->slices && status == STEPD_OK; i++) {
        const struct slice_size size = job_slice_size(job->job, &layout->slice[i]);
        if (layout->slice[i].shard != core->options.shard)
            continue;
        status = open_slice(job, i, at, places == NULL ? NULL : &places[i]);
        at += job_block_floats(&size, places != NULL);
        if (status == STEPD_OK)
            status = make_buffers(core, &job->slice[i]->slice);
    }
    return status;
}

static enum stepd_status open_slices(struct core *core, struct core_job *job)
{
    struct slice_places *const places = shared_open(core, job);
    const enum stepd_status status = open_slices_at(core, job, places);
    free(places);
    if (status == STEPD_OK)
        shared_lay_gradients(job);
    return status;
}

static void begin_with(struct core_job *job, struct first_weights *first)
{
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        if (job->slice[i] != NULL)
            slice_begin_with(&job->slice[i]->slice, first);
    }
}

enum stepd_status job_open(struct core *core, struct job *job, struct first_weights *first)
{
    struct core_job *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    opened->job = job_ref(job);
    opened->policy = sync_policy_of(job->consistency.mode);
    opened->next = core->jobs;
    core->jobs = opened;
    enum stepd_status status = members_reserve(&opened->members, job->workers);
    if (status == STEPD_OK)
        status = staging_init(&opened->staging, job, core->options.shard);
    if (status == STEPD_OK)
        status = open_slices(core, opened);
    if (status != STEPD_OK) {
        job_free(core, opened);
        return status;
    }
    if (first != NULL)
        begin_with(opened, first);
    gate_open(core, opened);
    return STEPD_OK;
}

void job_fail(struct core *core, struct core_job *job, const struct stepd_error *why)
{
    if (job->failure.code != STEPD_OK)
        return;
    job->failure = *why;
    for (struct core_conn *conn = core->conns; conn != NULL; conn = conn->next)
        requests_fail(conn, job, why);
}

void job_close(struct core *core, struct core_job *job)
{
    struct stepd_error error = {.code = STEPD_OK};
    (void)stepd_fail(&error, STEPD_ABORTED, "job '%s' was closed", job->job->name);
    for (struct core_conn *conn = core->conns; conn != NULL; conn = conn->next)
        requests_fail(conn, job, &error);
    snapshot_cancel(core, job);
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        if (job->slice[i] != NULL)
            shared_let_all_go(job->slice[i]);
    }
    job->closing = true;
    dispatch_flush(core);
    if (job->pieces == 0)
        job_free(core, job);
}

/* The newest clock of a rank that a slice has and that whoever takes the rank over can go on from.
 * A push whose turn is not over is not one: its answer says whether its step goes on, and only who
 * sends it again gets that. */
static uint64_t slice_clock(const struct core_slice *slice, uint32_t rank)
{
    const struct contribution open = round_of(&slice->round, rank);
    const bool by_turns = slice->job->job->consistency.accumulate_examples > 0.0;
    if (open.pushes == 0)
        return slice->slice.by_rank[rank].record.clock;
    return open.state == CONTRIBUTION_COUNTED && by_turns ? open.clock - 1 : open.clock;
}

uint64_t job_clock(const struct core_job *job, uint32_t rank)
{
    uint64_t lowest = 0;
    bool lacks_first = false;
    const bool waits = consistency_awaits_pushes(&job->job->consistency);
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        const struct core_slice *slice = job->slice[i];
        if (slice == NULL || rank >= slice->slice.ranks)
            continue;
        const uint64_t clock = members_clock(&job->members, rank, slice_clock(slice, rank));
        if (clock > 0 && (lowest == 0 || clock < lowest))
            lowest = clock;
        lacks_first = lacks_first || (clock == 0 && waits);
    }
    return lowest == 1 && lacks_first ? 0 : lowest;
}

void job_try(struct core *core, struct core_job *job)
{
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        if (job->slice[i] == NULL)
            continue;
        update_try(core, job->slice[i]);
        waiters_wake(job->slice[i]); /* who waited for a member that is one no more */
    }
}

/* Each buffer of the job's staging is free, receives, or counts, and is so in one place. */
static void check_staging(const struct core_job *job)
{
    size_t buffers = 0;
    size_t found = 0;
    for (size_t i = 0; i < job->staging.stacks; i++) {
        buffers += job->staging.stack[i].buffers;
        found += job->staging.stack[i].free;
    }
    for (size_t i = 0; job->slice != NULL && i < job->job->layout.slices; i++) {
        const struct core_slice *const slice = job->slice[i];
        for (uint32_t rank = 0; slice != NULL && rank < slice->round.ranks; rank++) {
            found += round_of(&slice->round, rank).grad != NULL;
            found += slice->slice.by_rank[rank].staging != NULL;
        }
    }
    assert(found == buffers);
    (void)buffers;
    (void)found;
}

void job_free(struct core *core, struct core_job *job)
{
    struct core_job **at = &core->jobs;
    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    snapshot_forget(core, job);
    check_staging(job);
    for (size_t i = 0; job->slice != NULL && i < job->job->layout.slices; i++) {
        if (job->slice[i] == NULL)
            continue;
        limit_give(core->options.limits, LIMIT_OLD_VERSIONS,
                   slice_annexes_bytes(&job->slice[i]->slice));
        slice_deinit(&job->slice[i]->slice);
        round_deinit(&job->slice[i]->round);
        free(job->slice[i]);
    }
    shared_close(core, job);
    members_deinit(&job->members);
    change_deinit(job);
    staging_deinit(&job->staging);
    block_deinit(&job->block);
    block_deinit(&job->spare);
    free(job->gate.factor);
    free(job->slice);
    (void)job_unref(job->job);
    free(job);
}
