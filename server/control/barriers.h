/* SPDX-License-Identifier: Apache-2.0
 *
 * Barriers: all members of a job wait for each other. What a worker has come to is a part of its
 * session, so that it has come whether its connection lives or not, and its place is nobody else's:
 * whoever takes over its rank must come itself. A worker waits at one barrier at a time; so there
 * are no more barriers than members, they need no memory of their own, and a barrier is passed when
 * all who must come stand at the same name.
 *
 * Who must come: members that are there or lost. One that has left, has been given up or is no
 * member yet is not waited for. Snapshots know no barriers: a restore has another incarnation,
 * under which nobody has come to any.
 */
#ifndef CONTROL_BARRIERS_H
#define CONTROL_BARRIERS_H

#include <stdbool.h>
#include <stdint.h>

#include "server/control/dispatch.h"
#include "server/control/members.h"
#include "server/control/sessions.h"
#include "server/control/waits.h"

/* Does the worker wait, and its deadline has not come? */
bool control_arrival_waits(const struct control_arrival *arrival, uint64_t now_ms);

/* The barrier that a member waits at, or "". */
const char *control_barrier_of(const struct control_member *member, uint64_t now_ms);

/* Lets the members of each job pass where all have come. */
void control_barriers_pass(struct control *control);

/* Of a parked Barrier: has it been passed, or can it not be any more? Then the answer to it. */
bool control_barrier_is_over(struct control_wait *wait);
enum stepd_status control_barrier_answer(const struct control_wait *wait,
                                         struct control_answer *ret_answer,
                                         struct stepd_error *reterr);

/* DEADLINE_EXCEEDED: says whom the session's newest barrier lacks, and how long each was silent. */
enum stepd_status control_barrier_too_late(const struct control_session *session,
                                           struct stepd_error *reterr);

#endif
