/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that is shared with workers on this host. A job's weights stand in memory that such
 * workers can read, and each of them has memory of its own that this shard can read, for its
 * gradients. So what travels over the socket is who has written what, and where.
 *
 *     gradients, of a worker     all slices of this shard, in their order, each from a page on
 *     weights, of the job        for each view and version such a row of slices
 *
 * A gradient is read once, into the rank's staging, and judged there: what its worker writes
 * meanwhile, or afterwards, is in this push or it is not, and can never be in a sum unchecked.
 *
 * A version that a worker was told the place of stands until the worker pushes that slice, pulls it
 * again or is gone: a reference of its rank says so. Places are told only where no other version
 * can be made meanwhile, which is in sync mode when every member is waited for; in the other modes
 * who is slow would keep both versions of a slice from the rest. Only who owes the open round a
 * push is told of them, for the same reason. A rank that is no member any more must not hold up a
 * step either: its reference is taken away when there is no other room.
 */
#include <assert.h>
#include <stdlib.h>

#include "proto/place.h"
#include "server/core/core_internal.h"

/* What job_memory_bytes does not count of that is to stay small beside what it does: of a job of
 * very many tiny slices nothing is shared. */
#define PADDING_FREE_BYTES (1u << 20)
#define PADDING_DIVISOR    8u
static_assert(STEPD_PLACE_BYTES % JOB_LINE_BYTES == 0, "a page is whole lines");

/* ---- Opening --------------------------------------------------------------------------------- */

/* Where each slice begins in the row of a view's version; returns what the row takes. */
static size_t lay_row(const struct core_job *job, const struct core *core, enum stepd_view view,
                      size_t version, size_t first, struct slice_places *places)
{
    const struct layout *layout = &job->job->layout;
    size_t at = first;
    for (size_t i = 0; i < layout->slices; i++) {
        const struct slice_plan *plan = &layout->slice[i];
        if (plan->shard != core->options.shard)
            continue;
        const struct slice_size size = job_slice_size(job->job, plan);
        if (version >= size.buffers[view])
            continue;
        if (places != NULL)
            places[i].version[view][version] = (float *)(job->shared->at + at);
        at += (size_t)stepd_place_bytes(plan->elements);
    }
    return at;
}

static size_t lay_rows(const struct core_job *job, const struct core *core,
                       struct slice_places *places)
{
    size_t at = 0;
    for (int v = 0; v < STEPD_VIEWS; v++) {
        for (size_t i = 0; i < SLICE_VERSIONS; i++)
            at = lay_row(job, core, (enum stepd_view)v, i, at, places);
    }
    return at;
}

/* Bytes of the same weights in the slices' own memory. */
static size_t own_bytes(const struct core_job *job, const struct core *core)
{
    const struct layout *layout = &job->job->layout;
    uint64_t floats = 0;
    for (size_t i = 0; i < layout->slices; i++) {
        const struct slice_size size = job_slice_size(job->job, &layout->slice[i]);
        for (int v = 0; v < STEPD_VIEWS && layout->slice[i].shard == core->options.shard; v++)
            floats += size.buffer * size.buffers[v];
    }
    return (size_t)floats * sizeof(float);
}

static bool pads_little(const struct core_job *job, const struct core *core, size_t bytes)
{
    const size_t own = own_bytes(job, core);
    return bytes <= own + own / PADDING_DIVISOR + PADDING_FREE_BYTES;
}

struct slice_places *shared_open(struct core *core, struct core_job *job)
{
    const struct core_io *io = &core->io;
    if (io->share == NULL)
        return NULL;
    struct slice_places *const places = calloc(job->job->layout.slices, sizeof *places);
    const size_t bytes = lay_rows(job, core, NULL);
    if (places != NULL && bytes > 0 && pads_little(job, core, bytes))
        job->shared = io->share(io->owner, bytes);
    if (job->shared == NULL) {
        free(places);
        return NULL;
    }
    (void)lay_rows(job, core, places);
    return places;
}

void shared_close(struct core *core, struct core_job *job)
{
    if (job->shared != NULL)
        core->io.unshare(core->io.owner, job->shared);
    job->shared = NULL;
}

/* ---- Lending --------------------------------------------------------------------------------- */

