/* SPDX-License-Identifier: Apache-2.0
 *
 * What somebody wants changed about the groups of a job that runs: who, and either what they said
 * (ChangeJob) or how the groups are to be in the end (the config file, reread). An edit waits in
 * the queue of the job's changes (changes.h) and is worked out when the version is known that it
 * is to begin with, against the groups as they are then.
 */
#ifndef CONTROL_EDITS_H
#define CONTROL_EDITS_H

#include "proto/message.h"
#include "server/control/jobs.h"

struct control_edit {
    uint64_t number; /* of the change, if it becomes one */
    uint64_t at;     /* version that is wanted; 0: the earliest */
    bool dry_run;
    bool drops;    /* what was to come later: phases, and changes */
    char *by;      /* owned */
    uint8_t *head; /* owned; a ChangeJob, encoded; NULL: of the config file */
    size_t head_bytes;
    size_t targets;       /* as many as the job has groups */
    struct group *target; /* owned */
};

/* What an edit came to: for who waits for it. */
struct control_edited {
    bool decided;
    struct stepd_error error; /* code OK: it was made, or is what would be made */
    uint64_t number;
    struct control_trail records; /* of a dry run; else they are in the job's */
};

/* Of a ChangeJob, borrowed until return. RESOURCE_EXHAUSTED: no memory. *ret_edit: the caller
 * frees with control_edit_destroy. */
enum stepd_status control_edit_of_request(const struct stepd_change_job *request, const char *by,
                                          struct control_edit **ret_edit,
                                          struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Of the config file's definition of the job, which must say the same but for what its groups do.
 * INVALID_ARGUMENT, NOT_FOUND: it does not, or is wrong. RESOURCE_EXHAUSTED: no memory. */
enum stepd_status control_edit_of_file(const struct control_job *job,
                                       const struct stepd_define_job *def,
                                       struct control_edit **ret_edit,
                                       struct stepd_error *reterr) STEPD_MUST_CHECK;

/* NULL is fine. Returns NULL. */
struct control_edit *control_edit_destroy(struct control_edit *edit);

/* A group as it is now. */
const struct group *control_group_now(const struct control_job *job, uint32_t index);

/*
 * Works an edit out: the changes of all groups that it is about, and a record of each. Where
 * nothing would change there are none. INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION: it cannot
 * be; the text says why. *ret_changes: the caller frees with group_changes_destroy. Records are
 * added to ret_records.
 */
enum stepd_status control_edit_work_out(const struct control_job *job,
                                        const struct control_edit *edit, struct change_point point,
                                        struct group_changes **ret_changes,
                                        struct control_trail *ret_records,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
