/* SPDX-License-Identifier: Apache-2.0
 *
 * The slices of a job as of one instant: those of one shard, as the shard has taken them, or all of
 * them, as a job is restored from them. This is what a checkpoint is made of, slice by slice in the
 * order of the layout; beside it there is only what control knows (control/snapshot.h).
 *
 * A shard's own state refers to its slices' buffers (slice_state.h). It is the shard's, which lends
 * it out to be read, and is given back on its thread. A whole one, from job_state_gather, refers to
 * nothing; it is never written again, and shared by reference count between control and shards.
 */
#ifndef MODEL_JOB_STATE_H
#define MODEL_JOB_STATE_H

#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "server/model/slice_state.h"

/* A version that no slice has: each slice is as it stood, at one of its own. */
#define JOB_STATE_AS_IT_STANDS UINT64_MAX

struct job_state {
    struct job *job; /* a reference: the definition at that instant, and the layout of the slices */
    uint64_t version;          /* of all slices that are stepped, or JOB_STATE_AS_IT_STANDS */
    struct stepd_error halted; /* code OK, or why no push is taken any more */
    struct slice_state *slice; /* owned; job->layout.slices of them; some not taken in a share */
    unsigned refs;             /* atomic */
};

/* An empty one: no slice is taken. RESOURCE_EXHAUSTED: no memory. *ret_state: caller frees with
 * job_state_unref. Any thread. */
enum stepd_status job_state_create(struct job *job, uint64_t version,
                                   struct job_state **ret_state) STEPD_MUST_CHECK;

struct job_state *job_state_ref(struct job_state *state);
/* NULL is fine. Returns NULL. The last one of a shard's own state is on that shard's thread. */
struct job_state *job_state_unref(struct job_state *state);

/*
 * Copies the shares of all shards into one whole state, which refers to nothing. Shares are
 * borrowed until return. INVALID_ARGUMENT: the shares are not of one job and version, or a slice is
 * missing; the text says which. RESOURCE_EXHAUSTED: no memory. *ret_state: caller frees with
 * job_state_unref. Any thread, while nobody writes the shares.
 */
enum stepd_status job_state_gather(const struct job_state *const *share, size_t shares,
                                   struct job_state **ret_state,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The lowest clock that is counted of a rank, over the slices of a whole state that it has pushed
 * and that this shard owns in `job`'s layout; 0: none. */
uint64_t job_state_clock(const struct job_state *state, const struct job *job, uint32_t shard,
                         uint32_t rank);

/*
 * Bytes that taking a state of all slices of a job allocates over all shards: their slots and
 * scalars, and for a step to go on meanwhile a third version of each view that steps make, and
 * backups; records (about 200 bytes for each slice and worker) come on top. UINT64_MAX if that is
 * not a number. Only one state of a job is taken at a time, so this is the most. A job with `spare`
 * has it from the start.
 */
uint64_t job_state_bytes(const struct job *job);

/* Floats of what one of its slices needs of that for slots and a third version: its room. */
uint64_t job_state_room(const struct slice_size *size);

#endif