void shared_lay_gradients(struct core_job *job)
{
    size_t at = 0;
    for (size_t i = 0; job->shared != NULL && i < job->job->layout.slices; i++) {
        struct core_slice *slice = job->slice[i];
        if (slice == NULL)
            continue;
        slice->gradient_at = at;
        at += (size_t)stepd_place_bytes(slice->slice.plan->elements);
    }
    job->gradients_bytes = at;
}

void shared_lend(struct core_conn *conn, struct core_job *job, struct stepd_welcome *welcome)
{
    const struct core_io *io = &conn->core->io;
    if (job == NULL || job->shared == NULL || conn->session->observer ||
        conn->session->rank >= job->job->workers)
        return;
    conn->gradients = io->lend(io->owner, conn->peer, job->shared, job->gradients_bytes);
    if (conn->gradients == NULL)
        return;
    conn->lent_incarnation = job->job->incarnation;
    welcome->weights_bytes = job->shared->bytes;
    welcome->gradients_bytes = job->gradients_bytes;
}

bool shared_is_lent(const struct core_conn *conn, const struct core_job *job)
{
    return conn->gradients != NULL && conn->lent_incarnation == job->job->incarnation;
}

/* ---- Gradients ------------------------------------------------------------------------------- */

const float *shared_gradient(const struct waiter *waiter)
{
    const uint8_t *const gradients = waiter->request->conn->gradients;
    return (const float *)(gradients + waiter->slice->gradient_at);
}

/* ---- Weights --------------------------------------------------------------------------------- */

/* Can no further version be made before the waiter's worker has pushed? Not of one that has left,
 * or has not come yet. */
static bool is_awaited(const struct waiter *waiter)
{
    const struct core_job *job = waiter->slice->job;
    const struct consistency *consistency = &job->job->consistency;
    const struct session *session = waiter->request->conn->session;
    const struct scene scene = slice_scene(waiter->slice);
    return consistency->mode == STEPD_SYNC && consistency->backup == 0.0 &&
           consistency->close_examples == 0.0 && session->rank < scene.ranks &&
           job->policy->waits_for(&scene, waiter_clock(waiter), session->rank);
}

bool shared_place(const struct waiter *waiter, uint64_t *ret_place)
{
    const struct request *request = waiter->request;
    struct core_slice *slice = waiter->slice;
    const struct core_memory *shared = slice->job->shared;
    if (!request->wants_weights || request->pull_dtype != STEPD_F32 ||
        !shared_is_lent(request->conn, slice->job) || !is_awaited(waiter))
        return false;
    const uint8_t *values = (const uint8_t *)slice_view(&slice->slice, request->view)->values;
    if (values < shared->at || values >= shared->at + shared->bytes)
        return false; /* it is in the room that a snapshot has made */
    *ret_place = (uint64_t)(values - shared->at);
    return true;
}

static void let_go(struct core_slice *slice, uint32_t rank)
{
    struct weights **const reads = &slice->slice.by_rank[rank].reads;
    if (*reads == NULL)
        return;
    weights_unref(*reads);
    slice->job->pieces--;
    *reads = NULL;
}

void shared_hold(const struct waiter *waiter)
{
    struct core_slice *slice = waiter->slice;
    const uint32_t rank = waiter->request->conn->session->rank;
    let_go(slice, rank);
    slice->slice.by_rank[rank].reads =
        weights_ref(slice_view(&slice->slice, waiter->request->view));
    slice->job->pieces++;
}

void shared_let_go(const struct waiter *waiter)
{
    let_go(waiter->slice, waiter->request->conn->session->rank);
}

void shared_let_all_go(struct core_slice *slice)
{
    for (uint32_t rank = 0; rank < slice->slice.ranks; rank++)
        let_go(slice, rank);
}

void shared_forget(struct core_conn *conn)
{
    struct core_job *job =
        conn->gradients == NULL ? NULL : job_find(conn->core, conn->session->job_name);
    if (job != NULL && !shared_is_lent(conn, job))
        job = NULL; /* another one has its name now */
    for (size_t i = 0; job != NULL && i < job->job->layout.slices; i++) {
        if (job->slice[i] != NULL)
            let_go(job->slice[i], conn->session->rank);
    }
    conn->gradients = NULL;
}
