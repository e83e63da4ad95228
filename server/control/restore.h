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

/* How often the log says that shards are slow to open a job, where wait_max_ms is not less. */
#define CONTROL_LATE_MS 10000u

/* Such a job is being opened; and has been for so long that the log is to say so, and for whom it
 * waits. Nothing happens to others, or to a restored one but that. */
void control_restored_begins(const struct control *control, struct control_job *job);
void control_restored_is_late(const struct control *control, struct control_job *job);

/* The shards have opened a job that is restored, or could not: then nobody gets into it, and the
 * log says so. Nothing happens to another one. */
void control_job_restored(struct control *control, struct control_job *job, bool opened);

/* May anybody get into the job? DATA_LOSS: no, it could not be opened as it was restored; the text
 * names the cause and the remedy. NULL is fine. */
enum stepd_status control_job_check_restored(const struct control_job *job,
                                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The config file has this definition of a job that is restored: it is as its checkpoint says, but
 * for what its groups do; that is changed to what the file says when the job is open. def is
 * borrowed until then. Errors as job_draft_same. */
enum stepd_status control_job_adopt(struct control_job *job, const struct stepd_define_job *def,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A job that was restored is open: what the config file says of its groups now becomes of them. */
void control_job_follow_file(struct control *control, struct control_job *job);

#endif
