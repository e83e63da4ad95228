/* SPDX-License-Identifier: Apache-2.0
 *
 * Bringing a job back from a snapshot. Its workers come back by themselves: they resume their
 * sessions, which are in the snapshot, and the Welcome's incarnation tells them that the job went
 * back; or they find their sessions unknown, because they joined after it, and join again.
 */
#ifndef CONTROL_RESTORE_H
#define CONTROL_RESTORE_H

#include "server/control/snapshot.h"

/* As control_restore. */
enum stepd_status control_job_restore(struct control *control, struct job_snapshot *snapshot,
                                      struct job_state *state,
                                      struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The shards have opened a job that is restored, or could not: then it begins anew, under its new
 * incarnation and with its members, and the log says so. */
void control_job_restored(struct control *control, struct control_job *job, bool opened);

/* A job that was restored is open: what the config file says of its groups now becomes of them. */
void control_job_follow_file(struct control *control, struct control_job *job);

#endif
