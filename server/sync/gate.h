/* SPDX-License-Identifier: Apache-2.0
 *
 * The gate of a job whose slices close together: because the gradient is clipped by a norm that no
 * slice sees alone, because one NaN is to skip or halt the step for all, or because a step is to be
 * applied whole or not at all.
 *
 *     each shard    all its slices of version v are full  ->  a report: who contributed, is it
 *                   finite, the sums of squares
 *     gate_take     collects the reports of all shards
 *     gate_decide   what the shards are to do with version v + 1
 *
 * Sums of squares come by blocks of NORMS_BLOCK elements of a tensor, and are added here in the
 * order of the tensors; so a norm has the same bits however the job is cut and spread.
 *
 * Pure: control runs one gate for each such job, and a job in one process its own.
 */
#ifndef SYNC_GATE_H
#define SYNC_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "server/model/job.h"
#include "server/model/order.h"

struct gate;

/* How many sums a shard reports: one for each block of the parts of its slices that are stepped, in
 * the order of the slices; 0 where neither a group nor the job clips by a norm. */
size_t gate_blocks(const struct job *job, uint32_t shard);

/* job: borrowed as long as the gate lives. RESOURCE_EXHAUSTED: no memory. *ret_gate: caller frees
 * with gate_destroy. */
enum stepd_status gate_create(const struct job *job, struct gate **ret_gate) STEPD_MUST_CHECK;

/* The job goes on from this version (a new gate: from 0). Nothing has been reported yet. */
void gate_start_at(struct gate *gate, uint64_t version);

/* The version that the next step starts from. */
uint64_t gate_version(const struct gate *gate);

/* What the clip_norm of a group has become, from the next step on. Only a gate whose reports have
 * sums clips (gate_blocks). */
void gate_set_clip_norm(struct gate *gate, uint32_t group, double clip_norm);

/* NULL is fine. Returns NULL. */
struct gate *gate_destroy(struct gate *gate);

/* Takes a shard's report (NOTICE_READY), which replaces an earlier one of the same version. True:
 * all shards have reported, and gate_decide may be asked. A report of another version than the
 * gate is at is of no use, and nothing happens. */
bool gate_take(struct gate *gate, const struct notice *report);

/*
 * Fills in the order that all shards are to be given: ORDER_COMMIT with a verdict, and in factor
 * (borrowed until the next call; NULL: 1 for all) what the gradient of each tensor is to be
 * multiplied by; or ORDER_WITHOUT with the ranks (borrowed likewise) that some shards lack, after
 * which they report again. After a COMMIT the gate is at the next version.
 */
void gate_decide(struct gate *gate, struct order *ret_order);

/* Why a job takes no push any more behind an ORDER_HALT of this version, as everybody is told.
 * cause: the order's error. */
void gate_explain_halt(const char *job_name, uint64_t version, const struct stepd_error *cause,
                       struct stepd_error *ret_why);

#endif
