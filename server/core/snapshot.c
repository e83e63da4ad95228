/* SPDX-License-Identifier: Apache-2.0
 *
 * One snapshot of a job at a time. All memory is there before the first slice is taken, the notice
 * too: a round that closes cannot fail because of a snapshot.
 */
#include "server/core/snapshot.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"

struct core_snapshot {
    uint64_t number;         /* of control's order */
    struct job_state *state; /* the only reference; lent to control when all slices are taken */
    struct notice *notice;   /* owned; NULL: it was sent, and control reads the state */
    uint64_t from;           /* as it stands: it is taken when a slice gets to this version */
    size_t missing;          /* slices here that are stepped and have not closed the version */
    bool all;                /* none is missing, and the frozen ones are taken too */
    size_t owed;             /* slices that are taken, and whose arrays are not copied */
    size_t next;             /* slice whose arrays are to be copied first in an idle moment */
};

static bool is_stepped(const struct core_slice *slice)
{
    return !slice->slice.group->frozen;
}

static void destroy(struct core_snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    (void)notice_destroy(snapshot->notice);
    (void)job_state_unref(snapshot->state);
    free(snapshot);
}

void snapshot_forget(struct core *core, struct core_job *job)
{
    core->snapshots -= job->snapshot != NULL;
    destroy(job->snapshot);
    job->snapshot = NULL;
    room_trim_all(core, job);
}

/* ---- Taking ---------------------------------------------------------------------------------- */

static void send(struct core *core, struct notice *notice)
{
    notice->shard = core->options.shard;
    core->io.notify(core->io.owner, notice);
}

static void keep(struct core_snapshot *snapshot, size_t index)
{
    struct slice_state *state = &snapshot->state->slice[index];
    if (!state->taken || state->kept)
        return;
    slice_state_keep(state);
    snapshot->owed--;
}

static void take(const struct core_job *job, const struct core_slice *slice)
{
    struct core_snapshot *snapshot = job->snapshot;
    slice_state_take(&snapshot->state->slice[slice->slice.index]);
    snapshot->owed++;
    snapshot->missing -= is_stepped(slice);
}

/* All slices that are stepped are taken; frozen ones may be left. */
static void take_rest(const struct core_job *job)
{
    struct core_snapshot *snapshot = job->snapshot;
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        if (job->slice[i] != NULL && !snapshot->state->slice[i].taken)
            take(job, job->slice[i]);
    }
    snapshot->state->halted = job->failure;
    snapshot->all = true;
}

/* Sends what is whole. */
static void settle(struct core *core, const struct core_job *job)
{
    struct core_snapshot *snapshot = job->snapshot;
    if (snapshot->missing == 0 && !snapshot->all)
        take_rest(job);
    if (!snapshot->all || snapshot->owed > 0)
        return;
    struct notice *const notice = snapshot->notice;
    snapshot->notice = NULL;
    notice->state = snapshot->state;
    send(core, notice);
}

/* ---- Copying --------------------------------------------------------------------------------- */

void snapshot_before_change(const struct core_slice *slice)
{
    struct core_snapshot *snapshot = slice->job->snapshot;
    if (snapshot != NULL && snapshot->owed > 0)
        keep(snapshot, slice->slice.index);
}

static bool owes(const struct core_job *job)
{
    const struct core_snapshot *const snapshot = job->snapshot;
    return snapshot != NULL && snapshot->notice != NULL && (snapshot->owed > 0 || snapshot->all);
}

static struct core_job *find_owing(const struct core *core)
{
    struct core_job *job = core->snapshots == 0 ? NULL : core->jobs;
    while (job != NULL && !owes(job))
        job = job->next;
    return job;
}

bool snapshot_owes(const struct core *core)
{
    return find_owing(core) != NULL;
}

bool snapshot_on_idle(struct core *core)
{
    const struct core_job *const job = find_owing(core);
    if (job == NULL)
        return false;
    struct core_snapshot *snapshot = job->snapshot;
    const size_t before = snapshot->owed;
    while (snapshot->owed == before && before > 0) {
        keep(snapshot, snapshot->next);
        snapshot->next = (snapshot->next + 1) % job->job->layout.slices;
    }
    settle(core, job);
    return true;
}

/* ---- Beginning ------------------------------------------------------------------------------- */

