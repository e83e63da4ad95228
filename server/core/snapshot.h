/* SPDX-License-Identifier: Apache-2.0
 *
 * A shard's share in snapshots: taking the state of a job as control orders it, and opening a job
 * from such a state.
 *
 *     ORDER_SNAPSHOT      allocates all that will be needed, and takes what can be taken at once
 *     rounds close        each slice is taken as it closes the version
 *     steps, idle moments  the arrays of what was taken are copied
 *     NOTICE_SNAPSHOT     all are: control may read them
 *     ORDER_SNAPSHOT_END  the references go back
 *
 * In a sync job all shards take their slices at one version, each slice in its own time: that is
 * one instant of the training, though not of the clock on the wall. Where slices have no version in
 * common, all of a shard are taken at once, between two requests.
 *
 * To copy the arrays of all slices at once would take as long as many steps. So the arrays of a
 * slice that did not get there by a step of its own are copied before its next one, or when the
 * shard has nothing else to do: no step waits for those of another slice.
 *
 * Of a server that ends the last snapshot is one that no step is lost behind: from when it is
 * ordered no slice makes a step beyond it (order.last), and none does until the shard ends, or
 * control has called that snapshot off. Pushes wait meanwhile, and are sent again to who goes on
 * from it. Where slices close together, a step that is under way is made all the same.
 *
 * A frozen slice is the same at every version. It is taken as it closes this one, or with the last
 * of the others where nobody pushes it.
 */
#ifndef CORE_SNAPSHOT_H
#define CORE_SNAPSHOT_H

#include "server/core/core_internal.h"

/* Takes the state that is ordered, now or later; says NOTICE_SNAPSHOT when it is taken, or why it
 * cannot be. job may be NULL: it is not here. */
void snapshot_begin(struct core *core, struct core_job *job, const struct order *order);

/* A slice has closed a version, and its records say so. */
void snapshot_on_closed(struct core *core, struct core_slice *slice);

/* The slots, phase or backups of a slice are about to change: what a snapshot has taken of it and
 * not copied yet is copied now. */
void snapshot_before_change(const struct core_slice *slice);

/* Is anything left to be copied or sent in idle moments? */
bool snapshot_owes(const struct core *core);
/* Copies the arrays of one slice. False: nothing was left. */
bool snapshot_on_idle(struct core *core);

/* Control has ended the snapshot of this number, of a job that may be closing. Any other number
 * changes nothing. */
void snapshot_end(struct core *core, const struct order *order);

/* The job is to be closed: a state that is not whole yet never will be. */
void snapshot_cancel(struct core *core, struct core_job *job);

/* Nobody wants the job's snapshot any more, whole or not, if there is one, and nobody is told. The
 * caller frees the job if that was the last that kept it. */
void snapshot_drop(struct core *core, struct core_job *job);

/* Frees the job's snapshot, whoever may be reading it, if there is one. */
void snapshot_forget(struct core *core, struct core_job *job);

/* Brings a job that has just been opened to a whole state. INVALID_ARGUMENT: it does not fit; the
 * job is of no use then. */
enum stepd_status snapshot_restore(struct core_job *job, const struct job_state *state,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
