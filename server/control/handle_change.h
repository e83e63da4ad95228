/* SPDX-License-Identifier: Apache-2.0
 *
 * ChangeJob and GetChanges: what is changed about the groups of a job that runs, and what has been.
 */
#ifndef CONTROL_HANDLE_CHANGE_H
#define CONTROL_HANDLE_CHANGE_H

#include "server/control/dispatch.h"
#include "server/control/edits.h"

control_handle_fn control_handle_change_job;
control_handle_fn control_handle_get_changes;

/* Changes frames: of a ChangeJob what it came to, of a GetChanges all that is kept. */
control_pages_fn control_changes_pages;

/* The job's config file says this of it now. Same errors as control_edit_of_file; it is worked out
 * later, and the log says what it came to. */
enum stepd_status control_change_from_file(struct control *control, struct control_job *job,
                                           const struct stepd_define_job *def,
                                           struct stepd_error *reterr) STEPD_MUST_CHECK;

/* An edit came to this: tells who waits for it, or the log. records: of what would change, NULL:
 * they will be in the job's trail; they are moved from there. */
void control_change_decided(struct control *control, struct control_job *job,
                            const struct control_edit *edit, struct control_trail *records,
                            const struct stepd_error *error);

/* NULL is fine. */
void control_edited_destroy(struct control_edited *edited);

#endif