/* Room for the states of all slices here. */
static enum stepd_status make_states(struct core_job *job, struct core_snapshot *snapshot)
{
    float *room = job->spare.floats;
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        struct core_slice *slice = job->slice[i];
        if (slice == NULL)
            continue;
        if (slice_state_init(&snapshot->state->slice[i], &slice->slice, room) != STEPD_OK)
            return STEPD_RESOURCE_EXHAUSTED;
        const struct slice_size size = job_slice_size(job->job, slice->slice.plan);
        room += room == NULL ? 0 : job_state_room(&size);
        snapshot->missing += is_stepped(slice);
    }
    return STEPD_OK;
}

static enum stepd_status create(struct core *core, struct core_job *job, const struct order *order,
                                struct stepd_error *reterr)
{
    struct core_snapshot *snapshot = calloc(1, sizeof *snapshot);
    bool made = snapshot != NULL;
    if (made) {
        snapshot->number = order->query;
        snapshot->from = order->from;
        snapshot->notice = notice_create(NOTICE_SNAPSHOT, job->job->name);
        made = snapshot->notice != NULL &&
               job_state_create(job->job, order->version, &snapshot->state) == STEPD_OK &&
               make_states(job, snapshot) == STEPD_OK;
    }
    if (!made) {
        destroy(snapshot);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                          "shard %u has no memory for a snapshot of job '%s', which takes up to "
                          "%" PRIu64 " MiB over all shards; the job goes on without",
                          core->options.shard + 1, job->job->name, job_state_bytes(job->job) >> 20);
    }
    snapshot->notice->query = order->query;
    job->snapshot = snapshot;
    core->snapshots++;
    job->pieces++;
    return STEPD_OK;
}

/* The highest version of a slice that is stepped here. */
static uint64_t newest_version(const struct core_job *job)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        const struct core_slice *slice = job->slice[i];
        if (slice != NULL && is_stepped(slice) && slice->slice.version > newest)
            newest = slice->slice.version;
    }
    return newest;
}

/* Takes what is at the version, or all where it is to be taken as it stands. */
static void take_due(struct core *core, struct core_job *job)
{
    const struct core_snapshot *const snapshot = job->snapshot;
    const uint64_t version = snapshot->state->version;
    const bool as_it_stands =
        version == JOB_STATE_AS_IT_STANDS && newest_version(job) >= snapshot->from;
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        const struct core_slice *slice = job->slice[i];
        if (slice != NULL && (as_it_stands || slice->slice.version == version))
            take(job, slice);
    }
    settle(core, job);
}

void snapshot_on_closed(struct core *core, struct core_slice *slice)
{
    struct core_job *job = slice->job;
    const struct core_snapshot *const snapshot = job->snapshot;
    if (snapshot == NULL || snapshot->all)
        return;
    const uint64_t version = snapshot->state->version;
    if (version == JOB_STATE_AS_IT_STANDS && slice->slice.version >= snapshot->from) {
        take_due(core, job);
    } else if (slice->slice.version == version) {
        take(job, slice);
        /* Its step has just written them. Where all slices close together, each would have to wait
         * for those of the others. */
        if (!gate_holds(slice))
            keep(job->snapshot, slice->slice.index);
        settle(core, job);
    }
}

static enum stepd_status check(const struct core *core, const struct core_job *job,
                               const struct order *order, struct stepd_error *reterr)
{
    if (job == NULL)
        return stepd_fail(reterr, STEPD_NOT_FOUND, "job '%s' is not open on shard %u",
                          order->job_name, core->options.shard + 1);
    if (job->snapshot != NULL)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "a snapshot of job '%s' is under way on shard %u; wait for its end",
                          order->job_name, core->options.shard + 1);
    const bool stated = order->version != JOB_STATE_AS_IT_STANDS;
    if (stated != job->policy->together)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "a snapshot of job '%s' %s",
                          order->job_name,
                          stated ? "has no version: its slices have none in common"
                                 : "needs a version: that of all its slices");
    const uint64_t newest = newest_version(job);
    if (stated && newest > order->version)
        return stepd_fail(reterr, STEPD_OUT_OF_RANGE,
                          "job '%s' is at version %" PRIu64 " on shard %u, past %" PRIu64
                          "; state a later one",
                          order->job_name, newest, core->options.shard + 1, order->version);
    return STEPD_OK;
}

