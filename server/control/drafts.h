/* SPDX-License-Identifier: Apache-2.0
 *
 * The drafts of all jobs, and the memory they take. A definition stays as long as its job, and
 * costs whoever sends it nothing: a list of tensors takes tens of megabytes before a single weight
 * is there. So the definitions of all jobs together have a bound, apart from that of the weights
 * (drafts_max_bytes). What they take is reckoned and not measured; a sealed list counts once,
 * though its job has a copy.
 */
#ifndef CONTROL_DRAFTS_H
#define CONTROL_DRAFTS_H

#include "server/control/jobs.h"

/*
 * Makes the draft of a job that has none. INVALID_ARGUMENT, NOT_FOUND: as job_draft_create.
 * RESOURCE_EXHAUSTED: the definitions of the other jobs leave no room, though abandoned and
 * finished jobs were dropped for it; or no memory.
 */
enum stepd_status control_draft_create(struct control *control, struct control_job *job,
                                       const struct stepd_define_job *def,
                                       struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The same of a job that is restored: the draft that its definition was sealed from, with the
 * tensors. RESOURCE_EXHAUSTED as above. */
enum stepd_status control_draft_restore(struct control *control, struct control_job *job,
                                        const struct job *definition,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Another definition takes the place of a job's, which has no tensors. Errors likewise, and the one
 * before stays. */
enum stepd_status control_draft_replace(struct control *control, struct control_job *job,
                                        const struct stepd_define_job *def,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Takes a page of tensors into a job's draft, or compares. INVALID_ARGUMENT, FAILED_PRECONDITION:
 * as job_draft_add. RESOURCE_EXHAUSTED: as control_draft_create, or too many. */
enum stepd_status control_draft_add(struct control *control, struct control_job *job,
                                    const struct stepd_define_tensors *page,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* What the definitions of all jobs take. */
uint64_t control_drafts_bytes(const struct control *control);

/* Forgets the tensors, sealed or not; the definition stays. */
void control_draft_reset(struct control_job *job);

#endif
