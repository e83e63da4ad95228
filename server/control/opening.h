/* SPDX-License-Identifier: Apache-2.0
 *
 * From a sealed list of tensors to a job that is open on all shards, or an error that says which
 * shard could not.
 */
#ifndef CONTROL_OPENING_H
#define CONTROL_OPENING_H

#include "server/control/jobs.h"

/*
 * The draft of a DEFINED job is complete: seals it and has the shards open the job; it is OPENING
 * then, and READY or DEFINED again when all shards have answered. Finished jobs are dropped where
 * their memory is needed. On failure, now or then, the tensors are forgotten.
 * INVALID_ARGUMENT: as job_draft_seal. RESOURCE_EXHAUSTED: it does not fit into memory_max_bytes or
 * job_memory_max_bytes (the text has the sums), or no memory.
 */
enum stepd_status control_opening_start(struct control *control, struct control_job *job,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The first weights of a job have come for which the opening has waited, or not. One for an attempt
 * that is over changes nothing. got is borrowed until return. */
void control_opening_fetched(struct control *control, struct control_job *job,
                             const struct control_fetched *got);

/* What the slices of all jobs that are open, or about to be, take. */
uint64_t control_opened_bytes(const struct control *control);

/* A shard has opened the job, or not. notice is borrowed until return. */
void control_opening_answered(struct control *control, struct control_job *job,
                              const struct notice *notice);

/* Gives an attempt up where the first weights have not come, or the shards have not answered, for
 * wait_max_ms. */
void control_opening_on_tick(struct control *control, struct control_job *job);

#endif
