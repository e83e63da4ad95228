/* SPDX-License-Identifier: Apache-2.0
 *
 * At the daemon's start: each job goes on from its newest checkpoint that is good. Newest is the
 * one of the highest incarnation, and of these of the highest step: a job that went back has lower
 * steps again. Those that are newer and no good are named in the log, with the cause.
 *
 * A job that has checkpoints and none that is good keeps the daemon from starting: to begin anew
 * without a word would be to lose a training.
 */
#ifndef DISK_RESUME_H
#define DISK_RESUME_H

#include <stdint.h>

#include <stepd/status.h>

#include "server/base/log.h"
#include "server/control/snapshot.h"
#include "server/disk/load.h"
#include "server/disk/store.h"

/* A checkpoint that could not be gone on from after all. */
struct resume_tried {
    const char *job;  /* borrowed until return, like the name */
    const char *name; /* "step-00000600" */
    struct stepd_error cause;
};

struct resume {
    const struct store *store; /* borrowed until return, as is all else */
    uint64_t bytes_max;        /* of a checkpoint's arrays */
    const struct log *log;
    struct load_cut cut;              /* of the jobs' slices */
    const struct load_wanted *wanted; /* NULL: all of their floats */

    /* Brings one job back; as control_restore. Of the snapshot only its incarnation is looked at
     * afterwards: the rest may be taken. */
    enum stepd_status (*restore)(void *owner, struct job_snapshot *snapshot,
                                 struct job_state *state, struct stepd_error *reterr);
    void *owner;
};

/* Brings all jobs back. DATA_LOSS: none of a job's checkpoints is good. UNAVAILABLE: the disk
 * refuses. FAILED_PRECONDITION: the shelf of a job is a link. Else what restore has said. The text
 * names the job and the remedy. */
enum stepd_status resume_jobs(const struct resume *resume,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Brings one job back from the newest good checkpoint that is older than the one that was tried.
 * Errors as resume_jobs; the cause that DATA_LOSS names is that of the one that was tried. */
enum stepd_status resume_older(const struct resume *resume, const struct resume_tried *tried,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Nothing is to be gone on from: sets all shelves with checkpoints aside (retire.h), and no other
 * folder. */
enum stepd_status resume_none(const struct store *store, const struct log *log,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
