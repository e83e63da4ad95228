/* SPDX-License-Identifier: Apache-2.0
 *
 * Control's side of the gate (sync/gate.h): of a job whose slices close together it collects the
 * shards' reports and tells all of them what becomes of the step.
 */
#ifndef CONTROL_GATES_H
#define CONTROL_GATES_H

#include "server/control/jobs.h"
#include "server/model/order.h"

/* The job has been sealed. RESOURCE_EXHAUSTED: no memory for the gate that it needs. */
enum stepd_status control_gate_open(struct control_job *job) STEPD_MUST_CHECK;

/* The job goes on from a state: the gate, where there is one, is at its version, and clips as the
 * groups of its slices do. */
void control_gate_restore(struct control_job *job, const struct job_state *state);

/* The sealed job goes. */
void control_gate_close(struct control_job *job);

/* A shard's report. */
void control_gate_take(struct control *control, struct control_job *job,
                       const struct notice *report);

/* Tells the shards what they could not be told for lack of memory. */
void control_gate_on_tick(struct control *control, struct control_job *job);

#endif