/* Without memory for the notice control's deadline speaks for us. */
static void refuse(struct core *core, const struct core_job *job, const struct order *order,
                   const struct stepd_error *error)
{
    struct notice *notice = notice_create(NOTICE_SNAPSHOT, order->job_name);
    if (notice == NULL)
        return;
    notice->query = order->query;
    notice->error = *error;
    notice->version_max = job == NULL ? 0 : newest_version(job);
    send(core, notice);
}

void snapshot_begin(struct core *core, struct core_job *job, const struct order *order)
{
    struct stepd_error error = {.code = STEPD_OK};
    enum stepd_status status = check(core, job, order, &error);
    if (status == STEPD_OK)
        status = create(core, job, order, &error);
    if (status != STEPD_OK) {
        refuse(core, job, order, &error);
        return;
    }
    if (order->last)
        job->last = (struct core_proposal){
            .open = true,
            .version = order->version == JOB_STATE_AS_IT_STANDS ? 0 : order->version,
        };
    take_due(core, job);
}

/* ---- Ending ---------------------------------------------------------------------------------- */

static void note_durable(const struct core_job *job)
{
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        if (job->slice[i] != NULL)
            job->slice[i]->durable = job->snapshot->state->slice[i].version;
    }
}

void snapshot_end(struct core *core, const struct order *order)
{
    struct core_job *job = core->jobs;
    while (job != NULL && (strcmp(job->job->name, order->job_name) != 0 || job->snapshot == NULL ||
                           job->snapshot->number != order->query))
        job = job->next;
    if (job == NULL)
        return;
    if (order->durable)
        note_durable(job);
    job->last.open = job->last.open && order->last;
    snapshot_forget(core, job);
    job->pieces--;
    if (job->closing && job->pieces == 0)
        job_free(core, job);
    else if (!job->closing)
        job_try(core, job); /* a step may have waited for what was held */
}

void snapshot_cancel(struct core *core, struct core_job *job)
{
    struct core_snapshot *snapshot = job->snapshot;
    if (snapshot == NULL || snapshot->notice == NULL)
        return;
    struct notice *const notice = snapshot->notice;
    snapshot->notice = NULL; /* owed or not, it is of no use any more */
    (void)stepd_fail(&notice->error, STEPD_ABORTED,
                     "job '%s' was closed on shard %u before its snapshot was whole",
                     job->job->name, core->options.shard + 1);
    snapshot_forget(core, job);
    job->pieces--;
    send(core, notice);
}

void snapshot_drop(struct core *core, struct core_job *job)
{
    if (job->snapshot == NULL)
        return;
    snapshot_forget(core, job);
    job->pieces--;
}

/* ---- Going back ------------------------------------------------------------------------------ */

/* Slices that close together must be at one version, or they never would. */
static enum stepd_status restore_gate(struct core_job *job, const struct job_state *state,
                                      struct stepd_error *reterr)
{
    bool first = true;
    for (size_t i = 0; i < job->job->layout.slices && job->gate.gated; i++) {
        const struct core_slice *slice = job->slice[i];
        if (slice == NULL || !is_stepped(slice))
            continue;
        if (first)
            job->gate.version = slice->slice.version;
        first = false;
        if (slice->slice.version != job->gate.version)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "the state of job '%s' has slices at versions %" PRIu64
                              " and %" PRIu64 ", and all of them must close together",
                              job->job->name, job->gate.version, slice->slice.version);
    }
    job->failure = state->halted;
    return STEPD_OK;
}

enum stepd_status snapshot_restore(struct core_job *job, const struct job_state *state,
                                   struct stepd_error *reterr)
{
    if (state->job->layout.slices != job->job->layout.slices)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the state of job '%s' has %zu slices, and the job has %zu",
                          job->job->name, state->job->layout.slices, job->job->layout.slices);
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        if (job->slice[i] == NULL)
            continue;
        const enum stepd_status status =
            slice_restore(&job->slice[i]->slice, &state->slice[i], reterr);
        if (status != STEPD_OK)
            return status;
        job->slice[i]->durable = job->slice[i]->slice.version;
    }
    return restore_gate(job, state, reterr);
}
