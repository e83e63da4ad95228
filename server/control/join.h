/* SPDX-License-Identifier: Apache-2.0
 *
 * Which rank a worker gets that brings no session. A rank belongs to whoever took it until its
 * Leave or until nothing was heard of it for its lease; then the next worker may take it. Of a sync
 * job that runs, who takes over a lost rank, for which the rounds wait, goes on from its clock at
 * once; anybody else is a member from a version on that all shards agree on (changes.h).
 */
#ifndef CONTROL_JOIN_H
#define CONTROL_JOIN_H

#include <stdint.h>

#include "server/control/jobs.h"
#include "server/control/sessions.h"

#define CONTROL_ANY_RANK (-1)

/* INVALID_ARGUMENT: the job has no such rank. It has CONTROL_ANY_RANK. */
enum stepd_status control_join_check_range(const struct control_job *job, int32_t rank,
                                           struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Makes a session with a rank of a job that is not over, and a member, which is JOINING where the
 * shards have to agree. INVALID_ARGUMENT: the job has no such rank. ALREADY_EXISTS, or
 * RESOURCE_EXHAUSTED for any rank: taken. FAILED_PRECONDITION: the rank has left for good.
 * RESOURCE_EXHAUSTED: no memory. Control owns *ret_session.
 */
enum stepd_status control_join(struct control *control, struct control_job *job,
                               const struct stepd_hello *hello,
                               struct control_session **ret_session,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
